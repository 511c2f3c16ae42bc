/* SPDX-License-Identifier: MIT. Copyright (c) the objtunnel developers; this file may be copied. */
/* objtunnel_locks.h: static locks of the whole process, whatever interpreter takes them.
 *
 * Purpose: what PyThread_allocate_lock in a module's init is used for and should not be: two
 * interpreters would make two locks. These are constant-initialised, so nobody makes them.
 * Main invariant: a thread that waits holds no GIL. So the holder may need a GIL, the waiter's
 * even, to get on, and both will.
 * Threading: take and release in the same thread, attached or not. Taking one twice, or releasing
 * one that is not held, is a mistake that would hang or corrupt: the process says so and aborts.
 * Waiting is not ended by Ctrl-C.
 *
 * fork(): the child has the locks that the forking thread had, and releases them. A lock that another
 * thread had is free there. Who takes it first is told, on stderr and by OT_LOCK_ABANDONED, that what
 * it guards may be half changed. (Of a thread that reads more than OT_MOST_READS locks at once, only
 * so many are its own in the child.)
 */
#ifndef OBJTUNNEL_LOCKS_H
#define OBJTUNNEL_LOCKS_H

#include "objtunnel_types.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#ifdef __cplusplus
extern "C" {
#endif

/* owner: the thread that has it, 0 if none has. process: the pid of the process in which the lock was
 * used last, 0 if it was not used yet; another one: see ot_lock_renew_. abandoned: nobody was told yet. */
typedef struct {
    const char *name;
    pthread_mutex_t mutex;
    uintptr_t owner;
    int process, abandoned;
} ot_global_lock_t;

/* Many readers or one writer. A waiting writer keeps new readers out, so it is not starved; a thread
 * that reads already gets in. readers, waiting: guarded by mutex, as owner (the writer) is. */
typedef struct {
    const char *name;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    uintptr_t owner;
    int process, abandoned;
    long readers, waiting;
} ot_global_rwlock_t;

#define OT_GLOBAL_LOCK_INIT(name)                                                                  \
    {                                                                                              \
        (name), PTHREAD_MUTEX_INITIALIZER, 0, 0, 0                                                 \
    }
#define OT_GLOBAL_RWLOCK_INIT(name)                                                                \
    {                                                                                              \
        (name), PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, 0, 0, 0, 0                 \
    }

enum { OT_LOCK_ACQUIRED = 0, OT_LOCK_ABANDONED = 1, OT_MOST_READS = 16 };

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

static inline uintptr_t
ot_lock_me_(void)
{
    return (uintptr_t)pthread_self();
}

static inline struct timespec
ot_lock_deadline_(int64_t nanoseconds)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    t.tv_sec += (time_t)(nanoseconds / 1000000000);
    t.tv_nsec += (long)(nanoseconds % 1000000000);
    t.tv_sec += t.tv_nsec / 1000000000;
    t.tv_nsec %= 1000000000;
    return t;
}

/* ---- fork ----------------------------------------------------------------------------------- */

#define OT_LOCKS_ONE_ __attribute__((weak, visibility("hidden")))

/* What this thread reads now; lock NULL: a free place. */
typedef struct {
    ot_global_rwlock_t *lock;
    long times;
} ot_lock_read_t;

/* Written in a child while it has one thread. process: this one's pid; forker: the thread it began with. */
OT_LOCKS_ONE_ int ot_lock_process = 0;
OT_LOCKS_ONE_ uintptr_t ot_lock_forker = 0;
OT_LOCKS_ONE_ pthread_once_t ot_lock_once = PTHREAD_ONCE_INIT;
OT_LOCKS_ONE_ __thread ot_lock_read_t ot_lock_reads[OT_MOST_READS] = {{NULL, 0}};

/* Whether this thread is to make a lock anew for this process; if so, ot_lock_renewed_ is due. Others that
 * come meanwhile wait here. */
