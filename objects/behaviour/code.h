/* code.h: what a worker makes a behaviour's function of, kept once for all behaviours that run it.
 *
 * Purpose: _core._Code, a number and a description of a code object (objtunnel._behaviours says what is in it). Who
 * schedules keeps one for each code object that it has seen lately; behaviours that have not run yet keep it, too. Beside
 * it two small caches of each interpreter: of the _Codes that functions had lately, and of
 * the functions that were made of _Codes lately.
 * Invariant: a number is never used twice in a process. The description is constant.
 * Threading: any thread; the caches are their interpreter's. Shared rules: an attached thread state where a PyObject or
 * `home` is an argument.
 */
#ifndef OT_OBJECTS_CODE_H
#define OT_OBJECTS_CODE_H

#include "objects/core/value.h"

typedef struct {
    ot_ref_t ref;
    uint64_t number;  /* 1, 2, ... */
    ot_value_t *what; /* owned */
} ot_code_t;

/* Takes a reference, and drops one (NULL is fine). Dropping the last one runs e. */
ot_code_t *ot_code_ref(ot_code_t *code);
void ot_code_unref(ot_code_t *code);

/* What a _Code stands for, borrowed; NULL: o is none. */
ot_code_t *ot_code_of(const ot_objects_t *home, PyObject *o);

/* The code of a function that was asked for lately and whose globals are as they were; borrowed. NULL
 * without an exception: the function has to be described anew. */
ot_code_t *ot_code_recall(const ot_objects_t *home, PyObject *function);

/* The function that was remembered for the code, without cells and defaults; borrowed. NULL without an exception. */
PyObject *ot_code_function(const ot_objects_t *home, const ot_code_t *code);

/* One with the same code, globals and names is remembered. 0, or -1 with MemoryError. */
int ot_code_remember_function(ot_objects_t *home, const ot_code_t *code, PyObject *function);

/* How many there are in the process. */
size_t ot_code_count(void);

/* Adds the type and its functions. 0, or -1 with an exception set. */
int ot_code_type_add(ot_objects_t *home);

int ot_code_caches_traverse(ot_objects_t *home, visitproc visit, void *arg);
void ot_code_caches_free(ot_objects_t *home);

#endif
