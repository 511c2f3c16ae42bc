/* SPDX-License-Identifier: MIT. Copyright (c) the objtunnel developers; this file may be copied. */
/* objtunnel_api.h: the table of functions behind the capsule objtunnel._core._C_API.
 *
 * Main invariant: it only grows. A function is added at the end and never changes its meaning, so
 * an extension built with an older header works with a newer objtunnel. With an older objtunnel
 * ot_import() refuses, by `size`. `version` changes only if that should ever be broken.
 * Threading: constant.
 */
#ifndef OBJTUNNEL_API_H
#define OBJTUNNEL_API_H

#include "objtunnel_kinds.h"
#include "objtunnel_types.h"

#define OT_API_CAPSULE "objtunnel._core._C_API"
#define OT_API_VERSION 1

typedef struct {
    uint32_t version; /* OT_API_VERSION */
    uint32_t size;    /* sizeof(ot_api_t) of the objtunnel that runs */
    int (*global_enter)(ot_global_t *g, ot_init_t init, void *arg);
    int (*global_leave)(ot_global_t *g);
    int (*global_enter_module)(ot_global_t *g, PyObject *module, ot_init_t init);
    void (*global_leave_module)(ot_global_t *g, void *module);
    int (*registry_get)(ot_registry_t *r, const char *key, ot_create_t create, void *arg,
                        void **value);
    int (*registry_put)(ot_registry_t *r, const char *key);
    int (*register_type)(PyTypeObject *type, const ot_type_spec_t *spec);
    PyObject *(*module_namespace)(PyObject *module);
    int (*enter_for)(ot_global_t *g, const void *holder, ot_init_t init, void *arg);
    int (*leave_for)(ot_global_t *g, const void *holder);
    int (*get_for)(ot_registry_t *r, const char *key, const void *holder, ot_create_t create,
                   void *arg, void **value);
    int (*put_for)(ot_registry_t *r, const char *key, const void *holder);
    ot_global_t *(*named)(const char *name, void (*exit)(void),
                          void (*call_exit)(void (*exit)(void)));
    /* sizeof(ot_global_t) and sizeof(ot_registry_t): they lie in the extension, and objtunnel works on them. */
    uint32_t global_size, registry_size;
} ot_api_t;

#endif
