"""The command: what it understands, what it answers to bad input, and that it serves."""

import contextlib
import http.client
import io
import os
import re
import signal
import socket
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import ANY
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsgiserver.cli import _FLAGS, _usage_error, banner, coloured, command, complete, config, main, parse, parse_plainly
from wsgiserver.settings import BY_NAME, OPTIONS, Settings, from_table, resolve
from wsgiserver.version import __version__

COMMAND = [sys.executable, "-m", "wsgiserver"]
HELLO = """
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello from " + environ["PATH_INFO"].encode()]
"""


@pytest.fixture(autouse=True)
def _nobody_else_speaks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in an empty folder, without the variables of whoever runs the tests."""
    monkeypatch.chdir(tmp_path)
    for name in [*os.environ]:
        if name.startswith("WSGISERVER_") or name in ("NO_COLOR", "FORCE_COLOR", "PY_COLORS", "GITHUB_ACTIONS"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("TERM", "xterm")


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    return subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=60, check=False)


# The command line


def test_nothing_typed_is_nothing_given() -> None:
    assert parse([]) == {}


def test_what_was_typed_is_given_as_it_was() -> None:
    typed = ["hello:app", "--threads", "4", "--limit-line=1 KiB", "--no-access-log", "-q"]
    assert parse(typed) == {
        "app": "hello:app",
        "threads": "4",
        "limit_line": "1 KiB",
        "access_log": False,
        "quiet": True,
    }


def test_bind_may_be_repeated() -> None:
    assert parse(["-b", ":1", "--bind", "[::1]:2", "-bunix:x"]) == {"bind": [":1", "[::1]:2", "unix:x"]}


WORDS = [
    *_FLAGS,
    "--bind=:1",
    "--threads=",
    "--quiet=yes",
    "-b:1",
    "-qb",
    "--help",
    "-h",
    "--",
    "-",
    "--thread",
    "a:b",
    "4",
]


@given(st.lists(st.sampled_from(WORDS) | st.text(max_size=4), max_size=5))
def test_a_plain_command_line_is_read_as_typer_reads_it(typed: list[str]) -> None:
    plain = parse_plainly(typed)
    if plain is not None:
        assert plain == command().main(typed, prog_name="wsgiserver", standalone_mode=False)


@pytest.mark.parametrize(
    "typed", [[], ["a:b"], ["a:b", "-b", ":1", "--bind=:2", "--threads", "4", "-q", "--no-strict"]]
)
def test_what_people_type_every_day_is_plain(typed: list[str]) -> None:
    assert parse_plainly(typed) is not None


@pytest.mark.parametrize("option", [option for option in OPTIONS if option.name != "app"], ids=lambda each: each.name)
def test_each_setting_has_its_option(option: Any) -> None:
    if isinstance(option.default, bool):
        assert parse([option.flag]) == {option.name: True}
        assert parse([f"--no-{option.key}"]) == {option.name: False}
    else:
        expected = ["x"] if option.name == "bind" else "x"
        assert parse([option.flag, "x"]) == {option.name: expected}


@pytest.mark.parametrize(
    "typed", [["--nonsense"], ["-x"], ["one", "two"], ["--threads"], ["--quiet=yes"], ["one", "two", "--threads", "4"]]
)
def test_a_wrong_command_line_is_a_usage_error(typed: list[str]) -> None:
    with pytest.raises(_usage_error()):
        parse(typed)


def test_the_help_shows_each_option_in_its_group_with_default_and_unit(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    assert main(["--help"]) == 0
    page = capsys.readouterr().out
    for option in OPTIONS:
        assert re.search(rf"(?<![\w-]){option.flag}(?![\w-])", page)
        assert option.group in page
        assert option.help in page
    for default in ("127.0.0.1:8000", "16 KiB", "1 GiB", "10 s", "1 MiB", "600"):
        assert f"[default: {default}]" in page
    assert len(page.splitlines()) < 70


def test_help_explains_the_other_places_of_a_setting(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    page = capsys.readouterr().out
    assert "WSGISERVER_THREADS" in page
    assert "pyproject.toml" in page


def test_the_version_is_printed_whatever_the_settings_are(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WSGISERVER_THREADS", "nonsense")
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith(f"wsgiserver {__version__} ")


# The configuration


def test_print_config_shows_each_value_and_its_source(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.wsgiserver]\nthreads = 1\nbacklog = 7\n", encoding="utf-8")
    monkeypatch.setenv("WSGISERVER_THREADS", "2")
    monkeypatch.setenv("WSGISERVER_TIMEOUT_HEAD", "1.5")
    assert main(["--print-config", "--threads", "3", "hello:app"]) == 0
    rows = [row.split("  # ") for row in capsys.readouterr().out.splitlines()[1:]]
    shown = {value.strip(): source for value, source in rows}
    assert len(shown) == len(OPTIONS)
    assert shown['app = "hello:app"'] == "APP"
    assert shown["threads = 3"] == "--threads"
    assert shown['timeout-head = "1.5 s"'] == "WSGISERVER_TIMEOUT_HEAD"
    assert shown["backlog = 7"] == "pyproject.toml, [tool.wsgiserver]"
    assert shown['limit-line = "16 KiB"'] == "default"


def test_what_print_config_shows_means_the_same_in_the_file() -> None:
    given = {
        "app": 'a\\b"c\n\x7f \U0001f40d:app',
        "bind": ["[::1]:8", "unix:a b"],
        "unix_mode": "660",
        "quiet": True,
        "timeout_stop": "0.25",
        "limit_body": "3",
    }
    resolved = resolve(given, {})
    table = tomllib.loads(config(resolved))["tool"]["wsgiserver"]
    assert Settings(**{name: value for name, (value, _) in from_table(table).items()}) == resolved.settings


# Completion


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder with two modules, a package and other things, all of which fail when they are imported."""
    for name in ("hello.py", "help.py", "notes.txt", "apps/__init__.py", "apps/echo.py", "apps/deep/far.py", ".x/y.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("raise SystemExit", encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize(
    ("typed", "names"),
    [
        ("", ["apps.echo", "hello", "help"]),
        ("hel", ["hello", "help"]),
        ("apps.", ["apps.deep.far", "apps.echo"]),
        ("apps.e", ["apps.echo"]),
        ("apps.deep.", ["apps.deep.far"]),
        ("./h", ["./hello.py", "./help.py"]),
        ("apps/", ["apps/deep/", "apps/echo.py"]),
        ("nowhere/", []),
        ("nowhere.x", []),
        ("hello:", []),
    ],
)
@pytest.mark.usefixtures("site")
def test_app_is_completed_from_the_files_there_are(typed: str, names: list[str]) -> None:
    assert complete(typed) == names


