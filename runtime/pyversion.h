/* pyversion.h: the only file that knows CPython's private layouts.
 *
 * Purpose: everything objtunnel reads or writes behind the public C API, as small functions
 * named for what they mean. Porting to a new Python version means reading this file beside
 * that version's headers, and nothing else.
 *
 * Invariant: a layout is used only in the micro version it was compiled against
 * (ot_py_check_version, called at import): CPython keeps private structs stable within a micro
 * version only; 3.14's collector changed its between two of them.
 *
 * Threading: unless a function says otherwise the caller holds the GIL of the interpreter that
 * owns the object, or the object is in transit and reachable from one thread only.
 */
#ifndef OT_RUNTIME_PYVERSION_H
#define OT_RUNTIME_PYVERSION_H

#define Py_BUILD_CORE_MODULE 1
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#if PY_VERSION_HEX < 0x030d0000
#error "objtunnel needs CPython 3.13 or newer"
#endif
#ifdef Py_GIL_DISABLED
#error "objtunnel does not support free-threaded builds yet: use a build with a GIL"
#endif

#include <internal/pycore_ceval.h>
#include <internal/pycore_crossinterp.h>
#include <internal/pycore_dict.h>
#include <internal/pycore_frame.h>
#include <internal/pycore_gc.h>
#include <internal/pycore_interp.h>
#include <internal/pycore_pymem.h>
#include <internal/pycore_pystate.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* ---- the process ------------------------------------------------------------------------ */

/* Returns -1 with ImportError set if the running micro version is not the compiled one. */
static inline int
ot_py_check_version(void)
{
    if ((Py_Version >> 8) == (PY_VERSION_HEX >> 8)) {
        return 0;
    }
    PyErr_Format(PyExc_ImportError,
                 "objtunnel was built for Python %s and knows the object layouts of that version "
                 "only; this is %s. Build it again with this Python (make, or pip install "
                 "--force-reinstall --no-binary objtunnel objtunnel)",
                 PY_VERSION, Py_GetVersion());
    return -1;
}

/* The allocator set up at start ("pymalloc", "malloc_debug", ...), NULL if somebody replaced it. */
static inline const char *
ot_py_allocator_name(void)
{
    return _PyMem_GetCurrentAllocatorName();
}

/* ---- threads and interpreters ----------------------------------------------------------- */

/* Address of the GIL under which tstate runs: its interpreter's own one, or the main one. */
static inline void *
ot_py_gil(PyThreadState *tstate)
{
    return tstate->interp->ceval.gil;
}

/* Whether that GIL is the interpreter's own; if not it is the main interpreter's. */
static inline bool
ot_py_owns_gil(PyInterpreterState *interp)
{
    return interp->ceval.own_gil != 0;
}

/* Whether the interpreter's collector is at work right now (also seen by other threads of the
 * interpreter while a finaliser runs Python code). */
static inline bool
ot_py_collecting(PyInterpreterState *interp)
{
    return interp->gc.collecting != 0;
}

/* Has func(arg) called between two bytecodes of some thread of interp; returning -1 there with
 * an exception set raises it. Needs no GIL. Returns -1 if the interpreter's list is full. */
static inline int
ot_py_add_pending_call(PyInterpreterState *interp, int (*func)(void *), void *arg)
{
    return (int)_PyEval_AddPendingCall(interp, func, arg, 0) == 0 ? 0 : -1;
}

/* Raises what PyThreadState_SetAsyncExc has on its way to the calling thread; whether there was
 * something. */
static inline bool
ot_py_raise_async_exc(void)
{
    PyThreadState *tstate = PyThreadState_Get();
    PyObject *exc = Py_XNewRef(tstate->async_exc);
    if (exc == NULL) {
        return false;
    }
    PyThreadState_SetAsyncExc(tstate->thread_id, NULL);
    PyErr_SetNone(exc);
    Py_DECREF(exc);
    return true;
}

/* Whether the caller's evaluation stack holds the only reference to o, as in f((a, b)): then
 * nobody can look at o again once the call returns. 3.13 cannot tell such a temporary from one
 * that a C caller (functools.partial) still owns: always "no". */
static inline bool
ot_py_is_temporary(PyObject *o)
{
#if PY_VERSION_HEX >= 0x030e0000
    return PyUnstable_Object_IsUniqueReferencedTemporary(o);
#else
    (void)o;
    return false;
#endif
}

/* The same where being wrong does no harm to memory. On 3.13 wrong of an object that only a C caller
 * owns and whose address still lies, stale, on the calling function's stack. */
static inline bool
ot_py_seems_temporary(PyObject *o)
{
#if PY_VERSION_HEX >= 0x030e0000
    return ot_py_is_temporary(o);
#else
    _PyInterpreterFrame *frame = PyThreadState_Get()->current_frame;
    if (Py_REFCNT(o) != 1 || frame == NULL || frame->owner == FRAME_OWNED_BY_CSTACK) {
        return false;
    }
    const PyCodeObject *code = _PyFrame_GetCode(frame);
    PyObject **slot = frame->localsplus + code->co_nlocalsplus, **end = slot + code->co_stacksize;
    while (slot < end && *slot != o) {
        slot++;
    }
    return slot < end;
#endif
}

/* ---- objects ---------------------------------------------------------------------------- */

