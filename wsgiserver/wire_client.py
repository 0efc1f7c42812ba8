"""Takes raw bytes for a server in memory, and gives the responses that came back, read as strictly as requests are.

``read_response`` is the reader, which ``wire`` uses too. ``WireClient`` is one connection, for tests of the protocol
itself: pipelining, chunked bodies, ``Expect``, half-close, deadlines.
"""

import io
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Final

from wsgiserver.environ import base_environ
from wsgiserver.exchange import Exchange
from wsgiserver.masking import shown
from wsgiserver.memory import (
    Line,
    MemoryStream,
    WatchedSite,
    chunked,
    head_bytes,
    must_reach_caller,
    own_traceback,
    under_test,
)
from wsgiserver.settings import Settings, with_values
from wsgiserver.site import Application, Environ
from wsgiserver.states import State


class BrokenResponse(Exception):
    """What came out of the server is no HTTP response; ``str()`` says which rule was broken."""


@dataclass(frozen=True, slots=True)
class WireResponse:
    """One response as a client read it."""

    # "200 OK", and "HTTP/1.1".
    status: str
    version: str
    # Names as they came, in order.
    headers: list[tuple[str, str]]
    body: bytes
    # The pieces of a chunked body; none of a body that was framed otherwise.
    chunks: list[bytes]
    # All of its bytes, and whether they are all that the head promised.
    raw: bytes
    complete: bool

    @property
    def code(self) -> int:
        """The status as a number."""
        return int(self.status[:3])

    @property
    def text(self) -> str:
        """The body as text, UTF-8 unless its Content-Type names another charset that Python knows."""
        charset = re.search(r"charset=\"?([\w-]+)", self.get("Content-Type") or "")
        try:
            return self.body.decode(charset[1] if charset else "utf-8", "backslashreplace")
        except (LookupError, UnicodeError):  # there is none of this name, or it does not decode this
            return self.body.decode("utf-8", "backslashreplace")

    def get(self, name: str) -> str | None:
        """Give the value of a header (any case), of several joined with ", "; None when there is none."""
        values = [value for key, value in self.headers if key.lower() == name.lower()]
        return ", ".join(values) if values else None


# RFC 9112 sections 4 and 5, RFC 9110 section 5.5: no obs-fold, no bare CR or LF, nothing around the name.
_FIELD: Final = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t\x20-\x7e\x80-\xff]*\r\n"
_HEAD: Final = re.compile(
    rb"(HTTP/1\.[01]) ([1-5][0-9]{2} [\t\x20-\x7e\x80-\xff]*)\r\n((?:" + _FIELD + rb")*)\r\n", re.DOTALL
)
# RFC 9112 section 7.1.
_CHUNK_SIZE: Final = re.compile(rb"([0-9A-Fa-f]{1,16})\r\n")


def read_response(data: bytes, method: str, *, ended: bool) -> WireResponse | None:
    """Read the response to a request of this method that ``data`` begins with; None when more bytes are needed.

    ``ended``: no more will come. A response that is cut then has ``complete`` False. Raises ``BrokenResponse``.
    """
    match = _HEAD.match(data)
    if match is None:
        if ended or b"\r\n\r\n" in data:
            raise BrokenResponse(f"no status line and fields as RFC 9112 has them: {shown(data[:200])}")
        return None
    lines = [line.partition(":") for line in match[3].decode("latin-1").split("\r\n")[:-1]]
    response = WireResponse(
        status=match[2].decode("latin-1"),
        version=match[1].decode(),
        headers=[(name, value.strip(" \t")) for name, _, value in lines],
        body=b"",
        chunks=[],
        raw=match[0],
        complete=True,
    )
    response = _with_body(response, data, match.end(), method)
    return response if response.complete or ended else None


def _with_body(response: WireResponse, data: bytes, start: int, method: str) -> WireResponse:
    """Add the body, framed as RFC 9112 section 6.3 says."""
    length, coding = response.get("Content-Length"), response.get("Transfer-Encoding")
    if length is not None and coding is not None:
        raise BrokenResponse("Content-Length and Transfer-Encoding together (RFC 9112 section 6.2)")
    if method == "HEAD" or response.code < 200 or response.code in (204, 304):
        return response
    if coding is not None:
        if coding.lower() != "chunked" or response.version == "HTTP/1.0":
            raise BrokenResponse(f"Transfer-Encoding: {coding} (RFC 9112 section 6.1)")
        return _with_chunks(response, data, start)
    if length is None:
        # Only the end of the connection tells; whoever calls knows whether it has come.
        return replace(response, body=data[start:], raw=data)
    if re.fullmatch("[0-9]+", length) is None:
        raise BrokenResponse(f"Content-Length: {length} (RFC 9110 section 8.6)")
    end = start + int(length)
    return replace(response, body=data[start:end], raw=data[:end], complete=len(data) >= end)


def _with_chunks(response: WireResponse, data: bytes, at: int) -> WireResponse:
    """Add the chunks (RFC 9112 section 7.1); this server sends neither extensions nor trailers."""
    chunks: list[bytes] = []
    while (match := _CHUNK_SIZE.match(data, at)) is not None:
        size, start = int(match[1], 16), match.end()
        at = start + size + 2
        if len(data) < at:
            break
        if data[at - 2 : at] != b"\r\n":
            raise BrokenResponse("no CRLF behind a chunk (RFC 9112 section 7.1)")
        if not size:
            return replace(response, body=b"".join(chunks), chunks=chunks, raw=data[:at])
        chunks.append(data[start : at - 2])
    else:
        if re.match(rb"[0-9A-Fa-f]{0,16}\r?\Z", data[at:]) is None:
            raise BrokenResponse(f"no chunk size: {data[at : at + 40]!r} (RFC 9112 section 7.1)")
    return replace(response, body=b"".join(chunks), chunks=chunks, raw=data, complete=False)


