/* test_value.c: values at rest: what comes out is equal to what went in, whoever made it is gone, and
 * copying at once changes nothing.
 */
#include "tree_world.h"

#include "objects/core/value.h"
#include "tunnel/rest_copy.h"

#include <stdlib.h>

TestSuite(value, .init = open_world, .fini = close_world, .timeout = 300);

static ot_objects_t *
home(void)
{
    return &ot_state_current()->objects;
}

/* ---- handle types ------------------------------------------------------------------------------ */

/* A build without assertions, too, says so before it writes beyond the table. */
Test(value, a_handle_type_too_many_is_refused)
{
    static const ot_shared_kind_t kind = {.name = "one too many"};
    static PyType_Slot slots[] = {{0, NULL}};
    PyType_Spec spec = {"test.TooMany", sizeof(ot_handle_t), 0, Py_TPFLAGS_DEFAULT, slots};
    struct {
        ot_objects_t home;
        char beyond[sizeof(ot_objects_t)];
    } all = {.home = *home()};
    char untouched[sizeof all.beyond];
    memset(all.beyond, 0xa5, sizeof all.beyond);
    memset(untouched, 0xa5, sizeof untouched);
    all.home.n = OT_MAX_HANDLE_TYPES;
    CHECK(ot_handle_add_type(&all.home, &kind, &spec, NULL) == NULL);
    python_expect(PyExc_SystemError);
    CHECK(all.home.n == OT_MAX_HANDLE_TYPES);
    CHECK(memcmp(all.beyond, untouched, sizeof untouched) == 0);
    CHECK(all.home.lock_abandoned == home()->lock_abandoned);
}

/* Those that an interpreter has are fewer; there is room for some more. */
Test(value, there_is_room_for_more_handle_types)
{
    CHECK(home()->n > 10 && home()->n < OT_MAX_HANDLE_TYPES);
}

/* ---- values ------------------------------------------------------------------------------------ */

/* Refs: steals o. */
static ot_value_t *
value_steal(PyObject *o)
{
    ot_value_t *v = ot_value_new(home(), o);
    CHECK(v != NULL);
    Py_DECREF(o);
    return v;
}

static PyObject *
copy_of(ot_value_t *v)
{
    PyObject *o = ot_value_copy(home(), v);
    CHECK(o != NULL);
    return o;
}

/* Refs: steals o. */
static void
check_repr(PyObject *o, const char *expected)
{
    char *repr = python_repr(o);
    CHECK(strcmp(repr, expected) == 0);
    free(repr);
    Py_DECREF(o);
}

/* Copies twice, takes: each is equal and in order, and the value is not changed by it. */
static void
check_copies(ot_value_t *v, const char *repr)
{
    graph_t before = {0};
    if (v->form == OT_VALUE_TREE) {
        before = graph_of(ot_rest_root(v->u.rest));
    }
    for (int i = 0; i < 2; i++) {
        PyObject *copy = copy_of(v);
        graph_check_received(copy);
        if (PyList_CheckExact(copy)) {
            CHECK(PyList_Append(copy, Py_None) == 0); /* an object of our own */
            CHECK(PyList_SetSlice(copy, PyList_GET_SIZE(copy) - 1, PyList_GET_SIZE(copy), NULL) ==
                  0);
        }
        check_repr(copy, repr);
    }
    if (v->form == OT_VALUE_TREE) {
        graph_t after = graph_of(ot_rest_root(v->u.rest));
        graph_check_same(&before, &after);
        graph_free(&before);
        graph_free(&after);
    }
    ot_value_ref(v);
    check_repr(ot_value_take(home(), v), repr); /* not the last: a copy */
    PyObject *taken = ot_value_take(home(), v);
    CHECK(taken != NULL);
    graph_check_received(taken);
    check_repr(taken, repr);
}

/* In Python, put(o) makes put_value of o. */
static ot_value_t *put_value;

static PyObject *
put(PyObject *module, PyObject *o)
{
    (void)module;
    put_value = ot_value_new(home(), o);
    return put_value == NULL ? NULL : Py_NewRef(Py_None);
}

