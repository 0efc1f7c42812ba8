"""The environ of a request: each key by PEP 3333 ("environ Variables"), RFC 3875 and the project's contract."""

import io
from collections.abc import Iterable
from typing import Any

import pytest
from clients import GET, GET_1_0, Client, SlowStream, answering, chunks, request

from wsgiserver.environ import BLOCK_SIZE, FileWrapper, base_environ, make_environ
from wsgiserver.http11 import Reader
from wsgiserver.settings import Settings
from wsgiserver.site import SERVER_SOFTWARE, Environ, Site
from wsgiserver.version import __version__


def environ_of(data: bytes, **options: Any) -> Environ:
    """Give the environ of the one request in some bytes."""
    client = Client(answering([b""]), **options)
    sent = client.send(data)
    assert len(client.environs) == 1, sent
    return client.environs[0]


def get(target: str, *lines: str) -> Environ:
    return environ_of(request(*lines, start=f"GET {target} HTTP/1.1"))


# -- All of it -----------------------------------------------------------------------------------------------------


def test_the_environ_of_a_plain_request_is_this_and_no_more() -> None:
    """The application has to see neither the server's own environment nor anything of another request."""
    environ = environ_of(GET)
    for name in ("wsgi.input", "wsgi.errors", "wsgi.file_wrapper", "wsgiserver.will_block"):
        assert environ.pop(name) is not None
    assert environ == {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "",
        "PATH_INFO": "/",
        "QUERY_STRING": "",
        "SERVER_NAME": "server",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "SERVER_SOFTWARE": SERVER_SOFTWARE,
        "REMOTE_ADDR": "192.0.2.1",
        "REMOTE_PORT": "4711",
        "REQUEST_URI": "/",
        "RAW_URI": "/",
        "HTTP_HOST": "example.com",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        "wsgi.input_terminated": True,
    }


def test_the_environ_is_a_builtin_dict_with_native_strings() -> None:
    environ = environ_of(request("X-A: \xe9", "Content-Type: text/plain", start="POST /\xe9?\xe9 HTTP/1.1"))
    assert type(environ) is dict
    for name, value in environ.items():
        assert type(name) is str
        if name.isupper():
            assert type(value) is str
            assert value.encode("latin-1").decode("latin-1") == value


def test_two_requests_share_no_part_that_one_of_them_could_change() -> None:
    client = Client(answering([b""]))
    client.send(GET + GET)
    first, second = client.environs
    assert first is not second
    assert first["wsgi.input"] is not second["wsgi.input"]
    first.clear()
    client.send(GET)
    assert client.environs[2].keys() == second.keys()


def test_what_one_request_brought_is_gone_with_the_next() -> None:
    client = Client(answering([b""]))
    client.send(request("X-A: 1", "Content-Type: a/b", "Content-Length: 1", start="PUT /a?b HTTP/1.1", body=b"x"))
    client.send(GET)
    assert client.environs[1].keys() == environ_of(GET).keys()
    assert client.environs[1]["QUERY_STRING"] == ""


def test_environ_has_lives_of_its_own_on_one_connection_with_equal_heads() -> None:
    """The reader gives the same Request for the same bytes; the environ is made anew all the same."""

    def application(environ: Environ, start_response: Any) -> Iterable[bytes]:
        assert "HTTP_HOST" in environ
        del environ["HTTP_HOST"]
        environ["HTTP_X"] = "mine"
        return answering([b""])(environ, start_response)

    client = Client(application)
    for _ in range(3):
        assert client.send(GET).startswith(b"HTTP/1.1 200 ")


def test_each_listener_has_a_name_and_a_port_of_its_own_also_for_a_head_that_came_to_another() -> None:
    """What was made of a head is remembered for all connections of a server."""
    site = Site(answering([b""]), Settings(), io.StringIO())
    bases = [base_environ(site, "inside", "8000"), base_environ(site, "outside", "80")]
    for base in bases * 3:
        asked = Reader(site.settings, site.recent).read_head(GET)
        assert asked is not None
        environ = make_environ(base, asked, SlowStream(), io.BytesIO())
        assert (environ["SERVER_NAME"], environ["SERVER_PORT"]) == (base["SERVER_NAME"], base["SERVER_PORT"])


