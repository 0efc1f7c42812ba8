"""Takes what passes on the sockets of a live server under test, and keeps the last of it, exchange by exchange.

A ``RecordedStream`` stands where a ``Stream`` stands in other servers, which pay nothing for it. ``testing`` makes it,
and shows what was recorded.
"""

import os
import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from wsgiserver.connection import Connection
from wsgiserver.exchange import Exchange
from wsgiserver.http11 import Limits, Reader
from wsgiserver.masking import show
from wsgiserver.messages import BadRequest
from wsgiserver.sockets import Chunk, Stream
from wsgiserver.wire_client import WireClient

# Octets of each message that are kept: more than are shown, so that a secret is masked before it could be cut.
KEPT: Final = 16 * 1024


@dataclass(slots=True)
class Recording:
    """One request and its response as they passed on a socket; ``str()`` of it is for people, with secrets masked.

    ``request`` and ``response`` are the first 16 KiB of each, ``request_size`` and ``response_size`` all their octets.
    ``exchange`` is what the server made of them: None as long as the request is not whole.
    """

    # Not in its repr, which stands in reports of tests.
    request: bytes = field(default=b"", repr=False)
    response: bytes = field(default=b"", repr=False)
    request_size: int = 0
    response_size: int = 0
    exchange: Exchange | None = None

    def __str__(self) -> str:
        error = self.exchange.error if self.exchange is not None else None
        return show(self.request, self.response, error, sizes=(self.request_size, self.response_size))


class Recorder:
    """What passes on one connection. Called by whoever owns the connection; ``begin`` is told of each recording."""

    def __init__(self, begin: Callable[[Recording], object]) -> None:
        self._begin = begin
        self._recording: Recording | None = None
        # What came behind the request that is being answered (pipelining).
        self._behind = b""

    def _current(self) -> Recording:
        if self._recording is None:
            self._recording = Recording()
            self._begin(self._recording)
        return self._recording

    def received(self, data: bytes) -> None:
        """Note what the client sent."""
        if data:
            recording = self._current()
            recording.request += data[: KEPT - len(recording.request)]
            recording.request_size += len(data)

    @property
    def room(self) -> int:
        """How many octets of the response can still be kept."""
        return KEPT - len(self._current().response)

    def sends(self, data: Chunk, size: int) -> None:
        """Note what is about to be sent: ``size`` octets that begin with ``data``."""
        recording = self._current()
        recording.response += bytes(data[: self.room])
        recording.response_size += size

    def kept_back(self, size: int) -> None:
        """Note that the last octets of it were not sent."""
        if size:
            recording = self._current()
            recording.response_size -= size
            recording.response = recording.response[: recording.response_size]

    def asked(self, exchange: Exchange) -> None:
        """Note that the request is whole. Where it is longer than is kept, what stands behind it is not told apart."""
        recording = self._current()
        recording.exchange = exchange
        if recording.request_size <= KEPT:
            size = _end_of_request(recording.request, exchange.site.settings)
            recording.request, self._behind = recording.request[:size], recording.request[size:]
            recording.request_size = size

    def end(self, exchange: Exchange) -> None:
        """Note that the response has left, and that the next request begins."""
        self._current().exchange = exchange
        self._recording = None
        behind, self._behind = self._behind, b""
        self.received(behind)


def _end_of_request(data: bytes, limits: Limits) -> int:
    """Find where the first request in ``data`` ends; at its end, where it is not whole or breaks a rule."""
    reader = Reader(limits)
    try:
        if reader.read_head(data) is not None:
            reader.read_body()
            if reader.complete:
                return len(data) - len(reader.pending)
    except BadRequest:
        pass
    return len(data)


def recordings_of(client: WireClient) -> list[Recording]:
    """Tell the exchanges on a connection in memory apart."""
    recordings: list[Recording] = []
    sent, received, responses = bytes(client.sent), client.received, iter(client.responses)
    while sent:
        size = _end_of_request(sent, client.settings)
        request, sent = sent[:size], sent[size:]
        # The response, with those that are interim (1xx) before it.
        length = 0
        for response in responses:
            length += len(response.raw)
            if response.code >= 200:
                break
        if not sent:
            length = len(received)  # what could not be read as a response too
        recordings.append(Recording(request[:KEPT], received[: min(length, KEPT)], size, length))
        received = received[length:]
    for recording, exchange in zip(recordings, client.exchanges, strict=False):
        recording.exchange = exchange
    return recordings


def recorder_of(exchange: Exchange) -> Recorder:
    """Find the recorder of the connection on which an exchange came."""
    assert isinstance(exchange.channel, Connection)
    assert isinstance(exchange.channel.stream, RecordedStream)
    return exchange.channel.stream.recorder


class RecordedStream(Stream):
    """A client whose bytes are recorded.

    What leaves is noted before it does, so that whoever has a response in hand finds it recorded.
    """

    __slots__ = ("recorder",)

    def __init__(self, client: socket.socket, peer_address: object, begin: Callable[[Recording], object]) -> None:
        super().__init__(client, peer_address)
        self.recorder = Recorder(begin)
        self.recv = self._recv
        self.send = self._send
        if self.sendmsg is not None:
            self.sendmsg = self._sendmsg

    def _recv(self, size: int) -> bytes:
        data = self._socket.recv(size)
        self.recorder.received(data)
        return data

    def _send(self, data: Chunk, flags: int = 0) -> int:
        self.recorder.sends(data, len(data))
        return self._sent(len(data), lambda: self._socket.send(data, flags))

    def _sendmsg(self, buffers: Iterable[Chunk]) -> int:
        buffers = list(buffers)
        for data in buffers:
            self.recorder.sends(data, len(data))
        return self._sent(sum(map(len, buffers)), lambda: self._socket.sendmsg(buffers))

    def _sendfile(self, descriptor: int, offset: int, count: int) -> int:
        self.recorder.sends(os.pread(descriptor, min(count, self.recorder.room), offset), count)
        return self._sent(count, lambda: super(RecordedStream, self)._sendfile(descriptor, offset, count))

    def _sent(self, size: int, send: Callable[[], int]) -> int:
        """Send what was noted already, and take back what did not go."""
        sent = 0
        try:
            sent = send()
        finally:
            self.recorder.kept_back(size - sent)
        return sent
