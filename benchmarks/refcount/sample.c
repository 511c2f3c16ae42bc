/* sample.c: see sample.h.
 *
 * Purpose: the three steps of a sample (make, run, leave), the check after it, and the control.
 * Main invariant: see sample.h. Each step runs on the workers, so that an object is made, used
 * and left by the same threads; only the check is main's.
 * Threading: the functions that take a job and an index run on worker `index`; the rest is main's.
 */
#include "benchmarks/refcount/sample.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "runtime/clock.h"

/* Loops run so often before the timing: fills caches, predictors and what threads allocate. */
enum { WARM_BATCHES = 4 };

/* In all, over all shared objects of a sample that loses counts: so far from zero that it does not
 * get there. Below zero an immortal_plain would be immortal, and suddenly fast. */
enum { HEAD_START = 1 << 20 };

typedef struct {
    bench_lab_t *lab;
    const bench_setup_t *setup; /* NULL: the control */
    bench_layout_t layout;
    bool wrong;
} job_t;

/* ---- memory -------------------------------------------------------------------------------- */

bool
bench_lab_init(bench_lab_t *lab, bench_pool_t *pool, int most_threads)
{
    size_t size = (size_t)most_threads * sizeof(bench_task_t);
    size_t times = (size_t)most_threads * sizeof(bench_times_t);
    *lab = (bench_lab_t){.pool = pool,
                         .tasks = aligned_alloc(_Alignof(bench_task_t), size),
                         .times = aligned_alloc(_Alignof(bench_times_t), times)};
    if (lab->tasks == NULL || lab->times == NULL) {
        fprintf(stderr, "refcount: no memory\n");
        bench_lab_free(lab);
        return false;
    }
    memset(lab->tasks, 0, size);
    lab->clock = bench_clock_measure();
    return true;
}

static void
free_objects(bench_lab_t *lab)
{
    if (lab->objects != NULL) {
        munmap(lab->objects, lab->objects_bytes);
    }
    lab->objects = NULL;
    lab->objects_bytes = 0;
}

void
bench_lab_free(bench_lab_t *lab)
{
    free_objects(lab);
    free(lab->order);
    free(lab->times);
    free(lab->tasks);
}

static bool
reserve_objects(bench_lab_t *lab, size_t bytes)
{
    if (bytes <= lab->objects_bytes) {
        return true;
    }
    free_objects(lab);
    void *objects = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (objects == MAP_FAILED) {
        fprintf(stderr, "refcount: no memory for objects: %zu MiB\n", bytes >> 20);
        return false;
    }
    lab->objects = objects;
    lab->objects_bytes = bytes;
    return true;
}

/* Marsaglia's xorshift64: the same numbers everywhere and always. */
static uint64_t
next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static bool
make_order(bench_lab_t *lab, size_t size)
{
    if (lab->order_size == size) {
        return true;
    }
    free(lab->order);
    lab->order_size = 0;
    lab->order = malloc(size * sizeof *lab->order);
    if (lab->order == NULL) {
        fprintf(stderr, "refcount: no memory for an order of %zu objects\n", size);
        return false;
    }
    lab->order_size = size;
    uint64_t random = UINT64_C(88172645463325252);
    for (size_t i = 0; i < size; i++) { /* Fisher and Yates, inside out */
        size_t j = next_random(&random) % (i + 1);
        lab->order[i] = lab->order[j];
        lab->order[j] = (uint32_t)i;
    }
    return true;
}

static bool
is_random(const bench_setup_t *setup)
{
    return setup->pattern->loop == BENCH_LOOP_RAND;
}

size_t
bench_sample_bytes(const bench_setup_t *setup)
{
    bench_layout_t layout =
        bench_layout(setup->pattern, setup->subject, setup->size, setup->threads);
    return layout.bytes + (is_random(setup) ? setup->size * sizeof(uint32_t) : 0);
}

/* ---- make ---------------------------------------------------------------------------------- */

static void *
shared_object(const job_t *job, size_t i)
{
    return (char *)job->lab->objects + i * job->layout.shared_stride;
}

/* The worker's own object; where there is none, the shared one. */
static void *
own_object(const job_t *job, int index)
{
    if (job->layout.own_stride == 0) {
        return job->lab->objects;
    }
    return (char *)job->lab->objects + job->layout.own_at + (size_t)index * job->layout.own_stride;
}

