/* ptrmap.h: open-addressing map from an object's address to a small number.
 *
 * Invariant: cap is 0 or a power of two, len <= cap / 2; a slot with key NULL is free; nothing is
 * ever removed. The map never touches the objects.
 * Threading: the owner's. Memory from the raw allocator.
 */
#ifndef OT_TUNNEL_PTRMAP_H
#define OT_TUNNEL_PTRMAP_H

#include "runtime/checks.h"
#include "runtime/cpython/version.h"

typedef struct {
    const void *key;
    uint32_t value;
} ot_ptrmap_slot_t;

typedef struct {
    ot_ptrmap_slot_t *slots;
    size_t len, cap;
} ot_ptrmap_t;

/* Blocks are 16-aligned; multiply so that neighbours spread over the table. */
static inline size_t
ot_ptrmap_hash(const void *key)
{
    return (size_t)(((uintptr_t)key >> 4) * UINT64_C(0x9E3779B97F4A7C15) >> 20);
}

static inline ot_ptrmap_slot_t *
ot_ptrmap_slot(const ot_ptrmap_t *m, const void *key)
{
    size_t i = ot_ptrmap_hash(key) & (m->cap - 1);
    while (m->slots[i].key != NULL && m->slots[i].key != key) {
        i = (i + 1) & (m->cap - 1);
    }
    return &m->slots[i];
}

/* Borrowed pointer to the value, NULL if absent; good until the next add. */
static inline uint32_t *
ot_ptrmap_get(const ot_ptrmap_t *m, const void *key)
{
    if (m->cap == 0) {
        return NULL;
    }
    ot_ptrmap_slot_t *slot = ot_ptrmap_slot(m, key);
    return slot->key == NULL ? NULL : &slot->value;
}

static inline void
ot_ptrmap_prefetch(const ot_ptrmap_t *m, const void *key)
{
    __builtin_prefetch(&m->slots[ot_ptrmap_hash(key) & (m->cap - 1)], 1);
}

static inline int
ot_ptrmap_resize(ot_ptrmap_t *m, size_t cap)
{
    ot_ptrmap_t bigger = {.len = m->len, .cap = cap};
    bigger.slots = PyMem_RawCalloc(bigger.cap, sizeof *bigger.slots);
    if (bigger.slots == NULL) {
        return -1;
    }
    for (size_t i = 0; i < m->cap; i++) {
        if (m->slots[i].key != NULL) {
            *ot_ptrmap_slot(&bigger, m->slots[i].key) = m->slots[i];
        }
    }
    PyMem_RawFree(m->slots);
    *m = bigger;
    return 0;
}

/* Makes room for n keys in all. 0, or -1 without an exception. */
static inline int
ot_ptrmap_reserve(ot_ptrmap_t *m, size_t n)
{
    size_t cap = m->cap ? m->cap : 16;
    while (cap / 2 <= n) {
        cap *= 2;
    }
    return cap == m->cap ? 0 : ot_ptrmap_resize(m, cap);
}

/* Adds a key that is absent. 0, or -1 without an exception. */
static inline int
ot_ptrmap_add(ot_ptrmap_t *m, const void *key, uint32_t value)
{
    if (m->len * 2 >= m->cap && ot_ptrmap_resize(m, m->cap ? m->cap * 2 : 16) < 0) {
        return -1;
    }
    *ot_ptrmap_slot(m, key) = (ot_ptrmap_slot_t){key, value};
    m->len++;
    return 0;
}

/* Aborts if the invariant does not hold, or a key would not be found. */
static inline void
ot_ptrmap_check(const ot_ptrmap_t *m)
{
    size_t taken = 0;
    OT_MUST((m->slots == NULL) == (m->cap == 0) && (m->cap & (m->cap - 1)) == 0);
    OT_MUST(m->len <= m->cap / 2);
    for (size_t i = 0; i < m->cap; i++) {
        taken += m->slots[i].key != NULL;
        OT_MUST(m->slots[i].key == NULL || ot_ptrmap_slot(m, m->slots[i].key) == &m->slots[i]);
    }
    OT_MUST(taken == m->len);
}

static inline void
ot_ptrmap_free(ot_ptrmap_t *m)
{
    PyMem_RawFree(m->slots);
    *m = (ot_ptrmap_t){0};
}

/* Empties the map; keeps its memory if that is not more than `most` slots. */
static inline void
ot_ptrmap_clear(ot_ptrmap_t *m, size_t most)
{
    if (m->cap > most) {
        ot_ptrmap_free(m);
    } else if (m->len > 0) {
        memset(m->slots, 0, m->cap * sizeof *m->slots);
        m->len = 0;
    }
}

#endif
