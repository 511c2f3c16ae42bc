/* sharded.h: a counter for each of several threads, added up only when the creator lets go (the
 * scheme of Linux's percpu_ref).
 *
 * Alive: threads count in shards, each on lines of its own; nobody knows the sum, so nobody can
 * see zero, and nobody needs to: the creator's reference keeps it above. drop() closes shard
 * after shard, moves what they hold to the central count, and from then on everybody counts there
 * and sees zero. A thread that meets a closed shard (its value is far below zero, where no number
 * of threads can lift it) counts centrally instead.
 *
 * Order: a dec's release on its shard pairs with drop's acquire-release exchange of that shard,
 * which the central count passes on to whoever takes it to zero.
 * Cost: LOCK on a line that nobody else writes, whoever shares the object; 2 KB each.
 * Wrong when: there are many objects (2 KB each), or the creator's reference is not the one
 * that decides: until drop() an object without any other reference lives on.
 */
#ifndef OT_ATOMICS_REFCOUNT_SHARDED_H
#define OT_ATOMICS_REFCOUNT_SHARDED_H

#include <limits.h>

#include "atomics/cpu.h"
#include "atomics/refcount/contract.h"
#include "atomics/thread_index.h"

enum { OT_RC_SHARDS = 16 };

#define OT_RC_SHARD_CLOSED (LONG_MIN / 2)
#define OT_RC_SHARD_IS_CLOSED(n) ((n) < LONG_MIN / 4)
#define OT_RC_SHARDED_ALIVE (LONG_MAX / 2) /* in the central count: not zero, whatever comes */

typedef struct {
    OT_OWN_LINE atomic_long central;
    struct {
        OT_OWN_LINE atomic_long count;
    } shard[OT_RC_SHARDS];
} ot_rc_sharded_t;

static inline void
ot_rc_sharded_init(ot_rc_sharded_t *rc)
{
    atomic_init(&rc->central, OT_RC_SHARDED_ALIVE + 1);
    for (int i = 0; i < OT_RC_SHARDS; i++) {
        atomic_init(&rc->shard[i].count, 0);
    }
}

static inline atomic_long *
ot_rc_sharded_mine(ot_rc_sharded_t *rc)
{
    return &rc->shard[ot_thread_index() % OT_RC_SHARDS].count;
}

static inline void
ot_rc_sharded_inc(ot_rc_sharded_t *rc)
{
    long old = atomic_fetch_add_explicit(ot_rc_sharded_mine(rc), 1, memory_order_relaxed);
    if (OT_RC_SHARD_IS_CLOSED(old)) {
        atomic_fetch_add_explicit(&rc->central, 1, memory_order_relaxed);
    }
}

static inline bool
ot_rc_sharded_dec(ot_rc_sharded_t *rc)
{
    long old = atomic_fetch_sub_explicit(ot_rc_sharded_mine(rc), 1, memory_order_release);
    return OT_RC_SHARD_IS_CLOSED(old) &&
           atomic_fetch_sub_explicit(&rc->central, 1, memory_order_acq_rel) == 1;
}

static inline bool
ot_rc_sharded_drop(ot_rc_sharded_t *rc)
{
    long more = -1 - OT_RC_SHARDED_ALIVE;
    for (int i = 0; i < OT_RC_SHARDS; i++) {
        more +=
            atomic_exchange_explicit(&rc->shard[i].count, OT_RC_SHARD_CLOSED, memory_order_acq_rel);
    }
    return atomic_fetch_add_explicit(&rc->central, more, memory_order_acq_rel) + more == 0;
}

static inline long
ot_rc_sharded_get(ot_rc_sharded_t *rc)
{
    long n = atomic_load_explicit(&rc->central, memory_order_relaxed);
    n -= n > OT_RC_SHARDED_ALIVE / 2 ? OT_RC_SHARDED_ALIVE : 0;
    for (int i = 0; i < OT_RC_SHARDS; i++) {
        long shard = atomic_load_explicit(&rc->shard[i].count, memory_order_relaxed);
        n += OT_RC_SHARD_IS_CLOSED(shard) ? 0 : shard;
    }
    return n;
}

OT_RC_SETTLES_AT_ONCE(sharded)

#endif
