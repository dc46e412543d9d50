/* SPDX-License-Identifier: BSD-2-Clause */
#include "latency.h"

#include <math.h>

#define SUB (1u << LATENCY_SUB_BITS)

/* Below SUB a bucket is one nanosecond; above, the bits behind the leading one choose the bucket.
 */
static unsigned bucket_of(uint64_t ns)
{
    unsigned octave;

    if (ns < SUB)
        return (unsigned)ns;
    octave = 63u - (unsigned)__builtin_clzll(ns);
    return ((octave - LATENCY_SUB_BITS + 1) << LATENCY_SUB_BITS) +
           (unsigned)((ns >> (octave - LATENCY_SUB_BITS)) & (SUB - 1));
}

static uint64_t bound_of(unsigned bucket)
{
    unsigned octave = bucket >> LATENCY_SUB_BITS, sub = bucket & (SUB - 1);

    if (octave == 0)
        return bucket;
    return ((uint64_t)(SUB + sub + 1) << (octave - 1)) - 1;
}

void latency_record(struct latency *l, uint64_t ns)
{
    l->count[bucket_of(ns)]++;
    l->n++;
    if (ns > l->max_ns)
        l->max_ns = ns;
}

uint64_t latency_quantile_ns(const struct latency *l, double q)
{
    uint64_t rank = (uint64_t)ceil(q * (double)l->n), seen = 0;

    if (l->n == 0)
        return 0;
    if (rank == 0)
        rank = 1;
    for (unsigned i = 0; i < LATENCY_BUCKETS; i++) {
        seen += l->count[i];
        if (seen >= rank)
            return bound_of(i) < l->max_ns ? bound_of(i) : l->max_ns;
    }
    return l->max_ns;
}

double latency_quantile_ms(const struct latency *l, double q)
{
    return (double)latency_quantile_ns(l, q) / 1e6;
}
