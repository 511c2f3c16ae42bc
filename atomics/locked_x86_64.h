/* locked_x86_64.h: see locked.h. Gives the lock-prefixed instructions of x86-64.
 *
 * "memory" in the clobbers keeps the compiler from moving other accesses across, as the processor
 * does not either.
 */
#ifndef OT_ATOMICS_LOCKED_X86_64_H
#define OT_ATOMICS_LOCKED_X86_64_H

/* LOCK INC: nothing is returned but flags, which inc does not use. */
static inline void
ot_locked_inc(atomic_long *p)
{
    __asm__ volatile("lock incq %0" : "+m"(*p) : : "memory", "cc");
}

/* LOCK DEC: whether the result is zero, from the zero flag; no register is needed. */
static inline bool
ot_locked_dec_is_zero(atomic_long *p)
{
    bool zero;
    __asm__ volatile("lock decq %0" : "+m"(*p), "=@ccz"(zero) : : "memory");
    return zero;
}

/* LOCK XADD: the value before. */
static inline long
ot_locked_xadd(atomic_long *p, long n)
{
    __asm__ volatile("lock xaddq %0, %1" : "+r"(n), "+m"(*p) : : "memory", "cc");
    return n;
}

static inline void
ot_locked_inc32(atomic_uint *p)
{
    __asm__ volatile("lock incl %0" : "+m"(*p) : : "memory", "cc");
}

static inline bool
ot_locked_dec32_is_zero(atomic_uint *p)
{
    bool zero;
    __asm__ volatile("lock decl %0" : "+m"(*p), "=@ccz"(zero) : : "memory");
    return zero;
}

#endif
