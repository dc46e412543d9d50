/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One order of one buyer, from the intended start to an outcome that is known for sure.
 *
 *   ORDER --201--> think --> PAY or CANCEL --200--> over
 *     |  refused: over          |
 *     '--cut, timeout, 5xx -----'--> asked again with the same key, or left pending
 *
 * A double click is two clicks on the same purchase: two requests with one key at the same time. An
 * unknown outcome is never taken for a failure: the purchase becomes pending and is settled later.
 */
#ifndef STAMPEDE_PURCHASE_H
#define STAMPEDE_PURCHASE_H

#include <stdbool.h>
#include <stdint.h>

#include "crowd.h"

struct purchase;

struct purchase_wish {
    uint64_t intended_ns;
    uint64_t buyer; /* number */
    uint32_t quantity;
    unsigned traits; /* enum trait */
};

void purchase_start(struct crowd *c, const struct purchase_wish *wish);
/* Takes the oldest pending purchase up again, with patience. There must be one. */
void purchase_settle_first(struct crowd *c);
/* Frees those on the pending and free lists. */
void purchase_free_all(struct crowd *c);

#endif
