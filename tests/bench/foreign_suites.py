"""Run the test suites of bottle, Flask and WebTest as they are, and with each application behind the wire.

    python tests/bench/foreign_suites.py FOLDER

FOLDER holds their source distributions, unpacked: `bottle-0.13.4`, `flask-3.1.3`, `webtest-3.0.7` (`pip download
--no-deps --no-binary :all: bottle==0.13.4`, and so on). WebTest's suite needs PasteDeploy, WSGIProxy2 and pyquery, and
Flask 3.1.3's a pytest before 9. The client of each suite is patched in one place, below; nothing of theirs is changed.
What fails with the wire and not without is printed; docs/reference/testing.md explains each.
"""

import importlib
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

SUITES = {"bottle-0.13.4": "test", "flask-3.1.3": "tests", "webtest-3.0.7": "tests"}
SUITE = os.environ.get("FOREIGN_SUITE", "")


def wired(application: Any) -> Any:
    """Put an application behind the wire; leave a URL, or a wire, as it is."""
    from wsgiserver.testing import Wire, wire

    return application if isinstance(application, (str, Wire)) else wire(application)


def wire_bottle() -> None:
    import wsgiref.validate

    base = importlib.import_module("test.tools").ServerTestBase
    set_up = base.setUp

    def set_up_wired(self: Any) -> None:
        set_up(self)
        self.wsgiapp = wsgiref.validate.validator(wired(self.wsgiapp))

    base.setUp = set_up_wired


def wire_flask() -> None:
    client = importlib.import_module("werkzeug.test").Client
    run = client.run_wsgi_app

    def run_wired(self: Any, *args: Any, **named: Any) -> Any:
        self.application, plain = wired(self.application), self.application
        try:
            return run(self, *args, **named)
        finally:
            self.application = plain

    client.run_wsgi_app = run_wired


def wire_webtest() -> None:
    app = importlib.import_module("webtest.app").TestApp
    init = app.__init__

    def init_wired(self: Any, *args: Any, **named: Any) -> None:
        init(self, *args, **named)
        self.app = wired(self.app)

    app.__init__ = init_wired


def pytest_configure() -> None:
    """As a plugin of pytest: patch the client of the suite that runs."""
    {"bottle": wire_bottle, "flask": wire_flask, "webtest": wire_webtest}[SUITE]()


def run(folder: Path, tests: str, *, with_wire: bool) -> tuple[str, set[str]]:
    """Run a suite; give pytest's last line, and what failed."""
    paths = [str(Path(__file__).parent), str(folder), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "FOREIGN_SUITE": folder.name.split("-")[0], "PYTHONPATH": os.pathsep.join(paths)}
    plugins = ["-p", "foreign_suites"] if with_wire else []
    options = ["-q", "-W", "ignore", "--tb=line", "-p", "no:cacheprovider", "-p", "no:xdist"]
    command = [sys.executable, "-m", "pytest", *options, *plugins, tests]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    lines = done.stdout.splitlines()
    return lines[-1] if lines else done.stderr, set(re.findall(r"^(?:FAILED|ERROR) (\S+)", done.stdout, re.MULTILINE))


def main() -> None:
    for name, tests in SUITES.items():
        folder = Path(sys.argv[1]).resolve() / name
        before, failed_before = run(folder, tests, with_wire=False)
        after, failed = run(folder, tests, with_wire=True)
        print(f"{name}\n  as it is:  {before}\n  with wire: {after}")
        print("".join(f"    fails with the wire only: {each}\n" for each in sorted(failed - failed_before)), end="")
        print("".join(f"    fails without it only: {each}\n" for each in sorted(failed_before - failed)), end="")


if __name__ == "__main__":
    main()
