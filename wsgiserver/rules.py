"""Takes a status, headers or an environ and gives the rules that it breaks, one table of them, to ``strict``.

A rule is declared once, in ``GROUPS``; the page of the documentation is made from there. The checks that need nothing
but a value stand here too; those that need to see a whole call are in ``strict``.
"""

import re
from collections.abc import Iterator
from typing import Any, Final, Literal, NamedTuple

from wsgiserver.grammar import HEADER_NAME
from wsgiserver.masking import shown
from wsgiserver.responses import is_hop_by_hop, length_of

Severity = Literal["error", "warning"]


class Rule(NamedTuple):
    """What an application, or whoever calls it, must not do.

    ``what`` is the fault as a sentence, ``source`` where it is forbidden, ``remedy`` one sentence what to do. A
    "warning" is legal, or harmless here, and yet seldom meant.
    """

    name: str
    what: str
    source: str
    remedy: str
    severity: Severity = "error"


_CALLABLE: Final = 'PEP 3333, "The start_response() Callable"'
_DETAILS: Final = 'PEP 3333, "Specification Details"'
_ERRORS: Final = 'PEP 3333, "Error Handling"'
_WRITE: Final = 'PEP 3333, "The write() Callable"'
_STREAMS: Final = 'PEP 3333, "Input and Error Streams"'
_VARIABLES: Final = 'PEP 3333, "environ Variables"'
_LENGTH: Final = 'PEP 3333, "Handling the Content-Length Header"'
_CALLER: Final = "Mend the server or the middleware that calls the application."

