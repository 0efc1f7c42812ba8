"""Settings: what each text means, who comes before whom, and what is said about a bad value."""

import copy
import dataclasses
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsgiserver.settings import (
    ADDRESSES,
    BY_NAME,
    DURATION,
    MODE,
    NUMBER,
    OPTIONS,
    SIZE,
    SWITCH,
    BadSetting,
    Option,
    Settings,
    from_environment,
    from_file,
    from_table,
    resolve,
)

ROOT = Path(__file__).parent.parent
every_option = pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name)


def the_value_of(name: str, text: object) -> Any:
    return BY_NAME[name].read(text, "here")


# What is declared


def test_the_defaults_are_those_of_the_contract() -> None:
    settings = Settings()
    assert settings.bind == ("127.0.0.1:8000",)
    assert (settings.app, settings.chdir, settings.unix_mode, settings.backlog) == ("", "", 0o600, 1024)
    assert (settings.threads, settings.access_log, settings.quiet) == (16, True, False)
    assert (settings.server_header, settings.terse_errors) == (True, False)
    assert (settings.limit_line, settings.limit_head, settings.limit_fields) == (16_384, 65_536, 100)
    assert (settings.limit_body, settings.limit_connections) == (1_073_741_824, 1000)
    assert (settings.timeout_head, settings.timeout_body, settings.timeout_keep_alive) == (10, 30, 15)
    assert (settings.timeout_send, settings.timeout_stop) == (30, 30)
    assert (settings.buffer_body, settings.buffer_response) == (1_048_576, 65_536)


@every_option
def test_each_setting_says_what_people_need(option: Option) -> None:
    assert option.help.endswith(".")
    assert option.group
    assert option.allowed
    assert option.check(option.default, option.name) == option.default


@every_option
def test_the_names_of_a_setting_follow_from_its_field(option: Option) -> None:
    assert option.variable == "WSGISERVER_" + option.name.upper()
    assert option.key == option.name.replace("_", "-")
    assert option.flag == ("APP" if option.name == "app" else "--" + option.key)


# Settings as Python sees them


def test_settings_cannot_be_changed() -> None:
    settings = Settings()
    with pytest.raises(AttributeError, match=r"^threads stays as it is: settings are frozen$"):
        settings.threads = 2  # type: ignore[misc]
    with pytest.raises(AttributeError):
        del settings.threads
    assert settings == Settings()


def test_a_setting_that_there_is_not_is_refused() -> None:
    with pytest.raises(TypeError, match=r"^there is no setting 'thread'$"):
        Settings(thread=2)  # type: ignore[call-arg]


def test_settings_show_what_they_are_made_of() -> None:
    assert repr(Settings(threads=2)).startswith("Settings(app='', bind=('127.0.0.1:8000',), ")
    assert eval(repr(Settings(threads=2))) == Settings(threads=2)


def test_the_fields_of_settings_are_listed_as_those_of_a_dataclass() -> None:
    assert [field.name for field in dataclasses.fields(Settings)] == [*BY_NAME]


# copy.replace is new in Python 3.13.
@pytest.mark.parametrize("replace", [dataclasses.replace, getattr(copy, "replace", dataclasses.replace)])
def test_settings_can_be_replaced_like_a_dataclass_and_are_checked_again(replace: Any) -> None:
    assert replace(Settings(quiet=True), threads=2) == Settings(quiet=True, threads=2)
    with pytest.raises(BadSetting):
        replace(Settings(), threads=0)


def test_equal_settings_are_equal_and_hash_alike() -> None:
    assert Settings(threads=2) == Settings(threads=2) != Settings()
    assert hash(Settings(bind=["a:1"])) == hash(Settings(bind=("a:1",)))  # type: ignore[arg-type]


@pytest.mark.parametrize("bind", ["a:1", ["a:1"], ("a:1",)])
def test_bind_takes_one_address_or_a_sequence(bind: Any) -> None:
    assert Settings(bind=bind).bind == ("a:1",)


def test_a_time_may_be_a_whole_number() -> None:
    assert isinstance(Settings(timeout_head=5).timeout_head, float)


