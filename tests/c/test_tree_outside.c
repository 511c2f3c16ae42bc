/* test_tree_outside.c: trees that something else can reach or that cannot be sent as they are: what is
 * copied, what is pickled, and what a failed send leaves.
 */
#include "tree_world.h"

#include <stdlib.h>

TestSuite(tree_outside, .init = open_world, .fini = close_world, .timeout = 120);

/* ---- what something else can reach -------------------------------------------------------- */

/* make() builds a tree around `probe`, a global of the sender, with `edges` references to it. */
static void
copies_the_probe(const char *source, Py_ssize_t edges)
{
    python_run(source);
    PyObject *probe = python_eval("probe"), *root = python_eval("make()");
    graph_t before = graph_of(probe);
    char *text = python_repr(root), *probe_text = python_repr(probe);
    before.nodes[0].refcnt -= edges;
    ot_tree_t *tree = detach_steal(root);
    graph_t after = graph_of(probe);
    graph_check_same(&before, &after);
    char *now = python_repr(probe);
    cr_assert_str_eq(now, probe_text);
    enter(receiver);
    root = attach(tree);
    graph_check_received(root);
    graph_t received = graph_of(root);
    for (size_t i = 0; i < before.len; i++) {
        cr_assert_not(graph_has(&received, before.nodes[i].o), "object %zu was moved", i);
    }
    char *received_text = python_repr(root);
    cr_assert_str_eq(received_text, text);
    Py_DECREF(root);
    enter(sender);
    Py_DECREF(probe);
    graph_free(&before);
    graph_free(&after);
    graph_free(&received);
    free(text);
    free(probe_text);
    free(now);
    free(received_text);
}

Test(tree_outside, an_outside_leaf_is_copied)
{
    copies_the_probe("probe = f(1)\ndef make(): return [probe, (probe,), {s(1): probe}]", 3);
}

Test(tree_outside, an_outside_container_is_copied_with_all_it_reaches)
{
    copies_the_probe("probe = [f(1), {s(1): (i(1),)}, {s(2)}, bytearray(b(1)), {i(2): s(3)}]\n"
                     "def make(): return [probe, [f(2)], probe]",
                     2);
}

Test(tree_outside, an_outside_cycle_is_copied)
{
    copies_the_probe("probe = [f(1)]\nprobe.append([probe])\nprobe.append({s(1): probe})\n"
                     "def make(): return [probe, [f(2)]]",
                     1);
    enter(sender);
    python_run("probe.clear()");
}

/* All references to the inner list come from the tree and from what stays outside of it. */
Test(tree_outside, what_an_outside_container_has_in_the_tree_is_copied)
{
    python_run("def make():\n"
               "    global outside\n"
               "    inner = [f(1)]\n"
               "    outside = [inner]\n"
               "    return [outside, inner]");
    transfer("make()");
    cr_assert(python_true("x[0][0] is x[1] and x[1] == [11 / 7]"));
    enter(sender);
    cr_assert(python_true("outside == [[f(1)]] and gc.is_tracked(outside[0])"));
    enter(receiver);
}

/* The deque has one reference, but somebody can look into it: the cycle through it is not the tree's. */
Test(tree_outside, a_cycle_through_what_stays_is_copied)
{
    python_run("import weakref\n"
               "def make():\n"
               "    global weak\n"
               "    ring = [f(1)]\n"
               "    stays = collections.deque([ring])\n"
               "    ring.append(stays)\n"
               "    weak = weakref.ref(stays)\n"
               "    return [ring]");
    transfer("make()");
    cr_assert(python_true("x[0][1][0] is x[0] and x[0][0] == 11 / 7"));
    enter(sender);
    cr_assert(python_true("weak()[0][1] is weak() and weak()[0][0] == f(1)"));
    cr_assert(python_true("gc.collect() > 0 and weak() is None"));
    enter(receiver);
    python_run("x[0][1].append(x)\ndel x\nimport gc\ngc.collect()");
}

Test(tree_outside, a_chain_below_an_outside_object_is_copied)
{
    /* The inner list has one reference, but it comes from an object that stays. */
    copies_the_probe("probe = (([f(1), s(1)],),)\ndef make(): return [f(1), probe]", 1);
}

Test(tree_outside, a_key_of_the_sender_is_copied)
{
    copies_the_probe("probe = s(1)\ndef make(): return [{probe: f(n)} for n in range(3)]", 3);
}

Test(tree_outside, an_instances_dict_is_copied)
{
    python_run("class C: pass\n"
               "def make():\n    c = C()\n    c.a, c.b = f(1), [s(1)]\n    return c\n"
               "c = make()");
    copies_the_probe("probe = c.__dict__\ndef make(): return [probe]", 1);
    enter(sender);
    cr_assert(python_true("c.a == f(1) and c.b == [s(1)]"));
}

Test(tree_outside, aliasing_survives_the_copy)
{
    python_run("outside = [f(1)]");
    transfer("[outside, [outside], {s(1): outside}]");
    cr_assert(python_true("x[0] is x[1][0] and x[0] is x[2]['text-1']"));
}

Test(tree_outside, an_outside_view_is_copied)
{
    copies_the_probe(
        "probe = memoryview(bytearray(b(1)))[::2]\ndef make(): return [probe, [probe]]", 2);
    enter(sender);
    cr_assert(python_true("probe == b(1)[::2]"));
    enter(receiver);
}