GROUPS: Final[dict[str, tuple[Rule, ...]]] = {
    "How start_response and write are called": (
        Rule("start-response-arguments", "start_response is not called with two or three arguments.", _CALLABLE,
             "Call start_response(status, headers), with exc_info as third in an error handler."),
        Rule("start-response-keywords", "start_response is called with keyword arguments.", _CALLABLE,
             "Give its arguments by position; a server may name them otherwise."),
        Rule("start-response-twice", "start_response is called a second time without exc_info.", _CALLABLE,
             "Call it once; an error handler that replaces the response gives sys.exc_info() as third argument."),
        Rule("start-response-late", "start_response is called after the response has ended.", _CALLABLE,
             "Call it before the first chunk of the body is given."),
        Rule("start-response-missing", "A chunk, or the end of the body, comes before start_response was called.",
             _DETAILS, "Call start_response before the iterable gives its first chunk, for an empty body too."),
        Rule("exc-info-type", "exc_info is neither None nor what sys.exc_info() gives for an exception.", _CALLABLE,
             "Give sys.exc_info() from within the except clause."),
        Rule("exc-info-trapped", "What start_response raised because the response had begun is trapped.",
             _ERRORS, "Let what start_response(…, exc_info) raises pass through to the server."),
        Rule("write-in-iteration", "write() is called from within the iterable.", _WRITE,
             "Yield the chunk instead of writing it."),
        Rule("write-late", "write() is called after the response has ended.", _WRITE,
             "Write all before the application returns; do not keep write for later."),
    ),
    "Status and headers": (
        Rule("status-type", "The status is no str.", _CALLABLE, 'Give a text such as "200 OK".'),
        Rule("status-form", "The status is not three digits, one space and a reason.", _CALLABLE,
             'Write it as "404 Not Found", without white space around it.'),
        Rule("status-range", "The status is not that of a final response, 200 to 599.", "RFC 9110 section 15",
             "Choose a status of RFC 9110 section 15; interim ones are the server's."),
        Rule("status-characters", "The status holds a control character or one outside latin-1.", _CALLABLE,
             "Leave such characters out of the reason."),
        Rule("headers-type", "The headers are no list.", _CALLABLE, "Give a plain list of tuples: list(headers)."),
        Rule("header-item", "A header is not a tuple of name and value.", _CALLABLE,
             'Give each header as a tuple, such as ("Content-Type", "text/html").'),
        Rule("header-type", "The name or the value of a header is no plain str.", 'PEP 3333, "A Note On String Types"',
             "Make it a str: decode bytes as latin-1, write numbers with str(…)."),
        Rule("header-name", "The name of a header is no token.", "RFC 9110 section 5.1",
             "Use letters, digits and hyphens only, without a colon."),
        Rule("header-name-end", "The name of a header ends in a hyphen or an underscore.", _CALLABLE,
             "Drop the punctuation at its end."),
        Rule("header-underscore", "The name of a header has an underscore.", "RFC 9110 section 16.3.2.1",
             "Use hyphens: many proxies and servers drop names with underscores.", "warning"),
        Rule("header-characters", "The name of a header has other characters than letters, digits and hyphens.",
             "RFC 9110 section 16.3.2.1", "Begin it with a letter, and use only these.", "warning"),
        Rule("header-value", "The value of a header holds a control character or one outside latin-1.", _CALLABLE,
             "Encode or leave out such characters; never put unchecked input into a header."),
        Rule("header-value-space", "The value of a header begins or ends with white space.", "RFC 9110 section 5.5",
             "Strip the value: the white space does not reach the client.", "warning"),
        Rule("header-status", "There is a header named Status.", _CALLABLE,
             "Give the status as first argument of start_response; the header is for CGI scripts."),
        Rule("header-twice", "A header that may stand there once is given twice.", "RFC 9110 section 5.3",
             "Replace the first instead of appending a second."),
        Rule("hop-by-hop", "A hop-by-hop header is given.", 'PEP 3333, "Other HTTP Features"; RFC 9110 section 7.6.1',
             "Leave it out: how a message is framed and a connection kept is the server's."),
        Rule("length-with-transfer-encoding", "Content-Length stands beside Transfer-Encoding.",
             "RFC 9112 section 6.2", "Leave Transfer-Encoding out; the server frames the body."),
        Rule("content-length-twice", "Content-Length is given twice.", "RFC 9110 section 8.6",
             "Give it once, or leave it to the server."),
        Rule("content-length-value", "Content-Length is no row of digits.", "RFC 9110 section 8.6",
             "Give the number of bytes of the body: str(len(body))."),
        Rule("content-length-unwanted", "Content-Length is given with 204.", "RFC 9110 section 8.6",
             "Leave it out; the server does not send it.", "warning"),
        Rule("content-type-missing", "A response has a body, and no Content-Type.", "RFC 9110 section 8.3",
             "Say what the body is, so that no client has to guess.", "warning"),
        Rule("content-type-unwanted", "Content-Type is given with 204 or 304, which have no content.",
             "RFC 9110 sections 15.3.5 and 15.4.5", "Leave it out.", "warning"),
        Rule("headers-changed", "The list of headers is changed after it was given to start_response.", _CALLABLE,
             "Finish the list first; what changes later is sent by some servers and not by others."),
    ),
    "The body": (
        Rule("body-too-long", "The body is longer than its Content-Length.", _LENGTH,
             "Count bytes, not characters: len(text.encode()); or leave the length to the server."),
        Rule("body-too-short", "The body is shorter than its Content-Length.", _LENGTH,
             "Count the bytes that are really given, after all that changes the body."),
        Rule("body-on-head", "A response to HEAD has a body.", "RFC 9110 section 9.3.2",
             "Give the headers that GET gets, and no body: return []; in Django, have the first middleware empty it."),
        Rule("body-on-status", "A response with 204, 205 or 304 has a body.", "RFC 9110 section 6.4.1",
             "Return [], or choose a status that has content."),
        Rule("chunk-type", "A chunk of the body is no bytes.", 'PEP 3333, "Unicode Issues"',
             "Encode text with .encode(); make bytes of a bytearray or memoryview."),
        Rule("body-is-string", "The application returns a str or bytes, not an iterable of bytes.", _DETAILS,
             "Return a list with one bytes in it: [body]."),
        Rule("body-not-iterable", "The application returns None, or another object that is not iterable.", _DETAILS,
             "Return an iterable of bytes, [] for an empty body; look for a missing return."),
        Rule("body-len", "len() of the body is not the number of its chunks.", _DETAILS,
             "Have __len__ count the chunks, not the bytes; or leave it out."),
        Rule("close-not-callable", "The body has a close that cannot be called.", _DETAILS,
             "Make close a method without arguments, or name it otherwise."),
        Rule("close-failed", "close() of the body raises an exception.", _DETAILS,
             "Have close() release what the response held, whatever happened before."),
        Rule("close-twice", "close() of the body fails when strict mode calls it a second time.",
             "strict mode's own, for PEP 3333 does not say that it may be called again",
             "Let a second close() do nothing, for middleware and server may both call it; guard a lock or a counter."),
        Rule("close-missing", "The body was forgotten without a call of its close().", _DETAILS,
             "Call close() of it in a finally clause, in the middleware, server or test client that iterates over it.",
             "warning"),
        Rule("read-after-close", "The body is iterated over after it was closed.", _DETAILS,
             "Mend the middleware or server that does so."),
    ),
    "The streams of the request": (
        Rule("input-arguments", "A method of wsgi.input is called with wrong arguments.", _STREAMS,
             "Give at most one argument, by position: a number of bytes."),
        Rule("input-unbounded", "wsgi.input is read without a size, and the server does not say that it ends.",
             _STREAMS, "Read CONTENT_LENGTH bytes at most, unless wsgi.input_terminated is true."),
        Rule("input-method", "wsgi.input is used by other means than read, readline, readlines and iteration.",
             _STREAMS, "Use these four; copy the body to a file of your own to seek in it."),
        Rule("input-close", "wsgi.input is closed by the application.", _STREAMS, "Leave closing it to the server."),
        Rule("input-result", "wsgi.input gave something else than bytes.", _STREAMS, _CALLER),
        Rule("input-unread", "A body was sent, nothing of it was read, and the answer says that all is well.",
             "RFC 9110 section 15.3", "Read the body, or answer with an error: what was sent is lost.", "warning"),
        Rule("errors-type", "wsgi.errors is given something else than one str.", _STREAMS,
             "Write one str, of repr() or .decode() perhaps."),
        Rule("errors-method", "wsgi.errors is used by other means than write, writelines and flush.", _STREAMS,
             "Use these three."),
        Rule("errors-close", "wsgi.errors is closed by the application.", _STREAMS, "Leave closing it to the server."),
        Rule("environ-late", "A stream of the environ is used after the response.", _STREAMS,
             "Take what is needed out of the environ before the response ends; it does not outlive the request."),
    ),
    "The environ": (
        Rule("environ-type", "The environ is no plain dict.", _DETAILS, _CALLER),
        Rule("environ-missing", "A variable that must be in the environ is missing or empty.", _VARIABLES, _CALLER),
        Rule("environ-http-content", "HTTP_CONTENT_TYPE or HTTP_CONTENT_LENGTH is in the environ.", _VARIABLES,
             "Have the caller name them CONTENT_TYPE and CONTENT_LENGTH."),
        Rule("environ-value", "A CGI variable is no str, or holds a character outside latin-1.", _VARIABLES, _CALLER),
        Rule("environ-changed", "The application made a CGI variable something else than a str.", _VARIABLES,
             "Keep such a value under a name of your own with a dot in it, such as app.user."),
        Rule("environ-version", "wsgi.version is not the tuple (1, 0).", _VARIABLES, _CALLER),
        Rule("environ-scheme", "wsgi.url_scheme is neither http nor https.", _VARIABLES, _CALLER),
        Rule("environ-method", "REQUEST_METHOD is none that HTTP or WebDAV knows.", "RFC 9110 section 9.1",
             "See to it that the application answers 501 or 405 to a method that it does not know.", "warning"),
        Rule("environ-path", "PATH_INFO or SCRIPT_NAME does not begin with a slash, or SCRIPT_NAME is one.",
             _VARIABLES, "Have the caller begin both with a slash, and let SCRIPT_NAME be empty at the root."),
        Rule("environ-length", "CONTENT_LENGTH is no row of digits.", _VARIABLES, _CALLER),
        Rule("environ-query", "QUERY_STRING is not in the environ.", _VARIABLES,
             "Have the caller set it, to an empty text where there is none.", "warning"),
        Rule("environ-streams", "wsgi.input or wsgi.errors lacks a method.", _STREAMS, _CALLER),
    ),
}  # fmt: skip
RULES: Final = {rule.name: rule for rules in GROUPS.values() for rule in rules}

