"""Pages from results files: a Markdown template with figures; with plots the same as one HTML file, too.

A benchmark has a template (Jinja) beside its code and a module that computes what goes in. What is
committed, Markdown and PNG, goes beside the results file; what anybody can make again from it, HTML
and SVG, into build/results. The same results give the same bytes.
"""

import argparse
import io
import json
import re
import sys
from functools import partial
from html import escape
from pathlib import Path

import jinja2
import markdown as markdown_library
from formats import FILTERS

HERE = Path(__file__).resolve().parent
PAGES = HERE.parents[1] / "build" / "results"
RESULTS = HERE.parents[1] / "docs" / "results"


def render(template, **context):
    """The text of a template's path, filled in. A name that the context lacks is an error."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([template.parent, HERE / "templates"]), trim_blocks=True,
        lstrip_blocks=True, keep_trailing_newline=True, undefined=jinja2.StrictUndefined)
    environment.filters.update(FILTERS)
    return environment.get_template(template.name).render(**context)


def to_html(title, text, pictures):
    """One file that needs nothing else. pictures: the links of `text` -> SVG."""
    body = markdown_library.markdown(_escape_tags(text), extensions=["tables", "toc"])
    # Nothing of a results file is a link or a picture but those.
    for link, svg in pictures.items():
        drawn = svg[svg.index("<svg"):]  # without XML declaration and doctype
        body = re.sub(rf'<p><img alt="([^"]*)" src="{re.escape(link)}" ?/?></p>',
                      lambda match, drawn=drawn: "<figure>\n" + drawn.replace(
                          "<svg ", f'<svg role="img" aria-label="{match[1]}" ', 1)
                      + f"<figcaption>{match[1]}</figcaption>\n</figure>", body)
    body = re.sub(r"<table>.*?</table>", lambda m: f'<div class="wide">{m[0]}</div>', body, flags=re.DOTALL)
    return render(HERE / "templates" / "page.html.j2", title=escape(title), body=body)


def _escape_tags(text):
    """What a machine says of itself is text, never markup."""
    return re.sub(r"<(?!!--)", "&lt;", text)


def draw(figure, salt):
    """A matplotlib Figure as (PNG, SVG), the same bytes each time."""
    png, svg = io.BytesIO(), io.StringIO()
    figure.savefig(png, format="png", dpi=150, metadata={"Software": None})
    figure.set_layout_engine("none")  # it is laid out, and takes its time
    figure.savefig(svg, format="svg", metadata={"Date": None, "Creator": None})
    return png.getvalue(), own_ids(svg.getvalue(), salt)


def own_ids(svg, salt):
    """matplotlib numbers some ids from 1 on: made different, as several plots are on one page."""
    return re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{salt}-", svg)


def write(folder, pages, name, pictures, to_markdown, more=""):
    """All files of one run. pictures: key -> (PNG, SVG); to_markdown({key: link}); `more` Markdown is for
    the HTML page alone. Returns the paths."""
    linked = {key: f"{name}-{key}.png" for key in pictures}
    text = to_markdown(linked)
    files = {folder / f"{name}.md": text.encode()}
    for key, (png, svg) in pictures.items():
        files[folder / linked[key]] = png
        files[pages / f"{name}-{key}.svg"] = svg.encode()
    html = to_html(name, text + more, {linked[key]: svg for key, (_, svg) in pictures.items()})
    files[pages / f"{name}.html"] = html.encode()
    for path, content in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return list(files)


def _parser_for(description, pattern):
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("results", nargs="*", type=Path, metavar="RESULT.json",
                        help=f"results files (default: docs/results/{pattern})")
    return parser


def parse_options(description, pattern, arguments):
    """The results files, -o and --pages, for `folders_of`."""
    parser = _parser_for(description, pattern)
    parser.add_argument("-o", "--output", type=Path, metavar="FOLDER",
                        help="where .md and .png go (default: beside each results file)")
    parser.add_argument("--pages", type=Path, metavar="FOLDER",
                        help="where .html and .svg go (default: OUTPUT, or else build/results)")
    return parser.parse_args(arguments)


def folders_of(options, path):
    """The two folders for the results file `path`."""
    return options.output or path.parent, options.pages or options.output or PAGES


# ---- one page of several results files -----------------------------------------------------------


def make(arguments, description, pattern, wanted_format, template, context, plot=None):
    """The command of a benchmark: results files named NAME-cpNNN.json make one page, NAME.md, of the template,
    which gets `name`, `paths`, and what context(records) returns. With plot, which makes {key: (PNG, SVG)} of the
    records, it gets `plots`, {key: link}, too, and an HTML page is made. The exit status."""
    parser = _parser_for(description, pattern)
    parser.add_argument("-o", "--output", type=Path, metavar="FOLDER",
                        help="where to write (default: beside the results files)")
    options = parser.parse_args(arguments)
    paths = options.results or sorted(RESULTS.glob(pattern))
    if not paths:
        print(f"page: no {pattern} in {RESULTS}", file=sys.stderr)
        return 1
    groups = {}
    for path in paths:
        groups.setdefault(path.stem.rpartition("-cp")[0] or path.stem, []).append(path)
    failed = 0
    for name, members in groups.items():
        try:
            records = [load(path, wanted_format) for path in members]
        except (OSError, ValueError) as error:
            print(f"page: {error}", file=sys.stderr)
            failed = 1
            continue
        folder = options.output or members[0].parent
        filled = {"name": name, "paths": members, **context(records)}
        if plot is None:
            made = [folder / f"{name}.md"]
            made[0].write_text(render(template, **filled), encoding="utf-8")
        else:
            made = write(folder, options.output or PAGES, name, plot(records), partial(_with_plots, template, filled))
        for page in made:
            print(f"page: {page}")
    return failed


def _with_plots(template, filled, links):
    return render(template, plots=links, **filled)


def load(path, wanted_format):
    with open(path, encoding="utf-8") as file:
        record = json.load(file)
    if record.get("format") != wanted_format:
        raise ValueError(f"{path}: made by an older benchmark; run it again")
    return record
