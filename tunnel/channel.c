/* channel.c: see channel.h.
 *
 * Senders and receivers meet as seldom as they can: senders append to `in` under its lock,
 * receivers take from `out` under its own, and only a receiver that finds `out` empty takes the
 * other lock, once, and moves the whole chain over. What both sides write lies on lines of its own.
 *
 * Main invariant (both locks held): the queue is the chain from out.first, then that from in.first;
 * its length is committed - taken; maxsize == 0 or committed - taken + reserved <= maxsize, and of bytes
 * likewise or there is only one message that has any, but for messages put back by unrecv; a waiter is in a list exactly while nobody has woken it.
 *
 * No wake-up is lost: whoever makes something available (a message, a place) wakes one waiter.
 * A woken waiter looks again under the lock and takes what it finds, also when its deadline
 * passed or a signal came meanwhile; it gives up only when there is nothing to take, and then
 * nobody else could have taken anything either. A receiver enters its list under both locks, so
 * no message comes between its last look and that. A sender does so under in.lock alone, while
 * receivers make places under out.lock; so it raises `senders.some` first and then looks at
 * `taken` once more, and a receiver first raises `taken` and then looks at `senders.some`: all
 * four sequentially consistent, so one of the two sees the other (litmus channel_place; litmus
 * channel_message and litmus channel_close have the rest).
 *
 * Fair: receivers share `out`, none keeps messages of its own; the head goes to who comes first.
 *
 * Threading: locks are held for a few loads and stores only (and the system call that wakes a
 * sleeper). Lock order: the registry's lock (shared.h), out.lock, in.lock; of several channels only for fork.
 */
#include "tunnel/channel_parts.h"

#include <stdlib.h>
#include <string.h>

/* Lines of sleepers: linked both ways, and nobody in them was woken. */
static void
check_waiters_locked(const blocked_t *list)
{
    const waiter_t *before = NULL;
    for (const waiter_t *w = list->first; w != NULL; before = w, w = w->next) {
        OT_MUST(w->prev == before && w->listed);
    }
    OT_MUST(list->last == before);
    OT_MUST((list->first == NULL && !list->armed) ||
            atomic_load_explicit(&list->some, memory_order_relaxed));
}

/* Counts the messages of short queues; of others looks at the ends. */
void
ot_channel_check_locked(const ot_channel_t *ch)
{
    enum { SHORT = 64 };
    size_t committed = relaxed(&ch->news.committed), taken = relaxed(&ch->out.taken), n = 0,
           bytes = 0;
    OT_MUST(committed - taken <= PTRDIFF_MAX && committed - ch->in.taken_seen <= PTRDIFF_MAX);
    OT_MUST((ch->in.first == NULL) == (ch->in.last == NULL));
    OT_MUST(relaxed(&ch->in.reserved) <= PTRDIFF_MAX);
    if (committed - taken <= SHORT) {
        const ot_node_t *last = NULL;
        for (const ot_node_t *m = ch->out.first; m != NULL && n <= SHORT; m = m->next) {
            n++;
            bytes += m->bytes;
        }
        for (const ot_node_t *m = ch->in.first; m != NULL && n <= SHORT; last = m, m = m->next) {
            n++;
            bytes += m->bytes;
        }
        OT_MUST(n == committed - taken);
        OT_MUST(last == ch->in.last);
        OT_MUST(ch->maxbytes == 0 ||
                bytes == ch->in.bytes_committed - relaxed(&ch->out.bytes_taken));
    }
    check_waiters_locked(&ch->waiting.receivers);
    check_waiters_locked(&ch->waiting.senders);
    ot_channel_check_watch_locked(ch);
}

void
ot_channel_check(ot_channel_t *ch)
{
    lock_both(ch);
    ot_channel_check_locked(ch);
    pthread_mutex_unlock(&ch->in.lock);
    pthread_mutex_unlock(&ch->out.lock);
}

/* ---- waiters (in.lock held) -------------------------------------------------------------- */

static void
set_listed_locked(waiter_t *w, bool listed)
{
    w->listed = listed;
    if (w->stop != NULL) {
        atomic_store_explicit(&w->stop->asleep, listed, memory_order_release);
    }
}

static void
blocked_append_locked(blocked_t *list, waiter_t *w)
{
    w->next = NULL;
    w->prev = list->last;
    *(list->last ? &list->last->next : &list->first) = w;
    list->last = w;
    set_listed_locked(w, true);
    atomic_store_explicit(&list->some, true, memory_order_relaxed);
}

