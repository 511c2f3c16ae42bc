// TSAN-SOURCES:
/* global_stress.c: objtunnel_core.h and objtunnel_locks.h under ThreadSanitizer, without Python.
 *
 * Threads play interpreters: each takes a fresh id, enters globals and some resources of a
 * registry, uses them, leaves some of it, and then ends, which settles the rest. Some inits fail. Inits
 * and creations enter other globals at random, in all orders: circles, now and then. Whoever uses a
 * global, and its exit, look at all that it needs.
 * Main invariant: what stands for the C library is plain memory, written by init and exit only and
 * read by every user. Any overlap, any use after exit is a race that ThreadSanitizer sees, and a
 * wrong value that we see. Resources are freed memory after their destruction.
 *
 * environment: THREADS (4), SECONDS (3), SEED (the clock)
 */
#define OT_WITHOUT_PYTHON 1
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>

#include "include/objtunnel_core.h"
#include "include/objtunnel_lists.h"
#include "include/objtunnel_locks.h"
#include "tests/tsan/stress.h"

enum { GLOBALS = 4, KEYS = 5, MAX_THREADS = 64, MAX_DEPTH = 3 };

typedef struct {
    long live, inits, exits; /* plain */
    bool needs[GLOBALS];     /* written by init, constant while it lives */
} library_t;

typedef struct {
    long live;
    int needs; /* a global, or -1 */
} resource_t;

static library_t libraries[GLOBALS];
static ot_global_t globals[GLOBALS] = {OT_GLOBAL_INIT("zero", NULL), OT_GLOBAL_INIT("one", NULL),
                                       OT_GLOBAL_INIT("two", NULL), OT_GLOBAL_INIT("three", NULL)};
static ot_registry_t registry = OT_REGISTRY_INIT("resources", NULL);
static ot_global_lock_t lock = OT_GLOBAL_LOCK_INIT("lock");
static ot_global_rwlock_t rwlock = OT_GLOBAL_RWLOCK_INIT("rwlock");
static long locked_count, rwlocked_count; /* plain */
static atomic_long next_interp = 1, created, destroyed, failed, circles, settled, waits, released;
static atomic_long expected_locked, expected_rwlocked;
static atomic_bool stop;

typedef struct {
    int64_t interp;
    unsigned seed;
    pthread_t thread;
} actor_t;

static bool enter(actor_t *a, int i, int depth);

/* Who needs a library sees all that it needs. */
static void
use(int i)
{
    check(libraries[i].live == 1, "use of what is not initialised");
    for (int k = 0; k < GLOBALS; k++) {
        if (libraries[i].needs[k]) {
            use(k);
        }
    }
}

static bool
init(actor_t *a, int i, int depth)
{
    library_t *library = &libraries[i];
    check(library->live == 0, "init of what is initialised");
    memset(library->needs, 0, sizeof library->needs);
    for (int n = rand_r(&a->seed) % 8; n > 0; n--) {
        sched_yield(); /* room for others to run into this */
    }
    for (int n = depth < MAX_DEPTH ? rand_r(&a->seed) % 3 : 0; n > 0; n--) {
        int other = rand_r(&a->seed) % GLOBALS;
        if (other != i && enter(a, other, depth + 1)) {
            library->needs[other] = true;
        }
    }
    if (rand_r(&a->seed) % 4 == 0) {
        atomic_fetch_add(&failed, 1);
        return false;
    }
    library->live = 1;
    library->inits++;
    use(i);
    return true;
}

static void exit_of(actor_t *a, ot_global_t *g);

/* As ot_glue_release. */
static void
release(actor_t *a, ot_global_t *g)
{
    int last;
    for (ot_global_t *need; (need = ot_core_release(g, a->interp, &last)) != NULL;) {
        ot_core_entry_t *e = need->entry;
        atomic_fetch_add(&released, 1);
        if (last) {
            exit_of(a, need);
        }
        if (e != NULL) {
            ot_core_unpin(e);
        }
    }
}

/* Some leave in the exit what the init has entered, before they use it for the last time. */
static void
leave_needs(actor_t *a, const bool *needs)
{
    for (int k = 0; k < GLOBALS; k++) {
        if (needs[k] && rand_r(&a->seed) % 2) {
            check(ot_core_leave(&globals[k], a->interp, NULL) == OT_LEFT, "a need got lost");
        }
    }
}

