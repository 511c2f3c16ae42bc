"""The findings, every table and the plots as one HTML file that needs nothing else."""

import re
from html import escape
from pathlib import Path

from findings import how_to_read, skipped_rows
from results import Figure
from section import fairness
from words import count, factor, listing, number, rate, spread, threads

PAGES = Path(__file__).resolve().parents[2] / "build" / "results"

STYLE = """
:root { color-scheme: light; --ink: #1c1c1c; --dim: #5c5c5c; --rule: #dcdcdc; --tint: #f5f6f7; }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 72rem; padding: 1.5rem 1.25rem 4rem; color: var(--ink);
  background: #fff; font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.7rem; margin: 0 0 .25rem; }
h2 { font-size: 1.3rem; margin: 2.6rem 0 .4rem; padding-top: .6rem;
  border-top: 2px solid var(--rule); }
h3 { font-size: 1.05rem; margin: 1.8rem 0 .2rem; }
p { margin: .4rem 0 .8rem; max-width: 48rem; }
p.lead, p.note { color: var(--dim); }
p.note { font-size: .88rem; }
ul { margin: .4rem 0 1rem; padding-left: 1.2rem; max-width: 52rem; }
li { margin: .3rem 0; }
nav { font-size: .92rem; margin: 1rem 0; }
nav a { margin-right: .9rem; white-space: nowrap; }
a { color: #0072b2; }
code { font: .92em ui-monospace, Menlo, Consolas, monospace; }
.care { border-left: 4px solid #e69f00; background: #fdf7ea; padding: .1rem 1rem; }
.wide { overflow-x: auto; margin: .5rem 0 1.2rem; }
.wide + p.note { margin-top: -.9rem; }
table { border-collapse: collapse; font-size: .86rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; font-weight: 600; padding: .3rem 0; }
th, td { padding: .22rem .7rem; border-bottom: 1px solid var(--rule); text-align: right;
  white-space: nowrap; }
th { background: var(--tint); font-weight: 600; }
th:first-child, td:first-child { text-align: left; }
table.text td, table.text th { text-align: left; white-space: normal; vertical-align: top; }
table.text td:first-child { white-space: nowrap; }
table.text.free td:first-child { white-space: normal; }
tr.wrong td { color: var(--dim); font-style: italic; }
figure { margin: 1rem 0 1.6rem; }
figure svg { width: 100%; height: auto; }
figcaption { color: var(--dim); font-size: .88rem; }
@media print { body { max-width: none; } figure, table { break-inside: avoid; } }
"""

CAPTIONS = {
    "throughput": "Operations a second of all threads together against the number of threads, "
                  "logarithmic. Streams: the largest array.",
    "cost": "What one thread waits for an operation.",
    "streams": "What one thread waits for a pair, against the size of the array.",
}


def write_files(folder, pages, name, pictures, to_markdown, to_html):
    """All files of one run: what is committed (.md, .png) goes to `folder`, what anybody can make again
    from the JSON (.html, .svg) to `pages`. pictures: key -> (PNG, SVG). Returns their paths."""
    linked = {key: f"{name}-{key}.png" for key in pictures}
    files = {folder / f"{name}.md": to_markdown(linked).encode()}
    for key, (png, svg) in pictures.items():
        files[folder / linked[key]] = png
        files[pages / f"{name}-{key}.svg"] = svg.encode()
    files[pages / f"{name}.html"] = to_html({key: svg for key, (_, svg) in pictures.items()}).encode()
    for path, content in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return list(files)


def add_folder_options(parser):
    """-o and --pages, for `folders_of`."""
    parser.add_argument("-o", "--output", type=Path, metavar="FOLDER",
                        help="where .md and .png go (default: beside each results file)")
    parser.add_argument("--pages", type=Path, metavar="FOLDER",
                        help="where .html and .svg go (default: OUTPUT, or else build/results)")


def folders_of(options, path):
    """The two folders for the results file `path`."""
    return options.output or path.parent, options.pages or options.output or PAGES


def to_html(findings, name, plots):
    """plots: key -> SVG."""
    results = findings.results
    chapters = [("in-short", "In short")]
    chapters += [(_anchor(section.title), section.title) for section in findings.sections]
    chapters += [("all-cases", "All cases"), ("control", "Control"), ("skipped", "Skipped")]
    links = "\n".join(f'<a href="#{anchor}">{_text(title)}</a>' for anchor, title in chapters)
    parts = [f"<h1>{_text(name)}</h1>",
             '<p class="lead">What reference counts cost, measured by <code>make '
             "bench-refcount</code>. Every number is computed from its JSON file.</p>",
             _table("", [], findings.facts, "text"), f"<nav>{links}</nav>"]
    if findings.cautions:
        parts.append(f'<div class="care">{_list(findings.cautions)}</div>')
    parts += [_heading("In short"),
              _table("", ["question", "answer", "ns"], findings.answers, "text free"),
              f'<p class="note">{_text(how_to_read(results))}</p>']
    left = dict(plots)
    for section in findings.sections:
        parts += [_heading(section.title), f'<p class="lead">{_text(section.lead)}</p>',
                  _list(section.sentences)]
        if section.plot in left:  # at its first mention only
            parts.append(_figure(section.plot, left.pop(section.plot)))
        parts += [_table(*table) for table in section.tables]
    parts += [_heading("All cases"), *_all_cases(results)]
    parts += [_heading("Control"), *_control(results)]
    parts += [_heading("Skipped"),
              _table("", ["pattern", "objects", "variant", "threads", "why"],
                     skipped_rows(results), "text") or "<p>Nothing.</p>"]
    body = "\n".join(part for part in parts if part)
    return (f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            f"<title>{_text(name)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
            f"{body}\n</body>\n</html>\n")


