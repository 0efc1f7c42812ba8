"""The predictor: which routes are doubted, for how long, when one is tried, and how much is remembered."""

import pytest

from wsgiserver.predictor import KIN, MOST_DOUBT, MOST_ROUTES, MOST_TRIAL, OFTEN, TRIAL, Predictor


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
    predictor.learn("first", 0, blocked=True)
    predictor.counts_to_trial("first")
    for number in range(MOST_ROUTES + 9):
        predictor.learn(str(number), number, blocked=True)
        predictor.counts_to_trial(str(number))
        predictor.learn("first", number, blocked=True)
        predictor.counts_to_trial("first")
    known = {"first", *map(str, range(10, MOST_ROUTES + 9))}
    assert set(predictor.doubts) == set(predictor._blocked) == set(predictor._trials) == known


def test_a_family_is_remembered_though_each_of_its_routes_comes_once(wines: Predictor) -> None:
    for number in range(2 * MOST_ROUTES):
        assert wines.doubted(f"GET /wines/{number}x"), number
        wines.learn(f"GET /wines/{number}x", 100, blocked=True)


# -- families ------------------------------------------------------------------------------------------------------


@pytest.fixture
def wines() -> Predictor:
    """Give a predictor that has seen two routes of one family block, one shortly after the other."""
    predictor = Predictor()
    predictor.learn("GET /wines/merlot", 1, blocked=True)
    predictor.learn("GET /wines/syrah", 1 + KIN, blocked=True)
    return predictor


def test_a_route_never_seen_is_in_doubt_when_two_of_its_family_have_blocked(wines: Predictor) -> None:
    """Else each page that has a name of its own would hold up everybody once."""
    assert wines.doubted("GET /wines/pinot") == "GET /wines/*"
    assert wines.doubts["GET /wines/*"] == 10


@pytest.mark.parametrize(
    "route", ["POST /wines/pinot", "GET /wines", "GET /", "GET /wines/red/pinot", "wines"], ids=lambda route: route
)
def test_routes_of_other_families_are_not(wines: Predictor, route: str) -> None:
    assert wines.doubted(route) is None


def test_those_of_the_family_that_are_in_doubt_themselves_stay_so(wines: Predictor) -> None:
    assert wines.doubted("GET /wines/merlot") == "GET /wines/merlot"
    wines.acquit("GET /wines/pinot")
    assert set(wines.doubts) == {"GET /wines/merlot", "GET /wines/syrah"}


@pytest.mark.parametrize(
    ("second", "calls"),
    [("GET /wines/merlot", 2), ("GET /wines/syrah", 2 + KIN)],
    ids=["it was the same route", "it was long after the first"],
)
def test_a_family_is_not_in_doubt_for_one_route_or_a_rare_one(second: str, calls: int) -> None:
    predictor = Predictor()
    predictor.learn("GET /wines/merlot", 1, blocked=True)
    predictor.learn(second, calls, blocked=True)
    assert predictor.doubted("GET /wines/pinot") is None


def test_routes_without_a_slash_have_no_family() -> None:
    predictor = Predictor()
    for name in "abc":
        predictor.learn(name, 1, blocked=True)
    assert set(predictor.doubts) == {"a", "b", "c"}


def test_each_new_route_that_blocks_makes_its_family_more_doubtful(wines: Predictor) -> None:
    wines.learn("GET /wines/pinot", 1 + KIN, blocked=True)
    assert wines.doubts["GET /wines/*"] == MOST_DOUBT
    wines.learn("GET /wines/pinot", 1 + KIN, blocked=True)
    assert wines.doubts["GET /wines/pinot"] == 18


def test_quick_calls_of_the_others_acquit_a_family(wines: Predictor) -> None:
    for number in range(10):
        assert wines.doubted("GET /wines/malbec")
        wines.learn(f"GET /wines/{number}x", 40, blocked=False)
    assert wines.doubted("GET /wines/malbec") is None


def test_a_trial_of_any_of_them_is_a_trial_of_the_family(wines: Predictor) -> None:
    due = [n for n in range(TRIAL + 1) if wines.counts_to_trial(f"GET /wines/{n}x")]
    assert due == [TRIAL]
    wines.try_again_later("GET /wines/tried")
    assert not any(wines.counts_to_trial(f"GET /wines/{n}x") for n in range(2 * TRIAL - 1))
    assert wines.counts_to_trial("GET /wines/tried")
    wines.acquit("GET /wines/tried")
    assert wines.doubted("GET /wines/pinot") is None
