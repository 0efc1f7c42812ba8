"""Takes the application of a project under pytest and gives fixtures that test it over the wire.

``wsgi_app`` is the application, ``testapp`` WebTest's ``TestApp`` over it, ``wire_client`` a connection for raw bytes,
``wsgi_server`` a live server. When a test fails, what passed on the wire stands in its report. pytest loads this module
in every project that has the package installed, so it loads nothing else until a fixture is used.
"""

from collections.abc import Callable, Generator, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from wsgiserver.testing import LiveServer, TestApp, WireClient

# What tells in a test's report what passed on the wire: a title, and what to call for the text.
_told: pytest.StashKey[list[tuple[str, Callable[[], str]]]] = pytest.StashKey()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--wsgi-strict``, and ``wsgi_strict`` for the configuration file."""
    group = parser.getgroup("wsgi", "WSGI applications over the wire")
    group.addoption(
        "--wsgi-strict", action="store_true", help="Faults of the application that a server forgives are failures."
    )
    parser.addini("wsgi_strict", "The same as --wsgi-strict.", type="bool", default=False)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add what passed on the wire to the report of a test that failed; secrets are masked."""
    report = yield
    if report.failed:
        for title, tell in item.stash.get(_told, []):
            text = tell()
            if text:
                report.sections.append((f"{title} ({report.when})", text))
    return report


def _tell(request: pytest.FixtureRequest, title: str, tell: Callable[[], str]) -> None:
    request.node.stash.setdefault(_told, []).append((title, tell))


def _strict(config: pytest.Config) -> bool:
    return bool(config.getoption("--wsgi-strict") or config.getini("wsgi_strict"))


@pytest.fixture(scope="session")
def wsgi_app(pytestconfig: pytest.Config) -> Any:
    """Give the application under test, ``app`` of ``[tool.wsgiserver]``; override this fixture to give another.

    It is imported in the folder that ``chdir`` names there; the tests run where pytest was started.
    """
    from wsgiserver.loader import LoadError
    from wsgiserver.settings import BadSetting

    try:
        application = _load_application(pytestconfig.rootpath)
    except (BadSetting, LoadError) as error:
        raise pytest.fail.Exception(f"wsgi_app: {error}{_own_traceback(error)}", pytrace=False) from None
    if application is None:
        pytest.fail(
            "wsgi_app knows no application. Define a fixture of that name which returns yours, or name it in "
            'pyproject.toml:\n\n    [tool.wsgiserver]\n    app = "module:application"\n',
            pytrace=False,
        )
    return application


def _load_application(root: "Path") -> Any:
    """Load what ``pyproject.toml`` in ``root`` names, or give None; raise ``BadSetting`` or ``LoadError``."""
    from wsgiserver.loader import load
    from wsgiserver.settings import BadSetting, from_file

    found = from_file(str(root / "pyproject.toml"))
    app, _ = found.get("app", ("", ""))
    folder, where = found.get("chdir", ("", ""))
    if not app:
        return None
    with pytest.MonkeyPatch.context() as patch:
        try:
            patch.chdir(root / folder)  # pytest may be run in a folder below; both are meant from here
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", error)
            raise BadSetting(f"{where} chdir: cannot work in {folder!r}: {reason}") from None
        return load(app)


def _own_traceback(error: BaseException) -> str:
    import traceback

    return "\n\n" + "".join(traceback.format_exception(error.__cause__)) if error.__cause__ is not None else ""


@pytest.fixture
def testapp(wsgi_app: Any, request: pytest.FixtureRequest) -> "TestApp":
    """Give WebTest's ``TestApp`` over the wire; each response has ``wire``, with the bytes that passed."""
    from wsgiserver.testing import TestApp

    client = TestApp(wsgi_app, strict=_strict(request.config))
    _tell(request, "WSGI exchanges", lambda: "\n\n".join(map(str, client.wire.exchanges)))
    return client


@pytest.fixture
def wire_client(wsgi_app: Any, request: pytest.FixtureRequest) -> "Iterator[WireClient]":
    """Give a connection to a server in memory: raw bytes in, parsed responses out, on a clock of its own.

    In strict mode a fault that is left in its ``errors`` fails the test.
    """
    from wsgiserver.memory import own_traceback
    from wsgiserver.recording import recordings_of
    from wsgiserver.testing import RECORDINGS, WireClient, masked

    strict = _strict(request.config)
    client = WireClient(wsgi_app, strict=strict)

    def log() -> str:
        written = "" if client.log.closed else client.log.getvalue()  # the application may have closed it
        return masked(written.encode("utf-8", "backslashreplace")).decode()

    _tell(request, "WSGI connection", lambda: "\n\n".join(map(str, recordings_of(client)[-RECORDINGS:])))
    _tell(request, "wsgi.errors", log)
    yield client
    if strict:
        from wsgiserver.strict import StrictError

        for error in client.errors:
            if isinstance(error, StrictError):
                raise own_traceback(error)


@pytest.fixture(scope="session")
def _wsgi_live_server(request: pytest.FixtureRequest) -> "Iterator[Callable[[], LiveServer]]":
    """Give what gives one live server to all tests of this process; another, when a test has stopped it."""
    from contextlib import ExitStack

    from wsgiserver.testing import LiveServer
    from wsgiserver.welcome import application

    with ExitStack() as at_the_end:
        servers: list[LiveServer] = []

        def serving() -> LiveServer:
            if not servers or servers[-1].site.stopping or servers[-1].over:
                server = LiveServer(application, strict=_strict(request.config))
                servers.append(at_the_end.enter_context(server))
            return servers[-1]

        yield serving


@pytest.fixture
def wsgi_server(
    wsgi_app: Any, _wsgi_live_server: "Callable[[], LiveServer]", request: pytest.FixtureRequest
) -> "Iterator[LiveServer]":
    """Give a live server with the test's application; an error of that which nobody has seen fails the test."""
    server = _wsgi_live_server()
    server.forget()
    server.raise_errors = True
    server.set_app(wsgi_app)
    _tell(request, "WSGI requests", server.summary)
    _tell(request, "WSGI exchanges on the socket", lambda: "\n\n".join(map(str, server.exchanges)))
    yield server
    # What the application still does is this test's, not the next one's.
    if not server.is_idle(server.settings.timeout_stop) and server.raise_errors:
        left = f"wsgi_server: what the application raises after the end of this test is not seen:\n{server.summary()}"
        request.node.warn(pytest.PytestWarning(left))
    server.check()
