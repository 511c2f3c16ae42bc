"""The tunnel against its peers, in one run. See benchmarks/README.md.

    make bench-tunnel BENCH_ARGS="--filter floats --json out.json"
"""

import gc
import json
import os
import subprocess
import sys
from pathlib import Path
from statistics import median, quantiles

import heap
import json_trees
import measure
import memory
import report
import small
import targets
from payloads import PAYLOADS, QUICK_DIVISOR, SMOKE_DIVISOR

sys.path.append(str(Path(__file__).resolve().parents[1] / "common"))
import command  # noqa: E402
import machine  # noqa: E402

MEMORY, HEAP, PING_PONG, THROUGHPUT, FLOOR = "memory", "heap", "ping_pong", "throughput", "floor"
NAMES = [*PAYLOADS, MEMORY, HEAP, PING_PONG, THROUGHPUT, FLOOR]
HEAP_PAYLOADS = ("floats_1e6", "rows_1e5", "matrices_2e5")
PING_PONG_TARGET = 10e-6  # seconds
THROUGHPUT_TARGET = 1e6  # messages a second
MEMORY_TARGET = {"container": 16, "leaf": 0.1}  # bytes; a tenth stands for nothing
ROUNDS, WARM_UP_ROUNDS, MESSAGES = 5000, 500, 100_000


def main():
    parser = command.parser_for(__doc__, quick="sizes divided by ten, three repetitions: under a minute")
    parser.add_argument("--gc", action="store_true",
                        help="leave the garbage collector on while timing")
    parser.add_argument("--cold", action="store_true",
                        help="time with the caches as building the payload left them, code too")
    return command.main(parser, NAMES, Run)


