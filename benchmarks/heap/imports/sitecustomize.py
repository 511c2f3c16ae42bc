"""Runs at the start of each process that bench_heap.py measures: imports objtunnel if it is objtunnel's turn."""

import os

if os.environ.get("OT_BENCH_HEAP") == "objtunnel":
    import objtunnel
    assert objtunnel.heap_info().installed, "there is nothing to measure: objtunnel has not installed its heap"
