"""Turns results of `make lab-bench` into a page and plots.

    make report                                     # every docs/results/lab-*.json, and the others
    build/venv/bin/python lab/lab_report.py out.json -o /tmp

Writes, named after each JSON: NAME.md and its plots NAME-*.png beside it, and into build/results
NAME.html, all of it in one file, and the plots as .svg. Without arguments it also makes the pages of
docs/results/counts-*.json (who is counted) and writes the figures into docs/lock-inc.md, between the
two marks there. What one LOCK costs in C is taken from refcount-*.json beside each file. The same results
give the same bytes.
"""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[1:1] = [str(HERE), str(HERE.parent / "benchmarks" / "common")]
import claims  # noqa: E402
import counts_page  # noqa: E402
import files  # noqa: E402
import lab_page  # noqa: E402
import lab_plots  # noqa: E402
import pages  # noqa: E402
from counts_results import Counts  # noqa: E402
from lab_results import BadResults, Results  # noqa: E402

load = files.reader(Results, HERE / "lab.schema.json", since=2)
DOCS = HERE.parent / "docs"
DEFAULT_FOLDER = DOCS / "results"
BEGIN = "<!-- make report writes what follows, from docs/results/lab-*.json -->"
END = "<!-- up to here -->"


def main(arguments=None):
    options = pages.parse_options(__doc__.splitlines()[0], "lab-*.json", arguments)
    failed = 0
    runs, counts, in_c = {}, {}, {}
    for path in sorted(DEFAULT_FOLDER.glob("counts-*.json")):
        counted = Counts.load(path)
        counts[counted.variant] = counted
        if not options.results:
            for made in write_counts(counted, path.stem, *pages.folders_of(options, path)):
                print(f"report: {made}")
    for path in options.results or sorted(DEFAULT_FOLDER.glob("lab-*.json")):
        try:
            results, in_c = load(path), claims.runs_in_c(path.parent)
        except (BadResults, OSError) as error:
            print(f"report: {path}: {error}", file=sys.stderr)
            failed = 1
            continue
        for made in write(results, path.stem, *pages.folders_of(options, path), counts, in_c):
            print(f"report: {made}")
        runs[path.stem] = results
    if not options.results and runs and not failed:
        path = DOCS / "lock-inc.md"
        path.write_text(insert(path.read_text(encoding="utf-8"), said(runs, counts, in_c)), encoding="utf-8")
        print(f"report: {path}")
    return failed


def said(runs, counts, in_c):
    """What docs/lock-inc.md says of all runs: the claims, then an excerpt of each."""
    return [pages.render(HERE / "claims.md.j2", **claims.context(runs, counts, in_c)),
            *(to_excerpt(results, name, counts) for name, results in runs.items())]


def to_markdown(results, name, plots, counts=None, in_c=None):
    """plots: key -> link."""
    links = {key: plots.get(key) for key in lab_plots.ALL}
    price = claims.price_in_c(results, in_c or {})
    return pages.render(HERE / "lab.md.j2", plots=links, **lab_page.context(results, name, counts, price))


def to_excerpt(results, name, counts=None):
    return pages.render(HERE / "excerpt.md.j2", **lab_page.context(results, name, counts))


def counts_to_markdown(counts, name, plots):
    """plots: key -> link."""
    return pages.render(HERE / "counts.md.j2", plots={"hot": plots.get("hot")}, **counts_page.context(counts, name))


def write_counts(counts, name, folder, pages_folder):
    return pages.write(folder, pages_folder, name, lab_plots.render_counts(counts),
                       lambda links: counts_to_markdown(counts, name, links))


def insert(text, excerpts):
    return files.insert(text, "docs/lock-inc.md", BEGIN, END, "\n".join(["", "", *excerpts, ""]))


def write(results, name, folder, pages_folder, counts=None, in_c=None):
    """All files of one run; returns their paths."""
    return pages.write(folder, pages_folder, name, lab_plots.render(results, counts),
                       lambda links: to_markdown(results, name, links, counts, in_c))


if __name__ == "__main__":
    sys.exit(main())
