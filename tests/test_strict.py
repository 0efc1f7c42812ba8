"""Strict mode: for each rule an application that breaks it and one that does not, and what else must stay as it was."""

import ast
import gc
import inspect
import io
import linecache
import os
import shutil
import subprocess
import sys
import tempfile
import warnings
import wsgiref.validate
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any

import pytest
from clients import GET, HEAD, Client, SlowStream, request

from wsgiserver import Server
from wsgiserver.loader import load
from wsgiserver.rules import RULES
from wsgiserver.site import Application, Environ
from wsgiserver.strict import Reporter, StrictError, StrictWarning, strict

ROOT = Path(__file__).parents[1]
PLAIN = ("Content-Type", "text/plain")
POST = request("Content-Length: 4", start="POST / HTTP/1.1", body=b"body")
Wrapper = Callable[[Application], Application]


# -- Applications ------------------------------------------------------------------------------------------------------


def hello(environ: Environ, start_response: Any) -> Iterable[bytes]:
    start_response("200 OK", [PLAIN])
    return [b"hello"]


def giving(body: Any, *headers: Any, status: Any = "200 OK") -> Application:
    """Answer with this status, these headers and this body; a callable is called to make it."""

    def application(environ: Environ, start_response: Any) -> Any:
        start_response(status, [PLAIN, *headers])  # blame
        return body() if callable(body) else body

    return application


def saying(status: Any, *headers: Any) -> Application:
    """Answer with just these headers and no body."""

    def application(environ: Environ, start_response: Any) -> Any:
        start_response(status, list(headers))  # blame
        return []

    return application


def starting(*arguments: Any, **keywords: Any) -> Application:
    """Call ``start_response`` so."""

    def application(environ: Environ, start_response: Any) -> Any:
        start_response(*arguments, **keywords)  # blame
        return [b"hello"]

    return application


def using(function: Callable[[Environ], object]) -> Application:
    """Do something with the environ, and answer."""

    def application(environ: Environ, start_response: Any) -> Any:
        function(environ)  # blame
        return hello(environ, start_response)

    return application


class Body:
    """An iterable of the user's own; ``closing`` is what each further ``close()`` raises."""

    def __init__(self, *pieces: bytes, closing: Iterable[Exception | None] = ()) -> None:
        self.pieces = iter(pieces)
        self.closing = iter(closing)

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        return next(self.pieces)

    def close(self) -> None:
        error = next(self.closing, None)
        if error is not None:
            raise error  # blame


class Sized(Body):
    def __init__(self, length: int, *pieces: bytes) -> None:
        super().__init__(*pieces)
        self.length = length

    def __len__(self) -> int:
        return self.length


class Unclosable(Body):
    close = None  # type: ignore[assignment]


class Seekless:
    """A stream without any of its methods."""


class Texts(io.BytesIO):
    """A stream that gives texts."""

    def read(self, size: int | None = -1) -> Any:
        return "text"

    def readlines(self, hint: int | None = -1) -> Any:
        return ("text",)


def twice(environ: Environ, start_response: Any) -> Any:
    start_response("200 OK", [PLAIN])
    start_response("200 OK", [PLAIN])  # blame
    return [b"hello"]


def replaced(environ: Environ, start_response: Any) -> Any:
    start_response("200 OK", [PLAIN])
    try:
        raise ValueError
    except ValueError:
        start_response("500 Sorry", [PLAIN], sys.exc_info())
    return [b"sorry"]


def late_start(environ: Environ, start_response: Any) -> Any:
    """Say the same once more, when all was given."""
    start_response("200 OK", [PLAIN])
    body = Body(b"hello")

    def close() -> None:
        try:
            raise ValueError
        except ValueError:
            with suppress(ValueError):
                start_response("200 OK", [PLAIN], sys.exc_info())  # blame

    body.close = close  # type: ignore[method-assign]
    return body


def missing(environ: Environ, start_response: Any) -> Any:
    yield b"hello"  # blame
    start_response("200 OK", [PLAIN])


def trapping(environ: Environ, start_response: Any) -> Any:
    start_response("200 OK", [PLAIN])
    yield b"hello, "
    try:
        raise ValueError
    except ValueError:
        with suppress(ValueError):
            start_response("500 Sorry", [PLAIN], sys.exc_info())
    yield b"world"  # blame


def writing(environ: Environ, start_response: Any) -> Any:
    start_response("200 OK", [PLAIN])(b"hello")
    return []


def writing_while_iterating(environ: Environ, start_response: Any) -> Any:
    write = start_response("200 OK", [PLAIN])
    write(b"hello, ")  # blame
    yield b"world"


def writing_late(environ: Environ, start_response: Any) -> Any:
    body = Body(b"hello")
    write = start_response("200 OK", [PLAIN])
    body.close = lambda: write(b"more")  # type: ignore[method-assign]  # blame
    return body


def changing(environ: Environ, start_response: Any) -> Any:
    headers = [PLAIN]
    start_response("200 OK", headers)  # blame
    headers.append(("X-Late", "yes"))
    return [b"hello"]


def changing_while_chunks_leave(environ: Environ, start_response: Any) -> Any:
    headers = [PLAIN]
    start_response("200 OK", headers)  # blame
    yield b"hel"
    headers.append(("X-Late", "yes"))
    yield b"lo"


def reusing(environ: Environ, start_response: Any, headers: Any = [PLAIN]) -> Any:  # noqa: B006 - that is the point
    start_response("200 OK", headers)
    return [b"hello"]


def file_of(content: bytes, *headers: tuple[str, str]) -> Application:
    """Answer with an open file."""

    def application(environ: Environ, start_response: Any) -> Any:
        file = tempfile.TemporaryFile()  # noqa: SIM115 - the server closes it
        file.write(content)
        file.seek(0)
        start_response("200 OK", [PLAIN, *headers])  # blame
        return environ["wsgi.file_wrapper"](file)

    return application


def wrapping(content: bytes, *headers: tuple[str, str], block: int = 4096) -> Application:
    """Answer with a file that is none of the system's, and so is read."""

    def application(environ: Environ, start_response: Any) -> Any:
        start_response("200 OK", [PLAIN, *headers])
        return environ["wsgi.file_wrapper"](io.BytesIO(content), block)

    return application


def returning_input(environ: Environ, start_response: Any) -> Any:
    start_response("200 OK", [PLAIN])
    return environ["wsgi.input"]


def wrapping_input(environ: Environ, start_response: Any) -> Any:
    start_response("200 OK", [PLAIN])
    return environ["wsgi.file_wrapper"](environ["wsgi.input"])


