"""The applications that the benchmark serves; each is small, so that what is measured is the server.

All but the stream tell the length of what they send, as some servers fall back to slow ways without it.
Flask, Bottle and Django are imported only when their application is asked for: they weigh on nothing else.
"""

# mypy: disable-error-code="import-untyped, import-not-found"

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

HELLO = b"Hello, World!\n"
BIG = b"x" * 100_000
CHUNK = b"x" * 1024
CHUNKS = 20
PAUSE = 0.5
FILE_SIZE = 1024 * 1024
UPLOAD_PIECE = 64 * 1024
ONE_IN = 100
"""Which requests sleep in `sometimes`."""

FILE_VARIABLE = "WSGISERVER_BENCH_FILE"
"""The environment variable that tells `file` the path of its file."""


def plain(start_response: StartResponse, body: bytes, status: str = "200 OK") -> Iterable[bytes]:
    start_response(status, [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


def hello(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "14")])
    return [HELLO]


def big(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    return plain(start_response, BIG)


def echo(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    return plain(start_response, environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])))


def upload(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Read the body in pieces, as a framework stores an upload; answer how many bytes came."""
    left = length = int(environ["CONTENT_LENGTH"])
    while left and (piece := environ["wsgi.input"].read(min(left, UPLOAD_PIECE))):
        left -= len(piece)
    return plain(start_response, b"%d" % (length - left))


def file(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    wrapper = environ.get("wsgi.file_wrapper")
    if wrapper is None:
        return plain(start_response, b"it has no wsgi.file_wrapper", "501 Not Implemented")
    opened = open(os.environ[FILE_VARIABLE], "rb")  # noqa: SIM115 -- the server closes it
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(FILE_SIZE))])
    return wrapper(opened, UPLOAD_PIECE)  # type: ignore[no-any-return]


def stream(environ: WSGIEnvironment, start_response: StartResponse) -> Iterator[bytes]:
    """Yield chunk by chunk; asked with the query ``pause``, rest after the first."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    yield CHUNK
    if environ.get("QUERY_STRING") == "pause":
        time.sleep(PAUSE)
    for _ in range(1, CHUNKS):
        yield CHUNK


def sleep(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    time.sleep(0.010)
    return hello(environ, start_response)


_requests = itertools.count(1)


def sometimes(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Sleep in one request of a hundred, as an application does whose cache misses now and then."""
    if next(_requests) % ONE_IN == 0:
        time.sleep(0.050)
    return hello(environ, start_response)


def compute(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answer at once, but compute for ``/compute?SECONDS``."""
    if environ["PATH_INFO"] == "/compute":
        until = time.monotonic() + float(environ["QUERY_STRING"])
        while time.monotonic() < until:
            total = 0
            for number in range(1000):
                total += number * number
    return hello(environ, start_response)


def _flask() -> WSGIApplication:
    from flask import Flask

    application = Flask(__name__)
    application.add_url_rule("/", view_func=HELLO.decode, endpoint="hello")
    return application


def _bottle() -> WSGIApplication:
    from bottle import Bottle

    application = Bottle()
    application.route("/", callback=HELLO.decode)
    return application  # type: ignore[no-any-return]


def _django() -> WSGIApplication:
    from django.conf import settings
    from django.core.wsgi import get_wsgi_application
    from django.http import HttpRequest, HttpResponse
    from django.urls import path

    def view(request: HttpRequest) -> HttpResponse:
        return HttpResponse(HELLO)

    settings.configure(
        ALLOWED_HOSTS=["*"],
        MIDDLEWARE=["django.middleware.common.CommonMiddleware"],
        ROOT_URLCONF=(path("", view),),
    )
    return get_wsgi_application()  # type: ignore[no-any-return]


_FRAMEWORKS = {"flask": _flask, "bottle": _bottle, "django": _django}


def __getattr__(name: str) -> Any:
    if name not in _FRAMEWORKS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    application = globals()[name] = _FRAMEWORKS[name]()
    return application
