/* epoch.c: see epoch.h.
 *
 * Main invariant: readers is a list that only grows; a record is taken by at most one live thread.
 * gp.over <= gp.begun <= gp.over + 1 (under gp.lock for writing).
 * Threading: gp.lock and a record's lock are spin locks, held for a walk of the list (gp.lock: and a
 * membarrier) at most, never together.
 */
#include "objects/dict/epoch.h"

#include <linux/membarrier.h>
#include <malloc.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "runtime/checks.h"

enum {
    BATCH = 64,
    MUCH =
        256, /* retired by one thread: a reader that is in the way of so many is asked to free them */
    KEEP = 512,  /* room that an empty record keeps */
    MANY = 10000 /* freed at once: a megabyte, which the C library would keep */
};

_Thread_local ot_reader_t *ot_epoch_mine;
bool ot_epoch_asymmetric;

static _Atomic(ot_reader_t *) readers;

/* Numbers of grace periods. On lines of their own: readers must not feel that they change. */
static struct {
    OT_OWN_LINE atomic_uint_fast64_t begun;
    atomic_uint_fast64_t over;
    ot_lk_ttas_t lock;
} gp;

/* ---- records --------------------------------------------------------------------------------- */

static pthread_key_t at_thread_end;

/* What it retired stays in the record, for whoever collects. Release: pairs with the compare-and-swap of who takes the
 * record (litmus epoch_taken). */
static void
thread_ends(void *record)
{
    ot_epoch_mine = NULL;
    atomic_store_explicit(&((ot_reader_t *)record)->taken, false, memory_order_release);
}

/* In the child only the calling thread exists. The records of the other threads become free. A record whose lock was taken at
 * the fork had its list half changed: what that list held is lost. */
static void
after_fork_in_child(void)
{
    for (ot_reader_t *r = atomic_load(&readers); r != NULL; r = r->next) {
        bool half_changed = atomic_load_explicit(&r->lock.taken, memory_order_relaxed);
        ot_lk_ttas_init(&r->lock);
        if (r != ot_epoch_mine) {
            uint64_t turn = atomic_load(&r->turn);
            atomic_store(&r->turn, turn + (turn & 1));
            r->depth = 0;
            if (half_changed) {
                r->items = NULL;
                r->first = r->last = r->room = 0;
                r->large = false;
            }
            atomic_store(&r->taken, false);
        }
    }
    ot_lk_ttas_init(&gp.lock);
}

static void
once(void)
{
    if (pthread_key_create(&at_thread_end, thread_ends) != 0) {
        abort(); /* no keys left: then the C library's own would not work either */
    }
    pthread_atfork(NULL, NULL, after_fork_in_child);
    ot_epoch_asymmetric =
        syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) == 0;
}

/* After it every reader's announcement that came before its reads is seen by us, or its reads see
 * what we, and those we know of, had unlinked. False: refused all of a sudden; then nobody can say. */
static bool
barrier_for_all(void)
{
    return !ot_epoch_asymmetric ||
           syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) == 0;
}

static ot_reader_t *
take_free_record(void)
{
    for (ot_reader_t *r = atomic_load(&readers); r != NULL; r = r->next) {
        bool taken = false;
        if (!atomic_load_explicit(&r->taken, memory_order_relaxed) &&
            atomic_compare_exchange_strong(&r->taken, &taken, true)) {
            return r;
        }
    }
    return NULL;
}

static ot_reader_t *
new_record(void)
{
    ot_reader_t *r = aligned_alloc(OT_CACHE_PAIR, sizeof *r);
    if (r == NULL) {
        return NULL;
    }
    memset(r, 0, sizeof *r);
    atomic_init(&r->taken, true);
    ot_lk_ttas_init(&r->lock);
    r->next = atomic_load(&readers);
    while (!atomic_compare_exchange_weak(&readers, &r->next, r)) {
    }
    return r;
}

ot_reader_t *
ot_epoch_reader(void)
{
    static pthread_once_t once_control = PTHREAD_ONCE_INIT;
    if (ot_epoch_mine == NULL) {
        pthread_once(&once_control, once);
        ot_reader_t *r = take_free_record();
        if (r == NULL && (r = new_record()) == NULL) {
            return NULL;
        }
        if (pthread_setspecific(at_thread_end, r) != 0) {
            atomic_store_explicit(&r->taken, false, memory_order_release);
            return NULL;
        }
        ot_epoch_mine = r;
    }
    return ot_epoch_mine;
}

/* ---- grace periods --------------------------------------------------------------------------- */

static bool
is_in_the_way_locked(ot_reader_t *r)
{
    return r->noted % 2 == 1 && atomic_load(&r->turn) == r->noted;
}

