/* refcount.h: what Py_INCREF and Py_DECREF do to a count in the variants of CPython that lab/ builds.
 *
 * Purpose: lab/refcount.patch replaces CPython's own statements by calls of these functions, and
 * lab/build installs this file as ot_refcount.h beside Python.h, so extensions count the same way.
 * OT_LAB_VARIANT, which lab/build writes into the variant's pyconfig.h, chooses; without it (or
 * with OT_LAB_STOCK) the statements are CPython's own.
 *
 * Main invariant: in the variants up to OT_LAB_HISTOGRAM an object is immortal if the low half of its
 * count, read as a signed number, is negative. LOCK_ALL therefore counts immortal objects in the
 * *high* half: the same instruction on the same cache line, and the test stays true. (Counting in the
 * low half would not do: since 3.12 `return None` takes no reference, so the counts drift.)
 * In the others (OT_LAB_2006) nothing is tested before a count: immortal objects begin at
 * OT_LAB_IMMORTAL, so far from zero that no drift ends them, and are immortal above the half of it.
 *
 * Threading: in the variants that define OT_ATOMIC_REFCOUNTS any thread that has a reference may
 * take and give back more of them without any GIL. Everything else about an object still belongs
 * to whoever holds its interpreter's GIL.
 */
#ifndef OT_REFCOUNT_H
#define OT_REFCOUNT_H

#define OT_LAB_STOCK 0
#define OT_LAB_C11_RELAXED 1 /* fetch_add, relaxed both ways: the cheapest that C11 offers */
#define OT_LAB_C11_ACQ_REL 2 /* relaxed up, acquire-release down: the weakest that is right */
#define OT_LAB_LOCK 3        /* LOCK INC, LOCK DEC; immortal objects are skipped, as in stock */
#define OT_LAB_LOCK_ALL 4    /* the same, and immortal objects pay too */
#define OT_LAB_HISTOGRAM 5   /* stock, and each count is recorded: histogram.h */
#define OT_LAB_LOCK_2006 6 /* LOCK INC, LOCK DEC of each object that 2.5 counted, no test before */
#define OT_LAB_PLAIN_ALL 7 /* counts what LOCK_2006 counts, without LOCK */
#define OT_LAB_HISTOGRAM_2006 8 /* PLAIN_ALL, and each count is recorded */

#ifndef OT_LAB_VARIANT
#define OT_LAB_VARIANT OT_LAB_STOCK
#endif

#if OT_LAB_VARIANT != OT_LAB_STOCK

#ifdef __cplusplus
#error "the variants of lab/ are for C: <stdatomic.h> says nothing to C++"
#endif
#if defined(Py_GIL_DISABLED) || SIZEOF_VOID_P != 8 || defined(WORDS_BIGENDIAN)
#error "the variants of lab/ are for little-endian 64-bit machines and builds with a GIL"
#endif

#include "atomics/locked.h"

/* Py_INCREF is ours, too. */
#define OT_LAB_COUNTS 1
#endif

#if OT_LAB_VARIANT >= OT_LAB_LOCK_2006
#define OT_LAB_2006 1
#define OT_LAB_IMMORTAL ((Py_ssize_t)1 << 61)
#define OT_LAB_SKIPS(op) 0
#else
#define OT_LAB_SKIPS(op) _Py_IsImmortal(op)
#endif

/* The references of None, True, small ints, one-character strings and empty things that 2.5 counted and
 * 3.12 and later do not: given with what a function returns or pushes, taken where it is used up, or both
 * at once where an instruction does without the object. */
#ifdef OT_LAB_2006
#define OT_LAB_GIVE(op) Py_NewRef(op)
#define OT_LAB_TAKE(op) Py_DECREF(op)
#define OT_LAB_PAIR(op)                                                                            \
    do {                                                                                           \
        Py_INCREF(op);                                                                             \
        Py_DECREF(op);                                                                             \
    } while (0)
#else
#define OT_LAB_GIVE(op) ((PyObject *)(op))
#define OT_LAB_TAKE(op) ((void)0)
#define OT_LAB_PAIR(op) ((void)0)
#endif

#if OT_LAB_VARIANT == OT_LAB_HISTOGRAM || OT_LAB_VARIANT == OT_LAB_HISTOGRAM_2006
#define OT_LAB_RECORDS 1
/* Of libpython: see histogram.h. */
__attribute__((visibility("default"))) void ot_lab_record(const Py_ssize_t *count, int immortal,
                                                          long up, long down);
