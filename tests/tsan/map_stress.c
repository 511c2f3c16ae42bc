// TSAN-SOURCES: objects/dict/map.c objects/dict/map_table.c objects/dict/map_claim.c objects/dict/map_check.c objects/dict/epoch.c runtime/shared.c runtime/waitlist.c runtime/awaited.c runtime/park.c
/* map_stress.c: the table of a LockingDict under ThreadSanitizer, without Python.
 *
 * Threads add to numbers, insert, replace, remove, check out, compute, pop the newest and look, all on
 * few keys and on many (so that the table grows under them). A number's worth is what was added to
 * it; who removes one accounts for it. Other values are blocks that say who they are, freed by
 * epochs: reading one too late is a race. What a checkout guards is written without atomics. One shard
 * is flooded and emptied again and again, so that its table grows and shrinks under those who look
 * for what is there all the time; some of the flood has one hash, a list longer than what anybody
 * walks under a lock.
 * Main invariant: what was added is what is there at the end plus what was taken out; what is there
 * all the time is found each time; ot_map_check.
 *
 * environment: THREADS (4), SECONDS (4), SEED (the clock)
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "objects/dict/map.h"
#include "runtime/mix.h"
#include "tests/tsan/stress.h"

enum { MAX_THREADS = 64, STEPS = 3000, KEYS = 12, BLOCK_KEYS = 8, MANY = 3000 };
enum { STEADY = 40, FLOOD = 400, ALIKE = 80, OF_THREAD = 1000 };

typedef struct {
    uint64_t key, twice;
} block_t;

typedef struct {
    pthread_t thread;
    unsigned seed;
    ot_map_t *map, *crowd;
    uint64_t flood; /* its numbers in the crowd */
    long added, taken_out, checkouts, popped;
} actor_t;

static long guarded[KEYS]; /* by a checkout of the key */
static atomic_long blocks;

/* Two groups: numbers (0 .. KEYS) and blocks (1000 ..), and many (2000 ..). Few hashes, so that
 * different keys meet in one place. */
static ot_mapkey_t
key_of(const uint64_t *number)
{
    return (ot_mapkey_t){
        .hash = ot_mix(*number / 2), .meta = ot_key_meta(sizeof *number, 2), .bytes = number};
}

/* All in shard 0; the first few of a flood have one hash. */
static ot_mapkey_t
crowded_key_of(const uint64_t *number)
{
    ot_mapkey_t key = key_of(number);
    uint64_t alike = *number % OF_THREAD;
    key.hash = *number >= OF_THREAD && alike < ALIKE ? 12345 : ot_mix(*number) >> 5;
    return key;
}

static void
block_free(void *block)
{
    memset(block, 0, sizeof(block_t));
    free(block);
    atomic_fetch_sub(&blocks, 1);
}

static ot_word_t
block_new(uint64_t key)
{
    block_t *block = malloc(sizeof *block);
    check(block != NULL, "no memory");
    *block = (block_t){key, 2 * key};
    atomic_fetch_add(&blocks, 1);
    return (ot_word_t)block;
}

static void
drop(ot_word_t word)
{
    if (word != OT_WORD_GONE && !ot_word_is_int(word)) {
        block_free((void *)word);
    }
}

static void
begin(void)
{
    check(ot_epoch_reserve(4) && ot_epoch_enter(), "no memory");
}

static void
await(actor_t *a, const ot_mapkey_t *key)
{
    ot_patience_t patience = {.deadline = OT_FOREVER};
    check(ot_map_await(a->map, key, &patience) == OT_CLAIM_FREE, "waiting for a claim failed");
}

static void
insert_if_missing(actor_t *a, const ot_mapkey_t *key, ot_word_t word)
{
    ot_entry_t *e = ot_entry_new(key, word);
    check(e != NULL, "no memory");
    if (ot_map_insert(a->map, e) != e) {
        ot_entry_free(e);
        drop(word);
    } else if (ot_word_is_int(word)) {
        a->added += ot_word_int(word);
    }
}

