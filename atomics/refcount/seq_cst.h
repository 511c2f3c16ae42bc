/* seq_cst.h: C11's default: what one gets by declaring the count _Atomic and writing ++ and --.
 *
 * Order: sequentially consistent. Cost: on x86-64 the same instructions as acq_rel.h; on arm64 an
 * acquiring and releasing form of each. Wrong when: as lock.h.
 */
#ifndef OT_ATOMICS_REFCOUNT_SEQ_CST_H
#define OT_ATOMICS_REFCOUNT_SEQ_CST_H

#include "atomics/refcount/contract.h"

typedef struct {
    atomic_long count;
} ot_rc_seq_cst_t;

static inline void
ot_rc_seq_cst_init(ot_rc_seq_cst_t *rc)
{
    atomic_init(&rc->count, 1);
}

static inline void
ot_rc_seq_cst_inc(ot_rc_seq_cst_t *rc)
{
    rc->count++;
}

static inline bool
ot_rc_seq_cst_dec(ot_rc_seq_cst_t *rc)
{
    return --rc->count == 0;
}

static inline long
ot_rc_seq_cst_get(ot_rc_seq_cst_t *rc)
{
    return rc->count;
}

OT_RC_DROP_IS_DEC(seq_cst)
OT_RC_SETTLES_AT_ONCE(seq_cst)

#endif
