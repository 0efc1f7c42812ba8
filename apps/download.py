"""Download: a large file, sent by the operating system itself where the server can have that.

    wsgiserver apps.download:app
    curl --dump-header - --output random.bin 'http://127.0.0.1:8000/?size=50000000' && sha256sum random.bin

`wsgi.file_wrapper` is the server's offer to send an open file; a server without it gets the file piece by piece.
The file is made anew for each request, holds the bytes that X-SHA-256 vouches for, and is gone when it is closed.
`size` is in bytes; without it the file is as large as the variable DOWNLOAD_SIZE says, or 50 MB.
"""

import hashlib
import os
import random
import tempfile
from collections.abc import Iterable
from typing import IO
from urllib.parse import parse_qs
from wsgiref.types import StartResponse, WSGIEnvironment
from wsgiref.util import FileWrapper

LARGEST = 2_000_000_000
BLOCK = 64 * 1024


def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    text = parse_qs(environ.get("QUERY_STRING", "")).get("size", [os.environ.get("DOWNLOAD_SIZE", "50000000")])[-1]
    if not (text.isdecimal() and len(text) <= 10 and int(text) <= LARGEST):
        start_response("400 Bad Request", [("Content-Type", "text/plain; charset=utf-8")])
        return [f"size is a number of bytes, {LARGEST} at most\n".encode()]
    file, digest = make(int(text))
    headers = [
        ("Content-Type", "application/octet-stream"),
        ("Content-Length", text),
        ("Content-Disposition", 'attachment; filename="random.bin"'),
        ("X-SHA-256", digest),
    ]
    start_response("200 OK", headers)
    body: Iterable[bytes] = environ.get("wsgi.file_wrapper", FileWrapper)(file, BLOCK)
    return body


def make(size: int) -> tuple[IO[bytes], str]:
    """Make a temporary file of random bytes; give it, at its beginning, and its SHA-256."""
    file = tempfile.TemporaryFile()  # noqa: SIM115 - the server closes it, when the last byte has left
    digest = hashlib.sha256()
    for start in range(0, size, BLOCK):
        block = random.randbytes(min(BLOCK, size - start))
        file.write(block)
        digest.update(block)
    file.seek(0)
    return file, digest.hexdigest()
