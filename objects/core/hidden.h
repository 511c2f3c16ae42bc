/* hidden.h: lists and tuples that nobody sees until they are full.
 *
 * Purpose: what is made and filled item by item, while Python code runs or the GIL is let go of, has
 * places that hold nothing. A program that asks gc.get_objects() for it and reads such a place crashes; one
 * that shortens such a list has us write beyond its end.
 * Main invariant: the collector does not know the object, so nobody else has a reference to it. To the
 * collector its items look as if they were referred to from outside.
 * Threading: the GIL of the object's interpreter.
 */
#ifndef OT_OBJECTS_HIDDEN_H
#define OT_OBJECTS_HIDDEN_H

#include "runtime/cpython/version.h"

/* new: what PyList_New or PyTuple_New has returned, NULL too. Returns it. */
static inline PyObject *
ot_hidden(PyObject *new)
{
    if (new != NULL) {
        PyObject_GC_UnTrack(new);
    }
    return new;
}

/* The object is full: from here on it is as any other. Returns it; NULL is fine. */
static inline PyObject *
ot_hidden_show(PyObject *o)
{
    if (o != NULL) {
        PyObject_GC_Track(o);
    }
    return o;
}

#endif
