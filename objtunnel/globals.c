/* globals.c: process-wide state seen from Python: process_globals(), and what process_global() needs.
 *
 * Main invariant: a process_global is a resource by key in a registry: a channel that holds one
 * message, [value], but for the moments in which somebody takes a copy. An interpreter that asked
 * for it has one use, until its _core module goes.
 * Threading: the caller's GIL; the registry's own lock and waiting, include/objtunnel_global.h.
 */
#include "objtunnel/state.h"

#include <stdatomic.h>
#include <unistd.h>

#include "runtime/checks.h" /* first: it decides whether the header below checks */

#include "include/objtunnel_global.h"

/* ---- process_global --------------------------------------------------------------------------- */

/* The state of the module that puts its values right now; a message is disposed of by it. */
static _Thread_local ot_state_t *leaving;

static void
destroy_value(const char *key, void *value)
{
    (void)key;
    if (leaving != NULL) {
        ot_tree_dispose_chain(&leaving->interp, ot_channel_unref(value));
    }
    /* Otherwise the interpreter ended with its _core module leaked, and nobody is left who could
     * free objects: the channel and its message stay. */
}

static ot_registry_t values = OT_REGISTRY_INIT("objtunnel.process_global", destroy_value);

static int
create_value(const char *key, void *factory, void **value)
{
    (void)key;
    PyObject *tunnel = PyObject_CallNoArgs(factory);
    if (tunnel == NULL) {
        return -1;
    }
    ot_state_t *state = ot_state_current();
    int rc = -1;
    if (state != NULL && !Py_IS_TYPE(tunnel, state->tunnel_type)) {
        PyErr_SetString(PyExc_TypeError, "a Tunnel is wanted");
    } else if (state != NULL) {
        *value = ot_tunnel_channel(tunnel);
        ot_channel_ref(*value);
        rc = 0;
    }
    Py_DECREF(tunnel);
    return rc;
}

/* A forked child has no messages (tunnel/channel.c) and maybe not the interpreters that made them:
 * its values are its own. */
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

static void
put_value(ot_state_t *state, const char *key)
{
    ot_state_t *outer = leaving;
    leaving = state;
    (void)ot_registry_put_for(&values, key, state);
    leaving = outer;
}

void
ot_globals_leave(ot_state_t *state)
{
    PyObject *keys = state->process_keys;
    for (Py_ssize_t i = 0; keys != NULL && i < PyList_GET_SIZE(keys); i++) {
        put_value(state, PyUnicode_AsUTF8(PyList_GET_ITEM(keys, i)));
    }
    Py_CLEAR(state->process_keys);
}

/* Takes the message [value], puts [copy of value] in its place, and returns value. In C, so that
 * no Ctrl-C comes between. If there can be no copy the original goes back. */
static PyObject *
copy_message(PyObject *tunnel)
{
    PyObject *box = PyObject_CallMethod(tunnel, "recv", NULL);
    if (box == NULL) {
        return NULL;
    }
    PyObject *value = Py_NewRef(PyList_GET_ITEM(box, 0));
    PyObject *receipt = PyObject_CallMethod(tunnel, "send", "O", box); /* value is ours: copied */
    if (receipt == NULL) {
        PyObject *error = PyErr_GetRaisedException();
        Py_CLEAR(value);
        receipt = PyObject_CallMethod(tunnel, "send", "O", box); /* moved */
        if (receipt == NULL) { /* nobody shall wait for what will not come */
            PyErr_Clear();
            Py_XDECREF(PyObject_CallMethod(tunnel, "close", NULL));
        }
        PyErr_SetRaisedException(error);
    }
    Py_XDECREF(receipt);
    Py_DECREF(box);
    return value;
}

/* _process_value(key, factory): a copy of the value in the tunnel that the process has for key, and
 * that the first one's factory makes. */
static PyObject *
process_value(PyObject *module, PyObject *args)
{
    ot_state_t *state = ot_state_of_module(module);
    PyObject *key, *factory, *tunnel = NULL, *value = NULL;
    void *channel;
    if (!PyArg_ParseTuple(args, "UO:_process_value", &key, &factory)) {
        return NULL;
    }
    key = key_in_this_process(key);
    const char *text = key == NULL ? NULL : PyUnicode_AsUTF8(key);
    if (text == NULL ||
        ot_registry_get_for(&values, text, state, create_value, factory, &channel) < 0) {
        Py_XDECREF(key);
        return NULL;
    }
    ot_channel_ref(channel);
    tunnel = ot_tunnel_steal(state, channel);
    value = tunnel == NULL ? NULL : copy_message(tunnel);
    if (value == NULL || PyList_Append(state->process_keys, key) < 0) {
        PyObject *error = PyErr_GetRaisedException();
        Py_CLEAR(value);
        put_value(state, text);
        PyErr_SetRaisedException(error);
    }
    Py_XDECREF(tunnel);
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
     ">>> lock = GlobalLock('doc'); [g.key for g in process_globals() if g.key == 'doc']\n['doc']"},
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
