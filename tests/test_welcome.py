"""The Hello World page that the bare command serves."""

from collections.abc import Iterator
from html.parser import HTMLParser
from wsgiref.validate import validator

import pytest
import webtest

from wsgiserver import welcome
from wsgiserver.version import __version__

VOID = {"meta", "link"}


@pytest.fixture
def client() -> webtest.TestApp:
    return webtest.TestApp(validator(welcome.application))


def test_the_page_says_hello_world_in_utf_8_html(client):
    page = client.get("/")
    assert page.status == "200 OK"
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert page.html.h1.text == page.html.title.text == "Hello World"


def test_the_page_says_what_serves_it_and_how_to_serve_something_else(client):
    text = client.get("/").html.get_text()
    assert f"wsgiserver {__version__}" in text
    assert "wsgiserver hello:app" in text


def test_the_code_on_the_page_is_an_application_that_runs(client):
    code = client.get("/").html.pre.text
    names: dict[str, object] = {}
    exec(code, names)
    assert webtest.TestApp(validator(names["app"])).get("/").text == "Hello from my own application"


def test_the_length_is_told_and_is_below_four_kilobytes(client):
    page = client.get("/")
    assert page.content_length == len(page.body) < 4096


def test_the_page_needs_nothing_from_elsewhere(client):
    html = client.get("/").html
    assert html.find_all(src=True) == []
    assert [tag["href"] for tag in html.find_all(href=True) if not tag["href"].startswith("data:")] == []
    assert "url(" not in html.style.text
    assert "@import" not in html.style.text


def test_the_page_is_well_formed(client):
    """Every element is closed, in order, and the doctype comes first."""
    text = client.get("/").text
    assert text.startswith("<!DOCTYPE html>\n")
    reader = Nesting()
    reader.feed(text)
    reader.close()
    assert reader.open == []


class Nesting(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag, attrs):
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_head_answers_the_same_headers_and_no_body(client):
    head, get = client.head("/"), client.get("/")
    assert head.headers == get.headers
    assert head.body == b""


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_other_methods_are_refused_with_405_and_the_allowed_ones(client, method):
    """RFC 9110 section 15.5.6."""
    answer = client.request("/", method=method, expect_errors=True)
    assert answer.status == "405 Method Not Allowed"
    assert answer.headers["Allow"] == "GET, HEAD"
    assert answer.content_length == len(answer.body)


@pytest.mark.parametrize("path", ["/favicon.ico", "/a/b", "/index.html"])
def test_other_paths_are_not_found(client, path):
    answer = client.get(path, expect_errors=True)
    assert answer.status == "404 Not Found"
    assert answer.content_type == "text/plain"
    assert client.head(path, expect_errors=True).body == b""


def test_an_empty_path_is_the_page_too():
    """PEP 3333: PATH_INFO may be empty, or absent."""
    answers = [webtest.TestApp(without_path(path)).get("/") for path in ("", None)]
    assert [answer.status_int for answer in answers] == [200, 200]


def without_path(path: str | None):
    def app(environ, start_response) -> Iterator[bytes]:
        del environ["PATH_INFO"]
        return welcome.application(environ if path is None else {**environ, "PATH_INFO": path}, start_response)

    return app


def test_one_answer_cannot_change_the_headers_of_the_next(client):
    """PEP 3333 lets a server change the list of headers that it was given."""
    seen = []

    def start_response(status, headers, exc_info=None):
        seen.append(list(headers))
        headers.clear()

    for _ in range(2):
        welcome.application({"REQUEST_METHOD": "GET", "PATH_INFO": "/"}, start_response)
    assert seen[0] == seen[1] != []
