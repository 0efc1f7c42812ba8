"""The measured part of the page about performance, between two marks; the rest of the page is kept."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from . import doubts, goals, table, wrk
from .anatomy import CONNECTIONS, Anatomy
from .process import ROOT, command, launch_for
from .results import Results
from .scenarios import SCENARIOS, Figure, Scenario
from .servers import SERVERS, VARIANTS, Server

BEGIN = "<!-- measured: begin (written by python -m tests.bench report; do not edit) -->"
END = "<!-- measured: end -->"
METHOD = """\
For each scenario there were {rounds} rounds (three for memory) of {seconds} s, in slices of {slice} s,
the servers on core {server_core}, wrk on core {load_core}. After every {renew} rounds all servers were started
anew, and had load for {warm_up} s that did not count.\
"""
PORT = 8000
"""In the commands that are shown; the benchmark takes a free one."""

MOST_APART = 0.10
"""How far the share of the kernel may be one thing by its own count and another by the samples."""

HELLO = SCENARIOS[0]
"""Its commands are shown in full; those of the others, where more than the application differs."""

OTHERWISE = "## wsgiserver set otherwise"
ONE_REQUEST = "## One request, taken apart"
"""What people wrote refers to these two, so they are there also when there is nothing to tell."""

NOT_MEASURED = "Not measured."

NEW_PAGE = f"# Performance\n\n{BEGIN}\n{END}\n"


def write(results: Results, taken: Anatomy | None, page: Path, command: str) -> list[Path]:
    """Write the page, and the charts in a folder beside it of the same name; gives what was written.

    `command` is how to do it again.

    Raises ImportError where there is no matplotlib.
    """
    from . import charts

    drawn = charts.write(results, page.with_suffix(""))
    bars = charts.anatomy(taken, page.with_suffix("")) if taken else None
    text = page.read_text() if page.exists() else NEW_PAGE
    apart = _anatomy(taken, bars, page.parent) if taken and bars else [ONE_REQUEST, NOT_MEASURED]
    parts = [*measured(results, drawn, page.parent), *apart]
    parts.append(_method(results, [results.command, *([taken.command] if taken else []), command]))
    page.write_text(replace_measured(text, "\n\n".join(part for part in parts if part)))
    return [page, *drawn.values(), *([bars] if bars else [])]


def replace_measured(text: str, part: str) -> str:
    """Put `part` between the marks; at the end of a page that has none."""
    if BEGIN not in text or END not in text:
        text = f"{text.rstrip()}\n\n{BEGIN}\n{END}\n"
    before, after = text[: text.index(BEGIN)], text[text.index(END) :]
    return f"{before}{BEGIN}\n\n{part.strip()}\n\n{after}"


def measured(results: Results, drawn: dict[str, Path], folder: Path) -> list[str]:
    """The sections about all servers, in Markdown."""
    images = [f"### {title}\n\n![{title}]({path.relative_to(folder)})" for title, path in drawn.items()]
    return [
        f"## The figures\n\nMeasured on {results.started[:10]}, Python {results.versions['Python']}.",
        table.markdown(results),
        table.LEGEND,
        _listed("### Not to be trusted", doubts.notes(results)),
        _listed("### Left out", table.reason_notes(results)),
        *images,
        OTHERWISE,
        _table("", table.VARIANT_HEAD, map(_variant, table.variant_rows(results))).strip() or NOT_MEASURED,
        _goals(results),
    ]


def _listed(title: str, lines: Sequence[str]) -> str:
    return "\n".join([title, "", *(f"- {line}" for line in lines)]) if lines else ""


def _table(title: str, head: Sequence[str], lines: Iterable[Sequence[object]]) -> str:
    body = [[str(field) for field in line] for line in lines]
    rows = [head, ["---"] * len(head), *body]
    return "\n".join([title, "", *(f"| {' | '.join(row)} |" for row in rows)]) if body else ""


def _code(*lines: str, language: str = "shell") -> str:
    return "\n".join([f"```{language}", *lines, "```"])


def _variant(row: Sequence[str]) -> Sequence[str]:
    scenario, name, *figures = row
    return (f"`{scenario}`", f"`{name}`", *figures)


# -- the goals -------------------------------------------------------------------------------------------------------


def _goals(results: Results) -> str:
    head = ("scenario", "what", "goal", "reached", "between", "met")
    parts = (
        "## The goals",
        "What the project has set itself. *Between* is where the true figure lies with 95 % certainty; a question mark "
        "says that the limit lies there too, so that more rounds might tell otherwise. (Fewer than six rounds are less "
        "certain than that.)",
        _table("", head, map(_goal, goals.verdicts(results))).strip(),
        _table("### The better goal", head, map(_goal, goals.verdicts(results, goals.BETTER_GOALS))),
    )
    return "\n\n".join(part for part in parts if part) if parts[2] else ""


def _goal(verdict: goals.Verdict) -> Sequence[str]:
    goal = verdict.goal
    what = verdict.unit if goal.of == "value" else f"{goal.of}, {verdict.unit}"
    if goal.variant:
        what = what.replace(goal.variant, f"`{goal.variant}`")
    met = verdict.word if verdict.met else f"**{verdict.word}**"
    return (f"`{goal.scenario}`", what, goal.text, goals.number(verdict.reached.value), verdict.span, met)


# -- one request -----------------------------------------------------------------------------------------------------


def anatomy_lines(taken: Anatomy) -> list[str]:
    """For the terminal."""
    lines = [f"{taken.scenario}: {taken.time:.1f} µs of CPU time a request, {taken.kernel:.0%} in the kernel"]
    lines += [f"  {name:22}{time:>7}  {share:>5}" for name, time, share in _parts(taken)]
    lines += ["The system calls of one request:", *(f"  {line}" for line in taken.request)]
    lines += ["How often each is made for a request, by one connection and by many:"]
    lines += [f"  {name:22}{one:>6}{many:>8}" for name, one, many in _calls(taken)]
    return lines


def _parts(taken: Anatomy) -> list[tuple[str, str, str]]:
    """Each part of a request, its time and its share."""
    parts = [(name, taken.micro(share)) for name, share in taken.parts.items()]
    parts.append(("the other threads", taken.time * taken.threads))
    return [(name, f"{time:.2f} µs", f"{time / taken.time:.0%}") for name, time in parts]


def _calls(taken: Anatomy) -> list[tuple[str, str, str]]:
    names = list(dict.fromkeys([*taken.one, *taken.many]))
    return [(name, f"{taken.one.get(name, 0):.2f}", f"{taken.many.get(name, 0):.2f}") for name in names]


def _anatomy(taken: Anatomy, bars: Path, folder: Path) -> list[str]:
    title = "CPU time of one request, by modules"
    apart = abs(taken.kernel - taken.sampled_kernel * (1 - taken.threads)) > MOST_APART
    about = (
        f"A request of `{taken.scenario}` needed {taken.time:.1f} µs of CPU time while nobody looked, "
        f"{taken.kernel:.0%} of it in the kernel by the kernel's own count. Then py-spy looked {taken.rate} times a "
        f"second. {taken.samples:,} samples, of which {taken.sampled_kernel:.0%} in the kernel, divide that time among "
        f"the modules. {taken.stopped:,} more were left out, which saw a thread ask for the GIL only because py-spy "
        f"had stopped all threads; and {taken.asleep:,}, which saw the server asleep."
    )
    trust = "**Not to be trusted**: the two shares of the kernel lie too far apart." if apart else ""
    calls = [(f"`{name}`", one, many) for name, one, many in _calls(taken)]
    return [
        ONE_REQUEST,
        about,
        trust,
        f"![{title}]({bars.relative_to(folder)})",
        _table("", ("part", "time", "share"), [(_linked(name), *rest) for name, *rest in _parts(taken)]).strip(),
        "### Its system calls",
        "One connection, kept alive; everything that the serving thread asks of the kernel from one wait to the next:",
        _code(*taken.request, language="text"),
        "How often each call is made for a request:",
        _table("", ("call", "one connection", f"{CONNECTIONS} connections"), calls).strip(),
        f"The other threads made {taken.others:.2f} calls for each request of the one connection. "
        + ", ".join(f"{name} {version}" for name, version in taken.versions.items())
        + ".",
    ]


def _linked(name: str) -> str:
    """The name of a module as a link to its source."""
    return f"[`{name}`](../../wsgiserver/{name}.py)" if (ROOT / "wsgiserver" / f"{name}.py").exists() else name


# -- how it was measured ---------------------------------------------------------------------------------------------


def _method(results: Results, commands: Sequence[str]) -> str:
    """The machine, the versions and the commands, so that anyone can repeat it."""
    machine = list(results.machine.items()) + list(results.versions.items())
    scenarios = [scenario for scenario in SCENARIOS if scenario.name in results.scenarios]
    servers = [server for server in SERVERS if server.name in results.servers]
    variants = [VARIANTS[name] for scenario in scenarios for name in scenario.variants]
    return "\n\n".join(
        [
            "## To repeat it",
            METHOD.format_map({"renew": 1, "slice": results.settings["seconds"]} | results.settings),
            _code("pip install -e '.[test,bench]'", *commands),
            _table("### The machine and the versions", ("what", "which"), machine),
            _table("### The scenarios", ("name", "what"), [(f"`{each.name}`", each.title) for each in scenarios]),
            _table(
                "### The servers",
                ("server", "settings"),
                [(f"`{each.name}`", each.settings) for each in servers + variants],
            ),
            "### The commands\n\nHow each server is started, for `hello`; elsewhere with the application of that "
            "scenario, and where more differs, as shown below:",
            _code(*(_start(results, server, HELLO) for server in servers)),
            *_other_starts(results, servers, scenarios),
            "How wrk is called; where it is told to ask for "
            f"{wrk.HELD} s it is held and let go on with SIGSTOP and SIGCONT, and ended with SIGINT:",
            _code(*dict.fromkeys(_load(results, scenario) for scenario in scenarios if scenario.figure.loaded)),
        ]
    )


def _start(results: Results, server: Server, scenario: Scenario) -> str:
    launch = replace(launch_for(scenario), port=PORT, command_line=scenario.figure is Figure.START)
    return shlex.join(command(server, launch, _server_cores(results, scenario), "python"))


def _other_starts(results: Results, servers: Sequence[Server], scenarios: Sequence[Scenario]) -> list[str]:
    """How servers are started for other scenarios than hello, where more than the application differs."""
    parts = []
    for scenario in scenarios:
        as_hello = replace(scenario, application=HELLO.application)
        starts = [
            _start(results, server, scenario)
            for server in servers
            if (cell := results.cell(scenario.name, server.name)) and cell.runs
            if _start(results, server, as_hello) != _start(results, server, HELLO)
        ]
        if starts:
            parts += [f"For `{scenario.name}`:", _code(*starts)]
    return parts


def _server_cores(results: Results, scenario: Scenario) -> str:
    core = str(results.settings["server_core"])
    return f"{core},{results.settings['load_core']}" if scenario.both_cores else core


def _load(results: Results, scenario: Scenario) -> str:
    cores = _server_cores(results, scenario) if scenario.both_cores else str(results.settings["load_core"])
    url = f"http://127.0.0.1:{PORT}{scenario.path}"
    if scenario.sliced:
        words = wrk.command(scenario, url, wrk.HELD, cores, wrk.LATE)
    else:
        words = wrk.command(scenario, url, results.settings["seconds"] * scenario.length, cores)
    return shlex.join(words).replace(f"{ROOT}/", "")
