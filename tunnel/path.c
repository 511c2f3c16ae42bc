/* path.c: see path.h.
 *
 * Depth-first with an explicit stack of open containers; each is entered once. Only runs when a
 * send has failed already, so it is written for clearness, not for speed: it iterates over list
 * copies of containers, and may be slow on huge trees. What a subclass says about iteration is
 * not asked: the objects are those that its C base holds, and the attributes.
 * Threading: the GIL of the current interpreter.
 */
#include "tunnel/path.h"

#include "tunnel/class.h"
#include "tunnel/ptrmap.h"
#include "runtime/cpython/instance.h"
#include "runtime/cpython/stdlib.h"

/* What is looked for. Invariant: paths is a list of as many items as there are targets, None where `missing` still
 * counts one. */
typedef struct {
    ot_ptrmap_t index; /* target -> its place in paths */
    PyObject *paths;   /* owned */
    size_t missing, depth;
} wanted_t;

/* An open container: children[next] is looked at next. First its items, then attributes. */
typedef struct {
    PyObject *children; /* owned list */
    PyObject *keys;     /* owned list of the items' keys, or NULL: the index */
    PyObject *names;    /* owned list of the attributes' names; "" is not written */
    Py_ssize_t items, next;
    const char *format; /* how an item is written behind its parent */
} frame_t;

typedef OT_VEC(frame_t) frames_t;

static void
close_frame(frame_t *f)
{
    Py_CLEAR(f->children);
    Py_CLEAR(f->keys);
    Py_CLEAR(f->names);
}

/* ---- what a container holds ------------------------------------------------------------------ */

/* 0, or -1 with an exception; NULL is no attribute. */
static int
add_attribute(frame_t *f, PyObject *name, PyObject *value)
{
    if (value == NULL) {
        return 0;
    }
    return name == NULL || PyList_Append(f->names, name) < 0 ? -1
                                                             : PyList_Append(f->children, value);
}

static int
add_named(frame_t *f, const char *name, PyObject *value)
{
    PyObject *o = PyUnicode_FromString(name);
    int rc = add_attribute(f, o, value);
    Py_XDECREF(o);
    return rc;
}

static int
add_dict(frame_t *f, PyObject *dict)
{
    Py_ssize_t at = 0;
    PyObject *name, *value;
    while (dict != NULL && PyDict_Next(dict, &at, &name, &value)) {
        if (add_attribute(f, name, value) < 0) {
            return -1;
        }
    }
    return 0;
}

/* The __slots__ and __dict__ of an instance of a Python class, as far as they are there. */
static int
add_attributes(frame_t *f, PyObject *o)
{
    for (PyTypeObject *t = Py_TYPE(o); ot_type_is_python(t); t = t->tp_base) {
        PyMemberDef *member = ot_type_members(t);
        for (Py_ssize_t n = Py_SIZE(t); n > 0; n--, member++) {
            if (member->type == Py_T_OBJECT_EX &&
                add_named(f, member->name, *(PyObject **)((char *)o + member->offset)) < 0) {
                return -1;
            }
        }
    }
    if (!ot_type_manages_dict(Py_TYPE(o))) {
        return 0;
    }
    ot_values_t *values = ot_instance_values(o);
    if (*ot_instance_dict(o) != NULL || values == NULL) {
        return add_dict(f, *ot_instance_dict(o));
    }
    for (int i = 0; i < values->size; i++) {
        int place = ot_values_place(values, i);
        PyObject *name = ot_shared_key(ot_type_shared_keys(Py_TYPE(o)), place);
        if (add_attribute(f, name, values->values[place]) < 0) {
            return -1;
        }
    }
    return 0;
}

/* Adds the fields of an object that its C base keeps beside items and attributes (a defaultdict's factory, say). */
static int
add_fields(frame_t *f, PyObject *o, PyTypeObject *base)
{
    const ot_kind_t *kind = ot_kind_of_base(base);
    if (kind == &ot_kind_slice) {
        PySliceObject *s = (PySliceObject *)o;
        return add_named(f, "start", s->start) < 0 || add_named(f, "stop", s->stop) < 0
                   ? -1
                   : add_named(f, "step", s->step);
    }
    if (kind == &ot_kind_defaultdict) {
        return add_named(f, "default_factory", ((ot_defaultdict_t *)o)->default_factory);
    }
    if (base->tp_dictoffset > 0) { /* OrderedDict, SimpleNamespace */
        return add_dict(f, *(PyObject **)((char *)o + base->tp_dictoffset));
    }
    if (kind == &ot_kind_mappingproxy) {
        return add_named(f, "", ((ot_mappingproxy_t *)o)->mapping);
    }
    return strncmp(base->tp_name, "datetime.", 9) == 0 ? add_named(f, "tzinfo", ot_tzinfo_of(o))
                                                       : 0;
}

static int
add_items(frame_t *f, PyObject *o, PyTypeObject *base)
{
    if (ot_is_any_dict(o)) {
        f->format = "[%R]";
        f->children = PyDict_Values(o);
        f->keys = PyDict_Keys(o);
        return f->children == NULL || f->keys == NULL ? -1 : 0;
    }
    bool is_set = PyAnySet_Check(o);
    f->format = is_set ? ".<element %S>" : "[%S]";
    if (!is_set && !PyList_Check(o) && !PyTuple_Check(o) &&
        ot_kind_of_base(base) != &ot_kind_deque) {
        f->children = PyList_New(0);
    } else {
        PyObject *items = base->tp_iter(o);
        f->children = items == NULL ? NULL : PySequence_List(items);
        Py_XDECREF(items);
    }
    return f->children == NULL ? -1 : 0;
}

