/* tunnel_type.c: the Python type Tunnel, an interpreter's handle on a process-wide channel.
 *
 * Main invariant: a handle owns one reference to its channel, which never changes; handles of
 * one channel are equal, whichever interpreter made them.
 * Threading: the GIL of the handle's interpreter.
 */
#include "objtunnel/tunnel.h"

#include <unistd.h>

#include "runtime/cpython/xidata.h"

static ot_tunnel_t *
as_tunnel(PyObject *o)
{
    return (ot_tunnel_t *)o;
}

ot_state_t *
ot_tunnel_state(PyObject *tunnel)
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
    ot_state_t *state = PyType_GetModuleState(type);
    if (!state->has_made_tunnels) {
        if (ot_state_take_old_blocks(state) < 0) {
            return NULL;
        }
        state->has_made_tunnels = true;
    }
    /* As in queue.Queue, zero or less means no limit. */
    ot_channel_t *ch = ot_channel_new(maxsize > 0 ? (size_t)maxsize : 0);
    if (ch == NULL) {
        return PyErr_NoMemory();
    }
    return ot_tunnel_steal(state, ch);
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
            ot_tree_dispose_chain(&ot_tunnel_state(self)->interp, left);
            PyErr_SetRaisedException(error);
        }
    }
    Py_XDECREF(as_tunnel(self)->module);
    type->tp_free(self);
    Py_DECREF(type);
}

/* ---- the rest ------------------------------------------------------------------------------ */

static PyObject *
close_by(PyObject *self, PyObject *args, PyObject *kwargs, const char *format)
{
    static char *names[] = {"immediate", NULL};
    int immediate = 0;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, format, names, &immediate)) {
        return NULL;
    }
    ot_node_t *left = ot_channel_close(as_tunnel(self)->channel, immediate);
    ot_tree_dispose_chain(&ot_tunnel_state(self)->interp, left);
    Py_RETURN_NONE;
}

static PyObject *
tunnel_close(PyObject *self, PyObject *args, PyObject *kwargs)
{
    return close_by(self, args, kwargs, "|p:close");
}

