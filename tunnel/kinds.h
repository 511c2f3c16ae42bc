/* kinds.h: what the tunnel knows of each type.
 *
 * One row (ot_kind_t) a type, each in its own file under kinds/. The tree code asks a row four
 * things: may this object's storage change hands (inspect), what does it refer to (visit), give
 * me an equal object that takes over its content (shell/disown), give me a copy (clone/fill).
 *
 * Shared rules: the caller holds the GIL of the interpreter that owns the objects; none of these
 * functions runs Python code or lets go of the GIL; those that allocate return NULL or -1 with
 * MemoryError set and have changed nothing.
 */
#ifndef OT_TUNNEL_KINDS_H
#define OT_TUNNEL_KINDS_H

#include "tunnel/ndata.h"
#include "tunnel/visit.h"

#include "include/objtunnel_kinds.h" /* after version.h, which must come before Python.h */

/* ---- copying ----------------------------------------------------------------------------- */

typedef struct ot_copier ot_copier_t;

struct ot_copier {
    /* A new reference to what a copy holds where its original holds o; may note that `slot` of
     * the copy is to be filled by the receiver. NULL with an exception set. */
    PyObject *(*copy)(ot_copier_t *c, PyObject *o, PyObject **slot);

    /* Tells of a part: see ot_visit_part. A new one, untracked. */
    void (*part)(ot_copier_t *c, PyObject *part);

    /* Called before each copy is filled, with what it is a copy of; NULL: nobody wants to know. */
    void (*begin)(ot_copier_t *c, PyObject *original);

    ot_slot_t what; /* what `slot` may hold */
    bool left;      /* copy has left a place that holds one C type to the receiver */
};

/* Fills a clone's place, NULL so far, that holds one C type only (slot.h). 0, or -1 with an exception
 * and the place as it was. */
static inline int
ot_fill_slot(ot_copier_t *c, PyObject **to, PyObject *from, ot_slot_t what)
{
    c->what = what;
    c->left = false;
    PyObject *copy = c->copy(c, from, to);
    c->what = OT_SLOT_ANY;
    if (copy == NULL) {
        return -1;
    }
    *to = c->left ? ot_slot_placeholder(what) : copy; /* copy is None if it was left */
    return 0;
}

/* Fills a clone's place that holds any object with what stands for `from`. 0, or -1 with an exception and the place as
 * it was. */
static inline int
ot_fill_edge(ot_copier_t *c, PyObject **to, PyObject *from)
{
    PyObject *copy = c->copy(c, from, to);
    if (copy == NULL) {
        return -1;
    }
    *to = copy;
    return 0;
}

/* ---- the row ------------------------------------------------------------------------------ */

typedef enum {
    OT_MOVABLE, /* storage wholly in the shared heap, nobody else can look in */
    OT_REHOME,  /* nobody else can look in, but a block is not in the shared heap: make a shell */
    OT_PINNED,  /* something else can reach inside (weakref, buffer, watcher): copy, leave as is */
} ot_inspection_t;

/* Functions of a row for arrays, whose data travel apart from the objects (ndata.h). */
typedef struct {
    /* Whether o is such an array; others of its type go by the rest of their row. Runs: -. */
    bool (*is)(PyObject *o);

    /* Whether o's data may change hands, if nothing outside of the tree refers to o. Runs: -. */
    bool (*gives)(PyObject *o);

    /* What describes o, with a copy of its data or without data yet: then `give` moves them there, cannot
     * fail, and leaves o a valid object. make returns NULL with MemoryError. */
    ot_ndata_t *(*make)(PyObject *o, bool copy);
    void (*give)(PyObject *o, ot_ndata_t *n);
} ot_ndata_row_t;

typedef struct ot_kind {
    const char *name;
    bool leaf;         /* refers to nothing */
    bool emptiable;    /* as a root it is taken over and left empty, as std::move does in C++ */
    bool subclassable; /* shell and clone make objects of o's own type, also of a subclass */
    bool converts;     /* clone makes an object of another type; o's is none of the receiver's */
    bool keeps_hash;   /* a copy hashes as the original does, or neither can be hashed */

    /* What may become of an object to which nothing outside of the tree refers. */
    ot_inspection_t (*inspect)(PyObject *o);

    /* Whether clone and shell know what to do with o; those of others are pickled, and `inspect`
     * calls them pinned. NULL: with all. Runs: -. */
    bool (*copies)(PyObject *o);

    /* Calls v->edge for each reference. Returns OT_NEEDS_KEYS/REHASH bits, or -1. */
    int (*visit)(PyObject *o, ot_visitor_t *v);

    /* A new untracked object of the same type that lists o's content without owning it yet:
     * either both point at one side block, or the shell has its own copy of it. Slots of the
     * shell are final. For leaves: a copy. A row may leave out shell, disown, clone and fill:
     * then what cannot be moved as it is gets pickled. */
    PyObject *(*shell)(PyObject *o);

    /* Settles a shell: `loser` forgets the content that `winner` keeps, without touching
     * refcounts. Called with (original, shell) on success, (shell, original) to undo. */
    void (*disown)(PyObject *loser, PyObject *winner);

    /* An untracked object of o's shape whose references are all NULL, safe to free at once; for
     * leaves the finished copy. */
    PyObject *(*clone)(PyObject *o);

    /* Fills a clone, through c->copy. Returns OT_NEEDS_* bits or -1 (then still safe to free). */
    int (*fill)(PyObject *clone, PyObject *o, ot_copier_t *c);

    /* Empties an emptiable object the ordinary way, giving up its references. May run Python
     * code. Used when the collector is at work and the root was copied. */
    int (*clear)(PyObject *o);

    const ot_ndata_row_t *ndata; /* NULL: of no array */
} ot_kind_t;

