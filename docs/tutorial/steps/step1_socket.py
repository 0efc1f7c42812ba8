"""The smallest web server: whoever asks, and whatever they ask, the answer is the same."""

import socket
import sys

BODY = b"Hello World!\n"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (len(BODY), BODY)


def listen() -> socket.socket:
    """Listen on the port that the command line names, else on 8000; port 0 takes a free one."""
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8000
    listener = socket.create_server(("127.0.0.1", port))
    print(f"http://127.0.0.1:{listener.getsockname()[1]}/", flush=True)
    return listener


def serve(listener: socket.socket) -> None:
    """Answer one client after the other, for ever."""
    while True:
        client, _ = listener.accept()
        with client:
            client.recv(65536)
            client.sendall(ANSWER)


if __name__ == "__main__":
    serve(listen())
