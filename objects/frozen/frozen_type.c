/* frozen_type.c: freeze() and the Python types of its views (see frozen.h).
 *
 * Main invariant: see frozen_view.h.
 * Threading: the GIL of the view's interpreter.
 */
#include "objects/frozen/frozen_view.h"

#include <stdlib.h>
#include <sys/random.h>

#include "runtime/checks.h"
#include "runtime/import.h"
#include "tunnel/constant.h"
#include "tunnel/kinds.h"
#include "tunnel/path.h"
#include "tunnel/ptrmap.h"
#include "tunnel/rest_copy.h"

/* ---- the region ------------------------------------------------------------------------------- */

/* Borrowed; NULL for a scalar. */
static PyObject *
root_in(const ot_value_t *v)
{
    PyObject *root = v->form == OT_VALUE_LEAF   ? v->u.object
                     : v->form == OT_VALUE_TREE ? ot_rest_root(v->u.rest)
                                                : NULL;
    return root == NULL ? NULL : ot_frozen_behind(root);
}

void
ot_frozen_check(const ot_frozen_t *region)
{
    uint64_t now = region->digest == 0 ? 0 : ot_tree_digest(root_in(region->content));
    OT_MUST(now == 0 || now == region->digest);
}

static void
frozen_free(ot_shared_t *self)
{
    OT_CHECK(ot_frozen_check((ot_frozen_t *)self));
    ot_value_unref(((ot_frozen_t *)self)->content);
    free(self);
}

static const ot_shared_kind_t frozen_kind = {"Frozen", frozen_free, NULL, NULL};

static PyObject *
root_of(const ot_frozen_t *region)
{
    return root_in(region->content);
}

/* ---- travelling ------------------------------------------------------------------------------- */

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

static bool
save(PyObject *self, void *to)
{
    ot_frozen_t *region = ot_view_region(self);
    if (Py_TYPE(self) == ot_as_handle(self)->home->frozen->anchor ||
        ot_view_node(self) == root_of(region)) {
        return false;
    }
    uint64_t address = (uint64_t)(uintptr_t)ot_view_node(self);
    place_t place = {address, proof_of(region, address)};
    memcpy(to, &place, sizeof place);
    return true;
}

