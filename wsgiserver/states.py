"""Holds the states of a connection, one enum and one table, and says what it needs of a transport.

``connection`` goes from state to state; the ``loop`` watches and times each connection as its state asks.
"""

from collections.abc import Callable
from enum import Enum
from typing import Any, Final, Protocol


class Interest(Enum):
    """What the poller looks for."""

    NOTHING = 0
    READ = 1
    WRITE = 2


class State(Enum):
    """The states of a connection, and for each what the poller watches and which setting bounds its time.

    Which may follow which is told by ``NEXT``.
    """

    HEAD = (Interest.READ, "timeout_head", "waits for a head, or for the rest of one")
    BODY = (Interest.READ, "timeout_body", "waits for the rest of a body")
    ANSWERING = (Interest.NOTHING, "", "an exchange runs, and owns the connection")
    WRITING = (Interest.WRITE, "timeout_send", "waits until the client takes more of the response")
    IDLE = (Interest.READ, "timeout_keep_alive", "kept; nothing of the next request has come")
    LINGERING = (Interest.READ, "", "reads and drops what the client still sends")
    CLOSED = (Interest.NOTHING, "", "has ended")

    def __init__(self, interest: Interest, timeout: str, meaning: str) -> None:
        self.interest = interest
        self.timeout = timeout
        self.meaning = meaning


# For code that every request goes through: to look a member up in its class takes ten times as long as a global.
NOTHING, READ, WRITE = Interest
HEAD, BODY, ANSWERING, WRITING, IDLE, LINGERING, CLOSED = State

# Which states may follow each, the usual ones first. A head or a body that is refused, or does not come in time, is
# answered too. Each ends in CLOSED when its client leaves, or its time is over, or the server.
NEXT: Final = {
    # The head is whole, and with it the body, or not yet.
    HEAD: (ANSWERING, BODY, CLOSED),
    # The body is whole; or 100 (Continue), which asks for it, does not leave at once.
    BODY: (ANSWERING, WRITING, CLOSED),
    # The response was laid down, and has left or not.
    ANSWERING: (IDLE, WRITING, LINGERING, CLOSED),
    # All has left: the response, whose application may go on, or 100 (Continue).
    WRITING: (IDLE, LINGERING, CLOSED, ANSWERING, BODY),
    # A first byte came, or more.
    IDLE: (HEAD, ANSWERING, BODY, CLOSED),
    # The client has left.
    LINGERING: (CLOSED,),
    CLOSED: (),
}


class Stream(Protocol):
    """What a connection needs of its transport; nothing here blocks but ``wait_writable``.

    ``recv``, ``send``, ``sendmsg`` and ``sendfile`` raise BlockingIOError when nothing can be moved now, and another
    OSError when the client is gone. The last two are None where the platform has them not.
    """

    recv: Callable[[int], bytes]
    send: Callable[..., int]
    # What ``send`` takes beside the data when more follows soon, and it may wait for that, until ``push`` is called by
    # whichever thread; 0 where the platform has no such thing.
    more: int
    sendmsg: Callable[[Any], int] | None
    peer: str
    peer_host: str
    peer_port: str

    @property
    def sendfile(self) -> Callable[[int, int, int], int] | None: ...  # noqa: D102
    def wait_writable(self, timeout: float) -> bool: ...  # noqa: D102
    def push(self) -> None: ...  # noqa: D102
    def shut(self) -> None: ...  # noqa: D102
    def close(self) -> None: ...  # noqa: D102
    def abort(self) -> None: ...  # noqa: D102
    def reset(self) -> None: ...  # noqa: D102
