/* objtunnel_locks.h: static locks of the whole process, whatever interpreter takes them.
 *
 * Purpose: what PyThread_allocate_lock in a module's init is used for and should not be: two
 * interpreters would make two locks. These are constant-initialised, so nobody makes them.
 * Main invariant: a thread that waits holds no GIL. So the holder may need a GIL, the waiter's
 * even, to get on, and both will.
 * Threading: take and release in the same thread, attached or not. Taking one twice, or releasing
 * one that is not held, is a mistake that would hang or corrupt: the process says so and aborts
 * (for readers of a read-write lock nobody can tell). Waiting is not ended by Ctrl-C.
 */
#ifndef OBJTUNNEL_LOCKS_H
#define OBJTUNNEL_LOCKS_H

#include "objtunnel_types.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    const char *name;
    pthread_mutex_t mutex;
} ot_global_lock_t;

/* Many readers or one writer. A waiting writer keeps new readers out, so it is not starved; hence
 * a thread that reads already must not ask to read again: the two could wait for each other. */
typedef struct {
    const char *name;
    pthread_rwlock_t rwlock;
} ot_global_rwlock_t;

#ifdef PTHREAD_ERRORCHECK_MUTEX_INITIALIZER_NP
#define OT_MUTEX_INITIALIZER_ PTHREAD_ERRORCHECK_MUTEX_INITIALIZER_NP
#else
#define OT_MUTEX_INITIALIZER_ PTHREAD_MUTEX_INITIALIZER
#endif
#ifdef PTHREAD_RWLOCK_WRITER_NONRECURSIVE_INITIALIZER_NP
#define OT_RWLOCK_INITIALIZER_ PTHREAD_RWLOCK_WRITER_NONRECURSIVE_INITIALIZER_NP
#else
#define OT_RWLOCK_INITIALIZER_ PTHREAD_RWLOCK_INITIALIZER
#endif

#define OT_GLOBAL_LOCK_INIT(name)                                                                  \
    {                                                                                              \
        (name), OT_MUTEX_INITIALIZER_                                                              \
    }
#define OT_GLOBAL_RWLOCK_INIT(name)                                                                \
    {                                                                                              \
        (name), OT_RWLOCK_INITIALIZER_                                                             \
    }

/* ---- the GIL around a wait ------------------------------------------------------------------ */

#ifdef OT_WITHOUT_PYTHON
static inline void *
ot_lock_detach(void)
{
    return NULL;
}

static inline void
ot_lock_attach(void *state)
{
    (void)state;
}
#else
static inline void *
ot_lock_detach(void)
{
    return PyThreadState_GetUnchecked() == NULL ? NULL : PyEval_SaveThread();
}

static inline void
ot_lock_attach(void *state)
{
    if (state != NULL) {
        PyEval_RestoreThread((PyThreadState *)state);
    }
}
#endif

static inline void
ot_lock_check(const char *name, const char *action, int error)
{
    if (error != 0) {
        fprintf(stderr, "objtunnel: %s the global lock '%s': %s\n", action, name, strerror(error));
        abort();
    }
}

/* ---- mutex ---------------------------------------------------------------------------------- */

/* Whether it was free and is the caller's now. */
static inline int
ot_global_lock_try_acquire(ot_global_lock_t *lock)
{
    int error = pthread_mutex_trylock(&lock->mutex);
    if (error != EBUSY) {
        ot_lock_check(lock->name, "trying", error);
    }
    return error == 0;
}

static inline void
ot_global_lock_acquire(ot_global_lock_t *lock)
{
    if (!ot_global_lock_try_acquire(lock)) {
        void *state = ot_lock_detach();
        int error = pthread_mutex_lock(&lock->mutex);
        ot_lock_attach(state);
        ot_lock_check(lock->name, "acquiring", error);
    }
}

static inline void
ot_global_lock_release(ot_global_lock_t *lock)
{
    ot_lock_check(lock->name, "releasing", pthread_mutex_unlock(&lock->mutex));
}

/* ---- readers and a writer ------------------------------------------------------------------- */

static inline void
ot_global_rwlock_acquire_read(ot_global_rwlock_t *lock)
{
    int error = pthread_rwlock_tryrdlock(&lock->rwlock);
    if (error != 0) {
        void *state = ot_lock_detach();
        do { /* EAGAIN: as many readers as it can count */
            error = pthread_rwlock_rdlock(&lock->rwlock);
        } while (error == EAGAIN);
        ot_lock_attach(state);
        ot_lock_check(lock->name, "acquiring", error);
    }
}

static inline void
ot_global_rwlock_acquire_write(ot_global_rwlock_t *lock)
{
    int error = pthread_rwlock_trywrlock(&lock->rwlock);
    if (error != 0) {
        void *state = ot_lock_detach();
        error = pthread_rwlock_wrlock(&lock->rwlock);
        ot_lock_attach(state);
        ot_lock_check(lock->name, "acquiring", error);
    }
}

/* Ends the caller's read or write. */
static inline void
ot_global_rwlock_release(ot_global_rwlock_t *lock)
{
    ot_lock_check(lock->name, "releasing", pthread_rwlock_unlock(&lock->rwlock));
}

#ifdef __cplusplus
}
#endif
#endif
