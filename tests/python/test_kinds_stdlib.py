"""The standard library's C types: deque, defaultdict, OrderedDict, Decimal, datetime's, mappingproxy, memoryview."""

import gc
import pickle
import weakref
from collections import OrderedDict, defaultdict, deque
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from types import MappingProxyType, SimpleNamespace

import pytest

import stdlib_kinds
import trees
from objtunnel import Interpreter, SharedReferenceError, Tunnel
from stdlib_kinds import (MAKERS, ById, Groups, Key, Line, Moment, Money, Ordered, Plain, Zone,
                          assert_same, number, text)

NAMES = list(MAKERS)
every_kind = pytest.mark.parametrize("name", NAMES)


def sent(o, **options):
    t = Tunnel()
    receipt = t.send(o, **options)
    return t.recv(), receipt


# ---- all of them --------------------------------------------------------------------------------

@every_kind
def test_moves(name):
    got, receipt = sent([MAKERS[name]()])
    assert_same(got[0], MAKERS[name]())
    assert receipt.pickled == (name == "datetime in a ZoneInfo" or name == "defaultdict of a class")
    gc.collect()
    trees.abuse(got)


@every_kind
def test_stays_where_something_else_refers_to_it(name):
    kept = MAKERS[name]()
    got, _ = sent([kept])
    assert_same(kept, MAKERS[name]())
    assert_same(got[0], MAKERS[name]())
    trees.abuse(got)
    assert_same(kept, MAKERS[name]())
    trees.abuse([kept])


@every_kind
def test_as_a_root(name):
    o = MAKERS[name]()
    got, _ = sent(o)
    assert_same(got, MAKERS[name]())
    assert type(o) is type(got)
    if type(o) in (deque, defaultdict, OrderedDict):
        assert len(o) == 0
    else:
        assert_same(o, MAKERS[name]())
    trees.abuse([got])
    trees.abuse([o])


def test_as_keys():
    def make():
        makers = {name: maker for name, maker in MAKERS.items()
                  if type(maker()).__hash__ not in (None, object.__hash__)
                  and not name.startswith(("mappingproxy", "view"))}
        return [{maker(): name for name, maker in makers.items()},
                {maker() for maker in makers.values()},
                OrderedDict((maker(), name) for name, maker in makers.items())]
    keys, (as_dict, as_set, in_order) = make()[1], sent(make())[0]
    assert len(as_dict) == len(as_set) == len(in_order) == len(keys) > 15
    assert as_dict == make()[0] and as_set == keys and in_order == make()[2]
    for key in keys:
        assert as_dict[key] == in_order[key] and key in as_set


def test_to_a_worker_and_back(worker):
    t = Tunnel()
    t.send([MAKERS[name]() for name in NAMES])
    assert worker.call(stdlib_kinds.receive_and_use, t, NAMES)
    assert worker.call(stdlib_kinds.make_and_send, t, NAMES)
    stdlib_kinds.receive_and_use(t, NAMES)


def test_the_sender_may_be_gone():
    t = Tunnel()
    with Interpreter() as sender:
        sender.call(stdlib_kinds.make_and_send, t, NAMES)
    stdlib_kinds.receive_and_use(t, NAMES)


def test_messages_never_received_are_freed():
    t = Tunnel()
    with Interpreter() as sender:
        sender.call(stdlib_kinds.make_and_send, t, NAMES)
    t.close(immediate=True)
    assert t.qsize() == 0


def test_messages_whose_classes_cannot_be_had_are_freed(run_script):
    """Subclasses of C types of which the disposing interpreter has only the base."""
    script = """
        import gc
        from objtunnel import Interpreter, Tunnel, _core
        code = '''
        import sys, types
        from collections import deque, defaultdict, OrderedDict
        from decimal import Decimal
        from datetime import datetime
        from objtunnel import Tunnel
        module = sys.modules["only_here"] = types.ModuleType("only_here")
        def made(base, *args, slots=()):
            body = {"__module__": "only_here", "__qualname__": f"My{base.__name__}{len(slots)}"}
            cls = type(body["__qualname__"], (base,), body | ({"__slots__": slots} if slots else {}))
            setattr(module, cls.__qualname__, cls)
            o = cls(*args)
            o.a = [Tunnel()]  # whose channel tells whether the object was freed
            return o
        receipt = t.send([made(base, *args, slots=slots) for slots in ((), ("a",))
                          for base, *args in ((deque, [1.5 + 1] * 99), (defaultdict, list, {1: [2]}),
                                              (OrderedDict, {"k" * 3: [3]}), (Decimal, "3" * 99),
                                              (datetime, 2024, 1, 2))])
        assert receipt.pickled == 0, receipt
        '''
        t = Tunnel()
        with Interpreter() as sender:
            sender.call(exec, code, {"t": t})
        full = _core._live_tunnels()
        t.close(immediate=True)
        gc.collect()
        print(full - _core._live_tunnels())
    """
    assert run_script(script).stdout == "10\n"


