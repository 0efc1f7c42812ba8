"""The cases of PEP 3333 and of connections: each asks an application of ``conformance_app`` and judges the answer."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from . import conformance_app
from .conformance_app import HELLO, LINES, PIECES
from .conformance_subject import Case, Subject
from .conformance_talk import Answer, Late, Talk, expect

HEAD_GROUP = "Status and headers of a response"
BODY_GROUP = "Length and framing of a response"
PIECES_GROUP = "Pieces, errors, close()"
START_GROUP = "start_response and write()"
INPUT_GROUP = "environ and wsgi.input"
CONNECTION_GROUP = "Connections"

CASES: list[Case] = []
QUIET = 0.1
"""Seconds in which something forbidden, such as a second close(), would have come."""


def case(group: str, title: str, **arguments: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Make a case of a check; ``arguments`` go to it, and their values into the name, so that a check serves many."""

    def add(check: Callable[..., None]) -> Callable[..., None]:
        name = re.sub(r"[^0-9A-Za-z]+", "-", "-".join([check.__name__, *arguments.values()])).lower()
        CASES.append(
            Case(kind="pep", group=group, name=name, title=title, check=lambda subject: check(subject, **arguments))
        )
        return check

    return add


def request(name: str, *lines: str, method: str = "GET", version: str = "1.1", body: bytes = b"") -> bytes:
    """Make a request to an application; ``name`` may go on with more path and a query."""
    if body or method == "POST":
        lines = (*lines, f"Content-Length: {len(body)}")
    head = [f"{method} /case/{name} HTTP/{version}", "Host: example.com", *lines, "", ""]
    return "\r\n".join(head).encode("latin-1") + body


def ask(subject: Subject, name: str, *lines: str, method: str = "GET", body: bytes = b"") -> Answer:
    """Ask on a connection of its own, and read the answer, which must be whole."""
    with subject.talk() as talk:
        answer = talk.send(request(name, *lines, method=method, body=body)).answer(method)
    expect(answer.complete, "the connection ended before the body did")
    return answer


def expect_answer(answer: Answer, body: bytes = HELLO, status: int = 200) -> None:
    expect(answer.status == status, f"it answered {answer.status}, not {status}")
    expect(answer.complete, "the connection ended before the body did")
    expect(answer.body == body, f"the body is {_short(answer.body)}, not {_short(body)}")


def expect_error(subject: Subject, name: str) -> None:
    """Expect a 500, or at least that the connection is closed without a whole answer."""
    with subject.talk() as talk:
        answer = talk.send(request(name)).try_answer()
        if answer is None:
            talk.rest()
        else:
            expect(
                answer.status >= 500 or not answer.complete, f"it answered {answer.status} with {_short(answer.body)}"
            )


def expect_hello_next(talk: Talk, before: Answer) -> None:
    """Expect a further request to be answered, unless the server has said that it closes; and nothing in between."""
    if before.closes:
        talk.wait_end(QUIET)
        expect(not talk.unread, f"behind the answer came {_short(talk.unread)}")
        return
    answer = talk.send(request("hello")).try_answer()
    if answer is None:
        expect(talk.ended, "it neither answers the next request nor closes")
        expect(not talk.unread, f"behind the answer came {_short(talk.unread)}")
    else:
        expect_answer(answer)


def only(subject: Subject, name: str) -> dict[str, Any]:
    """Give the note that the application has made once."""
    notes = subject.notes(name, count=1)
    expect(len(notes) == 1, f"the application noted something {len(notes)} times, not once")
    return notes[0]


def _short(data: bytes) -> str:
    return repr(data) if len(data) <= 60 else f"{data[:40]!r} and so on, {len(data)} bytes"


def _all_sent(talk: Talk, name: str) -> bytes:
    """Give all that the server sends; it need not close the connection, but must send something, or close it."""
    ended = talk.send(request(name, "Connection: close")).wait_end(3 * QUIET)
    if not (ended or talk.received):
        raise Late("it neither answered nor closed")
    return talk.received


# -- Status and headers of a response ------------------------------------------------------------------------------


