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

/* Stops the crew: from now on ot_crew_take returns NULL to members, and behaviours that become ready stay in the queues. */
void ot_crew_stop(void);
bool ot_crew_is_stopping(void);

/* In a child after fork(): the process has no crew any more. What the old one had is not freed. */
void ot_crew_forget(void);

/* Counts one behaviour that was scheduled, and one that has run. */
void ot_crew_count_scheduled(void);
void ot_crew_count_done(void);
ot_crew_counts_t ot_crew_counts(void);

/* Adds to the calling member's statistics (ot_crew_counts_t says what they are). Nothing if the thread is no member. */
void ot_crew_count_objects(uint64_t moved, uint64_t copied, uint64_t pickled, uint64_t stayed);

/* Waits until as many behaviours are done as were scheduled: OK, TIMEOUT, INTERRUPTED. BROKEN: before that a behaviour was
 * bound to `host` (-1: no host), which the caller is to run. */
ot_sync_result_t ot_crew_wait(const ot_patience_t *patience, int host);

/* Puts a behaviour that has all of its cowns into a member's queue: what its `ready` does. member: the only one that it may
 * run in, or -1. */
void ot_crew_put(ot_behaviour_t *b, int member);

/* Takes a behaviour out of the queues once all members have left; NULL: the queues are empty. The caller drops it. */
ot_behaviour_t *ot_crew_take_back(void);

/* ---- the members' own threads ------------------------------------------------------------------ */

/* Makes the calling thread member `index`. */
void ot_crew_join(size_t index);

/* Ends the calling thread's membership; behaviours that were bound to it may run anywhere. True for the last member that
 * leaves: the crew is stopped then, and that thread drops what ot_crew_take_back returns. */
bool ot_crew_leave(void);

/* The index of the calling thread among the members; -1: the thread is no member. */
int ot_crew_self(void);

/* Takes the behaviour that the calling member runs next, and sleeps until there is one. NULL: none is there and patience's
 * deadline is OT_DONT_WAIT (no other deadline is looked at); the crew stops; or patience gave up, which sets *interrupted. */
ot_behaviour_t *ot_crew_take(const ot_patience_t *patience, bool *interrupted);

/* Takes the next behaviour that is bound to the calling member, without waiting. NULL: none is bound. */
ot_behaviour_t *ot_crew_take_bound(void);

/* A member calls these two before and after it releases the cowns of the behaviour that it has run. The first behaviour
 * that becomes ready in between is run next by the same member, and no other member is woken for it. */
void ot_crew_finish_begin(void);
void ot_crew_finish_end(void);

/* ---- hosts ----------------------------------------------------------------------------------------
 *
 * A host is one more member: an interpreter with trees that stay in it. Its threads run only what is bound to it, when they
 * want to. Its index is at least the crew's size. One thread of it, the one that ran something last or began it, is the one
 * that runs what is bound while it waits for something else. */

/* The index of the interpreter's host, which is made if the interpreter has none. From now on behaviours can be bound to it.
 * -1: there are OT_CREW_HOSTS hosts already. */
int ot_crew_host_begin(int64_t interp);

/* The index of the interpreter's host; -1: the interpreter has none. */
int ot_crew_host_of(int64_t interp);

/* The index of the interpreter's host, if the calling thread is the one that runs what is bound to it. -1: the interpreter
 * has no host, another thread runs what is bound to it, or the calling thread is a member at this moment. */
int ot_crew_host_here(int64_t interp);

/* Ends a host with its interpreter; behaviours that were bound to it may run anywhere. */
void ot_crew_host_end(int host);

/* A thread calls these two before and after it runs what is bound to the host. In between ot_crew_self() is the host. */
void ot_crew_host_enter(int host);
void ot_crew_host_leave(void);

/* Sets a flag that a thread of the host waits for. Any thread. */
void ot_crew_host_tell(int host, bool *flag);

/* Waits until the flag is set (OK) or a behaviour is bound to the host (BROKEN); TIMEOUT, INTERRUPTED. When the crew stops,
 * a caller without a flag gets BROKEN, and a caller with a flag waits for the flag alone. */
ot_sync_result_t ot_crew_host_wait(int host, const bool *flag, const ot_patience_t *patience);

/* A descriptor that can be read from while a behaviour is bound to the host; -1 with errno. The host owns it. drain makes it
 * unreadable until the next behaviour is bound. */
int ot_crew_host_fd(int host);
void ot_crew_host_drain(int host);

/* Whether the member has not left; and, if it is a host, whether it is that of interpreter `interp`. */
bool ot_crew_has(int member, int64_t interp);

/* Whether the calling thread is a member that is no host. */
bool ot_crew_is_worker(void);

/* Aborts if a member's queue is broken. Each change of a queue ends with it where OT_CHECKS is on. */
struct ot_member;
void ot_member_check_locked(const struct ot_member *member);

#endif
