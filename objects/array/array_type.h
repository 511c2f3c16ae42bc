/* array_type.h: adds SharedArray to an interpreter's handle types. */
#ifndef OT_OBJECTS_ARRAY_TYPE_H
#define OT_OBJECTS_ARRAY_TYPE_H

#include "objects/core/handle.h"

/* 0, or -1 with an exception set. */
int ot_array_type_add(ot_objects_t *home);

#endif