/* Lists the children of a container we know; 0 if it has none, 1 if `f` was filled, or -1. */
static int
open_container(PyObject *o, frame_t *f)
{
    PyTypeObject *base = ot_type_solid_base(Py_TYPE(o));
    if (PyType_Check(o) || (ot_kind_of_base(base) == NULL && base != &PyBaseObject_Type)) {
        return 0;
    }
    *f = (frame_t){.names = PyList_New(0)};
    int rc = f->names == NULL ? -1 : add_items(f, o, base);
    if (rc == 0) {
        f->items = PyList_GET_SIZE(f->children);
        rc = add_fields(f, o, base) < 0 || add_attributes(f, o) < 0 ? -1 : 1;
    }
    if (rc < 0) {
        close_frame(f);
    }
    return rc;
}

/* ---- the search ------------------------------------------------------------------------------ */

/* What the frame's current child adds to the path. */
static PyObject *
spell_step(const frame_t *f)
{
    Py_ssize_t i = f->next - 1;
    if (i >= f->items) {
        PyObject *name = PyList_GET_ITEM(f->names, i - f->items);
        bool silent = PyUnicode_Check(name) && PyUnicode_GET_LENGTH(name) == 0;
        return PyUnicode_FromFormat(silent ? "%S" : ".%S", name);
    }
    PyObject *label =
        f->keys != NULL ? Py_NewRef(PyList_GET_ITEM(f->keys, i)) : PyLong_FromSsize_t(i);
    PyObject *step = label == NULL ? NULL : PyUnicode_FromFormat(f->format, label);
    Py_XDECREF(label);
    return step;
}

/* "$" and what each open container's current child adds to it. Of a path that fills screens, the beginning and the end. */
static PyObject *
spell(const frames_t *frames)
{
    enum { MOST = 200, BEGIN = 100, END = 20 };
    PyObject *path = PyUnicode_FromString("$");
    for (size_t i = 0; path != NULL && i < frames->len; i++) {
        if (i == BEGIN && frames->len > MOST) {
            size_t left_out = frames->len - BEGIN - END;
            PyUnicode_AppendAndDel(&path, PyUnicode_FromFormat(" ... (%zu more) ... ", left_out));
            i += left_out;
        }
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

/* If o, which the frames lead to, is wanted and not found yet: notes its path, with `suffix`. 0 or -1. */
static int
note(wanted_t *wanted, PyObject *o, const frames_t *frames, const char *suffix)
{
    const uint32_t *at = ot_ptrmap_get(&wanted->index, o);
    if (at == NULL || PyList_GET_ITEM(wanted->paths, *at) != Py_None) {
        return 0;
    }
    PyObject *path = spell(frames);
    PyUnicode_AppendAndDel(&path, path == NULL ? NULL : PyUnicode_FromString(suffix));
    if (path == NULL) {
        return -1;
    }
    wanted->missing--;
    return PyList_SetItem(wanted->paths, *at, path);
}

static int
search(frames_t *frames, PyObject *entered, wanted_t *wanted)
{
    while (frames->len > 0 && wanted->missing > 0) {
        frame_t *f = &frames->items[frames->len - 1];
        if (f->next == PyList_GET_SIZE(f->children)) {
            close_frame(f);
            frames->len--;
            continue;
        }
        Py_ssize_t i = f->next++;
        PyObject *child = PyList_GET_ITEM(f->children, i);
        PyObject *key = i < f->items && f->keys != NULL ? PyList_GET_ITEM(f->keys, i) : NULL;
        if (note(wanted, child, frames, "") < 0 ||
            (key != NULL && note(wanted, key, frames, " (the key)") < 0)) {
            return -1;
        }
        if (frames->len < wanted->depth && enter(child, frames, entered) < 0) {
            return -1;
        }
    }
    return 0;
}

/* 0, or -1 with or without an exception. */
static int
search_from(PyObject *root, wanted_t *wanted)
{
    frames_t frames = {0};
    PyObject *entered = PySet_New(NULL);
    int rc =
        entered == NULL || note(wanted, root, &frames, "") < 0 || enter(root, &frames, entered) < 0
            ? -1
            : search(&frames, entered, wanted);
    while (frames.len > 0) {
        close_frame(&frames.items[--frames.len]);
    }
    ot_vec_free(&frames);
    Py_XDECREF(entered);
    return rc;
}

PyObject *
ot_paths_to(PyObject *root, PyObject *const *targets, size_t n, size_t depth)
{
    wanted_t wanted = {.paths = PyList_New(0), .depth = depth};
    int rc = wanted.paths == NULL ? -1 : 0;
    for (size_t i = 0; rc == 0 && i < n; i++) {
        bool again = ot_ptrmap_get(&wanted.index, targets[i]) != NULL;
        wanted.missing += !again;
        rc = PyList_Append(wanted.paths, Py_None) < 0 ||
                     (!again && ot_ptrmap_add(&wanted.index, targets[i], (uint32_t)i) < 0)
                 ? -1
                 : 0;
    }
    rc = rc < 0 ? rc : search_from(root, &wanted);
    ot_ptrmap_free(&wanted.index);
    if (rc == 0) {
        return wanted.paths;
    }
    Py_XDECREF(wanted.paths);
    return PyErr_Occurred() ? NULL : PyErr_NoMemory();
}

PyObject *
ot_path_to(PyObject *root, PyObject *target)
{
    PyObject *paths = ot_paths_to(root, &target, 1, SIZE_MAX);
    if (paths == NULL) {
        return NULL;
    }
    PyObject *path = Py_NewRef(PyList_GET_ITEM(paths, 0));
    Py_DECREF(paths);
    if (Py_IsNone(path)) {
        Py_SETREF(path, PyUnicode_FromString("$..."));
    }
    return path;
}
