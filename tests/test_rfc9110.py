"""RFC 9110 (HTTP semantics): one test or more for each MUST that binds an origin server, bytes in and bytes out.

What the specification leaves to the application (validators, ranges, authentication) is not the server's to keep.
"""

import re
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any

import pytest
from clients import GET, GET_1_0, answering
from feeding import Limits, bytewise, one, refusal
from talking import Talk, chunked, head, hello, phrase, post, talk

from wsgiserver.welcome import application as welcome

# -- Sections 2 and 4: conformance, identifiers --------------------------------------------------------------------


@pytest.mark.parametrize(
    "header",
    [
        ("Bad Name", "a"),
        ("", "a"),
        ("X:", "a"),
        ("X\r\n", "a"),
        ("Caf\xe9", "a"),
        ("X", "a\x00b"),
        ("X", "a\x01b"),
        ("X", "a\x7fb"),
        ("X", "\u4f60"),
        ("X", b"a"),
        ("X", 1),
        (b"X", "a"),
    ],
    ids=repr,
)
def test_2_2_what_does_not_match_the_grammar_is_not_generated(header: tuple[str, str]) -> None:
    """Section 2.2: "A sender MUST NOT generate protocol elements that do not match the grammar"."""
    talked = talk(GET, answering([b"hello"], header))
    response = talked.response()
    assert response.status == 500
    assert [name for name, _ in response.headers if name.startswith(("X", "Bad", "Caf"))] == []
    assert not talked.closed


@pytest.mark.parametrize("target", ["http:///a", "http://:80/a", "http://", "https:///a"])
def test_4_2_1_an_http_uri_without_host_is_refused(target: str) -> None:
    """Sections 4.2.1 and 4.2.2: "A recipient that processes such a URI reference MUST reject it as invalid"."""
    assert talk(head(start=f"GET {target} HTTP/1.1")).response().status == 400


def test_4_2_1_a_host_field_of_a_port_alone_names_no_host() -> None:
    """Section 4.2.1: the target URI would be http://:80/, which has an empty host identifier."""
    assert talk(head(host=":80")).response().status == 400


@pytest.mark.parametrize("user", ["user@", "user:secret@", "@", ":@"])
def test_4_2_4_a_user_name_in_the_target_is_refused(user: str) -> None:
    """Section 4.2.4: userinfo is not sent, and is treated as an error where it comes."""
    error = refusal(head(start=f"GET http://{user}example.com/ HTTP/1.1"))
    assert (error.status, error.section) == (400, "RFC 9110 section 4.2.4")


# -- Section 5: fields ---------------------------------------------------------------------------------------------


def test_5_1_field_names_are_case_insensitive() -> None:
    (environ,) = talk(b"POST / HTTP/1.1\r\nhOST: a\r\ncontent-LENGTH: 2\r\nx-one: 1\r\n\r\nhi").environs
    assert (environ["HTTP_HOST"], environ["CONTENT_LENGTH"], environ["HTTP_X_ONE"]) == ("a", "2", "1")
    assert environ["wsgi.input"].read() == b"hi"


def test_5_1_unknown_fields_are_passed_on() -> None:
    assert talk(head("X-Unheard-Of: 1")).environs[0]["HTTP_X_UNHEARD_OF"] == "1"


def test_5_3_fields_of_one_name_are_combined_in_order() -> None:
    """Section 5.3: the order of lines of one name is significant."""
    (environ,) = talk(head("Accept: a/a", "X: 1", "accept: b/b", "ACCEPT: c/c")).environs
    assert environ["HTTP_ACCEPT"] == "a/a, b/b, c/c"


def test_5_3_cookies_are_combined_as_cookies() -> None:
    """Section 5.3 leaves room for fields that are no lists; RFC 6265 joins with a semicolon."""
    assert talk(head("Cookie: a=1", "Cookie: b=2")).environs[0]["HTTP_COOKIE"] == "a=1; b=2"


def test_5_3_the_request_is_not_applied_before_its_header_section_is_whole() -> None:
    """Section 5.3: a server "MUST NOT apply a request … until it receives the entire request header section"."""
    talked = Talk(hello)
    for piece in bytewise(head("X: 1")[:-1]):
        talked.say(piece)
        assert talked.environs == []
    assert len(talked.say(b"\n").environs) == 1


