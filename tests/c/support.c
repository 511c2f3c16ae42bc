/* support.c: see support.h. */
#include "support.h"

#include "runtime/cpython/stdlib.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

PyMODINIT_FUNC PyInit__core(void);

void
test_check_failed(const char *file, int line, const char *text)
{
    fprintf(stderr, "%s:%d: not true: %s\n", file, line, text);
    if (PyThreadState_GetUnchecked() != NULL && PyErr_Occurred()) {
        PyErr_Print();
    }
    fflush(NULL);
    abort();
}

/* ---- time, threads, processes -------------------------------------------------------------- */

int64_t
test_deadline(int64_t from_now)
{
    return ot_clock_now() + from_now;
}

void
test_sleep(int64_t nanoseconds)
{
    struct timespec t = {nanoseconds / 1000000000, nanoseconds % 1000000000};
    nanosleep(&t, NULL);
}

void
test_wait_until(bool (*predicate)(void *arg), void *arg)
{
    int64_t deadline = test_deadline(MILLISECONDS(30000));
    while (!predicate(arg)) {
        CHECK(ot_clock_now() < deadline);
        test_sleep(MILLISECONDS(1));
    }
}

pthread_t
test_thread(void *(*run)(void *arg), void *arg)
{
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, run, arg) == 0);
    return thread;
}

void *
test_join(pthread_t thread)
{
    void *result;
    CHECK(pthread_join(thread, &result) == 0);
    return result;
}

void
test_in_child(void (*body)(void *arg), void *arg)
{
    fflush(NULL);
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        body(arg);
        _exit(0);
    }
    int status;
    CHECK(waitpid(pid, &status, 0) == pid);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the child ended with status %d",
              status);
}

/* ---- Python ------------------------------------------------------------------------------- */

void
python_start_bare(void)
{
    PyConfig config;
    setenv("PYTHONPATH", OT_TEST_LIB, 1);
    CHECK(PyImport_AppendInittab("objtunnel._core", PyInit__core) == 0);
    PyConfig_InitPythonConfig(&config);
    config.parse_argv = 0;
    CHECK(!PyStatus_Exception(
        PyConfig_SetBytesString(&config, &config.program_name, OT_TEST_PYTHON)));
    CHECK(!PyStatus_Exception(Py_InitializeFromConfig(&config)));
    PyConfig_Clear(&config);
}

void
python_start(void)
{
    python_start_bare();
    python_run("import objtunnel");
}

/* ---- a layer over Python's allocator that its name hides behind ---------------------------- */

static PyMemAllocatorEx hidden[2]; /* of the MEM and OBJ domains; ctx points here */

static void *
pass_malloc(void *ctx, size_t size)
{
    PyMemAllocatorEx *a = ctx;
    return a->malloc(a->ctx, size);
}

static void *
pass_calloc(void *ctx, size_t count, size_t size)
{
    PyMemAllocatorEx *a = ctx;
    return a->calloc(a->ctx, count, size);
}

static void *
pass_realloc(void *ctx, void *block, size_t size)
{
    PyMemAllocatorEx *a = ctx;
    return a->realloc(a->ctx, block, size);
}

static void
pass_free(void *ctx, void *block)
{
    PyMemAllocatorEx *a = ctx;
    a->free(a->ctx, block);
}

void
python_start_bare_with_own_heap(void)
{
    static const PyMemAllocatorDomain domains[2] = {PYMEM_DOMAIN_MEM, PYMEM_DOMAIN_OBJ};
    setenv("OBJTUNNEL_HEAP", "mimalloc", 0); /* the layer stays in place */
    python_start_bare();
    for (int i = 0; i < 2; i++) {
        PyMemAllocatorEx a = {&hidden[i], pass_malloc, pass_calloc, pass_realloc, pass_free};
        PyMem_GetAllocator(domains[i], &hidden[i]);
        PyMem_SetAllocator(domains[i], &a);
    }
}

void
python_start_with_own_heap(void)
{
    python_start_bare_with_own_heap();
    python_run("import objtunnel");
    CHECK(ot_heap.mode == OT_HEAP_OWN);
}

void
python_finish(void)
{
    CHECK(Py_FinalizeEx() == 0);
    CHECK(ot_channel_count() == 0);
    CHECK(ot_shared_count() == 0);
}

static PyObject *namespace(void)
{
    PyObject *module = PyImport_AddModule("__main__"); /* borrowed */
    CHECK(module != NULL);
    return PyModule_GetDict(module);
}

void
python_run(const char *source)
{
    PyObject *result = PyRun_String(source, Py_file_input, namespace(), namespace());
    CHECK(result != NULL);
    Py_DECREF(result);
}

