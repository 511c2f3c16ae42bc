/* map_check.c: the invariants of map.h as code.
 *
 * Main invariant: looks only. Words that are values or OUT may be exchanged by others under our locks:
 * whether an entry is there does not change.
 * Threading: a shard's lock, and for the claims the map's guard.
 */
#include "objects/dict/map.h"

/* Small shards are checked each time, large ones now and then. */
enum { SMALL = 24, EACH = 512 };

static void
check_table_locked(const ot_shard_t *s)
{
    size_t used = atomic_load(&s->mask) + 1, room = atomic_load(&s->room);
    size_t linked = atomic_load(&s->linked);
    OT_MUST(used >= OT_MAP_FIRST && (used & (used - 1)) == 0);
    OT_MUST(room == used || room == 2 * used);
    OT_MUST(linked >= 1 && linked <= room);
    OT_MUST(atomic_load(&s->version) % 2 == 1);
}

static void
check_entrance_locked(const ot_shard_t *s, const ot_link_t *link)
{
    size_t number = ot_map_reversed(link->order);
    OT_MUST(number < atomic_load(&s->linked));
    OT_MUST(ot_map_entrance(s, number) == link);
}

/* Keys of one order: each with those behind it, of which there are few unless a test wants many. */
static void
check_entry_locked(const ot_shard_t *s, const ot_entry_t *e)
{
    OT_MUST(e->node.order == ot_map_order(e->hash));
    OT_MUST(ot_map_shard_number(e->hash) == s->number);
    OT_MUST(ot_entry_load(e) != OT_WORD_GONE);
    OT_MUST(e->newer != NULL ? e->newer->older == e : s->newest == e);
    OT_MUST(e->older == NULL ||
            (e->older->newer == e && atomic_load(&e->older->seq) < atomic_load(&e->seq)));
    const ot_link_t *other = ot_map_next_link(&e->node);
    for (int i = 0; i < SMALL && other->order == e->node.order; i++) {
        const ot_entry_t *o = ot_map_entry_of(other);
        OT_MUST(!ot_entry_has_key(o, e->hash, e->meta, e->bytes));
        other = ot_map_next_link(other);
    }
}

static void
check_shard_locked(const ot_shard_t *s)
{
    size_t entrances = 0, entries = 0, live = 0, chained = 0;
    check_table_locked(s);
    const ot_link_t *link = &s->first[0];
    OT_MUST(link->order == 0);
    for (const ot_link_t *next; link != &ot_map_sentinel; link = next) {
        next = ot_map_next_link(link);
        OT_MUST(next != NULL && link->order <= next->order);
        if (link->order % 2 == 0) {
            OT_MUST(link->order < next->order);
            check_entrance_locked(s, link);
            entrances++;
        } else {
            check_entry_locked(s, ot_map_entry_of(link));
            live += ot_word_is_there(ot_entry_load(ot_map_entry_of(link)));
            entries++;
        }
    }
    for (const ot_entry_t *e = s->newest; e != NULL; e = e->older) {
        chained++;
    }
    OT_MUST(entrances == atomic_load(&s->linked));
    OT_MUST(live == atomic_load(&s->live));
    OT_MUST(chained == entries);
}

static void
check_claims_locked(const ot_map_t *map)
{
    const ot_claim_t *before = NULL;
    for (const ot_claim_t *c = map->claims; c != NULL; before = c, c = c->next) {
        ot_word_t word = ot_entry_load(c->entry);
        OT_MUST(c->map == map && c->prev == before && !c->overridden);
        OT_MUST(ot_word_is_claim(word) && (word & ~(ot_word_t)OT_WORD_TAGS) == (ot_word_t)c);
        OT_MUST(!c->left || c->abandoned);
    }
}

void
ot_map_check(ot_map_t *map)
{
    pthread_mutex_lock(&map->guard);
    check_claims_locked(map);
    for (int i = 0; i < OT_MAP_SHARDS; i++) {
        ot_shard_t *s = &map->shards[i];
        ot_shard_lock(s);
        check_shard_locked(s);
        ot_shard_unlock(s);
    }
    pthread_mutex_unlock(&map->guard);
}

#ifdef OT_CHECKS
void
ot_shard_check_locked(ot_shard_t *s)
{
    check_table_locked(s);
    if (atomic_load(&s->linked) + atomic_load(&s->live) < 2 * SMALL ||
        atomic_load(&s->version) / 2 % EACH == 0) {
        check_shard_locked(s);
    }
}
#endif
