"""Takes a command line; finds the settings and the application, and gives both to ``server``, which serves.

The options are not written here: they are made from the declarations in ``settings``. Typer reads them, explains what
is wrong, helps and completes; but it takes as long to import as the whole server, so a plain command line does without
it.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from wsgiserver.addresses import AddressError, BindError
from wsgiserver.descriptors import make_room
from wsgiserver.ending import end_in_time, keep_status
from wsgiserver.loader import LoadError, find_application, refuse_green_threads
from wsgiserver.logs import coloured
from wsgiserver.server import Server, serve
from wsgiserver.settings import (
    ADDRESSES,
    APPLICATION,
    NUMBER,
    OPTIONS,
    SWITCH,
    BadSetting,
    Option,
    Resolved,
    Settings,
    resolve,
)
from wsgiserver.version import __version__

if TYPE_CHECKING:
    from inspect import Parameter
    from types import FrameType


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and give its exit status: 0 when it did what it was told, 2 for bad input.

    Without ``arguments`` it is the process's own command, and what follows it is the end of the process.
    """
    _fill_standard_descriptors()
    if arguments is not None:
        return _carry_out(arguments)[0]
    atexit.register(keep_status)
    status, latest = 1, 0.0  # as it is where an error of the server's own ends it
    try:
        status, latest = _carry_out(None)
    finally:
        end_in_time(status, latest)
    return status


def _carry_out(arguments: Sequence[str] | None) -> tuple[int, float]:
    """Do what ``main`` is for; give the status, and until when the process may take to end, as ``run`` does."""
    try:
        given = parse(arguments)
        return (given, 0.0) if isinstance(given, int) else (0, run(given))
    except LoadError as error:
        status = _refuse(str(error), error.__cause__)
    except (BadSetting, AddressError, BindError) as error:
        status = _refuse(str(error))
    except BrokenPipeError:
        status = 141  # who reads has had enough, as with any filter
    except OSError as error:
        status = _refuse(f"cannot write: {error.strerror}")
    except KeyboardInterrupt:
        status = 130
    except _usage_error() as error:
        status = _refuse(_usage_line(error))
    return status, 0.0


def _fill_standard_descriptors() -> None:
    """Open the null device for each standard stream that is closed: else a client's socket would get its number."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # the lowest that is free


def _usage_error() -> Any:
    """Give what a wrong command line raises; asked only when something was raised.

    Newer typers carry a click of their own, whose classes are not those of the package click; what BadParameter derives
    from is the right one with all of them.
    """
    import typer

    return typer.BadParameter.__mro__[1]


def _usage_line(error: Any) -> str:
    """Say what is wrong with a command line. For an option that does not exist, the library's hint is no help."""
    name: str = getattr(error, "option_name", "")
    hint = REMEDIES.get(name, "see wsgiserver --help")
    if not hasattr(error, "possibilities"):
        message = error.format_message().rstrip(".")
        return f"{message[:1].lower()}{message[1:]}; {hint}"
    import difflib

    near = difflib.get_close_matches(name, [*_FLAGS, *QUESTIONS], n=1, cutoff=0.8)
    if near and name not in REMEDIES:
        hint = f"did you mean {near[0]}?"
    return f"no such option {name!r}; {hint}"


# What to do instead, by what other servers call it.
_BIND, _THREADS = "use --bind HOST:PORT", "there is one process, with as many threads as --threads says"
REMEDIES = {
    **dict.fromkeys(("-b", "--bind", "-p", "--port", "--host", "--address", "--listen"), _BIND),
    **dict.fromkeys(("-w", "--workers", "--worker", "--processes"), _THREADS),
}
QUESTIONS = ("--help", "--version", "--print-config")


def _refuse(message: str, cause: BaseException | None = None) -> int:
    """Say on standard error what is wrong; the traceback of the user's own code that failed comes first."""
    with suppress(OSError):  # the disk that it goes to is full
        if cause is not None:
            import traceback

            traceback.print_exception(cause)
        print(f"wsgiserver: {message}", file=sys.stderr)
    return 2


