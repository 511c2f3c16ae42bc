/* layouts.c: see layouts.h.
 *
 * A module that needs a symbol which the running version has not is refused by the loader (-z now).
 *
 * Main invariant: a field is read here through the table of offsets only, so that a test that falsifies an offset
 * sees what a CPython with another layout would show.
 * Threading: the GIL of the importing interpreter.
 */
#include "runtime/cpython/layouts.h"

#include "runtime/cpython/allocators.h"
#include "runtime/cpython/dict.h"
#include "runtime/cpython/frame.h"
#include "runtime/cpython/gc.h"
#include "runtime/cpython/instance.h"
#include "runtime/cpython/interp.h"
#include "runtime/cpython/str.h"

/* ---- the fields ---------------------------------------------------------------------------------- */

/* Fields whose offset stands in the table that CPython has for debuggers: name, type, field, and the table's entry. */
#define OT_TOLD(X)                                                                                 \
    X(RUNTIME_HEAD, _PyRuntimeState, interpreters.head, runtime_state.interpreters_head)           \
    X(INTERP_ID, PyInterpreterState, id, interpreter_state.id)                                     \
    X(INTERP_NEXT, PyInterpreterState, next, interpreter_state.next)                               \
    X(INTERP_THREADS, PyInterpreterState, threads.head, interpreter_state.threads_head)            \
    X(INTERP_GC, PyInterpreterState, gc, interpreter_state.gc)                                     \
    X(INTERP_GIL, PyInterpreterState, ceval.gil, interpreter_state.ceval_gil)                      \
    X(THREAD_NEXT, PyThreadState, next, thread_state.next)                                         \
    X(THREAD_INTERP, PyThreadState, interp, thread_state.interp)                                   \
    X(THREAD_FRAME, PyThreadState, current_frame, thread_state.current_frame)                      \
    X(THREAD_ID, PyThreadState, thread_id, thread_state.thread_id)                                 \
    X(THREAD_NATIVE_ID, PyThreadState, native_thread_id, thread_state.native_thread_id)            \
    X(FRAME_PREVIOUS, _PyInterpreterFrame, previous, interpreter_frame.previous)                   \
    X(FRAME_CODE, _PyInterpreterFrame, f_executable, interpreter_frame.executable)                 \
    X(FRAME_INSTR, _PyInterpreterFrame, instr_ptr, interpreter_frame.instr_ptr)                    \
    X(FRAME_LOCALS, _PyInterpreterFrame, localsplus, interpreter_frame.localsplus)                 \
    X(FRAME_OWNER, _PyInterpreterFrame, owner, interpreter_frame.owner)                            \
    X(CODE_FILE, PyCodeObject, co_filename, code_object.filename)                                  \
    X(CODE_NAME, PyCodeObject, co_qualname, code_object.qualname)                                  \
    X(CODE_LINES, PyCodeObject, co_linetable, code_object.linetable)                               \
    X(CODE_FIRST_LINE, PyCodeObject, co_firstlineno, code_object.firstlineno)                      \
    X(CODE_BYTES, PyCodeObject, co_code_adaptive, code_object.co_code_adaptive)                    \
    X(OBJECT_TYPE, PyObject, ob_type, pyobject.ob_type)                                            \
    X(TYPE_FLAGS, PyTypeObject, tp_flags, type_object.tp_flags)                                    \
    X(TUPLE_ITEMS, PyTupleObject, ob_item, tuple_object.ob_item)                                   \
    X(LIST_ITEMS, PyListObject, ob_item, list_object.ob_item)                                      \
    X(DICT_KEYS, PyDictObject, ma_keys, dict_object.ma_keys)                                       \
    X(DICT_VALUES, PyDictObject, ma_values, dict_object.ma_values)                                 \
    X(INT_TAG, PyLongObject, long_value.lv_tag, long_object.lv_tag)                                \
    X(INT_DIGITS, PyLongObject, long_value.ob_digit, long_object.ob_digit)                         \
    X(STR_STATE, PyUnicodeObject, _base._base.state, unicode_object.state)                         \
    X(STR_LENGTH, PyUnicodeObject, _base._base.length, unicode_object.length)                      \
    X(GC_COLLECTING, struct _gc_runtime_state, collecting, gc.collecting)                          \
    OT_TOLD_BY_VERSION(X)

