"""Feeds bytes to a reader, cut in any way, and gives what it saw; the tests of the protocol compare that."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

from wsgiserver.http11 import Reader
from wsgiserver.messages import BadRequest, Request

Pairs = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Limits:
    """The four limits that the reader asks for, with the defaults of the settings."""

    limit_line: int = 16 * 1024
    limit_head: int = 64 * 1024
    limit_fields: int = 100
    limit_body: int = 1024 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Seen:
    """One request as the reader gave it."""

    method: str
    target: str
    minor: int
    fields: Pairs
    body: bytes = b""
    trailers: Pairs = ()


@dataclass(frozen=True, slots=True)
class Refusal:
    """What a ``BadRequest`` tells the client."""

    status: int
    reason: str
    section: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """All that became of some bytes: the whole requests, the one that is not whole, the error that ended it."""

    requests: tuple[Seen, ...]
    unfinished: Seen | None = None
    error: Refusal | None = None


DEFAULTS = Limits()


def feed(pieces: Iterable[bytes], limits: Limits = DEFAULTS, *, late: bool = False) -> Outcome:
    """Give the pieces to a new reader, and take from it all that it has: after each piece, or (late) after the last."""
    reader = Reader(limits)
    if late:
        *first, last = pieces
        for piece in first:
            reader.receive(piece)
        pieces = [last]
    requests: list[Seen] = []
    request: Request | None = None
    body = bytearray()
    try:
        for piece in pieces:
            reader.receive(piece)
            while True:
                if request is None:
                    request = reader.read_head()
                    body.clear()
                    if request is None:
                        break
                while data := reader.read_body():
                    body += data
                if not reader.complete:
                    break
                trailers = reader.trailers if request.chunked else ()
                requests.append(seen(request, bytes(body), trailers))
                request = None
    except BadRequest as error:
        # How much of a body that goes wrong was given before is left open.
        unfinished = seen(request) if request is not None else None
        return Outcome(tuple(requests), unfinished, Refusal(error.status, error.reason, error.section))
    return Outcome(tuple(requests), seen(request, bytes(body)) if request is not None else None)


def seen(request: Request, body: bytes = b"", trailers: Iterable[tuple[str, str]] = ()) -> Seen:
    fields = request.fields.pairs
    return Seen(request.method, request.target, request.minor, fields, body, tuple(trailers))


def whole(data: bytes) -> list[bytes]:
    return [data]


def bytewise(data: bytes) -> list[bytes]:
    return [data[at : at + 1] for at in range(len(data))]


def splits(data: bytes) -> Iterator[list[bytes]]:
    """Cut the bytes in two, at every place."""
    return ([data[:at], data[at:]] for at in range(1, len(data)))


def cut(data: bytes, places: Iterable[int]) -> list[bytes]:
    """Cut the bytes at all of these places (those beyond their end do nothing)."""
    edges = [0, *sorted(set(places)), len(data)]
    return [data[start:end] for start, end in pairwise(edges) if start < end]


def one(data: bytes, limits: Limits = DEFAULTS) -> Seen:
    """Give the only request of bytes that are one whole request."""
    outcome = feed([data], limits)
    assert outcome == feed(bytewise(data), limits)
    assert outcome.error is None, outcome.error
    assert outcome.unfinished is None, "the request is not whole"
    (request,) = outcome.requests
    return request


def refusal(data: bytes, limits: Limits = DEFAULTS) -> Refusal:
    """Give the error of bytes whose first request is refused."""
    outcome = feed([data], limits)
    assert outcome == feed(bytewise(data), limits)
    assert outcome.requests == ()
    assert outcome.error is not None, "the request was not refused"
    return outcome.error
