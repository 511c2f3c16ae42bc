/* datetime.c: the rows for date, time, datetime, timedelta, tzinfo and timezone.
 *
 * Static types of a module: the same in every interpreter that has imported datetime, which the
 * message's record of the type sees to. One block each; time and datetime have a tzinfo only if
 * they say so, and are shorter if not. Cached hashes come along.
 *
 * Threading: the static pointers are written by checks, each time with the same values.
 */
#include "tunnel/class.h"

#include "runtime/cpython/stdlib.h"

#include <datetime.h>
#include <dlfcn.h>

/* timezone.utc and its offset, of which the process has one each. */
static PyObject *_Atomic utc, *_Atomic zero;

bool
ot_is_module_static(PyObject *o)
{
    return o == utc || o == zero;
}

/* An untracked copy of the first `size` bytes, references not counted. */
static PyObject *
copy_block(PyObject *o, size_t size)
{
    PyTypeObject *type = Py_TYPE(o);
    if (!PyType_HasFeature(type, Py_TPFLAGS_HEAPTYPE)) {
        return ot_py_copy_block(o, size);
    }
    PyObject *copy =
        PyType_IS_GC(type) ? ot_py_new_container(type, 0) : PyType_GenericAlloc(type, 0);
    if (copy != NULL) {
        memcpy((char *)copy + sizeof *copy, (char *)o + sizeof *o, size - sizeof *o);
    }
    return copy;
}

/* ---- date, timedelta, tzinfo: leaves -------------------------------------------------------- */

static PyObject *
date_clone(PyObject *o)
{
    return copy_block(o, sizeof(PyDateTime_Date));
}

static PyObject *
timedelta_clone(PyObject *o)
{
    return copy_block(o, sizeof(PyDateTime_Delta));
}

static PyObject *
tzinfo_clone(PyObject *o)
{
    return copy_block(o, sizeof(PyDateTime_TZInfo));
}

/* ---- time, datetime ------------------------------------------------------------------------- */

static PyObject **
time_tzinfo(PyObject *o)
{
    return _PyDateTime_HAS_TZINFO(o) ? &((PyDateTime_Time *)o)->tzinfo : NULL;
}

static PyObject **
datetime_tzinfo(PyObject *o)
{
    return _PyDateTime_HAS_TZINFO(o) ? &((PyDateTime_DateTime *)o)->tzinfo : NULL;
}

OT_ALWAYS_INLINE int
visit_tzinfo(PyObject **tzinfo, ot_visitor_t *v, ot_slot_t what)
{
    return tzinfo == NULL || *tzinfo == utc ? 0 : ot_visit_typed(v, tzinfo, what);
}

static int
time_visit(PyObject *o, ot_visitor_t *v)
{
    return visit_tzinfo(time_tzinfo(o), v, OT_SLOT_TIME_TZINFO);
}

static int
datetime_visit(PyObject *o, ot_visitor_t *v)
{
    return visit_tzinfo(datetime_tzinfo(o), v, OT_SLOT_DATETIME_TZINFO);
}

static PyObject *
time_shell(PyObject *o)
{
    bool aware = _PyDateTime_HAS_TZINFO(o);
    return copy_block(o, aware ? sizeof(PyDateTime_Time) : sizeof(_PyDateTime_BaseTime));
}

static PyObject *
datetime_shell(PyObject *o)
{
    bool aware = _PyDateTime_HAS_TZINFO(o);
    return copy_block(o, aware ? sizeof(PyDateTime_DateTime) : sizeof(_PyDateTime_BaseDateTime));
}

static void
drop_tzinfo(PyObject **tzinfo)
{
    if (tzinfo != NULL) {
        *tzinfo = Py_NewRef(Py_None);
    }
}

static void
time_disown(PyObject *loser, PyObject *winner)
{
    (void)winner;
    drop_tzinfo(time_tzinfo(loser));
}

static void
datetime_disown(PyObject *loser, PyObject *winner)
{
    (void)winner;
    drop_tzinfo(datetime_tzinfo(loser));
}

static PyObject *
time_clone(PyObject *o)
{
    PyObject *clone = time_shell(o);
    if (clone != NULL) {
        time_disown(clone, o);
    }
    return clone;
}

static PyObject *
datetime_clone(PyObject *o)
{
    PyObject *clone = datetime_shell(o);
    if (clone != NULL) {
        datetime_disown(clone, o);
    }
    return clone;
}

static int
time_fill(PyObject *clone, PyObject *o, ot_copier_t *c)
{
    PyObject **from = time_tzinfo(o);
    return from == NULL ? 0 : ot_fill_slot(c, time_tzinfo(clone), *from, OT_SLOT_TIME_TZINFO);
}

