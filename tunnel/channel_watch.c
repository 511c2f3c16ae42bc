/* channel_watch.c: telling those who do not sleep in a channel's lines (see channel.h, channel_parts.h).
 *
 * Three of them: a thread that looks for some microseconds before it sleeps; one that sleeps for several
 * channels at once; event loops, by descriptors that they sleep with among others.
 *
 * Main invariant (in.lock held): messages.rung says what is_ready_locked says, once whoever changes that has called
 * ot_channel_tell_locked; a watcher is in the list from its entering to its leaving. None of them takes anything by
 * being told: they are told in addition to the one waiter that is woken, and try as everybody does.
 *
 * No telling is lost: `watched` is set under both locks, and whoever changes what is watched looks at it under in.lock,
 * or after it held out.lock. Places: as senders do (channel.c), who arms raises `senders.some` and then looks once more.
 *
 * Threading: as channel.c.
 */
#include "tunnel/channel_parts.h"

/* ---- looking for a while ------------------------------------------------------------------ */

typedef enum { NOTHING, SOMETHING, ENOUGH } glance_t;

/* Glances without a lock: hints. */

static glance_t
look_for_message(const ot_channel_t *ch)
{
    bool some = relaxed(&ch->news.committed) != relaxed(&ch->out.taken);
    return some || is_closed(ch) ? ENOUGH : NOTHING;
}

/* A sender who has found the queue full waits for several places, as long as it watches at all:
 * going for each single one, it would run in step with the receiver and slow both down. The
 * receiver has enough to do meanwhile. */
static glance_t
look_for_places(const ot_channel_t *ch)
{
    enum { PART = 8, MOST = 32 };
    size_t enough = ch->maxsize / PART < MOST ? ch->maxsize / PART + 1 : MOST;
    size_t used = relaxed(&ch->news.committed) + relaxed(&ch->in.reserved);
    used -= relaxed(&ch->out.taken);
    if (ch->maxsize == 0 || is_closed(ch) || used + enough <= ch->maxsize) {
        return ENOUGH;
    }
    return used < ch->maxsize ? SOMETHING : NOTHING;
}

/* Skipped while other threads sleep on the same side: a watcher would take the messages that they are woken for, again and again. */
static ot_watch_result_t
watch(ot_channel_t *ch, blocked_t *before_us, ot_spin_t *spin,
      glance_t (*look)(const ot_channel_t *), int64_t deadline)
{
    enum { GLANCES = 8 }; /* between two looks at the clock */
    if (deadline == OT_DONT_WAIT || atomic_load_explicit(&before_us->some, memory_order_relaxed) ||
        !ot_spin_begin(spin)) {
        return OT_WATCH_SKIPPED;
    }
    int64_t end = ot_clock_now() + OT_SPIN_NS;
    glance_t seen = NOTHING;
    do {
        for (int i = 0; i < GLANCES && (seen = look(ch)) != ENOUGH; i++) {
            ot_pause();
        }
    } while (seen != ENOUGH && ot_clock_now() < (end < deadline ? end : deadline));
    ot_spin_end(spin, seen != NOTHING);
    return seen != NOTHING ? OT_WATCH_SEEN : OT_WATCH_VAIN;
}

ot_watch_result_t
ot_channel_watch_message(ot_channel_t *ch, int64_t deadline)
{
    return watch(ch, &ch->waiting.receivers, &ch->receiver_spin, look_for_message, deadline);
}

ot_watch_result_t
ot_channel_watch_place(ot_channel_t *ch, int64_t deadline)
{
    if (ch->maxbytes != 0) {
        return OT_WATCH_SKIPPED; /* who comes after others waits behind them */
    }
    return watch(ch, &ch->waiting.senders, &ch->sender_spin, look_for_places, deadline);
}

/* ---- telling ------------------------------------------------------------------------------ */

/* Whether a receive would not wait. */
static bool
is_ready_locked(const ot_channel_t *ch)
{
    return relaxed(&ch->news.committed) != relaxed(&ch->out.taken) ||
           (is_closed(ch) && relaxed(&ch->in.reserved) == 0);
}

