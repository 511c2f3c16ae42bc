/* test_capi.c: objtunnel.h as another extension sees it: the capsule, and ends of interpreters. */
#include "support.h"

#include "include/objtunnel.h"

TestSuite(capi, .init = python_start, .fini = python_finish, .timeout = 60);

static int inits, exits;

static int
init(void *arg)
{
    inits++;
    if (arg == NULL) {
        PyErr_SetString(PyExc_OSError, "no");
        return -1;
    }
    return 0;
}

static void
exit_it(void)
{
    exits++;
}

static ot_global_t global = OT_GLOBAL_INIT("global", exit_it);

Test(capi, enters_leaves_and_fails)
{
    cr_assert_eq(ot_global_leave(&global), -1, "nothing was imported yet");
    cr_assert_eq(ot_global_enter(&global, init, NULL), -1);
    python_expect(PyExc_OSError);
    cr_assert_eq(ot_global_enter(&global, init, &global), 0);
    cr_assert_eq(ot_global_enter(&global, init, NULL), 0, "init is not run again");
    cr_assert_eq(inits, 2);
    PyErr_SetString(PyExc_KeyError, "from before");
    cr_assert_eq(ot_global_leave(&global), 0);
    cr_assert_eq(exits, 0);
    cr_assert_eq(ot_global_leave(&global), 0);
    cr_assert_eq(exits, 1);
    cr_assert_eq(ot_global_leave(&global), -1);
    python_expect(PyExc_KeyError);
}

static int
init_without_exception(void *arg)
{
    (void)arg;
    return -1;
}

Test(capi, init_that_says_nothing_is_a_system_error)
{
    cr_assert_eq(ot_global_enter(&global, init_without_exception, NULL), -1);
    python_expect(PyExc_SystemError);
}

/* ---- tables that are not ours ----------------------------------------------------------------- */

static ot_api_t other;

static void
replace_table(void)
{
    PyObject *capsule = PyCapsule_New(&other, OT_API_CAPSULE, NULL);
    PyObject *core = PyImport_ImportModule("objtunnel._core");
    CHECK(capsule != NULL && core != NULL);
    CHECK(PyObject_SetAttrString(core, "_C_API", capsule) == 0);
    Py_DECREF(core);
    Py_DECREF(capsule);
}

Test(capi, other_version_is_refused)
{
    other = (ot_api_t){.version = OT_API_VERSION + 1, .size = sizeof other};
    replace_table();
    cr_assert_eq(ot_import(), -1);
    python_expect(PyExc_ImportError);
    cr_assert_eq(ot_global_enter(&global, init, &global), -1);
    python_expect(PyExc_ImportError);
}

Test(capi, older_and_smaller_table_is_refused)
{
    other = (ot_api_t){.version = OT_API_VERSION, .size = sizeof other - sizeof(void *)};
    replace_table();
    cr_assert_eq(ot_import(), -1);
    python_expect(PyExc_ImportError);
}

Test(capi, newer_and_larger_table_will_do)
{
    cr_assert_eq(ot_import(), 0);
    other = *ot_api;
    other.size += 8;
    replace_table();
    ot_api = NULL;
    cr_assert_eq(ot_import(), 0);
    cr_assert_eq(ot_api, &other);
}

static void
refuses_other(const char *says)
{
    replace_table();
    ot_api = NULL;
    cr_assert_eq(ot_import(), -1);
    PyObject *error = PyErr_GetRaisedException(), *text = PyObject_Str(error);
    cr_assert(PyErr_GivenExceptionMatches(error, PyExc_ImportError));
    cr_assert_not_null(strstr(PyUnicode_AsUTF8(text), says));
    cr_assert_not_null(strstr(PyUnicode_AsUTF8(text), "get_include()"));
    Py_DECREF(text);
    Py_DECREF(error);
}

Test(capi, structs_of_another_size_are_refused)
{
    cr_assert_eq(ot_import(), 0);
    const ot_api_t ours = *ot_api;
    other = ours;
    other.global_size += 8;
    refuses_other("an ot_global_t of");
    other = ours;
    other.registry_size -= 8;
    refuses_other("an ot_registry_t of");
    other = ours;
    replace_table();
    cr_assert_eq(ot_import(), 0);
}

/* ---- ends ------------------------------------------------------------------------------------- */

Test(capi, interpreter_that_ends_is_settled)
{
    PyThreadState *main = PyThreadState_Get();
    PyThreadState *sub = interpreter_new();
    cr_assert_eq(ot_global_enter(&global, init, &global), 0);
    cr_assert_eq(ot_global_enter(&global, init, &global), 0);
    interpreter_end(sub, main);
    cr_assert_eq(inits, 1);
    cr_assert_eq(exits, 1);
    cr_assert_eq(ot_global_leave(&global), -1, "it was the other one's");
}

static int late_enter, late_leave;

static void
come_late(PyObject *capsule)
{
    (void)capsule;
    late_enter = ot_global_enter(&global, init, &global);
    if (late_enter < 0) {
        PyErr_Clear();
    }
    late_leave = ot_global_leave(&global);
}

/* The interpreter's dict goes when its modules are gone. What has entered may still leave: the settling
 * comes after the last object. */
Test(capi, too_late_to_enter_when_modules_are_gone)
{
    PyThreadState *main = PyThreadState_Get();
    PyThreadState *sub = interpreter_new();
    cr_assert_eq(ot_global_enter(&global, init, &global), 0);
    PyObject *capsule = PyCapsule_New(&late_enter, NULL, come_late);
    cr_assert_eq(
        PyDict_SetItemString(PyInterpreterState_GetDict(PyInterpreterState_Get()), "late", capsule),
        0);
    Py_DECREF(capsule);
    late_enter = late_leave = 7;
    interpreter_end(sub, main);
    cr_assert_eq(exits, 1);
    cr_assert_eq(late_enter, -1);
    cr_assert_eq(late_leave, 0);
    cr_assert_eq(ot_global_enter(&global, init, &global), 0, "the main one is not late");
    cr_assert_eq(ot_global_leave(&global), 0);
}
