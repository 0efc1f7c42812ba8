"""The command: ``python -m tests.bench`` measures, ``profile`` takes one request apart, ``report`` writes the page."""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from . import anatomy, doubts, goals, report, rounds, table, wrk
from .anatomy import Anatomy
from .measure import Bench
from .process import ServerError
from .results import Results
from .scenarios import SCENARIOS
from .servers import SERVERS, VARIANTS

PROGRAM = "python -m tests.bench"
RESULTS = Path("build/benchmark.json")
PROFILE = Path("build/benchmark-profile.json")
PAGE = Path("docs/explanation/performance.md")

T = TypeVar("T")


def parser() -> argparse.ArgumentParser:
    main = argparse.ArgumentParser(
        prog=PROGRAM,
        description="Measure wsgiserver and its peers: scenarios by servers by rounds.",
        epilog=f"To take one request apart: {PROGRAM} profile --help. To write the page: {PROGRAM} report --help.",
    )
    main.add_argument("--list", action="store_true", help="tell the scenarios and the servers, and end")
    main.add_argument("--scenarios", metavar="A,B", help="only these (default: all)")
    main.add_argument("--servers", metavar="A,B", help="only these (default: all that are installed)")
    main.add_argument("--rounds", metavar="N", type=_count, default=9, help="in which the servers take turns (9)")
    main.add_argument("--seconds", metavar="N", type=_count, default=1, help="how long wrk asks in a round (1)")
    main.add_argument(
        "--renew",
        metavar="N",
        type=_count,
        default=3,
        help="start the servers anew after so many rounds: how a process lies in memory makes it quicker or slower (3)",
    )
    _add_common(main)
    main.add_argument("--output", metavar="FILE", type=Path, default=RESULTS, help=f"JSON ({RESULTS})")
    return main


def profile_parser() -> argparse.ArgumentParser:
    profile = argparse.ArgumentParser(
        prog=f"{PROGRAM} profile",
        description="Take one request of wsgiserver apart: the time of each module, by py-spy, and the system calls, "
        "by strace. Both may need root.",
    )
    names = ", ".join(scenario.name for scenario in SCENARIOS if anatomy.can(scenario))
    profile.add_argument("--scenario", metavar="NAME", default="browser", help=f"one of {names} (browser)")
    profile.add_argument("--seconds", metavar="N", type=_count, default=20, help="how long py-spy looks (20)")
    profile.add_argument("--rate", metavar="N", type=_count, default=100, help="how often in a second (100)")
    _add_common(profile)
    profile.add_argument("--output", metavar="FILE", type=Path, default=PROFILE, help=f"JSON ({PROFILE})")
    return profile


def _add_common(of: argparse.ArgumentParser) -> None:
    of.add_argument("--warm-up", metavar="N", type=int, default=1, help="seconds of load after each start (1)")
    of.add_argument("--server-core", metavar="N", default="0", help="the core of the server (0)")
    of.add_argument("--load-core", metavar="N", default="1", help="the core of wrk (1)")


def report_parser() -> argparse.ArgumentParser:
    report = argparse.ArgumentParser(
        prog=f"{PROGRAM} report",
        description="Write the measured part of the page about performance, with charts (by matplotlib).",
    )
    report.add_argument("file", metavar="FILE.json", type=Path, nargs="?", default=RESULTS, help=f"({RESULTS})")
    report.add_argument("--profile", metavar="FILE.json", type=Path, default=PROFILE, help=f"({PROFILE})")
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
    lines += ["Beside wsgiserver, in some scenarios, wsgiserver set otherwise:"]
    lines += [
        f"  {scenario.name:12}{name}: {VARIANTS[name].settings}" for scenario in SCENARIOS for name in scenario.variants
    ]
    return "\n".join(lines)


def summary(results: Results) -> str:
    """The table, and under it the notes."""
    parts = [table.text(results), table.LEGEND]
    for title, lines in (
        ("Not to be trusted:", doubts.notes(results)),
        ("Left out:", table.reason_notes(results)),
        ("wsgiserver set otherwise:", [", ".join(row) for row in table.variant_rows(results)]),
        ("Goals (with a ? where more rounds might tell otherwise):", _verdicts(results, goals.GOALS)),
        ("The better goal:", _verdicts(results, goals.BETTER_GOALS)),
    ):
        if lines:
            parts.append("\n".join([title, *(f"  {line}" for line in lines)]))
    return "\n\n".join(parts)


