/* tunnel_type.c: the Python type Tunnel, an interpreter's handle on a process-wide channel.
 *
 * Main invariant: a handle owns one reference to its channel, which never changes; handles of
 * one channel are equal, whichever interpreter made them.
 * Threading: the GIL of the handle's interpreter. Blocking methods let go of it and hold no
 * lock; they come back for signals and for interrupts of workers.
 */
#include "objtunnel/state.h"

#include <math.h>
#include <stdatomic.h>
#include <unistd.h>

#include "runtime/clock.h"
#include "runtime/thread.h"
#include "runtime/worker.h"
#include "runtime/cpython/xidata.h"

typedef struct {
    PyObject_HEAD
    ot_channel_t *channel;
    PyObject *module; /* not by way of the type: the collector may have cleared that already */
} tunnel_t;

static tunnel_t *
as_tunnel(PyObject *o)
{
    return (tunnel_t *)o;
}

static ot_state_t *
state_of(PyObject *tunnel)
{
    return ot_state_of_module(as_tunnel(tunnel)->module);
}

ot_channel_t *
ot_tunnel_channel(PyObject *tunnel)
{
    return as_tunnel(tunnel)->channel;
}

/* ---- making and freeing ------------------------------------------------------------------ */

PyObject *
ot_tunnel_steal(void *context, ot_channel_t *ch)
{
    ot_state_t *state = context;
    PyObject *self = state->tunnel_type->tp_alloc(state->tunnel_type, 0);
    if (self == NULL) {
        PyObject *error = PyErr_GetRaisedException();
        ot_tree_dispose_chain(&state->interp, ot_channel_unref(ch));
        PyErr_SetRaisedException(error);
        return NULL;
    }
    as_tunnel(self)->channel = ch;
    as_tunnel(self)->module = Py_NewRef(state->module);
    return self;
}

static PyObject *
tunnel_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"maxsize", NULL};
    Py_ssize_t maxsize = 0;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|n:Tunnel", names, &maxsize)) {
        return NULL;
    }
    /* As in queue.Queue, zero or less means no limit. */
    ot_channel_t *ch = ot_channel_new(maxsize > 0 ? (size_t)maxsize : 0);
    if (ch == NULL) {
        return PyErr_NoMemory();
    }
    return ot_tunnel_steal(PyType_GetModuleState(type), ch);
}

static int
tunnel_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(as_tunnel(self)->module);
    return 0;
}

static void
tunnel_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    ot_channel_t *ch = as_tunnel(self)->channel;
    PyObject_GC_UnTrack(self);
    PyObject_ClearWeakRefs(self);
    if (ch != NULL) {
        ot_node_t *left = ot_channel_unref(ch);
        if (left != NULL) {
            PyObject *error = PyErr_GetRaisedException();
            ot_tree_dispose_chain(&state_of(self)->interp, left);
            PyErr_SetRaisedException(error);
        }
    }
    Py_XDECREF(as_tunnel(self)->module);
    type->tp_free(self);
    Py_DECREF(type);
}

/* ---- waiting ------------------------------------------------------------------------------ */

int
ot_deadline_from(PyObject *timeout, int64_t *deadline)
{
    *deadline = OT_FOREVER;
    if (timeout == NULL || timeout == Py_None) {
        return 0;
    }
    double seconds = PyFloat_AsDouble(timeout);
    if (seconds == -1.0 && PyErr_Occurred()) {
        return -1;
    }
    if (isnan(seconds) || seconds < 0) {
        PyErr_SetString(PyExc_ValueError, "timeout must be a number of seconds, 0 or more");
        return -1;
    }
    if (seconds == 0) {
        *deadline = OT_DONT_WAIT;
    } else if (seconds < 9e9) { /* 285 years and more are for ever */
        *deadline = ot_clock_now() + (int64_t)(seconds * 1e9);
    }
    return 0;
}