/* Whether o, which follows the row, is an array whose data travel. kind may be NULL. Runs: -. */
static inline bool
ot_kind_is_ndata(const ot_kind_t *kind, PyObject *o)
{
    return kind != NULL && kind->ndata != NULL && kind->ndata->is(o);
}

/* Whether o is the same object in every interpreter (None, small ints, static types...). */
bool ot_is_process_static(PyObject *o);

/* Whether o is the same object in every interpreter that has imported its module (timezone.utc, timedelta(0)). */
bool ot_is_module_static(PyObject *o);

/* Whether an object that follows the row can be copied; else it is pickled if it cannot move. */
static inline bool
ot_kind_copies(const ot_kind_t *kind, PyObject *o)
{
    return kind->clone != NULL && (kind->copies == NULL || kind->copies(o));
}

/* Takes note of static objects' addresses.
 * Returns 0, or -1 with an exception set. Call once an interpreter, at import. */
int ot_kinds_init(void);

/* Finds the addresses of static ints and bytes; a part of ot_kinds_init. 0, or -1 with an exception. */
int ot_statics_init(void);

/* ---- shared by the rows -------------------------------------------------------------------- */

ot_inspection_t ot_kind_leaf_inspect(PyObject *o);

/* The inspect of objects that are one block. */
ot_inspection_t ot_kind_block_inspect(PyObject *o);

/* The visit and fill of objects that refer to nothing and are no leaves of the walk (they have a side block), or are the
 * base of classes whose instances may refer to something. The disown of objects whose shell is a copy. */
int ot_kind_visit_nothing(PyObject *o, ot_visitor_t *v);
int ot_kind_fill_nothing(PyObject *clone, PyObject *o, ot_copier_t *c);
void ot_kind_disown_nothing(PyObject *loser, PyObject *winner);

/* The static table of empty dicts. Borrowed, process-wide; NULL with an exception only if asked
 * for the first time. */
ot_keys_t *ot_empty_keys(void);

/* Whether a dict or set whose key is `key` may have to be rehashed: not if the key is a str, a number
 * or the like, or a short tuple of them. */
bool ot_key_is_composite(PyObject *key);

extern const ot_kind_t ot_kind_list, ot_kind_tuple, ot_kind_dict, ot_kind_set, ot_kind_str,
    ot_kind_frozendict, ot_kind_int, ot_kind_float, ot_kind_complex, ot_kind_bytes,
    ot_kind_bytearray, ot_kind_range, ot_kind_slice, ot_kind_array, ot_kind_deque,
    ot_kind_defaultdict, ot_kind_odict, ot_kind_decimal, ot_kind_mappingproxy, ot_kind_memoryview,
    ot_kind_plain_instance, ot_kind_container_instance, ot_kind_other_instance, ot_kind_extension;

/* The row for a built-in type that every interpreter shares, NULL if it has none. */
const ot_kind_t *ot_kind_static(PyTypeObject *type);

/* The row for any other type, into *kind; NULL if we know nothing of it. Where that takes a look
 * at an object of the type, one is made. 0, or -1 with an exception set. Runs: e. */
int ot_kind_for_class(PyTypeObject *type, const ot_kind_t **kind);

/* The row for a type that is not built in, as far as it is known without looking at an object of the type: NULL also
 * where that would be needed. Runs: -. */
const ot_kind_t *ot_kind_at_hand(PyTypeObject *type);

/* The row for the part of an instance that its solid base (class.h) laid out: NULL for object and
 * for bases that we know nothing of. Runs: -. */
const ot_kind_t *ot_kind_of_base(PyTypeObject *base);

/* The row for the part of an instance that a registered type of another extension laid out; NULL: it is not
 * registered. Runs: -. */
