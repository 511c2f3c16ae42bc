/* frozen.c: reading a constant tree (see frozen.h).
 *
 * Main invariant: nothing here writes to the region or hands one of its objects to a function of
 * CPython that might; where only CPython can tell (long ints, tuples as keys), it gets a copy.
 * Threading: readers hold their own GIL, and nothing else.
 */
#include "objects/frozen/frozen.h"

#include <math.h>

#include "tunnel/constant.h"
#include "tunnel/kinds.h"
#include "tunnel/rest_copy.h"
#include "runtime/cpython/stdlib.h"

/* ---- what is shown as what ------------------------------------------------------------------ */

ot_frozen_type_t
ot_frozen_type_of(PyObject *node)
{
    PyTypeObject *t = Py_TYPE(node);
    if (t == &PyList_Type) {
        return OT_FROZEN_LIST;
    }
    if (t == &PyDict_Type || t == &PyODict_Type || ot_is_frozendict(node)) {
        return OT_FROZEN_DICT;
    }
    if (t == &PyTuple_Type) {
        return OT_FROZEN_TUPLE;
    }
    if (t == &PySet_Type || t == &PyFrozenSet_Type) {
        return OT_FROZEN_SET;
    }
    if (ot_rest_is_array(node)) {
        return OT_FROZEN_ARRAY;
    }
    bool bytes =
        t == &PyByteArray_Type || (t == &PyBytes_Type && PyBytes_GET_SIZE(node) > OT_FROZEN_SHORT);
    return bytes ? OT_FROZEN_BYTES : OT_FROZEN_TYPES;
}

PyObject *
ot_frozen_behind(PyObject *o)
{
    while (Py_IS_TYPE(o, &PyDictProxy_Type)) {
        o = ((ot_mappingproxy_t *)o)->mapping;
    }
    return o;
}

/* Views of rows come and go by the thousand. New, of the type; NULL with MemoryError. */
static ot_frozen_view_t *
new_view(ot_frozen_types_t *types, PyTypeObject *type)
{
    void **block = types->spare;
    if (block == NULL) {
        return PyObject_New(ot_frozen_view_t, type);
    }
    types->spare = *block;
    types->spares--;
    return (ot_frozen_view_t *)PyObject_Init((PyObject *)block, type);
}

PyObject *
ot_frozen_view(PyObject *anchor, PyObject *node)
{
    ot_handle_t *region = ot_as_handle(anchor);
    ot_frozen_types_t *types = region->home->frozen;
    ot_frozen_view_t *view = new_view(types, types->view[ot_frozen_type_of(node)]);
    if (view == NULL) {
        return NULL;
    }
    view->handle.shared = region->shared;
    view->handle.home = region->home;
    view->handle.module = region->module;
    view->anchor = Py_NewRef(anchor);
    view->node = node;
    view->weakrefs = NULL;
    return (PyObject *)view;
}

PyObject *
ot_frozen_thaw(ot_frozen_view_t *from, PyObject *o)
{
    const ot_value_t *content = ((ot_frozen_t *)from->handle.shared)->content;
    if (content->form == OT_VALUE_LEAF) {
        return ot_kind_static(Py_TYPE(o))->clone(o);
    }
    return ot_rest_copy_part(from->handle.home->interp, content->u.rest, o);
}

PyObject *
ot_frozen_read(ot_frozen_view_t *from, PyObject *o)
{
    PyTypeObject *t = Py_TYPE(o);
    if (ot_py_immortal(o) && ot_is_process_static(o)) {
        return Py_NewRef(o);
    }
    if (t == &ot_constant_type) {
        return ot_constant_read(from->handle.home->interp, o);
    }
    if (t == &PyUnicode_Type) {
        return ot_str_copy(o);
    }
    if (t == &PyFloat_Type) {
        return PyFloat_FromDouble(PyFloat_AS_DOUBLE(o));
    }
    if (t == &PyLong_Type) {
        return ot_kind_int.clone(o);
    }
    if (t == &PyDictProxy_Type) {
        return ot_frozen_view(from->anchor, ot_frozen_behind(o));
    }
    if (ot_frozen_type_of(o) != OT_FROZEN_TYPES) {
        return ot_frozen_view(from->anchor, o);
    }
    return ot_frozen_thaw(from, o);
}

/* ---- the end of a view ----------------------------------------------------------------------- */

enum { SPARES = 16 }; /* blocks kept for the next views */

void
ot_frozen_view_free(ot_frozen_view_t *view)
{
    PyTypeObject *type = Py_TYPE(view);
    ot_frozen_types_t *types = view->handle.home->frozen;
    Py_DECREF(view->anchor);
    if (types->spares < SPARES) {
        *(void **)view = types->spare;
        types->spare = view;
        types->spares++;
    } else {
        PyObject_Free(view);
    }
    Py_DECREF(type);
}

