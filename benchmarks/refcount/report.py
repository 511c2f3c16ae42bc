"""Turns results of `make bench-refcount` into a page, plots and findings.

    make report                                     # every docs/results/refcount-*.json
    make report REPORT_ARGS="out.json -o /tmp"

Writes, named after each JSON: NAME.md with the findings and the plots NAME-{throughput,cost,streams}.png
beside it, and into build/results NAME.html, all of it in one file, and the plots as .svg. The same results give the same bytes.
"""

import argparse
import sys
from pathlib import Path

import page
import plots
from findings import Findings, to_markdown
from results import BadResults, Results

DEFAULT_FOLDER = Path(__file__).resolve().parents[2] / "docs" / "results"


def main(arguments=None):
    options = parse_options(arguments)
    paths = options.results or sorted(DEFAULT_FOLDER.glob("refcount-*.json"))
    if not paths:
        print(f"report: no refcount-*.json in {DEFAULT_FOLDER}; make one with\n"
              '    make bench-refcount BENCH_ARGS="--json docs/results/refcount-NAME.json"',
              file=sys.stderr)
        return 1
    failed = 0
    for path in paths:
        try:
            results = Results.load(path)
        except (BadResults, OSError) as error:
            print(f"report: {path}: {error}", file=sys.stderr)
            failed = 1
            continue
        for made in write(results, path.stem, *page.folders_of(options, path)):
            print(f"report: {made}")
    return failed


def parse_options(arguments):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", nargs="*", type=Path, metavar="RESULT.json",
                        help="results files (default: docs/results/refcount-*.json)")
    page.add_folder_options(parser)
    return parser.parse_args(arguments)


def write(results, name, folder, pages):
    """All files of one run; returns their paths."""
    findings = Findings(results)
    return page.write_files(folder, pages, name, plots.render(results),
                       lambda linked: to_markdown(findings, name, linked),
                       lambda inline: page.to_html(findings, name, inline))


if __name__ == "__main__":
    sys.exit(main())
