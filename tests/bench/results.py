"""What was measured: all rounds of all scenarios with all servers, and their medians; as JSON."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One round of one scenario with one server; shares are of the time of one core."""

    value: float
    """In the unit of the scenario's figure."""
    round: int = 0
    """Which round it was: what has the same number was measured in turn."""
    rate: float = 0.0
    p50: float = 0.0
    p99: float = 0.0
    generator: float = 0.0
    """How busy wrk was."""
    elsewhere: float = 0.0
    """What processes other than the servers and wrk used."""
    beside: float = 0.0
    """What the servers used that were to rest meanwhile."""
    stolen: float = 0.0
    """What the host gave to other machines."""
    socket_errors: int = 0
    status_errors: int = 0
    remark: str = ""
    """What else went wrong."""


def median(values: Sequence[float]) -> float:
    return statistics.median(values) if values else 0.0


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
    def p50(self) -> float:
        return median([run.p50 for run in self.runs])

    @property
    def p99(self) -> float:
        return median([run.p99 for run in self.runs])


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
            # Older results do not number the rounds; they were in turn all the same.
            cell["runs"] = [Run(**{"round": i} | run) for i, run in enumerate(cell["runs"], 1)]
        return cls(**data | {"cells": [Cell(**cell) for cell in data["cells"]]})