/* ---- parts ----------------------------------------------------------------------------------- */

Py_ssize_t
ot_frozen_length(PyObject *node)
{
    switch (ot_frozen_type_of(node)) {
    case OT_FROZEN_DICT:
        return PyDict_GET_SIZE(node);
    case OT_FROZEN_SET:
        return ((PySetObject *)node)->used;
    default: /* these have it in the same place */
        return Py_SIZE(node);
    }
}

const char *
ot_frozen_data(PyObject *node)
{
    return PyByteArray_CheckExact(node) ? PyByteArray_AS_STRING(node) : PyBytes_AS_STRING(node);
}

/* ---- looking up ----------------------------------------------------------------------------- */

static bool
same_str(PyObject *a, PyObject *b)
{
    Py_ssize_t n = PyUnicode_GET_LENGTH(a);
    unsigned kind = PyUnicode_KIND(a);
    return n == PyUnicode_GET_LENGTH(b) && kind == PyUnicode_KIND(b) &&
           memcmp(PyUnicode_DATA(a), PyUnicode_DATA(b), (size_t)n * kind) == 0;
}

/* Whether the region's o, whose hash is the key's, equals it. 1, 0, or -1 with an exception. */
static int
equals(ot_frozen_view_t *in, PyObject *o, PyObject *key)
{
    if (o == key) {
        return 1;
    }
    if (PyUnicode_CheckExact(o) && PyUnicode_CheckExact(key)) {
        return same_str(o, key);
    }
    if (PyLong_CheckExact(o) && PyLong_CheckExact(key) &&
        PyUnstable_Long_IsCompact((PyLongObject *)o) &&
        PyUnstable_Long_IsCompact((PyLongObject *)key)) {
        return PyUnstable_Long_CompactValue((PyLongObject *)o) ==
               PyUnstable_Long_CompactValue((PyLongObject *)key);
    }
    PyObject *mine = ot_frozen_thaw(in, o);
    int equal = mine == NULL ? -1 : PyObject_RichCompareBool(mine, key, Py_EQ);
    Py_XDECREF(mine);
    return equal;
}

static int
find_in_dict(ot_frozen_view_t *in, PyObject *key, Py_hash_t hash, PyObject **found)
{
    ot_keys_t *keys = ot_dict_keys(in->node);
    ot_keys_probe_t at = {(size_t)hash, (size_t)hash};
    for (Py_ssize_t ix; (ix = ot_keys_next(keys, hash, &at)) >= 0;) {
        PyObject **k, **v;
        ot_keys_entry(keys, ix, &k, &v);
        int equal = equals(in, *k, key);
        if (equal != 0) {
            *found = *v;
            return equal;
        }
    }
    return 0;
}

/* Probes as set_lookkey in setobject.c does: runs of neighbours, then a jump. */
static int
find_in_set(ot_frozen_view_t *in, PyObject *key, Py_hash_t hash, PyObject **found)
{
    enum { NEIGHBOURS = 9, PERTURB_SHIFT = 5 };
    const PySetObject *so = (PySetObject *)in->node;
    size_t mask = (size_t)so->mask, perturb = (size_t)hash, i = (size_t)hash & mask;
    for (;;) {
        size_t last = i + NEIGHBOURS <= mask ? i + NEIGHBOURS : i;
        for (size_t j = i; j <= last; j++) {
            const setentry *e = &so->table[j];
            if (e->key == NULL) {
                return 0;
            }
            int equal = e->hash == hash ? equals(in, e->key, key) : 0;
            if (equal != 0) {
                *found = e->key;
                return equal;
            }
        }
        perturb >>= PERTURB_SHIFT;
        i = (i * 5 + 1 + perturb) & mask;
    }
}

/* ---- NaNs ------------------------------------------------------------------------------------ */

/* A NaN equals nothing but is found by being the same object, which nothing of the region is for a
 * reader: so all NaNs are one key, also within tuples. Their hashes are those of addresses: what has
 * one is looked for everywhere. */
enum { NAN_DEPTH = 50 }; /* of tuples in tuples */

static bool
is_nan(PyObject *o)
{
    if (PyUnicode_CheckExact(o) || PyLong_CheckExact(o)) {
        return false; /* most keys */
    }
    if (PyFloat_CheckExact(o)) {
        return isnan(PyFloat_AS_DOUBLE(o));
    }
    if (ot_is_constant(o)) {
        return ot_constant_is_nan(o);
    }
    if (ot_kind_at_hand(Py_TYPE(o)) == &ot_kind_decimal) {
        return ot_decimal_is_nan(o);
    }
    return PyComplex_CheckExact(o) &&
           (isnan(((PyComplexObject *)o)->cval.real) || isnan(((PyComplexObject *)o)->cval.imag));
}

