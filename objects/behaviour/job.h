/* job.h: a behaviour as the crew has it: its boxes, what is to be done with them, and the box for the result.
 *
 * Purpose: the life of a behaviour: made and enqueued by whoever schedules it, taken by a worker, ended there; or dropped
 * when the process ends.
 * Invariant: from ot_job_schedule until it is ended a job owns a reference to each of its boxes, and holds `result`.
 * Threading: one thread at a time has a job. Needs an attached thread state where that is said.
 */
#ifndef OT_OBJECTS_JOB_H
#define OT_OBJECTS_JOB_H

#include "objects/behaviour/code.h"
#include "objects/behaviour/own.h"
#include "objects/box/crew.h"
#include "objects/box/box.h"

typedef struct {
    ot_behaviour_t behaviour; /* first; its requests are ours */
    uint64_t number;          /* 1, 2, ... in the process */
    ot_code_t *code;          /* owned; NULL: the work says it all */
    ot_own_t *own;    /* owned; what the code's function has; NULL: nothing, or `work` has it */
    ot_value_t *work; /* owned; NULL: there is none, or it was taken out */
    ot_box_t *result; /* owned; held by the behaviour until it ends */
    bool strict;      /* what would be copied on its way back is an error */
    uint32_t *places; /* the i-th box as it was named is that of requests[places[i]] */
    ot_request_t requests[];
} ot_job_t;

/* Makes a job and enters it into the queues of its boxes, of which it only reads the last `reads` ones.
 * Needs: a crew; an attached thread state. Refs: boxes are borrowed, code, own and work (NULL: none) are stolen, on failure too.
 * Returns a new reference to the result; NULL with MemoryError, or ValueError if a box is named twice, or one that is pinned is to be read: then nothing is
 * scheduled. */
ot_box_t *ot_job_schedule(ot_box_t *const *boxes, size_t n, size_t reads, ot_code_t *code,
                          ot_own_t *own, ot_value_t *work, bool strict);

/* The i-th box as it was named; whether it is only read. */
static inline ot_box_t *
ot_job_box(const ot_job_t *job, size_t i)
{
    return (ot_box_t *)job->requests[job->places[i]].cown;
}

static inline bool
ot_job_reads(const ot_job_t *job, size_t i)
{
    return job->requests[job->places[i]].reads;
}

/* Frees all of its boxes, and the result, which has its content or failure. Nothing is left of the job.
 * Needs: an attached thread state. Runs: e (what nobody refers to any more is freed). */
void ot_job_end(ot_job_t *job);

/* Puts to rest the trees that stayed in the calling worker for this job, which will not run there after all. What cannot be
 * put to rest is lost, and reported as unraisable. Needs, runs: as ot_job_end. */
void ot_job_settle(ot_objects_t *home, const ot_job_t *job);

/* Ends a job that was never begun: the result says so. Needs, runs: as ot_job_end. */
void ot_job_drop(ot_objects_t *home, ot_job_t *job);

/* A failure without an exception: RuntimeError(text). NULL with an exception set. */
ot_value_t *ot_job_failure(ot_objects_t *home, const char *text);

#endif
