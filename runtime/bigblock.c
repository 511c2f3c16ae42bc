/* bigblock.c: see bigblock.h.
 *
 * Main invariant (under lock): the extents are sorted by address, do not overlap and lie in
 * [low, high); exactly their pages are accessible. Sizes are multiples of GRAIN.
 */
#include "runtime/bigblock.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "runtime/checks.h"

enum { GRAIN = 2 << 20 }; /* a huge page */

typedef struct extent {
    struct extent *next;
    uintptr_t start;
    size_t size;
} extent_t;

static uintptr_t low, high;
static extent_t *first;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void
before_fork(void)
{
    pthread_mutex_lock(&lock);
}

static void
after_fork(void)
{
    pthread_mutex_unlock(&lock);
}

/* Once, or a fork would take the lock twice. */
static void
install_fork_handlers(void)
{
    pthread_atfork(before_fork, after_fork, after_fork);
}

void
ot_big_init(uintptr_t base, size_t span)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    low = base;
    high = base + span;
    pthread_once(&once, install_fork_handlers);
}

bool
ot_big_owns(const void *block)
{
    return (uintptr_t)block - low < high - low;
}

static size_t
round_up(size_t size)
{
    return (size + GRAIN - 1) & ~(size_t)(GRAIN - 1);
}

/* Gives the pages' memory back and makes them inaccessible, as they were reserved. */
static void
release_pages(uintptr_t start, size_t size)
{
    /* Cannot fail but for lack of kernel memory; then the pages stay, a leak and nothing worse.
     * Not by mmap(): see reserve_addresses in heap.c. */
    (void)syscall(SYS_mmap, start, size, PROT_NONE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
}

/* Where the free addresses behind an extent end. */
static uintptr_t
gap_end_locked(const extent_t *next)
{
    return next == NULL ? high : next->start;
}

static void
check_locked(void)
{
    uintptr_t end = low;
    for (const extent_t *e = first; e != NULL; e = e->next) {
        OT_MUST(e->start >= end);
        OT_MUST(e->size > 0 && e->size % GRAIN == 0);
        OT_MUST(e->size <= high - e->start);
        end = e->start + e->size;
    }
}

void
ot_big_check(void)
{
    pthread_mutex_lock(&lock);
    check_locked();
    pthread_mutex_unlock(&lock);
}

void *
ot_big_alloc(size_t size)
{
    extent_t *e = size > SIZE_MAX - GRAIN ? NULL : malloc(sizeof *e);
    if (e == NULL) {
        return NULL;
    }
    e->size = round_up(size);
    pthread_mutex_lock(&lock);
    extent_t **link = &first;
    e->start = low;
    while (*link != NULL && gap_end_locked(*link) - e->start < e->size) {
        e->start = (*link)->start + (*link)->size;
        link = &(*link)->next;
    }
    bool fits = gap_end_locked(*link) - e->start >= e->size &&
                mprotect((void *)e->start, e->size, PROT_READ | PROT_WRITE) == 0;
    if (fits) {
        e->next = *link;
        *link = e;
    }
    OT_CHECK(check_locked());
    pthread_mutex_unlock(&lock);
    if (!fits) {
        free(e);
        return NULL;
    }
    return (void *)e->start;
}

/* The link that leads to the block's extent. Blocks are ours by contract, so it exists. */
static extent_t **
find_locked(const void *block)
{
    extent_t **link = &first;
    while ((*link)->start != (uintptr_t)block) {
        link = &(*link)->next;
    }
    return link;
}

void
ot_big_free(void *block)
{
    pthread_mutex_lock(&lock);
    extent_t **link = find_locked(block), *e = *link;
    release_pages(e->start, e->size);
    *link = e->next;
    OT_CHECK(check_locked());
    pthread_mutex_unlock(&lock);
    free(e);
}

size_t
ot_big_size(const void *block)
{
    pthread_mutex_lock(&lock);
    size_t size = (*find_locked(block))->size;
    pthread_mutex_unlock(&lock);
    return size;
}

bool
ot_big_resize(void *block, size_t size)
{
    if (size > SIZE_MAX - GRAIN) {
        return false;
    }
    size = round_up(size);
    pthread_mutex_lock(&lock);
    extent_t *e = *find_locked(block);
    bool done = true;
    if (size < e->size) {
        release_pages(e->start + size, e->size - size);
    } else if (size > e->size) {
        done = gap_end_locked(e->next) - e->start >= size &&
               mprotect((void *)(e->start + e->size), size - e->size, PROT_READ | PROT_WRITE) == 0;
    }
    if (done) {
        e->size = size;
    }
    OT_CHECK(check_locked());
    pthread_mutex_unlock(&lock);
    return done;
}
