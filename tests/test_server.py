"""The server as a library and as a process: it listens, answers over real sockets, stops, and leaves nothing behind."""

import contextlib
import gc
import hashlib
import http.client
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from conftest import PATIENCE

from wsgiserver import Server, baton, descriptors
from wsgiserver import serve as serve_until_signalled
from wsgiserver.addresses import AddressError, BindError
from wsgiserver.descriptors import make_room, share_descriptors
from wsgiserver.exchange import Exchange
from wsgiserver.signals import Signals
from wsgiserver.site import Environ
from wsgiserver.sockets import Stream

ROOT = Path(__file__).parents[1]
# More than the buffers of two sockets hold.
LARGE = bytes(range(256)) * 64 * 1024

pytestmark = pytest.mark.usefixtures("nothing_left")
needs_unix = pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="there are no Unix sockets here")
needs_signals = pytest.mark.skipif(sys.platform == "win32", reason="there are no POSIX signals here")


def has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


def answer(start_response: Any, body: bytes) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [body]


def hello(environ: Environ, start_response: Any) -> list[bytes]:
    return answer(start_response, b"hello")


def tell(*names: str) -> Any:
    """Make an application that answers with these variables of its environ, one a line."""

    def application(environ: Environ, start_response: Any) -> list[bytes]:
        return answer(start_response, "\n".join(str(environ.get(name)) for name in names).encode())

    return application


def echo(environ: Environ, start_response: Any) -> list[bytes]:
    return answer(start_response, environ["wsgi.input"].read())


class Gate:
    """An application whose answer to /wait is held back until the test lets it go."""

    def __init__(self) -> None:
        self.entered, self.open = threading.Event(), threading.Event()

    def __call__(self, environ: Environ, start_response: Any) -> list[bytes]:
        if environ["PATH_INFO"] == "/wait":
            self.entered.set()
            assert self.open.wait(PATIENCE)
        return answer(start_response, b"answered")


GET = b"GET / HTTP/1.1\r\nHost: test\r\n\r\n"
WAIT = b"GET /wait HTTP/1.1\r\nHost: test\r\n\r\n"


def refused(address: Any) -> bool:
    """Tell whether nobody listens there."""
    try:
        socket.create_connection(address, timeout=PATIENCE).close()
    except ConnectionRefusedError:
        return True
    return False


# Where it listens


def test_it_listens_when_with_returns() -> None:
    with Server(hello, bind="127.0.0.1:0") as server:
        host, port = server.address
        assert (host, port > 0) == ("127.0.0.1", True)
        assert server.url == f"http://127.0.0.1:{port}"
        assert server.urls == [server.url]
        client = http.client.HTTPConnection(host, port, timeout=PATIENCE)
        with contextlib.closing(client):
            client.request("GET", "/")
            assert client.getresponse().read() == b"hello"
    assert refused(server.address)