@case(HEAD_GROUP, "CR LF in a status injects no header", name="status_crlf")
@case(HEAD_GROUP, "LF in a status injects no header", name="status_lf")
@case(HEAD_GROUP, "CR LF in a header value injects no header", name="value_crlf")
@case(HEAD_GROUP, "LF in a header value injects no header", name="value_lf")
@case(HEAD_GROUP, "CR LF in a header name injects no header", name="name_crlf")
def injects(subject: Subject, name: str) -> None:
    with subject.talk() as talk:
        sent = _all_sent(talk, name)
    expect(not re.search(rb"[\r\n]x-injected", sent, re.IGNORECASE), "the injected header went out")


@case(HEAD_GROUP, "NUL in a header value does not go out", name="value_nul")
def forbidden(subject: Subject, name: str) -> None:
    with subject.talk() as talk:
        sent = _all_sent(talk, name)
    expect(b"\0" not in sent, "the NUL went out")


@case(HEAD_GROUP, "a header value outside latin-1 is an error", name="value_euro")
@case(HEAD_GROUP, "a header value that is no str is an error", name="value_int")
@case(HEAD_GROUP, "a status that is no str is an error", name="status_bytes")
@case(HEAD_GROUP, "a status without a number is an error", name="status_wordless")
def is_error(subject: Subject, name: str) -> None:
    expect_error(subject, name)


@case(HEAD_GROUP, "the reason phrase goes out as it is")
def reason(subject: Subject) -> None:
    answer = ask(subject, "reason")
    expect((answer.status, answer.reason) == (299, "Quite fine"), f"it is {answer.status} {answer.reason}")


@case(HEAD_GROUP, "a header value is sent as latin-1")
def latin_1(subject: Subject) -> None:
    values = ask(subject, "latin_1").all("x-given")
    expect(values == ["J\xfcrgen"], f"the values are {values}")


@case(HEAD_GROUP, "repeated headers are kept, in order")
def repeated(subject: Subject) -> None:
    values = ask(subject, "repeated").all("set-cookie")
    expect(values == ["a=1", "b=2"], f"the values are {values}")


@case(HEAD_GROUP, "a Date is added")
def date(subject: Subject) -> None:
    expect(len(ask(subject, "hello").all("date")) == 1, "there is not one Date")


@case(HEAD_GROUP, "an application's own Date is kept, and not doubled")
def own_date(subject: Subject) -> None:
    values = ask(subject, "own_date").all("date")
    expect(values == ["Thu, 01 Jan 2026 00:00:00 GMT"], f"the values are {values}")


@case(HEAD_GROUP, "an application's own Server is kept, and not doubled")
def own_server(subject: Subject) -> None:
    values = ask(subject, "own_server").all("server")
    expect(values == ["mine"], f"the values are {values}")


# -- Length and framing of a response ------------------------------------------------------------------------------


@case(BODY_GROUP, "one piece without Content-Length arrives", name="no_length")
@case(BODY_GROUP, "pieces without Content-Length arrive", name="generated")
@case(BODY_GROUP, "empty pieces do not end the body", name="empty_pieces")
def arrives(subject: Subject, name: str) -> None:
    with subject.talk() as talk:
        answer = talk.send(request(name)).answer()
        expect_answer(answer)
        expect_hello_next(talk, answer)


@case(BODY_GROUP, "no pieces are an empty body")
def no_body(subject: Subject) -> None:
    expect_answer(ask(subject, "no_body"), b"")


@case(BODY_GROUP, "pieces without Content-Length arrive on HTTP/1.0, and are not chunked")
def generated_1_0(subject: Subject) -> None:
    with subject.talk() as talk:
        answer = talk.send(request("generated", version="1.0")).answer()
    expect(not answer.all("transfer-encoding"), "it sent Transfer-Encoding to HTTP/1.0")
    expect_answer(answer)


@case(BODY_GROUP, "an application's own Transfer-Encoding does not break the framing")
def own_chunked(subject: Subject) -> None:
    with subject.talk() as talk:
        answer = talk.send(request("own_chunked")).answer()
    expect(answer.status >= 500 or (answer.complete and answer.body == HELLO), f"the body is {_short(answer.body)}")


