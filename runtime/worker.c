/* worker.c: see worker.h.
 *
 * Main invariant (under lock): interp is non-NULL exactly while the interpreter can take pending
 * calls; running is the job between begin and end, 0 if none; interrupted is running or 0.
 *
 * Threading: `lock` is held for a few loads and stores, never while a GIL is waited for.
 * creation_lock keeps two threads from creating interpreters at once, which CPython's own
 * locking does not cover throughout; it is taken without a GIL.
 */
#include "runtime/worker.h"

#include <ctype.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "atomics/refcount.h"
#include "runtime/park.h"
#include "runtime/cpython/interp.h"

struct ot_worker {
    ot_ref_t ref;
    ot_worker_job_t job;
    char *name; /* of the OS thread */

    pthread_mutex_t lock; /* guards all below */
    char *error;
    PyInterpreterState *interp;
    int64_t interp_id;
    unsigned long thread_id; /* as PyThread_get_thread_ident has it */
    uint64_t running, interrupted;
    uint64_t interrupts; /* of `running`, so far */
    ot_pokeable_t pokeable;
};

static pthread_mutex_t creation_lock = PTHREAD_MUTEX_INITIALIZER;
static _Thread_local ot_worker_t *self; /* set in worker threads */
static atomic_size_t
    coming_and_going; /* threads between their start and their end without Python */

/* ---- the thread -------------------------------------------------------------------------- */

static void
publish_interp(ot_worker_t *w, PyInterpreterState *interp)
{
    pthread_mutex_lock(&w->lock);
    w->interp = interp;
    if (interp != NULL) {
        w->interp_id = PyInterpreterState_GetID(interp);
        w->thread_id = PyThread_get_thread_ident();
    }
    pthread_mutex_unlock(&w->lock);
}

static PyThreadState *
create_interpreter(ot_worker_t *w)
{
    PyInterpreterConfig config = {
        .use_main_obmalloc = 0,
        .allow_fork = 0,
        .allow_exec = 0,
        .allow_threads = 1,
        .allow_daemon_threads = 0, /* they could outlive the interpreter */
        .check_multi_interp_extensions = 1,
        .gil = PyInterpreterConfig_OWN_GIL,
    };
    PyThreadState *tstate = NULL;
    pthread_mutex_lock(&creation_lock);
    PyStatus status = Py_NewInterpreterFromConfig(&tstate, &config);
    pthread_mutex_unlock(&creation_lock);
    if (PyStatus_Exception(status)) {
        ot_worker_set_error(w, status.err_msg ? status.err_msg : "cannot create an interpreter");
        return NULL;
    }
    return tstate;
}

/* How many bytes at the end of the name are digits, and what stands before them if it is - or _; at most 6. */
static size_t
number_at_end(const char *name, size_t length)
{
    size_t n = 0;
    while (n < length && n < 5 && isdigit((unsigned char)name[length - 1 - n])) {
        n++;
    }
    return n > 0 && n < length && strchr("-_", name[length - 1 - n]) != NULL ? n + 1 : n;
}

/* Linux takes 15 bytes: of a longer name the end stays, if that is a number (of a pool's worker, say). */
static void
name_thread(const ot_worker_t *w)
{
    enum { MOST = 15 };
    char name[64];
    if (w->name == NULL) {
        snprintf(name, sizeof name, "objtunnel-%lld", (long long)w->interp_id);
    } else {
        size_t length = strlen(w->name), tail = number_at_end(w->name, length);
        size_t kept = length <= MOST ? length : MOST - tail;
        snprintf(name, sizeof name, "%.*s%s", (int)kept, w->name,
                 length <= MOST ? "" : w->name + length - tail);
    }
    name[MOST] = '\0';
    (void)pthread_setname_np(pthread_self(), name);
}

static void *
thread_main(void *arg)
{
    ot_worker_t *w = arg;
    self = w;
    ot_pokeable_enter(&w->pokeable);
    PyThreadState *tstate = create_interpreter(w);
    if (tstate != NULL) {
        publish_interp(w, PyThreadState_GetInterpreter(tstate));
        name_thread(w);
        atomic_fetch_sub(&coming_and_going, 1);
        w->job.main(w, w->job.arg);
        atomic_fetch_add(&coming_and_going, 1);
        publish_interp(w, NULL); /* pending calls would find it half gone */
        Py_EndInterpreter(tstate);
    }
    ot_pokeable_enter(NULL);
    w->job.ended(w, w->job.arg);
    atomic_fetch_sub(&coming_and_going, 1);
    ot_worker_unref(w);
    return NULL;
}

/* Signals are not blocked: Linux delivers the process's to its main thread as long as that takes
 * them, and a subprocess started here would inherit the mask. */
static int
spawn(ot_worker_t *w)
{
    pthread_attr_t attr;
    pthread_t thread;
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    int rc = pthread_create(&thread, &attr, thread_main, w);
    pthread_attr_destroy(&attr);
    return rc == 0 ? 0 : -1;
}

/* ---- life -------------------------------------------------------------------------------- */

