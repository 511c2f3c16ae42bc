/* odict.c: the row for OrderedDict. Side blocks: dict's table; the nodes that keep the order, and
 * the table by which they are found.
 *
 * A key has two references, from the dict's table and from its node. Whoever calls dict's methods
 * on an OrderedDict can put the two at odds; such a one is left to pickle, which asks its methods.
 *
 * Main invariant: where odict_copies() holds, node[i] belongs to the table's entry i, holds the
 * same key object, and there are no other nodes.
 * Threading: see kinds.h.
 */
#include "tunnel/kinds.h"
#include "tunnel/ptrmap.h"
#include "runtime/cpython/stdlib.h"

/* Whether each entry of the dict's table has its node, and there are no others. */
static bool
odict_copies(PyObject *o)
{
    ot_odict_t *od = (ot_odict_t *)o;
    Py_ssize_t used = PyDict_GET_SIZE(o), n = 0;
    if (used == 0) {
        return od->first == NULL;
    }
    ot_keys_t *keys = ot_dict_keys(o);
    if (ot_dict_is_split(o) || od->made_for != keys || od->n_node != ot_keys_size(keys)) {
        return false;
    }
    for (Py_ssize_t i = 0; i < ot_keys_count(keys); i++) {
        PyObject **key, **value;
        ot_keys_entry(keys, i, &key, &value);
        if (*value != NULL && (od->node[i] == NULL || od->node[i]->key != *key)) {
            return false;
        }
    }
    for (const ot_odict_node_t *node = od->first; node != NULL && n <= used; node = node->next) {
        n++;
    }
    return n == used;
}

static bool
nodes_are_home(const ot_odict_t *od)
{
    for (const ot_odict_node_t *node = od->first; node != NULL; node = node->next) {
        if (!ot_heap_owns(node)) {
            return false;
        }
    }
    return od->node == NULL || ot_heap_owns(od->node);
}

static ot_inspection_t
odict_inspect(PyObject *o)
{
    ot_odict_t *od = (ot_odict_t *)o;
    ot_inspection_t dict = ot_dict_inspect(o);
    if (dict == OT_PINNED || od->weakreflist != NULL || !odict_copies(o)) {
        return OT_PINNED;
    }
    return dict == OT_MOVABLE && nodes_are_home(od) ? OT_MOVABLE : OT_REHOME;
}

/* A key that only this OrderedDict refers to, twice, and whose memory anybody may free. */
static bool
is_own_leaf(PyObject *key)
{
    if (Py_REFCNT(key) != 2 || !ot_heap_owns(key)) {
        return false;
    }
    return ot_is_plain_leaf_type(Py_TYPE(key)) ||
           (PyUnicode_CheckExact(key) && ot_str_is_movable(key));
}

/* The place of entry i's node's key; NULL where the two are at odds, as they may be in one that stays. */
static PyObject **
node_key(ot_odict_t *od, ot_keys_t *keys, Py_ssize_t i, PyObject *key)
{
    bool fresh = od->made_for == keys && od->n_node == ot_keys_size(keys);
    bool same = fresh && od->node[i] != NULL && od->node[i]->key == key;
    return same ? &od->node[i]->key : NULL;
}

static int
visit_key(PyObject **key, PyObject **again, ot_visitor_t *v)
{
    if (is_own_leaf(*key)) {
        v->leaves++;
        return 0;
    }
    return *key != Py_None && (v->edge(v, key) < 0 || (again != NULL && v->edge(v, again) < 0)) ? -1
                                                                                                : 0;
}

static int
odict_visit(PyObject *o, ot_visitor_t *v)
{
    ot_odict_t *od = (ot_odict_t *)o;
    ot_keys_t *keys = ot_dict_keys(o);
    int needs = 0;
    if (od->inst_dict != NULL && ot_visit_typed(v, &od->inst_dict, OT_SLOT_ODICT_DICT) < 0) {
        return -1;
    }
    ot_keys_forget_version(keys);
    for (Py_ssize_t i = 0, n = ot_keys_count(keys); i < n; i++) {
        PyObject **key, **value;
        ot_keys_entry(keys, i, &key, &value);
        if (*value == NULL) {
            continue;
        }
        needs |= ot_key_is_composite(*key) ? OT_NEEDS_REHASH : 0;
        if (visit_key(key, node_key(od, keys, i, *key), v) < 0 || ot_visit_edge(v, value) < 0) {
            return -1;
        }
    }
    return needs;
}