static PyMethodDef put_method = {"put", put, METH_O, NULL};

static void
bind_put(void)
{
    PyObject *function = PyCFunction_New(&put_method, NULL);
    python_set("put", function);
    CHECK(ot_consumer_add(home()->interp->consumers, function, NULL) == 0); /* as append is one */
    Py_DECREF(function);
}

/* ---- every kind -------------------------------------------------------------------------------- */

Test(value, every_kind_outlives_its_maker)
{
    enum { MOST = 100 };
    ot_value_t *values[MOST];
    char *reprs[MOST];
    Py_ssize_t n;
    PyObject *list = python_eval("[None, True, False, 0, -1, 2**63 - 1, -2**63, 2**63, 10**30, 1.5,"
                                 " float('inf'), 1j, '', 'x', 'text', '\\u20ac' * 3, b'', b'b',"
                                 " b'bytes', (), ..., int, [], {}, set(), frozenset(), [[]], [{}],"
                                 " " EVERY_KIND ", " STDLIB_KINDS "]");
    n = PyList_GET_SIZE(list);
    cr_assert_leq(n, MOST);
    int forms[OT_VALUE_OPAQUE + 1] = {0};
    for (Py_ssize_t i = 0; i < n; i++) {
        PyObject *o = PyList_GET_ITEM(list, i);
        reprs[i] = python_repr(o);
        values[i] = ot_value_new(home(), o);
        cr_assert_not_null(values[i]);
        char *still = python_repr(o);
        cr_assert_str_eq(still, reprs[i], "what the caller holds is never emptied");
        free(still);
        forms[values[i]->form]++;
    }
    for (int form = 0; form <= OT_VALUE_OPAQUE; form++) {
        cr_assert(form == OT_VALUE_HANDLE || forms[form] > 0, "no value of form %d", form);
    }
    Py_DECREF(list);
    end(&sender, receiver);
    for (Py_ssize_t i = 0; i < n; i++) {
        check_copies(values[i], reprs[i]);
        free(reprs[i]);
    }
}

Test(value, sharing_and_cycles_inside_the_tree_are_kept)
{
    python_run("a = [1]\nt = [a, a, {'k': a}, (a, [a])]\nt.append(t)\nt[3][1].append(t[3])\n"
               "t.append({'k': t})\n"
               "d = {}\nd['self'] = d\nt.append(d)");
    PyObject *t = python_eval("t");
    ot_value_t *v = value_steal(t);
    cr_assert_eq(v->form, OT_VALUE_TREE);
    end(&sender, receiver);
    for (int i = 0; i < 3; i++) {
        bool last = i == 2;
        PyObject *copy = last ? ot_value_take(home(), v) : copy_of(v);
        python_set("t", copy);
        Py_DECREF(copy);
        python_run(
            "a = t[0]\n"
            "assert a == [1] and t[1] is a and t[2]['k'] is a and t[3][0] is a\n"
            "assert t[3][1][0] is a and t[3][1][1] is t[3] and t[4] is t and t[5]['k'] is t\n"
            "assert t[6]['self'] is t[6] and len(t) == 7\n"
            "a.append(2)\nimport gc\ndel t, a\nassert gc.collect() > 0");
    }
}

/* What is looked up by a NaN, or by a tuple of one, hashes by its address. */
Test(value, nans_are_found_again)
{
    PyObject *o = python_eval("[{n: 1, (n, 'x'): 2} for n in [float('nan')]] + [{float('nan')}]");
    ot_value_t *v = value_steal(o);
    cr_assert_eq(v->form, OT_VALUE_TREE);
    end(&sender, receiver);
    for (int i = 0; i < 3; i++) {
        PyObject *copy = i == 2 ? ot_value_take(home(), v) : copy_of(v);
        CHECK(copy != NULL);
        python_set("t", copy);
        Py_DECREF(copy);
        python_run("d, s = t\nassert [d[k] for k in d] == [1, 2]\nassert all(k in s for k in s)\n"
                   "n = next(iter(d))\nassert (n, 'x') in d and next(iter(d))  is n");
    }
}

