/* tunnel_type.c: the Python type Tunnel, an interpreter's handle on a process-wide channel.
 *
 * Main invariant: that of a handle (handle.h); handles of one channel are equal, whichever interpreter
 * made them.
 * Threading: the GIL of the handle's interpreter.
 */
#include "objtunnel/tunnel.h"

#include <stdio.h>

ot_state_t *
ot_tunnel_state(PyObject *tunnel)
{
    return ot_state_of_module(ot_as_handle(tunnel)->module);
}

ot_channel_t *
ot_tunnel_channel(PyObject *tunnel)
{
    return (ot_channel_t *)ot_as_handle(tunnel)->shared;
}

/* ---- making ----------------------------------------------------------------------------- */

PyObject *
ot_tunnel_steal(ot_state_t *state, ot_channel_t *ch)
{
    return ot_handle_alloc_steal(&state->objects, state->tunnel_type, ot_channel_shared(ch));
}

static PyObject *
tunnel_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"maxsize", "maxbytes", NULL};
    Py_ssize_t maxsize = 0, maxbytes = 0;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|nn:Tunnel", names, &maxsize, &maxbytes)) {
        return NULL;
    }
    if (maxbytes > 0 && !OT_TREES_ARE_WEIGHED) {
        PyErr_SetString(PyExc_NotImplementedError,
                        "Tunnel(maxbytes=...) is not there on a free-threaded build of CPython: "
                        "messages are not weighed; maxsize limits how many wait");
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
    ot_channel_t *ch = ot_channel_new_bounded(maxsize > 0 ? (size_t)maxsize : 0,
                                              maxbytes > 0 ? (size_t)maxbytes : 0);
    if (ch == NULL) {
        return PyErr_NoMemory();
    }
    return ot_tunnel_steal(state, ch);
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
    ot_node_t *left = ot_channel_close(ot_tunnel_channel(self), immediate);
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
    return PyLong_FromSize_t(ot_channel_qsize(ot_tunnel_channel(self)));
}

static PyObject *
tunnel_empty(PyObject *self, PyObject *unused)
{
    (void)unused;
    return PyBool_FromLong(ot_channel_qsize(ot_tunnel_channel(self)) == 0);
}

static PyObject *
tunnel_full(PyObject *self, PyObject *unused)
{
    (void)unused;
    ot_channel_t *ch = ot_tunnel_channel(self);
    size_t maxsize = ot_channel_maxsize(ch), maxbytes = ot_channel_maxbytes(ch);
    return PyBool_FromLong((maxsize != 0 && ot_channel_qsize(ch) >= maxsize) ||
                           (maxbytes != 0 && ot_channel_qbytes(ch) >= maxbytes));
}

static PyObject *
tunnel_qbytes(PyObject *self, PyObject *unused)
{
    (void)unused;
    return PyLong_FromSize_t(ot_channel_qbytes(ot_tunnel_channel(self)));
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
    (void)ot_channel_close(ot_tunnel_channel(self), false);
    Py_RETURN_NONE;
}

static PyObject *
tunnel_repr(PyObject *self)
{
    ot_channel_t *ch = ot_tunnel_channel(self);
    char limit[40] = "";
    if (ot_channel_maxbytes(ch) != 0) {
        (void)snprintf(limit, sizeof limit, ", maxbytes %zu", ot_channel_maxbytes(ch));
    }
    return PyUnicode_FromFormat("<objtunnel.Tunnel %llu%s, %zu queued, maxsize %zu%s>",
                                (unsigned long long)ot_channel_id(ch),
                                ot_channel_is_closed(ch) ? " closed" : "", ot_channel_qsize(ch),
                                ot_channel_maxsize(ch), limit);
}

static PyObject *
tunnel_maxbytes(PyObject *self, void *unused)
{
    (void)unused;
    return PyLong_FromSize_t(ot_channel_maxbytes(ot_tunnel_channel(self)));
}

