"""What is to be reached, and whether it was."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from .results import Results, ratio
from .scenarios import SCENARIOS, TIMES, Figure
from .servers import OURS


@dataclass(frozen=True, slots=True)
class Goal:
    """A scenario's figure is at most `limit`: times the peer's, or, without one, in the figure's own unit."""

    scenario: str
    peer: str
    limit: float


@dataclass(frozen=True, slots=True)
class Verdict:
    goal: Goal
    reached: float

    @property
    def met(self) -> bool:
        return self.reached <= self.goal.limit

    def __str__(self) -> str:
        goal = self.goal
        return f"{goal.scenario}: {self.reached:.2f} {_unit(goal)} (goal: at most {goal.limit:g})"


def _unit(goal: Goal) -> str:
    if goal.peer:
        return f"{TIMES} {goal.peer}"
    return {"access-log": "µs more than hello", "memory": "MB", "idle": "KB"}[goal.scenario]


_RATIOS = {
    "hello": {"bjoern": 1.25, "granian": 0.85},
    "browser": {"bjoern": 1.0, "freastal": 1.35, "granian": 0.7},
    "varied": {"bjoern": 1.4, "granian": 1.0},
    "flask": {"bjoern": 0.95, "freastal": 0.95, "granian": 0.95, "fastpysgi": 1.0},
    "bottle": {"bjoern": 0.95, "freastal": 0.95, "granian": 0.95, "fastpysgi": 1.0},
    "django": {"bjoern": 0.95, "freastal": 0.95, "granian": 0.95, "fastpysgi": 1.0},
    "echo": {"bjoern": 1.0},
    "big": {"bjoern": 1.0, "granian": 1.0},
    "file": {"bjoern": 1.0, "granian": 1.0},
    "upload": {"bjoern": 1.0, "granian": 1.0},
    "stream": {"granian": 1.0},
    "close": {"granian": 1.0},
    "conns": {"bjoern": 1.05, "granian": 0.7},
    "start": {"waitress": 1.0},
}
_THREADED = {"waitress": 0.15, "gunicorn": 0.15}
_OWN = {"access-log": 3.0, "memory": 25.0, "idle": 10.0}


def _goals() -> Iterator[Goal]:
    for scenario in SCENARIOS:
        limits = dict(_RATIOS.get(scenario.name, {}))
        if scenario.figure is Figure.CPU and not scenario.access_log:
            limits |= _THREADED
        for peer, limit in limits.items():
            yield Goal(scenario.name, peer, limit)
        if scenario.name in _OWN:
            yield Goal(scenario.name, "", _OWN[scenario.name])


GOALS = tuple(_goals())


def verdicts(results: Results) -> list[Verdict]:
    """The goals of which everything needed was measured."""
    reached = ((goal, _reached(results, goal)) for goal in GOALS)
    return [Verdict(goal, value) for goal, value in reached if value is not None]


def _reached(results: Results, goal: Goal) -> float | None:
    ours = results.cell(goal.scenario, OURS)
    if goal.peer:
        return ratio(ours, results.cell(goal.scenario, goal.peer))
    if ours is None or not ours.runs:
        return None
    if goal.scenario != "access-log":
        return ours.value
    hello = results.cell("hello", OURS)
    return ours.value - hello.value if hello and hello.runs else None
