"""Applications of the frameworks that people use, over real sockets: what only shows between framework and server."""

import http.client
from collections.abc import Iterator
from typing import Any

import bottle
import flask
import pytest

FORM = b"name=wsgi&colour=green"
HEADERS = {"Content-Type": "application/x-www-form-urlencoded"}


def flask_app() -> Any:
    app = flask.Flask("form")
    app.add_url_rule("/", view_func=lambda: flask.request.form["name"], methods=["POST"])
    return app


def bottle_app() -> Any:
    app = bottle.Bottle()
    app.route("/", method="POST", callback=lambda: bottle.request.forms.name)
    return app


def django_app() -> Any:
    django = pytest.importorskip("django")
    from django.conf import settings
    from django.core.wsgi import get_wsgi_application
    from django.http import HttpRequest, HttpResponse
    from django.urls import path

    def form(request: HttpRequest) -> HttpResponse:
        return HttpResponse(request.POST["name"])

    if not settings.configured:
        urls = type("urls", (), {"urlpatterns": [path("", form)]})
        settings.configure(SECRET_KEY="test", ROOT_URLCONF=urls, ALLOWED_HOSTS=["*"], DEBUG=False)
        django.setup()
    return get_wsgi_application()


@pytest.fixture(params=[flask_app, bottle_app, django_app], ids=["flask", "bottle", "django"])
def client(request: pytest.FixtureRequest, serve: Any) -> Iterator[http.client.HTTPConnection]:
    server = serve(request.param())
    connection = http.client.HTTPConnection(*server.address, timeout=30)
    yield connection
    connection.close()


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_a_form_arrives_however_it_is_framed(client: http.client.HTTPConnection, chunked: bool) -> None:
    """A client that streams its form sends it in chunks; the framework must not see the difference."""
    for _ in range(2):
        body = iter([FORM[:5], FORM[5:]]) if chunked else FORM
        client.request("POST", "/", body, HEADERS, encode_chunked=chunked)
        assert client.getresponse().read() == b"wsgi"
