/* pthread.h: the C library's mutex (glibc: three states and a futex), as a baseline. */
#ifndef OT_ATOMICS_LOCK_PTHREAD_H
#define OT_ATOMICS_LOCK_PTHREAD_H

#include <pthread.h>

#include "atomics/lock/contract.h"

typedef pthread_mutex_t ot_lk_pthread_t;

static inline void
ot_lk_pthread_init(ot_lk_pthread_t *lk)
{
    pthread_mutex_init(lk, NULL);
}

static inline void
ot_lk_pthread_lock(ot_lk_pthread_t *lk)
{
    pthread_mutex_lock(lk);
}

static inline void
ot_lk_pthread_unlock(ot_lk_pthread_t *lk)
{
    pthread_mutex_unlock(lk);
}

static inline void
ot_lk_pthread_destroy(ot_lk_pthread_t *lk)
{
    pthread_mutex_destroy(lk);
}

#endif
