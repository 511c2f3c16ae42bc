/* loops.h: the timed loops, made of a table's own inline functions.
 *
 *     static inline uintptr_t look_up(void *table, const bench_key_t *key);   0: not there
 *     static inline void replace(void *table, const bench_key_t *key, uintptr_t value);
 *     BENCH_TABLE_LOOPS
 *
 * Threading: as tables.h.
 */
#ifndef OT_BENCH_TABLES_LOOPS_H
#define OT_BENCH_TABLES_LOOPS_H

#define BENCH_TABLE_LOOPS                                                                          \
    static uintptr_t bench_read(void *table, const bench_work_t *w)                                \
    {                                                                                              \
        uintptr_t sum = 0;                                                                         \
        for (long i = 0; i < w->rounds; i++) {                                                     \
            sum += look_up(table, &w->keys[w->order[(size_t)i & w->order_mask]]);                  \
        }                                                                                          \
        return sum;                                                                                \
    }                                                                                              \
                                                                                                   \
    static uintptr_t bench_mix(void *table, const bench_work_t *w)                                 \
    {                                                                                              \
        uintptr_t sum = 0;                                                                         \
        for (long i = 0, phase = 0; i < w->rounds; i++) {                                          \
            const bench_key_t *key = &w->keys[w->order[(size_t)i & w->order_mask]];                \
            if (++phase == 10) {                                                                   \
                phase = 0;                                                                         \
                replace(table, key, 1);                                                            \
            } else {                                                                               \
                sum += look_up(table, key);                                                        \
            }                                                                                      \
        }                                                                                          \
        return sum;                                                                                \
    }

#endif
