"""process_global(), GlobalLock, process_globals(): process-wide state from Python."""

import os
import pickle
import threading

import pytest

import objtunnel
from objtunnel import GlobalLock, Interpreter, Tunnel, process_global, process_globals


def find(key):
    return [g for g in process_globals() if g.key == key]


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

        # Into the tunnel it gets, but no copy can be made of it, and not even back in.
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
        from objtunnel import GlobalLock, process_global
        assert process_global("mine", lambda: [os.getpid()]) == [os.getpid()]
        lock = GlobalLock("forked")
        lock.acquire()
        pid = os.fork()
        if pid == 0:
            assert process_global("mine", None) == [os.getppid()]  # this interpreter's copy
            assert process_global("new", lambda: [os.getpid()]) == [os.getpid()]
            assert not lock.locked()
            try:
                lock.release()
            except RuntimeError:
                assert lock.acquire(timeout=5)
                lock.release()
                print("child is fine", flush=True)
                os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0
        assert lock.locked()
        lock.release()
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
    assert find("one")[0].users == {0: 1}
    del lock, entered
    assert not find("one")


def test_lock_bad_arguments():
    lock = GlobalLock("args")
    for bad in (lambda: GlobalLock(), lambda: GlobalLock(3), lambda: lock.acquire(timeout="x")):
        with pytest.raises(TypeError):
            bad()
    with pytest.raises(ValueError):
        lock.acquire(timeout=-1)


def test_lock_pickles_by_name():
    lock = GlobalLock("pickled")
    with lock:
        copy = pickle.loads(pickle.dumps(lock))
        assert copy.name == "pickled" and copy.locked()
        with pytest.raises(RuntimeError):
            copy.release()


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


# ---- the rest -----------------------------------------------------------------------------------

def test_headers_ship():
    folder = objtunnel.get_include()
    assert {"objtunnel.h", "objtunnel_api.h", "objtunnel_core.h", "objtunnel_global.h",
            "objtunnel_locks.h", "objtunnel_types.h"} <= set(os.listdir(folder))
