/* dict_type.c: the Python type LockingDict: dict's interface on a map of the process (see dict.h).
 *
 * Main invariant: a handle only; what it holds is in the map.
 * Threading: see dict.h.
 */
#include "objects/dict/dict.h"

/* ---- getting ---------------------------------------------------------------------------------- */

static PyObject *
subscript_any(PyObject *self, PyObject *key)
{
    ot_pykey_t k;
    PyObject *value = NULL;
    if (ot_pykey_init(&k, key) < 0) {
        return NULL;
    }
    ot_ldict_result_t result = ot_ldict_lookup(self, &k.key, &value);
    ot_pykey_clear(&k);
    return result == OT_LDICT_MISSING ? ot_ldict_missing(key) : value;
}

/* The fast path: a small int by a str that knows its hash. Everything else begins anew. */
static PyObject *
dict_subscript(PyObject *self, PyObject *key)
{
    Py_hash_t hash;
    if (PyUnicode_CheckExact(key) && (hash = ot_str_cached_hash(key)) != -1 && ot_epoch_enter()) {
        ot_mapkey_t k;
        ot_key_of_str(&k, key, hash);
        const ot_entry_t *e = ot_map_find(ot_ldict_map(self), &k);
        ot_word_t word = e == NULL ? OT_WORD_GONE : ot_entry_load(e);
        ot_epoch_leave();
        ot_ldict_oblige();
        if (ot_word_is_int(word)) {
            return PyLong_FromLongLong(ot_word_int(word));
        }
    }
    return subscript_any(self, key);
}

static int
dict_contains(PyObject *self, PyObject *key)
{
    ot_pykey_t k;
    if (ot_pykey_init(&k, key) < 0) {
        return -1;
    }
    int found = -1;
    if (ot_epoch_enter()) {
        const ot_entry_t *e = ot_map_find(ot_ldict_map(self), &k.key);
        found = e != NULL && ot_word_is_there(ot_entry_load(e));
        ot_epoch_leave();
        ot_ldict_oblige();
    } else {
        PyErr_NoMemory();
    }
    ot_pykey_clear(&k);
    return found;
}

static Py_ssize_t
dict_length(PyObject *self)
{
    return (Py_ssize_t)ot_map_len(ot_ldict_map(self));
}

/* The argument count of methods that take a key and maybe something else. */
static int
check_args(const char *name, Py_ssize_t n, Py_ssize_t most)
{
    if (n < 1 || n > most) {
        PyErr_Format(PyExc_TypeError, "%s expected 1 to %zd arguments, got %zd", name, most, n);
        return -1;
    }
    return 0;
}

static PyObject *
dict_get(PyObject *self, PyObject *const *args, Py_ssize_t n)
{
    ot_pykey_t k;
    PyObject *value = NULL;
    if (check_args("get", n, 2) < 0 || ot_pykey_init(&k, args[0]) < 0) {
        return NULL;
    }
    ot_ldict_result_t result = ot_ldict_lookup(self, &k.key, &value);
    ot_pykey_clear(&k);
    return result == OT_LDICT_MISSING ? Py_NewRef(n == 2 ? args[1] : Py_None) : value;
}

/* ---- setting ---------------------------------------------------------------------------------- */

/* The fast path: a small number, None or bool in place of another. Whether it could be done. */
static bool
replace_small(PyObject *self, const ot_mapkey_t *key, PyObject *value)
{
    ot_word_t word, now;
    if (!ot_ldict_small_word_of(value, &word) || !ot_epoch_enter()) {
        return false;
    }
    ot_entry_t *e = ot_map_find(ot_ldict_map(self), key);
    now = e == NULL ? OT_WORD_GONE : ot_entry_load(e);
    bool done = now != OT_WORD_GONE && !ot_word_is_claim(now) && !ot_word_is_value(now) &&
                ot_entry_replace(e, &now, word);
    ot_epoch_leave();
    ot_ldict_oblige();
    return done;
}

static int
dict_ass_subscript(PyObject *self, PyObject *key, PyObject *value)
{
    ot_pykey_t k;
    ot_word_t word;
    if (ot_pykey_init(&k, key) < 0) {
        return -1;
    }
    int rc;
    if (value == NULL) {
        ot_ldict_result_t result = ot_ldict_delete(self, &k.key);
        if (result == OT_LDICT_MISSING) {
            ot_ldict_missing(key);
        }
        rc = result == OT_LDICT_DONE ? 0 : -1;
    } else if (replace_small(self, &k.key, value)) {
        rc = 0;
    } else {
        word = (ot_word_t)ot_value_new_stored(ot_ldict_home(self), self, value);
        rc = word == 0 ? -1 : 0;
        if (rc == 0 && (rc = ot_ldict_store(self, &k.key, word)) < 0) {
            ot_ldict_drop(word);
        }
    }
    ot_pykey_clear(&k);
    return rc;
}