def run(given: dict[str, Any]) -> float:
    """Do what the command line says, as ``parse`` gives it; serving blocks until a signal comes.

    Gives until when (of ``time.monotonic``) its process may take to end; 0.0 where nobody set a time.
    """
    if given.get("app") == "":
        raise BadSetting("APP: must not be empty (a variable that is not set?); leave it out for the Hello World page")
    version, print_config = given.pop("version", False), given.pop("print_config", False)
    if version:
        print(f"wsgiserver {__version__} (Python {sys.version.split()[0]}, {sys.platform})")
        return 0.0
    resolved = resolve(given, os.environ)
    if print_config:
        print(config(_with_room(resolved)))
        return 0.0
    _change_folder(resolved)
    try:
        return start(resolved.settings)
    except LoadError as error:
        raise LoadError(resolved.blame("app", error)) from error.__cause__
    except (AddressError, BindError) as error:
        raise BadSetting(resolved.blame("bind", error)) from None


def _with_room(resolved: Resolved) -> Resolved:
    """Note with the limit of connections when the system has no room for as many, so that ``serve`` will lower it."""
    settings = resolved.settings
    room = make_room(settings.limit_connections, settings.threads)
    if room == settings.limit_connections:
        return resolved
    source = f"{resolved.sources['limit_connections']}; but there is room for {room} (ulimit -n)"
    return resolved._replace(sources={**resolved.sources, "limit_connections": source})


def _change_folder(resolved: Resolved) -> None:
    folder = resolved.settings.chdir
    try:
        os.chdir(folder or ".")
        os.getcwd()
    except (OSError, ValueError) as error:
        where = repr(folder) if folder else "this folder"
        removed = "" if folder else " (was it removed?); go to another, or name one with --chdir"
        reason = getattr(error, "strerror", error)
        raise BadSetting(resolved.blame("chdir", f"cannot work in {where}: {reason}{removed}")) from None


# Serving


def start(settings: Settings) -> float:
    """Load the application, and serve it until a signal comes; give what ``run`` does."""
    _forget_scripts_folder()
    with _Interrupts(settings.app):
        application, name = find_application(settings.app)
    refuse_green_threads()

    served: list[Server] = []

    def announce(server: Server) -> None:
        served.append(server)
        if not settings.quiet:
            text = banner(name, server.urls, settings.threads, coloured(sys.stderr))
            with suppress(OSError):  # the disk that it goes to is full
                print(text, file=sys.stderr, flush=True)

    serve(application, settings=settings, on_start=announce)
    return max((server.stop_at for server in served), default=0.0)


def _forget_scripts_folder() -> None:
    """Take the folder of the installed command off the path; pip puts scripts such as bottle.py there too.

    Python puts it first, before the packages that those scripts belong to. A program of the user's own that calls
    ``main`` needs its folder.
    """
    script = os.path.realpath(sys.argv[0]) if sys.argv else ""
    folder, name = os.path.split(script)
    first = os.path.realpath(sys.path[0]) if sys.path and sys.path[0] else ""
    if name.removesuffix(".exe") == "wsgiserver" and first == folder != os.path.realpath(os.getcwd()):
        del sys.path[0]


