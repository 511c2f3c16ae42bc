/* urcu.c: cds_lfht of liburcu, with its default flavour of RCU (readers: a load and two stores to a
 * line of their own; writers use membarrier). */
#include "tables.h"

#include <stdlib.h>
#include <string.h>
#include <urcu.h>
#include <urcu/rculfhash.h>

#include "loops.h"

typedef struct {
    struct cds_lfht_node link;
    const bench_key_t *key;
    uintptr_t value;
} node_t;

static int
match(struct cds_lfht_node *link, const void *key)
{
    const bench_key_t *a = caa_container_of(link, node_t, link)->key, *b = key;
    return a->len == b->len && memcmp(a->bytes, b->bytes, a->len) == 0;
}

static void *
make(size_t n)
{
    size_t buckets = 64;
    while (buckets < n) {
        buckets *= 2;
    }
    /* As large as it is to be: it would grow in a thread of its own, which comes too late. */
    rcu_register_thread();
    struct cds_lfht *table = cds_lfht_new(buckets, 64, 0, CDS_LFHT_ACCOUNTING, NULL);
    rcu_unregister_thread();
    return table;
}

static bool
put(void *table, const bench_key_t *key, uintptr_t value)
{
    node_t *node = malloc(sizeof(*node));
    if (node == NULL) {
        return false;
    }
    *node = (node_t){.key = key, .value = value};
    cds_lfht_node_init(&node->link);
    rcu_read_lock();
    cds_lfht_add(table, key->hash, &node->link);
    rcu_read_unlock();
    return true;
}

static void
destroy(void *table)
{
    rcu_register_thread();
    struct cds_lfht_iter at;
    cds_lfht_first(table, &at);
    for (struct cds_lfht_node *link; (link = cds_lfht_iter_get_node(&at)) != NULL;) {
        cds_lfht_next(table, &at);
        rcu_read_lock();
        cds_lfht_del(table, link);
        rcu_read_unlock();
        free(caa_container_of(link, node_t, link)); /* nobody else is left */
    }
    rcu_unregister_thread();
    cds_lfht_destroy(table, NULL);
}

static void
enter(void)
{
    rcu_register_thread();
}

static void
leave(void)
{
    rcu_unregister_thread();
}

static inline uintptr_t
look_up(void *table, const bench_key_t *key)
{
    struct cds_lfht_iter at;
    rcu_read_lock();
    cds_lfht_lookup(table, key->hash, match, key, &at);
    const struct cds_lfht_node *link = cds_lfht_iter_get_node(&at);
    uintptr_t found = link == NULL ? 0 : uatomic_read(&caa_container_of(link, node_t, link)->value);
    rcu_read_unlock();
    return found;
}

static inline void
replace(void *table, const bench_key_t *key, uintptr_t value)
{
    struct cds_lfht_iter at;
    rcu_read_lock();
    cds_lfht_lookup(table, key->hash, match, key, &at);
    struct cds_lfht_node *link = cds_lfht_iter_get_node(&at);
    if (link != NULL) {
        uatomic_xchg(&caa_container_of(link, node_t, link)->value, value);
    }
    rcu_read_unlock();
}

BENCH_TABLE_LOOPS

const bench_table_t bench_table = {
    make, put, destroy, enter, leave, bench_read, bench_mix,
};
