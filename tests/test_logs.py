"""The access log and ``wsgi.errors``: the lines that people and programs read."""

import contextlib
import io
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsgiserver import logs
from wsgiserver.exchange import Channel, Exchange
from wsgiserver.logs import (
    AccessLog,
    ErrorStream,
    combined_line,
    escape,
    plain_line,
    terminal_line,
)
from wsgiserver.messages import UNREADABLE, BadRequest, Fields, Request
from wsgiserver.settings import Settings
from wsgiserver.site import Site
from wsgiserver.welcome import application


def request(method: str = "GET", target: str = "/", minor: int = 1, **variables: str) -> Request:
    return Request(method, target, target, "", None, minor, Fields(b"", variables))


def finished(
    made: Request | None = None,
    *,
    peer: str = "127.0.0.1:52814",
    status: str = "200 OK",
    sent: int = 2326,
    at: float = 0,
) -> Exchange:
    """Give an exchange that took 1.2 ms, `at` seconds after 10 October 2000, 20:55:36.4 in Greenwich."""
    site = Site(application, Settings(), sys.stderr)
    site.epoch = 971_211_336.4 - 5.0
    exchange = Exchange(site, made or request(), cast(Channel, None), peer, 5.0 + at)
    exchange.ended = exchange.started + 0.0012
    exchange.status, exchange.body_sent, exchange.complete = status, sent, True
    return exchange


@pytest.fixture(autouse=True)
def zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Set the clocks seven hours behind Greenwich, or to the zone that a test asks for."""
    if not hasattr(time, "tzset"):
        pytest.skip("this system cannot change its time zone")
    monkeypatch.setenv("TZ", getattr(request, "param", "XXX+7"))
    forget_the_zone()
    yield
    monkeypatch.undo()
    forget_the_zone()


def forget_the_zone() -> None:
    time.tzset()
    logs._stamp.cache_clear()
    logs._this_second = (0.0, 0.0, 0.0, "")


# --- combined lines -----------------------------------------------------------------------------------------


def test_a_line_is_in_apaches_combined_format() -> None:
    """The example of Apache's documentation, "Log Files", with our client."""
    exchange = finished(
        request(
            target="/apache_pb.gif",
            minor=0,
            HTTP_REFERER="http://www.example.com/start.html",
            HTTP_USER_AGENT="Mozilla/4.08 [en] (Win98; I ;Nav)",
        )
    )
    assert combined_line(exchange) == (
        '127.0.0.1 - - [10/Oct/2000:13:55:36 -0700] "GET /apache_pb.gif HTTP/1.0" 200 2326 '
        '"http://www.example.com/start.html" "Mozilla/4.08 [en] (Win98; I ;Nav)"\n'
    )


def test_what_is_not_there_is_a_dash() -> None:
    """No user, no body, no referrer, no agent; and Apache's %b is a dash for no bytes."""
    line = combined_line(finished(status="304 Not Modified", sent=0))
    assert line == '127.0.0.1 - - [10/Oct/2000:13:55:36 -0700] "GET / HTTP/1.1" 304 - "-" "-"\n'


def test_a_request_that_could_not_be_read_and_was_not_answered_has_a_line_too() -> None:
    line = combined_line(finished(UNREADABLE, status="", sent=0))
    assert line == '127.0.0.1 - - [10/Oct/2000:13:55:36 -0700] "-" - - "-" "-"\n'


@pytest.mark.parametrize(
    ("peer", "host"),
    [("127.0.0.1:52814", "127.0.0.1"), ("[::1]:52814", "::1"), ("[fe80::1%eth0]:1", "fe80::1%eth0"), ("unix:", "-")],
)
def test_the_client_is_named_by_its_host_alone(peer: str, host: str) -> None:
    assert combined_line(finished(peer=peer)).startswith(f"{host} - - [")


@pytest.mark.parametrize(
    ("zone", "offset"),
    [
        ("XXX+7", "13:55:36 -0700"),
        ("XXX-5:45", "02:40:36 +0545"),
        ("XXX+3:30", "17:25:36 -0330"),
        ("UTC0", "20:55:36 +0000"),
    ],
    indirect=["zone"],
)
def test_the_time_carries_the_offset_of_the_local_zone(offset: str) -> None:
    assert f"Oct/2000:{offset}]" in combined_line(finished())


def test_exchanges_of_the_same_second_share_one_stamp_and_those_of_another_do_not() -> None:
    stamps = [combined_line(finished(at=more)).split()[3] for more in (0.0, 0.5, 1.0, -1.0)]
    assert [stamp[-2:] for stamp in stamps] == ["36", "36", "37", "35"]
    assert logs._stamp.cache_info().misses == 3


def test_when_the_clock_is_set_the_next_line_has_the_new_time() -> None:
    """Exchanges that began at the same instant of the monotonic clock, before and after an hour was added."""
    before, after = finished(), finished()
    after.site.epoch += 3600
    stamps = [combined_line(exchange).split()[3] for exchange in (before, after, before)]
    assert stamps == ["[10/Oct/2000:13:55:36", "[10/Oct/2000:14:55:36", "[10/Oct/2000:13:55:36"]


