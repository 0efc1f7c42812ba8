"""The pytest plugin: fixtures for a project's application, and what passed on the wire in the report of a failure.

Each test is a small project of its own, with its own run of pytest, in this process where nothing forbids it.
"""

import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

pytest_plugins = "pytester"

SHOP = """
from urllib.request import urlopen

def app(environ, start_response):
    if environ["PATH_INFO"] == "/fail":
        raise RuntimeError("the shop is closed")
    body = environ["wsgi.input"].read()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Set-Cookie", "id=confidential")])
    return [b"shop " + body]

def forgiven(environ, start_response):
    start_response("204 No Content", [])
    return [b"a body that no server sends"]
"""


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """Make a project whose pyproject.toml names its application."""
    # The plugin is loaded as everywhere: because it is installed. Others that happen to be here are not asked.
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    pytester.plugins = ["wsgiserver.pytest_plugin"]
    pytester.makepyfile(shop=SHOP)
    pytester.makepyprojecttoml('[tool.wsgiserver]\napp = "shop:app"\n[tool.pytest.ini_options]\npythonpath = "."\n')
    return pytester


def run(project: pytest.Pytester, tests: str, *options: str) -> Any:
    project.makepyfile(test_shop=tests)
    return project.runpytest_subprocess("-p", "wsgiserver.pytest_plugin", *options)


def test_the_fixtures_test_the_application_that_the_project_names(project: pytest.Pytester) -> None:
    run(
        project,
        """
        from urllib.request import urlopen

        def test_webtest(testapp):
            response = testapp.post("/", {"a": "b"})
            assert response.text == "shop a=b"
            assert response.wire.response.startswith(b"HTTP/1.1 200 OK")

        def test_raw_bytes(wire_client):
            assert wire_client.request("GET", "/").text == "shop "

        def test_live(wsgi_server):
            assert urlopen(wsgi_server.url).read() == b"shop "
            assert wsgi_server.wait_for(path="/").status == "200 OK"
        """,
    ).assert_outcomes(passed=3)


def test_a_project_gives_its_application_by_a_fixture_too(project: pytest.Pytester) -> None:
    run(
        project,
        """
        import pytest

        @pytest.fixture(scope="module")
        def wsgi_app():
            def mine(environ, start_response):
                start_response("200 OK", [("Content-Type", "text/plain")])
                return [b"mine"]
            return mine

        def test_mine(testapp, wire_client, wsgi_server):
            assert testapp.get("/").body == b"mine"
        """,
    ).assert_outcomes(passed=1)


def test_one_live_server_serves_all_tests_each_with_its_own_application(project: pytest.Pytester) -> None:
    run(
        project,
        """
        from urllib.request import urlopen
        import pytest

        @pytest.fixture
        def wsgi_app(request):
            def mine(environ, start_response):
                start_response("200 OK", [])
                return [request.node.name.encode()]
            return mine

        urls = set()

        @pytest.mark.parametrize("number", range(3))
        def test_live(wsgi_server, request, number):
            assert urlopen(wsgi_server.url).read() == request.node.name.encode()
            assert len(wsgi_server.requests) == 1
            urls.add(wsgi_server.url)

        def test_there_was_one():
            assert len(urls) == 1
        """,
    ).assert_outcomes(passed=4)


def test_without_an_application_the_failure_says_how_to_name_one(project: pytest.Pytester) -> None:
    project.makepyprojecttoml("")
    result = run(project, "def test_it(testapp): pass")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*wsgi_app knows no application. Define a fixture*", "*app = *module:application*"])


def test_the_application_is_found_from_a_folder_below_too(project: pytest.Pytester) -> None:
    project.makepyprojecttoml('[tool.wsgiserver]\napp = "shop.py"\n')
    folder = project.mkdir("tests")
    (folder / "test_shop.py").write_text('def test_it(testapp): assert testapp.get("/").text == "shop "')
    project.chdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        project.runpytest_subprocess("-p", "wsgiserver.pytest_plugin").assert_outcomes(passed=1)


