/* test_heap_lives.c: the heap is checked, not remembered: Python that ends and starts again in one process,
 * allocators that somebody else put in place, or took away. */
#include "support.h"

#include <stdlib.h>

TestSuite(heap_lives, .timeout = 120);

static void
use_the_heap(void)
{
    python_run("from objtunnel import Interpreter, LockingDict, Tunnel, _core\n"
               "assert _core._owns(bytearray(1000))\n"
               "t = Tunnel()\n"
               "rows = [[i, str(i), {'k': i / 2}] for i in range(1000)]\n"
               "with Interpreter() as w:\n"
               "    t.send(w.call(sorted, rows, reverse=True))\n"
               "got = t.recv()\n"
               "assert got[0] == [999, '999', {'k': 499.5}] and _core._owns(got[0])\n"
               "d = LockingDict(got[0][2])\n"
               "assert d['k'] == 499.5\n"
               "del t, rows, got, d, w\n");
}

Test(heap_lives, each_life_of_python_gets_the_heap)
{
    uintptr_t base = 0;
    for (int i = 0; i < 3; i++) {
        python_start_with_own_heap();
        use_the_heap();
        cr_assert_eq(ot_heap.mode, OT_HEAP_OWN);
        cr_assert(i == 0 || ot_heap.base == base, "the range is reserved once");
        base = ot_heap.base;
        python_finish();
    }
}

Test(heap_lives, the_allocator_may_differ_in_each_life)
{
    unsetenv("OBJTUNNEL_HEAP");
    for (int i = 0; i < 4; i++) {
        bool own = i % 2 == 1;
        setenv("PYTHONMALLOC", own ? "default" : "malloc", 1);
        if (own) {
            python_start_with_own_heap();
        } else {
            unsetenv("OBJTUNNEL_HEAP");
            python_start();
        }
        use_the_heap();
        cr_assert_eq(ot_heap.mode, own ? OT_HEAP_OWN : OT_HEAP_PROCESS);
        cr_assert_eq(ot_heap.span == SIZE_MAX, !own);
        python_finish();
    }
}

#ifdef OT_LAB
Test(heap_lives, a_range_is_laid_out_once)
{
    setenv("OBJTUNNEL_HEAP", "lockinc", 1);
    python_start_with_own_heap();
    use_the_heap();
    python_finish();
    setenv("OBJTUNNEL_HEAP", "mimalloc", 1);
    python_start_bare_with_own_heap();
    python_run("try:\n    import objtunnel\n"
               "except ImportError as e:\n    assert 'set up as lockinc' in str(e), e\n"
               "else:\n    raise AssertionError('imported')");
    setenv("OBJTUNNEL_HEAP", "lockinc", 1);
    python_run("import objtunnel");
    use_the_heap();
    python_finish();
}
#endif

/* As memray does it, and an embedder whose allocator stays. */
Test(heap_lives, an_allocator_that_may_go_again_is_refused)
{
    setenv("PYTHONMALLOC", "default", 1);
    python_start_bare_with_own_heap();
    unsetenv("OBJTUNNEL_HEAP");
    python_run("try:\n    import objtunnel\n"
               "except ImportError as e:\n    assert 'PYTHONMALLOC=malloc' in str(e), e\n"
               "else:\n    raise AssertionError('imported')");
    setenv("OBJTUNNEL_HEAP", "mimalloc", 1);
    python_run("import objtunnel");
    cr_assert_eq(ot_heap.mode, OT_HEAP_OWN);
    use_the_heap();
    python_finish();
}

Test(heap_lives, below_somebody_elses_allocator_malloc_serves_all)
{
    setenv("PYTHONMALLOC", "malloc", 1);
    python_start_bare_with_own_heap();
    unsetenv("OBJTUNNEL_HEAP");
    python_run("import objtunnel");
    cr_assert_eq(ot_heap.mode, OT_HEAP_PROCESS);
    cr_assert_str_eq(ot_heap.allocator, "malloc");
    use_the_heap();
    python_finish();
}

Test(heap_lives, a_heap_that_was_taken_away_is_told)
{
    static const PyMemAllocatorDomain domains[2] = {PYMEM_DOMAIN_MEM, PYMEM_DOMAIN_OBJ};
    PyMemAllocatorEx before[2], ours[2];
    python_start_bare_with_own_heap();
    for (int i = 0; i < 2; i++) {
        PyMem_GetAllocator(domains[i], &before[i]);
    }
    python_run("import objtunnel");
    cr_assert_eq(ot_heap_install(), 0);
    for (int i = 0; i < 2; i++) {
        PyMem_GetAllocator(domains[i], &ours[i]);
        PyMem_SetAllocator(domains[i], &before[i]);
    }
    int rc = ot_heap_install();
    for (int i = 0; i < 2; i++) {
        PyMem_SetAllocator(domains[i], &ours[i]);
    }
    cr_assert_eq(rc, -1);
    cr_assert(PyErr_ExceptionMatches(PyExc_ImportError));
    PyErr_Clear();
    cr_assert_eq(ot_heap_install(), 0, "and is found again");
    use_the_heap();
    python_finish();
}