def _verdicts(results: Results, wanted: tuple[goals.Goal, ...]) -> list[str]:
    return [f"{verdict.word:8}{verdict}" for verdict in goals.verdicts(results, wanted)]


def _measure(options: argparse.Namespace, arguments: Sequence[str]) -> int:
    servers = {server.name: server for server in SERVERS if server.version or options.servers}
    plan = rounds.Plan(
        scenarios=choose(options.scenarios, {scenario.name: scenario for scenario in SCENARIOS}),
        servers=choose(options.servers, servers),
        rounds=options.rounds,
        renew=options.renew,
        seconds=options.seconds,
        warm_up=options.warm_up,
        server_core=options.server_core,
        load_core=options.load_core,
        output=options.output,
        arguments=arguments,
    )
    if problem := _problem(options):
        return _refuse(problem)
    import resource  # only Unix has it

    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    results = rounds.run(plan)
    print(summary(results))
    print(f"\nWritten to {plan.output}.")
    return 0


def _problem(options: argparse.Namespace) -> str:
    """What stands in the way of measuring here; empty when nothing does."""
    if not wrk.available():
        return wrk.MISSING
    if not sys.platform.startswith("linux") or not shutil.which("taskset"):
        return "the benchmark needs Linux and taskset (in util-linux)"
    if {options.server_core, options.load_core} - {str(core) for core in os.sched_getaffinity(0)}:
        return f"cores {options.server_core} and {options.load_core} are not both at hand"
    return ""


def _refuse(problem: str) -> int:
    print(problem, file=sys.stderr)
    return 2


def _profile(options: argparse.Namespace, arguments: Sequence[str]) -> int:
    [scenario] = choose(options.scenario, {each.name: each for each in SCENARIOS if anatomy.can(each)})
    if problem := _problem(options) or anatomy.missing():
        return _refuse(problem)
    with tempfile.TemporaryDirectory(prefix="wsgiserver-bench-") as name:
        bench = Bench(
            seconds=options.seconds,
            warm_up=options.warm_up,
            server_core=options.server_core,
            load_core=options.load_core,
            directory=Path(name),
        )
        bench.prepare()
        os.sched_setaffinity(0, {int(options.load_core)})
        command = shlex.join([*PROGRAM.split(), "profile", *arguments])
        started = datetime.now(UTC).isoformat(timespec="seconds")
        print(f"Looking for about {2 * options.seconds + 10} s …", file=sys.stderr)
        try:
            taken = anatomy.take(bench, scenario, rate=options.rate, command=command, started=started)
        except (anatomy.ProfileError, ServerError, wrk.LoadError) as error:
            return _refuse(str(error))
    taken.save(options.output)
    print("\n".join(report.anatomy_lines(taken)))
    print(f"\nWritten to {options.output}.")
    return 0


def _report(options: argparse.Namespace, arguments: Sequence[str]) -> int:
    try:
        results = Results.load(options.file)
    except OSError as error:
        return _refuse(f"no results: {error.strerror}: {options.file}; run {PROGRAM} first")
    taken = Anatomy.load(options.profile) if options.profile.exists() else None
    try:
        written = report.write(results, taken, options.page, shlex.join([*PROGRAM.split(), "report", *arguments]))
    except ImportError as error:
        return _refuse(f"{error}; get it with: pip install -e '.[bench]'")
    print("\n".join(f"Written: {path}" for path in written))
    if taken is None:
        print(f"Without a request taken apart: no {options.profile}; run {PROGRAM} profile")
    return 0


def main(arguments: Sequence[str]) -> int:
    if arguments[:1] == ["report"]:
        return _report(report_parser().parse_args(arguments[1:]), arguments[1:])
    if arguments[:1] == ["profile"]:
        return _profile(profile_parser().parse_args(arguments[1:]), arguments[1:])
    options = parser().parse_args(arguments)
    if options.list:
        print(catalogue())
        return 0
    return _measure(options, arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
