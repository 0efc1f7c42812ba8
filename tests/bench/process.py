"""A server under test: one process tree, pinned to its cores, started for one run and ended after it."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from . import applications
from .scenarios import Scenario
from .servers import HOST, Launch, Server

ROOT = Path(__file__).parents[2]
READY_SECONDS = 20
GRACE_SECONDS = 2
ANSWER_SECONDS = 10


class ServerError(Exception):
    """The server did not start, or did not answer as it must; the message says why."""


def free_port() -> int:
    with socket.create_server((HOST, 0)) as probe:
        return int(probe.getsockname()[1])


def launch_for(scenario: Scenario) -> Launch:
    return Launch(
        application=f"{applications.__name__}:{scenario.application}",
        port=0,
        threads=scenario.threads,
        access_log=scenario.access_log,
    )


def command(server: Server, launch: Launch, cores: str, python: str = sys.executable) -> list[str]:
    return ["taskset", "--cpu-list", cores, python, *server.arguments(launch)]


class Running:
    """A server that runs; `output` holds what it wrote to its standard output and error."""

    def __init__(self, server: Server, launch: Launch, cores: str, directory: Path) -> None:
        self.launch = replace(launch, port=free_port())
        self.output = directory / f"output-{self.launch.port}"
        self._command = command(server, self.launch, cores)
        environment = os.environ | {applications.FILE_VARIABLE: str(directory / "file")}
        # As users have it: what was imported once is not compiled again.
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        with self.output.open("wb") as output:
            self._process = subprocess.Popen(
                self._command,
                cwd=ROOT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self.pid = self._process.pid

    @property
    def logs(self) -> bool:
        """Whether it was told to write an access log."""
        return self.launch.access_log and "--no-access-log" not in self._command

    def check_alive(self) -> None:
        """Raise ServerError when the server has ended by itself."""
        if self._process.poll() is not None:
            raise ServerError(f"it ended under load: {self._last_words()}")

    def wait_ready(self) -> None:
        """Come back when the server takes connections."""
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                break
            try:
                socket.create_connection((HOST, self.launch.port), timeout=1).close()
                return
            except OSError:
                time.sleep(0.001)
        raise ServerError(f"it did not start: {self._last_words()}")

    def _last_words(self) -> str:
        lines = self.output.read_text(errors="replace").split("\n")
        said = [line.strip() for line in lines if line.strip()]
        return said[-1] if said else "it said nothing"

    def check(self, scenario: Scenario) -> None:
        """Ask as the scenario does, once; raise ServerError when the answer is not right."""
        sent = b"x" * scenario.post
        connection = http.client.HTTPConnection(HOST, self.launch.port, timeout=ANSWER_SECONDS)
        with contextlib.closing(connection):
            try:
                connection.request(scenario.method, scenario.path, sent or None, dict(scenario.fields))
                response = connection.getresponse()
                body = response.read()
            except (OSError, http.client.HTTPException) as error:
                raise ServerError(f"it did not answer: {error!r}") from error
        if response.status != 200:
            said = body[:80].decode("latin-1").strip()
            raise ServerError(f"it answered {response.status} {response.reason}: {said}")
        if body != scenario.body:
            raise ServerError(f"it answered with {len(body)} bytes that are not the {len(scenario.body)} expected")

    def check_streaming(self) -> None:
        """Raise ServerError when the first chunk of a body is kept until the last is made (PEP 3333 forbids)."""
        connection = http.client.HTTPConnection(HOST, self.launch.port, timeout=ANSWER_SECONDS)
        with contextlib.closing(connection):
            connection.request("GET", "/?pause")
            asked = time.monotonic()
            connection.getresponse().read(1)
            if time.monotonic() - asked >= applications.PAUSE:
                raise ServerError("it collects the whole body before it sends any of it")

    def connect(self) -> socket.socket:
        return socket.create_connection((HOST, self.launch.port), timeout=ANSWER_SECONDS)

    def request(self, path: str, fields: Mapping[str, str] | None = None) -> bytes:
        lines = [f"GET {path} HTTP/1.1", f"Host: {self.launch.address}"]
        lines += [f"{name}: {value}" for name, value in (fields or {}).items()]
        return "\r\n".join([*lines, "", ""]).encode()

    def open(self, path: str) -> socket.socket:
        """A connection on which a request was sent; its answer is left for the caller."""
        client = self.connect()
        client.sendall(self.request(path))
        return client

    def read_answer(self, client: socket.socket, body: bytes) -> None:
        """Receive up to the end of the body; raise ServerError when the connection ends before."""
        received = b""
        while not received.endswith(body):
            if not (piece := client.recv(65536)):
                raise ServerError("it closed a connection that was to stay")
            received += piece

    def stop(self) -> None:
        """End the whole family: politely, then not."""
        self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(GRACE_SECONDS)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()


@contextlib.contextmanager
def running(server: Server, launch: Launch, cores: str, directory: Path) -> Iterator[Running]:
    """A server that takes connections, until the block ends."""
    process = Running(server, launch, cores, directory)
    try:
        process.wait_ready()
        yield process
    finally:
        process.stop()
        process.output.unlink()
