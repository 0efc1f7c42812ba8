"""The load: wrk's command line, and what its report says."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from . import procfs
from .scenarios import Scenario

MISSING = "wrk is not installed; get it with `apt install wrk` or from https://github.com/wg/wrk"
SCRIPTS = Path(__file__).parent
HELD = 600
"""Seconds that wrk is told to ask for when it is held and let go on: longer than any round."""

LATE = 60
"""Seconds after which an answer is late then; the time in which wrk is held counts, too."""

END_SECONDS = 20

_COUNT = re.compile(r"^\s*(\d+) requests in ", re.MULTILINE)
_RATE = re.compile(r"^Requests/sec:\s*([\d.]+)", re.MULTILINE)
_PERCENTILE = re.compile(r"^\s*(50|99)%\s+([\d.]+)(us|ms|s|m|h)\s*$", re.MULTILINE)
_SOCKET_ERRORS = re.compile(r"^\s*Socket errors: (.*)$", re.MULTILINE)
_STATUS_ERRORS = re.compile(r"^\s*Non-2xx or 3xx responses: (\d+)", re.MULTILINE)
_MILLISECONDS = {"us": 0.001, "ms": 1.0, "s": 1e3, "m": 60e3, "h": 3600e3}


class LoadError(Exception):
    """wrk did not do its work; the message is what it said."""


@dataclass(frozen=True, slots=True)
class Output:
    """What wrk reports."""

    requests: int
    rate: float
    """Requests per second."""
    p50: float
    """Half of the answers came within so many milliseconds."""
    p99: float
    socket_errors: int
    """Connections refused or lost, answers that came too late."""
    status_errors: int
    """Answers with a status other than 2xx or 3xx."""


def parse(text: str) -> Output:
    """Read wrk's report, made with ``--latency``."""
    count, rate = _COUNT.search(text), _RATE.search(text)
    if count is None or rate is None:
        raise LoadError(f"wrk said: {text.strip() or 'nothing'}")
    latency = {name: float(value) * _MILLISECONDS[unit] for name, value, unit in _PERCENTILE.findall(text)}
    sockets, statuses = _SOCKET_ERRORS.search(text), _STATUS_ERRORS.search(text)
    return Output(
        requests=int(count[1]),
        rate=float(rate[1]),
        p50=latency.get("50", 0.0),
        p99=latency.get("99", 0.0),
        socket_errors=sum(map(int, re.findall(r"\d+", sockets[1]))) if sockets else 0,
        status_errors=int(statuses[1]) if statuses else 0,
    )


def available() -> bool:
    return shutil.which("wrk") is not None


def command(scenario: Scenario, url: str, seconds: int, cores: str, timeout: int = 0) -> list[str]:
    """The command line: one thread, pinned to `cores`; `timeout` is how late an answer may be, 0: as wrk has it."""
    arguments = [
        "taskset",
        "--cpu-list",
        cores,
        "wrk",
        "--threads=1",
        f"--connections={scenario.connections}",
    ]
    arguments += [f"--duration={seconds}s", "--latency"]
    if timeout:
        arguments.append(f"--timeout={timeout}s")
    for name, value in scenario.fields.items():
        arguments += ["--header", f"{name}: {value}"]
    if scenario.lua:
        arguments.append(f"--script={SCRIPTS / scenario.lua}")
    arguments.append(url)
    return [*arguments, "--", str(scenario.post)] if scenario.post else arguments


def run(scenario: Scenario, url: str, seconds: int, cores: str) -> tuple[Output, float]:
    """Let wrk ask for so many seconds; its report, and the CPU seconds that it used."""
    import resource  # only Unix has it

    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    try:
        done = subprocess.run(
            command(scenario, url, seconds, cores), capture_output=True, text=True, timeout=seconds + 20
        )
    except subprocess.TimeoutExpired as expired:
        raise LoadError(f"wrk had not ended {expired.timeout - seconds:.0f} s after its time") from expired
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise LoadError(f"wrk failed: {(done.stderr or done.stdout).strip()}")
    return parse(done.stdout), after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


class Load:
    """wrk, which is held and let go on as one likes; it is held once it is made, and asks nothing before `go`."""

    def __init__(self, scenario: Scenario, url: str, cores: str) -> None:
        self._command = command(scenario, url, HELD, cores, LATE)
        self._process: subprocess.Popen[str] | None = None
        self._meter: procfs.Meter | None = None

    def go(self) -> None:
        """Ask, for the first time or again."""
        if self._process is None:
            self._process = subprocess.Popen(self._command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            self._meter = procfs.Meter(self._process.pid)
        else:
            self._process.send_signal(signal.SIGCONT)

    def hold(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGSTOP)

    def end(self) -> tuple[Output, float]:
        """Ask for an instant more, then end; the report of wrk, and the CPU seconds that it used."""
        self.go()
        if self._process is None or self._process.stdout is None or self._meter is None:
            raise LoadError("wrk was not started")
        process, until = self._process, time.monotonic() + END_SECONDS
        # The thread that the signal happens to reach ends; the other one hears only of the next.
        while not _has_ended(process.pid):
            if time.monotonic() > until:
                raise LoadError(f"wrk had not ended after {END_SECONDS} s")
            process.send_signal(signal.SIGINT)
            time.sleep(0.01)
        used, said = self._meter.seconds(), self._process.stdout.read()
        self.kill()
        if process.returncode:
            raise LoadError(f"wrk failed: {said.strip()}")
        return parse(said), used

    def kill(self) -> None:
        if self._process is not None:
            with self._process as process:
                process.kill()


def _has_ended(pid: int) -> bool:
    """Whether a child has ended; its clock can be read until it is waited for."""
    try:
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return True