static void
add(actor_t *a, const ot_mapkey_t *key)
{
    int64_t n = rand_r(&a->seed) % 5 + 1;
    begin();
    ot_entry_t *e = ot_map_find(a->map, key);
    ot_word_t w = e == NULL ? OT_WORD_GONE : ot_entry_load(e);
    if (e == NULL) {
        insert_if_missing(a, key, ot_word_of_int(n));
    } else if (ot_word_is_int(w) && ot_entry_replace(e, &w, ot_word_of_int(ot_word_int(w) + n))) {
        a->added += n;
    }
    ot_epoch_leave();
    if (ot_word_is_claim(w)) {
        await(a, key);
    }
}

static void
remove_number(actor_t *a, const ot_mapkey_t *key)
{
    begin();
    ot_entry_t *e = ot_map_find(a->map, key);
    ot_word_t w = e == NULL ? OT_WORD_GONE : ot_entry_load(e);
    if (ot_word_is_int(w) && ot_map_remove(a->map, e, w)) {
        a->taken_out += ot_word_int(w);
    }
    ot_epoch_leave();
}

static void
check_out(actor_t *a, uint64_t number, const ot_mapkey_t *key)
{
    ot_claim_t *claim = ot_claim_new(a->map, 1);
    check(claim != NULL, "no memory");
    begin();
    ot_entry_t *e = ot_map_find(a->map, key);
    ot_word_t w = e == NULL ? OT_WORD_GONE : ot_entry_load(e);
    bool mine = ot_word_is_int(w) && ot_claim_take(claim, e, w, false);
    ot_epoch_leave();
    if (!mine) {
        ot_claim_free(claim);
        return;
    }
    guarded[number]++;
    a->checkouts++;
    if (rand_r(&a->seed) % 4 == 0) {
        sched_yield();
    }
    begin();
    if (rand_r(&a->seed) % 8 == 0) {
        a->taken_out += ot_word_int(w);
        check(ot_claim_settle(claim, OT_WORD_GONE), "a claim was overridden");
    } else {
        a->added += 1;
        check(ot_claim_settle(claim, ot_word_of_int(ot_word_int(w) + 1)), "a claim was overridden");
    }
    ot_epoch_leave();
}

static void
compute(actor_t *a, const ot_mapkey_t *key)
{
    ot_claim_t *claim = ot_claim_new(a->map, 1);
    ot_entry_t *e = ot_entry_new(key, OT_WORD_GONE);
    check(claim != NULL && e != NULL, "no memory");
    begin();
    bool mine = ot_claim_insert(claim, e) == e;
    ot_epoch_leave();
    if (!mine) {
        ot_entry_free(e);
        ot_claim_free(claim);
        return;
    }
    sched_yield();
    int64_t n = rand_r(&a->seed) % 3;
    begin();
    if (n == 0) {
        check(ot_claim_settle(claim, OT_WORD_GONE), "a claim was overridden");
    } else {
        a->added += n;
        check(ot_claim_settle(claim, ot_word_of_int(n)), "a claim was overridden");
    }
    ot_epoch_leave();
}

static void
pop_newest(actor_t *a)
{
    ot_claim_t *claim = ot_claim_new(a->map, 1);
    ot_entry_t *claimed;
    ot_word_t word;
    check(claim != NULL, "no memory");
    begin();
    if (ot_claim_take_newest(claim, &word, &claimed) == NULL) {
        ot_claim_free(claim);
        ot_epoch_leave();
        return;
    }
    ot_epoch_leave();
    a->popped++;
    begin();
    if (ot_word_is_int(word)) {
        a->taken_out += ot_word_int(word);
        ot_claim_settle(claim, OT_WORD_GONE);
        ot_epoch_leave();
        return;
    }
    ot_claim_settle(claim, OT_WORD_GONE);
    ot_epoch_leave();
    if (ot_epoch_quiet(100)) { /* nobody can be reading it */
        block_free((void *)word);
    } else {
        begin();
        ot_epoch_retire((void *)word, block_free);
        ot_epoch_leave();
    }
}