static inline int
ot_lock_renew_(int *process)
{
    enum { RENEWING = -1 };
    int was = __atomic_load_n(process, __ATOMIC_ACQUIRE);
    while (was != ot_lock_process) {
        if (was == RENEWING) {
            sched_yield();
            was = __atomic_load_n(process, __ATOMIC_ACQUIRE);
        } else if (__atomic_compare_exchange_n(process, &was, RENEWING, 0, __ATOMIC_ACQUIRE,
                                               __ATOMIC_ACQUIRE)) {
            return 1;
        }
    }
    return 0;
}

/* Pairs with the loads in ot_lock_renew_. */
static inline void
ot_lock_renewed_(int *process)
{
    __atomic_store_n(process, ot_lock_process, __ATOMIC_RELEASE);
}

static inline void ot_lock_adopt_read_(ot_global_rwlock_t *lock, long times);

static inline void
ot_lock_after_fork_in_child_(void)
{
    ot_lock_process = (int)getpid();
    ot_lock_forker = ot_lock_me_();
    for (int i = 0; i < OT_MOST_READS; i++) {
        if (ot_lock_reads[i].lock != NULL) {
            ot_lock_adopt_read_(ot_lock_reads[i].lock, ot_lock_reads[i].times);
        }
    }
}

static inline void
ot_lock_begin_(void)
{
    ot_lock_process = (int)getpid();
    pthread_atfork(NULL, NULL, ot_lock_after_fork_in_child_);
}

/* Begins each use of a lock. The first one in a process puts in order what a fork left behind: a lock that
 * another thread than the forking one had is made anew and marked as abandoned, since its holder does not exist
 * here. A free lock is made anew as well: another thread may just have been taking it. */
static inline void
ot_lock_ready_(ot_global_lock_t *lock)
{
    pthread_once(&ot_lock_once, ot_lock_begin_);
    if (ot_lock_renew_(&lock->process)) {
        uintptr_t owner = __atomic_load_n(&lock->owner, __ATOMIC_RELAXED);
        if (owner == 0 || owner != ot_lock_forker) {
            pthread_mutex_t fresh = PTHREAD_MUTEX_INITIALIZER;
            lock->abandoned = owner != 0;
            lock->mutex = fresh;
            __atomic_store_n(&lock->owner, 0, __ATOMIC_RELAXED);
        }
        ot_lock_renewed_(&lock->process);
    }
}

static inline void
ot_rwlock_ready_(ot_global_rwlock_t *lock)
{
    pthread_once(&ot_lock_once, ot_lock_begin_);
    if (ot_lock_renew_(&lock->process)) {
        pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
        pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
        lock->mutex = mutex;
        lock->changed = changed;
        lock->readers = lock->waiting = 0;
        if (lock->owner != 0 && lock->owner != ot_lock_forker) {
            lock->owner = 0;
            lock->abandoned = 1;
        }
        ot_lock_renewed_(&lock->process);
    }
}

static inline void
ot_lock_adopt_read_(ot_global_rwlock_t *lock, long times)
{
    ot_rwlock_ready_(lock);
    lock->readers += times;
}

/* The caller has the lock. */
static inline int
ot_lock_tell_(const char *name, int *abandoned)
{
    if (*abandoned == 0) {
        return OT_LOCK_ACQUIRED;
    }
    *abandoned = 0;
    fprintf(
        stderr,
        "objtunnel: another thread had the global lock '%s' when this process was forked: what it "
        "guards may be half changed\n",
        name);
    return OT_LOCK_ABANDONED;
}

/* ---- mutex ---------------------------------------------------------------------------------- */

/* Whether it was free and is the caller's now. */
static inline int
ot_global_lock_try_acquire(ot_global_lock_t *lock)
{
    ot_lock_ready_(lock);
    int error = pthread_mutex_trylock(&lock->mutex);
    if (error == 0) {
        __atomic_store_n(&lock->owner, ot_lock_me_(), __ATOMIC_RELAXED);
        (void)ot_lock_tell_(lock->name, &lock->abandoned);
    } else if (error != EBUSY) {
        ot_lock_check(lock->name, "trying", error);
    }
    return error == 0;
}

