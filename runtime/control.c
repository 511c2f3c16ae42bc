/* control.c: see control.h. No Python, no shared state but the barrier. */
#include "runtime/control.h"

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>

#include "runtime/clock.h"

typedef struct {
    pthread_t thread;
    pthread_barrier_t *start;
    long rounds;
    uint64_t result;
} spinner_t;

static void *
spin(void *arg)
{
    spinner_t *s = arg;
    uint64_t x = 88172645463325252u; /* xorshift64: each round depends on the last one */
    pthread_barrier_wait(s->start);
    for (long i = 0; i < s->rounds; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
    }
    s->result = x;
    return NULL;
}

double
ot_control_spin(int threads, long rounds)
{
    pthread_barrier_t start;
    spinner_t *s = calloc((size_t)threads, sizeof *s);
    if (s == NULL) {
        return -1;
    }
    pthread_barrier_init(&start, NULL, (unsigned)threads + 1);
    for (int i = 0; i < threads; i++) {
        s[i].start = &start;
        s[i].rounds = rounds;
        if (pthread_create(&s[i].thread, NULL, spin, &s[i]) != 0) {
            abort(); /* the started ones wait at the barrier for ever; a benchmark may give up */
        }
    }
    int64_t began = ot_clock_now();
    pthread_barrier_wait(&start);
    for (int i = 0; i < threads; i++) {
        pthread_join(s[i].thread, NULL);
    }
    double seconds = (double)(ot_clock_now() - began) / 1e9;
    pthread_barrier_destroy(&start);
    free(s);
    return seconds;
}
