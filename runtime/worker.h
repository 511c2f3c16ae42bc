/* worker.h: an interpreter with its own GIL on an OS thread of its own.
 *
 * The thread creates the interpreter (PEP 684, Py_NewInterpreterFromConfig), runs one C function
 * in it, ends it, and goes. Jobs are numbered; the one that runs can be interrupted. What a job is,
 * and how one that has not begun is cancelled, is the caller's business.
 *
 * Threading: every function may be called by any thread of any interpreter that holds a
 * reference; none blocks or takes a GIL.
 */
#ifndef OT_RUNTIME_WORKER_H
#define OT_RUNTIME_WORKER_H

#include "runtime/cpython/version.h"

typedef struct ot_worker ot_worker_t;

typedef struct {
    /* Runs in the new interpreter, attached to it; owns its GIL. */
    void (*main)(ot_worker_t *worker, void *arg);
    /* The thread's last call: no interpreter any more, no thread state. Frees arg. */
    void (*ended)(ot_worker_t *worker, void *arg);
    void *arg;
} ot_worker_job_t;

/* Starts the thread and returns at once. A new reference, or NULL without memory or threads (no
 * exception set; then `ended` is not called). Needs: nothing. */
ot_worker_t *ot_worker_start(const char *name, ot_worker_job_t job);

void ot_worker_ref(ot_worker_t *w);
void ot_worker_unref(ot_worker_t *w);

/* Why the interpreter could not be made or did not run; NULL if it did. Borrowed; set before
 * `ended`. */
const char *ot_worker_error(ot_worker_t *w);

/* Takes a copy of the text. Called by `main`. */
void ot_worker_set_error(ot_worker_t *w, const char *text);

/* The interpreter's id, -1 before there is one. Stays after it has ended. */
int64_t ot_worker_interp_id(ot_worker_t *w);

/* Workers' threads that have no thread state yet, or none any more: busy, and in nobody's list. */
size_t ot_worker_coming_and_going(void);

/* Raises KeyboardInterrupt in the job with this number if it runs (0: in whichever runs): between two bytecodes, or
 * in a blocked tunnel operation. Returns whether it runs. */
bool ot_worker_interrupt(ot_worker_t *w, uint64_t job);

/* How often the job that runs was interrupted. */
uint64_t ot_worker_interrupts(ot_worker_t *w);

/* A KeyboardInterrupt got lost (in a destructor, say): if the calling thread is the worker and its job was
 * interrupted, raises it again at the thread's next bytecode. Whether it does. Needs: attached. */
bool ot_worker_interrupt_again(ot_worker_t *w);

/* Called by the worker's own thread around each job, attached; numbers begin with 1. After end no
 * interrupt for the job arrives any more. */
void ot_worker_begin(ot_worker_t *w, uint64_t job);
void ot_worker_end(ot_worker_t *w);

/* To be called when a wait ended with "interrupted": true, with KeyboardInterrupt set, if this
 * thread is a worker and its job is to be interrupted. Needs: attached. */
bool ot_worker_check_interrupt(void);

/* Whether the calling thread is a worker. */
bool ot_worker_is_self(void);

#endif
