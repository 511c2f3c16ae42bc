/* cpython.h: the counts of CPython 3.13 and 3.14 on 64-bit machines, load for load and store for store.
 *
 * cpython313: the inc loads and stores the low half, the dec loads and stores the whole word. A dec right
 * after an inc of the same object therefore loads eight bytes of which four are still on their way to
 * the cache: no processor forwards that, and the pair waits for the store. cpython314: both use the low
 * half. immortal_plain (immortal.h) is neither: it shows what the test for immortality costs where loads
 * and stores are of one width.
 * Order: none. Cost: 3.13's pair on one object takes longer than LOCK INC and LOCK DEC on some
 * processors; in between other work, next to nothing. Immortal objects: a load.
 * Wrong when: as plain.h. 3.13 takes an object as immortal from 2^31 references on; its inc goes on
 * counting up to 2^32-1.
 */
#ifndef OT_ATOMICS_REFCOUNT_CPYTHON_H
#define OT_ATOMICS_REFCOUNT_CPYTHON_H

#include "atomics/refcount/contract.h"

#define OT_RC_CPYTHON313_IMMORTAL UINT32_MAX
#define OT_RC_CPYTHON314_IMMORTAL (UINT32_C(3) << 30)

/* The low half comes first: little-endian machines only, which is what both are built for here. */
typedef union {
    int64_t whole;
    uint32_t low;
} ot_rc_cpython_t;

/* ---- 3.13 -------------------------------------------------------------------------------- */

typedef ot_rc_cpython_t ot_rc_cpython313_t;

static inline void
ot_rc_cpython313_init(ot_rc_cpython313_t *rc)
{
    rc->whole = 1;
}

static inline void
ot_rc_cpython313_immortalise(ot_rc_cpython313_t *rc)
{
    rc->whole = OT_RC_CPYTHON313_IMMORTAL;
}

static inline void
ot_rc_cpython313_inc(ot_rc_cpython313_t *rc)
{
    uint32_t more = rc->low + 1;
    if (more != 0) {
        rc->low = more;
    }
}

static inline bool
ot_rc_cpython313_dec(ot_rc_cpython313_t *rc)
{
    return (int32_t)rc->whole >= 0 && --rc->whole == 0;
}

static inline long
ot_rc_cpython313_get(ot_rc_cpython313_t *rc)
{
    return (long)rc->whole;
}

OT_RC_DROP_IS_DEC(cpython313)
OT_RC_SETTLES_AT_ONCE(cpython313)

/* ---- 3.14 -------------------------------------------------------------------------------- */

typedef ot_rc_cpython_t ot_rc_cpython314_t; /* the upper half has flags */

static inline void
ot_rc_cpython314_init(ot_rc_cpython314_t *rc)
{
    rc->whole = 1;
}

static inline void
ot_rc_cpython314_immortalise(ot_rc_cpython314_t *rc)
{
    rc->whole = OT_RC_CPYTHON314_IMMORTAL;
}

static inline void
ot_rc_cpython314_inc(ot_rc_cpython314_t *rc)
{
    uint32_t count = rc->low;
    if (count < OT_RC_CPYTHON314_IMMORTAL) {
        rc->low = count + 1;
    }
}

static inline bool
ot_rc_cpython314_dec(ot_rc_cpython314_t *rc)
{
    return (int32_t)rc->low >= 0 && --rc->low == 0;
}

static inline long
ot_rc_cpython314_get(ot_rc_cpython314_t *rc)
{
    return (long)rc->low;
}

OT_RC_DROP_IS_DEC(cpython314)
OT_RC_SETTLES_AT_ONCE(cpython314)

#endif
