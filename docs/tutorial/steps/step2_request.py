"""Reads what the client asks: cuts a head out of a stream of bytes, and the head into its parts."""

import socket
from typing import NamedTuple

from step1_socket import listen

LIMIT_HEAD = 65536


class Request(NamedTuple):
    """The head of one request; the names of its fields are in lower case."""

    method: str
    target: str
    version: str
    fields: dict[str, str]


def receive_head(client: socket.socket) -> bytes:
    """Receive up to the empty line that ends a head; b"" when the client leaves or goes on for too long."""
    received = b""
    while b"\r\n\r\n" not in received:
        piece = client.recv(4096)
        if not piece or len(received) > LIMIT_HEAD:
            return b""
        received += piece
    return received.partition(b"\r\n\r\n")[0]


def parse(head: bytes) -> Request:
    """Cut a head into its request line and its fields."""
    first, *lines = head.decode("latin-1").split("\r\n")
    method, target, version = first.split(" ")
    fields = {}
    for line in lines:
        name, _, value = line.partition(":")
        fields[name.lower()] = value.strip()
    return Request(method, target, version, fields)


def answer(request: Request) -> bytes:
    """Tell the client what was understood."""
    body = f"You asked to {request.method} {request.target}\n".encode("latin-1")
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (len(body), body)


def serve(listener: socket.socket) -> None:
    """Answer one client after the other, each what it asked."""
    while True:
        client, _ = listener.accept()
        with client:
            head = receive_head(client)
            if head:
                client.sendall(answer(parse(head)))


if __name__ == "__main__":
    serve(listen())
