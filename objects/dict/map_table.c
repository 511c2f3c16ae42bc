/* map_table.c: a shard's list and the table of its entrances (see map.h).
 *
 * Main invariants: those of ot_shard_t about its list; a link that has left the list has the next
 * pointer that it left with, for ever, and does not come back.
 * Threading: the list is changed under the shard's lock, and read without. Under the lock nobody takes
 * more than STEPS steps in it: who has further to go looks for the place without the lock, and begins
 * there if it is still in the list. That fails only if others have got on meanwhile.
 */
#include <malloc.h>
#include <stdlib.h>

#include "objects/dict/map.h"

enum {
    STEPS =
        32,    /* in the list, at most, under the lock; keys lie 2 behind an entrance, on average */
    SWEEP = 2, /* entrances that an insertion brings into the list */
    BATCH = 32,    /* entrances that leave the list under one lock */
    TRIM = 1 << 19 /* bytes of segments; four times as many of entries go with them, or more */
};

/* Ends every list, as an entrance would; no entry has a greater order. Nobody looks behind it. */
ot_link_t ot_map_sentinel = {NULL, UINT64_MAX - 1};

/* ---- the lock --------------------------------------------------------------------------------- */

void
ot_shard_lock(ot_shard_t *s)
{
    ot_lk_ttas_lock(&s->lock);
    atomic_store_explicit(&s->version, atomic_load_explicit(&s->version, memory_order_relaxed) + 1,
                          memory_order_relaxed);
}

void
ot_shard_unlock(ot_shard_t *s)
{
    atomic_store_explicit(&s->version, atomic_load_explicit(&s->version, memory_order_relaxed) + 1,
                          memory_order_release);
    ot_lk_ttas_unlock(&s->lock);
}

static inline size_t
now(const atomic_size_t *n)
{
    return atomic_load_explicit(n, memory_order_relaxed);
}

static inline void
set(atomic_size_t *n, size_t value)
{
    atomic_store_explicit(n, value, memory_order_relaxed);
}

/* ---- places ----------------------------------------------------------------------------------- */

/* All that an entrance leads to comes behind the one without its highest bit as well. */
static inline size_t
parent(size_t number)
{
    return number ^ ((size_t)1 << (63 - __builtin_clzll(number)));
}

/* The last entrance before that order, of those in the list. */
static ot_link_t *
entrance_before(const ot_shard_t *s, uint64_t order)
{
    size_t number = ot_map_reversed(order) & atomic_load_explicit(&s->mask, memory_order_acquire);
    ot_link_t *node;
    while (ot_map_next_link(node = ot_map_entrance(s, number)) == NULL) {
        number = parent(number);
    }
    return node;
}

static inline bool
is_it(const ot_sought_t *what, const ot_link_t *node)
{
    const ot_entry_t *like = what->like;
    return like == NULL
               ? node == what->link
               : node->order == what->order &&
                     ot_entry_has_key(ot_map_entry_of(node), like->hash, like->meta, like->bytes);
}

/* The link before what is sought, or the last one whose order is not greater; NULL: it is more steps away. */
static ot_link_t *
walk(ot_link_t *from, const ot_sought_t *what, size_t steps)
{
    for (;;) {
        ot_link_t *next = ot_map_next_link(from);
        if (next->order > what->order || is_it(what, next)) {
            return from;
        }
        if (steps-- == 0) {
            return NULL;
        }
        from = next;
    }
}

/* Whether a link that was in the list since our guard began is in it now. */
static bool
is_in_list_locked(const ot_shard_t *s, const ot_link_t *link)
{
    if (link->order % 2 == 1) {
        return ot_entry_load(ot_map_entry_of(link)) != OT_WORD_GONE;
    }
    size_t number = ot_map_reversed(link->order);
    return number < now(&s->linked) && ot_map_entrance(s, number) == link;
}

static ot_link_t *
place_locked(const ot_shard_t *s, const ot_sought_t *what, ot_link_t *hint)
{
    bool good = hint != NULL && is_in_list_locked(s, hint);
    return walk(good ? hint : entrance_before(s, what->order), what, STEPS);
}

