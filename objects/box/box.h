/* box.h: one tree that several interpreters use by turns.
 *
 * Purpose: Box. Who has acquired it has the live tree, as objects of its own interpreter; when it is
 * released the tree is at rest, in no interpreter. Threads acquire it one at a time, behaviours several boxes at once
 * (cown.h).
 * Invariant: exactly one of these holds a tree while the box is free: content; failure, if it is the result of a behaviour
 * that raised; keeper, if it could not be put to rest; or none, if the tree is lost. Content is NULL while somebody has
 * taken the tree out. A keeper owns a reference to the box, unless the tree is pinned: then it ends with
 * the box. A keeper may also keep the tree of a box that is not free, for the
 * behaviour that has it and that runs there next.
 * Threading: all but `keeper` is its holder's, under the cown. Several that read it at once write nothing but what is made
 * under `reading`. No Python here but through objects/core/value.h.
 */
#ifndef OT_OBJECTS_BOX_H
#define OT_OBJECTS_BOX_H

#include "objects/box/cown.h"
#include "objects/core/value.h"

enum { OT_NOT_KEPT = -1, OT_KEEPER_GONE = -2 };

typedef struct {
    ot_cown_t cown;      /* first */
    ot_value_t *content; /* owned, exclusive (value.h) */
    ot_value_t *failure; /* owned: what objtunnel._failures.unpack makes the exception of */
    char *report;        /* owned: what is said of a failure that nobody opens */
    atomic_bool opened;  /* somebody was told of the failure */
    /* What readers of the content see: owned by the box, and made by the first one that asks, under `reading`. NULL if
     * there is no content. */
    struct ot_frozen *_Atomic region;
    ot_lock_t *_Atomic reading; /* owned; NULL: nobody has read yet */
    atomic_int
        keeper;      /* a worker's index: the tree stays there; else OT_NOT_KEPT, OT_KEEPER_GONE */
    PyObject *kept;  /* owned by the keeper's interpreter, and touched by its thread only */
    bool stuck;      /* it stays because it cannot travel, not because it is needed there next */
    bool kept_alive; /* the keeper owns a reference to the box; not for a tree that is pinned */
    char *why;       /* owned: why it cannot travel */
    unsigned
        stayed; /* behaviours in a row, the newest ones, after which the tree was not put to rest */
    int64_t
        pinned_to; /* -1; or the interpreter that the tree never leaves, whatever it is; constant */
    int pinned_member; /* who keeps it then: a worker or a host; constant */
} ot_box_t;

extern const ot_shared_kind_t ot_box_kind;

/* ---- what is in it (content.c) ----------------------------------------------------------------- */

/* A box with this content, or (NULL) one that a behaviour holds, which will be its result. One reference. NULL with
 * MemoryError. Refs: steals content, on failure too. */
ot_box_t *ot_box_new(ot_value_t *content);

/* A box whose tree stays in the calling interpreter, which `member` is. Refs: tree is borrowed. NULL with MemoryError. */
ot_box_t *ot_box_new_pinned(ot_objects_t *home, PyObject *tree, int member);

/* Frees trees of pinned boxes that ended elsewhere. Needs: `interp`'s thread state, to which they were pinned. Costs a load
 * if there are none. Runs: e. */
void ot_box_free_strays(int64_t interp);

/* For who has a pinned box and has taken the tree, to give it back, or another one. If the keeper has ended the tree is
 * lost. Refs: steals. Runs: e. */
void ot_box_set_pinned(ot_box_t *box, PyObject *tree);

/* Puts what goes in for the first time to rest: it is never emptied if the caller still has it. */
ot_value_t *ot_box_enter(ot_objects_t *home, PyObject *tree);

/* Puts to rest what came out of a box: by the tunnel's rule a mutable root is emptied, whoever refers to it; one that
 * cannot be emptied is copied if anybody but the caller does.
 * Runs: e. NULL with what Tunnel.send raises: the tree is as it was. */
ot_value_t *ot_box_leave(ot_objects_t *home, PyObject *tree);

