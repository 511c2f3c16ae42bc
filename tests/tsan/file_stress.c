// TSAN-SOURCES: runtime/park.c runtime/waitlist.c runtime/awaited.c runtime/shared.c objects/sync/lock.c objects/file/file.c objects/file/file_read.c
/* file_stress.c: a shared file under ThreadSanitizer, without Python.
 *
 * Threads write records into one file, at once, piece by piece and under its lock, and read it at
 * offsets meanwhile; then all of them read its lines.
 * Main invariants: every record is in the file once, whole; every line is read by one thread.
 *
 * environment: THREADS (4), RECORDS (3000)
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "objects/file/file.h"
#include "tests/tsan/stress.h"

enum { MAX_THREADS = 64, LONGEST = 40 };

typedef struct {
    pthread_t thread;
    ot_file_t *file;
    int number;
    long records;
    char *seen; /* of lines[number * records + i]: how often this thread has read it */
    int threads;
} actor_t;

static const ot_patience_t for_ever = {.deadline = OT_FOREVER};

static ot_file_caller_t
caller(void)
{
    return (ot_file_caller_t){0, &for_ever};
}

static int
make_record(char *text, int number, long i)
{
    int n = sprintf(text, "%d %ld ", number, i), fill = (int)((number + i) % LONGEST);
    memset(text + n, 'a' + number % 26, (size_t)fill);
    text[n + fill] = '\n';
    return n + fill + 1;
}

static void
put(ot_file_t *file, const char *text, int n, bool hold)
{
    int rc = ot_file_write_quick(file, 0, text, (size_t)n, hold);
    if (rc == EAGAIN) {
        rc = ot_file_write(file, caller(), text, (size_t)n, hold);
    }
    check(rc == OT_FILE_OK, "write");
}

static void *
write_all(void *arg)
{
    actor_t *me = arg;
    char text[LONGEST + 64];
    for (long i = 0; i < me->records; i++) {
        int n = make_record(text, me->number, i);
        if (i % 3 == 0) {
            put(me->file, text, n, false);
        } else if (i % 3 == 1) { /* as print() does */
            put(me->file, text, n - 3, true);
            put(me->file, text + n - 3, 2, true);
            put(me->file, "\n", 1, false);
        } else {
            check(ot_file_lock(me->file, 0, &for_ever) == OT_FILE_OK, "lock");
            put(me->file, text, 1, true);
            put(me->file, text + 1, n - 1, false);
            ot_file_unlock(me->file);
        }
        ot_bytes_t first = {0};
        if (i % 100 == 99) {
            check(ot_file_read_at(me->file, caller(), 0, 10, &first) == OT_FILE_OK, "read_at");
            check(first.len == 10, "read_at is short");
            ot_bytes_free(&first);
        }
    }
    return NULL;
}

static void *
read_all(void *arg)
{
    actor_t *me = arg;
    for (;;) {
        ot_bytes_t line = {0};
        int rc = ot_file_readline_quick(me->file, 0, &line);
        if (rc == EAGAIN) {
            rc = ot_file_readline(me->file, caller(), -1, &line);
        }
        check(rc == OT_FILE_OK, "readline");
        if (line.len == 0) {
            ot_bytes_free(&line);
            return NULL;
        }
        int number;
        long i;
        char expected[LONGEST + 64];
        check(sscanf(line.data, "%d %ld", &number, &i) == 2, "no record");
        check(number < me->threads && i < me->records, "nobody's record");
        size_t n = (size_t)make_record(expected, number, i);
        check(n == line.len && memcmp(expected, line.data, n) == 0, "a record in pieces");
        me->seen[number * me->records + i]++;
        ot_bytes_free(&line);
    }
}

static void
run(actor_t *actors, int threads, void *(*body)(void *))
{
    for (int t = 0; t < threads; t++) {
        check(pthread_create(&actors[t].thread, NULL, body, &actors[t]) == 0, "no thread");
    }
    for (int t = 0; t < threads; t++) {
        pthread_join(actors[t].thread, NULL);
    }
}

int
main(void)
{
    int threads = getenv("THREADS") == NULL ? 4 : atoi(getenv("THREADS"));
    long records = getenv("RECORDS") == NULL ? 3000 : atol(getenv("RECORDS"));
    check(threads > 0 && threads <= MAX_THREADS, "THREADS is 1 to 64");
    char path[] = "/tmp/file_stress.XXXXXX";
    int fd = mkstemp(path);
    check(fd >= 0, "no file");
    remove(path);
    ot_file_how_t how = {.fd = fd,
                         .readable = true,
                         .writable = true,
                         .seekable = true,
                         .closefd = true,
                         .text = true,
                         .ends = OT_NEWLINE_LF,
                         .limit = 1000,
                         .name = strdup(path)};
    ot_file_t *file = ot_file_new(&how);
    check(file != NULL, "no memory");
    static actor_t actors[MAX_THREADS];
    size_t all = (size_t)threads * (size_t)records;
    for (int t = 0; t < threads; t++) {
        actors[t] = (actor_t){.file = file, .number = t, .records = records, .threads = threads};
        actors[t].seen = calloc(all, 1);
        check(actors[t].seen != NULL, "no memory");
    }
    run(actors, threads, write_all);
    int64_t at = 0;
    check(ot_file_seek(file, caller(), SEEK_SET, &at) == OT_FILE_OK && at == 0, "seek");
    run(actors, threads, read_all);
    for (size_t i = 0; i < all; i++) {
        int times = 0;
        for (int t = 0; t < threads; t++) {
            times += actors[t].seen[i];
        }
        check(times == 1, "a line was not read once");
    }
    for (int t = 0; t < threads; t++) {
        free(actors[t].seen);
    }
    ot_shared_unref(&file->head);
    check(ot_shared_count() == 0, "something is left");
    printf("file_stress: %d threads, %zu records, each whole and read once\n", threads, all);
    return 0;
}
