/* bigblock.h: blocks too big for mimalloc's arenas, and those that grow, from an address range of their own.
 *
 * mimalloc 3 serves no block of 256 MiB or more from a range that it was given, and we must not
 * let it take memory from elsewhere: an object's home is told by its address. Such blocks are few
 * and each is worth a system call: first fit over reserved addresses, pages committed on demand.
 *
 * A list or a buffer that grows asks realloc for a little more each time. mimalloc copies it to another place then, and
 * the old one stays resident for some milliseconds. So from some size on a block that grows is kept here, with free
 * addresses behind it, and grows where it is.
 *
 * Threading: any thread, no GIL needed; one lock, held across mmap and mprotect.
 */
#ifndef OT_RUNTIME_BIGBLOCK_H
#define OT_RUNTIME_BIGBLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define OT_BIG_BLOCK ((size_t)128 << 20) /* from here on a block is big */
/* from here on realloc keeps a block here, to let it grow */
#define OT_GROWING_BLOCK ((size_t)256 << 10)

/* Takes over [base, base + span), reserved and inaccessible. Once, before any other call. */
void ot_big_init(uintptr_t base, size_t span);

bool ot_big_owns(const void *block);

/* Zeroed, page-aligned; NULL if there is no room or memory. */
void *ot_big_alloc(size_t size);

/* A block as ot_big_alloc makes it, which can grow: the addresses behind it are kept free, so that resizing seldom fails. NULL also if
 * there are many such blocks already, or if the range is small: then growing is not worth the addresses. */
void *ot_big_alloc_to_grow(size_t size);

void ot_big_free(void *block);

/* What the block has room for. */
size_t ot_big_size(const void *block);

/* Grows or shrinks the block where it is; false if that cannot be, and nothing has changed. */
bool ot_big_resize(void *block, size_t size);

/* Aborts if the blocks overlap, are out of order or lie elsewhere. Every operation ends with it where
 * OT_CHECKS is on. */
void ot_big_check(void);

#endif
