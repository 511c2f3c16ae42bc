/* tunnel_wait.c: waiting for a place or a message in a tunnel.
 *
 * Main invariant: nothing is reserved or taken when a function returns with an exception.
 * Threading: the GIL of the caller's interpreter. Waiting lets go of it and holds no lock; it comes
 * back for signals and for interrupts of workers.
 */
#include "objtunnel/tunnel.h"

#include "runtime/awaited.h"
#include "runtime/clock.h"
#include "runtime/signals.h"
#include "runtime/timeout.h"
#include "runtime/worker.h"
#include "tunnel/stuck.h"

int
ot_tunnel_patience_from(PyObject *timeout, ot_tunnel_patience_t *patience)
{
    patience->timed = timeout != NULL && timeout != Py_None;
    return ot_deadline_from(timeout, OT_NEGATIVE_REFUSED, &patience->deadline);
}

int
ot_tunnel_handle_interruption(void)
{
    return PyErr_CheckSignals() < 0 || ot_worker_check_interrupt() ? -1 : 0;
}

/* ---- waiting ------------------------------------------------------------------------------ */

/* What goes round between a thread and a channel until there is something, or no more patience. */
typedef struct {
    ot_channel_t *ch;
    int64_t deadline, interp;
    ot_stop_t *stop;
    ot_node_t *node;       /* what a receiver got */
    ot_awaited_t *awaited; /* what a dump says of the wait */
    size_t bytes;          /* how much room a sender wants */
} attempt_t;

typedef ot_channel_result_t (*try_t)(attempt_t *a, int64_t deadline);
typedef ot_watch_result_t (*watch_t)(ot_channel_t *ch, int64_t deadline);

static ot_channel_result_t
try_place(attempt_t *a, int64_t deadline)
{
    return ot_channel_reserve_bytes(a->ch, a->bytes, deadline, a->stop);
}

static ot_channel_result_t
try_message(attempt_t *a, int64_t deadline)
{
    return ot_channel_recv_until(a->ch, deadline, a->stop, &a->node);
}

/* A wait without a timeout is listed among those that nobody may ever end (tunnel/stuck.h). One with a timeout ends by itself. */
static ot_channel_result_t
sleep_for_ever(attempt_t *a, try_t try)
{
    ot_wait_t wait = {.ch = a->ch, .stop = a->stop, .interp = a->interp};
    ot_wait_begin(&wait);
    ot_channel_result_t result = try(a, OT_FOREVER);
    ot_wait_end(&wait);
    return result;
}

/* Without a GIL. */
static ot_channel_result_t
sleep_for(attempt_t *a, try_t try)
{
    ot_await_begin(a->awaited);
    ot_channel_result_t result =
        a->deadline == OT_FOREVER ? sleep_for_ever(a, try) : try(a, a->deadline);
    ot_await_end(a->awaited);
    return result;
}

static ot_channel_result_t
try_patiently(attempt_t *a, try_t try, watch_t watch)
{
    ot_channel_result_t result = OT_CHANNEL_INTERRUPTED;
    switch (watch == NULL ? OT_WATCH_SKIPPED : watch(a->ch, a->deadline)) {
    case OT_WATCH_SKIPPED:
        return sleep_for(a, try);
    case OT_WATCH_SEEN:
        result = try(a, OT_DONT_WAIT);
        return result == OT_CHANNEL_TIMEOUT ? OT_CHANNEL_INTERRUPTED : result;
    default:
        return result;
    }
}

/* A caller that found nothing with the GIL held lets go of it, watches for a while (`watch`), and then sleeps.
 *
 * Two things end a turn of the loop with INTERRUPTED, and the next turn begins with a look at signals: the watch was in
 * vain (a signal that came meanwhile would not wake a sleeper), or another thread took what the watch had seen. INTERRUPTED
 * as the result means that an exception is set. */
static ot_channel_result_t
wait_for(attempt_t *a, try_t try, watch_t watch)
{
    ot_channel_result_t result;
    do {
        Py_BEGIN_ALLOW_THREADS
        result = try_patiently(a, try, watch);
        Py_END_ALLOW_THREADS
        watch = NULL;
    } while (result == OT_CHANNEL_INTERRUPTED && ot_tunnel_handle_interruption() == 0);
    return result;
}

