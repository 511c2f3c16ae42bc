/* tunnel_send.c: Tunnel.send, send_nowait, and queue.Queue's put, put_nowait.
 *
 * Main invariant: whatever raises, the caller still has everything, and the tunnel its place.
 * Threading: the GIL of the handle's interpreter.
 */
#include "objtunnel/tunnel.h"
#include "runtime/lab.h"

/* Making a struct sequence costs a third of an empty message: CPython looks three sizes up in a dict. So a send whose
 * counts equal those of the send before returns that one's receipt again; receipts never change. A blank receipt is still
 * taken before the message goes: afterwards nothing may fail.
 *
 * The GIL guards the blank and the last receipt. Free-threaded builds keep neither: two threads could take the same blank,
 * or one could return the last receipt while another drops it. */
#ifdef OT_FREE_THREADED
enum { KEEPS_RECEIPTS = false };
#else
enum { KEEPS_RECEIPTS = true };
#endif

static PyObject *
take_blank_receipt(ot_state_t *state)
{
    if (!KEEPS_RECEIPTS) {
        return PyStructSequence_New(state->receipt_type);
    }
    PyObject *blank = state->blank_receipt;
    state->blank_receipt = NULL; /* a signal handler may send, too, while this one waits */
    return blank != NULL ? blank : PyStructSequence_New(state->receipt_type);
}

static void
keep_blank_receipt(ot_state_t *state, PyObject *blank)
{
    if (KEEPS_RECEIPTS && state->blank_receipt == NULL) {
        state->blank_receipt = blank;
    } else {
        Py_DECREF(blank);
    }
}

/* Steals blank. A count that there is no memory for reads None. */
static PyObject *
receipt_of(ot_state_t *state, PyObject *blank, const ot_receipt_t *r)
{
    const ot_receipt_t *last = &state->last_counts;
    if (KEEPS_RECEIPTS && state->last_receipt != NULL && r->moved == last->moved &&
        r->copied == last->copied && r->pickled == last->pickled) {
        keep_blank_receipt(state, blank);
        return Py_NewRef(state->last_receipt);
    }
    size_t counts[3] = {r->moved, r->copied, r->pickled};
    bool whole = true;
    for (int i = 0; i < 3; i++) {
        PyObject *n = PyLong_FromSize_t(counts[i]);
        if (n == NULL) {
            PyErr_Clear();
            n = Py_NewRef(Py_None);
            whole = false;
        }
        PyStructSequence_SetItem(blank, i, n);
    }
    if (KEEPS_RECEIPTS && whole) {
        PyObject *before = state->last_receipt;
        state->last_receipt = Py_NewRef(blank);
        state->last_counts = *r;
        Py_XDECREF(before);
    }
    return blank;
}

/* ---- into a place ------------------------------------------------------------------------- */

/* How an object is to be sent. quiet: to a full tunnel it is not, which is no exception. */
typedef struct {
    bool strict, quiet;
    ot_share_t share;
    ot_root_rule_t rule;
    ot_tunnel_patience_t patience;
} how_t;

typedef enum { FAILED = -1, SENT = 0, FULL = 1 } sent_t;

/* Whether a tunnel with maxbytes has room for a message. */
typedef struct {
    ot_gate_t gate;
    ot_channel_t *ch;
    size_t reserved, weighs; /* the place's bytes; the message's, as far as is known */
    bool refused;
} scale_t;

static bool
admits(ot_gate_t *gate, size_t bytes)
{
    scale_t *s = (scale_t *)gate;
    s->weighs = bytes;
    s->refused = !ot_channel_weigh(s->ch, s->reserved, bytes);
    s->reserved = s->refused ? s->reserved : bytes;
    return !s->refused;
}

/* SENT stands for "reserved". */
static sent_t
reserve(ot_state_t *state, ot_channel_t *ch, const how_t *how, size_t bytes)
{
    if (!how->quiet) {
        return ot_tunnel_reserve(state, ch, bytes, how->patience) < 0 ? FAILED : SENT;
    }
    switch (ot_channel_reserve_bytes(ch, bytes, OT_DONT_WAIT, NULL)) {
    case OT_CHANNEL_OK:
        return SENT;
    case OT_CHANNEL_TIMEOUT:
        return FULL;
    default:
        PyErr_SetString(state->tunnel_closed, "the tunnel is closed");
        return FAILED;
    }
}

static ot_tree_t *
detach(const ot_state_t *state, PyObject *obj, const how_t *how, ot_gate_t *gate,
       ot_receipt_t *counts, ot_leftovers_t *leftovers)
{
    if (gate == NULL && how->rule == OT_ROOT_AS_SENT) {
        return ot_tree_detach(&state->interp, obj, how->strict, how->share, counts, leftovers);
    }
    return ot_tree_detach_gated(&state->interp, obj, how->rule, how->strict, how->share, gate,
                                counts, leftovers);
}

