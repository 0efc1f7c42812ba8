"""The crowd: who is taken for one that computes beside the leader, and until when."""

from collections.abc import Iterable

import pytest

from wsgiserver.crowds import LASTS, SPAN, Crowd


def looks(crowd: Crowd, shares: Iterable[list[float]], apart: float = SPAN, waits: float = 0.5) -> list[bool]:
    """Look again and again, where the threads have these shares of the time in between; tell what is seen each time.

    For such a share of the time the watch waits itself.
    """
    seen = []
    computed = dict.fromkeys(range(100), 0.0)
    now = 0.0
    crowd.look(now, dict(computed))
    for share in shares:
        now += apart
        for thread, part in enumerate(share):
            computed[thread] += part * apart
        crowd.waits(waits * apart)
        crowd.look(now, dict(computed))
        seen.append(crowd.is_there(now))
    return seen


@pytest.mark.parametrize(
    "shares",
    [[1.0], [0.8], [0.4, 0.4], [0.26, 0.26, 0.26]],
    ids=["one that computes all the time", "and most of it", "two in turn", "three in turn"],
)
def test_threads_that_compute_for_most_of_a_look_are_a_crowd(shares: list[float]) -> None:
    assert looks(Crowd(), [shares]) == [True]


@pytest.mark.parametrize(
    "shares",
    [[], [0.0], [0.7], [0.3, 0.3], [0.05] * 19],
    ids=["nobody", "one that rests", "one with breaks", "two with breaks", "many that sleep and compute 0.4 ms each"],
)
def test_threads_that_compute_less_or_each_of_them_only_shortly_are_none(shares: list[float]) -> None:
    """What helps against those who compute halves what those who sleep can do."""
    assert looks(Crowd(), [shares] * 100) == [False] * 100


@pytest.mark.parametrize("waits", [0.0, 0.1])
def test_threads_that_compute_without_the_gil_are_none(waits: float) -> None:
    """They keep nobody waiting, and so not the watch either."""
    assert looks(Crowd(), [[1.0]] * 100, waits=waits) == [False] * 100


def test_a_long_look_sees_each_of_many_that_compute_in_turn() -> None:
    """With 16 of them the watch comes to look after 40 ms or more; each that had its 5 ms of the GIL shows."""
    assert looks(Crowd(), [[1 / 16] * 16], apart=0.04) == [True]


@pytest.mark.parametrize("share", [0.35, 0.15])
def test_a_crowd_goes_on_while_somebody_computes_though_the_leader_now_has_most_of_the_time(share: float) -> None:
    seen = looks(Crowd(), [[1.0]] + [[share]] * round(3 * LASTS / SPAN))
    assert all(seen)


@pytest.mark.parametrize("shares", [[], [0.1], [0.01] * 64], ids=["nobody", "one that rests", "many that sleep"])
def test_a_crowd_is_over_a_second_after_the_last_has_computed(shares: list[float]) -> None:
    count = round(LASTS / SPAN)
    assert looks(Crowd(), [[1.0]] + [shares] * (count + 1)) == [True] * count + [False] * 2


def test_who_has_led_or_was_not_there_at_the_last_look_is_left_for_the_next() -> None:
    """A leader that is busy keeps nobody waiting; and of what it had before it was a worker nothing is known."""
    crowd = Crowd()
    crowd.look(1.0, {"a": 1.0})
    crowd.waits(SPAN)
    crowd.look(1.0 + SPAN, {"b": 100.0})
    assert not crowd.is_there(1.0 + SPAN)
    crowd.waits(SPAN)
    crowd.look(1.0 + 2 * SPAN, {"b": 100.0 + SPAN})
    assert crowd.is_there(1.0 + 2 * SPAN)


def test_a_look_is_due_after_its_span() -> None:
    crowd = Crowd()
    crowd.look(1.0, {})
    assert [crowd.is_due(1.0 + after) for after in (0.0, SPAN / 2, 1.01 * SPAN)] == [False, False, True]


def test_nobody_is_a_crowd_where_the_system_tells_no_times() -> None:
    crowd = Crowd()
    for n in range(10):
        crowd.look(float(n), {})
        assert not crowd.is_there(float(n))
