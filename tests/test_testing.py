"""WebTest over the wire, live servers for tests, and the stand-in for WebTest's own."""

import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
import webtest  # type: ignore[import-untyped]

from wsgiserver import testing
from wsgiserver.loader import load
from wsgiserver.site import Environ
from wsgiserver.testing import LiveServer, StopableWSGIServer, TestApp, WireClient, wire

SLOW = 30.0
APPS = Path(__file__).parents[1] / "apps"


class Broken(Exception):
    pass


def app(name: str) -> Any:
    """Give one of the applications of apps/."""
    return load(f"{APPS / name}.py:app")


def hello(environ: Environ, start_response: Any) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello"]


def failing(environ: Environ, start_response: Any) -> list[bytes]:
    raise Broken("here")


# -- TestApp -----------------------------------------------------------------------------------------------------------


@pytest.fixture(params=["flask_app", "bottle_app"])
def framework(request: pytest.FixtureRequest) -> Any:
    """Give WebTest over the wire to an application of a framework."""
    return TestApp(app(request.param))


def test_forms_are_filled_in_and_sent(framework: Any) -> None:
    form = framework.get("/").forms[0]
    form["name"] = "Jürgen"
    assert framework.get("/").forms[0]["name"].value == ""
    assert "Hello, Jürgen!" in form.submit().text


def test_files_are_uploaded(framework: Any) -> None:
    form = framework.get("/").forms[1]
    form["file"] = webtest.Upload("a.bin", bytes(range(256)) * 300)
    assert form.submit().json["size"] == 76_800


def test_cookies_are_kept_and_redirects_followed(framework: Any) -> None:
    assert "Visits: 1" in framework.get("/visits").text
    assert "Visits: 2" in framework.get("/visits").text
    assert framework.get("/redirect").follow().status_int == 200


def test_a_status_that_the_test_did_not_expect_fails_it() -> None:
    client = TestApp(app("flask_app"))
    with pytest.raises(webtest.AppError, match="404"):
        client.get("/nowhere")
    assert client.get("/nowhere", status=404).status_int == 404
    assert client.get("/nowhere", expect_errors=True).status_int == 404


def test_json_goes_out_and_comes_back() -> None:
    response = TestApp(app("echo")).post_json("/", {"a": [1, 2]})
    assert response.text.endswith('\n\n{"a": [1, 2]}')


def test_each_response_tells_what_passed_on_the_wire() -> None:
    client = TestApp(hello)
    first, second = client.get("/1"), client.post("/2", {"a": "b"})
    assert first.wire.request == b"GET /1 HTTP/1.1\r\nHost: localhost:80\r\n\r\n"
    assert second.wire.request.endswith(b"Content-Length: 3\r\n\r\na=b")
    assert second.wire.environ["PATH_INFO"] == "/2"
    assert second.wire.calls == [("200 OK", [("Content-Type", "text/plain")], False)]
    assert second.wire.response.endswith(b"\r\n\r\nhello")
    assert list(client.wire.exchanges) == [first.wire, second.wire]


def test_what_the_application_raises_fails_the_test() -> None:
    with pytest.raises(Broken):
        TestApp(failing).get("/")
    assert TestApp(failing, raise_errors=False).get("/", expect_errors=True).status_int == 500


def test_a_500_that_was_asked_for_is_not_failed_for_its_traceback() -> None:
    client = TestApp(failing, raise_errors=False)
    assert isinstance(client.get("/", status=500).wire.error, Broken)
    assert client.get("/", status="*").status_int == 500
    with pytest.raises(webtest.AppError, match="500"):
        client.get("/")


def test_settings_of_the_server_can_be_given() -> None:
    assert TestApp(hello, settings={"limit_body": 1}).post("/", "ab", status=413).wire.environ is None