static void
blocked_settle_locked(blocked_t *list)
{
    if (list->first == NULL && !list->armed) {
        atomic_store_explicit(&list->some, false, memory_order_relaxed);
    }
}

static void
blocked_remove_locked(blocked_t *list, waiter_t *w)
{
    *(w->prev ? &w->prev->next : &list->first) = w->next;
    *(w->next ? &w->next->prev : &list->last) = w->prev;
    set_listed_locked(w, false);
    blocked_settle_locked(list);
}

static void
wake_one_locked(blocked_t *list)
{
    waiter_t *w = list->first;
    if (w != NULL) {
        blocked_remove_locked(list, w);
        ot_unpark(&w->parker);
    }
}

static void
wake_all_locked(blocked_t *list)
{
    while (list->first != NULL) {
        wake_one_locked(list);
    }
}

/* ---- stops ------------------------------------------------------------------------------ */

void
ot_stop_init(ot_stop_t *stop)
{
    atomic_init(&stop->last, SIZE_MAX);
    atomic_init(&stop->given_up, false);
    atomic_init(&stop->asleep, false);
}

/* A lock is held under which others write. */
static bool
is_given_up(const ot_stop_t *stop)
{
    return stop != NULL && atomic_load_explicit(&stop->given_up, memory_order_relaxed);
}

/* Whether nothing more is for who has this stop. out.lock held: `last` is written under both. */
static bool
has_all_locked(const ot_channel_t *ch, const ot_stop_t *stop)
{
    return stop != NULL && relaxed(&ch->out.taken) >= relaxed(&stop->last);
}

void
ot_channel_stop_after_last(ot_channel_t *ch, ot_stop_t *stop)
{
    lock_both(ch);
    set_relaxed(&stop->last, relaxed(&ch->news.committed));
    wake_all_locked(&ch->waiting.receivers);
    unlock_both(ch);
}

void
ot_channel_give_up(ot_channel_t *ch, ot_stop_t *stop)
{
    lock_both(ch);
    atomic_store_explicit(&stop->given_up, true, memory_order_relaxed);
    wake_all_locked(&ch->waiting.receivers);
    wake_all_locked(&ch->waiting.senders);
    if (is_watched(ch)) {
        ot_channel_wake_watchers_locked(ch);
    }
    unlock_both(ch);
}

/* ---- life ------------------------------------------------------------------------------- */

/* Spins a little before it sleeps: these locks are never held for long. */
static void
init_lock(pthread_mutex_t *lock)
{
    pthread_mutexattr_t attr;
    pthread_mutexattr_init(&attr);
    pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_ADAPTIVE_NP);
    pthread_mutex_init(lock, &attr);
    pthread_mutexattr_destroy(&attr);
}

/* Makes the queue empty. Leaves news.closed and the channel's entry in the registry as they are. */
static void
init_queue(ot_channel_t *ch)
{
    init_lock(&ch->in.lock);
    init_lock(&ch->out.lock);
    ch->in.first = ch->in.last = ch->out.first = NULL;
    ch->in.taken_seen = 0;
    set_relaxed(&ch->in.reserved, 0);
    ch->in.bytes_committed = ch->in.bytes_reserved = 0;
    set_relaxed(&ch->news.committed, 0);
    set_relaxed(&ch->out.taken, 0);
    set_relaxed(&ch->out.bytes_taken, 0);
    memset(&ch->waiting.receivers, 0, sizeof ch->waiting.receivers);
    memset(&ch->waiting.senders, 0, sizeof ch->waiting.senders);
    ot_spin_init(&ch->receiver_spin);
    ot_spin_init(&ch->sender_spin);
}

/* Takes all that is queued: the caller's now. Nobody else may look at the two chains. */
static ot_node_t *
take_all(ot_channel_t *ch)
{
    ot_node_t *all = ch->in.first;
    if (ch->out.first != NULL) {
        ot_node_t *last = ch->out.first;
        while (last->next != NULL) {
            last = last->next;
        }
        last->next = all;
        all = ch->out.first;
    }
    ch->in.first = ch->in.last = ch->out.first = NULL;
    return all;
}

/* Where the calling thread gathers the messages of channels that die; NULL: they go to the heir. */
static _Thread_local ot_node_t **gathered;

static void (*_Atomic heir)(ot_node_t *chain);

void
ot_channel_set_heir(void (*to)(ot_node_t *chain))
{
    heir = to;
}

