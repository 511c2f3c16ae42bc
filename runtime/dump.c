/* dump.c: see dump.h.
 *
 * Main invariant: each walk is bounded, whatever the memory that it reads says: interpreters, threads,
 * frames and characters are counted.
 * Threading: no lock; two dumps at once mix their lines. `register_lock` guards what registers signals,
 * never what a handler does.
 */
#include "runtime/dump.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "runtime/awaited.h"
#include "runtime/cpython/stack.h"

enum {
    MOST_INTERPRETERS = 10000,
    MOST_THREADS = 10000, /* of an interpreter */
    MOST_FRAMES = 100,    /* of a thread */
    MOST_CHARACTERS = 500,
    MOST_STEPS = 64, /* from a waiting thread to the owner of what it waits for, and on */
};

/* ---- writing ------------------------------------------------------------------------------------ */

typedef struct {
    int fd;
    size_t n;
    char text[512];
} out_t;

static void
flush(out_t *out)
{
    for (size_t done = 0; done < out->n;) {
        ssize_t n = write(out->fd, out->text + done, out->n - done);
        if (n > 0) {
            done += (size_t)n;
        } else if (n == 0 || errno != EINTR) {
            break; /* nobody reads it */
        }
    }
    out->n = 0;
}

static void
put_char(out_t *out, char c)
{
    if (out->n == sizeof out->text) {
        flush(out);
    }
    out->text[out->n++] = c;
}

static void
put(out_t *out, const char *s)
{
    while (*s != '\0') {
        put_char(out, *s++);
    }
}

static void
put_number(out_t *out, uint64_t value, unsigned base, int width)
{
    char digits[64];
    int n = 0;
    do {
        digits[n++] = "0123456789abcdef"[value % base];
        value /= base;
    } while (value != 0 || n < width);
    while (n > 0) {
        put_char(out, digits[--n]);
    }
}

static void
put_decimal(out_t *out, int64_t value)
{
    if (value < 0) {
        put_char(out, '-');
    }
    put_number(out, value < 0 ? -(uint64_t)value : (uint64_t)value, 10, 1);
}

/* Anything but printable ASCII as Python's backslashreplace has it. */
static void
put_code_point(out_t *out, uint32_t c)
{
    if (c >= ' ' && c < 127) {
        put_char(out, (char)c);
        return;
    }
    put(out, c < 256 ? "\\x" : c < 65536 ? "\\u" : "\\U");
    put_number(out, c, 16, c < 256 ? 2 : c < 65536 ? 4 : 8);
}

static void
put_python_text(out_t *out, const void *string)
{
    uint32_t piece[32];
    size_t done = 0, n;
    while (done < MOST_CHARACTERS && (n = ot_py_peek_text(string, done, piece, 32)) > 0) {
        for (size_t i = 0; i < n; i++) {
            put_code_point(out, piece[i]);
        }
        done += n;
    }
    put(out, done == 0 ? "???" : done >= MOST_CHARACTERS ? "..." : "");
}

/* The OS thread's name, as ps, top and gdb show it. */
static void
put_thread_name(out_t *out, int tid)
{
    char path[64] = "/proc/self/task/", name[64], digits[16];
    int n = 0;
    size_t end = strlen(path);
    do {
        digits[n++] = (char)('0' + tid % 10);
        tid /= 10;
    } while (tid > 0);
    while (n > 0) {
        path[end++] = digits[--n];
    }
    memcpy(path + end, "/comm", 6);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t size = fd < 0 ? 0 : read(fd, name, sizeof name);
    for (ssize_t i = 0; i < size && name[i] != '\n'; i++) {
        put_code_point(out, (unsigned char)name[i]);
    }
    if (fd >= 0) {
        close(fd);
    }
}

static void
put_thread(out_t *out, unsigned long thread, int tid)
{
    put(out, "thread 0x");
    put_number(out, thread, 16, 16);
    put(out, " (");
    put_decimal(out, tid);
    put(out, " \"");
    put_thread_name(out, tid);
    put(out, "\")");
}

/* ---- finding ------------------------------------------------------------------------------------ */

/* Which interpreter a thread has a state in; -1: none. */
static int64_t
interpreter_of(unsigned long thread)
{
    int interps = 0;
    for (PyInterpreterState *i = ot_py_peek_interps(); i != NULL && interps < MOST_INTERPRETERS;
         interps++) {
        ot_interp_view_t interp;
        if (!ot_py_peek_interp(i, &interp)) {
            break;
        }
        int threads = 0;
        ot_thread_view_t t;
        for (PyThreadState *at = interp.threads;
             at != NULL && threads < MOST_THREADS && ot_py_peek_thread(at, i, &t);
             at = t.next, threads++) {
            if (t.thread == thread) {
                return interp.id;
            }
        }
        i = interp.next;
    }
    return -1;
}

static bool
note_of_thread(unsigned long thread, ot_note_view_t *view)
{
    for (const ot_note_t *n = ot_note_first(); n != NULL; n = ot_note_next(n)) {
        if (ot_note_read(n, view) && view->thread == thread) {
            return true;
        }
    }
    return false;
}

