/* SPDX-License-Identifier: MIT. Copyright (c) the objtunnel developers; this file may be copied. */
/* objtunnel_kinds.h: how an extension has its objects move through tunnels (part of objtunnel.h).
 *
 * An object moves in place: its block and all that it refers to become the receiving interpreter's
 * without being copied; ob_type becomes the receiver's type of the same module and name. For that
 * objtunnel must know every reference that the object holds. Without registration objects are
 * pickled.
 *
 * What the type must be like:
 *  - made in C, with a tp_dealloc of its own, importable by __module__ and __qualname__ in every
 *    interpreter (multi-phase initialisation, Py_mod_multiple_interpreters);
 *  - its memory comes from PyObject_Malloc, PyMem_Malloc or their GC variants (which objtunnel has
 *    made process-wide), or from any other allocator that may free in another thread;
 *  - nothing in it belongs to an interpreter but the references that visit reports: no pointer to
 *    module state, no thread state, no borrowed reference.
 */
#ifndef OBJTUNNEL_KINDS_H
#define OBJTUNNEL_KINDS_H

#include <Python.h>

/* Reports a place that holds a reference (or NULL). Returns 0, or -1: return that at once. */
typedef int (*ot_report_fn)(void *visitor, PyObject **slot);

typedef struct {
    size_t size; /* sizeof(ot_type_spec_t) */

    /* Calls edge(visitor, &field) for every strong reference that o owns, but not for its type.
     * The reference in a place may be replaced by one to an equal object: of the same type if that is
     * a built-in container, str or number, else of whatever type unpickling gives. Until it arrives
     * None may stand there, which tp_dealloc must be ready for. (A place that can hold only one type
     * is looked after by may_move: say no while something else than such a built-in lies in it.)
     * Runs no Python code, changes nothing. Needs: the GIL. Returns 0, or -1 if edge did. */
    int (*visit)(PyObject *o, ot_report_fn edge, void *visitor);

    /* Whether o may move now: 0 while somebody looks inside (an exported buffer, an iterator, a C
     * pointer): then it is pickled. Runs no Python code. NULL: always, but never while it has
     * weak references or its block is older than objtunnel. */
    int (*may_move)(PyObject *o);
} ot_type_spec_t;

#endif
