/* park.h: put one thread to sleep until another wakes it, a deadline passes or a signal comes.
 *
 * Purpose: the only place that blocks. Each waiter has a semaphore, because a wait for that returns with EINTR
 * when a signal handler ran, which a condition variable's does not: that is how Ctrl-C ends a
 * blocked recv (CPython's own locks wait this way). A thread may also be poked: interrupted by
 * another one, wherever it is parked or next parks.
 * Threading: one thread parks, any thread unparks or pokes. No Python; hold no GIL while parked.
 */
#ifndef OT_RUNTIME_PARK_H
#define OT_RUNTIME_PARK_H

#include <pthread.h>
#include <semaphore.h>
#include <stdbool.h>
#include <stdint.h>

#include "runtime/clock.h"

typedef enum {
    OT_PARK_INTERRUPTED = -1, /* a signal handler ran in this thread, or it was poked */
    OT_PARK_TIMEOUT = 0,
    OT_PARK_WOKEN = 1,
} ot_park_result_t;

/* One wait. Lives on the waiter's stack. */
typedef struct ot_parker {
    sem_t sem;
} ot_parker_t;

/* A thread that can be poked. Invariant (under lock): parked is where its thread sleeps now. */
typedef struct {
    pthread_mutex_t lock;
    ot_parker_t *parked;
    bool poked;
} ot_pokeable_t;

void ot_parker_init(ot_parker_t *p);
void ot_parker_destroy(ot_parker_t *p);

/* Pairs with one ot_park; may come before it. The parker must outlive the call: whoever unparks
 * does so while holding the lock under which the waiter would remove itself (litmus park_waiter). */
void ot_unpark(ot_parker_t *p);

typedef enum {
    OT_LONG_SLEEP_DONE,        /* the thread sleeps on */
    OT_LONG_SLEEP_AGAIN,       /* it sleeps on, and calls again after longer and longer pauses */
    OT_LONG_SLEEP_INTERRUPTED, /* a signal handler ran that the sleep has not seen: ot_park says so */
} ot_long_sleep_t;

/* From now on each thread that has slept for a second calls `call`. It runs without a GIL and must not park. A later
 * call of this function replaces it: each life of Python makes one, and each import of a free-threaded build. */
void ot_park_on_long_sleep(ot_long_sleep_t (*call)(void));

/* Whether that thread sleeps in ot_park until it is woken, although the kernel sees it sleep for a time: because of
 * OT_LONG_SLEEP_AGAIN its sleep is cut into slices. Any thread may ask. */
bool ot_park_is_for_ever(pid_t thread);

/* Sleeps until ot_unpark, the deadline (on the monotonic clock, or OT_FOREVER), a signal or a poke. */
ot_park_result_t ot_park(ot_parker_t *p, int64_t deadline);

void ot_pokeable_init(ot_pokeable_t *self);
void ot_pokeable_destroy(ot_pokeable_t *self);

/* Declares that the calling thread is `self` from now on (NULL: nobody's). */
void ot_pokeable_enter(ot_pokeable_t *self);

/* Ends the thread's present or next ot_park with OT_PARK_INTERRUPTED, once. */
void ot_poke(ot_pokeable_t *self);

/* Aborts if `self` says that the thread sleeps. The caller knows that it does not: it is that thread, or frees `self`. */
void ot_pokeable_check_awake(ot_pokeable_t *self);

/* Forgets a poke that nobody has slept through yet. */
void ot_unpoke(ot_pokeable_t *self);

#endif
