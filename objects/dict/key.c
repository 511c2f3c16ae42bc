/* key.c: see key.h.
 *
 * Main invariant: a canonical number has one form: INT if it is integral and fits, else LONG if it is
 * integral, else FLOAT. Equal canonical bytes have equal hashes.
 *
 * Keys may be strangers' (a cache of what clients ask for), who could choose them so that all fall
 * into one place of a table whose hash function they know. The hash of a number, None or tuple is
 * SipHash-1-3 of its canonical bytes with a secret that each process has of its own. That of a str
 * or bytes object is CPython's, which the object remembers: the same function with CPython's secret,
 * so a LockingDict is as safe as a dict. Who sets PYTHONHASHSEED has given that secret away, for dict
 * as well; to hash each str anew would take longer than all the rest of d[k].
 * Threading: the caller's GIL; the objects are immutable. No Python code runs: types are exact, and
 * str and bytes hash in C.
 */
#include "objects/dict/key.h"
#include "runtime/grow.h"

#include <errno.h>
#include <math.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/random.h>

enum { META = sizeof(uint64_t) };

/* ---- the secret ------------------------------------------------------------------------------- */

/* Written once, before there is a LockingDict; a forked child keeps its parent's, as it does dicts. */
static ot_sip_key_t secret;
static bool has_secret;

/* The kernel gives each program that it starts 16 random bytes, for when it gives no others. */
static void
make_secret(void)
{
    ssize_t n;
    do {
        n = getrandom(&secret, sizeof secret, 0);
    } while (n < 0 && errno == EINTR);
    const void *at_start = (const void *)getauxval(AT_RANDOM);
    if (n != sizeof secret && at_start != NULL) {
        memcpy(&secret, at_start, sizeof secret);
        n = sizeof secret;
    }
    has_secret = n == sizeof secret;
}

int
ot_keys_init(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, make_secret);
    if (!has_secret) {
        PyErr_SetString(PyExc_OSError, "no random numbers for the hashes of a LockingDict's keys");
        return -1;
    }
    return 0;
}

static uint64_t
hash_of(const void *bytes, size_t len)
{
    return len == sizeof(int64_t) ? ot_siphash13(secret, bytes, sizeof(int64_t))
                                  : ot_siphash13(secret, bytes, len);
}

/* Where elements of tuples are written, one after the other. Owned by PyMem_Malloc. */
typedef struct {
    char *p;
    size_t len, room;
} text_t;

/* One key in the making. */
typedef struct {
    text_t canonical, exact;
} writer_t;

static int
text_add(text_t *t, uint64_t meta, const void *bytes, size_t len)
{
    enum { SHORT_TUPLE = 64 }; /* asks for memory once */
    size_t wanted = t->len + META + len + (t->room == 0 ? SHORT_TUPLE : 0);
    if (!ot_grow(&t->p, &t->room, wanted, 1, PyMem_Realloc)) {
        PyErr_NoMemory();
        return -1;
    }
    memcpy(t->p + t->len, &meta, META);
    memcpy(t->p + t->len + META, bytes, len);
    t->len += META + len;
    return 0;
}

static int
refuse(PyObject *o)
{
    if (Py_TYPE(o)->tp_hash == PyObject_HashNotImplemented) {
        PyErr_Format(PyExc_TypeError, "unhashable type: '%.200s'", Py_TYPE(o)->tp_name);
    } else {
        PyErr_Format(
            PyExc_TypeError,
            "a LockingDict's keys are str, int, float, bool, None, bytes and tuples of "
            "these, not '%.200s'; use a tuple or a str that says the same, an enum member's name for example",
            Py_TYPE(o)->tp_name);
    }
    return -1;
}

/* ---- leaves ----------------------------------------------------------------------------------- */

/* A key that is no tuple; its bytes are the object's, `number`'s or `block`'s. */
typedef struct {
    uint64_t meta, exact_meta; /* exact_meta 0: the same */
    const void *bytes;
    char number[8], exact[8];
    char *block; /* owned */
} leaf_t;