static PyObject *
tunnel_shutdown(PyObject *self, PyObject *args, PyObject *kwargs)
{
    return close_by(self, args, kwargs, "|p:shutdown");
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
    {"send", (PyCFunction)(void (*)(void))ot_tunnel_send, METH_FASTCALL | METH_KEYWORDS,
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
     "timeout: seconds to wait for a place in a full tunnel, None for ever; after that it raises\n"
     "TunnelSendTimeout, which is a TunnelFull and a TimeoutError.\n\n"
     "Raises TunnelFull, TunnelClosed, SharedReferenceError, or TypeError naming the path of an\n"
     "object that cannot be sent; the sender then still has everything.\n\n"
     ">>> t = Tunnel(); x = [1.5, 'a']; t.send(x).moved > 0, x\n(True, [])"},
    {"send_nowait", (PyCFunction)(void (*)(void))ot_tunnel_send_nowait,
     METH_FASTCALL | METH_KEYWORDS,
     "send_nowait($self, obj, *, strict=False, share=False)\n--\n\n"
     "Like send, but raise TunnelFull instead of waiting."},
    {"recv", (PyCFunction)(void (*)(void))ot_tunnel_recv, METH_FASTCALL | METH_KEYWORDS,
     "recv($self, timeout=None)\n--\n\n"
     "Take the oldest message; wait for one if there is none.\n\n"
     "timeout: seconds, None for ever. Raises TunnelTimeout after that, which is a TunnelEmpty and a\n"
     "TimeoutError, and TunnelClosed once the tunnel is closed and drained. If something pickled in the message cannot be rebuilt here,\n"
     "that exception is raised and the message stays first in the tunnel: receive it elsewhere\n"
     "or discard() it.\n\n"
     ">>> t = Tunnel(); r = t.send([1, 2]); t.recv()\n[1, 2]"},
    {"recv_nowait", ot_tunnel_recv_nowait, METH_NOARGS,
     "recv_nowait($self)\n--\n\nLike recv, but raise TunnelEmpty instead of waiting."},
    {"until", (PyCFunction)(void (*)(void))ot_tunnel_until, METH_FASTCALL,
     "until($self, /, *futures)\n--\n\n"
     "Iterate over what comes until these jobs are done and what they sent is taken.\n\n"
     "futures: of the jobs that send into this tunnel, as submit() returns them. When the last of\n"
     "them is done the iteration goes on up to the last message that is in the tunnel then, and\n"
     "raises what the job that failed first has raised. Without futures: what is there now.\n"
     "Leaving the loop early, or closing the generator, cancels the jobs and interrupts those that\n"
     "run.\n\n"
     "    for tree in results.until(a.submit(parse, names[::2], results),\n"
     "                              b.submit(parse, names[1::2], results)):"},
    {"put", (PyCFunction)(void (*)(void))ot_tunnel_put, METH_FASTCALL | METH_KEYWORDS,
     "put($self, item, block=True, timeout=None)\n--\n\n"
     "queue.Queue's put: like send, but the caller keeps what something else refers to.\n\n"
     "A list in a variable is copied, where send would empty it. Raises TunnelFull if block is\n"
     "false, TunnelSendTimeout after timeout seconds, TunnelClosed, or TypeError.\n\n"
     ">>> t = Tunnel(); x = [1, 2]; t.put(x); t.get(), x\n([1, 2], [1, 2])"},
    {"put_nowait", (PyCFunction)(void (*)(void))ot_tunnel_put_nowait, METH_FASTCALL | METH_KEYWORDS,
     "put_nowait($self, item)\n--\n\nput(item, block=False)."},
    {"get", (PyCFunction)(void (*)(void))ot_tunnel_get, METH_FASTCALL | METH_KEYWORDS,
     "get($self, block=True, timeout=None)\n--\n\n"
     "queue.Queue's name of recv. Raises TunnelEmpty if block is false, TunnelTimeout after timeout\n"
     "seconds, TunnelClosed."},
    {"get_nowait", ot_tunnel_recv_nowait, METH_NOARGS,
     "get_nowait($self)\n--\n\nget(block=False)."},
    {"shutdown", (PyCFunction)(void (*)(void))tunnel_shutdown, METH_VARARGS | METH_KEYWORDS,
     "shutdown($self, immediate=False)\n--\n\nqueue.Queue's name of close."},
    {"discard", ot_tunnel_discard, METH_NOARGS,
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
    {"__class_getitem__", Py_GenericAlias, METH_O | METH_CLASS, "Tunnel[list[int]]"},
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
    {Py_tp_doc,
     "Tunnel(maxsize=0)\n--\n\n"
     "A queue between interpreters that hands over live object trees.\n\n"
     "Any number of senders and receivers, in any threads and interpreters of the\n"
     "process; a Tunnel can itself be sent, or given to interpreters made by\n"
     "concurrent.interpreters. Handles of the same tunnel are equal. Iterating\n"
     "receives until it is closed, until() until jobs are done; as a context manager it\n"
     "closes at the end. It has queue.Queue's methods, too, but for task_done and join."},
    {Py_tp_new, tunnel_new},
    {Py_tp_dealloc, tunnel_dealloc},
    {Py_tp_traverse, tunnel_traverse},
    {Py_tp_repr, tunnel_repr},
    {Py_tp_hash, tunnel_hash},
    {Py_tp_richcompare, tunnel_compare},
    {Py_tp_iter, PyObject_SelfIter},
    {Py_tp_iternext, ot_tunnel_next},
    {Py_tp_methods, tunnel_methods},
    {Py_tp_getset, tunnel_getset},
    {0, NULL},
};

static PyType_Spec tunnel_spec = {
    .name = "objtunnel.Tunnel",
    .basicsize = sizeof(ot_tunnel_t),
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
    const char *const consumers[] = {"send", "send_nowait", "put", "put_nowait"};
    for (size_t i = 0; i < Py_ARRAY_LENGTH(consumers); i++) {
        if (ot_consumer_add(&state->consumers, type, consumers[i]) < 0) {
            return -1;
        }
    }
    PyObject *name = PyUnicode_FromString("objtunnel._core");
    PyObject *find = name == NULL ? NULL : PyCFunction_NewEx(&find_method, module, name);
    Py_XDECREF(name);
    if (find == NULL || PyModule_Add(module, "_find_tunnel", find) < 0) {
        return -1;
    }
    if (ot_tunnel_until_add(module) < 0) {
        return -1;
    }
    return ot_xidata_register(state->tunnel_type, get_shared);
}
