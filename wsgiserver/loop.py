"""Takes listeners and connections, and moves their bytes: one turn polls, reads all, runs all, writes all.

The thread that leads calls ``turn`` again and again. Each kind of work is done for all ready connections before the
next kind is begun: that keeps the processor's caches warm, and saves Flask's hello a fifth of its time. ``baton``
decides on which thread the application is called; ``connection`` decides what its bytes mean.

Two deques hold what a turn has read and not yet run, and what was run and has not yet left. They belong to whoever
leads. When the loop changes hands in the middle of a call, the new leader begins with ``turn`` and so writes first,
then goes on with the rest; the old one returns without touching either.

Who may call what: ``turn`` and everything it calls, the leader; ``hand_in``, ``crowd``, ``wake`` and ``stop``, any
thread; ``close``, whoever ends the server; ``leave_to_parent``, the one thread of a child process. What is handed in
after ``close`` is disposed of by the thread that hands it in.
"""

import errno
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from heapq import nsmallest
from threading import Lock
from typing import Final

from wsgiserver.connection import Connection
from wsgiserver.environ import base_environ
from wsgiserver.exchange import Exchange
from wsgiserver.gateway import end_child
from wsgiserver.pollers import HeldCalls, Poller, Waker, default_poller
from wsgiserver.site import Environ, Site
from wsgiserver.sockets import Listener
from wsgiserver.states import ANSWERING, CLOSED, IDLE, LINGERING, NOTHING, READ, WRITING

# How many connections a turn reads at most: enough for warm caches, few enough that nobody waits long.
COHORT: Final = 16
# Seconds after which the run phase lets leave what is done, so that it does not wait for slower applications; with half
# as many, the Flask of a slow hour takes 3 to 6 % more.
RUN_TIME: Final = 0.002
# Seconds between two sweeps for deadlines that have passed, which is how exact they are.
SWEEP: Final = 1.0
# Seconds that a server which stops reads on from clients that it has closed, see ``State.LINGERING``.
LINGER_STOPPING: Final = 0.1
# No room for a client: not enough descriptors or memory (accept(2)), or as many watched as a user may (epoll_ctl(2)).
_NO_ROOM: Final = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.ENOSPC))


