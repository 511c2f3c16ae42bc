/* test_frozen.c: that reading a frozen tree writes nothing to it, not even a refcount or a cached hash.
 *
 * Every block of the region is compared, byte by byte, before and after two interpreters have read it
 * in all ways there are.
 */
#include "tree_world.h"

#include "objects/frozen/frozen.h"
#include "tunnel/rest_copy.h"

TestSuite(frozen, .init = open_world, .fini = close_world, .timeout = 120);

typedef struct {
    const char *at;
    size_t size;
    char *copy;
} block_t;

typedef OT_VEC(block_t) blocks_t;

static void
add_block(blocks_t *blocks, const void *at, size_t size)
{
    block_t block = {at, size, malloc(size)};
    CHECK(block.copy != NULL && ot_vec_push(blocks, block) == 0);
    memcpy(block.copy, at, size);
}

static size_t
size_of(PyObject *o)
{
    if (PyUnicode_CheckExact(o)) {
        size_t head =
            PyUnicode_IS_COMPACT_ASCII(o) ? sizeof(PyASCIIObject) : sizeof(PyCompactUnicodeObject);
        return head + ((size_t)PyUnicode_GET_LENGTH(o) + 1) * PyUnicode_KIND(o);
    }
    if (PyLong_CheckExact(o)) {
        return ot_int_block_size(o);
    }
    size_t items = Py_TYPE(o)->tp_itemsize == 0 ? 0 : (size_t)Py_SIZE(o);
    return (size_t)Py_TYPE(o)->tp_basicsize + items * (size_t)Py_TYPE(o)->tp_itemsize;
}

static void
add_object(blocks_t *blocks, PyObject *o)
{
    size_t head = PyType_IS_GC(Py_TYPE(o)) ? sizeof(PyGC_Head) : 0;
    add_block(blocks, (char *)o - head, head + size_of(o));
    if (PyDict_CheckExact(o) && !ot_keys_static(ot_dict_keys(o))) {
        add_block(blocks, ot_dict_keys(o), ot_keys_block_size(ot_dict_keys(o)));
    } else if (PyList_CheckExact(o) && Py_SIZE(o) > 0) {
        add_block(blocks, ((PyListObject *)o)->ob_item, (size_t)Py_SIZE(o) * sizeof(PyObject *));
    } else if (PyAnySet_CheckExact(o)) {
        PySetObject *so = (PySetObject *)o;
        add_block(blocks, so->table, ((size_t)so->mask + 1) * sizeof(setentry));
    }
}

/* How many differ; frees the copies. */
static size_t
changed(blocks_t *blocks)
{
    size_t n = 0;
    for (size_t i = 0; i < blocks->len; i++) {
        n += memcmp(blocks->items[i].at, blocks->items[i].copy, blocks->items[i].size) != 0;
        free(blocks->items[i].copy);
    }
    ot_vec_free(blocks);
    return n;
}

static const char make[] =
    "shared = [f(1)]\n"
    "tree = {'list': [f(2), s(1), i(1), b(1), complex(f(3)), shared, shared], 'text': s(2) * 50,\n"
    "        'tuple': (f(4), (s(3), [i(2)])), 'set': {s(n) for n in range(40)}, 'few': {i(3), s(4)},\n"
    "        'frozen': frozenset([(i(4), s(5)), b(2)]), i(5): 1, (i(6), s(6)): 2, f(5): 3, b(3): 4,\n"
    "        'range': range(i(7), i(8)), 'slice': slice(f(6)), 'bytes': b(4) * 1000,\n"
    "        'array': bytearray(b(5)), 'wide': '\\u20ac' * 30 + s(7), frozenset([s(8)]): 5,\n"
    "        'rows': [{'id': i(n), 'name': s(n)} for n in range(20)],\n"
    "        'ordered': collections.OrderedDict((s(n), f(n)) for n in range(9))}\n"
    "tree['self'] = tree\n"
    "view = objtunnel.freeze(tree)\n";