#if PY_VERSION_HEX >= 0x030e0000
#define OT_TOLD_BY_VERSION(X)                                                                      \
    X(FRAME_STACK, _PyInterpreterFrame, stackpointer, interpreter_frame.stackpointer)
#else
#define OT_TOLD_BY_VERSION(X) X(THREAD_STATUS, PyThreadState, _status, thread_state.status)
#endif

/* Sizes that it tells. */
#define OT_SIZES(X)                                                                                \
    X(SIZE_FRAME, _PyInterpreterFrame, interpreter_frame.size)                                     \
    X(SIZE_CODE, PyCodeObject, code_object.size)                                                   \
    X(SIZE_TYPE, PyTypeObject, type_object.size)                                                   \
    X(SIZE_TUPLE, PyTupleObject, tuple_object.size)                                                \
    X(SIZE_LIST, PyListObject, list_object.size)                                                   \
    X(SIZE_DICT, PyDictObject, dict_object.size)                                                   \
    X(SIZE_INT, PyLongObject, long_object.size)                                                    \
    X(SIZE_STR, PyUnicodeObject, unicode_object.size)                                              \
    X(SIZE_ASCII, PyASCIIObject, unicode_object.asciiobject_size)                                  \
    X(SIZE_GC, struct _gc_runtime_state, gc.size)

/* The others are found by what stands there. dk_version has no line: it fills the place between its neighbours. */
#define OT_FOUND(X)                                                                                \
    X(GC_GENERATION0, struct _gc_runtime_state, generation0)                                       \
    X(GC_LONG_LIVED, struct _gc_runtime_state, long_lived_pending)                                 \
    X(GENERATION_THRESHOLD, struct gc_generation, threshold)                                       \
    X(GENERATION_COUNT, struct gc_generation, count)                                               \
    X(INTERP_OWN_GIL, PyInterpreterState, ceval.own_gil)                                           \
    X(THREAD_ASYNC, PyThreadState, async_exc)                                                      \
    X(RUNTIME_MAIN, _PyRuntimeState, main_thread)                                                  \
    X(RUNTIME_TRIPPED, _PyRuntimeState, signals.is_tripped)                                        \
    X(RUNTIME_DEFAULT, _PyRuntimeState, signals.default_handler)                                   \
    X(RUNTIME_IGNORE, _PyRuntimeState, signals.ignore_handler)                                     \
    X(RUNTIME_INTERRUPT, _PyRuntimeState, signals.unhandled_keyboard_interrupt)                    \
    X(RUNTIME_DEBUG_MEM, _PyRuntimeState, allocators.debug.mem.api_id)                             \
    X(RUNTIME_DEBUG_OBJ, _PyRuntimeState, allocators.debug.obj.api_id)                             \
    X(DICT_USED, PyDictObject, ma_used)                                                            \
    X(DICT_WATCHERS, PyDictObject, OT_WATCHER_TAG)                                                 \
    X(KEYS_REFS, PyDictKeysObject, dk_refcnt)                                                      \
    X(KEYS_LOG2, PyDictKeysObject, dk_log2_size)                                                   \
    X(KEYS_BYTES, PyDictKeysObject, dk_log2_index_bytes)                                           \
    X(KEYS_KIND, PyDictKeysObject, dk_kind)                                                        \
    X(KEYS_USABLE, PyDictKeysObject, dk_usable)                                                    \
    X(KEYS_ENTRIES, PyDictKeysObject, dk_nentries)                                                 \
    X(KEYS_INDICES, PyDictKeysObject, dk_indices)                                                  \
    X(ENTRY_VALUE, PyDictUnicodeEntry, me_value)                                                   \
    X(HASHED_VALUE, PyDictKeyEntry, me_value)                                                      \
    X(VALUES_SIZE, PyDictValues, size)                                                             \
    X(VALUES_EMBEDDED, PyDictValues, embedded)                                                     \
    X(VALUES_VALID, PyDictValues, valid)                                                           \
    X(VALUES_VALUES, PyDictValues, values)                                                         \
    X(CLASS_NAME, PyHeapTypeObject, _ht_tpname)                                                    \
    X(CLASS_KEYS, PyHeapTypeObject, ht_cached_keys)                                                \
    X(BYTEARRAY_ALLOC, PyByteArrayObject, ob_alloc)                                                \
    X(BYTEARRAY_BYTES, PyByteArrayObject, ob_bytes)                                                \
    X(BYTEARRAY_EXPORTS, PyByteArrayObject, ob_exports)                                            \
    X(WEAKREF_OBJECT, PyWeakReference, wr_object)                                                  \
    X(CODE_LOCALS, PyCodeObject, co_nlocalsplus)                                                   \
    X(CODE_STACK, PyCodeObject, co_stacksize)                                                      \
    OT_FOUND_SINCE_3_14(X)

