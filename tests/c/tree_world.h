/* tree_world.h: three interpreters for the tests of trees.
 *
 * Main, which only looks on, a sender and a receiver, each with its own GIL. The test's one thread
 * goes from one to the other with enter(); a test begins in the sender.
 */
#ifndef OT_TESTS_TREE_WORLD_H
#define OT_TESTS_TREE_WORLD_H

#include "support.h"

static PyThreadState *bystander, *sender, *receiver;

static inline void
enter(PyThreadState *t)
{
    PyThreadState_Swap(t);
}

/* Makers of objects that nothing else refers to: no constants, no interned or cached ones. */
static const char makers[] = "import array, collections, datetime, decimal, gc, sys, types\n"
                             "def f(n): return (n + 10) / 7\n"
                             "def s(n): return 'text-%d' % n\n"
                             "def i(n): return 10 ** 20 + n\n"
                             "def b(n): return b'%d bytes' % n\n";

/* A receiver that need not import anything for these: that imports fail without memory is
 * none of our business. */
static const char receiving[] = "import objtunnel, collections, datetime, decimal\n";

static inline void
open_world(void)
{
    python_start();
    bystander = PyThreadState_Get();
    receiver = interpreter_new();
    python_run(receiving);
    sender = interpreter_new();
    python_run("import objtunnel");
    python_run(makers);
}

/* The sender made what the source says before there was a heap of ours. */
static inline void
open_old_world(const char *source)
{
    python_start_bare_with_own_heap();
    bystander = PyThreadState_Get();
    /* Its types belong to who imports it first: with pymalloc, 3.13.0 crashes if that ends. */
    python_run("import datetime");
    sender = interpreter_new();
    python_run(makers);
    python_run(source);
    enter(bystander);
    python_run("import objtunnel");
    cr_assert_eq(ot_heap.mode, OT_HEAP_OWN);
    receiver = interpreter_new();
    python_run(receiving);
    enter(sender);
    python_run("import objtunnel");
}

static inline void
end(PyThreadState **t, PyThreadState *next)
{
    interpreter_end(*t, next);
    *t = NULL;
}

static inline void
close_world(void)
{
    if (sender != NULL) {
        end(&sender, bystander);
    }
    if (receiver != NULL) {
        end(&receiver, bystander);
    }
    enter(bystander);
    python_finish();
}

static inline ot_tree_t *
detach_with(PyObject *root, ot_receipt_t *receipt)
{
    ot_leftovers_t leftovers;
    ot_tree_t *tree =
        ot_tree_detach(python_interp(), root, false, OT_SHARE_NOTHING, receipt, &leftovers);
    CHECK(tree != NULL);
    ot_tree_settle(&leftovers);
    return tree;
}

/* Refs: steals root, whatever is left of it. */
static inline ot_tree_t *
detach_steal(PyObject *root)
{
    ot_receipt_t receipt;
    ot_tree_t *tree = detach_with(root, &receipt);
    Py_DECREF(root);
    return tree;
}

static inline PyObject *
attach(ot_tree_t *tree)
{
    PyObject *root = ot_tree_attach(python_interp(), &tree);
    CHECK(root != NULL && tree == NULL);
    return root;
}

#define STDLIB_KINDS                                                                               \
    "collections.deque(f(n) for n in range(100)), collections.deque([s(9)], 3),"                   \
    " collections.defaultdict(list, {s(10): f(9)}), collections.OrderedDict("                      \
    "[(s(11), [f(10)]), (i(5), f(11)), ((f(12), s(12)), s(13)), ('key', f(13))]),"                 \
    " collections.OrderedDict(), decimal.Decimal('1.5'), decimal.Decimal(i(6)) ** 5,"              \
    " datetime.date(2024, 2, 29), datetime.time(1, 2, 3), datetime.timedelta(1, 2, 3),"            \
    " datetime.datetime(2024, 2, 29, tzinfo=datetime.timezone(datetime.timedelta(1, -1), s(14)))," \
    " datetime.time(1, tzinfo=datetime.timezone.utc), types.MappingProxyType({s(15): f(14)})"

/* Elements of a list, one of every kind and nothing that is pickled. */
#define EVERY_KIND                                                                                 \
    "[f(1)], (f(2), [s(1)]), {s(2): f(3), 'key': [s(3)]}, {i(1): s(4)}, {s(5), f(4)},"             \
    " {s(n) for n in range(20)}, frozenset([s(6)]), s(7), s(8) + '\\u20ac', i(2), f(5),"           \
    " complex(f(6)), b(1), bytearray(b(2)), range(i(3), i(4)), slice([f(7)]),"                     \
    " array.array('d', [f(8)]), memoryview(bytearray(b(3) * 9))[2:], memoryview(b(4) * 9)"

/* From the sender's expression to a variable `x` of the receiver, which is entered. */
static inline void
transfer(const char *expression)
{
    ot_tree_t *tree = detach_steal(python_eval(expression));
    enter(receiver);
    PyObject *root = attach(tree);
    graph_check_received(root);
    python_set("x", root);
    Py_DECREF(root);
}

/* The sender's objects after a failed send: the same, in the same state. */
static inline void
fails_without_a_trace(const char *source, bool strict, PyObject *error)
{
    python_run(source);
    PyObject *root = python_eval("make()");
    graph_t before = graph_of(root);
    char *text = python_repr(root);
    ot_receipt_t receipt;
    ot_leftovers_t leftovers;
    cr_assert_null(
        ot_tree_detach(python_interp(), root, strict, OT_SHARE_NOTHING, &receipt, &leftovers));
    python_expect(error);
    graph_t after = graph_of(root);
    graph_check_same(&before, &after);
    char *now = python_repr(root);
    cr_assert_str_eq(now, text);
    graph_free(&before);
    graph_free(&after);
    free(text);
    free(now);
    ot_tree_t *tree = python_true("ok") ? detach_steal(root) : (Py_DECREF(root), NULL);
    if (tree != NULL) { /* and can be sent as if nothing had been */
        enter(receiver);
        root = attach(tree);
        graph_check_received(root);
        Py_DECREF(root);
    }
}

#endif
