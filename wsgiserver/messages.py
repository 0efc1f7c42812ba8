"""Holds what the reader found, a ``Request`` with its ``Fields``, and who is at fault when something is wrong.

``heads`` and ``forms`` make the requests, for ``http11``; who answers them or tells of them reads them. ``responses``
and ``exchange`` raise what an application is to blame for. All of them are pure data.
"""

from typing import Any, Final

from wsgiserver.masking import masked_text, shown

# Characters of a path that tell one route from another.
ROUTE_LENGTH: Final = 128


class BadRequest(Exception):
    """The client broke a rule; it is answered with ``status`` and the connection is closed.

    ``reason`` is one sentence for people and ``section`` the rule's place ("RFC 9112 section 5.1"). ``line`` is the
    offending line as it came (as much of it as is there) and ``at`` the offset of the offending byte in it, or -1
    where no single byte is to blame.
    """

    def __init__(self, status: int, reason: str, section: str, line: bytes = b"", at: int = -1) -> None:
        super().__init__(f"{reason} ({section})")
        self.status = status
        self.reason = reason
        self.section = section
        self.line = line
        self.at = at


class BadResponse(Exception):
    """The application broke a rule of PEP 3333 or RFC 9110; ``str()`` of it says which, for its developer."""


def cgi_variable(name: str) -> str:
    """Give the CGI variable of a field (RFC 3875 section 4.1.18), "" for one that is dropped."""
    key = name.upper().replace("-", "_")
    if "_" in name or key == "PROXY":
        # It could pose as the field with hyphens; HTTP_PROXY would be read as a setting of the process.
        return ""
    return key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else "HTTP_" + key


class Fields:
    """The header fields of one request, parsed and checked.

    Shared by all requests that came with the same bytes, so nothing in it may be changed once it is made.
    """

    # No __slots__: from Python 3.13 on, an object without them is made in half the time. What most requests have not
    # stands here instead of in ``__init__``.

    # Octets of the body as Content-Length says, or None.
    content_length: int | None = None
    # The connection options "close" and "keep-alive" (RFC 9112 section 9.3).
    close = False
    keep_alive = False
    # The value of Expect in lower case, "" where there is none (RFC 9110 section 10.1.1).
    expect = ""

    def __init__(self, block: bytes, variables: dict[str, str]) -> None:
        # The field lines as they came, each with its CRLF.
        self.block = block
        # The same as CGI variables (RFC 3875 section 4.1.18), repeated fields combined; values are latin-1 text.
        self.variables = variables
        # None: no Host field was sent (an empty one is "").
        self.host: str | None = variables.get("HTTP_HOST")

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """The fields in order, names as sent, without those that are dropped (``cgi_variable``)."""
        lines = self.block.decode("latin-1").split("\r\n")[:-1]
        parts = (line.partition(":") for line in lines)
        return tuple((name, value.strip(" \t")) for name, _, value in parts if cgi_variable(name))

    def __repr__(self) -> str:
        return f"Fields({', '.join(map(shown, self.pairs))})"


_NO_VALUES: Final[dict[str, str]] = {}


class Request:
    """The head of one request, parsed and checked (RFC 9112 section 3); shared by all requests with the same head.

    What the client sent is never changed once it is made. The notes below it are other modules'; each is made by one
    assignment, so that two threads that make it at once make the same.
    """

    def __init__(
        self,
        method: str,
        target: str,
        path: str,
        query: str,
        authority: str | None,
        minor: int,
        fields: Fields,
    ) -> None:
        self.method = method
        # The request-target, untouched, as latin-1 text.
        self.target = target
        # The path with its percent-escapes decoded once, as latin-1 text of the bytes; "*" for ``OPTIONS *``.
        self.path = path
        # What stands behind the first "?", untouched.
        self.query = query
        # The authority of an absolute-form target, which outranks Host (RFC 9112 section 3.2.2); else None.
        self.authority = authority
        # 0 for HTTP/1.0, 1 for HTTP/1.1 and above.
        self.minor = minor
        self._fields = fields
        # It is answered in the usual way: with a body, and in HTTP/1.1.
        self.plain = minor == 1 and method != "HEAD"
        # Whether the client wants the connection kept (RFC 9112 section 9.3).
        self.keep_alive = not fields.close if minor else fields.keep_alive and not fields.close
        # A body follows: chunked, or of a length that is not 0 (RFC 9112 section 6.3).
        self.has_body = False
        self.chunked = False
        self.content_length = fields.content_length
        # The client waits for leave to send it (RFC 9110 section 10.1.1).
        self.expects_continue = False
        # -- notes. (With a value in the class besides, an attribute takes five times as long to read.)
        # Of ``forms``: a request with the same fields, of which these have other values; the target may be another.
        self.like: Request | None = None
        self.values = _NO_VALUES
        # Of ``http11``: the same head came before.
        self.repeated = False
        # Of ``environ``: for a head that is repeated an environ, and that of the listener that it was made from.
        self.environ: tuple[dict[str, Any], dict[str, Any]] | None = None
        # Of ``logs``: what a line says of it, in two parts.
        self.told: tuple[str, str] | None = None

    @property
    def fields(self) -> Fields:
        """The header fields."""
        return self._fields

    @property
    def route(self) -> str:
        """The method and the begin of the path, without the digits at its end: what is alike takes as long, perhaps."""
        return f"{self.method} {self.path[:ROUTE_LENGTH].rstrip('0123456789')}"

    def __repr__(self) -> str:
        return f"<Request {self.method} {masked_text(self.target)} HTTP/1.{self.minor}>"


# Of a line that could not be read so many octets at most are kept for logs, and shown on pages.
SHOWN: Final = 200


class Unreadable(Request):
    """Stands in an exchange for a request whose line could not be read.

    Where the line begins with what looks like a method, it and what looks like the target are kept, and the ``line``,
    or the begin of it; else they are "-". For logs tell them, and something else may be a secret, or an absolute target
    have a password in it. And to HEAD no content may be sent even then (RFC 9110 section 9.3.2).
    """

    def __init__(self, line: bytes = b"") -> None:
        self.line = line[:SHOWN].decode("latin-1")
        method, space, rest = self.line.partition(" ")
        if not (space and method.isascii() and method.isalpha() and method.isupper()) or "://" in rest:
            self.line, method, rest = "-", "-", "-"
        super().__init__(method, rest.rpartition(" ")[0] or rest, "", "", None, 1, Fields(b"", {}))


UNREADABLE: Final = Unreadable()
