/* SPDX-License-Identifier: MIT. Copyright (c) the objtunnel developers; this file may be copied. */
/* objtunnel_cxx.hpp: keeps C++ exceptions out of C code (a part of the other headers; C++17).
 *
 * Purpose: init, exit, create and destroy may throw. What init and create throw comes out of
 * ot_global_enter and ot_registry_get; C code between the two never sees it. What exit and destroy
 * throw becomes a Python exception, which is reported as unraisable: they run where nobody can
 * catch it.
 * Main invariant: nothing passes but the unwinding of a thread that ends (pthread_exit): that one
 * must not be stopped, and objtunnel_core.h sees it by other means.
 * Threading: as the functions that are called.
 */
#ifndef OBJTUNNEL_CXX_H
#define OBJTUNNEL_CXX_H

#if defined(__cpp_exceptions)
#include <cxxabi.h>
#include <exception>
#endif
#include <stdio.h>

typedef int (*ot_cxx_init_t)(void *arg);
typedef int (*ot_cxx_create_t)(const char *key, void *arg, void **value);

/* Whether it set a Python exception: not if there is one already. */
static inline bool
ot_cxx_report(const char *what)
{
#ifdef OT_WITHOUT_PYTHON
    fprintf(stderr, "objtunnel: a C++ exception: %s\n", what);
    return false;
#else
    if (PyErr_Occurred()) {
        return false;
    }
    PyErr_Format(PyExc_RuntimeError, "a C++ exception: %s", what);
    return true;
#endif
}

#if defined(__cpp_exceptions)
struct ot_cxx_thrown_t {
    std::exception_ptr exception;
    bool reported = false; /* a Python exception was set for it */
};

/* Runs call(); 0, or -1 with a Python exception if it threw, and *thrown says what. */
template <typename Call>
static inline int
ot_cxx_try(Call call, ot_cxx_thrown_t *thrown)
{
    try {
        call();
        return 0;
    }
#ifdef __GLIBCXX__
    catch (abi::__forced_unwind &) {
        throw;
    }
#endif
    catch (const std::exception &e) {
        thrown->exception = std::current_exception();
        thrown->reported = ot_cxx_report(e.what());
    } catch (...) {
        thrown->exception = std::current_exception();
        thrown->reported = ot_cxx_report("not a std::exception");
    }
    return -1;
}

/* A call of init or create by C code: `thrown` is what it threw. */
struct ot_cxx_call_t {
    ot_cxx_init_t init;
    ot_cxx_create_t create;
    void *arg;
    ot_cxx_thrown_t thrown;

    /* At the end: throws again what was thrown, in place of the Python exception that told C of it. */
    int result(int rc)
    {
        if (thrown.exception) {
#ifndef OT_WITHOUT_PYTHON
            if (thrown.reported) {
                PyErr_Clear();
            }
#endif
            std::rethrow_exception(thrown.exception);
        }
        return rc;
    }
};

static inline int
ot_cxx_init(void *p)
{
    ot_cxx_call_t *c = (ot_cxx_call_t *)p;
    int rc = -1;
    return ot_cxx_try([&] { rc = c->init(c->arg); }, &c->thrown) < 0 ? -1 : rc;
}

static inline int
ot_cxx_create(const char *key, void *p, void **value)
{
    ot_cxx_call_t *c = (ot_cxx_call_t *)p;
    int rc = -1;
    return ot_cxx_try([&] { rc = c->create(key, c->arg, value); }, &c->thrown) < 0 ? -1 : rc;
}

static inline void
ot_cxx_call_exit(void (*exit)(void))
{
    ot_cxx_thrown_t thrown;
    (void)ot_cxx_try([&] { exit(); }, &thrown);
}

static inline void
ot_cxx_call_destroy(void (*destroy)(const char *key, void *value), const char *key, void *value)
{
    ot_cxx_thrown_t thrown;
    (void)ot_cxx_try([&] { destroy(key, value); }, &thrown);
}

#else /* -fno-exceptions: nothing is thrown */

static inline void
ot_cxx_call_exit(void (*exit)(void))
{
    exit();
}

static inline void
ot_cxx_call_destroy(void (*destroy)(const char *key, void *value), const char *key, void *value)
{
    destroy(key, value);
}

#endif
#endif
