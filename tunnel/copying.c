/* copying.c: see copying.h. */
#include "tunnel/copying.h"

#include "runtime/cpython/object.h"

PyObject *
ot_copying_clone(ot_copy_jobs_t *jobs, PyObject *o, const ot_kind_t *kind, ot_tree_t *tree)
{
    PyObject *copy = kind->clone(o);
    if (copy == NULL) {
        return NULL;
    }
    if (kind->leaf) {
        tree->rehash |= ot_leaf_hashes_by_address(o);
        return copy;
    }
    ot_copy_job_t job = {copy, o, kind};
    if (ot_vec_push(jobs, job) < 0) {
        ot_py_drop_unfinished(copy);
        return PyErr_NoMemory();
    }
    return copy;
}

int
ot_copying_fill(ot_copy_jobs_t *jobs, ot_copier_t *copier, ot_tree_t *tree, int wanted)
{
    while (jobs->len > 0) {
        ot_copy_job_t job = jobs->items[--jobs->len];
        if (copier->begin != NULL) {
            copier->begin(copier, job.original);
        }
        int needs = job.kind->fill(job.clone, job.original, copier);
        if (needs < 0) {
            return -1;
        }
        needs &= wanted;
        if (needs && ot_vec_push(&tree->containers, (uintptr_t)job.clone | (uintptr_t)needs) < 0) {
            PyErr_NoMemory();
            return -1;
        }
    }
    return 0;
}