def test_5_3_the_order_and_repetition_of_response_headers_are_kept() -> None:
    headers = [("Set-Cookie", "a=1"), ("X-Two", "2"), ("set-cookie", "b=2")]
    response = talk(GET, answering([b"hello"], *headers)).response()
    assert response.headers[:3] == headers


@pytest.mark.parametrize(
    ("data", "limits"),
    [
        (head("X: " + "a" * 200), {"limit_head": 200}),
        (head(*(f"X-{number}: a" for number in range(5))), {"limit_fields": 5}),
        (head("A" * 300)[:-4], {"limit_head": 200}),
    ],
    ids=["octets", "lines", "without-end"],
)
def test_5_4_more_fields_than_are_wished_for_are_answered_with_4xx(data: bytes, limits: dict[str, Any]) -> None:
    """Section 5.4: "MUST respond with an appropriate 4xx (Client Error) status code"."""
    talked = talk(data, **limits)
    assert talked.response().status == 431
    assert talked.closed
    assert talked.environs == []


@pytest.mark.parametrize("value", [" a", "a ", "\ta\t", " \t a b \t ", "a"])
def test_5_5_white_space_around_a_value_is_excluded(value: str) -> None:
    """Section 5.5: "a field parsing implementation MUST exclude such whitespace"."""
    assert one(head(f"X:{value}")).fields[1] == ("X", value.strip())


@pytest.mark.parametrize("octet", ["\r", "\n", "\0"], ids=["CR", "LF", "NUL"])
@pytest.mark.parametrize("value", ["{}a", "a{}b", "a{}"])
def test_5_5_cr_lf_or_nul_within_a_value_is_refused(value: str, octet: str) -> None:
    """Section 5.5: "MUST either reject the message or replace each of those characters"; this server rejects."""
    assert refusal(head("X: " + value.format(octet))).status == 400


@pytest.mark.parametrize("octet", [*range(1, 9), 0x0B, 0x0C, *range(0x0E, 0x20), 0x7F])
def test_5_5_other_control_characters_within_a_value_are_refused(octet: int) -> None:
    """Section 5.5: they "are also invalid"."""
    error = refusal(head(f"X: a{chr(octet)}b"))
    assert (error.status, error.section) == (400, "RFC 9110 section 5.5")


@pytest.mark.parametrize("value", ["close,", ", close", " ,, close , ", "x,,close"])
def test_5_6_1_2_empty_list_elements_are_ignored(value: str) -> None:
    """Section 5.6.1.2: "A recipient MUST parse and ignore a reasonable number of empty list elements"."""
    assert talk(head(f"Connection: {value}")).closed


def test_5_6_1_2_empty_list_elements_are_ignored_in_transfer_encoding() -> None:
    data = post("Transfer-Encoding: ,chunked, ,") + b"2\r\nhi\r\n0\r\n\r\n"
    assert one(data).body == b"hi"


def test_5_6_4_a_quoted_pair_within_a_quoted_string_ends_nothing() -> None:
    r"""Section 5.6.4: \" stands for a quotation mark, here within a chunk extension."""
    assert one(chunked(b'2;a="\\";b\\\\"\r\nhi\r\n0\r\n\r\n')).body == b"hi"


def test_5_6_7_dates_are_generated_as_imf_fixdate() -> None:
    """Section 5.6.7: "the sender MUST generate those timestamps in the IMF-fixdate format"."""
    date = talk(GET).response().get("Date")
    assert date is not None
    assert re.fullmatch(r"[A-Z][a-z]{2}, \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} GMT", date)
    assert isinstance(parsedate_to_datetime(date), datetime)


# -- Section 6: messages -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("data", [GET, GET_1_0, GET.replace(b"1.1", b"1.2"), GET.replace(b"1.1", b"1.9")])
def test_6_2_the_server_sends_the_highest_version_that_it_conforms_to(data: bytes) -> None:
    """Section 6.2: not the request's, and never one to which it does not conform."""
    assert talk(data).sent.startswith(b"HTTP/1.1 200 OK\r\n")


