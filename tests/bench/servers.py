"""The servers: how each is started as one process, with the settings that a fair person would choose."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib import metadata

HOST = "127.0.0.1"
MANY = 2000
"""Connections that peers with a low limit are let have, so that `conns` measures serving, not refusing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """What a server is started for."""

    application: str
    """As ``module:attribute``."""
    port: int
    threads: int = 0
    """0: as the server, or its documentation, has it by default."""
    access_log: bool = False
    """To the standard output, which is a file."""
    command_line: bool = False
    """As one types it, where that differs from the best way to start it."""

    @property
    def address(self) -> str:
        return f"{HOST}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """One server; `arguments` gives the arguments of the Python interpreter that start it."""

    name: str
    distribution: str
    arguments: Callable[[Launch], list[str]]
    settings: str
    has_access_log: bool = False

    @property
    def version(self) -> str:
        """The version that is installed; empty when none is."""
        try:
            return metadata.version(self.distribution)
        except metadata.PackageNotFoundError:
            return ""


def _wsgiserver(launch: Launch) -> list[str]:
    return ["-m", "wsgiserver", *_wsgiserver_options(launch)]


def _one_by_one(launch: Launch) -> list[str]:
    code = "from wsgiserver import cli, loop; assert loop.COHORT; loop.COHORT = 1; cli.main()"
    return ["-c", code, *_wsgiserver_options(launch)]


def _wsgiserver_options(launch: Launch) -> list[str]:
    arguments = [launch.application, "--bind", launch.address]
    if not launch.access_log:
        arguments += ["--no-access-log", "--quiet"]
    if launch.threads:
        arguments.append(f"--threads={launch.threads}")
    return arguments


def _by_launcher(name: str) -> Callable[[Launch], list[str]]:
    def arguments(launch: Launch) -> list[str]:
        return ["-m", "tests.bench.peers", name, launch.application, str(launch.port), str(launch.threads)]

    return arguments


def _waitress(launch: Launch) -> list[str]:
    if launch.command_line:
        return ["-m", "waitress", f"--listen={launch.address}", launch.application]
    return _by_launcher("waitress")(launch)


def _gunicorn(launch: Launch) -> list[str]:
    arguments = ["-m", "gunicorn", f"--bind={launch.address}", "--workers=1", "--worker-class=gthread"]
    arguments += [f"--threads={launch.threads or 4}", f"--worker-connections={MANY}", "--log-level=error"]
    arguments += ["--no-control-socket", "--access-logfile=-"] if launch.access_log else ["--no-control-socket"]
    return [*arguments, launch.application]


def _granian(launch: Launch) -> list[str]:
    arguments = ["-m", "granian", "--interface=wsgi", f"--host={HOST}", f"--port={launch.port}"]
    arguments += ["--workers=1", "--http=1", "--no-ws"]
    arguments += ["--access-log"] if launch.access_log else ["--no-log"]
    if launch.threads:
        arguments.append(f"--blocking-threads={launch.threads}")
    return [*arguments, launch.application]


OURS = "wsgiserver"

SERVERS = (
    Server(
        name=OURS,
        distribution="wsgiserver-micro",
        arguments=_wsgiserver,
        settings="as it comes: 16 threads, every check and deadline on",
        has_access_log=True,
    ),
    Server(
        name="bjoern",
        distribution="bjoern-binary",
        arguments=_by_launcher("bjoern"),
        settings="as it comes: one thread, no deadlines",
    ),
    Server(
        name="freastal",
        distribution="freastal",
        arguments=_by_launcher("freastal"),
        settings="as it comes: one thread, no deadlines",
    ),
    Server(
        name="fastpysgi",
        distribution="fastpysgi",
        arguments=_by_launcher("fastpysgi"),
        settings="one thread, no deadlines, TCP_NODELAY on",
    ),
    Server(
        name="granian",
        distribution="granian",
        arguments=_granian,
        settings="one worker, HTTP/1 only, no WebSockets; up to 512 threads, as it comes",
        has_access_log=True,
    ),
    Server(
        name="waitress",
        distribution="waitress",
        arguments=_waitress,
        settings=f"4 threads, as it comes; poll(), {MANY:,} connections, no warnings about its queue",
    ),
    Server(
        name="gunicorn",
        distribution="gunicorn",
        arguments=_gunicorn,
        settings=f"one gthread worker with 4 threads, {MANY:,} connections",
        has_access_log=True,
    ),
)

ONE_THREAD = f"{OURS} --threads 1"
NO_LOG = f"{OURS} --no-access-log"
ONE_BY_ONE = f"{OURS}, one connection a turn"

VARIANTS = {
    name: replace(SERVERS[0], name=name, arguments=arguments, settings=settings)
    for name, arguments, settings in (
        (ONE_THREAD, lambda launch: _wsgiserver(replace(launch, threads=1)), "no watch, no baton: one thread does all"),
        (NO_LOG, lambda launch: _wsgiserver(replace(launch, access_log=False)), "without what the scenario asks for"),
        (ONE_BY_ONE, _one_by_one, "each turn of the loop reads, runs and writes for one connection instead of 16"),
    )
}
"""wsgiserver set otherwise: measured beside it in the scenarios that name it, so that the difference has rounds too."""
