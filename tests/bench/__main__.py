"""The command: ``python -m tests.bench`` measures, and with ``report FILE.json`` writes the page."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from . import goals, report, rounds, table, wrk
from .results import Results
from .scenarios import SCENARIOS
from .servers import SERVERS

RESULTS = Path("build/benchmark.json")
PAGE = Path("docs/explanation/performance.md")

T = TypeVar("T")


def parser() -> argparse.ArgumentParser:
    main = argparse.ArgumentParser(
        prog="python -m tests.bench",
        description="Measure wsgiserver and its peers: scenarios by servers by rounds.",
        epilog="To write the page with the figures: python -m tests.bench report FILE.json",
    )
    main.add_argument("--list", action="store_true", help="tell the scenarios and the servers, and end")
    main.add_argument("--scenarios", metavar="A,B", help="only these (default: all)")
    main.add_argument("--servers", metavar="A,B", help="only these (default: all that are installed)")
    main.add_argument("--rounds", metavar="N", type=_count, default=5, help="in turn, server by server (5)")
    main.add_argument("--seconds", metavar="N", type=_count, default=4, help="how long wrk asks in a round (4)")
    main.add_argument("--warm-up", metavar="N", type=int, default=1, help="seconds of load before that (1)")
    main.add_argument("--server-core", metavar="N", default="0", help="the core of the server (0)")
    main.add_argument("--load-core", metavar="N", default="1", help="the core of wrk (1)")
    main.add_argument("--output", metavar="FILE", type=Path, default=RESULTS, help=f"JSON ({RESULTS})")
    return main


def report_parser() -> argparse.ArgumentParser:
    report = argparse.ArgumentParser(
        prog="python -m tests.bench report",
        description="Write the measured part of the page about performance, with charts (by matplotlib).",
    )
    report.add_argument("file", metavar="FILE.json", type=Path, nargs="?", default=RESULTS, help=f"({RESULTS})")
    report.add_argument("--page", metavar="FILE.md", type=Path, default=PAGE, help=f"({PAGE})")
    return report


def _count(text: str) -> int:
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return number


def choose(wanted: str | None, known: Mapping[str, T]) -> list[T]:
    """Those that are named, in the order of the table; all when none is named."""
    names = wanted.split(",") if wanted else list(known)
    if unknown := [name for name in names if name not in known]:
        raise SystemExit(f"unknown: {', '.join(unknown)}; known are {', '.join(known)}")
    return [item for name, item in known.items() if name in names]


def catalogue() -> str:
    lines = ["Scenarios:"] + [f"  {scenario.name:12}{scenario.title}" for scenario in SCENARIOS]
    lines += ["Servers:"]
    lines += [f"  {server.name:12}{server.version or 'not installed':14}{server.settings}" for server in SERVERS]
    return "\n".join(lines)


def summary(results: Results) -> str:
    """The table, and under it the notes."""
    parts = [table.text(results), table.LEGEND]
    verdicts = [f"{'met   ' if verdict.met else 'missed'} {verdict}" for verdict in goals.verdicts(results)]
    for title, lines in (
        ("Not to be trusted:", table.doubt_notes(results)),
        ("Left out:", table.reason_notes(results)),
        ("Goals:", verdicts),
    ):
        if lines:
            parts.append("\n".join([title, *(f"  {line}" for line in lines)]))
    return "\n\n".join(parts)


def _measure(options: argparse.Namespace, arguments: Sequence[str]) -> int:
    servers = {server.name: server for server in SERVERS if server.version or options.servers}
    plan = rounds.Plan(
        scenarios=choose(options.scenarios, {scenario.name: scenario for scenario in SCENARIOS}),
        servers=choose(options.servers, servers),
        rounds=options.rounds,
        seconds=options.seconds,
        warm_up=options.warm_up,
        server_core=options.server_core,
        load_core=options.load_core,
        output=options.output,
        arguments=arguments,
    )
    if problem := _problem(plan):
        print(problem, file=sys.stderr)
        return 2
    import resource  # only Unix has it

    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    results = rounds.run(plan)
    print(summary(results))
    print(f"\nWritten to {plan.output}.")
    return 0


def _problem(plan: rounds.Plan) -> str:
    """What stands in the way of measuring here; empty when nothing does."""
    if not wrk.available():
        return wrk.MISSING
    if not sys.platform.startswith("linux") or not shutil.which("taskset"):
        return "the benchmark needs Linux and taskset (in util-linux)"
    if {plan.server_core, plan.load_core} - {str(core) for core in os.sched_getaffinity(0)}:
        return f"cores {plan.server_core} and {plan.load_core} are not both at hand"
    return ""


def _report(options: argparse.Namespace) -> int:
    try:
        results = Results.load(options.file)
    except OSError as error:
        print(f"no results: {error.strerror}: {options.file}; run python -m tests.bench first", file=sys.stderr)
        return 2
    try:
        written = report.write(results, options.page)
    except ImportError as error:
        print(f"{error}; get it with: pip install -e '.[bench]'", file=sys.stderr)
        return 2
    print("\n".join(f"Written: {path}" for path in written))
    return 0


def main(arguments: Sequence[str]) -> int:
    if arguments[:1] == ["report"]:
        return _report(report_parser().parse_args(arguments[1:]))
    options = parser().parse_args(arguments)
    if options.list:
        print(catalogue())
        return 0
    return _measure(options, arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
