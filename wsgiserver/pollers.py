"""Takes descriptors and gives those that are ready; wraps what the loop needs of the operating system beside sockets.

``Poller`` is the one thing that waits, ``Waker`` is what ends its wait from another thread, and ``HeldCalls`` moves
bytes while other threads compute. Each has a fallback for platforms that have not what it is made of.
"""

import contextlib
import os
import select
import selectors
import socket
import sys
import threading
from collections.abc import Sequence
from typing import Final, Protocol

from wsgiserver.states import Interest


class Poller(Protocol):
    """Knows which descriptors are ready. Level-triggered: what was not dealt with is told again."""

    def watch(self, descriptor: int, before: Interest, after: Interest) -> None:
        """Change what is watched of a descriptor; ``NOTHING`` takes it out."""

    def poll(self, timeout: float | None, most: int) -> Sequence[tuple[int, int]]:
        """Wait ``timeout`` seconds at most (None: for ever) and give descriptors that are ready, ``most`` at most."""

    def close(self) -> None:
        """Let go of the system's object."""


class EpollPoller:
    """epoll(7), without the wrapper of ``selectors``, which costs 1 µs an event."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._masks = {Interest.READ: select.EPOLLIN, Interest.WRITE: select.EPOLLOUT}

    def watch(self, descriptor: int, before: Interest, after: Interest) -> None:  # noqa: D102
        if after is Interest.NOTHING:
            self._epoll.unregister(descriptor)
        elif before is Interest.NOTHING:
            self._epoll.register(descriptor, self._masks[after])
        else:
            self._epoll.modify(descriptor, self._masks[after])

    def poll(self, timeout: float | None, most: int) -> Sequence[tuple[int, int]]:  # noqa: D102
        return self._epoll.poll(timeout, most)

    def close(self) -> None:  # noqa: D102
        self._epoll.close()


class SelectorPoller:
    """Whatever the platform has, by way of ``selectors``."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._last = -1  # of the descriptors told
        self._masks = {Interest.READ: selectors.EVENT_READ, Interest.WRITE: selectors.EVENT_WRITE}

    def watch(self, descriptor: int, before: Interest, after: Interest) -> None:  # noqa: D102
        if after is Interest.NOTHING:
            self._selector.unregister(descriptor)
        elif before is Interest.NOTHING:
            self._selector.register(descriptor, self._masks[after])
        else:
            self._selector.modify(descriptor, self._masks[after])

    def poll(self, timeout: float | None, most: int) -> Sequence[tuple[int, int]]:  # noqa: D102
        ready = [(key.fd, events) for key, events in self._selector.select(timeout)]
        # All that are ready, however many: who comes after the last one told goes first, so that each has its turn.
        ready.sort(key=lambda event: (event[0] <= self._last, event[0]))
        told = ready[:most]
        if told:
            self._last = told[-1][0]
        return told

    def close(self) -> None:  # noqa: D102
        self._selector.close()


def default_poller() -> Poller:
    """Make the best poller that the platform has."""
    return EpollPoller() if hasattr(select, "epoll") else SelectorPoller()


class Waker:
    """Makes a poller that sleeps return, from any thread: an eventfd, or a pair of sockets where there is none."""

    def __init__(self) -> None:
        # Between ``wake`` and ``close``: a number that was closed may be somebody else's by now.
        self._lock = threading.Lock()
        self._closed = False
        self._pair: tuple[socket.socket, socket.socket] | None = None
        if hasattr(os, "eventfd"):
            self.descriptor = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        else:
            self._pair = socket.socketpair()
            for end in self._pair:
                end.setblocking(False)
            self.descriptor = self._pair[0].fileno()

    def wake(self) -> None:
        """Wake the poller; when it is awake, its next poll returns at once. When closed, do nothing."""
        with self._lock, contextlib.suppress(BlockingIOError):  # it holds enough wake-ups already
            if self._closed:
                return
            if self._pair is None:
                os.eventfd_write(self.descriptor, 1)
            else:
                self._pair[1].send(b"\0")

    def drain(self) -> None:
        """Forget the wake-ups so far."""
        with contextlib.suppress(BlockingIOError):
            if self._pair is None:
                os.eventfd_read(self.descriptor)
            else:
                self._pair[0].recv(4096)

    def close(self) -> None:
        """Close the descriptors, once."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            if self._pair is None:
                os.close(self.descriptor)
            else:
                for end in self._pair:
                    end.close()

    def close_in_child(self) -> None:
        """Close them in a child process, where nobody else is, but the lock may have been taken by who is not there."""
        self._lock = threading.Lock()
        self.close()


class HeldCalls:
    """``recv`` and ``send`` on plain sockets that hold on to the GIL, as calls that do not block may.

    The usual ones release the GIL; when other threads compute, it comes back when they sleep, or must release it. These
    keep it, but cost 2 µs a request more, so they are for crowded times only. Called by the leader alone, which owns
    the buffer.
    """

    SIZE: Final = 256 * 1024

    def __init__(self) -> None:
        import ctypes

        self._buffer = ctypes.create_string_buffer(self.SIZE)
        self._view = memoryview(self._buffer).cast("B")
        self._errno = ctypes.get_errno
        libc = ctypes.PyDLL(None, use_errno=True)
        self._recv, self._send = libc.recv, libc.send
        # The arguments are of the right C types as they come. To declare those, and to add up the flags, members of an
        # enum, in each call, takes 21,000 instructions a request more, and all else takes 16,000.
        self._recv.restype = self._send.restype = ctypes.c_ssize_t
        self._start, self._size = ctypes.c_void_p(ctypes.addressof(self._buffer)), ctypes.c_size_t()
        self._recv_flags = int(socket.MSG_DONTWAIT)
        self._send_flags = int(socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)

    @staticmethod
    def possible() -> bool:
        """Whether there is a GIL to hold on to, and a C library that can be called so."""
        held = getattr(sys, "_is_gil_enabled", lambda: True)()
        return held and os.name == "posix" and hasattr(socket, "MSG_NOSIGNAL") and hasattr(socket, "MSG_DONTWAIT")

    def recv(self, descriptor: int, size: int) -> bytes:
        """Receive at most ``size`` octets; raises like ``socket.recv``."""
        self._size.value = min(size, self.SIZE)
        got = self._recv(descriptor, self._start, self._size, self._recv_flags)
        if got < 0:
            raise self._error()
        return bytes(self._view[:got])

    def send(self, descriptor: int, data: bytes | memoryview) -> int:
        """Send what goes of ``data``, SIZE octets at most of a memoryview; raises like ``socket.send``."""
        start: object = data
        size = len(data)
        if type(data) is not bytes:
            size = min(size, self.SIZE)
            self._view[:size] = data[:size]
            start = self._start
        self._size.value = size
        sent: int = self._send(descriptor, start, self._size, self._send_flags)
        if sent < 0:
            raise self._error()
        return sent

    def _error(self) -> OSError:
        number = self._errno()
        return OSError(number, os.strerror(number))
