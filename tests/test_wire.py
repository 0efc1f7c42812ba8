"""An application called over the wire in memory: its caller sees what a client would, and loses nothing on the way."""

import http.client
import io
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

import httpx
import pytest
from clients import GET, answering

from wsgiserver.messages import BadResponse
from wsgiserver.site import Application, Environ
from wsgiserver.states import State
from wsgiserver.wire import NotSendable, Wire, wire, write_request
from wsgiserver.wire_client import BrokenResponse, WireClient, read_response

hello = answering([b"hello"], ("Content-Type", "text/plain"))


def echo(environ: Environ, start_response: Any) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "application/octet-stream")])
    return [environ["wsgi.input"].read()]


def make_environ(**values: Any) -> Environ:
    environ: Environ = {"SERVER_PROTOCOL": "HTTP/1.1", "wsgi.errors": io.StringIO()}
    environ.update(values)
    setup_testing_defaults(environ)
    return environ


def call(application: Application, environ: Environ | None = None) -> tuple[str, dict[str, str], bytes]:
    """Call an application; give status, headers and body."""
    said: list[Any] = []
    result = application(make_environ() if environ is None else environ, lambda *args: said.extend(args))
    body = b"".join(result)
    return said[0], dict(said[1]), body


def asked(environ: Environ, **options: Any) -> Environ:
    """Give the environ that an application sees when it is called over the wire with this one."""
    through = wire(hello, **options)
    call(through, environ)
    seen = through.exchanges[-1].environ
    assert seen is not None
    return seen


# -- What the caller gets ----------------------------------------------------------------------------------------------


def test_the_caller_gets_status_headers_and_body_as_a_client_reads_them() -> None:
    status, headers, body = call(wire(answering([b"made"], ("X-A", "1"), status="201 Created")))
    assert (status, body) == ("201 Created", b"made")
    assert headers.keys() == {"X-A", "Date", "Server", "Content-Length"}
    assert headers["Content-Length"] == "4"


def test_headers_that_only_a_server_may_send_do_not_reach_the_caller() -> None:
    """PEP 3333, "Other HTTP Features"; the bytes have them."""
    through = wire(answering(iter([b"a", b"b"])))
    _, headers, body = call(through)
    assert "Transfer-Encoding" not in headers
    assert body == b"ab"
    assert b"Transfer-Encoding: chunked\r\n" in through.exchanges[-1].response


def test_the_chunks_of_a_streamed_body_stay_apart() -> None:
    result = wire(answering(lambda: iter([b"one", b"", b"two"])))(make_environ(), lambda *args: None)
    assert list(result) == [b"one", b"two"]


def test_a_validator_finds_nothing_wrong_on_either_side_of_the_wire() -> None:
    environ = make_environ(QUERY_STRING="a=b")
    result = validator(wire(validator(hello)))(environ, lambda status, headers, exc_info=None: lambda data: None)
    assert b"".join(result) == b"hello"
    result.close()  # type: ignore[attr-defined]


def test_a_head_request_has_the_length_and_no_body() -> None:
    status, headers, body = call(wire(hello), make_environ(REQUEST_METHOD="HEAD"))
    assert (status, headers["Content-Length"], body) == ("200 OK", "5", b"")


def test_a_response_to_http_1_0_ends_with_the_connection() -> None:
    through = wire(answering(lambda: iter([b"a", b"b"])))
    assert call(through, make_environ(SERVER_PROTOCOL="HTTP/1.0"))[2] == b"ab"
    assert b"Transfer-Encoding" not in through.exchanges[-1].response
    assert through.exchanges[-1].request.startswith(b"GET / HTTP/1.0\r\n")


def test_the_protocol_can_be_chosen_for_callers_that_name_an_old_one() -> None:
    assert asked(make_environ(SERVER_PROTOCOL="HTTP/1.0"), protocol="HTTP/1.1")["SERVER_PROTOCOL"] == "HTTP/1.1"


def test_a_file_arrives_whole() -> None:
    content = bytes(range(256)) * 1000

    def application(environ: Environ, start_response: Any) -> Any:
        file = tempfile.TemporaryFile()  # noqa: SIM115 - the server closes it
        file.write(content)
        file.seek(0)
        start_response("200 OK", [])
        return environ["wsgi.file_wrapper"](file)

    assert call(wire(application))[2] == content


