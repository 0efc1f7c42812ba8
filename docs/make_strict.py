"""Takes the rules in `wsgiserver.rules`, and writes `docs/reference/strict.md`.

Run it after a change of a rule; with `--check` it writes nothing, and ends with status 1 when the page is stale.
"""

import sys
from pathlib import Path

from wsgiserver.rules import GROUPS, RULES, Rule

PAGE = Path(__file__).parent / "reference" / "strict.md"

INTRODUCTION = """\
<!-- Made by docs/make_strict.py from wsgiserver/rules.py. Change that file, and run the script again. -->

# Strict mode

A server forgives much: it drops the body of a 204, leaves out a header that is not the application's, cuts what is too
long. So an application works here and breaks elsewhere, or shows its users half a page. In strict mode such faults are
told: the rule's name, what was seen, the place in the application's code, and what to do. It knows {count} rules: all
that `wsgiref.validate` has, and more.

```console
$ wsgiserver --strict shop:app
```

tells each distinct fault once on standard error, and serves on as it would have without:

```text
wsgiserver: strict error: body-too-long: The body is longer than its Content-Length.
  seen: it has 6 bytes, Content-Length says 5, in GET '/cart'
  at: /srv/shop/views.py:12
  remedy: Count bytes, not characters: len(text.encode()); or leave the length to the server.
  source: PEP 3333, "Handling the Content-Length Header"
```

In tests the faults are failures: `pytest --wsgi-strict`, or by hand, around any application and under any server:

```python
from wsgiserver.strict import strict

app = strict(app)
```

A `StrictError`, which is an `AssertionError`, is raised where the fault is seen: in the application's own call of
`start_response`, `write` or a stream; else in what the server calls, the iteration or `close()`. A fault that the
application traps is raised once more, in what the server calls next. What is only a *warning* below is given to
Python's `warnings` as a `StrictWarning`. With `strict(app, report=function)` nothing is raised: the function is called
with each fault, a `StrictError` with `rule`, `severity`, `place`, `detail`, `remedy`, `source` and `request`.

A right application is served as before; off, strict mode is not in the path at all. What to know of it:

- An open file in `wsgi.file_wrapper` is measured, not read, and handed on so that the server can still have the kernel
  send it. A wrapper around anything else is iterated over, as the server would do. Content-Length cuts both.
- The application gets a copy of the environ, a plain dictionary like the server's; what it changes there is carried
  back when it returns. It may add what it likes; CGI variables that it was given, and those that PEP 3333 names, stay
  texts. That the environ is used after the response is seen at its streams, `wsgi.input` and `wsgi.errors`. A late look
  at the dictionary itself cannot be seen, and breaks nothing.
- `readinto` of `wsgi.input`, for which libraries look before they use it, is let through. So is one space before the
  value of Set-Cookie: `http.cookies` writes it, and Django hands it on.
- Of cookies, credentials, and what else looks like a secret by its name, three stars are shown.
- **`close()` of a body is called twice**, to see whether the second call fails. PEP 3333 has the server
  call it when the request is over, and says nothing of a second call; with middleware that comes all the same. Where
  `close()` releases a lock, counts, or gives something back to a pool, it must guard itself, with a flag perhaps; else
  strict mode itself does the harm. The second call is made once for each such method, not for each body, and never
  where the method is a library's: some run the callbacks of their users there.
- Where the client leaves, or the server stops asking, nothing is said about the length of the body.
- A place is in the user's own code where any of it is on the stack; else it is in the library that called.
"""

HEADER = """
## {group}

| Rule | What is wrong | What to do | Source |
| --- | --- | --- | --- |
"""


def page() -> str:
    """Write the whole page: the introduction, and a table for each group."""
    return INTRODUCTION.format(count=len(RULES)) + "".join(section(*group) for group in GROUPS.items())


def section(group: str, rules: tuple[Rule, ...]) -> str:
    """Write the table of a group, one row for each rule."""
    return HEADER.format(group=group) + "".join(map(row, rules))


def row(rule: Rule) -> str:
    """Write the row of a rule."""
    name = f"`{rule.name}`" + (", a warning" if rule.severity == "warning" else "")
    return f"| {name} | {rule.what} | {rule.remedy} | {rule.source} |\n"


def main(arguments: list[str]) -> int:
    """Write the page, or check it; give the exit status."""
    if "--check" not in arguments:
        PAGE.write_text(page(), encoding="utf-8")
        return 0
    if PAGE.is_file() and PAGE.read_text(encoding="utf-8") == page():
        return 0
    print(f"{PAGE} does not show the rules as they are; run python docs/make_strict.py", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