SEVERAL = "an address as a str, or several in a list or tuple, none empty"


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("threads", 0, "threads: must be a whole number (1 or more), not 0"),
        ("threads", "4", "threads: must be a whole number (1 or more), not '4'; write 4"),
        ("threads", True, "threads: must be a whole number (1 or more), not True"),
        ("threads", 4.0, "threads: must be a whole number (1 or more), not 4.0"),
        ("backlog", 65_536, "backlog: must be a whole number (1 to 65535), not 65536"),
        ("limit_line", 0, "limit_line: must be a whole number of bytes (1 or more), not 0"),
        ("unix_mode", -1, "unix_mode: must be permissions such as 0o600 (0o0 to 0o777), not -1"),
        ("bind", [], f"bind: must be {SEVERAL}, not []"),
        ("bind", ["a:1", ""], f"bind: must be {SEVERAL}, not ['a:1', '']"),
        ("bind", [8000], f"bind: must be {SEVERAL}, not [8000]"),
        ("bind", 8000, f"bind: must be {SEVERAL}, not 8000; write ['8000']"),
        ("app", None, "app: must be a text, not None"),
        ("chdir", Path("x"), f"chdir: must be a path as a str, not {Path('x')!r}"),
        ("quiet", 1, "quiet: must be True or False, not 1; write True"),
    ],
)
def test_a_value_that_is_not_allowed_is_refused_in_one_line(name: str, value: Any, message: str) -> None:
    with pytest.raises(BadSetting) as caught:
        Settings(**{name: value})
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("limit_body", "20 MiB", "must be a whole number of bytes (0 or more), not '20 MiB'; write 20971520"),
        ("limit_body", "20 MB", "must be a whole number of bytes (0 or more), not '20 MB'"),
        ("limit_line", "0", "must be a whole number of bytes (1 or more), not '0'"),
        ("timeout_head", "10 s", "must be a number of seconds (0.001 to 86400.0), not '10 s'; write 10.0"),
        ("unix_mode", "660", "must be permissions such as 0o600 (0o0 to 0o777), not '660'; write 0o660"),
        ("quiet", "yes", "must be True or False, not 'yes'; write True"),
    ],
)
def test_a_text_that_python_does_not_take_is_answered_with_what_it_takes(name: str, value: Any, message: str) -> None:
    """Not with what may be written elsewhere, which would recommend what is refused."""
    with pytest.raises(BadSetting) as caught:
        Settings(**{name: value})
    assert str(caught.value) == f"{name}: {message}"


@pytest.mark.parametrize(("mode", "advice"), [(600, "; write 0o600"), (777, "; write 0o777"), (1777, ""), (680, "")])
def test_permissions_in_python_that_miss_their_0o_are_told_so(mode: int, advice: str) -> None:
    with pytest.raises(BadSetting) as caught:
        Settings(unix_mode=mode)
    assert str(caught.value) == f"unix_mode: must be permissions such as 0o600 (0o0 to 0o777), not {mode}{advice}"


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf"), 86_401, 10**400, True, "10"])
def test_a_deadline_is_a_time_between_a_millisecond_and_a_day(seconds: Any) -> None:
    with pytest.raises(BadSetting, match=r"^timeout_send: must be a number of seconds \(0.001 to 86400.0\), not "):
        Settings(timeout_send=seconds)


def test_a_long_value_is_cut_in_the_message() -> None:
    with pytest.raises(BadSetting) as caught:
        Settings(threads="9" * 10_000)  # type: ignore[arg-type]
    assert len(str(caught.value)) < 200


# What texts mean


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("65536", 65_536),
        ("100 B", 100),
        ("64 KiB", 65_536),
        ("64KiB", 65_536),
        ("64 kib", 65_536),
        (" 1 MiB ", 1_048_576),
        ("1GiB", 1_073_741_824),
    ],
)
def test_a_size_is_a_number_of_bytes_or_has_a_unit(text: str, size: int) -> None:
    assert the_value_of("limit_body", text) == size


@pytest.mark.parametrize(
    "text", ["", "KiB", "-1", "+1", "1 kB", "1 K", "1.5 KiB", "1  KiB", "1_000", "0x10", "१", "1e3"]
)
def test_a_size_is_nothing_else(text: str) -> None:
    with pytest.raises(BadSetting):
        the_value_of("limit_body", text)


@pytest.mark.parametrize(("text", "seconds"), [("10", 10), ("10 s", 10), ("10s", 10), ("1.5", 1.5), (".5 S", 0.5)])
def test_a_time_is_a_number_of_seconds(text: str, seconds: float) -> None:
    assert the_value_of("timeout_head", text) == seconds


