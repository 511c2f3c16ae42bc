/* content.c: what a box holds: a tree, the failure of a behaviour, or nothing (see box.h).
 *
 * Main invariant: that of ot_box_t.
 * Threading: who has the box; the end of a keeper comes at any time, and changes `keeper` only.
 */
#include "objects/box/box.h"
#include "objects/box/crew.h"

#include <stdlib.h>
#include <string.h>

#include "runtime/checks.h"
#include "runtime/vec.h"

__thread const ot_box_inside_t *ot_box_inside;

bool
ot_box_is_own(const ot_box_t *box)
{
    const ot_behaviour_t *b = ot_box_inside == NULL ? NULL : ot_box_inside->behaviour;
    for (size_t i = 0; b != NULL && i < b->n; i++) {
        if (b->requests[i].cown == &box->cown) {
            return true;
        }
    }
    return false;
}

/* ---- life ------------------------------------------------------------------------------------ */

/* Reports the failure of a behaviour whose result nobody has asked for. */
static void
report(ot_box_t *box)
{
    const char *text = box->report != NULL ? box->report : "(no memory to say what)\n";
    static const char title[] =
        "objtunnel: a behaviour has failed, and nobody has opened its result:\n";
    const char *end = text[0] != '\0' && text[strlen(text) - 1] == '\n' ? "" : "\n";
    box->opened = true;
    if (PyThreadState_GetUnchecked() == NULL || Py_IsFinalizing()) {
        fprintf(stderr, "%s%s%s", title, text, end);
        return;
    }
    PyObject *error = PyErr_GetRaisedException();
    PySys_FormatStderr("%s%s%s", title, text, end);
    PyErr_SetRaisedException(error);
}

static bool
is_untold(const ot_box_t *box)
{
    return box->failure != NULL && !box->opened;
}

/* Trees of pinned boxes that have ended in another interpreter than theirs. */
typedef struct stray {
    struct stray *next;
    int64_t interp;
    PyObject *tree;
} stray_t;

static stray_t *_Atomic strays; /* guarded by strays_lock; may be read without the lock */
static pthread_mutex_t strays_lock = PTHREAD_MUTEX_INITIALIZER;

/* Refs: steals. Without memory the tree is never freed. */
static void
leave_stray(int64_t interp, PyObject *tree)
{
    stray_t *stray = malloc(sizeof *stray);
    if (stray != NULL) {
        *stray = (stray_t){NULL, interp, tree};
        pthread_mutex_lock(&strays_lock);
        stray->next = strays;
        strays = stray;
        pthread_mutex_unlock(&strays_lock);
    }
}

void
ot_box_free_strays(int64_t interp)
{
    stray_t *mine = NULL, *others = NULL;
    if (strays == NULL) {
        return;
    }
    pthread_mutex_lock(&strays_lock);
    for (stray_t *s = strays, *next; s != NULL; s = next) {
        next = s->next;
        stray_t **list = s->interp == interp ? &mine : &others;
        s->next = *list;
        *list = s;
    }
    strays = others;
    pthread_mutex_unlock(&strays_lock);
    for (stray_t *next; mine != NULL; mine = next) {
        next = mine->next;
        Py_DECREF(mine->tree);
        free(mine);
    }
}

static bool
is_in_interpreter(int64_t interp)
{
    PyThreadState *tstate = PyThreadState_GetUnchecked();
    return tstate != NULL &&
           PyInterpreterState_GetID(PyThreadState_GetInterpreter(tstate)) == interp;
}

static void
box_free(ot_shared_t *self)
{
    ot_box_t *box = (ot_box_t *)self;
    if (is_untold(box)) {
        report(box);
    }
    if (box->kept != NULL && is_in_interpreter(box->pinned_to)) {
        Py_DECREF(box->kept);
    } else if (box->kept != NULL) {
        leave_stray(box->pinned_to, box->kept);
    }
    ot_box_end_reading(box);
    if (box->reading != NULL) {
        ot_shared_unref(&((ot_lock_t *)box->reading)->head);
    }
    ot_value_unref(box->content);
    ot_value_unref(box->failure);
    free(box->report);
    free(box->why);
    ot_cown_destroy(&box->cown);
    free(box);
}

const ot_shared_kind_t ot_box_kind = {"Box", box_free, ot_cown_fork, NULL};

