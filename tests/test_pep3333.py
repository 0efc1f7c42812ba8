"""PEP 3333 as a server has to keep it, and each row of the table "Responses" of the project's contract.

A request goes into a real connection in memory, the application is called by the real gateway, and what comes out is
compared byte for byte. The tests stand in the order of the PEP; its section is named in each docstring that needs it.
"""

import io
import os
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any
from wsgiref.validate import validator

import pytest
from clients import (
    GET,
    GET_1_0,
    GET_1_0_KEPT,
    HEAD,
    STAMPS,
    Client,
    SlowStream,
    answering,
    ask,
    chunks,
    descriptors_of,
    request,
    response,
)

from wsgiserver.exchange import ClientGone
from wsgiserver.messages import BadResponse
from wsgiserver.responses import KNOWN_HEAD_LENGTH, KNOWN_HEADS, prepare_head
from wsgiserver.site import Environ
from wsgiserver.states import State

PLAIN = ("Content-Type", "text/plain")
FAILED = b"HTTP/1.1 500 Internal Server Error\r\n"


class Body:
    """An iterable that counts how often it is closed and asked; ``pieces`` may hold exceptions, which it raises."""

    def __init__(self, *pieces: Any) -> None:
        self.pieces = iter(pieces)
        self.asked = 0
        self.closed = 0

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        self.asked += 1
        piece = next(self.pieces)
        if isinstance(piece, BaseException):
            raise piece
        return piece

    def close(self) -> None:
        self.closed += 1


class Sized(Body):
    """A ``Body`` that knows how many pieces it has."""

    def __init__(self, *pieces: Any) -> None:
        super().__init__(*pieces)
        self.length = len(pieces)

    def __len__(self) -> int:
        return self.length


def lazily(*pieces: Any) -> partial[Iterator[Any]]:
    """Make an iterable of unknown length, anew for each test."""
    return partial(iter, pieces)


def shape(body: Any) -> str:
    """Name a parameter; those that are used up are given as a ``partial`` that makes them anew."""
    return f"{body.func.__name__}{body.args}" if isinstance(body, partial) else repr(body)


def kind(value: Any) -> str:
    """Name a parameter by its type."""
    return type(value).__name__


def app(function: Callable[..., Any]) -> Callable[..., Any]:
    """Mark an application within a test: it says nothing but "200 OK" and what the function makes of ``write``."""

    def application(environ: Environ, start_response: Any) -> Iterable[bytes]:
        return function(start_response("200 OK", []))

    return application


def usable(client: Client) -> bool:
    """Whether the connection still answers a further request."""
    client.application = answering([b"still here"])
    return client.send(GET) == response("200 OK", after=["Content-Length: 10"], body=b"still here")


# -- The application and its iterable ------------------------------------------------------------------------------


def test_the_application_is_called_with_two_positional_arguments() -> None:
    def application(*arguments: Any, **keywords: Any) -> list[bytes]:
        called.append((len(arguments), keywords))
        arguments[1]("200 OK", [])
        return []

    called: list[Any] = []
    ask(GET, application)
    assert called == [(2, {})]


def test_any_callable_is_an_application() -> None:
    class Application:
        def __init__(self, environ: Environ, start_response: Any) -> None:
            self.start_response = start_response

        def __iter__(self) -> Iterator[bytes]:
            self.start_response("200 OK", [PLAIN])
            yield b"hello"

    head = response("200 OK", "Content-Type: text/plain", after=["Transfer-Encoding: chunked"])
    assert ask(GET, Application) == head + chunks(b"hello")


@pytest.mark.parametrize("body", [[b"hello"], (b"hello",), {b"hello": 1}, partial(Sized, b"hello")], ids=shape)
def test_an_iterable_of_known_length_one_gets_a_content_length(body: Iterable[bytes]) -> None:
    """Handling the Content-Length Header: if len(iterable) is 1, the length is that of the first bytestring."""
    assert ask(GET, answering(body)) == response("200 OK", after=["Content-Length: 5"], body=b"hello")


@pytest.mark.parametrize("body", [[], (), [b""], lazily(), lazily(b""), [b"", b""]], ids=shape)
def test_an_empty_iterable_gets_a_content_length_of_0(body: Iterable[bytes]) -> None:
    assert ask(GET, answering(body)) == response("200 OK", after=["Content-Length: 0"])


@pytest.mark.parametrize(
    "make", [list, tuple, iter, lambda pieces: Sized(*pieces)], ids=["list", "tuple", "iter", "own"]
)
def test_more_pieces_are_chunked(make: Callable[[list[bytes]], Iterable[bytes]]) -> None:
    body = make([b"hello, ", b"world"])
    head = response("200 OK", after=["Transfer-Encoding: chunked"])
    assert ask(GET, answering(body)) == head + chunks(b"hello, ", b"world")


def test_of_heads_that_applications_repeat_the_short_ones_are_kept() -> None:
    """What is kept is neither checked nor put together again; an application that makes new ones fills no memory."""
    short, long = [("X-A", "short")], [("X-A", "x" * KNOWN_HEAD_LENGTH)]
    assert prepare_head("200 OK", short) is prepare_head("200 OK", [*short])
    assert prepare_head("200 OK", long) is not prepare_head("200 OK", [*long])
    known = prepare_head("200 OK", short)
    for number in range(KNOWN_HEADS):
        prepare_head("200 OK", [("X-A", str(number))])
    assert prepare_head("200 OK", short) is not known


def test_a_generator_of_one_piece_is_chunked_because_the_piece_leaves_before_its_end_is_known() -> None:
    head = response("200 OK", after=["Transfer-Encoding: chunked"])
    assert ask(GET, answering(lambda: iter([b"hello"]))) == head + chunks(b"hello")


def test_empty_pieces_among_others_leave_no_trace_on_the_wire() -> None:
    """An empty chunk would end the body (RFC 9112 section 7.1)."""
    head = response("200 OK", after=["Transfer-Encoding: chunked"])
    assert ask(GET, answering([b"", b"a", b"", b"b", b""])) == head + chunks(b"a", b"b")


def test_pieces_are_binary_and_line_ends_in_them_stay_as_they_are() -> None:
    """The server must treat the yielded bytestrings as binary byte sequences."""
    data = bytes(range(256)) + b"\r\n\n\r"
    assert ask(GET, answering([data])).endswith(b"\r\n\r\n" + data)


@pytest.mark.parametrize("pieces", [1, 2, 5])
def test_each_piece_has_left_before_the_next_is_asked_for(pieces: int) -> None:
    """Buffering and Streaming: no block is delayed."""

    def body() -> Iterator[bytes]:
        for number in range(pieces):
            yield b"%d" % number
            assert client.stream.sent.endswith(chunks(b"%d" % number, last=False))

    client = Client(answering(body))
    assert client.send(GET).endswith(chunks(*(b"%d" % number for number in range(pieces))))
    assert client.log == ""


def test_the_head_does_not_leave_before_the_first_piece_that_is_not_empty() -> None:
    """The start_response() Callable: the head is not sent until there is body, or none will come."""

    def body() -> Iterator[bytes]:
        for piece in (b"", b"", b"x"):
            assert client.stream.sent == b""
            yield piece
        assert client.stream.sent != b""

    client = Client(answering(body))
    client.send(GET)
    assert client.log == ""


def test_start_response_may_be_called_in_the_first_next() -> None:
    """Servers must not assume that start_response() has been called before they begin iterating."""

    def application(environ: Environ, start_response: Any) -> Iterator[bytes]:
        start_response("404 Not Found", [PLAIN])
        yield b"a"
        yield b"b"

    head = response("404 Not Found", "Content-Type: text/plain", after=["Transfer-Encoding: chunked"])
    assert ask(GET, application) == head + chunks(b"a", b"b")


def test_start_response_may_be_called_in_the_first_next_of_a_sized_iterable() -> None:
    class Lazy:
        def __init__(self, environ: Environ, start_response: Any) -> None:
            self.start_response = start_response

        def __len__(self) -> int:
            return 1

        def __iter__(self) -> Iterator[bytes]:
            self.start_response("200 OK", [])
            yield b"lazy"

    assert ask(GET, Lazy) == response("200 OK", after=["Content-Length: 4"], body=b"lazy")


@pytest.mark.parametrize("body", [[], [b"a"], [b"a", b"b"], lazily(b"a"), lazily()], ids=shape)
def test_a_body_without_start_response_is_a_500(body: Iterable[bytes]) -> None:
    client = Client(lambda environ, start_response: body() if callable(body) else body)
    assert client.send(GET).startswith(FAILED)
    assert "start_response" in client.log
    assert usable(client)


