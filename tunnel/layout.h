/* layout.h: how the instances of a type are laid out.
 *
 * Threading: the GIL of the type's interpreter.
 */
#ifndef OT_TUNNEL_LAYOUT_H
#define OT_TUNNEL_LAYOUT_H

#include "runtime/cpython/version.h"

/* Two classes of different interpreters have equal layouts exactly if an instance of one can be
 * made an instance of the other by changing its ob_type (and the order of its shared keys).
 * Compared as bytes: zero it before filling it. */
typedef struct {
    Py_ssize_t basicsize, itemsize, dictoffset, weaklistoffset;
    unsigned long flags;
    destructor dealloc;
    traverseproc traverse;
    inquiry clear;
    freefunc free;
    const void *base; /* the first base that is not made by a class statement: itself, or if each
                         interpreter has its own, its tp_dealloc */
    uint64_t slots;   /* hash of names, offsets and types of all __slots__ */
    size_t n_slots;
} ot_layout_t;

/* Finds out what deallocates the instances of Python classes. 0, or -1 with an exception set. Call once
 * an interpreter, at import. */
int ot_layout_init(void);

/* Made by a class statement: instances are laid out as instance.c says. */
bool ot_type_is_python(PyTypeObject *type);

/* Whether its tp_dealloc was written for it or for a base: it is not CPython's general one for heap types,
 * which works by what it finds in the type. */
bool ot_type_has_own_dealloc(PyTypeObject *type);

/* The first type along tp_base that no class statement made. Borrowed. */
PyTypeObject *ot_type_solid_base(PyTypeObject *type);

void ot_layout_of(PyTypeObject *type, ot_layout_t *layout);

#endif
