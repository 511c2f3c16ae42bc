"""What needs a process of its own: the heap's modes, __main__, ends of processes."""

import os
import signal
import subprocess
import sys
import textwrap

import pytest

from objtunnel import _core

# ---- the heap ------------------------------------------------------------------------------------

HEAP_CHECK = """
    import objtunnel
    def work(t):
        x = t.recv()
        x.append([2.5])
        return x
    if __name__ == "__main__":
        info = objtunnel.heap_info()
        print(info.allocator, info.installed, info.version)
        t = objtunnel.Tunnel()
        t.send([[1.5, {"k": (1, "ä" * 100)}] for _ in range(1000)])
        with objtunnel.Interpreter() as i:
            got = i.call(work, t)
        assert got[-1] == [2.5] and got[5] == [1.5, {"k": (1, "ä" * 100)}]
        assert objtunnel.heap_info().in_use > 0
"""


@pytest.mark.parametrize("name", [
    "malloc", "mimalloc", "malloc_debug",
    # sanitizer builds come without it
    *(pytest.param(name, marks=pytest.mark.noasan) for name in ("pymalloc", "debug", "pymalloc_debug")),
])
def test_allocators(run_script, name):
    if name == "mimalloc" and not _has_mimalloc():
        pytest.skip("this Python was built without mimalloc")
    result = run_script(HEAP_CHECK, env={**os.environ, "PYTHONMALLOC": name})
    installed = name in ("pymalloc", "debug", "pymalloc_debug")
    line = "objtunnel (mimalloc) True 2.1.9" if installed else f"{name} False None"
    assert result.stdout.split("\n")[0] == line


def test_heap_is_our_own_copy_of_mimalloc():
    """The module exports nothing of the mimalloc that is linked into it, and takes no call of malloc or free
    from the C library."""
    def symbols(which):
        listed = subprocess.run(["nm", "-D", which, _core.__file__], capture_output=True, text=True, check=True)
        return {line.split()[-1].partition("@")[0] for line in listed.stdout.splitlines()}
    exported = {name for name in symbols("--defined-only") if "asan" not in name}
    assert exported == {"PyInit__core"}
    needed = symbols("--undefined-only")
    assert {"malloc", "free"} <= needed
    assert not {name for name in needed if name.startswith("mi_")}


def _has_mimalloc():
    return subprocess.run([sys.executable, "-c", ""], capture_output=True,
                          env={**os.environ, "PYTHONMALLOC": "mimalloc"}).returncode == 0


OVERFLOW = """
    import objtunnel, ctypes
    api = ctypes.pythonapi
    malloc, free = getattr(api, "{0}_Malloc"), getattr(api, "{0}_Free")
    malloc.restype = ctypes.c_void_p
    malloc.argtypes = [ctypes.c_size_t]
    free.argtypes = [ctypes.c_void_p]
    tunnel = objtunnel.Tunnel()
    tunnel.send([[1.5] * 10, {{"a": bytearray(1000)}}])
    assert tunnel.recv()[0] == [1.5] * 10
    block = malloc(16)
    ctypes.memset(block, 65, 20)
    free(block)
"""


@pytest.mark.noasan  # which finds it first
@pytest.mark.parametrize("domain", ["PyObject", "PyMem"])
@pytest.mark.parametrize("way", ["debug", "pymalloc_debug", "malloc_debug", "dev"])
def test_debug_hooks_see_an_overflow(tmp_path, way, domain):
    """Our heap goes below CPython's debug hooks."""
    script = tmp_path / "overflow.py"
    script.write_text(textwrap.dedent(OVERFLOW.format(domain)))
    env = {key: value for key, value in os.environ.items() if key != "PYTHONMALLOC"}
    command = [sys.executable, "-X", "dev", script] if way == "dev" else [sys.executable, script]
    if way != "dev":
        env["PYTHONMALLOC"] = way
    result = subprocess.run(command, capture_output=True, text=True, env=env)
    assert result.returncode == -signal.SIGABRT
    assert "bad trailing pad byte" in result.stderr, result.stderr


