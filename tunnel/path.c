/* path.c: see path.h.
 *
 * Depth-first with an explicit stack of open containers; each is entered once. Only runs when a
 * send has failed already, so it is written for clearness, not for speed: it uses the public
 * API, iterates over list copies of containers, and may be slow on huge trees.
 * Threading: the GIL of the current interpreter.
 */
#include "tunnel/path.h"

/* An open container: children[next] is looked at next; label(i) names a child. */
typedef struct {
    PyObject *children; /* owned list */
    PyObject *labels;   /* owned list of keys, or NULL: the index */
    Py_ssize_t next;
    const char *format; /* how a child is written behind its parent */
} frame_t;

typedef OT_VEC(frame_t) frames_t;

/* Lists the children of a container we know; 0 if it has none, 1 if `f` was filled, or -1. */
static int
open_container(PyObject *o, frame_t *f)
{
    *f = (frame_t){.format = "[%S]"};
    if (PyList_CheckExact(o) || PyTuple_CheckExact(o)) {
        f->children = PySequence_List(o);
    } else if (PyDict_CheckExact(o)) {
        f->children = PyDict_Values(o);
        f->labels = PyDict_Keys(o);
        f->format = "[%R]";
    } else if (PyAnySet_CheckExact(o)) {
        f->children = PySequence_List(o);
        f->format = ".<element %S>";
    } else if (Py_IS_TYPE(o, &PySlice_Type)) {
        PySliceObject *s = (PySliceObject *)o;
        f->children = Py_BuildValue("[OOO]", s->start, s->stop, s->step);
        f->labels = Py_BuildValue("[sss]", "start", "stop", "step");
        f->format = ".%S";
    } else {
        return 0;
    }
    if (f->children == NULL || (PyDict_CheckExact(o) && f->labels == NULL)) {
        Py_CLEAR(f->children);
        Py_CLEAR(f->labels);
        return -1;
    }
    return 1;
}

static void
close_frame(frame_t *f)
{
    Py_CLEAR(f->children);
    Py_CLEAR(f->labels);
}

/* "$" and what each open container's current child adds to it. */
static PyObject *
spell(const frames_t *frames)
{
    PyObject *path = PyUnicode_FromString("$");
    for (size_t i = 0; path != NULL && i < frames->len; i++) {
        const frame_t *f = &frames->items[i];
        PyObject *label = f->labels != NULL ? Py_NewRef(PyList_GET_ITEM(f->labels, f->next - 1))
                                            : PyLong_FromSsize_t(f->next - 1);
        PyObject *step = label == NULL ? NULL : PyUnicode_FromFormat(f->format, label);
        Py_XDECREF(label);
        PyUnicode_AppendAndDel(&path, step);
    }
    return path;
}

/* Enters o unless it was entered before; 0 or -1. */
static int
enter(PyObject *o, frames_t *frames, PyObject *entered)
{
    PyObject *id = PyLong_FromVoidPtr(o);
    int known = id == NULL ? -1 : PySet_Contains(entered, id);
    frame_t f;
    int rc = known;
    if (known == 0) {
        rc = open_container(o, &f);
        if (rc > 0 && (PySet_Add(entered, id) < 0 || ot_vec_push(frames, f) < 0)) {
            close_frame(&f);
            rc = -1;
        }
    }
    Py_XDECREF(id);
    return rc < 0 ? -1 : 0;
}

static PyObject *
search(frames_t *frames, PyObject *entered, PyObject *target)
{
    while (frames->len > 0) {
        frame_t *f = &frames->items[frames->len - 1];
        if (f->next == PyList_GET_SIZE(f->children)) {
            close_frame(f);
            frames->len--;
            continue;
        }
        Py_ssize_t i = f->next++;
        PyObject *child = PyList_GET_ITEM(f->children, i);
        if (child == target) {
            return spell(frames);
        }
        if (f->labels != NULL && PyList_GET_ITEM(f->labels, i) == target) {
            PyObject *path = spell(frames);
            PyUnicode_AppendAndDel(&path, PyUnicode_FromString(" (the key)"));
            return path;
        }
        if (enter(child, frames, entered) < 0) {
            return NULL;
        }
    }
    return PyUnicode_FromString("$...");
}

PyObject *
ot_path_to(PyObject *root, PyObject *target)
{
    if (root == target) {
        return PyUnicode_FromString("$");
    }
    frames_t frames = {0};
    PyObject *entered = PySet_New(NULL), *path = NULL;
    if (entered != NULL && enter(root, &frames, entered) == 0) {
        path = search(&frames, entered, target);
    }
    if (path == NULL && !PyErr_Occurred()) {
        PyErr_NoMemory();
    }
    while (frames.len > 0) {
        close_frame(&frames.items[--frames.len]);
    }
    ot_vec_free(&frames);
    Py_XDECREF(entered);
    return path;
}
