"""Waits for slow applications in threads: a connection is handed over, and handed back."""

import queue
import selectors
import socket
import threading
from collections import deque
from collections.abc import Iterable
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from step1_socket import listen
from step7_loop import Connection, State
from step8_deadlines import PATIENCE, TimedLoop


class SharedLoop(TimedLoop):
    """A loop that gives connections to workers, and takes them back."""

    def __init__(self, listener: socket.socket, application: WSGIApplication, threads: int) -> None:
        super().__init__(listener, application, PATIENCE)
        self.handed: queue.SimpleQueue[Connection] = queue.SimpleQueue()
        self.returned: deque[Connection] = deque()
        self.bell, self.ear = socket.socketpair()
        self.poller.register(self.ear, selectors.EVENT_READ, self.take_back)
        for _ in range(threads):
            threading.Thread(target=self.toil, daemon=True).start()

    def attend(self, connection: Connection) -> None:
        """Let a connection work until it waits, for its client or for a worker."""
        connection.work()
        if connection.state is State.ANSWERING:
            self.hand_over(connection)
        else:
            self.settle(connection)

    def hand_over(self, connection: Connection) -> None:
        """Give a connection away: from here on, it is no longer the loop's."""
        self.poller.unregister(connection.client)
        self.waits.pop(connection, None)
        self.handed.put(connection)

    def toil(self) -> None:
        """Answer one connection after the other, in a worker; give each back, and ring."""
        while True:
            connection = self.handed.get()
            connection.answer()
            self.returned.append(connection)
            self.bell.send(b"!")

    def take_back(self) -> None:
        """Own again what the workers have given back, and send what they have laid out."""
        self.ear.recv(4096)
        while self.returned:
            self.watch(self.returned.popleft())


opened = threading.Event()


def gate(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Wait at /wait until someone asks for /open; with one thread, that would be for ever."""
    if environ["PATH_INFO"] == "/open":
        opened.set()
    if environ["PATH_INFO"] == "/wait":
        opened.wait()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"The gate is open.\n"]


if __name__ == "__main__":
    SharedLoop(listen(), gate, threads=4).run()
