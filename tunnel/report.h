/* report.h: what a send would do, and why.
 *
 * ot_tree_explain runs a send up to the moment at which it would take the tree out: the same proof, the
 * same copies, the same pickling. Then it notes the verdicts and undoes all of it. So a report cannot
 * differ from what the send of that moment does.
 *
 * Shared rules: the GIL of the interpreter that has the tree. A report belongs to one thread.
 */
#ifndef OT_TUNNEL_REPORT_H
#define OT_TUNNEL_REPORT_H

#include "tunnel/ptrmap.h"
#include "tunnel/tree.h"

/* Why an object does not move. */
typedef enum {
    OT_WHY_ROOT,       /* the root stays with the sender */
    OT_WHY_REFERENCED, /* something outside of the tree refers to it */
    OT_WHY_PINNED,     /* something can look inside, or its type never moves */
    OT_WHY_BELOW,      /* only the tree refers to it, but among that is what is copied */
    OT_WHY_INTERNED,   /* a str of the interpreter's own */
    OT_WHY_OLD,        /* a block of it lies outside of the shared heap */
    OT_WHY_PICKLED,    /* no row knows its type, or the row cannot copy it */
    OT_WHY_NAMED,      /* pickled by its name */
} ot_why_t;

/* One object that does not move, and what that costs. */
typedef struct {
    PyObject *obj;    /* owned */
    PyObject *weight; /* owned: of a pickled one, its size as an int, or the exception; else NULL */
    Py_ssize_t outside;
    size_t objects; /* copies that are made because of it, itself included */
    ot_why_t why;
    uint32_t because;
} ot_cause_t;

/* An object of which a copy was made: owned once the report is complete, borrowed before. */
typedef struct {
    PyObject *obj;
    uint32_t because;
} ot_copied_t;

/* Invariant: weights[i] belongs to the proof's i-th foreign object. `because` says for which entry, number or
 * root copies are being made now. */
typedef struct ot_report {
    ot_receipt_t receipt;
    bool complete;
    uint32_t because;
    OT_VEC(ot_copied_t) copied;
    ot_ptrmap_t containers; /* copied container -> because */
    OT_VEC(PyObject *) weights;
    OT_VEC(ot_cause_t) causes;
} ot_report_t;

/* Examines the tree as ot_tree_detach would, fills the report, and leaves everything as it was.
 * Refs: root is borrowed. Runs: e (pickling, which a send does as well).
 * 0; or -1 with MemoryError, RuntimeError, or a BaseException that pickling raised. What cannot be
 * pickled is in the report. In either case ot_report_free. */
int ot_tree_explain(const ot_interp_t *interp, PyObject *root, ot_root_rule_t rule,
                    ot_share_t share, ot_report_t *report);

/* Tells interp's tracer, if there is one, what a send of root by that rule would do: tracer(root, (moved, copied,
 * pickled), list), as the list below. Runs: e. 0, or -1 with MemoryError or what the tracer raised. What cannot be
 * pickled is not told: the send says it. */
int ot_report_trace(const ot_interp_t *interp, PyObject *root, ot_root_rule_t rule,
                    ot_share_t share);

/* The report as a list of (object, why, references from outside, copied or pickled objects, bytes of them,
 * exception or None). Runs: e (sys.getsizeof). A new list, or NULL with an exception. */
PyObject *ot_report_list(const ot_report_t *report);

/* Runs: e (finalisers). */
void ot_report_free(ot_report_t *report);

/* ---- for the send that is examined (detach.c, proof.c, copy.c) ------------------------------------ */

struct ot_proof;

/* Values of ot_report_t.because; UINT32_MAX is the root. */
static inline uint32_t
ot_because_of_entry(size_t i)
{
    return 2 * (uint32_t)i;
}

static inline uint32_t
ot_because_of_number(size_t i)
{
    return 2 * (uint32_t)i + 1;
}

/* An attempt begins: what an earlier one noted of copies is void. */
void ot_report_begin(ot_report_t *report);

/* The types of the tree were not known: what was taken for foreign may be none. */
void ot_report_forget_foreign(ot_report_t *report);

/* A copy of o is made. 0, or -1 without an exception. Runs: m. */
int ot_report_copied(ot_report_t *report, PyObject *o, bool leaf);

/* Pickles those foreign objects that have no weight yet, each alone. 0, or -1 with an exception that is no
 * fault of the object: MemoryError, KeyboardInterrupt. Runs: e. */
int ot_report_weigh(ot_report_t *report, struct ot_proof *p);

/* The attempt is complete, and is to be undone next. 0, or -1 with MemoryError. Runs: m. */
int ot_report_fill(ot_report_t *report, const struct ot_proof *p, bool take_over);

#endif
