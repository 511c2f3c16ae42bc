"""What a tree costs the thread that did not build it, on a free-threaded CPython. See benchmarks/README.md.

    make bench-ft BENCH_ARGS="--filter floats --json out.json"

Four states of the same tree, in one run and alternating: *own*, built by the measuring thread; *foreign*, built by
another one, which waits; *merged*, built by another one that has dropped its references, so that nobody is the owner
(of the items; what lies below them is foreign); *rebiased*, received from a Tunnel. Then pipelines of two threads, and
containers that threads use at once (locking.py).
"""

import gc
import queue
import sys
import threading
import time
from statistics import median

from objtunnel import Tunnel, owner, rebias
from objtunnel.demo.table import format_table, format_time

import command
import locking

STATES = ("own", "foreign", "merged", "rebiased")
SIZES = {"floats": 400_000, "rows": 40_000}
SMALL = {"floats": 4_000, "rows": 400}


# ---- trees ------------------------------------------------------------------------------------------

def make_floats(n):
    return [i + 0.5 for i in range(n)]


def make_rows(n):
    return [{"n": i + 1000, "x": i + 0.5, "s": f"row {i}", "t": [i + 0.25]} for i in range(n)]


MAKERS = {"floats": make_floats, "rows": make_rows}


class Builder:
    """A thread that builds when it is asked, and otherwise waits."""

    def __init__(self):
        self.jobs, self.done, self.tunnel = queue.SimpleQueue(), queue.SimpleQueue(), Tunnel()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while (job := self.jobs.get()) is not None:
            job()
            del job
            self.done.put(None)

    def do(self, job):
        self.jobs.put(job)
        self.done.get()

    def close(self):
        self.jobs.put(None)
        self.thread.join()


def own(builder, make, n):
    return make(n)


def foreign(builder, make, n):
    box = []
    builder.do(lambda: box.append(make(n)))
    return box.pop()


def merged(builder, make, n):
    box, kept = [], []
    builder.do(lambda: box.append(make(n)))
    kept += box[0]  # this thread counts a reference to each item ...
    builder.do(box[0].clear)  # ... and the owner's own goes
    return kept


def rebiased(builder, make, n):
    builder.do(lambda: builder.tunnel.send(make(n)))
    return builder.tunnel.recv()


BUILD = {"own": own, "foreign": foreign, "merged": merged, "rebiased": rebiased}


