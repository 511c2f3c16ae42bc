/* dict_key.c: operations on one key of a LockingDict (see dict.h).
 *
 * Main invariant: each operation is a loop of attempts: look in a guard, change by one
 * compare-and-swap (or the shard's lock), and begin again if somebody was faster; or leave the guard
 * and wait if somebody has the key. An attempt that fails has changed nothing.
 * Threading: see dict.h.
 */
#include <inttypes.h>
#include <stdio.h>

#include "objects/core/repr.h"
#include "objects/dict/dict.h"

/* ---- looking and waiting ---------------------------------------------------------------------- */

int
ot_ldict_look(PyObject *self, const ot_mapkey_t *key, ot_look_t *look)
{
    if (!ot_epoch_enter()) {
        PyErr_NoMemory();
        return -1;
    }
    look->entry = ot_map_find(ot_ldict_map(self), key);
    look->word = look->entry == NULL ? OT_WORD_GONE : ot_entry_load(look->entry);
    if (look->word == OT_WORD_GONE) {
        look->entry = NULL; /* on its way out, under its shard's lock */
    }
    return 0;
}

ot_ldict_result_t
ot_ldict_look_or_wait(PyObject *self, const ot_mapkey_t *key, ot_look_t *look)
{
    if (ot_ldict_look(self, key, look) < 0) {
        return OT_LDICT_FAILED;
    }
    if (!ot_word_is_there(look->word)) {
        ot_epoch_leave();
        return OT_LDICT_MISSING;
    }
    return ot_word_is_claim(look->word) ? ot_ldict_leave_and_wait(self, key) : OT_LDICT_DONE;
}

/* Before a word, and maybe its entry, is retired. Leaves the guard if that fails. */
static int
make_room(void)
{
    if (ot_epoch_reserve(2)) {
        return 0;
    }
    ot_epoch_leave();
    PyErr_NoMemory();
    return -1;
}

static ot_ldict_result_t
raise_mine(const ot_mapkey_t *key)
{
    PyObject *o = ot_key_object(key);
    if (o != NULL) {
        PyErr_Format(PyExc_RuntimeError, "this thread has %R checked out itself", o);
        Py_DECREF(o);
    }
    return OT_LDICT_FAILED;
}

static ot_ldict_result_t
raise_abandoned(PyObject *self, const ot_mapkey_t *key)
{
    PyObject *o = ot_key_object(key);
    if (o != NULL) {
        PyErr_Format(ot_ldict_home(self)->lock_abandoned,
                     "%R was checked out by who is gone, its value is lost: set or delete it", o);
        Py_DECREF(o);
    }
    return OT_LDICT_FAILED;
}

/* Deals with an abandoned key. One whose value was still to be computed is removed. Any other
 * raises, or gets `word`, as `what` says. OVERRIDDEN or AGAIN. */
static ot_ldict_result_t
abandoned(PyObject *self, const ot_mapkey_t *key, ot_ldict_abandoned_t what, ot_word_t word)
{
    ot_look_t look;
    if (ot_ldict_look(self, key, &look) < 0 || make_room() < 0) {
        return OT_LDICT_FAILED;
    }
    ot_ldict_result_t result = OT_LDICT_AGAIN;
    if (ot_word_is_pending(look.word)) {
        (void)ot_map_override(ot_ldict_map(self), look.entry, look.word, OT_WORD_GONE);
    } else if (ot_word_is_claim(look.word)) {
        if (what == OT_DICT_RAISE) {
            result = OT_LDICT_FAILED;
        } else if (ot_map_override(ot_ldict_map(self), look.entry, look.word, word)) {
            result = OT_LDICT_OVERRIDDEN;
        }
    }
    ot_epoch_leave();
    return result == OT_LDICT_FAILED ? raise_abandoned(self, key) : result;
}

/* Tells dumps which key is waited for. The thread has no GIL, so only of keys that can be shown without Python. */
static void
say_which(ot_awaited_t *awaited, const ot_mapkey_t *key)
{
    size_t size = key->meta >> 8;
    int tag = (int)(key->meta & 255);
    if (tag == OT_KEY_INT) {
        int64_t number;
        memcpy(&number, key->bytes, sizeof number);
        snprintf(awaited->detail, sizeof awaited->detail, "key %" PRId64, number);
    } else if (tag == OT_KEY_STR1 || tag == OT_KEY_BYTES) {
        snprintf(awaited->detail, sizeof awaited->detail, "key %s'%.*s'",
                 tag == OT_KEY_BYTES ? "b" : "", (int)(size < 50 ? size : 50),
                 (const char *)key->bytes);
    }
}

