/* instance.c: the rows for instances of classes made by a class statement.
 *
 * Such an instance is what its solid base laid out (nothing, for object; a list, an int, a deque
 * ...), then the values of its __slots__, and before or behind it what CPython manages: a dict or
 * values in the order of the class's shared keys, and weak references. See "Instances" in
 * docs/design.md, and retype.c for what happens to the class.
 *
 * Main invariant: a moved instance's dict, where it is split (its keys are the class's shared
 * ones), is referred to by the instance alone, and shares the keys of the instance's own class.
 */
#include "tunnel/class.h"

#include "runtime/cpython/instance.h"

/* ---- attributes --------------------------------------------------------------------------- */

/* Calls fn(context, slot) for each slot that has a value; stops at a result < 0 and returns it. */
OT_ALWAYS_INLINE int
each_slot(PyObject *o, int (*fn)(void *, PyObject **), void *context)
{
    for (PyTypeObject *t = Py_TYPE(o); ot_type_is_python(t); t = t->tp_base) {
        PyMemberDef *member = ot_type_members(t);
        for (Py_ssize_t n = Py_SIZE(t); n > 0; n--, member++) {
            PyObject **slot = (PyObject **)((char *)o + member->offset);
            if (member->type == Py_T_OBJECT_EX && *slot != NULL && fn(context, slot) < 0) {
                return -1;
            }
        }
    }
    return 0;
}

/* The instance's dict if it has been made, else NULL. Borrowed. */
static PyObject *
dict_of(PyObject *o)
{
    return ot_type_manages_dict(Py_TYPE(o)) ? *ot_instance_dict(o) : NULL;
}

/* The values of its dict if that is split, else the inline ones; NULL if there are none. */
static ot_values_t *
values_of(PyObject *o)
{
    PyObject *dict = dict_of(o);
    return dict != NULL ? ot_dict_values(dict) : ot_instance_values(o);
}

OT_ALWAYS_INLINE int
each_value(ot_values_t *values, int (*fn)(void *, PyObject **), void *context)
{
    for (int i = 0; i < values->size; i++) {
        if (fn(context, &values->values[ot_values_place(values, i)]) < 0) {
            return -1;
        }
    }
    return 0;
}

static int
visit_slot(void *visitor, PyObject **slot)
{
    return ot_visit_edge(visitor, slot);
}

static int
visit_attributes(PyObject *o, ot_visitor_t *v)
{
    if (each_slot(o, visit_slot, v) < 0) {
        return -1;
    }
    if (!ot_type_manages_dict(Py_TYPE(o))) {
        return 0;
    }
    ot_values_t *values = values_of(o);
    if (values != NULL) {
        return each_value(values, visit_slot, v);
    }
    PyObject **dict = ot_instance_dict(o);
    return *dict != NULL ? ot_visit_typed(v, dict, OT_SLOT_DICT) : 0;
}

/* Whether nobody else can get at the dict that shares its keys with the class. */
static bool
split_dict_is_private(PyObject *o, PyObject *dict)
{
    return Py_REFCNT(dict) == 1 && !ot_dict_is_watched(dict) &&
           ot_dict_keys(dict) == ot_type_shared_keys(Py_TYPE(o));
}

/* Has the instance's private split dict lie in the shared heap: it may come from a free list, with
 * a block from before. The new one takes the old one's place, which nobody can tell. False without
 * memory; nothing has changed then. */
static bool
bring_home(PyObject *o, PyObject *dict)
{
    ot_values_t *old = ot_dict_values(dict), *values = old;
    bool values_home = ot_values_embedded(old) || ot_heap_owns(old);
    if (values_home && ot_heap_owns(dict)) {
        return true;
    }
    ot_keys_t *empty = ot_empty_keys();
    if (empty == NULL || (!values_home && (values = ot_values_clone(old)) == NULL)) {
        PyErr_Clear();
        return false;
    }
    PyObject *home = ot_dict_take_over_split(dict, values, empty);
    if (home == NULL) {
        PyErr_Clear();
        if (values != old) {
            PyMem_Free(values);
        }
        return false;
    }
    if (ot_gc_is_tracked(dict)) {
        ot_gc_track(home);
    }
    *ot_instance_dict(o) = home;
    if (values != old) {
        PyMem_Free(old);
    }
    Py_DECREF(dict);
    return true;
}