ot_worker_t *
ot_worker_start(const char *name, ot_worker_job_t job)
{
    ot_worker_t *w = calloc(1, sizeof *w);
    if (w == NULL) {
        return NULL;
    }
    ot_ref_init(&w->ref);
    pthread_mutex_init(&w->lock, NULL);
    ot_pokeable_init(&w->pokeable);
    w->job = job;
    w->interp_id = -1;
    w->name = name == NULL ? NULL : strdup(name);
    ot_worker_ref(w); /* the thread's */
    atomic_fetch_add(&coming_and_going, 1);
    if (spawn(w) < 0) {
        atomic_fetch_sub(&coming_and_going, 1);
        ot_worker_unref(w);
        ot_worker_unref(w);
        return NULL;
    }
    return w;
}

void
ot_worker_ref(ot_worker_t *w)
{
    ot_ref_inc(&w->ref);
}

void
ot_worker_unref(ot_worker_t *w)
{
    if (!ot_ref_dec(&w->ref)) {
        return;
    }
    pthread_mutex_destroy(&w->lock);
    ot_pokeable_destroy(&w->pokeable);
    free(w->name);
    free(w->error);
    free(w);
}

const char *
ot_worker_error(ot_worker_t *w)
{
    pthread_mutex_lock(&w->lock);
    const char *error = w->error;
    pthread_mutex_unlock(&w->lock);
    return error;
}

void
ot_worker_set_error(ot_worker_t *w, const char *text)
{
    pthread_mutex_lock(&w->lock);
    if (w->error == NULL) { /* borrowed by others from now on: never replaced */
        w->error = strdup(text);
    }
    pthread_mutex_unlock(&w->lock);
}

int64_t
ot_worker_interp_id(ot_worker_t *w)
{
    pthread_mutex_lock(&w->lock);
    int64_t id = w->interp_id;
    pthread_mutex_unlock(&w->lock);
    return id;
}

size_t
ot_worker_coming_and_going(void)
{
    return atomic_load(&coming_and_going);
}

/* ---- jobs -------------------------------------------------------------------------------- */

void
ot_worker_begin(ot_worker_t *w, uint64_t job)
{
    pthread_mutex_lock(&w->lock);
    w->running = job;
    w->interrupts = 0;
    pthread_mutex_unlock(&w->lock);
}

void
ot_worker_end(ot_worker_t *w)
{
    pthread_mutex_lock(&w->lock);
    w->running = w->interrupted = 0;
    unsigned long thread_id = w->thread_id;
    pthread_mutex_unlock(&w->lock);
    ot_unpoke(&w->pokeable);
    PyThreadState_SetAsyncExc(thread_id, NULL);
}

/* Runs in some thread of the worker's interpreter. Steals the reference to w. */
static int
deliver_interrupt(void *arg)
{
    ot_worker_t *w = arg;
    pthread_mutex_lock(&w->lock);
    bool due = w->interrupted != 0;
    w->interrupted = 0;
    unsigned long thread_id = w->thread_id;
    pthread_mutex_unlock(&w->lock);
    if (due) {
        PyThreadState_SetAsyncExc(thread_id, PyExc_KeyboardInterrupt);
    }
    ot_worker_unref(w);
    return 0;
}

bool
ot_worker_interrupt(ot_worker_t *w, uint64_t job)
{
    pthread_mutex_lock(&w->lock);
    bool runs = w->interp != NULL && w->running != 0 && (job == 0 || job == w->running);
    if (runs) {
        w->interrupted = w->running;
        w->interrupts++;
        ot_worker_ref(w);
        /* Under our lock, so that the interpreter is not ended meanwhile. Its list being full
         * means that it is about to look; the poke below is not lost in any case. */
        if (ot_py_add_pending_call(w->interp, deliver_interrupt, w) < 0) {
            ot_worker_unref(w);
        }
        ot_poke(&w->pokeable);
    }
    pthread_mutex_unlock(&w->lock);
    return runs;
}

bool
ot_worker_check_interrupt(void)
{
    ot_worker_t *w = self;
    if (w == NULL) {
        return false;
    }
    pthread_mutex_lock(&w->lock);
    bool due = w->interrupted != 0;
    w->interrupted = 0;
    pthread_mutex_unlock(&w->lock);
    if (due) {
        PyErr_SetNone(PyExc_KeyboardInterrupt);
        return true;
    }
    /* Delivered already, but not raised yet: by another thread of the interpreter, or by this one
     * at the last bytecode before the call that waits. */
    return ot_py_raise_async_exc();
}

uint64_t
ot_worker_interrupts(ot_worker_t *w)
{
    pthread_mutex_lock(&w->lock);
    uint64_t n = w->interrupts;
    pthread_mutex_unlock(&w->lock);
    return n;
}

bool
ot_worker_interrupt_again(ot_worker_t *w)
{
    pthread_mutex_lock(&w->lock);
    bool due = w == self && w->running != 0 && w->interrupts != 0;
    unsigned long thread_id = w->thread_id;
    pthread_mutex_unlock(&w->lock);
    if (due) {
        PyThreadState_SetAsyncExc(thread_id, PyExc_KeyboardInterrupt);
    }
    return due;
}

bool
ot_worker_is_self(void)
{
    return self != NULL;
}
