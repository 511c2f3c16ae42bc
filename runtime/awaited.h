/* awaited.h: which threads wait, for what, and who has it: what objtunnel.dump() tells.
 *
 * Purpose: a record for each thread that has ever held or awaited something of ours. While the thread
 * waits, its record points at the description of what it waits for.
 * Invariant: a record that has been listed is never freed, only used again by another thread. What it
 * points at lives on the waiting thread's stack, and the wait does not end while somebody reads it.
 * Threading: a record is written by its own thread. Any thread may read all of them at any time, a signal
 * handler too: readers take no lock and allocate nothing. No Python.
 */
#ifndef OT_RUNTIME_AWAITED_H
#define OT_RUNTIME_AWAITED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/clock.h"

enum { OT_AWAITED_DETAIL = 64 };

/* What a thread waits for. The strings are constants. */
typedef struct ot_awaited {
    const char *verb, *kind;  /* "acquire", "Lock" */
    uint64_t id;              /* of the object; 0: it has none */
    uint64_t owner;           /* the token of the thread that has it; 0: nobody, or nobody knows */
    const uint64_t *owner_at; /* not NULL: there stands the owner, as long as the wait lasts */
    char detail[OT_AWAITED_DETAIL]; /* a key, say; cut off, may be empty */
    int64_t since;                  /* 0 until the first ot_await_begin, which sets it */
    struct ot_awaited
        *outer; /* what a thread waits for whose signal handler waits; set by ot_await_begin */
} ot_awaited_t;

/* Fills in what a thread will wait for; who has it is not known. */
static inline void
ot_awaited_init(ot_awaited_t *awaited, const char *verb, const char *kind, uint64_t id)
{
    awaited->verb = verb;
    awaited->kind = kind;
    awaited->id = id;
    awaited->owner = 0;
    awaited->owner_at = NULL;
    awaited->detail[0] = '\0';
    awaited->since = 0;
}

/* The waiting thread calls these before and after a wait. NULL: no dump tells of the wait. `awaited` must stay where
 * it is until ot_await_end. If the wait is interrupted and goes on, use the same one: it says since when the whole lasts. */
void ot_await_begin(ot_awaited_t *awaited);
void ot_await_end(ot_awaited_t *awaited);

/* A number for the calling thread, not 0. It is never used for another thread, as the values of pthread_self are. */
uint64_t ot_thread_token(void);

/* ---- reading: any thread, also in a signal handler --------------------------------------------- */

typedef struct ot_note ot_note_t;

typedef struct {
    uint64_t token;
    unsigned long thread; /* as pthread_self and PyThread_get_thread_ident have it */
    int tid;              /* as gettid has it */
    bool waits;
    ot_awaited_t awaited; /* a copy, with the owner of now in `owner` */
} ot_note_view_t;

/* The records, NULL after the last one. */
const ot_note_t *ot_note_first(void);
const ot_note_t *ot_note_next(const ot_note_t *note);

/* Copies what the record says. False: no thread uses it now. */
bool ot_note_read(const ot_note_t *note, ot_note_view_t *view);

#endif
