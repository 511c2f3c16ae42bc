/* channel_parts.h: what a channel is made of, for the files that make it up and nobody else.
 *
 * channel.c has the queue and its waiters; channel_watch.c tells those who do not wait in it: threads that look for a
 * while or wait for several channels, and event loops. channel.c has the main invariant and the locks' order.
 *
 * Shared rules: `_locked` needs in.lock, and out.lock where it says so.
 */
#ifndef OT_TUNNEL_CHANNEL_PARTS_H
#define OT_TUNNEL_CHANNEL_PARTS_H

#include <pthread.h>

#include "atomics/cpu.h"
#include "runtime/bell.h"
#include "runtime/checks.h"
#include "runtime/park.h"
#include "runtime/spin.h"
#include "tunnel/channel.h"

typedef struct waiter {
    struct waiter *next, *prev;
    ot_parker_t parker;
    ot_stop_t *stop; /* NULL, or the caller's; its `asleep` is `listed` */
    size_t bytes;    /* of the message of a sender */
    bool listed;
    bool granted; /* with maxbytes: whoever woke it has reserved for it */
} waiter_t;

/* Threads that are blocked, in their order. Written under in.lock. */
typedef struct {
    waiter_t *first, *last;
    atomic_bool some; /* first != NULL or armed, or about to be; may be read without the lock */
    bool armed;       /* event loops want to be told as well (senders only) */
} blocked_t;

/* What senders write. */
typedef struct {
    pthread_mutex_t lock; /* guards this and `waiting` */
    ot_node_t *first, *last;
    size_t taken_seen; /* <= out.taken: saves looking at the receivers' line for each message */
    atomic_size_t reserved;
    size_t bytes_committed, bytes_reserved; /* 0 without maxbytes */
} inbox_t;

/* What senders tell those who watch: apart from in.lock, or watching would slow them down. Written
 * under in.lock. */
typedef struct {
    atomic_size_t committed;
    atomic_bool closed;  /* never reset; written under both locks */
    atomic_bool watched; /* somebody wants ot_channel_tell_locked; set under both locks */
} news_t;

/* What receivers write. */
typedef struct {
    pthread_mutex_t lock; /* guards this */
    ot_node_t *first;
    atomic_size_t taken;       /* unrecv lowers it, with in.lock held, too */
    atomic_size_t bytes_taken; /* unrecv lowers it, with in.lock held, too */
} outbox_t;

/* A descriptor for event loops, made when it is first asked for. Invariant (in.lock): it can be read from if `rung`. */
typedef struct {
    int fd; /* owned; OT_NO_BELL: nobody has asked */
    bool rung;
} channel_bell_t;

/* Seldom written: looked at for each message. */
typedef struct {
    blocked_t receivers, senders;
    ot_watcher_t *watchers;  /* threads in ot_channel_select */
    channel_bell_t messages; /* rung exactly while there is one, or nothing more will come */
    channel_bell_t places;   /* silent only while there is none, and senders.armed is set then */
} waiting_t;

struct ot_channel {
    ot_shared_t head;
    size_t maxsize, maxbytes;
    bool bounded; /* by one of them: senders may have to wait */

    OT_OWN_LINE inbox_t in;
    OT_OWN_LINE news_t news;
    OT_OWN_LINE outbox_t out;
    OT_OWN_LINE waiting_t waiting;
    OT_OWN_LINE ot_spin_t receiver_spin;
    ot_spin_t sender_spin;
};

/* Loads of what the calling thread's lock guards, or of hints. */
static inline size_t
relaxed(const atomic_size_t *n)
{
    return atomic_load_explicit(n, memory_order_relaxed);
}

static inline void
set_relaxed(atomic_size_t *n, size_t value)
{
    atomic_store_explicit(n, value, memory_order_relaxed);
}

static inline bool
is_closed(const ot_channel_t *ch)
{
    return atomic_load_explicit(&ch->news.closed, memory_order_relaxed);
}

static inline bool
is_watched(const ot_channel_t *ch)
{
    return atomic_load_explicit(&ch->news.watched, memory_order_relaxed);
}

/* Both locks held. */
void ot_channel_check_locked(const ot_channel_t *ch);

static inline void
lock_both(ot_channel_t *ch)
{
    pthread_mutex_lock(&ch->out.lock);
    pthread_mutex_lock(&ch->in.lock);
}

static inline void
unlock_both(ot_channel_t *ch)
{
    OT_CHECK(ot_channel_check_locked(ch));
    pthread_mutex_unlock(&ch->in.lock);
    pthread_mutex_unlock(&ch->out.lock);
}

/* Whether a sender that comes now may reserve a place for so many bytes. Under in.lock nobody lowers what was taken, so what was seen
 * of it remains true. */
bool ot_channel_may_reserve_locked(ot_channel_t *ch, size_t bytes);

/* After what may have changed whether there is a message, or whether any can come, where somebody watches: wakes and
 * tells who wants to know. */
void ot_channel_tell_locked(ot_channel_t *ch);

/* Wakes the threads in ot_channel_select. */
void ot_channel_wake_watchers_locked(ot_channel_t *ch);

/* There may be a place: tells event loops, which are armed no more. */
void ot_channel_tell_places_locked(ot_channel_t *ch);

/* For a new channel, which has no descriptors and no watchers. */
void ot_channel_init_watch(ot_channel_t *ch);

/* For a channel in a forked child, after its queue was made anew: gives it descriptors of the child's own, under the same
 * numbers. */
void ot_channel_renew_watch(ot_channel_t *ch);

/* For a channel that ends: closes its descriptors. */
void ot_channel_end_watch(ot_channel_t *ch);

void ot_channel_check_watch_locked(const ot_channel_t *ch);

#endif
