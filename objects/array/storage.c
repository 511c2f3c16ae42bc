/* storage.c: see storage.h.
 *
 * Main invariant: an element is only touched as one naturally aligned unsigned integer of its size,
 * by an atomic operation; what type of number it is matters to nobody but widen and narrow.
 */
#include "objects/array/storage.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "atomics/cpu.h"

#define INTEGER(code, type)                                                                        \
    {                                                                                              \
        code, sizeof(type), (type)-1 < (type)1, false                                              \
    }
#define FLOAT(code, type)                                                                          \
    {                                                                                              \
        code, sizeof(type), true, true                                                             \
    }

static const ot_number_type_t types[] = {
    INTEGER("b", signed char), INTEGER("B", unsigned char),
    INTEGER("h", short),       INTEGER("H", unsigned short),
    INTEGER("i", int),         INTEGER("I", unsigned),
    INTEGER("l", long),        INTEGER("L", unsigned long),
    INTEGER("q", long long),   INTEGER("Q", unsigned long long),
    FLOAT("f", float),         FLOAT("d", double),
};

const ot_number_type_t *
ot_number_type(int code)
{
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        if (types[i].code[0] == code) {
            return &types[i];
        }
    }
    return NULL;
}

/* ---- memory --------------------------------------------------------------------------------- */

static void
numbers_free(ot_shared_t *self)
{
    ot_numbers_t *numbers = (ot_numbers_t *)self;
    if (numbers->mapped > 0) {
        munmap(numbers->data, numbers->mapped);
    } else {
        free(numbers->data);
    }
    free(numbers->file);
    free(numbers);
}

/* After fork() the child has its own copy of what is not in a file. */
const ot_shared_kind_t ot_numbers_kind = {"SharedArray", numbers_free, NULL, NULL};

/* From here on the pages that nobody touches cost nothing. */
enum { MAP_FROM = 1 << 18 };

static char *
zeros(size_t bytes, size_t *mapped)
{
    if (bytes >= MAP_FROM) {
        char *data = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        *mapped = data == MAP_FAILED ? 0 : bytes;
        return data == MAP_FAILED ? NULL : data;
    }
    size_t rounded = (bytes + OT_CACHE_LINE) / OT_CACHE_LINE * OT_CACHE_LINE; /* never 0 */
    char *data = aligned_alloc(OT_CACHE_LINE, rounded);
    *mapped = 0;
    return data == NULL ? NULL : memset(data, 0, rounded);
}

ot_numbers_t *
ot_numbers_new(const ot_number_type_t *type, size_t count)
{
    ot_numbers_t *numbers = calloc(1, sizeof *numbers);
    if (numbers == NULL || count > PTRDIFF_MAX / type->size) {
        free(numbers);
        return NULL;
    }
    numbers->type = type;
    numbers->count = count;
    numbers->data = zeros(count * type->size, &numbers->mapped);
    if (numbers->data == NULL) {
        free(numbers);
        return NULL;
    }
    ot_shared_init(&numbers->head, &ot_numbers_kind);
    return numbers;
}

/* Makes the file fit, or `count` the file. */
static ot_numbers_result_t
agree_on_size(int fd, size_t size, size_t *count)
{
    struct stat status;
    if (fstat(fd, &status) < 0) {
        return OT_NUMBERS_ERRNO;
    }
    size_t there = (size_t)status.st_size;
    if (*count == SIZE_MAX) {
        *count = there / size;
        return there % size != 0 || there == 0 ? OT_NUMBERS_WRONG_SIZE : OT_NUMBERS_OK;
    }
    if (*count == 0 || *count > PTRDIFF_MAX / size) {
        return OT_NUMBERS_WRONG_SIZE;
    }
    if (there == 0) {
        return ftruncate(fd, (off_t)(*count * size)) < 0 ? OT_NUMBERS_ERRNO : OT_NUMBERS_OK;
    }
    return there == *count * size ? OT_NUMBERS_OK : OT_NUMBERS_WRONG_SIZE;
}

