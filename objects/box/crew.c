/* crew.c: see crew.h.
 *
 * Main invariant: that of ot_member_t.
 * Threading: a member's lock guards its queues and its sleep; never two of them at once. Hosts come and go under the
 * crew's guard.
 */
#include "objects/box/crew.h"

#include <stdlib.h>

#include "runtime/bell.h"
#include "runtime/checks.h"
#include "runtime/spin.h"

typedef struct {
    ot_behaviour_t *first, *last;
} line_t;

/* Invariant (under lock): length counts what is in `open`; `woken` is set for a member that sleeps, or will find it
 * before it does. */
typedef struct ot_member {
    pthread_mutex_t lock;
    line_t open;  /* any member may take from it; a host's is empty */
    line_t bound; /* only this one */
    atomic_size_t length, bound_length;
    ot_waitlist_t sleeper; /* the member itself; of a host, threads that wait in host_wait */
    bool woken;
    bool joined;
    _Atomic uint64_t moved, copied, pickled, stayed; /* written by the member alone */
    _Atomic int64_t interp; /* a host's; -1: this place is free, or no host's */
    _Atomic uint64_t
        thread;    /* a host's: the thread that runs what is bound to it, 0: whichever comes */
    atomic_int fd; /* a host's; -1: nobody has asked for it */
} ot_member_t;

/* Never freed: who made a behaviour ready may be anywhere in here. */
typedef struct {
    size_t n;
    _Atomic uint64_t
        idle; /* bit i: member i is about to sleep or sleeps, and nobody has decided to wake it */
    atomic_uint turn; /* whose queue is next for who has none of its own */
    atomic_bool stopping;
    _Atomic uint64_t scheduled, done, taken;
    atomic_size_t present; /* members that have not left; those that are still to join included */
    atomic_size_t waiting; /* threads in `waiters`, or about to be */
    pthread_mutex_t guard; /* guards waiters */
    ot_waitlist_t waiters;
    ot_spin_t spin;
    atomic_int hosts;      /* how many there are; raised and lowered under guard */
    ot_member_t members[]; /* n, and places for hosts */
} crew_t;

static crew_t *_Atomic the_crew;

/* The host that the calling thread has run for last, and the thread's token. */
static pthread_key_t host_key;
static pthread_once_t host_once = PTHREAD_ONCE_INIT;
static __thread uint64_t host_token;

static __thread ot_member_t *self; /* NULL: the thread is no member */
static __thread bool finishes, kept;

static size_t
all_of(const crew_t *crew)
{
    return crew->n + OT_CREW_HOSTS;
}

static bool
is_host(crew_t *crew, const ot_member_t *member)
{
    return member >= &crew->members[crew->n];
}

bool
ot_crew_is_worker(void)
{
    return self != NULL && !is_host(the_crew, self);
}

bool
ot_crew_has(int member, int64_t interp)
{
    crew_t *crew = the_crew;
    ot_member_t *m = crew == NULL ? NULL : &crew->members[member];
    if (m == NULL) {
        return true; /* in a forked child, where nobody ends */
    }
    pthread_mutex_lock(&m->lock);
    bool has = m->joined && (!is_host(crew, m) || atomic_load(&m->interp) == interp);
    pthread_mutex_unlock(&m->lock);
    return has;
}

/* ---- queues ---------------------------------------------------------------------------------- */

static size_t
count(const line_t *line)
{
    size_t n = 0;
    const ot_behaviour_t *last = NULL;
    for (const ot_behaviour_t *b = line->first; b != NULL; last = b, b = b->next) {
        OT_MUST(b->missing == 0);
        n++;
    }
    OT_MUST(line->last == last);
    return n;
}

void
ot_member_check_locked(const ot_member_t *member)
{
    OT_MUST(member->length == count(&member->open));
    OT_MUST(member->bound_length == count(&member->bound));
    ot_waitlist_check_locked(&member->sleeper);
}

