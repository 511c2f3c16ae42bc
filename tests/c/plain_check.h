/* plain_check.h: CHECK of the tests that do without Python, and so without support.h.
 *
 * Threading: CHECK ends the process and is good everywhere (other threads, forked children).
 */
#ifndef OT_TESTS_PLAIN_CHECK_H
#define OT_TESTS_PLAIN_CHECK_H

#include <stdio.h>
#include <stdlib.h>

#define CHECK(condition)                                                                           \
    ((condition)                                                                                   \
         ? (void)0                                                                                 \
         : (void)(fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #condition),        \
                  abort()))

#endif
