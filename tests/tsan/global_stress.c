// TSAN-SOURCES:
/* global_stress.c: objtunnel_core.h and objtunnel_locks.h under ThreadSanitizer, without Python.
 *
 * Threads play interpreters: each takes a fresh id, enters two globals and some resources of a
 * registry, uses them, leaves some of it, and then ends, which settles the rest. Some inits fail,
 * some globals are entered from within the other one's init, in both orders: a circle, now and then.
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
#include "include/objtunnel_locks.h"

enum { GLOBALS = 2, KEYS = 5, MAX_THREADS = 64 };

typedef struct {
    long live, inits, exits; /* plain */
} library_t;

static library_t libraries[GLOBALS];
static ot_global_t globals[GLOBALS] = {OT_GLOBAL_INIT("zero", NULL), OT_GLOBAL_INIT("one", NULL)};
static ot_registry_t registry = OT_REGISTRY_INIT("resources", NULL);
static ot_global_lock_t lock = OT_GLOBAL_LOCK_INIT("lock");
static ot_global_rwlock_t rwlock = OT_GLOBAL_RWLOCK_INIT("rwlock");
static long locked_count, rwlocked_count; /* plain */
static atomic_long next_interp = 1, created, destroyed, failed, circles, settled, waits;
static atomic_long expected_locked, expected_rwlocked;
static atomic_bool stop;

static void
check(bool good, const char *what)
{
    if (!good) {
        fprintf(stderr, "global_stress: %s\n", what);
        abort();
    }
}

static long
setting(const char *name, long otherwise)
{
    const char *text = getenv(name);
    return text == NULL ? otherwise : atol(text);
}

typedef struct {
    int64_t interp;
    unsigned seed;
    pthread_t thread;
} actor_t;

static bool enter(actor_t *a, int i, bool nested);

static bool
init(actor_t *a, int i, bool nested)
{
    library_t *library = &libraries[i];
    check(library->live == 0, "init of what is initialised");
    for (int n = rand_r(&a->seed) % 8; n > 0; n--) {
        sched_yield(); /* room for others to run into this */
    }
    if (nested && rand_r(&a->seed) % 2 == 0) {
        /* Another global from within: an entry of its own, which the settling will find. */
        (void)enter(a, 1 - i, false);
    }
    if (rand_r(&a->seed) % 4 == 0) {
        atomic_fetch_add(&failed, 1);
        return false;
    }
    library->live = 1;
    library->inits++;
    return true;
}

static void
exit_of(ot_global_t *g)
{
    if (g->entry != NULL) {
        long *value = g->entry->value;
        check(*value == 1, "a resource is destroyed that does not live");
        *value = 0;
        free(value);
        atomic_fetch_add(&destroyed, 1);
    } else {
        library_t *library = &libraries[g - globals];
        check(library->live == 1, "exit of what is not initialised");
        library->live = 0;
        library->exits++;
    }
    ot_core_exited(g);
}

/* As ot_glue_enter: whether it was entered. */
static bool
enter(actor_t *a, int i, bool nested)
{
    for (;;) {
        ot_waiter_t waiter;
        switch (ot_core_enter(&globals[i], a->interp, NULL, &waiter)) {
        case OT_ENTERED:
            return true;
        case OT_ENTER_INIT: {
            bool success = init(a, i, nested);
            ot_core_started(&globals[i], success);
            return success;
        }
        case OT_ENTER_WAIT:
            atomic_fetch_add(&waits, 1);
            /* Some give up early and ask again. */
            (void)ot_core_sleep(&waiter, rand_r(&a->seed) % 2 ? -1 : rand_r(&a->seed) % 100000);
            break;
        case OT_ENTER_CIRCLE:
            atomic_fetch_add(&circles, 1);
            return false;
        case OT_ENTER_RECURSIVE: /* a nested init's own nested entry cannot be: nested is false */
        default:
            check(false, "entering failed");
        }
    }
}

static ot_entry_t *
get(actor_t *a, const char *key)
{
    ot_entry_t *e = ot_core_pin(&registry, key, 1);
    check(e != NULL, "no memory");
    for (;;) {
        ot_waiter_t waiter;
        switch (ot_core_enter(&e->global, a->interp, NULL, &waiter)) {
        case OT_ENTERED:
            return e;
        case OT_ENTER_INIT: {
            bool success = rand_r(&a->seed) % 5 != 0;
            if (success) {
                long *value = malloc(sizeof *value);
                check(value != NULL, "no memory");
                *value = 1;
                e->value = value;
                atomic_fetch_add(&created, 1);
            }
            ot_core_started(&e->global, success);
            if (!success) {
                ot_core_unpin(e);
                return NULL;
            }
            return e;
        }
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
        exit_of(g);
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
    ot_entry_t *e = get(a, key);
    if (e != NULL) {
        check(*(long *)e->value == 1, "a resource that does not live");
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
        ot_entry_t *e = g->entry;
        check(entries > 0, "settled nothing");
        atomic_fetch_add(&settled, entries);
        if (last) {
            exit_of(g);
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
            if (rand_r(&a->seed) % 3 == 0 && enter(a, i, true)) {
                sched_yield();
                check(libraries[i].live == 1, "use of what is not initialised");
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
           "%ld waits, %ld entries settled, %ld resources\n",
           seed, next_interp - 1, libraries[0].inits, libraries[1].inits, failed, circles, waits,
           settled, created);
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
