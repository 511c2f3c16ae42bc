/* control.h: what can this machine do in parallel right now? The yardstick beside every parallel
 * figure: machines are shared, and two threads sometimes get the time of one. */
#ifndef OT_RUNTIME_CONTROL_H
#define OT_RUNTIME_CONTROL_H

/* Has `threads` independent threads spin through `rounds` rounds of register arithmetic each, no
 * memory shared, started together. Returns the wall time in seconds, negative if threads could
 * not be started. Needs: nothing; hold no GIL. */
double ot_control_spin(int threads, long rounds);

#endif
