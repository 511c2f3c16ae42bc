/* objtunnel_global.h: process-wide state for extension modules, all of it in headers.
 *
 * Purpose: initialise a C library for the first interpreter that needs it, give it back after the
 * last, whatever interpreters and threads do meanwhile. No dependency at run time: copy this file
 * with objtunnel_types.h, objtunnel_core.h and objtunnel_locks.h into an extension. The alternative
 * with the same functions is objtunnel.h, which calls the copy in objtunnel's _core: that one shows
 * up in objtunnel.process_globals().
 *
 * Main invariant: objtunnel_core.h's. Here is what Python adds: a thread that waits is detached; an
 * interpreter that ends without leaving is settled.
 *
 * Threading: call with an attached thread state (with the GIL, where there is one). init, exit,
 * create and destroy run attached too, to the interpreter of whoever happened to be first or last,
 * under no lock: they may let go of the GIL and run Python code. Rules for them:
 *  - They must keep nothing of that interpreter: others will use what they made, after it.
 *  - exit and destroy may run while their interpreter ends: C only.
 *  - Entering the same global from within its own init or exit, from the same thread, is an error;
 *    so is a circle of globals whose inits enter each other in different threads, and an init
 *    that imports a module whose import waits for that very init. They raise RuntimeError.
 *
 * OBJTUNNEL_DEBUG_GLOBALS=1 in the environment reports on stderr who left without having entered,
 * who ended without leaving, and what still has users when the main interpreter ends.
 *
 * CPython 3.13 or newer, GIL or free-threaded; POSIX; gcc or clang; C11 or C++17.
 */
#ifndef OBJTUNNEL_GLOBAL_H
#define OBJTUNNEL_GLOBAL_H

#ifdef OBJTUNNEL_H
#error "include objtunnel.h or objtunnel_global.h, not both"
#endif
#include <Python.h>

#if PY_VERSION_HEX < 0x030d0000
#error "objtunnel_global.h needs CPython 3.13 or newer"
#endif
#include "objtunnel_core.h"
#include "objtunnel_locks.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The interpreter that this thread has settled last: what comes later from it comes too late.
 * One thread ends an interpreter, and the others are gone by then. */
OT_ONE_PER_MODULE __thread int64_t ot_settled_interp = -1;

/* ---- messages ------------------------------------------------------------------------------- */

static inline int
ot_glue_debugging(void)
{
    const char *value = getenv("OBJTUNNEL_DEBUG_GLOBALS");
    return value != NULL && *value != '\0' && strcmp(value, "0") != 0;
}

/* Says "<what> '<name>'", with the key of a resource, on stderr if that is wanted. */
static inline void
ot_glue_report(const ot_global_t *g, int64_t interp, const char *what, long entries)
{
    if (ot_glue_debugging()) {
        fprintf(stderr, "objtunnel: interpreter %lld %s '%s'%s%s%s: %ld\n", (long long)interp, what,
                g->name, g->entry == NULL ? "" : " ['", g->entry == NULL ? "" : g->entry->key,
                g->entry == NULL ? "" : "']", entries);
    }
}

static inline void
ot_glue_report_rest(void)
{
    ot_global_row_t *rows;
    size_t n;
    if (!ot_glue_debugging() || ot_core_snapshot(&rows, &n) < 0) {
        return;
    }
    for (size_t i = 0; i < n; i++) {
        fprintf(stderr,
                "objtunnel: at the end of the main interpreter, interpreter %lld is still in "
                "'%s'%s%s: %ld\n",
                (long long)rows[i].interp, rows[i].name, rows[i].key == NULL ? "" : " ",
                rows[i].key == NULL ? "" : rows[i].key, rows[i].entries);
    }
    ot_core_free_rows(rows, n);
}

/* ---- the end of an interpreter --------------------------------------------------------------- */

static inline int64_t
ot_glue_interp(void)
{
    return PyInterpreterState_GetID(PyInterpreterState_Get());
}

/* The main interpreter's id comes again when Python is initialised again. */
static inline int
ot_glue_is_late(int64_t interp)
{
    return ot_settled_interp == interp &&
           (interp != PyInterpreterState_GetID(PyInterpreterState_Main()) || Py_IsFinalizing());
}

