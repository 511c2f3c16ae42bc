/* frozen_type.c: freeze() and the Python types of its views (see frozen.h).
 *
 * Main invariant: a view holds its anchor, which holds the region; views are not known to the
 * collector, for all that they refer to of their interpreter is the anchor.
 * Threading: the GIL of the view's interpreter.
 */
#include "objects/frozen/frozen.h"

#include <stdlib.h>
#include <sys/random.h>

#include "tunnel/kinds.h"
#include "tunnel/path.h"
#include "tunnel/ptrmap.h"
#include "tunnel/rest_copy.h"
#include "runtime/cpython/stdlib.h"

#include <structmember.h>

/* ---- the region --------------------------------------------------------------------------------- */

static void
frozen_free(ot_shared_t *self)
{
    ot_value_unref(((ot_frozen_t *)self)->content);
    free(self);
}

const ot_shared_kind_t ot_frozen_kind = {"Frozen", frozen_free, NULL};

/* Borrowed; NULL for a scalar. */
static PyObject *
root_in(const ot_value_t *v)
{
    PyObject *root = v->form == OT_VALUE_LEAF   ? v->u.object
                     : v->form == OT_VALUE_TREE ? ot_rest_root(v->u.rest)
                                                : NULL;
    return root == NULL ? NULL : ot_frozen_behind(root);
}

static PyObject *
root_of(const ot_frozen_t *region)
{
    return root_in(region->content);
}

static ot_frozen_t *
region_of(PyObject *self)
{
    return (ot_frozen_t *)ot_as_handle(self)->shared;
}

static PyObject *
node_of(PyObject *self)
{
    return ot_as_frozen(self)->node;
}

static void view_dealloc(PyObject *self);

bool
ot_is_frozen_view(PyObject *o)
{
    return Py_TYPE(o)->tp_dealloc == view_dealloc;
}

/* ---- travelling --------------------------------------------------------------------------------- */

/* What a view of a part is pickled as: where the part lies, and a proof that we said so. */
typedef struct {
    uint64_t address, proof;
} place_t;

static uint64_t
proof_of(const ot_frozen_t *region, uint64_t address)
{
    uint64_t x = address ^ region->secret;
    for (int i = 0; i < 3; i++) {
        x = (x ^ (x >> 29)) * UINT64_C(0x9E3779B97F4A7C15) + region->secret;
    }
    return x ^ (x >> 32);
}

static PyObject *
save(PyObject *self)
{
    ot_frozen_t *region = region_of(self);
    if (Py_TYPE(self) == ot_as_handle(self)->home->frozen->anchor ||
        node_of(self) == root_of(region)) {
        return Py_NewRef(Py_None);
    }
    uint64_t address = (uint64_t)(uintptr_t)node_of(self);
    place_t place = {address, proof_of(region, address)};
    return PyBytes_FromStringAndSize((char *)&place, sizeof place);
}

static PyObject *
make(struct ot_objects *home, ot_shared_t *shared, PyObject *from)
{
    PyObject *anchor = ot_handle_alloc_steal(home, home->frozen->anchor, shared), *view = NULL;
    if (anchor == NULL) {
        return NULL;
    }
    place_t place;
    if (from == Py_None) {
        view = ot_frozen_view(anchor, root_of((ot_frozen_t *)shared));
    } else if (PyBytes_Check(from) && PyBytes_GET_SIZE(from) == sizeof place) {
        memcpy(&place, PyBytes_AS_STRING(from), sizeof place);
        if (place.proof == proof_of((ot_frozen_t *)shared, place.address)) {
            view = ot_frozen_view(anchor, (PyObject *)(uintptr_t)place.address);
        }
    }
    if (view == NULL && !PyErr_Occurred()) {
        PyErr_SetString(PyExc_ValueError, "this is no part of the frozen tree");
    }
    Py_DECREF(anchor);
    return view;
}

static const ot_handle_extra_t extra = {save, NULL, make};

/* ---- freeze ------------------------------------------------------------------------------------- */

typedef struct {
    OT_VEC(PyObject *) todo; /* borrowed */
    ot_ptrmap_t seen;
    bool no_memory;
} search_t;

static int
note(PyObject *o, void *arg)
{
    search_t *s = arg;
    if (ot_ptrmap_get(&s->seen, o) == NULL &&
        (ot_ptrmap_add(&s->seen, o, 0) < 0 || ot_vec_push(&s->todo, o) < 0)) {
        s->no_memory = true;
        return -1;
    }
    return 0;
}

/* Nobody else's type is called so: a subclass has a name of its own. */
static bool
is_array(PyObject *o)
{
    return strcmp(Py_TYPE(o)->tp_name, "array.array") == 0;
}

/* The first object that cannot be frozen. Borrowed; NULL with MemoryError, or without if none. */
static PyObject *
find_culprit(PyObject *root)
{
    search_t s = {0};
    PyObject *culprit = NULL;
    (void)note(root, &s);
    while (culprit == NULL && s.todo.len > 0 && !s.no_memory) {
        PyObject *o = s.todo.items[--s.todo.len];
        if (ot_is_process_static(o)) {
            continue;
        }
        if (ot_kind_static(Py_TYPE(o)) == NULL && !is_array(o)) {
            culprit = o;
        } else if (Py_TYPE(o)->tp_traverse != NULL) {
            (void)Py_TYPE(o)->tp_traverse(o, note, &s);
        }
    }
    if (s.no_memory) {
        PyErr_NoMemory();
    }
    ot_vec_free(&s.todo);
    ot_ptrmap_free(&s.seen);
    return culprit;
}

