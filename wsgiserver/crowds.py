"""The crowd: takes how long each thread has computed, and tells which keep the GIL from the leader, to `baton`.

Threads beside the leader that sleep and compute in turn, pages that ask a database say, keep the GIL for moments, but
each time the leader gives it away. That is a light crowd: the leader does well not to give it away where it need not.
A thread that computes on and on keeps it until it must give it back. That is a heavy crowd: the leader does well to ask
for it sooner. Beside many threads that compute for moments that would cost a third of the requests a second, for each
of those who wait asks too. Who computes in C without the GIL keeps nobody waiting: so in both cases the watch itself
must have waited for it, beyond its pauses.
"""

from collections.abc import Hashable, Mapping
from enum import Enum


class Crowd(Enum):
    """How the threads beside the leader keep the GIL from it."""

    NONE = 0  # they do not
    LIGHT = 1  # for moments, again and again
    HEAVY = 2  # one of them, until it must give it back


# To look a member up in its class takes ten times as long as a global.
NONE, LIGHT, HEAVY = Crowd

# The watch must have waited for this share of the time between two looks, beyond its pauses.
WAITED = 0.125
# A crowd begins where all together have had more than this share of the time;
SHARED = 0.25
# a heavy one, where they have had more than this share of what the process has had, which may share its processor,
MOST = 0.75
# and some, of whom each has once had so many seconds between two looks in one and the same job, more than this one. It
# goes on while these have more than that: what helps leaves a single computer a third of the time.
STRETCH = 0.004
STILL = 0.125
# Seconds between two looks at least.
SPAN = 0.008
# Seconds that a crowd lasts after the last sign of it.
LASTS = 1.0


class Crowds:
    """What the watch knows of the threads beside the leader; for one thread."""

    def __init__(self) -> None:
        self._looked = self._waited = self._process = 0.0
        self._computed: Mapping[Hashable, float] = {}
        self._heavy: set[Hashable] = set()
        # Until when there is a crowd at least, and a heavy one.
        self._any_ends = self._heavy_ends = 0.0

    def is_due(self, now: float) -> bool:
        """Whether it is time to look."""
        return now - self._looked >= SPAN

    def waits(self, seconds: float) -> None:
        """Note that the watch has waited so long, beyond a pause, until it had the GIL."""
        self._waited += seconds

    def look(self, now: float, computed: Mapping[Hashable, float], process: float) -> None:
        """Compare the seconds that each job beside the leader has computed in all with those of the last look.

        The whole ``process`` has computed so many. What was not there at the last look is left for the next.
        """
        span = now - self._looked
        had_all = min(span, process - self._process)
        had = {job: seconds - self._computed[job] for job, seconds in computed.items() if job in self._computed}
        self._heavy = {job for job in had if had[job] >= STRETCH or job in self._heavy}
        if self._waited > WAITED * span:
            beside = sum(had.values())
            if beside > SHARED * span:
                self._any_ends = now + LASTS
            goes_on = beside > MOST * had_all or now < self._heavy_ends
            if goes_on and sum(had[job] for job in self._heavy) > STILL * had_all:
                self._heavy_ends = now + LASTS
        self._looked, self._waited, self._computed, self._process = now, 0.0, computed, process

    def crowd(self, now: float) -> Crowd:
        """Tell which crowd there is."""
        if now < self._heavy_ends:
            return HEAVY
        return LIGHT if now < self._any_ends else NONE