def test_what_is_written_to_the_error_stream_fails_the_test_as_with_webtest() -> None:
    def application(environ: Environ, start_response: Any) -> list[bytes]:
        environ["wsgi.errors"].write("a complaint\n")
        return hello(environ, start_response)

    with pytest.raises(webtest.AppError, match="a complaint"):
        TestApp(application).get("/")


def test_without_webtest_the_error_says_what_to_install_and_all_else_works(monkeypatch: pytest.MonkeyPatch) -> None:
    code = """
import sys; sys.modules["webtest"] = None
from wsgiserver import testing
from wsgiserver.testing import *
try: testing.TestApp
except ModuleNotFoundError as error: print(error)
print(WireClient.__name__, "webob" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "wsgiserver.testing.TestApp needs WebTest: pip install webtest",
        "WireClient False",
    ]


@pytest.mark.parametrize("client", [TestApp, wire, WireClient, LiveServer, StopableWSGIServer.create])
@pytest.mark.parametrize("application", ["http://127.0.0.1:8000", None])
@pytest.mark.parametrize("strict", [False, True])
def test_what_is_no_application_is_refused_at_once(client: Any, application: Any, strict: bool) -> None:
    """WebTest's own takes a URL; a fixture that forgets its return gives None."""
    with pytest.raises(TypeError, match=f"a WSGI application is a callable; this is {application!r}"):
        client(application, strict=strict)


def test_a_live_server_takes_no_other_application_that_is_none() -> None:
    server = LiveServer(hello)
    with pytest.raises(TypeError, match="a WSGI application is a callable; this is None"):
        server.set_app(None)  # type: ignore[arg-type]
    assert server.application is hello


def test_the_module_gives_what_it_names() -> None:
    assert [name for name in testing.__all__ if not hasattr(testing, name)] == []
    assert "TestApp" not in testing.__all__
    assert testing.TestApp is TestApp
    with pytest.raises(AttributeError, match="Nothing"):
        testing.Nothing  # noqa: B018


# -- LiveServer --------------------------------------------------------------------------------------------------------


@pytest.fixture
def server(nothing_left: None) -> Iterator[LiveServer]:
    with LiveServer(hello) as server:
        yield server


def get(server: LiveServer, path: str = "/") -> httpx.Response:
    return httpx.get(server.url + path, timeout=SLOW)


def test_it_tells_what_it_was_asked_as_soon_as_a_client_is_answered(server: LiveServer) -> None:
    for number in range(20):
        assert get(server, f"/{number}?a").text == "hello"
        assert [each.request.target for each in server.requests] == [f"/{each}?a" for each in range(number + 1)]
        assert server.requests[-1].status == "200 OK"
    assert server.errors == []


@pytest.mark.parametrize("path", ["/gr%C3%BC%C3%9F?a=b", "/gr%C3%BC%C3%9F", "/grüß"])
def test_a_request_is_found_by_its_target_or_its_path(server: LiveServer, path: str) -> None:
    get(server, "/gr%C3%BC%C3%9F?a=b")
    found = server.wait_for(path=path, method="GET", status=200, timeout=SLOW)
    assert found is server.requests[0]
    assert found.complete


def test_waiting_ends_when_the_request_has_been_answered(server: LiveServer) -> None:
    go = threading.Event()

    def slow(environ: Environ, start_response: Any) -> list[bytes]:
        assert go.wait(SLOW)
        return hello(environ, start_response)

    server.set_app(slow)
    browser = threading.Thread(target=get, args=(server, "/slow"))
    browser.start()
    with pytest.raises(TimeoutError):
        server.wait_for(path="/slow", timeout=0)
    go.set()
    assert server.wait_for(path="/slow", timeout=SLOW).status == "200 OK"
    server.wait_idle(SLOW)
    browser.join()


def test_waiting_in_vain_tells_what_came_instead(server: LiveServer) -> None:
    get(server, "/other?token=secret")
    server.wait_idle(SLOW)
    with pytest.raises(TimeoutError) as caught:
        server.wait_for(path="/this", method="POST", timeout=0)
    assert str(caught.value) == "POST /this did not come within 0 seconds; GET /other?token=***: 200 OK"