static PyObject *
raise_unfit(PyObject *root)
{
    PyObject *culprit = Py_XNewRef(find_culprit(root));
    if (culprit == NULL) {
        return PyErr_Occurred() ? NULL
                                : PyErr_Format(PyExc_TypeError, "$: this %s cannot be frozen",
                                               Py_TYPE(root)->tp_name);
    }
    PyObject *path = ot_path_to(root, culprit);
    if (path != NULL) {
        PyErr_Format(PyExc_TypeError,
                     "%U: a %s cannot be frozen: only built-in types (list, tuple, dict, set, str, "
                     "bytes, numbers, ...) and array.array can",
                     path, Py_TYPE(culprit)->tp_name);
        Py_DECREF(path);
    }
    Py_DECREF(culprit);
    return NULL;
}

static bool
can_be_frozen(const ot_value_t *v)
{
    return v->form < OT_VALUE_HANDLE ||
           (v->form == OT_VALUE_TREE && !ot_rest_has_tunnels(v->u.rest));
}

static bool
has_views(const ot_value_t *v)
{
    PyObject *root = root_in(v);
    return root != NULL && ot_frozen_type_of(root) != OT_FROZEN_TYPES;
}

/* Refs: steals content, also on failure. */
static PyObject *
new_region(ot_objects_t *home, ot_value_t *content)
{
    ot_frozen_t *region = calloc(1, sizeof *region);
    if (region == NULL) {
        ot_value_unref(content);
        return PyErr_NoMemory();
    }
    region->content = content;
    if (getrandom(&region->secret, sizeof region->secret, 0) != (ssize_t)sizeof region->secret) {
        ot_value_unref(content);
        free(region);
        return PyErr_SetFromErrno(PyExc_OSError);
    }
    ot_shared_init(&region->head, &ot_frozen_kind);
    return make(home, &region->head, Py_None);
}

static PyObject *
freeze(PyObject *module, PyObject *tree)
{
    (void)module;
    ot_objects_t *home = ot_objects_current();
    if (home == NULL) {
        return NULL;
    }
    if (ot_is_frozen_view(tree)) {
        return Py_NewRef(tree);
    }
    ot_value_t *v = ot_value_new(home, tree);
    if (v == NULL) {
        return NULL;
    }
    if (!can_be_frozen(v)) {
        PyObject *back = ot_value_take(home, v); /* what was in a temporary is there again */
        if (back == NULL) {
            ot_value_unref(v);
            return NULL;
        }
        raise_unfit(back);
        Py_DECREF(back);
        return NULL;
    }
    if (has_views(v)) {
        return new_region(home, v);
    }
    PyObject *same = ot_value_take(home, v); /* a number, a str: is constant anyway */
    if (same == NULL) {
        ot_value_unref(v);
    }
    return same;
}

/* ---- what all views have ------------------------------------------------------------------------ */

static void
view_dealloc(PyObject *self)
{
    if (ot_as_frozen(self)->weakrefs != NULL) {
        PyObject_ClearWeakRefs(self);
    }
    ot_frozen_view_free(ot_as_frozen(self));
}

static PyObject *
view_thaw(PyObject *self, PyObject *unused)
{
    (void)unused;
    return ot_frozen_thaw(ot_as_frozen(self), node_of(self));
}

static PyObject *
view_repr(PyObject *self)
{
    PyObject *thawed = view_thaw(self, NULL);
    const char *dot = strrchr(Py_TYPE(self)->tp_name, '.');
    PyObject *repr = thawed == NULL ? NULL : PyUnicode_FromFormat("%s(%R)", dot + 1, thawed);
    Py_XDECREF(thawed);
    return repr;
}

static Py_ssize_t
view_length(PyObject *self)
{
    return ot_frozen_length(node_of(self));
}

/* The thawed object's hash: equal objects have equal ones. */
static Py_hash_t
view_hash(PyObject *self)
{
    PyObject *thawed = view_thaw(self, NULL);
    Py_hash_t hash = thawed == NULL ? -1 : PyObject_Hash(thawed);
    Py_XDECREF(thawed);
    return hash;
}

/* A new reference to what o is without views. */
static PyObject *
thawed_of(PyObject *o)
{
    return ot_is_frozen_view(o) ? view_thaw(o, NULL) : Py_NewRef(o);
}

/* By thawed copies of both: for what is seldom compared. */
static PyObject *
compare_thawed(PyObject *self, PyObject *other, int op)
{
    PyObject *a = view_thaw(self, NULL), *b = a == NULL ? NULL : thawed_of(other);
    PyObject *result = b == NULL ? NULL : PyObject_RichCompare(a, b, op);
    Py_XDECREF(a);
    Py_XDECREF(b);
    return result;
}

/* ---- iterators ---------------------------------------------------------------------------------- */

typedef enum { KEYS, VALUES, ITEMS } iterated_t;

/* A loop has the last number in its variable while it asks for the next: two take turns. */
enum { SPARES = 2 };

typedef struct {
    PyObject_HEAD
    PyObject *view; /* owned; NULL at the end */
    ot_frozen_at_t at;
    iterated_t what;
    PyObject *spare[SPARES]; /* owned: ints given out, to be overwritten once nobody has them */
} iterator_t;

