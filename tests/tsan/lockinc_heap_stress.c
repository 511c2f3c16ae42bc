// TSAN-SOURCES: lab/heap/lockinc_heap.c
/* lockinc_heap_stress.c: threads free what others allocated, both kinds of locking. */
#include "lab/heap/lockinc_heap.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { THREADS = 4, TURNS = 20000, SLOTS = 32, MIB = 1 << 20 };

static _Atomic(char *) slots[SLOTS];

static void *
swap_blocks(void *arg)
{
    unsigned seed = (unsigned)(uintptr_t)arg;
    for (int i = 0; i < TURNS; i++) {
        size_t size = 1 + (size_t)rand_r(&seed) % OT_LOCKINC_MOST;
        char *mine = ot_lockinc_alloc(size);
        if (mine == NULL) {
            abort();
        }
        memset(mine, 1, size);
        char *other = atomic_exchange(&slots[(unsigned)rand_r(&seed) % SLOTS], mine);
        if (other != NULL) {
            ot_lockinc_free(other);
        }
    }
    return NULL;
}

static void
stress(ot_lockinc_locks_t locks)
{
    pthread_t threads[THREADS];
    const size_t span = 32 * MIB;
    char *p = mmap(NULL, span + MIB, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) {
        abort();
    }
    ot_lockinc_init(((uintptr_t)p + MIB - 1) & ~(uintptr_t)(MIB - 1), span, locks);
    for (uintptr_t i = 0; i < THREADS; i++) {
        if (pthread_create(&threads[i], NULL, swap_blocks, (void *)(i + 1)) != 0) {
            abort();
        }
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    for (int i = 0; i < SLOTS; i++) {
        if (slots[i] != NULL) {
            ot_lockinc_free(slots[i]);
        }
    }
}

/* The pools are the process's: each way of locking has a process of its own. */
int
main(void)
{
    static const ot_lockinc_locks_t ways[] = {OT_LOCKINC_ONE_LOCK, OT_LOCKINC_LOCK_PER_CLASS};
    int failures = 0;
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        pid_t child = fork();
        if (child == 0) {
            stress(ways[i]);
            exit(0); /* not _exit: ThreadSanitizer's status is wanted */
        }
        int status = 0;
        failures += child < 0 || waitpid(child, &status, 0) != child || status != 0;
    }
    printf("lockinc_heap_stress: %d failures\n", failures);
    return failures > 0;
}
