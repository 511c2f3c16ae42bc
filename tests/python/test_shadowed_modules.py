"""A file of the user's has the name of a module of the standard library, or of NumPy, and comes first on
sys.path. Or a program puts something else into sys.modules. What is in there is whatever it is."""

import sys

import pytest

# objtunnel looks for types, functions or exceptions in these by name.
NAMES = ["array", "collections", "copyreg", "dataclasses", "datetime", "decimal", "enum", "fractions", "io",
         "ipaddress", "locale", "numpy", "pathlib", "pickle", "queue", "threading", "types", "typing", "uuid",
         "zoneinfo"]
WITHIN = "if name.startswith('__'): raise AttributeError(name)"
CONTENTS = {
    "numbers": f"def __getattr__(name):\n    {WITHIN}\n    return 5\n",
    "classes": f"def __getattr__(name):\n    {WITHIN}\n"
               "    return type(name, (list,), {'__module__': __name__, '__init__': lambda self, *a, **k: None})\n",
    "nothing": "",
    "an error": "raise RuntimeError('mine')\n",
}

# Says "fine" if all that raised was an exception which the shadow explains.
USE = """
    import sys

    def get(module, name, *args):
        try:
            return [getattr(__import__(module), name)(*args)]
        except Exception:
            return []

    def things():
        return [*get("array", "array", "d", [1.5]), *get("decimal", "Decimal", "1.5"),
                *get("datetime", "datetime", 2024, 2, 29), *get("datetime", "timedelta", 1),
                *get("fractions", "Fraction", 3, 2), *get("uuid", "UUID", "1" * 32),
                *get("collections", "deque", [1]), *get("collections", "OrderedDict", a=1),
                *get("ipaddress", "ip_address", "1.2.3.4"), *get("pathlib", "Path", "x"),
                *get("numpy", "ndarray"), *get("types", "SimpleNamespace"), len, [{"a": "b"}]]

    def swap(x):
        return [x, things()]

    def try_all():
        import objtunnel
        worker = objtunnel.Interpreter()
        d = objtunnel.LockingDict()
        tunnel = objtunnel.Tunnel()

        def travel(thing):
            tunnel.send([thing])
            repr(tunnel.recv())
            tunnel.send({"a": [thing]})
            tunnel.discard()

        def store(thing):
            d["a"] = [thing]
            repr(d["a"])
            repr(d.pop("a"))

        def others(thing):
            objtunnel.freeze({"a": [1]})["a"][0]
            objtunnel.SharedFile(2, "w", closefd=False).write("")
            objtunnel.SharedFile(2, "w", closefd=False).read()

        def barrier(thing):
            objtunnel.Barrier(2).wait(-1)

        for use in (travel, store, lambda thing: repr(worker.call(swap, thing)), others, barrier):
            for thing in things():
                try:
                    use(thing)
                except Exception as error:
                    print("raised", type(error).__name__, str(error)[:200])
        worker.close()

    if __name__ == "__main__":
        get(sys.argv[1], "anything")
        try:
            try_all()
        except Exception as error:
            print("import", type(error).__name__, error)
        print("fine")
"""


@pytest.mark.noasan  # a debug build of CPython 3.13 aborts where its own `import array` fails: docs/upstream.md
@pytest.mark.parametrize("content", CONTENTS)
@pytest.mark.parametrize("name", NAMES)
def test_at_worst_an_exception(name, content, run_script, tmp_path):
    (tmp_path / f"{name}.py").write_text(CONTENTS[content])
    result = run_script(USE, name, check=False)
    if result.returncode == 1:  # Python's own start, or its traceback, needs the module
        assert "Traceback" in result.stderr and "objtunnel" not in result.stdout, result.stderr
    else:
        assert result.returncode == 0 and result.stdout.endswith("fine\n"), result.stdout + result.stderr


@pytest.mark.skipif("array" in sys.builtin_module_names, reason="no file can hide a module that is built in")
@pytest.mark.parametrize("content", ["numbers", "classes"])
def test_objtunnel_says_which_file_hides_array(content, run_script, tmp_path):
    (tmp_path / "array.py").write_text(CONTENTS[content])
    result = run_script("import objtunnel", check=False)
    assert result.returncode == 1 and "a module `array` of yours hides the standard library's" in result.stderr


