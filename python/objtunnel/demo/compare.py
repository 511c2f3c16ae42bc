"""The same jobs three ways: here one after the other; in interpreters that hand their results
over; in interpreters that pickle them. Repeated, in alternating order, with a control between.
"""

import gc
from statistics import median
from time import perf_counter

from objtunnel._progress import progress
from objtunnel.demo.control import Control
from objtunnel.demo.table import format_spread, format_table, format_time

SERIAL, TUNNEL, PICKLE = "serial", "tunnel", "pickle"
_HEADER = ("", "median", "spread", "speed-up", "of control", "moving", "of the time")


class Comparison:
    """Times of the three ways.

    check(results) is called with the results of every single run, outside the measured time, and
    raises WrongResult if they are not what they must be. control_seconds: how long each thread of
    the control spins, for one sample.
    """

    def __init__(self, pool, workers, step, jobs, check, control_seconds=0.1):
        self._pool = pool
        self._step = step
        self._jobs = jobs
        self._check = check
        self.workers = workers
        self.control = Control(workers, control_seconds)
        self.elapsed = {SERIAL: [], TUNNEL: [], PICKLE: []}
        self.underway = {TUNNEL: [], PICKLE: []}
        self.speedup = {TUNNEL: [], PICKLE: []}
        self.share = {TUNNEL: [], PICKLE: []}
        self.moved = self.copied = 0

    def run(self, repeat, warm_up):
        """Measure so many times, after each of the warm_up jobs was done once everywhere.

        Ways that come first once come last the next time.
        """
        for job in warm_up:
            self._step(*job)
            self._pool.call_each(self._step, job)
        gc.freeze()  # what is here to stay (checks, too) is not to burden one side's collector
        ways = [SERIAL, TUNNEL, PICKLE]
        for _ in progress(range(repeat), "measuring"):
            self._run_once(ways)
            ways.reverse()

    def _run_once(self, ways):
        controls = [self.control.sample()]
        for way in ways:
            gc.collect()
            self._run_serial() if way == SERIAL else self._run_parallel(way)
            controls.append(self.control.sample())
        for way in (TUNNEL, PICKLE):
            speedup = self.elapsed[SERIAL][-1] / self.elapsed[way][-1]
            self.speedup[way].append(speedup)
            self.share[way].append(speedup / (sum(controls) / len(controls)))

    def _run_serial(self):
        began = perf_counter()
        results = [self._step(*job) for job in self._jobs]
        self.elapsed[SERIAL].append(perf_counter() - began)
        self._check(results)

    def _run_parallel(self, way):
        run = self._pool.map(self._step, self._jobs, pickled=way == PICKLE)
        self.elapsed[way].append(run.elapsed)
        self.underway[way].append(run.underway)
        if way == TUNNEL:
            self.moved, self.copied = run.moved, run.copied
        self._check(run.results)

    # ---- the outcome

    def to_dict(self):
        """All samples, in seconds, for JSON."""
        return {"workers": self.workers, "elapsed": self.elapsed, "underway": self.underway,
                "speedup": self.speedup, "share_of_control": self.share,
                "control": self.control.samples, "moved": self.moved, "copied": self.copied}

    def format(self):
        n = self.workers
        interpreters = "1 interpreter" if n == 1 else f"{n} interpreters"
        rows = [
            ("main interpreter alone", format_time(median(self.elapsed[SERIAL])),
             format_spread(self.elapsed[SERIAL]), "1.00x", "", "", ""),
            self._parallel_row(f"{interpreters}, tunnel", TUNNEL),
            self._parallel_row(f"{interpreters}, pickle", PICKLE),
            (f"control: {n} C thread{'s' * (n > 1)}", "", "",
             f"{median(self.control.samples):.2f}x", "100 %", "", ""),
        ]
        return format_table(_HEADER, rows, indent="  ") + "\n" + self._format_notes()

    def _parallel_row(self, name, way):
        underway = median(self.underway[way])
        elapsed = median(self.elapsed[way])
        return (name, format_time(elapsed), format_spread(self.elapsed[way]),
                f"{median(self.speedup[way]):.2f}x", f"{100 * median(self.share[way]):.0f} %",
                format_time(underway), f"{100 * underway / elapsed:.1f} %")

    def _format_notes(self):
        low, high = min(self.control.samples), max(self.control.samples)
        ratio = median(self.underway[PICKLE]) / median(self.underway[TUNNEL])
        return (f"  Speed-ups are medians over the runs; control {low:.2f}x .. {high:.2f}x. "
                f"Moving: send and recv (with\n"
                f"  dumps and loads), all threads summed. The tunnel moved {self.moved:,} objects "
                f"and copied {self.copied:,};\n"
                f"  pickling took {ratio:.1f}x its time.")
