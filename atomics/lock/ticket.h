/* ticket.h: first come, first served (Mellor-Crummey and Scott 1991; Linux 2.6.25).
 *
 * Order: the load of `serving` acquires, its store releases; drawing a ticket orders nothing.
 * Cost: alone one LOCK XADD and one store. Wrong when: there are more threads than cores: the one
 * whose turn it is may not be running, and nobody else may go. Hence the yield.
 */
#ifndef OT_ATOMICS_LOCK_TICKET_H
#define OT_ATOMICS_LOCK_TICKET_H

#include "atomics/lock/contract.h"

enum { OT_LK_TICKET_TURNS = 128 }; /* of waiting before the core is given away */

typedef struct {
    atomic_uint next, serving; /* invariant: serving <= next (modulo 2^32) */
} ot_lk_ticket_t;

static inline void
ot_lk_ticket_init(ot_lk_ticket_t *lk)
{
    atomic_init(&lk->next, 0);
    atomic_init(&lk->serving, 0);
}

static inline void
ot_lk_ticket_lock(ot_lk_ticket_t *lk)
{
    unsigned mine = atomic_fetch_add_explicit(&lk->next, 1, memory_order_relaxed);
    for (int turn = 1; atomic_load_explicit(&lk->serving, memory_order_acquire) != mine; turn++) {
        if (turn % OT_LK_TICKET_TURNS == 0) {
            sched_yield();
        } else {
            ot_pause();
        }
    }
}

/* The holder alone writes `serving`: no read-modify-write needed. */
static inline void
ot_lk_ticket_unlock(ot_lk_ticket_t *lk)
{
    unsigned mine = atomic_load_explicit(&lk->serving, memory_order_relaxed);
    atomic_store_explicit(&lk->serving, mine + 1, memory_order_release);
}

OT_LK_NOTHING_TO_DESTROY(ticket)

#endif
