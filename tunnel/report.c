/* report.c: see report.h.
 *
 * Main invariant: between an attempt's beginning and its undoing nothing here changes a refcount that the
 * proof has counted; objects are only kept (increfs) once the attempt is complete.
 * Threading: the GIL of the interpreter that has the tree.
 */
#include "tunnel/report.h"

#include "tunnel/foreign.h"
#include "tunnel/proof.h"

static const uint32_t BECAUSE_OF_ROOT = UINT32_MAX;

/* ---- while the send is examined ------------------------------------------------------------------ */

void
ot_report_begin(ot_report_t *report)
{
    report->copied.len = 0;
    report->because = BECAUSE_OF_ROOT;
    ot_ptrmap_clear(&report->containers, 0);
}

void
ot_report_forget_foreign(ot_report_t *report)
{
    while (report->weights.len > 0) {
        Py_DECREF(report->weights.items[--report->weights.len]);
    }
}

int
ot_report_copied(ot_report_t *report, PyObject *o, bool leaf)
{
    ot_copied_t copied = {o, report->because};
    if (ot_vec_push(&report->copied, copied) < 0) {
        return -1;
    }
    bool known = leaf || ot_ptrmap_get(&report->containers, o) != NULL;
    return known ? 0 : ot_ptrmap_add(&report->containers, o, report->because);
}

/* The size of o's pickle, or the exception that says why there is none. A new reference; NULL with an
 * exception that is not about o. */
static PyObject *
weigh(const ot_interp_t *interp, PyObject *o)
{
    PyObject *bytes = ot_foreign_pickle_one(interp, o);
    if (bytes != NULL) {
        PyObject *size = PyLong_FromSsize_t(PyObject_Size(bytes));
        Py_DECREF(bytes);
        return size;
    }
    if (PyErr_ExceptionMatches(PyExc_MemoryError) || !PyErr_ExceptionMatches(PyExc_Exception)) {
        return NULL;
    }
    return PyErr_GetRaisedException();
}

int
ot_report_weigh(ot_report_t *report, ot_proof_t *p)
{
    for (size_t i = report->weights.len; i < (size_t)PyList_GET_SIZE(p->foreigners); i++) {
        PyObject *o = Py_NewRef(PyList_GET_ITEM(p->foreigners, (Py_ssize_t)i));
        PyObject *weight = weigh(p->interp, o);
        Py_DECREF(o);
        if (weight == NULL) {
            return -1;
        }
        if (ot_vec_push(&report->weights, weight) < 0) {
            Py_DECREF(weight);
            return ot_no_memory();
        }
    }
    return 0;
}

/* ---- the verdicts -------------------------------------------------------------------------------- */

/* 0, or -1 with MemoryError. */
static int
add_cause(ot_report_t *report, ot_cause_t cause)
{
    if (ot_vec_push(&report->causes, cause) < 0) {
        return ot_no_memory();
    }
    Py_INCREF(cause.obj);
    Py_XINCREF(cause.weight);
    return 0;
}

/* Why an outsider is one. References among candidates for the collector's partition are the tree's own. */
static ot_why_t
why_outside(const ot_proof_entry_t *e, Py_ssize_t *outside)
{
    Py_ssize_t own = !e->kind->leaf && e->trial > e->edges ? e->trial : e->edges;
    *outside = Py_REFCNT(e->obj) - own;
    if (e->pinned) {
        *outside = 0;
        return OT_WHY_PINNED;
    }
    return *outside > 0 ? OT_WHY_REFERENCED : OT_WHY_BELOW;
}

static int
add_entry(ot_report_t *report, const ot_proof_entry_t *e, size_t i)
{
    ot_cause_t cause = {.obj = e->obj, .because = ot_because_of_entry(i)};
    switch (e->verdict) {
    case OT_FOREIGN:
        cause.why = ot_foreign_by_name(e->obj) ? OT_WHY_NAMED : OT_WHY_PICKLED;
        cause.weight = report->weights.items[e->foreign];
        return add_cause(report, cause);
    case OT_REHOMED:
        cause.why = OT_WHY_OLD;
        cause.objects = 1; /* the shell, which is no clone */
        return add_cause(report, cause);
    case OT_INTERNED:
        cause.why = OT_WHY_INTERNED;
        return e->edges > 0 ? add_cause(report, cause) : 0;
    case OT_ARRAY:
        if (e->gives) {
            return 0;
        }
        /* fall through */
    case OT_OUTSIDE:
        cause.why = why_outside(e, &cause.outside);
        return e->edges > 0 ? add_cause(report, cause) : 0;
    default:
        return 0;
    }
}

static int
add_number(ot_report_t *report, const ot_number_t *n, size_t i)
{
    ot_cause_t cause = {.obj = n->obj, .because = ot_because_of_number(i)};
    cause.outside = Py_REFCNT(n->obj) - n->edges;
    cause.why = cause.outside > 0 ? OT_WHY_REFERENCED : OT_WHY_OLD;
    return n->edges > 0 && n->copy != NULL ? add_cause(report, cause) : 0;
}

static int
add_root(ot_report_t *report, const ot_proof_t *p)
{
    ot_cause_t cause = {.obj = p->root, .why = OT_WHY_ROOT, .because = BECAUSE_OF_ROOT};
    for (size_t i = 0; i < report->copied.len; i++) {
        if (report->copied.items[i].because == BECAUSE_OF_ROOT) {
            return add_cause(report, cause);
        }
    }
    return 0;
}

