/* park.c: see park.h. */
#include "runtime/park.h"

#include <errno.h>
#include <stdatomic.h>
#include <unistd.h>

#include "runtime/checks.h"

#define LONG_SLEEP INT64_C(1000000000) /* nanoseconds */
#define LONGEST_PAUSE (64 * LONG_SLEEP)

static _Thread_local ot_pokeable_t *pokeable;

/* Released: pairs with the acquire of whoever sleeps (litmus park_long_sleep). */
static _Atomic(ot_long_sleep_t (*)(void)) on_long_sleep;

/* Threads that sleep for ever in slices: Python's main thread and mimalloc's, hardly more. One that finds no
 * room here is taken for one that sleeps for a time. */
static _Atomic(pid_t) in_slices[4];

/* The sleepers are threads that do not exist in the child. */
static void
forget_sleepers(void)
{
    for (size_t i = 0; i < sizeof in_slices / sizeof in_slices[0]; i++) {
        atomic_store(&in_slices[i], 0);
    }
}

static void
install_fork_handler(void)
{
    pthread_atfork(NULL, NULL, forget_sleepers);
}

void
ot_park_on_long_sleep(ot_long_sleep_t (*call)(void))
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, install_fork_handler);
    atomic_store_explicit(&on_long_sleep, call, memory_order_release);
}

void
ot_parker_init(ot_parker_t *p)
{
    sem_init(&p->sem, 0, 0);
}

void
ot_parker_destroy(ot_parker_t *p)
{
    sem_destroy(&p->sem);
}

void
ot_unpark(ot_parker_t *p)
{
    sem_post(&p->sem);
}

static ot_park_result_t
sleep_at_most(ot_parker_t *p, int64_t deadline)
{
    int rc;
    if (deadline == OT_FOREVER) {
        rc = sem_wait(&p->sem);
    } else {
        struct timespec t = {deadline / 1000000000, deadline % 1000000000};
        rc = sem_clockwait(&p->sem, CLOCK_MONOTONIC, &t);
    }
    if (rc == 0) {
        return OT_PARK_WOKEN;
    }
    return errno == EINTR ? OT_PARK_INTERRUPTED : OT_PARK_TIMEOUT;
}

bool
ot_park_is_for_ever(pid_t thread)
{
    for (size_t i = 0; i < sizeof in_slices / sizeof in_slices[0]; i++) {
        if (atomic_load(&in_slices[i]) == thread) {
            return true;
        }
    }
    return false;
}

static void
replace_in_slices(pid_t old, pid_t new)
{
    for (size_t i = 0; i < sizeof in_slices / sizeof in_slices[0]; i++) {
        pid_t expected = old;
        if (atomic_compare_exchange_strong(&in_slices[i], &expected, new)) {
            return;
        }
    }
}

/* Calls on_long_sleep after a second and, if it wants that, after two more, four more, ... */
static ot_park_result_t
sleep_in_slices(ot_parker_t *p, int64_t deadline, ot_long_sleep_t (*call)(void))
{
    pid_t listed = 0;
    ot_park_result_t result = OT_PARK_TIMEOUT;
    ot_long_sleep_t next = OT_LONG_SLEEP_AGAIN;
    for (int64_t pause = LONG_SLEEP; result == OT_PARK_TIMEOUT && next == OT_LONG_SLEEP_AGAIN;
         pause *= pause < LONGEST_PAUSE ? 2 : 1) {
        int64_t end = ot_clock_now() + pause;
        if (end >= deadline) {
            break;
        }
        result = sleep_at_most(p, end);
        if (result == OT_PARK_TIMEOUT) {
            next = call();
        }
        if (next == OT_LONG_SLEEP_AGAIN && deadline == OT_FOREVER && listed == 0) {
            listed = gettid();
            replace_in_slices(0, listed);
        }
    }
    if (result == OT_PARK_TIMEOUT) {
        result =
            next == OT_LONG_SLEEP_INTERRUPTED ? OT_PARK_INTERRUPTED : sleep_at_most(p, deadline);
    }
    if (listed != 0) {
        replace_in_slices(listed, 0);
    }
    return result;
}

static ot_park_result_t
sleep_until(ot_parker_t *p, int64_t deadline)
{
    ot_long_sleep_t (*call)(void) = atomic_load_explicit(&on_long_sleep, memory_order_acquire);
    return call == NULL ? sleep_at_most(p, deadline) : sleep_in_slices(p, deadline, call);
}

/* Whether the thread was poked since it last slept; takes note that it sleeps at p now. Who pokes does so under the same
 * lock: no poke is lost, and nobody posts to a semaphore that is gone (litmus park_poke). */
static bool
publish(ot_pokeable_t *self, ot_parker_t *p)
{
    pthread_mutex_lock(&self->lock);
    bool poked = self->poked;
    self->poked = false;
    self->parked = p;
    pthread_mutex_unlock(&self->lock);
    return poked;
}

ot_park_result_t
ot_park(ot_parker_t *p, int64_t deadline)
{
    ot_pokeable_t *self = pokeable;
    if (self == NULL) {
        return sleep_until(p, deadline);
    }
    ot_park_result_t result = OT_PARK_INTERRUPTED;
    if (!publish(self, p)) {
        result = sleep_until(p, deadline);
    }
    /* After this nobody posts to p on our behalf. */
    result = publish(self, NULL) ? OT_PARK_INTERRUPTED : result;
    OT_CHECK(ot_pokeable_check_awake(self));
    return result;
}

void
ot_pokeable_check_awake(ot_pokeable_t *self)
{
    pthread_mutex_lock(&self->lock);
    OT_MUST(self->parked == NULL);
    pthread_mutex_unlock(&self->lock);
}

void
ot_pokeable_init(ot_pokeable_t *self)
{
    pthread_mutex_init(&self->lock, NULL);
    self->parked = NULL;
    self->poked = false;
}

void
ot_pokeable_destroy(ot_pokeable_t *self)
{
    OT_CHECK(ot_pokeable_check_awake(self));
    pthread_mutex_destroy(&self->lock);
}

void
ot_pokeable_enter(ot_pokeable_t *self)
{
    pokeable = self;
}

void
ot_poke(ot_pokeable_t *self)
{
    pthread_mutex_lock(&self->lock);
    self->poked = true;
    if (self->parked != NULL) {
        ot_unpark(self->parked);
    }
    pthread_mutex_unlock(&self->lock);
}

void
ot_unpoke(ot_pokeable_t *self)
{
    pthread_mutex_lock(&self->lock);
    self->poked = false;
    pthread_mutex_unlock(&self->lock);
}
