/* test_global_lock.c: locks of the process without Python, and what fork() makes of them: include/objtunnel_locks.h.
 *
 * What takes two threads is arranged step by step, so that it happens every time.
 */
#define OT_WITHOUT_PYTHON 1
#include "runtime/checks.h" /* before the header, which checks if OT_CHECKS is on */

#include "include/objtunnel_locks.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

#include "plain_check.h"

TestSuite(global_lock, .timeout = 60);

/* ---- locks ----------------------------------------------------------------------------------- */

static ot_global_lock_t lock = OT_GLOBAL_LOCK_INIT("the lock");
static ot_global_rwlock_t rwlock = OT_GLOBAL_RWLOCK_INIT("the rwlock");

static void *
try_lock(void *arg)
{
    *(int *)arg = ot_global_lock_try_acquire(&lock);
    return NULL;
}

Test(global_lock, excludes)
{
    int got = -1;
    pthread_t thread;
    ot_global_lock_acquire(&lock);
    pthread_create(&thread, NULL, try_lock, &got);
    pthread_join(thread, NULL);
    cr_assert_eq(got, 0);
    ot_global_lock_release(&lock);
    cr_assert_eq(ot_global_lock_try_acquire(&lock), 1);
}

Test(global_lock, taken_twice_aborts, .signal = SIGABRT)
{
    ot_global_lock_acquire(&lock);
    ot_global_lock_acquire(&lock);
}

Test(global_lock, released_unheld_aborts, .signal = SIGABRT)
{
    ot_global_lock_release(&lock);
}

Test(global_lock, written_twice_aborts, .signal = SIGABRT)
{
    ot_global_rwlock_acquire_write(&rwlock);
    ot_global_rwlock_acquire_write(&rwlock);
}

static atomic_int readers;

static void *
read_it(void *arg)
{
    ot_global_rwlock_acquire_read(&rwlock);
    atomic_fetch_add(&readers, 1);
    while (atomic_load(&readers) < 2) { /* both at once, or never */
        sched_yield();
    }
    ot_global_rwlock_release(&rwlock);
    return arg;
}

Test(global_lock, has_many_readers)
{
    pthread_t threads[2];
    for (int i = 0; i < 2; i++) {
        pthread_create(&threads[i], NULL, read_it, NULL);
    }
    for (int i = 0; i < 2; i++) {
        pthread_join(threads[i], NULL);
    }
    ot_global_rwlock_acquire_write(&rwlock);
    ot_global_rwlock_release(&rwlock);
}

Test(global_lock, reader_that_writes_aborts, .signal = SIGABRT)
{
    ot_global_rwlock_acquire_read(&rwlock);
    ot_global_rwlock_acquire_write(&rwlock);
}

Test(global_lock, rwlock_released_unheld_aborts, .signal = SIGABRT)
{
    ot_global_rwlock_release(&rwlock);
}

enum { READ = 1, WRITE, READ_TIMED, WRITE_TIMED, LOCK_TIMED };

typedef struct {
    int how, got;
} attempt_t;

static void *
attempt(void *arg)
{
    attempt_t *a = arg;
    switch (a->how) {
    case READ:
        a->got = ot_global_rwlock_try_acquire_read(&rwlock);
        break;
    case WRITE:
        a->got = ot_global_rwlock_try_acquire_write(&rwlock);
        break;
    case READ_TIMED:
        a->got = ot_global_rwlock_acquire_read_timed(&rwlock, 2000000);
        break;
    case WRITE_TIMED:
        a->got = ot_global_rwlock_acquire_write_timed(&rwlock, 2000000);
        break;
    default:
        a->got = ot_global_lock_acquire_timed(&lock, 2000000);
        if (a->got) {
            ot_global_lock_release(&lock);
        }
        return NULL;
    }
    if (a->got) {
        ot_global_rwlock_release(&rwlock);
    }
    return NULL;
}

static int
other_thread_gets(int how)
{
    attempt_t a = {how, -1};
    pthread_t thread;
    pthread_create(&thread, NULL, attempt, &a);
    pthread_join(thread, NULL);
    return a.got;
}

Test(global_lock, can_be_tried_and_timed)
{
    ot_global_rwlock_acquire_read(&rwlock);
    cr_assert_eq(other_thread_gets(READ), 1);
    cr_assert_eq(other_thread_gets(READ_TIMED), 1);
    cr_assert_eq(other_thread_gets(WRITE), 0);
    cr_assert_eq(other_thread_gets(WRITE_TIMED), 0);
    cr_assert_eq(other_thread_gets(READ), 1, "the writer that gave up is in nobody's way");
    ot_global_rwlock_acquire_read(&rwlock);
    ot_global_rwlock_release(&rwlock);
    cr_assert_eq(other_thread_gets(WRITE), 0, "read twice, released once");
    ot_global_rwlock_release(&rwlock);
    for (int how = READ; how <= LOCK_TIMED; how++) {
        cr_assert_eq(other_thread_gets(how), 1);
    }
    ot_global_rwlock_acquire_write(&rwlock);
    ot_global_lock_acquire(&lock);
    for (int how = READ; how <= LOCK_TIMED; how++) {
        cr_assert_eq(other_thread_gets(how), 0);
    }
    ot_global_rwlock_release(&rwlock);
    ot_global_lock_release(&lock);
    cr_assert_eq(other_thread_gets(WRITE_TIMED), 1);
}

