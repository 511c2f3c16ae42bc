/* test_map.c: the table under a LockingDict. No Python. */
#include "epoch_reader.h"

#include "objects/dict/map.h"
#include "runtime/mix.h"

enum { NUMBER = 2 }; /* a tag */

static ot_mapkey_t
key_of(const uint64_t *number, uint64_t hash)
{
    return (ot_mapkey_t){
        .hash = hash, .meta = ot_key_meta(sizeof *number, NUMBER), .bytes = number};
}

static int dropped;

static void
drop(ot_word_t word)
{
    CHECK(word != OT_WORD_GONE && !ot_word_is_claim(word));
    dropped++;
}

static void
begin(void)
{
    CHECK(ot_epoch_reserve(8));
    CHECK(ot_epoch_enter());
}

static ot_entry_t *
find(ot_map_t *map, uint64_t number, uint64_t hash)
{
    ot_mapkey_t key = key_of(&number, hash);
    return ot_map_find(map, &key);
}

static bool
insert(ot_map_t *map, uint64_t number, uint64_t hash, int64_t value)
{
    ot_mapkey_t key = key_of(&number, hash);
    ot_entry_t *e = ot_entry_new(&key, ot_word_of_int(value));
    CHECK(e != NULL);
    bool in = ot_map_insert(map, e) == e;
    if (!in) {
        ot_entry_free(e);
    }
    return in;
}

static void
remove_number(ot_map_t *map, uint64_t number, uint64_t hash)
{
    ot_entry_t *e = find(map, number, hash);
    CHECK(e != NULL && ot_map_remove(map, e, ot_entry_load(e)));
}

static size_t
walk(ot_map_t *map)
{
    ot_map_cursor_t cursor = {0, NULL};
    size_t n = 0;
    for (ot_entry_t *e; (e = ot_map_next(map, &cursor)) != NULL; n++) {
        ot_mapkey_t key = ot_entry_key(e);
        CHECK(ot_map_find(map, &key) == e);
    }
    return n;
}

static void
finish(ot_map_t *map)
{
    ot_map_check(map);
    ot_epoch_check();
    ot_shared_unref(&map->head);
    ot_epoch_collect(true);
    cr_assert_eq(ot_epoch_retired(), 0);
}

/* One test body over ways to spread hashes: well, all in one place, all different in the last or
 * first bits only, and the largest there are. */
static uint64_t
hash_by(int way, uint64_t number)
{
    switch (way) {
    case 0:
        return ot_mix(number);
    case 1:
        return 42;
    case 2:
        return number;
    case 3:
        return number << 50;
    default:
        return UINT64_MAX - number % 3;
    }
}

static void
insert_find_remove(int way, uint64_t n)
{
    dropped = 0;
    ot_map_t *map = ot_map_new(drop);
    begin();
    for (uint64_t i = 0; i < n; i++) {
        cr_assert(insert(map, i, hash_by(way, i), (int64_t)i - 5));
        cr_assert_not(insert(map, i, hash_by(way, i), 99));
    }
    cr_assert_eq(ot_map_len(map), n);
    cr_assert_eq(walk(map), n);
    ot_map_check(map);
    for (uint64_t i = 0; i < n; i++) {
        cr_assert_eq(ot_word_int(ot_entry_load(find(map, i, hash_by(way, i)))), (int64_t)i - 5);
    }
    cr_assert_null(find(map, n, hash_by(way, n)));
    for (uint64_t i = 0; i < n; i += 2) {
        cr_assert(ot_epoch_reserve(1));
        remove_number(map, i, hash_by(way, i));
    }
    for (uint64_t i = 0; i < n; i++) {
        cr_assert_eq(find(map, i, hash_by(way, i)) != NULL, i % 2 == 1);
    }
    cr_assert_eq(ot_map_len(map), n / 2);
    cr_assert_eq(walk(map), n / 2);
    ot_epoch_leave();
    finish(map);
    cr_assert_eq(dropped, n / 2);
}

Test(map, inserts_finds_and_removes_however_hashes_fall)
{
    insert_find_remove(0, 20000);
    for (int way = 1; way <= 4; way++) {
        insert_find_remove(way, 400);
    }
}

Test(map, an_entry_keeps_its_exact_form)
{
    uint64_t number = 7;
    ot_map_t *map = ot_map_new(drop);
    ot_mapkey_t key = key_of(&number, 7);
    key.exact = "seven";
    key.exact_len = 5;
    begin();
    ot_entry_t *e = ot_entry_new(&key, ot_word_of_int(1));
    cr_assert_eq(ot_map_insert(map, e), e);
    ot_mapkey_t back = ot_entry_key(find(map, 7, 7));
    cr_assert_eq(back.exact_len, 5);
    cr_assert_arr_eq(back.exact, "seven", 5);
    cr_assert_arr_eq(back.bytes, &number, sizeof number);
    ot_epoch_leave();
    finish(map);
}

