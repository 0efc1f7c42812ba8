"""The predictor: takes which calls blocked, route by route, and tells which will; `baton` asks it, under its lock.

A hand-over costs every client a tick, 2 ms; a worker costs its own client 60 µs, and pays from one blocked call in
thirty. So after a blocked call, those of its route go to workers until one has come back quick; until 10 have, where
another had blocked no more than thirty inline calls before, of whatever route, and up to 64, where they go on blocking.
A route that blocks each time stays on workers, one that does so every tenth time is there for the most part, one that
does so once in a hundred, inline: there, to give 4 to workers instead of 1 would cost a seventh of the requests a
second.
"""

from collections.abc import Hashable
from typing import TypeVar

# Seconds of sleep from which on a call on a worker blocks, though it takes less than a tick: four times what a worker
# costs. Where calls sleep for 1 ms the loop was handed on for one in 14 of them; without that, 20 % more quick ones are
# answered beside them.
SLEPT = 0.00025
OFTEN = 30
MOST_DOUBT = 64
# Of a route in doubt, one call is tried inline after so many given to workers, and after twice as many each time that
# it blocks. For on workers quick calls may seem slow: 20 chunks sent by each of 16 at once, who wait for the GIL in
# turn, take 5 ms, and would be given to workers for ever.
TRIAL = 64
MOST_TRIAL = 4096
MOST_ROUTES = 512

_Noted = TypeVar("_Noted")


def _put(table: dict[Hashable, _Noted], route: Hashable, value: _Noted) -> None:
    """Note something of a route, and forget what was noted first of all where there are too many."""
    table[route] = value
    if len(table) > MOST_ROUTES:
        del table[next(iter(table))]


class Predictor:
    """What is known of the routes that blocked lately. One thread at a time may use it, but for ``in doubts``."""

    def __init__(self) -> None:
        self.doubts: dict[Hashable, int] = {}  # routes that go to workers, and for how many quick calls more
        self._trials: dict[Hashable, tuple[int, int]] = {}  # after how many calls each is tried, and of how many
        self._blocked: dict[Hashable, int] = {}  # routes, and how many inline calls had begun when they last blocked

    def learn(self, route: Hashable, calls: int, *, blocked: bool) -> None:
        """Note that a call of this route has blocked, or has not; so many ``calls`` have begun inline, of any route."""
        doubt = self.doubts.get(route, 0)
        if blocked:
            often = calls - self._blocked.pop(route, -OFTEN - 1) <= OFTEN
            doubt = min(8 * doubt + (10 if often else 1), MOST_DOUBT)
            _put(self._blocked, route, calls)
        else:
            doubt -= 1
        if doubt > 0:
            _put(self.doubts, route, doubt)
        else:
            self.acquit(route)

    def counts_to_trial(self, route: Hashable) -> bool:
        """Count a call of this route, if it is in doubt; tell whether it is the one to be tried inline."""
        if route not in self.doubts:
            return False
        left, of = self._trials.get(route, (TRIAL, TRIAL))
        _put(self._trials, route, (left - 1 if left else of, of))
        return left == 0

    def try_again_later(self, route: Hashable) -> None:
        """Note that a call of this route is tried inline; if that does not acquit it, the next is to be later."""
        of = min(2 * self._trials.get(route, (TRIAL, TRIAL))[1], MOST_TRIAL)
        _put(self._trials, route, (of - 1, of))

    def acquit(self, route: Hashable) -> None:
        """Have the route called inline again."""
        self.doubts.pop(route, None)
        self._trials.pop(route, None)
