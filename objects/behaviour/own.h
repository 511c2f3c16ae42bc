/* own.h: what a behaviour's function has of its own, beside its code, if that is simple: what its cells and defaults hold.
 *
 * Purpose: a function that closes over numbers, strs and handles is scheduled and made again without building a tree.
 * Everything else goes as work, in Python (objtunnel._behaviours).
 * Invariant: values[0 .. cells) are those of the cells, the rest those of the defaults; NULL: taken out.
 * Threading: one thread at a time. Shared rules: an attached thread state, that of `home`'s interpreter.
 */
#ifndef OT_OBJECTS_OWN_H
#define OT_OBJECTS_OWN_H

#include "objects/core/value.h"

typedef struct {
    size_t cells, defaults;
    ot_value_t *values[];
} ot_own_t;

/* 1: *own says it (NULL: the function has nothing of its own). 0: it is not simple. -1 with MemoryError. */
int ot_own_of(ot_objects_t *home, PyObject *function, ot_own_t **own);

/* NULL is fine. Runs: e. */
void ot_own_free(ot_own_t *own);

/* A function with the code, globals and names of `like`, and with these. The values are taken. */
PyObject *ot_own_make(ot_objects_t *home, ot_own_t *own, PyObject *like);

/* [cells, defaults, None], each cell a list, as work has it. The values are taken. */
PyObject *ot_own_list(ot_objects_t *home, ot_own_t *own);

#endif
