"""All rounds: by scenario, by round, by server, so that a change in the machine meets all servers alike."""

from __future__ import annotations

import os
import random
import shlex
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from . import machine, measure, slices, wrk
from .measure import Bench
from .process import Running, ServerError
from .progress import Progress
from .results import Cell, Results, Run
from .scenarios import Scenario
from .servers import OURS, VARIANTS, Server

STEADY_ROUNDS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is measured, how often, for how long, and where the results go."""

    scenarios: Sequence[Scenario]
    servers: Sequence[Server]
    rounds: int
    renew: int
    """After so many rounds, every server is started anew."""
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

    def servers_of(self, scenario: Scenario) -> list[Server]:
        """All servers; where ours is among them, those too which are ours in another setting."""
        ours = any(server.name == OURS for server in self.servers)
        return [*self.servers, *(VARIANTS[name] for name in scenario.variants if ours)]

    def rounds_of(self, scenario: Scenario) -> int:
        return min(self.rounds, STEADY_ROUNDS) if scenario.figure.steady else self.rounds

    def lives_of(self, scenario: Scenario) -> Iterator[range]:
        """The rounds, cut where the servers are started anew."""
        end = self.rounds_of(scenario) + 1
        return (range(first, min(first + self.renew, end)) for first in range(1, end, self.renew))

    @property
    def steps(self) -> int:
        return sum(self.rounds_of(scenario) * len(self.servers_of(scenario)) for scenario in self.scenarios)


def blank(plan: Plan) -> Results:
    """Results with every cell, and no rounds yet."""
    return Results(
        command=shlex.join(["python", "-m", "tests.bench", *plan.arguments]),
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        settings={
            "rounds": plan.rounds,
            "renew": plan.renew,
            "seconds": plan.seconds,
            "slice": slices.SLICE,
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
            for server in plan.servers_of(scenario)
        ],
    )


def run(plan: Plan) -> Results:
    """Measure all; the results are saved after each round, so that an interrupted run is not lost."""
    results = blank(plan)
    progress = Progress(plan.steps, sys.stderr)
    with tempfile.TemporaryDirectory(prefix="wsgiserver-bench-") as name:
        bench = Bench(
            seconds=plan.seconds,
            warm_up=plan.warm_up,
            server_core=plan.server_core,
            load_core=plan.load_core,
            directory=Path(name),
        )
        bench.prepare()
        os.sched_setaffinity(0, {int(plan.load_core)})
        try:
            for scenario in plan.scenarios:
                _Rounds(plan, bench, scenario, results, progress).run()
        except KeyboardInterrupt:
            results.remarks.append("the run was interrupted")
        finally:
            progress.end()
    results.save(plan.output)
    return results


class _Rounds:
    """The rounds of one scenario."""

    def __init__(self, plan: Plan, bench: Bench, scenario: Scenario, results: Results, progress: Progress) -> None:
        self._plan = plan
        self._bench = bench
        self._scenario = scenario
        self._results = results
        self._progress = progress
        self._servers = plan.servers_of(scenario)
        self._cells = {cell.server: cell for cell in results.cells if cell.scenario == scenario.name}

    def run(self) -> None:
        for life in self._plan.lives_of(self._scenario):
            if not self._scenario.figure.loaded:
                for turn in life:
                    self._alone(turn)
                continue
            with ExitStack() as stack:
                alive = self._start(stack)
                for turn in life:
                    if self._scenario.sliced:
                        self._sliced(turn, alive)
                    else:
                        self._in_turn(turn, alive)

    def _start(self, stack: ExitStack) -> dict[str, Running]:
        """Start all servers, and warm each up; one that fails has its reason noted."""
        alive: dict[str, Running] = {}
        for server in self._servers:
            if self._cells[server.name].reason:
                continue
            self._progress.note(f"{self._scenario.name} · starting {server.name}")
            try:
                alive[server.name] = stack.enter_context(measure.ready(self._bench, self._scenario, server))
            except (ServerError, wrk.LoadError) as failure:
                self._cells[server.name].reason = str(failure)
        return alive

    def _sliced(self, turn: int, alive: dict[str, Running]) -> None:
        """All servers, slice by slice."""
        self._progress.step(self._what(turn), len(self._servers))
        names = [name for name in self._order(turn) if not self._cells[name].reason]
        for name, outcome in slices.take(self._bench, self._scenario, alive, names).items():
            self._note(turn, name, outcome)

    def _in_turn(self, turn: int, alive: dict[str, Running]) -> None:
        """One server after the other."""
        for name in self._order(turn):
            self._progress.step(f"{self._what(turn)} · {name}")
            if not self._cells[name].reason:
                resting = [process for other, process in alive.items() if other != name]
                self._take(turn, name, partial(measure.loaded, self._bench, self._scenario, alive[name], resting))

    def _alone(self, turn: int) -> None:
        """One server after the other, each started for this round."""
        servers = {server.name: server for server in self._servers}
        for name in self._order(turn):
            self._progress.step(f"{self._what(turn)} · {name}")
            if not self._cells[name].reason:
                self._take(turn, name, partial(measure.alone, self._bench, self._scenario, servers[name]))

    def _what(self, turn: int) -> str:
        return f"{self._scenario.name} · round {turn} of {self._plan.rounds_of(self._scenario)}"

    def _order(self, turn: int) -> list[str]:
        """In each round it is another, so that nobody always comes after the same."""
        names = [server.name for server in self._servers]
        return random.Random(turn).sample(names, len(names))

    def _take(self, turn: int, name: str, take: Callable[[], Run]) -> None:
        try:
            outcome: slices.Outcome = take()
        except (ServerError, wrk.LoadError) as failure:
            outcome = str(failure)
        self._note(turn, name, outcome)

    def _note(self, turn: int, name: str, outcome: slices.Outcome) -> None:
        """Keep a figure; or the reason why there is none, for which the server is asked no more."""
        if isinstance(outcome, Run):
            self._cells[name].runs.append(replace(outcome, round=turn))
        else:
            self._cells[name].reason = outcome
        self._results.save(self._plan.output)
