/* globals.c: process-wide state seen from Python: process_globals(), and what process_global() needs.
 *
 * Main invariant: a process_global is a shared object with its key as name, and holds a value (value.h), which
 * is never changed: each interpreter gets a copy. A registry sees to it that one factory makes it while others
 * wait, and counts its users: an interpreter that asked for it has one use, until its _core module goes.
 * Threading: the caller's GIL; the registry's own lock and waiting, include/objtunnel_global.h.
 */
#include "objtunnel/state.h"

#include <stdatomic.h>
#include <unistd.h>

#include "objects/core/value.h"

#include "runtime/checks.h" /* first: it decides whether the header below checks */

#include "include/objtunnel_global.h"

/* ---- process_global --------------------------------------------------------------------------- */

typedef struct {
    ot_shared_t head;
    ot_value_t *value; /* owned */
} process_value_t;

static void
process_value_free(ot_shared_t *self)
{
    ot_value_unref(((process_value_t *)self)->value);
    free(self);
}

static const ot_shared_kind_t process_value_kind = {"process_global", process_value_free, NULL,
                                                    NULL};

static void
destroy_value(const char *key, void *value)
{
    (void)key;
    ot_shared_unref(value);
}

static ot_registry_t values = OT_REGISTRY_INIT("objtunnel.process_global", destroy_value);

/* Refs: steals the value, also on failure. */
static ot_shared_t *
new_process_value(const char *key, ot_value_t *value)
{
    process_value_t *made = calloc(1, sizeof *made);
    ot_shared_t *entered = NULL;
    if (made != NULL) {
        made->value = value;
        entered = ot_shared_init_named(&made->head, &process_value_kind, key);
    }
    if (entered != NULL && entered == &made->head) {
        return entered;
    }
    if (entered != NULL) { /* the registry has one at a time */
        PyErr_Format(PyExc_SystemError, "objtunnel: process_global '%s' is there already", key);
        ot_shared_unref(entered);
    } else {
        PyErr_NoMemory();
    }
    free(made);
    ot_value_unref(value);
    return NULL;
}

static int
create_value(const char *key, void *factory, void **value)
{
    ot_objects_t *home = ot_objects_current();
    PyObject *made = home == NULL ? NULL : PyObject_CallNoArgs(factory);
    ot_value_t *v = made == NULL ? NULL : ot_value_new_own(home, made);
    Py_XDECREF(made);
    *value = v == NULL ? NULL : new_process_value(key, v);
    return *value == NULL ? -1 : 0;
}

/* A forked child makes values of its own, under other keys: the parent's may hold tunnels, which are empty in the child,
 * and belong to interpreters that the child does not have. */
static PyObject *
key_in_this_process(PyObject *key)
{
    static atomic_int first_pid;
    int none = 0, pid = (int)getpid();
    if (atomic_compare_exchange_strong(&first_pid, &none, pid) || none == pid) {
        return Py_NewRef(key);
    }
    return PyUnicode_FromFormat("%U (child %d)", key, pid);
}

void
ot_globals_leave(ot_state_t *state)
{
    PyObject *keys = state->process_keys;
    for (Py_ssize_t i = 0; keys != NULL && i < PyList_GET_SIZE(keys); i++) {
        (void)ot_registry_put_for(&values, PyUnicode_AsUTF8(PyList_GET_ITEM(keys, i)), state);
    }
    Py_CLEAR(state->process_keys);
}

/* _process_value(key, factory): a copy of the value that the process has for the key. If it has none, the factory makes
 * it. */
static PyObject *
process_value(PyObject *module, PyObject *args)
{
    ot_state_t *state = ot_state_of_module(module);
    PyObject *key, *factory, *value;
    void *shared;
    if (!PyArg_ParseTuple(args, "UO:_process_value", &key, &factory)) {
        return NULL;
    }
    key = key_in_this_process(key);
    const char *text = key == NULL ? NULL : PyUnicode_AsUTF8(key);
    if (text == NULL ||
        ot_registry_get_for(&values, text, state, create_value, factory, &shared) < 0) {
        Py_XDECREF(key);
        return NULL;
    }
    value = ot_value_copy(&state->objects, ((process_value_t *)shared)->value);
    if (value == NULL || PyList_Append(state->process_keys, key) < 0) {
        PyObject *error = PyErr_GetRaisedException();
        Py_CLEAR(value);
        (void)ot_registry_put_for(&values, text, state);
        PyErr_SetRaisedException(error);
    }
    Py_DECREF(key);
    return value;
}

/* ---- process_globals -------------------------------------------------------------------------- */