static void
append(line_t *line, ot_behaviour_t *b)
{
    b->next = NULL;
    *(line->last != NULL ? &line->last->next : &line->first) = b;
    line->last = b;
}

static ot_behaviour_t *
pop(line_t *line)
{
    ot_behaviour_t *b = line->first;
    if (b != NULL) {
        line->first = b->next;
        line->last = line->first == NULL ? NULL : line->last;
        b->next = NULL;
    }
    return b;
}

static void
unlock(ot_member_t *member)
{
    OT_CHECK(ot_member_check_locked(member));
    pthread_mutex_unlock(&member->lock);
}

static void
wake_locked(ot_member_t *member)
{
    member->woken = true;
    ot_wake_all_locked(&member->sleeper, 1); /* a host may have several threads */
}

static void
wake(ot_member_t *member)
{
    pthread_mutex_lock(&member->lock);
    wake_locked(member);
    unlock(member);
}

static void
put(ot_member_t *member, ot_behaviour_t *b, bool wakes)
{
    pthread_mutex_lock(&member->lock);
    append(&member->open, b);
    atomic_fetch_add(&member->length, 1);
    if (wakes) {
        wake_locked(member);
    }
    unlock(member);
}

/* The first in one of the member's lines, whose length is looked at without its lock. */
static ot_behaviour_t *
take(ot_member_t *member, line_t *line, atomic_size_t *length)
{
    ot_behaviour_t *b = NULL;
    if (atomic_load(length) > 0) {
        pthread_mutex_lock(&member->lock);
        b = pop(line);
        atomic_fetch_sub(length, b != NULL);
        unlock(member);
    }
    if (b != NULL) {
        atomic_fetch_add_explicit(&((crew_t *)the_crew)->taken, 1, memory_order_relaxed);
    }
    return b;
}

ot_behaviour_t *
ot_crew_take_bound(void)
{
    return take(self, &self->bound, &self->bound_length);
}

static ot_behaviour_t *
take_from(ot_member_t *member)
{
    ot_behaviour_t *b = member == self ? ot_crew_take_bound() : NULL;
    return b != NULL ? b : take(member, &member->open, &member->length);
}

/* Own work first, then the others', beginning with the next member. */
static ot_behaviour_t *
find(crew_t *crew)
{
    size_t mine = (size_t)(self - crew->members);
    ot_behaviour_t *b = NULL;
    for (size_t i = 0; b == NULL && i < crew->n; i++) {
        b = take_from(&crew->members[(mine + i) % crew->n]);
    }
    return b;
}

static bool
is_work(crew_t *crew)
{
    bool is = atomic_load(&self->bound_length) > 0;
    for (size_t i = 0; !is && i < crew->n; i++) {
        is = atomic_load(&crew->members[i].length) > 0;
    }
    return is;
}

/* ---- life ------------------------------------------------------------------------------------ */

bool
ot_crew_start(size_t n)
{
    crew_t *none = NULL,
           *crew = calloc(1, sizeof *crew + (n + OT_CREW_HOSTS) * sizeof *crew->members);
    if (crew == NULL) {
        return false;
    }
    crew->n = n;
    crew->present = n;
    pthread_mutex_init(&crew->guard, NULL);
    ot_spin_init(&crew->spin);
    for (size_t i = 0; i < all_of(crew); i++) {
        pthread_mutex_init(&crew->members[i].lock, NULL);
        atomic_init(&crew->members[i].interp, -1);
        atomic_init(&crew->members[i].fd, -1);
    }
    if (!atomic_compare_exchange_strong(&the_crew, &none, crew)) {
        free(crew);
        return false;
    }
    return true;
}

size_t
ot_crew_size(void)
{
    crew_t *crew = the_crew;
    return crew == NULL ? 0 : crew->n;
}

void
ot_crew_stop(void)
{
    crew_t *crew = the_crew;
    atomic_store(&crew->stopping, true);
    for (size_t i = 0; i < all_of(crew); i++) {
        wake(&crew->members[i]);
    }
}

