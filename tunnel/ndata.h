/* ndata.h: the data of an array of any number of dimensions, on their way between interpreters.
 *
 * NumPy's arrays cannot change interpreters: only one of them can import NumPy. Their data can. A message
 * has them apart from its objects, with what is needed to make an array of them again: an ndarray where
 * NumPy is imported, elsewhere a memoryview (of one dimension: an array.array).
 *
 * Main invariant: data is a block of so many bytes from malloc(), in C order, that the struct owns; NULL only
 * while the sender's array still has it, or once an object of the receiver's has it.
 * Threading: the count is atomic; what is in the struct changes only where one thread has the only reference.
 */
#ifndef OT_TUNNEL_NDATA_H
#define OT_TUNNEL_NDATA_H

#include "atomics/refcount.h"
#include "runtime/cpython/version.h"

typedef struct {
    ot_ref_t ref;
    char *data;
    Py_ssize_t len, itemsize;
    char format[2]; /* one of struct's native characters */
    bool readonly;
    int ndim;
    Py_ssize_t *strides; /* behind shape */
    Py_ssize_t shape[];
} ot_ndata_t;

/* Which native format of one character the items have, as memoryview.cast knows them; '\0' if none. */
char ot_ndata_format(const Py_buffer *view);

/* A new one of the view's shape, with a copy of what it shows or (copy is false) without data yet.
 * NULL with MemoryError. Runs: m. */
ot_ndata_t *ot_ndata_new(const Py_buffer *view, bool copy);

/* A copy with data of its own. NULL with MemoryError. Runs: m. */
ot_ndata_t *ot_ndata_copy(const ot_ndata_t *from);

/* Neither needs a thread state. The last unref frees the data, too; NULL is fine. */
void ot_ndata_ref(ot_ndata_t *n);
void ot_ndata_unref(ot_ndata_t *n);

/* ---- ArrayData: what a memoryview of such data looks into ------------------------------------------- */

/* Each interpreter has a type of its own, made of this. */
extern PyType_Spec ot_array_data_spec;

/* A memoryview of n's data, in n's shape; it holds a reference to n. A new reference; NULL with an
 * exception. Needs: `type` is this interpreter's ArrayData. Runs: m. */
PyObject *ot_ndata_view(PyTypeObject *type, ot_ndata_t *n);

/* The data of an ArrayData of any interpreter; NULL if o is something else. Borrowed. */
ot_ndata_t *ot_array_data_of(PyObject *o);

/* Has an ArrayData that nobody can look into any more give up its reference. */
void ot_array_data_forget(PyObject *o);

#endif