/* Waits; only this thread itself can have written its own name as the owner's. */
static inline int
ot_global_lock_wait_(ot_global_lock_t *lock, const struct timespec *until)
{
    if (__atomic_load_n(&lock->owner, __ATOMIC_RELAXED) == ot_lock_me_()) {
        ot_lock_check(lock->name, "acquiring", EDEADLK);
    }
    void *state = ot_lock_detach();
    int error = until == NULL ? pthread_mutex_lock(&lock->mutex)
                              : pthread_mutex_timedlock(&lock->mutex, until);
    ot_lock_attach(state);
    if (error == 0) {
        __atomic_store_n(&lock->owner, ot_lock_me_(), __ATOMIC_RELAXED);
    } else if (error != ETIMEDOUT) {
        ot_lock_check(lock->name, "acquiring", error);
    }
    return error;
}

/* Returns OT_LOCK_ACQUIRED, or OT_LOCK_ABANDONED once after a fork: see the top. */
static inline int
ot_global_lock_acquire(ot_global_lock_t *lock)
{
    ot_lock_ready_(lock);
    if (pthread_mutex_trylock(&lock->mutex) == 0) {
        __atomic_store_n(&lock->owner, ot_lock_me_(), __ATOMIC_RELAXED);
    } else {
        (void)ot_global_lock_wait_(lock, NULL);
    }
    return ot_lock_tell_(lock->name, &lock->abandoned);
}

/* Whether it could be had within so many nanoseconds. */
static inline int
ot_global_lock_acquire_timed(ot_global_lock_t *lock, int64_t nanoseconds)
{
    if (ot_global_lock_try_acquire(lock)) {
        return 1;
    }
    struct timespec until = ot_lock_deadline_(nanoseconds);
    if (ot_global_lock_wait_(lock, &until) != 0) {
        return 0;
    }
    (void)ot_lock_tell_(lock->name, &lock->abandoned);
    return 1;
}

static inline void
ot_global_lock_release(ot_global_lock_t *lock)
{
    ot_lock_ready_(lock);
    if (__atomic_load_n(&lock->owner, __ATOMIC_RELAXED) != ot_lock_me_()) {
        ot_lock_check(lock->name, "releasing", EPERM);
    }
    __atomic_store_n(&lock->owner, 0, __ATOMIC_RELAXED);
    ot_lock_check(lock->name, "releasing", pthread_mutex_unlock(&lock->mutex));
}

/* ---- readers and a writer ------------------------------------------------------------------- */

/* The place of what this thread reads; with lock NULL a free one. NULL: there is none. */
static inline ot_lock_read_t *
ot_lock_find_read_(const ot_global_rwlock_t *lock)
{
    for (int i = 0; i < OT_MOST_READS; i++) {
        if (ot_lock_reads[i].lock == lock) {
            return &ot_lock_reads[i];
        }
    }
    return NULL;
}

static inline void
ot_lock_note_read_(ot_global_rwlock_t *lock)
{
    ot_lock_read_t *read = ot_lock_find_read_(lock);
    read = read != NULL ? read : ot_lock_find_read_(NULL);
    if (read != NULL) {
        read->lock = lock;
        read->times++;
    }
}

static inline void
ot_lock_forget_read_(ot_global_rwlock_t *lock)
{
    ot_lock_read_t *read = ot_lock_find_read_(lock);
    if (read != NULL && --read->times == 0) {
        read->lock = NULL;
    }
}

/* A mistake that would wait for ever. */
static inline void
ot_rwlock_check_wait_(const ot_global_rwlock_t *lock, int writes)
{
    if (lock->owner == ot_lock_me_() || (writes && ot_lock_find_read_(lock) != NULL)) {
        ot_lock_check(lock->name, "acquiring", EDEADLK);
    }
}

/* With its mutex: takes the lock if that is possible now. */
static inline int
ot_rwlock_take_(ot_global_rwlock_t *lock, int writes)
{
    if (lock->owner != 0 || (writes && lock->readers != 0) ||
        (!writes && lock->waiting != 0 && ot_lock_find_read_(lock) == NULL)) {
        return 0;
    }
    if (writes) {
        lock->owner = ot_lock_me_();
    } else {
        lock->readers++;
    }
    return 1;
}

