/* immortal.h: counts that can be pinned (PEP 683): an immortal object's is only ever read.
 *
 * A 32-bit count whose upper half means immortal, as in CPython 3.12 and later on 64-bit
 * machines: the sign bit is the test. Saturating: a count that grows to 2^31 sticks there, a leak
 * instead of an overflow. OT_RC_IMMORTAL lies in the middle of the upper half, so that a dec by a
 * thread that looked just before another made the object immortal does no harm, nor does the
 * overshoot of threads that pass 2^31 at once.
 *
 * immortal_plain: over a plain count, CPython today. immortal_lock: over LOCK INC/DEC, "lock" of
 * our lab/. In both, an immortal object's line stays shared in all caches: that is the point.
 * Order: of the count underneath. Cost: that, plus a compare and a branch that is foretold;
 * in immortal_lock the load waits for a LOCKed write just before it, as in cas.h. Immortal objects:
 * a load.
 * Wrong when: as plain.h; as lock.h for mortal objects.
 */
#ifndef OT_ATOMICS_REFCOUNT_IMMORTAL_H
#define OT_ATOMICS_REFCOUNT_IMMORTAL_H

#include "atomics/locked.h"
#include "atomics/refcount/contract.h"

#define OT_RC_IMMORTAL (UINT32_C(3) << 30)

static inline bool
ot_rc_is_immortal_count(uint32_t n)
{
    return (int32_t)n < 0;
}

/* ---- over a plain count ------------------------------------------------------------------ */

typedef struct {
    uint32_t count;
} ot_rc_immortal_plain_t;

static inline void
ot_rc_immortal_plain_init(ot_rc_immortal_plain_t *rc)
{
    rc->count = 1;
}

static inline void
ot_rc_immortal_plain_immortalise(ot_rc_immortal_plain_t *rc)
{
    rc->count = OT_RC_IMMORTAL;
}

static inline void
ot_rc_immortal_plain_inc(ot_rc_immortal_plain_t *rc)
{
    if (!ot_rc_is_immortal_count(rc->count)) {
        rc->count++;
    }
}

static inline bool
ot_rc_immortal_plain_dec(ot_rc_immortal_plain_t *rc)
{
    return !ot_rc_is_immortal_count(rc->count) && --rc->count == 0;
}

static inline long
ot_rc_immortal_plain_get(ot_rc_immortal_plain_t *rc)
{
    return (long)rc->count;
}

OT_RC_DROP_IS_DEC(immortal_plain)
OT_RC_SETTLES_AT_ONCE(immortal_plain)

/* ---- over LOCK INC ----------------------------------------------------------------------- */

typedef struct {
    atomic_uint count;
} ot_rc_immortal_lock_t;

static inline void
ot_rc_immortal_lock_init(ot_rc_immortal_lock_t *rc)
{
    atomic_init(&rc->count, 1);
}

static inline void
ot_rc_immortal_lock_immortalise(ot_rc_immortal_lock_t *rc)
{
    atomic_store_explicit(&rc->count, OT_RC_IMMORTAL, memory_order_relaxed);
}

/* relaxed: whether the object is immortal decides nothing about any other memory */
static inline bool
ot_rc_immortal_lock_is_immortal(ot_rc_immortal_lock_t *rc)
{
    return ot_rc_is_immortal_count(atomic_load_explicit(&rc->count, memory_order_relaxed));
}

static inline void
ot_rc_immortal_lock_inc(ot_rc_immortal_lock_t *rc)
{
    if (!ot_rc_immortal_lock_is_immortal(rc)) {
        ot_locked_inc32(&rc->count);
    }
}

static inline bool
ot_rc_immortal_lock_dec(ot_rc_immortal_lock_t *rc)
{
    return !ot_rc_immortal_lock_is_immortal(rc) && ot_locked_dec32_is_zero(&rc->count);
}

static inline long
ot_rc_immortal_lock_get(ot_rc_immortal_lock_t *rc)
{
    return (long)atomic_load_explicit(&rc->count, memory_order_relaxed);
}

OT_RC_DROP_IS_DEC(immortal_lock)
OT_RC_SETTLES_AT_ONCE(immortal_lock)

#endif
