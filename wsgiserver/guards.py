"""Takes a stream of an environ and gives one that sees how it is used, for ``strict`` to lend to an application."""

from collections.abc import Iterable, Iterator
from typing import Any, Protocol

from wsgiserver.faults import caller
from wsgiserver.rules import kind


class Call(Protocol):
    """The call of an application that a stream belongs to."""

    # The request is over.
    closed: bool
    # Something of the body of the request was read.
    read: bool

    def fault(self, name: str, detail: str, place: str) -> None:
        """Tell a fault, or raise it."""


class Stream:
    """A stream of the environ; what PEP 3333 does not name is a fault, and does what it would do."""

    _kind = ""
    # Libraries look whether these are there before they use them, and do without where not.
    _optional: frozenset[str] = frozenset()

    def __init__(self, call: Call, stream: Any) -> None:
        self._call = call
        self._stream = stream

    def _fault(self, name: str, detail: str) -> None:
        self._call.fault(name, detail, caller())

    def _used(self, method: str) -> None:
        if self._call.closed:
            self._fault("environ-late", f"wsgi.{self._kind}.{method} is used")

    def close(self) -> None:
        """Close the stream, which is not the application's to close."""
        self._fault(f"{self._kind}-close", "close() is called")
        self._stream.close()

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._stream, name)
        if not callable(value):
            self._fault(f"{self._kind}-method", f"its {name} is looked at")
            return value

        def method(*arguments: Any, **keywords: Any) -> Any:
            self._call.read |= self._kind == "input"
            self._used(name)
            if name not in self._optional:
                self._fault(f"{self._kind}-method", f"{name}() is called")
            return value(*arguments, **keywords)

        return method


class Input(Stream):
    """``wsgi.input``."""

    _kind = "input"
    _optional = frozenset(("readinto",))

    def __init__(self, call: Call, stream: Any, terminated: bool) -> None:
        super().__init__(call, stream)
        self._terminated = terminated

    def read(self, *arguments: Any, **keywords: Any) -> Any:
        """Read so many bytes; all of them, where the server says that they end."""
        size = arguments[0] if arguments else None
        if not self._terminated and not keywords and (size is None or (type(size) is int and size < 0)):
            self._fault("input-unbounded", f"the size is {size}")
        return self._call_it("read", arguments, keywords)

    def readline(self, *arguments: Any, **keywords: Any) -> Any:
        """Read a line, or so many bytes of it."""
        return self._call_it("readline", arguments, keywords)

    def readlines(self, *arguments: Any, **keywords: Any) -> Any:
        """Read lines, all or about so many bytes of them."""
        return self._call_it("readlines", arguments, keywords)

    def __iter__(self) -> Iterator[bytes]:
        self._used("__iter__")
        self._call.read = True
        return iter(self._stream)

    def __next__(self) -> Any:
        self._call.read = True
        self._fault("input-method", "next() is called")
        return next(self._stream)

    def _call_it(self, name: str, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
        self._used(name)
        self._call.read = True
        if keywords or len(arguments) > 1 or not all(each is None or type(each) is int for each in arguments):
            given = [*map(repr, arguments), *keywords]
            self._fault("input-arguments", f"{name}({', '.join(given)}) is called")
        result = getattr(self._stream, name)(*arguments, **keywords)
        lines = name == "readlines" and type(result) is list
        wrong = [each for each in (result if lines else [result]) if type(each) is not bytes]
        if wrong or (name == "readlines" and not lines):
            self._fault("input-result", f"{name}() gave a {kind([*wrong, result][0])}")
        return result


class ErrorOutput(Stream):
    """``wsgi.errors``."""

    _kind = "errors"

    def write(self, *arguments: Any, **keywords: Any) -> Any:
        """Write one text."""
        self._used("write")
        if keywords or len(arguments) != 1 or type(arguments[0]) is not str:
            self._fault("errors-type", f"write({', '.join(map(repr, arguments))}) is called")
        return self._stream.write(*arguments, **keywords)

    def writelines(self, lines: Iterable[str]) -> Any:
        """Write several texts."""
        self._used("writelines")
        lines = list(lines)
        for line in lines:
            if type(line) is not str:
                self._fault("errors-type", f"writelines() is given {line!r:.80}")
        return self._stream.writelines(lines)

    def flush(self) -> Any:
        """Let what was written leave."""
        self._used("flush")
        return self._stream.flush()


def close_of(body: Any) -> Any:
    """Give what the server calls at the end of a body; None where there is no ``close``.

    Of a stream of the environ, returned as the body or wrapped as a file, it is that of the stream which was lent: the
    server closes it, not the application.
    """
    close = getattr(body, "close", None)
    owner = getattr(close, "__self__", None)
    return owner._stream.close if isinstance(owner, Stream) else close
