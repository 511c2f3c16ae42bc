// TSAN-SOURCES:
/* pile_stress.c: piles under ThreadSanitizer, without Python.
 *
 * Each thread puts nodes on one pile and takes all that lie there. A node's number is written without atomics before it is
 * put, and read once it was taken: a put that is no release, or a take that is no acquire, is a race.
 * Main invariant: each node is taken once.
 *
 * environment: THREADS (4), ROUNDS (100000)
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "runtime/pile.h"
#include "tests/tsan/stress.h"

enum { MAX_THREADS = 64 };

typedef struct {
    ot_piled_t node; /* first */
    long number;
} item_t;

static ot_pile_t pile;
static atomic_long taken;
static long rounds;

static void
take_all(void)
{
    for (ot_piled_t *node = ot_pile_take(&pile), *next; node != NULL; node = next) {
        next = node->next;
        atomic_fetch_add(&taken, ((item_t *)node)->number);
        free(node);
    }
}

static void *
put_and_take(void *unused)
{
    (void)unused;
    for (long i = 1; i <= rounds; i++) {
        item_t *item = malloc(sizeof *item);
        check(item != NULL, "no memory");
        item->number = i;
        ot_pile_put(&pile, &item->node);
        if (i % 7 == 0) {
            take_all();
        }
    }
    return NULL;
}

int
main(void)
{
    pthread_t threads[MAX_THREADS];
    long n = setting("THREADS", 4);
    rounds = setting("ROUNDS", 100000);
    check(0 < n && n <= MAX_THREADS && rounds > 0, "THREADS is 1 to 64, ROUNDS 1 or more");
    for (long i = 0; i < n; i++) {
        check(pthread_create(&threads[i], NULL, put_and_take, NULL) == 0, "no thread");
    }
    for (long i = 0; i < n; i++) {
        pthread_join(threads[i], NULL);
    }
    take_all();
    check(ot_pile_is_empty(&pile), "something is left");
    check(atomic_load(&taken) == n * (rounds * (rounds + 1) / 2),
          "a node was lost, or taken twice");
    return 0;
}