/* Where messages are weighed: how much room is needed is known only once the tree was proved. If there is not so much, nothing has
 * changed, and the tree is proved again when there is. *bytes: what it weighed last. */
static sent_t
send_weighed(PyObject *self, PyObject *obj, const how_t *how, ot_receipt_t *counts, size_t *bytes)
{
    ot_state_t *state = ot_tunnel_state(self);
    scale_t scale = {.gate = {.admits = admits}, .ch = ot_tunnel_channel(self), .weighs = *bytes};
    for (;;) {
        sent_t reserved = reserve(state, scale.ch, how, scale.weighs);
        *bytes = scale.weighs;
        if (reserved != SENT) {
            return reserved;
        }
        scale.reserved = scale.weighs;
        scale.refused = false;
        ot_leftovers_t leftovers;
        ot_tree_t *tree = detach(state, obj, how, &scale.gate, counts, &leftovers);
        if (tree != NULL) {
            tree->node.bytes = scale.reserved;
            ot_channel_commit(scale.ch, &tree->node);
            ot_tree_settle(&leftovers);
            return SENT;
        }
        ot_channel_cancel_bytes(scale.ch, scale.reserved);
        if (!scale.refused) {
            return FAILED;
        }
    }
}

/* Sends, weighed or not. *bytes: how much room the message wants, as an earlier try has found;
 * 0: there was none. */
static sent_t
send_somehow(PyObject *self, PyObject *obj, const how_t *how, ot_receipt_t *counts, size_t *bytes)
{
    ot_state_t *state = ot_tunnel_state(self);
    ot_channel_t *ch = ot_tunnel_channel(self);
    if (ot_channel_maxbytes(ch) != 0) {
        return send_weighed(self, obj, how, counts, bytes);
    }
    sent_t reserved = reserve(state, ch, how, 0);
    if (reserved != SENT) {
        return reserved;
    }
    ot_leftovers_t leftovers;
    ot_tree_t *tree = detach(state, obj, how, NULL, counts, &leftovers);
    if (tree == NULL) {
        ot_channel_cancel(ch);
        return FAILED;
    }
    ot_channel_commit(ch, &tree->node);
    ot_tree_settle(&leftovers);
    return SENT;
}

/* ---- send --------------------------------------------------------------------------------- */

/* The receipt; NULL with an exception, or without one if the tunnel is full and `how` is quiet. */
static PyObject *
send(PyObject *self, PyObject *obj, const how_t *how, size_t *bytes)
{
    ot_state_t *state = ot_tunnel_state(self);
    PyObject *blank = take_blank_receipt(state);
    if (blank == NULL) {
        return NULL;
    }
    ot_receipt_t counts;
    if (send_somehow(self, obj, how, &counts, bytes) != SENT) {
        keep_blank_receipt(state, blank);
        return NULL;
    }
    return receipt_of(state, blank, &counts);
}

/* _send_now(cell, strict, bytes): what the list `cell` holds is sent, as send does, and taken out of it; if the tunnel is full,
 * nothing has changed, and it returns how many bytes of room the message wants. bytes: what it said last, or 0. For coroutines: they
 * keep an object that waits in a list, so that an immutable root moves as well if they alone have it. */
PyObject *
ot_tunnel_send_now(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    if (nargs != 3 || !PyList_CheckExact(args[0]) || PyList_GET_SIZE(args[0]) != 1) {
        PyErr_SetString(PyExc_TypeError,
                        "_send_now() takes a list of one object, a bool, and an int");
        return NULL;
    }
    int strict = PyObject_IsTrue(args[1]);
    size_t bytes = PyLong_AsSize_t(args[2]);
    if (strict < 0 || PyErr_Occurred()) {
        return NULL;
    }
    const how_t how = {.strict = strict, .quiet = true, .rule = OT_ROOT_OWNED};
    PyObject *cell = args[0];
    PyObject *receipt = send(self, PyList_GET_ITEM(cell, 0), &how, &bytes);
    if (receipt == NULL) {
        return PyErr_Occurred() ? NULL : PyLong_FromSize_t(bytes);
    }
    if (PyList_SetSlice(cell, 0, 1, NULL) < 0) {
        PyErr_WriteUnraisable(self); /* the message is gone: too late to fail */
    }
    return receipt;
}

