/* tree.h: taking an object tree out of one interpreter and putting it into another.
 *
 *   sender                                      receiver
 *   ot_tree_detach   prove, copy, pickle,
 *                    then take out              ot_tree_attach   put in
 *   ot_tree_settle   drop what was replaced     (or ot_tree_dispose, unread)
 *
 * The rule: what only the tree can reach is moved, what something else can reach is copied,
 * what we know nothing of is pickled alone in its place. See docs/design.md, "the move".
 *
 * Shared rules: each function needs an attached thread state. A tree in transit is reachable
 * from one thread only and needs no lock.
 */
#ifndef OT_TUNNEL_TREE_H
#define OT_TUNNEL_TREE_H

#include "runtime/vec.h"
#include "tunnel/channel.h"
#include "tunnel/class.h"
#include "tunnel/ndata.h"
#include "tunnel/temporary.h"
#include "runtime/cpython/gc.h"

/* What a handle knows beside its object (which part of an array it is, say). */
typedef struct {
    size_t size;
    char bytes[];
} ot_beside_t;

/* What a message holds for a handle: a reference to its object, so that this lives as long as the message,
 * and what the handle knows beside it. */
typedef struct {
    ot_shared_t *shared; /* owned */
    ot_beside_t *beside; /* owned, raw memory; NULL: nothing */
} ot_held_t;

typedef OT_VEC(ot_held_t) ot_held_list_t;

/* Handles, for the tree code, which knows no type of them. `home` is where an interpreter has its own. */
typedef struct {
    void *home;
    bool (*is_type)(const void *home, const PyTypeObject *type);

    /* What the message is to hold for a handle, a new reference and new memory: 1. 0: the handle knows
     * what can only be pickled. -1 with MemoryError. Runs: m. */
    int (*hold)(const void *home, PyObject *handle, ot_held_t *held);

    /* A new handle of this interpreter; `held` keeps what it has. NULL with an exception. Runs: m. */
    PyObject *(*make)(void *home, const ot_held_t *held);
} ot_handles_t;

/* What an interpreter lends to the tree code; one per module state. */
typedef struct {
    ot_handles_t handles;
    ot_class_cache_t *classes; /* what is known of types */
    ot_consumers_t *consumers; /* which callables may take a temporary's content */
    struct ot_proof **spare;   /* that of the last send, whose tables the next one uses again */
    PyObject *dumps, *loads; /* dumps(list of objects): bytes; loads(bytes): a list of equal ones */
    PyObject *remedy;        /* remedy(o): a str, what to do about what cannot be sent */
    PyObject
        *tracer; /* told of each send before it is done (report.h); NULL: nobody wants to know */
    PyObject *ndarray; /* ndarray(format, shape): an ndarray, or None where NumPy is not imported */
    PyTypeObject *array_data; /* ours, for memoryviews of arrays' data (ndata.h) */
    PyObject *shared_reference_error;
} ot_interp_t;

/* Where what fills a place comes from. */
typedef enum {
    OT_FROM_PICKLE,
    OT_FROM_HELD,
    OT_FROM_ARRAYS,
} ot_source_t;

/* A place that only the receiver can fill: it holds a placeholder in transit (slot.h). */
typedef struct {
    PyObject **slot;
    uint32_t index; /* into the list of pickled objects, held or arrays */
    uint8_t source; /* ot_source_t */
    uint8_t what;   /* ot_slot_t */
} ot_fix_t;

/* The sender's key object (an address, never followed) and the copy that stands for it. */
typedef struct {
    const void *old;
    PyObject *copy; /* owned */
    bool intern;
} ot_key_t;

struct ot_proof; /* the working state of a send */

/* A class that the tree has instances of. Or only the fact that a static type of some module is
 * used, which the receiver must have imported (type is that type then, also in transit). */
typedef struct {
    PyTypeObject *type;            /* the sender's, borrowed; NULL in transit */
    const ot_kind_t *kind;         /* NULL: pickled, nothing here is used */
    const ot_known_class_t *known; /* until commit */
    ot_layout_t layout;
    PyTypeObject *base;          /* the solid base (class.h) if it is static, else NULL */
    PyObject *module, *qualname; /* owned strs that any interpreter may free */
    OT_VEC(uintptr_t) instances; /* borrowed, | OT_IS_COPY; first those of a heap type */
    PyObject **names;            /* owned strs: the shared keys, as many as were used */
    bool is_python;              /* made by a class statement */
    uint8_t n_names;
    uint8_t capacity; /* smallest of any instance's block of attribute values; or OT_NO_VALUES */
    uint32_t used;    /* bit i: some instance has a value for shared key i */
} ot_tree_class_t;

enum { OT_IS_COPY = 1, OT_NO_VALUES = 255 };

