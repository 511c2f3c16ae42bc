/* dict_atomic.c: reading and changing one key of a LockingDict as one step (see dict.h).
 *
 * Main invariant: numbers, and comparing, change a word by compare-and-swap, so nobody waits; what
 * runs Python code (a function of the user's) has the key to itself meanwhile, by a claim, and holds
 * no lock.
 * Threading: see dict.h.
 */
#include "objects/dict/dict_checkout.h"

static int
check_args(const char *name, Py_ssize_t n, Py_ssize_t least, Py_ssize_t most)
{
    if (n < least || n > most) {
        PyErr_Format(PyExc_TypeError,
                     "%s() takes %zd to %zd positional arguments but %zd were given", name, least,
                     most, n);
        return -1;
    }
    return 0;
}

/* ---- add -------------------------------------------------------------------------------------- */

/* The sum of two small ints; GONE: it is no small int, or one of the words is none. */
static ot_word_t
small_sum(ot_word_t word, ot_word_t n)
{
    int64_t sum;
    if (!ot_word_is_int(word) || !ot_word_is_int(n) ||
        __builtin_add_overflow(ot_word_int(word), ot_word_int(n), &sum)) {
        return OT_WORD_GONE;
    }
    return ot_word_int_fits(sum) ? ot_word_of_int(sum) : OT_WORD_GONE;
}

static bool
is_number(PyObject *o)
{
    return PyLong_Check(o) || PyFloat_CheckExact(o); /* bool, too: no subclass gets here */
}

/* now + n, as object and as word. 0, or -1 with an exception. */
static int
any_sum(ot_objects_t *home, PyObject *now, PyObject *n, PyObject **sum, ot_word_t *new)
{
    *sum = PyNumber_Add(now, n);
    if (*sum == NULL || ot_ldict_word_of(home, *sum, new) < 0) {
        Py_CLEAR(*sum);
        return -1;
    }
    return 0;
}

static bool
can_be_number(ot_word_t word)
{
    return ot_word_is_scalar(word) ||
           (ot_word_is_value(word) && ot_word_value(word)->form == OT_VALUE_LEAF);
}

static void
raise_not_a_number(PyObject *o)
{
    PyErr_Format(PyExc_TypeError, "add() is for ints and floats, not '%.200s'",
                 Py_TYPE(o)->tp_name);
}

/* Numbers that are no small ints. The key is claimed meanwhile, so that nothing is added twice. In a guard,
 * which it leaves. DONE or AGAIN. */
static ot_ldict_result_t
add_to_claimed(PyObject *self, ot_look_t look, PyObject *n, PyObject **sum)
{
    ot_objects_t *home = ot_ldict_home(self);
    ot_claim_t *claim;
    ot_ldict_result_t result = ot_ldict_claim(self, look, false, &claim);
    PyObject *now = result == OT_LDICT_DONE ? ot_ldict_object_of(home, look.word) : NULL;
    ot_epoch_leave();
    if (result != OT_LDICT_DONE) {
        return result;
    }
    ot_word_t new = look.word;
    if (now != NULL && !is_number(now)) {
        raise_not_a_number(now);
        result = OT_LDICT_FAILED;
    } else if (now == NULL || any_sum(home, now, n, sum, &new) < 0) {
        result = OT_LDICT_FAILED;
    }
    Py_XDECREF(now);
    ot_ldict_settle(claim, result == OT_LDICT_DONE ? new : look.word);
    if (result == OT_LDICT_DONE && ot_word_is_value(look.word) && ot_epoch_reserve(1) &&
        ot_epoch_enter()) {
        bool soon = ot_ldict_retire(look.word);
        ot_epoch_leave();
        ot_ldict_tidy(soon);
    }
    return result;
}

/* Adds to a key that is missing: stores 0 + n, which is not always n (-0.0). DONE or AGAIN. */
static ot_ldict_result_t
add_to_nothing(PyObject *self, const ot_mapkey_t *key, PyObject *n, PyObject **sum)
{
    ot_word_t word;
    PyObject *there = NULL, *zero = PyLong_FromLong(0);
    int rc = zero == NULL ? -1 : any_sum(ot_ldict_home(self), zero, n, sum, &word);
    Py_XDECREF(zero);
    if (rc < 0) {
        return OT_LDICT_FAILED;
    }
    ot_ldict_result_t result = ot_ldict_store_new(self, key, word, &there);
    if (result != OT_LDICT_DONE) {
        ot_ldict_drop(word);
        Py_XDECREF(there);
    }
    return result == OT_LDICT_PRESENT ? OT_LDICT_AGAIN : result;
}

