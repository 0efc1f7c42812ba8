"""Times the path of a request inside one process, without sockets: ``python -m tests.bench.micro``.

For daily use: it tells within seconds whether a change made the pure path slower. Each figure is the best of several
rounds, in microseconds a request, since on a noisy machine the least disturbed round is the nearest to the truth.
"""

import itertools
import time
import timeit
from collections.abc import Callable
from io import BytesIO
from typing import Any

from wsgiserver.connection import Connection
from wsgiserver.environ import base_environ, make_environ
from wsgiserver.exchange import Exchange
from wsgiserver.gateway import run
from wsgiserver.http11 import Reader
from wsgiserver.logs import ErrorStream
from wsgiserver.messages import Request
from wsgiserver.settings import Settings
from wsgiserver.site import Site

ROUNDS = 7
CALLS = 20_000

HELLO = b"GET / HTTP/1.1\r\nHost: 127.0.0.1:8000\r\n\r\n"
BROWSER = (
    b"GET /articles/17 HTTP/1.1\r\n"
    b"Host: www.example.com\r\n"
    b"User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n"
    b"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n"
    b"Accept-Language: en-GB,en;q=0.5\r\n"
    b"Accept-Encoding: gzip, deflate, br, zstd\r\n"
    b"Cookie: session=eyJ1c2VyIjoxN30.aBcDeF; theme=dark\r\n"
    b"Connection: keep-alive\r\n"
    b"Upgrade-Insecure-Requests: 1\r\n"
    b"Sec-Fetch-Dest: document\r\n"
    b"Sec-Fetch-Mode: navigate\r\n\r\n"
)


def varied() -> "itertools.cycle[bytes]":
    """Give heads of which path, query, cookie and two more fields differ each time."""
    return itertools.cycle(
        [
            BROWSER.replace(b"/articles/17", b"/articles/%d?page=%d" % (n, n))
            .replace(b"aBcDeF", b"%06x" % (n * 7919))
            .replace(
                b"document\r\n",
                b"document\r\nX-Request-Id: %032x\r\nX-Forwarded-For: 192.0.2.%d\r\n" % (n * n, n % 256),
            )
            for n in range(5000)
        ]
    )


class Nowhere:
    """A stream that takes everything."""

    peer, peer_host, peer_port = "192.0.2.1:4711", "192.0.2.1", "4711"
    sendfile = None

    def __init__(self) -> None:
        self.send = len
        self.sendmsg = None
        self.recv = bytes

    def wait_writable(self, timeout: float) -> bool:
        """Take more at once."""
        return True

    def shut(self) -> None:
        """Do nothing."""

    close = reset = shut


def hello(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    """Answer as the smallest application does."""
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "13")])
    return [b"Hello, World!"]


def best(call: Callable[[], object]) -> float:
    """Give microseconds a call, the least of several rounds."""
    return min(timeit.repeat(call, number=CALLS, repeat=ROUNDS)) / CALLS * 1e6


def main() -> None:
    """Print a line for each part of the path, and for the whole of it."""
    settings = Settings(access_log=False)
    site = Site(hello, settings, ErrorStream())
    base = base_environ(site, "127.0.0.1", "8000")
    now = time.monotonic()
    handed: list[Connection] = []
    connection = Connection(site, Nowhere(), base, handed.append, now)

    def whole(data: bytes) -> None:
        connection.receive(data)
        if not connection.advance(now):
            raise AssertionError("the head was not taken for whole")
        connection.run()
        handed.pop().flush(now)

    reader = Reader(settings)

    def read(data: bytes) -> Request | None:
        reader.receive(data)
        return reader.read_head()

    request = read(BROWSER)
    assert request is not None
    heads = varied()
    environ = make_environ(base, request, Nowhere(), BytesIO())

    def answer() -> None:
        connection.exchange = exchange = Exchange(site, request, connection, "192.0.2.1:4711", now)
        run(hello, environ, exchange)
        handed.pop().flush(now)

    parts: dict[str, Callable[[], object]] = {
        "read a head that is known": lambda: read(BROWSER),
        "read a head that differs": lambda: read(next(heads)),
        "environ": lambda: make_environ(base, request, Nowhere(), BytesIO()),
        "gateway and exchange": answer,
        "all of it: hello": lambda: whole(HELLO),
        "all of it: browser": lambda: whole(BROWSER),
        "all of it: varied": lambda: whole(next(heads)),
    }
    for name, call in parts.items():
        print(f"{name:28} {best(call):6.2f} µs")


if __name__ == "__main__":
    main()