@case(BODY_GROUP, "the client can see that a body is shorter than its Content-Length", name="short")
@case(BODY_GROUP, "the client can see that a streamed body is shorter than its Content-Length", name="short_stream")
def short(subject: Subject, name: str) -> None:
    with subject.talk() as talk:
        answer = talk.send(request(name)).answer()
    expect(answer.status >= 500 or not answer.complete, "the body looks whole")


@case(BODY_GROUP, "the next response is not glued to a short body", name="short")
@case(BODY_GROUP, "the next response is not glued to a short streamed body", name="short_stream")
def glued(subject: Subject, name: str) -> None:
    with subject.talk() as talk:
        answer = talk.send(request(name)).try_answer(until=time.monotonic() + QUIET)
        if answer is None:
            answer = talk.send(request("hello")).try_answer(until=time.monotonic() + QUIET)
        expect(answer is None or b"HTTP" not in answer.body, "the next response was taken for the body's rest")


@case(BODY_GROUP, "what is longer than its Content-Length is cut", name="long")
@case(BODY_GROUP, "what is streamed and longer than its Content-Length is cut", name="long_stream")
def cut(subject: Subject, name: str) -> None:
    with subject.talk() as talk:
        answer = talk.send(request(name)).answer()
        if answer.status < 500:
            expect_answer(answer)
        expect_hello_next(talk, answer)


@case(BODY_GROUP, "HEAD brings no body", name="hello")
@case(BODY_GROUP, "HEAD brings no body that is streamed", name="generated")
def head(subject: Subject, name: str) -> None:
    with subject.talk() as talk:
        answer = talk.send(request(name, method="HEAD")).answer("HEAD")
        expect(answer.status == 200, f"it answered {answer.status}")
        expect_hello_next(talk, answer)


@case(BODY_GROUP, "HEAD keeps the Content-Length")
def head_length(subject: Subject) -> None:
    values = ask(subject, "hello", method="HEAD").all("content-length")
    expect(values == ["5"], f"the values are {values}")


@case(BODY_GROUP, "304 brings no body", name="not_modified", status="304")
@case(BODY_GROUP, "204 brings no body", name="no_content", status="204")
def bodiless(subject: Subject, name: str, status: str) -> None:
    with subject.talk() as talk:
        answer = talk.send(request(name)).answer()
        expect(answer.status == int(status), f"it answered {answer.status}")
        expect_hello_next(talk, answer)


@case(BODY_GROUP, "204 has neither Content-Length nor Transfer-Encoding")
def no_content_framing(subject: Subject) -> None:
    answer = ask(subject, "no_content")
    found = answer.all("content-length") + answer.all("transfer-encoding")
    expect(not found, f"it sent {', '.join(found)}")


# -- Pieces, errors, close() ---------------------------------------------------------------------------------------


@case(PIECES_GROUP, "a piece leaves before the next is asked for", name="streamed")
@case(START_GROUP, "what is written by write() leaves at once", name="written")
def leaves(subject: Subject, name: str) -> None:
    with subject.talk() as talk:
        talk.send(request(name)).wait_for(b"first")
        subject.open_gate()
        expect_answer(talk.answer(), b"firstsecond")
    expect(only(subject, name)["left"], "the first piece came only when the second was made")


@case(PIECES_GROUP, "start_response may be called when the first piece is asked for")
def lazy(subject: Subject) -> None:
    expect_answer(ask(subject, "lazy"), status=203)


@case(PIECES_GROUP, "a piece that is no bytes is an error", name="text_piece")
@case(PIECES_GROUP, "None for an iterable is an error", name="none")
@case(PIECES_GROUP, "an exception is a 500", name="fails")
@case(PIECES_GROUP, "an exception behind an empty piece is a 500", name="fails_after_empty")
@case(START_GROUP, "start_response that is never called is an error", name="never_starts")
def is_failure(subject: Subject, name: str) -> None:
    expect_error(subject, name)


@case(PIECES_GROUP, "SystemExit does not end the server")
def exits(subject: Subject) -> None:
    with subject.talk() as talk:
        talk.send(request("exits")).wait_end(QUIET)
    for _ in range(8):  # some take a while to end
        time.sleep(QUIET)
        expect_answer(ask(subject, "hello"))


