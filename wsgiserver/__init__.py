"""wsgiserver, a pluggable WSGI micro-server in pure Python.

The path of a request, module by module::

    sockets     a listener accepts; a client's bytes arrive
    loop        one thread polls all sockets, and reads from those that are ready
    connection  one client: its buffers, its state, its deadlines
    http11      bytes -> Request (with heads, line by line), then its body
    exchange    one request and its response: who asked, what was answered, how long it took
    environ     Request -> WSGI environ
    gateway     calls the application as PEP 3333 says
    responses   the response's head -> bytes, and the framing of its body
    loop        the bytes leave on the socket
    logs        read the finished exchange, like any observer

``baton`` decides which thread leads the loop and which runs the application; it asks ``predictor`` which calls will
block, and ``crowds`` whether one computes. ``server`` puts it all together.
"""

from typing import TYPE_CHECKING, Any

from wsgiserver.version import __version__

if TYPE_CHECKING:
    from wsgiserver.server import Server, serve

__all__ = ["Server", "__version__", "serve"]


def __getattr__(name: str) -> Any:
    """Load the server when it is asked for: pytest imports this package in every project, to find the plugin."""
    if name not in ("Server", "serve"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from wsgiserver.server import Server, serve

    globals().update(Server=Server, serve=serve)
    return globals()[name]
