/* test_shared.c: the registry of shared objects, one thread and many. No Python. */
#include "support.h"

#include "runtime/shared.h"

typedef struct {
    ot_shared_t head;
    pthread_mutex_t lock;
    int *freed;
    int stages[3];
} thing_t;

static void
thing_free(ot_shared_t *self)
{
    thing_t *thing = (thing_t *)self;
    CHECK(ot_ref_get(&self->ref) == 0);
    __atomic_add_fetch(thing->freed, 1, __ATOMIC_RELAXED);
    free(thing);
}

static void
thing_fork(ot_shared_t *self, ot_fork_stage_t stage)
{
    thing_t *thing = (thing_t *)self;
    thing->stages[stage]++;
    if (stage == OT_BEFORE_FORK) {
        pthread_mutex_lock(&thing->lock);
    } else if (stage == OT_AFTER_FORK_IN_PARENT) {
        pthread_mutex_unlock(&thing->lock);
    } else {
        pthread_mutex_init(&thing->lock, NULL);
    }
}

static const ot_shared_kind_t thing_kind = {"thing", thing_free, thing_fork, NULL};
static const ot_shared_kind_t other_kind = {"other", thing_free, NULL, NULL};

static thing_t *
thing_new(const ot_shared_kind_t *kind, int *freed)
{
    thing_t *thing = calloc(1, sizeof *thing);
    CHECK(thing != NULL);
    pthread_mutex_init(&thing->lock, NULL);
    thing->freed = freed;
    ot_shared_init(&thing->head, kind);
    return thing;
}

Test(shared, the_last_reference_frees)
{
    int freed = 0;
    thing_t *thing = thing_new(&thing_kind, &freed);
    cr_assert_eq(ot_shared_count(), 1);
    ot_shared_ref(&thing->head);
    ot_shared_unref(&thing->head);
    cr_assert_eq(freed, 0);
    ot_shared_unref(&thing->head);
    cr_assert_eq(freed, 1);
    cr_assert_eq(ot_shared_count(), 0);
}

Test(shared, an_object_is_found_by_its_number_while_it_lives)
{
    int freed = 0;
    enum { N = 5000 }; /* several to a bucket */
    static ot_shared_t *all[N];
    for (int i = 0; i < N; i++) {
        all[i] = &thing_new(&thing_kind, &freed)->head;
        cr_assert(i == 0 || all[i]->id == all[i - 1]->id + 1);
    }
    for (int i = 0; i < N; i += 2) { /* from the middle of each chain */
        ot_shared_unref(all[i]);
    }
    uint64_t first = all[1]->id - 1;
    for (int i = 0; i < N; i++) {
        ot_shared_t *found = ot_shared_find(first + (uint64_t)i);
        cr_assert_eq(found, i % 2 ? all[i] : NULL);
        if (found != NULL) {
            ot_shared_unref(found);
            ot_shared_unref(found);
        }
    }
    cr_assert_eq(freed, N);
    cr_assert_null(ot_shared_find(0));
    cr_assert_null(ot_shared_find(first + N));
}

static void
count_visit(ot_shared_t *self, void *arg)
{
    cr_assert_eq(self->kind, &other_kind);
    ++*(int *)arg;
}

Test(shared, visit_sees_one_kind)
{
    int freed = 0, visits = 0;
    ot_shared_t *things[] = {
        &thing_new(&other_kind, &freed)->head,
        &thing_new(&thing_kind, &freed)->head,
        &thing_new(&other_kind, &freed)->head,
    };
    ot_shared_visit(&other_kind, count_visit, &visits);
    cr_assert_eq(visits, 2);
    for (int i = 0; i < 3; i++) {
        ot_shared_unref(things[i]);
    }
}

/* ---- who holds what ------------------------------------------------------------------------- */

/* Of the object with this number: its references, and how many handles each of two interpreters has. */
typedef struct {
    uint64_t references;
    int handles[2];
} held_by_t;

