"""Takes what went wrong and gives an application that says so; ``gateway`` runs it like any other.

A page for the client's fault names the rule, shows the line that broke it, and points at the byte. A page for the
application's fault says nothing of its insides: the traceback goes to the server's error stream.
"""

from collections.abc import Iterable
from typing import Any, Final

from wsgiserver.grammar import BARE_BREAK, NO_TOKEN
from wsgiserver.messages import SHOWN, BadRequest
from wsgiserver.site import Application, Environ

# What the server itself answers with (RFC 9110 section 15, RFC 6585). Not taken from ``http``, which could not be
# imported for a bad request that comes when there are no descriptors left.
PHRASES: Final = {
    400: "Bad Request",
    408: "Request Timeout",
    413: "Content Too Large",
    414: "URI Too Long",
    417: "Expectation Failed",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    501: "Not Implemented",
    505: "HTTP Version Not Supported",
}
# Fields whose values are never shown, not even to the one who sent them: pages end up in logs and screenshots.
SECRET: Final = (b"authorization", b"cookie", b"proxy-authorization")


def page(status: int, text: str) -> Application:
    """Make an application that answers with ``status`` and a short text."""
    body = text.encode("utf-8", "backslashreplace")
    headers = [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(body)))]

    def application(environ: Environ, start_response: Any) -> Iterable[bytes]:
        start_response(_line(status), headers.copy())
        return [body]

    return application


def _line(status: int) -> str:
    return f"{status} {PHRASES[status]}"


def refusal(bad: BadRequest, *, terse: bool) -> Application:
    """Make the application that tells a client which rule its request broke."""
    title = f"{_line(bad.status)}\n"
    if terse:
        return page(bad.status, title)
    text = f"{title}\nThe request was refused: {bad.reason} ({bad.section}).\n"
    if bad.line:
        text += "\n" + point_at(bad.line, bad.at)
    return page(bad.status, text)


def point_at(line: bytes, at: int) -> str:
    """Show a line, indented, with a caret under the octet at ``at``; control characters are made visible."""
    first, shown, more = _window(line, at)
    cells = [_visible(octet) for octet in shown]
    before = "... " if first else ""
    text = "    " + before + "".join(cells) + (" ..." if more else "") + "\n"
    if 0 <= at - first <= len(cells):
        text += "    " + " " * (len(before) + len("".join(cells[: at - first]))) + "^\n"
    return text


def _window(line: bytes, at: int) -> tuple[int, bytes, bool]:
    """Choose what is shown of a line: from where, which octets, and whether there is more of it."""
    if line[:1] in (b" ", b"\t"):
        return 0, b"", True  # it may go on with the value of a secret field
    if any(NO_TOKEN.sub(b"", part.partition(b":")[0]).lower() in SECRET for part in (line, *line.split(b"\0"))):
        # Also where the name was damaged, or stands behind a NUL.
        return 0, line[: line.find(b":") + 1], True
    if b"://" in line and b"@" in line:
        return 0, line[: at + 1], True  # a password may stand before the at sign
    # What stands behind a bare CR or LF may be another field.
    end = BARE_BREAK.search(line)
    whole = line if end is None else line[: end.end()]
    first = max(0, min(at - SHOWN // 2, len(whole) - SHOWN))
    return first, whole[first : first + SHOWN], first + SHOWN < len(whole)


def _visible(octet: int) -> str:
    """One octet as it can be shown anywhere: printable ASCII as it is, else an escape."""
    if 0x20 <= octet < 0x7F:
        return chr(octet)
    return {0x09: "\\t", 0x0A: "\\n", 0x0D: "\\r"}.get(octet, f"\\x{octet:02x}")


# The application raised, or broke PEP 3333, before anything had left.
failure: Final = page(
    500,
    "500 Internal Server Error\n\nThe application failed. What happened stands in the server's error output.\n",
)
terse_failure: Final = page(500, "500 Internal Server Error\n")
