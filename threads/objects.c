/* objects.c: the list of the shared types of free-threaded builds; objects/objects.c is that of the others.
 *
 * Threading: the import.
 */
#include "objects/objects.h"

#include "objects/array/array_type.h"
#include "objects/box/box.h"
#include "objects/dict/dict.h"
#include "objects/file/file_type.h"
#include "objects/list/list_type.h"
#include "objects/sync/sync_type.h"
#include "runtime/import.h"

/* lock_type.c abandons boxes with their interpreter. There are none here. */
const ot_shared_kind_t ot_box_kind = {.name = "Box"};

void
ot_cowns_abandon(const ot_shared_kind_t *kind, int64_t interp)
{
    (void)kind;
    (void)interp;
}

int
ot_objects_add(PyObject *module, ot_objects_t *home)
{
    if (ot_handles_init(module, home) < 0) {
        return -1;
    }
    ot_shared_set_closer(ot_close_waiting);
    ot_channel_set_heir(ot_tree_inherit);
    return ot_import_into("objtunnel._errors", "LockAbandonedError", &home->lock_abandoned) < 0 ||
                   ot_lock_types_add(home) < 0 || ot_semaphore_types_add(home) < 0 ||
                   ot_barrier_type_add(home) < 0 || ot_global_lock_type_add(home) < 0 ||
                   ot_array_type_add(home) < 0 || ot_ldict_type_add(home) < 0 ||
                   ot_file_type_add(home) < 0 || ot_list_type_add(home) < 0 ||
                   ot_live_objects_add(home) < 0
               ? -1
               : 0;
}

int
ot_objects_traverse(ot_objects_t *home, visitproc visit, void *arg)
{
    return ot_handles_traverse(home, visit, arg);
}

void
ot_objects_clear(ot_objects_t *home)
{
    ot_handles_end(home);
}
