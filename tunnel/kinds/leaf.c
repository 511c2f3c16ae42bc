/* leaf.c: the rows for int, float, complex, bytes and str, which refer to nothing.
 *
 * Main invariant: a copy is a block of its own in the shared heap, equal in value and hash.
 * Threading: see kinds.h.
 */
#include "tunnel/kinds.h"

static PyObject *
int_clone(PyObject *o)
{
    return ot_py_copy_block(o, ot_int_block_size(o));
}

static PyObject *
float_clone(PyObject *o)
{
    return ot_py_copy_block(o, sizeof(PyFloatObject));
}

static PyObject *
complex_clone(PyObject *o)
{
    return ot_py_copy_block(o, sizeof(PyComplexObject));
}

static PyObject *
bytes_clone(PyObject *o)
{
    return ot_py_copy_block(o, (size_t)PyBytes_Type.tp_basicsize + (size_t)PyBytes_GET_SIZE(o));
}

/* clang-format off */
const ot_kind_t ot_kind_int     = {.name = "int",     .leaf = true, .inspect = ot_kind_leaf_inspect, .shell = int_clone,     .clone = int_clone};
const ot_kind_t ot_kind_float   = {.name = "float",   .leaf = true, .inspect = ot_kind_leaf_inspect, .shell = float_clone,   .clone = float_clone};
const ot_kind_t ot_kind_complex = {.name = "complex", .leaf = true, .inspect = ot_kind_leaf_inspect, .shell = complex_clone, .clone = complex_clone};
const ot_kind_t ot_kind_bytes   = {.name = "bytes",   .leaf = true, .inspect = ot_kind_leaf_inspect, .shell = bytes_clone,   .clone = bytes_clone};
const ot_kind_t ot_kind_str     = {.name = "str",     .leaf = true, .inspect = ot_kind_leaf_inspect, .shell = ot_str_copy,   .clone = ot_str_copy};
/* clang-format on */