def reading_in_close(environ: Environ, start_response: Any) -> Any:
    body = Body(b"hello")
    body.close = lambda: environ["wsgi.input"].read()  # type: ignore[method-assign]
    start_response("200 OK", [PLAIN])
    return body


def keeping(use: Callable[[Environ], object]) -> Application:
    """Use the environ of the last request in the next."""
    kept: list[Environ] = []

    def application(environ: Environ, start_response: Any) -> Any:
        if kept:
            use(kept.pop())  # blame
        kept.append(environ)
        return hello(environ, start_response)

    return application


# -- What stands between server and application, and does wrong --------------------------------------------------------


def with_environ(**changes: Any) -> Wrapper:
    """Change the environ; a value of None takes the variable away. ``wsgi_input`` is for wsgi.input."""

    def between(application: Application) -> Application:
        def changed(environ: Environ, start_response: Any) -> Iterable[bytes]:
            for name, value in changes.items():
                key = name.replace("wsgi_", "wsgi.", 1)
                environ.pop(key, None)
                if value is not None:
                    environ[key] = value
            return application(environ, start_response)

        return changed

    return between


def with_subclass(application: Application) -> Application:
    class Environment(dict[str, Any]):
        pass

    return lambda environ, start_response: application(Environment(environ), start_response)


def reading_after_close(application: Application) -> Application:
    def reading(environ: Environ, start_response: Any) -> Any:
        body = application(environ, start_response)
        body.close()  # type: ignore[attr-defined]
        return [*body]

    return reading


def forgetting_close(application: Application) -> Application:
    def forgetting(environ: Environ, start_response: Any) -> Any:
        chunks = [*application(environ, start_response)]
        gc.collect()
        return chunks

    return forgetting


def honest(application: Application) -> Application:
    return application


# -- The rules ---------------------------------------------------------------------------------------------------------


@dataclass
class Case:
    """What breaks a rule, and what is like it and does not; how they are asked, and through whom."""

    breaks: Application
    right: Application
    ask: bytes = GET
    through: Wrapper = honest
    # Rules that are broken with it.
    also: tuple[str, ...] = ()


def header(name: Any, value: Any = "x") -> Application:
    return giving([b"hello"], (name, value))


def length(value: Any, *pieces: bytes) -> Application:
    return giving(partial(iter, pieces), ("Content-Length", value))


def environ(**changes: Any) -> Case:
    return Case(hello, hello, through=with_environ(**changes))


read_all = using(lambda environ: environ["wsgi.input"].read(4))
ending = with_environ(wsgi_input_terminated=None)
WITH_BODY = ("Content-Length", "5")