static held_by_t
held_by(uint64_t id)
{
    ot_shared_row_t *rows;
    size_t n;
    held_by_t by = {0, {0, 0}};
    CHECK(ot_shared_list(&rows, &n) == 0);
    for (size_t i = 0; i < n; i++) {
        if (rows[i].id == id && rows[i].interp == -1) {
            by.references = rows[i].references;
        } else if (rows[i].id == id) {
            by.handles[rows[i].interp]++;
        }
    }
    ot_shared_free_list(rows, n);
    return by;
}

Test(shared, holders_list_their_handles)
{
    int freed = 0;
    ot_shared_t *a = &thing_new(&thing_kind, &freed)->head,
                *b = &thing_new(&thing_kind, &freed)->head;
    ot_holder_t holders[2];
    ot_grip_t grips[4];
    for (int i = 0; i < 2; i++) {
        ot_holder_enter(&holders[i], i);
    }
    for (int i = 0; i < 3; i++) {
        ot_shared_ref(a);
        ot_holder_add(&holders[0], &grips[i], a);
    }
    ot_shared_ref(b);
    ot_holder_add(&holders[1], &grips[3], b);
    held_by_t by = held_by(a->id);
    cr_assert(by.references == 4 && by.handles[0] == 3 && by.handles[1] == 0);
    by = held_by(b->id);
    cr_assert(by.references == 2 && by.handles[0] == 0 && by.handles[1] == 1);
    ot_holder_remove(&holders[0], &grips[1]); /* from the middle */
    ot_shared_unref(a);
    ot_holder_remove(&holders[0], &grips[2]); /* the first one in the list */
    ot_shared_unref(a);
    by = held_by(a->id);
    cr_assert(by.references == 2 && by.handles[0] == 1);
    ot_holder_leave(&holders[1]); /* an interpreter that ended with a handle lost */
    by = held_by(b->id);
    cr_assert(by.references == 2 && by.handles[1] == 0);
    ot_holder_remove(&holders[0], &grips[0]);
    ot_shared_unref(a);
    ot_holder_leave(&holders[0]);
    for (int i = 0; i < 2; i++) {
        ot_shared_unref(b);
    }
    ot_shared_unref(a);
    cr_assert_eq(freed, 2);
}

/* ---- names ---------------------------------------------------------------------------------- */

static ot_shared_t *
named_new(const ot_shared_kind_t *kind, const char *name, int *freed)
{
    thing_t *thing = calloc(1, sizeof *thing);
    CHECK(thing != NULL);
    thing->freed = freed;
    ot_shared_t *entered = ot_shared_init_named(&thing->head, kind, name);
    CHECK(entered != NULL);
    if (entered != &thing->head) {
        free(thing);
    }
    return entered;
}

Test(shared, a_name_is_of_one_object_of_a_kind)
{
    int freed = 0;
    ot_shared_t *a = named_new(&thing_kind, "a", &freed), *b = named_new(&thing_kind, "b", &freed);
    ot_shared_t *other = named_new(&other_kind, "a", &freed);
    cr_assert(a != b && other != a);
    cr_assert_str_eq(ot_shared_name(a), "a");
    cr_assert_eq(named_new(&thing_kind, "a", &freed), a); /* a reference more */
    cr_assert_eq(ot_shared_find_named(&thing_kind, "b"), b);
    cr_assert_null(ot_shared_find_named(&thing_kind, "c"));
    cr_assert_eq(ot_shared_count(), 3);
    ot_shared_check();
    ot_shared_unref(a);
    cr_assert_eq(freed, 0);
    ot_shared_unref(a);
    cr_assert_eq(freed, 1);
    cr_assert_null(ot_shared_find_named(&thing_kind, "a"));
    ot_shared_t *again = named_new(&thing_kind, "a", &freed);
    cr_assert_gt(again->id, other->id);
    thing_t *plain = thing_new(&thing_kind, &freed);
    cr_assert_null(ot_shared_name(&plain->head));
    ot_shared_t *all[] = {again, b, b, other, &plain->head};
    for (int i = 0; i < 5; i++) {
        ot_shared_unref(all[i]);
    }
    cr_assert_eq(freed, 5);
    cr_assert_eq(ot_shared_count(), 0);
}