/* ---- reserving a place, receiving ----------------------------------------------------------- */

static void
raise_closed(ot_state_t *state, const char *text)
{
    PyErr_SetString(state->tunnel_closed, text);
}

int
ot_tunnel_reserve(ot_state_t *state, ot_channel_t *ch, size_t bytes, ot_tunnel_patience_t patience)
{
    ot_channel_result_t result = ot_channel_reserve_bytes(ch, bytes, OT_DONT_WAIT, NULL);
    if (result == OT_CHANNEL_TIMEOUT && patience.deadline != OT_DONT_WAIT) {
        ot_stop_t stop;
        ot_awaited_t awaited;
        attempt_t a = {ch,   patience.deadline, state->objects.interp_id, &stop, NULL, &awaited,
                       bytes};
        ot_stop_init(&stop);
        ot_awaited_init(&awaited, "send to", "Tunnel", ot_channel_id(ch));
        result = wait_for(&a, try_place, ot_channel_watch_place);
    }
    switch (result) {
    case OT_CHANNEL_OK:
        return 0;
    case OT_CHANNEL_CLOSED:
        raise_closed(state, "the tunnel is closed");
        break;
    case OT_CHANNEL_STOPPED:
        raise_closed(state, "the tunnel is full and nobody is left to receive: this interpreter is "
                            "being closed, and everything else in the process waits for that");
        break;
    case OT_CHANNEL_TIMEOUT:
        PyErr_SetString(patience.timed ? state->tunnel_send_timeout : state->tunnel_full,
                        "the tunnel is full");
        break;
    case OT_CHANNEL_INTERRUPTED:
        break;
    }
    return -1;
}

ot_tree_t *
ot_tunnel_receive(ot_state_t *state, ot_channel_t *ch, ot_tunnel_patience_t patience,
                  ot_stop_t *until)
{
    ot_stop_t stop;
    ot_awaited_t awaited;
    attempt_t a = {ch, patience.deadline, state->objects.interp_id, until, NULL, &awaited, 0};
    ot_channel_result_t result = try_message(&a, OT_DONT_WAIT);
    if (result == OT_CHANNEL_TIMEOUT && patience.deadline != OT_DONT_WAIT) {
        if (until == NULL) {
            ot_stop_init(&stop);
            a.stop = &stop;
        }
        ot_awaited_init(&awaited, "receive from", "Tunnel", ot_channel_id(ch));
        result = wait_for(&a, try_message, ot_channel_watch_message);
    }
    switch (result) {
    case OT_CHANNEL_OK:
        return (ot_tree_t *)a.node;
    case OT_CHANNEL_CLOSED:
        raise_closed(state, "the tunnel is closed");
        break;
    case OT_CHANNEL_STOPPED:
        if (until == NULL || atomic_load(&until->given_up)) {
            raise_closed(state, "the tunnel is empty and nobody is left to send: this interpreter "
                                "is being closed, and everything else in the process waits for "
                                "that");
        }
        break;
    case OT_CHANNEL_TIMEOUT:
        PyErr_SetString(patience.timed ? state->tunnel_timeout : state->tunnel_empty,
                        "the tunnel is empty");
        break;
    case OT_CHANNEL_INTERRUPTED:
        break;
    }
    return NULL;
}

/* ---- waiting for an interpreter's end ----------------------------------------------------- */

/* Waits in slices. Between them it looks whether all threads of the process wait for each other; if two looks in a row
 * say so, jobs of `interp` are woken. One look does not do: a thread that is just being interrupted looks as if it waited.
 * Without a GIL. */
