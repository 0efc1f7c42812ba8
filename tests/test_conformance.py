"""The comparison with other servers: its pure parts, and the whole of it against this server alone."""

import re
import shutil
import sys

import pytest
from bench import conformance, conformance_cases, conformance_corpus, conformance_page
from bench.conformance_corpus import OPEN, OPEN_GROUP, difference, is_open
from bench.conformance_page import KINDS, Trial
from bench.conformance_subject import ALL_SERVERS, Case, Subject, judge, printable
from bench.conformance_talk import Failed, parse
from bench.servers import OURS

OK = b"HTTP/1.1 200 OK\r\n"


def case(name: str, kind: str = "pep", group: str = "Some") -> Case:
    return Case(kind=kind, group=group, name=name, title=f"what {name} shows", check=lambda subject: None)


# -- Answers -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "body", "behind"),
    [
        (OK + b"Content-Length: 2\r\n\r\nhi", b"hi", b""),
        (OK + b"Content-Length: 2\r\n\r\nhiHTTP/1.1 ", b"hi", b"HTTP/1.1 "),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n2;a\r\nhi\r\n0\r\n\r\nx", b"hi", b"x"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\nX: 1\r\n\r\nx", b"", b"x"),
        (b"HTTP/1.1 204 No Content\r\n\r\nx", b"", b"x"),
        (b"HTTP/1.1 100\r\n\r\nx", b"", b"x"),
    ],
)
def test_an_answer_is_read_to_its_end_and_no_further(data: bytes, body: bytes, behind: bytes) -> None:
    for end in range(len(data) - len(behind)):
        assert parse(data[:end], "GET", ended=False) is None
    found = parse(data, "GET", ended=False)
    assert found is not None
    answer, left = found
    assert (answer.body, left, answer.complete) == (body, behind, True)


def test_an_answer_to_head_has_no_body() -> None:
    found = parse(OK + b"Content-Length: 2\r\n\r\nhi", "HEAD", ended=False)
    assert found is not None
    assert found[1] == b"hi"


def test_an_answer_without_a_length_lasts_as_long_as_the_connection() -> None:
    assert parse(OK + b"\r\nhi", "GET", ended=False) is None
    found = parse(OK + b"\r\nhi", "GET", ended=True)
    assert found is not None
    assert (found[0].body, found[0].complete) == (b"hi", True)


@pytest.mark.parametrize(
    "data", [OK + b"Content-Length: 5\r\n\r\nhi", OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n"]
)
def test_an_answer_that_is_cut_off_is_incomplete(data: bytes) -> None:
    found = parse(data, "GET", ended=True)
    assert found is not None
    assert (found[0].body, found[0].complete) == (b"hi", False)


@pytest.mark.parametrize(
    "data",
    [
        b"hello\r\n\r\n",
        b"HTTP/1.1 fine\r\n\r\n",
        OK + b"X: a\nb\r\n\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\nhello\r\n",
        OK + b"Transfer-Encoding: chunked, chunked\r\n\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhiho",
        OK + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\nhi",
        OK + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ],
)
def test_what_a_strict_client_cannot_read_fails(data: bytes) -> None:
    with pytest.raises(Failed):
        parse(data, "GET", ended=False)


@pytest.mark.parametrize(
    ("head", "closes"),
    [
        (b"HTTP/1.1 200 OK\r\n", False),
        (b"HTTP/1.1 200 OK\r\nConnection: Close\r\n", True),
        (b"HTTP/1.0 200 OK\r\n", True),
        (b"HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\n", False),
    ],
)
def test_an_answer_tells_whether_the_connection_goes_on(head: bytes, closes: bool) -> None:
    found = parse(head + b"Content-Length: 0\r\n\r\n", "GET", ended=False)
    assert found is not None
    assert found[0].closes is closes


# -- What the application saw --------------------------------------------------------------------------------------

TABLE = {
    "method": "POST",
    "target": "http://example.org/a%20b?c%20d",
    "minor": 1,
    "fields": [["Host", "example.com"], ["Cookie", "a=1"], ["X", "1"], ["cookie", "b=2"], ["x", "2"]],
    "body": "hi",
}
SEEN = {
    "REQUEST_METHOD": "POST",
    "SCRIPT_NAME": "",
    "PATH_INFO": "/a b",
    "QUERY_STRING": "c%20d",
    "HTTP_HOST": "example.org",
    "HTTP_COOKIE": "a=1; b=2",
    "HTTP_X": "1, 2",
    "HTTP_CONNECTION": "keep-alive",
}


def test_a_request_seen_as_it_was_sent_has_no_difference() -> None:
    assert difference(TABLE, {"seen": SEEN, "body": "hi"}) == ""
    assert difference(TABLE, {"seen": SEEN | {"HTTP_X": "1,2"}, "body": "hi"}) == ""


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("REQUEST_METHOD", "GET"),
        ("PATH_INFO", "/a%20b"),
        ("QUERY_STRING", "c d"),
        ("HTTP_HOST", "example.com"),
        ("HTTP_COOKIE", "a=1, b=2"),
        ("HTTP_X", "2"),
        ("HTTP_PROXY", "evil"),
    ],
)
def test_a_request_seen_otherwise_has_a_difference(name: str, value: str) -> None:
    assert repr(value) in difference(TABLE, {"seen": SEEN | {name: value}, "body": "hi"})


