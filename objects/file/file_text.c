/* file_text.c: SharedFile's text: encoded record by record, decoded line by line.
 *
 * Main invariant: nothing is decoded ahead: the file's position is always that of its bytes. What cannot
 * be told from bytes (n characters) is read under the file's lock, and what was too much given back.
 * Threading: the GIL, let go of while reading and writing.
 */
#include "objects/file/file_type.h"

/* ---- writing --------------------------------------------------------------------------------- */

/* \n as it stands in the file. New reference. */
static PyObject *
with_ends(const ot_file_how_t *how, PyObject *text)
{
    if (!how->cr && !how->crlf) {
        return Py_NewRef(text);
    }
    PyObject *lf = PyUnicode_FromString("\n");
    PyObject *end = PyUnicode_FromString(how->crlf ? "\r\n" : "\r");
    PyObject *result = lf == NULL || end == NULL ? NULL : PyUnicode_Replace(text, lf, end, -1);
    Py_XDECREF(lf);
    Py_XDECREF(end);
    return result;
}

int
ot_file_write_text(PyObject *self, PyObject *text, bool hold)
{
    const ot_file_how_t *how = &ot_file_of(self)->how;
    PyObject *translated = with_ends(how, text);
    if (translated == NULL) {
        return -1;
    }
    int rc = -1;
    if (how->ascii_as_is && PyUnicode_IS_ASCII(translated)) {
        rc = ot_file_write_bytes(self, PyUnicode_DATA(translated),
                                 (size_t)PyUnicode_GET_LENGTH(translated), hold);
    } else {
        PyObject *bytes = PyUnicode_AsEncodedString(translated, how->encoding, how->errors);
        if (bytes != NULL) {
            rc = ot_file_write_bytes(self, PyBytes_AS_STRING(bytes),
                                     (size_t)PyBytes_GET_SIZE(bytes), hold);
            Py_DECREF(bytes);
        }
    }
    Py_DECREF(translated);
    return rc;
}

/* ---- reading --------------------------------------------------------------------------------- */

static PyObject *
replace(PyObject *text, const char *what, const char *by)
{
    PyObject *from = PyUnicode_FromString(what);
    PyObject *to = PyUnicode_FromString(by);
    PyObject *result = from == NULL || to == NULL ? NULL : PyUnicode_Replace(text, from, to, -1);
    Py_XDECREF(from);
    Py_XDECREF(to);
    return result;
}

/* Universal newlines become \n. Refs: steals text; NULL is fine. */
static PyObject *
without_ends_steal(PyObject *self, PyObject *text)
{
    if (text == NULL || ot_file_of(self)->how.keep_ends) {
        return text;
    }
    Py_ssize_t found = PyUnicode_FindChar(text, '\r', 0, PyUnicode_GET_LENGTH(text), 1);
    if (found == -1) {
        return text;
    }
    PyObject *half = found < 0 ? NULL : replace(text, "\r\n", "\n");
    PyObject *whole = half == NULL ? NULL : replace(half, "\r", "\n");
    Py_XDECREF(half);
    Py_DECREF(text);
    return whole;
}

/* Refs: steals bytes; NULL is fine. */
static PyObject *
decode_steal(PyObject *self, PyObject *bytes)
{
    const ot_file_how_t *how = &ot_file_of(self)->how;
    PyObject *text = bytes == NULL
                         ? NULL
                         : PyUnicode_Decode(PyBytes_AS_STRING(bytes), PyBytes_GET_SIZE(bytes),
                                            how->encoding, how->errors);
    Py_XDECREF(bytes);
    return text;
}

/* Gives what is behind the first n characters back to the file. With bytes that are wrong for the
 * encoding, and replaced by an error handler, it can be some too many or too few. Refs: steals. */
static PyObject *
cut_steal(PyObject *self, PyObject *text, Py_ssize_t n)
{
    const ot_file_how_t *how = &ot_file_of(self)->how;
    PyObject *rest = PyUnicode_Substring(text, n, PyUnicode_GET_LENGTH(text));
    PyObject *bytes =
        rest == NULL ? NULL : PyUnicode_AsEncodedString(rest, how->encoding, how->errors);
    PyObject *head = bytes == NULL ? NULL : PyUnicode_Substring(text, 0, n);
    if (head != NULL) {
        ot_file_unread(ot_file_of(self), (size_t)PyBytes_GET_SIZE(bytes));
    }
    Py_XDECREF(rest);
    Py_XDECREF(bytes);
    Py_DECREF(text);
    return head;
}

