"""Start a peer that has no command of its own, or none that can turn off what a fair person would turn off.

``python -m tests.bench.peers SERVER MODULE:ATTRIBUTE PORT THREADS``
"""

# mypy: disable-error-code="import-untyped, import-not-found"

from __future__ import annotations

import importlib
import logging
import sys
from typing import Any

from .servers import HOST, MANY


def bjoern(application: Any, port: int, threads: int) -> None:
    import bjoern

    bjoern.run(application, HOST, port)


def freastal(application: Any, port: int, threads: int) -> None:
    import freastal

    freastal.serve(application, host=HOST, port=port)


def fastpysgi(application: Any, port: int, threads: int) -> None:
    import fastpysgi

    fastpysgi.server.tcp_nodelay = 1
    fastpysgi.run(application, HOST, port)


def waitress(application: Any, port: int, threads: int) -> None:
    import waitress

    # It writes a warning for every request that waits for a thread.
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)
    waitress.serve(
        application,
        listen=f"{HOST}:{port}",
        threads=threads or 4,
        connection_limit=MANY,
        asyncore_use_poll=True,
    )


def main() -> None:
    name, application, port, threads = sys.argv[1:]
    module, _, attribute = application.partition(":")
    start = {"bjoern": bjoern, "freastal": freastal, "fastpysgi": fastpysgi, "waitress": waitress}[name]
    start(getattr(importlib.import_module(module), attribute), int(port), int(threads))


if __name__ == "__main__":
    main()
