"""Holds what all exchanges of one server share: application, settings, observers, and this second's Date.

The server makes it, once; each ``exchange`` reads it, and reports to it what an application did wrong.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, Final, Protocol, runtime_checkable

from wsgiserver.forms import RecentHeads
from wsgiserver.messages import BadResponse
from wsgiserver.responses import OWN_DATE, OWN_SERVER
from wsgiserver.settings import Settings
from wsgiserver.version import __version__

Headers = list[tuple[str, str]]
ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None]
Environ = dict[str, Any]
Application = Callable[[Environ, Any], Iterable[bytes]]

DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

SERVER_SOFTWARE: Final = f"wsgiserver/{__version__}"


class Errors(Protocol):
    """A text stream as ``wsgi.errors`` has to be (PEP 3333, "Input and Error Streams")."""

    def write(self, text: str, /) -> object: ...  # noqa: D102
    def writelines(self, lines: Iterable[str], /) -> object: ...  # noqa: D102
    def flush(self) -> object: ...  # noqa: D102


def _traceback(error: BaseException) -> str:
    try:
        # Loaded for the first error only: it takes longer to import than the whole server.
        import traceback

        try:
            frames = below_own(error.__traceback__) or error.__traceback__
            return "".join(traceback.format_exception(type(error), error, frames)).rstrip()
        except Exception:  # it asks the application's objects for their names and texts, and any of them may raise
            told = "".join(traceback.format_tb(error.__traceback__)).rstrip()
            return f"{told}\n{type(error).__name__}, which cannot be shown"
    except Exception as missing:  # no descriptor is left to read it with, or a module of the program's has its name
        return f"{type(error).__name__}, whose traceback cannot be shown ({missing})"


def check_application(application: object) -> None:
    """Raise ``TypeError`` for what cannot be called, such as the None of a function that forgets its return."""
    if not callable(application):
        raise TypeError(f"a WSGI application is a callable; this is {application!r}")


def below_own(frames: TracebackType | None) -> TracebackType | None:
    """Leave out the server's own frames at the top, which tell nothing of the application's fault."""
    while frames is not None and frames.tb_frame.f_globals.get("__package__") == __package__:
        frames = frames.tb_next
    return frames


def _nothing() -> None:
    """Stand for a call that nobody needs."""


def clear_frames(error: BaseException) -> None:
    """Let go of the frames of an error, which would else stay until the collector of cycles comes."""
    frames = error.__traceback__
    while frames is not None:
        with suppress(RuntimeError):  # it is still running, in a generator that somebody else holds
            frames.tb_frame.clear()
        frames = frames.tb_next


@runtime_checkable
class TurnObserver(Protocol):
    """An observer that is shown all that has finished in a turn of the loop at once, which takes less time."""

    def observe_turn(self, exchanges: Sequence[Any], /) -> object: ...  # noqa: D102


# What is called with each finished ``Exchange``, or with those of a turn.
Observer = Callable[[Any], object] | TurnObserver


class Site:
    """What all exchanges of one server share. Made by the server; read by any thread.

    What changes in it changes by single assignments, so a reader on another thread sees the old value or the new one.
    """

    def __init__(
        self,
        application: Application,
        settings: Settings,
        errors: Errors,
        observers: Sequence[Observer] = (),
        multithread: bool = False,
    ) -> None:
        self.application = application
        self.settings = settings
        # wsgi.errors, and where the server writes what applications did wrong.
        self.errors = errors
        # What is called of each observer, and whether with all that has finished in a turn or with one exchange.
        self.observers: tuple[tuple[Callable[[Any], object], bool], ...] = tuple(
            (observer.observe_turn, True) if isinstance(observer, TurnObserver) else (observer, False)
            for observer in observers
        )
        # What has finished, as long as the observers were not shown it; the loop's leader appends, and who closes the
        # loop, or hands something in after that.
        self.finished: list[Any] = []
        self.multithread = multithread
        # What wsgiserver.will_block calls: an application says so before it blocks.
        self.will_block: Callable[[], None] = _nothing
        # The server is about to stop: each response says "Connection: close".
        self.stopping = False
        # Names of headers that were left out of a response, so that each is warned of once.
        self.warned: set[str] = set()
        # Heads that came lately; the loop's leader reads with it.
        self.recent = RecentHeads()
        # The server has closed everything; whoever still runs an exchange runs it for nobody.
        self.closed = False
        # This is a child process that the application forked; the server is its parent's.
        self.forked = False
        # The ends of this second's heads, by ``ResponseHead.own``; see ``tick``.
        self.head_ends: tuple[bytes, ...] = ()
        self.tick(time.time())

    def tick(self, now: float) -> None:
        """Make the end of this second's heads: Date and Server, as far as a head has not its own, and an empty line.

        Any thread may: it is a row of assignments, and two at once make the same.
        """
        ticked = time.monotonic()
        # What turns the monotonic clock into seconds since the epoch, as long as nobody sets the clock.
        self.epoch = now - ticked
        # Seconds of the monotonic clock from which on these lines are no longer of this second.
        self.stale = ticked + 1 - now % 1
        # IMF-fixdate (RFC 9110 section 5.6.7) is English; strftime speaks the language of the application's locale.
        year, month, day, hour, minute, second, weekday, *_ = time.gmtime(now)
        name = f"{DAYS[weekday]}, {day:02} {MONTHS[month - 1]} {year}"
        date = f"Date: {name} {hour:02}:{minute:02}:{second:02} GMT\r\n".encode()
        server = b"Server: wsgiserver\r\n" if self.settings.server_header else b""
        self.head_ends = tuple(
            [
                (b"" if own & OWN_DATE else date) + (b"" if own & OWN_SERVER else server) + b"\r\n"
                for own in range((OWN_DATE | OWN_SERVER) + 1)
            ]
        )

    def show_finished(self) -> None:
        """Show the observers what has finished since the last time; for those who append to it. Never raises."""
        if not self.finished:
            return
        finished, self.finished = self.finished, []
        for observe, whole_turn in self.observers:
            shown: Any
            for shown in [finished] if whole_turn else finished:
                try:
                    observe(shown)
                except BaseException as error:  # whatever it raises, the loop goes on
                    self.report(f"an observer, a {type(observe).__name__}, failed", error)

    def report(self, message: str, error: BaseException | None = None) -> None:
        """Write one message about an application, and a traceback where there is one, to ``errors``. Never raises."""
        if isinstance(error, BadResponse):
            message += f": {error}"
        elif error is not None:
            message += "\n" + _traceback(error)
        with suppress(Exception):  # there is nowhere left to say that nothing can be said
            self.errors.write(f"wsgiserver: {message}\n")
            self.errors.flush()
