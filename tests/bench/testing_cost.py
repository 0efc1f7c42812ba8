"""Time what testing over the wire costs: a request with WebTest and beneath it, and a live server's start and stop."""

import functools
import statistics
import sys
import time
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import webtest  # type: ignore[import-untyped]

from wsgiserver.loader import load
from wsgiserver.testing import LiveServer, TestApp, wire

APPS = Path(__file__).parents[2] / "apps"


def best(calls: Mapping[str, Callable[[], object]], number: int = 100, rounds: int = 30) -> dict[str, float]:
    """Microseconds a call of each, in the best of many short rounds; in turn, so that noise falls on all alike."""
    times = dict.fromkeys(calls, float("inf"))
    for _ in range(rounds):
        for name, call in calls.items():
            start = time.perf_counter()
            for _ in range(number):
                call()
            times[name] = min(times[name], (time.perf_counter() - start) / number * 1e6)
    return times


def live(application: Any) -> tuple[float, float]:
    """Milliseconds to start, and to stop with a request answered in between; medians of fifty."""
    starts, stops = [], []
    for _ in range(50):
        began = time.perf_counter()
        server = LiveServer(application)
        server.start()
        starts.append(time.perf_counter() - began)
        urllib.request.urlopen(server.url).close()
        began = time.perf_counter()
        server.stop()
        stops.append(time.perf_counter() - began)
    return statistics.median(starts) * 1e3, statistics.median(stops) * 1e3


def main() -> None:
    print(sys.version.split()[0])
    for name in ("hello", "flask_app"):
        application = load(f"{APPS / name}.py:app")
        clients = {
            "webtest.TestApp(app)": webtest.TestApp(application),
            "webtest.TestApp(wire(app))": webtest.TestApp(wire(application)),
            "wsgiserver.testing.TestApp(app)": TestApp(application),
            "the same, strict": TestApp(application, strict=True),
        }
        calls = {title: functools.partial(client.get, "/") for title, client in clients.items()}
        for title, time_each in best(calls).items():
            print(f"{name}, {title}: {time_each:.0f} µs")
    print("live: start {:.1f} ms, stop {:.1f} ms".format(*live(load(f"{APPS / 'hello'}.py:app"))))


if __name__ == "__main__":
    main()
