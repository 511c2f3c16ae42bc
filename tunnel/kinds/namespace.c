/* namespace.c: the row for types.SimpleNamespace: a reference to the dict that holds its attributes.
 *
 * That dict is an exact dict always (`__dict__` cannot be assigned), so its own row moves or copies it
 * and nothing else can arrive in its place.
 *
 * Main invariant: a namespace without a dict is untracked. CPython's methods insist on the dict, so
 * nobody may find such a one.
 * Threading: see kinds.h.
 */
#include "tunnel/kinds.h"

/* The struct of Objects/namespaceobject.c, which is private there. */
typedef struct {
    PyObject_HEAD
    PyObject *dict;
} namespace_t;

static int
namespace_visit(PyObject *o, ot_visitor_t *v)
{
    return ot_visit_edge(v, &((namespace_t *)o)->dict);
}

static void
namespace_disown(PyObject *loser, PyObject *winner)
{
    (void)winner;
    if (PyObject_GC_IsTracked(loser)) {
        PyObject_GC_UnTrack(loser);
    }
    ((namespace_t *)loser)->dict = NULL;
}

static PyObject *
namespace_clone(PyObject *o)
{
    return ot_py_new_container(Py_TYPE(o), 0);
}

static PyObject *
namespace_shell(PyObject *o)
{
    PyObject *shell = namespace_clone(o);
    if (shell != NULL) {
        ((namespace_t *)shell)->dict = ((namespace_t *)o)->dict;
    }
    return shell;
}

static int
namespace_fill(PyObject *clone, PyObject *o, ot_copier_t *c)
{
    return ot_fill_edge(c, &((namespace_t *)clone)->dict, ((namespace_t *)o)->dict);
}

static int
namespace_check(PyTypeObject *type)
{
    PyObject *args = PyTuple_New(0), *kwargs = Py_BuildValue("{s:i}", "x", 1);
    PyObject *o =
        args == NULL || kwargs == NULL ? NULL : PyObject_Call((PyObject *)type, args, kwargs);
    Py_XDECREF(args);
    Py_XDECREF(kwargs);
    if (o == NULL) {
        return -1;
    }
    PyObject *dict = ((namespace_t *)o)->dict;
    bool good = !PyType_HasFeature(type, Py_TPFLAGS_HEAPTYPE) &&
                type->tp_basicsize == sizeof(namespace_t) && type->tp_weaklistoffset == 0 &&
                type->tp_dictoffset == offsetof(namespace_t, dict) && dict != NULL &&
                PyDict_CheckExact(dict) && PyDict_GET_SIZE(dict) == 1;
    Py_DECREF(o);
    return good;
}

static const ot_kind_t ot_kind_namespace = {
    .name = "SimpleNamespace",
    .subclassable = true,
    .inspect = ot_kind_block_inspect,
    .visit = namespace_visit,
    .shell = namespace_shell,
    .disown = namespace_disown,
    .clone = namespace_clone,
    .fill = namespace_fill,
};

OT_C_TYPE(namespace, "types.SimpleNamespace", &ot_kind_namespace, namespace_check);