/* Asks one of them at most: who obliges asks the next. One that has left meanwhile is not in the way,
 * and may not have seen that it was asked. */
static bool
everybody_moved_on_locked(bool ask)
{
    for (ot_reader_t *r = atomic_load(&readers); r != NULL; r = r->next) {
        if (is_in_the_way_locked(r)) {
            if (ask) {
                atomic_store(&r->asked, true);
            }
            if (!ask || is_in_the_way_locked(r)) {
                return false;
            }
        }
    }
    return true;
}

/* Records that come later than our load of `readers` belong to readers that announce themselves
 * later still. They have noted == 0: not waited for. */
static bool
begin_locked(void)
{
    atomic_fetch_add(&gp.begun, 1);
    if (!barrier_for_all()) {
        atomic_fetch_sub(&gp.begun, 1);
        return false;
    }
    for (ot_reader_t *r = atomic_load(&readers); r != NULL; r = r->next) {
        r->noted = atomic_load(&r->turn);
    }
    return true;
}

/* Ends the grace period if it can be ended; begins, and perhaps ends, another if `until` is not
 * over with that. ask: a reader that is in the way shall do it. */
static void
advance(uint64_t until, bool ask)
{
    ot_lk_ttas_lock(&gp.lock);
    for (;;) {
        uint64_t now = atomic_load_explicit(&gp.begun, memory_order_relaxed);
        if (atomic_load_explicit(&gp.over, memory_order_relaxed) < now) {
            if (!everybody_moved_on_locked(ask)) {
                break;
            }
            /* Pairs with the acquire in take_ready: readers' last reads, acquired by the look at
             * their turns, come before the freeing. */
            atomic_store_explicit(&gp.over, now, memory_order_release);
        }
        if (now >= until || !begin_locked()) {
            break;
        }
    }
    ot_lk_ttas_unlock(&gp.lock);
}

bool
ot_epoch_quiet(unsigned looks)
{
    ot_reader_t *me = ot_epoch_reader();
    if (me == NULL) {
        return false;
    }
    ot_full_barrier(); /* what we unlinked comes before our looks */
    bool quiet = barrier_for_all();
    for (ot_reader_t *r = atomic_load(&readers); r != NULL && quiet; r = r->next) {
        uint64_t turn = atomic_load(&r->turn);
        while (r != me && turn % 2 == 1 && atomic_load(&r->turn) == turn && quiet) {
            quiet = looks-- > 0;
            ot_pause();
        }
        looks += !quiet;
    }
    return quiet;
}

/* ---- retiring -------------------------------------------------------------------------------- */

/* used: how many there were while we had the lock. Others can only have taken some since. */
static bool
grow(ot_reader_t *me, size_t used, size_t n)
{
    size_t room = 2 * used + n + BATCH;
    ot_retired_t *items = malloc(room * sizeof *items);
    if (items == NULL) {
        return false;
    }
    ot_lk_ttas_lock(&me->lock);
    used = me->last - me->first;
    ot_retired_t *old = me->items;
    if (used > 0) {
        memcpy(items, old + me->first, used * sizeof *items);
    }
    me->items = items;
    me->first = 0;
    me->last = used;
    me->room = room;
    ot_lk_ttas_unlock(&me->lock);
    free(old);
    return true;
}

/* last and room are written by this thread, or by one that empties the list: more room then. */
bool
ot_epoch_reserve(size_t n)
{
    ot_reader_t *me = ot_epoch_reader();
    if (me == NULL) {
        return false;
    }
    ot_lk_ttas_lock(&me->lock);
    bool fits = me->room - me->last >= n;
    size_t used = me->last - me->first;
    ot_lk_ttas_unlock(&me->lock);
    return fits || grow(me, used, n);
}

bool
ot_epoch_reserve_more(size_t n)
{
    ot_reader_t *me = ot_epoch_reader();
    if (me == NULL) {
        return false;
    }
    ot_lk_ttas_lock(&me->lock);
    size_t there = me->room - me->last;
    ot_lk_ttas_unlock(&me->lock);
    return ot_epoch_reserve(there + n);
}

static void
retire(void *what, void (*free)(void *what), bool large)
{
    ot_reader_t *me = ot_epoch_mine;
    ot_lk_ttas_lock(&me->lock);
    /* Nobody may begin a grace period with a number that we have not seen and still miss our unlinking. */
    ot_full_barrier();
    if (me->last < me->room) {
        me->items[me->last++] = (ot_retired_t){what, free, atomic_load(&gp.begun) + 1};
        me->large |= large;
    }
    ot_lk_ttas_unlock(&me->lock);
}

void
ot_epoch_retire(void *what, void (*free)(void *what))
{
    retire(what, free, false);
}

void
ot_epoch_retire_large(void *what, void (*free)(void *what))
{
    retire(what, free, true);
}

