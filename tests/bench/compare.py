"""Rounds against rounds: one server's figure as a multiple of another's, round by round, and how well it is known.

The speed of a machine drifts; on a virtual one it may double within seconds. Two servers that take turns meet nearly
the same machine, but two medians over all rounds need not. So what is compared is compared within each round, and the
median is taken last.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from .results import Cell

CERTAINTY = 0.95


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Between which of the values the true median lies, in 95 of 100 cases.

    That follows from counting alone, whatever the noise is like: each round lies above the true median or below it, as
    a coin falls. Of six values it is the whole range, of twelve all but the two least and the two greatest. Fewer than
    six cannot tell so much; for them the range stands too.
    """
    ordered = sorted(values)
    outside, below = 0.0, 0
    while below < len(ordered) // 2:
        outside += 2 * math.comb(len(ordered), below) / 2 ** len(ordered)
        if outside > 1 - CERTAINTY:
            break
        below += 1
    cut = max(below - 1, 0)
    return ordered[cut], ordered[-1 - cut]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure that was taken once in each of several rounds; there is one at least."""

    values: Sequence[float]

    @property
    def value(self) -> float:
        return statistics.median(self.values)

    @property
    def low(self) -> float:
        return interval(self.values)[0]

    @property
    def high(self) -> float:
        return interval(self.values)[1]

    @property
    def width(self) -> float:
        """How far the figure is open, as a share of it."""
        return (self.high - self.low) / abs(self.value) if self.value else 0.0


def estimate(cell: Cell | None, of: str = "value") -> Estimate | None:
    """A figure of one server; None where there is none."""
    return Estimate([getattr(run, of) for run in cell.runs]) if cell and cell.runs else None


def ratio(ours: Cell | None, theirs: Cell | None, of: str = "value") -> Estimate | None:
    """Our figure as a multiple of theirs; None where they have no round in common, or theirs is nothing."""
    return _estimate([mine / other for mine, other in _pairs(ours, theirs, of) if other])


def difference(ours: Cell | None, theirs: Cell | None, of: str = "value") -> Estimate | None:
    """By how much our figure is more than theirs."""
    return _estimate([mine - other for mine, other in _pairs(ours, theirs, of)])


def _pairs(ours: Cell | None, theirs: Cell | None, of: str) -> list[tuple[float, float]]:
    """Both figures of each round in which both were measured."""
    if ours is None or theirs is None:
        return []
    others = {run.round: getattr(run, of) for run in theirs.runs}
    return [(getattr(run, of), others[run.round]) for run in ours.runs if run.round in others]


def _estimate(values: Sequence[float]) -> Estimate | None:
    return Estimate(values) if values else None
