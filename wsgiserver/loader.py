"""Takes the name of an application, as people type it, and gives the application; next is ``sockets``.

A name is a *place* (a module, a file or a folder) and, after a colon, an *attribute* of the module there.
``find_application`` goes that way: it reads the name, imports the place, finds the attribute, and checks that it can be
an application. Whatever goes wrong is a ``LoadError`` of one line, which says what to do about it.
"""

from __future__ import annotations

import importlib
import importlib.util
import itertools
import os
import re
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from importlib.machinery import SourceFileLoader
from types import FunctionType, ModuleType, NoneType, TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from wsgiserver.welcome import application as welcome

# What the start of a plain function does not need is imported where it is needed; inspect alone is a fifth of a start.
if TYPE_CHECKING:
    from inspect import Signature
    from pathlib import Path
    from wsgiref.types import WSGIApplication

APPLICATIONS = ("app", "application")
FACTORIES = ("create_app", "make_app", "default_app")  # the last one is bottle's
FILES = ("app.py", "wsgi.py", "main.py", "__init__.py")

_NAME = re.compile(
    r"(?P<place>(?:[A-Za-z]:[\\/])?[^:]+)"  # a colon may follow the letter of a drive
    r"(?::(?P<path>[^\W\d]\w*(?:\.[^\W\d]\w*)*)(?P<call>\(\))?)?"
)
# What makes threads of its own out of Python's: the module, what it tells by, and the call that did so.
_GREEN = (
    ("gevent.monkey", "is_module_patched", "monkey.patch_all()"),
    ("eventlet.patcher", "is_monkey_patched", "eventlet.monkey_patch()"),
)
# What of Python's own the server imports late, for the first that needs it, and what that imports later still.
_LATE = (
    *("ast", "ctypes", "difflib", "inspect", "pathlib", "pkgutil", "stringprep", "sysconfig", "tempfile", "tokenize"),
    *("traceback", "unicodedata"),
)
_MACHINERY = (__file__, importlib.__file__, "<frozen importlib")


class LoadError(Exception):
    """No application was found under the name given; ``str(error)`` is one line for people.

    When code of the user's failed, ``__cause__`` is what it raised, with a traceback of the user's own frames.
    """


class Loaded(NamedTuple):
    """An application and its full name: ``hello:app``, also where only ``hello`` was asked for."""

    application: WSGIApplication
    name: str


def load(name: str) -> WSGIApplication:
    """Give the application called ``name``, the Hello World page when that is empty; raise ``LoadError``."""
    return find_application(name).application


def find_application(name: str) -> Loaded:
    """Give the application called ``name``, and its full name for the banner; raise ``LoadError``.

    ``name`` is a ``module``, a ``path/to/file.py`` or a folder, each with or without ``:attribute`` or ``:factory()``.
    The working directory becomes importable, and so does the folder of a file.
    """
    if not name:
        return Loaded(welcome, "the Hello World page")
    match = _NAME.fullmatch(name)
    if match is None:
        raise LoadError(f"{name!r} {_misnamed(name)}")
    place, path = match["place"], match["path"]
    try:
        _make_importable(os.getcwd())
        file = _file_at(place) if _is_path(place) else None
    except OSError as error:
        raise LoadError(f"cannot look for {name!r}: {error.strerror}") from None
    if file is not None:
        place = str(file)
        module = _import_file(file.resolve())
    else:
        _refuse_namesake(place, os.curdir, name[len(place) :])
        module = _import_module(place, place)
    name, value = (f"{place}:{path}", _attribute(module, place, path)) if path else _discover(module, place)
    is_usual = re.split("[:.]", name)[-1] in FACTORIES
    if match["call"] or is_usual:
        value = _make(value, name, hint="" if is_usual else "; leave out the ()")
        name = f"{name}()"
    if objection := _objection(value, name):
        raise LoadError(f"{name} {objection}")
    return Loaded(value, name)


