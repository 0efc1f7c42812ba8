"""Takes the lines of a request's head and gives a ``Request`` with its ``Fields``, or says which rule was broken.

``http11`` finds where the lines end and calls this module for each of them. A fault is explained only once the
pattern has refused the line, so that good requests pay nothing for good messages.
"""

from typing import Final

from wsgiserver.grammar import (
    ABSOLUTE_FORM,
    BROKEN_ESCAPE,
    CONTROLS,
    DIGITS,
    FIELD_LINE,
    FIELD_LINES,
    LENGTH_DIGITS,
    LINE_BREAK,
    NAMED_HOST,
    REQUEST_LINE,
    TARGET_START,
    TOKEN_START,
    TRANSFER_CODING,
    literal_host,
    pct_encoded,
)
from wsgiserver.messages import BadRequest, Fields, Request, cgi_variable

# -- Field lines ---------------------------------------------------------------------------------------------------


# The CGI variables of names that were found valid. Both bounds keep a hostile client from filling the memory; a full
# table is emptied, which costs the next requests some µs.
_variables: dict[str, str] = {}
KNOWN_NAMES: Final = 1024
KNOWN_NAME_LENGTH: Final = 64


def variable_of(name: str) -> str:
    """Give the CGI variable of a valid name, "" for one that is dropped, and remember it."""
    variable = _variables.get(name)
    if variable is None:
        variable = cgi_variable(name)
        if len(name) <= KNOWN_NAME_LENGTH:
            if len(_variables) >= KNOWN_NAMES:
                _variables.clear()
            _variables[name] = variable
    return variable


def parse_field(line: bytes) -> tuple[str, str]:
    """Give name and value of one field line without its CRLF (RFC 9112 section 5), or raise ``BadRequest``."""
    match = FIELD_LINE.fullmatch(line)
    if match is None:
        raise _explain_field(line)
    name, value = match.groups()
    return name.decode("latin-1"), value.decode("latin-1").rstrip(" \t")


def _explain_field(line: bytes) -> BadRequest:
    """Say what is wrong with a field line that the pattern refused."""
    _check_line(line)
    if line[:1] in (b" ", b"\t"):
        return BadRequest(400, "a folded field line (obs-fold) is not accepted", "RFC 9112 section 5.2", line, 0)
    name, colon, _ = line.partition(b":")
    if not colon:
        return BadRequest(400, "a field line has no colon", "RFC 9112 section 5", line, len(line))
    if not name:
        return BadRequest(400, "a field line has no name", "RFC 9112 section 5", line, 0)
    stripped = name.rstrip(b" \t")
    if stripped != name and FIELD_LINE.fullmatch(stripped + b":"):
        reason = "white space stands between the field name and the colon"
        return BadRequest(400, reason, "RFC 9112 section 5.1", line, len(stripped))
    head = FIELD_LINE.match(line)
    if head is None:
        good = TOKEN_START.match(name)
        at = good.end() if good is not None else 0
        return BadRequest(400, "a field name is not a token", "RFC 9110 section 5.1", line, at)
    return BadRequest(400, "a field value holds a control character", "RFC 9110 section 5.5", line, head.end())


def check_first_field(line: bytes) -> None:
    """Refuse white space between the request line and the first field (RFC 9112 section 2.2)."""
    _check_line(line)
    if line[:1] in (b" ", b"\t"):
        reason = "white space stands between the request line and the first field"
        raise BadRequest(400, reason, "RFC 9112 section 2.2", line, 0)


def _check_line(line: bytes) -> None:
    """Raise for a byte that may stand in no line at all; the line is whole and without its CRLF."""
    match = LINE_BREAK.search(line)
    if match is not None:
        raise forbidden(line, match.start())


def forbidden(line: bytes, at: int) -> BadRequest:
    """Name the byte at ``at``, a CR, LF or NUL that may not stand there."""
    byte = line[at : at + 1]
    if byte == b"\n":
        return BadRequest(400, "a line ends in a bare LF", "RFC 9112 section 2.2", line, at)
    if byte == b"\r":
        return BadRequest(400, "a line holds a bare CR", "RFC 9112 section 2.2", line, at)
    return BadRequest(400, "a line holds a NUL", "RFC 9110 section 5.5", line, at)


