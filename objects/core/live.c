/* live.c: live_objects(): what lives in the process, and who holds it.
 *
 * Main invariant: it is told what the registry and the holders say (shared.h); nothing is counted here.
 * Threading: the caller's GIL, the registry's lock for as long as the rows are written down.
 */
#include "objects/core/handle.h"
#include "runtime/struct_sequence.h"

static PyStructSequence_Desc live_object_desc = {
    .name = "objtunnel.LiveObject",
    .doc = "An object of the process that lives, and who holds it.",
    .fields =
        (PyStructSequence_Field[]){
            {"kind", "the name of its type"},
            {"id", "its number, unique in the process: the handles' id"},
            {"name", "what it was made with; None if its kind has no names"},
            {"handles", "dict: interpreter id -> how many handles it has"},
            {"elsewhere",
             "references that no handle has: of messages, containers, calls under way"},
            {NULL, NULL},
        },
    .n_in_sequence = 5,
};

static int
by_id(const void *a, const void *b)
{
    const ot_shared_row_t *x = a, *y = b;
    if (x->id != y->id) {
        return x->id < y->id ? -1 : 1;
    }
    return (x->interp > y->interp) - (x->interp < y->interp); /* the object itself comes first */
}

/* Adds what n rows of one interpreter's handles say. */
static int
add_handles(PyObject *handles, int64_t interp, size_t n)
{
    PyObject *key = PyLong_FromLongLong(interp), *count = PyLong_FromSize_t(n);
    int rc = key == NULL || count == NULL ? -1 : PyDict_SetItem(handles, key, count);
    Py_XDECREF(key);
    Py_XDECREF(count);
    return rc;
}

/* rows[0] is the object, the others are its handles. */
static PyObject *
live_object(const ot_objects_t *home, const ot_shared_row_t *rows, size_t n)
{
    PyObject *handles = PyDict_New();
    for (size_t i = 1, end; i < n && handles != NULL; i = end) {
        for (end = i; end < n && rows[end].interp == rows[i].interp; end++) {
        }
        if (add_handles(handles, rows[i].interp, end - i) < 0) {
            Py_CLEAR(handles);
        }
    }
    uint64_t elsewhere = rows->references > n - 1 ? rows->references - (n - 1) : 0;
    PyObject *fields[] = {
        PyUnicode_FromString(rows->kind->name), PyLong_FromUnsignedLongLong(rows->id),
        rows->name == NULL ? Py_NewRef(Py_None) : PyUnicode_FromString(rows->name), handles,
        PyLong_FromUnsignedLongLong(elsewhere)};
    return ot_struct_steal(home->live_object, fields, Py_ARRAY_LENGTH(fields));
}

static PyObject *
live_objects(PyObject *module, PyObject *unused)
{
    (void)module;
    (void)unused;
    const ot_objects_t *home = ot_objects_current();
    ot_shared_row_t *rows;
    size_t n;
    if (home == NULL) {
        return NULL;
    }
    if (ot_shared_list(&rows, &n) < 0) {
        return PyErr_NoMemory();
    }
    qsort(rows, n, sizeof *rows, by_id);
    PyObject *list = PyList_New(0);
    for (size_t i = 0, end; i < n && list != NULL; i = end) {
        for (end = i; end < n && rows[end].id == rows[i].id; end++) {
        }
        if (rows[i].interp != -1) {
            continue; /* its last handle went between the two looks */
        }
        PyObject *object = live_object(home, &rows[i], end - i);
        if (object == NULL || PyList_Append(list, object) < 0) {
            Py_CLEAR(list);
        }
        Py_XDECREF(object);
    }
    ot_shared_free_list(rows, n);
    return list;
}

static PyMethodDef functions[] = {
    {"live_objects", live_objects, METH_NOARGS,
     "live_objects($module)\n--\n\n"
     "What lives in this process that interpreters share: a list of LiveObject(kind, id, name,\n"
     "handles, elsewhere), in the order of their ids. Tunnels, locks and the like, arrays, containers, files,\n"
     "boxes and frozen trees.\n\n"
     "handles: how many Python objects stand for it, by interpreter id. elsewhere: references of\n"
     "messages, containers, and calls under way. What has no handles but is referred to elsewhere\n"
     "is in a message or a container; or it refers to itself (t.send([t])), and then nothing frees\n"
     "it: see docs/sharing.md. Each number is of a moment: others go on meanwhile.\n\n"
     ">>> t = Tunnel(); [o.kind for o in live_objects() if o.id == t.id]\n['Tunnel']"},
    {NULL, NULL, 0, NULL},
};

int
ot_live_objects_add(ot_objects_t *home)
{
    return ot_struct_type_add(home->module, &live_object_desc, &home->live_object) < 0
               ? -1
               : PyModule_AddFunctions(home->module, functions);
}
