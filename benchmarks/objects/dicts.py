"""The cases of LockingDict."""

import pickle
import threading

from objtunnel import LockingDict

from cases import Case, Goal
from crew import HERE, THERE
from loops import Statement
from peers import FOUND, MISSING, ManagerStatement
from scaling import Scaling, Way, prepare_hot, prepare_mix

MANAGER = "multiprocessing.Manager().dict()"
KEY = "key 500"


def content():
    return {f"key {i}": i for i in range(1000)}


def filled(make):
    d = make()
    for key, value in content().items():
        d[key] = value
    return d


def on_one_key(statement):
    def make(_options):
        kinds = {"dict": dict, "LockingDict": LockingDict, **FOUND}
        ways = {name: Statement(statement, d=filled(kind), k=KEY) for name, kind in kinds.items()}
        ways[MANAGER] = ManagerStatement(statement, content(), k=KEY)
        return ways
    return make


def counting(_options):
    return {"dict under threading.Lock": Statement("with lock: d[k] += 1", d=filled(dict), k=KEY,
                                                   lock=threading.Lock()),
            "LockingDict.add": Statement("d.add(k, 1)", d=filled(LockingDict), k=KEY)}


def small_trees(_options):
    tree = [{"id": i, "name": f"row {i}", "xs": [0.5, 1.5]} for i in range(10)]
    d = LockingDict()
    d[KEY] = tree
    blobs = {KEY: pickle.dumps(tree, 5)}
    return {"pickle.loads(dict's)": Statement("loads(d[k])", d=blobs, k=KEY, loads=pickle.loads),
            "LockingDict": Statement("d[k]", d=d, k=KEY)}


CASES = [
    Case("dict_get", "d[k] of an int by a str key", on_one_key("d[k]"),
         (Goal("LockingDict", "dict", 2), Goal("LockingDict", MANAGER, 500, at_least=True)),
         MISSING),
    Case("dict_set", "d[k] = 1", on_one_key("d[k] = 1"), missing=MISSING),
    Case("dict_get_default", "d.get(k)", on_one_key("d.get(k)"), missing=MISSING),
    Case("dict_add", "count one up", counting),
    Case("dict_get_tree", "d[k] of a list of ten small dicts, a copy of one's own", small_trees),
]

WAYS = {f"LockingDict, {THERE}": Way(False, LockingDict),
        f"a dict each, {THERE}": Way(False, None),
        f"LockingDict, {HERE}": Way(True, LockingDict),
        **{f"{name}, {HERE}": Way(True, kind) for name, kind in FOUND.items()}}
GOALS = {f"LockingDict, {THERE}": 0.95}
SCALINGS = [
    Scaling("dict_hot", "two workers read one key", prepare_hot, WAYS, GOALS, MISSING),
    Scaling("dict_mix", "90 % d[k], 10 % d[k] = 1 of keys all over a large dict", prepare_mix,
            WAYS, GOALS, MISSING),
]
