"""Addresses, listeners and streams over real sockets: what is written, what is bound, what is told."""

import contextlib
import errno
import os
import select
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import PATIENCE

from wsgiserver import sockets
from wsgiserver.addresses import FORMS, Address, AddressError, BindError, explained, parse_address
from wsgiserver.sockets import Listener, Stream

linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has this")


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


ipv6 = pytest.mark.skipif(not _has_ipv6(), reason="this system has no IPv6 loopback address")


@contextlib.contextmanager
def listening(text: str, **options: int) -> Iterator[Listener]:
    listener = Listener(parse_address(text), **options)
    try:
        yield listener
    finally:
        listener.close()


def connect(listener: Listener) -> socket.socket:
    """Connect to a listener at the address that it tells."""
    if isinstance(listener.address, str):
        client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            client.connect(listener.address.replace("@", "\0"))
        except BaseException:
            client.close()
            raise
        return client
    host, port = listener.address
    return socket.create_connection(({"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host), port), timeout=10)


def accepted(listener: Listener) -> Stream:
    """Accept a client that has connected; `connect` may return an instant before the system shows it."""
    select.select([listener], [], [], 10)
    stream = listener.accept()
    assert stream is not None
    return stream


@pytest.fixture
def pair() -> Iterator[tuple[Stream, socket.socket]]:
    """One client over TCP: the server's end of it, and the client's."""
    with listening("127.0.0.1:0") as listener, connect(listener) as client:
        stream = accepted(listener)
        yield stream, client
        stream.close()


def refusal(text: str) -> str:
    """Say why an address cannot be listened on, in one line."""
    with pytest.raises(BindError) as caught:
        Listener(parse_address(text))
    message = str(caught.value)
    assert message.startswith(f"cannot listen on {parse_address(text)}: ")
    assert "\n" not in message
    assert ";" in message  # what happened; what to do next
    return message


# --- addresses ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:8000", Address("tcp", host="127.0.0.1", port=8000)),
        ("localhost:0", Address("tcp", host="localhost", port=0)),
        ("www.example.org:65535", Address("tcp", host="www.example.org", port=65535)),
        (":8000", Address("tcp", host="", port=8000)),
        ("8000", Address("tcp", host="127.0.0.1", port=8000)),
        ("[::1]:8000", Address("tcp", host="::1", port=8000)),
        ("[::]:0", Address("tcp", host="::", port=0)),
        ("[fe80::1%eth0]:80", Address("tcp", host="fe80::1%eth0", port=80)),
        ("unix:/run/app.sock", Address("unix", path="/run/app.sock")),
        ("unix:app.sock", Address("unix", path="app.sock")),
        ("unix:8000", Address("unix", path="8000")),
        ("unix:/a b/ü:1.sock", Address("unix", path="/a b/ü:1.sock")),
        ("unix:@app", Address("unix", path="@app")),
        ("fd:3", Address("fd", descriptor=3)),
    ],
)
def test_each_form_of_address_is_read(text: str, address: Address) -> None:
    assert parse_address(text) == address
    assert parse_address(str(address)) == address


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("", FORMS),
        ("localhost", "the port is missing"),
        ("127.0.0.1:", FORMS),
        ("8000:127.0.0.1", FORMS),
        ("::1:8000", "IPv6 addresses stand in brackets"),
        ("http://127.0.0.1:8000", "leave out the scheme"),
        ("127.0.0.1:http", FORMS),
        ("127.0.0.1:-1", FORMS),
        ("127.0.0.1:٨٠٠٠", FORMS),
        ("a b:80", FORMS),
        ("[::1]", FORMS),
        ("unix:", FORMS),
        ("unix:@", FORMS),
        ("fd:", FORMS),
        ("fd:-1", FORMS),
        ("fd:x", FORMS),
        ("127.0.0.1:65536", "from 0 (a free one) to 65535"),
        ("[localhost]:80", "no IPv6 address between the brackets"),
        ("unix:/run/a\nb", "control character"),
        ("unix:/run/a\0b", "control character"),
    ],
)
def test_what_is_no_address_is_refused_in_one_line_that_says_what_to_write(text: str, hint: str) -> None:
    with pytest.raises(AddressError) as caught:
        parse_address(text)
    assert str(caught.value).startswith(f"{text!r} is no address: ")
    assert hint in str(caught.value)
    assert "\n" not in str(caught.value)


