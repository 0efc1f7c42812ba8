"""A process that the application forks has nothing of the server: no client, no port, no signal, no answer."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import PATIENCE

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")

FORKING = textwrap.dedent("""
    import os, sys, time

    def app(environ, start_response):
        global child
        where, _, what = environ["PATH_INFO"][1:].partition("/")
        body = str(os.getpid())
        if what == "late":
            return late(environ, start_response, where)
        if where == "status":
            body = str(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        elif where:
            if where == "worker":
                environ["wsgiserver.will_block"]()
            child = os.fork()
            if child:
                body = str(child)
            elif what == "exit":
                sys.exit(3)
            elif what == "say":
                sys.exit("the child says so")
            elif what == "raise":
                raise ValueError("in the child")
            elif what == "stay":
                time.sleep(3600)
            elif what == "write":
                environ["wsgi.errors"].write("the child has no line end")
        start_response("200 OK", [])
        return [environ["wsgi.input"].read() or body.encode()]

    def late(environ, start_response, where):
        global child
        if where == "worker":
            environ["wsgiserver.will_block"]()
        start_response("200 OK", [("Content-Length", "4")])
        yield b"late"
        child = os.fork()
""")


@pytest.fixture
def forking(at_the_end: contextlib.ExitStack, tmp_path: Path) -> Callable[..., subprocess.Popen[str]]:
    """Give ``forking(*arguments)``: a process that serves the application above on the Unix socket ``s``."""
    (tmp_path / "forking.py").write_text(FORKING)
    # From Python 3.12 on, to fork in a process of several threads is warned of.
    command = [sys.executable, "-W", "ignore", "-m", "wsgiserver", "forking:app", "-b", "unix:s", "--no-access-log"]

    def start(*arguments: str) -> subprocess.Popen[str]:
        pipe = subprocess.PIPE
        process = at_the_end.enter_context(
            subprocess.Popen([*command, *arguments], stdout=pipe, stderr=pipe, text=True, cwd=tmp_path)
        )
        at_the_end.callback(process.kill)
        while "Ctrl+C" not in (line := process.stderr.readline()):  # type: ignore[union-attr]
            assert line
        return process

    return start


@needs_fork
@pytest.mark.parametrize("threads", ["1", "4"])
@pytest.mark.parametrize("where", ["inline", "worker"])
@pytest.mark.parametrize(
    ("what", "status", "said"),
    [
        ("exit", "3", ""),
        ("say", "1", "the child says so"),
        ("raise", "1", "ValueError: in the child"),
        ("return", "0", ""),
        ("write", "0", "the child has no line end"),
        ("late", "0", ""),
    ],
)
def test_a_child_that_comes_back_from_the_application_ends_and_answers_nobody(
    forking: Any, connect: Any, tmp_path: Path, threads: str, where: str, what: str, status: str, said: str
) -> None:
    process = forking("--threads", threads)
    client = connect(str(tmp_path / "s"))
    server = client.get().content
    child = client.get(f"/{where}/{what}").content
    assert client.get("/status").content.decode() == status
    assert client.get().content == server != child
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=PATIENCE)
    assert (said in errors) if said else (errors == "")
    assert process.returncode == 0


@needs_fork
def test_a_child_that_stays_keeps_neither_clients_nor_the_port_and_can_be_ended(
    forking: Any, connect: Any, tmp_path: Path
) -> None:
    process = forking()
    path = str(tmp_path / "s")
    waiting = connect(path)
    waiting.get()
    child = int(connect(path).get("/inline/stay").content)
    try:
        last = connect(path)
        last.get("/", "Connection: close")
        assert last.rest() == b""
        process.send_signal(signal.SIGTERM)
        assert waiting.rest() == b""
        assert process.wait(PATIENCE) == 0
        with pytest.raises(OSError), socket.socket(socket.AF_UNIX) as late:
            late.connect(path)
    finally:
        os.kill(child, signal.SIGTERM)
    assert process.stdout.read() == ""  # it ends when nobody has it any more


FORKS_BESIDE = """
import os, sys
from wsgiserver import Server
from wsgiserver.welcome import application

with Server(application, bind="unix:s") as server:
    child = os.fork()
    if child == 0:
        server.stop()
        server.wait()
        sys.exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    print(status, os.path.exists("s"), flush=True)
    sys.stdin.readline()
"""


@needs_fork
def test_a_child_forked_beside_a_server_stops_nothing_of_it(connect: Any, tmp_path: Path) -> None:
    pipe = subprocess.PIPE
    command = [sys.executable, "-W", "ignore", "-c", FORKS_BESIDE]
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, cwd=tmp_path) as process:
        try:
            assert process.stdout.readline() == "0 True\n"
            assert connect(str(tmp_path / "s")).get().status == 200
            out, errors = process.communicate("\n", timeout=PATIENCE)
        finally:
            process.kill()
    assert (out, errors, process.returncode) == ("", "", 0)


@needs_fork
def test_an_upload_is_whole_though_the_application_forks_while_it_comes(
    forking: Any, connect: Any, tmp_path: Path
) -> None:
    """What a child closes at its end is not written once more behind what its parent has."""
    forking("--buffer-body", "1000")
    path = str(tmp_path / "s")
    pieces = [b"a" * 5000, b"b" * 100, b"c" * 10_000, b"d" * 100]
    body = b"".join(pieces)
    client, beside = connect(path), connect(path)
    client.send(b"PUT / HTTP/1.1\r\nHost: test\r\nContent-Length: %d\r\n\r\n" % len(body))
    for piece in pieces[:-1]:
        client.send(piece)
        beside.get()  # when that is answered, the piece was read
        beside.get("/inline/exit")
        assert beside.get("/status").content == b"3"
    assert client.send(pieces[-1]).response().content == body
