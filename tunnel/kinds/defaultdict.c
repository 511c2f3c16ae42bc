/* defaultdict.c: the row for collections.defaultdict: dict's, and the default_factory.
 *
 * Threading: see kinds.h.
 */
#include "tunnel/kinds.h"

#include "runtime/cpython/stdlib.h"

static int
defaultdict_visit(PyObject *o, ot_visitor_t *v)
{
    PyObject **factory = &((ot_defaultdict_t *)o)->default_factory;
    int needs = ot_kind_dict.visit(o, v);
    return needs < 0 || (*factory != NULL && ot_visit_edge(v, factory) < 0) ? -1 : needs;
}

static PyObject *
defaultdict_shell(PyObject *o)
{
    PyObject *shell = ot_kind_dict.shell(o);
    if (shell != NULL) {
        ((ot_defaultdict_t *)shell)->default_factory = ((ot_defaultdict_t *)o)->default_factory;
    }
    return shell;
}

/* The sender's emptied defaultdict goes on making defaults, unless the factory itself has moved. A class or function
 * does not move: it is in both interpreters, and something else stands for it in the message. */
static void
defaultdict_disown(PyObject *loser, PyObject *winner)
{
    ot_kind_dict.disown(loser, winner);
    PyObject **factory = &((ot_defaultdict_t *)loser)->default_factory;
    if (*factory == NULL || ot_is_process_static(*factory)) {
        return;
    }
    if (*factory == ((ot_defaultdict_t *)winner)->default_factory) {
        *factory = NULL;
    } else {
        Py_INCREF(*factory);
    }
}

static int
defaultdict_fill(PyObject *clone, PyObject *o, ot_copier_t *c)
{
    int needs = ot_kind_dict.fill(clone, o, c);
    PyObject *factory = ((ot_defaultdict_t *)o)->default_factory;
    if (needs < 0 || factory == NULL) {
        return needs;
    }
    return ot_fill_edge(c, &((ot_defaultdict_t *)clone)->default_factory, factory) < 0 ? -1 : needs;
}

static PyObject *
defaultdict_clone(PyObject *o)
{
    return ot_kind_dict.clone(o); /* makes an object of o's type, with default_factory NULL */
}

static int
defaultdict_clear(PyObject *o)
{
    return ot_kind_dict.clear(o);
}

static int
defaultdict_check(PyTypeObject *type)
{
    PyObject *o = PyObject_CallFunction((PyObject *)type, "O{s:i}", &PyList_Type, "key", 1);
    if (o == NULL) {
        return -1;
    }
    ot_defaultdict_t *d = (ot_defaultdict_t *)o;
    bool good = type->tp_basicsize == sizeof(ot_defaultdict_t) && type->tp_base == &PyDict_Type &&
                type->tp_weaklistoffset == 0 && type->tp_dictoffset == 0 &&
                d->default_factory == (PyObject *)&PyList_Type && PyDict_GET_SIZE(o) == 1;
    Py_DECREF(o);
    return good;
}

const ot_kind_t ot_kind_defaultdict = {
    .name = "defaultdict",
    .emptiable = true,
    .subclassable = true,
    .keeps_hash = true,
    .inspect = ot_dict_inspect,
    .visit = defaultdict_visit,
    .shell = defaultdict_shell,
    .disown = defaultdict_disown,
    .clone = defaultdict_clone,
    .fill = defaultdict_fill,
    .clear = defaultdict_clear,
};

OT_C_TYPE(defaultdict, "collections.defaultdict", &ot_kind_defaultdict, defaultdict_check);
