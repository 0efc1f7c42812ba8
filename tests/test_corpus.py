"""The corpus: raw requests with a verdict beside each (see corpus/README.md), fed to the reader in every way."""

import hashlib
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from feeding import Limits, Outcome, Seen, bytewise, feed, splits, whole

CORPUS = Path(__file__).parent / "corpus"
BEHIND = b"GET /behind HTTP/1.1\r\nHost: behind.example\r\n\r\n"
SEEN_BEHIND = Seen("GET", "/behind", 1, (("Host", "behind.example"),))

ACCEPTED = sorted(path.with_suffix("") for path in (CORPUS / "accept").glob("*.toml"))
REFUSED = sorted(path.with_suffix("") for path in (CORPUS / "reject").glob("*.toml"))

accepted = pytest.mark.parametrize("case", ACCEPTED, ids=lambda path: path.name)
refused = pytest.mark.parametrize("case", REFUSED, ids=lambda path: path.name)
each = pytest.mark.parametrize("case", ACCEPTED + REFUSED, ids=lambda path: f"{path.parent.name}/{path.name}")


@cache
def verdict(case: Path) -> dict[str, Any]:
    return tomllib.loads(case.with_suffix(".toml").read_text("utf-8"))


def raw(case: Path) -> bytes:
    return case.with_suffix(".http").read_bytes()


def limits(case: Path) -> Limits:
    return Limits(**verdict(case).get("limits", {}))


def in_short(body: bytes) -> tuple[str, int]:
    return hashlib.sha256(body).hexdigest(), len(body)


def described(request: Seen, table: dict[str, Any]) -> dict[str, Any]:
    """Write what the reader saw as the verdict's table is written, with the same key for the body."""
    description: dict[str, Any] = {
        "method": request.method,
        "target": request.target,
        "minor": request.minor,
        "fields": [list(pair) for pair in request.fields],
    }
    if "body_sha256" in table:
        description["body_sha256"], description["length"] = in_short(request.body)
    elif "body_hex" in table:
        description["body_hex"] = request.body.hex()
    elif request.body or "body" in table:
        description["body"] = request.body.decode("latin-1")
    if request.trailers or "trailers" in table:
        description["trailers"] = [list(pair) for pair in request.trailers]
    return description


def assert_requests(outcome: Outcome, case: Path) -> None:
    tables = verdict(case).get("request", [])
    assert len(outcome.requests) == len(tables), verdict(case)["why"]
    for request, table in zip(outcome.requests, tables, strict=True):
        assert described(request, table) == table, verdict(case)["why"]


@accepted
def test_accepted_requests_are_read_as_their_verdict_says(case: Path) -> None:
    outcome = feed(whole(raw(case)), limits(case))
    assert outcome.error is None, verdict(case)["why"]
    assert outcome.unfinished is None
    assert_requests(outcome, case)


@refused
def test_refused_requests_are_refused_as_their_verdict_says(case: Path) -> None:
    outcome = feed(whole(raw(case)), limits(case))
    assert outcome.error is not None, verdict(case)["why"]
    assert (outcome.error.status, outcome.error.section) == (verdict(case)["status"], verdict(case)["section"])
    assert_requests(outcome, case)


@each
def test_byte_by_byte_gives_the_same_as_all_at_once(case: Path) -> None:
    data = raw(case)
    assert feed(bytewise(data), limits(case)) == feed(whole(data), limits(case))


@each
def test_a_cut_at_any_place_gives_the_same_as_all_at_once(case: Path) -> None:
    data = raw(case)
    expected = feed(whole(data), limits(case))
    for pieces in splits(data):
        assert feed(pieces, limits(case)) == expected, pieces


@accepted
def test_another_request_behind_it_is_read_too(case: Path) -> None:
    data = raw(case) + BEHIND
    expected = (*feed(whole(raw(case)), limits(case)).requests, SEEN_BEHIND)
    # A lowered limit might refuse the request behind, which is no business of this case.
    bounds = limits(case) if len(BEHIND.split(b"\r\n")[0]) <= limits(case).limit_line else Limits()
    assert feed(whole(data), bounds) == Outcome(expected)
    assert feed(bytewise(data), bounds) == Outcome(expected)


@refused
def test_what_stands_behind_a_refused_request_changes_nothing(case: Path) -> None:
    outcome = feed(whole(raw(case)), limits(case))
    assert outcome.error is not None
    assert feed(whole(raw(case) + BEHIND), limits(case)) == outcome


def test_each_raw_request_has_a_verdict_and_each_verdict_a_raw_request() -> None:
    for kind in ("accept", "reject"):
        stems = [{path.stem for path in (CORPUS / kind).glob(f"*.{ending}")} for ending in ("http", "toml")]
        assert stems[0] == stems[1]


def test_numbers_are_used_once() -> None:
    for cases in (ACCEPTED, REFUSED):
        numbers = [case.name.split("-")[0] for case in cases]
        assert len(set(numbers)) == len(numbers)


def test_the_corpus_is_large_enough() -> None:
    assert len(ACCEPTED) >= 80
    assert len(REFUSED) >= 100