@pytest.mark.parametrize("text", ["", "s", "ten", "-1", "0", "1 m", "1.2.3", "nan", "inf", "1e3", "9" * 5000])
def test_a_time_is_nothing_else(text: str) -> None:
    with pytest.raises(BadSetting):
        the_value_of("timeout_head", text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *((text, True) for text in ("true", "True", "yes", "on", "1", " TRUE ")),
        *((text, False) for text in ("false", "no", "OFF", "0")),
    ],
)
def test_a_switch_is_a_word_for_yes_or_no(text: str, value: bool) -> None:
    assert the_value_of("quiet", text) is value


@pytest.mark.parametrize("text", ["", "y", "2", "enabled"])
def test_a_switch_is_nothing_else(text: str) -> None:
    with pytest.raises(BadSetting):
        the_value_of("quiet", text)


@pytest.mark.parametrize(("text", "mode"), [("600", 0o600), ("0600", 0o600), ("0o660", 0o660), ("0", 0)])
def test_permissions_are_octal(text: str, mode: int) -> None:
    assert the_value_of("unix_mode", text) == mode


@pytest.mark.parametrize("text", ["", "0o", "888", "1777", "-600", "rw-------", "0x1ff", "6_00"])
def test_permissions_are_nothing_else(text: str) -> None:
    with pytest.raises(BadSetting):
        the_value_of("unix_mode", text)


def test_several_addresses_stand_between_commas() -> None:
    assert the_value_of("bind", "a:1, unix:b c,[::1]:2") == ("a:1", "unix:b c", "[::1]:2")


@pytest.mark.parametrize("text", ["", "a:1,", ","])
def test_none_of_the_addresses_is_empty(text: str) -> None:
    with pytest.raises(BadSetting):
        the_value_of("bind", text)


@pytest.mark.parametrize(
    ("name", "text", "shown"),
    [
        ("threads", "0", "0"),
        ("threads", "-1", "-1"),
        ("threads", "1.5", "1.5"),
        ("threads", "many", "'many'"),
        ("timeout_head", "0", "0"),
        ("timeout_head", "0.0", "0.0"),
        ("timeout_head", "0 s", "'0 s'"),
        ("limit_line", "0 KiB", "'0 KiB'"),
        ("unix_mode", "1777", "1777"),
        ("unix_mode", "0888", "0888"),
        ("quiet", "2", "2"),
        ("bind", ",", "','"),
        ("threads", 0, "0"),
        ("timeout_head", 0, "0"),
        ("threads", True, "true"),
    ],
)
def test_a_bad_value_is_shown_as_it_was_written(name: str, text: object, shown: str) -> None:
    """Not as it was read: permissions 1777 are not 1023, a time of 0 is not 0.0."""
    with pytest.raises(BadSetting) as caught:
        the_value_of(name, text)
    assert str(caught.value) == f"here: must be {BY_NAME[name].allowed}, not {shown}"


VALUES = {
    SWITCH: st.booleans(),
    NUMBER: st.integers(1, 65_535),
    SIZE: st.integers(1, 1 << 50),
    DURATION: st.integers(1000, 86_400_000_000).map(lambda microseconds: microseconds / 1_000_000),
    MODE: st.integers(0, 0o777),
    ADDRESSES: st.lists(st.from_regex(r"[a-z/:\[\]0-9]+", fullmatch=True), min_size=1).map(tuple),
}


@given(st.data())
def test_a_value_that_is_shown_is_read_back(data: st.DataObject) -> None:
    option = data.draw(st.sampled_from([option for option in OPTIONS if option.kind in VALUES]))
    value = data.draw(VALUES[option.kind])
    assert option.read(option.kind.show(value), "here") == value


@given(st.sampled_from(OPTIONS), st.text())
def test_any_text_is_read_or_refused_in_one_line(option: Option, text: str) -> None:
    message = ""
    try:
        option.read(text, "here")
    except BadSetting as error:
        message = str(error)
    assert message.isprintable()


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("limit_line", 16_384, "16 KiB"),
        ("limit_line", 16_385, "16385 B"),
        ("limit_body", 0, "0 B"),
        ("limit_body", 3 << 30, "3 GiB"),
        ("timeout_head", 10.0, "10 s"),
        ("timeout_head", 0.25, "0.25 s"),
        ("unix_mode", 0o660, "660"),
        ("quiet", True, "true"),
        ("bind", ("a:1", "b:2"), "a:1, b:2"),
    ],
)
def test_values_are_shown_with_their_units(name: str, value: Any, shown: str) -> None:
    assert BY_NAME[name].kind.show(value) == shown