/* DONE or AGAIN. */
static ot_ldict_result_t
add_once(PyObject *self, const ot_mapkey_t *key, ot_word_t small, PyObject *n, PyObject **sum)
{
    ot_look_t look;
    if (ot_ldict_look(self, key, &look) < 0) {
        return OT_LDICT_FAILED;
    }
    if (look.entry == NULL) {
        ot_epoch_leave();
        return add_to_nothing(self, key, n, sum);
    }
    if (ot_word_is_claim(look.word)) {
        return ot_ldict_leave_and_wait(self, key);
    }
    ot_word_t new = small_sum(look.word, small);
    if (new != OT_WORD_GONE) {
        /* First the object, for which memory may be missing. */
        *sum = PyLong_FromLongLong(ot_word_int(new));
        bool done = *sum != NULL && ot_entry_replace(look.entry, &look.word, new);
        ot_epoch_leave();
        return *sum == NULL ? OT_LDICT_FAILED : done ? OT_LDICT_DONE : OT_LDICT_AGAIN;
    }
    if (!can_be_number(look.word)) {
        ot_epoch_leave();
        PyErr_SetString(PyExc_TypeError, "add() is for ints and floats");
        return OT_LDICT_FAILED;
    }
    return add_to_claimed(self, look, n, sum);
}

PyObject *
ot_ldict_add(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    ot_pykey_t k;
    if (check_args("add", nargs, 1, 2) < 0) {
        return NULL;
    }
    PyObject *n = nargs == 2 ? args[1] : NULL, *sum = NULL;
    ot_word_t small = ot_word_of_int(1);
    if (n != NULL && !(PyLong_CheckExact(n) || PyFloat_CheckExact(n) || PyBool_Check(n))) {
        raise_not_a_number(n);
        return NULL;
    }
    if (ot_pykey_init(&k, args[0]) < 0) {
        return NULL;
    }
    /* 0 + True is 1 */
    n = n == NULL         ? PyLong_FromLong(1)
        : PyBool_Check(n) ? PyLong_FromLong(n == Py_True)
                          : Py_NewRef(n);
    ot_ldict_result_t result = n == NULL ? OT_LDICT_FAILED : OT_LDICT_AGAIN;
    if (n != NULL && PyLong_CheckExact(n)) {
        int overflow;
        long long i = PyLong_AsLongLongAndOverflow(n, &overflow);
        small = overflow == 0 && ot_word_int_fits(i) ? ot_word_of_int(i) : OT_WORD_GONE;
    } else {
        small = OT_WORD_GONE;
    }
    while (result == OT_LDICT_AGAIN) {
        Py_CLEAR(sum);
        result = add_once(self, &k.key, small, n, &sum);
    }
    ot_pykey_clear(&k);
    Py_XDECREF(n);
    if (result == OT_LDICT_FAILED) {
        Py_CLEAR(sum);
    }
    return sum;
}

/* ---- swap ------------------------------------------------------------------------------------- */

/* Puts `new` where there is nothing, of which `otherwise` is the old value. DONE or AGAIN. */
static ot_ldict_result_t
swap_with_nothing(PyObject *self, const ot_mapkey_t *key, ot_word_t new, PyObject *otherwise,
                  PyObject **old)
{
    ot_ldict_result_t result = ot_ldict_store_new(self, key, new, old);
    if (result == OT_LDICT_DONE) {
        *old = Py_NewRef(otherwise);
    } else if (result == OT_LDICT_PRESENT) {
        Py_CLEAR(*old);
        result = OT_LDICT_AGAIN;
    }
    return result;
}

/* ot_ldict_exchange of what is there, or of `otherwise` (NULL: of nothing) if the key is missing. DONE, MISSING
 * or AGAIN. */
static ot_ldict_result_t
swap_once(PyObject *self, const ot_mapkey_t *key, ot_word_t new, PyObject *otherwise,
          PyObject **old)
{
    ot_look_t look;
    if (ot_ldict_look(self, key, &look) < 0) {
        return OT_LDICT_FAILED;
    }
    if (ot_word_is_claim(look.word) && !(ot_word_is_pending(look.word) && otherwise == NULL)) {
        return ot_ldict_leave_and_wait(self, key);
    }
    if (!ot_word_is_there(look.word)) {
        ot_epoch_leave();
        return otherwise == NULL ? OT_LDICT_MISSING
                                 : swap_with_nothing(self, key, new, otherwise, old);
    }
    return ot_ldict_exchange(self, look, new, old);
}

