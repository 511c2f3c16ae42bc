/* decimal.c: the row for decimal.Decimal. Side block: the digits of a long one; a short one's lie
 * in the object, which points at them.
 *
 * Threading: see kinds.h.
 */
#include "tunnel/kinds.h"

#include "runtime/cpython/stdlib.h"

static bool
is_short(const ot_decimal_t *d)
{
    return d->data == d->word;
}

static ot_inspection_t
decimal_inspect(PyObject *o)
{
    ot_decimal_t *d = (ot_decimal_t *)o;
    return ot_heap_owns(o) && (is_short(d) || ot_heap_owns(d->data)) ? OT_MOVABLE : OT_REHOME;
}

/* The copy keeps the cached hash. A NaN hashes by its address: a copied dict that has one as a
 * key finds it by the old hash. */
static PyObject *
decimal_clone(PyObject *o)
{
    ot_decimal_t *from = (ot_decimal_t *)o;
    size_t *digits = NULL, bytes = (size_t)from->alloc * sizeof *digits;
    if (!is_short(from) && (digits = PyMem_Malloc(bytes)) == NULL) {
        return PyErr_NoMemory();
    }
    ot_decimal_t *d = (ot_decimal_t *)ot_py_new_container(Py_TYPE(o), 0);
    if (d == NULL) {
        PyMem_Free(digits);
        return NULL;
    }
    memcpy((char *)d + sizeof(PyObject), (char *)from + sizeof(PyObject),
           sizeof *d - sizeof(PyObject));
    d->data = d->word;
    if (digits != NULL) {
        d->data = memcpy(digits, from->data, bytes);
    }
    return (PyObject *)d;
}

static bool
looks_right(PyObject *o, const char *digits, size_t lowest, bool is_long)
{
    ot_decimal_t *d = (ot_decimal_t *)o;
    return d->hash == -1 && d->exp == -2 && d->digits == (Py_ssize_t)strlen(digits) - 1 &&
           d->data[0] == lowest && is_short(d) == !is_long && d->alloc >= d->len &&
           !(d->flags & OT_DECIMAL_STATIC_DATA) == is_long;
}

static int
check_one(PyTypeObject *type, const char *digits, size_t lowest, bool is_long)
{
    PyObject *o = PyObject_CallFunction((PyObject *)type, "s", digits);
    int good = o == NULL ? -1 : looks_right(o, digits, lowest, is_long);
    Py_XDECREF(o);
    return good;
}

static int
decimal_check(PyTypeObject *type)
{
    if (type->tp_basicsize != sizeof(ot_decimal_t) || !PyType_IS_GC(type) ||
        type->tp_weaklistoffset != 0 || type->tp_dictoffset != 0) {
        return 0;
    }
    int good = check_one(type, "12.34", 1234, false);
    return good <= 0
               ? good
               : check_one(type,
                           "7000000000000000000700000000000000000070000000000000000007000000000000"
                           "000000700000000000000000070000000.56",
                           7000000056, true);
}

const ot_kind_t ot_kind_decimal = {
    .name = "Decimal",
    .subclassable = true,
    .keeps_hash = true,
    .inspect = decimal_inspect,
    .visit = ot_kind_visit_nothing,
    .shell = decimal_clone,
    .disown = ot_kind_disown_nothing,
    .clone = decimal_clone,
    .fill = ot_kind_fill_nothing,
};

OT_C_TYPE(decimal, "decimal.Decimal", &ot_kind_decimal, decimal_check);
