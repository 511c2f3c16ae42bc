"""What the soak does in one round, from the main interpreter: each act checks what it did by itself.

An act gets a Cast (interpreters of its own, what is shared by all, recipes) and a random.Random, and returns the
number of messages that it counted. It leaves nothing behind: no tunnel, no shared object, no interpreter, no job.
"""

import concurrent.futures
import dataclasses
import os
import signal
import tempfile
import threading
import time

import instances
import jobs
import stress
import trees
from jobs import WAIT
from objtunnel import (
    Barrier,
    Box,
    Condition,
    Interpreter,
    InterpreterPoolExecutor,
    Lock,
    LockingDict,
    LockingList,
    Semaphore,
    SharedArray,
    SharedFile,
    Tunnel,
    freeze,
)


@dataclasses.dataclass
class Cast:
    """The interpreters a and b do the jobs of one thread only: jobs that wait for each other never queue."""

    a: Interpreter
    b: Interpreter
    counts: LockingDict
    collected: Tunnel
    recipes: dict
    made: list  # how many interpreters there were so far: [n]

    def interpreter(self):
        self.made[0] += 1
        new = Interpreter("passer-by")
        new.call(jobs.begin, self.counts, self.collected)
        return new


def leave(interpreter):
    interpreter.call(jobs.end)
    interpreter.close()


# ---- trees ---------------------------------------------------------------------------------------------


def trees_there_and_back(cast, rng):
    tunnel = Tunnel(rng.choice([0, 1, 3]))
    n = 0
    for _ in range(4):
        recipe, seed = rng.choice(cast.recipes["trees"]), rng.randrange(2**32)
        sender, receiver = rng.sample([cast.a, cast.b], 2)
        job = receiver.submit(jobs.receive_tree, tunnel, recipe, seed)
        n += sender.call(jobs.send_tree, tunnel, recipe, seed)
        job.result(WAIT)
        jobs.send_tree(tunnel, recipe, seed)
        n += receiver.call(jobs.receive_tree, tunnel, recipe, seed)
        sender.call(jobs.send_tree, tunnel, recipe, seed)
        n += jobs.receive_tree(tunnel, recipe, seed)
    return n


def trees_through_three(cast, rng):
    recipes = rng.choices(cast.recipes["trees"], k=6)
    first, second, third = Tunnel(), Tunnel(2), Tunnel()
    stops = [cast.a.submit(jobs.pass_on, first, second, 6), cast.b.submit(jobs.pass_on, second, third, 6)]
    for recipe in recipes:
        first.send(trees.build(recipe))
    for recipe in recipes:
        got = third.recv(timeout=WAIT)[0][0]
        trees.assert_same(got, trees.build(recipe))
        trees.abuse(got)
        del got
    return 3 * sum(stop.result(WAIT) for stop in stops) // 2


def trees_with_instances(cast, rng):
    tunnel = Tunnel()
    for recipe in rng.choices(cast.recipes["instances"], k=3):
        sender, receiver = rng.sample([cast.a, cast.b], 2)
        shape = sender.call(jobs.send_instances, tunnel, recipe)
        receiver.call(jobs.receive_instances, tunnel, recipe, shape)
        shape = sender.call(jobs.send_instances, tunnel, recipe)
        jobs.receive_instances(tunnel, recipe, shape)
        shape = jobs.send_instances(tunnel, recipe)
        receiver.call(jobs.receive_instances, tunnel, recipe, shape)
    instances.forget()
    return 9


def trees_of_interpreters_that_ended(cast, rng):
    """Senders are gone when their trees are received and used hard."""
    tunnel = Tunnel()
    kept = []
    for _ in range(2):
        sender = cast.interpreter()
        for _ in range(3):
            recipe, seed = rng.choice(cast.recipes["trees"]), rng.randrange(2**32)
            kept.append((recipe, seed))
            sender.call(jobs.send_tree, tunnel, recipe, seed)
        leave(sender)
    receiver = cast.interpreter()
    for recipe, seed in kept[:3]:
        receiver.call(jobs.receive_tree, tunnel, recipe, seed)
    leave(receiver)
    for recipe, seed in kept[3:]:
        jobs.receive_tree(tunnel, recipe, seed)
    return len(kept)


def stations(cast, rng):
    """The stress test: trees with an account of their own go round and add up."""
    cast.made[0] += 2
    return stress.round_trip(2, seconds=0.5, seed=rng.randrange(2**32), trees=3, rows=20)


# ---- streams ---------------------------------------------------------------------------------------------


