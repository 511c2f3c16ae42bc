/* misfit.c: see misfit.h.
 *
 * The path is looked for in a tree that is in transit: path.c cannot, for it asks objects for their
 * items. Here the rows' visit reports places, breadth first, and a place's address tells what it is
 * called. Instances are lent their classes meanwhile, and no Python code runs.
 *
 * Main invariant: refcounts and places of the tree are as before when this is over.
 * Threading: the receiver's GIL.
 */
#include "tunnel/misfit.h"

#include "runtime/cpython/instance.h"
#include "runtime/cpython/stdlib.h"
#include "tunnel/kinds.h"
#include "tunnel/layout.h"
#include "tunnel/ptrmap.h"

/* An object that was met, and the place where: a place of steps[parent].o. */
typedef struct {
    PyObject *o;
    PyObject **slot;
    size_t parent;
} step_t;

typedef struct {
    ot_visitor_t visitor; /* first: the callbacks find the search by it */
    OT_VEC(step_t) steps;
    size_t at; /* the step that is looked into */
    ot_ptrmap_t met;
    const ot_arrivals_t *arrivals;
} search_t;

static int
meet(search_t *s, PyObject *o, PyObject **slot)
{
    if (ot_is_process_static(o) || ot_ptrmap_get(&s->met, o) != NULL) {
        return 0;
    }
    step_t step = {o, slot, s->at};
    if (ot_ptrmap_add(&s->met, o, 0) < 0 || ot_vec_push(&s->steps, step) < 0) {
        PyErr_NoMemory();
        return -1;
    }
    return 0;
}

static int
meet_edge(ot_visitor_t *v, PyObject **slot)
{
    return meet((search_t *)v, *slot, slot);
}

/* Index of the step that met `target`, or the first instance of `type` (either may be NULL); -1 if there is
 * none, -2 with MemoryError. */
static Py_ssize_t
find(search_t *s, PyObject *root, PyObject *target, const PyTypeObject *type)
{
    s->visitor = (ot_visitor_t){.edge = meet_edge, .key = ot_ignore_key};
    if (meet(s, root, NULL) < 0) {
        return -2;
    }
    for (; s->at < s->steps.len; s->at++) {
        PyObject *o = s->steps.items[s->at].o;
        if (o == target || Py_TYPE(o) == type) {
            return (Py_ssize_t)s->at;
        }
        const ot_kind_t *kind = ot_kind_at_hand(Py_TYPE(o));
        if (kind != NULL && !kind->leaf && kind->visit(o, &s->visitor) < 0) {
            return -2;
        }
    }
    return -1;
}

/* ---- what a place is called ------------------------------------------------------------------ */

static PyObject *
spell_item(PyObject **items, Py_ssize_t n, PyObject **slot)
{
    bool inside = slot >= items && slot < items + n;
    return inside ? PyUnicode_FromFormat("[%zd]", (Py_ssize_t)(slot - items)) : NULL;
}

static PyObject *
spell_key(PyObject *key)
{
    if (PyUnicode_CheckExact(key) || PyLong_CheckExact(key)) {
        return PyUnicode_FromFormat("[%R]", key);
    }
    return PyUnicode_FromFormat("[<%s>]", Py_TYPE(key)->tp_name);
}

/* The key whose value lies at slot; NULL if there is none. Borrowed. */
static PyObject *
key_of(PyObject *dict, PyObject **slot)
{
    ot_keys_t *keys = ot_dict_keys(dict);
    for (Py_ssize_t i = 0, n = ot_dict_is_split(dict) ? 0 : ot_keys_count(keys); i < n; i++) {
        PyObject **key, **value;
        ot_keys_entry(keys, i, &key, &value);
        if (value == slot) {
            return *key;
        }
    }
    return NULL;
}

/* NULL without an exception: it is none of the entries. */
static PyObject *
spell_entry(PyObject *dict, PyObject **slot)
{
    PyObject *key = key_of(dict, slot);
    return key != NULL ? spell_key(key) : NULL;
}

