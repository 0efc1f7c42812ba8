"""What passes is shown to people without what looks like a secret."""

import io
from typing import Any

import pytest

from wsgiserver.masking import masked, shown
from wsgiserver.messages import BadResponse, Fields, Request
from wsgiserver.recording import Recording
from wsgiserver.responses import prepare_head
from wsgiserver.site import Environ
from wsgiserver.strict import StrictError, strict
from wsgiserver.wire import NotSendable, wire, write_request
from wsgiserver.wire_client import WireClient


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        (b"Authorization: Basic eDp5\r\nHost: a\r\n", b"Authorization: ***\r\nHost: a\r\n"),
        (b"set-cookie: a=b; Path=/\r\n", b"set-cookie: ***\r\n"),
        (b"X-Api-Key: 123\r\n", b"X-Api-Key: ***\r\n"),
        (b"X-Auth-Token: 123\r\n", b"X-Auth-Token: ***\r\n"),
        (b"GET /?user=a&access_token=b&c=d HTTP/1.1", b"GET /?user=a&access_token=***&c=d HTTP/1.1"),
        (b"\r\n\r\npassword=x&name=y", b"\r\n\r\npassword=***&name=y"),
        (b'{"password": "a\\"b", "name": "y"}', b'{"password": ***, "name": "y"}'),
        (b'name="password"\r\n\r\nsecret\r\n--b--\r\n', b'name="password"\r\n\r\n***\r\n--b--\r\n'),
        # Names as frameworks nest them.
        (b"user[password]=x&name=y", b"user[password]=***&name=y"),
        (b"user%5Bpassword%5D%5B%5D=x&name=y", b"user%5Bpassword%5D%5B%5D=***&name=y"),
        (b"user.password=x", b"user.password=***"),
        (b'{"user.password": "x", "name": "y"}', b'{"user.password": ***, "name": "y"}'),
        (b'name="user[password]"\r\n\r\nx', b'name="user[password]"\r\n\r\n***'),
        (b"name=password; a=b\r\n\r\nx", b"name=password; a=b\r\n\r\n***"),
        (b"form-data; name=password\r\n\r\nx", b"form-data; name=password\r\n\r\n***"),
        # Values of several lines and pieces; those that are cut.
        (
            b'--b\r\nX: y; name="secret"\r\n\r\n1\r\n--2--\r\n\r\n3\r\n--b\r\nX: y; name="a"\r\n\r\n4\r\n--b--',
            b'--b\r\nX: y; name="secret"\r\n\r\n***\r\n--b\r\nX: y; name="a"\r\n\r\n4\r\n--b--',
        ),
        (b'{"passwords": ["a", "]", {"b": ["c"]}], "name": "y"}', b'{"passwords": ***, "name": "y"}'),
        (b'{"token": {"a": "}", "b": 1}, "name": [1]}', b'{"token": ***, "name": [1]}'),
        (b'{"tokens": ["a", "b', b'{"tokens": ***'),
        (b'{"token": 17, "name": "y"}', b'{"token": ***, "name": "y"}'),
        # Other places in a target.
        (b"Location: /?a=b#access_token=x&c=d", b"Location: /?a=b#access_token=***&c=d"),
        (b"GET /a;jsessionid=x HTTP/1.1", b"GET /a;jsessionid=*** HTTP/1.1"),
        (b"a word about passwords: none", b"a word about passwords: none"),
    ],
)
def test_what_looks_like_a_secret_is_masked(data: bytes, shown: bytes) -> None:
    assert masked(data) == shown


@pytest.mark.parametrize(
    ("value", "name", "text"),
    [
        ("a=hunter2", "Set-Cookie", "'***'"),
        ("Basic hunter2", "HTTP_AUTHORIZATION", "'***'"),
        (b"hunter2", "X-Api-Key", "'***'"),
        # A name that is wrong itself.
        ("a=hunter2", "Set-Cookie :", "'***'"),
        ("/?token=hunter2&a=b", "Location", "'/?token=***&a=b'"),
        (b"token=hunter2", "", "b'token=***'"),
        (" a\n\udcff\u20ac", "X-Y", r"' a\n\udcff€'"),
        (("Set-Cookie", b"hunter2"), "", "('Set-Cookie', '***')"),
        (["set-cookie", "hunter2", 5], "", "['set-cookie', '***', '***']"),
        ((b"Set-Cookie", b"hunter2"), "", "(b'Set-Cookie', '***')"),
        ("Set-Cookie: hunter2", "", "'Set-Cookie: ***'"),
        (("X-Y", 5), "", "('X-Y', 5)"),
        (("X",), "", "('X',)"),
        ((), "", "()"),
        (None, "X-Y", "None"),
    ],
)
def test_a_value_is_shown_without_what_looks_like_a_secret(value: object, name: str, text: str) -> None:
    assert shown(value, name) == text