static void *
find_or_make_often(void *freed)
{
    for (int i = 0; i < 20000; i++) {
        ot_shared_t *found = ot_shared_find_named(&thing_kind, "raced");
        if (found == NULL) {
            found = named_new(&thing_kind, "raced", freed);
        }
        CHECK(strcmp(ot_shared_name(found), "raced") == 0);
        ot_shared_unref(found);
    }
    return NULL;
}

Test(shared, threads_that_make_an_object_of_one_name, .timeout = 60)
{
    int freed = 0;
    pthread_t threads[3];
    for (int i = 0; i < 3; i++) {
        threads[i] = test_thread(find_or_make_often, &freed);
    }
    for (int i = 0; i < 3; i++) {
        test_join(threads[i]);
    }
    cr_assert_gt(freed, 0);
    cr_assert_eq(ot_shared_count(), 0);
}

/* ---- fork ---------------------------------------------------------------------------------- */

static void
in_child(void *arg)
{
    thing_t *thing = arg;
    CHECK(thing->stages[OT_AFTER_FORK_IN_CHILD] == 1 && thing->stages[OT_BEFORE_FORK] == 1);
    CHECK(pthread_mutex_trylock(&thing->lock) == 0);
    ot_shared_t *found = ot_shared_find(thing->head.id);
    CHECK(found == &thing->head);
    int freed = 0;
    ot_shared_unref(&thing_new(&thing_kind, &freed)->head);
    CHECK(freed == 1);
    CHECK(held_by(thing->head.id).references == 2); /* `found` is one */
}

/* One thread adds and removes handles, and lists, while others fork: the child finds no lock held. */
static void *
grip_and_list(void *arg)
{
    ot_holder_t *holder = arg;
    int freed = 0;
    for (int i = 0; i < 20000; i++) {
        ot_grip_t grip;
        ot_shared_t *thing = &thing_new(&other_kind, &freed)->head;
        ot_holder_add(holder, &grip, thing);
        if (i % 10 == 0) {
            CHECK(held_by(thing->id).handles[0] == 1);
        }
        ot_holder_remove(holder, &grip);
        ot_shared_unref(thing);
    }
    return NULL;
}

static void
grip_in_child(void *arg)
{
    int freed = 0;
    ot_grip_t grip;
    ot_shared_t *thing = &thing_new(&other_kind, &freed)->head;
    ot_holder_add(arg, &grip, thing);
    CHECK(held_by(thing->id).handles[0] == 1);
}

Test(shared, forking_while_others_have_handles, .timeout = 60)
{
    ot_holder_t holder;
    ot_holder_enter(&holder, 0);
    pthread_t thread = test_thread(grip_and_list, &holder);
    for (int i = 0; i < 30; i++) {
        test_in_child(grip_in_child, &holder);
    }
    test_join(thread);
    ot_holder_leave(&holder);
}

Test(shared, fork_goes_through_the_stages, .timeout = 30)
{
    int freed = 0;
    thing_t *thing = thing_new(&thing_kind, &freed);
    thing_t *without = thing_new(&other_kind, &freed);
    test_in_child(in_child, thing);
    cr_assert_eq(thing->stages[OT_BEFORE_FORK], 1);
    cr_assert_eq(thing->stages[OT_AFTER_FORK_IN_PARENT], 1);
    cr_assert_eq(thing->stages[OT_AFTER_FORK_IN_CHILD], 0);
    cr_assert_eq(pthread_mutex_trylock(&thing->lock), 0);
    cr_assert_eq(without->stages[OT_BEFORE_FORK], 0);
    ot_shared_unref(&thing->head);
    ot_shared_unref(&without->head);
}