CASES: dict[str, list[Case]] = {
    "start-response-arguments": [Case(starting("200 OK"), hello), Case(starting("200 OK", [PLAIN], None, 1), hello)],
    "start-response-keywords": [
        Case(starting(status="200 OK", headers=[PLAIN]), starting("200 OK", [PLAIN])),
        Case(starting("200 OK", [PLAIN], exc_info=None), starting("200 OK", [PLAIN], None)),
    ],
    "start-response-twice": [Case(twice, replaced)],
    "start-response-late": [Case(late_start, hello)],
    "start-response-missing": [Case(missing, hello), Case(lambda environ, start: [], saying("200 OK"))],
    "exc-info-type": [
        Case(starting("200 OK", [PLAIN], wrong), replaced) for wrong in (True, (None,) * 3, ValueError())
    ],
    "exc-info-trapped": [Case(trapping, replaced)],
    "write-in-iteration": [Case(writing_while_iterating, writing)],
    "write-late": [Case(writing_late, writing, also=("close-failed",))],
    "status-type": [Case(saying(b"200 OK"), saying("200 OK")), Case(saying(200), saying("200 OK"))],
    "status-form": [
        Case(saying(wrong), saying(right))
        for wrong in ("200", "20 OK", "OK", "", "200  OK", "200 OK ", " 200 OK", "2000 OK", "200-OK")
        for right in ("200 OK", "200 ", "200 voil\xc3\xa0", "200 \x85")
    ],
    "status-range": [Case(saying("199 x"), saying("200 x")), Case(saying("600 x"), saying("599 x"))],
    "status-characters": [
        Case(saying(f"200 O{character}K"), saying("200 Oké")) for character in ("\r\n", "\t", "\0", "\x7f", "\u0100")
    ],
    "headers-type": [Case(starting("200 OK", wrong), hello) for wrong in ((PLAIN,), {"a": "b"}, None, iter([PLAIN]))],
    "header-item": [
        Case(giving([b"hello"], wrong), header("X-Y")) for wrong in (["X", "y"], ("X",), ("X", "y", "z"), "Xy", None)
    ],
    "header-type": [Case(header(b"X-Y", "x"), header("X-Y")), Case(header("X-Y", 5), header("X-Y", "5"))],
    "header-name": [Case(header(wrong), header("X-Y")) for wrong in ("X:", "X Y", "X\r\nY", "", "Ä")],
    "header-name-end": [Case(header("X-"), header("X-Y")), Case(header("X_"), header("X-Y"))],
    "header-underscore": [Case(header("X_Y"), header("X-Y"))],
    "header-characters": [Case(header("X.Y"), header("X-Y")), Case(header("1X"), header("X1"))],
    "header-value": [
        Case(header("X-Y", f"a{character}b"), header("X-Y", "aéb"))
        for character in ("\r\n", "\n", "\0", "\t", "\x7f", "\u0100")
    ],
    "header-value-space": [
        Case(header("X-Y", " x"), header("X-Y", "x y")),
        Case(header("X-Y", "x "), header("X-Y", "")),
        # Octets of UTF-8 (obs-text) that are white space in Unicode alone.
        Case(header("X-Y", "x "), header("X-Y", "voil\xc3\xa0")),
        Case(header("X-Y", "x "), header("X-Y", "\x85x")),
        # http.cookies, and so Django, puts one space before a cookie.
        Case(header("Set-Cookie", "  a=b"), header("Set-Cookie", " a=b")),
        Case(header("Set-Cookie", "a=b "), header("set-cookie", SimpleCookie("a=b").output(header=""))),
    ],
    "header-status": [Case(header("Status", "200 OK"), header("X-Status", "200 OK"))],
    "header-twice": [
        Case(giving([b"hello"], PLAIN), giving([b"hello"], ("Set-Cookie", "a=b"), ("Set-Cookie", "c=d"))),
        Case(giving([b"hello"], ("etag", '"a"'), ("ETag", '"b"')), giving([b"hello"], ("Vary", "a"), ("Vary", "b"))),
    ],
    "hop-by-hop": [
        Case(header(name), header("Proxy-Status"))
        for name in (
            *("Connection", "Keep-Alive", "TE", "Trailer", "Trailers", "Transfer-Encoding", "upgrade"),
            *("Proxy-Authenticate", "Proxy-Authentication-Info", "Proxy-Authorization", "proxy-connection"),
        )
    ],
    "length-with-transfer-encoding": [
        Case(
            giving([b"hello"], WITH_BODY, ("Transfer-Encoding", "chunked")), length("5", b"hello"), also=("hop-by-hop",)
        )
    ],
    "content-length-twice": [Case(giving([b"hello"], WITH_BODY, WITH_BODY), giving([b"hello"], WITH_BODY))],
    "content-length-value": [
        Case(length(wrong, b"hello"), length("5", b"hello"))
        for wrong in ("", "-1", "+5", "5.0", "five", "²", "9" * 5000)
    ],
    "content-length-unwanted": [Case(saying("204 No Content", ("Content-Length", "0")), saying("204 No Content"))],
    "content-type-missing": [Case(starting("200 OK", []), saying("200 OK")), Case(starting("200 OK", []), hello)],
    "content-type-unwanted": [
        Case(saying("204 No Content", PLAIN), saying("204 No Content")),
        Case(saying("304 Not Modified", PLAIN), saying("304 Not Modified", ("ETag", '"a"'), WITH_BODY)),
    ],
    "headers-changed": [Case(changing, reusing), Case(changing_while_chunks_leave, reusing)],
    "body-too-long": [
        Case(length("4", b"hello"), length("5", b"hello")),
        Case(length("4", b"hel", b"lo"), length("5", b"hel", b"", b"lo")),
        Case(length("0", b"hello"), length("0")),
        Case(giving([b"hello"], ("Content-Length", "4")), file_of(b"hello", ("Content-Length", "4"))),
        *(
            Case(length("4", b"hello"), wrapping(b"hello", ("Content-Length", size), block=block))
            for size in ("0", "3", "4")
            for block in (1, 2, 100)
        ),
    ],
    "body-too-short": [
        Case(length("6", b"hello"), length("5", b"hello")),
        Case(length("6", b"hel", b"lo"), length("5", b"hel", b"lo")),
        Case(length("6"), length("0")),
        Case(giving([b"hello"], ("Content-Length", "6")), giving([b"hello"], WITH_BODY)),
        Case(file_of(b"hello", ("Content-Length", "6")), file_of(b"hello", WITH_BODY)),
        Case(wrapping(b"hello", ("Content-Length", "6"), block=2), wrapping(b"hello", WITH_BODY, block=2)),
    ],
    "body-on-head": [
        Case(hello, giving([], WITH_BODY), ask=HEAD),
        Case(giving(lambda: Body(b"", b"hello", b"hello")), giving([b""], WITH_BODY), ask=HEAD),
        Case(file_of(b"hello"), file_of(b"", WITH_BODY), ask=HEAD),
    ],
    "body-on-status": [
        Case(starting(status, []), saying(status)) for status in ("204 No Content", "205 Reset", "304 Not Modified")
    ],
    "chunk-type": [
        Case(giving([wrong]), giving([b"hello"])) for wrong in ("hello", bytearray(b"hello"), memoryview(b"x"), 5, None)
    ],
    "body-is-string": [
        Case(giving(b"hello"), giving([b"hello"]), also=("chunk-type",)),
        Case(giving("hello"), giving([b"hello"]), also=("chunk-type",)),
    ],
    "body-not-iterable": [Case(giving(wrong), giving(())) for wrong in (None, False, 5)],
    "body-len": [
        Case(giving(partial(Sized, length, b"hello, ", b"world")), giving(partial(Sized, 2, b"hello, ", b"world")))
        for length in (1, 3, 12)
    ],
    "close-not-callable": [Case(giving(lambda: _closing_with(5)), giving(partial(Body, b"hello")))],
    "close-failed": [Case(giving(lambda: Body(b"hello", closing=[KeyError("k")])), giving(partial(Body, b"hello")))],
    "close-twice": [
        Case(giving(lambda: Body(b"hello", closing=[None, KeyError("k")])), giving(partial(Body, b"hello")))
    ],
    "close-missing": [Case(giving(partial(Body, b"hello")), hello, through=forgetting_close)],
    "read-after-close": [Case(giving(partial(Body, b"hello")), hello, through=reading_after_close)],
    "input-arguments": [
        Case(using(use), read_all, ask=POST)
        for use in (
            lambda environ: environ["wsgi.input"].read("4"),
            lambda environ: environ["wsgi.input"].readline(1, 2),
            lambda environ: environ["wsgi.input"].readline(size=4),
        )
    ],
    "input-unbounded": [
        Case(using(lambda environ: environ["wsgi.input"].read()), read_all, ask=POST, through=ending),
        Case(using(lambda environ: environ["wsgi.input"].read(-1)), read_all, ask=POST, through=ending),
    ],
    "input-method": [
        Case(using(lambda environ: environ["wsgi.input"].seek(0)), read_all, ask=POST),
        Case(using(lambda environ: environ["wsgi.input"].closed), using(lambda environ: [*environ["wsgi.input"]])),
        Case(
            using(lambda environ: next(environ["wsgi.input"], b"")),
            using(lambda environ: next(iter(environ["wsgi.input"]), b"")),
        ),
        Case(
            using(lambda environ: environ["wsgi.input"].getvalue()),
            using(lambda environ: environ["wsgi.input"].readinto(bytearray(4))),
            ask=POST,
        ),
    ],
    "input-close": [
        Case(using(lambda environ: environ["wsgi.input"].close()), right)
        for right in (read_all, returning_input, wrapping_input)
    ],
    "input-result": [
        Case(using(use), using(use), through=with_environ(wsgi_input=Texts()))
        for use in (
            lambda environ: environ["wsgi.input"].read(4),
            lambda environ: environ["wsgi.input"].readlines(),
        )
    ],
    "input-unread": [
        Case(hello, read_all, ask=POST),
        Case(hello, giving([b"too much"], status="413 Content Too Large"), ask=POST),
        Case(hello, using(lambda environ: environ["wsgi.input"].readline()), ask=POST),
        Case(hello, reading_in_close, ask=POST),
    ],
    "errors-type": [
        Case(using(use), using(lambda environ: environ["wsgi.errors"].write("text\n")))
        for use in (
            lambda environ: environ["wsgi.errors"].write(b"bytes"),
            lambda environ: environ["wsgi.errors"].writelines(["text", b"bytes"]),
            lambda environ: environ["wsgi.errors"].write("two", "texts"),
        )
    ],
    "errors-method": [
        Case(
            using(lambda environ: environ["wsgi.errors"].seek(0, 2)),
            using(lambda environ: print("text", file=environ["wsgi.errors"], flush=True)),
        )
    ],
    "errors-close": [
        Case(
            using(lambda environ: environ["wsgi.errors"].close()), using(lambda environ: environ["wsgi.errors"].flush())
        )
    ],
    "environ-late": [
        Case(keeping(use), keeping(lambda environ: environ["PATH_INFO"]), ask=GET + GET)
        for use in (
            lambda environ: environ["wsgi.input"].read(1),
            lambda environ: [*environ["wsgi.input"]],
            lambda environ: environ["wsgi.input"].readinto(bytearray(4)),
            lambda environ: environ["wsgi.errors"].write("late"),
            lambda environ: environ["wsgi.errors"].flush(),
        )
    ],
    "environ-type": [Case(hello, hello, through=with_subclass)],
    "environ-missing": [
        environ(REQUEST_METHOD=None),
        environ(SERVER_NAME=""),
        environ(SERVER_PORT=None),
        environ(PATH_INFO=None),
        *(environ(**{f"wsgi_{name}": None}) for name in ("version", "url_scheme", "input", "errors", "multithread")),
        *(environ(**{f"wsgi_{name}": None}) for name in ("multiprocess", "run_once")),
    ],
    "environ-http-content": [environ(HTTP_CONTENT_TYPE="text/plain"), environ(HTTP_CONTENT_LENGTH="5")],
    "environ-value": [environ(REMOTE_USER=None, HTTP_X=5), environ(HTTP_X="\u0100"), environ(user=object())],
    "environ-changed": [
        Case(
            using(lambda environ, name=name: environ.update({name: None})),  # type: ignore[misc]
            using(lambda environ: environ.update({"REMOTE_USER": "me", "CSRF_COOKIE_NEEDS_UPDATE": False, "a": 1.0})),
        )
        for name in ("REMOTE_ADDR", "PATH_INFO", "CONTENT_TYPE", "HTTP_X_NEW")
    ],
    "environ-version": [environ(wsgi_version=[1, 0]), environ(wsgi_version=(2, 0))],
    "environ-scheme": [environ(wsgi_url_scheme="ftp")],
    "environ-method": [environ(REQUEST_METHOD="BREW")],
    "environ-path": [
        environ(PATH_INFO="a"),
        environ(PATH_INFO="*"),
        environ(SCRIPT_NAME="a"),
        environ(SCRIPT_NAME="/"),
    ],
    "environ-length": [environ(CONTENT_LENGTH="-1"), environ(CONTENT_LENGTH="five")],
    "environ-query": [environ(QUERY_STRING=None)],
    "environ-streams": [environ(wsgi_input=Seekless()), environ(wsgi_errors=Seekless())],
}


