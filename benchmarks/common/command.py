"""What the commands of the benchmarks have in common: choosing cases, repetitions, the control, and writing the record."""

import argparse
import os
import re
import sys

from objtunnel.demo.control import Control

import files
import machine


def parser_for(document, quick="three repetitions", smoke="one repetition of small sizes, to see that it runs"):
    """A parser with the options that all have. document: the module's, whose first line describes the command; quick,
    smoke: the help of the two options that make it shorter."""
    parser = argparse.ArgumentParser(description=document.splitlines()[0])
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


class Run:
    """One invocation: its options, its control. A benchmark's own has run(names), which measures, prints, and returns the
    record for the JSON."""

    format = 1  # of the JSON
    repetitions = 9  # of each case, where no option says otherwise

    def __init__(self, options, control_seconds=None):
        """control_seconds: how long each of the control's threads spins."""
        self.smoke = options.smoke
        self.repeat = options.repeat or (1 if options.smoke else 3 if options.quick else self.repetitions)
        self.workers = min(2, len(os.sched_getaffinity(0)))
        self.control = Control(self.workers, seconds=control_seconds or (0.002 if options.smoke else 0.2))

    def begin(self):
        """Say what machine this is; the record's first fields."""
        description = machine.describe()
        machine.announce(description)
        return {"format": self.format, "machine": description, "repeat": self.repeat, "workers": self.workers,
                "smoke": self.smoke}


def alternate(ways, repeat, before=lambda: None):
    """Each way once in each of so many repetitions, back and forth: what drifts hits all ways alike. before() is called
    before each repetition."""
    order = list(ways)
    for _ in range(repeat):
        before()
        yield from order
        order.reverse()


def main(parser, names, run):
    """Parse the command line and have run(options).run(the chosen names) make the record. The exit status."""
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
        files.try_to_write(options.json)  # better now than after minutes
    record = run(options).run(chosen)
    if options.json is not None:
        files.write_json(options.json, record)
    return 0
