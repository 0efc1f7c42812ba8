"""Real clients on real sockets that are slow, silent, gone or hostile: each costs one small object, and no thread.

After each test the server must still serve, have written nothing to its error output but what the test expects, and
leave no connection, thread or descriptor behind.
"""

import contextlib
import io
import os
import queue
import random
import select
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import IO, Any

import pytest
from conftest import PATIENCE

from wsgiserver import Server
from wsgiserver.connection import HEAD_RECEIVE_SIZE, Connection
from wsgiserver.exchange import Exchange
from wsgiserver.site import Environ
from wsgiserver.states import State

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
# More than the kernel keeps of a response for a client that reads nothing.
LARGE = b"0123456789abcdef" * (10 * 1024 * 1024 // 16)

needs_limits = pytest.mark.skipif(resource is None, reason="this system has no limits on descriptors to set")
needs_proc = pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="this system has no /proc")


def get(path: str, *lines: str) -> bytes:
    return "\r\n".join((f"GET {path} HTTP/1.1", "Host: a", *lines, "", "")).encode()


def post(length: int) -> bytes:
    return b"POST /length HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % length


CHUNKED = b"POST /length HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"


class Stream:
    """A body that never ends and knows its length not, and notes that it was closed."""

    def __init__(self, closed: threading.Event) -> None:
        self.closed = closed

    def __iter__(self) -> Iterator[bytes]:
        while True:
            yield b"s" * 65536

    def close(self) -> None:
        self.closed.set()


class App:
    """The application of these tests: what it answers stands in its path."""

    def __init__(self) -> None:
        self.paths: list[str] = []
        self.entered = threading.Semaphore(0)
        self.go_on = threading.Event()
        self.closed = threading.Event()
        self.file = b""

    def __call__(self, environ: Environ, start_response: Any) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        self.paths.append(path)
        start_response("200 OK", [("Content-Type", "text/plain")])
        if path == "/large":
            return [LARGE]
        if path == "/file":
            file = open(self.file, "rb")  # noqa: SIM115 - the server closes it
            return environ["wsgi.file_wrapper"](file)
        if path == "/stream":
            return Stream(self.closed)
        if path == "/wait":
            self.entered.release()
            assert self.go_on.wait(PATIENCE)
        if path == "/length":
            return [b"%d" % len(environ["wsgi.input"].read())]
        return [path.encode()]