static bool
has_nan(PyObject *o, int depth)
{
    if (!PyTuple_CheckExact(o) || depth == 0) {
        return is_nan(o);
    }
    Py_ssize_t i = 0;
    while (i < PyTuple_GET_SIZE(o) && !has_nan(PyTuple_GET_ITEM(o, i), depth - 1)) {
        i++;
    }
    return i < PyTuple_GET_SIZE(o);
}

/* Whether the region's o equals a key that has a NaN somewhere: each NaN equals each other of its type. 1, 0, or -1
 * with an exception. */
static int
equals_but_for_nans(ot_frozen_view_t *in, PyObject *o, PyObject *key, int depth)
{
    if (is_nan(o) && is_nan(key)) {
        bool decimal = !PyFloat_CheckExact(key) && !PyComplex_CheckExact(key);
        return ot_is_constant(o) ? decimal : Py_IS_TYPE(o, Py_TYPE(key));
    }
    if (!PyTuple_CheckExact(o) || !PyTuple_CheckExact(key) || depth == 0) {
        return equals(in, o, key);
    }
    Py_ssize_t n = PyTuple_GET_SIZE(o);
    int equal = n == PyTuple_GET_SIZE(key);
    for (Py_ssize_t i = 0; equal == 1 && i < n; i++) {
        equal =
            equals_but_for_nans(in, PyTuple_GET_ITEM(o, i), PyTuple_GET_ITEM(key, i), depth - 1);
    }
    return equal;
}

static int
find_nan(ot_frozen_view_t *in, PyObject *key, PyObject **found)
{
    ot_frozen_at_t at = {0};
    PyObject *k, *v;
    while (ot_frozen_next(in->node, &at, &k, &v)) {
        int equal = has_nan(k, NAN_DEPTH) ? equals_but_for_nans(in, k, key, NAN_DEPTH) : 0;
        if (equal != 0) {
            *found = v;
            return equal;
        }
    }
    return 0;
}

int
ot_frozen_find(ot_frozen_view_t *in, PyObject *key, PyObject **found)
{
    bool view = ot_is_frozen_view(key);
    if (has_nan(view ? ot_as_frozen(key)->node : key, NAN_DEPTH)) {
        PyObject *plain =
            view ? ot_frozen_thaw(ot_as_frozen(key), ot_as_frozen(key)->node) : Py_NewRef(key);
        int equal = plain == NULL ? -1 : find_nan(in, plain, found);
        Py_XDECREF(plain);
        return equal;
    }
    Py_hash_t hash = PyObject_Hash(key);
    if (hash == -1) {
        return -1;
    }
    bool is_set = ot_frozen_type_of(in->node) == OT_FROZEN_SET;
    return (is_set ? find_in_set : find_in_dict)(in, key, hash, found);
}

/* ---- going through -------------------------------------------------------------------------- */

static bool
next_of_odict(PyObject *node, ot_frozen_at_t *at, PyObject **key, PyObject **value)
{
    const ot_odict_t *od = (ot_odict_t *)node;
    const ot_odict_node_t *entry = at->pos++ == 0 ? od->first : at->next;
    if (entry == NULL) {
        return false;
    }
    at->next = entry->next;
    *key = entry->key;
    ot_keys_t *keys = ot_dict_keys(node);
    ot_keys_probe_t probe = {(size_t)entry->hash, (size_t)entry->hash};
    for (Py_ssize_t ix; (ix = ot_keys_next(keys, entry->hash, &probe)) >= 0;) {
        PyObject **k, **v;
        ot_keys_entry(keys, ix, &k, &v);
        if (od->node[ix] == entry) {
            *value = *v;
            return true;
        }
    }
    return false; /* a node always has an entry */
}

bool
ot_frozen_next(PyObject *node, ot_frozen_at_t *at, PyObject **key, PyObject **value)
{
    if (PyAnySet_CheckExact(node)) {
        const PySetObject *so = (PySetObject *)node;
        while (at->pos <= so->mask) {
            const setentry *e = &so->table[at->pos++];
            if (e->key != NULL && e->hash != -1) { /* neither unused nor deleted */
                *key = *value = e->key;
                return true;
            }
        }
        return false;
    }
    if (PyODict_CheckExact(node)) {
        return next_of_odict(node, at, key, value);
    }
    ot_keys_t *keys = ot_dict_keys(node);
    while (at->pos < ot_keys_count(keys)) {
        PyObject **k, **v;
        ot_keys_entry(keys, at->pos++, &k, &v);
        if (*v != NULL) {
            *key = *k;
            *value = *v;
            return true;
        }
    }
    return false;
}