/* Something that can look into the only reference of the tree. */
Test(tree_outside, exported_buffers_and_weakly_referenced_objects_stay)
{
    python_run("import weakref\n"
               "def make():\n"
               "    global view, items, weak\n"
               "    x, y, z = bytearray(b(1)), array.array('d', [f(1)]), {s(1)}\n"
               "    view, items, weak = memoryview(x), memoryview(y), weakref.ref(z)\n"
               "    return [x, y, z]");
    transfer("make()");
    python_run("x[0] += b'more'; x[1].append(1.0); x[2].add(1)");
    enter(sender);
    cr_assert(python_true("bytes(view) == b(1) and list(items) == [f(1)]"));
    cr_assert(python_true("weak() is None"));
}

/* ---- failing without a trace -------------------------------------------------------------- */

Test(tree_outside, a_strict_error_about_a_container_changes_nothing)
{
    fails_without_a_trace("ok = True\noutside = [f(1)]\n"
                          "def make(): return [" EVERY_KIND ", outside]",
                          true, python_interp()->shared_reference_error);
}

Test(tree_outside, a_strict_error_about_a_leaf_changes_nothing)
{
    fails_without_a_trace("ok = True\noutside = s(99)\n"
                          "def make(): return [" EVERY_KIND ", [{outside: outside}]]",
                          true, python_interp()->shared_reference_error);
}

Test(tree_outside, a_strict_error_about_an_outside_cycle_changes_nothing)
{
    fails_without_a_trace("ok = True\noutside = [f(1)]\noutside.append([outside])\n"
                          "def make(): return [" EVERY_KIND ", [outside[1]]]",
                          true, python_interp()->shared_reference_error);
}

Test(tree_outside, a_strict_error_about_the_root_changes_nothing)
{
    fails_without_a_trace("ok = True\ndef make(): return (" EVERY_KIND ")", true,
                          python_interp()->shared_reference_error);
}

Test(tree_outside, an_object_that_cannot_be_pickled_changes_nothing)
{
    fails_without_a_trace("ok = False\nstuck = __import__('_thread').allocate_lock()\n"
                          "def make(): return [" EVERY_KIND ", [stuck]]",
                          false, PyExc_TypeError);
}

/* Lists that are no neighbours on the collector's list leave it one by one, and come back. */
Test(tree_outside, a_failed_send_gives_the_collector_all_containers_back)
{
    fails_without_a_trace("ok = False\nstuck = __import__('_thread').allocate_lock()\n"
                          "def make():\n"
                          "    global between\n"
                          "    many = [[f(n)] for n in range(30)]\n"
                          "    between = many[::2]\n"
                          "    return many[1::2] + [[stuck]]",
                          false, PyExc_TypeError);
}

Test(tree_outside, strict_lets_an_exclusive_tree_pass)
{
    PyObject *root = python_eval("[" EVERY_KIND "]");
    ot_receipt_t receipt;
    ot_leftovers_t leftovers;
    ot_tree_t *tree =
        ot_tree_detach(python_interp(), root, true, OT_SHARE_NOTHING, &receipt, &leftovers);
    cr_assert_not_null(tree);
    ot_tree_settle(&leftovers);
    Py_DECREF(root);
    enter(receiver);
    Py_DECREF(attach(tree));
}

/* ---- pickled in their place ---------------------------------------------------------------- */

Test(tree_outside, an_unknown_object_is_pickled_in_its_place)
{
    python_run("def make():\n"
               "    n = ValueError(); n.a = 1; n.b = [f(1)]\n"
               "    return [[n, f(2)], {s(1): n}, (n,)]");
    transfer("make()");
    cr_assert(python_true("x[0][0] is x[1]['text-1'] and x[0][0] is x[2][0]"));
    cr_assert(python_true("x[0][0].b == [11 / 7] and x[0][0].a == 1"));
}

Test(tree_outside, rebuilt_keys_are_found_again)
{
    python_run(
        "from fractions import Fraction as F\n"
        "nan = float('nan')\n"
        "def make():\n"
        "    k = F(1, 3)\n"
        "    return [{k: s(1)}, {(k, s(2))}, frozenset([frozenset([k])]), {nan: s(3)}, nan]");
    enter(receiver);
    python_run("from fractions import Fraction as F");
    enter(sender);
    transfer("make()");
    python_run("assert x[0][F(1, 3)] == 'text-1'\n"
               "assert (F(1, 3), 'text-2') in x[1]\n"
               "assert frozenset([F(1, 3)]) in x[2]\n"
               "assert x[3][x[4]] == 'text-3'");
}

Test(tree_outside, a_message_that_cannot_be_unpickled_is_kept)
{
    python_run("m = types.ModuleType('only_here')\nsys.modules['only_here'] = m\n"
               "exec('class C: pass', m.__dict__)\n"
               "def make(): return [m.C(), [f(1)], {'key': f(2)}]");
    ot_tree_t *tree = detach_steal(python_eval("make()")), *same = tree;
    enter(receiver);
    cr_assert_null(ot_tree_attach(python_interp(), &tree));
    python_expect(PyExc_ImportError);
    cr_assert_eq(tree, same);
    enter(sender);
    PyObject *root = attach(tree); /* where it can be, it still can */
    graph_t g = graph_of(root);
    cr_assert(PyDict_CheckExact(PyList_GET_ITEM(root, 2)));
    graph_free(&g);
    Py_DECREF(root);
}
