"""Whatever a client sends, and however it is cut, reading it costs work in proportion to its octets.

The work is counted, not timed: the calls that the reader makes, the octets that it copies or searches, and the steps
of the patterns. Each case is read in two sizes, of which the second is four times the first. Work in proportion is
then four times as much; work that grows with the square, sixteen times.
"""

import re._parser as parser
import sys
from collections.abc import Callable, Iterator, Sequence
from re._constants import (  # its parser is private, but has been the same for twenty years
    ANY,
    ASSERT_NOT,
    AT,
    AT_BEGINNING,
    BRANCH,
    IN,
    LITERAL,
    MAX_REPEAT,
    MAXREPEAT,
    NEGATE,
    NOT_LITERAL,
    POSSESSIVE_REPEAT,
    RANGE,
    SUBPATTERN,
)
from typing import Any

import pytest
from feeding import Limits

from wsgiserver import grammar, http11
from wsgiserver.http11 import Reader
from wsgiserver.messages import BadRequest

TIMES = 4
# What one and a half times the proportion lets pass: tables that are filled, buffers that grow.
SLACK = 1.5

# -- What the reader does ------------------------------------------------------------------------------------------


class Work:
    """Counts the calls made while it is entered, and the octets that pass through the types below."""

    def __init__(self) -> None:
        self.calls = 0
        self.octets = 0

    def __enter__(self) -> "Work":
        Octets.work = Growing.work = Breaks.work = self
        sys.setprofile(self._note)
        return self

    def __exit__(self, *error: object) -> None:
        sys.setprofile(None)

    def _note(self, frame: object, event: str, argument: object) -> None:
        if event in ("call", "c_call"):
            self.calls += 1


class _Counting:
    """What bytes and bytearray have in common: a slice and a search are counted, each with the octets it touches."""

    work = Work()

    def __getitem__(self, key: Any) -> Any:
        got = super().__getitem__(key)  # type: ignore[misc]
        if not isinstance(key, slice):
            return got
        return type(self)(got)

    def find(self, what: bytes, *place: int) -> int:
        at: int = super().find(what, *place)  # type: ignore[misc]
        self.work.octets += (at if at >= 0 else len(self)) - (place[0] if place else 0)  # type: ignore[arg-type]
        return at

    def __eq__(self, other: object) -> bool:
        if len(self) == len(other):  # type: ignore[arg-type]
            self.work.octets += len(self)  # type: ignore[arg-type]
        return bool(super().__eq__(other))


class Octets(_Counting, bytes):
    """bytes, which counts the octets that are copied into it."""

    __hash__ = bytes.__hash__

    def __new__(cls, data: Any = b"") -> "Octets":
        cls.work.octets += len(data)
        return super().__new__(cls, data)


class Growing(_Counting, bytearray):
    """bytearray, likewise; what is deleted at its beginning costs nothing, and what grows at its end its own length."""

    def __init__(self, data: Any = b"") -> None:
        self.work.octets += len(data)
        super().__init__(data)

    def __add__(self, other: Any) -> "Growing":
        return Growing(bytearray(self) + other)

    def __iadd__(self, other: Any) -> "Growing":  # type: ignore[misc]
        self.work.octets += len(other)
        super().__iadd__(other)
        return self


class Breaks:
    """The pattern for the end of a line, which counts what it goes through."""

    work = Work()

    def search(self, data: Any, start: int) -> Any:
        match = grammar.LINE_BREAK.search(data, start)
        self.work.octets += (match.end() if match else len(data)) - start
        return match