#if PY_VERSION_HEX >= 0x030e0000
#define OT_WATCHER_TAG _ma_watcher_tag
#define OT_FOUND_SINCE_3_14(X)                                                                     \
    X(GC_SIZE, struct _gc_runtime_state, heap_size)                                                \
    X(THREAD_HOLDS_GIL, PyThreadState, holds_gil)                                                  \
    X(TUPLE_HASH, PyTupleObject, ob_hash)
#else
#define OT_WATCHER_TAG ma_version_tag
#define OT_FOUND_SINCE_3_14(X)
#endif

/* Numbers of instructions, which may change as well. */
#define OT_OPCODES(X)                                                                              \
    X(CALL)                                                                                        \
    X(CALL_KW)                                                                                     \
    X(CALL_BUILTIN_CLASS)                                                                          \
    X(CALL_BUILTIN_FAST)                                                                           \
    X(CALL_BUILTIN_FAST_WITH_KEYWORDS)                                                             \
    X(CALL_BUILTIN_O)                                                                              \
    X(CALL_METHOD_DESCRIPTOR_FAST)                                                                 \
    X(CALL_METHOD_DESCRIPTOR_FAST_WITH_KEYWORDS)                                                   \
    X(CALL_METHOD_DESCRIPTOR_O)                                                                    \
    X(CALL_NON_PY_GENERAL)                                                                         \
    X(STORE_SUBSCR)                                                                                \
    OT_OPCODES_SINCE_3_14(X)

#ifdef CALL_KW_NON_PY
#define OT_OPCODES_SINCE_3_14(X) X(CALL_KW_NON_PY)
#else
#define OT_OPCODES_SINCE_3_14(X)
#endif

typedef enum {
#define TOLD(id, type, field, told) id,
#define SIZE(id, type, told) id,
#define FOUND(id, type, field) id,
#define OPCODE(name) OPCODE_##name,
    OT_TOLD(TOLD) OT_SIZES(SIZE) OT_FOUND(FOUND) OT_OPCODES(OPCODE) FIELDS
#undef TOLD
#undef SIZE
#undef FOUND
#undef OPCODE
} field_t;

#define TEXT_(x) #x
#define TEXT(x) TEXT_(x)

static const struct {
    const char *name;
    int offset;
} compiled[FIELDS] = {
#define TOLD(id, type, field, told) [id] = {TEXT(type) "." TEXT(field), offsetof(type, field)},
#define SIZE(id, type, told) [id] = {"sizeof(" TEXT(type) ")", sizeof(type)},
#define FOUND(id, type, field) [id] = {TEXT(type) "." TEXT(field), offsetof(type, field)},
#define OPCODE(opcode) [OPCODE_##opcode] = {"the opcode " #opcode, opcode},
    OT_TOLD(TOLD) OT_SIZES(SIZE) OT_FOUND(FOUND) OT_OPCODES(OPCODE)
#undef TOLD
#undef SIZE
#undef FOUND
#undef OPCODE
};

/* Where the fields lie by what is to be proved; and the objects that show it. */
typedef struct {
    int offset[FIELDS];
    PyObject *samples; /* owned: a dict by name */
} proof_t;

enum { ALL_FOUND = -1, FAILED = -2 };

int
ot_layouts_count(void)
{
    return FIELDS;
}

const char *
ot_layouts_name(int field)
{
    return compiled[field].name;
}

/* ---- looking ------------------------------------------------------------------------------------- */

/* The value of type T at a field of what p points to. */
#define AT(T, p, field) (*(T const *)((const char *)(p) + l->offset[field]))

/* Ends a look with the field, unless what must hold does. */
#define EXPECT(field, holds)                                                                       \
    do {                                                                                           \
        if (!(holds)) {                                                                            \
            return (field);                                                                        \
        }                                                                                          \
    } while (0)

/* Borrowed; the samples are complete. */
static PyObject *
sample(const proof_t *l, const char *name)
{
    return PyDict_GetItemString(l->samples, name);
}