/* A line of at most n characters, of which a line's end is one. The file is locked. */
static PyObject *
short_line_locked(PyObject *self, Py_ssize_t n)
{
    PyObject *raw = decode_steal(self, ot_file_line_bytes(self, -1));
    PyObject *text = raw == NULL ? NULL : without_ends_steal(self, Py_NewRef(raw));
    if (text == NULL || PyUnicode_GET_LENGTH(text) <= n) {
        Py_XDECREF(raw);
        return text;
    }
    Py_DECREF(text);
    return cut_steal(self, raw, n);
}

/* A character takes a byte at least: as many bytes as characters are missing are not too many. */
static PyObject *
some_text_locked(PyObject *self, PyObject *decoder, Py_ssize_t missing, bool *at_end)
{
    PyObject *bytes = ot_file_read_bytes(self, missing, false);
    if (bytes == NULL) {
        return NULL;
    }
    Py_ssize_t size = PyBytes_GET_SIZE(bytes);
    *at_end = size == 0;
    bool lf_may_follow = size > 0 && PyBytes_AS_STRING(bytes)[size - 1] == '\r';
    PyObject *text =
        PyObject_CallMethod(decoder, "decode", "OO", bytes, *at_end ? Py_True : Py_False);
    Py_DECREF(bytes);
    if (text == NULL || !lf_may_follow || ot_file_of(self)->how.keep_ends) {
        return without_ends_steal(self, text);
    }
    PyObject *next = ot_file_read_bytes(self, 1, false);
    if (next == NULL) {
        Py_DECREF(text);
        return NULL;
    }
    if (PyBytes_GET_SIZE(next) == 1 && PyBytes_AS_STRING(next)[0] != '\n') {
        ot_file_unread(ot_file_of(self), 1);
    }
    Py_DECREF(next); /* the \n of \r\n goes with the \r */
    return without_ends_steal(self, text);
}

/* The file is locked. */
static PyObject *
characters_locked(PyObject *self, Py_ssize_t n)
{
    const ot_file_how_t *how = &ot_file_of(self)->how;
    PyObject *decoder = PyCodec_IncrementalDecoder(how->encoding, how->errors);
    PyObject *text = decoder == NULL ? NULL : PyUnicode_FromString("");
    bool at_end = false;
    while (text != NULL && !at_end && PyUnicode_GET_LENGTH(text) < n) {
        PyObject *more = some_text_locked(self, decoder, n - PyUnicode_GET_LENGTH(text), &at_end);
        PyUnicode_AppendAndDel(&text, more); /* clears text if more is NULL */
    }
    Py_XDECREF(decoder);
    return text == NULL || PyUnicode_GET_LENGTH(text) <= n ? text : cut_steal(self, text, n);
}

/* Calls read_locked while the file is locked. */
static PyObject *
under_lock(PyObject *self, Py_ssize_t n, PyObject *(*read_locked)(PyObject *self, Py_ssize_t n))
{
    ot_waiting_t waiting;
    ot_waiting_begin(&waiting, OT_FOREVER, "acquire", &ot_file_of(self)->head);
    int rc = ot_file_lock(ot_file_of(self), ot_file_interp(self), &waiting.patience);
    ot_waiting_end(&waiting);
    if (rc != OT_FILE_OK) {
        return ot_file_raise(self, rc);
    }
    PyObject *text = read_locked(self, n);
    ot_file_unlock(ot_file_of(self));
    return text;
}

PyObject *
ot_file_read_text(PyObject *self, Py_ssize_t n)
{
    return n < 0 ? without_ends_steal(self, decode_steal(self, ot_file_read_bytes(self, -1, false)))
                 : under_lock(self, n, characters_locked);
}

PyObject *
ot_file_line_text(PyObject *self, Py_ssize_t n)
{
    return n < 0 ? without_ends_steal(self, decode_steal(self, ot_file_line_bytes(self, -1)))
                 : under_lock(self, n, short_line_locked);
}