@pytest.mark.parametrize("body", [None, 7, "hello", b"hello", object()], ids=kind)
def test_what_is_no_iterable_of_bytes_is_a_500(body: Any) -> None:
    client = Client(answering(body))
    assert client.send(GET).startswith(FAILED)
    assert usable(client)


def test_a_length_that_cannot_be_told_is_not_needed() -> None:
    """The length counts "if a call to len(iterable) succeeds"; the iterable is sent all the same."""

    class Unsized(Body):
        def __len__(self) -> int:
            raise NotImplementedError("ask again later")

    head = response("200 OK", after=["Transfer-Encoding: chunked"])
    assert ask(GET, answering(Unsized(b"a", b"b"))) == head + chunks(b"a", b"b")


def test_a_wrapper_that_passes_attributes_on_has_no_length_of_its_own() -> None:
    """len() looks at the type: such a wrapper may give more pieces than what it wraps."""

    class Wrapper:
        def __init__(self, wrapped: list[bytes]) -> None:
            self.wrapped = wrapped

        def __getattr__(self, name: str) -> Any:
            return getattr(self.wrapped, name)

        def __iter__(self) -> Iterator[bytes]:
            yield from self.wrapped
            yield b"and more"

    head = response("200 OK", after=["Transfer-Encoding: chunked"])
    assert ask(GET, answering(Wrapper([b"a"]))) == head + chunks(b"a", b"and more")


def test_nothing_but_iter_len_and_close_is_asked_of_the_iterable() -> None:
    """Servers must not directly use any other attributes of the iterable."""

    class Strict:
        def __getattribute__(self, name: str) -> Any:
            asked.add(name)
            return super().__getattribute__(name)

        def __iter__(self) -> Iterator[bytes]:
            return iter([b"a"])

    asked: set[str] = set()
    assert ask(GET, answering(Strict())).endswith(chunks(b"a"))
    assert asked <= {"close", "__class__"}


# -- close() -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("data", [GET, HEAD, GET_1_0], ids=["GET", "HEAD", "HTTP/1.0"])
@pytest.mark.parametrize(
    "body",
    [
        Body,
        lambda: Body(b"a"),
        lambda: Body(b"a", b"b"),
        lambda: Body(b""),
        lambda: Sized(b"a"),
        lambda: Sized(),
        lambda: Body(RuntimeError("before")),
        lambda: Body(b"a", RuntimeError("after")),
        lambda: Body(SystemExit()),
        lambda: Body(b"a", KeyboardInterrupt()),
        lambda: Body("text"),
        lambda: Body(b"a", "text"),
    ],
    ids=[
        "empty", "one", "two", "empty-piece", "sized", "sized-empty", "raises-before", "raises-after", "exits",
        "interrupts", "no-bytes", "no-bytes-after",
    ],
)  # fmt: skip
def test_close_is_called_once_however_the_iteration_ends(body: Callable[[], Body], data: bytes) -> None:
    """Specification Details: close() is called on completion, whether normal or early."""
    made = body()
    client = Client(answering(made))
    client.send(data)
    assert made.closed == 1
    assert len(client.exchanges) == 1


@pytest.mark.parametrize("length", [0, 1, 2, 5], ids="Content-Length: {}".format)
def test_close_is_called_once_whatever_the_length(length: int) -> None:
    body = Body(b"a", b"b")
    ask(GET, answering(body, ("Content-Length", str(length))))
    assert body.closed == 1


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified", "no status"])
def test_close_is_called_once_whatever_the_status(status: str) -> None:
    def application(environ: Environ, start_response: Any) -> Body:
        with suppress(BadResponse):
            start_response(status, [])
        return body

    body = Body(b"a", b"b")
    ask(GET, application)
    assert body.closed == 1


def test_close_is_called_once_when_the_client_has_left() -> None:
    def leave() -> Iterator[bytes]:
        yield b"a"
        client.stream.gone = BrokenPipeError()
        yield b"b"
        yield b"c"

    body = Body()
    body.pieces = leave()
    client = Client(answering(body))
    client.send(GET)
    assert body.closed == 1
    assert client.state is State.CLOSED


def test_close_is_called_after_the_last_piece_was_asked_for() -> None:
    class Ordered(Body):
        def close(self) -> None:
            super().close()
            assert self.asked == 3

    client = Client(answering(Ordered(b"a", b"b")))
    client.send(GET)
    assert client.log == ""


@pytest.mark.parametrize("error", [RuntimeError("no"), SystemExit(1), KeyboardInterrupt()], ids=repr)
@pytest.mark.parametrize("sized", [False, True], ids=["streamed", "whole"])
def test_an_error_in_close_is_reported_and_the_response_stands(error: BaseException, sized: bool) -> None:
    class Broken(Sized if sized else Body):  # type: ignore[misc]
        def close(self) -> None:
            super().close()
            raise error

    body = Broken(b"a")
    client = Client(answering(body))
    sent = client.send(GET)
    assert sent.startswith(b"HTTP/1.1 200 OK\r\n")
    assert sent.endswith(b"\r\n\r\na" if sized else chunks(b"a"))
    assert body.closed == 1
    assert type(error).__name__ in client.log
    assert usable(client)


def test_a_close_that_cannot_even_be_looked_up_is_reported_and_the_response_stands() -> None:
    class Broken(Sized):
        @property
        def close(self) -> Any:  # type: ignore[override]
            raise RuntimeError("no close today")

    client = Client(answering(Broken(b"a")))
    assert client.send(GET).endswith(b"\r\n\r\na")
    assert "no close today" in client.log
    assert usable(client)


# -- environ -------------------------------------------------------------------------------------------------------


def test_environ_is_a_builtin_dict_that_the_application_may_change() -> None:
    """Each request has one of its own."""

    def application(environ: Environ, start_response: Any) -> list[bytes]:
        assert type(environ) is dict
        assert "mine" not in environ
        environ["mine"] = 1
        del environ["wsgi.version"]
        environ["wsgi.input"] = None
        start_response("200 OK", [])
        return []

    client = Client(application)
    for _ in range(3):
        assert client.send(GET) == response("200 OK", after=["Content-Length: 0"])


# -- start_response ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("exc_info", [(), (None,)], ids=["left-out", "None"])
def test_start_response_takes_positional_arguments_and_gives_write(exc_info: Any) -> None:
    def application(environ: Environ, start_response: Any) -> list[bytes]:
        write = start_response("200 OK", [], *exc_info)
        assert callable(write)
        return [b""]

    assert ask(GET, application) == response("200 OK", after=["Content-Length: 0"])


@pytest.mark.parametrize("arguments", [("200 OK", []), ()], ids=["exc_info", "all"])
def test_start_response_takes_its_arguments_by_the_names_of_pep_3333_too(arguments: Any) -> None:
    """They are positional there, but WebOb's ``wsgify`` names exc_info, and all servers take that."""
    names = {} if arguments else {"status": "200 OK", "headers": []}

    def application(environ: Environ, start_response: Any) -> list[bytes]:
        start_response(*arguments, **names, exc_info=None)
        return [b""]

    assert ask(GET, application) == response("200 OK", after=["Content-Length: 0"])


def test_status_reason_and_headers_leave_as_they_were_given() -> None:
    """Case, order and repetition of the headers, and the reason phrase, are the application's."""
    headers = [("X-b", "1"), ("x-A", "2"), ("Set-Cookie", "a=1"), ("SET-cookie", "b=2"), ("X-b", "3"), ("X-Empty", "")]
    lines = ["X-b: 1", "x-A: 2", "Set-Cookie: a=1", "SET-cookie: b=2", "X-b: 3", "X-Empty: "]
    sent = ask(GET, answering([b""], *headers, status="299 Quite   Fine, thanks"))
    assert sent == response("299 Quite   Fine, thanks", *lines, after=["Content-Length: 0"])


def test_status_and_headers_are_latin_1() -> None:
    """Unicode Issues: ISO-8859-1 characters."""
    sent = ask(GET, answering([b""], ("X", "caf\xe9\tau lait"), status="200 Tr\xe8s bien"))
    assert sent == response("200 Tr\xe8s bien", "X: caf\xe9\tau lait", after=["Content-Length: 0"])


def test_an_empty_reason_phrase_keeps_its_space() -> None:
    """RFC 9112 section 4: the space before an absent reason phrase must be sent."""
    assert ask(GET, answering([b""], status="200 ")).startswith(b"HTTP/1.1 200 \r\n")


