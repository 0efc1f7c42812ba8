"""Loses patience: whoever makes the server wait has a deadline."""

import socket
import sys
import time
from wsgiref.types import WSGIApplication

from step1_socket import listen
from step5_reader import BadRequest, refusal
from step7_loop import Connection, Loop, State, large

REQUEST, NEXT_REQUEST, TAKING = "the rest of a request", "the next request", "the client to take its answer"
PATIENCE = {REQUEST: 10.0, NEXT_REQUEST: 15.0, TAKING: 30.0}


def waits_for(connection: Connection) -> str:
    """Say what keeps a connection waiting."""
    if connection.state is State.WRITING:
        return TAKING
    return REQUEST if connection.reader.request or connection.reader.buffer else NEXT_REQUEST


class TimedLoop(Loop):
    """A loop that looks at the clock."""

    def __init__(self, listener: socket.socket, application: WSGIApplication, patience: dict[str, float]) -> None:
        super().__init__(listener, application)
        self.patience = patience
        # What each connection waits for, and since when.
        self.waits: dict[Connection, tuple[str, float]] = {}
        self.looked = time.monotonic()

    def settle(self, connection: Connection) -> None:
        """Note the time when the wait is a new one. More of a head is no progress; a taken byte is."""
        super().settle(connection)
        old, new = self.waits.get(connection), waits_for(connection)
        if connection.state is State.CLOSED:
            self.waits.pop(connection, None)
        elif old is None or old[0] != new or new == TAKING:
            self.waits[connection] = new, time.monotonic()

    def turn(self, timeout: float | None = None) -> None:
        """Turn once a second at least; once a second, give up who is overdue."""
        super().turn(1.0)
        now = time.monotonic()
        if now - self.looked >= 1.0:
            self.looked = now
            overdue = [each for each, (wait, since) in self.waits.items() if now - since > self.patience[wait]]
            for connection in overdue:
                self.expire(connection)

    def expire(self, connection: Connection) -> None:
        """Close a connection; a client in the middle of a request is told why."""
        if waits_for(connection) == REQUEST:
            connection.respond(refusal(BadRequest("408 Request Timeout", "it took too long")), kept=False)
            connection.work()
        connection.state = State.CLOSED
        self.settle(connection)


if __name__ == "__main__":
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 0.0
    TimedLoop(listen(), large, dict.fromkeys(PATIENCE, seconds) if seconds else PATIENCE).run()
