/* file.c: see file.h. Life, the lock, and what is written.
 *
 * Main invariant: that of ot_file_t; and: never is there something to be read ahead and something to
 * be written, but where the file cannot seek.
 */
#include "objects/file/file_parts.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/checks.h"
#include "runtime/grow.h"

enum {
    SPARE_ROOM = 1 << 20, /* an empty buffer larger than that is given back */
    LOOK_UP_EVERY = 100,  /* ms */
};

/* Text of one thread that does not end a line yet. */
typedef struct ot_held_line {
    struct ot_held_line *next;
    uint64_t thread;
    ot_bytes_t text;
} held_t;

/* ---- bytes ----------------------------------------------------------------------------------- */

bool
ot_bytes_reserve(ot_bytes_t *bytes, size_t n)
{
    if (bytes->cap - bytes->len >= n) {
        return true;
    }
    if (bytes->at > 0) {
        memmove(bytes->data, bytes->data + bytes->at, bytes->len - bytes->at);
        bytes->len -= bytes->at;
        bytes->at = 0;
    }
    return n <= SIZE_MAX - bytes->len &&
           ot_grow(&bytes->data, &bytes->cap, bytes->len + n, 1, realloc);
}

static bool
append(ot_bytes_t *bytes, const char *data, size_t n)
{
    if (!ot_bytes_reserve(bytes, n)) {
        return false;
    }
    if (n > 0) {
        memcpy(bytes->data + bytes->len, data, n);
    }
    bytes->len += n;
    return true;
}

void
ot_bytes_free(ot_bytes_t *bytes)
{
    free(bytes->data);
    *bytes = (ot_bytes_t){0};
}

/* ---- invariants ------------------------------------------------------------------------------ */

static void
check_bytes(const ot_bytes_t *bytes)
{
    OT_MUST(bytes->at <= bytes->len && bytes->len <= bytes->cap);
    OT_MUST((bytes->data == NULL) == (bytes->cap == 0));
}

void
ot_file_check_locked(const ot_file_t *file)
{
    check_bytes(&file->in);
    check_bytes(&file->out);
    OT_MUST(!file->how.seekable || file->in.at == file->in.len || file->out.at == file->out.len);
    for (const held_t *held = file->held; held != NULL; held = held->next) {
        check_bytes(&held->text);
        OT_MUST(held->thread != 0);
        for (const held_t *other = held->next; other != NULL; other = other->next) {
            OT_MUST(other->thread != held->thread);
        }
    }
    if (file->closed) {
        OT_MUST(file->held == NULL && file->in.cap == 0 && file->out.cap == 0);
    }
}

/* ---- the lock -------------------------------------------------------------------------------- */

int
ot_file_lock(ot_file_t *file, int64_t interp, const ot_patience_t *patience)
{
    switch (ot_lock_acquire(file->lock, interp, patience)) {
    case OT_SYNC_OK:
        return OT_FILE_OK;
    case OT_SYNC_ABANDONED:
        return OT_FILE_ABANDONED;
    case OT_SYNC_TIMEOUT:
        return EAGAIN; /* only if patience says so */
    default:
        return OT_FILE_INTERRUPTED;
    }
}

void
ot_file_unlock(ot_file_t *file)
{
    ot_lock_release(file->lock); /* cannot fail: this thread holds it, so nobody abandoned it */
}

int
ot_file_enter(ot_file_t *file, ot_file_caller_t by)
{
    int rc = ot_file_lock(file, by.interp, by.patience);
    if (rc == OT_FILE_OK && (file->closed || file->busy)) {
        rc = file->closed ? OT_FILE_CLOSED : OT_FILE_REENTRANT;
        ot_file_unlock(file);
    }
    if (rc == OT_FILE_OK) {
        file->busy = true;
    }
    return rc;
}

int
ot_file_leave(ot_file_t *file, int rc)
{
    OT_CHECK(ot_file_check_locked(file));
    file->busy = false;
    ot_file_unlock(file);
    return rc;
}

