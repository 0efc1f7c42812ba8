"""An application is found under the name that people type; where it is not, one line says what to do."""

import os
import subprocess
import sys
import textwrap
import traceback
from pathlib import Path

import bottle
import flask
import pytest

from wsgiserver import loader, welcome
from wsgiserver.loader import LoadError, find_application, load

FUNCTION = """
def {}(environ, start_response):
    start_response("200 OK", [])
    return [__name__.encode()]
"""
APP = FUNCTION.format("app")


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Give a function that writes files into an empty working directory; forget their modules afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path[:])

    def write(**files: str) -> Path:
        for name, source in files.items():
            path = tmp_path / (name.replace("__in__", "/") + ".py")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(textwrap.dedent(source), encoding="utf-8")
        return tmp_path

    yield write
    for name, module in list(sys.modules.items()):
        places = [getattr(module, "__file__", None), *getattr(module, "__path__", ())]
        if any(place and Path(place).is_relative_to(tmp_path) for place in places):
            del sys.modules[name]


@pytest.fixture
def default_app():
    """Give bottle a fresh default application for this test."""
    yield bottle.default_app.push()
    bottle.default_app.pop()


def refusal(name: str) -> str:
    """Give the line that says why nothing can be loaded under a name."""
    with pytest.raises(LoadError) as caught:
        load(name)
    line = str(caught.value)
    assert "\n" not in line
    return line


def called(app) -> bytes:
    return b"".join(app({}, lambda *_: None))


# What is found


def test_no_name_is_the_hello_world_page():
    assert load("") is welcome.application
    assert find_application("").name == "the Hello World page"


def test_a_module_and_an_attribute(project):
    project(hello=APP)
    assert called(load("hello:app")) == b"hello"


def test_a_module_in_a_package(project):
    project(pack__in__hello=APP)
    assert called(load("pack.hello:app")) == b"pack.hello"


def test_an_attribute_of_an_attribute(project):
    project(hello=APP + "class site: inner = staticmethod(app)")
    assert called(load("hello:site.inner")) == b"hello"


def test_the_working_directory_comes_before_everything_else(project):
    """A module of the user's that is called as one of the standard library is the one that is meant."""
    project(antigravity=APP)
    sys.path.append(os.getcwd())
    assert called(load("antigravity:app")) == b"antigravity"


@pytest.mark.parametrize("attribute", ["app", "application"])
def test_a_module_alone_has_its_app_or_application(project, attribute):
    project(hello=FUNCTION.format("other") + FUNCTION.format(attribute))
    assert find_application("hello").name == f"hello:{attribute}"


def test_app_comes_before_application(project):
    project(hello=FUNCTION.format("application") + APP)
    assert find_application("hello").name == "hello:app"


def test_a_module_alone_has_else_its_only_application(project):
    project(hello=FUNCTION.format("site") + "also = site")
    assert find_application("hello").name == "hello:site"


def test_a_factory_is_called(project):
    project(hello="def make():" + textwrap.indent(APP, "    ") + "    return app")
    assert find_application("hello:make()").name == "hello:make()"
    assert called(load("hello:make()")) == b"hello"


@pytest.mark.parametrize("factory", ["create_app", "make_app"])
@pytest.mark.parametrize("name", ["hello", "hello:{}", "hello:{}()"])
def test_the_usual_factories_need_no_parentheses(project, factory, name):
    project(hello=f"def {factory}(config=None):" + textwrap.indent(APP, "    ") + "    return app")
    assert find_application(name.format(factory)).name == f"hello:{factory}()"


def test_a_factory_comes_after_an_application(project):
    project(hello="def create_app(): raise Exception\n" + FUNCTION.format("site"))
    assert find_application("hello").name == "hello:site"


# What is plausibly an application


