/* bell.h: a file descriptor that tells an event loop that something is there (an eventfd).
 *
 * Purpose: loops sleep in select, poll or epoll, where no parker (park.h) reaches them. A descriptor can be read from
 * from ot_bell_ring to ot_bell_hush, in all loops that watch it.
 * Invariant: nothing here keeps a state. Its owner rings and hushes under a lock of its own, or does without hushing in time.
 * Threading: any thread, no Python. A call is one system call, and none of them waits.
 */
#ifndef OT_RUNTIME_BELL_H
#define OT_RUNTIME_BELL_H

enum { OT_NO_BELL = -1 };

/* A new silent descriptor, the caller's to close; it does not survive exec. OT_NO_BELL with errno set if there is none. */
int ot_bell_open(void);

/* fd: OT_NO_BELL is fine. */
void ot_bell_close(int fd);

/* From now on fd can be read from: event loops that wait for it wake up. */
void ot_bell_ring(int fd);

/* From now on fd cannot be read from, until ot_bell_ring. */
void ot_bell_hush(int fd);

/* In a forked child: puts a silent descriptor of its own where the parent's is, under the same number. If there is none, the number
 * is closed, and OT_NO_BELL returned; else fd. */
int ot_bell_renew(int fd);

#endif