def test_the_application_is_imported_in_the_folder_that_the_file_says_to_work_in(project: pytest.Pytester) -> None:
    """As by the command; the tests themselves run where pytest was started."""
    folder = project.mkdir("backend")
    (folder / "hall.py").write_text("from shop import app\nassert open('name.txt').read() == 'hall'\n")
    (folder / "name.txt").write_text("hall")
    project.makepyprojecttoml(
        '[tool.wsgiserver]\napp = "hall:app"\nchdir = "backend"\n[tool.pytest.ini_options]\npythonpath = "."\n'
    )
    tests = """
        import os

        def test_it(testapp):
            assert testapp.get("/").text == "shop "
            assert os.path.exists("backend")
    """
    run(project, tests).assert_outcomes(passed=1)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("bogus = 1", "*pyproject.toml, [[]tool.wsgiserver[]] bogus: no such setting*"),
        ('chdir = "nowhere"', "*pyproject.toml, [[]tool.wsgiserver[]] chdir: cannot work in 'nowhere': No such file*"),
    ],
)
def test_what_is_wrong_in_the_table_is_told_in_one_line(project: pytest.Pytester, line: str, told: str) -> None:
    project.makepyprojecttoml(f'[tool.wsgiserver]\napp = "shop:app"\n{line}\n')
    result = run(project, "def test_it(testapp): pass")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([f"wsgi_app: {told}"])
    result.stdout.no_fnmatch_line("*During handling*")
    result.stdout.no_fnmatch_line("*settings.py*")


def test_a_factory_is_called_once_for_all_tests(project: pytest.Pytester) -> None:
    project.makepyfile(factory="import shop\n\nmade = []\n\ndef create_app():\n    made.append(1)\n    return shop.app")
    project.makepyprojecttoml('[tool.wsgiserver]\napp = "factory"\n')
    tests = """
        import pytest, sys

        @pytest.mark.parametrize("number", range(3))
        def test_it(testapp, number):
            assert testapp.get("/").text == "shop "
            assert sys.modules["factory"].made == [1]
    """
    run(project, tests).assert_outcomes(passed=3)


@pytest.mark.parametrize(
    ("app", "told"),
    [
        ("nowhere:app", ["wsgi_app: there is no module 'nowhere'*"]),
        ("broken:app", ["wsgi_app: broken was found, but importing it failed*", '*broken.py", line 2*', "*1 / 0*"]),
    ],
)
def test_an_application_that_cannot_be_loaded_is_told_without_the_loaders_frames(
    project: pytest.Pytester, app: str, told: list[str]
) -> None:
    project.makepyfile(broken="def app(): pass\n1 / 0")
    project.makepyprojecttoml(f'[tool.wsgiserver]\napp = "{app}"\n')
    result = run(project, "def test_it(testapp): pass")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(told)
    result.stdout.no_fnmatch_line("*loader.py*")