/* Sleeps until it could take the lock or the time has come; whether it took it. Hold no GIL here. */
static inline int
ot_rwlock_wait_(ot_global_rwlock_t *lock, int writes, const struct timespec *until)
{
    int taken, error = 0;
    pthread_mutex_lock(&lock->mutex);
    lock->waiting += writes;
    while ((taken = ot_rwlock_take_(lock, writes)) == 0 && error != ETIMEDOUT) {
        error = until == NULL ? pthread_cond_wait(&lock->changed, &lock->mutex)
                              : pthread_cond_timedwait(&lock->changed, &lock->mutex, until);
    }
    lock->waiting -= writes;
    if (writes && !taken) {
        pthread_cond_broadcast(&lock->changed); /* readers waited for it */
    }
    pthread_mutex_unlock(&lock->mutex);
    return taken;
}

static inline int
ot_rwlock_acquire_(ot_global_rwlock_t *lock, int writes, int waits, const struct timespec *until)
{
    ot_rwlock_ready_(lock);
    pthread_mutex_lock(&lock->mutex);
    int taken = ot_rwlock_take_(lock, writes);
    if (!taken && waits) {
        ot_rwlock_check_wait_(lock, writes);
    }
    pthread_mutex_unlock(&lock->mutex);
    if (!taken && waits) {
        void *state = ot_lock_detach();
        taken = ot_rwlock_wait_(lock, writes, until);
        ot_lock_attach(state);
    }
    if (taken && !writes) {
        ot_lock_note_read_(lock);
    }
    return taken;
}

/* Waits as ot_global_lock_acquire does. Returns OT_LOCK_ACQUIRED always: only a writer is told of a lock
 * that was abandoned. */
static inline int
ot_global_rwlock_acquire_read(ot_global_rwlock_t *lock)
{
    (void)ot_rwlock_acquire_(lock, 0, 1, NULL);
    return OT_LOCK_ACQUIRED;
}

static inline int
ot_global_rwlock_acquire_write(ot_global_rwlock_t *lock)
{
    (void)ot_rwlock_acquire_(lock, 1, 1, NULL);
    return ot_lock_tell_(lock->name, &lock->abandoned);
}

static inline int
ot_global_rwlock_try_acquire_read(ot_global_rwlock_t *lock)
{
    return ot_rwlock_acquire_(lock, 0, 0, NULL);
}

static inline int
ot_global_rwlock_try_acquire_write(ot_global_rwlock_t *lock)
{
    int taken = ot_rwlock_acquire_(lock, 1, 0, NULL);
    if (taken) {
        (void)ot_lock_tell_(lock->name, &lock->abandoned);
    }
    return taken;
}

/* Whether it could be had within so many nanoseconds. */
static inline int
ot_global_rwlock_acquire_read_timed(ot_global_rwlock_t *lock, int64_t nanoseconds)
{
    struct timespec until = ot_lock_deadline_(nanoseconds);
    return ot_rwlock_acquire_(lock, 0, 1, &until);
}

static inline int
ot_global_rwlock_acquire_write_timed(ot_global_rwlock_t *lock, int64_t nanoseconds)
{
    struct timespec until = ot_lock_deadline_(nanoseconds);
    int taken = ot_rwlock_acquire_(lock, 1, 1, &until);
    if (taken) {
        (void)ot_lock_tell_(lock->name, &lock->abandoned);
    }
    return taken;
}

/* Ends the caller's read or write. */
static inline void
ot_global_rwlock_release(ot_global_rwlock_t *lock)
{
    ot_rwlock_ready_(lock);
    pthread_mutex_lock(&lock->mutex);
    int writes = lock->owner == ot_lock_me_(), held = writes || lock->readers > 0;
    if (writes) {
        lock->owner = 0;
    } else if (held) {
        lock->readers--;
    }
    if (writes || lock->readers == 0) {
        pthread_cond_broadcast(&lock->changed);
    }
    pthread_mutex_unlock(&lock->mutex);
    ot_lock_check(lock->name, "releasing", held ? 0 : EPERM);
    if (!writes) {
        ot_lock_forget_read_(lock);
    }
}

#ifdef __cplusplus
}
#endif
#endif