PyObject *
ot_ldict_swap(PyObject *self, PyObject *const *args, Py_ssize_t n)
{
    ot_pykey_t k;
    ot_word_t new;
    PyObject *old = NULL;
    if (check_args("swap", n, 2, 3) < 0 || ot_pykey_init(&k, args[0]) < 0) {
        return NULL;
    }
    ot_ldict_result_t result = OT_LDICT_FAILED;
    if (ot_ldict_word_of(ot_ldict_home(self), args[1], &new) == 0) {
        do {
            result = swap_once(self, &k.key, new, n == 3 ? args[2] : NULL, &old);
        } while (result == OT_LDICT_AGAIN);
        if (result != OT_LDICT_DONE) {
            ot_ldict_drop(new);
        }
    }
    ot_pykey_clear(&k);
    return result == OT_LDICT_MISSING ? ot_ldict_missing(args[0]) : old;
}

/* ---- compare_exchange ------------------------------------------------------------------------- */

static bool
is_comparable(PyObject *o)
{
    return o == Py_None || PyBool_Check(o) || PyLong_CheckExact(o) || PyFloat_CheckExact(o) ||
           PyUnicode_CheckExact(o) || PyBytes_CheckExact(o);
}

/* ==, of types for which it runs no Python code, not even a BytesWarning. */
static int
are_equal(PyObject *a, PyObject *b)
{
    bool numbers =
        (PyLong_Check(a) || PyFloat_CheckExact(a)) && (PyLong_Check(b) || PyFloat_CheckExact(b));
    if (!numbers && !Py_IS_TYPE(a, Py_TYPE(b))) {
        return 0;
    }
    PyObject *equal = PyObject_RichCompare(a, b, Py_EQ); /* NaN: not even itself */
    int truth = equal == NULL ? -1 : equal == Py_True;
    Py_XDECREF(equal);
    return truth;
}

/* 1, 0, or -1 with an exception. */
static int
is_expected(ot_objects_t *home, ot_word_t word, PyObject *expected)
{
    bool is_leaf = can_be_number(word) || ot_word_value(word)->form == OT_VALUE_STATIC;
    if (!is_leaf) {
        return 0;
    }
    PyObject *now = ot_ldict_object_of(home, word);
    int equal = now == NULL ? -1 : are_equal(now, expected);
    Py_XDECREF(now);
    return equal;
}

/* Replaces the word if it is as expected. In a guard. DONE, PRESENT (something else is there) or AGAIN. */
static ot_ldict_result_t
exchange_if_expected(PyObject *self, ot_look_t look, PyObject *expected, ot_word_t new)
{
    int equal = is_expected(ot_ldict_home(self), look.word, expected);
    if (equal <= 0) {
        return equal < 0 ? OT_LDICT_FAILED : OT_LDICT_PRESENT;
    }
    if (!ot_epoch_reserve(1)) {
        PyErr_NoMemory();
        return OT_LDICT_FAILED;
    }
    return ot_entry_replace(look.entry, &look.word, new) ? OT_LDICT_DONE : OT_LDICT_AGAIN;
}

/* DONE, PRESENT (something else is there), MISSING or AGAIN. */
static ot_ldict_result_t
exchange_once(PyObject *self, const ot_mapkey_t *key, PyObject *expected, ot_word_t new)
{
    ot_look_t look;
    ot_ldict_result_t found = ot_ldict_look_or_wait(self, key, &look);
    if (found != OT_LDICT_DONE) {
        return found;
    }
    ot_ldict_result_t result = exchange_if_expected(self, look, expected, new);
    bool soon = result == OT_LDICT_DONE && ot_ldict_retire(look.word);
    ot_epoch_leave();
    ot_ldict_tidy(soon);
    return result;
}

PyObject *
ot_ldict_compare_exchange(PyObject *self, PyObject *const *args, Py_ssize_t n)
{
    ot_pykey_t k;
    ot_word_t new;
    if (check_args("compare_exchange", n, 3, 3) < 0) {
        return NULL;
    }
    if (!is_comparable(args[1])) {
        PyErr_Format(
            PyExc_TypeError,
            "what is expected must be None, a bool, int, float, str or bytes, not '%.200s'",
            Py_TYPE(args[1])->tp_name);
        return NULL;
    }
    if (ot_pykey_init(&k, args[0]) < 0) {
        return NULL;
    }
    ot_ldict_result_t result = OT_LDICT_FAILED;
    if (ot_ldict_word_of(ot_ldict_home(self), args[2], &new) == 0) {
        do {
            result = exchange_once(self, &k.key, args[1], new);
        } while (result == OT_LDICT_AGAIN);
        if (result != OT_LDICT_DONE) {
            ot_ldict_drop(new);
        }
    }
    ot_pykey_clear(&k);
    return result == OT_LDICT_FAILED ? NULL : PyBool_FromLong(result == OT_LDICT_DONE);
}

/* ---- setdefault_with -------------------------------------------------------------------------- */

