/* registered.h: what registered.c and registered_check.c have between them.
 *
 * Shared rules: see kinds.h.
 */
#ifndef OT_TUNNEL_KINDS_REGISTERED_H
#define OT_TUNNEL_KINDS_REGISTERED_H

#include "tunnel/kinds.h"

/* Whether every instance is to be looked at: OBJTUNNEL_DEBUG_KINDS in the environment. */
bool ot_registered_debugging(void);

/* Sets SystemError: "<callback> of <type> <what>", with the exception that was set as its cause. -1 */
int ot_registered_complain(PyObject *o, const char *callback, const char *what);

/* After a visit in which no report failed: 0, or -1 with SystemError for what it has returned or set. */
int ot_registered_check_result(PyObject *o, int rc);

/* Compares visit with tp_traverse, place by place. 0, or -1 with SystemError or MemoryError; the object
 * is as before. Runs: m, visit, tp_traverse. */
int ot_registered_check(PyObject *o, const ot_type_spec_t *spec);

#endif
