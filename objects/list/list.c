/* list.c: see list.h.
 *
 * Main invariant: that of ot_list_t; allocate first, commit last.
 */
#include "objects/list/list.h"

#include <stdlib.h>
#include <string.h>

#include "runtime/checks.h"
#include "runtime/grow.h"

/* Looks at the ends of a long list, where a change that counts wrong shows. */
void
ot_list_check_locked(const ot_list_t *list)
{
    enum { LOOKED_AT = 32 };
    OT_MUST(list->len <= list->cap);
    OT_MUST((list->items == NULL) == (list->cap == 0));
    for (size_t i = 0; i < list->len && i < LOOKED_AT; i++) {
        OT_MUST(list->items[i] != NULL && list->items[list->len - 1 - i] != NULL);
    }
}

/* ---- life ------------------------------------------------------------------------------------ */

static void
free_one(ot_list_t *list)
{
    for (size_t i = 0; i < list->len; i++) {
        list->drop(list->items[i]);
    }
    free(list->items);
    ot_shared_unref(&list->lock->head);
    free(list);
}

/* Frees the list. Lists that die with it are put into a line and freed in turn, not by
 * recursion: they may be nested to any depth. */
static void
list_free(ot_shared_t *self)
{
    static _Thread_local ot_list_t *doomed;
    static _Thread_local bool freeing;
    ((ot_list_t *)self)->doomed = doomed;
    doomed = (ot_list_t *)self;
    if (freeing) {
        return;
    }
    freeing = true;
    while (doomed != NULL) {
        ot_list_t *list = doomed;
        doomed = list->doomed;
        free_one(list);
    }
    freeing = false;
}

/* The lock is an object of its own, so its fork handler keeps us from being forked half changed. */
const ot_shared_kind_t ot_list_kind = {"LockingList", list_free, NULL, NULL};

ot_list_t *
ot_list_new(void (*drop)(ot_ref_t *item))
{
    ot_list_t *list = calloc(1, sizeof *list);
    ot_lock_t *lock = list == NULL ? NULL : ot_lock_new(&ot_rlock_kind);
    if (lock == NULL) {
        free(list);
        return NULL;
    }
    list->lock = lock;
    list->drop = drop;
    ot_shared_init(&list->head, &ot_list_kind);
    return list;
}

/* ---- room ------------------------------------------------------------------------------------ */

static bool
reserve(ot_list_t *list, size_t n)
{
    return n <= SIZE_MAX - list->len &&
           ot_grow(&list->items, &list->cap, list->len + n, sizeof *list->items, realloc);
}

static void
give_back_room(ot_list_t *list)
{
    if (list->len == 0) {
        free(list->items);
        list->items = NULL;
        list->cap = 0;
    } else if (list->len < list->cap / 4) {
        ot_ref_t **shrunk = realloc(list->items, list->len * 2 * sizeof *shrunk);
        if (shrunk != NULL) { /* otherwise it stays large */
            list->items = shrunk;
            list->cap = list->len * 2;
        }
    }
}

static bool
make_items(ot_items_t *items, size_t n)
{
    *items = (ot_items_t){NULL, 0};
    if (n == 0) {
        return true;
    }
    if (n <= PTRDIFF_MAX / sizeof(ot_ref_t *)) {
        items->items = malloc(n * sizeof *items->items);
    }
    items->len = items->items == NULL ? 0 : n;
    return items->items != NULL;
}

static void
move(ot_ref_t **to, ot_ref_t *const *from, size_t n)
{
    if (n > 0) {
        memmove(to, from, n * sizeof *to);
    }
}

/* ---- changes --------------------------------------------------------------------------------- */

bool
ot_list_splice_locked(ot_list_t *list, size_t start, size_t n, const ot_items_t *in,
                      ot_items_t *out)
{
    *out = (ot_items_t){NULL, 0};
    if ((in->len > n && !reserve(list, in->len - n)) || !make_items(out, n)) {
        return false;
    }
    move(out->items, list->items + start, n);
    move(list->items + start + in->len, list->items + start + n, list->len - start - n);
    move(list->items + start, in->items, in->len);
    list->len = list->len - n + in->len;
    list->version++;
    give_back_room(list);
    OT_CHECK(ot_list_check_locked(list));
    return true;
}

bool
ot_list_remove_stepped_locked(ot_list_t *list, size_t start, size_t step, size_t n, ot_items_t *out)
{
    if (!make_items(out, n)) {
        return false;
    }
    size_t to = start;
    for (size_t i = 0; i < n; i++) {
        size_t at = start + i * step, next = i + 1 < n ? at + step : list->len;
        out->items[i] = list->items[at];
        move(list->items + to, list->items + at + 1, next - at - 1);
        to += next - at - 1;
    }
    list->len -= n;
    list->version++;
    give_back_room(list);
    OT_CHECK(ot_list_check_locked(list));
    return true;
}

void
ot_list_exchange_stepped_locked(ot_list_t *list, size_t start, ptrdiff_t step, ot_items_t *in)
{
    for (size_t i = 0; i < in->len; i++) {
        ot_ref_t **at = &list->items[(ptrdiff_t)start + (ptrdiff_t)i * step], *old = *at;
        *at = in->items[i];
        in->items[i] = old;
    }
    list->version++;
    OT_CHECK(ot_list_check_locked(list));
}

bool
ot_list_copy_locked(ot_list_t *list, size_t start, ptrdiff_t step, size_t n, ot_items_t *out)
{
    if (!make_items(out, n)) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        out->items[i] = list->items[(ptrdiff_t)start + (ptrdiff_t)i * step];
        ot_ref_inc(out->items[i]);
    }
    return true;
}

bool
ot_list_repeat_locked(ot_list_t *list, size_t n)
{
    size_t len = list->len;
    if (len > 0 && (n - 1 > SIZE_MAX / len || !reserve(list, len * (n - 1)))) {
        return false;
    }
    for (; list->len < len * n; list->len++) {
        list->items[list->len] = list->items[list->len - len];
        ot_ref_inc(list->items[list->len]);
    }
    list->version++;
    OT_CHECK(ot_list_check_locked(list));
    return true;
}

void
ot_list_reverse_locked(ot_list_t *list)
{
    for (size_t i = 0, j = list->len; i + 1 < j; i++) {
        ot_ref_t *item = list->items[i];
        list->items[i] = list->items[--j];
        list->items[j] = item;
    }
    list->version++;
    OT_CHECK(ot_list_check_locked(list));
}

/* Along the cycles of the permutation: needs no memory, so it cannot fail half-way. */
void
ot_list_permute_locked(ot_list_t *list, size_t *order)
{
    for (size_t first = 0; first < list->len; first++) {
        ot_ref_t *item = list->items[first];
        size_t i = first;
        while (order[i] != first) {
            size_t from = order[i];
            list->items[i] = list->items[from];
            order[i] = i; /* done */
            i = from;
        }
        list->items[i] = item;
        order[i] = i;
    }
    list->version++;
    OT_CHECK(ot_list_check_locked(list));
}