class Run(command.Run):
    format = 2  # 1 had no such number

    def __init__(self, options):
        super().__init__(options, control_seconds=0.002 if options.smoke else 0.1)
        self.divisor = SMOKE_DIVISOR if options.smoke else QUICK_DIVISOR if options.quick else 1
        self.collecting = options.gc
        self.warm = not options.cold
        self.cpus = os.sched_getaffinity(0)
        pinned = len(self.cpus) > 1 and not options.no_pin
        self.sender_cpu, self.receiver_cpu = sorted(self.cpus)[:2] if pinned else (None, None)

    def run(self, names):
        record = {**self.begin(), "json": json_trees.SOURCE, "sizes_divided_by": self.divisor,
                  "collector_on": self.collecting, "warm": self.warm,
                  "pinned": [self.sender_cpu, self.receiver_cpu], "transfers": {}, "skipped": []}
        self.announce()
        self.control.sample()
        self.run_transfers([PAYLOADS[name] for name in names if name in PAYLOADS], record)
        if MEMORY in names:
            record[MEMORY] = self.run_memory(record)
            report.print_memory(record[MEMORY])
        if HEAP in names:
            record[HEAP] = self.run_heap()
            report.print_heap(record[HEAP])
        if PING_PONG in names:
            record[PING_PONG] = self.run_ping_pong()
            report.print_round_trips(record[PING_PONG])
        if THROUGHPUT in names:
            record[THROUGHPUT] = self.run_throughput()
            report.print_streams(record[THROUGHPUT])
        if FLOOR in names:
            record[FLOOR] = self.run_floor(record)
            report.print_floor(record[FLOOR])
        record["control"] = {"threads": self.control.threads, "samples": self.control.samples}
        report.print_targets(targets.figures(record))
        report.print_control(record["control"])
        return record

    def announce(self):
        threads = "not pinned"
        if self.sender_cpu is not None:
            threads = f"pinned to CPUs {self.sender_cpu} and {self.receiver_cpu}"
        print(f"A fresh payload in each repetition; gc.collect() before it is built, the collector "
              f"{'on' if self.collecting else 'off'} from then on,\n"
              f"for tunnel and pickle alike; {'code warmed up' if self.warm else 'caches cold'}. "
              f"Tunnel and pickle alternate. Threads {threads}.")
        print(f"JSON: {json_trees.SOURCE}.")
        if self.smoke:
            print("Smoke run: sizes divided by a thousand; the figures mean nothing.")
        elif self.divisor > 1:
            print(f"Quick run: sizes divided by {self.divisor}; quote figures of a full one.")

    def sample_control(self):
        """The control, with its threads free to run anywhere."""
        with measure.unpinned(self.cpus):
            return self.control.sample()

    # ---- trees

    def run_transfers(self, payloads, record):
        cases = record["transfers"]
        measure.pin(self.sender_cpu)
        try:
            with self.connect() as link:
                for payload in payloads:
                    if machine.free_memory() < payload.memory // self.divisor:
                        self.skip(record, payload.name,
                                  f"it needs {payload.memory / 1e9:.1f} GB of memory, "
                                  f"{machine.free_memory() / 1e9:.1f} GB are free")
                        continue
                    cases[payload.name] = self.run_transfer(link, payload)
                    self.sample_control()
        finally:
            os.sched_setaffinity(0, self.cpus)
            gc.enable()
        if cases:
            report.print_transfers(cases)
            report.print_afterwards(cases)

    def connect(self):
        with measure.unpinned(self.cpus):
            return measure.Link(self.receiver_cpu, self.collecting, self.warm)

    def run_transfer(self, link, payload):
        """All ways of one payload, alternating; times in seconds."""
        size = payload.scaled(self.divisor)
        ways = {"tunnel": lambda: link.measure_tunnel(payload, size),
                "pickle": lambda: measure.measure_pickle(payload, size, self.collecting,
                                                           self.warm),
                "own": lambda: link.measure_own(payload, size)}
        if measure.interpreters is not None and payload.queue:
            ways["queue"] = lambda: link.measure_queue(payload, size)
        if measure.bareloop is not None and payload.loop:
            ways["loop"] = lambda: measure.measure_loop(payload, size, self.collecting, self.warm)
        if "seconds" in payload.targets:
            ways["again"] = lambda: measure.measure_again(payload, size, self.collecting)
            ways["handed"] = lambda: measure.measure_handed(payload, size, self.collecting,
                                                            self.warm)
        link.check(payload, size)
        samples = {way: [] for way in ways}
        for way in command.alternate(ways, self.repeat):
            samples[way].append(ways[way]())
        case = {way: collect(samples[way]) for way in ways}
        case["receipt"] = {key: samples["tunnel"][-1][key] for key in measure.COUNTS}
        case["pickle_bytes"] = samples["pickle"][-1]["bytes"]
        return {"size": size, "targets": self.applying(payload.targets), **case}

    def applying(self, target):
        """What is to be reached is not meant for the sizes of a smoke run."""
        return None if self.smoke else target

    def skip(self, record, name, why):
        record["skipped"].append(name)
        print(f"{name}: skipped, {why}")

    # ---- memory

    def run_memory(self, record):
        """Bytes that send() takes beside the tree."""
        if memory.allocations is None:
            self.skip(record, MEMORY, "`make bench-tunnel` builds what it takes")
            return {"cases": {}}
        cases = {}
        gc.disable()
        for payload in PAYLOADS.values():
            if payload.containers is not None:
                size = payload.scaled(self.divisor)
                cases[payload.name] = {"containers": payload.containers(size), "size": size,
                                       **memory.measure(payload, size)}
        gc.enable()
        return {"cases": cases, "targets": self.applying(MEMORY_TARGET)}

    def run_heap(self):
        """Building and deleting where the builder or the receiver deletes; times in seconds."""
        cases = {}
        measure.pin(self.sender_cpu)
        try:
            with self.connect() as link:
                for payload in map(PAYLOADS.get, HEAP_PAYLOADS):
                    cases[payload.name] = self.run_heap_case(link, payload)
                    self.sample_control()
        finally:
            os.sched_setaffinity(0, self.cpus)
            gc.enable()
        return cases

    def run_heap_case(self, link, payload):
        size = payload.scaled(self.divisor)
        samples = {way: [] for way in heap.WAYS}
        for way in command.alternate(heap.WAYS, self.repeat):
            samples[way].append(heap.measure(link, payload, size, way))
        return {"size": size, **{way: collect(samples[way]) for way in heap.WAYS}}

    # ---- small messages

    def run_ping_pong(self):
        divisor = min(100, self.divisor)
        outcome = {way: {"times": [], "medians": []} for way in small.PING_PONG_WAYS}
        for way, opener, ping, share in self.alternate(small.PING_PONG_WAYS):
            rounds = max(5, int(ROUNDS * share) // divisor)
            with self.open(opener) as (send, receive):
                ping(send, receive, max(2, int(WARM_UP_ROUNDS * share) // divisor))
                times = [t / 1e9 for t in ping(send, receive, rounds)]
            outcome[way]["times"] += times
            outcome[way]["medians"].append(median(times))
        for samples in outcome.values():
            times = samples.pop("times")
            cuts = quantiles(times, n=100, method="inclusive")
            samples.update(rounds=len(times), p50=cuts[49], p90=cuts[89], p99=cuts[98])
        return {"target_seconds": self.applying(PING_PONG_TARGET), "ways": outcome}

    def run_throughput(self):
        divisor = min(100, self.divisor)
        outcome = {way: {"times": []} for way in small.THROUGHPUT_WAYS}
        for way, opener, stream, share in self.alternate(small.THROUGHPUT_WAYS):
            messages = max(5, int(MESSAGES * share) // divisor)
            with self.open(opener) as (send, receive):
                stream(send, receive, max(5, messages // 10))
                outcome[way]["times"].append(stream(send, receive, messages) / 1e9)
            outcome[way]["messages"] = messages
        return {"target_rate": self.applying(THROUGHPUT_TARGET), "ways": outcome}

    def run_floor(self, record):
        """Nanoseconds a message without Python: {case of floor.c: one of each repetition}."""
        program = os.environ.get("OT_BENCH_CHANNEL")
        if program is None:
            self.skip(record, FLOOR, "`make bench-tunnel` builds what it takes")
            return {}
        done = subprocess.run([program, "--json", str(200 if self.smoke else 20_000)],
                              capture_output=True, text=True, check=True)
        return json.loads(done.stdout)

    def alternate(self, ways):
        """All ways in each repetition, back and forth, a control before each repetition."""
        for way in command.alternate(ways, self.repeat, self.sample_control):
            yield way, *ways[way]

    def open(self, opener):
        return small.pinned(opener, self.cpus, self.sender_cpu, self.receiver_cpu)


def collect(samples):
    """[{what: ns}] of the repetitions to {what: [seconds]}, with the total of what adds up."""
    columns = {key: [None if s[key] is None else s[key] / 1e9 for s in samples]
               for key in samples[0] if key in measure.TIMES}
    parts = [key for key in measure.TOTALS if key in columns]
    if parts:
        columns["total"] = [sum(times) for times in zip(*(columns[key] for key in parts))]
    return columns


if __name__ == "__main__":
    sys.exit(main())
