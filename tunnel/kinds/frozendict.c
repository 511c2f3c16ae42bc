/* frozendict.c: the row for frozendict (3.15), a dict's struct with a cached hash behind it.
 *
 * It moves as a dict does. As a root it stays: nobody expects it to be emptied. Its hash follows from its keys' and
 * values', which may change with their classes, so that the cached one is dropped.
 */
#include "tunnel/kinds.h"

#if OT_HAS_FROZENDICT

static int
frozendict_visit(PyObject *o, ot_visitor_t *v)
{
    ot_frozendict_forget_hash(o);
    return ot_kind_dict.visit(o, v);
}

static PyObject *
frozendict_shell(PyObject *o)
{
    PyObject *shell = ot_kind_dict.shell(o);
    if (shell != NULL) {
        ot_frozendict_forget_hash(shell);
    }
    return shell;
}

static void
frozendict_disown(PyObject *loser, PyObject *winner)
{
    ot_kind_dict.disown(loser, winner);
}

static PyObject *
frozendict_clone(PyObject *o)
{
    PyObject *clone = ot_kind_dict.clone(o);
    if (clone != NULL) {
        ot_frozendict_forget_hash(clone);
    }
    return clone;
}

static int
frozendict_fill(PyObject *clone, PyObject *o, ot_copier_t *c)
{
    return ot_kind_dict.fill(clone, o, c);
}

const ot_kind_t ot_kind_frozendict = {
    .name = "frozendict",
    .subclassable = true,
    .inspect = ot_dict_inspect,
    .visit = frozendict_visit,
    .shell = frozendict_shell,
    .disown = frozendict_disown,
    .clone = frozendict_clone,
    .fill = frozendict_fill,
};

#endif
