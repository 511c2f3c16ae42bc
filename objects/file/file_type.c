/* file_type.c: the Python type SharedFile, a file as io's with one state for all interpreters.
 *
 * Main invariant: these are handles only; a handle's own is whether it shows bytes or text.
 * Threading: the GIL of the handle's interpreter, which is let go of while waiting and in the kernel; not
 * for what only touches the buffer.
 */
#include "objects/file/file_type.h"

#include <errno.h>
#include <unistd.h>

#include "objects/core/hidden.h"
#include "runtime/import.h"

/* ---- results --------------------------------------------------------------------------------- */

PyObject *
ot_file_unsupported(const char *why)
{
    PyObject *type = ot_import_attr("io", "UnsupportedOperation");
    if (type != NULL) {
        PyErr_SetString(type, why);
        Py_DECREF(type);
    }
    return NULL;
}

PyObject *
ot_file_raise(PyObject *self, int rc)
{
    switch (rc) {
    case OT_FILE_INTERRUPTED:
        return NULL; /* whoever interrupted has set the exception */
    case OT_FILE_CLOSED:
        PyErr_SetString(PyExc_ValueError, "I/O operation on closed file.");
        return NULL;
    case OT_FILE_REENTRANT:
        PyErr_Format(PyExc_RuntimeError, "reentrant call inside %R", self);
        return NULL;
    case OT_FILE_ABANDONED:
        return ot_raise_abandoned(self);
    case ENOMEM:
        return PyErr_NoMemory();
    default:
        errno = rc;
        return PyErr_SetFromErrno(PyExc_OSError);
    }
}

static PyObject *
none_or_raise(PyObject *self, int rc)
{
    return rc == OT_FILE_OK ? Py_NewRef(Py_None) : ot_file_raise(self, rc);
}

/* The bytes as a bytes object; or NULL with the exception that the result of file.h means. Frees `from`. */
static PyObject *
bytes_or_raise(PyObject *self, int rc, ot_bytes_t *from)
{
    PyObject *bytes = NULL;
    if (rc != OT_FILE_OK) {
        ot_file_raise(self, rc);
    } else {
        bytes = PyBytes_FromStringAndSize(from->len > 0 ? from->data + from->at : NULL,
                                          (Py_ssize_t)(from->len - from->at));
    }
    ot_bytes_free(from);
    return bytes;
}

/* ---- doing it without the GIL ------------------------------------------------------------------ */

static ot_file_caller_t
begin(PyObject *self, ot_waiting_t *waiting)
{
    ot_waiting_begin(waiting, OT_FOREVER, "use", &ot_file_of(self)->head);
    return (ot_file_caller_t){ot_file_interp(self), &waiting->patience};
}

static bool
is_open_for(PyObject *self, bool reading)
{
    const ot_file_t *file = ot_file_of(self);
    if (file->closed) {
        ot_file_raise(self, OT_FILE_CLOSED);
        return false;
    }
    if (reading ? !file->how.readable : !file->how.writable) {
        ot_file_unsupported(reading ? "not readable" : "not writable");
        return false;
    }
    return true;
}

PyObject *
ot_file_read_bytes(PyObject *self, Py_ssize_t n, bool at_once)
{
    if (!is_open_for(self, true)) {
        return NULL;
    }
    ot_bytes_t out = {0};
    ot_waiting_t waiting;
    ot_file_caller_t by = begin(self, &waiting);
    int rc = ot_file_read(ot_file_of(self), by, n, at_once, &out);
    ot_waiting_end(&waiting);
    return bytes_or_raise(self, rc, &out);
}

PyObject *
ot_file_line_bytes(PyObject *self, Py_ssize_t n)
{
    if (!is_open_for(self, true)) {
        return NULL;
    }
    ot_bytes_t out = {0};
    int rc = n < 0 ? ot_file_readline_quick(ot_file_of(self), ot_file_interp(self), &out) : EAGAIN;
    if (rc == EAGAIN) {
        ot_waiting_t waiting;
        ot_file_caller_t by = begin(self, &waiting);
        rc = ot_file_readline(ot_file_of(self), by, n, &out);
        ot_waiting_end(&waiting);
    }
    return bytes_or_raise(self, rc, &out);
}

