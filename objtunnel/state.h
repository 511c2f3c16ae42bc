/* state.h: what the _core module keeps per interpreter, and its parts' constructors.
 *
 * Threading: one state an interpreter, under its GIL. Nothing in it is shared.
 */
#ifndef OT_OBJTUNNEL_STATE_H
#define OT_OBJTUNNEL_STATE_H

#include "objects/core/handle.h"
#include "runtime/struct_sequence.h"
#include "tunnel/tree.h"

typedef struct {
    ot_interp_t interp;
    ot_class_cache_t classes;
    ot_consumers_t consumers;
    ot_objects_t objects;
    struct ot_proof *spare; /* owned */
    PyObject *module;       /* borrowed: the state lives in it */
    PyTypeObject *tunnel_type, *gil_type, *worker_type, *receipt_type, *heap_info_type;
    PyTypeObject *process_global_type;
    PyObject *blank_receipt; /* owned or NULL: one without items, for the next send to fill */
    PyObject *last_receipt; /* owned or NULL: what send returned last; its counts are last_counts */
    ot_receipt_t last_counts;
    PyObject *tunnel_empty, *tunnel_full, *tunnel_closed, *tunnel_timeout, *tunnel_send_timeout;
    /* The interpreter is older than the heap, or may be: then its free lists can hold blocks from before, which
     * old_blocks keeps (owned: a list, or NULL). A worker's interpreter is newer. */
    bool may_have_old_blocks;
    PyObject *old_blocks;
    bool has_made_tunnels;
    PyObject *process_keys; /* list: what this interpreter has of process_global() */
} ot_state_t;

/* What the module's exec does on all builds, once nothing can stand in the way of making objects: fills in what
 * the parts of the state know of each other, imports the exceptions, adds Receipt and the functions that need nothing else.
 * 0, or -1 with an exception. */
int ot_state_begin(PyObject *module, ot_state_t *state);

/* The module's tp_traverse and tp_clear, and the end of its state. Fields that a build has no use for are NULL. */
int ot_state_traverse(PyObject *module, visitproc visit, void *arg);
int ot_state_clear(PyObject *module);
void ot_state_end(ot_state_t *state);

/* The module's state. Borrowed, as good as the module is. */
ot_state_t *ot_state_of_module(PyObject *module);

/* The current interpreter's state, for code that has no object of ours at hand (unpickling, other interpreters'
 * data): imports objtunnel if need be. Borrowed. NULL with an exception set. Runs: e. */
ot_state_t *ot_state_current(void);

/* Keeps what this interpreter's free lists hold from before the heap (runtime/free_lists.h), so that what a
 * program makes next moves. Done at the end of the import, which frees a lot, and before the first tunnel.
 * 0, or -1 with MemoryError. */
int ot_state_take_old_blocks(ot_state_t *state);

/* Each adds its type or functions to the module; 0 or -1 with an exception set. */
int ot_tunnel_add(PyObject *module, ot_state_t *state);
int ot_gil_add(PyObject *module, ot_state_t *state);
int ot_worker_type_add(PyObject *module, ot_state_t *state);
int ot_capi_add(PyObject *module, ot_state_t *state);
int ot_globals_add(PyObject *module, ot_state_t *state);
int ot_dump_add(PyObject *module);
int ot_explain_add(PyObject *module, ot_state_t *state);

/* Ends this interpreter's uses of process_global()'s values. */
void ot_globals_leave(ot_state_t *state);

/* A handle of the current interpreter around ch. Steals the channel reference, also on failure. */
PyObject *ot_tunnel_steal(ot_state_t *state, ot_channel_t *ch);

/* Borrowed channel of a Tunnel. */
ot_channel_t *ot_tunnel_channel(PyObject *tunnel);

#endif
