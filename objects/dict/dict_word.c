/* dict_word.c: what a LockingDict's words stand for (see dict.h).
 *
 * Main invariant: a value that a reader may have found in the map without taking a reference is
 * unreferenced by way of ot_epoch_retire only, and moved out of only after ot_epoch_quiet.
 * Threading: see dict.h.
 */
#include "objects/dict/dict.h"

/* How often to look whether readers are done, first with the GIL, then without. */
enum { LOOKS = 200, PATIENT_LOOKS = 20000 };

/* What a thread may leave retired and not freed: PILE small values. A value of LARGE bytes or
 * more, or one that may hold handles, is freed as soon as nobody reads it. */
enum { PILE = 64, LARGE = 32768 };

/* ---- in --------------------------------------------------------------------------------------- */

int
ot_ldict_word_of(ot_objects_t *home, PyObject *o, ot_word_t *word)
{
    if (!ot_ldict_small_word_of(o, word)) {
        *word = (ot_word_t)ot_value_new(home, o);
    }
    return *word == 0 ? -1 : 0;
}

int
ot_ldict_word_of_own(ot_objects_t *home, PyObject *o, ot_word_t *word)
{
    if (!ot_ldict_small_word_of(o, word)) {
        *word = (ot_word_t)ot_value_new_own(home, o);
    }
    return *word == 0 ? -1 : 0;
}

/* ---- out -------------------------------------------------------------------------------------- */

PyObject *
ot_ldict_object_of(ot_objects_t *home, ot_word_t word)
{
    if (ot_word_is_int(word)) {
        return PyLong_FromLongLong(ot_word_int(word));
    }
    if (word == OT_WORD_NONE) {
        Py_RETURN_NONE;
    }
    if (!ot_word_is_value(word)) {
        return PyBool_FromLong(word == OT_WORD_TRUE);
    }
    ot_value_t *v = ot_word_value(word);
    return ot_value_is_scalar(v) ? ot_value_scalar(v) : ot_value_copy(home, v);
}

/* An opaque value is copied by running Python code: out of the guard, with a reference instead. */
PyObject *
ot_ldict_leave_with(ot_objects_t *home, ot_word_t word)
{
    if (ot_word_is_value(word) && ot_word_value(word)->form == OT_VALUE_OPAQUE) {
        ot_value_t *v = ot_word_value(word);
        ot_value_ref(v);
        ot_epoch_leave();
        PyObject *o = ot_value_copy(home, v);
        ot_value_unref(v);
        if (o != NULL) {
            ot_ldict_oblige();
        }
        return o;
    }
    PyObject *o = ot_ldict_object_of(home, word);
    ot_epoch_leave();
    if (o != NULL) {
        ot_ldict_oblige();
    }
    return o;
}

static void
unref(void *value)
{
    ot_value_unref(value);
}

void
ot_ldict_drop(ot_word_t word)
{
    if (ot_word_is_value(word)) {
        ot_value_unref(ot_word_value(word));
    }
}

static bool
is_small_leaf(ot_word_t word)
{
    const ot_value_t *v = ot_word_value(word);
    if (v->form != OT_VALUE_LEAF) {
        return v->form == OT_VALUE_STATIC;
    }
    PyObject *o = v->u.object;
    return (!PyUnicode_Check(o) || PyUnicode_GET_LENGTH(o) < LARGE / 4) &&
           (!PyBytes_Check(o) || PyBytes_GET_SIZE(o) < LARGE);
}

bool
ot_ldict_retire(ot_word_t word)
{
    if (!ot_word_is_value(word)) {
        return false;
    }
    bool soon = !ot_word_is_scalar(word) && !is_small_leaf(word);
    ot_epoch_retire(ot_word_value(word), unref);
    return soon;
}

void
ot_ldict_tidy(bool soon)
{
    if (soon || ot_epoch_is_due(PILE)) {
        ot_epoch_collect(false);
    }
    ot_ldict_oblige();
}

/* What is small is copied sooner than a second look for readers would take. */
static bool
nobody_reads(bool small)
{
    bool quiet = ot_epoch_quiet(LOOKS);
    if (!quiet && !small) {
        Py_BEGIN_ALLOW_THREADS
        quiet = ot_epoch_quiet(PATIENT_LOOKS);
        Py_END_ALLOW_THREADS
    }
    return quiet;
}

PyObject *
ot_ldict_take(ot_objects_t *home, ot_word_t word)
{
    if (!ot_word_is_scalar(word) && nobody_reads(is_small_leaf(word))) {
        return ot_value_take(home, ot_word_value(word));
    }
    PyObject *o = ot_ldict_object_of(home, word);
    if (o != NULL && ot_word_is_value(word)) {
        (void)ot_epoch_reserve(1); /* without memory it is leaked */
        if (ot_epoch_enter()) {
            bool soon = ot_ldict_retire(word);
            ot_epoch_leave();
            ot_ldict_tidy(soon);
        }
    }
    return o;
}
