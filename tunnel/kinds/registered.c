/* registered.c: the row for types of other extensions, which tell us about them (objtunnel.h,
 * ot_register_type).
 *
 * An extension registers its type in each interpreter that imports it; what it says is the same
 * each time and kept for the process, found again by the type's tp_dealloc (by the type itself if
 * that is static). An instance changes interpreters in place; what cannot move is pickled.
 *
 * Main invariant: an entry, once visible, never changes.
 * Threading: entries are appended under `lock`, read without.
 */
#include "tunnel/class.h"

#include "runtime/cpython/instance.h"

#include <pthread.h>

enum { MAX_TYPES = 256 };

typedef struct {
    const void *mark;
    ot_type_spec_t spec;
} registered_t;

static registered_t types[MAX_TYPES];
static _Atomic size_t n_types;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static const void *
mark_of(PyTypeObject *type)
{
    return PyType_HasFeature(type, Py_TPFLAGS_HEAPTYPE) ? *(void **)&type->tp_dealloc : type;
}

static const ot_type_spec_t *
find(const void *mark)
{
    for (size_t i = 0, n = n_types; i < n; i++) {
        if (types[i].mark == mark) {
            return &types[i].spec;
        }
    }
    return NULL;
}

static const ot_type_spec_t *
spec_of(PyObject *o)
{
    return find(mark_of(ot_type_solid_base(Py_TYPE(o))));
}

const ot_kind_t *
ot_kind_registered(PyTypeObject *type)
{
    return find(mark_of(type)) == NULL ? NULL : &ot_kind_extension;
}

/* ---- registering ----------------------------------------------------------------------------- */

static int
check(PyTypeObject *type, const ot_type_spec_t *spec)
{
    if (spec->size != sizeof *spec || spec->visit == NULL) {
        PyErr_Format(PyExc_ValueError,
                     "ot_register_type(%s): size must be sizeof(ot_type_spec_t), visit not NULL",
                     type->tp_name);
        return -1;
    }
    if (ot_type_solid_base(type) != type || type->tp_dealloc == NULL) {
        PyErr_Format(PyExc_TypeError,
                     "ot_register_type(%s): only for types made in C that have a tp_dealloc of "
                     "their own; classes made by a class statement move without",
                     type->tp_name);
        return -1;
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
    return 0;
}

static int
add_locked(PyTypeObject *type, const ot_type_spec_t *spec)
{
    const ot_type_spec_t *known = find(mark_of(type));
    if (known != NULL) {
        return memcmp(known, spec, sizeof *spec) == 0 ? 0 : -1;
    }
    if (n_types == MAX_TYPES) {
        return -2;
    }
    types[n_types] = (registered_t){mark_of(type), *spec};
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
        PyErr_Format(PyExc_ValueError, "ot_register_type(%s): registered otherwise before",
                     type->tp_name);
    } else if (rc == -2) {
        PyErr_Format(PyExc_RuntimeError, "ot_register_type(%s): more than %d types", type->tp_name,
                     MAX_TYPES);
    }
    PyType_Modified(type); /* whatever was learnt about it before holds no more */
    return rc < 0 ? -1 : 0;
}

/* ---- the row --------------------------------------------------------------------------------- */

static ot_inspection_t
extension_inspect(PyObject *o)
{
    const ot_type_spec_t *spec = spec_of(o);
    if (!ot_heap_owns(o) || ot_has_weakrefs(o)) {
        return OT_PINNED;
    }
    return spec->may_move == NULL || spec->may_move(o) ? OT_MOVABLE : OT_PINNED;
}

static int
extension_edge(void *visitor, PyObject **slot)
{
    return *slot == NULL ? 0 : ot_visit_edge(visitor, slot);
}

static int
extension_visit(PyObject *o, ot_visitor_t *v)
{
    return spec_of(o)->visit(o, extension_edge, v) < 0 ? -1 : 0;
}

const ot_kind_t ot_kind_extension = {
    .name = "a registered extension type",
    .inspect = extension_inspect,
    .visit = extension_visit,
};
