"""Takes status and headers of a response, and what is known of its body, and gives bytes to ``exchange`` (RFC 9112).

The other direction of ``http11``: what an application says is checked as strictly as what a client sends, and how the
body is delimited is decided in one place, ``frame``.
"""

from enum import Enum, auto
from typing import Final

from wsgiserver.grammar import HEADER_NAME, HEADER_VALUE, LENGTH_DIGITS, STATUS
from wsgiserver.masking import shown
from wsgiserver.messages import BadResponse, Request


class Framing(Enum):
    """How the client finds the end of a response (RFC 9112 section 6.3)."""

    NONE = auto()  # with the head: there is no body
    LENGTH = auto()  # after Content-Length octets
    CHUNKED = auto()  # with the last chunk
    CLOSE = auto()  # with the end of the connection


# To look a member up in its class takes ten times as long as a global.
NONE, LENGTH, CHUNKED, CLOSE = Framing


class ResponseHead:
    """Status and headers of a response as the application gave them, checked and in bytes.

    Shared by all responses with the same status and headers, so nothing in it may be changed once it is made.
    """

    __slots__ = ("bodyless", "close", "dropped", "length", "own", "plain", "start")

    def __init__(self, start: bytes, bodyless: bool) -> None:
        # The status line and the header lines, each ended by CRLF.
        self.start = start
        # The status alone forbids a body: 204, 205, 304.
        self.bodyless = bodyless
        # Octets as the application's Content-Length says, or None.
        self.length: int | None = None
        # The application said "Connection: close".
        self.close = False
        # Which lines the application has given itself, so that the server's are left out; the sum is an index.
        self.own = 0
        # Names of hop-by-hop headers that were left out.
        self.dropped: tuple[str, ...] = ()
        # Nothing is special about it, so that a body of its length may follow in the usual way.
        self.plain = False


# Applications repeat their heads; one that is known is neither checked nor put together again (1 µs for Flask's hello).
_heads: dict[tuple[str, tuple[tuple[str, str], ...]], ResponseHead] = {}
KNOWN_HEADS: Final = 512
KNOWN_HEAD_LENGTH: Final = 1024

# The statuses that allow no body: RFC 9110 sections 15.3.5, 15.3.6, 15.4.5.
BODYLESS: Final = frozenset((204, 205, 304))
OWN_DATE: Final = 1
OWN_SERVER: Final = 2
# RFC 9110 section 7.6.1, and RFC 2616 section 13.5.1 (Trailers), to which PEP 3333 refers.
_HOP_BY_HOP: Final = frozenset(
    ("connection", "keep-alive", "te", "trailer", "trailers", "transfer-encoding", "upgrade")
)


def prepare_head(status: str, headers: list[tuple[str, str]]) -> ResponseHead:
    """Check what an application gave to ``start_response`` (PEP 3333); raise ``BadResponse`` for the first fault."""
    if type(headers) is not list:
        raise BadResponse(f"the headers are a {type(headers).__name__}, not a list (PEP 3333)")
    try:
        known = _heads.get((status, tuple(headers)))  # to unpack them takes 400 instructions more
    except TypeError:
        known = None  # something unhashable is in it; the checks will name it
    if known is not None:
        return known
    head = _prepare(status, headers)
    if len(head.start) <= KNOWN_HEAD_LENGTH and not head.dropped:
        if len(_heads) >= KNOWN_HEADS:
            _heads.clear()
        plain = tuple([(str.__str__(name), str.__str__(value)) for name, value in headers])
        _heads[(str.__str__(status), plain)] = head
    return head


def _prepare(status: str, headers: list[tuple[str, str]]) -> ResponseHead:
    code = _check_status(status)
    status = str.__str__(status)
    head = ResponseHead(b"", code in BODYLESS)
    lines = [f"HTTP/1.1 {status}\r\n"]
    dropped = []
    for header in headers:
        name, value = _check_header(header)
        lower = name.lower()
        if lower == "content-length":
            if head.length is not None:
                raise BadResponse("Content-Length was given twice (RFC 9112 section 6.3)")
            head.length = length_of(value)
            if head.length is None:
                form = f"a row of at most {LENGTH_DIGITS} digits (RFC 9110 section 8.6)"
                raise BadResponse(f"the Content-Length {shown(value)} is not {form}")
            if code in (204, 205):
                continue
        elif lower == "connection":
            if "close" in [option.strip() for option in value.lower().split(",")]:
                head.close = True
            else:
                dropped.append(name)
            continue
        elif is_hop_by_hop(lower):
            dropped.append(name)
            continue
        elif lower == "date":
            head.own |= OWN_DATE
        elif lower == "server":
            head.own |= OWN_SERVER
        lines.append(f"{name}: {value}\r\n")
    if code == 205:
        # RFC 9110 section 15.3.6: it has no content, and says so.
        lines.append("Content-Length: 0\r\n")
    head.start = "".join(lines).encode("latin-1")
    head.dropped = tuple(dropped)
    head.plain = head.length is not None and not (head.bodyless or head.close or head.dropped)
    return head