static PyObject *
spell_attribute(const search_t *s, PyObject *o, PyObject **slot)
{
    PyTypeObject *type = Py_TYPE(o);
    for (PyTypeObject *t = type; ot_type_is_python(t); t = t->tp_base) {
        PyMemberDef *member = ot_type_members(t);
        for (Py_ssize_t n = Py_SIZE(t); n > 0; n--, member++) {
            if ((char *)slot - (char *)o == member->offset) {
                return PyUnicode_FromFormat(".%s", member->name);
            }
        }
    }
    if (!ot_type_manages_dict(type)) {
        return NULL;
    }
    PyObject *dict = *ot_instance_dict(o);
    if (slot == ot_instance_dict(o)) {
        return PyUnicode_FromString(".__dict__");
    }
    ot_values_t *values = dict != NULL ? ot_dict_values(dict) : ot_instance_values(o);
    for (int i = 0; values != NULL && i < values->size; i++) {
        int place = ot_values_place(values, i);
        if (slot == &values->values[place]) {
            return PyUnicode_FromFormat(".%U", ot_arrivals_name(s->arrivals, type, place));
        }
    }
    return NULL;
}

/* NULL, without an exception if the place is none of the object's that we have a name for. */
static PyObject *
spell_known_place(const search_t *s, PyObject *o, PyObject **slot)
{
    PyObject *name = NULL;
    if (PyList_Check(o)) {
        name = spell_item(((PyListObject *)o)->ob_item, PyList_GET_SIZE(o), slot);
    } else if (PyTuple_Check(o)) {
        name = spell_item(((PyTupleObject *)o)->ob_item, PyTuple_GET_SIZE(o), slot);
    } else if (ot_is_any_dict(o)) {
        name = spell_entry(o, slot);
    } else if (PyAnySet_Check(o)) {
        setentry *table = ((PySetObject *)o)->table;
        bool inside =
            (setentry *)slot >= table && (setentry *)slot <= table + ((PySetObject *)o)->mask;
        name = inside ? PyUnicode_FromString(".<element>") : NULL;
    }
    if (name == NULL && !PyErr_Occurred() && ot_type_is_python(Py_TYPE(o))) {
        name = spell_attribute(s, o, slot);
    }
    return name;
}

static PyObject *
spell_place(const search_t *s, PyObject *o, PyObject **slot)
{
    PyObject *name = spell_known_place(s, o, slot);
    if (name == NULL && !PyErr_Occurred()) {
        bool dict = PyODict_Check(o) && slot == &((ot_odict_t *)o)->inst_dict;
        name = PyUnicode_FromString(dict ? ".__dict__" : ot_is_any_dict(o) ? ".<key>" : ".<item>");
    }
    return name;
}

/* What a step adds to the path, and in *next which step goes before it. An entry of an instance's own
 * dict is an attribute. */
static PyObject *
spell_step(const search_t *s, const step_t *step, size_t *next)
{
    const step_t *holder = &s->steps.items[step->parent];
    *next = step->parent;
    if (holder->slot != NULL && ot_is_any_dict(holder->o)) {
        const step_t *above = &s->steps.items[holder->parent];
        PyTypeObject *type = Py_TYPE(above->o);
        bool own = ot_type_is_python(type) && ot_type_manages_dict(type) &&
                   holder->slot == ot_instance_dict(above->o);
        PyObject *key = own ? key_of(holder->o, step->slot) : NULL;
        if (key != NULL && PyUnicode_CheckExact(key)) {
            *next = holder->parent;
            return PyUnicode_FromFormat(".%U", key);
        }
    }
    return spell_place(s, holder->o, step->slot);
}

/* The path to a step; of a very long one the end. */
static PyObject *
spell(const search_t *s, Py_ssize_t to)
{
    enum { LONGEST = 100 };
    PyObject *path = PyUnicode_FromString("");
    size_t i = to < 0 ? 0 : (size_t)to;
    for (int n = 0; path != NULL && i != 0 && n < LONGEST; n++) {
        const step_t *step = &s->steps.items[i];
        PyObject *place = spell_step(s, step, &i);
        PyObject *longer = place == NULL ? NULL : PyUnicode_Concat(place, path);
        Py_XDECREF(place);
        Py_SETREF(path, longer);
    }
    if (path != NULL) {
        Py_SETREF(path, PyUnicode_FromFormat(i == 0 && to >= 0 ? "$%U" : "$...%U", path));
    }
    return path;
}

