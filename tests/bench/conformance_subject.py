"""A server under test: starts it with the application of the cases, gives connections to it and what it noted."""

from __future__ import annotations

import json
import os
import platform
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .conformance_talk import DEADLINE, Failed, Late, Talk
from .process import Running, ServerError
from .servers import HOST, SERVERS, Launch, Server

APPLICATION = "tests.bench.conformance_app:application"
PLAIN = b"GET /healthy HTTP/1.1\r\nHost: example.com\r\nConnection: close\r\n\r\n"
RECOVERY = 2.0
"""Seconds that a server has to answer a plain request after a case that went wrong."""

Note = dict[str, Any]


class Included(Server):
    """A server that comes with Python."""

    @property
    def version(self) -> str:
        return platform.python_version()


def _by_code(code: str) -> Callable[[Launch], list[str]]:
    def arguments(launch: Launch) -> list[str]:
        module, _, attribute = launch.application.partition(":")
        values = f"from {module} import {attribute} as app; host, port = {HOST!r}, {launch.port}"
        return ["-c", f"{values}\n{code}"]

    return arguments


MORE_SERVERS = (
    Server(
        name="cheroot",
        distribution="cheroot",
        arguments=_by_code("from cheroot.wsgi import Server; Server((host, port), app).safe_start()"),
        settings="as it comes: 10 threads",
    ),
    Server(
        name="werkzeug",
        distribution="werkzeug",
        arguments=_by_code("from werkzeug.serving import run_simple; run_simple(host, port, app, threaded=True)"),
        settings="`run_simple` with a thread for each connection",
    ),
    Included(
        name="wsgiref",
        distribution="",
        arguments=_by_code(
            "from wsgiref.simple_server import make_server; make_server(host, port, app).serve_forever()"
        ),
        settings="`simple_server` as it comes: one thread, HTTP/1.0",
    ),
)
ALL_SERVERS = {server.name: server for server in (*SERVERS, *MORE_SERVERS)}


class Subject:
    """A running server; a context manager. `restarts` counts how often it died or hung, and was started anew."""

    def __init__(self, server: Server) -> None:
        self.restarts = 0
        self._server = server
        self._stack = ExitStack()
        self._directory = Path(self._stack.enter_context(tempfile.TemporaryDirectory()))
        self._notes = self._directory / "notes"
        self._gate = self._directory / "gate"
        self._read = 0
        self._talk: Talk | None = None

    def __enter__(self) -> Subject:
        self._start()
        return self

    def __exit__(self, *exception: object) -> None:
        with suppress(AttributeError):
            self._running.stop()
        self._stack.close()

    def _start(self) -> None:
        cores = ",".join(map(str, sorted(os.sched_getaffinity(0))))
        self._running = Running(self._server, Launch(application=APPLICATION, port=0), cores, self._directory)
        self._running.wait_ready()

    def begin(self) -> None:
        """Forget what was noted before: a case begins."""
        self._talk = None
        self._gate.unlink(missing_ok=True)
        self._read = self._notes.stat().st_size if self._notes.exists() else 0

    def talk(self) -> Talk:
        """Open a connection."""
        try:
            self._talk = Talk(self._running.launch.port)
        except TimeoutError as error:
            raise Late("it takes no connection") from error
        except OSError as error:
            raise Failed(f"it takes no connection: {error.strerror}") from error
        return self._talk

    def open_gate(self) -> None:
        """Let the application go on that waits for the client to have seen its first piece."""
        self._gate.touch()

    def notes(self, case: str = "", count: int = 0, seconds: float = DEADLINE) -> list[Note]:
        """Give what the application of the case has noted; wait until there are so many notes, or for so long."""
        until = time.monotonic() + seconds
        while len(found := self._noted(case)) < count and time.monotonic() < until:
            time.sleep(0.002)
        return found

    def _noted(self, case: str) -> list[Note]:
        if not self._notes.exists():
            return []
        with self._notes.open("rb") as file:
            file.seek(self._read)
            lines = file.read().split(b"\n")[:-1]
        notes: list[Note] = [note for note in map(json.loads, lines) if note["case"] == case]
        if case or self._talk is None:
            return notes
        # A late note of the request before has another port, where the server tells ports.
        return [note for note in notes if note["port"] in ("", str(self._talk.port))]

    @property
    def silent(self) -> bool:
        """Whether the last connection brought nothing, as when the server has died."""
        return self._talk is None or not self._talk.received

    def trouble(self) -> str:
        """Tell what has become of the server, empty when it still serves; what has died or hangs is started anew."""
        try:
            self._running.check_alive()
            with Talk(self._running.launch.port, deadline=RECOVERY) as talk:
                if talk.send(PLAIN).try_answer() is not None:
                    return ""
            what = "it hung"
        except ServerError:
            what = "it died"
        except (OSError, Failed):
            what = "it hung"
        self._running.stop()
        self._start()
        self.restarts += 1
        return what


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One thing that a server does rightly or not."""

    kind: str
    """Which total it counts in: accept, refuse, pep or open."""
    group: str
    name: str
    title: str
    check: Callable[[Subject], None]
    """Raises Failed when the server does not pass."""


def judge(case: Case, subject: Subject) -> str:
    """Give the reason why the server did not pass; empty when it did."""
    reason, again = _attempt(case, subject)
    if again and not subject.trouble():
        reason, again = _attempt(case, subject)
    if (reason or subject.silent) and (trouble := subject.trouble()):
        return f"{reason}; {trouble}" if reason else trouble
    return reason


def printable(text: str) -> str:
    """Escape what a server said, so that it disturbs neither a terminal nor the page."""
    return "".join(character if character.isprintable() else repr(character)[1:-1] for character in text)


def _attempt(case: Case, subject: Subject) -> tuple[str, bool]:
    """Try once; give the reason, and whether only time was missing."""
    subject.begin()
    try:
        case.check(subject)
    except Failed as failure:
        return printable(str(failure)), isinstance(failure, Late)
    return "", False
