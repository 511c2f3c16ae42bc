/* test_lock.c: every lock of atomics/lock/ under one body (lock_cases.h), and what is particular
 * to some. PyMutex needs libpython, but no interpreter. */
#include "runtime/cpython/version.h"

#include <criterion/criterion.h>

#include "lock_cases.h"

#define LOCK_TEST(X, text)                                                                         \
    Test(lock, X##_has_one_holder_at_a_time, .timeout = 120)                                       \
    {                                                                                              \
        const char *wrong = one_holder_at_a_time(&lk_ops_##X);                                     \
        cr_assert_null(wrong, "%s", wrong);                                                        \
    }
OT_LK_EACH(LOCK_TEST)

Test(lock, inc2006_counts_holders_and_those_who_step_back)
{
    ot_lk_inc2006_t lk;
    ot_lk_inc2006_init(&lk);
    ot_lk_inc2006_lock(&lk);
    cr_assert_eq(atomic_load(&lk.malloc_lock), 1);
    ot_lk_inc2006_unlock(&lk);
    cr_assert_eq(atomic_load(&lk.malloc_lock), 0);
}

/* ---- ticket: first come, first served ---------------------------------------------------- */

enum { WAITERS = 4 };

static ot_lk_ticket_t ticket;
static int order[WAITERS], arrived; /* by the lock */

static void *
wait_in_line(void *arg)
{
    ot_lk_ticket_lock(&ticket);
    order[arrived++] = *(int *)arg;
    ot_lk_ticket_unlock(&ticket);
    return NULL;
}

Test(lock, ticket_serves_in_the_order_of_arrival, .timeout = 60)
{
    pthread_t threads[WAITERS];
    int numbers[WAITERS];
    ot_lk_ticket_init(&ticket);
    ot_lk_ticket_lock(&ticket);
    for (int i = 0; i < WAITERS; i++) {
        numbers[i] = i;
        cr_assert_eq(pthread_create(&threads[i], NULL, wait_in_line, &numbers[i]), 0);
        while (atomic_load(&ticket.next) != (unsigned)i + 2) {
            sched_yield(); /* until it has drawn its ticket */
        }
    }
    ot_lk_ticket_unlock(&ticket);
    for (int i = 0; i < WAITERS; i++) {
        pthread_join(threads[i], NULL);
    }
    for (int i = 0; i < WAITERS; i++) {
        cr_assert_eq(order[i], i);
    }
}