/* ---- locks and fork ---------------------------------------------------------------------------- */

static ot_global_lock_t others = OT_GLOBAL_LOCK_INIT("the other thread's");
static ot_global_rwlock_t others_read = OT_GLOBAL_RWLOCK_INIT("read by the other thread");
static ot_global_rwlock_t others_write = OT_GLOBAL_RWLOCK_INIT("written by the other thread");
static atomic_int held, may_release;

static void *
hold_while_forked(void *arg)
{
    ot_global_lock_acquire(&others);
    ot_global_rwlock_acquire_read(&others_read);
    ot_global_rwlock_acquire_write(&others_write);
    atomic_store(&held, 1);
    while (!atomic_load(&may_release)) {
        sched_yield();
    }
    ot_global_rwlock_release(&others_write);
    ot_global_rwlock_release(&others_read);
    ot_global_lock_release(&others);
    return arg;
}

static void
check_status(pid_t pid)
{
    int status;
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* In a child: `lock` and `rwlock` (written or read) are the forking thread's. */
static void
use_own_in_child(void)
{
    CHECK(other_thread_gets(LOCK_TIMED) == 0);
    CHECK(other_thread_gets(WRITE_TIMED) == 0);
    CHECK(!ot_global_lock_try_acquire(&lock));
    ot_global_lock_release(&lock);
    ot_global_rwlock_release(&rwlock);
    for (int how = READ; how <= LOCK_TIMED; how++) {
        CHECK(other_thread_gets(how) == 1);
    }
    CHECK(ot_global_lock_acquire(&lock) == OT_LOCK_ACQUIRED);
    CHECK(ot_global_rwlock_acquire_write(&rwlock) == OT_LOCK_ACQUIRED);
}

Test(global_lock, forking_thread_keeps_its_own)
{
    for (int writes = 0; writes < 2; writes++) {
        ot_global_lock_acquire(&lock);
        (void)(writes ? ot_global_rwlock_acquire_write(&rwlock)
                      : ot_global_rwlock_acquire_read(&rwlock));
        pid_t pid = fork();
        if (pid == 0) {
            use_own_in_child();
            pid_t grandchild = fork();
            if (grandchild == 0) {
                ot_global_lock_release(&lock);
                ot_global_rwlock_release(&rwlock);
                CHECK(other_thread_gets(WRITE_TIMED) == 1);
                _exit(0);
            }
            int status;
            CHECK(waitpid(grandchild, &status, 0) == grandchild && status == 0);
            _exit(0);
        }
        check_status(pid);
        cr_assert_eq(other_thread_gets(LOCK_TIMED), 0, "the parent has it still");
        ot_global_lock_release(&lock);
        ot_global_rwlock_release(&rwlock);
    }
}

Test(global_lock, what_another_thread_had_is_free_in_the_child_and_told_once)
{
    pthread_t thread;
    pthread_create(&thread, NULL, hold_while_forked, NULL);
    while (!atomic_load(&held)) {
        sched_yield();
    }
    pid_t pid = fork();
    if (pid == 0) {
        CHECK(ot_global_lock_acquire(&others) == OT_LOCK_ABANDONED);
        ot_global_lock_release(&others);
        CHECK(ot_global_lock_acquire(&others) == OT_LOCK_ACQUIRED);
        CHECK(ot_global_rwlock_acquire_write(&others_write) == OT_LOCK_ABANDONED);
        CHECK(ot_global_rwlock_acquire_write(&others_read) == OT_LOCK_ACQUIRED);
        ot_global_rwlock_release(&others_write);
        CHECK(ot_global_rwlock_try_acquire_read(&others_write));
        _exit(0);
    }
    check_status(pid);
    atomic_store(&may_release, 1);
    pthread_join(thread, NULL);
    cr_assert_eq(ot_global_lock_acquire(&others), OT_LOCK_ACQUIRED);
    cr_assert_eq(ot_global_rwlock_acquire_write(&others_write), OT_LOCK_ACQUIRED);
}

static atomic_int take_and_give_back;

static void *
take_for_ever(void *arg)
{
    while (atomic_load(&take_and_give_back)) {
        ot_global_lock_acquire(&lock);
        ot_global_lock_release(&lock);
        ot_global_rwlock_acquire_write(&rwlock);
        ot_global_rwlock_release(&rwlock);
        ot_global_rwlock_acquire_read(&rwlock);
        ot_global_rwlock_release(&rwlock);
    }
    return arg;
}

/* fork() at any moment of another thread's taking and giving back. */
Test(global_lock, child_never_hangs)
{
    pthread_t thread;
    atomic_store(&take_and_give_back, 1);
    pthread_create(&thread, NULL, take_for_ever, NULL);
    for (int i = 0; i < 300; i++) {
        pid_t pid = fork();
        if (pid == 0) {
            alarm(20);
            CHECK(freopen("/dev/null", "w", stderr) != NULL);
            (void)ot_global_lock_acquire(&lock);
            (void)ot_global_rwlock_acquire_write(&rwlock);
            ot_global_rwlock_release(&rwlock);
            ot_global_lock_release(&lock);
            _exit(0);
        }
        check_status(pid);
    }
    atomic_store(&take_and_give_back, 0);
    pthread_join(thread, NULL);
}
