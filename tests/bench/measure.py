"""One round of one scenario with one server: start it, check an answer, let wrk ask, read the clocks."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass, replace
from pathlib import Path

from . import procfs, wrk
from .process import Running, launch_for, running
from .results import Run, median
from .scenarios import Figure, Scenario
from .servers import Server

STARTS = 5
"""How many starts the figure of one round is the median of."""

WARM_UP_CONNECTIONS = 32

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

    def server_cores(self, scenario: Scenario) -> str:
        return f"{self.server_core},{self.load_core}" if scenario.both_cores else self.server_core

    def load_cores(self, scenario: Scenario) -> str:
        return self.server_cores(scenario) if scenario.both_cores else self.load_core


def measure(bench: Bench, scenario: Scenario, server: Server) -> Run:
    """One round; raises ServerError or LoadError when there is nothing to tell."""
    if scenario.figure is Figure.START:
        return Run(value=median([_start(bench, scenario, server) for _ in range(STARTS)]))
    cores = bench.server_cores(scenario)
    with running(server, launch_for(scenario), cores, bench.directory) as process:
        process.check(scenario)
        if scenario.streamed:
            process.check_streaming()
        _warm_up(bench, scenario, process)
        if scenario.figure is Figure.MEMORY:
            return Run(value=procfs.resident(process.pid) / 1e6)
        if scenario.figure is Figure.IDLE:
            return Run(value=_idle(process, scenario) / 1e3)
        return _computing(bench, scenario, process) if scenario.computing else _load(bench, scenario, process)


def _url(process: Running, scenario: Scenario) -> str:
    return f"http://{process.launch.address}{scenario.path}"


def _warm_up(bench: Bench, scenario: Scenario, process: Running) -> None:
    """Load that does not count; memory is always measured after some."""
    if seconds := bench.warm_up if scenario.figure.loaded else max(1, bench.warm_up):
        few = replace(scenario, connections=min(WARM_UP_CONNECTIONS, scenario.connections))
        wrk.run(few, _url(process, scenario), seconds, bench.load_cores(scenario))


def _load(bench: Bench, scenario: Scenario, process: Running) -> Run:
    """Let wrk ask, and read the clocks before and after."""
    logged = process.output.stat().st_size
    cores, used, clock = procfs.cores(), procfs.cpu_seconds(process.pid), time.monotonic()
    output, generator = wrk.run(scenario, _url(process, scenario), bench.seconds, bench.load_cores(scenario))
    elapsed = time.monotonic() - clock
    process.check_alive()
    used = procfs.cpu_seconds(process.pid) - used
    after = procfs.cores()
    if not output.requests and scenario.figure is Figure.CPU:
        raise wrk.LoadError("it answered no request")
    logged = process.output.stat().st_size - logged
    silent = scenario.access_log and logged < output.requests * LEAST_LOG_LINE
    return Run(
        value=output.rate if scenario.figure is Figure.RATE else used / output.requests * 1e6,
        rate=output.rate,
        p50=output.p50,
        p99=output.p99,
        generator=generator / elapsed,
        elsewhere=max(0.0, (after.busy - cores.busy - used - generator) / elapsed),
        stolen=(after.stolen - cores.stolen) / elapsed,
        socket_errors=output.socket_errors,
        status_errors=output.status_errors,
        remark="the access log lacks lines" if silent else "",
    )


def _computing(bench: Bench, scenario: Scenario, process: Running) -> Run:
    """The same, while one request computes, longer than wrk asks."""
    with contextlib.closing(process.open(f"/compute?{bench.seconds + 5}")):
        time.sleep(0.2)  # it is under way when its CPU time is
        return _load(bench, scenario, process)


def _idle(process: Running, scenario: Scenario) -> float:
    """Bytes for each connection that was answered once and then waits."""
    before = procfs.resident(process.pid)
    with contextlib.ExitStack() as clients:
        for _ in range(scenario.connections):
            client = clients.enter_context(process.open(scenario.path))
            received = b""
            while not received.endswith(scenario.body):
                if not (piece := client.recv(65536)):
                    raise wrk.LoadError("it closed a connection that was to stay idle")
                received += piece
        return (procfs.resident(process.pid) - before) / scenario.connections


def _start(bench: Bench, scenario: Scenario, server: Server) -> float:
    """Milliseconds from the command to the first whole answer."""
    clock = time.perf_counter()
    launch = replace(launch_for(scenario), command_line=True)
    with running(server, launch, bench.server_core, bench.directory) as process:
        process.check(scenario)
        return (time.perf_counter() - clock) * 1e3
