/* stuck.h: who waits in channels, and whether anybody is left who does not.
 *
 * Purpose: who waits for an interpreter to end while a job of it waits in a channel waits for ever
 * if nobody else can reach that channel. That is so, whoever holds handles, when each thread of
 * each interpreter in the process waits in a channel, without a deadline, and nobody has woken it;
 * or waits for a lock, without a deadline, that only another thread of the process can let go of
 * (runtime/sleepers.h; as an idle thread of a ThreadPoolExecutor does). Threads that wait for anything
 * else (a socket, sleep) count as busy.
 *
 * Which operations may run at once: all of them, from any thread, without a GIL.
 */
#ifndef OT_TUNNEL_STUCK_H
#define OT_TUNNEL_STUCK_H

#include <sys/types.h>

#include "tunnel/channel.h"

/* One thread's wait; lives on its stack. The first three are its caller's to fill. */
typedef struct ot_wait {
    ot_channel_t *ch;
    ot_stop_t *stop;
    int64_t interp; /* the id of the thread's interpreter */
    pid_t thread;
    struct ot_wait *next, *prev;
} ot_wait_t;

/* Around a wait that has no deadline. */
void ot_wait_begin(ot_wait_t *wait);
void ot_wait_end(ot_wait_t *wait);

/* Instead of ot_wait_end, for a thread that looks after others from time to time, with a timeout: nothing has come, and it
 * will wait again. As if it had waited all the time. */
void ot_wait_end_in_vain(ot_wait_t *wait);

/* Not 0 if all threads wait, and one of this interpreter's waits in a channel. Two calls return the same number only if
 * no thread has stopped waiting in between. A thread that a signal or a poke has just woken may be taken for one that
 * waits: so call twice, with a pause. */
uint64_t ot_stuck_since(int64_t interp);

/* Ends all waits of this interpreter's threads, but those that wait for another one to end. */
void ot_stuck_give_up(int64_t interp);

#endif