@pytest.fixture
def _counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the reader find the counting types where it looks for its own."""
    monkeypatch.setattr(http11, "bytes", Octets, raising=False)
    monkeypatch.setattr(http11, "bytearray", Growing, raising=False)
    monkeypatch.setattr(http11, "LINE_BREAK", Breaks())


ENDLESS = Limits(limit_line=1 << 30, limit_head=1 << 30, limit_fields=1 << 30, limit_body=1 << 30)


def read(pieces: Sequence[bytes]) -> Work:
    """Let a new reader read the pieces as a connection would; give what it cost."""
    reader = Reader(ENDLESS)
    counted = [Octets(piece) for piece in pieces]
    reading = False
    with Work() as work:
        try:
            for piece in counted:
                reader.receive(piece)
                while reading or reader.read_head() is not None:
                    reading = True
                    if not reader.complete:
                        reader.read_body()
                    if not reader.complete:
                        break
                    reading = False
        except BadRequest:
            pass
    return work


HEAD = b"GET / HTTP/1.1\r\nHost: a\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
UPLOAD = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx"

MESSAGES: dict[str, Callable[[int], bytes]] = {
    "a long target": lambda n: b"GET /" + b"a" * n * 4 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
    "a long field": lambda n: HEAD + b"X: " + b"a" * n * 4 + b"\r\n\r\n",
    "a field without its end": lambda n: HEAD + b"X: " + b"a" * n * 4,
    "many fields": lambda n: HEAD + b"".join(b"X%d: a\r\n" % number for number in range(n)) + b"\r\n",
    "fields without their end": lambda n: HEAD + b"X: a\r\n" * n,
    "escapes in the path": lambda n: b"GET /" + b"%41" * n + b" HTTP/1.1\r\nHost: a\r\n\r\n",
    "a name that ends badly": lambda n: HEAD + b"a" * n + b"@: a\r\n\r\n",
    "a target that ends badly": lambda n: b"GET /" + b"a" * n + b"# HTTP/1.1\r\nHost: a\r\n\r\n",
    "chunks of one byte": lambda n: CHUNKED + b"1\r\nx\r\n" * n + b"0\r\n\r\n",
    "chunks with extensions": lambda n: CHUNKED + b'1;a="b"\r\nx\r\n' * n + b"0\r\n\r\n",
    "trailers": lambda n: CHUNKED + b"0\r\n" + b"X: a\r\n" * n + b"\r\n",
    "a long body": lambda n: b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % (n * 4) + b"x" * n * 4,
    "pipelined requests": lambda n: (HEAD + b"\r\n") * n,
    "pipelined requests that differ": lambda n: b"".join(HEAD + b"X: %d\r\n\r\n" % number for number in range(n)),
    "pipelined uploads": lambda n: UPLOAD * n,
    "pipelined chunks": lambda n: (CHUNKED + b"1\r\nx\r\n0\r\n\r\n") * n,
}


def cut(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


@pytest.mark.usefixtures("_counted")
@pytest.mark.parametrize("size", [1, 1000, 1 << 30], ids=["byte by byte", "by 1000", "in one piece"])
@pytest.mark.parametrize("name", MESSAGES)
def test_reading_costs_work_in_proportion(name: str, size: int) -> None:
    make, few = MESSAGES[name], 400 if size > 1 else 50
    small, large = make(few), make(few * TIMES)
    once, more = read(cut(small, size)), read(cut(large, size))
    proportion = len(large) / len(small) * SLACK
    assert more.calls <= once.calls * proportion
    # Below one read of its own length there is no telling.
    assert more.octets <= max(once.octets, 2 * len(small)) * proportion


@pytest.mark.usefixtures("_counted")
def test_no_octet_is_touched_more_than_a_few_times() -> None:
    """64 KiB of header without its end, in 64 pieces: to search it anew for each would be 32 times."""
    data = HEAD + b"X: " + b"a" * 65536
    assert read(cut(data, 1024)).octets <= 5 * len(data)


# -- What the patterns do ------------------------------------------------------------------------------------------


class Engine:
    """Matches as the engine of ``re`` does, by trying and going back, and counts the characters that it looks at."""

    def __init__(self, pattern: Any) -> None:
        self._nodes = list(parser.parse(pattern.pattern, pattern.flags & ~32))
        self.steps = 0

    def fullmatch(self, text: bytes) -> bool:
        return any(end == len(text) for end in self._sequence(self._nodes, 0, text, 0))

    def _sequence(self, nodes: Any, index: int, text: bytes, at: int) -> Iterator[int]:
        """Give each place where the nodes from ``index`` on can end, the one that is tried first at first."""
        if index == len(nodes):
            yield at
            return
        for middle in self._node(nodes[index], text, at):
            yield from self._sequence(nodes, index + 1, text, middle)

    def _node(self, node: Any, text: bytes, at: int) -> Iterator[int]:
        operation, argument = node
        if operation is SUBPATTERN:
            yield from self._sequence(argument[-1], 0, text, at)
        elif operation is BRANCH:
            for branch in argument[1]:
                yield from self._sequence(branch, 0, text, at)
        elif operation is POSSESSIVE_REPEAT:
            yield from self._run(*argument, text, at)[-1:]
        elif operation is MAX_REPEAT:
            least, most, item = argument
            if most is MAXREPEAT:
                assert len(item) == 1, "a group that is repeated without end must be possessive"
                yield from reversed(self._run(least, most, item, text, at))
            else:
                yield from self._repeat(least, most, item, text, at)
        elif operation is AT:
            assert argument is AT_BEGINNING, "the engine of this test does not know the place"
            self.steps += 1
            if at == 0 or text[at - 1] == 10:
                yield at
        elif operation is ASSERT_NOT:
            direction, inner = argument
            start = at if direction > 0 else at - len(inner)
            if start < 0 or not any(True for _ in self._sequence(inner, 0, text, start)):
                yield at
        else:
            self.steps += 1
            if at < len(text) and _is_one(operation, argument, text[at]):
                yield at + 1

    def _run(self, least: int, most: Any, item: Any, text: bytes, at: int) -> list[int]:
        """Repeat as often as it goes, each time as it is tried first; give the places after ``least`` and more."""
        places = [at]
        while most is MAXREPEAT or len(places) <= most:
            end = next(self._sequence(item, 0, text, places[-1]), None)
            if end is None or end == places[-1]:
                break
            places.append(end)
        return places[least:]

    def _repeat(self, least: int, most: int, item: Any, text: bytes, at: int) -> Iterator[int]:
        if most:
            for end in self._sequence(item, 0, text, at):
                yield from self._repeat(max(least - 1, 0), most - 1, item, text, end)
        if not least:
            yield at


def _is_one(operation: Any, argument: Any, character: int) -> bool:
    if operation is LITERAL:
        return bool(character == argument)
    if operation is NOT_LITERAL:
        return bool(character != argument)
    if operation is ANY:
        return character != 10
    if operation is RANGE:
        return bool(argument[0] <= character <= argument[1])
    assert operation is IN, f"the engine of this test does not know {operation}"
    negated = argument[0][0] is NEGATE
    return negated is not any(_is_one(*each, character) for each in argument[negated:])


# Begin, what is repeated, end: what makes patterns go back, or makes the last byte spoil everything.
NASTY = [
    (b"", b"a", b""),
    (b"", b"a", b"\0"),
    (b"a:", b" ", b"\0"),
    (b"a:", b" \t", b"b"),
    (b"a: ", b"b ", b"\x7f"),
    (b"1", b" ", b"x"),
    (b"1", b" ;a", b" "),
    (b"1", b";a=b", b";"),
    (b"1", b"; a = b", b"="),
    (b'1;a="', b"a", b""),
    (b'1;a="', b'\\"', b""),
    (b'1;a="', b"\\\\", b'"x'),
    (b"1", b';a=""', b'"'),
    (b"gzip", b" ;\ta\t=b", b" "),
    (b'gzip;a="', b"\\a", b""),
    (b"", b"%41", b""),
    (b"", b"%41", b"%4"),
    (b"", b"a.", b":x"),
    (b"a:", b"1", b"x"),
    (b"", b":", b""),
    (b"[", b"a:", b"]"),
    (b"[", b"1:", b":1.1.1.1"),
    (b"[::", b"1.", b"]"),
    (b"[v", b"a", b"]"),
    (b"[v1.", b"a", b""),
    (b"[v1.", b":", b"]x"),
    (b"http", b"+", b":/"),
    (b"http://", b"a", b"?"),
    (b"http://a/", b"?", b"\n"),
    (b"GET ", b"/", b" HTTP/1"),
    (b"", b"GET ", b"HTTP/1.1"),
    (b"GET /", b" ", b"HTTP/1.1"),
    (b"a:", b" ", b"\r\n"),
    (b"a: ", b"b ", b"\r"),
    (b"", b"a", b":\r\n"),
]

# FIELD_LINES is searched for, but is tried once a line only, for it begins with one.
PATTERNS = (
    *("REQUEST_LINE", "FIELD_LINE", "FIELD_LINES", "CHUNK_LINE"),
    *("TRANSFER_CODING", "NAMED_HOST", "literal_host", "ABSOLUTE_FORM", "DIGITS"),
)


@pytest.mark.parametrize("name", PATTERNS)
def test_matching_takes_steps_in_proportion(name: str) -> None:
    pattern = getattr(grammar, name)
    pattern = pattern() if callable(pattern) else pattern
    for begin, repeated, end in NASTY:
        steps = []
        for count in (100, 100 * TIMES):
            text = begin + repeated * count + end
            engine = Engine(pattern)
            subject = text if isinstance(pattern.pattern, bytes) else text.decode("latin-1")
            assert engine.fullmatch(text) is (pattern.fullmatch(subject) is not None)
            steps.append(engine.steps)
        assert steps[1] <= (steps[0] + 20) * TIMES * SLACK, (begin, repeated, end)
        assert steps[1] <= 10 * (len(text) + 20), (begin, repeated, end)


@pytest.mark.parametrize("name", ["LINE_BREAK", "BROKEN_ESCAPE"])
def test_patterns_that_are_searched_for_are_short(name: str) -> None:
    """They are tried at every place, so each try must cost the same."""
    width = parser.parse(getattr(grammar, name).pattern).getwidth()[1]
    assert width <= 3


def test_the_counting_engine_sees_a_pattern_that_goes_back() -> None:
    """Else the tests above would show nothing."""
    import re

    steps = []
    for count in (100, 100 * TIMES):
        engine = Engine(re.compile(b"a+a+b"))
        assert not engine.fullmatch(b"a" * count)
        steps.append(engine.steps)
    assert steps[1] > steps[0] * TIMES * SLACK