ot_box_t *
ot_box_new(ot_value_t *content)
{
    ot_box_t *box = calloc(1, sizeof *box);
    if (box == NULL) {
        ot_value_unref(content);
        PyErr_NoMemory();
        return NULL;
    }
    box->content = content;
    box->pinned_to = -1;
    atomic_init(&box->keeper, OT_NOT_KEPT);
    ot_cown_init(&box->cown, &ot_box_kind, content == NULL);
    return box;
}

ot_box_t *
ot_box_new_pinned(ot_objects_t *home, PyObject *tree, int member)
{
    ot_value_t *nothing = ot_value_new(home, Py_None);
    ot_box_t *box = nothing == NULL ? NULL : ot_box_new(nothing);
    if (box != NULL) {
        box->content = NULL;
        ot_value_unref(nothing);
        box->pinned_to = home->interp_id;
        box->pinned_member = member;
        ot_box_set_pinned(box, Py_NewRef(tree));
    }
    return box;
}

void
ot_box_set_pinned(ot_box_t *box, PyObject *tree)
{
    OT_CHECK(OT_MUST(box->pinned_to >= 0 && box->kept == NULL && box->content == NULL));
    if (!ot_crew_has(box->pinned_member, box->pinned_to)) {
        atomic_store(&box->keeper, OT_KEEPER_GONE);
        Py_DECREF(tree);
        return;
    }
    box->kept = tree;
    box->stuck = true;
    box->kept_alive = false;
    atomic_store(&box->keeper, box->pinned_member);
}

/* ---- to rest --------------------------------------------------------------------------------- */

ot_value_t *
ot_box_enter(ot_objects_t *home, PyObject *tree)
{
    ot_root_rule_t rule =
        ot_seems_temporary(home->interp->consumers, tree) ? OT_ROOT_TAKEN : OT_ROOT_KEPT;
    return ot_value_new_exclusive(home, tree, rule);
}

ot_value_t *
ot_box_leave(ot_objects_t *home, PyObject *tree)
{
    bool alone = Py_REFCNT(tree) == 1;
    return ot_value_new_exclusive(home, tree, alone ? OT_ROOT_OWNED : OT_ROOT_AS_SENT);
}

/* NULL without memory. */
static char *
copy_text(const char *text)
{
    return text == NULL ? NULL : strdup(text);
}

void
ot_box_clear_failure(ot_box_t *box)
{
    ot_value_unref(box->failure);
    box->failure = NULL;
}

void
ot_box_set(ot_box_t *box, ot_value_t *content)
{
    OT_CHECK(OT_MUST(box->content == NULL && box->kept == NULL && box->region == NULL));
    ot_box_clear_failure(box);
    box->content = content;
    atomic_store(&box->keeper, OT_NOT_KEPT);
}

void
ot_box_fail(ot_box_t *box, ot_value_t *description, const char *text)
{
    OT_CHECK(OT_MUST(box->content == NULL && box->failure == NULL));
    box->failure = description;
    box->report = copy_text(text);
}

void
ot_box_keep(ot_box_t *box, int member, PyObject *tree, const char *why)
{
    OT_CHECK(OT_MUST(box->content == NULL && box->kept == NULL));
    ot_shared_ref(&box->cown.lock.head);
    box->kept = tree;
    box->stuck = why != NULL;
    box->kept_alive = true;
    free(box->why);
    box->why = copy_text(why);
    atomic_store(&box->keeper, member);
}

/* Takes the tree from the keeper, and drops the keeper's reference to the box. The caller has
 * the box and a reference of its own to it. */
static PyObject *
unkeep(ot_box_t *box)
{
    PyObject *tree = box->kept;
    box->kept = NULL;
    box->stuck = false;
    atomic_store(&box->keeper, OT_NOT_KEPT);
    if (box->kept_alive) {
        ot_shared_unref(&box->cown.lock.head);
    }
    return tree;
}

int
ot_box_settle(ot_objects_t *home, ot_box_t *box)
{
    ot_value_t *content = ot_box_leave(home, box->kept);
    if (content == NULL) {
        return -1;
    }
    PyObject *tree = unkeep(box);
    box->content = content;
    Py_DECREF(tree);
    return 0;
}

/* ---- out ------------------------------------------------------------------------------------- */

