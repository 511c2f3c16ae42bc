/* test_locking_list.c: LockingList when allocations fail: nothing has changed, no lock is left held, no
 * block is lost.
 *
 * The Nth allocation through Python's allocators fails, for N = 0, 1, 2, ... until the operation succeeds.
 */
#include "support.h"

TestSuite(locking_list, .init = python_start, .fini = python_finish, .timeout = 120);

static const char world[] =
    "import gc\n"
    "from objtunnel import LockingList\n"
    "big = 10**30\n"
    "things = [[big, 'text', {'a': [1.5]}], 7, None, 'more', (1, [2]), {3}]\n"
    "other = LockingList(things)\n"
    "def fresh():\n"
    "    global l\n"
    "    l = LockingList(things)\n"
    "def unchanged():\n"
    "    return l == things and other == things and not l.locked().locked()\n"
    "def popped(): assert l.pop(0) == things[0] and len(l) == 5\n"
    "def key(x): return str(x)\n"
    "fresh(); str(l); sorted(things, key=key); gc.collect()";

/* Each leaves l as `things` if it fails. */
static const char *const operations[] = {
    "l.append(things)",
    "l.append([big, [big]])",
    "l.insert(2, things)",
    "l.extend(things)",
    "l.extend(other)",
    "l += iter(things)",
    "l *= 50",
    "l[1] = things",
    "l[1:3] = things",
    "l[::2] = things[:3]",
    "l[:] = other",
    "del l[::2]",
    "del l[0]",
    "popped()",
    "l.remove('more')",
    "l.sort(key=key)",
    "l.reverse()",
    "l.clear()",
    "l.__init__(things)",
};

/* Those that only look. */
static const char *const looks[] = {
    "l[0]",      "l[:]",     "list(l)",    "list(reversed(l))", "l == things",
    "l + [1]",   "l * 2",    "repr(l)",    "l.index('more')",   "l.count(7)",
    "(1,) in l", "l.copy()", "l.locked()", "LockingList(l)",    "LockingList(things)",
};

/* Runs it with the nth allocation failing; whether one did. */
static bool
fails(PyObject *code, PyObject *globals, long n)
{
    failing_arm(n);
    PyObject *result = PyEval_EvalCode(code, globals, globals);
    bool failed = failing_disarm();
    if (result == NULL) {
        CHECK(failed);
        python_expect(PyExc_MemoryError);
        CHECK(python_true("unchanged()"));
    }
    Py_XDECREF(result);
    return failed;
}

/* Fails each allocation once; how many blocks are left by all these failures. */
static long
fail_each(PyObject *code, PyObject *globals)
{
    python_run("fresh()");
    long before = failing_settled_live();
    for (long n = 0; fails(code, globals, n); n++) {
        python_run("fresh()");
    }
    python_run("fresh()");
    return failing_settled_live() - before;
}

/* Caches and free lists grow for a while; a block that is lost at each failure is lost each time. */
static void
fail_all(const char *source)
{
    PyObject *code = Py_CompileString(source, "operation", Py_file_input);
    CHECK(code != NULL);
    PyObject *globals = PyModule_GetDict(PyImport_AddModule("__main__")); /* borrowed */
    long left = 1;
    for (int pass = 0; pass < 12 && left > 0; pass++) {
        left = fail_each(code, globals);
    }
    cr_assert(left <= 0, "%s: %ld blocks left each time", source, left);
    Py_DECREF(code);
}

Test(locking_list, failed_operations_change_nothing)
{
    failing_install();
    python_run(world);
    for (size_t i = 0; i < sizeof operations / sizeof *operations; i++) {
        fail_all(operations[i]);
    }
}

Test(locking_list, failed_looks_change_nothing)
{
    failing_install();
    python_run(world);
    for (size_t i = 0; i < sizeof looks / sizeof *looks; i++) {
        fail_all(looks[i]);
    }
}
