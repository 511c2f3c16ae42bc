/* dict.h: what the files of the Python type LockingDict share.
 *
 * A LockingDict is a handle on an ot_map_t whose words are small ints, None, bools, or pointers to
 * values (value.h), of which the map owns a reference each.
 *
 * Shared rules: an attached thread state, that of `self`'s interpreter. Within an epoch guard
 * nothing waits and no Python code runs: objects are made there only in ways that run none. The GIL
 * protects nothing here; it is let go of before waiting for anything but a spin lock.
 */
#ifndef OT_OBJECTS_DICT_H
#define OT_OBJECTS_DICT_H

#include "objects/dict/key.h"
#include "objects/sync/sync_type.h"
#include "objects/core/value.h"

static inline ot_map_t *
ot_ldict_map(PyObject *self)
{
    return (ot_map_t *)ot_as_handle(self)->shared;
}

static inline ot_objects_t *
ot_ldict_home(PyObject *self)
{
    return ot_as_handle(self)->home;
}

/* ---- words (dict_word.c) ---------------------------------------------------------------------- */

enum { OT_WORD_CONSTANT = 6 };
#define OT_WORD_NONE ((ot_word_t)OT_WORD_CONSTANT)
#define OT_WORD_FALSE ((ot_word_t)(1 << 3 | OT_WORD_CONSTANT))
#define OT_WORD_TRUE ((ot_word_t)(2 << 3 | OT_WORD_CONSTANT))

static inline bool
ot_word_is_value(ot_word_t w)
{
    return w != OT_WORD_GONE && (w & OT_WORD_TAGS) == 0;
}

static inline ot_value_t *
ot_word_value(ot_word_t w)
{
    return (ot_value_t *)w;
}

/* Whether the object that the word stands for can be made within a guard: a number, None, a bool. */
static inline bool
ot_word_is_scalar(ot_word_t w)
{
    return !ot_word_is_value(w) || ot_value_is_scalar(ot_word_value(w));
}

static inline bool
ot_ldict_small_word_of(PyObject *o, ot_word_t *word)
{
    if (PyLong_CheckExact(o)) {
        int overflow;
        long long i = PyLong_AsLongLongAndOverflow(o, &overflow);
        *word = ot_word_of_int(i);
        return overflow == 0 && ot_word_int_fits(i);
    }
    *word = o == Py_None ? OT_WORD_NONE : o == Py_True ? OT_WORD_TRUE : OT_WORD_FALSE;
    return o == Py_None || PyBool_Check(o);
}

/* The word of an object, by value.h's rule of entry; the caller's. Runs: e. 0, or -1 with an
 * exception. */
int ot_ldict_word_of(ot_objects_t *home, PyObject *o, ot_word_t *word);

/* The word of an object that the caller owns: if its refcount is 1 it is moved, and the caller keeps an empty one. Runs:
 * e. 0, or -1 with an exception. */
int ot_ldict_word_of_own(ot_objects_t *home, PyObject *o, ot_word_t *word);

/* An equal object. The word is the caller's, or stays because of a guard (then it is a scalar). */
PyObject *ot_ldict_object_of(ot_objects_t *home, ot_word_t word);

/* An equal object of what any word stands for. In the caller's guard, which it leaves. */
PyObject *ot_ldict_leave_with(ot_objects_t *home, ot_word_t word);

/* What a word that was unlinked stands for, moved out of it if nobody else has it. Not within a
 * guard. Refs: steals the word on success. */
PyObject *ot_ldict_take(ot_objects_t *home, ot_word_t word);

/* A second reference to what the word stands for. */
static inline void
ot_ldict_ref(ot_word_t word)
{
    if (ot_word_is_value(word)) {
        ot_value_ref(ot_word_value(word));
    }
}

/* Gives up a word that nobody else has seen. Not within a guard. Runs: e. */
void ot_ldict_drop(ot_word_t word);

/* Gives up a word that was unlinked in the current guard. Returns whether it is worth freeing soon. */
bool ot_ldict_retire(ot_word_t word);

/* After the guard in which something was retired: frees what has piled up, or all that can be freed.
 * Runs: e. */
void ot_ldict_tidy(bool soon);

/* After a guard in which nothing was retired: frees what others have waited for. Runs: e. */
static inline void
ot_ldict_oblige(void)
{
    if (ot_epoch_is_asked()) {
        ot_epoch_collect(true);
    }
}

/* ---- one key (dict_key.c) --------------------------------------------------------------------- */

/* How an operation on one key, or one attempt at it, ended. Of each function the comment names those that it returns
 * beside FAILED. */
typedef enum {
    OT_LDICT_FAILED = -1, /* an exception is set, nothing has changed */
    OT_LDICT_AGAIN,       /* somebody was faster, or has had the key meanwhile: look again */
    OT_LDICT_TIMEOUT,     /* somebody still has the key */
    OT_LDICT_MISSING,     /* the key is not there */
    OT_LDICT_PRESENT,     /* the key is there, so nothing was stored */
    OT_LDICT_OVERRIDDEN,  /* the key of who is gone has got another word */
    OT_LDICT_DONE,
} ot_ldict_result_t;

/* A look at a key, in a guard. */
typedef struct {
    ot_entry_t *entry; /* NULL: none */
    ot_word_t word;
} ot_look_t;

/* Enters a guard and looks. 0, or -1 with MemoryError and no guard. */
int ot_ldict_look(PyObject *self, const ot_mapkey_t *key, ot_look_t *look);

