/* map_claim.c: keys in somebody's exclusive possession (see map.h).
 *
 * Main invariant: that of ot_claim_t. A claim is freed by its owner, or, if that is gone, by who
 * overrides it or frees the map.
 * Threading: map->guard, a mutex held for a few loads and stores, and while somebody is woken. An
 * entry whose word is a claim's is changed under it alone.
 */
#include <stdlib.h>

#include "objects/dict/map.h"

static ot_claim_t *
claim_of(ot_word_t word)
{
    return (ot_claim_t *)(word & ~(ot_word_t)OT_WORD_TAGS);
}

/* ---- life ------------------------------------------------------------------------------------- */

ot_claim_t *
ot_claim_new(ot_map_t *map, int64_t interp)
{
    ot_claim_t *claim = ot_map_calloc(1, sizeof *claim);
    if (claim != NULL) {
        claim->map = map;
        claim->thread = ot_thread_token();
        claim->interp = interp;
    }
    return claim;
}

void
ot_claim_free(ot_claim_t *claim)
{
    free(claim);
}

static void
enter_locked(ot_claim_t *claim, ot_entry_t *entry)
{
    ot_map_t *map = claim->map;
    claim->entry = entry;
    claim->next = map->claims;
    if (claim->next != NULL) {
        claim->next->prev = claim;
    }
    map->claims = claim;
}

/* Nobody who waits looks at the claim again once it is woken. */
static void
leave_locked(ot_claim_t *claim)
{
    *(claim->prev != NULL ? &claim->prev->next : &claim->map->claims) = claim->next;
    if (claim->next != NULL) {
        claim->next->prev = claim->prev;
    }
    ot_wake_all_locked(&claim->waiters, 1);
}

void
ot_claims_fork(ot_map_t *map, ot_fork_stage_t stage)
{
    if (ot_guard_fork(&map->guard, stage)) {
        for (ot_claim_t *c = map->claims; c != NULL; c = c->next) {
            c->abandoned |= c->thread != ot_thread_token();
            ot_waitlist_wake_own(&c->waiters);
        }
    }
}

/* ---- having ----------------------------------------------------------------------------------- */

bool
ot_claim_take(ot_claim_t *claim, ot_entry_t *entry, ot_word_t expected, bool pending)
{
    ot_map_t *map = claim->map;
    pthread_mutex_lock(&map->guard);
    bool taken = pending ? ot_map_withdraw(map, entry, expected, (ot_word_t)claim | OT_WORD_PENDING)
                         : ot_entry_replace(entry, &expected, (ot_word_t)claim | OT_WORD_OUT);
    if (taken) {
        enter_locked(claim, entry);
    }
    pthread_mutex_unlock(&map->guard);
    return taken;
}

ot_entry_t *
ot_claim_take_newest(ot_claim_t *claim, ot_word_t *word, ot_entry_t **claimed)
{
    ot_map_t *map = claim->map;
    pthread_mutex_lock(&map->guard);
    ot_entry_t *entry =
        ot_map_withdraw_newest(map, (ot_word_t)claim | OT_WORD_PENDING, word, claimed);
    if (entry != NULL) {
        enter_locked(claim, entry);
    }
    pthread_mutex_unlock(&map->guard);
    return entry;
}

ot_entry_t *
ot_claim_insert(ot_claim_t *claim, ot_entry_t *entry)
{
    ot_map_t *map = claim->map;
    atomic_store_explicit(&entry->word, (ot_word_t)claim | OT_WORD_PENDING, memory_order_relaxed);
    pthread_mutex_lock(&map->guard);
    ot_entry_t *there = ot_map_link(map, entry);
    if (there == entry) {
        claim->computed = true;
        enter_locked(claim, entry);
    }
    pthread_mutex_unlock(&map->guard);
    return there;
}

/* ---- ending it -------------------------------------------------------------------------------- */

static void
put_locked(ot_claim_t *claim, ot_word_t word)
{
    ot_entry_t *entry = claim->entry;
    ot_word_t now = ot_entry_load(entry);
    if (word == OT_WORD_GONE) {
        (void)ot_map_unlink(claim->map, entry, now);
    } else if (ot_word_is_pending(now)) {
        ot_map_complete(claim->map, entry, word, claim->computed);
    } else {
        atomic_store_explicit(&entry->word, word, memory_order_release);
    }
    leave_locked(claim);
}

