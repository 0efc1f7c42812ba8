"""Takes an application and settings, puts listeners, loop and baton together, and serves until it is stopped.

``Server`` is one process's server and can be one of many; ``serve`` is what the command calls: it owns the process,
so it alone listens to signals.
"""

import contextlib
import math
import os
import sys
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any

from wsgiserver.addresses import Address, parse_address
from wsgiserver.baton import Baton
from wsgiserver.crowds import Crowd
from wsgiserver.descriptors import make_room
from wsgiserver.exchange import Exchange
from wsgiserver.logs import AccessLog, ErrorStream, at_terminal, coloured, escape
from wsgiserver.loop import Loop
from wsgiserver.messages import SHOWN
from wsgiserver.settings import BY_NAME, BadSetting, Settings, with_values
from wsgiserver.signals import Signals
from wsgiserver.site import Application, Observer, Site, check_application
from wsgiserver.sockets import Listener
from wsgiserver.states import CLOSED, LINGERING

# Seconds that threads get to end once the loop is over and their exchanges are.
JOIN_TIME = 5.0
# Seconds for an application that is told so late that its client has gone to say good-bye, in ``close()`` perhaps.
FAREWELL = 0.2
# How many of the requests that a stop has cut are named.
NAMED = 3
# Seconds that the loop gets to see that its time is over.
GRACE = 1.0

# Seconds that the command serves before it loads what reports of errors need.
SETTLED = 0.1

# Seconds after which a thread that computes gives the GIL to the loop, while there is one. A turn of the loop, which is
# seldom longer, keeps the GIL too; with half as many, each is stopped more often, and there are 20 % fewer requests a
# second; with twice as many, a loop that never rests leaves next to nothing for the thread that computes.
CROWDED_INTERVAL = 0.0004


