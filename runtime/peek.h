/* peek.h: reading memory of the own process that may be gone.
 *
 * Purpose: who looks at other interpreters' threads while these run, without their GILs, follows pointers
 * that may be stale. The kernel does the reading (process_vm_readv on ourselves): where no memory is, it
 * says so, and nobody crashes.
 * Invariant: nothing is read past what was asked for.
 * Threading: any thread, also in a signal handler. No Python.
 */
#ifndef OT_RUNTIME_PEEK_H
#define OT_RUNTIME_PEEK_H

#include <stdbool.h>
#include <stddef.h>

/* Copies `size` bytes. False: not all of them are readable; what `to` holds then is of no use. What is
 * being written meanwhile may be half old, half new. */
bool ot_peek(void *to, const void *from, size_t size);

/* Whether the system lets us (a container's rules may forbid the call). */
bool ot_peek_works(void);

#endif
