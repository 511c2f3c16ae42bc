/* all.h: every refcount variant, and a list of them for tests and benchmarks.
 *
 * OT_RC_EACH(M) expands M(name, traits, text) for each variant.
 */
#ifndef OT_ATOMICS_REFCOUNT_ALL_H
#define OT_ATOMICS_REFCOUNT_ALL_H

#include "atomics/refcount/acq_rel.h"
#include "atomics/refcount/biased.h"
#include "atomics/refcount/cas.h"
#include "atomics/refcount/cpython.h"
#include "atomics/refcount/deferred.h"
#include "atomics/refcount/immortal.h"
#include "atomics/refcount/lock.h"
#include "atomics/refcount/plain.h"
#include "atomics/refcount/seq_cst.h"
#include "atomics/refcount/sharded.h"
#include "atomics/refcount/xadd.h"

/* Traits. */
enum { OT_RC_ONE_THREAD = 1 }; /* wrong when two threads use it at once */

#define OT_RC_EACH(M)                                                                              \
    M(plain, OT_RC_ONE_THREAD, "++ and --, no atomics: CPython's under the GIL")                   \
    M(lock, 0, "LOCK INC, LOCK DEC")                                                               \
    M(xadd, 0, "LOCK XADD")                                                                        \
    M(seq_cst, 0, "C11 _Atomic, sequentially consistent")                                          \
    M(acq_rel, 0, "C11: relaxed inc, acquire-release dec")                                         \
    M(cas, 0, "compare-and-swap loop")                                                             \
    M(immortal_plain, OT_RC_ONE_THREAD, "plain, but skips immortal objects (PEP 683)")             \
    M(immortal_lock, 0, "LOCK INC/DEC, but skips immortal objects")                                \
    M(cpython313, OT_RC_ONE_THREAD, "CPython 3.13's: inc of 32 bits, dec of 64")                   \
    M(cpython314, OT_RC_ONE_THREAD, "CPython 3.14's: 32 bits up and down")                         \
    M(biased, 0, "the owner's count plain, the others' atomic (PEP 703)")                          \
    M(sharded, 0, "a counter per thread, added up at the end (percpu_ref)")                        \
    M(deferred, 0, "written down per thread, applied in batches (Gilectomy)")

/* Those with try_inc. */
#define OT_RC_EACH_TRY_INC(M) M(acq_rel) M(cas)

/* Those whose objects can be made immortal and that saturate at 2^31. */
#define OT_RC_EACH_IMMORTAL(M) M(immortal_plain) M(immortal_lock)

/* Those of CPython, with what an immortal object's count is there. */
#define OT_RC_EACH_CPYTHON(M)                                                                      \
    M(cpython313, OT_RC_CPYTHON313_IMMORTAL) M(cpython314, OT_RC_CPYTHON314_IMMORTAL)

#endif
