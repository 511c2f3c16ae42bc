/* objtunnel_types.h: the static objects of an extension that wraps process-wide C state.
 *
 * Purpose: what objtunnel.h (through objtunnel's capsule) and objtunnel_global.h (everything in
 * headers, no dependency) have in common. Include one of those two, not this.
 * Main invariant: each object here is constant-initialised, so there is no moment at which two
 * interpreters could race to create it, and it is valid until the process ends. Its layout is part
 * of the ABI: what may be needed later goes into `reserved`.
 * Threading: the fields are the implementation's; only it touches them, under its lock.
 */
#ifndef OBJTUNNEL_TYPES_H
#define OBJTUNNEL_TYPES_H

#ifndef OT_WITHOUT_PYTHON
#include <Python.h>
#endif
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ot_global ot_global_t;
typedef struct ot_registry ot_registry_t;
struct ot_entry;
struct ot_user;

/* Process-wide state with users in several interpreters: initialised for the first, given back
 * after the last. Where the state itself lies (static variables, as a rule) is the author's affair.
 *
 * Invariant: users is the list of who entered and has not left, entries the sum of their counts;
 * READY: entries > 0. EMPTY, EXITING: entries == 0. STARTING: just the one who runs init.
 * owner and owner_interp say who runs init or exit, in STARTING and EXITING. */
struct ot_global {
    const char *name;
    void (*exit)(void);
    struct ot_entry *entry; /* the resource of a registry whose life this is; NULL otherwise */
    struct ot_user *users;
    ot_global_t *next; /* in the list of all that are not EMPTY */
    uintptr_t owner;
    int64_t owner_interp;
    int64_t since; /* monotonic nanoseconds: when it entered its state */
    uint64_t inits;
    long entries;
    int state;
    void *reserved[4];
};

/* Resources of one kind by key, each created for its first user, destroyed after its last. */
struct ot_registry {
    const char *name;
    void (*destroy)(const char *key, void *value);
    struct ot_entry *resources;
    void *reserved[4];
};

/* name: a string literal, for messages and process_globals(). exit: void f(void) or NULL. */
#define OT_GLOBAL_INIT(name, exit)                                                                 \
    {                                                                                              \
        (name), (exit), NULL, NULL, NULL, 0, -1, 0, 0, 0, 0,                                       \
        {                                                                                          \
            NULL, NULL, NULL, NULL                                                                 \
        }                                                                                          \
    }

/* destroy: void f(const char *key, void *value) or NULL. */
#define OT_REGISTRY_INIT(name, destroy)                                                            \
    {                                                                                              \
        (name), (destroy), NULL,                                                                   \
        {                                                                                          \
            NULL, NULL, NULL, NULL                                                                 \
        }                                                                                          \
    }

/* Creates the resource for key: stores it in *value and returns 0, or returns -1 with an exception
 * set. Runs with an attached thread state, under no lock; who wants the same key waits for it. */
typedef int (*ot_create_t)(const char *key, void *arg, void **value);

/* Initialises; 0, or -1 with an exception set. Same rules. */
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