# ---- deque --------------------------------------------------------------------------------------

def test_an_emptied_deque_stops_its_iterators():
    d = deque(number(i) for i in range(100))
    forth, back = iter(d), reversed(d)
    next(forth), next(back)
    got, _ = sent(d)
    for iterator in (forth, back):
        with pytest.raises(RuntimeError, match="mutated"):
            next(iterator)
    d.extend(got)
    assert d == got and d.maxlen is None


def test_an_emptied_deque_keeps_its_length():
    d = deque([number(1), number(2)], maxlen=2)
    got, receipt = sent(d)
    assert receipt == (3, 0, 0)
    assert (d.maxlen, len(d), got.maxlen, len(got)) == (2, 0, 2, 2)
    d.extend([1, 2, 3])
    got.append(3)
    assert list(d) == [2, 3] and got[1] == 3


def test_kept_blocks_of_a_deque_move_too():
    d = deque(range(5000))
    for _ in range(4000):
        d.popleft()
    got, _ = sent([d.copy(), d])
    assert got[0] == got[1] == d
    d.extend(range(5000))
    got[1].extend(range(5000))
    assert got[1] == d


def test_a_deque_in_itself():
    d = deque([number(1)])
    d.append(d)
    got, _ = sent([d])
    assert got[0][1] is got[0] and d[1] is d
    d = deque([[1]])
    d[0].append(d)
    box = [d]
    del d
    got, receipt = sent(box, strict=True)
    assert got[0][0][1] is got[0] and receipt.copied == 0


# ---- defaultdict ------------------------------------------------------------------------------

def test_missing_keys_on_both_sides():
    d = defaultdict(list, {text(1): [1]})
    got, _ = sent(d)
    assert d == {} and d["new"] == [] and got["new"] == [] and got[text(1)] == [1]


def test_a_factory_that_is_pickled_by_name_stays_with_the_sender(worker):
    d = defaultdict(Plain, {1: 2})
    got, _ = sent(d)
    assert type(d["new"]) is Plain and type(got["new"]) is Plain and got.default_factory is Plain


def test_a_factory_of_its_own_moves():
    class Counter2:  # cannot be pickled
        pass
    factory = stdlib_kinds.Line([1]).copy  # a bound method: pickled, with what it is bound to
    d = defaultdict(factory, {text(1): 2})
    got, _ = sent(d)
    assert got["new"] == Line([1]) and d["new"] == Line([1])
    with pytest.raises(TypeError, match=r"\$\[0\]\['k'\]\.default_factory: cannot send this"):
        sent([{"k": defaultdict(lambda: Counter2())}])


# ---- OrderedDict ------------------------------------------------------------------------------

def test_an_emptied_ordered_dict_stops_its_iterators():
    d = OrderedDict((text(i), number(i)) for i in range(100))
    forth, items = iter(d), iter(d.items())
    next(forth), next(items)
    sent(d)
    for iterator in (forth, items):
        with pytest.raises(RuntimeError, match="mutated|changed"):
            next(iterator)
    d["x"] = 1
    d.move_to_end("x")
    assert list(d.items()) == [("x", 1)]


@pytest.mark.parametrize("outside", [False, True])
@pytest.mark.parametrize("cls", [OrderedDict, Ordered])
def test_an_ordered_dict_at_odds_with_its_dict_is_pickled(cls, outside):
    d = cls({text(1): number(1), text(2): [number(2)]})
    dict.__setitem__(d, "behind its back", 3)
    expected, box = list(d.items()), [d]
    if not outside:
        del d
    got, receipt = sent(box)
    assert list(got[0].items()) == expected and receipt.pickled == 1
    if outside:
        assert list(d.items()) == expected and len(d) == 3


def test_an_ordered_dict_at_odds_in_a_cycle_that_stays():
    """The partition goes over it, though it will be pickled: entries without nodes and all."""
    odd = OrderedDict(a=[1])
    dict.__setitem__(odd, text(1), [2])
    cycle = [odd, Plain()]
    cycle.append(cycle)
    tree = [cycle]
    del odd
    got, receipt = sent(tree)
    assert receipt.pickled == 1 and got[0][2] is got[0] and list(got[0][0].items()) == [("a", [1])]
    assert cycle[2] is cycle and cycle[0][text(1)] == [2]