static void
leave(ot_node_t *chain)
{
    if (gathered == NULL) {
        heir(chain);
        return;
    }
    ot_node_t **end = gathered;
    while (*end != NULL) {
        end = &(*end)->next;
    }
    *end = chain;
}

static void
channel_free(ot_shared_t *self)
{
    ot_channel_t *ch = (ot_channel_t *)self;
    ot_node_t *left = take_all(ch);
    ot_channel_end_watch(ch);
    pthread_mutex_destroy(&ch->in.lock);
    pthread_mutex_destroy(&ch->out.lock);
    free(ch);
    if (left != NULL) {
        leave(left);
    }
}

/* The child starts with empty tunnels: the messages are the parent's (their memory is given
 * up), the waiters are threads that do not exist here. */
static void
channel_fork(ot_shared_t *self, ot_fork_stage_t stage)
{
    ot_channel_t *ch = (ot_channel_t *)self;
    if (stage == OT_BEFORE_FORK) {
        lock_both(ch);
    } else if (stage == OT_AFTER_FORK_IN_PARENT) {
        unlock_both(ch);
    } else {
        init_queue(ch);
        ot_channel_renew_watch(ch);
    }
}

const ot_shared_kind_t ot_channel_kind = {"Tunnel", channel_free, channel_fork, NULL};

ot_channel_t *
ot_channel_new(size_t maxsize)
{
    return ot_channel_new_bounded(maxsize, 0);
}

ot_channel_t *
ot_channel_new_bounded(size_t maxsize, size_t maxbytes)
{
    ot_channel_t *ch = aligned_alloc(_Alignof(ot_channel_t), sizeof *ch);
    if (ch == NULL) {
        return NULL;
    }
    memset(ch, 0, sizeof *ch);
    ch->maxsize = maxsize;
    ch->maxbytes = maxbytes;
    ch->bounded = maxsize != 0 || maxbytes != 0;
    init_queue(ch);
    ot_channel_init_watch(ch);
    ot_shared_init(&ch->head, &ot_channel_kind);
    return ch;
}

void
ot_channel_ref(ot_channel_t *ch)
{
    ot_shared_ref(&ch->head);
}

ot_node_t *
ot_channel_unref_any(ot_shared_t *shared)
{
    ot_node_t *chain = NULL, **outer = gathered;
    gathered = &chain;
    ot_shared_unref(shared);
    gathered = outer;
    return chain;
}

ot_node_t *
ot_channel_unref(ot_channel_t *ch)
{
    return ot_channel_unref_any(&ch->head);
}

ot_shared_t *
ot_channel_shared(ot_channel_t *ch)
{
    return &ch->head;
}

/* ---- send ------------------------------------------------------------------------------- */

/* What to report when there was nothing to take, after a wait that ended with `why`. */
static ot_channel_result_t
gave_up(ot_park_result_t why)
{
    return why == OT_PARK_TIMEOUT ? OT_CHANNEL_TIMEOUT : OT_CHANNEL_INTERRUPTED;
}

/* Sequentially consistent: see "no wake-up is lost". */
static bool
has_place_locked(ot_channel_t *ch)
{
    size_t used = relaxed(&ch->news.committed) + relaxed(&ch->in.reserved);
    if (ch->maxsize == 0 || used - ch->in.taken_seen < ch->maxsize) {
        return true;
    }
    ch->in.taken_seen = atomic_load(&ch->out.taken);
    return used - ch->in.taken_seen < ch->maxsize;
}

/* Whether so many bytes fit beside what waits and is reserved, or there is nothing else. */
static bool
has_room_locked(ot_channel_t *ch, size_t others, size_t bytes)
{
    size_t used = others - atomic_load(&ch->out.bytes_taken);
    return ch->maxbytes == 0 || used == 0 || (used <= ch->maxbytes && bytes <= ch->maxbytes - used);
}

static bool
fits_locked(ot_channel_t *ch, size_t bytes)
{
    return has_place_locked(ch) &&
           has_room_locked(ch, ch->in.bytes_committed + ch->in.bytes_reserved, bytes);
}

bool
ot_channel_may_reserve_locked(ot_channel_t *ch, size_t bytes)
{
    return (ch->maxbytes == 0 || ch->waiting.senders.first == NULL) && fits_locked(ch, bytes);
}

static void
reserve_locked(ot_channel_t *ch, size_t bytes)
{
    set_relaxed(&ch->in.reserved, relaxed(&ch->in.reserved) + 1);
    ch->in.bytes_reserved += bytes;
}