@pytest.mark.slow
@pytest.mark.noasan
def test_cpythons_tests_of_memory(tmp_path):
    """test_capi.test_mem, each of its processes with objtunnel imported first."""
    pytest.importorskip("test.test_capi.test_mem", reason="this Python came without its tests")
    environment = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    python = environment / "bin" / "python"
    site = subprocess.run([python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
                          capture_output=True, text=True, check=True).stdout.strip()
    package = os.path.dirname(os.path.dirname(_core.__file__))
    with open(os.path.join(site, "objtunnel.pth"), "w", encoding="utf-8") as file:
        file.write(f"{package}\nimport objtunnel\n")
    env = {key: value for key, value in os.environ.items() if key != "PYTHONMALLOC"}
    result = subprocess.run([python, "-m", "unittest", "-v", "test.test_capi.test_mem"],
                            capture_output=True, text=True, env=env, cwd=tmp_path)
    assert result.returncode == 0, result.stderr[-3000:]
    assert subprocess.run([python, "-I", "-c", "import sys; print('objtunnel' in sys.modules)"],
                          capture_output=True, text=True, check=True).stdout == "True\n"


@pytest.mark.noasan
def test_memory_profiler_that_wraps_the_allocators(tmp_path):
    """memray wraps the allocators and puts them back at its end; it must not count our addresses."""
    pytest.importorskip("memray")
    script = tmp_path / "profiled.py"
    script.write_text(textwrap.dedent("""
        import sys
        try:
            import objtunnel
        except ImportError as error:
            assert "memray" in str(error) and "PYTHONMALLOC=malloc" in str(error), error
            sys.exit("refused")
        with objtunnel.Interpreter() as worker:
            assert len(worker.call(sorted, [[i / 2] for i in range(10_000)])) == 10_000
        """))

    def profile(*options, env):
        report = tmp_path / f"report{len(list(tmp_path.iterdir()))}.bin"
        done = subprocess.run([sys.executable, "-m", "memray", "run", *options, "-o", report, script],
                              capture_output=True, text=True, env=env)
        if done.returncode == 0:
            from memray import FileReader
            assert FileReader(report).metadata.peak_memory < 1 << 30
        return done
    env = {key: value for key, value in os.environ.items() if key != "PYTHONMALLOC"}
    done = profile(env=env)
    assert done.returncode == 0, done.stderr
    done = profile("--trace-python-allocators", env=env)
    assert (done.returncode, "refused" in done.stderr) == (1, True), done.stderr
    done = profile("--trace-python-allocators", env={**env, "PYTHONMALLOC": "malloc"})
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_blocks_of_any_size(run_script):
    """mimalloc 3 has no block of 256 MiB or more for us: those come from a range of their own."""
    run_script("""
        import array, gc
        from objtunnel import Interpreter, Tunnel, _core, heap_info

        def look(t):
            x = t.recv()[0]
            x[-1] = 7
            x.append(1)
            return id(x), len(x), x[0], x[-2]

        MB = 1 << 20

        def main():
            for mb in (1, 100, 127, 128, 129, 255, 256, 400, 800):
                x = bytearray(b"a" * (mb * MB - 1000))
                assert x[0] == x[-1] == 97 and len(x) == mb * MB - 1000
                del x
            in_use = heap_info().in_use
            assert in_use < 300 * MB, in_use
            x = bytearray(b"b")
            while len(x) < 700 * MB:
                x += bytes(x)
            assert x.count(b"b") == len(x)
            del x[100:]
            assert x == b"b" * 100
            with Interpreter() as i:
                for n in (50_000_000, 100_000_000):
                    box = [array.array("d", [0.5]) * n]
                    t, where = Tunnel(), id(box[0])
                    t.send(box)
                    assert i.call(look, t) == (where, n + 1, 0.5, 7.0)
                t = Tunnel()
                t.send([bytes(300 * MB), bytearray(300 * MB), list(range(20_000_000))])
                a, b, c = t.recv()
                assert len(a) == len(b) == 300 * MB and c[-1] == 19_999_999

        if __name__ == "__main__":
            main()
        """)


def test_tracemalloc_before_is_refused_after_is_fine(run_script):
    env = {k: v for k, v in os.environ.items() if k != "PYTHONMALLOC"}
    run_script("""
        import tracemalloc
        tracemalloc.start()
        try:
            import objtunnel
            assert False, "should be refused"
        except ImportError as error:
            assert "tracemalloc" in str(error) and "import objtunnel before" in str(error)
        tracemalloc.stop()
        import objtunnel
        tracemalloc.start()
        t = objtunnel.Tunnel()
        t.send([[1.5] * 10, {"a": bytearray(1000)}])
        x = t.recv()
        tracemalloc.stop()
        del x
        x = [[float(i)] for i in range(10000)]
        """, env=env)


def test_import_while_other_interpreters_run(run_script):
    """The heap is installed under the feet of interpreters that allocate at full speed."""
    run_script("""
        import _interpreters, threading, time
        code = '''
        import time
        end = time.monotonic() + 1.5
        keep = []
        while time.monotonic() < end:
            keep = [[str(i), {i: float(i)}, bytearray(i % 700)] for i in range(500)] + keep[:200]
        '''.replace("\\n        ", "\\n")
        interps = [_interpreters.create("isolated") for _ in range(3)]
        errors = []
        threads = [threading.Thread(target=lambda i=i: errors.append(_interpreters.exec(i, code)))
                   for i in interps]
        for t in threads: t.start()
        time.sleep(0.5)
        import objtunnel
        for t in threads: t.join()
        assert errors == [None] * 3, errors
        for i in interps: _interpreters.destroy(i)
        """)


@pytest.mark.noasan  # its shadow alone needs terabytes of addresses
def test_the_address_space_may_be_limited(run_script):
    result = run_script("""
        import resource
        resource.setrlimit(resource.RLIMIT_AS, (24 << 30, 24 << 30))
        import objtunnel
        info = objtunnel.heap_info()
        assert not info.installed or 1 << 30 <= info.span < 24 << 30, info
        t = objtunnel.Tunnel()
        t.send([[1.5]])
        assert t.recv() == [[1.5]]
        print("fine")
        """)
    assert result.stdout == "fine\n"


# ---- __main__ --------------------------------------------------------------------------------------

SCRIPT = """
    import math, sys
    from dataclasses import dataclass
    from objtunnel import Interpreter

    FACTOR = 3
    TABLE = {"a": [1, 2]}

    @dataclass
    class Point:
        x: float
        y: float

    def helper(x):
        def inner():
            return [FACTOR for _ in range(1)][0]
        return x * inner()

    def top(x, extra=1):
        '''Uses a helper, a module, data.'''
        return helper(x) + extra + math.floor(1.5) + TABLE["a"][1]

    def recursive(n):
        return 1 if n == 0 else n * recursive(n - 1)

    def make_point(p):
        return Point(p.y, p.x)

    if __name__ == "__main__":
        with Interpreter() as i:
            assert i.call(top, 2) == 6 + 1 + 1 + 2
            assert i.call(top, 2, extra=5) == 14
            assert i.call(recursive, 5) == 120
            assert i.call(lambda x: x + FACTOR, 1) == 4
            p = i.call(make_point, Point(1, 2))
            assert p == Point(2, 1) and type(p) is Point, p
            i.run("assert FACTOR == 3 and helper(1) == 3")
        print("fine")
"""


def test_functions_of_a_script(run_script):
    assert run_script(SCRIPT).stdout == "fine\n"


def test_functions_of_a_module_run_with_m(tmp_path):
    import textwrap
    package = tmp_path / "pack"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "tool.py").write_text(textwrap.dedent(SCRIPT))
    result = subprocess.run([sys.executable, "-m", "pack.tool"], cwd=tmp_path, text=True,
                            capture_output=True, timeout=60)
    assert result.stdout == "fine\n", result.stderr