PLAUSIBLE = {
    "a function": FUNCTION.format("it"),
    "a function with other names": "def it(env, start, extra=None): ...",
    "a method's object": "class A:\n    def __call__(self, environ, start_response): ...\nit = A()\ndel A",
    "a class whose objects are the answer": """
        class it:
            def __init__(self, environ, start_response): ...
            def __iter__(self): ...
        """,
    "a Flask object": "from flask import Flask, current_app, g, request, session\nit = Flask(__name__)",
    "a Bottle object": "from bottle import *\nit = Bottle()",
    "a decorated function": """
        import functools
        def decorate(function):
            @functools.wraps(function)
            def decorated(*args): return function(*args)
            return decorated
        @decorate
        def it(environ, start_response): ...
        """,
    "an object of a wrapper": """
        from werkzeug.middleware.proxy_fix import ProxyFix
        it = ProxyFix(None)
        """,
}
IMPLAUSIBLE = {
    "a helper with two parameters": "def add(a, b): ...",
    "a class of objects that can be called": "class A:\n    def __call__(self, environ, start_response): ...",
    "what others made": "from wsgiref.simple_server import *\nfrom wsgiref.simple_server import demo_app",
    "what was imported for use": "from flask import *\nfrom hashlib import *\nfrom os.path import relpath, join",
    "what is private": FUNCTION.format("_it"),
    "what is asynchronous": "async def it(environ, start_response): ...",
    "a middleware": "def wrapper(application): ...",
}


@pytest.mark.parametrize("source", PLAUSIBLE.values(), ids=PLAUSIBLE.keys())
def test_the_only_application_is_found_by_its_look(project, source):
    project(hello=source)
    assert find_application("hello").name == "hello:it"


@pytest.mark.parametrize("source", IMPLAUSIBLE.values(), ids=IMPLAUSIBLE.keys())
def test_other_callables_are_not_taken_for_applications(project, source):
    project(hello=source)
    assert refusal("hello") == ("hello holds nothing that looks like a WSGI application; name it, as in hello:my_app")


def test_a_module_that_is_built_in_holds_no_application(project):
    project()
    assert "nothing that looks like" in refusal("sys")
    assert refusal("sys:app").startswith("sys has no attribute 'app'")


def test_of_several_applications_one_must_be_named(project):
    project(hello=FUNCTION.format("one") + FUNCTION.format("two"))
    assert refusal("hello") == "hello holds several applications; name one, as in hello:one|two"


@pytest.mark.parametrize(
    "imports", ["from bottle import *", "from bottle import route", "import bottle; route = bottle.route"]
)
def test_bottles_default_application_is_found(project, default_app, imports):
    project(hello=imports + "\n@route('/')\ndef index(): return 'Hello'")
    name = "bottle:default_app()" if "*" not in imports else "hello:default_app()"
    assert find_application("hello") == (default_app, name)


def test_bottles_default_application_is_only_for_who_uses_bottle(project, default_app):
    default_app.route("/", callback=lambda: "")
    project(hello="")
    assert "nothing that looks like" in refusal("hello")


def test_an_application_by_name_need_not_look_like_one(project):
    """As a decorator's product may not; only that it can be called so is asked for."""
    project(hello="import functools\nsite = functools.partial(lambda a, *b: [], 1)\nother = min")
    assert callable(load("hello:site"))
    assert load("hello:other") is min


def test_django_is_served_by_the_module_that_it_makes(project):
    pytest.importorskip("django")
    folder = project(
        mysite__in____init__="",
        mysite__in__settings="SECRET_KEY = 'x'; ROOT_URLCONF = 'mysite.urls'; ALLOWED_HOSTS = ['*']",
        mysite__in__urls="urlpatterns = []",
        mysite__in__wsgi="""
            import os
            from django.core.wsgi import get_wsgi_application
            os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mysite.settings")
            application = get_wsgi_application()
            """,
    )
    # In a process of its own, as Django can be set up once in a process only.
    code = (
        "import sys; from wsgiserver.loader import find_application as find; print(*map(find, sys.argv[1:]), sep='\\n')"
    )
    names = ["mysite.wsgi", "mysite.wsgi:application", "mysite/wsgi.py", str(folder / "mysite")]
    run = subprocess.run([sys.executable, "-c", code, *names], capture_output=True, text=True, check=True)
    assert run.stdout.count("WSGIHandler object") == len(names)


DJANGO = {"mysite__in____init__": "", "mysite__in__wsgi": APP, "manage": "def main(): ..."}


@pytest.mark.parametrize("name", ["mysite", "mysite/__init__.py", ".", "manage.py", "./manage.py", "manage"])
def test_a_django_project_is_told_to_name_its_module_wsgi(project, name):
    project(**DJANGO)
    assert refusal(name).endswith("; did you mean mysite.wsgi?")
    assert called(load("mysite.wsgi")) == b"mysite.wsgi"