class Server:
    """Serves a WSGI application in the background, from ``start`` to ``stop`` or inside a ``with`` block.

    ``settings`` are those of the command; keyword arguments stand for single ones: ``Server(app, bind="127.0.0.1:0")``.
    ``observers`` are called with each finished ``Exchange``, on one thread at a time; one that has a method
    ``observe_turn`` has that called instead, with a list of those that finished in a turn of the loop.

    It listens when ``start`` returns. Raises ``BadSetting``, ``AddressError`` or ``BindError``: one line for people.
    """

    def __init__(
        self,
        application: Application,
        *,
        settings: Settings | None = None,
        observers: Sequence[Observer] = (),
        **overrides: Any,
    ) -> None:
        check_application(application)
        self.settings = _override(settings, overrides)
        self.listeners: list[Listener] = []
        self._errors = ErrorStream()
        self.site = self._make_site(application, observers)
        self._loop: Loop | None = None
        self._baton: Baton | None = None
        self._over = threading.Event()
        # The first to stop closes; others wait until it has.
        self._closing = threading.Lock()
        self._failure: BaseException | None = None
        self._told_no_thread = False
        self._closed = False
        # Until when, of ``time.monotonic``, what is under way is waited for; for ever, until it is asked to stop.
        self.stop_at = math.inf
        # Set by ``serve``: the interpreter's settings are the server's to change, and it ends at these signals.
        self._owns_process = False
        self._signals: Signals | None = None
        # What it was before a heavy crowd, as long as there is one.
        self._switch_interval: float | None = None

    def _make_site(self, application: Application, observers: Sequence[Observer]) -> Site:
        if self.settings.strict:
            from wsgiserver.strict import Reporter, strict  # only for those who ask for it

            application = strict(application, report=Reporter(self._errors))
        return Site(application, self.settings, self._errors, observers, multithread=self.settings.threads > 1)

    # -- where it listens ------------------------------------------------------------------------------------------

    @property
    def address(self) -> tuple[str, int] | str:
        """Host and port of the first listener, or the path of its Unix socket; RuntimeError before the start."""
        return self._first_listener.address

    @property
    def url(self) -> str:
        """Where the first listener is reached from this machine; RuntimeError before the start."""
        return self._first_listener.url

    @property
    def _first_listener(self) -> Listener:
        if not self.listeners:
            raise RuntimeError("this server has not started: it listens nowhere yet")
        return self.listeners[0]

    @property
    def urls(self) -> list[str]:
        """Where the server is reached, all listeners and all addresses of the machine together."""
        return [url for listener in self.listeners for url in listener.urls]

    # -- its life --------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Listen, and serve in threads of its own. Clients can connect when this returns.

        Raises ``AddressError`` or ``BindError``, one line for people, and RuntimeError when it was started already.
        """
        if self._loop is not None:
            raise RuntimeError("this server was started already")
        try:
            for text in self.settings.bind:
                self.listeners.append(self._listen(parse_address(text)))
            baton = Baton(
                self._turn,
                self.settings.threads,
                crowded=self._crowd,
                failed=self._fail,
                refused=self._say_no_thread,
                wake=self._wake,
                idle_time=self._idle_time,
            )
            self.site.will_block = baton.will_block
            self._loop = Loop(self.site, self.listeners, baton.call)
            self._baton = baton
            if not self._owns_process:
                with contextlib.suppress(Exception):
                    rehearse_failures()
            _started.add(self)
            baton.start()
        except BaseException:
            for listener in self.listeners:
                listener.close()
            if self._loop is not None:
                self._loop.close()
            self.listeners, self._loop, self._baton = [], None, None
            raise

    def _listen(self, address: Address) -> Listener:
        return Listener(address, backlog=self.settings.backlog, unix_mode=self.settings.unix_mode)

    def _turn(self) -> bool:
        """Turn the loop, on the leader."""
        loop = self._loop
        assert loop is not None
        try:
            if loop.turn():
                return True
        except BaseException as error:
            self._fail(error)
            return False
        if loop.over:
            self._end()
        return False

    def _fail(self, error: BaseException) -> None:
        """Be over, by a fault of the server's own: who waits for it is told, see ``stop``."""
        self._failure = error
        self._end()

    def _say_no_thread(self, error: Exception) -> None:
        if not self._told_no_thread:
            self._told_no_thread = True
            self.site.report(
                f"no more threads to be had ({str(error) or 'out of memory'}), so calls that block hold up others; "
                "raise the limit (ulimit -u and -v, TasksMax in systemd), or lower --threads"
            )

    def _end(self) -> None:
        self._over.set()
        if self._signals is not None:
            self._signals.wake()

    def _wake(self) -> None:
        if self._loop is not None:
            self._loop.wake()

    def _idle_time(self) -> float:
        return self._loop.idle_time if self._loop is not None else 0.0

    def _crowd(self, crowd: Crowd) -> None:
        """Note which threads beside the leader keep the GIL from it; the baton sees to the order of the calls."""
        if self._loop is not None:
            self._loop.crowd(crowd is not Crowd.NONE)
        if crowd is not Crowd.HEAVY:
            self._restore_switch_interval()
        elif self._owns_process:
            self._switch_interval = sys.getswitchinterval()
            sys.setswitchinterval(CROWDED_INTERVAL)

    def _restore_switch_interval(self) -> None:
        """Undo what a heavy crowd has changed, unless the application has set another interval since."""
        before, self._switch_interval = self._switch_interval, None
        if before is not None and math.isclose(sys.getswitchinterval(), CROWDED_INTERVAL):
            sys.setswitchinterval(before)

    @property
    def over(self) -> bool:
        """Whether the server has been asked to stop and has answered what was under way."""
        return self._over.is_set()

    def ask_to_stop(self, timeout: float | None = None) -> None:
        """Have the server stop, without waiting for it; any thread may ask, an application's too.

        What is under way is answered for ``timeout`` seconds at most (the setting ``timeout_stop`` by default).
        """
        if self._loop is not None:
            timeout = self.settings.timeout_stop if timeout is None else timeout
            self.stop_at = min(self.stop_at, time.monotonic() + timeout)
            self._loop.stop(timeout)

    def wait(self) -> None:
        """Wait until the server was asked to stop and has answered what was under way."""
        self._over.wait()

    def stop(self, timeout: float | None = None) -> None:
        """Answer what is under way for ``timeout`` seconds at most (the setting's by default), then close everything.

        May be called from any thread but one that runs an exchange, and again. Raises RuntimeError when the server
        had ended by a fault of its own.
        """
        loop, baton = self._loop, self._baton
        if loop is None or baton is None or self._closed:
            return
        timeout = self.settings.timeout_stop if timeout is None else timeout
        self.ask_to_stop(timeout)
        # With one thread, which an application may hold, the loop cannot see that its time is over.
        if not self._over.wait(timeout) and not baton.stuck:
            self._over.wait(GRACE)
        if self._failure is not None:
            baton.join(GRACE)  # where a worker has failed, the leader may be in a turn still
        with self._closing:
            if self._closed:
                return
            self._closed = True
            late = self._waited_for()
            loop.close()
            baton.stop()
            # A thread that is still in the application after its time is left to it; threads are daemons.
            if baton.join(FAREWELL if late else min(max(timeout, GRACE), JOIN_TIME)):
                _started.discard(self)
            self._end()  # with one thread, the loop cannot say so
            self._errors.finish()
            if late:
                shown = ", ".join(late[:NAMED]) + f" and {len(late) - NAMED} more" * (len(late) > NAMED)
                self.site.report(f"stopped before the end of {_count(late)}: {shown}")
        if self._failure is not None:
            raise RuntimeError("the server failed, and has closed everything") from self._failure

    def leave_to_parent(self) -> None:
        """Let go of everything in a child process, which has none of the threads; there, ``stop`` does nothing."""
        self._closed = True
        self._over = threading.Event()
        self._over.set()
        if self._signals is not None:
            self._signals.restore()
        self._restore_switch_interval()
        if self._loop is not None:
            self._loop.leave_to_parent()

    def _waited_for(self) -> list[str]:
        """Name the requests that a stop waits for, or did not wait for any longer."""
        if self._loop is None:
            return []
        waited_for = [
            connection.exchange or connection.outlasted
            for connection in list(self._loop.connections.values())
            if not connection.unasked and connection.state not in (LINGERING, CLOSED)
        ]
        return [_name(exchange) for exchange in (*self._loop.unanswered, *waited_for)]

    def __enter__(self) -> "Server":
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def __repr__(self) -> str:
        return f"<Server {' '.join(self.urls) or 'not started'}>"


