"""The server under stress: hundreds of clients ask for everything at once, and each answer is held against its ask.

    python tests/stress.py [SECONDS] [--seed SEED] [--clients CLIENTS] [--threads THREADS]

What a client asks for, in which order and on how many connections, is drawn from the seed, which is printed; what
happens at the same time is chance. Each `Ask` tells the application how to answer: in which shape, with which work
before, between or after, and how to fail. Client and application make the body from the ask's token, so that an octet
out of place is seen.

The servers run one after the other, each with another number of threads, in processes of their own: so the clients
never hold a GIL that the server waits for. When the clients have left, the server must have nothing left over: no
connection, thread or descriptor, no iterable that was not closed once, no traceback that was not meant.
"""

import argparse
import asyncio
import faulthandler
import gc
import hashlib
import itertools
import json
import os
import random
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from wsgiserver import Server
from wsgiserver.exchange import Exchange
from wsgiserver.site import Environ

PATIENCE = 60.0  # seconds after which a client, or the end of a server, is taken to hang
CLIENTS = 200
# One server after the other, round and round: its threads, and the share of the clients that come. Where they are
# fewer, threads are free now and then, and so calls are begun inline, and the loop is handed on.
SERVERS = ((16, 1.0), (2, 0.03), (4, 0.1), (1, 1.0), (2, 1.0), (16, 0.1))
SERVER_TIME = 60.0  # seconds of one server at most
FILE_SIZE = 600_000
ROUTES = 701  # more of each kind than the server remembers
BUFFER_BODY = 48 * 1024  # so that many a body goes to a temporary file
REST = 0.25  # seconds after which an idle thread ends, so that threads come and go all the while
PHRASES = {200: "OK", 201: "Created", 204: "No Content", 304: "Not Modified", 404: "Not Found"}
BODYLESS = (204, 304)

# -- what is asked -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Ask:
    """One request, and how it is to be answered."""

    token: int
    kind: str = "list"  # begins the path; see `House.make_…`
    status: int = 200
    size: int = 12
    chunks: int = 1
    told: bool = False  # whether the application says its Content-Length
    offset: int = 0  # in the file
    # What takes time: "", "sleep" or "compute", when ("call", "chunk", "close"), and how many milliseconds.
    work: str = ""
    at: str = "call"
    ms: int = 0
    says: bool = False  # that it will block
    # "", "first" (before start_response), "started" (before the first byte), "later" (after it), "late" (after the
    # last), "close" (in there), "short" and "long" (a body of another length than it said)
    fails: str = ""
    # -- the client's part
    method: str = "GET"
    minor: int = 1
    upload: str = ""  # "", "length", "chunked"
    upload_size: int = 0
    expect: bool = False
    close: bool = False  # whether the client asks for the end of the connection
    slow: float = 0.0  # seconds before it reads
    leaves: str = ""  # "", or how far it goes before it leaves: "head", "body", "asked", "reading"
    resets: bool = False  # how it leaves
    bad: int = -1  # one of `BAD` instead of all this

    @property
    def bodyless(self) -> bool:
        return self.method == "HEAD" or self.status in BODYLESS

    @property
    def ending(self) -> str:
        """How the connection is to end behind it: "" for not at all."""
        if self.leaves or self.bad >= 0:
            return self.leaves or "bad"
        if self.fails in ("later", "late", "short", "long"):
            return self.fails
        return "close" if self.close else ""


DEFAULTS = {field.name: field.default for field in fields(Ask)}
BAD = (
    b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    b"GET / HTTP/1.1\r\n\r\n",
    b"NOTHING\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nX : y\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nnone\r\n",
)


def content(token: int, size: int) -> bytes:
    """Make a body in which no two places are alike."""
    return random.Random(token).randbytes(size)


FILE = content(-1, FILE_SIZE)