int
ot_file_write_bytes(PyObject *self, const char *data, size_t n, bool hold)
{
    if (!is_open_for(self, false)) {
        return -1;
    }
    int rc = ot_file_write_quick(ot_file_of(self), ot_file_interp(self), data, n, hold);
    if (rc == EAGAIN) {
        ot_waiting_t waiting;
        ot_file_caller_t by = begin(self, &waiting);
        rc = ot_file_write(ot_file_of(self), by, data, n, hold);
        ot_waiting_end(&waiting);
    }
    if (rc != OT_FILE_OK) {
        ot_file_raise(self, rc);
    }
    return rc == OT_FILE_OK ? 0 : -1;
}

static int
flush(PyObject *self)
{
    ot_waiting_t waiting;
    ot_file_caller_t by = begin(self, &waiting);
    int rc = ot_file_flush(ot_file_of(self), by);
    ot_waiting_end(&waiting);
    return rc;
}

/* ---- writing --------------------------------------------------------------------------------- */

static PyObject *
write_text(PyObject *self, PyObject *text)
{
    if (!PyUnicode_Check(text)) {
        return PyErr_Format(PyExc_TypeError, "write() argument must be str, not %s",
                            Py_TYPE(text)->tp_name);
    }
    Py_ssize_t n = PyUnicode_GET_LENGTH(text);
    bool hold = n == 0 || PyUnicode_READ_CHAR(text, n - 1) != '\n';
    return ot_file_write_text(self, text, hold) < 0 ? NULL : PyLong_FromSsize_t(n);
}

static PyObject *
write_bytes(PyObject *self, PyObject *data)
{
    Py_buffer buffer;
    if (PyUnicode_Check(data)) {
        return PyErr_Format(PyExc_TypeError, "a bytes-like object is required, not 'str'");
    }
    if (PyObject_GetBuffer(data, &buffer, PyBUF_CONTIG_RO) < 0) {
        return NULL;
    }
    int rc = ot_file_write_bytes(self, buffer.buf, (size_t)buffer.len, false);
    Py_ssize_t n = buffer.len;
    PyBuffer_Release(&buffer);
    return rc < 0 ? NULL : PyLong_FromSsize_t(n);
}

static PyObject *
file_write(PyObject *self, PyObject *data)
{
    return ot_file_is_text(self) ? write_text(self, data) : write_bytes(self, data);
}

/* All lines are one record, so they stand together in the file. */
static PyObject *
file_writelines(PyObject *self, PyObject *lines)
{
    bool text = ot_file_is_text(self);
    PyObject *empty = text ? PyUnicode_FromString("") : PyBytes_FromStringAndSize(NULL, 0);
    PyObject *all = empty == NULL ? NULL : PyObject_CallMethod(empty, "join", "O", lines);
    PyObject *done = NULL;
    if (all != NULL && text) {
        done = ot_file_write_text(self, all, false) < 0 ? NULL : Py_NewRef(Py_None);
    } else if (all != NULL) {
        PyObject *n = write_bytes(self, all);
        done = n == NULL ? NULL : Py_NewRef(Py_None);
        Py_XDECREF(n);
    }
    Py_XDECREF(empty);
    Py_XDECREF(all);
    return done;
}

/* What print() would write; `end` is joined as the last of all, with sep taken for "". */
static PyObject *
printed(PyObject *args, PyObject *sep, PyObject *end)
{
    Py_ssize_t n = PyTuple_GET_SIZE(args);
    PyObject *parts = ot_hidden(PyList_New(n));
    for (Py_ssize_t i = 0; parts != NULL && i < n; i++) {
        PyObject *part = PyObject_Str(PyTuple_GET_ITEM(args, i));
        if (part == NULL) {
            Py_CLEAR(parts);
        } else {
            PyList_SET_ITEM(parts, i, part);
        }
    }
    PyObject *text = parts == NULL ? NULL : PyUnicode_Join(sep, parts);
    Py_XDECREF(parts);
    PyUnicode_Append(&text, end); /* does nothing to NULL */
    return text;
}

/* A str of the caller's, or the default for None; a new reference. */
static PyObject *
str_or(PyObject *given, const char *name, const char *fallback)
{
    if (given == Py_None) {
        return PyUnicode_FromString(fallback);
    }
    if (PyUnicode_Check(given)) {
        return Py_NewRef(given);
    }
    return PyErr_Format(PyExc_TypeError, "%s must be None or a string, not %s", name,
                        Py_TYPE(given)->tp_name);
}

