"""Takes a call of a WSGI application, sends it through the server as bytes, in memory, and gives what a client reads.

``wire(app)`` is a WSGI application itself, so whatever calls WSGI applications (WebTest, the clients of Flask and
Werkzeug, httpx, a validator) tests over the real wire with it. The environ that it is called with is written as an
HTTP request; a real connection, reader, gateway and serialiser answer; the bytes that come out are read strictly.
"""

import io
import re
import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple
from urllib.parse import quote, quote_from_bytes, unquote_to_bytes

from wsgiserver.environ import base_environ
from wsgiserver.logs import ErrorStream
from wsgiserver.masking import show, shown
from wsgiserver.memory import (
    Line,
    MemoryStream,
    WatchedSite,
    chunked,
    head_bytes,
    must_reach_caller,
    own_traceback,
    under_test,
)
from wsgiserver.responses import length_of
from wsgiserver.settings import Settings, with_values
from wsgiserver.site import Application, Environ
from wsgiserver.wire_client import WireResponse, read_response

# Made by the server from the bytes, or its own. What else is in an environ reaches the application as it is: what a
# proxy or TLS would tell the server (REMOTE_ADDR, wsgi.url_scheme), and what clients and middleware add.
_MADE: Final = frozenset(
    (
        "REQUEST_METHOD", "SCRIPT_NAME", "PATH_INFO", "QUERY_STRING", "CONTENT_TYPE", "CONTENT_LENGTH", "REQUEST_URI",
        "RAW_URI", "SERVER_PROTOCOL", "SERVER_SOFTWARE", "wsgi.version", "wsgi.input", "wsgi.input_terminated",
        "wsgi.file_wrapper",
    )
)  # fmt: skip
_MADE_PREFIXES: Final = ("HTTP_", "wsgiserver.", "webob.")
# Fields that a server sends and a WSGI application must not (PEP 3333, "Other HTTP Features").
_HOP_BY_HOP: Final = frozenset(("connection", "keep-alive", "transfer-encoding"))
# Written from other variables, if at all: PEP 3333 has the last two without "HTTP_".
_NO_FIELDS: Final = frozenset(("HTTP_HOST", "HTTP_TRANSFER_ENCODING", "HTTP_CONTENT_LENGTH", "HTTP_CONTENT_TYPE"))
# What a path may hold beside letters and digits (RFC 3986 section 3.3); and what no target may hold.
_PATH: Final = "/:@!$&'()*+,;=~"
_NO_TARGET: Final = re.compile(r"[\x00-\x20#\x7f]")
# What a field's value must not hold (RFC 9110 section 5.5).
_NO_VALUE: Final = re.compile(r"[^\t\x20-\x7e\x80-\xff]")
_CHUNK: Final = 64 * 1024


class NotSendable(ValueError):
    """An environ that no HTTP request can carry; ``str()`` says which part of it, and why."""


class StartCall(NamedTuple):
    """One call of ``start_response``, as the application made it."""

    status: Any
    headers: Any
    exc_info: bool


@dataclass(slots=True)
class WireExchange:
    """One request and its response: all that passed between client, server and application.

    Its ``repr``, which stands in reports of tests, shows none of that; ``str()`` masks what looks like a secret.
    """

    request: bytes = field(repr=False)
    response: bytes = field(default=b"", repr=False)
    # What the application was called with; None when it was not called.
    environ: Environ | None = field(default=None, repr=False)
    # Its calls of start_response.
    calls: list[StartCall] = field(default_factory=list, repr=False)
    # What it raised, or did wrong.
    error: BaseException | None = None
    # Monotonic seconds.
    started: float = 0.0
    ended: float = 0.0

    @property
    def seconds(self) -> float:
        """How long it took."""
        return self.ended - self.started

    def __str__(self) -> str:
        return show(self.request, self.response, self.error)


class Wire:
    """A WSGI application that calls another one through HTTP bytes; see ``wire``."""

    def __init__(
        self,
        application: Application,
        *,
        strict: bool,
        raise_errors: bool,
        keep: int,
        protocol: str | None,
        settings: Settings,
    ) -> None:
        self.application = under_test(application, strict or settings.strict)
        self.raise_errors = raise_errors
        self.protocol = protocol
        self.settings = settings
        self.exchanges: deque[WireExchange] = deque(maxlen=keep)

    def __call__(self, environ: Environ, start_response: Any) -> Iterable[bytes]:
        """Send the call over the wire, and answer as the response does."""
        __tracebackhide__ = True  # pytest shows the application's frames and the test's, not these
        call = _Call(self.application, environ, write_request(environ, self.protocol))
        exchange = call.exchange
        self.exchanges.append(exchange)
        environ["wsgiserver.exchange"] = exchange
        call.run(self.settings, taken=self.raise_errors)
        error = exchange.error
        if error is not None and (self.raise_errors or must_reach_caller(error)):
            raise own_traceback(error)
        response = _final(exchange.response, environ["REQUEST_METHOD"])
        headers = [(name, value) for name, value in response.headers if name.lower() not in _HOP_BY_HOP]
        start_response(response.status, headers)
        pieces = response.chunks or ([response.body] if response.body else [])
        return pieces if response.complete else _broken(pieces, response)

    def __repr__(self) -> str:
        return f"<wire to {self.application!r}>"