static PyObject *
tunnel_maxsize(PyObject *self, void *unused)
{
    (void)unused;
    return PyLong_FromSize_t(ot_channel_maxsize(ot_tunnel_channel(self)));
}

static PyObject *
tunnel_closed(PyObject *self, void *unused)
{
    (void)unused;
    return PyBool_FromLong(ot_channel_is_closed(ot_tunnel_channel(self)));
}

/* ---- the type ------------------------------------------------------------------------------ */

static PyMethodDef tunnel_methods[] = {
    {"send", OT_METHOD(ot_tunnel_send), METH_FASTCALL | METH_KEYWORDS,
     "send($self, obj, *, strict=False, share=False, timeout=None)\n--\n\n"
     "Hand an object tree over; return Receipt(moved, copied, pickled).\n\n"
     "What only the tree can reach is moved: no copy, same objects. What something else can\n"
     "still reach is copied. Types the tunnel does not know are pickled, alone, in their place.\n"
     "A list, dict, set, bytearray or array.array given as obj is left empty.\n\n"
     "strict: raise SharedReferenceError instead of copying what is referenced from outside.\n"
     "share: only on builds of CPython with atomic reference counts (lab/), else\n"
     "NotImplementedError. True: an int, float, complex or bytes that something else refers to\n"
     "is not copied, both sides have it. 'unsafe' (in the laboratory's builds of objtunnel only):\n"
     "lists, tuples, dicts and sets as well; until\n"
     "the receiver is done with them you may only double and drop your old references, must not\n"
     "drop the last one, and must keep your garbage collector off, or the process crashes.\n"
     "timeout: seconds to wait for a place in a full tunnel, None for ever; after that it raises\n"
     "TunnelSendTimeout, which is a TunnelFull and a TimeoutError.\n\n"
     "Raises TunnelFull, TunnelClosed, SharedReferenceError, or TypeError naming the path of an\n"
     "object that cannot be sent; the sender then still has everything.\n\n"
     ">>> t = Tunnel(); x = [1.5, 'a']; t.send(x).moved > 0, x\n(True, [])"},
    {"send_nowait", OT_METHOD(ot_tunnel_send_nowait), METH_FASTCALL | METH_KEYWORDS,
     "send_nowait($self, obj, *, strict=False, share=False)\n--\n\n"
     "Like send, but raise TunnelFull instead of waiting."},
    {"recv", OT_METHOD(ot_tunnel_recv), METH_FASTCALL | METH_KEYWORDS,
     "recv($self, timeout=None)\n--\n\n"
     "Take the oldest message; wait for one if there is none.\n\n"
     "timeout: seconds, None for ever. Raises TunnelTimeout after that, which is a TunnelEmpty and a\n"
     "TimeoutError, and TunnelClosed once the tunnel is closed and drained. If something pickled in the message cannot be rebuilt here,\n"
     "that exception is raised and the message stays first in the tunnel: receive it elsewhere\n"
     "or discard() it.\n\n"
     ">>> t = Tunnel(); r = t.send([1, 2]); t.recv()\n[1, 2]"},
    {"recv_nowait", ot_tunnel_recv_nowait, METH_NOARGS,
     "recv_nowait($self)\n--\n\nLike recv, but raise TunnelEmpty instead of waiting."},
    {"until", OT_METHOD(ot_tunnel_until), METH_FASTCALL,
     "until($self, /, *futures)\n--\n\n"
     "Iterate over what comes until these jobs are done and what they sent is taken.\n\n"
     "futures: of the jobs that send into this tunnel, as submit() returns them. When the last of\n"
     "them is done the iteration goes on up to the last message that is in the tunnel then, and\n"
     "raises what the job that failed first has raised. Without futures: what is there now.\n"
     "Leaving the loop early, or closing the generator, cancels the jobs and interrupts those that\n"
     "run.\n\n"
     "    for tree in results.until(a.submit(parse, names[::2], results),\n"
     "                              b.submit(parse, names[1::2], results)):"},
    {"put", OT_METHOD(ot_tunnel_put), METH_FASTCALL | METH_KEYWORDS,
     "put($self, item, block=True, timeout=None)\n--\n\n"
     "queue.Queue's put: like send, but the caller keeps what something else refers to.\n\n"
     "A list in a variable is copied, where send would empty it. Raises TunnelFull if block is\n"
     "false, TunnelSendTimeout after timeout seconds, TunnelClosed, or TypeError.\n\n"
     ">>> t = Tunnel(); x = [1, 2]; t.put(x); t.get(), x\n([1, 2], [1, 2])"},
    {"put_nowait", OT_METHOD(ot_tunnel_put_nowait), METH_FASTCALL | METH_KEYWORDS,
     "put_nowait($self, item)\n--\n\nput(item, block=False)."},
    {"get", OT_METHOD(ot_tunnel_get), METH_FASTCALL | METH_KEYWORDS,
     "get($self, block=True, timeout=None)\n--\n\n"
     "queue.Queue's name of recv. Raises TunnelEmpty if block is false, TunnelTimeout after timeout\n"
     "seconds, TunnelClosed."},
    {"get_nowait", ot_tunnel_recv_nowait, METH_NOARGS,
     "get_nowait($self)\n--\n\nget(block=False)."},
    {"shutdown", OT_METHOD(tunnel_shutdown), METH_VARARGS | METH_KEYWORDS,
     "shutdown($self, immediate=False)\n--\n\nqueue.Queue's name of close."},
    {"recv_async", OT_METHOD(ot_tunnel_recv_async), METH_FASTCALL | METH_KEYWORDS,
     "recv_async($self, timeout=None)\n--\n\n"
     "await it: recv() for asyncio, which other tasks of the loop do not wait for. Nothing polls.\n\n"
     "A receive that is cancelled leaves the message in the tunnel. `async for x in tunnel` receives\n"
     "until the tunnel is closed. Raises what recv() raises; OSError if the process has no file\n"
     "descriptor left for a tunnel that it has to wait for."},
    {"send_async", OT_METHOD(ot_tunnel_send_async), METH_FASTCALL | METH_KEYWORDS,
     "send_async($self, obj, *, strict=False, timeout=None)\n--\n\n"
     "await it: send() for asyncio, which waits for a place without holding the loop up.\n\n"
     "The tree is handed over in the moment in which there is a place. A send that is cancelled, or\n"
     "fails, has not sent it, and you still have everything. Raises what send() raises."},
    {"fileno", ot_tunnel_fileno, METH_NOARGS,
     "fileno($self)\n--\n\n"
     "A file descriptor that can be read from exactly while recv_nowait() would return something, or\n"
     "raise TunnelClosed: for select, selectors and event loops. Do not read from it, and do not close\n"
     "it: it is the tunnel's, the same for all of its handles, and goes with it."},
    {"_watch", ot_tunnel_watch, METH_O, "_watch(places): a descriptor of the caller's own."},
    {"_await_place", ot_tunnel_await_place, METH_O,
     "_await_place(bytes): whether there is a place for so much; else _watch(True)'s descriptor will tell."},
    {"_is_ready", ot_tunnel_is_ready, METH_NOARGS, "_is_ready(): what fileno() tells."},
    {"_send_now", OT_METHOD(ot_tunnel_send_now), METH_FASTCALL,
     "_send_now(cell, strict, bytes): sends what the list has; the bytes that it wants if the tunnel is full."},
    {"_recv_or", ot_tunnel_recv_or, METH_O,
     "_recv_or(default): recv_nowait(), or default if the tunnel is empty."},
    {"discard", ot_tunnel_discard, METH_NOARGS,
     "discard($self)\n--\n\n"
     "Drop the oldest message without rebuilding it. Raises TunnelEmpty or TunnelClosed."},
    {"close", OT_METHOD(tunnel_close), METH_VARARGS | METH_KEYWORDS,
     "close($self, immediate=False)\n--\n\n"
     "Refuse further messages; receivers get what is queued, then TunnelClosed.\n\n"
     "immediate: drop what is queued. Closing twice is fine."},
    {"qsize", tunnel_qsize, METH_NOARGS, "qsize($self)\n--\n\nMessages waiting, approximately."},
    {"qbytes", tunnel_qbytes, METH_NOARGS,
     "qbytes($self)\n--\n\nBytes of the messages that wait, approximately; 0 in a tunnel without maxbytes."},
    {"empty", tunnel_empty, METH_NOARGS,
     "empty($self)\n--\n\nWhether no message waits; may change at any time."},
    {"full", tunnel_full, METH_NOARGS,
     "full($self)\n--\n\nWhether maxsize messages or maxbytes bytes wait; may change at any time."},
    {"__class_getitem__", Py_GenericAlias, METH_O | METH_CLASS, "Tunnel[list[int]]"},
    {"__enter__", tunnel_enter, METH_NOARGS, NULL},
    {"__exit__", tunnel_exit, METH_VARARGS, "Close the tunnel."},
    {"__reduce__", ot_handle_reduce, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef tunnel_getset[] = {
    OT_HANDLE_ID,
    {"maxsize", tunnel_maxsize, NULL, "Messages it holds at most; 0 for no limit.", NULL},
    {"maxbytes", tunnel_maxbytes, NULL, "Bytes of messages it holds at most; 0 for no limit.",
     NULL},
    {"closed", tunnel_closed, NULL, "Whether close() was called.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot tunnel_slots[] = {
    {Py_tp_doc,
     "Tunnel(maxsize=0, maxbytes=0)\n--\n\n"
     "A queue between interpreters that hands over live object trees.\n\n"
     "maxsize: how many messages may wait; maxbytes: how large they may be together. 0: no limit. Who\n"
     "sends waits for room, in turn; a message that is larger than maxbytes passes when it is alone. Each\n"
     "object of a message counts once, with what sys.getsizeof says.\n\n"
     "Any number of senders and receivers, in any threads and interpreters of the\n"
     "process; a Tunnel can itself be sent, or given to interpreters made by\n"
     "concurrent.interpreters. Handles of the same tunnel are equal. Iterating\n"
     "receives until it is closed, until() until jobs are done, `async for` in asyncio; as a context manager it\n"
     "closes at the end. It has queue.Queue's methods, too, but for task_done and join."},
    {Py_tp_new, tunnel_new},
    {Py_tp_dealloc, ot_handle_dealloc},
    {Py_tp_traverse, ot_handle_traverse},
    {Py_tp_repr, tunnel_repr},
    {Py_tp_hash, ot_handle_hash},
    {Py_tp_richcompare, ot_handle_compare},
    {Py_tp_iter, PyObject_SelfIter},
    {Py_tp_iternext, ot_tunnel_next},
    {Py_am_aiter, PyObject_SelfIter},
    {Py_am_anext, ot_tunnel_anext},
    {Py_tp_methods, tunnel_methods},
    {Py_tp_getset, tunnel_getset},
    {0, NULL},
};

static PyType_Spec tunnel_spec = {
    .name = "objtunnel.Tunnel",
    .basicsize = sizeof(ot_handle_t),
    .flags = OT_HANDLE_FLAGS,
    .slots = tunnel_slots,
};

int
ot_tunnel_add(PyObject *module, ot_state_t *state)
{
    PyTypeObject *made = ot_handle_add_type(&state->objects, &ot_channel_kind, &tunnel_spec, NULL);
    if (made == NULL) {
        return -1;
    }
    state->tunnel_type = (PyTypeObject *)Py_NewRef(made);
    PyObject *type = (PyObject *)state->tunnel_type;
    const char *const consumers[] = {"send", "send_nowait", "put", "put_nowait"};
    for (size_t i = 0; i < Py_ARRAY_LENGTH(consumers); i++) {
        if (ot_consumer_add(&state->consumers, type, consumers[i]) < 0) {
            return -1;
        }
    }
    return ot_tunnel_until_add(module) < 0 ? -1 : ot_tunnel_select_add(module);
}
