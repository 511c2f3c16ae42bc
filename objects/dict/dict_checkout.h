/* dict_checkout.h: a key of a LockingDict in one's exclusive possession, as a Python object.
 *
 * Invariant: the key is held while `claim` is not NULL. Then `tree` is not NULL, or the tree is lent: to
 * an operation of this checkout that runs Python code with it (putting it back pickles). An operation
 * that finds it lent raises; so nobody but the borrower refers to the tree, and nobody can drop it.
 * The tree is in the checkout, lent, or back in the map: where putting it back fails, it stays.
 * Threading: the GIL of the checkout's interpreter, which the borrower may let go of.
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
    bool to_be_released; /* putting the tree back was tried, and failed */
} ot_checkout_t;

ot_checkout_t *ot_checkout_new(PyObject *dict, PyObject *key, PyObject *timeout);

/* Takes the key, waits for it if need be. Missing: `otherwise` (borrowed) is what is there, or KeyError
 * if that is NULL. TimeoutError. 0 or -1. */
int ot_checkout_acquire(ot_checkout_t *c, PyObject *otherwise);

/* The tree, owned by the caller, who gives it back by one of those below. NULL with RuntimeError: not
 * held, or lent already. */
PyObject *ot_checkout_lend(ot_checkout_t *c);

/* Refs: steals the tree. */
void ot_checkout_return_steal(ot_checkout_t *c, PyObject *tree);

/* Puts what was lent, or another tree in its place, back into the map, which ends the checkout. -1: it
 * cannot be put into a value (exception), and nothing has changed. Refs: steals the tree on success. */
int ot_checkout_put_back(ot_checkout_t *c, PyObject *tree);

/* Ends it without a value: the key is gone. Refs: steals what was lent. */
void ot_checkout_forget_steal(ot_checkout_t *c, PyObject *tree);

#endif
