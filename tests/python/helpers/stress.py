"""Stress: trees go round between interpreters, are changed at each stop, and must add up.

    python tests/python/helpers/stress.py [--threads N] [--seconds S] [--seed X]

Each tree carries its own account: how many stops it made, and a sum over what it holds, which
every stop checks and extends. Meanwhile each interpreter collects garbage as fast as it can in a
thread of its own, and interpreters come and go. At the end every tree is there, and the stops of
all trees are the stops that the workers counted.
"""

import argparse
import array
import gc
import os
import random
import sys
import threading
import time

from objtunnel import Interpreter, Tunnel


def make_tree(rng, n):
    rows = [{"id": i, "name": f"row {i}", f"key{i % 7}": rng.random(), "xs": [float(i)] * 3,
             "t": (i * 1.5, None, b"%d" % i), "set": {i, str(i)}} for i in range(n)]
    shared = [rng.random()]
    tree = {"rows": rows, "shared": [shared, shared], "stops": 0, "log": [],
            "array": array.array("d", [0.0]), "bytes": bytearray(b"x")}
    tree["self"] = tree  # a cycle through it all
    return tree


def stop(tree, who, rng):
    """Check the account, change the tree, extend the account."""
    assert tree["self"] is tree and tree["shared"][0] is tree["shared"][1]
    assert tree["stops"] == len(tree["log"]) == len(tree["array"]) - 1 == len(tree["bytes"]) - 1
    for row in tree["rows"]:
        i = row["id"]
        assert row["xs"][0] == float(i) and row["t"] == (i * 1.5, None, b"%d" % i)
        assert i in row["set"] and str(i) in row["set"] and f"key{i % 7}" in row
    tree["stops"] += 1
    tree["log"].append(f"stop at {who}")
    tree["array"].append(who)
    tree["bytes"].append(who % 256)
    row = rng.choice(tree["rows"])
    row[f"visited {who}"] = [tree["stops"]]
    row["xs"].append(rng.random())
    if len(row["xs"]) > 50:
        row["xs"] = row["xs"][:3]


def collect_all_the_time(end):
    while not end.is_set():
        gc.collect()
        time.sleep(0.002)


def station(who, seed, inbox, outbox, keep_some):
    """Pass trees on until the inbox is closed; how many there were."""
    rng = random.Random(seed)
    end = threading.Event()
    collector = threading.Thread(target=collect_all_the_time, args=[end])
    collector.start()
    count, kept = 0, []
    try:
        for tree in inbox:
            stop(tree, who, rng)
            count += 1
            if keep_some and rng.random() < 0.3:  # an outside reference: copied, not moved
                kept = [rng.choice(tree["rows"]), tree["shared"]]
            outbox.send(tree)
            del tree
    finally:
        end.set()
        collector.join()
    return count, len(kept)


def round_trip(threads, seconds, seed, trees=6, rows=40):
    rng = random.Random(seed)
    tunnels = [Tunnel() for _ in range(threads + 1)]
    workers = [Interpreter(f"station-{i}") for i in range(threads)]
    futures = [w.submit(station, i, seed + i, tunnels[i], tunnels[i + 1], i % 2 == 1)
               for i, w in enumerate(workers)]
    for _ in range(trees):
        tunnels[0].send(make_tree(rng, rows))
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        tree = tunnels[-1].recv(timeout=60)
        if rng.random() < 0.02:
            with Interpreter() as passer_by:
                tree = passer_by.call(gives_back, [tree])[0]
        tunnels[0].send(tree)
        del tree
    total = 0
    for i in range(threads + 1):  # the trees, wherever they are, all go to the end
        tunnels[i].close()
        if i < threads:
            total += futures[i].result(60)[0]
    left = list(tunnels[-1])
    assert len(left) == trees, len(left)
    assert sum(tree["stops"] for tree in left) == total
    for w in workers:
        w.close()
    return total


def gives_back(box):
    return box


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--threads", type=int, default=max(2, os.cpu_count() or 2))
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    args = parser.parse_args()
    print(f"stress: {args.threads} interpreters, {args.seconds} s, seed {args.seed}", flush=True)
    total = round_trip(args.threads, args.seconds, args.seed)
    print(f"stress: {total} stops, all accounted for")
    return 0


if __name__ == "__main__":
    sys.exit(main())
