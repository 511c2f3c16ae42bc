/* SPDX-License-Identifier: MIT. Copyright (c) the objtunnel developers; this file may be copied. */
/* objtunnel_lists.h: process-wide state by key and by name, and what there is of it; no Python.
 *
 * Purpose: the resources of a registry, each with the life of a global (objtunnel_core.h); globals
 * that several extensions find by name; a snapshot for inspection.
 * Main invariant: a resource is in its registry's list while it is used or in anybody's hands. A name
 * stays for good.
 * Threading: as objtunnel_core.h.
 */
#ifndef OBJTUNNEL_LISTS_H
#define OBJTUNNEL_LISTS_H

#include "objtunnel_core.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- registries ----------------------------------------------------------------------------- */

static inline ot_core_entry_t *
ot_core_find_locked(ot_registry_t *r, const char *key)
{
    ot_core_entry_t *e = r->resources;
    while (e != NULL && strcmp(e->key, key) != 0) {
        e = e->next;
    }
    return e;
}

static inline ot_core_entry_t *
ot_core_new_entry(ot_registry_t *r, const char *key)
{
    size_t length = strlen(key) + 1;
    ot_core_entry_t *e = (ot_core_entry_t *)calloc(1, sizeof *e + length);
    if (e != NULL) {
        e->global.name = r->name;
        e->global.owner_interp = OT_INTERP_NONE;
        e->global.entry = e;
        e->registry = r;
        e->key = (char *)(e + 1);
        memcpy(e->key, key, length);
    }
    return e;
}

/* The resource of that key, pinned. NULL if there is none, or with `make` only without memory. The
 * registry is this domain's (ot_core_claim). */
static inline ot_core_entry_t *
ot_core_pin(ot_registry_t *r, const char *key, int make)
{
    ot_core_entry_t *fresh = make ? ot_core_new_entry(r, key) : NULL;
    if (make && fresh == NULL) {
        return NULL;
    }
    ot_core_lock();
    ot_core_entry_t *e = ot_core_find_locked(r, key);
    if (e == NULL && fresh != NULL) {
        e = fresh;
        fresh = NULL;
        e->next = r->resources;
        r->resources = e;
    }
    if (e != NULL) {
        e->pins++;
    }
    ot_core_unlock();
    free(fresh);
    return e;
}

/* Ends a pin; frees what is neither used nor in anybody's hands. */
static inline void
ot_core_unpin(ot_core_entry_t *e)
{
    ot_core_lock();
    int dead = --e->pins == 0 && e->global.state == OT_GLOBAL_EMPTY && e->global.needs == NULL;
    if (dead) {
        ot_core_entry_t **link = &e->registry->resources;
        while (*link != e) {
            link = &(*link)->next;
        }
        *link = e->next;
    }
    ot_core_unlock();
    if (dead) {
        free(e);
    }
}

/* ---- names ----------------------------------------------------------------------------------- */

/* A global by name. aliases: one for each exit that somebody gave with the name, linked by `next`; what
 * happens to an alias happens to `shared`, its target. */
typedef struct ot_named {
    struct ot_named *next;
    ot_global_t *aliases;
    ot_global_t shared;
} ot_named_t;

static inline ot_named_t *
ot_core_new_named(const char *name)
{
    size_t length = strlen(name) + 1;
    ot_named_t *n = (ot_named_t *)calloc(1, sizeof *n + length);
    if (n != NULL) {
        n->shared.name = (const char *)memcpy(n + 1, name, length);
        n->shared.owner_interp = OT_INTERP_NONE;
    }
    return n;
}

static inline ot_global_t *
ot_core_alias_locked(const char *name, void (*exit)(void), ot_named_t **fresh,
                     ot_global_t **fresh_alias)
{
    ot_named_t *n = ot_domain.named;
    while (n != NULL && strcmp(n->shared.name, name) != 0) {
        n = n->next;
    }
    if (n == NULL) {
        n = *fresh;
        *fresh = NULL;
        n->next = ot_domain.named;
        ot_domain.named = n;
    }
    ot_global_t *alias = n->aliases;
    while (alias != NULL && alias->exit != exit) {
        alias = alias->next;
    }
    if (alias == NULL) {
        alias = *fresh_alias;
        *fresh_alias = NULL;
        alias->name = n->shared.name;
        alias->exit = exit;
        alias->target = &n->shared;
        alias->next = n->aliases;
        n->aliases = alias;
    }
    return alias;
}

