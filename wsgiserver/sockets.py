"""Take addresses, give listeners and a stream for each client; the loop is next."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import select
import socket
import stat
import struct
import sys
import time
from collections.abc import Callable, Iterable
from typing import Any, Final

from wsgiserver.addresses import Address, BindError, bracketed, explained

Chunk = bytes | bytearray | memoryview


class Listener:
    """A listening socket: TCP (IPv4, IPv6 or both), Unix, or inherited as a descriptor.

    It listens, non-blocking, when the constructor returns; else the constructor raises ``BindError``. Of the
    addresses of a host name one is bound, an IPv4 one where there is one. The file of a Unix socket gets the
    permissions ``unix_mode`` before anyone can connect. A descriptor is adopted: from then on it belongs to
    the listener, and is closed with it.

    ``address`` is what was bound: host and port, or the path. ``url`` leads there from this machine; ``urls``
    holds every one to name in a greeting: when bound to all interfaces, the machine's own addresses too.
    ``name`` and ``port`` are for SERVER_NAME and SERVER_PORT.
    """

    address: tuple[str, int] | str
    url: str
    urls: list[str]
    name: str
    port: str

    def __init__(self, address: Address, *, backlog: int = 1024, unix_mode: int = 0o600) -> None:
        # What ``accept`` makes of a client; a server under test has it record what passes.
        self.stream: Callable[[socket.socket, object], Stream] = Stream
        self._file: tuple[str, int, int] | None = None
        if address.kind == "fd":
            self._socket = _adopt(address)
        else:
            family, sockaddr = _resolve(address)
            with explained(address):
                self._socket = socket.socket(family, socket.SOCK_STREAM)
            try:
                with explained(address):
                    self._bind(address, sockaddr, unix_mode)
                    self._socket.listen(backlog)
            except BaseException:
                self.close()
                raise
        self._socket.setblocking(False)
        if self._socket.family == getattr(socket, "AF_UNIX", None):
            self._describe_unix()
        else:
            self._describe_tcp(address.host)

    def _bind(self, address: Address, sockaddr: Any, unix_mode: int) -> None:
        if address.kind == "tcp":
            _set_options(self._socket, address)
            self._socket.bind(sockaddr)
        elif address.path.startswith("@"):
            self._socket.bind(sockaddr)
        else:
            _clear_stale(address)
            self._socket.bind(sockaddr)
            made = os.stat(address.path)
            # The path is kept absolute because an application may change the working directory.
            self._file = os.path.abspath(address.path), made.st_dev, made.st_ino
            os.chmod(address.path, unix_mode)

    def _describe_unix(self) -> None:
        path = os.fsdecode(self._socket.getsockname())
        self.address = re.sub("^\0", "@", path)
        self.url = f"unix:{self.address}"
        self.urls = [self.url]
        self.name, self.port = "localhost", "80"  # PEP 3333: neither may be empty
        self._set_nodelay = False

    def _describe_tcp(self, asked: str) -> None:
        host, port = self._socket.getsockname()[:2]
        self.address = host, port
        self.port = str(port)
        if host in ("0.0.0.0", "::"):
            families = _families(self._socket)
            hosts = ["127.0.0.1" if families[0] == socket.AF_INET else "::1", *map(_own_address, families)]
            self.name = socket.gethostname() or "localhost"
        else:
            hosts = [asked or host]
            self.name = bracketed(hosts[0])  # RFC 3875 section 4.1.14, for PEP 3333 makes URLs of it
        self.urls = [f"http://{bracketed(host)}:{port}" for host in dict.fromkeys(hosts) if host]
        self.url = self.urls[0]
        self._set_nodelay = not _NODELAY_IS_INHERITED
        if _NODELAY_IS_INHERITED:
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __repr__(self) -> str:
        return f"<Listener {self.url}{' closed' if self.fileno() < 0 else ''}>"

    def fileno(self) -> int:
        """Give the descriptor for the poller; -1 when closed."""
        return self._socket.fileno()

    def accept(self) -> Stream | None:
        """Give the next client, or None when there is none (any more).

        ``OSError`` passes when there is no room for one (EMFILE, ENFILE, ENOBUFS, ENOMEM), and when the
        listener is closed.
        """
        # accept4, getsockname (Python checks what it wraps) and ioctl, with the object 5.8 µs a connection.
        # The private `_accept` would save 1.2 µs, accept4 with SOCK_NONBLOCK through ctypes 0.5 µs more on
        # Python 3.11 and nothing on 3.13: too little to depend on what is not documented.
        try:
            client, address = self._socket.accept()
        except OSError as error:
            if error.errno in _NOBODY:
                return None
            raise
        try:
            client.setblocking(False)
            if self._set_nodelay:
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError:  # elsewhere than on Linux, for one who has left already
            client.close()
            return None
        return self.stream(client, address)

    def close(self) -> None:
        """Stop listening, and remove the socket file if it is still the one that this listener made."""
        if self._file is not None:
            path, device, inode = self._file
            self._file = None
            with contextlib.suppress(OSError):
                # While the socket is open, its inode number cannot be given to another file.
                found = os.lstat(path)
                if (found.st_dev, found.st_ino) == (device, inode):
                    os.unlink(path)
        self._socket.close()

    def close_in_child(self) -> None:
        """Close the copy that a child process has; its parent listens on."""
        self._file = None
        self.close()


_NODELAY_IS_INHERITED = sys.platform == "linux"  # by clients from their listener: a system call less for each

# accept(2): Linux reports here what befell the new connection on the network, to be taken like EAGAIN.
_NOBODY = {
    getattr(errno, name, errno.EAGAIN)
    for name in (
        *("EAGAIN", "EWOULDBLOCK", "ECONNABORTED", "EPROTO", "EPERM", "ENETDOWN", "ENOPROTOOPT"),
        *("EHOSTDOWN", "ENONET", "EHOSTUNREACH", "ENETUNREACH"),
    )
}


# A close drops what was not delivered, and tells the client with a reset.
_NO_LINGER = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)
# Seconds after which a thread that waits for its client looks whether the connection was taken from it.
LOOK: Final = 0.1


def _refuse_to_send(data: object, flags: int = 0) -> int:
    raise ConnectionAbortedError(errno.ECONNABORTED, "the server has closed the connection")


class Stream:
    """One client over a plain, non-blocking socket; ``peer_address`` is what ``accept`` gave for it.

    ``recv``, ``send`` and ``sendmsg`` (None where the system has none) are the socket's own methods: they
    raise ``BlockingIOError`` when the socket is not ready, another ``OSError`` when the client is gone.
    """

    # Flags of ``send``. TCP then sends what fills a segment, and the rest with what follows, or after 200 ms.
    more: int = getattr(socket, "MSG_MORE", 0)

    __slots__ = ("_aborted", "_socket", "fileno", "peer", "peer_host", "peer_port", "recv", "send", "sendmsg")

    def __init__(self, client: socket.socket, peer_address: object) -> None:
        self._socket = client
        self._aborted = False
        self.fileno: Callable[[], int] = client.fileno
        self.recv: Callable[[int], bytes] = client.recv
        self.send: Callable[..., int] = client.send
        self.sendmsg: Callable[[Iterable[Chunk]], int] | None = getattr(client, "sendmsg", None)
        if isinstance(peer_address, tuple):
            host: str = peer_address[0]
            # A dual-stack listener shows IPv4 clients as ::ffff:192.0.2.1; applications look for 192.0.2.1.
            self.peer_host = host.removeprefix("::ffff:") if "." in host else host
            self.peer_port = str(peer_address[1])
            self.peer = f"{bracketed(self.peer_host)}:{self.peer_port}"
        else:
            self.peer, self.peer_host, self.peer_port = "unix:", "", ""

    def __repr__(self) -> str:
        return f"<Stream {self.peer}{' closed' if self.fileno() < 0 else ''}>"

    @property
    def sendfile(self) -> Callable[[int, int, int], int] | None:
        """``sendfile(descriptor, offset, count)`` gives the bytes sent, 0 at the file's end.

        None where the system cannot.
        """
        return self._sendfile if hasattr(os, "sendfile") else None

    def _sendfile(self, descriptor: int, offset: int, count: int) -> int:
        return os.sendfile(self.fileno(), descriptor, offset, count)

    def wait_writable(self, timeout: float) -> bool:
        """Wait at most ``timeout`` seconds until a send does not block (but may fail); tell if it is so."""
        # What would end the wait from another thread, everywhere, would tell the client that the response ends here.
        end = time.monotonic() + timeout
        while not self._aborted:
            left = max(end - time.monotonic(), 0)
            if self._is_writable(min(left, LOOK)):
                return True
            if left <= LOOK:
                return False
        return True

    def _is_writable(self, seconds: float) -> bool:
        if not hasattr(select, "poll"):
            return bool(select.select([], [self.fileno()], [], seconds)[1])
        poll = select.poll()  # unlike select it takes descriptors above 1023
        poll.register(self.fileno(), select.POLLOUT)
        return bool(poll.poll(seconds * 1000))

    def push(self) -> None:
        """Let leave what was sent with ``more``; any thread may call it."""
        with contextlib.suppress(OSError):  # not TCP, which let it leave at once; or closed
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def shut(self) -> None:
        """Tell the client that nothing more comes; what it sends can still be read."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)

    def abort(self) -> None:
        """Take the connection from a thread that sends on it: it soon wakes, and sends no more.

        The client is told when that thread, or the process, closes the socket: with a reset, for the end of the
        connection could pass for the end of the response. The number of the socket stays taken until then.
        """
        self._aborted = True
        self.send = self.sendmsg = _refuse_to_send
        with contextlib.suppress(OSError):
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)

    def close(self) -> None:
        """Close; what was sent is still delivered. Again: nothing happens."""
        try:
            self._socket.close()
        except OSError:
            return  # the client is gone; to use ``suppress`` costs each close 0.4 µs

    def reset(self) -> None:
        """Close at once and drop what was not delivered: TCP tells the client with RST."""
        with contextlib.suppress(OSError):
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        self.close()


