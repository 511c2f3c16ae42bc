/* map.h: a hash table that all threads of the process read and write: what a LockingDict is
 * underneath.
 *
 * Purpose: keys (canonical bytes with a hash) to words (a small number, or a pointer to what the
 * caller keeps there), with readers that take no lock and write to no line that others use.
 * Threading: any thread, within an epoch guard (epoch.h), which keeps entries from being freed. No
 * Python. Locks: a shard's, a spin lock held for a few loads and stores; the map's `guard`, a mutex
 * for who checks out, puts back or waits. Neither is held while anything is freed or waited for.
 *
 * A shard is a list of entries, sorted by the hash's bits read backwards, with a table of places to
 * enter it (split-ordered lists: Shalev and Shavit 2006). The table grows by adding a segment:
 * nothing is moved. It shrinks by half: first `mask` says that the upper half is not to be used any
 * more, then its entrances are unlinked like entries, some at a time, and their segment is retired.
 *
 * Why a reader finds what is there all the time, and finds nothing only where nothing was at some
 * moment while it looked: every link that it comes to was in the list at some moment since it began.
 * Its entrance was, for it looks at the table after it began. A link's next pointer leads to what
 * comes next while the link is in the list, and to what came next when it left for ever after: it
 * does not change then, and a link that left never comes back. So no link that is there all the time
 * is passed over (litmus map_list says what the links' orders do). A reader may know an older mask, smaller or greater: a smaller one's entrances are
 * in the list, and there may be others between it and its key (ot_map_find looks at the order before
 * it gives up); a greater one's segment is not freed before the reader has left its guard.
 *
 * An entry's word is the whole state of its key, and is changed by compare-and-swap:
 *   GONE       removed, for ever: who finds it looks for the key anew
 *   a value    anybody may replace it, without a lock
 *   OUT        checked out: a claim's, until its owner puts something back
 *   PENDING    a claim's, too, of a key that is not there yet (somebody computes its value)
 * Entries come and go under the shard's lock alone.
 *
 * Which may run at once: all of them.
 */
#ifndef OT_OBJECTS_MAP_H
#define OT_OBJECTS_MAP_H

#include <string.h>

#include "atomics/lock/ttas.h"
#include "objects/dict/epoch.h"
#include "runtime/shared.h"
#include "runtime/checks.h"
#include "runtime/waitlist.h"

/* ---- keys ------------------------------------------------------------------------------------ */

/* Borrowed. Equal keys have equal hashes and equal bytes; what they were before they were made
 * canonical (1.0 rather than 1) is in `exact`, which is stored and not compared. */
typedef struct {
    uint64_t hash;
    uint64_t meta; /* length of bytes << 8 | tag, which is not 0 */
    const void *bytes;
    const void *exact;
    size_t exact_len;
} ot_mapkey_t;

static inline uint64_t
ot_key_meta(size_t len, unsigned tag)
{
    return (uint64_t)len << 8 | tag;
}

static inline size_t
ot_key_len(uint64_t meta)
{
    return (size_t)(meta >> 8);
}

/* ---- words ----------------------------------------------------------------------------------- */

typedef uintptr_t ot_word_t;

enum { OT_WORD_GONE = 0, OT_WORD_OUT = 2, OT_WORD_PENDING = 3, OT_WORD_TAGS = 7 };

/* Words whose low bits are 1 or 5 hold 62 bits of a number; 6: a constant; 0: a pointer. These are
 * the caller's; the map only knows GONE and claims. */
static inline bool
ot_word_is_claim(ot_word_t w)
{
    return (w & 6) == 2;
}

static inline bool
ot_word_is_pending(ot_word_t w)
{
    return (w & OT_WORD_TAGS) == OT_WORD_PENDING;
}

static inline bool
ot_word_is_there(ot_word_t w)
{
    return w != OT_WORD_GONE && !ot_word_is_pending(w);
}

static inline bool
ot_word_is_int(ot_word_t w)
{
    return (w & 3) == 1;
}

static inline int64_t
ot_word_int(ot_word_t w)
{
    return (int64_t)w >> 2;
}

static inline bool
ot_word_int_fits(int64_t i)
{
    return i >= INT64_MIN / 4 && i <= INT64_MAX / 4;
}

