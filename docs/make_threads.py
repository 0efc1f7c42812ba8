"""Makes docs/explanation/threads-hand-over.svg: runs a real server, notes what its threads do, and draws it in time.

    .venv/bin/python docs/make_threads.py

One client asks for what is quick, again and again. Another asks twice for what sleeps.
"""

import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from wsgiserver import Server, baton, server

TARGET = Path(__file__).parent / "explanation" / "threads-hand-over.svg"
SLEEP = 0.008
PAUSE = 0.0006  # of the quick client, and ten times as long of the other
ATTEMPTS = 50  # the run is made again when something else on the machine got in between


@dataclass
class Event:
    """Something that a thread did."""

    time: float
    thread: str
    what: str
    about: str = ""


class Trace:
    """What was noted of one run."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def note(self, what: str, about: str = "", thread: str = "") -> None:
        """Note that a thread did something, just now."""
        self.events.append(Event(time.perf_counter(), thread or threading.current_thread().name, what, about))

    def all(self, *what: str) -> list[Event]:
        """Give the events of these kinds, in order."""
        return [event for event in self.events if event.what in what]


trace = Trace()


class TracedBaton(baton.Baton):
    """A baton that tells what becomes of the lead."""

    def call(self, task: baton.Task) -> bool:
        """Note when the lead was lost."""
        leads = super().call(task)
        if not leads:
            trace.note("lost")
        return leads

    def _lead(self, me: Any) -> bool:
        trace.note("leads")
        return super()._lead(me)

    def _employ(self, worker: Any, job: Any) -> None:
        trace.note("hands on" if job is baton._Order.LEAD else "gives", worker.name)
        super()._employ(worker, job)

    def _watch(self) -> None:
        pause = self._pause

        def tick(seconds: float) -> None:
            pause(seconds)
            trace.note("looks")

        self._pause = tick
        super()._watch()


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    """Answer at once, or sleep before."""
    path = environ["PATH_INFO"]
    trace.note("begins", path)
    if path == "/slow":
        time.sleep(SLEEP)
    start_response("200 OK", [("Content-Type", "text/plain")])
    trace.note("ends", path)
    return [b"hello"]


def run() -> None:
    """Serve both clients, and have it noted in the trace."""
    global trace
    with Server(application, bind="127.0.0.1:0", threads=4) as serving:
        over = threading.Event()
        with socket.create_connection(serving.address) as quick, socket.create_connection(serving.address) as slow:
            ask(quick, "/quick")
            ask(slow, "/quick")
            trace = Trace()
            assert serving._baton is not None
            assert serving._baton._leader is not None
            trace.note("leads", thread=serving._baton._leader.name)
            client = threading.Thread(target=ask_on, args=(quick, over))
            client.start()
            for _ in range(2):
                time.sleep(10 * PAUSE / 2)
                ask(slow, "/slow")
            time.sleep(2 * PAUSE)
            over.set()
            client.join()
            trace.note("end")


def ask_on(client: socket.socket, over: threading.Event) -> None:
    """Ask for what is quick, again and again."""
    while not over.is_set():
        ask(client, "/quick")
        trace.note("answered")
        time.sleep(PAUSE)


def ask(client: socket.socket, path: str) -> None:
    """Ask, and wait for the answer."""
    client.sendall(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
    client.recv(65536)


def is_plain() -> bool:
    """Tell whether this was one hand-over, then one call given to a worker, by two threads, and no other delay."""
    handed, given, lost = trace.all("hands on"), trace.all("gives"), trace.all("lost")
    slow = [event for event in trace.all("begins") if event.about == "/slow"]
    waits = sorted(later.time - earlier.time for earlier, later in pairwise(trace.all("answered")))
    return (
        (len(handed), len(given), len(lost), len(slow)) == (1, 1, 1, 2)
        and given[0].about == slow[0].thread == slow[1].thread
        and len({event.thread for event in trace.all("begins")}) == 2
        and waits[-2] < 2 * PAUSE
    )


# -- the drawing ---------------------------------------------------------------------------------------------------

WIDTH, LEFT, RIGHT = 900, 118, 14
LANES = {"first": 66, "watch": 126, "second": 186, "client": 236}
BOTTOM = 268
STYLE = """
#threads-drawing rect, #threads-drawing path, #threads-drawing circle { stroke: currentColor; stroke-width: 1.2 }
#threads-drawing rect, #threads-drawing path { fill: none }
#threads-drawing .quick, #threads-drawing circle { fill: currentColor }
#threads-drawing .slow { fill: currentColor; fill-opacity: .22 }
#threads-drawing .lane { stroke-opacity: .3; stroke-dasharray: 2 4 }
#threads-drawing .scale { stroke-opacity: .5 }
#threads-drawing text { fill: currentColor; font: 13px sans-serif }
#threads-drawing .small { font-size: 11px; opacity: .8 }
"""
TITLE = (
    "What two threads of the pool and the watch did in one run. The first thread leads and runs quick calls, then one "
    "that sleeps. The watch sees the same call for a whole tick and gives the loop to the second thread, which goes on "
    "answering. The first finishes its response as a worker, and is later given the next call of the same route."
)


class Drawing:
    """An SVG with time from left to right."""

    def __init__(self) -> None:
        self.first, self.second = trace.all("leads")[0].thread, trace.all("hands on")[0].about
        self.start = trace.all("answered")[0].time
        self.end = trace.all("end")[0].time
        self.parts: list[str] = []

    def x(self, moment: float) -> float:
        """Say where a moment is."""
        share = (max(moment, self.start) - self.start) / (self.end - self.start)
        return round(LEFT + share * (WIDTH - LEFT - RIGHT), 1)

    def bar(self, lane: str, start: float, end: float, kind: str, height: int) -> None:
        """Draw what lasts from one moment to another."""
        x, y = self.x(start), LANES[lane] - height / 2
        width = max(self.x(end) - x, 1.5)
        self.parts.append(f'<rect x="{x:g}" y="{y:g}" width="{width:.1f}" height="{height}" class="{kind}"/>')

    def text(self, x: float, y: float, text: str, kind: str = "small", anchor: str = "start") -> None:
        """Write, from ``x`` on or up to it."""
        self.parts.append(f'<text x="{x:g}" y="{y:g}" class="{kind}" text-anchor="{anchor}">{text}</text>')

    def path(self, line: str, kind: str = "", arrow: bool = False) -> None:
        """Draw a line, perhaps with a tip."""
        tip = ' marker-end="url(#threads-tip)"' if arrow else ""
        self.parts.append(f'<path d="{line}" class="{kind}"{tip}/>')

    def lane_of(self, event: Event) -> str:
        """Say on which line a thread is drawn."""
        return "first" if event.thread == self.first else "second"

    def lanes(self) -> None:
        """Draw the lines and the scale."""
        names = {"first": "thread 1", "watch": "the watch", "second": "thread 2", "client": "answers"}
        for lane, y in LANES.items():
            self.text(LEFT - 12, y + 4, names[lane], "", "end")
            self.path(f"M{LEFT} {y}H{WIDTH - RIGHT}", "lane")
        self.path(f"M{LEFT} {BOTTOM}H{WIDTH - RIGHT}", "scale")
        for milliseconds in range(0, int((self.end - self.start) * 1000) + 1, 2):
            x = self.x(self.start + milliseconds / 1000)
            self.path(f"M{x:g} {BOTTOM}v5", "scale")
            self.text(x, BOTTOM + 19, f"{milliseconds} ms", anchor="middle")

    def calls(self) -> None:
        """Draw all calls, and what is known of the slow ones."""
        open_calls: dict[str, Event] = {}
        for event in trace.all("begins", "ends"):
            if event.what == "begins":
                open_calls[event.thread] = event
            elif began := open_calls.pop(event.thread, None):
                self.bar(self.lane_of(event), began.time, event.time, event.about.strip("/"), 20)

    def leads(self) -> None:
        """Draw who leads, when."""
        handed = trace.all("hands on")[0].time
        self.bar("first", self.start, handed, "", 32)
        self.bar("second", trace.all("leads")[1].time, self.end, "", 32)
        self.text(self.x(self.start), LANES["first"] - 22, "leads")
        self.text(self.x(trace.all("leads")[1].time), LANES["second"] + 29, "leads")

    def ticks(self) -> None:
        """Draw when the watch looks, up to the hand-over and behind it."""
        for look in trace.all("looks"):
            if self.start <= look.time <= self.end:
                self.path(f"M{self.x(look.time):g} {LANES['watch'] - 5}v10")

    def hand_over(self) -> None:
        """Draw how the loop, and later a call, are given to somebody."""
        handed, given = trace.all("hands on")[0], trace.all("gives")[0]
        slow = [event for event in trace.all("begins", "ends") if event.about == "/slow"]
        x, y = self.x(handed.time), LANES["watch"]
        self.path(f"M{x:g} {y}L{self.x(trace.all('leads')[1].time):g} {LANES['second'] - 18}", "", arrow=True)
        self.text(x + 8, y + 22, "hands the loop on")
        x = self.x(given.time)
        self.path(f"M{x:g} {LANES['second'] - 16}L{self.x(slow[2].time):g} {LANES['first'] + 12}", "", arrow=True)
        self.text(x + 8, LANES["watch"] + 22, "gives the call to a worker")
        self.text(self.x(slow[0].time), LANES["first"] - 22, "a call that sleeps", anchor="start")
        self.text(self.x(handed.time) + 8, LANES["first"] + 4, "as a worker")
        self.text(self.x(slow[1].time) + 8, LANES["first"] - 6, "rests")
        self.text(self.x(slow[2].time), LANES["first"] - 22, "the next call of its route")

    def answers(self) -> None:
        """Draw when the quick client was answered."""
        for answer in trace.all("answered"):
            if answer.time <= self.end:
                self.parts.append(f'<circle cx="{self.x(answer.time):g}" cy="{LANES["client"]}" r="2"/>')

    def svg(self) -> str:
        """Give all of it."""
        for draw in (self.lanes, self.leads, self.calls, self.ticks, self.hand_over, self.answers):
            draw()
        tip = '<path d="M0 0 L10 5 L0 10 z" style="fill: currentColor; stroke: none"/>'
        return "\n".join(
            [
                f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 20 {WIDTH} {BOTTOM + 10}" role="img" '
                'aria-labelledby="threads-title" style="width: 100%; height: auto; color: inherit">',
                f'<title id="threads-title">{TITLE}</title>',
                '<defs><marker id="threads-tip" viewBox="0 0 10 10" refX="8" refY="5" markerWidth="7" '
                f'markerHeight="7" orient="auto">{tip}</marker><style>{STYLE}</style></defs>',
                '<g id="threads-drawing">',
                *self.parts,
                "</g>\n</svg>\n",
            ]
        )


def main() -> None:
    """Run until the run is plain, and draw it."""
    server.Baton = TracedBaton  # type: ignore[misc]
    for _ in range(ATTEMPTS):
        run()
        if is_plain():
            break
    else:
        raise SystemExit("the machine is too busy for a drawing; try again")
    TARGET.write_text(Drawing().svg(), encoding="utf-8")
    times = [event.time for event in trace.all("answered")]
    print(
        f"{TARGET.name}: the longest time between two answers is {max(b - a for a, b in pairwise(times)) * 1000:.1f} ms"
    )


if __name__ == "__main__":
    main()
