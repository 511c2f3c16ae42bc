/* gc.h: the collector's lists (pycore_gc.h, Python/gc.c).
 *
 * Threading: see version.h.
 */
#ifndef OT_RUNTIME_CPYTHON_GC_H
#define OT_RUNTIME_CPYTHON_GC_H

#include "runtime/checks.h"
#include "runtime/cpython/object.h"

#include <internal/pycore_interp.h>
#include <internal/pycore_pystate.h>
#include <limits.h>

/* Whether this version's young generation is a plain list that others may be spliced into. The
 * incremental collector of early 3.14 marked its members; 3.14.10 has plain lists again. Builds without a GIL have no lists: the
 * collector walks the heap's pages, and the fields that 3.13 still has there are unused. */
#ifdef Py_GIL_DISABLED
#define OT_GC_SPLICES 0
#else
#define OT_GC_SPLICES (PY_VERSION_HEX < 0x030e0000 || PY_VERSION_HEX >= 0x030e0a00)
#endif

/* Whether the collector counts the members of its lists (for deciding when to run). */
#define OT_GC_COUNTS (OT_GC_SPLICES && PY_VERSION_HEX >= 0x030e0000)

#if OT_GC_SPLICES
/* The i-th of the three generations of the current interpreter's collector. They are found by the pointer to the first:
 * later 3.13 have them 4 bytes before the place that 3.13.0 compiles. */
static inline struct gc_generation *
ot_gc_generation(int i)
{
    return (struct gc_generation *)PyInterpreterState_Get()->gc.generation0 + i;
}
#endif

/* Containers on their way from one interpreter's collector to another's, chained through their
 * collector headers. Zero-initialised is empty.
 *
 * Objects are mostly walked in the order in which they were made, so most that are added are
 * neighbours on the collector's list already. Such a run stays where it is until it ends, and is
 * then taken off and appended as a whole: nothing is written for each of its members.
 *
 * Invariants: the members of run are neighbours on a list of the current interpreter's collector,
 * in that order; all others are reachable from first by _gc_next, the last one's is 0, and no
 * interpreter's lists know of them. */
typedef struct {
    PyGC_Head *first, *last;
    PyGC_Head *run_first, *run_last;
    Py_ssize_t run_len;
    Py_ssize_t len;       /* without the run */
    Py_ssize_t uncounted; /* taken off the lists; the collector's count does not know yet */
} ot_gc_chain_t;

/* Appends what is linked from `from` to `to`. */
static inline void
ot_gc_chain_append(ot_gc_chain_t *chain, PyGC_Head *from, PyGC_Head *to, Py_ssize_t n)
{
    if (chain->last != NULL) {
        _PyGCHead_SET_NEXT(chain->last, from);
        _PyGCHead_SET_PREV(from, chain->last);
    } else {
        chain->first = from;
    }
    to->_gc_next = 0;
    chain->last = to;
    chain->len += n;
}

/* Takes the run off the collector's list. */
static inline void
ot_gc_chain_end_run(ot_gc_chain_t *chain)
{
    PyGC_Head *from = chain->run_first, *to = chain->run_last;
    if (from == NULL) {
        return;
    }
    PyGC_Head *before = _PyGCHead_PREV(from), *after = _PyGCHead_NEXT(to);
    _PyGCHead_SET_NEXT(before, after);
    _PyGCHead_SET_PREV(after, before);
    chain->uncounted += chain->run_len;
    ot_gc_chain_append(chain, from, to, chain->run_len);
    chain->run_first = chain->run_last = NULL;
    chain->run_len = 0;
}

/* Takes o off its interpreter's lists, if it is on one, and appends it; not necessarily in order.
 * The caller calls ot_gc_chain_leave before it runs anything else in that interpreter. */
static inline void
ot_gc_chain_add(ot_gc_chain_t *chain, PyObject *o)
{
    PyGC_Head *gc = _Py_AS_GC(o);
#if OT_GC_SPLICES
    if (gc->_gc_next != 0) {
        PyGC_Head *last = chain->run_last;
        if (last != NULL && _PyGCHead_NEXT(last) == gc) {
            chain->run_last = gc;
            chain->run_len++;
            return;
        }
        if (last != NULL && _PyGCHead_PREV(chain->run_first) == gc) {
            chain->run_first = gc; /* a parent made before its children */
            chain->run_len++;
            return;
        }
        ot_gc_chain_end_run(chain);
        chain->run_first = chain->run_last = gc;
        chain->run_len = 1;
        return;
    }
#else
    PyObject_GC_UnTrack(o);
#endif
    ot_gc_chain_append(chain, gc, gc, 1);
}

/* Appends o, which may be in the chain already but on no collector's list; the chain's last object
 * looks untracked. */
static inline void
ot_gc_chain_include(ot_gc_chain_t *chain, PyObject *o)
{
    if (!ot_gc_header_is_tracked(o) && chain->last != _Py_AS_GC(o)) {
        ot_gc_chain_append(chain, _Py_AS_GC(o), _Py_AS_GC(o), 1);
    }
}

