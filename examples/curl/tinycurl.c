/* tinycurl.c: fetches by libcurl, from any number of interpreters at once.
 *
 * An example of process-wide state done right. libcurl wants curl_global_init once in the process,
 * while no other thread is at it, and curl_global_cleanup after the last use. Here the first
 * interpreter that imports this module initialises; the last one to go cleans up.
 *
 *     >>> import tinycurl
 *     >>> session = tinycurl.Session()
 *     >>> session.get("http://127.0.0.1:8000/")
 *     (200, b'...')
 *
 * With objtunnel.h the global is found by its name, "libcurl": any other extension that wraps libcurl
 * and does the same shares it, and neither cleans up under the other.
 *
 * Main invariant: while a module object that entered the global lives, libcurl is initialised; a
 * Session holds its module object until its handle is freed.
 * Threading: a Session is its interpreter's; a mutex makes it one thread's at a time. No GIL is held
 * while libcurl works, but in the function that collects what arrives.
 */
#ifdef TINYCURL_ALONE
#include "objtunnel_global.h"
#define TINYCURL_PYINIT PyInit_tinycurl_alone
#else
#include "objtunnel.h"
#define TINYCURL_PYINIT PyInit_tinycurl
#endif

#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>

/* ---- the process's libcurl -------------------------------------------------------------------- */

static long inits, exits; /* written by init and exit only, which never overlap */

static int
curl_init(void *module)
{
    (void)module;
    CURLcode code = curl_global_init(CURL_GLOBAL_DEFAULT);
    if (code != CURLE_OK) {
        PyErr_Format(PyExc_ImportError, "curl_global_init: %s", curl_easy_strerror(code));
        return -1;
    }
    inits++;
    return 0;
}

static void
curl_exit(void)
{
    curl_global_cleanup();
    exits++;
}

#ifdef TINYCURL_ALONE
static ot_global_t only = OT_GLOBAL_INIT("libcurl", curl_exit);

static ot_global_t *
libcurl(void)
{
    return &only;
}
#else
static ot_global_t *
libcurl(void)
{
    return ot_global_named("libcurl", curl_exit);
}
#endif

static int
enter(PyObject *module)
{
    ot_global_t *g = libcurl();
    return g == NULL ? -1 : ot_global_enter_module(g, module, curl_init);
}

static void
leave(void *module)
{
    ot_global_t *g = libcurl();
    if (g != NULL) {
        ot_global_leave_module(g, module);
    } else {
        PyErr_Clear(); /* it was not entered either */
    }
}

/* ---- sessions ------------------------------------------------------------------------------------ */

typedef struct {
    PyObject_HEAD
    PyObject *module; /* not cleared: it keeps libcurl until the handle is freed */
    CURL *easy;       /* used under the mutex */
    PyMutex mutex;
} session_t;

static PyObject *
session_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    (void)kwargs;
    if (!PyArg_ParseTuple(args, ":Session")) {
        return NULL;
    }
    session_t *s = (session_t *)type->tp_alloc(type, 0);
    if (s == NULL) {
        return NULL;
    }
    s->module = Py_NewRef(PyType_GetModule(type));
    s->easy = curl_easy_init();
    if (s->easy == NULL) {
        Py_DECREF(s);
        return PyErr_NoMemory();
    }
    return (PyObject *)s;
}

static int
session_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(((session_t *)self)->module);
    return 0;
}

static void
session_dealloc(PyObject *self)
{
    session_t *s = (session_t *)self;
    PyTypeObject *type = Py_TYPE(self);
    PyObject *module = s->module;
    PyObject_GC_UnTrack(self);
    if (s->easy != NULL) {
        curl_easy_cleanup(s->easy);
    }
    type->tp_free(self);
    Py_DECREF(type);
    Py_XDECREF(module);
}

/* What arrives, in memory of C: it is collected without a GIL. */
typedef struct {
    char *bytes;
    size_t n;
} body_t;