static PyObject *
new_iterator(PyObject *view, iterated_t what)
{
    iterator_t *it = PyObject_New(iterator_t, ot_as_handle(view)->home->frozen->iterator);
    if (it != NULL) {
        it->view = Py_NewRef(view);
        it->at = (ot_frozen_at_t){0};
        it->what = what;
        memset(it->spare, 0, sizeof it->spare);
    }
    return (PyObject *)it;
}

static void
iterator_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    Py_XDECREF(((iterator_t *)self)->view);
    for (int i = 0; i < SPARES; i++) {
        Py_XDECREF(((iterator_t *)self)->spare[i]);
    }
    PyObject_Free(self);
    Py_DECREF(type);
}

static PyObject **
items_of(PyObject *node)
{
    return PyList_CheckExact(node) ? ((PyListObject *)node)->ob_item
                                   : ((PyTupleObject *)node)->ob_item;
}

/* The next element of a list or tuple; NULL at the end. Borrowed from the region. */
static PyObject *
next_item(PyObject *node, ot_frozen_at_t *at)
{
    if (at->pos >= Py_SIZE(node)) {
        return NULL;
    }
    return items_of(node)[at->pos++];
}

static PyObject *
pair_of(ot_frozen_view_t *view, PyObject *key, PyObject *value)
{
    PyObject *k = ot_frozen_read(view, key), *v = k == NULL ? NULL : ot_frozen_read(view, value);
    PyObject *pair = v == NULL ? NULL : PyTuple_Pack(2, k, v);
    Py_XDECREF(k);
    Py_XDECREF(v);
    return pair;
}

/* As zip does it with its tuples: an int that came from here and that nobody has any more is given
 * out again with another value. New. */
static PyObject *
next_int(iterator_t *it, PyObject *node)
{
    for (int i = 0; i < SPARES; i++) {
        if (it->spare[i] == NULL) {
            PyObject *made = ot_frozen_read(ot_as_frozen(it->view), node);
            it->spare[i] = Py_XNewRef(made);
            return made;
        }
        if (Py_REFCNT(it->spare[i]) == 1 && ot_int_overwrite(it->spare[i], node)) {
            return Py_NewRef(it->spare[i]);
        }
    }
    return ot_frozen_read(ot_as_frozen(it->view), node);
}

static PyObject *
iterator_next(PyObject *self)
{
    iterator_t *it = (iterator_t *)self;
    if (it->view == NULL) {
        return NULL;
    }
    ot_frozen_view_t *view = ot_as_frozen(it->view);
    PyObject *key = NULL, *value = NULL;
    if (PyList_CheckExact(view->node) || PyTuple_CheckExact(view->node)) {
        key = next_item(view->node, &it->at);
    } else if (!ot_frozen_next(view->node, &it->at, &key, &value)) {
        key = NULL;
    }
    if (key == NULL) {
        Py_CLEAR(it->view);
        return NULL;
    }
    if (it->what == ITEMS) {
        return pair_of(view, key, value);
    }
    PyObject *node = it->what == KEYS ? key : value;
    return ot_int_takes_one_digit(node) ? next_int(it, node) : ot_frozen_read(view, node);
}

static PyObject *
view_iter(PyObject *self)
{
    return new_iterator(self, KEYS);
}

/* ---- list and tuple ----------------------------------------------------------------------------- */

/* Borrowed from the region; NULL with IndexError. */
static PyObject *
node_at(PyObject *self, Py_ssize_t i)
{
    if (i < 0 || i >= Py_SIZE(node_of(self))) {
        PyErr_SetString(PyExc_IndexError, "index out of range");
        return NULL;
    }
    return items_of(node_of(self))[i];
}

static PyObject *
sequence_item(PyObject *self, Py_ssize_t i)
{
    PyObject *node = node_at(self, i);
    return node == NULL ? NULL : ot_frozen_read(ot_as_frozen(self), node);
}

static PyObject *
sequence_slice(PyObject *self, PyObject *slice)
{
    Py_ssize_t start, stop, step;
    if (PySlice_Unpack(slice, &start, &stop, &step) < 0) {
        return NULL;
    }
    Py_ssize_t n = PySlice_AdjustIndices(Py_SIZE(node_of(self)), &start, &stop, step);
    bool is_list = PyList_CheckExact(node_of(self));
    PyObject *part = is_list ? PyList_New(n) : PyTuple_New(n);
    for (Py_ssize_t i = 0; part != NULL && i < n; i++) {
        PyObject *o = sequence_item(self, start + i * step);
        if (o == NULL) {
            Py_CLEAR(part);
        } else if (is_list) {
            PyList_SET_ITEM(part, i, o);
        } else {
            PyTuple_SET_ITEM(part, i, o);
        }
    }
    return part;
}

static PyObject *
sequence_subscript(PyObject *self, PyObject *index)
{
    Py_ssize_t i;
    if (PyLong_CheckExact(index) && PyUnstable_Long_IsCompact((PyLongObject *)index)) {
        i = PyUnstable_Long_CompactValue((PyLongObject *)index);
    } else if (PySlice_Check(index)) {
        return sequence_slice(self, index);
    } else {
        i = PyNumber_AsSsize_t(index, PyExc_IndexError);
        if (i == -1 && PyErr_Occurred()) {
            return NULL;
        }
    }
    PyObject *node = node_at(self, i < 0 ? i + Py_SIZE(node_of(self)) : i);
    return node == NULL ? NULL : ot_frozen_get(ot_as_frozen(self), node);
}