def test_6_2_a_higher_minor_version_is_processed_as_1_1() -> None:
    talked = talk(b"GET / HTTP/1.2\r\nHost: a\r\n\r\n")
    assert talked.environs[0]["SERVER_PROTOCOL"] == "HTTP/1.1"
    assert not talked.closed


@pytest.mark.parametrize("version", ["2.0", "0.9", "3.0", "9.9"])
def test_6_2_another_major_version_is_answered_with_505(version: str) -> None:
    talked = talk(head(start=f"GET / HTTP/{version}"))
    assert talked.response().status == 505
    assert talked.closed


@pytest.mark.parametrize("trailer", ["Authorization: Basic eA==", "Host: other", "Content-Type: text/html", "X: 2"])
def test_6_5_1_a_trailer_is_not_merged_into_the_header_section(trailer: str) -> None:
    """Section 6.5.1: "A recipient MUST NOT merge a trailer field into a header section"."""
    (environ,) = talk(chunked(f"0\r\n{trailer}\r\n\r\n".encode(), "X: 1")).environs
    assert environ["HTTP_X"] == "1"
    assert environ["HTTP_HOST"] == "example.com"
    assert not {"HTTP_AUTHORIZATION", "CONTENT_TYPE"} & environ.keys()


@pytest.mark.parametrize(
    "status", ["200 OK", "204 No Content", "301 Moved Permanently", "304 Not Modified", "404 Not Found"]
)
def test_6_6_1_a_date_is_generated(status: str) -> None:
    """Section 6.6.1: an origin server with a clock "MUST generate a Date header field" with 2xx, 3xx and 4xx."""
    assert talk(GET, answering([b""], status=status)).response().get("Date")


@pytest.mark.parametrize("data", [b"GET /\r\n\r\n", b"GET / HTTP/2.0\r\n\r\n", b"\r\n\r\n\r\n"])
def test_6_6_1_a_date_is_generated_when_a_request_is_refused(data: bytes) -> None:
    assert talk(data).response().get("Date")


def test_6_6_1_a_date_of_the_application_is_not_doubled() -> None:
    date = "Tue, 15 Nov 1994 08:12:31 GMT"
    assert talk(GET, answering([b""], ("date", date))).response().all("Date") == [date]


# -- Section 7: routing --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "POST", "HEAD", "options"])
def test_7_1_the_asterisk_form_is_for_options_only(method: str) -> None:
    """Section 7.1: "These forms MUST NOT be used with other methods"."""
    assert refusal(head(start=f"{method} * HTTP/1.1")).status == 400


@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS", "connect"])
def test_7_1_the_authority_form_is_for_connect_only(method: str) -> None:
    assert refusal(head(start=f"{method} example.com:80 HTTP/1.1")).status == 400


@pytest.mark.parametrize("name", ["Keep-Alive", "Proxy-Connection", "Proxy-Authenticate", "TE", "Trailer", "Upgrade"])
def test_7_6_1_hop_by_hop_headers_of_the_application_are_left_out(name: str) -> None:
    """Section 7.6.1: what concerns the connection is the server's to say, and would have to be listed in Connection."""
    response = talk(GET, answering([b"hello"], (name, "x"), ("X-Kept", "1"))).response()
    assert (response.get(name), response.get("X-Kept")) == (None, "1")


@pytest.mark.parametrize("value", ["keep-alive", "X-Kept", "upgrade"])
def test_7_6_1_only_close_is_taken_from_the_applications_connection_header(value: str) -> None:
    response = talk(GET, answering([b"hello"], ("Connection", value))).response()
    assert response.get("Connection") is None


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_7_8_upgrade_is_ignored(version: str) -> None:
    """Section 7.8: a server may ignore Upgrade, and on HTTP/1.0 it MUST."""
    data = head("Connection: upgrade", "Upgrade: websocket, h2c", start=f"GET / HTTP/{version}")
    response = talk(data).response()
    assert (response.status, response.get("Upgrade")) == (200, None)


