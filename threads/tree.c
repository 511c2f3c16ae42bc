/* tree.c: what tunnel/tree.h declares, between threads of one interpreter on free-threaded builds.
 *
 * Main invariant: a send that fails has changed nothing; a receive cannot fail.
 * Threading: an attached thread state. The lock of a root that others reach is held while its content is swapped.
 */
#include "threads/parcel.h"

#include "objtunnel/state.h"
#include "runtime/pile.h"

/* ---- the root --------------------------------------------------------------------------------- */

/* Whether what o holds can be taken out of it by swapping pointers with an empty one; then it is done. */
static bool
swap_content(PyObject *o, PyObject *shell, bool list)
{
    bool taken = false;
    Py_BEGIN_CRITICAL_SECTION(o);
    if (ot_bias_content_is_mine(o) && (list || ot_walk_is_plain_dict(o))) {
        list ? ot_bias_list_swap(o, shell) : ot_bias_dict_swap(o, shell);
        taken = true;
    }
    Py_END_CRITICAL_SECTION();
    return taken;
}

static int
empty_root(PyObject *o)
{
    if (PyList_CheckExact(o)) {
        return PyList_SetSlice(o, 0, PY_SSIZE_T_MAX, NULL);
    }
    if (PyDict_CheckExact(o)) {
        PyDict_Clear(o);
        return 0;
    }
    return PySet_Clear(o);
}

/* A new container with the same content, o being left empty. o's memory stays where it is: others may be reading
 * there. */
static PyObject *
draw_content(PyObject *o)
{
    PyObject *shell = PyList_CheckExact(o)   ? PyList_GetSlice(o, 0, PY_SSIZE_T_MAX)
                      : PyDict_CheckExact(o) ? ot_copy_dict(o)
                                             : PySet_New(o);
    if (shell != NULL && empty_root(o) < 0) {
        Py_CLEAR(shell);
    }
    return shell;
}

/* A new list, dict or set with what o holds, o being left empty; NULL without an exception: it is none of these; or
 * with MemoryError. */
static PyObject *
take_content(PyObject *o)
{
    bool list = PyList_CheckExact(o), dict = PyDict_CheckExact(o);
    if (!list && !dict) {
        return PySet_CheckExact(o) ? draw_content(o) : NULL;
    }
    PyObject *shell = list ? PyList_New(0) : PyDict_New();
    if (shell == NULL || swap_content(o, shell, list)) {
        if (shell != NULL && dict && PyDict_GET_SIZE(shell) > 0 &&
            !_PyObject_GC_IS_TRACKED(shell)) {
            ot_gc_track(shell); /* 3.13 tracks a dict when a container comes into it */
        }
        return shell;
    }
    Py_DECREF(shell);
    return draw_content(o);
}

/* The content goes back; what another thread has put into o meanwhile stays as well. Steals the shell. */
static void
give_content_back(PyObject *o, PyObject *shell)
{
    PyObject *error = PyErr_GetRaisedException();
    int rc = 0;
    if (PyList_CheckExact(o)) {
        Py_ssize_t at = swap_content(o, shell, true) ? PY_SSIZE_T_MAX : 0;
        rc = PyList_SetSlice(o, at, at, shell);
    } else if (PyDict_CheckExact(o)) {
        (void)swap_content(o, shell, false);
        rc = PyDict_Update(o, shell);
    } else {
        PyObject *done = PyObject_CallMethod(o, "update", "O", shell);
        rc = done == NULL ? -1 : 0;
        Py_XDECREF(done);
    }
    if (rc < 0) {
        PyErr_WriteUnraisable(o);
    }
    Py_DECREF(shell);
    PyErr_SetRaisedException(error);
}

/* ---- sending ---------------------------------------------------------------------------------- */

/* A new str; NULL with an exception. Runs: e. */
static PyObject *
path_to(PyObject *root, PyObject *o)
{
    PyObject *module = PyImport_ImportModule("objtunnel._paths");
    PyObject *path = module == NULL ? NULL : PyObject_CallMethod(module, "path_to", "OO", root, o);
    Py_XDECREF(module);
    return path;
}