/* A str's hash, -1 if it was not asked for yet. */
static inline Py_hash_t
ot_str_cached_hash(PyObject *o)
{
    return ((PyASCIIObject *)o)->hash;
}

static inline bool
ot_py_immortal(PyObject *o)
{
    return _Py_IsImmortal(o);
}

/* Whether reference counts are atomic, as in the variants of CPython that lab/ builds: then
 * references to one object may be taken and given back under several GILs at once. */
static inline bool
ot_py_counts_atomically(void)
{
#ifdef OT_ATOMIC_REFCOUNTS
    return true;
#else
    return false;
#endif
}

/* Of a mortal object. */
static inline void
ot_py_add_refs(PyObject *o, Py_ssize_t n)
{
#ifdef OT_ATOMIC_REFCOUNTS
    ot_refcnt_add(&o->ob_refcnt, n);
#else
    Py_SET_REFCNT(o, Py_REFCNT(o) + n);
#endif
}

/* Gives back n references at once. May free o: the caller is ready for what a dealloc of a str
 * or a type does, and for nothing else. */
static inline void
ot_py_release(PyObject *o, Py_ssize_t n)
{
    if (n <= 0 || _Py_IsImmortal(o)) {
        return;
    }
    ot_py_add_refs(o, 1 - n);
    Py_DECREF(o);
}

/* Takes n references at once. */
static inline void
ot_py_retain(PyObject *o, Py_ssize_t n)
{
    if (!_Py_IsImmortal(o)) {
        ot_py_add_refs(o, n);
    }
}

/* A bitwise copy of a leaf of `size` bytes, refcount 1, in a block of its own (never from a
 * free list, which may hold blocks of an older allocator). New reference or MemoryError. */
static inline PyObject *
ot_py_copy_block(PyObject *o, size_t size)
{
    PyObject *copy = PyObject_Malloc(size);
    if (copy == NULL) {
        return PyErr_NoMemory();
    }
    memcpy((void *)copy, (void *)o, size);
    return PyObject_Init(copy, Py_TYPE(o));
}

/* For an object of a type that is known to have a collector header. */
static inline bool
ot_gc_header_is_tracked(PyObject *o)
{
    return _Py_AS_GC(o)->_gc_next != 0;
}

static inline bool
ot_gc_is_tracked(PyObject *o)
{
    return PyType_IS_GC(Py_TYPE(o)) && _PyObject_GC_IS_TRACKED(o);
}

/* Has the collector track a container that may refer to instances still without a type, which a
 * debug build's PyObject_GC_Track would look at. */
static inline void
ot_gc_track(PyObject *o)
{
    _PyObject_GC_TRACK(o);
}

/* Gives up a reference to an object that nobody ever saw: its class's __del__ does not run. It may
 * not be tracked yet: 3.13's slice_dealloc takes it for granted that it is. NULL is fine. */
static inline void
ot_py_drop_unfinished(PyObject *o)
{
    if (o != NULL && PyType_IS_GC(Py_TYPE(o))) {
        _PyGC_SET_FINALIZED(o);
        if (!ot_gc_is_tracked(o)) {
            ot_gc_track(o);
        }
    }
    Py_XDECREF(o);
}

/* A new untracked object of a type with a collector header: of a heap type, its slots and fields
 * are zero; of a built-in one they are the caller's to fill. n: items, for types with items. */
static inline PyObject *
ot_py_new_container(PyTypeObject *type, Py_ssize_t n)
{
    if (!PyType_HasFeature(type, Py_TPFLAGS_HEAPTYPE)) {
        return type->tp_itemsize == 0 ? (PyObject *)PyObject_GC_New(PyObject, type)
                                      : (PyObject *)PyObject_GC_NewVar(PyVarObject, type, n);
    }
    PyObject *o = PyType_GenericAlloc(type, n);
    if (o != NULL) {
        PyObject_GC_UnTrack(o);
    }
    return o;
}

static inline void
ot_py_set_type_steal(PyObject *o, PyTypeObject *type)
{
    o->ob_type = type;
}

/* ---- the collector's lists ---------------------------------------------------------------- */

/* Whether this version's young generation is a plain list that others may be spliced into. The
 * incremental collector of early 3.14 marked its members; 3.14.10 has plain lists again. */
#define OT_GC_SPLICES (PY_VERSION_HEX < 0x030e0000 || PY_VERSION_HEX >= 0x030e0a00)

/* Whether the collector counts the members of its lists (for deciding when to run). */
#define OT_GC_COUNTS (OT_GC_SPLICES && PY_VERSION_HEX >= 0x030e0000)

/* Containers on their way from one interpreter's collector to another's, chained through their
 * collector headers. Zero-initialised is empty.
 *
 * Objects are mostly walked in the order in which they were made, so most that are added are
 * neighbours on the collector's list already. Such a run stays where it is until it ends, and is
 * then taken off and appended as a whole: nothing is written for each of its members.
 *
 * Invariants: the members of run are neighbours on a list of the current interpreter's collector,
 * in that order; all others are reachable from first by _gc_next, the last one's is 0, and no
 * interpreter's lists know of them. */
typedef struct {
    PyGC_Head *first, *last;
    PyGC_Head *run_first, *run_last;
    Py_ssize_t run_len;
    Py_ssize_t len;       /* without the run */
    Py_ssize_t uncounted; /* taken off the lists; the collector's count does not know yet */
} ot_gc_chain_t;

