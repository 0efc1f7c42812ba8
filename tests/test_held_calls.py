"""`HeldCalls`: what comes and leaves without giving the GIL away is what the socket's own methods would move."""

import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from wsgiserver.pollers import HeldCalls

pytestmark = pytest.mark.skipif(not HeldCalls.possible(), reason="there is no GIL, or no C library, to call so")

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def held() -> HeldCalls:
    return HeldCalls()


@pytest.fixture
def pair() -> Iterator[Pair]:
    """Two ends of a connection; the first does not block, as no client of the server does."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        theirs.settimeout(30)
        yield ours, theirs


def receive(end: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        data += end.recv(count - len(data))
    return data


def test_what_the_client_sent_is_received_in_pieces_of_the_size_asked_for(held: HeldCalls, pair: Pair) -> None:
    ours, theirs = pair
    theirs.sendall(b"GET / HTTP/1.1\r\n\0\xff")
    assert held.recv(ours.fileno(), 5) == b"GET /"
    assert held.recv(ours.fileno(), 100) == b" HTTP/1.1\r\n\0\xff"


def test_no_more_is_received_at_a_time_than_there_is_room_for(held: HeldCalls, pair: Pair) -> None:
    ours, theirs = pair
    theirs.sendall(b"x" * 1000)
    assert held.recv(ours.fileno(), HeldCalls.SIZE * 1024) == b"x" * 1000


def test_what_was_received_stays_when_more_is(held: HeldCalls, pair: Pair) -> None:
    ours, theirs = pair
    theirs.sendall(b"first")
    first = held.recv(ours.fileno(), 100)
    theirs.sendall(b"other")
    assert (held.recv(ours.fileno(), 100), first) == (b"other", b"first")


def test_nothing_to_receive_is_told_like_a_socket_tells_it(held: HeldCalls, pair: Pair) -> None:
    with pytest.raises(BlockingIOError):
        held.recv(pair[0].fileno(), 100)


def test_the_end_of_the_client_is_no_bytes(held: HeldCalls, pair: Pair) -> None:
    ours, theirs = pair
    theirs.close()
    assert held.recv(ours.fileno(), 100) == b""


def test_a_descriptor_that_was_closed_is_an_error(held: HeldCalls, pair: Pair) -> None:
    descriptor = pair[0].fileno()
    pair[0].close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        held.recv(descriptor, 100)
    with pytest.raises(OSError, match="Bad file descriptor"):
        held.send(descriptor, b"response")


@pytest.mark.parametrize("kind", [bytes, memoryview, lambda data: memoryview(bytearray(data))])
def test_a_response_is_sent_whatever_holds_it(held: HeldCalls, pair: Pair, kind: type[bytes | memoryview]) -> None:
    ours, theirs = pair
    data = b"HTTP/1.1 200 OK\r\n\0\xff"
    assert held.send(ours.fileno(), kind(data)) == len(data)
    assert receive(theirs, len(data)) == data


@pytest.mark.parametrize("kind", [bytes, memoryview])
def test_of_a_large_response_as_much_is_sent_as_goes(
    held: HeldCalls, pair: Pair, kind: type[bytes | memoryview]
) -> None:
    ours, theirs = pair
    data = bytes(range(256)) * 16 * 1024
    left = memoryview(kind(data))
    got = b""
    while left:
        try:
            sent = held.send(ours.fileno(), bytes(left) if kind is bytes else left)
        except BlockingIOError:
            got += theirs.recv(len(data))
        else:
            assert 0 < sent <= len(left)
            left = left[sent:]
    assert got + receive(theirs, len(data) - len(got)) == data


LEFT = """
import signal, socket
from wsgiserver.pollers import HeldCalls

signal.signal(signal.SIGPIPE, signal.SIG_DFL)
ours, theirs = socket.socketpair()
theirs.close()
try:
    HeldCalls().send(ours.fileno(), b"response")
except BrokenPipeError:
    print("told")
"""

WAITING = """
import socket, sys, threading
from wsgiserver.pollers import HeldCalls

held, ran, begin = HeldCalls(), [], threading.Lock()
ours, theirs = socket.socketpair()
begin.acquire()
other = threading.Thread(target=lambda: (begin.acquire(), ran.append(True)))
other.start()
sys.setswitchinterval(1000)
begin.release()  # from here on the other thread waits for the GIL
for _ in range(10_000):
    held.send(ours.fileno(), b"request")
    held.recv(theirs.fileno(), 100)
print(ran)
other.join()
print(ran)
"""


def run(program: str) -> str:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_a_client_that_has_left_is_an_error_and_no_signal() -> None:
    """SIGPIPE would end a process whose application has given it back its usual meaning."""
    assert run(LEFT) == "told\n"


def test_no_other_thread_gets_the_gil_meanwhile() -> None:
    """A thread that has been waiting for it gets it with the first call that gives it away, and not before."""
    assert run(WAITING) == "[]\n[True]\n"
