"""Sphinx: `make docs`. A warning is an error there."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

project = "objtunnel"
author = "the objtunnel developers"
release = re.search(r'^version = "(.+)"', (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)[1]

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
source_suffix = {".md": "markdown"}
html_theme = "furo"
html_title = f"objtunnel {release}"
myst_heading_anchors = 4
autodoc_member_order = "groupwise"

OUTSIDE = re.compile(r"\[([^\]]*)\]\(([^)#:]+)(#[^)]*)?\)")


def name_what_lies_outside(app, docname, source):
    """A link to a file of the repository that is no page here becomes the file's name."""
    folder = (ROOT / "docs" / docname).parent

    def replace(match):
        text, target = match[1], (folder / match[2]).resolve()
        if target.suffix in (".md", ".png") and (ROOT / "docs") in target.parents:
            return match[0]
        path = f"`{target.relative_to(ROOT)}`"
        return path if text.strip("`") in path else f"{text} ({path})"

    parts = re.split(r"(^```.*?^```)", source[0], flags=re.MULTILINE | re.DOTALL)
    source[0] = "".join(part if i % 2 else OUTSIDE.sub(replace, part) for i, part in enumerate(parts))


def take_docstrings_as_text(app, what, name, o, options, lines):
    """Ours are plain text: what reStructuredText would take for markup is escaped."""
    lines[:] = [line if line.lstrip().startswith((">>>", "...")) else re.sub(r"([*`|\\])|_(?=\W|$)", r"\\\g<0>", line)
                for line in lines]


def setup(app):
    app.connect("source-read", name_what_lies_outside)
    app.connect("autodoc-process-docstring", take_docstrings_as_text)
