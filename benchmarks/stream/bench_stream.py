"""Streams: round trips of event loops, pipelines, frames of a video; each beside what else there is, in one run. See
benchmarks/README.md.

    make bench-stream BENCH_ARGS="--json docs/results/stream-NAME-cp313.json"
"""

import gc
import os
import sys

from objtunnel._progress import progress
from objtunnel.demo.control import Control

import command
import frames
import machine
import round_trips
import stages
import stream_page

FORMAT = 1  # of the JSON
SUBJECTS = {"round_trip": round_trips, "pipeline": stages, "frames": frames}


def main():
    parser = command.parser_for(__doc__.splitlines()[0], quick="three repetitions",
                                smoke="one repetition of small sizes, to see that it runs")
    return command.main(parser, list(SUBJECTS), lambda options, names: Run(options).run(names))


class Run:
    """One invocation: its options and its control."""

    def __init__(self, options):
        self.smoke = options.smoke
        self.repeat = options.repeat or (1 if options.smoke else 3 if options.quick else 9)
        self.workers = min(2, len(os.sched_getaffinity(0)))
        self.control = Control(self.workers, seconds=0.002 if self.smoke else 0.2)

    def run(self, names):
        """Measure and print; return the record for the JSON."""
        description = machine.describe()
        machine.announce(description)
        record = {"format": FORMAT, "machine": description, "repeat": self.repeat, "workers": self.workers,
                  "smoke": self.smoke, "json": stages.SOURCE, "cases": {}}
        for name in progress(names, "measuring"):
            record["cases"][name] = self.measure(SUBJECTS[name])
        print(stream_page.as_text(record))
        return record

    def measure(self, subject):
        """{"times": {way: [seconds for one item]}, "items", "left_out": {way: reason}, "control": [...]}. All ways are open
        throughout, and each repetition goes through them in the other direction."""
        items = subject.SMALL if self.smoke else subject.ITEMS
        case = {"items": items, "times": {}, "left_out": {}, "control": []}
        open_ways = {}
        try:
            for name, way in subject.WAYS.items():
                try:
                    open_ways[name] = way()
                    open_ways[name].run(subject.SMALL)  # warm
                except ImportError as error:
                    open_ways.pop(name, None)
                    case["left_out"][name] = str(error)
            order = list(open_ways)
            for _ in range(self.repeat):
                case["control"].append(self.control.sample())
                for name in order:
                    gc.collect()
                    case["times"].setdefault(name, []).append(open_ways[name].run(items) / items)
                order.reverse()
        finally:
            for way in open_ways.values():
                way.close()
        return case


if __name__ == "__main__":
    sys.exit(main())
