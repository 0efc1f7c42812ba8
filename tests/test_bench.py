"""The benchmark: what it reads from wrk, /proc, py-spy and strace, its statistics, its doubts, its table, its page."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from bench import __main__ as command
from bench import (
    anatomy,
    applications,
    compare,
    goals,
    measure,
    procfs,
    progress,
    report,
    rounds,
    stacks,
    syscalls,
    table,
    wrk,
)
from bench import doubts as doubting
from bench.process import launch_for
from bench.results import Cell, Results, Run, median
from bench.scenarios import SCENARIOS
from bench.servers import NO_LOG, ONE_THREAD, OURS, SERVERS, VARIANTS, Launch

BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}
LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")

REPORT = """\
Running 4s test @ http://127.0.0.1:8000/
  1 threads and 32 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency   400.97us  603.82us   5.49ms   94.45%
    Req/Sec   109.99k    21.64k  122.06k    81.82%
  Latency Distribution
     50%  258.00us
     75%  275.00us
     90%  365.00us
     99%    3.91ms
  119782 requests in 1.10s, 11.77MB read
Requests/sec: 109212.72
Transfer/sec:     10.73MB
"""
TROUBLED = """\
  Latency Distribution
     50%    1.20s
     99%    1.02m
  640 requests in 4.00s, 64.10KB read
  Socket errors: connect 1, read 20, write 0, timeout 300
  Non-2xx or 3xx responses: 17