/* ---- nodes --------------------------------------------------------------------------------- */

/* Frees od's nodes. The caller has dropped, or handed on, the references to their keys. */
static void
free_nodes(ot_odict_t *od)
{
    for (ot_odict_node_t *node = od->first, *next; node != NULL; node = next) {
        next = node->next;
        PyMem_Free(node);
    }
    PyMem_Free(od->node);
}

static void
forget_nodes(ot_odict_t *od)
{
    od->first = od->last = NULL;
    od->node = NULL;
    od->n_node = 0;
    od->made_for = NULL;
    od->state++;
}

/* Makes od use the nodes of the OrderedDict `owner`. od's dict is owner's, or a copy of it entry by entry. */
static void
share_nodes(ot_odict_t *od, const ot_odict_t *owner)
{
    od->first = owner->first;
    od->last = owner->last;
    od->node = owner->node;
    od->n_node = owner->n_node;
    bool made_for_its_table = owner->made_for == ot_dict_keys((PyObject *)owner);
    od->made_for = made_for_its_table ? ot_dict_keys((PyObject *)od) : NULL;
}

/* Makes node[i] of od, with the key of the original node, or with None if the key is not known
 * yet. */
static int
copy_node(ot_odict_t *od, Py_ssize_t i, const ot_odict_node_t *original, bool with_key)
{
    ot_odict_node_t *node = PyMem_Malloc(sizeof *node);
    if (node == NULL) {
        return -1;
    }
    *node = *original;
    node->key = with_key ? original->key : Py_None;
    od->node[i] = node;
    return 0;
}

/* Links od's nodes in the order that the original's have. Only reads the original, which several
 * interpreters may be copying at once (rest_copy.h). 0, or -1 without an exception. */
static int
link_nodes(ot_odict_t *od, const ot_odict_t *original, Py_ssize_t n)
{
    ot_ptrmap_t number = {0};
    for (Py_ssize_t i = 0; i < n; i++) {
        if (od->node[i] != NULL && ot_ptrmap_add(&number, original->node[i], (uint32_t)i) < 0) {
            ot_ptrmap_free(&number);
            return -1;
        }
    }
    ot_odict_node_t *last = NULL;
    for (const ot_odict_node_t *o = original->first; o != NULL; o = o->next) {
        ot_odict_node_t *node = od->node[*ot_ptrmap_get(&number, o)];
        node->prev = last;
        node->next = NULL;
        *(last == NULL ? &od->first : &last->next) = node;
        last = node;
    }
    od->last = last;
    ot_ptrmap_free(&number);
    return 0;
}

/* Frees the first n of od's nodes, which are not linked yet, and their table. */
static void
free_unlinked(ot_odict_t *od, Py_ssize_t n)
{
    while (n-- > 0) {
        PyMem_Free(od->node[n]);
    }
    PyMem_Free(od->node);
    od->node = NULL;
}

/* Nodes of its own for od, whose dict is a copy of the original's, entry by entry; it has none
 * yet. 0, or -1 without an exception, and it has none still. */
static int
copy_nodes(ot_odict_t *od, PyObject *original, bool with_keys)
{
    const ot_odict_t *from = (ot_odict_t *)original;
    ot_keys_t *keys = ot_dict_keys(original);
    if (PyDict_GET_SIZE(original) == 0) {
        return 0;
    }
    od->node = PyMem_Calloc((size_t)from->n_node, sizeof(ot_odict_node_t *));
    if (od->node == NULL) {
        return -1;
    }
    Py_ssize_t n = ot_keys_count(keys);
    for (Py_ssize_t i = 0; i < n; i++) {
        PyObject **key, **value;
        ot_keys_entry(keys, i, &key, &value);
        if (*value != NULL && copy_node(od, i, from->node[i], with_keys) < 0) {
            free_unlinked(od, i);
            return -1;
        }
    }
    if (link_nodes(od, from, n) < 0) {
        free_unlinked(od, n);
        return -1;
    }
    od->n_node = from->n_node;
    od->made_for = ot_dict_keys((PyObject *)od);
    return 0;
}

