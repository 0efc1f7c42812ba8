"""Runs an application as PEP 3333 says, whatever the application does."""

import re
import socket
import traceback
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from step1_socket import listen
from step2_request import Request
from step3_wsgi import environ_of
from step4_framing import Headers, Writer
from step5_reader import BadRequest, Reader, refusal

STATUS = re.compile(r"[1-9][0-9]{2} [\t\x20-\x7e\xa0-\xff]*")
NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
VALUE = re.compile(r"[\t\x20-\x7e\xa0-\xff]*")


class BadResponse(Exception):
    """The application broke a rule; the message says which, for its developer."""


def check(status: str, headers: Headers) -> None:
    """Let nothing pass that could be read as something else on the wire."""
    if STATUS.fullmatch(status) is None:
        raise BadResponse(f"not a status: {status!r}")
    for name, value in headers:
        if NAME.fullmatch(name) is None or VALUE.fullmatch(value) is None:
            raise BadResponse(f"not a header: {name!r}: {value!r}")
        if name.lower() in ("connection", "transfer-encoding"):
            raise BadResponse(f"{name} is the server's to send")


class Gateway:
    """One call of an application: what it has said so far, and how much of that has left."""

    def __init__(self, request: Request, send: Callable[[bytes], object]) -> None:
        self.request = request
        self.send = send
        self.writer: Writer | None = None
        self.begun = False
        self.finished = False
        self.sent = 0

    def run(self, application: WSGIApplication, environ: WSGIEnvironment) -> bool:
        """Call the application and send its response; say whether the connection can be kept."""
        try:
            self.iterate(application, environ)
        except Exception:
            traceback.print_exc(file=environ["wsgi.errors"])
            if not self.begun:
                self.apologise()
        return self.finished and self.writer is not None and self.writer.keep_alive

    def iterate(self, application: WSGIApplication, environ: WSGIEnvironment) -> None:
        """Send each chunk before asking for the next; close the iterable, come what may."""
        chunks = application(environ, self.start_response)
        try:
            for chunk in chunks:
                self.write(chunk)
            self.finish()
        finally:
            if hasattr(chunks, "close"):
                chunks.close()

    def start_response(self, status: str, headers: Headers, exc_info: Any = None) -> Callable[[bytes], object]:
        """Take the head of the response. It can be replaced, for an error, until its first byte has left."""
        if exc_info and self.begun:
            raise exc_info[1]
        if self.writer and not exc_info:
            raise AssertionError("start_response was called twice")
        check(status, headers)
        self.writer = Writer(self.request, status, headers)
        return self.write

    def write(self, data: bytes) -> None:
        """Send a chunk, but never more than the Content-Length says."""
        if self.writer is None:
            raise AssertionError("a chunk before start_response")
        room = len(data) if self.writer.length is None else self.writer.length - self.sent
        if data:
            self.begun = True
            self.sent += len(data)
            self.send(self.writer.chunk(data[:room]))
        if len(data) > room and not self.writer.bodiless:
            raise BadResponse("more body than the Content-Length says")

    def finish(self) -> None:
        """End the response, if it is whole."""
        if self.writer is None:
            raise AssertionError("start_response was never called")
        if self.writer.length is not None and self.sent < self.writer.length and not self.writer.bodiless:
            raise BadResponse("less body than the Content-Length says")
        self.begun = True
        self.send(self.writer.end())
        self.finished = True

    def apologise(self) -> None:
        """Answer 500 in the place of an application that has raised."""
        body = b"The application has failed.\n"
        headers = [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))]
        self.writer = Writer(self.request, "500 Internal Server Error", headers)
        self.sent = 0
        self.write(body)
        self.finish()


def mischief(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Do something wrong, as the path says."""
    match environ["PATH_INFO"]:
        case "/crash":
            raise RuntimeError("before the first byte")
        case "/inject":
            start_response("200 OK", [("Location", "/\r\nSet-Cookie: stolen=1")])
        case "/short":
            start_response("200 OK", [("Content-Length", "100")])
        case "/cut":
            start_response("200 OK", [])
            yield b"so far, so good"
            raise RuntimeError("after the first byte")
        case _:
            start_response("200 OK", [("Content-Type", "text/plain")])
    yield b"all is well\n"


def converse(client: socket.socket, application: WSGIApplication) -> None:
    """Pass bytes from the socket to the reader, and requests from the reader to the application."""
    reader = Reader()
    kept = True
    while kept:
        found = reader.next()
        if found is not None:
            request, body = found
            kept = Gateway(request, client.sendall).run(application, environ_of(request, body, client.getsockname()))
        elif data := client.recv(65536):
            reader.receive(data)
        else:
            return


def serve(listener: socket.socket, application: WSGIApplication) -> None:
    """Talk to one client after the other, and outlive the mistakes of both sides."""
    while True:
        client, _ = listener.accept()
        with client, suppress(ConnectionError):
            try:
                converse(client, application)
            except BadRequest as error:
                client.sendall(refusal(error))


if __name__ == "__main__":
    serve(listen(), mischief)
