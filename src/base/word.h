/* SPDX-License-Identifier: BSD-2-Clause */
/* A word that another process writes: a counter, a figure, a time. Nothing is read because of its
 * value; where something is, the load says so itself, with its order. */
#ifndef BASE_WORD_H
#define BASE_WORD_H

#include <stdatomic.h>
#include <stdint.h>

static inline uint64_t word_read(const _Atomic uint64_t *word)
{
    return atomic_load_explicit(word, memory_order_relaxed);
}

#endif
