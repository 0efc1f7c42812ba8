"""The charts of the page about performance, as SVG; the only module that needs matplotlib."""

# mypy: disable-error-code="import-untyped, import-not-found"

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib import pyplot

from . import compare
from .anatomy import Anatomy
from .results import Results
from .scenarios import Figure
from .servers import OURS, SERVERS
from .stacks import APPLICATION, KERNEL
from .table import BY_NAME, NOTHING, number

pyplot.switch_backend("svg")
pyplot.rcParams |= {"svg.hashsalt": "wsgiserver", "svg.fonttype": "none", "font.size": 9}

COLOURS = dict(
    zip(
        (server.name for server in SERVERS),
        ("#0b3c5d", "#d9822b", "#7a9e3f", "#b23a48", "#7b5ea7", "#7f7f7f", "#b5b5b5"),
        strict=True,
    )
)


def write(results: Results, directory: Path) -> dict[str, Path]:
    """Draw what there are figures for; gives the title of each chart and where it is."""
    directory.mkdir(parents=True, exist_ok=True)
    written: dict[str, Path] = {}
    if names := _measured(results, Figure.CPU):
        written["CPU time per request, as a multiple of wsgiserver's"] = _ratios(results, names, directory)
    for figure in (Figure.CPU, Figure.RATE):
        if names := _measured(results, figure):
            written[figure.title[0].upper() + figure.title[1:]] = _bars(
                results, names, directory / f"{figure.name.lower()}.svg"
            )
    if names := [name for figure in (Figure.MEMORY, Figure.IDLE, Figure.START) for name in _measured(results, figure)]:
        written["Memory and start"] = _bars(results, names, directory / "footprint.svg")
    return written


def anatomy(taken: Anatomy, directory: Path) -> Path:
    """A bar for each module of wsgiserver that a request goes through, and for what the kernel does for it."""
    bars = {name: taken.micro(share) for name, share in taken.parts.items()}
    bars["the other threads"] = taken.time * taken.threads
    names = sorted(bars, key=lambda name: (name.startswith(KERNEL), not name.startswith(KERNEL) and -bars[name]))
    figure, axes = pyplot.subplots(figsize=(8, 0.28 * len(names) + 0.6))
    drawn = axes.barh(names, [bars[name] for name in names], color=[_part_colour(name) for name in names])
    axes.bar_label(drawn, [f"{bars[name]:.2f}" for name in names], padding=2, fontsize=8)
    axes.set_title(f"µs of a request of {taken.scenario}, {taken.time:.1f} in all", fontsize=9, loc="left")
    axes.invert_yaxis()
    axes.set_xticks([])
    axes.spines[["top", "right", "bottom"]].set_visible(False)
    axes.tick_params(left=False)
    return _save(figure, directory / "request.svg")


def _part_colour(name: str) -> str:
    if name.startswith(KERNEL):
        return "#7f7f7f"
    return "#d9822b" if name == APPLICATION else COLOURS[OURS]


def _measured(results: Results, figure: Figure) -> list[str]:
    """The scenarios with this figure in which wsgiserver was measured."""
    cells = ((name, results.cell(name, OURS)) for name in results.scenarios if BY_NAME[name].figure is figure)
    return [name for name, cell in cells if cell and cell.value]


def _values(results: Results, name: str) -> dict[str, float]:
    cells = {server: results.cell(name, server) for server in results.servers}
    return {server: cell.value for server, cell in cells.items() if cell and cell.runs}


def _ratios(results: Results, names: Sequence[str], directory: Path) -> Path:
    """One line a scenario, one dot a server, with whiskers for where it may be; wsgiserver is the line at 1."""
    figure, axes = pyplot.subplots(figsize=(8, 0.34 * len(names) + 1.4))
    for server in results.servers:
        cells = ((row, results.cell(name, server), results.cell(name, OURS)) for row, name in enumerate(names))
        found = [(row, ratio) for row, cell, ours in cells if (ratio := compare.ratio(cell, ours))]
        if server == OURS or not found:
            continue
        middles = [ratio.value for _, ratio in found]
        whiskers = [[ratio.value - ratio.low for _, ratio in found], [ratio.high - ratio.value for _, ratio in found]]
        rows = [row for row, _ in found]
        axes.errorbar(middles, rows, xerr=whiskers, fmt="o", color=COLOURS[server], label=server, elinewidth=1)
    axes.axvline(1, color=COLOURS[OURS], label=OURS, linewidth=2)
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.grid(axis="both", alpha=0.25)
    axes.set_xlabel("to the left of the line: less CPU time than wsgiserver; to the right: more")
    legend = {"ncols": len(results.servers), "frameon": False, "columnspacing": 1, "handletextpad": 0.3}
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1), **legend)
    return _save(figure, directory / "ratios.svg")


def _bars(results: Results, names: Sequence[str], path: Path, columns: int = 3) -> Path:
    """A small bar chart for each scenario."""
    lines = -(-len(names) // columns)
    height = 0.2 * len(results.servers) + 0.6
    figure, grid = pyplot.subplots(lines, columns, figsize=(9, lines * height), squeeze=False)
    for axes in grid.flat[len(names) :]:
        axes.set_axis_off()
    for axes, name in zip(grid.flat, names, strict=False):
        values = _values(results, name)
        lengths = [values.get(server, 0.0) for server in results.servers]
        labels = [number(values[server]) if server in values else NOTHING for server in results.servers]
        bars = axes.barh(results.servers, lengths, color=[COLOURS[server] for server in results.servers])
        axes.bar_label(bars, labels, padding=2, fontsize=8)
        axes.set_title(f"{name}, {BY_NAME[name].figure.unit}", fontsize=9, loc="left")
        axes.invert_yaxis()
        axes.set_xticks([])
        axes.margins(x=0.2)
        axes.spines[["top", "right", "bottom"]].set_visible(False)
        axes.tick_params(left=False)
    figure.tight_layout()
    return _save(figure, path)


def _save(figure: Any, path: Path) -> Path:
    figure.savefig(path, bbox_inches="tight", metadata={"Date": None})
    pyplot.close(figure)
    return path
