"""The plan of the house holds: who may import whom, what the pure modules leave alone, and how large a room may be.

It is read from the source, so that an import that hides in a function is found too.
"""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "wsgiserver"

# Each module imports only modules above it.
ORDER = (
    "version",
    "grammar",
    "masking",
    "messages",
    "heads",
    "forms",
    "settings",
    "http11",
    "responses",
    "states",
    "site",
    "exchange",
    "environ",
    "pages",
    "gateway",
    "rules",
    "faults",
    "guards",
    "strict",
    "files",
    "connection",
    "logs",
    "welcome",
    "loader",
    "addresses",
    "sockets",
    "pollers",
    "loop",
    "predictor",
    "crowds",
    "watch",
    "baton",
    "descriptors",
    "signals",
    "server",
    "django_hooks",
    "memory",
    "wire_client",
    "wire",
    "recording",
    "testapp",
    "testing",
    "pytest_plugin",
    "ending",
    "cli",
)
# Who may import what is not the standard library's. The two for tests are loaded by those alone who have it.
OTHERS = {"cli": {"typer"}, "testapp": {"webtest"}, "pytest_plugin": {"pytest"}}
# Bytes in, bytes out: no sockets, no threads, no clock, no system.
PURE = (
    "grammar",
    "masking",
    "messages",
    "heads",
    "forms",
    "http11",
    "responses",
    "rules",
    "predictor",
    "crowds",
    "watch",
)
IMPURE = frozenset(("socket", "ssl", "select", "selectors", "threading", "time", "os"))
# The package's front door, and its command.
DOORS = ("__init__", "__main__")

PAGE = PACKAGE.parent / "docs" / "explanation" / "architecture.md"

MODULE_LINES = 500
FUNCTION_LINES = 60


def tree(name: str) -> ast.Module:
    return ast.parse((PACKAGE / f"{name}.py").read_text(encoding="utf-8"))


def test_the_page_of_the_architecture_tells_the_order_and_which_are_pure() -> None:
    words = " ".join(PAGE.read_text(encoding="utf-8").split())
    assert ", ".join(f"`{name}`" for name in ORDER) + "." in words
    assert ", ".join(f"`{name}`" for name in PURE[:-1]) + f" and `{PURE[-1]}` are pure" in words


def imports(name: str) -> Iterator[str]:
    """Give each import of a module as a dotted name; what comes from the package's ``__init__`` as the package."""
    modules = {path.stem for path in PACKAGE.glob("*.py")}
    for node in ast.walk(tree(name)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name} line {node.lineno}: a relative import"
            assert node.module is not None
            for alias in node.names:
                is_module = node.module == "wsgiserver" and alias.name in modules
                yield "wsgiserver" if node.module == "wsgiserver" else node.module
                if is_module:
                    yield f"wsgiserver.{alias.name}"


def inner(name: str) -> set[str]:
    """Give the modules of the package that a module imports."""
    return {imported.split(".")[1] for imported in imports(name) if imported.startswith("wsgiserver.")}


def outer(name: str) -> set[str]:
    """Give the top names of what a module imports from elsewhere."""
    return {imported.split(".")[0] for imported in imports(name)} - {"wsgiserver"}


modules = pytest.mark.parametrize("name", ORDER)
all_modules = pytest.mark.parametrize("name", [*DOORS, *ORDER])


def test_each_module_has_its_place() -> None:
    assert sorted(path.stem for path in PACKAGE.glob("*.py")) == sorted([*DOORS, *ORDER])


@modules
def test_a_module_imports_only_modules_above_it(name: str) -> None:
    """So there are no circles."""
    above = set(ORDER[: ORDER.index(name)])
    assert inner(name) <= above


@modules
def test_no_module_imports_the_package_itself(name: str) -> None:
    assert "wsgiserver" not in set(imports(name))


def test_the_front_door_opens_to_the_server_alone() -> None:
    assert inner("__init__") == {"server", "version"}
    assert inner("__main__") == {"cli"}


@pytest.mark.parametrize("name", PURE)
def test_pure_modules_import_nothing_of_the_system(name: str) -> None:
    assert outer(name).isdisjoint(IMPURE)
    assert inner(name) <= set(PURE)


@all_modules
def test_only_cli_imports_typer_and_all_else_is_the_standard_librarys(name: str) -> None:
    assert outer(name) - sys.stdlib_module_names <= OTHERS.get(name, set())


@all_modules
def test_the_docstring_of_a_module_begins_with_one_sentence(name: str) -> None:
    docstring = ast.get_docstring(tree(name))
    assert docstring
    first = docstring.split("\n\n")[0].split("\n")
    assert " ".join(first).rstrip().endswith((".", "::"))
    assert len(first) == 1, "the sentence stands in one line"


@all_modules
def test_no_module_is_too_long_to_be_read_at_one_sitting(name: str) -> None:
    lines = len((PACKAGE / f"{name}.py").read_text(encoding="utf-8").splitlines())
    assert lines <= MODULE_LINES


@all_modules
def test_no_function_is_too_long_to_be_seen_at_once(name: str) -> None:
    functions = [
        node for node in ast.walk(tree(name)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
    ]
    long = [node for node in functions if (node.end_lineno or 0) - node.lineno >= FUNCTION_LINES]
    assert [f"{name}.py line {node.lineno}" for node in long] == []


@pytest.mark.parametrize("name", ["", *(f".{name}" for name in ORDER if name not in OTHERS)])
def test_importing_loads_neither_typer_nor_ssl(name: str) -> None:
    """In a fresh interpreter without site-packages: what else a startup file there loads is not ours."""
    code = (
        f"import sys; sys.path.insert(0, {str(PACKAGE.parent)!r}); before = set(sys.modules); import wsgiserver{name}; "
        "print(sorted({'typer', 'ssl', 'asyncio'} & (set(sys.modules) - before)))"
    )
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
