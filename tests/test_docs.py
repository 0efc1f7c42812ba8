"""What the documentation shows is true: the tutorial's steps run, its links lead somewhere, its commands exist."""

import doctest
import http.client
import importlib
import io
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from wsgiserver import Server, connection, files, forms, heads, http11, loop, messages, predictor, responses, sockets
from wsgiserver.settings import BY_NAME, OPTIONS

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
STEPS = DOCS / "tutorial" / "steps"
PAGES = [
    *(page for page in ROOT.glob("*.md")),
    *(page for page in DOCS.rglob("*.md") if "_build" not in page.parts),
]

Address = tuple[str, int]


@contextmanager
def running(*command: object) -> Iterator["Step"]:
    """Run a step of the tutorial on a free port; or other code, that prints its URL when it listens."""
    first, *rest = command
    arguments = [f"{first}.py", 0, *rest] if str(first).startswith("step") else command
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen([sys.executable, *map(str, arguments)], cwd=STEPS, text=True, **pipes) as process:
        try:
            yield Step(process)
        finally:
            process.kill()


class Step:
    """A running step and where it listens."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        url = urlsplit(process.stdout.readline())
        if url.hostname is None or url.port is None:
            raise AssertionError(process.communicate(timeout=30)[1])
        self.process = process
        self.address = url.hostname, url.port

    def end(self) -> str:
        """Stop it, and give what it has written to its standard error."""
        self.process.terminate()
        return self.process.communicate(timeout=30)[1]


@contextmanager
def talking(address: Address) -> Iterator[socket.socket]:
    with socket.create_connection(address, timeout=30) as client:
        yield client


def everything(client: socket.socket) -> bytes:
    """Receive until the server closes."""
    return b"".join(iter(lambda: client.recv(65536), b""))


def exchange(address: Address, request: bytes) -> bytes:
    with talking(address) as client:
        client.sendall(request)
        return everything(client)


def get(address: Address, target: str = "/", **options: Any) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(*address, timeout=30)
    try:
        connection.request(options.pop("method", "GET"), target, **options)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    monkeypatch.syspath_prepend(str(STEPS))
    return importlib.import_module


def test_step_1_gives_everyone_the_same_answer():
    with running("step1_socket") as step:
        assert get(step.address) == (200, b"Hello World!\n")
        assert get(step.address, "/elsewhere", method="DELETE") == (200, b"Hello World!\n")


def test_step_2_understands_a_head_that_comes_in_pieces():
    with running("step2_request") as step, talking(step.address) as client:
        for piece in (b"GET /a?b H", b"TTP/1.1\r\nHost: here\r", b"\n\r", b"\n"):
            client.sendall(piece)
        assert everything(client).endswith(b"\r\n\r\nYou asked to GET /a?b\n")


def test_step_2_still_falls_over_nonsense_as_the_page_says():
    with running("step2_request") as step:
        assert exchange(step.address, b"hello\r\n\r\n") == b""
        assert step.process.wait(timeout=30) == 1


def test_step_3_runs_its_own_application():
    with running("step3_wsgi") as step:
        assert get(step.address, "/") == (200, b"Hello, World!\n")
        assert get(step.address, "/J%C3%BCrgen?x=1") == (200, "Hello, Jürgen!\n".encode())


def test_step_3_runs_flask():
    with running("step3_flask") as step:
        assert get(step.address, "/greet/Ann") == (200, b"Hello Ann")


def test_what_talks_to_the_steps_sends_its_input_and_shows_what_comes_back():
    with running("step5_reader") as step:
        command = [sys.executable, str(STEPS / "talk.py"), str(step.address[1])]
        talked = subprocess.run(command, input=b"nonsense\r\n\r\n", capture_output=True, timeout=30, check=True)
    assert talked.stdout.startswith(b"HTTP/1.1 400 ")


def test_step_4_keeps_the_connection_for_requests_with_and_without_a_body():
    with running("step4_framing") as step:
        connection = http.client.HTTPConnection(*step.address, timeout=30)
        try:
            for body in (b"first", None, b"x" * 200_000):
                connection.request("POST", "/", body)
                response = connection.getresponse()
                assert response.getheader("Transfer-Encoding") == "chunked"
                assert response.read() == b"%d bytes: %s" % (len(body or b""), body or b"")
                assert connection.sock is not None
        finally:
            connection.close()


def test_step_4_answers_requests_that_were_sent_at_once_in_order():
    first = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\none"
    second = b"HEAD / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
    with running("step4_framing") as step:
        answers = exchange(step.address, first + second).split(b"HTTP/1.1 200 OK\r\n")
    assert answers[1].endswith(b"\r\n\r\n9\r\n3 bytes: \r\n3\r\none\r\n0\r\n\r\n")
    assert answers[2].endswith(b"Connection: close\r\n\r\n")


def test_step_4_ends_the_connection_for_http_1_0():
    with running("step4_framing") as step:
        answer = exchange(step.address, b"GET / HTTP/1.0\r\n\r\n")
    assert answer.endswith(b"Connection: close\r\n\r\n0 bytes: ")


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"hello\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost : h\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\nHost: h\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: h\r\n folded\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: +1\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 9999999\r\n\r\n", b"413"),
        (b"GET / HTTP/1.1\r\nHost: h\r\nX: " + b"x" * 66000 + b"\r\n\r\n", b"431"),
        (b"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", b"501"),
    ],
)
def test_step_5_refuses_what_could_be_misread(module, request_, status):
    step = module("step5_reader")
    reader = step.Reader()
    reader.receive(request_)
    with pytest.raises(step.BadRequest) as caught:
        reader.next()
    assert caught.value.status.encode().startswith(status)


def test_step_5_reads_the_same_byte_by_byte_as_at_once(module):
    reader = module("step5_reader").Reader()
    stream = b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbody" + b"GET /b HTTP/1.0\r\n\r\n"
    reader.receive(stream)
    at_once = [reader.next(), reader.next(), reader.next()]
    slowly = []
    for byte in stream:
        reader.receive(bytes([byte]))
        slowly.append(reader.next())
    assert [found for found in slowly if found] == at_once[:2]
    assert at_once[2] is None
    assert [body for _, body in at_once[:2]] == [b"body", b""]


def test_step_5_says_what_is_wrong_and_goes_on_serving():
    with running("step5_reader") as step:
        assert exchange(step.address, b"hello\r\n\r\n").startswith(b"HTTP/1.1 400 Bad Request\r\n")
        assert get(step.address, method="POST", body=b"hi") == (200, b"2 bytes: hi")


def test_step_6_survives_what_applications_do():
    with running("step6_gateway") as step:
        assert get(step.address, "/") == (200, b"all is well\n")
        assert get(step.address, "/crash")[0] == 500
        assert get(step.address, "/inject")[0] == 500
        for cut_short in ("/short", "/cut"):
            with pytest.raises(http.client.IncompleteRead):
                get(step.address, cut_short)
        assert get(step.address, "/") == (200, b"all is well\n")
        errors = step.end()
    assert "before the first byte" in errors
    assert "after the first byte" in errors
    assert "less body than the Content-Length says" in errors


def test_step_6_keeps_the_order_of_pep_3333(module):
    gateway_of = module("step6_gateway")
    request = module("step2_request").Request("GET", "/", "HTTP/1.1", {})
    closed = []

    class Chunks(list[bytes]):
        def close(self) -> None:
            closed.append(bytes(sent))

    def application(environ, start_response):
        start_response("200 OK", [])
        try:
            raise ValueError
        except ValueError:
            write = start_response("503 Service Unavailable", [("Content-Length", "6")], sys.exc_info())
        with pytest.raises(AssertionError):
            start_response("200 OK", [])
        write(b"one")
        return Chunks([b"two"])

    sent = bytearray()
    assert gateway_of.Gateway(request, sent.extend).run(application, {"wsgi.errors": io.StringIO()})
    assert bytes(sent) == b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 6\r\n\r\nonetwo"
    assert closed == [bytes(sent)]


@pytest.mark.parametrize("name", ["step7_loop", "step8_deadlines"])
def test_from_step_7_on_no_client_waits_for_another(name):
    half = b"GET / HTTP/1.1\r\nHost: "
    with running(name) as step, ExitStack() as clients:
        idle = [clients.enter_context(talking(step.address)) for _ in range(50)]
        for client in idle:
            client.sendall(half)
        lazy = clients.enter_context(talking(step.address))
        lazy.sendall(b"GET /?30000000 HTTP/1.1\r\nHost: h\r\n\r\n")
        assert get(step.address) == (200, b"Hello World!\n")
        idle[0].sendall(b"h\r\nConnection: close\r\n\r\n")
        assert everything(idle[0]).endswith(b"Hello World!\n\r\n0\r\n\r\n")
        lazy.shutdown(socket.SHUT_WR)
        assert everything(lazy).count(b"x" * 1000) == 30_000


def test_step_7_answers_a_pipeline_and_refuses_nonsense_behind_it():
    with running("step7_loop") as step:
        request = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"
        answers = exchange(step.address, request * 100 + b"nonsense\r\n\r\n")
    assert answers.count(b"Hello World!\n") == 100
    assert answers.count(b"HTTP/1.1 400 Bad Request\r\n") == 1


def test_step_8_gives_up_who_makes_it_wait():
    with running("step8_deadlines", 1.0) as step, talking(step.address) as slow, talking(step.address) as silent:
        slow.sendall(b"GET / HT")
        assert everything(slow).startswith(b"HTTP/1.1 408 Request Timeout\r\n")
        assert everything(silent) == b""


def test_step_9_goes_on_while_an_application_waits():
    with running("step9_threads") as step, ExitStack() as clients:
        waiting = [clients.enter_context(talking(step.address)) for _ in range(3)]
        for client in waiting:
            client.sendall(b"GET /wait HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        assert get(step.address, "/")[0] == 200
        assert get(step.address, "/open")[0] == 200
        assert all(b"The gate is open.\n" in everything(client) for client in waiting)


def test_step_10_is_served_by_the_package():
    with running("step10_house") as step:
        assert get(step.address) == (200, b"Hello World!\n")
        assert step.process.communicate("\n", timeout=30) == ("", "")
        assert step.process.returncode == 0


def test_every_step_stands_in_a_page_of_the_tutorial():
    shown = "".join(page.read_text() for page in (DOCS / "tutorial").glob("*.md"))
    assert [step.name for step in STEPS.glob("*.py") if f"literalinclude}} steps/{step.name}" not in shown] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_between_pages_and_files_leads_somewhere(page):
    text = re.sub(r"^(```|:::).*?^\1$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    links = re.findall(r"\]\(([^)\s]+)\)|(?:src|href)=\"([^\"]+)\"", text)
    targets = [a or b for a, b in links if not re.match(r"[a-z]+:|#", a or b)]
    missing = [target for target in targets if not (page.parent / target.partition("#")[0]).exists()]
    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_make_command_in_a_page_exists(page):
    goals = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"(?:^|`)make ([a-z-]+)(?:`|$| )", page.read_text(), re.MULTILINE)) <= goals


def test_the_readme_names_the_commands_that_set_all_up():
    readme = (ROOT / "README.md").read_text()
    for command in ("make run", "make test", "pip install .", "wsgiserver apps.hello:app"):
        assert command in readme


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_session_with_python_in_a_page_goes_as_shown(page, monkeypatch):
    monkeypatch.syspath_prepend(str(STEPS))
    for session in re.findall(r"^```pycon\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL):
        example = doctest.DocTestParser().get_doctest(session, {}, page.name, str(page), 0)
        assert doctest.DocTestRunner(verbose=False).run(example).failed == 0


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_option_in_a_page_exists(page):
    flags = {"--help", "--version", "--print-config", *(option.flag for option in OPTIONS)}
    flags |= {flag.replace("--", "--no-", 1) for flag in flags}
    lines = [line for line in page.read_text().splitlines() if "wsgiserver " in line]
    used = {flag for line in lines for flag in re.findall(r"(?<!\S)(--[a-z-]+)", line.partition("wsgiserver ")[2])}
    used |= set(re.findall(r"`(--(?:limit|timeout|buffer|threads|no|quiet|bind)[a-z-]*)`", page.read_text()))
    assert used <= flags


def test_the_page_of_limits_has_every_limit_with_its_default():
    rows = re.findall(
        r"^\| [^|]+ \| (`[^|]+`) \| ([^|]+) \|", (DOCS / "reference" / "limits.md").read_text(), re.MULTILINE
    )
    told = {
        name: default
        for names, default in rows
        for name in re.findall(r"`([a-z-]+)`", names)
        if "as above" not in default
    }
    told.pop("ulimit", None)
    groups = ("Limits", "Deadlines", "Buffers")
    assert set(told) == {each.key for each in OPTIONS if each.group in groups} | {"backlog", "threads"}
    for name, default in told.items():
        option = BY_NAME[name.replace("-", "_")]
        assert option.read(default, name) == option.default


def test_the_page_of_limits_tells_the_fixed_ones_as_they_are():
    page = (DOCS / "reference" / "limits.md").read_text()
    told = [
        f"| empty lines before a request line | fixed, [`http11`](../../wsgiserver/http11.py) | {http11.EMPTY_LINES} |",
        f"(../../wsgiserver/http11.py) | {http11.CHUNK_SIZE_DIGITS} hex digits |",
        f"(../../wsgiserver/http11.py) | {http11.EXTENSION_LIMIT} bytes |",
        f"(../../wsgiserver/http11.py) | {http11.EXTENSIONS_LIMIT >> 10} KiB |",
        f"| {connection.HEAD_RECEIVE_SIZE >> 10} KiB; in a body {connection.BODY_RECEIVE_SIZE >> 10} KiB |",
        f"| {connection.LINGER_SIZE >> 20} MiB, {connection.LINGER_TIME:g} s |",
        f"| {files.FILE_SHARE >> 20} MiB | the others have their turn",
        f"(../../wsgiserver/loop.py) | {loop.COHORT} |",
        f"(../../wsgiserver/loop.py) | {loop.RUN_TIME * 1000:g} ms |",
        f"| {heads.KNOWN_NAMES} names of {heads.KNOWN_NAME_LENGTH} bytes at most |",
        f"| {heads.KNOWN_HOSTS} values of {heads.KNOWN_HOST_LENGTH} bytes at most |",
        f"made from a head of {http11.LONG_HEAD >> 10} KiB at most; none after {http11.MISFITS} ",
        f"| {forms.RecentHeads.HEADS} heads of {forms.RecentHeads.LENGTH >> 10} KiB at most |",
        f"(../../wsgiserver/forms.py) | {forms.RecentHeads.HASHES} |",
        f"| {responses.KNOWN_HEADS} heads of {responses.KNOWN_HEAD_LENGTH >> 10} KiB at most |",
        f"(../../wsgiserver/predictor.py) | {predictor.MOST_ROUTES} |",
        f"is cut to {messages.SHOWN} bytes",
        f"looks every {sockets.LOOK:g} s whether the server has stopped",
    ]
    assert [words for words in told if words not in page] == []


def test_the_page_of_the_architecture_names_every_module():
    page = (DOCS / "explanation" / "architecture.md").read_text()
    modules = {module.name for module in (ROOT / "wsgiserver").glob("*.py")} - {"__init__.py"}
    assert {module for module in modules if f"../../wsgiserver/{module})" not in page} == set()


NGINX = """
daemon off; worker_processes 1; pid {folder}/pid; error_log stderr; {user}
events {{}}
http {{
    access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    {shown}
}}
"""


class Local(http.client.HTTPConnection):
    """A connection to a Unix socket."""

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(30)
        self.sock.connect(self.host)


@contextmanager
def nginx(folder: str) -> Iterator[str]:
    """Run nginx with the configuration that the page shows; give the path of the socket on which it listens."""
    front = f"{folder}/front"
    shown = (DOCS / "howto" / "nginx.conf").read_text()
    shown = shown.replace("/run/shop/shop.sock", f"{folder}/shop").replace("listen 80;", f"listen unix:{front};")
    # Its workers would else be a user who may not connect to a socket of root's.
    user = "user root;" if os.geteuid() == 0 else ""
    Path(folder, "nginx.conf").write_text(NGINX.format(folder=folder, shown=shown, user=user))
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(front)
        listener.listen()
        # nginx takes listening sockets over that it is told of so, and clients can connect before it has started.
        environment = {**os.environ, "NGINX": f"{listener.fileno()};"}
        command = ["nginx", "-e", "stderr", "-p", folder, "-c", f"{folder}/nginx.conf"]
        with subprocess.Popen(
            command, env=environment, pass_fds=[listener.fileno()], stderr=subprocess.PIPE
        ) as process:
            try:
                yield front
            finally:
                process.terminate()
                process.communicate(timeout=30)


def test_nginx_in_the_page_closes_idle_connections_before_the_server_does():
    [seconds] = re.findall(r"^ +keepalive_timeout (\d+)s;", (DOCS / "howto" / "nginx.conf").read_text(), re.MULTILINE)
    assert int(seconds) < BY_NAME["timeout_keep_alive"].default


@pytest.mark.skipif(
    shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin") is None, reason="nginx is not installed"
)
def test_the_configuration_of_nginx_in_the_page_works():
    asked = []

    def application(environ, start_response):
        asked.append((environ["REMOTE_ADDR"], environ["HTTP_HOST"], environ["HTTP_X_FORWARDED_PROTO"]))
        body = environ["wsgi.input"].read()
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"%d bytes" % len(body), b" came"]

    peers = set()
    with (
        tempfile.TemporaryDirectory() as folder,
        Server(application, bind=f"unix:{folder}/shop", observers=[lambda exchange: peers.add(exchange.peer)]),
        nginx(folder) as front,
    ):
        client = Local(front)
        try:
            for size in (0, 3_000_000, 5):
                client.request("POST", "/", b"x" * size, headers={"Host": "shop.example"})
                assert client.getresponse().read() == b"%d bytes came" % size
            client.close()
            # A health check of HTTP/1.0 names no host.
            client.connect()
            client.sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
            assert client.sock.makefile("rb").read().endswith(b"0 bytes came")
        finally:
            client.close()
    assert asked == [("", "shop.example", "http")] * 4
    assert peers == {"unix:"}
