/* allocations.c: a Python module that counts what a piece of code allocates. Built for the
 * benchmark alone.
 *
 *   start()           from now on
 *   stop()            (most bytes at once, bytes left, blocks allocated), by what was asked for
 *   trim()            gives the C heap's free memory back, for a look at resident memory
 *
 * Wraps the allocators of all three domains. Blocks from before start() are not counted, nor is
 * their being freed: only blocks in `seen` are ours to count. A block that is reallocated counts
 * as old or new, whichever is larger; that both exist for a moment, where the C library cannot
 * extend it, shows in resident memory only.
 *
 * Invariant: `live` is the sum of the sizes in `seen`. Threading: `lock` guards all of it; the
 * domains must not be changed by anybody else between start() and stop().
 */
#include <Python.h>
#include <malloc.h>
#include <pthread.h>

enum { CAPACITY = 1 << 18 }; /* of `seen`, a power of two; it must not get more than half full */

typedef struct {
    const void *block; /* NULL: free; &gone: was used */
    size_t size;
} seen_t;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static seen_t seen[CAPACITY];
static size_t used, live, peak, blocks;
static const char gone;
static int running;
static PyMemAllocatorEx before[3];
static const PyMemAllocatorDomain domains[3] = {PYMEM_DOMAIN_RAW, PYMEM_DOMAIN_MEM,
                                                PYMEM_DOMAIN_OBJ};

static seen_t *
place_of(const void *block)
{
    size_t i = (size_t)(((uintptr_t)block >> 4) * UINT64_C(0x9E3779B97F4A7C15) >> 40);
    while (seen[i % CAPACITY].block != NULL && seen[i % CAPACITY].block != block) {
        i++;
    }
    return &seen[i % CAPACITY];
}

static void
add(const void *block, size_t size)
{
    if (block == NULL) {
        return;
    }
    pthread_mutex_lock(&lock);
    blocks++;
    live += size;
    peak = live > peak ? live : peak;
    if (used < CAPACITY / 2) {
        used++;
        *place_of(block) = (seen_t){block, size};
    }
    pthread_mutex_unlock(&lock);
}

static int
take_out(const void *block)
{
    pthread_mutex_lock(&lock);
    seen_t *place = place_of(block);
    int known = place->block != NULL;
    if (known) {
        live -= place->size;
        *place = (seen_t){&gone, 0};
    }
    pthread_mutex_unlock(&lock);
    return known;
}

/* ---- the wrappers ------------------------------------------------------------------------- */

static void *
counted_malloc(void *ctx, size_t size)
{
    PyMemAllocatorEx *real = ctx;
    void *block = real->malloc(real->ctx, size);
    add(block, size);
    return block;
}

static void *
counted_calloc(void *ctx, size_t n, size_t size)
{
    PyMemAllocatorEx *real = ctx;
    void *block = real->calloc(real->ctx, n, size);
    add(block, n * size);
    return block;
}

/* A block from before start() becomes ours as it grows: how large it was, nobody knows. */
static void *
counted_realloc(void *ctx, void *block, size_t size)
{
    PyMemAllocatorEx *real = ctx;
    void *grown = real->realloc(real->ctx, block, size);
    if (grown != NULL) {
        if (block != NULL) {
            (void)take_out(block);
        }
        add(grown, size);
    }
    return grown;
}

static void
counted_free(void *ctx, void *block)
{
    PyMemAllocatorEx *real = ctx;
    if (block != NULL) {
        (void)take_out(block);
    }
    real->free(real->ctx, block);
}

/* ---- the module ---------------------------------------------------------------------------- */

static PyObject *
start(PyObject *module, PyObject *unused)
{
    (void)module;
    (void)unused;
    if (running) {
        PyErr_SetString(PyExc_RuntimeError, "counting already");
        return NULL;
    }
    running = 1;
    memset(seen, 0, sizeof seen);
    used = live = peak = blocks = 0;
    for (int i = 0; i < 3; i++) {
        PyMem_GetAllocator(domains[i], &before[i]);
    }
    for (int i = 0; i < 3; i++) {
        PyMemAllocatorEx counted = {&before[i], counted_malloc, counted_calloc, counted_realloc,
                                    counted_free};
        PyMem_SetAllocator(domains[i], &counted);
    }
    Py_RETURN_NONE;
}

static PyObject *
stop(PyObject *module, PyObject *unused)
{
    (void)module;
    (void)unused;
    if (!running) {
        PyErr_SetString(PyExc_RuntimeError, "not counting");
        return NULL;
    }
    for (int i = 0; i < 3; i++) {
        PyMem_SetAllocator(domains[i], &before[i]);
    }
    running = 0;
    if (used == CAPACITY / 2) {
        PyErr_SetString(PyExc_RuntimeError, "more blocks than can be counted");
        return NULL;
    }
    return Py_BuildValue("nnn", (Py_ssize_t)peak, (Py_ssize_t)live, (Py_ssize_t)blocks);
}

static PyObject *
trim(PyObject *module, PyObject *unused)
{
    (void)module;
    (void)unused;
    malloc_trim(0);
    Py_RETURN_NONE;
}

static PyMethodDef functions[] = {
    {"start", start, METH_NOARGS, "start(): count from now on."},
    {"stop", stop, METH_NOARGS, "stop(): (most bytes at once, bytes left, blocks allocated)."},
    {"trim", trim, METH_NOARGS, "trim(): give the C heap's free memory back."},
    {NULL, NULL, 0, NULL},
};

/* Process-wide, so one interpreter only. */
static PyModuleDef_Slot slots[] = {
    {Py_mod_multiple_interpreters, Py_MOD_MULTIPLE_INTERPRETERS_NOT_SUPPORTED},
    {0, NULL},
};

static struct PyModuleDef module_def = {
    PyModuleDef_HEAD_INIT,
    .m_name = "allocations",
    .m_doc = "Counts what a piece of code allocates.",
    .m_methods = functions,
    .m_slots = slots,
};

PyMODINIT_FUNC PyInit_allocations(void);

PyMODINIT_FUNC
PyInit_allocations(void)
{
    return PyModuleDef_Init(&module_def);
}
