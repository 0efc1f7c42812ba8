"""Stream: a body that is made while it is sent, a line a second.

    wsgiserver apps.stream:app
    curl --no-buffer 'http://127.0.0.1:8000/?count=5&interval=0.5'

The application returns a generator, and each piece leaves before the next is asked for. Nobody knows the length of
the body beforehand, so there is no Content-Length.
"""

import time
from collections.abc import Iterable, Iterator
from urllib.parse import parse_qs
from wsgiref.types import StartResponse, WSGIEnvironment


def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    # nosniff: otherwise some browsers hold the first lines back, to guess what they are.
    headers = [("Content-Type", "text/plain; charset=utf-8"), ("X-Content-Type-Options", "nosniff")]
    query = {name: values[-1] for name, values in parse_qs(environ.get("QUERY_STRING", "")).items()}
    try:
        count, interval = int(query.get("count", "10")), float(query.get("interval", "1"))
        if not (0 <= count <= 10_000 and 0 <= interval <= 60):
            raise ValueError("out of range")
    except ValueError:
        start_response("400 Bad Request", headers)
        return [b"count is a whole number up to 10000, interval is up to 60 seconds\n"]
    start_response("200 OK", headers)
    return lines(count, interval)


def lines(count: int, interval: float) -> Iterator[bytes]:
    for number in range(1, count + 1):
        if number > 1:
            time.sleep(interval)
        yield f"line {number} of {count}\n".encode()