static PyStructSequence_Desc global_desc = {
    .name = "objtunnel.ProcessGlobal",
    .doc = "Process-wide state that is in use.",
    .fields =
        (PyStructSequence_Field[]){
            {"name", "what its author named it"},
            {"key", "of a resource in a registry; None for a global"},
            {"state",
             "'starting', 'ready', 'exiting'; 'abandoned': a thread ended within init or exit"},
            {"users", "dict: interpreter id -> how often it has entered"},
            {"inits", "how often it was initialised so far"},
            {"age", "seconds in this state"},
            {"needed_by", "list: names of the globals whose inits have entered it"},
            {NULL, NULL},
        },
    .n_in_sequence = 7,
};

static PyObject *
global_from_row(ot_state_t *state, const ot_global_row_t *row)
{
    static const char *const names[] = {"empty", "starting", "ready", "exiting", "abandoned"};
    PyObject *fields[] = {
        PyUnicode_FromString(row->name),
        row->key == NULL ? Py_NewRef(Py_None) : PyUnicode_FromString(row->key),
        PyUnicode_FromString(names[row->state]),
        PyDict_New(),
        PyLong_FromUnsignedLongLong(row->inits),
        PyFloat_FromDouble((double)row->age / 1e9),
        PyList_New(0),
    };
    return ot_struct_steal(state->process_global_type, fields, Py_ARRAY_LENGTH(fields));
}

/* Adds who needs it, a global of that name, or a resource as `name['key']`. */
static int
add_needed_by(PyObject *global, const ot_global_row_t *row)
{
    PyObject *name = row->user_key == NULL
                         ? PyUnicode_FromString(row->user_name)
                         : PyUnicode_FromFormat("%s['%s']", row->user_name, row->user_key);
    int rc = name == NULL ? -1 : PyList_Append(PyStructSequence_GetItem(global, 6), name);
    Py_XDECREF(name);
    return rc;
}

/* Adds a row's entries to what its interpreter has already. */
static int
add_user(PyObject *global, const ot_global_row_t *row)
{
    if (row->user_name != NULL) {
        return add_needed_by(global, row);
    }
    PyObject *users = PyStructSequence_GetItem(global, 3), *interp, *old, *sum = NULL;
    int rc = -1;
    if (row->interp < 0) {
        return 0;
    }
    interp = PyLong_FromLongLong(row->interp);
    if (interp != NULL && PyDict_GetItemRef(users, interp, &old) >= 0) {
        sum = PyLong_FromLong(row->entries + (old == NULL ? 0 : PyLong_AsLong(old)));
        Py_XDECREF(old);
    }
    if (sum != NULL) {
        rc = PyDict_SetItem(users, interp, sum);
    }
    Py_XDECREF(sum);
    Py_XDECREF(interp);
    return rc;
}

static PyObject *
process_globals(PyObject *module, PyObject *unused)
{
    (void)unused;
    ot_state_t *state = ot_state_of_module(module);
    ot_global_row_t *rows;
    size_t n;
    if (ot_core_snapshot(&rows, &n) < 0) {
        return PyErr_NoMemory();
    }
    PyObject *list = PyList_New(0), *global = NULL;
    for (size_t i = 0; i < n && list != NULL; i++) {
        if (i == 0 || rows[i].global != rows[i - 1].global) {
            Py_XSETREF(global, global_from_row(state, &rows[i]));
            if (global == NULL || PyList_Append(list, global) < 0) {
                Py_CLEAR(list);
                break;
            }
        }
        if (add_user(global, &rows[i]) < 0) {
            Py_CLEAR(list);
        }
    }
    Py_XDECREF(global);
    ot_core_free_rows(rows, n);
    return list;
}

static PyMethodDef functions[] = {
    {"process_globals", process_globals, METH_NOARGS,
     "process_globals($module)\n--\n\n"
     "What process-wide state is in use, by extensions that have objtunnel.h, and by objtunnel\n"
     "itself: a list of ProcessGlobal(name, key, state, users, inits, age,\n"
     "needed_by). Extensions with the header-only variant are on their own and not listed.\n\n"
     ">>> v = process_global('doc', list); [g.key for g in process_globals() if g.key == 'doc']\n['doc']"},
    {"_process_value", process_value, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

int
ot_globals_add(PyObject *module, ot_state_t *state)
{
    state->process_keys = PyList_New(0);
    return state->process_keys == NULL ||
                   ot_struct_type_add(module, &global_desc, &state->process_global_type) < 0
               ? -1
               : PyModule_AddFunctions(module, functions);
}
