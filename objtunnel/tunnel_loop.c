/* tunnel_loop.c: Tunnel.fileno, and what asyncio's coroutines (objtunnel/_async.py) are made of.
 *
 * Main invariant: a descriptor that is given away is the channel's, which closes it at its end, or (by _watch) the caller's
 * own.
 * Threading: the GIL of the handle's interpreter. Nothing here waits.
 */
#include "objtunnel/tunnel.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "runtime/bell.h"
#include "runtime/import.h"

/* OSError for errno, which says what to do where there are no more descriptors. NULL. */
static PyObject *
raise_no_descriptor(ot_channel_t *ch)
{
    int error = errno;
    const char *remedy =
        error == EMFILE || error == ENFILE
            ? ": a tunnel that an event loop waits for needs one, or two. Raise the "
              "limit (ulimit -n), or wait for fewer tunnels at once"
            : "";
    PyObject *text =
        PyUnicode_FromFormat("no file descriptor for Tunnel %llu (%s)%s",
                             (unsigned long long)ot_channel_id(ch), strerror(error), remedy);
    PyObject *args = text == NULL ? NULL : Py_BuildValue("(iN)", error, text);
    if (args != NULL) {
        PyErr_SetObject(PyExc_OSError, args);
        Py_DECREF(args);
    }
    return NULL;
}

PyObject *
ot_tunnel_fileno(PyObject *self, PyObject *unused)
{
    (void)unused;
    ot_channel_t *ch = ot_tunnel_channel(self);
    int fd = ot_channel_message_fd(ch);
    return fd == OT_NO_BELL ? raise_no_descriptor(ch) : PyLong_FromLong(fd);
}

/* A new descriptor, the caller's to close: a loop has one callback for each number, and may know the channel's. */
PyObject *
ot_tunnel_watch(PyObject *self, PyObject *places)
{
    ot_channel_t *ch = ot_tunnel_channel(self);
    int of_places = PyObject_IsTrue(places);
    if (of_places < 0) {
        return NULL;
    }
    int fd = of_places ? ot_channel_place_fd(ch) : ot_channel_message_fd(ch);
    int own = fd == OT_NO_BELL ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 0);
    return own < 0 ? raise_no_descriptor(ch) : PyLong_FromLong(own);
}

PyObject *
ot_tunnel_await_place(PyObject *self, PyObject *bytes)
{
    size_t n = PyLong_AsSize_t(bytes);
    if (PyErr_Occurred()) {
        return NULL;
    }
    return PyBool_FromLong(ot_channel_await_place(ot_tunnel_channel(self), n));
}

PyObject *
ot_tunnel_is_ready(PyObject *self, PyObject *unused)
{
    (void)unused;
    return PyBool_FromLong(ot_channel_is_ready(ot_tunnel_channel(self)));
}

/* ---- coroutines ------------------------------------------------------------------------------ */

/* What objtunnel._async has under that name, called with these. */
static PyObject *
call_python(const char *name, PyObject *const *args, size_t n)
{
    PyObject *function = ot_import_attr("objtunnel._async", name);
    PyObject *coroutine = function == NULL ? NULL : PyObject_Vectorcall(function, args, n, NULL);
    Py_XDECREF(function);
    return coroutine;
}

PyObject *
ot_tunnel_recv_async(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *names)
{
    static const char *const parameters[] = {"timeout", NULL};
    PyObject *timeout = Py_None;
    ot_tunnel_patience_t patience;
    if (ot_tunnel_queue_arguments("recv_async", parameters, args, nargs, names, &timeout) < 0 ||
        ot_tunnel_patience_from(timeout, &patience) < 0) {
        return NULL;
    }
    PyObject *const values[] = {self, timeout};
    return call_python("recv", values, 2);
}

PyObject *
ot_tunnel_send_async(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *names)
{
    static const char *const parameters[] = {"obj", "strict", "timeout", NULL};
    PyObject *given[] = {NULL, Py_False, Py_None};
    ot_tunnel_patience_t patience;
    if (nargs > 1) {
        return PyErr_Format(PyExc_TypeError,
                            "send_async() takes 1 positional argument but %zd were given", nargs);
    }
    if (ot_tunnel_queue_arguments("send_async", parameters, args, nargs, names, given) < 0 ||
        ot_tunnel_patience_from(given[2], &patience) < 0) {
        return NULL;
    }
    if (given[0] == NULL) {
        PyErr_SetString(PyExc_TypeError, "send_async() missing 1 required argument: 'obj'");
        return NULL;
    }
    PyObject *cell = PyList_New(1);
    if (cell == NULL) {
        return NULL;
    }
    PyList_SET_ITEM(cell, 0, Py_NewRef(given[0]));
    PyObject *const values[] = {self, cell, given[1], given[2]};
    PyObject *coroutine = call_python("send", values, 4);
    Py_DECREF(cell);
    return coroutine;
}

PyObject *
ot_tunnel_anext(PyObject *self)
{
    return call_python("next_message", &self, 1);
}