static int
look_at_what_is_told(const proof_t *l)
{
    const _Py_DebugOffsets *told = &_PyRuntime.debug_offsets;
    EXPECT(RUNTIME_HEAD, memcmp(told->cookie, "xdebugpy", 8) == 0 && told->version == Py_Version);
#define TOLD(id, type, field, where) EXPECT(id, (uint64_t)l->offset[id] == told->where);
#define SIZE(id, type, where) EXPECT(id, (uint64_t)l->offset[id] == told->where);
    OT_TOLD(TOLD)
    OT_SIZES(SIZE)
#undef TOLD
#undef SIZE
    return ALL_FOUND;
}

static int
look_at_threads(const proof_t *l)
{
    PyThreadState *tstate = PyThreadState_Get();
    PyInterpreterState *main = PyInterpreterState_Main();
    EXPECT(INTERP_OWN_GIL, AT(int, main, INTERP_OWN_GIL) == 1);
#if PY_VERSION_HEX >= 0x030e0000
    uint64_t behind_status = _PyRuntime.debug_offsets.thread_state.status + sizeof tstate->_status;
    EXPECT(THREAD_HOLDS_GIL, AT(int, tstate, THREAD_HOLDS_GIL) == 1 &&
                                 (uint64_t)l->offset[THREAD_HOLDS_GIL] == behind_status);
#endif
    PyThreadState_SetAsyncExc(tstate->thread_id, PyExc_RuntimeError);
    bool there = AT(PyObject *, tstate, THREAD_ASYNC) == PyExc_RuntimeError;
    PyThreadState_SetAsyncExc(tstate->thread_id, NULL);
    EXPECT(THREAD_ASYNC, there && AT(PyObject *, tstate, THREAD_ASYNC) == NULL);
    return ALL_FOUND;
}

static int
look_at_runtime(const proof_t *l)
{
    PyObject *main_thread = sample(l, "main_thread");
    unsigned long id = main_thread == NULL ? 0 : PyLong_AsUnsignedLong(main_thread);
    EXPECT(RUNTIME_MAIN, AT(unsigned long, &_PyRuntime, RUNTIME_MAIN) == id);
    unsigned tripped = AT(unsigned, &_PyRuntime, RUNTIME_TRIPPED);
    EXPECT(RUNTIME_TRIPPED, tripped <= 1);
    PyObject *zero = sample(l, "zero"), *one = sample(l, "one"); /* small ints: SIG_DFL, SIG_IGN */
    EXPECT(RUNTIME_DEFAULT, AT(PyObject *, &_PyRuntime, RUNTIME_DEFAULT) == zero);
    EXPECT(RUNTIME_IGNORE, AT(PyObject *, &_PyRuntime, RUNTIME_IGNORE) == one);
    int behind_ignore = l->offset[RUNTIME_IGNORE] + (int)sizeof(PyObject *);
    EXPECT(RUNTIME_INTERRUPT, AT(int, &_PyRuntime, RUNTIME_INTERRUPT) == 0 &&
                                  l->offset[RUNTIME_INTERRUPT] == behind_ignore);
    EXPECT(RUNTIME_DEBUG_MEM, AT(char, &_PyRuntime, RUNTIME_DEBUG_MEM) == 'm');
    EXPECT(RUNTIME_DEBUG_OBJ, AT(char, &_PyRuntime, RUNTIME_DEBUG_OBJ) == 'o');
    return ALL_FOUND;
}

/* The list of a generation leads back to its head. */
static Py_ssize_t
members(const PyGC_Head *head)
{
    Py_ssize_t n = 0;
    for (const PyGC_Head *gc = head; (gc = _PyGCHead_NEXT((PyGC_Head *)gc)) != head; n++) {
    }
    return n;
}

/* The thresholds are those that gc.get_threshold() tells. After a full collection nothing that is long-lived waits for one.
 * A new container is linked at the end of the young generation, and counted. */