@pytest.mark.parametrize(
    "status",
    [
        b"200 OK", 200, None, "", "200", "200OK", "20 OK", "2000 OK", "abc OK", " 200 OK", "200\tOK", "-20 OK",
        "200 OK\r\nX-Split: 1", "200 OK\r", "200 OK\n", "200 \x00", "200 \x7f", "200 \x1b[31m", "200 \u4f60",
        "\u0662\u0660\u0660 OK", "100 Continue", "101 Switching Protocols", "199 Odd", "600 Odd", "999 Odd", "000 Odd",
    ],
    ids=repr,
)  # fmt: skip
def test_an_illegal_status_is_an_error_in_the_application(status: Any) -> None:
    """It stands in the log; nothing of it reaches the wire, and the connection stays usable."""
    check_illegal(status, [PLAIN])


@pytest.mark.parametrize(
    "headers",
    [
        None,
        (PLAIN,),
        {"Content-Type": "text/plain"},
        [("X-Illegal",)],
        [("X-Illegal", "a", "b")],
        [["X-Illegal", "a"]],
        ["X-Illegal: a"],
        [None],
        [(b"X-Illegal", "a")],
        [("X-Illegal", b"a")],
        [("X-Illegal", 7)],
        [("X-Illegal", None)],
        [("", "a")],
        [("X-Illegal:", "a")],
        [("X-Illegal ", "a")],
        [(" X-Illegal", "a")],
        [("X Illegal", "a")],
        [("X-Illegal\r\nX-Split", "a")],
        [("X-Illegal\n", "a")],
        [("X-Illegal\x00", "a")],
        [("X-Ill\xe9gal", "a")],
        [("X-Illegal\u4f60", "a")],
        [("X-Illegal", "a\r\nX-Split: 1")],
        [("X-Illegal", "a\r\n\r\n<html>")],
        [("X-Illegal", "a\rb")],
        [("X-Illegal", "a\nb")],
        [("X-Illegal", "a\n")],
        [("X-Illegal", "a\x00b")],
        [("X-Illegal", "a\x7fb")],
        [("X-Illegal", "a\x1b[31m")],
        [("X-Illegal", "\u4f60\u597d")],
        [("X-Illegal", "\ud800")],
        [("X-Fine", "1"), ("X-Illegal", "a\nb")],
        [("Content-Length", "5"), ("Content-Length", "5")],
        [("Content-Length", "-1")],
        [("Content-Length", "+5")],
        [("Content-Length", "5 ")],
        [("Content-Length", "5, 5")],
        [("Content-Length", "0x5")],
        [("Content-Length", "\u0665")],
        [("Content-Length", "\xb2")],
        [("Content-Length", "")],
        [("Content-Length", "1_0")],
    ],
    ids=repr,
)
def test_illegal_headers_are_an_error_in_the_application(headers: Any) -> None:
    check_illegal("200 OK", headers)


def check_illegal(status: Any, headers: Any) -> None:
    def application(environ: Environ, start_response: Any) -> list[bytes]:
        with pytest.raises(BadResponse):
            start_response(status, headers)
        raised.append(True)
        start_response(status, headers)
        raise AssertionError("it was taken")

    raised: list[bool] = []
    client = Client(application)
    sent = client.send(GET)
    assert sent.startswith(FAILED)
    for trace in (b"llegal", b"Split", b"Fine", b"<html>"):
        assert trace not in sent
    assert raised == [True]
    assert "PEP 3333" in client.log or "RFC 9110" in client.log or "RFC 9112" in client.log
    assert usable(client)


@pytest.mark.parametrize("make", [tuple, iter, lambda headers: dict(headers).items()], ids=["tuple", "iter", "items"])
def test_headers_that_are_no_list_are_refused_also_when_the_same_came_in_a_list_before(make: Any) -> None:
    def application(environ: Environ, start_response: Any) -> list[bytes]:
        start_response("200 OK", make(headers) if environ["PATH_INFO"] == "/wrong" else headers)
        return [b""]

    headers = [("X-Known", "the same")]
    client = Client(application)
    assert client.send(GET).startswith(b"HTTP/1.1 200 OK\r\n")
    assert client.send(request(start="GET /wrong HTTP/1.1")).startswith(FAILED)