def test_a_test_that_failed_shows_what_passed_on_the_wire_without_secrets(project: pytest.Pytester) -> None:
    result = run(
        project,
        """
        def test_webtest(testapp):
            testapp.authorization = ("Basic", ("ann", "confidential"))
            testapp.post("/login", {"name": "ann", "password": "confidential"})
            assert False

        def test_raw(wire_client):
            wire_client.send(b"GET /raw HTTP/1.1\\r\\nHost: a\\r\\nCookie: confidential\\r\\n\\r\\n")
            assert False

        def test_live(wsgi_server):
            from urllib.request import Request, urlopen
            body = b"id=1&password=confidential"
            urlopen(Request(wsgi_server.url + "/live?token=confidential", body, {"Cookie": "id=confidential"}))
            assert False
        """,
        "--no-showlocals",
        "--tb=line",
    )
    result.assert_outcomes(failed=3)
    result.stdout.fnmatch_lines(
        [
            "*WSGI exchanges (call)*",
            "> POST /login HTTP/1.1",
            "> Authorization: [*][*][*]",
            "> name=ann&password=[*][*][*]",
            "< HTTP/1.1 200 OK",
            "< Set-Cookie: [*][*][*]",
            "*WSGI connection (call)*",
            "> GET /raw HTTP/1.1",
            "> Cookie: [*][*][*]",
            "*WSGI requests (call)*",
            "POST /live[?]token=[*][*][*]: 200 OK",
            "*WSGI exchanges on the socket (call)*",
            "> POST /live[?]token=[*][*][*] HTTP/1.1",
            "> Cookie: [*][*][*]",
            "> id=1&password=[*][*][*]",
            "< HTTP/1.1 200 OK",
            "< Set-Cookie: [*][*][*]",
            "< shop id=1&password=[*][*][*]",
        ]
    )
    assert "confidential" not in result.stdout.str()


def test_a_test_that_passed_shows_nothing(project: pytest.Pytester) -> None:
    result = run(project, 'def test_it(testapp, wire_client, wsgi_server): testapp.get("/")', "-rA")
    result.assert_outcomes(passed=1)
    result.stdout.no_fnmatch_line("*WSGI*")


def test_an_error_that_no_test_has_seen_fails_the_one_that_caused_it(project: pytest.Pytester) -> None:
    result = run(
        project,
        """
        from urllib.error import HTTPError
        from urllib.request import urlopen
        import pytest

        def ask(server):
            with pytest.raises(HTTPError) as caught:
                urlopen(server.url + "/fail")
            caught.value.close()

        def test_unseen(wsgi_server):
            ask(wsgi_server)

        def test_seen(wsgi_server):
            ask(wsgi_server)
            with pytest.raises(RuntimeError, match="closed"):
                wsgi_server.wait_idle()

        def test_switched_off(wsgi_server):
            wsgi_server.raise_errors = False
            ask(wsgi_server)

        def test_on_again(wsgi_server):
            assert wsgi_server.raise_errors
            assert not wsgi_server.errors
        """,
    )
    result.assert_outcomes(passed=4, errors=1)
    result.stdout.fnmatch_lines(["*ERROR at teardown of test_unseen*", "*shop.py*", "*the shop is closed*"])


def test_an_error_that_comes_late_fails_the_test_whose_request_it_was(project: pytest.Pytester) -> None:
    result = run(
        project,
        """
        import threading
        from urllib.request import urlopen
        import pytest

        ended = threading.Event()

        @pytest.fixture
        def wsgi_app():
            def mine(environ, start_response):
                start_response("200 OK", [("Content-Length", "2")])
                yield b"a"
                assert ended.wait(30)
                for _ in range(10_000):
                    pass
                raise RuntimeError("late")
            return mine

        @pytest.fixture
        def end(wsgi_server):
            yield
            ended.set()

        def test_first(wsgi_server, end):
            assert urlopen(wsgi_server.url).read(1) == b"a"

        def test_second(wsgi_server):
            assert wsgi_server.requests == []
        """,
        "-W",
        "ignore",
    )
    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(["*ERROR at teardown of test_first*", "*RuntimeError: late*"])