@case(PIECES_GROUP, "the client can see an error behind the first piece", name="fails_late")
@case(PIECES_GROUP, "the client can see an error within a Content-Length", name="fails_late_sized")
@case(PIECES_GROUP, "the client can see a later piece that is no bytes", name="text_later")
def visible(subject: Subject, name: str) -> None:
    with subject.talk() as talk:
        answer = talk.send(request(name)).answer()
    expect(answer.status >= 500 or not answer.complete, "the body looks whole")


@case(PIECES_GROUP, "close() is called once", name="closed", method="GET")
@case(PIECES_GROUP, "close() is called once for HEAD", name="closed", method="HEAD")
@case(PIECES_GROUP, "close() is called once when a piece raises", name="closed_failing", method="GET")
def closes(subject: Subject, name: str, method: str) -> None:
    with subject.talk() as talk:
        talk.send(request(name, method=method)).answer(method)
        subject.notes(name, count=1)
    time.sleep(QUIET)
    only(subject, name)


@case(PIECES_GROUP, "close() is called, and nothing more asked for, when the client has left")
def closes_early(subject: Subject) -> None:
    with subject.talk() as talk:
        talk.send(request("closed_early")).wait_for(b"xxx")
        talk.leave()
    asked = only(subject, "closed_early")["asked"]
    expect(asked < PIECES, f"all {PIECES} pieces were asked for")


@case(PIECES_GROUP, "wsgi.file_wrapper sends a file", name="file", start="0")
@case(PIECES_GROUP, "wsgi.file_wrapper sends a file from its position on", name="file_position", start="100")
@case(PIECES_GROUP, "wsgi.file_wrapper keeps to the Content-Length", name="file_length", start="100", end="150")
def file(subject: Subject, name: str, start: str, end: str = "") -> None:
    whole = Path(conformance_app.__file__).read_bytes()
    with subject.talk() as talk:
        answer = talk.send(request(name)).answer()
        expect_answer(answer, whole[int(start) : int(end) if end else None])
        expect_hello_next(talk, answer)


@case(PIECES_GROUP, "wsgi.file_wrapper takes an object that has only read() and close(), and closes it")
def file_like(subject: Subject) -> None:
    expect_answer(ask(subject, "file_like"))
    only(subject, "file_like")


# -- start_response and write() ------------------------------------------------------------------------------------


@case(START_GROUP, "what is written comes before what is yielded")
def mixed(subject: Subject) -> None:
    expect_answer(ask(subject, "mixed"), b"one two three four")


@case(START_GROUP, "start_response raises when it is called twice")
def starts_twice(subject: Subject) -> None:
    with subject.talk() as talk:
        talk.send(request("starts_twice")).answer()
    expect(only(subject, "starts_twice")["raised"], "it took the second call")


@case(START_GROUP, "start_response with exc_info replaces what has not been sent")
def replaced(subject: Subject) -> None:
    answer = ask(subject, "replaced")
    expect(not answer.all("x-first"), "a header of the first call went out")
    expect(answer.all("x-second") == ["2"], "the header of the second call did not go out")
    expect_answer(answer, b"replaced", 503)


@case(START_GROUP, "start_response with exc_info raises it again when the headers have been sent")
def too_late(subject: Subject) -> None:
    with subject.talk() as talk:
        talk.send(request("too_late")).wait_for(b"first")
        note = only(subject, "too_late")
    expect(note["same"], "it took the call")


# -- environ and wsgi.input ----------------------------------------------------------------------------------------


@case(INPUT_GROUP, "the validator of the standard library finds nothing")
def valid(subject: Subject) -> None:
    answer = ask(subject, "valid")
    broken = [note["broken"] for note in subject.notes("valid")]
    expect(not broken, "; ".join(broken))
    expect_answer(answer)


def _environment(subject: Subject, data: bytes) -> dict[str, Any]:
    with subject.talk() as talk:
        expect_answer(talk.send(data).answer())
    return only(subject, "environment")


