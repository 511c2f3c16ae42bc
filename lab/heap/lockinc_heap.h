/* lockinc_heap.h: small blocks from pools guarded by the LOCK INC spin lock of 2006.
 *
 * The proposal of 2006 for obmalloc, as an experiment: with OBJTUNNEL_HEAP=lockinc all sizes share one lock, with
 * OBJTUNNEL_HEAP=lockinc-classes each size class has its own. Size classes and pools are obmalloc's
 * (16 to 512 bytes in steps of 16). A pool that is empty again is used for any class; its
 * memory is never given back to the system.
 * Threading: any thread, any number of them; a child of fork may go on allocating.
 */
#ifndef OT_LAB_LOCKINC_HEAP_H
#define OT_LAB_LOCKINC_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { OT_LOCKINC_MOST = 512 }; /* bytes; larger blocks are somebody else's */

typedef enum {
    OT_LOCKINC_ONE_LOCK,
    OT_LOCKINC_LOCK_PER_CLASS,
} ot_lockinc_locks_t;

/* Pools will lie in [base, base + span), which is reserved and not accessible; a multiple of
 * 1 MiB both. Once per process, before the first block. */
void ot_lockinc_init(uintptr_t base, size_t span, ot_lockinc_locks_t locks);

/* False for every address before ot_lockinc_init. */
bool ot_lockinc_owns(const void *block);

/* A block of at least `size` <= OT_LOCKINC_MOST bytes, aligned to 16; NULL if the range is used up
 * or the system has no memory. */
void *ot_lockinc_alloc(size_t size);

/* Any thread's block. */
void ot_lockinc_free(void *block);

/* How many bytes may be used of it. */
size_t ot_lockinc_size(const void *block);

#endif
