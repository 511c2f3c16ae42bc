/* storage.h: memory full of numbers of one type, which all interpreters read and write.
 *
 * Purpose: what a SharedArray is underneath: where the memory comes from, and single elements read
 * and written so that no reader sees half of a write.
 * Invariant: data is 64-byte aligned, holds count elements of the type, and neither moves nor
 * changes its size while the object lives; so pointers into it may be handed out freely.
 * Threading: any thread, no lock. Elements are atomic one by one; whoever wants more than one
 * unchanged at a time needs a lock around them. No Python.
 *
 * Order: a load is an acquire and a store a release, so that what was written before a flag is set
 * is seen after the flag is read; add, exchange and compare_exchange are sequentially consistent.
 */
#ifndef OT_OBJECTS_ARRAY_STORAGE_H
#define OT_OBJECTS_ARRAY_STORAGE_H

#include <stdbool.h>

#include "runtime/shared.h"

typedef __int128 ot_wide_t; /* holds every value of every integer type, and sums of two */

/* One of array.array's number types. */
typedef struct {
    char code[2]; /* also the struct module's, as a string */
    unsigned char size;
    bool is_signed, is_float;
} ot_number_type_t;

/* NULL: no such type. */
const ot_number_type_t *ot_number_type(int code);

typedef struct {
    ot_shared_t head;
    const ot_number_type_t *type;
    char *data;
    size_t count;
    size_t mapped; /* bytes of the mapping; 0: allocated */
    char *file;    /* what it is a mapping of, as it was given; NULL: nobody's */
} ot_numbers_t;

extern const ot_shared_kind_t ot_numbers_kind;

typedef enum {
    OT_NUMBERS_ERRNO = -2,      /* errno says what */
    OT_NUMBERS_WRONG_SIZE = -1, /* the file has another size already */
    OT_NUMBERS_OK = 0,
} ot_numbers_result_t;

/* Zeros. One reference; NULL without memory. */
ot_numbers_t *ot_numbers_new(const ot_number_type_t *type, size_t count);

/* The numbers in a file, in this machine's byte order: created, or grown from nothing, with zeros;
 * a file of another size is left alone. `count` SIZE_MAX: as many as the file has. */
ot_numbers_result_t ot_numbers_open(const ot_number_type_t *type, const char *path, size_t count,
                                    ot_numbers_t **numbers);

/* Waits until what was written so far is on the disk. -1 with errno. Nothing to do without a file. */
int ot_numbers_flush(ot_numbers_t *numbers);

/* ---- one element, of an integer type -------------------------------------------------------- */

bool ot_integer_fits(const ot_number_type_t *type, ot_wide_t value);
ot_wide_t ot_integer_load(const ot_number_type_t *type, const char *at);

/* Functions that write return false, and leave the element as it was, if the value does not fit. */
bool ot_integer_store(const ot_number_type_t *type, char *at, ot_wide_t value);
bool ot_integer_add(const ot_number_type_t *type, char *at, ot_wide_t n, ot_wide_t *before);
bool ot_integer_exchange(const ot_number_type_t *type, char *at, ot_wide_t value,
                         ot_wide_t *before);

/* Returns false as well if the element is not `expected`. */
bool ot_integer_compare_exchange(const ot_number_type_t *type, char *at, ot_wide_t expected,
                                 ot_wide_t value);

/* ---- one element, of a float type ----------------------------------------------------------- */

double ot_float_load(const ot_number_type_t *type, const char *at);
void ot_float_store(const ot_number_type_t *type, char *at, double value);

#endif
