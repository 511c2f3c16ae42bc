/* heap.c: mimalloc behind PyMem_SetAllocator, over one reserved address range.
 *
 * The heap is checked, not remembered: each import asks whether our functions still serve. After
 * Py_FinalizeEx they do not, and the import in the next life of Python puts them there again, over the same
 * range. Blocks of the life before that CPython frees in the new one before that import are lost to us: it
 * would abort. With debug hooks ours go below them.
 *
 * Main invariant: a block in [base, base + span) is mimalloc's, or bigblock.c's in the upper half (those from
 * OT_BIG_BLOCK on, and from OT_GROWING_BLOCK on those that realloc has made larger),
 * or in the uppermost quarter a heap's of the laboratory if OBJTUNNEL_HEAP asks for one; any other block
 * belongs to the allocator that was there before us. So free and realloc decide by one range
 * compare, and blocks from before the import live on until their owners free them.
 *
 * Threading: mimalloc is thread-safe, `previous` is written before the first of our functions
 * is visible. Interpreters may run while we install: see install_in_order.
 */
#include "runtime/heap.h"

#include "runtime/bigblock.h"
#include "runtime/cpython/allocators.h"
#include "runtime/cpython/interp.h"
#include "runtime/giveback.h"
#include "runtime/heap_backend.h"
#include "runtime/lab.h"
#include "runtime/park.h"
#include "runtime/signals.h"

#include <dlfcn.h>
#include <limits.h>
#include <linux/membarrier.h>
#include <mimalloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

ot_heap_t ot_heap;

static PyMemAllocatorEx previous[2]; /* of the domains below, from before us */
static const PyMemAllocatorDomain domains[2] = {PYMEM_DOMAIN_MEM, PYMEM_DOMAIN_OBJ};
static pthread_mutex_t install_lock = PTHREAD_MUTEX_INITIALIZER;
static size_t mimalloc_span; /* the lower part of the range, from ot_heap.base on */

/* ---- the allocator functions. ctx is the previous allocator's and is not looked at: a thread
 * that reads a (ctx, function) pair half old, half new gets a working combination. ---------- */

/* A look at the clock in each so many allocations of a thread: giveback.h says why they are counted. */
enum { LOOK_EVERY = 256 };
static _Thread_local __attribute__((tls_model("initial-exec"))) unsigned until_look;

static __attribute__((noinline)) void *
malloc_slow(size_t size)
{
    if (until_look == UINT_MAX) {
        until_look = LOOK_EVERY - 1;
        ot_giveback_look();
    }
    void *big = size >= OT_BIG_BLOCK ? ot_big_alloc(size) : NULL;
    return big != NULL ? big : mi_malloc(size);
}

static void *
heap_malloc(void *ctx, size_t size)
{
    (void)ctx;
    if (__builtin_expect((until_look-- == 0) | (size >= OT_BIG_BLOCK), 0)) {
        return malloc_slow(size);
    }
    return mi_malloc(size); /* size 0 yields a block of its own, as Python's allocators must */
}

static void *
heap_calloc(void *ctx, size_t count, size_t size)
{
    (void)ctx;
    if (count == 0 || size == 0) {
        return mi_calloc(1, 1);
    }
    size_t total;
    bool huge = !__builtin_mul_overflow(count, size, &total) && total >= OT_BIG_BLOCK;
    void *big = huge ? ot_big_alloc(total) : NULL;
    return big != NULL ? big : mi_calloc(count, size); /* which refuses an overflow */
}

/* Whether the block lies in the part of the range that is mimalloc's. */
static inline bool
is_mimallocs(const void *block)
{
    return (uintptr_t)block - ot_heap.base < mimalloc_span;
}

static void
free_other(const PyMemAllocatorEx *before, void *block)
{
    if (ot_big_owns(block)) {
        ot_big_free(block);
    } else if (block != NULL) {
        before->free(before->ctx, block);
    }
}

