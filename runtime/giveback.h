/* giveback.h: memory that was freed goes back to the system, within seconds.
 *
 * mimalloc purges freed memory when a thread next uses the part of the heap that it lies in, which may be never.
 * Here each thread that goes on allocating looks, at most once a second, through its own part and through what
 * threads that ended have left. A thread that sleeps in park.c for a second leaves its part to the others.
 * Design: docs/design.md, "the heap". */
#ifndef OT_RUNTIME_GIVEBACK_H
#define OT_RUNTIME_GIVEBACK_H

/* From now on threads of the process give freed memory back. Each life of Python calls it. Needs: mimalloc's range is
 * set up. Runs: -. */
void ot_giveback_start(void);

/* The calling thread allocates: purges if it is time, else reads a coarse clock and nothing more. Whoever serves
 * allocations calls it now and then: a thread that goes round in a few blocks never gets to mimalloc's own hook.
 * Needs: outside of mimalloc. Runs: -. */
void ot_giveback_look(void);

#endif