def _resolve(address: Address) -> tuple[int, Any]:
    """Give the family and the system's form of an address."""
    if address.kind == "unix":
        return _unix_family(address), re.sub("^@", "\0", address.path)
    if not address.host and socket.has_dualstack_ipv6():
        return socket.AF_INET6, ("::", address.port)
    try:
        found = socket.getaddrinfo(address.host or "0.0.0.0", address.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:  # the codec for international names raises UnicodeError
        reason = f"host name {address.host!r} is unknown; check how it is spelt, or give an IP address"
        raise BindError(address, reason) from error
    found.sort(key=lambda entry: entry[0] != socket.AF_INET)
    return found[0][0], found[0][4]


def _unix_family(address: Address) -> int:
    if not hasattr(socket, "AF_UNIX"):
        raise BindError(address, "this system has no Unix sockets; give HOST:PORT instead")
    if address.path.startswith("@") and sys.platform != "linux":
        raise BindError(address, "only Linux has abstract Unix sockets; give a path instead")
    return socket.AF_UNIX


def _set_options(sock: socket.socket, address: Address) -> None:
    if sys.platform == "win32":  # where SO_REUSEADDR lets two servers take the same port
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
    else:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, bool(address.host))


def _families(sock: socket.socket) -> list[int]:
    """List the families that a socket bound to all interfaces serves."""
    if sock.family == socket.AF_INET:
        return [socket.AF_INET]
    only_ipv6 = sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
    return [socket.AF_INET6] if only_ipv6 else [socket.AF_INET, socket.AF_INET6]