/* Takes the last run off the lists, and has the collector of the current interpreter, which the
 * chain came from, count right. */
static inline void
ot_gc_chain_leave(ot_gc_chain_t *chain)
{
    ot_gc_chain_end_run(chain);
#if OT_GC_COUNTS
    PyInterpreterState_Get()->gc.heap_size -= chain->uncounted;
#endif
    chain->uncounted = 0;
}

/* Takes the last run off the lists, and lowers the collector's count by all that the chain has: an interpreter that
 * gives objects away need not collect because it made them. At the end of a send. */
static inline void
ot_gc_chain_depart(ot_gc_chain_t *chain)
{
    ot_gc_chain_leave(chain);
#if OT_GC_SPLICES
    int *count = &ot_gc_generation(0)->count;
    *count = *count > chain->len ? *count - (int)chain->len : 0;
#endif
}

/* Aborts if the chain, which has no run, is broken. */
static inline void
ot_gc_chain_check(const ot_gc_chain_t *chain)
{
    PyGC_Head *before = NULL;
    Py_ssize_t n = 0;
    for (PyGC_Head *gc = chain->first; gc != NULL; before = gc, gc = _PyGCHead_NEXT(gc)) {
        OT_MUST(before == NULL || _PyGCHead_PREV(gc) == before);
        OT_MUST(Py_REFCNT(_Py_FROM_GC(gc)) > 0);
        n++;
    }
    OT_MUST(chain->last == before);
    OT_MUST(chain->len == n && chain->run_first == NULL && chain->run_len == 0);
}

#if OT_GC_SPLICES
/* Appends the chain, which is not empty, to one of the collector's lists; it is empty afterwards. */
static inline void
ot_gc_chain_splice(ot_gc_chain_t *chain, PyGC_Head *list)
{
    PyGC_Head *before = (PyGC_Head *)list->_gc_prev;
    _PyGCHead_SET_NEXT(before, chain->first);
    _PyGCHead_SET_PREV(chain->first, before);
    _PyGCHead_SET_NEXT(chain->last, list);
    list->_gc_prev = (uintptr_t)chain->last;
#if OT_GC_COUNTS
    PyInterpreterState_Get()->gc.heap_size += chain->len;
#endif
    *chain = (ot_gc_chain_t){0};
}
#endif

/* Has the current interpreter's collector track the whole chain, which is empty afterwards. One
 * splice, where the version allows it, however long the chain is. */
static inline void
ot_gc_chain_track(ot_gc_chain_t *chain)
{
    ot_gc_chain_leave(chain);
    if (chain->first == NULL) {
        return;
    }
#if OT_GC_SPLICES
    ot_gc_chain_splice(chain, PyInterpreterState_Get()->gc.generation0);
#else
    for (PyGC_Head *gc = chain->first, *next; gc != NULL; gc = next) {
        next = _PyGCHead_NEXT(gc);
        gc->_gc_next = 0;
        ot_gc_track(_Py_FROM_GC(gc));
    }
    *chain = (ot_gc_chain_t){0};
#endif
}

enum { OT_GC_MANY = 1000 };

/* Has the current interpreter's collector track the whole chain, which is empty afterwards, and count it as if the
 * interpreter had allocated it, so that the collector runs in time. A large chain without cycles goes to the oldest
 * generation instead, as long-lived objects that wait for a full collection: a young collection would only find all of it
 * alive. */
static inline void
ot_gc_chain_arrive(ot_gc_chain_t *chain, bool acyclic)
{
#if OT_GC_SPLICES
    ot_gc_chain_leave(chain);
    struct _gc_runtime_state *gc = &PyInterpreterState_Get()->gc;
    if (acyclic && chain->len > OT_GC_MANY && !gc->collecting) {
        gc->long_lived_pending += chain->len;
        ot_gc_chain_splice(chain, &ot_gc_generation(2)->head);
        return;
    }
    struct gc_generation *young = ot_gc_generation(0);
    int room = INT_MAX - 1 - young->count;
    young->count += chain->len < room ? (int)chain->len : room;
    ot_gc_chain_track(chain);
    if (young->threshold != 0 && young->count > young->threshold) {
        /* Only an allocation looks at the count, and a receiver may make none. A cell is never taken from
         * a free list. The collection is put off to the next bytecode. */
        PyObject *error = PyErr_GetRaisedException();
        Py_XDECREF(PyCell_New(NULL));
        PyErr_SetRaisedException(error); /* no memory for a cell: the next allocation looks */
    }
#else
    (void)acyclic;
    ot_gc_chain_track(chain);
#endif
}

/* How many containers the current interpreter's collector thinks it has, which decides when it
 * runs; 0 where it does not count. */
static inline Py_ssize_t
ot_gc_counted(void)
{
#if OT_GC_COUNTS
    return PyInterpreterState_Get()->gc.heap_size;
#else
    return 0;
#endif
}

#endif