static inline void
free_in(const PyMemAllocatorEx *before, void *block)
{
    if (__builtin_expect(is_mimallocs(block), 1)) {
        mi_free(block);
    } else {
        free_other(before, block);
    }
}

/* A block that is big, grows, or is to be: in place if possible, else copied. */
static void *
realloc_big(void *block, size_t size)
{
    bool big = ot_big_owns(block);
    if (big && size >= OT_GROWING_BLOCK / 2 && ot_big_resize(block, size)) {
        return block;
    }
    size_t old = big ? ot_big_size(block) : mi_usable_size(block);
    if (!big && size <= old) {
        return mi_realloc(block, size);
    }
    void *moved = size > old ? ot_big_alloc_to_grow(size) : NULL;
    moved = moved != NULL ? moved : heap_malloc(NULL, size);
    if (moved != NULL) {
        memcpy(moved, block, old < size ? old : size);
        if (big) {
            ot_big_free(block);
        } else {
            mi_free(block);
        }
    }
    return moved;
}

/* A block that shrinks by more than a quarter moves, as with CPython's own allocator. mimalloc would move it only if more than half
 * were free: strings that are formatted in a larger buffer would keep that buffer's size. */
static void *
realloc_small(void *block, size_t size)
{
    size_t old = mi_usable_size(block);
    bool smaller = size <= old;
    if (smaller && size >= old - old / 4) {
        return block;
    }
    void *moved = mi_malloc(size); /* of 0, too */
    if (moved == NULL) {
        return smaller ? block : NULL;
    }
    memcpy(moved, block, smaller ? size : old);
    mi_free(block);
    return moved;
}

static void *
realloc_in(const PyMemAllocatorEx *before, void *block, size_t size)
{
    if (block == NULL) {
        return heap_malloc(NULL, size);
    }
    if (is_mimallocs(block) && size < OT_GROWING_BLOCK) {
        return realloc_small(block, size);
    }
    if (ot_heap_owns(block)) {
        return realloc_big(block, size);
    }
    /* only that allocator knows the block's size */
    return before->realloc(before->ctx, block, size);
}

static void
mem_free(void *ctx, void *block)
{
    (void)ctx;
    free_in(&previous[0], block);
}

static void
obj_free(void *ctx, void *block)
{
    (void)ctx;
    free_in(&previous[1], block);
}

static void *
mem_realloc(void *ctx, void *block, size_t size)
{
    (void)ctx;
    return realloc_in(&previous[0], block, size);
}

static void *
obj_realloc(void *ctx, void *block, size_t size)
{
    (void)ctx;
    return realloc_in(&previous[1], block, size);
}

/* ---- backends: what OBJTUNNEL_HEAP may say --------------------------------------------------- */

const ot_heap_backend_t ot_heap_mimalloc = {
    "mimalloc",           "objtunnel (mimalloc)",     NULL, heap_malloc, heap_calloc,
    {mem_free, obj_free}, {mem_realloc, obj_realloc},
};

/* The first serves if nothing is said. */
static const ot_heap_backend_t *const backends[] = {&ot_heap_mimalloc, OT_LAB_HEAP_BACKENDS};

/* What OBJTUNNEL_HEAP says, NULL if it says nothing. */
static const char *
requested_backend(void)
{
    const char *name = getenv("OBJTUNNEL_HEAP");
    return name == NULL || name[0] == '\0' ? NULL : name;
}

/* NULL with ImportError set if it is none of them. */
static const ot_heap_backend_t *
choose_backend(void)
{
    const char *name = requested_backend();
    if (name == NULL) {
        return backends[0];
    }
    for (size_t i = 0; i < sizeof backends / sizeof backends[0]; i++) {
        if (strcmp(name, backends[i]->name) == 0) {
            return backends[i];
        }
    }
    PyErr_Format(PyExc_ImportError, "objtunnel: OBJTUNNEL_HEAP=%s: it may be mimalloc%s", name,
                 OT_LAB_HEAP_NAMES);
    return NULL;
}

/* ---- set-up ------------------------------------------------------------------------------ */