def test_start_response_a_second_time_without_exc_info_is_an_assertion_error_in_the_application() -> None:
    def application(environ: Environ, start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        with pytest.raises(AssertionError, match="second time"):
            start_response("201 Created", [])
        start_response("201 Created", [])
        raise RuntimeError("it was taken")

    client = Client(application)
    assert client.send(GET).startswith(FAILED)
    assert "it was taken" not in client.log
    assert usable(client)


def test_start_response_a_second_time_without_exc_info_leaves_the_first_response_as_it_was() -> None:
    def application(environ: Environ, start_response: Any) -> list[bytes]:
        start_response("200 OK", [("X-First", "1")])
        with suppress(AssertionError):
            start_response("201 Created", [("X-Second", "1")])
        return [b"a"]

    assert ask(GET, application) == response("200 OK", "X-First: 1", after=["Content-Length: 1"], body=b"a")


def test_start_response_with_exc_info_replaces_a_head_that_has_not_left() -> None:
    """Status and all headers are replaced, none of the first are kept."""

    def application(environ: Environ, start_response: Any) -> list[bytes]:
        start_response("200 OK", [("X-First", "1"), ("Content-Length", "1000")])
        try:
            raise ValueError("a page could not be made")
        except ValueError:
            start_response("503 Not Now", [("X-Second", "2")], sys.exc_info())
        return [b"sorry"]

    client = Client(application)
    sent = client.send(GET)
    assert sent == response("503 Not Now", "X-Second: 2", after=["Content-Length: 5"], body=b"sorry")
    assert [exchange.status for exchange in client.exchanges] == ["503 Not Now"]
    assert usable(client)


def test_start_response_with_exc_info_replaces_a_head_that_was_refused() -> None:
    def application(environ: Environ, start_response: Any) -> list[bytes]:
        try:
            start_response("200 OK", [("X", "a\nb")])
        except BadResponse:
            start_response("500 Oops", [], sys.exc_info())
        return [b""]

    assert ask(GET, application) == response("500 Oops", after=["Content-Length: 0"])


def test_start_response_with_exc_info_may_be_the_first_call() -> None:
    def application(environ: Environ, start_response: Any) -> list[bytes]:
        try:
            raise ValueError
        except ValueError:
            start_response("500 Oops", [], sys.exc_info())
        return [b""]

    assert ask(GET, application) == response("500 Oops", after=["Content-Length: 0"])


def test_start_response_with_exc_info_raises_it_again_when_the_head_has_left() -> None:
    """The application's own traceback is kept, and the response is cut."""

    def application(environ: Environ, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [])
        yield b"a"
        try:
            raise ValueError("too late")
        except ValueError:
            with pytest.raises(ValueError, match="too late") as again:
                start_response("500 Oops", [("X-Second", "2")], sys.exc_info())
            raised.append(again.value)
            raise

    raised: list[BaseException] = []
    client = Client(application)
    sent = client.send(GET)
    assert sent == response("200 OK", after=["Transfer-Encoding: chunked"]) + chunks(b"a", last=False)
    assert raised == [client.exchanges[0].error]
    assert "too late" in client.log
    assert client.end == "shut"


def test_an_illegal_head_in_the_second_call_is_a_500_too() -> None:
    def application(environ: Environ, start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        try:
            raise ValueError
        except ValueError:
            start_response("500 Oops\n", [], sys.exc_info())
        return [b""]

    assert ask(GET, application).startswith(FAILED)


# -- Content-Length ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body", [[b"hello"], [b"he", b"llo"], lazily(b"h", b"", b"ello"), partial(Sized, b"hello")], ids=shape
)
def test_the_applications_content_length_is_kept(body: Iterable[bytes]) -> None:
    sent = ask(GET, answering(body, ("content-LENGTH", "5"), PLAIN))
    assert sent == response("200 OK", "content-LENGTH: 5", "Content-Type: text/plain", body=b"hello")


@pytest.mark.parametrize(
    "body",
    [
        [b"hello, world"],
        [b"hello", b", world"],
        lazily(b"hel", b"lo, world"),
        lazily(b"hello", b",", b" world"),
    ],
    ids=["one", "at-a-border", "across", "three"],
)
def test_more_bytes_than_content_length_are_cut_and_logged_and_the_connection_is_closed(body: Iterable[bytes]) -> None:
    """Handling the Content-Length Header: no more bytes than the header allows."""
    client = Client(answering(body, ("Content-Length", "5")))
    assert client.send(GET + GET) == response("200 OK", "Content-Length: 5", body=b"hello")
    assert "longer than its Content-Length" in client.log
    assert client.end in ("shut", "closed")
    assert isinstance(client.exchanges[0].error, BadResponse)
    assert len(client.environs) == 1


def test_no_more_is_asked_for_once_there_is_too_much() -> None:
    """Handling the Content-Length Header: the server stops iterating."""
    body = Body(b"hello", b"!", b"never")
    ask(GET, answering(body, ("Content-Length", "5")))
    assert body.asked == 2


@pytest.mark.parametrize("size", [5, 6, 0], ids="{} octets at once".format)
def test_write_past_content_length_raises_in_the_application(size: int) -> None:
    def application(environ: Environ, start_response: Any) -> list[bytes]:
        write = start_response("200 OK", [("Content-Length", str(size))])
        if size:
            write(b"hello"[:size])
        with pytest.raises(BadResponse, match="Content-Length"):
            write(b"!!")
        raised.append(True)
        return []

    raised: list[bool] = []
    client = Client(application)
    sent = client.send(GET)
    assert sent == response("200 OK", f"Content-Length: {size}", body=b"hello!"[:size])
    assert raised == [True]
    assert client.state is not State.IDLE


@pytest.mark.parametrize("body", [[], [b""], [b"hel"], [b"he", b"l"], lazily(b"hel"), lazily()], ids=shape)
def test_fewer_bytes_than_content_length_close_the_connection_and_are_logged(body: Iterable[bytes]) -> None:
    client = Client(answering(body, ("Content-Length", "5")))
    sent = client.send(GET + GET)
    given = len(sent) - len(response("200 OK", "Content-Length: 5"))
    assert sent == response("200 OK", "Content-Length: 5", body=b"hel"[:given])
    assert f"the body has {given} octets, its Content-Length says 5" in client.log
    assert client.end == "shut"  # what has come behind would make a close a reset
    assert not client.exchanges[0].complete
    assert len(client.environs) == 1


def test_write_and_the_iterable_count_together() -> None:
    def application(environ: Environ, start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Length", "5")])(b"he")
        return [b"llo"]

    client = Client(application)
    assert client.send(GET) == response("200 OK", "Content-Length: 5", body=b"hello")
    assert usable(client)


def test_a_huge_content_length_is_no_trouble() -> None:
    client = Client(answering([b"a"], ("Content-Length", "9" * 5000)))
    assert client.send(GET)
    assert client.state is not State.ANSWERING


# -- write() -------------------------------------------------------------------------------------------------------


def test_what_is_written_leaves_at_once() -> None:
    """The write() Callable: the bytes are sent, or the transport has them, before it returns."""

    def application(environ: Environ, start_response: Any) -> list[bytes]:
        write = start_response("200 OK", [])
        assert client.stream.sent == b""
        for piece in (b"a", b"b"):
            write(piece)
            assert client.stream.sent.endswith(chunks(piece, last=False))
        return []

    client = Client(application)
    assert client.send(GET) == response("200 OK", after=["Transfer-Encoding: chunked"]) + chunks(b"a", b"b")
    assert client.log == ""


@pytest.mark.parametrize("rest", [[b"b"], [b"b", b"c"], lazily(b"b"), []], ids=["list", "two", "iter", "empty"])
def test_what_is_written_comes_before_the_iterable(rest: Any) -> None:
    pieces = list(rest() if callable(rest) else rest)

    @app
    def application(write: Any) -> Any:
        write(b"a")
        return rest() if callable(rest) else rest

    head = response("200 OK", after=["Transfer-Encoding: chunked"])
    assert ask(GET, application) == head + chunks(b"a", *pieces)


def test_an_empty_write_sends_nothing_and_ends_nothing() -> None:
    @app
    def application(write: Any) -> list[bytes]:
        write(b"")
        assert client.stream.sent == b""
        return [b"a"]

    client = Client(application)
    assert client.send(GET) == response("200 OK", after=["Content-Length: 1"], body=b"a")


def test_an_application_that_writes_must_return_an_iterable_all_the_same() -> None:
    """The write() Callable. The head has left, so the response is cut."""

    @app
    def application(write: Any) -> None:
        write(b"a")

    client = Client(application)
    sent = client.send(GET)
    assert sent == response("200 OK", after=["Transfer-Encoding: chunked"]) + chunks(b"a", last=False)
    assert client.end == "shut"


def test_write_within_the_iteration_leaves_in_the_order_of_the_calls() -> None:
    """PEP 3333 forbids it to applications; what leaves is whole and in order nevertheless."""

    def application(environ: Environ, start_response: Any) -> Iterator[bytes]:
        write = start_response("200 OK", [])
        yield b"a"
        write(b"b")
        yield b"c"

    assert ask(GET, application).endswith(chunks(b"a", b"b", b"c"))


def test_write_after_the_end_is_refused_and_disturbs_no_other_response() -> None:
    kept: list[Any] = []

    @app
    def application(write: Any) -> list[bytes]:
        kept.append(write)
        return [b"a"]

    client = Client(application)
    client.send(GET)
    with pytest.raises(BadResponse):
        kept[0](b"late")
    client.application = answering([b"next"])
    assert client.send(GET) == response("200 OK", after=["Content-Length: 4"], body=b"next")


def test_close_may_not_write_either() -> None:
    class Writing(Body):
        def close(self) -> None:
            kept[0](b"late")

    kept: list[Any] = []

    @app
    def application(write: Any) -> Body:
        kept.append(write)
        return Writing(b"a")

    client = Client(application)
    assert client.send(GET).endswith(chunks(b"a"))
    assert "after the response had ended" in client.log


@pytest.mark.parametrize("piece", ["text", bytearray(b"a"), memoryview(b"a"), None, 7, [b"a"]], ids=kind)
@pytest.mark.parametrize(
    "make",
    [lambda piece: [piece], lambda piece: iter([piece]), lambda piece: [piece, b"a"], lambda piece: iter([b"", piece])],
    ids=["list", "iter", "two", "after-an-empty-one"],
)
def test_a_piece_that_is_no_bytes_is_a_500_and_nothing_of_it_leaves(make: Any, piece: Any) -> None:
    client = Client(answering(lambda: make(piece), ("X-Given", "1")))
    sent = client.send(GET)
    assert sent.startswith(FAILED)
    assert b"X-Given" not in sent
    assert f"a chunk of the body is a {type(piece).__name__}, not bytes" in client.log
    assert usable(client)


@pytest.mark.parametrize("piece", ["", bytearray(), None, 0], ids=repr)
def test_an_empty_piece_that_is_no_bytes_is_a_500_too(piece: Any) -> None:
    assert ask(GET, answering([piece])).startswith(FAILED)
    assert ask(GET, answering(lambda: iter([piece]))).startswith(FAILED)


def test_writing_what_is_no_bytes_raises_in_the_application() -> None:
    @app
    def application(write: Any) -> list[bytes]:
        with pytest.raises(BadResponse, match="not bytes"):
            write("text")
        return [b"a"]

    assert ask(GET, application) == response("200 OK", after=["Content-Length: 1"], body=b"a")


def test_a_piece_that_is_no_bytes_cuts_a_response_that_has_begun() -> None:
    client = Client(answering([b"a", "text", b"b"]))
    assert client.send(GET).endswith(b"\r\n\r\n" + chunks(b"a", last=False))
    assert client.end == "shut"


# -- Responses without a body --------------------------------------------------------------------------------------


@pytest.mark.parametrize("body", [[b"hello"], partial(Sized, b"hello")], ids=["list", "sized"])
def test_the_body_of_an_answer_to_head_is_dropped_and_its_known_length_told(body: Iterable[bytes]) -> None:
    client = Client(answering(body))
    assert client.send(HEAD) == response("200 OK", after=["Content-Length: 5"])
    assert usable(client)


@pytest.mark.parametrize("length", ["5", "0", "99", "1"])
@pytest.mark.parametrize("body", [[], [b"hello"], [b"he", b"llo"], lazily(b"he", b"llo")], ids=shape)
def test_the_content_length_of_an_answer_to_head_is_kept_whatever_the_body(body: Iterable[bytes], length: str) -> None:
    client = Client(answering(body, ("Content-Length", length)))
    assert client.send(HEAD) == response("200 OK", f"Content-Length: {length}")
    assert client.log == ""
    assert usable(client)


@pytest.mark.parametrize("body", [[], [b""], [b"a", b"b"], lazily(b"a"), lazily()], ids=shape)
def test_an_answer_to_head_without_known_length_tells_none(body: Iterable[bytes]) -> None:
    client = Client(answering(body))
    assert client.send(HEAD) == response("200 OK")
    assert usable(client)


def test_an_endless_body_of_an_answer_to_head_is_not_asked_for_more() -> None:
    def endless() -> Iterator[bytes]:
        while True:
            body.asked += 1
            yield b"a"

    body = Body()
    body.pieces = endless()
    client = Client(answering(body))
    assert client.send(HEAD) == response("200 OK")
    assert body.asked < 5
    assert body.closed == 1


def test_write_answers_head_with_the_head_alone() -> None:
    @app
    def application(write: Any) -> list[bytes]:
        write(b"a")
        write(b"b")
        return [b"c"]

    client = Client(application)
    assert client.send(HEAD) == response("200 OK")
    assert usable(client)


@pytest.mark.parametrize("body", [[b"hello"], [b"he", b"llo"], lazily(b"hello"), [], lazily()], ids=shape)
@pytest.mark.parametrize("length", ["5", "0", "9"])
@pytest.mark.parametrize("data", [GET, HEAD, GET_1_0_KEPT], ids=["GET", "HEAD", "HTTP/1.0"])
def test_the_body_of_a_204_is_dropped_with_its_content_length(body: Any, length: str, data: bytes) -> None:
    """RFC 9110 section 8.6: a server must not send Content-Length in a 204."""
    client = Client(answering(body, ("Content-Length", length), status="204 No Content"))
    after = ["Connection: keep-alive"] if data == GET_1_0_KEPT else []
    assert client.send(data) == response("204 No Content", after=after)
    assert client.log == ""
    assert usable(client)


@pytest.mark.parametrize("body", [[b"hello"], [b"he", b"llo"], lazily(b"hello"), []], ids=shape)
def test_the_body_of_a_204_without_content_length_is_dropped(body: Any) -> None:
    client = Client(answering(body, status="204 No Content"))
    assert client.send(GET) == response("204 No Content")
    assert usable(client)


@pytest.mark.parametrize("headers", [[], [("Content-Length", "5")]], ids=["", "Content-Length"])
@pytest.mark.parametrize("body", [[b"hello"], [b"he", b"llo"], []], ids=repr)
def test_the_body_of_a_205_is_dropped_and_its_length_is_0(body: Any, headers: Any) -> None:
    """RFC 9110 section 15.3.6: a 205 has no content, and says so."""
    client = Client(answering(body, *headers, status="205 Reset Content"))
    assert client.send(GET) == response("205 Reset Content", "Content-Length: 0")
    assert usable(client)


@pytest.mark.parametrize("body", [[b"hello"], [b"he", b"llo"], lazily(b"hello"), []], ids=shape)
@pytest.mark.parametrize("lines", [[], ["Content-Length: 5"], ['ETag: "a"', "Content-Length: 1000"]], ids=repr)
def test_the_body_of_a_304_is_dropped_and_its_content_length_kept(body: Any, lines: list[str]) -> None:
    """RFC 9110 section 8.6: it is that of the response to the same request without conditions."""
    headers = [tuple(line.split(": ")) for line in lines]
    client = Client(answering(body, *headers, status="304 Not Modified"))  # type: ignore[arg-type]
    assert client.send(GET) == response("304 Not Modified", *lines)
    assert client.log == ""
    assert usable(client)


# -- The connection ------------------------------------------------------------------------------------------------


def test_http_1_0_is_answered_and_closed() -> None:
    client = Client(answering([b"hello"]))
    after = ["Content-Length: 5", "Connection: close"]
    assert client.send(GET_1_0) == response("200 OK", after=after, body=b"hello")
    assert client.end == "closed"


@pytest.mark.parametrize("option", ["keep-alive", "Keep-Alive", "x, KEEP-ALIVE ,y"])
def test_http_1_0_is_kept_where_the_client_asks_and_the_length_is_known(option: str) -> None:
    client = Client(answering([b"hello"]))
    data = f"GET / HTTP/1.0\r\nConnection: {option}\r\n\r\n".encode()
    expected = response("200 OK", after=["Content-Length: 5", "Connection: keep-alive"], body=b"hello")
    assert [client.send(data) for _ in range(3)] == [expected] * 3
    client.application = answering([b"he", b"llo"], ("Content-Length", "5"))
    assert client.send(data) == response("200 OK", "Content-Length: 5", after=["Connection: keep-alive"], body=b"hello")


@pytest.mark.parametrize("data", [GET_1_0, GET_1_0_KEPT], ids=["", "keep-alive"])
def test_http_1_0_without_known_length_ends_with_the_connection(data: bytes) -> None:
    """No chunked coding for HTTP/1.0 (RFC 9112 section 6.1)."""
    client = Client(answering(lambda: iter([b"a", b"b"])))
    assert client.send(data) == response("200 OK", after=["Connection: close"], body=b"ab")
    assert client.end in ("shut", "closed")


@pytest.mark.parametrize("value", ["close", "Close", "x, close"])
@pytest.mark.parametrize("name", ["Connection", "CONNECTION"])
def test_the_applications_connection_close_is_honoured(name: str, value: str) -> None:
    client = Client(answering([b"a"], (name, value)))
    sent = client.send(GET + GET)
    assert sent == response("200 OK", after=["Content-Length: 1", "Connection: close"], body=b"a")
    assert client.end in ("shut", "closed")
    assert len(client.environs) == 1
    assert client.log == ""


@pytest.mark.parametrize("values", [("close", "keep-alive"), ("keep-alive", "close"), ("close", "x")], ids=repr)
def test_connection_close_is_honoured_among_several_connection_headers(values: tuple[str, str]) -> None:
    client = Client(answering([b"a"], *(("Connection", value) for value in values)))
    sent = client.send(GET)
    assert sent == response("200 OK", after=["Content-Length: 1", "Connection: close"], body=b"a")
    assert client.end in ("shut", "closed")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Connection", "keep-alive"),
        ("Keep-Alive", "timeout=5"),
        ("Transfer-Encoding", "chunked"),
        ("transfer-encoding", "gzip, chunked"),
        ("TE", "trailers"),
        ("Trailer", "X-Sum"),
        ("Trailers", "X-Sum"),
        ("Upgrade", "h2c"),
        ("Proxy-Authenticate", "Basic"),
        ("Proxy-Authorization", "Basic"),
        ("PROXY-Connection", "close"),
    ],
)
def test_other_hop_by_hop_headers_are_left_out_with_one_warning_a_name(name: str, value: str) -> None:
    """Other HTTP Features: applications must not generate hop-by-hop features."""
    client = Client(answering([b"a"], ("X-Before", "1"), (name, value), (name.upper(), value), ("X-After", "2")))
    expected = response("200 OK", "X-Before: 1", "X-After: 2", after=["Content-Length: 1"], body=b"a")
    for _ in range(3):
        assert client.send(GET) == expected
    assert client.log.lower().count(name.lower()) == client.log.count("\n") == 1


