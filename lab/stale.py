"""The claim of 2006: where counts are atomic, old pointers into a tree that another interpreter
works on may be doubled and dropped, millions of times, and every count is exact afterwards.

    build/lab/objtunnel/lock/venv/bin/python lab/stale.py [--rounds N] [--doubles N]

Interpreter A builds a tree, keeps a pointer to every object in it, and sends it. While B reads
and changes the tree, A doubles its list of pointers and drops the doubles. Then A drops them all,
B counts the references of every object (one each: the tree's), and drops the tree. On a CPython
whose counts are not atomic, send() refuses to share, refuses strictly, or copies: that is shown
instead. Exit status 0 if all was as said.
"""

import argparse
import gc
import os
import sys
import sysconfig

import objtunnel

ROWS = 400
LEAVES = 8  # numbers in a row's list


# ---- the tree ------------------------------------------------------------------------------------

def build(rows=ROWS):
    """Rows of [list, dict, tuple, bytes]; the leaves are of the four kinds that LEAVES shares."""
    return [[[float(i * LEAVES + k) for k in range(LEAVES)],
             {i: complex(i, 1), -i - 1000: 10 ** 10 + i},
             (i + 0.5, i + 10 ** 9),
             b"%d" % (10 ** 6 + i)] for i in range(rows)]


def objects_of(tree):
    """Every mortal object of the tree but its root: containers and leaves."""
    found = []
    for row in tree:
        numbers, table, pair, text = row
        found += [row, numbers, table, pair, text, *numbers, *table.values(), *pair]
    return found


def checksum(tree):
    total = 0
    for numbers, table, pair, text in tree:
        total += int(sum(numbers)) + sum(int(abs(v)) for v in table.values()) + int(sum(pair))
        total += int(text)
    return total


def wrong_counts(tree):
    """(path, references) of each object that has others than the tree's one."""
    box = [float("1.5")]  # no constant: code would refer to it
    alone = sys.getrefcount(box[0])  # one from a list, and what the call itself holds
    wrong = []

    def look(path, references):
        if references != alone:
            wrong.append((path, references - alone + 1))

    # No name for any object here: that would be a reference.
    for i in range(len(tree)):
        look(f"$[{i}]", sys.getrefcount(tree[i]))
        for k in range(4):
            look(f"$[{i}][{k}]", sys.getrefcount(tree[i][k]))
        for k in range(LEAVES):
            look(f"$[{i}][0][{k}]", sys.getrefcount(tree[i][0][k]))
        for key in (i, -i - 1000):
            look(f"$[{i}][1][{key}]", sys.getrefcount(tree[i][1][key]))
        for k in range(2):
            look(f"$[{i}][2][{k}]", sys.getrefcount(tree[i][2][k]))
    return wrong


# ---- interpreter B -------------------------------------------------------------------------------

def work_on(trees, orders, answers):
    """Receive a tree, work on it until told to check it; again, until the tunnel is closed."""
    gc.disable()  # see send(share="unsafe"): A's collector is off as well
    for tree in trees:
        expected = checksum(tree)
        answers.send([expected])
        passes = 0
        while orders.empty():
            use(tree)
            passes += 1
        orders.recv()
        answers.send([checksum(tree) == expected, passes, wrong_counts(tree)])
        del tree


def use(tree):
    """Reads everything, and changes containers back and forth."""
    for row in tree:
        numbers, table, pair, text = row
        numbers.append(numbers.pop(0))
        copy = numbers[:]
        row.append(copy)
        table["extra"] = pair[0] + len(text)
        del table["extra"]
        row.pop()
        numbers.insert(0, numbers.pop())
        sum(copy), list(table.values()), pair * 2


# ---- interpreter A -------------------------------------------------------------------------------

def send_new_tree(trees, hoard):
    """Pointers to its objects, and its checksum. CPython's free lists may still hold blocks from
    before objtunnel's heap, which cannot be freed elsewhere: an object in such a block would be
    copied. Then the tree is kept, and with it the block, and another one is made."""
    for _ in range(50):
        tree = build()
        stale, before = objects_of(tree), checksum(tree)
        try:
            receipt = trees.send(tree, strict=True, share="unsafe")
        except objtunnel.SharedReferenceError:
            hoard.append(tree)
            continue
        if tree or receipt.copied:
            raise AssertionError(f"not moved as a whole: {receipt}")
        return stale, before
    raise AssertionError("no tree of fifty could be shared")


def share_and_double(rounds, doubles):
    """True if every round came out exact."""
    trees, orders, answers = objtunnel.Tunnel(), objtunnel.Tunnel(), objtunnel.Tunnel()
    exact = True
    gc.disable()
    with objtunnel.Interpreter() as b, trees, orders:
        done = b.submit(work_on, trees, orders, answers)
        resident, hoard = [], []
        for number in range(rounds):
            stale, before = send_new_tree(trees, hoard)
            received, = answers.recv()
            counted = 0
            while counted < doubles:
                again = stale * 3
                del again
                counted += 3 * len(stale)
            del stale
            orders.send([None])
            same, passes, wrong = answers.recv()
            resident.append(objtunnel.heap_info().in_use)
            print(f"round {number + 1}: {counted:,} stale pointers doubled and dropped while B went "
                  f"over the tree {passes} times; "
                  + (f"{len(wrong)} counts WRONG: {wrong[:5]}" if wrong else "every count exact")
                  + ("" if same and received == before else "; the content is WRONG"), flush=True)
            exact = exact and not wrong and same and received == before and passes > 0
        trees.close()
        done.result()
    # The first rounds fill the heap's pages; a leak of trees would go on.
    if objtunnel.heap_info().installed and rounds >= 4:
        grown = resident[-1] - resident[1]
        print(f"the heap grew by {grown:,} bytes from round 2 to {rounds}")
        exact = exact and grown < TREE_BYTES
    return exact


TREE_BYTES = ROWS * (LEAVES * (24 + 8) + 700)  # about; a leak of each round's tree is more


def refused():
    """True if this CPython does not let it happen: shares nothing, copies or raises."""
    tunnel = objtunnel.Tunnel()
    tree = build(10)
    stale = objects_of(tree)
    for share in (True, "unsafe"):
        try:
            tunnel.send(tree, share=share)
        except NotImplementedError as error:
            print(f"share={share!r}: refused: {error}")
        else:
            return False
    try:
        tunnel.send(tree, strict=True)
    except objtunnel.SharedReferenceError as error:
        print(f"strict: refused: {error}")
    else:
        return False
    receipt = tunnel.send(tree)
    copy = tunnel.recv()
    shared = {id(o) for o in stale} & {id(o) for o in objects_of(copy)}
    print(f"otherwise copied: {receipt.copied} objects; {len(shared)} in common")
    return not shared and checksum(copy) == checksum(build(10))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--doubles", type=int, default=3_000_000, help="stale pointers a round")
    options = parser.parse_args()
    variant = sysconfig.get_config_var("OT_LAB_VARIANT")
    atomic = variant not in (None, 0, "OT_LAB_STOCK")
    print(f"{sys.version.split()[0]}, {variant}, {len(os.sched_getaffinity(0))} CPUs")
    good = share_and_double(options.rounds, options.doubles) if atomic else refused()
    print("as it should be" if good else "NOT as it should be")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
