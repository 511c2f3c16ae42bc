/* temporary.h: objects that only a call of one of ours refers to, as in t.send((a, b)).
 *
 * Purpose: the content of such an object may be taken out of it, for nobody can look at it again. That
 * its refcount is 1 does not say so: a C function between the Python code and ours may be its holder.
 *
 * A *consumer* is a callable of ours that hands an argument over and does not use it afterwards. An
 * object is a temporary if the running Python frame is at an instruction that calls a consumer with it.
 *
 * Threading: the GIL of the interpreter.
 */
#ifndef OT_TUNNEL_TEMPORARY_H
#define OT_TUNNEL_TEMPORARY_H

#include "runtime/cpython/version.h"

struct ot_proof;

enum { OT_MOST_CONSUMERS = 16 };

/* An interpreter's consumers. Invariant: callables[0..n) are owned. */
typedef struct {
    size_t n;
    PyObject *callables[OT_MOST_CONSUMERS]; /* method descriptors, functions of a module, types */
    struct ot_proof *sends;                 /* those under way, the newest first */
} ot_consumers_t;

/* Adds getattr(owner, name), or owner itself if name is NULL. 0, or -1 with an exception set. */
int ot_consumer_add(ot_consumers_t *consumers, PyObject *owner, const char *name);
int ot_consumers_traverse(ot_consumers_t *consumers, visitproc visit, void *arg);
void ot_consumers_clear(ot_consumers_t *consumers);

/* Until it is called again: what this thread stores by `container`[...] = value is handed over. Borrowed; NULL: none.
 * Returns the container before, to be put back. */
PyObject *ot_consumer_stores(PyObject *container);

/* Whether o is a temporary. Always "no" on 3.13, which cannot tell for certain. */
bool ot_is_temporary(ot_consumers_t *consumers, PyObject *o);

/* Whether o is a temporary, for callers to whose memory a wrong "yes" does no harm. On 3.13 a wrong "yes" is possible:
 * a C function holds o, and an earlier call of a consumer left the same addresses on the calling frame's stack. */
bool ot_seems_temporary(ot_consumers_t *consumers, PyObject *o);

#endif