/* Runs exit or destroy; the exception that the caller may be about to raise survives it. */
static inline void
ot_glue_exit(ot_global_t *g)
{
    PyObject *error = PyErr_GetRaisedException();
    if (g->entry == NULL) {
        if (g->exit != NULL) {
            g->exit();
        }
    } else if (g->entry->registry->destroy != NULL) {
        g->entry->registry->destroy(g->entry->key, g->entry->value);
    }
    if (PyErr_Occurred()) {
        PyErr_WriteUnraisable(NULL);
    }
    PyErr_SetRaisedException(error);
    ot_core_exited(g);
}

/* The destructor of the capsule in the interpreter's own dict. That dict goes after the modules and
 * everything that lived in them; an atexit callback would be too early, with Python code to run yet
 * that uses the library. */
static inline void
ot_glue_settle(PyObject *capsule)
{
    /* Not the current one's id: in the child of a fork the others are cleared by the main one. */
    int64_t interp = (int64_t)(intptr_t)PyCapsule_GetContext(capsule);
    for (;;) {
        long entries;
        int last;
        ot_global_t *g = ot_core_settle(interp, &entries, &last);
        if (g == NULL) {
            break;
        }
        ot_entry_t *e = g->entry; /* pinned, if it is one */
        ot_glue_report(g, interp, "ended without leaving", entries);
        if (last) {
            ot_glue_exit(g);
        }
        if (e != NULL) {
            ot_core_unpin(e);
        }
    }
    ot_settled_interp = interp;
    if (interp == PyInterpreterState_GetID(PyInterpreterState_Main())) {
        ot_glue_report_rest();
    }
}

/* Has the current interpreter settled at its end; once for each, harmless again. 0, or -1 with an
 * exception set. */
static inline int
ot_glue_watch(int64_t interp)
{
    PyObject *dict = NULL; /* borrowed */
    if (!ot_glue_is_late(interp)) {
        dict = PyInterpreterState_GetDict(PyInterpreterState_Get());
    }
    if (dict == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "this interpreter is ending: too late to enter "
                                            "process-wide state");
        return -1;
    }
    char name[64];
    snprintf(name, sizeof name, "objtunnel globals of %p", (void *)&ot_domain);
    PyObject *key = PyUnicode_FromString(name);
    if (key == NULL) {
        return -1;
    }
    int there = PyDict_Contains(dict, key);
    if (there == 0) {
        PyObject *capsule = PyCapsule_New(&ot_domain, NULL, ot_glue_settle);
        PyObject *kept = NULL;
        there = -1;
        if (capsule != NULL && PyCapsule_SetContext(capsule, (void *)(intptr_t)interp) == 0) {
            there = PyDict_SetDefaultRef(dict, key, capsule, &kept);
        }
        if (capsule != NULL && kept != capsule) { /* not taken: it must not settle anything */
            PyCapsule_SetDestructor(capsule, NULL);
        }
        Py_XDECREF(kept);
        Py_XDECREF(capsule);
    }
    Py_DECREF(key);
    return there < 0 ? -1 : 0;
}

/* ---- waiting -------------------------------------------------------------------------------- */

/* While a thread waits for an init in its own interpreter, importlib is told so in its own terms,
 * as if the init were a module's lock. Then it sees a circle of the two kinds, whichever thread
 * closes it: its import raises, or we do. A future importlib without these names is not told. */
typedef struct {
    PyObject *lock;    /* a _ModuleLock, owned by who initialises */
    PyObject *waiting; /* importlib's list of what this thread waits for; NULL: it was not told */
} ot_import_wait_t;

/* No Python code runs here, so no signal handler can keep it from being done. */
static inline void
ot_glue_import_wait_end(ot_import_wait_t *wait)
{
    if (wait->waiting != NULL) {
        PyObject *error = PyErr_GetRaisedException();
        PyObject *result = PyObject_CallMethod(wait->waiting, "remove", "O", wait->lock);
        if (result == NULL && !PyErr_ExceptionMatches(PyExc_ValueError)) {
            PyErr_WriteUnraisable(wait->waiting);
        }
        PyErr_Clear();
        Py_XDECREF(result);
        PyErr_SetRaisedException(error);
    }
    Py_CLEAR(wait->waiting);
    Py_CLEAR(wait->lock);
}

/* Makes a _ModuleLock that `owner` has. NULL with an exception set. */
static inline PyObject *
ot_glue_module_lock(PyObject *importlib, const char *name, uintptr_t owner)
{
    PyObject *lock = PyObject_CallMethod(importlib, "_ModuleLock", "s", name);
    PyObject *id = PyLong_FromUnsignedLongLong(owner); /* PyThread_get_thread_ident() is the same */
    if (lock == NULL || id == NULL || PyObject_SetAttrString(lock, "owner", id) < 0) {
        Py_CLEAR(lock);
    }
    Py_XDECREF(id);
    return lock;
}