static bool
note_of_token(uint64_t token, ot_note_view_t *view)
{
    for (const ot_note_t *n = ot_note_first(); n != NULL; n = ot_note_next(n)) {
        if (ot_note_read(n, view) && view->token == token) {
            return true;
        }
    }
    return false;
}

/* ---- who waits ---------------------------------------------------------------------------------- */

static void
put_what(out_t *out, const ot_awaited_t *awaited)
{
    put(out, awaited->verb);
    put_char(out, ' ');
    put(out, awaited->kind);
    if (awaited->id != 0) {
        put(out, " id ");
        put_number(out, awaited->id, 10, 1);
    }
    if (awaited->detail[0] != '\0') {
        put_char(out, ' ');
        for (int i = 0; i < OT_AWAITED_DETAIL && awaited->detail[i] != '\0'; i++) {
            put_code_point(out, (unsigned char)awaited->detail[i]);
        }
    }
}

static void
put_owner(out_t *out, uint64_t token)
{
    ot_note_view_t owner;
    if (token == 0) {
        return;
    }
    put(out, ", which ");
    if (note_of_token(token, &owner)) {
        put_thread(out, owner.thread, owner.tid);
        int64_t interp = interpreter_of(owner.thread);
        if (interp >= 0) {
            put(out, " of interpreter ");
            put_decimal(out, interp);
        }
        put(out, " has");
    } else {
        put(out, "a thread has that has ended");
    }
}

static void
put_wait(out_t *out, const ot_awaited_t *awaited, int64_t now)
{
    int64_t ms = (now - awaited->since) / 1000000;
    put(out, "  waits for ");
    put_decimal(out, ms < 0 ? 0 : ms / 1000);
    put_char(out, '.');
    put_number(out, (uint64_t)(ms < 0 ? 0 : ms % 1000), 10, 3);
    put(out, " s to ");
    put_what(out, awaited);
    put_owner(out, awaited->owner);
    put_char(out, '\n');
}

/* Whether who begins at `first` comes back to it by going from owner to owner, and has the smallest token
 * on the way: each circle is told once. */
static bool
begins_circle(const ot_note_view_t *first)
{
    ot_note_view_t at = *first;
    for (int steps = 0; steps < MOST_STEPS && at.waits && at.awaited.owner != 0; steps++) {
        if (at.awaited.owner == first->token) {
            return true;
        }
        if (at.awaited.owner < first->token || !note_of_token(at.awaited.owner, &at)) {
            return false;
        }
    }
    return false;
}

static void
put_circle(out_t *out, const ot_note_view_t *first)
{
    ot_note_view_t at = *first;
    put(out, "These threads wait for each other:\n");
    for (int steps = 0; steps < MOST_STEPS && at.waits; steps++) {
        put(out, "  ");
        put_thread(out, at.thread, at.tid);
        put(out, " waits to ");
        put_what(out, &at.awaited);
        put_owner(out, at.awaited.owner);
        put_char(out, '\n');
        if (at.awaited.owner == first->token || !note_of_token(at.awaited.owner, &at)) {
            break;
        }
    }
}

static void
put_circles(out_t *out)
{
    ot_note_view_t view;
    for (const ot_note_t *n = ot_note_first(); n != NULL; n = ot_note_next(n)) {
        if (ot_note_read(n, &view) && view.waits && begins_circle(&view)) {
            put_circle(out, &view);
        }
    }
}

/* Threads that wait and are in no interpreter's list, or whose interpreter could not be read. */
static void
put_other_waits(out_t *out, int64_t now)
{
    ot_note_view_t view;
    for (const ot_note_t *n = ot_note_first(); n != NULL; n = ot_note_next(n)) {
        if (ot_note_read(n, &view) && view.waits && interpreter_of(view.thread) < 0) {
            put(out, "No interpreter, ");
            put_thread(out, view.thread, view.tid);
            put(out, ":\n");
            put_wait(out, &view.awaited, now);
        }
    }
}

/* ---- stacks ------------------------------------------------------------------------------------- */

static void
put_frame(out_t *out, const ot_frame_view_t *frame)
{
    ot_code_view_t code;
    if (!ot_py_peek_code(frame, &code)) {
        put(out, "    ???\n");
        return;
    }
    put(out, "    File \"");
    put_python_text(out, code.file);
    put(out, "\", line ");
    int line = ot_py_peek_line(&code);
    if (line > 0) {
        put_decimal(out, line);
    } else {
        put(out, "???");
    }
    put(out, " in ");
    put_python_text(out, code.name);
    put_char(out, '\n');
}

static void
put_stack(out_t *out, const struct _PyInterpreterFrame *at)
{
    ot_frame_view_t frame;
    int shown = 0;
    if (at == NULL) {
        put(out, "    no Python code\n");
    }
    for (int steps = 0; at != NULL && steps < 2 * MOST_FRAMES; at = frame.previous, steps++) {
        if (!ot_py_peek_frame(at, &frame)) {
            put(out, "    ??? (it has changed meanwhile)\n");
            return;
        }
        if (frame.code != NULL) {
            if (shown++ == MOST_FRAMES) {
                put(out, "    ...\n");
                return;
            }
            put_frame(out, &frame);
        }
    }
}

