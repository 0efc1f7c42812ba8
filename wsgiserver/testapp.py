"""Takes what WebTest's ``TestApp`` takes and gives the same over the wire; ``testing`` loads it when asked."""

from typing import Any

import webtest  # type: ignore[import-untyped]

from wsgiserver.site import Application
from wsgiserver.wire import wire


class TestApp(webtest.TestApp):  # type: ignore[misc]  # webtest has no types
    """WebTest's ``TestApp``, each request of which is sent as bytes through the server, in HTTP/1.1.

    Each response has ``wire``: the ``WireExchange`` with the bytes of request and response, the environ, and the calls
    of ``start_response``. ``self.wire`` is the wire, with the last exchanges. ``strict``, ``raise_errors`` and
    ``settings`` are those of ``wire``; everything else is WebTest's. What is written to ``wsgi.errors`` fails the test,
    as with WebTest; but not the traceback of a 500 that was asked for with ``raise_errors=False``.
    """

    # Not a test, though its name begins so.
    __test__ = False

    def __init__(
        self,
        app: Application,
        *args: Any,
        strict: bool = False,
        raise_errors: bool = True,
        settings: dict[str, Any] | None = None,
        **options: Any,
    ) -> None:
        # WebOb puts HTTP/1.0 into every environ; no client of today speaks it, and it has no chunked bodies.
        self.wire = wire(app, strict=strict, raise_errors=raise_errors, protocol="HTTP/1.1", **settings or {})
        super().__init__(self.wire, *args, **options)

    def do_request(self, req: Any, status: Any = None, expect_errors: Any = None) -> Any:
        """Do what WebTest does, and note what passed on the wire."""
        __tracebackhide__ = True
        response = super().do_request(req, status, expect_errors)
        response.wire = req.environ.get("wsgiserver.exchange")
        return response

    def _check_errors(self, res: Any) -> None:
        __tracebackhide__ = True
        exchange = res.request.environ.get("wsgiserver.exchange")
        if exchange is None or exchange.error is None or res.status_int != 500:
            super()._check_errors(res)
