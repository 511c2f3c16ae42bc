/* acq_rel.h: the weakest orders that are right: relaxed inc, acquire-release dec. This is
 * ot_ref_t of refcount.h, which objtunnel itself uses, as a variant of the contract.
 *
 * Order: inc needs none (whoever increments has a reference, so the object cannot vanish). dec
 * releases the caller's writes and the last one acquires everybody's: the pair that makes freeing
 * safe. Cost: on x86-64 that of lock.h; on arm64 inc is cheaper. Wrong when: as lock.h.
 */
#ifndef OT_ATOMICS_REFCOUNT_ACQ_REL_H
#define OT_ATOMICS_REFCOUNT_ACQ_REL_H

#include "atomics/refcount.h"
#include "atomics/refcount/contract.h"

OT_RC_IS_REF(acq_rel)

static inline void
ot_rc_acq_rel_inc(ot_rc_acq_rel_t *rc)
{
    ot_ref_inc(rc);
}

static inline bool
ot_rc_acq_rel_dec(ot_rc_acq_rel_t *rc)
{
    return ot_ref_dec(rc);
}

static inline bool
ot_rc_acq_rel_try_inc(ot_rc_acq_rel_t *rc)
{
    return ot_ref_inc_unless_zero(rc);
}

OT_RC_DROP_IS_DEC(acq_rel)
OT_RC_SETTLES_AT_ONCE(acq_rel)

#endif
