"""Heads that are like the one before: what a reader fills in must be what it would have parsed.

A reader that has seen some heads and one that has seen none are given the same head; nobody may be able to tell them
apart by the request, its environ or the refusal.
"""

import io
import sys
from typing import Any

import pytest
from feeding import DEFAULTS, Limits
from hypothesis import example, given, settings
from hypothesis import strategies as st

from wsgiserver.environ import base_environ, make_environ
from wsgiserver.forms import RecentHeads, make_form
from wsgiserver.http11 import LONG_HEAD, MISFITS, Reader
from wsgiserver.memory import MemoryStream
from wsgiserver.messages import BadRequest, Request
from wsgiserver.settings import Settings
from wsgiserver.site import Site

LINES = (
    "GET /users/{n}/orders?page={n} HTTP/1.1",
    "Host: example.org",
    "User-Agent: Mozilla/5.0",
    "Accept: */*",
    "Cookie: theme=dark; session={n}",
    "X-Request-ID: 7d1f-{n}",
    "X-Forwarded-For: 203.0.113.7, 10.0.0.{n}",
)


def head(number: int = 1, *changes: tuple[int, str], lines: tuple[str, ...] = LINES) -> bytes:
    """Make a head with this number in its blanks, some of its lines changed."""
    made = [line.replace("{n}", str(number)) for line in lines]
    for index, line in changes:
        made[index] = line
    return ("\r\n".join(made) + "\r\n\r\n").encode("latin-1")


def outcome(reader: Reader, data: bytes) -> Any:
    """Give all that can be seen of a head, or of its refusal."""
    try:
        request = reader.read_head(data)
    except BadRequest as bad:
        return bad.status, str(bad), bad.line, bad.at, reader.asked
    if request is None:
        return None
    while not reader.complete and reader.read_body():
        pass
    site = Site(lambda environ, start_response: [], Settings(), sys.stderr)
    environ = make_environ(base_environ(site, "example.org", "80"), request, MemoryStream(), io.BytesIO())
    comparable = {key: value for key, value in environ.items() if not key.startswith("wsgi")}
    fields = request.fields
    options = [getattr(fields, name) for name in ("content_length", "close", "keep_alive", "expect")]
    framing = [getattr(request, name) for name in ("has_body", "chunked", "content_length", "expects_continue")]
    return (
        [request.method, request.target, request.path, request.query, request.authority, request.minor],
        [request.plain, request.keep_alive, fields.host, fields.block, fields.pairs, options, framing],
        list(fields.variables.items()),
        comparable,
    )


def read(reader: Reader, data: bytes) -> Request:
    request = reader.read_head(data)
    assert request is not None
    return request


def used() -> Reader:
    """Give a reader that has a form."""
    reader = Reader(DEFAULTS)
    for number in (1, 2, 3):
        read(reader, head(number))
    return reader


def test_a_head_like_those_before_is_filled_in() -> None:
    request = read(used(), head(4))
    assert request.like is not None
    assert outcome(used(), head(4)) == outcome(Reader(DEFAULTS), head(4))


CHANGES = (
    (),
    # Targets.
    *[((0, f"GET {target} HTTP/1.1"),) for target in ("/", "/?", "/a?b?c", "/%41%2f%e4", "//x", "/a:b", "/\xe4", "*")],
    *[((0, f"GET {target} HTTP/1.1"),) for target in ("http://other/", "/%4", "/a#b", "/a b", "/\t", "/\x7f", "", "a")],
    # Request lines.
    *[
        ((0, f"{line}"),)
        for line in ("GET / HTTP/1.0", "POST / HTTP/1.1", "GET / HTTP/2.0", "GET  / HTTP/1.1", "GET /")
    ],
    ((0, "GET / HTTP/1.1 HTTP/1.1"),),
    ((0, " GET / HTTP/1.1"),),
    # Values.
    *[((4, f"Cookie:{value}"),) for value in ("", " ", "x", "  x", " x ", " x\t", "\tx", " a\tb", " \xe4", " \x80")],
    *[((4, f"Cookie:{value}"),) for value in (" \x00", " \x7f", " a\rb", " a\nb", " a\r\n b", " a\r\nB: c", " : ")],
    # Names.
    *[((4, f"{name}: x"),) for name in ("cookie", "Cookie ", " Cookie", "Cookies", "X_Y", "Accept", "Proxy", "")],
    # What decides the framing.
    ((1, "Host: other.org"),),
    ((1, "Host: b a d"),),
    ((3, "Host: example.org"),),
    ((5, "Content-Length: 5"),),
    ((5, "Transfer-Encoding: chunked"),),
    ((5, "Connection: close"),),
    ((5, "Expect: 100-continue"),),
    ((6, "X-Forwarded-For: 1.2.3.4\r\nContent-Length: 5"),),
    ((5, "X-Request-ID: 1"), (6, "X-Request-ID: 2")),
)