ot_ldict_result_t
ot_ldict_wait(PyObject *self, const ot_mapkey_t *key, int64_t deadline,
              ot_ldict_abandoned_t if_abandoned, ot_word_t word)
{
    ot_patience_t now = {.deadline = OT_DONT_WAIT};
    ot_claim_result_t result = ot_map_await(ot_ldict_map(self), key, &now);
    if (result == OT_CLAIM_TIMEOUT && deadline != OT_DONT_WAIT) {
        ot_waiting_t waiting;
        ot_waiting_begin(&waiting, deadline, "get a key of", &ot_ldict_map(self)->head);
        say_which(&waiting.awaited, key);
        result = ot_map_await(ot_ldict_map(self), key, &waiting.patience);
        ot_waiting_end(&waiting);
    }
    switch (result) {
    case OT_CLAIM_MINE:
        return raise_mine(key);
    case OT_CLAIM_ABANDONED:
        return abandoned(self, key, if_abandoned, word);
    case OT_CLAIM_INTERRUPTED:
        return OT_LDICT_FAILED;
    case OT_CLAIM_TIMEOUT:
        return OT_LDICT_TIMEOUT;
    default:
        return OT_LDICT_AGAIN;
    }
}

PyObject *
ot_ldict_missing(PyObject *key)
{
    PyObject *args = PyTuple_Pack(1, key); /* a tuple would be taken for several */
    if (args != NULL) {
        PyErr_SetObject(PyExc_KeyError, args);
        Py_DECREF(args);
    }
    return NULL;
}

/* ---- get -------------------------------------------------------------------------------------- */

ot_ldict_result_t
ot_ldict_lookup(PyObject *self, const ot_mapkey_t *key, PyObject **value)
{
    for (;;) {
        if (!ot_epoch_enter()) {
            PyErr_NoMemory();
            return OT_LDICT_FAILED;
        }
        const ot_entry_t *e = ot_map_find(ot_ldict_map(self), key);
        ot_word_t word = e == NULL ? OT_WORD_GONE : ot_entry_load(e);
        if (!ot_word_is_there(word)) {
            ot_epoch_leave();
            ot_ldict_oblige();
            return OT_LDICT_MISSING;
        }
        if (!ot_word_is_claim(word)) {
            *value = ot_ldict_leave_with(ot_ldict_home(self), word);
            return *value == NULL ? OT_LDICT_FAILED : OT_LDICT_DONE;
        }
        if (ot_ldict_leave_and_wait(self, key) == OT_LDICT_FAILED) {
            return OT_LDICT_FAILED;
        }
    }
}

/* The repr of what a word stands for. In a guard, which it leaves: a number is made an object in it, any other value is
 * copied afterwards. */
static PyObject *
repr_leaving(ot_objects_t *home, ot_word_t word)
{
    if (!ot_word_is_value(word)) {
        PyObject *o = ot_ldict_leave_with(home, word);
        PyObject *repr = o == NULL ? NULL : PyObject_Repr(o);
        Py_XDECREF(o);
        return repr;
    }
    ot_value_t *v = ot_word_value(word);
    ot_value_ref(v);
    ot_epoch_leave();
    PyObject *repr = ot_repr_of_value(home, v);
    ot_value_unref(v);
    return repr;
}

ot_ldict_result_t
ot_ldict_show(PyObject *self, const ot_mapkey_t *key, PyObject **repr)
{
    ot_look_t look;
    if (ot_ldict_look(self, key, &look) < 0) {
        return OT_LDICT_FAILED;
    }
    if (!ot_word_is_there(look.word)) {
        ot_epoch_leave();
        return OT_LDICT_MISSING;
    }
    if (ot_word_is_claim(look.word)) {
        bool gone = ot_map_is_abandoned(ot_ldict_map(self), look.entry, look.word);
        ot_epoch_leave();
        *repr = PyUnicode_FromString(gone ? "<abandoned>" : "<checked out>");
    } else {
        *repr = repr_leaving(ot_ldict_home(self), look.word);
    }
    return *repr == NULL ? OT_LDICT_FAILED : OT_LDICT_DONE;
}