# Who comes before whom


def write_file(folder: Path, text: str) -> None:
    (folder / "pyproject.toml").write_text(text, encoding="utf-8")


def test_the_command_line_comes_before_the_environment_and_that_before_the_file(tmp_path: Path) -> None:
    write_file(tmp_path, "[tool.wsgiserver]\nthreads = 1\nbacklog = 1\nlimit-fields = 1\n")
    environment = {"WSGISERVER_THREADS": "2", "WSGISERVER_BACKLOG": "2"}
    resolved = resolve({"threads": "3"}, environment, str(tmp_path))
    assert (resolved.settings.threads, resolved.sources["threads"]) == (3, "--threads")
    assert (resolved.settings.backlog, resolved.sources["backlog"]) == (2, "WSGISERVER_BACKLOG")
    assert resolved.settings.limit_fields == 1
    assert resolved.sources["limit_fields"] == f"{tmp_path / 'pyproject.toml'}, [tool.wsgiserver]"
    assert (resolved.settings.limit_line, resolved.sources["limit_line"]) == (16_384, "default")


def test_nothing_said_is_the_default_everywhere(tmp_path: Path) -> None:
    resolved = resolve({}, {}, str(tmp_path))
    assert resolved.settings == Settings()
    assert set(resolved.sources) == set(BY_NAME)
    assert set(resolved.sources.values()) == {"default"}


def test_a_switch_that_is_turned_off_outranks_one_that_is_on(tmp_path: Path) -> None:
    resolved = resolve({"quiet": False}, {"WSGISERVER_QUIET": "yes"}, str(tmp_path))
    assert (resolved.settings.quiet, resolved.sources["quiet"]) == (False, "--no-quiet")


@pytest.mark.parametrize(
    ("given", "environment", "message"),
    [
        ({"threads": "x"}, {}, "--threads: must be a whole number (1 or more), not 'x'"),
        ({"bind": [""]}, {}, "--bind: must be one address or several, none empty, not ['']"),
        ({}, {"WSGISERVER_THREADS": "0"}, "WSGISERVER_THREADS: must be a whole number (1 or more), not 0"),
        (
            {"threads": "1"},
            {"WSGISERVER_THREADS": "x"},
            "WSGISERVER_THREADS: must be a whole number (1 or more), not 'x'",
        ),
    ],
    ids=["text", "list", "environment", "outranked"],
)
def test_a_bad_value_is_refused_with_its_source(
    given: dict[str, object], environment: dict[str, str], message: str, tmp_path: Path
) -> None:
    with pytest.raises(BadSetting) as caught:
        resolve(given, environment, str(tmp_path))
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("given", "environment", "places"),
    [
        ({}, {}, {"app": "", "bind": "", "chdir": ""}),
        (
            {"app": "shop", "bind": ["1"], "chdir": ".", "quiet": False},
            {},
            {"app": "", "bind": "--bind: ", "chdir": "--chdir: ", "quiet": "--no-quiet: "},
        ),
        (
            {},
            {"WSGISERVER_APP": "shop", "WSGISERVER_BIND": "1", "WSGISERVER_CHDIR": "."},
            {"app": "WSGISERVER_APP: ", "bind": "WSGISERVER_BIND: ", "chdir": "WSGISERVER_CHDIR: "},
        ),
    ],
    ids=["default", "command line", "environment"],
)
def test_what_turns_out_bad_later_is_blamed_on_the_source_of_the_setting(
    given: dict[str, object], environment: dict[str, str], places: dict[str, str], tmp_path: Path
) -> None:
    resolved = resolve(given, environment, str(tmp_path))
    assert {name: resolved.blame(name, "it is bad") for name in places} == {
        name: f"{place}it is bad" for name, place in places.items()
    }


def test_what_turns_out_bad_later_is_blamed_on_the_key_of_the_file(tmp_path: Path) -> None:
    write_file(tmp_path, '[tool.wsgiserver]\napp = "shop"\nbind = "1"\nchdir = "."\nunix_mode = "600"\n')
    resolved = resolve({}, {}, str(tmp_path))
    where = f"{tmp_path / 'pyproject.toml'}, [tool.wsgiserver]"
    for name, key in {"app": "app", "bind": "bind", "chdir": "chdir", "unix_mode": "unix-mode"}.items():
        assert resolved.blame(name, ValueError("it is bad")) == f"{where} {key}: it is bad"