# -- The request line ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS", "PROPFIND", "get", "M-SEARCH", "!#$%&'*+-.^_`|~09"])
def test_the_method_is_as_it_was_sent(method: str) -> None:
    assert environ_of(request(start=f"{method} / HTTP/1.1"))["REQUEST_METHOD"] == method


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        ("/", "/", ""),
        ("/a/b", "/a/b", ""),
        ("/a?b=c&d", "/a", "b=c&d"),
        ("/a?", "/a", ""),
        ("/a??b?", "/a", "?b?"),
        ("/?/a/../b", "/", "/a/../b"),
        ("//a//b", "//a//b", ""),
        ("/a/../b/./c", "/a/../b/./c", ""),
        ("/a;b=c", "/a;b=c", ""),
        ("/a+b", "/a+b", ""),
        ("/a%20b", "/a b", ""),
        ("/a%2Fb%2fc", "/a/b/c", ""),
        ("/%252F", "/%2F", ""),
        ("/%3Fq", "/?q", ""),
        ("/%00", "/\x00", ""),
        ("/%0D%0A", "/\r\n", ""),
        ("/%E4%BD%A0", "/\xe4\xbd\xa0", ""),
        ("/%ff", "/\xff", ""),
        ("/\xe4\xbd\xa0?\xe5\xa5\xbd", "/\xe4\xbd\xa0", "\xe5\xa5\xbd"),
        ("/a?%20%zz%", "/a", "%20%zz%"),
        ("http://example.com/a%20b?c", "/a b", "c"),
        ("http://example.com", "/", ""),
        ("http://example.com?c", "/", "c"),
        ("HTTPS://example.com/", "/", ""),
    ],
)
def test_path_and_query(target: str, path: str, query: str) -> None:
    """The path's escapes are decoded once, into the latin-1 text of the bytes; the query is left as it is."""
    environ = get(target)
    assert environ["SCRIPT_NAME"] == ""
    assert environ["PATH_INFO"] == path
    assert environ["QUERY_STRING"] == query
    assert environ["REQUEST_URI"] == environ["RAW_URI"] == target
    assert environ["wsgi.url_scheme"] == "http"


def test_a_path_typed_in_utf_8_can_be_had_back() -> None:
    """PEP 3333, "Unicode Issues": the text stands for bytes."""
    for target in ("/你好".encode().decode("latin-1"), "/%E4%BD%A0%E5%A5%BD"):
        assert get(target)["PATH_INFO"].encode("latin-1").decode() == "/你好"


def test_options_for_the_server_as_a_whole() -> None:
    """RFC 9112 section 3.2.4."""
    environ = environ_of(request(start="OPTIONS * HTTP/1.1"))
    assert environ["PATH_INFO"] == environ["REQUEST_URI"] == environ["RAW_URI"] == "*"


@pytest.mark.parametrize(("version", "protocol"), [("1.0", "HTTP/1.0"), ("1.1", "HTTP/1.1"), ("1.7", "HTTP/1.1")])
def test_the_protocol_is_one_that_the_server_speaks(version: str, protocol: str) -> None:
    assert environ_of(request(start=f"GET / HTTP/{version}"))["SERVER_PROTOCOL"] == protocol


# -- Server and client ---------------------------------------------------------------------------------------------


def test_server_name_and_port_are_never_empty() -> None:
    environ = environ_of(GET_1_0)
    assert (environ["SERVER_NAME"], environ["SERVER_PORT"]) == ("server", "80")


def test_server_name_and_port_are_the_servers_whatever_the_client_says() -> None:
    environ = environ_of(b"GET http://other:1/ HTTP/1.1\r\nHost: another:2\r\n\r\n")
    assert (environ["SERVER_NAME"], environ["SERVER_PORT"]) == ("server", "80")


def test_the_authority_of_the_target_takes_the_place_of_host() -> None:
    """RFC 9112 section 3.2.2."""
    assert get("http://other:81/", "X: y")["HTTP_HOST"] == "other:81"
    assert get("/")["HTTP_HOST"] == "example.com"
    assert "HTTP_HOST" not in environ_of(GET_1_0)
    assert environ_of(b"GET http://other/ HTTP/1.0\r\n\r\n")["HTTP_HOST"] == "other"


def test_the_authority_of_one_request_is_not_that_of_the_next() -> None:
    client = Client(answering([b""]))
    client.send(request(start="GET http://other/ HTTP/1.1") + GET)
    assert [environ["HTTP_HOST"] for environ in client.environs] == ["other", "example.com"]


def test_the_software_is_the_server_and_its_version() -> None:
    assert environ_of(GET)["SERVER_SOFTWARE"] == f"wsgiserver/{__version__}"


def test_a_client_of_a_unix_socket_has_no_address() -> None:
    stream = SlowStream()
    stream.peer, stream.peer_host, stream.peer_port = "unix:", "", ""
    environ = environ_of(GET, stream=stream)
    assert (environ["REMOTE_ADDR"], environ["REMOTE_PORT"]) == ("", "")


# -- Fields --------------------------------------------------------------------------------------------------------


