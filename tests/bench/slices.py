"""A round in slices: every server is asked for a moment, then the next, again and again, until each has had its time.

The machine may be half as quick in the next second. If each server had one second after the other, their ratio would
tell of that as much as of the servers: between two of one kind it differed by 12 % from round to round, in slices by
3 %. So each server has a wrk of its own, which is stopped (SIGSTOP) while the others are asked, and let go on (SIGCONT)
for a slice. What is counted, requests and CPU time, is summed over the slices, and nothing is lost in between.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace

from . import measure, procfs
from .measure import Bench
from .process import Running, ServerError
from .results import Run
from .scenarios import Scenario
from .wrk import Load, LoadError

SLICE = 0.1
"""Seconds; in shorter ones, the caches that a server finds cold after its rest would count for more."""
LONGEST_REST = 0.3
"""Seconds that a server is given at most to be through with what wrk has left when it is held."""

Outcome = Run | str
"""A figure, or why there is none."""


class Part:
    """One server's part in a round."""

    def __init__(self, bench: Bench, scenario: Scenario, process: Running) -> None:
        process.check_alive()
        self.process = process
        self.load = Load(scenario, measure.url(process, scenario), bench.load_cores(scenario))
        self.meter = procfs.Meter(process.pid)
        self.server = 0.0
        self.generator = 0.0
        self.beside = 0.0
        """CPU time of those who were to rest."""
        self._asked = 0.0
        """Seconds in which wrk asked."""
        self._active = 0.0
        """The same, and those in which the server was through with what was left."""
        self._logged = process.output.stat().st_size
        self._used = procfs.cpu_seconds(process.pid)

    def slice(self) -> None:
        begun = time.monotonic()
        self.load.go()
        time.sleep(SLICE)
        self.load.hold()
        self._asked += time.monotonic() - begun
        self.meter.rest(LONGEST_REST)
        self._active += time.monotonic() - begun

    def end(self) -> Run:
        """What this part of the round tells."""
        begun = time.monotonic()
        output, self.generator = self.load.end()
        passed = time.monotonic() - begun
        self.meter.rest(LONGEST_REST)
        self.process.check_alive()
        if not output.requests:
            raise LoadError("it answered no request")
        self.server = procfs.cpu_seconds(self.process.pid) - self._used
        logged = self.process.output.stat().st_size - self._logged
        return Run(
            value=self.server / output.requests * 1e6,
            rate=output.requests / (self._active + passed),
            generator=self.generator / (self._asked + passed),
            beside=self.beside / self._active,
            socket_errors=output.socket_errors,
            status_errors=output.status_errors,
            remark=measure.lacking(self.process, logged, output.requests),
        )


def take(bench: Bench, scenario: Scenario, alive: Mapping[str, Running], order: Sequence[str]) -> dict[str, Outcome]:
    """One round of all servers, by name; of a server that has no figure, why."""
    found: dict[str, Outcome] = {}
    parts: dict[str, Part] = {}
    begun, before, own = time.monotonic(), procfs.cores(), time.process_time()
    with ExitStack() as stack:
        for name in order:
            try:
                parts[name] = Part(bench, scenario, alive[name])
                stack.callback(parts[name].load.kill)
            except (ServerError, OSError) as failure:
                found[name] = str(failure)
        for _ in range(round(bench.seconds * scenario.length / SLICE)):
            for part in parts.values():
                _slice(part, [other.meter for other in parts.values() if other is not part])
        for name, part in parts.items():
            try:
                found[name] = part.end()
            except (ServerError, LoadError) as failure:
                found[name] = str(failure)
    passed, after = time.monotonic() - begun, procfs.cores()
    known = time.process_time() - own + sum(part.server + part.generator for part in parts.values())
    elsewhere = max(0.0, after.busy - before.busy - known) / passed
    stolen = (after.stolen - before.stolen) / passed
    return {
        name: replace(run, elsewhere=elsewhere, stolen=stolen) if isinstance(run, Run) else run
        for name, run in found.items()
    }


def _slice(part: Part, resting: Sequence[procfs.Meter]) -> None:
    before = sum(meter.seconds() for meter in resting)
    part.slice()
    part.beside += sum(meter.seconds() for meter in resting) - before
