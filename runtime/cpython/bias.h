/* bias.h: whose an object is, on free-threaded builds (object.h, pycore_object.h, pycore_gc.h, Objects/object.c).
 *
 * There an object has two reference counts. Its owner, the thread `ob_tid`, counts in `ob_ref_local` without
 * atomics; all other threads count in `ob_ref_shared` with them. Which thread is the owner is a matter of speed
 * only: the sum of both counts is what keeps the object alive.
 *
 * Main invariant: each function keeps the sum, and none changes an owner while the old or the new one can be
 * within an update of the local count.
 *
 * Threading: the caller has an attached thread state, and the functions say what else must hold.
 *
 * To be read again with each minor version, because all of this depends on them: Py_INCREF, Py_DECREF,
 * _Py_TryIncrefFast, _Py_TryIncRefShared (they read ob_tid and the flags without a lock), _Py_DecRefShared
 * (QUEUED), _Py_MergeZeroLocalRefcount and _Py_ExplicitMergeRefcount (MERGED), _PyObject_SetMaybeWeakref and
 * PyUnstable_EnableTryIncRef (MAYBE_WEAKREF), gc_restore_tid in Python/gc_free_threading.c (the collector changes
 * owners, too), ensure_shared_on_read and ensure_shared_on_resize in listobject.c and dictobject.c (an owner reads
 * without a lock).
 */
#ifndef OT_RUNTIME_CPYTHON_BIAS_H
#define OT_RUNTIME_CPYTHON_BIAS_H

#include "runtime/cpython/object.h"

#ifndef Py_GIL_DISABLED
#error "only free-threaded builds have owners"
#endif

/* What an object's header says, read at one moment by a thread that may be none of its owners: a look only. */
typedef struct {
    uintptr_t thread; /* 0: nobody's */
    uint32_t local;
    Py_ssize_t shared;
    unsigned flags; /* of the shared count: OT_BIAS_* */
    bool immortal, deferred, is_shared;
} ot_bias_t;

enum {
    OT_BIAS_WEAKREF = _Py_REF_MAYBE_WEAKREF,
    OT_BIAS_QUEUED = _Py_REF_QUEUED,
    OT_BIAS_MERGED = _Py_REF_MERGED,
};

static inline uintptr_t
ot_bias_me(void)
{
    return _Py_ThreadId();
}

static inline Py_ssize_t
ot_bias_shared_refs(Py_ssize_t shared)
{
    return Py_ARITHMETIC_RIGHT_SHIFT(Py_ssize_t, shared, _Py_REF_SHARED_SHIFT);
}

static inline bool
ot_bias_deferred(PyObject *o)
{
    return _PyObject_HAS_GC_BITS(o, _PyGC_BITS_DEFERRED);
}

static inline ot_bias_t
ot_bias_of(PyObject *o)
{
    Py_ssize_t shared = _Py_atomic_load_ssize_relaxed(&o->ob_ref_shared);
    return (ot_bias_t){
        .thread = _Py_atomic_load_uintptr_relaxed(&o->ob_tid),
        .local = _Py_atomic_load_uint32_relaxed(&o->ob_ref_local),
        .shared = ot_bias_shared_refs(shared),
        .flags = (unsigned)shared & _Py_REF_SHARED_FLAG_MASK,
        .immortal = _Py_IsImmortal(o),
        .deferred = ot_bias_deferred(o),
        .is_shared = _PyObject_GC_IS_SHARED(o),
    };
}

/* Weak references, and what C code enables by PyUnstable_EnableTryIncRef, need the flag MAYBE_WEAKREF for as long
 * as the object lives. Of types without them the flag only says that another thread has read a container
 * without its lock. */
static inline bool
ot_bias_flag_is_needed(PyObject *o)
{
    return Py_TYPE(o)->tp_weaklistoffset != 0 || PyType_HasFeature(Py_TYPE(o), Py_TPFLAGS_HEAPTYPE);
}

