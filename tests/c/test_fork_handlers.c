/* test_fork_handlers.c: what we do around fork(): registered once, whatever is imported how often; and nothing is left
 * behind, neither in the process that forks again and again nor in a child that does the same.
 *
 * The program has a pthread_atfork of its own, which notes who registers what.
 */
#include "support.h"

#include <dirent.h>
#include <malloc.h>
#include <semaphore.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "objects/dict/epoch.h"
#include "runtime/awaited.h"
#include "runtime/bigblock.h"
#include "runtime/park.h"

TestSuite(fork_handlers, .timeout = 120);

/* ---- who registers ------------------------------------------------------------------------------ */

typedef struct {
    void (*prepare)(void), (*parent)(void), (*child)(void);
} handlers_t;

enum { MOST = 256 };

static handlers_t registered[MOST];
static atomic_int n_registered;

/* The C library's own, which its pthread_atfork calls. */
int __register_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void), void *dso);

int
pthread_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void))
{
    int i = atomic_fetch_add(&n_registered, 1);
    CHECK(i < MOST);
    registered[i] = (handlers_t){prepare, parent, child};
    return __register_atfork(prepare, parent, child, NULL);
}

static bool
is_same(const handlers_t *a, const handlers_t *b)
{
    return a->prepare == b->prepare && a->parent == b->parent && a->child == b->child;
}

static void
check_each_once(void)
{
    for (int i = 0; i < n_registered; i++) {
        for (int k = 0; k < i; k++) {
            CHECK(!is_same(&registered[i], &registered[k]));
        }
    }
}

/* Whatever registers something: a thread waits in a tunnel, another one for an event; keys, a lock of the process. */
static const char *const use =
    "import objtunnel, os, threading\n"
    "def dumped():\n"
    "    r, w = os.pipe()\n"
    "    objtunnel.dump(w)\n"
    "    os.close(w)\n"
    "    with open(r) as file:\n"
    "        return file.read()\n"
    "def wait_for(what, wait, wake):\n"
    "    thread = threading.Thread(target=wait)\n"
    "    thread.start()\n"
    "    while what not in dumped(): pass\n"
    "    wake()\n"
    "    thread.join()\n"
    "tunnel, event, d = objtunnel.Tunnel(), objtunnel.Event(), objtunnel.LockingDict(k=[1])\n"
    "wait_for(f'receive from Tunnel id {tunnel.id}\\n', tunnel.recv, lambda: tunnel.send([1]))\n"
    "wait_for(f'wait for Event id {event.id}\\n', event.wait, event.set)\n"
    "with d.checkout('k') as tree:\n"
    "    assert tree == [1]\n"
    "assert len(d) == 1\n"
    "with objtunnel.GlobalLock('used'), objtunnel.Lock(), objtunnel.Box([1]) as tree:\n"
    "    assert tree == [1]\n"
    "big = bytearray(200 << 20)\n"
    "del big, tunnel, event, d, tree, dumped, wait_for\n";

static void
use_in_another_interpreter(void)
{
    PyThreadState *own = PyThreadState_Get(), *other = interpreter_new();
    python_run(use);
    interpreter_end(other, own);
}

static void
import_anew(void)
{
    python_run("import sys\n"
               "for name in [n for n in sys.modules if n.partition('.')[0] == 'objtunnel']:\n"
               "    del sys.modules[name]\n"
               "import importlib, objtunnel\n"
               "importlib.reload(objtunnel)\n");
}

Test(fork_handlers, are_registered_once_however_often_we_are_imported)
{
    python_start_with_own_heap();
    python_run(use);
    use_in_another_interpreter();
    int first = n_registered;
    cr_assert_geq(first, 6, "only %d were seen", first);
    for (int i = 0; i < 3; i++) {
        import_anew();
        python_run(use);
        use_in_another_interpreter();
    }
    check_each_once();
    cr_assert_eq(n_registered, first);
    python_finish();
}