static PyObject *
file_print(PyObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"sep", "end", "flush", NULL};
    PyObject *sep = Py_None, *end = Py_None, *none = PyTuple_New(0);
    int flushing = 0;
    bool parsed = none != NULL && PyArg_ParseTupleAndKeywords(none, kwargs, "|$OOp:print", names,
                                                              &sep, &end, &flushing);
    Py_XDECREF(none);
    if (!parsed) {
        return NULL;
    }
    if (!ot_file_is_text(self)) {
        return ot_file_unsupported("print needs a text file");
    }
    sep = str_or(sep, "sep", " ");
    end = sep == NULL ? NULL : str_or(end, "end", "\n");
    PyObject *text = end == NULL ? NULL : printed(args, sep, end);
    Py_XDECREF(sep);
    Py_XDECREF(end);
    int rc = text == NULL ? -1 : ot_file_write_text(self, text, false);
    Py_XDECREF(text);
    if (rc < 0) {
        return NULL;
    }
    return flushing ? none_or_raise(self, flush(self)) : Py_NewRef(Py_None);
}

static PyObject *
file_flush(PyObject *self, PyObject *unused)
{
    (void)unused;
    return none_or_raise(self, flush(self));
}

static PyObject *
file_close(PyObject *self, PyObject *unused)
{
    (void)unused;
    ot_waiting_t waiting;
    ot_file_caller_t by = begin(self, &waiting);
    int rc = ot_file_close(ot_file_of(self), by);
    ot_waiting_end(&waiting);
    return none_or_raise(self, rc);
}

/* ---- reading --------------------------------------------------------------------------------- */

/* None, or an index; -1 with an exception set, which negative sizes are not. */
static int
size_from(PyObject *arg, Py_ssize_t *size)
{
    *size = -1;
    if (arg != NULL && arg != Py_None) {
        *size = PyNumber_AsSsize_t(arg, PyExc_OverflowError);
        if (*size == -1 && PyErr_Occurred()) {
            return -1;
        }
    }
    return 0;
}

static int
parse_size(PyObject *args, const char *format, Py_ssize_t *size)
{
    PyObject *arg = NULL;
    return PyArg_ParseTuple(args, format, &arg) ? size_from(arg, size) : -1;
}

static PyObject *
file_read(PyObject *self, PyObject *args)
{
    Py_ssize_t n;
    if (parse_size(args, "|O:read", &n) < 0 || !is_open_for(self, true)) {
        return NULL;
    }
    return ot_file_is_text(self) ? ot_file_read_text(self, n) : ot_file_read_bytes(self, n, false);
}

static PyObject *
file_read1(PyObject *self, PyObject *args)
{
    Py_ssize_t n;
    if (parse_size(args, "|O:read1", &n) < 0) {
        return NULL;
    }
    return ot_file_is_text(self) ? ot_file_unsupported("read1 needs a binary file")
                                 : ot_file_read_bytes(self, n, true);
}

static PyObject *
file_readinto(PyObject *self, PyObject *into)
{
    Py_buffer buffer;
    if (ot_file_is_text(self)) {
        return ot_file_unsupported("readinto needs a binary file");
    }
    if (PyObject_GetBuffer(into, &buffer, PyBUF_WRITABLE | PyBUF_C_CONTIGUOUS) < 0) {
        return NULL;
    }
    PyObject *n = NULL, *bytes = ot_file_read_bytes(self, buffer.len, false);
    if (bytes != NULL) {
        memcpy(buffer.buf, PyBytes_AS_STRING(bytes), (size_t)PyBytes_GET_SIZE(bytes));
        n = PyLong_FromSsize_t(PyBytes_GET_SIZE(bytes));
        Py_DECREF(bytes);
    }
    PyBuffer_Release(&buffer);
    return n;
}

static PyObject *
line(PyObject *self, Py_ssize_t n)
{
    if (!is_open_for(self, true)) {
        return NULL;
    }
    return ot_file_is_text(self) ? ot_file_line_text(self, n) : ot_file_line_bytes(self, n);
}

static PyObject *
file_readline(PyObject *self, PyObject *args)
{
    Py_ssize_t n;
    return parse_size(args, "|O:readline", &n) < 0 ? NULL : line(self, n);
}

static PyObject *
file_next(PyObject *self)
{
    PyObject *next = line(self, -1);
    if (next != NULL && PyObject_Size(next) == 0) {
        Py_CLEAR(next); /* NULL without an exception ends an iteration */
    }
    return next;
}

