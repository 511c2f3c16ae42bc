/* rest_copy.c: see rest_copy.h.
 *
 * What has one reference at rest has one in the copy; what has more is found in a table (memo) the second
 * time, and that is how sharing and cycles come out as they went in.
 *
 * Main invariant: that of copying.h. Threading: as in the header.
 */
#include "tunnel/rest_copy.h"

#include "tunnel/copying.h"
#include "tunnel/constant.h"
#include "tunnel/kinds.h"
#include "tunnel/ndarray.h"
#include "tunnel/ptrmap.h"
#include "tunnel/rehash.h"
#include "runtime/cpython/gc.h"
#include "runtime/cpython/stdlib.h"

/* Invariant: placeholder[i] is an int of the rest's own, PLACEHOLDER + i, that stands for held[i] wherever the
 * tree refers to a handle of it, and behind these for the arrays; n_placeholders is 0 or their number. Only a
 * bare tree has no fields after `bare` (tree.h): look at it first. */
struct ot_rest {
    ot_tree_t *tree; /* owned */
    bool has_arrays;
    size_t n_placeholders;
    PyObject *placeholder[]; /* owned */
};

/* ---- arrays ------------------------------------------------------------------------------------ */

static void
array_dealloc(PyObject *o)
{
    PyObject_GC_UnTrack(o);
    PyMem_Free(((ot_array_t *)o)->ob_item);
    PyObject_GC_Del(o);
}

static int
array_traverse(PyObject *o, visitproc visit, void *arg)
{
    (void)o;
    (void)visit;
    (void)arg;
    return 0;
}

/* Never shown to Python, so it needs no PyType_Ready: only these are ever asked for. */
PyTypeObject ot_rest_array_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "objtunnel's array at rest",
    .tp_basicsize = sizeof(ot_array_t),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .tp_dealloc = array_dealloc,
    .tp_traverse = array_traverse,
};

/* Gives the tree's arrays that type; or none, as a receiver expects it. */
static void
set_array_type(ot_rest_t *rest, PyTypeObject *type)
{
    const ot_tree_t *tree = rest->tree;
    for (size_t i = 0; !tree->bare && i < tree->classes.len; i++) {
        const ot_tree_class_t *c = &tree->classes.items[i];
        for (size_t k = 0; k < c->instances.len; k++) {
            PyObject *o = (PyObject *)(c->instances.items[k] & ~(uintptr_t)OT_IS_COPY);
            ot_py_set_type_steal(o, type);
            rest->has_arrays = true;
        }
    }
}

PyObject *
ot_rest_root(const ot_rest_t *rest)
{
    return rest->tree->root;
}

/* ---- putting to rest --------------------------------------------------------------------------- */

bool
ot_rest_suits(const ot_tree_t *tree)
{
    if (tree->bare) {
        return true;
    }
    for (size_t i = 0; i < tree->fixes.len; i++) {
        if (tree->fixes.items[i].source == OT_FROM_PICKLE) {
            return false;
        }
    }
    for (size_t i = 0; i < tree->classes.len; i++) {
        const ot_kind_t *kind = tree->classes.items[i].kind;
        /* A type without a row has no instances in a tree that has no pickle: it was only looked up (bool). */
        bool suits = kind == NULL || kind == &ot_kind_array || kind->converts;
        if (!suits) {
            return false;
        }
    }
    return tree->pickle == NULL;
}

static void
put_placeholders(ot_rest_t *rest)
{
    ot_tree_t *tree = rest->tree;
    for (size_t i = 0; i < tree->fixes.len; i++) {
        const ot_fix_t *fix = &tree->fixes.items[i];
        size_t first = fix->source == OT_FROM_ARRAYS ? tree->held.len : 0;
        *fix->slot = Py_NewRef(rest->placeholder[first + fix->index]);
    }
}

/* Leaves the places of handles and arrays as a receiver expects them: with None, which is not counted. */
static void
remove_placeholders(ot_rest_t *rest)
{
    ot_tree_t *tree = rest->tree;
    for (size_t i = 0; i < tree->fixes.len; i++) {
        Py_DECREF(*tree->fixes.items[i].slot);
        *tree->fixes.items[i].slot = Py_None;
    }
}

static void
free_rest(ot_rest_t *rest)
{
    for (size_t i = 0; i < rest->n_placeholders; i++) {
        Py_XDECREF(rest->placeholder[i]);
    }
    PyMem_Free(rest);
}

static const long long PLACEHOLDER = INT64_C(1) << 62;

