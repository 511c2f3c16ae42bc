/* strict.c: see strict.h.
 *
 * Main invariant: finding a culprit changes nothing; naming it may run Python code.
 * Threading: the sender's GIL.
 */
#include "tunnel/strict.h"

#include "tunnel/foreign.h"
#include "tunnel/path.h"

PyObject *
ot_strict_culprit(const ot_proof_t *p, Py_ssize_t *outside)
{
    for (size_t i = 0; i < p->entries.len; i++) {
        const ot_proof_entry_t *e = &p->entries.items[i];
        if (e->verdict == OT_FOREIGN && ot_foreign_by_name(e->obj)) {
            continue;
        }
        Py_ssize_t ours = e->edges + (e->verdict == OT_FOREIGN ? 1 : 0); /* p->foreigners */
        bool copied = e->verdict == OT_OUTSIDE || (e->verdict == OT_ARRAY && !e->gives);
        bool shared = copied || (e->verdict == OT_FOREIGN && Py_REFCNT(e->obj) > ours);
        if (shared && e->edges > 0) {
            *outside = e->pinned ? 0 : Py_REFCNT(e->obj) - ours;
            return e->obj;
        }
    }
    return ot_numbers_find_shared(p, outside);
}

/* Gives the current exception its attributes; leaves them out if there is no memory. */
static void
add_details(PyObject *path, Py_ssize_t count)
{
    PyObject *error = PyErr_GetRaisedException();
    PyObject *number = PyLong_FromSsize_t(count);
    if (number == NULL || PyObject_SetAttrString(error, "path", path) < 0 ||
        PyObject_SetAttrString(error, "count", number) < 0) {
        PyErr_Clear();
    }
    Py_XDECREF(number);
    PyErr_SetRaisedException(error);
}

void
ot_strict_raise(const ot_proof_t *p, PyObject *o, Py_ssize_t outside)
{
    PyObject *path = ot_path_to(p->root, o);
    if (path == NULL) {
        return;
    }
    const char *type = Py_TYPE(o)->tp_name;
    if (o == p->root) {
        PyErr_Format(p->interp->shared_reference_error,
                     "%U: this %s would be copied: an immutable, watched or exported root stays "
                     "with the sender, and so does everything while the collector runs; send a "
                     "list that holds it, or leave out strict=True",
                     path, type);
    } else if (outside > 0) {
        PyErr_Format(p->interp->shared_reference_error,
                     "%U: this %s would be copied, for something outside of the tree refers to it "
                     "%zd time(s) (a variable, another container, a constant in code); drop those "
                     "references, or leave out strict=True",
                     path, type, outside);
    } else {
        PyErr_Format(p->interp->shared_reference_error,
                     "%U: this %s would be copied: a weak reference, an exported buffer, a dict "
                     "watcher or an instance can still look into it, or its type never moves; drop "
                     "that, or leave out strict=True",
                     path, type);
    }
    add_details(path, outside);
    Py_DECREF(path);
}