def cut(data: bytes, pieces: int) -> list[bytes]:
    """Cut into so many pieces, none of them empty."""
    step = max(1, -(-len(data) // max(1, pieces)))
    return [data[start : start + step] for start in range(0, len(data), step)]


def digest(data: bytes) -> str:
    return f"{len(data)}-{hashlib.sha256(data).hexdigest()[:16]}"


class Plan:
    """What one client does, drawn from the seed."""

    def __init__(self, seed: int, server: int, client: int) -> None:
        self.draw = random.Random(f"{seed} {server} {client}")
        self.tokens = itertools.count(client * 1_000_000 + 1)

    def visit(self) -> list[Ask]:
        """What is asked on one connection; more than one ask of a pipelined visit is under way at a time."""
        draw = self.draw
        minor = int(draw.random() > 0.15)
        many = draw.choice((1, 1, 2, 3, 5, 8, 13))
        asks = [self.ask(minor, last=False) for _ in range(many - 1)]
        return [*asks, self.ask(minor, last=True)]

    def ask(self, minor: int, *, last: bool) -> Ask:
        draw = self.draw
        ask = Ask(next(self.tokens), minor=minor, size=draw.choice((0, 1, 12, 300, 3000)))
        if draw.random() > 0.4:
            ask = self.upload(self.shape(self.work(ask)))
        if last:
            ask = self.end(ask)
        elif minor == 0 and ask.chunks != 1:
            ask = replace(ask, told=True)  # else the connection would have to end behind it
        return ask

    def work(self, ask: Ask) -> Ask:
        draw = self.draw
        work = draw.choice(("", "", "sleep", "sleep", "compute"))
        if not work:
            return ask
        return replace(
            ask,
            work=work,
            at=draw.choice(("call", "call", "chunk", "close")),
            ms=draw.choice((1, 2, 3, 5, 10, 30)) if work == "sleep" else draw.choice((1, 3, 8)),
            says=draw.random() < 0.2,
        )

    def shape(self, ask: Ask) -> Ask:
        draw = self.draw
        kind = draw.choice(("list", "generator", "write", "file", "filelike", "counted", "sized", "mixed", "tides"))
        if kind in ("list", "mixed", "tides", "sized"):
            ask = replace(ask, kind=kind, told=draw.random() < 0.3)
        elif kind == "file":
            offset = draw.randrange(FILE_SIZE - 1)
            told = draw.random() < 0.5
            size = draw.randrange(1, FILE_SIZE - offset) if told else FILE_SIZE - offset
            ask = replace(ask, kind=kind, offset=offset, told=told, size=size)
        else:
            size = draw.choice((1, 200, 5000, 80_000, 400_000))
            ask = replace(ask, kind=kind, size=size, chunks=draw.choice((2, 3, 7)), told=draw.random() < 0.5)
            ask = replace(ask, slow=draw.choice((0.0, 0.0, 0.0, 0.02, 0.1)))
        if draw.random() < 0.15:
            return replace(ask, fails=draw.choice(("first", "started", *(["close"] if kind == "counted" else []))))
        return replace(ask, status=draw.choice((200, 200, 200, 201, 204, 304, 404)))

    def upload(self, ask: Ask) -> Ask:
        draw = self.draw
        if draw.random() < 0.1 and not ask.fails:
            return replace(ask, method="HEAD")
        if draw.random() > 0.3:
            return ask
        how = draw.choice(("length", "chunked")) if ask.minor else "length"
        size = draw.choice((0, 5, 1000, 30_000, 120_000, 300_000))
        return replace(ask, method="POST", upload=how, upload_size=size, expect=ask.minor > 0 and draw.random() < 0.2)

    def end(self, ask: Ask) -> Ask:
        draw = self.draw
        ending = draw.choice(("", "", "", "close", "close", "fails", "leaves", "bad"))
        if ask.minor == 0 and ask.chunks != 1 and not ask.told:
            ask = replace(ask, close=True)  # it must end there
        if ending == "close":
            return replace(ask, close=True)
        if ending == "bad":
            return Ask(ask.token, bad=draw.randrange(len(BAD)))
        if ending == "fails":
            return self.fail(ask)
        if ending == "leaves":
            leaves = draw.choice(("head", "asked", "reading", *(["body"] if ask.upload_size else [])))
            return replace(ask, leaves=leaves, resets=draw.random() < 0.5, expect=False)
        return ask

    def fail(self, ask: Ask) -> Ask:
        draw = self.draw
        fails = draw.choice(("later", "late", "short", "long"))
        ask = replace(ask, status=200, method="POST" if ask.upload else "GET", fails=fails, told=fails != "later")
        kinds = ("list", "generator", "write") if fails in ("short", "long") else ("generator", "write", "counted")
        return replace(ask, kind=draw.choice(kinds), size=draw.choice((10, 2000, 100_000)), chunks=3)


# -- the application -----------------------------------------------------------------------------------------------


class Meant(Exception):
    """What the application raises because it was asked to."""


class Counted:
    """An iterable of the application; the house sees that it is closed once."""

    def __init__(self, house: "House", ask: Ask, chunks: Iterable[bytes]) -> None:
        self.house, self.ask, self.chunks = house, ask, iter(chunks)
        house.open[ask.token] = ask.kind

    def __iter__(self) -> Iterator[bytes]:
        return self.chunks

    def close(self) -> None:
        if self.house.open.pop(self.ask.token, None) is None:
            self.house.wrong.append(f"close() was called again: {self.ask}")
        self.house.spend(self.ask, "close")
        self.house.fail(self.ask, "close")


class Sized(Counted):
    """One that says how many chunks it has."""

    def __len__(self) -> int:
        return self.ask.chunks


class Filelike(Counted):
    """One to be read."""

    def read(self, size: int) -> bytes:
        return next(self.chunks, b"")


class House:
    """The application: does as it is asked, and remembers what must not be forgotten."""

    def __init__(self, folder: str, threads: int) -> None:
        self.threads = threads
        self.file = Path(folder) / "file"
        self.file.write_bytes(FILE)
        self.lock = threading.Lock()
        self.running = self.most = 0
        self.under_way: dict[int, str] = {}  # exchanges that nobody has seen the end of
        self.open: dict[int, str] = {}  # iterables that are not closed
        self.raised: set[int] = set()  # what was raised and not reported
        self.broken: set[int] = set()  # what may be reported
        self.wrong: list[str] = []

    def __call__(self, environ: Environ, start_response: Any) -> Iterable[bytes]:
        ask = Ask(**json.loads(unquote(environ["QUERY_STRING"])))
        self.under_way[ask.token] = ask.kind
        with self.lock:
            self.running += 1
            self.most = max(self.most, self.running)
        try:
            return self.answer(ask, environ, start_response)
        finally:
            with self.lock:
                self.running -= 1

    def answer(self, ask: Ask, environ: Environ, start_response: Any) -> Iterable[bytes]:
        if environ["wsgi.multithread"] is not (self.threads > 1):
            self.wrong.append("wsgi.multithread does not tell the truth")
        if ask.says:
            environ["wsgiserver.will_block"]()
        got = digest(self.read(ask, environ["wsgi.input"]))
        self.spend(ask, "call")
        self.fail(ask, "first")
        headers = [("X-Token", str(ask.token)), ("X-Got", got), ("Content-Type", "application/octet-stream")]
        if ask.told:
            headers.append(("Content-Length", str(ask.size + {"short": 7, "long": -7}.get(ask.fails, 0))))
        if ask.fails in ("short", "long"):
            self.broken.add(ask.token)
        write = start_response(f"{ask.status} {PHRASES[ask.status]}", headers)
        method: Callable[..., Iterable[bytes]] = getattr(self, f"make_{ask.kind}")
        return method(ask, write, environ)

    def read(self, ask: Ask, stream: Any) -> bytes:
        """Read the body, one way or the other."""
        if ask.token % 3 == 0:
            return b"".join(stream)
        if ask.token % 3 == 1:
            return b"".join(iter(lambda: stream.read(10_000), b""))
        body: bytes = stream.read()
        return body

    def spend(self, ask: Ask, at: str) -> None:
        """Take the time that is to be taken here."""
        if ask.at != at or (ask.kind == "mixed" and ask.token % 10) or (ask.kind == "tides" and int(time.time()) % 2):
            return
        if ask.work == "sleep":
            time.sleep(ask.ms / 1000)
        elif ask.work == "compute":
            until = time.perf_counter() + ask.ms / 1000
            while time.perf_counter() < until:
                sum(range(500))

    def fail(self, ask: Ask, at: str) -> None:
        if ask.fails == at:
            self.raised.add(ask.token)
            raise Meant(ask.token)

    def pieces(self, ask: Ask) -> Iterator[bytes]:
        """Make the chunks, one by one, with work and failures in between."""
        self.fail(ask, "started")
        for number, chunk in enumerate(cut(content(ask.token, ask.size), ask.chunks)):
            if number == 1:
                self.fail(ask, "later")
            if number:
                self.spend(ask, "chunk")
            yield chunk
        self.fail(ask, "late")

    # The shapes of a body.

    def make_list(self, ask: Ask, write: Any, environ: Environ) -> Iterable[bytes]:
        self.fail(ask, "started")
        return cut(content(ask.token, ask.size), ask.chunks) or [b""]

    make_mixed = make_tides = make_list

    def make_generator(self, ask: Ask, write: Any, environ: Environ) -> Iterable[bytes]:
        return self.pieces(ask)

    def make_counted(self, ask: Ask, write: Any, environ: Environ) -> Iterable[bytes]:
        return Counted(self, ask, self.pieces(ask))

    def make_sized(self, ask: Ask, write: Any, environ: Environ) -> Iterable[bytes]:
        self.fail(ask, "started")
        return Sized(self, ask, [content(ask.token, ask.size)])

    def make_write(self, ask: Ask, write: Any, environ: Environ) -> Iterable[bytes]:
        for chunk in self.pieces(ask):
            write(chunk)
        return []

    def make_filelike(self, ask: Ask, write: Any, environ: Environ) -> Iterable[bytes]:
        self.fail(ask, "started")
        return environ["wsgi.file_wrapper"](Filelike(self, ask, self.pieces(ask)))

    def make_file(self, ask: Ask, write: Any, environ: Environ) -> Iterable[bytes]:
        self.fail(ask, "started")
        file = open(self.file, "rb")  # noqa: SIM115 - the server closes it
        file.seek(ask.offset)
        return environ["wsgi.file_wrapper"](file)


# -- the server's process ------------------------------------------------------------------------------------------


class Errors:
    """What the server has to say of the application: each message must have been meant."""

    REPORT = re.compile(
        r"wsgiserver: \w+ '/\w+/(?:\d+/)?(\d+)': (the application failed|close\(\) of the response failed)[:\n]"
    )

    def __init__(self, house: House) -> None:
        self.house = house

    def write(self, text: str) -> None:
        house, found = self.house, self.REPORT.match(text)
        token = int(found[1]) if found else 0
        if f"Meant: {token}" in text and token in house.raised:
            house.raised.remove(token)
        elif ": the body " not in text or token not in house.broken:
            house.wrong.append(f"a report that was not meant: {text}")

    def writelines(self, lines: Iterable[str]) -> None:
        self.write("".join(lines))

    def flush(self) -> None:
        pass


class Witness:
    """An observer: sees the end of each exchange, and of each turn."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.seen = self.whole = 0
        self.turned = threading.Event()

    def __call__(self, exchange: Exchange) -> None:
        self.seen += 1
        self.whole += exchange.complete
        token = exchange.request.path.rpartition("/")[2]
        if token.isdigit():
            self.house.under_way.pop(int(token), None)

    def flush(self) -> None:
        self.turned.set()


def open_files() -> dict[str, str]:
    """List what this process has open; nothing where the system does not tell."""
    found = {}
    for entry in Path("/proc/self/fd").glob("*"):
        with suppress(OSError):
            found[entry.name] = os.readlink(entry)
    return found


def say(**message: Any) -> None:
    print(json.dumps(message), flush=True)


def serve(threads: int) -> None:
    """Serve until a line comes in, then look for what is left over, and say what was found."""
    with tempfile.TemporaryDirectory(prefix="wsgiserver-") as folder:
        house = House(folder, threads)
        witness = Witness(house)
        bind = ["127.0.0.1:0", *([f"unix:{folder}/s"] if hasattr(socket, "AF_UNIX") else [])]
        timeouts = {f"timeout_{what}": PATIENCE for what in ("head", "body", "keep_alive", "send", "stop")}
        before, interval = open_files(), sys.getswitchinterval()
        server = Server(house, bind=bind, threads=threads, buffer_body=BUFFER_BODY, observers=[witness], **timeouts)
        server.site.errors = Errors(house)
        server._owns_process = True  # as the command does: it may change the switch interval
        with server:
            orders = count_orders(server, house)
            opened = open_files()
            say(addresses=[listener.address for listener in server.listeners])
            sys.stdin.readline()
            faulthandler.dump_traceback_later(4 * PATIENCE, exit=True)  # who hangs tells where
            wrong = at_rest(server, house, witness, opened)
        gc.collect()
        left = [thread.name for thread in threading.enumerate() if thread is not threading.main_thread()]
        wrong += [f"a thread is left: {name}" for name in left]
        wrong += [f"a descriptor is left open: {file}" for file in open_files().items() - before.items()]
        if sys.getswitchinterval() != interval:
            wrong.append("the switch interval was not put back")
        wrong += house.wrong[:5]
        faulthandler.cancel_dump_traceback_later()
        say(wrong=wrong, exchanges=witness.seen, whole=witness.whole, most=house.most, **orders)


def count_orders(server: Server, house: House) -> Counter[str]:
    """Have the workers' threads come and go, and count what workers are given."""
    baton = server._baton
    assert baton is not None
    baton.rest = REST
    orders = Counter(loops=0, tasks=0)

    def counted(method: Callable[..., Any], order: str) -> Callable[..., Any]:
        def count(*arguments: Any) -> Any:
            with house.lock:
                orders[order] += 1
            return method(*arguments)

        return count

    baton._lead = counted(baton._lead, "loops")  # type: ignore[method-assign]
    baton._work = counted(baton._work, "tasks")  # type: ignore[method-assign]
    return orders


def at_rest(server: Server, house: House, witness: Witness, opened: dict[str, str]) -> list[str]:
    """Wait until the server has nothing to do any more; say what it could not let go of."""
    loop, baton = server._loop, server._baton
    assert loop is not None
    assert baton is not None
    until = time.monotonic() + PATIENCE
    while True:
        witness.turned.clear()
        threads = [thread for thread in threading.enumerate() if thread.name.startswith("wsgiserver")]
        left = {
            "connections": list(loop.connections.values()),
            "read and not run": list(loop._ready),
            "run and not written": list(loop._unsent),
            "tasks that wait": list(baton._waiting),
            "busy workers": baton.busy,
            "crowded": loop.crowded,
            "descriptors": list(open_files().items() - opened.items()),
            "threads above what they may be": max(0, len(threads) - server.settings.threads - 2),
            "calls": house.running,
            "exchanges not seen": house.under_way,
            "iterables not closed": house.open,
            "exceptions not reported": house.raised,
        }
        if not any(left.values()) or time.monotonic() > until:
            return [f"left over, {what}: {which}" for what, which in left.items() if which]
        loop.wake()
        witness.turned.wait(REST)


# -- the clients ---------------------------------------------------------------------------------------------------


class Wrong(Exception):
    """A response is not what it should be."""


def check(holds: bool, what: str) -> None:
    if not holds:
        raise Wrong(what)


@dataclass
class Response:
    status: int
    headers: dict[str, str]
    body: bytes
    whole: bool


STATUS_LINE = re.compile(rb"HTTP/1\.1 (\d\d\d) [ -~]*\r\n")
HEADER = re.compile(rb"([!-9;-~]+): ([ -~]*)\r\n")


def request(ask: Ask) -> tuple[bytes, bytes]:
    """Make the bytes of a request: head, and body."""
    if ask.bad >= 0:
        return BAD[ask.bad], b""
    asked = {name: value for name, value in asdict(ask).items() if value != DEFAULTS[name]}
    # Half of them come on a route of which the server knows little: there it must hand the loop on.
    route = f"/{ask.kind}/" if ask.token % 2 else f"/{ask.kind}/{ask.token * 37 % ROUTES}/"
    lines = [f"{ask.method} {route}{ask.token}?{quote(json.dumps(asked))} HTTP/1.{ask.minor}", "Host: stress"]
    body = content(-ask.token, ask.upload_size)
    if ask.upload == "length":
        lines.append(f"Content-Length: {len(body)}")
    elif ask.upload:
        lines.append("Transfer-Encoding: chunked")
        body = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in cut(body, 5)) + b"0\r\n\r\n"
    if ask.expect:
        lines.append("Expect: 100-continue")
    if ask.close and ask.minor:
        lines.append("Connection: close")
    elif not ask.close and not ask.minor:
        lines.append("Connection: keep-alive")
    return "\r\n".join([*lines, "", ""]).encode(), body


class Visit:
    """One connection of a client, from the first ask to the last."""

    def __init__(self, asks: list[Ask], address: Any, draw: random.Random) -> None:
        self.asks, self.address, self.draw = asks, address, draw
        self.present = asks[0]

    async def go(self) -> None:
        small = any(ask.slow for ask in self.asks)
        family = socket.AF_UNIX if isinstance(self.address, str) else socket.AF_INET
        sock = socket.socket(family)
        try:
            sock.setblocking(False)
            if small:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
            await asyncio.get_running_loop().sock_connect(sock, self.address)
            self.reader, self.writer = await asyncio.open_connection(sock=sock)
        except BaseException:
            sock.close()
            raise
        try:
            await self.talk()
            self.writer.close()
            with suppress(OSError):
                await self.writer.wait_closed()
        except BaseException:
            self.writer.transport.abort()
            raise

    @property
    def pipelines(self) -> bool:
        """Whether it may ask for all at once."""
        last = self.asks[-1]
        if last.fails == "later" and not last.minor:
            return False  # the reset that shows that it was cut may take the responses before it along
        return len(self.asks) > 1 and not any(ask.expect for ask in self.asks)

    async def talk(self) -> None:
        if self.pipelines and self.draw.random() < 0.5:
            last = self.asks[-1]
            for ask in self.asks if not last.leaves else self.asks[:-1]:
                self.writer.write(b"".join(request(ask)))
            for ask in self.asks[:-1]:
                await self.hear(ask)
            await (self.leave(last) if last.leaves else self.hear(last))
            return
        for ask in self.asks:
            if ask.leaves:
                await self.leave(ask)
            else:
                await self.ask(ask)
                await self.hear(ask)

    async def ask(self, ask: Ask) -> None:
        """Send a request, cut anywhere."""
        self.present = ask
        head, body = request(ask)
        if ask.expect:
            self.writer.write(head)
            interim = await self.reader.readuntil(b"\r\n\r\n") if ask.upload_size or ask.upload == "chunked" else b""
            check(interim in (b"", b"HTTP/1.1 100 Continue\r\n\r\n"), f"instead of leave to send: {interim!r}")
            self.writer.write(body)
            return
        data = head + body
        at = self.draw.randrange(len(data)) if self.draw.random() < 0.2 else 0
        self.writer.write(data[:at])
        await asyncio.sleep(0)
        self.writer.write(data[at:])

    async def leave(self, ask: Ask) -> None:
        """Go so far, and leave."""
        self.present = ask
        head, body = request(ask)
        if ask.leaves == "head":
            self.writer.write(head[: self.draw.randrange(len(head) - 2)])
        elif ask.leaves == "body":
            self.writer.write(head + body[: self.draw.randrange(len(body) - 2)])
        else:
            self.writer.write(head + body)
        if ask.leaves == "reading":
            await self.reader.read(self.draw.choice((1, 1000, 50_000)))
        else:
            await asyncio.sleep(0)
        if ask.resets:
            self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1" + bytes(7))
            self.writer.transport.abort()

    async def hear(self, ask: Ask) -> None:
        """Read a response and hold it against what was asked for."""
        self.present = ask
        if ask.slow:
            await asyncio.sleep(ask.slow)
        try:
            response = await self.read(ask)
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            if ask.fails in ("later", "short"):
                return  # of what was cut, not even the head need have come
            raise Wrong(f"no response: {error!r}") from error
        self.compare(ask, response)
        if ask.ending in ("close", "bad"):
            check(response.headers.get("connection") == "close", "it does not say that the connection ends")
        if ask.ending == "close" or not response.whole:
            await self.nothing_more(response.whole)

    async def nothing_more(self, whole: bool) -> None:
        try:
            more = await self.reader.read(100)
        except ConnectionError:
            check(not whole, "a connection that was to be closed is reset")
        else:
            check(not more, f"behind the end: {more!r}")

    async def read(self, ask: Ask) -> Response:
        head = await self.reader.readuntil(b"\r\n\r\n")
        line, _, rest = head.partition(b"\r\n")
        status = STATUS_LINE.fullmatch(line + b"\r\n")
        if status is None:
            raise Wrong(f"no status line: {line[:100]!r}")
        found = HEADER.findall(rest[:-2])
        check(b"".join(b"%b: %b\r\n" % header for header in found) == rest[:-2], f"no header: {rest!r}")
        headers = {name.decode().lower(): value.decode() for name, value in found}
        check(len(headers) == len(found), f"a header is there twice: {rest!r}")
        code = int(status[1])
        return Response(code, headers, *await self.read_body(ask, code, headers))

    async def read_body(self, ask: Ask, code: int, headers: dict[str, str]) -> tuple[bytes, bool]:
        """Read the body as it is framed; tell whether it came whole."""
        if ask.method == "HEAD" or code in BODYLESS:
            return b"", True
        if "transfer-encoding" in headers:
            check("content-length" not in headers, "two framings")
            return await self.read_chunks()
        try:
            if "content-length" in headers:
                return await self.reader.readexactly(int(headers["content-length"])), True
        except asyncio.IncompleteReadError as error:
            return error.partial, False
        except ConnectionError:
            return b"", False
        check(not ask.minor, "no framing in a response to HTTP/1.1")
        body = b""
        try:
            while data := await self.reader.read(65536):
                body += data
        except ConnectionError:
            return body, False
        return body, ask.fails != "later"

    async def read_chunks(self) -> tuple[bytes, bool]:
        body = b""
        try:
            while True:
                line = await self.reader.readuntil(b"\r\n")
                check(re.fullmatch(rb"[0-9a-f]+\r\n", line) is not None, f"no size of a chunk: {line!r}")
                data = await self.reader.readexactly(int(line, 16) + 2)
                check(data.endswith(b"\r\n"), "a chunk does not end where it ends")
                body += data[:-2]
                if len(data) == 2:
                    return body, True
        except (asyncio.IncompleteReadError, ConnectionError):
            return body, False

    def compare(self, ask: Ask, response: Response) -> None:
        headers = response.headers
        status = 400 if ask.bad >= 0 else 500 if ask.fails in ("first", "started") else ask.status
        check(response.status == status, f"the status is {response.status}: {response.body[:300]!r}")
        check(headers.get("server") == "wsgiserver" and headers.get("date", "").endswith(" GMT"), "no Server or Date")
        if status in (400, 500):
            check(response.whole and headers["content-type"] == "text/plain; charset=utf-8", "no page of an error")
            return
        check(headers.get("x-token") == str(ask.token), f"the answer to another: {headers}")
        check(headers["x-got"] == digest(content(-ask.token, ask.upload_size)), "what was uploaded is not what came")
        self.compare_body(ask, response)

    def compare_body(self, ask: Ask, response: Response) -> None:
        file = ask.kind == "file"
        expected = FILE[ask.offset : ask.offset + ask.size] if file else content(ask.token, ask.size)
        if ask.bodyless:
            return
        if ask.fails in ("later", "short"):
            check(not response.whole, "it is not to be seen that the response was cut")
            check(expected.startswith(response.body), "what came of it is not the beginning")
            return
        if ask.fails == "long":
            expected = expected[:-7]
        check(response.whole, f"only {len(response.body)} of {len(expected)} octets came")
        check(response.body == expected, f"{len(response.body)} octets, but not the {len(expected)} asked for")


class Crowd:
    """All clients of one server."""

    def __init__(self, seed: int, number: int, clients: int, addresses: list[Any], until: float) -> None:
        self.seed, self.number, self.clients, self.until = seed, number, clients, until
        self.addresses = [address if isinstance(address, str) else tuple(address) for address in addresses]
        self.asked: Counter[str] = Counter()
        self.wrong: list[str] = []

    async def come(self) -> None:
        await asyncio.gather(*(self.client(number) for number in range(self.clients)))

    async def client(self, number: int) -> None:
        plan = Plan(self.seed, self.number, number)
        while time.monotonic() < self.until and not self.wrong:
            visit = Visit(plan.visit(), plan.draw.choice(self.addresses), plan.draw)
            try:
                async with asyncio.timeout(PATIENCE):
                    await visit.go()
            except Exception as error:
                self.wrong.append(f"server {self.number}, client {number}, {visit.present}: {error!r}")
            self.note(visit)

    def note(self, visit: Visit) -> None:
        self.asked["connections"] += 1
        self.asked[f"http: HTTP/1.{visit.asks[0].minor}"] += 1
        for ask in visit.asks:
            self.asked["exchanges"] += 1
            for what in ("kind", "work", "at", "fails", "upload", "leaves", "ending", "method", "status"):
                if value := getattr(ask, what):
                    self.asked[f"{what}: {value}"] += 1


def run(seed: int, number: int, seconds: float, clients: int, threads: int) -> tuple[list[str], Counter[str]]:
    """Start a server, send it a crowd, and give what was wrong and what was tried."""
    command = [sys.executable, "-W", "error", __file__, "--serve", str(threads)]
    with (
        tempfile.TemporaryFile() as errors,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True) as process,
    ):
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            wrong, crowd, found = [], None, {}
            if line := process.stdout.readline():
                addresses = json.loads(line)["addresses"]
                crowd = Crowd(seed, number, clients, addresses, time.monotonic() + seconds)
                asyncio.run(crowd.come())
                wrong = crowd.wrong
                process.stdin.write("end\n")
                process.stdin.flush()
                found = json.loads(process.stdout.readline() or "{}")
            wrong += found.pop("wrong", ["the server's process has ended"])
            if process.wait(PATIENCE):
                wrong.append(f"the server's process ended with {process.returncode}")
        finally:
            process.kill()
        errors.seek(0)
        if text := errors.read().decode(errors="replace"):
            wrong.append(f"on standard error: {text}")
    asked = crowd.asked if crowd is not None else Counter[str]()
    if found:
        tell(threads, clients, asked, found)
        if found["most"] > threads:
            wrong.append(f"{found['most']} calls ran at once on {threads} threads")
        if threads > 1 and not found["loops"]:
            wrong.append("the loop was never handed on")
    return wrong, asked