@case(INPUT_GROUP, "PATH_INFO is decoded, and is latin-1")
def path_info(subject: Subject) -> None:
    note = _environment(subject, request("environment/%E4%BD%A0%2Fx%25"))
    path = note.get("SCRIPT_NAME", "") + note["PATH_INFO"]
    expect(path == "/case/environment/\xe4\xbd\xa0/x%", f"it is {path!r}")


@case(INPUT_GROUP, "QUERY_STRING is not decoded")
def query_string(subject: Subject) -> None:
    found = _environment(subject, request("environment?q=%26+%20&%C3"))["QUERY_STRING"]
    expect(found == "q=%26+%20&%C3", f"it is {found!r}")


@case(INPUT_GROUP, "REQUEST_URI and RAW_URI, where there are any, are the target as sent")
def request_uri(subject: Subject) -> None:
    note = _environment(subject, request("environment/%2F/a%20b?q=%41"))
    for name in conformance_app.RAW:
        found = note.get(name, "")
        expect(found in ("", "/case/environment/%2F/a%20b?q=%41"), f"{name} is {found!r}")


@case(INPUT_GROUP, "an absolute target gives HTTP_HOST and PATH_INFO")
def absolute(subject: Subject) -> None:
    target = request("environment?q").replace(b" /", b" http://example.org:81/", 1)
    note = _environment(subject, target)
    found = (note.get("HTTP_HOST"), note["PATH_INFO"], note["QUERY_STRING"])
    expect(found == ("example.org:81", "/case/environment", "q"), f"they are {found}")


@case(INPUT_GROUP, "two Cookie fields are joined by a semicolon")
def cookies(subject: Subject) -> None:
    found = _environment(subject, request("environment", "Cookie: a=1", "Cookie: b=2")).get("HTTP_COOKIE")
    expect(found == "a=1; b=2", f"HTTP_COOKIE is {found!r}")


@case(INPUT_GROUP, "other fields that come twice are joined by a comma")
def joined(subject: Subject) -> None:
    found = _environment(subject, request("environment", "Accept: a/b", "Accept: c/d")).get("HTTP_ACCEPT")
    expect(found in ("a/b, c/d", "a/b,c/d"), f"HTTP_ACCEPT is {found!r}")


@case(INPUT_GROUP, "wsgi.errors takes text")
def errors(subject: Subject) -> None:
    ask(subject, "errors")
    only(subject, "errors")


LINE_LIST = LINES.decode().splitlines(keepends=True)
READ = {
    "read_all": [LINES.decode(), ""],
    "read_past": [LINES.decode(), ""],
    "read_sizes": ["line", "", " one\n", "line two\nthe end"],
    "readline": [*LINE_LIST, ""],
    "readline_size": ["line", " one\n"],
    "readlines": LINE_LIST,
    "iterate": LINE_LIST,
}


@case(INPUT_GROUP, "wsgi.input.read() ends where the body ends", name="read_all")
@case(INPUT_GROUP, "wsgi.input.read(size) ends where the body ends", name="read_past")
@case(INPUT_GROUP, "wsgi.input.read(size) gives as much as is asked for", name="read_sizes")
@case(INPUT_GROUP, "wsgi.input.readline() gives lines, and ends where the body ends", name="readline")
@case(INPUT_GROUP, "wsgi.input.readline(size) gives no more than that", name="readline_size")
@case(INPUT_GROUP, "wsgi.input.readlines() gives all lines", name="readlines")
@case(INPUT_GROUP, "wsgi.input can be iterated over", name="iterate")
def reads(subject: Subject, name: str) -> None:
    expect_answer(ask(subject, name, method="POST", body=LINES))
    found = only(subject, name)["read"]
    expect(found == READ[name], f"it gave {found}")


@case(INPUT_GROUP, "wsgi.input of a request without a body is empty")
def reads_nothing(subject: Subject) -> None:
    expect_answer(ask(subject, "read_all"))
    found = only(subject, "read_all")["read"]
    expect(found == ["", ""], f"it gave {found}")


@case(INPUT_GROUP, "a chunked body can be read to its end")
def chunked_input(subject: Subject) -> None:
    data = (
        request("read_all", "Transfer-Encoding: chunked").replace(b"GET", b"POST") + b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"
    )
    with subject.talk() as talk:
        expect_answer(talk.send(data).answer())
    found = only(subject, "read_all")["read"]
    expect(found == ["hello", ""], f"it gave {found}")


