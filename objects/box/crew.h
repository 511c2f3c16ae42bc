/* crew.h: the workers that run behaviours, and how a behaviour that has all of its cowns finds one.
 *
 * Purpose: one crew a process. Each member (a thread of a worker interpreter) has a queue. Who makes a behaviour ready
 * puts it into the queue of a member that is idle and wakes that one. If none is, it goes into its own queue, or any; and a
 * member whose queue is empty takes from the others' before it sleeps. There is no queue, and no lock, of the whole crew.
 * Invariants: a behaviour that is ready is in one queue, or a member has taken it. No member sleeps for ever while an
 * ordinary queue is not empty. A behaviour that is bound to a member runs there and nowhere else.
 * Threading: any thread, but for what says "member". No Python; hold no GIL while waiting.
 *
 * Why nobody sleeps beside work: who puts a behaviour into a queue looks at `idle` afterwards; who is about to sleep sets
 * its bit in `idle` and looks at all queues afterwards. Both orders are sequentially consistent, so one of the two sees
 * what the other has done.
 */
#ifndef OT_OBJECTS_CREW_H
#define OT_OBJECTS_CREW_H

#include "objects/box/cown.h"

enum { OT_CREW_MAX = 64 /* members: the bits of `idle` */, OT_CREW_HOSTS = 64 };

typedef struct {
    uint64_t scheduled, done, running;
    uint64_t moved, copied, pickled; /* objects, on their way out of members */
    uint64_t stayed;                 /* trees that the next behaviour found where they were */
} ot_crew_counts_t;

/* Makes the crew of the process, of n members. False: there is one. */
bool ot_crew_start(size_t n);

/* How many members it was made for; 0: there is none. */
size_t ot_crew_size(void);

/* Has no more behaviours begun: members get NULL from ot_crew_take, and who makes one ready leaves it in a queue. */
void ot_crew_stop(void);
bool ot_crew_is_stopping(void);

/* For a child after fork(): there is no crew. */
void ot_crew_forget(void);

/* Counts one behaviour that was scheduled, and one that has run. */
void ot_crew_count_scheduled(void);
void ot_crew_count_done(void);
ot_crew_counts_t ot_crew_counts(void);

/* The calling member adds to its own statistics: moved, copied, pickled, stayed. */
void ot_crew_count_objects(uint64_t moved, uint64_t copied, uint64_t pickled, uint64_t stayed);

/* Until all are done: OK, TIMEOUT, INTERRUPTED. Or until something is bound to the host (-1: none): BROKEN. */
ot_sync_result_t ot_crew_wait(const ot_patience_t *patience, int host);

/* Puts a behaviour that has all of its cowns into a member's queue: what its `ready` does. member: the only one that it may
 * run in, or -1. */
void ot_crew_put(ot_behaviour_t *b, int member);

/* What was put and nobody has taken, when no member is left: NULL after the last one. */
ot_behaviour_t *ot_crew_take_back(void);

/* ---- the members' own threads ------------------------------------------------------------------ */

/* The calling thread is member `index` from now on. */
void ot_crew_join(size_t index);

/* The calling thread is no member any more; what was bound to it may run anywhere. The last one that leaves stops the crew,
 * if nobody else has: it gets true, and is to see to what is left. */
bool ot_crew_leave(void);

/* The calling thread's index, -1: it is no member. */
int ot_crew_self(void);

/* The next one to run: sleeps until there is one, unless the deadline is OT_DONT_WAIT. NULL: the crew stops; or patience gave up: *interrupted. */
ot_behaviour_t *ot_crew_take(const ot_patience_t *patience, bool *interrupted);

/* The next one that is bound to the calling member, without waiting; NULL: there is none. */
ot_behaviour_t *ot_crew_take_bound(void);

/* Between these two the member frees the cowns of the behaviour that it has run: the first one that is ready by that it
 * runs itself, next, without anybody being woken. */
void ot_crew_finish_begin(void);
void ot_crew_finish_end(void);

/* ---- hosts ----------------------------------------------------------------------------------------
 *
 * A host is one more member: an interpreter with trees that stay in it. Its threads run only what is bound to it, when they
 * want to. Its index is at least the crew's size. One thread of it, the one that ran something last or began it, is the one
 * that runs what is bound while it waits for something else. */

/* The host of the interpreter, made if need be: its index. From now on behaviours can be bound to it. -1: there are
 * OT_CREW_HOSTS already. */
int ot_crew_host_begin(int64_t interp);

/* The interpreter's host: its index; -1: it has none. */
int ot_crew_host_of(int64_t interp);

/* The interpreter's host, if the calling thread runs what is bound to it: its index. -1: the interpreter has no host,
 * another thread runs that, or the caller is a member of the crew. */
int ot_crew_host_here(int64_t interp);

/* The interpreter ends; what was bound to it may run anywhere. */
void ot_crew_host_end(int host);

/* Around what a host runs: the calling thread stands for the host in between. */
void ot_crew_host_enter(int host);
void ot_crew_host_leave(void);

/* Sets a flag that a thread of the host waits for. Any thread. */
void ot_crew_host_tell(int host, bool *flag);

/* Until the flag is set (OK), or something is bound to the host (BROKEN); TIMEOUT, INTERRUPTED. Without a flag it is BROKEN,
 * too, when the crew stops; with one, what is bound is of no interest then. */
ot_sync_result_t ot_crew_host_wait(int host, const bool *flag, const ot_patience_t *patience);

/* A descriptor that can be read from while something is bound to the host; -1 with errno. The host's. */
int ot_crew_host_fd(int host);
void ot_crew_host_drain(int host);

/* Whether there is that member still, of interpreter `interp` if it is a host. */
bool ot_crew_has(int member, int64_t interp);

/* Whether the calling thread is a member that is no host. */
bool ot_crew_is_worker(void);

/* Aborts if a member's queue is broken. Each change of a queue ends with it where OT_CHECKS is on. */
struct ot_member;
void ot_member_check_locked(const struct ot_member *member);

#endif