size_t
ot_epoch_retired(void)
{
    ot_reader_t *me = ot_epoch_mine;
    if (me == NULL) {
        return 0;
    }
    ot_lk_ttas_lock(&me->lock);
    size_t n = me->last - me->first;
    ot_lk_ttas_unlock(&me->lock);
    return n;
}

bool
ot_epoch_is_due(size_t pile)
{
    ot_reader_t *me = ot_epoch_mine;
    if (me == NULL) {
        return false;
    }
    ot_lk_ttas_lock(&me->lock);
    bool due = me->large || me->last - me->first >= pile;
    ot_lk_ttas_unlock(&me->lock);
    return due;
}

/* The number that all that is retired in `r` waits for; 0: nothing is. */
static uint64_t
awaited(ot_reader_t *r, bool *much)
{
    ot_lk_ttas_lock(&r->lock);
    uint64_t after = r->first < r->last ? r->items[r->last - 1].after : 0;
    *much = r->large || r->last - r->first >= MUCH;
    ot_lk_ttas_unlock(&r->lock);
    return after;
}

static size_t
take_ready(ot_reader_t *r, ot_retired_t *ready)
{
    size_t n = 0;
    ot_lk_ttas_lock(&r->lock);
    uint64_t now = atomic_load_explicit(&gp.over, memory_order_acquire);
    while (n < BATCH && r->first < r->last && r->items[r->first].after <= now) {
        ready[n++] = r->items[r->first++];
    }
    if (r->first == r->last) {
        r->first = r->last = 0;
        r->large = false;
    }
    ot_lk_ttas_unlock(&r->lock);
    return n;
}

/* Only of our own record, where nothing is reserved now, or of one that nobody has: who takes it
 * reserves under this lock, later. */
static void
give_room_back(ot_reader_t *r)
{
    ot_retired_t *items = NULL;
    ot_lk_ttas_lock(&r->lock);
    if (r->last == 0 && r->room > KEEP &&
        (r == ot_epoch_mine || !atomic_load_explicit(&r->taken, memory_order_acquire))) {
        items = r->items;
        r->items = NULL;
        r->room = 0;
    }
    ot_lk_ttas_unlock(&r->lock);
    free(items);
}

/* Returns how much it has freed. */
static size_t
collect_from(ot_reader_t *r)
{
    ot_retired_t ready[BATCH];
    bool much;
    size_t freed = 0;
    uint64_t after = awaited(r, &much);
    if (after == 0) {
        return 0;
    }
    if (atomic_load(&gp.over) < after) {
        advance(after, much);
    }
    for (size_t n; (n = take_ready(r, ready)) > 0; freed += n) {
        for (size_t i = 0; i < n; i++) {
            ready[i].free(ready[i].what);
        }
    }
    give_room_back(r);
    return freed;
}

static size_t
collect_from_all(void)
{
    size_t freed = 0;
    if (ot_epoch_mine != NULL) {
        /* Before the lists are read, so that what is retired meanwhile asks again. */
        atomic_store(&ot_epoch_mine->asked, false);
    }
    for (ot_reader_t *r = atomic_load(&readers); r != NULL; r = r->next) {
        freed += collect_from(r);
    }
    return freed;
}

void
ot_epoch_collect(bool of_all_threads)
{
    size_t freed = 0;
    if (of_all_threads) {
        freed = collect_from_all();
    } else if (ot_epoch_mine != NULL) {
        freed = collect_from(ot_epoch_mine);
    }
    if (freed >= MANY) {
        malloc_trim(0);
    }
}

void
ot_epoch_check(void)
{
    for (ot_reader_t *r = atomic_load(&readers); r != NULL; r = r->next) {
        ot_lk_ttas_lock(&r->lock);
        OT_MUST(r->first <= r->last && r->last <= r->room);
        OT_MUST(r->first < r->last || r->last == 0);
        OT_MUST(r->items != NULL || r->room == 0);
        OT_MUST(!r->large || r->first < r->last);
        uint64_t before = 0, next = atomic_load(&gp.begun) + 1;
        for (size_t i = r->first; i < r->last; before = r->items[i++].after) {
            OT_MUST(r->items[i].after >= before && r->items[i].after <= next);
        }
        ot_lk_ttas_unlock(&r->lock);
    }
    ot_lk_ttas_lock(&gp.lock);
    uint64_t begun = atomic_load(&gp.begun), over = atomic_load(&gp.over);
    OT_MUST(over <= begun && begun <= over + 1);
    ot_lk_ttas_unlock(&gp.lock);
    if (ot_epoch_mine != NULL) {
        OT_MUST((ot_epoch_mine->depth > 0) == (atomic_load(&ot_epoch_mine->turn) % 2 == 1));
    }
}
