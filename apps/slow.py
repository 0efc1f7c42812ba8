"""Slow: an application that waits, as one does for a database, before it answers.

    wsgiserver apps.slow:app
    curl 'http://127.0.0.1:8000/?seconds=2'

Ask for several at once: they wait side by side, and quick requests do not wait for them.
"""

import time
from urllib.parse import parse_qs
from wsgiref.types import StartResponse, WSGIEnvironment

TEXT = [("Content-Type", "text/plain; charset=utf-8")]


def app(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
    text = parse_qs(environ.get("QUERY_STRING", "")).get("seconds", ["1"])[-1]
    try:
        seconds = float(text)
        if not 0 <= seconds <= 60:  # nor "nan", which is not in any range
            raise ValueError("out of range")
    except ValueError:
        start_response("400 Bad Request", TEXT[:])
        return [b"seconds is a number from 0 to 60\n"]
    time.sleep(seconds)
    start_response("200 OK", TEXT[:])
    return [f"waited {seconds:g} s\n".encode()]