PyObject *
python_eval(const char *expression)
{
    PyObject *result = PyRun_String(expression, Py_eval_input, namespace(), namespace());
    CHECK(result != NULL);
    return result;
}

bool
python_true(const char *expression)
{
    PyObject *o = python_eval(expression);
    int truth = PyObject_IsTrue(o);
    Py_DECREF(o);
    CHECK(truth >= 0);
    return truth;
}

void
python_set(const char *name, PyObject *o)
{
    CHECK(PyDict_SetItemString(namespace(), name, o) == 0);
}

PyObject *
python_take(const char *name)
{
    PyObject *o;
    CHECK(PyDict_PopString(namespace(), name, &o) == 1);
    return o;
}

void
python_expect(PyObject *type)
{
    CHECK(PyErr_ExceptionMatches(type));
    PyErr_Clear();
}

/* repr of a memoryview says where it is. */
static void
blank_addresses(char *text)
{
    static const char before[] = "<memory at 0x";
    for (char *at = text; (at = strstr(at, before)) != NULL;) {
        at += sizeof before - 1;
        memset(at, '.', strspn(at, "0123456789abcdef"));
    }
}

char *
python_repr(PyObject *o)
{
    PyObject *text = PyObject_Repr(o);
    CHECK(text != NULL);
    char *copy = strdup(PyUnicode_AsUTF8(text));
    Py_DECREF(text);
    blank_addresses(copy);
    return copy;
}

const ot_interp_t *
python_interp(void)
{
    ot_state_t *state = ot_state_current();
    CHECK(state != NULL);
    return &state->interp;
}

/* ---- interpreters ------------------------------------------------------------------------- */

PyThreadState *
interpreter_new(void)
{
    /* One at a time: CPython's own locking does not cover creation throughout. */
    static pthread_mutex_t creation_lock = PTHREAD_MUTEX_INITIALIZER;
    PyInterpreterConfig config = {
        .allow_threads = 1,
        .check_multi_interp_extensions = 1,
        .gil = PyInterpreterConfig_OWN_GIL,
    };
    PyThreadState *t = NULL;
    if (PyThreadState_GetUnchecked() != NULL) {
        PyThreadState_Swap(NULL); /* hold no GIL while waiting for the lock */
    }
    pthread_mutex_lock(&creation_lock);
    PyStatus status = Py_NewInterpreterFromConfig(&t, &config);
    pthread_mutex_unlock(&creation_lock);
    CHECK(!PyStatus_Exception(status) && t != NULL);
    return t;
}

void
interpreter_end(PyThreadState *t, PyThreadState *next)
{
    if (PyThreadState_GetUnchecked() != t) {
        PyThreadState_Swap(t);
    }
    Py_EndInterpreter(t);
    PyThreadState_Swap(next);
}

/* ---- graphs ------------------------------------------------------------------------------- */

static void
visit_dict(PyObject *o, void (*visit)(PyObject *o, void *arg), void *arg)
{
    PyObject *key, *value;
    Py_ssize_t pos = 0;
    while (PyDict_Next(o, &pos, &key, &value)) {
        visit(key, arg);
        visit(value, arg);
    }
}

static void
visit_set(PyObject *o, void (*visit)(PyObject *o, void *arg), void *arg)
{
    PySetObject *so = (PySetObject *)o;
    for (Py_ssize_t i = 0; i <= so->mask; i++) {
        if (so->table[i].key != NULL && so->table[i].hash != -1) {
            visit(so->table[i].key, arg);
        }
    }
}

static void
visit_odict(PyObject *o, void (*visit)(PyObject *o, void *arg), void *arg)
{
    visit_dict(o, visit, arg);
    for (ot_odict_node_t *node = ((ot_odict_t *)o)->first; node != NULL; node = node->next) {
        visit(node->key, arg);
    }
}

static void
visit_deque(PyObject *o, void (*visit)(PyObject *o, void *arg), void *arg)
{
    ot_deque_t *d = (ot_deque_t *)o;
    ot_deque_block_t *b = d->first;
    for (Py_ssize_t i = d->first_index, n = Py_SIZE(o); n > 0; n--, i++) {
        if (i == OT_DEQUE_BLOCK) {
            b = b->right;
            i = 0;
        }
        visit(b->item[i], arg);
    }
}

static bool
is_a(PyObject *o, const char *tp_name)
{
    return strcmp(Py_TYPE(o)->tp_name, tp_name) == 0;
}