def test_app_is_completed_from_the_root_too() -> None:
    assert all(name.startswith("/") and not name.startswith("//") for name in complete("/"))


@pytest.mark.usefixtures("site")
@pytest.mark.parametrize(
    ("words", "answer"),
    [
        ("wsgiserver hel", ["hello", "help"]),
        ("wsgiserver --thr", ["--threads"]),
        ("wsgiserver -q --threads 2 apps.e", ["apps.echo"]),
    ],
)
def test_the_shell_is_answered_and_nothing_imported(
    words: str, answer: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("_WSGISERVER_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(len(words.split()) - 1))
    assert run().stdout.split() == answer


# What it says


def test_the_banner_says_what_is_served_where_and_how_to_stop_it() -> None:
    assert banner("hello:app", ["http://127.0.0.1:8000", "unix:/run/x"], 16, colour=False) == (
        f"wsgiserver {__version__} serves hello:app at\n"
        "  http://127.0.0.1:8000\n"
        "  unix:/run/x\n"
        f"with 16 threads in process {os.getpid()}; Ctrl+C stops it"
    )


def test_one_thread_is_no_plural() -> None:
    assert "with 1 thread in process" in banner("x", ["y"], 1, colour=False)


def test_the_banner_in_colour_has_the_same_words() -> None:
    shown = banner("hello:app", ["http://127.0.0.1:8000"], 16, colour=True)
    assert re.sub(r"\x1b\[[0-9;]*m", "", shown) == banner("hello:app", ["http://127.0.0.1:8000"], 16, colour=False)
    assert "\x1b[" in shown


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_colour_is_for_terminals_only() -> None:
    assert coloured(Terminal(), {"TERM": "xterm"})
    assert not coloured(io.StringIO(), {"TERM": "xterm"})


def test_a_closed_stream_is_no_terminal() -> None:
    stream = io.StringIO()
    stream.close()
    assert not coloured(stream, {"TERM": "xterm"})


def test_what_can_only_be_written_to_is_no_terminal() -> None:
    stream: Any = SimpleNamespace(write=print, flush=print)
    assert not coloured(stream, {"TERM": "xterm"})


@pytest.mark.parametrize(("variable", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_colour_can_be_refused(variable: str, value: str) -> None:
    assert not coloured(Terminal(), {variable: value})


def test_an_empty_no_color_refuses_nothing() -> None:
    """As no-color.org says: when present and not an empty string."""
    assert coloured(Terminal(), {"NO_COLOR": ""})


# Bad input: one clear line on standard error, status 2


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Run the command in this process; give what it says, which must be one line and nothing else."""
    assert main(arguments) == 2
    out, line = capsys.readouterr()
    assert out == ""
    assert line.startswith("wsgiserver: ")
    assert line.count("\n") == 1
    return line.removeprefix("wsgiserver: ").rstrip("\n")


def test_an_unknown_option_is_refused_with_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    line = refused(capsys, "--thread", "4")
    assert line == "no such option '--thread'; did you mean --threads?"


@pytest.mark.parametrize("option", ["--reload", "-x", "--help-me-now", "--log-level=debug", "--a\nb"])
def test_an_unknown_option_unlike_any_is_sent_to_the_help(capsys: pytest.CaptureFixture[str], option: str) -> None:
    name = option.partition("=")[0]
    assert refused(capsys, option) == f"no such option {name!r}; see wsgiserver --help"


@pytest.mark.parametrize("option", ["--port", "--port=8000", "--host", "-p", "-p8000"])
def test_who_looks_for_a_port_is_told_to_bind(capsys: pytest.CaptureFixture[str], option: str) -> None:
    line = refused(capsys, option, "8000")
    assert line.startswith("no such option")
    assert line.endswith("; use --bind HOST:PORT")


@pytest.mark.parametrize("option", ["--workers", "--workers=4", "-w", "-w4", "--processes"])
def test_who_looks_for_workers_is_told_of_threads(capsys: pytest.CaptureFixture[str], option: str) -> None:
    assert refused(capsys, option).endswith("; there is one process, with as many threads as --threads says")


def test_h_means_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    page = capsys.readouterr()
    assert main(["-h"]) == 0
    assert capsys.readouterr() == page
    assert "Serve a WSGI application." in page.out


@pytest.mark.parametrize("others", [[], ["--threads", "4"], ["--print-config"]])
def test_an_empty_application_is_an_error_and_no_hello_world_page(
    capsys: pytest.CaptureFixture[str], others: list[str]
) -> None:
    """As of a variable of the shell that is not set: wsgiserver "$APP"."""
    assert refused(capsys, "", *others) == (
        "APP: must not be empty (a variable that is not set?); leave it out for the Hello World page"
    )


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--threads", "0"], "--threads: must be a whole number (1 or more), not 0"),
        (["--threads", "many"], "--threads: must be a whole number (1 or more), not 'many'"),
        (
            ["--limit-body", "1 KB"],
            "--limit-body: must be a size such as 65536, 64 KiB or 1 GiB (0 B or more), not '1 KB'",
        ),
        (["--threads"], "option '--threads' requires an argument; see wsgiserver --help"),
        (["-b"], "option '-b' requires an argument; use --bind HOST:PORT"),
        (["--quiet=1"], "option '--quiet' does not take a value; see wsgiserver --help"),
    ],
    ids=["out of range", "no number", "no size", "no value", "no address", "a value"],
)
def test_a_bad_value_on_the_command_line(arguments: list[str], line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert refused(capsys, *arguments) == line


def test_too_many_arguments(capsys: pytest.CaptureFixture[str]) -> None:
    assert "unexpected extra argument" in refused(capsys, "one", "two")


def test_a_bad_value_in_the_environment(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WSGISERVER_TIMEOUT_HEAD", "soon")
    assert refused(capsys).startswith("WSGISERVER_TIMEOUT_HEAD: must be a time such as ")


def test_an_unknown_key_in_the_file(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.wsgiserver]\nthread = 4\n", encoding="utf-8")
    line = "pyproject.toml, [tool.wsgiserver] thread: no such setting; did you mean threads?"
    assert refused(capsys) == line


def test_a_folder_to_work_in_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert refused(capsys, "--chdir", "nowhere") == "--chdir: cannot work in 'nowhere': No such file or directory"


@pytest.mark.skipif(sys.platform == "win32", reason="a folder that somebody works in cannot be removed here")
def test_a_working_folder_that_was_removed_is_told_unless_another_is_named(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    code = "import os, sys; from wsgiserver.cli import main; os.rmdir(os.getcwd()); sys.exit(main())"
    command = [sys.executable, "-c", code, "--bind", "nonsense"]
    said = []
    for arguments in [], ["--chdir", str(tmp_path)]:
        gone.mkdir()
        ended = subprocess.run([*command, *arguments], capture_output=True, text=True, cwd=gone, check=False)
        assert ended.returncode == 2
        said.append(ended.stderr)
    assert said[0] == (
        "wsgiserver: cannot work in this folder: No such file or directory (was it removed?); "
        "go to another, or name one with --chdir\n"
    )
    assert said[1].startswith("wsgiserver: --bind: 'nonsense'")


def test_a_folder_in_the_file_that_is_not_there(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[tool.wsgiserver]\nchdir = "nowhere"\n', encoding="utf-8")
    assert refused(capsys).startswith("pyproject.toml, [tool.wsgiserver] chdir: cannot work in 'nowhere': ")


@pytest.mark.parametrize("setting", ["app", "bind"])
def test_what_turns_out_bad_when_it_is_used_says_where_it_stands(tmp_path: Path, setting: str) -> None:
    (tmp_path / "pyproject.toml").write_text(f'[tool.wsgiserver]\n{setting} = "nope"\n', encoding="utf-8")
    assert refused_by_command().startswith(f"pyproject.toml, [tool.wsgiserver] {setting}: ")


def refused_by_command(*arguments: str) -> str:
    """As `refused`, in a process of its own, for what imports or serves."""
    ended = run(*arguments)
    assert (ended.returncode, ended.stdout) == (2, ""), ended.stderr
    assert ended.stderr.startswith("wsgiserver: ")
    assert ended.stderr.count("\n") == 1
    return ended.stderr.removeprefix("wsgiserver: ").rstrip("\n")


def test_a_module_that_is_not_there() -> None:
    assert "there is no module 'nowhere'" in refused_by_command("nowhere:app")


def test_an_attribute_that_is_not_there_is_answered_with_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "hello.py").write_text("def application(environ, start_response): ...", encoding="utf-8")
    line = refused_by_command("hello:aplication")
    assert "has no attribute 'aplication'" in line
    assert "application" in line.replace("aplication", "")


def test_an_application_that_cannot_be_called(tmp_path: Path) -> None:
    (tmp_path / "hello.py").write_text("app = 3", encoding="utf-8")
    assert re.match("hello:app .*call", refused_by_command("hello:app"))


@pytest.mark.parametrize(
    ("module", "question", "call"),
    [
        ("gevent.monkey", "is_module_patched", "monkey.patch_all()"),
        ("eventlet.patcher", "is_monkey_patched", "eventlet.monkey_patch()"),
    ],
)
def test_an_application_that_replaces_pythons_threads_is_refused(
    tmp_path: Path, module: str, question: str, call: str
) -> None:
    """The modules are made up: they say that of what they could replace, select is replaced, or nothing is."""
    text = f"""{HELLO}
import sys, types
made = sys.modules[{module!r}] = types.ModuleType({module!r})
made.{question} = REPLACED.__contains__
"""
    name = module.partition(".")[0]
    (tmp_path / "hello.py").write_text(text.replace("REPLACED", '{"select"}'), encoding="utf-8")
    assert refused_by_command("-b", "nonsense", "hello:app") == (
        f"{name} has replaced Python's threads or sockets by its own, but this server brings threads of its own; "
        f"take {call} away"
    )
    (tmp_path / "hello.py").write_text(text.replace("REPLACED", '{"queue"}'), encoding="utf-8")
    assert "nonsense" in refused_by_command("-b", "nonsense", "hello:app")


def test_an_import_that_fails_inside_the_module_is_shown_alone(tmp_path: Path) -> None:
    """The traceback has the frames of the user's files only, and the last line says what it means."""
    (tmp_path / "hello.py").write_text("import helper\n", encoding="utf-8")
    (tmp_path / "helper.py").write_text("import not_installed_anywhere\n", encoding="utf-8")
    ended = run("hello:app")
    *traceback, line = ended.stderr.splitlines()
    assert (ended.returncode, ended.stdout) == (2, "")
    assert line.startswith("wsgiserver: hello was found, but importing it failed: ")
    files = re.findall('File "([^"]+)"', "\n".join(traceback))
    assert [Path(file).name for file in files] == ["hello.py", "helper.py"]
    assert "not_installed_anywhere" in traceback[-1]


def test_an_interrupt_while_the_application_is_imported_ends_it_quietly(tmp_path: Path) -> None:
    (tmp_path / "hello.py").write_text("raise KeyboardInterrupt", encoding="utf-8")
    ended = run("hello:app")
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "")


SERVES = {
    "lets it pass": "serve()",
    "swallows it": "try:\n    serve()\nexcept KeyboardInterrupt:\n    pass",
    "exits": "try:\n    serve()\nexcept KeyboardInterrupt:\n    raise SystemExit",
}


@pytest.mark.parametrize("source", SERVES.values(), ids=SERVES)
@pytest.mark.parametrize("name", ["hello", "hello.py:app"])
def test_a_module_that_serves_while_it_is_imported_is_told_so_at_the_interrupt(
    tmp_path: Path, name: str, source: str
) -> None:
    """Whatever its server makes of the interrupt, this one does not start instead."""
    # It says when it serves, and would go on for a minute.
    text = f"{HELLO}import time\ndef serve():\n    print('serving', flush=True)\n    time.sleep(60)\n{source}"
    (tmp_path / "hello.py").write_text(text, encoding="utf-8")
    number = [line.strip() for line in text.splitlines()].index("serve()") + 1
    command = [*COMMAND, "-b", "127.0.0.1:0", name]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "serving\n"
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=30)
        finally:
            process.kill()
    assert (process.returncode, out) == (2, "")
    assert err == (
        f"wsgiserver: the import of {name} did not end by itself "
        f"(interrupted in {tmp_path / 'hello.py'}, line {number}); "
        'put app.run(), or whatever serves there, under if __name__ == "__main__":\n'
    )


def test_loading_leaves_the_handler_of_interrupts_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "hello_handlers.py").write_text(HELLO, encoding="utf-8")
    monkeypatch.setattr("wsgiserver.cli.serve", lambda application, **others: None)
    before = signal.getsignal(signal.SIGINT)
    assert main(["hello_handlers:app"]) == 0
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize("address", ["nonsense", "127.0.0.1:99999", "http://localhost:8000"])
def test_an_address_that_cannot_be_read(address: str) -> None:
    assert address in refused_by_command("-b", address)


def test_a_port_that_is_busy() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert str(port) in refused_by_command("-b", f"127.0.0.1:{port}")


# Serving


class Served:
    """The command while it serves: its first lines, the address that they name, and requests to it."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        assert process.stderr is not None
        self.banner: list[str] = []
        for line in process.stderr:
            self.banner.append(line.rstrip("\n"))
            if "Ctrl+C" in line:
                break
        assert "Ctrl+C" in "".join(self.banner), self.banner
        self.urls = [line.strip() for line in self.banner if line.startswith("  ")]

    def get(self, path: str, url: int = 0) -> tuple[int, bytes]:
        with contextlib.closing(http.client.HTTPConnection(urlsplit(self.urls[url]).netloc, timeout=30)) as client:
            client.request("GET", path)
            response = client.getresponse()
            return response.status, response.read()

    def stop(self, number: int = signal.SIGTERM) -> tuple[int, str, str]:
        """Send a signal; give the exit status, and what was printed since the banner."""
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=60)
        return self.process.returncode, out, err


@contextlib.contextmanager
def serving(*arguments: str, command: list[str] = COMMAND, bind: str = "127.0.0.1:0") -> Iterator[Served]:
    pipe = subprocess.PIPE
    with subprocess.Popen([*command, "-b", bind, *arguments], stdout=pipe, stderr=pipe, text=True) as process:
        try:
            yield Served(process)
        finally:
            process.kill()


@pytest.fixture
def hello(tmp_path: Path) -> None:
    (tmp_path / "hello.py").write_text(HELLO, encoding="utf-8")


def test_an_error_is_reported_where_no_descriptors_are_left(tmp_path: Path) -> None:
    """What reports need is not imported by the start, and could not be imported any more when they do."""
    pytest.importorskip("resource")
    (tmp_path / "greedy.py").write_text(
        """
import os, resource, sys, time

def app(environ, start_response):
    if environ["PATH_INFO"] == "/fail":
        raise ValueError("on purpose")
    while not hasattr(sys, "rehearsed"):
        time.sleep(0.001)
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    try:
        while True:
            os.dup(0)
    except OSError:
        start_response("200 OK", [("Content-Length", "0")])
        return []
""",
        encoding="utf-8",
    )
    root = str(Path(__file__).parents[1])
    code = f"""
import sys
sys.path.insert(0, {root!r})
from wsgiserver import cli, server
rehearse = server.rehearse_failures
server.rehearse_failures = lambda: setattr(sys, "rehearsed", rehearse())
sys.exit(cli.main())
"""
    command = [sys.executable, "-S", "-c", code]  # without site-packages, which may import what is to be missing
    with serving("greedy:app", command=command) as served:
        client = http.client.HTTPConnection(urlsplit(served.urls[0]).netloc, timeout=30)
        for path, status in (("/", 200), ("/fail", 500), ("/fail", 500)):
            client.request("GET", path)
            response = client.getresponse()
            response.read()
            assert response.status == status
        client.close()
        status, _, err = served.stop()
    assert status == 0
    assert err.count("ValueError: on purpose") == 2


@pytest.mark.usefixtures("hello")
@pytest.mark.parametrize("threads", ["1", "3"])
def test_who_comes_at_once_and_takes_the_last_descriptor_is_served(threads: str) -> None:
    """What reports need is loaded a moment after the start; here, there are no descriptors to do so for a while."""
    pytest.importorskip("resource")
    code = f"""
import os, resource, sys
sys.path.insert(0, {str(Path(__file__).parents[1])!r})
from wsgiserver import cli, server
server.SETTLED = 0.001
resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))
original = server.Server.start
def start(self):
    original(self)
    taken = []
    try:
        while True:
            taken.append(os.dup(0))
    except OSError:
        pass
    for descriptor in taken[:4]:
        os.close(descriptor)
