/* temporary.c: see temporary.h.
 *
 * Main invariant: a callable is in the list only if it does nothing with its argument after it has
 * handed it over.
 * Threading: the GIL of the interpreter.
 */
#include "tunnel/temporary.h"

#include "runtime/cpython/frame.h"

int
ot_consumer_add(ot_consumers_t *consumers, PyObject *owner, const char *name)
{
    if (consumers->n == OT_MOST_CONSUMERS) {
        PyErr_SetString(PyExc_SystemError, "objtunnel: OT_MOST_CONSUMERS is too small");
        return -1;
    }
    PyObject *callable = name == NULL ? Py_NewRef(owner) : PyObject_GetAttrString(owner, name);
    if (callable == NULL) {
        return -1;
    }
    consumers->callables[consumers->n++] = callable;
    return 0;
}

int
ot_consumers_traverse(ot_consumers_t *consumers, visitproc visit, void *arg)
{
    for (size_t i = 0; i < consumers->n; i++) {
        Py_VISIT(consumers->callables[i]);
    }
    return 0;
}

void
ot_consumers_clear(ot_consumers_t *consumers)
{
    while (consumers->n > 0) {
        Py_CLEAR(consumers->callables[--consumers->n]);
    }
}

/* A thread's own: on free-threaded builds several store at once. Borrowed; NULL: none. */
static _Thread_local PyObject *stores_into;

PyObject *
ot_consumer_stores(PyObject *container)
{
    PyObject *before = stores_into;
    stores_into = container;
    return before;
}

/* Whether a bound method, as `send = t.send` makes it, is one of this descriptor's. Where the callee may
 * be a stale address (3.13), it is not looked into: "no". */
static bool
is_bound(PyObject *callee, PyObject *descriptor)
{
#if PY_VERSION_HEX >= 0x030e0000
    return callee != NULL && PyCFunction_CheckExact(callee) &&
           Py_IS_TYPE(descriptor, &PyMethodDescr_Type) &&
           ((PyCFunctionObject *)callee)->m_ml == ((PyMethodDescrObject *)descriptor)->d_method;
#else
    (void)callee;
    (void)descriptor;
    return false;
#endif
}

static bool
is_consumer(ot_instr_t instr, PyObject *callee, void *arg)
{
    const ot_consumers_t *consumers = arg;
    if (instr == OT_INSTR_STORE) {
        return callee == stores_into && callee != NULL;
    }
    for (size_t i = 0; i < consumers->n; i++) {
        if (callee == consumers->callables[i] || is_bound(callee, consumers->callables[i])) {
            return true;
        }
    }
    return false;
}

bool
ot_seems_temporary(ot_consumers_t *consumers, PyObject *o)
{
    return ot_py_frame_gives(o, is_consumer, consumers);
}

bool
ot_is_temporary(ot_consumers_t *consumers, PyObject *o)
{
#if PY_VERSION_HEX >= 0x030e0000
    return ot_seems_temporary(consumers, o);
#else
    (void)consumers;
    (void)o;
    return false;
#endif
}