class Client:
    """One client: a socket, and what it has read."""

    def __init__(self, address: Any, *, small: bool = False) -> None:
        self.socket = socket.socket()
        if small:  # before it connects, for then its window is told
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.socket.settimeout(PATIENCE)
        self.socket.connect(address)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.file = self.socket.makefile("rb")

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def response(self) -> tuple[int, bytes]:
        """Read one response that has a Content-Length; gives its status and its body."""
        line = self.file.readline()
        assert line.startswith(b"HTTP/1.1 "), line
        length = 0
        while (field := self.file.readline()) != b"\r\n":
            assert field.endswith(b"\r\n"), field
            if field.lower().startswith(b"content-length:"):
                length = int(field[15:])
        return int(line[9:12]), self.file.read(length)

    def ask(self, request: bytes = GET) -> tuple[int, bytes]:
        self.send(request)
        return self.response()

    def rest(self) -> bytes:
        """Read all that comes until the server closes."""
        return self.file.read()

    def gone(self) -> bool:
        """Whether the server has closed without another word; waits until something happens."""
        with contextlib.suppress(ConnectionResetError):
            return self.file.read(1) == b""
        return True

    def close(self) -> None:
        self.file.close()
        self.socket.close()

    def reset(self) -> None:
        """Leave with RST."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()


class House:
    """A server in this process, its clients, and what it has seen."""

    def __init__(self, app: App, **settings: Any) -> None:
        self.app = app
        self.exchanges: queue.SimpleQueue[Exchange] = queue.SimpleQueue()
        self.server = Server(app, bind="127.0.0.1:0", observers=[self.exchanges.put], **settings)
        self.clients: list[Client] = []

    def client(self, **options: Any) -> Client:
        self.clients.append(Client(self.server.address, **options))
        return self.clients[-1]

    def exchange(self) -> Exchange:
        """Wait for the next exchange to end."""
        return self.exchanges.get(timeout=PATIENCE)

    @property
    def connections(self) -> list[Connection]:
        assert self.server._loop is not None
        return list(self.server._loop.connections.values())

    @property
    def busy(self) -> int:
        """How many threads run an exchange beside the loop."""
        assert self.server._baton is not None
        return self.server._baton.busy

    def serve_until(self, condition: Callable[[], bool], what: str) -> None:
        """Ask the server for small things, as other clients would, until the condition holds."""
        until = time.monotonic() + PATIENCE
        other = Client(self.server.address)
        try:
            while not condition():
                assert time.monotonic() < until, f"in vain: {what}; there are {self.connections}, busy {self.busy}"
                assert other.ask() == (200, b"/")
        finally:
            other.close()

    def in_state(self, state: State, count: int) -> None:
        """Wait until so many connections are in a state."""
        self.serve_until(lambda: sum(c.state is state for c in self.connections) == count, f"{count} in {state.name}")


def descriptors() -> list[str]:
    """List what this process has open, where the system tells."""
    return sorted(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else []


@contextmanager
def house(**settings: Any) -> Iterator[House]:
    """Serve; at the end see that the server still does, has said nothing, and leaves nothing behind."""
    before = descriptors()
    errors = io.StringIO()
    home = House(App(), **settings)
    with contextlib.redirect_stderr(errors), home.server:
        try:
            yield home
        finally:
            home.app.go_on.set()
            for client in home.clients:
                client.close()
        fresh = home.client()
        assert fresh.ask() == (200, b"/")
        fresh.close()
        home.serve_until(lambda: len(home.connections) == 1 and not home.busy, "only the one who asks is here")
    assert errors.getvalue() == ""
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("wsgiserver")] == []
    assert descriptors() == before


# -- Too slow ------------------------------------------------------------------------------------------------------


def test_slow_heads_are_answered_408_while_others_are_served() -> None:
    with house(timeout_head=0.5) as home:
        slow = {client.socket: client for client in (home.client() for _ in range(20))}
        for client in slow.values():
            client.send(GET[:-2] + b"X: ")
        other = home.client()
        waiting = set(slow)
        while waiting:
            assert other.ask() == (200, b"/")
            for each in waiting:
                with contextlib.suppress(OSError):  # it was answered and closed a moment ago
                    each.send(b"x")
            waiting -= set(select.select(waiting, [], [], 0.02)[0])
        for client in slow.values():
            assert client.response()[0] == 408
            assert client.gone()
        assert set(home.app.paths) == {"/"}


def test_silent_clients_are_closed_without_a_word_also_one_after_the_other() -> None:
    """The second one comes when a sweep has just found nothing more to wait for."""
    with house(timeout_head=0.1) as home:
        first = [home.client() for _ in range(20)]
        for client in first:
            assert client.gone()
        for _ in range(2):
            client = home.client()
            client.socket.settimeout(10)
            assert client.gone()
        assert home.app.paths == []


def test_idle_clients_are_closed_when_their_time_is_over() -> None:
    with house(timeout_keep_alive=0.1) as home:
        clients = [home.client() for _ in range(20)]
        for client in clients:
            assert client.ask() == (200, b"/")
        for client in clients:
            assert client.gone()


@pytest.mark.parametrize(
    "start", [post(10) + b"12345", CHUNKED + b"5\r\n123", CHUNKED], ids=["length", "chunk", "none"]
)
def test_slow_bodies_are_answered_408_and_the_application_is_not_called(start: bytes) -> None:
    with house(timeout_body=0.2) as home:
        slow = [home.client() for _ in range(20)]
        for client in slow:
            client.send(start)
        assert home.client().ask() == (200, b"/")
        for client in slow:
            assert client.response()[0] == 408
            assert client.gone()
        assert home.app.paths == ["/"]


def test_a_client_that_stays_after_its_408_is_closed_in_the_end() -> None:
    """Nothing happens any more on any connection, so the deadlines alone must wake the server."""
    with house(timeout_head=0.1) as home:
        client = home.client()
        client.send(GET[:-2])
        assert client.response()[0] == 408
        until = time.monotonic() + PATIENCE
        while home.connections:
            assert time.monotonic() < until, home.connections
            select.select([], [], [], 0.02)


@pytest.fixture(scope="module")
def large_file() -> Iterator[bytes]:
    with tempfile.NamedTemporaryFile() as file:
        file.write(LARGE)
        file.flush()
        yield os.fsencode(file.name)


@pytest.mark.parametrize("path", ["/large", "/file"])
def test_two_hundred_slow_readers_hold_no_thread_and_keep_nobody_waiting(path: str, large_file: bytes) -> None:
    with house() as home:
        home.app.file = large_file
        slow = [home.client(small=True) for _ in range(200)]
        for client in slow:
            client.send(get(path))
        home.in_state(State.WRITING, 200)
        home.serve_until(lambda: home.busy == 0, "no thread is held")
        other = home.client()
        for _ in range(3):
            for client in slow:
                assert len(client.socket.recv(1024)) == 1024
                assert other.ask() == (200, b"/")
            assert home.busy == 0
            assert sum(connection.state is State.WRITING for connection in home.connections) == 200
        slow[100].close()
        slow[101].reset()
        last = home.client()
        assert last.ask(get(path)) == (200, LARGE)
        home.serve_until(lambda: home.busy == 0, "no thread is held")


@pytest.mark.parametrize("path", ["/large", "/file", "/stream"])
def test_a_client_that_never_reads_is_reset_and_its_response_closed(path: str, large_file: bytes) -> None:
    with house(timeout_send=0.2) as home:
        home.app.file = large_file
        client = home.client(small=True)
        client.send(get(path))
        exchange = home.exchange()
        assert (exchange.request.target, exchange.complete) == (path, False)
        assert isinstance(exchange.error, OSError)
        if path == "/stream":
            assert home.app.closed.wait(PATIENCE)
        home.serve_until(lambda: len(home.connections) == 1, "the connection was closed")
        with pytest.raises(ConnectionResetError):
            client.rest()


# -- Gone ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "start",
    [
        b"",
        b"GET / HT",
        GET[:-2],
        post(10),
        post(10) + b"12345",
        post(3_000_000) + b"x" * 2_000_000,
        CHUNKED + b"5\r\n12",
    ],
    ids=["nothing", "line", "head", "no body", "body", "body in a file", "chunk"],
)
def test_a_reset_in_the_middle_of_a_request_is_the_end_of_it(start: bytes) -> None:
    with house() as home:
        clients = [home.client() for _ in range(10)]
        for client in clients:
            client.send(start)
        home.serve_until(lambda: len(home.connections) == 11, "all are in")
        for client in clients:
            client.reset()
        home.serve_until(lambda: len(home.connections) == 1, "all are gone")
        assert set(home.app.paths) <= {"/"}


def test_a_reset_while_the_application_works_is_no_error() -> None:
    with house() as home:
        client = home.client()
        client.send(get("/wait"))
        assert home.app.entered.acquire(timeout=PATIENCE)
        client.reset()
        home.serve_until(lambda: len(home.app.paths) > 3, "others are served meanwhile")
        home.app.go_on.set()


@pytest.mark.parametrize("path", ["/large", "/file", "/stream"])
def test_a_reset_in_the_middle_of_a_response_is_the_end_of_it(path: str, large_file: bytes) -> None:
    with house() as home:
        home.app.file = large_file
        client = home.client(small=True)
        client.send(get(path))
        assert client.socket.recv(1024).startswith(b"HTTP/1.1 200 OK\r\n")
        client.reset()
        exchange = home.exchange()
        assert (exchange.request.target, exchange.complete) == (path, False)
        assert isinstance(exchange.error, OSError)
        if path == "/stream":
            assert home.app.closed.wait(PATIENCE)


def test_a_client_that_connects_and_leaves_at_once_costs_nothing() -> None:
    with house() as home:
        for turn in range(200):
            client = Client(home.server.address)
            (client.reset if turn % 2 else client.close)()


# -- Half closed ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 3, 100])
def test_requests_are_answered_after_the_client_has_closed_its_sending_side(count: int) -> None:
    with house() as home:
        client = home.client()
        client.send(b"".join(get(f"/{number}") for number in range(count)))
        client.socket.shutdown(socket.SHUT_WR)
        for number in range(count):
            assert client.response() == (200, b"/%d" % number)
        assert client.gone()


def test_a_half_closed_client_is_answered_by_a_slow_application() -> None:
    with house() as home:
        client = home.client()
        client.send(get("/wait") + get("/after"))
        client.socket.shutdown(socket.SHUT_WR)
        assert home.app.entered.acquire(timeout=PATIENCE)
        home.serve_until(lambda: len(home.app.paths) > 3, "others are served meanwhile")
        home.app.go_on.set()
        assert client.response() == (200, b"/wait")
        assert client.response() == (200, b"/after")
        assert client.gone()


@pytest.mark.parametrize("path", ["/large", "/file"])
def test_a_half_closed_client_gets_all_of_a_large_response(path: str, large_file: bytes) -> None:
    with house() as home:
        home.app.file = large_file
        client = home.client()
        client.send(get(path))
        client.socket.shutdown(socket.SHUT_WR)
        assert client.response() == (200, LARGE)
        assert client.gone()


@pytest.mark.parametrize("start", [b"GET / HT", GET[:-2], post(10) + b"12345", CHUNKED + b"5\r\n12"])
def test_half_a_request_of_a_half_closed_client_is_not_passed_on(start: bytes) -> None:
    with house() as home:
        client = home.client()
        client.send(start)
        client.socket.shutdown(socket.SHUT_WR)
        assert client.gone()
        assert home.app.paths == []


# -- Not HTTP ------------------------------------------------------------------------------------------------------


CLIENT_HELLO = bytes.fromhex(
    "16030100f8010000f40303aa4d2be48ae1e3ab6c7f0ac5c2ea2b3a5be2b7a3a0a3b5c2d3e4f5061728394a20d0d1d2d3d4d5d6d7"
    "d8d9dadbdcdddedf000102030405060708090a0b0c0d0e0f001813021303130113021303c02cc030009fcca9cca8ccaac02bc02f"
)


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (CLIENT_HELLO, 400),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0", 505),
        (b"SSH-2.0-OpenSSH_9.6\r\n", 400),
        (b"\0" * 100, 400),
        (b"\r\n" * 1000, 400),
        (b"A" * 70_000, 414),
        (GET[:-2] + b"X: " + b"a" * 70_000, 431),
        (GET[:-2] + b"X: a\r\n" * 12_000, 431),
    ],
    ids=["TLS", "HTTP/2", "SSH", "NUL", "empty lines", "endless line", "endless field", "endless fields"],
)
def test_what_is_no_request_is_refused(data: bytes, status: int) -> None:
    with house() as home:
        client = home.client()
        client.send(data)
        assert client.response()[0] == status
        client.socket.shutdown(socket.SHUT_WR)
        assert client.gone()
        assert home.app.paths == []


def test_random_bytes_are_refused() -> None:
    chance = random.Random(9112)
    with house() as home:
        clients = [home.client() for _ in range(50)]
        for client in clients:
            client.send(chance.randbytes(chance.randrange(2000, 60_000)))
        for client in clients:
            assert client.response()[0] in (400, 414)
        assert home.app.paths == []


def test_a_client_that_goes_on_sending_after_its_refusal_is_read_no_further_than_a_bound() -> None:
    with house() as home:
        client = home.client()
        client.send(b"\0")
        assert client.response()[0] == 400
        with contextlib.suppress(ConnectionError):
            while True:
                client.send(b"x" * 65536)


# -- Piece by piece, and all at once -------------------------------------------------------------------------------


def test_a_head_sent_byte_by_byte_is_answered() -> None:
    with house() as home:
        client = home.client()
        for byte in get("/slowly", *(f"X-{number}: {number}" for number in range(20))):
            client.send(bytes((byte,)))
        assert client.response() == (200, b"/slowly")


def test_a_megabyte_in_chunks_of_one_byte_arrives() -> None:
    with house() as home:
        client = home.client()
        client.send(CHUNKED)
        for _ in range(16):
            client.send(b"1\r\nx\r\n" * 65536)
        client.send(b"0\r\n\r\n")
        assert client.response() == (200, b"%d" % (1 << 20))
        assert client.ask() == (200, b"/")


def test_a_thousand_requests_in_one_piece_are_answered_in_order() -> None:
    with house() as home:
        client = home.client()
        client.send(b"".join(get(f"/{number}") for number in range(1000)))
        for number in range(1000):
            assert client.response() == (200, b"/%d" % number)
        assert home.app.paths == [f"/{number}" for number in range(1000)]


def test_a_thousand_uploads_in_one_piece_are_answered_in_order() -> None:
    with house() as home:
        client = home.client()
        client.send(b"".join(post(number) + b"x" * number for number in range(1000)))
        for number in range(1000):
            assert client.response() == (200, b"%d" % number)


def test_requests_sent_ahead_are_read_no_further_while_one_is_answered() -> None:
    with house() as home:
        client = home.client()
        client.send(get("/wait"))
        assert home.app.entered.acquire(timeout=PATIENCE)
        client.socket.setblocking(False)
        sent = 0
        with contextlib.suppress(BlockingIOError):
            while sent < 100_000_000:
                sent += client.socket.send(GET * 1000)
        assert sent < 100_000_000
        (connection,) = home.connections
        assert len(connection._reader.pending) <= HEAD_RECEIVE_SIZE
        home.app.go_on.set()


# -- No more room --------------------------------------------------------------------------------------------------


def test_one_idle_client_makes_room_for_one_newcomer() -> None:
    """The one that has been idle longest is closed, and no other."""
    with house(limit_connections=4) as home:
        idle = []
        for _ in range(4):
            idle.append(home.client())
            assert idle[-1].ask() == (200, b"/")
        assert home.client().ask() == (200, b"/")
        assert idle[0].gone()
        for client in idle[1:]:
            assert client.ask() == (200, b"/")


def test_clients_that_have_become_idle_make_room_for_one_who_had_to_wait() -> None:
    """When the house was full nobody was idle; the newcomer does not have to wait until one of them ends."""
    with house(limit_connections=4, timeout_keep_alive=600) as home:
        clients = [home.client() for _ in range(4)]
        for client in clients:
            assert client.ask() == (200, b"/")
        newcomer = home.client()
        newcomer.socket.settimeout(10)
        assert newcomer.ask() == (200, b"/")


def test_a_newcomer_and_an_idle_client_that_speaks_come_at_the_same_moment() -> None:
    """The one that is closed to make room may be told of as ready in the same breath."""
    with house(limit_connections=5, threads=1) as home:
        idle = []
        for _ in range(4):
            idle.append(home.client())
            assert idle[-1].ask() == (200, b"/")
        busy = home.client()
        busy.send(get("/wait"))
        assert home.app.entered.acquire(timeout=PATIENCE)
        # The only thread is in the application: all that follows is found in one poll.
        newcomer = home.client()
        for client in idle:
            client.send(GET)
        home.app.go_on.set()
        assert busy.response() == (200, b"/wait")
        assert newcomer.ask() == (200, b"/")
        served = 0
        for client in idle:
            with contextlib.suppress(AssertionError, ConnectionError):  # the one that made room
                served += client.response() == (200, b"/")
        assert served >= 3


def test_newcomers_wait_while_nobody_is_idle_and_are_served_when_one_ends() -> None:
    with house(limit_connections=3, timeout_head=1) as home:
        silent = [home.client() for _ in range(3)]
        waiting = [home.client() for _ in range(3)]
        for client in waiting:
            client.send(get("/", "Connection: close"))
        silent[0].close()
        for client in waiting:
            assert client.response() == (200, b"/")
            assert client.gone()


# -- In a process of its own, whose limits can be lowered ----------------------------------------------------------


PROGRAM = """
import os, resource, sys
from wsgiserver import Server

