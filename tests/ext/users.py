"""What the workers of test_grid.py run, found there by name."""

import gc

import grid


class Named(grid.Grid):
    """A class statement over a registered type: attributes besides what C laid out."""


def use(tunnel, address):
    """The Grid is this interpreter's own, at the same place, and bears all use."""
    (g,) = tunnel.recv(timeout=60)
    assert type(g) is grid.Grid and g.address == address
    assert g.labels == ["row 0", "row 1", "row 2"] and g.note == {"unit": ["m", 1.5]}
    assert g.sum() == 7.5
    gc.collect()
    assert any(o is g for o in gc.get_objects())
    m = memoryview(g)
    m[0, 0] = 1.0
    assert g.sum() == 8.5
    m.release()
    g.note["self"] = g
    g.labels.append("more")
    del g
    gc.collect()
    return True


def pass_on(tunnel):
    (g,) = tunnel.recv(timeout=60)
    g.labels += ["seen"]
    g.note = [g.note]
    box = [g]
    del g
    return tunnel.send(box).pickled == 0


def make_and_send(tunnel):
    g = grid.Grid(["row 0", "row 1"], 4)
    m = memoryview(g)
    m[1, 1] = 7.5
    m.release()
    g.note = {"key": ["value"]}
    box = [g]
    del g
    return tunnel.send(box).pickled == 0


def check_named(tunnel):
    (g,) = tunnel.recv(timeout=60)
    gc.collect()
    assert type(g) is Named and g.name == ["a name"] and g.labels == ["a", "b", "c"]
    g.more = g
    del g
    gc.collect()
    return True