Test(map, words_hold_62_bits)
{
    const int64_t limits[] = {0, 1, -1, INT64_MAX / 4, INT64_MIN / 4};
    for (int i = 0; i < 5; i++) {
        ot_word_t w = ot_word_of_int(limits[i]);
        cr_assert(ot_word_int_fits(limits[i]) && ot_word_is_int(w) && !ot_word_is_claim(w));
        cr_assert_eq(ot_word_int(w), limits[i]);
    }
    cr_assert_not(ot_word_int_fits(INT64_MAX / 4 + 1));
    cr_assert_not(ot_word_int_fits(INT64_MIN / 4 - 1));
}

/* ---- memory runs out -------------------------------------------------------------------------- */

static long countdown;

static void *
failing_calloc(size_t n, size_t size)
{
    return countdown-- == 0 ? NULL : calloc(n, size);
}

Test(map, works_without_memory_to_grow)
{
    ot_map_t *map = ot_map_new(drop);
    begin();
    for (uint64_t i = 0; i < 3000; i++) {
        uint64_t number = i;
        ot_mapkey_t key = key_of(&number, ot_mix(i));
        ot_entry_t *e = ot_entry_new(&key, ot_word_of_int((int64_t)i));
        ot_map_calloc = failing_calloc;
        countdown = 0;
        cr_assert_eq(ot_map_insert(map, e), e);
        ot_map_calloc = calloc;
    }
    for (int s = 0; s < OT_MAP_SHARDS; s++) {
        cr_assert_eq(atomic_load(&map->shards[s].mask), OT_MAP_FIRST - 1);
    }
    cr_assert_eq(walk(map), 3000);
    ot_epoch_leave();
    finish(map);
}

Test(map, entries_and_claims_that_cannot_be_had_change_nothing)
{
    uint64_t number = 1;
    ot_mapkey_t key = key_of(&number, 1);
    ot_map_t *map = ot_map_new(drop);
    ot_map_calloc = failing_calloc;
    countdown = 0;
    cr_assert_null(ot_entry_new(&key, ot_word_of_int(1)));
    countdown = 0;
    cr_assert_null(ot_claim_new(map, 1));
    ot_map_calloc = calloc;
    cr_assert_eq(ot_map_len(map), 0);
    finish(map);
}

/* ---- order ------------------------------------------------------------------------------------ */

static int64_t
pop_newest(ot_map_t *map)
{
    ot_word_t word;
    ot_entry_t *claimed;
    ot_claim_t *claim = ot_claim_new(map, 1);
    begin();
    ot_entry_t *e = ot_claim_take_newest(claim, &word, &claimed);
    if (e == NULL) {
        ot_claim_free(claim);
        ot_epoch_leave();
        return -1;
    }
    cr_assert(ot_claim_settle(claim, OT_WORD_GONE));
    ot_epoch_leave();
    return ot_word_int(word);
}

Test(map, the_newest_goes_first)
{
    ot_map_t *map = ot_map_new(drop);
    begin();
    for (uint64_t i = 0; i < 500; i++) {
        insert(map, i, ot_mix(i), (int64_t)i);
    }
    remove_number(map, 499, ot_mix(499));
    remove_number(map, 250, ot_mix(250));
    ot_epoch_leave();
    for (int64_t i = 498; i >= 0; i--) {
        if (i != 250) {
            cr_assert_eq(pop_newest(map), i);
        }
    }
    cr_assert_eq(pop_newest(map), -1);
    finish(map);
}

/* Its place is where its value came, not where somebody began to compute it. */
Test(map, a_computed_key_becomes_the_newest)
{
    uint64_t number = 1;
    ot_mapkey_t key = key_of(&number, ot_mix(1));
    ot_map_t *map = ot_map_new(drop);
    ot_claim_t *claim = ot_claim_new(map, 7);
    begin();
    ot_entry_t *e = ot_entry_new(&key, OT_WORD_GONE);
    cr_assert_eq(ot_claim_insert(claim, e), e);
    insert(map, 2, ot_mix(1), 20); /* in the same shard, and in another one */
    insert(map, 3, ot_mix(1) + ((uint64_t)1 << 60), 30);
    cr_assert(ot_claim_settle(claim, ot_word_of_int(10)));
    ot_epoch_leave();
    ot_map_check(map);
    cr_assert_eq(pop_newest(map), 10);
    cr_assert_eq(pop_newest(map), 30);
    cr_assert_eq(pop_newest(map), 20);
    finish(map);
}

