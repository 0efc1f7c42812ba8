"""The predictor: which routes are doubted, for how long, when one is tried, and how much is remembered."""

import pytest

from wsgiserver.predictor import MOST_DOUBT, MOST_ROUTES, MOST_TRIAL, OFTEN, TRIAL, Predictor


def asked(predictor: Predictor, times: int) -> list[int]:
    """Ask so many times whether a trial of ``r`` is due, try it whenever it is, and return at which it was."""
    due = []
    for n in range(times):
        if predictor.counts_to_trial("r"):
            due.append(n)
            predictor.try_again_later("r")
    return due


@pytest.fixture
def doubtful() -> Predictor:
    """Give a predictor that has seen ``r`` block once."""
    predictor = Predictor()
    predictor.learn("r", 1, blocked=True)
    return predictor


def test_a_route_that_blocked_once_is_in_doubt_until_one_call_of_it_was_quick(doubtful: Predictor) -> None:
    assert doubtful.doubts == {"r": 1}
    doubtful.learn("r", 1, blocked=False)
    assert doubtful.doubts == {}


def test_a_route_that_goes_on_blocking_is_doubted_more_up_to_a_limit(doubtful: Predictor) -> None:
    doubts = []
    for _ in range(3):
        doubtful.learn("r", 1, blocked=True)
        doubts.append(doubtful.doubts["r"])
    assert doubts == [18, MOST_DOUBT, MOST_DOUBT]


def test_a_quick_call_of_a_route_that_nobody_doubts_changes_nothing() -> None:
    predictor = Predictor()
    predictor.learn("r", 1, blocked=False)
    assert predictor.doubts == {}


@pytest.mark.parametrize(("apart", "doubt"), [(1, 10), (OFTEN, 10), (OFTEN + 1, 1), (1000, 1)])
def test_a_route_is_doubted_more_where_it_blocked_thirty_calls_before(
    doubtful: Predictor, apart: int, doubt: int
) -> None:
    """Else a route that blocks every second time would be taken for a quick one after each quick call."""
    doubtful.learn("r", 1, blocked=False)
    doubtful.learn("r", 1 + apart, blocked=True)
    assert doubtful.doubts == {"r": doubt}


def test_a_trial_is_due_after_so_many_calls_and_each_time_after_twice_as_many(doubtful: Predictor) -> None:
    assert asked(doubtful, 8 * TRIAL) == [TRIAL, 3 * TRIAL, 7 * TRIAL]


def test_trials_do_not_become_rarer_for_ever(doubtful: Predictor) -> None:
    due = asked(doubtful, 4 * MOST_TRIAL)
    assert due[-1] - due[-2] == MOST_TRIAL


def test_a_trial_that_was_due_and_came_to_nothing_is_due_again_after_as_many_calls(doubtful: Predictor) -> None:
    due = [n for n in range(3 * TRIAL + 3) if doubtful.counts_to_trial("r")]
    assert due == [TRIAL, 2 * TRIAL + 1, 3 * TRIAL + 2]


def test_no_trial_is_due_of_a_route_that_nobody_doubts(doubtful: Predictor) -> None:
    assert not [n for n in range(2 * TRIAL) if doubtful.counts_to_trial("another")]


def test_a_route_that_is_acquitted_and_blocks_again_is_tried_as_soon_as_at_first(doubtful: Predictor) -> None:
    asked(doubtful, 4 * TRIAL)
    doubtful.acquit("r")
    assert doubtful.doubts == {}
    doubtful.learn("r", 2, blocked=True)
    assert asked(doubtful, TRIAL + 1) == [TRIAL]


def test_the_tables_of_routes_are_bounded_and_forget_the_oldest() -> None:
    predictor = Predictor()
    for route in range(MOST_ROUTES + 10):
        predictor.learn(route, route, blocked=True)
        predictor.counts_to_trial(route)
    known = set(range(10, MOST_ROUTES + 10))
    assert set(predictor.doubts) == set(predictor._blocked) == set(predictor._trials) == known
