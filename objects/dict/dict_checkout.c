/* dict_checkout.c: see dict_checkout.h.
 *
 * Main invariant: that of ot_checkout_t. A checkout that goes while it holds its key takes the tree
 * with it; the key is abandoned then, which others are told.
 * Threading: the GIL of the checkout's interpreter; the claim's owner is the thread that acquired.
 */
#include "objects/dict/dict_checkout.h"
#include "runtime/timeout.h"

/* ---- acquire ---------------------------------------------------------------------------------- */

ot_checkout_t *
ot_checkout_new(PyObject *dict, PyObject *key, PyObject *timeout)
{
    PyTypeObject *type = ot_ldict_home(dict)->checkout;
    ot_checkout_t *c = (ot_checkout_t *)type->tp_alloc(type, 0);
    if (c != NULL) {
        c->dict = Py_NewRef(dict);
        c->key = Py_NewRef(key);
        c->timeout = Py_NewRef(timeout);
    }
    return c;
}

/* Makes the tree of the word that the claim took from the key. DONE; or FAILED with an exception, then key and word are as before the
 * claim. */
static ot_ldict_result_t
move_out(ot_checkout_t *c, ot_claim_t *claim, ot_word_t word)
{
    PyObject *tree = ot_ldict_take(ot_ldict_home(c->dict), word);
    if (tree == NULL) {
        PyObject *error = PyErr_GetRaisedException();
        ot_ldict_settle(claim, word);
        PyErr_SetRaisedException(error);
        return OT_LDICT_FAILED;
    }
    c->tree = tree;
    c->claim = claim;
    return OT_LDICT_DONE;
}

/* A new key, pending. In a guard, which it leaves. DONE or AGAIN. */
static ot_ldict_result_t
hold_new_key(ot_checkout_t *c, const ot_mapkey_t *key, PyObject *otherwise)
{
    ot_claim_t *claim = ot_claim_new(ot_ldict_map(c->dict), ot_ldict_home(c->dict)->interp_id);
    if (claim == NULL) {
        ot_epoch_leave();
        PyErr_NoMemory();
        return OT_LDICT_FAILED;
    }
    ot_ldict_result_t result = ot_ldict_claim_new_leaving(key, claim);
    if (result == OT_LDICT_DONE) {
        c->claim = claim;
        c->tree = Py_NewRef(otherwise);
    } else {
        ot_claim_free(claim);
    }
    return result;
}

/* Waits until nobody has the key, and not beyond the deadline. AGAIN. */
static ot_ldict_result_t
wait_for(ot_checkout_t *c, const ot_mapkey_t *key, int64_t deadline)
{
    ot_ldict_result_t result = ot_ldict_wait(c->dict, key, deadline, OT_DICT_RAISE, OT_WORD_GONE);
    if (result == OT_LDICT_TIMEOUT) {
        PyErr_Format(PyExc_TimeoutError, "%R is still checked out", c->key);
        result = OT_LDICT_FAILED;
    }
    return result;
}

/* DONE (the key is held), MISSING or AGAIN. */
static ot_ldict_result_t
acquire_once(ot_checkout_t *c, const ot_mapkey_t *key, int64_t deadline, PyObject *otherwise)
{
    ot_look_t look;
    if (ot_ldict_look(c->dict, key, &look) < 0) {
        return OT_LDICT_FAILED;
    }
    if (look.entry == NULL && otherwise != NULL) {
        return hold_new_key(c, key, otherwise);
    }
    if (ot_word_is_claim(look.word) && !(ot_word_is_pending(look.word) && otherwise == NULL)) {
        ot_epoch_leave();
        return wait_for(c, key, deadline);
    }
    if (!ot_word_is_there(look.word)) {
        ot_epoch_leave();
        return OT_LDICT_MISSING;
    }
    ot_claim_t *claim;
    ot_ldict_result_t result = ot_ldict_claim(c->dict, look, false, &claim);
    ot_epoch_leave();
    return result == OT_LDICT_DONE ? move_out(c, claim, look.word) : result;
}

static int
acquire(ot_checkout_t *c, const ot_mapkey_t *key, int64_t deadline, PyObject *otherwise)
{
    ot_ldict_result_t result;
    do {
        result = acquire_once(c, key, deadline, otherwise);
    } while (result == OT_LDICT_AGAIN);
    if (result == OT_LDICT_MISSING) {
        ot_ldict_missing(c->key);
    }
    return result == OT_LDICT_DONE ? 0 : -1;
}