static int
datetime_fill(PyObject *clone, PyObject *o, ot_copier_t *c)
{
    PyObject **from = datetime_tzinfo(o);
    return from == NULL ? 0
                        : ot_fill_slot(c, datetime_tzinfo(clone), *from, OT_SLOT_DATETIME_TZINFO);
}

/* ---- timezone ------------------------------------------------------------------------------- */

static int
timezone_visit(PyObject *o, ot_visitor_t *v)
{
    ot_timezone_t *z = (ot_timezone_t *)o;
    if (ot_visit_typed(v, &z->offset, OT_SLOT_TIMEZONE_OFFSET) < 0) {
        return -1;
    }
    return z->name == NULL ? 0 : ot_visit_typed(v, &z->name, OT_SLOT_TIMEZONE_NAME);
}

static PyObject *
timezone_shell(PyObject *o)
{
    return copy_block(o, sizeof(ot_timezone_t));
}

static void
timezone_disown(PyObject *loser, PyObject *winner)
{
    (void)winner;
    ((ot_timezone_t *)loser)->offset = ((ot_timezone_t *)loser)->name = NULL;
}

static PyObject *
timezone_clone(PyObject *o)
{
    PyObject *clone = timezone_shell(o);
    if (clone != NULL) {
        timezone_disown(clone, o);
    }
    return clone;
}

static int
timezone_fill(PyObject *clone, PyObject *o, ot_copier_t *c)
{
    ot_timezone_t *to = (ot_timezone_t *)clone, *from = (ot_timezone_t *)o;
    if (ot_fill_slot(c, &to->offset, from->offset, OT_SLOT_TIMEZONE_OFFSET) < 0) {
        return -1;
    }
    return from->name == NULL ? 0 : ot_fill_slot(c, &to->name, from->name, OT_SLOT_TIMEZONE_NAME);
}

/* ---- the layouts ---------------------------------------------------------------------------- */

/* o (stolen) has these bytes from its `data` on, and no cached hash. */
static int
check_steal(PyObject *o, size_t size, size_t offset, const void *bytes, size_t n)
{
    if (o == NULL) {
        return -1;
    }
    PyTypeObject *type = Py_TYPE(o);
    bool good = !PyType_HasFeature(type, Py_TPFLAGS_HEAPTYPE) && !PyType_IS_GC(type) &&
                (size_t)type->tp_basicsize == size && ((PyDateTime_Date *)o)->hashcode == -1 &&
                memcmp((char *)o + offset, bytes, n) == 0;
    Py_DECREF(o);
    return good;
}

static int
date_check(PyTypeObject *type)
{
    PyObject *o = PyObject_CallFunction((PyObject *)type, "iii", 2024, 2, 29);
    static const unsigned char bytes[] = {2024 >> 8, 2024 & 255, 2, 29};
    return check_steal(o, sizeof(PyDateTime_Date), offsetof(PyDateTime_Date, data), bytes, 4);
}

/* Whether tzinfo is the static type that C code asks for. An interpreter whose datetime module is
 * somebody else's has none. */
static bool
note_tzinfo(void)
{
    const PyDateTime_CAPI *api = PyCapsule_Import(PyDateTime_CAPSULE_NAME, 0);
    if (api == NULL) {
        PyErr_Clear();
        return false;
    }
    ot_slot_know_tzinfo(api->TZInfoType);
    return !PyType_HasFeature(api->TZInfoType, Py_TPFLAGS_HEAPTYPE);
}

static int
time_check(PyTypeObject *type)
{
    PyObject *o = PyObject_CallFunction((PyObject *)type, "iiii", 1, 2, 3, 456789);
    static const unsigned char bytes[] = {1, 2, 3, 456789 >> 16, 456789 >> 8 & 255, 456789 & 255};
    if (o != NULL && (!Py_IS_TYPE(o, type) || time_tzinfo(o) != NULL || !note_tzinfo())) {
        Py_DECREF(o);
        return 0;
    }
    return check_steal(o, sizeof(PyDateTime_Time), offsetof(PyDateTime_Time, data), bytes, 6);
}

static int
datetime_check(PyTypeObject *type)
{
    PyObject *o = PyObject_CallFunction((PyObject *)type, "iiiiiii", 2024, 2, 29, 1, 2, 3, 456789);
    static const unsigned char bytes[] = {2024 >> 8,    2024 & 255,        2,           29, 1, 2, 3,
                                          456789 >> 16, 456789 >> 8 & 255, 456789 & 255};
    if (o != NULL && (!Py_IS_TYPE(o, type) || datetime_tzinfo(o) != NULL || !note_tzinfo())) {
        Py_DECREF(o);
        return 0;
    }
    return check_steal(o, sizeof(PyDateTime_DateTime), offsetof(PyDateTime_DateTime, data), bytes,
                       10);
}

