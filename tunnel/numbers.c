/* numbers.c: ints and floats that have several references, of which trees can hold millions.
 *
 * Nothing lies behind a number, so the walk need not know at once whether it is the tree's own: it
 * notes the slot and goes on. When it has ended, all slots are counted in one go, in the order in
 * which they lie in memory, with the table's cache misses overlapping; the table gets its size at
 * once, by what the first slots were like. What is not referenced from the tree alone is copied.
 *
 * Main invariant: between ot_numbers_count and commit, numbers[i].edges is the number of noted
 * slots that refer to numbers[i].obj.
 * Threading: the GIL is held throughout and no Python code runs, so refcounts stand still.
 */
#include "tunnel/proof.h"

enum { AHEAD = 16 };

/* Room for one more, and at once for as many as there will be if the rest of n slots is like the
 * first `seen`. */
static int
make_room(ot_proof_t *p, size_t seen, size_t n)
{
    size_t len = p->number_index.len;
    if (len * 2 < p->number_index.cap) {
        return 0;
    }
    size_t expected = (size_t)((double)len * (double)n / (double)(seen + 1));
    return ot_ptrmap_reserve(&p->number_index, expected > len ? expected : len + 1);
}

static Py_ssize_t
add_number(ot_proof_t *p, PyObject *o)
{
    ot_number_t number = {.obj = o};
    if (p->numbers.len >= UINT32_MAX || ot_vec_push(&p->numbers, number) < 0 ||
        ot_ptrmap_add(&p->number_index, o, (uint32_t)(p->numbers.len - 1)) < 0) {
        return ot_no_memory();
    }
    return (Py_ssize_t)p->numbers.len - 1;
}

int
ot_numbers_count(ot_proof_t *p)
{
    ot_number_slot_t *slots = p->number_slots.items;
    size_t n = p->number_slots.len;
    for (size_t i = 0; i < n; i++) {
        if (i + AHEAD < n && p->number_index.cap > 0) {
            ot_ptrmap_prefetch(&p->number_index, *slots[i + AHEAD].slot);
        }
        PyObject *o = *slots[i].slot;
        const uint32_t *known = ot_ptrmap_get(&p->number_index, o);
        Py_ssize_t k = known != NULL ? (Py_ssize_t)*known : -1;
        if (k < 0 && (make_room(p, i, n) < 0 || (k = add_number(p, o)) < 0)) {
            return ot_no_memory();
        }
        p->numbers.items[k].edges++;
        slots[i].number = (uint32_t)k;
    }
    return 0;
}

int
ot_numbers_copy(ot_proof_t *p)
{
    for (size_t i = 0; i < p->numbers.len; i++) {
        if (i + AHEAD < p->numbers.len) {
            ot_prefetch(p->numbers.items[i + AHEAD].obj);
        }
        ot_number_t *number = &p->numbers.items[i];
        const ot_kind_t *kind = PyFloat_CheckExact(number->obj) ? &ot_kind_float : &ot_kind_int;
        bool ours = number->edges == Py_REFCNT(number->obj);
        if (ours && kind->inspect(number->obj) == OT_MOVABLE) {
            p->receipt.moved++;
            continue;
        }
        if (p->report != NULL) {
            p->report->because = ot_because_of_number(i);
        }
        number->copy = ot_proof_clone(p, number->obj, kind);
        if (number->copy == NULL) {
            return -1;
        }
    }
    return 0;
}

PyObject *
ot_number_copy(ot_proof_t *p, PyObject *o, const ot_kind_t *kind)
{
    const uint32_t *known = ot_ptrmap_get(&p->number_index, o);
    if (known != NULL) {
        PyObject *copy = p->numbers.items[*known].copy;
        if (copy == NULL) {
            PyErr_SetString(PyExc_SystemError,
                            "objtunnel: a number proved exclusive is reachable from outside");
        }
        return copy;
    }
    Py_ssize_t i = add_number(p, o);
    return i < 0 ? NULL : (p->numbers.items[i].copy = ot_proof_clone(p, o, kind));
}

PyObject *
ot_numbers_find_shared(const ot_proof_t *p, Py_ssize_t *outside)
{
    for (size_t i = 0; i < p->numbers.len; i++) {
        const ot_number_t *number = &p->numbers.items[i];
        *outside = Py_REFCNT(number->obj) - number->edges;
        if (number->edges > 0 && *outside > 0) {
            return number->obj;
        }
    }
    return NULL;
}

void
ot_numbers_commit(ot_proof_t *p, ot_leftovers_t *leftovers)
{
    for (size_t i = 0; i < p->number_slots.len; i++) {
        const ot_number_slot_t *at = &p->number_slots.items[i];
        PyObject *copy = p->numbers.items[at->number].copy;
        if (copy != NULL) {
            leftovers->items[leftovers->len++] = *at->slot;
            *at->slot = Py_NewRef(copy);
        }
    }
    ot_numbers_drop(p);
}

void
ot_numbers_drop(ot_proof_t *p)
{
    for (size_t i = 0; i < p->numbers.len; i++) {
        Py_CLEAR(p->numbers.items[i].copy);
    }
}
