/* strict.h: what send(strict=True) forbids.
 *
 * Threading: the sender's GIL.
 */
#ifndef OT_TUNNEL_STRICT_H
#define OT_TUNNEL_STRICT_H

#include "tunnel/proof.h"

/* An object that the send would copy, or pickle although something outside of the tree refers to it: borrowed, NULL if there
 * is none. *outside: how many references from outside there are. Runs: -. */
PyObject *ot_strict_culprit(const ot_proof_t *p, Py_ssize_t *outside);

/* Sets SharedReferenceError about o. Needs: the proof is undone. Runs: e (the repr of keys). */
void ot_strict_raise(const ot_proof_t *p, PyObject *o, Py_ssize_t outside);

#endif
