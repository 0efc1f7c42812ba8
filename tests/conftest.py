"""What tests over real sockets share: a server that must leave nothing behind, and a client that hides nothing."""

import http.client
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from wsgiserver import Server
from wsgiserver.connection import Connection
from wsgiserver.states import NEXT, State

# Seconds after which a test that waits for the other side has failed. No test that passes waits as long.
PATIENCE = 30.0

# An example that takes long tells of a busy machine, not of a mistake.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")


class Client:
    """One connection: sends bytes as they are, and reads responses with http.client, one after the other."""

    def __init__(self, address: tuple[str, int] | str) -> None:
        if isinstance(address, str):
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.settimeout(PATIENCE)
            self.socket.connect(address.replace("@", "\0", 1) if address.startswith("@") else address)
        else:
            self.socket = socket.create_connection(address, timeout=PATIENCE)
        self.stream = self.socket.makefile("rb")

    def send(self, data: bytes) -> "Client":
        self.socket.sendall(data)
        return self

    def get(self, path: str = "/", *lines: str) -> http.client.HTTPResponse:
        """Ask for a path in HTTP/1.1, and read the response."""
        self.send("".join(f"{line}\r\n" for line in (f"GET {path} HTTP/1.1", "Host: test", *lines, "")).encode())
        return self.response()

    def response(self, method: str = "GET") -> http.client.HTTPResponse:
        """Read the next response; its body stands in ``content``."""
        response = http.client.HTTPResponse(_Lender(self.stream), method=method)  # type: ignore[arg-type]
        response.begin()
        response.content = response.read()  # type: ignore[attr-defined]
        return response

    def rest(self) -> bytes:
        """Read until the server ends the connection."""
        return self.stream.read()

    def end(self) -> "Client":
        """Close the sending side."""
        self.socket.shutdown(socket.SHUT_WR)
        return self

    def close(self) -> None:
        self.stream.close()
        self.socket.close()


class _Lender:
    """Lends http.client the stream of a connection, which it would close with its response."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def makefile(self, mode: str) -> "_Lender":
        return self

    def close(self) -> None:
        pass


# Moves of a connection from one state to another that the table does not know.
_unknown_moves: list[str] = []
_state = vars(Connection)["state"]  # the slot


def _move(connection: Connection, state: State) -> None:
    before = getattr(connection, "state", None)
    if before is not None and state is not before and state not in NEXT[before]:
        _unknown_moves.append(f"{before.name} to {state.name}")
    _state.__set__(connection, state)


Connection.state = property(_state.__get__, _move)  # type: ignore[assignment, method-assign]


@pytest.fixture(autouse=True)
def only_known_moves() -> Iterator[None]:
    """Fail the test in which a connection, on whichever thread, makes a move that is not in the table of states."""
    _unknown_moves.clear()
    yield
    assert not _unknown_moves


@pytest.fixture
def nothing_left() -> Iterator[None]:
    """Fail the test when a thread or a descriptor that it opened is still there when it is over."""
    threads, descriptors = set(threading.enumerate()), _descriptors()
    yield
    new = [thread for thread in threading.enumerate() if thread not in threads]
    for thread in new:
        thread.join(PATIENCE)
    assert not [thread for thread in new if thread.is_alive()], "threads were left over"
    assert not _descriptors().items() - descriptors.items(), "descriptors were left open"


def _descriptors() -> dict[str, str]:
    """List what this process has open, by number; nothing where the system does not tell."""
    found = {}
    for entry in Path("/proc/self/fd").glob("*"):
        try:
            found[entry.name] = os.readlink(entry)
        except OSError:  # the descriptor by which the folder was read
            continue
    return found


@pytest.fixture
def at_the_end(nothing_left: None) -> Iterator[ExitStack]:
    """Give a stack of what is to be closed when the test is over, the last first."""
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def serve(at_the_end: ExitStack) -> Callable[..., Server]:
    """Give ``serve(app, **settings)``: a server on a free port of 127.0.0.1, stopped when the test is over."""

    def start(app: Any, **settings: Any) -> Server:
        return at_the_end.enter_context(Server(app, **{"bind": "127.0.0.1:0", **settings}))

    return start


@pytest.fixture
def connect(at_the_end: ExitStack) -> Callable[[Any], Client]:
    """Give ``connect(server)`` or ``connect(address)``: a client, closed when the test is over."""

    def start(where: Any) -> Client:
        client = Client(where.address if isinstance(where, Server) else where)
        at_the_end.callback(client.close)
        return client

    return start
