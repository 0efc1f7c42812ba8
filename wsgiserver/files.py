"""Files, for ``connection``: the kernel sends a part of an open one; a request's body is kept, a large one on disk."""

import os
from collections.abc import Callable
from contextlib import suppress
from io import BytesIO
from typing import IO, Final

# Octets of a file sent in one turn, so that a quick client does not keep the others waiting.
FILE_SHARE: Final = 1024 * 1024


class FileShortened(OSError):
    """The file has fewer octets than it had when the response promised them."""


class FilePart:
    """What is left to send of an open file, whose descriptor is its own; all in octets."""

    __slots__ = ("_descriptor", "_offset", "_size")

    def __init__(self, descriptor: int, offset: int, size: int) -> None:
        self._descriptor, self._offset, self._size = descriptor, offset, size

    def send(self, sendfile: Callable[[int, int, int], int]) -> bool:
        """Send what goes in one turn; True when all of it has left.

        Raises ``BlockingIOError`` when nothing goes now, and another ``OSError`` when nothing ever will.
        """
        began = self._offset
        share = min(self._size, FILE_SHARE)
        while share:
            try:
                sent = sendfile(self._descriptor, self._offset, share)
            except BlockingIOError:
                if self._offset == began:
                    raise
                return False
            if not sent:
                raise FileShortened("the file became shorter while it was sent")
            self._offset += sent
            self._size -= sent
            share -= sent
        return self._size == 0

    def close(self) -> None:
        """Close the descriptor; called once."""
        os.close(self._descriptor)


def store(body: IO[bytes] | None, data: bytes, limit: int) -> IO[bytes]:
    """Add a piece to a body, or begin one: in memory, and past ``limit`` octets in an unnamed temporary file.

    Gives the body, which may be another than before. Raises ``OSError`` when the disk does not take it, and
    ``MemoryError`` when there is no room in memory.
    """
    pieces: list[bytes | memoryview] = [data]
    if body is None:
        body = BytesIO()
    if type(body) is BytesIO and body.tell() + len(data) > limit:
        try:
            from tempfile import TemporaryFile  # for the first large body only: it takes long to import
        except Exception as error:  # a module of the program's has the name of one that it imports
            raise OSError(f"tempfile cannot be imported: {error}") from error

        pieces.insert(0, body.getbuffer())
        body = TemporaryFile(prefix="wsgiserver-")  # noqa: SIM115 - it lives as long as the exchange
    try:
        body.writelines(pieces)
        body.flush()  # else a child process that the application forks meanwhile would write the rest once more
    except BaseException:
        drop(body)  # else it would fail once more when it is deleted, with a traceback that tells nobody anything
        raise
    return body


# Bodies that are a parent process's: to delete one would take its lock, as to close it does, and a thread that is not
# in the child may have had that at the fork.
_left: list[IO[bytes]] = []


def leave(body: IO[bytes] | None) -> None:
    """Leave a body to the parent process: close the copy of its file that a child has, and write nothing to it."""
    raw = getattr(body, "raw", None)
    if body is not None and raw is not None:
        _left.append(body)
        raw.close()


def drop(body: IO[bytes] | None) -> None:
    """Let go of a body, if there is one."""
    if body is not None:
        with suppress(OSError):  # a full disk, once more: what was not written is written now
            body.close()