/* Invariants in transit: every object reachable from root is off all collectors' lists, lies in
 * the shared heap or is static, and has as many references as the tree has edges to it (more, if
 * it is shared, see ot_share_t); but for slots in fixes, keys of dicts marked OT_NEEDS_KEYS
 * (maybe addresses from `keys`), and the ob_type of `classes`' instances (NULL).
 *
 * A bare tree is in order as it is: what follows `bare` is not there, or empty and without memory
 * of its own. Those few words are all that the receiver of a small message reads. */
typedef struct {
    ot_node_t node;               /* first: a tree is a channel's message */
    PyObject *root;               /* owned */
    ot_gc_chain_t tracked;        /* what the receiver's collector shall track */
    bool bare;                    /* set at commit */
    bool acyclic;                 /* set at commit: no cycle can go through its containers */
    bool shares;                  /* set at commit: the sender may go on referring to some of it */
    OT_VEC(uintptr_t) containers; /* those with more needs: PyObject * | OT_NEEDS_* */
    OT_VEC(ot_tree_class_t) classes;
    OT_VEC(ot_fix_t) fixes;
    OT_VEC(ot_key_t) keys;
    ot_held_list_t held; /* of handles in fixes and, after them, of those that are pickled */
    char *pickle;        /* raw memory: one pickle of the list of foreign objects */
    OT_VEC(ot_ndata_t *) arrays; /* owned references; in transit this is the only one to most */
    Py_ssize_t pickle_len;
    bool rehash;      /* some key may hash otherwise in the receiver */
    int64_t tried;    /* where disposing of it was tried in vain last: an interpreter's id */
    uint64_t refused; /* 0, or the number of its first recv that failed; the receiver's */
} ot_tree_t;

/* What a bare tree takes, if that is known from the start. */
#define OT_BARE_TREE_SIZE offsetof(ot_tree_t, containers)

typedef struct {
    size_t moved, copied, pickled;
} ot_receipt_t;

/* What detach leaves to be dropped by the sender once the message is on its way: dropping may
 * run Python code (finalisers, weakref callbacks). */
typedef struct {
    PyObject **items;  /* owned references, some may be NULL; `few`, or raw memory */
    PyObject *few[16]; /* saves small messages an allocation: a leftovers_t stays where it is */
    size_t len;
} ot_leftovers_t;

/* What the sender may keep references to and the receiver gets all the same, instead of a copy.
 * Only where counts are atomic (ot_py_counts_atomically).
 *
 * LEAVES are sound in any order of death: nobody writes to an int, float, complex or bytes, no
 * collector knows them, and the heap takes their block from any thread. Not str: interning
 * changes its count without LOCK, and ties it to one interpreter's table.
 * CONTAINERS (list, tuple, dict, set, frozenset) in addition, only in the laboratory's builds (runtime/lab.h), are the
 * 2006 way, and up to the user: until the receiver is done, the sender may do nothing with its old pointers but double
 * and drop them; it must not drop the last reference (the container is on the receiver's collector's lists); and its
 * collector must not run (it would write into the container's header). */
typedef enum {
    OT_SHARE_NOTHING,
    OT_SHARE_LEAVES,
    OT_SHARE_CONTAINERS,
} ot_share_t;

#ifdef OT_FREE_THREADED
enum { OT_TREES_ARE_WEIGHED = false };
#else
enum { OT_TREES_ARE_WEIGHED = true };
#endif

/* Asked what a message weighs (weigh.h) before anything has changed. */
typedef struct ot_gate {
    bool (*admits)(struct ot_gate *self, size_t bytes); /* false: not now. Runs: - */
    bool traced; /* the tracer was told: it is told once, however often the message is tried */
} ot_gate_t;

/* What becomes of the root, which the caller has a reference to. */
typedef enum {
    OT_ROOT_AS_SENT, /* a mutable one is left empty, of immutable ones only a temporary is taken
                      * (temporary.h) */
    OT_ROOT_TAKEN, /* nobody will look at it any more: mutable or a temporary, its content moves */
    OT_ROOT_OWNED, /* the caller's reference is the only one: its content moves, and the
                      * caller does nothing with the root but drop it. If it is not: as sent */
    OT_ROOT_LENT,  /* stays as it is; but of a temporary the content moves */
    OT_ROOT_KEPT,  /* stays as it is, whatever it is; the tree is a copy */
} ot_root_rule_t;

/* Takes the tree out of the current interpreter; objects that `share` allows are shared with the receiver and not copied.
 * Refs: root is borrowed; one whose kind is emptiable (list, dict, set, deque, bytearray, array ...) is left empty.
 * Needs: atomic counts, unless OT_SHARE_NOTHING.
 * Runs: e, but only before anything is changed: pickling.
 * Returns a new tree; or NULL with SharedReferenceError (strict), TypeError (naming the path of
 * what cannot be pickled), MemoryError, RuntimeError, or what pickling raised; then nothing has
 * changed. On success the caller must call ot_tree_settle. */