@pytest.mark.parametrize("status", ["101 Switching Protocols", "100 Continue", "103 Early Hints", "199 X"])
def test_7_8_an_interim_status_of_the_application_is_no_final_response(status: str) -> None:
    """Sections 7.8 and 15.2: no protocol is switched to, and a final status follows; an application can give no 1xx."""
    assert talk(GET, answering([b""], status=status)).response().status == 500


# -- Section 8: representations ------------------------------------------------------------------------------------


def test_8_3_two_different_content_types_are_refused() -> None:
    """Sections 5.3 and 8.3: a singleton field; which of two would be meant is a guess."""
    assert refusal(head("Content-Type: text/plain", "Content-Type: text/html")).status == 400
    assert talk(head("Content-Type: a/b", "Content-Type: a/b")).environs[0]["CONTENT_TYPE"] == "a/b"


def test_8_6_the_length_is_sent_where_it_is_known() -> None:
    """Section 8.6 (SHOULD)."""
    assert talk(GET).response().get("Content-Length") == "5"


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_8_6_no_content_length_with_204(method: str) -> None:
    """Section 8.6: "A server MUST NOT send a Content-Length header field in any response with … 204"."""
    app = answering([b"hello"], ("Content-Length", "5"), status="204 No Content")
    assert talk(head(start=f"{method} / HTTP/1.1"), app).response(method).get("Content-Length") is None


def test_8_6_the_length_for_head_is_that_for_get() -> None:
    """Section 8.6: "MUST NOT send Content-Length in such a response unless" it is what GET would have had."""
    asked = head(start="HEAD / HTTP/1.1")
    for app in (hello, answering([b"hello"], ("Content-Length", "5"))):
        assert talk(asked, app).response("HEAD").get("Content-Length") == talk(GET, app).response().get(
            "Content-Length"
        )
    assert talk(asked, answering([])).response("HEAD").get("Content-Length") is None
    told = answering([], ("Content-Length", "5"))
    assert talk(asked, told).response("HEAD").get("Content-Length") == "5"


def test_8_6_the_length_with_304_is_the_applications_or_none() -> None:
    """Section 8.6: it would be that of the 200 response, which only the application knows."""
    told = answering([], ("Content-Length", "5"), status="304 Not Modified")
    assert talk(GET, told).response().get("Content-Length") == "5"
    assert talk(GET, answering([], status="304 Not Modified")).response().get("Content-Length") is None


@pytest.mark.parametrize("digits", ["9" * 19, "9" * 20, "18446744073709551616", "18446744073709551621", "9" * 5000])
def test_8_6_large_lengths_do_not_overflow(digits: str) -> None:
    """Section 8.6: "a recipient MUST anticipate potentially large decimal numerals"."""
    assert refusal(post(f"Content-Length: {digits}") + b"hello").status == 413


@pytest.mark.parametrize("zeros", [1, 15, 30, 5000])
def test_8_6_leading_zeros_change_no_length(zeros: int) -> None:
    assert one(post(f"Content-Length: {'0' * zeros}5") + b"hello").body == b"hello"


def test_8_6_a_wrong_content_length_of_the_application_is_never_completed() -> None:
    """Section 8.6: a length known to be incorrect is not let stand: cut at it, or the connection ends short of it."""
    for body in ([b"hello, world"], iter([b"hello", b", world"])):
        talked = talk(GET + GET, answering(body, ("Content-Length", "5")))
        assert talked.sent.endswith(b"\r\n\r\nhello")
        assert talked.closed
    for body in ([b"hel"], iter([b"h", b"el"])):
        talked = talk(GET + GET, answering(body, ("Content-Length", "5")))
        assert len(talked.environs) == 1
        assert talked.closed


# -- Section 9: methods --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH", "FOO", "get"])
def test_9_1_get_and_head_are_supported_and_others_are_the_applications(method: str) -> None:
    """Section 9.1: "All general-purpose servers MUST support the methods GET and HEAD"; names are case-sensitive."""
    talked = talk(head(start=f"{method} / HTTP/1.1"))
    assert talked.response(method).status == 200
    assert talked.environs[0]["REQUEST_METHOD"] == method