static void
make_shared(const job_t *job)
{
    const bench_subject_t *subject = job->setup->subject;
    size_t n = job->layout.shared_count;
    for (size_t i = 0; i < n; i++) {
        subject->init(shared_object(job, i));
        for (size_t more = job->wrong ? HEAD_START / n : 0; more > 0; more--) {
            subject->inc(shared_object(job, i));
        }
    }
    if (job->layout.payload_at != 0) {
        *(uint64_t *)((char *)job->lab->objects + job->layout.payload_at) = 1;
    }
}

static void
fill_task(const job_t *job, bench_task_t *task, int index)
{
    const bench_setup_t *setup = job->setup;
    int percent = setup->pattern->percent, period = percent > 0 ? 100 / percent : 1;
    *task = (bench_task_t){
        .signals = bench_pool_signals(job->lab->pool),
        .index = index,
        .mine = own_object(job, index),
        .shared = job->lab->objects,
        .payload = (uint64_t *)((char *)job->lab->objects + job->layout.payload_at),
        .order = job->lab->order,
        .size = setup->size,
        .start = setup->size / (size_t)setup->threads * (size_t)index,
        .period = period,
        .phase = period * index / setup->threads,
        .times = &job->lab->times[index],
    };
}

static void
make_step(void *context, int index)
{
    const job_t *job = context;
    fill_task(job, &job->lab->tasks[index], index);
    if (index == 0) {
        make_shared(job);
    }
    if (job->layout.own_stride != 0) {
        job->setup->subject->init(own_object(job, index));
    }
}

/* ---- run and leave ------------------------------------------------------------------------- */

/* The control's loop: nothing but registers. Four chains keep the multiplier busy in each cycle, so that
 * two hyperthreads of one core get half of it each: with one chain both would seem to be cores. */
static uint64_t
spin(bench_task_t *task)
{
    uint64_t ops = 0, a = 1, b = 2, c = 3, d = 4, by = UINT64_C(6364136223846793005);
    do {
        for (int i = 0; i < BENCH_BATCH; i++) {
            a = a * by + 1;
            b = b * by + 1;
            c = c * by + 1;
            d = d * by + 1;
            __asm__ volatile("" : "+r"(a), "+r"(b), "+r"(c), "+r"(d));
        }
        ops += BENCH_BATCH;
    } while (!bench_stopped(task));
    return ops;
}

static bool
is_each(const bench_setup_t *setup)
{
    return setup != NULL && setup->pattern->loop == BENCH_LOOP_EACH;
}

/* Before the gate the stop flag is up, so each call of the loop is one batch. */
static void
run_step(void *context, int index)
{
    const job_t *job = context;
    bench_pool_t *pool = job->lab->pool;
    bench_task_t *task = &job->lab->tasks[index];
    const bench_setup_t *setup = job->setup;
    bench_loop_fn loop =
        setup != NULL ? bench_loop_of(setup->pattern, setup->subject, index) : spin;
    for (int i = 0; i < WARM_BATCHES; i++) {
        task->warm_ops += loop(task);
    }
    if (is_each(setup)) {
        bench_times_clear(task->times);
    }
    bench_pool_gate(pool);
    bench_counters_read(bench_pool_counters(pool, index), &task->before);
    task->ops = loop(task);
    task->end = ot_clock_now();
    bench_counters_read(bench_pool_counters(pool, index), &task->after);
}

static void
leave_step(void *context, int index)
{
    const job_t *job = context;
    job->setup->subject->leave(&job->lab->tasks[index]);
}

/* ---- check --------------------------------------------------------------------------------- */

static bool
complain(const job_t *job, const char *what, long found, long expected)
{
    const bench_setup_t *setup = job->setup;
    fprintf(stderr, "refcount: WRONG COUNT: %s, %s, %zu objects, %d threads: %s %ld, not %ld\n",
            setup->pattern->name, setup->subject->name, job->layout.shared_count, setup->threads,
            what, found, expected);
    return false;
}

static bool
check_locks(const job_t *job)
{
    const bench_setup_t *setup = job->setup;
    long ops = 0, counted = 0;
    for (int i = 0; i < setup->threads; i++) {
        ops += (long)(job->lab->tasks[i].warm_ops + job->lab->tasks[i].ops);
        if (i == 0 || job->layout.own_stride != 0) {
            counted += setup->subject->get(own_object(job, i));
            setup->subject->destroy(own_object(job, i));
        }
    }
    return counted == ops || complain(job, "the locks' counters say", counted, ops);
}