@pytest.mark.parametrize("cls", [OrderedDict, Ordered])
def test_the_attributes_of_an_ordered_dict_move(cls):
    box = [stdlib_kinds.with_attributes(cls({text(1): number(1)}), note=[number(2)])]
    address = id(box[0].__dict__["note"])
    got, _ = sent(box, strict=True)
    assert id(got[0].note) == address and got[0].note == [number(2)]


def test_an_ordered_dict_after_much_change():
    def make():
        d = OrderedDict((text(i), i) for i in range(500))
        for i in range(0, 500, 3):
            del d[text(i)]
        for i in range(0, 500, 7):
            d[text(i)] = [number(i)]
            d.move_to_end(text(i), last=i % 2)
        d.pop(text(7))
        return d
    outside = make()
    got, _ = sent([make(), outside])
    assert list(got[0].items()) == list(got[1].items()) == list(make().items())
    assert list(reversed(got[0])) == list(reversed(got[1])) == list(reversed(make()))
    trees.abuse(got)
    assert list(outside.items()) == list(make().items())


# ---- keys that hash by address, or are rebuilt ------------------------------------------------

@pytest.mark.parametrize("cls", [dict, Plain, OrderedDict, Ordered, lambda x: defaultdict(None, x),
                                 lambda x: Groups(None, x)])
def test_keys_whose_hash_changes(cls):
    one, two = ById(), ById()
    outside = cls({one: 1, (two, text(1)): 2, frozenset([one]): 3, Key(5): 4, text(5): 5})
    got, receipt = sent([outside])
    keys = list(got[0])
    assert [got[0][key] for key in keys] == [1, 2, 3, 4, 5] and receipt.pickled == 1
    assert [outside[key] for key in outside] == [1, 2, 3, 4, 5]
    if isinstance(got[0], OrderedDict):
        got[0].move_to_end(keys[0])
        assert list(got[0]) == keys[1:] + keys[:1]
    trees.abuse(got)


@pytest.mark.parametrize("cls", [set, frozenset])
def test_elements_of_subclasses_whose_hash_changes(cls):
    subclass = {set: MySet, frozenset: MyFrozenSet}[cls]
    outside = subclass([ById(), (ById(), 1), Key(3)])
    got, _ = sent([outside])
    assert type(got[0]) is subclass and len(got[0]) == 3 and all(x in got[0] for x in got[0])


class MySet(set):
    pass


class MyFrozenSet(frozenset):
    pass


def test_a_nan_is_found_where_it_was():
    nan = Decimal("nan")
    outside = {nan: 1}
    got, _ = sent([outside, {Decimal("nan"): 2}, OrderedDict({nan: 3})])
    for d in got:
        [key] = d
        assert key in d and key.is_nan()
    assert next(iter(got[0])) is next(iter(got[2]))
    assert nan in outside


def test_values_are_not_rehashed():
    """A copied Decimal, say, is no reason to ask the keys for their hashes again: one that has changed
    its value is still where it was put."""
    decimal, day = Decimal("1.5"), date(2024, 2, 29)
    renamed = Renamed()
    tree = [[decimal, day], deque([day]), decimal,
            {renamed: 1}, {(decimal, day): 2, (text(1), number(1)): 3}]
    renamed.name = 2  # another place in the table, which is empty
    del renamed
    got, _ = sent(tree)
    [key] = got[3]
    assert key.name == 2 and key not in got[3]
    assert got[4][decimal, day] == 2 and got[4][text(1), number(1)] == 3


class Renamed:
    def __init__(self):
        self.name = 1

    def __hash__(self):
        return hash(self.name)


# ---- datetime ---------------------------------------------------------------------------------

def test_utc_is_the_same_everywhere(worker):
    t = Tunnel()
    t.send([timezone.utc, timedelta(0), datetime(2024, 1, 1, tzinfo=timezone.utc)], strict=True)
    assert worker.call(receive_utc, t, id(timezone.utc))
    got, receipt = sent(timezone.utc, strict=True)
    assert got is timezone.utc and receipt == (0, 0, 0)


def receive_utc(t, address):
    got = t.recv(timeout=60)
    from datetime import timezone as here
    return got[0] is here.utc and got[2].tzinfo is here.utc and id(here.utc) == address


