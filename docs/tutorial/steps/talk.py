"""Sends its standard input to a server, as it is; then writes what comes back, until the server closes."""

import socket
import sys

if __name__ == "__main__":
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8000
    with socket.create_connection(("127.0.0.1", port)) as server:
        server.sendall(sys.stdin.buffer.read())
        while received := server.recv(65536):
            sys.stdout.buffer.write(received)
