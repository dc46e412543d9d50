/* SPDX-License-Identifier: BSD-2-Clause */
/* What the limit phase and the rate limit service have in common: which bucket a value belongs to,
 * and what is told and counted about it. */
#ifndef GATE_LIMIT_BUCKET_H
#define GATE_LIMIT_BUCKET_H

#include <stdint.h>

#include "base/clock.h"
#include "conf/compiled.h"
#include "metric/metric.h"
#include "table/limit.h"

#define LIMIT_TICKS_PER_S (NS_PER_S * LIMIT_TICKS_PER_NS)

/* The address as the limit counts it, bits behind its prefix cleared; the prefix, of 128 bits. */
unsigned limit_mask_address(const uint8_t client[16], const struct conf_rate_limit *l,
                            uint8_t addr[16]);
/* Hashes of a key are chained over its parts; these take the next part. An address counts by the
 * limit's prefixes. */
uint64_t limit_hash_address(const uint8_t addr[16], const struct conf_rate_limit *l, uint64_t seed);
uint64_t limit_hash_identity(struct slice identity, uint64_t seed);

/* Tokens that can be taken at once, after the ask. */
uint64_t limit_tokens_left(const struct limit_ask *a);
/* Rounded up. */
uint64_t limit_seconds(uint64_t ticks);

void limit_count(struct metric_block *m, const struct conf_rate_limit *l, const struct limit_ask *a,
                 enum metric_limit_outcome outcome);

#endif