def _name(exchange: Exchange | None) -> str:
    if exchange is None:
        return "one whose head was not whole"
    line = f"{exchange.request.method} {exchange.request.target}"
    return escape(line[:SHOWN]) + "..." * (len(line) > SHOWN)


def _count(requests: list[str]) -> str:
    return f"{len(requests)} request{'s' * (len(requests) > 1)} under way"


# What a child process lets go of first, when an application forks: else it would serve beside its parent, keep the port
# and the clients that the parent has closed, and not end when it is told to. One whose stop did not wait for a stuck
# thread stays among them until that ends, which nobody tells.
_started: weakref.WeakSet[Server] = weakref.WeakSet()


def _leave_to_parent() -> None:
    while _started:
        with contextlib.suppress(Exception):
            _started.pop().leave_to_parent()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_to_parent)


def serve(
    application: Application,
    *,
    settings: Settings | None = None,
    observers: Sequence[Observer] = (),
    on_start: Callable[[Server], object] | None = None,
    **overrides: Any,
) -> None:
    """Serve an application until SIGINT, SIGTERM or SIGHUP (unless that is ignored); a second signal stops at once.

    Takes what ``Server`` takes, and writes the access log to standard output unless that is switched off.
    ``on_start`` is called with the server once it listens. Off the main thread it leaves alone the signals, and the
    limit on descriptors; else it raises that to what it needs, or takes fewer connections where it cannot.
    """
    settings = _override(settings, overrides)
    if settings.access_log and not settings.quiet:
        observers = (*observers, AccessLog(_write_out, coloured(sys.stdout), at_terminal(sys.stdout)))
    on_start = on_start or (lambda server: None)
    if threading.current_thread() is not threading.main_thread():
        with Server(application, settings=settings, observers=observers) as server:
            on_start(server)
            server.wait()
        return
    wanted = settings.limit_connections
    room = make_room(wanted, settings.threads)
    server = Server(application, settings=settings, observers=observers, limit_connections=room)
    if room < wanted:
        server.site.report(
            f"{room} connections at once instead of {wanted}, as this process may not open enough files; "
            f"raise that limit (ulimit -n, LimitNOFILE in systemd), or set --limit-connections {room}"
        )
    server._owns_process = True
    with Signals() as server._signals, server:
        on_start(server)
        _obey(server._signals, server)


def _override(settings: Settings | None, overrides: dict[str, Any]) -> Settings:
    unknown = sorted(overrides.keys() - BY_NAME.keys())
    if unknown:
        raise BadSetting(f"there is no setting {unknown[0]!r}; there are {', '.join(BY_NAME)}")
    return with_values(settings, overrides)


def _write_out(text: str) -> None:
    if sys.stdout is not None:  # closed, as daemons do
        sys.stdout.write(text)
        sys.stdout.flush()


def rehearse_failures() -> None:
    """Report an error to nobody: what that imports could not be imported once there are no descriptors left.

    It takes a tenth of a start. So the command, whose main thread has nothing else to do, does it a moment later.
    """
    import traceback

    try:
        raise LookupError
    except LookupError as error:
        traceback.format_exception(error)


def _obey(signals: Signals, server: Server) -> None:
    """Wait until the server is over, or its time is: a first signal stops it, a second one at once."""
    pause = SETTLED
    while not signals.wait(pause):
        # Who came at once may have taken the last descriptor: then again, later and later.
        with contextlib.suppress(Exception):
            rehearse_failures()
            break
        pause *= 2
    while not signals.count and not server.over:
        signals.wait(None)
    limit = server.settings.timeout_stop
    if not server.over and signals.count == 1:
        server.ask_to_stop()
        _await_end(server, signals, min(SETTLED, limit))
        if waited_for := server._waited_for():
            server.site.report(f"{_count(waited_for)}; stopping in {limit:g} s at the latest, or at a second signal")
        _await_end(server, signals, limit)
    if not server.over:
        server.stop(0.0)


def _await_end(server: Server, signals: Signals, seconds: float) -> None:
    """Wait until the server is over, for so long, or until a second signal; others than ours are heard too."""
    end = time.monotonic() + seconds
    while not server.over and signals.count < 2 and (left := end - time.monotonic()) > 0:
        signals.wait(left)
