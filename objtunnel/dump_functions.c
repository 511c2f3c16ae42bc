/* dump_functions.c: dump, register_dump and unregister_dump, by file descriptor (_dump.py takes files).
 *
 * Threading: the GIL of any interpreter. dump() keeps it, so that the caller's stack stays as it is. Signals belong to
 * the process: whoever registers a signal last decides where it dumps to.
 */
#include <errno.h>
#include <signal.h>

#include "objtunnel/state.h"
#include "runtime/dump.h"

static PyObject *
dump(PyObject *module, PyObject *arg)
{
    (void)module;
    int fd = PyLong_AsInt(arg);
    if (fd == -1 && PyErr_Occurred()) {
        return NULL;
    }
    ot_dump(fd);
    Py_RETURN_NONE;
}

/* Whether the signal is one after whose handler the process could not go on. */
static bool
is_fatal(int signum)
{
    return signum == SIGSEGV || signum == SIGFPE || signum == SIGABRT || signum == SIGBUS ||
           signum == SIGILL;
}

static PyObject *
register_dump(PyObject *module, PyObject *args)
{
    (void)module;
    int signum, fd;
    if (!PyArg_ParseTuple(args, "ii:register_dump", &signum, &fd)) {
        return NULL;
    }
    if (is_fatal(signum)) {
        PyErr_Format(PyExc_ValueError, "signal %d ends the process: use faulthandler.enable()",
                     signum);
        return NULL;
    }
    return ot_dump_register(signum, fd) < 0 ? PyErr_SetFromErrno(PyExc_OSError)
                                            : Py_NewRef(Py_None);
}

static PyObject *
unregister_dump(PyObject *module, PyObject *arg)
{
    (void)module;
    int signum = PyLong_AsInt(arg);
    if (signum == -1 && PyErr_Occurred()) {
        return NULL;
    }
    int rc = ot_dump_unregister(signum);
    return rc < 0 ? PyErr_SetFromErrno(PyExc_OSError) : PyBool_FromLong(rc == 0);
}

static PyMethodDef functions[] = {
    {"dump", dump, METH_O, "dump(fd)"},
    {"register_dump", register_dump, METH_VARARGS,
     "register_dump(signum, fd); fd -1: whatever descriptor 2 is then"},
    {"unregister_dump", unregister_dump, METH_O, "unregister_dump(signum): whether it dumped"},
    {NULL, NULL, 0, NULL},
};

int
ot_dump_add(PyObject *module)
{
    return PyModule_AddFunctions(module, functions);
}
