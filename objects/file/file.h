/* file.h: one open file for all interpreters, without Python.
 *
 * Purpose: a file descriptor with its buffers, and a lock around them that users may hold, too: a
 * record (what one call writes) is in the file in one piece, whoever else writes.
 * Invariant: the buffer of what is to be written holds whole records; only after an error or an
 * interrupt may its first be the rest of one. Records leave it in the order of the calls.
 * Threading: any thread. Each function takes the file's lock, which is recursive, and may block in the
 * kernel while it has it: hold no GIL. No Python.
 *
 * Held lines: text that does not end a line can be held for the thread that wrote it until it is
 * complete, so that print(), which writes piece by piece, comes out whole. A thread's line goes out
 * before anything else that the thread does with the file, at the latest when the file is closed.
 *
 * Shared rules: every function returns OT_FILE_OK, an errno (> 0), or one of the others. `patience`
 * says when to give up. What was interrupted has lost nothing: what had been read is still to be read,
 * what had begun to be written is completed by the next flush.
 */
#ifndef OT_OBJECTS_FILE_H
#define OT_OBJECTS_FILE_H

#include <sys/types.h>

#include "objects/sync/sync.h"

enum {
    OT_FILE_ABANDONED = -4,   /* who held the lock is gone */
    OT_FILE_REENTRANT = -3,   /* a signal handler, in the middle of this thread's own operation */
    OT_FILE_CLOSED = -2,      /* closed by anybody */
    OT_FILE_INTERRUPTED = -1, /* patience gave up */
    OT_FILE_OK = 0,
};

typedef enum {
    OT_NEWLINE_UNIVERSAL, /* lines end at \n, \r or \r\n */
    OT_NEWLINE_LF,
    OT_NEWLINE_CR,
    OT_NEWLINE_CRLF,
} ot_newline_t;

/* Bytes data[at..len) are there. Invariant: at <= len <= cap; data is malloc's. */
typedef struct {
    char *data;
    size_t at, len, cap;
} ot_bytes_t;

/* How it was opened; never changes. The strings are owned by the file. */
typedef struct {
    int fd;
    bool readable, writable, appending, seekable, closefd, by_fd, text, line_buffered;
    bool may_block, is_pipe; /* the descriptor: no regular file; a pipe */
    bool keep_ends;          /* text: newlines are not translated when reading */
    bool ascii_as_is;        /* text: ASCII is encoded as it is */
    bool crlf, cr;           /* text: what \n is translated to when writing */
    ot_newline_t ends;       /* of lines that are read */
    size_t limit;            /* of the buffer; 0: none */
    char *name, *mode, *encoding, *errors;
} ot_file_how_t;

typedef struct {
    ot_shared_t head;
    ot_file_how_t how;
    ot_lock_t *lock; /* a reference, never changes; guards the rest */
    atomic_bool closed;
    bool busy; /* an operation is under way */
    ot_bytes_t in, out;
    struct ot_held_line *held;
} ot_file_t;

/* Aborts if the buffers or the held lines are not as they are between two operations. Every operation
 * ends with it where OT_CHECKS is on. */
void ot_file_check_locked(const ot_file_t *file);

extern const ot_shared_kind_t ot_file_kind;

/* Takes over fd (if closefd) and the strings, which are malloc's. NULL without memory: nothing was
 * taken over. */
ot_file_t *ot_file_new(const ot_file_how_t *how);

/* Holds the lock over several operations, until it is released. */
int ot_file_lock(ot_file_t *file, int64_t interp, const ot_patience_t *patience);
void ot_file_unlock(ot_file_t *file);

typedef struct {
    int64_t interp;
    const ot_patience_t *patience;
} ot_file_caller_t;

/* Writes one record. hold: keep it as (a part of) the thread's line, unless the thread holds the lock. On
 * errors: nothing was written or, if some had gone out already, the rest follows. */
int ot_file_write(ot_file_t *file, ot_file_caller_t by, const char *data, size_t n, bool hold);

/* ot_file_write if it can be done without waiting and without the kernel; else EAGAIN, and nothing was done. Blocks
 * for no time worth mentioning: a GIL may be held. */
int ot_file_write_quick(ot_file_t *file, int64_t interp, const char *data, size_t n, bool hold);

/* Writes the thread's held line and what is in the buffer; not other threads' lines. */
int ot_file_flush(ot_file_t *file, ot_file_caller_t by);

/* Writes all that there is, then closes the descriptor: also if not all could be written, but not if
 * interrupted. */
int ot_file_close(ot_file_t *file, ot_file_caller_t by);

/* Reads up to n bytes, less at the end of the file only; n < 0: all. `out` must be empty, is the caller's
 * to free. at_once: what is there, by at most one read(2). */
int ot_file_read(ot_file_t *file, ot_file_caller_t by, ssize_t n, bool at_once, ot_bytes_t *out);

/* Reads a line with its end; of at most n bytes unless n < 0. Empty at the end of the file. */
int ot_file_readline(ot_file_t *file, ot_file_caller_t by, ssize_t n, ot_bytes_t *out);

/* ot_file_readline of a whole line if it can be done without waiting and without the kernel; else EAGAIN, and nothing
 * was done. A GIL may be held. */
int ot_file_readline_quick(ot_file_t *file, int64_t interp, ot_bytes_t *out);

/* Gives the last n bytes that were read back. The caller has held the lock since. */
void ot_file_unread(ot_file_t *file, size_t n);

/* Moves the position as lseek does. *at: the offset; afterwards, the new position. */
int ot_file_seek(ot_file_t *file, ot_file_caller_t by, int whence, int64_t *at);

/* Cuts or extends the file to *size bytes; negative: to the position. *size: the file's size afterwards. */
int ot_file_truncate(ot_file_t *file, ot_file_caller_t by, int64_t *size);

/* Reads n bytes at an offset, less at the end of the file only, without moving the position. */
int ot_file_read_at(ot_file_t *file, ot_file_caller_t by, int64_t offset, size_t n,
                    ot_bytes_t *out);
int ot_file_write_at(ot_file_t *file, ot_file_caller_t by, int64_t offset, const char *data,
                     size_t n);

/* Makes room for n more bytes. False without memory. */
bool ot_bytes_reserve(ot_bytes_t *bytes, size_t n);
void ot_bytes_free(ot_bytes_t *bytes);

#endif
