/* tinyodbc.c: databases through ODBC, from any number of interpreters at once.
 *
 * An example of process-wide state done right. ODBC wants one environment handle (SQLHENV) for the
 * process; connections are made from it. The handle is allocated for the first interpreter that
 * imports this module and freed after the last one has gone, whatever the order and the threads.
 *
 *     >>> import tinyodbc
 *     >>> db = tinyodbc.connect("Driver=SQLite3;Database=/tmp/x.db")
 *     >>> db.execute("select ?, 2.5, 'three', null", (1,))
 *     [(1, 2.5, 'three', None)]
 *
 * Main invariant: while a module object that entered `tinyodbc_global` lives, so does `environment`;
 * a Connection holds its module object until its handle is freed.
 * Threading: connections are their interpreter's; a mutex in each makes it one thread's at a time.
 * No GIL is held while the database works. A driver that is not made for that needs "Threading=3" in
 * odbcinst.ini: the driver manager then makes one call at a time.
 */
#ifdef TINYODBC_ALONE
#include "objtunnel_global.h"
#define TINYODBC_PYINIT PyInit_tinyodbc_alone
#else
#include "objtunnel.h"
#define TINYODBC_PYINIT PyInit_tinyodbc
#endif

#include <sql.h>
#include <sqlext.h>
#include <stdbool.h>
#include <stdlib.h>

/* ---- the process's environment: this is all it takes ------------------------------------------ */

static SQLHENV environment = SQL_NULL_HENV; /* constant while anybody uses it */

static int
environment_init(void *module)
{
    (void)module;
    SQLHENV env;
    if (!SQL_SUCCEEDED(SQLAllocHandle(SQL_HANDLE_ENV, SQL_NULL_HANDLE, &env))) {
        PyErr_SetString(PyExc_ImportError, "no ODBC environment could be allocated");
        return -1;
    }
    if (!SQL_SUCCEEDED(
            SQLSetEnvAttr(env, SQL_ATTR_ODBC_VERSION, (SQLPOINTER)SQL_OV_ODBC3, SQL_IS_INTEGER))) {
        SQLFreeHandle(SQL_HANDLE_ENV, env);
        PyErr_SetString(PyExc_ImportError, "this driver manager does not know ODBC 3");
        return -1;
    }
    environment = env;
    return 0;
}

static void
environment_exit(void)
{
    SQLFreeHandle(SQL_HANDLE_ENV, environment);
    environment = SQL_NULL_HENV;
}

OT_MODULE_GLOBALS(tinyodbc, environment_init, environment_exit)

/* ---- errors ----------------------------------------------------------------------------------- */

typedef struct {
    PyTypeObject *connection_type;
    PyObject *error;
} state_t;

/* Raises what the driver has to say about a handle. Returns NULL. */
static void *
set_error(state_t *state, SQLSMALLINT kind, SQLHANDLE handle)
{
    SQLCHAR sqlstate[6] = "", text[512] = "no message";
    SQLINTEGER code;
    SQLSMALLINT length;
    SQLGetDiagRec(kind, handle, 1, sqlstate, &code, text, sizeof text, &length);
    PyErr_Format(state->error, "[%s] %s", (char *)sqlstate, (char *)text);
    return NULL;
}

/* ---- connections ------------------------------------------------------------------------------ */

/* module is a reference of its own, not by way of the type, and never cleared: it must outlive the
 * handle, also when the collector finds all three together. */
typedef struct {
    PyObject_HEAD
    PyObject *module;
    PyMutex mutex; /* guards the handle and its statements */
    SQLHDBC handle;
    bool connected;
} connection_t;

static connection_t *
as_connection(PyObject *o)
{
    return (connection_t *)o;
}

static void
disconnect(connection_t *self)
{
    bool connected = self->connected;
    SQLHDBC handle = self->handle;
    self->connected = false;
    self->handle = SQL_NULL_HDBC;
    Py_BEGIN_ALLOW_THREADS
    if (connected) {
        SQLDisconnect(handle);
    }
    if (handle != SQL_NULL_HDBC) {
        SQLFreeHandle(SQL_HANDLE_DBC, handle);
    }
    Py_END_ALLOW_THREADS
}

