"""The applications of `apps/`: each does what its docstring says, and as PEP 3333 wants it."""

import ast
import hashlib
from pathlib import Path
from wsgiref.util import FileWrapper
from wsgiref.validate import validator

import pytest
import webtest

from wsgiserver.loader import load

ROOT = Path(__file__).parents[1]
NAMES = sorted(path.stem for path in (ROOT / "apps").glob("[!_]*.py"))
FRAMEWORKS = ["flask_app", "bottle_app"]
# More than any buffer holds, with a line end that lies across the limit of one read.
LARGE = b"x" * (64 * 1024 - 1) + b"\r\n" + bytes(range(256)) * 1000 + b"\r\n\r"


@pytest.fixture
def client(request, monkeypatch) -> webtest.TestApp:
    """Give the application of the test's parameter, loaded as its docstring says, between two validators."""
    monkeypatch.chdir(ROOT)
    return webtest.TestApp(validator(load(f"apps.{request.param}:app")), lint=True)


def serving(*names: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("client", names, indirect=True)


@pytest.mark.parametrize("name", NAMES)
def test_each_app_tells_the_command_that_serves_it(name):
    docstring = ast.get_docstring(ast.parse((ROOT / "apps" / f"{name}.py").read_text(encoding="utf-8")))
    assert f"\n    wsgiserver apps.{name}:app\n" in docstring + "\n"


@serving(*NAMES)
def test_each_app_answers_get_and_head_of_its_first_page(client, monkeypatch):
    monkeypatch.setenv("DOWNLOAD_SIZE", "1000")
    query = "/?seconds=0&interval=0"
    assert client.get(query).status == "200 OK"
    assert client.head(query).status == "200 OK"


# hello


@serving("hello")
def test_hello_is_an_html_page_that_says_hello_world(client):
    page = client.get("/")
    assert page.content_type == "text/html"
    assert page.html.h1.text == "Hello World"
    assert page.content_length == len(page.body)


# echo


@serving("echo")
def test_echo_shows_the_environ_in_order_and_then_the_body(client):
    text = client.post("/a%20b?c=d", "grüß\ngott".encode(), headers={"X-Test": "yes"}).text
    environ, body = text.split("\n\n", 1)
    lines = environ.splitlines()
    assert lines == sorted(lines, key=lambda line: line.split(": ")[0])
    assert {"HTTP_X_TEST: yes", "PATH_INFO: /a b", "QUERY_STRING: c=d", "REQUEST_METHOD: POST"} <= set(lines)
    assert body == "grüß\ngott"


@serving("echo")
def test_echo_shows_bytes_that_are_no_text_as_escapes(client):
    assert client.post("/", b"\xff\x00").text.endswith("\n\n\\xff\x00")


@serving("echo")
def test_echo_shows_the_first_mebibyte(client):
    assert client.post("/", b"x" * (2**20 + 5)).text.split("\n\n", 1)[1] == "x" * 2**20


@serving("echo")
def test_echo_reads_a_body_of_unknown_length_where_the_server_ends_it(client):
    """As a chunked one does: CONTENT_LENGTH is absent, and `wsgi.input_terminated` is true."""
    environ = {"wsgi.input_terminated": True, "CONTENT_LENGTH": ""}
    request = webtest.TestRequest.blank("/", environ, method="POST", body=b"some")
    request.environ["CONTENT_LENGTH"] = ""
    assert client.request(request).text.endswith("\n\nsome")


# stream


@serving("stream")
def test_stream_makes_as_many_lines_as_the_query_says(client):
    assert client.get("/?count=3&interval=0").text == "line 1 of 3\nline 2 of 3\nline 3 of 3\n"
    assert client.get("/?count=0").body == b""


def test_stream_makes_a_line_when_it_is_asked_for_one(monkeypatch):
    monkeypatch.chdir(ROOT)
    environ = {"QUERY_STRING": "count=1000&interval=60"}
    pieces = iter(load("apps.stream")(environ, lambda *_: None))
    assert next(pieces) == b"line 1 of 1000\n"
    pieces.close()


@serving("stream")
@pytest.mark.parametrize("query", ["count=x", "count=-1", "count=1e3", "count=99999", "interval=nan", "interval=-1"])
def test_stream_answers_400_to_what_it_cannot_do(client, query):
    assert "whole number" in client.get(f"/?{query}", status=400).text


# slow


@serving("slow")
def test_slow_waits_as_long_as_the_query_says(client):
    assert client.get("/?seconds=0.01").text == "waited 0.01 s\n"


@serving("slow")
@pytest.mark.parametrize("seconds", ["x", "-1", "61", "nan", "inf", "1e999", "%FF"])
def test_slow_answers_400_to_what_it_cannot_do(client, seconds):
    assert "0 to 60" in client.get(f"/?seconds={seconds}", status=400).text


# crash


@serving("crash")
def test_crash_raises_before_the_first_byte(client):
    with pytest.raises(RuntimeError, match="before the first byte"):
        client.get("/before")


def test_crash_raises_after_the_first_byte(monkeypatch):
    monkeypatch.chdir(ROOT)
    pieces = iter(load("apps.crash")({"PATH_INFO": "/after"}, lambda *_: None))
    assert next(pieces) == b"the first half of the answer\n"
    with pytest.raises(RuntimeError, match="after the first byte"):
        next(pieces)


@serving("crash")
def test_crash_otherwise_says_how_to_crash_it(client):
    assert "/before" in client.get("/").text


# download


@serving("download")
def test_download_sends_the_bytes_that_its_sha_256_vouches_for(client):
    answer = client.get("/?size=200001")
    assert answer.content_length == len(answer.body) == 200001
    assert answer.headers["X-SHA-256"] == hashlib.sha256(answer.body).hexdigest()
    assert client.get("/?size=0").body == b""


@serving("download")
def test_download_is_as_large_as_the_environment_says(client, monkeypatch):
    monkeypatch.setenv("DOWNLOAD_SIZE", "12")
    assert len(client.get("/").body) == 12


def test_download_gives_an_open_file_to_the_servers_file_wrapper(monkeypatch):
    """A file with a descriptor, at its beginning, which closing the wrapper closes."""
    monkeypatch.chdir(ROOT)
    environ = {"QUERY_STRING": "size=3", "wsgi.file_wrapper": FileWrapper}
    wrapper = load("apps.download")(environ, lambda *_: None)
    assert isinstance(wrapper, FileWrapper)
    assert wrapper.filelike.fileno() > 0
    assert wrapper.filelike.tell() == 0
    wrapper.close()
    assert wrapper.filelike.closed


@serving("download")
@pytest.mark.parametrize("size", ["x", "-1", "1.5", "9999999999", "1" * 5000, "%C2%B2"])
def test_download_answers_400_to_what_it_cannot_do(client, size):
    assert "number of bytes" in client.get(f"/?size={size}", status=400).text


# upload


@serving("upload")
@pytest.mark.parametrize("content", [b"", b"\r\n", b"\n", b"--", b"a\r\nb\r\n", b"\r", LARGE, b"\r\n" * 70000])
def test_upload_answers_name_size_and_sha_256(client, content):
    form = client.get("/").form
    form["file"] = [webtest.Upload("a name.bin", content)]
    digest = hashlib.sha256(content).hexdigest()
    assert form.submit().text == f"name: a name.bin\nsize: {len(content)} bytes\nSHA-256: {digest}\n"


@serving("upload")
def test_upload_takes_several_files_and_passes_over_ordinary_fields(client):
    files = [("file", "1.txt", b"one"), ("file", "2.txt", b"two")]
    lines = client.post("/", {"name": "x"}, upload_files=files).text.splitlines()
    assert lines[0::3] == ["name: 1.txt", "name: 2.txt"]
    assert lines[1::3] == ["size: 3 bytes", "size: 3 bytes"]


HEAD = b"\r\nContent-Disposition: form-data; name=x; "


@serving("upload")
@pytest.mark.parametrize(
    ("written", "name"),
    [
        ('filename="你好.txt"', "你好.txt"),
        ('filename="a%22b;c.txt"', 'a"b;c.txt'),
        (r'filename="a\"b.txt"', 'a"b.txt'),
        (r'filename="C:\new.txt"', r"C:\new.txt"),
    ],
)
def test_upload_reads_names_as_browsers_and_curl_write_them(client, written, name):
    body = b"--B" + HEAD + written.encode() + b"\r\n\r\n" + b"x\r\n--B--\r\n"
    assert posted(client, body).text.startswith(f"name: {name}\nsize: 1 bytes\n")


@serving("upload")
def test_upload_says_when_no_file_was_chosen(client):
    assert posted(client, b"--B" + HEAD + b'filename=""\r\n\r\n\r\n--B--\r\n').text == "no file was chosen\n"
    assert posted(client, b"--B--\r\n").text == "no file was chosen\n"


@serving("upload")
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"nonsense",
        b"--B",
        b"--B\r\n",
        b"--B" + HEAD + b'filename="x"\r\n\r\ncut off',
        b"--B" + HEAD + b'filename="x"\r\n\r\nline ends without CR\n--B--',
        b"--B" + HEAD + b'filename="x"\r\n\r\nx\r\n--Bwrong',
        b"--B\r\n" + b"X: " + b"y" * 200_000,
    ],
)
def test_upload_answers_400_to_a_broken_form(client, body):
    assert posted(client, body, status=400).text


