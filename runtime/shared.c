/* shared.c: see shared.h.
 *
 * Main invariant (under registry_lock): an object is in bucket id % BUCKETS; live is their number.
 * Threading: lock order: registry_lock, then an object's own lock or a holder's; no two of these but
 * around fork().
 */
#include "runtime/shared.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/checks.h"
#include "runtime/waitlist.h"

/* An object's name, in the list of all: they are few, and asked for seldom. Under registry_lock, but for `text`. */
struct ot_name {
    struct ot_name *next, *prev;
    ot_shared_t *owner;
    char text[];
};

enum { BUCKETS = 1024 }; /* ids are consecutive, so they spread evenly */

static pthread_mutex_t registry_lock = PTHREAD_MUTEX_INITIALIZER;
static ot_shared_t *buckets[BUCKETS];
static struct ot_name *names; /* of live objects */
static uint64_t last_id;
static size_t live;
static ot_holder_t *holders;

/* ---- fork ---------------------------------------------------------------------------------- */

bool
ot_guard_fork(pthread_mutex_t *guard, ot_fork_stage_t stage)
{
    /* The child's only thread is a copy of the one that has locked it, and so may unlock it. */
    if (stage == OT_BEFORE_FORK) {
        pthread_mutex_lock(guard);
    } else {
        pthread_mutex_unlock(guard);
    }
    return stage == OT_AFTER_FORK_IN_CHILD;
}

/* fork() copies one thread and every lock as it is: hold them all, so that the child finds none
 * held by a thread that it does not have. */
