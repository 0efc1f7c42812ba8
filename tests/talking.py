"""A client in memory: its bytes go into a connection and the server's come back; no sockets, no threads, no clock."""

import io
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from http import HTTPStatus
from http.client import HTTPResponse
from typing import Any

from wsgiserver.connection import Connection
from wsgiserver.environ import base_environ
from wsgiserver.exchange import Exchange
from wsgiserver.settings import Settings
from wsgiserver.site import Application, Environ, Site
from wsgiserver.states import State

NOW = 1000.0
# RFC 9110 section 15; before 3.13, Python has the names of RFC 7231.
RENAMED = {413: "Content Too Large", 414: "URI Too Long"}
ENDED = (State.LINGERING, State.CLOSED)


def phrase(status: int) -> str:
    """Give the reason phrase that RFC 9110 has for a status."""
    return RENAMED.get(status, HTTPStatus(status).phrase)


def nothing_more(size: int) -> bytes:
    """Receive nothing: what the client sends is given to the connection."""
    raise BlockingIOError


class Wire:
    """A transport that takes all it is given, at once."""

    def __init__(self) -> None:
        self.sent = bytearray()
        self.peer = "192.0.2.1:4711"
        self.peer_host = "192.0.2.1"
        self.peer_port = "4711"
        self.recv: Callable[[int], bytes] = nothing_more
        self.send: Callable[..., int] = self._take
        self.more = 0
        self.sendmsg: Callable[[Any], int] | None = None

    def _take(self, data: Any, flags: int = 0) -> int:
        self.sent += data
        return len(data)

    @property
    def sendfile(self) -> None:
        return None

    def wait_writable(self, timeout: float) -> bool:
        return True

    def push(self) -> None:
        pass

    def shut(self) -> None:
        pass

    def close(self) -> None:
        pass

    def reset(self) -> None:
        pass


@dataclass
class Response:
    """One response, as http.client reads it."""

    status: int
    reason: str
    headers: list[tuple[str, str]]
    body: bytes

    def all(self, name: str) -> list[str]:
        return [value for other, value in self.headers if other.lower() == name.lower()]

    def get(self, name: str) -> str | None:
        values = self.all(name)
        assert len(values) <= 1, f"{name} was sent {len(values)} times"
        return values[0] if values else None


@dataclass
class Talk:
    """One connection, from its first byte to its last."""

    application: Application
    settings: Settings = field(default_factory=Settings)
    environs: list[Environ] = field(default_factory=list)
    exchanges: list[Exchange] = field(default_factory=list)
    errors: io.StringIO = field(default_factory=io.StringIO)

    def __post_init__(self) -> None:
        self._wire = Wire()
        self._handed_in = False
        site = Site(self._call, self.settings, self.errors, observers=[self.exchanges.append])
        self._connection = Connection(site, self._wire, base_environ(site, "server", "80"), self._hand_in, NOW)

    def _call(self, environ: Environ, start_response: Any) -> Iterable[bytes]:
        self.environs.append(environ)
        return self.application(environ, start_response)

    def _hand_in(self, connection: Connection) -> None:
        self._handed_in = True

    def say(self, data: bytes) -> "Talk":
        """Let the client send, and the server do all that it then can, as the loop would."""
        connection = self._connection
        if not self.closed:
            connection.receive(data)
        more = True
        while more and not self.closed:
            more = False
            if connection.advance(NOW):
                connection.run()
            if self._handed_in:
                self._handed_in = False
                more = connection.flush(NOW)
        connection.site.show_finished()
        return self

    def leave(self) -> "Talk":
        """Let the client close its sending side."""
        self._connection.receive(b"")
        self._connection.site.show_finished()
        return self

    @property
    def sent(self) -> bytes:
        """All that the server sent."""
        return bytes(self._wire.sent)

    @property
    def closed(self) -> bool:
        """Whether the server has ended the connection, or its sending side."""
        return self._connection.state in ENDED

    def responses(self, *methods: str) -> list[Response]:
        """Take what was sent apart, with http.client; ``methods`` are those of the requests (GET where left out)."""
        stream = _Stream(self.sent)
        found: list[Response] = []
        while stream.tell() < len(self.sent):
            method = methods[len(found)] if len(found) < len(methods) else "GET"
            response = HTTPResponse(_Socket(stream), method=method)  # type: ignore[arg-type]
            response.begin()
            found.append(Response(response.status, response.reason, response.getheaders(), response.read()))
        return found

    def response(self, method: str = "GET") -> Response:
        """Give the only response; ``method`` is that of its request."""
        (response,) = self.responses(method)
        return response


class _Stream(io.BytesIO):
    def close(self) -> None:
        """Stay open: the next response is read from here too."""


@dataclass
class _Socket:
    stream: _Stream

    def makefile(self, mode: str) -> _Stream:
        return self.stream


def hello(environ: Environ, start_response: Any) -> Iterable[bytes]:
    """Answer at once, with a length that is known."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello"]


def answering(status: str, headers: list[tuple[str, str]], body: Iterable[bytes]) -> Application:
    """Make an application that always answers so; a list has a known length, an iterator has none."""

    def application(environ: Environ, start_response: Any) -> Iterable[bytes]:
        start_response(status, list(headers))
        return iter(body) if not isinstance(body, list) else body

    return application


def talk(data: bytes, application: Application = hello, **settings: Any) -> Talk:
    """Let a client send ``data`` to an application's server."""
    return Talk(application, Settings(**settings)).say(data)


GET = b"GET / HTTP/1.1\r\nHost: example.com\r\n\r\n"
GET_1_0 = b"GET / HTTP/1.0\r\n\r\n"


def head(*lines: str, start: str = "GET / HTTP/1.1", host: str = "example.com") -> bytes:
    """Make a head with Host and these field lines."""
    return "".join(f"{line}\r\n" for line in (start, f"Host: {host}", *lines, "")).encode("latin-1")


def post(*lines: str) -> bytes:
    return head(*lines, start="POST / HTTP/1.1")


def chunked(body: bytes, *lines: str) -> bytes:
    """Make a request whose body comes in chunks; ``body`` is what stands on the wire."""
    return post("Transfer-Encoding: chunked", *lines) + body
