/* test_heap.c: one object heap for all interpreters, installed while they run. One body runs over
 * all backends that OBJTUNNEL_HEAP can choose. */
#include "support.h"

#include "runtime/lab.h"

#include <stdatomic.h>
#include <stdlib.h>

TestSuite(heap, .fini = python_finish, .timeout = 120);

#ifdef OT_LAB
TestSuite(heap_lockinc, .fini = python_finish, .timeout = 120);
TestSuite(heap_lockinc_classes, .fini = python_finish, .timeout = 120);

#define LAB_HEAP_TESTS(name)                                                                       \
    Test(heap_lockinc, name)                                                                       \
    {                                                                                              \
        setenv("OBJTUNNEL_HEAP", "lockinc", 1);                                                    \
        name();                                                                                    \
    }                                                                                              \
    Test(heap_lockinc_classes, name)                                                               \
    {                                                                                              \
        setenv("OBJTUNNEL_HEAP", "lockinc-classes", 1);                                            \
        name();                                                                                    \
    }
#else
#define LAB_HEAP_TESTS(name)
#endif

/* A test of each backend that this build has. */
#define HEAP_TEST(name)                                                                            \
    static void name(void);                                                                        \
    Test(heap, name)                                                                               \
    {                                                                                              \
        name();                                                                                    \
    }                                                                                              \
    LAB_HEAP_TESTS(name)                                                                           \
    static void name(void)

/* ---- modes -------------------------------------------------------------------------------- */

HEAP_TEST(pymalloc_gives_way_to_our_own_heap)
{
    python_start_with_own_heap();
    cr_assert_eq(ot_heap.mode, OT_HEAP_OWN);
    cr_assert_geq(ot_heap.span, (size_t)1 << 30);
    cr_assert(python_true("objtunnel.heap_info().installed"));
    cr_assert(python_true("objtunnel.heap_info().span > 0"));
    const char *backend = getenv("OBJTUNNEL_HEAP");
    cr_assert_eq(strcmp(backend, "mimalloc") != 0, strstr(ot_heap.allocator, "LOCK INC") != NULL);
}

Test(heap, a_process_wide_allocator_stays)
{
    setenv("PYTHONMALLOC", "malloc", 1);
    python_start_bare();
    PyMemAllocatorEx before[2], after[2];
    PyMem_GetAllocator(PYMEM_DOMAIN_MEM, &before[0]);
    PyMem_GetAllocator(PYMEM_DOMAIN_OBJ, &before[1]);
    python_run("import objtunnel");
    cr_assert_eq(ot_heap.mode, OT_HEAP_PROCESS);
    cr_assert_str_eq(ot_heap.allocator, "malloc");
    PyMem_GetAllocator(PYMEM_DOMAIN_MEM, &after[0]);
    PyMem_GetAllocator(PYMEM_DOMAIN_OBJ, &after[1]);
    cr_assert(memcmp(before, after, sizeof before) == 0);
    int on_stack;
    cr_assert(ot_heap_owns(&on_stack), "every address is as good as any other");
    cr_assert(python_true("not objtunnel.heap_info().installed"));
    cr_assert(python_true("objtunnel.heap_info().span is None"));
}

Test(heap, the_environment_chooses_the_backend)
{
    python_start_bare_with_own_heap();
    setenv("OBJTUNNEL_HEAP", "jemalloc", 1);
    python_run("try:\n    import objtunnel\n"
               "except ImportError as e:\n    assert 'lockinc-classes' in str(e), e\n"
               "else:\n    raise AssertionError('installed')");
    cr_assert_eq(ot_heap.mode, OT_HEAP_NONE);
    setenv("OBJTUNNEL_HEAP", OT_HAS_LAB ? "lockinc-classes" : "mimalloc", 1);
    python_run("import objtunnel"); /* nothing of the failed import is in the way */
    cr_assert_str_eq(ot_heap.allocator, OT_HAS_LAB
                                            ? "objtunnel (LOCK INC pools, a lock per size class)"
                                            : "objtunnel (mimalloc)");
}

#ifndef OT_LAB
Test(heap, the_laboratorys_heaps_are_refused_by_the_name_of_their_build)
{
    python_start_bare_with_own_heap();
    setenv("OBJTUNNEL_HEAP", "lockinc", 1);
    python_run("try:\n    import objtunnel\n"
               "except ImportError as e:\n    assert 'make LAB_PARTS=1' in str(e), e\n"
               "else:\n    raise AssertionError('installed')");
    cr_assert_eq(ot_heap.mode, OT_HEAP_NONE);
    setenv("OBJTUNNEL_HEAP", "mimalloc", 1);
    python_run("import objtunnel"); /* as the suite's end expects */
}