/* A hint is as good as a walk from the entrance. Were the place, or an entry like the one sought,
 * before the hint now, then it was there before the hint was linked (new entries come last among
 * those of one order), so it was there when our walk came by. */
ot_link_t *
ot_shard_lock_before(ot_shard_t *s, const ot_sought_t *what)
{
    for (ot_link_t *hint = NULL;;) {
        ot_shard_lock(s);
        ot_link_t *before = place_locked(s, what, hint);
        if (before != NULL) {
            return before;
        }
        ot_shard_unlock(s);
        hint = walk(entrance_before(s, what->order), what, SIZE_MAX);
    }
}

ot_link_t *
ot_shard_before(const ot_shard_t *s, uint64_t order)
{
    return walk(entrance_before(s, order), &(ot_sought_t){.order = order - 1}, SIZE_MAX);
}

void
ot_link_in_locked(ot_link_t *after, ot_link_t *link)
{
    atomic_store_explicit(&link->next, ot_map_next_link(after), memory_order_release);
    atomic_store_explicit(&after->next, link, memory_order_release);
}

void
ot_link_out_locked(ot_link_t *before)
{
    const ot_link_t *link = ot_map_next_link(before);
    atomic_store_explicit(&before->next, ot_map_next_link(link), memory_order_release);
}

/* ---- life ------------------------------------------------------------------------------------- */

void
ot_shard_init(ot_shard_t *s, unsigned number)
{
    s->number = number;
    ot_lk_ttas_init(&s->lock);
    atomic_init(&s->mask, OT_MAP_FIRST - 1);
    atomic_init(&s->first[0].next, &ot_map_sentinel);
    atomic_init(&s->linked, 1);
    atomic_init(&s->room, OT_MAP_FIRST);
}

void
ot_shard_free_table(ot_shard_t *s)
{
    for (unsigned k = ot_map_segment_of(now(&s->room) - 1); k > 0; k--) {
        free(atomic_load_explicit(&s->segments[k], memory_order_relaxed));
    }
}

/* ---- growing ---------------------------------------------------------------------------------- */

static bool
wants_sweep(const ot_shard_t *s)
{
    return now(&s->linked) <= now(&s->mask);
}

static void
enter_locked(ot_shard_t *s, ot_link_t *after)
{
    size_t number = now(&s->linked);
    ot_link_t *link = ot_map_entrance(s, number);
    link->order = ot_map_reversed(number);
    ot_link_in_locked(after, link);
    set(&s->linked, number + 1);
}

bool
ot_shard_sweep_locked(ot_shard_t *s)
{
    for (int i = 0; i < SWEEP && wants_sweep(s); i++) {
        ot_sought_t what = {.order = ot_map_reversed(now(&s->linked))};
        ot_link_t *after = place_locked(s, &what, NULL);
        if (after == NULL) {
            return false;
        }
        enter_locked(s, after);
    }
    return true;
}

void
ot_shard_sweep(ot_shard_t *s)
{
    size_t number = now(&s->linked);
    ot_link_t *after = ot_shard_lock_before(s, &(ot_sought_t){.order = ot_map_reversed(number)});
    if (number == now(&s->linked) && wants_sweep(s)) {
        enter_locked(s, after);
    }
    ot_shard_check_locked(s);
    ot_shard_unlock(s);
}

/* Without memory the lists get longer. Release: who has the new mask finds the segment (litmus map_grow). */
static void
grow(ot_shard_t *s)
{
    size_t mask = now(&s->mask);
    unsigned k = ot_map_segment_of(mask + 1);
    ot_link_t *segment = k < OT_MAP_SEGMENTS ? ot_map_calloc(mask + 1, sizeof *segment) : NULL;
    if (segment == NULL) {
        return;
    }
    ot_shard_lock(s);
    bool wanted = now(&s->mask) == mask && now(&s->room) == mask + 1;
    if (wanted) {
        atomic_store_explicit(&s->segments[k], segment, memory_order_release);
        set(&s->room, 2 * (mask + 1));
        atomic_store_explicit(&s->mask, 2 * mask + 1, memory_order_release);
    }
    ot_shard_check_locked(s);
    ot_shard_unlock(s);
    if (!wanted) {
        free(segment);
    }
}

