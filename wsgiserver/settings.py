"""Takes the texts of the command line, the environment and a file; gives one frozen ``Settings`` to the server.

Each setting is declared once, as a field of ``Settings``. From there come its option (``--timeout-head``), its
environment variable (``WSGISERVER_TIMEOUT_HEAD``), its key in ``[tool.wsgiserver]`` of ``pyproject.toml``
(``timeout-head``), its line in the help and its row in the reference. Where several speak, the command line
comes before the environment, and the environment before the file.
"""

import os
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, NoReturn, Self, dataclass_transform


class BadSetting(ValueError):
    """A value that a setting cannot take; ``str()`` is one line: where it stands and what is allowed."""


# How texts are read. A reader raises a bare ValueError; ``Option`` makes the message, from what is declared.

SIZES = {"": 1, "b": 1, "kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30}
SECONDS = {"": 1, "s": 1}
SWITCHES = {
    **dict.fromkeys(("true", "yes", "on", "1"), True),
    **dict.fromkeys(("false", "no", "off", "0"), False),
}


def _amount(text: str, number: Callable[[str], Any], units: Mapping[str, int]) -> Any:
    match = re.fullmatch("([0-9.]+) ?([a-z]*)", text.strip().lower())
    if match is None or match[2] not in units:
        raise ValueError
    return number(match[1]) * units[match[2]]


def _octal(text: str) -> int:
    if not re.fullmatch("(0o)?[0-7]{1,4}", text.strip()):
        raise ValueError
    return int(text, 8)


def _switch(text: str) -> bool:
    if text.strip().lower() not in SWITCHES:
        raise ValueError
    return SWITCHES[text.strip().lower()]


def _as_written(raw: object) -> str:
    """Show what was typed, or stands in the file: a number bare, wherever it comes from, any other text in quotes."""
    if isinstance(raw, bool):
        return str(raw).lower()
    return raw if isinstance(raw, str) and re.fullmatch("[+-]?[0-9.]+", raw) else repr(raw)


def _show_size(size: int) -> str:
    units = (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10))
    return next((f"{size // unit} {name}" for name, unit in units if size and size % unit == 0), f"{size} B")


class Kind(NamedTuple):
    """One kind of value, for people and for Python.

    ``metavar`` stands for it in the help, ``looks`` says what may be written, ``unit`` what it counts; ``parse`` reads
    a text, which ``show`` writes. In Python it is one of ``types``, ``make`` gives it its one type, ``write`` shows it
    as source, and ``looks_in_python`` says what is taken, where that is not what may be written elsewhere.
    """

    metavar: str
    looks: str
    types: tuple[type, ...]
    make: Callable[[Any], Any] = str
    parse: Callable[[str], Any] = str
    show: Callable[[Any], str] = str
    write: Callable[[Any], str] = repr
    looks_in_python: str = ""
    unit: str = ""
    minimum: float | None = None
    maximum: float | None = None


APPLICATION = Kind("APP", "a text", (str,))
FOLDER = Kind("DIR", "a path", (str,), looks_in_python="a path as a str")
ADDRESSES = Kind(
    metavar="ADDRESS",
    looks="one address or several, none empty",
    types=(str, tuple, list),
    make=lambda value: (value,) if isinstance(value, str) else tuple(value),
    parse=lambda text: [item.strip() for item in text.split(",")],
    show=", ".join,
    looks_in_python="an address as a str, or several in a list or tuple, none empty",
)
SWITCH = Kind("", "true or false", (bool,), bool, _switch, lambda on: str(on).lower(), looks_in_python="True or False")
NUMBER = Kind("N", "a whole number", (int,), int, lambda text: _amount(text, int, {"": 1}), minimum=1)
SIZE = Kind(
    metavar="SIZE",
    looks="a size such as 65536, 64 KiB or 1 GiB",
    types=(int,),
    make=int,
    parse=lambda text: _amount(text, int, SIZES),
    show=_show_size,
    looks_in_python="a whole number of bytes",
    unit="bytes",
    minimum=1,
)
DURATION = Kind(
    metavar="SECONDS",
    looks="a time such as 10, 1.5 or 10 s",
    types=(float, int),
    make=float,
    parse=lambda text: _amount(text, float, SECONDS),
    show=lambda value: f"{value:.6f}".rstrip("0").rstrip(".") + " s",
    looks_in_python="a number of seconds",
    unit="seconds",
    minimum=0.001,
    maximum=86400.0,
)
MODE = Kind(
    metavar="MODE",
    looks="octal permissions such as 600 or 0o600",
    types=(int,),
    make=int,
    parse=_octal,
    show=lambda mode: f"{mode:o}",
    write=oct,
    looks_in_python="permissions such as 0o600",
    unit="octal",
    minimum=0,
    maximum=0o777,
)