@pytest.mark.parametrize("headers", [[], [("Content-Length", "5")], [("Transfer-Encoding", "chunked")]])
@pytest.mark.parametrize("chunks", [[b"hello"], [b"hel", b"lo"]])
@pytest.mark.parametrize("status", ["200 OK", "404 Not Found", "500 Oh"])
def test_9_3_2_no_content_is_sent_in_response_to_head(
    status: str, chunks: list[bytes], headers: list[tuple[str, str]]
) -> None:
    """Section 9.3.2: "the server MUST NOT send content in the response"; the next response follows at once."""
    talked = talk(head(start="HEAD / HTTP/1.1") + GET, answering(chunks, *headers, status=status))
    first, second = talked.responses("HEAD", "GET")
    assert first.status == second.status
    assert talked.sent.count(b"\r\n\r\nHTTP/1.1 ") == 1


@pytest.mark.parametrize("method", ["HEAD", "GET"])
def test_9_3_2_refusals_of_head_are_whole_responses(method: str) -> None:
    """Section 9.3.2: an error in answer to HEAD, where its head was read, has no content either."""
    data = head("Expect: 100-continue", "Content-Length: 9", start=f"{method} / HTTP/1.1")
    assert talk(data, limit_body=5).closed


@pytest.mark.parametrize("target", ["example.com:443", "example.com:", "example.com:x", "example.com", "/"])
def test_9_3_6_connect_is_refused(target: str) -> None:
    """Section 9.3.6: an origin server need not tunnel; an empty or invalid port MUST be rejected."""
    talked = talk(head(start=f"CONNECT {target} HTTP/1.1"))
    assert talked.response().status == 501
    assert talked.environs == []
    assert talked.closed


# -- Section 10: expectations --------------------------------------------------------------------------------------


