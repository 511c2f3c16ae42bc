/* locked_c11.h: see locked.h. The portable form; on arm64 with LSE these are ldaddal. */
#ifndef OT_ATOMICS_LOCKED_C11_H
#define OT_ATOMICS_LOCKED_C11_H

static inline void
ot_locked_inc(atomic_long *p)
{
    atomic_fetch_add(p, 1);
}

static inline bool
ot_locked_dec_is_zero(atomic_long *p)
{
    return atomic_fetch_sub(p, 1) == 1;
}

static inline long
ot_locked_xadd(atomic_long *p, long n)
{
    return atomic_fetch_add(p, n);
}

static inline void
ot_locked_inc32(atomic_uint *p)
{
    atomic_fetch_add(p, 1);
}

static inline bool
ot_locked_dec32_is_zero(atomic_uint *p)
{
    return atomic_fetch_sub(p, 1) == 1;
}

#endif
