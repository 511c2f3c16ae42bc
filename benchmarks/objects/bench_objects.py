"""Shared objects beside their peers, in one run. See benchmarks/README.md.

    make bench-objects BENCH_ARGS="--filter 'lock|array' --json out.json"
"""

import os
import sys

import cases
import command
import measure
import scaling
import tables
from catalogue import CASES, SCALINGS
from report import print_control, print_targets

NAMES = [case.name for case in (*CASES, *SCALINGS)]


def main():
    parser = command.parser_for(__doc__, quick="a tenth of the time and of the keys, three repetitions",
                                smoke="one short repetition, to see that it runs")
    return command.main(parser, NAMES, Run)


class Run(command.Run):
    """One invocation; also the options that cases see.

    seconds: how long one measurement takes, about; keys: of the large dicts; pair: the CPUs of two
    workers, None each if not pinned; cpus: all of them.
    """

    format = 2  # 1 had one time for both workers

    def __init__(self, options):
        self.seconds = 0.001 if options.smoke else 0.01 if options.quick else 0.1
        self.keys = 1000 if options.smoke else 100_000 if options.quick else 1_000_000
        self.cpus = os.sched_getaffinity(0)
        pinned = len(self.cpus) > 1 and not options.no_pin
        self.pair = sorted(self.cpus)[:2] if pinned else [None, None]
        super().__init__(options, self.seconds)

    def run(self, names):
        record = {**self.begin(), "seconds": self.seconds, "keys": self.keys, "pinned": self.pair, "cases": {},
                  "scaling": {}}
        self.announce()
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

    def announce(self):
        threads = ("not pinned" if self.pair[0] is None
                   else f"pinned to CPUs {self.pair[0]} and {self.pair[1]}")
        print(f"{self.repeat} repetitions of about {self.seconds * 1000:g} ms, in which the ways "
              f"take turns; medians. Two workers: {threads}.")
        if self.smoke:
            print("Smoke run: the figures mean nothing.")


if __name__ == "__main__":
    sys.exit(main())