# -- A client for tests of the protocol --------------------------------------------------------------------------------


class WireClient:
    """One connection to a server of its own: raw bytes in, parsed responses out, on a clock that the test moves.

    Each method lets the server do all that it can and returns the responses that came meanwhile, a 100 (Continue)
    among them. What the application raises is answered as on any server and kept in ``errors``; ``raise_errors``
    lets it reach the test, as Ctrl-C, ``pytest.fail`` and the like do always. Keyword arguments are the settings of
    the server; ``now`` is what its clock shows first.
    """

    def __init__(
        self,
        application: Application,
        *,
        strict: bool = False,
        raise_errors: bool = False,
        settings: Settings | None = None,
        now: float = 0.0,
        **overrides: Any,
    ) -> None:
        chosen = with_values(settings, overrides)
        self.application = under_test(application, strict or chosen.strict)
        self.raise_errors = raise_errors
        self.settings = chosen
        # What the application raised, and what was written to wsgi.errors.
        self.errors: list[BaseException] = []
        self.log = io.StringIO()
        # The environ of each call, the exchanges that are over, and all responses, in order.
        self.environs: list[Environ] = []
        self.exchanges: list[Exchange] = []
        self.responses: list[WireResponse] = []
        # Every byte that was sent, and that came back.
        self.sent = bytearray()
        self.stream = MemoryStream()
        site = WatchedSite(self._call, chosen, self.log, [self.exchanges.append], on_error=self._note)
        self._line = Line(site, self.stream, base_environ(site, "localhost", "80"), now)
        self._read = 0
        self._answered = 0

    def _call(self, environ: Environ, start_response: Any) -> Iterable[bytes]:
        self.environs.append(environ.copy())
        return self.application(environ, start_response)

    def _note(self, error: BaseException) -> bool:
        self.errors.append(error)
        return False

    # -- what a client does ----------------------------------------------------------------------------------------

    def send(self, data: bytes, *, at_once: int | None = None) -> list[WireResponse]:
        """Send bytes, in pieces of ``at_once`` octets where that is given."""
        self.sent += data
        for start in range(0, len(data), at_once or len(data) or 1):
            self.stream.inbox += data[start : start + (at_once or len(data))]
            self._line.work()
        return self._news()

    def request(
        self,
        method: str,
        target: str = "/",
        headers: Iterable[tuple[str, str]] = (),
        body: bytes | bytearray | memoryview | Iterable[bytes] = b"",
    ) -> WireResponse:
        """Send one whole request and give its response; a body of several pieces is sent chunked.

        Host is added where ``headers`` have none, and what frames the body where they have neither Content-Length nor
        Transfer-Encoding. Raises ``ConnectionError`` when there is no answer, ``TypeError`` for a body that is a str.
        """
        if isinstance(body, str):
            raise TypeError("the body is a str, not bytes: encode it")
        headers = list(headers)
        names = {name.lower() for name, _ in headers}
        if "host" not in names:
            headers.insert(0, ("Host", "localhost"))
        framed = not names.isdisjoint(("content-length", "transfer-encoding"))
        if isinstance(body, bytes | bytearray | memoryview):
            data = bytes(body)
            if data and not framed:
                headers.append(("Content-Length", str(len(data))))
        else:
            data = b"".join(body) if "content-length" in names else chunked(body)
            if not framed:
                headers.append(("Transfer-Encoding", "chunked"))
        lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers)]
        final = [each for each in self.send(head_bytes(lines) + data) if each.code >= 200]
        if not final:
            raise ConnectionError(f"{method} {target} was not answered; the server's side is {self.end or 'open'}")
        return final[-1]

    def finish(self) -> list[WireResponse]:
        """Close the sending side (half-close): what was sent is all there is."""
        self._line.end()
        return self._news()

    def vanish(self) -> None:
        """Be gone: whatever the server does with the connection fails."""
        self.stream.gone = ConnectionResetError("the client is gone")
        self._line.work()
        self._news()

    def wait(self, seconds: float) -> list[WireResponse]:
        """Let time pass, and the deadlines that lie in it."""
        self._line.expire(self._line.now + seconds)
        return self._news()

    # -- what came of it -------------------------------------------------------------------------------------------

    @property
    def received(self) -> bytes:
        """Every byte that came back."""
        return bytes(self.stream.sent)

    @property
    def end(self) -> str:
        """How the server ended the connection: "shut" (its sending side), "closed", "reset"; "" while it goes on."""
        return self.stream.end

    @property
    def state(self) -> State:
        """What the server does with the connection now."""
        return self._line.connection.state

    def _news(self) -> list[WireResponse]:
        """Read the responses that came; an exchange that is over has one, unless nothing was answered."""
        before = len(self.responses)
        while self._answered < len(self.exchanges):
            final = self._next(self.exchanges[self._answered].request.method)
            self._answered += final is None or final.code >= 200
        if self.stream.sent[self._read :].startswith(b"HTTP/1.1 1"):
            self._next("GET")
        raised = [error for error in self.errors if self.raise_errors or must_reach_caller(error)]
        if raised:
            first = max(raised, key=must_reach_caller)
            self.errors.remove(first)
            raise own_traceback(first)
        return self.responses[before:]

    def _next(self, method: str) -> WireResponse | None:
        data = bytes(self.stream.sent[self._read :])
        # The exchange is over, so no more of its response will come.
        response = read_response(data, method, ended=True) if data else None
        if response is not None:
            self._read += len(response.raw)
            self.responses.append(response)
        return response
