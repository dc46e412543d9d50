/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/hash.h"

#include <sys/random.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/check.h"

uint64_t hash64(struct slice s, uint64_t seed)
{
    return XXH3_64bits_withSeed(s.p ? s.p : "", s.n, seed);
}

void random_bytes(void *out, unsigned long n)
{
    /* Up to 256 bytes getrandom returns whole once the pool is up. */
    CHECK(n <= 256);
    CHECK(getrandom(out, n, 0) == (ssize_t)n);
}
