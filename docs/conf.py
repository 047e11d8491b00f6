"""How `make docs` turns these pages into a site."""

import configparser
import re
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

import tasklets  # noqa: E402

setup_cfg = configparser.ConfigParser()
setup_cfg.read(ROOT / "setup.cfg")

project = "tasklets"
author = setup_cfg["metadata"]["author"]
version = release = tasklets.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc"]
exclude_patterns = ["conf.py"]
html_theme = "furo"
html_title = f"tasklets {version}"
html_copy_source = False
# Titles are link targets, down to the third level.
myst_heading_anchors = 3
autodoc_default_options = {"members": True}
autodoc_member_order = "groupwise"
python_maximum_signature_line_length = 80
# One backtick in a docstring marks code.
default_role = "code"


def prepare(app, docname, source):
    """Add the contents."""
    if docname == "index":
        # The pages in the order in which the index names them.
        pages = dict.fromkeys(re.findall(r"\]\(([\w/-]+)\.md", source[0]))
        lines = ["```{toctree}", ":hidden:", *pages, "docstrings", "```"]
        source[0] += "\n" + "\n".join(lines) + "\n"


def plain_text(app, what, name, obj, options, lines):
    """Read a docstring as plain text in which only backticks are markup.

    Indented text is shown as a block of code.
    """
    text, code = [], False
    for line in lines:
        if line.strip() and line.startswith(" ") != code:
            code = not code
            text += ["", "::", ""] if code else [""]
        text.append(line if code else escaped(line))
    lines[:] = text


def escaped(line):
    """Return a line with all markup but that of code escaped."""
    # Two colons would start a block of code, which the indent does already.
    parts = re.split(r"(``.+?``|`[^`]+`)", re.sub(r"::$", ":", line))
    for i in range(0, len(parts), 2):
        part = re.sub(r"([\\*|_`])", r"\\\1", parts[i])
        # Markup must end at the edge of a word; an escaped blank is such an edge.
        before = "\\ " if i and re.match(r"\w", part) else ""
        after = "\\ " if i + 1 < len(parts) and re.search(r"\w$", part) else ""
        parts[i] = before + part + after
    return "".join(parts)


def setup(app):
    """Connect the functions above."""
    app.connect("source-read", prepare)
    app.connect("autodoc-process-docstring", plain_text)