Test(fork_handlers, are_registered_once_for_all_lives_of_python)
{
    for (int i = 0; i < 4; i++) {
        bool own = i % 2 == 0;
        setenv("PYTHONMALLOC", own ? "default" : "malloc", 1);
        unsetenv("OBJTUNNEL_HEAP");
        if (own) {
            python_start_with_own_heap();
        } else {
            python_start();
        }
        cr_assert_eq(ot_heap.mode, own ? OT_HEAP_OWN : OT_HEAP_PROCESS);
        python_run(use);
        python_finish();
    }
    check_each_once();
}

static ot_long_sleep_t
sleep_on(void)
{
    return OT_LONG_SLEEP_DONE;
}

static void
allocate_something_big(void *unused)
{
    (void)unused;
    void *block = ot_big_alloc(4 << 20);
    CHECK(block != NULL);
    ot_big_free(block);
}

/* An import that fails is tried again by some programs. Its lock would be taken twice before a fork. */
Test(fork_handlers, a_set_up_that_is_repeated_registers_nothing)
{
    for (int i = 0; i < 3; i++) {
        void *range = mmap(NULL, (size_t)64 << 20, PROT_NONE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        cr_assert_neq(range, MAP_FAILED);
        ot_big_init((uintptr_t)range, (size_t)64 << 20);
        ot_park_on_long_sleep(sleep_on);
    }
    cr_assert_eq(n_registered, 2);
    test_in_child(allocate_something_big, NULL);
    allocate_something_big(NULL);
}

/* ---- what is left behind ------------------------------------------------------------------------ */

size_t __sanitizer_get_current_allocated_bytes(void) __attribute__((weak));

/* By malloc. */
static size_t
allocated(void)
{
    return __sanitizer_get_current_allocated_bytes != NULL
               ? __sanitizer_get_current_allocated_bytes()
               : mallinfo2().uordblks;
}

static int
open_files(void)
{
    int n = 0;
    DIR *dir = opendir("/proc/self/fd");
    CHECK(dir != NULL);
    while (readdir(dir) != NULL) {
        n++;
    }
    closedir(dir);
    return n;
}

enum { THREADS = 8, FORKS = 50 };

typedef struct {
    sem_t begun, go_on;
    bool uses_ours;
} crowd_t;

/* Has a record of each kind, and lives on until it is told to end. */
static void *
be_there(void *arg)
{
    crowd_t *crowd = arg;
    if (crowd->uses_ours) {
        CHECK(ot_thread_token() != 0);
        CHECK(ot_epoch_reserve(8));
        CHECK(ot_epoch_enter());
        ot_epoch_leave();
    }
    sem_post(&crowd->begun);
    while (sem_wait(&crowd->go_on) != 0) {
    }
    return NULL;
}

static void
crowd_begin(crowd_t *crowd, pthread_t threads[THREADS], bool uses_ours)
{
    sem_init(&crowd->begun, 0, 0);
    sem_init(&crowd->go_on, 0, 0);
    crowd->uses_ours = uses_ours;
    for (int i = 0; i < THREADS; i++) {
        threads[i] = test_thread(be_there, crowd);
    }
    for (int i = 0; i < THREADS; i++) {
        while (sem_wait(&crowd->begun) != 0) {
        }
    }
}

static void
crowd_end(crowd_t *crowd, pthread_t threads[THREADS])
{
    for (int i = 0; i < THREADS; i++) {
        sem_post(&crowd->go_on);
    }
    for (int i = 0; i < THREADS; i++) {
        test_join(threads[i]);
    }
}

/* How much more is allocated after a crowd of threads that use us has come and gone. The C library keeps what it needs
 * for a thread: so a crowd that uses nothing of ours comes first. */
static size_t
cost_of_a_crowd(void)
{
    pthread_t threads[THREADS];
    crowd_t crowd;
    crowd_begin(&crowd, threads, false);
    crowd_end(&crowd, threads);
    size_t before = allocated();
    crowd_begin(&crowd, threads, true);
    crowd_end(&crowd, threads);
    return allocated() - before;
}

/* In the child of a process with a crowd: the records of the threads that are not here are used again. */
static void
records_are_used_again(void *unused)
{
    (void)unused;
    CHECK(cost_of_a_crowd() == 0);
}

static void
children_of_a_child(void *unused)
{
    (void)unused;
    test_in_child(records_are_used_again, NULL);
    records_are_used_again(NULL);
}

Test(fork_handlers, a_child_uses_the_records_of_threads_that_it_has_not)
{
    pthread_t threads[THREADS];
    crowd_t crowd;
    cr_assert_gt(cost_of_a_crowd(), 0, "the first threads need records");
    crowd_begin(&crowd, threads, true);
    test_in_child(records_are_used_again, NULL);
    test_in_child(children_of_a_child, NULL);
    crowd_end(&crowd, threads);
    cr_assert_eq(cost_of_a_crowd(), 0);
}

static void
fork_and_wait(void)
{
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        _exit(0);
    }
    int status;
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
}

