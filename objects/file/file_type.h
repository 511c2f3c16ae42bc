/* file_type.h: the parts of the Python type SharedFile.
 *
 * Shared rules: every function needs an attached thread state, that of the handle's interpreter; and
 * returns NULL or -1 with an exception set.
 */
#ifndef OT_OBJECTS_FILE_TYPE_H
#define OT_OBJECTS_FILE_TYPE_H

#include "objects/file/file.h"
#include "objects/sync/sync_type.h"

/* binary: shows a text file's bytes (its .buffer). */
typedef struct {
    ot_handle_t handle;
    bool binary;
} ot_file_handle_t;

static inline ot_file_t *
ot_file_of(PyObject *self)
{
    return (ot_file_t *)ot_as_handle(self)->shared;
}

static inline bool
ot_file_is_text(PyObject *self)
{
    return ot_file_of(self)->how.text && !((ot_file_handle_t *)self)->binary;
}

static inline int64_t
ot_file_interp(PyObject *self)
{
    return ot_as_handle(self)->home->interp_id;
}

/* ---- file_open.c ----------------------------------------------------------------------------- */

/* SharedFile's arguments to an open file, a new reference. Runs: e. */
ot_file_t *ot_file_open(PyObject *args, PyObject *kwargs);

/* ---- file_type.c ----------------------------------------------------------------------------- */

/* What a result of file.h means; NULL always. */
PyObject *ot_file_raise(PyObject *self, int rc);

/* Raises io.UnsupportedOperation. NULL always. */
PyObject *ot_file_unsupported(const char *why);

/* read() and readline() as bytes; the GIL is let go of. Negative n: all. An empty result: the end of the file. */
PyObject *ot_file_read_bytes(PyObject *self, Py_ssize_t n, bool at_once);
PyObject *ot_file_line_bytes(PyObject *self, Py_ssize_t n);

int ot_file_write_bytes(PyObject *self, const char *data, size_t n, bool hold);

/* 0, or -1 with an exception set. */
int ot_file_type_add(ot_objects_t *home);

/* ---- file_attributes.c ----------------------------------------------------------------------- */

extern PyGetSetDef ot_file_getset[];
PyObject *ot_file_repr(PyObject *self);

/* ---- file_text.c ----------------------------------------------------------------------------- */

/* read(n) as text: n characters; negative: all. */
PyObject *ot_file_read_text(PyObject *self, Py_ssize_t n);
PyObject *ot_file_line_text(PyObject *self, Py_ssize_t n);

/* Encodes and writes; hold: may be kept until the line is complete. */
int ot_file_write_text(PyObject *self, PyObject *text, bool hold);

#endif
