"""The model of the baton, `models/baton.pml`, searched by spin: it holds, and each mistake that it avoids is found.

As a program, `python tests/test_model.py` searches larger variants too: for some minutes, in up to 4 GB of memory.
"""

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

MODEL = Path(__file__).parent / "models" / "baton.pml"
TOOLS = ("spin", "cc")
MISSING = [tool for tool in TOOLS if shutil.which(tool) is None]
MISTAKE = re.compile(r"^#ifn?def WRONG_(\w+)", re.MULTILINE)

# Two threads run tasks, three are in the pool. TRUSTED: calls on the first so many connections may run inline.
VARIANTS = {
    "workers rest at any moment, and threads cannot be had": "CONNECTIONS=2 RESTING HIRING_FAILS",
    "three connections, so that tasks are queued": "CONNECTIONS=3 TRUSTED=1",
    "stopped at any moment": "CONNECTIONS=2 TRUSTED=1 STOPPED",
    "tried inline, though every slot is taken": "CONNECTIONS=3 TRUSTED=0 TRIALS",
    "trusted again while they wait": "CONNECTIONS=3 TRUSTED=0 TRUSTS SILENT",
}
LARGE = {
    "three connections": "CONNECTIONS=3",
    "three connections, workers rest, and threads cannot be had": "CONNECTIONS=3 TRUSTED=2 RESTING HIRING_FAILS",
    "tried inline, though every slot is taken, of four": "CONNECTIONS=4 TRUSTED=0 TRIALS",
    "tried inline, though every slot is taken, and stopped": "CONNECTIONS=3 TRUSTED=0 TRIALS STOPPED",
    "trusted again while they wait, or say that they block": "CONNECTIONS=3 TRUSTED=0 TRUSTS",
    "trusted again while they wait, and stopped": "CONNECTIONS=3 TRUSTED=0 TRUSTS SILENT STOPPED",
    "tried inline, though every slot is taken, or trusted again": "CONNECTIONS=3 TRUSTED=0 TRIALS TRUSTS SILENT",
    "two requests a connection": "CONNECTIONS=2 TRUSTED=1 REQUESTS=2",
    "two requests a connection, any of them inline": "CONNECTIONS=2 REQUESTS=2",
    "stopped, workers rest, and threads cannot be had": "CONNECTIONS=2 STOPPED RESTING HIRING_FAILS",
}
# Each with the smallest variant in which it matters.
MISTAKES = {
    "ONE_LOCK_FOR_ALL": "CONNECTIONS=2",
    "PUT_BACK": "CONNECTIONS=2",
    "HIRE_FIRST": "CONNECTIONS=2",
    "HEIR_AFTER_THE_END": "CONNECTIONS=2 TRUSTED=1 STOPPED",
    "LOOK_FIRST": "CONNECTIONS=2",
    "SLEEP_AT_ONCE": "CONNECTIONS=2",
    "WAKE_FIRST": "CONNECTIONS=2",
    "SAY_SO_LAST": "CONNECTIONS=2",
    "NO_LAST_LOOK": "CONNECTIONS=2",
    "RUN_FIRST": "CONNECTIONS=3",
    "LEAD_ON": "CONNECTIONS=2",
    "ASK_THE_BATON": "CONNECTIONS=2",
    "LOOK_OUTSIDE": "CONNECTIONS=3 TRUSTED=1",
    "REST": "CONNECTIONS=2 RESTING",
    "TRY_WITHOUT_A_SLOT": "CONNECTIONS=3 TRUSTED=0 TRIALS",
    "NO_WAKING": "CONNECTIONS=3 TRUSTED=0 TRUSTS SILENT",
    "SLEEP_WHILE_SOME_WAIT": "CONNECTIONS=3 TRUSTED=0 TRUSTS SILENT",
    "LEAVE_THE_HEIR_ASLEEP": "CONNECTIONS=3 REQUESTS=2 TRUSTED=0 TRUSTS SILENT",
    "LEAVE_WHO_WAITS": "CONNECTIONS=3 TRUSTED=0 TRUSTS SILENT STOPPED",
}

# For the mistakes, to optimise would take longer than it gains. And backwards, spin comes upon most of them sooner.
FORWARDS = "-O0"
BACKWARDS = "-O0 -DREVERSE -DT_REVERSE"
SOONER_FORWARDS = {"RUN_FIRST"}

needs_tools = pytest.mark.skipif(bool(MISSING), reason=f"{' and '.join(MISSING)} not installed")


def search(definitions: str, place: Path, *, memory: int = 1500, compiled: str = "-O1") -> str:
    """Let spin search the model, in a directory and so many MB, to the end or to a breach; return its report."""
    options = [f"-D{definition}" for definition in definitions.split()]
    compiler = ["cc", *compiled.split(), "-w", "-DSAFETY", f"-DMEMLIM={memory}", "-o", "pan", "pan.c"]
    for command in (["spin", "-a", *options, str(MODEL)], compiler, ["./pan", "-m100000", "-w22"]):
        done = subprocess.run(command, cwd=place, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    assert "max search depth too small" not in done.stdout, done.stdout
    assert "out of memory" not in done.stdout + done.stderr, done.stdout
    return done.stdout


def holds(report: str) -> bool:
    """Say whether every state was visited, and none was a breach."""
    return "errors: 0" in report and "Search not completed" not in report


@needs_tools
@pytest.mark.parametrize("definitions", VARIANTS.values(), ids=VARIANTS)
def test_the_protocol_keeps_its_guarantees_in_every_order_of_events(definitions: str, tmp_path: Path) -> None:
    report = search(definitions, tmp_path)
    assert holds(report), report


@needs_tools
@pytest.mark.parametrize("mistake", MISTAKES)
def test_each_mistake_is_found(mistake: str, tmp_path: Path) -> None:
    compiled = FORWARDS if mistake in SOONER_FORWARDS else BACKWARDS
    report = search(f"{MISTAKES[mistake]} WRONG_{mistake}", tmp_path, compiled=compiled)
    assert "errors: 1" in report, report
    assert "assertion violated" in report or "invalid end state" in report, report


def test_each_mistake_that_the_model_names_is_tried() -> None:
    assert set(MISTAKES) == set(MISTAKE.findall(MODEL.read_text()))


if __name__ == "__main__":
    for name, variant in (VARIANTS | LARGE).items():
        with tempfile.TemporaryDirectory() as directory:
            found = search(variant, Path(directory), memory=4000, compiled="-O1 -DCOLLAPSE")
        states = re.search(r"\d.*(?= states, stored)", found)
        print("holds" if holds(found) else "FAILS", name, f"({variant}):", states and states[0].strip(), "states")
        if not holds(found):
            sys.exit(found)
