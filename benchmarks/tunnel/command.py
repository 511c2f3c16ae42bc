"""What the commands of the benchmarks have in common: choosing cases, and writing the record."""

import argparse
import json
import re
import sys


def parser_for(description, quick, smoke):
    """A parser with the options that all have; the help of the two that make it shorter."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--filter", default="", metavar="REGEX", help="only cases that match")
    parser.add_argument("--repeat", type=int, metavar="N", help="repetitions of each case (9)")
    parser.add_argument("--json", metavar="FILE", help="write the machine and all samples to FILE")
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help=quick)
    size.add_argument("--smoke", action="store_true", help=smoke)
    parser.add_argument("--no-pin", action="store_true",
                        help="let the scheduler move the threads between cores")
    parser.add_argument("--list", action="store_true", help="name the cases and leave")
    return parser


def alternate(ways, repeat):
    """Each way once in each of so many repetitions, back and forth: what drifts hits all ways alike."""
    order = list(ways)
    for _ in range(repeat):
        yield from order
        order.reverse()


def main(parser, names, run):
    """Parse the command line and have `run(options, chosen names)` make the record. The exit
    status."""
    options = parser.parse_args()
    if options.repeat is not None and options.repeat < 1:
        parser.error("--repeat must be 1 or more")
    chosen = [name for name in names if re.search(options.filter, name)]
    if options.list:
        print("\n".join(chosen))
        return 0
    if not chosen:
        print(f"{parser.prog}: no case matches {options.filter!r}; --list names them",
              file=sys.stderr)
        return 2
    if options.json is not None:
        open(options.json, "a").close()  # better now than after minutes
    record = run(options, chosen)
    if options.json is not None:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump(record, file, indent=1)
            file.write("\n")
    return 0
