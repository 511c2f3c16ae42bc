/* spin.c: see spin.h. */
#include "runtime/spin.h"

#include <sched.h>
#include <unistd.h>

int
ot_spin_cpus(void)
{
    static atomic_int known;
    int n = atomic_load_explicit(&known, memory_order_relaxed);
    if (n == 0) {
        cpu_set_t set;
        /* More CPUs than the set has room for is an error: then there are enough. */
        n = sched_getaffinity(getpid(), sizeof set, &set) == 0 ? CPU_COUNT(&set) : CPU_SETSIZE;
        atomic_store_explicit(&known, n, memory_order_relaxed);
    }
    return n;
}

void
ot_spin_init(ot_spin_t *s)
{
    atomic_init(&s->busy, false);
    atomic_init(&s->credit, OT_SPIN_START);
    atomic_init(&s->passed, 0);
}

static bool
may_try_again(ot_spin_t *s)
{
    unsigned passed = atomic_fetch_add_explicit(&s->passed, 1, memory_order_relaxed);
    return passed % OT_SPIN_RETRY == OT_SPIN_RETRY - 1;
}

bool
ot_spin_begin(ot_spin_t *s)
{
    if (ot_spin_cpus() < 2 || atomic_load_explicit(&s->busy, memory_order_relaxed)) {
        return false;
    }
    if (atomic_load_explicit(&s->credit, memory_order_relaxed) == 0 && !may_try_again(s)) {
        return false;
    }
    return !atomic_exchange_explicit(&s->busy, true, memory_order_relaxed);
}

void
ot_spin_end(ot_spin_t *s, bool paid)
{
    int credit = atomic_load_explicit(&s->credit, memory_order_relaxed);
    credit += paid ? 1 : -2;
    credit = credit < 0 ? 0 : credit > OT_SPIN_MAX ? OT_SPIN_MAX : credit;
    atomic_store_explicit(&s->credit, credit, memory_order_relaxed);
    atomic_store_explicit(&s->busy, false, memory_order_relaxed);
}
