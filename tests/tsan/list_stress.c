// TSAN-SOURCES: runtime/park.c runtime/waitlist.c runtime/awaited.c runtime/shared.c objects/sync/lock.c objects/list/list.c
/* list_stress.c: the array of a LockingList under ThreadSanitizer, without Python.
 *
 * Threads change one list in all ways at once, briefly and holding its lock for longer. Every item has
 * a refcount and knows how often it is in the list by the threads' own books.
 * Main invariants: the counts of references and the books agree; nothing is freed early or left.
 *
 * environment: THREADS (4), TURNS (4000), SEED (the clock)
 */
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "objects/list/list.h"
#include "tests/tsan/stress.h"

enum { MAX_THREADS = 64, LONGEST = 64 };

typedef struct {
    ot_ref_t ref;
    long mark; /* plain: written once, before the item is published */
} item_t;

typedef struct {
    pthread_t thread;
    ot_list_t *list;
    unsigned seed;
    long turns, put, got; /* items in and out */
} actor_t;

static atomic_long alive;

static ot_ref_t *
new_item(long mark)
{
    item_t *item = malloc(sizeof *item);
    check(item != NULL, "no memory");
    ot_ref_init(&item->ref);
    item->mark = mark;
    atomic_fetch_add(&alive, 1);
    return &item->ref;
}

static void
drop(ot_ref_t *ref)
{
    item_t *item = (item_t *)ref;
    check(item->mark > 0, "not an item, or one that is gone");
    if (ot_ref_dec(ref)) {
        item->mark = -1;
        free(item);
        atomic_fetch_sub(&alive, 1);
    }
}

static void
drop_all(ot_items_t *items)
{
    for (size_t i = 0; i < items->len; i++) {
        drop(items->items[i]);
    }
    free(items->items);
}

/* A brief use, or while the lock is held for more. */
static bool
begin(ot_list_t *list, bool held)
{
    ot_patience_t for_ever = {.deadline = OT_FOREVER};
    if (!held) {
        if (ot_lock_brief_begin(list->lock) == OT_SYNC_OK) {
            return false;
        }
        check(ot_lock_acquire(list->lock, 0, &for_ever) == OT_SYNC_OK, "acquire");
    }
    check(ot_lock_brief_begin(list->lock) == OT_SYNC_OK, "briefly, while it is ours");
    return !held;
}

static void
end(ot_list_t *list, bool acquired)
{
    ot_lock_brief_end(list->lock);
    if (acquired) {
        ot_lock_release(list->lock);
    }
}

static void
splice(actor_t *me, bool held)
{
    ot_ref_t *fresh[4];
    ot_items_t in = {fresh, rand_r(&me->seed) % 4}, out;
    for (size_t i = 0; i < in.len; i++) {
        fresh[i] = new_item(1 + rand_r(&me->seed));
    }
    bool acquired = begin(me->list, held);
    size_t len = me->list->len, start = len == 0 ? 0 : rand_r(&me->seed) % (len + 1);
    size_t n = len > LONGEST ? len - start : (size_t)rand_r(&me->seed) % 4;
    n = n < len - start ? n : len - start;
    check(ot_list_splice_locked(me->list, start, n, &in, &out), "splice");
    end(me->list, acquired);
    me->put += (long)in.len;
    me->got += (long)out.len;
    drop_all(&out);
}

static void
remove_stepped(actor_t *me, bool held)
{
    ot_items_t out = {NULL, 0};
    bool acquired = begin(me->list, held);
    size_t step = 1 + rand_r(&me->seed) % 3, len = me->list->len;
    if (len > LONGEST / 2) {
        check(ot_list_remove_stepped_locked(me->list, 0, step, (len - 1) / step + 1, &out),
              "remove");
    }
    end(me->list, acquired);
    me->got += (long)out.len;
    drop_all(&out);
}