class Option(NamedTuple):
    """What is declared of one setting, and the names that follow from it."""

    name: str
    default: Any
    kind: Kind
    group: str
    help: str
    more: str
    short: str
    unit: str
    minimum: float | None
    maximum: float | None

    @property
    def key(self) -> str:
        """Its key in ``[tool.wsgiserver]``; underscores will do as well."""
        return self.name.replace("_", "-")

    @property
    def flag(self) -> str:
        """Its option on the command line; the application is the argument and has none."""
        return "APP" if self.kind is APPLICATION else f"--{self.key}"

    @property
    def variable(self) -> str:
        """Its environment variable."""
        return f"WSGISERVER_{self.name.upper()}"

    @property
    def allowed(self) -> str:
        """What may be written for it, as messages and the reference say it."""
        return self.kind.looks + self._bounds(self.kind.show)

    def _bounds(self, show: Callable[[Any], str]) -> str:
        ends = [show(end) for end in (self.minimum, self.maximum) if end is not None]
        return f" ({ends[0]} or more)" if len(ends) == 1 else f" ({ends[0]} to {ends[1]})" if ends else ""

    def read(self, raw: object, source: str) -> Any:
        """Give the checked value of a text, or of a value of the file; raise ``BadSetting``, which names ``source``."""
        # A number of TOML has lost its form: 440 may have been 440 or 0o670. And a port alone is easily taken for one.
        items = raw if isinstance(raw, list) else [raw]
        if self.kind in (ADDRESSES, MODE) and any(type(item) is int for item in items):
            example = f'{self.key} = "{self.kind.show(self.default)}"'
            raise BadSetting(f"{source}: must be in quotes, not a bare number; write for example {example}")
        try:
            value = self.kind.parse(raw) if isinstance(raw, str) else raw
        except ValueError:
            value = None  # which no setting takes
        if not self._takes(value):
            raise BadSetting(f"{source}: must be {self.allowed}, not {_as_written(raw):.80}")
        return self.kind.make(value)

    def check(self, value: Any, source: str) -> Any:
        """Give a Python value in the setting's own type; raise ``BadSetting`` for a wrong type or bounds."""
        if not self._takes(value):
            allowed = (self.kind.looks_in_python or self.kind.looks) + self._bounds(self.kind.write)
            raise BadSetting(f"{source}: must be {allowed}, not {value!r:.80}{self._advice(value)}")
        return self.kind.make(value)

    def _advice(self, value: Any) -> str:
        """Say how Python writes what is right elsewhere, such as "20 MiB", or 600 for permissions; else ""."""
        try:
            meant = self.kind.parse(str(value)) if type(value) in (str, int) else None
        except ValueError:
            return ""
        return f"; write {self.kind.write(meant)}" if self._takes(meant) else ""

    def _takes(self, value: Any) -> bool:
        if type(value) not in self.kind.types:
            return False
        if self.kind is ADDRESSES:
            return bool(value) and all(isinstance(item, str) and item for item in value)
        enough = self.minimum is None or value >= self.minimum
        return enough and (self.maximum is None or value <= self.maximum)


def _setting(group: str, kind: Kind, default: Any, help: str, more: str = "", **other: Any) -> Any:
    """Declare a setting: ``help`` is its line in the help; ``more`` follows it in the reference."""
    usual = Option("", default, kind, group, help, more, "", kind.unit, kind.minimum, kind.maximum)
    return usual._replace(**other)


class _AsDataclass:
    """Lets ``dataclasses.replace`` and its like take settings too; asked for, it loads what a start does without."""

    def __get__(self, settings: object, owner: type) -> Any:
        from dataclasses import field, make_dataclass

        declared = [(option.name, type(option.default), field(default=option.default)) for option in OPTIONS]
        made: Any = make_dataclass("Settings", declared, kw_only=True)
        return made.__dataclass_fields__


@dataclass_transform(frozen_default=True, kw_only_default=True)
class _Frozen:
    """What ``dataclass(frozen=True, kw_only=True)`` would make of the declarations.

    The module ``dataclasses`` imports ``inspect``, and writes and compiles methods: with both, a fifth of a start.
    """

    __dataclass_fields__ = _AsDataclass()

    def __init__(self, **values: Any) -> None:
        for option in OPTIONS:
            value = values.pop(option.name, option.default)
            object.__setattr__(self, option.name, option.check(value, option.name))
        if values:
            raise TypeError(f"there is no setting {min(values)!r}")

    def __setattr__(self, name: str, value: object = None) -> NoReturn:
        raise AttributeError(f"{name} stays as it is: settings are frozen")

    __delattr__ = __setattr__

    def __replace__(self, **changes: Any) -> Self:  # for copy.replace, from Python 3.13 on
        return type(self)(**{**vars(self), **changes})

    def __eq__(self, other: object) -> bool:
        return vars(self) == vars(other) if isinstance(other, _Frozen) else NotImplemented

    def __hash__(self) -> int:
        return hash(tuple(vars(self).values()))

    def __repr__(self) -> str:
        return f"Settings({', '.join(f'{name}={value!r}' for name, value in vars(self).items())})"


