"""What passes is shown to people without what looks like a secret."""

import pytest

from wsgiserver.masking import masked


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