static inline ot_word_t
ot_word_of_int(int64_t i)
{
    return (ot_word_t)i << 2 | 1;
}

/* ---- entries and shards ---------------------------------------------------------------------- */

/* In a shard's list, which is sorted by order. An entry's order is odd, an entrance's even. */
typedef struct ot_link {
    _Atomic(struct ot_link *) next; /* NULL: an entrance that was never in the list */
    uint64_t order;                 /* never changes once it is in the list */
} ot_link_t;

typedef struct ot_entry {
    struct ot_entry *older, *newer; /* in the order of coming; the shard's lock's */
    atomic_uint_fast64_t seq;       /* that order; written under the lock */
    size_t exact_len;
    /* What a reader looks at: */
    ot_link_t node;
    uint64_t hash;
    _Atomic ot_word_t word;
    uint64_t meta;
    char bytes[]; /* the key's, then its exact form */
} ot_entry_t;

/* OT_MAP_SPARSE: fewer entries than this part of the entrances: half of them would do. After growing
 * half of the entrances have an entry, after shrinking too: so each needs as many steps as it has had. */
enum { OT_MAP_SHARDS = 16, OT_MAP_SEGMENTS = 28, OT_MAP_FIRST = 8, OT_MAP_SPARSE = 4 };

/* Invariants, while the lock is free (ot_map_check):
 *   the list begins with entrance 0, is sorted by order, and ends with the sentinel; entries of the
 *   same order have different keys and stand in the order in which they were linked;
 *   the entrances in the list are those with numbers below `linked`, 1 <= linked <= room;
 *   mask + 1 is a power of 2, at least FIRST, and room == mask + 1; or room == 2 * (mask + 1), while
 *   the table shrinks: then no entrance comes into the list, and it does not grow;
 *   live == number of entries whose word is there (OUT included); none is GONE;
 *   newest's chain has exactly the entries in the list; seq rises towards newest.
 * While the lock is free and nobody is about to grow or shrink it: live <= mask + 1 unless memory was
 * missing, and mask + 1 == FIRST or live >= (mask + 1) / SPARSE. */
typedef struct {
    /* Read by everybody, written when the table grows or shrinks: */
    OT_OWN_LINE atomic_size_t mask;                 /* number of entrances to be used - 1 */
    _Atomic(ot_link_t *) segments[OT_MAP_SEGMENTS]; /* k: entrances FIRST << (k-1) and on; of those
                                                       below room. Others are retired: a reader with
                                                       an older mask may still look there */
    ot_link_t first[OT_MAP_FIRST];
    /* Written by who inserts and removes: */
    OT_OWN_LINE ot_lk_ttas_t lock;
    atomic_uint_fast64_t version; /* odd while the lock is held */
    atomic_size_t live;
    atomic_size_t linked, room; /* written under the lock */
    ot_entry_t *newest;
    unsigned number; /* never changes */
} ot_shard_t;

typedef struct ot_claim ot_claim_t;

typedef struct ot_map {
    ot_shared_t head;
    struct ot_map *next_to_free;  /* the freeing thread's */
    void (*drop)(ot_word_t word); /* what the map holds at its end */
    pthread_mutex_t guard;        /* of claims: theirs, and who waits for them */
    ot_claim_t *claims;
    OT_OWN_LINE atomic_uint_fast64_t next_seq;
    ot_shard_t shards[OT_MAP_SHARDS];
} ot_map_t;

extern const ot_shared_kind_t ot_map_kind;

/* Allocates entries and segments, zeroed: calloc, but for tests that let it fail. */
extern void *(*ot_map_calloc)(size_t n, size_t size);

/* An empty map, one reference; NULL without memory. `drop` gives up a word that the map holds at its end. */
ot_map_t *ot_map_new(void (*drop)(ot_word_t word));

/* ---- one key: within a guard ------------------------------------------------------------------ */

/* The hash's low bits choose the entrance, so its high ones choose the shard. */
static inline unsigned
ot_map_shard_number(uint64_t hash)
{
    return (unsigned)(hash >> 59) % OT_MAP_SHARDS;
}

static inline unsigned
ot_map_segment_of(size_t number)
{
    return number < OT_MAP_FIRST ? 0 : (unsigned)(63 - __builtin_clzll(number)) - 2;
}

