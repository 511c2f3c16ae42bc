/* retype.c: see retype.h.
 *
 * A class shares the names of its instances' attributes (PEP 412): an instance holds values only,
 * in the order of the class's shared keys, and CPython reads values[i] for any name that the class
 * has at i. Two interpreters' classes may have the same names in another order, or others. So
 * each class is given the names that its instances bring, and values are put into its order; where
 * the names or the block's size do not fit, the instance gets a dict of its own.
 *
 * Main invariants: an instance of a class here has room for every value that the class may ask it
 * for (ot_shared_keys_reach); the references of values are never counted twice.
 * Threading: the GIL of the sender or receiver; in transit one thread's only.
 */
#include "tunnel/retype.h"

#include "runtime/cpython/gc.h"
#include "runtime/cpython/instance.h"

/* ---- the sender --------------------------------------------------------------------------- */

/* The dict of an instance if that is split, else NULL. Borrowed. */
static PyObject *
split_dict_of(PyObject *o, PyTypeObject *type)
{
    if (!ot_type_manages_dict(type)) {
        return NULL;
    }
    PyObject *dict = *ot_instance_dict(o);
    return dict != NULL && ot_dict_values(dict) != NULL ? dict : NULL;
}

/* Which of the class's names these values are of, and how many there is room for. */
static void
note_values(ot_tree_class_t *c, ot_values_t *values)
{
    if (values == NULL) {
        return;
    }
    c->capacity = values->capacity < c->capacity ? values->capacity : c->capacity;
    for (int k = 0; k < values->size; k++) {
        c->used |= UINT32_C(1) << ot_values_place(values, k);
    }
}

int
ot_class_add_instance(ot_tree_t *tree, size_t i, PyObject *o, bool is_copy)
{
    ot_tree_class_t *c = &tree->classes.items[i];
    if (ot_vec_push(&c->instances, (uintptr_t)o | (is_copy ? OT_IS_COPY : 0)) < 0) {
        return -1;
    }
    if (is_copy) {
        return 0; /* not filled yet: ot_classes_reserve looks at its values */
    }
    PyObject *dict = split_dict_of(o, c->type);
    if (dict != NULL && ot_gc_is_tracked(dict)) {
        ot_gc_chain_add(&tree->tracked, dict);
    }
    note_values(c, dict != NULL ? ot_dict_values(dict) : ot_instance_values(o));
    return 0;
}

/* Whether the receiver needs the class: instances, or a static type of a module. */
static bool
is_used(const ot_tree_class_t *c)
{
    bool is_static = c->type != NULL && !PyType_HasFeature(c->type, Py_TPFLAGS_HEAPTYPE);
    return c->kind != NULL && !c->kind->converts && (c->instances.len > 0 || is_static);
}

static PyObject *
instance(const ot_tree_class_t *c, size_t i)
{
    return (PyObject *)(c->instances.items[i] & ~(uintptr_t)OT_IS_COPY);
}

/* Copies have no split dict: they get a dict like any other. */
static void
note_copies(ot_tree_class_t *c)
{
    for (size_t i = 0; i < c->instances.len; i++) {
        if (c->instances.items[i] & OT_IS_COPY) {
            note_values(c, ot_instance_values(instance(c, i)));
        }
    }
}

/* The shared keys up to the last one used, as strs of the message's own. */
static int
keep_names(ot_tree_class_t *c)
{
    c->n_names = (uint8_t)(c->used == 0 ? 0 : 32 - __builtin_clz(c->used));
    c->names = PyMem_RawCalloc(c->n_names ? c->n_names : 1u, sizeof *c->names);
    if (c->names == NULL) {
        return -1;
    }
    ot_keys_t *keys = ot_type_shared_keys(c->type);
    for (int i = 0; i < c->n_names; i++) {
        c->names[i] = ot_str_copy(ot_shared_key(keys, i));
        if (c->names[i] == NULL) {
            return -1;
        }
    }
    return 0;
}

int
ot_classes_reserve(ot_tree_t *tree)
{
    for (size_t i = 0; i < tree->classes.len; i++) {
        ot_tree_class_t *c = &tree->classes.items[i];
        if (!is_used(c)) {
            continue;
        }
        note_copies(c);
        PyTypeObject *base = ot_type_solid_base(c->type);
        c->is_python = base != c->type;
        c->base = PyType_HasFeature(base, Py_TPFLAGS_HEAPTYPE) ? NULL : base;
        c->layout = c->known->layout;
        c->module = ot_str_copy(c->known->module);
        c->qualname = ot_str_copy(c->known->qualname);
        if (c->module == NULL || c->qualname == NULL || keep_names(c) < 0) {
            PyErr_NoMemory();
            return -1;
        }
    }
    return 0;
}

