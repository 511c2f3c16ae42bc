/* explain.c: objtunnel.explain(obj), what a send of obj would do at this place and why.
 *
 * The C side examines (tunnel/report.h); objtunnel._explain makes text of it and finds out who refers to what is
 * held.
 *
 * Main invariant: the tree is as it was before, and what is returned refers to nothing of it.
 * Threading: the GIL of the interpreter.
 */
#include "objtunnel/state.h"
#include "tunnel/path.h"
#include "tunnel/report.h"

/* A new (objtunnel._explain.make)(obj, counts, findings, limit). */
static PyObject *
make(PyObject *obj, const ot_report_t *report, PyObject *limit)
{
    const ot_receipt_t *r = &report->receipt;
    PyObject *findings = ot_report_list(report);
    PyObject *module = findings == NULL ? NULL : PyImport_ImportModule("objtunnel._explain");
    PyObject *result =
        module == NULL ? NULL
                       : PyObject_CallMethod(module, "make", "O(nnn)OO", obj, (Py_ssize_t)r->moved,
                                             (Py_ssize_t)r->copied, (Py_ssize_t)r->pickled,
                                             findings, limit == NULL ? Py_None : limit);
    Py_XDECREF(module);
    Py_XDECREF(findings);
    return result;
}

static PyObject *
explain(PyObject *module, PyObject *const *args, Py_ssize_t nargs, PyObject *names)
{
    PyObject *limit = NULL;
    Py_ssize_t named = names == NULL ? 0 : PyTuple_GET_SIZE(names);
    bool is_limit = named == 1 && PyUnicode_EqualToUTF8(PyTuple_GET_ITEM(names, 0), "limit");
    if (nargs != 1 || named > 1 || (named == 1 && !is_limit)) {
        return PyErr_Format(PyExc_TypeError, "explain() takes one object, and limit as a keyword");
    }
    if (named == 1) {
        limit = args[1];
    }
    ot_state_t *state = ot_state_of_module(module);
    ot_report_t report = {0};
    PyObject *result = NULL;
    if (ot_state_take_old_blocks(state) == 0 &&
        ot_tree_explain(&state->interp, args[0], OT_ROOT_AS_SENT, OT_SHARE_NOTHING, &report) == 0) {
        result = make(args[0], &report, limit);
    }
    ot_report_free(&report);
    return result;
}

static PyObject *
paths(PyObject *module, PyObject *args)
{
    (void)module;
    PyObject *root, *targets;
    Py_ssize_t depth;
    if (!PyArg_ParseTuple(args, "OO!n:_paths", &root, &PyTuple_Type, &targets, &depth)) {
        return NULL;
    }
    return ot_paths_to(root, ((PyTupleObject *)targets)->ob_item, (size_t)PyTuple_GET_SIZE(targets),
                       depth < 0 ? SIZE_MAX : (size_t)depth);
}

static PyObject *
set_tracer(PyObject *module, PyObject *tracer)
{
    ot_interp_t *interp = &ot_state_of_module(module)->interp;
    Py_XSETREF(interp->tracer, tracer == Py_None ? NULL : Py_NewRef(tracer));
    Py_RETURN_NONE;
}

static PyMethodDef functions[] = {
    {"_set_tracer", set_tracer, METH_O,
     "_set_tracer(tracer): what is called before each send as tracer(root, counts, found); None: nothing."},
    {"explain", OT_METHOD(explain), METH_FASTCALL | METH_KEYWORDS,
     "explain($module, obj, /, *, limit=20)\n--\n\n"
     "Say what Tunnel.send(obj) would do here: an Explanation. Nothing is sent, obj stays as it is.\n\n"
     "It has the Receipt that send would return, bytes of what would be copied and pickled, and\n"
     "findings: what is copied, pickled or refused, where it lies ($[3]['rows']), and who refers to it\n"
     "from outside (`rows` in main.py:12). print() shows all of it, to_dict() is for JSON. Of the costliest\n"
     "`limit` objects each is looked at; others are counted. What has to be pickled is pickled, as\n"
     "send does. Takes as long as a send, and a look at all objects that the collector knows.\n\n"
     ">>> rows = [[0.5]]\n"
     ">>> explain([1, rows]).findings[0].path\n"
     "'$[1]'"},
    {"_paths", paths, METH_VARARGS,
     "_paths(root, targets, depth): where they lie below root, None if nowhere; depth -1: all of it."},
    {NULL, NULL, 0, NULL},
};

int
ot_explain_add(PyObject *module, ot_state_t *state)
{
    return PyModule_AddFunctions(module, functions) < 0
               ? -1
               : ot_consumer_add(&state->consumers, module, "explain");
}
