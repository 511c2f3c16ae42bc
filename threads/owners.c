/* owners.c: the functions owner() and rebias().
 *
 * Main invariant: looking changes nothing.
 * Threading: any thread.
 */
#include "threads/threads.h"

#include "runtime/cpython/bias.h"

/* ---- owner ------------------------------------------------------------------------------------ */

static PyStructSequence_Desc owner_desc = {
    .name = "objtunnel.Owner",
    .doc = "Whose an object is, and how often it is referred to, on a free-threaded build.",
    .fields =
        (PyStructSequence_Field[]){
            {"thread", "its owner, as threading.get_ident() has it; None: nobody's"},
            {"is_mine", "whether the calling thread is its owner"},
            {"local", "references that the owner has counted; None: it is immortal"},
            {"shared",
             "references that other threads have counted; negative if they gave back more"},
            {"flags",
             "a tuple of str: 'immortal', 'deferred', 'weakref', 'queued', 'merged', 'shared'"},
            {NULL, NULL},
        },
    .n_in_sequence = 5,
};

static int
add_flag(PyObject *flags, bool has, const char *name)
{
    PyObject *text = has ? PyUnicode_FromString(name) : NULL;
    int rc = !has ? 0 : text == NULL ? -1 : PyList_Append(flags, text);
    Py_XDECREF(text);
    return rc;
}

static PyObject *
flags_of(const ot_bias_t *bias)
{
    PyObject *list = PyList_New(0), *tuple = NULL;
    bool counts = !bias->immortal;
    if (list != NULL && add_flag(list, bias->immortal, "immortal") == 0 &&
        add_flag(list, bias->deferred, "deferred") == 0 &&
        add_flag(list, counts && bias->flags == OT_BIAS_WEAKREF, "weakref") == 0 &&
        add_flag(list, counts && bias->flags == OT_BIAS_QUEUED, "queued") == 0 &&
        add_flag(list, counts && bias->flags == OT_BIAS_MERGED, "merged") == 0 &&
        add_flag(list, bias->is_shared, "shared") == 0) {
        tuple = PyList_AsTuple(list);
    }
    Py_XDECREF(list);
    return tuple;
}

static PyObject *
owner(PyObject *module, PyObject *o)
{
    ot_bias_t bias = ot_bias_of(o);
    bool known = !bias.immortal && bias.thread != 0;
    PyObject *type = PyObject_GetAttrString(module, "Owner");
    if (type == NULL) {
        return NULL;
    }
    PyObject *fields[] = {
        known ? PyLong_FromSize_t(bias.thread) : Py_NewRef(Py_None),
        PyBool_FromLong(known && bias.thread == ot_bias_me()),
        bias.immortal ? Py_NewRef(Py_None) : PyLong_FromUnsignedLong(bias.local),
        PyLong_FromSsize_t(bias.immortal ? 0 : bias.shared),
        flags_of(&bias),
    };
    PyObject *result = ot_struct_steal((PyTypeObject *)type, fields, Py_ARRAY_LENGTH(fields));
    Py_DECREF(type);
    return result;
}

/* ---- rebias ----------------------------------------------------------------------------------- */

static PyObject *
rebias(PyObject *module, PyObject *root)
{
    (void)module;
    Py_ssize_t taken = ot_take_over(root, false);
    return taken < 0 ? NULL : PyLong_FromSsize_t(taken);
}

static PyMethodDef functions[] = {
    {"owner", owner, METH_O,
     "owner($module, obj, /)\n--\n\n"
     "Owner(thread, is_mine, local, shared, flags): which thread counts references to obj without atomics.\n\n"
     "A look at one moment: other threads may change all of it. The call itself has references to obj.\n\n"
     ">>> owner([]).is_mine\nTrue"},
    {"rebias", rebias, METH_O,
     "rebias($module, obj, /)\n--\n\n"
     "Make the calling thread the owner of obj and of all that it leads to; return how many objects changed their owner.\n\n"
     "For a tree that another thread has built, which this thread goes on with: from then on each touch\n"
     "of it costs what it costs in a tree of one's own. Walks through lists, tuples, dicts, sets,\n"
     "frozensets and instances of classes that are written in Python; classes, functions, modules and\n"
     "immortal objects stay as they are. All other threads of the interpreter are stopped meanwhile. It\n"
     "is a matter of speed only: whoever refers to these objects may go on doing so. What Tunnel.recv\n"
     "returns is the receiver's already.\n\n"
     ">>> rebias([1.5, 2.5])\n0"},
    {NULL, NULL, 0, NULL},
};

int
ot_owners_add(PyObject *module)
{
    PyTypeObject *type;
    int rc = ot_struct_type_add(module, &owner_desc, &type);
    Py_XDECREF(type);
    return rc < 0 ? -1 : PyModule_AddFunctions(module, functions);
}
