/* objects.c: the list of all shared types.
 *
 * Threading: the GIL of the interpreter that they are added to.
 */
#include "objects/objects.h"

#include "objects/array/array_type.h"
#include "objects/behaviour/behaviour_type.h"
#include "objects/box/box.h"
#include "objects/core/opaque.h"
#include "objects/dict/dict.h"
#include "objects/file/file_type.h"
#include "objects/frozen/frozen.h"
#include "objects/list/list_type.h"
#include "objects/sync/sync_type.h"
#include "runtime/import.h"

int
ot_objects_add(PyObject *module, ot_objects_t *home)
{
    if (ot_handles_init(module, home) < 0) {
        return -1;
    }
    ot_shared_set_closer(ot_close_waiting);
    ot_channel_set_heir(ot_tree_inherit);
    return ot_import_into("objtunnel._errors", "LockAbandonedError", &home->lock_abandoned) < 0 ||
                   ot_array_type_add(home) < 0 || ot_lock_types_add(home) < 0 ||
                   ot_semaphore_types_add(home) < 0 || ot_barrier_type_add(home) < 0 ||
                   ot_global_lock_type_add(home) < 0 || ot_box_type_add(home) < 0 ||
                   ot_frozen_types_add(home) < 0 || ot_ldict_type_add(home) < 0 ||
                   ot_file_type_add(home) < 0 || ot_list_type_add(home) < 0 ||
                   ot_running_types_add(home) < 0 || ot_behaviour_functions_add(home) < 0 ||
                   ot_opaque_watch(home) < 0 || ot_live_objects_add(home) < 0
               ? -1
               : 0;
}

int
ot_objects_traverse(ot_objects_t *home, visitproc visit, void *arg)
{
    for (size_t i = 0; i < home->n; i++) {
        Py_VISIT(home->types[i].type);
    }
    Py_VISIT(home->lock_abandoned);
    Py_VISIT(home->checkout);
    Py_VISIT(home->held);
    Py_VISIT(home->running);
    Py_VISIT(home->code);
    Py_VISIT(home->scheduler);
    Py_VISIT(home->live_object);
    int rc = ot_code_caches_traverse(home, visit, arg);
    return rc != 0 ? rc : ot_frozen_types_traverse(home->frozen, visit, arg);
}

void
ot_objects_clear(ot_objects_t *home)
{
    while (home->n > 0) {
        Py_CLEAR(home->types[--home->n].type);
    }
    Py_CLEAR(home->lock_abandoned);
    Py_CLEAR(home->checkout);
    Py_CLEAR(home->held);
    Py_CLEAR(home->running);
    Py_CLEAR(home->code);
    Py_CLEAR(home->scheduler);
    ot_code_caches_free(home);
    Py_CLEAR(home->live_object);
    ot_handles_end(home);
    ot_frozen_types_free(home->frozen);
    home->frozen = NULL;
}