@case(INPUT_GROUP, "a body that ends before its Content-Length is not taken for whole", framing="Content-Length: 10")
@case(INPUT_GROUP, "a chunked body without its end is not taken for whole", framing="Transfer-Encoding: chunked")
def incomplete(subject: Subject, framing: str) -> None:
    body = b"hello" if "Length" in framing else b"5\r\nhello\r\n"
    data = f"POST / HTTP/1.1\r\nHost: example.com\r\n{framing}\r\n\r\n".encode() + body
    with subject.talk() as talk:
        talk.send(data).end().wait_end(0.5)
        notes = [note for note in subject.notes() if "error" not in note]
    expect(not notes, "the application was given it like a whole one")


# -- Connections ---------------------------------------------------------------------------------------------------


@case(CONNECTION_GROUP, "a body that the application does not read does not disturb the next request")
def unread(subject: Subject) -> None:
    with subject.talk() as talk:
        talk.send(request("hello", method="POST", body=b"GET / HTTP/1.1\r\n" * 10_000))
        answer = talk.answer()
        expect_answer(answer)
        expect_hello_next(talk, answer)


@case(CONNECTION_GROUP, "a connection serves two requests, one after the other")
def keep_alive(subject: Subject) -> None:
    with subject.talk() as talk:
        for _ in range(2):
            expect_answer(talk.send(request("hello")).answer())


@case(CONNECTION_GROUP, "pipelined requests are answered in order")
def pipelined(subject: Subject) -> None:
    with subject.talk() as talk:
        talk.send(b"".join(request(f"query?{number}") for number in range(3)))
        for number in range(3):
            answer = talk.answer()
            expect_answer(answer, b"%d" % number)
            if answer.closes:
                break


@case(CONNECTION_GROUP, "Connection: close is honoured", version="1.1")
@case(CONNECTION_GROUP, "HTTP/1.0 without keep-alive is closed", version="1.0")
def connection_close(subject: Subject, version: str) -> None:
    lines = ["Connection: close"] if version == "1.1" else []
    with subject.talk() as talk:
        expect_answer(talk.send(request("hello", *lines, version=version)).answer())
        expect(talk.rest(), "it did not close")


@case(CONNECTION_GROUP, "HTTP/1.0 that asks for keep-alive is told what becomes of the connection")
def keep_alive_1_0(subject: Subject) -> None:
    with subject.talk() as talk:
        answer = talk.send(request("hello", "Connection: keep-alive", version="1.0")).answer()
        expect_answer(answer)
        if "keep-alive" in ",".join(answer.all("connection")).lower():
            expect_answer(talk.send(request("hello", "Connection: keep-alive", version="1.0")).answer())
        else:
            expect(talk.rest(), "it did not close")


@case(CONNECTION_GROUP, "a client that closes its sending side is still answered", name="hello")
@case(CONNECTION_GROUP, "a client that closes its sending side is still answered a little later", name="pauses")
def half_close(subject: Subject, name: str) -> None:
    with subject.talk() as talk:
        expect_answer(talk.send(request(name)).end().answer())


@case(CONNECTION_GROUP, "Expect: 100-continue is answered by 100, then the body is read")
def expect_continue(subject: Subject) -> None:
    data = request("echo", "Expect: 100-continue", method="POST", body=HELLO)
    with subject.talk() as talk:
        talk.send(data[: -len(HELLO)]).wait_for(b"\r\n\r\n")
        expect(re.match(rb"HTTP/1\.1 100[ \r]", talk.received), f"it sent {_short(talk.received)}")
        expect_answer(talk.send(HELLO).answer())
        expect(talk.interim == [100], f"it sent {talk.interim}")


@case(CONNECTION_GROUP, "Expect: 100-continue of HTTP/1.0 is ignored")
def expect_1_0(subject: Subject) -> None:
    with subject.talk() as talk:
        talk.send(request("echo", "Expect: 100-continue", method="POST", version="1.0", body=HELLO))
        expect_answer(talk.answer())
        expect(not talk.interim, f"it sent {talk.interim}")
