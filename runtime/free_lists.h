/* free_lists.h: CPython's free lists of blocks from before the heap.
 *
 * An interpreter keeps blocks of dead lists, dicts, floats and tuples for the next ones. Those that lay there when the
 * heap was installed are not ours, so the next objects that a program makes would count as copied.
 */
#ifndef OT_RUNTIME_FREE_LISTS_H
#define OT_RUNTIME_FREE_LISTS_H

#include "runtime/cpython/version.h"

/* Takes the blocks that are not the heap's out of this interpreter's free lists: makes objects until one lies in the
 * heap, and appends them to the list `old`, which keeps them for as long as it lives. 0, or -1 with MemoryError.
 * Needs: the GIL. Runs no Python code. */
int ot_take_old_free_lists(PyObject *old);

#endif
