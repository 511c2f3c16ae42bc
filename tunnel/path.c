/* path.c: see path.h.
 *
 * Depth-first with an explicit stack of open containers; each is entered once. Only runs when a
 * send has failed already, so it is written for clearness, not for speed: it uses the public
 * API, iterates over list copies of containers, and may be slow on huge trees.
 * Threading: the GIL of the current interpreter.
 */
#include "tunnel/path.h"

#include "tunnel/class.h"

/* An open container: children[next] is looked at next. The first n_items are what it holds as a
 * container, labelled by `labels` or by their index; the others are attributes. */
typedef struct {
    PyObject *children; /* owned list */
    PyObject *labels;   /* owned list of keys, or NULL: the index */
    PyObject *names;    /* owned list: the attributes' names */
    Py_ssize_t n_items, next;
    const char *format; /* how an item is written behind its parent */
} frame_t;

typedef OT_VEC(frame_t) frames_t;

static void
close_frame(frame_t *f)
{
    Py_CLEAR(f->children);
    Py_CLEAR(f->labels);
    Py_CLEAR(f->names);
}

/* Lists what o holds as a container, subclasses included. 0, or -1 with an exception. */
static int
list_items(PyObject *o, frame_t *f)
{
    f->format = "[%S]";
    if (PyList_Check(o) || PyTuple_Check(o)) {
        f->children = PySequence_List(o);
    } else if (PyDict_Check(o)) {
        f->children = PyDict_Values(o);
        f->labels = PyDict_Keys(o);
        f->format = "[%R]";
    } else if (PyAnySet_Check(o)) {
        f->children = PySequence_List(o);
        f->format = ".<element %S>";
    } else if (Py_IS_TYPE(o, &PySlice_Type)) {
        PySliceObject *s = (PySliceObject *)o;
        f->children = Py_BuildValue("[OOO]", s->start, s->stop, s->step);
        f->labels = Py_BuildValue("[sss]", "start", "stop", "step");
        f->format = ".%S";
    } else if (strcmp(Py_TYPE(o)->tp_name, "collections.deque") == 0) {
        f->children = PySequence_List(o);
    } else {
        f->children = PyList_New(0);
    }
    bool labelled = PyDict_Check(o) || Py_IS_TYPE(o, &PySlice_Type);
    return f->children == NULL || (labelled && f->labels == NULL) ? -1 : 0;
}

static int
add_attribute(frame_t *f, PyObject *name, PyObject *value)
{
    return PyList_Append(f->names, name) < 0 || PyList_Append(f->children, value) < 0 ? -1 : 0;
}

/* Lists the values of an instance's __slots__ and of its __dict__. 0, or -1 with an exception. */
static int
list_attributes(PyObject *o, frame_t *f)
{
    f->names = PyList_New(0);
    int rc = f->names == NULL ? -1 : 0;
    for (PyTypeObject *t = Py_TYPE(o); rc == 0 && ot_type_is_python(t); t = t->tp_base) {
        PyMemberDef *member = ot_type_members(t);
        for (Py_ssize_t i = 0; rc == 0 && i < Py_SIZE(t); i++, member++) {
            PyObject *value = *(PyObject **)((char *)o + member->offset);
            PyObject *name = PyUnicode_FromString(member->name);
            rc = name == NULL || (value != NULL && add_attribute(f, name, value) < 0) ? -1 : 0;
            Py_XDECREF(name);
        }
    }
    if (rc < 0 || !ot_type_is_python(Py_TYPE(o)) || !ot_type_manages_dict(Py_TYPE(o))) {
        return rc;
    }
    PyObject *dict = PyObject_GenericGetDict(o, NULL), *name, *value;
    Py_ssize_t pos = 0;
    rc = dict == NULL ? -1 : 0;
    while (rc == 0 && PyDict_Next(dict, &pos, &name, &value)) {
        rc = add_attribute(f, name, value);
    }
    Py_XDECREF(dict);
    return rc;
}

/* Lists the children of o; 0 if it has none, 1 if `f` was filled, or -1. */
static int
open_container(PyObject *o, frame_t *f)
{
    *f = (frame_t){0};
    int rc = list_items(o, f);
    if (rc == 0) {
        f->n_items = PyList_GET_SIZE(f->children);
        rc = list_attributes(o, f);
    }
    if (rc < 0 || PyList_GET_SIZE(f->children) == 0) {
        close_frame(f);
        return rc;
    }
    return 1;
}

/* What the current child adds to the path. New reference. */
static PyObject *
spell_step(const frame_t *f)
{
    Py_ssize_t i = f->next - 1;
    if (i >= f->n_items) {
        return PyUnicode_FromFormat(".%S", PyList_GET_ITEM(f->names, i - f->n_items));
    }
    PyObject *label =
        f->labels != NULL ? Py_NewRef(PyList_GET_ITEM(f->labels, i)) : PyLong_FromSsize_t(i);
    PyObject *step = label == NULL ? NULL : PyUnicode_FromFormat(f->format, label);
    Py_XDECREF(label);
    return step;
}

/* "$" and what each open container's current child adds to it. */
static PyObject *
spell(const frames_t *frames)
{
    PyObject *path = PyUnicode_FromString("$");
    for (size_t i = 0; path != NULL && i < frames->len; i++) {
        PyUnicode_AppendAndDel(&path, spell_step(&frames->items[i]));
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
        if (f->labels != NULL && i < f->n_items && PyList_GET_ITEM(f->labels, i) == target) {
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
