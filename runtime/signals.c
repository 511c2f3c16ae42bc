/* signals.c: see signals.h. */
#include "runtime/signals.h"

#include "runtime/cpython/interp.h"

ot_long_sleep_t
ot_signals_after_long_sleep(void)
{
    if (!ot_py_is_main_thread()) {
        return OT_LONG_SLEEP_DONE;
    }
    return ot_py_signal_came() ? OT_LONG_SLEEP_INTERRUPTED : OT_LONG_SLEEP_AGAIN;
}
