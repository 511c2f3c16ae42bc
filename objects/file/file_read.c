/* file_read.c: see file.h. What is read, and where.
 *
 * Main invariant: bytes leave `in` only when a whole read or line is there: one that was interrupted has
 * taken nothing.
 */
#include "objects/file/file_parts.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

enum { READ_AHEAD = 1 << 16 };

/* ---- reading --------------------------------------------------------------------------------- */

/* What is to be written is written first. */
static int
begin_locked(ot_file_t *file, const ot_patience_t *patience)
{
    if (!file->how.writable) {
        return OT_FILE_OK;
    }
    int rc = ot_file_put_own_line_locked(file, patience);
    return rc == OT_FILE_OK ? ot_file_drain_locked(file, patience) : rc;
}

/* One read(2) of at least `wanted` bytes, if there are so many. *got: 0 at the end of the file. */
static int
read_more_locked(ot_file_t *file, size_t wanted, const ot_patience_t *patience, size_t *got)
{
    ot_bytes_t *in = &file->in;
    size_t room = wanted > READ_AHEAD || file->how.limit == 0 ? wanted : READ_AHEAD;
    if (in->at == in->len) {
        in->at = in->len = 0;
    }
    if (!ot_bytes_reserve(in, room)) {
        return ENOMEM;
    }
    int rc = ot_file_ready(file, POLLIN, patience);
    while (rc == OT_FILE_OK) {
        ssize_t n = read(file->how.fd, in->data + in->len, room);
        if (n >= 0) {
            in->len += (size_t)n;
            *got = (size_t)n;
            return OT_FILE_OK;
        }
        rc = ot_file_await(file, errno, POLLIN, patience);
    }
    return rc;
}

/* Moves the first n of what was read ahead, which are there. */
static int
take_locked(ot_file_t *file, size_t n, ot_bytes_t *out)
{
    ot_bytes_t *in = &file->in;
    if (!ot_bytes_reserve(out, n)) {
        return ENOMEM;
    }
    if (n > 0) {
        memcpy(out->data, in->data + in->at, n);
    }
    out->len = n;
    in->at += n; /* the bytes stay for ot_file_unread */
    return OT_FILE_OK;
}

static int
read_locked(ot_file_t *file, ssize_t n, bool at_once, const ot_patience_t *patience,
            ot_bytes_t *out)
{
    ot_bytes_t *in = &file->in;
    size_t wanted = n < 0 ? SIZE_MAX : (size_t)n, got = 1;
    while (in->len - in->at < wanted && got > 0 && !(at_once && in->len > in->at)) {
        /* Each step reads as much as was read so far: the file may be much shorter than n. */
        size_t there = in->len - in->at, step = there + READ_AHEAD;
        step = wanted - there < step ? wanted - there : step;
        int rc = read_more_locked(file, step, patience, &got);
        if (rc != OT_FILE_OK) {
            return rc;
        }
    }
    if (n < 0 && !at_once) {
        *out = *in;
        *in = (ot_bytes_t){0};
        return OT_FILE_OK;
    }
    size_t there = in->len - in->at;
    return take_locked(file, there < wanted ? there : wanted, out);
}

int
ot_file_read(ot_file_t *file, ot_file_caller_t by, ssize_t n, bool at_once, ot_bytes_t *out)
{
    int rc = ot_file_enter(file, by);
    if (rc != OT_FILE_OK) {
        return rc;
    }
    rc = begin_locked(file, by.patience);
    if (rc == OT_FILE_OK) {
        rc = read_locked(file, n, at_once, by.patience, out);
    }
    return ot_file_leave(file, rc);
}

void
ot_file_unread(ot_file_t *file, size_t n)
{
    file->in.at -= n < file->in.at ? n : file->in.at;
}

/* ---- lines ----------------------------------------------------------------------------------- */

/* How long the line at the start of data is, with its end; 0: no end within n bytes. `seen` bytes were
 * looked at before. more: bytes may follow, so that a last \r decides nothing. */
static size_t
line_length(ot_newline_t ends, const char *data, size_t n, size_t seen, bool more)
{
    const char *end;
    if (ends == OT_NEWLINE_LF || ends == OT_NEWLINE_CR) {
        end = memchr(data + seen, ends == OT_NEWLINE_LF ? '\n' : '\r', n - seen);
        return end == NULL ? 0 : (size_t)(end - data) + 1;
    }
    if (ends == OT_NEWLINE_CRLF) {
        size_t from = seen > 0 ? seen - 1 : 0;
        end = memmem(data + from, n - from, "\r\n", 2);
        return end == NULL ? 0 : (size_t)(end - data) + 2;
    }
    for (size_t i = seen; i < n; i++) {
        if (data[i] == '\n') {
            return i + 1;
        }
        if (data[i] == '\r') {
            if (i + 1 == n) {
                return more ? 0 : n;
            }
            return i + (data[i + 1] == '\n' ? 2 : 1);
        }
    }
    return 0;
}

static int
readline_locked(ot_file_t *file, ssize_t limit, const ot_patience_t *patience, ot_bytes_t *out)
{
    ot_bytes_t *in = &file->in;
    size_t most = limit < 0 ? SIZE_MAX : (size_t)limit, seen = 0, got = 1;
    for (;;) {
        size_t there = in->len - in->at;
        size_t n = there == 0 ? 0
                              : line_length(file->how.ends, in->data + in->at, there, seen,
                                            got > 0 && there < most);
        if (n == 0 && there < most && got > 0) {
            seen = there > 0 ? there - 1 : 0; /* a last \r is to be looked at again */
            int rc = read_more_locked(file, 1, patience, &got);
            if (rc != OT_FILE_OK) {
                return rc;
            }
            continue;
        }
        n = n == 0 ? there : n;
        return take_locked(file, n < most ? n : most, out);
    }
}

