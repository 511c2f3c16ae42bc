/* file_open.c: what SharedFile's arguments mean: open()'s.
 *
 * Main invariant: on failure no descriptor is left open that was not given.
 * Threading: the GIL, let go of in open(2), which may block (a FIFO).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "objects/file/file_type.h"

enum { BUFFER = 1 << 16 };

typedef struct {
    PyObject *file;
    const char *mode, *encoding, *errors, *newline;
    int buffering, closefd;
    int flags;     /* of open(2) */
    bool updating; /* + */
} request_t;

/* ---- modes ----------------------------------------------------------------------------------- */

static int
bad(const char *why)
{
    PyErr_SetString(PyExc_ValueError, why);
    return -1;
}

static int
flags_of(char kind)
{
    switch (kind) {
    case 'w':
        return O_CREAT | O_TRUNC;
    case 'x':
        return O_CREAT | O_EXCL;
    case 'a':
        return O_CREAT | O_APPEND;
    default:
        return 0;
    }
}

static int
parse_mode(request_t *request, ot_file_how_t *how)
{
    char kind = 0;
    bool text = false, binary = false;
    for (const char *c = request->mode; *c != '\0'; c++) {
        if (strchr(c + 1, *c) != NULL || strchr("rwaxbt+", *c) == NULL) {
            PyErr_Format(PyExc_ValueError, "invalid mode: '%s'", request->mode);
            return -1;
        }
        if (strchr("rwax", *c) != NULL) {
            if (kind != 0) {
                return bad("must have exactly one of create/read/write/append mode");
            }
            kind = *c;
        }
        text |= *c == 't';
        binary |= *c == 'b';
        request->updating |= *c == '+';
    }
    if (kind == 0) {
        return bad("must have exactly one of create/read/write/append mode");
    }
    if (text && binary) {
        return bad("can't have text and binary mode at once");
    }
    how->text = !binary;
    how->readable = kind == 'r' || request->updating;
    how->writable = kind != 'r' || request->updating;
    request->flags = O_CLOEXEC | flags_of(kind) |
                     (request->updating ? O_RDWR
                      : kind == 'r'     ? O_RDONLY
                                        : O_WRONLY);
    return 0;
}

static int
parse_newline(const request_t *request, ot_file_how_t *how)
{
    const char *newline = request->newline;
    how->ends = how->text ? OT_NEWLINE_UNIVERSAL : OT_NEWLINE_LF;
    how->keep_ends = newline != NULL;
    if (newline == NULL || *newline == '\0') {
        return 0;
    }
    how->ends = strcmp(newline, "\n") == 0     ? OT_NEWLINE_LF
                : strcmp(newline, "\r") == 0   ? OT_NEWLINE_CR
                : strcmp(newline, "\r\n") == 0 ? OT_NEWLINE_CRLF
                                               : OT_NEWLINE_UNIVERSAL;
    if (how->ends == OT_NEWLINE_UNIVERSAL) {
        PyErr_Format(PyExc_ValueError, "illegal newline value: %s", newline);
        return -1;
    }
    how->cr = how->ends == OT_NEWLINE_CR;
    how->crlf = how->ends == OT_NEWLINE_CRLF;
    return 0;
}

static int
check_request(const request_t *request, const ot_file_how_t *how)
{
    if (!how->text && (request->encoding || request->errors || request->newline)) {
        return bad("binary mode doesn't take an encoding, errors or newline argument");
    }
    if (request->buffering == 0 && how->text) {
        return bad("can't have unbuffered text I/O");
    }
    if (request->buffering < -1) {
        return bad("invalid buffering size");
    }
    return 0;
}

/* ---- text ------------------------------------------------------------------------------------ */

/* New reference to the name of the encoding that open() would take. */
static PyObject *
encoding_name(const char *encoding)
{
    bool is_locale = encoding != NULL && strcmp(encoding, "locale") == 0;
    if (encoding != NULL && !is_locale) {
        return PyUnicode_FromString(encoding);
    }
    PyObject *locale = PyImport_ImportModule("locale");
    PyObject *name = NULL;
    if (locale != NULL) {
        name = is_locale ? PyObject_CallMethod(locale, "getencoding", NULL)
                         : PyObject_CallMethod(locale, "getpreferredencoding", "O", Py_False);
        Py_DECREF(locale);
    }
    return name;
}

/* Whether `text` is encoded to just these bytes; -1 with an exception set. */
static int
encodes_to(const char *text, const char *encoding)
{
    PyObject *string = PyUnicode_FromString(text);
    PyObject *bytes = string == NULL ? NULL : PyUnicode_AsEncodedString(string, encoding, NULL);
    Py_XDECREF(string);
    if (bytes == NULL) {
        return -1;
    }
    int same = strcmp(PyBytes_AS_STRING(bytes), text) == 0;
    Py_DECREF(bytes);
    return same;
}

/* Lines are found in the bytes, and records are encoded one by one. */
static int
check_encoding(const char *encoding)
{
    int same = encodes_to("a\nb\r\n", encoding);
    if (same == 0) {
        PyErr_Format(PyExc_ValueError,
                     "a SharedFile needs an encoding that writes '\\n' as one byte and starts with "
                     "no mark, not %s: put io.TextIOWrapper around a binary one",
                     encoding);
    }
    return same > 0 ? 0 : -1;
}

