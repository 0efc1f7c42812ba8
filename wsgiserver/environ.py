"""Takes a ``Request`` and its body and gives the environ that ``gateway`` calls the application with (PEP 3333)."""

from typing import IO, Final

from wsgiserver.exchange import SERVER_SOFTWARE, Environ, Site
from wsgiserver.messages import Request

# Octets that a FileWrapper reads at a time where the kernel cannot send the file.
BLOCK_SIZE: Final = 64 * 1024


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


def head_environ(base: Environ, request: Request, peer_host: str, peer_port: str) -> Environ:
    """Make what a request's head says of its environ (PEP 3333, "environ Variables"; RFC 3875 section 4.1)."""
    environ = base | request.fields.variables
    environ["REQUEST_METHOD"] = request.method
    environ["PATH_INFO"] = request.path
    environ["QUERY_STRING"] = request.query
    environ["REQUEST_URI"] = environ["RAW_URI"] = request.target
    environ["SERVER_PROTOCOL"] = "HTTP/1.1" if request.minor else "HTTP/1.0"
    environ["REMOTE_ADDR"] = peer_host
    environ["REMOTE_PORT"] = peer_port
    environ["wsgi.input"] = None
    if request.authority is not None:
        environ["HTTP_HOST"] = request.authority
    return environ


def tell_decoded(environ: Environ, length: int, trailers: list[tuple[str, str]]) -> None:
    """Tell an environ of a body that came in chunks what was found out when it was decoded.

    RFC 9112 section 7.1.3: the length is known then. Django finds no body without it, and bottle would decode it once
    more.
    """
    environ["CONTENT_LENGTH"] = str(length)
    del environ["HTTP_TRANSFER_ENCODING"]
    if trailers:
        environ["wsgiserver.trailers"] = trailers
