/* test_checks_tree.c: as test_checks.c, for what is made of Python's objects: trees in transit, proofs, what
 * is known of classes, boxes, frozen trees.
 */
#include "check_world.h"
#include "tree_world.h"

#include "objects/box/box.h"
#include "objects/frozen/frozen.h"
#include "tunnel/proof.h"
#include "tunnel/rest_copy.h"

TestSuite(checks_tree, .init = open_world, .fini = close_world, .timeout = 60);

/* ---- trees in transit ------------------------------------------------------------------------------ */

/* Two lists in a list, one of them twice. */
static ot_tree_t *
small_tree(void)
{
    python_run("def make():\n"
               "    shared = [f(1)]\n"
               "    return [shared, shared, [f(2)]]");
    ot_tree_t *tree = detach_steal(python_eval("make()"));
    CHECK(tree->bare);
    ot_tree_check(tree, NULL, NULL, 0);
    return tree;
}

static PyObject *
item(const ot_tree_t *tree, Py_ssize_t i)
{
    return PyList_GET_ITEM(tree->root, i);
}

static void
a_reference_too_many(void)
{
    ot_tree_t *tree = small_tree();
    Py_INCREF(item(tree, 2));
    BY(attach(tree), ot_tree_check(tree, NULL, NULL, 0));
}

static void
a_reference_too_few(void)
{
    ot_tree_t *tree = small_tree();
    Py_DECREF(item(tree, 0));
    BY(attach(tree), ot_tree_check(tree, NULL, NULL, 0));
}

static void
a_chain_that_counts_wrong(void)
{
    ot_tree_t *tree = small_tree();
    tree->tracked.len++;
    BY(attach(tree), ot_tree_check(tree, NULL, NULL, 0));
}

static void
a_chain_that_ends_early(void)
{
    ot_tree_t *tree = small_tree();
    tree->tracked.last = tree->tracked.first;
    BY(attach(tree), ot_tree_check(tree, NULL, NULL, 0));
}

static void
an_object_of_another_heap(void)
{
    ot_tree_t *tree = small_tree();
    ot_heap.base = 0;
    ot_heap.span = 1;
    ot_tree_check(tree, NULL, NULL, 0);
}

Test(checks_tree, a_broken_tree_in_transit)
{
    reports(a_reference_too_many, "Py_REFCNT(o) == met->edges");
    reports(a_reference_too_few, "Py_REFCNT(o) >= met->edges");
    reports(a_chain_that_counts_wrong, "chain->len == n");
    reports(a_chain_that_ends_early, "chain->last == before");
    reports(an_object_of_another_heap, "ot_heap_owns(o)");
}

/* All there is, with classes, pickled objects and tunnels: whole when it arrives. */
Test(checks_tree, what_is_whole_passes)
{
    python_run("import fractions\n"
               "outside = {'left': [f(1), s(1)], 'right': {1: f(2)}}\n"
               "def make(): return [" EVERY_KIND ", " STDLIB_KINDS ", outside, 'alpha',\n"
               "    fractions.Fraction(1, 3), objtunnel.Tunnel(), fractions.Fraction]");
    ot_tree_t *tree = detach_steal(python_eval("make()"));
    enter(receiver);
    PyObject *root = attach(tree);
    cr_assert_gt(PyList_GET_SIZE(root), 30);
    Py_DECREF(root);
}

/* ---- proofs ---------------------------------------------------------------------------------------- */

/* A proof of one list with one reference, which a slot of ours has. */
static ot_proof_t proof;
static PyObject *slot;

static ot_proof_entry_t *
small_proof(void)
{
    slot = PyList_New(0);
    ot_proof_entry_t e = {.obj = slot, .kind = &ot_kind_list, .edges = 1, .verdict = OT_INSIDE};
    ot_edge_t edge = {.slot = &slot};
    CHECK(ot_vec_push(&proof.entries, e) == 0 && ot_vec_push(&proof.edges, edge) == 0);
    CHECK(ot_ptrmap_add(&proof.index, slot, 0) == 0);
    ot_proof_check(&proof);
    return &proof.entries.items[0];
}

static void
taken_though_something_else_refers_to_it(void)
{
    Py_INCREF(small_proof()->obj);
    ot_proof_check(&proof);
}

static void
more_edges_than_references(void)
{
    ot_proof_entry_t *e = small_proof();
    e->verdict = OT_OUTSIDE;
    e->edges = 2;
    ot_proof_check(&proof);
}

static void
undecided(void)
{
    small_proof()->verdict = OT_PENDING;
    ot_proof_check(&proof);
}

