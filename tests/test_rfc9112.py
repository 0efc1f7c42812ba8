"""RFC 9112 (HTTP/1.1): one test or more for each MUST that binds an origin server, bytes in and bytes out.

What a reader alone decides is asked of the reader; what a client sees is asked of a connection in memory.
"""

from collections.abc import Iterable
from typing import Any

import pytest
from clients import GET, GET_1_0, answering
from feeding import Limits, bytewise, feed, one, refusal, whole
from talking import Talk, chunked, head, hello, post, talk

from wsgiserver.site import Environ

# -- Section 2: messages -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("byte", [0x80, 0x85, 0xA0, 0xFF])
def test_2_2_messages_are_parsed_as_octets(byte: int) -> None:
    """Section 2.2: no octet above 0x7F ends a line, a name or a value, whatever it is in some character set."""
    text = f"a{chr(byte)}b"
    request = one(head(f"X: {text}", start=f"GET /{text} HTTP/1.1"))
    assert request.target == f"/{text}"
    assert request.fields[1] == ("X", text)


@pytest.mark.parametrize(
    "data",
    [
        b"GET /\r HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\rHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHo\rst: a\r\n\r\n",
        chunked(b"2\rhi\r\n0\r\n\r\n"),
        chunked(b"0\r\nX: a\rb\r\n\r\n"),
    ],
    ids=["target", "request-line", "value", "name", "chunk-size", "trailer"],
)
def test_2_2_a_bare_cr_makes_its_element_invalid(data: bytes) -> None:
    """Section 2.2: "A recipient of such a bare CR MUST consider that element to be invalid"."""
    outcome = feed(whole(data))
    assert outcome == feed(bytewise(data))
    assert outcome.error is not None
    assert (outcome.error.status, outcome.error.section) == (400, "RFC 9112 section 2.2")


def test_2_2_a_bare_cr_within_content_is_content() -> None:
    assert one(post("Content-Length: 3") + b"a\rb").body == b"a\rb"
    assert one(chunked(b"3\r\na\rb\r\n0\r\n\r\n")).body == b"a\rb"


@pytest.mark.parametrize("value", ["a\rb", "a\r\nX-Split: yes", "a\nb", "a\r\n b"])
def test_2_2_the_server_generates_no_bare_cr_and_splits_no_response(value: str) -> None:
    """Sections 2.2, 5.2 and 11.1: what would be a bare CR, a folded line or a second header never leaves."""
    response = talk(GET, answering([b"hello"], ("X-Value", value))).response()
    assert response.status == 500
    assert response.all("X-Value") == response.all("X-Split") == []


@pytest.mark.parametrize("reason", ["OK\r\nX-Split: yes", "OK\r", "\nOK"])
def test_2_2_a_reason_phrase_splits_no_response(reason: str) -> None:
    """Section 4: a reason phrase holds no control character but the tab."""
    response = talk(GET, answering([b"hello"], status=f"200 {reason}")).response()
    assert (response.status, response.all("X-Split")) == (500, [])


@pytest.mark.parametrize("space", [b" ", b"\t", b"  \t"])
def test_2_2_white_space_between_request_line_and_first_field_is_refused(space: bytes) -> None:
    """Section 2.2: reject the message, or ignore such lines; this server rejects."""
    error = refusal(b"GET / HTTP/1.1\r\n" + space + b"Host: example.com\r\n\r\n")
    assert (error.status, error.section) == (400, "RFC 9112 section 2.2")


def test_2_2_an_empty_line_before_the_request_line_is_ignored() -> None:
    """Section 2.2 (SHOULD): at least one empty line received before the request line."""
    assert one(b"\r\n" + GET) == one(GET)
    assert [response.status for response in talk(GET + b"\r\n" + GET).responses()] == [200, 200]


# -- Section 3: the request line -----------------------------------------------------------------------------------


def test_3_a_longer_target_than_is_wished_for_is_answered_with_414() -> None:
    """Section 3: "MUST respond with a 414 (URI Too Long) status code"."""
    talked = talk(head(start=f"GET /{'a' * 100} HTTP/1.1"), limit_line=100)
    assert talked.response().status == 414
    assert talked.environs == []


def test_3_a_target_without_end_is_answered_with_414_before_it_ends() -> None:
    assert talk(b"GET /" + b"a" * 100, limit_line=100).response().status == 414


