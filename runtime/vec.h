/* vec.h: a growable array of one element type. Its memory is from Python's raw allocator, which is the process's: it
 * may be filled under one GIL and freed under another, or under none. */
#ifndef OT_RUNTIME_VEC_H
#define OT_RUNTIME_VEC_H

#include "runtime/cpython/version.h"
#include "runtime/grow.h"

/* Invariant: len <= cap; items is NULL iff cap == 0. Zero-initialised is empty. */
#define OT_VEC(type)                                                                               \
    struct {                                                                                       \
        type *items;                                                                               \
        size_t len, cap;                                                                           \
    }

/* Makes room for n more elements, so that pushing them cannot fail. 0, or -1 without an exception. */
static inline int
ot_vec_reserve_raw(void *items, size_t len, size_t *cap, size_t n, size_t size)
{
    if (*cap - len >= n) {
        return 0;
    }
    void *grown = PyMem_RawRealloc(*(void **)items, (len + n) * size);
    if (grown == NULL) {
        return -1;
    }
    *(void **)items = grown;
    *cap = len + n;
    return 0;
}

#define ot_vec_reserve(v, n)                                                                       \
    ot_vec_reserve_raw(&(v)->items, (v)->len, &(v)->cap, (n), sizeof *(v)->items)

#define ot_vec_push(v, value)                                                                      \
    (!ot_grow(&(v)->items, &(v)->cap, (v)->len + 1, sizeof *(v)->items, PyMem_RawRealloc)          \
         ? -1                                                                                      \
         : ((v)->items[(v)->len++] = (value), 0))

#define ot_vec_free(v) (PyMem_RawFree((v)->items), (v)->items = NULL, (v)->len = 0, (v)->cap = 0)

#endif
