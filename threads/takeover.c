/* takeover.c: taking objects over while all other threads are stopped.
 *
 * Main invariant: an owner changes only while no other thread of the interpreter can be within an update of a count.
 * Threading: any thread. The walk reads containers that other threads may have, which is safe because those are stopped.
 */
#include "threads/parcel.h"
#include "threads/threads.h"

typedef struct {
    PyObject *root;
    uintptr_t me;
    bool lone; /* only what has one reference */
    OT_VEC(PyObject *) todo;
    ot_ptrmap_t seen;
    Py_ssize_t taken;
    bool failed; /* no memory: what was taken so far stays taken, and nothing else has changed */
} takeover_t;

static int
fail(takeover_t *t)
{
    t->failed = true;
    return -1;
}

static bool
walks_through(PyObject *o, ot_walk_kind_t kind)
{
    return kind != OT_WALK_LEAF &&
           (kind != OT_WALK_OTHER ||
            (PyType_IS_GC(Py_TYPE(o)) && ot_type_is_from_statement(Py_TYPE(o))));
}

static int
meet(PyObject *o, void *arg)
{
    takeover_t *t = arg;
    ot_walk_kind_t kind = ot_walk_kind(Py_TYPE(o));
    if (kind == OT_WALK_FIXED || ot_py_immortal(o)) {
        return 0;
    }
    Py_ssize_t refs = Py_REFCNT(o);
    if (t->lone && refs != 1 && o != t->root) {
        return 0;
    }
    bool walks = walks_through(o, kind);
    if (walks && refs != 1) {
        if (ot_ptrmap_get(&t->seen, o) != NULL) {
            return 0;
        }
        if (ot_ptrmap_add(&t->seen, o, 1) < 0) {
            return fail(t);
        }
    }
    t->taken += ot_bias_take_stopped(o, t->me);
    return walks && ot_vec_push(&t->todo, o) < 0 ? fail(t) : 0;
}

/* The collector's own functions say what an object refers to. */
static void
take_all(void *arg)
{
    takeover_t *t = arg;
    int rc = meet(t->root, t);
    while (rc == 0 && t->todo.len > 0) {
        PyObject *o = t->todo.items[--t->todo.len];
        rc = Py_TYPE(o)->tp_traverse(o, meet, t);
    }
}

Py_ssize_t
ot_take_over(PyObject *root, bool lone)
{
    takeover_t t = {.root = root, .me = ot_bias_me(), .lone = lone};
    ot_bias_while_stopped(take_all, &t);
    ot_vec_free(&t.todo);
    ot_ptrmap_free(&t.seen);
    if (t.failed) {
        PyErr_NoMemory();
        return -1;
    }
    return t.taken;
}