def wire(
    application: Application,
    *,
    strict: bool = False,
    raise_errors: bool = True,
    keep: int = 20,
    protocol: str | None = None,
    settings: Settings | None = None,
    **overrides: Any,
) -> Wire:
    """Make a WSGI application that calls ``application`` over HTTP, in memory and in the calling thread.

    What the application raises reaches the caller, as it does without a wire; with ``raise_errors=False`` the caller
    sees what a client would: a 500, or ``http.client.IncompleteRead`` behind what came of a body that was cut. Ctrl-C,
    ``pytest.fail`` and the like reach the caller always.

    The last ``keep`` exchanges are in ``exchanges``, and the latest in the caller's ``environ["wsgiserver.exchange"]``.
    ``strict`` makes faults that a server forgives failures. ``protocol`` ("HTTP/1.1") outranks the environ's
    ``SERVER_PROTOCOL``. Keyword arguments are the settings of the server: ``wire(app, limit_body=100)``.

    A call raises ``NotSendable`` for an environ that no client could send.
    """
    chosen = with_values(settings, overrides)
    return Wire(application, strict=strict, raise_errors=raise_errors, keep=keep, protocol=protocol, settings=chosen)


class _Call:
    """One call, from the caller's environ to the response's bytes."""

    def __init__(self, application: Application, environ: Environ, request: bytes) -> None:
        self.application = application
        self.environ = environ
        self.exchange = WireExchange(request)
        # The server knows no mount point; the application gets it back as the caller had it.
        self._mount = environ.get("SCRIPT_NAME", "")

    def run(self, settings: Settings, *, taken: bool) -> None:
        """Let the server answer; ``taken``: the caller gets what is raised, so that nobody need write it."""
        exchange, environ = self.exchange, self.environ

        def note(error: BaseException) -> bool:
            if exchange.error is None or must_reach_caller(error):
                exchange.error = error
            return taken or must_reach_caller(error)

        site = WatchedSite(self._serve, settings, environ.get("wsgi.errors") or ErrorStream(), on_error=note)
        base = base_environ(site, environ.get("SERVER_NAME", "localhost"), environ.get("SERVER_PORT", "80"))
        for key, value in environ.items():
            if key not in _MADE and not key.startswith(_MADE_PREFIXES):
                base[key] = value
        stream = MemoryStream(environ.get("REMOTE_ADDR", "127.0.0.1"), environ.get("REMOTE_PORT", "50000"))
        stream.inbox += exchange.request
        exchange.started = time.monotonic()
        line = Line(site, stream, base, exchange.started)
        line.work()
        line.end()
        exchange.ended = time.monotonic()
        exchange.response = bytes(stream.sent)

    def _serve(self, environ: Environ, start_response: Any) -> Iterable[bytes]:
        """Stand in for the application: note what passes, and call it."""
        mount, path = self._mount, environ["PATH_INFO"]
        if mount and (path == mount or path.startswith(mount + "/")):
            environ["SCRIPT_NAME"], environ["PATH_INFO"] = mount, path[len(mount) :]
        self.exchange.environ = environ.copy()
        calls = self.exchange.calls

        def start(*args: Any, **named: Any) -> Any:
            told = dict(zip(("status", "headers", "exc_info"), args, strict=False), **named)
            status, headers = told.get("status"), told.get("headers")
            headers = headers.copy() if type(headers) is list else headers
            calls.append(StartCall(status, headers, told.get("exc_info") is not None))
            return start_response(*args, **named)

        return self.application(environ, start)


def _final(data: bytes, method: str) -> WireResponse:
    """Give the response behind those that are interim (1xx)."""
    while data:
        response = read_response(data, method, ended=True)
        assert response is not None
        if response.code >= 200:
            return response
        data = data[len(response.raw) :]
    from http.client import RemoteDisconnected

    raise RemoteDisconnected("the server closed the connection without a response")


def _broken(pieces: list[bytes], response: WireResponse) -> Iterator[bytes]:
    """Give what came of a body, and then what a client says when the rest does not come."""
    from http.client import IncompleteRead

    yield from pieces
    promised = response.get("Content-Length")
    raise IncompleteRead(response.body, int(promised) - len(response.body) if promised else None)