def _closing_with(close: Any) -> Body:
    body = Body(b"hello")
    body.close = close
    return body


each_case = pytest.mark.parametrize(
    ("rule", "case"),
    [pytest.param(rule, case, id=f"{rule}-{at}") for rule, cases in CASES.items() for at, case in enumerate(cases)],
)


def told(application: Application, ask: bytes = GET, through: Wrapper = honest) -> list[StrictError]:
    """Serve an application in strict mode, and give its faults."""
    found: list[StrictError] = []
    Client(through(strict(application, report=found.append))).send(ask)
    return found


def test_every_rule_has_its_cases() -> None:
    assert CASES.keys() == RULES.keys()


@each_case
def test_an_application_that_breaks_a_rule_is_told(rule: str, case: Case) -> None:
    found = told(case.breaks, case.ask, case.through)
    assert {fault.rule for fault in found} == {rule, *case.also}
    for fault in found:
        assert fault.place.rpartition(":")[2].isdigit()
        assert (fault.remedy, fault.source, fault.severity) == (RULES[fault.rule].remedy, *RULES[fault.rule][2::2])


@each_case
def test_an_application_that_does_not_is_served_as_without(rule: str, case: Case) -> None:
    found: list[StrictError] = []
    plain = Client(case.right)
    answer = plain.send(case.ask)
    for checked in (Client(strict(case.right, report=found.append)), Client(strict(case.right))):
        assert checked.send(case.ask) == answer
        assert (checked.end, checked.log) == (plain.end, plain.log)
    assert found == []


@each_case
def test_without_a_report_it_is_raised_or_warned_of(rule: str, case: Case) -> None:
    client = Client(case.through(strict(case.breaks)))
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        client.send(case.ask)
    if RULES[rule].severity == "warning":
        assert [warning.category for warning in warned] == [StrictWarning]
        assert f"{rule}: " in str(warned[0].message)
        assert client.log == ""
    else:
        assert f"wsgiserver.faults.StrictError: {rule}: " in client.log
        assert warned == []
        if rule.startswith("close-"):
            assert "close() of the response failed" in client.log
        elif case.through is honest and rule not in ("start-response-late", "write-late"):
            assert isinstance(client.exchanges[-1].error, StrictError)


@each_case
def test_an_application_that_breaks_a_rule_is_served_on_where_it_is_told(rule: str, case: Case) -> None:
    """What leaves is what would leave without strict mode; the log may have other frames in it."""
    checked = Client(case.through(strict(case.breaks, report=lambda fault: None)))
    plain = Client(case.through(case.breaks))
    assert checked.send(case.ask) == plain.send(case.ask)
    assert checked.end == plain.end


# -- Where a fault is --------------------------------------------------------------------------------------------------


BLAMED = [
    rule
    for rule in CASES
    if rule.startswith(("start-", "write-", "status-", "header", "hop-", "content-", "length-", "close-failed"))
] + ["exc-info-type", "exc-info-trapped", "close-twice", "input-method", "input-close", "errors-type", "environ-late"]


@pytest.mark.parametrize("rule", BLAMED)
def test_the_place_is_the_line_of_the_application_to_blame(rule: str) -> None:
    case = CASES[rule][0]
    fault = next(fault for fault in told(case.breaks, case.ask, case.through) if fault.rule == rule)
    file, _, line = fault.place.rpartition(":")
    assert file == __file__
    text = linecache.getline(file, int(line))
    assert "# blame" in text or "lambda environ: environ" in text, text


def test_a_chunk_of_a_generator_is_blamed_on_its_yield() -> None:
    def inner() -> Iterator[Any]:
        yield b"hello"
        yield "text"  # this one

    def application(environ: Environ, start_response: Any) -> Iterator[Any]:
        start_response("200 OK", [PLAIN])
        yield from inner()

    (fault,) = told(application)
    assert linecache.getline(__file__, int(fault.place.rpartition(":")[2])).endswith("# this one\n")


