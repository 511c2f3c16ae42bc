/* struct_sequence.h: tuples whose fields have names, as os.stat() gives them.
 *
 * Shared rules: an attached thread state.
 */
#ifndef OT_RUNTIME_STRUCT_SEQUENCE_H
#define OT_RUNTIME_STRUCT_SEQUENCE_H

#include "runtime/cpython/version.h"

/* A struct sequence with so many fields. Refs: steals the fields, of which a NULL is an exception that is set.
 * NULL with an exception. */
PyObject *ot_struct_steal(PyTypeObject *type, PyObject **fields, size_t n);

/* Makes a type of struct sequences, owned by *type, and adds it to the module. 0, or -1 with an exception. */
int ot_struct_type_add(PyObject *module, PyStructSequence_Desc *desc, PyTypeObject **type);

#endif