def test_a_test_that_leaves_a_request_under_way_is_named_and_the_next_is_not_failed_by_it(
    project: pytest.Pytester,
) -> None:
    """What such a request raises is seen by nobody; with warnings as errors it is that test which fails."""
    tests = """
        import socket, threading
        from urllib.request import urlopen
        import pytest

        go, come, failed = threading.Event(), threading.Event(), threading.Event()

        @pytest.fixture
        def wsgi_app():
            def mine(environ, start_response):
                if environ["PATH_INFO"] == "/left":
                    environ["wsgiserver.will_block"]()
                    come.set()
                    assert go.wait(30)
                    raise RuntimeError("late")
                start_response("200 OK", [("Content-Type", "text/plain")])
                return [b"quick"]
            return mine

        def test_leaving(wsgi_server):
            with socket.create_connection(wsgi_server.address) as client:
                client.sendall(b"GET /left HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n")
                assert come.wait(30)

        def test_next(wsgi_server):
            wsgi_server.site.observers += ((lambda exchange: failed.set(), False),)
            go.set()
            assert failed.wait(30)
            assert urlopen(wsgi_server.url + "/quick").read() == b"quick"
            wsgi_server.wait_idle()
            assert [each.request.target for each in wsgi_server.requests] == ["/quick"]
    """
    result = run(project, tests)
    result.assert_outcomes(passed=2, warnings=1)
    result.stdout.fnmatch_lines(["test_shop.py::test_leaving", "*is not seen:*", "*GET /left: is under way*"])
    result = run(project, tests, "-W", "error::pytest.PytestWarning")
    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(["*ERROR at teardown of test_leaving*"])


def test_a_live_server_that_a_test_has_stopped_is_replaced_for_the_next(project: pytest.Pytester) -> None:
    run(
        project,
        """
        from urllib.request import urlopen
        import pytest

        urls = []

        @pytest.mark.parametrize("stop", [False, True, False, False])
        def test_live(wsgi_server, stop):
            assert urlopen(wsgi_server.url).read() == b"shop "
            assert len(wsgi_server.requests) == 1
            urls.append(wsgi_server.url)
            if stop:
                wsgi_server.stop()
                with pytest.raises(OSError):
                    urlopen(wsgi_server.url)

        def test_there_were_two():
            assert urls[0] == urls[1] and urls[2] == urls[3]
        """,
    ).assert_outcomes(passed=5)


def test_a_raw_connection_is_shown_exchange_by_exchange_with_what_the_application_wrote(
    project: pytest.Pytester,
) -> None:
    result = run(
        project,
        """
        def test_many(wire_client):
            for number in range(30):
                wire_client.request("POST", f"/{number}", body=b"x" * 500)
            wire_client.request("GET", "/fail?token=confidential")
            wire_client.log.write("token=confidential\\n")
            assert False

        def test_closed(wire_client):
            wire_client.log.close()
            assert False
        """,
        "--no-showlocals",
        "--tb=line",
    )
    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines(
        [
            "*WSGI connection (call)*",
            "> POST /11 HTTP/1.1",
            "< HTTP/1.1 200 OK",
            "> POST /12 HTTP/1.1",
            "> POST /29 HTTP/1.1",
            "> GET /fail[?]token=[*][*][*] HTTP/1.1",
            "< HTTP/1.1 500 Internal Server Error",
            "! RuntimeError: the shop is closed",
            "*wsgi.errors (call)*",
            "wsgiserver: GET '/fail': the application failed",
            "RuntimeError: the shop is closed",
            "token=[*][*][*]",
        ]
    )
    result.stdout.no_fnmatch_line("> POST /10 HTTP/1.1")
    assert "confidential" not in result.stdout.str()


STRICT = """
    import pytest, shop

    @pytest.fixture
    def wsgi_app():
        return shop.forgiven

    def test_it(testapp):
        testapp.get("/")
"""


def test_strict_mode_is_asked_for_on_the_command_line_or_in_the_configuration(project: pytest.Pytester) -> None:
    run(project, STRICT).assert_outcomes(passed=1)
    result = run(project, STRICT, "--wsgi-strict")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*StrictError*"])
    project.makepyprojecttoml('[tool.pytest.ini_options]\npythonpath = "."\nwsgi_strict = true\n')
    run(project, STRICT).assert_outcomes(failed=1)