static PyObject *
file_readlines(PyObject *self, PyObject *args)
{
    Py_ssize_t hint, seen = 0;
    PyObject *lines = parse_size(args, "|O:readlines", &hint) < 0 ? NULL : PyList_New(0);
    bool enough = false; /* as io's: after the line that goes beyond the hint */
    while (lines != NULL && !enough) {
        PyObject *next = file_next(self);
        if (next == NULL && !PyErr_Occurred()) {
            break;
        }
        if (next == NULL || PyList_Append(lines, next) < 0) {
            Py_CLEAR(lines);
        } else {
            Py_ssize_t n = PyObject_Size(next);
            enough = hint > 0 && n > hint - seen;
            seen += n;
        }
        Py_XDECREF(next);
    }
    return lines;
}

/* ---- the position ---------------------------------------------------------------------------- */

static PyObject *
position(PyObject *self, int64_t at, int whence)
{
    if (ot_file_of(self)->closed) {
        return ot_file_raise(self, OT_FILE_CLOSED);
    }
    if (!ot_file_of(self)->how.seekable) {
        return ot_file_unsupported("underlying stream is not seekable");
    }
    ot_waiting_t waiting;
    ot_file_caller_t by = begin(self, &waiting);
    int rc = ot_file_seek(ot_file_of(self), by, whence, &at);
    ot_waiting_end(&waiting);
    return rc == OT_FILE_OK ? PyLong_FromLongLong(at) : ot_file_raise(self, rc);
}

static PyObject *
file_seek(PyObject *self, PyObject *args)
{
    long long at;
    int whence = 0;
    if (!PyArg_ParseTuple(args, "L|i:seek", &at, &whence)) {
        return NULL;
    }
    if (ot_file_is_text(self) && whence != SEEK_SET && at != 0) {
        return ot_file_unsupported(whence == SEEK_CUR ? "can't do nonzero cur-relative seeks"
                                                      : "can't do nonzero end-relative seeks");
    }
    if (whence == SEEK_SET && at < 0) {
        return PyErr_Format(PyExc_ValueError, "negative seek position %lld", at);
    }
    return position(self, at, whence);
}

static PyObject *
file_tell(PyObject *self, PyObject *unused)
{
    (void)unused;
    return position(self, 0, SEEK_CUR);
}

static PyObject *
file_truncate(PyObject *self, PyObject *args)
{
    PyObject *arg = Py_None;
    long long size = -1;
    if (!PyArg_ParseTuple(args, "|O:truncate", &arg) || !is_open_for(self, false)) {
        return NULL;
    }
    if (arg != Py_None) {
        size = PyLong_AsLongLong(arg);
        if (PyErr_Occurred()) {
            return NULL;
        }
        if (size < 0) {
            errno = EINVAL;
            return PyErr_SetFromErrno(PyExc_OSError);
        }
    }
    int64_t result = size;
    ot_waiting_t waiting;
    ot_file_caller_t by = begin(self, &waiting);
    int rc = ot_file_truncate(ot_file_of(self), by, &result);
    ot_waiting_end(&waiting);
    return rc == OT_FILE_OK ? PyLong_FromLongLong(result) : ot_file_raise(self, rc);
}

static PyObject *
file_read_at(PyObject *self, PyObject *args)
{
    Py_ssize_t n;
    long long at;
    if (!PyArg_ParseTuple(args, "nL:read_at", &n, &at) || !is_open_for(self, true)) {
        return NULL;
    }
    if (n < 0 || at < 0) {
        return PyErr_Format(PyExc_ValueError, "size and offset must not be negative");
    }
    ot_bytes_t out = {0};
    ot_waiting_t waiting;
    ot_file_caller_t by = begin(self, &waiting);
    int rc = ot_file_read_at(ot_file_of(self), by, at, (size_t)n, &out);
    ot_waiting_end(&waiting);
    return bytes_or_raise(self, rc, &out);
}

static PyObject *
file_write_at(PyObject *self, PyObject *args)
{
    Py_buffer data;
    long long at;
    if (!PyArg_ParseTuple(args, "y*L:write_at", &data, &at)) {
        return NULL;
    }
    PyObject *result = NULL;
    if (is_open_for(self, false)) {
        if (ot_file_of(self)->how.appending) {
            ot_file_unsupported("append mode writes at the end");
        } else if (at < 0) {
            PyErr_SetString(PyExc_ValueError, "the offset must not be negative");
        } else {
            ot_waiting_t waiting;
            ot_file_caller_t by = begin(self, &waiting);
            int rc = ot_file_write_at(ot_file_of(self), by, at, data.buf, (size_t)data.len);
            ot_waiting_end(&waiting);
            result = rc == OT_FILE_OK ? PyLong_FromSsize_t(data.len) : ot_file_raise(self, rc);
        }
    }
    PyBuffer_Release(&data);
    return result;
}

