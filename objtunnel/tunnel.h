/* tunnel.h: the parts of the Python type Tunnel, for each other.
 *
 * tunnel_type.c makes and describes handles, tunnel_wait.c waits, tunnel_send.c and tunnel_recv.c have
 * the methods, tunnel_until.c the iterator of Tunnel.until, tunnel_loop.c what event loops need, tunnel_select.c waits for
 * several.
 *
 * Shared rules: each function needs the GIL of the handle's interpreter.
 */
#ifndef OT_OBJTUNNEL_TUNNEL_H
#define OT_OBJTUNNEL_TUNNEL_H

#include "objtunnel/state.h"
#include "runtime/clock.h"

/* How long to wait, and what to raise after that. */
typedef struct {
    int64_t deadline;
    bool timed; /* a timeout was given: what is raised is a TimeoutError, too */
} ot_tunnel_patience_t;

#define OT_TUNNEL_FOR_EVER ((ot_tunnel_patience_t){OT_FOREVER, false})
#define OT_TUNNEL_NO_WAIT ((ot_tunnel_patience_t){OT_DONT_WAIT, false})

ot_state_t *ot_tunnel_state(PyObject *tunnel);

/* From timeout=...; None or NULL: for ever. -1 with TypeError or ValueError set. */
int ot_tunnel_patience_from(PyObject *timeout, ot_tunnel_patience_t *patience);

/* After a wait that a signal or a poke ended: 0 to wait on, -1 with an exception set. Runs: e, signal handlers. */
int ot_tunnel_handle_interruption(void);

/* Reserves a place for a message of so many bytes (0: nobody counts them). 0, or -1 with TunnelFull, TunnelClosed or what a signal
 * handler raised. Runs: e, signal handlers. */
int ot_tunnel_reserve(ot_state_t *state, ot_channel_t *ch, size_t bytes,
                      ot_tunnel_patience_t patience);

/* Takes the oldest message. NULL with TunnelEmpty, TunnelClosed or what a signal handler raised; or,
 * where `until` (NULL: nothing) ends the wait, without an exception. Runs: e, signal handlers. */
ot_tree_t *ot_tunnel_receive(ot_state_t *state, ot_channel_t *ch, ot_tunnel_patience_t patience,
                             ot_stop_t *until);

/* Takes the oldest message and rebuilds its object: a new reference. NULL as ot_tunnel_receive, or with what rebuilding
 * raised; then the message is in the tunnel still. Runs: e. */
PyObject *ot_tunnel_receive_object(PyObject *tunnel, ot_tunnel_patience_t patience,
                                   ot_stop_t *until);

/* Waits until nothing is to come through `status` any more because interpreter `interp` has ended,
 * whose jobs are woken if nobody else can wake them. 0; or -1 with what a signal handler raised.
 * Runs: e, signal handlers. */
int ot_tunnel_wait_for_end(ot_channel_t *status, int64_t interp, int64_t own_interp);

/* Waits until all threads of the process have waited for each other for a second: true. Or until `over`, to which nobody
 * sends, is closed: false. For a thread that does nothing else, which counts as waiting. Runs: -. */
bool ot_tunnel_wait_until_stuck(ot_channel_t *over, int64_t own_interp);

/* ot_tunnel_receive_object for a thread that looks after others between two waits. Although this wait has a timeout, the thread
 * counts as one that waits (tunnel/stuck.h). Runs: e. */
PyObject *ot_tunnel_receive_aside(PyObject *tunnel, ot_tunnel_patience_t patience);

/* The arguments of a call, by the parameters' names (NULL at the end), into values; those that are not
 * given stay as they are. -1 with TypeError set. */
int ot_tunnel_queue_arguments(const char *function, const char *const *parameters,
                              PyObject *const *args, Py_ssize_t nargs, PyObject *names,
                              PyObject **values);

/* What queue.Queue's block=... and timeout=... mean. -1 with an exception set. */
int ot_tunnel_queue_patience(PyObject *block, PyObject *timeout, ot_tunnel_patience_t *patience);

/* The methods, for the type's table. */
PyObject *ot_tunnel_send(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *names);
PyObject *ot_tunnel_send_nowait(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                                PyObject *names);
PyObject *ot_tunnel_put(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *names);
PyObject *ot_tunnel_put_nowait(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                               PyObject *names);
PyObject *ot_tunnel_recv(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *names);
PyObject *ot_tunnel_recv_nowait(PyObject *self, PyObject *unused);
PyObject *ot_tunnel_get(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *names);
PyObject *ot_tunnel_next(PyObject *self);
PyObject *ot_tunnel_discard(PyObject *self, PyObject *unused);
PyObject *ot_tunnel_until(PyObject *self, PyObject *const *args, Py_ssize_t nargs);
PyObject *ot_tunnel_send_now(PyObject *self, PyObject *const *args, Py_ssize_t nargs);
PyObject *ot_tunnel_recv_or(PyObject *self, PyObject *otherwise);
PyObject *ot_tunnel_fileno(PyObject *self, PyObject *unused);
PyObject *ot_tunnel_watch(PyObject *self, PyObject *places);
PyObject *ot_tunnel_await_place(PyObject *self, PyObject *bytes);
PyObject *ot_tunnel_is_ready(PyObject *self, PyObject *unused);
PyObject *ot_tunnel_recv_async(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                               PyObject *names);
PyObject *ot_tunnel_send_async(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                               PyObject *names);
PyObject *ot_tunnel_anext(PyObject *self);

/* Adds select(). */
int ot_tunnel_select_add(PyObject *module);

/* Adds the iterator that Tunnel.until is made of. */
int ot_tunnel_until_add(PyObject *module);

#endif
