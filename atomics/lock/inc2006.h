/* inc2006.h: the "LOCK INC malloc_lock" spin lock of 2006, exactly as it was posted: increment;
 * if the lock is not 1 now, decrement, yield, retry.
 *
 * Main invariant: every holder and every thread between its inc and its dec counts as one. Whoever
 * reads 1 after its own inc is alone, so there is never a second holder; two that meet may both
 * read 2 and both step back.
 * Order: the LOCKed inc and dec are full barriers: acquire and release for nothing extra.
 * Cost: alone one LOCK INC, one load, one LOCK DEC. Contended, every attempt takes the line away
 * from the holder twice, and a thread that steps back can keep a free lock looking taken.
 * Wrong when: many wait, the lock is held for long, or fairness or priorities matter: progress is
 * likely (the yields differ), not certain.
 */
#ifndef OT_ATOMICS_LOCK_INC2006_H
#define OT_ATOMICS_LOCK_INC2006_H

#include "atomics/lock/contract.h"
#include "atomics/locked.h"

typedef struct {
    atomic_long malloc_lock;
} ot_lk_inc2006_t;

static inline void
ot_lk_inc2006_init(ot_lk_inc2006_t *lk)
{
    atomic_init(&lk->malloc_lock, 0);
}

static inline void
ot_lk_inc2006_lock(ot_lk_inc2006_t *lk)
{
    for (;;) {
        ot_locked_inc(&lk->malloc_lock);
        if (atomic_load(&lk->malloc_lock) == 1) {
            return;
        }
        (void)ot_locked_dec_is_zero(&lk->malloc_lock);
        sched_yield();
    }
}

static inline void
ot_lk_inc2006_unlock(ot_lk_inc2006_t *lk)
{
    (void)ot_locked_dec_is_zero(&lk->malloc_lock);
}

OT_LK_NOTHING_TO_DESTROY(inc2006)

#endif