/* ---- what it is ------------------------------------------------------------------------------ */

/* True or False, ValueError once it is closed, as in io. */
static PyObject *
ability(PyObject *self, bool is)
{
    return ot_file_of(self)->closed ? ot_file_raise(self, OT_FILE_CLOSED) : PyBool_FromLong(is);
}

static PyObject *
file_readable(PyObject *self, PyObject *unused)
{
    (void)unused;
    return ability(self, ot_file_of(self)->how.readable);
}

static PyObject *
file_writable(PyObject *self, PyObject *unused)
{
    (void)unused;
    return ability(self, ot_file_of(self)->how.writable);
}

static PyObject *
file_seekable(PyObject *self, PyObject *unused)
{
    (void)unused;
    return ability(self, ot_file_of(self)->how.seekable);
}

static PyObject *
file_isatty(PyObject *self, PyObject *unused)
{
    (void)unused;
    return ability(self, !ot_file_of(self)->closed && isatty(ot_file_of(self)->how.fd));
}

static PyObject *
file_fileno(PyObject *self, PyObject *unused)
{
    (void)unused;
    return ot_file_of(self)->closed ? ot_file_raise(self, OT_FILE_CLOSED)
                                    : PyLong_FromLong(ot_file_of(self)->how.fd);
}

static PyObject *
file_detach(PyObject *self, PyObject *unused)
{
    (void)self;
    (void)unused;
    return ot_file_unsupported("other interpreters may use it");
}

static PyObject *
file_locked(PyObject *self, PyObject *unused)
{
    (void)unused;
    ot_lock_t *lock = ot_file_of(self)->lock;
    ot_shared_ref(&lock->head);
    return ot_handle_steal(ot_as_handle(self)->home, &lock->head);
}

static PyObject *
file_enter(PyObject *self, PyObject *unused)
{
    (void)unused;
    return ot_file_of(self)->closed ? ot_file_raise(self, OT_FILE_CLOSED) : Py_NewRef(self);
}

static PyObject *
file_exit(PyObject *self, PyObject *args)
{
    (void)args;
    return file_close(self, NULL);
}

static PyObject *
file_iter(PyObject *self)
{
    return file_enter(self, NULL);
}

/* ---- life ------------------------------------------------------------------------------------ */

static PyObject *
file_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    (void)type;
    ot_objects_t *home = ot_objects_current();
    ot_file_t *file = home == NULL ? NULL : ot_file_open(args, kwargs);
    return file == NULL ? NULL : ot_handle_steal(home, &file->head);
}

static bool
save_binary(PyObject *self, void *to)
{
    *(char *)to = 'b';
    return ((ot_file_handle_t *)self)->binary;
}

static int
restore_binary(PyObject *self, const void *from)
{
    (void)from;
    ((ot_file_handle_t *)self)->binary = true;
    return 0;
}

static const ot_handle_extra_t extra = {.size = 1, .save = save_binary, .restore = restore_binary};

/* ---- the type -------------------------------------------------------------------------------- */

