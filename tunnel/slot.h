/* slot.h: places that hold objects of one C type.
 *
 * Most references are kept in places that may hold anything: there None stands for what only the
 * receiver can put in. Some are not: C code takes what it finds in an instance's __dict__ for a
 * dict, and reads it without a look at its type. In such a place stands, meanwhile, what C code
 * expects there, and what unpickling yields for it is looked at before it is stored.
 *
 * The rows tell of such a place by ot_visit_typed and ot_fill_slot (kinds.h).
 * Threading: what is known of datetime is atomic, and written with the same values each time.
 */
#ifndef OT_TUNNEL_SLOT_H
#define OT_TUNNEL_SLOT_H

#include "runtime/cpython/version.h"

typedef enum {
    OT_SLOT_ANY,
    OT_SLOT_DICT,            /* an instance's __dict__, managed by CPython */
    OT_SLOT_ODICT_DICT,      /* an OrderedDict's */
    OT_SLOT_TIMEZONE_OFFSET, /* a timedelta */
    OT_SLOT_TIMEZONE_NAME,   /* a str or NULL */
    OT_SLOT_TIME_TZINFO,     /* a tzinfo or None */
    OT_SLOT_DATETIME_TZINFO, /* a tzinfo or None */
} ot_slot_t;

/* What stands in the place as long as the receiver has not filled it: immortal and of the place's
 * type, or NULL where C code takes that for "nothing". Borrowed. */
PyObject *ot_slot_placeholder(ot_slot_t slot);

/* timedelta(0), of which the process has one, and the type tzinfo: static objects of datetime's, whose
 * rows tell of them before a place of theirs is asked about. */
void ot_slot_know_zero(PyObject *timedelta_zero);
void ot_slot_know_tzinfo(PyTypeObject *type);

/* Whether the place may hold o. */
bool ot_slot_takes(ot_slot_t slot, PyObject *o);

/* What the place may hold ("a dict"), and what it is called ("__dict__"). */
const char *ot_slot_expects(ot_slot_t slot);
const char *ot_slot_name(ot_slot_t slot);

/* The object that the place belongs to; not for OT_SLOT_ANY. Borrowed. */
PyObject *ot_slot_owner(ot_slot_t slot, PyObject **at);

#endif
