/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * SipHash-2-4 with 128 bits of output (Aumasson and Bernstein, 2012). Keyed and cryptographic: who
 * does not know the key cannot make two inputs meet. Where 16 bytes stand for a text, this is why
 * they may.
 */
#ifndef BOXOFFICE_CORE_SIPHASH_H
#define BOXOFFICE_CORE_SIPHASH_H

#include <stddef.h>
#include <stdint.h>

struct digest {
    uint64_t lo, hi;
};

struct digest siphash128(const uint64_t key[2], const void *data, size_t n);

#endif