static PyMethodDef methods[] = {
    {"write", file_write, METH_O,
     "write($self, data, /)\n--\n\n"
     "Write a str (to a text file) or bytes, in one piece; return how many.\n\n"
     "Text that does not end a line is kept for its thread until the line's end comes, or the\n"
     "thread flushes, reads or seeks; so the lines of print(..., file=f) come out whole."},
    {"writelines", file_writelines, METH_O,
     "writelines($self, lines, /)\n--\n\nWrite all of them in one piece; no ends are added."},
    {"print", OT_METHOD(file_print), METH_VARARGS | METH_KEYWORDS,
     "print($self, *args, sep=' ', end='\\n', flush=False)\n--\n\n"
     "What print(*args, file=self) does, in one piece whatever the arguments are.\n\n"
     ">>> f.print('a\\n', 'b', end='')"},
    {"locked", file_locked, METH_NOARGS,
     "locked($self)\n--\n\n"
     "The file's lock, an RLock: who holds it is alone with the file.\n\n"
     ">>> with f.locked():\n...     f.write('one '); f.write('piece\\n')"},
    {"flush", file_flush, METH_NOARGS,
     "flush($self)\n--\n\n"
     "Write what is in the buffer, this thread's unfinished line included. Raises OSError."},
    {"close", file_close, METH_NOARGS,
     "close($self)\n--\n\nWrite everything and close it, for all interpreters."},
    {"read", file_read, METH_VARARGS,
     "read($self, size=-1, /)\n--\n\n"
     "Read so many characters (or bytes), or all; less at the end of the file only."},
    {"read1", file_read1, METH_VARARGS,
     "read1($self, size=-1, /)\n--\n\nRead bytes that are there, or come by one system call."},
    {"readinto", file_readinto, METH_O,
     "readinto($self, buffer, /)\n--\n\nFill a writable buffer with bytes; return how many."},
    {"readline", file_readline, METH_VARARGS,
     "readline($self, size=-1, /)\n--\n\n"
     "The next line, which no other reader gets; empty at the end of the file."},
    {"readlines", file_readlines, METH_VARARGS,
     "readlines($self, hint=-1, /)\n--\n\nThe lines up to the end, or for about hint characters."},
    {"read_at", file_read_at, METH_VARARGS,
     "read_at($self, size, offset, /)\n--\n\n"
     "Bytes from an offset; the position stays. Fewer at the end of the file only."},
    {"write_at", file_write_at, METH_VARARGS,
     "write_at($self, data, offset, /)\n--\n\n"
     "Write bytes at an offset; the position stays. Not in append mode."},
    {"seek", file_seek, METH_VARARGS,
     "seek($self, offset, whence=0, /)\n--\n\nMove everybody's position; return it, in bytes."},
    {"tell", file_tell, METH_NOARGS, "tell($self)\n--\n\nThe position, in bytes."},
    {"truncate", file_truncate, METH_VARARGS,
     "truncate($self, size=None, /)\n--\n\nCut or stretch it to size, by default the position."},
    {"readable", file_readable, METH_NOARGS, "readable($self)\n--\n\nWhether it can be read."},
    {"writable", file_writable, METH_NOARGS, "writable($self)\n--\n\nWhether it can be written."},
    {"seekable", file_seekable, METH_NOARGS, "seekable($self)\n--\n\nWhether it has a position."},
    {"isatty", file_isatty, METH_NOARGS, "isatty($self)\n--\n\nWhether it is a terminal."},
    {"fileno", file_fileno, METH_NOARGS, "fileno($self)\n--\n\nThe file descriptor."},
    {"detach", file_detach, METH_NOARGS, "detach($self)\n--\n\nNot supported."},
    {"__class_getitem__", Py_GenericAlias, METH_O | METH_CLASS, "SharedFile[str]"},
    {"__enter__", file_enter, METH_NOARGS, NULL},
    {"__exit__", file_exit, METH_VARARGS, "Close it, for all."},
    {"__reduce__", ot_handle_reduce, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc,
     "SharedFile(file, mode='r', buffering=-1, encoding=None, errors=None, newline=None, "
     "closefd=True)\n--\n\n"
     "One open file for all interpreters of the process: one position, one buffer.\n\n"
     "The arguments are open()'s. What one call writes is in the file in one piece, whoever\n"
     "else writes; each line is read by one reader. close() closes it for all, and so does\n"
     "the last handle. The encoding must write '\\n' as one byte and start with no mark.\n\n"
     ">>> with SharedFile('log', 'a') as log: log.print('done', 3)"},
    {Py_tp_new, file_new},
    OT_HANDLE_LIFE,
    {Py_tp_repr, ot_file_repr},
    OT_HANDLE_IDENTITY,
    {Py_tp_iter, file_iter},
    {Py_tp_iternext, file_next},
    {Py_tp_methods, methods},
    {Py_tp_getset, ot_file_getset},
    {0, NULL},
};

static PyType_Spec spec = {
    .name = "objtunnel.SharedFile",
    .basicsize = sizeof(ot_file_handle_t),
    .flags = OT_HANDLE_FLAGS,
    .slots = slots,
};

int
ot_file_type_add(ot_objects_t *home)
{
    PyTypeObject *type = ot_handle_add_type(home, &ot_file_kind, &spec, &extra);
    return type == NULL ? -1 : ot_import_register(type, "io", "IOBase");
}
