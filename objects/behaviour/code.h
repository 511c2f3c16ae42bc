/* code.h: what a worker makes a behaviour's function of, kept once for all behaviours that run it.
 *
 * Purpose: _core._Code, a number and a description of a code object (objtunnel._behaviours says what is in it). Who
 * schedules keeps one for each code object that it has seen lately; behaviours that have not run yet keep it, too.
 * Invariant: a number is never used twice in a process. The description is constant.
 * Threading: any thread. Shared rules: an attached thread state where a PyObject is an argument or result.
 */
#ifndef OT_OBJECTS_CODE_H
#define OT_OBJECTS_CODE_H

#include "objects/core/value.h"

typedef struct {
    ot_ref_t ref;
    uint64_t number;  /* 1, 2, ... */
    ot_value_t *what; /* owned */
} ot_code_t;

/* Refs: a new one, and one less (NULL is fine). Runs: e, with the last. */
ot_code_t *ot_code_ref(ot_code_t *code);
void ot_code_unref(ot_code_t *code);

/* What a _Code stands for, borrowed; NULL: o is none. */
ot_code_t *ot_code_of(const ot_objects_t *home, PyObject *o);

/* How many there are in the process. */
size_t ot_code_count(void);

/* Adds the type. 0, or -1 with an exception set. */
int ot_code_type_add(ot_objects_t *home);

#endif
