"""Takes a request for `/` and gives the Hello World page, so that the bare command serves something.

Next is `loader`, which falls back on this application when none is named.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from wsgiserver.version import __version__

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

# Made once, at import: answering costs a comparison or two. Everything that the page needs is in it.
PAGE = b"""\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Hello World</title>
<link rel="icon" href="data:image/svg+xml,%3Csvg%20xmlns='http://www.w3.org/2000/svg'%20viewBox='0%200%208%208'\
%3E%3Ccircle%20cx='4'%20cy='4'%20r='3.5'%20fill='%23c2552d'/%3E%3C/svg%3E">
<style>
:root {
  color-scheme: light dark;
  --paper: #fbf8f3; --card: #fff; --line: #e4dcd1; --ink: #2b2622; --soft: #6b625a; --warm: #b3471f;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #191614; --card: #221e1b; --line: #38312b; --ink: #ece5dc; --soft: #a99e92; --warm: #f0936c;
  }
}
* { box-sizing: border-box }
body {
  margin: 0; min-height: 100vh; padding: 1.5rem; display: grid; place-items: center;
  background: var(--paper); color: var(--ink); font: 1.0625rem/1.6 system-ui, sans-serif;
}
main { width: 100%; max-width: 36rem }
h1 { margin: 0; font: 600 clamp(2.75rem, 11vw, 4.5rem)/1.05 Georgia, serif; letter-spacing: -.02em }
h1::after { content: "."; color: var(--warm) }
h2 { margin: 2rem 0 0; font-size: 1rem }
p { margin: .75rem 0; color: var(--soft) }
pre {
  margin: .75rem 0; padding: .9rem 1.1rem; overflow-x: auto;
  background: var(--card); border: 1px solid var(--line); border-radius: .6rem;
}
code { font: .875rem/1.65 ui-monospace, monospace }
b { color: var(--warm) }
</style>
</head>
<body>
<main>
<h1>Hello World</h1>
<p>This page is served by wsgiserver VERSION, a WSGI server in pure Python.
It runs, and your browser has found it; all that is missing is your own application.</p>
<h2>Put these lines into hello.py</h2>
<pre><code>def <b>app</b>(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"Hello from my own application"]</code></pre>
<h2>Serve it</h2>
<pre><code>wsgiserver <b>hello:app</b></code></pre>
<p>Applications made with Flask, Django, bottle or any other WSGI framework are served in the same way:
name the module, a colon, and the application in it.</p>
</main>
</body>
</html>
""".replace(b"VERSION", __version__.encode())


def application(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
    """Answer GET and HEAD of `/` with the Hello World page, other methods with 405, other paths with 404."""
    method, path = environ["REQUEST_METHOD"], environ.get("PATH_INFO", "")
    status, headers, body = "200 OK", [("Content-Type", "text/html; charset=utf-8")], PAGE
    if path not in ("/", ""):
        status, headers, body = "404 Not Found", _plain(), b"Nothing is here; the Hello World page is at /\n"
    elif method not in ("GET", "HEAD"):
        status, headers, body = "405 Method Not Allowed", _plain(), b"This page answers GET and HEAD only.\n"
        headers.append(("Allow", "GET, HEAD"))
    headers.append(("Content-Length", str(len(body))))
    start_response(status, headers)
    return [] if method == "HEAD" else [body]


def _plain() -> list[tuple[str, str]]:
    return [("Content-Type", "text/plain; charset=utf-8")]