/* Adds up what was copied because of whom. */
static int
count_copies(ot_report_t *report)
{
    ot_ptrmap_t index = {
        0}; /* because + 1, as an address -> cause; keys are spread by 16 as blocks are */
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < report->causes.len; i++) {
        uintptr_t key = ((uintptr_t)report->causes.items[i].because + 1) << 4;
        if (report->causes.items[i].weight == NULL) {
            rc = ot_ptrmap_add(&index, (void *)key, (uint32_t)i);
        }
    }
    for (size_t i = 0; rc == 0 && i < report->copied.len; i++) {
        ot_copied_t *copied = &report->copied.items[i];
        uint32_t *at = ot_ptrmap_get(&index, (void *)(((uintptr_t)copied->because + 1) << 4));
        if (at == NULL) {
            ot_ptrmap_free(&index);
            PyErr_SetString(PyExc_SystemError, "objtunnel: a copy without a cause");
            return -1;
        }
        copied->because = *at; /* from now on an index of causes */
        report->causes.items[*at].objects++;
    }
    ot_ptrmap_free(&index);
    return rc < 0 ? ot_no_memory() : 0;
}

int
ot_report_fill(ot_report_t *report, const ot_proof_t *p, bool take_over)
{
    report->receipt = p->receipt;
    report->receipt.pickled = report->weights.len;
    if (!take_over && add_root(report, p) < 0) {
        return -1;
    }
    for (size_t i = 0; i < p->entries.len; i++) {
        if (add_entry(report, &p->entries.items[i], i) < 0) {
            return -1;
        }
    }
    for (size_t i = 0; i < p->numbers.len; i++) {
        if (add_number(report, &p->numbers.items[i], i) < 0) {
            return -1;
        }
    }
    if (count_copies(report) < 0) {
        return -1;
    }
    for (size_t i = 0; i < report->copied.len; i++) {
        Py_INCREF(report->copied.items[i].obj);
    }
    report->complete = true;
    return 0;
}

/* ---- afterwards ---------------------------------------------------------------------------------- */

/* sys.getsizeof(o), 0 if a __sizeof__ fails; -1 with an exception that is no fault of it. */
static Py_ssize_t
size_of(PyObject *getsizeof, PyObject *o)
{
    PyObject *size = PyObject_CallFunction(getsizeof, "Oi", o, 0);
    Py_ssize_t n = size == NULL ? -1 : PyLong_AsSsize_t(size);
    Py_XDECREF(size);
    if (n == -1 && PyErr_Occurred() && PyErr_ExceptionMatches(PyExc_Exception)) {
        PyErr_Clear();
        n = 0;
    }
    return n;
}

/* Bytes of what was copied, by cause: raw memory, NULL with an exception. */
static Py_ssize_t *
measure(const ot_report_t *report, PyObject *getsizeof)
{
    Py_ssize_t *bytes = PyMem_RawCalloc(report->causes.len + 1, sizeof *bytes);
    if (bytes == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    for (size_t i = 0; i < report->copied.len; i++) {
        Py_ssize_t n = size_of(getsizeof, report->copied.items[i].obj);
        if (n < 0) {
            PyMem_RawFree(bytes);
            return NULL;
        }
        bytes[report->copied.items[i].because] += n;
    }
    return bytes;
}

static PyObject *
spell(const ot_cause_t *cause, Py_ssize_t bytes, PyObject *getsizeof)
{
    static const char *const names[] = {
        [OT_WHY_ROOT] = "root",         [OT_WHY_REFERENCED] = "referenced",
        [OT_WHY_PINNED] = "pinned",     [OT_WHY_BELOW] = "below",
        [OT_WHY_INTERNED] = "interned", [OT_WHY_OLD] = "old",
        [OT_WHY_PICKLED] = "pickled",   [OT_WHY_NAMED] = "named",
    };
    PyObject *failure = Py_None;
    size_t objects = cause->objects;
    if (cause->weight != NULL && PyLong_CheckExact(cause->weight)) {
        bytes = PyLong_AsSsize_t(cause->weight);
        objects = 1;
    } else if (cause->weight != NULL) {
        failure = cause->weight;
    } else if (cause->why == OT_WHY_OLD && bytes == 0 &&
               (bytes = size_of(getsizeof, cause->obj)) < 0) {
        return NULL;
    }
    return Py_BuildValue("OsnnnO", cause->obj, names[cause->why], cause->outside,
                         (Py_ssize_t)objects, bytes, failure);
}

PyObject *
ot_report_list(const ot_report_t *report)
{
    PyObject *getsizeof = PySys_GetObject("getsizeof"); /* borrowed */
    PyObject *list = PyList_New(0);
    if (getsizeof == NULL || list == NULL) {
        Py_XDECREF(list);
        return PyErr_Occurred() ? NULL : PyErr_Format(PyExc_RuntimeError, "lost sys.getsizeof");
    }
    Py_INCREF(getsizeof);
    Py_ssize_t *bytes = measure(report, getsizeof);
    bool good = bytes != NULL;
    for (size_t i = 0; good && i < report->causes.len; i++) {
        PyObject *item = spell(&report->causes.items[i], bytes[i], getsizeof);
        good = item != NULL && PyList_Append(list, item) == 0;
        Py_XDECREF(item);
    }
    Py_DECREF(getsizeof);
    PyMem_RawFree(bytes);
    if (!good) {
        Py_CLEAR(list);
    }
    return list;
}

void
ot_report_free(ot_report_t *report)
{
    for (size_t i = 0; report->complete && i < report->copied.len; i++) {
        Py_DECREF(report->copied.items[i].obj);
    }
    for (size_t i = 0; i < report->causes.len; i++) {
        Py_DECREF(report->causes.items[i].obj);
        Py_XDECREF(report->causes.items[i].weight);
    }
    ot_report_forget_foreign(report);
    ot_vec_free(&report->copied);
    ot_vec_free(&report->causes);
    ot_vec_free(&report->weights);
    ot_ptrmap_free(&report->containers);
}