def test_functions_and_classes_of_a_session_without_a_file():
    code = ("from objtunnel import Interpreter\n"
            "import math\n"
            "def f(x): return g(x) + math.floor(2.5)\n\n"
            "def g(x): return x * 2\n\n"
            "class C: pass\n\n"
            "def h(c): return [type(c).__name__, c]\n\n"
            "i = Interpreter()\n"
            "print(i.call(f, 3))\n"
            "c = i.call(h, C())\n"
            "print(c[0], type(c[1]) is C)\n"
            "i.close()\n")
    for args, text in ((["-c", code], None), (["-"], code), (["-i", "-q"], code)):
        result = subprocess.run([sys.executable, *args], input=text or "", text=True,
                                capture_output=True, timeout=60)
        lines = result.stdout.replace(">>> ", "").replace("... ", "").split("\n")
        assert lines[:2] == ["8", "C True"], result.stdout + result.stderr


def test_beside_multiprocessing(run_script):
    """It gives __main__ the second name __mp_main__."""
    run_script("""
        import multiprocessing
        import objtunnel
        if __name__ == "__main__":
            with objtunnel.Interpreter() as i:
                assert i.call(len, [1]) == 1
        """)


HANDLES_TO_PROCESSES = """
    import sys
    {first}
    import concurrent.futures, copy, io, multiprocessing, pickle
    from multiprocessing.reduction import ForkingPickler
    import objtunnel
    from objtunnel import *

    HANDLES = [
        lambda: Tunnel(), lambda: GlobalLock("x"), lambda: SharedArray("d", 3), lambda: Lock(),
        lambda: RLock(), lambda: Condition(), lambda: Semaphore(), lambda: BoundedSemaphore(),
        lambda: Event(), lambda: Barrier(2), lambda: Box([1]), lambda: freeze([1]), lambda: freeze((1,)),
        lambda: freeze({{1: 2}}), lambda: freeze({{1, 2}}), lambda: freeze(b"1" * 10**5), lambda: LockingDict(a=1),
        lambda: LockingList([1]), lambda: SharedFile(__file__)]

    if __name__ == "__main__":
        assert type(sys.meta_path[0]) is type(sys.meta_path[-1]) and len(sys.meta_path) == {finders}
        for make in HANDLES:
            handle = make()
            for dump in (ForkingPickler.dumps, lambda o: ForkingPickler(io.BytesIO()).dump(o)):
                try:
                    dump([handle])
                except TypeError as error:
                    assert type(handle).__name__ in str(error) and "process" in str(error)
                else:
                    raise AssertionError(handle)
            kept = pickle.loads(pickle.dumps(handle)), copy.copy(handle)
            assert type(kept[0]) is type(kept[1]) is type(handle)
        ForkingPickler.dumps([current_gil(), heap_info(), Tunnel().send(1)])
        spawn = multiprocessing.get_context("spawn")
        with spawn.Pool(1) as pool:
            try:
                pool.apply_async(repr, (Tunnel(),)).get(timeout=30)
            except TypeError:
                print("pool", flush=True)
        with concurrent.futures.ProcessPoolExecutor(1, mp_context=spawn) as pool:
            error = pool.submit(repr, LockingDict()).exception(timeout=30)
            print("executor", isinstance(error, TypeError), flush=True)
"""


