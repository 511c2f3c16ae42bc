/* thread_index.h: a small number for each thread: 0, 1, 2, ... in the order of first asking.
 *
 * Never given twice, so a number may stand for "that thread" as long as the process lives.
 * Threading: any thread.
 */
#ifndef OT_ATOMICS_THREAD_INDEX_H
#define OT_ATOMICS_THREAD_INDEX_H

#include <stdatomic.h>

/* One definition for the whole program, whichever of its files include the header. */
#define OT_ATOMICS_GLOBAL __attribute__((weak))

OT_ATOMICS_GLOBAL atomic_uint ot_thread_indices_given;
OT_ATOMICS_GLOBAL _Thread_local unsigned ot_thread_index_plus_1;

static inline unsigned
ot_thread_index(void)
{
    if (ot_thread_index_plus_1 == 0) {
        /* relaxed: only the number matters, it publishes nothing */
        ot_thread_index_plus_1 =
            atomic_fetch_add_explicit(&ot_thread_indices_given, 1, memory_order_relaxed) + 1;
    }
    return ot_thread_index_plus_1 - 1;
}

#endif