# The name of a rule that is broken, and how.
Found = Iterator[tuple[str, str]]

# PEP 3333 allows no control character in a status or a value, a tab neither; no text goes beyond latin-1.
_UNFIT: Final = re.compile("[\x00-\x1f\x7f]|[^\x00-\xff]")
# Of those that applications give, the ones whose grammar is not that of a list (RFC 9110 section 5.3).
_ONCE: Final = frozenset(
    ("age", "content-disposition", "content-location", "content-range", "content-type", "date", "etag", "expires",
     "last-modified", "location", "retry-after", "server")
)  # fmt: skip
# RFC 9110, RFC 5789, RFC 4918, RFC 3253, RFC 5323.
_METHODS: Final = frozenset(
    ("GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "PROPFIND", "PROPPATCH", "MKCOL",
     "COPY", "MOVE", "LOCK", "UNLOCK", "REPORT", "SEARCH")
)  # fmt: skip
# PEP 3333, "environ Variables"; beside them it has those that begin with "HTTP_".
_CGI: Final = frozenset(
    ("CONTENT_LENGTH", "CONTENT_TYPE", "PATH_INFO", "QUERY_STRING", "REQUEST_METHOD", "SCRIPT_NAME", "SERVER_NAME",
     "SERVER_PORT", "SERVER_PROTOCOL")
)  # fmt: skip


