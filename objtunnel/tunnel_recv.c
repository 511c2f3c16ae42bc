/* tunnel_recv.c: Tunnel.recv, recv_nowait, discard, iteration, what coroutines receive by, and queue.Queue's get, get_nowait.
 *
 * Main invariant: a message that was taken is either given to the caller as a whole or put back.
 * Threading: the GIL of the handle's interpreter.
 */
#include "objtunnel/tunnel.h"

#include <stdatomic.h>

/* error.discard(): drops the message that could not be rebuilt, if it is still the tunnel's next one.
 * what: (tunnel, number in tree->refused). */
static PyObject *
discard_refused(PyObject *what, PyObject *unused)
{
    (void)unused;
    PyObject *tunnel = PyTuple_GET_ITEM(what, 0);
    ot_state_t *state = ot_tunnel_state(tunnel);
    ot_node_t *node = NULL;
    if (ot_channel_recv(ot_tunnel_channel(tunnel), OT_DONT_WAIT, &node) != OT_CHANNEL_OK) {
        Py_RETURN_FALSE;
    }
    ot_tree_t *tree = (ot_tree_t *)node;
    uint64_t number = PyLong_AsUnsignedLongLong(PyTuple_GET_ITEM(what, 1));
    if (tree->bare ||
        tree->refused != number) { /* a bare message has no field `refused`, and never fails */
        ot_channel_unrecv(ot_tunnel_channel(tunnel), node);
        Py_RETURN_FALSE;
    }
    ot_tree_dispose(&state->interp, tree);
    Py_RETURN_TRUE;
}

static PyMethodDef discard_refused_def = {
    "discard", discard_refused, METH_NOARGS,
    "Drop the message that could not be received. False if somebody else has taken it."};

/* Gives the current exception the attribute `discard`, so that the message does not block the
 * tunnel for ever. Not to Ctrl-C and its like, which say nothing about the message. */
static void
offer_discard(PyObject *self, ot_tree_t *tree)
{
    static _Atomic uint64_t last_refused;
    if (!PyErr_ExceptionMatches(PyExc_Exception) || PyErr_ExceptionMatches(PyExc_MemoryError)) {
        return;
    }
    if (tree->refused == 0) {
        tree->refused = atomic_fetch_add(&last_refused, 1) + 1;
    }
    PyObject *error = PyErr_GetRaisedException();
    PyObject *what = Py_BuildValue("(OK)", self, (unsigned long long)tree->refused);
    PyObject *discard = what == NULL ? NULL : PyCFunction_New(&discard_refused_def, what);
    if (discard == NULL || PyObject_SetAttrString(error, "discard", discard) < 0) {
        PyErr_Clear(); /* the error itself matters more */
    }
    Py_XDECREF(what);
    Py_XDECREF(discard);
    PyErr_SetRaisedException(error);
}

PyObject *
ot_tunnel_receive_object(PyObject *self, ot_tunnel_patience_t patience, ot_stop_t *until)
{
    ot_state_t *state = ot_tunnel_state(self);
    ot_channel_t *ch = ot_tunnel_channel(self);
    ot_tree_t *tree = ot_tunnel_receive(state, ch, patience, until);
    if (tree == NULL) {
        return NULL;
    }
    PyObject *root = ot_tree_attach(&state->interp, &tree);
    if (root == NULL && tree != NULL) {
        offer_discard(self, tree);
        ot_channel_unrecv(ch, &tree->node);
    }
    return root;
}

/* recv(timeout=None). Parsed by hand, for speed. */
PyObject *
ot_tunnel_recv(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *names)
{
    Py_ssize_t named = names == NULL ? 0 : PyTuple_GET_SIZE(names);
    ot_tunnel_patience_t patience;
    if (nargs + named > 1) {
        return PyErr_Format(PyExc_TypeError, "recv() takes at most 1 argument (%zd given)",
                            nargs + named);
    }
    if (named == 1 && !PyUnicode_EqualToUTF8(PyTuple_GET_ITEM(names, 0), "timeout")) {
        return PyErr_Format(PyExc_TypeError, "recv() got an unexpected keyword argument '%U'",
                            PyTuple_GET_ITEM(names, 0));
    }
    if (ot_tunnel_patience_from(nargs + named == 1 ? args[0] : NULL, &patience) < 0) {
        return NULL;
    }
    return ot_tunnel_receive_object(self, patience, NULL);
}

