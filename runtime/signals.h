/* signals.h: a signal that came just before the main thread went to sleep.
 *
 * CPython's handler only takes note of a signal. One that comes between a thread's last look at that note and
 * its sleep does not end the sleep, so the main thread, which has to see to signals, looks again after a while.
 */
#ifndef OT_RUNTIME_SIGNALS_H
#define OT_RUNTIME_SIGNALS_H

#include "runtime/park.h"

/* For ot_park_on_long_sleep. Any thread, without a GIL; only Python's main thread is to be asked again. */
ot_long_sleep_t ot_signals_after_long_sleep(void);

#endif