# --- terminal lines -----------------------------------------------------------------------------------------


def test_a_line_for_the_terminal_says_what_how_much_how_long_and_to_whom() -> None:
    line = terminal_line(finished(request("POST", "/form?a=1")))
    assert line == "POST /form?a=1 \x1b[32m200\x1b[0m 2326 B 1.2 ms 127.0.0.1:52814\n"


@pytest.mark.parametrize(
    ("status", "colour"),
    [("101 Switching", 34), ("204 No Content", 32), ("304 Not Modified", 36), ("404 Not Found", 33), ("500 Oh", 31)],
)
def test_the_colour_tells_the_class_of_the_status(status: str, colour: int) -> None:
    assert f" \x1b[{colour}m{status[:3]}\x1b[0m " in terminal_line(finished(status=status))


def test_an_exchange_without_an_answer_shows_no_status() -> None:
    assert " \x1b[35m---\x1b[0m 0 B " in terminal_line(finished(status="", sent=0))


# --- what clients send --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "written"),
    [
        ("/plain?a=b&c=%20#~'", "/plain?a=b&c=%20#~'"),
        ('" 200 - "', '\\" 200 - \\"'),
        ("a\\b", "a\\\\b"),
        ("a\tb\nc\rd\x0be\x08f", "a\\tb\\nc\\rd\\ve\\bf"),
        ("\x1b[31m\x00\x0c\x7f", "\\x1b[31m\\x00\\x0c\\x7f"),
        ("/\u00e4\u00bd\u00a0", "/\\xe4\\xbd\\xa0"),  # bytes above 0x7F, as latin-1
        ("\x9b31m", "\\x9b31m"),  # the one-byte form of ESC [
        ("\u4f60", "\\xe4\\xbd\\xa0"),  # text that never was on a wire
    ],
)
def test_what_a_client_sent_is_escaped_as_apache_does(sent: str, written: str) -> None:
    assert escape(sent) == written


@pytest.mark.parametrize("code", range(256))
def test_a_character_is_escaped_alike_beside_any_other(code: int) -> None:
    """Latin-1 text, which is what clients send, goes another way than the rest."""
    assert escape(f"\xe9{chr(code)}") + "\\xe4\\xbd\\xa0" == escape(f"\xe9{chr(code)}\u4f60")


@given(st.text())
def test_what_is_escaped_is_printable_ascii_without_a_bare_quote(text: str) -> None:
    written = escape(text)
    assert written.isascii()
    assert written.isprintable() or not written
    assert re.fullmatch(r'(?:[^"\\]|\\.)*', written)


@given(st.text(st.characters(max_codepoint=255)), st.text(st.characters(max_codepoint=255)))
def test_no_client_can_forge_a_line(target: str, agent: str) -> None:
    exchange = finished(request(target="/" + target, HTTP_USER_AGENT=agent, HTTP_REFERER=agent))
    quoted = r'"((?:[^"\\]|\\.)*)"'
    assert re.fullmatch(rf"127\S+ - - \[[^]]+\] {quoted} 200 2326 {quoted} {quoted}\n", combined_line(exchange))
    assert re.fullmatch(r"GET [ -~]+ \x1b\[32m200\x1b\[0m 2326 B [0-9.]+ ms 127\S+\n", terminal_line(exchange))


# --- collecting ---------------------------------------------------------------------------------------------


def test_the_lines_of_a_turn_are_written_at_once() -> None:
    written: list[str] = []
    log = AccessLog(written.append, colour=False)
    first, second = finished(request(target="/1")), finished(request(target="/2"))
    log.observe_turn([first, second])
    assert written == [combined_line(first) + combined_line(second)]
    log.observe_turn([first])
    assert written[1:] == [combined_line(first)]


def test_each_line_tells_its_own_client_and_status_however_many_there_are() -> None:
    for number in range(1000):
        exchange = finished(peer=f"10.0.{number // 250}.{number % 250}:5000", status=f"{200 + number % 400} Some")
        line = combined_line(exchange)
        assert line.startswith(f"10.0.{number // 250}.{number % 250} - - [")
        assert f'" {200 + number % 400} ' in line


def test_people_are_told_why_a_request_was_refused() -> None:
    exchange = finished(status="400 Bad Request")
    exchange.error = BadRequest(400, 'a "rule" was broken', "RFC 0 section 0")
    assert plain_line(exchange).endswith(r" ms 127.0.0.1:52814 (a \"rule\" was broken)" + "\n")


def test_people_are_told_that_a_response_was_cut() -> None:
    exchange = finished()
    exchange.complete = False
    assert terminal_line(exchange).endswith(" ms 127.0.0.1:52814 (cut short)\n")