# Fields that are never combined: what makes two of them wrong, and where that stands.
_SINGLE: Final = {
    "HTTP_HOST": ("Host was sent twice", "RFC 9112 section 3.2"),
    "CONTENT_LENGTH": ("Content-Length was sent twice", "RFC 9112 section 6.3"),
    "CONTENT_TYPE": ("two different Content-Type fields were sent", "RFC 9110 section 8.3"),
}


def parse_fields(block: bytes, limit: int) -> Fields:
    """Parse at most ``limit`` field lines, each ended by CRLF; raise ``BadRequest`` for the first fault."""
    text = block.decode("latin-1")
    pairs = FIELD_LINES.findall(text)
    if len(block) - len(block.translate(None, CONTROLS)) != 2 * len(pairs) or len(pairs) > limit:
        pairs = _parse_lines(block, limit)
    try:
        variables = {_variables[name]: value for name, value in pairs}
    except KeyError:
        variables = {variable_of(name): value for name, value in pairs}
    if len(variables) != len(pairs) or "" in variables:
        variables = _combine(pairs, block)
    fields = Fields(block, variables)
    if not READ_AT_ONCE.isdisjoint(variables):
        _read_options(fields)
    return fields


def _parse_lines(block: bytes, limit: int) -> list[tuple[str, str]]:
    """Do the same line by line: there is white space behind a value, or a fault."""
    lines = block.split(b"\r\n")
    lines.pop()
    if limit:
        check_first_field(lines[0])
    pairs = [parse_field(line) for line in lines[:limit]]
    if len(lines) > limit:
        _check_line(lines[limit])
        raise too_many_fields(lines[limit], limit)
    return pairs


def too_many_fields(line: bytes, limit: int) -> BadRequest:
    """Refuse the line that is one too many."""
    return BadRequest(431, f"more than {limit} field lines were sent", "RFC 6585 section 5", line, 0)


def _combine(pairs: list[tuple[str, str]], block: bytes) -> dict[str, str]:
    """Combine the values of fields that came more than once (RFC 9110 section 5.3); leave out what is dropped."""
    variables: dict[str, str] = {}
    for index, (name, value) in enumerate(pairs):
        key = variable_of(name)
        if key not in variables:
            variables[key] = value
        elif key in _SINGLE:
            if key != "CONTENT_TYPE" or value != variables[key]:
                raise BadRequest(400, *_SINGLE[key], block.split(b"\r\n")[index], 0)
        else:
            # RFC 6265 section 5.4 sends one Cookie field; HTTP/2 and proxies split it, and it is joined as it was.
            variables[key] += f"; {value}" if key == "HTTP_COOKIE" else f", {value}"
    variables.pop("", None)
    return variables


# Members of a list that decides something, empty ones too: a sender's mistakes are few (RFC 9110 section 5.6.1.2), and
# 16 clients who send as many as a head can hold kept the others waiting for half a second.
MOST_MEMBERS: Final = 16
# Variables of fields that ``_read_options`` reads; Host and Transfer-Encoding wait for the request line, see
# ``complete_head``.
READ_AT_ONCE: Final = frozenset(("CONTENT_LENGTH", "HTTP_CONNECTION", "HTTP_EXPECT"))


def _read_options(fields: Fields) -> None:
    """Read Content-Length, Connection and Expect out of the fields."""
    variables = fields.variables
    length = variables.get("CONTENT_LENGTH")
    if length is not None:
        fields.content_length = _content_length(length)
        if length[:1] == "0":  # as it came, it may have more digits than Python's int() takes
            variables["CONTENT_LENGTH"] = str(fields.content_length)
    connection = variables.get("HTTP_CONNECTION")
    if connection is not None:
        options = [option.strip(" \t") for option in connection.lower().split(",")]
        fields.close = "close" in options
        fields.keep_alive = "keep-alive" in options
    if "HTTP_EXPECT" in variables:
        # RFC 9110 section 5.6.1.2: a list, in which empty elements are to be ignored.
        members = [member.strip(" \t") for member in variables["HTTP_EXPECT"].lower().split(",", MOST_MEMBERS)]
        fields.expect = ", ".join(dict.fromkeys(filter(None, members)))


