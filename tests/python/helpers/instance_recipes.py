"""Hypothesis strategies for random trees with instances, as recipes that instances.build
understands. Not for workers: hypothesis does not load in subinterpreters."""

from hypothesis import strategies as st

from recipes import ATOMS

NAMES = st.one_of(st.sampled_from(["a", "b", "c", "d", "e", "first", "third", "x y", "wörter"]),
                  st.integers(0, 44).map(lambda n: f"n{n}"))
FRESH = st.integers(0, 10**6)
WITH_DICT = ("Plain", "Child", "Initialised", "WithProperty", "Closed", "Made", "Outer.Inner",
             "Concrete", "Boxed", "Registered", "ById", "ByValue", "Mortal", "Point",
             "SlotsAndDict", "DictInSlots")
WITH_SLOTS = ("Slots", "MoreSlots", "WeakSlots", "Hidden", "SlotPoint")
CONTAINERS = {"List": False, "SlottedList": False, "Tuple": False, "Set": True, "Frozenset": True}
VALUES = st.one_of(
    st.tuples(st.just("Int"), st.tuples(st.one_of(st.integers(), st.integers(-9, 300)))),
    st.tuples(st.just("Str"), st.tuples(st.text(max_size=9))),
    st.tuples(st.just("SlottedStr"), st.tuples(st.text("abc€", max_size=9))),
    st.tuples(st.just("Float"), st.tuples(st.floats(allow_nan=False))),
    st.tuples(st.just("Complex"), st.tuples(st.floats(-9, 9))),
    st.tuples(st.just("Bytes"), st.tuples(st.binary(max_size=9))),
    st.tuples(st.just("Bytearray"), st.tuples(st.binary(max_size=30))),
    st.tuples(st.just("Array"), st.tuples(st.just("d"), st.lists(st.floats(-9, 9), max_size=5))),
    st.tuples(st.just("Count"), st.tuples(st.text("abc", max_size=6))),
    st.tuples(st.just("Dict"), st.tuples(st.dictionaries(st.text("abc", max_size=2),
                                                         st.integers(), max_size=4))),
    st.tuples(st.just("SlottedDict"), st.tuples(st.dictionaries(st.integers(), st.text(max_size=3),
                                                                max_size=4))),
)
MEMBERS = st.sampled_from([("Colour", "RED"), ("Colour", "GREEN"), ("Level", "HIGH"),
                           ("Flags", "A")])


def operations(last, outside):
    """What is done to an instance; nodes up to `last`, later ones included. outside: also such
    that leave references behind."""
    node = st.integers(0, last)
    choices = [st.tuples(st.just("set"), NAMES, node)] * 5 + [
        st.tuples(st.just("delete"), NAMES),
        st.tuples(st.just("many"), st.integers(0, 20), st.integers(1, 40), node),
        st.tuples(st.just("look")), st.tuples(st.just("replace")),
        st.tuples(st.just("odd"), node)]
    if outside:
        choices += [st.tuples(st.just("hold")), st.tuples(st.just("weak"))]
    return st.lists(st.one_of(choices), max_size=8)


@st.composite
def instance_recipes(draw, outside=False, max_nodes=20):
    """A list of nodes, atoms first. Mutable ones may refer to any node, immutable ones and keys only
    to earlier ones. outside: something else refers to some; then those of a type that cannot be
    copied are pickled with all that they hold, so there is nothing that refuses to be."""
    nodes = [draw(ATOMS) for _ in range(draw(st.integers(1, max_nodes // 2)))]
    for i in range(len(nodes), len(nodes) + draw(st.integers(1, max_nodes // 2))):
        earlier = st.lists(st.integers(0, i - 1), max_size=4)
        ops = operations(max_nodes, outside)
        kind = draw(st.sampled_from(["plain", "plain", "plain", "fresh", "fresh", "slots", "filled",
                                     "container", "value", "fresh value", "member", "error",
                                     "mapping", "list", "dict", "strdict", "tuple", "set"]))
        nodes.append(_node(draw, kind, earlier, ops, i, max_nodes, outside))
    return nodes


def _node(draw, kind, earlier, ops, i, max_nodes, outside):
    anywhere = st.lists(st.integers(0, max_nodes), max_size=4)
    if kind == "plain":
        names = [name for name in WITH_DICT if not (outside and name == "Registered")]
        return "plain", draw(st.sampled_from(names)), draw(ops)
    if kind == "fresh":
        base = draw(st.sampled_from(["Object", "Object", "Object", "Child", "List", "Dict", "Set"]))
        return "plain", f"Fresh{base}{draw(FRESH)}", draw(ops)
    if kind == "slots":
        return "plain", draw(st.sampled_from(WITH_SLOTS)), draw(ops)
    if kind == "filled":
        name = draw(st.sampled_from(["FrozenPoint", "FrozenSlotPoint", "Pair", "Triple",
                                     "PairWithDict", "PairWithout"]))
        two = st.lists(st.integers(0, i - 1), min_size=2, max_size=2)
        return "filled", name, draw(two), draw(ops) if "Frozen" not in name else []
    if kind == "container":
        name = draw(st.sampled_from(sorted(CONTAINERS)))
        return "container", name, draw(earlier), CONTAINERS[name], draw(ops)
    if kind == "mapping":
        name = draw(st.sampled_from(["Dict", "SlottedDict", f"FreshDict{draw(FRESH)}"]))
        return "mapping", name, draw(earlier), draw(anywhere), draw(ops)
    if kind == "value":
        return "value", *draw(VALUES), draw(ops)
    if kind == "fresh value":
        base = draw(st.sampled_from(["Int", "Str", "Tuple"]))
        return "value", f"Fresh{base}{draw(FRESH)}", (), draw(ops)
    if kind == "member":
        return "member", *draw(MEMBERS)
    if kind == "error":
        return "error", draw(st.lists(st.integers(), max_size=2))
    if kind in ("list", "strdict"):
        return kind, draw(anywhere)
    if kind == "dict":
        return kind, draw(earlier), draw(anywhere)
    return kind, draw(earlier)


@st.composite
def recipes_and_lessons(draw, outside=False, max_nodes=20):
    """(recipe, lessons for an interpreter: names that its classes know before)."""
    recipe = draw(instance_recipes(outside, max_nodes))
    classes = sorted({node[1] for node in recipe if node[0] == "plain"})
    names = st.lists(NAMES, max_size=35, unique=True)
    lessons = [(cls, draw(names)) for cls in classes if draw(st.booleans())]
    return recipe, lessons
