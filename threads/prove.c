/* prove.c: which objects does only the tree refer to? See parcel.h.
 *
 * Main invariant: all in `moved` are reached by nobody else; an outsider moves as soon as found == wanted.
 * Threading: the caller's thread, which does not detach in here: so no collection and no gc.get_objects() of
 * another thread comes in between, and afterwards they see nothing of what moves.
 */
#include "threads/parcel.h"
#include "threads/threads.h"

/* Enters what only the tree refers to. 0, or -1 without memory, and without an exception. */
static int
move(ot_send_t *send, PyObject *o, ot_walk_kind_t kind)
{
    bool container = kind != OT_WALK_LEAF;
    uintptr_t tracked = container && ot_bias_untrack(o) ? OT_WAS_TRACKED : 0;
    if (ot_vec_push(&send->parcel->moved, (uintptr_t)o | tracked) < 0) {
        if (tracked) {
            ot_gc_track(o);
        }
        return -1;
    }
    return container ? ot_vec_push(&send->todo, o) : 0;
}

static ot_outsider_t *
outsider(ot_send_t *send, PyObject *o, uint32_t wanted)
{
    const uint32_t *known = ot_ptrmap_get(&send->index, o);
    if (known != NULL) {
        return &send->outsiders.items[*known];
    }
    uint32_t index = (uint32_t)send->outsiders.len;
    if (ot_vec_push(&send->outsiders, ((ot_outsider_t){.object = o, .wanted = wanted})) < 0 ||
        ot_ptrmap_add(&send->index, o, index) < 0) {
        return NULL;
    }
    return &send->outsiders.items[index];
}

/* For tp_traverse of a type that walk.h does not know: 1, which ends it, at the first object that could change. */
static int
refuse_container(PyObject *o, void *unused)
{
    (void)unused;
    ot_walk_kind_t kind = ot_walk_kind(Py_TYPE(o));
    return kind == OT_WALK_LEAF || kind == OT_WALK_FIXED || ot_py_immortal(o) ? 0 : 1;
}

/* Whether o moves whole. Only for an object that nobody else reaches: this reads its fields. */
static bool
can_move(const ot_send_t *send, PyObject *o, ot_walk_kind_t kind)
{
    switch (kind) {
    case OT_WALK_OTHER:
        return !PyType_IS_GC(Py_TYPE(o)) || Py_TYPE(o)->tp_traverse(o, refuse_container, NULL) == 0;
    case OT_WALK_DICT:
        return ot_walk_is_plain_dict(o);
    case OT_WALK_INSTANCE:
        return ot_walk_is_plain_instance(o, send->me);
    default:
        return true;
    }
}

/* An edge to something that has several references, or of which nobody can be sure. */
static int
meet(ot_send_t *send, PyObject **slot, bool is_key, ot_walk_kind_t kind, uint32_t wanted)
{
    ot_outsider_t *out = outsider(send, *slot, wanted);
    if (out == NULL) {
        return -1;
    }
    out->found++;
    if (out->wanted != 0 && out->found == out->wanted) {
        if (can_move(send, *slot, kind)) {
            return move(send, *slot, kind);
        }
        out->wanted = 0;
    }
    /* An object that never changes may belong to both sides. A key is not copied either: its copy might have another hash. */
    if (kind == OT_WALK_LEAF || kind == OT_WALK_FROZENSET || is_key) {
        return 0;
    }
    return ot_vec_push(&send->outward,
                       ((ot_outward_t){slot, (uint32_t)(out - send->outsiders.items)}));
}

static inline int
visit(PyObject **slot, bool is_key, void *arg)
{
    ot_send_t *send = arg;
    PyObject *o = *slot;
    if (ot_py_immortal(o)) {
        return 0;
    }
    ot_walk_kind_t kind = ot_walk_kind(Py_TYPE(o));
    if (kind == OT_WALK_FIXED) {
        return 0;
    }
    uint32_t wanted = ot_bias_count(o, send->me);
    if (wanted == 0 && send->may_stop && kind != OT_WALK_LEAF &&
        ot_bias_is_lone_stranger(o, send->me)) {
        send->strangers = true;
    }
    return wanted == 1 && can_move(send, o, kind) ? move(send, o, kind)
                                                  : meet(send, slot, is_key, kind, wanted);
}

static int
prove(ot_send_t *send, PyObject *root)
{
    int rc = move(send, root, ot_walk_kind(Py_TYPE(root)));
    while (rc == 0 && send->todo.len > 0) {
        PyObject *o = send->todo.items[--send->todo.len];
        rc = ot_walk_slots(o, ot_walk_kind(Py_TYPE(o)), visit, send);
    }
    if (rc < 0) {
        PyErr_NoMemory();
    }
    return rc;
}

int
ot_prove(ot_send_t *send, PyObject *root)
{
    int rc = prove(send, root);
    if (rc == 0 && send->strangers) {
        ot_parcel_t *parcel = send->parcel;
        ot_send_undo(send);
        ot_send_clear(send);
        *send = (ot_send_t){.parcel = parcel, .me = send->me};
        rc = ot_take_over(root, true) < 0 ? -1 : prove(send, root);
    }
    return rc;
}

int
ot_prove_root_outside(ot_send_t *send)
{
    PyObject **root = &send->parcel->head.root;
    ot_walk_kind_t kind = ot_walk_kind(Py_TYPE(*root));
    if (kind == OT_WALK_FIXED || kind == OT_WALK_LEAF || ot_py_immortal(*root)) {
        return 0;
    }
    if (meet(send, root, false, kind, 0) < 0) {
        PyErr_NoMemory();
        return -1;
    }
    return 0;
}

static bool
stays_outside(const ot_outsider_t *out)
{
    return out->wanted == 0 || out->found < out->wanted;
}

PyObject *
ot_prove_first_outsider(const ot_send_t *send, Py_ssize_t *n)
{
    for (size_t i = 0; i < send->outward.len; i++) {
        const ot_outsider_t *out = &send->outsiders.items[send->outward.items[i].index];
        if (stays_outside(out)) {
            *n = Py_REFCNT(out->object) - (Py_ssize_t)out->found;
            return out->object;
        }
    }
    return NULL;
}
