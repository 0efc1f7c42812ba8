"""The measured part of the page about performance, between two marks; the rest of the page is kept."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from . import goals, table, wrk
from .process import ROOT, command, launch_for
from .results import Results
from .scenarios import SCENARIOS, Scenario
from .servers import SERVERS

BEGIN = "<!-- measured: begin (written by python -m tests.bench report; do not edit) -->"
END = "<!-- measured: end -->"
METHOD = """\
Each server runs as one process on core {server_core}, wrk on core {load_core}. For each scenario there
are {rounds} rounds; in each round the servers take turns. A server is started anew for each round,
asked once to see that its answer is right, then put under load for {warm_up} s that do not count and
{seconds} s that do. The CPU time of all its processes and threads, from `/proc/PID/stat`, is divided by
the requests that wrk counted. Shown is the median of the rounds. Memory is the resident memory of all
processes of a server, summed. A figure is marked when other processes were at work, when wrk had no
time left, when the rounds lie more than 15 % apart, or when there were errors.\
"""
PORT = 8000
"""In the commands that are shown; the benchmark takes a free one."""

NEW_PAGE = f"# Performance\n\n{BEGIN}\n{END}\n"


def write(results: Results, page: Path) -> list[Path]:
    """Write the page, and the charts in a folder beside it of the same name; gives what was written.

    Raises ImportError where there is no matplotlib.
    """
    from . import charts

    drawn = charts.write(results, page.with_suffix(""))
    text = page.read_text() if page.exists() else NEW_PAGE
    page.write_text(replace_measured(text, measured(results, drawn, page.parent)))
    return [page, *drawn.values()]


def replace_measured(text: str, part: str) -> str:
    """Put `part` between the marks; at the end of a page that has none."""
    if BEGIN not in text or END not in text:
        text = f"{text.rstrip()}\n\n{BEGIN}\n{END}\n"
    before, after = text[: text.index(BEGIN)], text[text.index(END) :]
    return f"{before}{BEGIN}\n\n{part.strip()}\n\n{after}"


def measured(results: Results, drawn: dict[str, Path], folder: Path) -> str:
    """The measured part, in Markdown."""
    images = [f"### {title}\n\n![{title}]({path.relative_to(folder)})" for title, path in drawn.items()]
    verdicts = [(verdict, "yes" if verdict.met else "**no**") for verdict in goals.verdicts(results)]
    parts = [
        f"## The figures\n\nMeasured on {results.started[:10]}, Python {results.versions['Python']}.",
        table.markdown(results),
        table.LEGEND,
        _listed("Not to be trusted:", table.doubt_notes(results)),
        _listed("Left out:", table.reason_notes(results)),
        *images,
        _table("## The goals", ("goal", "met"), verdicts),
        _method(results),
    ]
    return "\n\n".join(part for part in parts if part)


def _listed(title: str, lines: Sequence[str]) -> str:
    return "\n".join([title, "", *(f"- {line}" for line in lines)]) if lines else ""


def _table(title: str, head: Sequence[str], lines: Iterable[Sequence[object]]) -> str:
    body = [[str(field) for field in line] for line in lines]
    rows = [head, ["---"] * len(head), *body]
    return "\n".join([title, "", *(f"| {' | '.join(row)} |" for row in rows)]) if body else ""


def _method(results: Results) -> str:
    """How it was measured, so that anyone can repeat it."""
    machine = list(results.machine.items()) + list(results.versions.items())
    scenarios = [scenario for scenario in SCENARIOS if scenario.name in results.scenarios]
    servers = [server for server in SERVERS if server.name in results.servers]
    return "\n\n".join(
        [
            "## How it was measured",
            METHOD.format_map(results.settings),
            _table("### The machine and the versions", ("what", "which"), machine),
            _table("### The scenarios", ("name", "what"), [(f"`{each.name}`", each.title) for each in scenarios]),
            _table("### The servers", ("server", "settings"), [(each.name, each.settings) for each in servers]),
            "### The commands\n\nTo repeat it:",
            _code("pip install -e '.[bench]'", results.command, "python -m tests.bench report"),
            "How each server is started, for `hello`:",
            _code(*(_start(results, server.name) for server in servers)),
            "How wrk is called:",
            _code(*(_load(results, scenario) for scenario in scenarios if scenario.figure.loaded)),
        ]
    )


def _code(*lines: str) -> str:
    return "\n".join(["```shell", *lines, "```"])


def _start(results: Results, name: str) -> str:
    server = next(server for server in SERVERS if server.name == name)
    arguments = command(
        server, replace(launch_for(SCENARIOS[0]), port=PORT), str(results.settings["server_core"]), "python"
    )
    return shlex.join(arguments)


def _load(results: Results, scenario: Scenario) -> str:
    core = str(results.settings["load_core"])
    cores = f"{results.settings['server_core']},{core}" if scenario.both_cores else core
    words = wrk.command(scenario, f"http://127.0.0.1:{PORT}{scenario.path}", results.settings["seconds"], cores)
    return shlex.join(words).replace(f"{ROOT}/", "")
