"""What bench_behaviours.py measures, in a process of its own: one case, one repetition. Prints a JSON dict.

    python subject.py CASE N WORKERS

With bocpy the program differs in the import, and in `strict=True`, which it does not have. The last behaviour of a case reads the clock, so that no end
of a runtime is measured.
"""

import json
import sys
import time

from objtunnel import Box as Cown, start, wait, when

ROWS = {"rows_10": 10, "rows_1000": 1000, "rows_100000": 100_000}


def make_rows(n):
    return [{"id": i, "name": f"row {i}", "price": i + 0.5, "tags": [f"tag {i}"]} for i in range(n)]


def resident():
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * 4096


def tell(**what):
    print(json.dumps(what), flush=True)


def empty(n):
    box = Cown(0)
    begin = time.perf_counter()
    for _ in range(n):
        @when(box)
        def _(box):
            pass

    @when(box)
    def _(box, begin=begin):
        import time
        print('{"seconds": %r}' % (time.perf_counter() - begin), flush=True)


def rows(n, size):
    """Each behaviour changes a row of the tree."""
    box = Cown(make_rows(size))
    begin = time.perf_counter()
    for i in range(n):
        @when(box)
        def _(box, i=i):
            box.value[i % 10]["id"] += 1

    @when(box)
    def _(box, begin=begin):
        import time
        print('{"seconds": %r}' % (time.perf_counter() - begin), flush=True)


def moved(n):
    """Each behaviour changes a row of the tree, which goes back into its box after each (strict=True): none stays in the
    worker for the next behaviour."""
    box = Cown(make_rows(1000))
    begin = time.perf_counter()
    for i in range(n):
        @when(box, strict=True)
        def _(box, i=i):
            box.value[i % 10]["id"] += 1

    @when(box)
    def _(box, begin=begin):
        import time
        print('{"seconds": %r}' % (time.perf_counter() - begin), flush=True)


def waiting(n):
    """Behaviours that wait for one box: what scheduling takes, and the memory meanwhile."""
    box = Cown(0)

    @when(box)
    def _(box):
        import time
        time.sleep(2)

    time.sleep(0.2)
    before, begin = resident(), time.perf_counter()
    for _ in range(n):
        @when(box)
        def _(box):
            pass
    tell(seconds=time.perf_counter() - begin, bytes=resident() - before)


def ring(n):
    """n chains go round over 8 boxes each; each link computes for about a millisecond."""
    boxes = [[Cown(0) for _ in range(8)] for _ in range(4)]
    done = Cown(0)
    begin = time.perf_counter()
    for i in range(n):
        for chain in boxes:
            @when(chain[i % 8], chain[(i + 1) % 8])
            def _(here, there):
                there.value = here.value + sum(k * k for k in range(10_000)) % 7

    @when(done, [box for chain in boxes for box in chain])
    def _(done, boxes, begin=begin):
        import time
        print('{"seconds": %r}' % (time.perf_counter() - begin), flush=True)


def readers(n):
    """Each looks at a row of one tree, and computes for about a millisecond; one after each 50 changes the tree."""
    box = Cown(make_rows(1000))
    begin = time.perf_counter()
    for i in range(n):
        if i % 51 == 50:
            @when(box)
            def _(box):
                box.value[3]["id"] += 1
        else:
            @when(read=box)
            def _(box):
                box.value[3]["id"] + sum(k * k for k in range(10_000))

    @when(box)
    def _(box, begin=begin):
        import time
        print('{"seconds": %r}' % (time.perf_counter() - begin), flush=True)


def main(case, n, workers):
    start(workers)

    @when()
    def _():
        pass

    time.sleep(0.2)  # all workers are up
    if case in ROWS:
        rows(n, ROWS[case])
    else:
        {"empty": empty, "rows_1000_moved": moved, "waiting": waiting, "ring": ring,
         "readers": readers}[case](n)
    wait()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
