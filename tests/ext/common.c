/* common.c: built twice, as two extensions over one library (common_library.c) that know nothing of each
 * other. NAME is the module's.
 *
 * With the capsule they share a global by name; `exits` counts whose exit ran. Both can also enter the
 * global that lies in the library, which only the capsule allows.
 */
#include "variant.h"

#include "common_library.h"

extern ot_global_t common_global;

static int exits;

#ifdef OT_TEST_ALONE
static int
enter_named(PyObject *module)
{
    (void)module;
    return 0;
}

static void
leave_named(void *module)
{
    (void)module;
}
#else
static ot_global_t *named; /* the same in all interpreters */

static int
init(void *arg)
{
    (void)arg;
    common_init();
    return 0;
}

static void
exit_it(void)
{
    exits++;
    common_exit();
}

static int
enter_named(PyObject *module)
{
    ot_global_t *g = ot_global_named("a common library", exit_it);
    if (g == NULL) {
        return -1;
    }
    __atomic_store_n(&named, g, __ATOMIC_RELAXED);
    return ot_global_enter_module(g, module, init);
}

static void
leave_named(void *module)
{
    ot_global_t *g = __atomic_load_n(&named, __ATOMIC_RELAXED);
    if (g != NULL) {
        ot_global_leave_module(g, module);
    }
}
#endif

static PyObject *
use(PyObject *module, PyObject *unused)
{
    (void)module;
    (void)unused;
    common_use();
    Py_RETURN_NONE;
}

static PyObject *
counts(PyObject *module, PyObject *unused)
{
    (void)module;
    (void)unused;
    return Py_BuildValue("ii", exits, common_live());
}

static PyObject *
enter_common(PyObject *module, PyObject *unused)
{
    (void)module;
    (void)unused;
    return ot_global_enter(&common_global, NULL, NULL) < 0 ? NULL : Py_NewRef(Py_None);
}

static PyObject *
leave_common(PyObject *module, PyObject *unused)
{
    (void)module;
    (void)unused;
    return PyLong_FromLong(ot_global_leave(&common_global));
}

static PyMethodDef functions[] = {
    {"use", use, METH_NOARGS, NULL},
    {"counts", counts, METH_NOARGS, NULL},
    {"enter_common", enter_common, METH_NOARGS, NULL},
    {"leave_common", leave_common, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, (void *)enter_named},
    {Py_mod_multiple_interpreters, Py_MOD_PER_INTERPRETER_GIL_SUPPORTED},
    {Py_mod_gil, Py_MOD_GIL_NOT_USED},
    {0, NULL},
};

static PyModuleDef module_def = {
    PyModuleDef_HEAD_INIT, .m_name = OT_TEST_TEXT(NAME), .m_methods = functions,
    .m_slots = slots,      .m_free = leave_named,
};

PyMODINIT_FUNC
OT_TEST_PASTE(PyInit_, NAME)(void)
{
    return PyModuleDef_Init(&module_def);
}
