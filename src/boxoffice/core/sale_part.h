/* SPDX-License-Identifier: BSD-2-Clause */
/* What the files of the sale share among themselves. */
#ifndef BOXOFFICE_CORE_SALE_PART_H
#define BOXOFFICE_CORE_SALE_PART_H

#include "boxoffice/core/sale.h"

/* Gives the event and its items their ids and makes it findable. False when memory is out. */
bool sale_add_event(struct sale *s, struct sale_event *e, uint32_t id, const uint32_t *item_ids)
    __attribute__((warn_unused_result));
/* The inverse, for the newest event; frees it. */
void sale_drop_event(struct sale *s, struct sale_event *e);
/* Any event of this slug, durable or not. */
struct sale_event *sale_any_event(const struct sale *s, struct slice slug);

/* A fresh operation on an item of the open batch, which batch_reserve made room for. */
struct op *sale_op(struct sale *s, enum op_kind kind, struct item *it);

/* Why nothing can be added to the open batch: STORE while there is none, else OVERLOADED. */
static inline enum reason sale_no_room(const struct sale *s)
{
    return s->open == NULL ? REASON_STORE : REASON_OVERLOADED;
}

/* Room for one more operation in the open batch. */
static inline bool sale_may_add(struct sale *s)
{
    return s->open != NULL && s->open->n < BATCH_OPS_MAX && batch_reserve(s->open);
}

#endif