def kind(value: object) -> str:
    """Name the type of a value."""
    return type(value).__name__


def status_faults(status: Any) -> Found:
    """Check the first argument of ``start_response``."""
    if type(status) is not str:
        yield "status-type", f"the status {status!r} is a {kind(status)}"
    elif _UNFIT.search(status):
        yield "status-characters", f"the status is {status!r}"
    elif not re.match("[0-9]{3}( |$)", status):
        yield "status-form", f"the status is {status!r}"
    else:
        # "200 " is what RFC 9112 section 4 has for a status without a reason.
        if len(status) == 3 or status[4:] != status[4:].strip(" \t"):
            yield "status-form", f"the status is {status!r}"
        if not 200 <= int(status[:3]) <= 599:
            yield "status-range", f"the status is {status!r}"


def well_formed(headers: Any) -> list[tuple[str, str]]:
    """Give those headers, their names in lower case, that are what headers have to be: tuples of two ``str``."""
    items = headers if isinstance(headers, list | tuple) else []
    return [(item[0].lower(), item[1]) for item in items if not [*_item_faults(item)]]


def header_faults(headers: Any, code: int) -> Found:
    """Check the second argument of ``start_response``; ``code`` is the number of the status, 0 if it has none."""
    if type(headers) is not list:
        yield "headers-type", f"the headers are a {kind(headers)}"
        return
    yield from _faults_together(well_formed(headers), code)
    for item in headers:
        faults = [*_item_faults(item)]
        yield from faults
        if not faults:
            yield from _name_faults(item[0])
            yield from _value_faults(*item)


def _item_faults(item: Any) -> Found:
    if type(item) is not tuple or len(item) != 2:
        yield "header-item", f"the header is {shown(item)}"
    elif type(item[0]) is not str or type(item[1]) is not str:
        yield "header-type", f"the header {shown(item)} is made of a {kind(item[0])} and a {kind(item[1])}"


def _faults_together(headers: list[tuple[str, str]], code: int) -> Found:
    names = [name for name, _ in headers]
    if "content-length" in names and "transfer-encoding" in names:
        yield "length-with-transfer-encoding", "both are given"
    if names.count("content-length") > 1:
        yield "content-length-twice", f"given are {[value for name, value in headers if name == 'content-length']}"
    for name in sorted(_ONCE.intersection(names)):
        if names.count(name) > 1:
            yield "header-twice", f"{name} is given {names.count(name)} times"
    if code in (204, 304) and "content-type" in names:
        yield "content-type-unwanted", f"the status is {code}"
    if code == 204 and "content-length" in names:
        yield "content-length-unwanted", f"the status is {code}"


def _name_faults(name: str) -> Found:
    lower = name.lower()
    if not HEADER_NAME.fullmatch(name):
        yield "header-name", f"the name is {name!r}"
    elif name.endswith(("-", "_")):
        yield "header-name-end", f"the name is {name!r}"
    elif "_" in name:
        yield "header-underscore", f"the name is {name!r}"
    elif not re.fullmatch("[A-Za-z][A-Za-z0-9-]*", name):
        yield "header-characters", f"the name is {name!r}"
    if lower == "status":
        yield "header-status", "a header is named Status"
    if is_hop_by_hop(lower):
        yield "hop-by-hop", f"the header is {name}"