/* ---- set -------------------------------------------------------------------------------------- */

/* In a guard, which it leaves. DONE or AGAIN; else MemoryError. */
static ot_ldict_result_t
insert_leaving(PyObject *self, const ot_mapkey_t *key, ot_word_t word)
{
    ot_entry_t *e = ot_entry_new(key, word);
    bool inserted = e != NULL && ot_map_insert(ot_ldict_map(self), e) == e;
    ot_epoch_leave();
    if (e == NULL) {
        PyErr_NoMemory();
        return OT_LDICT_FAILED;
    }
    if (!inserted) {
        ot_entry_free(e);
    }
    return inserted ? OT_LDICT_DONE : OT_LDICT_AGAIN;
}

/* Puts the word in the place of one that nobody has claimed. In a guard, which it leaves. DONE or AGAIN. */
static ot_ldict_result_t
replace_leaving(ot_look_t look, ot_word_t word)
{
    if (ot_word_is_value(look.word) && make_room() < 0) {
        return OT_LDICT_FAILED;
    }
    bool replaced = ot_entry_replace(look.entry, &look.word, word);
    bool retired = replaced && ot_word_is_value(look.word);
    bool soon = retired && ot_ldict_retire(look.word);
    ot_epoch_leave();
    if (retired) {
        ot_ldict_tidy(soon);
    }
    return replaced ? OT_LDICT_DONE : OT_LDICT_AGAIN;
}

/* DONE, OVERRIDDEN or AGAIN. */
static ot_ldict_result_t
store_once(PyObject *self, const ot_mapkey_t *key, ot_word_t word)
{
    ot_look_t look;
    if (ot_ldict_look(self, key, &look) < 0) {
        return OT_LDICT_FAILED;
    }
    if (look.entry == NULL) {
        return insert_leaving(self, key, word);
    }
    if (ot_word_is_claim(look.word)) {
        ot_epoch_leave();
        return ot_ldict_wait(self, key, OT_FOREVER, OT_DICT_OVERRIDE, word);
    }
    return replace_leaving(look, word);
}

int
ot_ldict_store(PyObject *self, const ot_mapkey_t *key, ot_word_t word)
{
    ot_ldict_result_t result;
    do {
        result = store_once(self, key, word);
    } while (result == OT_LDICT_AGAIN);
    return result == OT_LDICT_FAILED ? -1 : 0;
}

/* DONE, PRESENT or AGAIN. */
static ot_ldict_result_t
store_new_once(PyObject *self, const ot_mapkey_t *key, ot_word_t word, PyObject **there)
{
    ot_look_t look;
    if (ot_ldict_look(self, key, &look) < 0) {
        return OT_LDICT_FAILED;
    }
    if (look.entry == NULL) {
        return insert_leaving(self, key, word);
    }
    if (ot_word_is_claim(look.word)) {
        return ot_ldict_leave_and_wait(self, key);
    }
    *there = ot_ldict_leave_with(ot_ldict_home(self), look.word);
    return *there == NULL ? OT_LDICT_FAILED : OT_LDICT_PRESENT;
}

ot_ldict_result_t
ot_ldict_store_new(PyObject *self, const ot_mapkey_t *key, ot_word_t word, PyObject **there)
{
    ot_ldict_result_t result;
    do {
        result = store_new_once(self, key, word, there);
    } while (result == OT_LDICT_AGAIN);
    return result;
}

/* ---- delete, pop ------------------------------------------------------------------------------ */

/* Removes what look found, after make_room. In a guard, which it leaves. DONE or AGAIN. */
static ot_ldict_result_t
remove_leaving(PyObject *self, ot_look_t look)
{
    bool removed = ot_map_remove(ot_ldict_map(self), look.entry, look.word);
    bool soon = removed && ot_ldict_retire(look.word);
    ot_epoch_leave();
    if (removed) {
        ot_ldict_tidy(soon);
    }
    return removed ? OT_LDICT_DONE : OT_LDICT_AGAIN;
}

/* DONE, OVERRIDDEN, MISSING or AGAIN. */
static ot_ldict_result_t
delete_once(PyObject *self, const ot_mapkey_t *key)
{
    ot_look_t look;
    if (ot_ldict_look(self, key, &look) < 0) {
        return OT_LDICT_FAILED;
    }
    if (!ot_word_is_there(look.word)) {
        ot_epoch_leave();
        return OT_LDICT_MISSING;
    }
    if (ot_word_is_claim(look.word)) {
        ot_epoch_leave();
        return ot_ldict_wait(self, key, OT_FOREVER, OT_DICT_OVERRIDE, OT_WORD_GONE);
    }
    return make_room() < 0 ? OT_LDICT_FAILED : remove_leaving(self, look);
}

