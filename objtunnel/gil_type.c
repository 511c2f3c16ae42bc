/* gil_type.c: objtunnel.current_gil(), a GIL as an object that can be compared.
 *
 * Main invariant: two Gil objects are equal iff they name the same lock: same address and same
 * owner (ids are never reused; addresses are, after an interpreter has ended).
 * Threading: immutable; plain data, it keeps nothing alive.
 */
#include "objtunnel/state.h"
#include "runtime/import.h"
#include "runtime/thread.h"
#include "runtime/cpython/interp.h"

typedef struct {
    PyObject_HEAD
    void *address;
    int64_t owner;
} gil_t;

static gil_t *
as_gil(PyObject *o)
{
    return (gil_t *)o;
}

static PyObject *
current_gil(PyObject *module, PyObject *unused)
{
    (void)unused;
    ot_state_t *state = ot_state_of_module(module);
    PyObject *self = state->gil_type->tp_alloc(state->gil_type, 0);
    if (self != NULL) {
        const ot_thread_t *me = ot_thread_current();
        as_gil(self)->address = me->gil;
        as_gil(self)->owner = ot_py_owns_gil(me->interp)
                                  ? me->interp_id
                                  : PyInterpreterState_GetID(PyInterpreterState_Main());
    }
    return self;
}

static void
gil_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    type->tp_free(self);
    Py_DECREF(type);
}

static bool
is_main(PyObject *self)
{
    return as_gil(self)->owner == PyInterpreterState_GetID(PyInterpreterState_Main());
}

static PyObject *
gil_repr(PyObject *self)
{
    return PyUnicode_FromFormat("<objtunnel.Gil at %p, interpreter %lld%s>", as_gil(self)->address,
                                (long long)as_gil(self)->owner, is_main(self) ? " (main)" : "");
}

static Py_hash_t
gil_hash(PyObject *self)
{
    Py_hash_t hash = (Py_hash_t)((uintptr_t)as_gil(self)->address >> 4) ^ as_gil(self)->owner;
    return hash == -1 ? -2 : hash;
}

static PyObject *
gil_compare(PyObject *self, PyObject *other, int op)
{
    if (!Py_IS_TYPE(other, Py_TYPE(self)) || (op != Py_EQ && op != Py_NE)) {
        Py_RETURN_NOTIMPLEMENTED;
    }
    bool same = as_gil(self)->address == as_gil(other)->address &&
                as_gil(self)->owner == as_gil(other)->owner;
    return PyBool_FromLong(same == (op == Py_EQ));
}

static PyObject *
gil_address(PyObject *self, void *unused)
{
    (void)unused;
    return PyLong_FromVoidPtr(as_gil(self)->address);
}

static PyObject *
gil_interpreter(PyObject *self, void *unused)
{
    (void)unused;
    return PyLong_FromLongLong(as_gil(self)->owner);
}

static PyObject *
gil_is_main(PyObject *self, void *unused)
{
    (void)unused;
    return PyBool_FromLong(is_main(self));
}

/* Plain numbers, so that a Gil may be sent to where it can be compared with another one. */
static PyObject *
gil_reduce(PyObject *self, PyObject *unused)
{
    (void)unused;
    return Py_BuildValue("O(NL)", Py_TYPE(self), PyLong_FromVoidPtr(as_gil(self)->address),
                         (long long)as_gil(self)->owner);
}

static PyObject *
gil_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"address", "interpreter", NULL};
    PyObject *address;
    long long owner;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O!L:Gil", names, &PyLong_Type, &address,
                                     &owner)) {
        return NULL;
    }
    void *p = PyLong_AsVoidPtr(address);
    if (p == NULL && PyErr_Occurred()) {
        return NULL;
    }
    PyObject *self = type->tp_alloc(type, 0);
    if (self != NULL) {
        as_gil(self)->address = p;
        as_gil(self)->owner = owner;
    }
    return self;
}

static PyMethodDef gil_methods[] = {
    {"__reduce__", gil_reduce, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef gil_getset[] = {
    {"address", gil_address, NULL, "Where the lock lies in memory.", NULL},
    {"interpreter", gil_interpreter, NULL, "Id of the interpreter that owns it.", NULL},
    {"is_main", gil_is_main, NULL, "Whether it is the main interpreter's.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot gil_slots[] = {
    {Py_tp_doc, "Gil(address, interpreter)\n--\n\n"
                "A global interpreter lock, as current_gil() found it; compares and hashes."},
    {Py_tp_new, gil_new},
    {Py_tp_dealloc, gil_dealloc},
    {Py_tp_repr, gil_repr},
    {Py_tp_hash, gil_hash},
    {Py_tp_richcompare, gil_compare},
    {Py_tp_methods, gil_methods},
    {Py_tp_getset, gil_getset},
    {0, NULL},
};

static PyType_Spec gil_spec = {
    .name = "objtunnel.Gil",
    .basicsize = sizeof(gil_t),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = gil_slots,
};

static PyMethodDef functions[] = {
    {"current_gil", current_gil, METH_NOARGS,
     "current_gil($module)\n--\n\n"
     "The lock that the calling thread runs under.\n\n"
     "Equal in all threads of one interpreter, different in interpreters that have their own.\n\n"
     ">>> current_gil() == current_gil()\nTrue"},
    {NULL, NULL, 0, NULL},
};

int
ot_gil_add(PyObject *module, ot_state_t *state)
{
    return ot_type_add(module, &gil_spec, &state->gil_type) < 0
               ? -1
               : PyModule_AddFunctions(module, functions);
}