int
ot_raise_misfit(ot_tree_t *tree, ot_arrivals_t *arrivals, const ot_fix_t *fix, PyObject *o)
{
    ot_slot_t slot = (ot_slot_t)fix->what;
    search_t s = {.arrivals = arrivals};
    PyObject *path = NULL;
    if (ot_tree_own_keys(tree) == 0) {
        ot_arrivals_lend(arrivals, true);
        Py_ssize_t at = find(&s, tree->root, ot_slot_owner(slot, fix->slot), NULL);
        path = at == -2 ? NULL : spell(&s, at);
        ot_arrivals_lend(arrivals, false);
    }
    if (path != NULL) {
        PyErr_Format(PyExc_TypeError,
                     "%U.%s: this can only be %s, and unpickling gave a %s object; the message is "
                     "kept",
                     path, ot_slot_name(slot), ot_slot_expects(slot), Py_TYPE(o)->tp_name);
        Py_DECREF(path);
    }
    ot_vec_free(&s.steps);
    ot_ptrmap_free(&s.met);
    return -1;
}

/* ---- arrays that arrive as something else ------------------------------------------------------ */

/* What one instance refers to itself. */
typedef struct {
    ot_visitor_t visitor; /* first: the callbacks find the rest by it */
    ot_ptrmap_t changed;  /* the arrays that are no ndarrays here */
    PyObject *found;      /* one of them, borrowed; NULL so far */
} attributes_t;

static int
look_at(ot_visitor_t *v, PyObject **slot)
{
    attributes_t *a = (attributes_t *)v;
    if (ot_ptrmap_get(&a->changed, *slot) != NULL) {
        a->found = *slot;
    }
    return 0;
}

static int
look_at_typed(ot_visitor_t *v, PyObject **slot, ot_slot_t what)
{
    return what == OT_SLOT_DICT ? ot_kind_dict.visit(*slot, v) : 0;
}

/* 0, or -1 with MemoryError. */
static int
note_changed(attributes_t *a, const ot_tree_t *tree, PyObject **made)
{
    for (size_t i = 0; i < tree->arrays.len; i++) {
        bool changed =
            PyMemoryView_Check(made[i]) || ot_kind_at_hand(Py_TYPE(made[i])) == &ot_kind_array;
        if (changed && ot_ptrmap_add(&a->changed, made[i], 0) < 0) {
            PyErr_NoMemory();
            return -1;
        }
    }
    return 0;
}

/* Looks at the attributes of all instances. */
static void
look_at_instances(attributes_t *a, const ot_tree_t *tree)
{
    a->visitor = (ot_visitor_t){.edge = look_at, .key = ot_ignore_key, .typed = look_at_typed};
    for (size_t i = 0; i < tree->classes.len; i++) {
        const ot_tree_class_t *c = &tree->classes.items[i];
        for (size_t k = 0; c->is_python && a->found == NULL && k < c->instances.len; k++) {
            PyObject *o = (PyObject *)(c->instances.items[k] & ~(uintptr_t)OT_IS_COPY);
            (void)ot_kind_at_hand(Py_TYPE(o))->visit(o, &a->visitor);
        }
    }
}

/* Lends the arrays' places what they will hold, or puts back what stands there in transit. */
static void
lend_arrays(const ot_tree_t *tree, PyObject **made, bool lend)
{
    for (size_t i = 0; i < tree->fixes.len; i++) {
        const ot_fix_t *fix = &tree->fixes.items[i];
        if (fix->source == OT_FROM_ARRAYS) {
            *fix->slot = lend ? made[fix->index] : ot_slot_placeholder((ot_slot_t)fix->what);
        }
    }
}

