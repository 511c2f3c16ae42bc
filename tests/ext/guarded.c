/* guarded.c: a test extension around library.h, guarded by process-wide state of ours.
 *
 * Built twice from this source: `guarded` with objtunnel.h, by the capsule; `guarded_alone`
 * (OT_TEST_ALONE) with objtunnel_global.h, by nothing but headers, also for free-threaded CPython.
 *
 * Main invariant: the module's own use of the library is all in OT_MODULE_GLOBALS; the globals,
 * resources and locks below it are scripted from Python: init and create call a Python function.
 * Threading: whatever the test does.
 */
#include "guarded.h"

#include <stdlib.h>

#include "library.h"

/* ---- the module's own library ---------------------------------------------------------------- */

static atomic_int failures =
    -1; /* how many inits of a hundred are to fail; -1: as the variable says */
static atomic_uint dice = 12345;

static int
fails(void)
{
    const char *variable = getenv("GUARDED_FAILURES");
    int percent = atomic_load(&failures);
    if (percent < 0) {
        percent = variable == NULL ? 0 : atoi(variable);
    }
    unsigned x = atomic_fetch_add(&dice, 0x9e3779b9u);
    x = (x ^ x >> 16) * 0x45d9f3bu;
    return (int)((x ^ x >> 16) % 100) < percent;
}

/* Lets go of the GIL, so that every other thread may try to get in. */
static int
guarded_init(void *module)
{
    (void)module;
    int failed = fails();
    if (!failed) {
        Py_BEGIN_ALLOW_THREADS
        library_init();
        Py_END_ALLOW_THREADS
    } else {
        PyErr_SetString(PyExc_OSError, "init failed, as the dice would have it");
    }
    return failed ? -1 : 0;
}

static void
guarded_exit(void)
{
    library_exit();
}

OT_MODULE_GLOBALS(guarded, guarded_init, guarded_exit)

static PyObject *
use(PyObject *module, PyObject *unused)
{
    (void)module;
    (void)unused;
    library_use();
    Py_RETURN_NONE;
}

static PyObject *
counts(PyObject *module, PyObject *unused)
{
    (void)module;
    (void)unused;
    return Py_BuildValue("{s:l,s:l,s:l,s:i}", "inits", atomic_load(&library.inits), "exits",
                         atomic_load(&library.exits), "uses", atomic_load(&library.uses), "live",
                         atomic_load(&library.live));
}

static PyObject *
set_failures(PyObject *module, PyObject *percent)
{
    (void)module;
    atomic_store(&failures, (int)PyLong_AsLong(percent));
    return PyErr_Occurred() ? NULL : Py_NewRef(Py_None);
}

/* Nobody will free this module object: what a leaked reference does to an interpreter's end. */
static PyObject *
leak(PyObject *module, PyObject *unused)
{
    (void)unused;
    Py_INCREF(module);
    Py_RETURN_NONE;
}

/* ---- objects that use the library to their last breath --------------------------------------- */

/* Holds the module itself, which holds the library. By way of the type would not do: when the
 * collector finds object, type and module together it may clear the type first. There is no
 * tp_clear for the same reason. */
typedef struct {
    PyObject_HEAD
    PyObject *module;
} handle_t;

static PyObject *
handle_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    (void)args;
    (void)kwargs;
    PyObject *module = PyType_GetModule(type);
    PyObject *self = module == NULL ? NULL : type->tp_alloc(type, 0);
    if (self != NULL) {
        library_use();
        ((handle_t *)self)->module = Py_NewRef(module);
    }
    return self;
}

static void
handle_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    PyObject *module = ((handle_t *)self)->module;
    library_use();
    type->tp_free(self);
    Py_DECREF(type);
    Py_XDECREF(module); /* and with the last one may go the library */
}

static int
handle_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(((handle_t *)self)->module);
    return 0;
}

static PyType_Slot handle_slots[] = {
    {Py_tp_new, (void *)handle_new},
    {Py_tp_dealloc, (void *)handle_dealloc},
    {Py_tp_traverse, (void *)handle_traverse},
    {0, NULL},
};

static PyType_Spec handle_spec = {
    .name = "guarded.Handle",
    .basicsize = sizeof(handle_t),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = handle_slots,
};

