/* pile.h: nodes that any thread puts on a pile, and that whoever comes next takes all at once.
 *
 * For what cannot be freed where its last reference is dropped: in a thread without a thread state, or in an
 * interpreter that ends. Without a lock, so that no fork() finds one taken.
 * Threading: any thread, any interpreter or none. No Python.
 */
#ifndef OT_RUNTIME_PILE_H
#define OT_RUNTIME_PILE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

/* A member of what lies on a pile. */
typedef struct ot_piled {
    struct ot_piled *next;
} ot_piled_t;

typedef struct {
    ot_piled_t *_Atomic top;
} ot_pile_t;

static inline void
ot_pile_put(ot_pile_t *pile, ot_piled_t *node)
{
    node->next = atomic_load_explicit(&pile->top, memory_order_relaxed);
    /* release: pairs with ot_pile_take, whose caller reads what the node is part of */
    while (!atomic_compare_exchange_weak_explicit(&pile->top, &node->next, node,
                                                  memory_order_release, memory_order_relaxed)) {
    }
}

static inline bool
ot_pile_is_empty(ot_pile_t *pile)
{
    return atomic_load_explicit(&pile->top, memory_order_relaxed) == NULL;
}

/* All nodes, the one that was put last first. NULL: there are none. */
static inline ot_piled_t *
ot_pile_take(ot_pile_t *pile)
{
    return ot_pile_is_empty(pile)
               ? NULL
               : atomic_exchange_explicit(&pile->top, NULL, memory_order_acquire);
}

#endif
