/* SPDX-License-Identifier: MIT. Copyright (c) the objtunnel developers; this file may be copied. */
/* objtunnel_global.h: process-wide state for extension modules, all of it in headers.
 *
 * Purpose: initialise a C library for the first interpreter that needs it, give it back after the
 * last, whatever interpreters and threads do meanwhile. No dependency at run time: copy this file
 * with objtunnel_{types,core,lists,calls,locks}.h (C++: and _cxx.hpp) into an extension. The alternative with the
 * same functions is objtunnel.h, which calls the copy in objtunnel's _core: that one shows up in
 * objtunnel.process_globals(), and serves several shared objects. objtunnel_calls.h documents the
 * functions.
 *
 * Main invariant: objtunnel_core.h's. Here is what Python adds: a thread that waits is detached; an
 * interpreter that ends without leaving is settled, after the last of its objects.
 *
 * Threading: call with an attached thread state (with the GIL, where there is one). init, exit,
 * create and destroy run attached too, to the interpreter of whoever happened to be first or last,
 * under no lock: they may let go of the GIL and run Python code. Rules for them:
 *  - They must keep nothing of that interpreter: others will use what they made, after it.
 *  - exit and destroy may run while their interpreter ends: C only.
 *  - What they enter themselves, in their thread, is entered for their global, as long as it lives:
 *    it is left after their exit. What a module enters that they import stays the module's.
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
#include "objtunnel_lists.h"
#include "objtunnel_locks.h"

#ifdef __cplusplus
extern "C" {
#endif

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
        if (rows[i].user_name != NULL) {
            fprintf(stderr,
                    "objtunnel: at the end of the main interpreter, '%s'%s%s still needs '%s'\n",
                    rows[i].user_name, rows[i].user_key == NULL ? "" : " ",
                    rows[i].user_key == NULL ? "" : rows[i].user_key, rows[i].name);
            continue;
        }
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

/* Whether the interpreter is past its last Python code: its modules and their names are gone. */
static inline int
ot_glue_is_ending(void)
{
    PyObject *modules = PySys_GetObject("modules"); /* borrowed */
    return modules == NULL || !PyDict_Check(modules);
}

static inline void
ot_glue_call_exit(const ot_global_t *g)
{
    const ot_registry_t *r = g->entry == NULL ? NULL : g->entry->registry;
    if (r == NULL && g->exit != NULL) {
        if (g->call_exit != NULL) {
            g->call_exit(g->exit);
        } else {
            g->exit();
        }
    } else if (r != NULL && r->destroy != NULL) {
        if (r->call_destroy != NULL) {
            r->call_destroy(r->destroy, g->entry->key, g->entry->value);
        } else {
            r->destroy(g->entry->key, g->entry->value);
        }
    }
}

/* Reports the exception that exit or destroy has set: as unraisable, or where that prints nothing any
 * more because the interpreter's sys is empty, on stderr. */
static inline void
ot_glue_report_error(const ot_global_t *g)
{
    if (!ot_glue_is_ending()) {
        PyErr_WriteUnraisable(NULL);
        return;
    }
    PyObject *error = PyErr_GetRaisedException();
    PyObject *text = PyObject_Str(error);
    const char *utf8 = text == NULL ? NULL : PyUnicode_AsUTF8(text);
    fprintf(stderr, "objtunnel: the exit of '%s' failed: %s: %s\n", g->name,
            Py_TYPE(error)->tp_name, utf8 == NULL ? "?" : utf8);
    PyErr_Clear();
    Py_XDECREF(text);
    Py_DECREF(error);
}

static inline void ot_glue_release(ot_global_t *g, int64_t interp);

/* Runs exit or destroy, then gives back what g needed; the exception that the caller may be about to
 * raise survives it. */
static inline void
ot_glue_exit(ot_global_t *g, const void *holder)
{
    int64_t interp = ot_glue_interp();
    PyObject *error = PyErr_GetRaisedException();
    ot_within_t within;
    ot_core_begin(&within, g, interp, holder);
    ot_glue_call_exit(g);
    ot_core_end(&within);
    if (PyErr_Occurred()) {
        ot_glue_report_error(g);
    }
    ot_glue_release(g, interp);
    ot_core_exited(g);
    PyErr_SetRaisedException(error);
}

static inline void
ot_glue_release(ot_global_t *g, int64_t interp)
{
    int last;
    for (ot_global_t *need; (need = ot_core_release(g, interp, &last)) != NULL;) {
        ot_core_entry_t *e = need->entry; /* pinned, if it is one */
        if (last) {
            ot_glue_exit(need, NULL);
        }
        if (e != NULL) {
            ot_core_unpin(e);
        }
    }
}

static inline void
ot_glue_settle(int64_t interp)
{
    for (;;) {
        long entries;
        int last;
        ot_global_t *g = ot_core_settle(interp, &entries, &last);
        if (g == NULL) {
            break;
        }
        ot_core_entry_t *e = g->entry; /* pinned, if it is one */
        ot_glue_report(g, interp, "ended without leaving", entries);
        if (last) {
            ot_glue_exit(g, NULL);
        }
        if (e != NULL) {
            ot_core_unpin(e);
        }
    }
    if (interp == PyInterpreterState_GetID(PyInterpreterState_Main())) {
        ot_glue_report_rest();
    }
}

