"""Properties of the reader, with Hypothesis: whatever the bytes and however they are cut, requests or BadRequest.

And of the writer: what it writes is read back as the same.

As a program it is the long run of ``make fuzz``: ``python tests/test_reader_properties.py 600`` tries inputs for 600
seconds, some drawn by Hypothesis and more by changing cases of the corpus, and prints how many it tried.
"""

import random
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from clients import GET, answering
from feeding import Limits, Outcome, Seen, bytewise, cut, feed, one, whole
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from talking import talk

from wsgiserver.http11 import Reader
from wsgiserver.messages import BadRequest

CORPUS = sorted((Path(__file__).parent / "corpus").glob("*/*.http"))
SEEDS = [path.read_bytes() for path in CORPUS]
STATUSES = {400, 413, 414, 417, 431, 501, 505}

# What requests, good and bad, are made of.
PIECES = [
    *(b"GET", b"POST", b"OPTIONS", b"CONNECT", b" ", b"/", b"*", b"?", b"#", b"%41", b"%4", b"http://a", b"@"),
    *(b"HTTP/1.1", b"HTTP/1.0", b"HTTP/2.0", b"HTTP/1.2", b"[::1]", b":", b","),
    *(b"\r\n", b"\r\n\r\n", b"\r", b"\n", b"\0", b"\t", b"\x7f", b"\x85", b"\xa0"),
    *(b"Host: a", b"Host:", b"Content-Length: ", b"Transfer-Encoding: chunked", b"Transfer-Encoding: gzip"),
    *(b"Content-Type: a/b", b"Expect: 100-continue", b"Connection: close", b"X-Y: z", b"X_Y: z", b"Proxy: a"),
    *(b"0", b"1", b"5", b"a", b"f", b"00000000", b"hello", b"chunked", b"0\r\n\r\n", b"5\r\nhello\r\n"),
    *(b";", b"=", b'"', b"\\", b";a=b", b"GET / HTTP/1.1\r\n", b"GET / HTTP/1.1\r\nHost: a\r\n"),
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
]


# -- Inputs --------------------------------------------------------------------------------------------------------


def mutate(data: bytes, rng: random.Random) -> bytes:
    """Change a few places: cut out, double, put something in, exchange a byte, go on as another seed."""
    for _ in range(rng.randint(1, 4)):
        start = rng.randint(0, len(data))
        end = min(len(data), start + rng.choice((1, 1, 2, 4, 16)))
        change = rng.randrange(5)
        if change == 0:
            data = data[:start] + data[end:]
        elif change == 1:
            data = data[:end] + data[start:]
        elif change == 2:
            data = data[:start] + rng.choice(PIECES) + data[start:]
        elif change == 3:
            data = data[:start] + bytes((rng.randrange(256),)) + data[start + 1 :]
        else:
            other = rng.choice(SEEDS)
            data = data[:start] + other[rng.randint(0, len(other)) :]
    return data


def soups() -> st.SearchStrategy[bytes]:
    piece = st.one_of(st.sampled_from(PIECES), st.binary(max_size=3))
    return st.lists(piece, max_size=25).map(b"".join)


def mutants() -> st.SearchStrategy[bytes]:
    return st.builds(mutate, st.sampled_from(SEEDS), st.randoms(use_true_random=False))


def inputs() -> st.SearchStrategy[bytes]:
    """Anything at all, what is made of a request's pieces, and good requests changed a little."""
    return st.one_of(st.binary(max_size=200), soups(), mutants(), st.lists(mutants(), max_size=3).map(b"".join))


def limits() -> st.SearchStrategy[Limits]:
    low = st.builds(Limits, st.integers(14, 60), st.integers(0, 120), st.integers(0, 4), st.integers(0, 12))
    return st.one_of(st.just(Limits()), low)


def places() -> st.SearchStrategy[list[int]]:
    return st.lists(st.integers(1, 200), max_size=6)


# -- Whatever the bytes --------------------------------------------------------------------------------------------