/* Appends what is linked from `from` to `to`. */
static inline void
ot_gc_chain_append(ot_gc_chain_t *chain, PyGC_Head *from, PyGC_Head *to, Py_ssize_t n)
{
    if (chain->last != NULL) {
        _PyGCHead_SET_NEXT(chain->last, from);
        _PyGCHead_SET_PREV(from, chain->last);
    } else {
        chain->first = from;
    }
    to->_gc_next = 0;
    chain->last = to;
    chain->len += n;
}

/* Takes the run off the collector's list. */
static inline void
ot_gc_chain_end_run(ot_gc_chain_t *chain)
{
    PyGC_Head *from = chain->run_first, *to = chain->run_last;
    if (from == NULL) {
        return;
    }
    PyGC_Head *before = _PyGCHead_PREV(from), *after = _PyGCHead_NEXT(to);
    _PyGCHead_SET_NEXT(before, after);
    _PyGCHead_SET_PREV(after, before);
    chain->uncounted += chain->run_len;
    ot_gc_chain_append(chain, from, to, chain->run_len);
    chain->run_first = chain->run_last = NULL;
    chain->run_len = 0;
}

/* Takes o off its interpreter's lists, if it is on one, and appends it; not necessarily in order.
 * The caller calls ot_gc_chain_leave before it runs anything else in that interpreter. */
static inline void
ot_gc_chain_add(ot_gc_chain_t *chain, PyObject *o)
{
    PyGC_Head *gc = _Py_AS_GC(o);
#if OT_GC_SPLICES
    if (gc->_gc_next != 0) {
        PyGC_Head *last = chain->run_last;
        if (last != NULL && _PyGCHead_NEXT(last) == gc) {
            chain->run_last = gc;
            chain->run_len++;
            return;
        }
        if (last != NULL && _PyGCHead_PREV(chain->run_first) == gc) {
            chain->run_first = gc; /* a parent made before its children */
            chain->run_len++;
            return;
        }
        ot_gc_chain_end_run(chain);
        chain->run_first = chain->run_last = gc;
        chain->run_len = 1;
        return;
    }
#else
    PyObject_GC_UnTrack(o);
#endif
    ot_gc_chain_append(chain, gc, gc, 1);
}

/* Appends o, which may be in the chain already but on no collector's list; the chain's last object
 * looks untracked. */
static inline void
ot_gc_chain_include(ot_gc_chain_t *chain, PyObject *o)
{
    if (!ot_gc_header_is_tracked(o) && chain->last != _Py_AS_GC(o)) {
        ot_gc_chain_append(chain, _Py_AS_GC(o), _Py_AS_GC(o), 1);
    }
}

/* Takes the last run off the lists, and has the collector of the current interpreter, which the
 * chain came from, count right. */
static inline void
ot_gc_chain_leave(ot_gc_chain_t *chain)
{
    ot_gc_chain_end_run(chain);
#if OT_GC_COUNTS
    PyInterpreterState_Get()->gc.heap_size -= chain->uncounted;
#endif
    chain->uncounted = 0;
}

/* Has the current interpreter's collector track the whole chain, which is empty afterwards. One
 * splice, where the version allows it, however long the chain is. */
static inline void
ot_gc_chain_track(ot_gc_chain_t *chain)
{
    ot_gc_chain_leave(chain);
    if (chain->first == NULL) {
        return;
    }
#if OT_GC_SPLICES
    struct _gc_runtime_state *gc = &PyInterpreterState_Get()->gc;
    PyGC_Head *young = gc->generation0, *before = (PyGC_Head *)young->_gc_prev;
    _PyGCHead_SET_NEXT(before, chain->first);
    _PyGCHead_SET_PREV(chain->first, before);
    _PyGCHead_SET_NEXT(chain->last, young);
    young->_gc_prev = (uintptr_t)chain->last;
#if OT_GC_COUNTS
    gc->heap_size += chain->len;
#endif
#else
    for (PyGC_Head *gc = chain->first, *next; gc != NULL; gc = next) {
        next = _PyGCHead_NEXT(gc);
        gc->_gc_next = 0;
        ot_gc_track(_Py_FROM_GC(gc));
    }
#endif
    *chain = (ot_gc_chain_t){0};
}

/* How many containers the current interpreter's collector thinks it has, which decides when it
 * runs; 0 where it does not count. */
static inline Py_ssize_t
ot_gc_counted(void)
{
#if OT_GC_COUNTS
    return PyInterpreterState_Get()->gc.heap_size;
#else
    return 0;
#endif
}

/* ---- int ---------------------------------------------------------------------------------*/

static inline size_t
ot_int_block_size(PyObject *o)
{
    Py_ssize_t digits = (Py_ssize_t)(((PyLongObject *)o)->long_value.lv_tag >> 3);
    return offsetof(PyLongObject, long_value.ob_digit) +
           sizeof(digit) * (size_t)(digits > 0 ? digits : 1);
}

/* Whether o is an int of one digit, but none of those that all share. */
static inline bool
ot_int_takes_one_digit(PyObject *o)
{
    return PyLong_CheckExact(o) && !ot_py_immortal(o) &&
           ((PyLongObject *)o)->long_value.lv_tag >> 3 == 1;
}

