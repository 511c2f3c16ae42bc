/* channel.h: a process-wide queue of messages, many senders and many receivers. No Python.
 *
 * What a tunnel is underneath. A message is an opaque node; whose memory it is and what it holds
 * is the caller's business. Blocking calls park without polling and hold no lock; Python callers
 * let go of their GIL first. A caller in a hurry watches a while before it blocks.
 *
 * Sending is in two steps: reserve a place (may block), then commit the message into it or
 * cancel. So a sender takes its tree apart only when nothing can fail any more.
 *
 * Which operations may run at once: all of them, from any thread, each as long as its caller
 * holds a reference. Order: messages leave in the order of their commits. Waiters are woken in
 * the order in which they came, but a newcomer may overtake one that is waking up.
 */
#ifndef OT_TUNNEL_CHANNEL_H
#define OT_TUNNEL_CHANNEL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/shared.h"

/* First member of every message. bytes: what its place was reserved with; only channels with maxbytes look. */
typedef struct ot_node {
    struct ot_node *next;
    size_t bytes;
} ot_node_t;

/* A shared object (shared.h) of this kind. */
typedef struct ot_channel ot_channel_t;
extern const ot_shared_kind_t ot_channel_kind;

typedef enum {
    OT_CHANNEL_STOPPED = -4,     /* by the caller's ot_stop_t */
    OT_CHANNEL_INTERRUPTED = -3, /* a signal handler ran: look at the signal, then call again */
    OT_CHANNEL_CLOSED = -2,
    OT_CHANNEL_TIMEOUT = -1,
    OT_CHANNEL_OK = 0,
} ot_channel_result_t;

/* By which other threads end one thread's waiting, and see that it waits. Messages are numbered from
 * 1 in the order of their commits. Written under the channel's locks. */
typedef struct {
    atomic_size_t last;   /* receivers: nothing after the message of this number is taken */
    atomic_bool given_up; /* the wait ends where it would go on */
    atomic_bool asleep;   /* nobody has woken it yet */
} ot_stop_t;

typedef enum {
    OT_WATCH_VAIN = -1,   /* watched, and nothing came */
    OT_WATCH_SKIPPED = 0, /* it would not have paid */
    OT_WATCH_SEEN = 1,    /* there is something, or somebody closed: try; others may be faster */
} ot_watch_result_t;

/* A channel in which at most maxsize messages wait; 0: no limit. A new reference, or NULL without memory. */
ot_channel_t *ot_channel_new(size_t maxsize);

/* A channel with a limit of bytes as well: the messages that wait have at most maxbytes in all, or there is a single message
 * of more; 0: no limit. With maxbytes, senders that wait are served strictly in their order, so that one with a large
 * message is not overtaken for ever. A new reference, or NULL without memory. */
ot_channel_t *ot_channel_new_bounded(size_t maxsize, size_t maxbytes);

void ot_channel_ref(ot_channel_t *ch);

/* Drops a reference. Returns the chain of messages that nobody will receive any more when it
 * was the last one (the caller owns them), NULL otherwise. */
ot_node_t *ot_channel_unref(ot_channel_t *ch);

/* Drops a reference to a shared object of any kind. Returns the messages of all channels that died with it:
 * the object itself, or what it held. */
ot_node_t *ot_channel_unref_any(ot_shared_t *shared);

/* Sets the function that gets the messages of channels whose last reference goes by ot_shared_unref, which returns no messages. The
 * thread that drops the reference calls it, and may have no thread state. */
void ot_channel_set_heir(void (*heir)(ot_node_t *chain));

ot_shared_t *ot_channel_shared(ot_channel_t *ch);

/* Waits until the queue has a place for a message of so many bytes (they count in channels with maxbytes only), and
 * reserves it: OK. TIMEOUT, INTERRUPTED, CLOSED, or STOPPED by `stop` (NULL: nothing stops it): nothing was reserved. */
ot_channel_result_t ot_channel_reserve_bytes(ot_channel_t *ch, size_t bytes, int64_t deadline,
                                             ot_stop_t *stop);

/* ot_channel_reserve_bytes of a message of 0 bytes, without a stop. */
ot_channel_result_t ot_channel_reserve(ot_channel_t *ch, int64_t deadline);

/* Gives a place that was reserved with `from` bytes `to` bytes. False: there is no room for them, and nothing has changed. */
bool ot_channel_weigh(ot_channel_t *ch, size_t from, size_t to);

/* Looks for a place, for some microseconds at most (spin.h), without a lock or a system call.
 * A signal or poke that comes meanwhile does not end it: look for those before blocking. */