def _content_length(text: str) -> int:
    # Python's int() takes "+5", "5_0" and Arabic digits too; the RFC takes digits.
    if not DIGITS.fullmatch(text.encode("latin-1")):
        reason = "Content-Length is not a row of digits"
        raise BadRequest(400, reason, "RFC 9112 section 6.3", b"Content-Length: " + text.encode("latin-1"), 16)
    text = text.lstrip("0") or "0"
    return int(text) if len(text) <= LENGTH_DIGITS else 10**LENGTH_DIGITS


# -- The request line ----------------------------------------------------------------------------------------------


# Method, target, decoded path, query, authority (of an absolute-form target, else None) and minor version.
RequestLine = tuple[str, str, str, str, str | None, int]


def parse_request_line(line: bytes) -> RequestLine:
    """Parse a request line without its CRLF (RFC 9112 section 3)."""
    match = REQUEST_LINE.fullmatch(line.decode("latin-1"))
    if match is None:
        raise _explain_request_line(line)
    method, target, major, minor = match.groups()
    if major != "1":
        reason = f"HTTP/{major}.{minor} is not supported"
        raise BadRequest(505, reason, "RFC 9110 section 15.6.6", line, len(line) - 3)
    if method == "CONNECT":
        raise BadRequest(501, "CONNECT is not implemented", "RFC 9110 section 9.3.6", line, 0)
    authority = None
    if target[0] == "/":
        path, _, query = target.partition("?")
    elif target == "*" and method == "OPTIONS":
        path, query = target, ""
    else:
        authority, path, query = _absolute_form(target.encode("latin-1"), method, line)
    if "%" in path:
        path = decode_path(path.encode("latin-1"), line)
    return method, target, path, query, authority, 0 if minor == "0" else 1


def _absolute_form(target: bytes, method: str, line: bytes) -> tuple[str, str, str]:
    """Take an absolute-form target apart (RFC 9112 section 3.2.2) into authority, path and query."""
    match = ABSOLUTE_FORM.fullmatch(target)
    at = len(method) + 1
    if match is None:
        reason = "the target is neither a path, nor an absolute URI, nor * with OPTIONS"
        raise BadRequest(400, reason, "RFC 9112 section 3.2", line, at)
    authority, path, query = match.groups(b"")
    at += match.start(1)
    if b"@" in authority:
        raise BadRequest(400, "the target holds a user name", "RFC 9110 section 4.2.4", line, at)
    if not authority or authority[:1] == b":" or not _is_host(authority):
        raise BadRequest(400, "the target's authority is not a host", "RFC 9110 section 4.2.1", line, at)
    return authority.decode("latin-1"), path.decode("latin-1") or "/", query.decode("latin-1")


def decode_path(path: bytes, line: bytes) -> str:
    """Decode the escapes of the path that stands in a request line (RFC 3986 section 2.1), or raise ``BadRequest``."""
    broken = BROKEN_ESCAPE.search(path)
    if broken is not None:
        at = line.index(path) + broken.start()
        reason = "a percent sign is not followed by two hex digits"
        raise BadRequest(400, reason, "RFC 3986 section 2.1", line, at)
    octets = pct_encoded()
    first, *parts = path.split(b"%")
    return b"".join([first, *(octets[part[:2]] + part[2:] for part in parts)]).decode("latin-1")


