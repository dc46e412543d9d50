/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Taking a batch back: operations in reverse order, each by the exact inverse of what sale_order.c
 * did. A buyer that the batch brought stays, with no units and no orders: it says nothing about the
 * sale.
 */
#include "base/check.h"
#include "boxoffice/core/sale_part.h"

static void undo_create(struct sale *s, const struct op *op)
{
    struct order *o = slab_at(&s->orders.slab, op->order);
    struct item *it = s->items[op->item];
    struct buyer *b = buyer_at(&s->orders, o->buyer);

    CHECK(op->order == s->orders.last && b->newest == op->order);
    idempotency_remove(&s->keys, o, op->order);
    expiry_remove(&s->expiry, &s->orders, op->order);
    it->now.held -= op->quantity;
    b->used -= op->quantity;
    b->newest = o->older;
    stock_untake(&it->stock, s->open->units + op->units_at, op->quantity, op->fresh);
    s->orders.last--;
}

static void undo_confirm(struct sale *s, const struct op *op)
{
    struct item *it = s->items[op->item];

    it->now.sold -= op->quantity;
    it->now.held += op->quantity;
    expiry_add(&s->expiry, &s->orders, op->order);
}

static void undo_retake(struct sale *s, const struct op *op)
{
    struct order *o = slab_at(&s->orders.slab, op->order);
    struct item *it = s->items[op->item];

    it->now.sold -= op->quantity;
    buyer_at(&s->orders, o->buyer)->used -= op->quantity;
    stock_untake(&it->stock, s->open->units + op->units_at, op->quantity, op->fresh);
}

static void undo_release(struct sale *s, const struct op *op)
{
    struct order *o = slab_at(&s->orders.slab, op->order);
    struct item *it = s->items[op->item];

    stock_ungive(&it->stock, o->first_unit, op->quantity);
    it->now.held += op->quantity;
    buyer_at(&s->orders, o->buyer)->used += op->quantity;
    expiry_add(&s->expiry, &s->orders, op->order);
}

static void undo_event(struct sale *s, const struct op *op)
{
    sale_drop_event(s, op->event);
}

static void undo_state(struct sale *s, const struct op *op)
{
    (void)s;
    op->event->state = op->old_state;
    op->event->state_batch = op->old_batch;
}

static void (*const undo[])(struct sale *s, const struct op *op) = {
    [OP_CREATE] = undo_create,  [OP_CONFIRM] = undo_confirm, [OP_RETAKE] = undo_retake,
    [OP_CANCEL] = undo_release, [OP_EXPIRE] = undo_release,  [OP_EVENT] = undo_event,
    [OP_STATE] = undo_state,
};

void sale_undo(struct sale *s, struct batch *b)
{
    CHECK(b->seq > s->durable_seq);
    s->open = b;
    for (uint32_t i = b->n; i-- > 0;) {
        const struct op *op = &b->ops[i];
        undo[op->kind](s, op);
        if (op->order != 0) {
            struct order *o = slab_at(&s->orders.slab, op->order);
            o->status = op->old_status;
            o->batch = op->old_batch;
        }
    }
    s->open = NULL;
}