def test_it_is_not_idle_while_a_response_is_under_way(server: LiveServer) -> None:
    go, come = threading.Event(), threading.Event()

    def slow(environ: Environ, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [])
        come.set()
        yield b"a"
        assert go.wait(SLOW)

    server.set_app(slow)
    browser = threading.Thread(target=get, args=(server,))
    browser.start()
    assert come.wait(SLOW)
    with pytest.raises(TimeoutError, match="GET /: 200 OK"):
        server.wait_idle(timeout=0)
    assert not server.is_idle()
    go.set()
    server.wait_idle(SLOW)
    assert server.is_idle()
    browser.join()


@pytest.mark.parametrize("wait", ["wait_for", "wait_idle", "check"])
def test_what_the_application_raises_fails_the_test_that_waits(server: LiveServer, wait: str) -> None:
    server.set_app(failing)
    assert get(server).status_code == 500
    assert [type(error) for error in server.errors] == [Broken]
    with pytest.raises(Broken) as caught:
        getattr(server, wait)()
    assert traceback.extract_tb(caught.value.__traceback__)[-1].name == "failing"
    assert "gateway.py" not in "".join(traceback.format_exception(caught.value))
    server.check()


def test_a_test_that_waits_for_something_else_learns_of_the_failure_at_once(server: LiveServer) -> None:
    server.set_app(failing)
    get(server)
    with pytest.raises(Broken):
        server.wait_for(path="/never", timeout=SLOW)


def test_failing_the_test_can_be_switched_off(server: LiveServer) -> None:
    server.set_app(failing)
    server.raise_errors = False
    get(server)
    assert isinstance(server.wait_for(path="/", status=500, timeout=SLOW).error, Broken)
    server.wait_idle(SLOW)
    server.check()
    assert len(server.errors) == 1


def test_a_request_that_was_refused_is_told_too(server: LiveServer, connect: Any) -> None:
    connect(server.address).send(b"nonsense\r\n\r\n").rest()
    assert server.wait_for(status=400, timeout=SLOW).request.method == "-"
    assert server.errors == []


def test_the_application_can_be_swapped_and_all_forgotten(server: LiveServer) -> None:
    get(server)
    server.wait_idle(SLOW)
    server.forget()
    server.set_app(app("echo"))
    assert "PATH_INFO: /swapped" in get(server, "/swapped").text
    assert [each.request.target for each in server.requests] == ["/swapped"]


def test_what_was_under_way_when_all_was_forgotten_is_nothing_to_those_who_ask_later(server: LiveServer) -> None:
    """Its error least of all: it would fail a test that did not make it."""
    go, come, done = threading.Event(), threading.Event(), threading.Event()

    def slow(environ: Environ, start_response: Any) -> list[bytes]:
        if environ["PATH_INFO"] == "/new":
            return hello(environ, start_response)
        come.set()
        assert go.wait(SLOW)
        raise Broken("late")

    def ask() -> None:
        assert get(server, "/old").status_code == 500
        done.set()

    server.set_app(slow)
    browser = threading.Thread(target=ask)
    browser.start()
    assert come.wait(SLOW)
    server.forget()
    assert server.is_idle()
    get(server, "/new")
    go.set()
    assert done.wait(SLOW)
    browser.join()
    server.wait_idle(SLOW)
    assert [each.request.target for each in server.requests] == ["/new"]
    assert server.errors == []


