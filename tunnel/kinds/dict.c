/* dict.c: the row for dict. Side block: the keys table, which holds the values as well.
 *
 * Split dicts (an instance's __dict__) share their keys with a class of the sender, and watched
 * dicts (a module's globals) have somebody who must hear of changes: both are copied, never
 * moved; the copy of a split dict is an ordinary combined one.
 */
#include "tunnel/kinds.h"

ot_keys_t *
ot_empty_keys(void)
{
    static ot_keys_t *_Atomic cached;
    ot_keys_t *keys = cached;
    if (keys == NULL) {
        PyObject *d = PyDict_New();
        if (d == NULL) {
            return NULL;
        }
        keys = ot_dict_keys(d);
        Py_DECREF(d);
        if (!ot_keys_static(keys)) {
            PyErr_SetString(PyExc_SystemError, "objtunnel: an empty dict has keys of its own");
            return NULL;
        }
        cached = keys;
    }
    return keys;
}

static int
visit_general(ot_keys_t *keys, ot_visitor_t *v)
{
    int needs = 0;
    ot_keys_forget_version(keys); /* a cache's tag: dropping it is always right */
    for (Py_ssize_t i = 0, n = ot_keys_count(keys); i < n; i++) {
        PyObject **key, **value;
        ot_keys_entry(keys, i, &key, &value);
        if (*value == NULL) {
            continue;
        }
        needs |= ot_key_is_composite(*key) ? OT_NEEDS_REHASH : 0;
        if (ot_visit_edge(v, key) < 0 || ot_visit_edge(v, value) < 0) {
            return -1;
        }
    }
    return needs;
}

static int
dict_visit(PyObject *o, ot_visitor_t *v)
{
    if (ot_dict_is_split(o)) {
        Py_ssize_t pos = 0;
        PyObject *key, *value;
        /* Pinned, so nobody remembers the slots; its keys are str. */
        while (PyDict_Next(o, &pos, &key, &value)) {
            if (ot_visit_edge(v, &value) < 0) {
                return -1;
            }
        }
        return 0;
    }
    if (ot_dict_is_plain(o)) {
        return ot_walk_str_dict(o, v, v->edge, v->key);
    }
    return visit_general(ot_dict_keys(o), v);
}

static PyObject *
dict_shell(PyObject *o)
{
    if (ot_empty_keys() == NULL) {
        return NULL; /* disown needs it and must not fail */
    }
    ot_keys_t *keys = ot_dict_keys(o);
    bool share = ot_keys_static(keys) || ot_heap_owns(keys);
    ot_keys_t *table = share ? keys : ot_keys_clone(keys);
    if (table == NULL) {
        return PyErr_NoMemory();
    }
    PyObject *shell = ot_dict_from_keys_steal(Py_TYPE(o), table, PyDict_GET_SIZE(o));
    if (shell == NULL && !share) {
        PyMem_Free(table);
    }
    return shell;
}

static void
dict_disown(PyObject *loser, PyObject *winner)
{
    ot_keys_t *keys = ot_dict_keys(loser);
    ot_dict_set_keys(loser, ot_empty_keys(), 0);
    if (keys != ot_dict_keys(winner) && !ot_keys_static(keys)) {
        PyMem_Free(keys);
    }
}

static PyObject *
combined_clone(PyObject *o, PyTypeObject *type)
{
    ot_keys_t *keys = ot_keys_clone(ot_dict_keys(o));
    if (keys == NULL) {
        return PyErr_NoMemory();
    }
    for (Py_ssize_t i = 0, n = ot_keys_count(keys); i < n; i++) {
        PyObject **key, **value;
        ot_keys_entry(keys, i, &key, &value);
        *key = *value = NULL;
    }
    PyObject *clone = ot_dict_from_keys_steal(type, keys, PyDict_GET_SIZE(o));
    if (clone == NULL) {
        PyMem_Free(keys);
    }
    return clone;
}

static PyObject *
dict_clone(PyObject *o)
{
    ot_keys_t *empty = ot_empty_keys();
    if (empty == NULL) {
        return NULL;
    }
    if (PyDict_GET_SIZE(o) == 0) {
        return ot_dict_from_keys_steal(Py_TYPE(o), empty, 0);
    }
    if (!ot_dict_is_split(o)) {
        return combined_clone(o, Py_TYPE(o));
    }
    /* Let CPython make the combined table: all keys are str, so no Python code runs. */
    PyObject *combined = PyDict_New();
    if (combined == NULL || PyDict_Update(combined, o) < 0) {
        Py_XDECREF(combined);
        return NULL;
    }
    PyObject *clone = combined_clone(combined, Py_TYPE(o));
    Py_DECREF(combined);
    return clone;
}

static int
fill_entry(ot_keys_t *keys, Py_ssize_t i, PyObject *key, PyObject *value, ot_copier_t *c)
{
    PyObject **to_key, **to_value;
    ot_keys_entry(keys, i, &to_key, &to_value);
    *to_key = c->copy(c, key, to_key);
    if (*to_key == NULL) {
        return -1;
    }
    *to_value = c->copy(c, value, to_value);
    if (*to_value == NULL) {
        return -1;
    }
    return ot_keys_all_str(keys) ? OT_NEEDS_KEYS : ot_key_is_composite(key) ? OT_NEEDS_REHASH : 0;
}

static int
fill_from_split(ot_keys_t *keys, PyObject *o, ot_copier_t *c)
{
    int needs = 0;
    Py_ssize_t pos = 0, i = 0;
    PyObject *key, *value;
    while (PyDict_Next(o, &pos, &key, &value)) {
        int more = fill_entry(keys, i++, key, value, c);
        if (more < 0) {
            return -1;
        }
        needs |= more;
    }
    return needs;
}

static int
dict_fill(PyObject *clone, PyObject *o, ot_copier_t *c)
{
    ot_keys_t *keys = ot_dict_keys(clone), *from = ot_dict_keys(o);
    if (ot_keys_static(keys)) {
        return 0;
    }
    if (ot_dict_is_split(o)) {
        return fill_from_split(keys, o, c);
    }
    int needs = 0;
    for (Py_ssize_t i = 0, n = ot_keys_count(from); i < n; i++) {
        PyObject **key, **value;
        ot_keys_entry(from, i, &key, &value);
        int more = *value == NULL ? 0 : fill_entry(keys, i, *key, *value, c);
        if (more < 0) {
            return -1;
        }
        needs |= more;
    }
    return needs;
}

static int
dict_clear(PyObject *o)
{
    PyDict_Clear(o);
    return 0;
}

const ot_kind_t ot_kind_dict = {
    .name = "dict",
    .subclassable = true,
    .emptiable = true,
    .inspect = ot_dict_inspect,
    .visit = dict_visit,
    .shell = dict_shell,
    .disown = dict_disown,
    .clone = dict_clone,
    .fill = dict_fill,
    .clear = dict_clear,
};