ot_numbers_result_t
ot_numbers_open(const ot_number_type_t *type, const char *path, size_t count, ot_numbers_t **result)
{
    ot_numbers_t *numbers = calloc(1, sizeof *numbers);
    char *file = strdup(path);
    ot_numbers_result_t rc = OT_NUMBERS_ERRNO;
    int create = count == SIZE_MAX ? 0 : O_CREAT;
    int fd = numbers == NULL || file == NULL ? -1 : open(path, O_RDWR | O_CLOEXEC | create, 0666);
    if (fd >= 0 && (rc = agree_on_size(fd, type->size, &count)) == OT_NUMBERS_OK) {
        char *data = mmap(NULL, count * type->size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (data == MAP_FAILED) {
            rc = OT_NUMBERS_ERRNO;
        } else {
            *numbers = (ot_numbers_t){.type = type,
                                      .data = data,
                                      .count = count,
                                      .mapped = count * type->size,
                                      .file = file};
            ot_shared_init(&numbers->head, &ot_numbers_kind);
            *result = numbers;
        }
    }
    int error = errno;
    if (fd >= 0) {
        close(fd); /* the mapping keeps the file */
    }
    if (rc != OT_NUMBERS_OK) {
        free(file);
        free(numbers);
    }
    errno = error;
    return rc;
}

int
ot_numbers_flush(ot_numbers_t *numbers)
{
    return numbers->file == NULL ? 0 : msync(numbers->data, numbers->mapped, MS_SYNC);
}

/* ---- elements as bits ------------------------------------------------------------------------ */

static uint64_t
bits_load(unsigned size, const char *at)
{
    switch (size) {
    case 1:
        return __atomic_load_n((const uint8_t *)at, __ATOMIC_ACQUIRE);
    case 2:
        return __atomic_load_n((const uint16_t *)at, __ATOMIC_ACQUIRE);
    case 4:
        return __atomic_load_n((const uint32_t *)at, __ATOMIC_ACQUIRE);
    default:
        return __atomic_load_n((const uint64_t *)at, __ATOMIC_ACQUIRE);
    }
}

static void
bits_store(unsigned size, char *at, uint64_t bits)
{
    switch (size) {
    case 1:
        __atomic_store_n((uint8_t *)at, (uint8_t)bits, __ATOMIC_RELEASE);
        break;
    case 2:
        __atomic_store_n((uint16_t *)at, (uint16_t)bits, __ATOMIC_RELEASE);
        break;
    case 4:
        __atomic_store_n((uint32_t *)at, (uint32_t)bits, __ATOMIC_RELEASE);
        break;
    default:
        __atomic_store_n((uint64_t *)at, bits, __ATOMIC_RELEASE);
    }
}

#define COMPARE_EXCHANGE(type)                                                                     \
    __atomic_compare_exchange_n((type *)at, &(type){(type)expected}, (type)bits, false,            \
                                __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)

static bool
bits_compare_exchange(unsigned size, char *at, uint64_t expected, uint64_t bits)
{
    switch (size) {
    case 1:
        return COMPARE_EXCHANGE(uint8_t);
    case 2:
        return COMPARE_EXCHANGE(uint16_t);
    case 4:
        return COMPARE_EXCHANGE(uint32_t);
    default:
        return COMPARE_EXCHANGE(uint64_t);
    }
}

/* ---- integers -------------------------------------------------------------------------------- */

static ot_wide_t
widen(const ot_number_type_t *type, uint64_t bits)
{
    unsigned unused = 64 - 8u * type->size;
    return type->is_signed ? (ot_wide_t)((int64_t)(bits << unused) >> unused) : (ot_wide_t)bits;
}

bool
ot_integer_fits(const ot_number_type_t *type, ot_wide_t value)
{
    ot_wide_t span = (ot_wide_t)1 << (8 * type->size);
    ot_wide_t least = type->is_signed ? -(span / 2) : 0;
    return value >= least && value < least + span;
}

ot_wide_t
ot_integer_load(const ot_number_type_t *type, const char *at)
{
    return widen(type, bits_load(type->size, at));
}

bool
ot_integer_store(const ot_number_type_t *type, char *at, ot_wide_t value)
{
    if (!ot_integer_fits(type, value)) {
        return false;
    }
    bits_store(type->size, at, (uint64_t)value);
    return true;
}

/* A loop, though processors can add at once: they would wrap around. */
bool
ot_integer_add(const ot_number_type_t *type, char *at, ot_wide_t n, ot_wide_t *before)
{
    for (;;) {
        uint64_t bits = bits_load(type->size, at);
        *before = widen(type, bits);
        if (!ot_integer_fits(type, *before + n)) {
            return false;
        }
        if (bits_compare_exchange(type->size, at, bits, (uint64_t)(*before + n))) {
            return true;
        }
    }
}

bool
ot_integer_exchange(const ot_number_type_t *type, char *at, ot_wide_t value, ot_wide_t *before)
{
    uint64_t bits;
    if (!ot_integer_fits(type, value)) {
        return false;
    }
    do {
        bits = bits_load(type->size, at);
    } while (!bits_compare_exchange(type->size, at, bits, (uint64_t)value));
    *before = widen(type, bits);
    return true;
}

bool
ot_integer_compare_exchange(const ot_number_type_t *type, char *at, ot_wide_t expected,
                            ot_wide_t value)
{
    return ot_integer_fits(type, expected) && ot_integer_fits(type, value) &&
           bits_compare_exchange(type->size, at, (uint64_t)expected, (uint64_t)value);
}

/* ---- floats ---------------------------------------------------------------------------------- */

double
ot_float_load(const ot_number_type_t *type, const char *at)
{
    uint64_t bits = bits_load(type->size, at);
    uint32_t low = (uint32_t)bits;
    double d;
    float f;
    if (type->size == sizeof f) {
        memcpy(&f, &low, sizeof f);
        return (double)f;
    }
    memcpy(&d, &bits, sizeof d);
    return d;
}

void
ot_float_store(const ot_number_type_t *type, char *at, double value)
{
    uint64_t bits = 0;
    uint32_t low;
    float f = (float)value;
    if (type->size == sizeof f) {
        memcpy(&low, &f, sizeof f);
        bits = low;
    } else {
        memcpy(&bits, &value, sizeof value);
    }
    bits_store(type->size, at, bits);
}
