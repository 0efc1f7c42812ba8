"""Calls an application: turns the request into an environ, and what the application gives into a response."""

import io
import socket
import sys
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import unquote_to_bytes
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from step1_socket import listen
from step2_request import Request, parse, receive_head


def environ_of(request: Request, body: bytes, address: tuple[str, int]) -> WSGIEnvironment:
    """Say in the words of CGI what the request says in the words of HTTP."""
    path, _, query = request.target.partition("?")
    environ: WSGIEnvironment = {
        "REQUEST_METHOD": request.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(path.encode("latin-1")).decode("latin-1"),
        "QUERY_STRING": query,
        "SERVER_PROTOCOL": request.version,
        "SERVER_NAME": address[0],
        "SERVER_PORT": str(address[1]),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": False,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    for name, value in request.fields.items():
        key = name.upper().replace("-", "_")
        environ[key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"] = value
    return environ


def run(application: WSGIApplication, environ: WSGIEnvironment, send: Callable[[bytes], object]) -> None:
    """Call the application and send what it gives; the head leaves with the first chunk, not before."""
    head: list[str] = []

    def start_response(status: str, headers: list[tuple[str, str]], _exc_info: Any = None) -> Callable[[bytes], object]:
        fields = [f"{name}: {value}\r\n" for name, value in headers]
        head[:] = [f"HTTP/1.1 {status}\r\n", *fields, "Connection: close\r\n\r\n"]
        return write

    def write(data: bytes) -> None:
        send("".join(head).encode("latin-1") + data)
        head.clear()

    chunks = application(environ, start_response)
    try:
        for chunk in chunks:
            write(chunk)
        if head:
            write(b"")
    finally:
        if hasattr(chunks, "close"):
            chunks.close()


def hello(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Greet whom the path names."""
    start_response("200 OK", [("Content-Type", "text/plain; charset=utf-8")])
    yield b"Hello, "
    yield (environ["PATH_INFO"].strip("/") or "World").encode("latin-1")
    yield b"!\n"


def serve(listener: socket.socket, application: WSGIApplication) -> None:
    """Let the application answer one client after the other."""
    while True:
        client, _ = listener.accept()
        with client:
            head = receive_head(client)
            if head:
                run(application, environ_of(parse(head), b"", client.getsockname()), client.sendall)


if __name__ == "__main__":
    serve(listen(), hello)
