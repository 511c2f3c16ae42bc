/* timeout.h: seconds, as Python code gives them, become deadlines on the monotonic clock (clock.h).
 *
 * The only place that does that: what NaN, negative and huge numbers mean is decided here.
 * Threading: an attached thread state.
 */
#ifndef OT_RUNTIME_TIMEOUT_H
#define OT_RUNTIME_TIMEOUT_H

#include "runtime/cpython/version.h"

#include <stdint.h>

/* What a negative number means. */
typedef enum {
    OT_NEGATIVE_REFUSED, /* ValueError */
    OT_NEGATIVE_AT_ONCE, /* as 0: not waiting at all, as in threading */
} ot_negative_t;

/* A number that is not NaN; -1 with TypeError or ValueError set. */
int ot_seconds_from(PyObject *timeout, double *seconds);

/* OT_DONT_WAIT for 0 and less; OT_FOREVER from 285 years on. */
int64_t ot_deadline_in(double seconds);

/* None and NULL: for ever. -1 with TypeError or ValueError set. */
int ot_deadline_from(PyObject *timeout, ot_negative_t negative, int64_t *deadline);

#endif
