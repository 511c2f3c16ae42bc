/* map.c: see map.h.
 *
 * Main invariants: those of ot_shard_t, whose list map_table.c keeps.
 * Threading: a node is complete before it is linked (release), and a reader follows links by
 * acquire loads. Locks: a map's guard before a shard's lock; all shards' locks in their order.
 */
#include "objects/dict/map.h"

#include <stdlib.h>
#include <string.h>

enum {
    TRIES = 8,    /* for an undisturbed look at all shards; then with all locks */
    GIVE_WAY = 32 /* steps under a lock */
};

void *(*ot_map_calloc)(size_t n, size_t size) = calloc;

ot_shard_t *
ot_map_shard_of(ot_map_t *map, const ot_entry_t *entry)
{
    return &map->shards[ot_map_shard_number(entry->hash)];
}

/* ---- locks ------------------------------------------------------------------------------------ */

static void
lock_all(ot_map_t *map)
{
    for (int i = 0; i < OT_MAP_SHARDS; i++) {
        ot_shard_lock(&map->shards[i]);
    }
}

static void
unlock_all(ot_map_t *map)
{
    for (int i = OT_MAP_SHARDS; i-- > 0;) {
        ot_shard_unlock(&map->shards[i]);
    }
}

/* Release: who sees the new number sees that the version is odd. */
static void
add_live_locked(ot_shard_t *s, size_t n)
{
    atomic_store_explicit(&s->live, atomic_load_explicit(&s->live, memory_order_relaxed) + n,
                          memory_order_release);
}

/* ---- life ------------------------------------------------------------------------------------- */

static void
free_claims(ot_map_t *map)
{
    while (map->claims != NULL) { /* abandoned ones: an owner keeps the map */
        ot_claim_t *claim = map->claims;
        map->claims = claim->next;
        ot_claim_free(claim);
    }
}

static void
free_shard(ot_map_t *map, ot_shard_t *s)
{
    for (ot_entry_t *e = s->newest, *older; e != NULL; e = older) {
        older = e->older;
        ot_word_t word = ot_entry_load(e);
        if (!ot_word_is_claim(word)) {
            map->drop(word);
        }
        ot_entry_free(e);
    }
    ot_shard_free_table(s);
}

/* What a map held may be the last handle on another one, and so on: not by recursion. */
static void
map_free(ot_shared_t *self)
{
    static _Thread_local ot_map_t *waiting;
    static _Thread_local bool busy;
    ot_map_t *map = (ot_map_t *)self;
    map->next_to_free = waiting;
    waiting = map;
    if (busy) {
        return;
    }
    busy = true;
    while ((map = waiting) != NULL) {
        waiting = map->next_to_free;
        free_claims(map);
        for (int i = 0; i < OT_MAP_SHARDS; i++) {
            free_shard(map, &map->shards[i]);
        }
        pthread_mutex_destroy(&map->guard);
        free(map);
    }
    busy = false;
}

static void
map_fork(ot_shared_t *self, ot_fork_stage_t stage)
{
    ot_map_t *map = (ot_map_t *)self;
    ot_claims_fork(map, stage);
    if (stage == OT_BEFORE_FORK) {
        lock_all(map);
    } else {
        unlock_all(map);
    }
}

const ot_shared_kind_t ot_map_kind = {"LockingDict", map_free, map_fork, NULL};

ot_map_t *
ot_map_new(void (*drop)(ot_word_t word))
{
    ot_map_t *map = aligned_alloc(OT_CACHE_PAIR, sizeof *map);
    if (map == NULL) {
        return NULL;
    }
    memset(map, 0, sizeof *map);
    map->drop = drop;
    pthread_mutex_init(&map->guard, NULL);
    for (int i = 0; i < OT_MAP_SHARDS; i++) {
        ot_shard_init(&map->shards[i], (unsigned)i);
    }
    ot_shared_init(&map->head, &ot_map_kind);
    return map;
}