int
ot_checkout_acquire(ot_checkout_t *c, PyObject *otherwise)
{
    ot_pykey_t k;
    int64_t deadline;
    if (c->claim != NULL) {
        PyErr_Format(PyExc_RuntimeError, "%R is checked out by this very checkout", c->key);
        return -1;
    }
    if (ot_deadline_from(c->timeout, OT_NEGATIVE_AT_ONCE, &deadline) < 0 ||
        ot_pykey_init(&k, c->key) < 0) {
        return -1;
    }
    int rc = acquire(c, &k.key, deadline, otherwise);
    ot_pykey_clear(&k);
    return rc;
}

/* ---- release ---------------------------------------------------------------------------------- */

/* 0: the tree is here. -1 with RuntimeError. */
static int
check_here(ot_checkout_t *c)
{
    if (c->tree == NULL) {
        PyErr_Format(PyExc_RuntimeError,
                     c->claim == NULL ? "%R is not checked out"
                                      : "%R is being put back or computed just now",
                     c->key);
    }
    return c->tree == NULL ? -1 : 0;
}

PyObject *
ot_checkout_lend(ot_checkout_t *c)
{
    if (check_here(c) < 0) {
        return NULL;
    }
    PyObject *tree = c->tree;
    c->tree = NULL;
    return tree;
}

void
ot_checkout_return_steal(ot_checkout_t *c, PyObject *tree)
{
    c->tree = tree;
}

/* The map gets the word, whoever waits the key; only then may anything else run. */
static void
end(ot_checkout_t *c, ot_word_t word, PyObject *tree)
{
    ot_claim_t *claim = c->claim;
    c->claim = NULL;
    c->to_be_released = false;
    ot_ldict_settle(claim, word);
    Py_DECREF(tree);
}

int
ot_checkout_put_back(ot_checkout_t *c, PyObject *tree)
{
    ot_word_t word;
    if (ot_ldict_word_of_own(ot_ldict_home(c->dict), tree, &word) < 0) {
        return -1;
    }
    end(c, word, tree);
    return 0;
}

/* Puts the tree back into the map, which ends the checkout. -1 with an exception: what was held is still held. */
static int
release(ot_checkout_t *c)
{
    PyObject *tree = ot_checkout_lend(c);
    if (tree == NULL) {
        return -1;
    }
    if (ot_checkout_put_back(c, tree) < 0) {
        ot_checkout_return_steal(c, tree);
        c->to_be_released = true;
        return -1;
    }
    return 0;
}

void
ot_checkout_forget_steal(ot_checkout_t *c, PyObject *tree)
{
    end(c, OT_WORD_GONE, tree);
}

/* ---- the type --------------------------------------------------------------------------------- */

PyObject *
ot_ldict_checkout(PyObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"key", "timeout", NULL};
    PyObject *key, *timeout = Py_None;
    int64_t deadline;
    ot_pykey_t k;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|O:checkout", names, &key, &timeout) ||
        ot_deadline_from(timeout, OT_NEGATIVE_AT_ONCE, &deadline) < 0) {
        return NULL;
    }
    if (deadline == OT_DONT_WAIT && PyFloat_AsDouble(timeout) < 0) {
        PyErr_SetString(PyExc_ValueError, "timeout must be a number of seconds, 0 or more");
        return NULL;
    }
    if (ot_pykey_init(&k, key) < 0) {
        return NULL;
    }
    ot_pykey_clear(&k);
    return (PyObject *)ot_checkout_new(self, key, timeout);
}

static ot_checkout_t *
as_checkout(PyObject *self)
{
    return (ot_checkout_t *)self;
}

/* ---- methods ---------------------------------------------------------------------------------- */

/* On free-threaded builds a checkout's own lock stands in for the GIL: like that, it is let go of while the thread waits
 * for something. */
static PyObject *
alone(PyObject *self, PyObject *(*operation)(ot_checkout_t *c))
{
    PyObject *result;
    Py_BEGIN_CRITICAL_SECTION(self);
    result = operation(as_checkout(self));
    Py_END_CRITICAL_SECTION();
    return result;
}

static PyObject *
enter(ot_checkout_t *c)
{
    if (ot_checkout_acquire(c, NULL) < 0 || check_here(c) < 0) { /* another thread's, by now */
        return NULL;
    }
    return Py_NewRef(c->tree);
}

static PyObject *
checkout_enter(PyObject *self, PyObject *unused)
{
    (void)unused;
    return alone(self, enter);
}

static PyObject *
put_back(ot_checkout_t *c)
{
    return release(c) < 0 ? NULL : Py_NewRef(Py_None);
}

static PyObject *
checkout_release(PyObject *self, PyObject *unused)
{
    (void)unused;
    return alone(self, put_back);
}

/* Released within the block: nothing left to do. */
static PyObject *
leave(ot_checkout_t *c)
{
    return c->claim == NULL ? Py_NewRef(Py_None) : put_back(c);
}

