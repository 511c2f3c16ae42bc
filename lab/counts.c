/* counts.c: two interpreters, each with its own GIL, count references of one object at once.
 *
 * What objtunnel never lets happen on an ordinary CPython, forced here in C: each thread holds its
 * own interpreter's GIL, and neither excludes the other. Built against each variant by lab/test.
 *
 * usage: counts ROUNDS PAIRS      prints the count's error after each round, a line each
 *
 * The count starts so high that no error could bring it to zero: the object is never freed.
 */
#include <Python.h>
#include <pthread.h>

enum { START = 1 << 28 };

typedef struct {
    PyObject *object;
    pthread_barrier_t *start;
    long rounds, pairs;
} job_t;

/* The compiler must not cancel an INCREF against the DECREF that follows. */
static void
count(const job_t *job)
{
    pthread_barrier_wait(job->start);
    for (long i = 0; i < job->pairs; i++) {
        Py_INCREF(job->object);
        __asm__ volatile("" ::: "memory");
        Py_DECREF(job->object);
        __asm__ volatile("" ::: "memory");
    }
    pthread_barrier_wait(job->start);
}

static void
die(const char *what)
{
    fprintf(stderr, "counts: %s\n", what);
    exit(1);
}

static void *
count_in_own_interpreter(void *arg)
{
    const job_t *job = arg;
    const PyInterpreterConfig config = {.check_multi_interp_extensions = 1,
                                        .gil = PyInterpreterConfig_OWN_GIL};
    PyThreadState *tstate = NULL;
    PyStatus status = Py_NewInterpreterFromConfig(&tstate, &config);
    if (PyStatus_Exception(status)) {
        die("no second interpreter");
    }
    pthread_barrier_wait(job->start);
    for (long round = 0; round < job->rounds; round++) {
        count(job);
        pthread_barrier_wait(job->start); /* the other thread has read the count and put it back */
    }
    Py_EndInterpreter(tstate);
    return NULL;
}

int
main(int argc, char **argv)
{
    if (argc != 3) {
        die("usage: counts ROUNDS PAIRS");
    }
    Py_InitializeEx(0);
    pthread_barrier_t start;
    pthread_barrier_init(&start, NULL, 2);
    job_t job = {PyBytes_FromString("counted by two"), &start, atol(argv[1]), atol(argv[2])};
    if (job.object == NULL) {
        die("no memory");
    }
    Py_SET_REFCNT(job.object, START);
    pthread_t thread;
    if (pthread_create(&thread, NULL, count_in_own_interpreter, &job) != 0) {
        die("no thread");
    }
    Py_BEGIN_ALLOW_THREADS /* making an interpreter takes the main one's GIL now and then */
    pthread_barrier_wait(&start);
    Py_END_ALLOW_THREADS
    for (long round = 0; round < job.rounds; round++) {
        count(&job);
        printf("%zd\n", Py_REFCNT(job.object) - START);
        Py_SET_REFCNT(job.object, START);
        pthread_barrier_wait(&start);
    }
    Py_BEGIN_ALLOW_THREADS
    pthread_join(thread, NULL);
    Py_END_ALLOW_THREADS
    Py_SET_REFCNT(job.object, 1);
    Py_DECREF(job.object);
    return Py_FinalizeEx() == 0 ? 0 : 1;
}
