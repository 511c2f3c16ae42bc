/* dict_checkout.h: a key of a LockingDict in one's exclusive possession, as a Python object.
 *
 * Invariant: `tree` is not NULL exactly while the key is held, that is, `claim` is not NULL. The tree
 * is in the checkout or back in the map, never in neither: where putting it back fails, it stays.
 */
#ifndef OT_OBJECTS_DICT_CHECKOUT_H
#define OT_OBJECTS_DICT_CHECKOUT_H

#include "objects/dict/dict.h"

typedef struct {
    PyObject_HEAD
    PyObject *dict, *key; /* the handle, the key as it was given */
    PyObject *timeout;
    ot_claim_t *claim;
    PyObject *tree;
    bool to_be_released; /* that was tried, and failed */
} ot_checkout_t;

ot_checkout_t *ot_checkout_new(PyObject *dict, PyObject *key, PyObject *timeout);

/* Takes the key, waits for it if need be. Missing: `otherwise` (borrowed) is what is there, or KeyError
 * if that is NULL. TimeoutError. 0 or -1. */
int ot_checkout_acquire(ot_checkout_t *c, PyObject *otherwise);

/* Puts the tree back. -1: it cannot be put into a value (exception); then it is still held. */
int ot_checkout_release(ot_checkout_t *c);

/* Ends it without a value: the key is gone. */
void ot_checkout_forget(ot_checkout_t *c);

#endif
