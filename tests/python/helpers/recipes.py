"""Hypothesis strategies for random trees, as recipes that trees.build understands. Not for workers:
hypothesis does not load in subinterpreters."""

from hypothesis import strategies as st

ZONES = st.sampled_from([None, None, "utc", "zoneinfo", 90, -61])
CLOCK = (st.integers(0, 23), st.integers(0, 59), st.integers(0, 59), st.integers(0, 999_999))

ATOMS = st.one_of(
    st.tuples(st.just("none")),
    st.tuples(st.just("bool"), st.booleans()),
    st.tuples(st.just("int"), st.integers()),
    st.tuples(st.just("int"), st.integers(-10, 300)),
    st.tuples(st.just("huge"), st.integers(60, 4000)),
    st.tuples(st.just("float"), st.floats(allow_nan=False)),
    st.tuples(st.just("nan")),
    st.tuples(st.just("complex"), st.floats(-1e9, 1e9), st.floats(-1e9, 1e9)),
    st.tuples(st.just("str"), st.text(max_size=12)),
    st.tuples(st.just("interned"), st.text("abcdefgh_äß€𝄞", max_size=8)),
    st.tuples(st.just("name"), st.sampled_from(["id", "name", "self", "key", "wörter", ""])),
    st.tuples(st.just("bytes"), st.binary(max_size=20)),
    st.tuples(st.just("bytearray"), st.binary(max_size=40)),
    st.tuples(st.just("array"), st.sampled_from("bBhHiIlLqQfd"), st.integers(0, 40)),
    st.tuples(st.just("view"), st.sampled_from("bBhHiIlLqQfd"), st.lists(st.integers(1, 4), max_size=1),
              st.booleans(), st.sampled_from([1, 1, 2, -1])),
    st.tuples(st.just("range"), st.integers(-9, 9), st.integers(-10**20, 10**20),
              st.integers(1, 5)),
    st.tuples(st.just("decimal"), st.decimals(allow_nan=False).map(str)),
    st.tuples(st.just("decimal"), st.sampled_from(["NaN", "0", "-0", "1e-300", "7" * 99 + ".25"])),
    st.tuples(st.just("date"), st.integers(1, 9999), st.integers(1, 12), st.integers(1, 28)),
    st.tuples(st.just("time"), *CLOCK, ZONES.filter(lambda z: z != "zoneinfo"), st.integers(0, 1)),
    st.tuples(st.just("datetime"), st.integers(1, 9999), st.integers(1, 12), st.integers(1, 28),
              st.integers(0, 23), ZONES, st.integers(0, 1)),
    st.tuples(st.just("timedelta"), st.integers(-9999, 9999), st.integers(-9, 9)),
    st.tuples(st.just("timezone"), st.sampled_from(["utc", 0, 30, 61, -720])),
)
MAPPINGS = ["dict", "defaultdict", "odict"]


@st.composite
def recipes(draw, max_nodes=24):
    """A list of nodes. Mutable containers may refer to any node (cycles included), immutable
    ones and keys only to earlier ones."""
    nodes = [draw(ATOMS) for _ in range(draw(st.integers(1, max_nodes // 2)))]
    for i in range(len(nodes), len(nodes) + draw(st.integers(0, max_nodes // 2))):
        earlier = st.lists(st.integers(0, i - 1), max_size=5)
        anywhere = st.lists(st.integers(0, max_nodes - 1), max_size=5)
        kind = draw(st.sampled_from(["list", "list", "dict", "dict", "strdict", "tuple", "set",
                                     "frozenset", "slice", "deque", "defaultdict", "odict",
                                     "mappingproxy"]))
        if kind in ("list", "strdict"):
            nodes.append((kind, draw(anywhere)))
        elif kind == "deque":
            many = st.lists(st.integers(0, max_nodes - 1), max_size=150)
            children = draw(st.one_of(anywhere, many))
            nodes.append((kind, children, draw(st.sampled_from([None, None, 0, 3, 70]))))
        elif kind in MAPPINGS:
            options = {"defaultdict": [None, "list", "int"]}.get(kind, [False, True])
            nodes.append((kind, draw(earlier), draw(anywhere), draw(st.sampled_from(options))))
        else:
            nodes.append((kind, draw(earlier)))
    return nodes
