"""Takes a head that came before, or is like one that did, and gives its ``Request``; looks only at what may differ.

A client sends the same lines again and again, and those that differ are few: the target, a cookie, what a proxy adds.
From two heads that were parsed a `Form` is made, a head with a blank wherever they differ. To fill it in is to find
what stands in the blanks, between texts that are known to be good. ``http11`` keeps a form for each connection, and
parses whatever does not fit in. Of ten fields of which three differ that takes a third of the instructions.
"""

from functools import cached_property
from typing import Final

from wsgiserver.heads import READ_AT_ONCE, decode_path, variable_of
from wsgiserver.messages import Fields, Request

# Variables of fields that decide where requests begin and end, or are checked in ways of their own.
_NO_BLANKS: Final = READ_AT_ONCE | {"HTTP_HOST", "HTTP_TRANSFER_ENCODING"}


class Filled(Request):
    """A request whose head was filled into a form. Its ``fields`` are made when somebody asks for them."""

    def __init__(self, like: Request, head: bytes, target: str, path: str, query: str, values: dict[str, str]) -> None:
        self.method = like.method
        self.target = target
        self.path = path
        self.query = query
        self.authority = None
        self.minor = like.minor
        self.plain = like.plain
        self.keep_alive = like.keep_alive
        self.has_body = like.has_body
        self.chunked = like.chunked
        self.content_length = like.content_length
        self.expects_continue = like.expects_continue
        self.like = like
        self.values = values
        self.repeated = False
        self.environ = self.told = None
        self._head = head

    @cached_property
    def fields(self) -> Fields:
        """What ``parse_fields`` would make of the head."""
        assert self.like is not None
        like = self.like.fields
        fields = Fields(self._head[self._head.find(b"\r\n") + 2 : -2], like.variables | self.values)
        # What they say of the framing and the connection, where that is not the usual.
        vars(fields).update({name: value for name, value in vars(like).items() if hasattr(Fields, name)})
        return fields


class Form:
    """A head with blanks: the target, and the values of some fields. Never changed once it is made."""

    __slots__ = ("_behind_target", "_parts", "_request", "_start", "blanks")

    def __init__(self, lines: list[str], request: Request, blanks: dict[int, tuple[str, str]]) -> None:
        # Of each field line that has a blank, by its number: what stands before the value, and the variable.
        self.blanks = blanks
        # The request that the form was made from.
        self._request = request
        self._start, _, version = lines[0].partition(request.target)
        # Of the target and of each value behind it: its variable, and all that stands between it and the next.
        parts = []
        variable, between = "", version + "\r\n"
        for number, line in enumerate(lines[1:-2]):
            if number in blanks:
                start, next_variable = blanks[number]
                parts.append((variable, between + start))
                variable, between = next_variable, "\r\n"
            else:
                between += line + "\r\n"
        parts.append((variable, between + "\r\n"))
        self._behind_target = parts[0][1]
        self._parts = parts[1:]

    def fill(self, head: bytes) -> Request | None:
        """Give the request of a whole head, with the empty line at its end; None where it does not fit in.

        Raises ``BadRequest`` as ``parse_request_line`` does.
        """
        text = head.decode("latin-1")
        start, behind = self._start, self._behind_target
        at = len(start)
        until = text.find(" ", at)
        # What is not within ASCII is left to those who parse, and below, so is white space around a value.
        if not text.startswith(start) or not text.startswith(behind, until) or not text.isascii():
            return None
        target = text[at:until]
        if target[:1] != "/" or "#" in target or not target.isprintable():
            return None
        path, _, query = target.partition("?")
        if "%" in path:
            path = decode_path(path.encode("latin-1"), head[: head.find(b"\r\n")])
        at = until + len(behind)
        values = {}
        for variable, between in self._parts:
            until = text.find("\r", at)
            value = text[at:until]
            if not text.startswith(between, until) or not value.isprintable() or value.strip() != value:
                return None
            values[variable] = value
            at = until + len(between)
        return Filled(self._request, head, target, path, query, values) if at == len(text) else None


def make_form(last_head: bytes, head: bytes, request: Request, form: Form | None) -> Form | None:
    """Make a form that fits both heads, of which the second has been parsed, and most of what fits ``form`` too.

    None where there can be none, or a field came twice or is dropped.
    """
    count = head.count(b"\r\n")
    if count != last_head.count(b"\r\n") or count != len(request.fields.variables) + 2 or request.target[0] != "/":
        return None
    lines, last_lines = (each.decode("latin-1").split("\r\n") for each in (head, last_head))
    known = form.blanks if form is not None else {}
    blanks = {}
    for number, (line, last_line) in enumerate(zip(lines[1:-2], last_lines[1:-2], strict=True)):
        if line == last_line and number not in known:
            continue
        name, _, value = line.partition(":")
        variable = variable_of(name)
        start = line[: len(line) - len(value.lstrip(" \t"))]
        if variable not in _NO_BLANKS and last_line.startswith(start):
            blanks[number] = start, variable
        elif line != last_line:
            return None
    return Form(lines, request, blanks)


class RecentHeads:
    """Heads that came lately, and more than once, on any connection of a server; one thread at a time uses it.

    Clients of one kind send the same heads, a monitor or a load balancer above all. Of what came once only the hash is
    kept: most of that never comes again.
    """

    HEADS: Final = 64
    LENGTH: Final = 1024
    HASHES: Final = 256

    def __init__(self) -> None:
        self._heads: dict[bytes, tuple[bytes, Request]] = {}
        self._once: set[int] = set()

    def get(self, head: bytes) -> tuple[bytes, Request] | None:
        """Give a head and its request, or None; the bytes are those that all share."""
        return self._heads.get(head)

    def note(self, head: bytes, request: Request) -> None:
        """Note that a head came that is not here."""
        if len(head) > self.LENGTH:
            return
        if hash(head) not in self._once:
            if len(self._once) >= self.HASHES:
                self._once.clear()
            self._once.add(hash(head))
            return
        if len(self._heads) >= self.HEADS:
            self._heads.clear()
        request.repeated = True
        self._heads[head] = (head, request)