def test_an_empty_variable_is_not_set() -> None:
    assert from_environment({"WSGISERVER_THREADS": "", "WSGISERVER_APP": ""}) == {}


def test_a_variable_that_no_setting_has_is_ignored() -> None:
    """Kubernetes sets WSGISERVER_PORT and more for a service that is called wsgiserver."""
    assert from_environment({"WSGISERVER_PORT": "tcp://10.0.0.1:80", "THREADS": "x"}) == {}


# The file


@pytest.mark.parametrize("where", ["command line", "environment"])
def test_the_file_is_in_the_folder_to_work_in(where: str, tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    write_file(tmp_path, "[tool.wsgiserver]\nthreads = 1\n")
    write_file(tmp_path / "site", "[tool.wsgiserver]\nthreads = 2\n")
    given = {"chdir": "site"} if where == "command line" else {}
    environment = {"WSGISERVER_CHDIR": "site"} if where == "environment" else {}
    assert resolve(given, environment, str(tmp_path)).settings.threads == 2


def test_a_folder_that_the_file_names_is_not_searched_for_another_file(tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    write_file(tmp_path, "[tool.wsgiserver]\nthreads = 1\nchdir = 'site'\n")
    write_file(tmp_path / "site", "[tool.wsgiserver]\nthreads = 2\n")
    settings = resolve({}, {}, str(tmp_path)).settings
    assert (settings.chdir, settings.threads) == ("site", 1)


def test_without_a_folder_the_file_is_in_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_file(tmp_path, "[tool.wsgiserver]\nthreads = 1\n")
    monkeypatch.chdir(tmp_path)
    resolved = resolve({}, {})
    assert (resolved.settings.threads, resolved.sources["threads"]) == (1, "pyproject.toml, [tool.wsgiserver]")


def test_keys_have_dashes_or_underscores_and_values_the_types_of_toml(tmp_path: Path) -> None:
    write_file(
        tmp_path,
        """
        [tool.wsgiserver]
        app = "hello:app"
        bind = ["a:1", "b:2"]
        unix_mode = "0o660"
        access-log = false
        limit-line = 100
        limit_head = "1 KiB"
        timeout-head = 5
        timeout_body = 1.5
        timeout-send = "2 s"
        """,
    )
    assert resolve({}, {}, str(tmp_path)).settings == Settings(
        app="hello:app",
        bind=("a:1", "b:2"),
        unix_mode=0o660,
        access_log=False,
        limit_line=100,
        limit_head=1024,
        timeout_head=5.0,
        timeout_body=1.5,
        timeout_send=2.0,
    )


@pytest.mark.parametrize(
    "text", ["", "[project]\nname = 'wsgiserver'\n", "[tool.other]\nwsgiserver = 1\n", "tool = 'wsgiserver'\n"]
)
def test_a_file_without_the_table_says_nothing(text: str, tmp_path: Path) -> None:
    write_file(tmp_path, text)
    assert from_file(str(tmp_path / "pyproject.toml")) == {}


@pytest.mark.parametrize(
    "text",
    [
        "[tool.wsgiserver]\nthreads = 2",
        "[ tool\t.  'wsgiserver' ]\r\nthreads = 2",
        '["tool"."wsgiserver"]\nthreads = 2',
        "tool . wsgiserver . threads = 2",
        "tool = { other = {}, wsgiserver = { threads = 2 } }",
        "'tool' = { wsgiserver.threads = 2 }",
        "[ tool ]\nwsgiserver.threads = 2",
    ],
)
def test_the_table_is_found_however_toml_lets_it_be_written(text: str, tmp_path: Path) -> None:
    """A file is parsed only where a look at its bytes says that it may have the table."""
    write_file(tmp_path, text)
    assert resolve({}, {}, str(tmp_path)).settings.threads == 2


@pytest.mark.parametrize("path", ["absent/pyproject.toml", "file/pyproject.toml"])
def test_a_file_that_is_not_there_says_nothing(path: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert from_file(str(tmp_path / path)) == {}


def test_a_broken_file_that_is_not_about_the_server_is_left_alone(tmp_path: Path) -> None:
    write_file(tmp_path, "[tool.other\n")
    assert from_file(str(tmp_path / "pyproject.toml")) == {}


@pytest.mark.parametrize("data", [b"[tool.wsgiserver\n", b"[tool.wsgiserver]\napp = '\xff'\n"], ids=["syntax", "UTF-8"])
def test_a_file_that_is_not_toml_is_refused(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "pyproject.toml"
    path.write_bytes(data)
    with pytest.raises(BadSetting) as caught:
        from_file(str(path))
    assert str(caught.value).startswith(f"{path}: is not valid TOML: ")
    assert "\n" not in str(caught.value)


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").mkdir()
    with pytest.raises(BadSetting, match=r"pyproject\.toml: cannot be read: "):
        from_file(str(tmp_path / "pyproject.toml"))


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"threads": 0}, "pyproject.toml, [tool.wsgiserver] threads: must be a whole number (1 or more), not 0"),
        ({"threads": "x"}, "pyproject.toml, [tool.wsgiserver] threads: must be a whole number (1 or more), not 'x'"),
        ({"bind": []}, "pyproject.toml, [tool.wsgiserver] bind: must be one address or several, none empty, not []"),
        ({"treads": 1}, "pyproject.toml, [tool.wsgiserver] treads: no such setting; did you mean threads?"),
        ({"limit_lines": 1}, "pyproject.toml, [tool.wsgiserver] limit_lines: no such setting; did you mean limit-line"),
        ({"zzz": 1}, "pyproject.toml, [tool.wsgiserver] zzz: no such setting"),
        (
            {"limit-line": 1, "limit_line": 2},
            "pyproject.toml, [tool.wsgiserver] limit_line: stands there twice, with dashes and with underscores",
        ),
        (3, "pyproject.toml, [tool.wsgiserver]: must be a table, not 3"),
    ],
)
def test_a_bad_table_is_refused_in_one_line(table: object, message: str) -> None:
    with pytest.raises(BadSetting) as caught:
        from_table(table)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("line", ["unix-mode = 600", "unix_mode = 440", "unix-mode = 0o600", "unix-mode = 0"])
