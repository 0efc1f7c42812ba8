"""The page: takes what became of each server, gives docs/explanation/conformance.md."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .conformance_corpus import OPEN
from .conformance_subject import Case
from .conformance_talk import DEADLINE
from .servers import OURS, Server

KINDS = {"accept": "accepted", "refuse": "refused", "pep": "PEP 3333", "open": "left open"}


@dataclass(frozen=True, slots=True)
class Trial:
    """What became of one server."""

    server: Server
    reasons: dict[str, str] = field(default_factory=dict)
    """By the case's name, why it did not pass; empty where it did."""
    restarts: int = 0
    left_out: str = ""


def passed(trial: Trial, cases: Sequence[Case]) -> str:
    count = sum(not trial.reasons[case.name] for case in cases)
    return f"{count} of {len(cases)}"


def write(path: Path, trials: Sequence[Trial], cases: Sequence[Case], left_out: int) -> None:
    path.write_text(page(trials, cases, left_out), "utf-8")


def page(trials: Sequence[Trial], cases: Sequence[Case], left_out: int) -> str:
    """Give the whole page."""
    there = [trial for trial in trials if not trial.left_out]
    parts = [
        INTRODUCTION,
        totals(there, cases),
        TOTALS_NOTE,
        "## By groups of cases",
        groups(there, cases),
        "## What this server does not pass",
        failures(there, cases),
        METHOD.format(deadline=f"{DEADLINE:g}", left_out=left_out),
        open_points(),
        "## Versions",
        versions(trials),
        AGAIN,
    ]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def totals(trials: Sequence[Trial], cases: Sequence[Case]) -> str:
    by_kind = {kind: [case for case in cases if case.kind == kind] for kind in KINDS}
    lines = ["| server | " + " | ".join(KINDS.values()) + " |", "| --- |" + " ---: |" * len(KINDS)]
    for trial in trials:
        cells = [passed(trial, of_kind) for of_kind in by_kind.values()]
        lines.append(f"| {_name(trial)} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def groups(trials: Sequence[Trial], cases: Sequence[Case]) -> str:
    """One row for each group of each kind; a cell tells how many of it passed."""
    lines = ["| | cases | " + " | ".join(map(_name, trials)) + " |", "| --- |" + " ---: |" * (len(trials) + 1)]
    for kind, title in KINDS.items():
        for group in dict.fromkeys(case.group for case in cases if case.kind == kind):
            of_group = [case for case in cases if case.kind == kind and case.group == group]
            cells = [str(sum(not trial.reasons[case.name] for case in of_group)) for trial in trials]
            lines.append(f"| {title}: {group} | {len(of_group)} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def failures(trials: Sequence[Trial], cases: Sequence[Case]) -> str:
    ours = next((trial for trial in trials if trial.server.name == OURS), None)
    if ours is None:
        return "It was not asked."
    lines = [
        f"- `{case.name}` ({case.title.rstrip('.')}): {ours.reasons[case.name]}."
        for case in cases
        if ours.reasons[case.name]
    ]
    return "\n".join(lines) or "Nothing: every case passed, those that the RFCs leave open too."


def open_points() -> str:
    lines = ["These are left open, and counted apart:", "", *(f"- {point}" for point in OPEN)]
    return "\n".join(lines)


def versions(trials: Sequence[Trial]) -> str:
    lines = [f"Python {platform.python_version()} on {platform.system()}.", ""]
    for trial in trials:
        server = trial.server
        if trial.left_out:
            lines.append(f"- {server.name}: left out: {trial.left_out}")
            continue
        died = f"; it died or hung {_times(trial.restarts)}, and was started anew" if trial.restarts else ""
        lines.append(f"- {server.name} {server.version}: {server.settings}{died}")
    return "\n".join(lines)


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _name(trial: Trial) -> str:
    name = trial.server.name
    return f"**{name}**" if name == OURS else name


INTRODUCTION = """
# Conformance

How exactly this server keeps to RFC 9110, RFC 9112 and PEP 3333, and how its peers do: each was sent the whole
corpus of raw requests (`tests/corpus`) and the same cases of PEP 3333, over real sockets, and served the same
applications. A program writes this page; it also tells how to repeat it.
"""

TOTALS_NOTE = """
**accepted**: requests that are right, however odd, and that the application was given as they were sent.
**refused**: requests that are wrong, and that the application was not given. **PEP 3333**: what the PEP asks of a
server, and what HTTP asks of a response and a connection. **left open**: requests about which the RFCs let a
server do otherwise than this one does; a server that does not pass these has made another choice, not a mistake.
"""

METHOD = """
## What counts as passing

- A request that is right passes when the application saw the same method, path, query, fields and body, as often
  as it was sent, and the answer came whole. Fields about the connection (`Connection`, `TE`, `Upgrade` and their
  like) may be kept from the application. A server that says on the wire that it closes the connection need not
  answer what was sent behind.
- A request that is wrong passes when it is answered with any 4xx or 5xx, or the connection is closed, and the
  application was not called for it. The exact status is this project's own affair, and is held by its tests, not
  here. A server that calls the application before the body has come passes when reading the body raises an
  exception. For a NUL or a bare CR in a value, a server may put a space.
- Each case has a connection of its own and {deadline} s. Where only time was missing, it is tried once more, as
  the machine may have been busy. To wrong requests, a server has 0.3 s to answer; then the sending side is closed,
  and it has as long again.
- After a case that did not pass, and after one that brought no byte, a plain request follows. A server that has
  died or hangs does not pass the case, and is started anew.

## What this does not tell

- The corpus, the cases and one of the servers have the same authors. The corpus was written with this server's
  contract in mind, and this server was mended until it passed; its peers were not asked. So it is no wonder that
  it stands first, and the distance between two peers says little: many cases of one kind count as many.
- "Wrong" is meant in the strict reading: what the grammar does not allow. RFC 9110 (section 2.4) lets a recipient
  recover from much of that, where security does not suffer. Not every case that a peer does not pass is a risk to
  anyone who uses it.
- Some peers are made for another purpose: `wsgiref` and `werkzeug` for development, and several of them to stand
  behind a proxy that refuses wrong requests first.
- A server of several processes may lose one unnoticed, when another takes its place at once.
- {left_out} cases of the corpus are about limits that only this server has, lowered to keep the files small. They
  are left out here.
"""

AGAIN = """
## To repeat it

On Linux, in a checkout, with the peers in the same environment:

```console
$ pip install -e '.[bench]'
$ python -m tests.bench.conformance
```

It takes a few minutes, and writes this page. With `--servers waitress --explain` it tells, of each case that
waitress does not pass, what was wrong; the page stays as it is.
"""