#define OT_LAB_RECORD(count, immortal, up, down) ot_lab_record(count, immortal, up, down)
#else
#define OT_LAB_RECORD(count, immortal, up, down) ((void)(count))
#endif

/* Asked for by objtunnel: references may be counted by several interpreters at once. */
#if defined(OT_LAB_COUNTS) && !defined(OT_LAB_RECORDS) && OT_LAB_VARIANT != OT_LAB_PLAIN_ALL
#define OT_ATOMIC_REFCOUNTS 1
#endif

#ifdef OT_LAB_2006
#define OT_LAB_IS_IMMORTAL(count) (*(count) >= OT_LAB_IMMORTAL / 2)
#else
#define OT_LAB_IS_IMMORTAL(count) 0 /* those come by ot_immortal_inc and ot_immortal_dec */
#endif

#if OT_LAB_VARIANT == OT_LAB_C11_RELAXED || OT_LAB_VARIANT == OT_LAB_C11_ACQ_REL

#if OT_LAB_VARIANT == OT_LAB_C11_RELAXED
#define OT_LAB_DEC_ORDER memory_order_relaxed
#else
#define OT_LAB_DEC_ORDER memory_order_acq_rel
#endif

static inline Py_ALWAYS_INLINE void
ot_refcnt_inc(Py_ssize_t *count)
{
    atomic_fetch_add_explicit((atomic_long *)count, 1, memory_order_relaxed);
}

static inline Py_ALWAYS_INLINE int
ot_refcnt_dec_is_zero(Py_ssize_t *count)
{
    return atomic_fetch_sub_explicit((atomic_long *)count, 1, OT_LAB_DEC_ORDER) == 1;
}

#elif defined(OT_ATOMIC_REFCOUNTS)

static inline Py_ALWAYS_INLINE void
ot_refcnt_inc(Py_ssize_t *count)
{
    ot_locked_inc((atomic_long *)count);
}

static inline Py_ALWAYS_INLINE int
ot_refcnt_dec_is_zero(Py_ssize_t *count)
{
    return ot_locked_dec_is_zero((atomic_long *)count);
}

#else

static inline Py_ALWAYS_INLINE void
ot_refcnt_inc(Py_ssize_t *count)
{
    OT_LAB_RECORD(count, OT_LAB_IS_IMMORTAL(count), 1, 0);
    ++*count;
}

static inline Py_ALWAYS_INLINE int
ot_refcnt_dec_is_zero(Py_ssize_t *count)
{
    OT_LAB_RECORD(count, OT_LAB_IS_IMMORTAL(count), 0, 1);
    return --*count == 0;
}

#endif

/* Rare (list repetition and the like): one instruction in all of them. */
static inline Py_ALWAYS_INLINE void
ot_refcnt_add(Py_ssize_t *count, Py_ssize_t n)
{
#ifdef OT_ATOMIC_REFCOUNTS
    (void)ot_locked_xadd((atomic_long *)count, n);
#else
#ifdef OT_LAB_2006 /* its balance is looked at: all n */
    OT_LAB_RECORD(count, OT_LAB_IS_IMMORTAL(count), n, 0);
#else              /* its cost: one */
    OT_LAB_RECORD(count, 0, 1, 0);
#endif
    *count += n;
#endif
}

/* What an immortal object's count suffers, where there is a test for it. */
static inline Py_ALWAYS_INLINE void
ot_immortal_inc(Py_ssize_t *count)
{
#if OT_LAB_VARIANT == OT_LAB_LOCK_ALL
    ot_locked_inc32((atomic_uint *)count + 1);
#else
    OT_LAB_RECORD(count, 1, 1, 0);
#endif
}

static inline Py_ALWAYS_INLINE void
ot_immortal_dec(Py_ssize_t *count)
{
#if OT_LAB_VARIANT == OT_LAB_LOCK_ALL
    (void)ot_locked_dec32_is_zero((atomic_uint *)count + 1);
#else
    OT_LAB_RECORD(count, 1, 0, 1);
#endif
}

/* What Py_REFCNT says: of an immortal object what it says everywhere, not how often it was used. */
static inline Py_ALWAYS_INLINE Py_ssize_t
ot_refcnt_seen(Py_ssize_t count)
{
#if defined(OT_LAB_2006)
    return count >= OT_LAB_IMMORTAL / 2 ? OT_LAB_IMMORTAL : count;
#elif OT_LAB_VARIANT == OT_LAB_LOCK_ALL
    return (int)count < 0 ? (Py_ssize_t)UINT_MAX : count;
#else
    return count;
#endif
}

#endif