static bool
check_refcounts(const job_t *job)
{
    const bench_setup_t *setup = job->setup;
    const bench_subject_t *subject = setup->subject;
    for (size_t i = 0; i < job->layout.shared_count; i++) {
        long found = subject->get(shared_object(job, i));
        if (found != subject->at_rest) {
            return complain(job, "a shared count is", found, subject->at_rest);
        }
    }
    for (int i = 0; i < setup->threads; i++) {
        long found = subject->get(own_object(job, i));
        if (found != subject->at_rest) {
            return complain(job, "a thread's count is", found, subject->at_rest);
        }
        if (job->lab->tasks[i].zeros != 0) {
            return complain(job, "zeros reported:", (long)job->lab->tasks[i].zeros, 0);
        }
    }
    return true;
}

/* ---- figures ------------------------------------------------------------------------------- */

/* Each thread's time is from the gate's opening to its own last op: the last batch, which may come
 * late on a busy machine, counts with the time that it took. */
static double
rate(const bench_task_t *task, int64_t opened)
{
    double seconds = (double)(task->end - opened) * 1e-9;
    return seconds > 0 ? (double)task->ops / seconds : 0;
}

static double
fairness(const job_t *job, int64_t opened)
{
    const bench_setup_t *setup = job->setup;
    int first = setup->pattern->kind == BENCH_READ_MOSTLY ? 1 : 0; /* of those who do the same */
    double slowest = INFINITY, fastest = 0;
    for (int i = first; i < setup->threads; i++) {
        double r = rate(&job->lab->tasks[i], opened);
        slowest = fmin(slowest, r);
        fastest = fmax(fastest, r);
    }
    return fastest > 0 ? slowest / fastest : 1;
}

static void
find_latency(const job_t *job, bench_sample_t *sample)
{
    static bench_times_t all; /* large */
    bench_times_clear(&all);
    for (int i = 0; is_each(job->setup) && i < job->setup->threads; i++) {
        bench_times_merge(&all, job->lab->tasks[i].times);
    }
    for (int q = 0; q < BENCH_QUANTILES; q++) {
        sample->latency[q] =
            bench_times_quantile(&all, bench_quantile_at[q]) * job->lab->clock.tick_ns;
    }
}

static void
evaluate(const job_t *job, int64_t opened, bench_sample_t *sample)
{
    const bench_setup_t *setup = job->setup;
    int n = setup->pattern->kind == BENCH_READ_MOSTLY ? 1 : setup->threads; /* the reader alone */
    *sample = (bench_sample_t){.fairness = fairness(job, opened)};
    for (int i = 0; i < n; i++) {
        const bench_task_t *task = &job->lab->tasks[i];
        sample->ops_per_s += rate(task, opened);
        sample->ops += (double)task->ops;
        for (int c = 0; c < BENCH_COUNTERS; c++) {
            sample->count[c] +=
                bench_counters_between(&task->before, &task->after, (bench_counter_t)c);
        }
    }
    sample->ns = sample->ops_per_s > 0 ? n * 1e9 / sample->ops_per_s : NAN;
    find_latency(job, sample);
}

bool
bench_sample(bench_lab_t *lab, const bench_setup_t *setup, double seconds, bench_sample_t *sample)
{
    job_t job = {
        .lab = lab,
        .setup = setup,
        .layout = bench_layout(setup->pattern, setup->subject, setup->size, setup->threads),
        .wrong = bench_is_wrong(setup->pattern, setup->subject, setup->threads),
    };
    if (!reserve_objects(lab, job.layout.bytes) ||
        (is_random(setup) && !make_order(lab, setup->size))) {
        return false;
    }
    atomic_store(&bench_pool_signals(lab->pool)->turn, 0);
    bench_pool_do(lab->pool, setup->threads, make_step, &job);
    int64_t opened = bench_pool_do_timed(lab->pool, setup->threads, run_step, &job, seconds);
    bench_pool_do(lab->pool, setup->threads, leave_step, &job);
    evaluate(&job, opened, sample);
    if (setup->subject->is_lock) {
        return check_locks(&job);
    }
    return job.wrong || check_refcounts(&job);
}

static double
spin_rate(bench_lab_t *lab, int threads, double seconds)
{
    job_t job = {.lab = lab};
    double sum = 0;
    for (int i = 0; i < threads; i++) {
        lab->tasks[i] = (bench_task_t){.signals = bench_pool_signals(lab->pool), .index = i};
    }
    int64_t opened = bench_pool_do_timed(lab->pool, threads, run_step, &job, seconds);
    for (int i = 0; i < threads; i++) {
        sum += rate(&lab->tasks[i], opened);
    }
    return sum;
}

double
bench_control(bench_lab_t *lab, int threads, double seconds)
{
    double one = spin_rate(lab, 1, seconds);
    return spin_rate(lab, threads, seconds) / one;
}
