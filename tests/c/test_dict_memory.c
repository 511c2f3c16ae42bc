/* test_dict_memory.c: LockingDict when memory runs out: the nth allocation fails, for n = 0, 1, 2, ...,
 * until the operation succeeds. What failed raised MemoryError and changed nothing. */
#include "support.h"

#include "objects/dict/map.h"

static void
start(void)
{
    python_start();
    python_run(
        "import gc\n"
        "from objtunnel import LockingDict\n"
        /* In a module: one of __main__ goes by value, whose pickling tells of imports, not of memory. */
        "import sys, types\n"
        "points = sys.modules['points'] = types.ModuleType('points')\n"
        "exec('class Point:\\n"
        "    def __init__(self, x): self.x = x\\n"
        "    def __eq__(self, other): return self.x == other.x', vars(points))\n"
        "Point = points.Point\n"
        "def fresh():\n"
        "    return {'n': 1, 'f': 1.5, 'l': [1, [2], 'x' * 100], 's': 'text', 2**70: None,\n"
        "            ('t', 1.0): {'a': Point(1)}, 'big': 2**65}\n"
        "def block(d):\n"
        "    with d.checkout('l') as tree:\n"
        "        tree.append(3)\n"
        "        del tree\n"
        "def one(): return [1]\n" /* made here: 3.13.0 crashes without memory for functions */
        "def pair(tree): return [tree, 3]\n"
        "gc.disable()\n");
}

TestSuite(dict_memory, .init = start, .fini = python_finish, .timeout = 120);

static long countdown;

static void *
failing_calloc(size_t n, size_t size)
{
    return countdown-- == 0 ? NULL : calloc(n, size);
}

static void
arm(bool of_map, long n)
{
    if (of_map) {
        countdown = n;
        ot_map_calloc = failing_calloc;
    } else {
        failing_arm(n);
    }
}

static bool
disarm(bool of_map)
{
    if (!of_map) {
        return failing_disarm();
    }
    ot_map_calloc = calloc;
    return countdown < 0;
}

/* Whether an allocation failed. */
static bool
run_failing(PyObject *operation, PyObject *d, bool of_map, long n, const char *after)
{
    arm(of_map, n);
    PyObject *result = PyObject_CallOneArg(operation, d);
    bool failed = disarm(of_map);
    if (result == NULL) {
        CHECK(failed);
        python_expect(PyExc_MemoryError);
        CHECK(python_true("dict(d.items()) == before and list(d) == list(before)"));
    } else {
        CHECK(python_true(after)); /* also where somebody did without the memory */
    }
    Py_XDECREF(result);
    return failed;
}

/* `after` is what is true of d then. */
static void
check_operation(const char *source, const char *after)
{
    PyObject *operation = python_eval(source);
    for (int of_map = 0; of_map < 2; of_map++) {
        for (long n = 0, more = true; more; n++) {
            CHECK(n < 5000);
            python_run("before = fresh(); d = LockingDict(fresh())");
            PyObject *d = python_eval("d");
            more = run_failing(operation, d, of_map, n, after);
            Py_DECREF(d);
            python_run("del d, before");
        }
    }
    Py_DECREF(operation);
}

Test(dict_memory, setting_changes_nothing)
{
    failing_install();
    check_operation("lambda d: d.__setitem__('new', [1, {2: 3}])", "d['new'] == [1, {2: 3}]");
    check_operation("lambda d: d.__setitem__('l', ['new', Point(2)])", "d['l'][1].x == 2");
    check_operation("lambda d: d.__setitem__('n', 2.5)", "d['n'] == 2.5");
    check_operation("lambda d: d.__setitem__(('a', 2**80, (None,)), 1)", "len(d) == 8");
    check_operation("lambda d: d.setdefault('new', [1])", "d['new'] == [1]");
    check_operation("lambda d: d.setdefault_with('new', one)", "d['new'] == [1]");
}

Test(dict_memory, taking_out_changes_nothing)
{
    failing_install();
    check_operation("lambda d: d.__delitem__('l')", "'l' not in d");
    check_operation("lambda d: d.pop('l')", "'l' not in d");
    check_operation("lambda d: d.pop(('t', 1.0))", "('t', 1) not in d");
    check_operation("lambda d: d.pop('n')", "'n' not in d");
    check_operation("lambda d: d.popitem()", "len(d) == 6 and 'big' not in d");
}

Test(dict_memory, atomic_operations_change_nothing)
{
    failing_install();
    check_operation("lambda d: d.add('n', 1000)", "d['n'] == 1001");
    check_operation("lambda d: d.add('n', 2**64)", "d['n'] == 2**64 + 1");
    check_operation("lambda d: d.add('f', 1)", "d['f'] == 2.5");
    check_operation("lambda d: d.add('new', 0.5)", "d['new'] == 0.5");
    check_operation("lambda d: d.swap('l', {'new': 1})", "d['l'] == {'new': 1}");
    check_operation("lambda d: d.swap('new', [1], None)", "d['new'] == [1]");
    check_operation("lambda d: d.compare_exchange('s', 'te' + 'xt', [1])", "d['s'] == [1]");
    check_operation("lambda d: d.update_with('l', pair)", "d['l'] == [[1, [2], 'x' * 100], 3]");
}

Test(dict_memory, reading_changes_nothing)
{
    failing_install();
    check_operation("lambda d: d['l']", "True");
    check_operation("lambda d: d[('t', 1)]", "True");
    check_operation("lambda d: d.items()", "True");
    check_operation("lambda d: d.copy()", "True");
    check_operation("repr", "True");
    check_operation("lambda d: d == d.copy()", "True");
    check_operation("lambda d: list(d)", "True");
}

/* The block may have changed the tree before memory ran out: it is there in one of two states. */
Test(dict_memory, a_checkout_keeps_the_tree)
{
    failing_install();
    PyObject *block = python_eval("block");
    for (int of_map = 0; of_map < 2; of_map++) {
        for (long n = 0, more = true; more; n++) {
            CHECK(n < 5000);
            python_run("d = LockingDict(fresh())");
            PyObject *d = python_eval("d");
            arm(of_map, n);
            PyObject *result = PyObject_CallOneArg(block, d);
            more = disarm(of_map);
            if (result == NULL) {
                CHECK(more);
                python_expect(PyExc_MemoryError);
            }
            Py_XDECREF(result);
            Py_DECREF(d);
            CHECK(python_true("d['l'][:2] == [1, [2]] and d['l'][3:] in ([], [3])"));
        }
    }
    Py_DECREF(block);
}
