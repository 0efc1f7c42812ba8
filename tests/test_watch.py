"""The watch: what it makes of the looks at the leader, and how soon it looks again."""

import pytest

from wsgiserver.crowds import HEAVY, LASTS, LIGHT, NONE, SPAN, Crowd
from wsgiserver.watch import ALERT, CALM, CLOSER, SELDOM, Sight, Watch

TICK = 0.002


class Leader:
    """What a watch looks at: how many calls have begun, whether it is in one, for how long it was idle, or computed."""

    def __init__(self) -> None:
        self.watch = Watch(TICK)
        self.calls, self.active, self.computed, self.crowd = 0, 0.0, 0.0, NONE

    def pause(self) -> float:
        return self.watch.pause(self.crowd)

    def look(
        self, *, calls: int = 0, share: float = 0.0, idle: float = 0.0, in_call: bool = True, in_time: bool = True
    ) -> Sight:
        """Let a pause pass in which so many calls begin and the leader computes, or is idle, for a share; then look."""
        pause = self.watch.pause(self.crowd)
        self.calls += calls
        self.active += (1 - idle) * pause
        self.computed += share * pause
        return self.watch.look(self.calls, in_call, self.active, self.computed, in_time)

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
    for calls in range(ALERT + 1):
        pauses.append(leader.pause())
        leader.watch.look(calls, False, 0.0, 0.0, True)
    assert pauses == [TICK / CLOSER] * ALERT + [TICK]


def test_an_alert_watch_does_not_look_closely_at_a_leader_that_waits_for_clients(leader: Leader) -> None:
    """After a tick without a call; with the next call it does so again."""
    leader.alert().look(calls=1, share=0.9)
    pauses = []
    for _ in range(CLOSER + 2):
        pauses.append(leader.pause())
        leader.look(in_call=False)
    assert pauses == [TICK / CLOSER] * CLOSER + [TICK] * 2
    leader.look(calls=1, share=0.9)
    assert leader.pause() == TICK / CLOSER


def test_an_alert_watch_hands_over_at_once_what_has_slept_since_its_last_look(leader: Leader) -> None:
    leader.alert()
    assert leader.look(share=0.2) is Sight.HAND_ON


def test_an_alert_watch_leaves_a_call_that_computes_its_whole_tick(leader: Leader) -> None:
    leader.alert()
    seen = [leader.look(share=0.5) for _ in range(CLOSER)]
    assert seen == [Sight.NOTHING] * (CLOSER - 1) + [Sight.HAND_ON]


@pytest.mark.parametrize(("crowd", "closer"), [(LIGHT, CLOSER), (HEAVY, 1)])
def test_in_a_heavy_crowd_the_watch_looks_no_closer_than_ever(leader: Leader, crowd: Crowd, closer: int) -> None:
    leader.alert().crowd = crowd
    assert leader.pause() == TICK / closer


# -- calm ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def calm(leader: Leader) -> Leader:
    for _ in range(CALM):
        leader.look(calls=20, share=0.9)
    assert leader.pause() == SELDOM * TICK
    return leader


def test_a_watch_that_finds_nobody_asleep_for_long_looks_less_often(leader: Leader) -> None:
    pauses = []
    for _ in range(2 * CALM):
        pauses.append(leader.pause())
        leader.look(calls=20, share=0.9)
    assert pauses == [TICK] * (CALM - 1) + [SELDOM * TICK] * (CALM + 1)


def test_a_calm_watch_hands_over_a_call_that_lasts_from_one_look_to_the_next(calm: Leader) -> None:
    assert calm.look(share=1.0) is Sight.HAND_ON
    assert calm.pause() == TICK


@pytest.mark.parametrize(
    "seen",
    [{"calls": 2, "share": 0.5}, {"share": 0.9}, {"share": 0.9, "in_time": False}],
    ids=["the leader sleeps in short calls", "a call lasts", "a call lasts, or the machine stood still"],
)
def test_the_calm_ends_with_the_first_look_that_finds_a_call_that_may_block(
    calm: Leader, seen: dict[str, float]
) -> None:
    calm.look(**seen)  # type: ignore[arg-type]
    assert calm.pause() == TICK


@pytest.mark.parametrize("crowd", [LIGHT, HEAVY])
def test_there_is_no_calm_in_a_crowd(calm: Leader, crowd: Crowd) -> None:
    calm.crowd = crowd
    assert calm.pause() == TICK
    calm.look(calls=20, share=0.9)
    calm.crowd = NONE
    assert calm.pause() == TICK


def test_alarm_ends_the_calm(calm: Leader) -> None:
    assert calm.alert().pause() == TICK / CLOSER


def test_there_is_no_calm_before_a_rest_is_long_over(calm: Leader) -> None:
    """Who comes after a rest may be another client, who asks for something else."""
    calm.watch.rested(calm.calls)
    assert calm.pause() == TICK


