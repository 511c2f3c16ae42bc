/* test_tree.c: taking a tree out of one interpreter and putting it into another: what moves, and
 * who may be gone meanwhile (what is copied and what fails: test_tree_outside.c).
 */
#include "tree_world.h"

#include "runtime/cpython/instance.h"

#include "runtime/cpython/gc.h"

#include <stdlib.h>

TestSuite(tree, .init = open_world, .fini = close_world, .timeout = 120);
TestSuite(tree_from_before, .fini = close_world, .timeout = 120);

/* ---- every kind keeps its address --------------------------------------------------------- */

/* The same objects in the same places; only the root, which stays as an empty shell, is new. */
static void
check_moved(const graph_t *before, const graph_t *after)
{
    cr_assert_eq(before->len, after->len);
    cr_assert_neq(before->nodes[0].o, after->nodes[0].o);
    for (size_t i = 0; i < before->len; i++) {
        if (i > 0) {
            cr_assert_eq(before->nodes[i].o, after->nodes[i].o, "object %zu is another one", i);
        }
        cr_assert_eq(before->nodes[i].edges, after->nodes[i].edges);
        cr_assert_eq(before->nodes[i].tracked, after->nodes[i].tracked, "object %zu", i);
    }
}

/* What a receipt counts: a memoryview's managed buffer is nobody's object. */
static size_t
objects_in(const graph_t *g)
{
    size_t n = g->len;
    for (size_t i = 0; i < g->len; i++) {
        n -= strcmp(Py_TYPE(g->nodes[i].o)->tp_name, "managedbuffer") == 0;
    }
    return n;
}

static void
moves_in_place(PyObject *root)
{
    graph_t before = graph_of(root);
    size_t objects = objects_in(&before);
    char *text = python_repr(root);
    ot_receipt_t receipt;
    ot_tree_t *tree = detach_with(root, &receipt);
    cr_assert_eq(receipt.moved, objects);
    cr_assert_eq(receipt.copied, 0);
    cr_assert_eq(receipt.pickled, 0);
    cr_assert_eq(PyObject_Size(root), 0, "the root stays, empty");
    cr_assert_eq(Py_REFCNT(root), 1);
    Py_DECREF(root);
    enter(receiver);
    root = attach(tree);
    graph_check_received(root);
    graph_t after = graph_of(root);
    check_moved(&before, &after);
    char *received = python_repr(root);
    cr_assert_str_eq(received, text);
    Py_DECREF(root);
    graph_free(&before);
    graph_free(&after);
    free(text);
    free(received);
}

