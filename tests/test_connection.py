"""One client, from its first byte to its last: states, deadlines, and what leaves of a response when.

The states and their table stand in ``connection.State``; deadlines are those of the table "Time" of the project's
contract. The clock moves only when a test says so.
"""

import errno
import io
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from clients import (
    GET,
    GET_1_0,
    GET_1_0_KEPT,
    HEAD,
    Client,
    SlowStream,
    answering,
    chunks,
    descriptors_of,
    request,
    response,
)

from wsgiserver import connection
from wsgiserver.connection import LINGER_FROM, LINGER_SIZE, LINGER_TIME, SEND_AGAIN
from wsgiserver.exchange import Exchange
from wsgiserver.files import store
from wsgiserver.messages import SHOWN, BadRequest
from wsgiserver.site import Environ
from wsgiserver.states import Interest, State

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
HELLO = response("200 OK", after=["Content-Length: 5"], body=b"hello")
hello = answering([b"hello"])


def echo(environ: Environ, start_response: Any) -> list[bytes]:
    """Answer with the body of the request."""
    start_response("200 OK", [])
    return [environ["wsgi.input"].read()]


def path(environ: Environ, start_response: Any) -> list[bytes]:
    """Answer with the path of the request."""
    start_response("200 OK", [])
    return [environ["PATH_INFO"].encode()]


def answer(body: bytes, *after: str) -> bytes:
    """Make the response of these applications."""
    return response("200 OK", after=[f"Content-Length: {len(body)}", *after], body=body)


def post(*lines: str, body: bytes = b"") -> bytes:
    return request(*lines, start="POST / HTTP/1.1", body=body)


def stalled(application: Any = hello, **settings: Any) -> Client:
    """Make a client that takes nothing of what the server sends."""
    client = Client(application, **settings)
    client.stream.room = 0
    return client


class Outlasting:
    """An application whose response is whole before it ends, in the ways there are; then the loop has its turn."""

    def __init__(self, how: str) -> None:
        self.how = how
        self.told: list[str] = []
        self.client: Client

    def __call__(self, environ: Environ, start_response: Any) -> Iterable[bytes]:
        self.told.append("begins")
        write = start_response("200 OK", [("Content-Length", "5")])
        if self.how == "write":
            write(b"hello")
            self.linger()
            return []
        return self

    def __iter__(self) -> Iterator[bytes]:
        yield b"hello"
        if self.how in ("iterates", "too long"):
            self.linger()
        if self.how == "too long":
            yield b"!"

    def linger(self) -> None:
        self.client.line.work()
        self.told.append("goes on")

    def close(self) -> None:
        if self.how == "closes":
            self.linger()
        self.told.append("ends")


WAYS_TO_OUTLAST = ["write", "iterates", "closes"]


@pytest.mark.parametrize("how", WAYS_TO_OUTLAST)
@pytest.mark.parametrize("later", [False, True], ids=["pipelined", "sent when the first is answered"])
def test_a_request_is_not_begun_before_the_application_is_done_with_the_one_before(how: str, later: bool) -> None:
    """RFC 9112 section 9.3.2: requests of one client do not overlap, though the response does not wait."""
    application = Outlasting(how)
    application.client = client = Client(application)
    if later:
        linger = application.linger

        def ask_again() -> None:
            if application.told == ["begins"]:
                client.line.work()
                assert client.stream.sent.endswith(b"hello")
                client.stream.inbox += GET
            linger()

        application.linger = ask_again  # type: ignore[method-assign]
    sent = client.send(GET if later else GET + GET)
    assert sent.count(b"hello") == 2
    one = ["begins", "goes on"] if how == "write" else ["begins", "goes on", "ends"]
    assert application.told == one + one
    assert client.state is State.IDLE


def test_the_connection_is_closed_behind_a_response_that_was_to_become_longer_whoever_comes_first() -> None:
    """BEHAVIOUR, "more bytes than its Content-Length": also where the loop has sent it before they come."""
    application = Outlasting("too long")
    application.client = client = Client(application)
    sent = client.send(GET + GET)
    assert sent.count(b"HTTP/1.1 200 OK") == 1
    assert sent.endswith(b"hello")
    assert application.told == ["begins", "goes on", "ends"]
    assert client.end == "shut"
    assert "longer than its Content-Length" in client.log