void
ot_classes_leave(ot_tree_t *tree)
{
    for (size_t i = 0; i < tree->classes.len; i++) {
        ot_tree_class_t *c = &tree->classes.items[i];
        if (c->instances.len == 0) {
            continue;
        }
        for (size_t k = 0; k < c->instances.len; k++) {
            if (split_dict_of(instance(c, k), c->type) != NULL) {
                ot_shared_keys_count(ot_type_shared_keys(c->type), -1);
            }
            ot_py_set_type_steal(instance(c, k), NULL);
        }
        ot_py_release((PyObject *)c->type, (Py_ssize_t)c->instances.len); /* its module keeps it */
        c->type = NULL;
    }
}

void
ot_classes_disarm_copies(ot_tree_t *tree)
{
    for (size_t i = 0; i < tree->classes.len; i++) {
        const ot_tree_class_t *c = &tree->classes.items[i];
        for (size_t k = 0; k < c->instances.len; k++) {
            if (c->instances.items[k] & OT_IS_COPY) {
                ot_gc_set_finalized(instance(c, k));
            }
        }
    }
}

void
ot_classes_reset(ot_tree_t *tree)
{
    for (size_t i = 0; i < tree->classes.len; i++) {
        ot_tree_class_t *c = &tree->classes.items[i];
        ot_vec_free(&c->instances);
        for (int k = 0; c->names != NULL && k < c->n_names; k++) {
            Py_XDECREF(c->names[k]);
        }
        PyMem_RawFree(c->names);
        Py_XDECREF(c->module);
        Py_XDECREF(c->qualname);
    }
    tree->classes.len = 0;
}

/* ---- the receiver: finding ------------------------------------------------------------------ */

typedef struct {
    ot_tree_class_t *sent;
    PyTypeObject *type;                  /* owned: this interpreter's */
    PyObject *names[OT_MAX_SHARED_KEYS]; /* owned, interned here */
    uint8_t place[OT_MAX_SHARED_KEYS];   /* the sender's place -> ours */
    bool same_places;
    bool own_dicts;           /* names or room do not fit: each instance gets a dict of its own */
    OT_VEC(PyObject *) dicts; /* owned: one per instance, NULL where it has no values */
} arrival_t;

struct ot_arrivals {
    size_t len;
    arrival_t items[];
};

static int
check_layout(const ot_tree_class_t *c, PyTypeObject *type)
{
    ot_layout_t layout;
    ot_layout_of(type, &layout);
    if (memcmp(&layout, &c->layout, sizeof layout) == 0 && (c->type == NULL || c->type == type)) {
        return 0;
    }
    PyErr_Format(PyExc_TypeError,
                 "cannot receive instances of %U.%U: the class of that name in this interpreter "
                 "has other __slots__, bases or dict; both sides must import the same code",
                 c->module, c->qualname);
    return -1;
}

/* What has the class's name in this interpreter: a new reference, or NULL with an exception. Runs: e. */
static PyObject *
find_name(const ot_interp_t *interp, const ot_tree_class_t *c)
{
    PyObject *found = NULL;
    Py_ssize_t n = PyUnicode_GET_LENGTH(c->qualname);
    if (PyUnicode_FindChar(c->qualname, '.', 0, n, 1) < 0) { /* most: try without Python code */
        PyObject *module = PyImport_GetModule(c->module);
        PyObject *name = module != NULL ? ot_str_copy(c->qualname) : NULL;
        if (name != NULL) {
            PyUnicode_InternInPlace(&name);
            found = PyObject_GetAttr(module, name);
        }
        Py_XDECREF(name);
        Py_XDECREF(module);
    }
    /* What a module's own __getattr__ raises otherwise (__main__'s, say) is for the user. */
    if (found == NULL && (!PyErr_Occurred() || PyErr_ExceptionMatches(PyExc_AttributeError))) {
        PyErr_Clear();
        found = PyObject_CallFunctionObjArgs(interp->classes->find, c->module, c->qualname, NULL);
    }
    return found;
}

static PyTypeObject *
known_class(const ot_interp_t *interp, const ot_tree_class_t *c)
{
    return ot_class_known_as(interp->classes, c->layout.dealloc, c->module, c->qualname);
}

