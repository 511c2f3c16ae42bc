/* refcount.h: an atomic reference count for process-wide C objects.
 *
 * Purpose: lifetime of what several interpreters share (channels, workers), none of whose GILs
 * covers the count.
 * Invariant: count >= 1 while anybody may use the object; the caller of ot_ref_dec that gets
 * true is alone with it and frees it.
 * Threading: any thread, no lock.
 */
#ifndef OT_ATOMICS_REFCOUNT_H
#define OT_ATOMICS_REFCOUNT_H

#include <stdatomic.h>
#include <stdbool.h>

typedef struct {
    atomic_long count;
} ot_ref_t;

static inline void
ot_ref_init(ot_ref_t *ref)
{
    atomic_init(&ref->count, 1);
}

/* The caller has a reference already, so the count cannot be on its way to zero: relaxed. */
static inline void
ot_ref_inc(ot_ref_t *ref)
{
    atomic_fetch_add_explicit(&ref->count, 1, memory_order_relaxed);
}

/* For look-ups that hold no reference (a registry): fails once the count has reached zero. */
static inline bool
ot_ref_inc_unless_zero(ot_ref_t *ref)
{
    long n = atomic_load_explicit(&ref->count, memory_order_relaxed);
    while (n != 0) {
        if (atomic_compare_exchange_weak_explicit(&ref->count, &n, n + 1, memory_order_relaxed,
                                                  memory_order_relaxed)) {
            return true;
        }
    }
    return false;
}

/* True for the one caller that dropped the last reference. Release: our writes to the object
 * come before the count drops; acquire: the last one sees everybody's writes. */
static inline bool
ot_ref_dec(ot_ref_t *ref)
{
    return atomic_fetch_sub_explicit(&ref->count, 1, memory_order_acq_rel) == 1;
}

/* Whether the caller, who has a reference, has the only one: then it is alone with the object, if
 * references come from references only. Acquire: sees what the others wrote before they dropped theirs. */
static inline bool
ot_ref_is_last(ot_ref_t *ref)
{
    return atomic_load_explicit(&ref->count, memory_order_acquire) == 1;
}

static inline long
ot_ref_get(ot_ref_t *ref)
{
    return atomic_load_explicit(&ref->count, memory_order_relaxed);
}

#endif