static PyObject *
open_connection(PyObject *module, PyObject *text)
{
    state_t *state = PyModule_GetState(module);
    Py_ssize_t length;
    const char *dsn = PyUnicode_AsUTF8AndSize(text, &length);
    if (dsn == NULL) {
        return NULL;
    }
    PyObject *o = state->connection_type->tp_alloc(state->connection_type, 0);
    if (o == NULL) {
        return NULL;
    }
    connection_t *self = as_connection(o);
    self->module = Py_NewRef(module);
    self->handle = SQL_NULL_HDBC;
    SQLRETURN rc;
    if (!SQL_SUCCEEDED(SQLAllocHandle(SQL_HANDLE_DBC, environment, &self->handle))) {
        set_error(state, SQL_HANDLE_ENV, environment);
        Py_DECREF(o);
        return NULL;
    }
    Py_BEGIN_ALLOW_THREADS
    rc = SQLDriverConnect(self->handle, NULL, (SQLCHAR *)dsn, (SQLSMALLINT)length, NULL, 0, NULL,
                          SQL_DRIVER_NOPROMPT);
    Py_END_ALLOW_THREADS
    self->connected = SQL_SUCCEEDED(rc);
    if (!self->connected) {
        set_error(state, SQL_HANDLE_DBC, self->handle);
        Py_DECREF(o);
        return NULL;
    }
    return o;
}

static int
connection_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(as_connection(self)->module);
    return 0;
}

static void
connection_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject *module = as_connection(self)->module;
    PyObject_GC_UnTrack(self);
    disconnect(as_connection(self));
    type->tp_free(self);
    Py_DECREF(type);
    Py_XDECREF(module); /* and with the last one the environment */
}

static PyObject *
connection_close(PyObject *self, PyObject *unused)
{
    (void)unused;
    PyMutex_Lock(&as_connection(self)->mutex);
    disconnect(as_connection(self));
    PyMutex_Unlock(&as_connection(self)->mutex);
    Py_RETURN_NONE;
}

/* ---- statements ------------------------------------------------------------------------------- */

typedef struct {
    union {
        SQLBIGINT integer;
        double real;
    } value;
    SQLLEN length;
} parameter_t;

/* Binds a Python object to the i-th question mark, by the memory in *p and in the object. */
static int
bind_parameter(SQLHSTMT statement, SQLUSMALLINT i, PyObject *o, parameter_t *p)
{
    SQLRETURN rc;
    p->length = 0;
    if (o == Py_None) {
        p->length = SQL_NULL_DATA;
        rc = SQLBindParameter(statement, i, SQL_PARAM_INPUT, SQL_C_CHAR, SQL_VARCHAR, 1, 0, NULL, 0,
                              &p->length);
    } else if (PyLong_Check(o)) {
        p->value.integer = PyLong_AsLongLong(o);
        if (PyErr_Occurred()) {
            return -1;
        }
        rc = SQLBindParameter(statement, i, SQL_PARAM_INPUT, SQL_C_SBIGINT, SQL_BIGINT, 0, 0,
                              &p->value.integer, 0, &p->length);
    } else if (PyFloat_Check(o)) {
        p->value.real = PyFloat_AS_DOUBLE(o);
        rc = SQLBindParameter(statement, i, SQL_PARAM_INPUT, SQL_C_DOUBLE, SQL_DOUBLE, 0, 0,
                              &p->value.real, 0, &p->length);
    } else {
        Py_ssize_t length;
        const char *text = PyUnicode_AsUTF8AndSize(o, &length); /* TypeError for anything else */
        if (text == NULL) {
            return -1;
        }
        p->length = length;
        rc = SQLBindParameter(statement, i, SQL_PARAM_INPUT, SQL_C_CHAR, SQL_VARCHAR,
                              length > 0 ? (SQLULEN)length : 1, 0, (SQLPOINTER)text, length,
                              &p->length);
    }
    if (!SQL_SUCCEEDED(rc)) {
        PyErr_Format(PyExc_ValueError, "parameter %d cannot be bound", (int)i);
        return -1;
    }
    return 0;
}

