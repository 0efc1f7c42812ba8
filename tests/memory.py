"""The server in memory: a client's bytes go into a real connection, and the server's come out.

``MemoryStream`` is the transport, with a client at its other end that can be slow, gone or silent. ``Client`` does for
one connection what the loop does for all of them, on a clock that moves only when the test says so. Reader, environ,
gateway, exchange and connection are the server's own; there is no socket, no thread and no waiting.
"""

import io
import math
import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from itertools import count
from typing import Any

from wsgiserver.connection import Connection
from wsgiserver.environ import base_environ
from wsgiserver.exchange import Exchange
from wsgiserver.settings import Settings
from wsgiserver.site import Application, Environ, Observer, Site
from wsgiserver.states import Interest, State

# What the clock of a new client shows: seconds of the monotonic clock, and since the epoch.
NOW = 5000.0
EPOCH = 1_000_000_000.0
# The lines that the server adds to each head then.
STAMPS = b"Date: Sun, 09 Sep 2001 01:46:40 GMT\r\nServer: wsgiserver\r\n"

GET = b"GET / HTTP/1.1\r\nHost: example.com\r\n\r\n"
HEAD = b"HEAD / HTTP/1.1\r\nHost: example.com\r\n\r\n"
GET_1_0 = b"GET / HTTP/1.0\r\n\r\n"
GET_1_0_KEPT = b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"


class MemoryStream:
    """A transport in memory, with the client at its other end; all amounts are in octets.

    The server's side is that of ``connection.Stream``. The client's side is the attributes: they say how much it takes
    and whether it is still there, and tell what it got.
    """

    peer = "192.0.2.1:4711"
    peer_host = "192.0.2.1"
    peer_port = "4711"
    more = 1

    def __init__(self, *, sendmsg: bool = True, sendfile: bool = True) -> None:
        # -- what the client sent and the server has not received; whether it closed its sending side
        self.inbox = bytearray()
        self.ended = False
        # -- what the client got
        self.sent = bytearray()
        # -- how much it takes: until it reads again (None: all there is), and in one call
        self.room: int | None = None
        self.piece: int | None = None
        # How much of what it got would wait for more in the system.
        self.held = 0
        # Raised by every call once the client has left.
        self.gone: OSError | None = None
        # What happens while the server waits for the client; True when the client took something meanwhile.
        self.on_wait: Callable[[], object] = lambda: None
        # Seconds that the server was ready to wait, each time that it did.
        self.waits: list[float] = []
        # How the server ended it: "shut" (its sending side), "closed", "reset".
        self.end = ""
        # What a platform may not have.
        self.sendmsg: Callable[[Sequence[Any]], int] | None = self._sendmsg if sendmsg else None
        self.sendfile: Callable[[int, int, int], int] | None = self._sendfile if sendfile else None

    @property
    def readable(self) -> bool:
        """Whether ``recv`` gives something, be it the end or an error."""
        return bool(self.inbox) or self.ended or self.gone is not None

    @property
    def writable(self) -> bool:
        """Whether ``send`` takes something, or raises because the client is gone."""
        return self.room is None or self.room > 0 or self.gone is not None

    def recv(self, size: int) -> bytes:
        if self.gone is not None:
            raise self.gone
        if not self.inbox and not self.ended:
            raise BlockingIOError
        data = bytes(self.inbox[:size])
        del self.inbox[:size]
        return data

    def send(self, data: Any, flags: int = 0) -> int:
        held = self.held
        sent = self._sendmsg((data,))
        self.held = held + sent if flags == self.more else 0
        return sent

    def push(self) -> None:
        self.held = 0

    def _sendmsg(self, buffers: Sequence[Any]) -> int:
        self.held = 0
        amount = left = self._admit(sum(len(data) for data in buffers))
        for data in buffers:
            self.sent += data[:left]
            left -= min(left, len(data))
        return amount

    def _sendfile(self, descriptor: int, offset: int, size: int) -> int:
        data = os.pread(descriptor, self._admit(size), offset)
        self.sent += data
        return len(data)

    def _admit(self, size: int) -> int:
        """Give how much of ``size`` goes now, and take it from the room."""
        if self.end:
            raise BrokenPipeError("the server wrote to what it had closed")
        if self.gone is not None:
            raise self.gone
        if not self.writable:
            raise BlockingIOError
        amount = min(size, *(limit for limit in (self.room, self.piece) if limit is not None), size)
        if self.room is not None:
            self.room -= amount
        return amount

    def wait_writable(self, timeout: float) -> bool:
        self.waits.append(timeout)
        if not self.writable:
            self.on_wait()
        return self.writable

    def shut(self) -> None:
        self.end = "shut"

    def close(self) -> None:
        self.end = "closed"

    def reset(self) -> None:
        self.end = "reset"