int
ot_check_array_attributes(ot_tree_t *tree, ot_arrivals_t *arrivals, PyObject **made)
{
    attributes_t a = {0};
    search_t s = {.arrivals = arrivals};
    PyObject *path = NULL;
    if (arrivals == NULL || tree->arrays.len == 0) {
        return 0;
    }
    if (note_changed(&a, tree, made) < 0 || (a.changed.cap != 0 && ot_tree_own_keys(tree) < 0)) {
        ot_ptrmap_free(&a.changed);
        return -1;
    }
    if (a.changed.cap != 0) {
        lend_arrays(tree, made, true);
        ot_arrivals_lend(arrivals, true);
        look_at_instances(&a, tree);
        Py_ssize_t at = a.found == NULL ? -2 : find(&s, tree->root, a.found, NULL);
        path = at == -2 ? NULL : spell(&s, at);
        ot_arrivals_lend(arrivals, false);
        lend_arrays(tree, made, false);
    }
    if (path != NULL) {
        PyErr_Format(
            PyExc_TypeError,
            "%U: this is a numpy.ndarray in an object of a class of its own, and NumPy is not "
            "imported in this interpreter: send the arrays in lists, tuples and dicts, where "
            "they arrive as memoryviews, or memoryview(array) in its place; the message is kept",
            path);
        Py_DECREF(path);
    }
    ot_vec_free(&s.steps);
    ot_ptrmap_free(&s.met);
    ot_ptrmap_free(&a.changed);
    return a.found == NULL ? 0 : -1;
}

/* ---- what cannot be received ----------------------------------------------------------------- */

/* Which of several pickled objects failed. -1, never with an exception, if there is no saying. */
static Py_ssize_t
failed_item(const ot_tree_t *tree)
{
    PyObject *module = PyImport_ImportModule("objtunnel._pickling");
    PyObject *found = module == NULL
                          ? NULL
                          : PyObject_CallMethod(module, "failed_item", "y#", tree->pickle,
                                                (Py_ssize_t)tree->pickle_len);
    Py_ssize_t item = found == NULL || found == Py_None ? -1 : PyLong_AsSsize_t(found);
    PyErr_Clear();
    Py_XDECREF(found);
    Py_XDECREF(module);
    return item;
}

/* The place of the pickled object that could not be rebuilt; NULL if there is no saying. */
static PyObject **
failed_place(const ot_tree_t *tree)
{
    PyObject **first = NULL;
    bool several = false;
    for (size_t i = 0; i < tree->fixes.len; i++) {
        const ot_fix_t *fix = &tree->fixes.items[i];
        if (fix->source == OT_FROM_PICKLE) {
            several |= fix->index != 0;
            first = first == NULL ? fix->slot : first;
        }
    }
    Py_ssize_t item = several ? failed_item(tree) : 0;
    for (size_t i = 0; several && i < tree->fixes.len; i++) {
        const ot_fix_t *fix = &tree->fixes.items[i];
        if (fix->source == OT_FROM_PICKLE && (Py_ssize_t)fix->index == item) {
            return fix->slot;
        }
    }
    return several ? NULL : first;
}

/* The path to a place that a visit passes by, since it holds a placeholder. NULL if it is not found. */
static PyObject *
spell_slot(search_t *s, PyObject *root, PyObject **slot)
{
    if (find(s, root, NULL, NULL) == -2) {
        return NULL;
    }
    for (size_t i = 0; i < s->steps.len; i++) {
        PyObject *place = spell_known_place(s, s->steps.items[i].o, slot);
        if (place != NULL) {
            step_t step = {NULL, slot, i};
            size_t before;
            Py_SETREF(place, spell_step(s, &step, &before));
            PyObject *path = place == NULL ? NULL : spell(s, (Py_ssize_t)before);
            PyUnicode_AppendAndDel(&path, place);
            return path;
        }
        if (PyErr_Occurred()) {
            return NULL;
        }
    }
    return NULL;
}

