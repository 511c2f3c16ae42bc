"""The jobs of bench_pool.py: named functions of a module, as every kind of pool finds them."""

import json

from objtunnel.demo import nbody

import json_trees

TEXTS = sorted(json_trees._TEXTS, key=len, reverse=True)


def increment(n):
    return n + 1


def parse(n):
    """The tree of one of the texts; the longest comes first."""
    return json.loads(TEXTS[n % len(TEXTS)])


def simulate(steps):
    return nbody.run(steps, every=10)
