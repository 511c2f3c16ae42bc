/* lockinc_heap.c: see lockinc_heap.h.
 *
 * Main invariants (under the lock of the pool's class):
 * - a pool's class changes only while none of its blocks is in use, so free() may read it unlocked;
 * - used + length of `free` + what lies between `fresh` and the end = the pool's capacity;
 * - a pool is on its class's list exactly if it is in use and has a block to give.
 * A pool that is empty is on `spare` (under `spare_lock`), whatever class it had.
 *
 * Threading: lock order is class locks in ascending order (fork only), then spare_lock. With one
 * lock for all, every class's lock is the first one, and it covers `spare` too.
 */
#include "lab/heap/lockinc_heap.h"

#include <pthread.h>
#include <sys/mman.h>

#include "atomics/cpu.h"
#include "atomics/lock/inc2006.h"

enum {
    GRAIN = 16,
    CLASSES = OT_LOCKINC_MOST / GRAIN,
    POOL = 16 << 10, /* bytes, and its alignment */
    ARENA = 1 << 20, /* made accessible at once */
};

typedef struct pool {
    struct pool *next, *prev; /* of its class's list; `next` also of `spare` */
    void *free;               /* blocks that came back, chained through their first word */
    uint32_t used;            /* blocks out */
    uint32_t fresh;           /* offset of the first block that was never out */
    uint32_t size_class;
} pool_t;

enum { HEADER = (sizeof(pool_t) + GRAIN - 1) / GRAIN * GRAIN };

typedef struct {
    OT_OWN_LINE ot_lk_inc2006_t lock;
    pool_t *pools; /* those with a block to give */
} class_t;

static class_t classes[CLASSES];
static OT_OWN_LINE ot_lk_inc2006_t spare_lock;
static pool_t *spare;               /* empty pools */
static uintptr_t next_pool, usable; /* [next_pool, usable) is accessible and was never a pool */
static uintptr_t low, high;
static bool one_lock;

bool
ot_lockinc_owns(const void *block)
{
    return (uintptr_t)block - low < high - low;
}

/* ---- locks ------------------------------------------------------------------------------- */

static ot_lk_inc2006_t *
lock_of(unsigned size_class)
{
    return &classes[one_lock ? 0 : size_class].lock;
}

static unsigned
lock_count(void)
{
    return one_lock ? 1 : CLASSES;
}

static void
lock_spare(void)
{
    if (!one_lock) {
        ot_lk_inc2006_lock(&spare_lock);
    }
}

static void
unlock_spare(void)
{
    if (!one_lock) {
        ot_lk_inc2006_unlock(&spare_lock);
    }
}

static void
before_fork(void)
{
    for (unsigned c = 0; c < lock_count(); c++) {
        ot_lk_inc2006_lock(lock_of(c));
    }
    lock_spare();
}

static void
after_fork_in_parent(void)
{
    unlock_spare();
    for (unsigned c = 0; c < lock_count(); c++) {
        ot_lk_inc2006_unlock(lock_of(c));
    }
}

/* Not unlocked but made anew: threads that were between their LOCK INC and their LOCK DEC count
 * as one each, and in the child they will never step back. */
static void
after_fork_in_child(void)
{
    ot_lk_inc2006_init(&spare_lock);
    for (unsigned c = 0; c < lock_count(); c++) {
        ot_lk_inc2006_init(lock_of(c));
    }
}

/* Once, or a fork would take each lock twice. */
static void
install_fork_handlers(void)
{
    pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
}

void
ot_lockinc_init(uintptr_t base, size_t span, ot_lockinc_locks_t locks)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    one_lock = locks == OT_LOCKINC_ONE_LOCK;
    ot_lk_inc2006_init(&spare_lock);
    for (unsigned c = 0; c < CLASSES; c++) {
        ot_lk_inc2006_init(&classes[c].lock);
    }
    next_pool = usable = base;
    low = base;
    high = base + span;
    pthread_once(&once, install_fork_handlers);
}

/* ---- pools ------------------------------------------------------------------------------- */

static pool_t *
pool_of(const void *block)
{
    return (pool_t *)((uintptr_t)block & ~(uintptr_t)(POOL - 1));
}

static uint32_t
block_size(const pool_t *p)
{
    return (p->size_class + 1) * GRAIN;
}

static bool
has_block(const pool_t *p)
{
    return p->free != NULL || p->fresh + block_size(p) <= POOL;
}

static void
link_locked(pool_t *p)
{
    pool_t **first = &classes[p->size_class].pools;
    p->prev = NULL;
    p->next = *first;
    if (p->next != NULL) {
        p->next->prev = p;
    }
    *first = p;
}

static void
unlink_locked(pool_t *p)
{
    if (p->prev != NULL) {
        p->prev->next = p->next;
    } else {
        classes[p->size_class].pools = p->next;
    }
    if (p->next != NULL) {
        p->next->prev = p->prev;
    }
}

/* Memory that is no pool of any class now; NULL if there is no more. Under spare_lock. */
static pool_t *
take_spare_locked(void)
{
    if (spare != NULL) {
        pool_t *p = spare;
        spare = p->next;
        return p;
    }
    if (next_pool == usable) {
        if (usable == high || mprotect((void *)usable, ARENA, PROT_READ | PROT_WRITE) != 0) {
            return NULL;
        }
        usable += ARENA;
    }
    pool_t *p = (pool_t *)next_pool;
    next_pool += POOL;
    return p;
}

/* A pool of the class with a block to give, on its list; NULL if there is no memory. */
static pool_t *
pool_for_locked(unsigned size_class)
{
    pool_t *p = classes[size_class].pools;
    if (p != NULL) {
        return p;
    }
    lock_spare();
    p = take_spare_locked();
    unlock_spare();
    if (p != NULL) {
        *p = (pool_t){.fresh = HEADER, .size_class = size_class};
        link_locked(p);
    }
    return p;
}

static void *
take_block_locked(pool_t *p)
{
    void *block = p->free;
    if (block != NULL) {
        p->free = *(void **)block;
    } else {
        block = (char *)p + p->fresh;
        p->fresh += block_size(p);
    }
    p->used++;
    if (!has_block(p)) {
        unlink_locked(p);
    }
    return block;
}

static void
give_block_locked(pool_t *p, void *block)
{
    if (!has_block(p)) {
        link_locked(p);
    }
    *(void **)block = p->free;
    p->free = block;
    if (--p->used == 0) {
        unlink_locked(p);
        lock_spare();
        p->next = spare;
        spare = p;
        unlock_spare();
    }
}

/* ---- blocks ------------------------------------------------------------------------------ */

void *
ot_lockinc_alloc(size_t size)
{
    unsigned size_class = size == 0 ? 0 : (unsigned)((size - 1) / GRAIN);
    ot_lk_inc2006_t *lock = lock_of(size_class);
    ot_lk_inc2006_lock(lock);
    pool_t *p = pool_for_locked(size_class);
    void *block = p == NULL ? NULL : take_block_locked(p);
    ot_lk_inc2006_unlock(lock);
    return block;
}

void
ot_lockinc_free(void *block)
{
    pool_t *p = pool_of(block);
    ot_lk_inc2006_t *lock = lock_of(p->size_class);
    ot_lk_inc2006_lock(lock);
    give_block_locked(p, block);
    ot_lk_inc2006_unlock(lock);
}

size_t
ot_lockinc_size(const void *block)
{
    return block_size(pool_of(block));
}
