/* channel.c: see channel.h.
 *
 * Main invariant (under `lock`): queued is the length of the chain head..tail;
 * maxsize == 0 or queued + reserved <= maxsize, but for messages put back by unrecv;
 * a waiter is in a list exactly while nobody has woken it.
 *
 * No wake-up is lost: whoever makes something available (a message, a place) wakes one waiter.
 * A woken waiter looks again under the lock and takes what it finds, also when its deadline
 * passed or a signal came meanwhile; it gives up only when there is nothing to take, and then
 * nobody else could have taken anything either.
 *
 * Threading: `lock` of a channel is held for a few loads and stores only. Lock order:
 * registry_lock, then any channel's lock (fork); nothing else takes two.
 */
#include "tunnel/channel.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "atomics/refcount.h"
#include "atomics/cpu.h"
#include "runtime/park.h"

typedef struct waiter {
    struct waiter *next, *prev;
    ot_parker_t parker;
    bool listed;
} waiter_t;

typedef struct {
    waiter_t *first, *last;
} waitlist_t;

struct ot_channel {
    ot_ref_t ref;
    uint64_t id;
    size_t maxsize;
    ot_channel_t *next, *prev; /* registry_lock */

    pthread_mutex_t lock; /* guards all below */
    ot_node_t *head, *tail;
    size_t reserved;
    bool closed;
    waitlist_t receivers, senders;
    atomic_size_t queued; /* written under lock; read without by spinning receivers */
};

static pthread_mutex_t registry_lock = PTHREAD_MUTEX_INITIALIZER;
static ot_channel_t *registry;
static uint64_t last_id;
static size_t live;

/* ---- waiters (lock held) ----------------------------------------------------------------- */

static void
waitlist_append_locked(waitlist_t *list, waiter_t *w)
{
    w->next = NULL;
    w->prev = list->last;
    *(list->last ? &list->last->next : &list->first) = w;
    list->last = w;
    w->listed = true;
}

static void
waitlist_remove_locked(waitlist_t *list, waiter_t *w)
{
    *(w->prev ? &w->prev->next : &list->first) = w->next;
    *(w->next ? &w->next->prev : &list->last) = w->prev;
    w->listed = false;
}

static void
wake_one_locked(waitlist_t *list)
{
    waiter_t *w = list->first;
    if (w != NULL) {
        waitlist_remove_locked(list, w);
        ot_unpark(&w->parker);
    }
}

static void
wake_all_locked(waitlist_t *list)
{
    while (list->first != NULL) {
        wake_one_locked(list);
    }
}

/* Parks until woken, deadline or signal; called and returns with the lock held. */
static ot_park_result_t
wait_locked(ot_channel_t *ch, waitlist_t *list, int64_t deadline)
{
    waiter_t w;
    ot_parker_init(&w.parker);
    waitlist_append_locked(list, &w);
    pthread_mutex_unlock(&ch->lock);
    ot_park_result_t result = ot_park(&w.parker, deadline);
    pthread_mutex_lock(&ch->lock);
    if (w.listed) {
        waitlist_remove_locked(list, &w);
    }
    ot_parker_destroy(&w.parker);
    return result;
}

/* ---- life ------------------------------------------------------------------------------- */

/* fork() copies one thread and every lock as it is: hold them all, so that the child finds none
 * held by a thread that it does not have. */
static void
before_fork(void)
{
    pthread_mutex_lock(&registry_lock);
    for (ot_channel_t *ch = registry; ch != NULL; ch = ch->next) {
        pthread_mutex_lock(&ch->lock);
    }
}

static void
after_fork_in_parent(void)
{
    for (ot_channel_t *ch = registry; ch != NULL; ch = ch->next) {
        pthread_mutex_unlock(&ch->lock);
    }
    pthread_mutex_unlock(&registry_lock);
}

/* The child starts with empty tunnels: the messages are the parent's (their memory is given
 * up), the waiters are threads that do not exist here. */
static void
after_fork_in_child(void)
{
    for (ot_channel_t *ch = registry; ch != NULL; ch = ch->next) {
        pthread_mutex_init(&ch->lock, NULL);
        ch->head = ch->tail = NULL;
        atomic_store_explicit(&ch->queued, 0, memory_order_relaxed);
        ch->reserved = 0;
        ch->receivers = ch->senders = (waitlist_t){NULL, NULL};
    }
    pthread_mutex_init(&registry_lock, NULL);
}

