"""Turns results of `make lab-bench` into a page, plots and findings.

    make report                                     # every docs/results/lab-*.json, and the others
    build/venv/bin/python lab/lab_report.py out.json -o /tmp

Writes, named after each JSON: NAME.md with the findings and the plots NAME-{cost,scaling,heap}.png
beside it, and into build/results NAME.html, all of it in one file, and the plots as .svg. Without arguments it also writes the claims into
docs/lock-inc.md, between the two marks there. The same results give the same bytes.
"""

import argparse
import sys
from html import escape
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[1:1] = [str(HERE), str(HERE.parent / "benchmarks" / "refcount")]
import lab_plots  # noqa: E402
from lab_findings import Findings, how_to_read, to_excerpt, to_markdown  # noqa: E402
from lab_results import BadResults, Results  # noqa: E402
from page import (STYLE, _heading, _list, _table, _text, add_folder_options,  # noqa: E402
                  folders_of, write_files)

DOCS = HERE.parent / "docs"
DEFAULT_FOLDER = DOCS / "results"
BEGIN = "<!-- make report writes what follows, from docs/results/lab-*.json -->"
END = "<!-- up to here -->"


def main(arguments=None):
    options = parse_options(arguments)
    failed = 0
    excerpts = []
    for path in options.results or sorted(DEFAULT_FOLDER.glob("lab-*.json")):
        try:
            results = Results.load(path)
        except (BadResults, OSError) as error:
            print(f"report: {path}: {error}", file=sys.stderr)
            failed = 1
            continue
        for made in write(results, path.stem, *folders_of(options, path)):
            print(f"report: {made}")
        excerpts.append(to_excerpt(Findings(results), path.stem))
    if not options.results and excerpts and not failed:
        path = DOCS / "lock-inc.md"
        path.write_text(insert(path.read_text(encoding="utf-8"), excerpts), encoding="utf-8")
        print(f"report: {path}")
    return failed


def insert(text, excerpts):
    """The text with the excerpts, and nothing else, between the two marks."""
    before, _, rest = text.partition(BEGIN)
    _, mark, after = rest.partition(END)
    if not mark:
        raise SystemExit(f"report: docs/lock-inc.md lacks the lines\n{BEGIN}\n{END}")
    return before + "\n".join([BEGIN, "", *excerpts, END]) + after


def parse_options(arguments):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", nargs="*", type=Path, metavar="RESULT.json",
                        help="results files (default: docs/results/lab-*.json)")
    add_folder_options(parser)
    return parser.parse_args(arguments)


def write(results, name, folder, pages):
    """All files of one run; returns their paths."""
    findings = Findings(results)
    return write_files(folder, pages, name, lab_plots.render(results),
                       lambda linked: to_markdown(findings, name, linked),
                       lambda inline: to_html(findings, name, inline))


def to_html(findings, name, plots):
    parts = [f"<h1>{_text(name)}</h1>",
             '<p class="lead">What refcounts cost in CPython itself, measured by <code>make '
             "lab-bench</code>. Every number is computed from its JSON file.</p>",
             _table("", [], findings.facts, "text")]
    if findings.cautions:
        parts.append(f'<div class="care">{_list(findings.cautions)}</div>')
    parts.append(f'<p class="note">{_text(how_to_read(findings.results))}</p>')
    for chapter in findings.chapters:
        parts += [_heading(chapter.title), f'<p class="lead">{_text(chapter.lead)}</p>',
                  _list(chapter.sentences)]
        if chapter.plot in plots:
            parts.append(_figure(chapter.plot, plots[chapter.plot]))
        parts += [_table(*table) for table in chapter.tables]
    workloads = [f"`{name}`: {text}" for name, text in findings.results.workloads.items()]
    parts += [_heading("The workloads"), _list(workloads)]
    body = "\n".join(part for part in parts if part)
    return ('<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            f"<title>{_text(name)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
            f"{body}\n</body>\n</html>\n")


def _figure(key, svg):
    svg = svg[svg.index("<svg"):]  # without XML declaration and doctype
    caption = lab_plots.CAPTIONS[key]
    svg = svg.replace("<svg ", f'<svg role="img" aria-label="{escape(caption)}" ', 1)
    return f"<figure>\n{svg}<figcaption>{_text(caption)}</figcaption>\n</figure>"


if __name__ == "__main__":
    sys.exit(main())