static void
run_exit(actor_t *a, ot_global_t *g)
{
    if (g->entry != NULL) {
        resource_t *r = g->entry->value;
        check(r->live == 1, "a resource is destroyed that does not live");
        if (r->needs >= 0) {
            use(r->needs);
        }
        r->live = 0;
        free(r);
        atomic_fetch_add(&destroyed, 1);
    } else {
        library_t *library = &libraries[g - globals];
        check(library->live == 1, "exit of what is not initialised");
        leave_needs(a, library->needs);
        use((int)(g - globals));
        library->live = 0;
        library->exits++;
    }
}

/* As ot_glue_exit. */
static void
exit_of(actor_t *a, ot_global_t *g)
{
    ot_within_t within;
    ot_core_begin(&within, g, a->interp, NULL);
    run_exit(a, g);
    ot_core_end(&within);
    release(a, g);
    ot_core_exited(g);
}

static bool
start(actor_t *a, ot_global_t *g, int depth)
{
    ot_within_t within;
    ot_core_begin(&within, g, a->interp, NULL);
    bool success = init(a, (int)(g - globals), depth);
    ot_core_end(&within);
    if (!success) {
        release(a, g);
    }
    ot_core_started(g, success);
    return success;
}

/* As ot_base_enter: whether it was entered. */
static bool
enter(actor_t *a, int i, int depth)
{
    for (;;) {
        ot_core_waiter_t waiter;
        switch (ot_core_enter(&globals[i], a->interp, NULL, &waiter)) {
        case OT_ENTERED:
            return true;
        case OT_ENTER_INIT:
            return start(a, &globals[i], depth);
        case OT_ENTER_WAIT:
            atomic_fetch_add(&waits, 1);
            /* Some give up early and ask again. */
            (void)ot_core_sleep(&waiter, rand_r(&a->seed) % 2 ? -1 : rand_r(&a->seed) % 100000);
            break;
        case OT_ENTER_CIRCLE:
        case OT_ENTER_RECURSIVE:
            check(strstr(waiter.circle, " needs ") != NULL, "a circle without names");
            atomic_fetch_add(&circles, 1);
            return false;
        default:
            check(false, "entering failed");
        }
    }
}

static bool
create(actor_t *a, ot_core_entry_t *e)
{
    ot_within_t within;
    resource_t *r = malloc(sizeof *r);
    check(r != NULL, "no memory");
    *r = (resource_t){1, rand_r(&a->seed) % (2 * GLOBALS) - GLOBALS};
    ot_core_begin(&within, &e->global, a->interp, NULL);
    if (r->needs >= 0 && !enter(a, r->needs, 1)) {
        r->needs = -1;
    }
    ot_core_end(&within);
    bool success = rand_r(&a->seed) % 5 != 0;
    if (success) {
        e->value = r;
        atomic_fetch_add(&created, 1);
    } else {
        free(r);
        release(a, &e->global);
    }
    ot_core_started(&e->global, success);
    return success;
}

static ot_core_entry_t *
get(actor_t *a, const char *key)
{
    ot_core_entry_t *e = ot_core_pin(&registry, key, 1);
    check(e != NULL, "no memory");
    for (;;) {
        ot_core_waiter_t waiter;
        switch (ot_core_enter(&e->global, a->interp, NULL, &waiter)) {
        case OT_ENTERED:
            return e;
        case OT_ENTER_INIT:
            if (create(a, e)) {
                return e;
            }
            ot_core_unpin(e);
            return NULL;
        case OT_ENTER_WAIT:
            (void)ot_core_sleep(&waiter, -1);
            break;
        default:
            check(false, "getting failed");
        }
    }
}

static void
leave(actor_t *a, ot_global_t *g)
{
    switch (ot_core_leave(g, a->interp, NULL)) {
    case OT_LEAVE_EXIT:
        exit_of(a, g);
        break;
    case OT_LEFT:
        break;
    default:
        check(false, "an entry got lost");
    }
}

static void
use_resources(actor_t *a)
{
    char key[] = "key 0";
    key[4] = (char)('0' + rand_r(&a->seed) % KEYS);
    ot_core_entry_t *e = get(a, key);
    if (e != NULL) {
        const resource_t *r = e->value;
        check(r->live == 1, "a resource that does not live");
        if (r->needs >= 0) {
            use(r->needs);
        }
        if (rand_r(&a->seed) % 2) {
            leave(a, &e->global); /* put; otherwise the settling finds it */
        }
        ot_core_unpin(e);
    }
}