/* NULL, maybe with an exception, if it cannot be found. */
static PyObject *
find_where(const ot_interp_t *interp, ot_tree_t *tree, const ot_tree_class_t *failed)
{
    const ot_tree_class_t *unburied;
    ot_arrivals_t *arrivals = NULL;
    PyObject *target = failed == NULL ? NULL : ot_class_first_instance(failed), *path = NULL;
    PyObject **slot = failed == NULL ? failed_place(tree) : NULL;
    if (target == NULL && slot == NULL) {
        return NULL;
    }
    if (slot == &tree->root) {
        return PyUnicode_FromString("$");
    }
    if (tree->classes.len > 0 &&
        (arrivals = ot_classes_find(interp, tree, true, &unburied)) == NULL) {
        return NULL;
    }
    search_t s = {.arrivals = arrivals};
    if (ot_tree_own_keys(tree) == 0) {
        ot_arrivals_lend(arrivals, true);
        if (target == NULL) {
            path = spell_slot(&s, tree->root, slot);
        } else {
            Py_ssize_t at = find(&s, tree->root, NULL, Py_TYPE(target));
            path = at < 0 ? NULL : spell(&s, at);
        }
        ot_arrivals_lend(arrivals, false);
    }
    ot_arrivals_free(arrivals);
    ot_vec_free(&s.steps);
    ot_ptrmap_free(&s.met);
    return path;
}

/* Whether the text is one of objtunnel's own: it gets the path as its beginning, as those of send have. */
static bool
is_refusal(PyObject *error)
{
    PyObject *args = Py_IS_TYPE(error, (PyTypeObject *)PyExc_TypeError)
                         ? ((PyBaseExceptionObject *)error)->args
                         : NULL;
    PyObject *text = args != NULL && PyTuple_GET_SIZE(args) == 1 ? PyTuple_GET_ITEM(args, 0) : NULL;
    const char *begin = text != NULL && PyUnicode_Check(text) ? PyUnicode_AsUTF8(text) : NULL;
    PyErr_Clear(); /* lone surrogates */
    return begin != NULL && strncmp(begin, "cannot receive ", strlen("cannot receive ")) == 0;
}

/* 0, or -1 with an exception. */
static int
put_before(PyObject *error, PyObject *where)
{
    PyObject *args = Py_BuildValue("(N)", PyUnicode_FromFormat("%U: %S", where, error));
    int rc = args == NULL ? -1 : PyObject_SetAttrString(error, "args", args);
    Py_XDECREF(args);
    return rc;
}

/* 0, or -1 with an exception. */
static int
add_note(PyObject *error, PyObject *text)
{
    PyObject *none = PyObject_CallMethod(error, "add_note", "O", text);
    Py_XDECREF(none);
    return none == NULL ? -1 : 0;
}

/* 0, or -1 with an exception. */
static int
note(PyObject *error, PyObject *where, PyObject *type_name)
{
    PyObject *text = type_name == Py_None ? PyUnicode_FromFormat("in the message: %U", where)
                                          : PyUnicode_FromFormat("in the message: %U, of class %U",
                                                                 where, type_name);
    bool told =
        text != NULL && (is_refusal(error) ? put_before(error, where) : add_note(error, text)) == 0;
    Py_XDECREF(text);
    return !told || PyObject_SetAttrString(error, "where", where) < 0
               ? -1
               : PyObject_SetAttrString(error, "type_name", type_name);
}

void
ot_say_where(const ot_interp_t *interp, ot_tree_t *tree, const ot_tree_class_t *failed)
{
    if (!PyErr_ExceptionMatches(PyExc_Exception) || PyErr_ExceptionMatches(PyExc_MemoryError)) {
        return;
    }
    PyObject *error = PyErr_GetRaisedException();
    PyObject *where = find_where(interp, tree, failed);
    PyObject *type_name = failed == NULL || failed->module == NULL
                              ? Py_NewRef(Py_None)
                              : PyUnicode_FromFormat("%U.%U", failed->module, failed->qualname);
    if (where == NULL && !PyErr_Occurred()) {
        where = PyUnicode_FromString("$...");
    }
    if (where == NULL || type_name == NULL || note(error, where, type_name) < 0) {
        PyErr_Clear(); /* the error itself matters more */
    }
    Py_XDECREF(where);
    Py_XDECREF(type_name);
    PyErr_SetRaisedException(error);
}
