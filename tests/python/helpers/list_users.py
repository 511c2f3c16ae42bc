"""What interpreters do with a LockingList in test_locking_list.py. Loads in subinterpreters."""

import datetime
import random


class Point:
    def __init__(self, x, y):
        self.x, self.y = x, y

    def __eq__(self, other):
        return (self.x, self.y) == (other.x, other.y)

    def __hash__(self):
        return hash((self.x, self.y))


def tree(i):
    """Something of most kinds; i says which."""
    return [i, f"text {i} é", i * 0.5, (i, [i, {i: str(i)}]), {i, -i, str(i)}, b"x" * (i % 50),
            10**30 + i, None, [[]], {"a": (1, 2)}, Point(i, [i]), datetime.date.fromordinal(i + 1)]


def append_all(l, me, n):
    for i in range(n):
        l.append((me, i))


def insert_all(l, me, n):
    rng = random.Random(me)
    for i in range(n):
        l.insert(rng.randrange(-50, 50), (me, i))


def extend_all(l, me, n):
    for i in range(0, n, 5):
        l.extend([(me, k) for k in range(i, i + 5)])


def add_all(l, me, n):
    for i in range(0, n, 5):
        l += ((me, k) for k in range(i, i + 5))


def assign_all(l, me, n):
    rng = random.Random(me)
    for i in range(0, n, 2):
        at = rng.randrange(20)
        l[at:at] = [(me, i), (me, i + 1)]


def pop_all(l, index):
    """Until None comes out."""
    got = []
    while True:
        try:
            x = l.pop(index)
        except IndexError:
            continue
        if x is None:
            return got
        got.append(x)


def count_under_lock(l, n):
    """Not atomic without."""
    for _ in range(n):
        with l.locked():
            with l.locked():
                l[0] += 1
            l[1] = l[0] * 2


def add_to_items(l, n):
    """Everybody changes all items; each is exchanged in one."""
    for i in range(n):
        with l.locked():
            l[:] = [x + 1 for x in l]


def move_between(a, b, n, me):
    """Takes from one list and puts into the other; nothing may get lost."""
    rng = random.Random(me)
    for _ in range(n):
        x, y = (a, b) if rng.random() < 0.5 else (b, a)
        try:
            item = x.pop(rng.randrange(-3, 3))
        except IndexError:
            continue
        if rng.random() < 0.5:
            y.append(item)
        else:
            y.insert(rng.randrange(-5, 5), item)


def sort_and_reverse(l, n, me):
    for i in range(n):
        if i % 2:
            l.sort(key=negative if me % 2 else None)
        else:
            l.reverse()
        seen = l[:]
        assert len(seen) == 200 and set(seen) == set(range(200)), seen


def negative(x):
    return -x


def look(l, n):
    """Whoever looks sees whole changes: runs of five of a kind, each from one extend."""
    for _ in range(n):
        seen = list(l)
        assert len(seen) % 5 == 0
        for i in range(0, len(seen), 5):
            assert seen[i:i + 5] == [seen[i]] * 5, seen


def extend_in_fives(l, me, n):
    for _ in range(n):
        l.extend([me] * 5)
        if len(l) > 300:
            with l.locked():
                if len(l) > 300:
                    del l[:5]


def fill(l, n):
    for i in range(n):
        l.append(tree(i))
    l.append(l)


def work_hard(l, n):
    """Reads, changes and takes out what somebody else had put in."""
    for i in range(n):
        item = l[i]
        assert item == tree(i)
        item[3][1].append(5)
        item[10].y.append(item)
        item[4].add("more")
        assert l[i] == tree(i)
    return sum(hash(str(x[3])) != 0 for x in l[:n])


def hold(l):
    l.locked().acquire()
    l.append("half")


def keep(l):
    global kept
    kept = l


def append_kept(x):
    kept.append(x)


def seen_by(l):
    return [list(l), len(l), l.id]


def make(n):
    from objtunnel import LockingList
    return LockingList(tree(i) for i in range(n))
