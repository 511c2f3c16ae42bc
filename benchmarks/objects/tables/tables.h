/* tables.h: hash tables in C, that of LockingDict and its peers, behind one face.
 *
 * Purpose: one timed loop for all of them. Keys are strings with their hashes, which are computed
 * before; values are numbers. So what is timed is finding, and replacing a value, and nothing else.
 * Main invariant: a table's loops are compiled with its own functions inline (loops.h).
 * Threading: any thread that has said enter() reads and writes; new, fill and free: one thread.
 */
#ifndef OT_BENCH_TABLES_H
#define OT_BENCH_TABLES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
    uint64_t hash;
    uint32_t len;
    char bytes[20];
} bench_key_t;

/* What one thread does. Every tenth of the mix is a write. */
typedef struct {
    const bench_key_t *keys;
    const uint32_t *order; /* which of the keys, one after the other; a power of two of them */
    size_t order_mask;
    long rounds;
} bench_work_t;

typedef struct {
    void *(*make)(size_t n); /* for about n keys; NULL without memory */
    /* false without memory */
    bool (*put)(void *table, const bench_key_t *key, uintptr_t value);
    void (*free)(void *table);
    void (*enter)(void); /* the calling thread is going to use tables */
    void (*leave)(void);
    uintptr_t (*read)(void *table, const bench_work_t *work); /* the sum of what it found */
    uintptr_t (*mix)(void *table, const bench_work_t *work);
} bench_table_t;

/* The one that a library is made with: map.c, urcu.c or ck.c. */
extern const bench_table_t bench_table;

#endif
