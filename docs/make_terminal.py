"""Makes docs/terminal.svg: runs the real command in a terminal, lets clients come, and draws what it has printed.

    .venv/bin/python docs/make_terminal.py

Needs port 8000, and a system with pseudo-terminals.
"""

import http.client
import io
import os
import pty
import re
import signal
import socket
import subprocess
import sys
import termios
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.text import Text

ROOT = Path(__file__).parent.parent
COMMAND = ["wsgiserver"]
SIZE = (24, 80)
ADDRESS = ("127.0.0.1", 8000)
REQUESTS = [("GET", "/"), ("GET", "/favicon.ico"), ("HEAD", "/"), ("POST", "/"), ("GET", "/search?q=wsgi")]


class Terminal:
    """A pseudo-terminal with the command in it."""

    def __init__(self) -> None:
        self.master, slave = pty.openpty()
        termios.tcsetwinsize(slave, SIZE)
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        environment = {**os.environ, "TERM": "xterm-256color", "PATH": path, "NO_COLOR": ""}
        self.shown = f"$ {' '.join(COMMAND)}\r\n"
        self.process = subprocess.Popen(COMMAND, cwd=ROOT, env=environment, stdin=slave, stdout=slave, stderr=slave)
        os.close(slave)

    def read_until(self, text: str) -> None:
        """Read what is printed until `text` is part of it, or to the end."""
        while text not in self.shown:
            try:
                data = os.read(self.master, 65536)
            except OSError:  # the way in which Linux says that the other side is closed
                return
            if not data:
                return
            self.shown += data.decode()

    def end(self) -> None:
        """Press Ctrl-C, and read the rest."""
        self.process.send_signal(signal.SIGINT)
        self.process.wait()
        self.read_until("\0")
        self.shown += "^C\r\n"
        os.close(self.master)


def record() -> str:
    """Run the command, ask it a few things, stop it; give what the terminal has shown."""
    terminal = Terminal()
    terminal.read_until("stops it\r\n")
    for method, target in REQUESTS:
        client = http.client.HTTPConnection(*ADDRESS)
        client.request(method, target)
        client.getresponse().read()
        client.close()
        terminal.read_until(f"{method} {target} ")
    with socket.create_connection(ADDRESS) as client:
        client.sendall(b"what is this?\r\n")
        while client.recv(65536):
            pass
        terminal.read_until("- - ")
    terminal.end()
    return terminal.shown


def draw(shown: str) -> str:
    """Draw what a terminal has shown as SVG, in the fonts of whoever looks at it."""
    console = Console(record=True, width=SIZE[1], file=io.StringIO(), force_terminal=True)
    console.print(Text.from_ansi(shown.replace("\r\n", "\n")), soft_wrap=True)
    layout = re.sub(r"@font-face \{\{.*?\}\}\s*", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
    return console.export_svg(title="wsgiserver", code_format=layout, unique_id="terminal")


if __name__ == "__main__":
    (ROOT / "docs" / "terminal.svg").write_text(draw(record()))
