"""The results for people: a table for the terminal and one in Markdown, and the notes under them."""

from __future__ import annotations

from . import compare
from .doubts import doubts
from .results import Results
from .scenarios import SCENARIOS, TIMES, Figure, Scenario
from .servers import OURS, VARIANTS

DOUBTED = "?"
NOTHING = "-"
BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}


def number(value: float) -> str:
    """Three significant figures, as plain digits."""
    if not value:
        return "0"
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def with_unit(figure: Figure, value: float) -> str:
    return f"{value:,.0f}/s" if figure is Figure.RATE else f"{number(value)} {figure.unit}"


def cell_lines(results: Results, scenario: Scenario, server: str) -> list[str]:
    """What stands in one cell: the figure; below it the ratio and the requests per second where there are."""
    cell = results.cell(scenario.name, server)
    if cell is None or not cell.runs:
        return [NOTHING]
    mark = DOUBTED if doubts(results, cell) else ""
    lines = [with_unit(scenario.figure, cell.value) + mark]
    if server != OURS and (share := compare.ratio(results.cell(scenario.name, OURS), cell)):
        lines.append(f"{TIMES} {number(share.value)}")
    if scenario.figure is Figure.CPU:
        lines.append(f"{cell.rate:,.0f}/s")
    if scenario.figure is Figure.RATE and cell.p99:
        lines.append(f"p99 {number(cell.p99)} ms")
    return lines


def rows(results: Results) -> list[tuple[str, list[list[str]]]]:
    return [
        (name, [cell_lines(results, BY_NAME[name], server) for server in results.servers]) for name in results.scenarios
    ]


def text(results: Results) -> str:
    """For the terminal; each scenario has as many lines as its fullest cell."""
    body = rows(results)
    columns = list(zip(*(cells for _, cells in body), strict=True))
    widths = [
        max(len(name), *(len(line) for cell in column for line in cell))
        for name, column in zip(results.servers, columns, strict=True)
    ]
    first = max(map(len, results.scenarios), default=0)

    def line(name: str, fields: list[str]) -> str:
        padded = (field.rjust(width) for field, width in zip(fields, widths, strict=True))
        return "  ".join([name.ljust(first), *padded]).rstrip()

    lines = [line("", results.servers), line("-" * first, ["-" * width for width in widths])]
    for name, cells in body:
        for i in range(max(map(len, cells))):
            lines.append(line("" if i else name, [cell[i] if i < len(cell) else "" for cell in cells]))
    return "\n".join(lines)


def markdown(results: Results) -> str:
    lines = ["| | " + " | ".join(results.servers) + " |", "| --- |" + " ---: |" * len(results.servers)]
    for name, cells in rows(results):
        fields = ["<br>".join([f"**{cell[0]}**", *cell[1:]]) if cell[0] != NOTHING else NOTHING for cell in cells]
        lines.append(f"| `{name}` | " + " | ".join(fields) + " |")
    return "\n".join(lines)


LEGEND = f"""\
A cell tells the CPU time of the whole server per request, or what the row's unit says; under it, after
{TIMES}, wsgiserver's figure as a multiple of this server's, taken round by round (under 1 wsgiserver needs less;
where the figure is requests per second, over 1 wsgiserver does more); under that, requests per second, or the
time in which 99 in 100 requests were answered. {DOUBTED} marks what is not to be trusted; a dash, a
server that was left out.\
"""


def variant_rows(results: Results) -> list[list[str]]:
    """What it makes of wsgiserver to set it otherwise: scenario, setting, both figures, the ratio, the difference."""
    found = []
    for cell in results.cells:
        ours = results.cell(cell.scenario, OURS)
        share, more = compare.ratio(cell, ours), compare.difference(cell, ours)
        if cell.server not in VARIANTS or not ours or not share or not more:
            continue
        figure = BY_NAME[cell.scenario].figure
        mark = DOUBTED if doubts(results, cell) else ""
        found.append(
            [
                cell.scenario,
                cell.server,
                with_unit(figure, cell.value) + mark,
                f"{TIMES} {share.value:.2f} ({share.low:.2f} to {share.high:.2f})",
                f"{more.value:+.2f} {figure.unit} ({more.low:+.2f} to {more.high:+.2f})",
            ]
        )
    return found


VARIANT_HEAD = ("scenario", "set otherwise", "its figure", "as a multiple of wsgiserver as it comes", "more than that")


def reason_notes(results: Results) -> list[str]:
    """One line for each cell that stays empty."""
    return [f"{cell.scenario}, {cell.server}: {cell.reason}" for cell in results.cells if cell.reason and not cell.runs]
