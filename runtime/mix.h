/* mix.h: a hash of a number. No Python. */
#ifndef OT_RUNTIME_MIX_H
#define OT_RUNTIME_MIX_H

#include <stdint.h>

/* Each bit of the result depends on all of x (splitmix64); different numbers have different results. */
static inline uint64_t
ot_mix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

#endif
