/* SPDX-License-Identifier: BSD-2-Clause */
#include "boxoffice/core/code.h"

#include "base/hash.h"

#define HALF_BITS 20u
#define HALF_MASK ((UINT64_C(1) << HALF_BITS) - 1)

static const char alphabet[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

void code_key_init(struct code_key *k, const unsigned char secret[16])
{
    uint64_t half[2];

    memcpy(half, secret, sizeof half);
    for (unsigned i = 0; i < CODE_ROUNDS; i++)
        k->round[i] = hash_mix(half[0] + i) ^ hash_mix(half[1] ^ hash_mix(i + 1));
}

static uint64_t mix(uint64_t half, uint64_t key)
{
    return hash_mix((half + 1) * UINT64_C(0x9e3779b97f4a7c15) ^ key) & HALF_MASK;
}

uint64_t code_permute(const struct code_key *k, uint64_t id)
{
    uint64_t left = id >> HALF_BITS & HALF_MASK, right = id & HALF_MASK;

    for (unsigned i = 0; i < CODE_ROUNDS; i++) {
        uint64_t was = right;
        right = left ^ mix(right, k->round[i]);
        left = was;
    }
    return left << HALF_BITS | right;
}

uint64_t code_invert(const struct code_key *k, uint64_t v)
{
    uint64_t left = v >> HALF_BITS & HALF_MASK, right = v & HALF_MASK;

    for (unsigned i = CODE_ROUNDS; i-- > 0;) {
        uint64_t was = left;
        left = right ^ mix(left, k->round[i]);
        right = was;
    }
    return left << HALF_BITS | right;
}

void code_write(const struct code_key *k, uint64_t id, char out[CODE_LEN + 1])
{
    uint64_t v = code_permute(k, id);

    for (unsigned i = CODE_LEN; i-- > 0; v >>= 5)
        out[i] = alphabet[v & 31];
    out[CODE_LEN] = '\0';
}

static int digit(char c)
{
    const char *at;

    if (c >= 'a' && c <= 'z')
        c = (char)(c - 'a' + 'A');
    if (c == 'O')
        return 0;
    if (c == 'I' || c == 'L')
        return 1;
    at = c == '\0' ? NULL : strchr(alphabet, c);
    return at == NULL ? -1 : (int)(at - alphabet);
}

bool code_read(const struct code_key *k, struct slice s, uint64_t *id)
{
    uint64_t v = 0;

    if (s.n != CODE_LEN)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        int d = digit(s.p[i]);
        if (d < 0)
            return false;
        v = v << 5 | (uint64_t)d;
    }
    *id = code_invert(k, v);
    return true;
}