@pytest.mark.parametrize("changes", CHANGES)
@pytest.mark.parametrize("before", [1, 2, 3, 5])
def test_a_reader_that_has_seen_like_heads_reads_as_one_that_has_seen_none(before: int, changes: Any) -> None:
    reader = Reader(DEFAULTS)
    for number in range(before):
        read(reader, head(number))
    for data in (head(7, *changes), head(8, *changes)):
        expected = outcome(Reader(DEFAULTS), data)
        assert outcome(reader, data) == expected
        if len(expected) == 5 or not reader.complete:
            break  # a reader that has refused is spent, and one that waits for a body reads no head


@pytest.mark.parametrize(
    ("line", "lines"),
    [
        ("Content-Length: 0", LINES),
        ("Connection: close", LINES),
        ("Connection: keep-alive", ("GET /{n} HTTP/1.0", *LINES[1:])),
        ("Expect: 100-continue", LINES),
    ],
)
def test_options_that_stay_the_same_are_told_of_each_request(line: str, lines: tuple[str, ...]) -> None:
    reader = Reader(DEFAULTS)
    for number in range(4):
        data = head(number, lines=(*lines, line))
        assert outcome(reader, data) == outcome(Reader(DEFAULTS), data)
    request = read(reader, head(5, lines=(*lines, line)))
    assert request.like is not None


@pytest.mark.parametrize("framing", ["Content-Length: 5", "Transfer-Encoding: chunked"])
def test_bodies_follow_heads_that_are_filled_in(framing: str) -> None:
    reader = Reader(DEFAULTS)
    body = b"hello" if "5" in framing else b"5\r\nhello\r\n0\r\n\r\n"
    lines = ("POST /{n} HTTP/1.1", *LINES[1:], framing)
    for number in range(5):
        request = read(reader, head(number, lines=lines) + body)
        assert not reader.complete
        assert reader.read_body() == b"hello"
        assert reader.complete
    assert request.like is not None


def test_a_blank_that_is_no_more_changed_stays_one() -> None:
    """Else a field that differs now and then would be parsed each time that it does."""
    reader = Reader(DEFAULTS)
    for number, agent in enumerate("aabbc"):
        read(reader, head(number, (2, f"User-Agent: {agent}")))
    for number, agent in enumerate("cdc", 10):
        assert read(reader, head(number, (2, f"User-Agent: {agent}"))).like is not None
    assert read(reader, head(20, (4, "Cookie: the same"))).like is not None


def test_one_head_of_another_kind_does_not_lose_the_form() -> None:
    reader = used()
    assert read(reader, head(4, lines=LINES[:3])).like is None
    assert read(reader, head(5)).like is not None


