"""What a live server under test records of the bytes on its sockets, whichever way they go."""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from wsgiserver.recording import KEPT, recordings_of
from wsgiserver.site import Environ
from wsgiserver.sockets import Stream
from wsgiserver.testing import RECORDINGS, LiveServer, WireClient

SLOW = 30.0


def echo(environ: Environ, start_response: Any) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [environ["PATH_INFO"].encode() + environ["wsgi.input"].read()]


def get(path: str, *lines: str) -> bytes:
    return "".join(f"{line}\r\n" for line in (f"GET {path} HTTP/1.1", "Host: a", *lines, "")).encode()


def post(path: str, body: bytes, *lines: str) -> bytes:
    head = (f"POST {path} HTTP/1.1", "Host: a", f"Content-Length: {len(body)}", *lines, "")
    return "".join(f"{line}\r\n" for line in head).encode() + body


CHUNKED = b"POST /3 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;e=f\r\nabc\r\n0\r\nTrailer: t\r\n\r\n"


@pytest.fixture
def live(at_the_end: ExitStack) -> Callable[..., LiveServer]:
    """Give ``live(app, **settings)``: a live server, stopped when the test is over."""

    def start(application: Any, **settings: Any) -> LiveServer:
        return at_the_end.enter_context(LiveServer(application, **settings))

    return start


def test_an_exchange_is_kept_as_the_bytes_that_passed(live: Any, connect: Any) -> None:
    server = live(echo)
    client = connect(server)
    for number in range(3):
        request = post(f"/{number}", b"\x00body\xff")
        assert client.send(request).response().content == b"/%d\x00body\xff" % number
        recording = server.exchanges[number]
        assert recording.request == request
        assert recording.response.startswith(b"HTTP/1.1 200 OK\r\n")
        assert recording.response.endswith(b"\r\n\r\n/%d\x00body\xff" % number)
        assert (recording.request_size, recording.response_size) == (len(request), len(recording.response))
        assert recording.exchange is server.requests[number]


@pytest.mark.parametrize("cut", [1, 20, 45, 60, 100, 103, 140, 180, 210, 230])
def test_requests_that_were_sent_at_once_are_told_apart(live: Any, connect: Any, cut: int) -> None:
    server = live(echo)
    requests = [get("/1"), post("/2", b"body\r\n\r\n"), CHUNKED, b"\r\n" + get("/4", "Connection: close")]
    data = b"".join(requests)
    connect(server).send(data[:cut]).send(data[cut:]).rest()
    server.wait_idle(SLOW)
    assert [each.request for each in server.exchanges] == requests
    assert [each.response.count(b"HTTP/1.1 200 OK") for each in server.exchanges] == [1, 1, 1, 1]
    assert [each.response.partition(b"\r\n\r\n")[2] for each in server.exchanges] == [
        *(b"/1", b"/2body\r\n\r\n", b"/3abc", b"/4")
    ]


def test_an_interim_response_belongs_to_its_exchange(live: Any, connect: Any) -> None:
    server = live(echo)
    client = connect(server)
    request = post("/", b"body", "Expect: 100-continue")
    assert client.send(request[:-4]).stream.readline() == b"HTTP/1.1 100 Continue\r\n"
    assert client.stream.readline() == b"\r\n"
    assert client.send(request[-4:]).response().content == b"/body"
    (recording,) = server.exchanges
    assert recording.request == request
    assert recording.response.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n")


SIZE = 20_000_000


def large(environ: Environ, start_response: Any) -> list[bytes]:
    start_response("200 OK", [])
    return [b"a" * SIZE]