/* ---- the table -------------------------------------------------------------------------------- */

/* All in shard 0. */
static uint64_t
crowded(uint64_t number)
{
    return ot_mix(number) >> 5;
}

static void
fill_crowd(ot_map_t *map, uint64_t n)
{
    begin();
    for (uint64_t i = 0; i < n; i++) {
        cr_assert(insert(map, i, crowded(i), (int64_t)i));
    }
    ot_epoch_leave();
}

static void
remove_crowd(ot_map_t *map, uint64_t from, uint64_t to)
{
    begin();
    for (uint64_t i = from; i < to; i++) {
        cr_assert(ot_epoch_reserve(1));
        remove_number(map, i, crowded(i));
    }
    ot_epoch_leave();
    ot_epoch_collect(false);
}

static void
expect_crowd(ot_map_t *map, uint64_t from, uint64_t to)
{
    begin();
    for (uint64_t i = from; i < to; i++) {
        cr_assert_not_null(find(map, i, crowded(i)));
    }
    cr_assert_eq(walk(map), to - from);
    ot_epoch_leave();
}

Test(map, a_table_shrinks_with_its_entries)
{
    ot_map_t *map = ot_map_new(drop);
    ot_shard_t *s = &map->shards[0];
    for (int round = 0; round < 3; round++) {
        fill_crowd(map, 3000);
        cr_assert_eq(atomic_load(&s->room), 4096);
        for (uint64_t left = 3000, next; left > 1; left = next) {
            next = left / 3;
            remove_crowd(map, next, left);
            ot_map_check(map);
            cr_assert(atomic_load(&s->room) <= OT_MAP_FIRST ||
                      atomic_load(&s->room) <= OT_MAP_SPARSE * next);
            expect_crowd(map, 0, next);
        }
        cr_assert_eq(atomic_load(&s->room), OT_MAP_FIRST);
        remove_crowd(map, 0, 1);
        cr_assert_eq(ot_epoch_retired(), 0);
    }
    finish(map);
}

/* A few removals between two sizes do not make it grow and shrink each time. */
Test(map, a_table_does_not_swing)
{
    ot_map_t *map = ot_map_new(drop);
    fill_crowd(map, 1025);
    size_t room = atomic_load(&map->shards[0].room);
    for (int i = 0; i < 5; i++) {
        remove_crowd(map, 600, 1025);
        cr_assert_eq(atomic_load(&map->shards[0].room), room);
        begin();
        for (uint64_t n = 600; n < 1025; n++) {
            insert(map, n, crowded(n), 1);
        }
        ot_epoch_leave();
        cr_assert_eq(atomic_load(&map->shards[0].room), room);
    }
    finish(map);
}

/* It looked at the mask, and then the table grew, and its entrances came into the list. */
Test(map, a_reader_with_an_older_mask_finds_what_is_there)
{
    ot_map_t *map = ot_map_new(drop);
    ot_shard_t *s = &map->shards[0];
    fill_crowd(map, 1000);
    size_t now = atomic_load(&s->mask);
    for (size_t older = OT_MAP_FIRST - 1; older < now; older = 2 * older + 1) {
        atomic_store(&s->mask, older);
        begin();
        for (uint64_t i = 0; i < 1000; i++) {
            cr_assert_not_null(find(map, i, crowded(i)));
        }
        cr_assert_null(find(map, 1000, crowded(1000)));
        ot_epoch_leave();
    }
    atomic_store(&s->mask, now);
    finish(map);
}

/* By a thread that does not exist in a forked child. */
Test(map, a_table_left_half_shrunk_is_finished)
{
    ot_map_t *map = ot_map_new(drop);
    ot_shard_t *s = &map->shards[0];
    for (int grows = 0; grows < 2; grows++) {
        fill_crowd(map, 600);
        atomic_store(&s->mask, atomic_load(&s->mask) / 2);
        cr_assert_neq(atomic_load(&s->room), atomic_load(&s->mask) + 1);
        ot_map_check(map);
        expect_crowd(map, 0, 600);
        if (grows) {
            begin();
            insert(map, 600, crowded(600), 1);
            ot_epoch_leave();
            expect_crowd(map, 0, 601);
        } else {
            remove_crowd(map, 599, 600);
            expect_crowd(map, 0, 599);
        }
        cr_assert_eq(atomic_load(&s->room), atomic_load(&s->mask) + 1);
        ot_map_check(map);
        remove_crowd(map, 0, grows ? 601 : 599);
    }
    finish(map);
}