def test_a_large_body_arrives_whole() -> None:
    assert call(wire(answering([b"x" * 1_000_000])))[2] == b"x" * 1_000_000


def test_a_request_that_the_server_refuses_is_answered_and_the_application_not_called() -> None:
    through = wire(hello, limit_body=3)
    environ = make_environ(CONTENT_LENGTH="4", **{"wsgi.input": io.BytesIO(b"four")})
    assert call(through, environ)[0][:3] == "413"
    assert through.exchanges[-1].environ is None


# -- What goes wrong in the application --------------------------------------------------------------------------------


class Broken(Exception):
    pass


def failing(environ: Environ, start_response: Any) -> list[bytes]:
    raise Broken("here")


def failing_later(environ: Environ, start_response: Any) -> Iterator[bytes]:
    start_response("200 OK", [("Content-Length", "10")])
    yield b"half"
    raise Broken("later")


class FailingAtTheEnd(list[bytes]):
    def close(self) -> None:
        raise Broken("close")


@pytest.mark.parametrize("application", [failing, failing_later, answering(lambda: FailingAtTheEnd([b"a"]))])
def test_what_the_application_raises_reaches_the_caller_with_its_own_traceback(application: Application) -> None:
    with pytest.raises(Broken) as caught:
        call(wire(application))
    files = [Path(str(entry.path)).name for entry in caught.traceback]
    assert files == ["test_wire.py", "test_wire.py", "wire.py", "test_wire.py"]


def test_what_reached_the_caller_is_not_written_as_well() -> None:
    environ = make_environ()
    with pytest.raises(Broken):
        call(wire(failing), environ)
    assert environ["wsgi.errors"].getvalue() == ""


@pytest.mark.parametrize("stop", [SystemExit, KeyboardInterrupt])
def test_exceptions_that_end_a_program_reach_the_caller_too(stop: type[BaseException]) -> None:
    def application(environ: Environ, start_response: Any) -> list[bytes]:
        raise stop

    with pytest.raises(stop):
        call(wire(application))


class Interrupted(list[bytes]):
    """A body that fails, and whose ``close()`` is interrupted."""

    def __init__(self, stop: BaseException) -> None:
        super().__init__([b"a"])
        self.stop = stop

    def __iter__(self) -> Iterator[bytes]:
        raise Broken

    def close(self) -> None:
        raise self.stop


STOPS = [KeyboardInterrupt(), pytest.fail.Exception("too late"), pytest.skip.Exception("not here")]


@pytest.mark.parametrize("stop", STOPS, ids=repr)
@pytest.mark.parametrize("raise_errors", [True, False])
def test_what_ends_the_test_or_the_run_reaches_the_caller_and_is_never_answered(
    stop: BaseException, raise_errors: bool
) -> None:
    """Ctrl-C, pytest.fail and pytest.skip in the application, and the time limits of pytest-timeout."""

    def application(environ: Environ, start_response: Any) -> Any:
        if environ["PATH_INFO"] == "/close":
            start_response("200 OK", [])
            return Interrupted(stop)
        raise stop

    for path in ("/", "/close"):
        for ask in (
            lambda: call(wire(application, raise_errors=raise_errors), make_environ(PATH_INFO=path)),  # noqa: B023
            lambda: WireClient(application, raise_errors=raise_errors).request("GET", path),  # noqa: B023
        ):
            with pytest.raises(type(stop)) as caught:
                ask()  # type: ignore[no-untyped-call]
            assert caught.value is stop


def test_an_application_that_exits_is_answered_as_on_any_server_where_errors_are_not_raised() -> None:
    def application(environ: Environ, start_response: Any) -> list[bytes]:
        raise SystemExit

    assert call(wire(application, raise_errors=False))[0][:3] == "500"
    assert WireClient(application).request("GET").code == 500


def test_a_body_of_the_wrong_length_is_the_applications_failure() -> None:
    """Tools without a wire let it pass."""
    for length in ("4", "6"):
        with pytest.raises(BadResponse, match="Content-Length"):
            call(wire(answering([b"hello"], ("Content-Length", length))))


