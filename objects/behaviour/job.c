/* job.c: see job.h. */
#include "objects/behaviour/job.h"

#include <stdlib.h>

#include "runtime/checks.h"

static _Atomic uint64_t last_number;

/* Gives a behaviour that has all of its boxes to the crew. If a box that it changes has a tree that cannot travel, it runs on the
 * member that keeps this tree. A box that it only reads does not count: such a tree cannot be read by anybody. */
static void
ready(ot_behaviour_t *b)
{
    int member = OT_NOT_KEPT;
    for (size_t i = 0; member < 0 && i < b->n; i++) {
        const ot_request_t *r = &b->requests[i];
        member = r->reads ? OT_NOT_KEPT : atomic_load(&((ot_box_t *)r->cown)->keeper);
    }
    ot_crew_put(b, member < 0 ? -1 : member);
}

/* ---- making ---------------------------------------------------------------------------------- */

/* The requests are sorted by id. */
static uint32_t
place_of(const ot_job_t *job, const ot_box_t *box)
{
    size_t low = 0, high = job->behaviour.n;
    while (high - low > 1) {
        size_t middle = (low + high) / 2;
        if (job->requests[middle].cown->lock.head.id <= box->cown.lock.head.id) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return (uint32_t)low;
}

static bool
is_named_twice(const ot_job_t *job)
{
    for (size_t i = 1; i < job->behaviour.n; i++) {
        if (job->requests[i].cown == job->requests[i - 1].cown) {
            return true;
        }
    }
    return false;
}

/* A new job for the boxes, to which it has no references yet. NULL with an exception. */
static ot_job_t *
new_job(ot_box_t *const *boxes, size_t n, size_t reads)
{
    ot_job_t *job = malloc(sizeof *job + n * (sizeof *job->requests + sizeof *job->places));
    if (job == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    job->places = (uint32_t *)(job->requests + n);
    for (size_t i = 0; i < n; i++) {
        job->requests[i] = (ot_request_t){.cown = &boxes[i]->cown, .reads = i >= n - reads};
        if (job->requests[i].reads && boxes[i]->pinned_to >= 0) {
            PyErr_Format(PyExc_ValueError,
                         "Box %llu is pinned: its tree is never at rest, so it cannot be named in "
                         "read=. Name it before that",
                         (unsigned long long)boxes[i]->cown.lock.head.id);
            free(job);
            return NULL;
        }
    }
    ot_behaviour_init(&job->behaviour, job->requests, n, ready);
    if (is_named_twice(job)) {
        PyErr_SetString(PyExc_ValueError, "a behaviour's boxes must differ");
        free(job);
        return NULL;
    }
    for (size_t i = 0; i < n; i++) {
        job->places[i] = place_of(job, boxes[i]);
    }
    return job;
}

ot_box_t *
ot_job_schedule(ot_box_t *const *boxes, size_t n, size_t reads, ot_code_t *code, ot_own_t *own,
                ot_value_t *work, bool strict)
{
    ot_job_t *job = new_job(boxes, n, reads);
    ot_box_t *result = job == NULL ? NULL : ot_box_new(NULL);
    if (result == NULL) {
        ot_code_unref(code);
        ot_own_free(own);
        ot_value_unref(work);
        free(job);
        return NULL;
    }
    job->code = code;
    job->own = own;
    job->work = work;
    job->strict = strict;
    job->result = result;
    job->number = atomic_fetch_add_explicit(&last_number, 1, memory_order_relaxed) + 1;
    for (size_t i = 0; i < n; i++) {
        ot_shared_ref(&boxes[i]->cown.lock.head);
    }
    ot_shared_ref(&result->cown.lock.head); /* before a worker can have ended it */
    ot_crew_count_scheduled();
    ot_behaviour_enqueue(&job->behaviour);
    return result;
}

/* ---- the end --------------------------------------------------------------------------------- */

void
ot_job_end(ot_job_t *job)
{
    size_t n = job->behaviour.n;
    OT_CHECK(OT_MUST(job->behaviour.missing == 0));
    ot_crew_finish_begin();
    for (size_t i = 0; i < n; i++) {
        ot_cown_release(job->requests[i].cown);
    }
    ot_cown_release(&job->result->cown);
    ot_crew_finish_end();
    for (size_t i = 0; i < n; i++) {
        ot_shared_unref(&job->requests[i].cown->lock.head);
    }
    ot_shared_unref(&job->result->cown.lock.head);
    ot_code_unref(job->code);
    ot_own_free(job->own);
    ot_value_unref(job->work);
    free(job);
    ot_crew_count_done(); /* last: who waits for the end finds nothing half freed */
}

ot_value_t *
ot_job_failure(ot_objects_t *home, const char *text)
{
    PyObject *description =
        Py_BuildValue("[[{s:s,s:s}],s]", "name", "RuntimeError", "text", text, text);
    ot_value_t *failure = description == NULL ? NULL : ot_value_new(home, description);
    Py_XDECREF(description);
    return failure;
}

void
ot_job_settle(ot_objects_t *home, const ot_job_t *job)
{
    int member = ot_crew_self();
    for (size_t i = 0; member >= 0 && i < job->behaviour.n; i++) {
        ot_box_t *box = (ot_box_t *)job->requests[i].cown;
        if (atomic_load(&box->keeper) == member && box->kept_alive &&
            ot_box_settle(home, box) < 0) {
            PyErr_WriteUnraisable(NULL);
        }
    }
}

void
ot_job_drop(ot_objects_t *home, ot_job_t *job)
{
    static const char text[] = "the behaviour was dropped: the workers ended before it could run";
    ot_job_settle(home, job);
    ot_value_t *failure = ot_job_failure(home, text);
    if (failure == NULL) {
        PyErr_Clear(); /* the result is then lost, which is an error too */
    }
    ot_box_fail(job->result, failure, text);
    job->result->opened = true; /* whoever drops jobs says how many */
    ot_job_end(job);
}
