"""Serves a Flask application with step 3."""

from flask import Flask
from step1_socket import listen
from step3_wsgi import serve

app = Flask(__name__)


@app.get("/greet/<name>")
def greet(name: str) -> str:
    """Greet whom the path names."""
    return f"Hello {name}"


if __name__ == "__main__":
    serve(listen(), app)