def test_date_and_server_are_added() -> None:
    """Specification Details: the server must add required headers that the application leaves out."""
    assert ask(GET, answering([b""])) == response("200 OK", after=["Content-Length: 0"], stamps=STAMPS)


@pytest.mark.parametrize("date", ["Date", "date", "DATE"])
def test_the_applications_own_date_is_not_doubled(date: str) -> None:
    sent = ask(GET, answering([b""], (date, "yesterday")))
    assert sent == response(
        "200 OK", f"{date}: yesterday", stamps=b"Server: wsgiserver\r\n", after=["Content-Length: 0"]
    )


@pytest.mark.parametrize("server", ["Server", "server", "SERVER"])
def test_the_applications_own_server_is_not_doubled(server: str) -> None:
    stamps = b"Date: Sun, 09 Sep 2001 01:46:40 GMT\r\n"
    sent = ask(GET, answering([b""], (server, "mine/1.0")))
    assert sent == response("200 OK", f"{server}: mine/1.0", stamps=stamps, after=["Content-Length: 0"])


def test_the_applications_own_date_and_server_are_not_doubled() -> None:
    sent = ask(GET, answering([b""], ("Server", "mine"), ("Date", "now")))
    assert sent == response("200 OK", "Server: mine", "Date: now", stamps=b"", after=["Content-Length: 0"])


