/* variant.h: a test extension with objtunnel.h, or (OT_TEST_ALONE) with objtunnel_global.h. */
#ifndef OT_TESTS_VARIANT_H
#define OT_TESTS_VARIANT_H

#ifdef OT_TEST_ALONE
#include "objtunnel_global.h"
#else
#include "objtunnel.h"
#endif

#define OT_TEST_PASTE_(a, b) a##b
#define OT_TEST_PASTE(a, b) OT_TEST_PASTE_(a, b)
#define OT_TEST_TEXT_(a) #a
#define OT_TEST_TEXT(a) OT_TEST_TEXT_(a)

/* PyInit_ of a module that is built as NAME and, header-only, as NAME_alone. */
#ifdef OT_TEST_ALONE
#define OT_TEST_MODULE(name) OT_TEST_PASTE(PyInit_, name##_alone)
#else
#define OT_TEST_MODULE(name) OT_TEST_PASTE(PyInit_, name)
#endif

#endif
