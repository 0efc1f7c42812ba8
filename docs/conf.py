"""Builds the documentation. In the pages, a link to a Python file opens that file, laid out to be read."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx

DOCS = Path(__file__).parent
ROOT = DOCS.parent
sys.path.insert(0, str(ROOT))

from wsgiserver.version import __version__  # noqa: E402

project = "wsgiserver"
author = "The wsgiserver developers"
release = version = __version__
copyright = author

extensions = ["myst_parser", "sphinx.ext.autodoc"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
exclude_patterns = ["_build"]

html_theme = "furo"
html_title = "wsgiserver"
html_show_copyright = False
html_show_sphinx = False
html_copy_source = False

autodoc_member_order = "bysource"
autodoc_typehints = "none"

SOURCES = [*ROOT.glob("wsgiserver/*.py"), *ROOT.glob("apps/*.py"), *DOCS.glob("tutorial/steps/*.py")]


def page_of(source: Path) -> str:
    """Name the page that shows a Python file."""
    return "source/" + source.relative_to(ROOT).with_suffix("").as_posix()


def show_sources(app: Sphinx) -> Iterator[tuple[str, dict[str, Any], str]]:
    """Make one page for each Python file."""
    for source in SOURCES:
        name = source.relative_to(ROOT).as_posix()
        code = app.builder.highlighter.highlight_block(source.read_text(), "python", linenos="inline")
        yield page_of(source), {"title": name, "body": f"<h1>{name}</h1>{code}"}, "page.html"


def link_sources(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Let links to Python files, which MyST would offer for download, open those pages."""
    here = (DOCS / docname).parent
    for link in list(doctree.findall(addnodes.download_reference)):
        source = (here / link["reftarget"]).resolve()
        if source in SOURCES:
            target = app.builder.get_relative_uri(docname, page_of(source))
            link.replace_self(nodes.reference("", "", *link.children, refuri=target, internal=True))


def setup(app: Sphinx) -> None:
    """Tell Sphinx of both."""
    app.connect("html-collect-pages", show_sources)
    app.connect("doctree-resolved", link_sources)