static inline uint32_t
ot_bias_count_slow(PyObject *o, uintptr_t owner, Py_ssize_t shared, uintptr_t me)
{
    if (ot_bias_flag_is_needed(o) || ot_bias_deferred(o)) {
        return 0;
    }
    if (owner == me && shared == _Py_REF_MAYBE_WEAKREF) {
        return _Py_atomic_load_uint32_relaxed(&o->ob_ref_local);
    }
    Py_ssize_t refs = ot_bias_shared_refs(shared);
    bool merged = owner == _Py_UNOWNED_TID && (shared & _Py_REF_SHARED_FLAG_MASK) == _Py_REF_MERGED;
    return merged && refs > 0 && refs < UINT32_MAX - 1 ? (uint32_t)refs : 0;
}

/* How many references there are to a mortal object, if the calling thread can be sure: it is the owner or nobody
 * is, nobody else has counted a reference, and no flag lets others count one. 0: it cannot be sure. */
static inline uint32_t
ot_bias_count(PyObject *o, uintptr_t me)
{
    uintptr_t owner = _Py_atomic_load_uintptr_relaxed(&o->ob_tid);
    /* Acquire: pairs with the release by which another thread gave back its last reference. */
    Py_ssize_t shared = _Py_atomic_load_ssize_acquire(&o->ob_ref_shared);
    if (owner == me && shared == 0 && !ot_bias_deferred(o)) {
        return _Py_atomic_load_uint32_relaxed(&o->ob_ref_local);
    }
    return ot_bias_count_slow(o, owner, shared, me);
}

static inline bool
ot_bias_take_slow(PyObject *o, uintptr_t owner, Py_ssize_t shared, uintptr_t from, uintptr_t me)
{
    Py_ssize_t expected = shared;
    if (owner == from && shared == _Py_REF_MAYBE_WEAKREF) {
        if (!_Py_atomic_compare_exchange_ssize(&o->ob_ref_shared, &expected, 0)) {
            return false; /* somebody looks through an old container just now: it stays the sender's */
        }
        _Py_atomic_store_uintptr_release(&o->ob_tid, me);
        return true;
    }
    if (owner != _Py_UNOWNED_TID || (shared & _Py_REF_SHARED_FLAG_MASK) != _Py_REF_MERGED) {
        return false;
    }
    /* From here to the last store nobody can count: a shared count of 0 without a flag refuses. */
    if (!_Py_atomic_compare_exchange_ssize(&o->ob_ref_shared, &expected, 0)) {
        return false;
    }
    _Py_atomic_store_uint32_relaxed(&o->ob_ref_local, (uint32_t)ot_bias_shared_refs(shared));
    _Py_atomic_store_uintptr_release(&o->ob_tid, me);
    return true;
}

/* Makes the calling thread the owner of an object that the thread `from` has proved closed (ot_bias_count) and
 * handed over. Needs: nobody else can reach the object but by a stale look into an old container. The new owner
 * stores itself, as the last thing: nobody but it writes the local count then. False: it stays as it is, which
 * is slower and just as right. */
static inline bool
ot_bias_take(PyObject *o, uintptr_t from, uintptr_t me)
{
    uintptr_t owner = _Py_atomic_load_uintptr_relaxed(&o->ob_tid);
    Py_ssize_t shared = _Py_atomic_load_ssize_acquire(&o->ob_ref_shared);
    if (owner == from && shared == 0) {
        _Py_atomic_store_uintptr_release(&o->ob_tid, me);
        return true;
    }
    return ot_bias_take_slow(o, owner, shared, from, me);
}

/* Makes the calling thread the owner of any object, while all other threads are stopped: no thread is within an update
 * of a count then, so that nothing need be proved. False: nothing was done, because it is immortal, deferred, in the owner's queue of
 * counts to be merged, or the caller's already. */
static inline bool
ot_bias_take_stopped(PyObject *o, uintptr_t me)
{
    ot_bias_t bias = ot_bias_of(o);
    if (bias.immortal || bias.deferred || bias.flags == OT_BIAS_QUEUED ||
        (bias.thread == me && bias.shared == 0)) {
        return false;
    }
    Py_ssize_t refs = (Py_ssize_t)bias.local + bias.shared;
    if (refs <= 0 || refs >= UINT32_MAX - 1) {
        return false;
    }
    /* MERGED has swallowed the flag. */
    bool keeps = bias.flags == OT_BIAS_WEAKREF ||
                 (bias.flags == OT_BIAS_MERGED && ot_bias_flag_is_needed(o));
    _Py_atomic_store_ssize_relaxed(&o->ob_ref_shared, keeps ? _Py_REF_MAYBE_WEAKREF : 0);
    _Py_atomic_store_uint32_relaxed(&o->ob_ref_local, (uint32_t)refs);
    _Py_atomic_store_uintptr_release(&o->ob_tid, me);
    return true;
}

