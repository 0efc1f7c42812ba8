"""Where a request's time goes: takes the stacks that py-spy has sampled, gives the share of each module.

A stack belongs to the innermost frame of a module of wsgiserver: what a module has the standard library or C do, it has
done itself. What the gateway calls is the application. A stack that ends in a system call belongs to the kernel.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

KERNEL = "the kernel"
WAIT = f"{KERNEL}: wait"
APPLICATION = "the application"
REST = "the rest"
LEAST = 0.01
"""Parts that are smaller are put together."""

_FRAME = re.compile(r"(?P<function>.*) \((?P<file>[^():]+)(?::\d+)?\)")
_MODULE = re.compile(r"wsgiserver/(\w+)\.py")
_CALLS = {
    "send": ("send", "sendto", "sendmsg", "sendfile", "write", "writev"),
    "receive": ("recv", "recvfrom", "recvmsg", "read", "readv"),
    "wait": ("epoll_wait", "epoll_pwait", "poll", "select"),
}
_KIND = {name: kind for kind, names in _CALLS.items() for name in names}

_ALIAS = re.compile(r"^_*(libc_|GI_+)?")
"""What stands before the name of a function inside the C library."""

_HELPERS = {"threading.py", "selectors.py", "socket.py"}
"""What wsgiserver calls itself of Python's library; all else that it calls is called by the application."""


@dataclass(frozen=True, slots=True)
class Frame:
    function: str
    file: str

    @property
    def python(self) -> bool:
        return self.file.endswith(".py")

    @property
    def in_c_library(self) -> bool:
        return self.file.startswith(("libc.", "libc-", "ld-musl"))


@dataclass(frozen=True, slots=True)
class Shares:
    """What the samples say."""

    parts: dict[str, float]
    """The share of each part, the largest first."""
    samples: int
    stopped: int
    """How many were left out, for what they saw is there only because py-spy stops the process."""
    asleep: int
    """How many were left out, for they are more waits than the kernel worked on: in these the thread slept."""


def shares(raw: str, kernel: float) -> Shares:
    """Read py-spy's raw format: in each line a stack, the outermost frame first, and how often it was seen.

    `kernel` is the share of the kernel in the CPU time, by its own count.
    """
    counts: Counter[str] = Counter()
    stopped = 0
    for line in raw.splitlines():
        stack, _, number = line.rpartition(" ")
        frames = [frame for text in stack.split(";") if (frame := parse(text))]
        if not any(frame.file == "wsgiserver/loop.py" for frame in frames):
            continue  # another thread, which has nothing to do with requests
        if _takes_the_gil(frames):
            stopped += int(number)
        else:
            counts[part(frames)] += int(number)
    asleep = max(0, counts[WAIT] - _working_waits(counts, kernel))
    counts[WAIT] -= asleep
    total = sum(counts.values())
    large = {name: count / total for name, count in counts.most_common() if total and count / total >= LEAST}
    if total and (rest := total - sum(counts[name] for name in large)):
        large[REST] = rest / total
    return Shares(large, total, stopped, asleep)


def _working_waits(counts: Counter[str], kernel: float) -> int:
    """How many samples of the wait there can be, going by the kernel's own count.

    A sample cannot tell a wait that looks who is ready from one that sleeps, which costs nothing.
    """
    calls = sum(count for name, count in counts.items() if name.startswith(KERNEL) and name != WAIT)
    others = sum(count for name, count in counts.items() if not name.startswith(KERNEL))
    return max(0, round(others * kernel / (1 - kernel)) - calls)


def parse(text: str) -> Frame | None:
    found = _FRAME.fullmatch(text)
    return Frame(found["function"], found["file"]) if found else None


def part(frames: Sequence[Frame]) -> str:
    """Whose time it was when the stack was sampled."""
    leaf = frames[-1]
    if leaf.in_c_library and (kind := _KIND.get(_ALIAS.sub("", leaf.function))):
        return f"{KERNEL}: {kind}"
    called = False
    for frame in reversed(frames):
        if module := _MODULE.fullmatch(frame.file):
            return APPLICATION if called else module[1]
        called = called or (frame.python and frame.file not in _HELPERS)
    return APPLICATION


def _takes_the_gil(frames: Sequence[Frame]) -> bool:
    """Whether a lock of the C library is waited for or handed on.

    Around a system call these are the GIL's. Each time py-spy stops the process, all its threads wake, and ask for the
    GIL, which does not happen otherwise. (Some of the library's functions have no names that py-spy could tell.)
    """
    leaf, caller = frames[-1], frames[-2]
    nameless = [frame.in_c_library and frame.function.startswith("0x") for frame in (caller, leaf)]
    return leaf.in_c_library and (leaf.function.startswith("pthread_") or all(nameless))