SERVE, RUN, LIMIT, DEADLINE, BUFFER = "What to serve", "Running", "Limits", "Deadlines", "Buffers"


class Settings(_Frozen):
    """Every setting of a server, checked; a value that is not allowed raises ``BadSetting``.

    Sizes are in bytes, times in seconds. ``bind`` takes a single address as a ``str`` too.
    """

    app: str = _setting(
        SERVE, APPLICATION, "", "module:attribute, module, file.py or folder; else the Hello World page."
    )
    bind: tuple[str, ...] = _setting(
        SERVE,
        ADDRESSES,
        ("127.0.0.1:8000",),
        "HOST:PORT, :PORT, PORT, [::1]:PORT, unix:PATH or fd:N; repeatable.",
        "`:PORT` is every interface, port 0 a free one. A variable has commas between them, the file a list.",
        short="-b",
    )
    chdir: str = _setting(SERVE, FOLDER, "", "Work in this folder.", "Imports and relative paths start there.")
    unix_mode: int = _setting(
        SERVE,
        MODE,
        0o600,
        "Permissions of a Unix socket.",
        "600: only for this user; 660: for its group too. The file has it in quotes.",
    )
    backlog: int = _setting(SERVE, NUMBER, 1024, "Connections that may wait to be accepted.", maximum=65535)

    threads: int = _setting(
        RUN, NUMBER, 16, "Application calls that may run at once.", "1: everything happens on one thread."
    )
    access_log: bool = _setting(RUN, SWITCH, True, "Write a line for each request.", "To standard output.")
    quiet: bool = _setting(
        RUN, SWITCH, False, "Print warnings and errors only.", "The access log is off too.", short="-q"
    )
    server_header: bool = _setting(
        RUN, SWITCH, True, "Send a Server header.", "The application's own is kept either way."
    )
    terse_errors: bool = _setting(
        RUN,
        SWITCH,
        False,
        "Answer errors with their status only.",
        "Else the page names the rule that was broken.",
    )
    strict: bool = _setting(
        RUN,
        SWITCH,
        False,
        "Report the application's faults.",
        "Each once, on standard error, with its place and remedy; see [Strict mode](strict.md).",
    )

    limit_line: int = _setting(LIMIT, SIZE, 16 << 10, "Request line.", "Answered with 414 when longer.")
    limit_head: int = _setting(LIMIT, SIZE, 64 << 10, "Header fields, all together.", "Answered with 431 when larger.")
    limit_fields: int = _setting(LIMIT, NUMBER, 100, "Header fields, their number.", "Answered with 431 when more.")
    limit_body: int = _setting(LIMIT, SIZE, 1 << 30, "Request body.", "Answered with 413 when larger.", minimum=0)
    limit_connections: int = _setting(
        LIMIT,
        NUMBER,
        1000,
        "Connections open at once.",
        "The longest idle one is closed to make room; when none is idle, new ones wait.",
    )

    timeout_head: float = _setting(
        DEADLINE, DURATION, 10.0, "To receive the head of a request.", "Then 408; nothing when no byte came."
    )
    timeout_body: float = _setting(DEADLINE, DURATION, 30.0, "Between two pieces of a request body.", "Then 408.")
    timeout_keep_alive: float = _setting(
        DEADLINE, DURATION, 15.0, "Between two requests.", "Then the connection is closed."
    )
    timeout_send: float = _setting(
        DEADLINE,
        DURATION,
        30.0,
        "For a client that takes none of a response.",
        "Then the connection is reset.",
    )
    timeout_stop: float = _setting(
        DEADLINE,
        DURATION,
        30.0,
        "For requests under way when stopping.",
        "Then, or at a second signal, closed.",
    )

    buffer_body: int = _setting(
        BUFFER, SIZE, 1 << 20, "Request body kept in memory.", "More goes to a temporary file.", minimum=0
    )
    buffer_response: int = _setting(
        BUFFER,
        SIZE,
        64 << 10,
        "Largest response held back to be sent with others of the same turn.",
        "A larger one is sent at once.",
    )


def with_values(settings: Settings | None, values: Mapping[str, Any]) -> Settings:
    """Give settings, or the defaults, with single ones replaced; raises ``TypeError`` for one that does not exist."""
    return Settings(**values) if settings is None else Settings(**{**vars(settings), **values})


