"""The corpus as cases: each raw request is sent over a socket, and judged by what the application was given."""

from __future__ import annotations

import hashlib
import re
import time
import tomllib
from collections.abc import Callable
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

from .conformance_subject import Case, Note, Subject
from .conformance_talk import Answer, Failed, Late, Talk, expect

CORPUS = Path(__file__).parents[1] / "corpus"
PATIENCE = 0.3
"""Seconds that a server has to refuse a request before the sending side is closed, which may make it refuse."""

# Where a server may well do otherwise than this project: the RFC allows it in so many words, or says nothing.
OPEN = {
    "empty lines before a request line: one should be skipped (RFC 9112 section 2.2)": """
        accept/two-empty-lines-first accept/empty-lines-between-requests
        reject/three-empty-lines-*""",
    "a bare LF may end a line of the head (RFC 9112 section 2.2)": """
        reject/empty-line-of-bare-lf-first reject/bare-lf-everywhere reject/bare-lf-request-line
        reject/bare-lf-field-line reject/bare-lf-last-field-line reject/bare-lf-closing-line
        reject/bare-lf-smuggles-a-field reject/trailer-bare-lf reject/trailer-closing-bare-lf*""",
    "a bare CR may be read as a space (RFC 9112 section 2.2)": """
        reject/bare-cr-before-line-end reject/bare-cr-first reject/bare-cr-closing-line
        reject/trailer-bare-cr reject/extension-bare-cr-in-quote""",
    "other white space may part a request line (RFC 9112 section 3)": """
        reject/line-two-spaces-before-* reject/line-tab-* reject/line-space-first reject/line-space-last
        reject/line-form-feed-for-space""",
    "lines that begin with white space may be skipped, or joined to the one before (RFC 9112 sections 2.2 and 5.2)": """
        reject/space-before-first-field reject/tab-before-first-field reject/line-of-spaces-before-first-field
        reject/te-space-first reject/fold-* reject/trailer-fold reject/two-faults-content-types-and-a-fold""",
    "control characters in a value may be kept (RFC 9110 section 5.5)": """
        reject/value-* reject/field-dropped-control reject/field-proxy-control reject/trailer-control""",
    "Content-Length twice with one value may be read as one (RFC 9112 section 6.3)": """
        reject/length-list reject/length-twice-equal reject/length-twice-zero""",
    "Content-Length beside Transfer-Encoding may be ignored (RFC 9112 section 6.1)": "reject/both-*",
    "Transfer-Encoding on HTTP/1.0 may be read, if the connection is closed then (RFC 9112 section 6.1)": """
        reject/te-*on-1-0*""",
    "other major versions may be refused or not (RFC 9110 section 15.6.6)": """
        reject/version-2-0 reject/version-0-9 reject/version-3-1 reject/version-9-9
        reject/two-faults-version-before-host""",
    "CONNECT may be served (RFC 9110 section 9.3.6)": "reject/connect reject/connect-http-1-0",
    "methods may be refused (RFC 9110 section 9.1)": "accept/method-trace accept/method-unknown accept/method-l* "
    "accept/method-of-every-token-character accept/method-connect-in-lower-case",
    "an expectation that is unknown may be refused (RFC 9110 section 10.1.1)": """
        reject/expect-* accept/expect-unknown-on-http-1-0""",
    "two different Content-Type fields: nothing is said": "reject/content-type-* accept/field-content-type-twice-equal",
    "fields that pose as others (X_A, Proxy): nothing is said": "accept/field-underscore* accept/field-proxy "
    "accept/field-proxy-lower-case",
    "bytes that clients send in targets, though RFC 3986 has no place for them": """
        accept/target-8-bit-* accept/target-characters-of-browsers accept/escape-in-query-broken""",
    "a trailer that may be none, such as Content-Length, may be refused": "accept/trailer-of-framing",
    "an absolute target with another scheme may be refused (RFC 9110 section 15.5.20)": "accept/absolute-https",
    "bounds on sizes and extensions are the server's own": """
        reject/extension-past-its-bound* reject/extension-of-white-space-past-its-bound
        accept/extension-at-its-bound reject/chunk-size-seventeen-digits reject/chunk-size-sixteen-fs
        reject/length-of-*""",
}
SPACED = ["reject/nul-in-value", "reject/bare-cr-in-value", "reject/bare-cr-at-the-*-of-a-value"]
"""Instead of refusing these, a server may put a space for the character (RFC 9110 section 5.5)."""

