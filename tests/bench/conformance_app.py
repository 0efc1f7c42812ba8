"""What the servers under test serve: an application for each case, and one that notes whatever else it is asked.

A path that begins with ``/case/NAME`` names an application. Notes are lines of JSON in a file, which the checks read.
"""

from __future__ import annotations

import io
import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from wsgiref.validate import validator

from .applications import FILE_VARIABLE

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

GATE_SECONDS = 0.6
PLAIN = ("Content-Type", "text/plain")
OK = "200 OK"
HELLO = b"hello"
LINES = b"line one\nline two\nthe end"
PIECES = 400
CGI = ("REQUEST_METHOD", "SCRIPT_NAME", "PATH_INFO", "QUERY_STRING", "CONTENT_TYPE", "CONTENT_LENGTH")
RAW = ("REQUEST_URI", "RAW_URI")

APPLICATIONS: dict[str, WSGIApplication] = {}


def served(function: Callable[..., Any]) -> Callable[..., Any]:
    """Serve this application at ``/case/NAME``, its own name."""
    APPLICATIONS[function.__name__] = function
    return function


def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Find the application that the path names."""
    _, first, name, *_ = (environ.get("PATH_INFO", "") + "///").split("/")
    if first == "case" and name in APPLICATIONS:
        return APPLICATIONS[name](environ, start_response)
    return observe(environ, start_response)


def note(case: str, environ: WSGIEnvironment | None = None, **facts: Any) -> None:
    """Write down what an application has seen; in one write, so that threads and processes do not mix."""
    port = str((environ or {}).get("REMOTE_PORT", ""))
    line = json.dumps({"case": case, "port": port, **facts}, default=repr) + "\n"
    path = Path(os.environ[FILE_VARIABLE]).with_name("notes")
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        os.write(descriptor, line.encode())
    finally:
        os.close(descriptor)


def gate_opens() -> bool:
    """Wait until the client has seen what was sent so far; False when it did not in time."""
    gate = Path(os.environ[FILE_VARIABLE]).with_name("gate")
    until = time.monotonic() + GATE_SECONDS
    while not gate.exists():
        if time.monotonic() > until:
            return False
        time.sleep(0.005)
    return True


def observe(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Note the request as it is seen here; a body that the server says is broken is noted as an error."""
    seen = {name: value for name, value in environ.items() if name in (*CGI, *RAW) or name.startswith("HTTP_")}
    try:
        body = read_body(environ)
    except BaseException as error:
        note("", environ, seen=seen, error=repr(error))
        raise
    note("", environ, seen=seen, body=body.decode("latin-1"))
    start_response(OK, [PLAIN, ("Content-Length", "2")])
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [b"ok"]


def read_body(environ: WSGIEnvironment) -> bytes:
    """Read as PEP 3333 lets an application: by the length, or to the end where the server says that there is one."""
    if environ.get("CONTENT_LENGTH"):
        return environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))  # type: ignore[no-any-return]
    if environ.get("wsgi.input_terminated") or "HTTP_TRANSFER_ENCODING" in environ:
        return environ["wsgi.input"].read()  # type: ignore[no-any-return]
    return b""


class Noted:
    """An iterable that notes when it is closed, and how far it came; exceptions among its pieces it raises."""

    def __init__(self, case: str, pieces: Iterable[Any]) -> None:
        self._case = case
        self._pieces = iter(pieces)
        self._asked = 0

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        piece = next(self._pieces)
        if isinstance(piece, BaseException):
            raise piece
        self._asked += 1
        return piece  # type: ignore[no-any-return]

    def close(self) -> None:
        note(self._case, closed=True, asked=self._asked)


