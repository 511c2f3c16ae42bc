/* weigh.c: see weigh.h.
 *
 * A walk of its own between the proof and the commit, by tp_traverse: the walk of the proof is counted in instructions, and
 * passes over most objects without a look at their size. So who does not ask pays nothing.
 *
 * Main invariant: an object is added once: what has one reference is met once, and what has several is in `seen`.
 * Threading: the sender's GIL is held throughout, and only C code runs: a `__sizeof__` that is written in Python is not asked.
 */
#include "tunnel/weigh.h"

#include "runtime/cpython/builtin.h"
#include "runtime/cpython/dict.h"

typedef struct {
    const ot_proof_t *p;
    size_t bytes;
    ot_ptrmap_t seen;
    OT_VEC(PyObject *) todo; /* borrowed: containers, to be looked into */
    PyTypeObject *last_type; /* whose __sizeof__ is `method` */
    PyObject *method;        /* owned; NULL: it has none in C */
} scale_t;

/* ---- one object ------------------------------------------------------------------------------- */

static size_t
header_size(PyTypeObject *type)
{
    return (PyType_IS_GC(type) ? sizeof(PyGC_Head) : 0) +
           (type->tp_flags & (Py_TPFLAGS_MANAGED_DICT | Py_TPFLAGS_MANAGED_WEAKREF)
                ? 2 * sizeof(PyObject *)
                : 0);
}

static size_t
str_size(PyObject *o)
{
    size_t length = (size_t)PyUnicode_GET_LENGTH(o) + 1;
    return PyUnicode_IS_COMPACT_ASCII(o)
               ? sizeof(PyASCIIObject) + length
               : sizeof(PyCompactUnicodeObject) + length * (size_t)PyUnicode_KIND(o);
}

/* Finds `__sizeof__` if it is a C function, into s->method. 0, or -1 with MemoryError. */
static int
find_method(scale_t *s, PyTypeObject *type)
{
    PyObject *mro = type->tp_mro, *found = NULL;
    for (Py_ssize_t i = 0; found == NULL && i < PyTuple_GET_SIZE(mro); i++) {
        PyObject *dict = PyType_GetDict((PyTypeObject *)PyTuple_GET_ITEM(mro, i));
        int rc = dict == NULL ? 0 : PyDict_GetItemStringRef(dict, "__sizeof__", &found);
        Py_XDECREF(dict);
        if (rc < 0) {
            return -1;
        }
    }
    if (found != NULL && !Py_IS_TYPE(found, &PyMethodDescr_Type)) {
        Py_CLEAR(found);
    }
    Py_XSETREF(s->method, found);
    s->last_type = type;
    return 0;
}

static int
add_by_method(scale_t *s, PyObject *o)
{
    PyTypeObject *type = Py_TYPE(o);
    if (type != s->last_type && find_method(s, type) < 0) {
        return -1;
    }
    if (s->method == NULL) {
        s->bytes += (size_t)type->tp_basicsize;
        return 0;
    }
    PyObject *size = PyObject_CallOneArg(s->method, o);
    size_t n = size == NULL ? 0 : PyLong_AsSize_t(size);
    Py_XDECREF(size);
    s->bytes += PyErr_Occurred() ? 0 : n;
    return PyErr_Occurred() ? -1 : 0;
}

/* Adds what sys.getsizeof says of o. Frequent types are computed here, without a call of
 * `__sizeof__`. */
static int
add_size(scale_t *s, PyObject *o)
{
    PyTypeObject *type = Py_TYPE(o);
    s->bytes += header_size(type);
    if (type == &PyFloat_Type || type == &PyComplex_Type) {
        s->bytes += (size_t)type->tp_basicsize;
    } else if (type == &PyLong_Type) {
        s->bytes += ot_int_block_size(o);
    } else if (type == &PyUnicode_Type) {
        s->bytes += str_size(o);
    } else if (type == &PyBytes_Type) {
        s->bytes += (size_t)type->tp_basicsize + (size_t)PyBytes_GET_SIZE(o);
    } else if (type == &PyTuple_Type) {
        s->bytes += (size_t)type->tp_basicsize + (size_t)PyTuple_GET_SIZE(o) * sizeof(PyObject *);
    } else if (type == &PyList_Type) {
        s->bytes += (size_t)type->tp_basicsize +
                    (size_t)((PyListObject *)o)->allocated * sizeof(PyObject *);
    } else {
        return add_by_method(s, o);
    }
    return 0;
}