def test_with_raise_errors_off_the_caller_sees_what_a_client_does() -> None:
    environ = make_environ()
    status, _, body = call(wire(failing, raise_errors=False), environ)
    assert status == "500 Internal Server Error"
    assert b"Broken" not in body
    assert "Broken: here" in environ["wsgi.errors"].getvalue()


@pytest.mark.parametrize("application", [failing_later, answering(lambda: iter([b"a"]), ("Content-Length", "5"))])
def test_with_raise_errors_off_a_body_that_was_cut_ends_as_with_http_client(application: Application) -> None:
    with pytest.raises(http.client.IncompleteRead) as caught:
        call(wire(application, raise_errors=False))
    assert caught.value.partial in (b"half", b"a")


# -- What the application gets -----------------------------------------------------------------------------------------


def test_what_is_not_http_reaches_the_application_as_it_was() -> None:
    """A proxy's or TLS's word, and what clients and middleware put into an environ."""
    given = {
        "REMOTE_ADDR": "2001:db8::1", "REMOTE_PORT": "7", "REMOTE_USER": "ann", "SERVER_NAME": "shop",
        "SERVER_PORT": "443", "wsgi.url_scheme": "https", "test.object": object(), "wsgi.multithread": True,
    }  # fmt: skip
    seen = asked(make_environ(**given))
    assert {key: seen[key] for key in given} == given


def test_headers_cookies_and_credentials_arrive() -> None:
    given = {
        "HTTP_HOST": "shop.example:8080", "HTTP_COOKIE": "a=b; c=d", "HTTP_AUTHORIZATION": "Basic eDp5",
        "HTTP_X_TEXT": "gr\xfc\xdf", "CONTENT_TYPE": "text/plain",
    }  # fmt: skip
    seen = asked(make_environ(**given))
    assert {key: seen[key] for key in given} == given


def test_the_mount_point_is_given_back() -> None:
    seen = asked(make_environ(SCRIPT_NAME="/shop", PATH_INFO="/cart/1"))
    assert (seen["SCRIPT_NAME"], seen["PATH_INFO"], seen["RAW_URI"]) == ("/shop", "/cart/1", "/shop/cart/1")
    seen = asked(make_environ(SCRIPT_NAME="/shop", PATH_INFO=""))
    assert (seen["SCRIPT_NAME"], seen["PATH_INFO"]) == ("/shop", "")


@pytest.mark.parametrize("path", ["/", "/a b", "/%2F?#;=", "/gr\xc3\xbc\xc3\x9f", "//a//", "/\xff\x00"])
def test_any_path_arrives_as_it_was(path: str) -> None:
    assert asked(make_environ(PATH_INFO=path, QUERY_STRING="a=%20"))["PATH_INFO"] == path


def test_the_target_as_it_was_typed_is_sent_where_it_says_the_same() -> None:
    assert asked(make_environ(PATH_INFO="/a", RAW_URI="/%61"))["RAW_URI"] == "/%61"
    assert asked(make_environ(PATH_INFO="/b", RAW_URI="/%61"))["RAW_URI"] == "/b"


def test_a_query_is_sent_as_it_is_but_for_what_no_target_may_hold() -> None:
    assert asked(make_environ(QUERY_STRING="a=b%20c&d=[1]"))["QUERY_STRING"] == "a=b%20c&d=[1]"
    assert asked(make_environ(QUERY_STRING="a=b c#d"))["QUERY_STRING"] == "a=b%20c%23d"


def test_a_body_arrives_with_its_length() -> None:
    body = {"CONTENT_LENGTH": "4", "wsgi.input": io.BytesIO(b"bodyand more")}
    assert call(wire(echo), make_environ(REQUEST_METHOD="POST", **body))[2] == b"body"


@pytest.mark.parametrize("size", [0, 1, 64 * 1024, 200_000])
@pytest.mark.parametrize("how", [{"HTTP_TRANSFER_ENCODING": "chunked"}, {"wsgi.input_terminated": True}])
def test_a_body_of_unknown_length_is_sent_chunked(size: int, how: dict[str, Any]) -> None:
    through = wire(echo)
    given = {"wsgi.input": io.BytesIO(b"x" * size), **how}
    assert call(through, make_environ(REQUEST_METHOD="POST", **given))[2] == b"x" * size
    framed = b"Transfer-Encoding: chunked\r\n" in through.exchanges[-1].request
    assert framed is (size > 0 or "HTTP_TRANSFER_ENCODING" in how)


