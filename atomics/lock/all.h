/* all.h: every lock, and a list of them: OT_LK_EACH(M) expands M(name, text) for each. PyMutex is
 * among them if Python.h was included before. */
#ifndef OT_ATOMICS_LOCK_ALL_H
#define OT_ATOMICS_LOCK_ALL_H

#include "atomics/lock/inc2006.h"
#include "atomics/lock/pthread.h"
#include "atomics/lock/ticket.h"
#include "atomics/lock/ttas.h"

#ifdef PY_VERSION_HEX
#include "atomics/lock/pymutex.h"
#define OT_LK_PYMUTEX(M) M(pymutex, "CPython's PyMutex")
#else
#define OT_LK_PYMUTEX(M)
#endif

#define OT_LK_EACH(M)                                                                              \
    M(inc2006, "LOCK INC; if not 1: LOCK DEC, yield, retry (2006)")                                \
    M(ttas, "test-and-test-and-set with backoff")                                                  \
    M(ticket, "ticket: first come, first served")                                                  \
    M(pthread, "pthread_mutex_t")                                                                  \
    OT_LK_PYMUTEX(M)

#endif
