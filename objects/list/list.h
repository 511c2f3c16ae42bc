/* list.h: a list of counted things for all interpreters, without Python.
 *
 * Purpose: LockingList's array. What it holds is known here by its refcount only (ot_value_t begins
 * with one), so that this file is checked without Python.
 * Invariant: items[0..len) hold a reference each; len <= cap; items is NULL iff cap == 0.
 * Threading: any thread. Functions that end in _locked are called between ot_lock_brief_begin and
 * ot_lock_brief_end of the list's lock: they move pointers and allocate, nothing else. So nobody ever
 * waits for one who runs Python code but by the lock itself, which users may hold (`locked()`).
 *
 * Shared rules: nothing is dropped here: what goes out of the list goes, with its references, to the
 * caller, who drops it without the lock. False: no memory, and nothing has changed.
 */
#ifndef OT_OBJECTS_LIST_H
#define OT_OBJECTS_LIST_H

#include "objects/sync/sync.h"

/* Invariant: items is malloc's, NULL if len is 0. */
typedef struct {
    ot_ref_t **items;
    size_t len;
} ot_items_t;

typedef struct ot_list {
    ot_shared_t head;
    ot_lock_t *lock;              /* a reference, never changes; guards what follows */
    void (*drop)(ot_ref_t *item); /* never changes; needs no Python */
    ot_ref_t **items;
    size_t len, cap;
    uint64_t version;       /* goes up with each change */
    struct ot_list *doomed; /* next to be freed */
} ot_list_t;

/* Aborts if the invariant does not hold. Every change ends with it where OT_CHECKS is on. */
void ot_list_check_locked(const ot_list_t *list);

extern const ot_shared_kind_t ot_list_kind;

/* An empty list; NULL without memory. */
ot_list_t *ot_list_new(void (*drop)(ot_ref_t *item));

/* items[start..start+n) are replaced by those of `in`, whose references are taken over (in->items
 * stays the caller's); what was there is in *out. */
bool ot_list_splice_locked(ot_list_t *list, size_t start, size_t n, const ot_items_t *in,
                           ot_items_t *out);

/* Takes out n > 0 items: start, start + step, ...; step > 0. */
bool ot_list_remove_stepped_locked(ot_list_t *list, size_t start, size_t step, size_t n,
                                   ot_items_t *out);

/* Exchanges n > 0 items, start, start + step, ..., for those of `in`, whose len is n. Cannot fail. */
void ot_list_exchange_stepped_locked(ot_list_t *list, size_t start, ptrdiff_t step, ot_items_t *in);

/* New references to n items. */
bool ot_list_copy_locked(ot_list_t *list, size_t start, ptrdiff_t step, size_t n, ot_items_t *out);

/* The items times n; n > 0. */
bool ot_list_repeat_locked(ot_list_t *list, size_t n);

void ot_list_reverse_locked(ot_list_t *list);

/* items[i] becomes what items[order[i]] was. order is a permutation of 0..len-1; is destroyed. */
void ot_list_permute_locked(ot_list_t *list, size_t *order);

#endif