static void
visit_c_type(PyObject *o, void (*visit)(PyObject *o, void *arg), void *arg)
{
    PyObject *field[2] = {0};
    if (is_a(o, "collections.deque")) {
        visit_deque(o, visit, arg);
    } else if (is_a(o, "collections.defaultdict")) {
        visit_dict(o, visit, arg);
        field[0] = ((ot_defaultdict_t *)o)->default_factory;
    } else if (is_a(o, "datetime.timezone")) {
        field[0] = ((ot_timezone_t *)o)->offset;
        field[1] = ((ot_timezone_t *)o)->name;
    } else if (is_a(o, "datetime.time") || is_a(o, "datetime.datetime")) {
        field[0] = ot_tzinfo_of(o);
    }
    for (int i = 0; i < 2; i++) {
        if (field[i] != NULL) {
            visit(field[i], arg);
        }
    }
}

void
graph_visit(PyObject *o, void (*visit)(PyObject *o, void *arg), void *arg)
{
    if (PyList_CheckExact(o) || PyTuple_CheckExact(o)) {
        for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(o); i++) {
            visit(PySequence_Fast_GET_ITEM(o, i), arg);
        }
    } else if (PyDict_CheckExact(o)) {
        visit_dict(o, visit, arg);
    } else if (PyAnySet_CheckExact(o)) {
        visit_set(o, visit, arg);
    } else if (PyRange_Check(o)) {
        for (int i = 0; i < 4; i++) {
            visit(((ot_range_t *)o)->part[i], arg);
        }
    } else if (PySlice_Check(o)) {
        visit(((PySliceObject *)o)->start, arg);
        visit(((PySliceObject *)o)->stop, arg);
        visit(((PySliceObject *)o)->step, arg);
    } else if (PyODict_CheckExact(o)) {
        visit_odict(o, visit, arg);
    } else if (Py_IS_TYPE(o, &PyDictProxy_Type)) {
        visit(((ot_mappingproxy_t *)o)->mapping, arg);
    } else if (PyMemoryView_Check(o)) {
        visit((PyObject *)((PyMemoryViewObject *)o)->mbuf, arg);
    } else if (is_a(o, "managedbuffer")) {
        visit(((_PyManagedBufferObject *)o)->master.obj, arg);
    } else {
        visit_c_type(o, visit, arg);
    }
}

static node_t *
find_node(const graph_t *g, const void *o)
{
    for (size_t i = 0; i < g->len; i++) {
        if (g->nodes[i].o == o) {
            return &g->nodes[i];
        }
    }
    return NULL;
}

static void
enter(PyObject *o, void *arg)
{
    graph_t *g = arg;
    if (ot_is_process_static(o) || ot_is_module_static(o)) {
        return;
    }
    node_t *known = find_node(g, o);
    if (known != NULL) {
        known->edges++;
        return;
    }
    if (g->len == g->cap) {
        g->cap = g->cap ? g->cap * 2 : 64;
        g->nodes = realloc(g->nodes, g->cap * sizeof *g->nodes);
        CHECK(g->nodes != NULL);
    }
    g->nodes[g->len++] = (node_t){o, 1, Py_REFCNT(o), PyObject_GC_IsTracked(o)};
    graph_visit(o, enter, g);
}

graph_t
graph_of(PyObject *root)
{
    graph_t g = {0};
    enter(root, &g);
    return g;
}

void
graph_free(graph_t *g)
{
    free(g->nodes);
    *g = (graph_t){0};
}

bool
graph_has(const graph_t *g, const void *o)
{
    return find_node(g, o) != NULL;
}

static void *
side_block(PyObject *o)
{
    if (PyList_CheckExact(o)) {
        return ((PyListObject *)o)->ob_item;
    }
    if (PyDict_Check(o)) {
        return ot_keys_static(ot_dict_keys(o)) ? NULL : ot_dict_keys(o);
    }
    if (PyAnySet_CheckExact(o)) {
        PySetObject *so = (PySetObject *)o;
        return so->table == so->smalltable ? NULL : so->table;
    }
    if (PyByteArray_CheckExact(o)) {
        return ot_bytearray_block(o);
    }
    if (PyUnicode_CheckExact(o)) {
        return ot_str_side_block(o);
    }
    if (is_a(o, "array.array")) {
        return ((ot_array_t *)o)->ob_item;
    }
    if (is_a(o, "decimal.Decimal")) {
        ot_decimal_t *d = (ot_decimal_t *)o;
        return d->data == d->word ? NULL : d->data;
    }
    return NULL;
}