def test_a_clock_that_a_test_has_set_is_forgotten_too(server: LiveServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """As with freezegun, which sets the monotonic clock too: what it dated would not be stale for years."""
    with monkeypatch.context() as patch:
        clock = SimpleNamespace(monotonic=lambda: 2e9, gmtime=time.gmtime)
        patch.setattr(f"{server.site.tick.__module__}.time", clock)
        server.site.tick(2e9)
    assert "2033" in get(server).headers["Date"]
    server.forget()
    assert "2033" not in get(server).headers["Date"]


def test_settings_and_observers_are_the_servers(nothing_left: None) -> None:
    seen: list[Any] = []
    with LiveServer(hello, observers=[seen.append], threads=1, limit_body=1) as server:
        assert httpx.post(server.url, content=b"ab").status_code == 413
        get(server)
        server.wait_idle(SLOW)
    assert [each.status[:3] for each in seen] == ["413", "200"]
    assert server.settings.threads == 1


def test_what_an_application_has_not_finished_to_say_is_said_when_it_stops(
    nothing_left: None, capsys: pytest.CaptureFixture[str]
) -> None:
    def application(environ: Environ, start_response: Any) -> list[bytes]:
        environ["wsgi.errors"].write("without an end")
        return hello(environ, start_response)

    with LiveServer(application) as server:
        get(server)
    assert capsys.readouterr().err == "without an end\n"


CLIENTS = {
    "idle": b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "refused, and still there": b"nonsense\r\n\r\n",
    "half way through a head": b"GET / HT",
    "half way through a body": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhalf",
    "silent": b"",
}


@pytest.mark.parametrize("sent", CLIENTS.values(), ids=CLIENTS)
def test_it_stops_at_once_whatever_its_clients_do(nothing_left: None, sent: bytes) -> None:
    """In under ten milliseconds, where the machine lets it: the best of some rounds tells."""
    times = []
    for _ in range(10):
        server = LiveServer(hello)
        server.start()
        with socket.create_connection(server.address, timeout=SLOW) as client:
            client.sendall(sent)
            if sent.endswith(b"\r\n\r\n"):
                assert client.recv(1000).startswith(b"HTTP/1.1 ")
            began = time.monotonic()
            server.stop()
            times.append(time.monotonic() - began)
    assert min(times) < 0.01


def test_what_is_under_way_is_answered_before_it_stops(nothing_left: None, connect: Any) -> None:
    go, come = threading.Event(), threading.Event()

    def slow(environ: Environ, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [])
        come.set()
        yield b"begin "
        assert go.wait(SLOW)
        yield b"end"

    server = LiveServer(slow, timeout_stop=SLOW)
    server.start()
    client = connect(server).send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert come.wait(SLOW)
    stopping = threading.Thread(target=server.stop)
    stopping.start()
    while not server.site.stopping:
        pass
    go.set()
    assert client.rest().endswith(b"end\r\n0\r\n\r\n")
    stopping.join(SLOW)
    assert not stopping.is_alive()


# -- The stand-in for WebTest's server ---------------------------------------------------------------------------------


def test_it_is_made_waited_for_and_shut_down_as_webtests(nothing_left: None) -> None:
    server = StopableWSGIServer.create(hello, threads=2, expose_tracebacks=True)
    assert server.wait(retries=3) is True
    assert server.application_url.endswith("/")
    assert httpx.get(server.application_url).text == "hello"
    assert server.test_app is hello
    assert server.shutdown() is True
    assert server.was_shutdown
    assert server.wait() is False


def test_it_serves_no_file_of_the_machine(nothing_left: None) -> None:
    """WebTest's own serves any."""
    server = StopableWSGIServer.create(hello)
    try:
        assert httpx.get(f"{server.application_url}__file__?__file__={__file__}").text == "hello"
    finally:
        server.shutdown()


def test_its_address_can_be_chosen_as_with_webtests(nothing_left: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEBTEST_SERVER_BIND", "127.0.0.2")
    for port in (0, "0"):
        server = StopableWSGIServer.create(hello, port=port)
        server.shutdown()
        assert server.application_url.startswith("http://127.0.0.2:")


def test_it_takes_the_settings_of_the_server(nothing_left: None) -> None:
    server = StopableWSGIServer.create(hello, timeout_stop=2, threads=3)
    server.shutdown()
    assert (server.settings.timeout_stop, server.settings.threads) == (2.0, 3)
