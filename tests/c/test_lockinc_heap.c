/* test_lockinc_heap.c: the pools behind the lock of 2006, without Python. */
#include "support.h"

#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lab/heap/lockinc_heap.h"

TestSuite(lockinc_heap, .timeout = 120);

enum { MIB = 1 << 20 };

static uintptr_t base;

/* Reserves `span` bytes and has pools made in them. */
static void
start(size_t span, ot_lockinc_locks_t locks)
{
    char *p = mmap(NULL, span + MIB, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    CHECK(p != MAP_FAILED);
    base = ((uintptr_t)p + MIB - 1) & ~(uintptr_t)(MIB - 1);
    cr_assert_not(ot_lockinc_owns((void *)base), "before init nothing is ours");
    ot_lockinc_init(base, span, locks);
}

#define EACH_WAY(name)                                                                             \
    static void name(ot_lockinc_locks_t locks);                                                    \
    Test(lockinc_heap, name##_one_lock)                                                            \
    {                                                                                              \
        name(OT_LOCKINC_ONE_LOCK);                                                                 \
    }                                                                                              \
    Test(lockinc_heap, name##_lock_per_class)                                                      \
    {                                                                                              \
        name(OT_LOCKINC_LOCK_PER_CLASS);                                                           \
    }                                                                                              \
    static void name(ot_lockinc_locks_t locks)

EACH_WAY(blocks_do_not_overlap_and_are_aligned)
{
    enum { BLOCKS = 5000 };
    static unsigned char *blocks[BLOCKS];
    start(64 * MIB, locks);
    for (int i = 0; i < BLOCKS; i++) {
        size_t size = (size_t)i % (OT_LOCKINC_MOST + 1);
        blocks[i] = ot_lockinc_alloc(size);
        cr_assert_not_null(blocks[i]);
        cr_assert(ot_lockinc_owns(blocks[i]));
        cr_assert_eq((uintptr_t)blocks[i] % 16, 0);
        cr_assert_geq(ot_lockinc_size(blocks[i]), size);
        cr_assert_lt(ot_lockinc_size(blocks[i]), size + 17);
        memset(blocks[i], i & 0xff, ot_lockinc_size(blocks[i]));
    }
    for (int i = 0; i < BLOCKS; i++) {
        for (size_t k = 0; k < ot_lockinc_size(blocks[i]); k++) {
            CHECK(blocks[i][k] == (i & 0xff));
        }
        ot_lockinc_free(blocks[i]);
    }
}

/* How many blocks of a size there are. Fills them, frees them. */
static int
capacity(size_t size)
{
    void *chain = NULL;
    int n = 0;
    for (void **block; (block = ot_lockinc_alloc(size)) != NULL; n++) {
        *block = chain;
        chain = block;
    }
    while (chain != NULL) {
        void *next = *(void **)chain;
        ot_lockinc_free(chain);
        chain = next;
    }
    return n;
}

EACH_WAY(a_full_range_is_null_and_serves_any_class_afterwards)
{
    start(2 * MIB, locks);
    int small = capacity(16);
    cr_assert_gt(small, 2 * MIB / 16 * 9 / 10);
    int large = capacity(512);
    cr_assert_gt(large, 2 * MIB / 512 * 9 / 10);
    cr_assert_eq(capacity(16), small, "every pool came back");
    cr_assert_eq(capacity(512), large);
}

EACH_WAY(a_freed_block_is_used_again)
{
    start(2 * MIB, locks);
    void *kept = ot_lockinc_alloc(100), *first = ot_lockinc_alloc(100);
    ot_lockinc_free(first);
    cr_assert_eq(ot_lockinc_alloc(97), first);
    ot_lockinc_free(first);
    ot_lockinc_free(kept);
}

/* ---- threads ------------------------------------------------------------------------------ */

enum { THREADS = 4, TURNS = 30000, SLOTS = 64 };

static _Atomic(unsigned char *) slots[SLOTS];
static atomic_bool stop;
static atomic_int turning;

static void
fill(unsigned char *block, size_t size)
{
    memset(block, (int)(size & 0xff), size);
}

/* What somebody else allocated is whole, and freed here. */
static void
swap_block(unsigned *seed)
{
    size_t size = 1 + (size_t)rand_r(seed) % OT_LOCKINC_MOST;
    unsigned char *mine = ot_lockinc_alloc(size);
    CHECK(mine != NULL);
    size = ot_lockinc_size(mine);
    fill(mine, size);
    unsigned char *other = atomic_exchange(&slots[(unsigned)rand_r(seed) % SLOTS], mine);
    if (other != NULL) {
        size = ot_lockinc_size(other);
        for (size_t i = 0; i < size; i++) {
            CHECK(other[i] == (size & 0xff));
        }
        ot_lockinc_free(other);
    }
}

static void *
swap_blocks(void *arg)
{
    unsigned seed = (unsigned)(uintptr_t)arg;
    atomic_fetch_add(&turning, 1);
    for (int i = 0; i < TURNS; i++) {
        swap_block(&seed);
    }
    return NULL;
}

static void *
swap_until_stopped(void *arg)
{
    unsigned seed = (unsigned)(uintptr_t)arg;
    atomic_fetch_add(&turning, 1);
    while (!atomic_load(&stop)) {
        swap_block(&seed);
    }
    return NULL;
}

static void
free_slots(void)
{
    for (int i = 0; i < SLOTS; i++) {
        unsigned char *block = atomic_exchange(&slots[i], NULL);
        if (block != NULL) {
            ot_lockinc_free(block);
        }
    }
}

EACH_WAY(threads_free_what_others_allocated)
{
    pthread_t threads[THREADS];
    start(16 * MIB, locks);
    for (uintptr_t i = 0; i < THREADS; i++) {
        threads[i] = test_thread(swap_blocks, (void *)(i + 1));
    }
    for (int i = 0; i < THREADS; i++) {
        test_join(threads[i]);
    }
    free_slots();
    int all = capacity(16);
    cr_assert_gt(all, 16 * MIB / 16 * 9 / 10, "nothing leaked: %d blocks left", all);
}

static bool
all_turn(void *arg)
{
    (void)arg;
    return atomic_load(&turning) == THREADS;
}

/* The child has the pools in order and all locks free, whoever held or tried them at the fork. */
EACH_WAY(a_forked_child_allocates)
{
    enum { FORKS = 200 };
    pthread_t threads[THREADS];
    start(64 * MIB, locks);
    for (uintptr_t i = 0; i < THREADS; i++) {
        threads[i] = test_thread(swap_until_stopped, (void *)(i + 1));
    }
    test_wait_until(all_turn, NULL);
    for (int i = 0; i < FORKS; i++) {
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            alarm(60); /* a lock that stays taken would spin for ever */
            unsigned seed = (unsigned)i;
            for (int k = 0; k < 300; k++) {
                swap_block(&seed);
            }
            _exit(42);
        }
        int status;
        CHECK(waitpid(child, &status, 0) == child);
        cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 42, "fork %d: status %x", i, status);
    }
    atomic_store(&stop, true);
    for (int i = 0; i < THREADS; i++) {
        test_join(threads[i]);
    }
    free_slots();
}
