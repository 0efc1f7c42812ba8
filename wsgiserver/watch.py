"""The watch's judgement: takes what each look saw of the leader, tells what to do and when to look again; `baton` does.

The leader is in a call, or is not. A call that lasts for a whole tick is handed over, and the loop with it. But where
one slept, others will; then the watch looks more often, and hands over at once what has slept since the last look. It
begins to look more often also when it finds the leader asleep in one call after another: each of them is short, but
while it sleeps nobody else is served.
"""

from enum import Enum
from typing import Final

from wsgiserver.crowds import LASTS, SPAN

# For so many looks the watch looks so many times as often. With 1 request in 100 sleeping 50 ms that is 50 % more
# requests a second; it takes 5 to 9 % of a core for that while. A call that computes has its whole tick as ever.
CLOSER: Final = 16
ALERT: Final = 8000
# Looks in a row at which the leader has been found asleep, each time in another call, before the watch is alert. Where
# each call sleeps for 1.5 ms, 580 requests a second become 6,000.
ASLEEP: Final = 4

# What a look comes to: the call under way is to be overdue; it is to be handed over too; there was no call for long.
Sight = Enum("Sight", ["NOTHING", "OVERDUE", "HAND_ON", "REST"])


class Watch:
    """What the watch has seen of the leader, in seconds; for one thread."""

    def __init__(self, tick: float) -> None:
        self._tick = tick
        # The last look: how many calls had begun, how long the leader had computed in all, and whether it came in time.
        self._calls = 0
        self._computed = 0.0
        self._in_time = True
        # The next: how long it is waited for, and whether that is less than a tick.
        self._pause = tick
        self._crowd = self._closely = False
        # How many close looks are to come; how many found the same call; how many found the leader asleep.
        self._alert = self._same = self._asleep = 0
        # Since the last call began.
        self._quiet = 0.0

    def pause(self, crowd: bool) -> float:
        """Give the seconds until the next look; in a crowd each takes the GIL from the leader for a while."""
        self._crowd = crowd
        self._closely = self._alert > 0 and not crowd
        self._alert -= self._closely
        self._pause = self._tick / CLOSER if self._closely else self._tick
        return self._pause

    def look(self, calls: int, in_call: bool, computed: float, in_time: bool) -> Sight:
        """Judge a look: of ``calls`` that have begun the leader is in the last, or in none.

        It has ``computed`` so many seconds in all. The look came ``in_time``, or so late that perhaps the whole machine
        stood still; then a call that blocks or computes will do so for another tick.
        """
        same, slept = calls == self._calls, computed - self._computed <= self._pause / 4
        excused = self._in_time and not in_time
        self._calls, self._computed, self._in_time = calls, computed, in_time
        if self._closely:
            self._same = self._same + 1 if same else 0
            if self._same < CLOSER and not slept:
                return Sight.NOTHING
        self._quiet += self._pause
        if not same:
            self._quiet = 0.0
            self._doze(in_call and slept)
        elif in_call:
            return Sight.OVERDUE if excused else Sight.HAND_ON
        elif self._quiet > (LASTS if self._crowd else 2 * SPAN):  # else a crowd may not have been seen yet
            return Sight.REST
        return Sight.NOTHING

    def _doze(self, slept_in_call: bool) -> None:
        self._asleep = self._asleep + 1 if slept_in_call and not self._closely and not self._crowd else 0
        if self._asleep == ASLEEP:
            self.be_alert()

    def be_alert(self) -> None:
        """Look closely for a while: a call that slept was handed over, or is to be."""
        self._alert, self._asleep = ALERT, 0

    def rested(self, calls: int) -> None:
        """Begin anew after a rest; so many calls have begun."""
        self._calls, self._quiet = calls, 0.0