#else

Test(heap, pools_are_refused_where_nothing_is_installed)
{
    setenv("PYTHONMALLOC", "malloc", 1);
    setenv("OBJTUNNEL_HEAP", "lockinc", 1);
    python_start_bare();
    python_run("try:\n    import objtunnel\n"
               "except ImportError as e:\n    assert 'runs on malloc' in str(e), e\n"
               "else:\n    raise AssertionError('imported')");
    cr_assert_eq(ot_heap.mode, OT_HEAP_NONE);
    setenv("OBJTUNNEL_HEAP", "", 1);
    python_run("import objtunnel"); /* as the suite's end expects */
}
#endif

HEAP_TEST(is_installed_once)
{
    python_start_with_own_heap();
    ot_heap_t first = ot_heap;
    PyThreadState *main = PyThreadState_Get();
    PyThreadState *other = interpreter_new();
    python_run("import objtunnel");
    cr_assert_eq(ot_heap_install(), 0);
    cr_assert_eq(ot_heap.base, first.base);
    cr_assert_eq(ot_heap.span, first.span);
    cr_assert_eq(ot_heap.mode, first.mode);
    interpreter_end(other, main);
}

HEAP_TEST(is_not_installed_under_tracemalloc)
{
    python_start_bare_with_own_heap();
    python_run("import tracemalloc\n"
               "tracemalloc.start()\n"
               "try:\n    import objtunnel\n"
               "except ImportError as e:\n    assert 'tracemalloc' in str(e), e\n"
               "else:\n    raise AssertionError('installed')");
    cr_assert_eq(ot_heap.mode, OT_HEAP_NONE);
    python_run("tracemalloc.stop()\nimport objtunnel");
    cr_assert_eq(ot_heap.mode, OT_HEAP_OWN);
}

/* ---- the range ---------------------------------------------------------------------------- */

static const size_t sizes[] = {0,    1,     8,      16,      17,      100,      512,     513,
                               4096, 32768, 100000, 1 << 20, 3 << 20, 16 << 20, 64 << 20};

HEAP_TEST(blocks_of_all_sizes_lie_in_the_range)
{
    python_start_with_own_heap();
    for (size_t i = 0; i < Py_ARRAY_LENGTH(sizes); i++) {
        void *blocks[] = {PyMem_Malloc(sizes[i]), PyObject_Malloc(sizes[i]),
                          PyMem_Calloc(1, sizes[i]), PyObject_Calloc(sizes[i], 1),
                          PyMem_Realloc(NULL, sizes[i])};
        for (size_t k = 0; k < Py_ARRAY_LENGTH(blocks); k++) {
            cr_assert_not_null(blocks[k]);
            cr_assert(ot_heap_owns(blocks[k]), "%zu bytes, way %zu", sizes[i], k);
            memset(blocks[k], 0xa5, sizes[i]);
        }
        PyMem_Free(blocks[0]);
        PyObject_Free(blocks[1]);
        PyMem_Free(blocks[2]);
        PyObject_Free(blocks[3]);
        PyMem_Free(blocks[4]);
    }
}

HEAP_TEST(new_objects_lie_in_the_range)
{
    python_start_with_own_heap();
    /* Many of each, for the first ones may come from free lists with blocks of the old allocator. */
    python_run(
        "makers = [lambda i: bytes(i), lambda i: bytearray(i), lambda i: 'x' * 1000 + str(i),\n"
        "          lambda i: 10 ** (100 + i), lambda i: {i: i}, lambda i: {i}, lambda i: [i],\n"
        "          lambda i: (i, i), lambda i: i / 7, lambda i: object()]\n"
        "made = [o for make in makers for o in [make(i) for i in range(2300)][2200:]]");
    cr_assert(python_true("all(objtunnel._core._owns(o) for o in made)"));
}

HEAP_TEST(the_range_ends_where_it_says)
{
    python_start_with_own_heap();
    cr_assert(ot_heap_owns((void *)ot_heap.base));
    cr_assert(ot_heap_owns((void *)(ot_heap.base + ot_heap.span - 1)));
    cr_assert_not(ot_heap_owns((void *)(ot_heap.base + ot_heap.span)));
    cr_assert_not(ot_heap_owns((void *)(ot_heap.base - 1)));
    cr_assert_not(ot_heap_owns(NULL));
    cr_assert_not(ot_heap_owns(&ot_heap));
}

