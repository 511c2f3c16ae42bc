/* locked.h: the read-modify-write instructions of the processor, each under its own name.
 *
 * The one place that chooses: inline assembly on x86-64, so that exactly the instruction that is
 * named is measured; C11 elsewhere, where the names stand for the nearest thing.
 * All are sequentially consistent: on x86 a LOCK prefix is a full barrier whether asked or not.
 */
#ifndef OT_ATOMICS_LOCKED_H
#define OT_ATOMICS_LOCKED_H

#include <stdatomic.h>
#include <stdbool.h>

/* ThreadSanitizer does not see into assembly; gcc and clang say differently that it is on. */
#if defined(__SANITIZE_THREAD__)
#define OT_ATOMICS_PORTABLE 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define OT_ATOMICS_PORTABLE 1
#endif
#endif

#if defined(__x86_64__) && !defined(OT_ATOMICS_PORTABLE)
#include "atomics/locked_x86_64.h"
#else
#include "atomics/locked_c11.h"
#endif

#endif