def test_fields_become_variables() -> None:
    """RFC 3875 section 4.1.18."""
    environ = get("/", "User-Agent: a/1", "x-UPPER-lower: b", "X1: c", "X!'*|~: d")
    assert environ["HTTP_USER_AGENT"] == "a/1"
    assert environ["HTTP_X_UPPER_LOWER"] == "b"
    assert environ["HTTP_X1"] == "c"
    assert environ["HTTP_X!'*|~"] == "d"


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("X:a", "a"),
        ("X:  \t a \t", "a"),
        ("X: a \t b", "a \t b"),
        ("X:", ""),
        ("X: \t", ""),
        ("X: \xe9\xff", "\xe9\xff"),
    ],
    ids=repr,
)
def test_values_lose_their_outer_white_space_and_nothing_else(line: str, value: str) -> None:
    assert get("/", line)["HTTP_X"] == value


def test_content_type_and_content_length_have_no_prefix() -> None:
    environ = environ_of(request("content-type: a/b; c=d", "content-length: 003", start="PUT / HTTP/1.1", body=b"abc"))
    assert environ["CONTENT_TYPE"] == "a/b; c=d"
    assert environ["CONTENT_LENGTH"] == "3"
    assert "HTTP_CONTENT_TYPE" not in environ
    assert "HTTP_CONTENT_LENGTH" not in environ


@pytest.mark.parametrize("name", ["CONTENT_TYPE", "CONTENT_LENGTH"])
def test_what_was_not_sent_is_absent(name: str) -> None:
    assert name not in environ_of(GET)


def test_repeated_fields_are_joined_in_order() -> None:
    """RFC 9110 section 5.3; cookies by "; " (RFC 6265 section 5.4), as nobody could take them apart otherwise."""
    environ = get("/", "Accept: a", "Cookie: b=1", "ACCEPT: c, d", "cookie: e=2; f=3", "Accept: ", "Cookie: g=4")
    assert environ["HTTP_ACCEPT"] == "a, c, d, "
    assert environ["HTTP_COOKIE"] == "b=1; e=2; f=3; g=4"


def test_the_same_content_type_twice_is_one() -> None:
    assert get("/", "Content-Type: a/b", "Content-Type: a/b")["CONTENT_TYPE"] == "a/b"


@pytest.mark.parametrize("line", ["X_Y: 1", "X-Y_Z: 1", "Content_Length: 7", "_: 1", "Host_: evil", "PROXY: evil"])
def test_fields_that_could_pose_as_others_are_dropped(line: str) -> None:
    environ = get("/", line)
    assert environ.keys() == environ_of(GET).keys()


def test_a_field_that_poses_as_another_leaves_it_alone() -> None:
    environ = get("/", "X-User: me", "X_User: you", "X_USER: he")
    assert environ["HTTP_X_USER"] == "me"


@pytest.mark.parametrize("name", ["Proxy", "proxy", "PROXY"])
def test_there_is_never_an_http_proxy(name: str) -> None:
    """It would be read as a setting of the process ("httpoxy")."""
    assert "HTTP_PROXY" not in get("/", f"{name}: http://evil")


def test_proxy_authorization_is_no_proxy() -> None:
    assert get("/", "Proxy-Authorization: a")["HTTP_PROXY_AUTHORIZATION"] == "a"


# -- wsgi.input ----------------------------------------------------------------------------------------------------

BODY = b"one\ntwo\r\n\nfour"
TEXT = request(f"Content-Length: {len(BODY)}", start="POST / HTTP/1.1", body=BODY)
CHUNKED = request("Transfer-Encoding: chunked", start="POST / HTTP/1.1", body=chunks(BODY[:2], BODY[2:5], BODY[5:]))


def read_by(read: Any, data: bytes, **options: Any) -> Any:
    """Give what a way of reading gets of the body of a request."""
    results: list[Any] = []

    def application(environ: Environ, start_response: Any) -> Iterable[bytes]:
        results.append(read(environ["wsgi.input"]))
        return answering([b""])(environ, start_response)

    client = Client(application, **options)
    client.send(data, at_once=4)
    assert client.log == ""
    return results[0]


