/* import.h: what a module has under a name, adding types to a module, and registering types with abstract classes.
 *
 * Shared rules: an attached thread state. Runs: e, where the module has not been imported yet.
 */
#ifndef OT_RUNTIME_IMPORT_H
#define OT_RUNTIME_IMPORT_H

#include "runtime/cpython/version.h"

/* module.name, a new reference. NULL with what importing or looking raised. */
PyObject *ot_import_attr(const char *module, const char *name);

/* ot_import_attr into *where. 0, or -1 with an exception and *where NULL. */
int ot_import_into(const char *module, const char *name, PyObject **where);

/* Makes the type from its spec into *type, owned, and adds it to the module. 0, or -1 with an exception. */
int ot_type_add(PyObject *module, PyType_Spec *spec, PyTypeObject **type);

/* module.abstract.register(type), so that isinstance() knows. 0, or -1 with an exception. */
int ot_import_register(PyTypeObject *type, const char *module, const char *abstract);

#endif