# -- The environ as a request ------------------------------------------------------------------------------------------


def write_request(environ: Environ, protocol: str | None = None) -> bytes:
    """Give the HTTP request that a client would have sent for this environ, its body read from ``wsgi.input``.

    Raises ``NotSendable`` for an environ that no client could send.
    """
    protocol = protocol or environ.get("SERVER_PROTOCOL", "HTTP/1.1")
    protocol = "HTTP/1.0" if protocol == "HTTP/1.0" else "HTTP/1.1"
    lines = [f"{environ['REQUEST_METHOD']} {_target(environ)} {protocol}", f"Host: {_host(environ)}"]
    for key, value in environ.items():
        if key.startswith("HTTP_") and key not in _NO_FIELDS:
            lines.append(f"{key[5:].replace('_', '-').title()}: {value}")
    if environ.get("CONTENT_TYPE"):
        lines.append(f"Content-Type: {environ['CONTENT_TYPE']}")
    framing, body = _body(environ, may_chunk=protocol != "HTTP/1.0")
    lines += framing
    for line in lines:
        if _NO_VALUE.search(line):
            name, colon, value = line.partition(": ")
            told = f"the field {shown((name, value))}" if colon else f"the line {shown(line)}"
            raise NotSendable(f"no HTTP request can carry {told}: it holds what no field may (RFC 9110)")
    return head_bytes(lines) + body


def _host(environ: Environ) -> str:
    """Name the server as a client does (PEP 3333, "URL Reconstruction")."""
    if "HTTP_HOST" in environ:
        return str(environ["HTTP_HOST"])
    port = environ.get("SERVER_PORT", "")
    default = "443" if environ.get("wsgi.url_scheme") == "https" else "80"
    return str(environ.get("SERVER_NAME", "localhost")) + (f":{port}" if port not in ("", default) else "")


def _target(environ: Environ) -> str:
    """Give the request-target: as it was typed where the environ has that, else made from its decoded parts."""
    path, query = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", ""), environ.get("QUERY_STRING", "")
    for key in ("RAW_URI", "REQUEST_URI"):
        raw = environ.get(key, "")
        if raw.startswith("/") and _says(raw, path, query):
            return str(raw)
    try:
        quoted = quote_from_bytes(path.encode("latin-1"), _PATH)
    except UnicodeEncodeError:
        raise NotSendable(f"PATH_INFO {shown(path)} holds characters that stand for no byte (PEP 3333)") from None
    # What may not stand in a target is escaped, as every client does.
    query = _NO_TARGET.sub(lambda found: quote(found[0]), query)
    return (quoted or "/") + (f"?{query}" if query else "")


def _says(raw: str, path: str, query: str) -> bool:
    """Tell whether a raw target means this path and query; a test may have changed the one and not the others."""
    raw_path, _, raw_query = raw.partition("?")
    if _NO_TARGET.search(raw) or raw_query != query or not raw.isascii():
        return False
    return unquote_to_bytes(raw_path).decode("latin-1") == path


def _body(environ: Environ, *, may_chunk: bool) -> tuple[list[str], bytes]:
    """Give the lines that frame the body, and the body so framed."""
    length = environ.get("CONTENT_LENGTH")
    length = "" if length is None else str(length)
    chunk = "chunked" in environ.get("HTTP_TRANSFER_ENCODING", "").lower()
    if not length:
        if not chunk and not environ.get("wsgi.input_terminated"):
            return [], b""
        body = _read(environ["wsgi.input"])
        if may_chunk and (body or chunk):
            pieces = (body[start : start + _CHUNK] for start in range(0, len(body), _CHUNK))
            return ["Transfer-Encoding: chunked"], chunked(pieces)
        return ([f"Content-Length: {len(body)}"], body) if body else ([], b"")
    size = length_of(length)
    if size is None or size > sys.maxsize:
        return [f"Content-Length: {length}"], b""  # the server will say what it thinks of it
    body = _read(environ["wsgi.input"], size) if size else b""
    if len(body) < size:
        raise NotSendable(f"CONTENT_LENGTH is {length}, and wsgi.input has {len(body)} octets")
    return [f"Content-Length: {length}"], body


def _read(stream: Any, *size: int) -> bytes:
    """Read a body, and go back to where it began: a client that is redirected with 307 or 308 sends it once more.

    Other streams than files are only read: PEP 3333 gives them no ``seek``, and strict mode objects to it.
    """
    begin = stream.tell() if isinstance(stream, io.IOBase) and stream.seekable() else None
    body: bytes = stream.read(*size)
    if begin is not None:
        stream.seek(begin)
    return body
