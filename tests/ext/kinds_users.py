"""What the workers of test_kinds.py run."""

import gc

import kinds


class Named(kinds.Matrix):
    """A class statement over a registered type."""


def send(tunnel):
    for _ in range(40):  # more than are looked at closely
        named = Named([])
        named.name = ["a name"]
        named.child.append(named)
        box = [kinds.Matrix(["child", 1.5], {"k": [2]}), kinds.First(["ref"]), kinds.Bare(["bare"]), named]
        del named
        receipt = tunnel.send(box)
        assert receipt.pickled == 0, receipt


def use_hard(tunnel):
    """Everything that came is this interpreter's own, whatever became of the sender."""
    (matrix, first, bare, named) = tunnel.recv(timeout=60)
    for _ in range(3):
        assert type(matrix) is kinds.Matrix and matrix.child == ["child", 1.5] and matrix.child2 == {"k": [2]}
        assert type(first) is kinds.First and first.number == 4242 and first.ref == (["ref"],)
        assert type(bare) is kinds.Bare and bare.ref == (["bare"],)
        assert type(named) is Named and named.name == ["a name"] and named.child == [named]
        matrix.child.append(matrix)
        matrix.child.pop()
        gc.collect()
    named.child[0] = matrix.child2["self"] = matrix
    del matrix, first, bare, named
    gc.collect()
    return True
