"""Takes one request and what the application says in answer; gives the bytes of the response to its channel.

An ``Exchange`` lives as long as one request and its response. Its first part is what an observer reads when it is
over: who asked, what was answered, how long it took. ``gateway`` drives the second part: ``start_response``,
``write``, ``finish``. The channel is the connection, which knows how bytes leave.
"""

import time
from collections.abc import Callable, Sequence
from enum import Enum, auto
from threading import Lock
from typing import Final, Protocol

from wsgiserver.masking import masked_text, shown
from wsgiserver.messages import BadResponse, Request
from wsgiserver.responses import (
    CHUNKED,
    CLOSE,
    LAST_CHUNK,
    LAST_RESPONSE,
    LENGTH,
    NONE,
    ResponseHead,
    chunk,
    frame,
    prepare_head,
)
from wsgiserver.site import ExcInfo, Headers, Site

# Names of headers that are warned of, each once; an application that makes names up is not warned for ever.
WARNINGS: Final = 100


class Channel(Protocol):
    """Where the bytes of a response go. Called on the thread that runs the exchange."""

    @property
    def takes_files(self) -> bool:
        """Whether ``lay_file`` can be called: the kernel sends files on this transport."""

    def send(self, data: bytes, more: bool = False) -> None:
        """Let ``data`` leave at once; raise ``ClientGone`` when nobody takes it any more.

        ``more`` may follow: it may wait for that, but not when the application takes its time.
        """

    def lay(self, head: bytes, body: bytes = b"") -> None:
        """Lay down the last bytes of the response. The loop lets them leave; the exchange has ended."""

    def lay_file(self, head: bytes, descriptor: int, offset: int, count: int, *, short: bool) -> None:
        """Lay down a head and ``count`` octets of an open file, from ``offset`` on; ``short`` of what was promised."""

    def cut(self, *, abrupt: bool) -> None:
        """Close the connection behind what was sent; ``abrupt`` where only a reset shows that bytes are missing."""


class ClientGone(ConnectionError):
    """The client took no more bytes: it has left, or did not read for ``timeout_send`` seconds."""


class Progress(Enum):
    """How far the response is."""

    WAITING = auto()  # nothing was said
    STARTED = auto()  # start_response was called; nothing has left, so it can be replaced
    SENDING = auto()  # the head has left
    ENDED = auto()  # all of it was handed to the channel, or it was cut


# To look a member up in its class takes ten times as long as a global.
WAITING, STARTED, SENDING, ENDED = Progress