def test_a_body_that_has_no_line_of_its_own_is_blamed_on_the_call_of_start_response() -> None:
    (fault,) = told(length("6", b"hello"))
    assert "# blame" in linecache.getline(__file__, int(fault.place.rpartition(":")[2]))


class Callable_:  # noqa: N801
    def __call__(self, environ: Environ, start_response: Any) -> Any:
        return None

    def method(self, environ: Environ, start_response: Any) -> Any:
        return None


def returning_none(extra: int, environ: Environ, start_response: Any) -> Any:
    return None


class Deriving:
    def __init__(self, environ: Environ, start_response: Any) -> None:
        """Be no iterable."""


@pytest.mark.parametrize(
    ("application", "name"),
    [
        (Callable_(), "def __call__"),
        (Callable_().method, "def method"),
        (partial(returning_none, 1), "def returning_none"),
        (Deriving, "def __init__"),
    ],
)
def test_where_no_line_ran_the_place_is_the_applications_own_beginning(application: Any, name: str) -> None:
    (fault,) = told(application)
    assert name in linecache.getline(__file__, int(fault.place.rpartition(":")[2]))


def test_a_warning_is_given_at_the_place_in_the_application() -> None:
    with pytest.warns(StrictWarning, match="input-unread") as warned:
        Client(strict(giving([b"hello"]))).send(POST)
    assert warned[0].filename == __file__
    assert "# blame" in linecache.getline(__file__, warned[0].lineno)


def test_a_fault_says_all_that_is_to_be_known() -> None:
    (fault,) = told(length("4", b"hello"))
    assert isinstance(fault, AssertionError)
    assert str(fault) == (
        "body-too-long: The body is longer than its Content-Length.\n"
        "  seen: it has 5 bytes, Content-Length says 4, in GET '/'\n"
        f"  at: {fault.place}\n"
        "  remedy: Count bytes, not characters: len(text.encode()); or leave the length to the server.\n"
        '  source: PEP 3333, "Handling the Content-Length Header"'
    )


# -- Faults that an application would hide -----------------------------------------------------------------------------


def test_a_fault_that_the_application_traps_is_raised_when_it_returns() -> None:
    def application(environ: Environ, start_response: Any) -> Any:
        with suppress(AssertionError):
            start_response("200", [])
        return [b"hello"]

    assert "StrictError: status-form" in _log(application)


def _log(application: Application) -> str:
    client = Client(strict(application))
    client.send(GET)
    return client.log


def test_the_first_of_several_faults_is_raised() -> None:
    def application(environ: Environ, start_response: Any) -> Any:
        with suppress(AssertionError):
            start_response("200", [])
        start_response("200 OK", [PLAIN])
        return [b"hello"]

    log = _log(application)
    assert log.index("StrictError: start-response-twice") < log.index("StrictError: status-form")


def test_a_fault_that_the_application_makes_another_error_of_is_raised_with_it() -> None:
    def application(environ: Environ, start_response: Any) -> Any:
        try:
            start_response("200", [])
        except AssertionError:
            raise RuntimeError("something else") from None

    log = _log(application)
    assert "RuntimeError: something else" in log
    assert "direct cause of the following exception" in log
    assert "StrictError: status-form" in log


def test_a_fault_that_a_generator_traps_is_raised_with_its_next_chunk() -> None:
    def application(environ: Environ, start_response: Any) -> Any:
        with suppress(AssertionError):
            start_response("200 OK", [("X-Y", 5)])
        yield b"hello"

    assert "StrictError: header-type" in _log(application)


def test_what_was_returned_is_closed_when_a_fault_is_raised_instead() -> None:
    body = Body(b"hello")
    closed: list[bool] = []
    body.close = lambda: closed.append(True)  # type: ignore[method-assign]

    def application(environ: Environ, start_response: Any) -> Any:
        with suppress(AssertionError):
            start_response("200", [])
        return body

    assert "StrictError: status-form" in _log(application)
    assert closed == [True]


# -- What must stay as it is -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sendfile", [True, False])
@pytest.mark.parametrize("content", [b"", b"hello", b"x" * 300_000], ids=len)
def test_a_file_is_still_sent_by_the_kernel_where_it_can_be(content: bytes, sendfile: bool) -> None:
    application = file_of(content, ("Content-Length", str(len(content))))
    streams = [SlowStream(sendfile=sendfile) for _ in range(2)]
    sent: list[int] = []
    if sendfile:
        original = streams[0].sendfile
        streams[0].sendfile = lambda *arguments: sent.append(original(*arguments)) or sent[-1]  # type: ignore[misc,func-returns-value]
    answer = Client(strict(application), stream=streams[0]).send(GET)
    assert answer == Client(application, stream=streams[1]).send(GET)
    assert sum(sent) == (len(content) if sendfile else 0)


def test_a_wrapped_file_that_is_none_of_the_systems_is_iterated_over() -> None:
    def application(environ: Environ, start_response: Any) -> Any:
        start_response("200 OK", [PLAIN])
        return environ["wsgi.file_wrapper"](io.BytesIO(b"hello"))

    assert Client(strict(application)).send(GET) == Client(application).send(GET)


@pytest.mark.parametrize("readable", [True, False])
def test_a_wrapped_file_that_cannot_be_measured_fails_as_without(readable: bool) -> None:
    """A pipe is read, a closed file is not."""

    def application(environ: Environ, start_response: Any) -> Any:
        start_response("200 OK", [PLAIN])
        reading, writing = os.pipe()
        os.write(writing, b"hello")
        os.close(writing)
        file = os.fdopen(reading, "rb")
        if not readable:
            file.close()
        return environ["wsgi.file_wrapper"](file)

    assert told(application) == []
    assert Client(strict(application)).send(GET) == Client(application).send(GET)


MADE_UP = [name for name in ("/proc/version", "/sys/kernel/mm/transparent_hugepage/enabled") if Path(name).exists()]


@pytest.mark.skipif(not MADE_UP, reason="this system has no files that are made up as they are read")
@pytest.mark.parametrize("name", MADE_UP)
def test_a_file_whose_size_says_nothing_is_read(name: str) -> None:
    size = len(Path(name).read_bytes())

    def application(environ: Environ, start_response: Any) -> Any:
        start_response("200 OK", [PLAIN, ("Content-Length", str(size + missing))])
        return environ["wsgi.file_wrapper"](open(name, "rb"))

    missing = 0
    assert told(application) == []
    assert Client(strict(application)).send(GET) == Client(application).send(GET)
    missing = 1
    assert [fault.rule for fault in told(application)] == ["body-too-short"]