static PyObject *
checkout_exit(PyObject *self, PyObject *args)
{
    (void)args;
    return alone(self, leave);
}

static PyObject *
value_of(ot_checkout_t *c)
{
    return check_here(c) < 0 ? NULL : Py_NewRef(c->tree);
}

static PyObject *
get_value(PyObject *self, void *unused)
{
    (void)unused;
    return alone(self, value_of);
}

/* Refs: steals the value on success. */
static int
exchange(ot_checkout_t *c, PyObject *value, PyObject **before)
{
    if (check_here(c) < 0) {
        return -1;
    }
    if (value == NULL) {
        PyErr_SetString(PyExc_TypeError, "value cannot be deleted");
        return -1;
    }
    *before = c->tree;
    c->tree = value;
    return 0;
}

static int
set_value(PyObject *self, PyObject *value, void *unused)
{
    (void)unused;
    int rc;
    PyObject *before = NULL;
    Py_BEGIN_CRITICAL_SECTION(self);
    rc = exchange(as_checkout(self), Py_XNewRef(value), &before);
    Py_END_CRITICAL_SECTION();
    Py_XDECREF(rc < 0 ? value : before);
    return rc;
}

static PyObject *
is_held(ot_checkout_t *c)
{
    return PyBool_FromLong(c->claim != NULL);
}

static PyObject *
get_held(PyObject *self, void *unused)
{
    (void)unused;
    return alone(self, is_held);
}

static PyObject *
repr_of(ot_checkout_t *c)
{
    return PyUnicode_FromFormat("<%s checkout of %R from LockingDict %llu>",
                                c->claim != NULL ? "held" : "idle", c->key,
                                (unsigned long long)ot_as_handle(c->dict)->shared->id);
}

static PyObject *
checkout_repr(PyObject *self)
{
    return alone(self, repr_of);
}

static int
checkout_traverse(PyObject *self, visitproc visit, void *arg)
{
    ot_checkout_t *c = as_checkout(self);
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(c->dict);
    Py_VISIT(c->key);
    Py_VISIT(c->timeout);
    Py_VISIT(c->tree);
    return 0;
}

static int
checkout_clear(PyObject *self)
{
    ot_checkout_t *c = as_checkout(self);
    if (c->claim != NULL) {
        ot_claim_t *claim = c->claim;
        c->claim = NULL;
        ot_claim_abandon(claim);
    }
    Py_CLEAR(c->tree);
    return 0;
}

/* The end of a with statement failed, maybe for lack of memory that is there now. Whoever goes without
 * having tried was not done with the tree. */
static void
try_again(ot_checkout_t *c)
{
    PyObject *error = PyErr_GetRaisedException();
    if (release(c) < 0) {
        PyErr_Clear();
    }
    PyErr_SetRaisedException(error);
}

static void
checkout_dealloc(PyObject *self)
{
    ot_checkout_t *c = as_checkout(self);
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    if (c->claim != NULL && c->to_be_released) {
        try_again(c);
    }
    (void)checkout_clear(self);
    Py_XDECREF(c->key);
    Py_XDECREF(c->timeout);
    Py_XDECREF(c->dict);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyMethodDef methods[] = {
    {"__enter__", checkout_enter, METH_NOARGS, "Take the key; return the tree."},
    {"__exit__", checkout_exit, METH_VARARGS, "Put the tree back, unless that was done."},
    {"release", checkout_release, METH_NOARGS,
     "release($self)\n--\n\n"
     "Put the tree back: `value`, by the rule of d[k] = value.\n\n"
     "If that fails (TypeError: something in it cannot be moved, copied or pickled) the key is\n"
     "still held and `value` still there. Raises RuntimeError if the key is not held."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef getset[] = {
    {"value", get_value, set_value, "The tree; what is put back. To be set for another one.", NULL},
    {"held", get_held, NULL, "Whether the key is checked out by this object.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc, "A key of a LockingDict in exclusive possession: see LockingDict.checkout."},
    {Py_tp_dealloc, checkout_dealloc},
    {Py_tp_traverse, checkout_traverse},
    {Py_tp_clear, checkout_clear},
    {Py_tp_repr, checkout_repr},
    {Py_tp_methods, methods},
    {Py_tp_getset, getset},
    {0, NULL},
};

static PyType_Spec spec = {"objtunnel.Checkout", sizeof(ot_checkout_t), 0,
                           Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE |
                               Py_TPFLAGS_DISALLOW_INSTANTIATION,
                           slots};

int
ot_checkout_type_add(ot_objects_t *home)
{
    home->checkout = (PyTypeObject *)PyType_FromModuleAndSpec(home->module, &spec, NULL);
    return home->checkout == NULL ? -1 : 0;
}
