"""Has a Django application that is called in memory keep its connections to databases, and a test's transaction."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def transactions_left_open() -> Iterator[None]:
    """Have Django not close the connections to its databases at the begin and the end of a request.

    In memory they are the test's own, and it may have a transaction open on them, which would be lost. The requests of
    Django's test client are made in the same way.
    """
    databases, signals = sys.modules.get("django.db"), sys.modules.get("django.core.signals")
    close = getattr(databases, "close_old_connections", None)
    if close is None or signals is None:
        yield
        return
    closing = [each for each in (signals.request_started, signals.request_finished) if each.disconnect(close)]
    try:
        yield
    finally:
        for signal in closing:
            signal.connect(close)
