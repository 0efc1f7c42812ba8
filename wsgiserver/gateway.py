"""Takes an application, an environ and an ``Exchange``; calls the one with the other two as PEP 3333 says.

Whatever the application does, ``run`` returns: the response has ended, ``close()`` was called once, and what went wrong
stands in the error stream. The loop then lets the bytes leave. Only in a child process that the application forked it
does not, see ``end_child``.
"""

import os
import sys
from collections.abc import Iterable
from contextlib import suppress
from typing import NoReturn

from wsgiserver.environ import FileWrapper
from wsgiserver.exchange import ENDED, ClientGone, Exchange
from wsgiserver.messages import BadResponse
from wsgiserver.pages import failure, terse_failure
from wsgiserver.site import Application, Environ, Site


def run(application: Application, environ: Environ, exchange: Exchange) -> None:
    """Call the application and deliver what it returns. Never raises; called on the thread that runs the exchange."""
    result: Iterable[bytes] | None = None
    try:
        result = application(environ, exchange.start_response)
        if type(result) is list and len(result) == 1:
            exchange.finish(result[0])
        else:
            _deliver(result, exchange)
    except ClientGone as gone:
        exchange.cut(gone)
    except BaseException as error:  # SystemExit and KeyboardInterrupt too: an application does not stop the server
        _fail(exchange, error)
    finally:
        if type(result) is not list:  # it has no close()
            _close(result, exchange)


def _deliver(result: Iterable[bytes] | None, exchange: Exchange) -> None:
    """Send each chunk before the next is asked for (PEP 3333, "Buffering and Streaming")."""
    exchange.outlast()
    if result is None:
        raise BadResponse("the application returned None, not an iterable of bytes; is a return missing? (PEP 3333)")
    if type(result) is FileWrapper:
        if _deliver_file(result, exchange):
            return
        result = _first(result, exchange.left)
    if _length(result) == 1:
        # The length of the whole is known, so that it can be told (PEP 3333, "Handling the Content-Length Header").
        for data in result:
            exchange.finish(data)
            return
    for data in result:
        if data or type(data) is not bytes:
            exchange.add(data, more=True)
            if exchange.progress is ENDED and exchange.bodyless:
                break  # what follows would only be dropped, and may never end
    exchange.finish()


def _first(chunks: Iterable[bytes], left: int | None) -> Iterable[bytes]:
    """Give so many octets of a file, or all (PEP 3333, "Optional Platform-Specific File Handling")."""
    for data in chunks:
        if left is None or type(data) is not bytes:
            yield data
            continue
        yield data[:left]
        left -= len(data)
        if left <= 0:
            return


def _length(result: Iterable[bytes]) -> int | None:
    """Give what ``len()`` says, where it says anything; asking the type first saves the many that have none 1 µs."""
    if not hasattr(type(result), "__len__"):
        return None
    try:
        return len(result)  # type: ignore[arg-type]  # it has one, as was just seen
    except Exception:
        return None


def _deliver_file(wrapper: FileWrapper, exchange: Exchange) -> bool:
    """Hand a regular file over to be sent by the kernel; False where that cannot be, so that it is read instead."""
    if exchange.begun or not exchange.takes_files:
        return False
    part = wrapper.regular()
    if part is None:
        return False
    try:
        # The application may close its file at once; the duplicate lives until the last octet has left.
        descriptor = os.dup(wrapper.filelike.fileno())
    except (OSError, ValueError):
        return False
    try:
        exchange.finish_file(descriptor, *part)
    except BaseException:
        if exchange.progress is not ENDED:  # else it is the channel's
            os.close(descriptor)
        raise
    return True


def _fail(exchange: Exchange, error: BaseException) -> None:
    """Answer 500 where nothing has left yet, else cut the response; tell the developer in both cases."""
    if exchange.site.forked:
        end_child(exchange.site, error)
    exchange.report("the application failed", error)
    if exchange.begun:
        exchange.cut(error)
        return
    exchange.error = error
    exchange.reset()
    # The page is an application that cannot fail, so this goes no deeper.
    run(terse_failure if exchange.site.settings.terse_errors else failure, {}, exchange)


def _close(result: Iterable[bytes] | None, exchange: Exchange) -> None:
    try:
        close = getattr(result, "close", None)
        if close is not None:
            close()
    except BaseException as error:
        if exchange.site.forked:
            end_child(exchange.site, error)
        exchange.report("close() of the response failed", error)


def end_child(site: Site, error: BaseException | None = None) -> NoReturn:
    """End this process, a child that the application forked: the application has returned in it, or raised ``error``.

    SystemExit gives it its status, another error 1. The request is the parent's to answer, and so is every other.
    """
    status = 0
    if isinstance(error, SystemExit):
        status = error.code if isinstance(error.code, int) else int(error.code is not None)
        if error.code is not None and not isinstance(error.code, int):
            print(error.code, file=sys.stderr)
    elif error is not None:
        status = 1
        site.report("the application failed in a child process that it had forked", error)
    for stream in (site.errors, sys.stdout, sys.stderr):
        with suppress(Exception):
            stream.flush()
    os._exit(status & 0xFF)
