/* rehash.h: dicts and sets whose keys were rebuilt (unpickled, or copied NaNs) look themselves
 * up by stale hashes; here they are put right. */
#ifndef OT_TUNNEL_REHASH_H
#define OT_TUNNEL_REHASH_H

#include "tunnel/tree.h"

/* Rehashes every container of the tree marked OT_NEEDS_REHASH, which is attached already.
 * Runs: e (__hash__, __eq__). Returns 0, or -1 with an exception set; then those not reached
 * keep their stale hashes, but all of them are safe to free. */
int ot_rehash(const ot_tree_t *tree);

#endif