class Client:
    """One client of a server, from its first byte to its last.

    Each method lets the server do all that it then can, and gives the bytes that came back meanwhile.
    """

    def __init__(
        self,
        application: Application,
        *,
        stream: MemoryStream | None = None,
        observers: Sequence[Observer] = (),
        multithread: bool = True,
        **settings: Any,
    ) -> None:
        self.application = application
        self.now = NOW
        self.errors = io.StringIO()
        # Each environ that the application was called with, and each exchange that is over.
        self.environs: list[Environ] = []
        self.exchanges: list[Exchange] = []
        observers = (self.exchanges.append, *observers)
        self.site = Site(self._call, Settings(**settings), self.errors, observers, multithread)
        self.site.tick(EPOCH)
        self.site.stale = math.inf
        self.stream = MemoryStream() if stream is None else stream
        self.connection = Connection(
            self.site, self.stream, base_environ(self.site, "server", "80"), self._hand_in, self.now
        )
        # As in the loop: it was read, and waits to run; it was run, and waits to leave.
        self._ready = False
        self._unsent = False
        self._seen = 0

    def _call(self, environ: Environ, start_response: Any) -> Iterable[bytes]:
        self.environs.append(environ)
        return self.application(environ, start_response)

    # -- what a client does ----------------------------------------------------------------------------------------

    def send(self, data: bytes, *, at_once: int | None = None) -> bytes:
        """Send bytes, in pieces of ``at_once`` octets where that is given."""
        for start in range(0, len(data), at_once or len(data) or 1):
            self.stream.inbox += data[start : start + (at_once or len(data))]
            self._work()
        return self._news()

    def finish(self) -> bytes:
        """Close the sending side: what was sent is all there is."""
        self.stream.ended = True
        self._work()
        return self._news()

    def vanish(self) -> bytes:
        """Be gone: whatever the server does with the connection fails."""
        self.stream.gone = ConnectionResetError()
        self._work()
        return self._news()

    def read(self, size: int | None = None) -> bytes:
        """Take ``size`` octets more of what the server sends, or all there is."""
        self.stream.room = None if size is None else (self.stream.room or 0) + size
        self._work()
        return self._news()

    def wait(self, seconds: float) -> bytes:
        """Let time pass, and the deadlines that lie in it."""
        self.now += seconds
        if self.state is not State.ANSWERING and self.connection.deadline <= self.now:
            self.connection.expire(self.now)
            self._settle()
        self._work()
        return self._news()

    # -- what came of it -------------------------------------------------------------------------------------------

    @property
    def state(self) -> State:
        return self.connection.state

    @property
    def end(self) -> str:
        """How the server ended the connection: "shut", "closed", "reset"; "" while it goes on."""
        return self.stream.end

    @property
    def log(self) -> str:
        """What was written to ``wsgi.errors``."""
        return self.errors.getvalue()

    def _news(self) -> bytes:
        news = bytes(self.stream.sent[self._seen :])
        self._seen = len(self.stream.sent)
        return news

    # -- what the loop does ----------------------------------------------------------------------------------------

    def _hand_in(self, connection: Connection) -> None:
        self._unsent = True

    def _work(self) -> None:
        for step in count():
            if not self._step():
                return
            assert step < 1_000_000, "the server spins"

    def _step(self) -> bool:
        """Do one thing as the loop would; False when there is nothing to do."""
        interest = self.state.interest
        if self._unsent:
            self._unsent = False
            self._ready = self.connection.flush(self.now)
        elif self._ready:
            self._ready = False
            if self.connection.advance(self.now):
                self.connection.run()
        elif interest is Interest.READ and self.stream.readable:
            self._receive()
        elif interest is Interest.WRITE and self.stream.writable:
            self._unsent = True
        else:
            return False
        self._settle()
        return True

    def _receive(self) -> None:
        try:
            data = self.stream.recv(self.connection.appetite)
        except OSError:
            data = b""
        self._ready = self.connection.receive(data)

    def _settle(self) -> None:
        if self.state is State.CLOSED and self.stream.end != "reset":
            if self.connection.abrupt:
                self.stream.reset()
            else:
                self.stream.close()
        self.site.show_finished()


# -- Requests, responses, applications ---------------------------------------------------------------------------------


def request(*lines: str, start: str = "GET / HTTP/1.1", body: bytes = b"") -> bytes:
    """Make a request with Host, these field lines, and a body."""
    return "".join(f"{line}\r\n" for line in (start, "Host: example.com", *lines, "")).encode("latin-1") + body


def response(status: str, *lines: str, body: bytes = b"", stamps: bytes = STAMPS, after: Sequence[str] = ()) -> bytes:
    """Make the bytes of a response: the application's header lines, its framing, the server's stamps, the body."""
    start = "".join(f"{line}\r\n" for line in (f"HTTP/1.1 {status}", *lines)).encode("latin-1")
    return start + "".join(f"{line}\r\n" for line in after).encode("latin-1") + stamps + b"\r\n" + body


def chunks(*pieces: bytes, last: bool = True) -> bytes:
    """Frame pieces as the chunked coding does (RFC 9112 section 7.1)."""
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + (b"0\r\n\r\n" if last else b"")


def answering(body: Any, *headers: tuple[str, str], status: str = "200 OK") -> Application:
    """Make an application that answers with this body, whatever it is; a callable is called to make it."""

    def application(environ: Environ, start_response: Any) -> Iterable[bytes]:
        start_response(status, list(headers))
        return body() if callable(body) else body

    return application


def ask(data: bytes, application: Application, **settings: Any) -> bytes:
    """Send bytes to a new server and give all that comes back."""
    return Client(application, **settings).send(data)


def descriptors_of(path: Any) -> int:
    """Count the descriptors of this process that are open on a file."""
    wanted = os.stat(path)
    found = 0
    for descriptor in range(256):
        with suppress(OSError):
            found += os.path.samestat(os.fstat(descriptor), wanted)
    return found
