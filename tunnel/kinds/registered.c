/* registered.c: the row for types of other extensions, which tell us about them (objtunnel.h,
 * ot_register_type).
 *
 * An extension registers its type in each interpreter that imports it; what it says is the same
 * each time and kept for the process. A type is found again by all that can be seen of it: its
 * functions, its size, its name (a static type by itself, too). An instance changes interpreters in
 * place; what cannot move is pickled.
 *
 * Main invariant: an entry, once visible, never changes, but for the count of instances that were
 * looked at closely (registered_check.c).
 * Threading: entries are appended under `lock`, read without.
 */
#include "tunnel/kinds/registered.h"

#include "tunnel/class.h"

#include "runtime/cpython/instance.h"

#include <pthread.h>

enum { MAX_TYPES = 256, LOOKED_AT = 16 };

typedef struct {
    PyTypeObject *is_static; /* NULL for a heap type: each interpreter has its own */
    destructor dealloc;
    traverseproc traverse;
    Py_ssize_t basicsize, itemsize;
    char *name; /* tp_name: with the module's; owned */
    ot_type_spec_t spec;
    _Atomic int looked_at;   /* instances, up to LOOKED_AT */
    _Atomic bool may_raises; /* may_move has set an exception: visit asks it again */
} registered_t;

static registered_t types[MAX_TYPES];
static _Atomic size_t n_types;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static bool
is_type(const registered_t *r, PyTypeObject *type)
{
    bool heap = PyType_HasFeature(type, Py_TPFLAGS_HEAPTYPE);
    return r->dealloc == type->tp_dealloc && r->traverse == type->tp_traverse &&
           r->basicsize == type->tp_basicsize && r->itemsize == type->tp_itemsize &&
           r->is_static == (heap ? NULL : type) && strcmp(r->name, type->tp_name) == 0;
}

static registered_t *
find(PyTypeObject *type)
{
    for (size_t i = 0, n = n_types; i < n; i++) {
        if (is_type(&types[i], type)) {
            return &types[i];
        }
    }
    return NULL;
}

/* The entry of an object that follows the row. */
static registered_t *
entry_of(PyObject *o)
{
    return find(ot_type_solid_base(Py_TYPE(o)));
}

const ot_kind_t *
ot_kind_registered(PyTypeObject *type)
{
    return find(type) == NULL ? NULL : &ot_kind_extension;
}

/* ---- registering ----------------------------------------------------------------------------- */

static int
refuse(PyTypeObject *type, PyObject *error, const char *why)
{
    PyErr_Format(error, "ot_register_type(%s): %s", type->tp_name, why);
    return -1;
}

static int
check_type(PyTypeObject *type)
{
    if (ot_type_is_interpreters_own(type)) {
        return refuse(type, PyExc_TypeError, "it is a type of Python itself");
    }
    if (ot_type_solid_base(type) != type) {
        return refuse(type, PyExc_TypeError,
                      "only for types made in C; classes made by a class statement move without");
    }
    if (!ot_type_has_own_dealloc(type)) {
        return refuse(type, PyExc_TypeError, "it needs a tp_dealloc of its own");
    }
    for (PyTypeObject *base = type->tp_base; base != NULL; base = base->tp_base) {
        if (PyType_HasFeature(type, Py_TPFLAGS_HEAPTYPE) && base->tp_dealloc == type->tp_dealloc) {
            PyErr_Format(PyExc_TypeError,
                         "ot_register_type(%s): it inherits tp_dealloc from %s; give it one of "
                         "its own",
                         type->tp_name, base->tp_name);
            return -1;
        }
    }
    if (ot_type_manages_dict(type)) {
        return refuse(type, PyExc_TypeError,
                      "its instances have a __dict__ that CPython manages "
                      "(Py_TPFLAGS_MANAGED_DICT), which visit cannot report; "
                      "leave that to subclasses made by a class statement");
    }
    return 0;
}

static int
check(PyTypeObject *type, const ot_type_spec_t *spec)
{
    if (spec->size != sizeof *spec || spec->visit == NULL) {
        return refuse(type, PyExc_ValueError,
                      "size must be sizeof(ot_type_spec_t), visit not NULL");
    }
    return check_type(type);
}

