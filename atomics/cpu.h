/* cpu.h: what the processor's caches and pipelines want to be told.
 *
 * Stands alone: no Python, no other header of ours.
 */
#ifndef OT_ATOMICS_CPU_H
#define OT_ATOMICS_CPU_H

#include <stdatomic.h>
#include <stddef.h>

/* What one core takes away from another at a time. x86-64 and most arm64: 64 bytes. */
enum { OT_CACHE_LINE = 64 };

/* How far apart two cores' data must lie so that neither's accesses disturb the other's: the
 * spatial prefetcher of x86-64 fetches lines in pairs; Apple's arm64 has lines of 128 bytes. */
enum { OT_CACHE_PAIR = 2 * OT_CACHE_LINE };

/* Puts a struct or member at the start of a pair of lines of its own. */
#define OT_OWN_LINE _Alignas(OT_CACHE_PAIR)

/* In a loop that waits for another core: lets the sibling hyperthread run, saves power, and
 * spares the pipeline flush when the loop ends. x86-64: 40 to 140 cycles; arm64: a hint. */
static inline void
ot_pause(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("isb" ::: "memory"); /* "yield" does nothing on most cores */
#endif
}

/* What stands before it comes before what stands behind it, for everybody: the only thing that keeps a store and a later
 * load of another place in their order. A seq_cst exchange does so on x86-64, and C does not promise it (tests/litmus:
 * test_a_seq_cst_exchange_is_no_fence). gcc's ThreadSanitizer knows no fences, and needs none to see who frees what. */
static inline void
ot_full_barrier(void)
{
#ifdef __SANITIZE_THREAD__
    atomic_uint own = 0;
    (void)atomic_exchange(&own, 1);
#else
    atomic_thread_fence(memory_order_seq_cst);
#endif
}

/* Has the line at `address`, which need not be mapped, brought into the cache. Not
 * __builtin_prefetch: gcc 12 takes a function or loop that does nothing else for one without
 * effect and drops it. */
static inline void
ot_prefetch(const void *address)
{
#if defined(__x86_64__)
    __asm__ volatile("prefetcht0 %0" : : "m"(*(const char *)address));
#else
    __builtin_prefetch(address);
    __asm__ volatile("");
#endif
}

#endif