def test_no_forms_are_made_for_a_client_that_changes_more_than_values(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []

    def note(*arguments: Any) -> Any:
        made.append(arguments)
        return make_form(*arguments)

    monkeypatch.setattr("wsgiserver.http11.make_form", note)
    reader = Reader(DEFAULTS)
    for number in range(10 * MISFITS):
        read(reader, head(number, (6, f"X-{number}: 1")))
    assert len(made) == MISFITS - 1


def test_a_form_that_does_not_fit_any_more_is_given_up() -> None:
    reader = used()
    for number in range(MISFITS + 1):
        read(reader, head(number, (6, f"X-{number}: 1")))
    assert read(reader, head(5)).like is None
    assert reader._form is None


def test_a_long_head_is_not_remembered_though_it_fits() -> None:
    """It would cost three times its size for as long as the connection lasts."""
    reader = used()
    assert read(reader, head(4, (4, "Cookie: " + "x" * LONG_HEAD))).like is not None
    assert len(reader._head) <= LONG_HEAD
    assert outcome(reader, head(5)) == outcome(Reader(DEFAULTS), head(5))


def test_a_body_that_is_too_large_is_held_against_its_own_request() -> None:
    """Also where the head was found among those that came lately, behind another on the same connection."""
    recent = RecentHeads()
    large = b"POST /upload HTTP/1.1\r\nHost: h\r\nContent-Length: 11\r\n\r\n"
    other = b"HEAD /other HTTP/1.1\r\nHost: h\r\nCookie: " + b"x" * LONG_HEAD + b"\r\n\r\n"
    for before in (b"", b"", b"", other):
        reader = Reader(Limits(limit_body=10), recent)
        if before:
            read(reader, before)
        with pytest.raises(BadRequest):
            reader.read_head(large)
        assert isinstance(reader.asked, Request)
        assert (reader.asked.method, reader.asked.target) == ("POST", "/upload")


def test_a_head_that_came_once_is_forgotten_behind_many_others() -> None:
    """No client can have the server keep more of them."""
    recent = RecentHeads()
    asked = read(Reader(DEFAULTS), head(0))
    for number in [*range(RecentHeads.HASHES + 1), 0]:
        recent.note(head(number), asked)
    assert recent.get(head(0)) is None
    recent.note(head(0), asked)
    assert recent.get(head(0)) == (head(0), asked)


def test_a_head_that_came_more_than_once_is_forgotten_behind_many_such_others() -> None:
    recent = RecentHeads()
    for number in range(RecentHeads.HEADS + 1):
        asked = read(Reader(DEFAULTS), head(number))
        for _ in range(2):
            recent.note(head(number), asked)
    assert recent.get(head(0)) is None
    assert recent.get(head(RecentHeads.HEADS)) is not None


def test_a_form_is_forgotten_while_a_client_rests() -> None:
    reader = used()
    reader.forget()
    assert read(reader, head(4)).like is None
    assert read(reader, head(5)).like is None


def test_a_head_over_a_limit_is_refused_though_it_fits() -> None:
    reader = used()
    data = head(4, (4, "Cookie: " + "x" * DEFAULTS.limit_head))
    assert outcome(reader, data)[0] == 431
    reader = used()
    data = head(4, (0, "GET /" + "x" * DEFAULTS.limit_line + " HTTP/1.1"))
    assert outcome(reader, data)[0] == 414


# What may stand anywhere, and what would do harm where it may not.
ODD = st.sampled_from(
    ["\r\n", "\r", "\n", " ", "\t", ":", "%", "#", "\x00", "\x7f", "\xe4", "/", "?", "HTTP/1.1", "a: b"]
)
TEXT = st.lists(ODD | st.text("abc019-", max_size=4), max_size=5).map("".join)
CHANGED = st.tuples(st.integers(0, len(LINES) - 1), st.integers(0, 40), st.integers(0, 3), TEXT)


def edited(number: int, edits: list[tuple[int, int, int, str]]) -> bytes:
    """Make a head in some of whose lines some characters are replaced by others."""
    changes = []
    for index, at, size, text in edits:
        line = LINES[index].replace("{n}", str(number))
        changes.append((index, line[:at] + text + line[at + size :]))
    return head(number, *changes)


@settings(max_examples=600)
@given(st.lists(st.lists(CHANGED, max_size=2), min_size=1, max_size=8))
@example([[], [], [], [(4, 8, 0, " x\r\nA: b")]])
def test_whatever_came_before_a_head_is_read_in_the_same_way(heads: list[Any]) -> None:
    reader = Reader(DEFAULTS)
    for number, edits in enumerate(heads):
        data = edited(number, edits)
        if data.index(b"\r\n\r\n") != len(data) - 4:
            continue
        expected = outcome(Reader(DEFAULTS), data)
        assert outcome(reader, data) == expected
        if expected is None or len(expected) == 5 or not reader.complete:
            break
