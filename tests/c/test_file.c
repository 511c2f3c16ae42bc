/* test_file.c: the buffers under a SharedFile, byte by byte. No Python. */
#include "support.h"

#include "objects/file/file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

static const ot_patience_t at_once = {.deadline = OT_DONT_WAIT};
static const ot_file_caller_t me = {0, &at_once};

static ot_file_t *
open_file(int fd, size_t limit, ot_newline_t ends)
{
    ot_file_how_t how = {.fd = fd,
                         .readable = true,
                         .writable = true,
                         .closefd = true,
                         .limit = limit,
                         .ends = ends};
    how.seekable = lseek(fd, 0, SEEK_CUR) >= 0;
    how.name = strdup("test_file");
    ot_file_t *file = ot_file_new(&how);
    cr_assert_not_null(file);
    return file;
}

static int
put(ot_file_t *file, const char *text)
{
    return ot_file_write(file, me, text, strlen(text), false);
}

static void
holds(int fd, const char *expected)
{
    char there[100] = {0};
    cr_assert_eq(pread(fd, there, sizeof there - 1, 0), (ssize_t)strlen(expected), "%s", there);
    cr_assert_str_eq(there, expected);
}

static void
next_line_is(ot_file_t *file, const char *expected)
{
    ot_bytes_t line = {0};
    cr_assert_eq(ot_file_readline(file, me, -1, &line), OT_FILE_OK);
    cr_assert_eq(line.len, strlen(expected));
    cr_assert(line.len == 0 || memcmp(line.data, expected, line.len) == 0, "%.*s", (int)line.len,
              line.data);
    ot_bytes_free(&line);
}

/* What fails is not in the buffer any more: who tries again writes it once. */
Test(file, a_record_that_failed_is_not_written_later)
{
    int fd = open("/dev/full", O_WRONLY);
    ot_file_t *file = open_file(fd, 4, OT_NEWLINE_LF);
    cr_assert_eq(put(file, "123456"), ENOSPC);
    ot_file_check_locked(file);
    int memory = memfd_create("test_file", 0);
    cr_assert_eq(dup2(memory, fd), fd); /* somebody has deleted something */
    cr_assert_eq(put(file, "123456"), OT_FILE_OK);
    cr_assert_eq(ot_file_flush(file, me), OT_FILE_OK);
    holds(memory, "123456");
    ot_shared_unref(&file->head);
    close(memory);
}

Test(file, a_write_comes_where_the_last_read_ended)
{
    int fd = memfd_create("test_file", 0);
    ot_file_t *file = open_file(fd, 100, OT_NEWLINE_LF);
    cr_assert_eq(put(file, "one\ntwo\nthree\n"), OT_FILE_OK);
    int64_t at = 0;
    cr_assert_eq(ot_file_seek(file, me, SEEK_SET, &at), OT_FILE_OK);
    next_line_is(file, "one\n");
    cr_assert_eq(put(file, "TWO"), OT_FILE_OK);
    cr_assert_eq(ot_file_flush(file, me), OT_FILE_OK);
    holds(fd, "one\nTWO\nthree\n");
    next_line_is(file, "\n");
    next_line_is(file, "three\n");
    next_line_is(file, "");
    ot_shared_unref(&file->head);
}

Test(file, lines_end_as_universal_newlines_do)
{
    int fd = memfd_create("test_file", 0);
    ot_file_t *file = open_file(fd, 100, OT_NEWLINE_UNIVERSAL);
    cr_assert_eq(put(file, "a\r\nb\rc\nd\r"), OT_FILE_OK);
    int64_t at = 0;
    cr_assert_eq(ot_file_seek(file, me, SEEK_SET, &at), OT_FILE_OK);
    next_line_is(file, "a\r\n");
    next_line_is(file, "b\r");
    next_line_is(file, "c\n");
    next_line_is(file, "d\r");
    next_line_is(file, "");
    ot_shared_unref(&file->head);
}

/* A thread's line goes out as one piece, before what it writes next. */
Test(file, a_line_is_held_until_it_is_complete)
{
    int fd = memfd_create("test_file", 0);
    ot_file_t *file = open_file(fd, 100, OT_NEWLINE_LF);
    cr_assert_eq(ot_file_write(file, me, "begun", 5, true), OT_FILE_OK);
    cr_assert_eq(ot_file_write(file, me, ", going", 7, true), OT_FILE_OK);
    cr_assert_not_null(file->held);
    cr_assert_eq(put(file, " on\n"), OT_FILE_OK);
    cr_assert_null(file->held);
    cr_assert_eq(ot_file_flush(file, me), OT_FILE_OK);
    holds(fd, "begun, going on\n");
    ot_shared_unref(&file->head);
}
