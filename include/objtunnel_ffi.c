/* SPDX-License-Identifier: MIT. Copyright (c) the objtunnel developers; this file may be copied. */
/* objtunnel_ffi.c: the functions of objtunnel's headers as symbols, for languages that cannot include
 * them: Rust, Fortran and others.
 *
 * Purpose: compile this file into a static library of your extension (with CPython's headers) and link
 * it. It is the header-only variant; with -DOBJTUNNEL_FFI_CAPSULE it is the capsule's.
 * Main invariant: as the headers' functions; the objects that _new makes live until the process ends.
 * Threading: as the headers' functions. Call each _new once in the process (Rust: a OnceLock), and keep
 * what it gives; NULL without memory, with no exception set.
 */
#ifdef OBJTUNNEL_FFI_CAPSULE
#include "objtunnel.h"
#else
#include "objtunnel_global.h"
#endif

#include <stdlib.h>

/* A new object, initialised as the macro of its type says. */
#define OT_FFI_NEW(type, given)                                                                    \
    type initial = given;                                                                          \
    type *o = (type *)malloc(sizeof *o);                                                           \
    if (o != NULL) {                                                                               \
        *o = initial;                                                                              \
    }                                                                                              \
    return o

ot_global_t *objtunnel_global_new(const char *name, void (*exit)(void));
int objtunnel_global_enter(ot_global_t *g, ot_init_t init, void *arg);
int objtunnel_global_leave(ot_global_t *g);
int objtunnel_global_enter_for(ot_global_t *g, const void *holder, ot_init_t init, void *arg);
int objtunnel_global_leave_for(ot_global_t *g, const void *holder);
ot_registry_t *objtunnel_registry_new(const char *name,
                                      void (*destroy)(const char *key, void *value));
int objtunnel_registry_get(ot_registry_t *r, const char *key, ot_create_t create, void *arg,
                           void **value);
int objtunnel_registry_put(ot_registry_t *r, const char *key);
ot_global_lock_t *objtunnel_lock_new(const char *name);
int objtunnel_lock_acquire(ot_global_lock_t *lock);
int objtunnel_lock_try_acquire(ot_global_lock_t *lock);
int objtunnel_lock_acquire_timed(ot_global_lock_t *lock, int64_t nanoseconds);
void objtunnel_lock_release(ot_global_lock_t *lock);
ot_global_rwlock_t *objtunnel_rwlock_new(const char *name);
int objtunnel_rwlock_acquire_read(ot_global_rwlock_t *lock);
int objtunnel_rwlock_acquire_write(ot_global_rwlock_t *lock);
int objtunnel_rwlock_try_acquire_read(ot_global_rwlock_t *lock);
int objtunnel_rwlock_try_acquire_write(ot_global_rwlock_t *lock);
int objtunnel_rwlock_acquire_read_timed(ot_global_rwlock_t *lock, int64_t nanoseconds);
int objtunnel_rwlock_acquire_write_timed(ot_global_rwlock_t *lock, int64_t nanoseconds);
void objtunnel_rwlock_release(ot_global_rwlock_t *lock);

ot_global_t *
objtunnel_global_new(const char *name, void (*exit)(void))
{
    OT_FFI_NEW(ot_global_t, OT_GLOBAL_INIT(name, exit));
}

int
objtunnel_global_enter(ot_global_t *g, ot_init_t init, void *arg)
{
    return ot_global_enter(g, init, arg);
}

int
objtunnel_global_leave(ot_global_t *g)
{
    return ot_global_leave(g);
}

int
objtunnel_global_enter_for(ot_global_t *g, const void *holder, ot_init_t init, void *arg)
{
    return ot_global_enter_for(g, holder, init, arg);
}

int
objtunnel_global_leave_for(ot_global_t *g, const void *holder)
{
    return ot_global_leave_for(g, holder);
}

ot_registry_t *
objtunnel_registry_new(const char *name, void (*destroy)(const char *key, void *value))
{
    OT_FFI_NEW(ot_registry_t, OT_REGISTRY_INIT(name, destroy));
}

int
objtunnel_registry_get(ot_registry_t *r, const char *key, ot_create_t create, void *arg,
                       void **value)
{
    return ot_registry_get(r, key, create, arg, value);
}

int
objtunnel_registry_put(ot_registry_t *r, const char *key)
{
    return ot_registry_put(r, key);
}

ot_global_lock_t *
objtunnel_lock_new(const char *name)
{
    OT_FFI_NEW(ot_global_lock_t, OT_GLOBAL_LOCK_INIT(name));
}

int
objtunnel_lock_acquire(ot_global_lock_t *lock)
{
    return ot_global_lock_acquire(lock);
}

int
objtunnel_lock_try_acquire(ot_global_lock_t *lock)
{
    return ot_global_lock_try_acquire(lock);
}

int
objtunnel_lock_acquire_timed(ot_global_lock_t *lock, int64_t nanoseconds)
{
    return ot_global_lock_acquire_timed(lock, nanoseconds);
}

void
objtunnel_lock_release(ot_global_lock_t *lock)
{
    ot_global_lock_release(lock);
}

ot_global_rwlock_t *
objtunnel_rwlock_new(const char *name)
{
    OT_FFI_NEW(ot_global_rwlock_t, OT_GLOBAL_RWLOCK_INIT(name));
}

int
objtunnel_rwlock_acquire_read(ot_global_rwlock_t *lock)
{
    return ot_global_rwlock_acquire_read(lock);
}

int
objtunnel_rwlock_acquire_write(ot_global_rwlock_t *lock)
{
    return ot_global_rwlock_acquire_write(lock);
}

int
objtunnel_rwlock_try_acquire_read(ot_global_rwlock_t *lock)
{
    return ot_global_rwlock_try_acquire_read(lock);
}

int
objtunnel_rwlock_try_acquire_write(ot_global_rwlock_t *lock)
{
    return ot_global_rwlock_try_acquire_write(lock);
}

int
objtunnel_rwlock_acquire_read_timed(ot_global_rwlock_t *lock, int64_t nanoseconds)
{
    return ot_global_rwlock_acquire_read_timed(lock, nanoseconds);
}

int
objtunnel_rwlock_acquire_write_timed(ot_global_rwlock_t *lock, int64_t nanoseconds)
{
    return ot_global_rwlock_acquire_write_timed(lock, nanoseconds);
}

void
objtunnel_rwlock_release(ot_global_rwlock_t *lock)
{
    ot_global_rwlock_release(lock);
}