static int
timedelta_check(PyTypeObject *type)
{
    PyObject *o = PyObject_CallFunction((PyObject *)type, "iii", -1, 2, 3);
    static const int fields[] = {-1, 2, 3};
    return check_steal(o, sizeof(PyDateTime_Delta), offsetof(PyDateTime_Delta, days), fields,
                       sizeof fields);
}

static int
tzinfo_check(PyTypeObject *type)
{
    return type->tp_basicsize == sizeof(PyDateTime_TZInfo) && !PyType_IS_GC(type);
}

static bool
is_part_of_a_library(PyObject *o)
{
    Dl_info info;
    return ot_py_immortal(o) && dladdr(o, &info) != 0;
}

/* Compares the layout of timezone, and takes note of timezone.utc, which must be the process's and not this
 * interpreter's. */
static int
timezone_check(PyTypeObject *type)
{
    PyObject *name = PyUnicode_InternFromString("utc"), *delta = NULL, *zone = NULL;
    /* Interned, for type caches keep the name that was asked for. */
    PyObject *o = name == NULL ? NULL : PyObject_GetAttr((PyObject *)type, name);
    Py_XDECREF(name);
    bool good = o != NULL && Py_IS_TYPE(o, type) && type->tp_basicsize == sizeof(ot_timezone_t) &&
                !PyType_IS_GC(type);
    if (good) {
        PyObject *offset = ((ot_timezone_t *)o)->offset;
        delta = PyObject_CallFunction((PyObject *)Py_TYPE(offset), "ii", 0, 3600);
        zone = delta == NULL ? NULL : PyObject_CallFunction((PyObject *)type, "Os", delta, "name");
        good = zone != NULL && Py_IS_TYPE(zone, type) && ((ot_timezone_t *)zone)->offset == delta &&
               PyUnicode_CompareWithASCIIString(((ot_timezone_t *)zone)->name, "name") == 0 &&
               is_part_of_a_library(o) && is_part_of_a_library(offset);
        if (good) {
            utc = o;
            zero = offset;
            ot_slot_know_zero(offset);
        }
    }
    Py_XDECREF(zone);
    Py_XDECREF(delta);
    Py_XDECREF(o);
    return PyErr_Occurred() ? -1 : good;
}

/* clang-format off */
#define DATETIME_KIND .keeps_hash = true, .subclassable = true, .inspect = ot_kind_block_inspect

static const ot_kind_t kind_date = {.name = "date", .leaf = true, DATETIME_KIND,
    .shell = date_clone, .disown = ot_kind_disown_nothing, .clone = date_clone, .fill = ot_kind_fill_nothing};
static const ot_kind_t kind_timedelta = {.name = "timedelta", .leaf = true, DATETIME_KIND,
    .shell = timedelta_clone, .disown = ot_kind_disown_nothing, .clone = timedelta_clone, .fill = ot_kind_fill_nothing};
static const ot_kind_t kind_tzinfo = {.name = "tzinfo", .leaf = true, DATETIME_KIND,
    .shell = tzinfo_clone, .disown = ot_kind_disown_nothing, .clone = tzinfo_clone, .fill = ot_kind_fill_nothing};
static const ot_kind_t kind_time = {.name = "time", DATETIME_KIND, .visit = time_visit,
    .shell = time_shell, .disown = time_disown, .clone = time_clone, .fill = time_fill};
static const ot_kind_t kind_datetime = {.name = "datetime", DATETIME_KIND, .visit = datetime_visit,
    .shell = datetime_shell, .disown = datetime_disown, .clone = datetime_clone,
    .fill = datetime_fill};
static const ot_kind_t kind_timezone = {.name = "timezone", DATETIME_KIND, .visit = timezone_visit,
    .shell = timezone_shell, .disown = timezone_disown, .clone = timezone_clone,
    .fill = timezone_fill};
/* clang-format on */

PyObject *
ot_tzinfo_of(PyObject *o)
{
    const ot_kind_t *kind = ot_kind_of_base(ot_type_solid_base(Py_TYPE(o)));
    PyObject **tzinfo = kind == &kind_datetime ? datetime_tzinfo(o)
                        : kind == &kind_time   ? time_tzinfo(o)
                                               : NULL;
    return tzinfo == NULL ? NULL : *tzinfo;
}

OT_C_TYPE(date, "datetime.date", &kind_date, date_check);
OT_C_TYPE(time, "datetime.time", &kind_time, time_check);
OT_C_TYPE(datetime, "datetime.datetime", &kind_datetime, datetime_check);
OT_C_TYPE(timedelta, "datetime.timedelta", &kind_timedelta, timedelta_check);
OT_C_TYPE(tzinfo, "datetime.tzinfo", &kind_tzinfo, tzinfo_check);
OT_C_TYPE(timezone, "datetime.timezone", &kind_timezone, timezone_check);
