/* backends.c: the heaps of the laboratory: small blocks from pools (lockinc_heap.h), all others from mimalloc.
 *
 * Main invariant: that of runtime/heap.c; a block in the range that was laid out is a pool's.
 * Threading: as the pools and mimalloc: any thread.
 */
#include "lab/heap/lockinc_heap.h"
#include "runtime/heap_backend.h"
#include "runtime/lab.h"

#include <string.h>

static void *
pooled_malloc(void *ctx, size_t size)
{
    void *block = size <= OT_LOCKINC_MOST ? ot_lockinc_alloc(size) : NULL;
    return block != NULL ? block : ot_heap_mimalloc.malloc(ctx, size);
}

static void *
pooled_calloc(void *ctx, size_t count, size_t size)
{
    size_t total;
    if (__builtin_mul_overflow(count, size, &total) || total > OT_LOCKINC_MOST) {
        return ot_heap_mimalloc.calloc(ctx, count, size);
    }
    void *block = pooled_malloc(ctx, total);
    return block != NULL ? memset(block, 0, total) : NULL;
}

/* domain: 0 for MEM, 1 for OBJ. */
static void
pooled_free_in(int domain, void *block)
{
    if (ot_lockinc_owns(block)) {
        ot_lockinc_free(block);
    } else {
        ot_heap_mimalloc.frees[domain](NULL, block);
    }
}

/* A block stays where it is when at most a quarter of it is lost, as in obmalloc. */
static void *
pooled_realloc_in(int domain, void *block, size_t size)
{
    if (block == NULL) {
        return pooled_malloc(NULL, size);
    }
    if (!ot_lockinc_owns(block)) {
        return ot_heap_mimalloc.reallocs[domain](NULL, block, size);
    }
    size_t old = ot_lockinc_size(block);
    if (size <= old && 4 * size > 3 * old) {
        return block;
    }
    void *moved = pooled_malloc(NULL, size);
    if (moved != NULL) {
        memcpy(moved, block, old < size ? old : size);
        ot_lockinc_free(block);
    }
    return moved;
}

static void
pooled_mem_free(void *ctx, void *block)
{
    (void)ctx;
    pooled_free_in(0, block);
}

static void
pooled_obj_free(void *ctx, void *block)
{
    (void)ctx;
    pooled_free_in(1, block);
}

static void *
pooled_mem_realloc(void *ctx, void *block, size_t size)
{
    (void)ctx;
    return pooled_realloc_in(0, block, size);
}

static void *
pooled_obj_realloc(void *ctx, void *block, size_t size)
{
    (void)ctx;
    return pooled_realloc_in(1, block, size);
}

static void
lay_out_one_lock(uintptr_t base, size_t span)
{
    ot_lockinc_init(base, span, OT_LOCKINC_ONE_LOCK);
}

static void
lay_out_lock_per_class(uintptr_t base, size_t span)
{
    ot_lockinc_init(base, span, OT_LOCKINC_LOCK_PER_CLASS);
}

const ot_heap_backend_t ot_lab_one_lock = {
    "lockinc",
    "objtunnel (LOCK INC pools, one lock)",
    lay_out_one_lock,
    pooled_malloc,
    pooled_calloc,
    {pooled_mem_free, pooled_obj_free},
    {pooled_mem_realloc, pooled_obj_realloc},
};
const ot_heap_backend_t ot_lab_lock_per_class = {
    "lockinc-classes",
    "objtunnel (LOCK INC pools, a lock per size class)",
    lay_out_lock_per_class,
    pooled_malloc,
    pooled_calloc,
    {pooled_mem_free, pooled_obj_free},
    {pooled_mem_realloc, pooled_obj_realloc},
};