def test_a_body_whose_len_fails_is_one_of_unknown_length() -> None:
    class Lengthless(Body):
        def __len__(self) -> int:
            raise TypeError

    application = giving(lambda: Lengthless(b"hello"))
    assert told(application) == []
    assert Client(strict(application)).send(GET) == Client(application).send(GET)


def test_a_body_may_be_iterated_over_without_iter_and_closed_twice() -> None:
    """As middleware does that takes what it gets for an iterator."""

    def between(application: Application) -> Application:
        def asking(environ: Environ, start_response: Any) -> Any:
            body: Any = application(environ, start_response)
            chunk = next(body)
            body.close()
            body.close()
            return [chunk]

        return asking

    for application in (hello, giving(partial(Body, b"hello"))):
        assert told(application, through=between) == []
        head, _, body = Client(between(strict(application))).send(GET).partition(b"\r\n\r\n")
        assert b"\r\nContent-Length: 5\r\n" in head + b"\r\n"
        assert body == b"hello"


def test_a_wrapped_file_is_closed_once() -> None:
    class File(io.FileIO):
        closes = 0

        def close(self) -> None:
            self.closes += not self.closed
            super().close()

    with tempfile.NamedTemporaryFile() as named:
        file = File(named.name)

        def application(environ: Environ, start_response: Any) -> Any:
            start_response("200 OK", [PLAIN])
            return environ["wsgi.file_wrapper"](file)

        Client(strict(application)).send(GET)
    assert file.closes == 1


def test_the_application_gets_a_plain_dict_and_its_changes_come_back() -> None:
    seen: list[Any] = []

    def application(environ: Environ, start_response: Any) -> Any:
        seen.append(type(environ))
        environ["app.user"] = "me"
        del environ["HTTP_HOST"]
        return hello(environ, start_response)

    client = Client(strict(application))
    client.send(GET)
    assert seen == [dict]
    assert client.environs[0]["app.user"] == "me"
    assert "HTTP_HOST" not in client.environs[0]
    assert isinstance(client.environs[0]["wsgi.input"], io.BytesIO)


def test_nothing_is_said_of_the_length_when_the_client_has_left() -> None:
    found: list[StrictError] = []
    closed: list[bool] = []
    client = Client(honest(strict(lambda *given: endless(*given), report=found.append)))

    def endless(environ: Environ, start_response: Any) -> Any:
        start_response("200 OK", [PLAIN, ("Content-Length", "1000000")])
        try:
            yield b"hello"
            client.stream.gone = ConnectionResetError()
            while True:
                yield b"hello"
        finally:
            closed.append(True)

    client.send(GET)
    assert closed == [True]
    assert found == []


def test_the_error_of_an_application_is_no_fault_of_strict_mode() -> None:
    def failing(environ: Environ, start_response: Any) -> Any:
        start_response("200 OK", [PLAIN, ("Content-Length", "1000000")])
        yield b"hello"
        raise ValueError("as asked")

    found: list[StrictError] = []
    client = Client(strict(failing, report=found.append))
    client.send(GET)
    assert "ValueError: as asked" in client.log
    assert found == []


def test_streams_may_be_used_while_the_body_is_closed() -> None:
    def application(environ: Environ, start_response: Any) -> Any:
        body = Body(b"hello")
        body.close = lambda: environ["wsgi.errors"].write("closed\n")  # type: ignore[method-assign]
        start_response("200 OK", [PLAIN])
        return body

    assert told(application) == []


def test_close_is_called_a_second_time_only_once_for_each_method() -> None:
    closes: list[str] = []

    class Counting(Body):
        def close(self) -> None:
            closes.append("close")

    client = Client(strict(giving(partial(Counting, b"hello"))))
    for _ in range(3):
        client.send(GET)
    assert len(closes) == 4


def test_options_for_the_server_itself_has_no_path() -> None:
    """RFC 9112 section 3.2.4: PATH_INFO is "*" then."""
    assert told(hello, request(start="OPTIONS * HTTP/1.1")) == []


@pytest.mark.parametrize("chunked", [True, False])
def test_a_body_may_be_read_to_its_end_where_the_server_says_that_it_ends(chunked: bool) -> None:
    framing = "Transfer-Encoding: chunked" if chunked else "Content-Length: 4"
    body = b"4\r\nbody\r\n0\r\n\r\n" if chunked else b"body"
    ask = request(framing, start="POST / HTTP/1.1", body=body)
    assert told(using(lambda environ: environ["wsgi.input"].read()), ask) == []
    assert [fault.rule for fault in told(hello, ask)] == ["input-unread"]


# -- Real applications -------------------------------------------------------------------------------------------------

FORM = b"name=Ada"
UPLOAD = b'--B\r\nContent-Disposition: form-data; name="file"; filename="a.bin"\r\n\r\nabc\r\n--B--\r\n'


def posted(path: str, kind: str, body: bytes) -> bytes:
    lines = (f"Content-Type: {kind}", f"Content-Length: {len(body)}")
    return request(*lines, start=f"POST {path} HTTP/1.1", body=body)


OF_A_FRAMEWORK = [
    GET,
    HEAD,
    *(request(start=f"GET {path} HTTP/1.1") for path in ("/json", "/visits", "/redirect", "/nowhere", "/form")),
    posted("/form", "application/x-www-form-urlencoded", FORM),
    posted("/json", "application/json", b'{"a": 1}'),
    posted("/upload", "multipart/form-data; boundary=B", UPLOAD),
]
ASKED = {
    "hello": [GET],
    "echo": [GET, posted("/a%20b?c=d", "text/plain", b"text")],
    "stream": [request(start="GET /?count=3&interval=0 HTTP/1.1"), request(start="GET /?count=x HTTP/1.1")],
    "slow": [request(start="GET /?seconds=0 HTTP/1.1"), request(start="GET /?seconds=x HTTP/1.1")],
    "crash": [GET, request(start="GET /before HTTP/1.1"), request(start="GET /after HTTP/1.1")],
    "download": [request(start="GET /?size=1000 HTTP/1.1"), request(start="GET /?size=x HTTP/1.1")],
    "upload": [GET, posted("/", "multipart/form-data; boundary=B", UPLOAD), posted("/", "text/plain", b"nonsense")],
    "flask_app": OF_A_FRAMEWORK,
    "bottle_app": OF_A_FRAMEWORK,
}