def check(data: bytes, bounds: Limits, at: list[int]) -> None:
    """Feed the bytes in four ways; anything but a request or a BadRequest comes out as an error of the test."""
    expected = feed(whole(data), bounds)
    pieces = cut(data, at)
    assert feed(bytewise(data), bounds) == expected
    assert feed(pieces, bounds) == expected
    if pieces:
        assert feed(pieces, bounds, late=True) == expected


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(inputs(), limits(), places())
@example(b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\nX@Y: 1\r\n\r\n", Limits(), [])
def test_whatever_the_bytes_and_the_cuts_the_outcome_is_the_same(data: bytes, bounds: Limits, at: list[int]) -> None:
    check(data, bounds, at)


def read_all(data: bytes, bounds: Limits, reader: Reader | None = None) -> BadRequest | None:
    """Take all from a reader that is there, and give the error that ended it."""
    reader = reader or Reader(bounds)
    reader.receive(data)
    try:
        while reader.complete and reader.read_head() is not None:
            while reader.read_body():
                pass
    except BadRequest as error:
        return error
    return None


@settings(deadline=None)
@given(inputs(), limits())
def test_an_error_can_be_shown_to_people(data: bytes, bounds: Limits) -> None:
    """The status is one of the contract's, the reason one plain line, the offset within the line or right behind it."""
    error = read_all(data, bounds)
    if error is not None:
        assert error.status in STATUSES
        assert error.reason
        assert error.reason.isprintable()
        assert re.fullmatch(r"RFC \d{4} section \d+(\.\d+)*", error.section)
        assert -1 <= error.at <= len(error.line)


@settings(deadline=None)
@given(inputs(), places())
def test_pieces_without_bytes_change_nothing(data: bytes, at: list[int]) -> None:
    spaced = [piece for part in cut(data, at) for piece in (b"", part, b"")]
    assert feed([b"", *spaced]) == feed(whole(data))


@settings(deadline=None)
@given(mutants(), limits())
def test_asking_again_without_new_bytes_gives_nothing_new(data: bytes, bounds: Limits) -> None:
    reader = Reader(bounds)
    if read_all(data, bounds, reader) is None:
        if reader.complete:
            assert reader.read_head() is None
        else:
            assert reader.read_body() == b""
            assert not reader.complete


@settings(deadline=None)
@given(mutants(), mutants())
def test_one_reader_does_not_touch_another(first: bytes, second: bytes) -> None:
    """What readers share (the table of known lines) changes no verdict."""
    expected = feed(whole(second))
    feed(whole(first))
    assert feed(whole(second)) == expected


# -- Good requests -------------------------------------------------------------------------------------------------

TOKEN = st.from_regex(r"[!#$%&'*+\-.^`|~0-9A-Za-z]{1,12}", fullmatch=True)
TEXT = st.characters(max_codepoint=255, exclude_categories=["Cc"]) | st.sampled_from("\t\x80\x85\x9f")
VALUE = st.text(TEXT, max_size=20).map(lambda text: text.strip(" \t"))
SPACE = st.text(" \t", max_size=2)
# These decide something; fields drawn at random must not.
MEANT = {"host", "content-length", "transfer-encoding", "content-type", "expect", "proxy"}
NAME = TOKEN.filter(lambda name: name.lower() not in MEANT)
TARGET = st.from_regex(
    r"/(?:[A-Za-z0-9/._~!$&'()*+,;=:@\x80-\xff-]|%[0-9A-Fa-f]{2}){0,20}(?:\?[A-Za-z0-9/?=&]{0,10})?", fullmatch=True
)
EXTENSION = st.sampled_from(["", ";a", ";a=b", ';a="b;c\\"d"', " ; a = b"])


@st.composite
def field_lines(draw: st.DrawFn) -> tuple[bytes, tuple[tuple[str, str], ...]]:
    pairs = draw(st.lists(st.tuples(NAME, VALUE), max_size=4))
    lines = (f"{name}:{draw(SPACE)}{value}{draw(SPACE)}\r\n" for name, value in pairs)
    return "".join(lines).encode("latin-1"), tuple(pairs)


@st.composite
def bodies(draw: st.DrawFn, minor: int) -> tuple[list[tuple[str, str]], bytes, bytes, tuple[tuple[str, str], ...]]:
    """Draw the fields that frame a body, its bytes on the wire, its bytes decoded, its trailers."""
    chunks = draw(st.lists(st.binary(min_size=1, max_size=20), max_size=4))
    body = b"".join(chunks)
    framing = draw(st.sampled_from(["none", "length", "chunked"] if minor else ["none", "length"]))
    if framing == "none":
        return [], b"", b"", ()
    if framing == "length":
        return [("Content-Length", str(len(body)))], body, body, ()
    wire = b"".join(b"%x%b\r\n%b\r\n" % (len(data), draw(EXTENSION).encode(), data) for data in chunks)
    raw, trailers = draw(field_lines())
    return [("Transfer-Encoding", "chunked")], wire + b"0\r\n" + raw + b"\r\n", body, trailers


@st.composite
def requests(draw: st.DrawFn) -> tuple[bytes, Seen]:
    """Draw a good request: its bytes, and what the reader must make of them."""
    method = draw(TOKEN.filter(lambda token: token != "CONNECT"))
    target = draw(TARGET)
    minor = draw(st.sampled_from([0, 1, 1]))
    framing, wire, body, trailers = draw(bodies(minor))
    raw, pairs = draw(field_lines())
    known = [("Host", "example.com"), *framing]
    head = f"{method} {target} HTTP/1.{minor}\r\n" + "".join(f"{name}: {value}\r\n" for name, value in known)
    empty = draw(st.sampled_from([b"", b"", b"\r\n", b"\r\n\r\n"]))
    data = empty + head.encode("latin-1") + raw + b"\r\n" + wire
    return data, Seen(method, target, minor, (*known, *pairs), body, trailers)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.lists(requests(), min_size=1, max_size=4), places())