class _Interrupts:
    """Ends the command when Ctrl+C was needed to end the loading, as where a module runs a server of its own.

    Some of those servers swallow the KeyboardInterrupt. Then the import goes on, and this server would start instead.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._place: str | None = None  # where the first interrupt came, once it has

    def __enter__(self) -> None:
        self._before = signal.getsignal(signal.SIGINT)
        # In the background it may be ignored; off the main thread, it is for others to handle.
        if callable(self._before) and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, self._note)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self._place is None:
            self._place = _line_of_a_module(frame)
        assert callable(self._before), "else this is no handler"
        self._before(number, frame)

    def __exit__(self, *about: object) -> None:
        if signal.getsignal(signal.SIGINT) == self._note:
            signal.signal(signal.SIGINT, self._before)
        if self._place is not None:
            raise LoadError(
                f"the import of {self._name} did not end by itself{self._place}; "
                'put app.run(), or whatever serves there, under if __name__ == "__main__":'
            ) from None


def _line_of_a_module(frame: FrameType | None) -> str:
    """Tell the line at which a module being imported stands; of several, the one that the others wait for."""
    while frame is not None and frame.f_code.co_filename != find_application.__code__.co_filename:
        if frame.f_code.co_name == "<module>":
            return f" (interrupted in {frame.f_code.co_filename}, line {frame.f_lineno})"
        frame = frame.f_back
    return ""


def banner(name: str, urls: Sequence[str], threads: int, colour: bool) -> str:
    """Say what is served and where, with how many threads, and how to stop it."""
    bold, link, plain = ("\x1b[1m", "\x1b[4;36m", "\x1b[0m") if colour else ("", "", "")
    places = [f"  {link}{url}{plain}" for url in urls]
    how = f"with {threads} thread{'s'[: threads != 1]} in process {os.getpid()}; Ctrl+C stops it"
    return "\n".join([f"wsgiserver {__version__} serves {bold}{name}{plain} at", *places, how])


# The configuration, as TOML that could stand in the file


def config(resolved: Resolved) -> str:
    """Show the settings as a table for ``pyproject.toml``, and beside each where its value comes from."""
    rows = [(f"{each.key} = {_toml(each, getattr(resolved.settings, each.name))}", each.name) for each in OPTIONS]
    width = max(len(row) for row, _ in rows)
    return "\n".join(["[tool.wsgiserver]", *(f"{row:{width}}  # {resolved.sources[name]}" for row, name in rows)])


def _toml(option: Option, value: Any) -> str:
    if option.kind is ADDRESSES:
        return f"[{', '.join(map(_quoted, value))}]"
    shown = option.kind.show(value)
    return shown if option.kind in (SWITCH, NUMBER) else _quoted(shown)


def _quoted(text: str) -> str:
    safe = (c if c.isprintable() and c not in '"\\' else f"\\U{ord(c):08x}" for c in text)
    return f'"{"".join(safe)}"'


# The command line


def parse(arguments: Sequence[str] | None = None) -> dict[str, Any] | int:
    """Read the command line: what was given, by name; a status when that was all, as after --help.

    The values are what was typed: texts, lists of them, and booleans. Raises what ``_usage_error`` gives.
    """
    given = parse_plainly(sys.argv[1:] if arguments is None else arguments)
    if given is not None:
        return given
    result = command().main(arguments, prog_name="wsgiserver", standalone_mode=False)
    return result if isinstance(result, dict) else int(result or 0)


def parse_plainly(arguments: Sequence[str]) -> dict[str, Any] | None:
    """Read a command line that is plain beyond doubt; None is for typer to say what it means, or what is wrong."""
    if "_WSGISERVER_COMPLETE" in os.environ:  # the shell asks, by way of click, what the line may go on with
        return None
    given: dict[str, Any] = {}
    words = iter(arguments)
    for word in words:
        flag, equals, value = word.partition("=")
        option = _FLAGS.get(flag)
        if option is None:
            if word.startswith("-") or not word or "app" in given:
                return None
            given["app"] = word
        elif option.kind is SWITCH:
            if equals:
                return None
            given[option.name] = not flag.startswith("--no-")
        else:
            value = value if equals else next(words, "-")
            if value.startswith("-") or (equals and not flag.startswith("--")):
                return None
            given[option.name] = [*given.get(option.name, ()), value] if option.kind is ADDRESSES else value
    return given


# The options by what is typed for them.
_FLAGS = {flag: option for option in OPTIONS for flag in (option.flag, option.short) if flag != "APP" and flag}
_FLAGS |= {f"--no-{option.key}": option for option in OPTIONS if option.kind is SWITCH}


def command() -> Any:
    """Make the typer command from the declared settings."""
    from inspect import Signature

    import typer

    parameters = [_argument(option) if option.kind is APPLICATION else _option(option) for option in OPTIONS]
    parameters.append(_question("version", "Print the version."))
    parameters.append(_question("print_config", "Print every setting and where it comes from."))

    def signature() -> None: ...

    signature.__signature__ = Signature(parameters)  # type: ignore[attr-defined] # typer reads it
    application = typer.Typer(pretty_exceptions_enable=False)
    names = {"help_option_names": ["--help", "-h"]}
    application.command("wsgiserver", cls=_command_class(), help=HELP, context_settings=names)(signature)
    return typer.main.get_command(application)


HELP = (
    "Serve a WSGI application.\n\n"
    "What an option sets can also stand in the environment (WSGISERVER_THREADS for --threads), "
    "or in pyproject.toml (threads, in the table tool.wsgiserver)."
)


def _command_class() -> Any:
    from typer.core import TyperCommand

    class Command(TyperCommand):
        """A command that is what was typed, and leaves its meaning to ``settings``.

        Typer's own conversion would import pydantic, half of the time that the command takes to start, and mix
        what was given with the defaults.
        """

        def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
            typed, rest, _ = self.make_parser(ctx).parse_args(args=list(args))
            names = {param.name for param in self.params if param.expose_value}
            if rest or ctx.resilient_parsing or not typed.keys() <= names:
                return super().parse_args(ctx, args)  # too many arguments, completion, --help
            # Some versions have an object of their own for what was not given.
            ctx.params = {name: value for name, value in typed.items() if isinstance(value, str | bool | list)}
            return rest

        def invoke(self, ctx: Any) -> Any:
            return ctx.params

    return Command


def _argument(option: Option) -> Parameter:
    import typer

    info = typer.Argument(
        None, metavar=option.kind.metavar, help=option.help, show_default=False, autocompletion=complete
    )
    return _keyword(option.name, str, info)


def _option(option: Option) -> Parameter:
    import typer

    kind, flag, default = option.kind, option.flag, option.default
    annotation: Any = bool
    if kind is SWITCH:
        flag = f"{flag}/--no-{option.key}"
    elif kind is ADDRESSES:
        default, annotation = [*default], list[str]
    else:
        default, annotation = kind.show(default), str
    info = typer.Option(
        default,
        flag,
        *option.short.split(),
        metavar=kind.metavar,
        help=option.help,
        show_default=bool(default),
        rich_help_panel=option.group,
    )
    return _keyword(option.name, annotation, info)


def _question(name: str, help: str) -> Parameter:
    import typer

    info = typer.Option(False, f"--{name.replace('_', '-')}", metavar="", help=help, show_default=False)
    return _keyword(name, bool, info)


def _keyword(name: str, annotation: Any, info: Any) -> Parameter:
    from inspect import Parameter

    return Parameter(name, Parameter.KEYWORD_ONLY, default=info, annotation=annotation)


def complete(incomplete: str) -> list[str]:
    """Give what APP may go on with: modules as ``package.module``, or after a slash files; imports nothing."""
    found = _files(incomplete.rpartition("/")[0]) if "/" in incomplete else _modules(incomplete.rpartition(".")[0])
    return sorted(name for name in found if name.startswith(incomplete))


def _files(folder: str) -> Iterator[str]:
    for entry in _entries(folder or "/"):
        if entry.is_dir():
            yield f"{folder}/{entry.name}/"
        elif entry.name.endswith(".py"):
            yield f"{folder}/{entry.name}"


def _modules(package: str, deeper: bool = True) -> Iterator[str]:
    prefix = f"{package}." if package else ""
    for entry in _entries(package.replace(".", "/") or "."):
        stem, _, suffix = entry.name.partition(".")
        if stem.isidentifier() and suffix == "py":
            yield prefix + stem
        elif deeper and entry.name.isidentifier() and entry.is_dir():
            yield from _modules(prefix + entry.name, deeper=False)


def _entries(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return [entry for entry in entries if not entry.name.startswith((".", "_"))]
    except OSError:
        return []