def test_every_application_of_the_project_is_asked() -> None:
    assert ASKED.keys() == {path.stem for path in (ROOT / "apps").glob("[!_]*.py")}


@pytest.mark.parametrize(("name", "ask"), [(name, ask) for name, asked in ASKED.items() for ask in asked])
def test_the_applications_of_the_project_have_no_faults(name: str, ask: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    found: list[StrictError] = []
    application = load(f"apps.{name}:app")
    client = Client(strict(application, report=found.append))
    answer = client.send(ask)
    assert [str(fault) for fault in found] == []
    assert answer.startswith(b"HTTP/1.1 ")
    if name not in ("flask_app", "crash"):
        assert client.log == ""


def test_hello_of_flask_and_of_bottle_have_no_faults() -> None:
    bottle = pytest.importorskip("bottle")
    flask = pytest.importorskip("flask")
    applications = bottle.Bottle(), flask.Flask(__name__)
    for application in applications:
        application.route("/")(lambda: "hello")
        application.route("/stream", endpoint="stream")(lambda: iter(["hello, ", "world"])) if isinstance(
            application, flask.Flask
        ) else application.route("/stream")(lambda: iter([b"hello, ", b"world"]))
        for ask in (GET, HEAD, request(start="GET /stream HTTP/1.1"), request(start="GET /nowhere HTTP/1.1")):
            assert [str(fault) for fault in told(application, ask)] == []
            assert Client(strict(application)).send(ask) == Client(application).send(ask)


def test_the_applications_of_the_project_have_no_faults_under_the_client_of_flask_and_under_webtest() -> None:
    """Whose environ does not say that the body ends, so that frameworks guard it in their own way."""
    webtest = pytest.importorskip("webtest")
    for name in ("flask_app", "bottle_app"):
        application = strict(load(f"{ROOT}/apps/{name}.py:app"))
        client = webtest.TestApp(application)
        form = client.get("/").forms[0]
        form["name"] = "Ada"
        assert "Hello, Ada!" in form.submit()
        assert client.post_json("/json", {"a": 1}).json["sent"] == {"a": 1}
        files = [("file", "a.bin", b"abc")]
        assert client.post("/upload", upload_files=files).json["size"] == 3
    flask = load(f"{ROOT}/apps/flask_app.py:app")
    checked = strict(flask.wsgi_app)  # type: ignore[attr-defined]
    flask.wsgi_app = checked  # type: ignore[attr-defined]
    with flask.test_client() as inside:  # type: ignore[attr-defined]
        response = inside.post("/form", data={"name": "Ada"})
        assert response.status_code == 200
        response.close()


def test_the_fault_of_a_framework_is_blamed_on_the_users_code_where_it_is_on_the_stack() -> None:
    flask = pytest.importorskip("flask")
    application = flask.Flask(__name__)

    @application.route("/")
    def view() -> str:
        flask.request.environ["wsgi.errors"].write(b"bytes")  # this one
        return "hello"

    (fault,) = told(application)
    file, _, line = fault.place.rpartition(":")
    assert (file, fault.rule) == (__file__, "errors-type")
    assert linecache.getline(file, int(line)).endswith("# this one\n")


# -- The command and the server ----------------------------------------------------------------------------------------


def test_a_server_tells_each_distinct_fault_once_and_serves_on(
    serve: Callable[..., Server], connect: Callable[[Any], Any], capsys: pytest.CaptureFixture[str]
) -> None:
    client = connect(serve(starting("200 OK", [("X_Y", "x")]), strict=True))
    assert [client.get().content for _ in range(3)] == [b"hello"] * 3
    told_ = capsys.readouterr().err
    assert told_.count("wsgiserver: strict warning: header-underscore: ") == 1
    assert told_.count("wsgiserver: strict warning: content-type-missing: ") == 1
    assert told_.count("\n") == 10


def test_a_server_that_is_not_strict_has_the_application_as_it_is() -> None:
    assert Server(hello).site.application is hello
    assert Server(hello, strict=True).site.application is not hello


def test_strict_mode_is_not_even_loaded_where_it_is_off() -> None:
    code = "import sys, wsgiserver; wsgiserver.Server(print); print('wsgiserver.rules' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_a_fault_is_told_anew_for_another_place() -> None:
    errors = io.StringIO()
    report = Reporter(errors)
    for application in (twice, starting("200 OK", [])) * 2:
        Client(strict(application, report=report)).send(GET)
    assert errors.getvalue().count("wsgiserver: strict ") == 2


def test_faults_at_the_same_place_in_a_library_are_told_apart_by_their_paths() -> None:
    errors = io.StringIO()
    report = Reporter(errors)
    for path in ("/a/1", "/a/2", "/b/1"):
        for place in (f"{ast.__file__}:1", f"{__file__}:1"):
            report(StrictError(RULES["chunk-type"], "", place, f"GET {path!r}"))
    assert errors.getvalue().count(f"at: {ast.__file__}") == 2
    assert errors.getvalue().count(f"at: {__file__}") == 1


def test_as_many_faults_are_told_as_can_be_remembered() -> None:
    errors = io.StringIO()
    report = Reporter(errors)
    for number in range(Reporter.KNOWN + 5):
        report(StrictError(RULES["chunk-type"], "", f"app.py:{number}", ""))
    assert errors.getvalue().count("chunk-type") == Reporter.KNOWN


# -- The page ----------------------------------------------------------------------------------------------------------


def test_every_rule_says_what_people_need() -> None:
    for rule in RULES.values():
        assert rule.what.endswith(".")
        assert rule.remedy.endswith(".")
        assert "PEP 3333" in rule.source or "RFC " in rule.source
        assert "|" not in "".join(rule)


def test_every_rule_is_used() -> None:
    """A name that is no rule would not pass its case: it is a KeyError."""
    source = "".join((ROOT / "wsgiserver" / f"{name}.py").read_text() for name in ("strict", "guards", "rules"))
    for rule in RULES:
        stream, _, rest = rule.partition("-")
        assert source.count(f'"{rule}"') >= 2 or (stream in ("input", "errors") and f"}}-{rest}" in source), rule


def test_the_page_shows_the_rules_as_they_are() -> None:
    script = ROOT / "docs" / "make_strict.py"
    run = subprocess.run([sys.executable, script, "--check"], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr


def test_a_stale_page_is_noticed_and_made_anew(tmp_path: Path) -> None:
    script = shutil.copy(ROOT / "docs" / "make_strict.py", tmp_path)
    page = tmp_path / "reference" / "strict.md"
    page.parent.mkdir()
    page.write_text("stale", encoding="utf-8")
    check = [sys.executable, script, "--check"]
    stale = subprocess.run(check, capture_output=True, text=True, check=False)
    assert (stale.returncode, page.read_text(encoding="utf-8")) == (1, "stale")
    assert "run python docs/make_strict.py" in stale.stderr
    subprocess.run([sys.executable, script], check=True)
    assert subprocess.run(check, check=False).returncode == 0
    assert all(f"`{rule}`" in page.read_text(encoding="utf-8") for rule in RULES)


# -- wsgiref.validate --------------------------------------------------------------------------------------------------

# Each check of it, by the function that it stands in and what it asserts, and the rule that is its counterpart; ""
# where the language itself refuses the call.
COUNTERPARTS = {
    ("check_string_type", ""): ("status-type", "header-type"),
    ("lint_app", "len(args) == 2"): ("",),
    ("lint_app", "not kw"): ("",),
    ("start_response_wrapper", "len(args) == 2 or len(args) == 3"): ("start-response-arguments",),
    ("start_response_wrapper", "not kw"): ("start-response-keywords",),
    ("lint_app", "iterator is not None and iterator != False"): ("body-not-iterable",),
    ("read", "len(args) == 1"): ("input-unbounded", "input-arguments"),
    ("read", "type(v) is bytes"): ("input-result",),
    ("readline", "len(args) <= 1"): ("input-arguments",),
    ("readline", "type(v) is bytes"): ("input-result",),
    ("readlines", "len(args) <= 1"): ("input-arguments",),
    ("readlines", "type(lines) is list"): ("input-result",),
    ("readlines", "type(line) is bytes"): ("input-result",),
    ("close", "0"): ("input-close", "errors-close"),
    ("write", "type(s) is str"): ("errors-type",),
    ("__call__", "type(s) is bytes"): ("chunk-type",),
    ("__next__", "not self.closed"): ("read-after-close",),
    ("__next__", "False"): ("chunk-type",),
    ("__next__", "self.check_start_response"): ("start-response-missing",),
    ("__del__", "self.closed"): ("close-missing",),
    ("check_environ", "type(environ) is dict"): ("environ-type",),
    ("check_environ", "key in environ"): ("environ-missing",),
    ("check_environ", "key not in environ"): ("environ-http-content",),
    ("check_environ", "QUERY_STRING is not in"): ("environ-query",),
    ("check_environ", "type(environ[key]) is str"): ("environ-value",),
    ("check_environ", "type(environ['wsgi.version']) is tuple"): ("environ-version",),
    ("check_environ", "environ['wsgi.url_scheme'] in ('http', 'https')"): ("environ-scheme",),
    ("check_environ", "Unknown REQUEST_METHOD"): ("environ-method",),
    ("check_environ", "environ['SCRIPT_NAME'].startswith('/')"): ("environ-path",),
    ("check_environ", "environ['PATH_INFO'].startswith('/')"): ("environ-path",),
    ("check_environ", "int(environ['CONTENT_LENGTH']) >= 0"): ("environ-length",),
    ("check_environ", "'PATH_INFO' in environ"): ("environ-missing",),
    ("check_environ", "environ.get('SCRIPT_NAME') != '/'"): ("environ-path",),
    ("check_input", "hasattr(wsgi_input, attr)"): ("environ-streams",),
    ("check_errors", "hasattr(wsgi_errors, attr)"): ("environ-streams",),
    ("check_status", "len(status_code) == 3"): ("status-form",),
    ("check_status", "status_int >= 100"): ("status-range",),
    ("check_status", "should be a three-digit integer"): ("status-form",),
    ("check_headers", "type(headers) is list"): ("headers-type",),
    ("check_headers", "type(item) is tuple"): ("header-item",),
    ("check_headers", "len(item) == 2"): ("header-item",),
    ("check_headers", "name.lower() != 'status'"): ("header-status",),
    ("check_headers", "':' not in name"): ("header-name",),
    ("check_headers", "header_re.search(name)"): ("header-name", "header-characters"),
    ("check_headers", "not name.endswith('-')"): ("header-name-end",),
    ("check_headers", "0"): ("header-value",),
    ("check_content_type", "0"): ("content-type-missing", "content-type-unwanted"),
    ("check_exc_info", "exc_info is None or type(exc_info) is tuple"): ("exc-info-type",),
    ("check_iterator", "not isinstance(iterator, (str, bytes))"): ("body-is-string",),
}


def checks(node: ast.AST, function: str = "") -> Iterator[tuple[str, str]]:
    """Give what the validator asserts or warns of, and in which function."""
    for child in ast.iter_child_nodes(node):
        inside = child.name if isinstance(child, ast.FunctionDef) else function
        if isinstance(child, ast.Call) and ast.unparse(child.func) in ("assert_", "warnings.warn"):
            yield inside, ast.unparse(child.args[0])
        elif isinstance(child, ast.Raise) and inside != "assert_":
            yield inside, ""
        yield from checks(child, inside)


def test_every_check_of_wsgiref_validate_has_its_counterpart() -> None:
    for function, asserted in checks(ast.parse(inspect.getsource(wsgiref.validate))):
        rules = [COUNTERPARTS[key] for key in COUNTERPARTS if key[0] == function and key[1] in asserted]
        assert rules, f"{function}: {asserted}"
        assert {name for names in rules for name in names} <= {*RULES, ""}


def test_the_table_of_counterparts_names_only_checks_that_are_there() -> None:
    there = [*checks(ast.parse(inspect.getsource(wsgiref.validate)))]
    for function, part in COUNTERPARTS:
        assert any(function == other and part in asserted for other, asserted in there), (function, part)


@pytest.mark.parametrize("rule", sorted({name for names in COUNTERPARTS.values() for name in names if name}))
def test_what_breaks_the_counterpart_breaks_the_check_too(rule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """So the table is no claim alone: the application of some case of the rule fails under the validator."""
    objections: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda about: objections.append(about.exc_value))
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    for case in CASES[rule]:
        client = Client(case.through(wsgiref.validate.validator(case.breaks)))
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            client.send(case.ask)
        objections += [warning for warning in warned if warning.category is wsgiref.validate.WSGIWarning]
        objections += [client.log] if "wsgiref/validate.py" in client.log else []
    # What the validator says of bodies that were never closed, it shall say here, not in a later test.
    del client
    gc.collect()
    assert objections


@pytest.mark.parametrize("call", [lambda app: app({}), lambda app: app(environ={}, start_response=print)])
def test_an_application_is_called_with_two_positional_arguments(call: Callable[[Any], object]) -> None:
    with pytest.raises(TypeError, match="positional"):
        call(strict(hello))
