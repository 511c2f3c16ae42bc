"""CPython's own test modules, rewritten so that their containers have been somewhere else.

load("test_list") is test.test_list with each list, dict and set that its source writes down or
makes by calling a type (`[...]`, `{k: v for ...}`, `self.type2test(...)`, `array.array(...)`)
wrapped into a call of travel(), which sends it to another interpreter and back before it is used.
The rewriting is done on the syntax tree, so line numbers stay.

The contents travel with the container where they are plain data. Where they are not (a test's own
objects, often with an __eq__ that raises, whose identity the test then asks for), the container
travels empty and is filled afterwards; a tuple or frozenset of such cannot be filled and stays. A place in
the source that makes thousands in one test sends the first few.
"""

import ast
import importlib.util
import itertools
import sys
import tokenize
import types
from array import array
from collections import Counter, OrderedDict, defaultdict, deque

import trees
from objtunnel import Interpreter, Tunnel

# Calls whose result travels, if it is one of TYPES: builtins, attributes, a test class's `type2test`.
_MAKERS = {"list", "dict", "set", "frozenset", "tuple", "array", "deque", "OrderedDict",
           "defaultdict", "type2test", "thetype"}
_DISPLAYS = (ast.List, ast.Dict, ast.Set, ast.ListComp, ast.DictComp, ast.SetComp)
_PLAIN = {int, float, complex, str, bytes, bool, type(None)}
ENOUGH = 10  # journeys from one place in the source during one test: some loop ten thousand times
_SIBLINGS = ("seq_tests", "list_tests", "mapping_tests")
_NAME = "travelled_"


# ---- the journey --------------------------------------------------------------------------------

def _plain(items):
    """Leaves that no test tells from an equal one. A NaN equals nothing but itself."""
    kinds = set(map(type, items))
    if not kinds <= _PLAIN:
        return False
    return not kinds & {float, complex} or all(x == x for x in items)


def _is_plain_mapping(o):
    return _plain(o.keys()) and _plain(o.values())


def _fill_list(o, full):
    o.extend(full)


def _fill_mapping(o, full):
    o.update(full)


def _fill_defaultdict(o, full):
    o.default_factory = full.default_factory
    o.update(full)


# type -> (are the contents plain?, an empty one that will be like it, fill that with the contents)
TYPES = {
    list: (_plain, lambda full: [], _fill_list),
    dict: (_is_plain_mapping, lambda full: {}, _fill_mapping),
    set: (_plain, lambda full: set(), _fill_mapping),
    tuple: (_plain, None, None),
    frozenset: (_plain, None, None),
    array: (lambda o: True, None, None),
    deque: (_plain, lambda full: deque(maxlen=full.maxlen), _fill_list),
    OrderedDict: (_is_plain_mapping, lambda full: OrderedDict(), _fill_mapping),
    defaultdict: (lambda o: o.default_factory is None and _is_plain_mapping(o),
                  lambda full: defaultdict(), _fill_defaultdict),
}


class Journey:
    """The other interpreter; a context manager. counts: (type, "full", "empty", "stayed" or
    "enough") -> how many."""

    def __init__(self):
        self.counts = Counter()
        self._places = Counter()

    def begin_test(self):
        self._places.clear()

    def has_enough(self, place):
        """Whether so many set out from this place in the source that it is time to go on."""
        self._places[place] += 1
        return self._places[place] > ENOUGH

    def __enter__(self):
        self._there, self._back = Tunnel(), Tunnel()
        self._interpreter = Interpreter("elsewhere")
        self._done = self._interpreter.submit(trees.echo, self._there, self._back)
        return self

    def __exit__(self, *exc):
        self._there.close()
        self._done.result(timeout=60)
        self._interpreter.close()

    def make(self, box):
        """Sends the box's content there and back."""
        self._there.send(box)
        return self._back.recv(timeout=60)[0].pop()


_journey = None  # the one under way; without one, as while modules load, everything stays


def start():
    global _journey
    _journey = Journey()
    return _journey


def stop():
    global _journey
    _journey = None


def travel(o, place):
    """o after a journey to another interpreter and back; or o itself, which stays (see the top)."""
    if _journey is None or type(o) not in TYPES:
        return o
    is_plain, make_empty, fill = TYPES[type(o)]
    kind = type(o).__name__
    if _journey.has_enough(place):
        _journey.counts[kind, "enough"] += 1
        return o
    if is_plain(o):
        _journey.counts[kind, "full"] += 1
        box = [o]
        del o  # or it would be copied
        return _journey.make(box)
    if make_empty is None:
        _journey.counts[kind, "stayed"] += 1
        return o
    _journey.counts[kind, "empty"] += 1
    empty = _journey.make([make_empty(o)])
    fill(empty, o)
    return empty


# ---- the modules --------------------------------------------------------------------------------

_places = itertools.count()


class _Rewriter(ast.NodeTransformer):
    def visit(self, node):
        node = self.generic_visit(node) if not isinstance(node, ast.AnnAssign) else node
        if isinstance(node, _DISPLAYS) and isinstance(getattr(node, "ctx", ast.Load()), ast.Load):
            return self._travelling(node)
        if isinstance(node, ast.Call) and _called(node) in _MAKERS:
            return self._travelling(node)
        if isinstance(node, ast.ImportFrom) and node.module == "test":
            return self._import(node)
        return node

    @staticmethod
    def _travelling(node):
        return _call("__travel__", node, node, ast.Constant(next(_places)))

    @staticmethod
    def _import(node):
        """`from test import support, list_tests`: the latter rewritten as well."""
        siblings = [alias for alias in node.names if alias.name in _SIBLINGS]
        rest = [alias for alias in node.names if alias.name not in _SIBLINGS]
        lines = [ast.Assign([ast.Name(alias.asname or alias.name, ast.Store())],
                            _call("__load__", node, ast.Constant(alias.name)))
                 for alias in siblings]
        if rest:
            lines.append(ast.ImportFrom(node.module, rest, node.level))
        return [ast.copy_location(line, node) for line in lines]


def _called(node):
    return getattr(node.func, "id", getattr(node.func, "attr", None))


def _call(name, where, *arguments):
    return ast.copy_location(ast.Call(ast.Name(name, ast.Load()), list(arguments), []), where)


def load(name):
    """test.<name>, rewritten. Raises ImportError where Python has no test package."""
    known = sys.modules.get(_NAME + name)
    if known is not None:
        return known
    spec = importlib.util.find_spec(f"test.{name}")
    if spec is None:
        raise ImportError(f"this Python came without test.{name}")
    with tokenize.open(spec.origin) as file:
        tree = _Rewriter().visit(ast.parse(file.read()))
    module = types.ModuleType(_NAME + name)
    module.__file__ = spec.origin
    module.__dict__.update(__travel__=travel, __load__=load)
    sys.modules[module.__name__] = module
    exec(compile(ast.fix_missing_locations(tree), spec.origin, "exec"), module.__dict__)
    return module