def test_good_requests_are_read_as_they_were_meant(drawn: list[tuple[bytes, Seen]], at: list[int]) -> None:
    data = b"".join(raw for raw, _ in drawn)
    expected = Outcome(tuple(request for _, request in drawn))
    assert feed(whole(data)) == expected
    assert feed(bytewise(data)) == expected
    assert feed(cut(data, at)) == expected


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(requests(), st.data())
def test_a_good_request_that_is_cut_off_is_neither_whole_nor_wrong(drawn: tuple[bytes, Seen], data: Any) -> None:
    raw, _ = drawn
    outcome = feed(whole(raw[: data.draw(st.integers(0, len(raw) - 1))]))
    assert outcome.requests == ()
    assert outcome.error is None


# -- What the writer writes ----------------------------------------------------------------------------------------

# The server's own to say, or about the framing.
SERVERS = MEANT | {"connection", "keep-alive", "te", "trailer", "upgrade", "date", "server"}
HEADER_NAME = TOKEN.filter(lambda name: name.lower() not in SERVERS and not name.lower().startswith("proxy-"))


@settings(deadline=None)
@given(
    st.lists(st.tuples(HEADER_NAME, VALUE), max_size=4),
    st.lists(st.binary(min_size=1, max_size=40), max_size=4),
    st.booleans(),
)
def test_what_the_writer_writes_is_read_back_as_the_same(
    headers: list[tuple[str, str]], chunks: list[bytes], streamed: bool
) -> None:
    """By http.client, and by the project's own reader, for which the response is dressed as a request."""
    talked = talk(GET, answering(iter(chunks) if streamed else chunks, *headers))
    response = talked.response()
    assert response.headers[: len(headers)] == headers
    assert response.body == b"".join(chunks)
    _, _, rest = talked.sent.partition(b"\r\n")
    request = one(b"POST / HTTP/1.1\r\nHost: example.com\r\n" + rest)
    assert request.fields[1 : len(headers) + 1] == tuple(headers)
    assert request.body == b"".join(chunks)


# -- The long run --------------------------------------------------------------------------------------------------


def batches(seconds: float) -> Iterator[int]:
    """Try inputs until the seconds are over; give how many each batch tried."""
    end = time.monotonic() + seconds
    tried = 0

    def count(data: bytes, bounds: Limits, at: list[int]) -> None:
        nonlocal tried
        tried += 1
        check(data, bounds, at)

    rng = random.Random()
    low = (Limits(40, 100, 3, 12), Limits(14, 20, 1, 5), Limits(), Limits())
    while time.monotonic() < end:
        tried = 0
        drawn = given(inputs(), limits(), places())(count)
        settings(max_examples=500, deadline=None, database=None, suppress_health_check=list(HealthCheck))(drawn)()
        for _ in range(5000):
            data = mutate(rng.choice(SEEDS), rng)
            count(data, rng.choice(low), rng.sample(range(1, 200), 2))
        yield tried


def fuzz(seconds: float) -> None:
    total = 0
    shown = started = time.monotonic()
    for tried in batches(seconds):
        total += tried
        if time.monotonic() - shown > 10:
            shown = time.monotonic()
            print(f"{total:,} inputs in {shown - started:.0f} s", flush=True)
    print(f"{total:,} inputs in {time.monotonic() - started:.0f} s, each fed in four ways: nothing found.")


if __name__ == "__main__":
    fuzz(float(sys.argv[1]) if len(sys.argv) > 1 else 60.0)