/* The walk looks types up that it has no row for, such as bool. */
Test(value, bools_are_built_in)
{
    python_run("keep = (None, False), [True]");
    ot_value_t *v = value_steal(python_eval("[{keep[0]: True}, keep]"));
    cr_assert_eq(v->form, OT_VALUE_TREE);
    end(&sender, receiver);
    check_copies(v, "[{(None, False): True}, ((None, False), [True])]");
}

Test(value, keys_are_interned_where_they_arrive)
{
    bind_put();
    python_run("put([{'alpha_key': n, 'beta_key': n} for n in range(20)])"); /* moved */
    ot_value_t *v = put_value;
    end(&sender, receiver);
    python_run("import sys");
    PyObject *copy = copy_of(v);
    graph_check_received(copy); /* no interned strs of others */
    python_set("t", copy);
    Py_DECREF(copy);
    cr_assert(python_true("all(k is sys.intern('alpha_key') for row in t for k in list(row)[:1])"));
    cr_assert(python_true("t == [{'alpha_key': n, 'beta_key': n} for n in range(20)]"));
    ot_value_unref(v);
}

Test(value, an_ordered_dict_keeps_its_order)
{
    python_run("d = collections.OrderedDict((s(n), [n]) for n in range(50))\n"
               "d.move_to_end(s(7))\nd.move_to_end(s(9), last=False)\ndel d[s(20)]");
    PyObject *o = python_eval("d");
    char *repr = python_repr(o);
    ot_value_t *v = value_steal(o);
    cr_assert_eq(v->form, OT_VALUE_TREE);
    end(&sender, receiver);
    check_copies(v, repr);
    free(repr);
}

Test(value, a_deep_tree)
{
    python_run("deep = []\nfor n in range(300000): deep = [deep]");
    ot_value_t *v = value_steal(python_eval("deep"));
    end(&sender, receiver);
    PyObject *copy = copy_of(v);
    python_set("t", copy);
    Py_DECREF(copy);
    python_run("n = 0\nwhile t: t, n = t[0], n + 1\nassert n == 300000");
    ot_value_unref(v);
}

/* ---- handles ----------------------------------------------------------------------------------- */

Test(value, handles_stay_handles)
{
    python_run("tunnel = objtunnel.Tunnel()\narray = objtunnel.SharedArray('i', 3)\n"
               "lock = objtunnel.Lock()\nids = tunnel.id, array.id, lock.id");
    ot_value_t *fast = value_steal(python_eval("[tunnel, {'t': tunnel}]"));
    ot_value_t *many = value_steal(python_eval("[array, lock, array[1:], tunnel]"));
    ot_value_t *pickled = value_steal(python_eval("[objtunnel.Barrier(1, print), lock]"));
    ot_value_t *alone = value_steal(python_eval("lock"));
    ot_value_t *root = value_steal(python_eval("tunnel"));
    cr_assert_eq(fast->form, OT_VALUE_TREE);
    cr_assert_eq(many->form, OT_VALUE_TREE);
    cr_assert_eq(pickled->form, OT_VALUE_OPAQUE);
    cr_assert_eq(alone->form, OT_VALUE_HANDLE);
    cr_assert_eq(root->form, OT_VALUE_HANDLE);
    PyObject *ids = python_eval("repr(ids)");
    char *text = python_repr(ids);
    Py_DECREF(ids);
    end(&sender, receiver);
    ot_value_t *values[] = {fast, many, alone, root, pickled};
    for (int round = 0; round < 3; round++) {
        PyObject *o = PyList_New(0);
        for (int i = 0; i < 5; i++) {
            PyObject *copy =
                round == 2 ? ot_value_take(home(), values[i]) : ot_value_copy(home(), values[i]);
            CHECK(copy != NULL && PyList_Append(o, copy) == 0);
            Py_DECREF(copy);
        }
        python_set("t", o);
        Py_DECREF(o);
        python_run("fast, many, alone, root, pickled = t\n"
                   "assert fast[0] is fast[1]['t'] and fast[0] == root == many[3]\n"
                   "fast[0].send(7)\nassert root.recv() == 7\n"
                   "many[0][1] += 1\nassert many[2].tolist() == many[0].tolist()[1:]\n"
                   "assert alone == many[1] == pickled[1]\n"
                   "ids = repr((root.id, many[0].id, alone.id))");
        PyObject *now = python_eval("ids");
        char *repr = python_repr(now);
        Py_DECREF(now);
        cr_assert_str_eq(repr, text);
        free(repr);
    }
    python_run("assert many[0].tolist() == [0, 3, 0]\ndel t, fast, many, alone, root, pickled");
    free(text);
}

