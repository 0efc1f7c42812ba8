"""Takes an application under test and gives it a wire: in memory, beneath WebTest, or on a live server.

``wire`` and ``WireClient`` work in memory; ``TestApp`` is WebTest's over ``wire`` and alone needs webtest;
``LiveServer`` is a ``Server`` that tells what it was asked and fails the test when the application does.
"""

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Self

from wsgiserver.addresses import Address, bracketed
from wsgiserver.crowds import Crowd
from wsgiserver.exchange import Exchange
from wsgiserver.masking import masked, masked_text
from wsgiserver.memory import WatchedSite, own_traceback, under_test
from wsgiserver.recording import RecordedStream, Recording, recorder_of
from wsgiserver.server import Server
from wsgiserver.settings import Settings
from wsgiserver.site import Application, Environ, Observer
from wsgiserver.sockets import Listener
from wsgiserver.wire import NotSendable, StartCall, Wire, WireExchange, wire
from wsgiserver.wire_client import BrokenResponse, WireClient, WireResponse

if TYPE_CHECKING:
    from wsgiserver.testapp import TestApp as TestApp

# Without TestApp: who imports all of these may have no webtest.
__all__ = [
    "BrokenResponse",
    "LiveServer",
    "NotSendable",
    "Recording",
    "StartCall",
    "StopableWSGIServer",
    "Wire",
    "WireClient",
    "WireExchange",
    "WireResponse",
    "masked",
    "wire",
]

# Seconds that a test waits for something to come before it has failed; those that pass wait no longer than it takes.
PATIENCE = 10.0
# What a live server does otherwise than one that serves people: a free port, and no patience at the end.
LIVE = {"bind": "127.0.0.1:0", "timeout_stop": 1.0}
# Seconds in which a server that is asked to stop reads what it was sent before, and lets go of idle clients.
MOMENT = 0.005
# How many exchanges are kept as bytes; as many as ``wire`` keeps.
RECORDINGS = 20


def __getattr__(name: str) -> Any:
    """Load what needs webtest when it is asked for."""
    if name != "TestApp":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        from wsgiserver.testapp import TestApp
    except ModuleNotFoundError as error:
        if error.name != "webtest":
            raise
        message = "wsgiserver.testing.TestApp needs WebTest: pip install webtest"
        raise ModuleNotFoundError(message, name="webtest") from None
    return TestApp


