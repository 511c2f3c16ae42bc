/* opaque.c: see opaque.h.
 *
 * Main invariant: of a tree, a stray and neither of them, the struct has exactly one; neither only while
 * its lock is held, or when the interpreter that had the stray ended.
 * Threading: `strays_lock` is held for a few loads and stores. A stray is touched, its refcount included,
 * by its own interpreter only.
 */
#include "objects/core/opaque.h"

#include <pthread.h>

/* ---- strays --------------------------------------------------------------------------------- */

static pthread_mutex_t strays_lock = PTHREAD_MUTEX_INITIALIZER;
static ot_opaque_t *strays;    /* guarded by strays_lock */
static atomic_size_t n_doomed; /* guarded by strays_lock; may be read without it */

static void
unlink_locked(ot_opaque_t *opaque)
{
    *(opaque->prev != NULL ? &opaque->prev->next : &strays) = opaque->next;
    if (opaque->next != NULL) {
        opaque->next->prev = opaque->prev;
    }
    opaque->next = opaque->prev = NULL;
    opaque->stray = NULL;
}

/* Refs: steals. */
static void
go_astray(ot_opaque_t *opaque, PyObject *o, int64_t interp)
{
    pthread_mutex_lock(&strays_lock);
    opaque->stray = o;
    opaque->interp = interp;
    opaque->next = strays;
    if (strays != NULL) {
        strays->prev = opaque;
    }
    strays = opaque;
    pthread_mutex_unlock(&strays_lock);
}

typedef enum { NONE, HERE, ELSEWHERE } where_t;

/* HERE: the object is the caller's. ELSEWHERE: *interp has it. */
static where_t
take_stray(ot_opaque_t *opaque, int64_t interp, PyObject **o, int64_t *where)
{
    pthread_mutex_lock(&strays_lock);
    where_t found = opaque->stray == NULL ? NONE : opaque->interp == interp ? HERE : ELSEWHERE;
    *where = opaque->interp;
    if (found == HERE) {
        *o = opaque->stray;
        unlink_locked(opaque);
    }
    pthread_mutex_unlock(&strays_lock);
    return found;
}

/* One of the interpreter's strays, taken out: all, or only such as nobody asks for any more; the caller's.
 * *doomed: to be freed. */
static PyObject *
next_stray(int64_t interp, bool all, ot_opaque_t **doomed)
{
    PyObject *o = NULL;
    *doomed = NULL;
    pthread_mutex_lock(&strays_lock);
    ot_opaque_t *s = strays;
    while (s != NULL && (s->interp != interp || !(all || s->doomed))) {
        s = s->next;
    }
    if (s != NULL) {
        o = s->stray;
        unlink_locked(s);
        *doomed = s->doomed ? s : NULL;
        n_doomed -= s->doomed;
    }
    pthread_mutex_unlock(&strays_lock);
    return o;
}

static void
free_strays(int64_t interp, bool all)
{
    ot_opaque_t *doomed;
    for (PyObject *o; (o = next_stray(interp, all, &doomed)) != NULL;) {
        Py_DECREF(o);
        PyMem_RawFree(doomed);
    }
}

void
ot_opaque_free_doomed(void)
{
    if (n_doomed > 0) {
        PyObject *error = PyErr_GetRaisedException();
        free_strays(PyInterpreterState_GetID(PyInterpreterState_Get()), false);
        PyErr_SetRaisedException(error);
    }
}

static void
interpreter_ends(PyObject *capsule)
{
    int64_t *interp = PyCapsule_GetPointer(capsule, NULL);
    free_strays(*interp, true);
    PyMem_RawFree(interp);
}

int
ot_opaque_watch(ot_objects_t *home)
{
    return ot_watch_interpreter(home->interp_id, "objtunnel values", interpreter_ends);
}

/* ---- life ----------------------------------------------------------------------------------- */

ot_opaque_t *
ot_opaque_new(ot_tree_t *tree, ot_lock_t *lock)
{
    ot_opaque_t *opaque = PyMem_RawCalloc(1, sizeof *opaque);
    if (opaque != NULL) {
        opaque->tree = tree;
        opaque->lock = lock;
    }
    return opaque;
}

ot_tree_t *
ot_opaque_free(ot_opaque_t *opaque)
{
    ot_tree_t *tree = opaque->tree;
    bool attached = PyThreadState_GetUnchecked() != NULL;
    int64_t interp = attached ? PyInterpreterState_GetID(PyInterpreterState_Get()) : -1, where;
    PyObject *o = NULL;
    if (opaque->lock != NULL) {
        ot_shared_unref(&opaque->lock->head);
        opaque->lock = NULL;
    }
    if (take_stray(opaque, interp, &o, &where) == ELSEWHERE) {
        pthread_mutex_lock(&strays_lock);
        bool left = opaque->stray != NULL; /* else that interpreter has ended meanwhile */
        opaque->doomed = left;
        n_doomed += left;
        pthread_mutex_unlock(&strays_lock);
        if (left) {
            return NULL;
        }
    }
    PyMem_RawFree(opaque);
    if (o != NULL) {
        PyObject *error = PyErr_GetRaisedException();
        Py_DECREF(o);
        PyErr_SetRaisedException(error);
    }
    return tree;
}