Requests/sec:    160.00
"""


def runs(*values: float, **more: float) -> list[Run]:
    return [Run(value=value, round=i, rate=1e6 / value, **more) for i, value in enumerate(values, 1)]  # type: ignore[arg-type]


def results(cells: Iterable[Cell]) -> Results:
    found = list(cells)
    return Results(
        command="python -m tests.bench",
        started="2030-01-02T03:04:05+00:00",
        settings={"rounds": 3, "renew": 2, "seconds": 4, "warm_up": 1, "server_core": "0", "load_core": "1"},
        machine={"cores": "2"},
        versions={"Python": "3.13.0"},
        scenarios=list(dict.fromkeys(cell.scenario for cell in found)),
        servers=list(dict.fromkeys(cell.server for cell in found)),
        cells=found,
    )


# What wrk says


def test_the_count_rate_and_percentiles_are_read_from_the_report_of_wrk() -> None:
    output = wrk.parse(REPORT)
    assert (output.requests, output.rate) == (119782, 109212.72)
    assert output.p50 == pytest.approx(0.258)
    assert output.p99 == pytest.approx(3.91)
    assert (output.socket_errors, output.status_errors) == (0, 0)


def test_errors_and_long_times_are_read_from_the_report_of_wrk() -> None:
    output = wrk.parse(TROUBLED)
    assert (output.socket_errors, output.status_errors) == (321, 17)
    assert output.p50 == pytest.approx(1200)
    assert output.p99 == pytest.approx(61_200)


def test_a_report_without_figures_is_an_error_that_repeats_it() -> None:
    with pytest.raises(wrk.LoadError, match="unable to connect"):
        wrk.parse("unable to connect to 127.0.0.1:1 Connection refused\n")


def test_wrk_is_pinned_and_asks_as_the_scenario_says() -> None:
    words = wrk.command(BY_NAME["echo"], "http://127.0.0.1:8000/", 4, "1")
    assert words[:4] == ["taskset", "--cpu-list", "1", "wrk"]
    assert words[-3:] == ["http://127.0.0.1:8000/", "--", "1024"]
    words = wrk.command(BY_NAME["close"], "http://127.0.0.1:8000/", 4, "1")
    assert words[words.index("--header") + 1] == "Connection: close"


def test_every_script_of_a_scenario_is_there() -> None:
    for scenario in SCENARIOS:
        assert not scenario.lua or (wrk.SCRIPTS / scenario.lua).is_file()


# What Linux says


def test_cpu_time_is_read_though_the_name_of_the_process_holds_spaces_and_parentheses() -> None:
    text = "8966 (my) S (app) S 77 8963 4689 0 -1 4194304 1571 0 10 0 39 117 5 6 20 0 1 0 127850 18636800"
    assert procfs.parse_stat(text) == procfs.ProcessStat(pid=8966, parent=77, user=39, system=117, ended=5 + 6)


def family(parents: dict[int, int]) -> dict[int, procfs.ProcessStat]:
    return {pid: procfs.ProcessStat(pid, parent, 1, 1, 0) for pid, parent in parents.items()}


def test_a_process_tree_holds_children_and_their_children_and_no_other() -> None:
    processes = family({10: 1, 11: 10, 12: 11, 13: 10, 20: 1})
    assert sorted(process.pid for process in procfs.descend(10, processes)) == [10, 11, 12, 13]
    assert procfs.descend(99, processes) == []


def test_time_in_processes_and_time_stolen_are_read_for_all_cores() -> None:
    cores = procfs.parse_cores(["cpu  100 10 40 9000 5 3 2 70 0 0", "cpu0 1 1 1 1 1 1 1 1 0 0"])
    assert cores == procfs.CoresStat(150 / procfs.TICKS, 70 / procfs.TICKS)


def test_the_share_of_the_kernel_is_that_of_the_time_between_two_looks() -> None:
    before = [procfs.ProcessStat(10, 1, 100, 300, 0)]
    after = [procfs.ProcessStat(10, 1, 130, 310, 0), procfs.ProcessStat(11, 10, 0, 20, 0)]
    assert procfs.kernel_share(before, after) == pytest.approx(0.5)
    assert procfs.kernel_share(before, before) == 0


def burn(seconds: float) -> None:
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        pass


@LINUX
def test_this_process_has_used_cpu_time_and_memory() -> None:
    assert procfs.cpu_seconds(os.getpid()) > 0
    assert procfs.resident(os.getpid()) > 1e6
    assert procfs.cores().busy > 0
    assert procfs.thread_seconds(os.getpid())[threading.get_native_id()] > 0


@LINUX
def test_the_time_of_a_thread_that_has_ended_is_counted_to_the_microsecond() -> None:
    before = procfs.cpu_seconds(os.getpid())
    thread = threading.Thread(target=burn, args=(0.0123,))
    thread.start()
    thread.join()
    assert procfs.cpu_seconds(os.getpid()) - before >= 0.0123
    assert thread.native_id not in procfs.thread_seconds(os.getpid())


@LINUX
def test_a_meter_waits_until_a_process_rests_but_not_for_ever() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as resting:
        meter = procfs.Meter(resting.pid)
        meter.rest(60)
        used = meter.seconds()
        resting.communicate(b"\n")
        assert meter.seconds() >= used  # also when it has ended
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as busy:
        begun = time.monotonic()
        procfs.Meter(busy.pid).rest(0.1)
        busy.kill()
    assert time.monotonic() - begun >= 0.1


# Statistics


def test_the_figure_of_a_cell_is_the_median_of_its_rounds() -> None:
    assert Cell("hello", OURS, runs(12, 10, 11)).value == 11
    assert median([]) == 0


@pytest.mark.parametrize(("rounds", "first", "last"), [(1, 1, 1), (3, 1, 3), (5, 1, 5), (6, 1, 6), (12, 3, 10)])
def test_the_median_lies_in_an_interval_that_counting_alone_gives(rounds: int, first: int, last: int) -> None:
    assert compare.interval(range(rounds, 0, -1)) == (first, last)


def test_the_interval_of_the_median_grows_narrow_with_many_rounds() -> None:
    low, high = compare.interval(range(1000))
    assert 460 < low < high < 540


def test_a_ratio_is_taken_within_each_round_so_that_the_drift_of_the_machine_leaves_it_alone() -> None:
    ours, theirs = Cell("hello", OURS, runs(12.0, 24.0, 48.0)), Cell("hello", "bjoern", runs(10.0, 20.0, 40.0))
    found = compare.ratio(ours, theirs)
    assert found is not None
    assert (found.value, found.width) == pytest.approx((1.2, 0.0))


def test_only_rounds_that_both_were_measured_in_are_compared() -> None:
    ours, theirs = Cell("hello", OURS, runs(12.0, 24.0)), Cell("hello", "bjoern", runs(99.0, 20.0)[1:])
    found = compare.difference(ours, theirs)
    assert found is not None
    assert found.values == [4.0]


def test_there_is_no_ratio_where_one_is_missing_or_nothing() -> None:
    ours = Cell("hello", OURS, runs(12.0))
    assert compare.ratio(ours, Cell("hello", "bjoern", reason="it is not installed")) is None
    assert compare.ratio(None, ours) is None
    assert compare.ratio(ours, Cell("hello", "bjoern", [Run(value=0.0, round=1)])) is None


# Doubts


def doubts(cell: Cell, *others: Cell) -> list[str]:
    return doubting.doubts(results([cell, *others]), cell)


def test_three_calm_rounds_leave_no_doubt() -> None:
    assert doubts(Cell("hello", OURS, runs(10.0, 10.5, 11.0))) == []


@pytest.mark.parametrize(
    ("cell", "doubt"),
    [
        (Cell("hello", OURS, runs(10.0)), "only 1 round"),
        (Cell("hello", OURS, runs(10.0, 10.0, 12.0)), "the rounds leave it open by 20%"),
        (
            Cell("hello", OURS, runs(10.0, 10.0, 10.0, elsewhere=0.3)),
            "other processes used up to 30% of a core, in 3 of 3 rounds",
        ),
        (Cell("hello", OURS, runs(10.0, 10.0, 10.0, beside=0.04)), "servers that were to rest used up to 4% of a core"),
        (Cell("hello", OURS, runs(10.0, 10.0, 10.0, stolen=0.1)), "the host took up to 10% of a core"),
        (
            Cell("hello", OURS, runs(10.0, 10.0, 10.0, generator=0.99)),
            "the server waited for wrk, which was at its own limit",
        ),
        (Cell("hello", OURS, runs(10.0, 10.0, 10.0, socket_errors=1)), "3 connections or answers were lost"),
        (Cell("hello", OURS, runs(10.0, 10.0, 10.0, status_errors=2)), "6 answers had an error status"),
        (Cell("hello", OURS, runs(10.0, 10.0, 10.0), "it did not answer"), "not every round was run"),
        (Cell("hello", OURS, [Run(value=1.0, remark="the log lacks lines")] * 3), "the log lacks lines"),
    ],
)
def test_a_figure_that_is_not_to_be_trusted_says_why(cell: Cell, doubt: str) -> None:
    [found] = doubts(cell)
    assert found.startswith(doubt)


def test_a_disturbance_in_few_of_many_rounds_is_no_doubt_for_the_median_does_not_mind() -> None:
    cell = Cell("hello", OURS, [*runs(*[10.0] * 10), Run(value=15.0, elsewhere=0.9)])
    assert doubts(cell) == []


def test_where_there_is_a_ratio_its_spread_is_judged_and_not_that_of_the_microseconds() -> None:
    ours = Cell("hello", OURS, runs(12.0, 24.0, 48.0))
    steady, unsteady = Cell("hello", "bjoern", runs(10.0, 20.0, 40.0)), Cell("hello", "granian", runs(10.0, 25.0, 30.0))
    assert doubts(ours, steady, unsteady) == []
    assert doubts(steady, ours) == []
    assert doubts(unsteady, ours) == ["the ratio is open between 0.96 and 1.60"]
    [remark] = doubting.general(results([ours, steady]))
    assert remark.startswith("the machine's speed drifted: the same server needed up to 4.0 times as long")


def test_a_doubt_that_all_servers_share_is_told_once() -> None:
    cells = [Cell("hello", name, runs(10.0, 10.0, 10.0, elsewhere=0.3)) for name in (OURS, "bjoern")]
    cells[1].runs[0] = replace(cells[1].runs[0], status_errors=1)
    assert doubting.notes(results(cells)) == [
        "hello: other processes used up to 30% of a core, in 3 of 3 rounds",
        "hello, bjoern: 1 answers had an error status",
    ]


def test_the_shares_of_a_round_are_taken_from_the_clocks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """2 s of one core each: the server used 0.8, another that was to rest 0.2, wrk 1.96, something else 1.04."""
    (tmp_path / "output").touch()
    process: Any = SimpleNamespace(
        pid=1, output=tmp_path / "output", check_alive=lambda: None, launch=Launch(application="", port=1), logs=True
    )
    readings = iter([measure.Clocks(0, 0, 0, 0, 0), measure.Clocks(2, 0.8, 0.2, 4.0, 0.3)])
    monkeypatch.setattr(measure.Clocks, "read", lambda *_: next(readings))
    monkeypatch.setattr(procfs, "Meter", lambda _: SimpleNamespace(rest=lambda _: None))
    monkeypatch.setattr(wrk, "run", lambda *_: (wrk.parse(TROUBLED), 1.96))
    bench = measure.Bench(seconds=2, warm_up=0, server_core="0", load_core="1", directory=tmp_path)
    run = measure.loaded(bench, BY_NAME["hello"], process, [])
    assert run.value == pytest.approx(0.8 / 640 * 1e6)
    assert run.generator == pytest.approx(0.98)
    assert (run.elsewhere, run.beside, run.stolen) == pytest.approx((0.52, 0.1, 0.15))
    found = " ".join(doubts(Cell("hello", OURS, [replace(run, round=i) for i in range(3)])))
    for words in ("other processes", "to rest", "the host", "own limit", "were lost", "error status", "lacks lines"):
        assert words in found


# Results


def test_results_are_the_same_after_they_were_saved_and_loaded(tmp_path: Path) -> None:
    before = results([Cell("hello", OURS, runs(10.0, 11.0)), Cell("file", "granian", reason="it has none")])
    before.save(tmp_path / "new" / "results.json")
    assert Results.load(tmp_path / "new" / "results.json") == before


def test_rounds_of_results_that_do_not_number_them_are_numbered_in_order(tmp_path: Path) -> None:
    results([Cell("hello", OURS, runs(10.0, 11.0))]).save(tmp_path / "results.json")
    data = json.loads((tmp_path / "results.json").read_text())
    for run in data["cells"][0]["runs"]:
        del run["round"]
    (tmp_path / "results.json").write_text(json.dumps(data))
    assert [run.round for run in Results.load(tmp_path / "results.json").cells[0].runs] == [1, 2]


# Rounds


def plan(*scenarios: str, servers: Iterable[str] = (OURS, "bjoern"), **more: Any) -> rounds.Plan:
    options: dict[str, Any] = {"rounds": 10, "renew": 4, "seconds": 1, "warm_up": 1}
    return rounds.Plan(
        scenarios=[BY_NAME[name] for name in scenarios],
        servers=[server for server in SERVERS if server.name in servers],
        server_core="0",
        load_core="1",
        output=Path(),
        arguments=[],
        **options | more,
    )


def test_servers_are_started_anew_after_some_rounds() -> None:
    assert [list(life) for life in plan("hello").lives_of(BY_NAME["hello"])] == [[1, 2, 3, 4], [5, 6, 7, 8], [9, 10]]


def test_memory_needs_few_rounds() -> None:
    assert plan("memory").rounds_of(BY_NAME["memory"]) == rounds.STEADY_ROUNDS
    assert plan("memory", rounds=2).steps == 4


def test_wsgiserver_is_measured_beside_itself_where_a_scenario_says_so() -> None:
    assert [server.name for server in plan("hello").servers_of(BY_NAME["hello"])] == [OURS, "bjoern", ONE_THREAD]
    assert [server.name for server in plan("big").servers_of(BY_NAME["big"])] == [OURS, "bjoern"]
    assert [server.name for server in plan("hello", servers=["bjoern"]).servers_of(BY_NAME["hello"])] == ["bjoern"]


def test_what_wsgiserver_is_set_to_beside_itself_is_what_its_name_says() -> None:
    launch = Launch(application="a:b", port=1, access_log=True)
    assert "--threads=1" in VARIANTS[ONE_THREAD].arguments(launch)
    assert "--no-access-log" in VARIANTS[NO_LOG].arguments(launch)
    assert "--no-access-log" not in SERVERS[0].arguments(launch)


@pytest.mark.parametrize("name", ["sleep", "sometimes"])
def test_where_applications_sleep_all_servers_that_have_threads_have_as_many(name: str) -> None:
    launch = launch_for(BY_NAME[name])
    given = {server.name: " ".join(server.arguments(launch)) for server in SERVERS}
    assert {name for name, words in given.items() if "64" in words} == {server.name for server in SERVERS}


# Goals


def verdicts(*cells: Cell) -> list[goals.Verdict]:
    return goals.verdicts(results(cells))


def test_a_goal_is_judged_only_when_all_that_it_needs_was_measured() -> None:
    [verdict] = verdicts(Cell("hello", OURS, runs(12.0)), Cell("hello", "bjoern", runs(10.0)))
    assert verdict.met
    assert str(verdict) == "hello: 1.20 \N{MULTIPLICATION SIGN} bjoern (1.20 to 1.20; goal: at most 1.25)"


def test_a_verdict_is_open_where_the_limit_lies_in_the_interval() -> None:
    ours = Cell("hello", OURS, runs(12.0, 12.0, 12.0))
    [open_verdict] = verdicts(ours, Cell("hello", "bjoern", runs(10.0, 11.0, 9.0)))
    [sure_verdict] = verdicts(ours, Cell("hello", "bjoern", runs(10.0, 11.0, 10.0)))
    assert (open_verdict.word, sure_verdict.word) == ("met?", "met")


def test_the_access_log_is_judged_by_what_it_adds_in_the_same_rounds() -> None:
    [verdict] = verdicts(Cell("access-log", OURS, runs(16.5, 26.0)), Cell("access-log", NO_LOG, runs(12.0, 21.5)))
    assert (verdict.reached.value, verdict.met) == (4.5, False)


def test_where_bjoern_cannot_granian_is_the_measure() -> None:
    ours, granian = Cell("file", OURS, runs(12.0)), Cell("file", "granian", runs(24.0))
    bjoern = Cell("file", "bjoern", runs(6.0))
    assert [verdict.peer for verdict in verdicts(ours, granian)] == ["granian"]
    assert [verdict.peer for verdict in verdicts(ours, granian, bjoern)] == ["bjoern"]


def test_some_goals_are_for_the_least_and_some_for_the_times_that_wrk_tells() -> None:
    ours = Cell("compute", OURS, [Run(value=50_000, rate=50_000, p99=12.0, round=1)])
    found = verdicts(ours, Cell("compute", "granian", [Run(value=5_000, rate=5_000, round=1)]))
    assert [(verdict.goal.of, verdict.reached.value, verdict.met) for verdict in found] == [
        ("value", 10.0, True),
        ("p99", 12.0, False),
    ]


def test_every_goal_names_a_scenario_and_servers_that_exist() -> None:
    servers = {server.name for server in SERVERS}
    for goal in (*goals.GOALS, *goals.BETTER_GOALS):
        assert goal.scenario in BY_NAME
        assert servers.issuperset(goal.peers)
        assert not goal.variant or goal.variant in BY_NAME[goal.scenario].variants


def test_every_scenario_has_a_goal() -> None:
    assert {goal.scenario for goal in goals.GOALS} == set(BY_NAME)


# For people


def test_numbers_have_three_significant_figures() -> None:
    assert [table.number(value) for value in (0.0, 1.234, 12.34, 1234.5)] == ["0", "1.23", "12.3", "1,234"]


def test_a_row_tells_the_figure_the_ratio_and_the_rate_and_marks_doubts() -> None:
    measured = results(
        [
            Cell("hello", OURS, runs(12.0, 12.0, 12.0)),
            Cell("hello", "bjoern", runs(10.0)),
            Cell("hello", "granian", reason="it is not installed"),
        ]
    )
    [(_, (ours, bjoern, granian))] = table.rows(measured)
    assert ours == ["12.0 µs", "83,333/s"]
    assert bjoern == ["10.0 µs?", "\N{MULTIPLICATION SIGN} 1.20", "100,000/s"]
    assert granian == ["-"]
    assert doubting.notes(measured) == ["hello, bjoern: only 1 round"]
    assert table.reason_notes(measured) == ["hello, granian: it is not installed"]


def test_the_columns_of_the_table_are_aligned() -> None:
    measured = results([Cell("hello", OURS, runs(12.0)), Cell("hello", "bjoern", runs(10.0))])
    head, rule, *lines = table.text(measured).splitlines()
    assert head.endswith("bjoern")
    assert len(lines) == 3
    assert all(len(line) <= len(rule) for line in [head, *lines])


def test_a_row_of_the_markdown_table_has_a_field_for_each_server() -> None:
    measured = results([Cell("hello", OURS, runs(12.0)), Cell("hello", "bjoern", runs(10.0))])
    assert [line.count("|") for line in table.markdown(measured).splitlines()] == [4, 4, 4]


def test_what_another_setting_makes_of_wsgiserver_is_told_as_a_ratio_and_as_a_difference() -> None:
    cells = [Cell("hello", OURS, runs(12.0, 12.0, 12.0)), Cell("hello", ONE_THREAD, runs(9.0, 9.0, 9.0))]
    [row] = table.variant_rows(results(cells))
    assert row[2:] == ["9.00 µs", "\N{MULTIPLICATION SIGN} 0.75 (0.75 to 0.75)", "-3.00 µs (-3.00 to -3.00)"]


def test_the_measured_part_replaces_what_was_between_the_marks_and_nothing_else() -> None:
    page = f"# Performance\n\nWhy.\n\n{report.BEGIN}\nold\n{report.END}\n\nHow.\n"
    once = report.replace_measured(page, "new")
    assert "old" not in once
    assert once.startswith("# Performance\n\nWhy.\n")
    assert once.endswith("\n\nHow.\n")
    assert report.replace_measured(once, "new") == once
    assert report.replace_measured("# Page\n", "new").endswith(f"new\n\n{report.END}\n")


def test_progress_tells_how_far_it_is_and_how_long_it_still_takes() -> None:
    text = progress.line(3, 6, "hello", 125)
    assert text == "[############............] 3/6 · hello · 2 min left"


def test_progress_that_is_no_terminal_has_a_line_for_each_step_and_none_between() -> None:
    stream = io.StringIO()
    bar = progress.Progress(6, stream)
    bar.step("hello", 3)
    bar.note("starting")
    bar.step("big")
    assert [line.split("]")[1].split(" · ")[:2] for line in stream.getvalue().splitlines()] == [
        [" 0/6", "hello"],
        [" 3/6", "big"],
    ]


# One request taken apart

BEGINNING = "_main (wsgiserver/__main__.py:8);Loop.turn (wsgiserver/loop.py:120)"
STACKS = f"""\
{BEGINNING};Loop._write (wsgiserver/loop.py:211);sock_send (socketmodule.c:4359);send (libc.so.6) 30
{BEGINNING};Loop._read (wsgiserver/loop.py:143);epoll_wait (libc.so.6) 50
{BEGINNING};run (wsgiserver/gateway.py:21);hello (bench/applications.py:40) 6
{BEGINNING};run (wsgiserver/gateway.py:21);full_dispatch_request (flask/app.py:9);dict_get (libpython3.13.so.1.0) 3
{BEGINNING};run (wsgiserver/gateway.py:21);hello (bench/applications.py:40);start_response (wsgiserver/exchange.py:2) 10
{BEGINNING};Baton.call (wsgiserver/baton.py:9);set (threading.py:9) 10
{BEGINNING};Reader.read (wsgiserver/http11.py:9);memcpy (libc.so.6) 1
{BEGINNING};Loop._write (wsgiserver/loop.py:211);sock_send (socketmodule.c:4359);pthread_cond_signal (libc.so.6) 5
{BEGINNING};Loop._write (wsgiserver/loop.py:211);0x7efd6c8abcae (libc.so.6);0x7efd6c8a4193 (libc.so.6) 2
Thread.run (threading.py:992);Baton._watch (wsgiserver/baton.py:329);clock_nanosleep (libc.so.6) 400
"""


def test_a_stack_belongs_to_the_innermost_module_of_wsgiserver_to_the_application_or_to_the_kernel() -> None:
    found = stacks.shares(STACKS, kernel=0.9)
    parts = {name: round(share * found.samples) for name, share in found.parts.items()}
    assert parts == {
        "the kernel: wait": 50,
        "the kernel: send": 30,
        "exchange": 10,
        "baton": 10,
        "the application": 9,
        "the rest": 1,
    }
    assert sum(found.parts.values()) == pytest.approx(1)


def test_threads_that_ask_for_the_gil_when_py_spy_has_stopped_them_are_left_out() -> None:
    assert stacks.shares(STACKS, kernel=0.9).stopped == 7


def test_no_more_waits_are_counted_than_the_kernel_has_worked_on() -> None:
    found = stacks.shares(STACKS, kernel=40 / 70)  # 30 samples outside of the kernel, so 40 inside, of which 30 sent
    assert (found.asleep, round(found.parts["the kernel: wait"] * found.samples)) == (40, 10)
    assert stacks.shares(STACKS, kernel=0.1).parts.get("the kernel: wait") is None


def test_without_samples_there_are_no_shares() -> None:
    assert stacks.shares("", kernel=0.5) == stacks.Shares({}, 0, 0, 0)


TRACE = """\
8 epoll_wait(6, [{events=EPOLLIN}], 16, 999) = 1
8 recvfrom(8, "GET / HTTP/1.1\\r\\nHost: 127.0.0.1:"..., 16384, 0, NULL, NULL) = 40
8 sendto(8, "HTTP/1.1 200 OK\\r\\n"..., 136, 0, NULL, 0) = 136
8 epoll_wait(6,  <unfinished ...>
9 clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, {tv_sec=4034},  <unfinished ...>
8 <... epoll_wait resumed>[{events=EPOLLIN}], 16, 998) = 1
9 <... clock_nanosleep resumed>NULL)   = 0
8 recvfrom(8, "GET"..., 16384, 0, NULL, NULL) = 40
8 futex(0x7fc258000b70, FUTEX_WAKE_PRIVATE, 1) = 1
8 sendto(8, "HTTP"..., 136, 0, NULL, 0) = 136
8 epoll_wait(6, [{events=EPOLLIN}], 16, 998) = 1
8 recvfrom(8, "GET"..., 16384, 0, NULL, NULL) = 40
8 sendto(8, "HTTP"..., 136, 0, NULL, 0)  = 136
8 epoll_wait(6, [], 16, 900)             = 0
8 epoll_wait(6,  <detached ...>
"""


def test_the_calls_of_one_request_are_those_from_a_wait_to_the_next_as_most_often() -> None:
    trace = syscalls.read(TRACE)
    assert [line.partition("(")[0] for line in trace.one_request()] == ["epoll_wait", "recvfrom", "sendto"]
    assert trace.one_request()[2] == 'sendto(8, "HTTP/1.1 200 OK\\r\\n"..., 136, 0, NULL, 0) = 136'


def test_calls_are_counted_for_each_request_and_those_of_other_threads_apart() -> None:
    trace = syscalls.read(TRACE)
    assert trace.each(3) == {"epoll_wait": 4 / 3, "recvfrom": 1, "sendto": 1, "futex": 1 / 3}
    assert trace.others == 1
    assert trace.calls[3].text == "epoll_wait(6, [{events=EPOLLIN}], 16, 998) = 1"


def test_a_trace_of_a_server_that_received_nothing_has_no_calls() -> None:
    assert syscalls.read("9 futex(0x7fc258000b70) = 0\n") == syscalls.Trace([], 1)
    assert syscalls.Trace([], 0).one_request() == []


def request_apart(**more: Any) -> anatomy.Anatomy:
    given: dict[str, Any] = {
        "command": "python -m tests.bench profile",
        "started": "2030-01-02T03:04:05+00:00",
        "scenario": "browser",
        "versions": {"Python": "3.13.0", "py-spy": "0.4"},
        "time": 20.0,
        "kernel": 0.5,
        "threads": 0.1,
        "samples": 1000,
        "stopped": 20,
        "asleep": 0,
        "rate": 100,
        "parts": {"the kernel: send": 0.55, "loop": 0.25, "the application": 0.2},
        "request": ["epoll_wait(6) = 1", "recvfrom(8) = 40", "sendto(8) = 136"],
        "one": {"epoll_wait": 1.0, "recvfrom": 1.0, "sendto": 1.0},
        "many": {"epoll_wait": 0.0625, "recvfrom": 1.0, "sendto": 1.0},
        "others": 0.1,
    }
    return anatomy.Anatomy(**given | more)


def test_a_request_taken_apart_is_the_same_after_it_was_saved_and_loaded(tmp_path: Path) -> None:
    request_apart().save(tmp_path / "new" / "profile.json")
    assert anatomy.Anatomy.load(tmp_path / "new" / "profile.json") == request_apart()


def test_the_parts_of_a_request_add_up_to_its_time_with_the_threads_that_do_not_serve() -> None:
    lines = report.anatomy_lines(request_apart())
    assert lines[:5] == [
        "browser: 20.0 µs of CPU time a request, 50% in the kernel",
        "  the kernel: send      9.90 µs    50%",
        "  loop                  4.50 µs    22%",
        "  the application       3.60 µs    18%",
        "  the other threads     2.00 µs    10%",
    ]


def test_only_what_a_client_here_can_ask_can_be_taken_apart() -> None:
    able = {scenario.name for scenario in SCENARIOS if anatomy.can(scenario)}
    assert {"hello", "browser", "flask"} <= able
    assert not able & {"varied", "echo", "close", "sleep", "memory"}


def test_without_py_spy_or_strace_one_line_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, how in anatomy.MISSING.items():
        monkeypatch.setattr(anatomy, "tool", lambda tool, missing=name: "" if tool == missing else tool)
        assert anatomy.missing() == how


# The page


def write_page(folder: Path, measured: Results, taken: anatomy.Anatomy | None) -> str:
    pytest.importorskip("matplotlib")
    written = report.write(measured, taken, folder / "page.md", "python -m tests.bench report")
    assert all(path.exists() for path in written)
    return (folder / "page.md").read_text()


def test_the_page_has_the_figures_the_doubts_the_goals_a_request_and_the_commands(tmp_path: Path) -> None:
    cells = [Cell("hello", OURS, runs(12.0)), Cell("hello", "bjoern", runs(10.0)), Cell("sleep", OURS, runs(6000.0))]
    text = write_page(tmp_path, results(cells), request_apart())
    for words in (
        "- hello: only 1 round",
        "| `hello` | \N{MULTIPLICATION SIGN} bjoern | at most 1.25 | 1.20 | 1.20 to 1.20 | met |",
        "| [`loop`](../../wsgiserver/loop.py) | 4.50 µs | 22% |",
        "epoll_wait(6) = 1\nrecvfrom(8) = 40\nsendto(8) = 136\n",
        "| `epoll_wait` | 1.00 | 0.06 |",
        "python -m tests.bench\npython -m tests.bench profile\npython -m tests.bench report\n",
        "python -m wsgiserver bench.applications:hello --bind 127.0.0.1:8000",
        "--connections=64 --duration=4s",
    ):
        assert words in text
    assert "Not to be trusted**" not in text
    for image in ("ratios", "cpu", "rate", "request"):
        assert f"](page/{image}.svg)" in text


def test_the_page_tells_how_servers_are_started_where_a_scenario_needs_more_than_hello(tmp_path: Path) -> None:
    scenarios = ("hello", "flask", "sleep", "access-log", "compute")
    cells = [Cell(scenario, OURS, runs(12.0)) for scenario in scenarios]
    cells += [Cell(scenario, "waitress", runs(100.0)) for scenario in ("hello", "start")]
    text = write_page(tmp_path, results(cells), None)
    ours, bind = "python -m wsgiserver bench.applications", "--bind 127.0.0.1:8000"
    for scenario, start in {
        "sleep": f"taskset --cpu-list 0 {ours}:sleep {bind} --no-access-log --quiet --threads=64",
        "access-log": f"taskset --cpu-list 0 {ours}:hello {bind}",
        "compute": f"taskset --cpu-list 0,1 {ours}:compute {bind} --no-access-log --quiet",
        "start": "taskset --cpu-list 0 python -m waitress --listen=127.0.0.1:8000 bench.applications:hello",
    }.items():
        assert f"For `{scenario}`:\n\n```shell\n{start}\n```" in text
    assert "For `flask`:" not in text


def test_the_page_is_the_same_when_it_is_written_again_and_keeps_what_people_wrote(tmp_path: Path) -> None:
    cells = [Cell("hello", OURS, runs(12.0))]
    once = write_page(tmp_path, results(cells), None).replace("# Performance\n", "# Performance\n\nBy hand.\n")
    (tmp_path / "page.md").write_text(once)
    assert write_page(tmp_path, results(cells), None) == once
    assert once.count("Not measured.") == 2


def test_a_profile_whose_share_of_the_kernel_is_not_the_kernels_own_is_not_to_be_trusted(tmp_path: Path) -> None:
    assert "**Not to be trusted**" in write_page(
        tmp_path, results([Cell("hello", OURS, runs(12.0))]), request_apart(kernel=0.7)
    )


# The command


def test_scenarios_are_chosen_by_name_and_an_unknown_one_is_named() -> None:
    assert [scenario.name for scenario in command.choose("big,hello", BY_NAME)] == ["hello", "big"]
    assert command.choose(None, BY_NAME) == list(SCENARIOS)
    with pytest.raises(SystemExit, match="unknown: nonesuch; known are hello"):
        command.choose("hello,nonesuch", BY_NAME)


# It does ask once: a server that is asked nothing may use no CPU time at all, and then there is nothing to measure.
FAKE_WRK = f"""\
#!{sys.executable}
import http.client, signal, sys, time

client = http.client.HTTPConnection(next(word for word in sys.argv if word.startswith("http://")).split("/")[2])
client.request("GET", "/")
client.getresponse().read()
client.close()

def end(*_):
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    print({TROUBLED!r})
    sys.exit()

signal.signal(signal.SIGINT, end)
time.sleep(float(next(word for word in sys.argv if word.startswith("--duration="))[11:-1]))
end()
"""

# On a busy machine the benchmark may interrupt it before it is ready; what is ignored from the start is sent again.
DEAF = ["sh", "-c", 'trap "" INT; exec "$@"', "sh"]


@LINUX
@pytest.mark.skipif(not shutil.which("taskset"), reason="the benchmark needs taskset")
def test_a_run_with_a_wrk_that_reports_errors_ends_with_a_table_doubts_goals_and_json(tmp_path: Path) -> None:
    cores = sorted(map(str, os.sched_getaffinity(0)))
    (tmp_path / "wrk").write_text(FAKE_WRK)
    (tmp_path / "wrk").chmod(0o755)
    words = ["--scenarios", "hello,sleep,memory", "--servers", OURS, "--rounds", "2", "--renew", "1", "--warm-up", "0"]
    words += ["--server-core", cores[0], "--load-core", cores[-1], "--output", str(tmp_path / "results.json")]
    done = subprocess.run(
        [*DEAF, sys.executable, "-m", "tests.bench", *words],
        cwd=Path(__file__).parent.parent,
        env=os.environ | {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "6/8 · memory · round 1 of 2" in done.stderr
    for line in ("34 answers had an error status", "only 2 rounds", "requests a second", "MB (", "--threads 1, "):
        assert line in done.stdout
    loaded = Results.load(tmp_path / "results.json")
    assert [len(cell.runs) for cell in loaded.cells] == [2, 2, 2, 2]
    assert all(run.value > 0 and run.elsewhere >= 0 for cell in loaded.cells for run in cell.runs)


def test_a_wrk_that_fails_gives_its_own_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "wrk").write_text("#!/bin/sh\necho no such host\nexit 1\n")
    (tmp_path / "wrk").chmod(0o755)
    monkeypatch.setattr(wrk, "command", lambda *_: [str(tmp_path / "wrk")])
    with pytest.raises(wrk.LoadError, match="no such host"):
        wrk.run(BY_NAME["hello"], "http://127.0.0.1:1/", 1, "0")


def test_without_wrk_one_line_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert command.main(["--scenarios", "hello"]) == 2
    assert capsys.readouterr().err == f"{wrk.MISSING}\n"


def test_a_report_of_results_that_are_not_there_says_what_to_run(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert command.main(["report", str(tmp_path / "none.json")]) == 2
    assert "run python -m tests.bench first" in capsys.readouterr().err


# Scenarios, servers, applications


def test_every_server_is_told_the_application_and_the_port() -> None:
    for server in SERVERS:
        words = " ".join(server.arguments(Launch(application="a:b", port=12345, threads=64)))
        assert "a:b" in words
        assert "12345" in words


def test_every_scenario_names_an_application_and_the_body_that_it_answers() -> None:
    for scenario in SCENARIOS:
        assert scenario.application in {*vars(applications), *applications._FRAMEWORKS}
        assert scenario.body