static size_t
collect(char *data, size_t size, size_t count, void *arg)
{
    body_t *body = (body_t *)arg;
    size_t n = size * count;
    char *more = (char *)realloc(body->bytes, body->n + n + 1);
    if (more == NULL) {
        return 0; /* the transfer fails with CURLE_WRITE_ERROR */
    }
    memcpy(more + body->n, data, n);
    body->bytes = more;
    body->n += n;
    return n;
}

static CURLcode
perform(session_t *s, const char *url, body_t *body, long *status)
{
    PyMutex_Lock(&s->mutex);
    curl_easy_setopt(s->easy, CURLOPT_URL, url);
    curl_easy_setopt(s->easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(s->easy, CURLOPT_NOPROXY, "*");
    curl_easy_setopt(s->easy, CURLOPT_TIMEOUT, 60L);
    curl_easy_setopt(s->easy, CURLOPT_WRITEFUNCTION, collect);
    curl_easy_setopt(s->easy, CURLOPT_WRITEDATA, body);
    CURLcode code = curl_easy_perform(s->easy);
    if (code == CURLE_OK) {
        code = curl_easy_getinfo(s->easy, CURLINFO_RESPONSE_CODE, status);
    }
    PyMutex_Unlock(&s->mutex);
    return code;
}

static PyObject *
session_get(PyObject *self, PyObject *args)
{
    const char *url;
    body_t body = {NULL, 0};
    long status = 0;
    CURLcode code;
    if (!PyArg_ParseTuple(args, "s:get", &url)) {
        return NULL;
    }
    Py_BEGIN_ALLOW_THREADS
    code = perform((session_t *)self, url, &body, &status);
    Py_END_ALLOW_THREADS
    PyObject *result = NULL;
    if (code == CURLE_OK) {
        result =
            Py_BuildValue("ly#", status, body.bytes == NULL ? "" : body.bytes, (Py_ssize_t)body.n);
    } else {
        PyErr_Format(PyExc_OSError, "%s: %s", url, curl_easy_strerror(code));
    }
    free(body.bytes);
    return result;
}

static PyMethodDef session_methods[] = {
    {"get", session_get, METH_VARARGS,
     "get($self, url, /)\n--\n\nFetch url: (status, bytes). OSError if nobody answers."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot session_slots[] = {
    {Py_tp_doc, (void *)"Session()\n--\n\nFetches, and keeps connections open in between."},
    {Py_tp_new, (void *)session_new},
    {Py_tp_dealloc, (void *)session_dealloc},
    {Py_tp_traverse, (void *)session_traverse},
    {Py_tp_methods, session_methods},
    {0, NULL},
};

static PyType_Spec session_spec = {
    .name = "tinycurl.Session",
    .basicsize = sizeof(session_t),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = session_slots,
};

/* ---- the module ---------------------------------------------------------------------------------- */

static PyObject *
counts(PyObject *module, PyObject *unused)
{
    (void)module;
    (void)unused;
    return Py_BuildValue("ll", inits, exits);
}

static PyMethodDef functions[] = {
    {"counts", counts, METH_NOARGS,
     "counts($module)\n--\n\nHow often libcurl was initialised and cleaned up by this module."},
    {NULL, NULL, 0, NULL},
};

static int
add_types(PyObject *module)
{
    PyObject *type = PyType_FromModuleAndSpec(module, &session_spec, NULL);
    int rc = PyModule_AddObjectRef(module, "Session", type);
    Py_XDECREF(type);
    return rc;
}

static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, (void *)enter},
    {Py_mod_exec, (void *)add_types},
    {Py_mod_multiple_interpreters, Py_MOD_PER_INTERPRETER_GIL_SUPPORTED},
    {Py_mod_gil, Py_MOD_GIL_NOT_USED},
    {0, NULL},
};

static PyModuleDef module_def = {
    PyModuleDef_HEAD_INIT, .m_name = "tinycurl", .m_methods = functions,
    .m_slots = slots,      .m_free = leave,
};

PyMODINIT_FUNC
TINYCURL_PYINIT(void)
{
    return PyModuleDef_Init(&module_def);
}