static void
install_fork_handlers(void)
{
    pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
}

ot_channel_t *
ot_channel_new(size_t maxsize)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, install_fork_handlers);
    ot_channel_t *ch = calloc(1, sizeof *ch);
    if (ch == NULL) {
        return NULL;
    }
    ot_ref_init(&ch->ref);
    ch->maxsize = maxsize;
    pthread_mutex_init(&ch->lock, NULL);
    pthread_mutex_lock(&registry_lock);
    ch->id = ++last_id;
    ch->next = registry;
    if (registry != NULL) {
        registry->prev = ch;
    }
    registry = ch;
    live++;
    pthread_mutex_unlock(&registry_lock);
    return ch;
}

void
ot_channel_ref(ot_channel_t *ch)
{
    ot_ref_inc(&ch->ref);
}

ot_node_t *
ot_channel_unref(ot_channel_t *ch)
{
    if (!ot_ref_dec(&ch->ref)) {
        return NULL;
    }
    pthread_mutex_lock(&registry_lock);
    *(ch->prev ? &ch->prev->next : &registry) = ch->next;
    if (ch->next != NULL) {
        ch->next->prev = ch->prev;
    }
    live--;
    pthread_mutex_unlock(&registry_lock);
    ot_node_t *left = ch->head;
    pthread_mutex_destroy(&ch->lock);
    free(ch);
    return left;
}

ot_channel_t *
ot_channel_find(uint64_t id)
{
    pthread_mutex_lock(&registry_lock);
    ot_channel_t *ch = registry;
    while (ch != NULL && ch->id != id) {
        ch = ch->next;
    }
    /* One on its way out (count zero, waiting for registry_lock) is gone already. */
    if (ch != NULL && !ot_ref_inc_unless_zero(&ch->ref)) {
        ch = NULL;
    }
    pthread_mutex_unlock(&registry_lock);
    return ch;
}

/* ---- send ------------------------------------------------------------------------------- */

static bool
has_place_locked(ot_channel_t *ch)
{
    size_t queued = atomic_load_explicit(&ch->queued, memory_order_relaxed);
    return ch->maxsize == 0 || queued + ch->reserved < ch->maxsize;
}

/* What to report when there was nothing to take, after a wait that ended with `why`. */
static ot_channel_result_t
gave_up(ot_park_result_t why)
{
    return why == OT_PARK_TIMEOUT ? OT_CHANNEL_TIMEOUT : OT_CHANNEL_INTERRUPTED;
}

ot_channel_result_t
ot_channel_reserve(ot_channel_t *ch, int64_t deadline)
{
    ot_channel_result_t result = OT_CHANNEL_OK;
    ot_park_result_t why = deadline == OT_DONT_WAIT ? OT_PARK_TIMEOUT : OT_PARK_WOKEN;
    pthread_mutex_lock(&ch->lock);
    for (;;) {
        if (ch->closed) {
            result = OT_CHANNEL_CLOSED;
        } else if (has_place_locked(ch)) {
            ch->reserved++;
        } else if (why == OT_PARK_WOKEN) {
            why = wait_locked(ch, &ch->senders, deadline);
            continue;
        } else {
            result = gave_up(why);
        }
        break;
    }
    pthread_mutex_unlock(&ch->lock);
    return result;
}

static void
add_queued_locked(ot_channel_t *ch, int n)
{
    size_t queued = atomic_load_explicit(&ch->queued, memory_order_relaxed);
    atomic_store_explicit(&ch->queued, queued + (size_t)n, memory_order_relaxed);
}

void
ot_channel_commit(ot_channel_t *ch, ot_node_t *node)
{
    node->next = NULL;
    pthread_mutex_lock(&ch->lock);
    ch->reserved--;
    *(ch->tail ? &ch->tail->next : &ch->head) = node;
    ch->tail = node;
    add_queued_locked(ch, 1);
    wake_one_locked(&ch->receivers);
    pthread_mutex_unlock(&ch->lock);
}