def test_10_1_1_an_expectation_on_http_1_0_is_ignored() -> None:
    """Section 10.1.1: "A server that receives a 100-continue expectation in an HTTP/1.0 request MUST ignore" it."""
    talked = Talk(hello).say(b"POST / HTTP/1.0\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
    assert talked.sent == b""
    assert talked.say(b"hi").response().status == 200


@pytest.mark.parametrize("lines", [("Content-Length: 2",), ("Transfer-Encoding: chunked",)])
def test_10_1_1_100_is_sent_at_once_and_once_and_a_final_status_follows(lines: tuple[str, ...]) -> None:
    """Section 10.1.1: "MUST NOT wait for the content before sending the 100", and "MUST ultimately send a final"."""
    talked = Talk(hello).say(post("Expect: 100-Continue", *lines))
    assert talked.sent == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert talked.environs == []
    for piece in bytewise(b"hi" if lines[0].endswith("2") else b"2\r\nhi\r\n0\r\n\r\n"):
        talked.say(piece)
    assert talked.sent.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n")
    assert talked.sent.count(b"100 Continue") == 1
    assert talked.environs[0]["wsgi.input"].read() == b"hi"


@pytest.mark.parametrize("data", [head("Expect: 100-continue"), post("Expect: 100-continue", "Content-Length: 0")])
def test_10_1_1_100_is_left_out_where_no_content_follows(data: bytes) -> None:
    """Section 10.1.1: it may be, "if the framing indicates that there is no content"."""
    assert talk(data).sent.startswith(b"HTTP/1.1 200 OK\r\n")


@pytest.mark.parametrize("body", [b"h", b"hi"])
def test_10_1_1_100_is_left_out_where_content_is_here_already(body: bytes) -> None:
    talked = Talk(hello).say(post("Expect: 100-continue", "Content-Length: 2") + body)
    assert not talked.sent.startswith(b"HTTP/1.1 100")


def test_10_1_1_each_request_may_expect_anew() -> None:
    talked = Talk(hello)
    for _ in range(2):
        talked.say(post("Expect: 100-continue", "Content-Length: 2"))
        assert talked.sent.endswith(b"HTTP/1.1 100 Continue\r\n\r\n")
        talked.say(b"hi")
    assert len(talked.environs) == 2


def test_10_1_1_a_final_status_comes_instead_of_100_where_the_head_decides() -> None:
    """Section 10.1.1: "an immediate response with a final status code, if that status can be determined"."""
    talked = talk(post("Expect: 100-continue", "Content-Length: 6"), limit_body=5)
    assert talked.response().status == 413
    assert talked.response().get("Connection") == "close"
    assert talked.closed


@pytest.mark.parametrize("value", ["miracles", "100-continue, miracles", "100-continue=1", "200-ok"])
def test_10_1_1_another_expectation_is_answered_with_417(value: str) -> None:
    """Section 10.1.1 (MAY)."""
    assert talk(post(f"Expect: {value}", "Content-Length: 2") + b"hi").response().status == 417


@pytest.mark.parametrize(
    "lines", [("Expect: 100-continue,",), ("Expect: , 100-Continue ,,",), ("Expect: 100-continue",) * 2]
)
def test_10_1_1_expectations_are_a_list(lines: tuple[str, ...]) -> None:
    """Section 10.1.1: Expect = #expectation; section 5.6.1.2: empty elements of a list are ignored."""
    talked = Talk(hello).say(post(*lines, "Content-Length: 2"))
    assert talked.sent == b"HTTP/1.1 100 Continue\r\n\r\n"


# -- Section 15: status codes --------------------------------------------------------------------------------------


def test_15_2_no_interim_response_is_sent_to_http_1_0() -> None:
    """Section 15.2: "a server MUST NOT send a 1xx response to an HTTP/1.0 client"."""
    talked = talk(b"POST / HTTP/1.0\r\nContent-Length: 2\r\nExpect: 100-continue\r\nConnection: keep-alive\r\n\r\n")
    assert b" 100 " not in talked.say(b"hi").sent


@pytest.mark.parametrize("headers", [[], [("Content-Length", "5")]])
@pytest.mark.parametrize("chunks", [[b"hello"], [b"hel", b"lo"]])
def test_15_3_6_no_content_is_sent_with_205(chunks: list[bytes], headers: list[tuple[str, str]]) -> None:
    """Section 15.3.6: "a server MUST NOT generate content in a 205 response"."""
    talked = talk(GET + GET, answering(chunks, *headers, status="205 Reset Content"))
    assert [response.body for response in talked.responses()] == [b"", b""]
    assert b"hel" not in talked.sent


def test_15_5_6_a_405_of_the_servers_own_page_names_the_methods_allowed() -> None:
    """Sections 10.2.1 and 15.5.6: "MUST generate an Allow header field in a 405 response"."""
    response = talk(head(start="DELETE / HTTP/1.1"), welcome).response()
    assert response.status == 405
    allow = response.get("Allow")
    assert allow is not None
    assert {"GET", "HEAD"} <= {method.strip() for method in allow.split(",")}


@pytest.mark.parametrize(
    ("data", "status", "limits"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", 400, {}),
        (head("Content-Length: 6"), 413, {"limit_body": 5}),
        (head(start="GET /" + "a" * 50 + " HTTP/1.1"), 414, {"limit_line": 40}),
        (head("Expect: x"), 417, {}),
        (head("X: " + "a" * 300), 431, {"limit_head": 200}),
        (head(start="CONNECT a:1 HTTP/1.1"), 501, {}),
        (head(start="GET / HTTP/2.0"), 505, {}),
    ],
)
def test_15_refusals_are_whole_responses_that_close(data: bytes, status: int, limits: dict[str, Any]) -> None:
    """Section 15: each has the registered reason, a text that says why, and ends the connection."""
    talked = talk(data, **limits)
    response = talked.response()
    assert (response.status, response.reason) == (status, phrase(status))
    assert response.get("Content-Type") == "text/plain; charset=utf-8"
    assert response.get("Content-Length") == str(len(response.body))
    assert b"RFC" in response.body
    assert response.get("Connection") == "close"
    assert talked.closed


def test_limits_of_one_request_do_not_count_for_the_next() -> None:
    """Section 5.4: limits are for one message."""
    limits = Limits(limit_line=20, limit_head=40, limit_fields=2)
    assert one(head("X: 1"), limits).fields[1] == ("X", "1")
    assert [response.status for response in talk(head("X: 1") * 3, limit_head=40, limit_fields=2).responses()] == [
        200
    ] * 3
