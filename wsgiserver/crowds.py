"""The crowd: takes how long each thread has computed, and tells whether one keeps the GIL from the leader, to `baton`.

A thread that computes in Python gives the GIL away only when it must. When those beside the leader have had most of a
while, and one of them a whole tick of it, there is a crowd: many that sleep and answer may together have as much, but
no one of them so long at a stretch; and what helps against those who compute halves what those who sleep can do. Who
computes in C without the GIL keeps nobody waiting: so the watch itself must have waited too, beyond its pauses.

What helps leaves a single computer a third of the time, and several of them less each; so a crowd goes on for as long
as one has an eighth of it now and then. Many that sleep have less, even where each computes for a millisecond.
"""

from collections.abc import Hashable, Mapping

# A crowd begins where all together have had more than this share of the time between two looks,
MOST = 0.75
# and one of them at least so many seconds of it;
STRETCH = 0.002
# it goes on while one has more than this share.
STILL = 0.125
# In both cases the watch must have waited for this share of the time, beyond its pauses.
WAITED = 0.125
# Seconds between two looks at least.
SPAN = 0.008
# Seconds that a crowd lasts after the last sign of it.
LASTS = 1.0


class Crowd:
    """What the watch knows of the threads beside the leader; for one thread."""

    def __init__(self) -> None:
        self._ends = self._looked = self._waited = 0.0
        self._computed: Mapping[Hashable, float] = {}

    def is_due(self, now: float) -> bool:
        """Whether it is time to look."""
        return now - self._looked >= SPAN

    def waits(self, seconds: float) -> None:
        """Note that the watch has waited so long, beyond a pause, until it had the GIL."""
        self._waited += seconds

    def look(self, now: float, computed: Mapping[Hashable, float]) -> None:
        """Compare the seconds that each thread beside the leader has computed in all with those of the last look.

        Who was not there at the last look is left for the next.
        """
        span = now - self._looked
        had = [seconds - self._computed[who] for who, seconds in computed.items() if who in self._computed]
        one = max(had, default=0.0)
        computes = (one >= STRETCH and sum(had) > MOST * span) or (self.is_there(now) and one > STILL * span)
        if computes and self._waited > WAITED * span:
            self._ends = now + LASTS
        self._looked, self._waited, self._computed = now, 0.0, computed

    def is_there(self, now: float) -> bool:
        """Whether there is a crowd."""
        return now < self._ends