def test_server_can_be_switched_off() -> None:
    stamps = b"Date: Sun, 09 Sep 2001 01:46:40 GMT\r\n"
    sent = ask(GET, answering([b""]), server_header=False)
    assert sent == response("200 OK", stamps=stamps, after=["Content-Length: 0"])
    sent = ask(GET, answering([b""], ("Server", "mine")), server_header=False)
    assert sent == response("200 OK", "Server: mine", stamps=stamps, after=["Content-Length: 0"])
    sent = ask(GET, answering([b""], ("Date", "now")), server_header=False)
    assert sent == response("200 OK", "Date: now", stamps=b"", after=["Content-Length: 0"])


# -- Errors --------------------------------------------------------------------------------------------------------

ERRORS = [RuntimeError("a secret"), SystemExit("a secret"), KeyboardInterrupt("a secret"), GeneratorExit("a secret")]


def test_an_application_without_a_return_is_told_so_in_a_line() -> None:
    client = Client(lambda environ, start_response: start_response("200 OK", []) and None)
    assert client.send(GET).startswith(FAILED)
    assert client.log.count("\n") == 1
    assert "returned None" in client.log
    assert usable(client)


def test_a_traceback_begins_with_the_application_and_not_with_the_server() -> None:
    def application(environ: Environ, start_response: Any) -> list[bytes]:
        raise ValueError("from the start") from KeyError("before")

    client = Client(application)
    client.send(GET)
    assert "in application" in client.log
    assert "gateway.py" not in client.log
    assert "before" in client.log


@pytest.mark.parametrize("error", ERRORS, ids=kind)
@pytest.mark.parametrize("where", ["call", "call-after-start", "first-next", "after-an-empty-piece", "sized", "iter"])
def test_raising_before_the_first_byte_is_a_short_500(where: str, error: BaseException) -> None:
    """The traceback goes to wsgi.errors and nowhere else, and the connection stays usable."""

    class NotIterable:
        def __iter__(self) -> Iterator[bytes]:
            raise error

    def application(environ: Environ, start_response: Any) -> Any:
        if where == "call":
            raise error
        start_response("200 OK", [("X-Given", "1")])
        if where == "call-after-start":
            raise error
        if where == "iter":
            return NotIterable()
        return Sized(error) if where == "sized" else Body(*[b""] * (where == "after-an-empty-piece"), error, b"a")

    client = Client(application)
    sent = client.send(GET)
    assert sent.startswith(FAILED)
    assert b"\r\nContent-Type: text/plain; charset=utf-8\r\n" in sent
    assert b"secret" not in sent
    assert b"X-Given" not in sent
    assert "Traceback (most recent call last)" in client.log
    assert "a secret" in client.log
    assert __file__ in client.log
    assert client.exchanges[0].status == "500 Internal Server Error"
    assert client.exchanges[0].error is error
    assert client.exchanges[0].complete
    assert usable(client)


@pytest.mark.parametrize("error", ERRORS, ids=kind)
def test_raising_after_the_first_byte_cuts_the_chunked_response(error: BaseException) -> None:
    """The connection is closed without the last chunk, so that the client can see that it was cut."""
    client = Client(answering(Body(b"a", error, b"b")))
    sent = client.send(GET)
    assert sent == response("200 OK", after=["Transfer-Encoding: chunked"]) + chunks(b"a", last=False)
    assert client.end == "shut"
    assert "a secret" in client.log
    assert client.exchanges[0].error is error
    assert not client.exchanges[0].complete


def test_raising_after_the_first_byte_cuts_the_response_of_told_length() -> None:
    client = Client(answering(Body(b"hel", RuntimeError("no")), ("Content-Length", "5")))
    assert client.send(GET) == response("200 OK", "Content-Length: 5", body=b"hel")
    assert client.end == "shut"


def test_raising_after_the_first_byte_resets_a_connection_whose_end_would_be_the_bodys() -> None:
    """RFC 9112 section 8: else the client would take what came for the whole."""
    client = Client(answering(Body(b"hel", RuntimeError("no"))))
    assert client.send(GET_1_0) == response("200 OK", after=["Connection: close"], body=b"hel")
    assert client.end == "reset"


def test_raising_after_write_cuts_the_response() -> None:
    @app
    def application(write: Any) -> list[bytes]:
        write(b"a")
        raise RuntimeError("no")

    client = Client(application)
    assert client.send(GET).endswith(chunks(b"a", last=False))
    assert client.end == "shut"


def test_an_error_after_a_complete_body_cuts_nothing() -> None:
    """All of Content-Length has left; the error is told in the log."""
    client = Client(answering(Body(b"hello", RuntimeError("afterthought")), ("Content-Length", "5")))
    assert client.send(GET) == response("200 OK", "Content-Length: 5", body=b"hello")
    assert "afterthought" in client.log


@pytest.mark.parametrize("data", [GET, HEAD, GET_1_0], ids=["GET", "HEAD", "HTTP/1.0"])
def test_a_failed_answer_fits_its_request(data: bytes) -> None:
    client = Client(answering(Body(RuntimeError())))
    head, _, body = client.send(data).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 500 ")
    assert (body == b"") == (data == HEAD)
    assert (b"Connection: close" in head) == (data == GET_1_0)


def test_a_generator_that_is_closed_while_it_yields_may_clean_up() -> None:
    def body() -> Iterator[bytes]:
        try:
            yield b"a"
            yield "no bytes"  # type: ignore[misc]
        finally:
            cleaned.append(True)

    cleaned: list[bool] = []
    ask(GET, answering(body))
    assert cleaned == [True]


def test_the_log_names_the_request() -> None:
    client = Client(answering(Body(RuntimeError())))
    client.send(request(start="DELETE /a%0Ab HTTP/1.1"))
    assert "DELETE '/a\\nb': " in client.log


# -- The client leaves ---------------------------------------------------------------------------------------------


def test_a_client_that_left_is_seen_at_the_next_piece_and_nothing_more_is_asked_for() -> None:
    def leave() -> Iterator[bytes]:
        yield b"a"
        client.stream.gone = ConnectionResetError()
        yield b"b"
        raise AssertionError("asked for more")

    body = Body()
    body.pieces = leave()
    client = Client(answering(body))
    client.send(GET)
    assert body.asked == 2
    assert body.closed == 1
    assert client.log == ""
    assert client.state is State.CLOSED
    (exchange,) = client.exchanges
    assert not exchange.complete
    assert isinstance(exchange.error, ClientGone)


def test_write_tells_the_application_that_the_client_has_left() -> None:
    @app
    def application(write: Any) -> list[bytes]:
        write(b"a")
        client.stream.gone = ConnectionResetError()
        with pytest.raises(ConnectionError):
            write(b"b")
        told.append(True)
        return [b"c"]

    told: list[bool] = []
    client = Client(application)
    client.send(GET)
    assert told == [True]
    assert client.state is State.CLOSED


def test_a_client_that_left_before_a_whole_response_costs_no_error_message() -> None:
    def application(environ: Environ, start_response: Any) -> list[bytes]:
        client.stream.gone = ConnectionResetError()
        start_response("200 OK", [])
        return [b"a"]

    client = Client(application)
    assert client.send(GET) == b""
    assert client.state is State.CLOSED
    assert client.log == ""
    assert not client.exchanges[0].complete


# -- wsgi.file_wrapper ---------------------------------------------------------------------------------------------

DATA = bytes(range(256)) * 40


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(DATA)
    return path


class Opened:
    """An application that answers with an open file through ``wsgi.file_wrapper``."""

    def __init__(self, filelike: Any, *headers: tuple[str, str], status: str = "200 OK") -> None:
        self.filelike = filelike
        self.headers = headers
        self.status = status

    def __call__(self, environ: Environ, start_response: Any) -> Iterable[bytes]:
        start_response(self.status, list(self.headers))
        return environ["wsgi.file_wrapper"](self.filelike, 1000)


@pytest.mark.parametrize("offset", [0, 1, 5000, len(DATA) - 1, len(DATA)])
@pytest.mark.parametrize("kernel", [True, False], ids=["sendfile", "read"])
def test_a_file_leaves_from_its_position_to_its_end(path: Path, offset: int, kernel: bool) -> None:
    """Optional Platform-Specific File Handling: from the current position, until the end is reached."""
    file = path.open("rb")
    file.seek(offset)
    client = Client(Opened(file, PLAIN), stream=SlowStream(sendfile=kernel))
    sent = client.send(GET)
    rest = DATA[offset:]
    if kernel:
        after = [f"Content-Length: {len(rest)}"]
        assert sent == response("200 OK", "Content-Type: text/plain", after=after, body=rest)
    else:
        pieces = [rest[at : at + 1000] for at in range(0, len(rest), 1000)]
        framing = "Transfer-Encoding: chunked" if rest else "Content-Length: 0"
        head = response("200 OK", "Content-Type: text/plain", after=[framing])
        assert sent == head + (chunks(*pieces) if rest else b"")
    assert file.closed
    assert descriptors_of(path) == 0
    assert usable(client)


