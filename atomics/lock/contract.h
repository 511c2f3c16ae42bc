/* contract.h: what every lock offers, so that one test and one benchmark run them all.
 *
 *   void ot_lk_X_init(ot_lk_X_t *)      unlocked
 *   void ot_lk_X_lock(ot_lk_X_t *)      not recursive; acquire: sees what former holders wrote
 *   void ot_lk_X_unlock(ot_lk_X_t *)    by the holder; release
 *   void ot_lk_X_destroy(ot_lk_X_t *)   unlocked, and nobody will use it again
 */
#ifndef OT_ATOMICS_LOCK_CONTRACT_H
#define OT_ATOMICS_LOCK_CONTRACT_H

#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "atomics/cpu.h"

#define OT_LK_NOTHING_TO_DESTROY(X)                                                                \
    static inline void ot_lk_##X##_destroy(ot_lk_##X##_t *lk)                                      \
    {                                                                                              \
        (void)lk;                                                                                  \
    }

#endif