/* With maxbytes: reserves for those who wait, in their order, as far as they fit. */
static void
grant_locked(ot_channel_t *ch)
{
    waiter_t *w;
    while ((w = ch->waiting.senders.first) != NULL && fits_locked(ch, w->bytes)) {
        reserve_locked(ch, w->bytes);
        w->granted = true;
        wake_one_locked(&ch->waiting.senders);
    }
}

static void
place_is_made_locked(ot_channel_t *ch)
{
    if (ch->maxbytes == 0) {
        wake_one_locked(&ch->waiting.senders);
    } else {
        grant_locked(ch);
    }
    if (ch->waiting.senders.armed) {
        ot_channel_tell_places_locked(ch);
        blocked_settle_locked(&ch->waiting.senders);
    }
}

/* Parks until woken, deadline or signal; not if there is a place after all. Called and returns
 * with in.lock held. *granted: a place is reserved. */
static ot_park_result_t
wait_for_place_locked(ot_channel_t *ch, size_t bytes, int64_t deadline, ot_stop_t *stop,
                      bool *granted)
{
    atomic_store(&ch->waiting.senders.some, true);
    if (ot_channel_may_reserve_locked(ch, bytes)) {
        blocked_settle_locked(&ch->waiting.senders);
        return OT_PARK_WOKEN;
    }
    waiter_t w = {.stop = stop, .bytes = bytes};
    ot_parker_init(&w.parker);
    blocked_append_locked(&ch->waiting.senders, &w);
    pthread_mutex_unlock(&ch->in.lock);
    ot_park_result_t result = ot_park(&w.parker, deadline);
    pthread_mutex_lock(&ch->in.lock);
    if (w.listed) {
        blocked_remove_locked(&ch->waiting.senders, &w);
        if (ch->maxbytes != 0) {
            grant_locked(ch); /* who waits behind us may want less */
        }
    }
    ot_parker_destroy(&w.parker);
    *granted = w.granted;
    return result;
}

ot_channel_result_t
ot_channel_reserve(ot_channel_t *ch, int64_t deadline)
{
    return ot_channel_reserve_bytes(ch, 0, deadline, NULL);
}

ot_channel_result_t
ot_channel_reserve_bytes(ot_channel_t *ch, size_t bytes, int64_t deadline, ot_stop_t *stop)
{
    ot_channel_result_t result = OT_CHANNEL_OK;
    bool granted = false;
    ot_park_result_t why = deadline == OT_DONT_WAIT ? OT_PARK_TIMEOUT : OT_PARK_WOKEN;
    pthread_mutex_lock(&ch->in.lock);
    for (;;) {
        if (granted) {
            /* also if it was closed since: the place was reserved in time */
        } else if (is_closed(ch)) {
            result = OT_CHANNEL_CLOSED;
        } else if (ot_channel_may_reserve_locked(ch, bytes)) {
            reserve_locked(ch, bytes);
        } else if (is_given_up(stop)) {
            result = OT_CHANNEL_STOPPED;
        } else if (why == OT_PARK_WOKEN) {
            why = wait_for_place_locked(ch, bytes, deadline, stop, &granted);
            continue;
        } else {
            result = gave_up(why);
        }
        break;
    }
    pthread_mutex_unlock(&ch->in.lock);
    return result;
}

bool
ot_channel_weigh(ot_channel_t *ch, size_t from, size_t to)
{
    pthread_mutex_lock(&ch->in.lock);
    size_t others = ch->in.bytes_committed + ch->in.bytes_reserved - from;
    bool fits =
        to <= from || (ch->waiting.senders.first == NULL && has_room_locked(ch, others, to));
    if (fits) {
        ch->in.bytes_reserved += to - from;
    }
    if (to < from) {
        place_is_made_locked(ch);
    }
    pthread_mutex_unlock(&ch->in.lock);
    return fits;
}

void
ot_channel_commit(ot_channel_t *ch, ot_node_t *node)
{
    node->next = NULL;
    pthread_mutex_lock(&ch->in.lock);
    set_relaxed(&ch->in.reserved, relaxed(&ch->in.reserved) - 1);
    if (ch->maxbytes != 0) {
        ch->in.bytes_reserved -= node->bytes;
        ch->in.bytes_committed += node->bytes;
    }
    *(ch->in.last ? &ch->in.last->next : &ch->in.first) = node;
    ch->in.last = node;
    set_relaxed(&ch->news.committed, relaxed(&ch->news.committed) + 1);
    wake_one_locked(&ch->waiting.receivers);
    if (is_watched(ch)) {
        ot_channel_tell_locked(ch);
    }
    pthread_mutex_unlock(&ch->in.lock);
}

