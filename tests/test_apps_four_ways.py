"""Each application of apps/ says the same in four ways: plain WebTest, WebTest over the wire, raw bytes, and live."""

import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
import webtest  # type: ignore[import-untyped]

from wsgiserver.loader import load
from wsgiserver.site import Application
from wsgiserver.testing import LiveServer, WireClient, wire

APPS = Path(__file__).parents[1] / "apps"
HOST = "shop.example"
# What the server adds, and what it frames the body with; the application says the rest.
SERVERS = {"date", "server", "connection", "transfer-encoding", "content-length"}
FORM = "application/x-www-form-urlencoded"
UPLOAD = (
    b'--edge\r\nContent-Disposition: form-data; name="file"; filename="a.bin"\r\n'
    b"Content-Type: application/octet-stream\r\n\r\n" + bytes(range(256)) * 1000 + b"\r\n--edge--\r\n"
)


class Case(NamedTuple):
    """One request to an application."""

    app: str
    method: str
    target: str
    type: str = ""
    body: bytes = b""


class Answer(NamedTuple):
    """What came back, as far as it is the application's, and what it raised."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes
    error: str


FAILED = 500
CASES = [
    Case("hello", "GET", "/"),
    Case("hello", "HEAD", "/"),
    Case("echo", "GET", "/a%20b/gr%C3%BC%C3%9F?c=%20d"),
    Case("echo", "POST", "/", "text/plain", b"a body"),
    Case("echo", "PUT", "/", "application/octet-stream", bytes(range(256)) * 2000),
    Case("slow", "GET", "/?seconds=0"),
    Case("slow", "GET", "/?seconds=nan"),
    Case("stream", "GET", "/?count=5&interval=0"),
    Case("stream", "HEAD", "/?count=5&interval=0"),
    Case("download", "GET", "/?size=300000"),
    Case("download", "GET", "/?size=0"),
    Case("download", "GET", "/?size=x"),
    Case("upload", "GET", "/"),
    Case("upload", "POST", "/", "multipart/form-data; boundary=edge", UPLOAD),
    Case("upload", "POST", "/", "text/plain", b"no form"),
    Case("crash", "GET", "/"),
    Case("crash", "GET", "/before"),
    *(
        Case(app, method, target, type, body)
        for app in ("flask_app", "bottle_app")
        for method, target, type, body in (
            ("GET", "/", "", b""),
            ("POST", "/form", FORM, b"name=J%C3%BCrgen"),
            ("POST", "/form", FORM, b""),
            ("GET", "/json", "", b""),
            ("POST", "/json", "application/json", b'{"a": [1, 2]}'),
            ("POST", "/upload", "multipart/form-data; boundary=edge", UPLOAD),
            ("GET", "/redirect", "", b""),
            ("GET", "/error", "", b""),
            ("GET", "/nowhere", "", b""),
            ("DELETE", "/json", "", b""),
        )
    ),
]


def plain(application: Application, case: Case) -> Answer:
    return through_webtest(webtest.TestApp(application), case)


def over_the_wire(application: Application, case: Case) -> Answer:
    return through_webtest(webtest.TestApp(wire(application)), case)


def through_webtest(client: Any, case: Case) -> Answer:
    # bottle redirects otherwise in HTTP/1.0, which WebOb speaks where nothing is said.
    environ = {"SERVER_PROTOCOL": "HTTP/1.1"}
    request = webtest.TestRequest.blank(case.target, environ, method=case.method, headers={"Host": HOST})
    if case.type:
        request.body, request.content_type = case.body, case.type
    try:
        response = client.do_request(request, expect_errors=True)
    except RuntimeError as error:
        return Answer(FAILED, [], b"", str(error))
    return Answer(response.status_int, said(response.headers.items()), response.body, "")


def raw(application: Application, case: Case) -> Answer:
    client = WireClient(application)
    headers = [("Host", HOST)]
    if case.type:
        headers += [("Content-Type", case.type)] + ([] if case.body else [("Content-Length", "0")])
    response = client.request(case.method, case.target, headers, case.body)
    if client.errors:
        return Answer(response.code, [], b"", str(client.errors[0]))
    return Answer(response.code, said(response.headers), response.body, "")


def live(application: Application, case: Case) -> Answer:
    headers = {"Host": HOST, **({"Content-Type": case.type} if case.type else {})}
    with LiveServer(application, raise_errors=False) as server:
        url = server.url + case.target
        response = httpx.request(
            case.method, url, headers=headers, content=case.body if case.type else None, timeout=30
        )
        if server.errors:
            return Answer(response.status_code, [], b"", str(server.errors[0]))
        return Answer(response.status_code, said(response.headers.items()), response.content, "")


def said(headers: Any) -> list[tuple[str, str]]:
    """Give the application's headers."""
    return sorted((name.lower(), value) for name, value in headers if name.lower() not in SERVERS)


def comparable(answer: Answer, case: Case) -> Answer:
    """Leave out what must differ: the body of a HEAD, which passes only where there is no wire; who serves."""
    if case.method == "HEAD":
        return answer._replace(body=b"")
    if case.app != "echo" or not answer.body:
        return answer
    environ, body = answer.body.split(b"\n\n", 1)
    same = rb"(?:REQUEST_METHOD|PATH_INFO|SCRIPT_NAME|QUERY_STRING|CONTENT_TYPE|HTTP_HOST|wsgi\.url_scheme): "
    lines = [line for line in environ.splitlines() if re.match(same, line)]
    return answer._replace(body=b"\n".join([*lines, b"", body]))


@pytest.mark.parametrize("way", [over_the_wire, raw, live], ids=lambda way: way.__name__)
@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.app} {case.method} {case.target} {case.type[:9]}")
def test_an_application_says_the_same_in_all_ways(case: Case, way: Callable[[Application, Case], Answer]) -> None:
    application = load(f"apps.{case.app}:app")
    answers = []
    for each in (plain, way):
        random.seed(case.target)  # download makes its file anew
        answers.append(comparable(each(application, case), case))
    assert answers[0] == answers[1]


def test_every_application_of_apps_is_asked() -> None:
    assert {case.app for case in CASES} == {path.stem for path in APPS.glob("[!_]*.py")}
