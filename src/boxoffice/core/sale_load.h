/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Building a sale from what a store holds: key, events, orders by rising id, units by falling id,
 * end. Every function answers NULL, or says what is wrong with the row: a store that contradicts
 * itself is not sold from.
 */
#ifndef BOXOFFICE_CORE_SALE_LOAD_H
#define BOXOFFICE_CORE_SALE_LOAD_H

#include "boxoffice/core/sale.h"

struct order_row {
    int64_t id, event, item, quantity, status;
    uint64_t created_ns, expires_ns;
    struct slice buyer, key, secret;
};

void sale_load_key(struct sale *s, const unsigned char key[16]);
const char *sale_load_event(struct sale *s, int64_t id, int64_t state,
                            const struct event_spec *spec, const int64_t *item_ids);
const char *sale_load_order(struct sale *s, const struct order_row *row, uint64_t now_ns);
const char *sale_load_unit(struct sale *s, int64_t id, int64_t order);
/* *order: the order it is about. */
const char *sale_load_end(struct sale *s, uint32_t *order);

#endif