@pytest.mark.parametrize("name", ["mysite:application", "manage.py:application"])
def test_a_django_project_is_told_so_too_where_an_attribute_was_named(project, name):
    project(**DJANGO)
    assert refusal(name).endswith("has no attribute 'application'; did you mean mysite.wsgi?")


@pytest.mark.parametrize("name", ["mysite", "mysite/", "mysite/manage.py"])
def test_a_django_project_in_a_folder_is_told_the_file_to_name(project, name):
    project(**{f"mysite__in__{file}": source for file, source in DJANGO.items()})
    assert refusal(name).endswith(f"; did you mean {Path('mysite/mysite/wsgi.py')}?")
    assert called(load("mysite/mysite/wsgi.py")) == b"mysite.wsgi"


def test_of_several_folders_with_a_module_wsgi_each_is_suggested(project):
    project(**DJANGO, other__in__wsgi="")
    assert refusal(".").endswith("; did you mean mysite.wsgi or other.wsgi?")


# Files and folders


@pytest.mark.parametrize("name", ["sub/hello.py:app", "sub/hello.py", "./sub/hello.py", "sub/../sub/hello.py:app"])
def test_a_file_with_or_without_attribute(project, name):
    project(sub__in__hello=APP)
    assert called(load(name)) == b"hello"


def test_a_file_by_its_absolute_path(project):
    folder = project(sub__in__hello=APP)
    assert called(load(f"{folder / 'sub' / 'hello.py'}:app")) == b"hello"


def test_the_neighbours_of_a_file_are_importable(project):
    """As they are for `python file.py`; also one that imports the file itself back."""
    project(sub__in__first="import second" + APP, sub__in__second="import first")
    load("sub/first.py")
    assert sys.modules["second"].first is sys.modules["first"]


def test_a_file_is_imported_once(project):
    project(hello="made = []" + APP)
    assert load("hello.py") is load("./hello.py") is load("hello:app")


def test_a_file_with_the_name_of_another_module_is_loaded_beside_it(project):
    project(one__in__hello=APP, two__in__hello=APP, three__in__logging=APP)
    names = [called(load(f"{folder}.py")) for folder in ("one/hello", "two/hello", "three/logging")]
    assert names == [b"hello", b"hello_2", b"logging_2"]


def test_a_file_may_have_a_name_that_no_module_can_have(project):
    folder = project(hello=APP)
    for name in ("my-app.v2.py", "shop.wsgi"):
        (folder / name).write_text(APP)
        assert called(load(name)) == Path(name).stem.encode()


def test_a_file_in_a_package_is_imported_as_a_part_of_it(project):
    project(pack__in____init__="", pack__in__sub__in____init__="", pack__in__sub__in__hello="from .. import sub" + APP)
    assert called(load("pack/sub/hello.py")) == b"pack.sub.hello"


def test_a_file_in_a_package_may_import_its_neighbours_by_bare_name(project):
    project(pack__in____init__="", pack__in__hello="import beside" + APP, pack__in__beside="", pack__in__email="1 / 0")
    assert called(load("pack/hello.py")) == b"pack.hello"


@pytest.mark.parametrize("file", ["app", "wsgi", "main"])
@pytest.mark.parametrize("name", ["folder", "./folder", "folder/", "folder:app"])
def test_a_folder_has_its_app_wsgi_or_main(project, file, name):
    project(**{f"folder__in__{file}": APP, "folder__in__zzz": "1 / 0"})
    assert find_application(name).name == f"{Path('folder', file)}.py:app"


def test_the_working_directory_is_a_folder(project):
    project(main=APP, wsgi=APP)
    assert called(load(".")) == called(load(".:app")) == b"wsgi"


def test_a_package_is_served_as_a_module_or_as_a_folder(project):
    project(pack__in____init__="from . import models" + APP, pack__in__models="")
    assert called(load("pack")) == called(load("pack/")) == b"pack"
    assert find_application("pack").name == "pack:app"


def test_a_module_comes_before_a_folder_of_the_same_name(project):
    project(hello=APP, hello__in__app="1 / 0")
    assert called(load("hello")) == b"hello"


# What is refused


HIDING = {
    "site": sys.modules["site"].__file__,
    "sys": "built in",
    "wsgiserver": str(Path(loader.__file__).with_name("__init__.py")),
}