def a_stream_until_its_producers_end(cast, rng):
    tunnel, counts = Tunnel(rng.choice([0, 1, 4])), cast.counts
    sizes = [rng.randrange(1, 300), rng.randrange(1, 300)]
    producers = [worker.submit(jobs.produce, tunnel, who, size, rng.randrange(2**32), counts)
                 for who, worker, size in zip("ab", (cast.a, cast.b), sizes)]
    seen = {"a": [], "b": []}
    for message in tunnel.until(*producers):
        seen[message["who"]].append(message["n"])
    for who, producer in zip("ab", producers):
        n, total = producer.result(WAIT)
        assert sorted(seen[who]) == list(range(n)) and sum(seen[who]) == total, (who, n, len(seen[who]))
    return sum(sizes)


def a_stream_to_another_interpreter(cast, rng):
    tunnel, n = Tunnel(rng.choice([1, 8])), rng.randrange(100, 400)
    consumer = cast.a.submit(jobs.consume, tunnel, rng.randrange(2**32), cast.counts)
    producer = cast.b.submit(jobs.produce, tunnel, "b", n, rng.randrange(2**32), cast.counts)
    mine = jobs.produce(tunnel, "main", n, rng.randrange(2**32), cast.counts)
    theirs = producer.result(WAIT)
    tunnel.close()
    messages, total = consumer.result(WAIT)
    assert (messages, total) == (mine[0] + theirs[0], mine[1] + theirs[1]), (messages, total, mine, theirs)
    return messages


def consumers_that_leave(cast, rng):
    """Breaking off `until` ends the producers; an error of one of them is raised after all that was sent."""
    tunnel, n = Tunnel(rng.choice([0, 2])), 0
    endless = cast.a.submit(jobs.endless, tunnel, "a")
    for who, i in tunnel.until(endless):
        assert (who, i) == ("a", n)
        n += 1
        if n == 20:
            break
    concurrent.futures.wait([endless], WAIT)
    assert endless.done()
    for _, i in tunnel.until():
        assert i == n
        n += 1
    try:
        for _ in tunnel.until(cast.b.submit(jobs.fail_with, KeyError("expected"))):
            raise AssertionError("a message of nobody")
    except KeyError as error:
        assert error.args == ("expected",)
    else:
        raise AssertionError("no error")
    return n


def interrupted_jobs(cast, rng):
    tunnel = Tunnel()
    job = cast.a.submit(jobs.wait_for_ever, tunnel)
    end = time.monotonic() + WAIT
    while not job.done() and time.monotonic() < end:
        cast.a.interrupt()
        time.sleep(rng.random() / 100)
    assert isinstance(job.exception(0), KeyboardInterrupt), job
    return 1


def control_c(cast, rng):
    """Ctrl-C ends a blocked call, and the callee's job."""
    tunnel = Tunnel()
    timer = threading.Timer(rng.random() / 20, os.kill, [os.getpid(), signal.SIGINT])
    try:
        timer.start()
        cast.a.call(jobs.wait_for_ever, tunnel)
    except KeyboardInterrupt:
        pass
    else:
        raise AssertionError("the call returned")
    finally:
        timer.join()
    assert cast.a.call(jobs.square, 7)[0] == 49
    return 1


# ---- failures ----------------------------------------------------------------------------------------------


def pickles_that_fail(cast, rng):
    tunnel = Tunnel()
    recipe = rng.choice(cast.recipes["trees"])
    tree = trees.build(recipe)
    for refuses in (jobs.Refuses("raises"), jobs.Refuses(7), lambda: None, (i for i in "generator")):
        tree.append({"deep": [refuses]})
        n = len(tree)
        try:
            tunnel.send(tree)
        except (TypeError, ValueError, AttributeError):
            pass
        else:
            raise AssertionError(f"{refuses} was sent")
        assert len(tree) == n and tree[-1]["deep"][0] is refuses and tunnel.empty()
        del tree[-1]
    del refuses
    trees.assert_same(tree, trees.build(recipe))
    tunnel.send(tree)
    trees.assert_same(tunnel.recv(WAIT), trees.build(recipe))
    key = f"reluctant {rng.randrange(2**60)}"
    tree = trees.build(recipe)
    tree.append(jobs.Reluctant(cast.counts, key))
    tunnel.send(tree)
    cast.b.call(jobs.receive_reluctant, tunnel, recipe, cast.counts, key)
    assert cast.counts.pop(key) == 2
    return 2


def messages_that_nobody_takes(cast, rng):
    """Dropped with their tunnel, in this interpreter or another one."""
    tunnel = Tunnel()
    for recipe in rng.choices(cast.recipes["trees"], k=4):
        tunnel.send(trees.build(recipe))
        cast.a.call(jobs.send_tree, tunnel, recipe, 0)
        inner = Tunnel()
        inner.send([trees.build(recipe)])
        tunnel.send([inner])
    if rng.random() < 0.5:
        tunnel.close(immediate=True)
    return 12


# ---- what is shared --------------------------------------------------------------------------------------------


