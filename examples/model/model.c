/* model.c: a large read-only table, loaded once in the process and used by all interpreters.
 *
 * An example of a registry: models by file name. The first interpreter that wants one reads it;
 * the others use the same memory, without a copy; the last one to let go frees it.
 *
 *     >>> m = model.load("weights.bin")      # 64-bit floats, as array("d").tofile() writes them
 *     >>> len(m), m.dot([0.5, 2.0])          # the first two entries' sum of products
 *     >>> memoryview(m)[7]                   # the process's memory itself, read-only
 *
 * Main invariant: a Model has one use of the registry's resource from its making to its death; a
 * resource never changes once it is loaded, so nobody needs a lock to read it.
 * Threading: loading and freeing let go of the GIL and run under no lock of ours.
 */
#ifdef MODEL_ALONE
#include "objtunnel_global.h"
#define MODEL_PYINIT PyInit_model_alone
#else
#include "objtunnel.h"
#define MODEL_PYINIT PyInit_model
#endif

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    size_t length;
    double values[];
} table_t;

static atomic_long loads, frees; /* for the tests */

/* ---- the process's tables --------------------------------------------------------------------- */

/* NULL with errno set. Needs no GIL. */
static table_t *
read_table(const char *path)
{
    FILE *f = fopen(path, "rb");
    table_t *table = NULL;
    long size;
    if (f == NULL) {
        return NULL;
    }
    if (fseek(f, 0, SEEK_END) == 0 && (size = ftell(f)) >= 0 && fseek(f, 0, SEEK_SET) == 0) {
        size_t length = (size_t)size / sizeof(double);
        table = malloc(sizeof *table + length * sizeof(double));
        if (table != NULL) {
            table->length = length;
            if (fread(table->values, sizeof(double), length, f) != length) {
                free(table);
                table = NULL;
                errno = EIO;
            }
        }
    }
    fclose(f);
    return table;
}

static int
create_table(const char *path, void *arg, void **value)
{
    (void)arg;
    table_t *table;
    int error;
    Py_BEGIN_ALLOW_THREADS
    table = read_table(path);
    error = errno;
    Py_END_ALLOW_THREADS
    if (table == NULL) {
        errno = error;
        PyErr_SetFromErrnoWithFilename(PyExc_OSError, path);
        return -1;
    }
    atomic_fetch_add(&loads, 1);
    *value = table;
    return 0;
}

static void
destroy_table(const char *path, void *value)
{
    (void)path;
    free(value);
    atomic_fetch_add(&frees, 1);
}

static ot_registry_t tables = OT_REGISTRY_INIT("model", destroy_table);

/* ---- Model ------------------------------------------------------------------------------------ */

typedef struct {
    PyObject_HEAD
    PyObject *path;   /* the key of the resource, a str */
    table_t *table;   /* NULL: there is no use of it yet */
    Py_ssize_t shape; /* table->length, for buffers */
} model_t;

static model_t *
as_model(PyObject *o)
{
    return (model_t *)o;
}

static PyObject *
load(PyObject *module, PyObject *path)
{
    const char *key = PyUnicode_AsUTF8(path);
    PyTypeObject *type = *(PyTypeObject **)PyModule_GetState(module);
    PyObject *self = key == NULL ? NULL : type->tp_alloc(type, 0);
    if (self == NULL) {
        return NULL;
    }
    void *table;
    as_model(self)->path = Py_NewRef(path);
    if (ot_registry_get(&tables, key, create_table, NULL, &table) < 0) {
        Py_DECREF(self);
        return NULL;
    }
    as_model(self)->table = table;
    as_model(self)->shape = (Py_ssize_t)as_model(self)->table->length;
    return self;
}

static void
model_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    if (as_model(self)->table != NULL) {
        (void)ot_registry_put(&tables,
                              PyUnicode_AsUTF8(as_model(self)->path)); /* cached: no error */
    }
    Py_XDECREF(as_model(self)->path);
    type->tp_free(self);
    Py_DECREF(type);
}

static Py_ssize_t
model_length(PyObject *self)
{
    return (Py_ssize_t)as_model(self)->table->length;
}