static int
look_at_collector(const proof_t *l)
{
    PyInterpreterState *interp = PyInterpreterState_Get();
    const char *gc = (const char *)interp + l->offset[INTERP_GC];
    PyObject *threshold = sample(l, "threshold");
    const char *generations = AT(const char *, gc, GC_GENERATION0);
    EXPECT(GC_GENERATION0,
           gc <= generations && generations < gc + sizeof(struct _gc_runtime_state));
    for (int i = 0; i < 3; i++) {
        const char *generation = generations + (size_t)i * sizeof(struct gc_generation);
        long expected = PyLong_AsLong(PyTuple_GetItem(threshold, i));
        EXPECT(GENERATION_THRESHOLD, AT(int, generation, GENERATION_THRESHOLD) == expected);
    }
    PyObject *collected = PyObject_CallNoArgs(sample(l, "collect"));
    if (collected == NULL) {
        return FAILED;
    }
    Py_DECREF(collected);
    EXPECT(GC_LONG_LIVED, AT(Py_ssize_t, gc, GC_LONG_LIVED) == 0);
    int before = AT(int, generations, GENERATION_COUNT);
#if PY_VERSION_HEX >= 0x030e0000
    Py_ssize_t size = AT(Py_ssize_t, gc, GC_SIZE);
#endif
    PyObject *cell = PyCell_New(NULL); /* has no free list */
    if (cell == NULL) {
        return FAILED;
    }
    const PyGC_Head *head = (const PyGC_Head *)generations;
    bool last = _PyGCHead_PREV((PyGC_Head *)head) == _Py_AS_GC(cell);
    bool whole = last && members(head) > 0;
    bool counted = AT(int, generations, GENERATION_COUNT) == before + 1;
#if PY_VERSION_HEX >= 0x030e0000
    bool sized = AT(Py_ssize_t, gc, GC_SIZE) == size + 1;
#endif
    Py_DECREF(cell);
    EXPECT(GC_GENERATION0, whole);
    EXPECT(GENERATION_COUNT, counted);
#if PY_VERSION_HEX >= 0x030e0000
    EXPECT(GC_SIZE, sized);
#endif
    return ALL_FOUND;
}

static int
ignore_event(PyDict_WatchEvent event, PyObject *dict, PyObject *key, PyObject *value)
{
    (void)event;
    (void)dict;
    (void)key;
    (void)value;
    return 0;
}

static int
look_at_watchers(const proof_t *l)
{
    PyObject *dict = sample(l, "watched");
    uint64_t before = AT(uint64_t, dict, DICT_WATCHERS) & DICT_WATCHER_MASK;
    int watcher = PyDict_AddWatcher(ignore_event);
    if (watcher < 0 || PyDict_Watch(watcher, dict) < 0) {
        return FAILED;
    }
    uint64_t during = AT(uint64_t, dict, DICT_WATCHERS) & DICT_WATCHER_MASK;
    if (PyDict_Unwatch(watcher, dict) < 0 || PyDict_ClearWatcher(watcher) < 0) {
        return FAILED;
    }
    EXPECT(DICT_WATCHERS, before == 0 && during == (uint64_t)1 << watcher);
    return ALL_FOUND;
}

/* A table of three keys, five places: the first value, by a kind of entries. */
static int
look_at_keys(const proof_t *l, const char *keys, int kind, size_t entry, field_t value)
{
    EXPECT(KEYS_REFS, AT(Py_ssize_t, keys, KEYS_REFS) == 1);
    EXPECT(KEYS_LOG2, AT(uint8_t, keys, KEYS_LOG2) == 3);
    EXPECT(KEYS_BYTES, AT(uint8_t, keys, KEYS_BYTES) == 3);
    EXPECT(KEYS_KIND, AT(uint8_t, keys, KEYS_KIND) == kind);
    EXPECT(KEYS_USABLE, AT(Py_ssize_t, keys, KEYS_USABLE) == 2);
    EXPECT(KEYS_ENTRIES, AT(Py_ssize_t, keys, KEYS_ENTRIES) == 3);
    const char *indices = keys + l->offset[KEYS_INDICES];
    int count[4] = {0}; /* of -1, which is empty, 0, 1, 2 */
    for (int i = 0; i < 8; i++) {
        EXPECT(KEYS_INDICES, -1 <= (int8_t)indices[i] && (int8_t)indices[i] <= 2);
        count[(int8_t)indices[i] + 1]++;
    }
    EXPECT(KEYS_INDICES, count[0] == 5 && count[1] == 1 && count[2] == 1 && count[3] == 1);
    for (int i = 0; i < 3; i++) {
        PyObject *o = AT(PyObject *, indices + 8 + (size_t)i * entry, value);
        EXPECT(value, o == PyList_GetItem(sample(l, "three"), i));
    }
    return ALL_FOUND;
}

