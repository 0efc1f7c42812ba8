"""Bottle: a form, JSON, a cookie session, an upload, a redirect and error pages.

    pip install bottle
    wsgiserver apps.bottle_app:app

`flask_app` does the same with Flask.
"""

import hashlib
import os
import secrets
from typing import Any

from bottle import Bottle, HTTPError, abort, redirect, request, response, template

app = Bottle()
# It signs the cookies. Made anew at each start, it ends all sessions; a real site keeps it, and keeps it secret.
SECRET = os.environ.get("SECRET_KEY") or secrets.token_hex()

PAGE = """<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<title>Bottle</title>
<h1>{{ heading }}</h1>
<form action="/form" method="post">
<input name="name" placeholder="Your name" required> <button>Greet</button>
</form>
<form action="/upload" method="post" enctype="multipart/form-data">
<input name="file" type="file" required aria-label="file"> <button>Upload</button>
</form>
<p><a href="/json">JSON</a> <a href="/visits">Visits</a> <a href="/redirect">Redirect</a> <a href="/error">Error</a></p>
</html>
"""


def page(heading: str) -> str:
    return template(PAGE, heading=heading)


@app.get("/")
def home() -> str:
    return page("Hello from bottle")


@app.post("/form")
def form() -> str:
    # As an attribute, unlike form["name"], the text is decoded as UTF-8.
    return page(f"Hello, {request.forms.name or abort(400, 'a name is missing')}!")


@app.route("/json", method=["GET", "POST"])
def json() -> dict[str, Any]:
    return {"method": request.method, "sent": request.json if request.method == "POST" else None}


@app.get("/visits")
def visits() -> str:
    count = int(request.get_cookie("visits", default="0", secret=SECRET)) + 1
    response.set_cookie("visits", str(count), secret=SECRET, httponly=True, samesite="lax")
    return page(f"Visits: {count}")


@app.post("/upload")
def upload() -> dict[str, Any]:
    sent = request.files.get("file") or abort(400, "a file is missing")
    digest = hashlib.file_digest(sent.file, "sha256").hexdigest()
    return {"name": sent.raw_filename, "size": sent.file.seek(0, os.SEEK_END), "sha256": digest}


@app.get("/redirect")
def elsewhere() -> None:
    redirect("/")


@app.get("/error")
def error() -> str:
    raise RuntimeError("an error in the application, as asked")


@app.error(400)
@app.error(404)
@app.error(405)
@app.error(500)
def problem(error: HTTPError) -> str:
    return page(error.status_line)