static ot_inspection_t
inspect_attributes(PyObject *o)
{
    if (ot_has_weakrefs(o)) {
        return OT_PINNED;
    }
    PyObject *dict = dict_of(o);
    bool split = dict != NULL && ot_dict_values(dict) != NULL;
    if (split && !(split_dict_is_private(o, dict) && bring_home(o, dict))) {
        return OT_PINNED;
    }
    if (!ot_heap_owns(o)) {
        return split ? OT_PINNED : OT_REHOME;
    }
    return OT_MOVABLE;
}

/* ---- shells --------------------------------------------------------------------------------- */

static int
clear_slot(void *unused, PyObject **slot)
{
    (void)unused;
    *slot = NULL;
    return 0;
}

typedef struct {
    PyObject *from, *to;
} pair_t;

static int
list_slot(void *pair, PyObject **slot)
{
    pair_t *p = pair;
    *(PyObject **)((char *)p->to + ((char *)slot - (char *)p->from)) = *slot;
    return 0;
}

/* The shell lists o's attributes, too. inspect has seen that there is no split dict. */
static void
shell_attributes(PyObject *shell, PyObject *o)
{
    pair_t pair = {o, shell};
    (void)each_slot(o, list_slot, &pair);
    if (!ot_type_manages_dict(Py_TYPE(o))) {
        return;
    }
    ot_values_t *from = ot_instance_values(o), *to = ot_instance_values(shell);
    if (from != NULL) {
        for (int i = 0; i < from->size; i++) {
            int place = ot_values_place(from, i);
            to->values[place] = from->values[place];
            ot_values_set_place(to, i, place);
        }
        to->size = from->size;
        return;
    }
    *ot_instance_dict(shell) = *ot_instance_dict(o);
    ot_instance_invalidate_values(shell);
}

/* Nobody sees the loser again, which has no attributes any more: its __del__ must not run. */
static void
disown_attributes(PyObject *loser)
{
    (void)each_slot(loser, clear_slot, NULL);
    if (ot_type_manages_dict(Py_TYPE(loser))) {
        ot_values_t *values = ot_instance_values(loser);
        if (values != NULL) {
            (void)each_value(values, clear_slot, NULL);
            values->size = 0;
        }
        *ot_instance_dict(loser) = NULL;
    }
    ot_gc_set_finalized(loser);
}

/* ---- copies --------------------------------------------------------------------------------- */

typedef struct {
    pair_t pair;
    ot_copier_t *copier;
} copy_t;

static int
copy_slot(void *copy, PyObject **slot)
{
    copy_t *c = copy;
    PyObject **to = (PyObject **)((char *)c->pair.to + ((char *)slot - (char *)c->pair.from));
    *to = c->copier->copy(c->copier, *slot, to);
    return *to == NULL ? -1 : 0;
}

static int
copy_values(ot_values_t *to, ot_values_t *from, ot_copier_t *c)
{
    for (int i = 0; i < from->size; i++) {
        int place = ot_values_place(from, i);
        PyObject **value = &to->values[place];
        *value = c->copy(c, from->values[place], value);
        if (*value == NULL) {
            return -1;
        }
        ot_values_set_place(to, i, place);
        to->size++;
    }
    return 0;
}

