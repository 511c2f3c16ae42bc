/* siphash.h: SipHash (Aumasson and Bernstein 2012), a hash that nobody can foretell without its key.
 *
 * Purpose: keys of a LockingDict may be chosen by strangers; a table whose hash is known can be made a
 * list by choosing them. C rounds a word and D at the end: 2 and 4 are what the paper proposes, 1 and
 * 3 what hash tables use (CPython's, Rust's, Ruby's).
 * Main invariant: equal bytes and keys, equal hashes; the published values of SipHash-2-4.
 * Threading: pure functions.
 *
 * Words are read in the machine's order, which is to be little-endian.
 */
#ifndef OT_OBJECTS_SIPHASH_H
#define OT_OBJECTS_SIPHASH_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "SipHash reads little-endian words");

typedef struct {
    uint64_t k0, k1;
} ot_sip_key_t;

static inline uint64_t
ot_sip_turn(uint64_t x, int bits)
{
    return x << bits | x >> (64 - bits);
}

static inline __attribute__((always_inline)) void
ot_sip_rounds(uint64_t v[4], int n)
{
    for (int i = 0; i < n; i++) {
        v[0] += v[1];
        v[2] += v[3];
        v[1] = ot_sip_turn(v[1], 13) ^ v[0];
        v[3] = ot_sip_turn(v[3], 16) ^ v[2];
        v[0] = ot_sip_turn(v[0], 32);
        v[2] += v[1];
        v[0] += v[3];
        v[1] = ot_sip_turn(v[1], 17) ^ v[2];
        v[3] = ot_sip_turn(v[3], 21) ^ v[0];
        v[2] = ot_sip_turn(v[2], 32);
    }
}

static inline __attribute__((always_inline)) void
ot_sip_word(uint64_t v[4], uint64_t word, int c)
{
    v[3] ^= word;
    ot_sip_rounds(v, c);
    v[0] ^= word;
}

/* With constants c, d (and len, of numbers) the compiler makes of it what is needed. */
static inline __attribute__((always_inline)) uint64_t
ot_siphash(ot_sip_key_t key, const void *bytes, size_t len, int c, int d)
{
    const char *p = bytes;
    uint64_t v[4] = {key.k0 ^ 0x736f6d6570736575u, key.k1 ^ 0x646f72616e646f6du,
                     key.k0 ^ 0x6c7967656e657261u, key.k1 ^ 0x7465646279746573u};
    uint64_t last = (uint64_t)len << 56, word;
    for (; len >= sizeof word; len -= sizeof word, p += sizeof word) {
        memcpy(&word, p, sizeof word);
        ot_sip_word(v, word, c);
    }
    word = 0;
    memcpy(&word, p, len);
    ot_sip_word(v, last | word, c);
    v[2] ^= 0xff;
    ot_sip_rounds(v, d);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

static inline uint64_t
ot_siphash13(ot_sip_key_t key, const void *bytes, size_t len)
{
    return ot_siphash(key, bytes, len, 1, 3);
}

#endif
