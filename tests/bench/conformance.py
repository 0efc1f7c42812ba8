"""The command that compares: it asks this server and its peers the same, and writes the page with the verdicts.

``python -m tests.bench.conformance --help`` tells how to run it. What happens to a case on its way::

    conformance_corpus, conformance_cases   what is sent, and what must come of it
    conformance_app                         what the servers serve, and what it notes
    conformance_talk                        one connection, and answers read strictly
    conformance_subject                     one running server; the verdict of a case
    conformance_page                        docs/explanation/conformance.md
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from . import conformance_cases, conformance_corpus
from .conformance_page import KINDS, Trial, passed, write
from .conformance_subject import ALL_SERVERS, Case, Subject, judge
from .process import ServerError
from .progress import Progress
from .servers import Server

PAGE = Path("docs/explanation/conformance.md")


def parser() -> argparse.ArgumentParser:
    main = argparse.ArgumentParser(
        prog="python -m tests.bench.conformance",
        description="Send the corpus and the cases of PEP 3333 to wsgiserver and its peers, and write the verdicts.",
    )
    main.add_argument("--servers", metavar="A,B", help=f"only these of {', '.join(ALL_SERVERS)} (default: all)")
    main.add_argument("--cases", metavar="TEXT", default="", help="only those whose name holds this")
    main.add_argument("--explain", action="store_true", help="tell each case that did not pass, and why")
    main.add_argument("--output", metavar="FILE", type=Path, help=f"(default: {PAGE} when nothing is left out)")
    return main


def all_cases() -> list[Case]:
    return conformance_corpus.cases() + conformance_cases.CASES


def chosen(wanted: str | None) -> list[Server]:
    """The servers that are named; all when none is. Ends with a message when one is unknown."""
    names = wanted.split(",") if wanted else list(ALL_SERVERS)
    if unknown := [name for name in names if name not in ALL_SERVERS]:
        raise SystemExit(f"unknown: {', '.join(unknown)}; known are {', '.join(ALL_SERVERS)}")
    return [ALL_SERVERS[name] for name in names]


def attempt(server: Server, cases: Sequence[Case]) -> Trial:
    """Judge a server by all cases; one that is not there, or does not start, is left out with the reason."""
    if not server.version:
        return Trial(server, left_out="not installed")
    try:
        with Subject(server) as subject:
            reasons = {case.name: judge(case, subject) for case in cases}
            return Trial(server, reasons, restarts=subject.restarts)
    except ServerError as error:
        return Trial(server, left_out=str(error))


def _explain(trial: Trial, cases: Sequence[Case]) -> None:
    print(f"\n{trial.server.name} {trial.server.version}")
    for case in cases:
        if reason := trial.reasons.get(case.name):
            print(f"  {case.name}: {case.title}\n      {reason}")


def _summary(trial: Trial, cases: Sequence[Case]) -> str:
    if trial.left_out:
        return f"{trial.server.name}: left out: {trial.left_out}"
    totals = (f"{kind} {passed(trial, [case for case in cases if case.kind == kind])}" for kind in KINDS)
    return f"{trial.server.name}: {', '.join(totals)}, started anew {trial.restarts} times"


def main(arguments: Sequence[str]) -> int:
    options = parser().parse_args(arguments)
    if not sys.platform.startswith("linux") or not shutil.which("taskset"):
        print("the servers are started with taskset (in util-linux), on Linux", file=sys.stderr)
        return 2
    cases = [case for case in all_cases() if options.cases in case.name]
    servers = chosen(options.servers)
    progress = Progress(len(servers), sys.stderr)
    trials = []
    for server in servers:
        progress.step(server.name)
        trials.append(attempt(server, cases))
    for trial in trials:
        if options.explain:
            _explain(trial, cases)
        print(_summary(trial, cases))
    output = options.output or (None if options.cases or options.servers else PAGE)
    if output:
        write(output, trials, cases, conformance_corpus.left_out())
        print(f"Written: {output}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
