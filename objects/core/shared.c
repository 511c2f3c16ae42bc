/* shared.c: see shared.h.
 *
 * Main invariant (under registry_lock): an object is in bucket id % BUCKETS; live is their number.
 * Threading: lock order: registry_lock, then an object's own lock; no two objects' locks but
 * around fork().
 */
#include "objects/core/shared.h"

#include <pthread.h>
#include <stdatomic.h>

#include "runtime/checks.h"
#include "runtime/waitlist.h"

enum { BUCKETS = 1024 }; /* ids are consecutive, so they spread evenly */

static pthread_mutex_t registry_lock = PTHREAD_MUTEX_INITIALIZER;
static ot_shared_t *buckets[BUCKETS];
static uint64_t last_id;
static size_t live;

/* ---- fork ---------------------------------------------------------------------------------- */

/* fork() copies one thread and every lock as it is: hold them all, so that the child finds none
 * held by a thread that it does not have. */
static void
fork_stage_locked(ot_fork_stage_t stage)
{
    for (size_t i = 0; i < BUCKETS; i++) {
        for (ot_shared_t *o = buckets[i]; o != NULL; o = o->next) {
            if (o->kind->fork != NULL) {
                o->kind->fork(o, stage);
            }
        }
    }
}

static void
before_fork(void)
{
    pthread_mutex_lock(&registry_lock);
    fork_stage_locked(OT_BEFORE_FORK);
}

static void
after_fork_in_parent(void)
{
    fork_stage_locked(OT_AFTER_FORK_IN_PARENT);
    pthread_mutex_unlock(&registry_lock);
}

static void
after_fork_in_child(void)
{
    fork_stage_locked(OT_AFTER_FORK_IN_CHILD);
    pthread_mutex_init(&registry_lock, NULL);
}

static void
install_fork_handlers(void)
{
    pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
}

/* ---- invariants ------------------------------------------------------------------------------ */

static void
check_object_locked(const ot_shared_t *o)
{
    OT_MUST(o->kind != NULL && 0 < o->id && o->id <= last_id);
    OT_MUST(o->prev != NULL ? o->prev->next == o : buckets[o->id % BUCKETS] == o);
    OT_MUST(o->next == NULL || o->next->prev == o);
}

static void
check_locked(void)
{
    size_t n = 0;
    for (size_t i = 0; i < BUCKETS; i++) {
        for (const ot_shared_t *o = buckets[i]; o != NULL; o = o->next, n++) {
            OT_MUST(o->id % BUCKETS == i);
            check_object_locked(o);
        }
    }
    OT_MUST(n == live);
}

void
ot_shared_check(void)
{
    pthread_mutex_lock(&registry_lock);
    check_locked();
    pthread_mutex_unlock(&registry_lock);
}

/* ---- life ---------------------------------------------------------------------------------- */

void
ot_shared_init(ot_shared_t *self, const ot_shared_kind_t *kind)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, install_fork_handlers);
    ot_ref_init(&self->ref);
    self->kind = kind;
    self->prev = NULL;
    pthread_mutex_lock(&registry_lock);
    self->id = ++last_id;
    ot_shared_t **bucket = &buckets[self->id % BUCKETS];
    self->next = *bucket;
    if (*bucket != NULL) {
        (*bucket)->prev = self;
    }
    *bucket = self;
    live++;
    OT_CHECK(check_object_locked(self));
    pthread_mutex_unlock(&registry_lock);
}

void
ot_shared_ref(ot_shared_t *self)
{
    ot_ref_inc(&self->ref);
}

static void
close_for_ever(ot_shared_t *self)
{
    const ot_patience_t patience = {.deadline = OT_FOREVER};
    self->kind->close(self, &patience);
}

static void (*_Atomic closer)(ot_shared_t *self) = close_for_ever;

void
ot_shared_set_closer(void (*with)(ot_shared_t *self))
{
    closer = with;
}

void
ot_shared_unref(ot_shared_t *self)
{
    if (!ot_ref_dec(&self->ref)) {
        return;
    }
    pthread_mutex_lock(&registry_lock);
    OT_CHECK(check_object_locked(self));
    *(self->prev ? &self->prev->next : &buckets[self->id % BUCKETS]) = self->next;
    if (self->next != NULL) {
        self->next->prev = self->prev;
    }
    live--;
    pthread_mutex_unlock(&registry_lock);
    if (self->kind->close != NULL) {
        closer(self);
    }
    self->kind->free(self);
}

ot_shared_t *
ot_shared_find(uint64_t id)
{
    pthread_mutex_lock(&registry_lock);
    ot_shared_t *o = buckets[id % BUCKETS];
    while (o != NULL && o->id != id) {
        o = o->next;
    }
    /* One on its way out (count zero, waiting for registry_lock) is gone already. */
    if (o != NULL && !ot_ref_inc_unless_zero(&o->ref)) {
        o = NULL;
    }
    pthread_mutex_unlock(&registry_lock);
    return o;
}

void
ot_shared_visit(const ot_shared_kind_t *kind, void (*visit)(ot_shared_t *self, void *arg),
                void *arg)
{
    pthread_mutex_lock(&registry_lock);
    for (size_t i = 0; i < BUCKETS; i++) {
        for (ot_shared_t *o = buckets[i]; o != NULL; o = o->next) {
            if (o->kind == kind) {
                visit(o, arg);
            }
        }
    }
    pthread_mutex_unlock(&registry_lock);
}

size_t
ot_shared_count(void)
{
    pthread_mutex_lock(&registry_lock);
    OT_CHECK(check_locked());
    size_t n = live;
    pthread_mutex_unlock(&registry_lock);
    return n;
}
