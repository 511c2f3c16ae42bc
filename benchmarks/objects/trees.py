"""The cases of trees: freeze() beside the built-in types, Box beside pickles."""

import pickle
from array import array

from objtunnel import Box, Tunnel, freeze

from cases import Case, Goal
from handoff import Pair
from loops import Statement

ROWS = 1000


def make_rows():
    return [{"id": i, "name": f"row {i}", "xs": [i + 0.5, i + 1.5]} for i in range(ROWS)]


# ---- frozen --------------------------------------------------------------------------------------

def reads(statement, tree, array_of):
    def make(_options):
        ways = {"built-in": Statement(statement, x=tree())}
        if array_of is not None:  # a C type that makes its ints when they are read, as frozen does
            ways["array.array"] = Statement(statement, x=array(array_of, tree()))
        ways["frozen"] = Statement(statement, x=freeze(tree()))
        return ways
    return make


# name -> what it says, what is timed, of which x, and the type code of an array of the same
FROZEN = {
    "frozen_list": ("x[500], an int", "x[500]", lambda: list(range(1000, 1000 + ROWS)), "q"),
    "frozen_dict": ("x['key 500'], an int", "x['key 500']",
                    lambda: {f"key {i}": i for i in range(ROWS)}, None),
    "frozen_name": ("x[500], a short str", "x[500]", lambda: [f"row {i}" for i in range(ROWS)],
                    None),
    "frozen_path": ("x[500]['xs'][1], a float", "x[500]['xs'][1]", make_rows, None),
    "frozen_loop": ("for i in x: pass, of a list of 1000 ints", "for i in x: pass",
                    lambda: list(range(1000, 1000 + ROWS)), "q"),
    "frozen_rows": ("sum(row['xs'][1] for row in x), 1000 rows, each read once",
                    "sum(row['xs'][1] for row in x)", make_rows, None),
}


# ---- handing a tree to and fro -------------------------------------------------------------------

def exchanges(options):
    def pair(step, *args):
        return Pair(False, options, 2, _keep, step, *args)
    return {"pickled, through a Tunnel": pair(_pass_pickles, None, Tunnel(), Tunnel()),
            "moved through a Tunnel": pair(_pass_tree, None, Tunnel(), Tunnel()),
            "Box": pair(_pass_box, Box(make_rows()), Tunnel(), Tunnel())}


def _keep(who, box, there, back):
    return who, box, there, back


def _change(tree):
    tree[0]["id"] += 1


def _pass_pickles(kept, rounds):
    who, _, there, back = kept
    if who == 0:
        tree = make_rows()
        for _ in range(rounds):
            _change(tree)
            there.send(pickle.dumps(tree, 5))
            tree = pickle.loads(back.recv())
        assert tree[0]["id"] == 2 * rounds
    else:
        for _ in range(rounds):
            tree = pickle.loads(there.recv())
            _change(tree)
            back.send(pickle.dumps(tree, 5))


def _pass_tree(kept, rounds):
    who, _, there, back = kept
    if who == 0:
        tree = make_rows()
        for _ in range(rounds):
            _change(tree)
            there.send(tree)
            tree = back.recv()
        assert tree[0]["id"] == 2 * rounds
    else:
        for _ in range(rounds):
            tree = there.recv()
            _change(tree)
            back.send(tree)


def _pass_box(kept, rounds):
    """Told by an empty message whose turn it is."""
    who, box, there, back = kept
    for _ in range(rounds):
        if who == 0:
            with box as tree:
                _change(tree)
            there.send(None)
            back.recv()
        else:
            there.recv()
            with box as tree:
                _change(tree)
            back.send(None)


CASES = [
    *(Case(name, what, reads(statement, tree, array_of), (Goal("frozen", "built-in", 3),))
      for name, (what, statement, tree, array_of) in FROZEN.items()),
    Case("box_hand_over", f"a tree of {ROWS} rows handed to another interpreter, changed there",
         exchanges),
]
