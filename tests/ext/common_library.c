/* common_library.c: a C library that two extensions wrap (common.c), and a global that lies in it. */
#include "variant.h"

#include "common_library.h"

#include "library.h"

void
common_init(void)
{
    library_init();
}

void
common_exit(void)
{
    library_exit();
}

void
common_use(void)
{
    library_use();
}

int
common_live(void)
{
    return atomic_load(&library.live);
}

__attribute__((visibility("default"))) ot_global_t common_global = OT_GLOBAL_INIT("common", NULL);