@pytest.mark.parametrize("first", ["objtunnel", "multiprocessing.reduction", "multiprocessing"])
def test_a_handle_for_another_process_raises_at_once(run_script, first):
    """Whichever of the two is imported first."""
    script = HANDLES_TO_PROCESSES.format(first=f"import {first}", finders=4)
    assert run_script(script).stdout == "pool\nexecutor True\n"


def test_a_handle_for_another_process_in_a_worker(run_script):
    assert run_script("""
        import objtunnel

        def work():
            from multiprocessing.reduction import ForkingPickler
            try:
                ForkingPickler.dumps(objtunnel.Tunnel())
            except TypeError:
                return "refused"

        if __name__ == "__main__":
            with objtunnel.Interpreter() as i:
                print(i.call(work))
        """).stdout == "refused\n"


def test_importing_costs_no_multiprocessing(run_script):
    assert run_script("""
        import sys
        import objtunnel
        assert not [name for name in sys.modules if name.startswith("multiprocessing")]
        """).stdout == ""


def test_a_script_without_a_guard_says_so(run_script):
    result = run_script("""
        from objtunnel import Interpreter
        class C: pass
        def f(c): return c
        with Interpreter() as i:
            try:
                i.call(f, C())
                print("no error")
            except RuntimeError as error:
                print(error)
        """)
    assert "if __name__ == '__main__':" in result.stdout