/* ---- what moves -------------------------------------------------------------------------------- */

Test(value, a_temporary_moves_and_a_name_is_copied)
{
    bind_put();
    python_run("where = []\n"
               "def build():\n"
               "    inner = [f(1)]\n"
               "    where.append(id(inner))\n"
               "    return [inner]\n"
               "put(build())");
    PyObject *o = ot_value_take(home(), put_value);
    python_set("t", o);
    Py_DECREF(o);
    cr_assert(python_true("id(t[0]) == where[0] and t == [[f(1)]]"));
    python_run("name = build()\nput(name)\nassert name == [[f(1)]]");
    o = ot_value_take(home(), put_value);
    python_set("t", o);
    Py_DECREF(o);
    cr_assert(python_true("id(t[0]) != where[1] and t == name and t is not name"));
    python_run("def local():\n"
               "    x = build()\n"
               "    put(x)\n"
               "    assert x == [[f(1)]]\n"
               "local()");
    ot_value_unref(put_value);
    /* The one reference is a partial's, which goes on being used. */
    python_run("import functools\n"
               "p = functools.partial(put, build())\n"
               "def call(p): p()\n"
               "call(p)\nassert p.args == ([[f(1)]],)");
    ot_value_unref(put_value);
}

/* ---- threads ----------------------------------------------------------------------------------- */

typedef struct {
    ot_value_t *v;
    PyThreadState *interpreter;
    const char *repr;
    int rounds;
} copying_t;

static void *
copy_many(void *arg)
{
    copying_t *x = arg;
    PyThreadState *mine = PyThreadState_New(x->interpreter->interp);
    PyEval_RestoreThread(mine);
    for (int i = 0; i < x->rounds; i++) {
        PyObject *copy = copy_of(x->v);
        if (i % 8 == 0) {
            graph_check_received(copy);
            check_repr(copy, x->repr);
        } else {
            Py_DECREF(copy);
        }
    }
    ot_value_unref(x->v);
    PyThreadState_Clear(mine);
    PyThreadState_DeleteCurrent();
    return NULL;
}

static void
check_threads(const char *expression, int rounds)
{
    ot_value_t *v = value_steal(python_eval(expression));
    PyObject *same = copy_of(v);
    char *repr = python_repr(same);
    Py_DECREF(same);
    end(&sender, receiver);
    sender = interpreter_new();
    python_run("import objtunnel, collections, datetime, decimal");
    graph_t before = {0};
    if (v->form == OT_VALUE_TREE) {
        before = graph_of(ot_rest_root(v->u.rest));
    }
    PyThreadState *saved = PyEval_SaveThread();
    copying_t a = {v, sender, repr, rounds}, b = {v, receiver, repr, rounds};
    ot_value_ref(v);
    ot_value_ref(v);
    pthread_t one = test_thread(copy_many, &a), other = test_thread(copy_many, &b);
    test_join(one);
    test_join(other);
    PyEval_RestoreThread(saved);
    if (v->form == OT_VALUE_TREE) {
        graph_t after = graph_of(ot_rest_root(v->u.rest));
        graph_check_same(&before, &after);
        graph_free(&before);
        graph_free(&after);
    }
    check_repr(ot_value_take(home(), v), repr);
    free(repr);
}

Test(value, two_interpreters_copy_at_once)
{
    check_threads("[[" EVERY_KIND "][:-1], [{'key': n, s(n): [f(n)]} for n in range(300)],"
                  " collections.OrderedDict((s(n), f(n)) for n in range(30))]",
                  400);
}

