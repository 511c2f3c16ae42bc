/* handle.c: see handle.h.
 *
 * Main invariant: a handle owns one reference to its object; what is in transit owns its own.
 * Threading: the GIL of the handle's interpreter. The data of concurrent.interpreters may be freed
 * by any of them.
 */
#include "objects/core/handle.h"

#include <unistd.h>

#include "runtime/cpython/xidata.h"

static const char capsule_name[] = "objtunnel._core._objects"; /* an attribute of the module */

/* Reads the module's dict. PyCapsule_Import would make an ImportError of a MemoryError; and PyObject_GetAttrString, which makes
 * a new str for the name, leaks that str on 3.13.0. */
static ot_objects_t *
home_of(PyObject *module)
{
    PyObject *capsule;
    int found = PyDict_GetItemStringRef(PyModule_GetDict(module), "_objects", &capsule);
    if (found == 0) {
        PyErr_SetString(PyExc_ImportError, "objtunnel._core is not all there");
    }
    ot_objects_t *home = found <= 0 ? NULL : PyCapsule_GetPointer(capsule, capsule_name);
    Py_XDECREF(capsule);
    return home;
}

static _Thread_local ot_objects_t *leaving;

void
ot_objects_set_leaving(ot_objects_t *home)
{
    leaving = home;
}

ot_objects_t *
ot_objects_current(void)
{
    if (leaving != NULL &&
        leaving->interp_id == PyInterpreterState_GetID(PyInterpreterState_Get())) {
        return leaving;
    }
    PyObject *module = PyImport_ImportModule("objtunnel._core");
    ot_objects_t *home = module == NULL ? NULL : home_of(module);
    Py_XDECREF(module); /* sys.modules keeps it */
    return home;
}

/* ---- making and freeing -------------------------------------------------------------------- */

/* Frees what a tunnel that dies with the object leaves behind, in this interpreter. Keeps the current
 * exception. */
static void
drop_here(const ot_objects_t *home, ot_shared_t *shared)
{
    ot_node_t *left = ot_channel_unref_any(shared);
    if (left != NULL) {
        PyObject *error = PyErr_GetRaisedException();
        ot_tree_dispose_chain(home->interp, left);
        PyErr_SetRaisedException(error);
    }
}

void
ot_dispose_chain(ot_node_t *chain)
{
    if (chain == NULL) {
        return;
    }
    PyObject *error = PyErr_GetRaisedException();
    ot_objects_t *home = ot_objects_current();
    if (home == NULL) {
        PyErr_Clear(); /* the interpreter is ending: another one will free them */
        ot_tree_leave_chain(chain);
    } else {
        ot_tree_dispose_chain(home->interp, chain);
    }
    PyErr_SetRaisedException(error);
}

void
ot_handle_drop(ot_shared_t *shared)
{
    ot_dispose_chain(ot_channel_unref_any(shared));
}

PyObject *
ot_handle_alloc_steal(ot_objects_t *home, PyTypeObject *type, ot_shared_t *shared)
{
    PyObject *self = type->tp_alloc(type, 0);
    if (self == NULL) {
        drop_here(home, shared);
        return NULL;
    }
    ot_as_handle(self)->shared = shared;
    ot_as_handle(self)->home = home;
    ot_as_handle(self)->module = Py_NewRef(home->module);
    ot_holder_add(&home->holder, &ot_as_handle(self)->grip, shared);
    return self;
}

PyObject *
ot_handle_steal(ot_objects_t *home, ot_shared_t *shared)
{
    size_t i = 0;
    while (i < home->n && home->types[i].kind != shared->kind) {
        i++;
    }
    if (i == home->n) {
        PyErr_Format(PyExc_SystemError, "objtunnel: no type for a shared %s", shared->kind->name);
        drop_here(home, shared);
        return NULL;
    }
    const ot_handle_extra_t *extra = home->types[i].extra;
    if (extra != NULL && extra->make != NULL) {
        return extra->make(home, shared, NULL);
    }
    return ot_handle_alloc_steal(home, home->types[i].type, shared);
}

PyObject *
ot_handle_new(ot_shared_t *shared)
{
    if (shared == NULL) {
        return PyErr_NoMemory();
    }
    ot_objects_t *home = ot_objects_current();
    if (home == NULL) {
        ot_handle_drop(shared);
        return NULL;
    }
    return ot_handle_steal(home, shared);
}

int
ot_handle_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(ot_as_handle(self)->module);
    return 0;
}

