"""The same model as explorer.py's, said a second time: every way to read and to order, and the axioms as the paper
has them, on sets of pairs. Slow, for programs of a few operations without branches; the explorer is compared with it.
"""

from itertools import chain, combinations, permutations, product
from typing import NamedTuple

from explorer import acquires, releases


class Node(NamedTuple):
    id: int
    thread: int
    operation: object

    @property
    def place(self):
        return self.operation.place

    def reads(self):
        return self.operation.kind in ("load", "update")

    def writes(self):
        return self.operation.kind in ("store", "update", "initial")


def compose(*relations):
    first, *rest = relations
    for relation in rest:
        after = {}
        for a, b in relation:
            after.setdefault(a, []).append(b)
        first = {(a, c) for a, b in first for c in after.get(b, ())}
    return first


def closure(relation):
    found = set(relation)
    while True:
        more = compose(found, relation) - found
        if not more:
            return found
        found |= more


def acyclic(relation):
    return all(a != b for a, b in closure(relation))


def identity(nodes, test=lambda node: True):
    return {(n, n) for n in nodes if test(n)}


def happens_before(nodes, sb, rf):
    same = identity(nodes)
    fences = identity(nodes, lambda n: n.operation.kind == "fence")
    update = identity(nodes, lambda n: n.operation.kind == "update")
    sequence = identity(nodes, Node.writes) | compose(identity(nodes, Node.writes), closure(compose(rf, update)))
    released = identity(nodes, lambda n: releases(n.operation.order) and n.operation.kind != "load")
    acquired = identity(nodes, lambda n: acquires(n.operation.order) and n.operation.kind != "store")
    sw = compose(released, same | compose(fences, sb), sequence, rf, same | compose(sb, fences), acquired)
    return closure(sb | sw)


def is_consistent(nodes, sb, rf, mo):
    rb = {(r, w) for s, r in rf for s2, w in mo if s == s2 and r != w}
    if not acyclic(sb | rf):
        return False
    hb, eco = happens_before(nodes, sb, rf), closure(rf | mo | rb)
    if any(a == b for a, b in eco | hb | compose(hb, eco)):
        return False
    if any((w, r) in mo for r, w in rb):  # something between an update and what it read
        return False
    return acyclic(psc_of(nodes, sb, hb, eco, mo, rb))


def psc_of(nodes, sb, hb, eco, mo, rb):
    strong = identity(nodes, lambda n: n.operation.order == "seq_cst" and n.operation.kind != "fence")
    fences = identity(nodes, lambda n: n.operation.order == "seq_cst" and n.operation.kind == "fence")
    away = {(a, b) for a, b in sb if not a.place or a.place != b.place}
    near = {(a, b) for a, b in hb if a.place and a.place == b.place}
    scb = sb | compose(away, hb, away) | near | mo | rb
    hb_or_none = hb | identity(nodes)
    base = compose(strong | compose(fences, hb_or_none), scb, strong | compose(hb_or_none, fences))
    return base | compose(fences, hb | compose(hb, eco, hb), fences)


def nodes_of(threads, initial):
    """The initial stores are a thread of their own, before all others."""
    nodes = [Node(i, -1, operation) for i, operation in enumerate(initial)]
    for number, thread in enumerate(threads):
        nodes += [Node(len(nodes) + i, number, operation) for i, operation in enumerate(thread)]
    sb = {(a, b) for a, b in combinations(nodes, 2) if a.thread in (-1, b.thread) and b.thread != -1}
    return nodes, sb


def outcomes(threads, initial):
    """What the loads and updates of each thread find, a tuple an execution. Stores write constants."""
    nodes, sb = nodes_of(threads, initial)
    readers = [n for n in nodes if n.reads()]
    orders = [[(first, *rest) for rest in permutations([n for n in nodes if n.writes() and n.place == first.place and n != first])]
              for first in nodes if first.thread == -1]
    found = set()
    for sources in product(*([w for w in nodes if w.writes() and w.place == r.place and w != r] for r in readers)):
        rf = set(zip(sources, readers))
        results = tuple(tuple(w.operation.value for w, r in zip(sources, readers) if r.thread == number)
                        for number in range(len(threads)))
        if results in found or not acyclic(sb | rf):
            continue
        if any(is_consistent(nodes, sb, rf, set(chain.from_iterable(combinations(o, 2) for o in choice)))
               for choice in product(*orders)):
            found.add(results)
    return found
