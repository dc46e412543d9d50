/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Idempotency keys: which order a buyer's key made, for 24 hours. The table holds order numbers
 * only; the key itself is a 128-bit keyed digest of buyer and key in the order. Nothing else needs
 * to be stored to tell "the same request": event, item and quantity of the order are the request.
 *
 * Orders are made in the order of their numbers, so a cursor over the numbers finds what has grown
 * old.
 */
#ifndef BOXOFFICE_CORE_IDEMPOTENCY_H
#define BOXOFFICE_CORE_IDEMPOTENCY_H

#include "boxoffice/core/orders.h"

#define IDEMPOTENCY_KEEP_NS UINT64_C(86400000000000)

struct idempotency {
    struct table table;
    uint64_t key[2]; /* of the digest; new in every process */
    uint32_t oldest; /* orders below this number are not in the table */
};

bool idempotency_init(struct idempotency *t) __attribute__((warn_unused_result));
void idempotency_fini(struct idempotency *t);

struct digest idempotency_digest(const struct idempotency *t, struct slice buyer, struct slice key);
/* The order of this key, or 0; also 0 where it is older than 24 hours. */
uint32_t idempotency_find(struct idempotency *t, const struct orders *orders, struct digest d,
                          uint64_t now_ns);
bool idempotency_reserve(struct idempotency *t) __attribute__((warn_unused_result));
/* After idempotency_reserve. */
void idempotency_add(struct idempotency *t, struct order *o, uint32_t id);
void idempotency_remove(struct idempotency *t, struct order *o, uint32_t id);
/* Forgets what is older than 24 hours, looking at no more than `max` orders. */
void idempotency_sweep(struct idempotency *t, const struct orders *orders, uint64_t now_ns,
                       unsigned max);

#endif
