/* support.h: what the C tests share: an embedded Python, interpreters, threads, object graphs.
 *
 * Criterion runs each test in a process of its own, so a test may start Python, set environment
 * variables and allocators, fork and finalise as it likes.
 *
 * Threading: cr_assert unwinds the test by longjmp and so is for the test's own thread only;
 * CHECK ends the process and is good everywhere (other threads, forked children).
 */
#ifndef OT_TESTS_SUPPORT_H
#define OT_TESTS_SUPPORT_H

#include "objtunnel/state.h"

#include <criterion/criterion.h>
#include <pthread.h>

#include "runtime/clock.h"

#define CHECK(condition) ((condition) ? (void)0 : test_check_failed(__FILE__, __LINE__, #condition))

/* Says what failed (and the current Python exception, if there is one), then aborts. */
_Noreturn void test_check_failed(const char *file, int line, const char *text);

#define MILLISECONDS(n) ((int64_t)(n)*1000000)

int64_t test_deadline(int64_t from_now);
void test_sleep(int64_t nanoseconds);

/* Waits, at most 30 s, until predicate(arg); CHECKs that it came true. */
void test_wait_until(bool (*predicate)(void *arg), void *arg);

/* pthread_create and pthread_join that cannot fail unseen. */
pthread_t test_thread(void *(*run)(void *arg), void *arg);
void *test_join(pthread_t thread);

/* Runs body(arg) in a forked child and asserts that it ends with exit status 0. */
void test_in_child(void (*body)(void *arg), void *arg);

/* ---- Python ------------------------------------------------------------------------------- */

/* Starts Python: our package on sys.path, objtunnel._core built in, nothing of it imported. */
void python_start_bare(void);

/* The same with objtunnel imported. What TestSuite(.init) wants. */
void python_start(void);

/* The same, but with a heap of our own even where Python runs on malloc, as it does in a build
 * for AddressSanitizer or with PYTHONMALLOC=malloc: a heap that hides nothing is then below. */
void python_start_with_own_heap(void);
void python_start_bare_with_own_heap(void);

/* Ends Python and asserts that no channel and no shared object is left. What TestSuite(.fini) wants. */
void python_finish(void);

/* Executes source in the current interpreter's __main__; CHECKs that nothing is raised. */
void python_run(const char *source);

/* The value of an expression there; a new reference. */
PyObject *python_eval(const char *expression);

/* The same, as a bool. */
bool python_true(const char *expression);

/* Binds a name in __main__. Refs: o is borrowed. */
void python_set(const char *name, PyObject *o);

/* Unbinds a name of __main__ and returns what it was bound to: the caller's reference. */
PyObject *python_take(const char *name);

/* CHECKs that an exception of this type is set, and clears it. */
void python_expect(PyObject *type);

/* repr(o), to be freed. */
char *python_repr(PyObject *o);

/* The current interpreter's; imports objtunnel if need be. */
const ot_interp_t *python_interp(void);

/* ---- interpreters ------------------------------------------------------------------------- */

/* A new interpreter with its own GIL; the calling thread is attached to it afterwards, and to
 * none before or to any. */
PyThreadState *interpreter_new(void);

/* Ends it and attaches the thread to `next`, which may be NULL. */
void interpreter_end(PyThreadState *t, PyThreadState *next);

/* ---- graphs ------------------------------------------------------------------------------- */

typedef struct {
    PyObject *o;
    Py_ssize_t edges; /* references from within the graph; the root's owner counts as one */
    Py_ssize_t refcnt;
    bool tracked;
} node_t;

/* Everything reachable from a root but process-static objects, in the order of a depth-first
 * walk, each object once. */
typedef struct {
    node_t *nodes;
    size_t len, cap;
} graph_t;

graph_t graph_of(PyObject *root);
void graph_free(graph_t *g);
bool graph_has(const graph_t *g, const void *o);

/* Calls visit for each object that o refers to. */
void graph_visit(PyObject *o, void (*visit)(PyObject *o, void *arg), void *arg);

/* Whether o and all of its side blocks lie in the shared heap. */
bool graph_is_home(PyObject *o);

/* CHECKs what must hold of a tree that has been received: exact refcounts, everything in the
 * shared heap, and only this interpreter's interned strings. */
void graph_check_received(PyObject *root);

/* CHECKs that the same objects have the same state: addresses, edges, refcount, tracking. */
void graph_check_same(const graph_t *before, const graph_t *after);

/* ---- failing allocations ------------------------------------------------------------------ */

/* Puts a layer over the allocators of all three domains. Call once, while one thread runs. */
void failing_install(void);

/* Has the calling thread's nth allocation from now fail (0: the next one), and no other. */
void failing_arm(long n);

/* Ends that. Whether an allocation did fail. */
bool failing_disarm(void);

/* Blocks allocated and not yet freed since failing_install. */
long failing_live(void);

/* Empties what the interpreter entered keeps for later: cycles, free lists, and the names in its types' method
 * cache, which holds a new string for each new address at which one is made. */
void failing_settle(void);

/* Both. */
long failing_settled_live(void);

#endif