static PyObject *
model_dot(PyObject *self, PyObject *sequence)
{
    const table_t *table = as_model(self)->table;
    PyObject *fast = PySequence_Fast(sequence, "dot() takes a sequence of numbers");
    double sum = 0;
    if (fast == NULL) {
        return NULL;
    }
    for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(fast) && !PyErr_Occurred(); i++) {
        if ((size_t)i >= table->length) {
            PyErr_SetString(PyExc_ValueError, "the sequence is longer than the model");
        } else {
            sum += table->values[i] * PyFloat_AsDouble(PySequence_Fast_GET_ITEM(fast, i));
        }
    }
    Py_DECREF(fast);
    return PyErr_Occurred() ? NULL : PyFloat_FromDouble(sum);
}

/* A view keeps its Model, which keeps the memory. */
static int
model_getbuffer(PyObject *self, Py_buffer *view, int flags)
{
    table_t *table = as_model(self)->table;
    if (PyBuffer_FillInfo(view, self, table->values, (Py_ssize_t)(table->length * sizeof(double)),
                          1, flags) < 0) {
        return -1;
    }
    view->itemsize = sizeof(double);
    if (view->format != NULL) {
        view->format = (char *)"d";
    }
    if (view->shape != NULL) {
        view->shape = &as_model(self)->shape;
    }
    return 0;
}

static PyObject *
model_address(PyObject *self, void *unused)
{
    (void)unused;
    return PyLong_FromVoidPtr(as_model(self)->table->values);
}

/* ---- the module ------------------------------------------------------------------------------- */

static PyMethodDef model_methods[] = {
    {"dot", model_dot, METH_O, "dot($self, numbers, /)\n--\n\nSum of products with the table."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef model_getset[] = {
    {"address", model_address, NULL, "Where the table lies in the process's memory.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot model_slots[] = {
    {Py_tp_doc, (void *)"A read-only table of the process, made by load()."},
    {Py_tp_dealloc, (void *)model_dealloc},
    {Py_tp_methods, model_methods},
    {Py_tp_getset, model_getset},
    {Py_sq_length, (void *)model_length},
    {Py_bf_getbuffer, (void *)model_getbuffer},
    {0, NULL},
};

static PyType_Spec model_spec = {
    .name = "model.Model",
    .basicsize = sizeof(model_t),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = model_slots,
};

static PyObject *
counts(PyObject *module, PyObject *unused)
{
    (void)module;
    (void)unused;
    return Py_BuildValue("ll", atomic_load(&loads), atomic_load(&frees));
}

static PyMethodDef functions[] = {
    {"load", load, METH_O, "load($module, path, /)\n--\n\nThe Model in a file of 64-bit floats."},
    {"counts", counts, METH_NOARGS, "(tables loaded, tables freed) in this process."},
    {NULL, NULL, 0, NULL},
};

static int
module_exec(PyObject *module)
{
    PyTypeObject **type = PyModule_GetState(module);
    *type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &model_spec, NULL);
    return *type == NULL ? -1 : PyModule_AddType(module, *type);
}

static int
module_traverse(PyObject *module, visitproc visit, void *arg)
{
    Py_VISIT(*(PyTypeObject **)PyModule_GetState(module));
    return 0;
}

static int
module_clear(PyObject *module)
{
    Py_CLEAR(*(PyTypeObject **)PyModule_GetState(module));
    return 0;
}

static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, (void *)module_exec},
    {Py_mod_multiple_interpreters, Py_MOD_PER_INTERPRETER_GIL_SUPPORTED},
    {Py_mod_gil, Py_MOD_GIL_NOT_USED},
    {0, NULL},
};

static PyModuleDef module_def = {
    PyModuleDef_HEAD_INIT,         .m_name = "model",
    .m_doc = "Read-only tables.",  .m_size = sizeof(PyTypeObject *),
    .m_methods = functions,        .m_slots = slots,
    .m_traverse = module_traverse, .m_clear = module_clear,
};

PyMODINIT_FUNC
MODEL_PYINIT(void)
{
    return PyModuleDef_Init(&module_def);
}
