"""Takes over the signals that stop a server which owns its process, and gives them back; ``server`` obeys them."""

import contextlib
import signal
import socket
from types import FrameType
from typing import Self

# The signals that stop a server which owns its process.
STOPPING = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


class Signals:
    """Notes SIGINT, SIGTERM and SIGHUP, unless that is ignored, from ``__enter__`` to ``__exit__``; on the main thread.

    Python runs a handler on the main thread when that next runs Python. A signal that comes just before the thread
    blocks in a lock would wait there with it; so it blocks in a ``recv``, which the signal ends by writing to its
    other end (``signal.set_wakeup_fd``).
    """

    def __init__(self) -> None:
        # How many have come.
        self.count = 0
        self._ear, self._mouth = socket.socketpair()
        self._mouth.setblocking(False)
        self._undo = contextlib.ExitStack()

    def __enter__(self) -> Self:
        self._undo.enter_context(self._ear)
        self._undo.enter_context(self._mouth)
        wakeup_before = signal.set_wakeup_fd(self._mouth.fileno(), warn_on_full_buffer=False)
        self._undo.callback(signal.set_wakeup_fd, wakeup_before)
        always = (signal.SIGINT, signal.SIGTERM)  # nohup ignores SIGHUP
        for number in STOPPING:
            if number in always or signal.getsignal(number) is signal.SIG_DFL:
                self._undo.callback(signal.signal, number, signal.signal(number, self._note))
        return self

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.count += 1

    def wait(self, seconds: float | None) -> bool:
        """Wait until a signal has come or ``wake`` was called, or for so long: then it is False. None is for ever."""
        self._ear.settimeout(seconds)
        try:
            return bool(self._ear.recv(64))
        except TimeoutError:
            return False

    def wake(self) -> None:
        """End the wait; any thread may."""
        with contextlib.suppress(OSError):
            self._mouth.send(b"\0")

    def __exit__(self, *about: object) -> None:
        self.restore()

    def restore(self) -> None:
        """Give the signals back to those who had them before, once; a forked child does so too."""
        self._undo.close()
