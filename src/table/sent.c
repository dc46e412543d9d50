/* SPDX-License-Identifier: BSD-2-Clause */
/* The drawing and the rules are in sent.h. */
#include "table/sent.h"

#include "base/check.h"
#include "base/hash.h"

size_t sent_zone_size(uint32_t word_bits)
{
    return sizeof(struct sent_zone) + (sizeof(uint64_t) << (word_bits + 1));
}

void sent_zone_init(struct sent_zone *z, uint32_t word_bits, uint64_t seed, uint64_t period_ns,
                    uint64_t now_ns)
{
    CHECK(word_bits >= 1 && word_bits <= 28 && period_ns > 0);
    z->seed = seed;
    z->since_ns = now_ns;
    z->period_ns = period_ns;
    z->word_bits = word_bits;
}

/* From 1 on: a word that was never written belongs to none. */
static uint32_t epoch_at(const struct sent_zone *z, uint64_t now_ns)
{
    return now_ns <= z->since_ns ? 1 : 1 + (uint32_t)((now_ns - z->since_ns) / z->period_ns);
}

/* Three bits of the filter. */
static uint64_t bits_of(uint64_t hash)
{
    return UINT64_C(1) << (hash & 31) | UINT64_C(1) << (hash >> 5 & 31) |
           UINT64_C(1) << (hash >> 10 & 31);
}

static _Atomic uint64_t *word_at(const struct sent_zone *z, uint64_t hash, uint32_t epoch)
{
    uint64_t i = hash >> (64 - z->word_bits) << 1 | (epoch & 1);

    return (_Atomic uint64_t *)&z->word[i];
}

uint64_t sent_hash(const struct sent_zone *z, struct slice key)
{
    uint64_t hash = hash64(key, z->seed);

    __builtin_prefetch((const void *)word_at(z, hash, 0), 1);
    return hash;
}

/*
 * Release, pairs with the acquire in sent_has. What must be in order is the bit and the call: the
 * call leaves by a system call after this, and whoever asks again does so because of what became of
 * that call. Both find the bit through the kernel's own ordering; release and acquire say so.
 */
void sent_add(struct sent_zone *z, uint64_t hash, uint64_t now_ns)
{
    uint64_t bits = bits_of(hash), seen;
    uint32_t epoch = epoch_at(z, now_ns);
    _Atomic uint64_t *word = word_at(z, hash, epoch);

    seen = atomic_load_explicit(word, memory_order_acquire);
    while ((uint32_t)(seen >> 32) < epoch)
        if (atomic_compare_exchange_weak_explicit(word, &seen, (uint64_t)epoch << 32 | bits,
                                                  memory_order_release, memory_order_acquire))
            return;
    /* This epoch's or a newer one's: it only ever gets newer. */
    if ((seen & bits) != bits)
        atomic_fetch_or_explicit(word, bits, memory_order_release);
}

bool sent_has(const struct sent_zone *z, uint64_t hash, uint64_t now_ns)
{
    uint64_t bits = bits_of(hash);
    uint32_t epoch = epoch_at(z, now_ns);

    for (uint32_t e = epoch - 1; e <= epoch; e++) {
        /* A newer epoch than asked for: the clock of its writer was read later. */
        uint64_t seen = atomic_load_explicit(word_at(z, hash, e), memory_order_acquire);
        if ((uint32_t)(seen >> 32) >= e && (seen & bits) == bits)
            return true;
    }
    return false;
}

bool sent_is_complete(const struct sent_zone *z, uint64_t now_ns)
{
    return now_ns >= z->since_ns && now_ns - z->since_ns >= z->period_ns;
}