static inline ot_link_t *
ot_map_entrance(const ot_shard_t *s, size_t number)
{
    if (number < OT_MAP_FIRST) {
        return (ot_link_t *)&s->first[number];
    }
    unsigned k = ot_map_segment_of(number);
    return atomic_load_explicit(&s->segments[k], memory_order_acquire) + number -
           ((size_t)OT_MAP_FIRST << (k - 1));
}

static inline ot_link_t *
ot_map_next_link(const ot_link_t *node)
{
    return atomic_load_explicit(&node->next, memory_order_acquire);
}

static inline ot_entry_t *
ot_map_entry_of(const ot_link_t *node)
{
    return (ot_entry_t *)((char *)node - offsetof(ot_entry_t, node));
}

/* memcmp without a call for the lengths that keys have; overlapping loads. */
static inline bool
ot_map_same_bytes(const char *a, const char *b, size_t n)
{
    uint64_t x, y, v, w;
    if (n > 16) {
        return memcmp(a, b, n) == 0;
    }
    if (n >= 8) {
        memcpy(&x, a, 8);
        memcpy(&y, b, 8);
        memcpy(&v, a + n - 8, 8);
        memcpy(&w, b + n - 8, 8);
        return x == y && v == w;
    }
    for (size_t i = 0; i < n; i++) {
        if (a[i] != b[i]) {
            return false;
        }
    }
    return true;
}

static inline bool
ot_entry_has_key(const ot_entry_t *e, uint64_t hash, uint64_t meta, const void *bytes)
{
    return e->hash == hash && e->meta == meta &&
           ot_map_same_bytes(e->bytes, bytes, ot_key_len(meta));
}

static inline uint64_t
ot_map_reversed(uint64_t x)
{
    x = (x >> 1 & 0x5555555555555555u) | (x & 0x5555555555555555u) << 1;
    x = (x >> 2 & 0x3333333333333333u) | (x & 0x3333333333333333u) << 2;
    x = (x >> 4 & 0x0f0f0f0f0f0f0f0fu) | (x & 0x0f0f0f0f0f0f0f0fu) << 4;
    return __builtin_bswap64(x);
}

/* The order of an entry with that hash: odd, and less than the sentinel's. */
static inline uint64_t
ot_map_order(uint64_t hash)
{
    uint64_t order = ot_map_reversed(hash) | 1;
    return order == UINT64_MAX ? UINT64_MAX - 2 : order;
}

/* The slow way of ot_map_find: follows the list by order alone, past entrances of other tables. */
ot_entry_t *ot_map_find_slowly(const ot_map_t *map, const ot_mapkey_t *key);

/* The entry with that key, whatever its word is; NULL: there is none.
 *
 * What an entrance leads to ends at the next one, if that is not one that a newer table has before the key, or that an older
 * table had. */
static inline ot_entry_t *
ot_map_find(const ot_map_t *map, const ot_mapkey_t *key)
{
    const ot_shard_t *s = &map->shards[ot_map_shard_number(key->hash)];
    size_t number = key->hash & atomic_load_explicit(&s->mask, memory_order_acquire);
    const ot_link_t *node = ot_map_next_link(ot_map_entrance(s, number));
    if (__builtin_expect(node == NULL, 0)) {
        return ot_map_find_slowly(map, key);
    }
    for (; node->order % 2 == 1; node = ot_map_next_link(node)) {
        ot_entry_t *e = ot_map_entry_of(node);
        if (ot_entry_has_key(e, key->hash, key->meta, key->bytes)) {
            return e;
        }
    }
    return node->order < ot_map_order(key->hash) ? ot_map_find_slowly(map, key) : NULL;
}

static inline ot_word_t
ot_entry_load(const ot_entry_t *e)
{
    /* Pairs with ot_entry_replace's release: what the word points at is complete (litmus map_word). */
    return atomic_load_explicit(&e->word, memory_order_acquire);
}

/* Replaces the word *expected by another. False: the entry has a third word, which *expected is now. Acquires the old
 * value, which is the caller's then, and releases the new one (litmus map_word_releases). */
static inline bool
ot_entry_replace(ot_entry_t *e, ot_word_t *expected, ot_word_t word)
{
    return atomic_compare_exchange_strong_explicit(&e->word, expected, word, memory_order_acq_rel,
                                                   memory_order_acquire);
}