static void
leaf_of_int64(leaf_t *leaf, int64_t i)
{
    memcpy(leaf->number, &i, sizeof i);
    leaf->meta = ot_key_meta(sizeof i, OT_KEY_INT);
    leaf->bytes = leaf->number;
}

/* One that fits no int64_t. */
static int
leaf_of_long(leaf_t *leaf, PyObject *o)
{
    Py_ssize_t len = PyLong_AsNativeBytes(o, NULL, 0, Py_ASNATIVEBYTES_LITTLE_ENDIAN);
    signed char *block = len < 0 ? NULL : PyMem_Malloc((size_t)len); /* arm64's char has no sign */
    if (block == NULL) {
        if (len >= 0) {
            PyErr_NoMemory();
        }
        return -1;
    }
    if (PyLong_AsNativeBytes(o, block, len, Py_ASNATIVEBYTES_LITTLE_ENDIAN) < 0) {
        PyMem_Free(block);
        return -1;
    }
    /* What only repeats the sign is not part of the canonical form. */
    while (len > 1 && ((block[len - 1] == 0 && block[len - 2] >= 0) ||
                       (block[len - 1] == -1 && block[len - 2] < 0))) {
        len--;
    }
    leaf->meta = ot_key_meta((size_t)len, OT_KEY_LONG);
    leaf->bytes = leaf->block = (char *)block;
    return 0;
}

static int
leaf_of_int(leaf_t *leaf, PyObject *o)
{
    int overflow;
    long long i = PyLong_AsLongLongAndOverflow(o, &overflow);
    if (overflow != 0) {
        return leaf_of_long(leaf, o);
    }
    leaf_of_int64(leaf, i);
    return 0;
}

static int
leaf_of_float(leaf_t *leaf, double d)
{
    memcpy(leaf->exact, &d, sizeof d);
    if (isfinite(d) && d == floor(d)) {
        leaf->exact_meta = ot_key_meta(sizeof d, OT_KEY_FLOAT);
        if (fabs(d) < 9223372036854775808.0 || d == -9223372036854775808.0) { /* 2**63 */
            leaf_of_int64(leaf, (int64_t)d);
            return 0;
        }
        PyObject *o = PyLong_FromDouble(d);
        int rc = o == NULL ? -1 : leaf_of_long(leaf, o);
        Py_XDECREF(o);
        return rc;
    }
    d = isnan(d) ? NAN : d;
    memcpy(leaf->number, &d, sizeof d);
    leaf->meta = ot_key_meta(sizeof d, OT_KEY_FLOAT);
    leaf->bytes = leaf->number;
    return 0;
}

static int
leaf_of_bool(leaf_t *leaf, bool truth)
{
    leaf_of_int64(leaf, truth);
    leaf->exact_meta = ot_key_meta(1, OT_KEY_BOOL);
    leaf->exact[0] = truth;
    return 0;
}

static void
leaf_of_str(leaf_t *leaf, PyObject *o)
{
    ot_mapkey_t key;
    ot_key_of_str(&key, o, 0);
    leaf->meta = key.meta;
    leaf->bytes = key.bytes;
}

static void
leaf_of_bytes(leaf_t *leaf, PyObject *o)
{
    leaf->meta = ot_key_meta((size_t)PyBytes_GET_SIZE(o), OT_KEY_BYTES);
    leaf->bytes = PyBytes_AS_STRING(o);
}

/* Fills in the leaf for o; leaf->block is the caller's on success. */
static int
leaf_of(leaf_t *leaf, PyObject *o)
{
    *leaf = (leaf_t){.block = NULL};
    if (PyUnicode_CheckExact(o)) {
        leaf_of_str(leaf, o);
        return 0;
    }
    if (PyLong_CheckExact(o)) {
        return leaf_of_int(leaf, o);
    }
    if (PyBool_Check(o)) {
        return leaf_of_bool(leaf, o == Py_True);
    }
    if (PyFloat_CheckExact(o)) {
        return leaf_of_float(leaf, PyFloat_AS_DOUBLE(o));
    }
    if (PyBytes_CheckExact(o)) {
        leaf_of_bytes(leaf, o);
        return 0;
    }
    if (o == Py_None) {
        leaf->meta = ot_key_meta(0, OT_KEY_NONE);
        leaf->bytes = leaf->number;
        return 0;
    }
    return refuse(o);
}