bool
ot_claim_settle(ot_claim_t *claim, ot_word_t word)
{
    ot_map_t *map = claim->map;
    ot_shard_t *s = NULL;
    pthread_mutex_lock(&map->guard);
    bool mine = !claim->overridden;
    if (mine) {
        s = ot_map_shard_of(map, claim->entry);
        put_locked(claim, word);
    }
    pthread_mutex_unlock(&map->guard);
    if (mine) {
        ot_shard_fit(s);
    }
    ot_claim_free(claim);
    return mine;
}

void
ot_claim_abandon(ot_claim_t *claim)
{
    ot_map_t *map = claim->map;
    pthread_mutex_lock(&map->guard);
    bool done = claim->overridden;
    if (!done) {
        claim->abandoned = claim->left = true;
        ot_wake_all_locked(&claim->waiters, 1);
    }
    pthread_mutex_unlock(&map->guard);
    if (done) {
        ot_claim_free(claim);
    }
}

void
ot_map_abandon(ot_map_t *map, int64_t interp)
{
    pthread_mutex_lock(&map->guard);
    for (ot_claim_t *c = map->claims; c != NULL; c = c->next) {
        if (c->interp == interp) {
            c->abandoned = true;
            ot_wake_all_locked(&c->waiters, 1);
        }
    }
    pthread_mutex_unlock(&map->guard);
}

bool
ot_map_override(ot_map_t *map, ot_entry_t *entry, ot_word_t claimed, ot_word_t word)
{
    ot_claim_t *claim = claim_of(claimed);
    pthread_mutex_lock(&map->guard);
    bool mine = ot_entry_load(entry) == claimed && claim->abandoned;
    bool left = false;
    if (mine) {
        put_locked(claim, word);
        claim->overridden = true;
        left = claim->left;
    }
    pthread_mutex_unlock(&map->guard);
    if (mine) {
        ot_shard_fit(ot_map_shard_of(map, entry));
    }
    if (left) {
        ot_claim_free(claim);
    }
    return mine;
}

bool
ot_map_is_abandoned(ot_map_t *map, const ot_entry_t *entry, ot_word_t claimed)
{
    pthread_mutex_lock(&map->guard);
    bool is = ot_entry_load(entry) == claimed && claim_of(claimed)->abandoned;
    pthread_mutex_unlock(&map->guard);
    return is;
}

/* ---- waiting ---------------------------------------------------------------------------------- */

/* The claim whose word is in the entry lives, under the guard. */
static ot_claim_result_t
why_not_locked(const ot_claim_t *claim, const ot_patience_t *patience)
{
    if (claim->abandoned) {
        return OT_CLAIM_ABANDONED;
    }
    if (claim->thread == ot_thread_token()) {
        return OT_CLAIM_MINE;
    }
    return patience->deadline == OT_DONT_WAIT ? OT_CLAIM_TIMEOUT : OT_CLAIM_FREE;
}

ot_claim_result_t
ot_map_await(ot_map_t *map, const ot_mapkey_t *key, const ot_patience_t *patience)
{
    if (!ot_epoch_enter()) {
        return OT_CLAIM_FREE; /* the caller's own guard will say so */
    }
    const ot_entry_t *entry = ot_map_find(map, key);
    ot_word_t word = entry == NULL ? OT_WORD_GONE : ot_entry_load(entry);
    if (!ot_word_is_claim(word)) {
        ot_epoch_leave();
        return OT_CLAIM_FREE;
    }
    ot_claim_result_t result = OT_CLAIM_FREE;
    pthread_mutex_lock(&map->guard);
    bool wait = ot_entry_load(entry) == word;
    if (wait) {
        result = why_not_locked(claim_of(word), patience);
        wait = result == OT_CLAIM_FREE;
    }
    ot_waiter_t w;
    if (wait) {
        ot_waiter_enter_locked(&claim_of(word)->waiters, &w, false);
        if (patience->awaited != NULL) { /* the claim may go before the wait is over: a copy */
            patience->awaited->owner = claim_of(word)->thread;
        }
    }
    ot_epoch_leave();
    if (wait) {
        ot_wait_result_t why =
            ot_waiter_wait_locked(&claim_of(word)->waiters, &w, &map->guard, patience);
        result = why == OT_WAIT_GAVE_UP   ? OT_CLAIM_INTERRUPTED
                 : why == OT_WAIT_TIMEOUT ? OT_CLAIM_TIMEOUT
                                          : OT_CLAIM_FREE;
    }
    pthread_mutex_unlock(&map->guard);
    return result;
}
