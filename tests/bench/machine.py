"""The machine, and the versions of all that takes part."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from importlib import metadata
from pathlib import Path

from .servers import SERVERS

BUSY_LOAD = 0.5


def describe() -> dict[str, str]:
    return {
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 1e9:.1f} GB",
        "system": f"{_distribution()}, Linux {platform.release()}",
    }


def _processor() -> str:
    text = Path("/proc/cpuinfo").read_text()
    model = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    virtual = " (virtual machine)" if re.search(r"^flags\s*:.*\bhypervisor\b", text, re.MULTILINE) else ""
    return (model[1] if model else platform.machine()) + virtual


def _distribution() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return platform.system()


def versions() -> dict[str, str]:
    """What is installed of: Python, wrk, the servers, the frameworks."""
    found = {"Python": platform.python_version(), "wrk": _wrk_version()}
    found |= {server.name: server.version for server in SERVERS}
    for framework in ("Flask", "Werkzeug", "bottle", "Django"):
        try:
            found[framework] = metadata.version(framework)
        except metadata.PackageNotFoundError:
            continue
    return {name: version for name, version in found.items() if version}


def _wrk_version() -> str:
    said = subprocess.run(["wrk", "--version"], capture_output=True, text=True).stdout
    return said.partition("\n")[0].removeprefix("wrk ").partition(" [")[0]


def remarks() -> list[str]:
    """What is not right with the machine before the first run."""
    load = os.getloadavg()[0]
    if load > BUSY_LOAD:
        return [f"the machine was busy before the first round (load average {load:.2f})"]
    return []
