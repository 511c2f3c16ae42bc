/* mappingproxy.c: the row for types.MappingProxyType: a reference to what it shows, which moves,
 * is copied or pickled by its own rules.
 *
 * Its deallocator insists on an object, so one without content holds None.
 */
#include "tunnel/kinds.h"

static int
mappingproxy_visit(PyObject *o, ot_visitor_t *v)
{
    return ot_visit_edge(v, &((ot_mappingproxy_t *)o)->mapping);
}

static void
mappingproxy_disown(PyObject *loser, PyObject *winner)
{
    (void)winner;
    ((ot_mappingproxy_t *)loser)->mapping = Py_None; /* most of its methods raise then */
}

static PyObject *
mappingproxy_clone(PyObject *o)
{
    PyObject *proxy = ot_py_new_container(Py_TYPE(o), 0);
    if (proxy != NULL) {
        mappingproxy_disown(proxy, o);
    }
    return proxy;
}

static PyObject *
mappingproxy_shell(PyObject *o)
{
    PyObject *proxy = ot_py_new_container(Py_TYPE(o), 0);
    if (proxy != NULL) {
        ((ot_mappingproxy_t *)proxy)->mapping = ((ot_mappingproxy_t *)o)->mapping;
    }
    return proxy;
}

static int
mappingproxy_fill(PyObject *clone, PyObject *o, ot_copier_t *c)
{
    return ot_fill_edge(c, &((ot_mappingproxy_t *)clone)->mapping,
                        ((ot_mappingproxy_t *)o)->mapping);
}

int
ot_mappingproxy_check(void)
{
    PyObject *dict = PyDict_New(), *proxy = dict == NULL ? NULL : PyDictProxy_New(dict);
    int good = -1;
    if (proxy != NULL) {
        good = PyDictProxy_Type.tp_basicsize == sizeof(ot_mappingproxy_t) &&
               ((ot_mappingproxy_t *)proxy)->mapping == dict;
    }
    Py_XDECREF(proxy);
    Py_XDECREF(dict);
    return good;
}

const ot_kind_t ot_kind_mappingproxy = {
    .name = "mappingproxy",
    .inspect = ot_kind_block_inspect,
    .visit = mappingproxy_visit,
    .shell = mappingproxy_shell,
    .disown = mappingproxy_disown,
    .clone = mappingproxy_clone,
    .fill = mappingproxy_fill,
};