bool
ot_crew_is_stopping(void)
{
    crew_t *crew = the_crew;
    return crew != NULL && atomic_load(&crew->stopping);
}

void
ot_crew_forget(void)
{
    the_crew = NULL;
    self = NULL;
}

void
ot_crew_join(size_t index)
{
    self = &((crew_t *)the_crew)->members[index];
    pthread_mutex_lock(&self->lock);
    self->joined = true;
    unlock(self);
}

/* Gives the behaviours that were bound to the member to whichever member comes. */
static void
unjoin(ot_member_t *member)
{
    line_t left = {NULL, NULL};
    pthread_mutex_lock(&member->lock);
    member->joined = false;
    for (ot_behaviour_t *b; (b = pop(&member->bound)) != NULL;) {
        atomic_fetch_sub(&member->bound_length, 1);
        append(&left, b);
    }
    unlock(member);
    for (ot_behaviour_t *b; (b = pop(&left)) != NULL;) {
        ot_crew_put(b, -1);
    }
}

bool
ot_crew_leave(void)
{
    crew_t *crew = the_crew;
    ot_member_t *member = self;
    self = NULL;
    unjoin(member);
    return atomic_fetch_sub(&crew->present, 1) == 1 && !atomic_exchange(&crew->stopping, true);
}

int
ot_crew_self(void)
{
    return self == NULL ? -1 : (int)(self - ((crew_t *)the_crew)->members);
}

/* ---- counts ---------------------------------------------------------------------------------- */

void
ot_crew_count_scheduled(void)
{
    atomic_fetch_add_explicit(&((crew_t *)the_crew)->scheduled, 1, memory_order_relaxed);
}

static bool
all_done(crew_t *crew)
{
    uint64_t done = atomic_load(&crew->done); /* first: it never overtakes the other */
    return done == atomic_load(&crew->scheduled);
}

void
ot_crew_count_done(void)
{
    crew_t *crew = the_crew;
    /* Both sides are sequentially consistent: this one counts and then looks at `waiting`; a
     * thread that is about to wait raises `waiting` and then looks at the counts. */
    atomic_fetch_add(&crew->done, 1);
    if (atomic_load(&crew->waiting) > 0 && all_done(crew)) {
        pthread_mutex_lock(&crew->guard);
        ot_wake_all_locked(&crew->waiters, 1);
        pthread_mutex_unlock(&crew->guard);
    }
}

ot_crew_counts_t
ot_crew_counts(void)
{
    crew_t *crew = the_crew;
    if (crew == NULL) {
        return (ot_crew_counts_t){0};
    }
    uint64_t done = atomic_load(&crew->done), taken = atomic_load(&crew->taken);
    ot_crew_counts_t counts = {.scheduled = atomic_load(&crew->scheduled),
                               .done = done,
                               .running = taken > done ? taken - done : 0};
    for (size_t i = 0; i < all_of(crew); i++) {
        counts.moved += crew->members[i].moved;
        counts.copied += crew->members[i].copied;
        counts.pickled += crew->members[i].pickled;
        counts.stayed += crew->members[i].stayed;
    }
    return counts;
}

void
ot_crew_count_objects(uint64_t moved, uint64_t copied, uint64_t pickled, uint64_t stayed)
{
    if (self != NULL) {
        atomic_fetch_add_explicit(&self->moved, moved, memory_order_relaxed);
        atomic_fetch_add_explicit(&self->copied, copied, memory_order_relaxed);
        atomic_fetch_add_explicit(&self->pickled, pickled, memory_order_relaxed);
        atomic_fetch_add_explicit(&self->stayed, stayed, memory_order_relaxed);
    }
}

