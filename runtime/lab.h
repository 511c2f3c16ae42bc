/* lab.h: what only the laboratory's builds have (make LAB_PARTS=1): heaps behind the lock of 2006, and
 * send(share='unsafe'). Elsewhere both are refused, by a message that names that build.
 */
#ifndef OT_RUNTIME_LAB_H
#define OT_RUNTIME_LAB_H

#include "runtime/heap_backend.h"

#ifdef OT_LAB

extern const ot_heap_backend_t ot_lab_one_lock, ot_lab_lock_per_class; /* lab/heap/backends.c */
enum { OT_HAS_LAB = 1 };
#define OT_LAB_HEAP_BACKENDS &ot_lab_one_lock, &ot_lab_lock_per_class
#define OT_LAB_HEAP_NAMES ", lockinc or lockinc-classes"

#else

enum { OT_HAS_LAB = 0 };
#define OT_LAB_HEAP_BACKENDS
#define OT_LAB_HEAP_NAMES                                                                          \
    "; lockinc and lockinc-classes are the laboratory's, for builds by `make LAB_PARTS=1`"

#endif

#endif