static bool
gives_up(const ot_patience_t *patience)
{
    return patience->gives_up != NULL && patience->gives_up(patience->arg);
}

/* In steps: an interrupt that is no signal (ot_worker_interrupt) does not end a system call. */
static int
wait_until_ready(const ot_file_t *file, short events, const ot_patience_t *patience)
{
    struct pollfd ready = {.fd = file->how.fd, .events = events};
    for (;;) {
        ot_await_begin(patience->awaited);
        int n = poll(&ready, 1, patience->gives_up == NULL ? -1 : LOOK_UP_EVERY);
        ot_await_end(patience->awaited);
        if (n > 0) {
            return OT_FILE_OK;
        }
        if (n < 0 && errno != EINTR) {
            return errno;
        }
        if (gives_up(patience)) {
            return OT_FILE_INTERRUPTED;
        }
    }
}

int
ot_file_ready(const ot_file_t *file, short events, const ot_patience_t *patience)
{
    return file->how.may_block ? wait_until_ready(file, events, patience) : OT_FILE_OK;
}

int
ot_file_await(const ot_file_t *file, int error, short events, const ot_patience_t *patience)
{
    if (error == EAGAIN || error == EWOULDBLOCK) {
        return wait_until_ready(file, events, patience);
    }
    if (error == EINTR) {
        return gives_up(patience) ? OT_FILE_INTERRUPTED : OT_FILE_OK;
    }
    return error;
}

/* ---- writing --------------------------------------------------------------------------------- */

int
ot_file_drain_locked(ot_file_t *file, const ot_patience_t *patience)
{
    ot_bytes_t *out = &file->out;
    while (out->at < out->len) {
        size_t left = out->len - out->at;
        int rc = ot_file_ready(file, POLLOUT, patience);
        if (rc == OT_FILE_OK) {
            /* A pipe that is ready takes PIPE_BUF bytes without blocking, and may block for more. */
            ssize_t n = write(file->how.fd, out->data + out->at,
                              file->how.is_pipe && left > PIPE_BUF ? PIPE_BUF : left);
            out->at += n > 0 ? (size_t)n : 0;
            rc = n >= 0 ? OT_FILE_OK : ot_file_await(file, errno, POLLOUT, patience);
        }
        if (rc != OT_FILE_OK) {
            return rc;
        }
    }
    out->at = out->len = 0;
    if (out->cap > SPARE_ROOM && out->cap > file->how.limit) {
        ot_bytes_free(out);
    }
    return OT_FILE_OK;
}

/* The kernel's position is where the next byte would be read. */
int
ot_file_forget_ahead_locked(ot_file_t *file)
{
    ot_bytes_t *in = &file->in;
    if (in->at == in->len || !file->how.seekable) {
        return OT_FILE_OK;
    }
    if (lseek(file->how.fd, -(off_t)(in->len - in->at), SEEK_CUR) < 0) {
        return errno;
    }
    in->at = in->len = 0;
    return OT_FILE_OK;
}

static bool
must_go_out(const ot_file_t *file, const char *data, size_t n)
{
    return file->out.len - file->out.at >= file->how.limit ||
           (file->how.line_buffered && n > 0 &&
            (memchr(data, '\n', n) != NULL || memchr(data, '\r', n) != NULL));
}

/* One record. *taken: it is in the buffer, or some of it has gone out, whatever the result. */
static int
put_locked(ot_file_t *file, const char *data, size_t n, const ot_patience_t *patience, bool *taken)
{
    ot_bytes_t *out = &file->out;
    *taken = false;
    int rc = ot_file_forget_ahead_locked(file);
    /* Other processes that append to the file shall find whole records, too. */
    if (rc == OT_FILE_OK && out->len - out->at + n > file->how.limit) {
        rc = ot_file_drain_locked(file, patience);
    }
    if (rc != OT_FILE_OK) {
        return rc;
    }
    if (!append(out, data, n)) {
        return ENOMEM;
    }
    *taken = true;
    size_t before = out->len - n; /* after append, which may have moved it all */
    if (must_go_out(file, data, n)) {
        rc = ot_file_drain_locked(file, patience);
        if (rc != OT_FILE_OK && out->at <= before) {
            out->len = before;
            *taken = false;
        }
    }
    return rc;
}