SECRETS = [
    ("Set-Cookie", "session=hunter2; Path=/\n"),
    ("Set-Cookie", "session=hunter2\u2603"),
    ("Set-Cookie:", "session=hunter2\t"),
    ("Set-Cookie", "session=hunter2 "),
    ("set-cookie", b"session=hunter2"),
    ("Authorization", 5, "hunter2"),
    ["Set-Cookie", "session=hunter2"],
    "Set-Cookie: session=hunter2",
    ("Location", "/?token=hunter2\n"),
    ("X-Auth-Token", "hunter2\n"),
]


@pytest.mark.parametrize("header", SECRETS, ids=repr)
@pytest.mark.parametrize("is_strict", [False, True])
def test_a_header_that_is_refused_is_told_without_its_secret(header: Any, is_strict: bool) -> None:
    """So the secret is neither in the server's log nor in the report of a test."""

    def application(environ: Environ, start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain"), header])
        return [b"hello"]

    told: list[StrictError] = []
    client = WireClient(strict(application, report=told.append) if is_strict else application)
    client.request("GET", "/a;session=hunter2")
    assert is_strict == bool(told)
    texts = [*map(str, told), *map(str, client.errors), *map(repr, client.exchanges), client.log.getvalue()]
    assert "hunter2" not in "".join(texts)


def test_headers_that_are_changed_are_told_without_their_secrets() -> None:
    def application(environ: Environ, start_response: Any) -> Any:
        headers = [("Content-Type", "text/plain")]
        start_response("200 OK", headers)
        headers += [("X-Y", "z"), ("Set-Cookie", "hunter2")]
        yield b"hello"

    told: list[StrictError] = []
    WireClient(strict(application, report=told.append)).request("GET", "/")
    assert [fault.detail for fault in told] == ["changed is [('X-Y', 'z'), ('Set-Cookie', '***')]"]


@pytest.mark.parametrize("value", ["hunter2\u2603", 5, b"hunter2"])
def test_a_variable_that_is_wrong_is_told_without_its_secret(value: object) -> None:
    def application(environ: Environ, start_response: Any) -> list[bytes]:
        environ["HTTP_COOKIE"] = value
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"hello"]

    told: list[StrictError] = []
    WireClient(strict(application, report=told.append)).request("GET", "/")
    assert [fault.rule for fault in told] == ["environ-changed"]
    assert "'***'" in told[0].detail


def test_the_character_that_is_wrong_is_told_of_a_value_that_is_not_shown() -> None:
    with pytest.raises(BadResponse, match=r"Set-Cookie, '\*\*\*', holds '\\n', a control character"):
        prepare_head("200 OK", [("Set-Cookie", "a=b\nc\td")])


def test_an_environ_that_no_client_could_send_is_told_without_its_secret() -> None:
    base = {"REQUEST_METHOD": "GET", "PATH_INFO": "/"}
    for changes in ({"HTTP_COOKIE": "a\r\nhunter2"}, {"PATH_INFO": "/;token=hunter2\u20ac"}):
        with pytest.raises(NotSendable) as caught:
            write_request({**base, **changes})
        assert "hunter2" not in str(caught.value)


def test_the_repr_of_what_was_sent_shows_no_secret() -> None:
    """It stands in the report of an assertion that fails."""
    fields = Fields(b"Cookie: hunter2\r\nX-Y: z\r\n", {})
    assert repr(fields) == "Fields(('Cookie', '***'), ('X-Y', 'z'))"
    assert repr(Request("GET", "/?token=hunter2", "/", "", None, 1, fields)) == "<Request GET /?token=*** HTTP/1.1>"
    assert "hunter2" not in repr(Recording(b"GET /?token=hunter2 HTTP/1.1", b"Set-Cookie: hunter2"))

    def application(environ: Environ, start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Set-Cookie", "hunter2")])
        return []

    environ: Environ = {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": "/",
        "HTTP_COOKIE": "hunter2",
        "wsgi.input": io.BytesIO(),
    }
    asked = wire(application)
    asked(environ, lambda status, headers: None)
    assert "hunter2" not in repr(asked.exchanges[0])