/* strict: refuses what would have to be copied. Returns -1. */
static int
refuse(const ot_interp_t *interp, PyObject *root, PyObject *o, Py_ssize_t n)
{
    PyObject *path = path_to(root, o);
    PyObject *text =
        path == NULL
            ? NULL
            : PyUnicode_FromFormat(
                  "%U, a %s, is referred to from outside of the tree, or is another thread's or of a type "
                  "that does not move: without strict it is copied",
                  path, Py_TYPE(o)->tp_name);
    PyObject *error =
        text == NULL ? NULL : PyObject_CallOneArg(interp->shared_reference_error, text);
    PyObject *count = error == NULL ? NULL : PyLong_FromSsize_t(n);
    if (count != NULL && PyObject_SetAttrString(error, "path", path) == 0 &&
        PyObject_SetAttrString(error, "count", count) == 0) {
        PyErr_SetObject(interp->shared_reference_error, error);
    }
    Py_XDECREF(path);
    Py_XDECREF(text);
    Py_XDECREF(error);
    Py_XDECREF(count);
    return -1;
}

/* Says in a note of the current TypeError where in the tree the object lies that cannot be copied. */
static void
add_path(PyObject *root, PyObject *refused)
{
    if (refused == NULL || !PyErr_ExceptionMatches(PyExc_TypeError)) {
        return;
    }
    PyObject *error = PyErr_GetRaisedException();
    PyObject *path = path_to(root, refused);
    PyObject *done =
        path == NULL ? NULL
                     : PyObject_CallMethod(
                           error, "add_note", "N",
                           PyUnicode_FromFormat(
                               "it lies at %U of what was to be sent: take it out, or pass all of "
                               "it on as it is, by send(..., share=True)",
                               path));
    if (done == NULL) {
        PyErr_Clear(); /* the error itself matters more */
    }
    Py_XDECREF(path);
    Py_XDECREF(done);
    PyErr_SetRaisedException(error);
}

static int
prove_and_copy(const ot_interp_t *interp, ot_send_t *send, bool taken, bool strict)
{
    PyObject **root = &send->parcel->head.root;
    if ((taken ? ot_prove(send, *root) : ot_prove_root_outside(send)) < 0) {
        return -1;
    }
    Py_ssize_t n;
    PyObject *outsider = strict ? ot_prove_first_outsider(send, &n) : NULL;
    return outsider != NULL ? refuse(interp, *root, outsider, n) : ot_copy_outsiders(send);
}

