/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * When pending orders expire: a hashed timing wheel (Varghese and Lauck, 1987) of 2^19 slots of
 * 0.27 s, 39 hours round, longer than any hold. An order enters and leaves in a list operation,
 * through links of its own, whatever the clock did in between. A slot is looked at when its time is
 * wholly past, so an order is released at most a slot late and a slot is never searched in vain.
 */
#ifndef BOXOFFICE_CORE_EXPIRY_H
#define BOXOFFICE_CORE_EXPIRY_H

#include "boxoffice/core/orders.h"

#define EXPIRY_SLOTS      (1u << 19)
#define EXPIRY_SLOT_SHIFT 28u /* of nanoseconds */

struct expiry {
    uint32_t *slots; /* owned; number of the first order in it, 0: none */
    uint64_t swept;  /* slots of time before this one are empty of what was due then */
};

bool expiry_init(struct expiry *x) __attribute__((warn_unused_result));
void expiry_fini(struct expiry *x);

void expiry_add(struct expiry *x, const struct orders *orders, uint32_t id);
void expiry_remove(struct expiry *x, const struct orders *orders, uint32_t id);

/*
 * Calls fn for orders that are due, until it says false. fn either removes the order from the wheel
 * and says true, or leaves it there (busy) and sets *kept: then it is offered again next time.
 */
typedef bool expiry_fn(void *arg, uint32_t id, bool *kept);
void expiry_sweep(struct expiry *x, const struct orders *orders, uint64_t now_ns, expiry_fn *fn,
                  void *arg);

#endif