# Most cases need no more than a status, headers and a body; they are made from this table.
def _answers(status: Any, headers: list[tuple[Any, Any]], body: Callable[[], Any]) -> WSGIApplication:
    def answer(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response(status, list(headers))
        return body()  # type: ignore[no-any-return]

    return answer


def _sized(length: int) -> list[tuple[str, str]]:
    return [PLAIN, ("Content-Length", str(length))]


def _hello() -> list[bytes]:
    return [HELLO]


def _streamed(*pieces: Any) -> Callable[[], Iterator[bytes]]:
    def stream() -> Iterator[bytes]:
        for piece in pieces:
            if isinstance(piece, BaseException):
                raise piece
            yield piece

    return stream


BROKEN = RuntimeError("this error is part of a case")

APPLICATIONS |= {
    "hello": _answers(OK, _sized(5), _hello),
    "status_crlf": _answers("200 OK\r\nX-Injected: yes", _sized(5), _hello),
    "status_lf": _answers("200 OK\nX-Injected: yes", _sized(5), _hello),
    "value_crlf": _answers(OK, [*_sized(5), ("X-Given", "a\r\nX-Injected: yes")], _hello),
    "value_lf": _answers(OK, [*_sized(5), ("X-Given", "a\nX-Injected: yes")], _hello),
    "name_crlf": _answers(OK, [*_sized(5), ("X-Given: a\r\nX-Injected", "yes")], _hello),
    "value_nul": _answers(OK, [*_sized(5), ("X-Given", "a\0b")], _hello),
    "value_euro": _answers(OK, [*_sized(5), ("X-Given", "\u20ac")], _hello),
    "value_int": _answers(OK, [*_sized(5), ("X-Given", 42)], _hello),
    "status_bytes": _answers(b"200 OK", _sized(5), _hello),
    "status_wordless": _answers("fine", _sized(5), _hello),
    "reason": _answers("299 Quite fine", _sized(5), _hello),
    "latin_1": _answers(OK, [*_sized(5), ("X-Given", "J\xfcrgen")], _hello),
    "repeated": _answers(OK, [*_sized(5), ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")], _hello),
    "own_date": _answers(OK, [*_sized(5), ("Date", "Thu, 01 Jan 2026 00:00:00 GMT")], _hello),
    "own_server": _answers(OK, [*_sized(5), ("Server", "mine")], _hello),
    "own_chunked": _answers(OK, [PLAIN, ("Transfer-Encoding", "chunked")], _hello),
    "no_length": _answers(OK, [PLAIN], _hello),
    "no_body": _answers(OK, [PLAIN], list),
    "generated": _answers(OK, [PLAIN], _streamed(b"hel", b"lo")),
    "empty_pieces": _answers(OK, [PLAIN], _streamed(b"", b"hel", b"", b"lo", b"")),
    "short": _answers(OK, _sized(10), _hello),
    "short_stream": _answers(OK, _sized(10), _streamed(b"hel", b"lo")),
    "long": _answers(OK, _sized(5), lambda: [b"hello world"]),
    "long_stream": _answers(OK, _sized(5), _streamed(b"hel", b"lo", b" world")),
    "no_content": _answers("204 No Content", [], _hello),
    "not_modified": _answers("304 Not Modified", [("ETag", '"1"')], _hello),
    "fails_late": _answers(OK, [PLAIN], _streamed(b"hel", BROKEN)),
    "fails_late_sized": _answers(OK, _sized(5), _streamed(b"hel", BROKEN)),
    "fails_after_empty": _answers(OK, [PLAIN], _streamed(b"", BROKEN)),
    "text_piece": _answers(OK, [PLAIN], lambda: ["hello"]),
    "text_later": _answers(OK, [PLAIN], _streamed(b"hel", "lo")),
    "none": _answers(OK, [PLAIN], lambda: None),
    "closed": _answers(OK, [PLAIN], lambda: Noted("closed", [b"hel", b"lo"])),
    "closed_failing": _answers(OK, [PLAIN], lambda: Noted("closed_failing", [b"hel", BROKEN])),
    "closed_early": _answers(OK, [PLAIN], lambda: Noted("closed_early", _slow_pieces())),
}


def _slow_pieces() -> Iterator[bytes]:
    for _ in range(PIECES):
        time.sleep(0.001)
        yield b"x" * 65536


@served
def lazy(environ: WSGIEnvironment, start_response: StartResponse) -> Iterator[bytes]:
    """Call start_response only when the first piece is asked for."""
    start_response("203 Non-Authoritative Information", [PLAIN])
    yield HELLO


@served
def streamed(environ: WSGIEnvironment, start_response: StartResponse) -> Iterator[bytes]:
    start_response(OK, [PLAIN])
    yield b"first"
    note("streamed", left=gate_opens())
    yield b"second"


@served
def written(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    write = start_response(OK, [PLAIN])
    write(b"first")
    note("written", left=gate_opens())
    return [b"second"]


@served
def mixed(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    write = start_response(OK, [PLAIN])
    write(b"one ")
    write(b"two ")
    return [b"three ", b"four"]


@served
def fails(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    raise BROKEN


@served
def exits(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    raise SystemExit(1)


@served
def never_starts(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    return [HELLO]


@served
def starts_twice(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response(OK, _sized(5))
    try:
        start_response("404 Not Found", _sized(5))
    except Exception as error:
        note("starts_twice", raised=repr(error))
    else:
        note("starts_twice", raised="")
    return [HELLO]


@served
def replaced(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response(OK, [PLAIN, ("X-First", "1")])
    try:
        raise BROKEN
    except RuntimeError:
        start_response("503 Replaced", [PLAIN, ("X-Second", "2")], sys.exc_info())
    return [b"replaced"]


@served
def too_late(environ: WSGIEnvironment, start_response: StartResponse) -> Iterator[bytes]:
    start_response(OK, [PLAIN])
    yield b"first"
    try:
        raise BROKEN
    except RuntimeError:
        try:
            start_response("503 Replaced", [PLAIN], sys.exc_info())
        except RuntimeError as error:
            note("too_late", same=error is BROKEN)
            raise
        note("too_late", same=False)


@served
def valid(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Let the validator of the standard library look at everything that passes."""
    try:
        return validator(APPLICATIONS["hello"])(environ, start_response)
    except AssertionError as error:
        note("valid", broken=str(error))
        raise


@served
def environment(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    wanted = (*CGI, *RAW, "HTTP_HOST", "HTTP_COOKIE", "HTTP_ACCEPT")
    note("environment", **{name: environ[name] for name in wanted if name in environ})
    return APPLICATIONS["hello"](environ, start_response)


@served
def query(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    body = environ["QUERY_STRING"].encode("latin-1")
    start_response(OK, _sized(len(body)))
    return [body]


@served
def errors(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    stream = environ["wsgi.errors"]
    stream.write("this line is part of a case\n")
    stream.writelines(["so is this\n", "and this: \xfc \u20ac\n"])
    stream.flush()
    note("errors", took=True)
    return APPLICATIONS["hello"](environ, start_response)


# How a body can be read: each way gives all that it read.
WAYS: dict[str, Callable[[Any], list[bytes]]] = {
    "read_all": lambda stream: [stream.read(), stream.read()],
    "read_past": lambda stream: [stream.read(1000), stream.read(10)],
    "read_sizes": lambda stream: [stream.read(4), stream.read(0), stream.read(5), stream.read(1000)],
    "readline": lambda stream: [stream.readline() for _ in range(4)],
    "readline_size": lambda stream: [stream.readline(4), stream.readline(100)],
    "readlines": lambda stream: stream.readlines(),
    "iterate": lambda stream: list(stream),
}


def _reading(way: str) -> WSGIApplication:
    def read(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        note(way, read=[piece.decode("latin-1") for piece in WAYS[way](environ["wsgi.input"])])
        return APPLICATIONS["hello"](environ, start_response)

    return read


APPLICATIONS |= {way: _reading(way) for way in WAYS}


@served
def echo(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    body = read_body(environ)
    start_response(OK, _sized(len(body)))
    return [body]


@served
def pauses(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    time.sleep(0.05)
    return APPLICATIONS["hello"](environ, start_response)


class Reader:
    """A file-like object that has no more than PEP 3333 asks for."""

    def __init__(self, case: str, data: bytes) -> None:
        self._case = case
        self._data = io.BytesIO(data)

    def read(self, size: int) -> bytes:
        return self._data.read(size)

    def close(self) -> None:
        note(self._case, closed=True)


def _by_wrapper(case: str, headers: list[tuple[str, str]], opened: Callable[[], Any]) -> WSGIApplication:
    def send(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response(OK, headers)
        if "wsgi.file_wrapper" in environ:
            return environ["wsgi.file_wrapper"](opened(), 1000)  # type: ignore[no-any-return]
        file = opened()
        pieces = list(iter(lambda: file.read(1000), b""))
        file.close()
        return pieces

    return send


def _this_file(position: int) -> Callable[[], Any]:
    def opened() -> Any:
        file = open(__file__, "rb")  # noqa: SIM115 -- the server closes it
        file.seek(position)
        return file

    return opened


APPLICATIONS |= {
    "file": _by_wrapper("file", [PLAIN], _this_file(0)),
    "file_position": _by_wrapper("file_position", [PLAIN], _this_file(100)),
    "file_length": _by_wrapper("file_length", _sized(50), _this_file(100)),
    "file_like": _by_wrapper("file_like", _sized(5), lambda: Reader("file_like", HELLO)),
}