/* What does not change once a range is reserved, though Python may end and be started again. */
static const ot_heap_backend_t
    *installed; /* the one that the range was laid out for; NULL: none yet */
static uintptr_t range_base;
static size_t range_span;

/* Python has ended since the heap was set up: the allocators are CPython's own again. Set and read by the
 * thread that ends and starts Python, when there is no other interpreter. */
static bool ended;

/* Addresses without memory. Not by mmap(): who counts what is mapped by wrapping that function (memray)
 * would count what is not used. */
static void *
reserve_addresses(size_t size)
{
    return (void *)syscall(SYS_mmap, NULL, size, PROT_NONE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
}

/* 256 GiB of addresses, no memory, half for mimalloc, half for blocks too big for it (and of that
 * half for a backend of the laboratory's); less where the address space is limited (ulimit -v). */
static int
reserve_range(const ot_heap_backend_t *backend)
{
    const size_t alignment = (size_t)64 << 20;
    for (size_t span = (size_t)256 << 30; span >= (size_t)1 << 30; span >>= 1) {
        char *p = reserve_addresses(span + alignment);
        if (p == MAP_FAILED) {
            continue;
        }
        uintptr_t base = ((uintptr_t)p + alignment - 1) & ~(uintptr_t)(alignment - 1);
        if (!mi_manage_os_memory((void *)base, span / 2, false, false, true, -1)) {
            munmap(p, span + alignment);
            PyErr_SetString(PyExc_ImportError, "objtunnel: mimalloc refused the object heap's "
                                               "address range");
            return -1;
        }
        mi_option_set(mi_option_limit_os_alloc, 1); /* from the range, or not at all */
        mimalloc_span = span / 2;
        ot_big_init(base + span / 2, backend->lay_out != NULL ? span / 4 : span / 2);
        if (backend->lay_out != NULL) {
            backend->lay_out(base + span / 4 * 3, span / 4);
        }
        range_base = base;
        range_span = span;
        return 0;
    }
    PyErr_SetString(PyExc_MemoryError,
                    "objtunnel: cannot reserve 1 GiB of address space for the object heap "
                    "(ulimit -v?); start with PYTHONMALLOC=mimalloc to do without a heap of ours");
    return -1;
}

/* Small, medium and huge blocks must come from the range: all that follows rests on it. */
static int
check_range(void)
{
    static const size_t sizes[] = {16, 512, 8 << 10, 100 << 10, 2 << 20, OT_BIG_BLOCK - 1};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        void *block = mi_malloc(sizes[i]);
        bool ours = (uintptr_t)block - range_base < range_span;
        mi_free(block);
        if (!ours) {
            PyErr_SetString(PyExc_ImportError,
                            "objtunnel: mimalloc serves blocks from outside of the object heap's "
                            "address range (is a MIMALLOC_ variable set?); start Python with "
                            "PYTHONMALLOC=malloc instead");
            return -1;
        }
    }
    return 0;
}

/* Makes our writes visible to all threads of the process, and theirs to us. */
static void
barrier_all_threads(void)
{
    atomic_thread_fence(memory_order_seq_cst);
    /* May fail on old kernels; x86 keeps the order of stores by itself. */
    (void)syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0);
}

/* The allocator of a domain, or the one below CPython's debug hooks: theirs is not replaced. */
static PyMemAllocatorEx
get_allocator(int i)
{
    PyMemAllocatorEx *below = ot_py_below_debug_hooks(domains[i]), a;
    if (below != NULL) {
        return *below;
    }
    PyMem_GetAllocator(domains[i], &a);
    return a;
}

static void
set_allocator(int i, PyMemAllocatorEx a)
{
    PyMemAllocatorEx *below = ot_py_below_debug_hooks(domains[i]);
    if (below != NULL) {
        *below = a;
    } else {
        PyMem_SetAllocator(domains[i], &a);
    }
}

static bool
is_in_place(void)
{
    return installed != NULL && get_allocator(0).free == installed->frees[0] &&
           get_allocator(1).free == installed->frees[1];
}