FAULTY = """
    import pytest

    class Unclosable(list):
        def close(self):
            raise RuntimeError("close")

    @pytest.fixture
    def wsgi_app():
        def mine(environ, start_response):
            start_response("200 OK", [("Content-Type", "text/plain")])
            path = environ["PATH_INFO"]
            return Unclosable([b"a"]) if path == "/close" else iter([b"a", "b"] if path == "/chunk" else [b"a"])
        return mine

    @pytest.mark.parametrize("path", ["/close", "/chunk"])
    def test_code(wire_client, path):
        assert wire_client.request("GET", path).code == 200

    @pytest.mark.parametrize("path", ["/close", "/chunk"])
    def test_raising(wire_client, path):
        wire_client.raise_errors = True
        with pytest.raises(Exception):
            wire_client.request("GET", path)

    @pytest.mark.parametrize("path", ["/close", "/chunk"])
    def test_expecting(wire_client, path):
        wire_client.request("GET", path)
        assert isinstance(wire_client.errors.pop(), Exception)

    def test_right(wire_client):
        assert wire_client.request("GET", "/").text == "a"
"""


def test_in_strict_mode_a_fault_on_a_raw_connection_that_nobody_was_shown_fails_the_test(
    project: pytest.Pytester,
) -> None:
    run(project, FAULTY).assert_outcomes(passed=7)
    result = run(project, FAULTY, "--wsgi-strict")
    result.assert_outcomes(passed=7, errors=2)
    result.stdout.fnmatch_lines(
        [
            "*ERROR at teardown of test_code*/close*",
            "*StrictError: close-failed*",
            "*ERROR at teardown of test_code*/chunk*",
            "*StrictError: chunk-type*",
        ]
    )


def test_it_works_when_tests_run_side_by_side(project: pytest.Pytester) -> None:
    tests = """
        import pytest
        from urllib.request import urlopen

        @pytest.mark.parametrize("number", range(6))
        def test_live(wsgi_server, testapp, number):
            assert urlopen(wsgi_server.url).read() == b"shop "
            assert number != 3
    """
    result = run(project, tests, "-p", "xdist", "-n", "2")
    result.assert_outcomes(passed=5, failed=1)
    result.stdout.fnmatch_lines(
        ["*WSGI requests (call)*", "GET /: 200 OK", "*on the socket (call)*", "> GET / HTTP/1.1"]
    )


def test_it_takes_no_name_of_the_plugins_for_frameworks() -> None:
    """pytest-flask and pytest-django have these."""
    from wsgiserver import pytest_plugin

    taken = {"app", "client", "client_class", "config", "live_server", "settings", "admin_client", "rf", "db"}
    assert taken.isdisjoint(vars(pytest_plugin))


