"""Hello World: a WSGI application is a function, and this is a whole one.

    wsgiserver apps.hello:app

The server calls it once a request. It tells the status and the headers, and returns the body: a list of bytes.
"""

from wsgiref.types import StartResponse, WSGIEnvironment

PAGE = """<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<title>Hello World</title>
<h1>Hello World</h1>
</html>
"""


def app(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
    body = PAGE.encode()
    start_response("200 OK", [("Content-Type", "text/html; charset=utf-8"), ("Content-Length", str(len(body)))])
    return [body]
