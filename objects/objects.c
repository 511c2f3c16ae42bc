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
    int rc = ot_handles_traverse(home, visit, arg);
    rc = rc != 0 ? rc : ot_code_caches_traverse(home, visit, arg);
    return rc != 0 ? rc : ot_frozen_types_traverse(home->frozen, visit, arg);
}

void
ot_objects_clear(ot_objects_t *home)
{
    ot_code_caches_free(home);
    ot_handles_end(home);
    ot_frozen_types_free(home->frozen);
    home->frozen = NULL;
}
