/* sleepers.h: whether threads of the process sleep until another thread of it wakes them.
 *
 * Purpose: locks of CPython, of the C library and of extensions tell nobody who waits for them; the
 * kernel knows. A thread in futex(FUTEX_WAIT) on a private word and without a timeout does nothing
 * until a thread of this process wakes it (or a signal does); nor does one that sleeps for ever in park.c, where
 * the main thread's sleep is cut into slices. Any other thread counts as awake: one that
 * runs, sleeps for a time, or waits for a file, a socket or another process.
 * Threading: any thread, no Python, no locks.
 */
#ifndef OT_RUNTIME_SLEEPERS_H
#define OT_RUNTIME_SLEEPERS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* The calling thread's number in /proc. */
pid_t ot_thread_number(void);

/* Looks at each thread of the process but those for which leave_out is true. False if one is awake, or if
 * the kernel does not say. Else true, and *seen is a number that is the same again only if no thread has
 * come, gone or been awake since: two looks with the same number mean that there was a moment at which
 * all these threads slept. */
bool ot_sleepers_look(bool (*leave_out)(pid_t thread), uint64_t *seen);

#endif
