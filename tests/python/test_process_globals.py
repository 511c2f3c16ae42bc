"""process_global(), GlobalLock, process_globals(): process-wide state from Python."""

import os
import pickle
import threading

import pytest

import objtunnel
from objtunnel import GlobalLock, Interpreter, _core, live_objects, process_global, process_globals

# On a free-threaded build instances move whatever they say about pickling, and copy.deepcopy copies them.
by_pickle = pytest.mark.skipif(hasattr(_core, "rebias"), reason="nothing is pickled on a free-threaded build")


def find(key):
    return [g for g in process_globals() if g.key == key]


def find_live(kind, name):
    return [o for o in live_objects() if (o.kind, o.name) == (kind, name)]


# ---- process_global -----------------------------------------------------------------------------

def test_one_factory_call_and_a_copy_for_each_interpreter(run_script):
    run_script("""
        import itertools, objtunnel
        from objtunnel import Interpreter, Tunnel, process_global, process_globals

        calls = Tunnel()

        def ask(calls):
            def factory():
                calls.send("called")
                return {"rows": [[1, 2.5], "x"], "tunnel": calls}
            value = objtunnel.process_global("k", factory)
            assert objtunnel.process_global("k", None) is value
            value["rows"].append("mine")
            value["tunnel"].send("hello")
            return len(value["rows"])

        if __name__ == "__main__":
            with Interpreter() as a, Interpreter() as b:
                asked = [i.submit(ask, calls) for i in (a, b)]
                assert [f.result() for f in asked] == [3, 3]  # the other one's change is not seen
                assert ask(calls) == 3
                calls.close()
                assert sorted(calls) == ["called", "hello", "hello", "hello"]
                (entry,) = [g for g in process_globals() if g.key == "k"]
                assert entry.name == "objtunnel.process_global" and entry.state == "ready"
                assert entry.users == {0: 1, a.id: 1, b.id: 1} and entry.inits == 1
                (live,) = [o for o in objtunnel.live_objects() if o.name == "k"]
                assert (live.kind, live.handles, live.elsewhere) == ("process_global", {}, 1)
                assert 0 <= entry.age < 3600
            (entry,) = [g for g in process_globals() if g.key == "k"]
            assert entry.users == {0: 1}
    """)


def test_value_goes_with_the_last_interpreter_that_asked():
    with Interpreter() as i:
        # So large that a leak would show, and of all kinds.
        i.run("from objtunnel import process_global\n"
              "v = process_global('gone', lambda: [[str(n), n * 1.5, {n: (n,)}] for n in range(1000)])")
        assert find("gone")[0].users == {i.id: 1}
    assert not find("gone")
    with Interpreter() as i:
        i.run("from objtunnel import process_global; assert process_global('gone', list) == []")


@by_pickle
def test_failures_leave_nothing_behind(run_script):
    run_script("""
        from objtunnel import TunnelClosed, process_global, process_globals

        def refused(exception, key, factory):
            try:
                process_global(key, factory)
            except exception as error:
                assert not [g for g in process_globals() if g.key == key]
                return str(error)
            raise AssertionError

        refused(ZeroDivisionError, "k", lambda: 1 / 0)
        assert "generator" in refused(TypeError, "k", lambda: (i for i in range(3)))
        refused(TypeError, "k", 3)
        refused(TypeError, 3, int)
        assert "['k'] cannot be entered here" in refused(
            RuntimeError, "k", lambda: process_global("k", int))

        class Picklable:  # so and so often
            times = 1
            def __reduce__(self):
                Picklable.times -= 1
                if Picklable.times < 0:
                    raise ValueError("no more pickling")
                return Picklable, ()

        # It becomes a value, but no copy can be made of that.
        assert "no more pickling" in refused(TypeError, "k", lambda: [Picklable()])
        Picklable.times = 10
        assert isinstance(process_global("k", lambda: [Picklable()])[0], Picklable)
        assert process_global("outer", lambda: [process_global("inner", int)]) == [0]
    """)


