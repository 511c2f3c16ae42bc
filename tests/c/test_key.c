/* test_key.c: the hashes of a LockingDict's keys. */
#include "support.h"

#include "objects/dict/key.h"

static void
start(void)
{
    python_start();
    python_run("import _imp, objtunnel");
}

TestSuite(key, .init = start, .fini = python_finish, .timeout = 60);

/* From the appendix of SipHash's paper and its authors' list: key 00 01 .. 0f, input 00 01 .. n-1. */
Test(key, siphash24_gives_the_published_values)
{
    static const unsigned char expected[16][8] = {
        {0x31, 0x0e, 0x0e, 0xdd, 0x47, 0xdb, 0x6f, 0x72},
        {0xfd, 0x67, 0xdc, 0x93, 0xc5, 0x39, 0xf8, 0x74},
        {0x5a, 0x4f, 0xa9, 0xd9, 0x09, 0x80, 0x6c, 0x0d},
        {0x2d, 0x7e, 0xfb, 0xd7, 0x96, 0x66, 0x67, 0x85},
        {0xb7, 0x87, 0x71, 0x27, 0xe0, 0x94, 0x27, 0xcf},
        {0x8d, 0xa6, 0x99, 0xcd, 0x64, 0x55, 0x76, 0x18},
        {0xce, 0xe3, 0xfe, 0x58, 0x6e, 0x46, 0xc9, 0xcb},
        {0x37, 0xd1, 0x01, 0x8b, 0xf5, 0x00, 0x02, 0xab},
        {0x62, 0x24, 0x93, 0x9a, 0x79, 0xf5, 0xf5, 0x93},
        {0xb0, 0xe4, 0xa9, 0x0b, 0xdf, 0x82, 0x00, 0x9e},
        {0xf3, 0xb9, 0xdd, 0x94, 0xc5, 0xbb, 0x5d, 0x7a},
        {0xa7, 0xad, 0x6b, 0x22, 0x46, 0x2f, 0xb3, 0xf4},
        {0xfb, 0xe5, 0x0e, 0x86, 0xbc, 0x8f, 0x1e, 0x75},
        {0x90, 0x3d, 0x84, 0xc0, 0x27, 0x56, 0xea, 0x14},
        {0xee, 0xf2, 0x7a, 0x8e, 0x90, 0xca, 0x23, 0xf7},
        {0xe5, 0x45, 0xbe, 0x49, 0x61, 0xca, 0x29, 0xa1},
    };
    unsigned char bytes[16];
    for (int i = 0; i < 16; i++) {
        bytes[i] = (unsigned char)i;
    }
    ot_sip_key_t key;
    memcpy(&key, bytes, sizeof key);
    for (size_t n = 0; n < 16; n++) {
        uint64_t hash = ot_siphash(key, bytes, n, 2, 4);
        cr_assert_arr_eq((unsigned char *)&hash, expected[n], 8);
    }
}

/* CPython has the same function, with half a key, for the hashes in .pyc files. */
Test(key, siphash13_is_cpythons)
{
    char bytes[100];
    for (size_t n = 0; n < sizeof bytes; n++) {
        bytes[n] = (char)(3 * n);
        PyObject *source = PyBytes_FromStringAndSize(bytes, (Py_ssize_t)n);
        PyObject *imp = PyImport_ImportModule("_imp");
        PyObject *theirs =
            PyObject_CallMethod(imp, "source_hash", "KO", 0x0123456789abcdefULL, source);
        cr_assert_not_null(theirs);
        uint64_t ours = ot_siphash13((ot_sip_key_t){0x0123456789abcdefULL, 0}, bytes, n);
        cr_assert_arr_eq(PyBytes_AS_STRING(theirs), (char *)&ours, 8);
        Py_DECREF(theirs);
        Py_DECREF(imp);
        Py_DECREF(source);
    }
}

static uint64_t
hash_of(const char *expression)
{
    ot_pykey_t k;
    PyObject *o = python_eval(expression);
    CHECK(ot_pykey_make(&k, o) == 0);
    uint64_t hash = k.key.hash;
    ot_pykey_clear(&k);
    Py_DECREF(o);
    return hash;
}

Test(key, equal_keys_have_equal_hashes)
{
    static const char *const equal[][2] = {
        {"1", "1.0"},
        {"1", "True"},
        {"0.0", "-0.0"},
        {"2**64", "2.0**64"},
        {"(1, 'a')", "(True, 'a')"},
        {"((0,), b'x')", "((-0.0,), b'x')"},
        {"float('nan')", "-float('nan')"},
    };
    for (size_t i = 0; i < sizeof equal / sizeof *equal; i++) {
        cr_assert_eq(hash_of(equal[i][0]), hash_of(equal[i][1]), "%s", equal[i][0]);
    }
}

/* Ints that PyObject_Hash has all as 0 or 1, and more: no two have the same hash, nor, by and large,
 * the same low bits, which choose the entrance. */
Test(key, chosen_numbers_do_not_meet)
{
    static const char *const chosen[] = {"%d * (2**61 - 1)", "2**200 + %d * (2**61 - 1)",
                                         "%d << 40", "(%d << 32, None)", "%d * 2.0**-50"};
    for (size_t way = 0; way < sizeof chosen / sizeof *chosen; way++) {
        static int met[256];
        memset(met, 0, sizeof met);
        for (int i = 1; i <= 1024; i++) {
            char expression[64];
            snprintf(expression, sizeof expression, chosen[way], i);
            int n = ++met[hash_of(expression) % 256];
            cr_assert_lt(n, 24, "%s",
                         chosen[way]); /* 4 are expected; 24: never in a thousand years */
        }
    }
}