static void
raise_failure(ot_objects_t *home, ot_box_t *box)
{
    PyObject *description = ot_value_copy(home, box->failure);
    PyObject *module = PyImport_ImportModule("objtunnel._failures");
    PyObject *error = description == NULL || module == NULL
                          ? NULL
                          : PyObject_CallMethod(module, "unpack", "O", description);
    Py_XDECREF(description);
    Py_XDECREF(module);
    if (error != NULL && PyExceptionInstance_Check(error)) {
        box->opened = true;
        PyErr_SetRaisedException(error);
    } else if (error != NULL) {
        PyErr_Format(PyExc_SystemError, "objtunnel: not an exception: %R", error);
        Py_DECREF(error);
    }
}

PyObject *
ot_box_raise_absent(ot_objects_t *home, ot_box_t *box, PyObject *who)
{
    int keeper = atomic_load(&box->keeper);
    if (box->failure != NULL) {
        raise_failure(home, box);
        return NULL;
    }
    if (keeper >= 0 && !box->kept_alive) {
        return PyErr_Format(PyExc_RuntimeError,
                            "the tree of %R is pinned to interpreter %lld: only behaviours on this "
                            "box can see it, which run there, in objtunnel.pump()",
                            who, (long long)box->pinned_to);
    }
    if (keeper >= 0) {
        return PyErr_Format(
            PyExc_RuntimeError,
            "the tree of %R stays in behaviours' worker %d, because it cannot travel (%s): "
            "behaviours that use this box alone can see it, and take out what is in the way",
            who, keeper, box->why == NULL ? "no memory" : box->why);
    }
    return PyErr_Format(
        home->lock_abandoned,
        "the interpreter that had %R has ended or dropped it, and could not put the "
        "tree back: it is lost; recover(tree) fills the box anew",
        who);
}

PyObject *
ot_box_take(ot_objects_t *home, ot_box_t *box, PyObject *who, int member)
{
    PyObject *out = NULL;
    int keeper = atomic_load(&box->keeper);
    if (box->content != NULL) {
        ot_box_end_reading(box);
        out = ot_value_take(home, box->content);
        box->content = out == NULL ? box->content : NULL;
    } else if (box->failure == NULL && keeper >= 0 &&
               (keeper == member || (!box->kept_alive && box->pinned_to == home->interp_id))) {
        out = unkeep(box);
    } else {
        ot_box_raise_absent(home, box, who);
    }
    return out;
}

/* ---- the end --------------------------------------------------------------------------------- */

typedef struct {
    int member;
    OT_VEC(ot_box_t *) boxes;
    OT_VEC(PyObject *) trees;
} gone_t;

static void
find_kept(ot_shared_t *self, void *arg)
{
    ot_box_t *box = (ot_box_t *)self;
    gone_t *gone = arg;
    if (atomic_load(&box->keeper) == gone->member) {
        /* Without memory the tree outlives its interpreter, and nobody touches it. */
        (void)ot_vec_push(&gone->trees, box->kept);
        if (box->kept_alive) {
            (void)ot_vec_push(&gone->boxes, box);
        }
        box->kept = NULL;
        atomic_store(&box->keeper, OT_KEEPER_GONE);
    }
}

void
ot_box_keeper_ends(int member)
{
    gone_t gone = {.member = member};
    ot_shared_visit(&ot_box_kind, find_kept, &gone);
    for (size_t i = 0; i < gone.trees.len; i++) {
        Py_DECREF(gone.trees.items[i]);
    }
    for (size_t i = 0; i < gone.boxes.len; i++) {
        ot_shared_unref(&gone.boxes.items[i]->cown.lock.head);
    }
    ot_vec_free(&gone.trees);
    ot_vec_free(&gone.boxes);
}

typedef OT_VEC(uint64_t) ids_t;

/* Only notes it: what tells of it may run Python code. */
static void
find_untold(ot_shared_t *self, void *arg)
{
    ot_box_t *box = (ot_box_t *)self;
    ot_lock_look_begin(&box->cown.lock);
    bool is = box->cown.lock.depth == 0 && is_untold(box);
    ot_lock_brief_end(&box->cown.lock);
    ids_t *ids = arg;
    if (is) {
        (void)ot_vec_push(ids, self->id); /* without memory it is not told */
    }
}

void
ot_box_report_all(void)
{
    ids_t ids = {0};
    ot_shared_visit(&ot_box_kind, find_untold, &ids);
    for (size_t i = 0; i < ids.len; i++) {
        ot_box_t *box = (ot_box_t *)ot_shared_find(ids.items[i]);
        if (box != NULL) {
            report(box);
            ot_shared_unref(&box->cown.lock.head);
        }
    }
    ot_vec_free(&ids);
}