@pytest.mark.parametrize("data", [TEXT, CHUNKED], ids=["length", "chunked"])
@pytest.mark.parametrize("options", [{}, {"buffer_body": 1}], ids=["memory", "file"])
@pytest.mark.parametrize(
    ("read", "result"),
    [
        (lambda source: source.read(), BODY),
        (lambda source: source.read(-1), BODY),
        (lambda source: source.read(None), BODY),
        (lambda source: source.read(0), b""),
        (lambda source: source.read(5), BODY[:5]),
        (lambda source: source.read(10**9), BODY),
        (lambda source: [source.read(9), source.read(9), source.read(9)], [BODY[:9], BODY[9:], b""]),
        (lambda source: source.readline(), b"one\n"),
        (lambda source: source.readline(2), b"on"),
        (lambda source: [source.readline() for _ in range(6)], [b"one\n", b"two\r\n", b"\n", b"four", b"", b""]),
        (lambda source: source.readlines(), [b"one\n", b"two\r\n", b"\n", b"four"]),
        (lambda source: source.readlines(1), [b"one\n"]),
        (lambda source: list(source), [b"one\n", b"two\r\n", b"\n", b"four"]),
        (lambda source: [source.readline(), *source, source.read()], [b"one\n", b"two\r\n", b"\n", b"four", b""]),
        (lambda source: [source.read(), source.read(), source.readline(), list(source)], [BODY, b"", b"", []]),
    ],
)
def test_the_body_is_read_as_pep_3333_says_and_ends_where_it_ends(
    read: Any, result: Any, options: dict[str, int], data: bytes
) -> None:
    """Input and Error Streams: read(size), readline(), readlines(hint), __iter__(); the end is simulated."""
    assert read_by(read, data, **options) == result


@pytest.mark.parametrize("data", [GET, GET_1_0, request("Content-Length: 0", start="POST / HTTP/1.1")])
def test_without_a_body_the_input_is_empty(data: bytes) -> None:
    assert read_by(lambda source: [source.read(), source.readline(), source.readlines(), list(source)], data) == [
        b"",
        b"",
        [],
        [],
    ]


def test_the_input_of_a_request_holds_nothing_of_the_next() -> None:
    assert read_by(lambda source: source.read(), TEXT + GET) == BODY


def test_a_chunked_body_is_as_if_it_had_come_with_its_length() -> None:
    """RFC 9112 section 7.1.3: decoded, it has a length and no coding any more; frameworks go by these two."""
    environ = environ_of(CHUNKED)
    assert int(environ["CONTENT_LENGTH"]) == len(environ["wsgi.input"].read())
    assert "HTTP_TRANSFER_ENCODING" not in environ
    assert environ["wsgi.input_terminated"] is True


# -- Trailers ------------------------------------------------------------------------------------------------------


def test_trailers_are_a_list_of_pairs_and_never_variables() -> None:
    """RFC 9110 section 6.5.1: they are kept apart from the fields of the head."""
    body = b"1\r\na\r\n0\r\nX-Sum: 17\r\nHost: evil\r\nX-SUM: 18\r\n\r\n"
    environ = environ_of(request("Transfer-Encoding: chunked", start="POST / HTTP/1.1", body=body))
    assert environ["wsgiserver.trailers"] == [("X-Sum", "17"), ("Host", "evil"), ("X-SUM", "18")]
    assert "HTTP_X_SUM" not in environ
    assert environ["HTTP_HOST"] == "example.com"


@pytest.mark.parametrize("data", [GET, CHUNKED], ids=["no-body", "chunked"])
def test_without_trailers_there_is_no_list(data: bytes) -> None:
    assert "wsgiserver.trailers" not in environ_of(data)


# -- The rest of wsgi.* --------------------------------------------------------------------------------------------


def test_errors_takes_text_by_write_writelines_and_flush() -> None:
    def application(environ: Environ, start_response: Any) -> Iterable[bytes]:
        errors = environ["wsgi.errors"]
        errors.write("a line\n")
        errors.writelines(["and \u4f60", "\u597d\n"])
        errors.flush()
        return answering([b""])(environ, start_response)

    client = Client(application)
    client.send(GET)
    assert client.log == "a line\nand \u4f60\u597d\n"


@pytest.mark.parametrize("multithread", [True, False])
def test_multithread_says_whether_there_are_several_threads(multithread: bool) -> None:
    assert environ_of(GET, multithread=multithread)["wsgi.multithread"] is multithread


def test_the_flags_are_what_pep_3333_says() -> None:
    environ = environ_of(GET)
    assert environ["wsgi.version"] == (1, 0)
    assert type(environ["wsgi.version"]) is tuple
    assert environ["wsgi.multiprocess"] is False
    assert environ["wsgi.run_once"] is False


def test_file_wrapper_takes_a_file_and_a_block_size() -> None:
    wrapper = environ_of(GET)["wsgi.file_wrapper"]
    assert wrapper is FileWrapper
    assert list(wrapper(io.BytesIO(b"0123456789"), 4)) == [b"0123", b"4567", b"89"]
    assert list(wrapper(io.BytesIO(b"x" * (BLOCK_SIZE + 1)))) == [b"x" * BLOCK_SIZE, b"x"]
    assert list(wrapper(io.BytesIO())) == []


def test_will_block_can_be_called_by_any_application() -> None:
    assert environ_of(GET)["wsgiserver.will_block"]() is None
