"""Takes a ``Request`` and its body and gives the environ that ``gateway`` calls the application with (PEP 3333)."""

import io
import os
import stat
from typing import IO, Final

from wsgiserver.messages import Request
from wsgiserver.site import SERVER_SOFTWARE, Environ, Site
from wsgiserver.states import Stream

# Octets that a FileWrapper reads at a time where the kernel cannot send the file.
BLOCK_SIZE: Final = 64 * 1024
# Octets of a page of memory.
PAGE: Final = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096


class FileWrapper:
    """An open file as the body of a response: ``wsgi.file_wrapper`` (PEP 3333, "Optional Platform-Specific …").

    The server sends it without reading it where it can; anyone else, a middleware perhaps, can iterate over it.
    """

    def __init__(self, filelike: IO[bytes], block_size: int = BLOCK_SIZE) -> None:
        self.filelike = filelike
        self.block_size = block_size
        if hasattr(filelike, "close"):
            self.close = filelike.close

    def __iter__(self) -> "FileWrapper":
        return self

    def __next__(self) -> bytes:
        data = self.filelike.read(self.block_size)
        if not data:
            raise StopIteration
        return data

    def regular(self) -> tuple[int, int] | None:
        """Give the offset in a regular file, and the octets left, where it is read as the system reads it; else None.

        Such a file the kernel can send.
        """
        file = self.filelike
        # Others have a descriptor too, but read otherwise than the system does: a gzip file, say.
        raw = getattr(file, "raw", None) if type(file) in (io.BufferedReader, io.BufferedRandom) else file
        if type(raw) is not io.FileIO:
            return None
        try:
            status = os.fstat(file.fileno())
            offset = file.tell()
        except (OSError, ValueError):
            return None  # a pipe, a closed file; reading will tell
        if not stat.S_ISREG(status.st_mode) or _is_made_up(status):
            return None
        return offset, max(status.st_size - offset, 0)


def _is_made_up(status: os.stat_result) -> bool:
    """Whether the size says nothing: it is 0 in /proc; in /sys it is a page, and the file has no blocks on a disk."""
    return not status.st_size or (status.st_size == PAGE and not getattr(status, "st_blocks", 1))


def base_environ(site: Site, name: str, port: str) -> Environ:
    """Make the part of an environ that all requests to one listener share; ``name`` and ``port`` are the server's."""
    return {
        "SCRIPT_NAME": "",
        "SERVER_NAME": name,
        "SERVER_PORT": port,
        "SERVER_SOFTWARE": SERVER_SOFTWARE,
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.errors": site.errors,
        "wsgi.multithread": site.multithread,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        "wsgi.input_terminated": True,
        "wsgi.file_wrapper": FileWrapper,
        "wsgiserver.will_block": site.will_block,
    }


def make_environ(base: Environ, request: Request, stream: Stream, body: IO[bytes]) -> Environ:
    """Make the environ of one request (PEP 3333, "environ Variables"; RFC 3875 section 4.1)."""
    like = request if request.repeated else request.like
    if like is None:
        environ = _head_environ(base, request)
    else:
        known = like.environ
        if known is None or known[1] is not base:
            known = like.environ = (_head_environ(base, like), base)
        environ = known[0].copy()
        if like is not request:
            environ.update(request.values)
            _set_target(environ, request)
    environ["REMOTE_ADDR"] = stream.peer_host
    environ["REMOTE_PORT"] = stream.peer_port
    environ["wsgi.input"] = body
    return environ


def _head_environ(base: Environ, request: Request) -> Environ:
    """Make the part of an environ that all requests to one listener with the same head share."""
    environ = base | request.fields.variables
    environ["REQUEST_METHOD"] = request.method
    _set_target(environ, request)
    environ["SERVER_PROTOCOL"] = "HTTP/1.1" if request.minor else "HTTP/1.0"
    if request.authority is not None:
        environ["HTTP_HOST"] = request.authority
    # Places for what differs, so that a copy need not grow.
    environ["REMOTE_ADDR"] = environ["REMOTE_PORT"] = environ["wsgi.input"] = None
    return environ


def _set_target(environ: Environ, request: Request) -> None:
    environ["PATH_INFO"] = request.path
    environ["QUERY_STRING"] = request.query
    environ["REQUEST_URI"] = environ["RAW_URI"] = request.target


def tell_decoded(environ: Environ, length: int, trailers: list[tuple[str, str]]) -> None:
    """Tell an environ of a body that came in chunks what was found out when it was decoded.

    RFC 9112 section 7.1.3: the length is known then. Django finds no body without it, and bottle would decode it once
    more.
    """
    environ["CONTENT_LENGTH"] = str(length)
    del environ["HTTP_TRANSFER_ENCODING"]
    if trailers:
        environ["wsgiserver.trailers"] = trailers
