/* behaviour_type.h: behaviours as Python sees them.
 *
 * Shared rules: each needs an attached thread state, that of `home`'s interpreter.
 */
#ifndef OT_OBJECTS_BEHAVIOUR_TYPE_H
#define OT_OBJECTS_BEHAVIOUR_TYPE_H

#include "objects/behaviour/job.h"

/* A Running: what a worker does. Refs: steals the job; without memory it is dropped. */
PyObject *ot_running_steal(ot_objects_t *home, ot_job_t *job);

/* Each adds its part to the module; 0 or -1 with an exception set. */
int ot_running_types_add(ot_objects_t *home);
int ot_behaviour_functions_add(ot_objects_t *home);
int ot_scheduler_type_add(ot_objects_t *home);

#endif