/* Longer than anybody walks under the lock; removed from the front, the back and the middle. */
Test(map, many_keys_of_one_hash_come_and_go)
{
    enum { N = 300 };
    ot_map_t *map = ot_map_new(drop);
    begin();
    cr_assert(ot_epoch_reserve(2 * N));
    for (uint64_t i = 0; i < N; i++) {
        cr_assert(insert(map, i, 42, 1) && !insert(map, i, 42, 2) && !insert(map, 0, 42, 2));
    }
    for (uint64_t i = 0; i < N; i++) {
        remove_number(map, i * 7 % N, 42);
        cr_assert_null(find(map, i * 7 % N, 42));
        cr_assert_eq(ot_map_len(map), N - 1 - i);
    }
    ot_epoch_leave();
    finish(map);
}

Test(map, a_walk_goes_on_in_another_guard)
{
    ot_map_t *map = ot_map_new(drop);
    ot_map_cursor_t cursor = {0, NULL};
    static char seen[2000];
    fill_crowd(map, 2000);
    begin();
    for (ot_entry_t *e; (e = ot_map_next(map, &cursor)) != NULL;) {
        uint64_t number, hash = e->hash;
        memcpy(&number, e->bytes, sizeof number);
        bool first = !seen[number];
        seen[number] = 1;
        if (first && number % 10 == 0) {
            if (number % 20 == 0) {
                CHECK(ot_map_remove(map, e, ot_entry_load(e)));
            }
            ot_epoch_leave();
            ot_epoch_collect(true);
            begin();
            ot_map_resume(map, &cursor, hash);
        }
    }
    ot_epoch_leave();
    cr_assert_null(memchr(seen, 0, sizeof seen));
    cr_assert_eq(ot_map_len(map), 1900);
    finish(map);
}

/* ---- claims ----------------------------------------------------------------------------------- */

static ot_claim_t *
check_out(ot_map_t *map, uint64_t number, bool pending)
{
    ot_claim_t *claim = ot_claim_new(map, 7);
    begin();
    ot_entry_t *e = find(map, number, number);
    CHECK(ot_claim_take(claim, e, ot_entry_load(e), pending));
    ot_epoch_leave();
    return claim;
}

static void
settle(ot_claim_t *claim, ot_word_t word, bool expected)
{
    begin();
    CHECK(ot_claim_settle(claim, word) == expected);
    ot_epoch_leave();
}

static ot_claim_result_t
await(ot_map_t *map, uint64_t number, int64_t deadline)
{
    ot_mapkey_t key = key_of(&number, number);
    ot_patience_t patience = {.deadline = deadline};
    return ot_map_await(map, &key, &patience);
}

static ot_word_t
word_of(ot_map_t *map, uint64_t number)
{
    begin();
    ot_entry_t *e = find(map, number, number);
    ot_word_t word = e == NULL ? OT_WORD_GONE : ot_entry_load(e);
    ot_epoch_leave();
    return word;
}

Test(map, what_is_checked_out_counts_and_what_is_pending_does_not)
{
    ot_map_t *map = ot_map_new(drop);
    begin();
    insert(map, 1, 1, 10);
    insert(map, 2, 2, 20);
    ot_epoch_leave();
    ot_claim_t *out = check_out(map, 1, false), *pending = check_out(map, 2, true);
    cr_assert_eq(ot_map_len(map), 1);
    begin();
    cr_assert_eq(walk(map), 1);
    ot_epoch_leave();
    cr_assert_eq(pop_newest(map), -1);
    cr_assert_eq(await(map, 1, OT_FOREVER), OT_CLAIM_MINE);
    settle(pending, ot_word_of_int(21), true);
    settle(out, OT_WORD_GONE, true);
    cr_assert_eq(ot_map_len(map), 1);
    cr_assert_eq(word_of(map, 1), OT_WORD_GONE);
    cr_assert_eq(ot_word_int(word_of(map, 2)), 21);
    finish(map);
}

typedef struct {
    ot_map_t *map;
    ot_claim_t *claim;
} holder_t;

static void *
hold(void *arg)
{
    ((holder_t *)arg)->claim = check_out(((holder_t *)arg)->map, 1, false);
    return NULL;
}

static bool
is_abandoned(ot_map_t *map, uint64_t number)
{
    ot_word_t claimed = word_of(map, number);
    begin();
    bool abandoned = ot_map_is_abandoned(map, find(map, number, number), claimed);
    ot_epoch_leave();
    return abandoned;
}

