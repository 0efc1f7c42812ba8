"""What was measured: all rounds of a scenario with a server, their median, the doubts about it; as JSON."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

WIDEST_SPREAD = 0.15
MOST_ELSEWHERE = 0.10
MOST_STOLEN = 0.05
GENERATOR_LIMIT = 0.95
FEWEST_ROUNDS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One round of one scenario with one server; shares are of the time of one core."""

    value: float
    """In the unit of the scenario's figure."""
    rate: float = 0.0
    p50: float = 0.0
    p99: float = 0.0
    generator: float = 0.0
    """How busy wrk was."""
    elsewhere: float = 0.0
    """What processes other than the server and wrk used."""
    stolen: float = 0.0
    """What the host gave to other machines."""
    socket_errors: int = 0
    status_errors: int = 0
    remark: str = ""
    """What else went wrong."""


def median(values: Sequence[float]) -> float:
    return statistics.median(values) if values else 0.0


def spread(values: Sequence[float]) -> float:
    """The distance from the least to the greatest, as a share of the median."""
    middle = median(values)
    return (max(values) - min(values)) / middle if middle else 0.0


@dataclass(slots=True)
class Cell:
    """All rounds of one scenario with one server."""

    scenario: str
    server: str
    runs: list[Run] = field(default_factory=list)
    reason: str = ""
    """Why there are no rounds, or no more of them."""

    @property
    def value(self) -> float:
        return median([run.value for run in self.runs])

    @property
    def rate(self) -> float:
        return median([run.rate for run in self.runs])

    @property
    def p99(self) -> float:
        return median([run.p99 for run in self.runs])

    @property
    def spread(self) -> float:
        return spread([run.value for run in self.runs])


def doubts(cell: Cell) -> list[str]:
    """Why the cell's figure is not to be trusted: nothing, one sentence, or more."""
    found: list[str] = []
    runs = cell.runs
    if not runs:
        return found
    if len(runs) < FEWEST_ROUNDS:
        found.append(f"only {len(runs)} round{'s' * (len(runs) > 1)}")
    if cell.spread > WIDEST_SPREAD:
        found.append(f"the rounds lie {cell.spread:.0%} apart")
    if (most := max(run.elsewhere for run in runs)) > MOST_ELSEWHERE:
        found.append(f"other processes used {most:.0%} of a core")
    if (most := max(run.stolen for run in runs)) > MOST_STOLEN:
        found.append(f"the host took {most:.0%} of a core")
    if (most := max(run.generator for run in runs)) > GENERATOR_LIMIT:
        found.append(f"wrk was at its own limit ({most:.0%} of a core), so that the server could have done more")
    if lost := sum(run.socket_errors for run in runs if run.rate):  # none answered at all: that is a result
        found.append(f"{lost:,} connections or answers were lost")
    if wrong := sum(run.status_errors for run in runs):
        found.append(f"{wrong:,} answers had an error status")
    if cell.reason:
        found.append(f"not every round was run: {cell.reason}")
    return [*found, *dict.fromkeys(run.remark for run in runs if run.remark)]


def ratio(ours: Cell | None, theirs: Cell | None) -> float | None:
    """Our figure as a multiple of theirs; None where one of them is missing or is nothing."""
    if ours is None or theirs is None or not ours.runs or not theirs.runs or not theirs.value:
        return None
    return ours.value / theirs.value


@dataclass(slots=True, kw_only=True)
class Results:
    """A whole run of the benchmark."""

    command: str
    """How to repeat it."""
    started: str
    """Date and time, ISO 8601."""
    settings: dict[str, Any]
    """Rounds, seconds, cores …"""
    machine: dict[str, str]
    versions: dict[str, str]
    remarks: list[str] = field(default_factory=list)
    """What was not right with the machine from the beginning."""
    scenarios: list[str] = field(default_factory=list)
    servers: list[str] = field(default_factory=list)
    cells: list[Cell] = field(default_factory=list)

    def cell(self, scenario: str, server: str) -> Cell | None:
        found = (cell for cell in self.cells if cell.scenario == scenario and cell.server == server)
        return next(found, None)

    def save(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(asdict(self), indent=1) + "\n")

    @classmethod
    def load(cls, path: Path) -> Results:
        data = json.loads(path.read_text())
        for cell in data["cells"]:
            cell["runs"] = [Run(**run) for run in cell["runs"]]
        return cls(**data | {"cells": [Cell(**cell) for cell in data["cells"]]})