ot_sync_result_t
ot_crew_wait(const ot_patience_t *patience, int host)
{
    crew_t *crew = the_crew;
    ot_sync_result_t result = OT_SYNC_OK;
    if (crew == NULL) {
        return OT_SYNC_OK;
    }
    pthread_mutex_lock(&crew->guard);
    atomic_fetch_add(&crew->waiting, 1);
    while (result == OT_SYNC_OK && !all_done(crew)) {
        if (host >= 0 && atomic_load(&crew->members[host].bound_length) > 0 &&
            !atomic_load(&crew->stopping)) {
            result = OT_SYNC_BROKEN;
            break;
        }
        ot_waiter_t w;
        ot_wait_result_t why = ot_wait_locked(&crew->waiters, &w, false, &crew->guard, patience);
        if (why == OT_WAIT_GAVE_UP) {
            result = OT_SYNC_INTERRUPTED;
        } else if (why == OT_WAIT_TIMEOUT && !all_done(crew)) {
            result = OT_SYNC_TIMEOUT;
        }
    }
    atomic_fetch_sub(&crew->waiting, 1);
    pthread_mutex_unlock(&crew->guard);
    return result;
}

/* ---- putting --------------------------------------------------------------------------------- */

/* Takes somebody out of `idle`, who must be woken: the caller's promise. NULL: nobody is. */
static ot_member_t *
claim_idle(crew_t *crew)
{
    uint64_t idle = atomic_load(&crew->idle);
    while (idle != 0) {
        int i = __builtin_ctzll(idle);
        if (atomic_compare_exchange_weak(&crew->idle, &idle, idle & ~(UINT64_C(1) << i))) {
            return &crew->members[i];
        }
    }
    return NULL;
}

static ot_member_t *
any_member(crew_t *crew)
{
    return ot_crew_is_worker() ? self : &crew->members[atomic_fetch_add(&crew->turn, 1) % crew->n];
}

/* Something is bound to the host, wherever its threads wait. */
static void
tell_host(crew_t *crew, ot_member_t *host)
{
    int fd = atomic_load(&host->fd);
    if (fd >= 0) {
        ot_bell_ring(fd);
    }
    /* The caller has raised bound_length before. A thread that is about to wait raises `waiting`
     * first and then looks at bound_length. So one of the two sees the other. */
    if (atomic_load(&crew->waiting) > 0) {
        pthread_mutex_lock(&crew->guard);
        ot_wake_all_locked(&crew->waiters, 1);
        pthread_mutex_unlock(&crew->guard);
    }
}

static void
put_bound(ot_member_t *member, ot_behaviour_t *b)
{
    pthread_mutex_lock(&member->lock);
    bool joined = member->joined;
    if (joined) {
        append(&member->bound, b);
        atomic_fetch_add(&member->bound_length, 1);
        if (member != self) {
            wake_locked(member);
        }
    }
    unlock(member);
    if (joined && is_host(the_crew, member)) {
        tell_host(the_crew, member);
    }
    if (!joined) {
        ot_crew_put(b, -1); /* it has ended, and what bound the behaviour with it */
    }
}

void
ot_crew_put(ot_behaviour_t *b, int member)
{
    crew_t *crew = the_crew;
    if (member >= 0) {
        put_bound(&crew->members[member], b);
        return;
    }
    if (finishes && !kept) {
        kept = true;
        put(self, b, false);
        return;
    }
    ot_member_t *idle = claim_idle(crew);
    if (idle != NULL) {
        put(idle, b, true);
        return;
    }
    put(any_member(crew), b, false);
    idle = claim_idle(crew); /* one that looked at the queues before that */
    if (idle != NULL) {
        wake(idle);
    }
}

ot_behaviour_t *
ot_crew_take_back(void)
{
    crew_t *crew = the_crew;
    ot_behaviour_t *b = NULL;
    for (size_t i = 0; b == NULL && i < all_of(crew); i++) {
        ot_member_t *member = &crew->members[i];
        pthread_mutex_lock(&member->lock);
        if ((b = pop(&member->open)) != NULL) {
            atomic_fetch_sub(&member->length, 1);
        } else if ((b = pop(&member->bound)) != NULL) {
            atomic_fetch_sub(&member->bound_length, 1);
        }
        unlock(member);
    }
    if (b != NULL) {
        atomic_fetch_add(&crew->taken, 1);
    }
    return b;
}