/* Other interpreters allocate while we do this, with no lock that we could take. So: first free
 * and then realloc learn about our blocks, and only when every thread sees that does anybody
 * get one. Each step rewrites the other fields with what they hold already. */
static void
install_in_order(const ot_heap_backend_t *backend)
{
    for (int step = 0; step < 3; step++) {
        for (int i = 0; i < 2; i++) {
            PyMemAllocatorEx a = get_allocator(i);
            if (step == 0) {
                a.free = backend->frees[i];
            } else if (step == 1) {
                a.realloc = backend->reallocs[i];
            } else {
                a.malloc = backend->malloc;
                a.calloc = backend->calloc;
            }
            set_allocator(i, a);
        }
        barrier_all_threads();
    }
}

/* The allocator's name when it serves the whole process, NULL when it is per interpreter. Below an allocator
 * of somebody else's there is the one that Python was started with. */
static const char *
process_wide_allocator(void)
{
    static const char *const names[] = {"mimalloc", "malloc", "mimalloc_debug", "malloc_debug"};
    const char *name = ot_py_allocator_name();
    if (name == NULL && requested_backend() == NULL) {
        name = ot_py_process_wide_at_start();
    }
    for (size_t i = 0; name != NULL && i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(name, names[i]) == 0) {
            return names[i];
        }
    }
    return NULL;
}

/* tracemalloc, once stopped, puts back the allocator it found, and so would remove ours. */
static int
refuse_tracemalloc(void)
{
    /* Not by importing _tracemalloc, which does not load in subinterpreters. */
    static const unsigned domain = 0x6f74; /* "ot": nobody else's */
    if (PyTraceMalloc_Track(domain, (uintptr_t)&ot_heap, 1) == -2) {
        return 0; /* it does not trace */
    }
    PyTraceMalloc_Untrack(domain, (uintptr_t)&ot_heap);
    PyErr_SetString(PyExc_ImportError,
                    "objtunnel installs an object heap and cannot do that while tracemalloc runs: "
                    "import objtunnel before tracemalloc.start(), or start Python with "
                    "'python -m objtunnel script.py'");
    return -1;
}

/* Whoever else has replaced the allocators (memray does) will put back what was there, and so remove ours. An
 * allocator that stays until the process ends does no harm: then its user says so by OBJTUNNEL_HEAP. */
static int
refuse_others(void)
{
    if (ot_py_allocator_name() != NULL || requested_backend() != NULL) {
        return 0;
    }
    Dl_info info;
    bool known = dladdr((void *)(uintptr_t)get_allocator(1).malloc, &info) && info.dli_fname;
    PyErr_Format(PyExc_ImportError,
                 "objtunnel installs an object heap and cannot do that while somebody else's "
                 "allocator is in place (of %s), which may be taken away again: import objtunnel "
                 "before that, or start Python with PYTHONMALLOC=malloc; if it stays in place, set "
                 "OBJTUNNEL_HEAP=mimalloc",
                 known ? info.dli_fname : "an unknown file");
    return -1;
}

static void
note_the_end(void)
{
    ended = true;
}

static int
stay_with(const char *name, const ot_heap_backend_t *backend)
{
    if (backend->lay_out != NULL) {
        PyErr_Format(PyExc_ImportError,
                     "objtunnel: OBJTUNNEL_HEAP=%s, but this process runs on %s already; start it "
                     "without PYTHONMALLOC and without 'python -m objtunnel'",
                     backend->name, name);
        return -1;
    }
    ot_heap.base = 0;
    ot_heap.span = SIZE_MAX;
    ot_heap.allocator = name;
    ot_park_on_long_sleep(ot_signals_after_long_sleep);
    ot_heap.mode = OT_HEAP_PROCESS;
    return 0;
}

