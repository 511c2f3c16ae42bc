/* layout.c: see layout.h.
 *
 * Main invariant: `subtype_dealloc` is set before any type is asked about.
 * Threading: it is written at import, each time with the same value.
 */
#include "tunnel/layout.h"

#include "runtime/cpython/instance.h"

static destructor subtype_dealloc; /* of CPython's Objects/typeobject.c, where it is static */

int
ot_layout_init(void)
{
    PyObject *any = PyObject_CallFunction((PyObject *)&PyType_Type, "s(){}", "any");
    if (any == NULL) {
        return -1;
    }
    subtype_dealloc = ((PyTypeObject *)any)->tp_dealloc;
    Py_DECREF(any);
    return 0;
}

bool
ot_type_is_python(PyTypeObject *type)
{
    return type->tp_dealloc == subtype_dealloc && ot_type_is_from_statement(type);
}

bool
ot_type_has_own_dealloc(PyTypeObject *type)
{
    return type->tp_dealloc != NULL && type->tp_dealloc != subtype_dealloc;
}

/* typing.Generic is written in C and adds nothing to object: as if a class statement had made it. */
static bool
is_generic(PyTypeObject *type)
{
    return PyType_HasFeature(type, Py_TPFLAGS_HEAPTYPE) && type->tp_base == &PyBaseObject_Type &&
           type->tp_basicsize == PyBaseObject_Type.tp_basicsize && type->tp_itemsize == 0 &&
           type->tp_dictoffset == 0 && type->tp_weaklistoffset == 0 &&
           strcmp(type->tp_name, "typing.Generic") == 0;
}

PyTypeObject *
ot_type_solid_base(PyTypeObject *type)
{
    while (ot_type_is_python(type) || is_generic(type)) {
        type = type->tp_base;
    }
    return type;
}

/* FNV-1a */
static uint64_t
hash_bytes(uint64_t hash, const void *data, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        hash = (hash ^ ((const unsigned char *)data)[i]) * UINT64_C(1099511628211);
    }
    return hash;
}

void
ot_layout_of(PyTypeObject *type, ot_layout_t *layout)
{
    PyTypeObject *base = ot_type_solid_base(type);
    memset(layout, 0, sizeof *layout);
    layout->basicsize = type->tp_basicsize;
    layout->itemsize = type->tp_itemsize;
    layout->dictoffset = type->tp_dictoffset;
    layout->weaklistoffset = type->tp_weaklistoffset;
    layout->flags = ot_type_layout_flags(type);
    layout->dealloc = type->tp_dealloc;
    layout->traverse = type->tp_traverse;
    layout->clear = type->tp_clear;
    layout->free = type->tp_free;
    layout->base =
        PyType_HasFeature(base, Py_TPFLAGS_HEAPTYPE) ? *(void **)&base->tp_dealloc : (void *)base;
    layout->slots = UINT64_C(14695981039346656037);
    for (PyTypeObject *t = type; t != base; t = t->tp_base) {
        PyMemberDef *member = ot_type_members(t);
        for (Py_ssize_t i = 0; i < Py_SIZE(t); i++, member++) {
            uint64_t h = hash_bytes(layout->slots, member->name, strlen(member->name) + 1);
            h = hash_bytes(h, &member->offset, sizeof member->offset);
            layout->slots = hash_bytes(h, &member->type, sizeof member->type);
            layout->n_slots++;
        }
    }
}