/* ---- scripted globals ------------------------------------------------------------------------ */

static atomic_long exits[3];

static void
exit_0(void)
{
    atomic_fetch_add(&exits[0], 1);
}

static void
exit_1(void)
{
    atomic_fetch_add(&exits[1], 1);
}

/* An exit that raises, as C code should not. */
static void
exit_2(void)
{
    atomic_fetch_add(&exits[2], 1);
    PyErr_SetString(PyExc_ValueError, "from exit");
}

static ot_global_t scripted[3] = {
    OT_GLOBAL_INIT("scripted 0", exit_0),
    OT_GLOBAL_INIT("scripted 1", exit_1),
    OT_GLOBAL_INIT("scripted 2", exit_2),
};

static int
call(void *arg)
{
    PyObject *result = PyObject_CallNoArgs((PyObject *)arg);
    Py_XDECREF(result);
    return result == NULL ? -1 : 0;
}

static ot_global_t *
scripted_at(PyObject *number)
{
    long i = PyLong_AsLong(number);
    if (i < 0 || i > 2) {
        PyErr_SetString(PyExc_IndexError, "0 to 2");
        return NULL;
    }
    return &scripted[i];
}

static PyObject *
enter(PyObject *module, PyObject *args)
{
    (void)module;
    PyObject *number, *function;
    if (!PyArg_ParseTuple(args, "OO:enter", &number, &function)) {
        return NULL;
    }
    ot_global_t *g = scripted_at(number);
    return g == NULL || ot_global_enter(g, call, function) < 0 ? NULL : Py_NewRef(Py_None);
}

static PyObject *
leave(PyObject *module, PyObject *number)
{
    (void)module;
    ot_global_t *g = scripted_at(number);
    return g == NULL ? NULL : PyLong_FromLong(ot_global_leave(g));
}

/* From another file of this extension, which must come to the same domain. */
static PyObject *
leave_elsewhere(PyObject *module, PyObject *number)
{
    (void)module;
    ot_global_t *g = scripted_at(number);
    return g == NULL ? NULL : PyLong_FromLong(guarded_leave_elsewhere(g));
}

static PyObject *
exits_of(PyObject *module, PyObject *number)
{
    (void)module;
    ot_global_t *g = scripted_at(number);
    return g == NULL ? NULL : PyLong_FromLong(atomic_load(&exits[g - scripted]));
}

/* ---- resources by key: library instances, numbered ------------------------------------------- */

typedef struct {
    long number;
    atomic_int live;
} resource_t;

static atomic_long resources_made, resources_destroyed;

static void
destroy_resource(const char *key, void *value)
{
    (void)key;
    resource_t *r = (resource_t *)value;
    if (atomic_exchange(&r->live, 0) == 0) {
        library_misused("a resource is destroyed twice");
    }
    atomic_fetch_add(&resources_destroyed, 1);
    free(r);
}

static ot_registry_t resources = OT_REGISTRY_INIT("resources", destroy_resource);

