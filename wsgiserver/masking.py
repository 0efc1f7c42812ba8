"""Takes the bytes of messages; gives lines for people, with three stars for what looks like a secret."""

import re
from typing import Final

# Names of fields: also user[password], with its brackets escaped perhaps, and user.password.
_SECRET_WORD: Final = rb"[\w.%\[\]-]*(?:passw|passphrase|secret|token|api[_-]?key|csrf|session)[\w.%\[\]-]*+"
# A text of JSON, which may be cut.
_TEXT: Final = rb'"(?:[^"\\]|\\.)*(?:"|\\?\Z)'


def _nested(depth: int) -> bytes:
    """Give the pattern of an array or object of JSON, which may be cut, with so many others within one another."""
    within = _TEXT + (rb"|" + _nested(depth - 1) if depth else b"")
    return rb'[\[{](?:[^"\[\]{}]|' + within + rb")*[\]}]?"


_SECRETS: Final = (
    # Fields of requests and responses.
    re.compile(rb"(?im)^((?:[\w-]*authorization|[\w-]*cookie|" + _SECRET_WORD + rb"):[ \t]*)[^\r\n]*"),
    # Forms, queries, parameters of a path, fragments; JSON.
    re.compile(rb"(?i)((?:^|[?&;#\s])" + _SECRET_WORD + rb"=)[^&\s]*"),
    re.compile(rb'(?i)("' + _SECRET_WORD + rb'"\s*:\s*)(?:' + _TEXT + rb"|" + _nested(5) + rb"|[^\s,}\]]+)"),
    # The parts of a multipart form, each up to the head of the next one or to the end.
    re.compile(
        rb'(?is)(name="?' + _SECRET_WORD + rb'(?=["\s;])[^\r\n]*(?:\r\n[^\r\n]+)*\r\n\r\n)'
        rb".*?(?=\r\n--[^\r\n]+(?:\r\n[\w-]+:|--\s*\Z)|\Z)"
    ),
)
# Octets of a message that are shown.
MESSAGE_SHOWN: Final = 4000


def masked(data: bytes) -> bytes:
    """Put three stars for what looks like a secret: credentials, cookies, passwords, tokens."""
    for pattern in _SECRETS:
        data = pattern.sub(rb"\1***", data)
    return data


def show(
    request: bytes, response: bytes, error: BaseException | None = None, *, sizes: tuple[int, int] | None = None
) -> str:
    """Lay out what passed, line by line behind ``>`` and ``<``; secrets are masked, long messages are cut.

    ``sizes`` are those of the two messages, where only the begin of them is known.
    """
    sizes = sizes or (len(request), len(response))
    lines = [*_shown(request, ">", sizes[0]), *_shown(response, "<", sizes[1])]
    if error is not None:
        lines.append(f"! {type(error).__name__}: {error}")
    return "\n".join(lines)


def _shown(data: bytes, mark: str, size: int) -> list[str]:
    # Masked before it is cut, so that no secret is cut in two.
    text = masked(data[: 4 * MESSAGE_SHOWN])[:MESSAGE_SHOWN].decode("utf-8", "backslashreplace")
    lines = [f"{mark} {_printable(line)}".rstrip() for line in text.replace("\r\n", "\n").split("\n")]
    while lines and lines[-1] == mark:
        lines.pop()
    return lines + ([f"{mark} ... {size} octets in all"] if size > MESSAGE_SHOWN else [])


def _printable(line: str) -> str:
    return "".join(each if each.isprintable() or each == "\t" else f"\\x{ord(each):02x}" for each in line)