static void
use_locks(actor_t *a)
{
    if (rand_r(&a->seed) % 2) {
        ot_global_lock_acquire(&lock);
        locked_count++;
        ot_global_lock_release(&lock);
        atomic_fetch_add(&expected_locked, 1);
    }
    ot_global_rwlock_acquire_read(&rwlock);
    check(rwlocked_count >= 0, "a count is negative");
    ot_global_rwlock_release(&rwlock);
    if (rand_r(&a->seed) % 4 == 0) {
        ot_global_rwlock_acquire_write(&rwlock);
        rwlocked_count++;
        ot_global_rwlock_release(&rwlock);
        atomic_fetch_add(&expected_rwlocked, 1);
    }
}

static void
end_interpreter(actor_t *a)
{
    long entries;
    int last;
    for (ot_global_t *g; (g = ot_core_settle(a->interp, &entries, &last)) != NULL;) {
        ot_core_entry_t *e = g->entry;
        check(entries > 0, "settled nothing");
        atomic_fetch_add(&settled, entries);
        if (last) {
            exit_of(a, g);
        }
        if (e != NULL) {
            ot_core_unpin(e);
        }
    }
}

static void
look(void)
{
    ot_global_row_t *rows;
    size_t n;
    check(ot_core_snapshot(&rows, &n) == 0, "no memory");
    for (size_t i = 0; i < n; i++) {
        check((rows[i].state == OT_GLOBAL_READY) <= (rows[i].entries > 0), "ready without users");
        check((rows[i].global == NULL) == 0 && rows[i].age >= 0, "a bad row");
    }
    ot_core_free_rows(rows, n);
}

static void *
run(void *arg)
{
    actor_t *a = arg;
    while (!atomic_load(&stop)) {
        a->interp = atomic_fetch_add(&next_interp, 1);
        for (int step = rand_r(&a->seed) % 4; step > 0; step--) {
            int i = rand_r(&a->seed) % GLOBALS;
            /* Not every time, so that now and then nobody is in it. */
            if (rand_r(&a->seed) % 3 == 0 && enter(a, i, 0)) {
                sched_yield();
                use(i);
                if (rand_r(&a->seed) % 2) {
                    leave(a, &globals[i]);
                }
            }
            use_resources(a);
            use_locks(a);
        }
        if (rand_r(&a->seed) % 16 == 0) {
            look();
        }
        end_interpreter(a);
    }
    return NULL;
}

int
main(void)
{
    long threads = setting("THREADS", 4), seconds = setting("SECONDS", 3);
    long seed = setting("SEED", (long)ot_core_now() & 0xffffff);
    static actor_t actors[MAX_THREADS];
    check(threads >= 1 && threads <= MAX_THREADS, "THREADS is out of range");
    for (long i = 0; i < threads; i++) {
        actors[i].seed = (unsigned)(seed * 1000 + i);
        check(pthread_create(&actors[i].thread, NULL, run, &actors[i]) == 0, "no thread");
    }
    struct timespec t = {seconds, 0};
    nanosleep(&t, NULL);
    atomic_store(&stop, true);
    for (long i = 0; i < threads; i++) {
        pthread_join(actors[i].thread, NULL);
    }
    printf("global_stress: seed %ld, %ld interpreters, inits %ld and %ld, %ld failed, %ld circles, "
           "%ld waits, %ld entries settled, %ld resources, %ld needs released\n",
           seed, next_interp - 1, libraries[0].inits, libraries[1].inits, failed, circles, waits,
           settled, created, released);
    check(released > 0, "nothing needed anything");
    for (int i = 0; i < GLOBALS; i++) {
        check(libraries[i].inits == libraries[i].exits && libraries[i].live == 0,
              "inits and exits differ");
        check(globals[i].entries == 0 && globals[i].users == NULL &&
                  globals[i].state == OT_GLOBAL_EMPTY,
              "a global is not empty");
        check(libraries[i].inits > 0, "nothing happened");
    }
    check(created == destroyed && created > 0, "resources leaked");
    check(registry.resources == NULL, "a registry is not empty");
    check(ot_domain.globals == NULL && ot_domain.sleepers == NULL, "the domain is not empty");
    check(locked_count == expected_locked && rwlocked_count == expected_rwlocked, "a lock leaks");
    return 0;
}