void
ot_channel_cancel(ot_channel_t *ch)
{
    ot_channel_cancel_bytes(ch, 0);
}

void
ot_channel_cancel_bytes(ot_channel_t *ch, size_t bytes)
{
    pthread_mutex_lock(&ch->in.lock);
    set_relaxed(&ch->in.reserved, relaxed(&ch->in.reserved) - 1);
    ch->in.bytes_reserved -= bytes;
    place_is_made_locked(ch);
    if (is_closed(ch)) {
        wake_all_locked(&ch->waiting.receivers); /* they may have waited for this place's message */
        if (is_watched(ch)) {
            ot_channel_tell_locked(ch);
        }
    }
    pthread_mutex_unlock(&ch->in.lock);
}

/* ---- receive ---------------------------------------------------------------------------- */

/* Released for ot_channel_qsize: who sees this sees as many committed (litmus channel_qsize). */
static void
set_taken_locked(ot_channel_t *ch, size_t taken)
{
    atomic_store_explicit(&ch->out.taken, taken, memory_order_release);
}

/* The oldest message, NULL if there is none. out.lock held; may take in.lock. */
static ot_node_t *
take_locked(ot_channel_t *ch)
{
    size_t taken = relaxed(&ch->out.taken);
    if (ch->out.first == NULL) {
        if (relaxed(&ch->news.committed) == taken) {
            return NULL; /* without disturbing the senders */
        }
        pthread_mutex_lock(&ch->in.lock);
        ch->out.first = ch->in.first;
        ch->in.first = ch->in.last = NULL;
        pthread_mutex_unlock(&ch->in.lock);
    }
    ot_node_t *node = ch->out.first;
    ch->out.first = node->next;
    node->next = NULL;
    if (!ch->bounded) {
        set_taken_locked(ch, taken + 1);
    } else {
        if (ch->maxbytes != 0) {
            atomic_store(&ch->out.bytes_taken, relaxed(&ch->out.bytes_taken) + node->bytes);
        }
        atomic_store(&ch->out.taken, taken + 1); /* before the look at senders.some */
    }
    return node;
}

/* A message has been taken: there is a place, and perhaps nothing more to come. No lock held. */
static void
after_taking(ot_channel_t *ch)
{
    if (ch->bounded && atomic_load(&ch->waiting.senders.some)) {
        pthread_mutex_lock(&ch->in.lock);
        place_is_made_locked(ch);
        pthread_mutex_unlock(&ch->in.lock);
    }
    /* The last one: `watched` was set under out.lock, so who took before does not miss that it was. */
    if (is_watched(ch) && relaxed(&ch->news.committed) == relaxed(&ch->out.taken)) {
        pthread_mutex_lock(&ch->in.lock);
        ot_channel_tell_locked(ch);
        pthread_mutex_unlock(&ch->in.lock);
    }
    /* The thread that closes wakes all waiters; this wakes those who came after that. */
    if (is_closed(ch)) {
        lock_both(ch);
        if (ch->out.first == NULL && ch->in.first == NULL && relaxed(&ch->in.reserved) == 0) {
            wake_all_locked(&ch->waiting.receivers);
        }
        unlock_both(ch);
    }
}

/* Parks until woken, deadline or signal. Called with both locks held, returns with neither. */
static ot_park_result_t
wait_for_message_unlock(ot_channel_t *ch, int64_t deadline, ot_stop_t *stop)
{
    waiter_t w = {.stop = stop};
    ot_parker_init(&w.parker);
    blocked_append_locked(&ch->waiting.receivers, &w);
    unlock_both(ch);
    ot_park_result_t result = ot_park(&w.parker, deadline);
    pthread_mutex_lock(&ch->in.lock);
    if (w.listed) {
        blocked_remove_locked(&ch->waiting.receivers, &w);
    }
    pthread_mutex_unlock(&ch->in.lock);
    ot_parker_destroy(&w.parker);
    return result;
}

/* When take_locked found nothing, with out.lock held: waits, or says why not. Lets go of the lock.
 * OK means "look again". */
