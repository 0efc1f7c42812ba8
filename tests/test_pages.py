"""Error pages: applications that say what went wrong, point at the byte, and keep secrets."""

from typing import Any
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

import pytest
from talking import phrase

from wsgiserver.messages import SHOWN, BadRequest
from wsgiserver.pages import failure, page, point_at, refusal
from wsgiserver.site import Application, Environ


def call(application: Application) -> tuple[str, dict[str, str], str]:
    """Call an application as wsgiref's validator lets it be called; give status, headers and text."""
    environ: Environ = {"QUERY_STRING": ""}
    setup_testing_defaults(environ)
    said: list[Any] = []
    result = validator(application)(environ, lambda status, headers, exc_info=None: said.extend((status, headers)))
    body = b"".join(result)
    result.close()  # type: ignore[attr-defined]
    status, headers = said
    return status, dict(headers), body.decode()


# -- Pages ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [400, 408, 413, 414, 417, 431, 500, 501, 505])
def test_a_page_is_a_wsgi_application_that_answers_in_plain_text(status: int) -> None:
    line, headers, text = call(page(status, "caf\xe9"))
    assert line == f"{status} {phrase(status)}"
    assert headers == {"Content-Type": "text/plain; charset=utf-8", "Content-Length": "5"}
    assert text == "caf\xe9"


def test_a_page_can_be_called_again_and_its_headers_belong_to_the_caller() -> None:
    application = page(400, "no")
    kept: list[Any] = []
    for _ in range(2):
        application({}, lambda status, headers: kept.append(headers))
        assert len(kept[-1]) == 2
        kept[-1].clear()


def test_a_page_takes_any_text() -> None:
    assert call(page(400, "\ud800"))[2] == "\\ud800"


def test_the_page_of_a_failed_application_says_nothing_of_its_insides() -> None:
    status, _, text = call(failure)
    assert status == "500 Internal Server Error"
    assert text.startswith("500 Internal Server Error\n\n")
    assert "Traceback" not in text
    assert len(text) < 200


# -- Refusals ------------------------------------------------------------------------------------------------------


def test_a_refusal_names_the_rule_its_place_and_the_byte() -> None:
    bad = BadRequest(400, "a field name is not a token", "RFC 9110 section 5.1", b"X[1]: a", 1)
    status, headers, text = call(refusal(bad, terse=False))
    assert status == "400 Bad Request"
    assert headers["Content-Length"] == str(len(text))
    assert text == (
        "400 Bad Request\n\n"
        "The request was refused: a field name is not a token (RFC 9110 section 5.1).\n\n"
        "    X[1]: a\n"
        "     ^\n"
    )


def test_a_refusal_without_a_line_shows_none() -> None:
    text = call(refusal(BadRequest(431, "too much", "RFC 6585 section 5"), terse=False))[2]
    assert text.endswith("The request was refused: too much (RFC 6585 section 5).\n")
    assert "^" not in text


@pytest.mark.parametrize("status", [400, 413, 501])
def test_a_terse_refusal_is_the_status_and_its_reason(status: int) -> None:
    line, _, text = call(refusal(BadRequest(status, "a reason", "a section", b"a line", 1), terse=True))
    assert line == f"{status} {phrase(status)}"
    assert text == f"{line}\n"


# -- The line and its caret ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "at", "shown"),
    [
        (b"abc", 0, "    abc\n    ^\n"),
        (b"abc", 2, "    abc\n      ^\n"),
        (b"abc", 3, "    abc\n       ^\n"),
        (b"abc", -1, "    abc\n"),
        (b"abc", 4, "    abc\n"),
        (b"a\tb", 2, "    a\\tb\n       ^\n"),
        (b"a\r\nb", 1, "    a\\r\\nb\n     ^\n"),
        (b"\x00\x1b[31m", 1, "    \\x00\\x1b[31m\n        ^\n"),
        (b"\x7f\x80\xff", 2, "    \\x7f\\x80\\xff\n            ^\n"),
        ("é".encode(), 0, "    \\xc3\\xa9\n    ^\n"),
        (b"<b>&amp;", 0, "    <b>&amp;\n    ^\n"),
        (b"a\\b", 2, "    a\\b\n      ^\n"),
    ],
)
def test_the_line_is_shown_with_a_caret_and_no_control_character(line: bytes, at: int, shown: str) -> None:
    assert point_at(line, at) == shown
    assert shown.isascii()


@pytest.mark.parametrize("at", [-1, 0, 1, 99, 100, 101, 250, 399, 400, 499, 500, 899, 900, 998, 999, 1000])
def test_of_a_long_line_the_part_around_the_byte_is_shown(at: int) -> None:
    line = bytearray(b"." * 1000)
    if 0 <= at < len(line):
        line[at] = ord("!")
    text, *caret = point_at(bytes(line), at).splitlines()
    assert text.count(".") + text.count("!") <= SHOWN + len("... " + " ...")
    assert text.startswith("    ... ") == (at > SHOWN // 2)
    assert text.endswith(" ...") == (at < 1000 - SHOWN // 2)
    assert len(caret) == (at >= 0)
    if 0 <= at < 1000:
        assert text[len(caret[0]) - 1] == "!"


@pytest.mark.parametrize("size", [SHOWN - 1, SHOWN])
def test_a_line_that_is_short_enough_is_shown_whole(size: int) -> None:
    assert point_at(b"x" * size, -1) == f"    {'x' * size}\n"


def test_an_empty_line_is_shown_empty() -> None:
    assert point_at(b"", 0) == "    \n    ^\n"


@pytest.mark.parametrize("name", [b"Authorization", b"COOKIE", b"cookie", b"Proxy-Authorization"])
@pytest.mark.parametrize("colon", [b": ", b":", b" : ", b"\t:", b" \t :"], ids=repr)
def test_secrets_are_not_shown_however_the_line_is_wrong(name: bytes, colon: bytes) -> None:
    for at in (-1, 0, 3, 25, 300, 500):
        shown = point_at(name + colon + b"hunter2 " * 50, at)
        assert name.decode() in shown
        assert "hunter2" not in shown
        assert len(shown) < 100


@pytest.mark.parametrize("line", [b" hunter2=2", b"\thunter2", b" Cookie: hunter2"], ids=repr)
def test_a_folded_line_is_not_shown_because_it_may_go_on_with_a_secret(line: bytes) -> None:
    assert "hunter2" not in point_at(line, 0)


def test_the_caret_under_the_name_of_a_secret_field_stays() -> None:
    assert point_at(b"Cookie: hunter2", 0) == "    Cookie: ...\n    ^\n"
    assert point_at(b"Cookie: hunter2", 3) == "    Cookie: ...\n       ^\n"


@pytest.mark.parametrize("line", [b"X-Cookie: a", b"Cookies: a", b"Cookie2: a", b"Set-Cookie: a"])
def test_other_fields_are_shown(line: bytes) -> None:
    assert line.decode() in point_at(line, 0)
