"""What is to be reached, and whether it was."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from . import compare
from .compare import Estimate
from .results import Results
from .scenarios import SCENARIOS, TIMES, Figure
from .servers import NO_LOG, ONE_THREAD, OURS


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """wsgiserver's figure in a scenario is at most, or at least, `limit`: times another's, or in its own unit."""

    scenario: str
    limit: float
    peers: tuple[str, ...] = ()
    """Whose figure it is a multiple of: the first of them that can; none: it stands for itself."""
    variant: str = ""
    """Which setting of wsgiserver it is compared with; the goal is for the difference."""
    least: bool = False
    of: str = "value"
    """Or one of the times that wrk tells, p50 or p99."""
    unit: str = ""

    @property
    def text(self) -> str:
        return f"at {'least' if self.least else 'most'} {self.limit:,g}"


@dataclass(frozen=True, slots=True)
class Verdict:
    goal: Goal
    reached: Estimate
    peer: str = ""

    @property
    def met(self) -> bool:
        limit = self.goal.limit
        return self.reached.value >= limit if self.goal.least else self.reached.value <= limit

    @property
    def sure(self) -> bool:
        """Whether the limit lies outside of where the figure may be."""
        return not self.reached.low <= self.goal.limit <= self.reached.high or self.reached.low == self.reached.high

    @property
    def unit(self) -> str:
        if self.peer:
            return f"{TIMES} {self.peer}"
        return f"{self.goal.unit} more than {self.goal.variant}" if self.goal.variant else self.goal.unit

    @property
    def span(self) -> str:
        """Where the figure may be."""
        return f"{number(self.reached.low)} to {number(self.reached.high)}"

    @property
    def word(self) -> str:
        """Met or missed; with a question mark where more rounds might tell otherwise."""
        return ("met" if self.met else "missed") + "?" * (not self.sure)

    def __str__(self) -> str:
        what = "" if self.goal.of == "value" else f"{self.goal.of} "
        return (
            f"{self.goal.scenario}: {what}{number(self.reached.value)} {self.unit} "
            f"({self.span}; goal: {self.goal.text})"
        )


def number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.2f}"


_RATIOS: dict[str, dict[str, float]] = {
    "hello": {"bjoern": 1.25, "granian": 0.85},
    "browser": {"bjoern": 1.0, "freastal": 1.35, "granian": 0.7},
    "varied": {"bjoern": 1.4, "granian": 1.0},
    "flask": {"bjoern": 0.95, "freastal": 0.95, "granian": 0.95, "fastpysgi": 1.0},
    "bottle": {"bjoern": 0.95, "freastal": 0.95, "granian": 0.95, "fastpysgi": 1.0},
    "django": {"bjoern": 0.95, "freastal": 0.95, "granian": 0.95, "fastpysgi": 1.0},
    "echo": {"bjoern": 1.0},
    "big": {"bjoern|granian": 1.0},
    "file": {"bjoern|granian": 1.0},
    "upload": {"bjoern|granian": 1.0},
    "stream": {"granian": 1.0},
    "close": {"granian": 1.0},
    "conns": {"bjoern": 1.05, "granian": 0.7},
    "start": {"waitress": 1.0},
}
"""At most so many times the peer's; where there are two, the second counts when the first cannot."""

_THREADED = {"waitress": 0.15, "gunicorn": 0.15}

_OTHERS = (
    Goal(scenario="hello", variant=ONE_THREAD, limit=1.0, unit="µs"),
    Goal(scenario="access-log", variant=NO_LOG, limit=3.0, unit="µs"),
    Goal(scenario="memory", limit=25.0, unit="MB"),
    Goal(scenario="idle", limit=10.0, unit="KB"),
    Goal(scenario="sleep", limit=0.9 * 6400, least=True, unit="requests a second"),
    Goal(scenario="sleep", peers=("granian",), limit=1.0, least=True),
    Goal(scenario="sometimes", peers=("granian",), limit=1.2, least=True),
    Goal(scenario="sometimes", of="p50", limit=1.0, unit="ms"),
    Goal(scenario="compute", peers=("granian",), limit=5.0, least=True),
    Goal(scenario="compute", peers=("waitress",), limit=100.0, least=True),
    Goal(scenario="compute", of="p99", limit=10.0, unit="ms"),
)


def _multiples() -> Iterator[Goal]:
    for scenario in SCENARIOS:
        limits = dict(_RATIOS.get(scenario.name, {}))
        if _compared(scenario.name):
            limits |= _THREADED
        for peers, limit in limits.items():
            yield Goal(scenario=scenario.name, peers=tuple(peers.split("|")), limit=limit)


def _compared(name: str) -> bool:
    return any(each.name == name and each.figure is Figure.CPU and not each.access_log for each in SCENARIOS)


_ORDER = [scenario.name for scenario in SCENARIOS]
GOALS = tuple(sorted([*_multiples(), *_OTHERS], key=lambda goal: _ORDER.index(goal.scenario)))

BETTER_GOALS = tuple(
    Goal(scenario=name, peers=("freastal",), limit=1.0)
    for name in _ORDER
    if _compared(name) and _RATIOS.get(name, {}).get("freastal", 2.0) > 1.0
)
"""Not required, but never to be forgotten."""


def verdicts(results: Results, goals: tuple[Goal, ...] = GOALS) -> list[Verdict]:
    """The goals of which everything needed was measured."""
    found = (_verdict(results, goal) for goal in goals)
    return [verdict for verdict in found if verdict is not None]


def _verdict(results: Results, goal: Goal) -> Verdict | None:
    ours = results.cell(goal.scenario, OURS)
    if goal.peers:
        for peer in goal.peers:
            if reached := compare.ratio(ours, results.cell(goal.scenario, peer), goal.of):
                return Verdict(goal, reached, peer)
        return None
    if goal.variant:
        reached = compare.difference(ours, results.cell(goal.scenario, goal.variant), goal.of)
    else:
        reached = compare.estimate(ours, goal.of)
    return Verdict(goal, reached) if reached else None
