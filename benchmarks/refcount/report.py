"""Turns results of `make bench-refcount` into a page, plots and findings.

    make report                                     # every docs/results/refcount-*.json
    make report REPORT_ARGS="out.json -o /tmp"

Writes, named after each JSON: NAME.md with the findings, NAME.html with all of it in one file, and
the plots NAME-{throughput,cost,streams}.{png,svg}. The same results give the same bytes.
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
        for made in write(results, path.stem, options.output or path.parent):
            print(f"report: {made}")
    return failed


def parse_options(arguments):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", nargs="*", type=Path, metavar="RESULT.json",
                        help="results files (default: docs/results/refcount-*.json)")
    parser.add_argument("-o", "--output", type=Path, metavar="FOLDER",
                        help="where to write (default: beside each results file)")
    return parser.parse_args(arguments)


def write(results, name, folder):
    """All files of one run; returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    findings, pictures = Findings(results), plots.render(results)
    files = {}
    for key, (png, svg) in pictures.items():
        files[f"{name}-{key}.png"] = png
        files[f"{name}-{key}.svg"] = svg.encode()
    linked = {key: f"{name}-{key}.png" for key in pictures}
    files[f"{name}.md"] = to_markdown(findings, name, linked).encode()
    inline = {key: svg for key, (_, svg) in pictures.items()}
    files[f"{name}.html"] = page.to_html(findings, name, inline).encode()
    for file, content in files.items():
        (folder / file).write_bytes(content)
    return [folder / file for file in files]


if __name__ == "__main__":
    sys.exit(main())