/* Calls found(arg) for each element that equals `o`, until it returns false. 0, or -1. */
static int
find_equal(PyObject *self, PyObject *o, Py_ssize_t from, Py_ssize_t to,
           bool (*found)(Py_ssize_t i, Py_ssize_t *arg), Py_ssize_t *arg)
{
    for (Py_ssize_t i = from; i < to && i < Py_SIZE(node_of(self)); i++) {
        PyObject *item = sequence_item(self, i);
        int equal = item == NULL ? -1 : PyObject_RichCompareBool(item, o, Py_EQ);
        Py_XDECREF(item);
        if (equal < 0) {
            return -1;
        }
        if (equal && !found(i, arg)) {
            break;
        }
    }
    return 0;
}

static bool
is_first(Py_ssize_t i, Py_ssize_t *at)
{
    *at = i;
    return false;
}

static bool
is_one_more(Py_ssize_t i, Py_ssize_t *n)
{
    (void)i;
    ++*n;
    return true;
}

static int
sequence_contains(PyObject *self, PyObject *o)
{
    Py_ssize_t at = -1;
    return find_equal(self, o, 0, PY_SSIZE_T_MAX, is_first, &at) < 0 ? -1 : at >= 0;
}

static PyObject *
sequence_count(PyObject *self, PyObject *o)
{
    Py_ssize_t n = 0;
    return find_equal(self, o, 0, PY_SSIZE_T_MAX, is_one_more, &n) < 0 ? NULL
                                                                       : PyLong_FromSsize_t(n);
}

static PyObject *
sequence_index(PyObject *self, PyObject *args)
{
    PyObject *o;
    Py_ssize_t from = 0, to = PY_SSIZE_T_MAX, at = -1, n = Py_SIZE(node_of(self));
    if (!PyArg_ParseTuple(args, "O|nn:index", &o, &from, &to)) {
        return NULL;
    }
    from = from < 0 ? from + n : from;
    to = to < 0 ? to + n : to;
    if (find_equal(self, o, from < 0 ? 0 : from, to, is_first, &at) < 0) {
        return NULL;
    }
    return at < 0 ? PyErr_Format(PyExc_ValueError, "%R is not in it", o) : PyLong_FromSsize_t(at);
}

/* 1, 0, or -1: whether all elements equal those of `other`, which has as many. */
static int
same_items(PyObject *self, PyObject *other)
{
    for (Py_ssize_t i = 0; i < Py_SIZE(node_of(self)); i++) {
        PyObject *a = sequence_item(self, i), *b = a == NULL ? NULL : PySequence_GetItem(other, i);
        int equal = b == NULL ? -1 : PyObject_RichCompareBool(a, b, Py_EQ);
        Py_XDECREF(a);
        Py_XDECREF(b);
        if (equal <= 0) {
            return equal;
        }
    }
    return 1;
}

static PyObject *
truth(int equal, int op)
{
    return equal < 0 ? NULL : PyBool_FromLong(equal == (op == Py_EQ));
}

/* Views that show the same are equal; so are those of the same list in two interpreters. */
static bool
shows_the_same(PyObject *a, PyObject *b)
{
    return Py_IS_TYPE(a, Py_TYPE(b)) && node_of(a) == node_of(b);
}

static PyObject *
sequence_compare(PyObject *self, PyObject *other, int op)
{
    bool is_list = PyList_CheckExact(node_of(self));
    bool alike =
        Py_IS_TYPE(other, Py_TYPE(self)) || (is_list ? PyList_Check(other) : PyTuple_Check(other));
    if (!alike) {
        Py_RETURN_NOTIMPLEMENTED;
    }
    if (op != Py_EQ && op != Py_NE) {
        return compare_thawed(self, other, op);
    }
    if (shows_the_same(self, other)) {
        return truth(1, op);
    }
    if (Py_EnterRecursiveCall(" in comparison")) {
        return NULL;
    }
    Py_ssize_t n = PySequence_Size(other);
    int equal = n < 0 ? -1 : n == Py_SIZE(node_of(self)) ? same_items(self, other) : 0;
    Py_LeaveRecursiveCall();
    return truth(equal, op);
}

/* ---- dict --------------------------------------------------------------------------------------- */

static PyObject *
dict_subscript(PyObject *self, PyObject *key)
{
    PyObject *found;
    int there = ot_frozen_find(ot_as_frozen(self), key, &found);
    if (there > 0) {
        return ot_frozen_get(ot_as_frozen(self), found);
    }
    if (there == 0) {
        PyErr_SetObject(PyExc_KeyError, key);
    }
    return NULL;
}

static PyObject *
dict_get(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    if (nargs < 1 || nargs > 2) {
        return PyErr_Format(PyExc_TypeError, "get expected 1 or 2 arguments, got %zd", nargs);
    }
    PyObject *found;
    int there = ot_frozen_find(ot_as_frozen(self), args[0], &found);
    if (there < 0) {
        return NULL;
    }
    return there ? ot_frozen_get(ot_as_frozen(self), found)
                 : Py_NewRef(nargs == 2 ? args[1] : Py_None);
}

static int
view_contains(PyObject *self, PyObject *key)
{
    PyObject *found;
    return ot_frozen_find(ot_as_frozen(self), key, &found);
}

/* keys(), values() and items() are objects with dict's interface, by collections.abc. */
static PyObject *
show(PyObject *self, const char *name)
{
    PyObject *module = PyImport_ImportModule("objtunnel._frozen");
    PyObject *shown = module == NULL ? NULL : PyObject_CallMethod(module, name, "O", self);
    Py_XDECREF(module);
    return shown;
}