/* A mortal object with an address of its own; too long for any free list. */
static PyObject *
new_placeholder(size_t i)
{
    PyObject *number = PyLong_FromLongLong(PLACEHOLDER + (long long)i);
    PyObject *placeholder = number == NULL ? NULL : ot_kind_int.clone(number);
    Py_XDECREF(number);
    return placeholder;
}

ot_rest_t *
ot_rest_new(ot_tree_t *tree)
{
    size_t n = tree->bare ? 0 : tree->held.len + tree->arrays.len;
    ot_rest_t *rest = PyMem_Calloc(1, sizeof *rest + n * sizeof(PyObject *));
    if (rest == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    rest->n_placeholders = n;
    for (size_t i = 0; i < n; i++) {
        rest->placeholder[i] = new_placeholder(i);
        if (rest->placeholder[i] == NULL) {
            free_rest(rest);
            return NULL;
        }
    }
    if (!tree->bare && ot_tree_own_keys(tree) < 0) {
        free_rest(rest);
        return NULL;
    }
    rest->tree = tree;
    set_array_type(rest, &ot_rest_array_type);
    if (!tree->bare) {
        put_placeholders(rest);
    }
    return rest;
}

/* ---- copying ----------------------------------------------------------------------------------- */

typedef struct {
    ot_copier_t copier;        /* first: the callback finds the rest by it */
    ot_tree_t made;            /* of which only tracked and containers are used: for rehashing */
    ot_ptrmap_t memo;          /* original -> index into copies */
    OT_VEC(PyObject *) copies; /* owned: of what has several references */
    ot_copy_jobs_t jobs;
    PyTypeObject *array_type; /* borrowed: this interpreter's */
    const ot_interp_t *interp;
    const ot_rest_t *rest;
    /* Owned: a copy that could not be remembered. Dropped last, when the collector tracks what is in made.tracked:
     * deallocators expect that. */
    PyObject *failed;
} copying_t;

/* Refs: steals copy, also on failure. */
static int
remember(copying_t *c, PyObject *original, PyObject *copy)
{
    if (copy == NULL) {
        return -1;
    }
    if (ot_vec_push(&c->copies, copy) < 0) {
        c->failed = copy;
        PyErr_NoMemory();
        return -1;
    }
    if (ot_ptrmap_add(&c->memo, original, (uint32_t)(c->copies.len - 1)) < 0) {
        PyErr_NoMemory();
        return -1;
    }
    return 0;
}

/* The array that a placeholder stands for; NULL if o is none. Borrowed. */
static const ot_ndata_t *
array_at(const ot_rest_t *rest, PyObject *o)
{
    if (rest->tree->bare || rest->tree->arrays.len == 0 || !PyLong_CheckExact(o)) {
        return NULL;
    }
    int overflow;
    long long i = PyLong_AsLongLongAndOverflow(o, &overflow) - PLACEHOLDER;
    size_t held = rest->tree->held.len;
    bool ours = overflow == 0 && i >= (long long)held && i < (long long)rest->n_placeholders &&
                rest->placeholder[i] == o;
    return ours ? rest->tree->arrays.items[(size_t)i - held] : NULL;
}

static PyObject *
copy_array(const ot_interp_t *interp, const ot_ndata_t *from)
{
    ot_ndata_t *n = ot_ndata_copy(from);
    PyObject *o = n == NULL ? NULL : ot_ndata_object(interp, n);
    if (o != NULL) {
        ot_ndata_give(n, o);
    }
    ot_ndata_unref(n);
    return o;
}

static PyObject *
clone_object(copying_t *c, PyObject *o)
{
    const ot_ndata_t *n = array_at(c->rest, o);
    if (n != NULL) {
        return copy_array(c->interp, n);
    }
    if (ot_is_constant(o)) {
        return ot_constant_read(c->interp, o);
    }
    if (ot_rest_is_array(o)) {
        PyObject *array = ot_array_clone(c->array_type, o);
        if (array != NULL) {
            ot_gc_chain_add(&c->made.tracked, array);
        }
        return array;
    }
    const ot_kind_t *kind = ot_kind_static(Py_TYPE(o));
    if (kind == NULL) {
        return PyErr_Format(PyExc_SystemError, "objtunnel: a %s in a tree at rest",
                            Py_TYPE(o)->tp_name);
    }
    PyObject *copy = ot_copying_clone(&c->jobs, o, kind, &c->made);
    if (copy != NULL && !kind->leaf && PyType_IS_GC(Py_TYPE(copy))) {
        ot_gc_chain_add(&c->made.tracked, copy); /* at once: cycles must be found if this fails */
    }
    return copy;
}

static PyObject *
copy_reference(ot_copier_t *copier, PyObject *o, PyObject **slot)
{
    (void)slot;
    copying_t *c = (copying_t *)copier;
    if (ot_is_process_static(o)) {
        return Py_NewRef(o);
    }
    if (Py_REFCNT(o) == 1) {
        return clone_object(c, o);
    }
    const uint32_t *known = ot_ptrmap_get(&c->memo, o);
    if (known != NULL) {
        return Py_NewRef(c->copies.items[*known]);
    }
    PyObject *copy = clone_object(c, o);
    return remember(c, o, copy) < 0 ? NULL : Py_NewRef(copy);
}

static void
add_part(ot_copier_t *copier, PyObject *part)
{
    ot_gc_chain_add(&((copying_t *)copier)->made.tracked, part);
}

/* What stands for keys that were interned, and for handles: made first. */
static int
copy_special(copying_t *c, const ot_interp_t *interp, const ot_rest_t *rest)
{
    const ot_tree_t *tree = rest->tree;
    for (size_t i = 0; i < tree->keys.len; i++) {
        const ot_key_t *key = &tree->keys.items[i];
        if (ot_ptrmap_get(&c->memo, key->copy) != NULL) {
            continue;
        }
        PyObject *here = ot_str_copy(key->copy);
        if (here != NULL && key->intern) {
            PyUnicode_InternInPlace(&here);
        }
        if (remember(c, key->copy, here) < 0) {
            return -1;
        }
    }
    for (size_t i = 0; i < tree->held.len; i++) {
        PyObject *handle = interp->handles.make(interp->handles.home, &tree->held.items[i]);
        if (remember(c, rest->placeholder[i], handle) < 0) {
            return -1;
        }
    }
    return 0;
}

PyObject *
ot_rest_copy_part(const ot_interp_t *interp, const ot_rest_t *rest, PyObject *part)
{
    copying_t c = {
        .copier = {.copy = copy_reference, .part = add_part},
        .array_type = (PyTypeObject *)interp->classes->array,
        .interp = interp,
        .rest = rest,
    };
    PyObject *root = NULL;
    bool good = rest->tree->bare || copy_special(&c, interp, rest) == 0;
    if (good) {
        root = copy_reference(&c.copier, part, &root);
        good = root != NULL && ot_copying_fill(&c.jobs, &c.copier, &c.made, OT_NEEDS_REHASH) == 0;
    }
    ot_gc_chain_track(&c.made.tracked);
    if (good && c.made.rehash) {
        good = ot_rehash(&c.made, NULL) == 0;
    }
    if (!good) {
        Py_CLEAR(root);
    }
    Py_XDECREF(c.failed);
    for (size_t i = 0; i < c.copies.len; i++) {
        Py_DECREF(c.copies.items[i]);
    }
    ot_vec_free(&c.copies);
    ot_vec_free(&c.jobs);
    ot_vec_free(&c.made.containers);
    ot_ptrmap_free(&c.memo);
    return root;
}

PyObject *
ot_rest_copy(const ot_interp_t *interp, const ot_rest_t *rest)
{
    return ot_rest_copy_part(interp, rest, rest->tree->root);
}

bool
ot_rest_has_placeholders(const ot_rest_t *rest)
{
    return rest->n_placeholders > 0;
}

/* ---- taking and freeing ------------------------------------------------------------------------ */

PyObject *
ot_rest_take(const ot_interp_t *interp, ot_rest_t *rest)
{
    ot_tree_t *tree = rest->tree;
    PyObject *root;
    if (!tree->bare && tree->rehash) { /* attach can fail where the tree is lost already */
        root = ot_rest_copy(interp, rest);
        if (root != NULL) {
            ot_tree_dispose_chain(interp, ot_rest_free(rest));
        }
        return root;
    }
    if (!tree->bare) {
        remove_placeholders(rest);
        set_array_type(rest, NULL);
    }
    root = ot_tree_attach(interp, &rest->tree);
    if (root != NULL) {
        free_rest(rest);
    } else {
        put_placeholders(rest); /* a bare tree's attach cannot fail */
        set_array_type(rest, &ot_rest_array_type);
    }
    return root;
}

/* Needs no interpreter's help: a tree at rest has no instances, so no classes are looked for. */
ot_node_t *
ot_rest_free(ot_rest_t *rest)
{
    ot_tree_t *tree = rest->tree;
    ot_node_t *chain = NULL;
    ot_gc_chain_track(&tree->tracked);
    Py_DECREF(tree->root);
    if (!tree->bare) {
        for (size_t i = 0; i < tree->keys.len; i++) {
            Py_DECREF(tree->keys.items[i].copy);
        }
        tree->keys.len = 0;
        chain = ot_held_drop(&tree->held);
    }
    ot_tree_free(tree);
    free_rest(rest);
    return chain;
}
