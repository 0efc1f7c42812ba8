"""Ends the command's process in time: at a signal at once, and soon where an application's own threads go on.

The interpreter would wait for all threads that are no daemons, for the jobs of executors, and for exit handlers.
"""

import math
import os
import signal
import sys
import threading
import time
from contextlib import suppress
from types import FrameType
from typing import Any, NoReturn

from wsgiserver.signals import STOPPING

# Seconds that these have at least, to send the last of a log away for instance.
LEAST = 3.0
# Seconds after which it is said what is waited for.
MOMENT = 0.5
# Seconds in which the last that was printed has to be written; whoever reads it may have stopped to.
WRITE_TIME = 1.0
# How many of the threads are named.
NAMED = 3


def keep_status() -> None:
    """Have nothing change the exit status any more; to be called as the last exit handler.

    From then on the interpreter takes its time to end, and gives up Python's handlers of signals on the way, but
    ignores those that were ignored. That it cannot write to standard error, on a full disk, is a failure to it.
    """
    _take_late_signals(signal.SIG_IGN)
    try:
        sys.stderr.flush()
    except Exception:
        sys.stderr = None  # as where it is closed


def end_in_time(status: int, latest: float) -> None:
    """Have this process, which is about to end, end with ``status`` though something of the application's goes on.

    It does so at the next signal to stop, else at ``latest`` (of ``time.monotonic``), but in no less than ``LEAST``.
    """
    latest = max(latest, time.monotonic() + LEAST)
    asked, ending = threading.Lock(), threading.Lock()  # taken, until it is so
    asked.acquire()
    ending.acquire()

    def ask(number: int, frame: FrameType | None) -> None:
        with suppress(RuntimeError):  # it was asked for before
            asked.release()

    def end() -> NoReturn:
        at_signal = asked.acquire(timeout=max(latest - time.monotonic(), 0.0))
        ending.release()
        _write("" if at_signal else f"ended before the end of {_what_goes_on()}")
        os._exit(status)

    def cut() -> NoReturn:
        ending.acquire()
        time.sleep(WRITE_TIME)
        os._exit(status)

    _take_late_signals(ask)
    # Three, for to write may take for ever, where nobody reads it; and now, for Python 3.12 starts none as it ends.
    for work, name in ((lambda: _tell(latest), "tell"), (end, "end"), (cut, "cut")):
        threading.Thread(target=work, name=f"wsgiserver-{name}", daemon=True).start()


def _take_late_signals(handler: Any) -> None:
    """Have this done at a signal to stop that comes when the command has done what it was told."""
    if threading.current_thread() is threading.main_thread():
        for number in STOPPING:
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, handler)


def _tell(latest: float) -> None:
    time.sleep(MOMENT)
    left = math.ceil(latest - time.monotonic())
    _write(f"waiting for {_what_goes_on()}; ending in {left} s at the latest, or at another signal")


def _what_goes_on() -> str:
    """Name what the interpreter waits for; the server's own threads are daemons, for which it does not."""
    main = threading.main_thread()
    names = [thread.name for thread in threading.enumerate() if thread is not main and not thread.daemon]
    if not names:
        return "executors or exit handlers of the application's"
    threads = f"{len(names)} thread{'s' * (len(names) > 1)} of the application's own"
    return f"{threads}: {', '.join(names[:NAMED])}" + f" and {len(names) - NAMED} more" * (len(names) > NAMED)


def _write(words: str) -> None:
    """Write these, and what was printed, where that can be."""
    if words:
        with suppress(Exception):  # there is nobody left to tell
            print(f"wsgiserver: {words}", file=sys.stderr)
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):
            stream.flush()