/* Gives `mine`, which nobody else refers to, the value of another; false if it is not of one digit.
 * `from` is. No hash of an int is cached (longintrepr.h). */
static inline bool
ot_int_overwrite(PyObject *mine, PyObject *from)
{
    if (!ot_int_takes_one_digit(mine)) {
        return false;
    }
    _PyLongValue *to = &((PyLongObject *)mine)->long_value;
    const _PyLongValue *value = &((PyLongObject *)from)->long_value;
    to->lv_tag = value->lv_tag;
    to->ob_digit[0] = value->ob_digit[0]; /* the block may end here, before the struct does */
    return true;
}

/* ---- str -------------------------------------------------------------------------------- */

/* Interned in some interpreter's own table: that interpreter's, even when immortal. */
static inline bool
ot_str_interned(PyObject *o)
{
    unsigned state = PyUnicode_CHECK_INTERNED(o);
    return state == SSTATE_INTERNED_MORTAL || state == SSTATE_INTERNED_IMMORTAL;
}

/* A str compiled into the interpreter's image: the same in every interpreter. */
static inline bool
ot_str_static(PyObject *o)
{
    PyASCIIObject *s = (PyASCIIObject *)o;
    return s->state.interned == SSTATE_INTERNED_IMMORTAL_STATIC || s->state.statically_allocated;
}

/* The characters of an instance of a subclass of str lie in a block of their own. */
static inline void *
ot_str_data_block(PyObject *o)
{
    return PyUnicode_IS_COMPACT(o) ? NULL : ((PyUnicodeObject *)o)->data.any;
}

/* The separately allocated UTF-8 form of a non-ASCII str, NULL if none. */
static inline void *
ot_str_side_block(PyObject *o)
{
    if (PyUnicode_IS_COMPACT_ASCII(o)) {
        return NULL;
    }
    char *utf8 = ((PyCompactUnicodeObject *)o)->utf8;
    return utf8 == ot_str_data_block(o) ? NULL : utf8;
}

/* A copy that no table knows of, hash computed. New reference or MemoryError. */
static inline PyObject *
ot_str_copy(PyObject *o)
{
    size_t head =
        PyUnicode_IS_COMPACT_ASCII(o) ? sizeof(PyASCIIObject) : sizeof(PyCompactUnicodeObject);
    size_t length = (size_t)PyUnicode_GET_LENGTH(o) + 1;
    PyObject *copy = ot_py_copy_block(o, head + length * (size_t)PyUnicode_KIND(o));
    if (copy == NULL) {
        return NULL;
    }
    ((PyASCIIObject *)copy)->state.interned = SSTATE_NOT_INTERNED;
    ((PyASCIIObject *)copy)->state.statically_allocated = 0;
    if (!PyUnicode_IS_COMPACT_ASCII(copy)) {
        ((PyCompactUnicodeObject *)copy)->utf8 = NULL;
        ((PyCompactUnicodeObject *)copy)->utf8_length = 0;
    }
    if (PyObject_Hash(copy) == -1) { /* dict look-ups compare cached hashes */
        Py_DECREF(copy);
        return NULL;
    }
    return copy;
}

/* ---- tuple, frozenset: cached hashes ---------------------------------------------------- */

static inline void
ot_tuple_forget_hash(PyObject *o)
{
#if PY_VERSION_HEX >= 0x030e0000
    ((PyTupleObject *)o)->ob_hash = -1;
#else
    (void)o;
#endif
}

/* ---- dict ------------------------------------------------------------------------------- */

typedef PyDictKeysObject ot_keys_t;

static inline ot_keys_t *
ot_dict_keys(PyObject *d)
{
    return ((PyDictObject *)d)->ma_keys;
}

/* The keys belong to a class and are shared between its instances' dicts. */
static inline bool
ot_dict_is_split(PyObject *d)
{
    PyDictObject *dict = (PyDictObject *)d;
    return dict->ma_values != NULL || dict->ma_keys->dk_kind == DICT_KEYS_SPLIT;
}

static inline bool
ot_dict_is_watched(PyObject *d)
{
#if PY_VERSION_HEX >= 0x030e0000
    return (((PyDictObject *)d)->_ma_watcher_tag & DICT_WATCHER_MASK) != 0;
#else
    return (((PyDictObject *)d)->ma_version_tag & DICT_WATCHER_MASK) != 0;
#endif
}

/* Keys of an empty dict: one static object of the process. */
static inline bool
ot_keys_static(ot_keys_t *k)
{
    return k->dk_log2_size == 0;
}

static inline size_t
ot_keys_block_size(ot_keys_t *k)
{
    size_t usable = ((size_t)DK_SIZE(k) << 1) / 3;
    size_t entry = DK_IS_UNICODE(k) ? sizeof(PyDictUnicodeEntry) : sizeof(PyDictKeyEntry);
    return offsetof(ot_keys_t, dk_indices) + ((size_t)1 << k->dk_log2_index_bytes) + usable * entry;
}

/* Versions come from a counter of the interpreter; 0 means "none given". */
static inline void
ot_keys_forget_version(ot_keys_t *k)
{
    if (k->dk_version != 0) {
        k->dk_version = 0;
    }
}

