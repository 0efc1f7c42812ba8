"""Quick applications inline, slow ones in threads: shown on real servers, first case by case, then all at once.

Where a test needs to know on which thread a call runs, it holds the watch, which hands the loop on only while the
test lets it; so no other load on the machine can make a quick call look slow.
"""

import contextlib
import os
import re
import sqlite3
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from conftest import PATIENCE

from wsgiserver import Server
from wsgiserver.crowds import HEAVY, LIGHT, NONE, Crowd
from wsgiserver.predictor import MOST_DOUBT
from wsgiserver.server import CROWDED_INTERVAL
from wsgiserver.site import Environ

LARGE = bytes(range(256)) * 64 * 1024  # more than the buffers of two sockets hold
MANY = 1000

pytestmark = pytest.mark.usefixtures("nothing_left")


def ask(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: test\r\n\r\n".encode()


class Gates:
    """An application that answers with the thread it runs on; paths that begin with /wait have a gate to pass."""

    def __init__(self) -> None:
        self.gates: defaultdict[str, threading.Event] = defaultdict(threading.Event)
        self.entered = threading.Semaphore(0)
        self.begun: list[str] = []

    def __call__(self, environ: Environ, start_response: Any) -> list[bytes]:
        path = environ["PATH_INFO"]
        self.begun.append(path)
        if environ["QUERY_STRING"] == "says-so":
            environ["wsgiserver.will_block"]()
        if path in self.gates:
            self.entered.release()
            assert self.gates[path].wait(PATIENCE)
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [str(threading.get_ident()).encode()]

    def close(self, *paths: str) -> None:
        for path in paths:
            self.gates[path].clear()

    def open(self) -> None:
        for gate in self.gates.values():
            gate.set()

    def wait_for(self, clients: int) -> None:
        """Wait until so many more stand before a gate."""
        for _ in range(clients):
            assert self.entered.acquire(timeout=PATIENCE)


@pytest.fixture
def gates() -> Gates:
    return Gates()


@pytest.fixture
def house(serve: Any, gates: Gates, at_the_end: contextlib.ExitStack) -> Callable[..., Server]:
    """Give ``house(**settings)``: a server of ``gates``, which are opened when the test is over."""

    def start(**settings: Any) -> Server:
        server: Server = serve(gates, **settings)
        at_the_end.callback(gates.open)
        return server

    return start


@pytest.fixture
def hold_watch(at_the_end: contextlib.ExitStack) -> Callable[[Server], threading.Event]:
    """Give ``hold_watch(server)``: its watch ticks only while the event is set, and no task of a worker seems slow."""

    def hold(server: Server) -> threading.Event:
        ticking = threading.Event()
        at_the_end.callback(ticking.set)

        def pause(seconds: float) -> None:
            ticking.wait()
            time.sleep(seconds)

        baton = server._baton
        assert baton is not None
        baton._pause, baton._clock = pause, lambda: 0.0
        return ticking

    return hold


@pytest.fixture
def all_blocked(house: Any, connect: Any, gates: Gates) -> Callable[..., tuple[Server, list[Any]]]:
    """Give ``all_blocked(**settings)``: a server with every thread before a gate, and the clients who wait for them."""

    def block(threads: int = 3, **settings: Any) -> tuple[Server, list[Any]]:
        server = house(threads=threads, **settings)
        paths = [f"/wait/{number}" for number in range(threads)]
        gates.close(*paths)
        clients = [connect(server).send(ask(path)) for path in paths]
        gates.wait_for(threads)
        return server, clients

    return block


def refused(server: Server, connect: Any) -> bool:
    """Send what is no request as a new client; when it is answered, all that was sent before has been read."""
    status: int = connect(server).send(b"NOTHING\r\n\r\n").response().status
    return status == 400


# Quick calls


def test_quick_calls_need_no_change_of_thread(house: Any, connect: Any, hold_watch: Any) -> None:
    server = house()
    hold_watch(server)
    clients = [connect(server) for _ in range(8)]
    assert len({client.get("/quick").content for _ in range(10) for client in clients}) == 1
    assert len(server._baton._crew) == 2, "only the leader and the watch"


# Every thread blocked


def test_with_every_thread_blocked_a_new_client_is_accepted_and_a_bad_request_refused(
    all_blocked: Any, connect: Any, gates: Gates
) -> None:
    server, clients = all_blocked()
    newcomer = connect(server).send(ask("/quick"))
    assert refused(server, connect)
    assert gates.begun.count("/quick") == 0
    gates.open()
    assert newcomer.response().status == 200
    assert [client.response().status for client in clients] == [200] * 3


def test_with_every_thread_blocked_a_slow_head_is_timed_out(all_blocked: Any, connect: Any) -> None:
    server, _ = all_blocked(timeout_head=0.01)
    assert connect(server).send(b"GET / HTTP/1.1\r\nHost:").response().status == 408


@pytest.fixture
def descriptors() -> Iterator[None]:
    """Let this process open as many as the test needs."""
    resource = pytest.importorskip("resource", reason="Windows has other limits")
    needed = 2 * MANY + 500
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < needed:
        pytest.skip(f"this system allows {hard} descriptors, and {needed} are needed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, needed), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.usefixtures("descriptors")
def test_with_every_thread_blocked_a_thousand_connections_are_kept(
    house: Any, connect: Any, gates: Gates, at_the_end: contextlib.ExitStack
) -> None:
    server = house(threads=2, limit_connections=MANY + 10, timeout_head=1, timeout_keep_alive=3600)
    kept = []
    for _ in range(MANY):
        # Each asks as soon as it has come: the time for a head runs from there on.
        kept.append(connect(server))
        assert kept[-1].get("/quick").status == 200
    gates.close("/wait")
    blocked = [connect(server).send(ask("/wait")) for _ in range(2)]
    gates.wait_for(2)
    # When this one is told that its time is over, the loop has looked at the time of all.
    assert connect(server).send(b"GET ").response().status == 408
    gates.open()
    assert [client.response().status for client in blocked] == [200, 200]
    assert all(client.get("/quick").status == 200 for client in kept)


def test_exchanges_that_wait_for_a_thread_are_served_in_order(all_blocked: Any, connect: Any, gates: Gates) -> None:
    """One thread is let go; it runs all that wait, one after the other, for nobody else can."""
    server, _ = all_blocked()
    paths = [f"/quick/{number}" for number in range(20)]
    waiting = []
    for path in paths:
        waiting.append(connect(server).send(ask(path)))
        assert refused(server, connect)  # so it is read before the next one is sent
    assert server._baton.waiting == len(paths)
    gates.gates["/wait/1"].set()
    assert [client.response().status for client in waiting] == [200] * len(paths)
    assert gates.begun[-len(paths) :] == paths


# A route and its nature


def test_a_route_that_changes_its_nature_is_noticed_both_ways(
    house: Any, connect: Any, gates: Gates, hold_watch: Any
) -> None:
    server = house(threads=4)
    ticking = hold_watch(server)
    client, slow = connect(server), connect(server)

    def leader() -> bytes:
        return client.get("/quick").content

    first = leader()
    assert client.get("/wait").content == first, "a route of which nothing is known runs inline"

    gates.close("/wait")
    slow.send(ask("/wait"))
    gates.wait_for(1)
    ticking.set()
    second = leader()
    ticking.clear()
    assert second != first, "the loop went on without the thread that is blocked"
    gates.open()
    assert slow.response().content == first, "which then finished its response"

    runs = [client.get("/wait").content for _ in range(MOST_DOUBT + 1)]
    assert runs[0] != second, "a route that lately blocked goes to a worker"
    assert runs[-1] == leader() == second, "one that is quick again runs inline"


def test_other_routes_do_not_suffer_for_one_that_blocks(
    house: Any, connect: Any, gates: Gates, hold_watch: Any
) -> None:
    server = house(threads=4)
    ticking = hold_watch(server)
    client, slow = connect(server), connect(server)
    gates.close("/wait/1")
    slow.send(ask("/wait/1"))
    gates.wait_for(1)
    ticking.set()
    leader = client.get("/quick").content
    ticking.clear()
    gates.open()
    slow.response()
    assert client.get("/other").content == leader
    assert client.get("/wait/2").content != leader, "the digits at its end tell no route from another"


def test_will_block_hands_the_loop_over_at_once(house: Any, connect: Any, gates: Gates, hold_watch: Any) -> None:
    """The watch is held, so nobody else could."""
    server = house(threads=2)
    hold_watch(server)
    gates.close("/wait")
    slow = connect(server).send(ask("/wait?says-so"))
    gates.wait_for(1)
    other = connect(server).get("/quick").content
    gates.open()
    assert slow.response().content != other


def test_will_block_changes_nothing_with_one_thread(house: Any, connect: Any) -> None:
    server = house(threads=1)
    client = connect(server)
    assert client.get("/quick?says-so").content == client.get("/quick").content


# Blocking elsewhere than in the call


class Slow:
    """What blocks in one way or other on /wait; others are answered at once."""

    def __init__(self, how: str) -> None:
        self.how = how
        self.entered, self.open, self.passed = threading.Event(), threading.Event(), threading.Event()

    def __call__(self, environ: Environ, start_response: Any) -> Iterable[bytes]:
        write = start_response("200 OK", [("Content-Type", "application/octet-stream")])
        if environ["PATH_INFO"] != "/wait":
            return [b"quick"]
        answer: Callable[[Any], Iterable[bytes]] = getattr(self, self.how)
        return answer(write)

    def block(self) -> None:
        self.entered.set()
        assert self.open.wait(PATIENCE)
        self.passed.set()

    def between_chunks(self, write: Any) -> Iterable[bytes]:
        yield b"first "
        self.block()
        yield b"second"

    def in_write(self, write: Any) -> Iterable[bytes]:
        self.entered.set()
        write(LARGE)
        self.passed.set()
        return []

    def in_close(self, write: Any) -> Iterable[bytes]:
        return Closing(self.block)


class Closing:
    def __init__(self, close: Callable[[], None]) -> None:
        self.close = close

    def __iter__(self) -> Iterator[bytes]:
        return iter((b"first ", b"second"))


@pytest.mark.parametrize("how", ["between_chunks", "in_write", "in_close"])
def test_whatever_blocks_others_are_answered_meanwhile(
    serve: Any, connect: Any, at_the_end: contextlib.ExitStack, how: str
) -> None:
    slow = Slow(how)
    server = serve(slow)
    at_the_end.callback(slow.open.set)
    waiting = connect(server).send(ask("/wait"))
    assert slow.entered.wait(PATIENCE)
    assert [connect(server).get("/quick").content for _ in range(5)] == [b"quick"] * 5
    if how == "in_close":
        assert waiting.response().content == b"first second", "the response does not wait for close()"
        waiting.send(ask("/quick"))
    assert not slow.passed.is_set()
    slow.open.set()
    if how != "in_close":
        assert waiting.response().content == (LARGE if how == "in_write" else b"first second")
    assert slow.passed.wait(PATIENCE)
    if how == "in_close":
        assert waiting.response().content == b"quick", "but the next request of the same client does"


# One thread


def test_with_one_thread_every_call_is_on_the_same_one(serve: Any, connect: Any) -> None:
    """sqlite3 raises when a connection is used on another thread than the one that made it."""
    opened: list[sqlite3.Connection] = []

    def application(environ: Environ, start_response: Any) -> Iterable[bytes]:
        if not opened:
            opened.append(sqlite3.connect(":memory:"))
        database = opened[0]
        start_response("200 OK", [])
        if environ["PATH_INFO"] == "/end":
            database.close()
            return [b"closed"]
        return (str(database.execute("select ?", (number,)).fetchone()[0]).encode() for number in range(3))

    server = serve(application, threads=1)

    def talk(_: int) -> list[bytes]:
        client = connect(server)
        return [client.get().content for _ in range(5)]

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(talk, range(8))) == [[b"012"] * 5] * 8
    assert connect(server).get("/end").content == b"closed"


@pytest.mark.parametrize(("threads", "told"), [(1, b"False"), (2, b"True"), (16, b"True")])
def test_wsgi_multithread_tells_the_truth(serve: Any, connect: Any, threads: int, told: bytes) -> None:
    def application(environ: Environ, start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return [str(environ["wsgi.multithread"]).encode()]

    assert connect(serve(application, threads=threads)).get().content == told


# Threads that rest


def test_threads_end_after_their_rest_and_others_begin_when_they_are_needed(
    all_blocked: Any, connect: Any, gates: Gates
) -> None:
    server, clients = all_blocked(threads=4)
    baton = server._baton
    baton.rest = 0.01
    for _ in range(2):
        alive = [thread for thread in baton._crew if thread.is_alive()]
        assert len(alive) == 6, "four that are blocked, the leader and the watch"
        gates.open()
        assert [client.response().status for client in clients] == [200] * 4
        for thread in alive:
            if thread is not baton._leader and "watch" not in thread.name:
                thread.join(PATIENCE)
        assert sum(thread.is_alive() for thread in alive) == 2
        gates.close(*gates.gates)
        clients = [connect(server).send(ask(path)) for path in gates.gates]
        gates.wait_for(4)


# A server that owns its process


PROCESS = """
import sys
from wsgiserver import serve

computing = False

def application(environ, start_response):
    global computing
    path = environ["PATH_INFO"]
    if path == "/compute":
        computing = True
        while computing:
            sum(range(100))
    if path == "/end":
        computing = False
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{computing} {sys.getswitchinterval():.4f}".encode()]

serve(application, bind="127.0.0.1:0", on_start=lambda server: print(server.address[1], flush=True), access_log=False,
      timeout_keep_alive=3600)
"""


@pytest.fixture
def process(at_the_end: contextlib.ExitStack) -> subprocess.Popen[str]:
    line = [sys.executable, "-c", PROCESS]
    process = at_the_end.enter_context(subprocess.Popen(line, stdout=subprocess.PIPE, text=True))
    at_the_end.callback(process.kill)
    return process


def address(process: subprocess.Popen[str]) -> tuple[str, int]:
    assert process.stdout is not None
    return "127.0.0.1", int(process.stdout.readline())


def ask_until(client: Any, content: bytes) -> None:
    """Ask again and again until the answer begins so."""
    for _ in range(5000):
        answer = client.get().content
        if answer.startswith(content):
            return
    raise AssertionError(f"it still answers {answer!r}")


def test_an_application_that_computes_does_not_stop_the_others(process: Any, connect: Any) -> None:
    """While it does, another thread that wants the GIL gets it after 0.4 ms; afterwards all is as before."""
    where = address(process)
    client, computing = connect(where), connect(where)
    assert client.get().content == b"False 0.0050"
    computing.send(ask("/compute"))
    ask_until(client, b"True 0.0004")  # before, the loop is being handed on
    assert {client.get().content for _ in range(300)} == {b"True 0.0004"}
    assert client.get("/end").content.startswith(b"False")
    assert computing.response().content.startswith(b"False")
    ask_until(client, b"False 0.0050")  # before, the thread that computed is giving back its slot


@pytest.mark.parametrize(
    ("owns", "crowd", "interval"), [(True, HEAVY, CROWDED_INTERVAL), (True, LIGHT, None), (False, HEAVY, None)]
)
def test_only_a_heavy_crowd_shortens_the_switch_interval_and_only_where_the_server_owns_the_process(
    serve: Any, connect: Any, at_the_end: contextlib.ExitStack, owns: bool, crowd: Crowd, interval: float | None
) -> None:
    """Among many threads that compute for moments, each that waits for the GIL would ask for it."""
    before = sys.getswitchinterval()
    at_the_end.callback(sys.setswitchinterval, before)
    server = serve(Gates())
    server._owns_process = owns
    server._crowd(crowd)
    assert sys.getswitchinterval() == pytest.approx(interval or before)
    assert server._loop.crowded
    assert connect(server).get().status == 200
    server._crowd(NONE)
    assert sys.getswitchinterval() == before
    assert not server._loop.crowded


@pytest.mark.parametrize(("before", "after"), [([], [HEAVY, LIGHT]), ([HEAVY], [NONE]), ([HEAVY, NONE], [HEAVY, NONE])])
def test_a_switch_interval_that_the_application_sets_before_or_in_a_heavy_crowd_is_kept(
    at_the_end: contextlib.ExitStack, before: list[Crowd], after: list[Crowd]
) -> None:
    at_the_end.callback(sys.setswitchinterval, sys.getswitchinterval())
    server = Server(Gates())
    server._owns_process = True
    for crowd in before:
        server._crowd(crowd)
    sys.setswitchinterval(0.02)
    for crowd in after:
        server._crowd(crowd)
    assert sys.getswitchinterval() == pytest.approx(0.02)


def switches(process: subprocess.Popen[str]) -> dict[str, list[str]]:
    """Tell how often each thread of a process has gone to sleep, or was put off its processor."""
    counts = {}
    for status in Path(f"/proc/{process.pid}/task").glob("*/status"):
        counts[status.parent.name] = re.findall(r"ctxt_switches:\s*(\d+)", status.read_text())
    return counts


@pytest.mark.skipif(not os.path.exists("/proc/self/task"), reason="this system does not tell what threads do")
def test_at_rest_no_thread_runs(process: Any, connect: Any) -> None:
    """Whoever makes a system call must have been woken for it, and goes to sleep again, which the system counts.

    It may take a while to come to rest; then it must rest for as long as we look, with a client that is kept.
    """
    where = address(process)
    client, computing = connect(where), connect(where)
    computing.send(ask("/compute"))
    ask_until(client, b"True")
    client.get("/end")
    computing.response()
    computing.close()
    for _ in range(20):
        before = switches(process)
        assert len(before) >= 4, "main, leader, watch and a worker"
        time.sleep(3)  # what is looked at is time in which nothing happens
        after = switches(process)
        if after == before:
            break
    assert after == before
    assert client.get().status == 200


# All at once


def test_ten_seconds_of_stress() -> None:
    """See tests/stress.py; `make stress` goes on for ten minutes."""
    program = Path(__file__).parent / "stress.py"
    line = [sys.executable, str(program), "10", "--clients", "120"]
    result = subprocess.run(line, capture_output=True, text=True, timeout=600)
    assert (result.returncode, result.stderr) == (0, ""), result.stdout + result.stderr
