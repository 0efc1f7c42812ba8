"""The scenarios: what is asked of a server, and which figure tells how well it did."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from . import applications
from .servers import NO_LOG, ONE_BY_ONE, ONE_THREAD


class Figure(Enum):
    """What a scenario measures: the unit, and how it is called in a heading."""

    CPU = ("µs", "CPU time of the whole server per request")
    RATE = ("req/s", "requests per second")
    MEMORY = ("MB", "resident memory of all processes of the server")
    IDLE = ("KB", "resident memory for each idle connection")
    START = ("ms", "from the command to the first answer")

    def __init__(self, unit: str, title: str) -> None:
        self.unit = unit
        self.title = title

    @property
    def loaded(self) -> bool:
        """Whether it is measured while wrk asks."""
        return self in (Figure.CPU, Figure.RATE)

    @property
    def steady(self) -> bool:
        """Whether a few rounds are as good as many, for the speed of the machine does not matter."""
        return self in (Figure.MEMORY, Figure.IDLE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One thing to measure."""

    name: str
    title: str
    application: str = "hello"
    body: bytes = applications.HELLO
    """The body that a right answer has."""
    path: str = "/"
    fields: Mapping[str, str] = field(default_factory=dict)
    post: int = 0
    """How many bytes each request sends; 0: it is a GET."""
    script: str = ""
    """The Lua script that makes wrk's requests; empty: wrk sends the same request always."""
    connections: int = 32
    length: int = 1
    """How many times as long as others it is measured, so that what is under way at the end, uncounted, is little."""
    in_turn: bool = False
    """Each server has its time at once, though CPU time is measured: so much is under way that it would never rest."""
    threads: int = 0
    """How many threads each server that has threads is given; 0: as many as it takes by itself."""
    both_cores: bool = False
    computing: bool = False
    """One request computes in Python all the while."""
    access_log: bool = False
    streamed: bool = False
    """Each chunk has to leave before the next is made."""
    variants: tuple[str, ...] = ()
    """What is measured beside: wsgiserver itself, set otherwise."""
    figure: Figure = Figure.CPU

    @property
    def sliced(self) -> bool:
        """Whether all servers are asked slice by slice. Where the times that wrk tells count, that would spoil them."""
        return self.figure is Figure.CPU and not self.in_turn

    @property
    def lua(self) -> str:
        return "post.lua" if self.post else self.script

    @property
    def method(self) -> str:
        return "POST" if self.post else "GET"


BROWSER = {
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:133.0) Gecko/20100101 Firefox/133.0",
    "Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "Accept-Language": "en-GB,en;q=0.5",
    "Accept-Encoding": "gzip, deflate, br, zstd",
    "Referer": "https://example.org/shop/",
    "Cookie": "theme=dark; session=5f0c2b9e1d7a4c3b8e6f",
    "Upgrade-Insecure-Requests": "1",
    "Sec-Fetch-Mode": "navigate",
    "Priority": "u=0, i",
}
"""With Host, the ten fields that a browser sends."""

VARIED = {name: BROWSER[name] for name in ("User-Agent", "Accept", "Accept-Language", "Accept-Encoding", "Referer")}
"""What stays the same in `varied`; the Lua script adds what differs."""

STREAM = applications.CHUNK * applications.CHUNKS
FILE = b"x" * applications.FILE_SIZE
TIMES = "\N{MULTIPLICATION SIGN}"
KB = 1024
MB = 1024 * KB

SCENARIOS = (
    Scenario(name="hello", title="a plain application, wrk's own header fields", variants=(ONE_THREAD,)),
    Scenario(name="browser", title="hello, asked with the ten header fields of a real browser", fields=BROWSER),
    Scenario(
        name="varied",
        title="hello; path, query, cookie and two more fields differ on every request",
        fields=VARIED,
        path="/users/0/orders?page=0&sort=date",
        script="varied.lua",
    ),
    Scenario(name="flask", title="Flask's hello", application="flask", variants=(ONE_BY_ONE,)),
    Scenario(name="bottle", title="Bottle's hello", application="bottle"),
    Scenario(
        name="django",
        title="Django's hello, with its CommonMiddleware, which tells the length",
        application="django",
    ),
    Scenario(name="echo", title="a POST of 1 KB, sent back", application="echo", post=KB, body=b"x" * KB),
    Scenario(name="big", title="a body of 100 KB", application="big", body=applications.BIG),
    Scenario(name="file", title="1 MB by wsgi.file_wrapper", application="file", body=FILE, length=2),
    Scenario(
        name="upload",
        title="a POST of 4 MB",
        application="upload",
        post=4 * MB,
        body=b"%d" % (4 * MB),
        length=4,
        in_turn=True,
    ),
    Scenario(
        name="stream",
        title="20 chunks of 1 KB from a generator",
        application="stream",
        body=STREAM,
        streamed=True,
    ),
    Scenario(name="close", title="hello, a connection for each request", fields={"Connection": "close"}),
    Scenario(name="conns", title="hello, 1,000 connections", connections=1000, length=2),
    Scenario(
        name="access-log", title="hello, with the access log going to a file", access_log=True, variants=(NO_LOG,)
    ),
    Scenario(
        name="sleep",
        title="the application sleeps 10 ms; 64 connections, 64 threads",
        application="sleep",
        connections=64,
        threads=64,
        figure=Figure.RATE,
    ),
    Scenario(
        name="sometimes",
        title="hello, of which 1 request in 100 sleeps 50 ms; 64 threads",
        application="sometimes",
        threads=64,
        figure=Figure.RATE,
    ),
    Scenario(
        name="compute",
        title="hello, while one request computes in Python all the while; both cores for all",
        application="compute",
        both_cores=True,
        computing=True,
        figure=Figure.RATE,
    ),
    Scenario(name="memory", title="memory of the server that serves hello", figure=Figure.MEMORY),
    Scenario(name="idle", title="memory for each of 500 idle connections", connections=500, figure=Figure.IDLE),
    Scenario(name="start", title="from the command to the first answer", figure=Figure.START),
)
