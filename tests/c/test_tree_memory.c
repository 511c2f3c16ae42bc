/* test_tree_memory.c: sending and receiving when allocations fail, and that nothing is leaked.
 *
 * A layer over Python's allocators fails the Nth allocation, for N = 0, 1, 2, ... until the
 * operation succeeds, and counts the blocks that live.
 */
#include "tree_world.h"

#include <stdlib.h>

TestSuite(tree_memory, .init = open_world, .fini = close_world, .timeout = 300);
TestSuite(tree_memory_from_before, .fini = close_world, .timeout = 300);

/* ---- allocations fail --------------------------------------------------------------------- */

/* All there is: kinds, sharing, cycles, outside references, interned keys, a pickled object. */
static const char everything[] =
    "import fractions\n"
    "class Pickled:\n"
    "    def __reduce__(self): return fractions.Fraction, (1, 3)\n"
    "    def __repr__(self): return repr(fractions.Fraction(1, 3))\n"
    "outside = {'left': [f(1), s(1)], 'right': {1: f(2)}, 'set': {s(2), i(7)}}\n"
    "ring = [f(3), 0, {'ring': 0}]\n"
    "ring[1] = [[ring, s(3)], s(4)]\n"
    "ring[2]['ring'] = (ring, [s(5)])\n"
    "def make():\n"
    "    shared = [f(4)]\n"
    "    cycle = [shared]\n"
    "    cycle.append((cycle, {s(6): cycle}))\n"
    "    return [" EVERY_KIND ", shared, shared, cycle, outside, ring, 'alpha', {'alpha': f(9)},\n"
    "            fractions.Fraction(1, 3), Pickled()]\n"
    "gc.collect()\ngc.freeze()";

/* Whether the current exception says that memory ran out; clears it. pickle reports some of its
 * failures (imports, look-ups) as errors of its own, whatever their cause. */
static bool
is_memory_error(void)
{
    PyObject *error = PyErr_GetRaisedException();
    CHECK(error != NULL);
    bool good = PyErr_GivenExceptionMatches(error, PyExc_MemoryError) ||
                strcmp(Py_TYPE(error)->tp_name, "PicklingError") == 0 ||
                strcmp(Py_TYPE(error)->tp_name, "UnpicklingError") == 0;
    if (!good) {
        PyErr_SetRaisedException(error);
        return false;
    }
    Py_DECREF(error);
    return true;
}

/* An operation that may fail with MemoryError and then has changed nothing. */
typedef struct {
    bool (*attempt)(void *arg); /* false: failed, exception set */
    void (*check)(void *arg);   /* CHECKs that nothing has changed */
    void *arg;
} fallible_t;

/* One attempt with the nth allocation failing. */
static bool
attempt_failing(const fallible_t *f, long n)
{
    failing_arm(n);
    bool done = f->attempt(f->arg);
    bool failed = failing_disarm();
    if (!done) {
        CHECK(failed && is_memory_error());
        f->check(f->arg);
    } else {
        CHECK(!PyErr_Occurred());
    }
    return done;
}

/* Fails the allocations one after the other until the operation succeeds. What leaks leaks each
 * time; a cache that an attempt has filled does so once. Returns how often it failed. */