static void
set_bell_locked(channel_bell_t *bell, bool rung)
{
    if (bell->fd != OT_NO_BELL && bell->rung != rung) {
        if (rung) {
            ot_bell_ring(bell->fd);
        } else {
            ot_bell_hush(bell->fd);
        }
        bell->rung = rung;
    }
}

void
ot_channel_wake_watchers_locked(ot_channel_t *ch)
{
    for (ot_watcher_t *w = ch->waiting.watchers; w != NULL; w = w->next) {
        if (!w->told) {
            w->told = true;
            atomic_store_explicit(&w->stop->asleep, false, memory_order_release);
            ot_unpark(w->parker);
        }
    }
}

void
ot_channel_tell_locked(ot_channel_t *ch)
{
    bool ready = is_ready_locked(ch);
    set_bell_locked(&ch->waiting.messages, ready);
    if (ready) {
        ot_channel_wake_watchers_locked(ch);
    }
}

void
ot_channel_tell_places_locked(ot_channel_t *ch)
{
    set_bell_locked(&ch->waiting.places, true);
    ch->waiting.senders.armed = false;
}

static void
settle_watched_locked(ot_channel_t *ch)
{
    bool watched = ch->waiting.watchers != NULL || ch->waiting.messages.fd != OT_NO_BELL ||
                   ch->waiting.places.fd != OT_NO_BELL;
    atomic_store_explicit(&ch->news.watched, watched, memory_order_relaxed);
}

/* ---- event loops -------------------------------------------------------------------------- */

/* Both locks held. False with errno set if there is no descriptor. */
static bool
make_bell_locked(ot_channel_t *ch, channel_bell_t *bell)
{
    if (bell->fd == OT_NO_BELL) {
        bell->fd = ot_bell_open();
        bell->rung = false;
        settle_watched_locked(ch);
    }
    return bell->fd != OT_NO_BELL;
}

int
ot_channel_message_fd(ot_channel_t *ch)
{
    lock_both(ch);
    if (make_bell_locked(ch, &ch->waiting.messages)) {
        ot_channel_tell_locked(ch);
    }
    int fd = ch->waiting.messages.fd;
    unlock_both(ch);
    return fd;
}

int
ot_channel_place_fd(ot_channel_t *ch)
{
    lock_both(ch);
    bool is_new = ch->waiting.places.fd == OT_NO_BELL;
    if (make_bell_locked(ch, &ch->waiting.places) && is_new) {
        set_bell_locked(&ch->waiting.places, true); /* until somebody finds no place */
    }
    int fd = ch->waiting.places.fd;
    unlock_both(ch);
    return fd;
}

bool
ot_channel_await_place(ot_channel_t *ch, size_t bytes)
{
    pthread_mutex_lock(&ch->in.lock);
    bool vain = !is_closed(ch) && !ot_channel_may_reserve_locked(ch, bytes);
    if (vain && ch->waiting.places.fd != OT_NO_BELL) {
        ch->waiting.senders.armed = true;
        atomic_store(&ch->waiting.senders.some, true);
        set_bell_locked(&ch->waiting.places, false);
        if (ot_channel_may_reserve_locked(
                ch, bytes)) { /* made before anybody could know that we wait */
            ot_channel_tell_places_locked(ch);
            vain = false;
        }
    }
    pthread_mutex_unlock(&ch->in.lock);
    return !vain;
}

void
ot_channel_init_watch(ot_channel_t *ch)
{
    ch->waiting.watchers = NULL;
    ch->waiting.messages = ch->waiting.places = (channel_bell_t){OT_NO_BELL, false};
    settle_watched_locked(ch);
}

static void
renew_bell(channel_bell_t *bell)
{
    if (bell->fd != OT_NO_BELL) {
        *bell = (channel_bell_t){ot_bell_renew(bell->fd), false};
    }
}

/* The descriptors are the parent's as well: whoever rang here would be heard there. The watchers are threads that do
 * not exist here. */
void
ot_channel_renew_watch(ot_channel_t *ch)
{
    renew_bell(&ch->waiting.messages);
    renew_bell(&ch->waiting.places);
    ch->waiting.watchers = NULL;
    settle_watched_locked(ch);
    ot_channel_tell_locked(ch);
    ot_channel_tell_places_locked(ch);
}

void
ot_channel_end_watch(ot_channel_t *ch)
{
    ot_bell_close(ch->waiting.messages.fd);
    ot_bell_close(ch->waiting.places.fd);
}