server.Server.start = start
sys.exit(cli.main())
"""
    command = [sys.executable, "-S", "-c", code]
    with serving("hello:app", "--threads", threads, command=command) as served:
        host, port = urlsplit(served.urls[0]).hostname, urlsplit(served.urls[0]).port
        clients = [socket.create_connection((host, port), timeout=30) for _ in range(8)]
        answers = []
        for number, client in enumerate(clients):
            with client:
                client.sendall(b"nonsense\r\n\r\n" if number % 2 else b"GET / HTTP/1.0\r\n\r\n")
                answers.append(client.makefile("rb").read()[:12])
        status, _, err = served.stop()
    assert answers == [b"HTTP/1.1 200", b"HTTP/1.1 400"] * 4
    assert status == 0
    assert "cannot write" not in err


LIMITED = """
import resource

def app(environ, start_response):
    files = [open(__file__) for _ in range(60)]
    for file in files:
        file.close()
    start_response("200 OK", [])
    return [b"%d" % resource.getrlimit(resource.RLIMIT_NOFILE)[0]]
"""
needs_limits = pytest.mark.skipif(sys.platform == "win32", reason="there are no limits on descriptors here")


def limited(option: str) -> list[str]:
    """Give the command as it is when the shell has set such a limit on descriptors."""
    return ["sh", "-c", f'ulimit {option}; exec "$@"', "sh", *COMMAND]


@needs_limits
def test_the_command_raises_the_limit_of_descriptors_to_what_it_needs(tmp_path: Path) -> None:
    (tmp_path / "hello.py").write_text(LIMITED, encoding="utf-8")
    with serving("hello", "--threads", "4", "--limit-connections", "150", command=limited("-S -n 100")) as served:
        assert served.get("/") == (200, b"%d" % (2 * 150 + 4 * 4 + 64))
        assert served.banner[0].startswith("wsgiserver ")
        assert served.stop() == (0, ANY, "")


@needs_limits
def test_idle_clients_leave_the_application_its_descriptors(tmp_path: Path) -> None:
    """Where the limit cannot be raised, there are as many fewer of them, and that is said."""
    (tmp_path / "hello.py").write_text(LIMITED, encoding="utf-8")
    with serving("hello", "--threads", "4", command=limited("-n 200")) as served, contextlib.ExitStack() as stack:
        assert served.banner[0] == (
            "wsgiserver: 60 connections at once instead of 1000, as this process may not open enough files; "
            "raise that limit (ulimit -n, LimitNOFILE in systemd), or set --limit-connections 60"
        )
        for _ in range(130):
            client = http.client.HTTPConnection(urlsplit(served.urls[0]).netloc, timeout=30)
            stack.enter_context(contextlib.closing(client)).request("GET", "/")
            response = client.getresponse()
            assert (response.status, response.read()) == (200, b"200")
        assert served.stop() == (0, ANY, "")


@needs_limits
def test_print_config_says_how_many_connections_there_is_room_for() -> None:
    def shown(*arguments: str) -> str:
        command = [*limited("-n 200"), "--print-config", "--threads", "4", *arguments]
        page = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        return next(" ".join(line.split()) for line in page.splitlines() if "connections" in line)

    assert shown() == "limit-connections = 1000 # default; but there is room for 60 (ulimit -n)"
    assert shown("--limit-connections=60") == "limit-connections = 60 # --limit-connections"


def installed(folder: Path) -> list[str]:
    """Put the command into a folder, as pip does, beside a script that has the name of a module."""
    folder.mkdir()
    (folder / "wsgiserver").write_text(
        f"import sys\nsys.path.append({str(Path(__file__).parents[1])!r})\n"
        "from wsgiserver.cli import main\nsys.exit(main())"
    )
    (folder / "decoy.py").write_text("raise SystemExit('the script, and not the module')")
    return [sys.executable, str(folder / "wsgiserver")]


@pytest.mark.parametrize("link", [False, True], ids=["itself", "a link to it"])
def test_scripts_beside_the_installed_command_are_no_modules(tmp_path: Path, link: bool) -> None:
    """As bottle.py is one, in the folder bin of an environment."""
    command = installed(tmp_path / "bin")
    if link:
        (tmp_path / "link").symlink_to(command[1])
        command[1] = str(tmp_path / "link")
    ended = subprocess.run([*command, "decoy"], capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 2
    assert ended.stderr.startswith("wsgiserver: there is no module 'decoy'")


def test_a_working_directory_that_holds_the_installed_command_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = installed(tmp_path / "bin")
    monkeypatch.chdir(tmp_path / "bin")
    ended = subprocess.run([*command, "decoy"], capture_output=True, text=True, timeout=60, check=False)
    assert "the script, and not the module" in ended.stderr


def test_a_program_that_calls_the_command_keeps_its_folder(tmp_path: Path) -> None:
    command = installed(tmp_path / "bin")
    Path(command[1]).rename(tmp_path / "bin" / "serve_it.py")
    command[1] = str(tmp_path / "bin" / "serve_it.py")
    ended = subprocess.run([*command, "decoy"], capture_output=True, text=True, timeout=60, check=False)
    assert "the script, and not the module" in ended.stderr


FAILING = """
class App:
    def __call__(self, environ, start_response):
        body = environ["wsgi.input"].read()
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
        if environ["PATH_INFO"] == "/boom":
            raise LookupError(environ["PATH_INFO"], "é")
        return [body]
