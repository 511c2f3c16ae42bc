/* code.c: see code.h.
 *
 * Main invariant: that of ot_code_t.
 * Threading: a _Code is its interpreter's, what it stands for is anybody's.
 */
#include "objects/behaviour/code.h"

#include <stdlib.h>

typedef struct {
    PyObject_HEAD
    ot_code_t *code; /* owned */
} code_object_t;

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

/* _Code(description). */
static PyObject *
code_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    PyObject *what;
    ot_objects_t *home = ot_objects_current();
    if (home == NULL || (kwargs != NULL && PyDict_GET_SIZE(kwargs) > 0) ||
        !PyArg_ParseTuple(args, "O:_Code", &what)) {
        return home == NULL || PyErr_Occurred()
                   ? NULL
                   : PyErr_Format(PyExc_TypeError, "_Code() takes no keyword arguments");
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
    return (PyObject *)self;
}

static void
code_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    ot_code_unref(((code_object_t *)self)->code);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyType_Slot slots[] = {
    {Py_tp_doc, "_Code(description): what workers make a behaviour's function of."},
    {Py_tp_new, code_new},
    {Py_tp_dealloc, code_dealloc},
    {0, NULL},
};

static PyType_Spec spec = {"objtunnel._core._Code", sizeof(code_object_t), 0,
                           Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE, slots};

int
ot_code_type_add(ot_objects_t *home)
{
    home->code = (PyTypeObject *)PyType_FromModuleAndSpec(home->module, &spec, NULL);
    return home->code == NULL ? -1 : PyModule_AddType(home->module, home->code);
}
