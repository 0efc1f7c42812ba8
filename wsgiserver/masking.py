"""Takes what is to be shown to people, and puts three stars for what looks like a secret.

Messages are bytes, and shown line by line; what an error tells of an application's headers and variables is a value.
"""

import re
from functools import cache
from typing import Final

_WORDS: Final = rb"passw|passphrase|secret|token|api[_-]?key|csrf|session"
# Names of fields: also user[password], with its brackets escaped perhaps, and user.password.
_SECRET_WORD: Final = rb"[\w.%\[\]-]*(?:" + _WORDS + rb")[\w.%\[\]-]*+"
# A text of JSON, which may be cut.
_TEXT: Final = rb'"(?:[^"\\]|\\.)*(?:"|\\?\Z)'


def _nested(depth: int) -> bytes:
    """Give the pattern of an array or object of JSON, which may be cut, with so many others within one another."""
    within = _TEXT + (rb"|" + _nested(depth - 1) if depth else b"")
    return rb'[\[{](?:[^"\[\]{}]|' + within + rb")*[\]}]?"


@cache
def _secret_name() -> re.Pattern[str]:
    """Give the pattern of what header fields and variables have in their names; the rest of those may be wrong."""
    return re.compile("(?i)authorization|cookie|" + _WORDS.decode())


@cache
def _secrets() -> tuple[re.Pattern[bytes], ...]:
    """Give the patterns; to compile them, 3 ms, is left to the first who shows something."""
    return (
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
    for pattern in _secrets():
        data = pattern.sub(rb"\1***", data)
    return data


def masked_text(text: str) -> str:
    """Do the same for a text, of any characters."""
    return masked(text.encode("utf-8", "surrogatepass")).decode("utf-8", "surrogatepass")


def shown(value: object, name: str = "") -> str:
    """Give ``repr`` of a value for a message, without secrets: its own, or all of it where ``name`` is of a secret.

    A tuple or list is shown as what it was meant for, a header: its first item is the name of what follows.
    """
    return repr(_presentable(value, name))


def _presentable(value: object, name: str) -> object:
    if _secret_name().search(name):
        return "***"
    if isinstance(value, str):
        return masked_text(value)
    if isinstance(value, bytes):
        return masked(value)
    if isinstance(value, tuple | list) and value:
        items = [_presentable(value[0], ""), *(_presentable(each, str(value[0])) for each in value[1:])]
        return tuple(items) if isinstance(value, tuple) else items
    return value


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