/* Nothing is made of the default if the key is there. */
static PyObject *
set_default(PyObject *self, const ot_mapkey_t *key, PyObject *value)
{
    PyObject *there = NULL;
    if (ot_ldict_lookup(self, key, &there) != OT_LDICT_MISSING) {
        return there;
    }
    ot_word_t word;
    ot_objects_t *home = ot_ldict_home(self);
    if (ot_ldict_word_of(home, value, &word) < 0) {
        return NULL;
    }
    PyObject *own = ot_ldict_object_of(home, word);
    if (own != NULL && ot_ldict_store_new(self, key, word, &there) == OT_LDICT_DONE) {
        return own;
    }
    Py_XDECREF(own);
    ot_ldict_drop(word);
    return there;
}

static PyObject *
dict_setdefault(PyObject *self, PyObject *const *args, Py_ssize_t n)
{
    ot_pykey_t k;
    if (check_args("setdefault", n, 2) < 0 || ot_pykey_init(&k, args[0]) < 0) {
        return NULL;
    }
    PyObject *value = set_default(self, &k.key, n == 2 ? args[1] : Py_None);
    ot_pykey_clear(&k);
    return value;
}

static PyObject *
dict_pop(PyObject *self, PyObject *const *args, Py_ssize_t n)
{
    ot_pykey_t k;
    PyObject *value = NULL;
    if (check_args("pop", n, 2) < 0 || ot_pykey_init(&k, args[0]) < 0) {
        return NULL;
    }
    ot_ldict_result_t result = ot_ldict_pop(self, &k.key, &value);
    ot_pykey_clear(&k);
    if (result == OT_LDICT_MISSING) {
        return n == 2 ? Py_NewRef(args[1]) : ot_ldict_missing(args[0]);
    }
    return value;
}

static PyObject *
dict_update(PyObject *self, PyObject *args, PyObject *kwargs)
{
    return ot_ldict_update_from(self, args, kwargs) < 0 ? NULL : Py_NewRef(Py_None);
}

/* ---- making ----------------------------------------------------------------------------------- */

static PyObject *
dict_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    (void)type;
    ot_objects_t *home = ot_objects_current();
    PyObject *self = home == NULL ? NULL : ot_ldict_new_empty(home);
    if (self != NULL && ot_ldict_update_from(self, args, kwargs) < 0) {
        Py_CLEAR(self);
    }
    return self;
}

static PyObject *
dict_fromkeys(PyObject *type, PyObject *const *args, Py_ssize_t n)
{
    if (check_args("fromkeys", n, 2) < 0) {
        return NULL;
    }
    PyObject *dict = PyObject_CallMethod((PyObject *)&PyDict_Type, "fromkeys", "OO", args[0],
                                         n == 2 ? args[1] : Py_None);
    PyObject *self = dict == NULL ? NULL : PyObject_CallOneArg(type, dict);
    Py_XDECREF(dict);
    return self;
}

/* ---- as a whole ------------------------------------------------------------------------------- */

static PyObject *
dict_iter(PyObject *self)
{
    PyObject *keys = ot_ldict_keys(self, NULL);
    PyObject *iter = keys == NULL ? NULL : PyObject_GetIter(keys);
    Py_XDECREF(keys);
    return iter;
}

static PyObject *
dict_reversed(PyObject *self, PyObject *unused)
{
    (void)unused;
    PyObject *keys = ot_ldict_keys(self, NULL);
    PyObject *iter = keys == NULL ? NULL : PyObject_CallOneArg((PyObject *)&PyReversed_Type, keys);
    Py_XDECREF(keys);
    return iter;
}

/* == and !=: by content, with a LockingDict or a dict. */
static PyObject *
dict_compare(PyObject *self, PyObject *other, int op)
{
    bool same_type = Py_IS_TYPE(other, Py_TYPE(self));
    if ((op != Py_EQ && op != Py_NE) || (!same_type && !PyDict_Check(other))) {
        Py_RETURN_NOTIMPLEMENTED;
    }
    if (same_type && ot_as_handle(other)->shared == ot_as_handle(self)->shared) {
        return PyBool_FromLong(op == Py_EQ);
    }
    PyObject *a = ot_ldict_snapshot(self), *result = NULL;
    PyObject *b = a == NULL ? NULL : same_type ? ot_ldict_snapshot(other) : Py_NewRef(other);
    if (b != NULL) {
        result = PyObject_RichCompare(a, b, op);
    }
    Py_XDECREF(a);
    Py_XDECREF(b);
    return result;
}

