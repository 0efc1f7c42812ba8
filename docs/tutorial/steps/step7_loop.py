"""Serves many clients at once: a loop asks which sockets are ready, each connection knows where it stands."""

import enum
import selectors
import socket
from collections.abc import Iterable
from contextlib import suppress
from functools import partial
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from step1_socket import listen
from step2_request import Request
from step3_wsgi import environ_of
from step5_reader import BadRequest, Reader, refusal
from step6_gateway import Gateway


class State(enum.Enum):
    """What a connection waits for."""

    READING = "the client is to send"
    ANSWERING = "the application is to answer"
    WRITING = "the client is to take its answer"
    CLOSED = "nothing"


class Connection:
    """One client: its reader, the bytes that are to leave, its state. It never waits for the socket."""

    def __init__(self, client: socket.socket, application: WSGIApplication) -> None:
        client.setblocking(False)
        self.client = client
        self.application = application
        self.reader = Reader()
        self.found: tuple[Request, bytes] | None = None
        self.out = bytearray()
        self.kept = True
        self.state = State.READING

    def work(self) -> None:
        """Do what the socket allows; then `state` says what to wait for."""
        try:
            if self.state is State.READING:
                self.receive()
            elif self.state is State.WRITING:
                self.transmit()
        except BlockingIOError:
            pass
        except ConnectionError:
            self.state = State.CLOSED

    def receive(self) -> None:
        """Take what the client has sent."""
        data = self.client.recv(65536)
        if data:
            self.reader.receive(data)
            self.advance()
        else:
            self.state = State.CLOSED

    def advance(self) -> None:
        """Go on to the next request if it is here whole; if not, read on."""
        try:
            self.found = self.reader.next()
            self.state = State.ANSWERING if self.found else State.READING
        except BadRequest as error:
            self.respond(refusal(error), kept=False)

    def answer(self) -> None:
        """Let the application answer. What it says is collected here, and leaves as the client takes it."""
        assert self.found is not None
        request, body = self.found
        response = bytearray()
        environ = environ_of(request, body, self.client.getsockname())
        kept = Gateway(request, response.extend).run(self.application, environ)
        self.respond(response, kept=kept)

    def respond(self, response: bytes | bytearray, *, kept: bool) -> None:
        """Lay a response out to be sent."""
        self.out += response
        self.kept = kept
        self.state = State.WRITING

    def transmit(self) -> None:
        """Send what the socket takes; when that was all, go on."""
        del self.out[: self.client.send(self.out)]
        if not self.out and self.kept:
            self.advance()
        elif not self.out:
            self.state = State.CLOSED


EVENTS = {State.READING: selectors.EVENT_READ, State.WRITING: selectors.EVENT_WRITE}


class Loop:
    """Who waits for what: one poller for the listener and all the connections."""

    def __init__(self, listener: socket.socket, application: WSGIApplication) -> None:
        listener.setblocking(False)
        self.listener = listener
        self.application = application
        self.poller = selectors.DefaultSelector()
        self.poller.register(listener, selectors.EVENT_READ, self.accept)

    def run(self) -> None:
        """Turn, for ever."""
        while True:
            self.turn()

    def turn(self, timeout: float | None = None) -> None:
        """Wait until something is ready, or for so many seconds; then do all that can be done."""
        for key, _ in self.poller.select(timeout):
            key.data()

    def accept(self) -> None:
        """Take in a new client."""
        with suppress(BlockingIOError, ConnectionError):
            client, _ = self.listener.accept()
            self.watch(Connection(client, self.application))

    def watch(self, connection: Connection) -> None:
        """Put a connection into the poller, and begin."""
        self.poller.register(connection.client, selectors.EVENT_READ, partial(self.attend, connection))
        self.attend(connection)

    def attend(self, connection: Connection) -> None:
        """Let a connection work until it waits for its client."""
        connection.work()
        while connection.state is State.ANSWERING:
            connection.answer()
            connection.work()
        self.settle(connection)

    def settle(self, connection: Connection) -> None:
        """Tell the poller what the connection now waits for."""
        key = self.poller.get_key(connection.client)
        if connection.state is State.CLOSED:
            self.poller.unregister(connection.client)
            connection.client.close()
        elif key.events != EVENTS[connection.state]:
            self.poller.modify(connection.client, EVENTS[connection.state], key.data)


def large(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answer with as many bytes as the query says, or with a greeting."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"x" * int(environ["QUERY_STRING"] or 0) or b"Hello World!\n"]


if __name__ == "__main__":
    Loop(listen(), large).run()