Test(value, two_interpreters_copy_what_only_python_can)
{
    check_threads("[collections.deque([f(1), [s(2)]]), decimal.Decimal('1.5'),"
                  " [datetime.date(2024, 2, 29)], {'key': [f(3)]}]",
                  100);
}

/* ---- memory ------------------------------------------------------------------------------------ */

static const char sample[] =
    "import objtunnel\n"
    "tunnel, box = objtunnel.Tunnel(), objtunnel.Box([1])\n"
    "def build():\n"
    "    shared = [f(4)]\n"
    "    cycle = [shared]\n"
    "    cycle.append((cycle, {s(6): cycle}))\n"
    "    return [[f(1)], (f(2), [s(1)]), {s(2): f(3), 'key': [s(3)]}, {i(1): s(4)}, {s(5), f(4)},\n"
    "            bytearray(b(2)), range(i(3), i(4)), slice([f(7)]), shared, shared, cycle, tunnel, box,\n"
    "            {'key': {float('nan'): 1}}, {'alpha': f(9), 'beta': f(10)}, frozenset([s(6)]),\n"
    "            collections.OrderedDict([(s(11), [f(10)]), ('key', f(13))])]\n"
    "gc.collect()";

typedef struct {
    ot_objects_t *home;
    PyObject *o;
    char *repr;
    ot_value_t *v;
} trial_t;

/* Fails each allocation in turn; `attempt` returns false with MemoryError. */
static void
fail_each(bool (*attempt)(trial_t *x), trial_t *x)
{
    for (long n = 0;; n++) {
        long before = failing_settled_live(), leaked = 0;
        for (int i = 0; i < 3; i++) { /* a cache is filled once, a leak leaks each time */
            failing_arm(n);
            bool done = attempt(x);
            bool failed = failing_disarm();
            if (done) {
                CHECK(!PyErr_Occurred());
                if (!failed) {
                    cr_assert_gt(n, 3);
                    return;
                }
            } else {
                CHECK(failed);
                python_expect(PyExc_MemoryError);
                check_repr(Py_NewRef(x->o), x->repr); /* the caller still has it all */
            }
            long now = failing_settled_live();
            leaked = now - before;
            before = now;
            if (leaked <= 0) {
                break;
            }
        }
        cr_assert_leq(leaked, 0, "when allocation %ld fails, %ld blocks leak each time", n, leaked);
    }
}

static bool
try_new(trial_t *x)
{
    ot_value_t *v = ot_value_new(x->home, x->o);
    bool done = v != NULL;
    if (done) {
        ot_value_unref(v);
    }
    return done;
}

static bool
try_copy(trial_t *x)
{
    PyObject *copy = ot_value_copy(x->home, x->v);
    Py_XDECREF(copy);
    return copy != NULL;
}

static bool
try_take(trial_t *x)
{
    PyObject *o = ot_value_take(x->home, x->v);
    if (o == NULL) {
        return false;
    }
    x->o = o;
    x->v = NULL;
    return true;
}

Test(value, failed_allocations)
{
    python_run(sample);
    failing_install();
    trial_t x = {.home = home(), .o = python_eval("build()")};
    x.repr = python_repr(x.o);
    x.v = ot_value_new(x.home, x.o);
    cr_assert_eq(x.v->form, OT_VALUE_TREE);
    fail_each(try_new, &x);
    fail_each(try_copy, &x);
    check_repr(copy_of(x.v), x.repr);
    Py_CLEAR(x.o);
    free(x.repr);
    ot_value_unref(x.v);
}

Test(value, failed_takes)
{
    python_run(sample);
    failing_install();
    const char *roots[] = {"build()", "[{'k%d' % k: [f(k)] for k in range(12)}, tunnel]", "s(1)",
                           "[[f(1)]]"};
    for (int r = 0; r < 4; r++) {
        trial_t x = {.home = home(), .o = python_eval(roots[r])};
        char *repr = python_repr(x.o);
        x.v = ot_value_new(x.home, x.o);
        Py_CLEAR(x.o);
        for (long n = 0;; n++) {
            failing_arm(n);
            bool done = try_take(&x);
            failing_disarm();
            if (done) {
                break;
            }
            python_expect(PyExc_MemoryError);
            check_repr(copy_of(x.v), repr); /* as it was */
        }
        check_repr(x.o, repr);
        free(repr);
    }
}