# -- asleep in one call after the other ----------------------------------------------------------------------------


def looks_until_alert(leader: Leader, **seen: float) -> int | None:
    """Count such looks until the watch is alert."""
    for count in range(1, CALM):
        assert leader.look(calls=2, **seen) is Sight.NOTHING  # type: ignore[arg-type]
        if leader.pause() < TICK:
            return count
    return None


@pytest.mark.parametrize(
    ("share", "looks"), [(0.0, 5), (0.2, 6), (0.5, 11), (0.8, 54)], ids=["all", "most", "half", "a fifth"]
)
def test_a_leader_that_sleeps_for_a_part_of_its_time_in_calls_makes_the_watch_alert(
    leader: Leader, share: float, looks: int
) -> None:
    """Each call is shorter than a tick, and so would never be handed over; but nobody else is served meanwhile."""
    assert looks_until_alert(leader, share=share) == looks
    assert leader.look(share=0.1) is Sight.HAND_ON


@pytest.mark.parametrize(
    "seen",
    [
        {"share": 0.95},
        {"share": 0.3, "idle": 0.65},
        {"share": 0.0, "idle": 1.0},
        {"in_call": False},
        {"in_time": False},
    ],
    ids=["it computes", "it has little to do", "nothing", "it waits elsewhere", "the watch waits as well"],
)
def test_a_leader_that_does_not_sleep_in_calls_keeps_the_watch_calm(leader: Leader, seen: dict[str, float]) -> None:
    assert looks_until_alert(leader, **seen) is None


def test_a_leader_that_is_found_in_calls_only_now_and_then_keeps_the_watch_calm(leader: Leader) -> None:
    for _ in range(100):
        for _ in range(2):
            leader.look(calls=2)
        for _ in range(4):
            leader.look(calls=2, in_call=False)
    assert leader.pause() == TICK


def test_in_one_call_for_long_the_leader_is_not_in_one_after_the_other(leader: Leader) -> None:
    for _ in range(100):
        leader.look(calls=2)
        leader.look(in_time=False)
        leader.look(calls=2, in_call=False)
    assert leader.pause() == TICK


@pytest.mark.parametrize("crowd", [LIGHT, HEAVY])
def test_in_a_crowd_who_seems_asleep_waits_for_the_gil(leader: Leader, crowd: Crowd) -> None:
    leader.crowd = crowd
    assert looks_until_alert(leader) is None


def test_who_leads_anew_has_not_slept_for_what_the_last_leader_has_computed_more(leader: Leader) -> None:
    for _ in range(20):
        leader.computed -= 10.0
        leader.look(calls=2)
    assert leader.pause() == TICK


def test_who_sleeps_in_one_call_after_the_other_keeps_the_watch_alert_no_longer(leader: Leader) -> None:
    """Else it would be so all the time; when it looks less often again, it sees whether that is worth while."""
    leader.alert()
    for _ in range(ALERT):
        leader.look(calls=2)
    assert leader.pause() == TICK


# -- rest ----------------------------------------------------------------------------------------------------------


def quiet_time(leader: Leader) -> float:
    """Sum up the seconds of looks at a leader in no call before the watch rests."""
    seconds = 0.0
    for _ in range(10_000):
        seconds += leader.pause()
        if leader.look(in_call=False) is Sight.REST:
            return seconds
    raise AssertionError("it never rests")


def test_the_watch_rests_when_there_was_no_call_for_a_while(leader: Leader) -> None:
    """For as long as it takes to see a crowd; and no longer, for at rest nothing ticks."""
    assert quiet_time(leader) == pytest.approx(2 * SPAN, abs=1.5 * TICK)


def test_an_alert_watch_rests_as_soon(leader: Leader) -> None:
    assert quiet_time(leader.alert()) == pytest.approx(2 * SPAN, abs=1.5 * TICK)


@pytest.mark.parametrize("crowd", [LIGHT, HEAVY])
def test_in_a_crowd_the_watch_rests_later(leader: Leader, crowd: Crowd) -> None:
    """It ends the crowd then: somebody who asks now and then would meet it anew each time."""
    leader.crowd = crowd
    assert quiet_time(leader) == pytest.approx(LASTS, abs=2 * TICK)


def test_each_call_puts_the_rest_off(leader: Leader) -> None:
    for _ in range(CALM):
        assert leader.look(calls=1, in_call=False) is Sight.NOTHING
        quiet = 0.0
        while (quiet := quiet + leader.pause()) < 2 * SPAN - TICK:
            assert leader.look(in_call=False) is Sight.NOTHING


def test_after_a_rest_the_watch_begins_anew(leader: Leader) -> None:
    quiet_time(leader)
    leader.calls += 1
    leader.watch.rested(leader.calls)
    assert leader.look() is Sight.HAND_ON
