/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Latencies of a run: 64 linear buckets an octave of nanoseconds, so that a quantile is at most 1.6
 * % too high, over the whole range of 64 bits and in a fixed 30 KB.
 */
#ifndef STAMPEDE_LATENCY_H
#define STAMPEDE_LATENCY_H

#include <stdint.h>

#define LATENCY_SUB_BITS 6
#define LATENCY_BUCKETS  ((64 - LATENCY_SUB_BITS + 1) << LATENCY_SUB_BITS)

struct latency {
    uint64_t count[LATENCY_BUCKETS];
    uint64_t n, max_ns;
};

void latency_record(struct latency *l, uint64_t ns);
/* Upper bound of the bucket that holds quantile q (0 to 1); 0 when nothing was recorded. */
uint64_t latency_quantile_ns(const struct latency *l, double q);
double latency_quantile_ms(const struct latency *l, double q);

#endif