ot_entry_t *
ot_entry_new(const ot_mapkey_t *key, ot_word_t word)
{
    size_t len = ot_key_len(key->meta);
    ot_entry_t *e = ot_map_calloc(1, sizeof *e + len + key->exact_len);
    if (e != NULL) {
        e->exact_len = key->exact_len;
        e->node.order = ot_map_order(key->hash);
        e->hash = key->hash;
        e->meta = key->meta;
        atomic_init(&e->word, word);
        memcpy(e->bytes, key->bytes, len);
        if (key->exact_len > 0) {
            memcpy(e->bytes + len, key->exact, key->exact_len);
        }
    }
    return e;
}

void
ot_entry_free(void *entry)
{
    free(entry);
}

ot_mapkey_t
ot_entry_key(const ot_entry_t *e)
{
    return (ot_mapkey_t){.hash = e->hash,
                         .meta = e->meta,
                         .bytes = e->bytes,
                         .exact = e->bytes + ot_key_len(e->meta),
                         .exact_len = e->exact_len};
}

/* ---- one key ---------------------------------------------------------------------------------- */

ot_entry_t *
ot_map_find_slowly(const ot_map_t *map, const ot_mapkey_t *key)
{
    const ot_shard_t *s = &map->shards[ot_map_shard_number(key->hash)];
    uint64_t order = ot_map_order(key->hash);
    const ot_link_t *node = ot_map_next_link(ot_shard_before(s, order));
    for (; node->order <= order; node = ot_map_next_link(node)) {
        if (node->order == order &&
            ot_entry_has_key(ot_map_entry_of(node), key->hash, key->meta, key->bytes)) {
            return ot_map_entry_of(node);
        }
    }
    return NULL;
}

static void
become_newest_locked(ot_map_t *map, ot_shard_t *s, ot_entry_t *e)
{
    /* relaxed: the shard's lock orders what matters; see ot_map_withdraw_newest */
    atomic_store_explicit(&e->seq, atomic_fetch_add(&map->next_seq, 1), memory_order_relaxed);
    e->newer = NULL;
    e->older = s->newest;
    if (s->newest != NULL) {
        s->newest->newer = e;
    }
    s->newest = e;
}

static void
leave_chain_locked(ot_shard_t *s, ot_entry_t *e)
{
    *(e->newer != NULL ? &e->newer->older : &s->newest) = e->older;
    if (e->older != NULL) {
        e->older->newer = e->newer;
    }
}

/* Behind all entries of the same order: see ot_shard_lock_before. */
static ot_entry_t *
insert_locked(ot_map_t *map, ot_shard_t *s, ot_link_t *after, ot_entry_t *e)
{
    ot_link_t *next = ot_map_next_link(after);
    if (next->order == e->node.order) {
        return ot_map_entry_of(next);
    }
    become_newest_locked(map, s, e);
    add_live_locked(s, ot_word_is_there(ot_entry_load(e)));
    ot_link_in_locked(after, &e->node);
    return e;
}

ot_entry_t *
ot_map_link(ot_map_t *map, ot_entry_t *entry)
{
    ot_shard_t *s = ot_map_shard_of(map, entry);
    ot_link_t *after =
        ot_shard_lock_before(s, &(ot_sought_t){.order = entry->node.order, .like = entry});
    ot_entry_t *there = insert_locked(map, s, after, entry);
    bool swept = there != entry || ot_shard_sweep_locked(s);
    ot_shard_check_locked(s);
    ot_shard_unlock(s);
    if (!swept) {
        ot_shard_sweep(s);
    }
    return there;
}

ot_entry_t *
ot_map_insert(ot_map_t *map, ot_entry_t *entry)
{
    ot_entry_t *there = ot_map_link(map, entry);
    if (there == entry) {
        ot_shard_fit(ot_map_shard_of(map, entry));
    }
    return there;
}

/* Removes an entry if its word is still `expected`. Of two threads that remove it, one finds its word GONE, and maybe
 * not the link. */
