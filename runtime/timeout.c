/* timeout.c: see timeout.h. */
#include "runtime/timeout.h"

#include <math.h>

#include "runtime/clock.h"

int
ot_seconds_from(PyObject *timeout, double *seconds)
{
    *seconds = PyFloat_AsDouble(timeout);
    if (*seconds == -1.0 && PyErr_Occurred()) {
        return -1;
    }
    if (isnan(*seconds)) {
        PyErr_SetString(PyExc_ValueError, "timeout must be a number of seconds");
        return -1;
    }
    return 0;
}

int64_t
ot_deadline_in(double seconds)
{
    const double longest = 9e9; /* what fits into nanoseconds */
    if (seconds <= 0) {
        return OT_DONT_WAIT;
    }
    return seconds < longest ? ot_clock_now() + (int64_t)(seconds * 1e9) : OT_FOREVER;
}

int
ot_deadline_from(PyObject *timeout, ot_negative_t negative, int64_t *deadline)
{
    double seconds;
    *deadline = OT_FOREVER;
    if (timeout == NULL || timeout == Py_None) {
        return 0;
    }
    if (ot_seconds_from(timeout, &seconds) < 0) {
        return -1;
    }
    if (seconds < 0 && negative == OT_NEGATIVE_REFUSED) {
        PyErr_SetString(PyExc_ValueError, "timeout must be a number of seconds, 0 or more");
        return -1;
    }
    *deadline = ot_deadline_in(seconds);
    return 0;
}