@needs_unix
def test_it_listens_on_several_addresses_at_once(connect: Any, tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    binds = ["127.0.0.1:0", f"unix:{path}", "127.0.0.1:0"]
    with Server(tell("SERVER_PORT"), bind=binds) as server:
        assert server.address == server.listeners[0].address
        assert server.urls == [listener.url for listener in server.listeners]
        bodies = [connect(listener.address).get().content for listener in server.listeners]
    assert bodies == [listener.port.encode() for listener in server.listeners]
    assert not os.path.exists(path)


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")
def test_it_serves_ipv6(serve: Any, connect: Any) -> None:
    server = serve(tell("REMOTE_ADDR", "SERVER_NAME"), bind="[::1]:0")
    assert server.url == f"http://[::1]:{server.address[1]}"
    assert connect(server).get().content == b"::1\n[::1]"


@needs_unix
def test_a_unix_socket_has_the_permissions_asked_for_and_goes_with_the_server(connect: Any, tmp_path: Path) -> None:
    path = tmp_path / "s"
    with Server(tell("REMOTE_ADDR"), bind=f"unix:{path}", unix_mode=0o620) as server:
        assert (server.address, server.url) == (str(path), f"unix:{path}")
        assert stat.S_IMODE(path.stat().st_mode) == 0o620
        assert connect(server).get().status == 200
    assert not path.exists()


def test_it_serves_a_socket_that_it_was_given_as_a_descriptor(connect: Any) -> None:
    listening = socket.create_server(("127.0.0.1", 0))
    address = listening.getsockname()
    with Server(hello, bind=f"fd:{listening.detach()}") as server:
        assert server.address == address
        assert connect(server).get().content == b"hello"
    assert refused(address)


def test_a_busy_port_is_told_in_one_line_and_nothing_stays_open(serve: Any) -> None:
    busy = serve(hello)
    other = Server(hello, bind=["127.0.0.1:0", f"127.0.0.1:{busy.address[1]}"])
    with pytest.raises(BindError) as raised:
        other.start()
    assert f":{busy.address[1]}" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_server_that_could_not_start_can_be_started_when_there_is_room(connect: Any) -> None:
    with Server(hello, bind="127.0.0.1:0") as busy:
        other = Server(hello, bind=["127.0.0.1:0", f"127.0.0.1:{busy.address[1]}"])
        with pytest.raises(BindError):
            other.start()
    with other:
        assert len(other.urls) == 2
        assert [connect(listener.address).get().status for listener in other.listeners] == [200, 200]


@pytest.mark.parametrize("name", ["address", "url"])
def test_before_the_start_there_is_no_address_to_tell(name: str) -> None:
    server = Server(hello, bind="127.0.0.1:0")
    with pytest.raises(RuntimeError, match="this server has not started: it listens nowhere yet"):
        getattr(server, name)
    assert server.urls == []


def test_an_address_that_cannot_be_read_is_an_error_of_its_own() -> None:
    with pytest.raises(AddressError):
        Server(hello, bind="nonsense").start()


# Its life


def test_it_cannot_be_started_twice(serve: Any, connect: Any) -> None:
    server = serve(hello)
    with pytest.raises(RuntimeError, match="started"):
        server.start()
    assert connect(server).get().content == b"hello"


def test_it_can_be_stopped_again_and_before_it_was_started() -> None:
    server = Server(hello, bind="127.0.0.1:0")
    server.stop()
    server.start()
    server.stop()
    server.stop()
    assert refused(server.address)


def test_a_stopped_server_that_is_asked_to_stop_does_nothing() -> None:
    """Its wake-up descriptor is closed, and the number may be somebody else's by now."""
    with Server(hello, bind="127.0.0.1:0") as server:
        pass
    with tempfile.TemporaryFile() as others:
        copies = [os.dup(others.fileno()) for _ in range(20)]
        try:
            server.ask_to_stop()
            assert others.seek(0, os.SEEK_END) == 0
        finally:
            for copy in copies:
                os.close(copy)


def test_an_exception_in_the_block_passes_and_the_server_is_stopped() -> None:
    with pytest.raises(LookupError, match="mine"), Server(hello, bind="127.0.0.1:0") as server:
        raise LookupError("mine")
    assert refused(server.address)


def test_it_can_be_started_used_and_stopped_on_threads_other_than_the_main_one(connect: Any) -> None:
    def whole_life() -> bytes:
        with Server(hello, bind="127.0.0.1:0") as server:
            return connect(server).get().content

    server = Server(hello, bind="127.0.0.1:0")
    with ThreadPoolExecutor(1) as one, ThreadPoolExecutor(1) as another:
        assert one.submit(whole_life).result(PATIENCE) == b"hello"
        one.submit(server.start).result(PATIENCE)
        assert connect(server).get().content == b"hello"
        another.submit(server.stop).result(PATIENCE)
    assert refused(server.address)


def test_a_server_serves_where_a_module_of_the_programs_stands_for_the_one_that_shows_tracebacks(
    connect: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As where a traceback.py lies beside the program."""
    monkeypatch.setitem(sys.modules, "traceback", ModuleType("traceback"))

    def application(environ: Environ, start_response: Any) -> list[bytes]:
        raise LookupError

    with Server(application, bind="127.0.0.1:0") as server:
        assert connect(server).get().status == 500
    assert "LookupError, whose traceback cannot be shown (module 'traceback' has no" in capsys.readouterr().err


def test_a_system_without_threads_to_be_had_is_told_of_once_and_served_on(
    serve: Any, connect: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[threading.Thread] = []

    def refuse(worker: threading.Thread) -> None:
        asked.append(worker)
        raise MemoryError

    def application(environ: Environ, start_response: Any) -> list[bytes]:
        environ["wsgiserver.will_block"]()
        return answer(start_response, b"hello")

    client = connect(serve(application))
    monkeypatch.setattr(baton, "HIRE_AGAIN", 0.0)
    monkeypatch.setattr(baton._Worker, "start", refuse)
    assert [client.get().content for _ in range(3)] == [b"hello"] * 3
    assert len(asked) >= 3
    told = capsys.readouterr().err
    assert told.startswith("wsgiserver: no more threads to be had (out of memory), so calls that block hold up others;")
    assert told.count("\n") == 1


def test_many_servers_in_one_process_do_not_disturb_each_other(connect: Any) -> None:
    servers = [Server(tell("SERVER_PORT"), bind="127.0.0.1:0", threads=1 + n % 2) for n in range(6)]
    for server in servers:
        server.start()
    try:
        clients = [connect(server) for server in servers]
        for stopping in (3, 0, 5, 1, 4, 2):
            told = [client.get().content for client in clients if client is not None]
            assert told == [str(s.address[1]).encode() for s, c in zip(servers, clients, strict=True) if c is not None]
            servers[stopping].stop()
            assert clients[stopping].rest() == b""
            clients[stopping] = None
    finally:
        for server in servers:
            server.stop()


@needs_signals
def test_no_signal_handler_is_touched_by_a_server_in_a_block() -> None:
    before = {number: signal.getsignal(number) for number in signal.Signals}
    with Server(hello, bind="127.0.0.1:0"):
        assert {number: signal.getsignal(number) for number in signal.Signals} == before


@needs_signals
def test_signals_are_given_back_once_and_then_stay_with_those_who_take_them() -> None:
    """A child process that is forked when ``serve`` has returned, beside a thread that is stuck, does so too."""
    with Signals() as signals:
        pass
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        signals.restore()
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


@needs_signals
def test_serve_off_the_main_thread_touches_no_signal_handler(connect: Any) -> None:
    before = {number: signal.getsignal(number) for number in signal.Signals}
    seen = []

    def use(server: Server) -> None:
        seen.append({number: signal.getsignal(number) for number in signal.Signals})
        seen.append(connect(server).get().content)
        server.ask_to_stop()

    settings = {"bind": "127.0.0.1:0", "access_log": False}
    thread = threading.Thread(target=serve_until_signalled, args=(hello,), kwargs={**settings, "on_start": use})
    thread.start()
    thread.join(PATIENCE)
    assert seen == [before, b"hello"]


@needs_signals
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_serve_on_the_main_thread_ends_with_a_signal_and_gives_the_handlers_back(number: int) -> None:
    if threading.current_thread() is not threading.main_thread():
        pytest.skip("the tests do not run on the main thread")
    before = signal.getsignal(number)
    addresses = []

    def interrupt(server: Server) -> None:
        addresses.append(server.address)
        os.kill(os.getpid(), number)

    serve_until_signalled(hello, bind="127.0.0.1:0", access_log=False, on_start=interrupt)
    assert signal.getsignal(number) is before
    assert refused(addresses[0])


def test_serve_writes_the_access_log_to_standard_output(connect: Any, capsys: pytest.CaptureFixture[str]) -> None:
    def use(server: Server) -> None:
        connect(server).get("/there", "Connection: close")
        server.ask_to_stop()

    thread = threading.Thread(
        target=serve_until_signalled, args=(hello,), kwargs={"bind": "127.0.0.1:0", "on_start": use}
    )
    thread.start()
    thread.join(PATIENCE)
    assert '"GET /there HTTP/1.1" 200 5' in capsys.readouterr().out


ENOUGH = 2 * 1000 + 4 * 16 + 64


@pytest.mark.parametrize(
    ("connections", "threads", "soft", "hard", "limit", "room"),
    [
        (1000, 16, 1024, 4096, ENOUGH, 1000),
        (1000, 16, 1024, ENOUGH, ENOUGH, 1000),
        (1000, 16, ENOUGH, ENOUGH, ENOUGH, 1000),
        (1000, 16, 65536, sys.maxsize, 65536, 1000),
        (1000, 16, sys.maxsize, sys.maxsize, sys.maxsize, 1000),
        (1000, 16, 1024, ENOUGH - 1, ENOUGH - 1, 999),
        (1000, 16, 1024, 1024, 1024, (1024 - 128) // 2),
        (1000, 1, 1024, 1024, 1024, (1024 - 68) // 2),
        (100, 16, 1024, 1024, 1024, 100),
        (1000, 16, 128, 128, 128, 32),
        (1000, 16, 40, 40, 40, 10),
        (10, 16, 40, 40, 40, 10),
    ],
)
def test_descriptors_are_shared_between_connections_and_the_application(
    connections: int, threads: int, soft: int, hard: int, limit: int, room: int
) -> None:
    assert share_descriptors(connections, threads, soft, hard) == (limit, room)


def test_a_server_in_a_block_leaves_the_limit_of_descriptors_to_its_program(
    serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("resource", reason="this system has no limits on descriptors")
    monkeypatch.setattr(descriptors, "setrlimit", None)
    assert serve(hello, limit_connections=100_000_000).settings.limit_connections == 100_000_000


def test_where_the_limit_of_descriptors_cannot_be_raised_there_are_fewer_connections(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The system may have another limit than the one that it tells."""
    resource = pytest.importorskip("resource", reason="this system has no limits on descriptors")

    def fail(*arguments: Any) -> None:
        raise ValueError("current limit exceeds maximum limit")

    monkeypatch.setattr(descriptors, "getrlimit", lambda kind: (256, resource.RLIM_INFINITY))
    monkeypatch.setattr(descriptors, "setrlimit", fail)
    assert make_room(1000, 16) == 64


def test_observers_see_each_exchange_or_at_once_those_of_a_turn(connect: Any) -> None:
    class OfTurns:
        def __init__(self) -> None:
            self.turns: list[list[Exchange]] = []

        def observe_turn(self, exchanges: Sequence[Exchange]) -> None:
            self.turns.append([*exchanges])

    seen: list[Exchange] = []
    observer = OfTurns()
    with Server(echo, bind="127.0.0.1:0", observers=[observer, seen.append]) as server:
        client = connect(server)
        client.get("/one")
        client.send(b"POST /two HTTP/1.1\r\nHost: test\r\nContent-Length: 3\r\n\r\nabc").response()
        peer = "{}:{}".format(*client.socket.getsockname())
    told = [(e.request.path, e.status, e.body_received, e.body_sent, e.complete, e.peer) for e in seen]
    assert told == [("/one", "200 OK", 0, 0, True, peer), ("/two", "200 OK", 3, 3, True, peer)]
    assert observer.turns == [[exchange] for exchange in seen]


# Stopping


def test_stopping_closes_idle_connections_at_once(connect: Any) -> None:
    with Server(hello, bind="127.0.0.1:0") as server:
        asked, silent = connect(server), connect(server)
        assert asked.get().getheader("Connection") is None
    assert asked.rest() == silent.rest() == b""


def test_what_an_application_has_not_finished_to_say_is_said_when_the_server_stops(
    connect: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    def application(environ: Environ, start_response: Any) -> list[bytes]:
        environ["wsgi.errors"].write("without an end")
        return answer(start_response, b"hello")

    with Server(application, bind="127.0.0.1:0") as server:
        client = connect(server)
        client.get()
        assert capsys.readouterr().err == ""
    assert capsys.readouterr().err == "without an end\n"


def test_an_exchange_under_way_is_answered_with_connection_close(serve: Any, connect: Any) -> None:
    gate = Gate()
    server = serve(gate, threads=4)
    idle, client = connect(server), connect(server)
    idle.get()
    client.send(WAIT)
    assert gate.entered.wait(PATIENCE)
    server.ask_to_stop()
    assert idle.rest() == b""  # so the loop has seen it
    gate.open.set()
    response = client.response()
    assert (response.status, response.content) == (200, b"answered")
    assert response.getheader("Connection") == "close"
    assert client.rest() == b""
    client.close()
    server.wait()


def test_with_one_thread_too_an_exchange_under_way_is_answered_with_connection_close(serve: Any, connect: Any) -> None:
    gate = Gate()
    server = serve(gate, threads=1)
    client = connect(server).send(WAIT)
    assert gate.entered.wait(PATIENCE)
    server.ask_to_stop()
    gate.open.set()
    response = client.response()
    assert (response.content, response.getheader("Connection")) == (b"answered", "close")
    assert client.rest() == b""


def test_requests_that_came_before_the_stop_are_answered(serve: Any, connect: Any) -> None:
    """More clients than a turn takes have asked while the only thread was busy."""
    gate = Gate()
    server = serve(gate, threads=1)
    clients = [connect(server) for _ in range(40)]
    for client in clients:
        client.get()
    first = connect(server).send(WAIT)
    assert gate.entered.wait(PATIENCE)
    for client in clients:
        client.send(GET)
    server.ask_to_stop()
    gate.open.set()
    assert first.response().content == b"answered"
    assert [client.response().content for client in clients] == [b"answered"] * 40


def test_stop_waits_for_the_answer(serve: Any, connect: Any) -> None:
    gate = Gate()
    server = serve(gate)
    idle, client = connect(server), connect(server)
    idle.get()
    client.send(WAIT)
    assert gate.entered.wait(PATIENCE)
    stopping = threading.Thread(target=server.stop)
    stopping.start()
    assert idle.rest() == b""
    assert stopping.is_alive()
    gate.open.set()
    assert client.response().content == b"answered"
    client.close()
    stopping.join(PATIENCE)
    assert not stopping.is_alive()


def test_a_download_under_way_is_sent_to_its_end(serve: Any, connect: Any) -> None:
    def stream(environ: Environ, start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", [])
        return (LARGE[start : start + 100_000] for start in range(0, len(LARGE), 100_000))

    server = serve(stream)
    client = connect(server).send(GET)
    assert client.stream.peek(1)
    server.ask_to_stop()
    response = client.response()
    assert response.content == LARGE
    assert client.rest() == b""


def test_a_client_that_never_reads_is_waited_for_no_longer_than_asked(connect: Any) -> None:
    """Also the thread that streams to it ends, and the iterable is closed, long before the send deadline."""
    closed = threading.Event()

    def endless(environ: Environ, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [])
        try:
            while True:
                yield LARGE
        finally:
            closed.set()

    with Server(endless, bind="127.0.0.1:0", timeout_send=3600, timeout_stop=0.01) as server:
        client = connect(server).send(GET)
        assert client.stream.peek(1)
    assert closed.wait(PATIENCE)
    with pytest.raises((ConnectionError, http.client.IncompleteRead)):
        client.response()


def test_a_body_that_only_the_end_of_the_connection_ends_is_seen_to_be_cut(connect: Any) -> None:
    """To HTTP/1.0 an orderly end would say that this was all (RFC 9112 section 8): only a reset says it was not."""
    leave = threading.Event()

    def application(environ: Environ, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [])
        yield b"half"
        assert leave.wait(PATIENCE)
        yield b"of it"

    with Server(application, bind="127.0.0.1:0", timeout_stop=0.01) as server:
        client = connect(server).send(b"GET / HTTP/1.0\r\n\r\n")
        while client.stream.readline() != b"\r\n":
            pass
        assert client.stream.read(4) == b"half"
    leave.set()
    with pytest.raises(ConnectionError):
        client.rest()


def test_a_large_answer_that_is_not_read_is_waited_for_no_longer_than_asked(connect: Any) -> None:
    with Server(lambda e, s: answer(s, LARGE), bind="127.0.0.1:0", timeout_send=3600, timeout_stop=0.01) as server:
        client = connect(server).send(GET)
        assert client.stream.peek(1)
    with pytest.raises((ConnectionError, http.client.IncompleteRead)):
        client.response()


def test_a_second_wish_to_stop_at_once_hastens_the_first(serve: Any, connect: Any) -> None:
    gate = Gate()
    server = serve(gate, timeout_stop=3600)
    idle, client = connect(server), connect(server)
    idle.get()
    client.send(WAIT)
    assert gate.entered.wait(PATIENCE)
    stopping = threading.Thread(target=server.stop)
    stopping.start()
    assert idle.rest() == b""
    server.stop(timeout=0)
    stopping.join(PATIENCE)
    ended = not stopping.is_alive()
    gate.open.set()
    assert ended


@pytest.mark.parametrize("threads", [1, 2])
def test_who_waits_for_the_server_learns_that_it_was_stopped_before_the_end(connect: Any, threads: int) -> None:
    gate = Gate()
    server = Server(gate, bind="127.0.0.1:0", threads=threads)
    server.start()
    connect(server).send(WAIT)
    assert gate.entered.wait(PATIENCE)
    waiting = threading.Thread(target=server.wait)
    waiting.start()
    server.stop(0)
    waiting.join(PATIENCE)
    told = not waiting.is_alive()
    gate.open.set()
    assert told
    assert server.over


UPLOAD = b"PUT /%s HTTP/1.1\r\nHost: test\r\nContent-Length: 9\r\n\r\nabc"
CUT = {
    "in the application": ([WAIT], "GET /wait"),
    "in a body": ([UPLOAD % b"\xff"], r"PUT /\xff"),
    "in a long target": ([UPLOAD % (b"x" * 300)], f"PUT /{'x' * 195}..."),
    "in a head": ([b"GET /no"], "one whose head was not whole"),
    "in a response": ([GET.replace(b"/", b"/large", 1)], "GET /large"),
    "in many": ([UPLOAD % b"%d" % number for number in range(5)], "PUT /0, PUT /1, PUT /2 and 2 more"),
}


@pytest.mark.parametrize(("sent", "named"), CUT.values(), ids=CUT)
def test_what_a_stop_does_not_wait_for_to_the_end_is_counted_and_named(
    connect: Any, capsys: pytest.CaptureFixture[str], sent: list[bytes], named: str
) -> None:
    gate = Gate()

    def application(environ: Environ, start_response: Any) -> Iterable[bytes]:
        return answer(start_response, LARGE) if environ["PATH_INFO"] == "/large" else gate(environ, start_response)

    with Server(application, bind="127.0.0.1:0", timeout_stop=0.01) as server:
        clients = [connect(server).send(data) for data in sent]
        if sent == [WAIT]:
            assert gate.entered.wait(PATIENCE)
        elif named == "GET /large":
            assert clients[0].stream.peek(1)
        assert connect(server).get().status == 200  # whatever was sent before was read
    gate.open.set()
    count = f"{len(sent)} request{'s' * (len(sent) > 1)}"
    assert capsys.readouterr().err == f"wsgiserver: stopped before the end of {count} under way: {named}\n"


@needs_signals
@needs_unix
def test_a_stop_says_that_it_waits_for_an_upload(command: Any, connect: Any, tmp_path: Path) -> None:
    process = command("apps.hello:app", "--no-access-log")
    client = connect(str(tmp_path / "s")).send(
        UPLOAD.replace(b"\r\n\r\nabc", b"\r\nExpect: 100-continue\r\n\r\n") % b""
    )
    assert client.stream.readline() == b"HTTP/1.1 100 Continue\r\n"
    process.send_signal(signal.SIGTERM)
    line = process.stderr.readline()
    assert line == "wsgiserver: 1 request under way; stopping in 30 s at the latest, or at a second signal\n"
    client.stream.readline()
    assert client.send(b"x" * 9).response().status == 200
    assert ended_well(process, tmp_path)


def test_a_response_that_has_left_is_not_cut_by_a_stop_while_its_application_goes_on(connect: Any) -> None:
    gate = Gate()
    body = b"x" * 200_000  # which the system takes from the server before the client takes it from there

    class Outlasting:
        def __iter__(self) -> Iterator[bytes]:
            return iter([body])

        def close(self) -> None:
            gate.entered.set()
            assert gate.open.wait(PATIENCE)

    def application(environ: Environ, start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Length", str(len(body)))])
        return Outlasting()

    left = threading.Event()
    with Server(application, bind="127.0.0.1:0", observers=[lambda exchange: left.set()], timeout_stop=0.01) as server:
        client = connect(server).send(GET)
        assert gate.entered.wait(PATIENCE)
        assert left.wait(PATIENCE)
    gate.open.set()
    assert client.response().content == body
    assert client.rest() == b""


def test_a_thread_left_in_the_application_leaves_nothing_when_it_returns(connect: Any, tmp_path: Path) -> None:
    """It comes back when the server is long closed, with a file to send (``nothing_left`` looks for its descriptor)."""
    entered, leave = threading.Event(), threading.Event()
    (tmp_path / "file").write_bytes(b"content")

    def late(environ: Environ, start_response: Any) -> Iterable[bytes]:
        entered.set()
        assert leave.wait(PATIENCE)
        start_response("200 OK", [])
        return environ["wsgi.file_wrapper"](open(tmp_path / "file", "rb"))

    with Server(late, bind="127.0.0.1:0", timeout_stop=0.01) as server:
        client = connect(server).send(GET)
        assert entered.wait(PATIENCE)
    leave.set()
    with contextlib.suppress(ConnectionError):
        assert client.rest() == b""


def test_a_server_that_a_thread_outlasts_is_kept_no_longer_than_that_thread(connect: Any) -> None:
    gate = Gate()
    before = set(threading.enumerate())
    with Server(gate, bind="127.0.0.1:0", timeout_stop=0.01) as server:
        connect(server).send(WAIT)
        assert gate.entered.wait(PATIENCE)
    kept = weakref.ref(server)
    del server
    gc.collect()
    assert kept() is not None
    gate.open.set()
    for thread in set(threading.enumerate()) - before:
        thread.join(PATIENCE)
    del thread  # which has the server too
    gc.collect()
    assert kept() is None


@pytest.mark.parametrize("where", ["loop.Loop._read", "baton.Baton._next"])
def test_a_fault_of_the_servers_own_ends_it_and_is_told_to_who_stops_it(
    connect: Any, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """On the leader as on a worker; else who waits for the end would wait for ever, and so would the clients."""

    def slow(environ: Environ, start_response: Any) -> list[bytes]:
        environ["wsgiserver.will_block"]()
        return hello(environ, start_response)

    def fail(*arguments: Any) -> None:
        raise MemoryError

    monkeypatch.setattr(threading, "excepthook", lambda report: None)
    server = Server(slow, bind="127.0.0.1:0")
    server.start()
    client = connect(server.address)
    assert client.get().status == 200
    monkeypatch.setattr(f"wsgiserver.{where}", fail)
    with contextlib.suppress(ConnectionError):  # the worker of the first request may have failed already
        client.send(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n")
    server.wait()
    assert server.over
    with pytest.raises(RuntimeError, match="the server failed") as failure:
        server.stop(0)
    assert isinstance(failure.value.__cause__, MemoryError)


def test_an_application_can_have_its_server_stopped(connect: Any) -> None:
    def application(environ: Environ, start_response: Any) -> list[bytes]:
        server.ask_to_stop()
        return answer(start_response, b"good bye")

    server = Server(application, bind="127.0.0.1:0")
    with server:
        response = connect(server).get()
        assert (response.content, response.getheader("Connection")) == (b"good bye", "close")
        server.wait()


# On the wire


def test_requests_follow_each_other_on_one_connection(serve: Any) -> None:
    server = serve(tell("REQUEST_METHOD", "PATH_INFO", "REMOTE_PORT"))
    with contextlib.closing(http.client.HTTPConnection(*server.address, timeout=PATIENCE)) as client:
        ports = set()
        for number in range(5):
            client.request("GET", f"/{number}")
            response = client.getresponse()
            method, path, port = response.read().decode().split("\n")
            assert (response.status, method, path) == (200, "GET", f"/{number}")
            ports.add(port)
    assert len(ports) == 1


def test_pipelined_requests_are_answered_in_order(serve: Any, connect: Any) -> None:
    """RFC 9112 section 9.3.2."""
    server = serve(tell("PATH_INFO"))
    paths = [f"/{number}" for number in range(500)]
    client = connect(server)
    client.send("".join(f"GET {path} HTTP/1.1\r\nHost: test\r\n\r\n" for path in paths).encode())
    assert [client.response().content.decode() for _ in paths] == paths


def test_a_slow_request_does_not_let_the_next_pipelined_one_overtake_it(serve: Any, connect: Any) -> None:
    gate = Gate()
    client = connect(serve(gate)).send(WAIT + b"HEAD / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")
    assert gate.entered.wait(PATIENCE)
    gate.open.set()
    assert client.response().content == b"answered"
    assert client.response("HEAD").getheader("Connection") == "close"
    assert client.rest() == b""


def test_http_1_0_ends_with_the_connection(serve: Any, connect: Any) -> None:
    client = connect(serve(hello)).send(b"GET / HTTP/1.0\r\n\r\n")
    head, _, body = client.rest().partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert body == b"hello"


def test_http_1_0_keep_alive_is_honoured(serve: Any, connect: Any) -> None:
    client = connect(serve(hello))
    for _ in range(2):
        response = client.send(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").response()
        assert (response.content, response.getheader("Connection")) == (b"hello", "keep-alive")


def test_a_chunked_upload_reaches_the_application_whole(serve: Any) -> None:
    """http.client sends an iterable in chunks; it is too large for the buffer in memory."""
    server = serve(echo, buffer_body=100_000)
    pieces = [LARGE[start : start + 70_001] for start in range(0, 1_000_000, 70_001)]
    with contextlib.closing(http.client.HTTPConnection(*server.address, timeout=PATIENCE)) as client:
        for body in (pieces, [b"one", b"two"], []):
            client.request("POST", "/", iter(body), encode_chunked=True, headers={"Transfer-Encoding": "chunked"})
            assert client.getresponse().read() == b"".join(body)


def test_a_request_that_comes_byte_by_byte_is_answered(serve: Any, connect: Any) -> None:
    client = connect(serve(echo))
    client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    request = b"POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
    for byte in request:
        client.send(bytes([byte]))
    assert client.response().content == b"hello"


def test_a_client_that_waits_for_leave_gets_it_before_it_sends(serve: Any, connect: Any) -> None:
    """RFC 9110 section 10.1.1."""
    client = connect(serve(echo))
    for _ in range(2):
        client.send(b"PUT / HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
        assert client.stream.readline() == b"HTTP/1.1 100 Continue\r\n"
        assert client.stream.readline() == b"\r\n"
        assert client.send(b"hello").response().content == b"hello"


def test_a_body_too_large_is_refused_instead_of_given_leave(serve: Any, connect: Any) -> None:
    client = connect(serve(echo, limit_body=4))
    client.send(b"PUT / HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
    assert client.response().status == 413
    assert client.rest() == b""


def test_an_error_answer_is_not_lost_when_the_client_goes_on_sending(serve: Any, connect: Any) -> None:
    """RFC 9112 section 9.6: the rest is read and dropped, so that no reset overtakes the answer."""
    client = connect(serve(echo, limit_body=4))
    client.send(b"PUT / HTTP/1.1\r\nHost: test\r\nContent-Length: 500000\r\n\r\n" + bytes(500_000))
    assert client.response().status == 413
    assert client.rest() == b""


def test_an_answer_to_head_has_no_body_and_the_connection_goes_on(serve: Any, connect: Any) -> None:
    client = connect(serve(hello))
    response = client.send(b"HEAD / HTTP/1.1\r\nHost: test\r\n\r\n").response("HEAD")
    assert (response.getheader("Content-Length"), response.content) == ("5", b"")
    assert client.get().content == b"hello"


@pytest.mark.parametrize("pieces", [1, 3, 1000])
def test_a_large_response_arrives_whole_when_the_client_is_slow_to_begin(serve: Any, connect: Any, pieces: int) -> None:
    size = len(LARGE) // pieces + 1

    def application(environ: Environ, start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return [LARGE[start : start + size] for start in range(0, len(LARGE), size)]

    server = serve(application)
    slow, quick = connect(server), connect(server)
    slow.send(GET)
    assert quick.get().content == LARGE
    assert slow.response().content == LARGE


def test_a_block_leaves_whole_while_the_application_makes_the_next(serve: Any, connect: Any) -> None:
    """PEP 3333, "Buffering and Streaming": the server must not delay the transmission of any block.

    The first block is more than the sockets hold and less than the high-water mark. The second is made only when
    the client has all of the first.
    """
    arrived = threading.Event()

    def application(environ: Environ, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [("Content-Length", str(len(LARGE) + 3))])
        yield LARGE
        arrived.wait(PATIENCE)
        yield b"end"

    client = connect(serve(application, buffer_response=2 * len(LARGE))).send(GET)
    client.socket.settimeout(PATIENCE / 3)
    try:
        while client.stream.readline() != b"\r\n":
            pass
        assert client.stream.read(len(LARGE)) == LARGE
    finally:
        arrived.set()
    assert client.stream.read(3) == b"end"


def test_a_download_is_sent_from_its_file(serve: Any, connect: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(LARGE)

    def application(environ: Environ, start_response: Any) -> Iterable[bytes]:
        file = open(tmp_path / "file", "rb")  # noqa: SIM115 - the server closes it
        file.seek(1000)
        start_response("200 OK", [])
        return environ["wsgi.file_wrapper"](file)

    server = serve(application)
    slow, client = connect(server), connect(server)
    slow.send(GET)
    for _ in range(2):
        response = client.get()
        assert response.getheader("Content-Length") == str(len(LARGE) - 1000)
        assert response.content == LARGE[1000:]
    assert client.send(b"HEAD / HTTP/1.1\r\nHost: test\r\n\r\n").response("HEAD").content == b""
    assert client.send(b"GET / HTTP/1.0\r\n\r\n").response().content == LARGE[1000:]
    assert slow.response().content == LARGE[1000:]


def test_a_file_without_start_response_is_a_500_and_not_left_open(serve: Any, connect: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"content")

    def application(environ: Environ, start_response: Any) -> Iterable[bytes]:
        return environ["wsgi.file_wrapper"](open(tmp_path / "file", "rb"))

    client = connect(serve(application))
    assert [client.get().status, client.get().status] == [500, 500]


def test_the_answer_still_comes_when_the_client_has_closed_its_sending_side(serve: Any, connect: Any) -> None:
    gate = Gate()
    client = connect(serve(gate)).send(WAIT).end()
    assert gate.entered.wait(PATIENCE)
    gate.open.set()
    assert client.response().content == b"answered"
    assert client.rest() == b""


def test_pipelined_requests_are_all_answered_when_the_client_has_closed_its_sending_side(
    serve: Any, connect: Any
) -> None:
    client = connect(serve(hello)).send(GET * 20).end()
    assert [client.response().content for _ in range(20)] == [b"hello"] * 20
    assert client.rest() == b""


@pytest.mark.parametrize("threads", [1, 4])
def test_several_clients_are_served_at_once(serve: Any, connect: Any, threads: int) -> None:
    server = serve(echo, threads=threads)

    def talk(number: int) -> list[bytes]:
        client = connect(server)
        bodies = [f"{number}/{turn}".encode() * (1 + turn * 1000) for turn in range(20)]
        for body in bodies:
            client.send(b"POST / HTTP/1.1\r\nHost: test\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            assert client.response().content == body
        return bodies

    with ThreadPoolExecutor(16) as pool:
        assert len(list(pool.map(talk, range(16)))) == 16


def test_applications_run_side_by_side_as_far_as_there_are_threads(serve: Any, connect: Any) -> None:
    """All four must be in the application at the same time for any of them to be answered."""
    together = threading.Barrier(4, timeout=PATIENCE)

    def application(environ: Environ, start_response: Any) -> list[bytes]:
        together.wait()
        return answer(start_response, b"met")

    server = serve(application, threads=4)
    clients = [connect(server).send(GET) for _ in range(4)]
    assert [client.response().content for client in clients] == [b"met"] * 4


def test_a_quick_request_does_not_wait_for_a_slow_one(serve: Any, connect: Any) -> None:
    gate = Gate()
    server = serve(gate)
    slow = connect(server).send(WAIT)
    assert gate.entered.wait(PATIENCE)
    assert connect(server).get().content == b"answered"
    gate.open.set()
    assert slow.response().content == b"answered"


def test_a_client_that_leaves_while_the_application_yields_ends_it(serve: Any, connect: Any) -> None:
    closed = threading.Event()

    def endless(environ: Environ, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [])
        try:
            while True:
                yield b"x" * 1000
        finally:
            closed.set()

    server = serve(endless)
    client = connect(server).send(GET)
    assert client.stream.peek(1)
    client.close()
    assert closed.wait(PATIENCE)


@pytest.mark.usefixtures("capsys")
def test_what_the_application_raises_stops_nothing(serve: Any, connect: Any) -> None:
    errors = {"/exit": SystemExit, "/interrupt": KeyboardInterrupt, "/error": ValueError}

    def application(environ: Environ, start_response: Any) -> list[bytes]:
        if environ["PATH_INFO"] in errors:
            raise errors[environ["PATH_INFO"]]
        return answer(start_response, b"hello")

    client = connect(serve(application))
    assert [client.get(path).status for path in errors] == [500, 500, 500]
    assert client.get().content == b"hello"


def test_an_upload_that_cannot_be_kept_is_refused_and_the_server_goes_on(
    serve: Any, connect: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A disk that is full or missing is nobody's bad request: 500 or more, and others are served."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    server = serve(echo, buffer_body=1000)
    client = connect(server).send(b"PUT / HTTP/1.1\r\nHost: test\r\nContent-Length: 100000\r\n\r\n" + bytes(100_000))
    assert client.response().status >= 500
    assert connect(server).get().status == 200


def test_a_client_for_whose_bytes_there_is_no_memory_is_let_go_and_the_server_goes_on(serve: Any, connect: Any) -> None:
    def fail(size: int) -> bytes:
        raise MemoryError

    class Unlucky(Stream):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            self.recv = fail

    server = serve(hello)
    other = connect(server)
    assert other.get().status == 200
    server.listeners[0].stream = Unlucky
    assert connect(server).rest() == b""
    server.listeners[0].stream = Stream
    assert other.get().status == connect(server).get().status == 200


@pytest.mark.parametrize("length", [0, 9], ids=["no body", "a body"])
def test_a_client_for_whose_environ_there_is_no_memory_is_let_go_and_the_server_goes_on(
    serve: Any, connect: Any, monkeypatch: pytest.MonkeyPatch, length: int
) -> None:
    def fail_once(*of: Any) -> Any:
        monkeypatch.undo()
        raise MemoryError

    server = serve(hello, buffer_body=1)
    monkeypatch.setattr("wsgiserver.connection.make_environ", fail_once)
    with contextlib.suppress(ConnectionResetError):
        head = b"PUT / HTTP/1.1\r\nHost: test\r\nContent-Length: %d\r\n\r\n" % length
        assert connect(server).send(head + bytes(length)).rest() == b""
    assert connect(server).get().status == 200


def test_a_temporary_file_is_gone_with_its_request(serve: Any, connect: Any) -> None:
    """Whether the request is answered, or its client leaves before it is whole (``nothing_left`` looks for it)."""
    server = serve(echo, buffer_body=1000)
    body = LARGE[:100_000]
    client, leaver = connect(server), connect(server)
    head = b"PUT / HTTP/1.1\r\nHost: test\r\nContent-Length: 100000\r\n\r\n"
    assert client.send(head + body).response().content == body
    leaver.send(head + body[:50_000]).end()
    assert leaver.rest() == b""


# The command


SLEEPER = """
import time
def app(environ, start_response):
    if environ["PATH_INFO"] == "/wait":
        print("entered", flush=True)
        time.sleep(3600)
    start_response("200 OK", [])
    return [b"hello"]
"""


@pytest.fixture
def command(at_the_end: contextlib.ExitStack, tmp_path: Path) -> Callable[..., subprocess.Popen[str]]:
    """Give ``command(*arguments)``: a process that serves on a Unix socket in ``tmp_path``, and says when it does."""

    def start(*arguments: str, folder: Path = ROOT) -> subprocess.Popen[str]:
        pipe = subprocess.PIPE
        line = [sys.executable, "-m", "wsgiserver", "-b", f"unix:{tmp_path / 's'}", *arguments]
        process = at_the_end.enter_context(subprocess.Popen(line, stdout=pipe, stderr=pipe, text=True, cwd=folder))
        at_the_end.callback(process.kill)
        told = [process.stderr.readline()]  # type: ignore[union-attr]
        while told[-1] and "Ctrl+C" not in told[-1]:
            told.append(process.stderr.readline())  # type: ignore[union-attr]
        assert told[-1], told
        return process

    return start


def ended_well(process: subprocess.Popen[str], tmp_path: Path) -> bool:
    """Wait for the end of a process; tell whether it ended with status 0, and the socket file is gone.

    It may say that it waits for a request, and that it waited in vain.
    """
    _, errors = process.communicate(timeout=PATIENCE)
    waits = "1 request under way; stopping in [0-9.]+ s at the latest, or at a second signal"
    vain = "stopped before the end of 1 request under way: GET /wait"
    assert re.fullmatch(f"(wsgiserver: {waits}\n)?(wsgiserver: {vain}\n)?", errors)
    return process.returncode == 0 and not (tmp_path / "s").exists()


@needs_signals
@needs_unix
@pytest.mark.parametrize("number", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_ends_the_command_when_the_response_under_way_has_left(
    command: Any, connect: Any, tmp_path: Path, number: str
) -> None:
    process = command("apps.download:app")
    idle, client = connect(str(tmp_path / "s")), connect(str(tmp_path / "s"))
    assert idle.get("/?size=1").status == 200
    client.send(b"GET /?size=20000000 HTTP/1.1\r\nHost: test\r\n\r\n")
    assert client.stream.peek(1)
    process.send_signal(getattr(signal, number))
    assert idle.rest() == b""
    response = client.response()
    assert hashlib.sha256(response.content).hexdigest() == response.getheader("X-SHA-256")
    assert client.rest() == b""
    client.close()
    assert ended_well(process, tmp_path)


@needs_signals
@needs_unix
@pytest.mark.parametrize("threads", ["1", "8"])
def test_a_second_signal_ends_the_command_at_once(command: Any, connect: Any, tmp_path: Path, threads: str) -> None:
    (tmp_path / "sleeper.py").write_text(SLEEPER, encoding="utf-8")
    arguments = ["--timeout-stop", "3600", "--no-access-log", "--threads", threads]
    process = command("sleeper:app", *arguments, folder=tmp_path)
    idle, client = connect(str(tmp_path / "s")), connect(str(tmp_path / "s"))
    assert idle.get().status == 200
    client.send(WAIT)
    assert process.stdout.readline() == "entered\n"
    process.send_signal(signal.SIGTERM)
    if threads != "1":
        assert idle.rest() == b""  # so the first one was taken
    process.send_signal(signal.SIGINT)
    with contextlib.suppress(ConnectionError):
        assert client.rest() == b""
    assert ended_well(process, tmp_path)


@needs_signals
@needs_unix
def test_who_is_to_go_on_when_the_terminal_is_closed_does_so(connect: Any, command: Any, tmp_path: Path) -> None:
    """Under nohup, SIGHUP is ignored."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        process = command("apps.hello:app")
    finally:
        signal.signal(signal.SIGHUP, before)
    process.send_signal(signal.SIGHUP)
    assert connect(str(tmp_path / "s")).get().status == 200
    process.send_signal(signal.SIGTERM)
    assert ended_well(process, tmp_path)


@needs_signals
@needs_unix
def test_the_time_to_stop_is_bounded(command: Any, connect: Any, tmp_path: Path) -> None:
    (tmp_path / "sleeper.py").write_text(SLEEPER, encoding="utf-8")
    process = command("sleeper:app", "--timeout-stop", "0.01", "--no-access-log", folder=tmp_path)
    client = connect(str(tmp_path / "s")).send(WAIT)
    assert process.stdout.readline() == "entered\n"
    process.send_signal(signal.SIGTERM)
    with contextlib.suppress(ConnectionError):
        assert client.rest() == b""
    assert ended_well(process, tmp_path)
