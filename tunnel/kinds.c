/* kinds.c: finding a type's row (see kinds.h).
 *
 * Main invariant: a row is chosen by the exact type; a subclass is never mistaken for its base.
 * Threading: the GIL of the type's interpreter. An ot_c_type_t's `mark` is
 * atomic, since all interpreters use it.
 */
#include "tunnel/class.h"
#include "tunnel/constant.h"

#include "runtime/cpython/instance.h"

const ot_kind_t *
ot_kind_static(PyTypeObject *t)
{
    static const struct {
        PyTypeObject *type;
        const ot_kind_t *kind;
    } rows[] = {
        {&PyDict_Type, &ot_kind_dict},
        {&PyList_Type, &ot_kind_list},
        {&PyTuple_Type, &ot_kind_tuple},
        {&PyUnicode_Type, &ot_kind_str},
        {&PyFloat_Type, &ot_kind_float},
        {&PyLong_Type, &ot_kind_int},
        {&PyBytes_Type, &ot_kind_bytes},
        {&PySet_Type, &ot_kind_set},
        {&PyFrozenSet_Type, &ot_kind_set},
        {&PyComplex_Type, &ot_kind_complex},
        {&PyRange_Type, &ot_kind_range},
        {&PySlice_Type, &ot_kind_slice},
        {&PyByteArray_Type, &ot_kind_bytearray},
        {&PyODict_Type, &ot_kind_odict},
        {&PyDictProxy_Type, &ot_kind_mappingproxy},
        {&PyMemoryView_Type, &ot_kind_memoryview},
        {&ot_constant_type, &ot_kind_constant},
#if OT_HAS_FROZENDICT
        {&PyFrozenDict_Type, &ot_kind_frozendict},
#endif
    };
    for (size_t i = 0; i < Py_ARRAY_LENGTH(rows); i++) {
        if (t == rows[i].type) {
            return rows[i].kind;
        }
    }
    return NULL;
}

/* ---- types of modules -------------------------------------------------------------------- */

/* Written while the module is loaded, before any interpreter uses it. */
static ot_c_type_t *c_types;

void
ot_c_type_list(ot_c_type_t *row)
{
    row->next = c_types;
    c_types = row;
}

static void *
mark_of(PyTypeObject *type)
{
    return PyType_HasFeature(type, Py_TPFLAGS_HEAPTYPE) ? *(void **)&type->tp_dealloc : type;
}

const ot_kind_t *
ot_kind_of_base(PyTypeObject *base)
{
    const ot_kind_t *kind = ot_kind_static(base);
    if (kind != NULL) {
        return kind;
    }
    for (ot_c_type_t *t = c_types; t != NULL; t = t->next) {
        if (t->mark == mark_of(base)) {
            return t->kind;
        }
    }
    return ot_kind_registered(base);
}

static int
learn_c_type(PyTypeObject *type)
{
    for (ot_c_type_t *t = c_types; t != NULL; t = t->next) {
        if (t->mark == NULL && strcmp(type->tp_name, t->tp_name) == 0) {
            int rc = t->check(type);
            if (rc > 0) {
                t->mark = mark_of(type);
            }
            return rc < 0 ? -1 : 0;
        }
    }
    return 0;
}

PyObject *
ot_c_type_here(const void *mark, PyTypeObject *built_in)
{
    const ot_c_type_t *found = NULL;
    for (ot_c_type_t *t = c_types; t != NULL; t = t->next) {
        found = t->mark == mark && mark != NULL ? t : found;
    }
    if (found == NULL) {
        return Py_XNewRef((PyObject *)built_in);
    }
    const char *name = found->tp_name, *dot = strrchr(name, '.');
    PyObject *module_name = PyUnicode_FromStringAndSize(name, dot - name);
    PyObject *module = module_name == NULL ? NULL : PyImport_Import(module_name);
    PyObject *type = module == NULL ? NULL : PyObject_GetAttrString(module, dot + 1);
    Py_XDECREF(module_name);
    Py_XDECREF(module);
    return type;
}

static const ot_kind_t *
kind_of_subclass(PyTypeObject *type, PyTypeObject *base)
{
    if (type->tp_dictoffset != base->tp_dictoffset && !ot_type_manages_dict(type)) {
        return NULL;
    }
    if (type->tp_finalize != NULL && !PyType_IS_GC(type)) {
        return NULL; /* its husks and copies could not be told not to run __del__ */
    }
    if (base == &PyBaseObject_Type) {
        return &ot_kind_plain_instance;
    }
    const ot_kind_t *kind = ot_kind_of_base(base);
    if (kind == NULL) {
        return NULL;
    }
    return kind->subclassable ? &ot_kind_container_instance : &ot_kind_other_instance;
}

const ot_kind_t *
ot_kind_at_hand(PyTypeObject *type)
{
    PyTypeObject *base = ot_type_solid_base(type);
    return type == base ? ot_kind_of_base(type) : kind_of_subclass(type, base);
}

int
ot_kind_for_class(PyTypeObject *type, const ot_kind_t **kind)
{
    PyTypeObject *base = ot_type_solid_base(type);
    if (ot_kind_static(base) == NULL && learn_c_type(base) < 0) {
        return -1;
    }
    *kind = ot_kind_at_hand(type);
    return 0;
}

static bool
is_steady_leaf(PyObject *key)
{
    if (PyUnicode_CheckExact(key) || PyLong_CheckExact(key) || PyBytes_CheckExact(key) ||
        PyBool_Check(key) || key == Py_None) {
        return true;
    }
    if (PyFloat_CheckExact(key)) {
        return !ot_leaf_hashes_by_address(key);
    }
    const ot_kind_t *kind = PyTuple_CheckExact(key) ? NULL : ot_kind_of_base(Py_TYPE(key));
    return kind != NULL && kind->keeps_hash;
}

bool
ot_key_is_composite(PyObject *key)
{
    enum { SHORT = 16 };
    if (!PyTuple_CheckExact(key) || PyTuple_GET_SIZE(key) > SHORT) {
        return !is_steady_leaf(key);
    }
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(key); i++) {
        if (!is_steady_leaf(PyTuple_GET_ITEM(key, i))) {
            return true;
        }
    }
    return false;
}

/* ---- set-up ------------------------------------------------------------------------------ */

/* Built in, but laid out privately. */
static int
check_built_in(const char *name, int good)
{
    if (good == 0) {
        PyErr_Format(PyExc_ImportError, "objtunnel: %s of this Python is not laid out as in %s",
                     name, PY_VERSION);
    }
    return good > 0 ? 0 : -1;
}

int
ot_kinds_init(void)
{
    if (ot_statics_init() < 0 || check_built_in("OrderedDict", ot_odict_check()) < 0) {
        return -1;
    }
    return check_built_in("mappingproxy", ot_mappingproxy_check());
}