static PyObject *
dict_keys(PyObject *self, PyObject *unused)
{
    (void)unused;
    return show(self, "Keys");
}

static PyObject *
dict_values(PyObject *self, PyObject *unused)
{
    (void)unused;
    return show(self, "Values");
}

static PyObject *
dict_items(PyObject *self, PyObject *unused)
{
    (void)unused;
    return show(self, "Items");
}

static PyObject *
dict_iter_values(PyObject *self, PyObject *unused)
{
    (void)unused;
    return new_iterator(self, VALUES);
}

static PyObject *
dict_iter_items(PyObject *self, PyObject *unused)
{
    (void)unused;
    return new_iterator(self, ITEMS);
}

/* 1, 0, or -1: whether `other`, a dict or a view of one of the same size, has the same items. */
static int
same_entries(PyObject *self, PyObject *other)
{
    ot_frozen_at_t at = {0};
    PyObject *key, *value;
    int equal = 1;
    while (equal > 0 && ot_frozen_next(node_of(self), &at, &key, &value)) {
        PyObject *pair = pair_of(ot_as_frozen(self), key, value), *its = NULL;
        if (pair == NULL) {
            return -1;
        }
        its = PyObject_GetItem(other, PyTuple_GET_ITEM(pair, 0));
        if (its != NULL) {
            equal = PyObject_RichCompareBool(PyTuple_GET_ITEM(pair, 1), its, Py_EQ);
        } else {
            equal = PyErr_ExceptionMatches(PyExc_KeyError) ? 0 : -1;
            if (equal == 0) {
                PyErr_Clear();
            }
        }
        Py_XDECREF(its);
        Py_DECREF(pair);
    }
    return equal;
}

static PyObject *
dict_compare(PyObject *self, PyObject *other, int op)
{
    bool alike = Py_IS_TYPE(other, Py_TYPE(self)) || PyDict_Check(other);
    if (!alike || (op != Py_EQ && op != Py_NE)) {
        Py_RETURN_NOTIMPLEMENTED;
    }
    if (shows_the_same(self, other)) {
        return truth(1, op);
    }
    if (Py_EnterRecursiveCall(" in comparison")) {
        return NULL;
    }
    Py_ssize_t n = PyObject_Size(other);
    int equal = n < 0 ? -1 : n == view_length(self) ? same_entries(self, other) : 0;
    Py_LeaveRecursiveCall();
    return truth(equal, op);
}

/* ---- set ---------------------------------------------------------------------------------------- */

static PyObject *
set_compare(PyObject *self, PyObject *other, int op)
{
    if (!Py_IS_TYPE(other, Py_TYPE(self)) && !PyAnySet_Check(other)) {
        Py_RETURN_NOTIMPLEMENTED;
    }
    return compare_thawed(self, other, op);
}

/* Either may be the view. */
static PyObject *
set_binary(PyObject *a, PyObject *b, binaryfunc operation)
{
    PyObject *x = thawed_of(a), *y = x == NULL ? NULL : thawed_of(b), *result = NULL;
    if (y != NULL) {
        bool sets = PyAnySet_Check(x) && PyAnySet_Check(y);
        result = sets ? operation(x, y) : Py_NewRef(Py_NotImplemented);
    }
    Py_XDECREF(x);
    Py_XDECREF(y);
    return result;
}

static PyObject *
set_and(PyObject *a, PyObject *b)
{
    return set_binary(a, b, PyNumber_And);
}

static PyObject *
set_or(PyObject *a, PyObject *b)
{
    return set_binary(a, b, PyNumber_Or);
}

static PyObject *
set_subtract(PyObject *a, PyObject *b)
{
    return set_binary(a, b, PyNumber_Subtract);
}

static PyObject *
set_xor(PyObject *a, PyObject *b)
{
    return set_binary(a, b, PyNumber_Xor);
}

static PyObject *
set_isdisjoint(PyObject *self, PyObject *other)
{
    PyObject *thawed = view_thaw(self, NULL), *theirs = NULL, *result = NULL;
    if (thawed != NULL && (theirs = thawed_of(other)) != NULL) {
        result = PyObject_CallMethod(thawed, "isdisjoint", "O", theirs);
    }
    Py_XDECREF(thawed);
    Py_XDECREF(theirs);
    return result;
}

/* ---- bytes -------------------------------------------------------------------------------------- */

static int
bytes_getbuffer(PyObject *self, Py_buffer *buffer, int flags)
{
    PyObject *node = node_of(self);
    return PyBuffer_FillInfo(buffer, self, (void *)ot_frozen_data(node), Py_SIZE(node), 1, flags);
}

static PyObject *
bytes_item(PyObject *self, Py_ssize_t i)
{
    if (i < 0 || i >= Py_SIZE(node_of(self))) {
        PyErr_SetString(PyExc_IndexError, "index out of range");
        return NULL;
    }
    return PyLong_FromLong((unsigned char)ot_frozen_data(node_of(self))[i]);
}

/* A number, or bytes of the reader's own. */
static PyObject *
bytes_subscript(PyObject *self, PyObject *index)
{
    if (PySlice_Check(index)) {
        PyObject *memory = PyMemoryView_FromObject(self);
        PyObject *part = memory == NULL ? NULL : PyObject_GetItem(memory, index);
        PyObject *bytes = part == NULL ? NULL : PyBytes_FromObject(part);
        Py_XDECREF(memory);
        Py_XDECREF(part);
        return bytes;
    }
    Py_ssize_t i = PyNumber_AsSsize_t(index, PyExc_IndexError);
    if (i == -1 && PyErr_Occurred()) {
        return NULL;
    }
    return bytes_item(self, i < 0 ? i + Py_SIZE(node_of(self)) : i);
}