class Loop:
    """All connections of one server, and who of them waits for what.

    ``call`` is given a connection whose exchange is ready, and sees to it that its ``run`` is called; it returns False
    when the calling thread leads no longer, and ``turn`` then returns at once.
    """

    def __init__(
        self,
        site: Site,
        listeners: Sequence[Listener],
        call: Callable[[Connection], bool],
        *,
        poller: Poller | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.site = site
        self.call = call
        self.connections: dict[int, Connection] = {}
        self._ready: deque[Connection] = deque()
        self._unsent: deque[Connection] = deque()
        self._clock = clock
        self._now = clock()
        self._next_sweep = self._now + SWEEP
        # Other threads want the GIL: receive and send without giving it to them, see ``crowd``.
        self.crowded = False
        self._held_calls: HeldCalls | None = None
        self._listeners: dict[int, tuple[Listener, Environ]] = {
            listener.fileno(): (listener, base_environ(site, listener.name, listener.port)) for listener in listeners
        }
        self._watched_listeners: list[int] = []
        self._accepting = False
        self._told_no_room = False
        self._poller = poller or default_poller()
        self._waker = Waker()
        self._poller.watch(self._waker.descriptor, NOTHING, READ)
        # The leader is about to sleep in the poller, or does: who hands in must wake it, but for the first of them.
        self._asleep = False
        # Seconds that leaders have slept there; any thread may read it.
        self.idle_time = 0.0
        # When to be through with what is under way, once somebody has asked to stop.
        self._stop_at: float | None = None
        # What was not answered by then; None for a request whose head had not come whole.
        self.unanswered: list[Exchange | None] = []
        self.over = False
        self._stopping_since: float | None = None
        self._disposing = Lock()
        self._watch_listeners(True)

    # -- for any thread --------------------------------------------------------------------------------------------

    def hand_in(self, connection: Connection) -> None:
        """Give back a connection whose response was laid down.

        The leader first says that it is asleep and then looks into the deque; here it is the other way round. So
        either it sees the connection, or it is woken. One waker will do for all who come before it is awake.
        """
        self._unsent.append(connection)
        if self._asleep:
            self._asleep = False
            self._waker.wake()
        elif self.site.closed:
            if self.site.forked:
                end_child(self.site)  # the application has come back in a child process, where nothing is its own
            self._dispose()

    def crowd(self, crowded: bool) -> None:
        """Note whether other threads keep the GIL from the leader; called by one thread at a time. Never raises."""
        if crowded and self._held_calls is None and HeldCalls.possible():
            # Not before, for to load what it needs takes 3 ms. Without it (no descriptor is left to read it from, or
            # this Python was built without ctypes) the usual calls serve.
            with suppress(Exception):
                self._held_calls = HeldCalls()
        self.crowded = crowded

    def wake(self) -> None:
        """Make the leader look around."""
        self._waker.wake()

    def stop(self, timeout: float) -> None:
        """Accept nobody any more, answer what is under way for ``timeout`` seconds at most, then be over."""
        stop_at = self._clock() + timeout
        self.site.stopping = True
        if self._stop_at is None or stop_at < self._stop_at:
            self._stop_at = stop_at
        self.wake()

    # -- for the leader --------------------------------------------------------------------------------------------

    def turn(self) -> bool:
        """Poll, read all, run all, write all; False when this thread leads no longer, or the loop is over."""
        if self._unsent:
            self._write()
        self.site.show_finished()  # who has left in the last turn, or while another led
        self._read()
        if not self._run():
            return False
        if self._unsent:
            self._write()
        if self._now >= self._next_sweep:
            self._sweep()
        if self._stop_at is not None:
            self._stop(self._stop_at)
        return not self.over

    def _timeout(self, now: float) -> float | None:
        """Give the seconds to wait in the poller: none where there is work, for ever where nothing can expire."""
        if self._ready or self._unsent:
            return 0
        if self._next_sweep == float("inf"):
            return None
        return max(self._next_sweep - now, 0)

    def _read(self) -> None:
        """Phase one: wait for clients that are ready, and receive from each."""
        self._asleep = True
        began = self._clock()
        events = self._poller.poll(self._timeout(began), COHORT)
        self._asleep = False
        self._now = self._clock()
        self.idle_time += self._now - began
        if events:
            self._sweep_soon()
        connections = self.connections
        others = []
        for descriptor, _ in events:
            connection = connections.get(descriptor)
            if connection is None:
                others.append(descriptor)
                continue
            if connection.state is IDLE or connection.state.interest is READ:
                if not connection.queued:
                    self._receive(connection)
            elif connection.state is WRITING:
                self._unsent.append(connection)
            else:
                # Its exchange runs, and it sends more or has left: not to be told again until it is given back.
                self._settle(connection)
        # Last, for a newcomer may take the place of one who is idle, but not of one who has just asked.
        for descriptor in others:
            if descriptor == self._waker.descriptor:
                self._waker.drain()
            elif descriptor in self._listeners:  # else a connection that was closed earlier in this turn
                self._accept_clients(*self._listeners[descriptor])

    def _receive(self, connection: Connection) -> bool:
        """Receive from a client; False when nothing is there."""
        try:
            if self.crowded and self._held_calls is not None:
                data = self._held_calls.recv(connection.descriptor, connection.receive_size)
            else:
                data = connection.stream.recv(connection.receive_size)
        except BlockingIOError:
            self._settle(connection)
            return False
        except (OSError, MemoryError):
            data = b""
        if connection.receive(data):
            connection.queued = True
            self._ready.append(connection)
        else:
            self._settle(connection)
        return True

    def _run(self) -> bool:
        """Phase two: parse, and call the application, for each that was read; False when the loop has changed hands."""
        ready, unsent, call, clock, now = self._ready, self._unsent, self.call, self._clock, self._now
        until = now + RUN_TIME
        for _ in range(min(len(ready), COHORT)):
            connection = ready.popleft()
            connection.queued = False
            try:
                if not connection.advance(now):
                    if connection.deadline <= now:
                        connection.expire(now)
                    self._settle(connection)
                    continue
            except Exception as error:
                self._drop(connection, error)
                continue
            if not call(connection) or self.site.closed:
                return False
            if unsent and clock() > until:
                self._write()
                now = self._now
                until = now + RUN_TIME
        return True

    def _write(self) -> None:
        """Phase three: let leave what was laid down."""
        unsent = self._unsent
        self._now = now = self._clock()
        held_send = self._held_calls.send if self.crowded and self._held_calls is not None else None
        while unsent:
            connection = unsent.popleft()
            try:
                if connection.flush(now, held_send):
                    connection.queued = True
                    self._ready.append(connection)
                elif connection.state is not IDLE or connection.interest is not READ or not self._accepting:
                    self._settle(connection)
            except Exception as error:
                self._drop(connection, error)
        self.site.show_finished()
        self._sweep_soon()

    def _sweep_soon(self) -> None:
        """Note that a state has changed perhaps, and has a nearer deadline than any at the last sweep."""
        if self._next_sweep > self._now + SWEEP:
            self._next_sweep = self._now + SWEEP

    def _settle(self, connection: Connection) -> None:
        """Watch of the connection what its state asks for; let go of it where it has ended, or cannot be watched."""
        interest = connection.state.interest
        if interest is not connection.interest:
            try:
                self._poller.watch(connection.descriptor, connection.interest, interest)
            except OSError as error:
                connection.interest = NOTHING
                if error.errno in _NO_ROOM:
                    connection.close(abrupt=not connection.unasked)
                    self._forget(connection)
                    self._run_out(error, None)
                else:
                    self._drop(connection, error)
                return
            connection.interest = interest
        if connection.state is CLOSED:
            self._forget(connection)
        elif not self._accepting and connection.state is IDLE:
            self._watch_listeners(True)  # it can make room for one who waits at the door

    def _drop(self, connection: Connection, error: Exception) -> None:
        """Let go of a client with whom the server itself has failed, or had no memory left; the others are served."""
        self.site.report("the server failed with a client, and has closed that connection", error)
        connection.close(abrupt=True)
        try:
            self._settle(connection)
        except Exception:  # the poller does not know it, or it is forgotten already
            self._forget(connection)

    def _forget(self, connection: Connection) -> None:
        if self.connections.get(connection.descriptor) is not connection:
            return  # it was forgotten before, and its number may be a newcomer's
        del self.connections[connection.descriptor]
        connection.abandon(self._now)
        if connection.abrupt:
            connection.stream.reset()
        else:
            connection.stream.close()
        if not self._accepting:
            self._watch_listeners(True)

    # -- who comes -------------------------------------------------------------------------------------------------

    def _watch_listeners(self, wanted: bool) -> None:
        """Watch the listeners, or leave them alone so that those who come wait in the system's queue."""
        if wanted == self._accepting or (wanted and self._stop_at is not None):
            return
        self._accepting = wanted
        if not wanted:
            while self._watched_listeners:
                self._poller.watch(self._watched_listeners.pop(), READ, NOTHING)
            return
        try:
            for descriptor in self._listeners:
                self._poller.watch(descriptor, NOTHING, READ)
                self._watched_listeners.append(descriptor)
        except OSError as error:
            if error.errno not in _NO_ROOM:
                raise
            self._run_out(error, None)
            self._sweep_soon()  # which tries again

    def _accept_clients(self, listener: Listener, base: Environ) -> None:
        """Take in the clients that wait at a listener, and receive what they have sent already."""
        limit = self.site.settings.limit_connections
        longest_idle = self._longest_idle()
        for _ in range(COHORT):
            idle = next(longest_idle, None) if len(self.connections) >= limit else None
            if idle is None and len(self.connections) >= limit:
                self._watch_listeners(False)
                return
            try:
                stream = listener.accept()
            except OSError as error:
                if error.errno in _NO_ROOM:
                    self._run_out(error, next(longest_idle, None))
                else:
                    self._give_up(listener, error)
                return
            if stream is None:
                return
            if idle is not None and len(self.connections) >= limit:  # else somebody has left
                self._dismiss(idle)
            connection = Connection(self.site, stream, base, self.hand_in, self._now)
            connection.descriptor = stream.fileno()
            self.connections[connection.descriptor] = connection
            self._receive(connection)
            if not self._accepting and self._stop_at is None:
                return  # there was no room to watch it

    def _longest_idle(self) -> Iterator[Connection]:
        """Find those who have been idle for the longest, and have not asked meanwhile or left; some, once in a turn."""
        idle = (c for c in self.connections.values() if c.state is IDLE and not c.queued)
        for connection in nsmallest(COHORT, idle, key=lambda connection: connection.deadline):
            if connection.state is IDLE and not connection.queued and not self._receive(connection):
                yield connection

    def _dismiss(self, idle: Connection) -> None:
        idle.close()
        self._settle(idle)

    def _give_up(self, listener: Listener, error: OSError) -> None:
        """Go on without a listener that its other owner has shut down, say; others are served."""
        self.site.report(f"{listener.url} takes no more clients ({error.strerror}); start the server again to mend it")
        descriptor = listener.fileno()
        if descriptor in self._watched_listeners:
            self._watched_listeners.remove(descriptor)
            self._poller.watch(descriptor, READ, NOTHING)
        del self._listeners[descriptor]
        listener.close()

    def _run_out(self, error: OSError, idle: Connection | None) -> None:
        """Deal with a system that has no room for another client: make some, or wait until one ends."""
        if not self._told_no_room:
            self._told_no_room = True
            limit = "fs.epoll.max_user_watches" if error.errno == errno.ENOSPC else "ulimit -n"
            self.site.report(f"no room for more clients ({error.strerror}); raise the limit ({limit})")
        if idle is None:
            self._watch_listeners(False)
        else:
            self._dismiss(idle)

    # -- time ------------------------------------------------------------------------------------------------------

    def _sweep(self) -> None:
        """Expire what has waited too long; when nothing can, the next event sets the time of the next sweep."""
        now = self._now
        nearest = float("inf")
        for connection in list(self.connections.values()):
            if connection.state is ANSWERING:
                continue
            if connection.deadline <= now and not connection.queued:
                try:
                    self._expire(connection, now)
                except Exception as error:
                    self._drop(connection, error)
            elif connection.state is IDLE:
                connection.rest()
            elif connection.state is WRITING:
                self._unsent.append(connection)  # see ``connection.SEND_AGAIN``
            nearest = min(nearest, now if connection.state is WRITING else connection.deadline)  # perhaps of ``expire``
        self._next_sweep = max(nearest, now + SWEEP)
        if self._unsent:
            self._write()
        if not self._accepting and len(self.connections) < self.site.settings.limit_connections:
            self._watch_listeners(True)

    def _expire(self, connection: Connection, now: float) -> None:
        """Deal with a connection whose time is over, unless it has sent something that nobody had the time to read."""
        if connection.state.interest is READ and self._receive(connection):
            return
        if connection.state is CLOSED:
            return
        if connection.expire(now):
            connection.queued = True
            self._ready.append(connection)
        else:
            self._settle(connection)

    def _stop(self, stop_at: float) -> None:
        """Close what can be closed now; be over when nothing is left, or the time is."""
        if self._stopping_since is None:
            self._stopping_since = self._now
            for listener, base in list(self._listeners.values()):  # who fails now leaves the table
                before = -1
                while before < len(self.connections):  # those who are at the door may have asked already
                    before = len(self.connections)
                    self._accept_clients(listener, base)
            self._watch_listeners(False)
            for listener, _ in self._listeners.values():
                listener.close()
        late = self._now >= stop_at
        for connection in list(self.connections.values()):
            if connection.state is ANSWERING or connection.queued:
                continue
            # What was asked before the stop is answered, though it was not read yet.
            if connection.state is LINGERING:
                ended = self._now >= self._stopping_since + LINGER_STOPPING
            else:
                ended = connection.unasked and not self._receive(connection)
            if late or ended:
                if not ended and connection.state not in (LINGERING, CLOSED):
                    self.unanswered.append(connection.exchange)
                connection.close()
                self._settle(connection)
        self.over = late or not self.connections
        self._next_sweep = min(self._next_sweep, stop_at, self._now + LINGER_STOPPING)

    # -- the end ---------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Close everything; nobody leads any more, or the leader is stuck in an application and will find it so."""
        self.site.closed = True
        for connection in list(self.connections.values()):
            if connection.outlasted is not None:
                connection.close()
                connection.stream.close()
            elif connection.state is ANSWERING:
                # Its exchange finds that the client has left, and ``hand_in`` disposes of it.
                connection.stream.abort()
            else:
                self._reset(connection)
        self.connections.clear()
        self._dispose()
        for listener, _ in self._listeners.values():
            listener.close()
        self._poller.close()
        self._waker.close()

    def leave_to_parent(self) -> None:
        """Let go of everything in a child process, by closing copies of descriptors only: the parent serves on.

        Called before anything else in the child. Whoever returns there from an application ends with the child.
        """
        self.site.closed = self.site.forked = True
        self._asleep = False
        self.site.observers = ()
        for connection in self.connections.values():
            connection.leave_to_parent()
        self.connections.clear()
        self._ready.clear()
        for listener, _ in self._listeners.values():
            listener.close_in_child()
        self._poller.close()
        self._waker.close_in_child()

    def _dispose(self) -> None:
        """Close what is handed in when nobody leads any more, on the thread that hands it in."""
        with self._disposing:
            with suppress(IndexError):
                while True:
                    connection = self._unsent.popleft()
                    if connection.state is CLOSED:
                        continue  # its application has outlasted even the loop
                    self._reset(connection)
            self.site.show_finished()

    def _reset(self, connection: Connection) -> None:
        """End a connection at once; a reset shows its client that something is missing."""
        connection.abandon(self._clock())
        connection.close()
        connection.stream.reset()
