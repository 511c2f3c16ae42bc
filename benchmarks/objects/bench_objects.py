"""Shared objects beside their peers, in one run. See benchmarks/README.md.

    make bench-objects BENCH_ARGS="--filter 'lock|array' --json out.json"
"""

import argparse
import json
import os
import re
import sys

from objtunnel.demo.control import Control

import cases
import machine
import measure
import scaling
import tables
from catalogue import CASES, SCALINGS
from report import print_control, print_targets

FORMAT = 1  # of the JSON
NAMES = [case.name for case in (*CASES, *SCALINGS)]


def main():
    options = parse_options()
    chosen = [name for name in NAMES if re.search(options.filter, name)]
    if options.list:
        print("\n".join(chosen))
        return 0
    if not chosen:
        print(f"bench_objects: no case matches {options.filter!r}; --list names them",
              file=sys.stderr)
        return 2
    if options.json is not None:
        open(options.json, "a").close()  # better now than after minutes
    record = Run(options).run(chosen)
    if options.json is not None:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump(record, file, indent=1)
            file.write("\n")
    return 0


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--filter", default="", metavar="REGEX", help="only cases that match")
    parser.add_argument("--repeat", type=int, metavar="N", help="repetitions of each case (9)")
    parser.add_argument("--json", metavar="FILE", help="write the machine and all samples to FILE")
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true",
                      help="a tenth of the time and of the keys, three repetitions")
    size.add_argument("--smoke", action="store_true",
                      help="one short repetition, to see that it runs")
    parser.add_argument("--no-pin", action="store_true",
                        help="let the scheduler move the threads between cores")
    parser.add_argument("--list", action="store_true", help="name the cases and leave")
    options = parser.parse_args()
    if options.repeat is not None and options.repeat < 1:
        parser.error("--repeat must be 1 or more")
    return options


class Run:
    """One invocation; also the options that cases see.

    seconds: how long one measurement takes, about; keys: of the large dicts; pair: the CPUs of two
    workers, None each if not pinned; cpus: all of them.
    """

    def __init__(self, options):
        self.smoke = options.smoke
        self.seconds = 0.001 if options.smoke else 0.01 if options.quick else 0.1
        self.keys = 1000 if options.smoke else 100_000 if options.quick else 1_000_000
        self.repeat = options.repeat or (1 if options.smoke else 3 if options.quick else 9)
        self.cpus = os.sched_getaffinity(0)
        pinned = len(self.cpus) > 1 and not options.no_pin
        self.pair = sorted(self.cpus)[:2] if pinned else [None, None]
        self.control = Control(min(2, len(self.cpus)), seconds=self.seconds)

    def run(self, names):
        """Measure and print; return the record for the JSON."""
        description = machine.describe()
        self.announce(description)
        record = {"format": FORMAT, "machine": description, "repeat": self.repeat,
                  "seconds": self.seconds, "keys": self.keys, "pinned": self.pair, "cases": {},
                  "scaling": {}}
        for case in CASES:
            if case.name in names:
                self.sample_control()
                record["cases"][case.name] = {
                    "what": case.what, "goals": self.applying(case.goals),
                    "missing": case.missing, "ways": self.run_case(case)}
                tables.print_case(case.name, record["cases"][case.name])
        for case in SCALINGS:
            if case.name in names:
                record["scaling"][case.name] = {
                    "what": case.what, "goals": self.applying(case.goals),
                    "missing": case.missing, **scaling.run(case, self)}
                tables.print_scaling(case.name, record["scaling"][case.name])
        record["control"] = {"threads": self.control.threads, "samples": self.control.samples}
        print_targets([*cases.figures(record), *scaling.figures(record)])
        print_control(record["control"])
        return record

    def run_case(self, case):
        measure.pin(self.pair[0])
        try:
            return cases.run(case, self)
        finally:
            os.sched_setaffinity(0, self.cpus)

    def applying(self, goals):
        """What is to be reached is not meant for a smoke run."""
        return type(goals)() if self.smoke else goals

    def sample_control(self):
        """The control, with its threads free to run anywhere."""
        with measure.unpinned(self.cpus):
            return self.control.sample()

    def announce(self, description):
        for key, value in description.items():
            print(f"{key:16} {value}", file=sys.stderr)
        for warning in machine.warnings(description):
            print(f"WARNING: {warning}", file=sys.stderr)
        threads = ("not pinned" if self.pair[0] is None
                   else f"pinned to CPUs {self.pair[0]} and {self.pair[1]}")
        print(f"{self.repeat} repetitions of about {self.seconds * 1000:g} ms, in which the ways "
              f"take turns; medians. Two workers: {threads}.")
        if self.smoke:
            print("Smoke run: the figures mean nothing.")


if __name__ == "__main__":
    sys.exit(main())
