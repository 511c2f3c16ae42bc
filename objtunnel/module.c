/* module.c: objtunnel._core, multi-phase, one state per interpreter.
 *
 * The first import in the process sets up the object heap; each import learns the types of its
 * interpreter. Threading: the importing interpreter's GIL.
 */
#include "objects/objects.h"
#include "objtunnel/state.h"
#include "runtime/checks.h"
#include "runtime/cpython/layouts.h"
#include "runtime/import.h"
#include "runtime/lab.h"
#include "runtime/worker.h"

#include "include/objtunnel_api.h" /* after the headers that must come before Python.h */

/* ---- functions ---------------------------------------------------------------------------- */

static PyObject *
heap_version(void)
{
    int version[3];
    ot_heap_version(version);
    return PyUnicode_FromFormat("%d.%d.%d", version[0], version[1], version[2]);
}

static PyObject *
heap_info(PyObject *module, PyObject *unused)
{
    (void)unused;
    bool own = ot_heap.mode == OT_HEAP_OWN;
    PyObject *fields[] = {
        PyUnicode_FromString(ot_heap.allocator),
        PyBool_FromLong(own),
        own ? PyLong_FromSize_t(ot_heap.span) : Py_NewRef(Py_None),
        PyLong_FromLongLong(ot_heap_resident()),
        own ? heap_version() : Py_NewRef(Py_None),
    };
    return ot_struct_steal(ot_state_of_module(module)->heap_info_type, fields,
                           Py_ARRAY_LENGTH(fields));
}

static PyObject *
owns(PyObject *module, PyObject *o)
{
    (void)module;
    return PyBool_FromLong(ot_heap_owns(o));
}

static PyObject *
immovable_base(PyObject *module, PyObject *type)
{
    (void)module;
    const ot_kind_t *kind;
    if (!PyType_Check(type)) {
        return PyErr_Format(PyExc_TypeError, "not a type: %R", type);
    }
    if (ot_kind_for_class((PyTypeObject *)type, &kind) < 0) {
        return NULL;
    }
    return Py_NewRef(kind != NULL ? Py_None : (PyObject *)ot_type_solid_base((PyTypeObject *)type));
}

static PyObject *
build_info(PyObject *module, PyObject *unused)
{
    (void)module;
    (void)unused;
#ifdef OT_CHECKS
    PyObject *checks = Py_True;
#else
    PyObject *checks = Py_False;
#endif
    return Py_BuildValue("{s:s,s:s,s:I,s:n,s:O,s:O}", "python", PY_VERSION, "compiler", __VERSION__,
                         "api_version", OT_API_VERSION, "api_size", (Py_ssize_t)sizeof(ot_api_t),
                         "checks", checks, "lab", OT_HAS_LAB ? Py_True : Py_False);
}

/* The layouts of private structs as they must be found (for tests): a list of names; or the name of the one that is
 * not found if field i is looked for so many bytes away, None if nothing is noticed. */
static PyObject *
layouts(PyObject *module, PyObject *args)
{
    (void)module;
    int field = -1, by = 0;
    if (!PyArg_ParseTuple(args, "|ii:_layouts", &field, &by)) {
        return NULL;
    }
    if (PyTuple_GET_SIZE(args) > 0) {
        int found = ot_layouts_prove(field, by);
        return found == -2   ? NULL
               : found == -1 ? Py_NewRef(Py_None)
                             : PyUnicode_FromString(ot_layouts_name(found));
    }
    PyObject *names = PyList_New(0);
    for (int i = 0; names != NULL && i < ot_layouts_count(); i++) {
        PyObject *name = PyUnicode_FromString(ot_layouts_name(i));
        if (name == NULL || PyList_Append(names, name) < 0) {
            Py_CLEAR(names);
        }
        Py_XDECREF(name);
    }
    return names;
}

static PyObject *
take_old_blocks(PyObject *module, PyObject *unused)
{
    (void)unused;
    ot_state_t *state = ot_state_of_module(module);
    if (ot_state_take_old_blocks(state) < 0) {
        return NULL;
    }
    return state->old_blocks == NULL ? Py_NewRef(Py_None)
                                     : PyLong_FromSsize_t(PyList_GET_SIZE(state->old_blocks));
}

