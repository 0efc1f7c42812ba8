"""What Linux tells in /proc: the CPU time and memory of a process tree, and how busy the machine was."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
REST = 0.002
"""Seconds between two looks whether a process rests."""

TICKS = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100


@dataclass(frozen=True, slots=True)
class ProcessStat:
    """The fields of /proc/PID/stat that count here."""

    pid: int
    parent: int
    user: int
    """CPU time of all its threads, also those that have ended, outside the kernel; in clock ticks."""
    system: int
    """The same inside the kernel."""
    ended: int
    """CPU time of its children that have ended, in clock ticks."""


def parse_stat(text: str) -> ProcessStat:
    """Read /proc/PID/stat; the name of the process, in parentheses, may hold anything."""
    pid, _, rest = text.partition(" ")
    fields = rest[rest.rindex(")") + 2 :].split()
    user, system, *ended = map(int, fields[11:15])
    return ProcessStat(int(pid), int(fields[1]), user, system, sum(ended))


def processes() -> dict[int, ProcessStat]:
    """All processes of the machine, by their ids."""
    found = (_stat(directory) for directory in PROC.iterdir() if directory.name.isdigit())
    return {process.pid: process for process in found if process}


def _stat(directory: Path) -> ProcessStat | None:
    try:
        return parse_stat((directory / "stat").read_text())
    except (FileNotFoundError, ProcessLookupError):
        return None  # it has ended since


def descend(root: int, known: Mapping[int, ProcessStat]) -> list[ProcessStat]:
    """The process `root` and all that descend from it."""
    family: list[ProcessStat] = []
    generation = {root} & known.keys()
    while generation:
        family += (known[pid] for pid in generation)
        generation = {pid for pid, process in known.items() if process.parent in generation}
    return family


def tree(root: int) -> list[ProcessStat]:
    return descend(root, processes())


def cpu_seconds(root: int, known: Mapping[int, ProcessStat] | None = None) -> float:
    """CPU time that the process tree has used until now, in user mode and in the kernel.

    It is read from the clock of each process (clock_getcpuclockid(3)), the kernel's own count, in nanoseconds, of the
    time that all its threads ran; those that have ended are in it. The two other sources would each lack something:
    /proc/PID/stat is cut to 10 ms, twice, and /proc/PID/task/TID/schedstat forgets a thread when it ends. Of children
    that have ended, only the ticks are known; no server here has many.
    """
    return sum(_process_seconds(process) + process.ended / TICKS for process in descend(root, known or processes()))


def _process_seconds(process: ProcessStat) -> float:
    try:
        return time.clock_gettime(clock_of(process.pid))
    except OSError:
        return (process.user + process.system) / TICKS  # it has ended since


def clock_of(pid: int) -> int:
    """The id of a process's clock; raises OSError when there is no such process."""
    clock = ctypes.c_int()
    if error := _libc().clock_getcpuclockid(pid, ctypes.byref(clock)):
        raise OSError(error, os.strerror(error))
    return clock.value


@functools.cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None)


class Meter:
    """The CPU time of a process tree, read within microseconds: who belongs to it is looked up once."""

    def __init__(self, root: int) -> None:
        self._pids = [process.pid for process in tree(root)]
        self._clocks = [clock_of(pid) for pid in self._pids]
        self._last = [0.0] * len(self._clocks)

    def seconds(self) -> float:
        for i, clock in enumerate(self._clocks):
            with contextlib.suppress(OSError):  # it has ended, and used no more
                self._last[i] = time.clock_gettime(clock)
        return sum(self._last)

    def rest(self, longest: float) -> None:
        """Come back when none of its threads runs or wants to, or after so many seconds.

        Its clock would not tell: of a thread that runs on another core, the kernel counts the time only now and then.
        """
        until = time.monotonic() + longest
        while time.monotonic() < until:
            time.sleep(REST)
            if not any(_runs(pid) for pid in self._pids):
                return


def _runs(pid: int) -> bool:
    """Whether a thread of the process runs, or waits for nothing but a core."""
    with contextlib.suppress(OSError):  # it has ended, or one of its threads
        for task in (PROC / str(pid) / "task").iterdir():
            with contextlib.suppress(OSError):
                if (task / "stat").read_text().rpartition(") ")[2].startswith("R"):
                    return True
    return False


def kernel_share(before: Sequence[ProcessStat], after: Sequence[ProcessStat]) -> float:
    """How much of the CPU time between two looks at a process tree was spent inside the kernel."""
    user = sum(process.user for process in after) - sum(process.user for process in before)
    system = sum(process.system for process in after) - sum(process.system for process in before)
    return system / (user + system) if user + system else 0.0


def thread_seconds(root: int) -> dict[int, float]:
    """CPU time that each thread of the process tree has used until now, by its id."""
    found: dict[int, float] = {}
    for process in tree(root):
        for task in (PROC / str(process.pid) / "task").iterdir():
            found[int(task.name)] = int((task / "schedstat").read_text().split()[0]) / 1e9
    return found


def traced(pid: int) -> list[bool]:
    """For each thread of a process, whether somebody traces it."""
    statuses = [(task / "status").read_text() for task in (PROC / str(pid) / "task").iterdir()]
    return ["TracerPid:\t0\n" not in status for status in statuses]


def resident(root: int) -> int:
    """Bytes of memory in which the processes of the tree reside, summed."""
    return sum(_resident(process.pid) for process in tree(root))


def _resident(pid: int) -> int:
    for line in (PROC / str(pid) / "smaps_rollup").read_text().splitlines():
        if line.startswith("Rss:"):
            return int(line.split()[1]) * 1024
    return 0


@dataclass(frozen=True, slots=True)
class CoresStat:
    """What all cores together did since the machine started, in seconds."""

    busy: float
    """In processes, in user mode and in the kernel; interrupts are left out, as they belong to no process."""
    stolen: float
    """In other machines on the same host."""


def parse_cores(lines: Iterable[str]) -> CoresStat:
    """Read /proc/stat."""
    for line in lines:
        name, *fields = line.split()
        if name == "cpu":
            user, nice, system, _, _, _, _, stolen = map(int, fields[:8])
            return CoresStat((user + nice + system) / TICKS, stolen / TICKS)
    raise ValueError("/proc/stat has no line about all cores")


def cores() -> CoresStat:
    return parse_cores((PROC / "stat").read_text().splitlines())
