/* grow.h: making room in an array, whichever allocator it comes from. No Python. */
#ifndef OT_RUNTIME_GROW_H
#define OT_RUNTIME_GROW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A realloc: the C library's, or one of Python's. */
typedef void *(*ot_resize_fn)(void *block, size_t size);

/* Gives the array at *items, which has room for *cap elements of `size` bytes, room for `wanted` at least: by half
 * more than it had, so that n elements that come one by one are copied a constant number of times each. False without
 * memory, and then nothing has changed. */
static inline bool
ot_grow(void *items, size_t *cap, size_t wanted, size_t size, ot_resize_fn resize)
{
    enum { AT_FIRST = 8 };
    if (wanted <= *cap) {
        return true;
    }
    size_t most = PTRDIFF_MAX / size, room = *cap + *cap / 2;
    room = room < AT_FIRST ? AT_FIRST : room;
    room = room < wanted || room > most ? wanted : room;
    void *grown = room > most ? NULL : resize(*(void **)items, room * size);
    if (grown == NULL) {
        return false;
    }
    *(void **)items = grown;
    *cap = room;
    return true;
}

#endif
