/* histogram.h: who is counted: the table of the variants that record (OT_LAB_RECORDS).
 *
 * Purpose: part of libpython; Objects/object.c includes it once. lab/histogram.py switches it on
 * around a workload and reads it by ctypes. An immortal object has a row of its own; mortal ones come
 * and go at the same addresses, so they have a row for each type.
 *
 * Main invariant: a row with a `who` has the counts of that one, and the rows of a table together with
 * `lost` have all counts since ot_lab_histogram_begin.
 *
 * Threading: for one interpreter with one thread; off, and harmless, in all others.
 */
#ifndef OT_HISTOGRAM_H
#define OT_HISTOGRAM_H

#include <string.h>

#define OT_LAB_LINE 64
#define OT_LAB_ROWS 16384 /* a power of two; a workload has some hundreds */

typedef struct {
    const void *who; /* an immortal object, or a type; NULL: a free row */
    long up, down;
    long turns; /* of an immortal object: the count before was on another cache line */
} ot_lab_row_t;

typedef struct {
    long on;
    long lost;      /* counts that found no row */
    uintptr_t line; /* of the last immortal object that was counted */
    ot_lab_row_t immortal[OT_LAB_ROWS], mortal[OT_LAB_ROWS];
} ot_lab_histogram_t;

__attribute__((visibility("default"))) ot_lab_histogram_t ot_lab_histogram;
__attribute__((visibility("default"))) void ot_lab_histogram_begin(void);
__attribute__((visibility("default"))) void ot_lab_histogram_end(void);

/* Its row, a free one made its own, or NULL. */
static ot_lab_row_t *
ot_lab_row(ot_lab_row_t *rows, const void *who)
{
    /* Fibonacci hashing: addresses end in zeros */
    size_t at = (size_t)(((uintptr_t)who >> 4) * UINT64_C(0x9E3779B97F4A7C15) >> 50);
    for (size_t i = 0; i < OT_LAB_ROWS; i++, at++) {
        ot_lab_row_t *row = &rows[at % OT_LAB_ROWS];
        if (row->who == NULL) {
            row->who = who;
        }
        if (row->who == who) {
            return row;
        }
    }
    return NULL;
}

void
ot_lab_record(const Py_ssize_t *count, int immortal, long up, long down)
{
    if (!ot_lab_histogram.on) {
        return;
    }
    const PyObject *object = (const PyObject *)count; /* the count is what an object begins with */
    ot_lab_row_t *row = immortal ? ot_lab_row(ot_lab_histogram.immortal, object)
                                 : ot_lab_row(ot_lab_histogram.mortal, object->ob_type);
    if (row == NULL) {
        ot_lab_histogram.lost += up + down;
        return;
    }
    row->up += up;
    row->down += down;
    uintptr_t line = (uintptr_t)count / OT_LAB_LINE;
    if (immortal && line != ot_lab_histogram.line) {
        row->turns++;
        ot_lab_histogram.line = line;
    }
}

void
ot_lab_histogram_begin(void)
{
    memset(&ot_lab_histogram, 0, sizeof ot_lab_histogram);
    ot_lab_histogram.on = 1;
}

void
ot_lab_histogram_end(void)
{
    ot_lab_histogram.on = 0;
}

#endif
