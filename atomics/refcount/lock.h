/* lock.h: LOCK INC and LOCK DEC, the question of 2006.
 *
 * Order: each is a full barrier, so the last dec sees what everybody did before theirs.
 * Cost: about 20 cycles alone, for the store buffer is drained first; on a line that other cores
 * write, the time to fetch the line from them.
 * Wrong when: many cores use one object all the time (None, a class): correct, but they queue.
 * On other processors than x86-64: an atomic add of C11.
 */
#ifndef OT_ATOMICS_REFCOUNT_LOCK_H
#define OT_ATOMICS_REFCOUNT_LOCK_H

#include "atomics/locked.h"
#include "atomics/refcount/contract.h"

OT_RC_IS_REF(lock)

static inline void
ot_rc_lock_inc(ot_rc_lock_t *rc)
{
    ot_locked_inc(&rc->count);
}

static inline bool
ot_rc_lock_dec(ot_rc_lock_t *rc)
{
    return ot_locked_dec_is_zero(&rc->count);
}

OT_RC_DROP_IS_DEC(lock)
OT_RC_SETTLES_AT_ONCE(lock)

#endif
