/* heap.h: one thread-safe object heap for all interpreters of the process.
 *
 * pymalloc is per interpreter: what A allocates B cannot free. Here every object, whoever
 * allocated it, may be freed by any thread that may touch it. Design: docs/design.md, "heap".
 */
#ifndef OT_RUNTIME_HEAP_H
#define OT_RUNTIME_HEAP_H

#include "runtime/cpython/version.h"

typedef enum {
    OT_HEAP_NONE = 0, /* not set up yet */
    OT_HEAP_OWN,      /* mimalloc over one reserved range, installed by us */
    OT_HEAP_PROCESS,  /* the process already runs on malloc or mimalloc: nothing installed */
} ot_heap_mode_t;

typedef struct {
    ot_heap_mode_t mode;
    /* A block is free-able by every interpreter iff  address - base < span.
     * In OT_HEAP_PROCESS every block is: base = 0, span = SIZE_MAX. */
    uintptr_t base;
    size_t span;
    const char *allocator; /* static string: what serves the object domain */
    /* PyMem_Free and PyMem_Realloc take a block from malloc, too, in every interpreter: what is not
     * theirs they hand on, in the end to free and realloc. Not so with debug hooks. */
    bool takes_malloc;
} ot_heap_t;

/* Written by ot_heap_install, once in each life of Python, before any tunnel exists; read without a lock. */
extern __attribute__((visibility("hidden"))) ot_heap_t ot_heap; /* hidden: no GOT */

static inline bool
ot_heap_owns(const void *block)
{
    return (uintptr_t)block - ot_heap.base < ot_heap.span;
}

/* Sets the heap up, once per life of Python; later calls check that it is in place still.
 * Needs: an attached thread state; takes and lets go of a process-wide lock. Other interpreters
 * may run meanwhile.
 * Returns 0, or -1 with ImportError or MemoryError set and nothing installed: also where somebody has
 * replaced the allocators who will put them back. */
int ot_heap_install(void);

/* Major, minor and patch number of the mimalloc that is linked in. */
void ot_heap_version(int version[3]);

/* Bytes of memory that the heap's range occupies right now (resident pages), or of the whole
 * process in OT_HEAP_PROCESS. Reads /proc/self/smaps: milliseconds. -1 if it cannot be read. */
long long ot_heap_resident(void);

#endif