/* ---- shells and copies ---------------------------------------------------------------------- */

/* What an untracked odict holds beyond its dict: nothing. */
static void
make_bare(ot_odict_t *od)
{
    forget_nodes(od);
    od->state = 0;
    od->inst_dict = od->weakreflist = NULL;
}

static void
odict_disown(PyObject *loser, PyObject *winner)
{
    ot_odict_t *od = (ot_odict_t *)loser, *w = (ot_odict_t *)winner;
    ot_kind_dict.disown(loser, winner);
    if (od->node != w->node) {
        free_nodes(od);
    }
    forget_nodes(od);
    od->inst_dict = NULL;
}

static PyObject *
odict_shell(PyObject *o)
{
    ot_odict_t *from = (ot_odict_t *)o, *shell = (ot_odict_t *)ot_kind_dict.shell(o);
    if (shell == NULL) {
        return NULL;
    }
    make_bare(shell);
    shell->inst_dict = from->inst_dict;
    if (nodes_are_home(from)) {
        share_nodes(shell, from);
    } else if (copy_nodes(shell, o, true) < 0) {
        odict_disown((PyObject *)shell, o);
        ot_py_drop_unfinished((PyObject *)shell);
        return PyErr_NoMemory();
    }
    return (PyObject *)shell;
}

static PyObject *
odict_clone(PyObject *o)
{
    ot_odict_t *clone = (ot_odict_t *)ot_kind_dict.clone(o);
    if (clone == NULL) {
        return NULL;
    }
    make_bare(clone);
    if (copy_nodes(clone, o, false) < 0) {
        ot_py_drop_unfinished((PyObject *)clone);
        return PyErr_NoMemory();
    }
    return (PyObject *)clone;
}

static int
fill_key(PyObject **to_key, PyObject **to_node, PyObject *key, ot_copier_t *c)
{
    *to_key = c->copy(c, key, to_key);
    PyObject *copy = *to_key == NULL ? NULL : c->copy(c, key, to_node);
    if (copy == NULL) {
        return -1;
    }
    *to_node = copy; /* None until then, which odict_dealloc can take */
    return 0;
}

static int
odict_fill(PyObject *clone, PyObject *o, ot_copier_t *c)
{
    ot_odict_t *to = (ot_odict_t *)clone, *from = (ot_odict_t *)o;
    ot_keys_t *keys = ot_dict_keys(o), *to_keys = ot_dict_keys(clone);
    int needs = 0;
    if (from->inst_dict != NULL &&
        ot_fill_slot(c, &to->inst_dict, from->inst_dict, OT_SLOT_ODICT_DICT) < 0) {
        return -1;
    }
    Py_ssize_t n = ot_keys_static(to_keys) ? 0 : ot_keys_count(keys);
    for (Py_ssize_t i = 0; i < n; i++) {
        PyObject **key, **value, **to_key, **to_value;
        ot_keys_entry(keys, i, &key, &value);
        if (*value == NULL) {
            continue;
        }
        ot_keys_entry(to_keys, i, &to_key, &to_value);
        if (fill_key(to_key, &to->node[i]->key, *key, c) < 0) {
            return -1;
        }
        *to_value = c->copy(c, *value, to_value);
        if (*to_value == NULL) {
            return -1;
        }
        needs |= ot_key_is_composite(*key) ? OT_NEEDS_REHASH : 0;
    }
    return needs;
}

static int
odict_clear(PyObject *o)
{
    PyObject *none = PyObject_CallMethod(o, "clear", NULL);
    Py_XDECREF(none);
    return none == NULL ? -1 : 0;
}

/* ---- rehashing (rehash.c) ------------------------------------------------------------------- */

