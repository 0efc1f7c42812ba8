"""Echo: what the server tells an application about a request, and the body that came with it.

    wsgiserver apps.echo:app
    curl --data 'a body' 'http://127.0.0.1:8000/some/path?and=query'

Everything about the request is in one dictionary, the environ; its body is a file in there, `wsgi.input`.
"""

from wsgiref.types import StartResponse, WSGIEnvironment

LIMIT = 1024 * 1024  # bytes of the body that are shown


def app(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
    lines = [f"{name}: {value}" for name, value in sorted(environ.items())]
    body = environ["wsgi.input"].read(wanted(environ)).decode("utf-8", "backslashreplace")
    text = "\n".join([*lines, "", body])
    # nosniff: whatever was sent, a browser shows it as text and never runs it.
    headers = [("Content-Type", "text/plain; charset=utf-8"), ("X-Content-Type-Options", "nosniff")]
    start_response("200 OK", headers)
    return [text.encode("utf-8", "backslashreplace")]


def wanted(environ: WSGIEnvironment) -> int:
    """Tell how much to read: a body of unknown length only where the server promises that it ends."""
    if environ.get("CONTENT_LENGTH"):
        return min(int(environ["CONTENT_LENGTH"]), LIMIT)
    return LIMIT if environ.get("wsgi.input_terminated") else 0