const ot_kind_t *ot_kind_registered(PyTypeObject *type);

/* Has instances of an extension's type move as spec says. 0, or -1 with ValueError, TypeError or
 * RuntimeError. Needs: the GIL of the type's interpreter. */
int ot_kind_register(PyTypeObject *type, const ot_type_spec_t *spec);

/* The C type of a module that `mark` (ot_layout_t's base) stands for, in this interpreter, which may
 * have to import the module; else `built_in`. A new reference; NULL with an exception, but without
 * one if there is nothing by that mark. Runs: e. */
PyObject *ot_c_type_here(const void *mark, PyTypeObject *built_in);

/* The main interpreter's array.array, borrowed: its class cache owns it. Call once, at import. */
void ot_ndarray_know_array(PyTypeObject *type);

/* A C type of the standard library that each interpreter has its own object for, or that is in a
 * module which must be imported. */
typedef struct ot_c_type {
    const char *tp_name; /* as the type calls itself */
    const ot_kind_t *kind;
    /* Looks at a known object through the row's eyes: 1 if it looks as expected, 0 if not, -1
     * with an exception. Runs: e. */
    int (*check)(PyTypeObject *type);
    /* How the type is recognised once check has found it as expected, NULL before: a static type by
     * itself, the heap types that each interpreter has for one by their tp_dealloc. Only kinds.c
     * uses it; it is written with one value. */
    _Atomic(void *) mark;
    struct ot_c_type *next; /* kinds.c's */
} ot_c_type_t;

/* Adds a row to those that kinds.c knows. Before main() or within dlopen() only. */
void ot_c_type_list(ot_c_type_t *row);

/* A row that lists itself when the module is loaded, so that a new kind is one new file in kinds/. At
 * file level. */
#define OT_C_TYPE(name, tp_name, kind, check)                                                      \
    static ot_c_type_t ot_c_type_##name;                                                           \
    __attribute__((constructor)) static void ot_c_type_list_##name(void)                           \
    {                                                                                              \
        ot_c_type_list(&ot_c_type_##name);                                                         \
    }                                                                                              \
    static ot_c_type_t ot_c_type_##name = {(tp_name), (kind), (check), NULL, NULL}

/* Whether OrderedDict and mappingproxy, which are built in, look as their rows expect. 1, 0, or -1 with an exception
 * (ot_c_type_t's check). */
int ot_odict_check(void);
int ot_mappingproxy_check(void);

/* The tzinfo of an aware time or datetime, else NULL; o is of one of datetime's types. Borrowed. */
PyObject *ot_tzinfo_of(PyObject *o);

/* Whether a copy of a leaf hashes otherwise than the leaf: NaNs do. What is looked up by one must be
 * rehashed once it is a copy. */
bool ot_leaf_hashes_by_address(PyObject *o);

/* bytearray's inspect, where so many exported buffers are no reason to leave it where it is. */
ot_inspection_t ot_bytearray_inspect(PyObject *o, Py_ssize_t exports);

/* A new bytearray of n bytes, which may be anything. */
PyObject *ot_bytearray_of(Py_ssize_t n);

/* An untracked copy of an array, whatever o's type is now, as one of this interpreter's array.array. */
PyObject *ot_array_clone(PyTypeObject *type, PyObject *o);

/* The items of an OrderedDict in order, as a new list of pairs; no key is looked up, so it works
 * on one that has stale hashes. NULL with MemoryError. */
PyObject *ot_odict_items(PyObject *o);

/* Swaps what two OrderedDicts hold. */
void ot_odict_swap(PyObject *a, PyObject *b);

/* The inspect of list, tuple and dict. They are inline because the walk asks them for most
 * containers (prove.c). */

static inline ot_inspection_t
ot_list_inspect(PyObject *o)
{
    PyListObject *list = (PyListObject *)o;
    if (list->allocated < 0) {
        return OT_PINNED; /* list.sort has taken the items out and will put them back */
    }
    bool home = ot_heap_owns(o) && (list->ob_item == NULL || ot_heap_owns(list->ob_item));
    return home ? OT_MOVABLE : OT_REHOME;
}

static inline ot_inspection_t
ot_tuple_inspect(PyObject *o)
{
    return ot_heap_owns(o) ? OT_MOVABLE : OT_REHOME;
}

static inline ot_inspection_t
ot_dict_inspect(PyObject *o)
{
    if (ot_dict_is_watched(o) || ot_dict_is_split(o)) {
        return OT_PINNED;
    }
    ot_keys_t *keys = ot_dict_keys(o);
    bool home = ot_heap_owns(o) && (ot_keys_static(keys) || ot_heap_owns(keys));
    return home ? OT_MOVABLE : OT_REHOME;
}

#endif