static void
an_edge_that_is_not_counted(void)
{
    small_proof();
    CHECK(ot_vec_push(&proof.edges, proof.edges.items[0]) == 0);
    ot_proof_check(&proof);
}

static void
a_place_that_holds_something_else(void)
{
    small_proof();
    slot = Py_None;
    ot_proof_check(&proof);
}

Test(checks_tree, a_broken_proof)
{
    reports(taken_though_something_else_refers_to_it, "e->edges == Py_REFCNT(e->obj)");
    reports(more_edges_than_references, "e->edges <= Py_REFCNT(e->obj)");
    reports(undecided, "e->verdict != OT_PENDING");
    reports(an_edge_that_is_not_counted, "== p->edges.len");
    reports(a_place_that_holds_something_else, "*edge->slot == p->entries");
}

/* ---- classes --------------------------------------------------------------------------------------- */

static ot_class_cache_t *
known_classes(void)
{
    ot_class_cache_t *cache = python_interp()->classes;
    python_run("class A: pass");
    CHECK(ot_class_learn(cache, (PyTypeObject *)python_eval("A")) == 0);
    ot_class_cache_check(cache);
    CHECK(cache->known.len >= 2);
    return cache;
}

static void
a_class_that_leads_to_another(void)
{
    ot_class_cache_t *cache = known_classes();
    ot_known_class_t *known = cache->known.items;
    *ot_ptrmap_get(&cache->index, known[0].type) = 1;
    python_run("class B: pass");
    BY((void)ot_class_learn(cache, (PyTypeObject *)python_eval("B")), ot_class_cache_check(cache));
}

static void
a_class_that_is_not_indexed(void)
{
    ot_class_cache_t *cache = known_classes();
    cache->known.len--;
    ot_class_cache_check(cache);
}

static void
a_class_without_a_name(void)
{
    ot_class_cache_t *cache = known_classes();
    cache->known.items[0].qualname = NULL; /* array's */
    ot_class_cache_check(cache);
}

Test(checks_tree, a_broken_cache_of_classes)
{
    reports(a_class_that_leads_to_another, "*at == i");
    reports(a_class_that_is_not_indexed, "cache->index.len == cache->known.len");
    reports(a_class_without_a_name, "k->qualname == NULL");
}

/* ---- boxes and frozen trees -------------------------------------------------------------------------- */

static ot_box_t *
acquired_box(PyObject **handle)
{
    python_run("box = objtunnel.Box([f(1)])\ntree = box.acquire()");
    *handle = python_eval("box");
    ot_box_check(*handle);
    return (ot_box_t *)ot_as_handle(*handle)->shared;
}

static void
a_tree_in_the_box_and_out_of_it(void)
{
    PyObject *handle = NULL;
    ot_box_t *box = acquired_box(&handle);
    box->content = ot_value_new_int(1);
    BY(python_run("box.release()"), ot_box_check(handle));
}

static void
out_of_a_box_that_is_free(void)
{
    PyObject *handle = NULL;
    ot_lock_reset(&acquired_box(&handle)->cown.lock);
    BY(python_run("box.release()"), ot_box_check(handle));
}

Test(checks_tree, a_broken_box)
{
    reports(a_tree_in_the_box_and_out_of_it, "box->content == NULL");
    reports(out_of_a_box_that_is_free, "state.depth > 0");
}

static ot_frozen_t *
frozen_tree(PyObject **root)
{
    python_run("frozen = objtunnel.freeze([[f(1)], {s(1): f(2)}])");
    PyObject *view = python_eval("frozen");
    ot_frozen_t *region = (ot_frozen_t *)ot_as_handle(view)->shared;
    Py_DECREF(view);
    *root = ot_rest_root(region->content->u.rest);
    region->digest = ot_tree_digest(*root);
    ot_frozen_check(region);
    return region;
}

static void
a_reference_to_a_part_of_a_frozen_tree(void)
{
    PyObject *root;
    ot_frozen_t *region = frozen_tree(&root);
    Py_INCREF(PyList_GET_ITEM(root, 0));
    ot_frozen_check(region);
}

static void
a_frozen_list_that_was_changed(void)
{
    PyObject *root;
    ot_frozen_t *region = frozen_tree(&root);
    PyList_SET_ITEM(root, 0, PyFloat_FromDouble(1));
    ot_frozen_check(region);
}

Test(checks_tree, a_frozen_tree_that_was_written_to)
{
    reports(a_reference_to_a_part_of_a_frozen_tree, "now == region->digest");
    reports(a_frozen_list_that_was_changed, "now == region->digest");
}