/* After a wait that a signal or a poke ended: 0 to wait on, -1 with an exception set. */
static int
handle_interruption(void)
{
    return PyErr_CheckSignals() < 0 || ot_worker_check_interrupt() ? -1 : 0;
}

/* Result to exception; 0 for OK. `nothing` is what a timeout raises. */
static int
raise_for(ot_state_t *state, ot_channel_result_t result, PyObject *nothing, const char *text)
{
    if (result == OT_CHANNEL_OK) {
        return 0;
    }
    if (result == OT_CHANNEL_CLOSED) {
        PyErr_SetString(state->tunnel_closed, "the tunnel is closed");
    } else {
        PyErr_SetString(nothing, text);
    }
    return -1;
}

/* Blocking operations are tried with the GIL, then watched for and at last slept for without it.
 * Who has watched in vain looks at signals before going to sleep: one that came meanwhile wakes
 * nobody. The same goes round again if another was faster: INTERRUPTED stands for both. */

static ot_channel_result_t
reserve_patiently(ot_channel_t *ch, int64_t deadline, bool watch)
{
    ot_channel_result_t result = OT_CHANNEL_INTERRUPTED;
    switch (watch ? ot_channel_watch_place(ch, deadline) : OT_WATCH_SKIPPED) {
    case OT_WATCH_SKIPPED:
        return ot_channel_reserve(ch, deadline);
    case OT_WATCH_SEEN:
        result = ot_channel_reserve(ch, OT_DONT_WAIT);
        return result == OT_CHANNEL_TIMEOUT ? OT_CHANNEL_INTERRUPTED : result;
    default:
        return result;
    }
}

static ot_channel_result_t
recv_patiently(ot_channel_t *ch, int64_t deadline, ot_node_t **node, bool watch)
{
    ot_channel_result_t result = OT_CHANNEL_INTERRUPTED;
    switch (watch ? ot_channel_watch_message(ch, deadline) : OT_WATCH_SKIPPED) {
    case OT_WATCH_SKIPPED:
        return ot_channel_recv(ch, deadline, node);
    case OT_WATCH_SEEN:
        result = ot_channel_recv(ch, OT_DONT_WAIT, node);
        return result == OT_CHANNEL_TIMEOUT ? OT_CHANNEL_INTERRUPTED : result;
    default:
        return result;
    }
}

static int
reserve(ot_state_t *state, ot_channel_t *ch, int64_t deadline)
{
    ot_channel_result_t result = ot_channel_reserve(ch, OT_DONT_WAIT);
    bool wait = result == OT_CHANNEL_TIMEOUT && deadline != OT_DONT_WAIT;
    for (bool watch = true; wait; watch = false) {
        Py_BEGIN_ALLOW_THREADS
        result = reserve_patiently(ch, deadline, watch);
        Py_END_ALLOW_THREADS
        wait = result == OT_CHANNEL_INTERRUPTED;
        if (wait && handle_interruption() < 0) {
            return -1;
        }
    }
    return raise_for(state, result, state->tunnel_full, "the tunnel is full");
}

static ot_tree_t *
receive(ot_state_t *state, ot_channel_t *ch, int64_t deadline)
{
    ot_node_t *node = NULL;
    ot_channel_result_t result = ot_channel_recv(ch, OT_DONT_WAIT, &node);
    bool wait = result == OT_CHANNEL_TIMEOUT && deadline != OT_DONT_WAIT;
    for (bool watch = true; wait; watch = false) {
        Py_BEGIN_ALLOW_THREADS
        result = recv_patiently(ch, deadline, &node, watch);
        Py_END_ALLOW_THREADS
        wait = result == OT_CHANNEL_INTERRUPTED;
        if (wait && handle_interruption() < 0) {
            return NULL;
        }
    }
    if (raise_for(state, result, state->tunnel_empty, "the tunnel is empty") < 0) {
        return NULL;
    }
    return (ot_tree_t *)node;
}

/* ---- send --------------------------------------------------------------------------------- */

/* The message is gone by now, so nothing may fail any more: a count that there is no memory for
 * reads None. */
