"""Takes an application and gives one that does the same, and has its faults told or raised; ``server`` serves that.

``strict`` is a wrapper like any other. It sees all that passes between server and application: the environ and its
streams, ``start_response``, ``write``, the chunks of the body, the end. The rules stand in ``rules``, and what a
status, a header or an environ may be is checked there.
"""

import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from itertools import takewhile
from types import CodeType
from typing import Any, Final

from wsgiserver.environ import FileWrapper
from wsgiserver.faults import (
    Report,
    Reporter,
    StrictError,
    StrictWarning,
    best,
    caller,
    code_of,
    own,
    place_of_code,
    place_of_error,
    place_of_iterator,
)
from wsgiserver.guards import ErrorOutput, Input, Stream, close_of
from wsgiserver.masking import shown
from wsgiserver.responses import BODYLESS, length_of
from wsgiserver.rules import (
    RULES,
    changed_faults,
    environ_faults,
    header_faults,
    kind,
    status_faults,
    well_formed,
)
from wsgiserver.site import Application, Environ

__all__ = ["Reporter", "StrictError", "StrictWarning", "strict"]


def strict(application: Application, *, report: Report | None = None) -> Application:
    """Wrap an application so that its faults are told to ``report``, and it is served on; or raised, without.

    A raised fault is a ``StrictError`` where it is seen: in the application's call of ``start_response``, or in what
    the server calls. One that the application traps is raised once more in what the server calls next. Faults that are
    warnings are given to ``warnings``, not raised. A file of ``wsgi.file_wrapper`` is handed on as such, so that the
    server can send it by the kernel; any other body is iterated over.
    """
    # Which close() were called a second time, by their code: once each is enough to know.
    probed: set[CodeType] = set()

    def checked(environ: Environ, start_response: Any, /) -> Iterable[bytes]:
        return _Call(application, report, probed, environ, start_response).run()

    return checked


# -- One call of the application ---------------------------------------------------------------------------------------

_END: Final = object()


