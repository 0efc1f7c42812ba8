"""The loop: who is ready, in which order a turn works, who gets in, and when what is over. No test waits for a clock.

Most of these tests turn the loop themselves, on one thread, over Unix sockets, on which what is sent is there at once.
Where a turn would sleep, the clock jumps, or stands still.
"""

import errno
import io
import os
import selectors
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from clients import answering
from conftest import PATIENCE

import wsgiserver.pollers
from wsgiserver.addresses import parse_address
from wsgiserver.connection import HEAD_RECEIVE_SIZE, Connection
from wsgiserver.exchange import ENDED, Exchange
from wsgiserver.loop import COHORT, Loop
from wsgiserver.pollers import Poller, SelectorPoller, Waker
from wsgiserver.settings import Settings
from wsgiserver.site import Environ, Site
from wsgiserver.sockets import Listener, Stream
from wsgiserver.states import Interest

GET = b"GET / HTTP/1.1\r\nHost: test\r\n\r\n"
POLLERS = [
    pytest.param("EpollPoller", marks=pytest.mark.skipif(sys.platform != "linux", reason="epoll is Linux's")),
    "SelectorPoller",
]

pytestmark = [
    pytest.mark.usefixtures("nothing_left"),
    pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="there are no Unix sockets here"),
]


def hello(environ: Environ, start_response: Any) -> list[bytes]:
    start_response("200 OK", [])
    return [b"hello"]


class SleepsForEver(Exception):
    """The loop would sleep until somebody wakes it, and nobody will."""


class Impatient:
    """A poller that never sleeps: when nothing is ready, the clock jumps to the time when it would have woken.

    Unless it is to stand still.
    """

    def __init__(self, poller: Poller) -> None:
        self.poller = poller
        self.watch, self.close = poller.watch, poller.close
        self.now = 1000.0
        self.still = False
        # For each poll, what was ready.
        self.polls: list[list[int]] = []
        # In which order the ready are told, by descriptor.
        self.order: Callable[[int], int] = lambda descriptor: 0

    def clock(self) -> float:
        return self.now

    def poll(self, timeout: float | None, most: int) -> Sequence[tuple[int, int]]:
        ready = sorted(self.poller.poll(0, most), key=lambda event: self.order(event[0]))
        self.polls.append([descriptor for descriptor, _ in ready])
        if not ready and not self.still:
            if timeout is None:
                raise SleepsForEver
            self.now += timeout
        return ready


class House:
    """A loop on a Unix socket, turned by the test."""

    def __init__(
        self, path: Path, application: Any = hello, poller: Any = None, listener: Any = Listener, **settings: Any
    ) -> None:
        self.exchanges: list[Exchange] = []
        self.given: list[Connection] = []
        self.errors = io.StringIO()
        self.site = Site(application, Settings(**settings), self.errors, [self.exchanges.append])
        self.listener = listener(parse_address(f"unix:{path}"))
        self.poller = Impatient(poller or SelectorPoller())
        self.call: Callable[[Connection], bool] = run_inline
        self.loop = Loop(
            self.site, [self.listener], lambda each: self.call(each), poller=self.poller, clock=self.poller.clock
        )

    def hold(self) -> list[Connection]:
        """Run nothing inline any more; give the list of the connections whose exchanges are to be run by the test."""
        self.call = lambda connection: self.given.append(connection) is None
        return self.given

    def close(self) -> None:
        """Close the loop; what was held ends later, as on a thread that comes back."""
        self.loop.close()
        for connection in self.given:
            if connection.exchange is not None and connection.exchange.progress is not ENDED:
                connection.run()

    def turn(self, times: int = 1) -> "House":
        """Turn while the clock stands still."""
        self.poller.still = True
        for _ in range(times):
            self.loop.turn()
        self.poller.still = False
        return self

    def turn_until(self, condition: Callable[[], object], most: int = 1000) -> None:
        """Turn until the condition holds, while time goes by; a loop that does not get there has failed."""
        for _ in range(most):
            if condition():
                return
            self.loop.turn()
        pytest.fail(f"not after {most} turns: {self.states}")

    def turn_until_it_sleeps(self) -> None:
        with pytest.raises(SleepsForEver):
            self.turn_until(lambda: False)

    @property
    def states(self) -> list[str]:
        """The states of the connections, in the order in which they came."""
        return [connection.state.name for connection in self.loop.connections.values()]


def run_inline(connection: Connection) -> bool:
    connection.run()
    return True


@pytest.fixture
def house(at_the_end: Any, tmp_path: Path) -> Callable[..., House]:
    def make(*arguments: Any, **settings: Any) -> House:
        made = House(tmp_path / "s", *arguments, **settings)
        at_the_end.callback(made.close)
        return made

    return make


@pytest.fixture
def join(connect: Any) -> Callable[..., Any]:
    """Give ``join(house, data=b"")``: a client that has connected, and sent, when it returns."""
    return lambda house, data=b"": connect(house.listener.address).send(data)


def has_left(client: Any) -> bool:
    """Tell whether the server has closed the connection; what it sent before is read."""
    client.socket.setblocking(False)
    try:
        while client.socket.recv(65536):
            pass
    except BlockingIOError:
        return False
    except ConnectionError:
        return True
    return True


def since(made: House, start: float) -> float:
    """Give the seconds that have gone by."""
    return made.poller.now - start


# Who is ready


