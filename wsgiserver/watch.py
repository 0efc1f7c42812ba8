"""The watch's judgement: takes what each look saw of the leader, tells what to do and when to look again; `baton` does.

The leader is in a call, or is not. A call that lasts for a whole tick is handed over, and the loop with it. But where
one slept, others will; then the watch looks more often, and hands over at once what has slept since the last look. It
begins to look more often also when the leader sleeps for much of its time, in one call after another: each of them is
short, but while it sleeps nobody else is served. Where nothing has blocked for long, it looks less often: each look
takes the GIL from the leader.
"""

from enum import Enum
from typing import Final

from wsgiserver.crowds import HEAVY, LASTS, NONE, SPAN, Crowd

# For so many looks the watch looks so many times as often. With 1 request in 100 sleeping 50 ms that is 50 % more
# requests a second; it takes 5 to 9 % of a core for that while. A call that computes has its whole tick as ever.
CLOSER: Final = 16
ALERT: Final = 8000
# Ticks that the leader may sleep in calls, in the time of so many ticks for each, before the watch is alert. Where each
# call sleeps for 1.5 ms, 580 requests a second become 6,000; where it computes for half of a millisecond and sleeps for
# the other, 1,150 become 1,700.
ASLEEP: Final = 4
PER: Final = 8
# After so many looks at which nobody slept, the watch looks so many times less often, until somebody does. A call that
# blocks is then handed over after 8 to 16 ms instead of 2 to 4, and a request of hello costs 1 µs of 22 less.
CALM: Final = 100
SELDOM: Final = 4

# What a look comes to: the call under way is to be overdue; it is to be handed over too; there was no call for long.
Sight = Enum("Sight", ["NOTHING", "OVERDUE", "HAND_ON", "REST"])


class Watch:
    """What the watch has seen of the leader, in seconds; for one thread."""

    def __init__(self, tick: float) -> None:
        self._tick = tick
        # The last look: how many calls had begun, whether the leader was in one, for how long it had something to do
        # in all, and computed, and whether the look came in time.
        self._calls = 0
        self._in_call = False
        self._active = self._computed = 0.0
        self._in_time = True
        # The next: how long it is waited for, and whether that is less than a tick.
        self._pause = tick
        self._crowd = NONE
        self._closely = False
        # How many close looks are to come; how many found the same call; how many looks in a row found nobody asleep.
        self._alert = self._same = self._calm = 0
        # Since the last call began; of the time in calls, while much of it is slept through.
        self._quiet = self._asleep = 0.0

    def pause(self, crowd: Crowd) -> float:
        """Give the seconds until the next look; in a heavy crowd each takes the GIL from the leader for a while."""
        self._crowd = crowd
        # To look closely also while the leader waits for clients took 10 % of a core for 40 requests a second.
        waits = self._quiet >= self._tick
        self._closely = self._alert > 0 and crowd is not HEAVY and not waits
        self._alert -= self._closely
        if self._closely:
            self._pause = self._tick / CLOSER
        elif self._calm >= CALM and crowd is NONE:
            self._pause = self._tick * SELDOM
        else:
            self._pause = self._tick
        return self._pause

    def look(self, calls: int, in_call: bool, active: float, computed: float, in_time: bool) -> Sight:
        """Judge a look: of ``calls`` that have begun the leader is in the last, or in none.

        There was something to do for ``active`` seconds in all; it has ``computed`` so many. The look came ``in_time``,
        or so late that perhaps the whole machine stood still; then a call that blocks or computes will do so for
        another tick.
        """
        same, had = calls == self._calls, computed - self._computed
        slept = had <= self._pause / 4
        excused = self._in_time and not in_time
        self._doze(not same and in_call and self._in_call and in_time, active - self._active, had)
        self._calls, self._in_call, self._active, self._computed = calls, in_call, active, computed
        self._in_time = in_time
        uneasy = (same and in_call) or self._asleep > 0 or self._closely or self._crowd is not NONE
        self._calm = 0 if uneasy else self._calm + 1
        if self._closely:
            self._same = self._same + 1 if same else 0
            if self._same < CLOSER and not slept:
                return Sight.NOTHING
        self._quiet += self._pause
        if not same:
            self._quiet = 0.0
        elif in_call:
            return Sight.OVERDUE if excused else Sight.HAND_ON
        elif self._quiet > (LASTS if self._crowd is not NONE else 2 * SPAN):  # it may not have been seen yet
            return Sight.REST
        return Sight.NOTHING

    def _doze(self, in_calls: bool, active: float, had: float) -> None:
        """Sum up what the leader has slept since the last look, if it was in one call then, and is in another now.

        In a crowd it may have waited for the GIL instead; a time less than none is another leader's.
        """
        if in_calls and had >= 0 and self._crowd is NONE and not self._closely:
            self._asleep = max(self._asleep + active * (1 - 1 / PER) - had, 0.0)
        else:
            self._asleep = max(self._asleep - self._pause / 4, 0.0)
        if self._asleep > ASLEEP * self._tick:
            self.be_alert()

    def be_alert(self) -> None:
        """Look closely for a while: a call that slept was handed over, or is to be."""
        self._alert, self._asleep = ALERT, 0.0

    def rested(self, calls: int) -> None:
        """Begin anew after a rest; so many calls have begun."""
        self._calls, self._quiet, self._calm = calls, 0.0, 0
