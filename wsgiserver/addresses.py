"""Take addresses as people write them, give ``Address`` to ``sockets``; say in one line why one cannot be had."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import socket
import sys
from collections.abc import Iterator
from typing import Literal, NamedTuple

FORMS = "HOST:PORT, :PORT (all interfaces), PORT (127.0.0.1), [IPV6]:PORT, unix:PATH or fd:N"


class AddressError(ValueError):
    """An address that cannot be read; its text is one line that names the forms there are."""


class BindError(OSError):
    """An address that cannot be listened on; its text is one line that says why, and what to do next."""

    def __init__(self, address: Address, reason: str) -> None:
        super().__init__(f"cannot listen on {address}: {reason}")


class Address(NamedTuple):
    """Where to listen, as it was asked for; what was bound stands in the ``Listener``.

    Of the fields only those of its kind mean something: ``host`` ("" for all interfaces) and ``port`` (0 for
    a free one), ``path`` (which begins with "@" in Linux' abstract namespace), or ``descriptor``.
    """

    kind: Literal["tcp", "unix", "fd"]
    host: str = ""
    port: int = 0
    path: str = ""
    descriptor: int = -1

    def __str__(self) -> str:
        if self.kind == "tcp":
            return f"{bracketed(self.host)}:{self.port}"
        return f"unix:{self.path}" if self.kind == "unix" else f"fd:{self.descriptor}"


_TCP = re.compile(r"(?:(?:\[([^\[\]]+)\]|([^\s\[\]/:,]*)):)?([0-9]{1,5})")


def parse_address(text: str) -> Address:
    """Read an address in one of the ``FORMS``; raise ``AddressError`` when it has none of them."""
    if re.search(r"[\x00-\x1f\x7f]", text):
        raise AddressError(f"{text!r} is no address: it holds a control character")
    kind, _, rest = text.partition(":")
    if kind == "unix" and rest not in ("", "@"):
        return Address("unix", path=rest)
    if kind == "fd" and re.fullmatch("[0-9]{1,9}", rest):
        return Address("fd", descriptor=int(rest))
    match = _TCP.fullmatch(text)
    if match is None or kind in ("unix", "fd", "*"):
        raise AddressError(f"{text!r} is no address: {_misread(text)}write {FORMS}")
    six, host, port = match.groups()
    if int(port) > 65535:
        raise AddressError(f"{text!r} is no address: ports go from 0 (a free one) to 65535")
    if six is not None and not _is_ipv6(six):
        raise AddressError(f"{text!r} is no address: there is no IPv6 address between the brackets")
    return Address("tcp", host=six or ("127.0.0.1" if host is None else host), port=int(port))


def _misread(text: str) -> str:
    """Guess what was meant, as the beginning of the advice; "" when there is no telling."""
    if "," in text:
        return "for several addresses repeat --bind, or give a list (commas are for WSGISERVER_BIND); "
    if re.fullmatch("(.*:)?-[0-9]+", text) and not text.startswith(("unix:", "fd:")):
        return "ports go from 0 (a free one) to 65535; "
    if ":" not in text and ("/" in text or text.endswith(".sock")):
        return f"for a Unix socket write unix:{text}; else "
    if text.startswith("*:"):
        return f"for all interfaces write {text[1:]}; else "
    if "//" in text:
        return "leave out the scheme and the slashes; "
    if text.count(":") > 1 and "[" not in text:
        return "IPv6 addresses stand in brackets; "
    if text and ":" not in text:
        return "the port is missing; "
    return ""


def _is_ipv6(host: str) -> bool:
    try:
        socket.inet_pton(socket.AF_INET6, host.partition("%")[0])
    except OSError:
        return False
    return True


def bracketed(host: str) -> str:
    """Write a host as it stands before a port: an IPv6 address in brackets."""
    return f"[{host}]" if ":" in host else host


@contextlib.contextmanager
def explained(address: Address) -> Iterator[None]:
    """Turn the system's errors into ``BindError``."""
    try:
        yield
    except BindError:
        raise
    except OSError as error:
        explain = _explain_unix if address.kind == "unix" else _explain_tcp
        raise BindError(address, explain(error, address)) from error


def _explain_tcp(error: OSError, address: Address) -> str:
    match error.errno:
        case errno.EADDRINUSE:
            return f"the port is in use{_holder(address)} choose another port (0 takes a free one)"
        case errno.EACCES | errno.EPERM if address.port < 1024:
            return "no permission for a port under 1024; choose a higher one, such as 8000"
        case errno.EADDRNOTAVAIL:
            return f"{address.host} is not this machine; choose an address of it, or :{address.port} for all"
        case errno.EAFNOSUPPORT:
            return f"this system has no IPv6; choose an IPv4 address, such as 127.0.0.1:{address.port}"
    return f"the system says {error.strerror!r}; check the address and the system's limits"


def _explain_unix(error: OSError, address: Address) -> str:
    folder = os.path.dirname(address.path) or "."
    match error.errno:
        case errno.EADDRINUSE:
            return f"the socket is in use{_holder(address)} choose another path"
        case errno.EACCES | errno.EPERM:
            return f"no permission in the folder {folder}; choose one that you may write to"
        case errno.ENOENT:
            return f"the folder {folder} is missing; make it, or choose another path"
        case errno.ENOTDIR:
            return f"{folder} is no folder; choose another path"
        case None | errno.ENAMETOOLONG:  # Python measures the path before the system does
            return "the path is too long for a Unix socket; keep it under 100 bytes"
    return f"the system says {error.strerror!r}; check the path and the system's limits"


def _holder(address: Address) -> str:
    """Say by which process a busy address is held, where Linux tells, and what to do with it."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        links = {f"socket:[{inode}]" for inode in _listening_inodes(address)}
        for pid in sorted(int(name) for name in os.listdir("/proc") if name.isdigit()):
            if not links.isdisjoint(_open_files(pid)):
                with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as comm:
                    name = re.sub("[^!-~]", "?", comm.read().strip())
                if pid == os.getpid():
                    return " by this process itself;"
                return f" by {name} (process {pid}); stop it, or"
    return ";"


def _listening_inodes(address: Address) -> Iterator[str]:
    if address.kind == "unix":
        for row in _rows("/proc/net/unix"):
            if len(row) > 7 and row[3] == "00010000" and row[7] == address.path:
                yield row[6]
        return
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for row in _rows(table):
            host, _, port = row[1].rpartition(":")
            if row[3] == "0A" and int(port, 16) == address.port and _clash(host, address.host):
                yield row[9]


def _clash(held: str, wanted: str) -> bool:
    """Tell whether a listener on one address, as the kernel writes it, keeps another off the same port."""
    if not int(held, 16) or wanted in ("", "0.0.0.0", "::") or len(held) > 8:
        return True
    try:
        return bytes.fromhex(held)[::-1] == socket.inet_aton(wanted) or sys.byteorder != "little"
    except OSError:
        return True  # a host name


def _rows(table: str) -> list[list[str]]:
    try:
        with open(table, encoding="utf-8", errors="surrogateescape") as lines:
            return [line.split() for line in lines][1:]
    except OSError:
        return []


def _open_files(pid: int) -> Iterator[str]:
    with contextlib.suppress(OSError):  # gone meanwhile, or another user's
        for number in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):
                yield os.readlink(f"/proc/{pid}/fd/{number}")