def test_handles_are_the_same_thing_everywhere(run_script):
    run_script("""
        from objtunnel import GlobalLock, Interpreter, Tunnel, process_global
        tunnel = process_global("tunnel", Tunnel)
        lock = process_global("lock", lambda: GlobalLock("handle"))
        if __name__ == "__main__":
            with Interpreter() as i, lock:
                i.run("from objtunnel import process_global\\n"
                      "process_global('tunnel', None).send([1, 2])\\n"
                      "assert process_global('lock', None).locked()")
                assert tunnel.recv(timeout=30) == [1, 2]
    """)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_forked_child_makes_its_own(run_script):
    result = run_script("""
        import os
        from objtunnel import process_global
        assert process_global("mine", lambda: [os.getpid()]) == [os.getpid()]
        pid = os.fork()
        if pid == 0:
            assert process_global("mine", None) == [os.getppid()]  # this interpreter's copy
            assert process_global("new", lambda: [os.getpid()]) == [os.getpid()]
            print("child is fine", flush=True)
            os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0
    """)
    assert result.stdout == "child is fine\n"


# ---- GlobalLock ---------------------------------------------------------------------------------

def test_lock_is_one_by_name(worker):
    lock, other = GlobalLock("one"), GlobalLock("other")
    assert lock.name == "one" and not lock.locked()
    with lock as entered:
        assert entered is lock and lock.locked() and not other.locked()
        assert not GlobalLock("one").acquire(blocking=False)
        assert not GlobalLock("one").acquire(timeout=0.01)
        worker.run("from objtunnel import GlobalLock; assert not GlobalLock('one').acquire(False)")
        assert "held" in repr(lock)
    worker.run("l = GlobalLock('one'); assert l.acquire(False)")
    assert lock.locked()
    with pytest.raises(RuntimeError, match="'one' is not held"):
        lock.release()
    worker.run("l.release(); del l")
    assert GlobalLock("one") == lock != other and len({GlobalLock("one"), lock, other}) == 2
    assert [(o.id, o.handles, o.elsewhere) for o in find_live("GlobalLock", "one")] == [(lock.id, {0: 1}, 0)]
    del lock, entered
    assert not find_live("GlobalLock", "one") and find_live("GlobalLock", "other")


def test_lock_bad_arguments():
    lock = GlobalLock("args")
    for bad in (lambda: GlobalLock(), lambda: GlobalLock(3), lambda: lock.acquire(timeout="x")):
        with pytest.raises(TypeError):
            bad()
    with pytest.raises(ValueError):
        lock.acquire(timeout=-1)


def test_lock_pickles_by_number():
    lock = GlobalLock("pickled")
    with lock:
        copy = pickle.loads(pickle.dumps(lock))
        assert copy.name == "pickled" and copy.locked()
        with pytest.raises(RuntimeError):
            copy.release()


@by_pickle
def test_a_lock_that_is_sent_is_not_held_there(tunnel):
    lock = GlobalLock("sent")
    with lock:
        assert tunnel.send([lock]).pickled == 0
        copy = tunnel.recv()[0]
        assert copy == lock and "held" not in repr(copy) and not copy.acquire(False)
    with copy:
        assert not lock.acquire(timeout=0)


def test_lock_names():
    for name in ("", "two words", "\N{GREEK SMALL LETTER ALPHA}'\"", "x" * 10_000):
        with GlobalLock(name) as lock:
            assert lock.name == name and repr(name) in repr(lock) and GlobalLock(name).locked()
    with pytest.raises(ValueError):
        GlobalLock("with a\0 in it")  # C code would see another name
    assert not [o for o in live_objects() if o.kind == "GlobalLock" and o.name == "two words"]


@pytest.fixture(scope="module")
def other_worker(open_worker):
    yield from open_worker("other")