void
ot_handle_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    PyObject_ClearWeakRefs(self);
    if (ot_as_handle(self)->shared != NULL) {
        ot_holder_remove(&ot_as_handle(self)->home->holder, &ot_as_handle(self)->grip);
        drop_here(ot_as_handle(self)->home, ot_as_handle(self)->shared);
    }
    Py_XDECREF(ot_as_handle(self)->module);
    type->tp_free(self);
    Py_DECREF(type);
}

/* ---- what all handles have ------------------------------------------------------------------ */

Py_hash_t
ot_handle_hash(PyObject *self)
{
    return (Py_hash_t)ot_as_handle(self)->shared->id;
}

PyObject *
ot_handle_compare(PyObject *self, PyObject *other, int op)
{
    if (!Py_IS_TYPE(other, Py_TYPE(self)) || (op != Py_EQ && op != Py_NE)) {
        Py_RETURN_NOTIMPLEMENTED;
    }
    bool same = ot_as_handle(self)->shared == ot_as_handle(other)->shared;
    return PyBool_FromLong(same == (op == Py_EQ));
}

PyObject *
ot_handle_id(PyObject *self, void *unused)
{
    (void)unused;
    return PyLong_FromUnsignedLongLong(ot_as_handle(self)->shared->id);
}

PyGetSetDef ot_handle_getset[] = {OT_HANDLE_ID, {NULL, NULL, NULL, NULL, NULL}};

/* ---- what it knows beside its object --------------------------------------------------------- */

static const ot_handle_extra_t *
extra_of(const ot_objects_t *home, const PyTypeObject *type)
{
    for (size_t i = 0; i < home->n; i++) {
        if (home->types[i].type == type) {
            return home->types[i].extra;
        }
    }
    return NULL;
}

static bool
is_handle_type(const void *home, const PyTypeObject *type)
{
    const ot_objects_t *h = home;
    size_t i = 0;
    while (i < h->n && h->types[i].type != type) {
        i++;
    }
    return i < h->n;
}

static PyObject *
object_beside(const ot_handle_extra_t *extra, PyObject *self)
{
    return extra == NULL || extra->object == NULL ? NULL : extra->object(self);
}

/* The bytes that the handle knows beside its object, in new raw memory. NULL: there are none;
 * or, with *good false and MemoryError set, there is no memory. */
static ot_beside_t *
bytes_beside(const ot_handle_extra_t *extra, PyObject *self, bool *good)
{
    *good = true;
    if (extra == NULL || extra->size == 0) {
        return NULL;
    }
    ot_beside_t *beside = PyMem_RawMalloc(sizeof *beside + extra->size);
    if (beside == NULL) {
        PyErr_NoMemory();
        *good = false;
        return NULL;
    }
    beside->size = extra->size;
    if (!extra->save(self, beside->bytes)) {
        PyMem_RawFree(beside);
        return NULL;
    }
    return beside;
}

ot_shared_t *
ot_handle_plain(const ot_objects_t *home, PyObject *o)
{
    char bytes[OT_MOST_BESIDE];
    if (!is_handle_type(home, Py_TYPE(o))) {
        return NULL;
    }
    const ot_handle_extra_t *extra = extra_of(home, Py_TYPE(o));
    if (extra != NULL && extra->size > 0) {
        if (extra->save(o, bytes)) {
            return NULL;
        }
    }
    return object_beside(extra, o) != NULL ? NULL : ot_as_handle(o)->shared;
}

/* beside: NULL, or what one of these types has saved. Refs: steals `shared`, also on failure. */
static PyObject *
restore(ot_objects_t *home, ot_shared_t *shared, const ot_beside_t *beside)
{
    const void *from = beside == NULL ? NULL : beside->bytes;
    size_t i = 0;
    while (i < home->n && home->types[i].kind != shared->kind) {
        i++;
    }
    const ot_handle_extra_t *extra = i == home->n ? NULL : home->types[i].extra;
    if (beside != NULL && (extra == NULL || extra->size != beside->size)) {
        PyErr_Format(PyExc_ValueError, "this is nothing that a handle of a %s knows",
                     shared->kind->name);
        drop_here(home, shared);
        return NULL;
    }
    if (extra != NULL && extra->make != NULL) {
        return extra->make(home, shared, from);
    }
    PyObject *self = ot_handle_steal(home, shared);
    if (self != NULL && from != NULL && extra->restore(self, from) < 0) {
        Py_CLEAR(self);
    }
    return self;
}

/* ---- in a tree ------------------------------------------------------------------------------- */