def test_a_position_beyond_the_end_is_an_empty_body(path: Path) -> None:
    file = path.open("rb")
    file.seek(len(DATA) + 10)
    assert ask(GET, Opened(file)) == response("200 OK", after=["Content-Length: 0"])
    assert descriptors_of(path) == 0


@pytest.mark.parametrize("kernel", [True, False], ids=["sendfile", "read"])
@pytest.mark.parametrize("length", [len(DATA), len(DATA) - 100])
def test_a_file_ends_with_its_content_length(path: Path, length: int, kernel: bool) -> None:
    """Optional Platform-Specific File Handling: until Content-Length bytes have been written."""
    file = path.open("rb")
    file.seek(100)
    client = Client(Opened(file, ("Content-Length", str(length - 100))), stream=SlowStream(sendfile=kernel))
    sent = client.send(GET)
    assert sent == response("200 OK", f"Content-Length: {length - 100}", body=DATA[100:length])
    assert file.closed
    assert descriptors_of(path) == 0


def test_a_part_of_a_file_is_no_error(path: Path) -> None:
    client = Client(Opened(path.open("rb"), ("Content-Length", "10"), ("Content-Range", f"bytes 0-9/{len(DATA)}")))
    assert client.send(GET).endswith(b"\r\n\r\n" + DATA[:10])
    assert client.log == ""
    assert usable(client)


@pytest.mark.parametrize("kernel", [True, False], ids=["sendfile", "read"])
def test_a_file_shorter_than_its_content_length_closes_the_connection_and_is_logged(path: Path, kernel: bool) -> None:
    client = Client(Opened(path.open("rb"), ("Content-Length", "20000")), stream=SlowStream(sendfile=kernel))
    assert client.send(GET + GET) == response("200 OK", "Content-Length: 20000", body=DATA)
    assert "20000" in client.log
    assert client.end in ("shut", "closed")
    assert len(client.environs) == 1
    assert descriptors_of(path) == 0
    assert not client.exchanges[0].complete
    assert isinstance(client.exchanges[0].error, BadResponse)


def test_a_file_that_shrinks_while_it_is_sent_closes_the_connection(path: Path) -> None:
    client = Client(Opened(path.open("rb")))
    client.stream.room = 500
    client.send(GET)
    path.write_bytes(b"")
    client.read()
    assert client.state is State.CLOSED
    assert not client.exchanges[0].complete
    assert descriptors_of(path) == 0


@pytest.mark.parametrize("data", [GET_1_0, GET_1_0_KEPT], ids=["", "keep-alive"])
def test_http_1_0_is_told_the_length_of_a_file(path: Path, data: bytes) -> None:
    sent = ask(data, Opened(path.open("rb")))
    kept = "keep-alive" if data == GET_1_0_KEPT else "close"
    assert sent == response("200 OK", after=[f"Content-Length: {len(DATA)}", f"Connection: {kept}"], body=DATA)


@pytest.mark.parametrize(
    ("data", "status", "after"),
    [
        (HEAD, "200 OK", [f"Content-Length: {len(DATA)}"]),
        (GET, "204 No Content", []),
        (GET, "304 Not Modified", []),
    ],
    ids=["HEAD", "204", "304"],
)
def test_a_file_without_a_body_to_send_is_closed_too(path: Path, data: bytes, status: str, after: list[str]) -> None:
    file = path.open("rb")
    client = Client(Opened(file, status=status))
    assert client.send(data) == response(status, after=after)
    assert file.closed
    assert descriptors_of(path) == 0
    assert usable(client)


def test_what_was_written_before_comes_before_the_file(path: Path) -> None:
    def application(environ: Environ, start_response: Any) -> Any:
        start_response("200 OK", [])(b"first")
        return environ["wsgi.file_wrapper"](path.open("rb"), 100000)

    assert ask(GET, application).endswith(b"\r\n\r\n" + chunks(b"first", DATA))
    assert descriptors_of(path) == 0


def test_a_file_that_is_none_of_the_systems_is_read() -> None:
    file = io.BytesIO(b"0123456789")
    file.seek(4)
    head = response("200 OK", after=["Transfer-Encoding: chunked"])
    assert ask(GET, Opened(file)) == head + chunks(b"456789")
    assert file.closed


