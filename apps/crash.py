"""Crash: an application that raises, before the first byte of its answer or after it.

    wsgiserver apps.crash:app
    curl -i http://127.0.0.1:8000/before
    curl -i http://127.0.0.1:8000/after

Before, the server can still answer 500. After, it can only cut the answer short, so that the client sees the break.
"""

from collections.abc import Iterable, Iterator
from wsgiref.types import StartResponse, WSGIEnvironment


def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    path = environ.get("PATH_INFO", "")
    if path == "/before":
        raise RuntimeError("crashed before the first byte, as asked")
    start_response("200 OK", [("Content-Type", "text/plain; charset=utf-8")])
    return half() if path == "/after" else [b"/before crashes before the first byte, /after after it\n"]


def half() -> Iterator[bytes]:
    yield b"the first half of the answer\n"
    raise RuntimeError("crashed after the first byte, as asked")
