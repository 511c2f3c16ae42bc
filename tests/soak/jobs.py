"""What the soak's interpreters run. Loads in every interpreter of the process, the main one included.

Each interpreter has witnesses: objects of its own that its trees refer to. What a message copies must leave
their refcounts exactly as they were.
"""

import gc
import random
import sys
import threading
import time

import instances
import trees
from objtunnel import LockAbandonedError, TunnelClosed, TunnelEmpty, TunnelSendTimeout, TunnelTimeout

WAIT = 120  # seconds that nothing takes, but for a hang


class Witness:
    pass


def _make_witnesses():
    instance = Witness()
    instance.name = ["an attribute"]
    return [[1.5, [2.5]], {"key": [1]}, ("tuple", 2.75), {"set", 1000001}, bytes(range(50)), bytearray(b"array"),
            "".join(["not ", "interned"]), 10**30, 0.125, instance]


WITNESSES = _make_witnesses()
_counts = [sys.getrefcount(o) for o in WITNESSES]


def witnesses_are_exact():
    """Raises AssertionError unless each witness has the refcount and content that it began with."""
    found = [sys.getrefcount(o) for o in WITNESSES]
    assert found == _counts, ("refcounts of witnesses", found, _counts)
    fresh = _make_witnesses()
    assert WITNESSES[:-1] == fresh[:-1] and vars(WITNESSES[-1]) == vars(fresh[-1]), "a witness has changed"
    return True


# ---- what goes on in an interpreter beside its jobs ------------------------------------------------


class Callbacks:
    """A callback of the collector that counts in a shared dict and sends, now and then."""

    def __init__(self, counts, tunnel):
        self.counts, self.tunnel, self.seen, self.on = counts, tunnel, 0, True

    def __call__(self, phase, info):
        if phase == "stop" and self.on:
            self.seen += 1
            if self.seen % 20 == 0:
                self.tunnel.send([phase, info["collected"]])
                self.counts.add("sent by callbacks")


callbacks = None


def begin(counts, tunnel):
    """In every interpreter, first of all. An exception that Python could only print counts as a violation."""
    global callbacks
    callbacks = Callbacks(counts, tunnel)
    gc.callbacks.append(callbacks)

    def note(unraisable):
        counts.add("unraisable")
        print(f"soak: unraisable {unraisable.exc_type} {unraisable.exc_value} in {unraisable.object}",
              file=sys.stderr, flush=True)

    sys.unraisablehook = note
    threading.excepthook = lambda args: note(sys.UnraisableHookArgs(
        (args.exc_type, args.exc_value, args.exc_traceback, None, args.thread)))
    return True


def settle(on=False):
    """Nothing is left of what the jobs did; whether callbacks send from now on."""
    callbacks.on = False
    instances.forget()
    gc.collect()
    witnesses_are_exact()
    callbacks.on = on
    return True


def modules_of_a_worker():
    return [name for name in sys.modules if not name.startswith("__")]


def end():
    """Last of all. CPython leaves behind what gc.callbacks refers to when an interpreter ends, the whole module."""
    settle()
    gc.callbacks.remove(callbacks)
    return True


# ---- trees -------------------------------------------------------------------------------------------


def with_witnesses(tree, rng):
    tree.append(rng.sample(WITNESSES, 3))
    return tree


def send_tree(tunnel, recipe, seed):
    """Sends a tree that refers to witnesses; they are copied."""
    rng = random.Random(seed)
    tunnel.send(with_witnesses(trees.build(recipe), rng), timeout=WAIT)
    return 1


def receive_tree(tunnel, recipe, seed):
    rng = random.Random(seed)
    got = tunnel.recv(timeout=WAIT)
    own = with_witnesses(trees.build(recipe), rng)
    copies, expected = got.pop(), own.pop()
    for a, b in zip(copies, expected, strict=True):
        assert a is not b and type(a) is type(b) or a == b
    trees.assert_same(got, own)
    del own, expected, a, b
    if rng.random() < 0.5:
        trees.abuse(got)
    return 1


def pass_on(there, back, count):
    for _ in range(count):
        box = [there.recv(timeout=WAIT)]
        back.send(box, timeout=WAIT)
        assert box == []
    return count


def send_instances(tunnel, recipe):
    """Whether the tree keeps its shape: pickled objects share nothing with the tree around them."""
    tree, outside = instances.build(recipe)
    return tunnel.send(tree, timeout=WAIT).pickled == 0 and not outside


def receive_instances(tunnel, recipe, shape):
    got = tunnel.recv(timeout=WAIT)
    expected, _ = instances.build(recipe)
    instances.assert_same(got, expected, shape)
    instances.abuse(got)
    del got
    instances.abuse(expected)
    return 1


# ---- streams -----------------------------------------------------------------------------------------