def test_a_pipe_is_read(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.write(writing, b"through a pipe")
    os.close(writing)
    with os.fdopen(reading, "rb") as file:
        assert ask(GET, Opened(file)).endswith(chunks(b"through a pipe"))


def test_a_file_like_object_needs_only_read() -> None:
    class Reading:
        def __init__(self) -> None:
            self.pieces = [b"a", b"b", b""]
            self.sizes: list[int] = []

        def read(self, size: int) -> bytes:
            self.sizes.append(size)
            return self.pieces.pop(0)

    reading = Reading()
    assert ask(GET, Opened(reading)).endswith(chunks(b"a", b"b"))
    assert reading.sizes == [1000] * 3


@pytest.mark.parametrize("module", ["gzip", "bz2", "lzma"])
def test_a_file_that_reads_otherwise_than_the_system_is_read(path: Path, module: str) -> None:
    """The semantics are those of iter(filelike.read, ''): a compressed file is sent as it reads, not as it lies."""
    compression = pytest.importorskip(module)
    with compression.open(path, "wb") as file:
        file.write(b"as it reads")
    assert ask(GET, Opened(compression.open(path))).endswith(chunks(b"as it reads"))
    assert descriptors_of(path) == 0


def test_an_unnamed_temporary_file_leaves_from_its_position() -> None:
    file = tempfile.TemporaryFile()  # noqa: SIM115 - the server closes it
    file.write(b"0123456789")
    file.seek(4)
    assert ask(GET, Opened(file)) == response("200 OK", after=["Content-Length: 6"], body=b"456789")
    assert file.closed


@pytest.mark.parametrize("length", [0, 1, 999, 1000, 1001, 5000])
def test_of_what_the_kernel_cannot_send_no_more_is_read_than_content_length_says(length: int) -> None:
    """Optional Platform-Specific File Handling: until Content-Length bytes have been written."""
    file = io.BytesIO(DATA)
    file.seek(10)
    client = Client(Opened(file, ("Content-Length", str(length)), status="206 Partial Content"))
    assert client.send(GET).partition(b"\r\n\r\n")[2] == DATA[10 : 10 + length]
    assert client.log == ""
    assert usable(client)


@pytest.mark.parametrize("kernel", [True, False], ids=["sendfile", "read"])
def test_what_was_written_before_a_file_counts_for_its_content_length(path: Path, kernel: bool) -> None:
    def application(environ: Environ, start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Length", "10")])(b"abc")
        return environ["wsgi.file_wrapper"](path.open("rb"), 5)

    client = Client(application, stream=SlowStream(sendfile=kernel))
    assert client.send(GET).partition(b"\r\n\r\n")[2] == b"abc" + DATA[:7]
    assert client.log == ""
    assert usable(client)


@pytest.mark.parametrize(("method", "status"), [(b"HEAD", "200 OK"), (b"GET", "304 Not Modified")])
def test_a_file_that_is_not_sent_may_have_another_length(path: Path, method: bytes, status: str) -> None:
    """RFC 9110 section 8.6: it may be that of what GET would give, with 200."""
    client = Client(Opened(path.open("rb"), ("Content-Length", "99999"), status=status))
    assert client.send(GET.replace(b"GET", method)).endswith(b"\r\n\r\n")
    assert client.log == ""
    assert usable(client)


SYSTEM_FILES = [
    name for name in ("/proc/self/status", "/sys/kernel/mm/transparent_hugepage/enabled") if Path(name).exists()
]


@pytest.mark.skipif(not SYSTEM_FILES, reason="this system has no files that are made up as they are read")
@pytest.mark.parametrize("name", SYSTEM_FILES)
def test_a_file_whose_size_is_made_up_is_read(name: str) -> None:
    content = Path(name).read_bytes()[:20]
    client = Client(Opened(Path(name).open("rb")))  # noqa: SIM115 - the server closes it
    assert content in client.send(GET)
    assert client.log == ""
    assert usable(client)


def test_a_small_file_without_blocks_leaves_all_the_same(tmp_path: Path) -> None:
    """Some file systems keep what is short beside the name."""
    sparse = tmp_path / "sparse"
    with sparse.open("wb") as file:
        file.truncate(5000)
    assert ask(GET, Opened(sparse.open("rb"))).count(b"\0") == 5000


def test_a_named_temporary_file_leaves_too() -> None:
    file = tempfile.NamedTemporaryFile()  # noqa: SIM115 - the server closes it
    file.write(b"0123456789")
    file.seek(4)
    assert b"456789" in ask(GET, Opened(file)).partition(b"\r\n\r\n")[2]
    assert file.closed


@pytest.mark.parametrize("kernel", [True, False], ids=["sendfile", "read"])
def test_a_file_without_start_response_is_a_500_and_leaks_no_descriptor(path: Path, kernel: bool) -> None:
    file = path.open("rb")
    client = Client(lambda environ, start_response: environ["wsgi.file_wrapper"](file))
    client.stream.sendfile = client.stream.sendfile if kernel else None
    assert client.send(GET).startswith(FAILED)
    assert file.closed
    assert descriptors_of(path) == 0
    assert usable(client)


def test_a_client_that_leaves_during_a_file_leaks_no_descriptor(path: Path) -> None:
    file = path.open("rb")
    client = Client(Opened(file))
    client.stream.room = 500
    client.send(GET)
    assert file.closed, "the application's file is the application's, and closed when it has answered"
    assert descriptors_of(path) == 1, "the server's own"
    client.vanish()
    assert client.state is State.CLOSED
    assert descriptors_of(path) == 0
    assert not client.exchanges[0].complete


def test_a_wrapper_that_is_not_returned_has_no_effect(path: Path) -> None:
    """The wrapper must not transmit anything when it is made, but when it is returned."""

    def application(environ: Environ, start_response: Any) -> list[bytes]:
        with path.open("rb") as file:
            environ["wsgi.file_wrapper"](file)
        start_response("200 OK", [])
        return [b"something else"]

    assert ask(GET, application) == response("200 OK", after=["Content-Length: 14"], body=b"something else")


def test_a_wrapper_can_be_iterated_over_by_a_middleware(path: Path) -> None:
    def application(environ: Environ, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [])
        wrapper = environ["wsgi.file_wrapper"](path.open("rb"), 5000)
        yield from (piece[::-1] for piece in wrapper)
        wrapper.close()

    assert ask(GET, application).endswith(chunks(*(DATA[at : at + 5000][::-1] for at in range(0, len(DATA), 5000))))


def test_a_wrapper_has_a_close_that_is_the_files_where_the_file_has_one() -> None:
    """Optional Platform-Specific File Handling: it must have a close() that invokes the file-like object's."""
    made: list[Any] = []

    def application(environ: Environ, start_response: Any) -> list[bytes]:
        made.extend(environ["wsgi.file_wrapper"](file) for file in (io.BytesIO(), object()))
        start_response("200 OK", [])
        return []

    ask(GET, application)
    made[0].close()
    assert made[0].filelike.closed
    assert not hasattr(made[1], "close")


# -- wsgiref.validate ----------------------------------------------------------------------------------------------


def reading(environ: Environ, start_response: Any) -> list[bytes]:
    """Read the body in each of the ways that the validator allows."""
    source = environ["wsgi.input"]
    parts = [source.read(3), source.readline(), source.readlines(1), *iter(source), source.read(10)]
    environ["wsgi.errors"].write("read\n")
    environ["wsgi.errors"].writelines(["all\n"])
    environ["wsgi.errors"].flush()
    start_response("200 OK", [PLAIN])
    return [repr(parts).encode()]


@pytest.mark.parametrize(
    "data",
    [
        GET,
        HEAD,
        GET_1_0,
        request("Content-Length: 11", start="POST /a%20b?c=%20d HTTP/1.1", body=b"one\ntwo\nthr"),
        request("Transfer-Encoding: chunked", start="PUT / HTTP/1.1", body=chunks(b"one\n", b"two")),
        request(start="GET http://example.com/abs?q HTTP/1.1"),
        request(start="OPTIONS / HTTP/1.1"),
        request("Content-Type: text/plain", "Cookie: a=1", "Cookie: b=2", "X-A: \xe9", start="POST /\xe9 HTTP/1.1"),
    ],
    ids=["GET", "HEAD", "HTTP/1.0", "length", "chunked", "absolute", "OPTIONS", "latin-1"],
)
def test_the_standard_librarys_validator_finds_no_fault(data: bytes) -> None:
    client = Client(validator(reading))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert client.send(data).startswith(b"HTTP/1.1 200 OK\r\n")
    assert client.log == "read\nall\n"


def test_the_validator_finds_no_fault_with_write_errors_and_pieces(path: Path) -> None:
    def written(environ: Environ, start_response: Any) -> list[bytes]:
        start_response("200 OK", [PLAIN])(b"a")
        return [b"b"]

    def replaced(environ: Environ, start_response: Any) -> list[bytes]:
        start_response("200 OK", [PLAIN])
        try:
            raise ValueError
        except ValueError:
            start_response("500 Oops", [PLAIN], sys.exc_info())
        return [b"b"]

    assert ask(GET, validator(written)).endswith(chunks(b"a", b"b"))
    assert ask(GET, validator(replaced)).startswith(b"HTTP/1.1 500 Oops\r\n")
    assert ask(GET, validator(answering(lambda: iter([b"a", b"b"]), PLAIN))).endswith(chunks(b"a", b"b"))
    sent = ask(GET, validator(Opened(path.open("rb"), PLAIN)))
    assert sent.endswith(chunks(*(DATA[at : at + 1000] for at in range(0, len(DATA), 1000))))


# -- What an application cannot do to the server ---------------------------------------------------------------------


class Status(str):
    """A str whose own text is another, as that of an Enum over str is."""

    def __str__(self) -> str:
        return "200 OK\r\nX-Split: yes"

    def __format__(self, how: str) -> str:
        return str(self)


def test_of_a_subclass_of_str_the_text_counts_and_no_later_response_is_touched() -> None:
    plain = Client(answering([b"a"]))
    before = plain.send(GET)

    def application(environ: Any, start_response: Any) -> list[bytes]:
        start_response(Status("200 OK"), [])
        return [b"a"]

    sent = Client(application).send(GET)
    assert b"X-Split" not in sent
    assert sent.startswith(b"HTTP/1.1 200 OK\r\n")
    assert Client(answering([b"a"])).send(GET) == before


def test_an_error_that_cannot_be_shown_is_a_500_all_the_same() -> None:
    class Unspeakable(Exception):
        def __str__(self) -> str:
            raise RuntimeError("not even that")

    def application(environ: Any, start_response: Any) -> list[bytes]:
        raise Unspeakable

    client = Client(application)
    assert client.send(GET).startswith(FAILED)
    assert "Unspeakable" in client.log
    assert client.send(GET).startswith(FAILED)


def test_an_error_is_told_also_where_the_module_for_tracebacks_cannot_be_loaded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """There may be no descriptor left to read it with."""

    def application(environ: Any, start_response: Any) -> list[bytes]:
        raise LookupError

    monkeypatch.setitem(sys.modules, "traceback", None)
    client = Client(application)
    assert client.send(GET).startswith(FAILED)
    assert "LookupError, whose traceback cannot be shown" in client.log


@pytest.mark.parametrize("multithread", [False, True])
def test_an_application_at_the_end_of_its_stack_loses_no_connection(multithread: bool) -> None:
    """Where the recursion limit strikes within the server, the response ends all the same.

    The interpreter counts its calls otherwise once it has specialized them, so this is done some times.
    """

    def application(environ: Any, start_response: Any) -> list[bytes]:
        write = start_response("200 OK", [("Content-Length", "5")])

        def deeper() -> None:
            try:
                deeper()
            except RecursionError:
                write(b"hello")

        deeper()
        return []

    for _ in range(20):
        client = Client(application, multithread=multithread)
        client.send(GET)
        assert client.end or client.state is State.IDLE


def test_the_date_is_english_whatever_the_locale(monkeypatch: pytest.MonkeyPatch) -> None:
    """RFC 9110 section 5.6.7: strftime would speak the language of the application's locale."""
    monkeypatch.setattr("time.strftime", lambda *about: "Montag")
    client = Client(answering([b"a"]))
    client.site.tick(784111777.0)
    assert b"\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n" in client.send(GET)
