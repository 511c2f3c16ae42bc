/* bigblock.c: see bigblock.h.
 *
 * Main invariant (under lock): the extents are sorted by address, do not overlap and lie in
 * [low, high); exactly the pages of their blocks are accessible. An extent's addresses are its block's, and the room to
 * grow behind it. Extents are multiples of GRAIN; blocks of STEP, and of GRAIN if they have no room.
 */
#include "runtime/bigblock.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "runtime/checks.h"

enum {
    GRAIN = 2 << 20, /* a huge page */
    STEP = 64 << 10, /* by which a block with room grows */
    GROWING_MAX =
        256, /* so many blocks with room; each splits a mapping, of which Linux gives a process 65,530 */
    ROOM_TIMES = 4,  /* a block's room, times its size */
    ROOM_SHARE = 64, /* one part in so many of the range, at most, is the room of one block */
};
#define ROOM_MIN ((size_t)64 << 20)

typedef struct extent {
    struct extent *next;
    uintptr_t start;
    size_t size; /* of the block */
    size_t room; /* addresses from start on, size at least */
    bool grows;  /* was made by ot_big_alloc_to_grow: counted in `growing` */
} extent_t;

static uintptr_t low, high;
static extent_t *first;
static int growing; /* extents that grow */
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

/* Registers the handlers once: if it did so twice, a fork would take the lock twice. */
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
round_up(size_t size, size_t grain)
{
    return (size + grain - 1) & ~(grain - 1);
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
    int found = 0;
    for (const extent_t *e = first; e != NULL; e = e->next) {
        OT_MUST(e->start >= end);
        OT_MUST(e->size > 0 && e->size % (e->grows ? STEP : GRAIN) == 0);
        OT_MUST(e->size <= e->room && e->room % GRAIN == 0);
        OT_MUST(e->room <= high - e->start);
        end = e->start + e->room;
        found += e->grows;
    }
    OT_MUST(found == growing);
}

void
ot_big_check(void)
{
    pthread_mutex_lock(&lock);
    check_locked();
    pthread_mutex_unlock(&lock);
}

/* Finds addresses for e->room and makes e->size of them accessible. */
static bool
place_locked(extent_t *e)
{
    extent_t **link = &first;
    e->start = low;
    while (*link != NULL && gap_end_locked(*link) - e->start < e->room) {
        e->start = (*link)->start + (*link)->room;
        link = &(*link)->next;
    }
    if (gap_end_locked(*link) - e->start < e->room ||
        mprotect((void *)e->start, e->size, PROT_READ | PROT_WRITE) != 0) {
        return false;
    }
    e->next = *link;
    *link = e;
    growing += e->grows;
    return true;
}

static void *
alloc(size_t size, size_t room, bool grows)
{
    extent_t *e = malloc(sizeof *e);
    if (e == NULL) {
        return NULL;
    }
    *e = (extent_t){.size = size, .room = room, .grows = grows};
    pthread_mutex_lock(&lock);
    bool placed = (!grows || growing < GROWING_MAX) && place_locked(e);
    uintptr_t start = e->start;
    OT_CHECK(check_locked());
    pthread_mutex_unlock(&lock);
    if (!placed) {
        free(e);
        return NULL;
    }
    return (void *)start;
}

void *
ot_big_alloc(size_t size)
{
    if (size > SIZE_MAX - GRAIN) {
        return NULL;
    }
    size = round_up(size, GRAIN);
    return alloc(size, size, false);
}

void *
ot_big_alloc_to_grow(size_t size)
{
    size_t most = (high - low) / ROOM_SHARE;
    if (size > most / ROOM_TIMES || most < ROOM_MIN) {
        return NULL;
    }
    size_t room = round_up(size * ROOM_TIMES, GRAIN);
    return alloc(round_up(size, STEP), room > ROOM_MIN ? room : ROOM_MIN, true);
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
    growing -= e->grows;
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
    pthread_mutex_lock(&lock);
    extent_t *e = *find_locked(block);
    size = round_up(size, e->grows ? STEP : GRAIN);
    bool done = true;
    if (size < e->size) {
        release_pages(e->start + size, e->size - size);
    } else if (size > e->size) {
        done = gap_end_locked(e->next) - e->start >= size &&
               mprotect((void *)(e->start + e->size), size - e->size, PROT_READ | PROT_WRITE) == 0;
    }
    if (done) {
        e->size = size;
        if (!e->grows || size > e->room) {
            e->room = round_up(size, GRAIN);
        }
    }
    OT_CHECK(check_locked());
    pthread_mutex_unlock(&lock);
    return done;
}