/* ---- held lines ------------------------------------------------------------------------------ */

static held_t **
find_held(ot_file_t *file, uint64_t thread)
{
    held_t **at = &file->held;
    while (*at != NULL && (*at)->thread != thread) {
        at = &(*at)->next;
    }
    return at;
}

static void
drop_held(held_t **at)
{
    held_t *held = *at;
    *at = held->next;
    ot_bytes_free(&held->text);
    free(held);
}

static int
hold_locked(ot_file_t *file, const char *data, size_t n)
{
    held_t **at = find_held(file, ot_thread_token());
    held_t *held = *at;
    if (held == NULL) {
        held = n > 0 ? calloc(1, sizeof *held) : NULL;
        if (held == NULL) {
            return n > 0 ? ENOMEM : OT_FILE_OK;
        }
        held->thread = ot_thread_token();
        *at = held;
    }
    return append(&held->text, data, n) ? OT_FILE_OK : ENOMEM;
}

/* The line at `at`, with `data` behind it, as one record. */
static int
put_held_locked(ot_file_t *file, held_t **at, const char *data, size_t n,
                const ot_patience_t *patience)
{
    ot_bytes_t *text = &(*at)->text;
    size_t before = text->len;
    if (!append(text, data, n)) {
        return ENOMEM;
    }
    bool taken;
    int rc = put_locked(file, text->data, text->len, patience, &taken);
    if (taken) {
        drop_held(at);
    } else {
        text->len = before;
    }
    return rc;
}

int
ot_file_put_own_line_locked(ot_file_t *file, const ot_patience_t *patience)
{
    held_t **at = file->held == NULL ? &file->held : find_held(file, ot_thread_token());
    return *at == NULL ? OT_FILE_OK : put_held_locked(file, at, NULL, 0, patience);
}

static int
write_locked(ot_file_t *file, const char *data, size_t n, bool hold, const ot_patience_t *patience)
{
    /* The lock's depth is 1 if only this operation has it. If it is more, the caller has locked
     * the file and nobody else can write in between, so the line need not be held. */
    if (hold && ot_lock_state(file->lock).depth == 1) {
        return hold_locked(file, data, n);
    }
    held_t **at = file->held == NULL ? &file->held : find_held(file, ot_thread_token());
    bool taken;
    return *at == NULL ? put_locked(file, data, n, patience, &taken)
                       : put_held_locked(file, at, data, n, patience);
}

int
ot_file_write(ot_file_t *file, ot_file_caller_t by, const char *data, size_t n, bool hold)
{
    int rc = ot_file_enter(file, by);
    return rc != OT_FILE_OK ? rc
                            : ot_file_leave(file, write_locked(file, data, n, hold, by.patience));
}

/* Whether a record of n bytes can be had without the kernel. */
static bool
is_quick(ot_file_t *file, const char *data, size_t n, bool hold)
{
    if (hold && ot_lock_state(file->lock).depth == 1) {
        return true;
    }
    held_t *held = file->held == NULL ? NULL : *find_held(file, ot_thread_token());
    if (held != NULL) {
        n += held->text.len;
    }
    bool ends = file->how.line_buffered &&
                (held != NULL || memchr(data, '\n', n) != NULL || memchr(data, '\r', n) != NULL);
    return !ends && file->in.at == file->in.len &&
           file->out.len - file->out.at + n < file->how.limit;
}

int
ot_file_write_quick(ot_file_t *file, int64_t interp, const char *data, size_t n, bool hold)
{
    ot_patience_t none = {.deadline = OT_DONT_WAIT};
    int rc = ot_file_enter(file, (ot_file_caller_t){interp, &none});
    if (rc != OT_FILE_OK) {
        return rc;
    }
    rc = is_quick(file, data, n, hold) ? write_locked(file, data, n, hold, &none) : EAGAIN;
    return ot_file_leave(file, rc);
}