static PyObject *
make(struct ot_objects *home, ot_shared_t *shared, const void *from)
{
    PyObject *anchor = ot_handle_alloc_steal(home, home->frozen->anchor, shared), *view = NULL;
    if (anchor == NULL) {
        return NULL;
    }
    place_t place;
    if (from == NULL) {
        view = ot_frozen_view(anchor, root_of((ot_frozen_t *)shared));
    } else {
        memcpy(&place, from, sizeof place);
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

static const ot_handle_extra_t extra = {.size = sizeof(place_t), .save = save, .make = make};

/* ---- freeze ----------------------------------------------------------------------------------- */

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

/* Nobody else's type is called so: a subclass has a name of its own. What else can be frozen,
 * _constants.py makes constants of. */
static bool
is_array_or_constant(PyObject *o)
{
    static const char *const names[] = {
        "array.array",       "datetime.date",      "datetime.time",
        "datetime.datetime", "datetime.timedelta", "datetime.timezone",
        "decimal.Decimal",   "Fraction",           "UUID",
    };
    for (size_t i = 0; i < Py_ARRAY_LENGTH(names); i++) {
        if (strcmp(Py_TYPE(o)->tp_name, names[i]) == 0) {
            return true;
        }
    }
    return ot_is_frozen_view(o);
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
        if (ot_kind_static(Py_TYPE(o)) == NULL && !is_array_or_constant(o)) {
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
        PyErr_Format(
            PyExc_TypeError,
            "%U: this %s cannot be frozen: only built-in types (list, tuple, dict, set, str, "
            "bytes, numbers, ...), array.array, dates, Decimal, Fraction and UUID can",
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
           (v->form == OT_VALUE_TREE && !ot_rest_has_placeholders(v->u.rest));
}

static bool
has_views(const ot_value_t *v)
{
    PyObject *root = root_in(v);
    return root != NULL && ot_frozen_type_of(root) != OT_FROZEN_TYPES;
}

/* NULL with an exception. Refs: steals content, also on failure. */
static ot_frozen_t *
new_region(ot_value_t *content)
{
    ot_frozen_t *region = calloc(1, sizeof *region);
    if (region == NULL) {
        ot_value_unref(content);
        PyErr_NoMemory();
        return NULL;
    }
    region->content = content;
    if (getrandom(&region->secret, sizeof region->secret, 0) != (ssize_t)sizeof region->secret) {
        ot_value_unref(content);
        free(region);
        PyErr_SetFromErrno(PyExc_OSError);
        return NULL;
    }
    OT_CHECK(region->digest = ot_tree_digest(root_in(content)));
    ot_shared_init(&region->head, &frozen_kind);
    return region;
}

/* The value of an equal tree that has constants (tunnel/constant.h) where this one has dates, Decimals and the like.
 * NULL with an exception; or without, and then the tree is such an object itself, *same. */
static ot_value_t *
with_constants(ot_objects_t *home, PyObject *tree, PyObject **same)
{
    *same = NULL;
    PyObject *simplified = ot_import_attr("objtunnel._constants", "simplified");
    PyObject *simple = simplified == NULL ? NULL : PyObject_CallOneArg(simplified, tree);
    Py_XDECREF(simplified);
    if (simple == NULL) {
        return NULL;
    }
    if (simple == Py_None || ot_is_constant(simple)) {
        *same = simple == Py_None ? raise_unfit(tree) : Py_NewRef(tree);
        Py_DECREF(simple);
        return NULL;
    }
    ot_value_t *v = ot_value_new(home, simple);
    if (v != NULL && !can_be_frozen(v)) {
        ot_value_unref(v);
        v = NULL;
        raise_unfit(tree);
    }
    Py_DECREF(simple);
    return v;
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
        PyObject *same;
        v = with_constants(home, back, &same);
        Py_DECREF(back);
        if (v == NULL) {
            return same;
        }
    }
    if (has_views(v)) {
        ot_frozen_t *region = new_region(v);
        return region == NULL ? NULL : make(home, &region->head, NULL);
    }
    PyObject *same = ot_value_take(home, v); /* a number, a str: is constant anyway */
    if (same == NULL) {
        ot_value_unref(v);
    }
    return same;
}

ot_frozen_t *
ot_frozen_new(ot_objects_t *home, ot_value_t *v, PyObject **same)
{
    *same = NULL;
    if (can_be_frozen(v) && has_views(v)) {
        ot_value_ref(v);
        return new_region(v);
    }
    PyObject *copy = ot_value_copy(home, v);
    if (copy == NULL || can_be_frozen(v)) {
        *same = copy; /* a number, a str: is constant anyway */
        return NULL;
    }
    ot_value_t *constants = with_constants(home, copy, same);
    Py_DECREF(copy);
    return constants == NULL ? NULL : new_region(constants);
}

PyObject *
ot_frozen_show(ot_objects_t *home, ot_frozen_t *region)
{
    ot_shared_ref(&region->head);
    return make(home, &region->head, NULL);
}

/* ---- the types -------------------------------------------------------------------------------- */

static PyType_Slot anchor_slots[] = {
    {Py_tp_doc, "Keeps a frozen tree for the views of this interpreter."},
    {Py_tp_dealloc, ot_handle_dealloc},
    {Py_tp_traverse, ot_handle_traverse},
    {0, NULL},
};

static PyType_Spec anchor_spec = {"objtunnel._FrozenAnchor", sizeof(ot_handle_t), 0,
                                  OT_HANDLE_FLAGS | Py_TPFLAGS_DISALLOW_INSTANTIATION,
                                  anchor_slots};

/* In the order of ot_frozen_type_t; with the abstract class that each is one of. */
static struct {
    PyType_Spec spec;
    const char *abstract;
} views[] = {
    {{"objtunnel.FrozenList", sizeof(ot_frozen_view_t), 0, OT_VIEW_FLAGS | Py_TPFLAGS_SEQUENCE,
      ot_frozen_list_slots},
     "Sequence"},
    {{"objtunnel.FrozenTuple", sizeof(ot_frozen_view_t), 0, OT_VIEW_FLAGS | Py_TPFLAGS_SEQUENCE,
      ot_frozen_tuple_slots},
     "Sequence"},
    {{"objtunnel.FrozenDict", sizeof(ot_frozen_view_t), 0, OT_VIEW_FLAGS | Py_TPFLAGS_MAPPING,
      ot_frozen_dict_slots},
     "Mapping"},
    {{"objtunnel.FrozenSet", sizeof(ot_frozen_view_t), 0, OT_VIEW_FLAGS, ot_frozen_set_slots},
     "Set"},
    {{"objtunnel.FrozenBytes", sizeof(ot_frozen_view_t), 0, OT_VIEW_FLAGS, ot_frozen_bytes_slots},
     NULL},
    {{"objtunnel.FrozenArray", sizeof(ot_frozen_view_t), 0, OT_VIEW_FLAGS, ot_frozen_array_slots},
     NULL},
};

/* For _constants.py: constant(hash, nan, pickle). */
static PyObject *
make_constant(PyObject *module, PyObject *args)
{
    (void)module;
    Py_ssize_t hash, n;
    int nan;
    const char *pickle;
    return PyArg_ParseTuple(args, "npy#:_constant", &hash, &nan, &pickle, &n)
               ? ot_constant_new(hash, nan, pickle, n)
               : NULL;
}

static PyMethodDef functions[] = {
    {"_constant", make_constant, METH_VARARGS, NULL},
    {"freeze", freeze, METH_O,
     "freeze($module, tree, /)\n--\n\n"
     "A constant copy of a tree that all interpreters read at once, without locks.\n\n"
     "Goes in by the rule of all containers: a temporary is moved, anything else copied. What\n"
     "comes back is a FrozenList, FrozenDict, ...: reading it gives numbers, str and short bytes\n"
     "as ordinary objects, and views of its parts. Raises TypeError, naming the place, for\n"
     "anything but built-in types, array.array, dates and times, Decimal, Fraction and UUID.\n\n"
     ">>> f = freeze({'a': [1, 2]}); f['a'][1], f == {'a': [1, 2]}\n(2, True)"},
    {NULL, NULL, 0, NULL},
};

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
    home->frozen->anchor = ot_handle_add_type(home, &frozen_kind, &anchor_spec, &extra);
    home->frozen->iterator =
        (PyTypeObject *)PyType_FromModuleAndSpec(home->module, &ot_frozen_iterator_spec, NULL);
    if (home->frozen->anchor == NULL || home->frozen->iterator == NULL) {
        return -1;
    }
    for (int i = 0; i < OT_FROZEN_TYPES; i++) {
        PyTypeObject *type = ot_handle_add_type(home, &frozen_kind, &views[i].spec, &extra);
        home->frozen->view[i] = type;
        if (type == NULL || (views[i].abstract != NULL &&
                             ot_import_register(type, "_collections_abc", views[i].abstract) < 0)) {
            return -1;
        }
    }
    return PyModule_AddFunctions(home->module, functions) < 0
               ? -1
               : ot_consumer_add(home->interp->consumers, home->module, "freeze");
}