def test_another_body_is_a_difference() -> None:
    assert difference(TABLE, {"seen": SEEN, "body": "ho"}) == "the body was b'ho'"


# -- Cases and page ------------------------------------------------------------------------------------------------


def test_case_names_are_used_once() -> None:
    names = [case.name for case in conformance.all_cases()]
    assert len(set(names)) == len(names)


def test_every_case_has_a_kind_and_a_group() -> None:
    for each in conformance.all_cases():
        assert each.kind in KINDS
        assert each.group != "Others", each.name


def test_every_pattern_of_what_is_left_open_means_some_case() -> None:
    plain = [re.sub(r"/\d+-", "/", found.name) for found in conformance_corpus.cases() if found.group == OPEN_GROUP]
    for patterns in OPEN.values():
        for pattern in patterns.split():
            assert any(conformance_corpus._matches(name, [pattern]) for name in plain), pattern
    assert not is_open("reject/158-field-space-before-colon")


def test_there_are_cases_enough() -> None:
    assert len(conformance_cases.CASES) >= 57
    assert len(conformance_corpus.cases()) >= 500
    assert len(conformance_corpus.cases()) + conformance_corpus.left_out() >= 528


def test_what_a_server_said_is_printable() -> None:
    assert printable("a\r\nb\x1b[31m\u00fc") == "a\\r\\nb\\x1b[31m\u00fc"


def test_the_page_tells_totals_groups_failures_and_who_is_left_out() -> None:
    cases = [case("one"), case("two"), case("three", "accept", "Targets")]
    reasons = {"one": "", "two": "it answered 200", "three": ""}
    trials = [
        Trial(ALL_SERVERS[OURS], reasons),
        Trial(ALL_SERVERS["waitress"], dict.fromkeys(reasons, ""), restarts=2),
        Trial(ALL_SERVERS["bjoern"], left_out="not installed"),
    ]
    page = conformance_page.page(trials, cases, left_out=7)
    assert "| **wsgiserver** | 1 of 1 | 0 of 0 | 1 of 2 | 0 of 0 |" in page
    assert "| PEP 3333: Some | 2 | 1 | 2 |" in page
    assert "- `two` (what two shows): it answered 200." in page
    assert "it died or hung 2 times" in page
    assert "- bjoern: left out: not installed" in page
    assert "7 cases of the corpus" in page


def test_the_page_says_so_when_nothing_failed() -> None:
    page = conformance_page.page([Trial(ALL_SERVERS[OURS], {"one": ""})], [case("one")], left_out=0)
    assert "every case passed" in page


def test_an_unknown_server_ends_with_those_that_are_known() -> None:
    with pytest.raises(SystemExit, match="unknown: apache; known are wsgiserver, "):
        conformance.chosen("apache")


# -- This server ---------------------------------------------------------------------------------------------------


@pytest.mark.skipif(
    not (sys.platform.startswith("linux") and shutil.which("taskset")), reason="needs Linux and taskset (util-linux)"
)
def test_this_server_passes_every_case() -> None:
    """What fails is tried once more: where much else runs, a deadline of the comparison may be too short."""
    cases = conformance.all_cases()
    with Subject(ALL_SERVERS[OURS]) as subject:
        failed = [each for each in cases if judge(each, subject)]
        reasons = {each.name: reason for each in failed if (reason := judge(each, subject))}
        assert subject.restarts == 0
    assert reasons == {}
