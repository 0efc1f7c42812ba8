"""When a figure is not to be trusted, and why."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from . import compare
from .results import Cell, Results, Run
from .scenarios import SCENARIOS, Figure
from .servers import OURS

WIDEST_SPREAD = 0.15
FEWEST_ROUNDS = 3
MOST_DISTURBED = 0.2
"""Of so many rounds that the median does not mind them."""

MOST_ELSEWHERE = 0.10
MOST_BESIDE = 0.02
MOST_STOLEN = 0.05
GENERATOR_LIMIT = 0.95

_DRIFTING = {scenario.name for scenario in SCENARIOS if scenario.figure is Figure.CPU}


def doubts(results: Results, cell: Cell) -> list[str]:
    """Why a figure is not to be trusted: nothing, one sentence, or more."""
    runs = cell.runs
    if not runs:
        return []
    found: list[str] = []
    if len(runs) < FEWEST_ROUNDS:
        found.append(f"only {len(runs)} round{'s' * (len(runs) > 1)}")
    found += _too_wide(results, cell)
    found += _disturbed(runs)
    if lost := sum(run.socket_errors for run in runs if run.rate):  # none answered at all: that is a result
        found.append(f"{lost:,} connections or answers were lost")
    if wrong := sum(run.status_errors for run in runs):
        found.append(f"{wrong:,} answers had an error status")
    if cell.reason:
        found.append(f"not every round was run: {cell.reason}")
    return [*found, *dict.fromkeys(run.remark for run in runs if run.remark)]


def _too_wide(results: Results, cell: Cell) -> list[str]:
    """The spread of what is read off the table: of the ratio where there is one, else of the figure itself.

    wsgiserver's own figure is what the ratios are made of; it is judged only where nothing is compared with it.
    """
    ours = results.cell(cell.scenario, OURS)
    others = [other for other in results.cells if other.scenario == cell.scenario and other.server != OURS]
    if cell.server == OURS and any(compare.ratio(ours, other) for other in others):
        return []
    if cell.server != OURS and (ratio := compare.ratio(ours, cell)):
        if ratio.width > WIDEST_SPREAD:
            return [f"the ratio is open between {ratio.low:.2f} and {ratio.high:.2f}"]
        return []
    own = compare.estimate(cell)
    return [f"the rounds leave it open by {own.width:.0%}"] if own and own.width > WIDEST_SPREAD else []


def _disturbed(runs: Sequence[Run]) -> list[str]:
    """What was not as it must be, in more rounds than the median does not mind."""
    rules: tuple[tuple[Callable[[Run], float], float, str], ...] = (
        (lambda run: run.elsewhere, MOST_ELSEWHERE, "other processes used up to {most} of a core"),
        (lambda run: run.beside, MOST_BESIDE, "servers that were to rest used up to {most} of a core"),
        (lambda run: run.stolen, MOST_STOLEN, "the host took up to {most} of a core"),
        (
            lambda run: run.generator,
            GENERATOR_LIMIT,
            "the server waited for wrk, which was at its own limit, {most} of a core",
        ),
    )
    found = []
    for share, limit, sentence in rules:
        over = [share(run) for run in runs if share(run) > limit]
        if len(over) > MOST_DISTURBED * len(runs):
            found.append(sentence.format(most=f"{max(over):.0%}") + f", in {len(over)} of {len(runs)} rounds")
    return found


def general(results: Results) -> list[str]:
    """What is to be known of the run as a whole."""
    found = list(results.remarks)
    drifts = {_name(cell): _drift(cell) for cell in results.cells if cell.scenario in _DRIFTING and len(cell.runs) > 1}
    name = max(drifts, key=lambda name: drifts[name], default="")
    if name and drifts[name] > WIDEST_SPREAD:
        found.append(
            f"the machine's speed drifted: the same server needed up to {1 + drifts[name]:.1f} times as long in one "
            f"round as in another ({name}). Trust the ratios, which are taken within each round, not the microseconds"
        )
    return found


def _drift(cell: Cell) -> float:
    values = [run.value for run in cell.runs]
    return max(values) / min(values) - 1 if min(values) else 0.0


def notes(results: Results) -> list[str]:
    """One line for each figure that is not to be trusted, after what holds for all, and for all of a scenario."""
    found = general(results)
    for scenario in results.scenarios:
        cells = {
            cell.server: doubts(results, cell) for cell in results.cells if cell.scenario == scenario and cell.runs
        }
        shared = [each for each in next(iter(cells.values()), []) if all(each in others for others in cells.values())]
        if len(cells) < 2:
            shared = []
        found += [f"{scenario}: {each}" for each in shared]
        own = {server: [each for each in doubted if each not in shared] for server, doubted in cells.items()}
        found += [f"{scenario}, {server}: {'; '.join(doubted)}" for server, doubted in own.items() if doubted]
    return found


def _name(cell: Cell) -> str:
    return f"{cell.scenario}, {cell.server}"