/* A text column, piece by piece. */
static PyObject *
get_text(SQLHSTMT statement, SQLUSMALLINT column)
{
    char buffer[1024];
    SQLLEN length;
    PyObject *bytes = PyBytes_FromStringAndSize(NULL, 0);
    while (bytes != NULL) {
        SQLRETURN rc = SQLGetData(statement, column, SQL_C_CHAR, buffer, sizeof buffer, &length);
        if (rc == SQL_NO_DATA) {
            break;
        }
        if (!SQL_SUCCEEDED(rc)) {
            Py_CLEAR(bytes);
            PyErr_SetString(PyExc_ValueError, "a column cannot be read");
        } else if (length == SQL_NULL_DATA) {
            Py_DECREF(bytes);
            return Py_NewRef(Py_None);
        } else {
            PyBytes_ConcatAndDel(&bytes, PyBytes_FromString(buffer));
        }
        if (rc == SQL_SUCCESS) {
            break;
        }
    }
    PyObject *text = bytes == NULL ? NULL
                                   : PyUnicode_DecodeUTF8(PyBytes_AS_STRING(bytes),
                                                          PyBytes_GET_SIZE(bytes), "replace");
    Py_XDECREF(bytes);
    return text;
}

static PyObject *
get_column(SQLHSTMT statement, SQLUSMALLINT column)
{
    SQLLEN type = SQL_VARCHAR, length;
    SQLBIGINT integer;
    double real;
    SQLColAttribute(statement, column, SQL_DESC_CONCISE_TYPE, NULL, 0, NULL, &type);
    switch (type) {
    case SQL_TINYINT:
    case SQL_SMALLINT:
    case SQL_INTEGER:
    case SQL_BIGINT:
        if (SQL_SUCCEEDED(SQLGetData(statement, column, SQL_C_SBIGINT, &integer, 0, &length))) {
            return length == SQL_NULL_DATA ? Py_NewRef(Py_None) : PyLong_FromLongLong(integer);
        }
        break;
    case SQL_REAL:
    case SQL_FLOAT:
    case SQL_DOUBLE:
        if (SQL_SUCCEEDED(SQLGetData(statement, column, SQL_C_DOUBLE, &real, 0, &length))) {
            return length == SQL_NULL_DATA ? Py_NewRef(Py_None) : PyFloat_FromDouble(real);
        }
        break;
    default:
        return get_text(statement, column);
    }
    PyErr_SetString(PyExc_ValueError, "a column cannot be read");
    return NULL;
}

static PyObject *
get_row(SQLHSTMT statement, SQLSMALLINT columns)
{
    PyObject *row = PyTuple_New(columns);
    for (SQLSMALLINT i = 0; row != NULL && i < columns; i++) {
        PyObject *item = get_column(statement, (SQLUSMALLINT)(i + 1));
        if (item == NULL) {
            Py_CLEAR(row);
        } else {
            PyTuple_SET_ITEM(row, i, item);
        }
    }
    return row;
}

/* Prepared and bound: executes, and fetches all rows. */
static PyObject *
run(state_t *state, SQLHSTMT statement)
{
    SQLRETURN rc;
    SQLSMALLINT columns = 0;
    Py_BEGIN_ALLOW_THREADS
    rc = SQLExecute(statement);
    Py_END_ALLOW_THREADS
    if (!SQL_SUCCEEDED(rc) && rc != SQL_NO_DATA) {
        return set_error(state, SQL_HANDLE_STMT, statement);
    }
    SQLNumResultCols(statement, &columns);
    PyObject *rows = PyList_New(0);
    while (rows != NULL && columns > 0) {
        Py_BEGIN_ALLOW_THREADS
        rc = SQLFetch(statement);
        Py_END_ALLOW_THREADS
        if (rc == SQL_NO_DATA) {
            break;
        }
        if (!SQL_SUCCEEDED(rc)) {
            Py_DECREF(rows);
            return set_error(state, SQL_HANDLE_STMT, statement);
        }
        PyObject *row = get_row(statement, columns);
        if (row == NULL || PyList_Append(rows, row) < 0) {
            Py_CLEAR(rows);
        }
        Py_XDECREF(row);
    }
    return rows;
}

static PyObject *
execute_locked(connection_t *self, const char *sql, Py_ssize_t length, PyObject *parameters)
{
    state_t *state = PyModule_GetState(self->module);
    Py_ssize_t n = PyTuple_GET_SIZE(parameters);
    SQLHSTMT statement;
    PyObject *rows = NULL;
    if (!self->connected) {
        PyErr_SetString(state->error, "the connection is closed");
        return NULL;
    }
    parameter_t *values = calloc((size_t)n + 1, sizeof *values);
    if (values == NULL) {
        return PyErr_NoMemory();
    }
    if (!SQL_SUCCEEDED(SQLAllocHandle(SQL_HANDLE_STMT, self->handle, &statement))) {
        free(values);
        return set_error(state, SQL_HANDLE_DBC, self->handle);
    }
    bool good = true;
    for (Py_ssize_t i = 0; i < n && good; i++) {
        good = bind_parameter(statement, (SQLUSMALLINT)(i + 1), PyTuple_GET_ITEM(parameters, i),
                              &values[i]) == 0;
    }
    if (good && !SQL_SUCCEEDED(SQLPrepare(statement, (SQLCHAR *)sql, (SQLINTEGER)length))) {
        set_error(state, SQL_HANDLE_STMT, statement);
    } else if (good) {
        rows = run(state, statement);
    }
    SQLFreeHandle(SQL_HANDLE_STMT, statement);
    free(values);
    return rows;
}

