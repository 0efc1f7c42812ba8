"""A client in memory that reads what the server sends with http.client, a reader that is not this project's."""

import io
from collections.abc import Iterable
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPResponse
from typing import Any

from clients import Client

from wsgiserver.site import Application, Environ
from wsgiserver.states import State

# RFC 9110 section 15; before 3.13, Python has the names of RFC 7231.
RENAMED = {413: "Content Too Large", 414: "URI Too Long"}
ENDED = (State.LINGERING, State.CLOSED)


def phrase(status: int) -> str:
    """Give the reason phrase that RFC 9110 has for a status."""
    return RENAMED.get(status, HTTPStatus(status).phrase)


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


class Talk(Client):
    """One connection, from its first byte to its last."""

    def say(self, data: bytes) -> "Talk":
        """Let the client send, and the server do all that it then can."""
        self.send(data)
        return self

    def leave(self) -> "Talk":
        """Let the client close its sending side."""
        self.finish()
        return self

    @property
    def sent(self) -> bytes:
        """All that the server sent."""
        return bytes(self.stream.sent)

    @property
    def closed(self) -> bool:
        """Whether the server has ended the connection, or its sending side."""
        return self.state in ENDED

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


def talk(data: bytes, application: Application = hello, **settings: Any) -> Talk:
    """Let a client send ``data`` to an application's server."""
    return Talk(application, **settings).say(data)


def head(*lines: str, start: str = "GET / HTTP/1.1", host: str = "example.com") -> bytes:
    """Make a head with Host and these field lines."""
    return "".join(f"{line}\r\n" for line in (start, f"Host: {host}", *lines, "")).encode("latin-1")


def post(*lines: str) -> bytes:
    return head(*lines, start="POST / HTTP/1.1")


def chunked(body: bytes, *lines: str) -> bytes:
    """Make a request whose body comes in chunks; ``body`` is what stands on the wire."""
    return post("Transfer-Encoding: chunked", *lines) + body
