"""Upload: a form that sends files, and their names, sizes and SHA-256 as the answer.

    wsgiserver apps.upload:app
    curl --form file=@large.iso http://127.0.0.1:8000/

A form with files is a "multipart" body (RFC 7578): parts that begin with a few header lines, and around them a
line that is in none of them, the boundary. It is read line by line here, with nothing but the standard library,
so that a file of any size needs no more memory than a small one. Frameworks do this for you: see `flask_app` and
`bottle_app`.
"""

import hashlib
import re
from wsgiref.types import InputStream, StartResponse, WSGIEnvironment

FORM = b"""<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<title>Upload</title>
<h1>Upload</h1>
<form method="post" enctype="multipart/form-data">
<input type="file" name="file" multiple required aria-label="files">
<button>Send</button>
</form>
</html>
"""
BOUNDARY = re.compile(r'multipart/form-data\s*;.*\bboundary="?([^";]{1,70})', re.IGNORECASE)
FILE_NAME = re.compile(rb'filename="((?:\\"|[^"])*)"')
LINE = 64 * 1024  # bytes read at once, at most


class BadForm(Exception):
    """The body is not a form with files."""


class File:
    """A file that is being received: nothing of it is kept but its name, size and SHA-256."""

    def __init__(self, name: str) -> None:
        self.name, self.size, self.digest = name, 0, hashlib.sha256()

    def write(self, data: bytes) -> None:
        """Take the next bytes of the file."""
        self.size += len(data)
        self.digest.update(data)

    def __str__(self) -> str:
        return f"name: {self.name}\nsize: {self.size} bytes\nSHA-256: {self.digest.hexdigest()}\n"


def app(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
    if environ["REQUEST_METHOD"] != "POST":
        start_response("200 OK", [("Content-Type", "text/html; charset=utf-8")])
        return [FORM]
    try:
        received = files(environ["wsgi.input"], boundary(environ))
        status, answer = "200 OK", "".join(map(str, received)) or "no file was chosen\n"
    except BadForm as error:
        status, answer = "400 Bad Request", f"{error}\n"
    # nosniff: a name is shown as text, whatever it looks like.
    headers = [("Content-Type", "text/plain; charset=utf-8"), ("X-Content-Type-Options", "nosniff")]
    start_response(status, headers)
    return [answer.encode()]


def boundary(environ: WSGIEnvironment) -> bytes:
    match = BOUNDARY.match(environ.get("CONTENT_TYPE", ""))
    if match is None:
        raise BadForm("send a form with files, multipart/form-data")
    return b"--" + match[1].rstrip().encode("latin-1")


def files(body: InputStream, boundary: bytes) -> list[File]:
    """Read one part after the other; the boundary after the last has two hyphens more."""
    found = []
    line = body.readline(LINE)
    while line.rstrip() == boundary:
        file = File(file_name(body))
        line = receive(body, boundary, file)
        if file.name:
            found.append(file)
    if line.rstrip() != boundary + b"--":
        raise BadForm("there is no boundary where one must be")
    return found


def file_name(body: InputStream) -> str:
    """Read the header lines of a part, to the empty one after them; an ordinary field has no file name."""
    head = b""
    while (line := body.readline(LINE)).strip():
        head += line
        if len(head) > LINE:
            raise BadForm("a part's header is too long")
    match = FILE_NAME.search(head)
    # A quote in a name comes as %22 from browsers, after a backslash from others.
    return match[1].decode("utf-8", "replace").replace("%22", '"').replace('\\"', '"') if match else ""


def receive(body: InputStream, boundary: bytes, file: File) -> bytes:
    """Read the content of a part into the file; return the boundary line after it."""
    held, new_line = b"", True
    while line := body.readline(LINE):
        if new_line and line.startswith(boundary):
            return line
        # The end of a line is held back: it is not the file's when a boundary comes next.
        data = held + line
        held = next(end for end in (b"\r\n", b"\r", b"") if data.endswith(end))
        new_line = held == b"\r\n"
        file.write(data.removesuffix(held))
    raise BadForm("the form ends before its last boundary")
