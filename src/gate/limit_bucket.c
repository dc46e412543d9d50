/* SPDX-License-Identifier: BSD-2-Clause */
#include "gate/limit_bucket.h"

#include <string.h>

#include "base/hash.h"

unsigned limit_mask_address(const uint8_t client[16], const struct conf_rate_limit *l,
                            uint8_t addr[16])
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    unsigned bits = l->ipv6_prefix;

    memcpy(addr, client, 16);
    if (memcmp(addr, mapped, sizeof(mapped)) == 0)
        bits = 96 + l->ipv4_prefix;
    for (unsigned i = bits / 8; i < 16; i++)
        addr[i] = (uint8_t)(i == bits / 8 ? addr[i] & ~(0xffu >> bits % 8) : 0);
    return bits;
}

uint64_t limit_hash_address(const uint8_t client[16], const struct conf_rate_limit *l,
                            uint64_t seed)
{
    uint8_t addr[16];

    limit_mask_address(client, l, addr);
    return hash64(slice_of((const char *)addr, sizeof(addr)), seed);
}

uint64_t limit_hash_identity(struct slice identity, uint64_t seed)
{
    return hash64(identity, seed + 1); /* never the bucket of an address */
}

uint64_t limit_tokens_left(const struct limit_ask *a)
{
    return a->debt < a->capacity ? (a->capacity - a->debt) / a->interval : 0;
}

uint64_t limit_seconds(uint64_t ticks)
{
    return ticks / LIMIT_TICKS_PER_S + (ticks % LIMIT_TICKS_PER_S != 0);
}

void limit_count(struct metric_block *m, const struct conf_rate_limit *l, const struct limit_ask *a,
                 enum metric_limit_outcome outcome)
{
    struct metric_limit *words = &m->limits[l->stat % METRIC_LIMITS];

    metric_add(&words->count[outcome], 1);
    if (a->overflowed)
        metric_add(&words->count[LIMIT_OVERFLOWED], 1);
}