int
ot_file_flush(ot_file_t *file, ot_file_caller_t by)
{
    int rc = ot_file_enter(file, by);
    if (rc != OT_FILE_OK) {
        return rc;
    }
    rc = ot_file_put_own_line_locked(file, by.patience);
    if (rc == OT_FILE_OK) {
        rc = ot_file_drain_locked(file, by.patience);
    }
    return ot_file_leave(file, rc);
}

/* ---- the end --------------------------------------------------------------------------------- */

static int
put_all_locked(ot_file_t *file, const ot_patience_t *patience)
{
    int rc = OT_FILE_OK;
    while (rc == OT_FILE_OK && file->held != NULL) {
        rc = put_held_locked(file, &file->held, NULL, 0, patience);
    }
    return rc == OT_FILE_OK ? ot_file_drain_locked(file, patience) : rc;
}

/* Closes the descriptor and drops the buffers, whatever is in them. */
static int
abandon_locked(ot_file_t *file)
{
    file->closed = true;
    while (file->held != NULL) {
        drop_held(&file->held);
    }
    ot_bytes_free(&file->in);
    ot_bytes_free(&file->out);
    /* Linux closes it whatever it says; EINTR is no loss. */
    return file->how.closefd && close(file->how.fd) < 0 && errno != EINTR ? errno : OT_FILE_OK;
}

static int
close_locked(ot_file_t *file, const ot_patience_t *patience)
{
    int rc = put_all_locked(file, patience);
    if (rc == OT_FILE_INTERRUPTED) {
        return rc;
    }
    int closing = abandon_locked(file);
    return rc == OT_FILE_OK ? closing : rc;
}

int
ot_file_close(ot_file_t *file, ot_file_caller_t by)
{
    int rc = ot_file_enter(file, by);
    if (rc == OT_FILE_CLOSED) {
        return OT_FILE_OK;
    }
    return rc != OT_FILE_OK ? rc : ot_file_leave(file, close_locked(file, by.patience));
}

/* Nobody is left to be told of an error but the user. */
static void
file_close(ot_shared_t *self, const ot_patience_t *patience)
{
    ot_file_t *file = (ot_file_t *)self;
    int rc = file->closed ? OT_FILE_OK : close_locked(file, patience);
    if (rc != OT_FILE_OK) {
        fprintf(stderr, "objtunnel: SharedFile %s: closed by its last handle: %s\n", file->how.name,
                rc > 0 ? strerror(rc) : "interrupted, what was not written is lost");
    }
    if (rc == OT_FILE_INTERRUPTED) {
        abandon_locked(file);
    }
}

static void
file_free(ot_shared_t *self)
{
    ot_file_t *file = (ot_file_t *)self;
    ot_shared_unref(&file->lock->head);
    free(file->how.name);
    free(file->how.mode);
    free(file->how.encoding);
    free(file->how.errors);
    free(file);
}

/* What a thread that the child does not have was at is lost there; the lock is abandoned. */
static void
file_fork(ot_shared_t *self, ot_fork_stage_t stage)
{
    ot_file_t *file = (ot_file_t *)self;
    if (stage == OT_AFTER_FORK_IN_CHILD && file->busy) {
        file->in = file->out = (ot_bytes_t){0};
        file->held = NULL;
        file->busy = false;
    }
}

const ot_shared_kind_t ot_file_kind = {"SharedFile", file_free, file_fork, file_close};

ot_file_t *
ot_file_new(const ot_file_how_t *how)
{
    ot_file_t *file = calloc(1, sizeof *file);
    ot_lock_t *lock = file == NULL ? NULL : ot_lock_new(&ot_rlock_kind);
    if (lock == NULL) {
        free(file);
        return NULL;
    }
    file->how = *how;
    file->lock = lock;
    ot_shared_init(&file->head, &ot_file_kind);
    return file;
}