def a_bank(cast, rng):
    """Sums over shared objects of all kinds stay, whoever moves what is in them."""
    accounts = LockingDict({f"a{i}": 100 for i in range(8)})
    accounts["trees"] = 0
    for i in range(2):
        accounts[f"tree{i}"] = {"balance": 0, "log": []}
    for i in range(6):
        accounts[f"t{i}"] = {"n": i, "pad": [float(i)] * 5}
    box = Box({"rows": [{"n": 50, "name": f"row {i}"} for i in range(10)]})
    items = LockingList([[i, str(i)] for i in range(5)])
    array, lock = SharedArray("q", 10), Lock()
    rounds = rng.randrange(30, 120)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "log")
        with SharedFile(path, "w") as file:
            seeds = [rng.randrange(2**31) * 2 for _ in range(3)]
            crew = [worker.submit(jobs.bank, accounts, box, items, array, lock, file, seed, rounds)
                    for worker, seed in zip((cast.a, cast.b), seeds)]
            n = jobs.bank(accounts, box, items, array, lock, file, seeds[2], rounds)
            n += sum(job.result(WAIT) for job in crew)
        with open(path, encoding="utf-8") as lines:
            _check_log(lines.read(), seeds, rounds)
    assert sum(accounts[f"a{i}"] for i in range(8)) == 800
    assert sum(accounts[f"tree{i}"]["balance"] for i in range(2)) == accounts["trees"]
    assert sorted(accounts[f"t{i}"]["n"] for i in range(6)) == list(range(6)) and len(accounts) == 17
    with box as tree:
        assert sum(row["n"] for row in tree["rows"]) == 500
    assert sorted(items.copy()) == [[i, str(i)] for i in range(5)]
    assert sum(array[i] for i in range(8)) == 0 and array[8] == array[9]
    return n


def _check_log(text, seeds, rounds):
    found = {}
    for line in text.splitlines():
        seed, i, pad = line.split(":")
        assert pad == "x" * (int(i) % 50), line
        found.setdefault(int(seed), []).append(int(i))
    assert found == {seed + j: list(range(rounds)) for seed in seeds for j in (0, 1)}, "lines of the SharedFile"


FROZEN = {"none", "bool", "int", "huge", "float", "nan", "complex", "str", "interned", "name", "bytes", "bytearray",
          "array", "range", "list", "strdict", "dict", "tuple", "set", "frozenset", "slice", "mappingproxy"}


def frozen_trees(cast, rng):
    recipe = [node if node[0] in FROZEN else ("none",) for node in rng.choice(cast.recipes["trees"])]
    view = freeze(trees.build(recipe))
    readers = [worker.submit(jobs.read_frozen, view, recipe) for worker in (cast.a, cast.b)]
    jobs.read_frozen(view, recipe)
    return 1 + sum(reader.result(WAIT) for reader in readers)


def locks_of_interpreters_that_end(cast, rng):
    lock = Lock()
    holder = cast.interpreter()
    holder.call(jobs.hold_and_leave, lock)
    holder.call(jobs.end)
    waiting = cast.a.submit(jobs.take_abandoned, lock)
    if rng.random() < 0.5:
        time.sleep(0.01)
    holder.close()
    assert waiting.result(WAIT) is True
    semaphore, barrier, condition = Semaphore(0), Barrier(2), Condition()
    job = cast.a.submit(barrier.wait, WAIT)
    barrier.wait(WAIT)
    job.result(WAIT)
    semaphore.release()
    assert cast.b.call(semaphore.acquire, True, WAIT)
    with condition:
        assert not condition.wait(0.001)
    return 1


# ---- pools -------------------------------------------------------------------------------------------------------


def a_pool(cast, rng):
    cast.made[0] += 2
    with InterpreterPoolExecutor(2) as pool:
        numbers = [rng.randrange(1000) for _ in range(60)]
        assert [x[0] for x in pool.map(jobs.square, numbers, chunksize=rng.choice([1, 7]))] == [n * n for n in numbers]
        futures = [pool.submit(jobs.square_or_fail, n) for n in numbers]
        for n, future in zip(numbers, futures):
            if n % 5 == 0:
                assert str(future.exception(WAIT)) == f"no {n}"
            else:
                assert future.result(WAIT) == n * n
        naps = [pool.submit(jobs.nap, 0.01) for _ in range(8)]
        cancelled = sum(nap.cancel() for nap in naps)
        assert sum(not nap.cancelled() and nap.result(WAIT) == 0.01 for nap in naps) == 8 - cancelled
        del future, futures, naps
    return 128


ACTS = [trees_there_and_back, trees_through_three, trees_with_instances, trees_of_interpreters_that_ended, stations,
        a_stream_until_its_producers_end, a_stream_to_another_interpreter, consumers_that_leave, interrupted_jobs,
        pickles_that_fail, messages_that_nobody_takes, a_bank, frozen_trees, locks_of_interpreters_that_end, a_pool]
MAIN_ONLY = [control_c]  # signals come to Python's main thread