/* ---- tuples ----------------------------------------------------------------------------------- */

static int write_tuple(writer_t *w, PyObject *tuple);

static int
write_leaf(writer_t *w, PyObject *o)
{
    leaf_t leaf;
    if (leaf_of(&leaf, o) < 0) {
        return -1;
    }
    size_t len = ot_key_len(leaf.meta);
    int rc = text_add(&w->canonical, leaf.meta, leaf.bytes, len);
    if (rc == 0) {
        rc = leaf.exact_meta == 0
                 ? text_add(&w->exact, leaf.meta, leaf.bytes, len)
                 : text_add(&w->exact, leaf.exact_meta, leaf.exact, ot_key_len(leaf.exact_meta));
    }
    PyMem_Free(leaf.block);
    return rc;
}

/* A tuple within a tuple: its length is known once it is written. */
static int
write_inner_tuple(writer_t *w, PyObject *tuple)
{
    size_t canonical = w->canonical.len, exact = w->exact.len;
    if (text_add(&w->canonical, 0, "", 0) < 0 || text_add(&w->exact, 0, "", 0) < 0 ||
        write_tuple(w, tuple) < 0) {
        return -1;
    }
    uint64_t meta = ot_key_meta(w->canonical.len - canonical - META, OT_KEY_TUPLE);
    memcpy(w->canonical.p + canonical, &meta, META);
    meta = ot_key_meta(w->exact.len - exact - META, OT_KEY_TUPLE);
    memcpy(w->exact.p + exact, &meta, META);
    return 0;
}

static int
write_tuple(writer_t *w, PyObject *tuple)
{
    if (Py_EnterRecursiveCall(" in a tuple as a key")) {
        return -1;
    }
    int rc = 0;
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(tuple) && rc == 0; i++) {
        PyObject *o = PyTuple_GET_ITEM(tuple, i);
        rc = PyTuple_CheckExact(o) ? write_inner_tuple(w, o) : write_leaf(w, o);
    }
    Py_LeaveRecursiveCall();
    return rc;
}

static int
make_of_tuple(ot_pykey_t *k, PyObject *tuple)
{
    writer_t w = {{NULL, 0, 0}, {NULL, 0, 0}};
    /* The exact form tells, as a value on its own, what it is. */
    if (text_add(&w.exact, 0, "", 0) < 0 || text_add(&w.canonical, 0, "", 0) < 0 ||
        write_tuple(&w, tuple) < 0) {
        PyMem_Free(w.canonical.p);
        PyMem_Free(w.exact.p);
        return -1;
    }
    size_t len = w.canonical.len - META;
    uint64_t exact_meta = ot_key_meta(w.exact.len - META, OT_KEY_TUPLE);
    memcpy(w.exact.p, &exact_meta, META);
    bool same =
        w.exact.len == w.canonical.len && memcmp(w.exact.p + META, w.canonical.p + META, len) == 0;
    k->key = (ot_mapkey_t){
        .hash = hash_of(w.canonical.p + META, len),
        .meta = ot_key_meta(len, OT_KEY_TUPLE),
        .bytes = w.canonical.p + META,
        .exact = w.exact.p,
        .exact_len = same ? 0 : w.exact.len,
    };
    k->canonical_block = w.canonical.p;
    k->exact_block = w.exact.p;
    return 0;
}

/* ---- making ----------------------------------------------------------------------------------- */

