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

/* Not by PyCapsule_Import, which makes an ImportError of a MemoryError. */
static ot_objects_t *
home_of(PyObject *module)
{
    /* Nor by the attribute: 3.13.0 loses a str each time that one is looked up by a new one. */
    PyObject *capsule;
    int found = PyDict_GetItemStringRef(PyModule_GetDict(module), "_objects", &capsule);
    if (found == 0) {
        PyErr_SetString(PyExc_ImportError, "objtunnel._core is not all there");
    }
    ot_objects_t *home = found <= 0 ? NULL : PyCapsule_GetPointer(capsule, capsule_name);
    Py_XDECREF(capsule);
    return home;
}

/* ---- making and freeing -------------------------------------------------------------------- */

PyObject *
ot_handle_alloc_steal(ot_objects_t *home, PyTypeObject *type, ot_shared_t *shared)
{
    PyObject *self = type->tp_alloc(type, 0);
    if (self == NULL) {
        ot_shared_unref(shared);
        return NULL;
    }
    ot_as_handle(self)->shared = shared;
    ot_as_handle(self)->home = home;
    ot_as_handle(self)->module = Py_NewRef(home->module);
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
        ot_shared_unref(shared);
        return NULL;
    }
    const ot_handle_extra_t *extra = home->types[i].extra;
    if (extra != NULL && extra->make != NULL) {
        return extra->make(home, shared, Py_None);
    }
    return ot_handle_alloc_steal(home, home->types[i].type, shared);
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
        ot_shared_unref(ot_as_handle(self)->shared);
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

static PyObject *
save_extra(PyObject *self)
{
    const ot_handle_extra_t *extra = extra_of(ot_as_handle(self)->home, Py_TYPE(self));
    return extra == NULL ? Py_NewRef(Py_None) : extra->save(self);
}

ot_shared_t *
ot_handle_plain(const ot_objects_t *home, PyObject *o)
{
    size_t i = 0;
    while (i < home->n && home->types[i].type != Py_TYPE(o)) {
        i++;
    }
    PyObject *extra = i == home->n ? NULL : save_extra(o);
    bool plain = extra == Py_None;
    Py_XDECREF(extra);
    return plain ? ot_as_handle(o)->shared : NULL;
}

/* Refs: steals `shared`, also on failure. */
static PyObject *
restore(ot_objects_t *home, ot_shared_t *shared, PyObject *from)
{
    for (size_t i = 0; i < home->n; i++) {
        const ot_handle_extra_t *maker = home->types[i].extra;
        if (home->types[i].kind == shared->kind && maker != NULL && maker->make != NULL) {
            return maker->make(home, shared, from);
        }
    }
    PyObject *self = ot_handle_steal(home, shared);
    if (self != NULL && from != Py_None) {
        const ot_handle_extra_t *extra = extra_of(home, Py_TYPE(self));
        if (extra == NULL || extra->restore(self, from) < 0) {
            if (extra == NULL) {
                PyErr_SetString(PyExc_ValueError, "this handle has nothing beside its object");
            }
            Py_CLEAR(self);
        }
    }
    return self;
}

/* ---- as a pickle ---------------------------------------------------------------------------- */

static void
release(void *shared)
{
    ot_shared_unref(shared);
}

/* By id, for use in this process. Inside a message the message keeps the object alive; elsewhere
 * whoever pickled must keep a handle until it is unpickled. */
PyObject *
ot_handle_reduce(PyObject *self, PyObject *unused)
{
    (void)unused;
    ot_shared_t *shared = ot_as_handle(self)->shared;
    ot_shared_ref(shared);
    if (ot_tree_pickling_shared(shared, release) < 0) {
        return NULL;
    }
    PyObject *extra = save_extra(self);
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
    return restore(home, shared, extra);
}

/* ---- as data of concurrent.interpreters ------------------------------------------------------ */

typedef struct {
    ot_shared_t *shared;  /* owned */
    Py_ssize_t extra_len; /* -1: None */
    char extra[];
} packet_t;