def test_interpreters_that_make_the_same_lock_at_once(worker, other_worker):
    source = "from objtunnel import GlobalLock\nfor _ in range(500): assert GlobalLock('raced').acquire(timeout=60)"
    for _ in range(3):
        jobs = [i.submit(exec, source) for i in (worker, other_worker)]
        exec(source)
        for job in jobs:
            job.result()
    assert not find_live("GlobalLock", "raced")


def test_lock_of_a_handle_that_goes_is_free(worker):
    lock = GlobalLock("dropped")
    with Interpreter() as i:
        i.run("from objtunnel import GlobalLock; held = GlobalLock('dropped'); held.acquire()")
        assert lock.locked()
    assert lock.acquire(timeout=30)
    lock.release()


def test_lock_excludes_between_interpreters(run_script):
    run_script("""
        import os, sys, threading
        from objtunnel import GlobalLock, Interpreter

        def count(path, n):  # read, add, write: loses counts without the lock
            lock = GlobalLock("the file")
            for _ in range(n):
                with lock:
                    with open(path) as f:
                        value = int(f.read())
                    with open(path, "w") as f:
                        f.write(str(value + 1))

        if __name__ == "__main__":
            path = sys.argv[0] + ".count"
            with open(path, "w") as f:
                f.write("0")
            with Interpreter() as a, Interpreter() as b:
                jobs = [i.submit(count, path, 200) for i in (a, b)]
                threads = [threading.Thread(target=count, args=(path, 200)) for _ in range(2)]
                for t in threads:
                    t.start()
                for t in threads:
                    t.join()
                for job in jobs:
                    job.result()
            with open(path) as f:
                assert f.read() == "800"
    """)


