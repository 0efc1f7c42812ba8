"""Knows where a message ends; so a request can have a body, and a connection many requests."""

import socket
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from step1_socket import listen
from step2_request import LIMIT_HEAD, Request, parse
from step3_wsgi import environ_of

Headers = list[tuple[str, str]]


class Incoming:
    """What a client sends, in order. What was received too early waits here for the next request."""

    def __init__(self, client: socket.socket) -> None:
        self.client = client
        self.buffer = b""

    def until(self, mark: bytes) -> bytes:
        """Take all that comes before the mark."""
        while mark not in self.buffer:
            self.receive()
            if len(self.buffer) > LIMIT_HEAD:
                raise EOFError
        found, _, self.buffer = self.buffer.partition(mark)
        return found

    def exactly(self, size: int) -> bytes:
        """Take as many bytes as that."""
        while len(self.buffer) < size:
            self.receive()
        found, self.buffer = self.buffer[:size], self.buffer[size:]
        return found

    def receive(self) -> None:
        """Wait for more; raises EOFError when there will be none."""
        piece = self.client.recv(65536)
        if not piece:
            raise EOFError
        self.buffer += piece


class Writer:
    """Turns a status, headers and chunks into the bytes of one response whose end the client can see."""

    def __init__(self, request: Request, status: str, headers: Headers) -> None:
        lengths = [int(value) for name, value in headers if name.lower() == "content-length"]
        self.length = lengths[0] if lengths else None
        self.bodiless = request.method == "HEAD" or status[:3] in ("204", "304")
        self.chunked = self.length is None and not self.bodiless and request.version == "HTTP/1.1"
        last = request.version == "HTTP/1.0" or request.fields.get("connection", "").lower() == "close"
        self.keep_alive = not last and (self.chunked or self.bodiless or self.length is not None)
        self.head = self.lay_out(status, headers)

    def lay_out(self, status: str, headers: Headers) -> bytes:
        """Write the head, with the two fields that are the server's own."""
        own: Headers = []
        if self.chunked:
            own.append(("Transfer-Encoding", "chunked"))
        if not self.keep_alive:
            own.append(("Connection", "close"))
        lines = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in [*headers, *own])]
        return "\r\n".join([*lines, "", ""]).encode("latin-1")

    def chunk(self, data: bytes) -> bytes:
        """Give the bytes for one chunk of the body, behind the head if that has not left yet."""
        head, self.head = self.head, b""
        if self.bodiless or not data:
            return head
        return head + (b"%x\r\n%s\r\n" % (len(data), data) if self.chunked else data)

    def end(self) -> bytes:
        """Give the bytes that end the response."""
        return self.chunk(b"") + (b"0\r\n\r\n" if self.chunked else b"")


def run(application: WSGIApplication, request: Request, environ: WSGIEnvironment, send: Callable[[bytes], Any]) -> bool:
    """Call the application and send its response; say whether the connection can be kept."""
    writers: list[Writer] = []

    def start_response(status: str, headers: Headers, _exc_info: Any = None) -> Callable[[bytes], object]:
        writers[:] = [Writer(request, status, headers)]
        return write

    def write(data: bytes) -> None:
        send(writers[0].chunk(data))

    chunks = application(environ, start_response)
    try:
        for chunk in chunks:
            write(chunk)
        send(writers[0].end())
    finally:
        if hasattr(chunks, "close"):
            chunks.close()
    return writers[0].keep_alive


def echo(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Give the body of the request back, behind its length."""
    body = environ["wsgi.input"].read()
    start_response("200 OK", [("Content-Type", "application/octet-stream")])
    yield b"%d bytes: " % len(body)
    yield body


def converse(client: socket.socket, application: WSGIApplication) -> None:
    """Answer one request after the other, until the client leaves or wants no more."""
    incoming = Incoming(client)
    kept = True
    while kept:
        request = parse(incoming.until(b"\r\n\r\n"))
        body = incoming.exactly(int(request.fields.get("content-length", 0)))
        kept = run(application, request, environ_of(request, body, client.getsockname()), client.sendall)


def serve(listener: socket.socket, application: WSGIApplication) -> None:
    """Talk to one client after the other."""
    while True:
        client, _ = listener.accept()
        with client, suppress(EOFError, ConnectionError):
            converse(client, application)


if __name__ == "__main__":
    serve(listen(), echo)
