/* tunnel_select.c: select(), which waits for several tunnels at once.
 *
 * Main invariant: nothing is taken; a tunnel that was ready may be empty again when its turn comes.
 * Threading: the GIL of the caller's interpreter, let go of while it waits.
 */
#include "objtunnel/tunnel.h"

#include <stdio.h>

#include "runtime/awaited.h"
#include "tunnel/stuck.h"

/* The three arrays have n members each. Owned: end_selection frees them. */
typedef struct {
    ot_channel_t **channels;
    ot_watcher_t *watchers;
    bool *ready;
    size_t n;
    ot_stop_t stop;
    ot_awaited_t awaited;
} selection_t;

static void
end_selection(selection_t *s)
{
    PyMem_RawFree(s->channels);
    PyMem_RawFree(s->watchers);
    PyMem_RawFree(s->ready);
}

/* 0, or -1 with an exception; end_selection in any case. The caller holds on to the tunnels. */
static int
begin_selection(selection_t *s, ot_state_t *state, PyObject *const *tunnels, size_t n)
{
    *s = (selection_t){.n = n};
    for (size_t i = 0; i < n; i++) {
        if (!Py_IS_TYPE(tunnels[i], state->tunnel_type)) {
            PyErr_Format(PyExc_TypeError, "select() takes Tunnels, not %s",
                         Py_TYPE(tunnels[i])->tp_name);
            return -1;
        }
    }
    if (n == 0) {
        PyErr_SetString(PyExc_TypeError, "select() needs a Tunnel or more");
        return -1;
    }
    s->channels = PyMem_RawCalloc(n, sizeof *s->channels);
    s->watchers = PyMem_RawCalloc(n, sizeof *s->watchers);
    s->ready = PyMem_RawCalloc(n, sizeof *s->ready);
    if (s->channels == NULL || s->watchers == NULL || s->ready == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    for (size_t i = 0; i < n; i++) {
        s->channels[i] = ot_tunnel_channel(tunnels[i]);
    }
    ot_stop_init(&s->stop);
    ot_awaited_init(&s->awaited, "select from", "Tunnel", ot_channel_id(s->channels[0]));
    if (n > 1) {
        (void)snprintf(s->awaited.detail, sizeof s->awaited.detail, "and %zu more", n - 1);
    }
    return 0;
}

/* Called without a GIL. A wait without a timeout is listed among those that nobody may ever end (tunnel/stuck.h); one with a
 * timeout ends by itself. */
static ot_channel_result_t
sleep_for(selection_t *s, int64_t deadline, int64_t interp)
{
    ot_wait_t wait = {.ch = s->channels[0], .stop = &s->stop, .interp = interp};
    ot_await_begin(&s->awaited);
    if (deadline == OT_FOREVER) {
        ot_wait_begin(&wait);
    }
    ot_channel_result_t result =
        ot_channel_select(s->channels, s->watchers, s->ready, s->n, deadline, &s->stop);
    if (deadline == OT_FOREVER) {
        ot_wait_end(&wait);
    }
    ot_await_end(&s->awaited);
    return result;
}

/* The tunnels that are ready, a list. */
static PyObject *
ready_ones(const selection_t *s, PyObject *const *tunnels)
{
    PyObject *found = PyList_New(0);
    for (size_t i = 0; i < s->n && found != NULL; i++) {
        if (s->ready[i] && PyList_Append(found, tunnels[i]) < 0) {
            Py_CLEAR(found);
        }
    }
    return found;
}

static PyObject *
select_tunnels(ot_state_t *state, PyObject *const *tunnels, size_t n, int64_t deadline)
{
    selection_t s;
    ot_channel_result_t result = OT_CHANNEL_INTERRUPTED;
    if (begin_selection(&s, state, tunnels, n) == 0) {
        result = ot_channel_select(s.channels, s.watchers, s.ready, n, OT_DONT_WAIT, &s.stop);
        if (result == OT_CHANNEL_TIMEOUT && deadline != OT_DONT_WAIT) {
            do {
                Py_BEGIN_ALLOW_THREADS
                result = sleep_for(&s, deadline, state->objects.interp_id);
                Py_END_ALLOW_THREADS
            } while (result == OT_CHANNEL_INTERRUPTED && ot_tunnel_handle_interruption() == 0);
        }
    }
    PyObject *found = NULL;
    if (result == OT_CHANNEL_STOPPED) {
        PyErr_SetString(
            state->tunnel_closed,
            "the tunnels are empty and nobody is left to send: this interpreter is being "
            "closed, and everything else in the process waits for that");
    } else if (result != OT_CHANNEL_INTERRUPTED) {
        found = ready_ones(&s, tunnels);
    }
    end_selection(&s);
    return found;
}

/* select(*tunnels, timeout=None) */
static PyObject *
py_select(PyObject *module, PyObject *const *args, Py_ssize_t nargs, PyObject *names)
{
    PyObject *timeout = NULL;
    ot_tunnel_patience_t patience;
    for (Py_ssize_t i = 0, n = names == NULL ? 0 : PyTuple_GET_SIZE(names); i < n; i++) {
        PyObject *name = PyTuple_GET_ITEM(names, i);
        if (!PyUnicode_EqualToUTF8(name, "timeout")) {
            return PyErr_Format(PyExc_TypeError, "select() got an unexpected keyword argument '%U'",
                                name);
        }
        timeout = args[nargs + i];
    }
    if (ot_tunnel_patience_from(timeout, &patience) < 0) {
        return NULL;
    }
    return select_tunnels(ot_state_of_module(module), args, (size_t)nargs, patience.deadline);
}

static PyMethodDef functions[] = {
    {"select", OT_METHOD(py_select), METH_FASTCALL | METH_KEYWORDS,
     "select($module, /, *tunnels, timeout=None)\n--\n\n"
     "Wait until one of the tunnels is ready; return a list of those that are.\n\n"
     "Ready: recv_nowait() would return something, or raise TunnelClosed. Nothing is taken, so\n"
     "another receiver may be faster. timeout: seconds, None for ever; after that the list is empty.\n"
     "Together with sockets and other files, use the tunnels' fileno() and the module selectors.\n\n"
     ">>> a, b = Tunnel(), Tunnel()\n"
     ">>> r = b.send([1])\n"
     ">>> select(a, b) == [b]\n"
     "True"},
    {NULL, NULL, 0, NULL},
};

int
ot_tunnel_select_add(PyObject *module)
{
    return PyModule_AddFunctions(module, functions);
}