def test_3_request_lines_of_8000_octets_are_read() -> None:
    """Section 3 (RECOMMENDED): support request lines of 8000 octets at least."""
    start = f"GET /{'a' * 7986} HTTP/1.1"
    assert len(start) == 8000
    assert talk(head(start=start)).response().status == 200


@pytest.mark.parametrize(
    "fields",
    [b"", b"Accept: */*\r\n", b"Host: a\r\nHost: a\r\n", b"Host: a\r\nHost: b\r\n", b"Host: a b\r\n", b"Host: a/b\r\n"],
    ids=["none", "none-among-others", "twice", "twice-different", "space", "slash"],
)
@pytest.mark.parametrize("target", [b"/", b"http://example.com/"])
def test_3_2_no_host_two_or_an_invalid_one_is_answered_with_400(target: bytes, fields: bytes) -> None:
    """Section 3.2: "A server MUST respond with a 400 (Bad Request) status code" to each of these."""
    talked = talk(b"GET " + target + b" HTTP/1.1\r\n" + fields + b"\r\n")
    assert talked.response().status == 400
    assert talked.closed
    assert talked.environs == []


@pytest.mark.parametrize("fields", [b"Host: a\r\nHost: b\r\n", b"Host: a b\r\n"])
def test_3_2_two_hosts_or_an_invalid_one_are_refused_on_http_1_0_too(fields: bytes) -> None:
    """Section 3.2: "any request message", not only one of HTTP/1.1."""
    assert talk(b"GET / HTTP/1.0\r\n" + fields + b"\r\n").response().status == 400


def test_3_2_http_1_0_needs_no_host() -> None:
    assert talk(GET_1_0).response().status == 200


def test_3_2_an_empty_host_is_valid() -> None:
    """Section 3.2: it is what a client sends when the target URI has no authority."""
    talked = talk(head(host=""))
    assert talked.response().status == 200
    assert talked.environs[0]["HTTP_HOST"] == ""


def test_3_2_1_the_origin_form_gives_path_and_query() -> None:
    (environ,) = talk(head(start="GET /where?q=now HTTP/1.1")).environs
    assert (environ["PATH_INFO"], environ["QUERY_STRING"]) == ("/where", "q=now")


def test_3_2_2_the_absolute_form_is_accepted_and_its_authority_outranks_host() -> None:
    """Section 3.2.2: the server "MUST accept the absolute-form" and "MUST ignore the received Host header field"."""
    (environ,) = talk(head(start="GET http://other.example:81/a?b HTTP/1.1")).environs
    assert (environ["HTTP_HOST"], environ["PATH_INFO"], environ["QUERY_STRING"]) == ("other.example:81", "/a", "b")


@pytest.mark.parametrize("target", ["http://example.com", "http://example.com?q"])
def test_3_2_2_an_absolute_form_without_path_means_the_root(target: str) -> None:
    (environ,) = talk(head(start=f"GET {target} HTTP/1.1")).environs
    assert environ["PATH_INFO"] == "/"


def test_3_2_4_the_asterisk_form_asks_about_the_server() -> None:
    (environ,) = talk(head(start="OPTIONS * HTTP/1.1")).environs
    assert environ["PATH_INFO"] == "*"


# -- Section 4: the status line ------------------------------------------------------------------------------------


def test_4_the_space_behind_the_status_code_is_sent_without_a_reason_phrase_too() -> None:
    """Section 4: "A server MUST send the space that separates the status-code from the reason-phrase"."""
    assert talk(GET, answering([b"hello"], status="200 ")).sent.startswith(b"HTTP/1.1 200 \r\n")


@pytest.mark.parametrize("status", ["200", "20 OK", "2000 OK", "OK", "", "200OK", "abc OK"])
def test_4_a_status_that_would_make_no_status_line_is_not_sent(status: str) -> None:
    assert talk(GET, answering([b"hello"], status=status)).response().status == 500


# -- Section 5: field syntax ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("line", ["Accept : a", "Accept\t: a", "Transfer-Encoding : chunked", "Content-Length \t: 5"])
def test_5_1_white_space_between_name_and_colon_is_answered_with_400(line: str) -> None:
    """Section 5.1: "A server MUST reject, with a response status code of 400"."""
    error = refusal(head(line))
    assert (error.status, error.section) == (400, "RFC 9112 section 5.1")
    assert talk(head(line)).response().status == 400