ot_ldict_result_t
ot_ldict_delete(PyObject *self, const ot_mapkey_t *key)
{
    ot_ldict_result_t result;
    do {
        result = delete_once(self, key);
    } while (result == OT_LDICT_AGAIN);
    return result == OT_LDICT_OVERRIDDEN ? OT_LDICT_DONE : result;
}

void
ot_ldict_settle(ot_claim_t *claim, ot_word_t word)
{
    (void)ot_epoch_reserve(1); /* without memory an entry is leaked */
    /* Cannot fail: this thread looked the key up, and so has an epoch record. */
    (void)ot_epoch_enter();
    bool mine = ot_claim_settle(claim, word);
    ot_epoch_leave();
    if (!mine) {
        ot_ldict_drop(word);
    }
    ot_ldict_tidy(false);
}

/* A number comes out by making the object and then removing the key. In a guard, which it leaves. DONE
 * or AGAIN. */
static ot_ldict_result_t
pop_scalar(PyObject *self, ot_look_t look, PyObject **value)
{
    *value = ot_ldict_object_of(ot_ldict_home(self), look.word);
    if (*value == NULL) {
        ot_epoch_leave();
        return OT_LDICT_FAILED;
    }
    ot_ldict_result_t result = remove_leaving(self, look);
    if (result == OT_LDICT_AGAIN) {
        Py_CLEAR(*value);
    }
    return result;
}

ot_ldict_result_t
ot_ldict_claim(PyObject *self, ot_look_t look, bool pending, ot_claim_t **claim)
{
    *claim = ot_claim_new(ot_ldict_map(self), ot_ldict_home(self)->interp_id);
    if (*claim == NULL) {
        PyErr_NoMemory();
        return OT_LDICT_FAILED;
    }
    if (!ot_claim_take(*claim, look.entry, look.word, pending)) {
        ot_claim_free(*claim);
        return OT_LDICT_AGAIN;
    }
    return OT_LDICT_DONE;
}

ot_ldict_result_t
ot_ldict_claim_new_leaving(const ot_mapkey_t *key, ot_claim_t *claim)
{
    ot_entry_t *e = ot_entry_new(key, OT_WORD_GONE);
    bool mine = e != NULL && ot_claim_insert(claim, e) == e;
    ot_epoch_leave();
    if (e == NULL) {
        PyErr_NoMemory();
        return OT_LDICT_FAILED;
    }
    if (!mine) {
        ot_entry_free(e);
    }
    return mine ? OT_LDICT_DONE : OT_LDICT_AGAIN;
}

ot_ldict_result_t
ot_ldict_exchange(PyObject *self, ot_look_t look, ot_word_t new, PyObject **old)
{
    ot_claim_t *claim;
    ot_ldict_result_t result = ot_ldict_claim(self, look, new == OT_WORD_GONE, &claim);
    ot_epoch_leave();
    if (result == OT_LDICT_DONE) {
        *old = ot_ldict_take(ot_ldict_home(self), look.word);
        result = *old == NULL ? OT_LDICT_FAILED : OT_LDICT_DONE;
        ot_ldict_settle(claim, *old == NULL ? look.word : new);
    }
    return result;
}

/* DONE, MISSING or AGAIN. */
static ot_ldict_result_t
pop_once(PyObject *self, const ot_mapkey_t *key, PyObject **value)
{
    ot_look_t look;
    ot_ldict_result_t found = ot_ldict_look_or_wait(self, key, &look);
    if (found != OT_LDICT_DONE) {
        return found;
    }
    if (make_room() < 0) {
        return OT_LDICT_FAILED;
    }
    return ot_word_is_scalar(look.word) ? pop_scalar(self, look, value)
                                        : ot_ldict_exchange(self, look, OT_WORD_GONE, value);
}

ot_ldict_result_t
ot_ldict_pop(PyObject *self, const ot_mapkey_t *key, PyObject **value)
{
    ot_ldict_result_t result;
    do {
        result = pop_once(self, key, value);
    } while (result == OT_LDICT_AGAIN);
    return result;
}