/* All-str tables hold (key, value) pairs, general ones (hash, key, value) triples. */
static inline bool
ot_keys_all_str(ot_keys_t *k)
{
    return DK_IS_UNICODE(k);
}

static inline Py_ssize_t
ot_keys_count(ot_keys_t *k)
{
    return k->dk_nentries;
}

/* An entry of an all-str table: me_key, and me_value, which is NULL where it was deleted. */
typedef PyDictUnicodeEntry ot_str_entry_t;

static inline ot_str_entry_t *
ot_keys_str_entries(ot_keys_t *k)
{
    return DK_UNICODE_ENTRIES(k);
}

static inline void
ot_keys_entry(ot_keys_t *k, Py_ssize_t i, PyObject ***key, PyObject ***value)
{
    if (DK_IS_UNICODE(k)) {
        ot_str_entry_t *e = &ot_keys_str_entries(k)[i];
        *key = &e->me_key;
        *value = &e->me_value;
    } else {
        PyDictKeyEntry *e = &DK_ENTRIES(k)[i];
        *key = &e->me_key;
        *value = &e->me_value;
    }
}

/* The entries of a table whose hash is `hash`, in the order in which a look-up meets them; no more
 * than reading, as dictobject.c's do_lookup does it. Begin with {.perturb = (size_t)hash, .i = hash}. */
typedef struct {
    size_t perturb, i;
} ot_keys_probe_t;

static inline Py_ssize_t
ot_keys_index(const ot_keys_t *k, size_t i)
{
    const void *indices = k->dk_indices;
    if (k->dk_log2_size < 8) {
        return ((const int8_t *)indices)[i];
    }
    if (k->dk_log2_size < 16) {
        return ((const int16_t *)indices)[i];
    }
    if (k->dk_log2_size < 32) {
        return ((const int32_t *)indices)[i];
    }
    return (Py_ssize_t)((const int64_t *)indices)[i];
}

/* The next entry with that hash: its number, or -1. */
static inline Py_ssize_t
ot_keys_next(ot_keys_t *k, Py_hash_t hash, ot_keys_probe_t *at)
{
    size_t mask = ((size_t)1 << k->dk_log2_size) - 1;
    for (;;) {
        Py_ssize_t ix = ot_keys_index(k, at->i & mask);
        if (ix == DKIX_EMPTY) {
            return -1;
        }
        at->perturb >>= 5;
        at->i = (at->i & mask) * 5 + at->perturb + 1;
        if (ix < 0) {
            continue; /* deleted */
        }
        Py_hash_t found = DK_IS_UNICODE(k)
                              ? ((PyASCIIObject *)DK_UNICODE_ENTRIES(k)[ix].me_key)->hash
                              : DK_ENTRIES(k)[ix].me_hash;
        if (found == hash) {
            return ix;
        }
    }
}

/* A new untracked dict of that type around `keys` (stolen). NULL and MemoryError, and then keys
 * are still the caller's. */
static inline PyObject *
ot_dict_from_keys_steal(PyTypeObject *type, ot_keys_t *keys, Py_ssize_t used)
{
    PyDictObject *d = (PyDictObject *)ot_py_new_container(type, 0);
    if (d == NULL) {
        return NULL;
    }
    d->ma_used = used;
#if PY_VERSION_HEX >= 0x030e0000
    d->_ma_watcher_tag = 0;
#else
    d->ma_version_tag = 0;
#endif
    d->ma_keys = keys;
    d->ma_values = NULL;
    return (PyObject *)d;
}

/* A byte copy of a combined table in a block of its own, its entries' pointers included (they
 * carry no references). NULL without an exception if there is no memory. */
static inline ot_keys_t *
ot_keys_clone(ot_keys_t *k)
{
    size_t size = ot_keys_block_size(k);
    ot_keys_t *clone = PyMem_Malloc(size);
    if (clone != NULL) {
        memcpy(clone, k, size);
        clone->dk_refcnt = 1;
        clone->dk_version = 0;
    }
    return clone;
}

/* Swaps what two combined dicts hold; both keep their identity and watchers. */
static inline void
ot_dict_swap(PyObject *a, PyObject *b)
{
    PyDictObject *x = (PyDictObject *)a, *y = (PyDictObject *)b;
    ot_keys_t *keys = x->ma_keys;
    Py_ssize_t used = x->ma_used;
    x->ma_keys = y->ma_keys;
    x->ma_used = y->ma_used;
    y->ma_keys = keys;
    y->ma_used = used;
}

static inline void
ot_dict_set_keys(PyObject *d, ot_keys_t *keys, Py_ssize_t used)
{
    ((PyDictObject *)d)->ma_keys = keys;
    ((PyDictObject *)d)->ma_used = used;
}

/* ---- instances of Python classes ---------------------------------------------------------- */

/* Made by a class statement (or type()), not by PyType_FromSpec: then everything in an instance
 * beyond its base's struct is slots, and a dict and weak references that CPython manages. Only
 * for types whose tp_dealloc is subtype_dealloc. */
static inline bool
ot_type_is_from_statement(PyTypeObject *t)
{
    return PyType_HasFeature(t, Py_TPFLAGS_HEAPTYPE) && ((PyHeapTypeObject *)t)->_ht_tpname == NULL;
}

