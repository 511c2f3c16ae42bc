/* heap_backend.h: what serves the blocks of the heap (heap.c): mimalloc, or a heap of the laboratory (lab/heap/).
 *
 * Shared rules: `ctx` is not looked at. Any thread, with or without a thread state. Index 0 is Python's domain MEM, 1 is
 * OBJ: they differ in whose blocks from before the heap they hand on.
 */
#ifndef OT_RUNTIME_HEAP_BACKEND_H
#define OT_RUNTIME_HEAP_BACKEND_H

#include <stddef.h>
#include <stdint.h>

typedef struct {
    const char *name, *description;
    /* Not NULL: gets a part of the range for itself, [base, base + span), once, before the first block. */
    void (*lay_out)(uintptr_t base, size_t span);
    void *(*malloc)(void *ctx, size_t size);
    void *(*calloc)(void *ctx, size_t count, size_t size);
    void (*frees[2])(void *ctx, void *block);
    void *(*reallocs[2])(void *ctx, void *block, size_t size);
} ot_heap_backend_t;

extern const ot_heap_backend_t ot_heap_mimalloc;

#endif
