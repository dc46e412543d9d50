/* SPDX-License-Identifier: BSD-2-Clause */
/* 64-bit hashing by xxHash (XXH3). Not for secrets: keyed only against accidental clustering. */
#ifndef BASE_HASH_H
#define BASE_HASH_H

#include <stdint.h>

#include "base/slice.h"

uint64_t hash64(struct slice s, uint64_t seed);

/* Finalizer of splitmix64 (Steele, Lea, Flood 2014): spreads an integer over 64 bits. */
static inline uint64_t hash_mix(uint64_t x)
{
    x ^= x >> 30;
    x *= UINT64_C(0xbf58476d1ce4e5b9);
    x ^= x >> 27;
    x *= UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

/* splitmix64: *state advances; a fast source of bits that are not secret (jitter, balancing). */
static inline uint64_t random_next(uint64_t *state)
{
    return hash_mix(*state += UINT64_C(0x9e3779b97f4a7c15));
}

/* n bytes from the kernel, for ids and secrets. */
void random_bytes(void *out, unsigned long n);

#endif
