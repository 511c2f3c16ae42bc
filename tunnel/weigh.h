/* weigh.h: how many bytes a message takes, for tunnels that limit that.
 *
 * Counted is each object that moves or is copied, once, as sys.getsizeof counts it; the data of arrays; the pickle
 * of what is pickled. None, small ints, classes, functions and other things that the receiver has already count nothing, nor does
 * what a handle of a shared object leads to.
 *
 * Shared rules: the GIL of the sender.
 */
#ifndef OT_TUNNEL_WEIGH_H
#define OT_TUNNEL_WEIGH_H

#include "tunnel/proof.h"

/* Has p's gate decide on the tree of a proof that is complete, and the pickle (NULL: nothing is pickled): whether it admits them, or
 * -1 with MemoryError. Runs: m; no Python code, so there may be shells. */
int ot_weigh_admits(const ot_proof_t *p, PyObject *pickle);

#endif