PyObject *
ot_tunnel_recv_nowait(PyObject *self, PyObject *unused)
{
    (void)unused;
    return ot_tunnel_receive_object(self, OT_TUNNEL_NO_WAIT, NULL);
}

/* _recv_or(default): the next message, or `default` if there is none. Coroutines use it: they must not block the thread. */
PyObject *
ot_tunnel_recv_or(PyObject *self, PyObject *otherwise)
{
    ot_channel_t *ch = ot_tunnel_channel(self);
    if (ot_channel_qsize(ch) == 0 && !ot_channel_is_closed(ch)) {
        return Py_NewRef(otherwise);
    }
    PyObject *o = ot_tunnel_receive_object(self, OT_TUNNEL_NO_WAIT, NULL);
    if (o == NULL && PyErr_ExceptionMatches(ot_tunnel_state(self)->tunnel_empty)) {
        PyErr_Clear(); /* somebody else was faster */
        return Py_NewRef(otherwise);
    }
    return o;
}

PyObject *
ot_tunnel_next(PyObject *self)
{
    PyObject *o = ot_tunnel_receive_object(self, OT_TUNNEL_FOR_EVER, NULL);
    if (o == NULL && PyErr_ExceptionMatches(ot_tunnel_state(self)->tunnel_closed)) {
        PyErr_Clear(); /* the end of the iteration */
    }
    return o;
}

PyObject *
ot_tunnel_discard(PyObject *self, PyObject *unused)
{
    (void)unused;
    ot_state_t *state = ot_tunnel_state(self);
    ot_tree_t *tree = ot_tunnel_receive(state, ot_tunnel_channel(self), OT_TUNNEL_NO_WAIT, NULL);
    if (tree == NULL) {
        return NULL;
    }
    ot_tree_dispose(&state->interp, tree);
    Py_RETURN_NONE;
}

/* ---- queue.Queue's ------------------------------------------------------------------------ */

int
ot_tunnel_queue_arguments(const char *function, const char *const *parameters,
                          PyObject *const *args, Py_ssize_t nargs, PyObject *names,
                          PyObject **values)
{
    Py_ssize_t n = 0, named = names == NULL ? 0 : PyTuple_GET_SIZE(names);
    while (parameters[n] != NULL) {
        n++;
    }
    if (nargs > n) {
        PyErr_Format(PyExc_TypeError, "%s() takes at most %zd argument%s (%zd given)", function, n,
                     n == 1 ? "" : "s", nargs);
        return -1;
    }
    for (Py_ssize_t i = 0; i < nargs; i++) {
        values[i] = args[i];
    }
    for (Py_ssize_t i = 0; i < named; i++) {
        PyObject *name = PyTuple_GET_ITEM(names, i);
        Py_ssize_t at = 0;
        while (at < n && !PyUnicode_EqualToUTF8(name, parameters[at])) {
            at++;
        }
        if (at == n || at < nargs) {
            PyErr_Format(PyExc_TypeError, "%s() got %s argument '%U'", function,
                         at == n ? "an unexpected keyword" : "multiple values for", name);
            return -1;
        }
        values[at] = args[nargs + i];
    }
    return 0;
}

int
ot_tunnel_queue_patience(PyObject *block, PyObject *timeout, ot_tunnel_patience_t *patience)
{
    int blocks = block == NULL ? 1 : PyObject_IsTrue(block);
    if (blocks < 0) {
        return -1;
    }
    if (!blocks) {
        *patience = OT_TUNNEL_NO_WAIT; /* whatever the timeout, as in queue.Queue */
        return 0;
    }
    return ot_tunnel_patience_from(timeout, patience);
}

PyObject *
ot_tunnel_get(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *names)
{
    static const char *const parameters[] = {"block", "timeout", NULL};
    PyObject *values[2] = {NULL};
    ot_tunnel_patience_t patience;
    if (ot_tunnel_queue_arguments("get", parameters, args, nargs, names, values) < 0 ||
        ot_tunnel_queue_patience(values[0], values[1], &patience) < 0) {
        return NULL;
    }
    return ot_tunnel_receive_object(self, patience, NULL);
}