static void
look(actor_t *me, bool held)
{
    ot_items_t seen;
    bool acquired = begin(me->list, held);
    check(ot_list_copy_locked(me->list, 0, 1, me->list->len, &seen), "copy");
    end(me->list, acquired);
    drop_all(&seen); /* looks at each */
}

static void
rearrange(actor_t *me, bool held)
{
    size_t order[4 * LONGEST];
    bool acquired = begin(me->list, held);
    size_t len = me->list->len;
    if (len > 0 && len <= sizeof order / sizeof *order) {
        size_t by = rand_r(&me->seed) % len;
        for (size_t i = 0; i < len; i++) {
            order[i] = (i + by) % len;
        }
        ot_ref_t *first = me->list->items[by];
        ot_list_permute_locked(me->list, order);
        check(me->list->items[0] == first, "not in order");
    }
    ot_list_reverse_locked(me->list);
    end(me->list, acquired);
}

static void
repeat(actor_t *me, bool held)
{
    bool acquired = begin(me->list, held);
    if (me->list->len < LONGEST) {
        me->put += (long)me->list->len;
        check(ot_list_repeat_locked(me->list, 2), "repeat");
    }
    end(me->list, acquired);
}

static void
exchange(actor_t *me, bool held)
{
    ot_ref_t *fresh[2] = {new_item(7), new_item(8)};
    ot_items_t in = {fresh, 2};
    bool acquired = begin(me->list, held);
    if (me->list->len >= 5) {
        ot_list_exchange_stepped_locked(me->list, 4, -3, &in);
    }
    end(me->list, acquired);
    drop(fresh[0]);
    drop(fresh[1]);
}

static void *
act(void *arg)
{
    static void (*const acts[])(actor_t * me, bool held) = {
        splice, splice, splice, look, rearrange, repeat, exchange, remove_stepped};
    actor_t *me = arg;
    ot_patience_t for_ever = {.deadline = OT_FOREVER};
    for (long i = 0; i < me->turns; i++) {
        bool hold = rand_r(&me->seed) % 16 == 0;
        if (hold) {
            check(ot_lock_acquire(me->list->lock, 0, &for_ever) == OT_SYNC_OK, "hold");
        }
        uint64_t version = hold ? me->list->version : 0;
        for (int k = 0; k < (hold ? 3 : 1); k++) {
            check(!hold || k > 0 || me->list->version == version, "changed while held");
            acts[(size_t)rand_r(&me->seed) % (sizeof acts / sizeof *acts)](me, hold);
        }
        if (hold) {
            ot_lock_release(me->list->lock);
        }
    }
    return NULL;
}

int
main(void)
{
    long threads = setting("THREADS", 4), seed = setting("SEED", time(NULL));
    check(threads > 0 && threads <= MAX_THREADS, "THREADS is 1 to 64");
    static actor_t actors[MAX_THREADS];
    ot_list_t *list = ot_list_new(drop);
    check(list != NULL, "no memory");
    for (long t = 0; t < threads; t++) {
        actors[t] =
            (actor_t){.list = list, .seed = (unsigned)(seed + t), .turns = setting("TURNS", 4000)};
        check(pthread_create(&actors[t].thread, NULL, act, &actors[t]) == 0, "no thread");
    }
    long put = 0, got = 0;
    for (long t = 0; t < threads; t++) {
        pthread_join(actors[t].thread, NULL);
        put += actors[t].put;
        got += actors[t].got;
    }
    check(put - got == (long)list->len, "the books do not agree with the list");
    long references = 0;
    for (size_t i = 0; i < list->len; i++) {
        references += ot_ref_get(list->items[i]) > 0;
    }
    check(references == (long)list->len, "an item without references");
    ot_shared_unref(&list->head);
    check(atomic_load(&alive) == 0, "items are left");
    check(ot_shared_count() == 0, "something is left");
    printf("list_stress: %ld threads, %ld items in, %ld out, seed %ld\n", threads, put, got, seed);
    return 0;
}
