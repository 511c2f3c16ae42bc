/* test_storage.c: memory full of numbers and its atomic elements. No Python. */
#include "support.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <unistd.h>

#include "objects/array/storage.h"

static const char integers[] = "bBhHiIlLqQ";

static ot_wide_t
highest(const ot_number_type_t *type)
{
    return ((ot_wide_t)1 << (8 * type->size - type->is_signed)) - 1;
}

static ot_wide_t
lowest(const ot_number_type_t *type)
{
    return type->is_signed ? -highest(type) - 1 : 0;
}

Test(storage, types_are_those_of_c)
{
    cr_assert_eq(ot_number_type('h')->size, sizeof(short));
    cr_assert_eq(ot_number_type('l')->size, sizeof(long));
    cr_assert(ot_number_type('i')->is_signed && !ot_number_type('I')->is_signed);
    cr_assert(ot_number_type('d')->is_float && !ot_number_type('q')->is_float);
    cr_assert_null(ot_number_type('x'));
    cr_assert_null(ot_number_type(0));
}

Test(storage, memory_is_zero_and_aligned_whatever_its_size)
{
    size_t sizes[] = {0, 1, 63, 64, 65, 100000, (1 << 18) - 1, 1 << 18, 5000000};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        ot_numbers_t *n = ot_numbers_new(ot_number_type('B'), sizes[i]);
        cr_assert_not_null(n);
        cr_assert_eq((uintptr_t)n->data % 64, 0);
        cr_assert_eq(n->count, sizes[i]);
        for (size_t j = 0; j < sizes[i]; j++) {
            cr_assert_eq(n->data[j], 0);
        }
        memset(n->data, 1, sizes[i]);
        ot_shared_unref(&n->head);
    }
    cr_assert_eq(ot_shared_count(), 0);
}

Test(storage, too_many_are_refused)
{
    cr_assert_null(ot_numbers_new(ot_number_type('d'), SIZE_MAX / 4));
    cr_assert_null(ot_numbers_new(ot_number_type('d'), PTRDIFF_MAX / 16));
    cr_assert_eq(ot_shared_count(), 0);
}

Test(storage, every_integer_type_has_its_limits)
{
    for (const char *code = integers; *code; code++) {
        const ot_number_type_t *t = ot_number_type(*code);
        ot_numbers_t *n = ot_numbers_new(t, 3);
        char *at = n->data + t->size;
        ot_wide_t low = lowest(t), high = highest(t), before;
        cr_assert(ot_integer_store(t, at, high));
        cr_assert(ot_integer_load(t, at) == high);
        cr_assert(!ot_integer_store(t, at, high + 1) && !ot_integer_store(t, at, low - 1));
        cr_assert(!ot_integer_add(t, at, 1, &before) && before == high);
        cr_assert(ot_integer_add(t, at, low - high, &before) && before == high);
        cr_assert(ot_integer_load(t, at) == low);
        cr_assert(!ot_integer_add(t, at, -1, &before));
        cr_assert(ot_integer_exchange(t, at, 5, &before) && before == low);
        cr_assert(!ot_integer_exchange(t, at, high + 1, &before));
        cr_assert(!ot_integer_compare_exchange(t, at, 4, 6));
        cr_assert(!ot_integer_compare_exchange(t, at, 5 + 2 * (high + 1), 6));
        cr_assert(ot_integer_compare_exchange(t, at, 5, high));
        cr_assert(ot_integer_load(t, at) == high);
        cr_assert(ot_integer_load(t, n->data) == 0 && ot_integer_load(t, at + t->size) == 0,
                  "neighbours of type %c were written", *code);
        ot_shared_unref(&n->head);
    }
}

Test(storage, floats_keep_their_bits)
{
    double values[] = {0.0, -0.0, 1.0 / 3, INFINITY, -INFINITY, 5e-324, 1e300};
    const ot_number_type_t *d = ot_number_type('d'), *f = ot_number_type('f');
    ot_numbers_t *n = ot_numbers_new(d, 1);
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        ot_float_store(d, n->data, values[i]);
        double back = ot_float_load(d, n->data);
        cr_assert_eq(memcmp(&back, &values[i], sizeof back), 0);
        ot_float_store(f, n->data, values[i]);
        cr_assert(ot_float_load(f, n->data) == (double)(float)values[i]);
    }
    ot_float_store(d, n->data, NAN);
    cr_assert(isnan(ot_float_load(d, n->data)));
    ot_shared_unref(&n->head);
}

/* ---- files --------------------------------------------------------------------------------- */

static void
temporary(char *path)
{
    strcpy(path, "/tmp/objtunnel-numbers-XXXXXX");
    int fd = mkstemp(path);
    cr_assert_geq(fd, 0);
    close(fd);
}

Test(storage, a_file_is_grown_once_and_kept)
{
    char path[64];
    const ot_number_type_t *t = ot_number_type('i');
    ot_numbers_t *n, *again;
    temporary(path);
    cr_assert_eq(ot_numbers_open(t, path, SIZE_MAX, &n), OT_NUMBERS_WRONG_SIZE); /* empty */
    cr_assert_eq(ot_numbers_open(t, path, 10, &n), OT_NUMBERS_OK);
    cr_assert(ot_integer_store(t, n->data + 4, 7));
    cr_assert_eq(ot_numbers_flush(n), 0);
    cr_assert_str_eq(n->file, path);
    cr_assert_eq(ot_numbers_open(t, path, SIZE_MAX, &again), OT_NUMBERS_OK);
    cr_assert_eq(again->count, 10);
    cr_assert(ot_integer_load(t, again->data + 4) == 7);
    ot_shared_unref(&n->head);
    cr_assert(ot_integer_store(t, again->data, 3));
    ot_shared_unref(&again->head);
    cr_assert_eq(ot_numbers_open(t, path, 9, &n), OT_NUMBERS_WRONG_SIZE);
    cr_assert_eq(ot_numbers_open(t, path, 0, &n), OT_NUMBERS_WRONG_SIZE);
    cr_assert_eq(ot_numbers_open(ot_number_type('b'), path, SIZE_MAX, &n), OT_NUMBERS_OK);
    cr_assert_eq(n->count, 40);
    cr_assert_eq(n->data[0], 3);
    ot_shared_unref(&n->head);
    unlink(path);
    cr_assert_eq(ot_shared_count(), 0);
}

Test(storage, errors_of_files_are_errno)
{
    ot_numbers_t *n;
    cr_assert_eq(ot_numbers_open(ot_number_type('i'), "/tmp/no/such/folder", 1, &n),
                 OT_NUMBERS_ERRNO);
    cr_assert_eq(errno, ENOENT);
    cr_assert_eq(ot_numbers_open(ot_number_type('i'), "/tmp", 1, &n), OT_NUMBERS_ERRNO);
    cr_assert_eq(errno, EISDIR);
    cr_assert_eq(ot_numbers_flush(&(ot_numbers_t){0}), 0);
}