static PyObject *
fill_receipt(PyObject *receipt, const ot_receipt_t *r)
{
    size_t counts[3] = {r->moved, r->copied, r->pickled};
    for (int i = 0; i < 3; i++) {
        PyObject *n = PyLong_FromSize_t(counts[i]);
        if (n == NULL) {
            PyErr_Clear();
            n = Py_NewRef(Py_None);
        }
        PyStructSequence_SetItem(receipt, i, n);
    }
    return receipt;
}

static PyObject *
send(PyObject *self, PyObject *obj, bool strict, ot_share_t share, int64_t deadline)
{
    ot_state_t *state = state_of(self);
    ot_channel_t *ch = as_tunnel(self)->channel;
    PyObject *receipt = PyStructSequence_New(state->receipt_type);
    if (receipt == NULL || reserve(state, ch, deadline) < 0) {
        Py_XDECREF(receipt);
        return NULL;
    }
    ot_receipt_t counts;
    ot_leftovers_t leftovers;
    ot_tree_t *tree =
        ot_tree_detach_sharing(&state->interp, obj, strict, share, &counts, &leftovers);
    if (tree == NULL) {
        ot_channel_cancel(ch);
        Py_DECREF(receipt);
        return NULL;
    }
    ot_channel_commit(ch, &tree->node);
    ot_tree_settle(&leftovers);
    return fill_receipt(receipt, &counts);
}

/* What share=... asks for. Returns -1 with an exception set. */
static int
share_from(PyObject *value, ot_share_t *share)
{
    bool containers = PyUnicode_Check(value) && PyUnicode_EqualToUTF8(value, "unsafe");
    int any = PyObject_IsTrue(value);
    if (any < 0) {
        return -1;
    }
    *share = containers ? OT_SHARE_CONTAINERS : any ? OT_SHARE_LEAVES : OT_SHARE_NOTHING;
    if (any && !containers && value != Py_True) {
        PyErr_Format(PyExc_ValueError, "share must be False, True or 'unsafe', not %R", value);
        return -1;
    }
    if (any && !ot_py_counts_atomically()) {
        PyErr_SetString(PyExc_NotImplementedError,
                        "share needs a CPython whose reference counts are atomic, and this one's "
                        "are not: build one with `make lab VARIANT=lock`; without share, what "
                        "something outside refers to is copied");
        return -1;
    }
    return 0;
}

/* send(obj, *, strict=False, share=False, timeout=None), parsed by hand: small messages go by the million. */
static PyObject *
parse_send(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *names,
           const char *name, bool may_wait)
{
    int strict = 0;
    ot_share_t share = OT_SHARE_NOTHING;
    int64_t deadline = may_wait ? OT_FOREVER : OT_DONT_WAIT;
    PyObject *obj = nargs == 1 ? args[0] : NULL;
    if (nargs > 1) {
        return PyErr_Format(PyExc_TypeError, "%s() takes 1 positional argument but %zd were given",
                            name, nargs);
    }
    for (Py_ssize_t i = 0, n = names == NULL ? 0 : PyTuple_GET_SIZE(names); i < n; i++) {
        PyObject *key = PyTuple_GET_ITEM(names, i), *value = args[nargs + i];
        if (PyUnicode_EqualToUTF8(key, "strict")) {
            if ((strict = PyObject_IsTrue(value)) < 0) {
                return NULL;
            }
        } else if (PyUnicode_EqualToUTF8(key, "share")) {
            if (share_from(value, &share) < 0) {
                return NULL;
            }
        } else if (may_wait && PyUnicode_EqualToUTF8(key, "timeout")) {
            if (ot_deadline_from(value, &deadline) < 0) {
                return NULL;
            }
        } else if (obj == NULL && PyUnicode_EqualToUTF8(key, "obj")) {
            obj = value;
        } else {
            return PyErr_Format(PyExc_TypeError, "%s() got an unexpected keyword argument '%U'",
                                name, key);
        }
    }
    if (obj == NULL) {
        return PyErr_Format(PyExc_TypeError, "%s() missing 1 required argument: 'obj'", name);
    }
    return send(self, obj, strict, share, deadline);
}

