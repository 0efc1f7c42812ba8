"""One round of one scenario with one server: check an answer, let wrk ask, read the clocks."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass, replace
from pathlib import Path

from . import applications, procfs, wrk
from .process import Running, launch_for, running
from .results import Run, median
from .scenarios import Figure, Scenario
from .servers import Server

STARTS = 5
"""How many starts the figure of one round is the median of."""

WARM_UP_CONNECTIONS = 32

LONGEST_REST = 1.0
"""Seconds that a server is given to be through with what wrk has left, so that it does not disturb who comes next."""

LEAST_LOG_LINE = 20
"""No access log line is shorter; so a log that is shorter in all was not written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """How it is measured."""

    seconds: int
    warm_up: int
    server_core: str
    load_core: str
    directory: Path
    """For what the servers write, and the file that they send."""

    def prepare(self) -> None:
        """Write what the servers read."""
        (self.directory / "file").write_bytes(b"x" * applications.FILE_SIZE)

    def server_cores(self, scenario: Scenario) -> str:
        return f"{self.server_core},{self.load_core}" if scenario.both_cores else self.server_core

    def load_cores(self, scenario: Scenario) -> str:
        return self.server_cores(scenario) if scenario.both_cores else self.load_core


@dataclass(frozen=True, slots=True)
class Clocks:
    """Several clocks read together, or the seconds that passed on each."""

    time: float
    server: float
    """CPU time of the server."""
    resting: float
    """CPU time of the servers that are to rest."""
    busy: float
    """CPU time of all processes of the machine."""
    stolen: float

    @classmethod
    def read(cls, process: Running, resting: Sequence[Running]) -> Clocks:
        cores, processes = procfs.cores(), procfs.processes()
        others = sum(procfs.cpu_seconds(other.pid, processes) for other in resting)
        return cls(time.monotonic(), procfs.cpu_seconds(process.pid, processes), others, cores.busy, cores.stolen)

    def __sub__(self, before: Clocks) -> Clocks:
        return Clocks(*(mine - other for mine, other in zip(astuple(self), astuple(before), strict=True)))


@contextlib.contextmanager
def ready(bench: Bench, scenario: Scenario, server: Server) -> Iterator[Running]:
    """A server that has given a right answer and is warm; raises ServerError or LoadError when it is not to be had."""
    with running(server, launch_for(scenario), bench.server_cores(scenario), bench.directory) as process:
        process.check(scenario)
        if scenario.streamed:
            process.check_streaming()
        _warm_up(bench, scenario, process)
        yield process


def alone(bench: Bench, scenario: Scenario, server: Server) -> Run:
    """A figure of a server that is started for this round; raises as `ready` does."""
    if scenario.figure is Figure.START:
        return Run(value=median([_start(bench, scenario, server) for _ in range(STARTS)]))
    with ready(bench, scenario, server) as process:
        if scenario.figure is Figure.MEMORY:
            return Run(value=procfs.resident(process.pid) / 1e6)
        return Run(value=_idle(process, scenario) / 1e3)


def loaded(bench: Bench, scenario: Scenario, process: Running, resting: Sequence[Running]) -> Run:
    """A figure of a server under load, while others that are alive rest; raises as `ready` does."""
    process.check_alive()
    run = _computing if scenario.computing else _load
    return run(bench, scenario, process, resting)


def url(process: Running, scenario: Scenario) -> str:
    return f"http://{process.launch.address}{scenario.path}"


def _warm_up(bench: Bench, scenario: Scenario, process: Running) -> None:
    """Load that does not count; memory is always measured after some."""
    if seconds := bench.warm_up if scenario.figure.loaded else max(1, bench.warm_up):
        few = replace(scenario, connections=min(WARM_UP_CONNECTIONS, scenario.connections))
        wrk.run(few, url(process, scenario), seconds, bench.load_cores(scenario))


def _load(bench: Bench, scenario: Scenario, process: Running, resting: Sequence[Running]) -> Run:
    """Let wrk ask, and read the clocks before and after."""
    logged = process.output.stat().st_size
    before = Clocks.read(process, resting)
    seconds = bench.seconds * scenario.length
    output, generator = wrk.run(scenario, url(process, scenario), seconds, bench.load_cores(scenario))
    passed = Clocks.read(process, resting) - before
    process.check_alive()
    if not output.requests and scenario.figure is Figure.CPU:
        raise wrk.LoadError("it answered no request")
    logged = process.output.stat().st_size - logged
    procfs.Meter(process.pid).rest(LONGEST_REST)
    return Run(
        value=output.rate if scenario.figure is Figure.RATE else passed.server / output.requests * 1e6,
        rate=output.rate,
        p50=output.p50,
        p99=output.p99,
        generator=generator / passed.time,
        elsewhere=max(0.0, (passed.busy - passed.server - passed.resting - generator) / passed.time),
        beside=passed.resting / passed.time,
        stolen=passed.stolen / passed.time,
        socket_errors=output.socket_errors,
        status_errors=output.status_errors,
        remark=lacking(process, logged, output.requests),
    )


def lacking(process: Running, logged: int, requests: int) -> str:
    """What an access log of so many bytes lacks, if it is to be written."""
    return "the access log lacks lines" if process.logs and logged < requests * LEAST_LOG_LINE else ""


def _computing(bench: Bench, scenario: Scenario, process: Running, resting: Sequence[Running]) -> Run:
    """The same, while one request computes, a little longer than wrk asks; and wait for its end."""
    with contextlib.closing(process.open(f"/compute?{bench.seconds + 1}")) as client:
        time.sleep(0.2)  # it is under way when its CPU time is
        run = _load(bench, scenario, process, resting)
        with contextlib.suppress(OSError):
            client.recv(1)
        return run


def _idle(process: Running, scenario: Scenario) -> float:
    """Bytes for each connection that was answered once and then waits."""
    before = procfs.resident(process.pid)
    with contextlib.ExitStack() as clients:
        for _ in range(scenario.connections):
            client = clients.enter_context(process.open(scenario.path))
            process.read_answer(client, scenario.body)
        return (procfs.resident(process.pid) - before) / scenario.connections


def _start(bench: Bench, scenario: Scenario, server: Server) -> float:
    """Milliseconds from the command to the first whole answer."""
    clock = time.perf_counter()
    launch = replace(launch_for(scenario), command_line=True)
    with running(server, launch, bench.server_core, bench.directory) as process:
        process.check(scenario)
        return (time.perf_counter() - clock) * 1e3