def test_a_body_of_unknown_length_has_one_in_http_1_0() -> None:
    given = {"wsgi.input": io.BytesIO(b"body"), "wsgi.input_terminated": True}
    assert call(wire(echo), make_environ(REQUEST_METHOD="POST", SERVER_PROTOCOL="HTTP/1.0", **given))[2] == b"body"


def test_a_body_that_was_sent_can_be_sent_again() -> None:
    """Clients do, when they are redirected with 307 or 308."""
    environ = make_environ(CONTENT_LENGTH="4", **{"wsgi.input": io.BytesIO(b"body")})
    for _ in range(2):
        assert call(wire(echo), environ)[2] == b"body"


def test_a_wire_beneath_another_that_is_strict_is_no_fault() -> None:
    environ = make_environ(CONTENT_LENGTH="4", **{"wsgi.input": io.BytesIO(b"body")})
    assert call(wire(wire(echo), strict=True), environ)[2] == b"body"


def test_a_length_may_be_a_number_and_stand_in_the_headers_too() -> None:
    """As careless clients have it; the application sees what it sees from a server."""
    given = {"CONTENT_LENGTH": 4, "HTTP_CONTENT_LENGTH": 9, "HTTP_CONTENT_TYPE": "a/b", "CONTENT_TYPE": "text/plain"}
    seen = asked(make_environ(**given, **{"wsgi.input": io.BytesIO(b"body")}))
    assert (seen["CONTENT_LENGTH"], seen["CONTENT_TYPE"]) == ("4", "text/plain")
    assert not {"HTTP_CONTENT_LENGTH", "HTTP_CONTENT_TYPE"} & seen.keys()


def test_input_that_nobody_said_would_end_is_not_read() -> None:
    assert call(wire(echo), make_environ(**{"wsgi.input": None}))[2] == b""


@pytest.mark.parametrize("value", ["a\r\nX-Forged: b", "a\nb", "a\0b"])
def test_an_environ_that_no_client_could_send_is_refused(value: str) -> None:
    """A test must not forge a request by mistake."""
    with pytest.raises(NotSendable, match="X-A"):
        call(wire(hello), make_environ(HTTP_X_A=value))
    with pytest.raises(NotSendable, match="PATH_INFO"):
        call(wire(hello), make_environ(PATH_INFO="/\u20ac"))
    with pytest.raises(NotSendable, match="CONTENT_LENGTH"):
        call(wire(hello), make_environ(CONTENT_LENGTH="9", **{"wsgi.input": io.BytesIO(b"four")}))


@pytest.mark.parametrize("digits", [19, 20, 5000])
def test_a_content_length_that_no_body_can_have_is_left_to_the_server_to_refuse(digits: int) -> None:
    """RFC 9110 section 8.6: a recipient must anticipate large numerals; Python reads 4,300 digits at most."""
    assert call(wire(hello), make_environ(CONTENT_LENGTH="9" * digits))[0] == "413 Content Too Large"


def test_host_is_made_from_the_servers_name_where_there_is_none() -> None:
    assert write_request({"REQUEST_METHOD": "GET", "SERVER_NAME": "a", "SERVER_PORT": "80"}).endswith(
        b"Host: a\r\n\r\n"
    )
    assert b"Host: a:81\r\n" in write_request({"REQUEST_METHOD": "GET", "SERVER_NAME": "a", "SERVER_PORT": "81"})


def test_httpx_reaches_an_application_over_the_wire() -> None:
    with httpx.Client(transport=httpx.WSGITransport(app=wire(echo)), base_url="http://shop") as client:
        assert client.post("/", content=iter([b"one", b"two"])).content == b"onetwo"
        assert client.post("/", content=b"body").content == b"body"