/* ---- taking ---------------------------------------------------------------------------------- */

void
ot_crew_finish_begin(void)
{
    finishes = ot_crew_is_worker();
    kept = false;
}

void
ot_crew_finish_end(void)
{
    if (finishes && kept && atomic_load(&self->bound_length) > 0) {
        /* What is bound to this member comes first: the other one need not wait for it. */
        ot_member_t *idle = claim_idle(the_crew);
        if (idle != NULL) {
            wake(idle);
        }
    }
    finishes = false;
}

/* Looks for a little while, if that has paid lately. */
static bool
spin_for_work(crew_t *crew)
{
    if (!ot_spin_begin(&crew->spin)) {
        return false;
    }
    int64_t end = ot_clock_now() + OT_SPIN_NS;
    bool found = false;
    while (!found && ot_clock_now() < end) {
        found = is_work(crew) || atomic_load(&crew->stopping);
    }
    ot_spin_end(&crew->spin, found);
    return found;
}

/* Whether patience has given up. */
static bool
sleep_until_woken(const ot_patience_t *patience)
{
    ot_wait_result_t why = OT_WAIT_WOKEN;
    pthread_mutex_lock(&self->lock);
    while (!self->woken && why == OT_WAIT_WOKEN) {
        ot_waiter_t w;
        why = ot_wait_locked(&self->sleeper, &w, false, &self->lock, patience);
    }
    self->woken = false;
    unlock(self);
    return why == OT_WAIT_GAVE_UP;
}

ot_behaviour_t *
ot_crew_take(const ot_patience_t *patience, bool *interrupted)
{
    crew_t *crew = the_crew;
    uint64_t mine = UINT64_C(1) << (self - crew->members);
    *interrupted = false;
    while (!atomic_load(&crew->stopping) && !*interrupted) {
        ot_behaviour_t *b = find(crew);
        if (b != NULL) {
            return b;
        }
        if (patience->deadline == OT_DONT_WAIT) {
            return NULL;
        }
        if (spin_for_work(crew)) {
            continue;
        }
        atomic_fetch_or(&crew->idle, mine);
        if (!is_work(crew) && !atomic_load(&crew->stopping)) {
            *interrupted = sleep_until_woken(patience);
        }
        /* Who claimed the bit meanwhile has woken us or will: `woken` is then found set, and costs a round. */
        atomic_fetch_and(&crew->idle, ~mine);
    }
    return NULL;
}

/* ---- hosts ----------------------------------------------------------------------------------- */

int
ot_crew_host_of(int64_t interp)
{
    crew_t *crew = the_crew;
    if (crew == NULL || atomic_load(&crew->hosts) == 0) {
        return -1;
    }
    for (size_t i = crew->n; i < all_of(crew); i++) {
        if (atomic_load(&crew->members[i].interp) == interp) {
            return (int)i;
        }
    }
    return -1;
}

static ot_member_t *
host_at(int host)
{
    return &((crew_t *)the_crew)->members[host];
}

/* A thread ends: another one of the host's interpreter may take its part. */
static void
thread_ends(void *arg)
{
    (void)atomic_compare_exchange_strong(&((ot_member_t *)arg)->thread, &host_token, 0);
}

static void
make_host_key(void)
{
    (void)pthread_key_create(&host_key,
                             thread_ends); /* without one only pump() changes the thread */
}

/* The calling thread is the one that runs what is bound to the host. */
static void
be_thread_of(ot_member_t *host)
{
    (void)pthread_once(&host_once, make_host_key);
    host_token = ot_thread_token();
    atomic_store(&host->thread, host_token);
    (void)pthread_setspecific(host_key, host);
}

