"""Takes what a client sends, and runs a real connection with it in memory: no socket, no thread, no waiting.

``MemoryStream`` is the transport, and ``Line`` does for one connection what the loop does for all of them, on a clock
that its owner moves. Reader, environ, gateway, exchange and connection are the server's own. ``wire_client`` and
``wire`` are next.
"""

import os
from collections.abc import Callable, Iterable, Sequence
from itertools import count
from typing import Any, Final

from wsgiserver.addresses import bracketed
from wsgiserver.connection import Connection
from wsgiserver.django_hooks import transactions_left_open
from wsgiserver.messages import BadResponse
from wsgiserver.responses import LAST_CHUNK, chunk
from wsgiserver.site import Application, Environ, Site, below_own, check_application
from wsgiserver.states import Interest, State

# What is raised on an application's fault: by the gateway, by ``start_response`` and by strict mode.
_JUDGEMENTS: Final = (BadResponse, AssertionError)


class MemoryStream:
    """A transport in memory, with a client at its other end that takes all that it is sent (``states.Stream``)."""

    def __init__(self, host: str = "127.0.0.1", port: str = "50000") -> None:
        self.peer_host = host
        self.peer_port = port
        self.peer = f"{bracketed(host)}:{port}"
        # What the client sent and the server has not received; whether it closed its sending side, or is gone.
        self.inbox = bytearray()
        self.ended = False
        self.gone: OSError | None = None
        # What the client got.
        self.sent = bytearray()
        # How the server ended it: "shut" (its sending side), "closed" or "reset"; "" while it goes on.
        self.end = ""
        self.recv: Callable[[int], bytes] = self._recv
        self.send: Callable[..., int] = self._send
        self.more = 0
        self.sendmsg: Callable[[Any], int] | None = self._sendmsg
        # Windows has no pread.
        self.sendfile: Callable[[int, int, int], int] | None = self._sendfile if hasattr(os, "pread") else None

    @property
    def readable(self) -> bool:
        """Whether ``recv`` gives something, be it the end or an error."""
        return bool(self.inbox) or self.ended or self.gone is not None

    @property
    def writable(self) -> bool:
        """Whether ``send`` takes something, or raises because the client is gone."""
        return True

    def _recv(self, size: int) -> bytes:
        """Give what the client sent, ``size`` octets at most; b"" for the end of it."""
        self._check()
        if not self.readable:
            raise BlockingIOError
        data = bytes(self.inbox[:size])
        del self.inbox[:size]
        return data

    def _send(self, data: Any, flags: int = 0) -> int:
        """Take all of ``data``."""
        self._check()
        self.sent += data
        return len(data)

    def _sendmsg(self, buffers: Sequence[Any]) -> int:
        """Take all buffers, one after the other."""
        return sum(self._send(data) for data in buffers)

    def _sendfile(self, descriptor: int, offset: int, count: int) -> int:
        """Take a part of an open file."""
        return self._send(os.pread(descriptor, count, offset))

    def _check(self) -> None:
        if self.gone is not None:
            raise self.gone

    def wait_writable(self, timeout: float) -> bool:
        """Wait for nothing: this client takes everything at once."""
        return True

    def push(self) -> None:
        """Let nothing leave: it has left already."""

    def shut(self) -> None:
        """End the server's sending side."""
        self.end = "shut"

    def close(self) -> None:
        """End both sides."""
        self.end = "closed"

    def reset(self) -> None:
        """End both sides so that the client can see that something is missing."""
        self.end = "reset"

    abort = reset


class WatchedSite(Site):
    """A site that hands over what applications raised; what ``on_error`` returns False for is written as well."""

    def __init__(self, *args: Any, on_error: Callable[[BaseException], bool], **named: Any) -> None:
        super().__init__(*args, **named)
        self._on_error = on_error

    def report(self, message: str, error: BaseException | None = None) -> None:
        """Hand the error over, where there is one, and write the message where nobody took it."""
        if error is None or not self._on_error(error):
            super().report(message, error)


class Line:
    """One connection, and what the loop does for it."""

    def __init__(self, site: Site, stream: MemoryStream, base: Environ, now: float) -> None:
        self.stream = stream
        # Seconds; it stands still until its owner moves it.
        self.now = now
        self.connection = Connection(site, stream, base, self._hand_in, now)
        # As in the loop: it was read and waits to run; it was run and waits to leave.
        self._ready = False
        self._unsent = False

    @property
    def closed(self) -> bool:
        """Whether the server has ended the connection, and takes nothing more."""
        return self.connection.state is State.CLOSED

    def work(self) -> None:
        """Let the server do all that it can do now."""
        for step in count():
            if self.closed:
                self.stream.end = "reset" if self.connection.abrupt else "closed"
            if not self._step():
                break
            assert step < 1_000_000, "the server spins"
        self.connection.site.show_finished()

    def expire(self, now: float) -> None:
        """Move the clock, and do what is due when a deadline has passed."""
        self.now = now
        if self.connection.state is not State.ANSWERING and self.connection.deadline <= now:
            self._ready = self.connection.expire(now)
        self.work()

    def end(self) -> None:
        """Let the client close its sending side: what it sent is all there is."""
        self.stream.ended = True
        self.work()

    def _hand_in(self, connection: Connection) -> None:
        self._unsent = True

    def _step(self) -> bool:
        """Do one thing as the loop would; False when there is nothing to do."""
        connection = self.connection
        if self._unsent or (connection.state.interest is Interest.WRITE and self.stream.writable):
            self._unsent = False
            self._ready = connection.flush(self.now)
        elif self._ready:
            self._ready = False
            if connection.advance(self.now):
                with transactions_left_open():
                    connection.run()
        elif connection.state.interest is Interest.READ and self.stream.readable:
            self._receive()
        else:
            return False
        return True

    def _receive(self) -> None:
        try:
            data = self.stream.recv(self.connection.receive_size)
        except OSError:
            data = b""
        self._ready = self.connection.receive(data)


# -- What the clients share --------------------------------------------------------------------------------------------


def under_test(application: Application, strictly: bool) -> Application:
    """Give an application as a test calls it, once checked: ``strictly`` has its faults become failures."""
    check_application(application)
    if not strictly:
        return application
    from wsgiserver.strict import strict  # only for those who ask for it

    return strict(application)


def head_bytes(lines: Iterable[str]) -> bytes:
    """Give the head that has these lines."""
    return "".join(f"{line}\r\n" for line in (*lines, "")).encode("latin-1")


def chunked(pieces: Iterable[bytes]) -> bytes:
    """Frame pieces as the chunked coding does (RFC 9112 section 7.1)."""
    return b"".join(chunk(piece) for piece in pieces if piece) + LAST_CHUNK


def must_reach_caller(error: BaseException) -> bool:
    """Tell whether an error ends more than the application: Ctrl-C, ``pytest.fail``, ``pytest.skip``, a time limit.

    No test may go on after it as if the application had answered 500. SystemExit is answered so by any server.
    """
    return not isinstance(error, Exception | SystemExit)


def own_traceback(error: BaseException) -> BaseException:
    """Take the server's frames away from above the application's.

    Where all of them are the server's, the error is told by its text, for it is a judgement on the application.
    """
    own = below_own(error.__traceback__)
    return error.with_traceback(own) if own is not None or isinstance(error, _JUDGEMENTS) else error
