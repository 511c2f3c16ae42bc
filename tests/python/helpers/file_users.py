"""What interpreters do with a SharedFile in test_shared_file.py. Loads in subinterpreters."""

import random
import sys


def write_lines(f, n, who):
    rng = random.Random(who)
    for i in range(n):
        f.write(f"{who} {i} {who[0] * rng.randrange(300)}.\n")


def print_lines(f, n, who):
    """Each print is six writes."""
    rng = random.Random(who)
    for i in range(n):
        print(who, i, who[0] * rng.randrange(300), end=".\n", file=f)


def print_to_stdout(f, n, who):
    old, sys.stdout = sys.stdout, f
    try:
        print_lines(None, n, who)
    finally:
        sys.stdout = old


def print_with_method(f, n, who):
    """Arguments that would end a line in the middle."""
    rng = random.Random(who)
    for i in range(n):
        f.print(who, i, who[0] * rng.randrange(300) + ".\n", "+\n", sep=" ", end="")


def write_under_lock(f, n, who):
    rng = random.Random(who)
    for i in range(n):
        with f.locked():
            f.write(f"{who} {i} ")
            with f.locked():
                f.write(who[0] * rng.randrange(300))
            f.write(".\n")
            f.flush()


def write_many(f, n, who):
    rng = random.Random(who)
    for i in range(n):
        f.writelines([who, " ", str(i), " ", who[0] * rng.randrange(300), ".\n"])


def write_records(f, n, who):
    for i in range(n):
        record = f"<{who} {i} ".encode() + who[0].encode() * (i % 700)
        assert f.write(record + b">") == len(record) + 1


def read_lines(f, who):
    return list(f)


def read_some(f, who):
    return list(iter(f.readline, ""))


def read_records(f, who):
    return [r.decode() for r in iter(lambda: f.read(20), b"")]


def write_at(f, n, who):
    """Everybody's own stripes."""
    me = ["here", "0", "1", "2"].index(who)
    for i in range(n):
        assert f.write_at(bytes([me + 1]) * 10, (4 * i + me) * 10) == 10
        assert f.read_at(10, (4 * i + me) * 10) == bytes([me + 1]) * 10


def closing(f):
    f.close()


def write_and_leave(f):
    f.write("from there")


def keep(f):
    global kept
    kept = f


def write_kept():
    kept.write("later\n")


def hold(f):
    f.write("half ")
    f.locked().acquire()
