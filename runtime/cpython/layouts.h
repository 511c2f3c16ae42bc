/* layouts.h: does the running CPython lay its private structs out as the headers that this was compiled with?
 *
 * A minor version keeps them most of the time, not always (3.14's collector changed). A build for one micro version
 * runs in another one if each field that this folder reads or writes is found where it was compiled to be.
 *
 * Threading: the GIL of the importing interpreter.
 */
#ifndef OT_RUNTIME_CPYTHON_LAYOUTS_H
#define OT_RUNTIME_CPYTHON_LAYOUTS_H

#include "runtime/cpython/version.h"

/* How many fields there are, and what they are called. */
int ot_layouts_count(void);
const char *ot_layouts_name(int field);

/* Looks at each of them: CPython says itself where some lie (its offsets for debuggers), others are found by the
 * values of objects that are made for it. Objects die again; the collector's lists, a watcher and an asynchronous
 * exception are put back.
 * false_field: moved by `by` bytes first, to see that it is noticed; -1 for none.
 * Returns the number of the first field that does not lie where it should, -1 if all do, -2 with an exception set.
 * Runs: e. */
int ot_layouts_prove(int false_field, int by);

/* Returns -1 with ImportError set if this cannot run in the running CPython: it is of another minor version, or of
 * another micro version with other layouts, or one of the two is a debug build, where private structs have more in
 * them. Runs: e. */
int ot_py_check_version(void);

#endif