@pytest.mark.parametrize("fold", ["X: a\r\n b", "X: a\r\n\tb", "X:\r\n a", "X: a\r\n "])
def test_5_2_a_folded_line_is_answered_with_400(fold: str) -> None:
    """Section 5.2: "MUST either reject the message by sending a 400" or replace the fold; this server rejects."""
    error = refusal(head(fold))
    assert (error.status, error.section) == (400, "RFC 9112 section 5.2")
    assert talk(head(fold)).response().status == 400


# -- Section 6: the message body -----------------------------------------------------------------------------------


def test_6_1_a_chunked_body_is_read() -> None:
    """Sections 6.1 and 7.1: "A recipient MUST be able to parse the chunked transfer coding"."""
    (environ,) = talk(chunked(b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n")).environs
    assert environ["wsgi.input"].read() == b"hello world"
    assert environ["CONTENT_LENGTH"] == "11"
    assert "HTTP_TRANSFER_ENCODING" not in environ


@pytest.mark.parametrize("name", ["Transfer-Encoding", "transfer-encoding"])
@pytest.mark.parametrize("coding", ["chunked", "gzip, chunked", "identity"])
def test_6_1_a_response_is_chunked_once_and_by_the_server_alone(name: str, coding: str) -> None:
    """Section 6.1: a sender "MUST NOT apply the chunked transfer coding more than once to a message body"."""
    response = talk(GET, answering(iter([b"hel", b"lo"]), (name, coding))).response()
    assert response.get("Transfer-Encoding") == "chunked"
    assert response.body == b"hello"


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified", "205 Reset Content"])
def test_6_1_no_transfer_encoding_where_there_is_no_body(status: str) -> None:
    """Section 6.1: "A server MUST NOT send a Transfer-Encoding header field" with 1xx or 204."""
    response = talk(GET, answering(iter([b"hel", b"lo"]), status=status)).response()
    assert response.get("Transfer-Encoding") is None


def test_6_1_no_transfer_encoding_with_100() -> None:
    talked = talk(post("Content-Length: 2", "Expect: 100-continue"))
    assert talked.sent == b"HTTP/1.1 100 Continue\r\n\r\n"


@pytest.mark.parametrize("data", [GET_1_0, b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"])
def test_6_1_no_transfer_encoding_to_http_1_0(data: bytes) -> None:
    """Section 6.1: "MUST NOT send a response containing Transfer-Encoding unless" the request is HTTP/1.1 or later."""
    talked = talk(data, answering(iter([b"hel", b"lo"])))
    response = talked.response()
    assert response.get("Transfer-Encoding") is None
    assert response.body == b"hello"
    assert talked.closed


@pytest.mark.parametrize(
    "lines",
    [("Content-Length: 5", "Transfer-Encoding: chunked"), ("Transfer-Encoding: chunked", "Content-Length: 5")],
)
def test_6_1_content_length_beside_transfer_encoding_ends_the_connection(lines: tuple[str, str]) -> None:
    """Section 6.1: reject it or not, "the server MUST close the connection after responding"."""
    talked = talk(post(*lines) + b"0\r\n\r\n" + GET)
    assert talked.response().status == 400
    assert talked.response().get("Connection") == "close"
    assert talked.closed
    assert talked.environs == []


@pytest.mark.parametrize("extra", ["", "Content-Length: 5\r\n", "Connection: keep-alive\r\n"])
@pytest.mark.parametrize("coding", ["chunked", "identity"])
def test_6_1_transfer_encoding_on_http_1_0_is_faulty_framing(coding: str, extra: str) -> None:
    """Section 6.1: "MUST treat the message as if the framing is faulty", "and close the connection"."""
    talked = talk(f"POST / HTTP/1.0\r\n{extra}Transfer-Encoding: {coding}\r\n\r\n0\r\n\r\n".encode() + GET)
    assert talked.response().status == 400
    assert talked.closed


@pytest.mark.parametrize("coding", ["gzip, chunked", "identity, chunked", "foo, chunked"])
def test_6_1_a_coding_that_is_not_understood_is_answered_with_501(coding: str) -> None:
    """Section 6.1 (SHOULD)."""
    talked = talk(post(f"Transfer-Encoding: {coding}") + b"0\r\n\r\n" + GET)
    assert talked.response().status == 501
    assert talked.closed


def test_6_1_a_list_of_many_codings_is_refused_before_it_is_read() -> None:
    """RFC 9110 section 5.6.1.2: "a reasonable number of empty list elements" is enough."""
    assert talk(post("Transfer-Encoding: " + "," * 15 + "chunked") + b"0\r\n\r\n").response().status == 200
    assert talk(post("Transfer-Encoding: " + "," * 16 + "chunked") + b"0\r\n\r\n").response().status == 400


def test_6_2_no_content_length_beside_transfer_encoding() -> None:
    """Section 6.2: a sender "MUST NOT send a Content-Length" in a message that contains Transfer-Encoding."""
    app = answering(iter([b"hel", b"lo"]), ("Transfer-Encoding", "chunked"), ("Content-Length", "5"))
    response = talk(GET, app).response()
    assert (response.get("Content-Length"), response.get("Transfer-Encoding")) == ("5", None)
    assert response.body == b"hello"


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
def test_6_3_a_status_without_body_ends_with_its_head(status: str) -> None:
    """Section 6.3: such a response "is always terminated by the first empty line after the header fields"."""
    talked = talk(GET + GET, answering([b"hello"], ("X-Last", "1"), status=status))
    assert b"hello" not in talked.sent
    assert [response.body for response in talked.responses()] == [b"", b""]


@pytest.mark.parametrize("coding", ["chunked, gzip", "chunked, identity", "chunked, foo"])
def test_6_3_where_chunked_is_not_the_final_coding_the_answer_is_400(coding: str) -> None:
    """Section 6.3: "the server MUST respond with the 400 (Bad Request) status code and then close the connection"."""
    talked = talk(post(f"Transfer-Encoding: {coding}") + b"0\r\n\r\n" + GET)
    assert talked.response().status == 400
    assert talked.closed


@pytest.mark.parametrize("value", ["", "+5", "-5", "5x", "0x5", "5, 5", "5, 6", "5 5", "5.0", "five", "\xb2", "5_0"])
def test_6_3_an_invalid_content_length_is_answered_with_400(value: str) -> None:
    """Section 6.3: "MUST respond with a 400 (Bad Request) status code and then close the connection"."""
    talked = talk(post(f"Content-Length: {value}") + b"hello" + GET)
    assert talked.response().status == 400
    assert talked.closed
    assert talked.environs == []


def test_6_3_two_content_lengths_are_answered_with_400() -> None:
    """Section 6.3: two field lines are a list, which may be refused though its members are equal."""
    talked = talk(post("Content-Length: 5", "Content-Length: 5") + b"hello")
    assert talked.response().status == 400
    assert talked.closed


@pytest.mark.parametrize("data", [post("Content-Length: 5") + b"hell", chunked(b"5\r\nhell"), chunked(b"0\r\n")])
def test_6_3_a_body_that_is_cut_short_is_incomplete(data: bytes) -> None:
    """Section 6.3: "the recipient MUST consider the message to be incomplete and close the connection"."""
    talked = talk(data).leave()
    assert talked.environs == []
    assert talked.closed


def test_6_3_without_length_and_coding_there_is_no_body() -> None:
    (first, second) = talk(post() + GET).environs
    assert first["wsgi.input"].read() == b""
    assert second["REQUEST_METHOD"] == "GET"


# -- Section 7: transfer codings -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wire",
    [
        b"5\r\nhello\r\n0\r\n\r\n",
        b"2\r\nhe\r\n3\r\nllo\r\n000\r\n\r\n",
        b"0000000000000005\r\nhello\r\n0\r\n\r\n",
        b'1;a\r\nh\r\n4;b=c;d="e"\r\nello\r\n0;f\r\n\r\n',
    ],
)
def test_7_1_the_chunked_coding_is_decoded(wire: bytes) -> None:
    assert one(chunked(wire)).body == b"hello"


@pytest.mark.parametrize("size", ["fffffffffffffffff", "10000000000000005", "00000000000000005", "f" * 300])
def test_7_1_large_sizes_do_not_overflow(size: str) -> None:
    """Section 7.1: anticipate large hexadecimal numerals; more than sixteen digits are refused."""
    assert refusal(chunked(size.encode() + b"\r\nhello\r\n0\r\n\r\n")).status == 400


@pytest.mark.parametrize("size", ["ffffffffffffffff", "8000000000000000", "100000005"])
def test_7_1_sizes_beyond_the_limit_are_refused_as_such(size: str) -> None:
    assert refusal(chunked(size.encode() + b"\r\nhello\r\n0\r\n\r\n")).status == 413


@pytest.mark.parametrize("extension", [";a", ";a=b", ';a="b"', ';a=";\\"\\\\"', ";a;b;c", " ; a", "\t;\ta = b"])
def test_7_1_1_chunk_extensions_are_ignored(extension: str) -> None:
    """Section 7.1.1: "A recipient MUST ignore unrecognized chunk extensions"; and read bad white space around them."""
    wire = f"5{extension}\r\nhello\r\n0{extension}\r\n\r\n".encode()
    assert one(chunked(wire)).body == b"hello"


def test_7_1_1_the_extensions_of_a_chunk_are_limited() -> None:
    """Section 7.1.1: limit the total length, and "generate an appropriate 4xx (Client Error) response"."""
    assert one(chunked(b"1;" + b"a" * 255 + b"\r\nx\r\n0\r\n\r\n")).body == b"x"
    assert refusal(chunked(b"1;" + b"a" * 256 + b"\r\nx\r\n0\r\n\r\n")).status == 400


def test_7_1_1_the_extensions_of_a_body_are_limited() -> None:
    chunk = b"1;" + b"a" * 255 + b"\r\nx\r\n"
    assert one(chunked(chunk * 64 + b"0\r\n\r\n")).body == b"x" * 64
    error = refusal(chunked(chunk * 64 + b"0;a\r\n\r\n"))
    assert (error.status, error.section) == (400, "RFC 9112 section 7.1.1")


def test_7_1_2_trailers_are_kept_apart_from_the_header_section() -> None:
    """Section 7.1.2: "A recipient MUST NOT merge a received trailer field into the header section"."""
    (environ,) = talk(chunked(b"0\r\nX-Sum: 7\r\nCookie: a=1\r\nContent-Length: 9\r\n\r\n")).environs
    assert environ["wsgiserver.trailers"] == [("X-Sum", "7"), ("Cookie", "a=1"), ("Content-Length", "9")]
    assert not {"HTTP_X_SUM", "HTTP_COOKIE"} & environ.keys()
    assert environ["CONTENT_LENGTH"] == "0"


def test_7_1_2_trailers_are_limited_as_the_header_section_is() -> None:
    assert refusal(chunked(b"0\r\nX: " + b"a" * 200 + b"\r\n\r\n"), Limits(limit_head=100)).status == 431
    assert refusal(chunked(b"0\r\n" + b"X: a\r\n" * 5 + b"\r\n"), Limits(limit_fields=4)).status == 431


# -- Section 9: connections ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        GET_1_0,
        b"GET / HTTP/1.0\r\nConnection: close\r\n\r\n",
        head("Connection: close"),
        head("Connection: keep-alive, close"),
        head("Connection: CLOSE"),
        head("Connection: x", "Connection: close"),
        b"GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n",
    ],
)
def test_9_3_a_connection_that_is_not_kept_says_so(data: bytes) -> None:
    """Section 9.3: without persistence, "MUST send the "close" connection option in every response message"."""
    talked = talk(data)
    assert talked.response().get("Connection") == "close"
    assert talked.closed


@pytest.mark.parametrize("data", [GET, head("Connection: keep-alive"), head("Connection: closed")])
def test_9_3_a_connection_of_http_1_1_is_kept(data: bytes) -> None:
    talked = talk(data)
    assert talked.response().get("Connection") is None
    assert not talked.closed


def test_9_3_a_connection_of_http_1_0_is_kept_on_request() -> None:
    talked = talk(b"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n")
    assert talked.response().get("Connection") == "keep-alive"
    assert not talked.closed


@pytest.mark.parametrize(
    "body", [post("Content-Length: 33") + GET[:33], chunked(b"21\r\n" + GET[:33] + b"\r\n0\r\n\r\n")]
)
def test_9_3_a_body_that_the_application_does_not_read_is_read_all_the_same(body: bytes) -> None:
    """Section 9.3: "A server MUST read the entire request message body or close the connection"."""
    talked = talk(body + head(start="GET /next HTTP/1.1"))
    assert [environ["PATH_INFO"] for environ in talked.environs] == ["/", "/next"]
    assert [response.status for response in talked.responses()] == [200, 200]


def test_9_3_a_response_without_a_length_of_its_own_ends_the_connection() -> None:
    """Section 9.3: to remain persistent, all messages need a self-defined length."""
    app = answering(iter([b"hel", b"lo"]))
    talked = talk(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", app)
    assert talked.response().get("Connection") == "close"
    assert talked.closed


def test_9_3_2_pipelined_requests_are_answered_in_order() -> None:
    """Section 9.3.2: "it MUST send the corresponding responses in the same order"."""

    def echo(environ: Environ, start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", [])
        return [environ["PATH_INFO"].encode()]

    data = b"".join(head(start=f"GET /{number} HTTP/1.1") for number in range(20))
    expected = [f"/{number}".encode() for number in range(20)]
    assert [response.body for response in talk(data, echo).responses()] == expected
    talked = Talk(echo)
    for piece in bytewise(data):
        talked.say(piece)
    assert [response.body for response in talked.responses()] == expected


def test_9_6_behind_a_request_with_close_nothing_is_processed() -> None:
    """Section 9.6: "The server MUST NOT process any further requests received on that connection"."""
    talked = talk(head("Connection: close") + GET)
    assert len(talked.responses()) == len(talked.environs) == 1
    assert talked.response().get("Connection") == "close"
    assert talked.closed
    assert len(talked.say(GET).environs) == 1


def test_9_6_behind_a_response_with_close_nothing_is_processed() -> None:
    """Section 9.6: a server that sends "close" MUST close, and process nothing further."""
    talked = talk(GET + GET, answering([b"hello"], ("Connection", "close")))
    assert talked.response().get("Connection") == "close"
    assert len(talked.environs) == 1
    assert talked.closed


@pytest.mark.parametrize("bad", [b"\r\n\r\n\r\n", b"GET /\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\n"])
def test_9_6_behind_a_refused_request_nothing_is_processed(bad: bytes) -> None:
    """Sections 2.2 and 9.6: respond with 400 and close; where a next request would begin is not known."""
    talked = talk(bad + GET)
    assert talked.response().status == 400
    assert talked.response().get("Connection") == "close"
    assert talked.closed
    assert talked.environs == []


# -- Section 11: security ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        post("Content-Length: 6", "Transfer-Encoding: chunked") + b"0\r\n\r\nG",
        post("Transfer-Encoding: chunked", "Content-Length: 4") + b"5c\r\nGPOST / HTTP/1.1\r\n\r\n0\r\n\r\n",
        post("Content-Length: 5", "Transfer-Encoding: xchunked") + b"0\r\n\r\n",
        post("Content-Length: 5", "Transfer-Encoding : chunked") + b"0\r\n\r\n",
        post("Content-Length: 5", "Transfer-Encoding: chunked\x0b") + b"0\r\n\r\n",
        post("Content-Length: 5", "Transfer-Encoding: \x00chunked") + b"0\r\n\r\n",
        post("Content-Length: 5", "X: y\nTransfer-Encoding: chunked") + b"0\r\n\r\n",
        post("Content-Length: 5", "X: y\r\n Transfer-Encoding: chunked") + b"0\r\n\r\n",
        post("Content-Length: 5", "Transfer-Encoding:\x0bchunked") + b"0\r\n\r\n",
    ],
    ids=["CL.TE", "TE.CL", "xchunked", "space", "vertical-tab", "NUL", "bare-LF", "fold", "vertical-tab-first"],
)
def test_11_2_what_two_recipients_could_frame_in_two_ways_is_refused(data: bytes) -> None:
    """Section 11.2, request smuggling: one answer, no call, and the connection ends."""
    talked = talk(data + GET)
    assert talked.response().status in (400, 501)
    assert talked.environs == []
    assert talked.closed


def test_11_2_a_body_is_never_read_as_a_request() -> None:
    inner = head(start="GET /inner HTTP/1.1")
    talked = talk(
        post(f"Content-Length: {len(inner)}") + inner + chunked(b"%x\r\n%b\r\n0\r\n\r\n" % (len(inner), inner))
    )
    assert [environ["PATH_INFO"] for environ in talked.environs] == ["/", "/"]


def test_the_application_is_not_called_before_the_request_is_whole() -> None:
    """Section 6: a message is its head and its body; each byte but the last leaves the application in peace."""
    data = post("Content-Length: 5") + b"hello"
    talked = Talk(hello)
    for piece in bytewise(data[:-1]):
        assert talked.say(piece).environs == []
    assert len(talked.say(data[-1:]).environs) == 1
