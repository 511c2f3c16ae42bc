/* waitlist.c: see waitlist.h. */
#include "runtime/waitlist.h"

#include "runtime/checks.h"

void
ot_waitlist_check_locked(const ot_waitlist_t *list)
{
    const ot_waiter_t *before = NULL;
    for (const ot_waiter_t *w = list->first; w != NULL; before = w, w = w->next) {
        OT_MUST(w->prev == before);
        OT_MUST(w->outcome == 0);
    }
    OT_MUST(list->last == before);
}

void
ot_waiter_enter_locked(ot_waitlist_t *list, ot_waiter_t *w, bool at_front)
{
    ot_parker_init(&w->parker);
    w->thread = ot_thread_token();
    w->outcome = 0;
    w->prev = at_front ? NULL : list->last;
    w->next = at_front ? list->first : NULL;
    *(w->prev ? &w->prev->next : &list->first) = w;
    *(w->next ? &w->next->prev : &list->last) = w;
    OT_CHECK(ot_waitlist_check_locked(list));
}

static void
remove_locked(ot_waitlist_t *list, ot_waiter_t *w)
{
    *(w->prev ? &w->prev->next : &list->first) = w->next;
    *(w->next ? &w->next->prev : &list->last) = w->prev;
}

ot_wait_result_t
ot_waiter_wait_locked(ot_waitlist_t *list, ot_waiter_t *w, pthread_mutex_t *lock,
                      const ot_patience_t *patience)
{
    ot_wait_result_t result = OT_WAIT_WOKEN;
    ot_await_begin(patience->awaited);
    /* A poke that came late may leave the semaphore posted: outcome alone says who is woken. */
    while (w->outcome == 0 && result == OT_WAIT_WOKEN) {
        pthread_mutex_unlock(lock);
        ot_park_result_t why = ot_park(&w->parker, patience->deadline);
        if (why == OT_PARK_INTERRUPTED && patience->gives_up != NULL &&
            patience->gives_up(patience->arg)) {
            result = OT_WAIT_GAVE_UP;
        } else if (why == OT_PARK_TIMEOUT) {
            result = OT_WAIT_TIMEOUT;
        }
        pthread_mutex_lock(lock);
    }
    ot_await_end(patience->awaited);
    if (w->outcome != 0) { /* who was woken does not look at the list: it may be gone */
        result = result == OT_WAIT_GAVE_UP ? result : OT_WAIT_WOKEN;
    } else {
        remove_locked(list, w);
        OT_CHECK(ot_waitlist_check_locked(list));
    }
    ot_parker_destroy(&w->parker);
    return result;
}

ot_wait_result_t
ot_wait_locked(ot_waitlist_t *list, ot_waiter_t *w, bool at_front, pthread_mutex_t *lock,
               const ot_patience_t *patience)
{
    ot_waiter_enter_locked(list, w, at_front);
    return ot_waiter_wait_locked(list, w, lock, patience);
}

bool
ot_wake_one_locked(ot_waitlist_t *list, int outcome)
{
    ot_waiter_t *w = list->first;
    if (w == NULL) {
        return false;
    }
    remove_locked(list, w);
    w->outcome = outcome;
    ot_unpark(&w->parker);
    OT_CHECK(ot_waitlist_check_locked(list));
    return true;
}

void
ot_wake_all_locked(ot_waitlist_t *list, int outcome)
{
    while (ot_wake_one_locked(list, outcome)) {
    }
}

size_t
ot_waitlist_keep_own(ot_waitlist_t *list)
{
    size_t kept = 0;
    for (ot_waiter_t *w = list->first, *next; w != NULL; w = next) {
        next = w->next;
        if (w->thread == ot_thread_token()) {
            kept++;
        } else {
            remove_locked(list, w);
        }
    }
    OT_CHECK(ot_waitlist_check_locked(list));
    return kept;
}

void
ot_waitlist_wake_own(ot_waitlist_t *list)
{
    (void)ot_waitlist_keep_own(list);
    ot_wake_all_locked(list, 1);
}