def test_what_array_array_is_later_does_not_matter(run_script):
    run_script("""
        import array, gc, sys
        from objtunnel import Interpreter, LockingDict, Tunnel
        a, real = array.array("d", [1.5]), array.array
        d, t = LockingDict(), Tunnel()
        d["a"] = [a]
        for fake in (5, list, type("array", (), {})):
            array.array = fake
            assert d["a"] == [real("d", [1.5])] and type(d["a"][0]) is real
        sys.modules["array"] = None
        assert d["a"] == [a]
        gc.collect()
        """)


def test_numpy_may_be_blocked_or_another(run_script, tmp_path):
    """Whatever is pickled asks whether there is NumPy."""
    (tmp_path / "numpy.py").write_text("mean = sum\n")
    result = run_script("""
        import sys, uuid
        from objtunnel import Tunnel
        t, id = Tunnel(), uuid.UUID("1" * 32)
        for module in (__import__("numpy"), None, type("Mock", (), {"ndarray": bytes, "generic": 5})()):
            sys.modules["numpy"] = module
            t.send([id, complex, len])
            assert t.recv() == [id, complex, len]
        print("fine")
        """)
    assert result.stdout == "fine\n"


# ---- classes that only have the names ----------------------------------------------------------------

SHADOWS = {"fractions": "Fraction", "uuid": "UUID", "ipaddress": "IPv4Address", "pathlib": "PurePath"}


@pytest.mark.parametrize("name", SHADOWS)
def test_a_class_of_the_users_is_pickled_as_it_says(name, run_script, tmp_path):
    """Its names are those of a class whose pickling a move need not ask."""
    cls = SHADOWS[name]
    (tmp_path / f"{name}.py").write_text(f"""
class {cls}:
    def __init__(self, said="made"):
        self.said = said
    def __reduce__(self):
        return {cls}, ("unpickled",)
""")
    run_script(f"""
        import sys
        sys.modules.pop("{name}", None)
        from {name} import {cls}
        from objtunnel import Tunnel
        class Sub({cls}):
            def __reduce__(self):
                return Sub, ("unpickled",)
        t = Tunnel()
        for made in ({cls}(), Sub()):
            receipt = t.send([made])
            del made
            assert receipt.pickled == 1 and t.recv()[0].said == "unpickled", receipt
        """)


@pytest.mark.parametrize("name", SHADOWS)
def test_a_hash_of_the_users_may_depend_on_the_class(name, run_script, tmp_path):
    """Its names are those of a class whose hash is known to ask for values only."""
    cls = SHADOWS[name]
    (tmp_path / f"{name}.py").write_text(f"""
class {cls}:
    def __init__(self, x):
        self.x = x
    def __eq__(self, other):
        return type(self) is type(other) and self.x == other.x
    def __hash__(self):
        return hash((type(self), self.x))
""")
    run_script(f"""
        import sys
        if __name__ == "__main__" and "objtunnel" not in sys.modules:
            sys.modules.pop("{name}", None)  # Python's start may have loaded the standard library's
        from {name} import {cls}
        from objtunnel import Interpreter

        def look_up(path, table, keys):
            return [table.get({cls}(i)) for i in range(10)], len(keys & {{ {cls}(5) }})

        if __name__ == "__main__":
            with Interpreter() as worker:
                got = worker.call(look_up, sys.path[0], {{ {cls}(i): i for i in range(10)}}, {{ {cls}(5) }})
            assert got == (list(range(10)), 1), got
        """)


HOOKS = {"namedtuple_tools": "__getnewargs__", "dataclasses": "__getstate__"}


@pytest.mark.parametrize("module", HOOKS)
def test_functions_of_a_module_that_is_named_like_the_makers(module, run_script, tmp_path):
    """@dataclass and namedtuple make functions that a move need not run; these are not theirs."""
    (tmp_path / f"{module}.py").write_text(f"""
calls = []
class Tagged:
    def {HOOKS[module]}(self):
        calls.append(self)
        return ()
""")
    run_script(f"""
        from {module} import Tagged, calls
        from objtunnel import Tunnel
        t = Tunnel()
        receipt = t.send([Tagged()])
        assert receipt.pickled == 1 and len(calls) == 1, receipt
        """)