/* Not the current interpreter's id: in the child of a fork the others are cleared by the main one. */
static inline int64_t
ot_glue_capsule_interp(PyObject *capsule)
{
    return (int64_t)(intptr_t)PyCapsule_GetContext(capsule);
}

static inline PyObject *
ot_glue_capsule(int64_t interp, PyCapsule_Destructor destructor)
{
    PyObject *capsule = PyCapsule_New((void *)&ot_domain, NULL, destructor);
    if (capsule != NULL && PyCapsule_SetContext(capsule, (void *)(intptr_t)interp) != 0) {
        PyCapsule_SetDestructor(capsule, NULL);
        Py_CLEAR(capsule);
    }
    return capsule;
}

static inline void
ot_glue_domain_name(char *name, size_t size)
{
    snprintf(name, size, "objtunnel globals of %p", (void *)&ot_domain);
}

static inline void
ot_glue_last_capsule_goes(PyObject *capsule)
{
    ot_glue_settle(ot_glue_capsule_interp(capsule));
}

/* The capsule in the interpreter's own dict goes after the modules and what lived in them; an atexit
 * callback would be too early, with Python code to run yet that uses the library. But this is not the
 * end: functions for forks, gc.callbacks and gc.garbage hold objects yet. The names of sys go last. */
static inline void
ot_glue_dict_capsule_goes(PyObject *capsule)
{
    int64_t interp = ot_glue_capsule_interp(capsule);
    PyObject *error = PyErr_GetRaisedException();
    PyObject *last = NULL;
    if (interp == ot_glue_interp()) {
        last = ot_glue_capsule(interp, ot_glue_last_capsule_goes);
    }
    char name[64];
    ot_glue_domain_name(name, sizeof name);
    if (last == NULL) {
        ot_glue_settle(interp);
    } else {
        (void)PySys_SetObject(name, last);
    }
    PyErr_Clear();
    Py_XDECREF(last); /* the last one if sys did not take it: it settles now */
    PyErr_SetRaisedException(error);
}

/* Has the current interpreter settled at its end; once for each, harmless again. 0, or -1 with an
 * exception set. */
