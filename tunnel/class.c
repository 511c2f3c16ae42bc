/* class.c: see class.h.
 *
 * Main invariant: an entry of the cache is used only while its type lives and its version is the
 * one that was looked at, so a type changed or replaced since is looked at again.
 * Threading: the GIL of the cache's interpreter.
 */
#include "tunnel/class.h"

#include "runtime/cpython/instance.h"
#include "runtime/import.h"

/* ---- the cache --------------------------------------------------------------------------- */

static bool
still_holds(const ot_known_class_t *k)
{
    bool lives = k->weakref == NULL || ot_weakref_target(k->weakref) == (PyObject *)k->type;
    /* A type that has changed a thousand times has version 0 for good: look at it each time. */
    return lives && k->version != 0 && k->version == ot_type_version(k->type);
}

const ot_known_class_t *
ot_class_known(const ot_class_cache_t *cache, PyTypeObject *type)
{
    const uint32_t *i = ot_ptrmap_get(&cache->index, type);
    return i != NULL && still_holds(&cache->known.items[*i]) ? &cache->known.items[*i] : NULL;
}

PyTypeObject *
ot_class_known_as(const ot_class_cache_t *cache, destructor dealloc, PyObject *module,
                  PyObject *qualname)
{
    for (size_t i = 0; i < cache->known.len; i++) {
        const ot_known_class_t *k = &cache->known.items[i];
        if (k->layout.dealloc == dealloc && k->kind != NULL && still_holds(k) &&
            PyUnicode_Compare(k->qualname, qualname) == 0 &&
            PyUnicode_Compare(k->module, module) == 0) {
            return k->type;
        }
    }
    return NULL;
}

const ot_known_class_t *
ot_class_last_known(const ot_class_cache_t *cache, PyTypeObject *type)
{
    const uint32_t *i = ot_ptrmap_get(&cache->index, type);
    return i == NULL ? NULL : &cache->known.items[*i];
}

static void
forget(ot_known_class_t *k)
{
    Py_CLEAR(k->weakref);
    Py_CLEAR(k->module);
    Py_CLEAR(k->qualname);
}

void
ot_class_cache_check(const ot_class_cache_t *cache)
{
    ot_ptrmap_check(&cache->index);
    OT_MUST(cache->index.len == cache->known.len);
    for (size_t i = 0; i < cache->known.len; i++) {
        const ot_known_class_t *k = &cache->known.items[i];
        const uint32_t *at = ot_ptrmap_get(&cache->index, k->type);
        OT_MUST(at != NULL && *at == i);
        OT_MUST((k->kind == NULL) == (k->module == NULL) &&
                (k->module == NULL) == (k->qualname == NULL));
        PyObject *target = k->weakref == NULL ? NULL : ot_weakref_target(k->weakref);
        OT_MUST(target == NULL || target == Py_None || target == (PyObject *)k->type);
    }
}

/* Classes come and go: drops the dead. 0, or -1 without an exception. */
static int
sweep(ot_class_cache_t *cache)
{
    size_t kept = 0;
    ot_ptrmap_t index = {0};
    for (size_t i = 0; i < cache->known.len; i++) {
        ot_known_class_t *k = &cache->known.items[i];
        if (still_holds(k) && ot_ptrmap_add(&index, k->type, (uint32_t)kept++) < 0) {
            ot_ptrmap_free(&index);
            return -1;
        }
    }
    kept = 0;
    for (size_t i = 0; i < cache->known.len; i++) {
        ot_known_class_t k = cache->known.items[i];
        if (ot_ptrmap_get(&index, k.type) != NULL && still_holds(&k)) {
            cache->known.items[kept++] = k;
        } else {
            forget(&k);
        }
    }
    cache->known.len = kept;
    ot_ptrmap_free(&cache->index);
    cache->index = index;
    OT_CHECK(ot_class_cache_check(cache));
    return 0;
}

