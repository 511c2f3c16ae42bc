// thrower.cc: a C++ extension whose init, exit, create and destroy throw while it is told to.
#include "variant.h"

#include "objtunnel.hpp"

#include <atomic>
#include <mutex>
#include <shared_mutex>
#include <stdexcept>

static std::atomic<bool> throws{false};
static std::atomic<long> inits{0}, exits{0};

static void
maybe_throw(const char *what)
{
    if (throws) {
        throw std::runtime_error(what);
    }
}

static int
init(void *)
{
    maybe_throw("device busy");
    inits++;
    return 0;
}

static void
exit_it()
{
    exits++;
    maybe_throw("device does not close");
}

static int
create(const char *, void *, void **value)
{
    maybe_throw("device busy");
    *value = new long(1);
    return 0;
}

static void
destroy(const char *, void *value)
{
    delete static_cast<long *>(value);
    maybe_throw("resource does not close");
}

static ot_global_t device = OT_GLOBAL_INIT("device", exit_it);
static ot_registry_t resources = OT_REGISTRY_INIT("resources", destroy);
static ot_registry_t counters = OT_REGISTRY_INIT("counters", [](const char *, void *) {});

// Calls f, and turns what it throws into a Python exception: OSError for a std::runtime_error.
template <typename F>
static PyObject *
guarded(F f)
{
    try {
        return f();
    } catch (const objtunnel::python_error &) {
        return nullptr;
    } catch (const std::runtime_error &e) {
        PyErr_SetString(PyExc_OSError, e.what());
        return nullptr;
    }
}

static PyObject *
enter(PyObject *, PyObject *)
{
    return guarded(
        [] { return ot_global_enter(&device, init, nullptr) < 0 ? nullptr : Py_NewRef(Py_None); });
}

static PyObject *
leave(PyObject *, PyObject *)
{
    return PyLong_FromLong(ot_global_leave(&device));
}

static PyObject *
get(PyObject *, PyObject *key)
{
    return guarded([&] {
        void *value;
        return ot_registry_get(&resources, PyUnicode_AsUTF8(key), create, nullptr, &value) < 0
                   ? nullptr
                   : Py_NewRef(Py_None);
    });
}

static PyObject *
put(PyObject *, PyObject *key)
{
    return PyLong_FromLong(ot_registry_put(&resources, PyUnicode_AsUTF8(key)));
}

static long scopes = 0;

static PyObject *
raii(PyObject *, PyObject *)
{
    return guarded([] {
        objtunnel::global use(device, init);
        objtunnel::resource<long> one(resources, "one", create);
        scopes += *one.get();
        return PyLong_FromLong(scopes);
    });
}

// A Python exception within init comes out of a scope, as itself.
static PyObject *
raise_python(PyObject *, PyObject *)
{
    return guarded([]() -> PyObject * {
        objtunnel::resource<> none(counters, "none", [](const char *, void *, void **) {
            PyErr_SetString(PyExc_KeyError, "a Python exception");
            return -1;
        });
        return Py_NewRef(Py_None);
    });
}

static PyObject *
counts(PyObject *, PyObject *)
{
    return Py_BuildValue("ll", inits.load(), exits.load());
}

static PyObject *
set_throws(PyObject *, PyObject *flag)
{
    throws = PyObject_IsTrue(flag) != 0;
    return Py_NewRef(Py_None);
}

static objtunnel::mutex mutex("counted");
static objtunnel::shared_mutex shared("counted by many");
static long locked = 0, shared_locked = 0;

static PyObject *
count_locked(PyObject *, PyObject *number)
{
    long n = PyLong_AsLong(number);
    Py_BEGIN_ALLOW_THREADS;
    for (long i = 0; i < n; i++) {
        {
            std::lock_guard<objtunnel::mutex> hold(mutex);
            locked++;
        }
        {
            std::shared_lock<objtunnel::shared_mutex> hold(shared);
            (void)shared_locked;
        }
        std::unique_lock<objtunnel::shared_mutex> hold(shared);
        shared_locked++;
    }
    Py_END_ALLOW_THREADS;
    return Py_BuildValue("ll", locked, shared_locked);
}

static PyObject *
try_locks(PyObject *, PyObject *)
{
    using namespace std::chrono_literals;
    bool good = mutex.try_lock_for(1ms);
    mutex.unlock();
    good = good && shared.try_lock_shared_for(1ms) && !shared.try_lock();
    shared.unlock_shared();
    good = good && shared.try_lock_for(1ms) && !shared.try_lock_shared();
    shared.unlock();
    return PyBool_FromLong(good);
}

static PyMethodDef functions[] = {
    {"enter", enter, METH_NOARGS, nullptr},
    {"leave", leave, METH_NOARGS, nullptr},
    {"get", get, METH_O, nullptr},
    {"put", put, METH_O, nullptr},
    {"raii", raii, METH_NOARGS, nullptr},
    {"raise_python", raise_python, METH_NOARGS, nullptr},
    {"counts", counts, METH_NOARGS, nullptr},
    {"throw", set_throws, METH_O, nullptr},
    {"count_locked", count_locked, METH_O, nullptr},
    {"try_locks", try_locks, METH_NOARGS, nullptr},
    {nullptr, nullptr, 0, nullptr},
};

static PyModuleDef_Slot slots[] = {
    {Py_mod_multiple_interpreters, Py_MOD_PER_INTERPRETER_GIL_SUPPORTED},
    {Py_mod_gil, Py_MOD_GIL_NOT_USED},
    {0, nullptr},
};

static PyModuleDef module_def = {
    PyModuleDef_HEAD_INIT, "thrower", nullptr, 0, functions, slots, nullptr, nullptr, nullptr,
};

PyMODINIT_FUNC
OT_TEST_MODULE(thrower)()
{
    return PyModuleDef_Init(&module_def);
}
