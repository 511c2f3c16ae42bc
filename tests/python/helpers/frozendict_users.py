"""What test_frozendict sends to workers; importable where there is no frozendict."""

import builtins
import gc

frozendict = getattr(builtins, "frozendict", dict)


class ByType:
    """Hashes by its class, which is another one in each interpreter."""

    def __init__(self, n):
        self.n = n

    def __hash__(self):
        return hash((type(self), self.n))

    def __eq__(self, other):
        return type(self) is type(other) and self.n == other.n


class Own(frozendict):
    pass


def use(there, back):
    tree = there.recv(timeout=60)
    big, keyed = tree
    assert type(big) is frozendict and big["key-7"] == [1.0, "text-7"] and hash(next(iter(keyed)))
    found = sum(keyed[frozendict({ByType(n): n})] == n for n in range(20))
    del big, keyed
    gc.collect()
    back.send(tree)
    return found


def read(d):
    return len(d["a"][0])
