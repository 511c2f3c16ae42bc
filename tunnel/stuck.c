/* stuck.c: see stuck.h.
 *
 * Main invariant (under lock): a thread that is in the list and `asleep` changes no channel until
 * somebody wakes it. So if all threads are in the list and asleep, nobody is left to wake any. While
 * the lock is held nobody enters or leaves the list; who is in it and was woken may still do what
 * it waited for, but then it does not fall asleep again. Threads that are not in the list are asleep if
 * the kernel says so in two looks.
 *
 * Threading: lock order: lock, CPython's lock of its lists of threads; lock, a channel's locks.
 */
#include "tunnel/stuck.h"

#include <pthread.h>

#include "runtime/cpython/interp.h"
#include "runtime/sleepers.h"
#include "runtime/worker.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static ot_wait_t *waits;
static size_t n_waits;
static uint64_t left = 1; /* how many waits have ended */

static void
before_fork(void)
{
    pthread_mutex_lock(&lock);
}

static void
after_fork_in_parent(void)
{
    pthread_mutex_unlock(&lock);
}

/* The waiters are threads that do not exist here. */
static void
after_fork_in_child(void)
{
    waits = NULL;
    n_waits = 0;
    pthread_mutex_unlock(&lock);
}

/* shared.c has registered its handlers by now, for there is a channel. Those that are registered last are called first
 * before a fork: so this lock is taken before a channel's, as everywhere. */
static void
install_fork_handlers(void)
{
    pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
}

void
ot_wait_begin(ot_wait_t *wait)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, install_fork_handlers);
    wait->thread = ot_thread_number();
    pthread_mutex_lock(&lock);
    wait->prev = NULL;
    wait->next = waits;
    if (waits != NULL) {
        waits->prev = wait;
    }
    waits = wait;
    n_waits++;
    pthread_mutex_unlock(&lock);
}

static void
leave(ot_wait_t *wait, bool has_waited_for_something)
{
    pthread_mutex_lock(&lock);
    *(wait->prev ? &wait->prev->next : &waits) = wait->next;
    if (wait->next != NULL) {
        wait->next->prev = wait->prev;
    }
    n_waits--;
    left += has_waited_for_something;
    pthread_mutex_unlock(&lock);
}

void
ot_wait_end(ot_wait_t *wait)
{
    leave(wait, true);
}

void
ot_wait_end_in_vain(ot_wait_t *wait)
{
    leave(wait, false);
}

static bool
all_asleep_locked(void)
{
    for (ot_wait_t *w = waits; w != NULL; w = w->next) {
        if (!atomic_load_explicit(&w->stop->asleep, memory_order_acquire)) {
            return false;
        }
    }
    return true;
}

static bool
waits_in_a_channel_locked(int64_t interp)
{
    for (ot_wait_t *w = waits; w != NULL; w = w->next) {
        if (w->interp == interp) {
            return true;
        }
    }
    return false;
}

static bool
is_in_list_locked(pid_t thread)
{
    for (ot_wait_t *w = waits; w != NULL; w = w->next) {
        if (w->thread == thread) {
            return true;
        }
    }
    return false;
}

uint64_t
ot_stuck_since(int64_t interp)
{
    uint64_t others = 0;
    pthread_mutex_lock(&lock);
    bool stuck = waits_in_a_channel_locked(interp) && all_asleep_locked() &&
                 ot_worker_coming_and_going() == 0 &&
                 (ot_py_count_threads() == n_waits || ot_sleepers_look(is_in_list_locked, &others));
    uint64_t since = stuck ? left + others : 0;
    pthread_mutex_unlock(&lock);
    return since;
}

void
ot_stuck_give_up(int64_t interp)
{
    pthread_mutex_lock(&lock);
    for (ot_wait_t *w = waits; w != NULL; w = w->next) {
        if (w->interp == interp) {
            ot_channel_give_up(w->ch, w->stop);
        }
    }
    pthread_mutex_unlock(&lock);
}
