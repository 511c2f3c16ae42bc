/* dump.h: the stacks of all interpreters, and who waits for what, as text to a file descriptor.
 *
 * Purpose: what a process that hangs is asked: by a call, or by a signal.
 * Invariant: a dump takes no lock, allocates nothing, waits for nobody but the file, and changes nothing.
 * Threading: any thread, with or without a GIL, also in a signal handler. What runs meanwhile may be shown
 * half old, half new.
 */
#ifndef OT_RUNTIME_DUMP_H
#define OT_RUNTIME_DUMP_H

#include <stdbool.h>

void ot_dump(int fd);

/* From now on the signal dumps to a duplicate of fd; if fd is negative, to descriptor 2, whatever that is when the
 * signal comes. 0, or -1 with errno. */
int ot_dump_register(int signum, int fd);

/* The signal does again what it did before. 0; 1: it did not dump; -1 with errno. */
int ot_dump_unregister(int signum);

#endif