static void
fork_often(void *unused)
{
    (void)unused;
    fork_and_wait();
    size_t before = allocated();
    int files = open_files();
    for (int i = 0; i < FORKS; i++) {
        fork_and_wait();
    }
    CHECK(allocated() == before);
    CHECK(open_files() == files);
}

/* One of each kind that has a part in a fork, with somebody who waits for it. */
static const char *const everything =
    "import objtunnel, os, threading\n"
    "tunnel, bell, event, lock = objtunnel.Tunnel(), objtunnel.Tunnel(), objtunnel.Event(), objtunnel.Lock()\n"
    "semaphore, barrier, box, condition = objtunnel.Semaphore(0), objtunnel.Barrier(2), objtunnel.Box([1]), "
    "objtunnel.Condition()\n"
    "d, l, array = objtunnel.LockingDict(k=[1]), objtunnel.LockingList([1]), objtunnel.SharedArray('d', 9)\n"
    "file = objtunnel.SharedFile(os.open('/dev/null', os.O_RDWR), 'r+b')\n"
    "bell.fileno()\n"
    "lock.acquire(), box.acquire()\n"
    "def condition_wait():\n"
    "    with condition:\n"
    "        condition.wait()\n"
    "def look():\n"
    "    with d.checkout('k'):\n"
    "        event.wait()\n"
    "waits = [tunnel.recv, event.wait, semaphore.acquire, barrier.wait, condition_wait, look]\n"
    "threads = [threading.Thread(target=w) for w in waits]\n"
    "for t in threads: t.start()\n";

static const char *const everything_ends =
    "tunnel.send(1), event.set(), semaphore.release(), barrier.wait()\n"
    "while threads[4].is_alive():\n"
    "    with condition: condition.notify_all()\n"
    "for t in threads: t.join()\n"
    "lock.release(), box.release()\n"
    "del tunnel, bell, event, lock, semaphore, barrier, box, condition, d, l, array, file, threads, waits, t\n";

/* The threads sleep while we fork: they wait for ever, and this thread keeps the GIL. */
static bool
six_wait(void *unused)
{
    (void)unused;
    int n = 0;
    ot_note_view_t view;
    for (const ot_note_t *note = ot_note_first(); note != NULL; note = ot_note_next(note)) {
        n += ot_note_read(note, &view) && view.waits;
    }
    return n == 6;
}

Test(fork_handlers, forking_leaves_nothing_in_parent_or_child)
{
    python_start_with_own_heap();
    python_run(everything);
    Py_BEGIN_ALLOW_THREADS;
    test_wait_until(six_wait, NULL);
    Py_END_ALLOW_THREADS;
    fork_often(NULL);
    test_in_child(fork_often, NULL);
    python_run(everything_ends);
    python_finish();
}
