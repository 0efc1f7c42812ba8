"""Takes the bytes of one client and gives exchanges, and the bytes of their responses back; the loop moves them.

A ``Connection`` lives as long as its client. It reads no clock, and waits for nothing but, in ``send``, for a client
that takes too little of a streamed response. It never closes its stream: it enters ``CLOSED``, and the loop does.

Who may call what (one owner at a time):

* the loop's leader owns it in every state but ``ANSWERING`` and calls ``receive``, ``advance``, ``flush``, ``expire``,
  ``rest``, ``abandon`` and ``close``; when the loop was closed, who closes it, or hands the connection in, does;
* any thread calls ``overdue``, whoever owns it;
* the thread that runs the exchange owns it in ``ANSWERING`` and calls ``run``, which calls ``send``, ``lay``,
  ``lay_file`` and ``cut``. ``lay``, ``lay_file`` and ``cut`` end the response and give the connection back with their
  last statement, ``hand_in``; that thread does not touch it again. ``flush`` takes it from there. Only where the
  application outlasts its response does ``flush`` leave the connection with that thread, which gives it back once more
  when it is done; who comes first, ``Exchange.ends_first`` tells.
"""

import math
from collections.abc import Callable
from contextlib import suppress
from io import BytesIO
from typing import IO, Any, Final

from wsgiserver.environ import make_environ, tell_decoded
from wsgiserver.exchange import ENDED, ClientGone, Exchange
from wsgiserver.files import FilePart, FileShortened, drop, leave, store
from wsgiserver.gateway import run
from wsgiserver.http11 import Reader
from wsgiserver.messages import UNREADABLE, BadRequest, Request
from wsgiserver.pages import page, refusal
from wsgiserver.responses import CONTINUE
from wsgiserver.site import Application, Environ, Site, clear_frames
from wsgiserver.states import ANSWERING, BODY, CLOSED, HEAD, IDLE, LINGERING, NOTHING, WRITING, State, Stream

# Seconds, and octets, for which a closed connection is still read so that its last response is not lost to a reset.
LINGER_TIME: Final = 2.0
LINGER_SIZE: Final = 1024 * 1024
# Octets of a body from which on that is done also where the client has asked for the end.
LINGER_FROM: Final = 16 * 1024
# Seconds after which more is sent to a client: what was acknowledged before makes room, which is no progress later.
SEND_AGAIN: Final = 1.0
# Octets asked of the client at a time: for heads, for bodies.
HEAD_RECEIVE_SIZE: Final = 16 * 1024
BODY_RECEIVE_SIZE: Final = 256 * 1024