/* An entry in no map, to be inserted or to be freed by ot_entry_free; NULL without memory. Needs no
 * guard. */
ot_entry_t *ot_entry_new(const ot_mapkey_t *key, ot_word_t word);
void ot_entry_free(void *entry);

/* The key of an entry, which points into it. */
ot_mapkey_t ot_entry_key(const ot_entry_t *e);

/* Inserts `entry` and returns it; or returns the entry that has its key already, and `entry` stays the caller's. */
ot_entry_t *ot_map_insert(ot_map_t *map, ot_entry_t *entry);

/* Removes the entry if its word is still `expected`, and retires it: room must be reserved, and nothing else that is retired
 * here takes of that room. True: the word is the caller's now. */
bool ot_map_remove(ot_map_t *map, ot_entry_t *entry, ot_word_t expected);

/* ---- many: within a guard --------------------------------------------------------------------- */

/* How many entries the map had at one moment of the call. Needs no guard. */
size_t ot_map_len(ot_map_t *map);

typedef struct {
    unsigned shard;
    const ot_link_t *node; /* NULL: begin */
} ot_map_cursor_t;

/* The next entry that is there, in no order; NULL after the last. What is there all the time is
 * found, once; what comes or goes meanwhile may be. */
ot_entry_t *ot_map_next(ot_map_t *map, ot_map_cursor_t *cursor);

/* In another guard than the one in which the cursor came to `hash`: goes on before the entries with
 * that hash, which are found again if they are still there. */
void ot_map_resume(ot_map_t *map, ot_map_cursor_t *cursor, uint64_t hash);

/* Aborts if an invariant of a shard, or of the claims, does not hold. Takes all locks, needs no
 * guard. Tests call it; operations that change a shard call ot_shard_check_locked. */
void ot_map_check(ot_map_t *map);

/* ---- claims ----------------------------------------------------------------------------------- */

/* One key's exclusive possession. Invariant (map->guard): it is in map->claims, and its entry's word
 * is its own, until it is settled or overridden. */
struct ot_claim {
    ot_map_t *map;
    ot_entry_t *entry;
    ot_claim_t *next, *prev;
    ot_waitlist_t waiters;
    uint64_t thread; /* the owner's token */
    int64_t interp;  /* the owner's */
    bool abandoned;  /* the owner's interpreter is gone, or it cannot put anything back */
    bool overridden; /* ... and somebody has the key by now */
    bool left;       /* the owner will not ask again */
    bool computed;   /* the key is new: its value, once there, is the newest */
};

/* A claim of the calling thread, of interpreter `interp`, that has no key yet; NULL without memory. ot_claim_free frees it as
 * long as it has no key. */
ot_claim_t *ot_claim_new(ot_map_t *map, int64_t interp);
void ot_claim_free(ot_claim_t *claim);

/* Takes the key, if its word is still `expected`; the word is the caller's then. To others the key
 * is OUT (they wait for it) or PENDING (it is not there any more). Within a guard. */
bool ot_claim_take(ot_claim_t *claim, ot_entry_t *entry, ot_word_t expected, bool pending);

/* Takes the newest key that nobody has claimed: to others it is PENDING, and its word is the caller's. NULL: all keys are
 * claimed, of which *claimed is one that is checked out; or the map is empty, and *claimed is NULL. Within a guard. */
ot_entry_t *ot_claim_take_newest(ot_claim_t *claim, ot_word_t *word, ot_entry_t **claimed);

/* Inserts an entry whose value the claim's owner will compute; to others it is PENDING. Returns what ot_map_insert does. Within
 * a guard. */
ot_entry_t *ot_claim_insert(ot_claim_t *claim, ot_entry_t *entry);

/* Puts `word` there, or removes the key (GONE; room must be reserved), and wakes who waits. False: the
 * claim was overridden, and the word is still the caller's. The claim is gone. Within a guard. */
bool ot_claim_settle(ot_claim_t *claim, ot_word_t word);

/* Gives up a claim whose owner has nothing to put back: others find the key abandoned. The claim is the map's from now on. */
void ot_claim_abandon(ot_claim_t *claim);

/* At the end of an interpreter: all of its claims are abandoned, and who waits for their keys is woken. */
void ot_map_abandon(ot_map_t *map, int64_t interp);

