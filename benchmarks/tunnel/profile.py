"""Where the time of sending goes, by function: perf's samples of what the benchmark's targets are about.

    make profile-tunnel                           # docs/results/tunnel-profile-$(hostname).md
    make profile-tunnel PROFILE=FILE.md

Takes Linux's `perf` with leave to sample a process of one's own. Trees go round in one interpreter,
so that what is sampled is send() and recv(); small lists go one way to another one, and what is
shown is each end's thread.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from objtunnel import Interpreter, Tunnel

from payloads import PAYLOADS

sys.path.append(str(Path(__file__).resolve().parents[1] / "common"))
import machine  # noqa: E402

SECONDS, SHOWN, RATE = 4, 12, 4000
TREES = ("floats_1e6", "rows_1e5", "json_files", "floats_1e6_1pct_kept", "bytearray_8MB")
SMALL = "small lists, one way"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("output", nargs="?", metavar="FILE.md", help="where to write (stdout)")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child is not None:
        return stream() if options.child == SMALL else go_round(PAYLOADS[options.child])
    if shutil.which("perf") is None:
        print("profile: there is no `perf` here (Debian: linux-perf)", file=sys.stderr)
        return 2
    text = page()
    if options.output is None:
        print(text, end="")
    else:
        with open(options.output, "w", encoding="utf-8") as file:
            file.write(text)
        print(f"profile: {options.output}")
    return 0


# ---- what is sampled -----------------------------------------------------------------------------

def go_round(payload):
    """Send a tree and receive it, over and over."""
    tree = payload.make(payload.size)
    kept = payload.keep(tree) if payload.keep is not None else None
    tunnel = Tunnel()
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        tunnel.send(tree)
        tree = tunnel.recv()
        if kept is not None:  # what was copied is the receiver's: keep the same of it
            kept = payload.keep(tree)
    print(f"threads {os.getpid()}", flush=True)
    return 0


def stream():
    tunnel, tids = Tunnel(maxsize=1024), Tunnel()
    with Interpreter("receiver") as receiver:
        done = receiver.submit(receive_all, tunnel, tids)
        other = tids.recv()
        i, end = 0, time.monotonic() + SECONDS
        while time.monotonic() < end:
            for _ in range(1000):
                tunnel.send(["item", i, i + 0.5])
                i += 1
        tunnel.send(None)
        done.result()
    print(f"threads {os.getpid()} {other}", flush=True)
    return 0


def receive_all(tunnel, tids):
    import threading
    tids.send(threading.get_native_id())
    while tunnel.recv() is not None:
        pass


# ---- the samples ---------------------------------------------------------------------------------

def page():
    description = machine.describe()
    parts = ["# Where the time of sending goes",
             f"`make profile-tunnel` wrote this page: {description['cpu']}, {description['cores']} "
             f"cores, Python {description['python'].split()[0]}, commit {description['commit']}, "
             f"{RATE} samples a second of each thread's CPU time. Shares are of the samples of one "
             "thread; what has less than 1 % is left out, and all but the first "
             f"{SHOWN}. A number stands for a function whose name the library does not tell."]
    for case in (*TREES, SMALL):
        parts += section(case)
    return "\n\n".join(parts) + "\n"


def section(case):
    with tempfile.TemporaryDirectory() as folder:
        data = os.path.join(folder, "perf.data")
        done = subprocess.run(["perf", "record", "-q", "-e", "cpu-clock", "-F", str(RATE), "-o", data,
                               sys.executable, os.path.abspath(__file__), "--child", case],
                              capture_output=True, text=True)
        if done.returncode != 0:
            raise SystemExit(f"profile: {case}: {done.stderr.strip()}")
        threads = next(line.split()[1:] for line in done.stdout.splitlines()
                       if line.startswith("threads "))
        names = ("sender", "receiver") if len(threads) > 1 else ("send and recv",)
        parts = [f"## `{case}`" if case != SMALL else f"## {SMALL}"]
        for name, thread in zip(names, threads):
            rows = [f"| {share} | {library} | {symbol} |"
                    for share, library, symbol in top(data, thread)]
            parts.append("\n".join([f"| {name} | in | function |", "| --- | --- | --- |", *rows]))
        return parts


def top(data, thread):
    """(share, library, function) of one thread, as shares of its own samples."""
    done = subprocess.run(["perf", "report", "-i", data, "--stdio", "--no-children", "-g", "none",
                           "--tid", thread, "--percentage", "relative", "-F",
                           "overhead,dso,sym", "-t", "\t"],
                          capture_output=True, text=True, check=True)
    found = []
    for line in done.stdout.splitlines():
        cells = [cell.strip() for cell in line.split("\t")]
        if line.startswith("#") or len(cells) < 3 or not cells[0].endswith("%"):
            continue
        share = float(cells[0].rstrip("%"))
        if share >= 1 and len(found) < SHOWN:
            symbol = cells[2].removeprefix("[.] ").removeprefix("[k] ")
            library = cells[1].strip("[]").partition(".")[0]
            found.append((f"{share:.0f} %", library, f"`{symbol}`"))
    return found


if __name__ == "__main__":
    sys.exit(main())