class Exchange:
    """One request and its response.

    The thread that runs it calls its methods, and when all was laid down the loop's leader calls ``end`` and, for a
    file that cannot be read to its end, ``report``. Only ``ends_first`` may be called by both at the same time.
    """

    # No __slots__: from Python 3.13 on, an object without them is made in half the time. What is seldom changed stands
    # here instead of in ``__init__``, so that it costs most exchanges nothing.

    # Octets of the body of the request.
    body_received = 0
    # The whole response was given to the kernel.
    complete = False
    error: BaseException | None = None
    # Octets of the response's body that Content-Length promises, and that are still to come.
    _left = 0

    def __init__(self, site: Site, request: Request, channel: Channel, peer: str, now: float) -> None:
        self.site = site
        # -- who asked
        self.request = request
        self.peer = peer
        # -- what was answered: the status ("" for nothing), the headers as the application gave them
        self.status = ""
        self.headers: Sequence[tuple[str, str]] = ()
        # Octets of the body that were given to the kernel, or laid down for it.
        self.body_sent = 0
        # -- how long it took: seconds of the monotonic clock
        self.started = self.ended = now
        # -- the response under way
        self.keep_alive = request.keep_alive
        self.progress = WAITING
        # The channel has taken the end of it, and is no longer this exchange's.
        self.delivered = False
        # Where the application may go on after that: taken by whichever ends first, the application or the response.
        self.end_lock: Lock | None = None
        self.channel = channel
        self._head: ResponseHead | None = None
        self._framing = NONE

    @property
    def time(self) -> float:
        """When the head of the request was complete, in seconds since the epoch."""
        return self.started + self.site.epoch

    @property
    def begun(self) -> bool:
        """Whether bytes of the response have left, so that it cannot be replaced by another."""
        return self.progress is SENDING or self.progress is ENDED

    @property
    def bodyless(self) -> bool:
        """Whether a body would be dropped: the request is HEAD, or the status allows none."""
        return self.request.method == "HEAD" or (self._head is not None and self._head.bodyless)

    @property
    def takes_files(self) -> bool:
        """Whether ``finish_file`` can be called: the kernel sends files on this transport."""
        return self.channel.takes_files

    @property
    def length(self) -> int | None:
        """Octets of the body as the application's Content-Length says, or None."""
        return self._head.length if self._head is not None else None

    @property
    def left(self) -> int | None:
        """Octets of the body that Content-Length promises and that are still to come, or None."""
        return self._left if self.begun and self._framing is LENGTH else self.length

    def end(self, now: float, complete: bool) -> None:
        """Note when it was over, and whether all of the response was given to the kernel; observers are shown it."""
        self.ended = now
        self.complete = complete
        self.site.finished.append(self)

    # -- two ends: of the application, and of the response ----------------------------------------------------------

    def outlast(self) -> None:
        """Note that the application may go on when all of the response was laid down, up to its ``close()``."""
        if self.end_lock is None:
            self.end_lock = Lock()

    def ends_first(self) -> bool:
        """Whether the application, or the response, has ended before the other has; each asks once, on any thread.

        To be asked only where there is an ``end_lock``. Whoever is told no lets the connection go on to its next
        request: requests of one client do not overlap.
        """
        assert self.end_lock is not None
        return self.end_lock.acquire(False)

    # -- PEP 3333 --------------------------------------------------------------------------------------------------

    # Its arguments are positional, but WebOb gives exc_info by name; ``strict`` tells that.
    def start_response(self, status: str, headers: Headers, exc_info: ExcInfo | None = None) -> Callable[[bytes], None]:
        """Take status and headers from the application (PEP 3333, "The start_response() Callable")."""
        if self.progress is not WAITING:
            self._check_restart(exc_info)
        self._head = prepare_head(status, headers)
        self.status = status
        self.headers = headers
        self.progress = STARTED
        return self.write

    def _check_restart(self, exc_info: ExcInfo | None) -> None:
        if exc_info is None:
            raise AssertionError("start_response was called a second time without exc_info (PEP 3333)")
        try:
            if self.begun:
                raise exc_info[1].with_traceback(exc_info[2])
        finally:
            exc_info = None  # else the frame and its traceback would keep each other alive

    def write(self, data: bytes, /) -> None:
        """Send one piece of the body at once; it is what ``start_response`` returns (PEP 3333, "The write() Callable").

        Raises what ``add`` does.
        """
        self.outlast()
        self.add(data, more=False)

    def add(self, data: bytes, more: bool) -> None:
        """Send one piece of the body; the piece that completes a Content-Length ends the response.

        ``more`` may follow, see ``Channel.send``; but the first piece leaves at once. Raises ``BadResponse`` for what
        is no ``bytes``, or for more of them than Content-Length says.
        """
        if type(data) is not bytes:
            raise _not_bytes(data)
        if not data:
            return
        head = b""
        if self.progress is not SENDING:
            if self.progress is ENDED:
                self._write_after_end()
                return
            # With one thread, nobody would let it leave while the application goes on.
            if self.site.multithread and self._lay_whole(data):
                return
            head = self._begin(None)
            more = False
        if self._framing is LENGTH:
            self._write_counted(head, data, more)
        elif self._framing is NONE:
            self._end(head)
        else:
            self.body_sent += len(data)
            self.channel.send(head + (chunk(data) if self._framing is CHUNKED else data), more)

    def _write_counted(self, head: bytes, data: bytes, more: bool) -> None:
        left = self._left
        size = len(data)
        if size < left:
            self._left = left - size
            self.body_sent += size
            self.channel.send(head + data, more)
            return
        if size > left:
            data = data[:left]
            self.keep_alive = False
        self.body_sent += len(data)
        self._left = 0
        if not self.site.multithread:
            self.channel.send(head + data)
            head = data = b""
        self._end(head, data)
        if size > left:
            raise self._too_long()

    def _write_after_end(self) -> None:
        if self._framing is NONE:
            return
        self.keep_alive = False
        if self._framing is LENGTH:
            raise self._too_long()
        raise BadResponse("write() was called after the response had ended (PEP 3333)")

    # -- the end -----------------------------------------------------------------------------------------------------

    def finish(self, body: bytes = b"") -> None:
        """End the response with ``body``, its last piece; where it is the first too, its length is known.

        Raises ``BadResponse`` when fewer octets came than Content-Length says.
        """
        if type(body) is not bytes:
            raise _not_bytes(body)
        if self.progress is STARTED or self.progress is WAITING:
            if self._lay_whole(body):
                return
            head = self._begin(len(body))
            if self._framing is NONE:
                self._end(head)
                return
            if self._left == len(body):
                self._left = 0
                self.body_sent += len(body)
                self._end(head, body)
                return
            if body:
                self._write_counted(head, body, more=False)
                head = b""
            if self._left:
                self._too_short(head)
            return
        if body:
            self.add(body, more=True)
        if self.progress is SENDING:
            if self._framing is LENGTH and self._left:
                self._too_short(b"")
            self._end(LAST_CHUNK if self._framing is CHUNKED else b"")

    def _lay_whole(self, body: bytes) -> bool:
        """Lay down a response that is as most are: whole, and of the length it says.

        False where it is not so. ``_begin``, ``frame`` and ``_end`` make the same bytes, but take 1 µs longer.
        """
        head, site = self._head, self.site
        if head is None or not head.plain or head.length != len(body) or not self.request.plain:
            return False
        if time.monotonic() >= site.stale:
            site.tick(time.time())
        self.progress = ENDED
        self._framing = LENGTH
        self.body_sent = len(body)
        if self.keep_alive and not site.stopping:
            self.channel.lay(head.start + site.head_ends[head.own], body)
        else:
            self.keep_alive = False
            self.channel.lay(head.start + LAST_RESPONSE + site.head_ends[head.own], body)
        return True

    def finish_file(self, descriptor: int, offset: int, count: int) -> None:
        """End the response with ``count`` octets of an open file; the channel closes the descriptor.

        Content-Length, where the application gave one, cuts the file (PEP 3333, "Optional Platform-Specific File
        Handling"); where it promises more than there is, the connection is closed behind it.
        """
        head = self._begin(count)
        promised = count if self.length is None else self.length
        if self._framing is NONE:
            promised = count = 0
        count = min(count, promised)
        short = count < promised
        if short:
            self.keep_alive = False
            self.error = BadResponse(f"the file has {count} octets, its Content-Length says {promised}")
            self.report("the response is too short", self.error)
        self.body_sent = count
        self.progress = ENDED
        self.channel.lay_file(head, descriptor, offset, count, short=short)

    def cut(self, error: BaseException) -> None:
        """End a response that cannot be completed: the connection is closed behind what has left."""
        self.error = error
        self.keep_alive = False
        if self.progress is not ENDED:
            self.progress = ENDED
            # The end of the connection would look like the end of such a body.
            self.channel.cut(abrupt=self._framing is CLOSE)

    def reset(self) -> None:
        """Forget the response that was begun, of which nothing has left, to make room for an error page."""
        self.progress = WAITING
        self._head = None

    def _begin(self, length: int | None) -> bytes:
        """Make the bytes of the head; from here on the response stands."""
        head = self._head
        if head is None:
            raise BadResponse("the body came before start_response was called (PEP 3333)")
        site = self.site
        if head.dropped:
            self._warn(head.dropped)
        if time.monotonic() >= site.stale:
            site.tick(time.time())
        keep_alive = self.keep_alive and not site.stopping
        self._framing, lines, self.keep_alive = frame(head, self.request, length, keep_alive)
        self._left = head.length if head.length is not None else length or 0
        self.progress = SENDING
        return head.start + lines + site.head_ends[head.own]

    def _end(self, head: bytes, body: bytes = b"") -> None:
        self.progress = ENDED
        self.channel.lay(head, body)

    def _too_short(self, head: bytes) -> None:
        if head:
            self.channel.send(head)
        given = self.body_sent
        raise BadResponse(f"the body has {given} octets, its Content-Length says {given + self._left}")

    def _too_long(self) -> BadResponse:
        return BadResponse(f"the body is longer than its Content-Length, {self.body_sent} (RFC 9110 section 8.6)")

    def _warn(self, names: tuple[str, ...]) -> None:
        for name in names:
            if name.lower() not in self.site.warned and len(self.site.warned) < WARNINGS:
                self.site.warned.add(name.lower())
                self.report(f"the hop-by-hop header {name} was left out, it is the server's (RFC 9110 section 7.6.1)")

    def report(self, what: str, error: BaseException | None = None) -> None:
        """Write what went wrong in this exchange to the site's error stream."""
        self.site.report(f"{self.request.method} {shown(self.request.path)}: {what}", error)

    def __repr__(self) -> str:
        target = masked_text(self.request.target)
        return f"<Exchange {self.request.method} {target} {self.status or '-'} {self.progress.name}>"


def _not_bytes(chunk: object) -> BadResponse:
    return BadResponse(f"a chunk of the body is a {type(chunk).__name__}, not bytes (PEP 3333)")