static PyMethodDef functions[] = {
    {"heap_info", heap_info, METH_NOARGS,
     "heap_info($module)\n--\n\n"
     "HeapInfo(allocator, installed, span, in_use, version): what serves Python objects in this process.\n\n"
     "installed: whether objtunnel put its own heap there; if not, the process runs on an\n"
     "allocator that all interpreters share already (PYTHONMALLOC=mimalloc or malloc).\n"
     "span: addresses reserved for the heap, in bytes; None if not installed.\n"
     "in_use: bytes of memory that the heap occupies now (of the whole process if not\n"
     "installed; -1 if /proc cannot be read). Takes some milliseconds.\n"
     "version: of the mimalloc that is linked into objtunnel; None if not installed.\n\n"
     ">>> heap_info().in_use > 0\nTrue"},
    {"_owns", owns, METH_O, "Whether the object's block lies in the shared heap (for tests)."},
    {"_immovable_base", immovable_base, METH_O,
     "The base in C that keeps instances of a class from moving; None if they can move."},
    {"_layouts", layouts, METH_VARARGS,
     "_layouts() -> names; _layouts(i, by) -> the name that is not found if the i-th lay elsewhere."},
    {"_build_info", build_info, METH_NOARGS,
     "How this extension was built (for `python -m objtunnel info`)."},
    {"_take_old_blocks", take_old_blocks, METH_NOARGS,
     "Keep what this interpreter's free lists hold from before the heap; how many blocks are kept by\n"
     "now, None in an interpreter that is newer than the heap."},
    {NULL, NULL, 0, NULL},
};

/* ---- set-up -------------------------------------------------------------------------------- */

static PyStructSequence_Desc heap_info_desc = {
    .name = "objtunnel.HeapInfo",
    .doc = "What serves Python objects in this process.",
    .fields =
        (PyStructSequence_Field[]){
            {"allocator", "its name"},
            {"installed", "whether objtunnel installed it"},
            {"span", "bytes of addresses reserved, None if not installed"},
            {"in_use", "bytes of memory occupied now"},
            {"version", "mimalloc's, None if not installed"},
            {NULL, NULL},
        },
    .n_in_sequence = 5,
};

static int
module_exec(PyObject *module)
{
    ot_state_t *state = ot_state_of_module(module);
    ot_interp_t *interp = &state->interp;
    state->may_have_old_blocks = !ot_worker_is_self();
    if (ot_py_check_version() < 0 || ot_heap_install() < 0 || ot_state_begin(module, state) < 0) {
        return -1;
    }
    interp->classes = &state->classes;
    interp->spare = &state->spare;
    if (ot_kinds_init() < 0 || ot_class_cache_init(&state->classes) < 0 ||
        ot_import_into("objtunnel._pickling", "dumps_all", &interp->dumps) < 0 ||
        ot_import_into("objtunnel._pickling", "loads", &interp->loads) < 0 ||
        ot_import_into("objtunnel._pickling", "remedy", &interp->remedy) < 0 ||
        ot_import_into("objtunnel._pickling", "ndarray", &interp->ndarray) < 0) {
        return -1;
    }
    interp->array_data =
        (PyTypeObject *)PyType_FromModuleAndSpec(module, &ot_array_data_spec, NULL);
    if (interp->array_data == NULL) {
        return -1;
    }
    return ot_struct_type_add(module, &heap_info_desc, &state->heap_info_type) < 0 ||
                   ot_objects_add(module, &state->objects) < 0 ||
                   ot_tunnel_add(module, state) < 0 || ot_gil_add(module, state) < 0 ||
                   ot_worker_type_add(module, state) < 0 || ot_capi_add(module, state) < 0 ||
                   ot_globals_add(module, state) < 0 || ot_dump_add(module) < 0 ||
                   ot_explain_add(module, state) < 0
               ? -1
               : 0;
}

static void
module_free(void *self)
{
    ot_state_t *state = ot_state_of_module(self);
    ot_tree_drop_spare(&state->interp);
    ot_class_cache_clear(&state->classes);
    ot_consumers_clear(&state->consumers);
    ot_objects_set_leaving(
        &state->objects); /* values are disposed of, and nothing can be imported any more */
    ot_globals_leave(state);
    ot_objects_set_leaving(NULL);
    ot_state_end(state);
}

static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, module_exec},
    {Py_mod_multiple_interpreters, Py_MOD_PER_INTERPRETER_GIL_SUPPORTED},
    {Py_mod_gil, Py_MOD_GIL_USED},
    {0, NULL},
};

static struct PyModuleDef module_def = {
    PyModuleDef_HEAD_INIT,
    .m_name = "objtunnel._core",
    .m_doc = "The C side of objtunnel.",
    .m_size = sizeof(ot_state_t),
    .m_methods = functions,
    .m_slots = slots,
    .m_traverse = ot_state_traverse,
    .m_clear = ot_state_clear,
    .m_free = module_free,
};

PyMODINIT_FUNC
PyInit__core(void)
{
    return PyModuleDef_Init(&module_def);
}