/* The table's entries in the nodes' order, as new pairs in `items`. 0, or -1 with an exception. */
static int
pair_up(PyObject *o, PyObject *items)
{
    ot_keys_t *keys = ot_dict_keys(o);
    Py_ssize_t at = 0;
    for (const ot_odict_node_t *node = ((ot_odict_t *)o)->first; node != NULL; node = node->next) {
        PyObject **key, **value;
        ot_keys_entry(keys, node->hash, &key, &value);
        PyObject *pair = PyTuple_Pack(2, *key, *value);
        if (pair == NULL) {
            return -1;
        }
        PyList_SET_ITEM(items, at++, pair);
    }
    return 0;
}

/* No key is hashed: while this function runs, each node's `hash` field has the number of the
 * node's entry. */
PyObject *
ot_odict_items(PyObject *o)
{
    ot_odict_t *od = (ot_odict_t *)o;
    Py_ssize_t n = PyDict_GET_SIZE(o) == 0 ? 0 : ot_keys_count(ot_dict_keys(o));
    Py_hash_t *hashes = PyMem_Malloc((size_t)(n ? n : 1) * sizeof *hashes);
    PyObject *items = PyList_New(PyDict_GET_SIZE(o));
    if (hashes == NULL || items == NULL) {
        PyMem_Free(hashes);
        Py_XDECREF(items);
        return PyErr_NoMemory();
    }
    for (Py_ssize_t i = 0; i < n; i++) {
        if (od->node[i] != NULL) {
            hashes[i] = od->node[i]->hash;
            od->node[i]->hash = i;
        }
    }
    if (pair_up(o, items) < 0) {
        Py_CLEAR(items);
    }
    for (Py_ssize_t i = 0; i < n; i++) {
        if (od->node[i] != NULL) {
            od->node[i]->hash = hashes[i];
        }
    }
    PyMem_Free(hashes);
    return items;
}

void
ot_odict_swap(PyObject *a, PyObject *b)
{
    ot_odict_t *x = (ot_odict_t *)a, *y = (ot_odict_t *)b, t = *x;
    ot_dict_swap(a, b);
    x->first = y->first;
    x->last = y->last;
    x->node = y->node;
    x->n_node = y->n_node;
    x->made_for = y->made_for;
    x->state++;
    y->first = t.first;
    y->last = t.last;
    y->node = t.node;
    y->n_node = t.n_node;
    y->made_for = t.made_for;
    y->state++;
}

/* ---- the layout ----------------------------------------------------------------------------- */

int
ot_odict_check(void)
{
    PyTypeObject *type = &PyODict_Type;
    PyObject *o = PyObject_CallFunction((PyObject *)type, "{s:i,s:i,s:i}", "x", 1, "y", 2, "z", 3);
    PyObject *x = o == NULL ? NULL : PyObject_CallMethod(o, "move_to_end", "s", "x");
    if (x == NULL) {
        Py_XDECREF(o);
        return -1;
    }
    Py_DECREF(x);
    ot_odict_t *od = (ot_odict_t *)o;
    ot_keys_t *keys = ot_dict_keys(o);
    bool good = type->tp_basicsize == sizeof(ot_odict_t) &&
                type->tp_weaklistoffset == offsetof(ot_odict_t, weakreflist) &&
                type->tp_dictoffset == offsetof(ot_odict_t, inst_dict) && od->inst_dict == NULL &&
                od->weakreflist == NULL && od->made_for == keys &&
                od->n_node == ot_keys_size(keys) && odict_copies(o) && od->node[0] == od->last &&
                od->node[1] == od->first && od->first->next == od->node[2] &&
                od->last->prev == od->node[2] && od->last->next == NULL &&
                od->first->hash == PyObject_Hash(od->first->key);
    Py_DECREF(o);
    return good;
}

const ot_kind_t ot_kind_odict = {
    .name = "OrderedDict",
    .emptiable = true,
    .subclassable = true,
    .keeps_hash = true,
    .inspect = odict_inspect,
    .copies = odict_copies,
    .visit = odict_visit,
    .shell = odict_shell,
    .disown = odict_disown,
    .clone = odict_clone,
    .fill = odict_fill,
    .clear = odict_clear,
};
