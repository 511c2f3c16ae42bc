/* test_bigblock.c: blocks too big for mimalloc. No Python: a range of our own. */
#include <criterion/criterion.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>

#include "runtime/bigblock.h"

#define MIB ((size_t)1 << 20)
#define SPAN (64 * MIB)
#define WIDE (4096 * MIB) /* what is grown in has room from here on */

static void
reserve_some(size_t span)
{
    void *range = mmap(NULL, span, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    cr_assert_neq(range, MAP_FAILED);
    ot_big_init((uintptr_t)range, span);
}

static void
reserve(void)
{
    reserve_some(SPAN);
}

TestSuite(bigblock, .init = reserve, .timeout = 60);

static bool
is_all(const unsigned char *block, unsigned char value, size_t n)
{
    return block[0] == value && memcmp(block, block + 1, n - 1) == 0;
}

Test(bigblock, blocks_are_zeroed_also_when_used_again)
{
    for (int i = 0; i < 3; i++) {
        unsigned char *block = ot_big_alloc(10 * MIB);
        cr_assert(is_all(block, 0, 10 * MIB));
        memset(block, 0xab, 10 * MIB);
        ot_big_free(block);
    }
}

Test(bigblock, freed_addresses_are_found_again)
{
    void *a = ot_big_alloc(20 * MIB), *b = ot_big_alloc(20 * MIB), *c = ot_big_alloc(20 * MIB);
    cr_assert(a != NULL && b != NULL && c != NULL);
    cr_assert(ot_big_owns(a) && ot_big_owns((char *)c + 20 * MIB - 1));
    cr_assert_not(ot_big_owns(&a));
    cr_assert_null(ot_big_alloc(6 * MIB), "there are only 4 MiB left");
    ot_big_free(b);
    cr_assert_eq(ot_big_alloc(18 * MIB), b);
}

Test(bigblock, what_does_not_fit_is_refused)
{
    cr_assert_null(ot_big_alloc(SPAN + 1));
    cr_assert_null(ot_big_alloc(SIZE_MAX));
    void *all = ot_big_alloc(SPAN);
    cr_assert_not_null(all);
    cr_assert_not(ot_big_resize(all, SPAN + 1));
    cr_assert_not(ot_big_resize(all, SIZE_MAX));
    cr_assert_eq(ot_big_size(all), SPAN);
}

Test(bigblock, resizing_in_place_keeps_the_content)
{
    unsigned char *a = ot_big_alloc(10 * MIB);
    memset(a, 7, 10 * MIB);
    cr_assert(ot_big_resize(a, 30 * MIB));
    cr_assert(is_all(a, 7, 10 * MIB) && is_all(a + 10 * MIB, 0, 20 * MIB));
    cr_assert(ot_big_resize(a, 4 * MIB));
    cr_assert(is_all(a, 7, 4 * MIB));
    void *b = ot_big_alloc(10 * MIB);
    cr_assert_eq(b, a + 4 * MIB, "the tail was not given back");
    cr_assert_not(ot_big_resize(a, 5 * MIB), "there is a block behind it");
}

Test(bigblock, a_block_that_grows_has_addresses_of_its_own)
{
    reserve_some(WIDE);
    size_t size = MIB / 4;
    unsigned char *a = ot_big_alloc_to_grow(size), *b = ot_big_alloc(2 * MIB), *c = NULL;
    cr_assert(a != NULL && b != NULL);
    memset(a, 7, size);
    memset(b, 8, 2 * MIB);
    while (size < 60 * MIB) {
        size_t more = size + size / 8;
        cr_assert(ot_big_resize(a, more), "a block is in the way");
        memset(a + size, 7, more - size);
        size = more;
        void *other = ot_big_alloc(2 * MIB);
        cr_assert_not_null(other);
        c = other;
    }
    cr_assert(is_all(a, 7, size) && is_all(b, 8, 2 * MIB) && is_all(c, 0, 2 * MIB));
    ot_big_check();
    cr_assert(ot_big_resize(a, MIB) && is_all(a, 7, MIB));
    cr_assert(ot_big_resize(a, 60 * MIB), "it has lost its room when it shrank");
    cr_assert(is_all(a + MIB, 0, 59 * MIB), "the tail was not given back");
}

Test(bigblock, a_block_that_grows_is_accessible_in_small_steps)
{
    reserve_some(WIDE);
    void *a = ot_big_alloc_to_grow(300 << 10);
    cr_assert_eq(ot_big_size(a), 320 << 10);
    cr_assert(ot_big_resize(a, (320 << 10) + 1));
    cr_assert_eq(ot_big_size(a), 384 << 10);
}

Test(bigblock, a_block_that_outgrows_its_room_takes_what_is_free)
{
    reserve_some(WIDE);
    void *a = ot_big_alloc_to_grow(MIB);
    cr_assert(ot_big_resize(a, 100 * MIB));
    void *b = ot_big_alloc(2 * MIB);
    cr_assert_geq((uintptr_t)b - (uintptr_t)a, 100 * MIB, "blocks overlap");
    cr_assert_not(ot_big_resize(a, 101 * MIB), "there is a block behind it");
    ot_big_check();
}

Test(bigblock, many_blocks_that_grow_are_refused)
{
    reserve_some(64 * WIDE);
    void *blocks[1000];
    int n = 0;
    while (n < 1000 && (blocks[n] = ot_big_alloc_to_grow(MIB)) != NULL) {
        n++;
    }
    cr_assert_eq(n, 256);
    cr_assert_not_null(ot_big_alloc(MIB), "those without room are not counted");
    ot_big_free(blocks[100]);
    cr_assert_eq(ot_big_alloc_to_grow(MIB), blocks[100]);
    cr_assert_null(ot_big_alloc_to_grow(MIB));
}

Test(bigblock, a_small_range_has_no_room)
{
    cr_assert_null(ot_big_alloc_to_grow(MIB));
    reserve_some(WIDE);
    cr_assert_null(ot_big_alloc_to_grow(17 * MIB), "its room would be more than its share");
    cr_assert_null(ot_big_alloc_to_grow(SIZE_MAX));
}

static void *
churn(void *arg)
{
    unsigned char mark = (unsigned char)(uintptr_t)arg;
    for (int i = 0; i < 200; i++) {
        size_t size = (size_t)(1 + i % 5) * 2 * MIB;
        unsigned char *block = ot_big_alloc(size);
        if (block == NULL) {
            continue; /* the others have it all */
        }
        memset(block, mark, MIB);
        if (ot_big_resize(block, size + 2 * MIB)) {
            block[size] = mark;
        }
        if (!is_all(block, mark, MIB)) {
            return arg;
        }
        ot_big_free(block);
    }
    return NULL;
}

Test(bigblock, threads_do_not_get_each_others_blocks)
{
    pthread_t threads[4];
    for (uintptr_t i = 0; i < 4; i++) {
        pthread_create(&threads[i], NULL, churn, (void *)(i + 1));
    }
    for (int i = 0; i < 4; i++) {
        void *mixed_up;
        pthread_join(threads[i], &mixed_up);
        cr_assert_null(mixed_up);
    }
    cr_assert_not_null(ot_big_alloc(SPAN), "something was not given back");
}