static long
fail_each(fallible_t f)
{
    for (long n = 0;; n++) {
        long before = failing_settled_live(), leaked = 0;
        for (int attempt = 0; attempt < 3; attempt++) {
            if (attempt_failing(&f, n)) {
                return n;
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

typedef struct {
    const ot_interp_t *interp; /* of the interpreter entered */
    PyObject *root, *tunnel;
    ot_tree_t *tree;
    graph_t before;
    char *text;
} sending_t;

static void
check_unsent(void *arg)
{
    sending_t *x = arg;
    graph_t now = graph_of(x->root);
    graph_check_same(&x->before, &now);
    graph_free(&now);
    char *text = python_repr(x->root);
    CHECK(strcmp(text, x->text) == 0);
    free(text);
    CHECK(x->tunnel == NULL || ot_channel_qsize(ot_tunnel_channel(x->tunnel)) == 0);
}

static bool
try_detach(void *arg)
{
    sending_t *x = arg;
    ot_receipt_t receipt;
    ot_leftovers_t leftovers;
    x->tree = ot_tree_detach(x->interp, x->root, false, OT_SHARE_NOTHING, &receipt, &leftovers);
    if (x->tree != NULL) {
        ot_tree_settle(&leftovers);
    }
    return x->tree != NULL;
}

static bool
try_attach(void *arg)
{
    sending_t *x = arg;
    x->root = ot_tree_attach(x->interp, &x->tree);
    return x->root != NULL;
}

static void
check_unattached(void *arg)
{
    sending_t *x = arg;
    CHECK(x->tree != NULL);
}

static bool
try_send(void *arg)
{
    sending_t *x = arg;
    PyObject *name = PyUnicode_InternFromString("send"), *receipt = NULL;
    if (name != NULL) {
        receipt = PyObject_CallMethodOneArg(x->tunnel, name, x->root);
        Py_DECREF(name);
    }
    Py_XDECREF(receipt);
    return receipt != NULL;
}

static bool
try_recv(void *arg)
{
    sending_t *x = arg;
    PyObject *name = PyUnicode_InternFromString("recv");
    x->root = name == NULL ? NULL : PyObject_CallMethodNoArgs(x->tunnel, name);
    Py_XDECREF(name);
    return x->root != NULL;
}

static void
check_unreceived(void *arg)
{
    sending_t *x = arg;
    CHECK(ot_channel_qsize(ot_tunnel_channel(x->tunnel)) == 1);
}

static sending_t
prepare(const char *expression)
{
    failing_install();
    python_run(everything);
    PyObject *made = python_eval(expression);
    PyGC_Collect(); /* untracks tuples and dicts of leaves, which send must leave so */
    sending_t x = {.interp = python_interp(), .root = made};
    x.before = graph_of(x.root);
    x.text = python_repr(x.root);
    return x;
}

/* What is frozen is never collected, not even when the interpreter ends. */
static void
thaw(void)
{
    python_run("import gc\ngc.unfreeze()");
}

/* x->root is what the receiver got. */
static void
finish(sending_t *x)
{
    graph_check_received(x->root);
    char *received = python_repr(x->root);
    cr_assert_str_eq(received, x->text);
    free(received);
    free(x->text);
    graph_free(&x->before);
    Py_CLEAR(x->root);
    Py_CLEAR(x->tunnel);
    thaw();
    enter(sender);
    thaw();
}

/* For the other half; what it will need is there before allocations fail. */
static void
enter_receiver(sending_t *x)
{
    enter(receiver);
    x->interp = python_interp();
    python_run("import fractions, gc, pickle\n"
               "pickle.loads(pickle.dumps(fractions.Fraction(1, 3), 5))\n"
               "gc.collect()\ngc.freeze()");
}

static void
survives_failing_allocations(const char *expression, bool pickles, long at_least)
{
    sending_t x = prepare(expression);
    long n = fail_each((fallible_t){try_detach, check_unsent, &x});
    cr_assert_geq(n, at_least, "only %ld allocations failed", n);
    Py_CLEAR(x.root);
    enter_receiver(&x);
    n = fail_each((fallible_t){try_attach, check_unattached, &x});
    cr_assert(n > 0 || !pickles); /* what is not pickled may arrive without an allocation */
    finish(&x);
}

Test(tree_memory, survives_failing_allocations)
{
    survives_failing_allocations("make()", true, 50);
}

Test(tree_memory, survives_failing_allocations_when_copied)
{
    survives_failing_allocations("tuple(make())", true, 50);
}

Test(tree_memory, survives_failing_allocations_with_a_dict_as_root)
{
    survives_failing_allocations("{'x': make(), s(50): outside}", true, 50);
}

Test(tree_memory, survives_failing_allocations_with_a_set_as_root)
{
    survives_failing_allocations("{s(1), (f(1), 'alpha', outside['left'][1]), frozenset(['beta'])}",
                                 false, 5);
}

Test(tree_memory, survives_failing_allocations_without_pickling)
{
    survives_failing_allocations("make()[:-1]", false, 30);
}

/* Subclasses of everything, in a module that both sides have. Their __del__ must not run for what
 * nobody ever saw. */
static const char relatives[] =
    "import collections, datetime, decimal, sys, types\n"
    "kin = sys.modules['kin'] = types.ModuleType('kin')\n"
    "kin.unfinished = 0\n"
    "def __del__(self):\n"
    "    if not self.__dict__: kin.unfinished += 1\n"
    "def __repr__(self): return type(self).__bases__[0].__repr__(self) + repr(self.__dict__)\n"
    "for base in (list, dict, set, tuple, collections.deque, collections.defaultdict,\n"
    "             collections.OrderedDict, decimal.Decimal, datetime.date, datetime.datetime,\n"
    "             datetime.timedelta):\n"
    "    name = 'My' + base.__name__\n"
    "    setattr(kin, name, type(name, (base,), {'__module__': 'kin', '__qualname__': name,\n"
    "            '__del__': __del__, '__repr__': __repr__}))\n"
    "def family():\n"
    "    some = [kin.Mylist([f(1)]), kin.Mydict({s(1): f(2)}), kin.Myset([i(1)] * 9),\n"
    "            kin.Mytuple([f(3)]), kin.Mydeque(f(n) for n in range(99)),\n"
    "            kin.Mydefaultdict(list, {s(2): [f(4)]}),\n"
    "            kin.MyOrderedDict([(s(3), f(5)), (i(2), [f(6)])]), kin.MyDecimal(i(3)),\n"
    "            kin.MyDecimal('7' * 99), kin.Mydate(2024, 2, 29), kin.Mytimedelta(1, 2, 3),\n"
    "            kin.Mydatetime(2024, 2, 29, tzinfo=datetime.timezone.utc)]\n"
    "    for o in some:\n"
    "        if hasattr(o, '__dict__'): o.mark = [f(7)]\n"
    "    return some\n";

Test(tree_memory, subclasses_survive_failing_allocations)
{
    enter(receiver);
    python_run(makers);
    python_run(relatives);
    enter(sender);
    python_run(relatives);
    python_run("kept = family()");
    survives_failing_allocations("[family(), kept]", false, 50);
    cr_assert(python_true("kin.unfinished == 0"));
    enter(receiver);
    cr_assert(python_true("kin.unfinished == 0"));
    enter(sender);
}

Test(tree_memory, handles_of_shared_objects_survive_failing_allocations)
{
    survives_failing_allocations("[objtunnel.Box([1]), s(1), objtunnel.freeze([[1], [2]])[1], "
                                 "[objtunnel.LockingList([[1], 2])]]",
                                 false, 8);
}

Test(tree_memory, handles_that_are_pickled_survive_failing_allocations)
{
    sending_t x = prepare("[ValueError(objtunnel.Box([1])), s(1), objtunnel.Box([2])]");
    cr_assert_gt(fail_each((fallible_t){try_detach, check_unsent, &x}), 20);
    Py_CLEAR(x.root);
    enter_receiver(&x);
    cr_assert_gt(fail_each((fallible_t){try_attach, check_unattached, &x}), 5);
    finish(&x);
}

/* More than the tables of a send first have room for, so that each of them grows at a slice: 3.13
 * frees no slice that the collector does not know. */
#define MANY_SLICES "[slice([f(n)], n) for n in range(300)]"

Test(tree_memory, many_copied_slices_survive_failing_allocations)
{
    python_run("many = " MANY_SLICES);
    survives_failing_allocations("[many]", false, 10);
}

Test(tree_memory_from_before, coming_home_survives_failing_allocations)
{
    open_old_world("shared = [f(1)]\n"
                   "old = [" EVERY_KIND ", [shared, shared], " MANY_SLICES "]\n"
                   "del shared");
    survives_failing_allocations("globals().pop('old')", false, 50);
}

static void
tunnel_survives_failing_allocations(const char *expression)
{
    sending_t x = prepare(expression);
    python_run("t = objtunnel.Tunnel()");
    x.tunnel = python_eval("t");
    fail_each((fallible_t){try_send, check_unsent, &x});
    Py_CLEAR(x.root);
    ot_channel_t *ch = ot_tunnel_channel(x.tunnel);
    ot_channel_ref(ch);
    Py_CLEAR(x.tunnel);
    enter_receiver(&x);
    x.tunnel = ot_tunnel_steal(ot_state_current(), ch);
    long n = fail_each((fallible_t){try_recv, check_unreceived, &x});
    cr_assert_gt(n, 0);
    finish(&x);
}

Test(tree_memory, tunnel_survives_failing_allocations)
{
    tunnel_survives_failing_allocations("make()");
}

Test(tree_memory, tunnel_survives_failing_allocations_with_tunnels_inside)
{
    tunnel_survives_failing_allocations(
        "[[objtunnel.Tunnel(), objtunnel.Tunnel(3)], objtunnel.Box([1]), s(1)]");
}

/* Rehashing is the last step, and the tree is attached by then: it is made a message again. */
Test(tree_memory, rehashing_without_memory_keeps_the_message)
{
    long kept = 0;
    sending_t x = prepare("[make()[-1], {(f(1), s(1)): f(2)}, {(s(2), i(1))},"
                          " {frozenset([(f(3), s(3))])}]");
    for (long n = 0; x.root != NULL; n++) {
        CHECK(try_detach(&x));
        Py_CLEAR(x.root);
        enter_receiver(&x);
        failing_arm(n);
        bool done = try_attach(&x), failed = failing_disarm();
        if (done) {
            break;
        }
        CHECK(failed && is_memory_error() && x.root == NULL);
        PyErr_Clear();
        cr_assert_not_null(x.tree);
        kept++;
        CHECK(try_attach(&x));
        python_set("got", x.root);
        cr_assert(python_true("all(k in d for d in got[1:] for k in d)"));
        python_run("del got");
        Py_CLEAR(x.root);
        thaw();
        enter(sender);
        x.interp = python_interp();
        x.root = python_eval("[make()[-1], {(f(1), s(1)): f(2)}, {(s(2), i(1))},"
                             " {frozenset([(f(3), s(3))])}]");
    }
    cr_assert_gt(kept, 5);
    finish(&x);
}

/* ---- nothing is left behind ---------------------------------------------------------------- */

static long
live_everywhere(void)
{
    enter(receiver);
    failing_settle();
    enter(sender);
    return failing_settled_live();
}

/* Sends expression again and again; in the end as many blocks live as in the middle. */
static void
leaves_nothing(const char *expression, bool dispose)
{
    enum { TIMES = 10 };
    failing_install();
    python_run(everything);
    enter(receiver);
    long middle = 0;
    enter(sender);
    for (int i = 0; i < 2 * TIMES; i++) {
        if (i == TIMES) {
            middle = live_everywhere();
        }
        ot_tree_t *tree = detach_steal(python_eval(expression));
        enter(receiver);
        if (dispose) {
            ot_tree_dispose(python_interp(), tree);
        } else {
            Py_DECREF(attach(tree));
        }
        enter(sender);
    }
    long more = live_everywhere() - middle;
    cr_assert_leq(more, 0, "%ld more blocks after %d more messages", more, TIMES);
    thaw();
}

Test(tree_memory, receiving_what_is_not_pickled_leaks_nothing)
{
    leaves_nothing("make()[:-1]", false);
}

Test(tree_memory, receiving_and_freeing_leaks_nothing)
{
    leaves_nothing("make()", false);
}

Test(tree_memory, disposing_leaks_nothing)
{
    leaves_nothing("make()", true);
}

Test(tree_memory, sending_subclasses_leaks_nothing)
{
    enter(receiver);
    python_run(makers);
    python_run(relatives);
    enter(sender);
    python_run(relatives);
    python_run("kept = family()");
    leaves_nothing("[family(), kept, family(), {'kept': kept}]", false);
}

Test(tree_memory, sending_a_copied_root_leaks_nothing)
{
    leaves_nothing("tuple(make())", false);
}

Test(tree_memory, disposing_of_a_copied_root_leaks_nothing)
{
    leaves_nothing("tuple(make())", true);
}