def test_threads_share_one_handle():
    lock, total = GlobalLock("threads"), [0]

    def add():
        for _ in range(200):
            with lock:
                total[0] += 1

    threads = [threading.Thread(target=add) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert total == [800] and not lock.locked()


# What a forked child is to do, and what the parent does after it, with `lock` and `use`.
FORK = """
    import gc, os, signal, threading, warnings
    from objtunnel import GlobalLock, LockAbandonedError
    warnings.simplefilter("ignore")  # CPython's, about threads
    lock = GlobalLock("forked")

    def raises(exception, function, *args):
        try:
            function(*args)
        except exception as error:
            assert type(error) is exception, error
            return True

    def fork(child):
        pid = os.fork()
        if pid:
            assert os.waitpid(pid, 0)[1] == 0
        else:
            status = 1
            try:
                signal.alarm(60)
                child()
                status = 0
            finally:
                os._exit(status)

    def is_free():
        assert not GlobalLock("forked").locked()
        with GlobalLock("forked"):
            assert not lock.acquire(False) and lock.locked()
        assert not lock.locked()

    def elsewhere(function):  # in a thread of its own, which the child does not have
        ready, done = threading.Event(), threading.Event()
        thread = threading.Thread(target=lambda: (function(), ready.set(), done.wait(60)))
        thread.start()
        ready.wait(60)
        return lambda: (done.set(), thread.join())
"""


@pytest.mark.parametrize("first", ["the forking thread", "another thread"])
def test_lock_of_the_forking_thread_is_its_own_in_the_child(run_script, first):
    run_script(FORK + """
    import sys
    def child():
        def other_thread():
            assert lock.locked() and not GlobalLock("forked").acquire(timeout=0.01)
        if sys.argv[1:] == ["another thread"]:
            thread = threading.Thread(target=other_thread)
            thread.start()
            thread.join()
        assert "held" in repr(lock)
        other_thread()
        fork(lambda: (lock.release(), is_free()))  # a child's child
        other_thread()
        lock.release()
        is_free()
        assert raises(RuntimeError, lock.release)

    def child_drops_it():
        global lock
        del lock
        gc.collect()
        lock = GlobalLock("forked")
        is_free()

    lock.acquire()
    fork(child)
    fork(child_drops_it)
    assert lock.locked() and "held" in repr(lock)
    lock.release()
    is_free()
    fork(is_free)
    """, first)


@pytest.mark.parametrize("handle", ["the same", "another"])
def test_lock_of_another_thread_is_abandoned_in_the_child(run_script, handle):
    run_script(FORK + """
    import sys
    held = lock if sys.argv[1:] == ["the same"] else GlobalLock("forked")
    end = elsewhere(held.acquire)

    def child():
        assert not lock.locked() and "held" not in repr(held)
        assert raises(LockAbandonedError, lock.acquire)  # once
        is_free()
        assert raises(LockAbandonedError, held.release)  # who relied on it
        assert raises(RuntimeError, held.release)
        is_free()

    def child_relies_on_it():
        assert raises(LockAbandonedError, held.release)
        assert raises(LockAbandonedError, lambda: GlobalLock("forked").acquire(False))
        is_free()

    def child_drops_it():
        global held, lock
        other = GlobalLock("forked")
        del held, lock
        gc.collect()
        lock = other
        assert raises(LockAbandonedError, lock.acquire, True, 1)
        is_free()

    for what in child, child_relies_on_it, child_drops_it:
        fork(what)
    assert lock.locked() and not lock.acquire(False)
    end()
    held.release()
    is_free()
    fork(is_free)
    """, handle)


def test_waiters_for_a_lock_do_not_matter_in_the_child(run_script):
    run_script(FORK + """
    lock.acquire()
    other = GlobalLock("forked")
    thread = threading.Thread(target=lambda: (other.acquire(), other.release()))
    thread.start()
    assert not thread.join(0.05) and thread.is_alive()
    fork(lambda: (lock.release(), is_free()))
    lock.release()
    thread.join()
    is_free()
    """)


def test_lock_of_an_interpreter_that_has_ended_is_free_in_the_child(run_script):
    run_script(FORK + """
    from objtunnel import Interpreter
    with Interpreter() as i:
        i.run("from objtunnel import GlobalLock; held = GlobalLock('forked'); held.acquire()")
        assert lock.locked()
    fork(is_free)
    is_free()
    """)


def test_a_signal_handler_forks_while_its_thread_waits_for_a_lock(run_script):
    run_script(FORK + """
    import time
    from functools import partial
    end = elsewhere(partial(GlobalLock.acquire, GlobalLock("forked")))
    pids = []

    def fork_now(*_):
        pids.append(os.fork())
        if pids[-1]:
            raise KeyboardInterrupt

    signal.signal(signal.SIGALRM, fork_now)
    signal.setitimer(signal.ITIMER_REAL, 0.2)
    try:
        lock.acquire()
    except KeyboardInterrupt:
        assert os.waitpid(pids[0], 0)[1] == 0
        end()
    except LockAbandonedError:  # the child
        is_free()
        os._exit(0)
    """)


@pytest.mark.parametrize("make, wait, wake", [
    ("Semaphore(0)", "it.acquire()", "it.release()"),
    ("Event()", "it.wait()", "it.set()"),
    ("Condition()", "with it: it.wait()", "with it: it.notify()"),
    ("Barrier(2)", "it.wait()", "it.wait()"),
    ("Lock(); it.acquire()", "it.acquire()", "it.release()"),
    ("RLock(); end = elsewhere(it.acquire)", "it.acquire()", "pass"),
    ("Box([1]); end = elsewhere(it.acquire)", "it.acquire()", "pass"),
    ("LockingDict(k=[1]); end = elsewhere(it.checkout('k').__enter__)", "it['k']", "pass"),
    ("LockingDict(k=[1]); end = elsewhere(it.checkout('k').__enter__)", "it.checkout('k').__enter__()", "pass"),
    ("LockingList([1]); end = elsewhere(it.locked().acquire)", "it[0]", "pass")])
@pytest.mark.parametrize("when", [  # ThreadSanitizer: as below
    pytest.param("before the handler returns", marks=pytest.mark.notsan), "later"])
def test_a_child_of_a_waiting_thread_is_woken(run_script, make, wait, wake, when):
    """A signal handler forks during the wait and returns in the child, where another thread does what is waited for."""
    run_script(FORK + f"""
    import objtunnel, time
    it = objtunnel.{make}
    pids = []

    def wake():
        if {when == "later"}: time.sleep(0.1)
        {wake}

    def fork_now(*_):
        pids.append(os.fork())
        if pids[-1]:
            raise KeyboardInterrupt
        thread = threading.Thread(target=wake, daemon=True)
        thread.start()
        if {when != "later"}: thread.join(30)

    signal.signal(signal.SIGALRM, fork_now)
    signal.setitimer(signal.ITIMER_REAL, 0.2)
    try:
        {wait}
    except KeyboardInterrupt:
        assert os.waitpid(pids[0], 0)[1] == 0
        if "end" in globals(): end()
    except RuntimeError:  # an RLock that a thread had which the child has not
        os._exit(0 if "end" in globals() else 1)
    else:
        os._exit(1 if "end" in globals() else 0)  # only the child gets here
    """)


@pytest.mark.notsan  # which ends a child that starts a thread where an ended one of the parent was ("dup thread with used id")
@pytest.mark.parametrize("what", ["Box", "LockingDict", "LockingList"])
@pytest.mark.parametrize("leaves", [False, True], ids=["goes on", "raises"])
def test_a_line_of_waiting_threads_is_whole_in_a_child_that_one_of_them_forks(run_script, what, leaves):
    """Others wait before and behind the thread whose signal handler forks; in the child none of them exists."""
    run_script(FORK + f"""
    import objtunnel, time
    from objtunnel import Box, Event, LockingDict, LockingList
    if "{what}" == "Box":
        it = Box([1])
        acquire, release, recover = it.acquire, it.release, lambda: it.recover([2])
    elif "{what}" == "LockingDict":
        it = LockingDict(k=[1])
        held = {{}}
        def acquire():
            checkout = it.checkout("k")
            checkout.__enter__()
            held["k"] = checkout                    # not before: who waits must not drop another one's
        release = lambda: held["k"].release()
        recover = lambda: it.update(k=[2])
    else:
        it = LockingList([1])
        acquire, release, recover = it.locked().acquire, it.locked().release, it.locked().recover
    has, done = threading.Event(), threading.Event()
    threading.Thread(target=lambda: (acquire(), has.set(), done.wait(60), release()), daemon=True).start()
    has.wait(60)
    pids, main = [], os.getpid()

    def wait_beside():
        try:
            acquire(); release()
        except RuntimeError:
            pass

    def start():
        thread = threading.Thread(target=wait_beside, daemon=True)
        thread.start()
        time.sleep(0.1)
        return thread

    class Left(Exception):
        pass

    def fork_now(*_):
        start()                                     # behind
        pids.append(os.fork())
        if not pids[-1]:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(20)                        # ends a child that hangs
        if pids[-1] or {leaves}:
            raise Left

    others = [start()]                              # before
    signal.signal(signal.SIGALRM, fork_now)
    signal.setitimer(signal.ITIMER_REAL, 0.2)
    try:
        acquire()
    except Left:
        pass
    except LockAbandonedError:
        assert os.getpid() != main
    if os.getpid() == main:
        assert os.waitpid(pids[0], 0)[1] == 0
        done.set()
        others[0].join()
    else:
        try:
            acquire()
        except LockAbandonedError:
            recover()
        if "{what}" != "LockingList":
            acquire()
        waiting = [start() for _ in range(2)]
        assert all(thread.is_alive() for thread in waiting)
        release()
        if "{what}" == "LockingDict":
            assert it["k"] == [2]
        for thread in waiting:
            thread.join()
        os._exit(0)
    """)


# ---- the rest -----------------------------------------------------------------------------------

def test_headers_ship():
    folder = objtunnel.get_include()
    assert {"objtunnel.h", "objtunnel_api.h", "objtunnel_core.h", "objtunnel_global.h",
            "objtunnel_locks.h", "objtunnel_types.h"} <= set(os.listdir(folder))