/* What share=... asks for. Returns -1 with an exception set. */
static int
share_from(PyObject *value, ot_share_t *share)
{
    bool containers = PyUnicode_Check(value) && PyUnicode_EqualToUTF8(value, "unsafe");
    int any = PyObject_IsTrue(value);
    if (any < 0) {
        return -1;
    }
    *share = containers ? OT_SHARE_CONTAINERS : any ? OT_SHARE_LEAVES : OT_SHARE_NOTHING;
    if (any && !containers && value != Py_True) {
        PyErr_Format(PyExc_ValueError, "share must be False, True or 'unsafe', not %R", value);
        return -1;
    }
    if (containers && !OT_HAS_LAB) {
        PyErr_SetString(
            PyExc_NotImplementedError,
            "share='unsafe' is the laboratory's and not in this build of objtunnel: "
            "build it with `make LAB_PARTS=1` for a CPython of `make lab VARIANT=lock`");
        return -1;
    }
    if (any && !ot_py_counts_atomically()) {
        PyErr_SetString(PyExc_NotImplementedError,
                        "share needs a CPython whose reference counts are atomic, and this one's "
                        "are not: build one with `make lab VARIANT=lock`; without share, what "
                        "something outside refers to is copied");
        return -1;
    }
    return 0;
}

/* send(obj, *, strict=False, share=False, timeout=None), parsed by hand: small messages go by the million. */
static PyObject *
parse_send(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *names,
           const char *name, bool may_wait)
{
    int strict = 0;
    ot_share_t share = OT_SHARE_NOTHING;
    ot_tunnel_patience_t patience = may_wait ? OT_TUNNEL_FOR_EVER : OT_TUNNEL_NO_WAIT;
    PyObject *obj = nargs == 1 ? args[0] : NULL;
    if (nargs > 1) {
        return PyErr_Format(PyExc_TypeError, "%s() takes 1 positional argument but %zd were given",
                            name, nargs);
    }
    for (Py_ssize_t i = 0, n = names == NULL ? 0 : PyTuple_GET_SIZE(names); i < n; i++) {
        PyObject *key = PyTuple_GET_ITEM(names, i), *value = args[nargs + i];
        if (PyUnicode_EqualToUTF8(key, "strict")) {
            if ((strict = PyObject_IsTrue(value)) < 0) {
                return NULL;
            }
        } else if (PyUnicode_EqualToUTF8(key, "share")) {
            if (share_from(value, &share) < 0) {
                return NULL;
            }
        } else if (may_wait && PyUnicode_EqualToUTF8(key, "timeout")) {
            if (ot_tunnel_patience_from(value, &patience) < 0) {
                return NULL;
            }
        } else if (obj == NULL && PyUnicode_EqualToUTF8(key, "obj")) {
            obj = value;
        } else {
            return PyErr_Format(PyExc_TypeError, "%s() got an unexpected keyword argument '%U'",
                                name, key);
        }
    }
    if (obj == NULL) {
        return PyErr_Format(PyExc_TypeError, "%s() missing 1 required argument: 'obj'", name);
    }
    const how_t how = {.strict = strict, .share = share, .patience = patience};
    size_t bytes = 0;
    return send(self, obj, &how, &bytes);
}

PyObject *
ot_tunnel_send(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *names)
{
    return parse_send(self, args, nargs, names, "send", true);
}

PyObject *
ot_tunnel_send_nowait(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *names)
{
    return parse_send(self, args, nargs, names, "send_nowait", false);
}

/* ---- queue.Queue's ------------------------------------------------------------------------ */

static PyObject *
put(PyObject *self, PyObject *item, ot_tunnel_patience_t patience)
{
    const how_t how = {.rule = OT_ROOT_LENT, .patience = patience};
    ot_receipt_t counts;
    size_t bytes = 0;
    if (send_somehow(self, item, &how, &counts, &bytes) != SENT) {
        return NULL;
    }
    Py_RETURN_NONE;
}

PyObject *
ot_tunnel_put(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *names)
{
    static const char *const parameters[] = {"item", "block", "timeout", NULL};
    PyObject *values[3] = {NULL};
    ot_tunnel_patience_t patience;
    if (ot_tunnel_queue_arguments("put", parameters, args, nargs, names, values) < 0 ||
        ot_tunnel_queue_patience(values[1], values[2], &patience) < 0) {
        return NULL;
    }
    if (values[0] == NULL) {
        PyErr_SetString(PyExc_TypeError, "put() missing 1 required argument: 'item'");
        return NULL;
    }
    return put(self, values[0], patience);
}

PyObject *
ot_tunnel_put_nowait(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *names)
{
    static const char *const parameters[] = {"item", NULL};
    PyObject *item = NULL;
    if (ot_tunnel_queue_arguments("put_nowait", parameters, args, nargs, names, &item) < 0) {
        return NULL;
    }
    if (item == NULL) {
        PyErr_SetString(PyExc_TypeError, "put_nowait() missing 1 required argument: 'item'");
        return NULL;
    }
    return put(self, item, OT_TUNNEL_NO_WAIT);
}
