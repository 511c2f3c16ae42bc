"""frozendict, which came with Python 3.15."""

import builtins
import gc

import pytest

import frozendict_users
from objtunnel import LockingDict, SharedReferenceError, Tunnel, freeze

frozendict = getattr(builtins, "frozendict", None)
pytestmark = pytest.mark.skipif(frozendict is None, reason="frozendict came with Python 3.15")


def sent(o, **options):
    t = Tunnel()
    receipt = t.send(o, **options)
    return t.recv(), receipt


def make(n=5):
    return frozendict({"key-%d" % i: [i / 7, "text-%d" % i] for i in range(n)})


def test_moves_in_a_tree():
    tree = [make(), make(0), frozendict({(n / 7, 2): "b" for n in (1, 3)})]
    where = id(tree[0]), id(tree[0]["key-1"])
    got, receipt = sent(tree, strict=True)
    assert receipt.copied == receipt.pickled == 0
    assert (id(got[0]), id(got[0]["key-1"])) == where and type(got[0]) is frozendict
    assert got == [make(), frozendict(), frozendict({(n / 7, 2): "b" for n in (1, 3)})]
    assert got[2][1 / 7, 2] == "b" and list(got[0]) == ["key-%d" % i for i in range(5)]


def test_is_copied_once_if_something_else_refers_to_it():
    mine = make()
    got, receipt = sent([mine, mine])
    assert got[0] is got[1] is not mine and got[0] == mine == make() and receipt.pickled == 0
    with pytest.raises(SharedReferenceError):
        sent([mine], strict=True)
    assert sent(mine)[0] == mine


def test_is_not_emptied_as_a_root():
    mine = make()
    assert sent(mine)[0] == mine and len(mine) == 5


def test_as_a_key():
    """Its hash follows from what is in it, which may change."""
    plain, odd = frozendict({"a": 1}), frozendict({frozendict_users.ByType(1): 2})
    tree = {plain: 1, odd: 2, (plain, odd): 3}
    assert hash(plain) and hash(odd)
    got, _ = sent([tree])
    for key, value in got[0].items():
        assert got[0][key] == value
    assert got[0][frozendict({"a": 1})] == 1 and got[0][frozendict({frozendict_users.ByType(1): 2})] == 2


def test_to_a_worker_and_back(worker):
    there, back = Tunnel(), Tunnel()
    there.send([make(100), {frozendict({frozendict_users.ByType(n): n}): n for n in range(20)}])
    assert worker.call(frozendict_users.use, there, back) == 20
    big, keyed = back.recv()
    assert big == make(100) and keyed[frozendict({frozendict_users.ByType(3): 3})] == 3
    gc.collect()


def test_subclasses_and_cycles():
    o = frozendict_users.Own({"a": []})
    o["a"].append(o)
    o.more = "attribute"
    got, receipt = sent([o])
    assert type(got[0]) is frozendict_users.Own and got[0]["a"][0] is got[0] and got[0].more == "attribute"


def test_freeze_and_containers(worker):
    view = freeze({"a": make(), "n": 1})
    assert view["a"] == make() and make() == view["a"] and view["a"]["key-1"] == [1 / 7, "text-1"]
    assert type(view["a"].thaw()) is frozendict
    d = LockingDict()
    d["a"] = [make()]
    assert d["a"] == [make()] and worker.call(frozendict_users.read, d) == 5


def test_errors_name_the_place():
    with pytest.raises(TypeError, match=r"^\$\[0\]\['a'\]"):
        sent([frozendict({"a": (i for i in "x")})])
