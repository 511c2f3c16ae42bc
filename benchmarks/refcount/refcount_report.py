"""Turns results of `make bench-refcount` into a page and plots.

    make report                                     # every docs/results/refcount-*.json
    make report REPORT_ARGS="out.json -o /tmp"

Writes, named after each JSON: NAME.md and the plots NAME-{throughput,cost,streams}.png beside it, and
into build/results NAME.html, all of it in one file with a table of every case, and the plots as .svg.
The same results give the same bytes.
"""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[1:1] = [str(HERE), str(HERE.parent / "common")]
import files  # noqa: E402
import pages  # noqa: E402
import plots  # noqa: E402
import refcount_page  # noqa: E402
from results import BadResults, Results  # noqa: E402

load = files.reader(Results, HERE / "refcount.schema.json", since=3)
DEFAULT_FOLDER = HERE.parents[1] / "docs" / "results"


def main(arguments=None):
    options = pages.parse_options(__doc__.splitlines()[0], "refcount-*.json", arguments)
    paths = options.results or sorted(DEFAULT_FOLDER.glob("refcount-*.json"))
    if not paths:
        print(f"report: no refcount-*.json in {DEFAULT_FOLDER}; make one with\n"
              '    make bench-refcount BENCH_ARGS="--json docs/results/refcount-NAME.json"',
              file=sys.stderr)
        return 1
    failed = 0
    for path in paths:
        try:
            results = load(path)
        except (BadResults, OSError) as error:
            print(f"report: {path}: {error}", file=sys.stderr)
            failed = 1
            continue
        for made in write(results, path.stem, *pages.folders_of(options, path)):
            print(f"report: {made}")
    return failed


def to_markdown(results, name, links):
    """links: plot's key -> file."""
    return pages.render(HERE / "refcount.md.j2", plots={key: links.get(key) for key in plots.ALL},
                        **refcount_page.context(results, name))


def all_cases(results):
    return pages.render(HERE / "cases.md.j2", groups=refcount_page.groups(results),
                        overview_header=refcount_page.OVERVIEW)


def write(results, name, folder, pages_folder):
    """All files of one run; returns their paths."""
    return pages.write(folder, pages_folder, name, plots.render(results),
                       lambda links: to_markdown(results, name, links), all_cases(results))


if __name__ == "__main__":
    sys.exit(main())
