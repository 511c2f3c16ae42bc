/* guarded.h: which of the two headers the test extension is built with, see guarded.c. */
#ifndef OT_TESTS_GUARDED_H
#define OT_TESTS_GUARDED_H

#include <Python.h>

#ifdef OT_TEST_ALONE
#include "objtunnel_global.h"
#define GUARDED_INIT PyInit_guarded_alone
#else
#include "objtunnel.h"
#define GUARDED_INIT PyInit_guarded
#endif

__attribute__((visibility("hidden"))) int guarded_leave_elsewhere(ot_global_t *g);

#endif
