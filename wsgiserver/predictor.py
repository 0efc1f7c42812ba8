"""The predictor: takes which calls blocked, route by route, and tells which will; `baton` asks it, under its lock.

A hand-over costs every client a tick, 2 ms, or 0.25 ms once the watch looks closely; a worker costs its own client 60
µs, and pays from one blocked call in five. So after a blocked call, those of its route go to workers until one has come
back quick; until 10 have, where another had blocked no more than five inline calls before, of whatever route, and up to
64, where they go on blocking. A route that blocks each time stays on workers, one that does so every tenth time, or
seldom, is inline for the most part.

A route never seen before may be one of many: an article by its name, say. So when two routes that had not blocked
before do so shortly after one another, and differ only behind their last slash, the others of their *family* are in
doubt as well, but those that are in doubt themselves.
"""

from typing import TypeVar

# Seconds of sleep from which on a call on a worker blocks, though it takes less than a tick: four times what a worker
# costs. Where calls sleep for 1 ms the loop was handed on for one in 14 of them; without that, 20 % more quick ones are
# answered beside them.
SLEPT = 0.00025
# So many inline calls apart, those that block of a route do so often: with 30, where every tenth or twentieth sleeps
# for 1 or 10 ms, a third fewer requests a second are answered.
OFTEN = 5
# So many apart, routes that had not blocked before put their family in doubt.
KIN = 30
MOST_DOUBT = 64
# Of a route in doubt, one call is tried inline after so many given to workers, and after twice as many each time that
# it blocks. For on workers quick calls may seem slow: 20 chunks sent by each of 16 at once, who wait for the GIL in
# turn, take 5 ms, and would be given to workers for ever.
TRIAL = 64
MOST_TRIAL = 4096
MOST_ROUTES = 512

_Noted = TypeVar("_Noted")


def _put(table: dict[str, _Noted], route: str, value: _Noted) -> None:
    """Note something of a route, and where there are too many forget the one of which nothing was noted for longest."""
    table.pop(route, None)
    table[route] = value
    if len(table) > MOST_ROUTES:
        del table[next(iter(table))]


def _family(route: str) -> str:
    return f"{route[: route.rfind('/') + 1]}*" if "/" in route else ""


class Predictor:
    """What is known of the routes that blocked lately. One thread at a time may use it, but for what says otherwise.

    A route is the name of a kind of work, perhaps with slashes. What is said of it holds for its family instead, where
    that alone is in doubt.
    """

    def __init__(self) -> None:
        # Routes and families that go to workers, and for how many quick calls more; any thread may look whether any do.
        self.doubts: dict[str, int] = {}
        self._trials: dict[str, tuple[int, int]] = {}  # after how many calls each is tried, and of how many
        self._blocked: dict[str, int] = {}  # when they last blocked: how many inline calls had begun, of any route

    def doubted(self, route: str) -> str | None:
        """Give what is in doubt, the route or its family, if one of them is; on any thread."""
        if route in self.doubts:
            return route
        family = _family(route)
        return family if family in self.doubts else None

    def learn(self, route: str, calls: int, *, blocked: bool) -> None:
        """Note that a call of this route has blocked, or has not; so many ``calls`` have begun inline, of any route."""
        if not blocked:
            doubted = self.doubted(route)
            if doubted is not None:
                self._doubt(doubted, self.doubts[doubted] - 1)
            return
        family = _family(route)
        if family and route not in self._blocked:
            self._blame(family, calls, KIN, 0)
        self._blame(route, calls, OFTEN, 1)

    def _blame(self, kind: str, calls: int, within: int, least: int) -> None:
        often = calls - self._blocked.pop(kind, -within - 1) <= within
        _put(self._blocked, kind, calls)
        self._doubt(kind, min(8 * self.doubts.get(kind, 0) + (10 if often else least), MOST_DOUBT))

    def _doubt(self, kind: str, doubt: int) -> None:
        if doubt > 0:
            _put(self.doubts, kind, doubt)
        else:
            self.doubts.pop(kind, None)
            self._trials.pop(kind, None)

    def counts_to_trial(self, route: str) -> bool:
        """Count a call of this route, if it is in doubt; tell whether it is the one to be tried inline."""
        doubted = self.doubted(route)
        if doubted is None:
            return False
        left, of = self._trials.get(doubted, (TRIAL, TRIAL))
        _put(self._trials, doubted, (left - 1 if left else of, of))
        return left == 0

    def try_again_later(self, route: str) -> None:
        """Note that a call of this route is tried inline; if that does not acquit it, the next is to be later."""
        doubted = self.doubted(route) or route
        of = min(2 * self._trials.get(doubted, (TRIAL, TRIAL))[1], MOST_TRIAL)
        _put(self._trials, doubted, (of - 1, of))

    def acquit(self, route: str) -> None:
        """Have the route called inline again."""
        self._doubt(self.doubted(route) or route, 0)
