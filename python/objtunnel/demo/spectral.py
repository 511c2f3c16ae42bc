"""spectral-norm of the Computer Language Benchmarks Game: the largest singular value of the
infinite matrix a[i][j] = 1 / ((i+j) * (i+j+1) / 2 + i + 1), cut off at n x n, by ten rounds of the
power method."""

from array import array
from math import sqrt

# What the benchmark prints, to nine decimals.
PUBLISHED = {100: "1.274219991", 5500: "1.274224153"}


def run(n):
    """Return {"n": n, "norm": float, "u": array('d'), "v": array('d')}."""
    u = array("d", [1.0]) * n
    for _ in range(10):
        v = _times_a_transposed_a(u)
        u = _times_a_transposed_a(v)
    norm = sqrt(sum(x * y for x, y in zip(u, v)) / sum(y * y for y in v))
    return {"n": n, "norm": norm, "u": u, "v": v}


def printed(result):
    """What the benchmark's program would have printed."""
    return f"{result['norm']:.9f}"


def _times_a_transposed_a(u):
    return _times_transposed(_times(u))


def _times(u):
    """A u"""
    return array("d", [
        sum(x / ((i + j) * (i + j + 1) // 2 + i + 1) for j, x in enumerate(u))
        for i in range(len(u))])


def _times_transposed(u):
    """A' u"""
    return array("d", [
        sum(x / ((i + j) * (i + j + 1) // 2 + j + 1) for j, x in enumerate(u))
        for i in range(len(u))])