/* The alias of that name and exit; NULL without memory. It is never freed. */
static inline ot_global_t *
ot_core_named(const char *name, void (*exit)(void), void (*call_exit)(void (*exit)(void)))
{
    ot_named_t *fresh = ot_core_new_named(name);
    ot_global_t *fresh_alias = (ot_global_t *)calloc(1, sizeof *fresh_alias), *alias = NULL;
    if (fresh != NULL && fresh_alias != NULL) {
        fresh_alias->call_exit = call_exit;
        ot_core_lock();
        alias = ot_core_alias_locked(name, exit, &fresh, &fresh_alias);
        ot_core_unlock();
    }
    free(fresh);
    free(fresh_alias);
    return alias;
}

/* ---- inspection ----------------------------------------------------------------------------- */

/* One user of one global: an interpreter, or another global (interp OT_INTERP_GLOBAL), or nobody
 * (OT_INTERP_NONE). */
typedef struct {
    const char *name;
    char *key;             /* of a registry's resource, to be freed; NULL for a global */
    const char *user_name; /* name of the global that uses it; NULL for an interpreter */
    char *user_key;        /* key of that global, as `key` above */
    const void *global;
    int state;
    int64_t interp, age; /* nanoseconds in this state */
    uint64_t inits;
    long entries;
} ot_global_row_t;

static inline void
ot_core_free_rows(ot_global_row_t *rows, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        free(rows[i].key);
        free(rows[i].user_key);
    }
    free(rows);
}

/* 0, or -1 without memory. */
static inline int
ot_core_copy_key(const ot_global_t *g, char **key)
{
    *key = g == NULL || g->entry == NULL ? NULL : strdup(g->entry->key);
    return g != NULL && g->entry != NULL && *key == NULL ? -1 : 0;
}

/* Adds a row; 0, or -1 without memory. */
static inline int
ot_core_add_row_locked(ot_global_row_t **rows, size_t *n, const ot_global_t *g,
                       const ot_user_t *user)
{
    ot_global_row_t *more = (ot_global_row_t *)realloc(*rows, (*n + 1) * sizeof **rows);
    if (more == NULL) {
        return -1;
    }
    *rows = more;
    const ot_global_t *by =
        user != NULL && user->interp == OT_INTERP_GLOBAL ? (const ot_global_t *)user->holder : NULL;
    ot_global_row_t row = {g->name,
                           NULL,
                           by == NULL ? NULL : by->name,
                           NULL,
                           g,
                           g->state,
                           user == NULL ? OT_INTERP_NONE : user->interp,
                           ot_core_now() - g->since,
                           g->inits,
                           user == NULL ? 0 : user->count};
    if (ot_core_copy_key(g, &row.key) < 0 || ot_core_copy_key(by, &row.user_key) < 0) {
        free(row.key);
        return -1;
    }
    more[(*n)++] = row;
    return 0;
}

/* All globals of the domain that are not EMPTY, those of one global in a row. The caller frees
 * *rows. 0, or -1 without memory. */
static inline int
ot_core_snapshot(ot_global_row_t **rows, size_t *n)
{
    int rc = 0;
    *rows = NULL;
    *n = 0;
    ot_core_lock();
    for (const ot_global_t *g = ot_domain.globals; g != NULL && rc == 0; g = g->next) {
        const ot_user_t *user = g->users;
        do {
            rc = ot_core_add_row_locked(rows, n, g, user);
            user = user == NULL ? NULL : user->next;
        } while (user != NULL && rc == 0);
    }
    ot_core_unlock();
    if (rc < 0) {
        ot_core_free_rows(*rows, *n);
        *rows = NULL;
        *n = 0;
    }
    return rc;
}

#ifdef __cplusplus
}
#endif
#endif