int
ot_file_readline(ot_file_t *file, ot_file_caller_t by, ssize_t n, ot_bytes_t *out)
{
    int rc = ot_file_enter(file, by);
    if (rc != OT_FILE_OK) {
        return rc;
    }
    rc = begin_locked(file, by.patience);
    if (rc == OT_FILE_OK) {
        rc = readline_locked(file, n, by.patience, out);
    }
    return ot_file_leave(file, rc);
}

int
ot_file_readline_quick(ot_file_t *file, int64_t interp, ot_bytes_t *out)
{
    ot_patience_t none = {.deadline = OT_DONT_WAIT};
    int rc = ot_file_enter(file, (ot_file_caller_t){interp, &none});
    if (rc != OT_FILE_OK) {
        return rc;
    }
    const ot_bytes_t *in = &file->in;
    /* With something read ahead there is nothing to be written, but for held lines and pipes. */
    bool ready = in->at < in->len && file->held == NULL && file->out.at == file->out.len;
    size_t n =
        ready ? line_length(file->how.ends, in->data + in->at, in->len - in->at, 0, true) : 0;
    return ot_file_leave(file, n > 0 ? take_locked(file, n, out) : EAGAIN);
}

/* ---- the position ---------------------------------------------------------------------------- */

static int
seek_locked(ot_file_t *file, int whence, int64_t *at, const ot_patience_t *patience)
{
    int rc = begin_locked(file, patience);
    if (rc == OT_FILE_OK && whence == SEEK_CUR && *at == 0) {
        /* Only asked for: what was read ahead can stay. */
        off_t now = lseek(file->how.fd, 0, SEEK_CUR);
        *at = now - (off_t)(file->in.len - file->in.at);
        return now < 0 ? errno : OT_FILE_OK;
    }
    if (rc == OT_FILE_OK) {
        rc = ot_file_forget_ahead_locked(file);
    }
    if (rc != OT_FILE_OK) {
        return rc;
    }
    off_t now = lseek(file->how.fd, *at, whence);
    *at = now;
    return now < 0 ? errno : OT_FILE_OK;
}

int
ot_file_seek(ot_file_t *file, ot_file_caller_t by, int whence, int64_t *at)
{
    int rc = ot_file_enter(file, by);
    return rc != OT_FILE_OK ? rc : ot_file_leave(file, seek_locked(file, whence, at, by.patience));
}

static int
truncate_locked(ot_file_t *file, int64_t *size, const ot_patience_t *patience)
{
    int64_t here = 0;
    int rc = seek_locked(file, SEEK_CUR, &here, patience);
    if (rc == OT_FILE_OK) {
        rc = ot_file_forget_ahead_locked(file);
    }
    *size = *size < 0 ? here : *size;
    while (rc == OT_FILE_OK && ftruncate(file->how.fd, *size) < 0) {
        if (errno != EINTR) {
            return errno;
        }
        rc = ot_file_await(file, EINTR, 0, patience);
    }
    return rc;
}

int
ot_file_truncate(ot_file_t *file, ot_file_caller_t by, int64_t *size)
{
    int rc = ot_file_enter(file, by);
    return rc != OT_FILE_OK ? rc : ot_file_leave(file, truncate_locked(file, size, by.patience));
}

/* ---- at an offset ---------------------------------------------------------------------------- */

static int
read_at_locked(ot_file_t *file, int64_t offset, size_t n, const ot_patience_t *patience,
               ot_bytes_t *out)
{
    int rc = begin_locked(file, patience);
    /* The file may be shorter than n says, by far: what is not there needs no room. */
    while (rc == OT_FILE_OK && out->len < n) {
        size_t step = n - out->len < out->len + READ_AHEAD ? n - out->len : out->len + READ_AHEAD;
        if (!ot_bytes_reserve(out, step)) {
            return ENOMEM;
        }
        ssize_t got = pread(file->how.fd, out->data + out->len, step, offset + (off_t)out->len);
        if (got == 0) {
            return OT_FILE_OK;
        }
        if (got > 0) {
            out->len += (size_t)got;
        } else {
            rc = ot_file_await(file, errno, POLLIN, patience);
        }
    }
    return rc;
}

int
ot_file_read_at(ot_file_t *file, ot_file_caller_t by, int64_t offset, size_t n, ot_bytes_t *out)
{
    int rc = ot_file_enter(file, by);
    return rc != OT_FILE_OK
               ? rc
               : ot_file_leave(file, read_at_locked(file, offset, n, by.patience, out));
}

static int
write_at_locked(ot_file_t *file, int64_t offset, const char *data, size_t n,
                const ot_patience_t *patience)
{
    int rc = begin_locked(file, patience);
    if (rc == OT_FILE_OK) {
        rc = ot_file_forget_ahead_locked(file); /* it may be what is overwritten */
    }
    for (size_t done = 0; rc == OT_FILE_OK && done < n;) {
        ssize_t put = pwrite(file->how.fd, data + done, n - done, offset + (off_t)done);
        if (put >= 0) {
            done += (size_t)put;
        } else {
            rc = ot_file_await(file, errno, POLLOUT, patience);
        }
    }
    return rc;
}

int
ot_file_write_at(ot_file_t *file, ot_file_caller_t by, int64_t offset, const char *data, size_t n)
{
    int rc = ot_file_enter(file, by);
    return rc != OT_FILE_OK
               ? rc
               : ot_file_leave(file, write_at_locked(file, offset, data, n, by.patience));
}
