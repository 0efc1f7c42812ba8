"""Takes a command line; finds the settings and the application, and gives both to `server`, which serves.

The options are not written here: they are made from the declarations in `settings`. Typer reads them, explains what is
wrong, helps and completes; but it takes as long to import as the whole server, so a plain command line does without it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from wsgiserver.addresses import AddressError, BindError
from wsgiserver.loader import LoadError
from wsgiserver.loader import resolve as find_application
from wsgiserver.logs import coloured, configure_when_needed
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


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and give its exit status: 0 when it did what it was told, 2 for bad input."""
    try:
        given = parse(arguments)
        return given if isinstance(given, int) else run(given)
    except LoadError as error:
        return _refuse(str(error), error.__cause__)
    except (BadSetting, AddressError, BindError) as error:
        return _refuse(str(error))
    except _usage_error() as error:
        message = error.format_message().rstrip(".")
        return _refuse(f"{message[:1].lower()}{message[1:]}; see wsgiserver --help")
    except BrokenPipeError:
        return 141  # who reads has had enough, as with any filter
    except OSError as error:
        return _refuse(f"cannot write: {error.strerror}")
    except KeyboardInterrupt:
        return 130


def _usage_error() -> Any:
    """Give what a wrong command line raises; asked only when something was raised.

    Newer typers carry a click of their own, whose classes are not those of the package click; what BadParameter derives
    from is the right one with all of them.
    """
    import typer

    return typer.BadParameter.__mro__[1]


def _refuse(message: str, cause: BaseException | None = None) -> int:
    """Say on standard error what is wrong; the traceback of the user's own code that failed comes first."""
    if cause is not None:
        import traceback

        traceback.print_exception(cause)
    print(f"wsgiserver: {message}", file=sys.stderr)
    return 2


def run(given: dict[str, Any]) -> int:
    """Do what the command line says, as `parse` gives it; serving blocks until a signal comes."""
    version, print_config = given.pop("version", False), given.pop("print_config", False)
    if version:
        print(f"wsgiserver {__version__} (Python {sys.version.split()[0]}, {sys.platform})")
        return 0
    resolved = resolve(given, os.environ)
    if print_config:
        print(config(resolved))
        return 0
    _change_folder(resolved)
    start(resolved.settings)
    return 0


def _change_folder(resolved: Resolved) -> None:
    folder = resolved.settings.chdir
    try:
        os.chdir(folder or ".")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", error)
        raise BadSetting(f"{resolved.sources['chdir']}: cannot work in {folder!r}: {reason}") from None


# Serving


def start(settings: Settings) -> None:
    """Load the application, and serve it until a signal comes."""
    configure_when_needed(settings.quiet, coloured(sys.stderr), sys.stderr)
    application, name = find_application(settings.app)

    def announce(server: Server) -> None:
        if not settings.quiet:
            text = banner(name, server.urls, settings.threads, coloured(sys.stderr))
            print(text, file=sys.stderr, flush=True)

    serve(application, settings=settings, on_start=announce)


def banner(name: str, urls: Sequence[str], threads: int, colour: bool) -> str:
    """Say what is served and where, with how many threads, and how to stop it."""
    bold, link, plain = ("\x1b[1m", "\x1b[4;36m", "\x1b[0m") if colour else ("", "", "")
    places = [f"  {link}{url}{plain}" for url in urls]
    how = f"with {threads} thread{'s'[: threads != 1]} in process {os.getpid()}; Ctrl+C stops it"
    return "\n".join([f"wsgiserver {__version__} serves {bold}{name}{plain} at", *places, how])


# The configuration, as TOML that could stand in the file


def config(resolved: Resolved) -> str:
    """Show the settings as a table for `pyproject.toml`, and beside each where its value comes from."""
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

    The values are what was typed: texts, lists of them, and booleans. Raises what `_usage_error` gives.
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
    application.command("wsgiserver", cls=_command_class(), help=HELP)(signature)
    return typer.main.get_command(application)


HELP = (
    "Serve a WSGI application.\n\n"
    "What an option sets can also stand in the environment (WSGISERVER_THREADS for --threads), "
    "or in pyproject.toml (threads, in the table tool.wsgiserver)."
)


def _command_class() -> Any:
    from typer.core import TyperCommand

    class Command(TyperCommand):
        """A command that is what was typed, and leaves its meaning to `settings`.

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
    """Give what APP may go on with: modules as `package.module`, or after a slash files; imports nothing."""
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