@pytest.mark.parametrize(("name", "place"), HIDING.items())
def test_a_module_that_another_one_hides_is_refused_with_the_place_of_that_one_and_the_remedy(project, name, place):
    project(**{name: APP})
    own = os.path.join(".", f"{name}.py")
    for attribute in ("", ":app", ":nothing"):
        assert refusal(name + attribute) == (
            f"the module {name} that Python found is another one ({place}), not {own}; "
            f"rename the file or write {name}.py{attribute}"
        )
    assert called(load(f"{name}.py:app")) == f"{name}_2".encode()


@pytest.mark.parametrize("name", ["site/", "site/web.py", "site.web", "site"])
def test_a_package_that_another_module_hides_is_refused_and_to_be_renamed(project, name):
    project(site__in____init__=APP, site__in__web=APP)
    line = refusal(name)
    assert line.startswith(f"the module site that Python found is another one ({sys.modules['site'].__file__}), not ")
    assert line.endswith(f"{os.path.join('site', '__init__.py')}; rename the folder")


def test_a_module_inside_a_file_that_another_one_hides_is_refused_too(project):
    project(site=APP)
    assert refusal("site.web").endswith("; rename the file")


def test_a_module_that_is_loaded_already_from_this_folder_hides_nothing(project):
    project(hello=APP, hello__in____init__=APP)
    assert load("hello") is load("hello:app")


@pytest.mark.parametrize("name", [":", ":app", "hello:", "hello:1", "hello:a-b", "hello:a..b", "a:b:c"])
def test_a_name_that_is_none_is_answered_with_examples(project, name):
    project(hello=APP)
    assert refusal(name) == f"{name!r} names no application; write hello:app, hello:create_app() or path/hello.py"


def test_a_drive_has_a_colon_of_its_own():
    assert loader._NAME.fullmatch(r"C:\site\app.py:app").groupdict() == {
        "place": r"C:\site\app.py",
        "path": "app",
        "call": None,
    }


@pytest.mark.parametrize("name", ["nowhere", "nowhere:app", "nowhere.at.all:app"])
def test_a_module_that_is_missing(project, name):
    folder = project()
    assert refusal(name) == f"there is no module 'nowhere', neither in {folder} nor among the installed packages"


def test_the_nearest_modules_are_suggested(project):
    project(hello=APP, pack__in____init__="", pack__in__greeting=APP)
    assert refusal("helo:app").endswith("; did you mean hello?")
    assert refusal("pack.greting").endswith("; did you mean greeting?")


def test_a_point_in_place_of_the_colon_is_noticed(project):
    project(hello=APP)
    assert refusal("hello.app") == "hello is a module and not a package; did you mean hello:app?"


def test_a_missing_module_has_no_traceback_to_show(project):
    project()
    with pytest.raises(LoadError) as caught:
        load("nowhere")
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


@pytest.mark.parametrize("name", ["hello:app", "hello.py", ".:app"])
def test_an_import_that_fails_inside_the_module_is_shown_with_the_users_frames_alone(project, name):
    project(app="import hello", hello="import deeper", deeper="\nimport not_there")
    with pytest.raises(LoadError, match="failed: ModuleNotFoundError: No module named 'not_there'") as caught:
        load(name)
    assert " was found, but importing it " in str(caught.value)
    cause = caught.value.__cause__
    assert isinstance(cause, ModuleNotFoundError)
    frames = [(Path(frame.filename).name, frame.lineno) for frame in traceback.extract_tb(cause.__traceback__)]
    assert frames == [("app.py", 1), ("hello.py", 1), ("deeper.py", 2)][name != ".:app" :]


def test_a_package_that_misses_a_module_of_its_own_is_found_but_fails(project):
    project(pack__in____init__="import pack.absent")
    assert refusal("pack.absent").startswith("pack.absent was found, but importing it failed: ModuleNotFoundError")


def test_a_module_that_raises_can_be_loaded_once_it_is_mended(project):
    project(hello="raise ValueError('two\\nlines')")
    assert refusal("hello.py").endswith("hello.py was found, but importing it failed: ValueError: two lines")
    project(hello=APP + "# longer, so that no cache takes it for the old one")
    assert called(load("hello.py")) == b"hello"


@pytest.mark.parametrize("name", ["hello", "hello.py", "uses"])
def test_a_syntax_error_is_told_with_its_line(project, name):
    folder = project(hello="x = 1\nx = = 2\n", uses="import hello")
    assert refusal(name) == f"{folder / 'hello.py'}, line 2: Python cannot read this: invalid syntax"