def produce(tunnel, who, count, seed, counts):
    """`count` messages with a running sum, in several threads; some sends time out and are tried again."""
    rng = random.Random(seed)
    failures = []

    def part(numbers, patience):
        try:
            for i in numbers:
                message = {"who": who, "n": i, "pad": [float(i)] * (i % 7), "w": WITNESSES[i % len(WITNESSES)]}
                while True:
                    try:
                        tunnel.send(message, timeout=patience)
                    except TunnelSendTimeout:
                        assert message["n"] == i
                        counts.add("send timeouts")
                        patience = min(1.0, patience * 2)
                    else:
                        assert message == {}
                        break
        except BaseException as error:
            failures.append(error)

    cut = rng.randrange(count + 1)
    patience = rng.choice([0.0005, 0.005, 1.0])
    thread = threading.Thread(target=part, args=[range(cut), patience])
    thread.start()
    part(range(cut, count), patience)
    thread.join()
    if failures:
        raise failures[0]
    return count, sum(range(count))


def consume(tunnel, seed, counts):
    """Until it is closed, with impatience; (messages, sum)."""
    rng = random.Random(seed)
    messages = total = 0
    while True:
        try:
            message = tunnel.recv(timeout=rng.choice([0.0, 0.001, 0.01, 1.0]))
        except (TunnelTimeout, TunnelEmpty):
            counts.add("recv timeouts")
            continue
        except TunnelClosed:
            return messages, total
        messages += 1
        total += message["n"]
        assert message["pad"] == [float(message["n"])] * (message["n"] % 7)
        assert message["w"] is not WITNESSES


def endless(tunnel, who):
    i = 0
    while True:
        tunnel.send([who, i])
        i += 1


def wait_for_ever(tunnel):
    tunnel.recv()


def fail_with(error):
    raise error


# ---- pickling that fails --------------------------------------------------------------------------------


class Refuses:
    """Cannot be pickled."""

    def __init__(self, how):
        self.how = how

    def __reduce_ex__(self, protocol):
        if self.how == "raises":
            raise ValueError("refused")
        return self.how  # not what a reducer may return


def _rebuild(counts, key):
    if counts.get(key, 0) < 2:
        raise OSError("not yet")
    return key


class Reluctant:
    """Is rebuilt once two receives have failed. One that fails may try it twice: to find its path."""

    def __init__(self, counts, key):
        self.counts, self.key = counts, key

    def __reduce_ex__(self, protocol):
        return _rebuild, (self.counts, self.key)


def receive_reluctant(tunnel, recipe, counts, key):
    """Two receives fail, the message stays, the third gets it whole."""
    for _ in range(2):
        try:
            tunnel.recv(timeout=WAIT)
        except OSError as error:
            assert "not yet" in str(error)
            counts.add(key)
        else:
            raise AssertionError("was rebuilt too early")
    got = tunnel.recv(timeout=WAIT)
    assert got.pop() == key
    trees.assert_same(got, trees.build(recipe))
    trees.abuse(got)
    return 1


# ---- what is shared ---------------------------------------------------------------------------------------


def bank(accounts, box, items, array, lock, file, seed, rounds):
    """Moves what is conserved from one place to another, in two threads. How many transfers each was."""
    failures = []

    def part(seed):
        rng = random.Random(seed)
        try:
            for i in range(rounds):
                _transfer(rng, accounts, box, items, array, lock)
                file.print(f"{seed}:{i}:" + "x" * (i % 50))
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=part, args=[seed + 1])
    thread.start()
    part(seed)
    thread.join()
    if failures:
        raise failures[0]
    return 2 * rounds


def _transfer(rng, accounts, box, items, array, lock):
    what = rng.randrange(7)
    amount = rng.randrange(1, 20)
    if what == 0:  # two keys, each of which is atomic
        accounts.add(f"a{rng.randrange(8)}", -amount)
        accounts.add(f"a{rng.randrange(8)}", amount)
    elif what == 1:  # trees in a dict, one holder at a time
        with accounts.checkout(f"tree{rng.randrange(2)}") as tree:
            tree["balance"] += amount
            tree["log"].append(amount)
            del tree["log"][:-20]
        accounts.add("trees", amount)
    elif what == 2:
        with box as tree:
            one, other = rng.choice(tree["rows"]), rng.choice(tree["rows"])
            one["n"] -= amount
            other["n"] += amount
            del one, other
    elif what == 3:
        try:
            token = items.pop(rng.randrange(4))
        except IndexError:
            return
        items.append(token)
    elif what == 4:
        array.add(rng.randrange(8), amount)
        array.add(rng.randrange(8), -amount)
    elif what == 5:
        with lock:
            array[8] = array[8] + 1  # not atomic but for the lock
        array.add(9, 1)
    else:
        token = accounts.pop(f"t{rng.randrange(6)}", None)
        if token is not None:
            accounts[f"t{token['n']}"] = token


def read_frozen(view, recipe):
    trees.assert_same(view.thaw(), trees.build(recipe))
    return 1


def hold_and_leave(lock):
    """The interpreter ends with the lock held."""
    global held
    held = lock
    lock.acquire()


def take_abandoned(lock):
    try:
        lock.acquire(timeout=WAIT)
    except LockAbandonedError:
        assert lock.recover()
        return True
    lock.release()
    return False


def square(n):
    return [n * n, WITNESSES[0]]


def square_or_fail(n):
    if n % 5 == 0:
        raise ValueError(f"no {n}")
    return n * n


def nap(seconds):
    time.sleep(seconds)
    return seconds