static void
replace_block(actor_t *a, uint64_t number, const ot_mapkey_t *key)
{
    begin();
    ot_entry_t *e = ot_map_find(a->map, key);
    ot_word_t w = e == NULL ? OT_WORD_GONE : ot_entry_load(e);
    if (e == NULL) {
        insert_if_missing(a, key, block_new(number));
    } else if (w != OT_WORD_GONE && !ot_word_is_claim(w)) {
        if (rand_r(&a->seed) % 4 == 0) {
            if (ot_map_remove(a->map, e, w)) {
                ot_epoch_retire((void *)w, block_free);
            }
        } else {
            ot_word_t new = block_new(number);
            if (ot_entry_replace(e, &w, new)) {
                ot_epoch_retire((void *)w, block_free);
            } else {
                drop(new);
            }
        }
    }
    ot_epoch_leave();
}

static void
look(actor_t *a, uint64_t number, const ot_mapkey_t *key)
{
    begin();
    ot_entry_t *e = ot_map_find(a->map, key);
    ot_word_t w = e == NULL ? OT_WORD_GONE : ot_entry_load(e);
    if (w != OT_WORD_GONE && !ot_word_is_claim(w)) {
        const block_t *block = (const block_t *)w;
        check(block->key == number && block->twice == 2 * number, "a block is another one's");
    }
    ot_epoch_leave();
}

static void
add_crowded(ot_map_t *map, uint64_t number)
{
    ot_mapkey_t key = crowded_key_of(&number);
    ot_entry_t *e = ot_entry_new(&key, ot_word_of_int(7));
    begin();
    check(e != NULL && ot_map_insert(map, e) == e, "a key of our own is there");
    ot_epoch_leave();
}

static void
remove_crowded(ot_map_t *map, uint64_t number)
{
    ot_mapkey_t key = crowded_key_of(&number);
    begin();
    ot_entry_t *e = ot_map_find(map, &key);
    check(e != NULL && ot_entry_load(e) == ot_word_of_int(7), "a key of our own is not found");
    check(ot_map_remove(map, e, ot_word_of_int(7)), "a key of our own is not removed");
    ot_epoch_leave();
}

static void
flood(actor_t *a)
{
    for (uint64_t i = 0; i < FLOOD; i++) {
        add_crowded(a->crowd, a->flood + i);
    }
    for (uint64_t i = 0; i < FLOOD; i++) {
        remove_crowded(a->crowd, a->flood + i);
    }
    ot_epoch_collect(false);
}

static void
look_for_steady(actor_t *a)
{
    uint64_t number = (uint64_t)rand_r(&a->seed) % STEADY;
    ot_mapkey_t key = crowded_key_of(&number);
    begin();
    check(ot_map_find(a->crowd, &key) != NULL, "what is there all the time is not found");
    ot_epoch_leave();
}

/* With pauses, in which others may change everything. */
static void
walk_crowd(ot_map_t *map)
{
    ot_map_cursor_t cursor = {0, NULL};
    bool seen[STEADY] = {false};
    int steps = 0;
    begin();
    for (ot_entry_t *e; (e = ot_map_next(map, &cursor)) != NULL;) {
        uint64_t number, hash = e->hash;
        memcpy(&number, e->bytes, sizeof number);
        if (number < STEADY) {
            seen[number] = true;
        }
        if (++steps % 50 == 0 && hash != 12345) {
            ot_epoch_leave();
            begin();
            ot_map_resume(map, &cursor, hash);
        }
    }
    ot_epoch_leave();
    for (int i = 0; i < STEADY; i++) {
        check(seen[i], "a walk has passed over what is there all the time");
    }
}

static void
walk(actor_t *a)
{
    ot_map_cursor_t cursor = {0, NULL};
    size_t n = 0;
    begin();
    while (ot_map_next(a->map, &cursor) != NULL) {
        n++;
    }
    ot_epoch_leave();
    walk_crowd(a->crowd);
    check(n <= KEYS + BLOCK_KEYS + MANY && ot_map_len(a->map) <= KEYS + BLOCK_KEYS + MANY,
          "more entries than keys");
}