def check(state, tree):
    """That the tree is in the state that its row names."""
    one = owner(tree[len(tree) // 2])
    good = {"own": one.is_mine, "rebiased": one.is_mine, "merged": "merged" in one.flags,
            "foreign": one.thread is not None and not one.is_mine}[state]
    assert good, f"{state}: {one}"


# ---- what is done with them -------------------------------------------------------------------------

def op_sum(tree):
    sum(tree)


def op_iterate(tree):
    for _ in tree:
        pass


def op_copy(tree):
    list(tree)


def op_mutate_floats(tree):
    for i, x in enumerate(tree):
        tree[i] = x


def op_mutate_rows(tree):
    for row in tree:
        row["n"] += 1


def op_items(tree):
    for row in tree:
        for _ in row.items():
            pass


def op_read(tree):
    for row in tree:
        row["x"], row["s"], row["t"][0]


def op_drop(tree):
    tree.clear()


OPS = {
    "floats": {"sum": op_sum, "iterate": op_iterate, "copy": op_copy, "mutate": op_mutate_floats, "drop": op_drop},
    "rows": {"iterate": op_iterate, "read": op_read, "items": op_items, "mutate": op_mutate_rows, "drop": op_drop},
}
CASES = [f"{tree}_{op}" for tree, ops in OPS.items() for op in ops]
HANDOVER = ["floats_handover", "rows_handover"]
PIPES = ["pipeline_queue", "pipeline_share", "pipeline_rebiased"]


def in_new_thread(function, *args):
    result = []
    thread = threading.Thread(target=lambda: result.append(function(*args)))
    thread.start()
    thread.join()
    return result[0]


def walk(tree):
    """Each tree is as warm in the caches as a received one, and its owner stays: ids need no reference."""
    sum(map(id, tree))


def timed(function, *args):
    """Seconds of this thread's own processor time: the machine may be shared."""
    begin = time.thread_time()
    function(*args)
    return time.thread_time() - begin


class Run(command.Run):
    format = 2

    def __init__(self, options):
        super().__init__(options)
        self.sizes = SMALL if options.smoke else SIZES
        self.builder = Builder()

    def run(self, names):
        record = {**self.begin(), "sizes": self.sizes, "touch": {}, "handover": {}, "pipelines": {}, "locking": {},
                  "locking_missing": {}}
        containers = None
        for name in names:
            if name in CASES:
                record["touch"][name] = self.touch(*name.split("_"))
            elif name in HANDOVER:
                record["handover"][name] = self.hand_over(name.split("_")[0])
            elif name in locking.NAMES:
                containers = containers or locking.Locking(self.smoke, self.repeat)
                record["locking"][name] = containers.case(name)
                record["locking_missing"] = locking.MISSING
            else:
                record["pipelines"][name] = self.pipeline(name.split("_")[1])
        self.builder.close()
        print_record(record)
        return record

    def touch(self, tree_name, op):
        """{state: seconds of each repetition}, each on a fresh tree: the first touch."""
        times = {state: [] for state in STATES}
        for state in command.alternate(STATES, self.repeat):
            gc.collect()
            times[state].append(in_new_thread(self.touch_once, state, tree_name, op))
        return times

    def touch_once(self, state, tree_name, op):
        """Builder and toucher are new threads, so that no state finds the memory of an earlier one."""
        builder = Builder()
        tree = BUILD[state](builder, MAKERS[tree_name], self.sizes[tree_name])
        check(state, tree)
        walk(tree)
        gc.disable()
        seconds = timed(OPS[tree_name][op], tree)
        gc.enable()
        del tree
        builder.close()
        return seconds

    def hand_over(self, tree_name):
        """Seconds of send, of recv, and of rebias() of a foreign tree."""
        times = {"send": [], "recv": [], "rebias": []}
        make, n, b = MAKERS[tree_name], self.sizes[tree_name], self.builder

        def send():
            tree = make(n)
            times["send"].append(timed(b.tunnel.send, tree))

        for _ in range(self.repeat):
            gc.collect()
            b.do(send)
            box = []
            times["recv"].append(timed(lambda: box.append(b.tunnel.recv())))
            del box
            tree = foreign(b, make, n)
            times["rebias"].append(timed(rebias, tree))
            del tree
        return times

    def pipeline(self, way):
        """A producer of rows and a consumer that reads each tree three times; trees a second, memory, and how long the
        producer was held up afterwards, by counts that its queue has for it."""
        n = 20 if self.smoke else 60
        rows = self.sizes["rows"] // 10
        samples = {"trees_per_second": [], "peak_mb": [], "stall_ms": []}
        for _ in range(self.repeat):
            gc.collect()
            sample = run_pipeline(way, n, rows)
            for key, value in zip(samples, sample):
                samples[key].append(value)
        return samples


def run_pipeline(way, n, rows):
    if way == "queue":
        pipe = queue.Queue(4)
        put, get = pipe.put, pipe.get
    else:
        pipe = Tunnel(maxsize=4)
        put, get = (lambda tree: pipe.send(tree, share=way == "share")), pipe.recv
    resume, resumed, stall = threading.Event(), [], []

    def produce():
        for _ in range(n):
            put(make_rows(rows))
        put(None)
        resume.wait()
        stall.append((time.perf_counter() - resumed[0]) * 1e3)

    def consume():
        while (tree := get()) is not None:
            for _ in range(3):
                op_items(tree)
            op_mutate_rows(tree)
            tree.clear()

    reset_peak()
    producer, consumer = threading.Thread(target=produce), threading.Thread(target=consume)
    begin = time.perf_counter()
    producer.start()
    consumer.start()
    consumer.join()
    seconds = time.perf_counter() - begin
    peak = read_peak()
    resumed.append(time.perf_counter())
    resume.set()
    producer.join()
    return n / seconds, peak, stall[0]


def reset_peak():
    try:
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")
    except OSError:
        pass  # the peak is that of the process then


def read_peak():
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) / 1024 for line in file if line.startswith("VmHWM"))


# ---- printing ---------------------------------------------------------------------------------------

def ratio(times, state):
    """The median of state / own, pair by pair, with the least and greatest."""
    pairs = sorted(a / b for a, b in zip(times[state], times["own"]))
    return f"{median(pairs):.2f} ({pairs[0]:.2f}..{pairs[-1]:.2f})"


def print_record(record):
    if record["touch"]:
        rows = [[name, format_time(median(times["own"])), *(ratio(times, s) for s in STATES[1:])]
                for name, times in record["touch"].items()]
        print(format_table(["a tree, touched", "own", "foreign / own", "merged / own", "rebiased / own"], rows))
    if record["handover"]:
        rows = [[name, *(format_time(median(times[k])) for k in ("send", "recv", "rebias"))]
                for name, times in record["handover"].items()]
        print("\n" + format_table(["handing it over", "send", "recv", "or rebias()"], rows))
    if record["pipelines"]:
        rows = [[name, f"{median(s['trees_per_second']):.1f}", f"{median(s['peak_mb']):.0f} MB",
                 f"{median(s['stall_ms']):.2f} ms"] for name, s in record["pipelines"].items()]
        print("\n" + format_table(["producer and consumer", "trees/s", "peak RSS", "producer's stall"], rows))
    locking.print_cases(record)


def main():
    if not hasattr(sys, "_is_gil_enabled") or sys._is_gil_enabled():
        sys.exit("bench_ft: this Python has a GIL, and its objects have no owners")
    return command.main(command.parser_for(__doc__), CASES + HANDOVER + PIPES + locking.NAMES, Run)


if __name__ == "__main__":
    sys.exit(main())
