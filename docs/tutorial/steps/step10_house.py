"""Twenty lines again: what the nine steps have built, and all that they left out, is the package."""

import sys
from collections.abc import Iterable
from wsgiref.types import StartResponse, WSGIEnvironment

from wsgiserver import Server


def hello(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Greet the world."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"Hello World!\n"]


if __name__ == "__main__":
    port = sys.argv[1] if len(sys.argv) > 1 else 8000
    with Server(hello, bind=f"127.0.0.1:{port}") as server:
        print(server.url, flush=True)
        sys.stdin.readline()  # Serves in the background, until Enter is pressed.