def test_in_colour_the_lines_are_those_for_a_terminal() -> None:
    written: list[str] = []
    log = AccessLog(written.append, colour=True)
    log.observe_turn([finished()])
    assert written == [terminal_line(finished())]


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), ValueError("I/O operation on closed file")])
def test_a_log_that_cannot_be_written_is_told_once_and_stops_nothing(
    error: Exception, capsys: pytest.CaptureFixture[str]
) -> None:
    def write(text: str) -> None:
        raise error

    log = AccessLog(write, colour=False)
    for _ in range(3):
        log.observe_turn([finished()])
    told = f"wsgiserver: the access log cannot be written ({error}); requests go on without it\n"
    assert capsys.readouterr().err == told


def test_a_log_goes_to_a_file(tmp_path: Path) -> None:
    file = tmp_path / "access.log"
    with file.open("a", encoding="ascii") as opened:
        log = AccessLog(opened.write, colour=False)
        log.observe_turn([finished()])
    assert file.read_text() == combined_line(finished())


# --- wsgi.errors --------------------------------------------------------------------------------------------


def test_errors_go_to_what_standard_error_is_at_that_moment(capsys: pytest.CaptureFixture[str]) -> None:
    errors = ErrorStream()
    errors.write("first\n")
    assert capsys.readouterr().err == "first\n"
    with contextlib.redirect_stderr(io.StringIO()) as other:
        errors.writelines(["second\n", "third\n"])
    assert other.getvalue() == "second\nthird\n"


def test_an_unfinished_line_waits_for_its_end_or_for_flush(capsys: pytest.CaptureFixture[str]) -> None:
    errors = ErrorStream()
    assert errors.write("one\ntw") == 6
    assert capsys.readouterr().err == "one\n"
    errors.write("o\n")
    assert capsys.readouterr().err == "two\n"
    errors.write("three")
    errors.flush()
    errors.flush()
    assert capsys.readouterr().err == "three"


def test_an_unfinished_line_that_is_longer_than_8_kib_waits_no_longer(capsys: pytest.CaptureFixture[str]) -> None:
    errors = ErrorStream()
    errors.write("one\n" + "x" * 8192)
    assert capsys.readouterr().err == "one\n"
    errors.write("y")
    assert capsys.readouterr().err == "x" * 8192 + "y"
    errors.write("end\n")
    assert capsys.readouterr().err == "end\n"


def test_what_each_thread_has_not_finished_is_written_as_a_line_of_its_own_at_the_end(
    capsys: pytest.CaptureFixture[str],
) -> None:
    errors = ErrorStream()
    errors.write("of this thread")
    with ThreadPoolExecutor(1) as other:
        other.submit(errors.write, "of another").result()
        errors.finish()
        errors.finish()
    assert capsys.readouterr().err == "of this thread\nof another\n"


def test_flush_without_anything_written_is_allowed(capsys: pytest.CaptureFixture[str]) -> None:
    ErrorStream().flush()
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("wrong", [b"bytes", 1, None])
def test_errors_takes_nothing_but_str(wrong: object, capsys: pytest.CaptureFixture[str]) -> None:
    """PEP 3333, "Unicode Issues": the server's text streams take native strings."""
    with pytest.raises(TypeError, match=f"wsgi.errors takes str, not {type(wrong).__name__}"):
        ErrorStream().write(wrong)  # type: ignore[arg-type]
    assert capsys.readouterr().err == ""


class Recorder(io.StringIO):
    """A standard error that keeps each write apart."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[str] = []

    def write(self, text: str) -> int:
        self.writes.append(text)
        return len(text)


def test_the_lines_of_many_threads_do_not_mix(monkeypatch: pytest.MonkeyPatch) -> None:
    """``print`` writes its text and its line end separately; each line reaches standard error in one piece."""
    monkeypatch.setattr(sys, "stderr", recorder := Recorder())
    errors = ErrorStream()
    together = threading.Barrier(4)

    def work(number: int) -> None:
        together.wait(10)
        for line in range(200):
            print("thread", number, "line", line, file=errors)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expected = {f"thread {number} line {line}\n" for number in range(4) for line in range(200)}
    assert set(recorder.writes) == expected
    assert len(recorder.writes) == len(expected)


def test_a_standard_error_that_is_gone_disturbs_no_application(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its terminal was closed; or the program never had one."""

    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError(32, "Broken pipe")

    for stream in (Gone(), None):
        monkeypatch.setattr(sys, "stderr", stream)
        ErrorStream().write("lost\n")


# --- logging ------------------------------------------------------------------------------------------------


def test_the_server_does_without_the_module_logging() -> None:
    """To import it takes a tenth of a start; and what an application has set up there is its own."""
    code = """
import sys
sys.path.insert(0, sys.argv[1])
import wsgiserver.server
wsgiserver.server.rehearse_failures()
print("logging" in sys.modules)
"""
    command = [sys.executable, "-I", "-S", "-c", code, str(Path(__file__).parents[1])]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
