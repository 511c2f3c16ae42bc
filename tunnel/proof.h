/* proof.h: the working state of one send.
 *
 * proof.c keeps its tables, prove.c fills entries and edges (reading only), numbers.c counts numbers,
 * copy.c makes the copies, detach.c commits or rolls back. Other files know a proof as an opaque pointer.
 *
 * Shared rules: the GIL of the sender; no Python code runs unless a function says so.
 */
#ifndef OT_TUNNEL_PROOF_H
#define OT_TUNNEL_PROOF_H

#include "tunnel/copying.h"
#include "tunnel/ptrmap.h"
#include "tunnel/report.h"
#include "tunnel/retype.h"
#include "runtime/lab.h"

typedef enum {
    OT_PENDING, /* not all of its references found yet */
    OT_INSIDE,  /* only the tree reaches it: moved */
    OT_REHOMED, /* only the tree reaches it, but it lies elsewhere: `copy`, a new block, takes over its content */
    OT_ROOT,     /* the root: `copy` takes over its content, the original stays, empty */
    OT_OUTSIDE,  /* something else reaches it: copied */
    OT_INTERNED, /* a str of the sender's intern table: copied */
    OT_FOREIGN,  /* of a type we do not know: pickled */
    OT_HANDLE,   /* of a shared object: the message holds that */
    OT_ARRAY,    /* an array: its data travel, its own or a copy */
    OT_THERE,    /* of a module, and the same object in the receiver's: left as it is */
} ot_verdict_t;

/* An object that needs more than a glance: referenced more than once, or not movable as it is.
 * Invariant: edges <= refcount while OT_PENDING; verdict OT_INSIDE or OT_REHOMED only if
 * edges == refcount in the end, or the object is shared. copy is owned, NULL unless the verdict calls for one. */
typedef struct {
    PyObject *obj;         /* borrowed */
    const ot_kind_t *kind; /* NULL: it is pickled or a handle, as the verdict says */
    Py_ssize_t edges;      /* references from objects that are moved */
    Py_ssize_t key_edges;  /* of these, from keys of all-str dicts */
    Py_ssize_t trial;      /* references from candidates, see settle_cycles */
    PyObject *copy;
    uint32_t foreign; /* index among the pickled objects, in tree->held or in tree->arrays */
    ot_verdict_t verdict;
    bool explored;
    bool pinned;
    bool ndata; /* it is an array whose data travel */
    bool gives; /* OT_ARRAY: commit takes its own data */
} ot_proof_entry_t;

typedef struct {
    PyObject **slot;
    uint32_t entry;
    ot_slot_t what;
} ot_edge_t;

/* An int or float that has several references (numbers.c). copy is owned; NULL: it moves. */
typedef struct {
    PyObject *obj, *copy;
    Py_ssize_t edges;
} ot_number_t;

typedef struct {
    PyObject **slot;
    uint32_t number;
} ot_number_slot_t;

/* The str that was the i-th key of the last dict: rows have the same keys in order. */
typedef struct {
    PyObject *key;
    uint32_t entry;
} ot_recent_key_t;

enum { OT_RECENT_KEYS = 16 };

/* What a type is to a proof. Only the first has a row; for the others ot_proof_kind gives NULL. */
typedef enum {
    OT_TYPE_HAS_ROW,
    OT_TYPE_PICKLED,  /* it was learnt, and there is no row for its instances */
    OT_TYPE_HANDLE,   /* its instances stand for shared objects */
    OT_TYPE_STRANGER, /* it is to be learnt before the next attempt; this one is abandoned */
} ot_standing_t;

/* The working state of a send. Between sends an interpreter keeps one (its spare), whose tables are empty and have some
 * memory. */
typedef struct ot_proof {
    ot_visitor_t visitor; /* first: prove's callbacks find the proof by it */
    ot_copier_t copier;
    const ot_interp_t *interp;
    ot_share_t share;
    ot_root_rule_t rule;
    PyObject *root;
    struct ot_proof *older; /* another send under way in this interpreter; NULL: none */
    ot_tree_t *tree;
    ot_report_t *report; /* NULL: the tree is really sent */
    ot_gate_t *gate;     /* NULL: nobody asks what it weighs */
    ot_receipt_t receipt;
    OT_VEC(ot_proof_entry_t) entries;
    ot_ptrmap_t index; /* object -> entry, for those with several references */
    OT_VEC(ot_edge_t) edges;
    OT_VEC(ot_number_t) numbers; /* numbers.c */
    OT_VEC(ot_number_slot_t) number_slots;
    ot_ptrmap_t number_index;
    OT_VEC(uintptr_t) stack; /* containers to look into, | OT_NEEDS_TRACK */
    int depth;               /* of the walk's recursion */
    ot_copy_jobs_t jobs;     /* copies to be filled */
    PyObject *foreigners; /* list: unknown objects, pickled ones first; NULL until there is one */
    ot_ptrmap_t foreign_index;
    ot_recent_key_t recent_keys[OT_RECENT_KEYS];
    /* type -> index in tree->classes, or OT_STRANGER or OT_HANDLES; and what was looked up last. */
    ot_ptrmap_t class_index;
    PyTypeObject *last_type;
    uint32_t last_class;
    ot_standing_t last_standing;
    const ot_kind_t *last_kind;       /* NULL unless it has a row */
    OT_VEC(PyTypeObject *) strangers; /* owned: types to learn; the attempt is abandoned */
    /* Owned: learnt in this send. Once is enough: pickling may change a type each time (a counter in
     * the class). */
    OT_VEC(PyTypeObject *) learnt;
    bool no_memory; /* some type could not be entered: the attempt fails */
} ot_proof_t;