/* Returns -1 with an exception set; ot_glue_import_wait_end is due also then. */
static inline int
ot_glue_import_wait_begin(ot_import_wait_t *wait, const char *name, uintptr_t owner)
{
    PyObject *importlib = PyImport_ImportModule("_frozen_importlib");
    PyObject *manager = NULL, *entered = NULL;
    wait->lock = importlib == NULL ? NULL : ot_glue_module_lock(importlib, name, owner);
    if (wait->lock != NULL) {
        manager = PyObject_CallMethod(importlib, "_BlockingOnManager", "KO",
                                      (unsigned long long)ot_core_thread(), wait->lock);
    }
    if (manager != NULL) {
        entered = PyObject_CallMethod(manager, "__enter__", NULL);
        PyObject *error = PyErr_GetRaisedException(); /* Ctrl-C: it may be in the list already */
        wait->waiting = PyObject_GetAttrString(manager, "blocked_on");
        if (error != NULL) {
            PyErr_SetRaisedException(error);
        }
    }
    int rc = entered != NULL && wait->waiting != NULL ? 0 : -1;
    if (rc < 0 && PyErr_ExceptionMatches(PyExc_AttributeError)) {
        PyErr_Clear();
        rc = 0;
    }
    Py_XDECREF(entered);
    Py_XDECREF(manager);
    Py_XDECREF(importlib);
    return rc;
}

/* 1: the owner waits, in the end, for a module that this thread is importing; -1: an exception. */
static inline int
ot_glue_import_circle(ot_import_wait_t *wait)
{
    if (wait->waiting == NULL) {
        return 0;
    }
    PyObject *result = PyObject_CallMethod(wait->lock, "has_deadlock", NULL);
    int circle = result == NULL ? -1 : PyObject_IsTrue(result);
    Py_XDECREF(result);
    return circle;
}

static inline int
ot_glue_refuse(const ot_global_t *g, const char *why)
{
    const char *key = g->entry == NULL ? NULL : g->entry->key;
    PyErr_Format(PyExc_RuntimeError, "'%s'%s%s%s cannot be entered here: %s", g->name,
                 key == NULL ? "" : " ['", key == NULL ? "" : key, key == NULL ? "" : "']", why);
    return -1;
}

/* Sleeps, detached, until g has changed its state or a signal came. 0, or -1 with an exception.
 * `owner` of this interpreter, or 0, is at g's init or exit. */
static inline int
ot_glue_wait(ot_global_t *g, ot_waiter_t *waiter, uintptr_t owner)
{
    ot_import_wait_t import = {NULL, NULL};
    int circle = 0;
    if (owner != 0) {
        circle = ot_glue_import_wait_begin(&import, g->name, owner);
        circle = circle < 0 ? -1 : ot_glue_import_circle(&import);
    }
    ot_sleep_result_t slept;
    Py_BEGIN_ALLOW_THREADS
    slept = ot_core_sleep(waiter, circle == 0 ? -1 : 0);
    Py_END_ALLOW_THREADS
    /* Now: below weak references of importlib's have callbacks, in which Ctrl-C would get lost. */
    int interrupted = slept == OT_SLEEP_INTERRUPTED && PyErr_CheckSignals() < 0;
    ot_glue_import_wait_end(&import);
    if (circle > 0) {
        return ot_glue_refuse(g, "the thread that initialises it waits for a module that this "
                                 "thread is importing");
    }
    return circle < 0 || interrupted ? -1 : 0;
}

/* ---- entering and leaving -------------------------------------------------------------------- */

static inline int
ot_glue_init(ot_global_t *g, ot_init_t init, void *arg)
{
    int success = init == NULL || init(arg) == 0;
    if (!success && !PyErr_Occurred()) {
        PyErr_Format(PyExc_SystemError, "init of '%s' failed without setting an exception",
                     g->name);
    }
    ot_core_started(g, success);
    return success ? 0 : -1;
}