static bool
remove_locked(ot_shard_t *s, ot_link_t *before, ot_entry_t *e, ot_word_t expected)
{
    bool was_there = ot_word_is_there(expected);
    if (expected == OT_WORD_GONE || !ot_entry_replace(e, &expected, OT_WORD_GONE)) {
        return false;
    }
    ot_link_out_locked(before);
    leave_chain_locked(s, e);
    add_live_locked(s, was_there ? (size_t)-1 : 0);
    return true;
}

bool
ot_map_unlink(ot_map_t *map, ot_entry_t *entry, ot_word_t expected)
{
    ot_shard_t *s = ot_map_shard_of(map, entry);
    ot_link_t *before =
        ot_shard_lock_before(s, &(ot_sought_t){.order = entry->node.order, .link = &entry->node});
    bool removed = remove_locked(s, before, entry, expected);
    ot_shard_check_locked(s);
    ot_shard_unlock(s);
    if (removed) {
        ot_epoch_retire(entry, ot_entry_free);
    }
    return removed;
}

bool
ot_map_remove(ot_map_t *map, ot_entry_t *entry, ot_word_t expected)
{
    bool removed = ot_map_unlink(map, entry, expected);
    if (removed) {
        ot_shard_fit(ot_map_shard_of(map, entry));
    }
    return removed;
}

bool
ot_map_withdraw(ot_map_t *map, ot_entry_t *entry, ot_word_t expected, ot_word_t pending)
{
    ot_shard_t *s = ot_map_shard_of(map, entry);
    ot_shard_lock(s);
    bool done = ot_entry_replace(entry, &expected, pending);
    add_live_locked(s, done ? (size_t)-1 : 0);
    ot_shard_check_locked(s);
    ot_shard_unlock(s);
    return done;
}

void
ot_map_complete(ot_map_t *map, ot_entry_t *entry, ot_word_t word, bool as_newest)
{
    ot_shard_t *s = ot_map_shard_of(map, entry);
    ot_shard_lock(s);
    if (as_newest) {
        leave_chain_locked(s, entry);
        become_newest_locked(map, s, entry);
    }
    add_live_locked(s, 1);
    atomic_store_explicit(&entry->word, word, memory_order_release);
    ot_shard_check_locked(s);
    ot_shard_unlock(s);
}

/* ---- many ------------------------------------------------------------------------------------- */

/* Whether all versions are even and the same as in `seen`, where they are put the first time. Acquire: pairs with the
 * unlocking's release, and the loads of `live` with add_live_locked's (litmus map_len). */
static bool
versions(const ot_map_t *map, uint64_t *seen, bool first)
{
    bool same = true;
    for (int i = 0; i < OT_MAP_SHARDS; i++) {
        uint64_t v = atomic_load_explicit(&map->shards[i].version, memory_order_acquire);
        same &= v % 2 == 0 && (first || v == seen[i]);
        seen[i] = v;
    }
    return same;
}

static size_t
sum_of_live(const ot_map_t *map)
{
    size_t sum = 0;
    for (int i = 0; i < OT_MAP_SHARDS; i++) {
        sum += atomic_load_explicit(&map->shards[i].live, memory_order_acquire);
    }
    return sum;
}

size_t
ot_map_len(ot_map_t *map)
{
    uint64_t seen[OT_MAP_SHARDS] = {0};
    for (int i = 0; i < TRIES; i++) {
        if (versions(map, seen, true)) {
            size_t sum = sum_of_live(map);
            if (versions(map, seen, false)) {
                return sum;
            }
        }
        ot_pause();
    }
    lock_all(map);
    size_t sum = sum_of_live(map);
    unlock_all(map);
    return sum;
}

ot_entry_t *
ot_map_next(ot_map_t *map, ot_map_cursor_t *cursor)
{
    const ot_link_t *node = cursor->node;
    for (;;) {
        if (node == NULL) {
            node = &map->shards[cursor->shard].first[0];
        }
        while ((node = ot_map_next_link(node)) != &ot_map_sentinel) {
            if (node->order % 2 == 1 && ot_word_is_there(ot_entry_load(ot_map_entry_of(node)))) {
                cursor->node = node;
                return ot_map_entry_of(node);
            }
        }
        if (cursor->shard + 1 == OT_MAP_SHARDS) {
            cursor->node = node;
            return NULL;
        }
        cursor->shard++;
        node = NULL;
    }
}

