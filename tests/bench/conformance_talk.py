"""One connection to a server under test: takes raw bytes, gives answers, read strictly; the checks judge them."""

from __future__ import annotations

import contextlib
import re
import socket
import struct
import time
from dataclasses import dataclass

from .servers import HOST

DEADLINE = 1.0
"""Seconds that a server has to answer, from the connection on."""

Fields = list[tuple[str, str]]

_STATUS_LINE = re.compile(rb"HTTP/1\.([0-9]) ([1-5][0-9]{2})(?: ([^\r\n]*))?")
_FIELD_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\r\n\0]*?)[ \t]*")
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]+)[ \t]*(?:;[^\r\n]*)?")


class Failed(Exception):
    """The server did not pass; the message says what it did."""


class Late(Failed):
    """The deadline passed: on a busy machine that may not be the server's fault, so the case is tried once more."""


def expect(condition: object, reason: str) -> None:
    """Raise Failed with the reason when the condition does not hold."""
    if not condition:
        raise Failed(reason)


@dataclass(slots=True)
class Answer:
    """One response as a strict client reads it."""

    minor: int
    status: int
    reason: str
    fields: Fields
    body: bytes = b""
    complete: bool = True
    """False: the connection ended before the body did."""

    def all(self, name: str) -> list[str]:
        return [value for other, value in self.fields if other.lower() == name]

    @property
    def closes(self) -> bool:
        """Whether the server says, or HTTP/1.0 has it, that no other answer follows."""
        options = ",".join(self.all("connection")).lower()
        return "close" in options or (self.minor == 0 and "keep-alive" not in options)


def parse(data: bytes, method: str, ended: bool) -> tuple[Answer, bytes] | None:
    """Read the first answer; give it and the bytes behind it, or None when more bytes are needed.

    ``method`` is the request's; ``ended`` tells that no more bytes will come. Raises Failed when it is no HTTP/1.x.
    """
    head, separator, rest = data.partition(b"\r\n\r\n")
    if not separator:
        expect(not (ended and data), f"what it sent is no whole head: {data[:80]!r}")
        return None
    answer = _head(head)
    if method == "HEAD" or answer.status < 200 or answer.status in (204, 304):
        return answer, rest
    if answer.all("transfer-encoding"):
        return _chunked(answer, rest, ended)
    if lengths := answer.all("content-length"):
        expect(len(lengths) == 1 and lengths[0].isdecimal(), f"its Content-Length is {', '.join(lengths)}")
        return _sized(answer, rest, int(lengths[0]), ended)
    answer.body = rest
    return (answer, b"") if ended else None


def _head(head: bytes) -> Answer:
    first, *lines = head.split(b"\r\n")
    start = _STATUS_LINE.fullmatch(first)
    if start is None:
        raise Failed(f"this is no status line: {first[:80]!r}")
    answer = Answer(int(start[1]), int(start[2]), (start[3] or b"").decode("latin-1"), [])
    for line in lines:
        field = _FIELD_LINE.fullmatch(line)
        if field is None:
            raise Failed(f"this is no field line: {line[:80]!r}")
        answer.fields.append((field[1].decode(), field[2].decode("latin-1")))
    return answer


def _sized(answer: Answer, rest: bytes, length: int, ended: bool) -> tuple[Answer, bytes] | None:
    answer.body, answer.complete = rest[:length], len(rest) >= length
    return (answer, rest[length:]) if answer.complete or ended else None


def _chunked(answer: Answer, rest: bytes, ended: bool) -> tuple[Answer, bytes] | None:
    codings = ", ".join(answer.all("transfer-encoding"))
    expect(codings.lower() == "chunked", f"its Transfer-Encoding is {codings}")
    expect(not answer.all("content-length"), "it sent both Transfer-Encoding and Content-Length")
    while b"\r\n" in rest:
        line, _, behind = rest.partition(b"\r\n")
        size = _CHUNK_SIZE.fullmatch(line)
        if size is None:
            raise Failed(f"this is no chunk size: {line[:80]!r}")
        length = int(size[1], 16)
        if not length:
            _, whole, left = (b"\r\n" + behind).partition(b"\r\n\r\n")
            if not whole:
                break
            return answer, left
        if len(behind) < length + 2:
            answer.body += behind[:length]
            break
        expect(behind[length : length + 2] == b"\r\n", "a chunk does not end with CR LF")
        answer.body += behind[:length]
        rest = behind[length + 2 :]
    answer.complete = False
    return (answer, b"") if ended else None


class Talk:
    """A connection; a context manager. Whatever waits raises Late at the deadline."""

    def __init__(self, port: int, deadline: float = DEADLINE) -> None:
        self._until = time.monotonic() + deadline
        self._socket = socket.create_connection((HOST, port), timeout=deadline)
        self.port = int(self._socket.getsockname()[1])
        self.received = b""
        """All that came; `unread` is what is left of it."""
        self.unread = b""
        self.ended = False
        """Whether the server has closed the connection, or its sending side."""
        self.interim: list[int] = []
        """The 1xx statuses that came before the answers."""

    def __enter__(self) -> Talk:
        return self

    def __exit__(self, *exception: object) -> None:
        self._socket.close()

    def send(self, data: bytes) -> Talk:
        """Send; a server that has closed already is no error here, as it may have answered."""
        self._socket.settimeout(max(self._until - time.monotonic(), 0.01))
        with contextlib.suppress(OSError):
            self._socket.sendall(data)
        return self

    def end(self) -> Talk:
        """Close the sending side."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)
        return self

    def leave(self) -> None:
        """Go away without notice, with a reset."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.close()

    def receive(self, until: float | None = None) -> bool:
        """Take what comes next; False when nothing did until then (the deadline, where left out)."""
        self._socket.settimeout(max((until or self._until) - time.monotonic(), 0.001))
        try:
            data = self._socket.recv(1 << 16)
        except TimeoutError:
            return False
        except OSError:  # a reset
            data = b""
        self.received += data
        self.unread += data
        self.ended = not data
        return True

    def wait_for(self, marker: bytes) -> Talk:
        """Read until these bytes have come."""
        while marker not in self.received:
            expect(not self.ended, f"the connection ended before {marker!r} came")
            if not self.receive():
                raise Late(f"{marker!r} did not come within {DEADLINE:g} s")
        return self

    def wait_end(self, seconds: float | None = None) -> bool:
        """Read until the connection has ended; tell whether it has, so many seconds (or the deadline) later."""
        until = None if seconds is None else time.monotonic() + seconds
        while not self.ended and self.receive(until):
            pass
        return self.ended

    def rest(self) -> bytes:
        """Read until the connection ends, and give all that came."""
        if not self.wait_end():
            raise Late(f"it had not closed the connection after {DEADLINE:g} s")
        return self.received

    def try_answer(self, method: str = "GET", until: float | None = None) -> Answer | None:
        """Give the next answer; None when the connection ended without one, or none came until then."""
        while True:
            found = parse(self.unread, method, self.ended)
            if found is not None:
                answer, self.unread = found
                if answer.status >= 200:
                    return answer
                self.interim.append(answer.status)
            elif self.ended or not self.receive(until):
                return None

    def answer(self, method: str = "GET") -> Answer:
        """Give the next answer, whole or (when the connection ended) not."""
        answer = self.try_answer(method)
        if answer is not None:
            return answer
        if self.ended:
            raise Failed("it closed the connection without an answer")
        came = f"only {self.unread[-60:]!r}" if self.unread else "nothing"
        raise Late(f"after {DEADLINE:g} s {came} had come")
