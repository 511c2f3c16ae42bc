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
    /* Four chains keep the multiplier busy in each cycle, so that two hyperthreads of one core get half
     * of it each: with one chain both would seem to be cores. */
    uint64_t a = 1, b = 2, c = 3, d = 4, by = UINT64_C(6364136223846793005);
    pthread_barrier_wait(s->start);
    for (long i = 0; i < s->rounds; i++) {
        a = a * by + 1;
        b = b * by + 1;
        c = c * by + 1;
        d = d * by + 1;
        __asm__ volatile("" : "+r"(a), "+r"(b), "+r"(c), "+r"(d));
    }
    s->result = a ^ b ^ c ^ d;
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