static PyTypeObject *
find_class(const ot_interp_t *interp, const ot_tree_class_t *c)
{
    PyTypeObject *known = c->is_python ? NULL : known_class(interp, c); /* nobody redefines those */
    PyObject *o = known != NULL ? Py_NewRef((PyObject *)known) : find_name(interp, c);
    if (o == NULL) {
        return NULL;
    }
    if (!PyType_Check(o)) {
        PyErr_Format(PyExc_TypeError, "cannot receive instances of %U.%U: here that is a %s",
                     c->module, c->qualname, Py_TYPE(o)->tp_name);
        Py_CLEAR(o);
    } else if (check_layout(c, (PyTypeObject *)o) < 0) {
        Py_CLEAR(o);
    }
    return (PyTypeObject *)o;
}

/* The class that instances get for their deallocation where nobody receives them and their own
 * class cannot be had in this interpreter. */
static PyTypeObject *
find_undertaker(const ot_interp_t *interp, const ot_tree_class_t *c)
{
    PyTypeObject *type = find_class(interp, c);
    if (type != NULL) {
        return type;
    }
    PyErr_Clear();
    unsigned long flags = c->layout.flags;
    type = known_class(interp, c);
    if (type != NULL && check_layout(c, type) == 0) {
        return (PyTypeObject *)Py_NewRef((PyObject *)type); /* the modules may be gone already */
    }
    PyErr_Clear();
    PyObject *base = ot_c_type_here(c->layout.base, c->base);
    if (base == NULL || c->type != NULL) {
        Py_XDECREF(base);
        PyErr_Format(PyExc_TypeError, "cannot free instances of %U.%U: no such class here",
                     c->module, c->qualname);
        return NULL;
    }
    PyObject *o = PyObject_CallFunction(interp->classes->stand_in, "OnOO", base,
                                        (Py_ssize_t)c->layout.n_slots,
                                        flags & Py_TPFLAGS_MANAGED_DICT ? Py_True : Py_False,
                                        flags & Py_TPFLAGS_MANAGED_WEAKREF ? Py_True : Py_False);
    Py_DECREF(base);
    ot_layout_t layout;
    if (o == NULL) {
        return NULL;
    }
    memset(&layout, 0, sizeof layout);
    if (PyType_Check(o)) { /* a base that somebody else called so may have a metaclass */
        ot_layout_of((PyTypeObject *)o, &layout);
    }
    layout.slots = c->layout.slots; /* other names, the same places */
    if (memcmp(&layout, &c->layout, sizeof layout) != 0) {
        PyErr_Format(PyExc_SystemError, "objtunnel: no stand-in for %U.%U", c->module, c->qualname);
        Py_CLEAR(o);
    }
    return (PyTypeObject *)o;
}