def _misnamed(name: str) -> str:
    """Say what is wrong with a name that cannot be read, and what to do."""
    with_arguments = re.fullmatch(r"[^:]+:([\w.]+\(.+\))", name)
    if with_arguments is None:
        return "names no application; write hello:app, hello:create_app() or path/hello.py"
    return f"cannot be served: a factory is called without arguments; serve a module with app = {with_arguments[1]}"


def refuse_green_threads() -> None:
    """Raise ``LoadError`` when gevent or eventlet has put its own in the place of Python's threads, sockets or polling.

    The server has imported half of these before and would get the other half: it would neither serve nor stop.
    """
    for module, question, call in _GREEN:
        is_patched = getattr(sys.modules.get(module), question, None)
        # What one of them calls threading is thread to the other.
        if is_patched is not None and any(map(is_patched, ("threading", "thread", "select", "socket"))):
            raise LoadError(
                f"{module.partition('.')[0]} has replaced Python's threads or sockets by its own, "
                f"but this server brings threads of its own; take {call} away"
            )


# The place: a path or a module, imported.


def _is_path(place: str) -> bool:
    """Tell whether a place is a file or a folder: it is written like one, or only a path has that name."""
    if place.endswith((".py", ".ini")) or place.startswith(".") or "/" in place or os.sep in place:
        return True
    if not os.path.exists(place):
        return False
    spec = importlib.util.find_spec(place) if place.isidentifier() else None
    return spec is None or spec.origin is None


def _file_at(place: str) -> Path:
    """Give the file that is meant: the path itself, or the one to serve in the folder that it is."""
    from pathlib import Path

    path = Path(place)
    if path.is_file():
        if path.suffix == ".ini":
            load = f'paste.deploy.loadapp("config:{path.absolute()}")'
            raise LoadError(f"{path} is no Python; for a PasteDeploy file, serve a module with application = {load}")
        return path
    if not path.is_dir():
        near = _did_you_mean(
            path.stem,
            (file.stem for file in path.parent.glob("*.py")),
            likeness=0.7,
            shown=lambda stem: str(path.with_name(f"{stem}.py")),
        )
        raise LoadError(f"there is no file {path}{near or f' (the working directory is {os.getcwd()})'}")
    for name in FILES:
        if (path / name).is_file():
            return path / name
    hint = _django_in(path) or "; name the file to serve"
    raise LoadError(f"the folder {path} holds no app.py, wsgi.py or main.py{hint}")


def _django_in(folder: Path) -> str:
    """Suggest what a Django project in this folder is served by: a wsgi.py, one folder deeper than its manage.py."""
    found = sorted(folder.glob("*/wsgi.py"))
    if folder.absolute() == folder.cwd() and all(file.parent.name.isidentifier() for file in found):
        return _suggested([f"{file.parent.name}.wsgi" for file in found])
    return _suggested(map(str, found))


def _make_importable(folder: str) -> None:
    """Put a folder first in the path, so that its modules are found before others; but not by the server.

    A random.py in it would be the random of tempfile, which a large upload needs.
    """
    if sys.path[:1] == [folder]:
        del sys.path[0]
    if _hides_modules(folder):
        for name in _LATE:
            with suppress(Exception):  # no Python has all of them
                importlib.import_module(name)
    sys.path.insert(0, folder)


def _hides_modules(folder: str) -> bool:
    """Tell whether what lies in a folder has the name of a module of Python's that is still to be imported."""
    try:
        names = os.listdir(folder)
    except OSError:  # then nothing in it can be imported
        return False
    return any(
        stem in sys.stdlib_module_names
        and stem not in sys.modules
        and (is_file or os.path.isfile(os.path.join(folder, stem, "__init__.py")))
        for stem, is_file, _ in (name.partition(".") for name in names)
    )