static bool
is_mapping(PyObject *self, PyObject *o)
{
    return Py_IS_TYPE(o, Py_TYPE(self)) || PyDict_Check(o);
}

static int
update_from_one(PyObject *self, PyObject *other)
{
    PyObject *args = PyTuple_Pack(1, other);
    int rc = args == NULL ? -1 : ot_ldict_update_from(self, args, NULL);
    Py_XDECREF(args);
    return rc;
}

static bool
is_locking_dict(PyObject *o)
{
    return Py_TYPE(o)->tp_repr == ot_ldict_repr;
}

/* left | right, each a LockingDict or a dict: a new LockingDict. */
static PyObject *
dict_or(PyObject *left, PyObject *right)
{
    PyObject *ours = is_locking_dict(left) ? left : right;
    if (!is_mapping(ours, left) || !is_mapping(ours, right)) {
        Py_RETURN_NOTIMPLEMENTED;
    }
    PyObject *result = ot_ldict_new_empty(ot_ldict_home(ours));
    if (result != NULL &&
        (update_from_one(result, left) < 0 || update_from_one(result, right) < 0)) {
        Py_CLEAR(result);
    }
    return result;
}

static PyObject *
dict_ior(PyObject *self, PyObject *other)
{
    return update_from_one(self, other) < 0 ? NULL : Py_NewRef(self);
}

/* Frees what all threads have retired, as far as nobody reads it, if this is the last reference
 * to the map. */
static void
dict_dealloc(PyObject *self)
{
    bool last = ot_ref_get(&ot_as_handle(self)->shared->ref) == 1;
    ot_handle_dealloc(self);
    if (last) {
        ot_epoch_collect(true);
    }
}

/* ---- the type --------------------------------------------------------------------------------- */