int
ot_pykey_make(ot_pykey_t *k, PyObject *o)
{
    k->canonical_block = k->exact_block = NULL;
    if (PyTuple_CheckExact(o)) {
        return make_of_tuple(k, o);
    }
    leaf_t leaf;
    if (leaf_of(&leaf, o) < 0) {
        return -1;
    }
    k->key = (ot_mapkey_t){.meta = leaf.meta, .bytes = leaf.bytes};
    if (PyUnicode_CheckExact(o) || PyBytes_CheckExact(o)) {
        k->key.hash = (uint64_t)PyObject_Hash(o); /* in C, and cannot fail */
    } else {
        k->key.hash = hash_of(leaf.bytes, ot_key_len(leaf.meta));
    }
    if (leaf.bytes == leaf.number) {
        memcpy(k->number, leaf.number, sizeof k->number);
        k->key.bytes = k->number;
    }
    k->canonical_block = leaf.block;
    if (leaf.exact_meta != 0) {
        memcpy(k->exact, &leaf.exact_meta, META);
        memcpy(k->exact + META, leaf.exact, sizeof leaf.exact);
        k->key.exact = k->exact;
        k->key.exact_len = META + ot_key_len(leaf.exact_meta);
    }
    return 0;
}

void
ot_pykey_free_blocks(ot_pykey_t *k)
{
    PyMem_Free(k->canonical_block);
    PyMem_Free(k->exact_block);
    k->canonical_block = k->exact_block = NULL;
}

/* ---- and back --------------------------------------------------------------------------------- */

static PyObject *object_of(uint64_t meta, const char *bytes);

static PyObject *
tuple_of(const char *bytes, size_t len)
{
    uint64_t meta;
    Py_ssize_t n = 0;
    for (size_t at = 0; at < len; at += META + ot_key_len(meta), n++) {
        memcpy(&meta, bytes + at, META);
    }
    PyObject *tuple = PyTuple_New(n);
    for (Py_ssize_t i = 0; i < n && tuple != NULL; i++) {
        memcpy(&meta, bytes, META);
        PyObject *o = object_of(meta, bytes + META);
        if (o == NULL) {
            Py_CLEAR(tuple);
            break;
        }
        PyTuple_SET_ITEM(tuple, i, o);
        bytes += META + ot_key_len(meta);
    }
    return tuple;
}

static PyObject *
str_of(int kind, const char *bytes, size_t len)
{
    return PyUnicode_FromKindAndData(kind, bytes, (Py_ssize_t)len / kind);
}

/* Elements of tuples are not aligned. */
static PyObject *
wide_str_of(int kind, const char *bytes, size_t len)
{
    char *aligned = PyMem_Malloc(len);
    if (aligned == NULL) {
        return PyErr_NoMemory();
    }
    memcpy(aligned, bytes, len);
    PyObject *o = str_of(kind, aligned, len);
    PyMem_Free(aligned);
    return o;
}

static PyObject *
object_of(uint64_t meta, const char *bytes)
{
    size_t len = ot_key_len(meta);
    int64_t i;
    double d;
    switch (meta & 0xff) {
    case OT_KEY_NONE:
        return Py_NewRef(Py_None);
    case OT_KEY_BOOL:
        return PyBool_FromLong(bytes[0]);
    case OT_KEY_INT:
        memcpy(&i, bytes, sizeof i);
        return PyLong_FromLongLong(i);
    case OT_KEY_LONG:
        return PyLong_FromNativeBytes(bytes, len, Py_ASNATIVEBYTES_LITTLE_ENDIAN);
    case OT_KEY_FLOAT:
        memcpy(&d, bytes, sizeof d);
        return PyFloat_FromDouble(d);
    case OT_KEY_STR1:
        return str_of(PyUnicode_1BYTE_KIND, bytes, len);
    case OT_KEY_STR2:
        return wide_str_of(PyUnicode_2BYTE_KIND, bytes, len);
    case OT_KEY_STR4:
        return wide_str_of(PyUnicode_4BYTE_KIND, bytes, len);
    case OT_KEY_BYTES:
        return PyBytes_FromStringAndSize(bytes, (Py_ssize_t)len);
    default:
        return tuple_of(bytes, len);
    }
}

PyObject *
ot_key_object(const ot_mapkey_t *key)
{
    if (key->exact_len == 0) {
        return object_of(key->meta, key->bytes);
    }
    uint64_t meta;
    memcpy(&meta, key->exact, META);
    return object_of(meta, (const char *)key->exact + META);
}