static int
create_resource(const char *key, void *arg, void **value)
{
    (void)key;
    if (call(arg) < 0) {
        return -1;
    }
    resource_t *r = (resource_t *)malloc(sizeof *r);
    if (r == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    r->number = atomic_fetch_add(&resources_made, 1) + 1;
    atomic_init(&r->live, 1);
    *value = r;
    return 0;
}

static PyObject *
get(PyObject *module, PyObject *args)
{
    (void)module;
    const char *key;
    PyObject *function;
    void *value;
    if (!PyArg_ParseTuple(args, "sO:get", &key, &function) ||
        ot_registry_get(&resources, key, create_resource, function, &value) < 0) {
        return NULL;
    }
    if (!atomic_load(&((resource_t *)value)->live)) {
        library_misused("a resource is handed out destroyed");
    }
    return PyLong_FromLong(((resource_t *)value)->number);
}

static PyObject *
put(PyObject *module, PyObject *args)
{
    (void)module;
    const char *key;
    return PyArg_ParseTuple(args, "s:put", &key) ? PyLong_FromLong(ot_registry_put(&resources, key))
                                                 : NULL;
}

static PyObject *
resource_counts(PyObject *module, PyObject *unused)
{
    (void)module;
    (void)unused;
    return Py_BuildValue("ll", atomic_load(&resources_made), atomic_load(&resources_destroyed));
}

/* ---- locks ----------------------------------------------------------------------------------- */

static ot_global_lock_t lock = OT_GLOBAL_LOCK_INIT("guarded lock");
static ot_global_rwlock_t rwlock = OT_GLOBAL_RWLOCK_INIT("guarded rwlock");
static long plain[2]; /* guarded by lock; by rwlock */

/* Adds n to plain[0], one at a time, calling function (that lets go of the GIL) in between. */
static PyObject *
count_locked(PyObject *module, PyObject *args)
{
    (void)module;
    long n;
    PyObject *function;
    if (!PyArg_ParseTuple(args, "lO:count_locked", &n, &function)) {
        return NULL;
    }
    int good = 1;
    for (long i = 0; i < n && good; i++) {
        ot_global_lock_acquire(&lock);
        long seen = plain[0];
        good = call(function) == 0;
        plain[0] = seen + 1;
        ot_global_lock_release(&lock);
    }
    return good ? PyLong_FromLong(plain[0]) : NULL;
}

/* Reads plain[1] twice, n times, and now and then writes it. */
static PyObject *
count_rwlocked(PyObject *module, PyObject *args)
{
    (void)module;
    long n;
    PyObject *function;
    if (!PyArg_ParseTuple(args, "lO:count_rwlocked", &n, &function)) {
        return NULL;
    }
    int good = 1;
    for (long i = 0; i < n && good; i++) {
        ot_global_rwlock_acquire_read(&rwlock);
        long seen = plain[1];
        good = call(function) == 0;
        if (plain[1] != seen) {
            library_misused("written while it was read");
        }
        ot_global_rwlock_release(&rwlock);
        ot_global_rwlock_acquire_write(&rwlock);
        seen = plain[1];
        good = good && call(function) == 0;
        plain[1] = seen + 1;
        ot_global_rwlock_release(&rwlock);
    }
    return good ? PyLong_FromLong(plain[1]) : NULL;
}

static PyObject *
lock_twice(PyObject *module, PyObject *unused)
{
    (void)module;
    (void)unused;
    ot_global_lock_acquire(&lock);
    ot_global_lock_acquire(&lock); /* aborts */
    Py_RETURN_NONE;
}

/* ---- the module ------------------------------------------------------------------------------ */

static PyMethodDef functions[] = {
    {"use", use, METH_NOARGS, NULL},
    {"counts", counts, METH_NOARGS, NULL},
    {"set_failures", set_failures, METH_O, NULL},
    {"leak", leak, METH_NOARGS, NULL},
    {"enter", enter, METH_VARARGS, NULL},
    {"leave", leave, METH_O, NULL},
    {"leave_elsewhere", leave_elsewhere, METH_O, NULL},
    {"exits_of", exits_of, METH_O, NULL},
    {"get", get, METH_VARARGS, NULL},
    {"put", put, METH_VARARGS, NULL},
    {"resource_counts", resource_counts, METH_NOARGS, NULL},
    {"count_locked", count_locked, METH_VARARGS, NULL},
    {"count_rwlocked", count_rwlocked, METH_VARARGS, NULL},
    {"lock_twice", lock_twice, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static int
add_types(PyObject *module)
{
    if (getenv("GUARDED_EXEC_FAILS") != NULL) {
        PyErr_SetString(PyExc_OSError, "exec failed after the library was entered");
        return -1;
    }
    PyObject *type = PyType_FromModuleAndSpec(module, &handle_spec, NULL);
    int rc = PyModule_AddObjectRef(module, "Handle", type);
    Py_XDECREF(type);
    return rc;
}

static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, (void *)guarded_enter},
    {Py_mod_exec, (void *)add_types},
    {Py_mod_multiple_interpreters, Py_MOD_PER_INTERPRETER_GIL_SUPPORTED},
    {Py_mod_gil, Py_MOD_GIL_NOT_USED},
    {0, NULL},
};

static PyModuleDef module_def = {
    PyModuleDef_HEAD_INIT, .m_name = "guarded",     .m_methods = functions,
    .m_slots = slots,      .m_free = guarded_leave,
};

PyMODINIT_FUNC
GUARDED_INIT(void)
{
    return PyModuleDef_Init(&module_def);
}