ot_watch_result_t ot_channel_watch_place(ot_channel_t *ch, int64_t deadline);

/* Puts a message into the reserved place, which has node->bytes; cannot fail. Also after close: a place that was
 * reserved in time is honoured. */
void ot_channel_commit(ot_channel_t *ch, ot_node_t *node);

/* Gives a place back that was reserved with 0 bytes. */
void ot_channel_cancel(ot_channel_t *ch);

/* Gives a place back that was reserved with so many bytes. */
void ot_channel_cancel_bytes(ot_channel_t *ch, size_t bytes);

/* Waits for a message and takes the oldest: OK. TIMEOUT, INTERRUPTED; CLOSED: the queue is closed and empty. */
ot_channel_result_t ot_channel_recv(ot_channel_t *ch, int64_t deadline, ot_node_t **node);

/* ot_channel_recv, which `stop` can end as well (NULL: nothing does). */
ot_channel_result_t ot_channel_recv_until(ot_channel_t *ch, int64_t deadline, ot_stop_t *stop,
                                          ot_node_t **node);

/* Fills in a stop that ends no wait yet. */
void ot_stop_init(ot_stop_t *stop);

/* From now on receivers with this stop take only messages that are in the queue now. When those are gone, whoever took them,
 * their waits end with STOPPED. */
void ot_channel_stop_after_last(ot_channel_t *ch, ot_stop_t *stop);

/* Ends the waits in the channel that have this stop, and those that begin later, with STOPPED. */
void ot_channel_give_up(ot_channel_t *ch, ot_stop_t *stop);

/* Looks for a message, for some microseconds at most (spin.h), without a lock or a system call. A signal or poke that comes
 * meanwhile does not end it: look for those before blocking. */
ot_watch_result_t ot_channel_watch_message(ot_channel_t *ch, int64_t deadline);

/* Puts a message that could not be rebuilt back to the head, though the queue be full. */
void ot_channel_unrecv(ot_channel_t *ch, ot_node_t *node);

/* No more reservations; receivers drain what is there. Closing twice is fine. With `discard`
 * returns the chain of queued messages, now the caller's. */
ot_node_t *ot_channel_close(ot_channel_t *ch, bool discard);

/* ---- several channels, and event loops ------------------------------------------------------ */

/* A thread in ot_channel_select, for one of its channels. */
typedef struct ot_watcher {
    struct ot_watcher *next, *prev;
    struct ot_parker *parker;
    ot_stop_t *stop;
    bool told;
} ot_watcher_t;

/* Whether a receive would not wait: there is a message, or none can come any more. */
bool ot_channel_is_ready(ot_channel_t *ch);

/* Waits until one of the n channels is ready, and says which are: OK. Else all `ready` are false. Takes nothing, so another
 * receiver may be faster then. `watchers` is memory for n of them, `stop` not NULL. */
ot_channel_result_t ot_channel_select(ot_channel_t *const *channels, ot_watcher_t *watchers,
                                      bool *ready, size_t n, int64_t deadline, ot_stop_t *stop);

/* A descriptor (bell.h) that can be read from exactly while the channel is ready. The channel owns it and closes it at its end. In a
 * forked child the same number is a descriptor of the child's own. OT_NO_BELL with errno set if the system gives none. */
int ot_channel_message_fd(ot_channel_t *ch);

/* A descriptor that can be read from while the queue has a place or the channel is closed. When the last place is taken it can
 * go on being readable, until ot_channel_await_place finds no place. */
int ot_channel_place_fd(ot_channel_t *ch);

/* Whether there is a place for so many bytes or the channel is closed. If not, and ot_channel_place_fd was called before, that
 * descriptor can be read from when there may be one. */
bool ot_channel_await_place(ot_channel_t *ch, size_t bytes);

/* ---- looking ------------------------------------------------------------------------------- */

uint64_t ot_channel_id(const ot_channel_t *ch);
size_t ot_channel_maxsize(const ot_channel_t *ch);
size_t ot_channel_maxbytes(const ot_channel_t *ch);
size_t ot_channel_qsize(ot_channel_t *ch);

/* Bytes of the messages that wait; 0 without maxbytes. */
size_t ot_channel_qbytes(ot_channel_t *ch);

/* Aborts if the main invariant (channel.c) does not hold. Takes both locks; what took both ends with it
 * where OT_CHECKS is on. */
void ot_channel_check(ot_channel_t *ch);

bool ot_channel_is_closed(ot_channel_t *ch);

/* Live channels in the process. */
size_t ot_channel_count(void);

#endif