/* Each round leaves nothing, though who frees is not who made. */
Test(value, is_freed_by_another_interpreter)
{
    end(&sender, bystander);
    failing_install();
    enter(receiver);
    python_run(makers);
    python_run(sample);
    python_run("import array");
    /* No tuples: the free list of those, two thousand of each size from 3.14 on, is kept. */
    const char *roots[] = {"[{s(1): f(1), 'key': [s(2)]}, {i(1)}, bytearray(b(1)), tunnel]", "s(1)",
                           "tunnel", "array.array('i', [1])", "[tunnel, {'key': tunnel}]"};
    for (int i = 0; i < 5; i++) {
        long before = 0;
        for (int round = 0; round < 30; round++) {
            ot_value_t *v = value_steal(python_eval(roots[i]));
            failing_settle();
            enter(bystander);
            ot_value_unref(v);
            failing_settle();
            enter(receiver);
            failing_settle();
            if (round == 15) {
                before = failing_live();
            }
        }
        long leaked = failing_live() - before;
        cr_assert_leq(leaked, 0, "%s: %ld blocks leak in 14 rounds", roots[i], leaked);
    }
}

/* The messages of a Tunnel that dies with a value die, too. */
Test(value, a_tunnel_that_dies_with_a_value)
{
    python_run("tunnel = objtunnel.Tunnel()\ntunnel.send([f(1)])\ninner = objtunnel.Tunnel()\n"
               "inner.send({'key': 1})\ntunnel.send([inner])");
    ot_value_t *v = value_steal(python_eval("[tunnel]"));
    end(&sender, receiver);
    cr_assert_eq(ot_channel_count(), 2);
    ot_value_unref(v);
    cr_assert_eq(ot_channel_count(), 0);
}

static void *
unref_without_python(void *v)
{
    ot_value_unref(v);
    return NULL;
}

Test(value, the_last_reference_may_go_where_there_is_no_python)
{
    ot_value_t *v[] = {value_steal(python_eval("objtunnel.Lock()")),
                       value_steal(python_eval("[objtunnel.Tunnel()]")),
                       value_steal(python_eval("[objtunnel.Lock()]")),
                       value_steal(python_eval("s(1)")), value_steal(python_eval("7"))};
    for (int i = 0; i < 5; i++) {
        test_join(test_thread(unref_without_python, v[i]));
    }
    end(&sender, receiver);
    ot_value_unref(value_steal(python_eval("'anything'"))); /* frees those */
    cr_assert_eq(ot_channel_count(), 0);
    cr_assert_eq(ot_shared_count(), 0);
}

/* ---- what Python code does to OPAQUE values ------------------------------------------------------ */

Test(value, pickling_that_fails_once_changes_nothing)
{
    bind_put();
    python_run("import fractions\n"
               "class Moody:\n"
               "    calls = 0\n"
               "    def __reduce__(self):\n"
               "        Moody.calls += 1\n"
               "        if Moody.calls == 2: raise KeyError('not now')\n"
               "        return Moody, ()\n"
               "    def __repr__(self): return 'Moody'\n"
               "__name__ = 'moods'\nimport sys\nsys.modules['moods'] = sys.modules['__main__']\n"
               "Moody.__module__ = 'moods'");
    ot_value_t *v = value_steal(python_eval("[Moody(), [f(1)]]"));
    cr_assert_eq(v->form, OT_VALUE_OPAQUE);
    cr_assert_null(ot_value_copy(home(), v));
    PyErr_Clear();
    check_repr(copy_of(v), "[Moody, [1.5714285714285714]]");
    check_repr(ot_value_take(home(), v), "[Moody, [1.5714285714285714]]");
    python_run("del sys.modules['moods']");
}