def _own_address(family: int) -> str:
    """Find the address by which others reach this machine; "" when there is none."""
    elsewhere = "192.0.2.1" if family == socket.AF_INET else "2001:db8::1"  # nobody's: RFC 5737, RFC 3849
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((elsewhere, 9))  # sends nothing, only picks a route
            return str(probe.getsockname()[0])
    except OSError:
        return ""


def _adopt(address: Address) -> socket.socket:
    """Make a descriptor that listens already into a socket; leave it open when it is anything else."""
    advice = "hand over a listening stream socket, as systemd and other supervisors do"
    try:
        sock = socket.socket(fileno=address.descriptor)
    except OSError as error:
        reason = "there is no such descriptor" if error.errno == errno.EBADF else "it is no socket"
        raise BindError(address, f"{reason}; {advice}") from error
    served = (socket.AF_INET, socket.AF_INET6, getattr(socket, "AF_UNIX", None))
    if sock.family not in served or sock.type != socket.SOCK_STREAM or not _is_listening(sock):
        sock.detach()
        raise BindError(address, f"that socket does not listen for streams; {advice}")
    sock.set_inheritable(False)
    return sock


def _is_listening(sock: socket.socket) -> bool:
    try:
        return bool(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
    except (AttributeError, OSError):  # not every system can tell; then accept will
        return True


def _clear_stale(address: Address) -> None:
    """Remove the socket file that a dead server left; raise ``BindError`` for whatever else is there."""
    try:
        mode = os.lstat(address.path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise BindError(address, "the file there is no socket; move it, or choose another path")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(address.path)
        except (ConnectionRefusedError, FileNotFoundError):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(address.path)
            return
        except PermissionError as error:
            raise BindError(address, "the socket there belongs to another user; choose another path") from error
        except OSError:  # a full backlog, or a socket of another type: somebody lives there
            pass
    raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
