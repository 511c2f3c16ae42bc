/* trace.c: tells a tracer of each send, before it begins; see ot_report_trace in report.h.
 *
 * Threading: the GIL of the interpreter that has the tree.
 */
#include "tunnel/report.h"

int
ot_report_trace(const ot_interp_t *interp, PyObject *root, ot_root_rule_t rule, ot_share_t share)
{
    if (interp->tracer == NULL) {
        return 0;
    }
    ot_report_t report;
    PyObject *tracer = Py_NewRef(interp->tracer), *found = NULL, *none = NULL;
    if (ot_tree_explain(interp, root, rule, share, &report) == 0 &&
        (found = ot_report_list(&report)) != NULL) {
        const ot_receipt_t *r = &report.receipt;
        none = PyObject_CallFunction(tracer, "O(nnn)O", root, (Py_ssize_t)r->moved,
                                     (Py_ssize_t)r->copied, (Py_ssize_t)r->pickled, found);
    }
    Py_XDECREF(found);
    ot_report_free(&report);
    Py_DECREF(tracer);
    Py_XDECREF(none);
    return none == NULL ? -1 : 0;
}