def _value_faults(name: str, value: str) -> Found:
    unfit = _UNFIT.search(value)
    # http.cookies puts a space before a cookie, and Django hands it on: a user of either could not mend that.
    bare = value.removeprefix(" ") if name.lower() == "set-cookie" else value
    if unfit is not None:
        yield "header-value", f"the value of {name} is {shown(value, name)}, which holds {unfit[0]!r}"
    elif bare != bare.strip(" \t"):
        yield "header-value-space", f"the value of {name} is {shown(value, name)}"
    if name.lower() == "content-length" and length_of(value) is None:
        yield "content-length-value", f"it is {value!r}"


def environ_faults(environ: Any) -> Found:
    """Check the environ that an application is called with."""
    if type(environ) is not dict:
        yield "environ-type", f"it is a {kind(environ)}"
    for name in ("REQUEST_METHOD", "SERVER_NAME", "SERVER_PORT"):
        if environ.get(name, "") == "":
            yield "environ-missing", f"{name} is {'empty' if name in environ else 'missing'}"
    for name in ("version", "url_scheme", "input", "errors", "multithread", "multiprocess", "run_once"):
        if f"wsgi.{name}" not in environ:
            yield "environ-missing", f"wsgi.{name} is missing"
    for name in ("HTTP_CONTENT_TYPE", "HTTP_CONTENT_LENGTH"):
        if name in environ:
            yield "environ-http-content", f"{name} is there"
    yield from variable_faults(environ)
    yield from _cgi_faults(environ)
    yield from _wsgi_faults(environ)


def variable_faults(environ: Any) -> Found:
    """Check that what has no dot in its name, so is a CGI variable, is text."""
    for name, value in environ.items():
        if type(name) is not str:
            yield "environ-value", f"the name {name!r} is a {kind(name)}"
        elif "." in name:
            continue  # an extension, of any type
        elif type(value) is not str:
            yield "environ-value", f"{name} is a {kind(value)}, {shown(value, name):.80}"
        elif re.search("[^\x00-\xff]", value):
            yield "environ-value", f"{name} is {shown(value, name)}"


def changed_faults(before: Any, after: Any) -> Found:
    """Check what an application made of the variables that it was given, and of those that PEP 3333 names.

    What else it adds is its own: it may modify the environ in any way it desires.
    """
    known = {*variable_faults(before)}
    judged = {
        name: value
        for name, value in after.items()
        if name in before or name in _CGI or (type(name) is str and name.startswith("HTTP_"))
    }
    for found in variable_faults(judged):
        if found not in known:
            yield "environ-changed", found[1]


def _cgi_faults(environ: Any) -> Found:
    method, path, script = (str(environ.get(name, "")) for name in ("REQUEST_METHOD", "PATH_INFO", "SCRIPT_NAME"))
    if method and method not in _METHODS:
        yield "environ-method", f"it is {method!r}"
    # RFC 9112 section 3.2.4: the target of OPTIONS for the server itself is no path.
    if path and path[0] != "/" and (method, path) != ("OPTIONS", "*"):
        yield "environ-path", f"PATH_INFO is {shown(path)}"
    if script == "/" or (script and script[0] != "/"):
        yield "environ-path", f"SCRIPT_NAME is {shown(script)}"
    if not script and "PATH_INFO" not in environ:
        yield "environ-missing", "PATH_INFO is missing, and SCRIPT_NAME is empty"
    if "QUERY_STRING" not in environ:
        yield "environ-query", "it is missing"
    length = environ.get("CONTENT_LENGTH", "")
    if length and length_of(str(length)) is None:
        yield "environ-length", f"it is {length!r}"


def _wsgi_faults(environ: Any) -> Found:
    version = environ.get("wsgi.version", (1, 0))
    if type(version) is not tuple or version != (1, 0):
        yield "environ-version", f"it is {version!r}"
    if environ.get("wsgi.url_scheme", "http") not in ("http", "https"):
        yield "environ-scheme", f"it is {environ['wsgi.url_scheme']!r}"
    needed = {"input": ("read", "readline", "readlines", "__iter__"), "errors": ("flush", "write", "writelines")}
    for name, methods in needed.items():
        for method in methods:
            if f"wsgi.{name}" in environ and not hasattr(environ[f"wsgi.{name}"], method):
                yield "environ-streams", f"wsgi.{name} has no {method}"
