"""What Linux tells in /proc: the CPU time and memory of a process tree, and how busy the machine was."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
TICKS = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100


@dataclass(frozen=True, slots=True)
class ProcessStat:
    """The fields of /proc/PID/stat that count here."""

    pid: int
    parent: int
    ticks: int
    """CPU time of all its threads, and of its children that have ended, in clock ticks."""


def parse_stat(text: str) -> ProcessStat:
    """Read /proc/PID/stat; the name of the process, in parentheses, may hold anything."""
    pid, _, rest = text.partition(" ")
    fields = rest[rest.rindex(")") + 2 :].split()
    return ProcessStat(int(pid), int(fields[1]), sum(map(int, fields[11:15])))


def _processes() -> Iterator[ProcessStat]:
    for directory in PROC.iterdir():
        if directory.name.isdigit():
            try:
                yield parse_stat((directory / "stat").read_text())
            except (FileNotFoundError, ProcessLookupError):
                continue  # it has ended since


def descend(root: int, processes: Mapping[int, ProcessStat]) -> list[ProcessStat]:
    """The process `root` and all that descend from it."""
    family: list[ProcessStat] = []
    generation = {root} & processes.keys()
    while generation:
        family += (processes[pid] for pid in generation)
        generation = {pid for pid, process in processes.items() if process.parent in generation}
    return family


def tree(root: int) -> list[ProcessStat]:
    return descend(root, {process.pid: process for process in _processes()})


def cpu_seconds(root: int) -> float:
    """CPU time that the process tree has used until now, in user mode and in the kernel."""
    return sum(process.ticks for process in tree(root)) / TICKS


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
