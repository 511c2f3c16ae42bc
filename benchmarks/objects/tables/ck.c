/* ck.c: ck_ht of Concurrency Kit. It allows one writer at a time, so writers take a spin lock of its
 * own; its memory is never given back while it is read, so readers need nothing. */
#include "tables.h"

#include <ck_ht.h>
#include <ck_spinlock.h>
#include <stdlib.h>

#include "loops.h"

typedef struct {
    ck_ht_t ht;
    ck_spinlock_t writer;
} ck_table_t;

static void *
allocate(size_t n)
{
    return malloc(n);
}

/* Deferred: readers may still look at it. Growing happens only while the table is filled. */
static void
release(void *p, size_t n, bool defer)
{
    (void)n;
    (void)defer;
    free(p);
}

static struct ck_malloc memory = {.malloc = allocate, .free = release};

static void *
make(size_t n)
{
    (void)n;
    ck_table_t *table = malloc(sizeof(*table));
    if (table != NULL) {
        ck_spinlock_init(&table->writer);
        if (!ck_ht_init(&table->ht, CK_HT_MODE_BYTESTRING, NULL, &memory, 64, 1)) {
            free(table);
            return NULL;
        }
    }
    return table;
}

static bool
put(void *table, const bench_key_t *key, uintptr_t value)
{
    ck_table_t *self = table;
    ck_ht_hash_t hash = {key->hash};
    ck_ht_entry_t entry;
    ck_ht_entry_set(&entry, hash, key->bytes, (uint16_t)key->len, (void *)value);
    return ck_ht_put_spmc(&self->ht, hash, &entry);
}

static void
destroy(void *table)
{
    ck_ht_destroy(&((ck_table_t *)table)->ht);
    free(table);
}

static void
nothing(void)
{
}

static inline uintptr_t
look_up(void *table, const bench_key_t *key)
{
    ck_table_t *self = table;
    ck_ht_hash_t hash = {key->hash};
    ck_ht_entry_t entry;
    ck_ht_entry_key_set(&entry, key->bytes, (uint16_t)key->len);
    return ck_ht_get_spmc(&self->ht, hash, &entry) ? (uintptr_t)ck_ht_entry_value(&entry) : 0;
}

static inline void
replace(void *table, const bench_key_t *key, uintptr_t value)
{
    ck_table_t *self = table;
    ck_ht_hash_t hash = {key->hash};
    ck_ht_entry_t entry;
    ck_ht_entry_set(&entry, hash, key->bytes, (uint16_t)key->len, (void *)value);
    ck_spinlock_lock(&self->writer);
    ck_ht_set_spmc(&self->ht, hash, &entry);
    ck_spinlock_unlock(&self->writer);
}

BENCH_TABLE_LOOPS

const bench_table_t bench_table = {
    make, put, destroy, nothing, nothing, bench_read, bench_mix,
};