@pytest.mark.parametrize("how", WAYS_TO_OUTLAST)
def test_who_has_asked_for_the_end_need_not_wait_for_the_application(how: str) -> None:
    application = Outlasting(how)
    application.client = client = Client(application)
    client.send(GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
    assert client.end == "closed"
    assert client.state is State.CLOSED


# -- States --------------------------------------------------------------------------------------------------------


def head_state() -> Client:
    return Client(echo)


def body_state() -> Client:
    client = Client(echo)
    client.send(post("Content-Length: 5", body=b"he"))
    return client


def writing_state() -> Client:
    client = stalled(echo)
    client.send(GET)
    return client


def idle_state() -> Client:
    client = Client(echo)
    client.send(GET)
    return client


def lingering_state() -> Client:
    client = Client(echo)
    client.send(b"nonsense\r\n")
    return client


IN_STATE = {
    State.HEAD: head_state,
    State.BODY: body_state,
    State.WRITING: writing_state,
    State.IDLE: idle_state,
    State.LINGERING: lingering_state,
}


@pytest.mark.parametrize("state", IN_STATE, ids=lambda state: state.name)
def test_a_connection_tells_its_state(state: State) -> None:
    client = IN_STATE[state]()
    assert client.state is state
    assert repr(client.connection) == f"<Connection 192.0.2.1:4711 {state.name}>"


@pytest.mark.parametrize(
    ("state", "interest"),
    [
        (State.HEAD, Interest.READ),
        (State.BODY, Interest.READ),
        (State.ANSWERING, Interest.NOTHING),
        (State.WRITING, Interest.WRITE),
        (State.IDLE, Interest.READ),
        (State.LINGERING, Interest.READ),
        (State.CLOSED, Interest.NOTHING),
    ],
    ids=lambda value: value.name,
)
def test_each_state_says_what_is_watched(state: State, interest: Interest) -> None:
    assert state.interest is interest
    assert len(State) == 7


def test_from_head_to_answering() -> None:
    def application(environ: Environ, start_response: Any) -> list[bytes]:
        seen.append(client.state)
        return hello(environ, start_response)  # type: ignore[return-value]

    seen: list[State] = []
    client = Client(application)
    assert client.state is State.HEAD
    client.send(GET)
    assert seen == [State.ANSWERING]


def test_from_head_over_body_to_answering() -> None:
    client = Client(echo)
    client.send(post("Content-Length: 5"))
    assert client.state is State.BODY
    client.send(b"hell")
    assert client.state is State.BODY
    assert client.environs == []
    assert client.send(b"o") == HELLO
    assert client.state is State.IDLE


def test_from_answering_to_idle() -> None:
    client = Client(hello)
    assert client.send(GET) == HELLO
    assert client.state is State.IDLE


def test_from_answering_to_head_where_a_part_of_the_next_request_is_there() -> None:
    client = Client(hello)
    assert client.send(GET + GET[:10]) == HELLO
    assert client.state is State.HEAD
    assert client.send(GET[10:]) == HELLO
    assert client.state is State.IDLE


def test_from_answering_to_writing_and_on_to_idle() -> None:
    client = stalled()
    assert client.send(GET) == b""
    assert client.state is State.WRITING
    assert client.read(10) == HELLO[:10]
    assert client.state is State.WRITING
    assert client.read() == HELLO[10:]
    assert client.state is State.IDLE


def test_from_writing_to_head_where_the_next_request_is_there() -> None:
    client = stalled()
    client.send(GET + GET[:10])
    assert client.state is State.WRITING
    assert client.read() == HELLO
    assert client.state is State.HEAD


def test_from_writing_to_lingering() -> None:
    client = stalled(answering([b"hello"], ("Connection", "close")))
    client.send(GET)
    assert client.state is State.WRITING
    assert client.end == ""
    client.read()
    assert client.state is State.LINGERING
    assert client.end == "shut"


@pytest.mark.parametrize("ask", [GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"), b"GET / HTTP/1.0\r\n\r\n"])
def test_who_asked_for_the_end_and_sends_nothing_more_is_let_go_at_once(ask: bytes) -> None:
    client = Client(hello)
    client.send(ask)
    assert (client.state, client.end) == (State.CLOSED, "closed")


@pytest.mark.parametrize("when", ["with it", "before the response has left", "while the application runs"])
def test_who_asked_for_the_end_and_sends_more_loses_no_response_to_a_reset(when: str) -> None:
    """RFC 9112 section 9.6: to close with octets unread makes the system reset the connection.

    Old clients send an empty line behind the body of a POST (section 2.2).
    """
    more = b"\r\n"
    last = b"POST / HTTP/1.0\r\nContent-Length: 2\r\n\r\nhi"

    def application(environ: Environ, start_response: Any) -> list[bytes]:
        if when == "while the application runs":
            client.stream.inbox += more
        start_response("200 OK", [])
        return [b"x" * 1000]

    client = stalled(application) if when == "before the response has left" else Client(application)
    client.send(last + more if when == "with it" else last)
    if when == "before the response has left":
        client.stream.inbox += more
        client.read()
    assert (client.state, client.end) == (State.LINGERING, "shut")
    client.finish()
    assert (client.state, client.end) == (State.CLOSED, "closed")


def test_from_answering_to_lingering_and_closed() -> None:
    """RFC 9112 section 9.6: the sending side first, then the rest when the client has closed its own."""
    client = Client(answering([b"hello"], ("Connection", "close")))
    client.send(GET)
    assert (client.state, client.end) == (State.LINGERING, "shut")
    client.finish()
    assert (client.state, client.end) == (State.CLOSED, "closed")


@pytest.mark.parametrize("data", [GET_1_0, request("Connection: close")], ids=["HTTP/1.0", "Connection: close"])
def test_from_answering_to_closed_where_the_client_asked_for_it(data: bytes) -> None:
    client = Client(hello)
    client.send(data)
    assert (client.state, client.end) == (State.CLOSED, "closed")


def test_from_idle_to_head_with_the_first_byte() -> None:
    client = idle_state()
    client.send(b"G")
    assert client.state is State.HEAD


def test_from_writing_back_to_body_after_100_continue() -> None:
    client = stalled(echo)
    client.send(post("Content-Length: 5", "Expect: 100-continue"))
    assert client.state is State.WRITING
    assert client.read(5) == CONTINUE[:5]
    assert client.state is State.WRITING
    assert client.read() == CONTINUE[5:]
    assert client.state is State.BODY
    assert client.send(b"hello") == HELLO


@pytest.mark.parametrize("state", [State.HEAD, State.BODY, State.IDLE, State.LINGERING], ids=lambda state: state.name)
@pytest.mark.parametrize("leave", [Client.finish, Client.vanish], ids=["end", "reset"])
def test_the_clients_end_leads_to_closed(state: State, leave: Callable[[Client], bytes]) -> None:
    client = IN_STATE[state]()
    assert leave(client) == b""
    assert (client.state, client.end) == (State.CLOSED, "closed")
    assert client.log == ""


def test_a_client_that_is_gone_while_writing_leads_to_closed() -> None:
    client = writing_state()
    client.vanish()
    assert client.state is State.CLOSED
    assert client.log == ""
    (exchange,) = client.exchanges
    assert not exchange.complete
    assert isinstance(exchange.error, ConnectionResetError)


@pytest.mark.parametrize("state", IN_STATE, ids=lambda state: state.name)
def test_closing_lets_go_of_everything_and_may_be_done_again(state: State) -> None:
    client = IN_STATE[state]()
    client.connection.close()
    client.connection.close()
    assert client.state is State.CLOSED
    assert client.connection.deadline == float("inf")


@pytest.mark.parametrize(
    ("data", "unasked"),
    [(b"", True), (GET, True), (GET[:1], False), (GET + GET[:1], False), (b"nonsense\r\n", False)],
    ids=["new", "idle", "begun", "begun-again", "refused"],
)
def test_a_connection_knows_whether_closing_it_loses_anything(data: bytes, unasked: bool) -> None:
    client = Client(hello)
    client.send(data)
    assert client.connection.unasked is unasked


# -- Keep-alive and pipelining -------------------------------------------------------------------------------------


def test_a_connection_is_kept_for_many_requests() -> None:
    client = Client(path)
    for number in range(100):
        start = f"GET /{number} HTTP/1.1"
        assert client.send(request(start=start)) == answer(f"/{number}".encode())
    assert len(client.exchanges) == 100
    assert all(exchange.complete for exchange in client.exchanges)


@pytest.mark.parametrize("at_once", [None, 1, 2, 7, 50], ids=lambda size: f"{size or 'all'} at once")
def test_pipelined_requests_are_answered_in_order(at_once: int | None) -> None:
    """RFC 9112 section 9.3.2."""
    requests = [
        request(start="GET /1 HTTP/1.1"),
        request("Content-Length: 5", start="POST /2 HTTP/1.1", body=b"GET /"),
        request("Transfer-Encoding: chunked", start="POST /3 HTTP/1.1", body=chunks(b"0\r\n\r\n", b"x")),
        request(start="HEAD /4 HTTP/1.1"),
        request(start="GET /5 HTTP/1.1"),
    ]
    client = Client(path)
    sent = client.send(b"".join(requests), at_once=at_once)
    head = response("200 OK", after=["Content-Length: 2"])
    assert sent == answer(b"/1") + answer(b"/2") + answer(b"/3") + head + answer(b"/5")
    assert client.state is State.IDLE
    assert [exchange.body_received for exchange in client.exchanges] == [0, 5, 6, 0, 0]


def test_a_long_pipeline_to_a_slow_reader_is_answered_one_at_a_time() -> None:
    """What cannot be sent stops the reading: nothing is read ahead but one piece."""
    client = stalled(hello)
    client.send(GET * 5000)
    assert len(client.environs) == 1
    assert len(client.stream.inbox) > 100_000
    client.read(len(HELLO) * 10)
    assert len(client.environs) == 11
    assert client.read() == HELLO * 4990
    assert client.state is State.IDLE


def test_a_pipeline_ends_with_connection_close() -> None:
    client = Client(path)
    sent = client.send(GET + request("Connection: close", start="GET /last HTTP/1.1") + GET)
    assert sent == answer(b"/") + answer(b"/last", "Connection: close")
    assert len(client.environs) == 2


def test_a_pipeline_ends_with_a_refusal() -> None:
    client = Client(path)
    sent = client.send(GET + b"nonsense\r\n" + GET)
    assert sent.startswith(answer(b"/") + b"HTTP/1.1 400 ")
    assert len(client.environs) == 1


def test_each_request_of_a_pipeline_has_its_own_trailers_and_body() -> None:
    def application(environ: Environ, start_response: Any) -> list[bytes]:
        seen.append((environ["wsgi.input"].read(), environ.get("wsgiserver.trailers")))
        return hello(environ, start_response)  # type: ignore[return-value]

    seen: list[Any] = []
    data = post("Transfer-Encoding: chunked", body=b"1\r\na\r\n0\r\nX-Sum: 1\r\n\r\n")
    Client(application).send(data + GET + data)
    assert seen == [(b"a", [("X-Sum", "1")]), (b"", None), (b"a", [("X-Sum", "1")])]


def test_a_body_that_the_application_does_not_read_disturbs_no_further_request() -> None:
    client = Client(hello)
    assert client.send(post("Content-Length: 20", body=GET[:20]) + GET) == HELLO * 2


def test_a_half_closed_client_gets_its_answer() -> None:
    """The sending side was closed behind a whole request."""
    client = stalled()
    client.stream.ended = True
    client.send(GET)
    assert client.state is State.WRITING
    assert client.read() == HELLO
    assert client.state is State.CLOSED


def test_a_half_closed_client_gets_the_answers_to_all_its_requests() -> None:
    client = Client(hello)
    client.stream.ended = True
    assert client.send(GET * 300) == HELLO * 300
    assert (client.state, client.end) == (State.CLOSED, "closed")
    assert client.exchanges[-1].complete


@pytest.mark.parametrize(
    "data",
    [GET[:-1], post("Content-Length: 5", body=b"hell"), post("Transfer-Encoding: chunked", body=chunks(b"a")[:-1])],
    ids=["head", "length", "chunked"],
)
def test_the_application_is_not_called_for_a_request_that_is_not_whole(data: bytes) -> None:
    client = Client(hello)
    client.send(data)
    assert client.finish() == b""
    assert client.state is State.CLOSED
    assert client.environs == []


# -- Expect: 100-continue ------------------------------------------------------------------------------------------

EXPECT = "Expect: 100-continue"


@pytest.mark.parametrize("field", [EXPECT, "expect: 100-Continue"])
@pytest.mark.parametrize("framing", ["Content-Length: 5", "Transfer-Encoding: chunked"])
def test_100_continue_is_sent_once_when_a_body_is_wanted_and_nothing_of_it_is_there(field: str, framing: str) -> None:
    """RFC 9110 section 10.1.1."""
    body = b"hello" if framing.startswith("C") else chunks(b"he", b"llo")
    client = Client(echo)
    assert client.send(post(framing, field)) == CONTINUE
    assert client.state is State.BODY
    assert client.environs == []
    assert client.send(body, at_once=1) == HELLO
    assert client.send(post(framing, field)) == CONTINUE, "and again for the next request"
    assert client.send(body) == HELLO


@pytest.mark.parametrize("size", [1, 4, 5])
def test_100_continue_is_not_sent_when_some_of_the_body_is_there(size: int) -> None:
    client = Client(echo)
    first = client.send(post("Content-Length: 5", EXPECT, body=b"hello"[:size]))
    assert first + client.send(b"hello"[size:]) == HELLO


@pytest.mark.parametrize("size", [1, 3, 4])
def test_100_continue_is_not_sent_when_some_of_a_chunk_is_there(size: int) -> None:
    client = Client(echo)
    data = chunks(b"hello")
    first = client.send(post("Transfer-Encoding: chunked", EXPECT, body=data[:size]))
    assert first + client.send(data[size:]) == HELLO


@pytest.mark.parametrize("lines", [[], ["Content-Length: 0"]], ids=["none", "empty"])
def test_100_continue_is_not_sent_where_there_is_no_body(lines: list[str]) -> None:
    assert Client(hello).send(post(*lines, EXPECT)) == HELLO


def test_100_continue_is_not_sent_to_http_1_0() -> None:
    client = Client(echo)
    head = f"POST / HTTP/1.0\r\n{EXPECT}\r\nContent-Length: 5\r\n\r\n".encode()
    assert client.send(head) == b""
    assert client.send(b"hello") == answer(b"hello", "Connection: close")


@pytest.mark.parametrize("expect", ["200-ok", "100-continue, x", "x=1"])
def test_other_expectations_are_answered_with_417(expect: str) -> None:
    client = Client(hello)
    assert client.send(post("Content-Length: 5", f"Expect: {expect}")).startswith(
        b"HTTP/1.1 417 Expectation Failed\r\n"
    )
    assert client.environs == []


def test_other_expectations_are_ignored_on_http_1_0() -> None:
    assert Client(hello).send(b"GET / HTTP/1.0\r\nExpect: x\r\n\r\n") == answer(b"hello", "Connection: close")


def test_too_large_a_body_is_answered_with_413_instead_of_100_continue() -> None:
    client = Client(hello, limit_body=4)
    sent = client.send(post("Content-Length: 5", EXPECT))
    assert sent.startswith(b"HTTP/1.1 413 ")
    assert client.environs == []


def test_a_pipelined_request_that_expects_100_continue_gets_it_in_its_turn() -> None:
    client = Client(echo)
    assert client.send(GET + post("Content-Length: 5", EXPECT)) == answer(b"") + CONTINUE
    assert client.send(b"hello") == HELLO


def test_a_client_that_leaves_after_100_continue_is_closed() -> None:
    client = Client(echo)
    client.send(post("Content-Length: 5", EXPECT))
    client.finish()
    assert client.state is State.CLOSED
    assert client.environs == []


# -- Request bodies ------------------------------------------------------------------------------------------------


class Keeping:
    """An application that keeps ``wsgi.input``, and says what it was while it ran."""

    def __init__(self) -> None:
        self.input: Any = None
        self.in_memory = False
        self.body = b""

    def __call__(self, environ: Environ, start_response: Any) -> list[bytes]:
        self.input = environ["wsgi.input"]
        self.in_memory = isinstance(self.input, io.BytesIO)
        self.body = self.input.read()
        start_response("200 OK", [])
        return [b"hello"]


@pytest.mark.parametrize("size", [0, 1, 99, 100, 101, 1000])
@pytest.mark.parametrize("at_once", [None, 1, 33], ids=lambda size: f"{size or 'all'} at once")
@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_a_body_is_kept_in_memory_up_to_buffer_body_then_in_a_file(
    size: int, at_once: int | None, chunked: bool
) -> None:
    body = bytes(range(256)) * 4
    body = body[:size]
    keeping = Keeping()
    client = Client(keeping, buffer_body=100)
    head = post("Transfer-Encoding: chunked" if chunked else f"Content-Length: {size}")
    client.send(head)
    framed = chunks(*(body[at : at + 10] for at in range(0, size, 10))) if chunked else body
    client.send(framed, at_once=at_once)
    assert keeping.body == body
    assert keeping.in_memory == (size <= 100)
    assert client.exchanges[0].body_received == size
    assert keeping.in_memory or keeping.input.closed
    assert client.send(GET) == HELLO


def test_a_large_body_that_comes_at_once_goes_into_a_file_too() -> None:
    """The bound holds however the body is cut: what is kept in memory is buffer_body octets at most."""
    keeping = Keeping()
    client = Client(keeping, buffer_body=100)
    client.send(post("Content-Length: 5000", body=b"x" * 5000))
    assert keeping.body == b"x" * 5000
    assert not keeping.in_memory
    assert keeping.input.closed


def test_the_file_of_a_body_has_no_name() -> None:
    """Nothing is left behind, whatever happens to the process."""
    names: list[Any] = []

    def application(environ: Environ, start_response: Any) -> list[bytes]:
        descriptor = environ["wsgi.input"].fileno()
        names.append(os.fstat(descriptor).st_nlink)
        return hello(environ, start_response)  # type: ignore[return-value]

    client = Client(application, buffer_body=1)
    client.send(post("Content-Length: 10"))
    client.send(b"0123456789", at_once=5)
    assert names == [0]


def test_the_file_of_a_body_is_closed_when_the_application_fails() -> None:
    kept: list[Any] = []

    def application(environ: Environ, start_response: Any) -> list[bytes]:
        kept.append(environ["wsgi.input"])
        raise RuntimeError

    client = Client(application, buffer_body=1)
    client.send(post("Content-Length: 10"))
    client.send(b"0123456789", at_once=5)
    assert kept[0].closed


@pytest.mark.parametrize("leave", [Client.finish, Client.vanish], ids=["end", "reset"])
def test_the_file_of_a_body_is_closed_when_the_client_leaves(leave: Callable[[Client], bytes]) -> None:
    """Were it not, the ResourceWarning would be an error of this test."""
    client = Client(hello, buffer_body=1)
    client.send(post("Content-Length: 10"))
    client.send(b"01234567", at_once=4)
    leave(client)
    assert client.state is State.CLOSED
    assert client.environs == []


def test_the_file_of_a_body_is_closed_when_the_body_is_refused() -> None:
    client = Client(hello, buffer_body=1)
    client.send(post("Transfer-Encoding: chunked"))
    client.send(chunks(b"0123", b"4567", last=False), at_once=4)
    assert client.send(b"zz\r\n").startswith(b"HTTP/1.1 400 ")
    client.finish()
    assert client.state is State.CLOSED


@pytest.mark.parametrize("limit", [1, 1000], ids=["on disk", "in memory"])
@pytest.mark.parametrize("whole", [True, False])
def test_a_body_for_which_no_memory_is_left_is_dropped_and_answered_with_500(
    monkeypatch: pytest.MonkeyPatch, limit: int, whole: bool
) -> None:
    kept: list[Any] = []

    def full(body: Any, data: bytes, limit: int) -> Any:
        if b"3" in data:
            raise MemoryError
        kept.append(store(body, data, limit))
        return kept[-1]

    monkeypatch.setattr(connection, "store", full)
    client = Client(hello, buffer_body=limit)
    client.send(post("Content-Length: 10"))
    answer = client.send(b"0123456789" if whole else b"01234567", at_once=2)
    assert answer.startswith(b"HTTP/1.1 500 ")
    assert kept[-1].closed
    assert client.errors.getvalue() == "wsgiserver: a body could not be kept: no memory is left\n"
    assert client.state is State.LINGERING
    assert client.environs == []


def test_a_large_body_is_answered_with_500_where_a_module_of_the_programs_stands_for_one_of_pythons_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As where a random.py lies beside the program, which tempfile then imports: it fails with whatever it may."""
    monkeypatch.setitem(sys.modules, "tempfile", ModuleType("tempfile"))
    client = Client(hello, buffer_body=1)
    client.send(post("Content-Length: 10"))
    assert client.send(b"0123456789").startswith(b"HTTP/1.1 500 ")
    assert "a body could not be kept: tempfile cannot be imported: cannot import name" in client.errors.getvalue()


def test_a_large_body_is_whole() -> None:
    keeping = Keeping()
    client = Client(keeping)
    body = os.urandom(1000) * 3000
    client.send(post(f"Content-Length: {len(body)}"))
    assert client.send(body) == HELLO
    assert keeping.body == body
    assert not keeping.in_memory


def test_a_body_over_its_limit_is_refused_before_it_comes_where_its_length_is_told() -> None:
    client = Client(hello, limit_body=100)
    assert client.send(post("Content-Length: 101")).startswith(b"HTTP/1.1 413 ")
    assert client.environs == []
    assert Client(hello, limit_body=100).send(post("Content-Length: 100", body=b"x" * 100)) == HELLO


def test_a_chunked_body_is_refused_with_the_chunk_that_is_too_much() -> None:
    client = Client(hello, limit_body=100)
    assert client.send(post("Transfer-Encoding: chunked", body=chunks(b"x" * 60, last=False))) == b""
    assert client.send(b"29\r\n").startswith(b"HTTP/1.1 413 ")
    assert client.environs == []
    assert Client(hello, limit_body=100).send(post("Transfer-Encoding: chunked", body=chunks(b"x" * 100))) == HELLO


# -- Time ----------------------------------------------------------------------------------------------------------


def test_a_client_that_says_nothing_is_closed_silently() -> None:
    client = Client(hello)
    assert client.wait(9.5) == b""
    assert client.state is State.HEAD
    assert client.wait(0.5) == b""
    assert (client.state, client.end) == (State.CLOSED, "closed")
    assert client.exchanges == []


@pytest.mark.parametrize("data", [b"\r\n", b"\r", b"\r\n\r\n"], ids=repr)
def test_who_sends_but_empty_lines_has_asked_nothing_and_is_closed_as_others_who_send_nothing(data: bytes) -> None:
    """RFC 9112 section 2.2: they are ignored, so they neither begin a head nor prolong the time for one."""
    client = Client(hello)
    client.wait(4)
    assert client.send(data) == b""
    assert client.wait(5) == b""
    assert client.wait(1) == b""
    assert (client.state, client.end, client.exchanges) == (State.CLOSED, "closed", [])


@pytest.mark.parametrize("together", [True, False])
def test_an_empty_line_behind_a_request_leaves_the_connection_idle(together: bool) -> None:
    """RFC 9112 section 2.2: old clients send one behind the body of a POST."""
    client = Client(hello)
    if together:
        client.send(GET + b"\r\n")
    else:
        client.send(GET)
        client.send(b"\r\n")
    assert client.state is State.IDLE
    assert client.wait(14) == b""
    assert client.state is State.IDLE
    assert client.send(GET).startswith(b"HTTP/1.1 200 ")
    assert client.wait(15) == b""
    assert client.state is State.CLOSED


@pytest.mark.parametrize("data", [GET[:1], GET[:-1], b"\r\n" + GET[:1]], ids=repr)
def test_a_head_that_is_not_whole_in_time_is_answered_with_408(data: bytes) -> None:
    """The time runs from accepting on; further bytes do not prolong it."""
    client = Client(hello)
    client.wait(4)
    client.send(data[:1])
    client.wait(5)
    client.send(data[1:])
    sent = client.wait(1)
    assert sent.startswith(b"HTTP/1.1 408 Request Timeout\r\n")
    assert b"Connection: close\r\n" in sent
    assert client.state is State.LINGERING
    assert client.environs == []


def test_the_time_of_a_later_head_runs_from_its_first_byte() -> None:
    client = Client(hello)
    client.send(GET)
    client.wait(14)
    client.send(GET[:1])
    assert client.wait(9.5) == b""
    client.send(GET[1:-1])
    assert client.wait(0.5).startswith(b"HTTP/1.1 408 ")


def test_the_time_of_a_pipelined_head_runs_from_the_end_of_the_response_before_it() -> None:
    client = Client(hello)
    client.wait(9)
    client.send(GET + GET[:1])
    assert client.wait(9.5) == b""
    assert client.wait(0.5).startswith(b"HTTP/1.1 408 ")


def test_a_body_that_pauses_too_long_is_answered_with_408() -> None:
    client = Client(hello)
    client.wait(9)
    client.send(post("Content-Length: 5"))
    assert client.wait(29.5) == b""
    client.send(b"h")
    assert client.wait(29.5) == b""
    client.send(b"e")
    sent = client.wait(30)
    assert sent.startswith(b"HTTP/1.1 408 Request Timeout\r\n")
    assert b"Connection: close\r\n" in sent
    assert client.environs == []


def test_a_body_that_pauses_after_100_continue_is_answered_with_408() -> None:
    client = Client(hello)
    client.send(post("Content-Length: 5", EXPECT))
    assert client.wait(29.5) == b""
    assert client.wait(0.5).startswith(b"HTTP/1.1 408 ")


def test_an_idle_connection_is_closed_silently() -> None:
    client = Client(hello)
    client.wait(9)
    client.send(GET)
    assert client.wait(14.5) == b""
    assert client.state is State.IDLE
    assert client.wait(0.5) == b""
    assert (client.state, client.end) == (State.CLOSED, "closed")
    assert len(client.exchanges) == 1


def test_a_client_that_takes_no_byte_of_a_response_is_reset() -> None:
    client = stalled()
    client.send(GET)
    client.wait(29.5)
    assert client.state is State.WRITING
    assert client.wait(0.5) == b""
    assert (client.state, client.end) == (State.CLOSED, "reset")
    (exchange,) = client.exchanges
    assert not exchange.complete
    assert isinstance(exchange.error, TimeoutError)
    assert exchange.ended - exchange.started == 30


def test_each_byte_that_the_client_takes_gives_it_the_time_anew() -> None:
    client = stalled()
    client.send(GET)
    for at in range(len(HELLO)):
        client.wait(29)
        assert client.read(1) == HELLO[at : at + 1]
    assert client.state is State.IDLE


def test_a_client_that_takes_no_byte_of_a_file_is_reset(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"x" * 1000)
    client = stalled(lambda environ, start_response: download(environ, start_response, file))
    client.read(500)
    client.send(GET)
    client.wait(29)
    client.read(500)
    client.wait(29)
    assert client.state is State.WRITING
    client.wait(1)
    assert (client.state, client.end) == (State.CLOSED, "reset")
    assert descriptors_of(file) == 0


def download(environ: Environ, start_response: Any, file: Path) -> Any:
    start_response("200 OK", [])
    return environ["wsgi.file_wrapper"](file.open("rb"))


def test_lingering_ends_by_itself() -> None:
    client = lingering_state()
    client.wait(LINGER_TIME - 0.5)
    assert client.state is State.LINGERING
    client.wait(0.5)
    assert (client.state, client.end) == (State.CLOSED, "closed")


def test_what_comes_while_lingering_does_not_prolong_it() -> None:
    client = lingering_state()
    client.wait(LINGER_TIME - 0.5)
    client.send(b"x")
    client.wait(0.5)
    assert client.state is State.CLOSED


@pytest.mark.parametrize(
    ("setting", "make"),
    [
        ("timeout_head", lambda client: client.send(GET[:5])),
        ("timeout_body", lambda client: client.send(post("Content-Length: 5"))),
        ("timeout_keep_alive", lambda client: client.send(GET)),
        ("timeout_send", lambda client: (setattr(client.stream, "room", 0), client.send(GET))),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_each_deadline_is_a_setting(setting: str, make: Callable[[Client], object]) -> None:
    client = Client(hello, **{setting: 0.25})
    make(client)
    state = client.state
    client.wait(0.125)
    assert client.state is state
    client.wait(0.125)
    assert client.state in (State.LINGERING, State.CLOSED)


def test_a_deadline_is_never_that_of_an_earlier_state() -> None:
    """A connection that goes through all its states has all of each one's time."""
    client = Client(echo)
    for _ in range(2):
        client.stream.room = 0
        client.wait(9)
        client.send(post("Content-Length: 2", EXPECT))
        client.wait(29)
        client.read()
        client.wait(29)
        client.send(b"h")
        client.stream.room = 0
        client.wait(29)
        client.send(b"i")
        client.wait(29)
        assert client.read() == answer(b"hi")
        client.wait(5)
    assert len(client.exchanges) == 2


def test_times_of_an_exchange_are_those_of_the_clock() -> None:
    client = stalled(hello)
    client.wait(1)
    client.send(GET)
    client.wait(2)
    client.read()
    (exchange,) = client.exchanges
    assert (exchange.started, exchange.ended) == (5001.0, 5003.0)


# -- Stopping ------------------------------------------------------------------------------------------------------


def test_a_stopping_server_answers_with_connection_close() -> None:
    client = Client(hello)
    client.site.stopping = True
    assert client.send(GET + GET) == answer(b"hello", "Connection: close")
    assert client.state is State.LINGERING
    assert len(client.environs) == 1


def test_a_connection_that_was_promised_to_be_kept_before_the_server_stops_is_idle_for_the_loop_to_close() -> None:
    client = stalled(hello)
    client.send(GET)
    client.site.stopping = True
    assert client.read() == HELLO
    assert client.state is State.IDLE
    assert client.connection.unasked


# -- Lingering -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        b"nonsense\r\n",
        request("Content-Length: x"),
        post("Content-Length: 99999"),
        post("Transfer-Encoding: chunked", body=b"zz\r\n"),
        post("Transfer-Encoding: chunked", "Connection: close", body=b"zz\r\n"),
        post("Transfer-Encoding: chunked", "Connection: close", body=b"fffff\r\n"),
        b"POST / HTTP/1.0\r\nContent-Length: 99999\r\n\r\n",
    ],
    ids=["line", "field", "too-large", "chunk", "chunk-close", "too-large-chunk-close", "HTTP/1.0"],
)
def test_after_a_refusal_the_server_reads_and_drops_what_still_comes(data: bytes) -> None:
    """RFC 9112 section 9.6: else a reset could overtake the answer."""
    client = Client(hello, limit_body=1000)
    assert client.send(data).startswith(b"HTTP/1.1 4")
    assert (client.state, client.end) == (State.LINGERING, "shut")
    assert client.send(b"more of it" * 1000) == b""
    assert client.stream.inbox == b""
    assert client.state is State.LINGERING
    client.finish()
    assert client.end == "closed"
    assert client.environs == []
    assert len(client.exchanges) == 1


@pytest.mark.parametrize("close", [[], ["Connection: close"]], ids=["kept", "close"])
def test_after_a_body_that_timed_out_the_server_reads_and_drops_what_still_comes(close: list[str]) -> None:
    client = Client(hello)
    client.send(post("Content-Length: 100", *close, body=b"x"))
    assert client.wait(30).startswith(b"HTTP/1.1 408 ")
    assert client.state is State.LINGERING
    assert client.send(b"x" * 99) == b""
    assert client.state is State.LINGERING


@pytest.mark.parametrize("close", [[], ["Connection: close"]], ids=["kept", "close"])
def test_after_a_body_that_cannot_be_kept_the_server_reads_and_drops_what_still_comes(
    monkeypatch: pytest.MonkeyPatch, close: list[str]
) -> None:
    """RFC 9112 section 9.6: also where the client has asked for the end, for the rest of the body is on its way."""

    def full(body: Any, data: bytes, limit: int) -> Any:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(connection, "store", full)
    client = Client(hello)
    assert client.send(post("Content-Length: 100", *close, body=b"x")).startswith(b"HTTP/1.1 500 ")
    assert (client.state, client.end) == (State.LINGERING, "shut")
    assert client.send(b"x" * 99) == b""
    assert client.state is State.LINGERING


def test_a_client_that_never_stops_sending_is_cut_off() -> None:
    client = lingering_state()
    client.send(b"x" * LINGER_SIZE)
    assert client.state is State.LINGERING
    client.send(b"x")
    assert client.state is State.CLOSED


def test_requests_behind_a_close_are_dropped() -> None:
    client = Client(hello)
    client.send(request("Connection: close") + GET)
    assert client.state is State.LINGERING
    assert client.send(GET) == b""
    assert len(client.environs) == 1


# -- Sending -------------------------------------------------------------------------------------------------------

LONG = bytes(range(256)) * 40
BODIES: dict[str, Callable[[], Any]] = {
    "whole": lambda: [LONG],
    "pieces": lambda: [LONG[at : at + 700] for at in range(0, len(LONG), 700)],
    "lazy": lambda: iter([LONG[:5000], b"", LONG[5000:]]),
}


def dechunked(data: bytes) -> bytes:
    """Give the body of a response, whatever its framing."""
    head, _, body = data.partition(b"\r\n\r\n")
    if b"Transfer-Encoding: chunked" not in head:
        return body
    found = []
    while body:
        size, _, rest = body.partition(b"\r\n")
        found.append(rest[: int(size, 16)])
        assert rest[int(size, 16) :][:2] == b"\r\n"
        body = rest[int(size, 16) + 2 :]
    assert found[-1] == b""
    return b"".join(found)


@pytest.mark.parametrize("piece", [1, 2, 3, 100, 1000, 5000])
@pytest.mark.parametrize("mark", [1, 100, 4000, 65536], ids="mark {}".format)
@pytest.mark.parametrize("shape", BODIES)
@pytest.mark.parametrize("data", [GET, GET_1_0, HEAD], ids=["1.1", "1.0", "HEAD"])
@pytest.mark.parametrize("sendmsg", [True, False], ids=["sendmsg", "send"])
def test_a_response_is_whole_however_little_the_socket_takes(
    piece: int, mark: int, shape: str, data: bytes, sendmsg: bool
) -> None:
    expected = Client(answering(BODIES[shape])).send(data)
    client = Client(answering(BODIES[shape]), buffer_response=mark, stream=SlowStream(sendmsg=sendmsg))
    client.stream.piece = piece
    assert client.send(data) == expected
    assert dechunked(expected) == (b"" if data == HEAD else LONG)
    assert client.exchanges[0].complete
    assert client.exchanges[0].body_sent == (0 if data == HEAD else len(LONG))


@pytest.mark.parametrize("size", [1, 99, 1000])
@pytest.mark.parametrize("shape", BODIES)
@pytest.mark.parametrize("sendmsg", [True, False], ids=["sendmsg", "send"])
def test_a_response_is_whole_however_slowly_the_client_reads(size: int, shape: str, sendmsg: bool) -> None:
    """While the application streams, its thread waits for the client; afterwards the loop sends the rest."""

    def take() -> None:
        client.stream.room = (client.stream.room or 0) + size

    expected = Client(answering(BODIES[shape])).send(GET)
    client = Client(answering(BODIES[shape]), buffer_response=500, stream=SlowStream(sendmsg=sendmsg))
    client.stream.room = 0
    client.stream.on_wait = take
    sent = client.send(GET)
    while client.state is State.WRITING:
        sent += client.read(size)
    assert sent == expected
    assert client.state is State.IDLE
    assert set(client.stream.waits) <= {SEND_AGAIN}


@pytest.mark.parametrize("piece", [1, 100, 5000])
@pytest.mark.parametrize("written", [b"", b"first"], ids=["", "after-write"])
def test_a_file_is_whole_however_little_the_socket_takes(tmp_path: Path, piece: int, written: bytes) -> None:
    def application(environ: Environ, start_response: Any) -> Any:
        write = start_response("200 OK", [("Content-Length", str(len(LONG + written)))])
        write(written)
        return environ["wsgi.file_wrapper"](file.open("rb"))

    file = tmp_path / "file"
    file.write_bytes(LONG)
    client = Client(application)
    client.stream.piece = piece
    assert client.send(GET) == response("200 OK", f"Content-Length: {len(LONG + written)}", body=written + LONG)
    assert descriptors_of(file) == 0
    assert client.state is State.IDLE


def test_a_large_file_leaves_in_shares_so_that_others_are_served_meanwhile(tmp_path: Path) -> None:
    file = tmp_path / "file"
    with file.open("wb") as sparse:
        sparse.truncate(10 * 1024 * 1024)
    client = Client(lambda environ, start_response: download(environ, start_response, file))
    client.connection.receive(GET)
    assert client.connection.advance(client.now)
    client.connection.run()
    assert client.connection.flush(client.now) is False
    assert client.state is State.WRITING
    assert len(client.stream.sent) < 5 * 1024 * 1024
    client.line.work()
    assert client.stream.sent.endswith(b"\0" * 10 * 1024 * 1024)
    assert client.state is State.IDLE


class Watching(SlowStream):
    """A stream that notes which objects the data lies in that it is given."""

    def __init__(self, **options: bool) -> None:
        super().__init__(**options)
        self.owners: list[Any] = []

    def _sendmsg(self, buffers: Any) -> int:
        self.owners.extend(data.obj if isinstance(data, memoryview) else data for data in buffers)
        return super()._sendmsg(buffers)


def ready(application: Any, ask: bytes = GET, stream: SlowStream | None = None) -> tuple[Client, SlowStream]:
    """Give a client whose exchange waits to be run."""
    client = Client(application, stream=stream)
    assert client.connection.receive(ask)
    assert client.connection.advance(client.now)
    return client, client.stream


def run(client: Client, *, overseen: bool = True) -> None:
    client.connection.overseen = overseen
    client.connection.run()


@pytest.mark.parametrize("headers", [[], [("Content-Length", "11")]], ids=["chunked", "counted"])
@pytest.mark.parametrize("overseen", [True, False], ids=["overseen", "alone"])
def test_pieces_behind_the_first_may_wait_for_more_in_an_overseen_call(overseen: bool, headers: Any) -> None:
    """PEP 3333, "Buffering and Streaming": a piece may wait while another thread sees to it that it leaves."""
    held = []

    def application(environ: Environ, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", headers)
        for piece in (b"one", b"two", b"three"):
            yield piece
            held.append(stream.held)

    client, stream = ready(application)
    run(client, overseen=overseen)
    second = len(b"two") if headers else len(b"3\r\ntwo\r\n")
    assert held[:2] == [0, second if overseen else 0]
    assert held[2:] in ([], [second + len(b"5\r\nthree\r\n")], [0])
    client.connection.flush(client.now)
    assert stream.held == 0
    assert stream.sent.endswith(b"onetwothree" if headers else b"3\r\none\r\n3\r\ntwo\r\n5\r\nthree\r\n0\r\n\r\n")


def test_from_when_a_call_is_overdue_its_pieces_leave_at_once_and_what_waited_too() -> None:
    held = []

    def application(environ: Environ, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [])
        yield b"one"
        yield b"two"
        held.append(stream.held)
        client.connection.overdue()
        held.append(stream.held)
        yield b"three"
        held.append(stream.held)

    client, stream = ready(application)
    run(client)
    assert held == [8, 0, 0]


def test_a_piece_that_is_sent_just_as_the_call_becomes_overdue_does_not_wait() -> None:
    """``overdue`` is called between the look whether the call is overseen and the send."""
    held = []

    class Overtaken(SlowStream):
        def _send(self, data: Any, flags: int = 0) -> int:
            if flags:
                client.connection.overdue()
            return super()._send(data, flags)

    def application(environ: Environ, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [])
        yield b"one"
        yield b"two"
        held.append(stream.held)

    client, stream = ready(application, stream=Overtaken())
    run(client)
    assert held == [0]


def test_what_is_written_leaves_at_once_also_in_an_overseen_call() -> None:
    """PEP 3333, "The write() Callable"."""
    held = []

    def application(environ: Environ, start_response: Any) -> Iterable[bytes]:
        write = start_response("200 OK", [])
        for piece in (b"one", b"two"):
            write(piece)
            held.append(stream.held)
        return [b"three"]

    client, stream = ready(application)
    run(client)
    assert held == [0, 0]


@pytest.mark.parametrize("ask", [GET, GET_1_0], ids=["1.1", "1.0"])
@pytest.mark.parametrize("end", ["whole", "raises", "short"])
def test_what_waits_leaves_with_the_end_of_its_response(end: str, ask: bytes) -> None:
    """It does not wait for other clients of the turn; nor would a close, let alone a reset, always let it leave."""

    def application(environ: Environ, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [("Content-Length", "100")] if end == "short" else [])
        yield b"one"
        yield b"two"
        if end == "raises":
            raise ValueError

    client, stream = ready(application, ask)
    run(client)
    assert stream.held == 0
    client.connection.flush(client.now)
    assert b"two" in stream.sent


def test_the_end_behind_what_waits_is_sent_by_the_loop_where_the_client_does_not_take_it() -> None:
    def application(environ: Environ, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [])
        yield b"one"
        yield b"two"
        stream.room = 3

    client, stream = ready(application)
    run(client)
    assert stream.sent.endswith(b"3\r\ntwo\r\n0\r\n")
    client.connection.flush(client.now)
    assert client.state is State.WRITING
    stream.room = None
    client.connection.flush(client.now)
    assert stream.sent.endswith(b"3\r\ntwo\r\n0\r\n\r\n")
    assert client.state is State.IDLE


@pytest.mark.parametrize("room", [None, 100, 50_000], ids=["at-once", "little-of-it", "half-of-it"])
def test_a_large_body_is_never_copied(room: int | None) -> None:
    """It is sent from where it lies, also the part of it that the socket does not take at once."""
    body = b"x" * 100_000
    client = Client(answering([body]), stream=Watching())
    client.stream.room = None if room is None else len(HELLO) + room
    sent = client.send(GET)
    assert sent + client.read() == answer(body)
    assert isinstance(client.stream, Watching)
    assert [owner is body for owner in client.stream.owners if len(owner) >= len(body)] != []
    assert all(owner is body for owner in client.stream.owners if len(owner) > len(HELLO) + 10)


@pytest.mark.parametrize("sendmsg", [True, False], ids=["sendmsg", "send"])
def test_a_large_body_for_a_client_that_takes_nothing_yet_is_whole(sendmsg: bool) -> None:
    body = b"x" * 100_000
    client = Client(answering([body]), stream=SlowStream(sendmsg=sendmsg))
    client.stream.room = 0
    assert client.send(GET) == b""
    assert client.read(10) == answer(body)[:10]
    assert client.read() == answer(body)[10:]
    assert client.state is State.IDLE


def test_a_small_response_leaves_in_one_call() -> None:
    client = Client(hello, stream=Watching())
    client.send(GET)
    assert isinstance(client.stream, Watching)
    assert client.stream.owners == [HELLO]


@pytest.mark.parametrize("mark", [1, 100_000], ids="mark {}".format)
def test_a_whole_response_holds_no_thread_however_slow_its_client(mark: int) -> None:
    """The application has nothing more to say: the loop sends what the socket does not take."""
    client = stalled(answering([LONG]), buffer_response=mark)
    client.send(GET)
    assert client.stream.waits == []
    assert client.state is State.WRITING
    assert client.read() == answer(LONG)


def test_a_streamed_piece_has_left_whole_before_the_next_is_asked_for() -> None:
    """PEP 3333, "Buffering and Streaming": nothing of it waits while the application makes the next."""

    def take() -> None:
        client.stream.room = 10

    def body() -> Iterator[bytes]:
        for piece in pieces:
            yield piece
            assert client.stream.sent.endswith(chunks(piece, last=False))

    pieces = [b"a" * 95, b"b" * 95]
    client = stalled(answering(body))
    client.stream.on_wait = take
    assert dechunked(client.send(GET) + client.read()) == b"".join(pieces)
    assert client.log == ""


def test_a_slow_client_is_not_read_ahead_of() -> None:
    """While it does not take a piece, the application is not asked for another."""
    asked = 0

    def body() -> Iterator[bytes]:
        nonlocal asked
        while True:
            asked += 1
            yield b"x" * 100

    client = stalled(answering(body))
    client.send(GET)
    assert asked == 1
    assert sum(client.stream.waits) == 30


def test_a_client_that_stops_reading_a_streamed_response_is_reset_after_timeout_send() -> None:
    """What it did not take is dropped, not sent again, and the iterable is closed."""
    closed = []

    class Endless:
        def __iter__(self) -> Iterator[bytes]:
            while True:
                yield b"x" * 100

        def close(self) -> None:
            closed.append(True)

    client = Client(answering(Endless()), buffer_response=1000)
    client.stream.room = 250
    client.send(GET)
    assert closed == [True]
    assert sum(client.stream.waits) == 30
    assert (client.state, client.end) == (State.CLOSED, "reset")
    client.read()
    assert len(client.stream.sent) == 250
    assert client.log == ""
    (exchange,) = client.exchanges
    assert not exchange.complete
    assert exchange.error is not None


def test_room_that_is_made_by_what_was_read_before_gives_a_client_its_time_only_once() -> None:
    """The system tells late that what the client has read was acknowledged."""

    def wait() -> None:
        client.stream.room = next(rooms, 0)

    rooms = iter([100])
    client = stalled(answering(lambda: iter([b"x" * 1000] * 9)), buffer_response=500)
    client.stream.on_wait = wait
    client.send(GET)
    assert sum(client.stream.waits) == SEND_AGAIN + 30
    assert client.end == "reset"


def test_no_byte_is_sent_twice_to_a_client_that_reads_again_just_after_timeout_send() -> None:
    """The first pieces were taken in part when the time was over: they may not come again."""

    def wait() -> None:
        client.stream.room = next(rooms, 0)

    rooms = iter([200, 100])
    pieces = [b"%04d" % number * 100 for number in range(10)]
    client = stalled(answering(lambda: iter(pieces)), buffer_response=500)
    client.stream.on_wait = wait
    client.send(GET)
    client.read()
    whole = response("200 OK", after=["Transfer-Encoding: chunked"]) + chunks(*pieces)
    assert whole.startswith(client.stream.sent)
    assert client.end == "reset"


@pytest.mark.parametrize("error", [BrokenPipeError(), ConnectionResetError(), TimeoutError(), ValueError("closed")])
def test_an_error_of_the_socket_while_streaming_ends_the_connection(error: Exception) -> None:
    """ValueError is what a socket object raises that was closed meanwhile, by a server that stops."""

    def body() -> Iterator[bytes]:
        yield b"a"
        client.stream.gone = error  # type: ignore[assignment]
        yield b"b"

    client = Client(answering(body))
    client.send(GET)
    assert client.state is State.CLOSED
    assert client.log == ""


@pytest.mark.parametrize("shape", BODIES)
@pytest.mark.parametrize("mark", [1, 65536])
@pytest.mark.parametrize("sendmsg", [True, False], ids=["sendmsg", "send"])
def test_a_client_that_is_gone_gets_nothing_and_costs_nothing(shape: str, mark: int, sendmsg: bool) -> None:
    def application(environ: Environ, start_response: Any) -> Any:
        client.stream.gone = ConnectionResetError()
        start_response("200 OK", [])
        return BODIES[shape]()

    client = Client(application, buffer_response=mark, stream=SlowStream(sendmsg=sendmsg))
    assert client.send(GET) == b""
    assert client.state is State.CLOSED
    assert client.log == ""
    assert not client.exchanges[0].complete


def test_an_error_while_waiting_for_the_client_ends_the_connection() -> None:
    def vanish() -> None:
        client.stream.gone = ConnectionResetError()

    client = stalled(answering(BODIES["pieces"]), buffer_response=1)
    client.stream.on_wait = vanish
    client.send(GET)
    assert client.state is State.CLOSED
    assert client.log == ""


def test_a_stream_that_was_closed_while_it_was_waited_for_ends_the_connection() -> None:
    def closed() -> None:
        raise ValueError("file descriptor cannot be a negative integer (-1)")

    client = stalled(answering(BODIES["pieces"]), buffer_response=1)
    client.stream.on_wait = closed
    client.send(GET)
    client.vanish()
    assert client.state is State.CLOSED
    assert client.log == ""


# -- Cut responses -------------------------------------------------------------------------------------------------


def failing(*pieces: bytes) -> Callable[[], Iterator[bytes]]:
    """Make bodies that fail behind these pieces."""

    def body() -> Iterator[bytes]:
        yield from pieces
        raise RuntimeError("cut here")

    return body


def test_a_cut_chunked_response_has_no_last_chunk() -> None:
    """RFC 9112 section 8: so the client sees that it is not whole."""
    client = Client(answering(failing(b"a", b"b")))
    assert client.send(GET).endswith(b"\r\n\r\n" + chunks(b"a", b"b", last=False))
    assert client.end == "shut"


def test_a_cut_response_and_those_before_it_are_not_lost_for_what_has_come_behind() -> None:
    """RFC 9112 section 9.6: to close the connection with unread bytes would reset it."""

    def application(environ: Environ, start_response: Any) -> Iterable[bytes]:
        return answering([b"whole"] if environ["PATH_INFO"] == "/1" else failing(b"a"))(environ, start_response)

    client = Client(application)
    client.send(GET.replace(b" / ", b" /1 ") + GET + GET)
    assert client.end == "shut"
    assert len(client.environs) == 2
    assert client.send(b"more") == b""
    client.wait(LINGER_TIME)
    assert client.end == "closed"


@pytest.mark.parametrize(("size", "end"), [(LINGER_FROM - 1, "closed"), (LINGER_FROM, "shut")])
def test_a_large_response_is_waited_for_though_the_client_has_asked_for_the_end(size: int, end: str) -> None:
    """RFC 9112 section 9.6: while it is on its way something may come, and reset the connection."""
    client = Client(answering([bytes(size)]))
    client.send(request("Connection: close"))
    assert client.end == end


@pytest.mark.parametrize("data", [GET_1_0, GET_1_0_KEPT], ids=["", "keep-alive"])
def test_a_cut_response_that_ends_with_the_connection_is_reset(data: bytes) -> None:
    client = Client(answering(failing(b"a", b"b")))
    assert client.send(data).endswith(b"\r\n\r\nab")
    assert client.end == "reset"


def test_a_slow_client_gets_what_there_is_of_a_cut_response_before_the_end() -> None:
    def take() -> None:
        assert client.end == ""
        client.stream.room = 10

    client = stalled(answering(failing(b"a" * 15, b"b" * 15)))
    client.stream.on_wait = take
    assert client.send(GET).endswith(b"\r\n\r\n" + chunks(b"a" * 15, b"b" * 15, last=False))
    assert client.end == "shut"
    assert not client.exchanges[0].complete


# -- Refusals ------------------------------------------------------------------------------------------------------


def test_a_refusal_names_the_rule_and_shows_the_line_with_a_caret() -> None:
    client = Client(hello)
    head, _, body = client.send(b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n").partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert b"\r\nContent-Type: text/plain; charset=utf-8\r\n" in head
    assert b"\r\nContent-Length: %d\r\n" % len(body) in head
    assert b"\r\nConnection: close\r\n" in head
    assert body == (
        b"400 Bad Request\n\n"
        b"The request was refused: the request line is not: method SP target SP version (RFC 9112 section 3).\n\n"
        b"    GET /a b HTTP/1.1\n"
        b"    ^\n"
    )


def test_the_caret_stands_under_the_byte() -> None:
    body = Client(hello).send(request("X-Tab\x01\x02: value")).partition(b"\r\n\r\n")[2]
    assert body.endswith(b"    X-Tab\\x01\\x02: value\n         ^\n")


def test_terse_errors_are_the_status_and_its_reason() -> None:
    client = Client(hello, terse_errors=True)
    body = client.send(b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n").partition(b"\r\n\r\n")[2]
    assert body == b"400 Bad Request\n"


def test_the_log_says_nothing_of_what_clients_do_wrong() -> None:
    client = Client(hello)
    client.send(b"nonsense\r\n")
    assert client.log == ""


def test_a_refusal_is_an_exchange_that_observers_see() -> None:
    client = Client(hello)
    client.send(b"nonsense\r\n")
    (exchange,) = client.exchanges
    assert exchange.status == "400 Bad Request"
    assert isinstance(exchange.error, BadRequest)
    assert (exchange.request.method, exchange.request.target) == ("-", "-")
    assert exchange.peer == "192.0.2.1:4711"
    assert exchange.complete


@pytest.mark.parametrize("version", [0, 1])
def test_a_request_that_is_refused_is_told_with_its_own_version(version: int) -> None:
    client = Client(hello)
    client.send(b"GET /a HTTP/1.%d\r\nHost: a b\r\n\r\n" % version)
    (exchange,) = client.exchanges
    assert (exchange.request.method, exchange.request.target, exchange.request.minor) == ("GET", "/a", version)


@pytest.mark.parametrize("lines", [["Content-Length: 5"], ["Transfer-Encoding: chunked"]])
def test_a_request_whose_body_is_too_large_is_told_with_its_fields(lines: list[str]) -> None:
    client = Client(hello, limit_body=4)
    client.send(post(*lines, "User-Agent: teapot", body=chunks(b"abcde") if "chunked" in lines[0] else b"abcde"))
    (exchange,) = client.exchanges
    assert exchange.status[:3] == "413"
    assert exchange.request.fields.variables["HTTP_USER_AGENT"] == "teapot"


def test_a_fault_of_the_server_while_an_application_runs_costs_that_client_its_connection_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*of: object) -> None:
        raise MemoryError

    monkeypatch.setattr("wsgiserver.connection.run", fail)
    client = Client(hello)
    assert client.send(GET) == b""
    assert (client.state, client.end) == (State.CLOSED, "reset")
    assert [exchange.complete for exchange in client.exchanges] == [False]


def test_the_file_of_a_body_is_left_to_the_parent_in_a_child_process() -> None:
    """To close the buffered file would write once more, and take a lock that a thread of the parent may have."""
    client = Client(hello, buffer_body=10)
    client.send(post("Content-Length: 100"))
    client.send(b"x" * 50)
    body = client.connection._body
    body.write(b"not yet written")
    copy = os.dup(body.fileno())
    try:
        client.connection.leave_to_parent()
        assert body.raw.closed
        assert os.fstat(copy).st_size == 50
    finally:
        os.close(copy)


def test_a_file_that_the_connection_has_taken_is_closed_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A number that was closed may be another file's by then."""
    path = tmp_path / "file"
    path.write_bytes(b"content")
    closed: list[int] = []
    close = os.close
    monkeypatch.setattr("os.close", lambda descriptor: (closed.append(descriptor), close(descriptor)))

    def application(environ: Environ, start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", [])
        monkeypatch.setattr(client.connection, "_hand_in", fail)
        return environ["wsgi.file_wrapper"](path.open("rb"))

    def fail(connection: Any) -> None:
        monkeypatch.undo()
        monkeypatch.setattr("os.close", lambda descriptor: (closed.append(descriptor), close(descriptor)))
        raise RecursionError

    client = Client(application, stream=SlowStream(sendfile=True))
    client.send(GET)
    client.vanish()
    client.connection.close()
    assert closed
    assert len(closed) == len(set(closed))


def test_a_refused_body_is_an_exchange_of_its_request() -> None:
    client = Client(hello)
    client.send(post("Transfer-Encoding: chunked", body=chunks(b"abc", last=False) + b"zz\r\n"))
    (exchange,) = client.exchanges
    assert exchange.request.method == "POST"
    assert exchange.status == "400 Bad Request"
    assert exchange.body_received <= 3


@pytest.mark.parametrize("name", ["Cookie", "cookie", "AUTHORIZATION", "Proxy-Authorization"])
@pytest.mark.parametrize(
    "line",
    [
        "{}: hunter2\x01",
        "{}: \x01hunter2",
        "{}:hunter2\x00",
        "{} : hunter2",
        "{}\t: hunter2",
        " {}: hunter2",
        "\t{}: hunter2",
        "{}: a=1\r\n hunter2=2",
        "{}: a=1\r\n\thunter2=2",
        "{}: hunter2\nX: y",
        "{}: hunter2\rX: y",
    ],
    ids=repr,
)
def test_secrets_are_never_shown(name: str, line: str) -> None:
    """Not even to the one who sent them, and not when the line that holds them is the one that is wrong."""
    client = Client(hello)
    sent = client.send(request("X-First: 1", line.format(name)))
    assert sent.startswith(b"HTTP/1.1 400 ")
    assert b"hunter2" not in sent


@pytest.mark.parametrize("settings", [{"limit_head": 60}, {"limit_fields": 1}], ids=["head", "fields"])
def test_secrets_over_a_limit_are_never_shown(settings: dict[str, int]) -> None:
    client = Client(hello, **settings)
    sent = client.send(request("Cookie: hunter2=hunter2hunter2hunter2hunter2hunter2hunter2"))
    assert sent.startswith(b"HTTP/1.1 431 ")
    assert b"hunter2" not in sent


def test_secrets_in_a_trailer_are_never_shown() -> None:
    body = b"0\r\nAuthorization: hunter2\x01\r\n\r\n"
    sent = Client(hello).send(post("Transfer-Encoding: chunked", body=body))
    assert sent.startswith(b"HTTP/1.1 400 ")
    assert b"hunter2" not in sent


@pytest.mark.parametrize("size", [SHOWN - 1, SHOWN, SHOWN + 1, 15_000])
def test_no_more_of_a_line_is_shown_than_people_read(size: int) -> None:
    body = Client(hello).send(request("x" * size + "\x01: y")).partition(b"\r\n\r\n")[2]
    assert body.count(b"x") <= SHOWN + len(b"\\x01 text example")
    line, caret = body.decode().splitlines()[-2:]
    assert line[caret.index("^") :].startswith("\\x01")


# -- Observers -----------------------------------------------------------------------------------------------------


def test_an_observer_is_told_of_each_exchange_once_when_it_is_over() -> None:
    client = stalled(path)
    client.send(request(start="GET /a HTTP/1.1") + request(start="GET /b HTTP/1.1"))
    assert client.exchanges == []
    client.read()
    assert [exchange.request.target for exchange in client.exchanges] == ["/a", "/b"]
    assert all(exchange.complete and exchange.error is None for exchange in client.exchanges)
    assert [exchange.body_sent for exchange in client.exchanges] == [2, 2]
    assert [exchange.status for exchange in client.exchanges] == ["200 OK"] * 2


def test_an_observer_that_fails_disturbs_neither_the_client_nor_the_other_observers() -> None:
    def failing(exchange: Exchange) -> None:
        raise RuntimeError("a broken observer")

    seen: list[Exchange] = []
    client = Client(hello, observers=[failing, seen.append])
    assert client.send(GET) == HELLO
    assert client.send(GET) == HELLO
    assert len(seen) == 2
    assert client.log.count("RuntimeError: a broken observer\n") == 2


def test_an_observer_of_turns_that_fails_disturbs_nobody() -> None:
    class Failing:
        def observe_turn(self, exchanges: Sequence[Exchange]) -> None:
            raise RuntimeError("a broken observer of turns")

    seen: list[Exchange] = []
    client = Client(hello, observers=[Failing(), seen.append])
    assert client.send(GET) == HELLO
    assert len(seen) == 1
    assert "a broken observer of turns" in client.log


def test_the_observer_reads_what_the_application_said() -> None:
    client = Client(answering([b"hello"], ("X-A", "1"), status="201 Made"))
    client.send(post("Content-Length: 3", body=b"abc"))
    (exchange,) = client.exchanges
    assert exchange.status == "201 Made"
    assert exchange.headers == [("X-A", "1")]
    assert (exchange.body_received, exchange.body_sent) == (3, 5)
    assert exchange.request.method == "POST"
    assert repr(exchange) == "<Exchange POST / 201 Made ENDED>"


# -- Whatever comes ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("data", [b"", b"\0", b"\r\n\r\n\r\n", b"\x16\x03\x01\x02\x00", b"GET", b"\xff" * 100_000])
@pytest.mark.parametrize("at_once", [None, 1000], ids=lambda size: f"{size or 'all'} at once")
def test_garbage_is_refused_or_waited_for_and_nothing_else(data: bytes, at_once: int | None) -> None:
    client = Client(hello)
    sent = client.send(data, at_once=at_once)
    assert sent == b"" or sent.startswith(b"HTTP/1.1 4")
    assert client.log == ""
    client.finish()
    assert client.state is State.CLOSED


@pytest.mark.parametrize("at_once", [None, 1], ids=lambda size: f"{size or 'all'} at once")
@pytest.mark.parametrize("application", [hello, echo, path], ids=["hello", "echo", "path"])
def test_the_same_bytes_get_the_same_answers_however_they_are_cut(application: Any, at_once: int | None) -> None:
    data = GET + HEAD + post("Content-Length: 5", body=b"hello") + GET_1_0_KEPT + b"\r\n" + GET + GET_1_0
    whole = Client(application).send(data)
    assert Client(application).send(data, at_once=at_once) == whole
    assert whole.count(b"HTTP/1.1 200 OK\r\n") == 6


def test_a_route_is_the_method_and_the_path_without_its_last_digits() -> None:
    """What the predictor of slow applications goes by."""
    routes: list[str] = []

    def application(environ: Environ, start_response: Any) -> Iterable[bytes]:
        routes.append(client.connection.route)
        return hello(environ, start_response)

    client = Client(application)
    for target in ("/", "/users/17", "/users/4711", "/v2/x", "/a?b=3"):
        client.send(request(start=f"GET {target} HTTP/1.1"))
    client.send(post())
    assert routes == ["GET /", "GET /users/", "GET /users/", "GET /v2/x", "GET /a", "POST /"]


def test_a_head_request_that_is_refused_gets_no_body() -> None:
    """RFC 9110 section 9.3.2: its request line could be read, though Host is missing."""
    client = Client(hello)
    sent = client.send(b"HEAD / HTTP/1.1\r\n\r\n")
    assert sent.startswith(b"HTTP/1.1 400 ")
    assert sent.endswith(b"\r\n\r\n")


@pytest.mark.parametrize("line", ["/%zz HTTP/1.1", "/ HTTP/2.0", "foo", "/#x HTTP/1.1", f"/{'x' * 9000} HTTP/1.1"])
def test_a_head_request_whose_line_is_refused_gets_no_body_either(line: str) -> None:
    """RFC 9110 section 9.3.2."""
    client = Client(hello)
    sent = client.send(f"HEAD {line}\r\n\r\n".encode())
    assert sent[9:12] in (b"400", b"414", b"505")
    assert sent.endswith(b"\r\n\r\n")


@pytest.mark.parametrize(
    ("line", "method", "target"),
    [
        (b"GET /a%zz HTTP/1.1", "GET", "/a%zz"),
        (b"GET /a b HTTP/1.1", "GET", "/a b"),
        (b"GET / HTTP/2.0", "GET", "/"),
        (b"GET", "-", "-"),
        (b"\x16\x03\x01 \x02", "-", "-"),
        (b" ", "-", "-"),
        (b"Authorization: Basic c2VjcmV0", "-", "-"),
        (b"Authorization Basic c2VjcmV0", "-", "-"),
        (b"GET http://me:secret@host/%zz HTTP/1.1", "-", "-"),
        (b"GET http://me:" + b"secret" * 50 + b"@host/ HTTP/1.1", "-", "-"),
        (b"GET " + b"x" * 9000, "GET", "x" * 196),
    ],
    ids=repr,
)
def test_of_a_line_that_cannot_be_read_observers_see_what_looks_like_method_and_target(
    line: bytes, method: str, target: str
) -> None:
    client = Client(hello)
    client.send(line + b"\r\n\r\n")
    (exchange,) = client.exchanges
    assert (exchange.request.method, exchange.request.target) == (method, target)


@pytest.mark.parametrize(
    ("bad", "target"), [(b"nonsense\r\n\r\n", "-"), (b"nonsense\r\n", "-"), (b"GET / HTTP/1.1\n", "/")]
)
def test_a_line_that_cannot_be_read_is_not_taken_for_the_one_before(bad: bytes, target: str) -> None:
    client = Client(hello)
    client.send(GET)
    client.send(GET)
    client.send(bad)
    assert [exchange.request.target for exchange in client.exchanges] == ["/", "/", target]
    assert [exchange.status[:3] for exchange in client.exchanges] == ["200", "200", "400"]
    assert client.exchanges[-1].request not in [exchange.request for exchange in client.exchanges[:2]]


def test_a_request_that_is_refused_for_a_field_is_told_with_its_line() -> None:
    client = Client(hello)
    client.send(b"GET /path HTTP/1.1\r\nHost: test\r\nbad field\r\n\r\n")
    (exchange,) = client.exchanges
    assert (exchange.request.method, exchange.request.target) == ("GET", "/path")


def test_a_connection_that_rests_reads_the_same_head_again() -> None:
    """What it remembered of the last head is forgotten, so that idle clients cost little whatever they sent."""
    client = Client(hello)
    client.send(GET)
    client.connection.rest()
    assert client.connection._reader._request is None
    assert client.send(GET) == HELLO
    assert client.send(GET + GET) == HELLO * 2
