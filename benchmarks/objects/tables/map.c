/* map.c: LockingDict's table. */
#include "objects/dict/map.h"

#include "loops.h"
#include "tables.h"

enum { TAG = 1 }; /* of keys; any */

static ot_mapkey_t
to_key(const bench_key_t *key)
{
    return (ot_mapkey_t){
        .hash = key->hash, .meta = ot_key_meta(key->len, TAG), .bytes = key->bytes};
}

static void
drop(ot_word_t word)
{
    (void)word; /* numbers */
}

static void *
make(size_t n)
{
    (void)n; /* it grows */
    return ot_map_new(drop);
}

static bool
put(void *table, const bench_key_t *key, uintptr_t value)
{
    ot_mapkey_t k = to_key(key);
    ot_entry_t *entry = ot_entry_new(&k, ot_word_of_int((int64_t)value));
    if (entry == NULL || !ot_epoch_enter()) {
        return false;
    }
    ot_map_insert(table, entry);
    ot_epoch_leave();
    return true;
}

static void
unref(void *table)
{
    ot_shared_unref(&((ot_map_t *)table)->head);
}

static void
nothing(void)
{
}

static inline uintptr_t
look_up(void *table, const bench_key_t *key)
{
    ot_mapkey_t k = to_key(key);
    ot_epoch_enter();
    const ot_entry_t *entry = ot_map_find(table, &k);
    uintptr_t found = entry == NULL ? 0 : (uintptr_t)ot_word_int(ot_entry_load(entry));
    ot_epoch_leave();
    return found;
}

static inline void
replace(void *table, const bench_key_t *key, uintptr_t value)
{
    ot_mapkey_t k = to_key(key);
    ot_epoch_enter();
    ot_entry_t *entry = ot_map_find(table, &k);
    if (entry != NULL) {
        ot_word_t now = ot_entry_load(entry);
        while (!ot_entry_replace(entry, &now, ot_word_of_int((int64_t)value))) {
        }
    }
    ot_epoch_leave();
}

BENCH_TABLE_LOOPS

const bench_table_t bench_table = {
    make, put, unref, nothing, nothing, bench_read, bench_mix,
};