/* PRESENT and *there, DONE (the key is the claim's, to be computed) or AGAIN. */
static ot_ldict_result_t
get_or_claim(PyObject *self, const ot_mapkey_t *key, ot_claim_t *claim, PyObject **there)
{
    ot_look_t look;
    if (ot_ldict_look(self, key, &look) < 0) {
        return OT_LDICT_FAILED;
    }
    if (ot_word_is_claim(look.word)) {
        return ot_ldict_leave_and_wait(self, key);
    }
    if (look.entry != NULL) {
        *there = ot_ldict_leave_with(ot_ldict_home(self), look.word);
        return *there == NULL ? OT_LDICT_FAILED : OT_LDICT_PRESENT;
    }
    return ot_ldict_claim_new_leaving(key, claim);
}

/* Ends the claim in any case: with the value, or the key is not there. */
static PyObject *
compute(PyObject *self, ot_claim_t *claim, PyObject *fn)
{
    ot_objects_t *home = ot_ldict_home(self);
    ot_word_t word = OT_WORD_GONE;
    PyObject *value = PyObject_CallNoArgs(fn), *result = NULL;
    if (value != NULL && ot_ldict_word_of_own(home, value, &word) == 0) {
        result = ot_ldict_object_of(home, word); /* before others can remove it */
        if (result == NULL) {
            ot_ldict_drop(word);
            word = OT_WORD_GONE;
        }
    } else {
        word = OT_WORD_GONE;
    }
    ot_ldict_settle(claim, word);
    Py_XDECREF(value);
    return result;
}

PyObject *
ot_ldict_setdefault_with(PyObject *self, PyObject *const *args, Py_ssize_t n)
{
    ot_pykey_t k;
    PyObject *result = NULL;
    if (check_args("setdefault_with", n, 2, 2) < 0 || ot_pykey_init(&k, args[0]) < 0) {
        return NULL;
    }
    ot_claim_t *claim = ot_claim_new(ot_ldict_map(self), ot_ldict_home(self)->interp_id);
    if (claim == NULL) {
        PyErr_NoMemory();
    } else {
        ot_ldict_result_t done;
        do {
            done = get_or_claim(self, &k.key, claim, &result);
        } while (done == OT_LDICT_AGAIN);
        if (done == OT_LDICT_DONE) {
            result = compute(self, claim, args[1]);
        } else {
            ot_claim_free(claim);
        }
    }
    ot_pykey_clear(&k);
    return result;
}

/* ---- update_with ------------------------------------------------------------------------------ */

/* The tree that was there goes back, or the key is gone again; if even that fails the exception has
 * the checkout, which has the tree. Refs: steals the tree. */
static void
give_up(ot_checkout_t *c, PyObject *tree, bool was_there)
{
    PyObject *error = PyErr_GetRaisedException();
    if (!was_there) {
        ot_checkout_forget_steal(c, tree);
    } else if (ot_checkout_put_back(c, tree) < 0) {
        PyErr_Clear();
        ot_checkout_return_steal(c, tree);
        if (PyObject_SetAttrString(error, "checkout", (PyObject *)c) < 0) {
            PyErr_Clear();
        }
    }
    PyErr_SetRaisedException(error);
}

/* The tree is lent meanwhile: fn may find the checkout by way of the collector, and gets nothing of it. */
static int
replace_by_result(ot_checkout_t *c, PyObject *fn, bool was_there)
{
    PyObject *tree = ot_checkout_lend(c);
    if (tree == NULL) {
        return -1;
    }
    PyObject *result = PyObject_CallOneArg(fn, tree);
    bool same = result == tree;
    if (same) {
        Py_DECREF(result); /* then ours may be the only reference */
    }
    if (result == NULL || ot_checkout_put_back(c, result) < 0) {
        PyObject *error = PyErr_GetRaisedException();
        if (!same) {
            Py_XDECREF(result);
        }
        PyErr_SetRaisedException(error);
        give_up(c, tree, was_there);
        return -1;
    }
    if (!same) {
        Py_DECREF(tree);
    }
    return 0;
}

static int
update(ot_checkout_t *c, PyObject *fn, PyObject *otherwise)
{
    int rc = ot_checkout_acquire(c, otherwise);
    return rc < 0 ? rc : replace_by_result(c, fn, !c->claim->computed);
}

PyObject *
ot_ldict_update_with(PyObject *self, PyObject *const *args, Py_ssize_t n)
{
    if (check_args("update_with", n, 2, 3) < 0) {
        return NULL;
    }
    ot_checkout_t *c = ot_checkout_new(self, args[0], Py_None);
    if (c == NULL) {
        return NULL;
    }
    int rc;
    Py_BEGIN_CRITICAL_SECTION(c); /* who finds it by way of the collector waits, as for the GIL */
    rc = update(c, args[1], n == 3 ? args[2] : NULL);
    Py_END_CRITICAL_SECTION();
    Py_DECREF(c);
    return rc < 0 ? NULL : Py_NewRef(Py_None);
}
