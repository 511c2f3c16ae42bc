/* code.c: see code.h.
 *
 * Main invariant: that of ot_code_t.
 * Threading: a _Code is its interpreter's, what it stands for is anybody's.
 */
#include "objects/behaviour/code.h"

#include <stdlib.h>

#include "runtime/import.h"

/* function, globals: those that the code is for, owned, so that no others can have their addresses. */
typedef struct {
    PyObject_HEAD
    ot_code_t *code; /* owned */
    PyObject *function, *globals;
    PyObject *
        absent; /* a tuple of names that the globals must not have; NULL: what they have does not matter */
} code_object_t;

enum { LATELY = 64 }; /* a power of two */

struct ot_code_caches {
    PyObject *codes[LATELY]; /* _Codes, owned; by the address of the code object */
    struct {
        uint64_t number; /* 0: none */
        PyObject *function;
    } functions[LATELY]; /* by number */
};

static _Atomic uint64_t last_number;
static atomic_size_t live;

ot_code_t *
ot_code_ref(ot_code_t *code)
{
    if (code != NULL) {
        ot_ref_inc(&code->ref);
    }
    return code;
}

void
ot_code_unref(ot_code_t *code)
{
    if (code != NULL && ot_ref_dec(&code->ref)) {
        ot_value_unref(code->what);
        free(code);
        atomic_fetch_sub(&live, 1);
    }
}

ot_code_t *
ot_code_of(const ot_objects_t *home, PyObject *o)
{
    return Py_IS_TYPE(o, home->code) ? ((code_object_t *)o)->code : NULL;
}

size_t
ot_code_count(void)
{
    return atomic_load(&live);
}

/* ---- caches ---------------------------------------------------------------------------------- */

static PyObject **
place_of(const ot_objects_t *home, PyObject *function)
{
    uintptr_t address = (uintptr_t)function;
    return &home->codes->codes[(address >> 5 ^ address >> 11) % LATELY];
}

static bool
has_any(PyObject *globals, PyObject *names)
{
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(names); i++) {
        int has = PyDict_Contains(globals, PyTuple_GET_ITEM(names, i));
        if (has != 0) {
            PyErr_Clear(); /* the names are strs: nothing but memory can fail */
            return true;
        }
    }
    return false;
}

ot_code_t *
ot_code_recall(const ot_objects_t *home, PyObject *function)
{
    const PyFunctionObject *f = (PyFunctionObject *)function;
    if (!PyFunction_Check(function)) {
        return NULL;
    }
    const code_object_t *found = (code_object_t *)*place_of(home, f->func_code);
    if (found == NULL || found->function != f->func_code || found->globals != f->func_globals ||
        (found->absent != NULL && has_any(found->globals, found->absent))) {
        return NULL;
    }
    return found->code;
}

/* _recall(code): the next functions that have this code have the _Code. */
static PyObject *
recall(PyObject *module, PyObject *o)
{
    (void)module;
    ot_objects_t *home = ot_objects_current();
    if (home == NULL) {
        return NULL;
    }
    if (ot_code_of(home, o) == NULL || ((code_object_t *)o)->function == NULL) {
        return PyErr_Format(PyExc_TypeError, "_recall() takes a _Code of a code object");
    }
    PyObject **place = place_of(home, ((code_object_t *)o)->function);
    Py_XSETREF(*place, Py_NewRef(o));
    Py_RETURN_NONE;
}

PyObject *
ot_code_function(const ot_objects_t *home, const ot_code_t *code)
{
    size_t i = code->number % LATELY;
    return home->codes->functions[i].number == code->number ? home->codes->functions[i].function
                                                            : NULL;
}

int
ot_code_remember_function(ot_objects_t *home, const ot_code_t *code, PyObject *function)
{
    const PyFunctionObject *f = (PyFunctionObject *)function;
    PyObject *bare = PyFunction_NewWithQualName(f->func_code, f->func_globals, f->func_qualname);
    if (bare == NULL) {
        return -1;
    }
    size_t i = code->number % LATELY;
    home->codes->functions[i].number = code->number;
    Py_XSETREF(home->codes->functions[i].function, bare);
    return 0;
}