static ot_channel_result_t
wait_for_end(ot_channel_t *status, int64_t interp)
{
    enum { FIRST = 10000000, LAST = 100000000 }; /* nanoseconds */
    uint64_t stuck = 0;
    for (int64_t slice = FIRST;; slice = slice < LAST ? slice + FIRST : LAST) {
        ot_node_t *node;
        ot_channel_result_t result = ot_channel_recv(status, ot_clock_now() + slice, &node);
        if (result != OT_CHANNEL_TIMEOUT) {
            return result;
        }
        /* One that came between two of these sleeps has ended neither, and they are too short for park.c's own look. */
        if (ot_signals_after_long_sleep() == OT_LONG_SLEEP_INTERRUPTED) {
            return OT_CHANNEL_INTERRUPTED;
        }
        uint64_t since = ot_stuck_since(interp);
        if (since != 0 && since == stuck) {
            ot_stuck_give_up(interp);
        }
        stuck = since;
    }
}

/* Until all threads of the process have waited for each other for a second: OT_CHANNEL_STOPPED. Or until `over` is closed.
 * Without a GIL. */
static ot_channel_result_t
wait_until_stuck(ot_channel_t *over, int64_t interp)
{
    enum {
        FIRST = 100000000,
        LAST = 1000000000,
        LOOKS = 10
    }; /* FIRST, LAST: nanoseconds between two looks, which get rarer while somebody is busy */
    uint64_t stuck = 0;
    int64_t slice = FIRST;
    for (int same = 0; same < LOOKS;) {
        ot_node_t *node;
        ot_channel_result_t result = ot_channel_recv(over, ot_clock_now() + slice, &node);
        if (result != OT_CHANNEL_TIMEOUT) {
            return result;
        }
        uint64_t since = ot_stuck_since(interp);
        same = since != 0 && since == stuck ? same + 1 : 0;
        slice = since != 0 ? FIRST : slice < LAST ? slice + FIRST : LAST;
        stuck = since;
    }
    return OT_CHANNEL_STOPPED;
}

bool
ot_tunnel_wait_until_stuck(ot_channel_t *over, int64_t own_interp)
{
    ot_stop_t stop;
    ot_wait_t wait = {.ch = over, .stop = &stop, .interp = own_interp};
    ot_channel_result_t result;
    ot_stop_init(&stop);
    /* counts as asleep even between its looks: it sends nothing to anybody */
    atomic_store(&stop.asleep, true);
    Py_BEGIN_ALLOW_THREADS
    ot_wait_begin(&wait);
    do {
        result = wait_until_stuck(over, own_interp);
    } while (result == OT_CHANNEL_INTERRUPTED);
    ot_wait_end(&wait);
    Py_END_ALLOW_THREADS
    return result == OT_CHANNEL_STOPPED;
}

PyObject *
ot_tunnel_receive_aside(PyObject *tunnel, ot_tunnel_patience_t patience)
{
    ot_stop_t stop;
    ot_wait_t wait = {.ch = ot_tunnel_channel(tunnel),
                      .stop = &stop,
                      .interp = ot_tunnel_state(tunnel)->objects.interp_id};
    ot_stop_init(&stop);
    atomic_store(&stop.asleep, true); /* counts as asleep even where it is awake for a moment */
    ot_wait_begin(&wait);
    PyObject *o = ot_tunnel_receive_object(tunnel, patience, NULL);
    (o == NULL ? ot_wait_end_in_vain : ot_wait_end)(&wait);
    return o;
}

int
ot_tunnel_wait_for_end(ot_channel_t *status, int64_t interp, int64_t own_interp)
{
    ot_channel_result_t result;
    ot_stop_t stop;
    ot_wait_t wait = {.ch = status, .stop = &stop, .interp = own_interp};
    ot_awaited_t awaited;
    ot_awaited_init(&awaited, "see the end of", "Interpreter", (uint64_t)interp);
    ot_stop_init(&stop);
    atomic_store(&stop.asleep, true); /* counts as asleep even between its looks */
    do {
        Py_BEGIN_ALLOW_THREADS
        ot_wait_begin(&wait);
        ot_await_begin(&awaited);
        result = wait_for_end(status, interp);
        ot_await_end(&awaited);
        ot_wait_end(&wait);
        Py_END_ALLOW_THREADS
    } while (result == OT_CHANNEL_INTERRUPTED && ot_tunnel_handle_interruption() == 0);
    return result == OT_CHANNEL_INTERRUPTED ? -1 : 0;
}
