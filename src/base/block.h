/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sixteen bytes at a time: a comparison of all of them gives a word with a bit a byte, lowest
 * first. The comparisons are the compiler's vectors; only to gather the bits SSE2 has an
 * instruction, and other machines do it byte by byte.
 */
#ifndef BASE_BLOCK_H
#define BASE_BLOCK_H

#include <stdint.h>
#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#define BLOCK_BYTES 16u

typedef uint8_t block __attribute__((vector_size(BLOCK_BYTES)));
/* What a comparison gives: -1 where it holds, else 0. */
typedef int8_t block_flags __attribute__((vector_size(BLOCK_BYTES)));

static inline block block_load(const char *p)
{
    block b;

    memcpy(&b, p, sizeof b);
    return b;
}

static inline unsigned block_bits_portable(block_flags f)
{
    unsigned bits = 0;

    for (unsigned i = 0; i < BLOCK_BYTES; i++)
        bits |= (unsigned)(f[i] & 1) << i;
    return bits;
}

static inline unsigned block_bits(block_flags f)
{
#ifdef __SSE2__
    return (unsigned)_mm_movemask_epi8((__m128i)f);
#else
    return block_bits_portable(f);
#endif
}

/* Bytes from low to high, both at most 0x7f. */
static inline block_flags block_within(block b, uint8_t low, uint8_t high)
{
    /* Signed, as SSE2 compares; what is above 0x7f is negative and in no such range. */
    block_flags s = (block_flags)b;

    return (s >= (int8_t)low) & (s <= (int8_t)high);
}

static inline block_flags block_equal(block b, uint8_t c)
{
    return (block_flags)(b == c);
}

#endif