HEAP_TEST(resident_grows_with_what_is_touched)
{
    python_start_with_own_heap();
    enum { MIB = 1 << 20 };
    long long before = ot_heap_resident();
    cr_assert_gt(before, 0);
    char *block = PyMem_Malloc(64 * MIB);
    cr_assert_not_null(block);
    memset(block, 1, 64 * MIB);
    cr_assert_geq(ot_heap_resident() - before, 60 * MIB);
    PyMem_Free(block);
}

/* ---- blocks from before ------------------------------------------------------------------- */

enum { OLD_BLOCKS = 2000 };

static size_t
old_size(int i)
{
    return (size_t)(i % 50 == 0 ? 100000 : i % 700 + 1);
}

static bool
is_filled(const unsigned char *block, size_t size, unsigned char with)
{
    for (size_t i = 0; i < size; i++) {
        if (block[i] != with) {
            return false;
        }
    }
    return true;
}

HEAP_TEST(blocks_from_before_are_freed_and_grown_afterwards)
{
    python_start_bare_with_own_heap();
    static unsigned char *mem[OLD_BLOCKS], *obj[OLD_BLOCKS];
    for (int i = 0; i < OLD_BLOCKS; i++) {
        mem[i] = PyMem_Malloc(old_size(i));
        obj[i] = PyObject_Malloc(old_size(i));
        memset(mem[i], i & 0xff, old_size(i));
        memset(obj[i], i & 0xff, old_size(i));
    }
    python_run("import objtunnel");
    for (int i = 0; i < OLD_BLOCKS; i++) {
        cr_assert_not(ot_heap_owns(mem[i]));
        if (i % 2) { /* half of them grow (and shrink) first */
            size_t size = i % 4 == 1 ? old_size(i) * 3 : old_size(i) / 2 + 1;
            size_t kept = size < old_size(i) ? size : old_size(i);
            mem[i] = PyMem_Realloc(mem[i], size);
            obj[i] = PyObject_Realloc(obj[i], size);
            cr_assert(is_filled(mem[i], kept, (unsigned char)i));
            cr_assert(is_filled(obj[i], kept, (unsigned char)i));
        }
        PyMem_Free(mem[i]);
        PyObject_Free(obj[i]);
    }
}

HEAP_TEST(objects_from_before_live_on)
{
    python_start_bare_with_own_heap();
    python_run("old = [[float(i), str(i), {i: [i]}, bytearray(i)] for i in range(5000)]");
    python_run("import objtunnel, gc");
    cr_assert(python_true("not objtunnel._core._owns(old)"));
    python_run(
        "for row in old:\n"
        "    row.append(1); row[2].update(a=1, b=2, c=3, d=4, e=5, f=6); row[3] += b'x' * 50\n"
        "assert all(r[0] == i and r[1] == str(i) and r[2][i] == [i] and len(r[3]) == i + 50\n"
        "           for i, r in enumerate(old))\n"
        "del old, row\n"
        "gc.collect()");
}

HEAP_TEST(realloc_keeps_the_content)
{
    python_start_with_own_heap();
    unsigned char *mem = NULL, *obj = NULL;
    size_t before = 0;
    /* Up and down through all size classes. */
    for (size_t turn = 0; turn < 2 * Py_ARRAY_LENGTH(sizes); turn++) {
        size_t n = Py_ARRAY_LENGTH(sizes);
        size_t size = sizes[turn < n ? turn : 2 * n - 1 - turn],
               kept = size < before ? size : before;
        mem = PyMem_Realloc(mem, size);
        obj = PyObject_Realloc(obj, size);
        cr_assert(ot_heap_owns(mem) && ot_heap_owns(obj));
        cr_assert(is_filled(mem, kept, 0x5a), "PyMem: %zu to %zu bytes", before, size);
        cr_assert(is_filled(obj, kept, 0xc3), "PyObject: %zu to %zu bytes", before, size);
        memset(mem, 0x5a, size);
        memset(obj, 0xc3, size);
        before = size;
    }
    PyMem_Free(mem);
    PyObject_Free(obj);
}

HEAP_TEST(calloc_is_zeroed_after_reuse)
{
    python_start_with_own_heap();
    for (size_t i = 1; i < Py_ARRAY_LENGTH(sizes); i++) {
        void *dirty = PyMem_Malloc(sizes[i]);
        memset(dirty, 0xff, sizes[i]);
        PyMem_Free(dirty);
        unsigned char *clean = PyMem_Calloc(sizes[i], 1);
        cr_assert(is_filled(clean, sizes[i], 0));
        PyMem_Free(clean);
    }
}