static void *
act(void *arg)
{
    actor_t *a = arg;
    for (int i = 0; i < STEPS; i++) {
        if (i % 300 == 0) {
            flood(a);
        }
        look_for_steady(a);
        uint64_t number = (uint64_t)rand_r(&a->seed) % KEYS;
        uint64_t block = 1000 + (uint64_t)rand_r(&a->seed) % BLOCK_KEYS;
        uint64_t other = 2000 + (uint64_t)rand_r(&a->seed) % MANY;
        ot_mapkey_t key = key_of(&number), block_key = key_of(&block), other_key = key_of(&other);
        switch (rand_r(&a->seed) % 16) {
        case 0:
            remove_number(a, &key);
            break;
        case 1:
            compute(a, &key);
            break;
        case 2:
        case 3:
            check_out(a, number, &key);
            break;
        case 4:
            pop_newest(a);
            break;
        case 5:
        case 6:
            replace_block(a, block, &block_key);
            break;
        case 7:
        case 8:
        case 9:
            look(a, block, &block_key);
            break;
        case 10:
            if (i % 16 == 0) {
                walk(a);
            }
            ot_epoch_collect(i % 64 == 0);
            break;
        case 11:
        case 12:
            add(a, &other_key);
            break;
        case 13:
            remove_number(a, &other_key);
            break;
        default:
            add(a, &key);
        }
    }
    return NULL;
}

static long
worth(ot_map_t *map)
{
    ot_map_cursor_t cursor = {0, NULL};
    size_t n = 0;
    long sum = 0;
    begin();
    for (ot_entry_t *e; (e = ot_map_next(map, &cursor)) != NULL; n++) {
        ot_word_t w = ot_entry_load(e);
        ot_mapkey_t key = ot_entry_key(e);
        check(ot_map_find(map, &key) == e, "an entry is not found");
        sum += ot_word_is_int(w) ? ot_word_int(w) : 0;
    }
    ot_epoch_leave();
    check(n == ot_map_len(map), "the length is wrong");
    return sum;
}

static long popped;

static void
run_round(int threads, unsigned *seed)
{
    static actor_t actors[MAX_THREADS];
    ot_map_t *map = ot_map_new(drop), *crowd = ot_map_new(drop);
    for (uint64_t i = 0; i < STEADY; i++) {
        add_crowded(crowd, i);
    }
    long balance = 0, checkouts = 0;
    memset(guarded, 0, sizeof guarded);
    for (int i = 0; i < threads; i++) {
        actors[i] = (actor_t){.seed = (unsigned)rand_r(seed),
                              .map = map,
                              .crowd = crowd,
                              .flood = (uint64_t)(i + 1) * OF_THREAD};
        check(pthread_create(&actors[i].thread, NULL, act, &actors[i]) == 0, "no thread");
    }
    for (int i = 0; i < threads; i++) {
        pthread_join(actors[i].thread, NULL);
        balance += actors[i].added - actors[i].taken_out;
        checkouts += actors[i].checkouts;
        popped += actors[i].popped;
    }
    check(worth(map) == balance, "the sums do not add up");
    for (int i = 0; i < KEYS; i++) {
        checkouts -= guarded[i];
    }
    check(checkouts == 0, "two had the same key");
    ot_map_check(map);
    ot_map_check(crowd);
    check(ot_map_len(crowd) == STEADY, "the flood has left something");
    check(atomic_load(&crowd->shards[0].room) <= OT_MAP_SPARSE * STEADY, "a table is still large");
    ot_epoch_check();
    ot_shared_unref(&crowd->head);
    ot_shared_unref(&map->head);
    ot_epoch_collect(true);
    check(atomic_load(&blocks) == 0, "a block is left");
}

int
main(void)
{
    int threads = (int)setting("THREADS", 4);
    int64_t until = ot_clock_now() + setting("SECONDS", 4) * 1000000000;
    unsigned seed = (unsigned)setting("SEED", ot_clock_now() & 0x7fffffff);
    check(threads >= 1 && threads <= MAX_THREADS, "THREADS must be 1 to 64");
    printf("map_stress: THREADS=%d SEED=%u\n", threads, seed);
    fflush(stdout);
    long rounds = 0;
    for (; ot_clock_now() < until; rounds++) {
        run_round(threads, &seed);
    }
    check(popped > 0, "nothing was popped");
    printf("map_stress: %ld rounds\n", rounds);
    return 0;
}
