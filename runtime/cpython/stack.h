/* stack.h: interpreters, threads, frames and code as a reader finds them who holds none of their GILs
 * (pycore_interp.h, pycore_frame.h, pycore_code.h, Objects/codeobject.c's line table).
 *
 * Threading: unlike the rest of this folder: any thread, also in a signal handler. Everything is read by
 * ot_peek, so a stale pointer costs a line of the dump and no crash. Nothing is changed, no reference is
 * taken.
 */
#ifndef OT_RUNTIME_CPYTHON_STACK_H
#define OT_RUNTIME_CPYTHON_STACK_H

#include "runtime/cpython/version.h"

#if PY_VERSION_HEX >= 0x030e0000
#include <internal/pycore_interpframe.h>
#include <internal/pycore_stackref.h>
#else
#include <internal/pycore_frame.h>
#endif
#include <internal/pycore_code.h>
#include <internal/pycore_interp.h>
#include <internal/pycore_runtime.h>

#include "runtime/peek.h"

/* ---- interpreters and threads ------------------------------------------------------------------- */

typedef struct {
    PyInterpreterState *next;
    int64_t id;
    PyThreadState *threads;
} ot_interp_view_t;

static inline PyInterpreterState *
ot_py_peek_interps(void)
{
    PyInterpreterState *first;
    return ot_peek(&first, &_PyRuntime.interpreters.head, sizeof first) ? first : NULL;
}

static inline bool
ot_py_peek_interp(PyInterpreterState *interp, ot_interp_view_t *view)
{
    return ot_peek(&view->next, &interp->next, sizeof view->next) &&
           ot_peek(&view->id, &interp->id, sizeof view->id) &&
           ot_peek(&view->threads, &interp->threads.head, sizeof view->threads);
}

typedef struct {
    PyThreadState *next;
    unsigned long thread; /* as pthread_self has it */
    int tid;              /* as gettid has it */
    bool has_gil;
    struct _PyInterpreterFrame *frame;
} ot_thread_view_t;

/* False: it is no thread of that interpreter (any more). */
static inline bool
ot_py_peek_thread(PyThreadState *tstate, PyInterpreterState *interp, ot_thread_view_t *view)
{
    PyThreadState t;
    if (!ot_peek(&t, tstate, sizeof t) || t.interp != interp) {
        return false;
    }
    *view = (ot_thread_view_t)
    {
        .next = t.next, .thread = t.thread_id, .tid = (int)t.native_thread_id,
#if PY_VERSION_HEX >= 0x030e0000
        .has_gil = t.holds_gil,
#else
        .has_gil = t._status.holds_gil,
#endif
        .frame = t.current_frame
    };
    return true;
}

/* ---- frames ------------------------------------------------------------------------------------- */

typedef struct {
    struct _PyInterpreterFrame *previous;
    const void *code; /* NULL: no Python code runs in it */
    const void *instruction;
} ot_frame_view_t;

static inline bool
ot_py_peek_frame(const struct _PyInterpreterFrame *frame, ot_frame_view_t *view)
{
    struct _PyInterpreterFrame f;
    if (!ot_peek(&f, frame, offsetof(struct _PyInterpreterFrame, localsplus))) {
        return false;
    }
#if PY_VERSION_HEX >= 0x030e0000
    const void *code = (const void *)(f.f_executable.bits & ~(uintptr_t)3);
#else
    const void *code = f.f_executable;
#endif
    PyTypeObject *type = NULL;
    bool is_code = code != NULL &&
                   ot_peek(&type, &((const PyObject *)code)->ob_type, sizeof type) &&
                   type == &PyCode_Type;
    *view = (ot_frame_view_t){f.previous, is_code ? code : NULL, f.instr_ptr};
    return true;
}

typedef struct {
    const void *file, *name; /* strings */
    int first_line;
    const void *lines; /* bytes */
    ptrdiff_t offset;  /* of the instruction, in code units */
} ot_code_view_t;

static inline bool
ot_py_peek_code(const ot_frame_view_t *frame, ot_code_view_t *view)
{
    enum { HEAD = offsetof(PyCodeObject, co_code_adaptive) };
    union {
        char bytes[HEAD];
        PyCodeObject code;
    } c;
    if (!ot_peek(c.bytes, frame->code, HEAD)) {
        return false;
    }
    ptrdiff_t bytes = (const char *)frame->instruction - ((const char *)frame->code + HEAD);
    *view = (ot_code_view_t){
        .file = c.code.co_filename,
        .name = c.code.co_qualname,
        .first_line = c.code.co_firstlineno,
        .lines = c.code.co_linetable,
        .offset = bytes / (ptrdiff_t)sizeof(_Py_CODEUNIT),
    };
    return true;
}

