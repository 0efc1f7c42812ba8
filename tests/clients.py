"""A client of the server in memory: its bytes go into a real connection, and the server's come out.

``SlowStream`` is the transport of ``wsgiserver.memory``, with a client at its other end that can be slow, gone or
silent. ``Client`` is that client; its ``Line`` does for one connection what the loop does for all of them, on a clock
that moves only when the test says so. There is no socket, no thread and no waiting.
"""

import io
import math
import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any

from wsgiserver.environ import base_environ
from wsgiserver.exchange import Exchange
from wsgiserver.memory import Line, MemoryStream
from wsgiserver.settings import Settings
from wsgiserver.site import Application, Environ, Observer, Site
from wsgiserver.states import State

# What the clock of a new client shows: seconds of the monotonic clock, and since the epoch.
NOW = 5000.0
EPOCH = 1_000_000_000.0
# The lines that the server adds to each head then.
STAMPS = b"Date: Sun, 09 Sep 2001 01:46:40 GMT\r\nServer: wsgiserver\r\n"

GET = b"GET / HTTP/1.1\r\nHost: example.com\r\n\r\n"
HEAD = b"HEAD / HTTP/1.1\r\nHost: example.com\r\n\r\n"
GET_1_0 = b"GET / HTTP/1.0\r\n\r\n"
GET_1_0_KEPT = b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"


class SlowStream(MemoryStream):
    """A transport in memory whose client is slow: the attributes say how much it takes; all amounts are in octets."""

    def __init__(self, *, sendmsg: bool = True, sendfile: bool = True) -> None:
        super().__init__("192.0.2.1", "4711")
        self.more = 1
        # What a platform may not have.
        if not sendmsg:
            self.sendmsg = None
        if not sendfile:
            self.sendfile = None
        # How much the client takes: until it reads again (None: all there is), and in one call.
        self.room: int | None = None
        self.piece: int | None = None
        # How much of what it got would wait for more in the system.
        self.held = 0
        # What happens while the server waits for the client.
        self.on_wait: Callable[[], object] = lambda: None
        # Seconds that the server was ready to wait, each time that it did.
        self.waits: list[float] = []

    @property
    def writable(self) -> bool:
        return self.room is None or self.room > 0 or self.gone is not None

    def _send(self, data: Any, flags: int = 0) -> int:
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

    def _sendfile(self, descriptor: int, offset: int, count: int) -> int:
        data = os.pread(descriptor, self._admit(count), offset)
        self.sent += data
        return len(data)

    def _admit(self, size: int) -> int:
        """Give how much of ``size`` goes now, and take it from the room."""
        if self.end:
            raise BrokenPipeError("the server wrote to what it had closed")
        self._check()
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


class Client:
    """One client of a server, from its first byte to its last.

    Each method lets the server do all that it then can, and gives the bytes that came back meanwhile.
    """

    def __init__(
        self,
        application: Application,
        *,
        stream: SlowStream | None = None,
        observers: Sequence[Observer] = (),
        multithread: bool = True,
        **settings: Any,
    ) -> None:
        self.application = application
        self.errors = io.StringIO()
        # Each environ that the application was called with, and each exchange that is over.
        self.environs: list[Environ] = []
        self.exchanges: list[Exchange] = []
        observers = (self.exchanges.append, *observers)
        self.site = Site(self._call, Settings(**settings), self.errors, observers, multithread)
        self.site.tick(EPOCH)
        self.site.stale = math.inf
        self.stream = SlowStream() if stream is None else stream
        self.line = Line(self.site, self.stream, base_environ(self.site, "server", "80"), NOW)
        self.connection = self.line.connection
        self._seen = 0

    def _call(self, environ: Environ, start_response: Any) -> Iterable[bytes]:
        self.environs.append(environ)
        return self.application(environ, start_response)

    # -- what a client does ----------------------------------------------------------------------------------------

    def send(self, data: bytes, *, at_once: int | None = None) -> bytes:
        """Send bytes, in pieces of ``at_once`` octets where that is given."""
        for start in range(0, len(data), at_once or len(data) or 1):
            self.stream.inbox += data[start : start + (at_once or len(data))]
            self.line.work()
        return self._news()

    def finish(self) -> bytes:
        """Close the sending side: what was sent is all there is."""
        self.line.end()
        return self._news()

    def vanish(self) -> bytes:
        """Be gone: whatever the server does with the connection fails."""
        self.stream.gone = ConnectionResetError()
        self.line.work()
        return self._news()

    def read(self, size: int | None = None) -> bytes:
        """Take ``size`` octets more of what the server sends, or all there is."""
        self.stream.room = None if size is None else (self.stream.room or 0) + size
        self.line.work()
        return self._news()

    def wait(self, seconds: float) -> bytes:
        """Let time pass, and the deadlines that lie in it."""
        self.line.expire(self.line.now + seconds)
        return self._news()

    # -- what came of it -------------------------------------------------------------------------------------------

    @property
    def now(self) -> float:
        return self.line.now

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
        """Give the bytes that came back since the last time."""
        news = bytes(self.stream.sent[self._seen :])
        self._seen = len(self.stream.sent)
        return news


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
