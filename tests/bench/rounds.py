"""All rounds: by scenario, by round, by server, so that a change in the machine meets all servers alike."""

from __future__ import annotations

import os
import shlex
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from . import applications, machine, process, wrk
from .measure import Bench, measure
from .progress import Progress
from .results import Cell, Results
from .scenarios import Scenario
from .servers import Server


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is measured, how often, for how long, and where the results go."""

    scenarios: Sequence[Scenario]
    servers: Sequence[Server]
    rounds: int
    seconds: int
    warm_up: int
    server_core: str
    load_core: str
    output: Path
    arguments: Sequence[str]
    """As the benchmark was called, for the record."""

    def cannot(self, scenario: Scenario, server: Server) -> str:
        """Why the server is left out of a scenario; empty when it is not."""
        if not server.version:
            return "it is not installed"
        if scenario.access_log and not server.has_access_log:
            return "it has no access log"
        return ""

    def steps(self, cells: Sequence[Cell]) -> Iterator[tuple[int, Scenario, Server, Cell]]:
        """Every round of every cell, in turn; a cell that has got a reason is asked no more."""
        by_names = {(cell.scenario, cell.server): cell for cell in cells}
        for scenario in self.scenarios:
            for turn in range(1, self.rounds + 1):
                for server in self.servers:
                    yield turn, scenario, server, by_names[scenario.name, server.name]


def blank(plan: Plan) -> Results:
    """Results with every cell, and no rounds yet."""
    return Results(
        command=shlex.join(["python", "-m", "tests.bench", *plan.arguments]),
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        settings={
            "rounds": plan.rounds,
            "seconds": plan.seconds,
            "warm_up": plan.warm_up,
            "server_core": plan.server_core,
            "load_core": plan.load_core,
        },
        machine=machine.describe(),
        versions=machine.versions(),
        remarks=machine.remarks(),
        scenarios=[scenario.name for scenario in plan.scenarios],
        servers=[server.name for server in plan.servers],
        cells=[
            Cell(scenario.name, server.name, reason=plan.cannot(scenario, server))
            for scenario in plan.scenarios
            for server in plan.servers
        ],
    )


def run(plan: Plan) -> Results:
    """Measure all; the results are saved after each round, so that an interrupted run is not lost."""
    results = blank(plan)
    progress = Progress(len(results.cells) * plan.rounds, sys.stderr)
    with tempfile.TemporaryDirectory(prefix="wsgiserver-bench-") as name:
        directory = Path(name)
        (directory / "file").write_bytes(b"x" * applications.FILE_SIZE)
        bench = Bench(
            seconds=plan.seconds,
            warm_up=plan.warm_up,
            server_core=plan.server_core,
            load_core=plan.load_core,
            directory=directory,
        )
        os.sched_setaffinity(0, {int(plan.load_core)})
        try:
            for turn, scenario, server, cell in plan.steps(results.cells):
                progress.step(f"{scenario.name} · round {turn} of {plan.rounds} · {server.name}")
                if not cell.reason:
                    _round(bench, scenario, server, cell)
                    results.save(plan.output)
        except KeyboardInterrupt:
            results.remarks.append("the run was interrupted")
        finally:
            progress.end()
    results.save(plan.output)
    return results


def _round(bench: Bench, scenario: Scenario, server: Server, cell: Cell) -> None:
    try:
        cell.runs.append(measure(bench, scenario, server))
    except (process.ServerError, wrk.LoadError) as failure:
        cell.reason = str(failure)
