"""The watch: what it makes of the looks at the leader, and how soon it looks again."""

import pytest

from wsgiserver.crowds import LASTS, SPAN
from wsgiserver.watch import ALERT, ASLEEP, CLOSER, Sight, Watch

TICK = 0.002


class Leader:
    """What a watch looks at: how many calls have begun, whether it is in one, how long it has computed."""

    def __init__(self) -> None:
        self.watch = Watch(TICK)
        self.calls, self.in_call, self.computed, self.crowd = 0, False, 0.0, False

    def pause(self) -> float:
        return self.watch.pause(self.crowd)

    def look(self, *, calls: int = 0, share: float = 0.0, in_call: bool = True, in_time: bool = True) -> Sight:
        """Let a pause pass in which so many calls begin, and the leader has this share of the time; then look."""
        pause = self.watch.pause(self.crowd)
        self.calls += calls
        self.computed += share * pause
        return self.watch.look(self.calls, in_call, self.computed, in_time)

    def alert(self) -> "Leader":
        self.watch.be_alert()
        return self


@pytest.fixture
def leader() -> Leader:
    leader = Leader()
    assert leader.look(calls=1, share=1.0) is Sight.NOTHING
    return leader


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_a_call_that_lasts_for_a_tick_is_handed_over(leader: Leader, share: float) -> None:
    assert leader.pause() == TICK
    assert leader.look(share=share) is Sight.HAND_ON


def test_a_leader_in_no_call_keeps_the_loop(leader: Leader) -> None:
    assert leader.look(in_call=False) is Sight.NOTHING


def test_calls_one_after_the_other_are_not_handed_over(leader: Leader) -> None:
    assert {leader.look(calls=30, share=0.9) for _ in range(100)} == {Sight.NOTHING}


def test_a_look_that_comes_late_does_not_hand_over_but_the_next_does(leader: Leader) -> None:
    """The whole machine may have stood still."""
    assert [leader.look(in_time=False), leader.look()] == [Sight.OVERDUE, Sight.HAND_ON]


def test_a_look_that_comes_late_again_hands_over(leader: Leader) -> None:
    """Else a call that keeps the GIL, and makes each look come late, would never be."""
    assert [leader.look(in_time=False), leader.look(in_time=False)] == [Sight.OVERDUE, Sight.HAND_ON]


# -- alert ---------------------------------------------------------------------------------------------------------


def test_an_alert_watch_looks_more_often_for_a_while(leader: Leader) -> None:
    leader.alert()
    pauses = []
    for _ in range(ALERT + 1):
        pauses.append(leader.pause())
        leader.watch.look(0, False, 0.0, True)
    assert pauses == [TICK / CLOSER] * ALERT + [TICK]


def test_an_alert_watch_hands_over_at_once_what_has_slept_since_its_last_look(leader: Leader) -> None:
    leader.alert()
    assert leader.look(share=0.2) is Sight.HAND_ON


def test_an_alert_watch_leaves_a_call_that_computes_its_whole_tick(leader: Leader) -> None:
    leader.alert()
    seen = [leader.look(share=0.5) for _ in range(CLOSER)]
    assert seen == [Sight.NOTHING] * (CLOSER - 1) + [Sight.HAND_ON]


def test_in_a_crowd_the_watch_looks_no_closer_than_ever(leader: Leader) -> None:
    leader.alert().crowd = True
    assert leader.pause() == TICK


# -- asleep in one call after the other ----------------------------------------------------------------------------


def test_a_leader_found_asleep_in_each_of_some_calls_in_a_row_makes_the_watch_alert(leader: Leader) -> None:
    """Each is shorter than a tick, and so would never be handed over; but nobody else is served while it sleeps."""
    for _ in range(ASLEEP):
        assert leader.look(calls=2, share=0.1) is Sight.NOTHING
    assert leader.pause() == TICK / CLOSER
    assert leader.look(share=0.1) is Sight.HAND_ON


@pytest.mark.parametrize(
    "other",
    [{"share": 0.5}, {"in_call": False}],
    ids=["it computed", "it was in no call"],
)
def test_a_leader_that_was_not_asleep_once_keeps_the_watch_calm(leader: Leader, other: dict[str, float]) -> None:
    for _ in range(10 * ASLEEP):
        for _ in range(ASLEEP - 1):
            leader.look(calls=2)
        leader.look(calls=2, **other)  # type: ignore[arg-type]
    assert leader.pause() == TICK


def test_in_a_crowd_who_seems_asleep_waits_for_the_gil(leader: Leader) -> None:
    leader.crowd = True
    for _ in range(10 * ASLEEP):
        leader.look(calls=2)
    leader.crowd = False
    assert leader.pause() == TICK


# -- rest ----------------------------------------------------------------------------------------------------------


def quiet_looks(leader: Leader) -> int:
    """Count the looks at a leader in no call before the watch rests."""
    for count in range(1, 10_000):
        if leader.look(in_call=False) is Sight.REST:
            return count
    raise AssertionError("it never rests")


def test_the_watch_rests_when_there_was_no_call_for_a_while(leader: Leader) -> None:
    """For as long as it takes to see a crowd; and no longer, for at rest nothing ticks."""
    assert quiet_looks(leader) * TICK == pytest.approx(2 * SPAN, abs=1.5 * TICK)


def test_an_alert_watch_rests_as_soon(leader: Leader) -> None:
    assert quiet_looks(leader.alert()) * TICK / CLOSER == pytest.approx(2 * SPAN, abs=1.5 * TICK)


def test_in_a_crowd_the_watch_rests_later(leader: Leader) -> None:
    """It ends the crowd then: somebody who asks now and then would meet it anew each time."""
    leader.crowd = True
    assert quiet_looks(leader) * TICK == pytest.approx(LASTS, abs=2 * TICK)


def test_each_call_puts_the_rest_off(leader: Leader) -> None:
    for _ in range(100):
        assert leader.look(calls=1, in_call=False) is Sight.NOTHING
        for _ in range(6):
            assert leader.look(in_call=False) is Sight.NOTHING


def test_after_a_rest_the_watch_begins_anew(leader: Leader) -> None:
    quiet_looks(leader)
    leader.calls += 1
    leader.watch.rested(leader.calls)
    assert leader.look() is Sight.HAND_ON