static int
look_at_dicts(const proof_t *l)
{
    PyObject *named = sample(l, "named"), *hashed = sample(l, "hashed");
    EXPECT(DICT_USED, AT(Py_ssize_t, named, DICT_USED) == 3);
    int found = look_at_keys(l, AT(char *, named, DICT_KEYS), DICT_KEYS_UNICODE,
                             sizeof(PyDictUnicodeEntry), ENTRY_VALUE);
    if (found != ALL_FOUND) {
        return found;
    }
    found = look_at_keys(l, AT(char *, hashed, DICT_KEYS), DICT_KEYS_GENERAL,
                         sizeof(PyDictKeyEntry), HASHED_VALUE);
    return found != ALL_FOUND ? found : look_at_watchers(l);
}

static int
look_at_instances(const proof_t *l)
{
    PyObject *o = sample(l, "instance");
    PyTypeObject *type = Py_TYPE(o), *made_in_c = (PyTypeObject *)sample(l, "made_in_c");
    EXPECT(CLASS_NAME, AT(char *, type, CLASS_NAME) == NULL &&
                           AT(char *, made_in_c, CLASS_NAME) != NULL &&
                           AT(char *, made_in_c, CLASS_NAME) == made_in_c->tp_name);
    const char *keys = AT(char *, type, CLASS_KEYS);
    EXPECT(CLASS_KEYS, keys != NULL && AT(uint8_t, keys, KEYS_KIND) == DICT_KEYS_SPLIT &&
                           AT(Py_ssize_t, keys, KEYS_ENTRIES) == 3);
    const char *values = (const char *)o + type->tp_basicsize;
    static const struct {
        field_t field;
        uint8_t value;
    } heads[] = {{VALUES_SIZE, 3}, {VALUES_EMBEDDED, 1}, {VALUES_VALID, 1}};
    for (size_t i = 0; i < Py_ARRAY_LENGTH(heads); i++) {
        field_t field = heads[i].field;
        EXPECT(field, l->offset[field] < l->offset[VALUES_VALUES] &&
                          AT(uint8_t, values, field) == heads[i].value);
    }
    for (int i = 0; i < 3; i++) {
        PyObject *const *first = (PyObject *const *)(values + l->offset[VALUES_VALUES]);
        EXPECT(VALUES_VALUES, first[i] == PyList_GetItem(sample(l, "three"), i));
    }
    return ALL_FOUND;
}

static int
look_at_others(const proof_t *l)
{
    PyObject *bytes = sample(l, "bytes"), *view = PyMemoryView_FromObject(bytes);
    if (view == NULL) {
        return FAILED;
    }
    Py_ssize_t exports = AT(Py_ssize_t, bytes, BYTEARRAY_EXPORTS);
    Py_DECREF(view);
    EXPECT(BYTEARRAY_EXPORTS, exports == 1 && AT(Py_ssize_t, bytes, BYTEARRAY_EXPORTS) == 0);
    EXPECT(BYTEARRAY_BYTES, AT(char *, bytes, BYTEARRAY_BYTES) + 2 == PyByteArray_AS_STRING(bytes));
    Py_ssize_t alloc = AT(Py_ssize_t, bytes, BYTEARRAY_ALLOC);
    EXPECT(BYTEARRAY_ALLOC, alloc >= PyByteArray_GET_SIZE(bytes) && alloc < 1000);
    EXPECT(WEAKREF_OBJECT,
           AT(PyObject *, sample(l, "reference"), WEAKREF_OBJECT) == sample(l, "instance"));
    PyObject *code = sample(l, "code"); /* four locals and a free variable */
    EXPECT(CODE_LOCALS, AT(int, code, CODE_LOCALS) == 5);
    EXPECT(CODE_STACK, AT(int, code, CODE_STACK) == PyLong_AsLong(sample(l, "stack")));
    PyObject *letter = sample(l, "letter"), *interned = sample(l, "interned"),
             *fresh = sample(l, "fresh");
    EXPECT(STR_STATE, ot_str_static(letter) && ot_str_interned(interned) &&
                          !ot_str_static(interned) && !ot_str_interned(fresh) &&
                          !ot_str_static(fresh));
#if PY_VERSION_HEX >= 0x030e0000
    PyObject *tuple = sample(l, "tuple");
    EXPECT(TUPLE_HASH, AT(Py_hash_t, tuple, TUPLE_HASH) == PyObject_Hash(tuple));
#endif
    return ALL_FOUND;
}