/* The blocks that side_block does not know. */
static bool
chain_is_home(PyObject *o)
{
    bool home = true;
    if (PyODict_CheckExact(o)) {
        ot_odict_t *od = (ot_odict_t *)o;
        for (ot_odict_node_t *node = od->first; node != NULL; node = node->next) {
            home = home && ot_heap_owns(node);
        }
        home = home && (od->node == NULL || ot_heap_owns(od->node));
    } else if (is_a(o, "collections.deque")) {
        ot_deque_t *d = (ot_deque_t *)o;
        for (ot_deque_block_t *b = d->first; b != d->last; b = b->right) {
            home = home && ot_heap_owns(b);
        }
        home = home && ot_heap_owns(d->last);
        for (Py_ssize_t i = 0; i < d->n_free; i++) {
            home = home && ot_heap_owns(d->free[i]);
        }
    }
    return home;
}

bool
graph_is_home(PyObject *o)
{
    void *side = side_block(o);
    return ot_heap_owns(o) && (side == NULL || ot_heap_owns(side)) && chain_is_home(o);
}

/* An interned string must be the one that this interpreter's table has. */
static void
check_interned(PyObject *o)
{
    PyObject *ours = PyUnicode_FromString(PyUnicode_AsUTF8(o));
    CHECK(ours != NULL);
    PyUnicode_InternInPlace(&ours);
    CHECK(ours == o);
    Py_DECREF(ours);
}

void
graph_check_received(PyObject *root)
{
    graph_t g = graph_of(root);
    for (size_t i = 0; i < g.len; i++) {
        node_t *n = &g.nodes[i];
        if (PyUnicode_CheckExact(n->o) && ot_str_interned(n->o)) {
            check_interned(n->o);
            continue; /* the interpreter's own code refers to it, too, and may have made it */
        }
        CHECK(Py_REFCNT(n->o) == n->edges);
        CHECK(graph_is_home(n->o));
    }
    graph_free(&g);
}

void
graph_check_same(const graph_t *before, const graph_t *after)
{
    CHECK(before->len == after->len);
    for (size_t i = 0; i < before->len; i++) {
        CHECK(before->nodes[i].o == after->nodes[i].o);
        CHECK(before->nodes[i].edges == after->nodes[i].edges);
        CHECK(before->nodes[i].refcnt == after->nodes[i].refcnt);
        CHECK(before->nodes[i].tracked == after->nodes[i].tracked);
    }
}

/* ---- failing allocations ------------------------------------------------------------------ */

static PyMemAllocatorEx below[3]; /* by domain; ctx points here */
static atomic_long live;
static _Thread_local long countdown = -1; /* allocations until one fails; -1: none will */
static _Thread_local bool failed;

static bool
this_one_fails(void)
{
    if (countdown < 0 || countdown-- > 0) {
        return false;
    }
    failed = true;
    return true;
}

static void *
counted(void *block)
{
    atomic_fetch_add(&live, block != NULL);
    return block;
}

static void *
failing_malloc(void *ctx, size_t size)
{
    PyMemAllocatorEx *a = ctx;
    return this_one_fails() ? NULL : counted(a->malloc(a->ctx, size));
}

static void *
failing_calloc(void *ctx, size_t count, size_t size)
{
    PyMemAllocatorEx *a = ctx;
    return this_one_fails() ? NULL : counted(a->calloc(a->ctx, count, size));
}

static void *
failing_realloc(void *ctx, void *block, size_t size)
{
    PyMemAllocatorEx *a = ctx;
    if (this_one_fails()) {
        return NULL;
    }
    void *grown = a->realloc(a->ctx, block, size);
    return block == NULL ? counted(grown) : grown;
}

static void
failing_free(void *ctx, void *block)
{
    PyMemAllocatorEx *a = ctx;
    atomic_fetch_sub(&live, block != NULL);
    a->free(a->ctx, block);
}

void
failing_install(void)
{
    static const PyMemAllocatorDomain domains[3] = {PYMEM_DOMAIN_RAW, PYMEM_DOMAIN_MEM,
                                                    PYMEM_DOMAIN_OBJ};
    for (int i = 0; i < 3; i++) {
        PyMemAllocatorEx a = {&below[i], failing_malloc, failing_calloc, failing_realloc,
                              failing_free};
        PyMem_GetAllocator(domains[i], &below[i]);
        PyMem_SetAllocator(domains[i], &a);
    }
}

void
failing_arm(long n)
{
    failed = false;
    countdown = n;
}

bool
failing_disarm(void)
{
    countdown = -1;
    return failed;
}

long
failing_live(void)
{
    return atomic_load(&live);
}

void
failing_settle(void)
{
    PyGC_Collect();
    PyType_ClearCache();
}

long
failing_settled_live(void)
{
    failing_settle();
    return failing_live();
}
