/* common.c: what the rows of all kinds share: objects that every interpreter has, leaves.
 *
 * Main invariant: `statics` is filled before the first object is asked about.
 * Threading: it is written at import under `init_lock`, each time with the same values, and read
 * without a lock by interpreters that imported us, that is, afterwards.
 */
#include "tunnel/kinds.h"

#include <math.h>
#include <pthread.h>

/* Where the process keeps its static ints and one-byte bytes objects. */
static struct {
    uintptr_t first_int, last_int, first_byte, last_byte;
} statics;
static pthread_mutex_t init_lock = PTHREAD_MUTEX_INITIALIZER;

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
    if (PyUnicode_Check(o)) {
        void *side = ot_str_side_block(o), *data = ot_str_data_block(o);
        bool home = (side == NULL || ot_heap_owns(side)) && (data == NULL || ot_heap_owns(data));
        return home ? OT_MOVABLE : OT_REHOME;
    }
    return OT_MOVABLE;
}

ot_inspection_t
ot_kind_block_inspect(PyObject *o)
{
    return ot_heap_owns(o) ? OT_MOVABLE : OT_REHOME;
}

int
ot_kind_visit_nothing(PyObject *o, ot_visitor_t *v)
{
    (void)o;
    (void)v;
    return 0;
}

int
ot_kind_fill_nothing(PyObject *clone, PyObject *o, ot_copier_t *c)
{
    (void)clone;
    (void)o;
    (void)c;
    return 0;
}

void
ot_kind_disown_nothing(PyObject *loser, PyObject *winner)
{
    (void)loser;
    (void)winner;
}

bool
ot_leaf_hashes_by_address(PyObject *o)
{
    if (PyFloat_CheckExact(o)) {
        return isnan(PyFloat_AS_DOUBLE(o));
    }
    if (PyComplex_CheckExact(o)) {
        Py_complex z = ((PyComplexObject *)o)->cval;
        return isnan(z.real) || isnan(z.imag);
    }
    return false;
}

int
ot_statics_init(void)
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
