/* epoch.h: when may what others might still be reading be freed?
 *
 * Purpose: readers of shared tables take no lock and count no references; they say "I am reading" in
 * a cache line of their own. What is unlinked is *retired*, and freed when everybody who could have
 * seen it has stopped reading since.
 * Invariant: a thread's `turn` is odd exactly while it reads. What a reader found is not freed before
 * its turn has changed.
 * Threading: any thread. Readers never wait and write to no line that others write; nobody ever
 * waits for a reader without an end to it. No Python; what is freed may need a thread state, hence
 * ot_epoch_collect is called by who has one.
 *
 * A grace period: note every thread's turn; it is over when each that was odd has changed. There is
 * one at a time in the process, numbered; who retires something writes down the number of the next
 * one to begin, and that must be over. So readers read no shared epoch, and writers disturb nobody.
 *
 * Orders: either the grace period sees the reader, or the reader sees the unlinking. For that a
 * reader's announcement must come before its reads, which costs a full barrier; Linux can have all
 * running threads of the process execute one (membarrier), and then whoever begins a grace period
 * pays for it, and a reader's announcement is a plain store that the compiler must not move (litmus
 * epoch_membarrier, litmus epoch_new_reader). Where that call is refused readers execute a barrier of
 * their own (litmus epoch_barriers).
 *
 * A thread that retires much, and then sleeps or ends, cannot free what a reader was in the way of.
 * So it asks that reader (`asked`), and the reader collects for all when it has left its guard.
 */
#ifndef OT_OBJECTS_EPOCH_H
#define OT_OBJECTS_EPOCH_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "atomics/cpu.h"
#include "atomics/lock/ttas.h"

typedef struct {
    void *what;
    void (*free)(void *what);
    uint64_t after; /* the grace period that must be over */
} ot_retired_t;

/* A thread's; when it ends, the next new thread's. Never freed. */
typedef struct ot_reader {
    OT_OWN_LINE atomic_uint_fast64_t turn; /* written by the thread alone */
    unsigned depth;                        /* of guards; the thread's alone */
    atomic_bool asked; /* to collect for all; set by who could not, under gp.lock */
    /* Apart from what the thread writes all the time: */
    OT_OWN_LINE struct ot_reader *next; /* never changes once it is in the list */
    atomic_bool taken;
    uint64_t noted; /* turn when the grace period began; its lock's */
    /* What the thread retired, oldest first: items[first..last). Others may take from it. */
    ot_lk_ttas_t lock; /* guards all below */
    ot_retired_t *items;
    size_t first, last, room; /* first <= last <= room; 0, 0 if nothing is retired */
    bool large;               /* something large may be among it */
} ot_reader_t;

/* initial-exec: one instruction instead of a call; eight bytes of the room that there always is. */
extern __attribute__((visibility("hidden"),
                      tls_model("initial-exec"))) _Thread_local ot_reader_t *ot_epoch_mine;

/* Whether grace periods begin with a membarrier. Written once, before the first record is made. */
extern __attribute__((visibility("hidden"))) bool ot_epoch_asymmetric;

/* The calling thread's record, made if need be. NULL without memory. */
ot_reader_t *ot_epoch_reader(void);

/* ---- reading --------------------------------------------------------------------------------- */

static inline void
ot_epoch_enter_as(ot_reader_t *me)
{
    if (me->depth++ == 0) {
        uint64_t turn = atomic_load_explicit(&me->turn, memory_order_relaxed) + 1;
        if (__builtin_expect(ot_epoch_asymmetric, 1)) {
            atomic_store_explicit(&me->turn, turn, memory_order_relaxed);
            atomic_signal_fence(memory_order_seq_cst);
        } else {
            atomic_store_explicit(&me->turn, turn, memory_order_relaxed);
            ot_full_barrier();
        }
    }
}

/* From here to ot_epoch_leave what is found stays. Guards nest. Between them: no waiting, no code
 * that might run Python. False without memory, which is possible only the first time in a thread. */
static inline bool
ot_epoch_enter(void)
{
    ot_reader_t *me = ot_epoch_mine;
    if (__builtin_expect(me == NULL, 0) && (me = ot_epoch_reader()) == NULL) {
        return false;
    }
    ot_epoch_enter_as(me);
    return true;
}

/* Release: our reads come before. Pairs with the looks at our turn (litmus epoch_quiet_membarrier, litmus
 * epoch_quiet_barriers). */
static inline void
ot_epoch_leave(void)
{
    ot_reader_t *me = ot_epoch_mine;
    if (--me->depth == 0) {
        uint64_t turn = atomic_load_explicit(&me->turn, memory_order_relaxed) + 1;
        atomic_store_explicit(&me->turn, turn, memory_order_release);
    }
}

/* Whether this thread was in the way of somebody who has much to free: then ot_epoch_collect(true) is
 * due, out of the guard. Relaxed: asked just before it left, the thread may not see it. Then its next
 * look does, or the next collection of who asked frees it. */
static inline bool
ot_epoch_is_asked(void)
{
    const ot_reader_t *me = ot_epoch_mine;
    return me != NULL &&
           __builtin_expect(atomic_load_explicit(&me->asked, memory_order_relaxed), 0);
}

/* ---- retiring -------------------------------------------------------------------------------- */

/* Makes room for n calls of ot_epoch_retire by this thread, which then cannot fail; false without
 * memory. */
bool ot_epoch_reserve(size_t n);

/* Makes room for n calls of ot_epoch_retire in addition to those that there is room for already; false without
 * memory. */
bool ot_epoch_reserve_more(size_t n);

/* Has a later ot_epoch_collect, of whichever thread, call free(what). The caller has unlinked `what`. Without room it is
 * leaked: so reserve some, and do without only where memory ran out and there is nothing else to do. */
void ot_epoch_retire(void *what, void (*free)(void *what));

/* ot_epoch_retire for something large: it is worth a collection of its own. */
void ot_epoch_retire_large(void *what, void (*free)(void *what));

/* How many this thread has retired that are not freed yet. */
size_t ot_epoch_retired(void);

/* Whether this thread is to call ot_epoch_collect: it has retired `pile` or more, or something large. */
bool ot_epoch_is_due(size_t pile);

/* Frees what this thread has retired (or all threads have), as far as no reader is in the way. Where readers are in the way
 * of much, it asks them to free the rest. Frees the room for it as well, if that is large and not needed any more: what was
 * reserved may be gone. Not within a guard; runs the free functions, without any lock. */
void ot_epoch_collect(bool of_all_threads);

/* Waits until everybody who might be reading what was unlinked before has stopped. False: somebody
 * still reads after so many looks at it. Not within a guard. */
bool ot_epoch_quiet(unsigned looks);

/* Aborts if an invariant of a record does not hold. */
void ot_epoch_check(void);

#endif