static int
look_at_opcodes(const proof_t *l)
{
    PyObject *opcodes = sample(l, "opcodes");
#define OPCODE(name)                                                                               \
    {                                                                                              \
        PyObject *number = PyDict_GetItemString(opcodes, #name);                                   \
        EXPECT(OPCODE_##name,                                                                      \
               number != NULL && PyLong_AsLong(number) == l->offset[OPCODE_##name]);               \
    }
    OT_OPCODES(OPCODE)
#undef OPCODE
    return ALL_FOUND;
}

/* ---- the whole ----------------------------------------------------------------------------------- */

static const char make_samples[] =
    "import _thread, gc, sys, _weakref, _opcode_metadata\n"
    "class C:\n"
    "    pass\n"
    "three = [0.25, 0.75, 1.25]\n"
    "instance = C()\n"
    "instance.first, instance.second, instance.third = three\n"
    "reference = _weakref.ref(instance)\n"
    "named = {'first': three[0], 'second': three[1], 'third': three[2]}\n"
    "hashed = {1.5: three[0], 2.5: three[1], 3.5: three[2]}\n"
    "watched = {1: 2}\n"
    "made_in_c = _thread.RLock\n"
    "bytes = bytearray(b'..some bytes')\n"
    "del bytes[:2]\n"
    "tuple = (*three, 'x')\n"
    "hash(tuple)\n"
    "code = (lambda e: lambda a, b, c, d: (a, b, c, d, e, a, b, c, d))(1).__code__\n"
    "stack = code.co_stacksize\n"
    "opcodes = {**_opcode_metadata.opmap, **_opcode_metadata._specialized_opmap}\n"
    "zero, one = 0, 1\n"
    "letter, fresh, interned = 'x', 'a b' * len(three), sys.intern('odd name ' * len(three))\n"
    "main_thread = _thread._get_main_thread_ident()\n"
    "collect, threshold = gc.collect, gc.get_threshold()\n";

static int
look_at_all(const proof_t *l)
{
    static int (*const looks[])(const proof_t *) = {
        look_at_what_is_told, look_at_threads,   look_at_runtime, look_at_collector,
        look_at_dicts,        look_at_instances, look_at_others,  look_at_opcodes,
    };
    int found = ALL_FOUND;
    for (size_t i = 0; found == ALL_FOUND && i < Py_ARRAY_LENGTH(looks); i++) {
        found = looks[i](l);
        if (found == ALL_FOUND && PyErr_Occurred()) {
            found = FAILED;
        }
    }
    return found;
}

int
ot_layouts_prove(int false_field, int by)
{
    proof_t l = {.samples = PyDict_New()};
    for (int i = 0; i < FIELDS; i++) {
        l.offset[i] = compiled[i].offset + (i == false_field ? by : 0);
    }
    if (l.samples == NULL ||
        PyDict_SetItemString(l.samples, "__builtins__", PyEval_GetBuiltins()) < 0) {
        Py_XDECREF(l.samples);
        return FAILED;
    }
    PyObject *done = PyRun_String(make_samples, Py_file_input, l.samples, l.samples);
    int found = done == NULL ? FAILED : look_at_all(&l);
    Py_XDECREF(done);
    Py_DECREF(l.samples);
    return found;
}

/* ---- at import ----------------------------------------------------------------------------------- */

static int
refuse(const char *why, const char *what)
{
    PyErr_Format(
        PyExc_ImportError,
        "objtunnel was built for Python %s and knows the object layouts of that version; this is %s%s%s. "
        "Build it again with this Python (make, or pip install --force-reinstall --no-binary "
        "objtunnel objtunnel)",
        PY_VERSION, Py_GetVersion(), why, what);
    return -1;
}

int
ot_py_check_version(void)
{
    if ((PySys_GetObject("gettotalrefcount") != NULL) != OT_PY_DEBUG) {
        PyErr_Format(
            PyExc_ImportError,
            "objtunnel was built for a %s build of Python and knows the object layouts of that "
            "only; this is %s. Build it again with this Python and its headers",
            OT_PY_DEBUG ? "debug" : "release", OT_PY_DEBUG ? "none" : "a debug build");
        return -1;
    }
    if (Py_Version >> 16 != PY_VERSION_HEX >> 16) {
        return refuse("", "");
    }
    if (Py_Version >> 8 == PY_VERSION_HEX >> 8) {
        return 0;
    }
    int field = ot_layouts_prove(-1, 0);
    if (field == FAILED) {
        return -1;
    }
    return field == ALL_FOUND ? 0 : refuse(", which differs in ", compiled[field].name);
}