ot_tree_t *ot_tree_detach(const ot_interp_t *interp, PyObject *root, bool strict, ot_share_t share,
                          ot_receipt_t *receipt, ot_leftovers_t *leftovers);

/* As ot_tree_detach with OT_SHARE_NOTHING; `rule` says what becomes of the root. */
ot_tree_t *ot_tree_detach_root_counted(const ot_interp_t *interp, PyObject *root,
                                       ot_root_rule_t rule, bool strict, ot_receipt_t *receipt,
                                       ot_leftovers_t *leftovers);

/* For who does not want to know what was moved and what copied, and takes both. */
static inline ot_tree_t *
ot_tree_detach_root(const ot_interp_t *interp, PyObject *root, ot_root_rule_t rule,
                    ot_leftovers_t *leftovers)
{
    ot_receipt_t receipt;
    return ot_tree_detach_root_counted(interp, root, rule, false, &receipt, leftovers);
}

/* As ot_tree_detach; `rule` says what becomes of the root, and `gate` (NULL: nobody) is asked whether the message
 * may go. If it does not admit the message: NULL without an exception, and nothing has changed. It is not asked for an
 * object that every interpreter has anyway. */
ot_tree_t *ot_tree_detach_gated(const ot_interp_t *interp, PyObject *root, ot_root_rule_t rule,
                                bool strict, ot_share_t share, ot_gate_t *gate,
                                ot_receipt_t *receipt, ot_leftovers_t *leftovers);

/* Drops what detach has replaced. Runs: e. */
void ot_tree_settle(ot_leftovers_t *leftovers);

/* Puts the tree into the current interpreter; frees it and sets *tree to NULL.
 * Runs: e, where something was pickled or keys are rehashed (unpickling, __hash__ and __eq__).
 * Returns the root, a new reference. NULL with an exception set if that failed; then *tree is still
 * the caller's, as before or, where keys could not be rehashed, an equal one, and may be attached
 * later, elsewhere, or disposed of. Only if a tree could not be made a message again is it gone, and
 * *tree NULL: a note of the exception says so. */
PyObject *ot_tree_attach(const ot_interp_t *interp, ot_tree_t **tree);

/* Frees a tree that nobody receives, and the messages of channels that die with it. Where its
 * classes cannot be had any more (the interpreter is ending), it is kept for another interpreter to
 * free when that disposes of or receives something.
 * Runs: e (imports; finalisers of its objects, where their classes are found). */
void ot_tree_dispose(const ot_interp_t *interp, ot_tree_t *tree);

/* ot_tree_dispose for a chain of messages from a channel. */
void ot_tree_dispose_chain(const ot_interp_t *interp, ot_node_t *chain);

/* Keeps a chain of messages for an interpreter to free when it next disposes of or receives
 * something, where the current one no longer can. Runs: -. */
void ot_tree_leave_chain(ot_node_t *chain);

/* Has each dict of a tree in transit own strs of the message's as keys, where it has addresses of the
 * sender's. 0, or -1 with MemoryError. Runs: m. */
int ot_tree_own_keys(ot_tree_t *tree);

/* Aborts if an object of a tree that has just arrived, before anything else refers to it, has not as
 * many references as the tree has edges to it or lies outside of the shared heap, or if the chain for the
 * collector is broken. `unpickled` (a list) and the handles, of which any
 * may be NULL, are what the receiver put in: they are not looked into. Where OT_CHECKS is on
 * ot_tree_attach calls it before the collector gets the tree. Runs: -. Without memory it looks at
 * nothing. */
void ot_tree_check(const ot_tree_t *tree, PyObject *unpickled, PyObject *const *handles, size_t n);

/* A number for a tree of built-in types, which changes with its objects' addresses and refcounts; 0
 * without memory. Needs no thread state. The caller is alone with it. */
uint64_t ot_tree_digest(PyObject *root);

/* Drops what is held. Returns the messages of channels that died with it. */
ot_node_t *ot_held_drop(ot_held_list_t *held);

/* Who gets the messages of a channel that nobody disposes of where it dies (ot_channel_set_heir): they are
 * kept for an interpreter to free. Needs: nothing. */
void ot_tree_inherit(ot_node_t *chain);

/* Gives up what *interp->spare keeps between sends. */
void ot_tree_drop_spare(const ot_interp_t *interp);

/* Frees the struct and its tables, not the objects. */
void ot_tree_free(ot_tree_t *tree);

/* While this thread pickles for a tree: has that tree keep the object alive until it is
 * rebuilt. Returns -1 with MemoryError set. Harmless outside of that. */
int ot_tree_pickling_shared(ot_shared_t *shared);

#endif
