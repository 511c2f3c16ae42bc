/* test_list.c: the array under a LockingList, item by item. No Python. */
#include "support.h"

#include "objects/list/list.h"

enum { N = 6 };

static ot_ref_t items[N];
static int dropped[N];

static void
drop(ot_ref_t *item)
{
    if (ot_ref_dec(item)) {
        dropped[item - items]++;
    }
}

static ot_list_t *
list_of_all(void)
{
    ot_ref_t *in[N];
    ot_items_t out;
    for (int i = 0; i < N; i++) {
        ot_ref_init(&items[i]);
        in[i] = &items[i];
        dropped[i] = 0;
    }
    ot_list_t *list = ot_list_new(drop);
    cr_assert(ot_list_splice_locked(list, 0, 0, &(ot_items_t){in, N}, &out));
    cr_assert_eq(out.len, 0);
    return list;
}

/* Digits are the numbers of the items. */
static void
holds(const ot_list_t *list, const char *numbers)
{
    cr_assert_eq(list->len, strlen(numbers));
    for (size_t i = 0; i < list->len; i++) {
        cr_assert_eq(list->items[i], &items[numbers[i] - '0'], "%zu in %s", i, numbers);
    }
    ot_list_check_locked(list);
}

static void
drop_all(ot_items_t *out)
{
    for (size_t i = 0; i < out->len; i++) {
        drop(out->items[i]);
    }
    free(out->items);
}

/* Each item was dropped once, and by nobody twice. */
static void
finish(ot_list_t *list)
{
    ot_shared_unref(&list->head);
    for (int i = 0; i < N; i++) {
        cr_assert_eq(dropped[i], 1, "item %d: %d", i, dropped[i]);
    }
    cr_assert_eq(ot_shared_count(), 0);
}

Test(list, a_splice_moves_what_is_behind)
{
    ot_list_t *list = list_of_all();
    ot_items_t out, more;
    cr_assert(ot_list_splice_locked(list, 1, 3, &(ot_items_t){NULL, 0}, &out));
    holds(list, "045");
    cr_assert_eq(out.len, 3);
    cr_assert(ot_list_splice_locked(list, 1, 0, &out, &more));
    holds(list, "012345");
    free(out.items);
    ot_ref_inc(&items[5]);
    ot_ref_t *in[1] = {&items[5]};
    cr_assert(ot_list_splice_locked(list, 0, 2, &(ot_items_t){in, 1}, &out));
    holds(list, "52345");
    drop_all(&out);
    finish(list);
}

Test(list, every_second_item_goes)
{
    ot_list_t *list = list_of_all();
    ot_items_t out;
    cr_assert(ot_list_remove_stepped_locked(list, 1, 2, 2, &out));
    holds(list, "0245");
    drop_all(&out);
    cr_assert_eq(dropped[1] + dropped[3], 2);
    cr_assert(ot_list_remove_stepped_locked(list, 0, 3, 2, &out));
    holds(list, "24");
    drop_all(&out);
    finish(list);
}

Test(list, repeating_counts)
{
    ot_list_t *list = list_of_all();
    cr_assert(ot_list_repeat_locked(list, 3));
    holds(list, "012345012345012345");
    ot_items_t out;
    cr_assert(ot_list_splice_locked(list, 0, N, &(ot_items_t){NULL, 0}, &out));
    drop_all(&out);
    for (int i = 0; i < N; i++) {
        cr_assert_eq(dropped[i], 0, "item %d is in the list twice still", i);
    }
    cr_assert(ot_list_copy_locked(list, 11, -1, 2, &out));
    cr_assert(out.items[0] == &items[5] && out.items[1] == &items[4]);
    drop_all(&out);
    finish(list);
}

Test(list, orders_change_in_place)
{
    ot_list_t *list = list_of_all();
    ot_list_reverse_locked(list);
    holds(list, "543210");
    size_t order[N] = {5, 0, 4, 3, 2, 1};
    ot_list_permute_locked(list, order);
    holds(list, "051234");
    finish(list);
}
