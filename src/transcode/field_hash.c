/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What an encoded message has for some of its fields, as one hash. By what the transcoder wrote and
 * the service will read, so nobody can disagree about what a body said.
 */
#include "base/hash.h"
#include "transcode/schema.h"
#include "transcode/wire.h"

/* Chains all occurrences of one field, tags included. */
static bool hash_field(struct slice message, uint32_t wanted, uint64_t *hash)
{
    struct wire w = wire_of(message);

    while (w.p < w.end) {
        const char *start = (const char *)w.p;
        uint32_t number;
        unsigned type;
        if (!wire_tag(&w, &number, &type) || !wire_skip(&w, number, type))
            return false;
        if (number == wanted)
            *hash = hash64(slice_of(start, (size_t)((const char *)w.p - start)), *hash);
    }
    return true;
}

bool schema_hash_fields(struct slice message, const uint32_t *numbers, unsigned n, uint64_t seed,
                        uint64_t *out)
{
    uint64_t hash = seed;

    for (unsigned i = 0; i < n; i++) {
        if (!hash_field(message, numbers[i], &hash))
            return false;
        hash = hash_mix(hash + i + 1);
    }
    *out = hash;
    return true;
}