/* Changes whenever the type or a base of it does, as long as somebody asks for it in between with
 * ot_type_ensure_version; 0 for good for a type that has changed a thousand times. */
static inline unsigned
ot_type_version(PyTypeObject *t)
{
    return (unsigned)t->tp_version_tag;
}

static inline unsigned
ot_type_ensure_version(PyTypeObject *t)
{
    (void)PyUnstable_Type_AssignVersionTag(t); /* fails where there are none left */
    return ot_type_version(t);
}

/* What a weak reference leads to, Py_None if that is gone. Borrowed. */
static inline PyObject *
ot_weakref_target(PyObject *weakref)
{
    return ((PyWeakReference *)weakref)->wr_object;
}

/* The n = Py_SIZE(t) members of a heap type: its own __slots__, not its bases'. */
static inline PyMemberDef *
ot_type_members(PyTypeObject *t)
{
    return (PyMemberDef *)((char *)t + Py_TYPE(t)->tp_basicsize);
}

/* The flags that say how an instance is laid out. */
static inline unsigned long
ot_type_layout_flags(PyTypeObject *t)
{
    return t->tp_flags &
           (Py_TPFLAGS_INLINE_VALUES | Py_TPFLAGS_MANAGED_WEAKREF | Py_TPFLAGS_MANAGED_DICT |
            Py_TPFLAGS_HEAPTYPE | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_ITEMS_AT_END |
            Py_TPFLAGS_LIST_SUBCLASS | Py_TPFLAGS_TUPLE_SUBCLASS | Py_TPFLAGS_DICT_SUBCLASS |
            Py_TPFLAGS_LONG_SUBCLASS | Py_TPFLAGS_UNICODE_SUBCLASS | Py_TPFLAGS_BYTES_SUBCLASS |
            Py_TPFLAGS_BASE_EXC_SUBCLASS | Py_TPFLAGS_TYPE_SUBCLASS);
}

static inline bool
ot_type_manages_dict(PyTypeObject *t)
{
    return PyType_HasFeature(t, Py_TPFLAGS_MANAGED_DICT);
}

static inline bool
ot_type_manages_weakrefs(PyTypeObject *t)
{
    return PyType_HasFeature(t, Py_TPFLAGS_MANAGED_WEAKREF);
}

static inline bool
ot_has_weakrefs(PyObject *o)
{
    Py_ssize_t offset = Py_TYPE(o)->tp_weaklistoffset;
    return offset != 0 && *(PyObject **)((char *)o + offset) != NULL;
}

/* Its __del__ shall not run (again). Only objects with a collector header remember that. */
static inline void
ot_gc_set_finalized(PyObject *o)
{
    if (PyType_IS_GC(Py_TYPE(o))) {
        _PyGC_SET_FINALIZED(o);
    }
}

/* The slot of an instance's __dict__ (NULL in it: none made yet), if its type manages one. Good
 * for an instance in transit, too. */
static inline PyObject **
ot_instance_dict(PyObject *o)
{
    return (PyObject **)((char *)o + MANAGED_DICT_OFFSET);
}

/* Attribute values in the order of the class's shared keys, either in the instance itself
 * ("inline", then also those of its dict if it has a split one), or in a block of a dict. */
typedef PyDictValues ot_values_t;

/* The inline values of an instance of that type (o itself may be in transit) if they are in use,
 * else NULL. They lie behind the object. */
static inline ot_values_t *
ot_instance_values_of(PyObject *o, PyTypeObject *type)
{
    if (!PyType_HasFeature(type, Py_TPFLAGS_INLINE_VALUES)) {
        return NULL;
    }
    ot_values_t *values = (ot_values_t *)((char *)o + type->tp_basicsize);
    return values->valid ? values : NULL;
}

static inline ot_values_t *
ot_instance_values(PyObject *o)
{
    return ot_instance_values_of(o, Py_TYPE(o));
}

/* From now on the instance's attributes are in its dict only. */
static inline void
ot_instance_invalidate_values(PyObject *o)
{
    ot_values_t *values = ot_instance_values(o);
    if (values != NULL) {
        values->valid = 0;
    }
}

static inline ot_values_t *
ot_dict_values(PyObject *d)
{
    return ((PyDictObject *)d)->ma_values;
}

static inline bool
ot_values_embedded(const ot_values_t *v)
{
    return v->embedded;
}

/* i-th of v->size attributes that were set: its place among the values and the shared keys. */
static inline int
ot_values_place(ot_values_t *v, int i)
{
    return get_insertion_order_array(v)[i];
}

static inline void
ot_values_set_place(ot_values_t *v, int i, int place)
{
    get_insertion_order_array(v)[i] = (uint8_t)place;
}

/* Frees a block of values (not inline ones) whose references are gone: free_values in dictobject.c. */
static inline void
ot_values_free(ot_values_t *v)
{
    if (!v->embedded) {
        PyMem_Free(v);
    }
}

/* A copy in a block of its own, with the same references (not counted). NULL without memory. */
static inline ot_values_t *
ot_values_clone(const ot_values_t *v)
{
    size_t size = offsetof(ot_values_t, values) + v->capacity * (sizeof(PyObject *) + 1);
    ot_values_t *clone = PyMem_Malloc(size);
    if (clone != NULL) {
        memcpy(clone, v, size);
    }
    return clone;
}