/* What class_index has of a type that is no class of the tree: it is to be learnt before the next attempt; or its
 * instances are handles. */
#define OT_STRANGER UINT32_MAX
#define OT_HANDLES (UINT32_MAX - 1)

/* Sets MemoryError. Returns -1. */
static inline int
ot_no_memory(void)
{
    PyErr_NoMemory();
    return -1;
}

/* Looks the type up that ot_proof_kind does not know by heart. Without memory it returns NULL and sets no_memory. */
const ot_kind_t *ot_proof_class_kind(ot_proof_t *p, PyTypeObject *type);

/* The row for o's exact type; NULL: it has none, and last_standing says why, or there was no memory. Runs: -. */
static inline const ot_kind_t *
ot_proof_kind(ot_proof_t *p, PyObject *o)
{
    PyTypeObject *t = Py_TYPE(o);
    if (t == &PyDict_Type) {
        return &ot_kind_dict;
    }
    if (t == &PyList_Type) {
        return &ot_kind_list;
    }
    if (t == &PyTuple_Type) {
        return &ot_kind_tuple;
    }
    return t == p->last_type ? p->last_kind : ot_proof_class_kind(p, t);
}

/* What ot_proof_kind has said of the type in this proof; NULL also if it was not asked. Runs: -. */
static inline const ot_kind_t *
ot_proof_known_kind(const ot_proof_t *p, PyTypeObject *type)
{
    const ot_kind_t *kind = ot_kind_static(type);
    const uint32_t *found = kind == NULL ? ot_ptrmap_get(&p->class_index, type) : NULL;
    bool is_class = found != NULL && *found != OT_STRANGER && *found != OT_HANDLES;
    return is_class ? p->tree->classes.items[*found].kind : kind;
}

/* Notes an instance that the tree will hold, for its class to be changed: a moved one, a shell,
 * or a copy. 0, or -1 with MemoryError set. */
int ot_proof_instance(ot_proof_t *p, PyObject *o, bool is_copy);

/* Decides that entry i's object is pickled, though its type has a row. 0, or -1 with MemoryError set. */
int ot_proof_make_foreign(ot_proof_t *p, Py_ssize_t i);

/* Decides that entry i's array travels as its data (ndata.h): its own if `take`, else a copy. 0, or -1 with MemoryError set. */
int ot_proof_array(ot_proof_t *p, Py_ssize_t i, bool take);

/* A new clone of o, for its row; the filling of a container is put on the work list. NULL with
 * MemoryError set. */
PyObject *ot_proof_clone(ot_proof_t *p, PyObject *o, const ot_kind_t *kind);

/* Whether o goes by numbers.c, if it has several references. */
static inline bool
ot_is_number(PyObject *o)
{
    return PyFloat_CheckExact(o) || PyLong_CheckExact(o);
}

/* Counts the references to numbers that the walk noted. 0, or -1 with MemoryError set. */
int ot_numbers_count(ot_proof_t *p);

/* Copies the numbers to which something outside of the tree refers, too. 0, or -1 with MemoryError set. */
int ot_numbers_copy(ot_proof_t *p);

/* The copy that stands for a number in a copied container. Borrowed; NULL with an exception. */
PyObject *ot_number_copy(ot_proof_t *p, PyObject *o, const ot_kind_t *kind);

/* A number to which something outside of the tree refers, and in *outside how often. Borrowed; NULL: there is none. */
PyObject *ot_numbers_find_shared(const ot_proof_t *p, Py_ssize_t *outside);

/* Puts the copies of numbers in their places. `leftovers` has room for all of them. Cannot fail. */
void ot_numbers_commit(ot_proof_t *p, ot_leftovers_t *leftovers);

/* Drops the references that the table of numbers has to copies. */
void ot_numbers_drop(ot_proof_t *p);

/* Whether the receiver gets o itself, whatever else refers to it. By name, not "all that are not
 * str": a kind that is added tomorrow is not shared because nobody thought of it. */
static inline bool
ot_proof_shares(const ot_proof_t *p, PyObject *o, const ot_kind_t *kind)
{
    if (p->share == OT_SHARE_NOTHING || kind == NULL) {
        return false;
    }
    bool leaf = kind == &ot_kind_int || kind == &ot_kind_float || kind == &ot_kind_complex ||
                kind == &ot_kind_bytes;
    bool container = kind == &ot_kind_list || kind == &ot_kind_tuple || kind == &ot_kind_dict ||
                     kind == &ot_kind_set;
    bool wanted = leaf || (OT_HAS_LAB && container && p->share == OT_SHARE_CONTAINERS);
    return wanted && kind->inspect(o) == OT_MOVABLE;
}

/* Finds or adds the entry of o; its index, or -1 with MemoryError set, or without an exception if
 * o's type is to be learnt first (p->strangers). Everything that calls this passes that on. */
Py_ssize_t ot_proof_entry(ot_proof_t *p, PyObject *o);

/* Adds an entry of o, which has none: its index, or -1 as ot_proof_entry returns it. */
Py_ssize_t ot_proof_add_entry(ot_proof_t *p, PyObject *o);

/* Aborts if the tables contradict each other or the objects. At the end of ot_prove, before anything is
 * copied or changed; where OT_CHECKS is on ot_prove ends with it. */
void ot_proof_check(const ot_proof_t *p);

/* Finds out what the tree under `shell` (which lists the root's content) owns, and untracks its
 * containers. Changes nothing else. */
int ot_prove(ot_proof_t *p, PyObject *shell, bool tracked);

/* Makes the copies that the verdicts call for. */
int ot_copy_outsiders(ot_proof_t *p);

/* Makes tree->root a copy of the root and of everything that it reaches. */
int ot_copy_root(ot_proof_t *p);

#endif
