"""Soak: everything at once, for as long as wanted, and nothing may be lost, wrong or left behind.

    make soak MINUTES=60 [SEED=...]
    python tests/soak/soak.py --minutes 60 [--seed X] [--from-round N --rounds 1] [--acts a_pool,a_bank]

A round draws acts (acts.py) from the seed and runs them in two threads at the same time, the main thread among
them. Meanwhile a thread collects garbage, callbacks of the collector send messages, SIGALRM's handler sends messages
from within whatever the main thread does, and acts make and end interpreters. Between two rounds everything is
quiet, and these must be exact:

- messages and sums: each act counts its own; what callbacks and the signal handler sent has arrived;
- refcounts of objects that something outside of the messages refers to (witnesses), in each interpreter;
- tunnels and shared objects in the process: back to what they were before;
- exceptions that Python could only print: none.

Memory must be flat. After the warm-up (a quarter of the time, a minute at least) the rest of the time is cut into ten
parts, and each part has its least memory. The Theil-Sen slope over these ten, times nine, is the growth. Which memory:

- under PYTHONMALLOC=malloc the live bytes of malloc, which is exact: what nobody refers to any more and is not freed
  would be in it. The growth may be 0.5 MB and 1 % of the median, and for each interpreter that came and went what
  an idle one leaves live and 4 kB;
- on objtunnel's heap resident memory, with the holes that a heap keeps: 8 MB and 5 % of the median, and for each
  interpreter what an idle one costs and 16 kB (the blocks of some kB that stay behind lie between others).

An idle interpreter imports the same modules and does nothing; a process of its own is asked. 3.13 frees an interpreter's
memory in part only.

Any violation ends the run with exit status 1. A line a minute says how far it is, and where memory is: in objtunnel's
heap, and what malloc holds beside it. A round can be run again by its number; what the scheduler decides, a seed cannot
repeat. With --acts only these acts are drawn, to find the one that memory grows with.
"""

import argparse
import faulthandler
import gc
import os
import pickle
import random
import signal
import subprocess
import sys
import threading
import time
import traceback
from pathlib import Path
from statistics import median

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "python" / "helpers")]

import acts  # noqa: E402
import jobs  # noqa: E402
import left_behind  # noqa: E402
import objtunnel  # noqa: E402
import stress  # noqa: E402
from objtunnel import Interpreter, LockingDict, Tunnel, _core  # noqa: E402

THREADS = 2
ACTS_A_ROUND = 3  # of each thread
RECIPES = 150
HANG = 600  # seconds without the end of a round
PARTS = 10  # of the time after the warm-up
EXACT = os.environ.get("PYTHONMALLOC") == "malloc"
MEASURE = "live" if EXACT else "resident"
GROWTH = (0.5, 0.01) if EXACT else (8.0, 0.05)  # MB, and a share of the median
MORE = 4e3 if EXACT else 16e3  # bytes that an interpreter may leave beside what an idle one does


def memory():
    """MB of it."""
    return left_behind.live() / 1e6 if EXACT else left_behind.resident() / 1e6


def where():
    """Memory, and where it is."""
    in_use = objtunnel.heap_info().in_use / 1e6
    return f"{memory():.1f} MB" if EXACT else f"{memory():.1f} MB (heap {in_use:.1f}, malloc {left_behind.held() / 1e6:.1f})"


# ---- what an interpreter leaves behind that only came and went ----------------------------------------


LEFT_BY_IDLE = """
import gc, sys
import left_behind
from objtunnel import Interpreter
measure = getattr(left_behind, sys.argv[2])
code = "for name in %r:\\n    try: __import__(name)\\n    except ImportError: pass" % sys.argv[1].split(",")
def come_and_go():
    interpreter = Interpreter()
    interpreter.call(exec, code)
    interpreter.close()
def least_of(n):
    found = []
    for _ in range(n):
        come_and_go()
        gc.collect()
        found.append(measure())
    return min(found)
for _ in range(15): come_and_go()
print(*[least_of(int(sys.argv[3])) for _ in range(6)])
"""


OF_IDLE = 15  # interpreters in each of the parts, of which each has its least memory


def slope_of(lows):
    """Theil and Sen's: by how much each of them is more than the one before. One that is off does not count."""
    return median((lows[j] - lows[i]) / (j - i) for i in range(len(lows)) for j in range(i + 1, len(lows)))


def left_by_idle(modules):
    """Bytes by which memory grows for each interpreter that imports the same modules and does nothing else.

    Resident memory goes up and down by the memory of a whole interpreter, so one difference would tell little.
    That objtunnel adds nothing to what stock Python leaves is counted by tests/python/test_interpreter_leaves.py.
    """
    folders = os.pathsep.join(folder for folder in sys.path if folder)
    done = subprocess.run([sys.executable, "-c", LEFT_BY_IDLE, ",".join(modules), MEASURE, str(OF_IDLE)],
                          env={**os.environ, "PYTHONPATH": folders}, stdout=subprocess.PIPE, text=True, check=True)
    return max(0.0, slope_of([float(low) for low in done.stdout.split()]) / OF_IDLE)


