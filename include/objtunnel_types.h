/* SPDX-License-Identifier: MIT. Copyright (c) the objtunnel developers; this file may be copied. */
/* objtunnel_types.h: the static objects of an extension that wraps process-wide C state.
 *
 * Purpose: what objtunnel.h (through objtunnel's capsule) and objtunnel_global.h (everything in
 * headers, no dependency) have in common. Include one of those two, not this.
 * Main invariant: each object here is constant-initialised, so there is no moment at which two
 * interpreters could race to create it, and it is valid until the process ends. Its layout is part
 * of the ABI: ot_import() refuses an extension whose structs have another size.
 * Threading: the fields are the implementation's; only it touches them, under its lock.
 */
#ifndef OBJTUNNEL_TYPES_H
#define OBJTUNNEL_TYPES_H

#ifndef OT_WITHOUT_PYTHON
#include <Python.h>
#ifdef Py_LIMITED_API
#error "objtunnel's headers need CPython's full API: do not define Py_LIMITED_API"
#endif
#endif
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

/* The version of these headers, as objtunnel.__version__ has it. */
#define OT_VERSION_MAJOR 0
#define OT_VERSION_MINOR 2
#define OT_VERSION_MICRO 0
#define OT_VERSION_HEX ((OT_VERSION_MAJOR << 16) | (OT_VERSION_MINOR << 8) | OT_VERSION_MICRO)

#ifdef __cplusplus
#include "objtunnel_cxx.hpp"
#define OT_CALL_EXIT_ ot_cxx_call_exit
#define OT_CALL_DESTROY_ ot_cxx_call_destroy
extern "C" {
#else
#define OT_CALL_EXIT_ NULL
#define OT_CALL_DESTROY_ NULL
#endif

typedef struct ot_global ot_global_t;
typedef struct ot_registry ot_registry_t;
struct ot_core_entry;
struct ot_user;

/* Process-wide state with users in several interpreters: initialised for the first, given back
 * after the last. Where the state itself lies (static variables, as a rule) is the author's affair.
 *
 * Invariant: users is the list of who entered and has not left, entries the sum of their counts;
 * READY: entries > 0. EMPTY, EXITING: entries == 0. STARTING: just the one who runs init.
 * owner and owner_interp say who runs init or exit, in STARTING and EXITING. needs is empty in EMPTY;
 * each use in it is listed among the users of the global that is used. */
struct ot_global {
    const char *name;
    void (*exit)(void);
    struct ot_core_entry *entry; /* the resource of a registry whose life this is; NULL otherwise */
    struct ot_user *users;
    ot_global_t *next; /* in the list of all that are not EMPTY */
    uintptr_t owner;
    int64_t owner_interp;
    int64_t since; /* monotonic nanoseconds: when it entered its state */
    uint64_t inits;
    long entries;
    int state;
    struct ot_user *needs;                 /* its own uses of other globals, the newest first */
    void (*call_exit)(void (*exit)(void)); /* NULL, or calls an exit that may throw (C++) */
    void *domain;                          /* who looks after it; NULL: nobody yet */
    ot_global_t *target; /* another name for this one (ot_global_named); NULL otherwise */
};

/* Resources of one kind by key, each created for its first user, destroyed after its last. */
struct ot_registry {
    const char *name;
    void (*destroy)(const char *key, void *value);
    struct ot_core_entry *resources;
    void (*call_destroy)(void (*destroy)(const char *key, void *value), const char *key,
                         void *value); /* NULL, or calls a destroy that may throw (C++) */
    void *domain;
    void *reserved[2];
};

/* name: a string literal, for messages and process_globals(). exit: void f(void) or NULL. */
#define OT_GLOBAL_INIT(name, exit)                                                                 \
    {                                                                                              \
        (name), (exit), NULL, NULL, NULL, 0, -1, 0, 0, 0, 0, NULL, OT_CALL_EXIT_, NULL, NULL       \
    }

/* destroy: void f(const char *key, void *value) or NULL. */
#define OT_REGISTRY_INIT(name, destroy)                                                            \
    {                                                                                              \
        (name), (destroy), NULL, OT_CALL_DESTROY_, NULL,                                           \
        {                                                                                          \
            NULL, NULL                                                                             \
        }                                                                                          \
    }

/* Creates the resource for key: stores it in *value and returns 0, or returns -1 with an exception
 * set. Runs with an attached thread state, under no lock; who wants the same key waits for it. */
typedef int (*ot_create_t)(const char *key, void *arg, void **value);

/* Initialises; 0, or -1 with an exception set. Runs with an attached thread state, under no lock; who
 * enters the same global waits for it. */
typedef int (*ot_init_t)(void *arg);

/* A module that enters a global when it is executed and leaves it when it is freed:
 *
 *     OT_MODULE_GLOBALS(odbc, odbc_init, odbc_exit)          at file scope
 *     {Py_mod_exec, (void *)odbc_enter},                     the first of the slots
 *     .m_free = odbc_leave,                                  in the PyModuleDef
 *
 * init is int f(void *module), exit is void f(void). The global is named odbc_global. A module
 * with an m_free of its own calls odbc_leave(module) at that one's end. m_free runs for a module
 * whose init failed as well, and odbc_leave then does nothing. */
#define OT_MODULE_GLOBALS(prefix, init, exit)                                                      \
    static ot_global_t prefix##_global = OT_GLOBAL_INIT(#prefix, exit);                            \
    static int prefix##_enter(PyObject *module)                                                    \
    {                                                                                              \
        return ot_global_enter_module(&prefix##_global, module, init);                             \
    }                                                                                              \
    static void prefix##_leave(void *module)                                                       \
    {                                                                                              \
        ot_global_leave_module(&prefix##_global, module);                                          \
    }

#ifdef __cplusplus
}
#endif
#endif