/* Replaces `claimed`, the word of an abandoned claim, by a value, or by GONE (room must be reserved). False: the claim is not
 * abandoned, or the entry has another word by now. Within a guard. */
bool ot_map_override(ot_map_t *map, ot_entry_t *entry, ot_word_t claimed, ot_word_t word);

/* Whether the claim whose word was found in the entry is abandoned. Within a guard. */
bool ot_map_is_abandoned(ot_map_t *map, const ot_entry_t *entry, ot_word_t claimed);

typedef enum {
    OT_CLAIM_MINE = -3, /* the calling thread has it: it would wait for ever */
    OT_CLAIM_ABANDONED = -2,
    OT_CLAIM_INTERRUPTED = -1,
    OT_CLAIM_TIMEOUT = 0,
    OT_CLAIM_FREE = 1, /* nobody had the key at that moment: try again */
} ot_claim_result_t;

/* Waits until the key is not claimed. Not within a guard, and holding no GIL unless the deadline is
 * OT_DONT_WAIT. */
ot_claim_result_t ot_map_await(ot_map_t *map, const ot_mapkey_t *key,
                               const ot_patience_t *patience);

/* ---- for the files of the map ------------------------------------------------------------------ */

ot_shard_t *ot_map_shard_of(ot_map_t *map, const ot_entry_t *entry);

/* ot_map_insert without growing; ot_map_remove without shrinking: before ot_shard_fit. */
ot_entry_t *ot_map_link(ot_map_t *map, ot_entry_t *entry);
bool ot_map_unlink(ot_map_t *map, ot_entry_t *entry, ot_word_t expected);

/* Puts a PENDING word in the place of a value, as one step with the number of entries. False: the word is not
 * `expected` any more. */
bool ot_map_withdraw(ot_map_t *map, ot_entry_t *entry, ot_word_t expected, ot_word_t pending);

/* ot_claim_take_newest's work, under map->guard: claims neither come nor go meanwhile. */
ot_entry_t *ot_map_withdraw_newest(ot_map_t *map, ot_word_t pending, ot_word_t *word,
                                   ot_entry_t **claimed);

/* Puts a word in the place of a PENDING one, as one step with the number of entries. as_newest: the key counts as having
 * come now. */
void ot_map_complete(ot_map_t *map, ot_entry_t *entry, ot_word_t word, bool as_newest);

/* ---- map_table.c: a shard's list and its entrances ---- */

extern ot_link_t ot_map_sentinel;

/* What is looked for in the list. */
typedef struct {
    uint64_t order;
    const ot_link_t *link; /* this one, or ... */
    const ot_entry_t
        *like; /* ... an entry with this one's key, or (both NULL) the place for a link */
} ot_sought_t;

void ot_shard_init(ot_shard_t *shard, unsigned number);
void ot_shard_free_table(ot_shard_t *shard);
void ot_shard_lock(ot_shard_t *shard);
void ot_shard_unlock(ot_shard_t *shard);

/* Takes the lock. The link before what is sought; or, if that is not there, after which it would be
 * linked. However long the list is, the lock is held for a few steps in it. Within a guard. */
ot_link_t *ot_shard_lock_before(ot_shard_t *shard, const ot_sought_t *what);

/* After a link, and the next one away. */
void ot_link_in_locked(ot_link_t *after, ot_link_t *link);
void ot_link_out_locked(ot_link_t *before);

/* The last link that comes before all of that order. Within a guard, without the lock. */
ot_link_t *ot_shard_before(const ot_shard_t *shard, uint64_t order);

/* Brings the next few of a grown table's entrances into the list; false: without the lock, please. */
bool ot_shard_sweep_locked(ot_shard_t *shard);
void ot_shard_sweep(ot_shard_t *shard);

/* Sees that the table is neither too small nor too large, as far as memory allows. Within a guard,
 * without locks. */
void ot_shard_fit(ot_shard_t *shard);

/* map_check.c: does nothing where OT_CHECKS is off. */
#ifdef OT_CHECKS
void ot_shard_check_locked(ot_shard_t *shard);
#else
static inline void
ot_shard_check_locked(ot_shard_t *shard)
{
    (void)shard;
}
#endif

/* map_claim.c's part of fork(). */
void ot_claims_fork(ot_map_t *map, ot_fork_stage_t stage);

#endif
