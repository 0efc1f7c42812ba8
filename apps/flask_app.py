"""Flask: a form, JSON, a cookie session, an upload, a redirect and error pages.

    pip install flask
    wsgiserver apps.flask_app:app

`bottle_app` does the same with bottle.
"""

import hashlib
import os
import secrets

from flask import Flask, redirect, render_template_string, request, session, url_for
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import HTTPException

app = Flask(__name__)
# It signs the cookies. Made anew at each start, it ends all sessions; a real site keeps it, and keeps it secret.
app.secret_key = os.environ.get("SECRET_KEY") or secrets.token_hex()

PAGE = """<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<title>Flask</title>
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
    return render_template_string(PAGE, heading=heading)


@app.get("/")
def home() -> str:
    return page("Hello from Flask")


@app.post("/form")
def form() -> str:
    return page(f"Hello, {request.form['name']}!")  # without a name, Flask answers 400


@app.route("/json", methods=["GET", "POST"])
def json() -> ResponseReturnValue:
    return {"method": request.method, "sent": request.get_json() if request.method == "POST" else None}


@app.get("/visits")
def visits() -> str:
    session["visits"] = session.get("visits", 0) + 1
    return page(f"Visits: {session['visits']}")


@app.post("/upload")
def upload() -> ResponseReturnValue:
    file = request.files["file"]
    digest = hashlib.file_digest(file.stream, "sha256").hexdigest()
    return {"name": file.filename, "size": file.stream.seek(0, os.SEEK_END), "sha256": digest}


@app.get("/redirect")
def elsewhere() -> ResponseReturnValue:
    return redirect(url_for("home"))


@app.get("/error")
def error() -> str:
    raise RuntimeError("an error in the application, as asked")


@app.errorhandler(HTTPException)
def problem(error: HTTPException) -> ResponseReturnValue:
    return page(f"{error.code} {error.name}"), error.code or 500
