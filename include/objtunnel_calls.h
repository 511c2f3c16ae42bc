/* SPDX-License-Identifier: MIT. Copyright (c) the objtunnel developers; this file may be copied. */
/* objtunnel_calls.h: the functions that an extension calls, the same for both variants (a part of
 * objtunnel.h and objtunnel_global.h; include one of those).
 *
 * Main invariant: objtunnel_global.h's, which has the rules for init, exit, create and destroy.
 * Threading: call with an attached thread state. In C++ what init or create throws comes out of here,
 * with nothing entered; what exit or destroy throws is reported as unraisable (objtunnel_cxx.hpp).
 */
#ifndef OBJTUNNEL_CALLS_H
#define OBJTUNNEL_CALLS_H

#ifdef __cplusplus
extern "C" {
#endif

/* `holder` is an object (any address) with a use of its own: it enters once, however often it asks, and
 * leaves only if it had entered. Whoever holds a use for an object's life and not for the interpreter's
 * names the object: within another global's init an entry without a holder is that global's. */
static inline int
ot_global_enter_for(ot_global_t *g, const void *holder, ot_init_t init, void *arg)
{
#if defined(__cplusplus) && defined(__cpp_exceptions)
    ot_cxx_call_t call = {init, NULL, arg, {}};
    return call.result(ot_base_enter(g, holder, init == NULL ? NULL : ot_cxx_init, &call));
#else
    return ot_base_enter(g, holder, init, arg);
#endif
}

/* Returns 0, or -1 without an exception if the holder had not entered. */
static inline int
ot_global_leave_for(ot_global_t *g, const void *holder)
{
    return ot_base_leave(g, holder);
}

/* Has the current interpreter use g: the first user of all runs init(arg) (which may be NULL),
 * others wait for it. A failed init is its caller's, and the next one to come or to wait tries
 * its own. May be called again; each time counts.
 * Returns 0, or -1 with an exception set: init's, KeyboardInterrupt while waiting, RuntimeError. */
static inline int
ot_global_enter(ot_global_t *g, ot_init_t init, void *arg)
{
    return ot_global_enter_for(g, NULL, init, arg);
}

/* Ends one use by the current interpreter; the last one of all runs g's exit. May be called with an
 * exception set, which stays. Returns 0, or -1 without an exception if the interpreter had not
 * entered: the caller's mistake, unless the interpreter is ending. Within the exit of a global that
 * entered g it returns 0, and g is left after that exit. */
static inline int
ot_global_leave(ot_global_t *g)
{
    return ot_base_leave(g, NULL);
}

/* ot_global_enter for a module object, once however often the module is executed (OT_MODULE_GLOBALS).
 * init gets the module. */
static inline int
ot_global_enter_module(ot_global_t *g, PyObject *module, ot_init_t init)
{
    return ot_global_enter_for(g, module, init, module);
}

static inline void
ot_global_leave_module(ot_global_t *g, void *module)
{
    (void)ot_base_leave(g, module);
}

static inline int
ot_registry_get_for(ot_registry_t *r, const char *key, const void *holder, ot_create_t create,
                    void *arg, void **value)
{
#if defined(__cplusplus) && defined(__cpp_exceptions)
    ot_cxx_call_t call = {NULL, create, arg, {}};
    return call.result(ot_base_get(r, key, holder, ot_cxx_create, &call, value));
#else
    return ot_base_get(r, key, holder, create, arg, value);
#endif
}

static inline int
ot_registry_put_for(ot_registry_t *r, const char *key, const void *holder)
{
    return ot_base_put(r, key, holder);
}

/* Has the current interpreter use the resource with this key: the first user of all creates it,
 * others wait for it. As ot_global_enter otherwise. *value is good until the matching put; NULL if
 * it fails. */
static inline int
ot_registry_get(ot_registry_t *r, const char *key, ot_create_t create, void *arg, void **value)
{
    return ot_registry_get_for(r, key, NULL, create, arg, value);
}

/* Ends one use; the last one of all destroys the resource, under no lock. As ot_global_leave. */
static inline int
ot_registry_put(ot_registry_t *r, const char *key)
{
    return ot_base_put(r, key, NULL);
}

#ifdef __cplusplus
}
#endif
#endif
