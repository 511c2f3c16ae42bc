/* patterns.c: see patterns.h.
 *
 * Purpose: the table, the layouts, and what is to be said about a case.
 * Main invariant: see patterns.h. All layouts start at a pair of lines.
 * Threading: constants and pure functions; read_payload is a timed loop.
 */
#include "benchmarks/refcount/patterns.h"

#include <stdio.h>
#include <string.h>

#define MIX_TEXT(percent)                                                                          \
    "Every thread has an object of its own, but " percent                                          \
    " of its pairs are on one that all share, at even distances."

const bench_pattern_t bench_patterns[] = {
    {.name = "private",
     .text = "Every thread has an object of its own, on cache lines of its own.",
     .op = "pair",
     .kind = BENCH_PRIVATE,
     .loop = BENCH_LOOP_PAIRS,
     .locks = true},
    {.name = "shared",
     .text = "All threads use one object: Py_None of 2006.",
     .op = "pair",
     .kind = BENCH_SHARED,
     .loop = BENCH_LOOP_PAIRS,
     .locks = true},
    {.name = "false_sharing",
     .text = "Every thread has an object of its own, but they lie side by side, several on a line.",
     .op = "pair",
     .kind = BENCH_FALSE_SHARING,
     .loop = BENCH_LOOP_PAIRS},
    {.name = "read_mostly",
     .text = "Thread 0 only reads what lies on the line beside the count; the others count. All "
             "figures are the reader's.",
     .op = "read",
     .kind = BENCH_READ_MOSTLY,
     .loop = BENCH_LOOP_PAIRS},
    {.name = "ping_pong",
     .text = "Two threads hand one object to and fro: 8 pairs, then it is the other's turn, which "
             "a word on another line says. The wait for the turn is in the figures.",
     .op = "pair",
     .kind = BENCH_PING_PONG,
     .loop = BENCH_LOOP_PING_PONG},
    {.name = "mix_1",
     .text = MIX_TEXT("1 %"),
     .op = "pair",
     .kind = BENCH_MIX,
     .loop = BENCH_LOOP_MIX,
     .percent = 1},
    {.name = "mix_10",
     .text = MIX_TEXT("10 %"),
     .op = "pair",
     .kind = BENCH_MIX,
     .loop = BENCH_LOOP_MIX,
     .percent = 10},
    {.name = "mix_50",
     .text = MIX_TEXT("50 %"),
     .op = "pair",
     .kind = BENCH_MIX,
     .loop = BENCH_LOOP_MIX,
     .percent = 50},
    {.name = "stream_seq",
     .text = "All threads go through one array of objects (count and 8 bytes), one after the "
             "other, each from another start.",
     .op = "pair",
     .kind = BENCH_STREAM,
     .loop = BENCH_LOOP_SEQ},
    {.name = "stream_rand",
     .text = "All threads go through one array of objects (count and 8 bytes) in the same random "
             "order, each from another start.",
     .op = "pair",
     .kind = BENCH_STREAM,
     .loop = BENCH_LOOP_RAND},
    {.name = "private_each",
     .text = "As private, but each pair is timed by itself.",
     .op = "pair",
     .kind = BENCH_PRIVATE,
     .loop = BENCH_LOOP_EACH},
    {.name = "shared_each",
     .text = "As shared, but each pair is timed by itself: how long the unlucky ones wait.",
     .op = "pair",
     .kind = BENCH_SHARED,
     .loop = BENCH_LOOP_EACH},
};

const int bench_pattern_count = (int)(sizeof bench_patterns / sizeof bench_patterns[0]);

static size_t
own_lines(size_t bytes)
{
    return (bytes + OT_CACHE_PAIR - 1) / OT_CACHE_PAIR * OT_CACHE_PAIR;
}