/* ---- reading -------------------------------------------------------------------------------- */

static int
raise_lost(void)
{
    PyErr_SetString(
        PyExc_RuntimeError,
        "this value is lost: the interpreter that was copying it, or that could not put "
        "it back, has ended");
    return -1;
}

/* Acquires the lock. -1 without an exception: not in time. */
static int
enter(const ot_objects_t *home, const ot_opaque_t *opaque, int64_t deadline)
{
    ot_sync_result_t result = ot_acquire_once(opaque->lock, home->interp_id, deadline,
                                              "this value is being copied by this thread: pickling "
                                              "or unpickling it may not ask for it");
    if (result == OT_SYNC_ABANDONED) {
        (void)ot_lock_recover(opaque->lock, home->interp_id); /* false: somebody else did */
        return raise_lost();
    }
    return result == OT_SYNC_OK ? 0 : -1;
}

/* The live object: the tree, attached here, or the stray. The caller's. NULL with an exception: as it was. */
static PyObject *
rouse(ot_objects_t *home, ot_opaque_t *opaque)
{
    PyObject *o = NULL;
    int64_t where;
    switch (take_stray(opaque, home->interp_id, &o, &where)) {
    case HERE:
        return o;
    case ELSEWHERE:
        return PyErr_Format(PyExc_RuntimeError,
                            "this value could not be put back by interpreter %lld, which still has "
                            "it: read it there, or take it out",
                            (long long)where);
    default:
        break;
    }
    if (opaque->tree == NULL) {
        raise_lost();
        return NULL;
    }
    return ot_tree_attach(home->interp, &opaque->tree);
}

/* The frames of an exception that was raised by pickling an object have that object in a local
 * variable: then it is not the tree's alone. All of them have ended, but those of generators. */
static void
clear_frames(PyObject *error)
{
    enum { CHAINED = 100 }; /* of exceptions, which may be a circle */
    PyObject *e = Py_NewRef(error);
    for (int i = 0; e != NULL && i < CHAINED; i++) {
        PyObject *tb = PyException_GetTraceback(e);
        while (tb != NULL && tb != Py_None) {
            PyObject *frame = PyObject_GetAttrString(tb, "tb_frame");
            PyObject *done = frame == NULL ? NULL : PyObject_CallMethod(frame, "clear", NULL);
            PyObject *next = PyObject_GetAttrString(tb, "tb_next");
            if (done == NULL || next == NULL) {
                PyErr_Clear(); /* it keeps its variables: the object may go astray then */
            }
            Py_XDECREF(frame);
            Py_XDECREF(done);
            Py_SETREF(tb, next);
        }
        Py_XDECREF(tb);
        PyObject *cause = PyException_GetCause(e);
        Py_SETREF(e, cause != NULL ? cause : PyException_GetContext(e));
    }
    Py_XDECREF(e);
}

/* Puts an equal tree to rest; `o` is the caller's. If that fails, o itself is put back, or goes astray,
 * and -1 is returned with an exception. Refs: steals o on failure. */
static int
put_copy_back(ot_objects_t *home, ot_opaque_t *opaque, PyObject *o, ot_leftovers_t *leftovers)
{
    opaque->tree = ot_tree_detach_root(home->interp, o, OT_ROOT_KEPT, leftovers);
    if (opaque->tree != NULL) {
        return 0;
    }
    PyObject *error = PyErr_GetRaisedException();
    clear_frames(error);
    opaque->tree = ot_tree_detach_root(home->interp, o, OT_ROOT_OWNED, leftovers);
    if (opaque->tree != NULL) {
        Py_DECREF(o); /* a husk */
    } else {
        PyErr_Clear();
        go_astray(opaque, o, home->interp_id);
    }
    PyErr_SetRaisedException(error);
    return -1;
}

PyObject *
ot_opaque_copy(ot_objects_t *home, ot_opaque_t *opaque, int64_t deadline)
{
    if (enter(home, opaque, deadline) < 0) {
        return NULL;
    }
    ot_leftovers_t leftovers = {.items = NULL};
    PyObject *o = rouse(home, opaque);
    if (o != NULL && put_copy_back(home, opaque, o, &leftovers) < 0) {
        o = NULL;
    }
    (void)ot_lock_release(opaque->lock);
    if (leftovers.items != NULL) {
        PyObject *error = PyErr_GetRaisedException();
        ot_tree_settle(&leftovers);
        PyErr_SetRaisedException(error);
    }
    return o;
}

PyObject *
ot_opaque_take(ot_objects_t *home, ot_opaque_t *opaque)
{
    PyObject *o = rouse(home, opaque);
    if (o != NULL) {
        (void)ot_opaque_free(opaque);
    }
    return o;
}
