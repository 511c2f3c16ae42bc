/* xadd.h: LOCK XADD both ways: also hands out the value before.
 *
 * Order and cost: as lock.h; the value costs a register and, on some cores, a cycle or two. What
 * std::shared_ptr and compilers used for a dec before they could read flags.
 * Wrong when: as lock.h.
 */
#ifndef OT_ATOMICS_REFCOUNT_XADD_H
#define OT_ATOMICS_REFCOUNT_XADD_H

#include "atomics/locked.h"
#include "atomics/refcount/contract.h"

OT_RC_IS_REF(xadd)

static inline void
ot_rc_xadd_inc(ot_rc_xadd_t *rc)
{
    (void)ot_locked_xadd(&rc->count, 1);
}

static inline bool
ot_rc_xadd_dec(ot_rc_xadd_t *rc)
{
    return ot_locked_xadd(&rc->count, -1) == 1;
}

OT_RC_DROP_IS_DEC(xadd)
OT_RC_SETTLES_AT_ONCE(xadd)

#endif