bench_layout_t
bench_layout(const bench_pattern_t *pattern, const bench_subject_t *subject, size_t size,
             int threads)
{
    size_t bytes = subject->object_bytes, lines = own_lines(bytes), n = (size_t)threads;
    switch (pattern->kind) {
    case BENCH_PRIVATE:
        return (bench_layout_t){.bytes = n * lines, .own_stride = lines};
    case BENCH_FALSE_SHARING:
        return (bench_layout_t){.bytes = own_lines(n * bytes), .own_stride = bytes};
    case BENCH_MIX:
        return (bench_layout_t){
            .bytes = (n + 1) * lines, .shared_count = 1, .own_at = lines, .own_stride = lines};
    case BENCH_STREAM:
        return (bench_layout_t){.bytes = size * subject->stream_stride,
                                .shared_count = size,
                                .shared_stride = subject->stream_stride};
    default: {
        size_t payload_at = (bytes + 7) / 8 * 8;
        return (bench_layout_t){
            .bytes = own_lines(payload_at + 8), .shared_count = 1, .payload_at = payload_at};
    }
    }
}

bool
bench_runs(const bench_pattern_t *pattern, const bench_subject_t *subject)
{
    return pattern->locks || !subject->is_lock;
}

bool
bench_runs_with(const bench_pattern_t *pattern, int threads)
{
    return pattern->kind != BENCH_PING_PONG || threads == 2;
}

bool
bench_is_wrong(const bench_pattern_t *pattern, const bench_subject_t *subject, int threads)
{
    int writers = pattern->kind == BENCH_READ_MOSTLY ? threads - 1 : threads;
    bool at_once = pattern->kind == BENCH_SHARED || pattern->kind == BENCH_READ_MOSTLY ||
                   pattern->kind == BENCH_MIX || pattern->kind == BENCH_STREAM;
    return subject->one_thread && at_once && writers > 1;
}

/* The loop of read_mostly's thread 0. */
static uint64_t
read_payload(bench_task_t *task)
{
    const volatile uint64_t *payload = task->payload;
    uint64_t ops = 0;
    do {
        for (int i = 0; i < BENCH_BATCH; i++) {
            (void)*payload;
        }
        ops += BENCH_BATCH;
    } while (!bench_stopped(task));
    return ops;
}

bench_loop_fn
bench_loop_of(const bench_pattern_t *pattern, const bench_subject_t *subject, int index)
{
    bool reads = pattern->kind == BENCH_READ_MOSTLY && index == 0;
    return reads ? read_payload : subject->loop[pattern->loop];
}

/* ---- notes --------------------------------------------------------------------------------- */

static void
say(char *note, size_t size, const char *text)
{
    size_t used = strlen(note);
    snprintf(note + used, size - used, "%s%s", used == 0 ? "" : "; ", text);
}

void
bench_note(const bench_pattern_t *pattern, const bench_subject_t *subject, int threads, int cpus,
           char *note, size_t size)
{
    note[0] = '\0';
    if (bench_is_wrong(pattern, subject, threads)) {
        say(note, size, "loses counts here, as it is not made for several threads");
    }
    if (pattern->kind == BENCH_FALSE_SHARING && subject->bytes >= OT_CACHE_PAIR) {
        char text[80];
        snprintf(text, sizeof text, "an object has %zu bytes: no two share a line", subject->bytes);
        say(note, size, text);
    }
    if (pattern->kind == BENCH_READ_MOSTLY) {
        say(note, size, "ns is per read by thread 0; throughput and scaling are its reads");
        if (subject->bytes >= OT_CACHE_PAIR) {
            say(note, size, "the payload's line holds no count");
        }
    }
    if (pattern->kind == BENCH_PING_PONG) {
        say(note, size, "ns counts both threads' time, so the wait for the turn is in it");
    }
    if (pattern->loop == BENCH_LOOP_EACH) {
        say(note, size, "the clock's own time is in the figures");
    }
    if (threads > cpus) {
        say(note, size, "more threads than CPUs");
    }
}