def test_calls_on_several_threads_and_calls_within_calls_do_not_meet() -> None:
    inner = wire(echo)

    def outer(environ: Environ, start_response: Any) -> list[bytes]:
        body = environ["wsgi.input"].read()
        given = {"CONTENT_LENGTH": str(len(body)), "wsgi.input": io.BytesIO(body)}
        start_response("200 OK", [])
        return [call(inner, make_environ(**given))[2]]

    through = wire(outer)
    answers: dict[str, set[bytes]] = {}

    def ask(name: str) -> None:
        for _ in range(20):
            given = {"CONTENT_LENGTH": "1", "wsgi.input": io.BytesIO(name.encode())}
            answers.setdefault(name, set()).add(call(through, make_environ(**given))[2])

    threads = [threading.Thread(target=ask, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {name: {name.encode()} for name in "abc"}


# -- What is kept ------------------------------------------------------------------------------------------------------


def test_the_last_exchanges_are_kept_with_all_that_passed() -> None:
    through = wire(hello, keep=2)
    for number in range(3):
        environ = make_environ(QUERY_STRING=str(number))
        call(through, environ)
    assert [each.request[:7] for each in through.exchanges] == [b"GET /?1", b"GET /?2"]
    last = through.exchanges[-1]
    assert environ["wsgiserver.exchange"] is last
    assert last.environ is not None
    assert last.environ["QUERY_STRING"] == "2"
    assert last.calls == [("200 OK", [("Content-Type", "text/plain")], False)]
    assert last.response.endswith(b"\r\n\r\nhello")
    assert last.ended >= last.started
    assert last.error is None


def test_what_start_response_was_told_by_name_is_recorded_as_what_it_is() -> None:
    def application(environ: Environ, start_response: Any) -> list[bytes]:
        start_response(headers=[("Content-Type", "text/plain")], status="200 OK")
        return [b"hello"]

    through = wire(application)
    call(through, make_environ())
    assert through.exchanges[-1].calls == [("200 OK", [("Content-Type", "text/plain")], False)]


def test_an_exchange_that_failed_is_kept_with_its_error() -> None:
    through = wire(failing)
    with pytest.raises(Broken):
        call(through)
    assert isinstance(through.exchanges[-1].error, Broken)
    assert str(through.exchanges[-1]).endswith("\n! Broken: here")


def test_an_exchange_shows_itself_line_by_line() -> None:
    through = wire(answering([b"a\x1b[31m\nb"], ("Date", "now"), ("Server", "me")))
    call(through, make_environ(HTTP_COOKIE="id=7"))
    assert str(through.exchanges[-1]).splitlines() == [
        "> GET / HTTP/1.1",
        "> Host: 127.0.0.1",
        "> Cookie: ***",
        "< HTTP/1.1 200 OK",
        "< Date: now",
        "< Server: me",
        "< Content-Length: 8",
        "<",
        "< a\\x1b[31m",
        "< b",
    ]


def test_a_wire_tells_where_it_leads() -> None:
    assert isinstance(wire(hello), Wire)
    assert "answering" in repr(wire(hello))


# -- WireClient --------------------------------------------------------------------------------------------------------


def test_pipelined_requests_are_answered_in_order() -> None:
    client = WireClient(echo)
    post = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n"
    assert [response.body for response in client.send(post + b"1" + GET + post + b"2")] == [b"1", b"", b"2"]
    assert len(client.responses) == len(client.exchanges) == len(client.environs) == 3


def test_a_request_may_come_byte_by_byte() -> None:
    assert [response.text for response in WireClient(hello).send(GET, at_once=1)] == ["hello"]


def test_a_chunked_body_goes_out_and_comes_back() -> None:
    client = WireClient(lambda environ, start: start("200 OK", []) and iter([environ["wsgi.input"].read(), b"!"]))
    response = client.request("POST", "/", body=[b"one", b"two"])
    assert (response.body, response.chunks, response.complete) == (b"onetwo!", [b"onetwo", b"!"], True)


@pytest.mark.parametrize("body", [b"body", bytearray(b"body"), memoryview(b"body"), [b"bo", b"dy"]])
def test_a_request_is_framed_once_by_the_caller_or_by_the_client(body: Any) -> None:
    client = WireClient(echo)
    assert client.request("POST", body=body).body == b"body"
    assert client.request("POST", "/", iter([("content-length", "4")]), body).body == b"body"
    with pytest.raises(TypeError, match="encode"):
        client.request("POST", body="body")


@pytest.mark.parametrize("body", [b"4\r\nbody\r\n0\r\n\r\n", [b"bo", b"dy"]])
def test_a_body_that_the_caller_says_is_chunked_is_sent_so_once(body: Any) -> None:
    client = WireClient(echo)
    assert client.request("POST", "/", [("Transfer-Encoding", "chunked")], body).body == b"body"
    assert client.sent.count(b"Transfer-Encoding") == 1


def test_a_client_that_expects_leave_gets_it_before_the_answer() -> None:
    """RFC 9110 section 10.1.1."""
    client = WireClient(echo)
    head = b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n"
    assert [response.code for response in client.send(head)] == [100]
    assert [(response.code, response.body) for response in client.send(b"body")] == [(200, b"body")]


def test_a_half_closed_connection_still_gets_its_answer() -> None:
    client = WireClient(hello)
    client.stream.ended = True
    assert [response.code for response in client.send(GET)] == [200]
    assert client.end == "closed"


def test_deadlines_pass_on_the_clock_of_the_test() -> None:
    client = WireClient(hello, timeout_head=5, timeout_keep_alive=7, now=1000)
    client.send(GET)
    assert client.wait(6.9) == []
    assert client.end == ""
    client.send(b"GET / HT")
    assert [response.code for response in client.wait(5.1)] == [408]


def test_an_idle_connection_is_closed_in_silence() -> None:
    client = WireClient(hello)
    client.send(GET)
    assert client.state is State.IDLE
    assert client.wait(16) == []
    assert client.end == "closed"


def test_a_client_that_leaves_is_noticed() -> None:
    client = WireClient(hello)
    client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n")
    client.vanish()
    assert client.state is State.CLOSED
    assert client.environs == []


def test_a_request_that_breaks_a_rule_is_refused_and_another_connection_not_needed_to_see_it() -> None:
    client = WireClient(hello)
    assert [response.code for response in client.send(GET + b"nonsense\r\n\r\n")] == [200, 400]
    assert client.end == "shut"


def test_head_is_read_without_a_body() -> None:
    client = WireClient(hello)
    responses = client.send(GET.replace(b"GET", b"HEAD") + GET)
    assert [(each.get("content-length"), each.body) for each in responses] == [("5", b""), ("5", b"hello")]


def test_what_the_application_raises_is_kept_or_raised() -> None:
    client = WireClient(failing)
    assert client.request("GET").code == 500
    assert [type(error) for error in client.errors] == [Broken]
    assert "Broken: here" in client.log.getvalue()
    with pytest.raises(Broken):
        WireClient(failing, raise_errors=True).request("GET")


def test_a_response_that_was_cut_says_so() -> None:
    client = WireClient(failing_later)
    response = client.request("GET")
    assert (response.body, response.complete, client.end) == (b"half", False, "shut")


def test_a_request_that_nobody_answers_is_an_error() -> None:
    client = WireClient(hello)
    client.finish()
    with pytest.raises(ConnectionError, match="closed"):
        client.request("GET")


# -- The reader of responses -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/2 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\nA: b\n\r\n\r\n",
        b"HTTP/1.1 200\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA : b\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA: b\r\n folded\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA: b\rc\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\na",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n",
    ],
)
def test_bytes_that_break_a_rule_are_no_response(data: bytes) -> None:
    with pytest.raises(BrokenResponse):
        read_response(data, "GET", ended=False)


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n",
    ],
)
def test_a_response_is_whole_with_its_last_byte_and_not_before(data: bytes) -> None:
    for end in range(len(data)):
        assert read_response(data[:end], "GET", ended=False) is None
    response = read_response(data + b"HTTP/1.1 ", "GET", ended=False)
    assert response is not None
    assert (response.body, response.raw, response.complete) == (b"hello", data, True)


def test_the_text_of_a_response_is_read_in_its_charset() -> None:
    data = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=latin-1\r\nContent-Length: 1\r\n\r\n\xfc"
    response = read_response(data, "GET", ended=True)
    assert response is not None
    assert response.text == "\xfc"


@pytest.mark.parametrize("charset", ["unknown", "hex", "idna"])
def test_a_charset_that_does_not_decode_is_read_as_utf_8(charset: str) -> None:
    client = WireClient(answering(["ü".encode() + b"\xff"], ("Content-Type", f"text/plain; charset={charset}")))
    assert client.request("GET").text == "ü\\xff"
