"""What test_layouts.py's workers do."""

import gc

import instance_classes

NAMES = "first second third fourth".split()


def learn(name, names):
    """Has the class see attributes in this order, in this interpreter."""
    o = getattr(instance_classes, name)()
    for attribute in names:
        setattr(o, attribute, attribute)


def fill(o, attributes):
    for name in attributes:
        setattr(o, name, [name])
    return o


def receive_in_order(t):
    [o] = t.recv()
    gc.collect()
    return [getattr(o, name) for name in NAMES if name != "third"], o.third("ff"), o.third.func is int


def use_all(t, names):
    [o] = t.recv()
    before = [getattr(o, name, None) for name in names]
    for _ in range(3):
        fill(o, names)
    gc.collect()
    return before, [getattr(o, name) for name in names], len(vars(o))
