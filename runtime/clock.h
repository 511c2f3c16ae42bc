/* clock.h: deadlines on the monotonic clock, in nanoseconds. No Python, any thread. */
#ifndef OT_RUNTIME_CLOCK_H
#define OT_RUNTIME_CLOCK_H

#include <stdint.h>
#include <time.h>

#define OT_FOREVER INT64_MAX
#define OT_DONT_WAIT 0 /* a deadline that has always passed */

static inline int64_t
ot_clock_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

#endif
