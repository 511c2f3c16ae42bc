/* dependent.c: globals and resources whose inits enter others: chains, a library with features, circles.
 *
 * Main invariant: each thing checks when it is used, and at its exit, that all that it needs is there;
 * otherwise the process says so and ends (library.h).
 * Threading: whatever the test does.
 */
#include "variant.h"

#include <stdlib.h>
#include <string.h>

#include "library.h"

/* ---- a net of globals: i may need any j > i --------------------------------------------------- */

enum { THINGS = 6 };

/* live and needs: written while the thing starts or exits, read by who has entered it. */
static struct {
    atomic_int live;
    atomic_long inits, exits;
    int needs[THINGS];
} things[THINGS];

static void
use_thing(int i)
{
    if (!atomic_load(&things[i].live)) {
        library_misused("a thing is used that is not there");
    }
    for (int j = 0; j < THINGS; j++) {
        if (things[i].needs[j]) {
            use_thing(j);
        }
    }
}

static void
exit_thing(int i)
{
    use_thing(i);
    sched_yield();
    use_thing(i);
    atomic_store(&things[i].live, 0);
    memset(things[i].needs, 0, sizeof things[i].needs);
    atomic_fetch_add(&things[i].exits, 1);
}

#define EXIT(i)                                                                                    \
    static void exit_##i(void)                                                                     \
    {                                                                                              \
        exit_thing(i);                                                                             \
    }
EXIT(0)
EXIT(1)
EXIT(2)
EXIT(3)
EXIT(4)
EXIT(5)

static ot_global_t globals[THINGS] = {
    OT_GLOBAL_INIT("thing 0", exit_0), OT_GLOBAL_INIT("thing 1", exit_1),
    OT_GLOBAL_INIT("thing 2", exit_2), OT_GLOBAL_INIT("thing 3", exit_3),
    OT_GLOBAL_INIT("thing 4", exit_4), OT_GLOBAL_INIT("thing 5", exit_5),
};

/* What an init is to enter: pairs of digits, "01" for "0 needs 1". "!2": the init of 2 fails at last. */
typedef struct {
    const char *plan;
    int i;
} start_t;

static int enter_thing(int i, const char *plan);

static int
init_thing(void *arg)
{
    const start_t *start = (const start_t *)arg;
    int fails = 0, i = start->i;
    memset(things[i].needs, 0, sizeof things[i].needs); /* an init that failed may have left some */
    for (const char *p = start->plan; p[0] != '\0' && p[1] != '\0'; p += 2) {
        if (p[0] == '!') {
            fails |= p[1] - '0' == i;
        } else if (p[0] - '0' == i) {
            if (enter_thing(p[1] - '0', start->plan) < 0) {
                return -1;
            }
            things[i].needs[p[1] - '0'] = 1;
        }
    }
    if (fails) {
        PyErr_Format(PyExc_OSError, "init of thing %d fails", i);
        return -1;
    }
    atomic_fetch_add(&things[i].inits, 1);
    atomic_store(&things[i].live, 1);
    use_thing(i);
    return 0;
}

static int
enter_thing(int i, const char *plan)
{
    start_t start = {plan, i};
    return ot_global_enter(&globals[i], init_thing, &start);
}

static PyObject *
enter(PyObject *module, PyObject *args)
{
    (void)module;
    int i;
    const char *plan;
    return PyArg_ParseTuple(args, "is:enter", &i, &plan) && enter_thing(i, plan) == 0
               ? Py_NewRef(Py_None)
               : NULL;
}

static PyObject *
leave(PyObject *module, PyObject *number)
{
    (void)module;
    return PyLong_FromLong(ot_global_leave(&globals[PyLong_AsLong(number)]));
}

static PyObject *
use(PyObject *module, PyObject *number)
{
    (void)module;
    use_thing((int)PyLong_AsLong(number));
    Py_RETURN_NONE;
}

/* (inits, exits, live) */
static PyObject *
counts(PyObject *module, PyObject *number)
{
    (void)module;
    long i = PyLong_AsLong(number);
    return Py_BuildValue("lli", atomic_load(&things[i].inits), atomic_load(&things[i].exits),
                         atomic_load(&things[i].live));
}

/* ---- a library and its features ----------------------------------------------------------------- */

static int
init_library(void *arg)
{
    (void)arg;
    library_init();
    return 0;
}

static ot_global_t library_global = OT_GLOBAL_INIT("library", library_exit);

static int
enable(const char *key, void *arg, void **value)
{
    (void)arg;
    if (ot_global_enter(&library_global, init_library, NULL) < 0) {
        return -1;
    }
    library_use();
    *value = (void *)key;
    return 0;
}

/* Leaves in the exit, as an author may who does not know that it is done for him. */
static void
disable(const char *key, void *value)
{
    (void)key;
    (void)value;
    if (ot_global_leave(&library_global) < 0) {
        library_misused("the library was not the feature's");
    }
    library_use();
}

static ot_registry_t features = OT_REGISTRY_INIT("features", disable);

static PyObject *
on(PyObject *module, PyObject *key)
{
    (void)module;
    void *value;
    return ot_registry_get(&features, PyUnicode_AsUTF8(key), enable, NULL, &value) < 0
               ? NULL
               : Py_NewRef(Py_None);
}

static PyObject *
off(PyObject *module, PyObject *key)
{
    (void)module;
    return PyLong_FromLong(ot_registry_put(&features, PyUnicode_AsUTF8(key)));
}

static PyObject *
library_counts(PyObject *module, PyObject *unused)
{
    (void)module;
    (void)unused;
    return Py_BuildValue("lli", atomic_load(&library.inits), atomic_load(&library.exits),
                         atomic_load(&library.live));
}

/* ---- the module: its own global needs thing 4, and enters it with the module as holder ----------- */

static int
init_module(void *module)
{
    start_t start = {"45", 4};
    return ot_global_enter_for(&globals[4], module, init_thing, &start);
}

static void
exit_module(void)
{
    use_thing(4);
}

OT_MODULE_GLOBALS(dependent, init_module, exit_module)

static PyMethodDef functions[] = {
    {"enter", enter, METH_VARARGS, NULL},
    {"leave", leave, METH_O, NULL},
    {"use", use, METH_O, NULL},
    {"counts", counts, METH_O, NULL},
    {"on", on, METH_O, NULL},
    {"off", off, METH_O, NULL},
    {"library_counts", library_counts, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, (void *)dependent_enter},
    {Py_mod_multiple_interpreters, Py_MOD_PER_INTERPRETER_GIL_SUPPORTED},
    {Py_mod_gil, Py_MOD_GIL_NOT_USED},
    {0, NULL},
};

static PyModuleDef module_def = {
    PyModuleDef_HEAD_INIT, .m_name = "dependent",     .m_methods = functions,
    .m_slots = slots,      .m_free = dependent_leave,
};

PyMODINIT_FUNC
OT_TEST_MODULE(dependent)(void)
{
    return PyModuleDef_Init(&module_def);
}