def _explain_request_line(line: bytes) -> BadRequest:
    """Say what is wrong with a request line that the pattern refused."""
    _check_line(line)
    section = "RFC 9112 section 3"
    parts = line.split(b" ")
    if len(parts) == 2 and not parts[1].startswith(b"HTTP/"):
        return BadRequest(400, "the request line has no HTTP version", "RFC 9112 section 2.3", line, len(line))
    if len(parts) != 3 or b"" in parts:
        return BadRequest(400, "the request line is not: method SP target SP version", section, line, 0)
    method, target, _ = parts
    if TOKEN_START.fullmatch(method) is None:
        return BadRequest(400, "the method is not a token", "RFC 9110 section 9.1", line, 0)
    good = TARGET_START.match(target)
    if good is None or good.end() < len(target):
        reason = "the target holds a character that may not stand in it"
        at = len(method) + 1 + (good.end() if good is not None else 0)
        return BadRequest(400, reason, "RFC 9112 section 3.2", line, at)
    at = len(method) + len(target) + 2
    return BadRequest(400, "the version is not of the form HTTP/1.1", "RFC 9112 section 2.3", line, at)


def _is_host(value: bytes) -> bool:
    return (literal_host() if value[:1] == b"[" else NAMED_HOST).fullmatch(value) is not None


# Host values that were found valid, so that the pattern, 0.5 µs, is not matched on every request.
_hosts: set[str] = set()
KNOWN_HOSTS: Final = 256
KNOWN_HOST_LENGTH: Final = 256


def _check_host(host: str) -> None:
    value = host.encode("latin-1")
    if host[:1] == ":" or not _is_host(value):
        raise BadRequest(400, "Host is not a host name and port", "RFC 9112 section 3.2", b"Host: " + value, 6)
    if len(host) <= KNOWN_HOST_LENGTH:
        if len(_hosts) >= KNOWN_HOSTS:
            _hosts.clear()
        _hosts.add(host)


def complete_head(request: Request) -> None:
    """Read and check what takes the request line and the fields together: Host, Transfer-Encoding, Expect.

    Raises ``BadRequest``.
    """
    fields = request.fields
    request.has_body = bool(fields.content_length)
    if fields.host is None:
        if request.minor:
            raise BadRequest(400, "HTTP/1.1 without a Host field", "RFC 9112 section 3.2")
    elif fields.host not in _hosts:
        _check_host(fields.host)
    codings = fields.variables.get("HTTP_TRANSFER_ENCODING")
    if codings is not None:
        if fields.content_length is not None:
            reason = "Content-Length and Transfer-Encoding were sent together"
            raise BadRequest(400, reason, "RFC 9112 section 6.3")
        if not request.minor:
            raise BadRequest(400, "Transfer-Encoding came with HTTP/1.0", "RFC 9112 section 6.1")
        _read_codings(codings)
        request.chunked = request.has_body = True
    if not request.minor or not fields.expect:
        return
    if fields.expect != "100-continue":
        line = b"Expect: " + fields.expect.encode("latin-1")
        raise BadRequest(417, "the expectation is not known", "RFC 9110 section 10.1.1", line, 8)
    request.expects_continue = True


def _read_codings(text: str) -> None:
    """Check Transfer-Encoding (RFC 9112 section 6.1), of which only "chunked" alone is understood."""
    value = text.encode("latin-1")
    line = b"Transfer-Encoding: " + value
    section = "RFC 9112 section 6.1"
    if value.count(b",") >= MOST_MEMBERS:
        reason = f"Transfer-Encoding is a list of more than {MOST_MEMBERS} members"
        raise BadRequest(400, reason, "RFC 9110 section 5.6.1.2", line, 19)
    # Empty list elements are to be ignored (RFC 9110 section 5.6.1.2).
    codings = [coding for part in value.split(b",") if (coding := part.strip(b" \t").lower())]
    if codings == [b"chunked"]:
        return
    if not codings or not all(map(TRANSFER_CODING.fullmatch, codings)):
        raise BadRequest(400, "Transfer-Encoding is not a list of transfer codings", section, line, 19)
    if codings.count(b"chunked") > 1:
        raise BadRequest(400, "chunked was applied more than once", section, line, 19)
    if b"chunked" in codings[:-1]:
        raise BadRequest(400, "chunked is not the last transfer coding", "RFC 9112 section 6.3", line, 19)
    if any(coding.startswith(b"chunked") and coding[7:8] in b" \t;" for coding in codings if coding != b"chunked"):
        raise BadRequest(400, "chunked takes no parameters", section, line, 19)
    raise BadRequest(501, "a transfer coding is not implemented", section, line, 19)
