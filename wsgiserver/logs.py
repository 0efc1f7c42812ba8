"""Take finished exchanges and what applications say, give lines; files, terminals and people are next."""

from __future__ import annotations

import os
import re
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Final, TextIO

from wsgiserver.messages import BadRequest, Request, Unreadable
from wsgiserver.site import MONTHS

if TYPE_CHECKING:
    from wsgiserver.exchange import Exchange


class AccessLog:
    """An observer that writes one line for each exchange, and the lines of a turn of the loop at once.

    ``write`` is given them as one ``str``. For people they are made for the eyes of a developer, in colour or plain
    (``terminal_line``, ``plain_line``), else for programs (``combined_line``).
    """

    def __init__(self, write: Callable[[str], object], colour: bool, people: bool = False) -> None:
        self._write = write
        self._line = terminal_line if colour else plain_line if people else combined_line
        self._told = False

    def observe_turn(self, exchanges: Sequence[Exchange]) -> None:
        """Write the lines of these exchanges; a log that cannot be written stops no server, and is reported once."""
        line = self._line
        text = "".join([line(exchange) for exchange in exchanges])
        try:
            self._write(text)
        except (OSError, ValueError) as error:  # ValueError: the file was closed
            if not self._told:
                exchanges[0].site.report(f"the access log cannot be written ({error}); requests go on without it")
            self._told = True


def combined_line(exchange: Exchange) -> str:
    r"""Format an exchange as Apache's combined log does.

    That is ``%h %l %u %t "%r" %>s %b "%{Referer}i" "%{User-agent}i"``, with "-" for what is not there, and
    for a body of no bytes.
    """
    request = exchange.request
    told = request.told
    if told is None:
        told = request.told = _tell(request)
    asked, who = told
    epoch, begin, end, stamp = _this_second
    if not begin <= exchange.started < end or exchange.site.epoch != epoch:
        stamp = _stamp_anew(exchange)
    host = _hosts.get(exchange.peer) or _host(exchange.peer)
    code = _codes.get(exchange.status) or _code(exchange.status)
    return f"{host}{stamp}{asked}{code}{exchange.body_sent or '-'}{who}"


def _tell(request: Request) -> tuple[str, str]:
    """Format what a line says of a request's head before and behind the status; one with the same head says the same.

    The spaces are in them: of half as many pieces, a line is made in two thirds of the time.
    """
    if isinstance(request, Unreadable):
        line = escape(request.line)
    else:
        line = f"{request.method} {escape(request.target)} HTTP/1.{request.minor}"
    variables = request.fields.variables
    referer, agent = variables.get("HTTP_REFERER") or "-", variables.get("HTTP_USER_AGENT") or "-"
    return f' "{line}" ', f' "{escape(referer)}" "{escape(agent)}"\n'


def plain_line(exchange: Exchange) -> str:
    """Format an exchange for people: method, path, status, bytes, time, client, and what went wrong on the wire."""
    return _line_for_people(exchange, exchange.status[:3] or "---")


def terminal_line(exchange: Exchange) -> str:
    """Format an exchange for people at a terminal that shows colours; the status has that of its class."""
    status = exchange.status[:3] or "---"
    return _line_for_people(exchange, f"\x1b[{_COLOURS.get(status[0], '35')}m{status}\x1b[0m")


def _line_for_people(exchange: Exchange, status: str) -> str:
    request = exchange.request
    milliseconds = (exchange.ended - exchange.started) * 1000
    note = ""
    if isinstance(exchange.error, BadRequest):
        note = f" ({escape(exchange.error.reason)})"
    elif not exchange.complete:
        note = " (cut short)"
    return (
        f"{request.method} {escape(request.target)} {status} "
        f"{exchange.body_sent} B {milliseconds:.1f} ms {exchange.peer}{note}\n"
    )


_COLOURS = {"1": "34", "2": "32", "3": "36", "4": "33", "5": "31"}  # blue, green, cyan, yellow, red


# Apache's ap_escape_logitem: what a client sent can neither end its quotes or its line, nor reach a terminal.
_SPECIAL = re.compile(r"[^ !#-\[\]-~]")
_NAMED = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v"}


def escape(text: str) -> str:
    r"""Write quotes, backslashes, control characters and bytes beyond ASCII (as latin-1) as Apache does.

    That is a backslash before the first two, names such as ``\n`` where C has them, else ``\xhh``.
    """
    if text.isascii() and text.isprintable() and '"' not in text and "\\" not in text:
        return text  # in half the time that the pattern takes to find nothing
    try:
        text.encode("latin-1")
    except UnicodeEncodeError:
        return _SPECIAL.sub(_escaped, text)
    # What clients send; one by one, the bytes of a head of 80 KB took the leader 236 ms.
    return text.translate(_latin_1())