static inline int
ot_glue_watch(int64_t interp)
{
    PyObject *dict = NULL; /* borrowed */
    if (!ot_glue_is_ending()) {
        dict = PyInterpreterState_GetDict(PyInterpreterState_Get());
    }
    if (dict == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "this interpreter is ending: too late to enter "
                                            "process-wide state");
        return -1;
    }
    char name[64];
    ot_glue_domain_name(name, sizeof name);
    PyObject *key = PyUnicode_FromString(name);
    if (key == NULL) {
        return -1;
    }
    int there = PyDict_Contains(dict, key);
    if (there == 0) {
        PyObject *capsule = ot_glue_capsule(interp, ot_glue_dict_capsule_goes);
        PyObject *kept = NULL;
        there = capsule == NULL ? -1 : PyDict_SetDefaultRef(dict, key, capsule, &kept);
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

/* circle: the names in it, or NULL. */
static inline int
ot_glue_refuse(const ot_global_t *g, const char *why, const char *circle)
{
    const char *key = g->entry == NULL ? NULL : g->entry->key;
    PyErr_Format(PyExc_RuntimeError, "'%s'%s%s%s cannot be entered here: %s%s%s", g->name,
                 key == NULL ? "" : " ['", key == NULL ? "" : key, key == NULL ? "" : "']", why,
                 circle == NULL ? "" : ": ", circle == NULL ? "" : circle);
    return -1;
}

/* How long a thread sleeps at most before it looks whether a signal (Ctrl-C) came, in nanoseconds. */
#define OT_GLUE_SLICE 50000000

/* Sleeps, detached, until g has changed its state or some time has passed; handles signals. 0, or -1
 * with an exception. `owner` of this interpreter, or 0, is at g's init or exit. */
static inline int
ot_glue_wait(ot_global_t *g, ot_core_waiter_t *waiter, uintptr_t owner)
{
    ot_import_wait_t import = {NULL, NULL};
    int circle = 0;
    if (owner != 0) {
        circle = ot_glue_import_wait_begin(&import, g->name, owner);
        circle = circle < 0 ? -1 : ot_glue_import_circle(&import);
    }
    ot_sleep_result_t slept;
    Py_BEGIN_ALLOW_THREADS
    slept = ot_core_sleep(waiter, circle == 0 ? OT_GLUE_SLICE : 0);
    Py_END_ALLOW_THREADS
    /* Now: below weak references of importlib's have callbacks, in which Ctrl-C would get lost. */
    int interrupted = circle == 0 && slept == OT_SLEEP_TIMEOUT && PyErr_CheckSignals() < 0;
    ot_glue_import_wait_end(&import);
    if (circle > 0) {
        return ot_glue_refuse(g,
                              "the thread that initialises it waits for a module that this "
                              "thread is importing",
                              NULL);
    }
    return circle < 0 || interrupted ? -1 : 0;
}

/* ---- entering and leaving -------------------------------------------------------------------- */

static inline int
ot_glue_init(ot_global_t *g, int64_t interp, const void *holder, ot_init_t init, void *arg)
{
    ot_within_t within;
    ot_core_begin(&within, g, interp, holder);
    int success = init == NULL || init(arg) == 0;
    ot_core_end(&within);
    if (!success && !PyErr_Occurred()) {
        PyErr_Format(PyExc_SystemError, "init of '%s' failed without setting an exception",
                     g->name);
    }
    if (!success) {
        ot_glue_release(g, interp);
    }
    ot_core_started(g, success);
    return success ? 0 : -1;
}

static inline int
ot_glue_cannot_enter(const ot_global_t *g, ot_enter_result_t why, const char *circle)
{
    switch (why) {
    case OT_ENTER_RECURSIVE:
        return ot_glue_refuse(g, "this thread is within its init or exit", circle);
    case OT_ENTER_CIRCLE:
        return ot_glue_refuse(g, "the thread within its init or exit waits for this one", circle);
    case OT_ENTER_ABANDONED:
        return ot_glue_refuse(g, "the thread within its init or exit has ended", NULL);
    case OT_ENTER_FOREIGN:
        return ot_glue_refuse(g,
                              "another shared object has entered it that does not share this "
                              "one's list of users; all must include objtunnel.h",
                              NULL);
    default:
        PyErr_NoMemory();
        return -1;
    }
}

/* What an alias (ot_global_named) stands for. */
static inline ot_global_t *
ot_glue_target(ot_global_t *g)
{
    return g->target == NULL ? g : g->target;
}

static inline int
ot_base_enter(ot_global_t *alias, const void *holder, ot_init_t init, void *arg)
{
    ot_global_t *g = ot_glue_target(alias);
    int64_t interp = ot_glue_interp();
    if (ot_glue_watch(interp) < 0) {
        return -1;
    }
    for (;;) {
        ot_core_waiter_t waiter;
        ot_enter_result_t result = ot_core_enter(g, interp, holder, &waiter);
        if (result == OT_ENTERED) {
            return 0;
        }
        if (result == OT_ENTER_INIT) {
            if (g != alias) { /* init and exit of the same extension count */
                g->exit = alias->exit;
                g->call_exit = alias->call_exit;
            }
            return ot_glue_init(g, interp, holder, init, arg);
        }
        if (result != OT_ENTER_WAIT) {
            return ot_glue_cannot_enter(g, result, waiter.circle);
        }
        if (ot_glue_wait(g, &waiter, waiter.owner_interp == interp ? waiter.owner : 0) < 0) {
            return -1;
        }
    }
}

static inline int
ot_base_leave(ot_global_t *alias, const void *holder)
{
    ot_global_t *g = ot_glue_target(alias);
    switch (ot_core_leave(g, ot_glue_interp(), holder)) {
    case OT_LEAVE_EXIT:
        ot_glue_exit(g, holder);
        return 0;
    case OT_LEFT:
        return 0;
    default:
        if (holder == NULL && !ot_glue_is_ending()) {
            ot_glue_report(g, ot_glue_interp(), "leaves without having entered", 1);
        }
        return -1;
    }
}

/* ---- registries ----------------------------------------------------------------------------- */

typedef struct {
    ot_core_entry_t *entry;
    ot_create_t create;
    void *arg;
} ot_glue_creation_t;

static inline int
ot_glue_create(void *arg)
{
    ot_glue_creation_t *c = (ot_glue_creation_t *)arg;
    return c->create(c->entry->key, c->arg, &c->entry->value);
}

static inline int
ot_base_get(ot_registry_t *r, const char *key, const void *holder, ot_create_t create, void *arg,
            void **value)
{
    *value = NULL;
    if (!ot_core_claim(&r->domain)) {
        ot_global_t stranger = OT_GLOBAL_INIT(r->name, NULL);
        return ot_glue_cannot_enter(&stranger, OT_ENTER_FOREIGN, NULL);
    }
    ot_core_entry_t *e = ot_core_pin(r, key, 1);
    if (e == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    ot_glue_creation_t creation = {e, create, arg};
    int result = ot_base_enter(&e->global, holder, ot_glue_create, &creation);
    if (result == 0) {
        *value = e->value;
    }
    ot_core_unpin(e);
    return result;
}

static inline int
ot_base_put(ot_registry_t *r, const char *key, const void *holder)
{
    ot_core_entry_t *e = ot_core_claim(&r->domain) ? ot_core_pin(r, key, 0) : NULL;
    int result = -1;
    if (e != NULL) {
        result = ot_base_leave(&e->global, holder);
        ot_core_unpin(e);
    } else if (holder == NULL && ot_glue_debugging() && !ot_glue_is_ending()) {
        fprintf(stderr, "objtunnel: interpreter %lld puts '%s' ['%s'], which nobody has\n",
                (long long)ot_glue_interp(), r->name, key);
    }
    return result;
}

#ifdef __cplusplus
}
#endif

#include "objtunnel_calls.h"
#endif