#define MOVES_IN_PLACE(name, expression)                                                           \
    Test(tree, name##_moves_in_place)                                                              \
    {                                                                                              \
        moves_in_place(python_eval(expression));                                                   \
    }

MOVES_IN_PLACE(list, "[[f(1), [f(2), []]], [None, True, 7, 'x', b'', ()]]")
MOVES_IN_PLACE(tuple, "[(f(1), (s(2), [i(3)])), tuple(f(n) for n in range(30))]")
MOVES_IN_PLACE(dict, "[{s(n): f(n) for n in range(40)}, {s(1): [f(1)]}, {}]")
MOVES_IN_PLACE(dict_with_other_keys, "[{i(n): s(n) for n in range(40)}, {(i(1), s(1)): f(1)}]")
MOVES_IN_PLACE(set, "[{s(n) for n in range(100)}, {s(1), f(1)}, set()]")
MOVES_IN_PLACE(frozenset, "[frozenset(s(n) for n in range(100)), frozenset([s(1), (i(1), f(1))])]")
MOVES_IN_PLACE(str, "[s(1), s(2) + '\\xe9', s(3) + '\\u20ac', s(4) + '\\U0001f600', s(5) * 10000]")
MOVES_IN_PLACE(int, "[i(1), -i(2), i(3) ** 100, 1 << i(0).bit_length()]")
MOVES_IN_PLACE(float, "[f(1), -f(2), f(3) / 0.1e300]")
MOVES_IN_PLACE(complex, "[complex(f(1), f(2)), complex(f(3))]")
MOVES_IN_PLACE(bytes, "[b(1), b(2) * 10000]")
MOVES_IN_PLACE(bytearray, "[bytearray(b(1)), bytearray(b(2) * 10000), bytearray()]")
MOVES_IN_PLACE(memoryview, "[memoryview(bytearray(b(1))), memoryview(bytearray(b(2) * 9999))[9:],"
                           " memoryview(b(3) * 12).cast('B', [2, 3, 14]), memoryview(b(4))[::-1]]")
MOVES_IN_PLACE(range, "[range(i(1), i(900), 3), range(5)]")
MOVES_IN_PLACE(slice, "[slice(i(1), [f(2)], None), slice(None)]")
MOVES_IN_PLACE(array, "[array.array('d', [1.5, 2.5]), array.array('q', range(9999)),"
                      " array.array('w', s(1)), array.array('b')]")
MOVES_IN_PLACE(dict_as_root, "{s(1): [f(1)], s(2): {s(3): (f(2),)}}")
MOVES_IN_PLACE(set_as_root, "{s(n) for n in range(20)}")
MOVES_IN_PLACE(small_set_as_root, "{s(1), f(2)}")
MOVES_IN_PLACE(bytearray_as_root, "bytearray(b(1) * 100)")
MOVES_IN_PLACE(array_as_root, "array.array('d', [f(1), f(2)])")
MOVES_IN_PLACE(empty_root, "[]")

/* Calls make(), defined by source, in the sender. */
static PyObject *
make(const char *source)
{
    python_run(source);
    return python_eval("make()");
}

Test(tree, dict_and_set_with_holes_move_in_place)
{
    moves_in_place(make("def make():\n"
                        "    d, t = {s(n): f(n) for n in range(40)}, {s(n) for n in range(40)}\n"
                        "    for n in range(0, 40, 3): del d[s(n)]; t.remove(s(n))\n"
                        "    return [d, t]"));
}

Test(tree, what_is_shared_within_the_tree_moves_in_place)
{
    moves_in_place(make("def make():\n"
                        "    x, y, k = [f(1)], f(2), s(1)\n"
                        "    return [x, x, (x, x), {k: x}, {k: y}, {k}, y, [y], slice(x, y)]"));
}

Test(tree, cycles_move_in_place)
{
    moves_in_place(make("def make():\n"
                        "    x = [f(1)]\n"
                        "    x.append(x)\n"
                        "    d = {s(1): x}\n"
                        "    d[s(2)] = (d, [d, f(2)])\n"
                        "    return [d, [x]]"));
}

Test(tree, a_cached_utf8_form_moves_along)
{
    PyObject *root = python_eval("[s(1) + '\\u20ac']");
    PyObject *text = PyList_GET_ITEM(root, 0);
    const char *utf8 = PyUnicode_AsUTF8(text);
    ot_tree_t *tree = detach_steal(root);
    enter(receiver);
    root = attach(tree);
    cr_assert_eq(PyList_GET_ITEM(root, 0), text);
    cr_assert_eq(PyUnicode_AsUTF8(text), utf8);
    cr_assert_str_eq(utf8, "text-1\u20ac");
    Py_DECREF(root);
}

/* ---- in transit and after ----------------------------------------------------------------- */

static int
is_in_transit(PyObject *o, void *arg)
{
    const graph_t *g = arg;
    for (size_t i = 0; i < g->len; i++) {
        cr_assert_neq(g->nodes[i].o, o, "the collector knows an object in transit");
    }
    return 1;
}

Test(tree, no_collector_knows_what_is_in_transit)
{
    ot_tree_t *tree = detach_steal(python_eval("[[f(1)], ([f(2)],), {i(1): [f(3)]}, {f(4)},"
                                               " frozenset([f(5)]), slice([f(6)])]"));
    graph_t g = graph_of(tree->root);
    for (size_t i = 0; i < g.len; i++) {
        cr_assert_eq(g.nodes[i].refcnt, g.nodes[i].edges);
    }
    PyUnstable_GC_VisitObjects(is_in_transit, &g);
    PyGC_Collect();
    enter(receiver);
    PyUnstable_GC_VisitObjects(is_in_transit, &g);
    PyGC_Collect();
    graph_free(&g);
    Py_DECREF(attach(tree));
}

/* Where collectors count their containers (3.14.10 on), both must go on counting right. */
Test(tree, collectors_count_what_leaves_and_what_arrives)
{
    python_run("import gc\ngc.disable()\nx = [[f(n)] for n in range(1000)]\nkept = []");
    Py_ssize_t before = ot_gc_counted();
    PyObject *x = python_eval("x");
    ot_tree_t *tree = detach_steal(x);
    Py_ssize_t in_transit = ot_gc_counted();
    cr_assert_eq(tree->tracked.len, 1001);
    cr_assert_eq(tree->tracked.uncounted, 0);
    PyObject *back = attach(tree);
    Py_ssize_t after = ot_gc_counted();
#if OT_GC_COUNTS
    cr_assert_eq(before - in_transit, 1000); /* the root stays, its content has a new one */
    cr_assert_eq(after - in_transit, 1001);
#else
    cr_assert_eq(before + in_transit + after, 0);
#endif
    Py_DECREF(back);
    cr_assert_eq(ot_gc_counted(), in_transit);
    /* A failed send counts as if nothing had happened. */
    python_run("x = [[f(n)] for n in range(1000)] + [(x for x in [])]");
    before = ot_gc_counted();
    x = python_eval("x");
    ot_receipt_t receipt;
    ot_leftovers_t leftovers;
    cr_assert_null(
        ot_tree_detach(python_interp(), x, false, OT_SHARE_NOTHING, &receipt, &leftovers));
    PyErr_Clear();
    cr_assert_eq(ot_gc_counted(), before);
    Py_DECREF(x);
}

Test(tree, the_collector_of_the_receiver_sees_a_received_cycle)
{
    enter(receiver);
    python_run("import gc, weakref");
    enter(sender);
    python_run("def make():\n    x = {f(1)}\n    y = [x]\n    y.append(y)\n    return [y, x]");
    transfer("make()");
    python_run("gone = []\nr = weakref.ref(x[1], gone.append)\ngc.collect()\nassert not gone\n"
               "del x\ngc.collect()\nassert gone");
}

Test(tree, a_root_that_contains_itself_still_does)
{
    python_run("def make():\n    x = [f(1)]\n    x.append(x)\n    return x");
    transfer("make()");
    cr_assert(python_true("len(x) == 2 and x[1] is x"));
    python_run("x.clear()");
}

Test(tree, depth_is_no_limit)
{
    python_run("def make():\n"
               "    x = []\n"
               "    for n in range(200000): x = [x] if n % 2 else (x, f(n))\n"
               "    return [x]");
    ot_tree_t *tree = detach_steal(python_eval("make()"));
    enter(receiver);
    PyObject *root = attach(tree);
    python_set("x", root);
    Py_DECREF(root);
    python_run("n = 0\n"
               "while x: x = x[0]; n += 1\n"
               "assert n == 200001, n");
}

Test(tree, the_receiver_computes_on_and_sends_back)
{
    python_run("def make(): return [{s(n): [f(n)] for n in range(10)}, bytearray(b(1)), {i(1)},"
               " array.array('d', [f(1)])]");
    transfer("make()");
    python_run("x[0].update({'row%d' % n: [n / 7] for n in range(100)})\n"
               "x[1] += b'more' * 100\n"
               "x[2].update(range(1000, 1100))\n"
               "x[3].extend(n / 3 for n in range(100))\n"
               "x.append(x[0])\n"
               "del x[0]['text-3']");
    ot_tree_t *tree = detach_steal(python_take("x"));
    enter(sender);
    PyObject *root = attach(tree);
    graph_check_received(root);
    python_set("x", root);
    Py_DECREF(root);
    python_run(
        "assert len(x[0]) == 109 and x[0]['row5'] == [5 / 7] and x[0][s(4)] == [f(4)]\n"
        "assert x[1].endswith(b'more') and i(1) in x[2] and 1099 in x[2] and len(x[3]) == 101\n"
        "assert x[4] is x[0] and type(x[3]) is array.array\n"
        "del x\ngc.collect()");
}

/* ---- what belongs to the sender ----------------------------------------------------------- */

Test(tree, interned_keys_become_the_receivers)
{
    python_run(
        "kept = ['alpha', 'beta', sys.intern('gamma ray')]\n"
        "def make():\n"
        "    return [[{'alpha': f(n), 'beta': 'alpha', kept[2]: [f(n)]} for n in range(5)],\n"
        "            'beta', {1: 'alpha'}, {'alpha', 'beta'}]");
    PyObject *kept = python_eval("kept");
    graph_t theirs = graph_of(kept);
    ot_tree_t *tree = detach_steal(python_eval("make()"));
    enter(receiver);
    PyObject *root = attach(tree);
    graph_check_received(root);
    graph_t ours = graph_of(root);
    for (size_t i = 0; i < theirs.len; i++) {
        cr_assert_not(graph_has(&ours, theirs.nodes[i].o), "the sender's object came along");
    }
    python_set("x", root);
    cr_assert(python_true("all(r['alpha'] == (n + 10) / 7 and r['beta'] == 'alpha' and"
                          " r['gamma ray'] for n, r in enumerate(x[0]))"));
    cr_assert(python_true("all(__import__('sys').intern('gam' + 'ma ray') is k"
                          " for r in x[0] for k in r if k[0] == 'g')"));
    cr_assert(python_true("x[3] == {'alpha', 'beta'} and x[2] == {1: 'alpha'}"));
    Py_DECREF(root);
    graph_free(&ours);
    graph_free(&theirs);
    enter(sender);
    Py_DECREF(kept);
}

/* Each of 50 dicts has one reference to each of its two keys, and nothing else in the receiver has any. */
Test(tree, received_keys_have_as_many_references_as_dicts)
{
    transfer("[{'a_key_of_these': f(n), 'another_one': f(n)} for n in range(50)]");
    PyObject *dicts = python_eval("x"), *keys[2], *value;
    Py_ssize_t at = 0;
    for (int i = 0; i < 2; i++) {
        cr_assert(PyDict_Next(PyList_GET_ITEM(dicts, 0), &at, &keys[i], &value));
        cr_assert(PyUnicode_CHECK_INTERNED(keys[i]));
    }
    cr_assert_geq(Py_REFCNT(keys[0]), 50);
    cr_assert_eq(Py_REFCNT(keys[0]), Py_REFCNT(keys[1]));
    Py_DECREF(dicts);
}

Test(tree, the_senders_keys_lose_the_references_of_the_moved_dicts)
{
    python_run("key = sys.intern('a key of no one else')\nbefore = sys.getrefcount(key)\n"
               "def make(): return [{key: f(n)} for n in range(50)]");
    PyObject *key = python_eval("key");
    Py_ssize_t before = Py_REFCNT(key);
    ot_tree_t *tree = detach_steal(python_eval("make()"));
    cr_assert_eq(Py_REFCNT(key), before);
    Py_DECREF(key);
    enter(receiver);
    Py_DECREF(attach(tree));
}

Test(tree, a_dicts_version_is_forgotten)
{
    /* Not by using it as globals: 3.15 then watches it, and it is copied. */
    python_run("def make():\n    return [{'n': 1, 'm': 2}]");
    PyObject *root = python_eval("make()");
    PyObject *dict = Py_NewRef(PyList_GET_ITEM(root, 0));
    ot_dict_keys(dict)->dk_version = 12345; /* whatever this version of CPython does */
    Py_DECREF(dict);
    ot_tree_t *tree = detach_steal(root);
    enter(receiver);
    root = attach(tree);
    cr_assert_eq(PyList_GET_ITEM(root, 0), dict);
    cr_assert_eq(ot_dict_keys(dict)->dk_version, 0);
    python_set("x", dict);
    Py_DECREF(root);
    python_run("exec('def g(): return n + m', x)\n"
               "for _ in range(1000): assert x['g']() == 3\n"
               "x['m'] = 5\n"
               "assert x['g']() == 6\n"
               "x.clear()");
}

static int watched;

static int
watch(PyDict_WatchEvent event, PyObject *dict, PyObject *key, PyObject *value)
{
    (void)dict;
    (void)key;
    (void)value;
    watched += event != PyDict_EVENT_DEALLOCATED;
    return 0;
}

Test(tree, a_watched_dict_is_copied)
{
    int id = PyDict_AddWatcher(watch);
    PyObject *root = python_eval("[{s(1): [f(1)]}]");
    PyObject *dict = PyList_GET_ITEM(root, 0);
    cr_assert_eq(PyDict_Watch(id, dict), 0);
    ot_receipt_t receipt;
    ot_tree_t *tree = detach_with(root, &receipt);
    cr_assert_geq(receipt.copied, 3);
    Py_DECREF(root);
    enter(receiver);
    root = attach(tree);
    graph_check_received(root);
    cr_assert_not(ot_dict_is_watched(PyList_GET_ITEM(root, 0)));
    python_set("x", root);
    Py_DECREF(root);
    python_run("x[0]['new'] = 1\nassert x[0]['text-1'] == [11 / 7]\ndel x");
    cr_assert_eq(watched, 0);
}

Test(tree, a_watched_root_is_copied_and_left_alone)
{
    int id = PyDict_AddWatcher(watch);
    PyObject *root = python_eval("{s(1): [f(1)]}");
    cr_assert_eq(PyDict_Watch(id, root), 0);
    graph_t before = graph_of(root);
    ot_receipt_t receipt;
    ot_tree_t *tree = detach_with(root, &receipt);
    graph_t after = graph_of(root);
    graph_check_same(&before, &after);
    cr_assert_eq(watched, 0);
    cr_assert_eq(receipt.moved, 0);
    graph_free(&before);
    graph_free(&after);
    Py_DECREF(root);
    enter(receiver);
    root = attach(tree);
    graph_check_received(root);
    Py_DECREF(root);
}

/* ---- blocks from before the heap ---------------------------------------------------------- */

static size_t
count_strangers(PyObject *root)
{
    graph_t g = graph_of(root);
    size_t n = 0;
    for (size_t i = 0; i < g.len; i++) {
        n += !graph_is_home(g.nodes[i].o);
    }
    graph_free(&g);
    return n;
}

/* Sends variable `old` of the sender; it must hold strangers, and the receiver must not. */
static void
comes_home(void)
{
    PyObject *root = python_take("old");
    cr_assert_gt(count_strangers(root), 0, "nothing to re-home: the test would show nothing");
    char *text = python_repr(root);
    ot_tree_t *tree = detach_steal(root);
    enter(receiver);
    root = attach(tree);
    graph_check_received(root);
    cr_assert_eq(count_strangers(root), 0);
    char *received = python_repr(root);
    cr_assert_str_eq(received, text);
    Py_DECREF(root);
    free(text);
    free(received);
}

Test(tree_from_before, every_kind_comes_home)
{
    open_old_world("old = [" EVERY_KIND "]");
    comes_home();
}

Test(tree_from_before, roots_of_every_kind_come_home)
{
    open_old_world(
        "olds = [[f(1)], {s(1): f(2)}, {i(1): f(3)}, {s(2)}, {s(n) for n in range(50)},\n"
        "        bytearray(b(1)), array.array('d', [f(4)]), (f(5), [f(6)]),\n"
        "        frozenset([f(7)]), range(i(1), i(2)), slice([f(8)]), s(3), i(3), f(9)]");
    while (python_true("bool(olds)")) {
        python_run("old = olds.pop()");
        comes_home();
        enter(sender);
    }
}

Test(tree_from_before, shared_objects_and_cycles_come_home_as_such)
{
    open_old_world("def make():\n"
                   "    x, y = [f(1)], (s(1), [f(2)])\n"
                   "    x.append((x, y))\n"
                   "    d = {s(2): x, s(3): y}\n"
                   "    d[s(4)] = d\n"
                   "    return [x, y, d, {y[0]}, {y[0]: y[0]}]\n"
                   "old = make()");
    python_set("kept", python_interp()->loads); /* something to look at */
    PyObject *root = python_take("old");
    ot_tree_t *tree = detach_steal(root);
    enter(receiver);
    root = attach(tree);
    graph_check_received(root);
    python_set("x", root);
    Py_DECREF(root);
    python_run(
        "a, b, d, t, k = x\n"
        "assert a[1][0] is a and a[1][1] is b and d['text-2'] is a and d['text-3'] is b\n"
        "assert d['text-4'] is d and b[0] in t and next(iter(t)) is b[0] and k[b[0]] is b[0]\n"
        "a.clear(); d.clear()");
}

Test(tree_from_before, an_old_string_with_a_utf8_form_comes_home)
{
    open_old_world("old = [s(1) + '\\u20ac', s(2) + '\\xe9']");
    PyObject *old = python_eval("old");
    cr_assert_not_null(PyUnicode_AsUTF8(PyList_GET_ITEM(old, 0)));
    Py_DECREF(old);
    comes_home();
}

/* Objects made today out of yesterday's blocks. */
Test(tree_from_before, blocks_from_free_lists_come_home)
{
    open_old_world("junk = [[[n], {s(n): n}, (n, n), f(n), {n: n}] for n in range(200)]\n"
                   "del junk");
    python_run("def make():\n"
               "    return [[[f(n)], {s(n): [n]}, (f(n), n), {i(n): n}] for n in range(60)]\n"
               "old = make()");
    comes_home();
}

Test(tree_from_before, what_comes_home_leaves_no_trace_when_strict_forbids_the_rest)
{
    open_old_world("ok = True\nold = [" EVERY_KIND "]\noutside = [f(1)]");
    fails_without_a_trace("def make():\n"
                          "    global old\n"
                          "    try: return [*old, old, outside]\n"
                          "    finally: del old",
                          true, python_interp()->shared_reference_error);
}

Test(tree_from_before, the_sender_may_be_gone)
{
    open_old_world("old = [" EVERY_KIND "]");
    char *text = python_repr(python_eval("old"));
    ot_tree_t *tree = detach_steal(python_take("old"));
    end(&sender, receiver);
    PyObject *root = attach(tree);
    graph_check_received(root);
    char *received = python_repr(root);
    cr_assert_str_eq(received, text);
    Py_DECREF(root);
    free(text);
    free(received);
}

/* ---- lifetimes ---------------------------------------------------------------------------- */

Test(tree, the_sender_may_be_gone_before_the_receiver_begins)
{
    PyObject *root = python_eval("[" EVERY_KIND ", ValueError(1)]");
    char *text = python_repr(root);
    ot_tree_t *tree = detach_steal(root);
    end(&sender, receiver);
    root = attach(tree);
    char *received = python_repr(root);
    cr_assert_str_eq(received, text);
    python_set("x", root);
    Py_DECREF(root);
    python_run("import gc\n"
               "x[0].append(x); x[2]['more'] = x[1]; x[4].update(range(100)); x[13] += b'!' * 100\n"
               "x[16].extend([1.0] * 100)\n"
               "gc.collect(); del x; gc.collect()");
    free(text);
    free(received);
}

Test(tree, is_disposed_of_by_an_interpreter_that_had_no_part_in_it)
{
    python_run("outside = [f(1)]");
    ot_tree_t *tree = detach_steal(python_eval("[" EVERY_KIND ", outside, ValueError(),"
                                               " array.array('d', [1]), objtunnel.Tunnel()]"));
    cr_assert_eq(ot_channel_count(), 1);
    end(&sender, bystander);
    python_run("import array");
    PyObject *array = python_eval("array.array");
    Py_ssize_t type_references = Py_REFCNT(array);
    ot_tree_dispose(python_interp(), tree);
    cr_assert_eq(ot_channel_count(), 0);
    cr_assert_eq(Py_REFCNT(array), type_references);
}

/* A message in a tunnel in a message. */
static const char fill_tunnels[] = "inner, outer = objtunnel.Tunnel(), objtunnel.Tunnel()\n"
                                   "inner.send([" EVERY_KIND ", ValueError(1)])\n"
                                   "outer.send([inner, " EVERY_KIND ", {'inner': inner}])\n"
                                   "outer.send({'key': [f(1)]})\n"
                                   "del inner";

Test(tree, is_disposed_of_when_its_interpreter_ends)
{
    python_run(fill_tunnels);
    cr_assert_eq(ot_channel_count(), 2);
    end(&sender, bystander);
    cr_assert_eq(ot_channel_count(), 0);
}

Test(tree, is_disposed_of_when_another_interpreter_ends)
{
    python_run(fill_tunnels);
    PyObject *outer = python_take("outer");
    ot_channel_t *ch = ot_tunnel_channel(outer);
    ot_channel_ref(ch);
    Py_DECREF(outer);
    end(&sender, receiver);
    PyObject *handle = ot_tunnel_steal(ot_state_current(), ch);
    cr_assert_not_null(handle);
    python_set("outer", handle);
    Py_DECREF(handle);
    cr_assert_eq(ot_channel_count(), 2);
    end(&receiver, bystander);
    cr_assert_eq(ot_channel_count(), 0);
}

Test(tree, is_disposed_of_when_python_ends)
{
    enter(bystander);
    python_run(makers);
    python_run(fill_tunnels);
    cr_assert_eq(ot_channel_count(), 2);
    /* close_world asserts that none is left. */
}

/* Moves: it is found by its name, in a module. */
#define OUR_CLASS                                                                                  \
    "import sys, types\n"                                                                          \
    "class C: pass\n"                                                                              \
    "C.__module__ = 'ours'\n"                                                                      \
    "sys.modules['ours'] = types.ModuleType('ours')\n"                                             \
    "sys.modules['ours'].C = C\n"

/* Where an interpreter can make no stand-in for a class any more, another one frees the message. */
Test(tree, an_orphan_is_freed_by_who_receives_next)
{
    python_run(OUR_CLASS "def make():\n"
                         "    c = C()\n"
                         "    c.x = f(1)\n"
                         "    return [c, objtunnel.Tunnel()]");
    ot_tree_t *tree = detach_steal(python_eval("make()")),
              *next = detach_steal(python_eval("[f(1)]"));
    cr_assert_null(tree->pickle);
    enter(receiver);
    ot_class_cache_t *classes = python_interp()->classes;
    PyObject *stand_in = classes->stand_in;
    classes->stand_in = (PyObject *)&PyLong_Type; /* raises TypeError */
    ot_tree_dispose(python_interp(), tree);
    classes->stand_in = stand_in;
    cr_assert_eq(ot_channel_count(), 1);
    enter(bystander);
    Py_DECREF(attach(next));
    cr_assert_eq(ot_channel_count(), 0);
}

/* Dicts that share their keys with the class hold references to these. */
Test(tree, a_class_counts_the_users_of_its_keys)
{
    static const char source[] = OUR_CLASS "def make():\n"
                                           "    c = C()\n"
                                           "    c.a = 11 / 7\n"
                                           "    vars(c)\n"
                                           "    return [c]\n"
                                           "make()";
    enter(receiver);
    python_run(source);
    PyTypeObject *theirs = (PyTypeObject *)python_eval("C");
    Py_ssize_t there = ot_type_shared_keys(theirs)->dk_refcnt;
    enter(sender);
    python_run(source);
    PyTypeObject *ours = (PyTypeObject *)python_eval("C");
    Py_ssize_t here = ot_type_shared_keys(ours)->dk_refcnt;
    PyObject *root = python_eval("make()");
    cr_assert_eq(ot_type_shared_keys(ours)->dk_refcnt, here + 1);
    ot_tree_t *tree = detach_steal(root);
    cr_assert_null(tree->pickle);
    cr_assert_eq(ot_type_shared_keys(ours)->dk_refcnt, here);
    Py_DECREF(ours);
    enter(receiver);
    root = attach(tree);
    cr_assert_eq(ot_type_shared_keys(theirs)->dk_refcnt, there + 1);
    Py_DECREF(root);
    cr_assert_eq(ot_type_shared_keys(theirs)->dk_refcnt, there);
    Py_DECREF(theirs);
}

Test(tree, a_cycle_through_a_tunnel_is_broken_by_close)
{
    python_run("t = objtunnel.Tunnel()\nt.send([t, [f(1)]])\nt.close(immediate=True)\ndel t");
    cr_assert_eq(ot_channel_count(), 0);
}

/* The collector's lists must not lose objects while it walks them. */
Test(tree, a_send_from_a_finaliser_the_collector_runs_copies)
{
    python_run("t = objtunnel.Tunnel()\n"
               "class C:\n"
               "    def __del__(self):\n"
               "        rows = [[f(1), {s(1): [f(2)]}] for _ in range(100)]\n"
               "        self.receipt = t.send(rows)\n"
               "        receipts.append((self.receipt, rows))\n"
               "receipts = []\n"
               "for _ in range(3):\n"
               "    c = C()\n"
               "    c.me = c\n"
               "    del c\n"
               "gc.collect()\n"
               "assert len(receipts) == 3 and t.qsize() == 3\n"
               "assert all(r.moved == 0 and rows == [] for r, rows in receipts), receipts\n"
               "for _ in range(3): assert t.recv()[99] == [f(1), {s(1): [f(2)]}]\n"
               "gc.collect()");
}