# ---- memory --------------------------------------------------------------------------------------------


class Memory:
    """Memory at the end of each round, and what may be of its growth."""

    def __init__(self):
        self.samples = []  # (seconds, MB, interpreters made so far)

    def note(self, seconds, made):
        self.samples.append((seconds, memory(), made))

    def verdict(self, seconds, idle):
        """(whether it is flat, a line that says why)."""
        warm = max(60.0, seconds / 4)
        late = [sample for sample in self.samples if sample[0] >= warm]
        width = (seconds - warm) / PARTS
        parts = [[s for s in late if warm + i * width <= s[0] < warm + (i + 1) * width] for i in range(PARTS)]
        if seconds - warm < 60 or sum(map(bool, parts)) < PARTS:
            return True, f"memory: the run is too short to tell (rounds after {warm:.0f} s: {len(late)})"
        lows = [min(mb for _, mb, _ in part) for part in parts]
        slope = slope_of(lows)
        growth = slope * (PARTS - 1)
        made = late[-1][2] - late[0][2]
        allowed = GROWTH[0] + GROWTH[1] * median(lows)
        of_idle = made * (idle + MORE) / 1e6
        per_hour = slope / width * 3600
        line = (f"{MEASURE} memory: after {warm:.0f} s of warm-up it grew by {growth:.1f} MB in {seconds - warm:.0f} s "
                f"({per_hour:.1f} MB an hour; lows {' '.join(f'{mb:.0f}' for mb in lows)}); allowed: {allowed:.1f} MB, "
                f"and {of_idle:.1f} MB for {made} interpreters that came and went (one that only imports leaves "
                f"{idle / 1e3:.1f} kB; {MORE / 1e3:.0f} kB more are allowed)")
        return growth <= allowed + of_idle, line


# ---- the run ----------------------------------------------------------------------------------------------


def draw_recipes(number):
    command = [sys.executable, str(HERE / "recipes_of.py"), str(number), str(RECIPES)]
    return pickle.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)


