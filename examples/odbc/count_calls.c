/* count_calls.c: counts what reaches the ODBC driver manager, from outside of whoever calls it.
 *
 *     LD_PRELOAD=.../count_calls.so ODBC_COUNTS=file program
 *
 * writes to the file, as the process ends, a JSON object: environments and connections allocated
 * and freed, the most environments that lived at once, and calls that came at the wrong time (a
 * connection without a living environment, an environment freed under living connections).
 *
 * Main invariant: each call is passed on unchanged. Threading: any thread.
 */
#define _GNU_SOURCE 1
#include <dlfcn.h>
#include <sql.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

static struct {
    atomic_long allocated, freed, live, most;
} environments, connections;

static atomic_long misuses;

/* The driver manager's own. Not RTLD_NEXT: extensions' libraries are not in the global scope. */
static void *
original(const char *name)
{
    void *manager = dlopen("libodbc.so.2", RTLD_LAZY);
    void *function = manager == NULL ? NULL : dlsym(manager, name);
    if (function == NULL) {
        fprintf(stderr, "count_calls: %s\n", dlerror());
        abort();
    }
    return function;
}

static void
count_allocated(SQLSMALLINT kind)
{
    if (kind == SQL_HANDLE_ENV) {
        long live = atomic_fetch_add(&environments.live, 1) + 1, most = environments.most;
        atomic_fetch_add(&environments.allocated, 1);
        while (live > most && !atomic_compare_exchange_weak(&environments.most, &most, live)) {
        }
    } else if (kind == SQL_HANDLE_DBC) {
        atomic_fetch_add(&connections.live, 1);
        atomic_fetch_add(&connections.allocated, 1);
    }
}

SQLRETURN
SQLAllocHandle(SQLSMALLINT kind, SQLHANDLE input, SQLHANDLE *output)
{
    SQLRETURN (*next)(SQLSMALLINT, SQLHANDLE, SQLHANDLE *) = original("SQLAllocHandle");
    if (kind == SQL_HANDLE_DBC && atomic_load(&environments.live) == 0) {
        atomic_fetch_add(&misuses, 1);
    }
    SQLRETURN rc = next(kind, input, output);
    if (SQL_SUCCEEDED(rc)) {
        count_allocated(kind);
    }
    return rc;
}

SQLRETURN
SQLFreeHandle(SQLSMALLINT kind, SQLHANDLE handle)
{
    SQLRETURN (*next)(SQLSMALLINT, SQLHANDLE) = original("SQLFreeHandle");
    if (kind == SQL_HANDLE_ENV && atomic_load(&connections.live) != 0) {
        atomic_fetch_add(&misuses, 1);
    }
    /* Counted before it happens: whoever allocates afterwards must not see this one live. */
    if (kind == SQL_HANDLE_ENV) {
        atomic_fetch_sub(&environments.live, 1);
        atomic_fetch_add(&environments.freed, 1);
    }
    SQLRETURN rc = next(kind, handle);
    if (kind == SQL_HANDLE_DBC && SQL_SUCCEEDED(rc)) {
        atomic_fetch_sub(&connections.live, 1);
        atomic_fetch_add(&connections.freed, 1);
    }
    if (!SQL_SUCCEEDED(rc)) {
        atomic_fetch_add(&misuses, 1);
    }
    return rc;
}

__attribute__((destructor)) static void
report(void)
{
    const char *path = getenv("ODBC_COUNTS");
    FILE *f = path == NULL ? NULL : fopen(path, "w");
    if (f != NULL) {
        fprintf(f,
                "{\"environments_allocated\": %ld, \"environments_freed\": %ld, "
                "\"environments_at_once\": %ld, \"connections_allocated\": %ld, "
                "\"connections_freed\": %ld, \"misuses\": %ld}\n",
                atomic_load(&environments.allocated), atomic_load(&environments.freed),
                atomic_load(&environments.most), atomic_load(&connections.allocated),
                atomic_load(&connections.freed), atomic_load(&misuses));
        fclose(f);
    }
}