def _escaped(match: re.Match[str]) -> str:
    character = match.group()
    if character in _NAMED:
        return _NAMED[character]
    code = ord(character)
    raw = bytes([code]) if code < 256 else character.encode("utf-8", "surrogatepass")
    return "".join(f"\\x{byte:02x}" for byte in raw)


@cache
def _latin_1() -> list[str]:
    return [_SPECIAL.sub(_escaped, chr(code)) for code in range(256)]


# What a line says of peers and of statuses that came lately. lru_cache takes four times as long to tell it, and to cut
# the code out of a status twice as long: together that would be 0.6 µs of 3.
_hosts: dict[str, str] = {}
_codes: dict[str, str] = {}


def _host(peer: str) -> str:
    host = "-" if peer == "unix:" else peer.rpartition(":")[0].strip("[]")
    return _note(_hosts, peer, f"{host} - - ")


def _code(status: str) -> str:
    return _note(_codes, status, f"{status[:3] or '-'} ")


def _note(known: dict[str, str], text: str, told: str) -> str:
    if len(known) >= 256:
        known.clear()
    known[text] = told
    return told


# The epoch of the site, the seconds of the monotonic clock that are within the second of the last line, and its stamp:
# to ask for these each time would take a sixth of what a line takes. One tuple, as servers in several threads share it.
_this_second = (0.0, 0.0, 0.0, "")


def _stamp_anew(exchange: Exchange) -> str:
    global _this_second
    epoch = exchange.site.epoch
    second = int(exchange.time)
    stamp = _stamp(second)
    _this_second = (epoch, second - epoch, second + 1 - epoch, stamp)
    return stamp


@lru_cache(maxsize=64)
def _stamp(second: int) -> str:
    """Format ``[10/Oct/2000:13:55:36 -0700]``, in English whatever the locale is; 1.6 µs, so it is kept."""
    local = time.localtime(second)
    offset = local.tm_gmtoff // 60
    zone = f"{'-' if offset < 0 else '+'}{abs(offset) // 60:02}{abs(offset) % 60:02}"
    return f"[{local.tm_mday:02}/{MONTHS[local.tm_mon - 1]}/{time.strftime('%Y:%H:%M:%S', local)} {zone}]"


# Characters of an unfinished line of wsgi.errors that wait for the rest of it.
LINE: Final = 8 * 1024


class ErrorStream:
    """``wsgi.errors`` of PEP 3333: a text stream to what ``sys.stderr`` is at that moment, for all threads.

    It writes whole lines, so that those of different threads do not mix (``print`` writes its text and its
    line end one after the other). An unfinished line waits, thread by thread, for its end or for ``flush``, unless it
    becomes longer than ``LINE``.
    """

    def __init__(self) -> None:
        # By thread; only while there is something.
        self._unfinished: dict[int, str] = {}

    def write(self, text: str) -> int:
        """Take ``text``, which must be a ``str``; what makes whole lines is written in one call."""
        if not isinstance(text, str):
            raise TypeError(f"wsgi.errors takes str, not {type(text).__name__}")
        thread = threading.get_ident()
        lines, end, rest = (self._unfinished.pop(thread, "") + text).rpartition("\n")
        if len(rest) > LINE:
            end, rest = end + rest, ""
        if rest:
            self._unfinished[thread] = rest
        _to_stderr(lines + end)
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write all of them as one message."""
        self.write("".join(lines))

    def flush(self) -> None:
        """Write the unfinished line of this thread, if there is one."""
        _to_stderr(self._unfinished.pop(threading.get_ident(), ""))

    def finish(self) -> None:
        """End the unfinished lines of all threads, and write them."""
        for thread in list(self._unfinished):
            if text := self._unfinished.pop(thread, ""):
                _to_stderr(f"{text}\n")


def _to_stderr(text: str) -> None:
    if not text or sys.stderr is None:  # None: a Windows program without a console
        return
    try:
        sys.stderr.write(text)
        sys.stderr.flush()
    except (OSError, ValueError):  # the terminal is gone: there is nobody left to tell
        pass


def at_terminal(stream: TextIO | None) -> bool:
    """Tell whether people read what is written to a stream; nobody does where it is closed (None).

    What stands in for ``sys.stdout`` may have ``write`` and ``flush`` only, as that which writes on to a log.
    """
    try:
        return stream is not None and stream.isatty()
    except (AttributeError, ValueError):  # ValueError: it was closed
        return False


def coloured(stream: TextIO | None, environment: Mapping[str, str] = os.environ) -> bool:
    """Tell whether to write in colour: to a terminal, unless NO_COLOR (no-color.org) or a dumb one forbids it."""
    return at_terminal(stream) and not environment.get("NO_COLOR") and environment.get("TERM") != "dumb"