/* What was freed last is in the processor's cache still. */
HEAP_TEST(a_block_that_was_freed_is_the_next_one_of_its_size)
{
    static const size_t often[] = {16, 48, 112, 512};
    enum { KEPT_BLOCKS = 3000 };
    static void *kept[KEPT_BLOCKS];
    python_start_with_own_heap();
    for (size_t i = 0; i < Py_ARRAY_LENGTH(often); i++) {
        for (int k = 0; k < KEPT_BLOCKS; k++) {
            void *freed = PyObject_Malloc(often[i]);
            PyObject_Free(freed);
            kept[k] = PyObject_Malloc(often[i]);
            cr_assert_eq(kept[k], freed, "%zu bytes, block %d", often[i], k);
        }
        for (int k = 0; k < KEPT_BLOCKS; k++) {
            PyObject_Free(kept[k]);
        }
    }
}

HEAP_TEST(what_cannot_be_had_is_null)
{
    python_start_with_own_heap();
    cr_assert_null(PyMem_Malloc((size_t)1 << 46));
    cr_assert_null(PyMem_Calloc((size_t)1 << 46, 1));
    void *block = PyMem_Malloc(100);
    memset(block, 7, 100);
    cr_assert_null(PyMem_Realloc(block, (size_t)1 << 46));
    cr_assert(is_filled(block, 100, 7), "a failed realloc leaves the block");
    PyMem_Free(block);
}

/* ---- many interpreters -------------------------------------------------------------------- */

enum { EXCHANGERS = 4, EXCHANGES = 4000, SLOTS = 32 };

/* Blocks change hands through these: whoever swaps one out frees it. */
typedef struct {
    _Atomic(void *) slots[SLOTS];
} exchange_t;

/* A block remembers its size and is filled with a byte made of it. */
static void *
make_block(unsigned *seed)
{
    unsigned r = (unsigned)rand_r(seed);
    size_t size = r % 2000 == 0 ? (size_t)64 << 20 : r % 100 == 0 ? 1 << 20 : 16 + r % 3000;
    size_t *block = PyObject_Malloc(size);
    CHECK(block != NULL && ot_heap_owns(block));
    block[0] = size;
    size_t filled = size < 4096 ? size : 4096;
    memset(block + 1, (int)(size & 0xff), filled - sizeof *block);
    return block;
}

static void
free_block(void *p)
{
    size_t *block = p;
    size_t filled = block[0] < 4096 ? block[0] : 4096;
    CHECK(is_filled((unsigned char *)(block + 1), filled - sizeof *block, (unsigned char)block[0]));
    PyObject_Free(block);
}

static void *
exchange_blocks(void *arg)
{
    exchange_t *x = arg;
    PyThreadState *t = interpreter_new();
    unsigned seed = (unsigned)PyInterpreterState_GetID(PyThreadState_GetInterpreter(t));
    for (int i = 0; i < EXCHANGES; i++) {
        void *mine = make_block(&seed);
        void *other = atomic_exchange(&x->slots[(unsigned)rand_r(&seed) % SLOTS], mine);
        if (other != NULL) {
            free_block(other);
        }
    }
    interpreter_end(t, NULL);
    return NULL;
}

HEAP_TEST(blocks_of_one_interpreter_are_freed_by_another)
{
    python_start_with_own_heap();
    static exchange_t x;
    pthread_t threads[EXCHANGERS];
    Py_BEGIN_ALLOW_THREADS
    for (int i = 0; i < EXCHANGERS; i++) {
        threads[i] = test_thread(exchange_blocks, &x);
    }
    for (int i = 0; i < EXCHANGERS; i++) {
        test_join(threads[i]);
    }
    Py_END_ALLOW_THREADS
    for (int i = 0; i < SLOTS; i++) {
        if (x.slots[i] != NULL) { /* their interpreters are gone by now */
            free_block(x.slots[i]);
        }
    }
}

/* ---- installing under load ---------------------------------------------------------------- */

enum { LOADED = 3, KEPT = 500 };

typedef struct {
    atomic_bool stop;
    atomic_int busy, imported;
} load_t;