def test_loading_it_loads_nothing_of_the_package_that_a_fixture_may_need_later() -> None:
    code = """
import sys, pytest, wsgiserver
before = set(sys.modules)
import wsgiserver.pytest_plugin
print(sorted(set(sys.modules) - before))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "['wsgiserver.pytest_plugin']\n"


def test_a_transaction_of_a_django_test_outlives_the_requests_in_it(project: pytest.Pytester) -> None:
    """pytest-django rolls back what a test has done; Django closes connections between requests."""
    pytest.importorskip("django")
    run(
        project,
        """
        import pytest, django
        from django.conf import settings

        database = {"ENGINE": "django.db.backends.sqlite3", "NAME": "names.sqlite3"}
        settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], DATABASES={"default": database})
        django.setup()

        from django.core.handlers.wsgi import WSGIHandler
        from django.core.signals import request_finished, request_started
        from django.db import close_old_connections, connection, transaction
        from django.http import HttpResponse
        from django.urls import path

        def names(request):
            with connection.cursor() as cursor:
                return HttpResponse(cursor.execute("select name from names").fetchall())

        urlpatterns = [path("", names)]

        @pytest.fixture
        def wsgi_app():
            return WSGIHandler()

        @pytest.fixture
        def ann():
            with transaction.atomic():
                with connection.cursor() as cursor:
                    cursor.execute("create table names (name text)")
                    cursor.execute("insert into names values ('Ann')")
                yield
                transaction.set_rollback(True)
            assert connection.introspection.table_names() == []

        def test_it(ann, testapp, wire_client):
            for _ in range(2):
                assert "Ann" in testapp.get("/").text
                assert "Ann" in wire_client.request("GET", "/").text
            assert connection.introspection.table_names() == ["names"]
            for signal in (request_started, request_finished):
                assert signal.disconnect(close_old_connections)
        """,
    ).assert_outcomes(passed=1)


# -- The pages of the documentation ------------------------------------------------------------------------------------

DOCS = Path(__file__).parents[1] / "docs"
NEEDED = {"testing-browser": ["selenium"], "testing-flask": ["flask"], "testing-django": ["django"]}


@pytest.mark.parametrize("page", sorted((DOCS / "howto").glob("testing-*.md")), ids=lambda page: page.stem)
def test_the_tests_in_a_page_of_the_documentation_pass(project: pytest.Pytester, page: Path) -> None:
    for module in NEEDED.get(page.stem, []):
        pytest.importorskip(module)
    if page.stem == "testing-browser" and not (shutil.which("chromedriver") and shutil.which("chromium")):
        pytest.skip("chromium and chromedriver are not installed")
    project.makepyprojecttoml('[tool.pytest.ini_options]\npythonpath = "."\n')
    write(project, page.read_text())
    (project.path / "test_playwright.py").unlink(missing_ok=True)  # see below
    run_all(project)
    run_all(project, "--wsgi-strict")


@pytest.mark.skipif(find_spec("pytest_playwright") is None, reason="pytest-playwright is not installed")
@pytest.mark.skipif(not Path("/usr/bin/chromium").exists(), reason="there is no /usr/bin/chromium")
def test_the_tests_with_playwright_pass(project: pytest.Pytester) -> None:
    write(project, (DOCS / "howto" / "testing-browser.md").read_text())
    (project.path / "test_selenium.py").unlink()
    run_all(project, "-p", "pytest_playwright.pytest_playwright")


def run_all(project: pytest.Pytester, *options: str) -> None:
    """Run all tests of a project; each must pass."""
    result = project.runpytest_subprocess("-p", "wsgiserver.pytest_plugin", *options, "-W", "ignore")
    tests = "".join(path.read_text() for path in project.path.glob("test_*.py"))
    result.assert_outcomes(passed=tests.count("def test_"))


def write(project: pytest.Pytester, page: str, mark: str = "") -> None:
    """Write the files of a page: the blocks whose first line is a file's name, with this mark behind it.

    That line is written too, as readers do, so that numbers of lines are theirs.
    """
    blocks = rf"^```(?:python|toml)\n(# ([\w.]+){re.escape(mark)}\n.*?)^```$"
    for content, name in re.findall(blocks, page, re.MULTILINE | re.DOTALL):
        (project.path / name).write_text(content)


def test_the_tutorial_goes_as_it_says(project: pytest.Pytester) -> None:
    page = (DOCS / "tutorial" / "testing.md").read_text()
    options = ("-p", "wsgiserver.pytest_plugin", "-W", "ignore")
    write(project, page)
    project.runpytest_subprocess(*options, "test_shop.py").assert_outcomes(passed=2)
    result = project.runpytest_subprocess(*options, "test_shop.py", "--wsgi-strict")
    result.assert_outcomes(passed=1, failed=1)
    shown = re.search(r"^E  wsgiserver.*?\n\n", page, re.MULTILINE | re.DOTALL)
    assert shown
    told = [line.split(None, 1)[1].replace("/home/ann/shop", "*") for line in shown[0].splitlines() if line]
    result.stdout.fnmatch_lines([f"E*{line}" for line in told])
    write(project, page, ", mended")
    project.runpytest_subprocess(*options, "--wsgi-strict").assert_outcomes(passed=5)