OPTIONS = tuple(each._replace(name=name) for name, each in vars(Settings).items() if isinstance(each, Option))
BY_NAME = {option.name: option for option in OPTIONS}

# In the class the declarations would only stand before the values: Python takes four times as long to read an attribute
# of an object whose class has one of that name, and each request reads some.
for _name in BY_NAME:
    delattr(Settings, _name)


# Where values come from. A source gives, by name, the values that it speaks of and where each of them stands.

Found = dict[str, tuple[Any, str]]
TABLE = "[tool.wsgiserver]"


class Resolved(NamedTuple):
    """The settings, and by name where each stands: "--threads", "WSGISERVER_THREADS", "default" ..."""

    settings: Settings
    sources: Mapping[str, str]

    def blame(self, name: str, complaint: object) -> str:
        """Say where a setting stands whose value turned out bad, and then what is bad about it.

        A complaint about the application names what was typed; nobody has typed "APP".
        """
        source = self.sources[name]
        if source in ("APP", "default"):
            return str(complaint)
        return f"{source} {BY_NAME[name].key}: {complaint}" if source.endswith(TABLE) else f"{source}: {complaint}"


def resolve(given: Mapping[str, object], environment: Mapping[str, str], folder: str = "") -> Resolved:
    """Find each setting: in ``given`` (by the command line), else in ``environment``, else in the file.

    The file is ``pyproject.toml`` in the folder that the command line or the environment says to work in, else in
    ``folder`` ("" is the working directory). Raises ``BadSetting``, for a bad value that another source outranks too.
    """
    found = {**from_environment(environment), **from_command_line(given)}
    chdir, _ = found.get("chdir", ("", ""))
    found = {**from_file(os.path.join(folder, chdir, "pyproject.toml")), **found}
    settings = Settings(**{name: value for name, (value, _) in found.items()})
    return Resolved(settings, {name: found[name][1] if name in found else "default" for name in BY_NAME})


def from_command_line(given: Mapping[str, object]) -> Found:
    """Read what was typed, by name: texts, lists of texts, and booleans. Raises ``BadSetting``."""
    found: Found = {}
    for name, raw in given.items():
        option = BY_NAME[name]
        flag = f"--no-{option.key}" if raw is False else option.flag
        found[name] = (option.read(raw, flag), flag)
    return found


def from_environment(environment: Mapping[str, str]) -> Found:
    """Read the variables ``WSGISERVER_...``. Empty is not set; unknown ones may belong to something else.

    Raises ``BadSetting``.
    """
    used = [(option, environment[option.variable]) for option in OPTIONS if environment.get(option.variable)]
    return {option.name: (option.read(raw, option.variable), option.variable) for option, raw in used}


def from_file(path: str) -> Found:
    """Read ``[tool.wsgiserver]`` of a ``pyproject.toml``; a file that is not there says nothing.

    Raises ``BadSetting``, also for a file that cannot be read or is no TOML.
    """
    try:
        with open(path, "rb") as file:
            data = file.read()
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise BadSetting(f"{path}: cannot be read: {error.strerror}") from None
    return from_table(_parse_toml(data, path), path) if _may_speak_to_us(data) else {}


def _may_speak_to_us(data: bytes) -> bool:
    """Tell whether a file may have our table: to parse it costs a tenth of a start, and most have nothing to say."""
    bare = data.translate(None, b" \t\"'")
    return b"wsgiserver" in bare and any(way in bare for way in (b"tool.wsgiserver", b"tool]", b"tool="))


def _parse_toml(data: bytes, path: str) -> Any:
    import tomllib

    try:
        document = tomllib.loads(data.decode())
    except ValueError as error:
        raise BadSetting(f"{path}: is not valid TOML: {error}") from None
    tool = document.get("tool", {})
    return tool.get("wsgiserver", {}) if isinstance(tool, dict) else {}


def from_table(table: Any, path: str = "pyproject.toml") -> Found:
    """Read the table ``[tool.wsgiserver]``; its keys have dashes or underscores. Raises ``BadSetting``."""
    where = f"{path}, {TABLE}"
    if not isinstance(table, dict):
        raise BadSetting(f"{where}: must be a table, not {table!r:.80}")
    found: Found = {}
    for key, raw in table.items():
        option = BY_NAME.get(key.replace("-", "_")) or _unknown(key, where)
        if option.name in found:
            raise BadSetting(f"{where} {key}: stands there twice, with dashes and with underscores")
        found[option.name] = (option.read(raw, f"{where} {key}"), where)
    return found


def _unknown(key: str, where: str) -> NoReturn:
    import difflib

    near = difflib.get_close_matches(key.replace("_", "-"), [option.key for option in OPTIONS], n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    raise BadSetting(f"{where} {key}: no such setting{hint}")