typedef struct {
    void (*call)(void *arg); /* NULL: done */
    void *arg;
} ot_bias_stopped_t;

static inline int
ot_bias_first_only(PyObject *unused, void *arg)
{
    (void)unused;
    ot_bias_stopped_t *stopped = arg;
    if (stopped->call != NULL) {
        stopped->call(stopped->arg);
        stopped->call = NULL;
    }
    return 0; /* no more objects */
}

/* Calls call(arg) while all other threads of the interpreter are stopped. It must not allocate, count or free
 * Python objects. The collector's walk over all objects is the public way to stop them. Runs: -. */
static inline void
ot_bias_while_stopped(void (*call)(void *arg), void *arg)
{
    ot_bias_stopped_t stopped = {call, arg};
    PyUnstable_GC_VisitObjects(ot_bias_first_only, &stopped);
}

/* Whether only one reference to o seems to be there, and another thread has counted it. A container that was received
 * looks so after a collection: gc_restore_tid makes the thread that owns its memory its owner. A look only. */
static inline bool
ot_bias_is_lone_stranger(PyObject *o, uintptr_t me)
{
    ot_bias_t bias = ot_bias_of(o);
    return bias.thread != me && bias.thread != _Py_UNOWNED_TID && bias.local == 1 &&
           bias.shared == 0 && bias.flags == 0;
}

/* Whether the content of a list or dict may be taken out by swapping pointers: no other thread reads it without
 * its lock. The caller holds that lock (a critical section). */
static inline bool
ot_bias_content_is_mine(PyObject *o)
{
    uintptr_t owner = _Py_atomic_load_uintptr_relaxed(&o->ob_tid);
    return (owner == ot_bias_me() || owner == _Py_UNOWNED_TID) && !_PyObject_GC_IS_SHARED(o);
}

/* Swaps what two lists hold. The caller has both for itself, or holds the lock of the one that others reach. */
static inline void
ot_bias_list_swap(PyObject *a, PyObject *b)
{
    PyListObject *x = (PyListObject *)a, *y = (PyListObject *)b;
    PyObject **items = x->ob_item;
    Py_ssize_t size = Py_SIZE(x), allocated = x->allocated;
    _Py_atomic_store_ptr_release(&x->ob_item, y->ob_item);
    x->allocated = y->allocated;
    Py_SET_SIZE(x, Py_SIZE(y));
    _Py_atomic_store_ptr_release(&y->ob_item, items);
    y->allocated = allocated;
    Py_SET_SIZE(y, size);
}

/* Swaps what two combined dicts hold that nobody watches. The caller has both for itself, or holds the lock of the one
 * that others reach; their len() reads without that lock. */
static inline void
ot_bias_dict_swap(PyObject *a, PyObject *b)
{
    PyDictObject *x = (PyDictObject *)a, *y = (PyDictObject *)b;
    PyDictKeysObject *keys = x->ma_keys;
    Py_ssize_t used = x->ma_used;
    _Py_atomic_store_ptr_release(&x->ma_keys, y->ma_keys);
    _Py_atomic_store_ssize_relaxed(&x->ma_used, y->ma_used);
    _Py_atomic_store_ptr_release(&y->ma_keys, keys);
    _Py_atomic_store_ssize_relaxed(&y->ma_used, used);
}

/* Takes a container that nobody else reaches out of the collector's sight; whether it was in it. */
static inline bool
ot_bias_untrack(PyObject *o)
{
    if (!PyType_IS_GC(Py_TYPE(o)) || !_PyObject_GC_IS_TRACKED(o)) {
        return false;
    }
    _PyObject_GC_UNTRACK(o);
    return true;
}

#endif