/* A new untracked dict that holds what the split dict d holds, which is left empty; `values` is
 * what its values are in from now on (d's own, or a clone of them). NULL with MemoryError, and
 * then d is as before. */
static inline PyObject *
ot_dict_take_over_split(PyObject *d, ot_values_t *values, ot_keys_t *empty)
{
    PyDictObject *from = (PyDictObject *)d;
    PyDictObject *to = (PyDictObject *)ot_py_new_container(&PyDict_Type, 0);
    if (to != NULL) {
        size_t head = offsetof(PyDictObject, ma_used);
        memcpy((char *)to + head, (char *)from + head, sizeof *to - head);
        to->ma_values = values;
        from->ma_keys = empty;
        from->ma_values = NULL;
        from->ma_used = 0;
    }
    return (PyObject *)to;
}

/* Has a split dict end its sharing: it takes over what `combined` holds, which is left empty. What
 * the split one held, and its part in the shared keys' count, must be accounted for already. */
static inline void
ot_dict_become_combined(PyObject *d, PyObject *combined, ot_keys_t *empty)
{
    PyDictObject *to = (PyDictObject *)d, *from = (PyDictObject *)combined;
    to->ma_keys = from->ma_keys;
    to->ma_values = NULL;
    to->ma_used = from->ma_used;
    from->ma_keys = empty;
    from->ma_used = 0;
}

enum { OT_MAX_SHARED_KEYS = SHARED_KEYS_MAX_SIZE };

/* The names that instances of a class share, NULL if it has none. */
static inline ot_keys_t *
ot_type_shared_keys(PyTypeObject *t)
{
    return ot_type_manages_dict(t) ? ((PyHeapTypeObject *)t)->ht_cached_keys : NULL;
}

static inline PyObject *
ot_shared_key(ot_keys_t *k, Py_ssize_t i)
{
    return DK_UNICODE_ENTRIES(k)[i].me_key;
}

/* Instances may be asked for values[i] for any i below this, whatever their own capacity is. */
static inline Py_ssize_t
ot_shared_keys_reach(ot_keys_t *k)
{
    return k->dk_nentries + k->dk_usable;
}

/* Has the class share no more names than `reach` from now on; no less than it does already. */
static inline void
ot_shared_keys_limit(ot_keys_t *k, Py_ssize_t reach)
{
    if (k->dk_nentries + k->dk_usable > reach && reach >= k->dk_nentries) {
        k->dk_usable = reach - k->dk_nentries;
    }
}

/* A split dict's keys object changes hands: it counts the dicts that refer to it. */
static inline void
ot_shared_keys_count(ot_keys_t *k, Py_ssize_t n)
{
    k->dk_refcnt += n;
}

static inline void
ot_dict_set_shared_keys(PyObject *d, ot_keys_t *k)
{
    ((PyDictObject *)d)->ma_keys = k;
}

/* ---- range ------------------------------------------------------------------------------ */

typedef struct {
    PyObject_HEAD
    PyObject *part[4]; /* start, stop, step, length */
} ot_range_t;

/* ---- bytearray -------------------------------------------------------------------------- */

/* The block that the bytes lie in, NULL if it has none of its own. From 3.15 on it is a bytes
 * object that only the bytearray refers to. */
static inline void *
ot_bytearray_block(PyObject *o)
{
#if PY_VERSION_HEX >= 0x030f0000
    PyObject *bytes = ((PyByteArrayObject *)o)->ob_bytes_object;
    return bytes == NULL || _Py_IsImmortal(bytes) ? NULL : bytes;
#else
    return ((PyByteArrayObject *)o)->ob_bytes;
#endif
}

/* Somebody looks into the bytes: not just through so many buffers, or (3.15) through the bytes
 * object. */
static inline bool
ot_bytearray_pinned(PyObject *o, Py_ssize_t exports)
{
    PyByteArrayObject *b = (PyByteArrayObject *)o;
#if PY_VERSION_HEX >= 0x030f0000
    if (b->ob_bytes_object != NULL && !_Py_IsImmortal(b->ob_bytes_object) &&
        Py_REFCNT(b->ob_bytes_object) != 1) {
        return true;
    }
#endif
    return b->ob_exports != exports;
}

/* Swaps what two bytearrays hold; neither may be pinned. */
static inline void
ot_bytearray_swap(PyObject *a, PyObject *b)
{
    PyByteArrayObject *x = (PyByteArrayObject *)a, *y = (PyByteArrayObject *)b, t;
    t.ob_base.ob_size = Py_SIZE(x);
    t.ob_alloc = x->ob_alloc;
    t.ob_bytes = x->ob_bytes;
    t.ob_start = x->ob_start;
    Py_SET_SIZE(x, Py_SIZE(y));
    x->ob_alloc = y->ob_alloc;
    x->ob_bytes = y->ob_bytes;
    x->ob_start = y->ob_start;
    Py_SET_SIZE(y, t.ob_base.ob_size);
    y->ob_alloc = t.ob_alloc;
    y->ob_bytes = t.ob_bytes;
    y->ob_start = t.ob_start;
#if PY_VERSION_HEX >= 0x030f0000
    PyObject *bytes = x->ob_bytes_object;
    x->ob_bytes_object = y->ob_bytes_object;
    y->ob_bytes_object = bytes;
#endif
}