void
ot_map_resume(ot_map_t *map, ot_map_cursor_t *cursor, uint64_t hash)
{
    cursor->node = ot_shard_before(&map->shards[cursor->shard], ot_map_order(hash));
}

/* A shard's newest whose word is there and not claimed; *claimed: a newer one that is claimed. While
 * others want the lock they get it now and then: a claimed entry stays in the chain (map->guard). */
static ot_entry_t *
newest_locked(ot_shard_t *s, bool give_way, ot_entry_t **claimed)
{
    int steps = 0;
    ot_entry_t *e = s->newest;
    for (; e != NULL; e = e->older) {
        ot_word_t word = ot_entry_load(e);
        if (!ot_word_is_claim(word)) {
            return e;
        }
        if (*claimed == NULL && !ot_word_is_pending(word)) {
            *claimed = e;
        }
        if (give_way && ++steps % GIVE_WAY == 0) {
            ot_shard_unlock(s);
            ot_shard_lock(s);
        }
    }
    return NULL;
}

static bool
is_newer(const ot_entry_t *a, const ot_entry_t *b)
{
    return b == NULL || atomic_load_explicit(&a->seq, memory_order_relaxed) >
                            atomic_load_explicit(&b->seq, memory_order_relaxed);
}

static ot_entry_t *
newest_of_all(ot_map_t *map, bool locked, ot_entry_t **claimed)
{
    ot_entry_t *best = NULL;
    *claimed = NULL;
    for (int i = 0; i < OT_MAP_SHARDS; i++) {
        ot_shard_t *s = &map->shards[i];
        ot_entry_t *out = NULL;
        if (!locked) {
            ot_shard_lock(s);
        }
        ot_entry_t *e = newest_locked(s, !locked, &out);
        if (!locked) {
            ot_shard_unlock(s);
        }
        if (e != NULL && is_newer(e, best)) {
            best = e;
        }
        if (out != NULL && is_newer(out, *claimed)) {
            *claimed = out;
        }
    }
    return best;
}

/* Others may replace the word under our lock, or claim it. */
static bool
withdraw_whatever_locked(ot_shard_t *s, ot_entry_t *e, ot_word_t pending, ot_word_t *word)
{
    *word = ot_entry_load(e);
    while (*word != OT_WORD_GONE && !ot_word_is_claim(*word)) {
        if (ot_entry_replace(e, word, pending)) {
            add_live_locked(s, (size_t)-1);
            return true;
        }
    }
    return false;
}

/* Nothing came since we began to look (next_seq): so what we found is the newest still, and where we
 * found nothing there is nothing. What is newest is taken under all locks: else somebody may insert a newer key into another
 * shard between our last look and that, and find the older one still there (litmus map_newest). */
ot_entry_t *
ot_map_withdraw_newest(ot_map_t *map, ot_word_t pending, ot_word_t *word, ot_entry_t **claimed)
{
    ot_entry_t *e = NULL;
    for (int i = 0; i < TRIES; i++) {
        uint64_t seq = atomic_load(&map->next_seq);
        bool done;
        e = newest_of_all(map, false, claimed);
        if (e == NULL) {
            done = atomic_load(&map->next_seq) == seq;
        } else {
            lock_all(map);
            done = atomic_load(&map->next_seq) == seq &&
                   withdraw_whatever_locked(ot_map_shard_of(map, e), e, pending, word);
            unlock_all(map);
        }
        if (done) {
            return e;
        }
    }
    lock_all(map);
    do {
        e = newest_of_all(map, true, claimed);
    } while (e != NULL && !withdraw_whatever_locked(ot_map_shard_of(map, e), e, pending, word));
    unlock_all(map);
    return e;
}