static inline int
ot_glue_enter(ot_global_t *g, const void *holder, ot_init_t init, void *arg)
{
    int64_t interp = ot_glue_interp();
    if (ot_glue_watch(interp) < 0) {
        return -1;
    }
    for (;;) {
        ot_waiter_t waiter;
        switch (ot_core_enter(g, interp, holder, &waiter)) {
        case OT_ENTERED:
            return 0;
        case OT_ENTER_INIT:
            return ot_glue_init(g, init, arg);
        case OT_ENTER_WAIT:
            if (ot_glue_wait(g, &waiter, waiter.owner_interp == interp ? waiter.owner : 0) < 0) {
                return -1;
            }
            break;
        case OT_ENTER_RECURSIVE:
            return ot_glue_refuse(g, "this thread is within its init or exit");
        case OT_ENTER_CIRCLE:
            return ot_glue_refuse(g, "the thread within its init or exit waits for this one");
        default:
            PyErr_NoMemory();
            return -1;
        }
    }
}

/* Returns 1 if that was the last entry and exit has run, 0 if there are others, -1 (no exception
 * set, nothing changed) if there was none of this interpreter and holder. */
static inline int
ot_glue_leave(ot_global_t *g, const void *holder)
{
    switch (ot_core_leave(g, ot_glue_interp(), holder)) {
    case OT_LEAVE_EXIT:
        ot_glue_exit(g);
        return 1;
    case OT_LEFT:
        return 0;
    default:
        return -1;
    }
}

/* Has the current interpreter use g: the first user of all runs init(arg) (which may be NULL),
 * others wait for it. A failed init is its caller's, and the next one to come or to wait tries
 * its own. May be called again; each time counts.
 * Returns 0, or -1 with an exception set: init's, KeyboardInterrupt while waiting, RuntimeError. */
static inline int
ot_global_enter(ot_global_t *g, ot_init_t init, void *arg)
{
    return ot_glue_enter(g, NULL, init, arg);
}

/* Ends one use by the current interpreter; the last one of all runs g's exit. May be called with an
 * exception set, which stays. Returns 0, or -1 without an exception if the interpreter had not
 * entered: the caller's mistake, unless the interpreter is ending and was settled before. */
static inline int
ot_global_leave(ot_global_t *g)
{
    int result = ot_glue_leave(g, NULL);
    if (result < 0 && !ot_glue_is_late(ot_glue_interp())) {
        ot_glue_report(g, ot_glue_interp(), "leaves without having entered", 1);
    }
    return result < 0 ? -1 : 0;
}

/* The same for a module object: it enters once, however often it is executed, and leaves only if
 * it had entered. See OT_MODULE_GLOBALS. init gets the module. */
static inline int
ot_global_enter_module(ot_global_t *g, PyObject *module, ot_init_t init)
{
    return ot_glue_enter(g, module, init, module);
}

static inline void
ot_global_leave_module(ot_global_t *g, void *module)
{
    (void)ot_glue_leave(g, module);
}

/* ---- registries ----------------------------------------------------------------------------- */

typedef struct {
    ot_entry_t *entry;
    ot_create_t create;
    void *arg;
} ot_glue_creation_t;

static inline int
ot_glue_create(void *arg)
{
    ot_glue_creation_t *c = (ot_glue_creation_t *)arg;
    return c->create(c->entry->key, c->arg, &c->entry->value);
}

/* Has the current interpreter use the resource with this key: the first user of all creates it,
 * others wait for it. As ot_global_enter otherwise. *value is good until the matching put; NULL if
 * it fails. */
static inline int
ot_registry_get(ot_registry_t *r, const char *key, ot_create_t create, void *arg, void **value)
{
    ot_entry_t *e = ot_core_pin(r, key, 1);
    *value = NULL;
    if (e == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    ot_glue_creation_t creation = {e, create, arg};
    int result = ot_glue_enter(&e->global, NULL, ot_glue_create, &creation);
    if (result == 0) {
        *value = e->value;
    }
    ot_core_unpin(e);
    return result;
}

/* Ends one use; the last one of all destroys the resource, under no lock. As ot_global_leave. */
static inline int
ot_registry_put(ot_registry_t *r, const char *key)
{
    ot_entry_t *e = ot_core_pin(r, key, 0);
    int result = -1;
    if (e != NULL) {
        result = ot_global_leave(&e->global);
        ot_core_unpin(e);
    } else if (ot_glue_debugging() && !ot_glue_is_late(ot_glue_interp())) {
        fprintf(stderr, "objtunnel: interpreter %lld puts '%s' ['%s'], which nobody has\n",
                (long long)ot_glue_interp(), r->name, key);
    }
    return result;
}

#ifdef __cplusplus
}
#endif
#endif