static ot_channel_result_t
found_nothing_unlock(ot_channel_t *ch, int64_t deadline, ot_stop_t *stop, ot_park_result_t *why)
{
    ot_channel_result_t result = OT_CHANNEL_OK;
    pthread_mutex_lock(&ch->in.lock);
    if (ch->in.first != NULL) {
        unlock_both(ch); /* just come */
        return result;
    }
    if (is_closed(ch) && relaxed(&ch->in.reserved) == 0) {
        result = OT_CHANNEL_CLOSED;
    } else if (is_given_up(stop)) {
        result = OT_CHANNEL_STOPPED;
    } else if (*why == OT_PARK_WOKEN) {
        *why = wait_for_message_unlock(ch, deadline, stop);
        return result;
    } else {
        result = gave_up(*why);
    }
    unlock_both(ch);
    return result;
}

ot_channel_result_t
ot_channel_recv(ot_channel_t *ch, int64_t deadline, ot_node_t **node)
{
    return ot_channel_recv_until(ch, deadline, NULL, node);
}

ot_channel_result_t
ot_channel_recv_until(ot_channel_t *ch, int64_t deadline, ot_stop_t *stop, ot_node_t **node)
{
    ot_channel_result_t result = OT_CHANNEL_OK;
    ot_park_result_t why = deadline == OT_DONT_WAIT ? OT_PARK_TIMEOUT : OT_PARK_WOKEN;
    while (result == OT_CHANNEL_OK) {
        pthread_mutex_lock(&ch->out.lock);
        if (has_all_locked(ch, stop)) {
            pthread_mutex_unlock(&ch->out.lock);
            return OT_CHANNEL_STOPPED;
        }
        ot_node_t *taken = take_locked(ch);
        if (taken != NULL) {
            pthread_mutex_unlock(&ch->out.lock);
            after_taking(ch);
            *node = taken;
            break;
        }
        result = found_nothing_unlock(ch, deadline, stop, &why);
    }
    return result;
}

void
ot_channel_unrecv(ot_channel_t *ch, ot_node_t *node)
{
    lock_both(ch);
    node->next = ch->out.first;
    ch->out.first = node;
    set_taken_locked(ch, relaxed(&ch->out.taken) - 1);
    if (ch->maxbytes != 0) {
        set_relaxed(&ch->out.bytes_taken, relaxed(&ch->out.bytes_taken) - node->bytes);
    }
    ch->in.taken_seen = relaxed(&ch->out.taken);
    wake_one_locked(&ch->waiting.receivers);
    if (is_watched(ch)) {
        ot_channel_tell_locked(ch);
    }
    unlock_both(ch);
}

ot_node_t *
ot_channel_close(ot_channel_t *ch, bool discard)
{
    ot_node_t *left = NULL;
    lock_both(ch);
    atomic_store_explicit(&ch->news.closed, true, memory_order_relaxed);
    if (discard) {
        left = take_all(ch);
        set_taken_locked(ch, relaxed(&ch->news.committed));
        set_relaxed(&ch->out.bytes_taken, ch->in.bytes_committed);
    }
    wake_all_locked(&ch->waiting.receivers);
    wake_all_locked(&ch->waiting.senders);
    if (is_watched(ch)) {
        ot_channel_tell_locked(ch);
        ot_channel_tell_places_locked(ch);
    }
    unlock_both(ch);
    return left;
}

/* ---- looking ---------------------------------------------------------------------------- */

uint64_t
ot_channel_id(const ot_channel_t *ch)
{
    return ch->head.id;
}

size_t
ot_channel_maxsize(const ot_channel_t *ch)
{
    return ch->maxsize;
}

size_t
ot_channel_maxbytes(const ot_channel_t *ch)
{
    return ch->maxbytes;
}

size_t
ot_channel_qbytes(ot_channel_t *ch)
{
    pthread_mutex_lock(&ch->in.lock);
    size_t bytes = ch->in.bytes_committed - relaxed(&ch->out.bytes_taken);
    pthread_mutex_unlock(&ch->in.lock);
    return bytes;
}

size_t
ot_channel_qsize(ot_channel_t *ch)
{
    /* First `taken`, with acquire: then `committed` is as large at least, and the difference is not negative. */
    size_t taken = atomic_load_explicit(&ch->out.taken, memory_order_acquire);
    return relaxed(&ch->news.committed) - taken;
}

bool
ot_channel_is_closed(ot_channel_t *ch)
{
    return is_closed(ch);
}

size_t
ot_channel_count(void)
{
    return ot_shared_count_kind(&ot_channel_kind);
}
