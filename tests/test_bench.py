"""The benchmark's pure parts: what it reads from wrk and from /proc, its statistics, its doubts, its table."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest
from bench import __main__ as command
from bench import applications, goals, procfs, progress, report, table, wrk
from bench.results import Cell, Results, Run, doubts, median, ratio, spread
from bench.scenarios import SCENARIOS
from bench.servers import OURS, SERVERS, Launch

BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}

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
    return [Run(value=value, rate=1e6 / value, **more) for value in values]  # type: ignore[arg-type]


def results(cells: Iterable[Cell]) -> Results:
    found = list(cells)
    return Results(
        command="python -m tests.bench",
        started="2030-01-02T03:04:05+00:00",
        settings={"rounds": 3, "seconds": 4, "warm_up": 1, "server_core": "0", "load_core": "1"},
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
    assert procfs.parse_stat(text) == procfs.ProcessStat(pid=8966, parent=77, ticks=39 + 117 + 5 + 6)


def test_a_process_tree_holds_children_and_their_children_and_no_other() -> None:
    parents = {10: 1, 11: 10, 12: 11, 13: 10, 20: 1}
    processes = {pid: procfs.ProcessStat(pid, parent, 1) for pid, parent in parents.items()}
    assert sorted(process.pid for process in procfs.descend(10, processes)) == [10, 11, 12, 13]
    assert procfs.descend(99, processes) == []


def test_time_in_processes_and_time_stolen_are_read_for_all_cores() -> None:
    cores = procfs.parse_cores(["cpu  100 10 40 9000 5 3 2 70 0 0", "cpu0 1 1 1 1 1 1 1 1 0 0"])
    assert cores == procfs.CoresStat(150 / procfs.TICKS, 70 / procfs.TICKS)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_this_process_has_used_cpu_time_and_memory() -> None:
    assert procfs.cpu_seconds(os.getpid()) > 0
    assert procfs.resident(os.getpid()) > 1e6
    assert procfs.cores().busy > 0


# Statistics and doubts


def test_the_figure_of_a_cell_is_the_median_of_its_rounds_and_the_spread_is_relative_to_it() -> None:
    assert median([12, 10, 11]) == 11
    assert spread([9, 10, 11]) == pytest.approx(0.2)
    assert (median([]), spread([])) == (0, 0)


def test_three_calm_rounds_leave_no_doubt() -> None:
    assert doubts(Cell("hello", OURS, runs(10.0, 10.5, 11.0))) == []


@pytest.mark.parametrize(
    ("cell", "doubt"),
    [
        (Cell("hello", OURS, runs(10.0)), "only 1 round"),
        (Cell("hello", OURS, runs(10.0, 10.0, 12.0)), "the rounds lie 20% apart"),
        (Cell("hello", OURS, runs(10.0, 10.0, 10.0, elsewhere=0.3)), "other processes used 30% of a core"),
        (Cell("hello", OURS, runs(10.0, 10.0, 10.0, stolen=0.1)), "the host took 10% of a core"),
        (Cell("hello", OURS, runs(10.0, 10.0, 10.0, generator=0.99)), "wrk was at its own limit"),
        (Cell("hello", OURS, runs(10.0, 10.0, 10.0, socket_errors=1)), "3 connections or answers were lost"),
        (Cell("hello", OURS, runs(10.0, 10.0, 10.0, status_errors=2)), "6 answers had an error status"),
        (Cell("hello", OURS, runs(10.0, 10.0, 10.0), "it did not answer"), "not every round was run"),
        (Cell("hello", OURS, [Run(value=1.0, remark="the log lacks lines")] * 3), "the log lacks lines"),
    ],
)
def test_a_figure_that_is_not_to_be_trusted_says_why(cell: Cell, doubt: str) -> None:
    [found] = doubts(cell)
    assert found.startswith(doubt)


def test_the_ratio_is_ours_to_theirs_and_none_where_one_is_missing() -> None:
    ours, theirs = Cell("hello", OURS, runs(12.0)), Cell("hello", "bjoern", runs(10.0))
    assert ratio(ours, theirs) == pytest.approx(1.2)
    assert ratio(ours, Cell("hello", "bjoern", reason="it is not installed")) is None
    assert ratio(None, theirs) is None


def test_results_are_the_same_after_they_were_saved_and_loaded(tmp_path: Path) -> None:
    before = results([Cell("hello", OURS, runs(10.0, 11.0)), Cell("file", "granian", reason="it has none")])
    before.save(tmp_path / "new" / "results.json")
    assert Results.load(tmp_path / "new" / "results.json") == before


# Goals


def test_a_goal_is_judged_only_when_all_that_it_needs_was_measured() -> None:
    measured = results([Cell("hello", OURS, runs(12.0)), Cell("hello", "bjoern", runs(10.0))])
    [verdict] = goals.verdicts(measured)
    assert verdict.met
    assert str(verdict) == "hello: 1.20 \N{MULTIPLICATION SIGN} bjoern (goal: at most 1.25)"


def test_the_access_log_is_judged_by_what_it_adds_to_hello() -> None:
    measured = results([Cell("hello", OURS, runs(12.0)), Cell("access-log", OURS, runs(16.5))])
    [verdict] = goals.verdicts(measured)
    assert (verdict.reached, verdict.met) == (4.5, False)


def test_every_goal_names_a_scenario_and_a_server_that_exist() -> None:
    servers = {server.name for server in SERVERS}
    assert all(goal.scenario in BY_NAME and goal.peer in servers | {""} for goal in goals.GOALS)


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
    assert table.doubt_notes(measured) == ["hello, bjoern: only 1 round"]
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


# The command


def test_scenarios_are_chosen_by_name_and_an_unknown_one_is_named() -> None:
    assert [scenario.name for scenario in command.choose("big,hello", BY_NAME)] == ["hello", "big"]
    assert command.choose(None, BY_NAME) == list(SCENARIOS)
    with pytest.raises(SystemExit, match="unknown: nonesuch; known are hello"):
        command.choose("hello,nonesuch", BY_NAME)


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