/* What the copies have replaced is the sender's to drop. The last step that can fail. */
static int
leave(ot_send_t *send, ot_leftovers_t *leftovers)
{
    size_t n = send->replaced.len;
    leftovers->items = n <= Py_ARRAY_LENGTH(leftovers->few)
                           ? leftovers->few
                           : PyMem_RawMalloc(n * sizeof(PyObject *));
    if (leftovers->items == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    for (size_t i = 0; i < n; i++) {
        leftovers->items[i] = send->replaced.items[i].was;
    }
    leftovers->len = n;
    return 0;
}

static ot_tree_t *
detach(const ot_interp_t *interp, PyObject *o, bool strict, ot_root_rule_t rule,
       ot_receipt_t *receipt, ot_leftovers_t *leftovers)
{
    bool kept = rule == OT_ROOT_LENT || rule == OT_ROOT_KEPT;
    PyObject *shell = kept ? NULL : take_content(o);
    if (shell == NULL && PyErr_Occurred()) {
        return NULL;
    }
    bool taken = shell != NULL;
    ot_parcel_t *parcel = ot_parcel_new(Py_NewRef(taken ? shell : o));
    ot_send_t send = {.parcel = parcel, .me = ot_bias_me(), .may_stop = rule == OT_ROOT_AS_SENT};
    if (parcel != NULL && prove_and_copy(interp, &send, taken, strict) == 0 &&
        leave(&send, leftovers) == 0) {
        *receipt = (ot_receipt_t){parcel->moved.len - send.copied, send.copied, send.pickled};
        ot_send_clear(&send);
        Py_XDECREF(shell);
        return &parcel->head;
    }
    if (parcel != NULL) {
        ot_send_undo(&send);
        Py_DECREF(parcel->head.root);
        ot_parcel_free(parcel);
    }
    if (taken) {
        give_content_back(o, shell);
    }
    add_path(o, send.refused);
    ot_send_clear(&send);
    return NULL;
}

ot_tree_t *
ot_tree_detach(const ot_interp_t *interp, PyObject *root, bool strict, ot_share_t share,
               ot_receipt_t *receipt, ot_leftovers_t *leftovers)
{
    leftovers->items = leftovers->few;
    leftovers->len = 0;
    if (share == OT_SHARE_NOTHING) {
        return detach(interp, root, strict, OT_ROOT_AS_SENT, receipt, leftovers);
    }
    ot_parcel_t *parcel = ot_parcel_new(Py_NewRef(root));
    if (parcel == NULL) {
        return NULL;
    }
    *receipt = (ot_receipt_t){0};
    return &parcel->head;
}

ot_tree_t *
ot_tree_detach_root_counted(const ot_interp_t *interp, PyObject *root, ot_root_rule_t rule,
                            bool strict, ot_receipt_t *receipt, ot_leftovers_t *leftovers)
{
    leftovers->items = leftovers->few;
    leftovers->len = 0;
    return detach(interp, root, strict, rule, receipt, leftovers);
}

/* No tunnel comes with a gate: Tunnel() refuses maxbytes. */
ot_tree_t *
ot_tree_detach_gated(const ot_interp_t *interp, PyObject *root, ot_root_rule_t rule, bool strict,
                     ot_share_t share, ot_gate_t *gate, ot_receipt_t *receipt,
                     ot_leftovers_t *leftovers)
{
    (void)share;
    if (gate != NULL) {
        PyErr_SetString(PyExc_NotImplementedError,
                        "messages are not weighed on a free-threaded build of CPython");
        return NULL;
    }
    return ot_tree_detach_root_counted(interp, root, rule, strict, receipt, leftovers);
}

void
ot_tree_settle(ot_leftovers_t *leftovers)
{
    for (size_t i = 0; i < leftovers->len; i++) {
        Py_DECREF(leftovers->items[i]);
    }
    if (leftovers->items != leftovers->few) {
        PyMem_RawFree(leftovers->items);
    }
}

/* ---- receiving -------------------------------------------------------------------------------- */

PyObject *
ot_tree_attach(const ot_interp_t *interp, ot_tree_t **tree)
{
    (void)interp;
    ot_parcel_t *parcel = (ot_parcel_t *)*tree;
    *tree = NULL;
    return ot_parcel_open(parcel);
}

void
ot_tree_dispose(const ot_interp_t *interp, ot_tree_t *tree)
{
    Py_DECREF(ot_tree_attach(interp, &tree)); /* its own blocks are cheaper to free */
}

/* Messages of channels that died where nobody could free objects: without a thread state, or at the interpreter's
 * end. */
static ot_pile_t orphans;
_Static_assert(offsetof(ot_node_t, next) == 0, "a message lies on the pile by its link");

void
ot_tree_leave_chain(ot_node_t *chain)
{
    for (ot_node_t *next; chain != NULL; chain = next) {
        next = chain->next;
        ot_pile_put(&orphans, (ot_piled_t *)chain);
    }
}

void
ot_tree_inherit(ot_node_t *chain)
{
    ot_tree_leave_chain(chain);
}

static void
dispose_all(const ot_interp_t *interp, ot_node_t *chain)
{
    while (chain != NULL) {
        ot_node_t *next = chain->next;
        ot_tree_dispose(interp, (ot_tree_t *)chain);
        chain = next;
    }
}

void
ot_tree_dispose_chain(const ot_interp_t *interp, ot_node_t *chain)
{
    dispose_all(interp, chain);
    dispose_all(interp, (ot_node_t *)ot_pile_take(&orphans));
}

/* Nothing is pickled within a message here. */
int
ot_tree_pickling_shared(ot_shared_t *shared)
{
    (void)shared;
    return 0;
}
