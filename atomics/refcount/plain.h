/* plain.h: a count that one thread at a time uses: CPython's under the GIL.
 *
 * Order: none. Cost: a load, an add, a store; one to five cycles if repeated on one object, as the
 * processor forwards the store to the next load or not; next to nothing in between other work.
 * Wrong when: two threads use it at once. Increments get lost, zero is reached early (use after
 * free) or never (leak). The benchmark shares it all the same, marked as wrong. Even so it is no
 * floor for moving a line: stores wait in the store buffer, so most ops never wait for the line.
 */
#ifndef OT_ATOMICS_REFCOUNT_PLAIN_H
#define OT_ATOMICS_REFCOUNT_PLAIN_H

#include "atomics/refcount/contract.h"

typedef struct {
    long count;
} ot_rc_plain_t;

static inline void
ot_rc_plain_init(ot_rc_plain_t *rc)
{
    rc->count = 1;
}

static inline void
ot_rc_plain_inc(ot_rc_plain_t *rc)
{
    rc->count++;
}

static inline bool
ot_rc_plain_dec(ot_rc_plain_t *rc)
{
    return --rc->count == 0;
}

static inline long
ot_rc_plain_get(ot_rc_plain_t *rc)
{
    return rc->count;
}

OT_RC_DROP_IS_DEC(plain)
OT_RC_SETTLES_AT_ONCE(plain)

#endif