static void
fork_stage_locked(ot_fork_stage_t stage)
{
    for (ot_holder_t *h = holders; h != NULL; h = h->next) {
        (void)ot_guard_fork(&h->lock, stage);
    }
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
    pthread_mutex_unlock(&registry_lock);
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
    OT_MUST(o->name == NULL || o->name->owner == o);
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

static pthread_once_t fork_once = PTHREAD_ONCE_INIT;

static void
enter_locked(ot_shared_t *self)
{
    self->id = ++last_id;
    ot_shared_t **bucket = &buckets[self->id % BUCKETS];
    self->next = *bucket;
    if (*bucket != NULL) {
        (*bucket)->prev = self;
    }
    *bucket = self;
    live++;
    OT_CHECK(check_object_locked(self));
}

static void
prepare(ot_shared_t *self, const ot_shared_kind_t *kind)
{
    pthread_once(&fork_once, install_fork_handlers);
    ot_ref_init(&self->ref);
    self->kind = kind;
    self->name = NULL;
    self->prev = NULL;
}

void
ot_shared_init(ot_shared_t *self, const ot_shared_kind_t *kind)
{
    prepare(self, kind);
    pthread_mutex_lock(&registry_lock);
    enter_locked(self);
    pthread_mutex_unlock(&registry_lock);
}

static ot_shared_t *
find_named_locked(const ot_shared_kind_t *kind, const char *name)
{
    for (struct ot_name *n = names; n != NULL; n = n->next) {
        /* One on its way out (count zero, waiting for registry_lock) is gone already. */
        if (n->owner->kind == kind && strcmp(n->text, name) == 0 &&
            ot_ref_inc_unless_zero(&n->owner->ref)) {
            return n->owner;
        }
    }
    return NULL;
}

ot_shared_t *
ot_shared_find_named(const ot_shared_kind_t *kind, const char *name)
{
    pthread_mutex_lock(&registry_lock);
    ot_shared_t *found = find_named_locked(kind, name);
    pthread_mutex_unlock(&registry_lock);
    return found;
}

ot_shared_t *
ot_shared_init_named(ot_shared_t *self, const ot_shared_kind_t *kind, const char *name)
{
    size_t size = strlen(name) + 1;
    struct ot_name *made = malloc(sizeof *made + size);
    if (made == NULL) {
        return NULL;
    }
    memcpy(made->text, name, size);
    made->owner = self;
    made->prev = NULL;
    prepare(self, kind);
    pthread_mutex_lock(&registry_lock);
    ot_shared_t *found = find_named_locked(kind, name);
    if (found == NULL) {
        made->next = names;
        if (names != NULL) {
            names->prev = made;
        }
        names = self->name = made;
        enter_locked(self);
    }
    pthread_mutex_unlock(&registry_lock);
    if (found != NULL) {
        free(made);
    }
    return found != NULL ? found : self;
}

const char *
ot_shared_name(const ot_shared_t *self)
{
    return self->name == NULL ? NULL : self->name->text;
}

static void
forget_name_locked(struct ot_name *name)
{
    *(name->prev ? &name->prev->next : &names) = name->next;
    if (name->next != NULL) {
        name->next->prev = name->prev;
    }
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
    if (self->name != NULL) {
        forget_name_locked(self->name);
    }
    pthread_mutex_unlock(&registry_lock);
    if (self->kind->close != NULL) {
        closer(self);
    }
    struct ot_name *name = self->name;
    self->kind->free(self);
    free(name);
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

/* ---- who holds what ------------------------------------------------------------------------- */

void
ot_holder_enter(ot_holder_t *holder, int64_t interp)
{
    pthread_once(&fork_once, install_fork_handlers);
    pthread_mutex_init(&holder->lock, NULL);
    holder->first = NULL;
    holder->interp = interp;
    holder->prev = NULL;
    pthread_mutex_lock(&registry_lock);
    holder->next = holders;
    if (holders != NULL) {
        holders->prev = holder;
    }
    holders = holder;
    pthread_mutex_unlock(&registry_lock);
}

void
ot_holder_leave(ot_holder_t *holder)
{
    pthread_mutex_lock(&registry_lock);
    *(holder->prev ? &holder->prev->next : &holders) = holder->next;
    if (holder->next != NULL) {
        holder->next->prev = holder->prev;
    }
    pthread_mutex_unlock(&registry_lock);
    pthread_mutex_destroy(&holder->lock);
}

void
ot_holder_add(ot_holder_t *holder, ot_grip_t *grip, ot_shared_t *shared)
{
    grip->shared = shared;
    grip->prev = NULL;
    pthread_mutex_lock(&holder->lock);
    grip->next = holder->first;
    if (holder->first != NULL) {
        holder->first->prev = grip;
    }
    holder->first = grip;
    pthread_mutex_unlock(&holder->lock);
}

void
ot_holder_remove(ot_holder_t *holder, ot_grip_t *grip)
{
    pthread_mutex_lock(&holder->lock);
    *(grip->prev ? &grip->prev->next : &holder->first) = grip->next;
    if (grip->next != NULL) {
        grip->next->prev = grip->prev;
    }
    pthread_mutex_unlock(&holder->lock);
}

typedef struct {
    ot_shared_row_t *rows;
    size_t n, room;
} list_t;

static bool
push_row(list_t *list, ot_shared_row_t row)
{
    if (list->n == list->room) {
        size_t room = list->room == 0 ? 64 : 2 * list->room;
        ot_shared_row_t *rows = realloc(list->rows, room * sizeof *rows);
        if (rows == NULL) {
            return false;
        }
        list->rows = rows;
        list->room = room;
    }
    list->rows[list->n++] = row;
    return true;
}

static bool
list_handles(list_t *list, ot_holder_t *holder)
{
    bool good = true;
    pthread_mutex_lock(&holder->lock);
    for (const ot_grip_t *g = holder->first; g != NULL && good; g = g->next) {
        good = push_row(list, (ot_shared_row_t){.kind = g->shared->kind,
                                                .id = g->shared->id,
                                                .interp = holder->interp});
    }
    pthread_mutex_unlock(&holder->lock);
    return good;
}

static bool
list_objects_locked(list_t *list, ot_shared_t *o)
{
    for (; o != NULL; o = o->next) {
        uint64_t references = ot_ref_get(&o->ref); /* 0: on its way out */
        if (references == 0) {
            continue;
        }
        char *name = o->name == NULL ? NULL : strdup(o->name->text);
        ot_shared_row_t row = {o->kind, o->id, name, references, -1};
        if ((o->name != NULL && name == NULL) || !push_row(list, row)) {
            free(name);
            return false;
        }
    }
    return true;
}

void
ot_shared_free_list(ot_shared_row_t *rows, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        free(rows[i].name);
    }
    free(rows);
}

int
ot_shared_list(ot_shared_row_t **rows, size_t *n)
{
    list_t list = {0};
    bool good = true;
    pthread_mutex_lock(&registry_lock);
    for (ot_holder_t *h = holders; h != NULL && good; h = h->next) {
        good = list_handles(&list, h);
    }
    for (size_t i = 0; i < BUCKETS && good; i++) {
        good = list_objects_locked(&list, buckets[i]);
    }
    pthread_mutex_unlock(&registry_lock);
    if (!good) {
        ot_shared_free_list(list.rows, list.n);
        return -1;
    }
    *rows = list.rows;
    *n = list.n;
    return 0;
}

/* ---- counting ------------------------------------------------------------------------------- */

size_t
ot_shared_count(void)
{
    pthread_mutex_lock(&registry_lock);
    OT_CHECK(check_locked());
    size_t n = live;
    pthread_mutex_unlock(&registry_lock);
    return n;
}

static void
add_one(ot_shared_t *self, void *n)
{
    (void)self;
    ++*(size_t *)n;
}

size_t
ot_shared_count_kind(const ot_shared_kind_t *kind)
{
    size_t n = 0;
    ot_shared_visit(kind, add_one, &n);
    return n;
}