def tell(threads: int, clients: int, asked: Counter[str], found: dict[str, int]) -> None:
    print(
        f"{threads:>2} threads, {clients:>3} clients: {asked['exchanges']:,} asked on {asked['connections']:,} "
        f"connections, {found['whole']:,} of {found['exchanges']:,} answered whole; the loop handed on "
        f"{found['loops']:,} times, {found['tasks']:,} given to workers, {found['most']} calls at once",
        flush=True,
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("seconds", nargs="?", type=float, default=600.0)
    parser.add_argument("--seed", type=int, default=None, help="repeat what was asked")
    parser.add_argument("--clients", type=int, default=CLIENTS)
    parser.add_argument("--threads", type=int, default=0, help="of all servers, instead of some more, some fewer")
    parser.add_argument("--serve", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve)
        return 0
    seed = random.randrange(10**9) if options.seed is None else options.seed
    print(f"seed {seed}", flush=True)
    many = max(len(SERVERS), round(options.seconds / SERVER_TIME))
    tried: Counter[str] = Counter()
    wrong: list[str] = []
    for number in range(many):
        threads, share = SERVERS[number % len(SERVERS)]
        clients = max(1, round(options.clients * share))
        wrong, asked = run(seed, number, options.seconds / many, clients, options.threads or threads)
        tried += asked
        if wrong:
            break
    for what, group in itertools.groupby(sorted(key for key in tried if ": " in key), lambda key: key.split(": ")[0]):
        print(f"{what:>8}: " + ", ".join(f"{key.split(': ')[1]} {tried[key]:,}" for key in group))
    for line in wrong[:10]:
        print(f"WRONG: {line}")
    print(f"{'failed' if wrong else 'all as asked'}; seed {seed}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