static int
install_ours(const ot_heap_backend_t *backend)
{
    if (refuse_others() < 0) {
        return -1;
    }
    if (installed == NULL) {
        if (reserve_range(backend) < 0) {
            return -1;
        }
        installed = backend; /* stays set if check_range fails: the next import checks again */
    } else if (installed != backend) {
        PyErr_Format(PyExc_ImportError,
                     "objtunnel: OBJTUNNEL_HEAP=%s, but the heap of this process was set up as %s",
                     backend->name, installed->name);
        return -1;
    }
    if (check_range() < 0) {
        return -1;
    }
    /* each time: Python may have ended and begun again with another allocator since */
    ot_giveback_start();
    ot_heap.base = range_base;
    ot_heap.span = range_span;
    previous[0] = get_allocator(0);
    previous[1] = get_allocator(1);
    barrier_all_threads();
    install_in_order(backend);
    ot_heap.allocator = backend->description;
    ot_heap.mode = OT_HEAP_OWN;
    return 0;
}

static int
install_locked(void)
{
    if (ot_heap.mode != OT_HEAP_NONE && !ended) {
        if (ot_heap.mode == OT_HEAP_PROCESS || is_in_place()) {
            return 0; /* another interpreter was faster */
        }
        PyErr_SetString(PyExc_ImportError,
                        "objtunnel's object heap is no longer in place: somebody has put back "
                        "allocators of before its import. Import objtunnel before whatever does "
                        "that, or start Python with PYTHONMALLOC=malloc");
        return -1;
    }
    const ot_heap_backend_t *backend = choose_backend();
    if (backend == NULL) {
        return -1;
    }
    const char *all = ot_py_allocator_name(), *name = process_wide_allocator();
    ot_heap.takes_malloc =
        all != NULL && (strcmp(all, "pymalloc") == 0 || strcmp(all, "malloc") == 0);
    int rc = name != NULL ? stay_with(name, backend) : install_ours(backend);
    if (rc == 0) {
        ended = false;
        (void)Py_AtExit(note_the_end); /* full: then the next life is refused, no worse */
    }
    return rc;
}

/* Checked, not remembered: a block tells who serves a domain, whatever wrappers are above it. */
static bool
serves(void)
{
    if (ot_heap.mode != OT_HEAP_OWN || ended) {
        return ot_heap.mode == OT_HEAP_PROCESS && !ended;
    }
    void *mem = PyMem_Malloc(64), *obj = PyObject_Malloc(64);
    bool ours = mem != NULL && obj != NULL && ot_heap_owns(mem) && ot_heap_owns(obj);
    PyMem_Free(mem);
    PyObject_Free(obj);
    return ours;
}

int
ot_heap_install(void)
{
    if (serves()) {
        return 0;
    }
    /* Outside of the lock: it may run Python code and let go of the GIL. */
    bool first = ot_heap.mode == OT_HEAP_NONE || ended;
    if (first && process_wide_allocator() == NULL && refuse_tracemalloc() < 0) {
        return -1;
    }
    /* Interpreters importing at the same time wait here with their own GIL held; the holder
     * takes no GIL, so it always gets on. */
    pthread_mutex_lock(&install_lock);
    int rc = install_locked();
    pthread_mutex_unlock(&install_lock);
    return rc;
}

/* mi_version() has one digit each for minor and patch number up to 2.x, two from 3.3 on. */
void
ot_heap_version(int version[3])
{
    int number = mi_version(), base = number < 1000 ? 10 : 100;
    version[2] = number % base;
    version[1] = number / base % base;
    version[0] = number / base / base;
}

long long
ot_heap_resident(void)
{
    FILE *f = fopen("/proc/self/smaps", "re");
    if (f == NULL) {
        return -1;
    }
    char line[512];
    bool inside = false;
    long long kib = 0;
    while (fgets(line, sizeof line, f) != NULL) {
        unsigned long long from, to, rss;
        if (sscanf(line, "%llx-%llx ", &from, &to) == 2) {
            inside = ot_heap_owns((void *)(uintptr_t)from);
        } else if (inside && sscanf(line, "Rss: %llu kB", &rss) == 1) {
            kib += (long long)rss;
        }
    }
    fclose(f);
    return kib * 1024;
}