static void
packet_free(void *data)
{
    packet_t *packet = data;
    ot_shared_unref(packet->shared);
    PyMem_RawFree(packet);
}

static PyObject *
new_from_packet(ot_xidata_t *data)
{
    packet_t *packet = OT_XIDATA_DATA(data);
    ot_objects_t *home = ot_objects_current();
    PyObject *extra = packet->extra_len < 0
                          ? Py_NewRef(Py_None)
                          : PyBytes_FromStringAndSize(packet->extra, packet->extra_len);
    PyObject *self = NULL;
    if (home != NULL && extra != NULL) {
        ot_shared_ref(packet->shared);
        self = restore(home, packet->shared, extra);
    }
    Py_XDECREF(extra);
    return self;
}

static int
get_packet(PyThreadState *tstate, PyObject *self, ot_xidata_t *data)
{
    PyObject *extra = save_extra(self);
    if (extra == NULL) {
        return -1;
    }
    if (extra != Py_None && !PyBytes_Check(extra)) {
        PyErr_Format(PyExc_TypeError, "this %s has a Python object with it: send it by a Tunnel",
                     Py_TYPE(self)->tp_name);
        Py_DECREF(extra);
        return -1;
    }
    Py_ssize_t len = extra == Py_None ? -1 : PyBytes_GET_SIZE(extra);
    packet_t *packet = PyMem_RawMalloc(sizeof *packet + (size_t)(len < 0 ? 0 : len));
    if (packet == NULL) {
        Py_DECREF(extra);
        PyErr_NoMemory();
        return -1;
    }
    packet->shared = ot_as_handle(self)->shared;
    packet->extra_len = len;
    if (len > 0) {
        memcpy(packet->extra, PyBytes_AS_STRING(extra), (size_t)len);
    }
    Py_DECREF(extra);
    ot_shared_ref(packet->shared);
    OT_XIDATA_INIT(data, PyThreadState_GetInterpreter(tstate), packet, NULL, new_from_packet);
    OT_XIDATA_SET_FREE(data, packet_free);
    return 0;
}

/* ---- an interpreter's part ------------------------------------------------------------------- */

ot_objects_t *
ot_objects_current(void)
{
    PyObject *module = PyImport_ImportModule("objtunnel._core");
    ot_objects_t *home = module == NULL ? NULL : home_of(module);
    Py_XDECREF(module); /* sys.modules keeps it */
    return home;
}

int
ot_handle_register(ot_objects_t *home, const ot_shared_kind_t *kind, PyTypeObject *type,
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
    home->types[home->n++].type = type; /* from here on ot_objects_clear's */
    return PyModule_AddType(home->module, type) < 0 || ot_xidata_register(type, get_packet) < 0 ? -1
                                                                                                : 0;
}

PyTypeObject *
ot_handle_add_type(ot_objects_t *home, const ot_shared_kind_t *kind, PyType_Spec *spec,
                   const ot_handle_extra_t *extra)
{
    PyTypeObject *type = (PyTypeObject *)PyType_FromModuleAndSpec(home->module, spec, NULL);
    return type == NULL || ot_handle_register(home, kind, type, extra) < 0 ? NULL : type;
}

static PyObject *
live_shared(PyObject *module, PyObject *unused)
{
    (void)module;
    (void)unused;
    return PyLong_FromSize_t(ot_shared_count());
}

static PyMethodDef functions[] = {
    {"_live_shared", live_shared, METH_NOARGS, "Shared objects in the process (for leak tests)."},
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
    PyObject *capsule = PyCapsule_New(home, capsule_name, NULL);
    if (capsule == NULL || PyModule_AddObjectRef(module, "_objects", capsule) < 0 ||
        add_find(module) < 0 || PyModule_AddFunctions(module, functions) < 0) {
        Py_XDECREF(capsule);
        return -1;
    }
    Py_DECREF(capsule);
    return 0;
}