@serving("upload")
@pytest.mark.parametrize("content_type", ["", "text/plain", "multipart/form-data", "multipart/form-data; boundary="])
def test_upload_answers_400_to_what_is_no_form_with_files(client, content_type):
    answer = client.post("/", b"--B--", headers={"Content-Type": content_type}, status=400)
    assert "multipart/form-data" in answer.text


def posted(client: webtest.TestApp, body: bytes, status: int = 200) -> webtest.TestResponse:
    headers = {"Content-Type": 'multipart/form-data; charset=utf-8; boundary="B"'}
    return client.post("/", body, headers=headers, status=status)


# flask_app and bottle_app, which do the same


@serving(*FRAMEWORKS)
def test_the_form_greets_whoever_fills_it_in(client):
    form = client.get("/").forms[0]
    form["name"] = "Zoë <b>"
    assert form.submit().html.h1.text == "Hello, Zoë <b>!"
    assert client.post("/form", {}, status=400).html.h1.text == "400 Bad Request"


@serving(*FRAMEWORKS)
def test_json_comes_and_goes(client):
    assert client.get("/json").json == {"method": "GET", "sent": None}
    assert client.post_json("/json", {"a": [1, "é"]}).json == {"method": "POST", "sent": {"a": [1, "é"]}}
    broken = {"Content-Type": "application/json"}
    assert client.post("/json", b"{", headers=broken, status=400).html.h1.text == "400 Bad Request"