app = App()
"""


@pytest.mark.parametrize("arguments", [(), ("--strict",)], ids=["", "strict"])
def test_files_that_are_called_as_modules_of_pythons_own_are_not_imported_by_the_server(
    tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    """Here there is one for each module; the server imports some of those late, as tempfile for the first upload."""
    command = installed(tmp_path / "bin")
    for name in sys.stdlib_module_names:
        (tmp_path / f"{name}.py").write_text("import sys\nsys.stderr.write(f'{__name__} of the folder\\n')\n1 / 0\n")
    (tmp_path / "shop.py").write_text(FAILING, encoding="utf-8")
    body = b"x" * 2_000_000
    with serving("shop:app", *arguments, command=command) as served:
        with contextlib.closing(http.client.HTTPConnection(urlsplit(served.urls[0]).netloc, timeout=30)) as client:
            client.request("POST", "/", body)
            assert client.getresponse().read() == body
        assert served.get("/boom")[0] == 500
        status, _, err = served.stop()
    assert "of the folder" not in err
    assert "LookupError: ('/boom', 'é')" in err
    assert status == 0


def test_an_application_may_have_a_module_with_the_name_of_one_that_the_server_uses_at_the_start(
    tmp_path: Path,
) -> None:
    (tmp_path / "resource.py").write_text(f"NAME = 'a resource'\n{HELLO}")
    (tmp_path / "shop.py").write_text("from resource import NAME, app")
    with serving("shop:app", command=installed(tmp_path / "bin")) as served:
        assert served.get("/") == (200, b"hello from /")
        assert served.stop()[0] == 0


@pytest.mark.usefixtures("hello")
def test_it_serves_says_where_logs_and_stops() -> None:
    with serving("hello:app", "--threads", "3") as served:
        assert served.banner == [
            f"wsgiserver {__version__} serves hello:app at",
            f"  {served.urls[0]}",
            f"with 3 threads in process {served.process.pid}; Ctrl+C stops it",
        ]
        assert re.fullmatch(r"http://127\.0\.0\.1:[1-9][0-9]*/?", served.urls[0])
        assert served.get("/there") == (200, b"hello from /there")
        status, out, err = served.stop()
    assert status == 0
    assert re.fullmatch(r'127\.0\.0\.1 - - \[[^]]+\] "GET /there HTTP/1\.1" 200 17 "-" "-"\n', out)
    assert "Traceback" not in err


def test_without_an_application_it_serves_the_hello_world_page() -> None:
    with serving() as served:
        assert "Hello World" in served.banner[0]
        status, page = served.get("/")
        assert (status, b"<!DOCTYPE html>" in page) == (200, True)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_with_status_0_and_no_traceback(number: int) -> None:
    with serving() as served:
        status, _, err = served.stop(number)
    assert status == 0
    assert "Traceback" not in err


def test_the_installed_command_does_the_same() -> None:
    script = Path(sys.executable).with_name("wsgiserver")
    if not script.exists():
        pytest.skip("the command is not installed beside this Python")
    with serving(command=[str(script)]) as served:
        assert served.get("/")[0] == 200
        assert served.stop()[0] == 0


def test_it_listens_on_several_addresses(tmp_path: Path) -> None:
    with serving("-b", f"unix:{tmp_path / 'socket'}", "-b", "127.0.0.1:0") as served:
        assert len(served.urls) == 3
        assert served.urls[1] == f"unix:{tmp_path / 'socket'}"
        assert served.get("/", 0)[0] == served.get("/", 2)[0] == 200
        assert served.stop()[0] == 0
    assert not (tmp_path / "socket").exists()


@pytest.mark.usefixtures("hello")
def test_the_working_directory_can_be_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    with serving("--chdir", "..", "hello") as served:
        assert served.get("/x") == (200, b"hello from /x")


@pytest.mark.usefixtures("hello")
def test_everything_can_stand_in_the_file(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[tool.wsgiserver]\napp = "hello"\nthreads = 2\n', encoding="utf-8")
    with serving() as served:
        assert served.get("/x") == (200, b"hello from /x")
        assert "with 2 threads" in served.banner[-1]


@pytest.mark.usefixtures("hello")
def test_the_access_log_can_be_switched_off() -> None:
    with serving("hello", "--no-access-log") as served:
        assert served.get("/x")[0] == 200
        assert served.stop()[:2] == (0, "")


@pytest.mark.usefixtures("hello")
def test_quiet_prints_nothing_at_all() -> None:
    """Without a banner to wait for, the socket is made here, so that it can be connected to at once."""
    pipe = subprocess.PIPE
    with socket.create_server(("127.0.0.1", 0)) as listener:
        command = [*COMMAND, "--quiet", "-b", f"fd:{listener.fileno()}", "hello"]
        with (
            subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, pass_fds=[listener.fileno()]) as process,
            socket.create_connection(listener.getsockname(), timeout=30) as client,
        ):
            try:
                client.sendall(b"GET / HTTP/1.0\r\n\r\n")
                assert b"200 OK" in client.recv(4096)
                process.send_signal(signal.SIGTERM)
                assert process.communicate(timeout=60) == ("", "")
                assert process.returncode == 0
            finally:
                process.kill()


def ending_with(**constants: float) -> list[str]:
    """Give the command, with other constants in ``wsgiserver.ending``."""
    code = "import sys\nfrom wsgiserver import cli, ending\n"
    code += "".join(f"ending.{name} = {value}\n" for name, value in constants.items())
    return [sys.executable, "-c", f"{code}sys.exit(cli.main())"]


ENDLESS = {
    "a thread": "threading.Thread(target=for_ever, name='mine', daemon=False).start()",
    "an executor": "concurrent.futures.ThreadPoolExecutor().submit(for_ever)",
    "an exit handler": "atexit.register(for_ever)",
}
ENDLESS_APP = """
import atexit, concurrent.futures, threading
for_ever = threading.Event().wait
def app(environ, start_response):
    {}
    print("printed")
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"done"]
"""
needs_signals = pytest.mark.skipif(sys.platform == "win32", reason="there are no POSIX signals here")


@needs_signals
@pytest.mark.parametrize("going_on", ENDLESS.values(), ids=ENDLESS)
def test_what_an_application_has_going_on_is_ended_when_the_time_to_stop_is_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, going_on: str
) -> None:
    """The exit handlers of the interpreter wait for it; what was printed until then is not lost."""
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
    (tmp_path / "shop.py").write_text(ENDLESS_APP.format(going_on))
    arguments = ("shop:app", "--no-access-log", "--timeout-stop", "0.1 s")
    with serving(*arguments, command=ending_with(MOMENT=2 * 60, LEAST=0)) as served:
        assert served.get("/") == (200, b"done")
        status, out, err = served.stop()
    assert (status, out) == (0, "printed\n")
    what = "1 thread of the application's own: mine" if "mine" in going_on else "executors or exit handlers"
    assert err.startswith(f"wsgiserver: ended before the end of {what}")


@needs_signals
def test_a_stop_that_waits_for_a_thread_of_the_applications_own_says_so_and_is_ended_by_another_signal(
    tmp_path: Path,
) -> None:
    (tmp_path / "shop.py").write_text(ENDLESS_APP.format(ENDLESS["a thread"]))
    with serving("shop:app", "--timeout-stop", "3600", command=ending_with(MOMENT=0)) as served:
        served.get("/")
        served.process.send_signal(signal.SIGTERM)
        assert re.fullmatch(
            "wsgiserver: waiting for 1 thread of the application's own: mine; "
            r"ending in \d+ s at the latest, or at another signal\n",
            served.process.stderr.readline(),  # type: ignore[union-attr]
        )
        status, _, err = served.stop()
    assert (status, err) == (0, "")


def test_a_thread_of_an_application_that_cannot_be_loaded_does_not_keep_the_command(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(
        f"import threading\nfor_ever = threading.Event().wait\n{ENDLESS['a thread']}\n1 / 0"
    )
    command = [*ending_with(MOMENT=2 * 60, LEAST=0), "shop:app"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 2
    assert "wsgiserver: shop was found, but importing it failed: ZeroDivisionError" in ended.stderr


needs_full = pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no full device here")


@needs_full
@pytest.mark.usefixtures("hello")
def test_it_serves_though_standard_error_goes_to_a_full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
    with socket.create_server(("127.0.0.1", 0)) as listener, open("/dev/full", "wb") as full:
        command = [*COMMAND, "--no-access-log", "-b", f"fd:{listener.fileno()}", "hello"]
        with (
            subprocess.Popen(command, stderr=full, pass_fds=[listener.fileno()]) as process,
            socket.create_connection(listener.getsockname(), timeout=30) as client,
        ):
            try:
                client.sendall(b"GET / HTTP/1.0\r\n\r\n")
                assert b"200 OK" in client.recv(4096)
                process.send_signal(signal.SIGTERM)
                assert process.wait(60) == 0
            finally:
                process.kill()


@needs_full
def test_bad_input_is_status_2_also_where_standard_error_goes_to_a_full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
    with open("/dev/full", "wb") as full:
        assert subprocess.run([*COMMAND, "nowhere:app"], stderr=full, timeout=60, check=False).returncode == 2


ENDINGS = {
    "at its exit": "import atexit; atexit.register(end)",
    "in a thread": "import threading as t; t.Thread(target=lambda: (t.main_thread().join(), end())).start()",
    "as its modules go": "class Last:\n    def __del__(self, end=end): end()\nlast = Last()",
}


@pytest.mark.skipif(sys.platform == "win32", reason="there are no POSIX signals here")
@pytest.mark.parametrize("ending", ENDINGS.values(), ids=ENDINGS)
@pytest.mark.parametrize("late", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_that_comes_when_the_server_has_stopped_leaves_the_status_0(
    tmp_path: Path, ending: str, late: int
) -> None:
    """Here an application takes its time to end, until the test says so."""
    says_so = "import os\ndef end(os=os):\n    os.write(2, b'ending\\n')\n    os.read(0, 1)\n"
    (tmp_path / "hello.py").write_text(f"{HELLO}{says_so}{ending}\n", encoding="utf-8")
    pipe = subprocess.PIPE
    command = [*ending_with(MOMENT=2 * 60), "-b", "127.0.0.1:0", "hello:app"]
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as process:
        try:
            Served(process)
            process.send_signal(signal.SIGTERM)
            assert process.stderr.readline() == "ending\n"  # type: ignore[union-attr]
            process.send_signal(late)
            _, err = process.communicate("\n", timeout=60)
        finally:
            process.kill()
    assert (process.returncode, err) == (0, "")


def test_a_program_that_calls_the_command_keeps_its_handlers_of_signals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wsgiserver.cli.serve", lambda application, **others: None)
    before = signal.getsignal(signal.SIGTERM)
    assert main([]) == 0
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.skipif(sys.platform == "win32", reason="there are no descriptors to close before a start here")
@pytest.mark.parametrize("closed", [(0,), (1,), (0, 1, 2)])
def test_a_standard_stream_that_is_closed_gives_its_number_to_no_socket(tmp_path: Path, closed: tuple[int]) -> None:
    text = HELLO.replace('environ["PATH_INFO"].encode()', "bytes(map(os.path.samestat, map(os.fstat, range(3)), NULL))")
    (tmp_path / "hello.py").write_text(f"import os\nNULL = [os.stat(os.devnull)] * 3\n{text}", encoding="utf-8")

    def close() -> None:
        for descriptor in closed:
            os.close(descriptor)

    pipe = subprocess.PIPE
    with socket.create_server(("127.0.0.1", 0)) as listener:
        command = [*COMMAND, "--quiet", "-b", f"fd:{listener.fileno()}", "hello"]
        with (
            subprocess.Popen(
                command, stdin=pipe, stdout=pipe, stderr=pipe, pass_fds=[listener.fileno()], preexec_fn=close
            ) as process,
            socket.create_connection(listener.getsockname(), timeout=30) as client,
        ):
            try:
                client.sendall(b"GET / HTTP/1.0\r\n\r\n")
                answer = client.makefile("rb").read()
                assert answer.endswith(b"hello from " + bytes(number in closed for number in range(3)))
            finally:
                process.kill()


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="there are no pseudo-terminals here")
def test_in_a_terminal_it_speaks_in_colour() -> None:
    leader, follower = os.openpty()
    command = [*COMMAND, "-b", "127.0.0.1:0"]
    with (
        open(leader, "rb", buffering=0) as terminal,
        subprocess.Popen(command, stdout=follower, stderr=follower) as process,
    ):
        os.close(follower)
        try:
            shown = read_until(terminal, b"Ctrl+C stops it")
            address = re.search(rb"\x1b\[4;36mhttp://([0-9.:]+)", shown)
            assert address is not None, shown
            with contextlib.closing(http.client.HTTPConnection(address[1].decode(), timeout=30)) as client:
                client.request("GET", "/missing")
                assert client.getresponse().status == 404
            assert b"GET /missing \x1b[33m404\x1b[0m " in read_until(terminal, b" ms ")
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == 0
        finally:
            process.kill()


def read_until(terminal: Any, end: bytes) -> bytes:
    shown = b""
    while end not in shown:
        shown += terminal.read(4096)
    return shown


# What it costs


@pytest.mark.parametrize("arguments", [["--version"], ["--print-config"], ["nowhere:app"]])
def test_a_start_imports_neither_rich_nor_pydantic(arguments: list[str]) -> None:
    """Typer imports them for its help and its own conversions; a plain command line does without typer too."""
    code = "import sys; from wsgiserver.cli import main; main(sys.argv[1:]); print(*sys.modules, file=sys.stderr)"
    ended = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    assert ("typer" in ended.stderr.split()) is arguments[0].startswith("-")
    assert not {"rich", "pydantic"} & set(ended.stderr.split())


def test_a_start_imports_nothing_that_it_does_not_need(tmp_path: Path) -> None:
    """Each of these takes from a fiftieth to a quarter of the time; without site-packages, which may load them too."""
    (tmp_path / "hello.py").write_text(HELLO)
    code = """
import sys
sys.path[:0] = sys.argv[1:]
from wsgiserver import cli
cli.serve = lambda application, **others: print(*sys.modules)
cli.main(["hello:app", "--bind", "127.0.0.1:0", "--threads=4"])
"""
    root = str(Path(__file__).parents[1])
    command = [sys.executable, "-I", "-S", "-c", code, root, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert {"hello", "wsgiserver.server"} <= loaded
    unneeded = {
        "typer",
        "inspect",
        "dataclasses",
        "logging",
        "pathlib",
        "tomllib",
        "http",
        "pkgutil",
        "ctypes",
        "difflib",
    }
    assert loaded.isdisjoint(unneeded)


def test_every_setting_is_reachable_by_name() -> None:
    assert list(BY_NAME) == [option.name for option in OPTIONS]