typedef enum { OT_DICT_RAISE, OT_DICT_OVERRIDE } ot_ldict_abandoned_t;

/* Waits while somebody has the key. An abandoned key raises LockAbandonedError, or gets `word` in place
 * of what is lost (GONE: it is removed). Refs: steals the word if it returns OVERRIDDEN. AGAIN, TIMEOUT
 * or OVERRIDDEN. */
ot_ldict_result_t ot_ldict_wait(PyObject *self, const ot_mapkey_t *key, int64_t deadline,
                                ot_ldict_abandoned_t if_abandoned, ot_word_t word);

/* Leaves the caller's guard, in which somebody had the key, and waits for as long as it takes; an
 * abandoned key raises. AGAIN. */
static inline ot_ldict_result_t
ot_ldict_leave_and_wait(PyObject *self, const ot_mapkey_t *key)
{
    ot_epoch_leave();
    return ot_ldict_wait(self, key, OT_FOREVER, OT_DICT_RAISE, OT_WORD_GONE);
}

/* Looks at a key that must be there, and waits if somebody has it. DONE: the caller is in a guard, the word a value. MISSING
 * or AGAIN: in no guard. */
ot_ldict_result_t ot_ldict_look_or_wait(PyObject *self, const ot_mapkey_t *key, ot_look_t *look);

/* DONE and an equal object, or MISSING. */
ot_ldict_result_t ot_ldict_lookup(PyObject *self, const ot_mapkey_t *key, PyObject **value);

/* The text that repr of the dict has for a key, without waiting: the value's repr; or that somebody has checked the key out; or
 * that the interpreter which had checked it out has ended. DONE and the text, or MISSING. Runs: e. */
ot_ldict_result_t ot_ldict_show(PyObject *self, const ot_mapkey_t *key, PyObject **repr);

/* Puts the word there, whatever was. Refs: steals it on success. 0, or -1 with an exception. */
int ot_ldict_store(PyObject *self, const ot_mapkey_t *key, ot_word_t word);

/* Puts the word there if the key is missing. Refs: steals it if it returns DONE. PRESENT: *there is an equal
 * object of what is there. */
ot_ldict_result_t ot_ldict_store_new(PyObject *self, const ot_mapkey_t *key, ot_word_t word,
                                     PyObject **there);

/* Takes the key out. DONE and the object, or MISSING. */
ot_ldict_result_t ot_ldict_pop(PyObject *self, const ot_mapkey_t *key, PyObject **value);

/* DONE or MISSING. */
ot_ldict_result_t ot_ldict_delete(PyObject *self, const ot_mapkey_t *key);

/* Claims what look found, for this thread. In the caller's guard. DONE and the claim, or AGAIN. */
ot_ldict_result_t ot_ldict_claim(PyObject *self, ot_look_t look, bool pending, ot_claim_t **claim);

/* Claims a key that is missing, pending. In a guard, which it leaves. DONE or AGAIN. */
ot_ldict_result_t ot_ldict_claim_new_leaving(const ot_mapkey_t *key, ot_claim_t *claim);

/* Takes out the tree that look found and puts `new` in its place (GONE: the key goes); claimed in
 * between, so that it can be put back. In a guard, which it leaves. Refs: steals `new` if it returns DONE.
 * DONE and the object, or AGAIN. */
ot_ldict_result_t ot_ldict_exchange(PyObject *self, ot_look_t look, ot_word_t new, PyObject **old);

/* KeyError. Returns NULL. */
PyObject *ot_ldict_missing(PyObject *key);

/* Ends a claim: with the word, or GONE. Not within a guard. Refs: steals the word. */
void ot_ldict_settle(ot_claim_t *claim, ot_word_t word);

/* ---- many keys (dict_many.c) ------------------------------------------------------------------ */

PyObject *ot_ldict_new_empty(ot_objects_t *home);
PyObject *ot_ldict_keys(PyObject *self, PyObject *unused);
PyObject *ot_ldict_values(PyObject *self, PyObject *unused);
PyObject *ot_ldict_items(PyObject *self, PyObject *unused);
PyObject *ot_ldict_copy(PyObject *self, PyObject *unused);
PyObject *ot_ldict_clear(PyObject *self, PyObject *unused);
PyObject *ot_ldict_popitem(PyObject *self, PyObject *unused);
int ot_ldict_update_from(PyObject *self, PyObject *args, PyObject *kwargs);
PyObject *ot_ldict_repr(PyObject *self);
PyObject *ot_ldict_snapshot(PyObject *self); /* a dict */

/* ---- atomic operations (dict_atomic.c), checkouts (dict_checkout.c) ---------------------------- */

PyObject *ot_ldict_add(PyObject *self, PyObject *const *args, Py_ssize_t n);
PyObject *ot_ldict_swap(PyObject *self, PyObject *const *args, Py_ssize_t n);
PyObject *ot_ldict_compare_exchange(PyObject *self, PyObject *const *args, Py_ssize_t n);
PyObject *ot_ldict_setdefault_with(PyObject *self, PyObject *const *args, Py_ssize_t n);
PyObject *ot_ldict_update_with(PyObject *self, PyObject *const *args, Py_ssize_t n);
PyObject *ot_ldict_checkout(PyObject *self, PyObject *args, PyObject *kwargs);
int ot_checkout_type_add(ot_objects_t *home);

int ot_ldict_type_add(ot_objects_t *home);

#endif
