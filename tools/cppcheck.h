/* Read by cppcheck before every file, see tools/lint: CPython's and Criterion's headers are not read
 * (that takes minutes, and reports on them), so the macros of theirs that are no C without a
 * definition stand here. Not compiled. */
#define PY_VERSION_HEX 0x030D0000
#define PyObject_HEAD PyObject ob_base;
#define PyObject_VAR_HEAD PyVarObject ob_base;
#define PyObject_HEAD_INIT(type) {1, type},
#define PyVarObject_HEAD_INIT(type, size) {{1, type}, size},
#define PyModuleDef_HEAD_INIT {0}
#define PyMODINIT_FUNC PyObject *
#define PyAPI_FUNC(type) type
#define PyAPI_DATA(type) extern type
#define PyDoc_STRVAR(name, text) static const char name[] = text
#define PyDoc_STR(text) text
#define Py_UNUSED(name) name
#define Py_ALWAYS_INLINE
#define Py_VISIT(object) visit((PyObject *)(object), arg)
#define Py_CLEAR(object) ((object) = NULL)
#define Py_SETREF(object, value) ((object) = (value))
#define Py_XSETREF(object, value) ((object) = (value))
#define Py_RETURN_NONE return Py_None
#define Py_RETURN_TRUE return Py_True
#define Py_RETURN_FALSE return Py_False
#define Py_RETURN_NOTIMPLEMENTED return Py_NotImplemented
#define Py_BEGIN_ALLOW_THREADS {
#define Py_END_ALLOW_THREADS }
#define Py_BEGIN_CRITICAL_SECTION(object) {
#define Py_END_CRITICAL_SECTION() }
#define Test(suite, name, ...) void suite##_##name(void)
#define TestSuite(suite, ...) extern int suite##_suite