def test_permissions_in_the_file_stand_in_quotes(line: str, tmp_path: Path) -> None:
    """TOML gives the same for 440 and for 0o670: as either is guessed, someone's socket is open to others."""
    write_file(tmp_path, f"[tool.wsgiserver]\n{line}\n")
    with pytest.raises(BadSetting) as caught:
        resolve({}, {}, str(tmp_path))
    where = f"{tmp_path / 'pyproject.toml'}, [tool.wsgiserver] {line.split()[0]}"
    assert str(caught.value) == f'{where}: must be in quotes, not a bare number; write for example unix-mode = "600"'


@pytest.mark.parametrize("bind", [8000, [8000], ["a:1", 8000]])
def test_a_port_in_the_file_stands_in_quotes(bind: object) -> None:
    with pytest.raises(BadSetting) as caught:
        from_table({"bind": bind})
    advice = 'must be in quotes, not a bare number; write for example bind = "127.0.0.1:8000"'
    assert str(caught.value) == f"pyproject.toml, [tool.wsgiserver] bind: {advice}"


# What it costs, and the page made from it


def test_importing_the_settings_is_cheap() -> None:
    """They are imported by every program that serves; what only the command or a mistake needs waits."""
    code = "import sys, wsgiserver.settings; print(*sys.modules)"
    modules = subprocess.run(
        [sys.executable, "-S", "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    assert "wsgiserver.settings" in modules
    assert not {"typer", "click", "rich", "tomllib", "dataclasses"} & set(modules)


def test_the_reference_page_shows_the_settings_as_they_are() -> None:
    script = ROOT / "docs" / "make_settings.py"
    run = subprocess.run([sys.executable, script, "--check"], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr


def test_a_stale_reference_page_is_noticed_and_made_anew(tmp_path: Path) -> None:
    script = shutil.copy(ROOT / "docs" / "make_settings.py", tmp_path)
    page = tmp_path / "reference" / "settings.md"
    page.parent.mkdir()
    page.write_text("stale", encoding="utf-8")
    check = [sys.executable, script, "--check"]
    stale = subprocess.run(check, capture_output=True, text=True, check=False)
    assert (stale.returncode, page.read_text(encoding="utf-8")) == (1, "stale")
    assert "run python docs/make_settings.py" in stale.stderr
    subprocess.run([sys.executable, script], check=True)
    assert subprocess.run(check, check=False).returncode == 0
    assert all(option.variable in page.read_text(encoding="utf-8") for option in OPTIONS)