static PyObject *
tunnel_send(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *names)
{
    return parse_send(self, args, nargs, names, "send", true);
}

static PyObject *
tunnel_send_nowait(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *names)
{
    return parse_send(self, args, nargs, names, "send_nowait", false);
}

/* ---- receive ------------------------------------------------------------------------------ */

/* error.discard(): drops the message that could not be rebuilt, if it is still the tunnel's next one.
 * what: (tunnel, number in tree->refused). */
static PyObject *
discard_refused(PyObject *what, PyObject *unused)
{
    (void)unused;
    PyObject *tunnel = PyTuple_GET_ITEM(what, 0);
    ot_state_t *state = state_of(tunnel);
    ot_node_t *node = NULL;
    if (ot_channel_recv(as_tunnel(tunnel)->channel, OT_DONT_WAIT, &node) != OT_CHANNEL_OK) {
        Py_RETURN_FALSE;
    }
    ot_tree_t *tree = (ot_tree_t *)node;
    uint64_t number = PyLong_AsUnsignedLongLong(PyTuple_GET_ITEM(what, 1));
    if (tree->bare ||
        tree->refused != number) { /* a bare one has no more fields, and never fails */
        ot_channel_unrecv(as_tunnel(tunnel)->channel, node);
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

static PyObject *
recv_until(PyObject *self, int64_t deadline)
{
    ot_state_t *state = state_of(self);
    ot_channel_t *ch = as_tunnel(self)->channel;
    ot_tree_t *tree = receive(state, ch, deadline);
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

/* recv(timeout=None), parsed by hand as send is. */
static PyObject *
tunnel_recv(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *names)
{
    Py_ssize_t named = names == NULL ? 0 : PyTuple_GET_SIZE(names);
    int64_t deadline;
    if (nargs + named > 1) {
        return PyErr_Format(PyExc_TypeError, "recv() takes at most 1 argument (%zd given)",
                            nargs + named);
    }
    if (named == 1 && !PyUnicode_EqualToUTF8(PyTuple_GET_ITEM(names, 0), "timeout")) {
        return PyErr_Format(PyExc_TypeError, "recv() got an unexpected keyword argument '%U'",
                            PyTuple_GET_ITEM(names, 0));
    }
    if (ot_deadline_from(nargs + named == 1 ? args[0] : NULL, &deadline) < 0) {
        return NULL;
    }
    return recv_until(self, deadline);
}

static PyObject *
tunnel_recv_nowait(PyObject *self, PyObject *unused)
{
    (void)unused;
    return recv_until(self, OT_DONT_WAIT);
}

static PyObject *
tunnel_next(PyObject *self)
{
    PyObject *o = recv_until(self, OT_FOREVER);
    if (o == NULL && PyErr_ExceptionMatches(state_of(self)->tunnel_closed)) {
        PyErr_Clear(); /* the end of the iteration */
    }
    return o;
}

static PyObject *
tunnel_discard(PyObject *self, PyObject *unused)
{
    (void)unused;
    ot_state_t *state = state_of(self);
    ot_tree_t *tree = receive(state, as_tunnel(self)->channel, OT_DONT_WAIT);
    if (tree == NULL) {
        return NULL;
    }
    ot_tree_dispose(&state->interp, tree);
    Py_RETURN_NONE;
}

/* ---- the rest ------------------------------------------------------------------------------ */

static PyObject *
tunnel_close(PyObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"immediate", NULL};
    int immediate = 0;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|p:close", names, &immediate)) {
        return NULL;
    }
    ot_node_t *left = ot_channel_close(as_tunnel(self)->channel, immediate);
    ot_tree_dispose_chain(&state_of(self)->interp, left);
    Py_RETURN_NONE;
}

static PyObject *
tunnel_qsize(PyObject *self, PyObject *unused)
{
    (void)unused;
    return PyLong_FromSize_t(ot_channel_qsize(as_tunnel(self)->channel));
}

static PyObject *
tunnel_empty(PyObject *self, PyObject *unused)
{
    (void)unused;
    return PyBool_FromLong(ot_channel_qsize(as_tunnel(self)->channel) == 0);
}

static PyObject *
tunnel_full(PyObject *self, PyObject *unused)
{
    (void)unused;
    ot_channel_t *ch = as_tunnel(self)->channel;
    size_t maxsize = ot_channel_maxsize(ch);
    return PyBool_FromLong(maxsize != 0 && ot_channel_qsize(ch) >= maxsize);
}

static PyObject *
tunnel_enter(PyObject *self, PyObject *unused)
{
    (void)unused;
    return Py_NewRef(self);
}

static PyObject *
tunnel_exit(PyObject *self, PyObject *args)
{
    (void)args;
    (void)ot_channel_close(as_tunnel(self)->channel, false);
    Py_RETURN_NONE;
}

static PyObject *
tunnel_repr(PyObject *self)
{
    ot_channel_t *ch = as_tunnel(self)->channel;
    return PyUnicode_FromFormat(
        "<objtunnel.Tunnel %llu%s, %zu queued, maxsize %zu>", (unsigned long long)ot_channel_id(ch),
        ot_channel_is_closed(ch) ? " closed" : "", ot_channel_qsize(ch), ot_channel_maxsize(ch));
}

static Py_hash_t
tunnel_hash(PyObject *self)
{
    return (Py_hash_t)ot_channel_id(as_tunnel(self)->channel);
}

static PyObject *
tunnel_compare(PyObject *self, PyObject *other, int op)
{
    if (!Py_IS_TYPE(other, Py_TYPE(self)) || (op != Py_EQ && op != Py_NE)) {
        Py_RETURN_NOTIMPLEMENTED;
    }
    bool same = as_tunnel(self)->channel == as_tunnel(other)->channel;
    return PyBool_FromLong(same == (op == Py_EQ));
}

static PyObject *
tunnel_id(PyObject *self, void *unused)
{
    (void)unused;
    return PyLong_FromUnsignedLongLong(ot_channel_id(as_tunnel(self)->channel));
}

static PyObject *
tunnel_maxsize(PyObject *self, void *unused)
{
    (void)unused;
    return PyLong_FromSize_t(ot_channel_maxsize(as_tunnel(self)->channel));
}

static PyObject *
tunnel_closed(PyObject *self, void *unused)
{
    (void)unused;
    return PyBool_FromLong(ot_channel_is_closed(as_tunnel(self)->channel));
}

/* ---- ways into other interpreters ---------------------------------------------------------- */

/* Pickled by id, for use in this process. Inside a message the message keeps the channel alive;
 * elsewhere whoever pickled must keep a handle until it is unpickled. */
static PyObject *
tunnel_reduce(PyObject *self, PyObject *unused)
{
    (void)unused;
    ot_channel_t *ch = as_tunnel(self)->channel;
    if (ot_tree_pickling_channel(ch) < 0) {
        return NULL;
    }
    PyObject *module = PyImport_ImportModule("objtunnel._core");
    PyObject *find = module == NULL ? NULL : PyObject_GetAttrString(module, "_find_tunnel");
    Py_XDECREF(module);
    return find == NULL
               ? NULL
               : Py_BuildValue("N(iK)", find, (int)getpid(), (unsigned long long)ot_channel_id(ch));
}

static PyObject *
find_tunnel(PyObject *module, PyObject *args)
{
    int pid;
    unsigned long long id;
    if (!PyArg_ParseTuple(args, "iK:_find_tunnel", &pid, &id)) {
        return NULL;
    }
    ot_channel_t *ch = pid == (int)getpid() ? ot_channel_find(id) : NULL;
    if (ch == NULL) {
        return PyErr_Format(
            PyExc_LookupError, "there is no tunnel %llu in this process: it was pickled %s", id,
            pid == (int)getpid() ? "and its last handle dropped since" : "in another process");
    }
    return ot_tunnel_steal(ot_state_of_module(module), ch);
}

/* The data of concurrent.interpreters and _interpreters: a reference to the channel. */
static void
free_shared(void *data)
{
    ot_node_t *left = ot_channel_unref(data);
    if (left != NULL) {
        ot_state_t *state = ot_state_current();
        if (state == NULL) {
            PyErr_WriteUnraisable(NULL);
            return;
        }
        ot_tree_dispose_chain(&state->interp, left);
    }
}

static PyObject *
new_from_shared(ot_xidata_t *data)
{
    ot_state_t *state = ot_state_current();
    if (state == NULL) {
        return NULL;
    }
    ot_channel_t *ch = OT_XIDATA_DATA(data);
    ot_channel_ref(ch);
    return ot_tunnel_steal(state, ch);
}

static int
get_shared(PyThreadState *tstate, PyObject *self, ot_xidata_t *data)
{
    ot_channel_t *ch = as_tunnel(self)->channel;
    ot_channel_ref(ch);
    OT_XIDATA_INIT(data, PyThreadState_GetInterpreter(tstate), ch, NULL, new_from_shared);
    OT_XIDATA_SET_FREE(data, free_shared);
    return 0;
}

/* ---- the type ------------------------------------------------------------------------------ */

static PyMethodDef tunnel_methods[] = {
    {"send", (PyCFunction)(void (*)(void))tunnel_send, METH_FASTCALL | METH_KEYWORDS,
     "send($self, obj, *, strict=False, share=False, timeout=None)\n--\n\n"
     "Hand an object tree over; return Receipt(moved, copied, pickled).\n\n"
     "What only the tree can reach is moved: no copy, same objects. What something else can\n"
     "still reach is copied. Types the tunnel does not know are pickled, alone, in their place.\n"
     "A list, dict, set, bytearray or array.array given as obj is left empty.\n\n"
     "strict: raise SharedReferenceError instead of copying what is referenced from outside.\n"
     "share: only on builds of CPython with atomic reference counts (lab/), else\n"
     "NotImplementedError. True: an int, float, complex or bytes that something else refers to\n"
     "is not copied, both sides have it. 'unsafe': lists, tuples, dicts and sets as well; until\n"
     "the receiver is done with them you may only double and drop your old references, must not\n"
     "drop the last one, and must keep your garbage collector off, or the process crashes.\n"
     "timeout: seconds to wait for a place in a full tunnel, None for ever.\n\n"
     "Raises TunnelFull, TunnelClosed, SharedReferenceError, or TypeError naming the path of an\n"
     "object that cannot be sent; the sender then still has everything.\n\n"
     ">>> t = Tunnel(); x = [1.5, 'a']; t.send(x).moved > 0, x\n(True, [])"},
    {"send_nowait", (PyCFunction)(void (*)(void))tunnel_send_nowait, METH_FASTCALL | METH_KEYWORDS,
     "send_nowait($self, obj, *, strict=False, share=False)\n--\n\n"
     "Like send, but raise TunnelFull instead of waiting."},
    {"recv", (PyCFunction)(void (*)(void))tunnel_recv, METH_FASTCALL | METH_KEYWORDS,
     "recv($self, timeout=None)\n--\n\n"
     "Take the oldest message; wait for one if there is none.\n\n"
     "timeout: seconds, None for ever. Raises TunnelEmpty after that, and TunnelClosed once the\n"
     "tunnel is closed and drained. If something pickled in the message cannot be rebuilt here,\n"
     "that exception is raised and the message stays first in the tunnel: receive it elsewhere\n"
     "or discard() it.\n\n"
     ">>> t = Tunnel(); r = t.send([1, 2]); t.recv()\n[1, 2]"},
    {"recv_nowait", tunnel_recv_nowait, METH_NOARGS,
     "recv_nowait($self)\n--\n\nLike recv, but raise TunnelEmpty instead of waiting."},
    {"discard", tunnel_discard, METH_NOARGS,
     "discard($self)\n--\n\n"
     "Drop the oldest message without rebuilding it. Raises TunnelEmpty or TunnelClosed."},
    {"close", (PyCFunction)(void (*)(void))tunnel_close, METH_VARARGS | METH_KEYWORDS,
     "close($self, immediate=False)\n--\n\n"
     "Refuse further messages; receivers get what is queued, then TunnelClosed.\n\n"
     "immediate: drop what is queued. Closing twice is fine."},
    {"qsize", tunnel_qsize, METH_NOARGS, "qsize($self)\n--\n\nMessages waiting, approximately."},
    {"empty", tunnel_empty, METH_NOARGS,
     "empty($self)\n--\n\nWhether no message waits; may change at any time."},
    {"full", tunnel_full, METH_NOARGS,
     "full($self)\n--\n\nWhether maxsize messages wait; may change at any time."},
    {"__enter__", tunnel_enter, METH_NOARGS, NULL},
    {"__exit__", tunnel_exit, METH_VARARGS, "Close the tunnel."},
    {"__reduce__", tunnel_reduce, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef tunnel_getset[] = {
    {"id", tunnel_id, NULL, "Number of the tunnel, unique in the process.", NULL},
    {"maxsize", tunnel_maxsize, NULL, "Messages it holds at most; 0 for no limit.", NULL},
    {"closed", tunnel_closed, NULL, "Whether close() was called.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot tunnel_slots[] = {
    {Py_tp_doc, "Tunnel(maxsize=0)\n--\n\n"
                "A queue between interpreters that hands over live object trees.\n\n"
                "Any number of senders and receivers, in any threads and interpreters of the\n"
                "process; a Tunnel can itself be sent, or given to interpreters made by\n"
                "concurrent.interpreters. Handles of the same tunnel are equal. Iterating\n"
                "receives until it is closed; as a context manager it closes at the end."},
    {Py_tp_new, tunnel_new},
    {Py_tp_dealloc, tunnel_dealloc},
    {Py_tp_traverse, tunnel_traverse},
    {Py_tp_repr, tunnel_repr},
    {Py_tp_hash, tunnel_hash},
    {Py_tp_richcompare, tunnel_compare},
    {Py_tp_iter, PyObject_SelfIter},
    {Py_tp_iternext, tunnel_next},
    {Py_tp_methods, tunnel_methods},
    {Py_tp_getset, tunnel_getset},
    {0, NULL},
};

static PyType_Spec tunnel_spec = {
    .name = "objtunnel.Tunnel",
    .basicsize = sizeof(tunnel_t),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE |
             Py_TPFLAGS_MANAGED_WEAKREF,
    .slots = tunnel_slots,
};

static PyMethodDef find_method = {"_find_tunnel", find_tunnel, METH_VARARGS,
                                  "A Tunnel by process and id, for unpickling."};

int
ot_tunnel_add(PyObject *module, ot_state_t *state)
{
    state->tunnel_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &tunnel_spec, NULL);
    if (state->tunnel_type == NULL || PyModule_AddType(module, state->tunnel_type) < 0) {
        return -1;
    }
    state->interp.handle = state->tunnel_type;
    PyObject *type = (PyObject *)state->tunnel_type;
    if (ot_consumer_add(&state->consumers, type, "send") < 0 ||
        ot_consumer_add(&state->consumers, type, "send_nowait") < 0) {
        return -1;
    }
    PyObject *name = PyUnicode_FromString("objtunnel._core");
    PyObject *find = name == NULL ? NULL : PyCFunction_NewEx(&find_method, module, name);
    Py_XDECREF(name);
    if (find == NULL || PyModule_Add(module, "_find_tunnel", find) < 0) {
        return -1;
    }
    return ot_xidata_register(state->tunnel_type, get_shared);
}