static const char read_all[] =
    "import decimal, hashlib\n"
    "def read(o, depth=0):\n"
    "    hash_or_not = []\n"
    "    try: hash_or_not.append(hash(o))\n"
    "    except TypeError: pass\n"
    "    if not hasattr(o, 'thaw') or depth > 4: return 1\n"
    "    endless = isinstance(o, objtunnel.FrozenDict) and 'self' in o\n"
    "    assert endless or o.thaw() == o\n"
    "    repr(o)\n"
    "    if isinstance(o, objtunnel.FrozenBytes): return len(hashlib.sha256(o).digest()) + o[0]\n"
    "    n = 0\n"
    "    if isinstance(o, objtunnel.FrozenDict):\n"
    "        for k, v in o.items():\n"
    "            assert k in o and (o[k] == v or k == 'self')\n"
    "            hash(k)\n"
    "            n += read(v, depth + 1) + read(k, depth + 1)\n"
    "        o.get(decimal.Decimal(10**20 + 5)), o.get((10**20 + 6, 'text-6')), o.get(1.0)\n"
    "    else:\n"
    "        for e in o:\n"
    "            assert e in o\n"
    "            n += read(e, depth + 1)\n"
    "    return n + len(o)\n"
    "total = read(view)\n"
    /* What was read is the reader's own: it may be kept. */
    "held = [view['text'], view['wide'], *view['set'], *view['list'], *view, *view['tuple']]\n";

Test(frozen, reading_writes_nothing)
{
    python_run(make);
    PyObject *view = python_eval("view");
    cr_assert_eq(Py_TYPE(view)->tp_basicsize, (Py_ssize_t)sizeof(ot_frozen_view_t));
    ot_frozen_t *region = (ot_frozen_t *)ot_as_handle(view)->shared;
    blocks_t blocks = {0};
    graph_t graph = graph_of(ot_frozen_behind(ot_as_frozen(view)->node));
    for (size_t i = 0; i < graph.len; i++) {
        add_object(&blocks, graph.nodes[i].o);
    }
    cr_assert_gt(blocks.len, 150);
    graph_free(&graph);
    python_run(read_all);
    ot_shared_ref(&region->head);
    enter(receiver);
    PyObject *theirs = ot_handle_steal(&ot_state_current()->objects, &region->head);
    CHECK(theirs != NULL);
    python_set("view", theirs);
    Py_DECREF(theirs);
    python_run(read_all);
    cr_assert(python_true("total > 200"));
    cr_assert_eq(changed(&blocks), 0);
    python_run("del view, held");
    enter(sender);
    Py_DECREF(view);
    python_run("del view, held");
    cr_assert_eq(ot_shared_count(), 0);
}

/* Each allocation of freezing and of reading fails in turn; nothing leaks, nothing changes. */
Test(frozen, failed_allocations)
{
    python_run("tree = {'a': [f(1), s(1), [i(1)]], (1, 2): b(1) * 1000}\n"
               "import objtunnel._frozen\n"
               "def freezing(): return objtunnel.freeze(tree)\n"
               "view = freezing()\n");
    failing_install();
    const char *calls[] = {"freezing()", "view['a'][2][0], view[1, 2][:3]", "view.thaw()",
                           "list(view._iter_items())", "view == tree",
                           /* not repr(): Py_ReprLeave itself may run out of memory */
                           "view['a'] == tree['a'], view['a'][1:], view['a'].index(tree['a'][2])"};
    PyObject *globals = PyModule_GetDict(PyImport_AddModule("__main__"));
    for (size_t c = 0; c < sizeof calls / sizeof *calls; c++) {
        PyObject *code = Py_CompileString(calls[c], "test", Py_eval_input);
        CHECK(code != NULL);
        for (long n = 0;; n++) {
            long before = failing_settled_live(), leaked = 0;
            bool failed = true;
            for (int attempt = 0; attempt < 3 && (attempt == 0 || leaked > 0); attempt++) {
                failing_arm(n);
                PyObject *o = PyEval_EvalCode(code, globals, globals);
                failed = failing_disarm();
                if (o == NULL) {
                    CHECK(failed);
                    python_expect(PyExc_MemoryError);
                }
                Py_XDECREF(o);
                long now = failing_settled_live();
                leaked = now - before;
                before = now;
            }
            cr_assert_leq(leaked, 0, "%s: allocation %ld: %ld blocks", calls[c], n, leaked);
            if (!failed) {
                break;
            }
        }
        Py_DECREF(code);
        cr_assert(python_true("view == tree"));
    }
    python_run("del view");
}