def test_a_receiver_that_has_not_imported_the_modules():
    t = Tunnel()
    with Interpreter() as worker:
        for o in (date(2024, 2, 29), Decimal("1.5"), timezone.utc, deque([1.5 + number(1)]),
                  datetime(2024, 2, 29, tzinfo=timezone(timedelta(1, -1)))):
            t.send([o])
            assert worker.call(receive_repr, t) == f"[{o!r}]"


def receive_repr(t):
    return repr(t.recv(timeout=60))


def test_one_zone_of_many_datetimes():
    zone = Zone(2)
    box = [datetime(2024, 1, i + 1, tzinfo=zone) for i in range(20)]
    del zone
    got, receipt = sent(box, strict=True)
    assert len({id(o.tzinfo) for o in got}) == 1 and receipt.copied == 0
    zone = Zone(2)
    box = [Moment(2024, 1, i + 1, tzinfo=zone) for i in range(20)]
    got, receipt = sent(box)
    assert len({id(o.tzinfo) for o in got}) == 1 and got[0].tzinfo is not zone
    assert got[3] + timedelta(1) == got[4] and zone.offset == timedelta(hours=2)


# ---- what stays, and says so ------------------------------------------------------------------

def test_weak_references_pin():
    d = Line([number(1)])
    for o in (deque([number(1)]), OrderedDict({1: number(1)}), d):
        ref = weakref.ref(o)
        got, _ = sent(o)
        assert len(got) == len(o) == 1 and ref() is o


@every_kind
def test_strict(name):
    o = MAKERS[name]()
    shared = o not in (timezone.utc, timedelta(0)) or type(o) is stdlib_kinds.Span
    if not shared:
        sent([o], strict=True)
        return
    with pytest.raises(SharedReferenceError, match=r"^\$\[0\]: "):
        sent([o], strict=True)
    assert_same(o, MAKERS[name]())


def test_paths():
    stuck = (x for x in ())
    cases = {
        "$[0][1]": deque([1, stuck]),
        "$[0].default_factory": defaultdict(lambda: 1),
        "$[0]['a']": OrderedDict(a=stuck),
        "$[0].note": stdlib_kinds.with_attributes(OrderedDict(), note=stuck),
        "$[0]['k'][0]": MappingProxyType({"k": [stuck]}),
        "$[0].tzinfo.cause": datetime(2024, 1, 1, tzinfo=stdlib_kinds.with_attributes(Zone(), cause=stuck)),
        "$[0].name[0]": stdlib_kinds.with_attributes(Line(), name=[stuck]),
        "$[0].currency": stdlib_kinds.with_attributes(Money(1), currency=stuck),
        "$[0]['k'] (the key)": {"k": 1, stuck: 2},
    }
    for path, o in cases.items():
        with pytest.raises(TypeError) as caught:
            sent([o])
        if "the key" in path:
            assert "(the key): cannot send" in str(caught.value)
        else:
            assert str(caught.value).startswith(f"{path}: cannot send this generator") or \
                "default_factory: cannot send this function" in str(caught.value)


def test_pickling_what_was_received():
    """Pickle forgets the attributes of some subclasses; what it keeps is the same."""
    names = [name for name in NAMES if "proxy" not in name and "view" not in name
             and "Zone" not in repr(MAKERS[name]())]
    got, _ = sent([MAKERS[name]() for name in names])
    trees.assert_same(pickle.loads(pickle.dumps(got)), [MAKERS[name]() for name in names])


# ---- SimpleNamespace ------------------------------------------------------------------------------

def test_namespaces_in_a_circle(worker):
    a = SimpleNamespace(name=text(1))
    a.me, a.list = a, [a]
    t = Tunnel()
    t.send([a])  # copied: `a` refers to it
    got = t.recv()[0]
    assert got is not a and got.me is got and got.list[0] is got and a.me is a
    t.send([vars(got)["list"], got.me])
    assert worker.call(stdlib_kinds.use_circle, t) == text(1)


def test_the_path_into_a_namespace():
    with pytest.raises(TypeError, match=r"^\$\[0\]\.rows\[1\]: cannot send this generator"):
        Tunnel().send([SimpleNamespace(rows=[1, (i for i in ())])])


def test_the_husk_of_a_namespace_is_not_to_be_found():
    """CPython's methods for namespaces insist on a dict."""
    t = Tunnel()
    t.send(SimpleNamespace(a=[1]))
    for o in gc.get_objects():
        if type(o) is SimpleNamespace:
            assert repr(o) and o.__reduce__()
    assert t.recv() == SimpleNamespace(a=[1])