@serving(*FRAMEWORKS)
def test_a_cookie_counts_the_visits(client):
    assert [client.get("/visits").html.h1.text for _ in range(3)] == ["Visits: 1", "Visits: 2", "Visits: 3"]


@serving(*FRAMEWORKS)
def test_a_forged_cookie_counts_nothing(client):
    client.set_cookie("visits", "99")
    client.set_cookie("session", "eyJ2aXNpdHMiOjk5fQ.forged")
    assert client.get("/visits").html.h1.text == "Visits: 1"


@serving(*FRAMEWORKS)
@pytest.mark.parametrize("content", [b"", b"small", LARGE])
def test_an_uploaded_file_is_described(client, content):
    form = client.get("/").forms[1]
    form["file"] = webtest.Upload("a b.bin", content)
    expected = {"name": "a b.bin", "size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    assert form.submit().json == expected
    assert client.post("/upload", {}, status=400).html.h1.text == "400 Bad Request"


@serving(*FRAMEWORKS)
def test_the_redirect_leads_home(client):
    assert client.get("/redirect").follow().html.h1.text.startswith("Hello from ")


@serving(*FRAMEWORKS)
@pytest.mark.parametrize(
    ("path", "heading"),
    [("/nowhere", "404 Not Found"), ("/form", "405 Method Not Allowed"), ("/error", "500 Internal Server Error")],
)
def test_an_error_has_a_page_of_the_applications_own(client, path, heading):
    answer = client.get(path, expect_errors=True)
    assert (answer.status.lower(), answer.html.h1.text) == (heading.lower(), heading)