int
ot_crew_host_begin(int64_t interp)
{
    crew_t *crew = the_crew;
    pthread_mutex_lock(&crew->guard);
    int found = ot_crew_host_of(interp), free_place = -1;
    for (size_t i = crew->n; found < 0 && free_place < 0 && i < all_of(crew); i++) {
        free_place = atomic_load(&crew->members[i].interp) < 0 ? (int)i : -1;
    }
    if (found < 0 && free_place >= 0) {
        found = free_place;
        ot_member_t *host = host_at(found);
        pthread_mutex_lock(&host->lock);
        host->joined = true;
        unlock(host);
        be_thread_of(host);
        atomic_store(&host->interp, interp);
        atomic_fetch_add(&crew->hosts, 1);
    }
    pthread_mutex_unlock(&crew->guard);
    return found;
}

void
ot_crew_host_end(int host)
{
    crew_t *crew = the_crew;
    ot_member_t *member = host_at(host);
    unjoin(member);
    int fd = atomic_exchange(&member->fd, -1);
    if (fd >= 0) {
        ot_bell_close(fd);
    }
    pthread_mutex_lock(&crew->guard);
    atomic_store(&member->interp, -1);
    atomic_fetch_sub(&crew->hosts, 1);
    pthread_mutex_unlock(&crew->guard);
}

int
ot_crew_host_here(int64_t interp)
{
    int host = self != NULL ? -1 : ot_crew_host_of(interp);
    if (host < 0) {
        return -1;
    }
    uint64_t thread = atomic_load(&host_at(host)->thread);
    if (thread == 0) {
        be_thread_of(host_at(host)); /* the one that it was has ended */
    }
    return thread == 0 || thread == ot_thread_token() ? host : -1;
}

void
ot_crew_host_enter(int host)
{
    self = host_at(host);
    if (atomic_load(&self->thread) != ot_thread_token()) {
        be_thread_of(self);
    }
}

void
ot_crew_host_leave(void)
{
    self = NULL;
}

void
ot_crew_host_tell(int host, bool *flag)
{
    ot_member_t *member = host_at(host);
    pthread_mutex_lock(&member->lock);
    *flag = true;
    wake_locked(member);
    unlock(member);
}

ot_sync_result_t
ot_crew_host_wait(int host, const bool *flag, const ot_patience_t *patience)
{
    crew_t *crew = the_crew;
    ot_member_t *member = host_at(host);
    ot_sync_result_t result = OT_SYNC_TOO_MANY; /* undecided */
    bool gave_up = false, late = false;
    pthread_mutex_lock(&member->lock);
    while (result == OT_SYNC_TOO_MANY) {
        bool stopping = atomic_load(&crew->stopping);
        if (gave_up) {
            result = OT_SYNC_INTERRUPTED;
        } else if (flag != NULL && *flag) {
            result = OT_SYNC_OK;
        } else if (flag == NULL ? stopping || member->bound_length > 0
                                : !stopping && member->bound_length > 0) {
            result = OT_SYNC_BROKEN;
        } else if (late) {
            result = OT_SYNC_TIMEOUT;
        } else {
            ot_waiter_t w;
            ot_wait_result_t why =
                ot_wait_locked(&member->sleeper, &w, false, &member->lock, patience);
            gave_up = why == OT_WAIT_GAVE_UP;
            late = why == OT_WAIT_TIMEOUT;
        }
    }
    unlock(member);
    return result;
}

int
ot_crew_host_fd(int host)
{
    ot_member_t *member = host_at(host);
    int fd = atomic_load(&member->fd), none = OT_NO_BELL;
    if (fd >= 0) {
        return fd;
    }
    fd = ot_bell_open();
    if (fd >= 0 && !atomic_compare_exchange_strong(&member->fd, &none, fd)) {
        ot_bell_close(fd); /* another thread was faster */
        fd = none;
    }
    if (fd >= 0 && atomic_load(&member->bound_length) > 0) {
        tell_host(the_crew, member); /* it came before there was a descriptor to tell it by */
    }
    return fd;
}

void
ot_crew_host_drain(int host)
{
    int fd = atomic_load(&host_at(host)->fd);
    if (fd >= 0) {
        ot_bell_hush(fd);
    }
}
