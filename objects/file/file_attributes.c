/* file_attributes.c: SharedFile's attributes and repr: how it was opened, which never changes, and whether
 * it is closed.
 *
 * Main invariant: nothing here touches what the file's lock guards (`closed` is atomic).
 * Threading: the GIL of the handle's interpreter.
 */
#include "objects/file/file_type.h"

static PyObject *
get_closed(PyObject *self, void *unused)
{
    (void)unused;
    return PyBool_FromLong(ot_file_of(self)->closed);
}

static PyObject *
get_name(PyObject *self, void *unused)
{
    (void)unused;
    const ot_file_how_t *how = &ot_file_of(self)->how;
    return how->by_fd ? PyLong_FromLong(how->fd) : PyUnicode_DecodeFSDefault(how->name);
}

static PyObject *
get_mode(PyObject *self, void *unused)
{
    (void)unused;
    return PyUnicode_FromString(ot_file_of(self)->how.mode);
}

/* Attributes that only text files have. */
static PyObject *
text_only(PyObject *self, const char *name, PyObject *value)
{
    if (!ot_file_is_text(self)) {
        Py_XDECREF(value);
        return PyErr_Format(PyExc_AttributeError, "a binary SharedFile has no attribute '%s'",
                            name);
    }
    return value;
}

static PyObject *
get_encoding(PyObject *self, void *unused)
{
    (void)unused;
    const char *encoding = ot_file_of(self)->how.encoding;
    return text_only(self, "encoding", encoding == NULL ? NULL : PyUnicode_FromString(encoding));
}

static PyObject *
get_errors(PyObject *self, void *unused)
{
    (void)unused;
    const char *errors = ot_file_of(self)->how.errors;
    return text_only(self, "errors", errors == NULL ? NULL : PyUnicode_FromString(errors));
}

static PyObject *
get_newlines(PyObject *self, void *unused)
{
    (void)unused;
    return text_only(self, "newlines", Py_NewRef(Py_None));
}

static PyObject *
get_line_buffering(PyObject *self, void *unused)
{
    (void)unused;
    return text_only(self, "line_buffering", PyBool_FromLong(ot_file_of(self)->how.line_buffered));
}

static PyObject *
get_buffer(PyObject *self, void *unused)
{
    (void)unused;
    if (!ot_file_is_text(self)) {
        return text_only(self, "buffer", NULL);
    }
    ot_shared_ref(ot_as_handle(self)->shared);
    PyObject *bytes = ot_handle_steal(ot_as_handle(self)->home, ot_as_handle(self)->shared);
    if (bytes != NULL) {
        ((ot_file_handle_t *)bytes)->binary = true;
    }
    return bytes;
}

PyObject *
ot_file_repr(PyObject *self)
{
    const ot_file_t *file = ot_file_of(self);
    PyObject *name = get_name(self, NULL);
    PyObject *repr = NULL;
    if (name != NULL) {
        repr =
            PyUnicode_FromFormat("<%sobjtunnel.SharedFile %llu name=%R mode='%s'%s%s%s at %p>",
                                 file->closed ? "closed " : "", (unsigned long long)file->head.id,
                                 name, file->how.mode, ot_file_is_text(self) ? " encoding='" : "",
                                 ot_file_is_text(self) ? file->how.encoding : "",
                                 ot_file_is_text(self) ? "'" : "", (void *)self);
        Py_DECREF(name);
    }
    return repr;
}

PyGetSetDef ot_file_getset[] = {
    OT_HANDLE_ID,
    {"closed", get_closed, NULL, "Whether anybody has closed it.", NULL},
    {"name", get_name, NULL, "Path or descriptor that it was made from.", NULL},
    {"mode", get_mode, NULL, "Mode that it was opened with.", NULL},
    {"encoding", get_encoding, NULL, "Of a text file: its encoding.", NULL},
    {"errors", get_errors, NULL, "Of a text file: what becomes of what can't be coded.", NULL},
    {"newlines", get_newlines, NULL, "Of a text file: None; which ends were met is not kept.",
     NULL},
    {"line_buffering", get_line_buffering, NULL, "Whether each line is written at once.", NULL},
    {"buffer", get_buffer, NULL, "Of a text file: the same file as a binary one.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};
