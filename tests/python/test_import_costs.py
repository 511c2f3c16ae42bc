"""What `import objtunnel` loads: each module is memory and time of programs that use nothing of it."""

import pytest

import objtunnel

# Of the standard library. queue has the exceptions that ours derive from; _pickle needs functools; the others come with these.
STANDARD = {
    "_collections", "_compat_pickle", "_contextvars", "_functools", "_heapq", "_operator", "_pickle", "_queue", "_struct",
    "_types", "_weakrefset", "array", "collections", "collections.abc", "copyreg", "functools", "heapq", "importlib",
    "importlib._bootstrap", "importlib._bootstrap_external", "io", "itertools", "keyword", "operator", "queue", "reprlib",
    "threading", "types", "warnings",
}
OWN = {"_classes", "_core", "_errors", "_functions", "_hashes", "_main", "_modules", "_pickling", "_processes", "_standard"}
OWN_FREE_THREADED = {"_absent"}

LOADED = """
import sys
before = set(sys.modules)
{code}
print(*(set(sys.modules) - before))
"""


def loaded_by(code, run_script):
    return set(run_script(LOADED.format(code=code)).stdout.split())


def test_a_bare_import_loads_few_modules(run_script):
    own = {f"objtunnel.{name}" for name in OWN | (OWN_FREE_THREADED if objtunnel._FREE_THREADED else set())}
    more = loaded_by("import objtunnel", run_script) - loaded_by("", run_script) - STANDARD - own - {"objtunnel"}
    assert not more, more


@pytest.mark.parametrize("code", ["t.send([1.5, 'a', {2: (b'', None)}]); t.recv()", "t.send([len]); t.recv()"])
def test_what_is_loaded_does_not_grow_with_use(code, run_script):
    """Neither what moves nor what is pickled needs more."""
    used = loaded_by(f"import objtunnel; t = objtunnel.Tunnel(); {code}", run_script)
    assert used <= loaded_by("import objtunnel", run_script)