class _Call:
    """One call of an application, from its environ to the end of its body. Used by one thread at a time."""

    def __init__(
        self, application: Application, report: Report | None, probed: set[CodeType], environ: Environ, start: Any
    ) -> None:
        self.application = application
        self.report = report
        self.probed = probed
        self.environ = environ
        self.start = start
        # The application may change these.
        self.method, self.path = environ.get("REQUEST_METHOD", ""), environ.get("PATH_INFO", "")
        # The fault that was raised into the application, as long as nobody above it has seen it.
        self.unsettled: StrictError | None = None
        self.place = place_of_code(code_of(application))
        # -- how far the response is
        self.started = False
        # All of the body was given; no more may be, for it was given or closed; and closed, so the request is over.
        self.complete = False
        self.over = False
        self.closed = False
        self.iterating = False
        # start_response has raised exc_info, which must come through.
        self.reraised = False
        # -- what was given to start_response, and where
        self.code = 0
        self.headers: Any = None
        self.headers_then: Any = None
        self.names: frozenset[str] = frozenset()
        self.length: int | None = None
        self.started_at = ""
        # -- the bodies: octets given; whether any of that of the request was read
        self.given = 0
        self.read = False

    # -- faults

    def fault(self, name: str, detail: str, place: str, cause: BaseException | None = None) -> None:
        """Tell a fault, or raise it."""
        request = f"{self.method} {shown(self.path)}"
        error = StrictError(RULES[name], detail, place or self.place or "an unknown place", request)
        if self.report is not None:
            self.report(error)
        elif error.severity == "warning":
            file, _, line = error.place.rpartition(":")
            warnings.warn_explicit(str(error), StrictWarning, file or error.place, int(line) if file else 0)
        else:
            self.unsettled = self.unsettled or error
            raise error from cause

    def settle(self, error: BaseException | None = None) -> None:
        """Raise a fault that the application has trapped; ``error`` is what comes out of it instead, if anything."""
        fault, self.unsettled = self.unsettled, None
        if fault is not None and fault is not error:
            raise fault from error

    @property
    def bodyless(self) -> bool:
        """Whether nothing of a body may follow the head."""
        return self.code in BODYLESS or self.environ.get("REQUEST_METHOD") == "HEAD"

    # -- the call

    def run(self) -> Iterable[bytes]:
        """Call the application, and give its body with the checks around it."""
        for found in environ_faults(self.environ):
            self.fault(*found, self.place)
        environ = self._lent()
        try:
            result = self.application(environ, self.start_response)
        except Exception as error:
            self.over = self.closed = True
            self.settle(error)
            raise
        try:
            self.settle()
            self._check_environ(environ)
            self._check_trapped(self.place)
            return self._checked(result)
        except Exception:
            if callable(getattr(result, "close", None)):
                result.close()  # type: ignore[attr-defined]  # nobody else will
            self.over = self.closed = True
            raise

    def _lent(self) -> Environ:
        """Make the application's own environ: a plain dict, with guards before the streams."""
        environ = dict(self.environ)
        if "wsgi.input" in environ:
            environ["wsgi.input"] = Input(self, environ["wsgi.input"], bool(environ.get("wsgi.input_terminated")))
        if "wsgi.errors" in environ:
            environ["wsgi.errors"] = ErrorOutput(self, environ["wsgi.errors"])
        return environ

    def _check_environ(self, environ: Environ) -> None:
        """Check what the application made of its environ, and let those who called it see that."""
        for found in changed_faults(self.environ, environ):
            self.fault(*found, self.place)
        for name, value in environ.items():
            if not isinstance(value, Stream):
                self.environ[name] = value
        for name in [name for name in self.environ if name not in environ]:
            del self.environ[name]

    def _checked(self, result: Any) -> Iterable[bytes]:
        """Put the checks around what the application returned."""
        place = self.started_at if own(self.started_at) else self.place
        if isinstance(result, str | bytes):
            self.fault("body-is-string", f"it returned {shown(result):.80}", place)
        elif not hasattr(type(result), "__iter__") and not hasattr(type(result), "__getitem__"):
            self.fault("body-not-iterable", f"it returned {result!r:.80}", place)
            return result  # type: ignore[no-any-return]  # the server shall see what it would see
        # What the server reads is read here too.
        part = result.regular() if type(result) is FileWrapper else None
        if part is not None:
            return self._file(result, part[1])
        try:
            return _SizedBody(self, result, len(result)) if hasattr(type(result), "__len__") else _Body(self, result)
        except Exception:  # len() failed, and so the server does not know the length either
            return _Body(self, result)

    def _file(self, wrapper: FileWrapper, size: int) -> FileWrapper:
        """Check a file that the server can send without iterating.

        PEP 3333, "Optional Platform-Specific File Handling": it may be longer than Content-Length, but not shorter.
        """
        if size and self.started and not self.given:
            self._begin(self.started_at)
        self.given += size
        self.end(self.started_at)
        file = FileWrapper(wrapper.filelike, wrapper.block_size)
        file.close = _Body(self, wrapper).close
        return file

    # -- start_response and write

    def start_response(self, *arguments: Any, **keywords: Any) -> Callable[[bytes], object]:
        """Check what the application says, and say it to the server as it is."""
        place = caller()
        if keywords:
            self.fault("start-response-keywords", f"named are {', '.join(keywords)}", place)
            # The server takes them by these names; so what they say is checked all the same.
            named = takewhile(keywords.__contains__, ("status", "headers", "exc_info")[len(arguments) :])
            arguments += tuple([keywords.pop(name) for name in named])
        if len(arguments) not in (2, 3):
            self.fault("start-response-arguments", f"there are {len(arguments)}", place)
        elif not keywords:
            self._check_order(arguments[2] if len(arguments) == 3 else None, place)
            self.started = True
            self._note(arguments[0], arguments[1], place)
            if type(arguments[1]) is list:
                # The server may change the list, so it gets another; this one shows what the application changes.
                arguments = (arguments[0], list(arguments[1]), *arguments[2:])
        try:
            write = self.start(*arguments, **keywords)
        except Exception as error:
            # As it must where the response has begun.
            self.reraised = len(arguments) == 3 and isinstance(arguments[2], tuple) and error in arguments[2]
            raise
        finally:
            del arguments  # else the frame and the traceback in exc_info would keep each other alive
        return lambda data, /: self._write(write, data)

    def _check_order(self, exc_info: Any, place: str) -> None:
        if exc_info is not None and not (
            type(exc_info) is tuple and len(exc_info) == 3 and isinstance(exc_info[1], BaseException)
        ):
            self.fault("exc-info-type", f"it is a {kind(exc_info)}, {exc_info!r:.80}", place)
        if self.over:
            self.fault("start-response-late", "the body has ended, or was closed", place)
        elif self.started and not exc_info:
            self.fault("start-response-twice", f"it was called before at {self.started_at}", place)

    def _note(self, status: Any, headers: Any, place: str) -> None:
        """Check status and headers, and keep of them what the body is compared with."""
        self.started_at = place
        self.code = int(status[:3]) if isinstance(status, str) and status[:3].isdecimal() else 0
        pairs = well_formed(headers)
        self.names = frozenset(name for name, _ in pairs)
        self.length = next((length_of(value) for name, value in pairs if name == "content-length"), None)
        self.headers, self.headers_then = headers, list(headers) if type(headers) is list else headers
        for found in (*status_faults(status), *header_faults(headers, self.code)):
            self.fault(*found, place)

    def _write(self, write: Callable[[bytes], object], data: bytes) -> None:
        place = caller()
        if self.over:
            self.fault("write-late", "the body has ended, or was closed", place)
        elif self.iterating:
            self.fault("write-in-iteration", f"it is given a {kind(data)}", place)
        if not self.over:
            self.take(data, place)
        write(data)

    # -- the body

    @property
    def left(self) -> int | None:
        """Octets of the body that Content-Length promises and that are still to come; None where it says nothing."""
        return None if self.length is None else max(self.length - self.given, 0)

    def take(self, data: Any, place: str) -> None:
        """Check a chunk."""
        self._check_trapped(place)
        if type(data) is not bytes:
            self.fault("chunk-type", f"it is a {kind(data)}, {shown(data):.80}", place)
            return
        if not self.started:
            self.fault("start-response-missing", f"the chunk is {shown(data):.80}", place)
        elif data and not self.given:
            self._begin(place)
        whole, self.given = self.length, self.given + len(data)
        # Told once: by the chunk that goes beyond.
        if whole is not None and self.given > whole >= self.given - len(data) and not self.bodyless:
            self.fault("body-too-long", f"it has {self.given} bytes, Content-Length says {whole}", place)

    def _begin(self, place: str) -> None:
        """Check what must hold when the head leaves, with the first bytes of a body."""
        self._check_headers()
        if self.code in BODYLESS:
            self.fault("body-on-status", f"the status is {self.code}", place)
        elif self.bodyless:
            self.fault("body-on-head", "the request is HEAD", place)
        elif "content-type" not in self.names:
            self.fault("content-type-missing", f"given are {', '.join(sorted(self.names)) or 'no headers'}", place)

    def end(self, place: str) -> None:
        """Check what shows when the application has given all."""
        self.complete = self.over = True
        self._check_trapped(place)
        if not self.started:
            self.fault("start-response-missing", "the body has ended", place)
        self._check_headers()
        if self.length is not None and self.given < self.length and not self.bodyless:
            self.fault("body-too-short", f"it has {self.given} bytes, Content-Length says {self.length}", place)

    def check_input(self) -> None:
        """Check, when ``close()`` has had its turn, whether the body of the request was looked at."""
        if not self.complete:
            return
        sent = self.environ.get("CONTENT_LENGTH", "0") not in ("", "0") or "HTTP_TRANSFER_ENCODING" in self.environ
        if sent and not self.read and self.environ.get("REQUEST_METHOD") == "POST" and 200 <= self.code < 300:
            self.fault("input-unread", f"the answer is {self.code}", self.started_at)

    def _check_headers(self) -> None:
        before = self.headers_then
        if type(before) is list and self.headers != before:
            self.headers_then = list(self.headers)
            changed = [item for item in (*self.headers, *before) if (item in self.headers) != (item in before)]
            self.fault("headers-changed", f"changed is [{', '.join(map(shown, changed))}]"[:200], self.started_at)

    def _check_trapped(self, place: str) -> None:
        if self.reraised:
            self.reraised = False
            self.fault("exc-info-trapped", "the application went on", place)