/* The live tree, a new reference, for who has the box. NULL with an exception: what the behaviour raised whose result it
 * is; LockAbandonedError if the tree is lost; RuntimeError if a worker keeps it, or it is pinned to another interpreter. member: the caller's index in the crew,
 * or -1. `who` is named in messages. Runs: e. */
PyObject *ot_box_take(ot_objects_t *home, ot_box_t *box, PyObject *who, int member);

/* What is said when there is no content to take or to read. Sets an exception, returns NULL. Arguments as of ot_box_take. */
PyObject *ot_box_raise_absent(ot_objects_t *home, ot_box_t *box, PyObject *who);

/* For who has the box and has taken the tree, if there was one. Refs: steals. */
void ot_box_set(ot_box_t *box, ot_value_t *content);

/* The box has a new tree: forgets why the one before could not be rebuilt. */
void ot_box_clear_failure(ot_box_t *box);

/* Makes it the result of a behaviour that raised. Refs: steals description; report is copied. Without memory for that the
 * failure is told without a report. */
void ot_box_fail(ot_box_t *box, ot_value_t *description, const char *report);

/* Member `member` keeps the tree: because it cannot travel (why is copied), or (NULL) because it is needed there next.
 * Refs: steals the tree. */
void ot_box_keep(ot_box_t *box, int member, PyObject *tree, const char *why);

/* The calling thread is the keeper of a tree that could travel, and puts it to rest. 0, or -1 with an exception.
 * Needs: to have the box. Runs: e. */
int ot_box_settle(ot_objects_t *home, ot_box_t *box);

/* The member ends: what it keeps is lost. Needs: its interpreter's thread state. Runs: e. */
void ot_box_keeper_ends(int member);

/* Has each failure that nobody has opened told now: the process ends. */
void ot_box_report_all(void);

/* ---- reading (reading.c) ----------------------------------------------------------------------- */

/* For a behaviour that has the box, alone or beside other readers: a frozen view of the tree, or an object of the caller's own
 * if that is constant. The first one that asks after the tree was changed makes it readable, without a copy unless it has
 * dates and the like; the others share that. NULL with an exception: ot_box_take's, or TypeError: it cannot be frozen. Runs: e. */
PyObject *ot_box_read(ot_objects_t *home, ot_box_t *box, PyObject *who);

/* For who may call ot_box_read: an equal tree that is the caller's own. NULL with an exception, as there. */
PyObject *ot_box_copy(ot_objects_t *home, ot_box_t *box, PyObject *who);

/* For who has the box alone, before the content is taken or dropped: what readers saw is gone, but for the views that
 * somebody has kept. */
void ot_box_end_reading(ot_box_t *box);

/* ---- behaviours -------------------------------------------------------------------------------- */

/* What the calling thread has if it runs a behaviour. */
typedef struct {
    const ot_behaviour_t *behaviour;
    PyObject *(*value)(void *arg,
                       ot_box_t *box); /* the tree of a box of its own: a new reference or NULL */
    void *arg;
} ot_box_inside_t;

/* NULL: it runs none. */
extern __thread const ot_box_inside_t *ot_box_inside;

/* Whether the behaviour that the calling thread runs has the box. */
bool ot_box_is_own(const ot_box_t *box);

/* ---- the Python type (box.c) ------------------------------------------------------------------- */

/* Aborts if the invariant does not hold, as seen by a handle: it has the tree exactly if its interpreter
 * holds the lock, and then the box is empty. acquire and release call it where OT_CHECKS is on.
 * Needs: the GIL of the handle's interpreter, and that no other thread of it uses the handle. */
void ot_box_check(PyObject *handle);

/* Where the handle, if it is one of a Box, is at home; NULL, or anything else: the calling interpreter. NULL with an
 * exception. */
ot_objects_t *ot_home_of_box(PyObject *handle);

/* Adds the type Box. 0, or -1 with an exception set. */
int ot_box_type_add(ot_objects_t *home);

#endif