void
ot_channel_cancel(ot_channel_t *ch)
{
    pthread_mutex_lock(&ch->lock);
    ch->reserved--;
    wake_one_locked(&ch->senders);
    if (ch->closed) {
        wake_all_locked(&ch->receivers); /* they may have waited for this place's message */
    }
    pthread_mutex_unlock(&ch->lock);
}

/* ---- receive ---------------------------------------------------------------------------- */

/* Looks a little while for a message before going to sleep: an answer that is on its way comes
 * sooner than a sleeping thread wakes. Without the lock, so that the sender gets it. */
static void
spin_for_message(ot_channel_t *ch)
{
    enum { TURNS = 200 };
    static atomic_int cores;
    int n = atomic_load_explicit(&cores, memory_order_relaxed);
    if (n == 0) {
        n = (int)sysconf(_SC_NPROCESSORS_ONLN);
        atomic_store_explicit(&cores, n, memory_order_relaxed);
    }
    for (int i = 0; n > 1 && i < TURNS; i++) {
        if (atomic_load_explicit(&ch->queued, memory_order_relaxed) != 0) {
            return;
        }
        ot_pause();
    }
}

ot_channel_result_t
ot_channel_recv(ot_channel_t *ch, int64_t deadline, ot_node_t **node)
{
    ot_channel_result_t result = OT_CHANNEL_OK;
    ot_park_result_t why = deadline == OT_DONT_WAIT ? OT_PARK_TIMEOUT : OT_PARK_WOKEN;
    if (why == OT_PARK_WOKEN) {
        spin_for_message(ch);
    }
    pthread_mutex_lock(&ch->lock);
    for (;;) {
        if (ch->head != NULL) {
            *node = ch->head;
            ch->head = ch->head->next;
            if (ch->head == NULL) {
                ch->tail = NULL;
            }
            (*node)->next = NULL;
            add_queued_locked(ch, -1);
            wake_one_locked(&ch->senders);
        } else if (ch->closed && ch->reserved == 0) {
            result = OT_CHANNEL_CLOSED;
        } else if (why == OT_PARK_WOKEN) {
            why = wait_locked(ch, &ch->receivers, deadline);
            continue;
        } else {
            result = gave_up(why);
        }
        break;
    }
    /* The last message of a closed queue is gone: nobody else need wait. */
    if (ch->closed && ch->head == NULL && ch->reserved == 0) {
        wake_all_locked(&ch->receivers);
    }
    pthread_mutex_unlock(&ch->lock);
    return result;
}

void
ot_channel_unrecv(ot_channel_t *ch, ot_node_t *node)
{
    pthread_mutex_lock(&ch->lock);
    node->next = ch->head;
    ch->head = node;
    if (ch->tail == NULL) {
        ch->tail = node;
    }
    add_queued_locked(ch, 1);
    wake_one_locked(&ch->receivers);
    pthread_mutex_unlock(&ch->lock);
}

ot_node_t *
ot_channel_close(ot_channel_t *ch, bool discard)
{
    ot_node_t *left = NULL;
    pthread_mutex_lock(&ch->lock);
    ch->closed = true;
    if (discard) {
        left = ch->head;
        ch->head = ch->tail = NULL;
        atomic_store_explicit(&ch->queued, 0, memory_order_relaxed);
    }
    wake_all_locked(&ch->receivers);
    wake_all_locked(&ch->senders);
    pthread_mutex_unlock(&ch->lock);
    return left;
}

/* ---- looking ---------------------------------------------------------------------------- */

uint64_t
ot_channel_id(const ot_channel_t *ch)
{
    return ch->id;
}

size_t
ot_channel_maxsize(const ot_channel_t *ch)
{
    return ch->maxsize;
}

size_t
ot_channel_qsize(ot_channel_t *ch)
{
    return atomic_load_explicit(&ch->queued, memory_order_relaxed);
}

bool
ot_channel_is_closed(ot_channel_t *ch)
{
    pthread_mutex_lock(&ch->lock);
    bool closed = ch->closed;
    pthread_mutex_unlock(&ch->lock);
    return closed;
}

size_t
ot_channel_count(void)
{
    pthread_mutex_lock(&registry_lock);
    size_t n = live;
    pthread_mutex_unlock(&registry_lock);
    return n;
}
