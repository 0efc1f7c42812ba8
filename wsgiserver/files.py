"""Takes an open file and a stream's ``sendfile``, and lets the kernel send a part of the file for ``connection``."""

import os
from collections.abc import Callable
from typing import Final

# Octets of a file sent in one turn, so that a quick client does not keep the others waiting.
FILE_SHARE: Final = 4 * 1024 * 1024


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