ot_arrivals_t *
ot_classes_find(const ot_interp_t *interp, ot_tree_t *tree, bool for_disposal,
                const ot_tree_class_t **failed)
{
    *failed = NULL;
    size_t size = offsetof(ot_arrivals_t, items) + tree->classes.len * sizeof(arrival_t);
    ot_arrivals_t *arrivals = PyMem_RawCalloc(1, size);
    if (arrivals == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    for (size_t i = 0; i < tree->classes.len; i++) {
        ot_tree_class_t *c = &tree->classes.items[i];
        if (c->module == NULL) {
            continue; /* not used after all */
        }
        arrival_t *a = &arrivals->items[arrivals->len];
        a->sent = c;
        a->type = for_disposal ? find_undertaker(interp, c) : find_class(interp, c);
        if (a->type == NULL) {
            *failed = c;
            ot_arrivals_free(arrivals);
            return NULL;
        }
        arrivals->len++;
    }
    return arrivals;
}

PyObject *
ot_class_first_instance(const ot_tree_class_t *c)
{
    return c->instances.len == 0 ? NULL : instance(c, 0);
}

void
ot_arrivals_free(ot_arrivals_t *arrivals)
{
    for (size_t i = 0; arrivals != NULL && i < arrivals->len; i++) {
        arrival_t *a = &arrivals->items[i];
        for (size_t k = 0; k < a->dicts.len; k++) {
            Py_XDECREF(a->dicts.items[k]);
        }
        ot_vec_free(&a->dicts);
        for (int k = 0; k < OT_MAX_SHARED_KEYS; k++) {
            Py_XDECREF(a->names[k]);
        }
        Py_DECREF(a->type);
    }
    PyMem_RawFree(arrivals);
}

void
ot_arrivals_lend(const ot_arrivals_t *arrivals, bool lend)
{
    for (size_t i = 0; arrivals != NULL && i < arrivals->len; i++) {
        const arrival_t *a = &arrivals->items[i];
        for (size_t k = 0; k < a->sent->instances.len; k++) {
            ot_py_set_type_steal(instance(a->sent, k), lend ? a->type : NULL);
        }
    }
}

PyObject *
ot_arrivals_name(const ot_arrivals_t *arrivals, const PyTypeObject *type, int place)
{
    size_t i = 0;
    while (arrivals->items[i].type != type) {
        i++;
    }
    return arrivals->items[i].sent->names[place];
}

/* ---- the receiver: where attributes go ------------------------------------------------------ */

static int
place_of(ot_keys_t *keys, PyObject *name, int likely)
{
    Py_ssize_t n = ot_keys_count(keys);
    if (likely < n && ot_shared_key(keys, likely) == name) {
        return likely;
    }
    for (Py_ssize_t i = 0; i < n; i++) {
        if (ot_shared_key(keys, i) == name ||
            PyUnicode_Compare(ot_shared_key(keys, i), name) == 0) {
            return (int)i;
        }
    }
    return -1;
}

/* Has the class share that name, too, as assigning it to an instance would, but without running
 * a property's setter: through the dict of an instance that nobody sees. 0, or -1. */
static int
teach_name(PyTypeObject *type, PyObject *name)
{
    PyObject *pupil = PyType_GenericAlloc(type, 0);
    if (pupil == NULL) {
        return -1;
    }
    ot_gc_set_finalized(pupil);
    PyObject *dict = PyObject_GenericGetDict(pupil, NULL);
    int rc = dict == NULL ? -1 : PyDict_SetItem(dict, name, Py_None);
    Py_XDECREF(dict);
    Py_DECREF(pupil);
    return rc;
}

/* Fills in place[]. 1 if every name has one, 0 if not, -1 with MemoryError. */
static int
map_places(arrival_t *a)
{
    ot_keys_t *keys = ot_type_shared_keys(a->type);
    bool teachable = ot_type_solid_base(a->type) == &PyBaseObject_Type;
    for (int i = 0; i < a->sent->n_names; i++) {
        if (!(a->sent->used & UINT32_C(1) << i)) {
            continue;
        }
        int place = place_of(keys, a->names[i], i);
        if (place < 0 && teachable) {
            if (teach_name(a->type, a->names[i]) < 0) {
                return -1;
            }
            place = place_of(keys, a->names[i], i);
        }
        if (place < 0) {
            return 0;
        }
        a->place[i] = (uint8_t)place;
        a->same_places &= place == i;
    }
    return 1;
}

static int
intern_names(arrival_t *a)
{
    for (int i = 0; i < a->sent->n_names; i++) {
        a->names[i] = ot_str_copy(a->sent->names[i]); /* the message keeps its own */
        if (a->names[i] == NULL) {
            return -1;
        }
        PyUnicode_InternInPlace(&a->names[i]);
    }
    return 0;
}

/* The instance's attribute values, if they are not in a dict of its own; else NULL. Its type may
 * be asked where they lie: sender's and receiver's class have the same layout. */
static ot_values_t *
values_of(PyObject *o, PyTypeObject *type)
{
    PyObject *dict = split_dict_of(o, type);
    if (dict != NULL) {
        return ot_dict_values(dict);
    }
    bool has_dict = ot_type_manages_dict(type) && *ot_instance_dict(o) != NULL;
    return has_dict ? NULL : ot_instance_values_of(o, type);
}

/* A dict of its own for each instance with values: the right names, None in place of the values. */
static int
make_dicts(arrival_t *a)
{
    if (ot_empty_keys() == NULL) {
        return -1;
    }
    if (ot_vec_reserve(&a->dicts, a->sent->instances.len) < 0) {
        PyErr_NoMemory();
        return -1;
    }
    for (size_t k = 0; k < a->sent->instances.len; k++) {
        ot_values_t *values = values_of(instance(a->sent, k), a->type);
        PyObject *dict = values == NULL ? NULL : PyDict_New();
        if (values != NULL && dict == NULL) {
            return -1;
        }
        a->dicts.items[a->dicts.len++] = dict;
        for (int i = 0; dict != NULL && i < values->size; i++) {
            if (PyDict_SetItem(dict, a->names[ot_values_place(values, i)], Py_None) < 0) {
                return -1;
            }
        }
    }
    return 0;
}

static int
plan(arrival_t *a)
{
    a->same_places = true;
    if (a->sent->capacity == OT_NO_VALUES) {
        return 0;
    }
    if (intern_names(a) < 0) {
        return -1;
    }
    int mapped = map_places(a);
    if (mapped < 0) {
        return -1;
    }
    ot_keys_t *keys = ot_type_shared_keys(a->type);
    if (mapped) {
        ot_shared_keys_limit(keys, a->sent->capacity);
    }
    a->own_dicts = !mapped || ot_shared_keys_reach(keys) > a->sent->capacity;
    return a->own_dicts ? make_dicts(a) : 0;
}

int
ot_classes_plan(ot_arrivals_t *arrivals)
{
    for (size_t i = 0; i < arrivals->len; i++) {
        if (plan(&arrivals->items[i]) < 0) {
            return -1;
        }
    }
    return 0;
}

/* ---- the receiver: entering ----------------------------------------------------------------- */

static void
reorder(const arrival_t *a, ot_values_t *values)
{
    PyObject *moved[OT_MAX_SHARED_KEYS];
    int n = values->size;
    for (int i = 0; i < n; i++) {
        PyObject **value = &values->values[ot_values_place(values, i)];
        moved[i] = *value;
        *value = NULL;
    }
    for (int i = 0; i < n; i++) {
        int place = a->place[ot_values_place(values, i)];
        ot_values_set_place(values, i, place);
        values->values[place] = moved[i];
    }
}

/* Puts the values into the dict that was made for them. */
static void
fill_dict(PyObject *dict, ot_values_t *values)
{
    ot_keys_t *keys = ot_dict_keys(dict);
    for (int i = 0; i < values->size; i++) {
        PyObject **key, **value, **from = &values->values[ot_values_place(values, i)];
        ot_keys_entry(keys, i, &key, &value);
        *value = *from;
        *from = NULL;
    }
    if (values->size > 0 && !ot_gc_is_tracked(dict)) {
        ot_gc_track(dict); /* 3.13 does not track a dict of Nones */
    }
    values->size = 0;
}

/* Gives an instance a dict of its own (stolen) instead of values in its class's order. */
static void
give_dict_steal(PyObject *o, PyObject *own, PyObject *split, ot_values_t *values,
                ot_gc_chain_t *tracked)
{
    fill_dict(own, values);
    if (split == NULL) {
        ot_instance_invalidate_values(o);
        *ot_instance_dict(o) = own;
        return;
    }
    if (ot_values_embedded(values)) {
        ot_instance_invalidate_values(o);
    }
    ot_dict_become_combined(split, own, ot_empty_keys());
    /* 3.13.0 does not track it while the instance has values. */
    ot_gc_chain_include(tracked, split);
    ot_values_free(values);
    Py_DECREF(own);
}

static void
enter_one(const arrival_t *a, size_t k, ot_keys_t *keys, ot_gc_chain_t *tracked)
{
    PyObject *o = instance(a->sent, k);
    ot_values_t *values = a->sent->capacity == OT_NO_VALUES ? NULL : values_of(o, a->type);
    ot_py_set_type_steal(o, a->type);
    PyObject *split = split_dict_of(o, a->type);
    if (a->own_dicts && values != NULL) {
        give_dict_steal(o, a->dicts.items[k], split, values, tracked);
        a->dicts.items[k] = NULL;
        return;
    }
    if (split != NULL) {
        ot_dict_set_shared_keys(split, keys);
        ot_shared_keys_count(keys, 1);
    }
    if (values != NULL && !a->same_places) {
        reorder(a, values);
    }
}

void
ot_classes_enter(ot_arrivals_t *arrivals, ot_gc_chain_t *tracked)
{
    enum { AHEAD = 16 };
    for (size_t i = 0; i < arrivals->len; i++) {
        arrival_t *a = &arrivals->items[i];
        ot_keys_t *keys = ot_type_shared_keys(a->type);
        size_t n = a->sent->instances.len;
        for (size_t k = 0; k < n; k++) {
            if (k + AHEAD < n) {
                ot_prefetch(instance(a->sent, k + AHEAD));
            }
            enter_one(a, k, keys, tracked);
        }
        ot_py_retain((PyObject *)a->type, (Py_ssize_t)n);
    }
}