class _Body:
    """The body of a response, with the checks around each chunk and its end."""

    def __init__(self, call: _Call, iterable: Any, length: int | None = None) -> None:
        self._call = call
        self._iterable = iterable
        # Content-Length cuts a file (PEP 3333, "Optional Platform-Specific File Handling"). The server, which is not
        # given the file, does not know that this is one.
        self._is_file = type(iterable) is FileWrapper
        self._iterator: Iterator[Any] | None = None
        self._length = length
        self._count = 0
        self._closed = False
        self._ended = False

    def __iter__(self) -> Iterator[bytes]:
        self._iterator = iter(self._iterable)
        return self

    def __next__(self) -> bytes:
        data = self._settled(self._advance)
        if data is _END:
            raise StopIteration
        return data  # type: ignore[no-any-return]  # which is what take() has checked

    def _settled(self, step: Callable[[], Any]) -> Any:
        """Do something for the server; a fault that the application has trapped meanwhile is raised."""
        call = self._call
        try:
            result = step()
        except Exception as error:
            call.settle(error)
            raise
        call.settle()
        return result

    def _advance(self) -> Any:
        call = self._call
        if self._closed:
            call.fault("read-after-close", "a further chunk is asked for", caller())
        data = self._ask()
        if data is _END:
            self._end()
            return data
        self._count += 1
        if self._is_file and type(data) is bytes:
            data = data[: call.left]
        call.take(data, self._place())
        if self._length == self._count == 1:
            # The server takes this chunk for the whole body, and asks for no other.
            self._count += self._ask() is not _END
            self._end()
        return data

    def _ask(self) -> Any:
        if self._iterator is None:
            iter(self)
        if self._is_file and self._call.left == 0:
            return _END
        self._call.iterating = True
        try:
            return next(self._iterator, _END)  # type: ignore[arg-type]  # iter() has set it
        finally:
            self._call.iterating = False

    def _place(self) -> str:
        """Find what to blame for a chunk: where the iterator stands, where the response began, the application."""
        return best((place_of_iterator(self._iterator), self._call.started_at, self._call.place))

    def _end(self) -> None:
        if self._ended:
            return
        self._ended = True
        if self._length is not None and self._length != self._count:
            self._call.fault("body-len", f"it says {self._length}, and there are {self._count}", self._place())
        self._call.end(self._place())

    def close(self) -> None:
        """Close what the application returned, and check what only now can be."""
        self._settled(self._close)

    def _close(self) -> None:
        closed, self._closed = self._closed, True
        if closed:
            self._close_again()
            return
        self._call.over = True
        try:
            self._close_first()
            self._call.check_input()
        finally:
            self._call.closed = True

    def _close_first(self) -> None:
        close = close_of(self._iterable)
        if close is None:
            return
        if not callable(close):
            self._call.fault("close-not-callable", f"it is a {kind(close)}", self._call.place)
            return
        try:
            close()
        except Exception as error:
            self._call.fault("close-failed", repr(error), place_of_error(error), error)
            raise
        code = code_of(close)
        # Libraries run the callbacks of their users there, which may not bear it.
        if code is not None and code not in self._call.probed and own(code.co_filename):
            self._call.probed.add(code)
            self._close_again()

    def _close_again(self) -> None:
        close = close_of(self._iterable)
        if not callable(close):
            return
        try:
            close()
        except Exception as error:
            self._call.fault("close-twice", repr(error), place_of_error(error), error)

    def __del__(self) -> None:
        # A warning: the fault is another's, and from here nothing can be raised to anyone.
        if not self._closed and hasattr(self._iterable, "close") and not sys.is_finalizing():
            self._call.fault("close-missing", f"the body is a {kind(self._iterable)}", self._place())


class _SizedBody(_Body):
    """The same for an iterable that knows its length, which the server makes use of."""

    def __len__(self) -> int:
        return self._length or 0
