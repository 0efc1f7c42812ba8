"""One request of wsgiserver taken apart: which module its time goes to, and which system calls it makes.

``python -m tests.bench profile`` takes it from a server that runs: the time with py-spy while wrk asks, the calls with
strace while a client here asks. Both disturb the server; so the time of a request is measured before either looks.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from . import machine, measure, procfs, stacks, syscalls, wrk
from .measure import Bench
from .process import Running
from .scenarios import Figure, Scenario
from .servers import OURS, SERVERS

CONNECTIONS = 32
REQUESTS = 200
"""By one connection under strace; many connections ask as often in all."""

MISSING = {
    "py-spy": "py-spy is not installed; get it with: pip install -e '.[bench]'",
    "strace": "strace is not installed; get it with `apt install strace`",
}


class ProfileError(Exception):
    """What was needed failed; the message says what it said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Anatomy:
    """One request taken apart."""

    command: str
    started: str
    scenario: str
    versions: dict[str, str]
    time: float
    """CPU time of the whole server for a request, in µs, while nobody looks."""
    kernel: float
    """The share of it that was spent in the kernel, by the kernel's own count."""
    threads: float
    """The share of the threads that do not serve: the watch, and the one that waits for signals."""
    samples: int
    stopped: int
    asleep: int
    """How many more were left out, and why; see Shares."""
    rate: int
    """Samples a second."""
    parts: dict[str, float]
    """The share of each part in the time of the thread that serves."""
    request: list[str]
    """The system calls of one request, as strace shows them."""
    one: dict[str, float]
    """How many calls a request makes, when one connection asks."""
    many: dict[str, float]
    """The same when many ask at once."""
    others: float
    """How many calls the other threads made, for each request of one connection."""

    @property
    def sampled_kernel(self) -> float:
        """The share of the kernel as the samples have it."""
        return sum(share for name, share in self.parts.items() if name.startswith(stacks.KERNEL))

    def micro(self, share: float) -> float:
        """A share of the serving thread's time, in µs."""
        return self.time * (1 - self.threads) * share

    def save(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(asdict(self), indent=1) + "\n")

    @classmethod
    def load(cls, path: Path) -> Anatomy:
        return cls(**json.loads(path.read_text()))


def tool(name: str) -> str:
    """Where a command is: beside this Python, or where the shell finds it."""
    beside = Path(sys.executable).with_name(name)
    return str(beside) if beside.exists() else shutil.which(name) or ""


def missing() -> str:
    """Which tool is not there, and how to get it; empty when all are."""
    return next((how for name, how in MISSING.items() if not tool(name)), "")


def can(scenario: Scenario) -> bool:
    """Whether a request of the scenario can be taken apart: a client here has to be able to ask as wrk does."""
    return scenario.figure is Figure.CPU and not (scenario.lua or scenario.access_log or scenario.name == "close")


def take(bench: Bench, scenario: Scenario, *, rate: int, command: str, started: str) -> Anatomy:
    """Take a request apart; raises ProfileError, ServerError or LoadError."""
    server = next(server for server in SERVERS if server.name == OURS)
    with measure.ready(bench, scenario, server) as process:
        cost, kernel, threads = _undisturbed(bench, scenario, process)
        found = stacks.shares(_sample(bench, scenario, process, rate), kernel)
        one = _trace(process, scenario, bench.directory, connections=1)
        many = _trace(process, scenario, bench.directory, connections=CONNECTIONS)
    if not found.samples:
        raise ProfileError("py-spy has seen no request in wsgiserver/loop.py")
    versions = {name: version for name, version in machine.versions().items() if name in ("Python", OURS)}
    return Anatomy(
        command=command,
        started=started,
        scenario=scenario.name,
        versions=versions | {name: _version(name) for name in MISSING},
        time=cost,
        kernel=kernel,
        threads=threads,
        samples=found.samples,
        stopped=found.stopped,
        asleep=found.asleep,
        rate=rate,
        parts=found.parts,
        request=one.one_request(),
        one=one.each(REQUESTS),
        many=many.each(REQUESTS // CONNECTIONS * CONNECTIONS),
        others=one.others / REQUESTS,
    )


def _undisturbed(bench: Bench, scenario: Scenario, process: Running) -> tuple[float, float, float]:
    """CPU time of a request in µs, the share of the kernel, and of the threads that do not serve."""
    family, threads = procfs.tree(process.pid), procfs.thread_seconds(process.pid)
    run = measure.loaded(bench, scenario, process, [])
    kernel = procfs.kernel_share(family, procfs.tree(process.pid))
    used = [seconds - threads.get(thread, 0.0) for thread, seconds in procfs.thread_seconds(process.pid).items()]
    return run.value, kernel, 1 - max(used) / sum(used)


def _sample(bench: Bench, scenario: Scenario, process: Running, rate: int) -> str:
    """Let py-spy look while wrk asks; what it wrote."""
    output = bench.directory / "stacks"
    words = [tool("py-spy"), "record", "--pid", str(process.pid), "--native", "--format", "raw"]
    words += ["--rate", str(rate), "--duration", str(bench.seconds), "--output", str(output)]
    load = wrk.command(scenario, measure.url(process, scenario), 10 * bench.seconds, bench.load_cores(scenario))
    with subprocess.Popen(load, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as asking:
        try:
            time.sleep(0.5)
            said = subprocess.run(words, capture_output=True, text=True, timeout=9 * bench.seconds)
        finally:
            asking.terminate()
    if said.returncode or not output.exists():
        raise ProfileError(f"py-spy failed (it may need root): {said.stderr.strip()}")
    return output.read_text()


def _trace(process: Running, scenario: Scenario, directory: Path, *, connections: int) -> syscalls.Trace:
    """Let strace look while clients that are connected already ask."""
    output = directory / f"calls-{connections}"
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(process.connect()) for _ in range(connections)]
        _ask(process, scenario, clients)
        with _looking(process, output):
            for _ in range(REQUESTS // connections):
                _ask(process, scenario, clients)
    return syscalls.read(output.read_text())


def _ask(process: Running, scenario: Scenario, clients: Sequence[socket.socket]) -> None:
    """Every client asks; then every one reads its answer."""
    for client in clients:
        client.sendall(process.request(scenario.path, scenario.fields))
    for client in clients:
        process.read_answer(client, scenario.body)


@contextlib.contextmanager
def _looking(process: Running, output: Path) -> Iterator[None]:
    words = [tool("strace"), "--follow-forks", "--attach", str(process.pid), "--output", str(output)]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as strace:
        try:
            until = time.monotonic() + 10
            while not all(procfs.traced(process.pid)):
                if strace.poll() is not None or time.monotonic() > until:
                    said = strace.stderr.read().strip() if strace.stderr and strace.poll() is not None else "it hangs"
                    raise ProfileError(f"strace failed (it may need root): {said}")
                time.sleep(0.01)
            yield
        finally:
            strace.terminate()


def _version(name: str) -> str:
    said = subprocess.run([tool(name), "--version"], capture_output=True, text=True).stdout
    return said.partition("\n")[0].split(" ")[-1]
