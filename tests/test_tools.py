"""The tools that people really use: curl, h2load, ab, wrk, http.client, requests, and nginx before the server.

A tool that is not installed is no failure: its tests are skipped, and say so.
"""

import contextlib
import hashlib
import http.client
import os
import queue
import re
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from wsgiserver import Server
from wsgiserver.exchange import Exchange
from wsgiserver.site import Environ

PATIENCE = 60
PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin"
REQUESTS = 400
LARGE = bytes(range(256)) * (20 * 4096)  # 20 MiB


def needs(tool: str, package: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(shutil.which(tool, path=PATH) is None, reason=f"{tool} (Debian: {package}) is missing")


def run(*command: str, stdin: bytes | None = None) -> str:
    """Run a tool to its end, which must be a good one; give what it says."""
    tool = shutil.which(command[0], path=PATH) or command[0]
    done = subprocess.run([tool, *command[1:]], input=stdin, capture_output=True, timeout=PATIENCE, check=False)
    said = done.stdout.decode("utf-8", "replace")
    assert done.returncode == 0, said + done.stderr.decode("utf-8", "replace")
    return said


@dataclass
class Site:
    """The application, its server, and what the server has seen."""

    server: Server
    exchanges: "queue.SimpleQueue[Exchange]"
    go_on: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        return self.server.url

    @property
    def connections(self) -> int:
        """How many clients are connected."""
        assert self.server._loop is not None
        return len(self.server._loop.connections)

    def seen(self, count: int) -> list[Exchange]:
        """Wait for so many exchanges to end."""
        return [self.exchanges.get(timeout=PATIENCE) for _ in range(count)]

    def application(self, environ: Environ, start_response: Any) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        body = environ["wsgi.input"].read()
        if path == "/stream":
            return self.stream(start_response)
        start_response("200 OK", [("Content-Type", "text/plain"), ("X-Protocol", environ["SERVER_PROTOCOL"])])
        if path == "/large":
            return [LARGE]
        if path == "/echo":
            return [body]
        if environ["REQUEST_METHOD"] == "POST":
            return [f"{len(body)} {hashlib.sha256(body).hexdigest()}".encode()]
        return [path.encode("latin-1")]

    def stream(self, start_response: Any) -> Iterator[bytes]:
        """Give the second piece only when somebody has seen the first."""
        start_response("200 OK", [("Content-Type", "text/plain")])
        yield b"first"
        assert self.go_on.wait(PATIENCE)
        yield b"second"


@contextmanager
def serving(**settings: Any) -> Iterator[Site]:
    exchanges: queue.SimpleQueue[Exchange] = queue.SimpleQueue()
    server = Server(
        lambda environ, start_response: site.application(environ, start_response),
        observers=[exchanges.put],
        **{"bind": "127.0.0.1:0", **settings},
    )
    site = Site(server, exchanges)
    with server:
        try:
            yield site
        finally:
            site.go_on.set()


@pytest.fixture
def site(capsys: pytest.CaptureFixture[str]) -> Iterator[Site]:
    """A server over TCP, which says nothing while the test runs."""
    with serving() as site:
        yield site
    assert capsys.readouterr().err == ""


def digest(data: bytes) -> str:
    return f"{len(data)} {hashlib.sha256(data).hexdigest()}"


# -- curl ----------------------------------------------------------------------------------------------------------

curl = needs("curl", "curl")


def call(*arguments: str, stdin: bytes | None = None) -> str:
    return run("curl", "-sS", "--max-time", str(PATIENCE), *arguments, stdin=stdin)


@curl
def test_curl_keeps_its_connection(site: Site) -> None:
    said = call("-w", " %{num_connects}\n", f"{site.url}/a", f"{site.url}/b", f"{site.url}/c")
    assert said == "/a 1\n/b 0\n/c 0\n"


@curl
def test_curl_sees_a_head_without_a_body(site: Site) -> None:
    said = call("-I", f"{site.url}/large")
    assert said.startswith("HTTP/1.1 200 OK\r\n")
    assert f"Content-Length: {len(LARGE)}\r\n" in said


@curl
def test_curl_speaks_http_1_0(site: Site) -> None:
    assert "X-Protocol: HTTP/1.0" in call("-0", "-i", f"{site.url}/old")


@curl
def test_curl_sends_a_path_as_it_was_typed(site: Site) -> None:
    assert call(f"{site.url}/你好") == "/你好"


@curl
@pytest.mark.parametrize("how", ["Expect: 100-continue", "Transfer-Encoding: chunked", "X-Plain: yes"])
def test_curl_uploads(site: Site, how: str) -> None:
    said = call("-X", "POST", "-H", how, "--data-binary", "@-", f"{site.url}/", stdin=LARGE)
    assert said == digest(LARGE)


@curl
def test_curl_shows_a_stream_as_it_comes(site: Site) -> None:
    command = [shutil.which("curl", path=PATH) or "curl", "-sSN", "--max-time", str(PATIENCE), f"{site.url}/stream"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.read(5) == b"first"
        site.go_on.set()
        assert process.stdout.read() == b"second"
    assert process.returncode == 0


@curl
def test_curl_speaks_over_a_unix_socket(tmp_path: Path) -> None:
    with serving(bind=f"unix:{tmp_path}/s"):
        assert call("--unix-socket", f"{tmp_path}/s", "http://localhost/through") == "/through"


# -- Tools that measure --------------------------------------------------------------------------------------------


@needs("h2load", "nghttp2-client")
@pytest.mark.parametrize("path", ["/", "/echo"])
def test_h2load_in_http_1_1_mode_succeeds(site: Site, path: str, tmp_path: Path) -> None:
    (tmp_path / "body").write_bytes(b"x" * 5000)
    data = ["-d", f"{tmp_path}/body"] if path == "/echo" else []
    said = run("h2load", "--h1", "-n", str(REQUESTS), "-c", "10", *data, f"{site.url}{path}")
    assert f"requests: {REQUESTS} total, {REQUESTS} started, {REQUESTS} done, {REQUESTS} succeeded" in said
    assert len({exchange.peer for exchange in site.seen(REQUESTS)}) == 10


@needs("ab", "apache2-utils")
@pytest.mark.parametrize("keep", [True, False])
def test_ab_which_speaks_http_1_0_succeeds(site: Site, keep: bool) -> None:
    options = ["-k"] if keep else []
    said = run("ab", "-q", *options, "-n", str(REQUESTS), "-c", "10", f"{site.url}/")
    assert re.search(rf"Complete requests: +{REQUESTS}\n", said), said
    assert re.search(r"Failed requests: +0\n", said), said
    assert "Non-2xx" not in said
    if keep:
        assert re.search(rf"Keep-Alive requests: +{REQUESTS}\n", said), said
    assert len({exchange.peer for exchange in site.seen(REQUESTS)}) == (10 if keep else REQUESTS)


@needs("ab", "apache2-utils")
def test_ab_uploads(site: Site, tmp_path: Path) -> None:
    (tmp_path / "body").write_bytes(b"x" * 100_000)
    said = run("ab", "-q", "-k", "-n", "50", "-c", "5", "-p", f"{tmp_path}/body", "-T", "text/plain", f"{site.url}/")
    assert re.search(r"Failed requests: +0\n", said), said
    assert {exchange.body_received for exchange in site.seen(50)} == {100_000}


@needs("wrk", "wrk")
def test_wrk_sees_no_errors(site: Site) -> None:
    said = run("wrk", "-t", "1", "-c", "10", "-d", "1s", "--timeout", "30s", f"{site.url}/")
    assert re.search(r"[1-9][0-9]* requests in", said), said
    assert "Socket errors" not in said
    assert "Non-2xx" not in said


# -- Clients in Python ---------------------------------------------------------------------------------------------


def test_http_client_keeps_its_connection_through_everything(site: Site) -> None:
    client = http.client.HTTPConnection(*site.server.address, timeout=PATIENCE)
    with contextlib.closing(client):
        for method, path, body, expected in [
            ("GET", "/a", None, b"/a"),
            ("POST", "/", LARGE, digest(LARGE).encode()),
            ("HEAD", "/large", None, b""),
            ("GET", "/large", None, LARGE),
            ("POST", "/", iter([b"some ", b"pieces"]), digest(b"some pieces").encode()),
            ("GET", "/b", None, b"/b"),
        ]:
            client.request(method, path, body, encode_chunked=True)
            response = client.getresponse()
            assert (response.status, response.read()) == (200, expected)
    assert len({exchange.peer for exchange in site.seen(6)}) == 1


def test_http_client_reads_a_stream_as_it_comes(site: Site) -> None:
    client = http.client.HTTPConnection(*site.server.address, timeout=PATIENCE)
    with contextlib.closing(client):
        client.request("GET", "/stream")
        response = client.getresponse()
        assert response.read(5) == b"first"
        site.go_on.set()
        assert response.read() == b"second"
        client.request("GET", "/after")
        assert client.getresponse().read() == b"/after"


def test_requests_keeps_its_connection_through_everything(site: Site) -> None:
    requests = pytest.importorskip("requests")
    with requests.Session() as session:
        session.trust_env = False
        assert session.get(f"{site.url}/a", timeout=PATIENCE).text == "/a"
        assert session.post(site.url, LARGE, timeout=PATIENCE).text == digest(LARGE)
        assert session.post(site.url, iter([b"some ", b"pieces"]), timeout=PATIENCE).text == digest(b"some pieces")
        assert session.head(f"{site.url}/large", timeout=PATIENCE).headers["Content-Length"] == str(len(LARGE))
        assert session.get(f"{site.url}/large", timeout=PATIENCE).content == LARGE
        site.go_on.set()
        with session.get(f"{site.url}/stream", stream=True, timeout=PATIENCE) as response:
            assert response.headers["Transfer-Encoding"] == "chunked"
            assert response.content == b"firstsecond"
    assert len({exchange.peer for exchange in site.seen(6)}) == 1


# -- nginx ---------------------------------------------------------------------------------------------------------

NGINX = """
daemon off; worker_processes 1; pid {folder}/pid; error_log stderr; {user}
events {{}}
http {{
    access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    client_max_body_size 0;
    upstream behind {{ server {behind}; keepalive 4; }}
    server {{
        listen {front};
        proxy_http_version 1.1;
        proxy_set_header Connection "";
        location / {{ proxy_pass http://behind; }}
        location /unbuffered/ {{ proxy_request_buffering off; proxy_buffering off; proxy_pass http://behind/; }}
    }}
}}
"""


@pytest.fixture(params=["tcp", "unix"])
def proxied(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Site, http.client.HTTPConnection]]:
    """A server behind nginx, over TCP or a Unix socket, and a client of nginx."""
    bind = "127.0.0.1:0" if request.param == "tcp" else f"unix:{tmp_path}/s"
    with serving(bind=bind) as site, nginx(tmp_path, site.url.removeprefix("http://")) as address:
        client = http.client.HTTPConnection(*address, timeout=PATIENCE)
        with contextlib.closing(client):
            yield site, client


@contextmanager
def nginx(folder: Path, behind: str) -> Iterator[tuple[str, int]]:
    """Run nginx before a server; give the address on which it listens.

    nginx takes a listening socket over that it is told of in its environment. So nobody can take the port away, and
    clients can connect before it has started.
    """
    with socket.create_server(("127.0.0.1", 0)) as listener:
        host, port = listener.getsockname()
        # Its workers would else be a user who may not connect to a socket of root's.
        user = "user root;" if os.geteuid() == 0 else ""
        config = folder / "nginx.conf"
        config.write_text(NGINX.format(folder=folder, user=user, behind=behind, front=f"{host}:{port}"))
        command = [shutil.which("nginx", path=PATH) or "nginx", "-e", "stderr", "-p", str(folder), "-c", str(config)]
        environment = {**os.environ, "NGINX": f"{listener.fileno()};"}
        with (folder / "errors").open("wb") as errors:
            process = subprocess.Popen(command, env=environment, pass_fds=[listener.fileno()], stderr=errors)
        with process:
            try:
                yield host, port
            finally:
                process.terminate()
                process.wait(PATIENCE)
    said = (folder / "errors").read_text()
    assert not re.search(r"\[(warn|error|crit|alert|emerg)\]", said.replace("using inherited sockets", "")), said


behind_nginx = needs("nginx", "nginx")


@behind_nginx
def test_nginx_keeps_its_connection(proxied: tuple[Site, http.client.HTTPConnection]) -> None:
    site, client = proxied
    for number in range(50):
        client.request("GET", f"/{number}")
        response = client.getresponse()
        assert response.read() == b"/%d" % number
        assert response.headers["X-Protocol"] == "HTTP/1.1"
    assert len({exchange.peer for exchange in site.seen(50)}) == 1
    assert site.connections == 1


@behind_nginx
@pytest.mark.parametrize("path", ["/", "/unbuffered/"])
@pytest.mark.parametrize("how", ["length", "chunked"])
def test_a_large_upload_comes_through_nginx(
    proxied: tuple[Site, http.client.HTTPConnection], path: str, how: str
) -> None:
    site, client = proxied
    pieces = [LARGE[at : at + 100_000] for at in range(0, len(LARGE), 100_000)]
    client.request("POST", path, LARGE if how == "length" else iter(pieces), encode_chunked=True)
    response = client.getresponse()
    assert (response.status, response.read().decode()) == (200, digest(LARGE))
    assert [exchange.body_received for exchange in site.seen(1)] == [len(LARGE)]


@behind_nginx
def test_a_large_response_comes_through_nginx(proxied: tuple[Site, http.client.HTTPConnection]) -> None:
    _, client = proxied
    client.request("GET", "/large")
    response = client.getresponse()
    assert response.headers["Content-Length"] == str(len(LARGE))
    assert response.read() == LARGE


@behind_nginx
def test_a_chunked_response_comes_through_nginx_as_it_is_made(
    proxied: tuple[Site, http.client.HTTPConnection],
) -> None:
    site, client = proxied
    client.request("GET", "/unbuffered/stream")
    response = client.getresponse()
    assert response.headers["Transfer-Encoding"] == "chunked"
    assert response.read(5) == b"first"
    site.go_on.set()
    assert response.read() == b"second"
    client.request("GET", "/after")
    assert client.getresponse().read() == b"/after"
    assert len({exchange.peer for exchange in site.seen(2)}) == 1


@behind_nginx
def test_a_refusal_comes_through_nginx(proxied: tuple[Site, http.client.HTTPConnection]) -> None:
    """nginx passes on what the server finds to be wrong, and goes on with a new connection."""
    _, client = proxied
    client.request("GET", "/", headers={f"X-{number}": "a" for number in range(110)})
    response = client.getresponse()
    assert response.status == 431
    assert b"more than 100 field lines" in response.read()
    client.request("GET", "/after")
    assert client.getresponse().read() == b"/after"
