/* patterns.h: who uses which object, and where the objects lie.
 *
 * Purpose: the table of patterns, and for each of them the layout of its objects in memory.
 * Main invariant: a layout puts on one cache line only what its pattern wants there.
 * Threading: constants and pure functions.
 */
#ifndef OT_BENCH_PATTERNS_H
#define OT_BENCH_PATTERNS_H

#include <stdbool.h>
#include <stddef.h>

#include "benchmarks/refcount/subject.h"

typedef enum {
    BENCH_PRIVATE,
    BENCH_SHARED,
    BENCH_FALSE_SHARING,
    BENCH_READ_MOSTLY,
    BENCH_PING_PONG,
    BENCH_MIX,
    BENCH_STREAM,
} bench_pattern_kind_t;

typedef struct {
    const char *name, *text;
    const char *op; /* "pair", "read"; of locks always "lock+unlock" */
    bench_pattern_kind_t kind;
    bench_loop_t loop;
    bool locks;  /* locks do this too */
    int percent; /* mixes: of the pairs that are on the shared object */
} bench_pattern_t;

extern const bench_pattern_t bench_patterns[];
extern const int bench_pattern_count;

/* In bytes from the start of the memory for objects. */
typedef struct {
    size_t bytes;                       /* in all */
    size_t shared_count, shared_stride; /* from 0 on; worker 0 makes them */
    size_t payload_at;                  /* read_mostly */
    size_t own_at, own_stride;          /* one for each worker, who makes it; stride 0: none */
} bench_layout_t;

/* `size`: how many objects a stream has; otherwise ignored. */
bench_layout_t bench_layout(const bench_pattern_t *pattern, const bench_subject_t *subject,
                            size_t size, int threads);

/* Whether the pattern is for this subject, and for so many threads. */
bool bench_runs(const bench_pattern_t *pattern, const bench_subject_t *subject);
bool bench_runs_with(const bench_pattern_t *pattern, int threads);

/* Whether counts get lost: a one-thread subject that several threads write at once. */
bool bench_is_wrong(const bench_pattern_t *pattern, const bench_subject_t *subject, int threads);

/* The worker's loop. */
bench_loop_fn bench_loop_of(const bench_pattern_t *pattern, const bench_subject_t *subject,
                            int index);

/* What a reader of the figures should know about the case; empty if nothing. */
void bench_note(const bench_pattern_t *pattern, const bench_subject_t *subject, int threads,
                int cpus, char *note, size_t size);

#endif