@pytest.fixture(params=[*POLLERS, "SelectorPoller with select"])
def poller(request: pytest.FixtureRequest, at_the_end: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    name, _, select_only = request.param.partition(" with ")
    if select_only:  # as on Windows
        monkeypatch.setattr(selectors, "DefaultSelector", selectors.SelectSelector)
    made = getattr(wsgiserver.pollers, name)()
    at_the_end.callback(made.close)
    return made


@pytest.fixture
def pairs(at_the_end: Any) -> list[tuple[socket.socket, socket.socket]]:
    made = [socket.socketpair() for _ in range(10)]
    for pair in made:
        for end in pair:
            at_the_end.callback(end.close)
    return made


def test_a_poller_tells_who_is_ready_again_and_again_until_it_was_dealt_with(poller: Any, pairs: Any) -> None:
    (near, far), (other, _), *_ = pairs
    poller.watch(near.fileno(), Interest.NOTHING, Interest.READ)
    poller.watch(other.fileno(), Interest.NOTHING, Interest.READ)
    assert [*poller.poll(0, 16)] == []
    far.send(b"x")
    for _ in range(3):
        assert [descriptor for descriptor, _ in poller.poll(None, 16)] == [near.fileno()]
    near.recv(1)
    assert [*poller.poll(0, 16)] == []


def test_what_a_poller_watches_can_be_changed_and_ended(poller: Any, pairs: Any) -> None:
    near, far = pairs[0]
    far.send(b"x")
    poller.watch(near.fileno(), Interest.NOTHING, Interest.READ)
    assert len(poller.poll(None, 16)) == 1
    near.recv(1)
    poller.watch(near.fileno(), Interest.READ, Interest.WRITE)
    assert len(poller.poll(None, 16)) == 1
    poller.watch(near.fileno(), Interest.WRITE, Interest.READ)
    assert [*poller.poll(0, 16)] == []
    far.send(b"x")
    poller.watch(near.fileno(), Interest.READ, Interest.NOTHING)
    assert [*poller.poll(0, 16)] == []
    poller.watch(near.fileno(), Interest.NOTHING, Interest.READ)
    assert len(poller.poll(None, 16)) == 1


def test_a_poller_tells_the_end_of_a_client(poller: Any, pairs: Any) -> None:
    near, far = pairs[0]
    poller.watch(near.fileno(), Interest.NOTHING, Interest.READ)
    far.close()
    assert [descriptor for descriptor, _ in poller.poll(None, 16)] == [near.fileno()]


def test_a_poller_gives_no_more_than_asked_and_forgets_nobody(poller: Any, pairs: Any) -> None:
    """Three at a time, all ten had their turn after four polls, though none was dealt with."""
    for near, far in pairs:
        far.send(b"x")
        poller.watch(near.fileno(), Interest.NOTHING, Interest.READ)
    polls = [[descriptor for descriptor, _ in poller.poll(None, 3)] for _ in range(4)]
    assert [len(ready) for ready in polls] == [3, 3, 3, 3]
    assert {descriptor for ready in polls for descriptor in ready} == {near.fileno() for near, _ in pairs}


@pytest.mark.parametrize("name", POLLERS)
@pytest.mark.parametrize("threads", [1, 4])
def test_a_whole_server_runs_with_either(
    serve: Any, connect: Any, monkeypatch: pytest.MonkeyPatch, name: str, threads: int
) -> None:
    made = []

    def make() -> Any:
        made.append(getattr(wsgiserver.pollers, name)())
        return made[-1]

    def application(environ: Environ, start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", [])
        return [environ["wsgi.input"].read(), b"x" * 1_000_000]

    monkeypatch.setattr("wsgiserver.loop.default_poller", make)
    server = serve(application, threads=threads, limit_connections=30)
    clients = [connect(server) for _ in range(30)]
    for _ in range(2):
        for client in clients:
            client.send(b"POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n\r\nhello")
        assert {client.response().content for client in clients} == {b"hello" + b"x" * 1_000_000}
    assert connect(server).get().status == 200  # the longest idle one makes room
    assert len(made) == 1


# Waking the leader


@pytest.fixture(params=["eventfd", "socket pair"])
def waker(request: pytest.FixtureRequest, at_the_end: Any, monkeypatch: pytest.MonkeyPatch) -> Waker:
    if request.param == "socket pair":
        monkeypatch.delattr(os, "eventfd", raising=False)
    elif not hasattr(os, "eventfd"):
        pytest.skip("this system has no eventfd")
    made = Waker()
    at_the_end.callback(made.close)
    return made


def test_a_wake_up_is_kept_until_it_is_drained(waker: Waker, poller: Any) -> None:
    poller.watch(waker.descriptor, Interest.NOTHING, Interest.READ)
    assert [*poller.poll(0, 16)] == []
    waker.wake()
    waker.wake()
    assert [descriptor for descriptor, _ in poller.poll(None, 16)] == [waker.descriptor]
    assert len(poller.poll(None, 16)) == 1
    waker.drain()
    assert [*poller.poll(0, 16)] == []
    waker.drain()  # of nothing: it does not wait
    waker.wake()
    assert len(poller.poll(None, 16)) == 1


def test_any_number_of_wake_ups_blocks_nobody(waker: Waker, poller: Any) -> None:
    poller.watch(waker.descriptor, Interest.NOTHING, Interest.READ)
    for _ in range(100_000 if waker._pair is None else 5_000):
        waker.wake()
    while poller.poll(0, 16):
        waker.drain()


def test_a_server_runs_without_eventfd(serve: Any, connect: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "eventfd", raising=False)
    entered, leave = threading.Event(), threading.Event()

    def application(environ: Environ, start_response: Any) -> Iterable[bytes]:
        entered.set()
        assert leave.wait(PATIENCE)
        return hello(environ, start_response)

    client = connect(serve(application)).send(GET)
    assert entered.wait(PATIENCE)
    leave.set()
    assert client.response().content == b"hello"


@pytest.mark.parametrize("name", POLLERS)
def test_who_hands_in_wakes_a_loop_that_sleeps(connect: Any, at_the_end: Any, tmp_path: Path, name: str) -> None:
    """The poller here sleeps for ever where it is told to sleep at all, so only a wake-up makes the loop go on."""
    given: list[Connection] = []
    sleeps = threading.Event()

    class Sleeper:
        def __init__(self) -> None:
            self.poller = getattr(wsgiserver.pollers, name)()
            self.watch, self.close = self.poller.watch, self.poller.close

        def poll(self, timeout: float | None, most: int) -> Sequence[tuple[int, int]]:
            if given:
                sleeps.set()
            return self.poller.poll(0 if timeout == 0 else None, most)

    def turn() -> None:
        while loop.turn():
            pass

    listener = Listener(parse_address(f"unix:{tmp_path / 's'}"))
    site = Site(hello, Settings(), io.StringIO())
    loop = Loop(site, [listener], lambda each: given.append(each) is None, poller=Sleeper())
    at_the_end.callback(loop.close)
    turning = threading.Thread(target=turn)
    turning.start()
    try:
        client = connect(listener.address).send(GET)
        assert sleeps.wait(PATIENCE)
        given[0].run()
        assert client.response().content == b"hello"
    finally:
        loop.stop(0)
        turning.join(PATIENCE)


# The phases of a turn


class Recorded(Listener):
    """A listener whose clients are recorded: each time something was read from one, or written to one."""

    def __init__(self, log: list[str], address: Any) -> None:
        super().__init__(address)
        self.log = log

    def accept(self) -> Stream | None:
        stream = super().accept()
        if stream is not None:
            stream.recv = self.recorded("read", stream.recv)
            stream.send = self.recorded("write", stream.send)
        return stream

    def recorded(self, what: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def recorder(*arguments: Any) -> Any:
            result = call(*arguments)  # which raises when there is nothing to read
            self.log.append(what)
            return result

        return recorder


@pytest.fixture
def log() -> list[str]:
    return []


@pytest.fixture
def recorded(house: Any, join: Any, log: list[str]) -> Any:
    """Give ``recorded(application)``: a house with three clients that have asked, of which nothing was read."""

    def make(application: Any = hello) -> House:
        def run(environ: Environ, start_response: Any) -> Iterable[bytes]:
            log.append("run")
            return application(environ, start_response)

        made = house(run, listener=lambda address: Recorded(log, address))
        clients = [join(made) for _ in range(3)]
        made.turn_until(lambda: len(made.loop.connections) == 3)
        for client in clients:
            client.send(GET)
        return made

    return make


def test_a_turn_reads_all_then_runs_all_then_writes_all(recorded: Any, log: list[str]) -> None:
    recorded().turn()
    assert log == ["read"] * 3 + ["run"] * 3 + ["write"] * 3


def test_what_is_streamed_leaves_at_once(recorded: Any, log: list[str]) -> None:
    """PEP 3333: each chunk leaves before the next is asked for. Only the end waits for the third phase."""

    def streaming(environ: Environ, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [])
        for number in range(2):
            log.append(f"make {number}")
            yield b"x"

    recorded(streaming).turn()
    assert log == ["read"] * 3 + ["run", "make 0", "write", "make 1", "write"] * 3 + ["write"] * 3


def test_slow_applications_are_answered_as_they_finish(recorded: Any, log: list[str]) -> None:
    made = recorded(lambda environ, start_response: slow(environ, start_response))

    def slow(environ: Environ, start_response: Any) -> Iterable[bytes]:
        made.poller.now += 0.1
        return hello(environ, start_response)

    made.turn()
    assert log == ["read"] * 3 + ["run", "write"] * 3


@pytest.mark.parametrize("method", ["advance", "flush", "expire"])
def test_where_the_server_itself_fails_with_a_client_the_others_are_served(
    house: Any, join: Any, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    made = house()
    client, other = join(made, GET), join(made, GET)
    made.turn_until(lambda: len(made.exchanges) == 2)
    client.response()
    other.response()
    usual = getattr(Connection, method)
    unlucky = next(iter(made.loop.connections.values()))

    def fail(connection: Connection, *of: Any) -> Any:
        if connection is unlucky:
            raise LookupError("a fault of the server's own")
        return usual(connection, *of)

    monkeypatch.setattr(Connection, method, fail)
    if method == "expire":
        unlucky.deadline = 0.0
        client.send(b"GET")
    else:
        client.send(GET)
    other.send(GET)
    made.turn_until(lambda: len(made.loop.connections) == 1)
    made.turn_until(lambda: made.states == ["IDLE"])
    assert other.response().content == b"hello"
    with suppress(ConnectionError):
        assert client.rest() == b""
    assert "LookupError: a fault of the server's own" in made.errors.getvalue()


def test_a_new_leader_writes_first_and_goes_on_with_the_rest(recorded: Any, log: list[str]) -> None:
    """The old one lost the loop in its first call, which ends later, and touches nothing more."""
    made = recorded()
    taken: list[Connection] = []
    made.call = lambda connection: taken.append(connection)  # type: ignore[assignment, return-value]
    assert made.loop.turn() is False
    assert log == ["read"] * 3
    made.call = run_inline
    taken[0].run()
    made.turn()
    assert log == ["read"] * 3 + ["run", "write"] + ["run"] * 2 + ["write"] * 2


def test_what_has_finished_is_shown_before_the_loop_waits_for_more(recorded: Any) -> None:
    """Also of a call in which the loop was lost: observers do not wait for the next client."""
    made = recorded()
    taken: list[Connection] = []
    made.call = lambda connection: taken.append(connection)  # type: ignore[assignment, return-value]
    assert made.loop.turn() is False
    made.call = run_inline
    taken[0].run()
    poll, shown = made.poller.poll, []

    def look(timeout: float | None, most: int) -> Sequence[tuple[int, int]]:
        shown.append(len(made.exchanges))
        return poll(timeout, most)

    made.poller.poll = look
    made.turn(2)
    assert shown == [1, 3]


def test_what_has_left_is_shown_before_the_next_application_is_called(house: Any, join: Any) -> None:
    """One that takes long would keep the access log and others waiting."""
    shown = []

    def application(environ: Environ, start_response: Any) -> Iterable[bytes]:
        shown.append(len(made.exchanges))
        made.poller.now += 0.1
        return hello(environ, start_response)

    made = house(application)
    for _ in range(3):
        join(made, GET)
    made.turn_until(lambda: len(shown) == 3)
    assert shown == [0, 1, 2]


def test_what_is_under_way_when_the_loop_is_closed_is_shown(house: Any, join: Any) -> None:
    """The only thread may be in an application at the stop, so that nobody else has ended these."""
    made = house(lambda environ, start_response: [start_response("200 OK", []), b"x" * 50_000_000][1:])
    join(made, GET)
    join(made, b"POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n\r\nhal")
    made.turn_until(lambda: sorted(made.states) == ["BODY", "WRITING"])
    made.loop.close()
    assert sorted(exchange.request.method for exchange in made.exchanges) == ["GET", "POST"]
    assert not any(exchange.complete for exchange in made.exchanges)


def test_a_client_that_was_let_go_of_is_not_written_to_any_more(
    house: Any, join: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its number may be somebody else's by then."""
    made = house()
    read = Connection._read_body

    def fail(connection: Connection, *of: Any) -> Any:
        read(connection, *of)
        raise LookupError("a fault of the server's own")

    monkeypatch.setattr(Connection, "_read_body", fail)
    join(made, b"POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
    other = join(made, GET)
    made.turn_until(lambda: made.states == ["IDLE"])
    made.turn(3)
    assert other.response().content == b"hello"
    assert made.errors.getvalue().count("Traceback") == 1


def test_what_was_abandoned_is_shown_before_the_loop_waits_for_more(house: Any, join: Any) -> None:
    made = house()
    client = join(made).send(b"POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n\r\nhal")
    made.turn_until(lambda: made.states == ["BODY"])
    client.close()
    made.turn_until(lambda: not made.loop.connections)
    made.turn()
    assert [(exchange.complete, exchange.body_received) for exchange in made.exchanges] == [(False, 3)]


def test_a_turn_takes_no_more_than_a_cohort_and_forgets_nobody(house: Any, join: Any, log: list[str]) -> None:
    made = house(listener=lambda address: Recorded(log, address))
    clients = [join(made) for _ in range(COHORT + 4)]
    made.turn_until(lambda: len(made.loop.connections) == len(clients))
    for client in clients:
        client.send(GET)
    made.turn()
    assert log == ["read"] * COHORT + ["write"] * COHORT
    made.turn_until(lambda: len(made.exchanges) == len(clients))
    assert [client.response().content for client in clients] == [b"hello"] * len(clients)


# Given back by workers


@pytest.mark.parametrize(("asleep", "wakes"), [(True, 1), (False, 0)])
def test_the_first_who_hands_in_wakes_a_loop_that_sleeps_and_no_other_need(
    house: Any, join: Any, monkeypatch: pytest.MonkeyPatch, asleep: bool, wakes: int
) -> None:
    made = house()
    given = made.hold()
    clients = [join(made, GET) for _ in range(3)]
    made.turn_until(lambda: len(given) == 3)
    woken: list[None] = []
    monkeypatch.setattr(made.loop._waker, "wake", lambda: woken.append(None))
    made.loop._asleep = asleep
    for connection in given:
        connection.run()
    assert len(woken) == wakes
    made.turn_until(lambda: len(made.exchanges) == 3)
    assert [client.response().content for client in clients] == [b"hello"] * 3


# Beside threads that compute


@pytest.mark.parametrize(
    "lack", [None, ImportError("there is no ctypes"), OSError(errno.EMFILE, "no descriptor is left")]
)
def test_a_crowd_is_served_also_where_the_calls_that_hold_the_gil_cannot_be_had(
    house: Any, join: Any, monkeypatch: pytest.MonkeyPatch, lack: Exception | None
) -> None:
    """The watch tells the loop of the crowd, and would not outlive an error."""

    def refuse(self: object) -> None:
        assert lack is not None
        raise lack

    if lack is not None:
        monkeypatch.setattr("wsgiserver.pollers.HeldCalls.__init__", refuse)
    made = house()
    made.loop.crowd(True)
    client = join(made, GET)
    made.turn_until(lambda: made.exchanges)
    assert client.response().content == b"hello"
    made.loop.crowd(False)
    client.send(GET)
    made.turn_until(lambda: len(made.exchanges) == 2)
    assert client.response().content == b"hello"


# What is read ahead


def send_all_that_goes(client: Any, data: bytes) -> int:
    """Send until the system takes no more; give the bytes that it took."""
    client.socket.setblocking(False)
    sent = 0
    try:
        while True:
            sent += client.socket.send(data)
    except BlockingIOError:
        return sent


def test_a_client_that_sends_on_while_its_exchange_runs_is_not_read_on_and_on(house: Any, join: Any) -> None:
    made = house()
    given = made.hold()
    client = join(made, GET)
    made.turn_until(lambda: given)
    client.send(GET)
    rounds = []
    for _ in range(5):
        rounds.append(send_all_that_goes(client, GET * 1000))
        made.turn(5)
    assert rounds[1:] == [0, 0, 0, 0]
    assert made.poller.polls[-5:] == [[]] * 5  # nor does it keep the loop awake


def test_a_client_that_pipelines_and_never_reads_is_not_read_on_and_on(house: Any, join: Any) -> None:
    made = house(timeout_send=3600)
    client = join(made)
    while send_all_that_goes(client, GET * 1000):
        made.turn()
        while made.loop._ready:
            made.turn()
    assert made.states == ["WRITING"]
    (connection,) = made.loop.connections.values()
    assert len(connection._reader.pending) <= HEAD_RECEIVE_SIZE
    answered = len(made.exchanges)
    made.turn(5)
    assert len(made.exchanges) == answered


def flood(chunks: int) -> bytes:
    """Give a POST whose body has so many chunks of one octet."""
    return b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * chunks + b"0\r\n\r\n"


def test_many_small_chunks_of_some_keep_nobody_waiting(house: Any, join: Any) -> None:
    """Of what one receive brings, some are read in a turn, and the others when everybody else had theirs."""
    sizes: list[int] = []

    def application(environ: Environ, start_response: Any) -> Iterable[bytes]:
        sizes.append(len(environ["wsgi.input"].read()))
        return hello(environ, start_response)

    made = house(application)
    floods = [join(made, flood(2000)) for _ in range(3)]
    client = join(made, GET)
    made.turn_until(lambda: made.exchanges)
    assert sizes == [0]
    assert client.response().content == b"hello"
    made.turn_until(lambda: len(made.exchanges) == 4)
    assert sizes == [0, 2000, 2000, 2000]
    assert [each.response().content for each in floods] == [b"hello"] * 3


def test_a_client_that_leaves_before_all_of_its_chunks_are_read_is_let_go(house: Any, join: Any) -> None:
    made = house()
    client = join(made, flood(2000)[:-5])
    made.turn_until(lambda: made.states == ["BODY"])
    client.close()
    made.turn_until(lambda: not made.loop.connections)
    assert not made.loop._ready


# Who gets in


def full_and_idle(house: Any, join: Any) -> tuple[House, Any, Any]:
    """Give a house with as many connections as there may be, two, both idle, and the first for the longer time."""
    made: House = house(limit_connections=2)
    first, second = join(made, GET), join(made)
    made.turn_until(lambda: len(made.exchanges) == 1)
    made.poller.now += 1
    second.send(GET)
    made.turn_until(lambda: len(made.exchanges) == 2)
    return made, first, second


def test_at_the_limit_the_longest_idle_connection_makes_room(house: Any, join: Any) -> None:
    made, first, second = full_and_idle(house, join)
    made.poller.now += 1
    first.send(GET)
    made.turn_until(lambda: len(made.exchanges) == 3)
    third = join(made, GET)
    made.turn_until(lambda: len(made.exchanges) == 4)
    assert [has_left(client) for client in (first, second, third)] == [False, True, False]


def test_at_the_limit_who_has_asked_already_makes_no_room(house: Any, join: Any) -> None:
    """The poller tells of so many at a time, and of this one perhaps in the next turn only."""
    made, first, second = full_and_idle(house, join)
    first.send(GET)
    third = join(made, GET)
    poll = made.poller.poller.poll
    made.poller.poller.poll = lambda *about: [event for event in poll(*about) if event[0] not in made.loop.connections]
    made.turn()
    made.poller.poller.poll = poll
    made.turn_until(lambda: len(made.exchanges) == 4)
    assert [has_left(client) for client in (first, second, third)] == [False, True, False]


def test_at_the_limit_few_of_those_who_are_idle_are_asked_in_a_turn(
    house: Any, join: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of them may have sent something of which the poller has not told yet, for it tells of so many at a time.

    To ask all of them, for each newcomer, took seconds.
    """
    made = house(limit_connections=3 * COHORT)
    clients = [join(made, GET) for _ in range(3 * COHORT)]
    made.turn_until(lambda: made.states == ["IDLE"] * 3 * COHORT)
    for client in clients:
        client.send(GET)
    newcomers = [join(made, GET) for _ in range(COHORT)]
    poll = made.poller.poller.poll
    door = made.listener.fileno()
    made.poller.poller.poll = lambda timeout, most: [event for event in poll(timeout, 1000) if event[0] == door]
    received: list[Connection] = []
    receive = Connection.receive
    monkeypatch.setattr(Connection, "receive", lambda each, data: received.append(each) or receive(each, data))
    made.turn()
    assert 0 < len(received) <= COHORT
    made.poller.poller.poll = poll
    made.turn_until(lambda: len(made.exchanges) >= 6 * COHORT + len(newcomers))


def test_at_the_limit_those_who_have_asked_in_this_turn_keep_no_idle_one_from_making_room(
    house: Any, join: Any
) -> None:
    """Though they have been idle for the longest, and few are looked at."""
    made = house(limit_connections=COHORT + 1)
    long = [join(made, GET) for _ in range(COHORT - 1)]
    idle = [join(made), join(made)]
    made.turn_until(lambda: len(made.exchanges) == COHORT - 1)
    made.poller.now += 1
    for client in idle:
        client.send(GET)
    made.turn_until(lambda: made.states == ["IDLE"] * (COHORT + 1))
    for client in long:
        client.send(GET)
    newcomers = [join(made, GET) for _ in idle]
    made.turn()
    assert [has_left(client) for client in idle] == [True, True]
    made.turn_until(lambda: len(made.exchanges) == 2 * COHORT + len(newcomers))
    assert not any(has_left(client) for client in long)


def test_at_the_limit_with_none_idle_nobody_is_accepted_until_one_ends(house: Any, join: Any) -> None:
    made = house(limit_connections=2, timeout_head=3600)
    first, second = join(made, b"GET"), join(made)
    made.turn_until(lambda: made.states == ["HEAD", "HEAD"])
    third = join(made, GET)
    made.turn(5)
    assert len(made.loop.connections) == 2
    assert made.poller.polls[-3:] == [[]] * 3  # the client at the door does not keep the loop awake
    second.close()
    made.turn_until(lambda: made.exchanges)
    assert third.response().content == b"hello"
    assert not has_left(first)


def test_silent_clients_cannot_keep_others_out_for_ever(house: Any, join: Any) -> None:
    made = house(limit_connections=2)
    silent = [join(made), join(made)]
    made.turn_until(lambda: len(made.loop.connections) == 2)
    late = join(made, GET)
    made.turn_until(lambda: made.exchanges)
    assert [has_left(client) for client in silent] == [True, True]
    assert late.response().content == b"hello"


def test_at_the_limit_who_becomes_idle_makes_room(house: Any, join: Any) -> None:
    """It still answered when the other came; it is not kept for the whole of its keep-alive time."""
    made = house(limit_connections=1, timeout_keep_alive=600)
    given = made.hold()
    first = join(made, GET)
    made.turn_until(lambda: given)
    second = join(made, GET)
    made.turn(3)
    start = made.poller.now
    given.pop().run()
    made.turn_until(lambda: given)
    assert since(made, start) < 5
    assert has_left(first)
    given.pop().run()
    made.turn()
    assert second.response().content == b"hello"


def test_at_the_limit_nobody_makes_room_for_nobody(house: Any, join: Any) -> None:
    made = house(limit_connections=2)
    first = join(made, GET)
    made.turn(3)
    second = join(made, GET)
    made.turn(3)
    assert made.states == ["IDLE", "IDLE"]
    assert [has_left(first), has_left(second)] == [False, False]


def test_at_the_limit_each_who_comes_costs_one_idle_connection(house: Any, join: Any) -> None:
    made = house(limit_connections=8)
    idle = [join(made, GET) for _ in range(8)]
    made.turn(3)
    for _ in range(3):
        join(made, GET)
        made.turn(3)
    assert len(made.loop.connections) == 8
    assert sum(has_left(client) for client in idle) == 3


class Full(Listener):
    """A listener of a process that has no descriptors left."""

    full = True
    asked = 0

    def accept(self) -> Stream | None:
        self.asked += 1
        if self.full:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return super().accept()


def test_without_descriptors_the_loop_waits_told_once_and_does_not_spin(house: Any, join: Any) -> None:
    """Here the application holds them: there is not even a connection that could end."""
    made = house(listener=Full)
    client = join(made, GET)
    start = made.poller.now
    made.turn_until(lambda: made.poller.now > start + 60)
    assert made.listener.asked > 1
    assert len(made.poller.polls) < 60 * 4
    assert made.errors.getvalue().count("no room for more clients") == 1
    made.listener.full = False
    made.turn_until(lambda: made.exchanges)
    assert client.response().content == b"hello"


def test_without_descriptors_an_idle_connection_makes_room(house: Any, join: Any) -> None:
    made = house(listener=Full)
    made.listener.full = False
    idle = join(made, GET)
    made.turn_until(lambda: made.exchanges)
    made.listener.full = True
    join(made, GET)
    made.turn_until(lambda: has_left(idle))


def refuse_to_watch(made: House, refused: Callable[[int], bool], code: int = errno.ENOSPC) -> Callable[[], None]:
    """Have the poller fail with each change to a descriptor that is ``refused``; give what ends that."""
    usual = made.poller.watch

    def watch(descriptor: int, before: Interest, after: Interest) -> None:
        if refused(descriptor):
            raise OSError(code, os.strerror(code))
        usual(descriptor, before, after)

    made.poller.watch = watch
    return lambda: setattr(made.poller, "watch", usual)


@pytest.mark.parametrize(
    ("code", "told"),
    [
        (
            errno.ENOSPC,
            "no room for more clients (No space left on device); raise the limit (fs.epoll.max_user_watches)",
        ),
        (errno.EBADF, "the server failed with a client, and has closed that connection"),
    ],
)
def test_a_client_that_cannot_be_watched_is_let_go_and_the_others_are_served(
    house: Any, join: Any, code: int, told: str
) -> None:
    """epoll_ctl(2): a user may have so many descriptors watched; or somebody has closed this one."""
    made = house()
    client = join(made, GET)
    made.turn_until(lambda: made.states == ["IDLE"])
    take = refuse_to_watch(made, lambda descriptor: descriptor not in made.loop._listeners, code)
    unlucky = join(made)
    made.turn_until(lambda: has_left(unlucky))
    client.send(GET)
    made.turn_until(lambda: len(made.exchanges) == 2)
    take()
    late = join(made, GET)
    made.turn_until(lambda: len(made.exchanges) == 3)
    assert [each.response().content for each in (client, client, late)] == [b"hello"] * 3
    assert made.errors.getvalue().count(told) == 1


def test_a_client_whose_descriptor_somebody_has_closed_is_let_go_and_told_once(house: Any, join: Any) -> None:
    """Then the poller can neither change what it watches of it nor end that."""

    made = house(answering([bytes(10_000_000)]))
    client = join(made)
    made.turn_until(lambda: made.loop.connections)
    refuse_to_watch(made, lambda descriptor: descriptor in made.loop.connections, errno.EBADF)
    client.send(GET)
    made.turn_until(lambda: not made.loop.connections)
    assert made.errors.getvalue().count("the server failed with a client") == 1


def test_those_who_come_wait_at_the_door_while_they_cannot_be_watched(house: Any, join: Any) -> None:
    made = house()
    take = refuse_to_watch(made, lambda descriptor: descriptor not in made.loop._listeners)
    first, second = join(made), join(made)
    made.turn(3)
    assert [has_left(client) for client in (first, second)] == [True, False]
    take()
    second.send(GET)
    made.turn_until(lambda: made.exchanges)
    assert second.response().content == b"hello"


def test_a_response_has_left_before_a_client_that_cannot_be_watched_is_let_go(house: Any, join: Any) -> None:
    made = house()
    refuse_to_watch(made, lambda descriptor: descriptor not in made.loop._listeners)
    client = join(made, GET)
    made.turn_until(lambda: not made.loop.connections and made.exchanges)
    assert client.response().content == b"hello"
    assert client.rest() == b""


def test_listeners_that_cannot_be_watched_are_tried_again_until_they_can(
    house: Any, connect: Any, tmp_path: Path
) -> None:
    """Of two the second is refused, which then must not be taken for watched, nor the first be watched twice."""
    made = house()
    other = Listener(parse_address(f"unix:{tmp_path / 'other'}"))
    made.loop._watch_listeners(False)
    made.loop._listeners[other.fileno()] = other, made.loop._listeners[made.listener.fileno()][1]
    take = refuse_to_watch(made, lambda descriptor: descriptor == other.fileno())
    start = made.poller.now
    made.loop._watch_listeners(True)
    made.turn_until(lambda: made.poller.now > start + 60)
    assert len(made.poller.polls) < 60 * 4
    take()
    client = connect(other.address).send(GET)
    made.turn_until(lambda: made.exchanges)
    assert client.response().content == b"hello"
    assert made.errors.getvalue().count("no room for more clients") == 1


def test_who_has_asked_in_this_turn_makes_no_room(house: Any, join: Any) -> None:
    """The listeners come last in a turn, whatever the order of the events."""
    made = house(listener=Full)
    made.poller.order = lambda descriptor: descriptor != made.listener.fileno()
    made.listener.full = False
    first = join(made, GET)
    made.turn_until(lambda: made.states == ["IDLE"])
    second = join(made, GET)
    first.send(GET)
    made.listener.full = True
    made.turn()
    made.listener.full = False
    made.turn_until(lambda: len(made.exchanges) == 3)
    assert not has_left(first)
    assert second.response().content == b"hello"


def test_who_came_in_the_turn_in_which_it_made_room_is_not_taken_for_it(house: Any, join: Any) -> None:
    """The new client may have the number of the old one, whose event is still to come, or another."""
    made = house(limit_connections=3)
    made.poller.order = lambda descriptor: descriptor != made.listener.fileno()
    low = os.open(os.devnull, os.O_RDONLY)
    old = [join(made, GET) for _ in range(3)]
    made.turn(3)
    new = [join(made, GET.replace(b"/ ", b"/new ")) for _ in range(2)]
    for client in old:
        client.send(GET)
    os.close(low)
    made.turn_until(lambda: [exchange.request.path for exchange in made.exchanges].count("/new") == 2)
    assert [client.response().content for client in new] == [b"hello"] * 2


def test_without_descriptors_a_connection_that_ends_makes_room(house: Any, join: Any) -> None:
    made = house(listener=Full, timeout_head=3600)
    made.listener.full = False
    first = join(made, b"GET")
    made.turn_until(lambda: made.states == ["HEAD"])
    made.listener.full = True
    second = join(made, GET)
    made.turn_until(lambda: made.listener.asked > 2)
    made.listener.full = False
    first.close()
    made.turn_until(lambda: made.exchanges)
    assert second.response().content == b"hello"


HOG = """
import resource, sys
from wsgiserver import Server
from wsgiserver.loop import Loop

turn, turns = Loop.turn, 0

def count(loop):
    global turns
    turns += 1
    return turn(loop)

def app(environ, start_response):
    start_response("200 OK", [])
    return [b"%d" % turns]

Loop.turn = count
resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))
with Server(app, bind=f"unix:{sys.argv[1]}", timeout_head=3600):
    print("ready", flush=True)
    sys.stdin.read()
"""


def test_a_process_out_of_descriptors_serves_again_when_there_is_room(connect: Any, tmp_path: Path) -> None:
    pytest.importorskip("resource", reason="this system has no limits on descriptors")
    path, pipe = str(tmp_path / "s"), subprocess.PIPE
    command = [sys.executable, "-c", HOG, path]
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as process:
        try:
            assert process.stdout.readline() == "ready\n"
            known = connect(path)
            before = int(known.get().content)
            hogs = [connect(path).send(b"GET") for _ in range(60)]
            assert "no room for more clients" in process.stderr.readline()
            for hog in hogs:
                hog.close()
            client = connect(path)
            turns = int(client.get().content) - before
            out, err = process.communicate(timeout=PATIENCE)
        finally:
            process.kill()
    assert turns < 1000
    assert (out, err, process.returncode) == ("", "", 0)


# What is over when


def test_a_client_that_says_nothing_is_let_go_without_a_word(house: Any, join: Any) -> None:
    made = house(timeout_head=10)
    start = made.poller.now
    client = join(made)
    made.turn_until(lambda: made.loop.connections)
    made.turn_until(lambda: not made.loop.connections)
    assert 10 <= since(made, start) < 13
    assert client.rest() == b""


@pytest.mark.parametrize("data", [b"G", GET[:-1]])
def test_a_head_that_is_not_whole_in_time_is_answered_408(house: Any, join: Any, data: bytes) -> None:
    made = house(timeout_head=10)
    start = made.poller.now
    client = join(made, data)
    made.turn_until(lambda: made.exchanges)
    assert 10 <= since(made, start) < 13
    assert client.response().status == 408
    assert client.rest() == b""


def test_a_head_that_comes_drop_by_drop_gets_no_more_time(house: Any, join: Any) -> None:
    made = house(timeout_head=10)
    start = made.poller.now
    client = join(made, b"GET / HTTP/1.1\r\n")
    while not made.exchanges:
        client.send(b"x")
        made.turn(2)
        made.poller.now += 1
    assert 10 <= since(made, start) < 13


def test_a_body_has_time_between_two_pieces_and_not_as_a_whole(house: Any, join: Any) -> None:
    made = house(timeout_body=10)
    client = join(made, b"PUT / HTTP/1.1\r\nHost: test\r\nContent-Length: 100\r\n\r\n")
    for _ in range(20):
        made.turn(3)
        made.poller.now += 9
        client.send(b"x")
    made.turn(3)
    assert made.states == ["BODY"]
    start = made.poller.now
    made.turn_until(lambda: made.exchanges)
    assert since(made, start) < 13
    assert client.response().status == 408


HALF_BODY = b"POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n"


@pytest.mark.parametrize(
    ("state", "before", "bad"),
    [
        ("HEAD", b"", b"BAD\r\n\r\n"),
        ("HEAD", b"GET / HTTP/1.1\r\n", b"BAD LINE\r\n\r\n"),
        ("IDLE", GET, b"BAD\r\n\r\n"),
        ("BODY", HALF_BODY, b"xBAD\r\n"),
    ],
    ids=["first head", "half a head", "idle", "body"],
)
def test_a_bad_request_that_comes_when_its_time_is_over_is_refused_and_the_others_are_served(
    house: Any, join: Any, state: str, before: bytes, bad: bytes
) -> None:
    """It comes between its deadline and the next sweep, which would have closed the connection."""
    made = house(timeout_head=10, timeout_body=10, timeout_keep_alive=10)
    client, other = join(made, before), join(made, GET)
    made.turn_until(lambda: made.states == [state, "IDLE"])
    answered = client.response() if state == "IDLE" else None
    made.poller.now += 10.2
    made.loop._next_sweep = made.poller.now + 0.8
    client.send(bad)
    made.turn(4)
    assert client.response().status == 400
    assert answered is None or answered.status == 200
    other.response()
    other.send(GET)
    made.turn(4)
    assert other.response().content == b"hello"


def test_an_idle_connection_is_closed_when_its_time_is_over(house: Any, join: Any) -> None:
    made = house(timeout_keep_alive=15)
    client = join(made, GET)
    made.turn_until(lambda: made.states == ["IDLE"])
    start = made.poller.now
    made.turn_until(lambda: not made.loop.connections)
    assert 15 <= since(made, start) < 18
    assert client.response().content == b"hello"
    assert client.rest() == b""


def test_a_connection_that_is_idle_soon_forgets_what_it_has_read(house: Any, join: Any) -> None:
    """Each may hold 30 KB of its last head."""
    made = house()
    join(made, GET)
    made.turn_until(lambda: made.states == ["IDLE"])
    (connection,) = made.loop.connections.values()
    start = made.poller.now
    made.turn_until(lambda: not connection._reader._head)
    assert connection.state.name == "IDLE"
    assert since(made, start) < 5


def test_a_client_that_takes_nothing_of_its_response_is_reset(house: Any, join: Any) -> None:
    made = house(answering([b"x" * 10_000_000]), timeout_send=20)
    join(made, GET)
    made.turn_until(lambda: made.states == ["WRITING"])
    start = made.poller.now
    made.turn_until(lambda: not made.loop.connections)
    assert 20 <= since(made, start) < 23
    (exchange,) = made.turn().exchanges
    assert not exchange.complete
    assert isinstance(exchange.error, TimeoutError)


def test_a_client_that_takes_a_little_and_then_nothing_is_reset_as_soon(house: Any, join: Any) -> None:
    """So little that the system does not call the socket writable: to find it at the end is no progress."""

    made = house(answering([b"x" * 3_000_000]), timeout_send=20)
    client = join(made, GET)
    made.turn_until(lambda: made.states == ["WRITING"])
    start = made.poller.now
    assert client.socket.recv(100_000)
    made.turn_until(lambda: not made.loop.connections)
    assert since(made, start) < 25
    (exchange,) = made.turn().exchanges
    assert not exchange.complete


def test_a_client_that_takes_its_response_slowly_is_waited_for(house: Any, join: Any) -> None:
    """Though so slowly that the system, which waits until half its buffer is free, never calls the socket writable."""

    made = house(answering([b"x" * 3_000_000]), timeout_send=20)
    client = join(made, GET)
    made.turn_until(lambda: made.states == ["WRITING"])
    start = made.poller.now
    while not made.exchanges:
        assert client.socket.recv(50_000)
        made.turn(3)
        made.poller.now += 15
    assert since(made, start) > 60
    assert made.exchanges[0].complete


def test_after_its_last_response_a_client_is_read_for_a_moment_only(house: Any, join: Any) -> None:
    """RFC 9112 section 9.6."""
    made = house()
    client = join(made, b"nonsense\r\n\r\n")
    made.turn_until(lambda: made.exchanges)
    assert client.rest().startswith(b"HTTP/1.1 400 ")
    assert made.states == ["LINGERING"]
    client.send(b"more")
    start = made.poller.now
    made.turn_until(lambda: not made.loop.connections)
    assert since(made, start) < 5


@pytest.mark.parametrize("moment", [0.1, 0.5, 0.9, 1.0, 1.1, 5.5])
def test_a_silent_client_is_let_go_whenever_it_came(house: Any, join: Any, moment: float) -> None:
    """Also shortly after the loop has looked at all deadlines, found none, and has nothing to wake up for."""
    made = house(timeout_head=10)
    made.turn_until_it_sleeps()
    made.poller.now += moment
    join(made)
    made.turn_until(lambda: made.loop.connections)
    made.turn_until(lambda: not made.loop.connections)


@pytest.mark.parametrize("moment", [0.1, 0.5, 0.9, 1.0, 1.1, 5.5])
def test_a_connection_is_let_go_whenever_its_exchange_was_over(house: Any, join: Any, moment: float) -> None:
    """While the only exchange ran on a worker there was nothing to wake up for."""
    made = house()
    given = made.hold()
    join(made, GET)
    made.turn_until(lambda: given)
    made.turn_until_it_sleeps()
    made.poller.now += moment
    given[0].run()
    made.turn_until(lambda: made.states == ["IDLE"])
    made.turn_until(lambda: not made.loop.connections)


def test_a_loop_with_nothing_to_wait_for_sleeps_until_it_is_woken(house: Any) -> None:
    made = house()
    made.turn_until_it_sleeps()
    assert len(made.poller.polls) < 5


def test_a_loop_tells_for_how_long_it_has_waited(house: Any, join: Any) -> None:
    """What has passed besides it had something to do, or its applications slept."""

    def application(environ: Environ, start_response: Any) -> Iterable[bytes]:
        made.poller.now += 10
        return hello(environ, start_response)

    made = house(application)
    began = made.poller.now
    join(made, GET)
    made.turn_until(lambda: made.exchanges)
    made.turn_until(lambda: not made.loop.connections)
    assert made.poller.now > began + 10
    assert made.loop.idle_time == pytest.approx(made.poller.now - began - 10)


# Stopping


def test_who_has_asked_before_the_stop_is_answered_though_nobody_had_the_time_to_accept(house: Any, join: Any) -> None:
    """With one thread the application may have had it; who has not asked yet is closed."""
    made = house()
    clients = [join(made, GET) for _ in range(4 * COHORT)]
    silent = join(made)
    made.loop.stop(30)
    made.turn_until(lambda: made.loop.over)
    assert [client.response().content for client in clients] == [b"hello"] * 4 * COHORT
    assert has_left(silent)


def test_a_listener_that_fails_at_the_stop_keeps_nobody_from_an_answer(house: Any, join: Any) -> None:
    """Its other owner may have shut it down."""

    class ShutDown(Listener):
        def accept(self) -> Stream | None:
            if made.loop._stop_at is not None:
                raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
            return super().accept()

    made = house(listener=ShutDown)
    client = join(made)
    made.turn_until(lambda: made.loop.connections)
    client.send(GET)
    made.loop.stop(30)
    made.turn_until(lambda: made.loop.over)
    assert client.response().content == b"hello"
    assert "takes no more clients" in made.errors.getvalue()


def test_a_loop_that_is_stopped_closes_the_idle_and_waits_for_the_others(house: Any, join: Any) -> None:
    made = house()
    silent, idle = join(made), join(made, GET)
    made.turn_until(lambda: made.exchanges)
    given = made.hold()
    running = join(made, GET)
    made.turn_until(lambda: given)
    made.loop.stop(30)
    made.turn(3)
    assert (made.states, made.loop.over) == (["ANSWERING"], False)
    assert silent.rest() == b""
    assert idle.response().getheader("Connection") is None
    assert idle.rest() == b""
    given[0].run()
    made.turn(2)
    assert running.response().getheader("Connection") == "close"
    assert running.rest() == b""
    running.close()
    made.turn_until(lambda: made.loop.over)
    assert made.exchanges[-1].complete


def test_a_loop_that_is_stopped_reads_on_for_a_moment_from_a_client_that_it_has_refused(house: Any, join: Any) -> None:
    """RFC 9112 section 9.6: else the answer could be lost to a reset."""
    made = house()
    client = join(made, b"nonsense\r\n\r\n")
    made.turn_until(lambda: made.states == ["LINGERING"])
    made.loop.stop(30)
    made.turn(3)
    client.send(b"more of it")
    made.turn(3)
    assert (made.states, made.loop.over) == (["LINGERING"], False)
    start = made.poller.now
    made.turn_until(lambda: made.loop.over)
    assert since(made, start) < 2
    assert client.rest().startswith(b"HTTP/1.1 400 ")


def test_a_loop_that_is_stopped_answers_a_request_that_has_begun_to_come(house: Any, join: Any) -> None:
    made = house()
    client = join(made, b"PUT / HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n\r\nhe")
    other = join(made, GET[:10])
    made.turn_until(lambda: sorted(made.states) == ["BODY", "HEAD"])
    made.loop.stop(30)
    made.turn(2)
    client.send(b"llo")
    other.send(GET[10:])
    made.turn_until(lambda: len(made.exchanges) == 2)
    for each in (client, other):
        assert each.response().getheader("Connection") == "close"
        each.close()
    made.turn_until(lambda: made.loop.over)


@pytest.mark.parametrize("data", [b"GET", GET])
def test_a_loop_that_is_stopped_is_over_when_the_time_is(house: Any, join: Any, data: bytes) -> None:
    """Whether a client does not come to its end, or an exchange."""
    made = house(timeout_head=3600)
    made.hold()
    join(made, data)
    made.turn_until(lambda: made.states == (["ANSWERING"] if data == GET else ["HEAD"]))
    start = made.poller.now
    made.loop.stop(30)
    made.turn_until(lambda: made.loop.over)
    assert 30 <= since(made, start) < 32


def test_a_loop_that_is_stopped_again_with_less_time_has_less(house: Any, join: Any) -> None:
    made = house(timeout_head=3600)
    join(made, b"GET")
    made.turn_until(lambda: made.states == ["HEAD"])
    start = made.poller.now
    made.loop.stop(30)
    made.turn(3)
    made.loop.stop(0)
    made.loop.stop(30)
    made.turn_until(lambda: made.loop.over)
    assert since(made, start) < 5