# ---- the end of the process ---------------------------------------------------------------------------

ENDINGS = {
    "open and idle": "i = Interpreter()",
    "with a running loop": "i = Interpreter(); f = i.submit(loop); wait_until_running(f)",
    "with a blocked recv": "i = Interpreter(); f = i.submit(Tunnel().recv); "
                           "wait_until_running(f)",
    "with work pending": "i = Interpreter(); f = [i.submit(nap) for _ in range(1000)]",
    "with messages queued": "t = Tunnel(); [t.send([[1.5], {'k': 'v'}]) for _ in range(100)]",
    "with unreceived results": "i = Interpreter(); t = Tunnel(); i.call(fill, t)",
    "nested": "i = Interpreter(); i.call(nest); f = i.submit(loop); wait_until_running(f)",
    "from a thread that waits": "i = Interpreter(); threading.Thread(target=call_loop, "
                                "args=[i], daemon=True).start(); time.sleep(0.3)",
    "in a reference cycle": "i = Interpreter(); x = [i]; x.append(x); "
                            "t = Tunnel(); t.send([t]); del t",
    "by sys.exit": "i = Interpreter(); f = i.submit(loop); wait_until_running(f); sys.exit(0)",
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_processes_end_cleanly(run_script, ending):
    result = run_script("""
        import sys, threading, time
        from objtunnel import Interpreter, InterpreterClosed, Tunnel

        def loop():
            while True:
                pass

        def nap():
            time.sleep(0.01)

        def fill(t):
            for i in range(100):
                t.send([[i * 1.5], {"key": "value"}])

        def nest():
            global inner
            inner = Interpreter()
            inner.submit(loop)

        def call_loop(i):
            try:
                i.call(loop)
            except (InterpreterClosed, KeyboardInterrupt):
                pass

        def wait_until_running(f):
            while not f.running():
                time.sleep(0.001)

        if __name__ == "__main__":
            ENDING
        """.replace("ENDING", ENDINGS[ending]), timeout=60)
    assert result.stderr == ""


@pytest.mark.parametrize("use", ["", "i = Interpreter(); i.call(len, [1])",
                                 "i = Interpreter(); f = i.submit(time.sleep, 0.2); g = i.submit(int, 'x')",
                                 "p = InterpreterPoolExecutor(1); f = p.submit(time.sleep, 0.2); g = p.submit(int, 'x')",
                                 "register_dump(10)"])
def test_nothing_is_imported_at_the_end(run_script, use):
    """A program that embeds Python, or has changed sys.path, may have nowhere to import it from."""
    result = run_script("""
        import os, sys, time
        import objtunnel
        from objtunnel import Interpreter, InterpreterPoolExecutor, register_dump

        class Watch:
            def find_spec(self, name, path=None, target=None):
                if name != "gc":  # weakref.finalize imports it, which is built in
                    os.write(2, f"{name} is imported\\n".encode())

        if __name__ == "__main__":
            USE
            sys.modules.pop("_interpreters", None)
            sys.meta_path.insert(0, Watch())
            sys.path[:] = []
        """.replace("USE", use), timeout=60)
    assert result.stderr == ""


def test_ctrl_c_in_a_script(tmp_path):
    import signal
    script = tmp_path / "script.py"
    script.write_text("import time\nfrom objtunnel import Interpreter\n"
                      "def loop():\n    while True: pass\n"
                      "if __name__ == '__main__':\n    with Interpreter() as i:\n"
                      "        print('ready', flush=True)\n        i.call(loop)\n")
    process = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    import time
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGINT or process.returncode == 130
    assert "KeyboardInterrupt" in err