# --- TCP ----------------------------------------------------------------------------------------------------


def test_port_0_takes_a_free_port_and_tells_which() -> None:
    with listening("127.0.0.1:0") as listener:
        assert isinstance(listener.address, tuple)
        host, port = listener.address
        assert host == "127.0.0.1"
        assert port > 0
        assert listener.url == f"http://127.0.0.1:{port}"
        assert listener.urls == [listener.url]
        assert (listener.name, listener.port) == ("127.0.0.1", str(port))
        assert repr(listener) == f"<Listener {listener.url}>"


def test_a_listener_listens_without_blocking_and_is_not_inherited() -> None:
    with listening("127.0.0.1:0") as listener, connect(listener):
        assert not os.get_blocking(listener.fileno())
        assert not os.get_inheritable(listener.fileno())


def test_accept_gives_each_client_once_and_then_none() -> None:
    with listening("127.0.0.1:0") as listener:
        assert listener.accept() is None
        with connect(listener) as client:
            stream = accepted(listener)
            assert listener.accept() is None
            host, port = client.getsockname()
            assert stream.peer == f"{host}:{port}"
            assert (stream.peer_host, stream.peer_port) == (host, str(port))
            assert repr(stream) == f"<Stream {stream.peer}>"
            stream.close()


@pytest.mark.parametrize("inherited", [sockets._NODELAY_IS_INHERITED, False])
def test_clients_are_not_blocking_not_inherited_and_without_delay(
    inherited: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also on systems where a client does not inherit TCP_NODELAY from its listener."""
    monkeypatch.setattr(sockets, "_NODELAY_IS_INHERITED", inherited)
    with listening("127.0.0.1:0") as listener, connect(listener):
        stream = accepted(listener)
        assert not os.get_blocking(stream.fileno())
        assert not os.get_inheritable(stream.fileno())
        with socket.socket(fileno=os.dup(stream.fileno())) as copy:
            assert copy.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        stream.close()


def test_a_host_name_is_bound_to_its_ipv4_address_and_kept_in_the_url() -> None:
    with listening("localhost:0") as listener, connect(listener):
        assert listener.address[0] == "127.0.0.1"
        assert listener.url == f"http://localhost:{listener.port}"
        assert listener.name == "localhost"


@ipv6
def test_an_ipv6_address_stands_in_brackets_wherever_a_port_follows() -> None:
    """RFC 3875 section 4.1.14 for the server's name; the client's host has none."""
    with listening("[::1]:0") as listener, connect(listener) as client:
        assert listener.address == ("::1", int(listener.port))
        assert listener.url == f"http://[::1]:{listener.port}"
        assert listener.name == "[::1]"
        stream = accepted(listener)
        assert stream.peer == f"[::1]:{client.getsockname()[1]}"
        assert stream.peer_host == "::1"
        stream.close()


@ipv6
def test_an_explicit_ipv6_address_leaves_ipv4_to_others() -> None:
    with listening("[::]:0") as listener:
        assert listener.url == f"http://[::1]:{listener.port}"
        assert all(url.startswith("http://[") for url in listener.urls)
        with listening(f"0.0.0.0:{listener.port}") as other:
            assert other.port == listener.port


@pytest.mark.skipif(not (_has_ipv6() and socket.has_dualstack_ipv6()), reason="this system has no dual stack")
def test_all_interfaces_are_ipv4_and_ipv6_together() -> None:
    with listening(":0") as listener:
        port = int(listener.port)
        assert listener.url == f"http://127.0.0.1:{port}"
        assert listener.urls[0] == listener.url
        assert len(set(listener.urls)) == len(listener.urls)
        assert listener.name == socket.gethostname()
        for host in ("127.0.0.1", "::1"):
            with socket.create_connection((host, port), timeout=10):
                stream = accepted(listener)
                assert stream.peer_host == host  # not ::ffff:127.0.0.1
                stream.close()


def test_all_interfaces_are_ipv4_where_there_is_no_dual_stack(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "has_dualstack_ipv6", lambda: False)
    with listening(":0") as listener, connect(listener):
        assert listener.address[0] == "0.0.0.0"
        assert listener.url == f"http://127.0.0.1:{listener.port}"


def test_a_machine_without_a_network_names_its_loopback_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sockets, "_own_address", lambda family: "")
    with listening("0.0.0.0:0") as listener:
        assert listener.urls == [f"http://127.0.0.1:{listener.port}"]


def test_an_own_address_is_found_without_asking_anyone_or_is_empty() -> None:
    assert sockets._own_address(-1) == ""
    address = sockets._own_address(socket.AF_INET)
    assert address == "" or socket.inet_aton(address)


def test_a_port_is_free_again_as_soon_as_its_listener_is_closed() -> None:
    """SO_REUSEADDR: a server that restarts does not wait for the connections of the one before."""
    with listening("127.0.0.1:0") as listener, connect(listener):
        accepted(listener).close()
        port = listener.port
    with listening(f"127.0.0.1:{port}") as again:
        assert again.port == port


def test_a_closed_listener_refuses_clients_and_can_be_closed_again() -> None:
    listener = Listener(parse_address("127.0.0.1:0"))
    listener.close()
    listener.close()
    assert listener.fileno() == -1
    assert repr(listener).endswith(" closed>")
    with pytest.raises(ConnectionRefusedError):
        connect(listener)
    with pytest.raises(OSError) as caught:
        listener.accept()
    assert caught.value.errno == errno.EBADF


@pytest.mark.parametrize("code", [errno.ECONNABORTED, errno.EPROTO, errno.EHOSTUNREACH])
def test_what_befell_a_client_on_its_way_is_no_fault_of_the_listener(
    code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """accept(2), "Error handling": it is to be taken like EAGAIN, for others come."""

    def fail(listening: socket.socket) -> None:
        raise OSError(code, os.strerror(code))

    with listening("127.0.0.1:0") as listener, connect(listener):
        with monkeypatch.context() as patch:
            patch.setattr(socket.socket, "accept", fail)
            assert listener.accept() is None
        accepted(listener).close()


@linux
def test_accept_tells_when_the_process_is_out_of_descriptors() -> None:
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    with listening("127.0.0.1:0") as listener, connect(listener):
        select.select([listener], [], [], 10)
        lowest = os.dup(listener.fileno())
        os.close(lowest)
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, limits[1]))
        try:
            with pytest.raises(OSError) as caught:
                listener.accept()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        assert caught.value.errno == errno.EMFILE
        accepted(listener).close()  # the client still waits


# --- Unix sockets -------------------------------------------------------------------------------------------

unix = pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="this system has no Unix sockets")


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a path for a socket, relative because those of temporary folders may be too long for one."""
    monkeypatch.chdir(tmp_path)
    return Path("app.sock")


@unix
def test_a_unix_socket_serves_clients_that_have_no_address(path: Path) -> None:
    with listening(f"unix:{path}") as listener:
        assert listener.address == "app.sock"
        assert listener.url == "unix:app.sock"
        assert listener.urls == ["unix:app.sock"]
        assert listener.name  # PEP 3333: never empty
        assert listener.port
        with connect(listener) as client:
            stream = accepted(listener)
            assert (stream.peer, stream.peer_host, stream.peer_port) == ("unix:", "", "")
            stream.send(b"hello")
            assert client.recv(99) == b"hello"
            stream.reset()


@unix
@pytest.mark.parametrize("mode", [0o600, 0o660, 0o666])
def test_a_socket_file_has_the_permissions_that_were_asked_for(path: Path, mode: int) -> None:
    with listening(f"unix:{path}", unix_mode=mode):
        assert stat.S_IMODE(path.stat().st_mode) == mode


@unix
def test_permissions_are_set_before_anyone_can_connect(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refused = []

    def chmod(name: str, mode: int) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as early:
            refused.append(early.connect_ex(name))

    monkeypatch.setattr(os, "chmod", chmod)
    with listening(f"unix:{path}"):
        assert refused == [errno.ECONNREFUSED]


@unix
def test_the_socket_file_is_removed_at_the_end(path: Path) -> None:
    with listening(f"unix:{path}"):
        assert path.is_socket()
    assert not path.exists()


@unix
def test_the_socket_file_is_removed_also_from_another_working_directory(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = path.absolute()
    with listening(f"unix:{path}"):
        monkeypatch.chdir("/")
    assert not made.exists()


@unix
def test_a_file_that_took_the_place_of_the_socket_is_left_alone(path: Path) -> None:
    with listening(f"unix:{path}"):
        path.unlink()
        path.write_text("precious")
    assert path.read_text() == "precious"


@unix
def test_the_socket_of_a_successor_is_left_alone(path: Path) -> None:
    first = Listener(parse_address(f"unix:{path}"))
    path.unlink()
    with listening(f"unix:{path}") as second:
        first.close()
        connect(second).close()


@unix
def test_the_socket_file_of_a_dead_server_is_replaced(path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as dead:
        dead.bind(str(path))
    with listening(f"unix:{path}") as listener:
        connect(listener).close()


@unix
def test_the_socket_of_a_live_server_is_in_use(path: Path) -> None:
    with listening(f"unix:{path}") as listener:
        assert "the socket is in use" in refusal(f"unix:{path}")
        connect(listener).close()


@unix
def test_a_live_server_with_a_full_backlog_is_in_use_too(path: Path) -> None:
    with listening(f"unix:{path}", backlog=0) as listener, connect(listener):
        assert "the socket is in use" in refusal(f"unix:{path}")
        assert path.is_socket()


@unix
@pytest.mark.parametrize("kind", ["file", "folder", "link"])
def test_what_is_no_socket_is_never_removed(path: Path, kind: str) -> None:
    if kind == "file":
        path.write_text("precious")
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to("nowhere")
    assert "no socket" in refusal(f"unix:{path}")
    assert os.path.lexists(path)


@unix
def test_a_missing_folder_is_named(path: Path) -> None:
    assert "the folder missing/deep is missing; make it" in refusal(f"unix:missing/deep/{path}")


@unix
def test_a_file_in_the_place_of_the_folder_is_named(path: Path) -> None:
    path.write_text("")
    assert "app.sock is no folder" in refusal("unix:app.sock/a")


@unix
@pytest.mark.parametrize("length", [120, 5000])
def test_a_path_that_is_too_long_for_the_system_is_explained(path: Path, length: int) -> None:
    assert "the path is too long" in refusal("unix:" + "x" * length)


@linux
def test_an_abstract_socket_has_a_name_and_no_file(path: Path) -> None:
    name = f"@wsgiserver-{os.getpid()}-{os.urandom(4).hex()}"
    with listening(f"unix:{name}") as listener:
        assert listener.address == name
        assert listener.url == f"unix:{name}"
        connect(listener).close()
        assert "in use" in refusal(f"unix:{name}")
        assert os.listdir() == []


def test_abstract_sockets_elsewhere_than_on_linux_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "AF_UNIX", 1, raising=False)
    monkeypatch.setattr(sys, "platform", "darwin")
    assert "only Linux has abstract Unix sockets; give a path" in refusal("unix:@app")


def test_a_system_without_unix_sockets_is_told_to_use_tcp(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(socket, "AF_UNIX", raising=False)
    assert "no Unix sockets; give HOST:PORT" in refusal("unix:app.sock")
    with listening("127.0.0.1:0") as listener, connect(listener):
        accepted(listener).close()


# --- inherited descriptors ----------------------------------------------------------------------------------


def test_a_descriptor_that_listens_is_adopted_and_closed_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as made:
        port = made.getsockname()[1]
        descriptor = made.detach()
    os.set_inheritable(descriptor, True)
    with listening(f"fd:{descriptor}") as listener:
        assert listener.fileno() == descriptor
        assert listener.address == ("127.0.0.1", port)
        assert listener.url == f"http://127.0.0.1:{port}"
        assert not os.get_blocking(descriptor)
        assert not os.get_inheritable(descriptor)
        with connect(listener):
            accepted(listener).close()
        listener.close()
        with open(os.devnull) as other:  # takes the number that became free; a second close must not close it
            assert other.fileno() == descriptor
            listener.close()
            assert os.fstat(descriptor)


@unix
def test_an_adopted_unix_socket_keeps_its_file(path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as made:
        made.bind(str(path))
        made.listen()
        descriptor = made.detach()
    with listening(f"fd:{descriptor}") as listener:
        assert listener.address == "app.sock"
        with connect(listener):
            accepted(listener).close()
    assert path.is_socket()


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_a_socket_that_does_not_listen_is_refused_and_left_open(kind: int) -> None:
    with socket.socket(socket.AF_INET, kind) as made:
        made.bind(("127.0.0.1", 0))
        assert "does not listen" in refusal(f"fd:{made.fileno()}")
        assert made.getsockname()


def test_a_descriptor_that_is_no_socket_is_refused_and_left_open() -> None:
    with open(os.devnull) as other:
        assert "it is no socket; hand over" in refusal(f"fd:{other.fileno()}")
        assert os.fstat(other.fileno())


def test_a_descriptor_that_is_not_open_is_refused() -> None:
    assert "there is no such descriptor; hand over" in refusal("fd:987654321")


def test_systems_that_cannot_tell_whether_a_socket_listens_are_trusted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(socket, "SO_ACCEPTCONN", raising=False)
    with socket.create_server(("127.0.0.1", 0)) as made:
        descriptor = made.detach()
    with listening(f"fd:{descriptor}") as listener, connect(listener):
        accepted(listener).close()


# --- what people are told -----------------------------------------------------------------------------------


@linux
def test_a_busy_port_is_told_with_the_process_that_has_it() -> None:
    code = "import socket; s = socket.create_server(('127.0.0.1', 0)); print(s.getsockname()[1]); input()"
    command = [sys.executable, "-u", "-c", code]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        port = int(other.stdout.readline())
        message = refusal(f"127.0.0.1:{port}")
        other.communicate("\n")
    name = Path(os.path.realpath(sys.executable)).name[:4]
    assert f"the port is in use by {name}" in message
    assert f"(process {other.pid}); stop it, or choose another port (0 takes a free one)" in message


@linux
@pytest.mark.parametrize("text", ["127.0.0.1:0", ":0", "unix:app.sock"])
def test_an_address_that_is_bound_twice_by_one_process_is_told_so(path: Path, text: str) -> None:
    with listening(text) as listener:
        again = text if isinstance(listener.address, str) else text[:-1] + listener.port
        assert "in use by this process itself; choose another" in refusal(again)


def test_a_busy_port_is_told_also_where_no_process_can_be_found(monkeypatch: pytest.MonkeyPatch) -> None:
    real = open

    def no_proc(name: str, *arguments: object, **options: object) -> object:
        if str(name).startswith("/proc"):
            raise PermissionError(errno.EACCES, "no", name)
        return real(name, *arguments, **options)  # type: ignore[call-overload]

    monkeypatch.setattr("builtins.open", no_proc)
    with listening("127.0.0.1:0") as listener:
        message = refusal(f"127.0.0.1:{listener.port}")
    assert message.endswith("the port is in use; choose another port (0 takes a free one)")


@pytest.fixture
def unprivileged() -> Iterator[None]:
    """Lay root's rights down while a test runs."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        yield
        return
    try:
        os.seteuid(65534)
    except PermissionError:
        pytest.skip("this root may not become another user")
    try:
        yield
    finally:
        os.seteuid(0)


def _first_free_port() -> int:
    with contextlib.suppress(OSError):
        return int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text())
    return 0


@pytest.mark.skipif(_first_free_port() < 2, reason="this system lets everyone have every port")
@pytest.mark.usefixtures("unprivileged")
def test_a_port_for_privileged_users_is_told_with_one_that_is_not() -> None:
    assert "no permission for a port under 1024; choose a higher one, such as 8000" in refusal("127.0.0.1:1")


@unix
def test_a_folder_without_write_permission_is_named(path: Path, request: pytest.FixtureRequest) -> None:
    closed = path.parent.absolute() / "closed"
    closed.mkdir(mode=0o555)
    request.getfixturevalue("unprivileged")
    assert f"no permission in the folder {closed}; choose one" in refusal(f"unix:{closed}/a.sock")


@unix
@pytest.mark.usefixtures("unprivileged")
def test_a_socket_that_belongs_to_another_user_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    with tempfile.TemporaryDirectory() as folder:  # one that also the unprivileged may enter
        monkeypatch.chdir(folder)
        with listening("unix:app.sock", unix_mode=0o000):
            assert "the socket there belongs to another user; choose another" in refusal("unix:app.sock")
        monkeypatch.undo()


def test_an_address_of_another_machine_is_told() -> None:
    message = refusal("192.0.2.77:8000")  # RFC 5737: nobody's
    assert "192.0.2.77 is not this machine; choose an address of it, or :8000 for all" in message


@pytest.mark.parametrize("host", ["no-such-host.invalid", "x" * 70 + ".example"])
def test_a_host_name_that_is_unknown_is_told(host: str) -> None:
    """Also one that cannot be a name: its label is longer than 63 bytes."""
    assert f"host name '{host}' is unknown; check how it is spelt" in refusal(f"{host}:8000")


@pytest.mark.parametrize(
    ("code", "address", "advice"),
    [
        (errno.EAFNOSUPPORT, "[::1]:8000", "this system has no IPv6; choose an IPv4 address"),
        (errno.EMFILE, "127.0.0.1:8000", "check the address and the system's limits"),
        (errno.EACCES, "127.0.0.1:8000", "check the address and the system's limits"),
        (errno.EROFS, "unix:/a/b", "check the path and the system's limits"),
    ],
)
def test_rarer_errors_of_the_system_come_with_advice_too(code: int, address: str, advice: str) -> None:
    with pytest.raises(BindError) as caught, explained(parse_address(address)):
        raise OSError(code, os.strerror(code))
    assert advice in str(caught.value)


def test_a_failed_listener_leaves_nothing_open() -> None:
    """ResourceWarning is an error in these tests."""
    with listening("127.0.0.1:0") as listener:
        before = os.dup(listener.fileno())
        os.close(before)
        refusal(f"127.0.0.1:{listener.port}")
        after = os.dup(listener.fileno())
        os.close(after)
    assert after == before


# --- streams ------------------------------------------------------------------------------------------------


def test_a_stream_receives_and_sends_without_waiting(pair: tuple[Stream, socket.socket]) -> None:
    stream, client = pair
    with pytest.raises(BlockingIOError):
        stream.recv(10)
    client.sendall(b"question")
    assert stream.wait_writable(10)
    select.select([stream], [], [], 10)
    assert stream.recv(4) == b"ques"
    assert stream.recv(99) == b"tion"
    assert stream.send(b"answer") == 6
    assert client.recv(99) == b"answer"


@linux
def test_what_may_wait_for_more_leaves_when_it_is_pushed() -> None:
    import fcntl
    import struct

    def unsent(stream: Stream) -> int:
        siocoutqnsd = 0x894B  # <linux/sockios.h>: octets that were given to the system, and have not left
        return int(struct.unpack("i", fcntl.ioctl(stream.fileno(), siocoutqnsd, bytes(4)))[0])

    with listening("127.0.0.1:0") as listener, connect(listener) as client:
        stream = accepted(listener)
        waited = False
        for _ in range(100):  # the system may have let it leave already, for after 200 ms it does
            assert stream.send(b"one", stream.more) == 3
            waited |= unsent(stream) > 0
            stream.push()
            assert unsent(stream) == 0
            assert client.recv(3) == b"one"
        assert waited
        stream.close()
        stream.push()


@linux
def test_nothing_waits_on_a_unix_socket(tmp_path: Path) -> None:
    with listening(f"unix:{tmp_path / 'socket'}") as listener, connect(listener) as client:
        stream = accepted(listener)
        stream.send(b"one", stream.more)
        client.setblocking(False)
        assert client.recv(10) == b"one"
        stream.push()
        stream.close()


def test_a_stream_sends_several_buffers_at_once(pair: tuple[Stream, socket.socket]) -> None:
    stream, client = pair
    if stream.sendmsg is None:
        pytest.skip("this system has no sendmsg")
    assert stream.sendmsg([b"head", memoryview(b"body")]) == 8
    assert client.recv(99) == b"headbody"


@pytest.fixture
def full() -> Iterator[tuple[Stream, socket.socket]]:
    """A stream whose client takes nothing, and that client."""
    near, client = socket.socketpair()
    near.setblocking(False)
    stream = Stream(near, "")
    with client:
        with contextlib.suppress(BlockingIOError):
            while True:
                stream.send(bytes(65536))
        yield stream, client
        stream.close()


@pytest.mark.parametrize("poll", [True, False])
def test_a_stream_waits_until_its_client_takes_something(
    full: tuple[Stream, socket.socket], monkeypatch: pytest.MonkeyPatch, poll: bool
) -> None:
    """With poll, and with select where the system has no poll."""
    stream, client = full
    if not poll:
        monkeypatch.delattr(select, "poll", raising=False)
    assert not stream.wait_writable(0)
    client.settimeout(10)
    while not stream.wait_writable(0):
        assert client.recv(65536)
    assert stream.wait_writable(10)


def test_a_stream_is_writable_when_its_client_is_gone(full: tuple[Stream, socket.socket]) -> None:
    """The next send says so, at once."""
    stream, client = full
    client.close()
    assert stream.wait_writable(10)
    with pytest.raises(ConnectionError):
        stream.send(b"x")


class WatchedPoll:
    """A ``select.poll`` that notes how many milliseconds it may take, and does something before its second wait."""

    def __init__(self, second: Callable[[], object] = lambda: None) -> None:
        self._poll = select.poll()
        self.register, self.modify = self._poll.register, self._poll.modify
        self._second = second
        self.waits: list[float] = []

    def poll(self, milliseconds: float) -> list[tuple[int, int]]:
        self.waits.append(milliseconds)
        if len(self.waits) == 2:
            self._second()
        return self._poll.poll(milliseconds)


@pytest.mark.skipif(not hasattr(select, "poll"), reason="this system has no poll")
@pytest.mark.parametrize("half_closed", [False, True])
def test_who_waits_for_a_client_finds_that_the_connection_was_taken_from_it(
    full: tuple[Stream, socket.socket], monkeypatch: pytest.MonkeyPatch, half_closed: bool
) -> None:
    """Also where the client sends no more, so that an end of reading is nothing new."""
    stream, client = full
    if half_closed:
        client.shutdown(socket.SHUT_WR)
    poll = WatchedPoll(stream.abort)
    monkeypatch.setattr(select, "poll", lambda: poll)
    assert stream.wait_writable(PATIENCE)
    with pytest.raises(ConnectionAbortedError):
        stream.send(b"x")


@pytest.mark.skipif(not hasattr(select, "poll"), reason="this system has no poll")
def test_a_client_that_sends_no_more_is_waited_for_no_longer_than_others(
    full: tuple[Stream, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    stream, client = full
    client.shutdown(socket.SHUT_WR)
    poll = WatchedPoll()
    monkeypatch.setattr(select, "poll", lambda: poll)
    assert not stream.wait_writable(0.25)
    assert sum(poll.waits) <= 250


@pytest.mark.skipif(not hasattr(os, "sendfile"), reason="this system has no sendfile")
def test_a_stream_sends_from_a_file_from_an_offset(pair: tuple[Stream, socket.socket], tmp_path: Path) -> None:
    stream, client = pair
    file = tmp_path / "file"
    file.write_bytes(b"0123456789")
    assert stream.sendfile is not None
    with file.open("rb") as opened:
        assert stream.sendfile(opened.fileno(), 3, 4) == 4
        assert stream.sendfile(opened.fileno(), 10, 4) == 0
    assert client.recv(99) == b"3456"


def test_what_a_system_lacks_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    class Plain:
        """A socket as Windows has it."""

        def __init__(self, real: socket.socket) -> None:
            self.recv, self.send, self.fileno, self.close = real.recv, real.send, real.fileno, real.close

    monkeypatch.delattr(os, "sendfile", raising=False)
    near, far = socket.socketpair()
    with near, far:
        stream = Stream(Plain(near), "")  # type: ignore[arg-type]
        assert stream.sendfile is None
        assert stream.sendmsg is None
        assert stream.send(b"x") == 1
        assert far.recv(9) == b"x"
        stream.close()


def test_shut_ends_what_is_sent_but_not_what_is_received(pair: tuple[Stream, socket.socket]) -> None:
    """RFC 9112 section 9.6: the server closes its sending side first, and reads on."""
    stream, client = pair
    stream.shut()
    assert client.recv(99) == b""
    client.sendall(b"late")
    select.select([stream], [], [], 10)
    assert stream.recv(99) == b"late"


def test_close_delivers_what_was_sent_and_may_be_repeated(pair: tuple[Stream, socket.socket]) -> None:
    stream, client = pair
    stream.send(b"last words")
    stream.close()
    stream.close()
    stream.shut()
    stream.reset()
    assert client.recv(99) == b"last words"
    assert client.recv(99) == b""
    assert stream.fileno() == -1
    assert repr(stream) == f"<Stream {stream.peer} closed>"


@pytest.mark.parametrize("use", [lambda s: s.recv(1), lambda s: s.send(b"x"), lambda s: s.sendfile(0, 0, 1)])
def test_a_closed_stream_raises_and_touches_no_other_descriptor(
    pair: tuple[Stream, socket.socket], use: Callable[[Stream], object]
) -> None:
    stream, _ = pair
    stream.close()
    with pytest.raises(OSError):
        use(stream)


def test_reset_tells_the_client_that_the_connection_is_gone(pair: tuple[Stream, socket.socket]) -> None:
    stream, client = pair
    stream.reset()
    assert stream.fileno() == -1
    with pytest.raises(ConnectionResetError):
        client.recv(99)


@pytest.mark.skipif(not hasattr(socket.socket, "sendmsg"), reason="this system has no sendmsg")
def test_the_hot_methods_are_the_sockets_own(pair: tuple[Stream, socket.socket]) -> None:
    """No Python runs between the loop and the system."""
    stream, _ = pair
    for method in (stream.recv, stream.send, stream.sendmsg):
        assert isinstance(method, type("".join))
        assert isinstance(method.__self__, socket.socket)
