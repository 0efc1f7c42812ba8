"""The server as curl sees it: a client that nobody here wrote."""

import hashlib
import random
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from wsgiserver.loader import load

ROOT = Path(__file__).parents[1]
SIZE = 50_000_000
# Seconds after which curl gives up, and with it the test.
PATIENCE = 120

pytestmark = [
    pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed"),
    pytest.mark.usefixtures("nothing_left"),
]


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    """Give ``app(name)``: an application of `apps/`."""
    monkeypatch.chdir(ROOT)
    return lambda name: load(f"apps.{name}:app")


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a file of 50 MB of random bytes, which cannot be compressed."""
    path = tmp_path_factory.mktemp("curl") / "large.bin"
    path.write_bytes(random.Random(2).randbytes(SIZE))
    return path


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def curl(*arguments: Any, **options: Any) -> subprocess.CompletedProcess[bytes]:
    """Run curl, which must succeed; its own messages go to ``stderr``, what it received to ``stdout``."""
    # -q first: whoever runs the tests may have a .curlrc; --noproxy: or a proxy.
    line = ["curl", "-q", "--noproxy", "*", "--silent", "--show-error", "--max-time", str(PATIENCE), *arguments]
    return subprocess.run(line, capture_output=True, check=True, **options)


def heads(ended: subprocess.CompletedProcess[bytes]) -> list[bytes]:
    """Give what curl says with --verbose that it received as heads, line by line."""
    lines = ended.stderr.replace(b"\r", b"").split(b"\n")
    return [line.removeprefix(b"< ") for line in lines if line.startswith(b"< ")]


@pytest.mark.parametrize(("option", "closes"), [("--http1.0", True), ("--http1.1", False)])
def test_a_page_in_each_version(serve: Any, app: Any, option: str, closes: bool) -> None:
    ended = curl("--verbose", option, serve(app("hello")).url + "/")
    assert heads(ended)[0] == b"HTTP/1.1 200 OK"
    assert (b"connection: close" in [line.lower() for line in heads(ended)]) == closes
    assert b"<h1>Hello World</h1>" in ended.stdout


def test_http_1_0_and_a_body_of_unknown_length(serve: Any, app: Any) -> None:
    ended = curl("--verbose", "--http1.0", serve(app("stream")).url + "/?count=3&interval=0")
    assert ended.stdout == b"line 1 of 3\nline 2 of 3\nline 3 of 3\n"
    assert not [line for line in heads(ended) if line.lower().startswith((b"transfer-encoding", b"content-length"))]


def test_http_1_1_and_a_body_of_unknown_length(serve: Any, app: Any) -> None:
    ended = curl("--verbose", serve(app("stream")).url + "/?count=3&interval=0")
    assert ended.stdout == b"line 1 of 3\nline 2 of 3\nline 3 of 3\n"
    assert b"Transfer-Encoding: chunked" in heads(ended)


def test_two_pages_over_one_connection(serve: Any, app: Any) -> None:
    url = serve(app("hello")).url
    ended = curl("--write-out", "%{num_connects} %{http_code}\n", "--output", "/dev/null", url, "-o", "/dev/null", url)
    assert ended.stdout.split() == [b"1", b"200", b"0", b"200"]


def test_an_upload_of_50_mb(serve: Any, app: Any, large: Path) -> None:
    """curl asks for leave before it sends a body as large as this."""
    ended = curl("--verbose", "-H", "Expect: 100-continue", "--form", f"file=@{large}", serve(app("upload")).url)
    told = ended.stdout.decode().splitlines()
    assert told == ["name: large.bin", f"size: {SIZE} bytes", f"SHA-256: {sha256(large)}"]
    assert [line for line in heads(ended) if line.startswith(b"HTTP/")] == [
        b"HTTP/1.1 100 Continue",
        b"HTTP/1.1 200 OK",
    ]


def test_a_download_of_50_mb(serve: Any, app: Any, tmp_path: Path) -> None:
    target, head = tmp_path / "random.bin", tmp_path / "head"
    curl("--dump-header", head, "--output", target, f"{serve(app('download')).url}/?size={SIZE}")
    fields = dict(line.split(": ", 1) for line in head.read_text(encoding="ascii").splitlines() if ": " in line)
    assert target.stat().st_size == SIZE == int(fields["Content-Length"])
    assert sha256(target) == fields["X-SHA-256"]


def test_a_download_of_50_mb_in_http_1_0(serve: Any, app: Any, tmp_path: Path) -> None:
    target = tmp_path / "random.bin"
    ended = curl("-v", "--http1.0", "--output", target, f"{serve(app('download')).url}/?size={SIZE}")
    assert f"X-SHA-256: {sha256(target)}".encode() in heads(ended)


def test_a_path_typed_as_it_is_spoken(serve: Any, app: Any) -> None:
    """Its bytes are UTF-8; PEP 3333 has them in PATH_INFO as if they were latin-1."""
    url = serve(app("echo")).url.encode()
    path = "/你好"
    lines = curl(url + path.encode()).stdout.decode().splitlines()
    assert f"PATH_INFO: {path.encode().decode('latin-1')}" in lines


def test_head(serve: Any, app: Any) -> None:
    url = serve(app("hello")).url
    ended = curl("--head", url, "--next", "-q", "--silent", "--write-out", "%{num_connects}", url)
    head, _, page = ended.stdout.partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    assert lines[0] == b"HTTP/1.1 200 OK"
    assert b"Content-Length: %d" % len(page.removesuffix(b"0")) in lines
    assert page.endswith(b"</html>\n0")  # over the same connection


def test_an_upload_from_a_pipe_comes_in_chunks(serve: Any) -> None:
    def app(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        body = environ["wsgi.input"]
        digest = hashlib.sha256(body.read(1000))
        while data := body.read(65536):
            digest.update(data)
        kind = environ.get("HTTP_TRANSFER_ENCODING"), environ["CONTENT_LENGTH"]
        return [f"{environ['REQUEST_METHOD']} {kind} {digest.hexdigest()}".encode()]

    data = random.Random(3).randbytes(5_000_000)
    ended = curl("-T", "-", serve(app).url, input=data)
    assert ended.stdout.decode().endswith(f"(None, '5000000') {hashlib.sha256(data).hexdigest()}")
    assert ended.stdout.startswith(b"PUT ")


def test_over_a_unix_socket(serve: Any, app: Any, tmp_path: Path) -> None:
    serve(app("echo"), bind=f"unix:{tmp_path / 's'}")
    ended = curl("--unix-socket", tmp_path / "s", "--data", "a body", "http://example.org/some/path?and=query")
    lines = ended.stdout.decode().splitlines()
    assert {"HTTP_HOST: example.org", "PATH_INFO: /some/path", "QUERY_STRING: and=query"} <= set(lines)
    assert lines[-1] == "a body"


def test_a_cookie_session(serve: Any, app: Any, tmp_path: Path) -> None:
    pytest.importorskip("flask")
    url = serve(app("flask_app")).url + "/visits"
    jar = ["--cookie-jar", tmp_path / "jar", "--cookie", tmp_path / "jar"]
    assert [f"Visits: {count}".encode() in curl(*jar, url).stdout for count in (1, 2, 3)] == [True] * 3


def test_an_answer_that_was_cut_short_is_seen_as_such(serve: Any, app: Any, capfd: Any) -> None:
    """curl's exit status 18 is a partial file, 56 a failure to receive."""
    with pytest.raises(subprocess.CalledProcessError) as raised:
        curl(serve(app("crash")).url + "/after")
    assert raised.value.returncode in (18, 56)
    assert raised.value.stdout == b"the first half of the answer\n"
