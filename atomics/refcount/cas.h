/* cas.h: a compare-and-swap loop, for counts that must look before they leap.
 *
 * Order: as acq_rel.h. Cost: more than a load above LOCK INC: a load right behind a LOCKed
 * write of the same line waits for it (an object of one's own: 1.6 to 1.9 times lock.h, on the Xeon
 * of docs/results/). Under contention a failed swap is a line fetched in vain, and a thread may fail
 * again and again.
 * Wrong when: an unconditional add would do and many cores meet; right where each step depends on
 * the value (inc unless zero, saturation).
 */
#ifndef OT_ATOMICS_REFCOUNT_CAS_H
#define OT_ATOMICS_REFCOUNT_CAS_H

#include "atomics/refcount.h"
#include "atomics/refcount/contract.h"

OT_RC_IS_REF(cas)

static inline void
ot_rc_cas_inc(ot_rc_cas_t *rc)
{
    long n = atomic_load_explicit(&rc->count, memory_order_relaxed);
    while (!atomic_compare_exchange_weak_explicit(&rc->count, &n, n + 1, memory_order_relaxed,
                                                  memory_order_relaxed)) {
    }
}

static inline bool
ot_rc_cas_try_inc(ot_rc_cas_t *rc)
{
    return ot_ref_inc_unless_zero(rc);
}

/* Release: our writes come before; acquire: pairs with the other decs if ours is the last. */
static inline bool
ot_rc_cas_dec(ot_rc_cas_t *rc)
{
    long n = atomic_load_explicit(&rc->count, memory_order_relaxed);
    while (!atomic_compare_exchange_weak_explicit(&rc->count, &n, n - 1, memory_order_acq_rel,
                                                  memory_order_relaxed)) {
    }
    return n == 1;
}

OT_RC_DROP_IS_DEC(cas)
OT_RC_SETTLES_AT_ONCE(cas)

#endif
