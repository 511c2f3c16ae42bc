/* pymutex.h: CPython's PyMutex (3.13 and later: one byte and a parking lot), as a baseline.
 *
 * The one header of atomics/ that wants Python: include <Python.h> first, link libpython. Without
 * an attached thread state PyMutex_Lock just waits, so threads need none to use this.
 */
#ifndef OT_ATOMICS_LOCK_PYMUTEX_H
#define OT_ATOMICS_LOCK_PYMUTEX_H

#ifndef PY_VERSION_HEX
#error "include Python.h before atomics/lock/pymutex.h"
#endif

#include "atomics/lock/contract.h"

typedef PyMutex ot_lk_pymutex_t;

static inline void
ot_lk_pymutex_init(ot_lk_pymutex_t *lk)
{
    *lk = (PyMutex){0};
}

static inline void
ot_lk_pymutex_lock(ot_lk_pymutex_t *lk)
{
    PyMutex_Lock(lk);
}

static inline void
ot_lk_pymutex_unlock(ot_lk_pymutex_t *lk)
{
    PyMutex_Unlock(lk);
}

OT_LK_NOTHING_TO_DESTROY(pymutex)

#endif