static void
put_interp(out_t *out, PyInterpreterState *i, const ot_interp_view_t *interp, int64_t now)
{
    int threads = 0;
    ot_thread_view_t t;
    for (PyThreadState *at = interp->threads;
         at != NULL && threads < MOST_THREADS && ot_py_peek_thread(at, i, &t);
         at = t.next, threads++) {
        ot_note_view_t note;
        put(out, "Interpreter ");
        put_decimal(out, interp->id);
        put(out, ", ");
        put_thread(out, t.thread, t.tid);
        put(out, t.has_gil ? ", has the GIL" : "");
        put(out, (int)syscall(SYS_gettid) == t.tid ? ", dumps" : "");
        put(out, " (most recent call first):\n");
        if (note_of_thread(t.thread, &note) && note.waits) {
            put_wait(out, &note.awaited, now);
        }
        put_stack(out, t.frame);
    }
    if (threads == 0) {
        put(out, "Interpreter ");
        put_decimal(out, interp->id);
        put(out, ": no threads\n");
    }
}

static void
dump(int fd)
{
    out_t out = {.fd = fd};
    int64_t now = ot_clock_now();
    put(&out, "objtunnel: all interpreters of process ");
    put_decimal(&out, getpid());
    put_char(&out, '\n');
    if (!ot_peek_works()) {
        put(&out, "The system does not permit process_vm_readv: no stacks, only who waits.\n");
    }
    int interps = 0;
    ot_interp_view_t interp;
    for (PyInterpreterState *i = ot_py_peek_interps();
         i != NULL && interps < MOST_INTERPRETERS && ot_py_peek_interp(i, &interp);
         i = interp.next, interps++) {
        put_interp(&out, i, &interp, now);
    }
    put_other_waits(&out, now);
    put_circles(&out);
    flush(&out);
}

void
ot_dump(int fd)
{
    sigset_t all, before;
    sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    dump(fd);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
}

/* ---- signals ------------------------------------------------------------------------------------ */

enum { SIGNALS = 65 };

static pthread_mutex_t register_lock = PTHREAD_MUTEX_INITIALIZER;
static struct {
    atomic_int target;       /* 1 + the descriptor; 0: not ours */
    int own;                 /* 1 + the duplicate that is kept for this signal; 0: none yet */
    struct sigaction before; /* what the signal did */
} signals[SIGNALS];

static void
on_signal(int signum)
{
    int saved = errno, target = atomic_load(&signals[signum].target);
    if (target != 0) {
        ot_dump(target - 1);
    }
    errno = saved;
}

/* The signal's own duplicate of fd, under the number that it always had: a handler may be using it. */
static int
duplicate_locked(int signum, int fd)
{
    int own = signals[signum].own == 0 ? fcntl(fd, F_DUPFD_CLOEXEC, 3)
                                       : dup3(fd, signals[signum].own - 1, O_CLOEXEC);
    if (own >= 0) {
        signals[signum].own = own + 1;
    }
    return own;
}

static int
register_locked(int signum, int fd)
{
    int target = fd < 0 ? STDERR_FILENO : duplicate_locked(signum, fd);
    if (target < 0) {
        return -1;
    }
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    sigfillset(&action.sa_mask); /* no dump within a dump: who reads a record must get on */
    bool again = atomic_load(&signals[signum].target) != 0;
    struct sigaction before;
    atomic_store(&signals[signum].target, target + 1);
    if (sigaction(signum, &action, &before) < 0) {
        atomic_store(&signals[signum].target, 0);
        return -1;
    }
    if (!again) {
        signals[signum].before = before;
    }
    return 0;
}

int
ot_dump_register(int signum, int fd)
{
    if (signum < 1 || signum >= SIGNALS) {
        errno = EINVAL;
        return -1;
    }
    pthread_mutex_lock(&register_lock);
    int rc = register_locked(signum, fd);
    pthread_mutex_unlock(&register_lock);
    return rc;
}

/* Lets go of the file, not of the number: see duplicate_locked. */
static void
release_duplicate_locked(int signum)
{
    if (signals[signum].own != 0) {
        int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
        if (null >= 0) {
            (void)dup3(null, signals[signum].own - 1, O_CLOEXEC);
            close(null);
        }
    }
}

int
ot_dump_unregister(int signum)
{
    if (signum < 1 || signum >= SIGNALS) {
        errno = EINVAL;
        return -1;
    }
    pthread_mutex_lock(&register_lock);
    int rc = atomic_load(&signals[signum].target) == 0;
    if (rc == 0) {
        rc = sigaction(signum, &signals[signum].before, NULL);
        if (rc == 0) {
            atomic_store(&signals[signum].target, 0);
            release_duplicate_locked(signum);
        }
    }
    pthread_mutex_unlock(&register_lock);
    return rc;
}