static int
fill_attributes(PyObject *clone, PyObject *o, ot_copier_t *c)
{
    copy_t copy = {{o, clone}, c};
    if (each_slot(o, copy_slot, &copy) < 0) {
        return -1;
    }
    if (!ot_type_manages_dict(Py_TYPE(o))) {
        return 0;
    }
    PyObject **dict = ot_instance_dict(o), **to = ot_instance_dict(clone);
    if (*dict == NULL) {
        ot_values_t *values = ot_instance_values(o);
        return values == NULL ? 0 : copy_values(ot_instance_values(clone), values, c);
    }
    ot_instance_invalidate_values(clone);
    return ot_fill_slot(c, to, *dict, OT_SLOT_DICT); /* a copy shares no keys, whatever it is of */
}

/* ---- the row of plain instances ------------------------------------------------------------ */

static PyObject *
plain_clone(PyObject *o)
{
    return PyType_HasFeature(Py_TYPE(o), Py_TPFLAGS_HAVE_GC) ? ot_py_new_container(Py_TYPE(o), 0)
                                                             : PyType_GenericAlloc(Py_TYPE(o), 0);
}

static PyObject *
plain_shell(PyObject *o)
{
    PyObject *shell = plain_clone(o);
    if (shell != NULL) {
        shell_attributes(shell, o);
    }
    return shell;
}

static void
plain_disown(PyObject *loser, PyObject *winner)
{
    (void)winner;
    disown_attributes(loser);
}

const ot_kind_t ot_kind_plain_instance = {
    .name = "instance",
    .inspect = inspect_attributes,
    .visit = visit_attributes,
    .shell = plain_shell,
    .disown = plain_disown,
    .clone = plain_clone,
    .fill = fill_attributes,
};

/* ---- the rows of subclasses ----------------------------------------------------------------- */

static const ot_kind_t *
base_of(PyObject *o)
{
    return ot_kind_of_base(ot_type_solid_base(Py_TYPE(o)));
}

static ot_inspection_t
sub_inspect(PyObject *o)
{
    ot_inspection_t base = base_of(o)->inspect(o), rest = inspect_attributes(o);
    if (base == OT_PINNED || rest == OT_PINNED) {
        return OT_PINNED;
    }
    if (base == OT_REHOME || rest == OT_REHOME) {
        PyObject *dict = dict_of(o);
        return dict != NULL && ot_dict_values(dict) != NULL ? OT_PINNED : OT_REHOME;
    }
    return OT_MOVABLE;
}

static int
sub_visit(PyObject *o, ot_visitor_t *v)
{
    const ot_kind_t *base = base_of(o);
    int needs = base->leaf ? 0 : base->visit(o, v);
    return needs < 0 || visit_attributes(o, v) < 0 ? -1 : needs;
}

static PyObject *
sub_shell(PyObject *o)
{
    PyObject *shell = base_of(o)->shell(o);
    if (shell != NULL) {
        shell_attributes(shell, o);
    }
    return shell;
}

static void
sub_disown(PyObject *loser, PyObject *winner)
{
    base_of(loser)->disown(loser, winner);
    disown_attributes(loser);
}

static PyObject *
sub_clone(PyObject *o)
{
    return base_of(o)->clone(o);
}

static int
sub_fill(PyObject *clone, PyObject *o, ot_copier_t *c)
{
    int needs = base_of(o)->fill(clone, o, c);
    return needs < 0 || fill_attributes(clone, o, c) < 0 ? -1 : needs;
}

static bool
sub_copies(PyObject *o)
{
    return ot_kind_copies(base_of(o), o);
}

const ot_kind_t ot_kind_container_instance = {
    .name = "instance of a subclass",
    .inspect = sub_inspect,
    .copies = sub_copies,
    .visit = sub_visit,
    .shell = sub_shell,
    .disown = sub_disown,
    .clone = sub_clone,
    .fill = sub_fill,
};

const ot_kind_t ot_kind_other_instance = {
    .name = "instance of a subclass",
    .inspect = sub_inspect,
    .visit = sub_visit,
};
