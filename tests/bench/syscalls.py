"""The system calls of a request: takes what strace wrote, gives the calls of one request and how many each needs."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

_LINE = re.compile(r"(\d+) +(.*)")
_NAME = re.compile(r"(\w+)\(")
_UNFINISHED = " <unfinished ...>"
_DETACHED = " <detached ...>"
_RESUMED = re.compile(r"<\.\.\. \w+ resumed>")
_RECEIVE = ("recvfrom", "recvmsg", "read")
_WAIT = ("epoll_wait", "epoll_pwait", "epoll_pwait2", "poll", "ppoll", "select", "pselect6")


@dataclass(frozen=True, slots=True)
class Call:
    thread: int
    name: str
    text: str
    """As strace shows it, with its arguments and its result."""


@dataclass(frozen=True, slots=True)
class Trace:
    """What the thread that serves did, and how much the others."""

    calls: Sequence[Call]
    others: int

    def each(self, requests: int) -> dict[str, float]:
        """How often each call was made for a request."""
        return {name: number / requests for name, number in Counter(call.name for call in self.calls).items()}

    def one_request(self) -> list[str]:
        """The calls from one wait up to the next, as most often."""
        waits = [i for i, call in enumerate(self.calls) if call.name in _WAIT]
        cycles = [self.calls[begin:end] for begin, end in pairwise(waits)]
        if not cycles:
            return []
        kinds = Counter(tuple(call.name for call in cycle) for cycle in cycles)
        usual = kinds.most_common(1)[0][0]
        cycle = next(cycle for cycle in cycles if tuple(call.name for call in cycle) == usual)
        return [call.text for call in cycle]


def read(text: str) -> Trace:
    """Read the output of ``strace -f``; the thread that serves is the one that receives most."""
    calls = _calls(text)
    receiving = Counter(call.thread for call in calls if call.name in _RECEIVE)
    if not receiving:
        return Trace([], len(calls))
    [(thread, _)] = receiving.most_common(1)
    mine = [call for call in calls if call.thread == thread]
    return Trace(mine, len(calls) - len(mine))


def _calls(text: str) -> list[Call]:
    """All calls that have ended; one that another thread has cut in two is put together."""
    begun: dict[int, str] = {}
    found: list[Call] = []
    for line in text.splitlines():
        if not (parts := _LINE.fullmatch(line)):
            continue
        thread, said = int(parts[1]), parts[2]
        if said.endswith(_DETACHED):
            continue
        if said.endswith(_UNFINISHED):
            begun[thread] = said.removesuffix(_UNFINISHED)
            continue
        if resumed := _RESUMED.match(said):
            said = begun.pop(thread, "") + said[resumed.end() :]
        if name := _NAME.match(said):
            found.append(Call(thread, name[1], re.sub(r"\s+= ", " = ", said)))
    return found