int
ot_code_caches_traverse(ot_objects_t *home, visitproc visit, void *arg)
{
    for (int i = 0; home->codes != NULL && i < LATELY; i++) {
        Py_VISIT(home->codes->codes[i]);
        Py_VISIT(home->codes->functions[i].function);
    }
    return 0;
}

void
ot_code_caches_free(ot_objects_t *home)
{
    struct ot_code_caches *caches = home->codes;
    home->codes = NULL;
    for (int i = 0; caches != NULL && i < LATELY; i++) {
        Py_CLEAR(caches->codes[i]);
        Py_CLEAR(caches->functions[i].function);
    }
    PyMem_RawFree(caches);
}

/* ---- the type -------------------------------------------------------------------------------- */

/* _Code(description, code object, globals, absent). */
static PyObject *
code_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    PyObject *what, *function, *globals, *absent;
    ot_objects_t *home = ot_objects_current();
    if (home == NULL || (kwargs != NULL && PyDict_GET_SIZE(kwargs) > 0) ||
        !PyArg_ParseTuple(args, "OO!O!O:_Code", &what, &PyCode_Type, &function, &PyDict_Type,
                          &globals, &absent)) {
        return home == NULL || PyErr_Occurred()
                   ? NULL
                   : PyErr_Format(PyExc_TypeError, "_Code() takes no keyword arguments");
    }
    if (absent != Py_None && !PyTuple_Check(absent)) {
        return PyErr_Format(PyExc_TypeError, "_Code() takes a tuple of names, or None");
    }
    code_object_t *self = (code_object_t *)type->tp_alloc(type, 0);
    ot_code_t *code = self == NULL ? NULL : calloc(1, sizeof *code);
    if (code == NULL) {
        Py_XDECREF(self);
        return PyErr_NoMemory();
    }
    code->what = ot_value_new(home, what);
    if (code->what == NULL) {
        free(code);
        Py_DECREF(self);
        return NULL;
    }
    ot_ref_init(&code->ref);
    code->number = atomic_fetch_add(&last_number, 1) + 1;
    atomic_fetch_add(&live, 1);
    self->code = code;
    self->function = Py_NewRef(function);
    self->globals = Py_NewRef(globals);
    self->absent = absent == Py_None ? NULL : Py_NewRef(absent);
    return (PyObject *)self;
}

static int
code_traverse(PyObject *o, visitproc visit, void *arg)
{
    code_object_t *self = (code_object_t *)o;
    Py_VISIT(Py_TYPE(o));
    Py_VISIT(self->function);
    Py_VISIT(self->globals);
    Py_VISIT(self->absent);
    return 0;
}

static int
code_clear(PyObject *o)
{
    code_object_t *self = (code_object_t *)o;
    Py_CLEAR(self->function);
    Py_CLEAR(self->globals);
    Py_CLEAR(self->absent);
    return 0;
}

static void
code_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    (void)code_clear(self);
    ot_code_unref(((code_object_t *)self)->code);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyType_Slot slots[] = {
    {Py_tp_doc, "_Code(description, code object, globals, absent): what workers make a "
                "behaviour's function of. The caches have it while the globals have no name of "
                "`absent`, a tuple; None: in any case."},
    {Py_tp_new, code_new},
    {Py_tp_dealloc, code_dealloc},
    {Py_tp_traverse, code_traverse},
    {Py_tp_clear, code_clear},
    {0, NULL},
};

static PyType_Spec spec = {"objtunnel._core._Code", sizeof(code_object_t), 0,
                           Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
                           slots};

static PyMethodDef functions[] = {
    {"_recall", recall, METH_O, "_recall(code): functions of its code object are of this _Code."},
    {NULL, NULL, 0, NULL},
};

int
ot_code_type_add(ot_objects_t *home)
{
    home->codes = PyMem_RawCalloc(1, sizeof *home->codes);
    if (home->codes == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    return ot_type_add(home->module, &spec, &home->code) < 0
               ? -1
               : PyModule_AddFunctions(home->module, functions);
}