GUARD = 'where it is a program, put what it runs under if __name__ == "__main__":'


@pytest.mark.parametrize(("ending", "status"), [("sys.exit(3)", 3), ("sys.exit()", 0), ("raise SystemExit(True)", 1)])
def test_a_module_that_exits_is_told_with_its_status_and_how_not_to(project, ending, status):
    project(hello=f"import sys\n{ending}")
    assert refusal("hello") == f"hello ended while it was imported (exit status {status}); {GUARD}"


@pytest.mark.parametrize("ending", ["sys.exit('no\\nconfig')", "raise SystemExit('no config.')"])
def test_what_a_module_says_as_it_exits_stands_in_the_line_and_the_guard_is_an_alternative(project, ending):
    project(hello=f"import sys\n{ending}")
    assert refusal("hello") == f"hello ended while it was imported: no config; mend that or, {GUARD}"


@pytest.mark.parametrize("name", ["loose/hello.py", "loose/hello.py:app"])
def test_a_relative_import_outside_a_package_is_told_how_to_name_the_module(project, name):
    folder = project(loose__in__hello="from .other import app", loose__in__other=APP)
    assert refusal(name).endswith(
        "importing it failed: ImportError: attempted relative import with no known parent package; "
        f"name it as a module of its package, in the folder {folder}: loose.hello, and add an __init__.py beside it"
    )
    assert called(load("loose.hello")) == b"loose.other"


def test_a_relative_import_in_a_package_that_was_named_from_within_is_told_so_too(project, monkeypatch):
    folder = project(pack__in____init__="", pack__in__hello="from .other import app", pack__in__other=APP)
    monkeypatch.chdir("pack")
    line = refusal("hello")
    assert line.endswith(f"; name it as a module of its package, in the folder {folder}: pack.hello")


def test_a_relative_import_in_a_folder_that_can_be_no_package_is_told_to_rename_it(project):
    project(**{"my-site__in__hello": "from .other import app"})
    assert refusal("my-site/hello.py").endswith(
        "; it needs a package, and no package can be called 'my-site': rename that folder"
    )


def test_a_relative_import_of_another_module_is_left_to_its_traceback(project):
    project(hello="import beside", beside="from .other import app")
    assert refusal("hello").endswith("attempted relative import with no known parent package")


def test_an_interrupt_is_not_held_up(project):
    project(hello="raise KeyboardInterrupt")
    for name in ("hello", "hello.py"):
        with pytest.raises(KeyboardInterrupt):
            load(name)


def test_a_file_that_is_missing(project):
    folder = project(hello=APP)
    assert refusal("other.py") == f"there is no file other.py (the working directory is {folder})"
    assert refusal("helo.py:app") == "there is no file helo.py; did you mean hello.py?"
    assert refusal("sub/helo.py").startswith("there is no file")
    project(sub__in__hello=APP)
    assert refusal("sub/helo.py") == (f"there is no file {Path('sub/helo.py')}; did you mean {Path('sub/hello.py')}?")
    assert refusal("no/where") == f"there is no file {Path('no/where')} (the working directory is {folder})"


@pytest.mark.parametrize(("name", "meant"), [("./app", "app.py"), ("dd/app", "dd/app.py"), ("dd/app:app", "dd/app.py")])
def test_a_file_without_its_ending_is_suggested_with_it(project, name, meant):
    project(app=APP, dd__in__app=APP)
    assert refusal(name) == f"there is no file {Path(meant).with_suffix('')}; did you mean {Path(meant)}?"


def test_a_folder_without_a_file_to_serve(project):
    project(folder__in__other=APP)
    assert refusal("folder") == "the folder folder holds no app.py, wsgi.py or main.py; name the file to serve"


def test_a_missing_attribute_is_answered_with_the_nearest(project):
    project(hello=APP + "class site:\n    inner = app\napi = 1")
    assert refusal("hello:ap") == "hello has no attribute 'ap'; did you mean app or api?"
    assert refusal("hello:site.iner") == "hello:site has no attribute 'iner'; did you mean inner?"
    assert refusal("hello:site.x") == "hello:site has no attribute 'x'"


def test_a_missing_attribute_unlike_any_is_answered_with_the_applications(project):
    project(hello=FUNCTION.format("site") + "x = 1")
    assert refusal("hello:app") == "hello has no attribute 'app'; did you mean site?"