static PyMethodDef methods[] = {
    {"get", OT_METHOD(dict_get), METH_FASTCALL,
     "get($self, key, default=None, /)\n--\n\nThe value of key, or default."},
    {"setdefault", OT_METHOD(dict_setdefault), METH_FASTCALL,
     "setdefault($self, key, default=None, /)\n--\n\n"
     "The value of key; default is set and returned if there is none."},
    {"pop", OT_METHOD(dict_pop), METH_FASTCALL,
     "pop($self, key, default=<missing>, /)\n--\n\n"
     "Remove key and return its value, moved, not copied. KeyError without default."},
    {"popitem", ot_ldict_popitem, METH_NOARGS,
     "popitem($self, /)\n--\n\n"
     "Remove the newest key and return it with its value, moved, not copied.\n\n"
     "Keys that are checked out come last: then it waits. KeyError if there is none."},
    {"keys", ot_ldict_keys, METH_NOARGS,
     "keys($self, /)\n--\n\nA list of the keys, in the order of coming."},
    {"values", ot_ldict_values, METH_NOARGS,
     "values($self, /)\n--\n\nA list of equal objects of the values."},
    {"items", ot_ldict_items, METH_NOARGS,
     "items($self, /)\n--\n\nA list of the keys with equal objects of the values."},
    {"update", OT_METHOD(dict_update), METH_VARARGS | METH_KEYWORDS,
     "update($self, /, *args, **kwargs)\n--\n\n"
     "As dict's, key by key: others may see it half done."},
    {"clear", ot_ldict_clear, METH_NOARGS,
     "clear($self, /)\n--\n\nRemove all keys, one by one; wait for those that are checked out."},
    {"copy", ot_ldict_copy, METH_NOARGS,
     "copy($self, /)\n--\n\nAnother LockingDict with the same content; values are not copied."},
    {"fromkeys", OT_METHOD(dict_fromkeys), METH_FASTCALL | METH_CLASS,
     "fromkeys($type, iterable, value=None, /)\n--\n\nAs dict's."},
    {"__reversed__", dict_reversed, METH_NOARGS, "The keys, the newest first."},
    {"__class_getitem__", Py_GenericAlias, METH_O | METH_CLASS, "LockingDict[str, int]"},
    {"__reduce__", ot_handle_reduce, METH_NOARGS, NULL},
    {"add", OT_METHOD(ot_ldict_add), METH_FASTCALL,
     "add($self, key, n=1, /)\n--\n\n"
     "Add a number to key's, atomically; return the sum. A missing key counts from 0.\n\n"
     ">>> d = LockingDict()\n>>> d.add('hits'), d.add('hits', 2)\n(1, 3)"},
    {"swap", OT_METHOD(ot_ldict_swap), METH_FASTCALL,
     "swap($self, key, value, default=<missing>, /)\n--\n\n"
     "Set key and return what was there, moved, not copied.\n\n"
     "Missing: return default; KeyError without one, and nothing is set."},
    {"compare_exchange", OT_METHOD(ot_ldict_compare_exchange), METH_FASTCALL,
     "compare_exchange($self, key, expected, value, /)\n--\n\n"
     "Set key to value if it is there and == expected; return whether.\n\n"
     "expected is None, a bool, int, float, str or bytes; containers equal none of these."},
    {"setdefault_with", OT_METHOD(ot_ldict_setdefault_with), METH_FASTCALL,
     "setdefault_with($self, key, fn, /)\n--\n\n"
     "The value of key; if there is none, that of fn(), called once.\n\n"
     "Others who want to set the key wait meanwhile; to readers it is missing until then.\n"
     "If fn raises the key stays missing, and the next one who waits calls its own."},
    {"update_with", OT_METHOD(ot_ldict_update_with), METH_FASTCALL,
     "update_with($self, key, fn, default=<missing>, /)\n--\n\n"
     "Set key to fn(value), with the key checked out meanwhile: others wait.\n\n"
     "value is the tree itself, not a copy. Missing: fn(default); KeyError without one. If fn\n"
     "raises the tree is put back (as fn left it), or the key stays missing."},
    {"checkout", OT_METHOD(ot_ldict_checkout), METH_VARARGS | METH_KEYWORDS,
     "checkout($self, key, timeout=None)\n--\n\n"
     "For with: exclusive possession of key's tree, put back at the end.\n\n"
     "Entering waits while others have it, timeout seconds at most (TimeoutError); KeyError if\n"
     "there is none, LockAbandonedError if its holder is gone.\n\n"
     ">>> with d.checkout('jobs') as jobs:\n...     jobs.append(1)"},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc,
     "LockingDict(mapping_or_iterable=(), /, **kwargs)\n--\n\n"
     "A dict that all interpreters of the process use at the same time.\n\n"
     "Keys: str, int, float, bool, None, bytes and tuples of these. Values: what a Tunnel can\n"
     "send. d[key] gives an equal object of your own; pop moves it out.\n"
     "For JSON: json.dumps(d, default=objtunnel.frozen_default).\n\n"
     ">>> d = LockingDict(hits=0)\n>>> d.add('hits')\n1"},
    {Py_tp_new, dict_new},
    {Py_tp_dealloc, dict_dealloc},
    {Py_tp_traverse, ot_handle_traverse},
    {Py_tp_repr, ot_ldict_repr},
    {Py_tp_hash, PyObject_HashNotImplemented},
    {Py_tp_richcompare, dict_compare},
    {Py_tp_iter, dict_iter},
    {Py_tp_methods, methods},
    {Py_tp_getset, ot_handle_getset},
    {Py_mp_subscript, dict_subscript},
    {Py_mp_ass_subscript, dict_ass_subscript},
    {Py_mp_length, dict_length},
    {Py_sq_contains, dict_contains},
    {Py_nb_or, dict_or},
    {Py_nb_inplace_or, dict_ior},
    {0, NULL},
};

static PyType_Spec spec = {"objtunnel.LockingDict", sizeof(ot_handle_t), 0,
                           OT_HANDLE_FLAGS | Py_TPFLAGS_MAPPING, slots};

/* ---- the end of an interpreter ---------------------------------------------------------------- */

static void
abandon(ot_shared_t *self, void *interp)
{
    ot_map_abandon((ot_map_t *)self, *(const int64_t *)interp);
}

/* What was retired may hold handles: with this thread state it can still be freed. */
static void
interpreter_ends(PyObject *capsule)
{
    int64_t *interp = PyCapsule_GetPointer(capsule, NULL);
    ot_shared_visit(&ot_map_kind, abandon, interp);
    PyMem_RawFree(interp);
    ot_epoch_collect(true);
}

int
ot_ldict_type_add(ot_objects_t *home)
{
    static const char *const hand_over[] = {"setdefault", "swap", "compare_exchange"};
    PyTypeObject *type = ot_keys_init() < 0 || ot_checkout_type_add(home) < 0
                             ? NULL
                             : ot_handle_add_type(home, &ot_map_kind, &spec, NULL);
    for (size_t i = 0; type != NULL && i < Py_ARRAY_LENGTH(hand_over); i++) {
        if (ot_consumer_add(home->interp->consumers, (PyObject *)type, hand_over[i]) < 0) {
            return -1;
        }
    }
    return type == NULL
               ? -1
               : ot_watch_interpreter(home->interp_id, "objtunnel dicts", interpreter_ends);
}
