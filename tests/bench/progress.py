"""A line that tells how far the benchmark is, and about how long it still takes."""

from __future__ import annotations

import time
from typing import TextIO

WIDTH = 24


def line(done: int, total: int, what: str, seconds_left: float | None) -> str:
    filled = WIDTH * done // total
    left = "" if seconds_left is None else f" · {duration(seconds_left)} left"
    return f"[{'#' * filled}{'.' * (WIDTH - filled)}] {done}/{total} · {what}{left}"


def duration(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"


class Progress:
    """Written over itself on a terminal; elsewhere a line for each step."""

    def __init__(self, total: int, stream: TextIO) -> None:
        self._total = total
        self._stream = stream
        self._done = 0
        self._began = time.monotonic()
        self._terminal = stream.isatty()

    def step(self, what: str, size: int = 1) -> None:
        """Tell what is done now, which counts as so many steps; what was told before is over."""
        left = None
        if self._done:
            left = (time.monotonic() - self._began) / self._done * (self._total - self._done)
        self._write(line(self._done, self._total, what, left))
        self._done += size

    def note(self, what: str) -> None:
        """Tell what is done between two steps; only on a terminal, where it leaves no trace."""
        if self._terminal:
            self._write(line(self._done, self._total, what, None))

    def _write(self, text: str) -> None:
        self._stream.write(f"\r\x1b[K{text}" if self._terminal else f"{text}\n")
        self._stream.flush()

    def end(self) -> None:
        if self._terminal:
            self._stream.write("\r\x1b[K")
            self._stream.flush()
