"""Bytes in, requests out: a reader that knows no socket and believes nothing."""

import re
import socket
from contextlib import suppress
from wsgiref.types import WSGIApplication

from step1_socket import listen
from step2_request import LIMIT_HEAD, Request
from step3_wsgi import environ_of
from step4_framing import Writer, echo, run

LIMIT_BODY = 1 << 20

# RFC 9110 section 5.6.2: what a method and a field's name are made of.
TOKEN = rb"[A-Za-z0-9!#$%&'*+.^_`|~-]+"
# RFC 9112 section 3. No control character, no space and no "#" is part of a target.
REQUEST_LINE = re.compile(rb"(" + TOKEN + rb") ([^\x00-\x20\x7f#]+) (HTTP/1\.[01])")
# RFC 9112 section 5. No space before the colon; no control character but the tab in a value.
FIELD_LINE = re.compile(rb"(" + TOKEN + rb"):([^\x00-\x08\x0a-\x1f\x7f]*)")


class BadRequest(Exception):
    """The client broke a rule: the status of the answer, and the reason."""

    def __init__(self, status: str, reason: str) -> None:
        super().__init__(reason)
        self.status = status


def parse(head: bytes) -> Request:
    """Cut a head into its parts, each of which must be what the RFC says."""
    first, *lines = head.split(b"\r\n")
    start = REQUEST_LINE.fullmatch(first)
    if start is None:
        raise BadRequest("400 Bad Request", "the request line is not: method SP target SP HTTP/1.x")
    fields: dict[str, str] = {}
    for line in lines:
        field = FIELD_LINE.fullmatch(line)
        if field is None:
            raise BadRequest("400 Bad Request", "a header line is not: name: value")
        name, value = field[1].decode().lower(), field[2].strip(b" \t").decode("latin-1")
        if name in fields and name in ("host", "content-length"):
            raise BadRequest("400 Bad Request", f"{name} stands there twice")
        fields[name] = f"{fields[name]}, {value}" if name in fields else value
    request = Request(start[1].decode(), start[2].decode("latin-1"), start[3].decode(), fields)
    if request.version == "HTTP/1.1" and "host" not in fields:
        raise BadRequest("400 Bad Request", "there is no Host")
    return request


def length_of(request: Request) -> int:
    """Say how long the body is. If two readers could disagree about it, it is refused."""
    if "transfer-encoding" in request.fields:
        raise BadRequest("501 Not Implemented", "this small server cannot read chunked bodies")
    value = request.fields.get("content-length", "0")
    if re.fullmatch("[0-9]{1,18}", value) is None:
        raise BadRequest("400 Bad Request", "Content-Length is not a number")
    if int(value) > LIMIT_BODY:
        raise BadRequest("413 Content Too Large", "the body is too large")
    return int(value)


class Reader:
    """Takes bytes as they come, cut anywhere; gives whole requests."""

    def __init__(self) -> None:
        self.buffer = bytearray()
        self.searched = 0
        self.request: Request | None = None
        self.length = 0

    def receive(self, data: bytes) -> None:
        """Take what the client has sent."""
        self.buffer += data

    def next(self) -> tuple[Request, bytes] | None:
        """Give the next request and its body; None when more bytes are needed. Raises BadRequest."""
        if self.request is None:
            self.request = self.read_head()
        if self.request is None or len(self.buffer) < self.length:
            return None
        found = self.request, bytes(self.buffer[: self.length])
        del self.buffer[: self.length]
        self.request = None
        return found

    def read_head(self) -> Request | None:
        """Look for the end of the head, but never twice in the same bytes."""
        end = self.buffer.find(b"\r\n\r\n", max(0, self.searched - 3))
        if max(end, len(self.buffer) if end < 0 else 0) > LIMIT_HEAD:
            raise BadRequest("431 Request Header Fields Too Large", "the head is too large")
        self.searched = len(self.buffer) if end < 0 else 0
        if end < 0:
            return None
        request = parse(bytes(self.buffer[:end]))
        del self.buffer[: end + 4]
        self.length = length_of(request)
        return request


def refusal(error: BadRequest) -> bytes:
    """Tell the client what it did wrong; the connection ends with it."""
    body = f"{error}\n".encode("latin-1")
    request = Request("GET", "/", "HTTP/1.0", {})
    writer = Writer(request, error.status, [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return writer.chunk(body) + writer.end()


def converse(client: socket.socket, application: WSGIApplication) -> None:
    """Pass bytes from the socket to the reader, and requests from the reader to the application."""
    reader = Reader()
    kept = True
    while kept:
        found = reader.next()
        if found is not None:
            request, body = found
            kept = run(application, request, environ_of(request, body, client.getsockname()), client.sendall)
        elif data := client.recv(65536):
            reader.receive(data)
        else:
            return


def serve(listener: socket.socket, application: WSGIApplication) -> None:
    """Talk to one client after the other; who breaks the rules is told so."""
    while True:
        client, _ = listener.accept()
        with client, suppress(ConnectionError):
            try:
                converse(client, application)
            except BadRequest as error:
                client.sendall(refusal(error))


if __name__ == "__main__":
    serve(listen(), echo)
