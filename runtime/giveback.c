/* giveback.c: see giveback.h.
 *
 * A purge costs the time to unmap, and later a page fault for each page that is used again. Both are bounded: a
 * thread purges at most once a second, and spends at most a fiftieth of its time on it.
 *
 * Main invariant: a thread collects only its own heap, and only outside of mimalloc's own work: in the hook that
 * mimalloc calls before it looks for a page, or while the thread sleeps in park.c. What threads have left stays for
 * any thread to take.
 * Threading: the clock of each thread is its own; start() runs under heap.c's install lock.
 */
#include "runtime/giveback.h"

#include "runtime/clock.h"
#include "runtime/park.h"
#include "runtime/signals.h"

#include <mimalloc.h>
#include <pthread.h>
#include <stdbool.h>

#define PAUSE INT64_C(1000000000) /* nanoseconds between two purges of a thread, at least */
#define SHARE 50                  /* one part in so many of a thread's time, at most */

static _Thread_local int64_t due; /* not before; 0: this thread has not allocated yet */

/* mimalloc's main thread is the one that loaded it: it cannot leave its pages to others. */
static pthread_t main_thread;

static bool
is_main_thread(void)
{
    return pthread_equal(pthread_self(), main_thread);
}

/* A forced collect of the heap that mimalloc gave its main thread takes over all that other threads have left, and that
 * thread never leaves it to anybody. Each thread that comes would then begin a segment of its own, of 32 MiB, and one
 * block that stays in it keeps the segment: the range has room for 4,096. A second heap of the same thread takes
 * over only what it needs. The first one stays as it is if there is no memory for that. */
static void
leave_first_heap(void)
{
    mi_heap_t *heap = mi_heap_new();
    if (heap != NULL) {
        mi_heap_set_default(heap);
    }
}

/* A tick old, and several times cheaper than the exact clock. */
static int64_t
coarse_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* A forced collect frees what other threads have given back into our pages and into those of threads that ended, and
 * purges all that is free in them. */
static void
purge(void)
{
    int64_t began = ot_clock_now();
    mi_collect(true);
    int64_t now = ot_clock_now(), rest = (now - began) * SHARE;
    due = now + (rest > PAUSE ? rest : PAUSE);
}

void
ot_giveback_look(void)
{
    int64_t now = coarse_now();
    if (now < due) {
        return;
    }
    if (due == 0) {
        due = now + PAUSE;
        if (is_main_thread()) {
            leave_first_heap();
        }
    } else {
        purge();
    }
}

/* mimalloc calls this where a thread's allocation does not find a free block at once. */
static void
on_slow_allocation(bool force, unsigned long long heartbeat, void *arg)
{
    (void)heartbeat;
    (void)arg;
    if (!force) { /* else a collect is under way */
        ot_giveback_look();
    }
}

/* The thread sleeps for long, without the GIL: what others free in its pages would stay there until it wakes.
 * Any thread but mimalloc's main one leaves its pages as one that ends does: whoever purges next takes care of
 * them, and the thread's next allocation begins anew. */
static ot_long_sleep_t
on_long_sleep(void)
{
    ot_long_sleep_t next = ot_signals_after_long_sleep();
    if (due == 0) {
        return next; /* it has no heap */
    }
    if (is_main_thread()) {
        purge();
        return next == OT_LONG_SLEEP_DONE ? OT_LONG_SLEEP_AGAIN : next;
    }
    mi_collect(true);
    mi_thread_done();
    due = 0;
    return next;
}

__attribute__((constructor)) static void
note_main_thread(void)
{
    main_thread = pthread_self();
}

void
ot_giveback_start(void)
{
    mi_register_deferred_free(on_slow_allocation, NULL);
    ot_park_on_long_sleep(on_long_sleep);
}
