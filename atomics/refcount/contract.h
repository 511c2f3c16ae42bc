/* contract.h: what every refcount variant offers, so that one test and one benchmark run them all.
 *
 * A variant X is a type ot_rc_X_t and these functions:
 *
 *   void ot_rc_X_init(ot_rc_X_t *)      one reference, the creator's; not yet seen by others
 *   void ot_rc_X_inc(ot_rc_X_t *)       the caller has, or borrows, a reference
 *   bool ot_rc_X_dec(ot_rc_X_t *)       true: that was the last one. The caller then owns the
 *                                       object alone, sees all writes of the others, may free it
 *   bool ot_rc_X_drop(ot_rc_X_t *)      dec of the creator's reference
 *   long ot_rc_X_get(ot_rc_X_t *)       exact when no thread is at it; otherwise a value of late
 *   bool ot_rc_X_try_inc(ot_rc_X_t *)   some variants: inc, but false once zero was reached; for
 *                                       look-ups that hold no reference (memory must stay mapped)
 *   void ot_rc_X_poll(zero, arg)        settles what was put off; calls zero(rc, arg) for each
 *                                       count that turns out to have reached zero thereby
 *   void ot_rc_X_leave(zero, arg)       the calling thread will not use the variant again
 *
 * Zero is reported exactly once per count: by dec or drop returning true, or by a call of zero().
 * `zero` may free the object and must not use refcounts itself.
 *
 * The macros below write down what several variants have in common.
 */
#ifndef OT_ATOMICS_REFCOUNT_CONTRACT_H
#define OT_ATOMICS_REFCOUNT_CONTRACT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "atomics/refcount.h"

typedef void (*ot_rc_zero_fn)(void *rc, void *arg);

/* The count is an ot_ref_t of refcount.h, an atomic long: the type, init and get. */
#define OT_RC_IS_REF(X)                                                                            \
    typedef ot_ref_t ot_rc_##X##_t;                                                                \
    static inline void ot_rc_##X##_init(ot_rc_##X##_t *rc)                                         \
    {                                                                                              \
        ot_ref_init(rc);                                                                           \
    }                                                                                              \
    static inline long ot_rc_##X##_get(ot_rc_##X##_t *rc)                                          \
    {                                                                                              \
        return ot_ref_get(rc);                                                                     \
    }

/* The creator's reference is one like any other. */
#define OT_RC_DROP_IS_DEC(X)                                                                       \
    static inline bool ot_rc_##X##_drop(ot_rc_##X##_t *rc)                                         \
    {                                                                                              \
        return ot_rc_##X##_dec(rc);                                                                \
    }

/* Nothing is put off: empty poll and leave. */
#define OT_RC_SETTLES_AT_ONCE(X)                                                                   \
    static inline void ot_rc_##X##_poll(ot_rc_zero_fn zero, void *arg)                             \
    {                                                                                              \
        (void)zero;                                                                                \
        (void)arg;                                                                                 \
    }                                                                                              \
    static inline void ot_rc_##X##_leave(ot_rc_zero_fn zero, void *arg)                            \
    {                                                                                              \
        (void)zero;                                                                                \
        (void)arg;                                                                                 \
    }

#endif
