/* registered_check.c: does a registered type's visit tell the truth?
 *
 * What visit reports is compared with what tp_traverse sees: the same objects (tp_traverse may leave out
 * what the collector has no interest in), each at a place of its own. Whether a place is the object's
 * is tried: another object is put there for a moment, and tp_traverse must see it.
 *
 * Main invariant: the object is as before when a check returns.
 * Threading: the GIL of the object's interpreter.
 */
#include "tunnel/kinds/registered.h"

#include "runtime/vec.h"
#include "tunnel/layout.h"

#include <stdlib.h>

enum { PLACES_TRIED = 64, FRAMES = 1 << 16 };

typedef OT_VEC(PyObject *) objects_t;
typedef OT_VEC(PyObject **) places_t;

bool
ot_registered_debugging(void)
{
    static _Atomic int known; /* 0: not yet, 1: no, 2: yes */
    if (known == 0) {
        const char *value = getenv("OBJTUNNEL_DEBUG_KINDS");
        known = value != NULL && *value != '\0' && strcmp(value, "0") != 0 ? 2 : 1;
    }
    return known == 2;
}

int
ot_registered_complain(PyObject *o, const char *callback, const char *what)
{
    PyObject *cause = PyErr_GetRaisedException();
    PyErr_Format(PyExc_SystemError, "%s of the registered type %s %s", callback,
                 Py_TYPE(o)->tp_name, what);
    if (cause != NULL) {
        PyObject *error = PyErr_GetRaisedException();
        PyException_SetCause(error, cause);
        PyErr_SetRaisedException(error);
    }
    return -1;
}

int
ot_registered_check_result(PyObject *o, int rc)
{
    if (PyErr_Occurred()) {
        return ot_registered_complain(o, "visit", "set an exception");
    }
    if (rc < 0) {
        return ot_registered_complain(o, "visit", "returned -1 although no report failed");
    }
    return rc == 0 ? 0 : ot_registered_complain(o, "visit", "returned neither 0 nor -1");
}

/* ---- what visit reports -------------------------------------------------------------------------- */

typedef struct {
    places_t places; /* that are not NULL */
    int calls, fail; /* fail: each report fails */
    bool no_memory;
} reports_t;

static int
note_report(void *arg, PyObject **slot)
{
    reports_t *r = arg;
    r->calls++;
    if (r->fail) {
        return -1;
    }
    if (*slot != NULL && ot_vec_push(&r->places, slot) < 0) {
        r->no_memory = true;
        return -1;
    }
    return 0;
}

static int
compare_places(const void *a, const void *b)
{
    uintptr_t x = (uintptr_t) * (PyObject * *const *)a, y = (uintptr_t) * (PyObject * *const *)b;
    return x < y ? -1 : x > y;
}

/* `frame`: an address in the frame that called visit; those of visit's own variables are below it, and
 * nothing may be read there now. 0, or -1 with an exception set. */
static int
check_places(PyObject *o, reports_t *r, uintptr_t frame)
{
    PyObject ***items = r->places.items;
    if (r->places.len > 1) {
        qsort(items, r->places.len, sizeof *items, compare_places);
    }
    for (size_t i = 0; i < r->places.len; i++) {
        uintptr_t place = (uintptr_t)items[i];
        if (place < frame && frame - place < FRAMES) {
            return ot_registered_complain(o, "visit",
                                          "reports a variable of its own, not the object's field");
        }
        if (items[i] == (PyObject **)&o->ob_type) {
            return ot_registered_complain(o, "visit", "reports the object's type");
        }
        if (i > 0 && items[i] == items[i - 1]) {
            return ot_registered_complain(o, "visit", "reports a place twice");
        }
    }
    return 0;
}

static int
list_reports(PyObject *o, const ot_type_spec_t *spec, reports_t *r)
{
    char here;
    int rc = spec->visit(o, note_report, r);
    if (r->no_memory) {
        PyErr_NoMemory();
        return -1;
    }
    return ot_registered_check_result(o, rc) < 0 ? -1 : check_places(o, r, (uintptr_t)&here);
}

/* Checks what visit does when the first report fails. */
static int
check_failure(PyObject *o, const ot_type_spec_t *spec)
{
    reports_t r = {.fail = 1};
    int rc = spec->visit(o, note_report, &r);
    if (PyErr_Occurred()) {
        return ot_registered_complain(o, "visit", "set an exception when a report failed");
    }
    if (r.calls > 1 || (r.calls == 1 && rc != -1)) {
        return ot_registered_complain(o, "visit", "does not return -1 at once when a report fails");
    }
    return 0;
}

/* ---- what tp_traverse sees --------------------------------------------------------------------- */

typedef struct {
    objects_t objects; /* without the object's type */
    PyTypeObject *type;
    bool no_memory;
} seen_t;

static int
note_object(PyObject *object, void *arg)
{
    seen_t *s = arg;
    if (object != (PyObject *)s->type && ot_vec_push(&s->objects, object) < 0) {
        s->no_memory = true;
        return -1;
    }
    return 0;
}