Test(map, abandoned_claims_are_reported_and_overridden, .timeout = 60)
{
    for (int left = 0; left < 2; left++) {
        holder_t h = {ot_map_new(drop), NULL};
        begin();
        insert(h.map, 1, 1, 10);
        ot_epoch_leave();
        test_join(test_thread(hold, &h));
        cr_assert_eq(await(h.map, 1, OT_DONT_WAIT), OT_CLAIM_TIMEOUT);
        cr_assert_eq(await(h.map, 1, test_deadline(MILLISECONDS(5))), OT_CLAIM_TIMEOUT);
        ot_map_abandon(h.map, 8);
        cr_assert_eq(await(h.map, 1, OT_DONT_WAIT), OT_CLAIM_TIMEOUT);
        cr_assert_not(is_abandoned(h.map, 1));
        if (left) {
            ot_claim_abandon(h.claim);
        } else {
            ot_map_abandon(h.map, 7);
        }
        cr_assert_eq(await(h.map, 1, OT_FOREVER), OT_CLAIM_ABANDONED);
        cr_assert(is_abandoned(h.map, 1));
        ot_word_t claimed = word_of(h.map, 1);
        begin();
        ot_entry_t *e = find(h.map, 1, 1);
        cr_assert(ot_map_override(h.map, e, claimed, ot_word_of_int(5)));
        cr_assert_not(ot_map_override(h.map, e, claimed, ot_word_of_int(6)));
        ot_epoch_leave();
        cr_assert_eq(ot_word_int(word_of(h.map, 1)), 5);
        if (!left) {
            settle(h.claim, ot_word_of_int(7), false); /* too late */
        }
        cr_assert_eq(ot_word_int(word_of(h.map, 1)), 5);
        finish(h.map);
    }
}

static atomic_int waiting, woken;

static void *
wait_for_it(void *map)
{
    atomic_fetch_add(&waiting, 1);
    CHECK(await(map, 1, OT_FOREVER) == OT_CLAIM_FREE);
    atomic_fetch_add(&woken, 1);
    return NULL;
}

static bool
all_wait(void *map)
{
    ot_map_t *m = map;
    size_t n = 0;
    pthread_mutex_lock(&m->guard);
    for (ot_waiter_t *w = m->claims->waiters.first; w != NULL; w = w->next) {
        n++;
    }
    pthread_mutex_unlock(&m->guard);
    return n == 3;
}

Test(map, putting_back_wakes_all_who_wait, .timeout = 60)
{
    ot_map_t *map = ot_map_new(drop);
    begin();
    insert(map, 1, 1, 10);
    ot_epoch_leave();
    ot_claim_t *claim = check_out(map, 1, false);
    pthread_t threads[3];
    for (int i = 0; i < 3; i++) {
        threads[i] = test_thread(wait_for_it, map);
    }
    test_wait_until(all_wait, map);
    cr_assert_eq(atomic_load(&woken), 0);
    settle(claim, ot_word_of_int(11), true);
    for (int i = 0; i < 3; i++) {
        test_join(threads[i]);
    }
    cr_assert_eq(atomic_load(&woken), 3);
    finish(map);
}

static void
in_child(void *arg)
{
    ot_map_t *map = arg;
    CHECK(await(map, 1, OT_FOREVER) == OT_CLAIM_ABANDONED);
    begin();
    CHECK(insert(map, 3, 3, 30) && !insert(map, 2, 2, 20));
    remove_number(map, 2, 2);
    ot_epoch_leave();
    CHECK(ot_map_len(map) == 2);
    ot_epoch_collect(true);
    CHECK(ot_epoch_retired() == 0);
}

/* Another thread reads, and another one has a key: neither exists in the child. */
Test(map, a_forked_child_goes_on, .timeout = 60)
{
    atomic_bool stop = false;
    holder_t h = {ot_map_new(drop), NULL};
    begin();
    insert(h.map, 1, 1, 10);
    insert(h.map, 2, 2, 20);
    ot_epoch_leave();
    test_join(test_thread(hold, &h));
    pthread_t reader = test_thread(read_for_ever, &stop);
    test_wait_until(somebody_reads, NULL);
    test_in_child(in_child, h.map);
    atomic_store(&stop, true);
    test_join(reader);
    settle(h.claim, ot_word_of_int(11), true);
    cr_assert_eq(ot_map_len(h.map), 2);
    finish(h.map);
}

/* Where membarrier is refused. */
Test(map, works_with_barriers_of_the_readers_own, .timeout = 60)
{
    begin();
    ot_epoch_leave();
    ot_epoch_asymmetric = false;
    insert_find_remove(0, 2000);
}