def test_a_missing_attribute_that_is_a_module_is_answered_so(project):
    project(pack__in____init__="", pack__in__hello=APP)
    assert refusal("pack:hello") == "pack has no attribute 'hello'; did you mean the module pack.hello?"


REFUSED = {
    "app = 1": "is not a WSGI application: it cannot be called (its type is int)",
    "def app(): ...": "is not a WSGI application: it cannot be called with environ and start_response; "
    "if it makes the application, write hello:app()",
    "class app:\n    def __call__(self, environ, start_response): ...": "is not a WSGI application: "
    "it cannot be called with environ and start_response; if it makes the application, write hello:app()",
    "def app(one): ...": "is not a WSGI application: it cannot be called with environ and start_response",
    "from flask import Flask as app": "is not a WSGI application: it cannot be called with environ and start_response",
    "async def app(scope, receive, send): ...": "is asynchronous, so probably made for ASGI; "
    "this server runs WSGI applications",
    "class A:\n    async def __call__(self, scope, receive, send): ...\napp = A()": "is asynchronous, "
    "so probably made for ASGI; this server runs WSGI applications",
}


@pytest.mark.parametrize("name", ["hello", "hello:app"])
@pytest.mark.parametrize(("source", "objection"), REFUSED.items())
def test_what_cannot_be_an_application_is_refused_with_the_reason(project, name, source, objection):
    project(hello=source)
    assert refusal(name) == f"hello:app {objection}"


def test_a_module_that_is_called_app_is_not_taken_for_an_application(project):
    project(hello="import logging as app")
    assert "nothing that looks like" in refusal("hello")
    assert refusal("hello:app") == "hello:app is not a WSGI application: it cannot be called (its type is module)"


def test_a_factory_that_raises_is_shown_with_the_users_frames_alone(project):
    project(hello="def create_app():\n    return {}['DATABASE']")
    with pytest.raises(LoadError, match=r"^hello:create_app\(\) failed: KeyError: 'DATABASE'$") as caught:
        load("hello")
    assert [frame.name for frame in traceback.extract_tb(caught.value.__cause__.__traceback__)] == ["create_app"]


def test_a_factory_that_needs_arguments(project):
    project(hello="def need(one: 'int'): ...\nONE = 1" + APP)
    assert refusal("hello:need()") == ("hello:need() needs arguments (one); serve a function that calls it with them")
    assert refusal("hello:app()") == "hello:app() needs arguments (environ, start_response); leave out the ()"
    assert refusal("hello:ONE()") == "hello:ONE cannot be called (its type is int); leave out the ()"


@pytest.mark.parametrize("name", ["hello", "hello:create_app", "hello:create_app()"])
def test_of_a_usual_factory_nobody_is_told_to_leave_out_the_call(project, name):
    """It is called all the same; and mostly, nobody has typed one."""
    project(hello="def create_app(cfg, debug): ...")
    line = "hello:create_app() needs arguments (cfg, debug); serve a function that calls it with them"
    assert refusal(name) == line
    project(other="create_app = 1")
    assert refusal("other:create_app") == "other:create_app cannot be called (its type is int)"


@pytest.mark.parametrize("call", ["create_app('x')", "create_app(config=1)", "web.create_app(1, (2, 3))"])
def test_a_factory_is_called_without_arguments(project, call):
    """Unlike gunicorn does."""
    name = f"hello:{call}"
    expected = f"{name!r} cannot be served: a factory is called without arguments; serve a module with app = {call}"
    assert refusal(name) == expected


def test_for_a_file_of_pastedeploy_there_is_a_way(project):
    folder = project()
    assert refusal("production.ini").startswith("there is no file production.ini (")
    (folder / "production.ini").write_text("[app:main]\nuse = egg:shop\n")
    assert refusal("production.ini") == (
        "production.ini is no Python; for a PasteDeploy file, serve a module with "
        f'application = paste.deploy.loadapp("config:{folder / "production.ini"}")'
    )


@pytest.mark.parametrize(("source", "kind"), [("...", "NoneType"), ("return 'app'", "str")])
def test_a_factory_that_makes_no_application(project, source, kind):
    project(hello=f"def create_app(): {source}")
    assert refusal("hello") == (
        f"hello:create_app() is not a WSGI application: it cannot be called (its type is {kind})"
    )


def test_flask_and_bottle_objects_are_applications():
    assert all(loader._objection(made, "") == "" for made in (flask.Flask("x"), bottle.Bottle()))