class Soak:
    def __init__(self, seed, chosen):
        """chosen: the acts that are drawn."""
        self.seed, self.chosen = seed, chosen
        self.counts = LockingDict({"sent by callbacks": 0, "unraisable": 0, "send timeouts": 0, "recv timeouts": 0})
        self.collected, self.alarms = Tunnel(), Tunnel()
        self.received = self.alarms_sent = self.alarms_received = self.messages = 0
        self.made = [0]
        self.by_act = {}
        jobs.begin(self.counts, self.collected)
        recipes = draw_recipes(seed)
        self.casts = []
        for _ in range(THREADS):
            crew = [Interpreter("soak") for _ in range(2)]
            for interpreter in crew:
                interpreter.call(jobs.begin, self.counts, self.collected)
            self.casts.append(acts.Cast(*crew, self.counts, self.collected, recipes, self.made))
        self.memory = Memory()

    # ---- what goes on beside

    def on_alarm(self, *_):
        """May be interrupted by itself, so messages may come in another order than their numbers."""
        self.alarms_sent += 1
        self.alarms.send([self.alarms_sent])

    def start_alarms(self, rng):
        signal.signal(signal.SIGALRM, self.on_alarm)
        signal.setitimer(signal.ITIMER_REAL, 0.01, rng.uniform(0.005, 0.05))

    def stop_alarms(self):
        signal.setitimer(signal.ITIMER_REAL, 0)

    # ---- a round

    def draw(self, rng, in_main):
        acts_of_it = [act for act in self.chosen if in_main or act not in acts.MAIN_ONLY]
        return rng.choices(acts_of_it, k=ACTS_A_ROUND) if acts_of_it else []

    def round(self, number):
        rng = random.Random(f"{self.seed}/{number}")
        plans = [self.draw(rng, in_main=i == 0) for i in range(THREADS)]
        seeds = [rng.randrange(2**32) for _ in range(THREADS)]
        failures, end = [], threading.Event()
        jobs.callbacks.on = True
        collector = threading.Thread(target=stress.collect_all_the_time, args=[end])
        others = [threading.Thread(target=self.play, args=[i, plans[i], seeds[i], failures])
                  for i in range(1, THREADS)]
        self.start_alarms(rng)
        for thread in (collector, *others):
            thread.start()
        self.play(0, plans[0], seeds[0], failures)
        for thread in others:
            thread.join()
        end.set()
        collector.join()
        self.stop_alarms()
        for act, text in failures:
            print(f"soak: VIOLATION in round {number}, {act}:\n{text}", flush=True)
        return not failures

    def play(self, i, plan, seed, failures):
        rng = random.Random(seed)
        for act in plan:
            try:
                n = act(self.casts[i], random.Random(rng.randrange(2**32)))
            except BaseException:
                failures.append((act.__name__, traceback.format_exc()))
                return
            self.messages += n
            done, messages = self.by_act.get(act.__name__, (0, 0))
            self.by_act[act.__name__] = done + 1, messages + n

    # ---- between two rounds

    def live(self):
        LockingDict()  # the last handle of a dict frees what was retired
        return _core._live_tunnels(), _core._live_shared()

    def settle(self, number, at_first):
        """What is not exact, in words; [] if all is. at_first: live() after the first round, or None."""
        wrong = []
        for cast in self.casts:
            for worker in (cast.a, cast.b):
                try:
                    worker.call(jobs.settle, True)
                except BaseException:
                    wrong.append(traceback.format_exc())
        try:
            jobs.settle()
        except AssertionError as error:
            wrong.append(str(error))
        for _ in self.collected.until():
            self.received += 1
        if self.received != self.counts["sent by callbacks"]:
            wrong.append(f"callbacks sent {self.counts['sent by callbacks']}, {self.received} arrived")
        arrived = sorted(n for (n,) in self.alarms.until())
        if arrived != list(range(self.alarms_received + 1, self.alarms_sent + 1)):
            wrong.append(f"the signal handler sent {self.alarms_received + 1} to {self.alarms_sent}: {arrived} arrived")
        self.alarms_received = self.alarms_sent
        if self.counts["unraisable"]:
            wrong.append(f"{self.counts['unraisable']} exceptions that Python could only print")
        if at_first is not None:
            end = time.monotonic() + 20  # interpreters end and drop arguments a little after they have answered
            while self.live() != at_first and time.monotonic() < end:
                time.sleep(0.01)
                gc.collect()
            if self.live() != at_first:
                wrong.append(f"(tunnels, shared objects): {self.live()}, after the first round {at_first}")
        for text in wrong:
            print(f"soak: VIOLATION after round {number}: {text}", flush=True)
        return wrong

    def run(self, seconds, first, rounds):
        began = said = time.monotonic()
        at_first, done, good = None, 0, True
        while good and time.monotonic() - began < seconds and done != rounds:
            faulthandler.dump_traceback_later(HANG, exit=True)
            good = self.round(first + done)
            good = not self.settle(first + done, at_first) and good
            if at_first is None:
                time.sleep(1)
                at_first = self.live()
            done += 1
            now = time.monotonic()
            self.memory.note(now - began, self.made[0])
            if now - said >= 60 or now - began >= seconds or not good:
                said = now
                print(f"soak: {(now - began) / 60:5.1f} min, {done} rounds, {self.messages} messages, "
                      f"{self.made[0]} interpreters came and went, {self.alarms_sent} signals, "
                      f"{self.received} from callbacks, {self.counts['send timeouts']} + "
                      f"{self.counts['recv timeouts']} timeouts, {where()}", flush=True)
        faulthandler.cancel_dump_traceback_later()
        return good, time.monotonic() - began

    def close(self):
        for cast in self.casts:
            cast.a.close()
            cast.b.close()


def acts_named(names):
    known = {act.__name__: act for act in acts.ACTS + acts.MAIN_ONLY}
    unknown = [name for name in names.split(",") if name not in known]
    if unknown:
        raise argparse.ArgumentTypeError(f"no such act: {', '.join(unknown)} (there are {', '.join(known)})")
    return [known[name] for name in names.split(",")]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--from-round", type=int, default=0, metavar="N", help="the number of the first round")
    parser.add_argument("--rounds", type=int, default=-1, metavar="N", help="end after so many")
    parser.add_argument("--acts", type=acts_named, default=acts.ACTS + acts.MAIN_ONLY, metavar="NAME,...",
                        help="draw only these acts")
    options = parser.parse_args()
    seed = random.SystemRandom().randrange(2**32) if options.seed is None else options.seed
    print(f"soak: Python {sys.version.split()[0]}, {objtunnel.heap_info().allocator}, {options.minutes:g} minutes, "
          f"seed {seed}", flush=True)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # background jobs of a shell ignore it
    faulthandler.enable()
    soak = Soak(seed, options.acts)
    idle = left_by_idle(soak.casts[0].a.call(jobs.modules_of_a_worker))
    good, seconds = soak.run(options.minutes * 60, options.from_round, options.rounds)
    soak.close()
    for name, (times, messages) in sorted(soak.by_act.items()):
        print(f"soak: {name}: {times} times, {messages} messages")
    flat, line = soak.memory.verdict(seconds, idle)
    print(f"soak: {line}")
    if not flat:
        print(f"soak: VIOLATION: {MEASURE} memory is not flat")
    print(f"soak: {'no violation' if good and flat else 'FAILED'} in {seconds / 60:.1f} minutes, seed {seed}")
    return 0 if good and flat else 1


if __name__ == "__main__":
    sys.exit(main())