class Connection:
    """One client."""

    __slots__ = (
        "_base", "_body", "_corked", "_cut", "_dropped", "_file", "_hand_in", "_out", "_reader", "_received", "abrupt",
        "deadline", "descriptor", "exchange", "interest", "outlasted", "overseen", "queued", "receive_size", "site",
        "state", "stream",
    )  # fmt: skip

    def __init__(
        self, site: Site, stream: Stream, base: Environ, hand_in: Callable[["Connection"], object], now: float
    ) -> None:
        # -- for as long as the client stays
        self.site = site
        self.stream = stream
        # The part of the environ that all requests to the listener share.
        self._base = base
        # Gives the connection back to the loop.
        self._hand_in = hand_in
        self._reader = Reader(site.settings, site.recent)
        # -- the present state
        self.state = HEAD
        self.deadline = now + site.settings.timeout_head
        # How many octets to ask the client for.
        self.receive_size = HEAD_RECEIVE_SIZE
        # What came and was not yet given to the reader.
        self._received = b""
        # -- one request and its response
        self.exchange: Exchange | None = None
        self._body: IO[bytes] | None = None
        # What is to leave: bytes, then a part of a file.
        self._out: bytes | memoryview = b""
        self._file: FilePart | None = None
        # Somebody will call ``overdue``: pieces may be sent with ``Stream.more`` until then; some were, and may wait.
        self.overseen = False
        self._corked = False
        # The response was cut: the connection ends behind it, abruptly where it must.
        self._cut = False
        self.abrupt = False
        # The exchange of which all has left, while its application goes on.
        self.outlasted: Exchange | None = None
        self._dropped = 0  # octets, while lingering
        # -- the loop's notes: what the poller watches, and of which descriptor; whether the connection waits in the
        # deque of those to run
        self.descriptor, self.interest, self.queued = -1, NOTHING, False

    # -- what comes: the loop's leader -----------------------------------------------------------------------------

    @property
    def unasked(self) -> bool:
        """Whether nothing of a request has come, so that closing loses nothing."""
        return self.state is IDLE or (self.state is HEAD and not self._reader.begun)

    def receive(self, data: bytes) -> bool:
        """Take what the client sent, b"" for the end of it; True when ``advance`` is to read it before more comes."""
        if not data:
            # It can take no request that is not whole. The answer to a whole one is under way, or has left.
            self.close()
            return False
        if self.state is LINGERING:
            self._dropped += len(data)
            if self._dropped > LINGER_SIZE:
                self.close()
            return False
        self._received = data
        return True

    def advance(self, now: float) -> bool:
        """Read on in what came; True when an exchange is ready for ``run``, and the connection is its own."""
        reader = self._reader
        data = self._received
        self._received = b""
        try:
            if self.exchange is None:
                request = reader.read_head(data)
                if request is None:
                    if self.state is IDLE and reader.begun:
                        self._enter(HEAD, now)
                    return False
                self.exchange = Exchange(self.site, request, self, self.stream.peer, now)
                if request.has_body and not self._begin_body(request, now):
                    return False
            elif not self._read_body(data, now):
                return False
        except BadRequest as bad:
            self._refuse(bad, now)
            return False
        except (OSError, MemoryError) as error:
            self._refuse_body(error, now)
            return False
        self.state = ANSWERING
        return True

    def _begin_body(self, request: Request, now: float) -> bool:
        """Read what came of a body with its head; True when it is whole."""
        if request.expects_continue and not self._reader.pending:
            self._out = CONTINUE
            self._hand_in(self)
        return self._read_body(b"", now)

    def _read_body(self, received: bytes, now: float) -> bool:
        """Put away what came of the body; True when it is whole."""
        reader = self._reader
        if received:
            reader.receive(received)
        data = reader.read_body()
        whole = reader.complete
        if data:
            assert self.exchange is not None
            self.exchange.body_received += len(data)
            if whole and self._body is None and len(data) <= self.site.settings.buffer_body:
                self._body = BytesIO(data)  # it shares the bytes, which saves a copy
            else:
                self._body = store(self._body, data, self.site.settings.buffer_body)
        if not whole:
            self.receive_size = BODY_RECEIVE_SIZE
            self._enter(BODY, now)
            if reader.behind:
                self._hand_in(self)  # ``flush`` says that there is more to read
            return False
        self.receive_size = HEAD_RECEIVE_SIZE
        if self._body is not None:
            self._body.seek(0)
        return True

    def _refuse(self, bad: BadRequest, now: float) -> None:
        """Answer that the request cannot be."""
        self._answer(refusal(bad, terse=self.site.settings.terse_errors), bad, now)

    def _refuse_body(self, error: OSError | MemoryError, now: float) -> None:
        """Answer that the body cannot be kept, on a disk that is full or missing, or in a memory that is full."""
        clear_frames(error)  # which have pieces of it
        drop(self._body)
        self._body = None
        self.site.report(f"a body could not be kept: {str(error) or 'no memory is left'}")
        self._answer(page(500, "500 Internal Server Error\n\nThe server could not keep the body.\n"), error, now)

    def _answer(self, application: Application, error: Exception, now: float) -> None:
        """Answer in the application's stead; it is not called, and the connection ends behind the answer."""
        exchange = self.exchange
        if exchange is None:
            request = self._reader.last_request(error.line if isinstance(error, BadRequest) else b"")
            self.exchange = exchange = Exchange(self.site, request, self, self.stream.peer, now)
        exchange.error = error
        exchange.keep_alive = False
        self._enter(ANSWERING, now)
        run(application, {}, exchange)

    # -- the exchange: the thread that runs it ---------------------------------------------------------------------

    @property
    def route(self) -> str:
        """What kind of work the exchange is, see ``Request.route``."""
        exchange = self.exchange
        return exchange.request.route if exchange is not None else UNREADABLE.route

    def run(self) -> None:
        """Call the application for the exchange that is ready. Never raises."""
        exchange = self.exchange
        if exchange is None:
            return
        if self.site.closed:
            self.cut(abrupt=True)
            return
        body = self._body
        self._body = None
        try:
            environ = make_environ(self._base, exchange.request, self.stream, BytesIO() if body is None else body)
            if exchange.request.chunked:
                tell_decoded(environ, exchange.body_received, self._reader.trailers)
            # Unless the application outlasts its response, the connection may be the next exchange's when this returns.
            run(self.site.application, environ, exchange)
        except BaseException as error:  # a fault of the server's own, or no memory left even to say so
            self.site.report("the server failed while it ran an application", error)
        if not exchange.delivered:
            self.cut(abrupt=True)
        if body is not None and type(body) is not BytesIO:
            with suppress(Exception):  # the application may have detached it
                body.close()
        if exchange.error is not None:
            clear_frames(exchange.error)
        if exchange.end_lock is not None and (self.site.forked or not exchange.ends_first()):
            self._hand_in(self)

    @property
    def takes_files(self) -> bool:
        """Whether the kernel sends files on this transport."""
        return self.stream.sendfile is not None

    def overdue(self) -> None:
        """Let leave at once what the application sends from now on, and what waits for more; see ``baton.Task``."""
        self.overseen = False
        self.stream.push()

    def send(self, data: bytes, more: bool = False) -> None:
        """Give a piece of a response to the system, all of it, before the application makes the next.

        PEP 3333, "Buffering and Streaming": a block leaves at once, or another thread sees to it. So where a call is
        overseen, and ``more`` may follow, the system sends several pieces together, which saves 9 µs for each, until
        ``overdue`` is called; where the application keeps the GIL from everybody, for 200 ms at most.
        What the system does not take at once is waited for, ``timeout_send`` seconds at most for each piece that the
        client takes. Raises ``ClientGone``.
        """
        if self._cut:
            raise ClientGone("the client has been given up")
        try:
            if more and self.overseen:
                self._corked = True
                sent = self._try_send(data, self.stream.more)
                if not self.overseen:
                    self.stream.push()  # ``overdue`` was called in between
            else:
                sent = self._try_send(data)
            if sent != len(data):
                self._send_rest(memoryview(data)[sent:], self.site.settings.timeout_send)
        except ClientGone:
            # What an application that goes on all the same says next must not be taken for what is missing here.
            self._cut = self.abrupt = True
            raise

    def _send_rest(self, left: memoryview, timeout: float) -> None:
        step, waited = min(timeout, SEND_AGAIN), 0.0
        while left and waited < timeout:
            try:
                writable = self.stream.wait_writable(step)
            except (OSError, ValueError) as error:
                raise ClientGone("the connection was closed") from error
            sent = self._try_send(left)
            waited = 0.0 if sent or writable else waited + step
            left = left[sent:]
        if left:
            raise ClientGone(f"the client read nothing for {timeout:g} seconds")

    def _try_send(self, data: bytes | memoryview, flags: int = 0) -> int:
        try:
            return self.stream.send(data, flags)
        except BlockingIOError:
            return 0
        except (OSError, ValueError) as error:  # ValueError: the server has stopped, and closed the stream
            raise ClientGone("the client has left") from error

    def lay(self, head: bytes, body: bytes = b"") -> None:
        """Lay down the end of a response and give the connection back to the loop, which lets it leave."""
        if self._cut:
            pass  # the client was given up; nothing may follow what is missing
        elif self._corked or len(body) > self.site.settings.buffer_response:
            self._lay_at_once(head, body)
        else:
            self._out = head + body
        self._give_back()

    def _give_back(self) -> None:
        # A call of its own: where the stack has no room for it, the exchange is not yet delivered, and is cut later on.
        assert self.exchange is not None
        self.exchange.delivered = True
        self._hand_in(self)

    def _lay_at_once(self, head: bytes, body: bytes) -> None:
        """Send what goes, so that a large body is not copied, and what waits for more waits for no other client."""
        if self._corked:
            self._corked = False
            if not head and not body:
                self.stream.push()
                return
        try:
            sent = self.stream.sendmsg((head, body)) if self.stream.sendmsg is not None else self.stream.send(head)
        except OSError:  # not now, or never more: the loop will see which; ``suppress`` costs each 0.5 µs more
            sent = 0
        if sent < len(head):
            self._out = head[sent:] + body
        else:
            self._out = memoryview(body)[sent - len(head) :]

    def lay_file(self, head: bytes, descriptor: int, offset: int, count: int, *, short: bool) -> None:
        """Lay down a head and a part of an open file; the descriptor is closed when it has left."""
        self._out = head
        self._file = FilePart(descriptor, offset, count)
        self._cut |= short
        self._give_back()

    def cut(self, *, abrupt: bool) -> None:
        """End a response that is not whole; the connection is closed behind what was sent of it."""
        self._cut = True
        self.abrupt |= abrupt
        if self._corked:
            self._corked = False
            self.stream.push()  # a reset drops what waits, and so does a close before all that the client sent was read
        self._give_back()

    # -- what leaves: the loop's leader ----------------------------------------------------------------------------

    def flush(self, now: float, held_send: Callable[[int, Any], int] | None = None) -> bool:
        """Let leave what goes; True when all has left, and there is more to read for ``advance``, here already.

        ``held_send``, given a descriptor and data, takes the place of the stream's own ``send`` where it is given.
        """
        try:
            out = self._out
            if out:
                sent = self.stream.send(out) if held_send is None else held_send(self.descriptor, out)
                if sent != len(out):
                    self._out = memoryview(out)[sent:]
                    self._enter(WRITING, now)
                    return False
                self._out = b""
            if self._file is not None and not self._send_file(self._file):
                self._enter(WRITING, now)
                return False
        except BlockingIOError:
            if self.state is not WRITING:
                self._enter(WRITING, now)
            return False
        except OSError as error:
            self._client_left(error, now)
            return False
        exchange = self.exchange
        if self.outlasted is not None:
            exchange = self.outlasted
            self.outlasted = None
        elif exchange is None or (exchange.progress is not ENDED and not self._cut):
            if self.state is CLOSED:
                return False
            self._enter(BODY, now)  # it was 100 (Continue), or nothing, see ``_read_body``
            return self._reader.behind
        else:
            if self.site.observers:
                exchange.end(now, not self._cut)
            self.exchange = None
            if self._cut:
                if self.abrupt:
                    self.state = CLOSED
                else:
                    self._linger(exchange, now)
                return False
            if exchange.end_lock is not None and exchange.keep_alive and exchange.ends_first():
                self.outlasted = exchange
                self.state = ANSWERING
                return False
        if not exchange.keep_alive:
            self._linger(exchange, now)
            return False
        self.state = IDLE
        self.deadline = now + self.site.settings.timeout_keep_alive
        return bool(self._reader.pending)

    def _send_file(self, part: FilePart) -> bool:
        """Send of the file what goes in one turn; True when all of it has left."""
        sendfile = self.stream.sendfile
        if sendfile is None:
            raise OSError("this transport sends no files")
        try:
            if not part.send(sendfile):
                return False
        except FileShortened as error:
            if self.exchange is not None:
                self.exchange.report(str(error))
            raise
        self._close_file()
        return True

    def _linger(self, exchange: Exchange, now: float) -> None:
        """Close the connection without losing the response to a reset (RFC 9112 section 9.6)."""
        foreseen = not (self._cut or exchange.request.keep_alive or isinstance(exchange.error, BadRequest))
        # A large response is on its way for a while, in which something may come.
        if foreseen and exchange.body_sent < LINGER_FROM and self._reader.complete and not self._sends_more():
            self.close()  # the client asked for it
            return
        self.stream.shut()
        self.state = LINGERING
        self.deadline = now + LINGER_TIME

    def _sends_more(self) -> bool:
        """Whether a close would be a reset, for what has come: old clients send an empty line behind a POST's body."""
        try:
            return bool(self._reader.pending or self.stream.recv(1))
        except OSError:  # nothing there, as usual; or the client has gone
            return False

    def _client_left(self, error: OSError, now: float) -> None:
        """Finish an exchange whose client left while the response was on its way."""
        if self.exchange is not None:
            self.exchange.error = self.exchange.error or error
        self.abandon(now)
        self.close()

    # -- time: the loop's leader -----------------------------------------------------------------------------------

    def _enter(self, state: State, now: float) -> None:
        self.state = state
        self.deadline = now + float(getattr(self.site.settings, state.timeout)) if state.timeout else math.inf

    def expire(self, now: float) -> bool:
        """Do what is due when the deadline has passed; returns what ``flush`` does.

        The caller sees to it that no exchange owns the connection.
        """
        settings = self.site.settings
        reason = ""
        if self.state is HEAD and self._reader.begun:
            reason = f"the head was not whole after {settings.timeout_head:g} seconds"
        elif self.state is BODY:
            reason = f"nothing of the body came for {settings.timeout_body:g} seconds"
        if reason:
            self._refuse(BadRequest(408, reason, "RFC 9110 section 15.5.9"), now)
        elif self.state is WRITING:
            # The system calls a socket writable when a good part of its buffer is free; to a client that reads slowly,
            # but reads, less can be sent before.
            more = self.flush(now)
            if self.state is not WRITING or self.deadline > now:
                return more
            self.abrupt = True
            self._client_left(TimeoutError(f"the client read nothing for {settings.timeout_send:g} seconds"), now)
        else:
            self.close()
        return False

    def rest(self) -> None:
        """Keep no more than is needed while nothing comes; called now and then while the connection is idle."""
        self._reader.forget()

    # -- the end: the loop's leader, or who comes after it ---------------------------------------------------------

    def abandon(self, now: float) -> None:
        """Finish an exchange that the connection did not live to see the end of; called when it is closed."""
        exchange = self.exchange
        if exchange is not None:
            exchange.keep_alive = False
            exchange.end(now, False)
            self.exchange = None

    def leave_to_parent(self) -> None:
        """Close what a child process has copies of; see ``Loop.leave_to_parent``."""
        self.state = CLOSED
        self._close_file()
        leave(self._body)
        self.stream.close()

    def close(self, *, abrupt: bool = False) -> None:
        """Let go of everything; the loop closes the stream, with a reset where the end is to be ``abrupt``."""
        self.abrupt |= abrupt
        self.state = CLOSED
        self.deadline = math.inf
        self._out = b""
        self._close_file()
        drop(self._body)
        self._body = None

    def _close_file(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def __repr__(self) -> str:
        return f"<Connection {self.stream.peer} {self.state.name}>"
