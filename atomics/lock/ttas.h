/* ttas.h: test-and-test-and-set with exponential backoff (Anderson 1990; Rudolph and Segall 1984).
 *
 * A waiter reads until the lock looks free, so the line stays shared among waiters, and only then
 * writes; after each failure it waits twice as long, and from a bound on gives its core away.
 * Order: exchange acquires, the store of unlock releases.
 * Cost: alone one XCHG and one store. Wrong when: fairness matters: whoever is nearest wins.
 */
#ifndef OT_ATOMICS_LOCK_TTAS_H
#define OT_ATOMICS_LOCK_TTAS_H

#include "atomics/lock/contract.h"

enum { OT_LK_TTAS_MOST_PAUSES = 256 };

typedef struct {
    atomic_bool taken;
} ot_lk_ttas_t;

static inline void
ot_lk_ttas_init(ot_lk_ttas_t *lk)
{
    atomic_init(&lk->taken, false);
}

static inline void
ot_lk_ttas_lock(ot_lk_ttas_t *lk)
{
    int pauses = 1;
    while (atomic_exchange_explicit(&lk->taken, true, memory_order_acquire)) {
        do {
            for (int i = 0; i < pauses; i++) {
                ot_pause();
            }
            if (pauses < OT_LK_TTAS_MOST_PAUSES) {
                pauses *= 2;
            } else {
                sched_yield(); /* the holder may be waiting for this very core */
            }
        } while (atomic_load_explicit(&lk->taken, memory_order_relaxed));
    }
}

static inline void
ot_lk_ttas_unlock(ot_lk_ttas_t *lk)
{
    atomic_store_explicit(&lk->taken, false, memory_order_release);
}

OT_LK_NOTHING_TO_DESTROY(ttas)

#endif