# ---- every case --------------------------------------------------------------------------------

def _all_cases(results):
    for pattern, row in results.patterns.items():
        groups = results.groups(pattern)
        if not groups:
            continue
        yield f"<h3><code>{_text(pattern)}</code></h3>"
        yield f'<p class="lead">{_text(row["text"])}</p>'
        for (_, size, n), cases in groups.items():
            caption = threads(n) + (f", {count(size)} objects" if size is not None else "")
            yield _cases_table(caption, row["op"], cases, results)


def _cases_table(caption, op, cases, results):
    header = ["variant", f"ns a {op}", "min to max", "all threads", "scaling", "to plain",
              "fairness"]
    counters = [(title, field) for title, field in (
        ("cycles", "cycles_per_op"), ("instructions", "instructions_per_op"),
        ("misses", "misses_per_op"), ("HITM", "hitm_per_op"))
        if any(getattr(case, field) is not None for case in cases)]
    header += [title for title, _ in counters]
    rows, wrong = [], []
    for case in cases:
        ratio = Figure.of(case.ratio_to_plain) if case.ratio_to_plain else None
        row = [f"`{case.variant}`" + (" loses counts" if case.wrong else ""),
               number(case.time.mid), spread(case.time), rate(case.rate.mid),
               number(case.scaling) if case.scaling is not None else "-",
               factor(ratio) if ratio and case.variant != "plain" else "-",
               fairness(case) if case.threads > 1 else "-"]
        row += [_optional(getattr(case, field)) for _, field in counters]
        rows.append(row)
        wrong.append(case.wrong)
    return _table(caption, header, rows, wrong=wrong) + _notes(cases)


def _notes(cases):
    """Below the table, for many cases have the same."""
    named = {}
    for case in cases:
        if case.note:
            named.setdefault(case.note, []).append(f"`{case.variant}`")
    texts = [note if 2 * len(names) > len(cases) else f"{listing(names)}: {note}"
             for note, names in named.items()]
    return "".join(f'\n<p class="note">{_text(text)}.</p>' for text in texts)


def _optional(x):
    return "-" if x is None else number(x)


def _control(results):
    yield ("<p>How many times the work of one thread so many independent threads did, in between "
           "the patterns. Less than the number of threads: the machine did not give its cores, or "
           "slowed them down.</p>")
    keys = dict.fromkeys((row["pattern"], row["threads"]) for row in results.control)
    rows = []
    for pattern, n in keys:
        given = results.times_one(n, pattern)
        rows.append([f"`{pattern}`", str(n), number(given.mid), spread(given),
                     f"{given.mid / min(n, results.cpus):.0%}"])
    yield _table("", ["pattern", "threads", "times one", "min to max", "of the cores"], rows) or (
        "<p>Not sampled in this run.</p>")


# ---- pieces ------------------------------------------------------------------------------------

def _text(markdown):
    """Escaped; backquotes become code."""
    return re.sub(r"`([^`]*)`", r"<code>\1</code>", escape(markdown, quote=False))


def _anchor(title):
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")


def _heading(title):
    return f'<h2 id="{_anchor(title)}">{_text(title)}</h2>'


def _list(items):
    lines = [f"<li>{_text(item)}</li>" for item in items]
    return "\n".join(["<ul>", *lines, "</ul>"]) if lines else ""


def _figure(key, svg):
    svg = svg[svg.index("<svg"):]  # without XML declaration and doctype
    caption = CAPTIONS[key]
    svg = svg.replace("<svg ", f'<svg role="img" aria-label="{escape(caption)}" ', 1)
    return f"<figure>\n{svg}<figcaption>{_text(caption)}</figcaption>\n</figure>"


def _table(caption, header, rows, kind="", wrong=()):
    if not rows:
        return ""
    lines = ['<div class="wide">', f'<table class="{kind}">' if kind else "<table>"]
    if caption:
        lines.append(f"<caption>{_text(caption)}</caption>")
    if header:
        lines.append("<thead><tr>" + "".join(f"<th>{_text(cell)}</th>" for cell in header)
                     + "</tr></thead>")
    lines.append("<tbody>")
    for i, row in enumerate(rows):
        mark = ' class="wrong"' if i < len(wrong) and wrong[i] else ""
        lines.append(f"<tr{mark}>" + "".join(f"<td>{_text(cell)}</td>" for cell in row) + "</tr>")
    lines += ["</tbody>", "</table>", "</div>"]
    return "\n".join(lines)
