"""Takes the declarations in `wsgiserver.settings`, and writes `docs/reference/settings.md`.

Run it after a change of a setting; with `--check` it writes nothing, and ends with status 1 when the page is stale.
"""

import sys
from pathlib import Path

from wsgiserver.settings import OPTIONS, Option

PAGE = Path(__file__).parent / "reference" / "settings.md"

INTRODUCTION = """\
<!-- Made by docs/make_settings.py from wsgiserver/settings.py. Change that file, and run the script again. -->

# Settings

A setting can be given in three places:

```console
$ wsgiserver --threads 8 apps.hello:app               # on the command line
$ WSGISERVER_THREADS=8 wsgiserver apps.hello:app      # in the environment
```

```toml
# in pyproject.toml
[tool.wsgiserver]
app = "apps.hello:app"
threads = 8
timeout-head = 5
limit-body = "20 MiB"
bind = ["127.0.0.1:8000", "unix:hello.sock"]
```

The command line comes before the environment, and the environment before the file. `wsgiserver --print-config` shows
the value of each setting and where it comes from, as a table that can stand in `pyproject.toml`.

- **The file** is the `pyproject.toml` in the folder where the command is started, or in the folder that `--chdir` (or
  `WSGISERVER_CHDIR`) names. A `chdir` in the file itself is obeyed, but no other file is read for it. In a key,
  underscores do as well as dashes. A key that no setting has is an error.
- **In the environment** an empty variable counts as not set. Variables that no setting has are ignored.
- **Sizes** are numbers of bytes, or have a unit: `65536`, `64 KiB`, `1 MiB`, `1GiB`. **Times** are numbers of seconds:
  `10`, `1.5`, `10 s`. **Switches** are `--quiet` and `--no-quiet` on the command line; elsewhere `true` or `false`, and
  in the environment `yes`, `no`, `on`, `off`, `1` and `0` too.
- **Permissions** are octal: `600` or `0o600`. The file has them in quotes, `unix-mode = "600"`: of a bare number, TOML
  does not tell whether it was written as octal.
- **In Python** the settings are keyword arguments with underscores, and their values are numbers of bytes and of
  seconds, `True` or `False`, and octal numbers, not texts with a unit:
  `Server(app, bind="unix:hello.sock", unix_mode=0o660, limit_body=20 << 20, timeout_head=5, strict=True)`.

A value that is not allowed ends the command with status 2, and a line that says where it stands and what is allowed.
In Python it raises `BadSetting`, which says the same.
"""

HEADER = """
## {group}

| Option and variable | Default | Allowed | Meaning |
| --- | --- | --- | --- |
"""


def page() -> str:
    """Write the whole page: the introduction, and a table for each group."""
    groups = dict.fromkeys(option.group for option in OPTIONS)
    return INTRODUCTION + "".join(map(section, groups))


def section(group: str) -> str:
    """Write the table of a group, one row for each setting."""
    rows = [row(option) for option in OPTIONS if option.group == group]
    return HEADER.format(group=group) + "".join(rows)


def row(option: Option) -> str:
    """Write the row of a setting."""
    names = f"`{usage(option)}`<br>`{option.variable}`"
    default = f"`{option.kind.show(option.default)}`" if option.default != "" else ""
    meaning = f"{option.help} {option.more}".strip()
    return f"| {names} | {default} | {option.allowed} | {meaning} |\n"


def usage(option: Option) -> str:
    """Write a setting as it stands on the command line."""
    if option.flag == option.kind.metavar:
        return option.flag
    flags = f"{option.short}, {option.flag}" if option.short else option.flag
    return f"{flags} {option.kind.metavar}" if option.kind.metavar else f"{flags}, --no-{option.key}"


def main(arguments: list[str]) -> int:
    """Write the page, or check it; give the exit status."""
    if "--check" not in arguments:
        PAGE.write_text(page(), encoding="utf-8")
        return 0
    if PAGE.is_file() and PAGE.read_text(encoding="utf-8") == page():
        return 0
    print(f"{PAGE} does not show the settings as they are; run python docs/make_settings.py", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