/* ---- array.array (Modules/arraymodule.c; the same layout from 3.12 to 3.15) --------------- */

typedef struct {
    PyObject_VAR_HEAD
    char *ob_item;
    Py_ssize_t allocated;
    const void *ob_descr; /* into a static table of the module's shared object */
    PyObject *weakreflist;
    Py_ssize_t ob_exports;
} ot_array_t;

/* Every array.array descriptor begins with these two (typecode, itemsize). */
typedef struct {
    char typecode;
    int itemsize;
} ot_array_descr_t;

/* ---- collections (Modules/_collectionsmodule.c, Objects/odictobject.c; the same from 3.13 to
 * 3.15) ---------------------------------------------------------------------------------------- */

enum { OT_DEQUE_BLOCK = 64, OT_DEQUE_FREE_BLOCKS = 16 };

typedef struct ot_deque_block {
    struct ot_deque_block *left; /* NULL at the ends in debug builds, else anything */
    PyObject *item[OT_DEQUE_BLOCK];
    struct ot_deque_block *right;
} ot_deque_block_t;

/* Item k lies at first_index + k, counted through the blocks. Empty: one block, both indices in
 * its middle; a deque without a block can only be freed. */
typedef struct {
    PyObject_VAR_HEAD
    ot_deque_block_t *first, *last;
    Py_ssize_t first_index, last_index; /* inclusive */
    size_t state;                       /* iterators stop when it changes */
    Py_ssize_t maxlen;                  /* or -1 */
    Py_ssize_t n_free;
    ot_deque_block_t *free[OT_DEQUE_FREE_BLOCKS];
    PyObject *weakreflist;
} ot_deque_t;

typedef struct {
    PyDictObject dict;
    PyObject *default_factory; /* or NULL */
} ot_defaultdict_t;

/* An OrderedDict's order: a list of nodes with a key reference each, beside the dict's own; nodes
 * are found by the index that the key's entry has in the dict's table. */
typedef struct ot_odict_node {
    PyObject *key;
    Py_hash_t hash;
    struct ot_odict_node *next, *prev;
} ot_odict_node_t;

typedef struct {
    PyDictObject dict;
    ot_odict_node_t *first, *last;
    ot_odict_node_t **node; /* node[i]: of the table's entry i */
    Py_ssize_t n_node;      /* the table's size when node was made */
    void *made_for;         /* and the table itself: remade if either has changed */
    size_t state;           /* iterators stop when it changes */
    PyObject *inst_dict;    /* its __dict__ or NULL */
    PyObject *weakreflist;
} ot_odict_t;

/* Size of a dict's hash table: what n_node is compared with. */
static inline Py_ssize_t
ot_keys_size(ot_keys_t *k)
{
    return (Py_ssize_t)DK_SIZE(k);
}

/* ---- decimal.Decimal (Modules/_decimal/_decimal.c, libmpdec's mpd_t) ------------------------ */

enum { OT_DECIMAL_INLINE = 4, OT_DECIMAL_STATIC_DATA = 32 };

typedef struct {
    PyObject_HEAD
    Py_hash_t hash; /* -1: not asked for yet */
    uint8_t flags;
    Py_ssize_t exp, digits, len, alloc;
    size_t *data; /* `word`, or a block from PyMem_Malloc where the number is long */
    size_t word[OT_DECIMAL_INLINE];
} ot_decimal_t;

/* ---- datetime.timezone (Modules/_datetimemodule.c; the others are public, in datetime.h) ---- */

typedef struct {
    PyObject_HEAD
    PyObject *offset; /* a timedelta */
    PyObject *name;   /* a str or NULL */
} ot_timezone_t;

/* ---- types.MappingProxyType (Objects/descrobject.c) ---------------------------------------- */

typedef struct {
    PyObject_HEAD
    PyObject *mapping;
} ot_mappingproxy_t;

/* ---- the cross-interpreter registry (PEP 734) -------------------------------------------- */

#if PY_VERSION_HEX >= 0x030e0000
typedef _PyXIData_t ot_xidata_t;
#define OT_XIDATA_INIT _PyXIData_Init
#define OT_XIDATA_SET_FREE _PyXIData_SET_FREE
#define OT_XIDATA_DATA _PyXIData_DATA
#else
typedef _PyCrossInterpreterData ot_xidata_t;
#define OT_XIDATA_INIT _PyCrossInterpreterData_Init
#define OT_XIDATA_SET_FREE _PyCrossInterpreterData_SET_FREE
#define OT_XIDATA_DATA _PyCrossInterpreterData_DATA
#endif

typedef int (*ot_xidata_getter_t)(PyThreadState *, PyObject *, ot_xidata_t *);

/* Makes instances of a heap type shareable through _interpreters and concurrent.interpreters,
 * in the current interpreter. Returns -1 with an exception set. */
static inline int
ot_xidata_register(PyTypeObject *type, ot_xidata_getter_t getter)
{
#if PY_VERSION_HEX >= 0x030e0000
    _PyXIData_getdata_t entry = {.basic = getter};
    return _PyXIData_RegisterClass(PyThreadState_Get(), type, entry);
#else
    return _PyCrossInterpreterData_RegisterClass(type, getter);
#endif
}

#endif
