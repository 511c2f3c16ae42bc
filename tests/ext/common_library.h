/* common_library.h: see common_library.c. */
#ifndef OT_TESTS_COMMON_LIBRARY_H
#define OT_TESTS_COMMON_LIBRARY_H

#pragma GCC visibility push(default)
void common_init(void);
void common_exit(void);
void common_use(void);
int common_live(void);
#pragma GCC visibility pop

#endif