GROUPS = {
    "Request lines, methods, versions": "get method line version http one two-empty three empty connect",
    "Bare CR, bare LF, NUL": "bare nul",
    "Targets": "target absolute asterisk options escape",
    "Host": "host",
    "Fields": "field fold space tab value content",
    "Bodies by length": "length both",
    "Chunked bodies and trailers": "te chunk chunked extension trailer",
    "Expectations": "expect",
    "Several requests, several faults, limits": "pipeline two limit",
}
OPEN_GROUP = "all of the list below"

# What a server may keep to itself, as it is about the connection, not the request.
HOP_BY_HOP = {
    "HTTP_CONNECTION", "HTTP_TRANSFER_ENCODING", "HTTP_TE", "HTTP_TRAILER", "HTTP_UPGRADE", "HTTP_EXPECT",
    "HTTP_KEEP_ALIVE", "HTTP_PROXY_CONNECTION", "HTTP_PROXY_AUTHORIZATION", "HTTP_HTTP2_SETTINGS",
}  # fmt: skip

Table = dict[str, Any]


def cases() -> list[Case]:
    """Make a case of each file of the corpus; those that are refused only because of a lowered limit are left out."""
    return [_case(path) for path in sorted(CORPUS.glob("*/*.toml")) if not _by_limit(path)]


def left_out() -> int:
    return sum(map(_by_limit, CORPUS.glob("*/*.toml")))


def _by_limit(path: Path) -> bool:
    return path.parent.name == "reject" and "limits" in _verdict(path)


def _verdict(path: Path) -> Table:
    return tomllib.loads(path.read_text("utf-8"))


def _case(path: Path) -> Case:
    verdict, data = _verdict(path), path.with_suffix(".http").read_bytes()
    name = f"{path.parent.name}/{path.stem}"
    accepted = path.parent.name == "accept"
    check: Callable[[Subject], None] = (
        partial(check_accepted, data=data, tables=verdict["request"])
        if accepted
        else partial(check_refused, data=data, tables=verdict.get("request", []), spaced=_matches(name, SPACED))
    )
    kind = "open" if is_open(name) else "accept" if accepted else "refuse"
    group = OPEN_GROUP if kind == "open" else group_of(name)
    return Case(kind=kind, group=group, name=name, title=verdict["why"], check=check)


def _matches(name: str, patterns: list[str]) -> bool:
    """Whether a name, without its number, matches one of the patterns."""
    plain = re.sub(r"/\d+-", "/", name)
    return any(fnmatchcase(plain, pattern) for pattern in patterns)


def is_open(name: str) -> bool:
    return any(_matches(name, patterns.split()) for patterns in OPEN.values())


def group_of(name: str) -> str:
    words = re.sub(r".*/\d+-", "", name)
    for group, beginnings in GROUPS.items():
        if any(re.match(rf"{beginning}\b", words) for beginning in beginnings.split()):
            return group
    return "Others"


# -- Accepted ------------------------------------------------------------------------------------------------------


def check_accepted(subject: Subject, data: bytes, tables: list[Table]) -> None:
    """Expect each request to be answered, and the application to have been given just these."""
    with subject.talk() as talk:
        answers = _answers(talk.send(data), tables)
        notes = subject.notes(count=len(answers))
        talk.end().wait_end(0.1)
        notes = subject.notes()
    expect(len(notes) == len(answers), f"the application was given {len(notes)} requests, not {len(answers)}")
    for note, table in zip(notes, tables, strict=False):
        expect("error" not in note, f"the body could not be read: {note.get('error')}")
        expect(not (found := difference(table, note)), found)


def _answers(talk: Talk, tables: list[Table]) -> list[Answer]:
    """Read an answer for each request, up to the one with which the server says that it closes the connection."""
    answers = []
    for table in tables:
        answer = talk.answer(table["method"])
        expect(answer.status == 200, f"it answered {answer.status} {answer.reason}")
        expect(answer.complete, "the connection ended before the body did")
        answers.append(answer)
        if answer.closes:
            break
    return answers


