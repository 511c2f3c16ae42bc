/* slot.c: see slot.h.
 *
 * Main invariant: a placeholder is static or NULL, so nobody counts references to it.
 * Threading: see slot.h.
 */
#include "tunnel/slot.h"

#include "runtime/cpython/builtin.h"
#include "runtime/cpython/instance.h"
#include "runtime/cpython/stdlib.h"
#include "tunnel/kinds.h"

#include <datetime.h>

static PyObject *_Atomic timedelta_zero;
static PyTypeObject *_Atomic tzinfo_type;

void
ot_slot_know_zero(PyObject *zero)
{
    timedelta_zero = zero;
}

void
ot_slot_know_tzinfo(PyTypeObject *type)
{
    tzinfo_type = type;
}

PyObject *
ot_slot_placeholder(ot_slot_t slot)
{
    switch (slot) {
    case OT_SLOT_DICT:
    case OT_SLOT_ODICT_DICT:
    case OT_SLOT_TIMEZONE_NAME:
        return NULL;
    case OT_SLOT_TIMEZONE_OFFSET:
        return timedelta_zero;
    default:
        return Py_None;
    }
}

bool
ot_slot_takes(ot_slot_t slot, PyObject *o)
{
    switch (slot) {
    case OT_SLOT_DICT:
    case OT_SLOT_ODICT_DICT:
        return PyDict_Check(o);
    case OT_SLOT_TIMEZONE_OFFSET:
        return PyObject_TypeCheck(o, Py_TYPE(timedelta_zero));
    case OT_SLOT_TIMEZONE_NAME:
        return PyUnicode_Check(o);
    case OT_SLOT_TIME_TZINFO:
    case OT_SLOT_DATETIME_TZINFO:
        return o == Py_None || PyObject_TypeCheck(o, tzinfo_type);
    default:
        return true;
    }
}

const char *
ot_slot_expects(ot_slot_t slot)
{
    switch (slot) {
    case OT_SLOT_DICT:
    case OT_SLOT_ODICT_DICT:
        return "a dict";
    case OT_SLOT_TIMEZONE_OFFSET:
        return "a timedelta";
    case OT_SLOT_TIMEZONE_NAME:
        return "a str";
    case OT_SLOT_TIME_TZINFO:
    case OT_SLOT_DATETIME_TZINFO:
        return "a tzinfo or None";
    default:
        return "any object";
    }
}

const char *
ot_slot_name(ot_slot_t slot)
{
    switch (slot) {
    case OT_SLOT_DICT:
    case OT_SLOT_ODICT_DICT:
        return "__dict__";
    case OT_SLOT_TIMEZONE_OFFSET:
        return "<offset>";
    case OT_SLOT_TIMEZONE_NAME:
        return "<name>";
    default:
        return "tzinfo";
    }
}

static ptrdiff_t
offset_of(ot_slot_t slot)
{
    switch (slot) {
    case OT_SLOT_DICT:
        return (char *)ot_instance_dict(Py_None) - (char *)Py_None;
    case OT_SLOT_ODICT_DICT:
        return offsetof(ot_odict_t, inst_dict);
    case OT_SLOT_TIMEZONE_OFFSET:
        return offsetof(ot_timezone_t, offset);
    case OT_SLOT_TIMEZONE_NAME:
        return offsetof(ot_timezone_t, name);
    case OT_SLOT_TIME_TZINFO:
        return offsetof(PyDateTime_Time, tzinfo);
    case OT_SLOT_DATETIME_TZINFO:
        return offsetof(PyDateTime_DateTime, tzinfo);
    default:
        return 0;
    }
}

PyObject *
ot_slot_owner(ot_slot_t slot, PyObject **at)
{
    return (PyObject *)((char *)at - offset_of(slot));
}