static PyObject *
bytes_compare(PyObject *self, PyObject *other, int op)
{
    if (!PyObject_CheckBuffer(other) || (op != Py_EQ && op != Py_NE)) {
        Py_RETURN_NOTIMPLEMENTED;
    }
    Py_buffer theirs;
    if (PyObject_GetBuffer(other, &theirs, PyBUF_SIMPLE) < 0) {
        PyErr_Clear(); /* not bytes-like enough to be equal */
        Py_RETURN_NOTIMPLEMENTED;
    }
    PyObject *node = node_of(self);
    int equal = theirs.len == Py_SIZE(node) &&
                memcmp(theirs.buf, ot_frozen_data(node), (size_t)theirs.len) == 0;
    PyBuffer_Release(&theirs);
    return truth(equal, op);
}

/* ---- array -------------------------------------------------------------------------------------- */

static const ot_array_descr_t *
descr_of(PyObject *self)
{
    return ((ot_array_t *)node_of(self))->ob_descr;
}

/* As array.array has it: Unicode characters are "w". */
static const char *
format_of(PyObject *self)
{
    static const char codes[] = "b\0B\0w\0h\0H\0i\0I\0l\0L\0q\0Q\0f\0d";
    char code = descr_of(self)->typecode == 'u' ? 'w' : descr_of(self)->typecode;
    for (size_t i = 0; i < sizeof codes; i += 2) {
        if (codes[i] == code) {
            return &codes[i];
        }
    }
    return NULL;
}

static int
array_getbuffer(PyObject *self, Py_buffer *buffer, int flags)
{
    ot_array_t *array = (ot_array_t *)node_of(self);
    static char nothing[1];
    Py_ssize_t size = descr_of(self)->itemsize;
    void *items = array->ob_item == NULL ? nothing : array->ob_item;
    if (format_of(self) == NULL) {
        PyErr_Format(PyExc_BufferError, "no buffer of an array of typecode '%c'",
                     descr_of(self)->typecode);
        return -1;
    }
    if (PyBuffer_FillInfo(buffer, self, items, Py_SIZE(array) * size, 1, flags) < 0) {
        return -1;
    }
    buffer->itemsize = size;
    if (flags & PyBUF_FORMAT) {
        buffer->format = (char *)format_of(self);
    }
    if ((flags & PyBUF_ND) == PyBUF_ND) {
        buffer->shape = &((PyVarObject *)array)->ob_size;
    }
    if ((flags & PyBUF_STRIDES) == PyBUF_STRIDES) {
        buffer->strides = &buffer->itemsize;
    }
    return 0;
}

/* A number, or for a slice a memoryview. */
static PyObject *
array_subscript(PyObject *self, PyObject *index)
{
    PyObject *memory = PyMemoryView_FromObject(self);
    PyObject *part = memory == NULL ? NULL : PyObject_GetItem(memory, index);
    Py_XDECREF(memory);
    return part;
}

static PyObject *
array_iter(PyObject *self)
{
    PyObject *memory = PyMemoryView_FromObject(self);
    PyObject *it = memory == NULL ? NULL : PyObject_GetIter(memory);
    Py_XDECREF(memory);
    return it;
}

static PyObject *
array_tolist(PyObject *self, PyObject *unused)
{
    (void)unused;
    PyObject *memory = PyMemoryView_FromObject(self);
    PyObject *list = memory == NULL ? NULL : PyObject_CallMethod(memory, "tolist", NULL);
    Py_XDECREF(memory);
    return list;
}

/* Of the list's of that name: as in array.array, which looks at one number after the other, too. */
static PyObject *
array_by_list(PyObject *self, const char *name, PyObject *args)
{
    PyObject *list = array_tolist(self, NULL);
    PyObject *method = list == NULL ? NULL : PyObject_GetAttrString(list, name);
    PyObject *result = method == NULL ? NULL : PyObject_CallObject(method, args);
    Py_XDECREF(list);
    Py_XDECREF(method);
    return result;
}

static PyObject *
array_count(PyObject *self, PyObject *args)
{
    return array_by_list(self, "count", args);
}

static PyObject *
array_index(PyObject *self, PyObject *args)
{
    return array_by_list(self, "index", args);
}

static PyObject *
array_compare(PyObject *self, PyObject *other, int op)
{
    if (!PyObject_CheckBuffer(other) || (op != Py_EQ && op != Py_NE)) {
        Py_RETURN_NOTIMPLEMENTED;
    }
    PyObject *memory = PyMemoryView_FromObject(self);
    PyObject *result = memory == NULL ? NULL : PyObject_RichCompare(memory, other, op);
    Py_XDECREF(memory);
    return result;
}

static PyObject *
array_typecode(PyObject *self, void *unused)
{
    (void)unused;
    return PyUnicode_FromFormat("%c", descr_of(self)->typecode);
}

static PyObject *
array_itemsize(PyObject *self, void *unused)
{
    (void)unused;
    return PyLong_FromLong(descr_of(self)->itemsize);
}

/* ---- the types ---------------------------------------------------------------------------------- */