/* 0; -1: registered otherwise; -2: too many; -3: no memory. */
static int
add_locked(PyTypeObject *type, const ot_type_spec_t *spec)
{
    const registered_t *known = find(type);
    if (known != NULL) {
        return memcmp(&known->spec, spec, sizeof *spec) == 0 ? 0 : -1;
    }
    if (n_types == MAX_TYPES) {
        return -2;
    }
    registered_t *r = &types[n_types];
    r->name = strdup(type->tp_name);
    if (r->name == NULL) {
        return -3;
    }
    r->is_static = PyType_HasFeature(type, Py_TPFLAGS_HEAPTYPE) ? NULL : type;
    r->dealloc = type->tp_dealloc;
    r->traverse = type->tp_traverse;
    r->basicsize = type->tp_basicsize;
    r->itemsize = type->tp_itemsize;
    r->spec = *spec;
    n_types++;
    return 0;
}

int
ot_kind_register(PyTypeObject *type, const ot_type_spec_t *spec)
{
    if (check(type, spec) < 0) {
        return -1;
    }
    pthread_mutex_lock(&lock);
    int rc = add_locked(type, spec);
    pthread_mutex_unlock(&lock);
    if (rc == -1) {
        refuse(type, PyExc_ValueError, "registered otherwise before");
    } else if (rc == -2) {
        PyErr_Format(PyExc_RuntimeError, "ot_register_type(%s): more than %d types", type->tp_name,
                     MAX_TYPES);
    } else if (rc == -3) {
        PyErr_NoMemory();
    }
    PyType_Modified(type); /* whatever was learnt about it before holds no more */
    return rc < 0 ? -1 : 0;
}

/* ---- the row --------------------------------------------------------------------------------- */

static ot_inspection_t
extension_inspect(PyObject *o)
{
    registered_t *r = entry_of(o);
    if (!ot_heap_owns(o) || ot_has_weakrefs(o)) {
        return OT_PINNED;
    }
    if (r->spec.may_move == NULL) {
        return OT_MOVABLE;
    }
    bool may = r->spec.may_move(o) != 0;
    if (PyErr_Occurred()) { /* no way to say so here: visit does */
        PyErr_Clear();
        r->may_raises = true;
        return OT_MOVABLE;
    }
    return may ? OT_MOVABLE : OT_PINNED;
}

static int
check_may_move(PyObject *o, const registered_t *r)
{
    (void)r->spec.may_move(o);
    return PyErr_Occurred() ? ot_registered_complain(o, "may_move", "set an exception") : 0;
}

/* Whether this instance is to be looked at closely: the first ones of a type are, and all if the
 * environment says so. */
static bool
looks_closely(registered_t *r)
{
    return ot_registered_debugging() ||
           (r->looked_at < LOOKED_AT && atomic_fetch_add(&r->looked_at, 1) < LOOKED_AT);
}

typedef struct {
    ot_visitor_t *visitor;
    bool failed;
} passing_t;

static int
extension_edge(void *arg, PyObject **slot)
{
    passing_t *p = arg;
    if (!p->failed && *slot != NULL) {
        p->failed = ot_visit_edge(p->visitor, slot) < 0;
    }
    return p->failed ? -1 : 0;
}

/* -1 with SystemError for an author's mistake; otherwise as ot_visit_edge fails. */
static int
extension_visit(PyObject *o, ot_visitor_t *v)
{
    registered_t *r = entry_of(o);
    if (looks_closely(r) && ot_registered_check(o, &r->spec) < 0) {
        return -1;
    }
    if (r->may_raises && check_may_move(o, r) < 0) {
        return -1;
    }
    passing_t passing = {v, false};
    int rc = r->spec.visit(o, extension_edge, &passing);
    if (passing.failed) {
        return -1;
    }
    return ot_registered_check_result(o, rc);
}

const ot_kind_t ot_kind_extension = {
    .name = "a registered extension type",
    .inspect = extension_inspect,
    .visit = extension_visit,
};