def difference(table: Table, note: Note) -> str:
    """Tell what the application was given otherwise than the verdict has it; empty when all is right."""
    seen = note["seen"]
    authority, path, query = parts(table["target"])
    fields = expected_fields(table["fields"], authority)
    found = {
        "the method": (seen.get("REQUEST_METHOD"), {table["method"]}),
        "the path": (seen.get("SCRIPT_NAME", "") + seen.get("PATH_INFO", ""), path),
        "the query": (seen.get("QUERY_STRING", ""), {query}),
        "the body": (note["body"].encode("latin-1"), {_body(table, note)}),
    }
    if content_type := fields.pop("CONTENT_TYPE", None):  # where there is none, some servers assume one
        found["Content-Type"] = (seen.get("CONTENT_TYPE"), content_type)
    length = fields.pop("CONTENT_LENGTH", set())
    if length and seen.get("CONTENT_LENGTH"):
        found["Content-Length"] = (int(seen["CONTENT_LENGTH"]), {int(*length)})
    for name in sorted({name for name in seen if name.startswith("HTTP_")} | fields.keys()):
        if name not in HOP_BY_HOP:
            found[name] = (seen.get(name, ""), fields.get(name, {""}))
    return "; ".join(f"{what} was {given!r}" for what, (given, wanted) in found.items() if given not in wanted)


def parts(target: str) -> tuple[str, set[str], str]:
    """Give the authority of a target, what PATH_INFO may be, and the query."""
    if target == "*":
        return "", {"*", "/*", ""}, ""
    absolute = re.fullmatch(r"[a-z]+://([^/?]*)(.*)", target, re.IGNORECASE)
    authority, rest = (absolute[1], absolute[2]) if absolute else ("", target)
    path, _, query = rest.partition("?")
    decoded = unquote_to_bytes(path.encode("latin-1")).decode("latin-1")
    return authority, {decoded} if decoded else {"", "/"}, query


def expected_fields(pairs: list[list[str]], authority: str) -> dict[str, set[str]]:
    """Give the environ's names of fields, and what each may be."""
    values: dict[str, list[str]] = {}
    for name, value in pairs:
        values.setdefault(name.upper().replace("-", "_"), []).append(value)
    if authority:
        values["HOST"] = [authority]
    own = ("CONTENT_TYPE", "CONTENT_LENGTH")
    return {name if name in own else f"HTTP_{name}": _joined(name, found) for name, found in values.items()}


def _joined(name: str, values: list[str]) -> set[str]:
    if name == "COOKIE":
        return {"; ".join(values)}
    if name == "CONTENT_TYPE" and len(set(values)) == 1:
        return {values[0], ", ".join(values), ",".join(values)}
    return {", ".join(values), ",".join(values)}


def _body(table: Table, note: Note) -> bytes:
    if "body_sha256" in table:
        given: bytes = note["body"].encode("latin-1")
        same = (hashlib.sha256(given).hexdigest(), len(given)) == (table["body_sha256"], table["length"])
        return given if same else b"(another)"
    if "body_hex" in table:
        return bytes.fromhex(table["body_hex"])
    return str(table.get("body", "")).encode("latin-1")


# -- Refused -------------------------------------------------------------------------------------------------------


def check_refused(subject: Subject, data: bytes, tables: list[Table], spaced: bool) -> None:
    """Expect an error or the connection's end, and that the application was given no more than the good requests."""
    with subject.talk() as talk:
        talk.send(data)
        methods = [*(table["method"] for table in tables), "GET"]
        status = _refusal(talk, methods)
        if not status and not talk.ended:
            status = _refusal(talk.end(), methods)
        if status:
            talk.wait_end(0.05)
        # A request whose body could not be read was refused, if late: the application knows.
        notes = [note for note in subject.notes() if "error" not in note]
    if len(notes) > len(tables):
        given = notes[len(tables)]
        if not (spaced and without_controls(given)):
            seen = given["seen"]
            raise Failed(f"the application was called: {seen.get('REQUEST_METHOD')} {seen.get('PATH_INFO')!r}")
        return
    if not (status or talk.ended):
        raise Late("it neither answered nor closed")
    expect(status >= 400 or not status, f"it answered {status}")


def _refusal(talk: Talk, methods: list[str]) -> int:
    """Give the status of the first answer that is an error, or stands behind the others; 0 when none came."""
    until = time.monotonic() + PATIENCE
    while methods:
        try:
            answer = talk.try_answer(methods[0], until)
        except Failed:  # An error page without a head is a refusal too, when the connection ends then.
            talk.unread = b""
            return 0
        if answer is None:
            return 0
        methods.pop(0)
        if answer.status >= 400 or not methods:
            return answer.status
    return 0


def without_controls(note: Note) -> bool:
    return not re.search(r"[\r\n\0]", "".join(map(str, note["seen"].values())))