def _refuse_namesake(name: str, folder: str, attribute: str = "") -> None:
    """Refuse a module that the folder has, where Python would give another one that has its name already."""
    top, _, deeper = name.partition(".")
    if top not in sys.modules and top not in sys.builtin_module_names:
        return  # it will be looked for, and in this folder first
    found = getattr(sys.modules.get(top), "__file__", None)
    package, file = os.path.join(folder, top, "__init__.py"), os.path.join(folder, f"{top}.py")
    own = [path for path in (package, file) if os.path.isfile(path)]
    if not own or (found and os.path.exists(found) and any(os.path.samefile(path, found) for path in own)):
        return
    remedy = f"rename the {'folder' if own[0] == package else 'file'}"
    if own == [file] and not deeper:
        remedy += f" or write {top}.py{attribute}"
    raise LoadError(
        f"the module {top} that Python found is another one ({found or 'built in'}), not {own[0]}; {remedy}"
    )


def _import_module(name: str, place: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        _import_failed(place, error)


def _import_file(path: Path) -> ModuleType:
    """Import a file: within its package when it lies in one, else as ``python file.py`` would find it."""
    root, parts = path.parent, [path.stem]
    while (root / "__init__.py").is_file() and root.name.isidentifier():
        root, parts = root.parent, [root.name, *parts]
    _make_importable(str(root))
    if len(parts) == 1 or path.suffix != ".py":
        return _import_loose_file(path)
    # Many a first package imports its neighbours by bare name. Last in the path, they hide no other module.
    sys.path.append(str(path.parent))
    name = ".".join(parts).removesuffix(".__init__")
    _refuse_namesake(name, str(root))
    return _import_module(name, str(path))


def _import_loose_file(path: Path) -> ModuleType:
    """Import exactly this file, under its own name, or as ``name_2`` where another module has that name."""
    name, number = path.stem, 1
    while (module := sys.modules.get(name)) is not None:
        if getattr(module, "__file__", None) == str(path):
            return module
        number += 1
        name = f"{path.stem}_{number}"
    loader = SourceFileLoader(name, str(path))
    spec = importlib.util.spec_from_file_location(name, path, loader=loader)
    assert spec is not None, "a loader was given"
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        loader.exec_module(module)
    except BaseException as error:
        del sys.modules[name]
        if isinstance(error, KeyboardInterrupt):
            raise
        _import_failed(str(path), error)
    return module


def _import_failed(place: str, error: BaseException) -> NoReturn:
    _trim(error)
    if isinstance(error, ModuleNotFoundError) and error.__traceback__ is None:
        # No code of the user's had run, so it is the place itself that is missing.
        raise LoadError(_not_found(error.name or place)) from None
    if isinstance(error, SyntaxError):
        where = f"{error.filename}, line {error.lineno}" if error.filename else place
        line = f"{where}: Python cannot read this: {error.msg}"
    elif isinstance(error, SystemExit):
        line = f"{place} ended while it was imported{_exit_said(error)}"
    else:
        line = f"{place} was found, but importing it failed: {_in_a_line(error)}{_in_its_package(error)}"
    raise LoadError(line) from error


def _exit_said(error: SystemExit) -> str:
    """Tell with what a module exited, and what to do: mend what it says, unless it is a program as a whole."""
    guard = 'where it is a program, put what it runs under if __name__ == "__main__":'
    if error.code is None or isinstance(error.code, int):
        return f" (exit status {int(error.code or 0)}); {guard}"
    return f": {' '.join(str(error.code).split()).rstrip('.')}; mend that or, {guard}"


def _in_its_package(error: BaseException) -> str:
    """Say how to name a module that imports relatively but was named alone, outside its package."""
    trace = error.__traceback__
    if trace is None or trace.tb_next is not None or "with no known parent package" not in str(error):
        return ""  # it is another error, or another module than the one named
    folder, file = os.path.split(trace.tb_frame.f_code.co_filename)
    above, package = os.path.split(folder)
    if not package.isidentifier():
        return f"; it needs a package, and no package can be called {package!r}: rename that folder"
    missing = not os.path.isfile(os.path.join(folder, "__init__.py"))
    add = ", and add an __init__.py beside it" if missing else ""
    return f"; name it as a module of its package, in the folder {above}: {package}.{file.removesuffix('.py')}{add}"


def _not_found(name: str) -> str:
    import pkgutil

    parent, _, last = name.rpartition(".")
    owner = sys.modules.get(parent)
    if hasattr(owner, last):
        return f"{parent} is a module and not a package; did you mean {parent}:{last}?"
    folders = getattr(owner, "__path__", ()) if parent else [os.getcwd()]
    near = _did_you_mean(last, (found.name for found in pkgutil.iter_modules(folders)))
    return f"there is no module {name!r}, neither in {os.getcwd()} nor among the installed packages{near}"


# The attribute: named, or found; and an application, or what makes one.


def _attribute(module: ModuleType, place: str, path: str) -> Any:
    value: object = module
    for name in path.split("."):
        try:
            value = getattr(value, name)
        except AttributeError:
            raise LoadError(f"{place} has no attribute {name!r}{_instead(value, name)}") from None
        place += f".{name}" if ":" in place else f":{name}"
    return value


def _instead(owner: object, name: str) -> str:
    near = _did_you_mean(name, dir(owner))
    if near or not isinstance(owner, ModuleType):
        return near
    if hasattr(owner, "__path__") and importlib.util.find_spec(f"{owner.__name__}.{name}"):
        return f"; did you mean the module {owner.__name__}.{name}?"
    return _did_you_mean(name, _candidates(owner), likeness=0) or _django_beside(owner)


def _discover(module: ModuleType, place: str) -> tuple[str, Any]:
    """Find the application in a module, or else what makes it; give its full name and it."""
    names = vars(module)
    usual = [name for name in APPLICATIONS if not isinstance(names.get(name), NoneType | ModuleType)]
    candidates = [name for name in usual if not _objection(names[name], name)][:1] or _candidates(module)
    if len(candidates) > 1:
        raise LoadError(f"{place} holds several applications; name one, as in {place}:{'|'.join(candidates)}")
    for name in (*candidates, *FACTORIES):
        if name in names:
            return f"{place}:{name}", names[name]
    if bottle := _bottle_of(module):
        return "bottle:default_app", bottle.default_app
    if usual:
        raise LoadError(f"{place}:{usual[0]} {_objection(names[usual[0]], f'{place}:{usual[0]}')}")
    hint = _django_beside(module) or f"; name it, as in {place}:my_app"
    raise LoadError(f"{place} holds nothing that looks like a WSGI application{hint}")


def _django_beside(module: ModuleType) -> str:
    """Suggest the module that serves a Django project, for its package or its manage.py."""
    if hasattr(module, "__path__"):
        name = f"{module.__name__}.wsgi"
        return _suggested([name] if importlib.util.find_spec(name) else [])
    from pathlib import Path

    file, here = Path(getattr(module, "__file__", None) or ""), Path.cwd()
    if file.name != "manage.py":
        return ""
    return _django_in(file.parent.relative_to(here) if file.is_relative_to(here) else file.parent)


def _bottle_of(module: ModuleType) -> ModuleType | None:
    """Give bottle, when the module used its ``@route``, which adds to an application that has no name."""
    bottle = sys.modules.get("bottle")
    if bottle is None or not bottle.default_app().routes:
        return None
    used = (value is bottle or getattr(value, "__module__", "") == "bottle" for value in vars(module).values())
    return bottle if any(used) else None


def _candidates(module: ModuleType) -> list[str]:
    """List what is plausibly an application: made in this module, with the parameters of PEP 3333."""
    found: dict[int, str] = {}
    for name, value in vars(module).items():
        if not name.startswith("_") and _is_plausible(value, module):
            found.setdefault(id(value), name)
    return list(found.values())


def _is_plausible(value: Any, module: ModuleType) -> bool:
    if isinstance(value, FunctionType | type):
        if value.__module__ != module.__name__:
            return False
    # A proxy such as flask.request has a __call__ that is no function; to ask it for more raises an error.
    elif not isinstance(getattr(type(value), "__call__", None), FunctionType):  # noqa: B004
        return False
    if _objection(value, ""):
        return False
    parameters = _signature(value).parameters.values()
    required = [each.name for each in parameters if each.default is each.empty]
    return len(required) == 2 and required[1].startswith("start")


def _objection(value: Any, name: str) -> str:
    """Say why a value cannot be an application and what to do; say nothing when it can."""
    if not callable(value):
        return f"is not a WSGI application: it cannot be called (its type is {type(value).__name__})"
    if _is_plain(value):
        return ""
    import inspect

    if any(map(inspect.iscoroutinefunction, (value, type(value).__call__))):
        return "is asynchronous, so probably made for ASGI; this server runs WSGI applications"
    if _accepts(value, 2) and (not isinstance(value, type) or hasattr(value, "__iter__")):
        return ""
    hint = f"; if it makes the application, write {name}()" if _accepts(value, 0) else ""
    return f"is not a WSGI application: it cannot be called with environ and start_response{hint}"


def _is_plain(value: Any) -> bool:
    """Tell whether a value is beyond doubt an application: a simple function of two arguments, as most are."""
    if type(value) is not FunctionType or vars(value):  # attributes may say that it is something else
        return False
    code, coroutine = value.__code__, 0x80  # inspect.CO_COROUTINE
    return code.co_argcount == 2 and not code.co_kwonlyargcount and not code.co_flags & coroutine


def _make(factory: Any, name: str, hint: str) -> Any:
    """Call a factory; ``hint`` says what to do where it is an application itself, or nothing that can be called."""
    if not callable(factory):
        raise LoadError(f"{name} cannot be called (its type is {type(factory).__name__}){hint}")
    if not _accepts(factory, 0):
        if not hint or not _accepts(factory, 2):
            hint = "; serve a function that calls it with them"
        wanted = ", ".join(_signature(factory).parameters)
        raise LoadError(f"{name}() needs arguments ({wanted}){hint}")
    try:
        return factory()
    except (Exception, SystemExit) as error:
        _trim(error)
        raise LoadError(f"{name}() failed: {_in_a_line(error)}") from error


def _signature(value: Callable[..., object], follow_wrapped: bool = True) -> Signature:
    import inspect

    return inspect.signature(value, follow_wrapped=follow_wrapped)


def _accepts(value: Callable[..., object], count: int) -> bool:
    """Tell whether a call with so many positional arguments is possible, as far as that can be known."""
    try:
        # What a decorator takes counts, not what the function inside it takes.
        _signature(value, follow_wrapped=False).bind(*range(count))
    except ValueError:  # written in C, it tells nothing
        return True
    except TypeError:
        return False
    return True


# The words


def _did_you_mean(name: str, names: Iterable[str], likeness: float = 0.6, shown: Callable[[str], str] = str) -> str:
    import difflib  # 2 ms of a start that needs it seldom

    return _suggested(map(shown, difflib.get_close_matches(name, names, cutoff=likeness)))


def _suggested(names: Iterable[str]) -> str:
    choice = " or ".join(names)
    return f"; did you mean {choice}?" if choice else ""


def _in_a_line(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())


def _trim(error: BaseException) -> None:
    """Take the frames of this module and the import system out of the traceback; the user's are left."""
    kept: list[TracebackType] = []
    trace = error.__traceback__
    while trace is not None:
        if not trace.tb_frame.f_code.co_filename.startswith(_MACHINERY):
            kept.append(trace)
        trace = trace.tb_next
    for one, following in itertools.zip_longest(kept, kept[1:]):
        one.tb_next = following
    error.__traceback__ = kept[0] if kept else None
