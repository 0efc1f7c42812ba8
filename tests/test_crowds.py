"""The crowd: whether threads beside the leader keep the GIL from it for moments, or for long, and until when."""

from collections.abc import Iterable

import pytest

from wsgiserver.crowds import HEAVY, LASTS, LIGHT, NONE, SPAN, Crowd, Crowds


def looks(shares: Iterable[list[float]], apart: float = SPAN, waits: float = 0.5, process: float = 1.0) -> list[Crowd]:
    """Look again and again, where jobs have these shares of the time in between; tell what is seen each time.

    For such a share of the time the watch waits itself, and the whole process computes.
    """
    crowds = Crowds()
    seen = []
    computed = dict.fromkeys(range(100), 0.0)
    now = 0.0
    crowds.look(now, dict(computed), 0.0)
    for share in shares:
        now += apart
        for job, part in enumerate(share):
            computed[job] += part * apart
        crowds.waits(waits * apart)
        crowds.look(now, dict(computed), process * now)
        seen.append(crowds.crowd(now))
    return seen


@pytest.mark.parametrize(
    "shares",
    [[1.0], [0.8], [0.5, 0.5], [0.51, 0.25]],
    ids=["one that computes all the time", "most of it", "two in turn", "one that has half of it, beside another"],
)
def test_jobs_that_compute_on_and_on_are_a_heavy_crowd(shares: list[float]) -> None:
    assert looks([shares]) == [HEAVY]


def test_where_others_use_the_same_processor_what_the_process_has_had_counts() -> None:
    """Beside one of them a thread that computes on and on has half of the time, in which the leader still waits."""
    assert looks([[0.45]] * 10, apart=2 * SPAN, process=0.5) == [HEAVY] * 10
    assert looks([[0.45]] * 10, apart=2 * SPAN) == [LIGHT] * 10


@pytest.mark.parametrize(
    "shares",
    [[0.3], [0.7], [0.3, 0.3], [0.05] * 19, [0.26, 0.26, 0.26]],
    ids=["one with breaks", "with few breaks", "two with breaks", "many that sleep too", "three in short turns"],
)
def test_jobs_that_compute_for_moments_are_a_light_crowd(shares: list[float]) -> None:
    """What helps against those who compute on and on costs these a third of what they can do."""
    assert looks([shares] * 100) == [LIGHT] * 100


@pytest.mark.parametrize("shares", [[], [0.0], [0.2], [0.01] * 20], ids=["nobody", "resting", "seldom", "many, seldom"])
def test_jobs_that_rest_for_the_most_part_are_none(shares: list[float]) -> None:
    assert looks([shares] * 100) == [NONE] * 100


@pytest.mark.parametrize("waits", [0.0, 0.1])
def test_jobs_that_compute_without_the_gil_are_none(waits: float) -> None:
    """They keep nobody waiting, and so not the watch either."""
    assert looks([[1.0]] * 100, waits=waits) == [NONE] * 100


def test_a_long_look_sees_each_of_many_that_compute_in_turn() -> None:
    """With 16 of them the watch comes to look after 80 ms; each that had its 5 ms of the GIL shows."""
    assert looks([[1 / 16] * 16], apart=0.08) == [HEAVY]


@pytest.mark.parametrize(
    "shares", [[0.35], [0.15], [1 / 16] * 16], ids=["a third of the time", "less", "many, each a little"]
)
def test_a_heavy_crowd_goes_on_while_the_same_jobs_compute_though_the_leader_now_has_more_of_the_time(
    shares: list[float],
) -> None:
    """The switch interval is short then, so none of them has the GIL for long at a time."""
    assert set(looks([[0.8] * len(shares)] + [shares] * round(3 * LASTS / SPAN))) == {HEAVY}


def test_it_does_not_go_on_for_jobs_that_have_come_since_and_compute_for_moments() -> None:
    seen = looks([[1.0]] + [[0.0] + [0.02] * 40] * round(2 * LASTS / SPAN))
    assert (seen[0], seen[-1]) == (HEAVY, LIGHT)


@pytest.mark.parametrize("shares", [[], [0.1], [0.0] + [0.003] * 64], ids=["nobody", "one that rests", "many that do"])
def test_a_crowd_is_over_a_second_after_the_last_sign_of_it(shares: list[float]) -> None:
    count = round(LASTS / SPAN)
    assert looks([[1.0]] + [shares] * (count + 1)) == [HEAVY] * count + [NONE] * 2


def test_what_was_not_there_at_the_last_look_is_left_for_the_next() -> None:
    """A leader that is busy keeps nobody waiting; and of what it had before it was a worker nothing is known."""
    crowds = Crowds()
    crowds.look(1.0, {"a": 1.0}, 1.0)
    crowds.waits(SPAN)
    crowds.look(1.0 + SPAN, {"b": 100.0}, 1.0 + SPAN)
    assert crowds.crowd(1.0 + SPAN) is NONE
    crowds.waits(SPAN)
    crowds.look(1.0 + 2 * SPAN, {"b": 100.0 + SPAN}, 1.0 + 2 * SPAN)
    assert crowds.crowd(1.0 + 2 * SPAN) is HEAVY


def test_a_look_is_due_after_its_span() -> None:
    crowds = Crowds()
    crowds.look(1.0, {}, 1.0)
    assert [crowds.is_due(1.0 + after) for after in (0.0, SPAN / 2, 1.01 * SPAN)] == [False, False, True]


def test_nobody_is_a_crowd_where_the_system_tells_no_times() -> None:
    crowds = Crowds()
    for n in range(10):
        crowds.look(float(n), {}, float(n))
        assert crowds.crowd(float(n)) is NONE