/* Enters k, whose references it takes over on success. */
static int
remember_steal(ot_class_cache_t *cache, const ot_known_class_t *k)
{
    enum { SWEEP_EVERY = 512 };
    uint32_t *at = ot_ptrmap_get(&cache->index, k->type);
    if (at != NULL) {
        ot_known_class_t old = cache->known.items[*at];
        cache->known.items[*at] = *k;
        forget(&old);
        OT_CHECK(ot_class_cache_check(cache));
        return 0;
    }
    if (cache->known.len >= SWEEP_EVERY && cache->known.len % SWEEP_EVERY == 0 &&
        sweep(cache) < 0) {
        PyErr_NoMemory();
        return -1;
    }
    if (ot_vec_push(&cache->known, *k) < 0) {
        PyErr_NoMemory();
        return -1;
    }
    if (ot_ptrmap_add(&cache->index, k->type, (uint32_t)cache->known.len - 1) < 0) {
        cache->known.len--;
        PyErr_NoMemory();
        return -1;
    }
    OT_CHECK(ot_class_cache_check(cache));
    return 0;
}

/* ---- learning ------------------------------------------------------------------------------ */

/* Whether the hash is C code that asks for the value, or for the address, which stays. */
static bool
hashes_by_value(PyTypeObject *type, const ot_kind_t *base)
{
    return base != &ot_kind_extension || type->tp_hash == PyBaseObject_Type.tp_hash ||
           type->tp_hash == PyObject_HashNotImplemented;
}

/* Asks _classes.describe; fills in the names, or takes the kind away where it says "pickle it". */
static int
describe(ot_class_cache_t *cache, ot_known_class_t *k)
{
    PyTypeObject *base = ot_type_solid_base(k->type);
    PyObject *names = PyObject_CallFunctionObjArgs(cache->describe, k->type, base, NULL);
    int hash_stays = 0;
    if (names == NULL) {
        return -1;
    }
    if (names == Py_None) {
        k->kind = NULL;
    } else if (PyArg_ParseTuple(names, "UUp:describe", &k->module, &k->qualname, &hash_stays)) {
        Py_INCREF(k->module);
        Py_INCREF(k->qualname);
        k->hash_stays = hash_stays && hashes_by_value(k->type, ot_kind_of_base(base));
    } else {
        Py_DECREF(names);
        return -1;
    }
    Py_DECREF(names);
    return 0;
}

int
ot_class_learn(ot_class_cache_t *cache, PyTypeObject *type)
{
    ot_known_class_t k = {.type = type};
    if (ot_kind_for_class(type, &k.kind) < 0) {
        return -1;
    }
    if (k.kind != NULL && describe(cache, &k) < 0) {
        return -1;
    }
    ot_layout_of(type, &k.layout);
    k.version = ot_type_ensure_version(type);
    if (PyType_HasFeature(type, Py_TPFLAGS_HEAPTYPE)) {
        k.weakref = PyWeakref_NewRef((PyObject *)type, NULL);
    }
    bool good = k.weakref != NULL || !PyType_HasFeature(type, Py_TPFLAGS_HEAPTYPE);
    if (!good || remember_steal(cache, &k) < 0) {
        forget(&k);
        return -1;
    }
    return 0;
}

/* The standard library's, and not what a user's file of that name calls so. */
static bool
is_array_type(PyObject *o)
{
    return PyType_Check(o) && ot_type_solid_base((PyTypeObject *)o) == (PyTypeObject *)o &&
           strcmp(((PyTypeObject *)o)->tp_name, "array.array") == 0;
}

int
ot_class_cache_init(ot_class_cache_t *cache)
{
    if (ot_layout_init() < 0 ||
        ot_import_into("objtunnel._classes", "describe", &cache->describe) < 0 ||
        ot_import_into("objtunnel._classes", "find", &cache->find) < 0 ||
        ot_import_into("objtunnel._classes", "stand_in", &cache->stand_in) < 0 ||
        ot_import_into("array", "array", &cache->array) < 0) {
        return -1;
    }
    if (!is_array_type(cache->array)) {
        PyErr_Format(PyExc_ImportError,
                     "objtunnel: array.array is not the type in C: a module `array` of yours hides "
                     "the standard library's");
        return -1;
    }
    if (PyInterpreterState_Get() == PyInterpreterState_Main()) {
        ot_ndarray_know_array((PyTypeObject *)cache->array);
    }
    return ot_class_learn(cache, (PyTypeObject *)cache->array);
}

void
ot_class_cache_clear(ot_class_cache_t *cache)
{
    for (size_t i = 0; i < cache->known.len; i++) {
        forget(&cache->known.items[i]);
    }
    ot_vec_free(&cache->known);
    ot_ptrmap_free(&cache->index);
    Py_CLEAR(cache->array);
    Py_CLEAR(cache->describe);
    Py_CLEAR(cache->find);
    Py_CLEAR(cache->stand_in);
}