def app(environ, start_response):
    body = environ["wsgi.input"].read()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"%d" % len(body)]

class Counting(Server):
    turns = 0

    def _turn(self):
        self.turns += 1
        return super()._turn()

hogged = []

def hog():
    try:
        while True:
            hogged.append(os.dup(0))
    except OSError:
        pass

def let_go():
    while hogged:
        os.close(hogged.pop())

def limit(name, number):
    resource.setrlimit(name, (number, resource.getrlimit(name)[1]))

with Counting(app, bind="127.0.0.1:0", **eval(sys.argv[1])) as server:
    print(repr(server.address), flush=True)
    for line in sys.stdin:
        print(repr(eval(line)), flush=True)
"""


class Apart:
    """A server in a process of its own, which evaluates what it is asked."""

    def __init__(self, errors: IO[bytes], **settings: Any) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, repr(settings)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
        )
        self.clients: list[Client] = []
        self.address = self._read()

    def _read(self) -> Any:
        assert self.process.stdout is not None
        return eval(self.process.stdout.readline() or "None")

    def do(self, expression: str) -> Any:
        assert self.process.stdin is not None
        self.process.stdin.write(expression.encode() + b"\n")
        self.process.stdin.flush()
        return self._read()

    def client(self) -> Client:
        self.clients.append(Client(self.address))
        return self.clients[-1]

    def resident(self) -> int:
        """Octets of memory that it has."""
        with open(f"/proc/{self.process.pid}/status") as status:
            return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmRSS:"))


@contextmanager
def apart(says: str | None = "", **settings: Any) -> Iterator[Apart]:
    """Serve in another process; at the end see that it still serves, has said this and no more, and ends well.

    None: it may say what it will, but shows no traceback.
    """
    with tempfile.TemporaryFile() as errors:
        home = Apart(errors, **settings)
        with home.process:
            try:
                yield home
                fresh = home.client()
                assert fresh.ask() == (200, b"0")
            finally:
                for client in home.clients:
                    client.close()
                assert home.process.stdin is not None
                home.process.stdin.close()
                ended = home.process.wait(PATIENCE)
        errors.seek(0)
        said = errors.read().decode()
        assert said == says if says is not None else "Traceback" not in said, said
    assert ended == 0


NO_ROOM = "wsgiserver: no room for more clients (Too many open files); raise the limit (ulimit -n)\n"


@pytest.fixture
def _many_descriptors() -> Iterator[None]:
    """Let this process, and those that it starts, have 11,000 descriptors."""
    assert resource is not None
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 11_000
    if hard != resource.RLIM_INFINITY and hard < wanted:
        pytest.skip(f"the limit of descriptors is {hard} and cannot be raised to {wanted}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


BROWSER = (
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "Accept-Language: en-GB,en;q=0.5",
    "Accept-Encoding: gzip, deflate, br",
    "Connection: keep-alive",
    "Upgrade-Insecure-Requests: 1",
    "Sec-Fetch-Dest: document",
    "Sec-Fetch-Mode: navigate",
)


@needs_limits
@needs_proc
@pytest.mark.usefixtures("_many_descriptors")
@pytest.mark.parametrize("kind", ["silent", "kept alive", "kept alive by a browser"])
def test_ten_thousand_idle_connections_fit_into_100_mb(kind: str) -> None:
    with apart(limit_connections=10_100, timeout_head=600, timeout_keep_alive=600) as home:
        other = home.client()
        assert other.ask() == (200, b"0")
        before = home.resident()
        for number in range(10_000):
            client = home.client()
            if kind != "silent":
                lines = (*BROWSER, f"Cookie: session={number:032}") if kind != "kept alive" else ()
                assert client.ask(get(f"/{number}", *lines)) == (200, b"0")
        while home.do("len(server._loop.connections)") < 10_001:
            assert other.ask() == (200, b"0")
        more = home.resident() - before
        print(f"{kind}: {before / 1e6:.1f} MB before, {more / 1e6:.1f} MB more, {more / 10_000 / 1000:.2f} KB each")
        assert more < 100_000_000
        assert other.ask() == (200, b"0")


@needs_limits
def test_clients_wait_while_descriptors_are_exhausted_and_are_served_when_there_are_some() -> None:
    """It is said once, and the loop does not spin meanwhile."""
    with apart(NO_ROOM, timeout_head=1.5) as home:
        home.do("limit(resource.RLIMIT_NOFILE, 48)")
        silent = [home.client() for _ in range(60)]
        waiting = [home.client() for _ in range(5)]
        for client in waiting:
            client.send(get("/", "Connection: close"))
        for client in waiting:
            assert client.response() == (200, b"0")
        for client in silent:
            assert client.gone()
        # 65 clients, and a sweep each second; one that spins turns a hundred thousand times.
        assert home.do("server.turns") < 1000


@needs_limits
def test_idle_clients_make_room_when_descriptors_are_exhausted() -> None:
    with apart(NO_ROOM) as home:
        home.do("limit(resource.RLIMIT_NOFILE, 48)")
        for _ in range(100):
            assert home.client().ask() == (200, b"0")
        assert home.do("server.turns") < 2000


@needs_limits
def test_a_server_without_clients_recovers_when_others_had_taken_all_descriptors() -> None:
    """Nothing else wakes the loop then: not a client that ends, not a deadline."""
    with apart(NO_ROOM, timeout_head=0.1) as home:
        home.do("limit(resource.RLIMIT_NOFILE, 48)")
        assert home.client().gone()  # and so a sweep has just been
        home.do("hog()")
        client = home.client()
        client.socket.settimeout(10)
        client.send(GET)
        while not home.do("server._loop._told_no_room"):
            pass
        home.do("let_go()")
        assert client.response() == (200, b"0")


@needs_limits
@pytest.mark.parametrize(
    ("trouble", "size"),
    [
        ("limit(resource.RLIMIT_FSIZE, 1200000)", 1_500_000),
        ("limit(resource.RLIMIT_FSIZE, 1000)", 3000),
        ("hog()", 1_500_000),
    ],
    ids=["disk full", "disk full at the last flush", "no descriptors"],
)
def test_a_large_body_that_cannot_be_put_away_ends_its_request_and_no_other(trouble: str, size: int) -> None:
    with apart(None, buffer_body=1024) as home:
        other = home.client()
        client = home.client()
        assert client.ask() == other.ask() == (200, b"0")
        home.do("limit(resource.RLIMIT_NOFILE, 48)")
        home.do(trouble)
        client.socket.settimeout(10)
        client.send(post(size) + b"x" * size)
        status, _ = client.response()
        assert 500 <= status <= 599
        client.close()
        assert other.ask() == (200, b"0")
        home.do("let_go()")