def in_chunks(environ: Environ, start_response: Any) -> Iterator[bytes]:
    start_response("200 OK", [])
    for _ in range(20):
        yield b"b" * (SIZE // 20)


def a_file(environ: Environ, start_response: Any) -> Any:
    start_response("200 OK", [])
    return environ["wsgi.file_wrapper"](open(environ["PATH_INFO"], "rb"))


@pytest.mark.parametrize("application", [large, in_chunks, a_file])
def test_however_a_response_leaves_and_in_how_many_pieces_all_of_it_is_counted(
    live: Any, connect: Any, tmp_path: Path, application: Any
) -> None:
    """It is sent with one call of the system or another, each of which takes a part of it."""
    server = live(application)
    path = tmp_path / "file"
    path.write_bytes(b"c" * SIZE)
    response = connect(server).send(get(str(path), "Connection: close")).rest()
    server.wait_idle(SLOW)
    (recording,) = server.exchanges
    assert recording.response == response[:KEPT]
    assert recording.response_size == len(response) > SIZE


def test_of_a_client_that_has_left_what_it_was_sent_is_kept(live: Any, connect: Any) -> None:
    server = live(in_chunks)
    client = connect(server)
    client.send(get("/")).stream.read(10)
    client.close()
    server.wait_idle(SLOW)
    (recording,) = server.exchanges
    assert recording.response.startswith(b"HTTP/1.1 200 OK\r\n")
    assert 10 < recording.response_size < SIZE
    assert str(recording).splitlines()[-1].startswith("! ClientGone: ")


def test_bytes_that_pass_while_another_request_is_computed_are_kept_too(live: Any, connect: Any) -> None:
    """Other servers then receive and send past their streams."""
    server = live(echo, threads=2)
    come, go = threading.Event(), threading.Event()

    def slow(environ: Environ, start_response: Any) -> list[bytes]:
        if environ["PATH_INFO"] == "/slow":
            environ["wsgiserver.will_block"]()
            come.set()
            assert go.wait(SLOW)
        return echo(environ, start_response)

    server.set_app(slow)
    waiting = connect(server).send(get("/slow"))
    assert come.wait(SLOW)
    client = connect(server)
    for number in range(3):
        client.get(f"/{number}")
    go.set()
    waiting.response()
    assert [each.request.split()[1] for each in server.exchanges] == [b"/slow", b"/0", b"/1", b"/2"]
    assert [each.response.rpartition(b"/")[2] for each in server.exchanges] == [b"slow", b"0", b"1", b"2"]


def test_what_is_under_way_is_shown_as_far_as_it_is(live: Any, connect: Any) -> None:
    go = threading.Event()

    def slow(environ: Environ, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [("Content-Length", "4")])
        yield b"ab"
        assert go.wait(SLOW)
        yield b"cd"

    server = live(slow)
    client = connect(server).send(get("/"))
    while client.stream.readline() != b"\r\n":
        pass
    assert client.stream.read(2) == b"ab"
    (recording,) = server.exchanges
    assert recording.response.endswith(b"\r\n\r\nab")
    go.set()
    assert client.stream.read(2) == b"cd"
    assert recording.response.endswith(b"\r\n\r\nabcd")


def test_what_never_became_a_request_is_kept_too(live: Any, connect: Any) -> None:
    server = live(echo)
    connect(server).send(b"nonsense\r\n\r\n").rest()
    connect(server).send(b"GET /half HT").end().rest()
    refused, half = server.exchanges
    assert str(refused).startswith("> nonsense\n< HTTP/1.1 400 Bad Request\n")
    assert str(half) == "> GET /half HT"
    assert half.exchange is None


def test_the_last_exchanges_are_kept_until_all_is_forgotten(live: Any, connect: Any) -> None:
    server = live(echo)
    client = connect(server)
    for number in range(RECORDINGS + 2):
        client.get(f"/{number}")
    assert [each.request.split()[1] for each in server.exchanges] == [b"/%d" % (n + 2) for n in range(RECORDINGS)]
    server.wait_idle(SLOW)
    server.forget()
    assert server.exchanges == []
    client.get("/after")
    assert [each.request.split()[1] for each in server.exchanges] == [b"/after"]


def test_of_long_messages_the_begin_is_kept_and_their_size(live: Any, connect: Any) -> None:
    server = live(echo)
    request = post("/", b"a=b&password=confidential&" + b"x" * 1_000_000)
    client = connect(server)
    client.send(request).response()
    (recording,) = server.exchanges
    assert recording.request == request[:KEPT]
    assert recording.request_size == len(request)
    text = str(recording)
    assert f"> ... {len(request)} octets in all\n" in text
    assert f"< ... {recording.response_size} octets in all" in text
    assert len(text) < 2 * KEPT
    assert "confidential" not in text
    client.get("/next")
    assert server.exchanges[-1].request.startswith(b"GET /next ")


def test_clients_of_a_unix_socket_are_told_apart(live: Any, connect: Any, tmp_path: Path) -> None:
    server = live(echo, bind=f"unix:{tmp_path / 's'}")
    first, second = connect(server), connect(server)
    first.send(get("/1")[:-2])
    second.get("/2")
    first.send(b"\r\n").response()
    assert [each.response.rpartition(b"/")[2] for each in sorted(server.exchanges, key=lambda each: each.request)] == [
        *(b"1", b"2")
    ]


def test_what_records_is_no_part_of_what_observers_see_of_the_client(live: Any, connect: Any) -> None:
    server = live(echo)
    client = connect(server)
    client.get()
    peer = server.wait_for().peer
    assert type(peer) is str
    assert peer == "{}:{}".format(*client.socket.getsockname())


def test_the_exchanges_of_a_connection_in_memory_are_told_apart() -> None:
    client = WireClient(echo)
    head = post("/4", b"", "Expect: 100-continue").replace(b"Length: 0", b"Length: 4")
    for data in (get("/1") + post("/2", b"body"), CHUNKED, head, b"body", get("/5", "Connection: close"), get("/6")):
        client.send(data)
    recordings = recordings_of(client)
    assert [each.request for each in recordings] == [
        *(get("/1"), post("/2", b"body"), CHUNKED, head + b"body", get("/5", "Connection: close"), get("/6"))
    ]
    assert [each.response.rpartition(b"/")[2] for each in recordings] == [
        *(b"1", b"2body", b"3abc", b"4body", b"5", b"")
    ]
    assert recordings[3].response.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n")
    assert [each.exchange for each in recordings] == [*client.exchanges, None]
    assert b"".join(each.response for each in recordings) == client.received


def test_other_servers_record_nothing(serve: Any, connect: Any) -> None:
    server = serve(echo)
    connect(server).get()
    assert [type(each.stream) for each in server._loop.connections.values()] == [Stream]