/* ---- the walk ----------------------------------------------------------------------------------- */

/* Whether the receiver gets o as a part of the tree. */
static bool
travels(const ot_proof_t *p, PyObject *o, const ot_kind_t *kind)
{
    return kind != NULL && !ot_is_module_static(o) && !ot_kind_is_ndata(kind, o) &&
           ot_ptrmap_get(&p->foreign_index, o) == NULL;
}

/* visitproc: 0, or -1 with MemoryError. */
static int
weigh(PyObject *o, void *scale)
{
    scale_t *s = scale;
    if (o == Py_None || ot_is_process_static(o)) {
        return 0;
    }
    const ot_kind_t *kind = ot_proof_known_kind(s->p, Py_TYPE(o));
    if (!travels(s->p, o, kind)) {
        return 0; /* what is pickled and arrays' data are counted as a whole */
    }
    if (Py_REFCNT(o) != 1) {
        if (ot_ptrmap_get(&s->seen, o) != NULL) {
            return 0;
        }
        if (ot_ptrmap_add(&s->seen, o, 0) < 0) {
            return ot_no_memory();
        }
    }
    if (add_size(s, o) < 0) {
        return -1;
    }
    if (PyMemoryView_Check(o)) {
        s->bytes += (size_t)PyMemoryView_GET_BUFFER(o)->len;
        return 0;
    }
    bool goes_on = !kind->leaf && PyObject_IS_GC(o);
    return goes_on && ot_vec_push(&s->todo, o) < 0 ? ot_no_memory() : 0;
}

/* A dict whose keys are all str passes over them when it is traversed: they refer to nothing. */
static int
weigh_keys(scale_t *s, PyObject *dict)
{
    ot_keys_t *keys = ot_dict_keys(dict);
    for (Py_ssize_t i = 0, n = ot_dict_is_plain(dict) ? ot_keys_count(keys) : 0; i < n; i++) {
        ot_str_entry_t *e = &ot_keys_str_entries(keys)[i];
        if (e->me_value != NULL && weigh(e->me_key, s) < 0) {
            return -1;
        }
    }
    return 0;
}

/* Looks into what waits in s->todo. 0, or -1 with MemoryError. */
static int
go_on(scale_t *s)
{
    while (s->todo.len > 0) {
        PyObject *o = s->todo.items[--s->todo.len];
        /* A frozendict is laid out as a dict is. */
        bool has_keys =
            PyDict_Check(o) || ot_proof_known_kind(s->p, Py_TYPE(o))->inspect == ot_dict_inspect;
        if ((has_keys && weigh_keys(s, o) < 0) || Py_TYPE(o)->tp_traverse(o, weigh, s) != 0) {
            return -1;
        }
    }
    return 0;
}

int
ot_weigh_admits(const ot_proof_t *p, PyObject *pickle)
{
    scale_t s = {.p = p, .bytes = pickle == NULL ? 0 : (size_t)PyBytes_GET_SIZE(pickle)};
    int rc = weigh(p->root, &s) < 0 ? -1 : go_on(&s);
    for (size_t i = 0; i < p->tree->arrays.len; i++) {
        s.bytes += (size_t)p->tree->arrays.items[i]->len;
    }
    ot_vec_free(&s.todo);
    ot_ptrmap_free(&s.seen);
    Py_XDECREF(s.method);
    return rc < 0 ? -1 : p->gate->admits(p->gate, s.bytes);
}