def _check_status(status: object) -> int:
    if not isinstance(status, str):
        raise BadResponse(f"the status is a {type(status).__name__}, not a str (PEP 3333)")
    if not STATUS.fullmatch(status):
        raise BadResponse(f"the status {status!r} is not three digits, a space and a reason (PEP 3333)")
    code = int(status[:3])
    if not 200 <= code <= 599:
        raise BadResponse(f"the status {status!r} is not that of a final response (RFC 9110 section 15)")
    return code


def _check_header(header: object) -> tuple[str, str]:
    if not isinstance(header, tuple) or len(header) != 2:
        raise BadResponse(f"the header {shown(header)} is not a tuple of name and value (PEP 3333)")
    name, value = header
    if not isinstance(name, str) or not isinstance(value, str):
        kinds = f"a {type(name).__name__} and a {type(value).__name__}"
        raise BadResponse(f"the header {shown(header)} is made of {kinds}, not of two str (PEP 3333)")
    if not HEADER_NAME.fullmatch(name):
        raise BadResponse(f"the header name {name!r} is not a token (RFC 9110 section 5.1)")
    # isprintable() is quicker than the pattern, and refuses a few characters that may stand in a value.
    if not (value.isascii() and value.isprintable()) and not HEADER_VALUE.fullmatch(value):
        fit = HEADER_VALUE.match(value)
        character = value[fit.end() if fit is not None else 0]
        what = f"holds {character!r}, a control character or one outside latin-1"
        raise BadResponse(f"the value of the header {name}, {shown(value, name)}, {what} (RFC 9110 section 5.5)")
    # Of a subclass of str the text counts, not what its own __str__ or __format__ would make of it.
    return str.__str__(name), str.__str__(value)


def length_of(value: str) -> int | None:
    """Read a Content-Length; None where it is no row of digits, or so many that no body can have them."""
    return int(value) if value.isascii() and value.isdigit() and len(value) <= LENGTH_DIGITS else None


def is_hop_by_hop(lower: str) -> bool:
    """Tell whether a header, named in lower case, is for one connection, and so the server's to say.

    Of those that begin with "proxy-" only Proxy-Status is handed on by each intermediary (RFC 9209).
    """
    return lower in _HOP_BY_HOP or (lower.startswith("proxy-") and lower != "proxy-status")


def frame(head: ResponseHead, request: Request, length: int | None, keep_alive: bool) -> tuple[Framing, bytes, bool]:
    """Decide how the body is delimited, which is the one framing table (RFC 9112 section 6.3).

    ``length`` is that of the whole body where it is known and the application did not give it; ``keep_alive`` is
    whether the connection may be kept. Gives the framing, the header lines to add, and whether it is kept.

    ============================== ======================= =================
    the response                   header added            framing
    ============================== ======================= =================
    205                            Content-Length: 0       NONE
    204, 304                       none                    NONE
    to HEAD                        Content-Length if known NONE
    has a Content-Length           none                    LENGTH
    has a body of known length     Content-Length          LENGTH
    to HTTP/1.1                    Transfer-Encoding       CHUNKED
    else                           none                    CLOSE
    ============================== ======================= =================
    """
    lines = b""
    if head.bodyless:
        framing = NONE
    elif request.method == "HEAD":
        framing = NONE
        # An application that makes no body for HEAD does not know its length: saying 0 would be wrong.
        if length and head.length is None:
            lines = b"Content-Length: %d\r\n" % length
    elif head.length is not None:
        framing = LENGTH
    elif length is not None:
        framing = LENGTH
        lines = b"Content-Length: %d\r\n" % length
    elif request.minor:
        framing = CHUNKED
        lines = b"Transfer-Encoding: chunked\r\n"
    else:
        framing = CLOSE
        keep_alive = False
    if head.close:
        keep_alive = False
    if not keep_alive:
        lines += LAST_RESPONSE
    elif not request.minor:
        lines += b"Connection: keep-alive\r\n"
    return framing, lines, keep_alive


def chunk(data: bytes) -> bytes:
    """Frame one chunk (RFC 9112 section 7.1); ``data`` must not be empty, for that would end the body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


LAST_RESPONSE: Final = b"Connection: close\r\n"
LAST_CHUNK: Final = b"0\r\n\r\n"
CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