class LiveServer(Server):
    """A server for tests, in this process, on a free port: it tells what it was asked, and what went wrong.

    ``requests`` are the exchanges of all requests in the order in which they came to the application; one whose
    response is still under way is among them. ``errors`` is what the application raised and nobody has seen yet:
    ``wait_for``, ``wait_idle`` and ``check`` raise it, with the application's own traceback, unless ``raise_errors``
    is False. ``exchanges`` are the last twenty as the bytes that passed on the sockets. All of them can be read when a
    client has its response. Keyword arguments are the server's settings.
    """

    def __init__(
        self,
        application: Application,
        *,
        strict: bool = False,
        raise_errors: bool = True,
        settings: Settings | None = None,
        observers: Sequence[Observer] = (),
        **overrides: Any,
    ) -> None:
        chosen = overrides if settings is not None else {**LIVE, **overrides}
        observers = (*observers, self._note_end)
        super().__init__(self._serve, settings=settings, observers=observers, **chosen)
        self.strict = strict or self.settings.strict
        self.raise_errors = raise_errors
        self.requests: list[Exchange] = []
        self.errors: list[BaseException] = []
        # Guards the lists; told of each end and each error.
        self._news = threading.Condition()
        self._recordings: deque[Recording] = deque(maxlen=RECORDINGS)
        self._unanswered: set[Exchange] = set()
        # What was under way when all was forgotten; and of each thread the exchange that it runs, or ran last.
        self._forgotten: set[Exchange] = set()
        self._running = threading.local()
        self.set_app(application)

    def _make_site(self, application: Application, observers: Sequence[Observer]) -> WatchedSite:
        multithread = self.settings.threads > 1
        return WatchedSite(
            application, self.settings, self._errors, observers, multithread=multithread, on_error=self._note_error
        )

    def set_app(self, application: Application) -> None:
        """Serve another application from the next request on; raises ``TypeError`` for what cannot be called."""
        self.application = under_test(application, self.strict)

    def __enter__(self) -> Self:
        self.start()
        return self

    def stop(self, timeout: float | None = None) -> None:
        """Answer what has come to the application, for ``timeout`` seconds at most, then close everything at once.

        Other servers wait for clients that have not asked to the end, or that keep their side open.
        """
        timeout = self.settings.timeout_stop if timeout is None else timeout
        self.ask_to_stop(timeout)
        if not self._over.wait(MOMENT):
            with self._news:
                self._news.wait_for(lambda: not (self._unanswered or self._forgotten), timeout)
        super().stop(0.0)

    def forget(self) -> None:
        """Begin anew: no requests, no exchanges, no errors; what is under way still is forgotten, whatever it does."""
        # Where a test had set the clock ahead (freezegun), the lines of that time would not be stale for years.
        self.site.tick(time.time())
        with self._news:
            self._forgotten |= self._unanswered
            self._unanswered.clear()
            self.requests.clear()
            self._recordings.clear()
            self.errors.clear()

    # -- what a test waits for -------------------------------------------------------------------------------------

    def wait_for(
        self,
        *,
        path: str | None = None,
        method: str | None = None,
        status: int | None = None,
        timeout: float = PATIENCE,
    ) -> Exchange:
        """Wait until a request of this path, method and status has been answered, and give its exchange.

        ``path`` is compared with the target as it was sent, and with its path, decoded. Raises what the application
        raised, or ``TimeoutError``, which tells what came instead.
        """
        __tracebackhide__ = True

        def found() -> list[Exchange]:
            return [each for each in self.requests if each not in self._unanswered and fits(each)]

        def fits(each: Exchange) -> bool:
            return (
                (path is None or path in _names(each))
                and (method is None or method == each.request.method)
                and (status is None or each.status.startswith(f"{status:03}"))
            )

        wanted = " ".join(str(each) for each in (method, path, status) if each is not None) or "any request"
        self._wait(lambda: bool(found()), f"{wanted} did not come", timeout)
        return found()[0]

    def wait_idle(self, timeout: float = PATIENCE) -> None:
        """Wait until all requests that came to the application have been answered; raises as ``wait_for`` does."""
        __tracebackhide__ = True
        self._wait(lambda: not self._unanswered, "the server is not idle", timeout)

    def is_idle(self, timeout: float = 0.0) -> bool:
        """Tell whether all requests are answered, or are within ``timeout`` seconds; raises nothing."""
        with self._news:
            return self._news.wait_for(lambda: not self._unanswered, timeout)

    def check(self) -> None:
        """Raise the first error that nobody has seen yet, unless ``raise_errors`` is off."""
        __tracebackhide__ = True
        with self._news:
            error = self.errors.pop(0) if self.errors and self.raise_errors else None
        if error is not None:
            raise own_traceback(error)

    def _wait(self, done: Callable[[], bool], otherwise: str, timeout: float) -> None:
        __tracebackhide__ = True
        with self._news:
            came = self._news.wait_for(lambda: done() or (self.errors and self.raise_errors), timeout)
        self.check()
        if not came:
            raise TimeoutError(f"{otherwise} within {timeout:g} seconds; {self.summary() or 'nothing came'}")

    def summary(self) -> str:
        """Tell in lines what was asked and answered; secrets are masked."""
        with self._news:
            return "\n".join(_line(each, "is under way" if each in self._unanswered else "") for each in self.requests)

    # -- what the server tells -------------------------------------------------------------------------------------

    @property
    def exchanges(self) -> list[Recording]:
        """The last twenty exchanges in the order in which they began, as bytes; also what never became a request."""
        with self._news:
            return list(self._recordings)

    def _listen(self, address: Address) -> Listener:
        listener = super()._listen(address)
        listener.stream = partial(RecordedStream, begin=self._note_begin)
        return listener

    def _crowd(self, crowd: Crowd) -> None:
        """Do without the calls of crowded times, which go past the stream and so past what it records."""

    def _note_begin(self, recording: Recording) -> None:
        with self._news:
            self._recordings.append(recording)

    def _serve(self, environ: Environ, start_response: Any) -> Iterable[bytes]:
        # The gateway gives the exchange's own method, so that this is the exchange.
        exchange = start_response.__self__
        recorder_of(exchange).asked(exchange)
        self._running.exchange = exchange
        with self._news:
            self.requests.append(exchange)
            self._unanswered.add(exchange)
        return self.application(environ, start_response)

    def _note_end(self, exchange: Exchange) -> None:
        recorder_of(exchange).end(exchange)
        with self._news:
            if exchange in self._unanswered:
                self._unanswered.remove(exchange)
            elif exchange in self._forgotten:
                self._forgotten.remove(exchange)
            else:
                self.requests.append(exchange)  # it was refused, and the application not called
            self._news.notify_all()

    def _note_error(self, error: BaseException) -> bool:
        exchange = getattr(self._running, "exchange", None)
        with self._news:
            if exchange is None or exchange in self.requests:
                self.errors.append(error)
                self._news.notify_all()
        return False


def _names(exchange: Exchange) -> tuple[str, ...]:
    """Give what a test may call the request by: its target, its path, with its escapes and without."""
    request = exchange.request
    path = request.path.encode("latin-1").decode("utf-8", "replace")
    return request.target, request.target.partition("?")[0], request.path, path


def _line(exchange: Exchange, otherwise: str) -> str:
    request = exchange.request
    error = "" if exchange.error is None else f" ({type(exchange.error).__name__}: {exchange.error})"
    return f"{request.method} {masked_text(request.target)}: {exchange.status or otherwise or 'no answer'}{error}"


class StopableWSGIServer(LiveServer):
    """A live server with the names of ``webtest.http.StopableWSGIServer``, for suites that use that one.

    It listens when ``create`` returns, and serves nothing but the application: no file at ``/__file__``.
    """

    was_shutdown = False

    @classmethod
    def create(
        cls,
        application: Application,
        *,
        host: str = "",
        port: int | str = 0,
        expose_tracebacks: bool = True,
        **settings: Any,
    ) -> Self:
        """Serve an application on a free port, or on ``host`` and ``port``; takes the server's settings (``threads``).

        ``expose_tracebacks`` is taken and has no meaning: the client never sees one, ``errors`` has them.
        """
        host = host or os.environ.get("WEBTEST_SERVER_BIND", "127.0.0.1")
        server = cls(application, raise_errors=False, bind=f"{bracketed(host)}:{port}", **settings)
        server.start()
        return server

    @property
    def test_app(self) -> Application:
        """The application."""
        return self.application

    @property
    def application_url(self) -> str:
        """Where the server is reached, with a slash at its end."""
        return self.url.rstrip("/") + "/"

    def wait(self, retries: int = 30) -> bool:  # type: ignore[override]  # the name is WebTest's, the meaning too
        """Tell that it serves; there is nothing to wait for."""
        return not self.was_shutdown

    def shutdown(self, debug: bool = False) -> bool:
        """Stop."""
        self.was_shutdown = True
        self.stop()
        return True
