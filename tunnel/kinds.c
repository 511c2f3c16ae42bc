/* kinds.c: finding a type's row, and what all rows share (see kinds.h).
 *
 * Main invariant: a row is chosen by the exact type; a subclass is never mistaken for its base.
 * Threading: the address table is written at import under `init_lock`, each time with the same
 * values, and read without a lock by interpreters that imported us, that is, afterwards.
 */
#include "tunnel/kinds.h"

#include <math.h>
#include <pthread.h>

/* Where the process keeps its static ints and one-byte bytes objects. */
static struct {
    uintptr_t first_int, last_int, first_byte, last_byte;
} statics;
static pthread_mutex_t init_lock = PTHREAD_MUTEX_INITIALIZER;

const ot_kind_t *
ot_kind_of_rarer(PyTypeObject *t, const ot_types_t *types)
{
    static const struct {
        PyTypeObject *type;
        const ot_kind_t *kind;
    } rows[] = {
        {&PyUnicode_Type, &ot_kind_str},     {&PyFloat_Type, &ot_kind_float},
        {&PyLong_Type, &ot_kind_int},        {&PyBytes_Type, &ot_kind_bytes},
        {&PySet_Type, &ot_kind_set},         {&PyFrozenSet_Type, &ot_kind_set},
        {&PyComplex_Type, &ot_kind_complex}, {&PyRange_Type, &ot_kind_range},
        {&PySlice_Type, &ot_kind_slice},     {&PyByteArray_Type, &ot_kind_bytearray},
    };
    for (size_t i = 0; i < Py_ARRAY_LENGTH(rows); i++) {
        if (t == rows[i].type) {
            return rows[i].kind;
        }
    }
    return t == types->array ? &ot_kind_array : NULL;
}

static inline bool
between(PyObject *o, uintptr_t first, uintptr_t last)
{
    return (uintptr_t)o >= first && (uintptr_t)o <= last;
}

bool
ot_is_process_static(PyObject *o)
{
    if (!ot_py_immortal(o)) {
        return false;
    }
    if (o == Py_None || o == Py_True || o == Py_False) {
        return true;
    }
    /* Immortal alone proves nothing: interned strings of one interpreter are, too. */
    PyTypeObject *t = Py_TYPE(o);
    if (t == &PyLong_Type) {
        return between(o, statics.first_int, statics.last_int);
    }
    if (t == &PyUnicode_Type) {
        return ot_str_static(o);
    }
    if (t == &PyBytes_Type) {
        return between(o, statics.first_byte, statics.last_byte) ||
               o == Py_GetConstantBorrowed(Py_CONSTANT_EMPTY_BYTES);
    }
    if (PyType_Check(o)) {
        return !PyType_HasFeature((PyTypeObject *)o, Py_TPFLAGS_HEAPTYPE);
    }
    return o == Py_Ellipsis || o == Py_NotImplemented ||
           o == Py_GetConstantBorrowed(Py_CONSTANT_EMPTY_TUPLE);
}

ot_inspection_t
ot_kind_leaf_inspect(PyObject *o)
{
    if (!ot_heap_owns(o)) {
        return OT_REHOME;
    }
    if (PyUnicode_CheckExact(o)) {
        void *side = ot_str_side_block(o);
        return side == NULL || ot_heap_owns(side) ? OT_MOVABLE : OT_REHOME;
    }
    return OT_MOVABLE;
}

bool
ot_key_is_composite(PyObject *key)
{
    if (PyUnicode_CheckExact(key) || PyLong_CheckExact(key) || PyBytes_CheckExact(key) ||
        PyBool_Check(key) || key == Py_None) {
        return false;
    }
    /* A NaN hashes by its address, which a copy does not share. */
    return !PyFloat_CheckExact(key) || isnan(PyFloat_AS_DOUBLE(key));
}

/* ---- set-up ------------------------------------------------------------------------------ */

static int
find_statics(void)
{
    PyObject *low = PyLong_FromLong(-5), *high = NULL, *from = NULL, *to = NULL;
    for (long n = 0; low != NULL; n++) { /* 256 up to 3.14, 1024 in 3.15 */
        PyObject *o = PyLong_FromLong(n);
        if (o == NULL || !ot_py_immortal(o)) {
            Py_XDECREF(o);
            break;
        }
        high = o;
    }
    from = PyBytes_FromStringAndSize("\0", 1);
    to = PyBytes_FromStringAndSize("\xff", 1);
    if (low == NULL || high == NULL || from == NULL || to == NULL) {
        return -1;
    }
    if (!ot_py_immortal(low) || !ot_py_immortal(from) || !ot_py_immortal(to)) {
        PyErr_SetString(PyExc_ImportError, "objtunnel: small ints or bytes of this Python are not "
                                           "immortal, which every supported version has");
        return -1;
    }
    pthread_mutex_lock(&init_lock);
    statics.first_int = (uintptr_t)low;
    statics.last_int = (uintptr_t)high;
    statics.first_byte = (uintptr_t)from;
    statics.last_byte = (uintptr_t)to;
    pthread_mutex_unlock(&init_lock);
    return 0;
}

/* array.array's struct is private to its module: look at a known array through our eyes. */
static int
check_array_layout(PyTypeObject *type)
{
    PyObject *array = PyObject_CallFunction((PyObject *)type, "s(dd)", "d", 1.5, -2.5);
    if (array == NULL) {
        return -1;
    }
    ot_array_t *a = (ot_array_t *)array;
    static const double expected[2] = {1.5, -2.5};
    bool good = type->tp_basicsize == sizeof(ot_array_t) && Py_SIZE(a) == 2 && a->allocated >= 2 &&
                a->weakreflist == NULL && a->ob_exports == 0 &&
                memcmp(a->ob_item, expected, sizeof expected) == 0 &&
                ((const ot_array_descr_t *)a->ob_descr)->typecode == 'd' &&
                ((const ot_array_descr_t *)a->ob_descr)->itemsize == sizeof(double);
    Py_DECREF(array);
    if (!good) {
        PyErr_SetString(PyExc_ImportError,
                        "objtunnel: array.array of this Python is laid out in an unknown way");
        return -1;
    }
    return 0;
}

int
ot_kinds_init(const ot_types_t *types)
{
    return find_statics() < 0 ? -1 : check_array_layout(types->array);
}