static PyObject *
connection_execute(PyObject *self, PyObject *args)
{
    const char *sql;
    Py_ssize_t length;
    PyObject *parameters = NULL;
    if (!PyArg_ParseTuple(args, "s#|O!:execute", &sql, &length, &PyTuple_Type, &parameters)) {
        return NULL;
    }
    parameters = parameters == NULL ? PyTuple_New(0) : Py_NewRef(parameters);
    if (parameters == NULL) {
        return NULL;
    }
    PyMutex_Lock(&as_connection(self)->mutex);
    PyObject *rows = execute_locked(as_connection(self), sql, length, parameters);
    PyMutex_Unlock(&as_connection(self)->mutex);
    Py_DECREF(parameters);
    return rows;
}

/* ---- the module ------------------------------------------------------------------------------- */

static PyMethodDef connection_methods[] = {
    {"execute", connection_execute, METH_VARARGS,
     "execute($self, sql, parameters=(), /)\n--\n\nRun a statement; the list of its rows."},
    {"close", connection_close, METH_NOARGS, "close($self)\n--\n\nClosing twice is fine."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot connection_slots[] = {
    {Py_tp_doc, (void *)"A connection, made by connect()."},
    {Py_tp_methods, connection_methods},
    {Py_tp_traverse, (void *)connection_traverse},
    {Py_tp_dealloc, (void *)connection_dealloc},
    {0, NULL},
};

static PyType_Spec connection_spec = {
    .name = "tinyodbc.Connection",
    .basicsize = sizeof(connection_t),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION |
             Py_TPFLAGS_IMMUTABLETYPE,
    .slots = connection_slots,
};

static int
module_exec(PyObject *module)
{
    state_t *state = PyModule_GetState(module);
    state->error = PyErr_NewException("tinyodbc.Error", NULL, NULL);
    state->connection_type =
        (PyTypeObject *)PyType_FromModuleAndSpec(module, &connection_spec, NULL);
    if (state->error == NULL || state->connection_type == NULL) {
        return -1;
    }
    return PyModule_AddObjectRef(module, "Error", state->error) < 0
               ? -1
               : PyModule_AddType(module, state->connection_type);
}

static int
module_traverse(PyObject *module, visitproc visit, void *arg)
{
    state_t *state = PyModule_GetState(module);
    Py_VISIT(state->connection_type);
    Py_VISIT(state->error);
    return 0;
}

static int
module_clear(PyObject *module)
{
    state_t *state = PyModule_GetState(module);
    Py_CLEAR(state->connection_type);
    Py_CLEAR(state->error);
    return 0;
}

static void
module_free(void *module)
{
    (void)module_clear(module);
    tinyodbc_leave(module);
}

static PyMethodDef functions[] = {
    {"connect", open_connection, METH_O,
     "connect($module, text, /)\n--\n\nA Connection, by an ODBC connection string."},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, (void *)tinyodbc_enter}, /* first: the rest may use it */
    {Py_mod_exec, (void *)module_exec},
    {Py_mod_multiple_interpreters, Py_MOD_PER_INTERPRETER_GIL_SUPPORTED},
    {Py_mod_gil, Py_MOD_GIL_NOT_USED},
    {0, NULL},
};

static PyModuleDef module_def = {
    PyModuleDef_HEAD_INIT,         .m_name = "tinyodbc",    .m_doc = "A little ODBC.",
    .m_size = sizeof(state_t),     .m_methods = functions,  .m_slots = slots,
    .m_traverse = module_traverse, .m_clear = module_clear, .m_free = module_free,
};

PyMODINIT_FUNC
TINYODBC_PYINIT(void)
{
    return PyModuleDef_Init(&module_def);
}
