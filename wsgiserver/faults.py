"""Takes a broken rule and the frames on the stack, and makes of them the fault that ``strict`` tells or raises.

A fault names the place in the application's code that is to blame: the line that called, yielded or raised.
"""

import os
import re
import sys
import sysconfig
import threading
from collections.abc import Callable, Iterable
from functools import partial
from types import CodeType, FrameType, GeneratorType, TracebackType
from typing import Any, Final

from wsgiserver.rules import Rule
from wsgiserver.site import Errors


class StrictError(AssertionError):
    """A fault of the application: which rule it breaks and how, where, and what to do.

    ``rule`` is the rule's name, ``place`` the file and line to look at ("app.py:12"), ``remedy`` and ``source`` those
    of the rule, ``severity`` "error" or "warning", ``detail`` what was seen, ``request`` the request it was seen in.
    """

    def __init__(self, rule: Rule, detail: str, place: str, request: str) -> None:
        super().__init__(
            f"{rule.name}: {rule.what}\n  seen: {detail}, in {request}\n  at: {place}\n"
            f"  remedy: {rule.remedy}\n  source: {rule.source}"
        )
        self.rule = rule.name
        self.remedy = rule.remedy
        self.source = rule.source
        self.severity = rule.severity
        self.detail = detail
        self.place = place
        self.request = request


class StrictWarning(UserWarning):
    """What is given instead of a raised ``StrictError`` where the rule is a warning."""


Report = Callable[[StrictError], object]


class Reporter:
    """Writes each distinct fault, a rule at a place, once to a stream; for ``report``.

    Where the place is in a library, all of a site's faults have the same; there the path, without its digits, tells
    them apart.
    """

    # How many faults are told in all; no client can fill the log with paths.
    KNOWN: Final = 200

    def __init__(self, errors: Errors) -> None:
        self._errors = errors
        self._told: set[tuple[str, str, str]] = set()
        self._lock = threading.Lock()

    def __call__(self, fault: StrictError) -> None:
        """Tell a fault in one block, unless it was told before."""
        key = fault.rule, fault.place, "" if own(fault.place) else re.sub("[0-9]+", "0", fault.request)
        with self._lock:
            if key in self._told or len(self._told) >= self.KNOWN:
                return
            self._told.add(key)
        self._errors.write(f"wsgiserver: strict {fault.severity}: {fault}\n")
        self._errors.flush()


# -- Places ------------------------------------------------------------------------------------------------------------

# What lies here is not the user's own code, and is blamed only where there is none.
_LIBRARIES: Final = tuple(
    path + os.sep
    for path in {
        *map(sysconfig.get_path, ("stdlib", "platstdlib", "purelib", "platlib")),
        os.path.dirname(os.path.abspath(__file__)),
    }
)


def own(place: str) -> bool:
    """Tell whether a place is in the user's own code."""
    return not place.startswith((*_LIBRARIES, "<")) and "site-packages" not in place


def best(places: Iterable[str]) -> str:
    """Choose the first place in the user's own code, else the first."""
    known = [place for place in places if place]
    return next(filter(own, known), known[0] if known else "")


def caller() -> str:
    """Find the line of the application that called into ``strict``."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and _ours(frame):
        frame = frame.f_back
    places = []
    while frame is not None and not _ours(frame):
        places.append(f"{frame.f_code.co_filename}:{frame.f_lineno}")
        frame = frame.f_back
    return best(places)


def _ours(frame: FrameType) -> bool:
    return frame.f_globals.get("__name__") in ("wsgiserver.faults", "wsgiserver.guards", "wsgiserver.strict")


def place_of_error(error: BaseException) -> str:
    """Find the line that raised, the innermost of the user's own."""
    places = []
    step: TracebackType | None = error.__traceback__
    while step is not None:
        if not _ours(step.tb_frame):
            places.append(f"{step.tb_frame.f_code.co_filename}:{step.tb_lineno}")
        step = step.tb_next
    return best(reversed(places))


def code_of(target: Any) -> CodeType | None:
    """Find the code that runs when an object is called; None where it is not Python's."""
    if isinstance(target, partial):
        target = target.func
    if isinstance(target, type):
        target = vars(target).get("__init__")
    elif not hasattr(target, "__code__") and not hasattr(target, "__func__"):
        target = getattr(type(target), "__call__", None)  # noqa: B004 - it is wanted, not asked for
    code = getattr(getattr(target, "__func__", target), "__code__", None)
    return code if isinstance(code, CodeType) else None


def place_of_code(code: CodeType | None) -> str:
    """Give the line where some code begins."""
    return f"{code.co_filename}:{code.co_firstlineno}" if code is not None else ""


def place_of_iterator(iterator: Any) -> str:
    """Find where an iterator stands: the ``yield`` of a generator, else its ``__next__``."""
    if not isinstance(iterator, GeneratorType):
        return place_of_code(code_of(getattr(type(iterator), "__next__", None)))
    while isinstance(iterator.gi_yieldfrom, GeneratorType):
        iterator = iterator.gi_yieldfrom
    frame = iterator.gi_frame
    return place_of_code(iterator.gi_code) if frame is None else f"{iterator.gi_code.co_filename}:{frame.f_lineno}"
