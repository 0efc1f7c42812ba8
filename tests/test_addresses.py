"""Addresses: what was probably meant by a text that is none. The forms there are, and the sockets: test_sockets."""

import pytest

from wsgiserver.addresses import FORMS, AddressError, parse_address


def refused(text: str) -> str:
    """Read a text that is no address; give what is said of it."""
    with pytest.raises(AddressError) as caught:
        parse_address(text)
    message = str(caught.value)
    assert "\n" not in message
    assert message.endswith(f"write {FORMS}")
    return message.removesuffix(f"write {FORMS}").removeprefix(f"{text!r} is no address: ")


@pytest.mark.parametrize("text", ["-1", "127.0.0.1:-1", ":-8000", "[::1]:-1"])
def test_a_port_below_0_is_told_what_ports_there_are(text: str) -> None:
    assert refused(text) == "ports go from 0 (a free one) to 65535; "


@pytest.mark.parametrize("text", ["fd:-1", "fd:-"])
def test_a_descriptor_below_0_is_not_taken_for_a_port(text: str) -> None:
    assert refused(text) == ""


@pytest.mark.parametrize("text", ["/tmp/x.sock", "./x.sock", "run/x", "x.sock"])
def test_a_path_alone_is_told_how_to_write_a_unix_socket(text: str) -> None:
    assert refused(text) == f"for a Unix socket write unix:{text}; else "
    assert parse_address(f"unix:{text}").path == text


@pytest.mark.parametrize(
    "text", ["127.0.0.1:0,127.0.0.1:0", "8000,8001", "localhost,127.0.0.1:80", "[::1]:80, :81", "/tmp/a,unix:/tmp/b"]
)
def test_several_addresses_in_one_text_are_told_how_to_give_several(text: str) -> None:
    assert refused(text) == "for several addresses repeat --bind, or give a list (commas are for WSGISERVER_BIND); "


def test_the_path_of_a_unix_socket_may_hold_a_comma() -> None:
    assert parse_address("unix:/tmp/a,b").path == "/tmp/a,b"


@pytest.mark.parametrize(
    ("text", "guess"),
    [
        ("localhost", "the port is missing; "),
        ("*:8000", "for all interfaces write :8000; else "),
        ("http://127.0.0.1:8000/", "leave out the scheme and the slashes; "),
        ("::1:8000", "IPv6 addresses stand in brackets; "),
    ],
)
def test_other_guesses_stay_as_they_are(text: str, guess: str) -> None:
    assert refused(text) == guess
