/* thread.h: which thread state, interpreter and GIL does this OS thread run under?
 *
 * The record that the 2006 idea wanted in the thread state: "a pointer to the current GIL".
 * CPython knows it, but tells nobody; extensions that serve several interpreters need it to
 * tell "an object of mine" from "an object of somebody else's".
 */
#ifndef OT_RUNTIME_THREAD_H
#define OT_RUNTIME_THREAD_H

#include "runtime/cpython/version.h"

/* Invariant after ot_thread_current(): tstate is the thread's attached thread state,
 * interp == tstate->interp, and gil is the GIL that it holds; all NULL while detached. */
typedef struct {
    PyThreadState *tstate;
    PyInterpreterState *interp;
    int64_t interp_id; /* never reused within a process, unlike addresses; -1 while detached */
    void *gil;         /* that this thread holds; NULL while detached */
} ot_thread_t;

/* The calling thread's record, brought up to date: a few loads and compares.
 * Needs: nothing, may be called detached. Returns a pointer good for this thread's lifetime;
 * its content is true until the thread next attaches or detaches. */
const ot_thread_t *ot_thread_current(void);

#endif