static bool
is_ascii_as_is(const char *encoding)
{
    static const char *const names[] = {"utf-8",   "utf8",       "ascii",    "us-ascii",
                                        "latin-1", "iso-8859-1", "iso8859-1"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcasecmp(encoding, names[i]) == 0) {
            return true;
        }
    }
    return false;
}

static int
set_text(const request_t *request, ot_file_how_t *how)
{
    const char *errors = request->errors == NULL ? "strict" : request->errors;
    PyObject *handler = PyCodec_LookupError(errors);
    PyObject *name = handler == NULL ? NULL : encoding_name(request->encoding);
    Py_XDECREF(handler);
    const char *encoding = name == NULL ? NULL : PyUnicode_AsUTF8(name);
    if (encoding == NULL || check_encoding(encoding) < 0) {
        Py_XDECREF(name);
        return -1;
    }
    how->encoding = strdup(encoding);
    how->errors = strdup(errors);
    Py_DECREF(name);
    if (how->encoding == NULL || how->errors == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    how->ascii_as_is = is_ascii_as_is(how->encoding);
    return 0;
}

/* ---- the descriptor -------------------------------------------------------------------------- */

static int
open_path(const request_t *request, ot_file_how_t *how)
{
    PyObject *path;
    if (!request->closefd) {
        return bad("Cannot use closefd=False with file name");
    }
    if (!PyUnicode_FSConverter(request->file, &path)) {
        return -1;
    }
    how->name = strdup(PyBytes_AS_STRING(path));
    int error = 0;
    while (how->name != NULL) {
        Py_BEGIN_ALLOW_THREADS
        how->fd = open(how->name, request->flags, 0666);
        error = errno;
        Py_END_ALLOW_THREADS
        if (how->fd >= 0 || error != EINTR) {
            break;
        }
        if (PyErr_CheckSignals() < 0) {
            Py_DECREF(path);
            return -1;
        }
    }
    Py_DECREF(path);
    if (how->name == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    if (how->fd < 0) {
        errno = error;
        PyErr_SetFromErrnoWithFilenameObject(PyExc_OSError, request->file);
        return -1;
    }
    return 0;
}

static int
open_number(const request_t *request, ot_file_how_t *how)
{
    char name[32];
    int fd = PyObject_AsFileDescriptor(request->file);
    if (fd < 0) {
        return -1;
    }
    snprintf(name, sizeof name, "%d", fd);
    how->name = strdup(name);
    if (how->name == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    how->fd = fd;
    how->by_fd = true;
    return 0;
}

static int
set_descriptor(const request_t *request, ot_file_how_t *how)
{
    struct stat info;
    int flags = fcntl(how->fd, F_GETFL), error = 0;
    if (flags < 0 || fstat(how->fd, &info) < 0) {
        error = errno;
    } else if (S_ISDIR(info.st_mode)) {
        error = EISDIR;
    }
    if (error != 0) {
        errno = error;
        PyErr_SetFromErrnoWithFilenameObject(PyExc_OSError, request->file);
        return -1;
    }
    how->appending = (flags & O_APPEND) != 0;
    how->may_block = !S_ISREG(info.st_mode) && !S_ISBLK(info.st_mode);
    how->is_pipe = S_ISFIFO(info.st_mode);
    bool to_end = strchr(request->mode, 'a') != NULL;
    how->seekable = lseek(how->fd, 0, to_end ? SEEK_END : SEEK_CUR) >= 0;
    if (request->updating && !how->seekable) {
        ot_file_unsupported("File or stream is not seekable.");
        return -1;
    }
    how->limit =
        request->buffering > 1 || request->buffering == 0 ? (size_t)request->buffering : BUFFER;
    how->line_buffered =
        how->text && (request->buffering == 1 || (request->buffering < 0 && isatty(how->fd)));
    return 0;
}

static int
open_it(const request_t *request, ot_file_how_t *how)
{
    if (PySys_Audit("open", "Osi", request->file, request->mode, request->flags) < 0) {
        return -1;
    }
    int rc = PyLong_Check(request->file) ? open_number(request, how) : open_path(request, how);
    return rc < 0 ? -1 : set_descriptor(request, how);
}

/* ---- all of it ------------------------------------------------------------------------------- */

static void
discard(ot_file_how_t *how)
{
    if (how->fd >= 0 && !how->by_fd) {
        close(how->fd);
    }
    free(how->name);
    free(how->mode);
    free(how->encoding);
    free(how->errors);
}

static int
prepare(request_t *request, ot_file_how_t *how)
{
    if (parse_mode(request, how) < 0 || check_request(request, how) < 0 ||
        parse_newline(request, how) < 0 || (how->text && set_text(request, how) < 0)) {
        return -1;
    }
    how->closefd = request->closefd;
    how->mode = strdup(request->mode);
    if (how->mode == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    return open_it(request, how);
}

ot_file_t *
ot_file_open(PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"file",   "mode",    "buffering", "encoding",
                            "errors", "newline", "closefd",   NULL};
    request_t request = {.mode = "r", .buffering = -1, .closefd = 1};
    ot_file_how_t how = {.fd = -1};
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|sizzzp:SharedFile", names, &request.file,
                                     &request.mode, &request.buffering, &request.encoding,
                                     &request.errors, &request.newline, &request.closefd)) {
        return NULL;
    }
    ot_file_t *file = NULL;
    if (prepare(&request, &how) == 0) {
        file = ot_file_new(&how);
        if (file == NULL) {
            PyErr_NoMemory();
        }
    }
    if (file == NULL) {
        discard(&how);
    }
    return file;
}