static int
hold(const void *home, PyObject *self, ot_held_t *held)
{
    const ot_handle_extra_t *extra = extra_of(home, Py_TYPE(self));
    if (object_beside(extra, self) != NULL) {
        return 0;
    }
    bool good;
    held->beside = bytes_beside(extra, self, &good);
    if (!good) {
        return -1;
    }
    held->shared = ot_as_handle(self)->shared;
    ot_shared_ref(held->shared);
    return 1;
}

static PyObject *
make_from_held(void *home, const ot_held_t *held)
{
    ot_shared_ref(held->shared);
    return restore(home, held->shared, held->beside);
}

ot_handles_t
ot_handles_for_trees(ot_objects_t *home)
{
    return (ot_handles_t){home, is_handle_type, hold, make_from_held};
}

/* ---- as a pickle ---------------------------------------------------------------------------- */

/* What the handle's pickle has beside the object's id: bytes, an object, or None. A new
 * reference. */
static PyObject *
to_pickle(PyObject *self)
{
    const ot_handle_extra_t *extra = extra_of(ot_as_handle(self)->home, Py_TYPE(self));
    PyObject *object = object_beside(extra, self);
    if (object != NULL) {
        return Py_NewRef(object);
    }
    bool good;
    ot_beside_t *beside = bytes_beside(extra, self, &good);
    if (beside == NULL) {
        return good ? Py_NewRef(Py_None) : NULL;
    }
    PyObject *bytes = PyBytes_FromStringAndSize(beside->bytes, (Py_ssize_t)beside->size);
    PyMem_RawFree(beside);
    return bytes;
}

/* By id, for use in this process. Inside a message the message keeps the object alive; elsewhere
 * whoever pickled must keep a handle until it is unpickled. */
PyObject *
ot_handle_reduce(PyObject *self, PyObject *unused)
{
    (void)unused;
    ot_shared_t *shared = ot_as_handle(self)->shared;
    PyObject *extra = ot_tree_pickling_shared(shared) < 0 ? NULL : to_pickle(self);
    PyObject *find = NULL;
    if (extra != NULL) {
        find = PyObject_GetAttrString(ot_as_handle(self)->module, "_find_shared");
    }
    if (find == NULL) {
        Py_XDECREF(extra);
        return NULL;
    }
    return Py_BuildValue("N(iKN)", find, (int)getpid(), (unsigned long long)shared->id, extra);
}

/* Refs: steals `shared`, also on failure. */
static PyObject *
restore_pickled(ot_objects_t *home, ot_shared_t *shared, PyObject *from)
{
    ot_beside_t *beside = NULL;
    if (PyBytes_Check(from)) {
        size_t n = (size_t)PyBytes_GET_SIZE(from);
        beside = PyMem_RawMalloc(sizeof *beside + n);
        if (beside == NULL) {
            ot_handle_drop(shared);
            return PyErr_NoMemory();
        }
        beside->size = n;
        memcpy(beside->bytes, PyBytes_AS_STRING(from), n);
    }
    PyObject *self = restore(home, shared, beside);
    PyMem_RawFree(beside);
    if (self != NULL && beside == NULL && from != Py_None) {
        const ot_handle_extra_t *extra = extra_of(home, Py_TYPE(self));
        if (extra != NULL && extra->set_object != NULL) {
            extra->set_object(self, from);
        } else {
            PyErr_SetString(PyExc_ValueError, "this handle has nothing beside its object");
            Py_CLEAR(self);
        }
    }
    return self;
}

static PyObject *
find_shared(PyObject *module, PyObject *args)
{
    int pid;
    unsigned long long id;
    PyObject *extra;
    ot_objects_t *home = home_of(module);
    if (home == NULL || !PyArg_ParseTuple(args, "iKO:_find_shared", &pid, &id, &extra)) {
        return NULL;
    }
    ot_shared_t *shared = pid == (int)getpid() ? ot_shared_find(id) : NULL;
    if (shared == NULL) {
        return PyErr_Format(
            PyExc_LookupError, "there is no shared object %llu in this process: it was pickled %s",
            id, pid == (int)getpid() ? "and its last handle dropped since" : "in another process");
    }
    return restore_pickled(home, shared, extra);
}

/* ---- as data of concurrent.interpreters ------------------------------------------------------ */

static void
packet_free(void *data)
{
    ot_held_t *packet = data;
    ot_handle_drop(packet->shared);
    PyMem_RawFree(packet->beside);
    PyMem_RawFree(packet);
}

static PyObject *
new_from_packet(ot_xidata_t *data)
{
    ot_objects_t *home = ot_objects_current();
    return home == NULL ? NULL : make_from_held(home, OT_XIDATA_DATA(data));
}

