"""Streams: round trips of event loops, pipelines, frames of a video; each beside what else there is, in one run. See
benchmarks/README.md.

    make bench-stream BENCH_ARGS="--json docs/results/stream-NAME-cp313.json"
"""

import gc
import sys

from objtunnel._progress import progress

import command
import frames
import round_trips
import stages
import stream_page

SUBJECTS = {"round_trip": round_trips, "pipeline": stages, "frames": frames}


def main():
    return command.main(command.parser_for(__doc__), list(SUBJECTS), Run)


class Run(command.Run):
    def run(self, names):
        record = {**self.begin(), "json": stages.SOURCE, "cases": {}}
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
            for name in command.alternate(open_ways, self.repeat, lambda: case["control"].append(self.control.sample())):
                gc.collect()
                case["times"].setdefault(name, []).append(open_ways[name].run(items) / items)
        finally:
            for way in open_ways.values():
                way.close()
        return case


if __name__ == "__main__":
    sys.exit(main())