#define COMMON_METHODS                                                                             \
    {"thaw", view_thaw, METH_NOARGS,                                                               \
     "thaw($self)\n--\n\nAn ordinary, equal object of your own, copied whole."},                   \
    {                                                                                              \
        "__reduce__", ot_handle_reduce, METH_NOARGS, NULL                                          \
    }

static PyMethodDef sequence_methods[] = {
    COMMON_METHODS,
    {"count", sequence_count, METH_O,
     "count($self, value, /)\n--\n\nHow many elements equal value."},
    {"index", sequence_index, METH_VARARGS,
     "index($self, value, start=0, stop=sys.maxsize, /)\n--\n\n"
     "Where the first element is that equals value. Raises ValueError."},
    {NULL, NULL, 0, NULL},
};

static PyMethodDef dict_methods[] = {
    COMMON_METHODS,
    {"get", (PyCFunction)(void (*)(void))dict_get, METH_FASTCALL,
     "get($self, key, default=None, /)\n--\n\nThe key's value, or default."},
    {"keys", dict_keys, METH_NOARGS, "keys($self)\n--\n\nThe keys, like dict's."},
    {"values", dict_values, METH_NOARGS, "values($self)\n--\n\nThe values, like dict's."},
    {"items", dict_items, METH_NOARGS, "items($self)\n--\n\nThe pairs, like dict's."},
    {"_iter_values", dict_iter_values, METH_NOARGS, NULL},
    {"_iter_items", dict_iter_items, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyMethodDef set_methods[] = {
    COMMON_METHODS,
    {"isdisjoint", set_isdisjoint, METH_O,
     "isdisjoint($self, other, /)\n--\n\nWhether they have no element in common."},
    {NULL, NULL, 0, NULL},
};

static PyMethodDef bytes_methods[] = {COMMON_METHODS, {NULL, NULL, 0, NULL}};

static PyMethodDef array_methods[] = {
    COMMON_METHODS,
    {"tolist", array_tolist, METH_NOARGS, "tolist($self)\n--\n\nThe numbers as a list."},
    {"count", array_count, METH_VARARGS,
     "count($self, value, /)\n--\n\nHow many numbers equal value."},
    {"index", array_index, METH_VARARGS,
     "index($self, value, start=0, stop=sys.maxsize, /)\n--\n\n"
     "Where the first number is that equals value. Raises ValueError."},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef members[] = {
    {"__weaklistoffset__", Py_T_PYSSIZET, offsetof(ot_frozen_view_t, weakrefs), Py_READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyGetSetDef getset[] = {
    {"id", ot_handle_id, NULL, "Number of the whole frozen tree, unique in the process.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

#define VIEW_SLOTS(doc, compare, hash, methods)                                                    \
    {Py_tp_doc, doc}, {Py_tp_dealloc, view_dealloc}, {Py_tp_repr, view_repr},                      \
        {Py_tp_richcompare, compare}, {Py_tp_hash, hash}, {Py_tp_methods, methods},                \
        {Py_tp_members, members}, {Py_tp_getset, getset}, {Py_mp_length, view_length},             \
    {                                                                                              \
        Py_sq_length, view_length                                                                  \
    }

#define SEQUENCE_SLOTS(doc, hash)                                                                  \
    {                                                                                              \
        VIEW_SLOTS(doc, sequence_compare, hash, sequence_methods), {Py_tp_iter, view_iter},        \
            {Py_sq_item, sequence_item}, {Py_sq_contains, sequence_contains},                      \
            {Py_mp_subscript, sequence_subscript},                                                 \
        {                                                                                          \
            0, NULL                                                                                \
        }                                                                                          \
    }

static PyType_Slot list_slots[] =
    SEQUENCE_SLOTS("A list of a frozen tree; see freeze().", PyObject_HashNotImplemented);

static PyType_Slot tuple_slots[] =
    SEQUENCE_SLOTS("A tuple of a frozen tree; see freeze().", view_hash);

static PyType_Slot dict_slots[] = {
    VIEW_SLOTS("A dict of a frozen tree; see freeze().", dict_compare, PyObject_HashNotImplemented,
               dict_methods),
    {Py_tp_iter, view_iter},
    {Py_sq_contains, view_contains},
    {Py_mp_subscript, dict_subscript},
    {0, NULL},
};

static PyType_Slot set_slots[] = {
    VIEW_SLOTS("A set or frozenset of a frozen tree; see freeze().", set_compare, view_hash,
               set_methods),
    {Py_tp_iter, view_iter},
    {Py_sq_contains, view_contains},
    {Py_nb_and, set_and},
    {Py_nb_or, set_or},
    {Py_nb_subtract, set_subtract},
    {Py_nb_xor, set_xor},
    {0, NULL},
};

static PyType_Slot bytes_slots[] = {
    VIEW_SLOTS("Long bytes, or a bytearray, of a frozen tree: a buffer; see freeze().",
               bytes_compare, view_hash, bytes_methods),
    {Py_sq_item, bytes_item},
    {Py_mp_subscript, bytes_subscript},
    {Py_bf_getbuffer, bytes_getbuffer},
    {0, NULL},
};

static PyGetSetDef array_getset[] = {
    {"id", ot_handle_id, NULL, "Number of the whole frozen tree, unique in the process.", NULL},
    {"typecode", array_typecode, NULL, "Type of the elements, as in array.array.", NULL},
    {"itemsize", array_itemsize, NULL, "Bytes of an element.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot array_slots[] = {
    {Py_tp_doc, "An array.array of a frozen tree: a buffer; see freeze()."},
    {Py_tp_dealloc, view_dealloc},
    {Py_tp_repr, view_repr},
    {Py_tp_richcompare, array_compare},
    {Py_tp_hash, PyObject_HashNotImplemented},
    {Py_tp_iter, array_iter},
    {Py_tp_methods, array_methods},
    {Py_tp_members, members},
    {Py_tp_getset, array_getset},
    {Py_mp_length, view_length},
    {Py_mp_subscript, array_subscript},
    {Py_bf_getbuffer, array_getbuffer},
    {0, NULL},
};

static PyType_Slot anchor_slots[] = {
    {Py_tp_doc, "Keeps a frozen tree for the views of this interpreter."},
    {Py_tp_dealloc, ot_handle_dealloc},
    {Py_tp_traverse, ot_handle_traverse},
    {0, NULL},
};

static PyType_Slot iterator_slots[] = {
    {Py_tp_dealloc, iterator_dealloc},
    {Py_tp_iter, PyObject_SelfIter},
    {Py_tp_iternext, iterator_next},
    {0, NULL},
};

#define FLAGS (Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION)

static PyType_Spec anchor_spec = {"objtunnel._FrozenAnchor", sizeof(ot_handle_t), 0,
                                  OT_HANDLE_FLAGS | Py_TPFLAGS_DISALLOW_INSTANTIATION,
                                  anchor_slots};
static PyType_Spec iterator_spec = {"objtunnel._FrozenIterator", sizeof(iterator_t), 0, FLAGS,
                                    iterator_slots};

/* In the order of ot_frozen_type_t; with the abstract class that each is one of. */
static struct {
    PyType_Spec spec;
    const char *abstract;
} views[] = {
    {{"objtunnel.FrozenList", sizeof(ot_frozen_view_t), 0, FLAGS | Py_TPFLAGS_SEQUENCE, list_slots},
     "Sequence"},
    {{"objtunnel.FrozenTuple", sizeof(ot_frozen_view_t), 0, FLAGS | Py_TPFLAGS_SEQUENCE,
      tuple_slots},
     "Sequence"},
    {{"objtunnel.FrozenDict", sizeof(ot_frozen_view_t), 0, FLAGS | Py_TPFLAGS_MAPPING, dict_slots},
     "Mapping"},
    {{"objtunnel.FrozenSet", sizeof(ot_frozen_view_t), 0, FLAGS, set_slots}, "Set"},
    {{"objtunnel.FrozenBytes", sizeof(ot_frozen_view_t), 0, FLAGS, bytes_slots}, NULL},
    {{"objtunnel.FrozenArray", sizeof(ot_frozen_view_t), 0, FLAGS, array_slots}, NULL},
};

static PyMethodDef functions[] = {
    {"freeze", freeze, METH_O,
     "freeze($module, tree, /)\n--\n\n"
     "A constant copy of a tree that all interpreters read at once, without locks.\n\n"
     "Goes in by the rule of all containers: a temporary is moved, anything else copied. What\n"
     "comes back is a FrozenList, FrozenDict, ...: reading it gives numbers, str and short bytes\n"
     "as ordinary objects, and views of its parts. Raises TypeError, naming the place, for\n"
     "anything but built-in types.\n\n"
     ">>> f = freeze({'a': [1, 2]}); f['a'][1], f == {'a': [1, 2]}\n(2, True)"},
    {NULL, NULL, 0, NULL},
};

/* isinstance(view, collections.abc.Sequence) and the like. */
static int
register_as(PyTypeObject *type, const char *abstract)
{
    PyObject *abc = PyImport_ImportModule("collections.abc");
    PyObject *class = abc == NULL ? NULL : PyObject_GetAttrString(abc, abstract);
    PyObject *done = class == NULL ? NULL : PyObject_CallMethod(class, "register", "O", type);
    Py_XDECREF(abc);
    Py_XDECREF(class);
    Py_XDECREF(done);
    return done == NULL ? -1 : 0;
}

int
ot_frozen_types_traverse(ot_frozen_types_t *types, visitproc visit, void *arg)
{
    if (types != NULL) {
        Py_VISIT(types->iterator);
    }
    return 0;
}

void
ot_frozen_types_free(ot_frozen_types_t *types)
{
    if (types != NULL) {
        Py_XDECREF(types->iterator);
        while (types->spare != NULL) {
            void **block = types->spare;
            types->spare = *block;
            PyObject_Free(block);
        }
        PyMem_RawFree(types);
    }
}

int
ot_frozen_types_add(ot_objects_t *home)
{
    home->frozen = PyMem_RawCalloc(1, sizeof *home->frozen);
    if (home->frozen == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    home->frozen->anchor = ot_handle_add_type(home, &ot_frozen_kind, &anchor_spec, &extra);
    home->frozen->iterator =
        (PyTypeObject *)PyType_FromModuleAndSpec(home->module, &iterator_spec, NULL);
    if (home->frozen->anchor == NULL || home->frozen->iterator == NULL) {
        return -1;
    }
    for (int i = 0; i < OT_FROZEN_TYPES; i++) {
        PyTypeObject *type = ot_handle_add_type(home, &ot_frozen_kind, &views[i].spec, &extra);
        home->frozen->view[i] = type;
        if (type == NULL ||
            (views[i].abstract != NULL && register_as(type, views[i].abstract) < 0)) {
            return -1;
        }
    }
    return PyModule_AddFunctions(home->module, functions);
}
