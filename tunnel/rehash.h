/* rehash.h: dicts and sets whose keys hash otherwise here than in the sender look themselves up by
 * stale hashes; here they are put right. */
#ifndef OT_TUNNEL_REHASH_H
#define OT_TUNNEL_REHASH_H

#include "tunnel/tree.h"

/* Rehashes every container of the tree marked OT_NEEDS_REHASH, which is attached already: each once,
 * and only after all that its keys' hashes may depend on, as far as that can be told (rehash.c).
 * rebuilt: the list of what was unpickled, which is right as it is; NULL if there is none.
 * Runs: e (__hash__, __eq__, signal handlers). Takes time linear in what lies below the keys, and one
 * look-up for each key. Returns 0, or -1 with an exception set; then those not reached keep their
 * stale hashes, but all of them are safe to free. */
int ot_rehash(const ot_tree_t *tree, PyObject *rebuilt);

#endif