/* ---- shrinking -------------------------------------------------------------------------------- */

static bool
is_full(const ot_shard_t *s)
{
    return now(&s->live) > now(&s->mask);
}

static bool
is_sparse(const ot_shard_t *s)
{
    size_t entrances = now(&s->mask) + 1;
    return entrances > OT_MAP_FIRST && now(&s->live) < entrances / OT_MAP_SPARSE;
}

static bool
is_shrinking(const ot_shard_t *s)
{
    return now(&s->room) != now(&s->mask) + 1;
}

/* What is sought: the last entrance in the list. */
static ot_sought_t
last_entrance(const ot_shard_t *s)
{
    size_t number = now(&s->linked) - 1;
    return (ot_sought_t){.order = ot_map_reversed(number), .link = ot_map_entrance(s, number)};
}

static void
leave_locked(ot_shard_t *s, ot_link_t *before)
{
    ot_link_out_locked(before);
    set(&s->linked, now(&s->linked) - 1);
}

/* Takes one entrance out of the list, however far it is to it. */
static void
leave_slowly(ot_shard_t *s)
{
    ot_sought_t what = last_entrance(s);
    ot_link_t *before = ot_shard_lock_before(s, &what);
    if (what.link == last_entrance(s).link && ot_map_next_link(before) == what.link &&
        now(&s->linked) > now(&s->mask) + 1) {
        leave_locked(s, before);
    }
    ot_shard_check_locked(s);
    ot_shard_unlock(s);
}

/* *far: the next entrance can't be had in a few steps. Returns a segment that is to be retired.
 * To readers the mask is the link that is cut: the segment is retired after it was lowered (litmus map_shrink). */
static ot_link_t *
shrink_a_little_locked(ot_shard_t *s, bool *far)
{
    if (!is_shrinking(s)) {
        if (!is_sparse(s)) {
            return NULL;
        }
        atomic_store_explicit(&s->mask, now(&s->mask) / 2, memory_order_release);
    }
    size_t keep = now(&s->mask) + 1;
    for (int i = 0; i < BATCH && now(&s->linked) > keep; i++) {
        ot_sought_t what = last_entrance(s);
        ot_link_t *before = place_locked(s, &what, NULL);
        if (before == NULL) {
            *far = true;
            return NULL;
        }
        leave_locked(s, before);
    }
    if (now(&s->linked) > keep) {
        return NULL;
    }
    set(&s->room, keep);
    return atomic_load_explicit(&s->segments[ot_map_segment_of(keep)], memory_order_relaxed);
}

/* Segments that went since the C library was last asked to give free pages back to the system. By itself
 * it does so only with those at the end of its heap, where something else lies as a rule. */
static atomic_size_t gone;

/* The entries that a table lost before it shrank were retired, and are freed, before. */
static void
free_segment(void *segment)
{
    size_t size = malloc_usable_size(segment);
    free(segment);
    if (atomic_fetch_add(&gone, size) + size >= TRIM) {
        atomic_store(&gone, 0);
        malloc_trim(0);
    }
}

/* Makes the table as small as it should be; a thread that comes meanwhile helps. A table that was left half shrunk (by a
 * thread that does not exist in a forked child) is shrunk further by the next. Without memory it stays large. */
static void
shrink(ot_shard_t *s)
{
    bool has_room = false;
    while ((is_sparse(s) || is_shrinking(s)) &&
           (has_room || (has_room = ot_epoch_reserve_more(1)))) {
        bool far = false;
        ot_shard_lock(s);
        ot_link_t *segment = shrink_a_little_locked(s, &far);
        ot_shard_check_locked(s);
        ot_shard_unlock(s);
        if (segment != NULL) {
            ot_epoch_retire_large(segment, free_segment);
            has_room = false;
        }
        if (far) {
            leave_slowly(s);
        }
    }
}

void
ot_shard_fit(ot_shard_t *s)
{
    if (is_sparse(s) || is_shrinking(s)) {
        shrink(s);
    }
    if (is_full(s) && !is_shrinking(s)) {
        grow(s);
    }
}