static int
get_packet(PyThreadState *tstate, PyObject *self, ot_xidata_t *data)
{
    ot_held_t *packet = PyMem_RawMalloc(sizeof *packet);
    if (packet == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    int rc = hold(ot_as_handle(self)->home, self, packet);
    if (rc <= 0) {
        PyMem_RawFree(packet);
        if (rc == 0) {
            PyErr_Format(PyExc_TypeError,
                         "this %s has a Python object with it: send it by a Tunnel",
                         Py_TYPE(self)->tp_name);
        }
        return -1;
    }
    OT_XIDATA_INIT(data, PyThreadState_GetInterpreter(tstate), packet, NULL, new_from_packet);
    OT_XIDATA_SET_FREE(data, packet_free);
    return 0;
}

/* ---- an interpreter's part ------------------------------------------------------------------- */

/* Declares the type to be a handle of the kind, and adds it to the module. Refs: steals the type, also on failure. */
static int
register_steal(ot_objects_t *home, const ot_shared_kind_t *kind, PyTypeObject *type,
               const ot_handle_extra_t *extra)
{
    if (home->n == OT_MAX_HANDLE_TYPES) {
        Py_DECREF(type);
        PyErr_Format(PyExc_SystemError,
                     "objtunnel: no room for the handle type %s: raise OT_MAX_HANDLE_TYPES",
                     kind->name);
        return -1;
    }
    home->types[home->n].kind = kind;
    home->types[home->n].extra = extra;
    home->types[home->n++].type = type; /* ot_handles_end gives it back */
    return PyModule_AddType(home->module, type) < 0 || ot_xidata_register(type, get_packet) < 0 ? -1
                                                                                                : 0;
}

PyTypeObject *
ot_handle_add_type(ot_objects_t *home, const ot_shared_kind_t *kind, PyType_Spec *spec,
                   const ot_handle_extra_t *extra)
{
    PyTypeObject *type = (PyTypeObject *)PyType_FromModuleAndSpec(home->module, spec, NULL);
    return type == NULL || register_steal(home, kind, type, extra) < 0 ? NULL : type;
}

static PyObject *
live_shared(PyObject *module, PyObject *unused)
{
    (void)module;
    (void)unused;
    return PyLong_FromSize_t(ot_shared_count() - ot_channel_count());
}

static PyMethodDef functions[] = {
    {"_live_shared", live_shared, METH_NOARGS,
     "Shared objects in the process but Tunnels (for leak tests)."},
    {NULL, NULL, 0, NULL},
};

static PyMethodDef find_method = {"_find_shared", find_shared, METH_VARARGS,
                                  "A handle by process and id, for unpickling."};

/* A builtin that pickle finds by its module's name. */
static int
add_find(PyObject *module)
{
    PyObject *name = PyUnicode_FromString("objtunnel._core");
    PyObject *find = name == NULL ? NULL : PyCFunction_NewEx(&find_method, module, name);
    Py_XDECREF(name);
    return find == NULL ? -1 : PyModule_Add(module, "_find_shared", find);
}

int
ot_handles_init(PyObject *module, ot_objects_t *home)
{
    home->module = module;
    home->interp_id = PyInterpreterState_GetID(PyInterpreterState_Get());
    ot_holder_enter(&home->holder, home->interp_id);
    PyObject *capsule = PyCapsule_New(home, capsule_name, NULL);
    if (capsule == NULL || PyModule_AddObjectRef(module, "_objects", capsule) < 0 ||
        add_find(module) < 0 || PyModule_AddFunctions(module, functions) < 0) {
        Py_XDECREF(capsule);
        return -1;
    }
    Py_DECREF(capsule);
    return 0;
}

int
ot_handles_traverse(ot_objects_t *home, visitproc visit, void *arg)
{
    for (size_t i = 0; i < home->n; i++) {
        Py_VISIT(home->types[i].type);
    }
    Py_VISIT(home->lock_abandoned);
    Py_VISIT(home->checkout);
    Py_VISIT(home->held);
    Py_VISIT(home->running);
    Py_VISIT(home->code);
    Py_VISIT(home->scheduler);
    Py_VISIT(home->live_object);
    return 0;
}

void
ot_handles_end(ot_objects_t *home)
{
    while (home->n > 0) {
        Py_CLEAR(home->types[--home->n].type);
    }
    Py_CLEAR(home->lock_abandoned);
    Py_CLEAR(home->checkout);
    Py_CLEAR(home->held);
    Py_CLEAR(home->running);
    Py_CLEAR(home->code);
    Py_CLEAR(home->scheduler);
    Py_CLEAR(home->live_object);
    if (home->module != NULL) { /* else the import failed before */
        ot_holder_leave(&home->holder);
    }
}