void
ot_channel_check_watch_locked(const ot_channel_t *ch)
{
    const waiting_t *waiting = &ch->waiting;
    const ot_watcher_t *before = NULL;
    for (const ot_watcher_t *w = waiting->watchers; w != NULL; before = w, w = w->next) {
        OT_MUST(w->prev == before);
    }
    OT_MUST(is_watched(ch) == (waiting->watchers != NULL || waiting->messages.fd != OT_NO_BELL ||
                               waiting->places.fd != OT_NO_BELL));
    OT_MUST(!waiting->messages.rung || waiting->messages.fd != OT_NO_BELL);
    OT_MUST(waiting->places.fd == OT_NO_BELL || waiting->places.rung != waiting->senders.armed);
    OT_MUST(!waiting->receivers.armed);
}

/* ---- several channels at once ------------------------------------------------------------- */

static bool
enter_watcher(ot_channel_t *ch, ot_watcher_t *w)
{
    lock_both(ch);
    w->prev = NULL;
    w->next = ch->waiting.watchers;
    if (w->next != NULL) {
        w->next->prev = w;
    }
    ch->waiting.watchers = w;
    settle_watched_locked(ch);
    bool ready = is_ready_locked(ch);
    unlock_both(ch);
    return ready;
}

static bool
leave_watcher(ot_channel_t *ch, ot_watcher_t *w)
{
    lock_both(ch);
    *(w->prev != NULL ? &w->prev->next : &ch->waiting.watchers) = w->next;
    if (w->next != NULL) {
        w->next->prev = w->prev;
    }
    settle_watched_locked(ch);
    bool ready = is_ready_locked(ch);
    unlock_both(ch);
    return ready;
}

bool
ot_channel_is_ready(ot_channel_t *ch)
{
    pthread_mutex_lock(&ch->in.lock);
    bool ready = is_ready_locked(ch);
    pthread_mutex_unlock(&ch->in.lock);
    return ready;
}

/* One sleep. OK: it may be worth a look. */
static ot_channel_result_t
sleep_for_any(ot_channel_t *const *channels, ot_watcher_t *watchers, bool *ready, size_t n,
              int64_t deadline, ot_stop_t *stop)
{
    bool any = false;
    ot_park_result_t why = OT_PARK_WOKEN;
    ot_parker_t parker;
    ot_parker_init(&parker);
    atomic_store_explicit(&stop->asleep, true, memory_order_release);
    for (size_t i = 0; i < n; i++) {
        watchers[i] = (ot_watcher_t){.parker = &parker, .stop = stop};
        any = enter_watcher(channels[i], &watchers[i]) || any;
    }
    if (!any && !atomic_load(&stop->given_up)) {
        why = ot_park(&parker, deadline);
    }
    any = false;
    for (size_t i = 0; i < n; i++) {
        ready[i] = leave_watcher(channels[i], &watchers[i]);
        any = any || ready[i];
    }
    atomic_store_explicit(&stop->asleep, false, memory_order_release);
    ot_parker_destroy(&parker);
    if (any || why == OT_PARK_WOKEN) {
        return OT_CHANNEL_OK;
    }
    return why == OT_PARK_TIMEOUT ? OT_CHANNEL_TIMEOUT : OT_CHANNEL_INTERRUPTED;
}

ot_channel_result_t
ot_channel_select(ot_channel_t *const *channels, ot_watcher_t *watchers, bool *ready, size_t n,
                  int64_t deadline, ot_stop_t *stop)
{
    size_t found = 0;
    for (size_t i = 0; i < n; i++) {
        ready[i] = ot_channel_is_ready(channels[i]);
        found += ready[i];
    }
    ot_channel_result_t result = OT_CHANNEL_OK;
    while (found == 0 && result == OT_CHANNEL_OK) {
        if (deadline == OT_DONT_WAIT) {
            return OT_CHANNEL_TIMEOUT;
        }
        if (atomic_load(&stop->given_up)) {
            return OT_CHANNEL_STOPPED;
        }
        result = sleep_for_any(channels, watchers, ready, n, deadline, stop);
        for (size_t i = 0; i < n; i++) {
            found += ready[i];
        }
    }
    return result;
}