/* ---- lines -------------------------------------------------------------------------------------- */

/* A line table, read piece by piece. */
typedef struct {
    const unsigned char *at, *end;
    unsigned char piece[64];
    size_t n, i;
} ot_line_reader_t;

/* The next byte without taking it, -1 at the end. */
static inline int
ot_py_next_line_byte(ot_line_reader_t *r)
{
    if (r->i == r->n) {
        r->n =
            (size_t)(r->end - r->at) < sizeof r->piece ? (size_t)(r->end - r->at) : sizeof r->piece;
        r->i = 0;
        if (r->n == 0 || !ot_peek(r->piece, r->at, r->n)) {
            r->n = 0;
            return -1;
        }
        r->at += r->n;
    }
    return r->piece[r->i];
}

/* A signed number of six bits a byte, least significant first; the lowest bit is the sign. */
static inline int
ot_py_line_delta(ot_line_reader_t *r)
{
    unsigned value = 0;
    for (unsigned shift = 0; shift < 30; shift += 6) {
        int byte = ot_py_next_line_byte(r);
        if (byte < 0) {
            return 0;
        }
        r->i++;
        value |= (unsigned)(byte & 63) << shift;
        if (!(byte & 64)) {
            break;
        }
    }
    return value & 1 ? -(int)(value >> 1) : (int)(value >> 1);
}

/* How far one entry moves the line; *has_line: whether its instructions have any. */
static inline int
ot_py_entry_delta(ot_line_reader_t *r, int kind, bool *has_line)
{
    *has_line = kind != 15;
    switch (kind) {
    case 13: /* no columns */
    case 14: /* long form */
        return ot_py_line_delta(r);
    case 10:
    case 11:
    case 12: /* the columns follow */
        return kind - 10;
    default:
        return 0;
    }
}

/* The line of the instruction; 0 if it has none, or the table cannot be read. */
static inline int
ot_py_peek_line(const ot_code_view_t *code)
{
    enum { MOST = 1 << 20 }; /* bytes: no table is that large */
    Py_ssize_t size;
    if (code->offset < 0 ||
        !ot_peek(&size, &((const PyVarObject *)code->lines)->ob_size, sizeof size) || size <= 0 ||
        size > MOST) {
        return code->first_line;
    }
    const unsigned char *start =
        (const unsigned char *)code->lines + offsetof(PyBytesObject, ob_sval);
    ot_line_reader_t r = {.at = start, .end = start + size};
    ptrdiff_t offset = 0;
    int line = code->first_line, byte;
    while ((byte = ot_py_next_line_byte(&r)) >= 0) {
        bool has_line;
        r.i++;
        line += ot_py_entry_delta(&r, byte >> 3 & 15, &has_line);
        offset += (byte & 7) + 1;
        if (offset > code->offset) {
            return has_line ? line : 0;
        }
        while ((byte = ot_py_next_line_byte(&r)) >= 0 && !(byte & 128)) {
            r.i++; /* columns */
        }
    }
    return 0;
}

/* ---- text --------------------------------------------------------------------------------------- */

/* The characters from `start` on, at most `most`, as numbers; how many; 0 at the end. */
static inline size_t
ot_py_peek_text(const void *string, size_t start, uint32_t *to, size_t most)
{
    enum { PIECE = 32 };
    PyASCIIObject head;
    if (!ot_peek(&head, string, sizeof head) || !head.state.compact || head.length < 0 ||
        (size_t)head.length <= start) {
        return 0;
    }
    size_t n = (size_t)head.length - start, width = head.state.kind;
    n = n < most ? n : most;
    n = n < PIECE ? n : PIECE;
    if (width != 1 && width != 2 && width != 4) {
        return 0;
    }
    uint32_t piece[PIECE];
    const char *data = (const char *)string +
                       (head.state.ascii ? sizeof(PyASCIIObject) : sizeof(PyCompactUnicodeObject));
    if (!ot_peek(piece, data + start * width, n * width)) {
        return 0;
    }
    for (size_t i = 0; i < n; i++) {
        to[i] = width == 1   ? ((const uint8_t *)piece)[i]
                : width == 2 ? ((const uint16_t *)piece)[i]
                             : piece[i];
    }
    return n;
}

#endif