/* Allocates, grows, frees, in a ring, so that most blocks live across the installation. */
static void
churn(load_t *l)
{
    static const size_t churned[] = {24, 200, 600, 5000, 70000};
    unsigned char *ring[KEPT] = {NULL};
    atomic_fetch_add(&l->busy, 1);
    for (unsigned i = 0; !atomic_load(&l->stop) || i < KEPT; i++) {
        unsigned char **slot = &ring[i % KEPT];
        size_t size = churned[i % Py_ARRAY_LENGTH(churned)];
        if (*slot != NULL) {
            CHECK((*slot)[0] == 1 && (*slot)[size - 1] == 2);
            *slot = i / KEPT % 2 ? PyMem_Realloc(*slot, size * 2) : *slot;
            CHECK((*slot)[0] == 1 && (*slot)[size - 1] == 2);
            PyMem_Free(*slot);
        }
        *slot = i % 3 ? PyMem_Malloc(size) : PyMem_Calloc(size, 1);
        CHECK(*slot != NULL);
        (*slot)[0] = 1;
        (*slot)[size - 1] = 2;
    }
    for (int i = 0; i < KEPT; i++) {
        PyMem_Free(ring[i]);
    }
}

static void *
churn_in_own_interpreter(void *arg)
{
    load_t *l = arg;
    PyThreadState *t = interpreter_new();
    churn(l);
    python_run("import objtunnel\nassert objtunnel.heap_info().installed");
    atomic_fetch_add(&l->imported, 1);
    interpreter_end(t, NULL);
    return NULL;
}

static bool
all_busy(void *arg)
{
    return atomic_load(&((load_t *)arg)->busy) == LOADED;
}

HEAP_TEST(installing_while_other_interpreters_allocate)
{
    python_start_bare_with_own_heap();
    load_t l = {0};
    pthread_t threads[LOADED];
    Py_BEGIN_ALLOW_THREADS
    for (int i = 0; i < LOADED; i++) {
        threads[i] = test_thread(churn_in_own_interpreter, &l);
    }
    test_wait_until(all_busy, &l);
    Py_END_ALLOW_THREADS
    python_run("import objtunnel");
    cr_assert_eq(ot_heap.mode, OT_HEAP_OWN);
    Py_BEGIN_ALLOW_THREADS
    test_sleep(MILLISECONDS(100)); /* old blocks are freed, new ones allocated meanwhile */
    atomic_store(&l.stop, true);
    for (int i = 0; i < LOADED; i++) {
        test_join(threads[i]);
    }
    Py_END_ALLOW_THREADS
    cr_assert_eq(atomic_load(&l.imported), LOADED);
}

/* Ordinary threads of the main interpreter and of a legacy one run Python code meanwhile. */
HEAP_TEST(installing_while_threads_and_a_legacy_interpreter_run)
{
    static const char start[] = "import threading\n"
                                "stop = False\n"
                                "def work():\n"
                                "    kept = []\n"
                                "    while not stop or len(kept) < 100:\n"
                                "        kept.append([str(len(kept)), {1: b'x' * len(kept)}])\n"
                                "        if len(kept) > 300: del kept[::2]\n"
                                "threads = [threading.Thread(target=work) for _ in range(3)]\n"
                                "for t in threads: t.start()\n";
    static const char finish[] = "stop = True\n"
                                 "for t in threads: t.join()\n"
                                 "del threads";
    python_start_bare_with_own_heap();
    PyThreadState *main = PyThreadState_Get();
    PyThreadState *legacy = Py_NewInterpreter();
    python_run(start);
    PyThreadState_Swap(main);
    python_run(start);
    python_run("import objtunnel, time\ntime.sleep(0.1)");
    cr_assert_eq(ot_heap.mode, OT_HEAP_OWN);
    python_run(finish);
    PyThreadState_Swap(legacy);
    python_run(finish);
    interpreter_end(legacy, main);
}

/* Several interpreters import for the first time, at once. */
static void *
import_first(void *arg)
{
    atomic_int *waiting = arg;
    PyThreadState *t = interpreter_new();
    atomic_fetch_sub(waiting, 1);
    while (atomic_load(waiting) > 0) {
        sched_yield();
    }
    python_run("import objtunnel\n"
               "assert objtunnel._core._owns(bytearray(1000)) and objtunnel.heap_info().installed");
    interpreter_end(t, NULL);
    return NULL;
}

HEAP_TEST(interpreters_that_import_at_once_get_one_heap)
{
    python_start_bare_with_own_heap();
    pthread_t threads[EXCHANGERS];
    atomic_int waiting = EXCHANGERS;
    Py_BEGIN_ALLOW_THREADS
    for (int i = 0; i < EXCHANGERS; i++) {
        threads[i] = test_thread(import_first, &waiting);
    }
    for (int i = 0; i < EXCHANGERS; i++) {
        test_join(threads[i]);
    }
    Py_END_ALLOW_THREADS
    cr_assert_eq(ot_heap.mode, OT_HEAP_OWN);
}