static int
compare_objects(const void *a, const void *b)
{
    uintptr_t x = (uintptr_t) * (PyObject *const *)a, y = (uintptr_t) * (PyObject *const *)b;
    return x < y ? -1 : x > y;
}

/* In the order of addresses. 0, or -1 with MemoryError. traverse is the registered type's: a subclass's
 * would show its own attributes, too. */
static int
list_seen(PyObject *o, traverseproc traverse, seen_t *s)
{
    s->objects.len = 0;
    s->type = Py_TYPE(o);
    (void)traverse(o, note_object, s);
    if (s->no_memory) {
        PyErr_NoMemory();
        return -1;
    }
    if (s->objects.len > 1) {
        qsort(s->objects.items, s->objects.len, sizeof *s->objects.items, compare_objects);
    }
    return 0;
}

static bool
are_equal(const seen_t *a, const seen_t *b)
{
    return a->objects.len == b->objects.len &&
           (a->objects.len == 0 || memcmp(a->objects.items, b->objects.items,
                                          a->objects.len * sizeof *a->objects.items) == 0);
}

/* How often tp_traverse has seen the object. */
static size_t
count(const seen_t *s, const PyObject *object)
{
    size_t n = 0;
    for (size_t i = 0; i < s->objects.len; i++) {
        n += s->objects.items[i] == object;
    }
    return n;
}

/* ---- comparing ------------------------------------------------------------------------------------ */

static int
complain_of(PyObject *o, const char *what, PyObject *which)
{
    char text[300];
    snprintf(text, sizeof text, what, Py_TYPE(which)->tp_name);
    return ot_registered_complain(o, "visit", text);
}

/* Checks that visit has reported each object at least as often as tp_traverse has seen it. */
static int
check_all_reported(PyObject *o, const reports_t *r, const seen_t *seen)
{
    for (size_t i = 0; i < seen->objects.len; i++) {
        PyObject *object = seen->objects.items[i];
        size_t reported = 0;
        for (size_t k = 0; k < r->places.len; k++) {
            reported += *r->places.items[k] == object;
        }
        if (reported < count(seen, object)) {
            return complain_of(o, "does not report a reference that tp_traverse sees (to a %.100s)",
                               object);
        }
    }
    return 0;
}

/* Puts `other` into a place and looks whether tp_traverse sees it there. 1, 0, or -1 with MemoryError. */
static int
place_is_seen(PyObject *o, traverseproc traverse, PyObject **place, PyObject *other)
{
    seen_t seen = {0};
    PyObject *was = *place;
    *place = other;
    int rc = list_seen(o, traverse, &seen);
    *place = was;
    rc = rc < 0 ? -1 : count(&seen, other) == 1;
    ot_vec_free(&seen.objects);
    return rc;
}

/* Checks that each object which the collector cares for was reported at a place where
 * tp_traverse sees it. */
static int
check_each_place(PyObject *o, traverseproc traverse, const reports_t *r)
{
    PyObject *other = PyObject_New(PyObject, &PyBaseObject_Type);
    int rc = other == NULL ? -1 : 0;
    for (size_t i = 0; i < r->places.len && i < PLACES_TRIED && rc == 0; i++) {
        PyObject *object = *r->places.items[i];
        int seen = place_is_seen(o, traverse, r->places.items[i], other);
        if (seen == 0 && PyObject_IS_GC(object)) {
            rc = complain_of(
                o,
                "reports a place in which tp_traverse sees nothing: is it a copy of the "
                "field, or an object made by visit? (a %.100s)",
                object);
        } else if (seen < 0) {
            rc = -1;
        }
    }
    Py_XDECREF(other);
    return rc;
}

static int
compare(PyObject *o, const ot_type_spec_t *spec, traverseproc traverse, reports_t *r,
        seen_t *before, seen_t *after)
{
    if (list_seen(o, traverse, before) < 0 || list_reports(o, spec, r) < 0 ||
        list_seen(o, traverse, after) < 0) {
        return -1;
    }
    if (!are_equal(before, after)) {
        return ot_registered_complain(o, "visit", "changes the object");
    }
    return check_all_reported(o, r, before) < 0 ? -1 : check_each_place(o, traverse, r);
}

int
ot_registered_check(PyObject *o, const ot_type_spec_t *spec)
{
    reports_t r = {0};
    seen_t before = {0}, after = {0};
    traverseproc traverse = ot_type_solid_base(Py_TYPE(o))->tp_traverse;
    int rc = traverse != NULL && PyObject_IS_GC(o) ? compare(o, spec, traverse, &r, &before, &after)
                                                   : list_reports(o, spec, &r);
    ot_vec_free(&r.places);
    ot_vec_free(&before.objects);
    ot_vec_free(&after.objects);
    return rc < 0 ? -1 : check_failure(o, spec);
}
