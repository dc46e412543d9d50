/* SPDX-License-Identifier: BSD-2-Clause */
#include "boxoffice/core/sale_load.h"

#include "boxoffice/core/sale_part.h"

#define ID_MAX (1 << 24) /* of events and items: an array of pointers goes this far */

void sale_load_key(struct sale *s, const unsigned char key[16])
{
    code_key_init(&s->code, key);
}

const char *sale_load_event(struct sale *s, int64_t id, int64_t state,
                            const struct event_spec *spec, const int64_t *item_ids)
{
    uint32_t ids[EVENT_ITEMS_MAX];
    struct spec_error err;
    struct sale_event *e;

    if (id <= 0 || id > ID_MAX || (id <= s->events_n && s->events[id] != NULL))
        return "its id is out of range";
    if (state < SALE_OPEN || state > SALE_CLOSED)
        return "its state is unknown";
    if (!event_spec_check(spec, &err))
        return err.message;
    if (sale_any_event(s, spec->slug) != NULL)
        return "its slug is there twice";
    for (uint32_t i = 0; i < spec->items_n; i++) {
        if (item_ids[i] <= 0 || item_ids[i] > ID_MAX)
            return "an item's id is out of range";
        ids[i] = (uint32_t)item_ids[i];
    }
    e = sale_event_new(spec);
    if (e == NULL || !sale_add_event(s, e, (uint32_t)id, ids)) {
        sale_event_free(&e);
        return "out of memory";
    }
    e->state = e->shown_state = (enum sale_state)state;
    return NULL;
}

static const char *row_wrong(const struct sale *s, const struct order_row *r)
{
    const struct item *it = r->item > 0 && r->item <= s->items_n ? s->items[r->item] : NULL;

    if (r->id <= s->orders.last || r->id > ORDER_ID_MAX)
        return "its id is out of range";
    if (it == NULL || it->event->id != r->event)
        return "its item is not in its event";
    if (r->quantity < 1 || r->quantity > ORDER_QUANTITY_MAX)
        return "its quantity is out of range";
    if (r->status < ORDER_PENDING || r->status > ORDER_CANCELED)
        return "its status is unknown";
    if (r->buyer.n == 0 || r->buyer.n > BUYER_MAX || r->key.n > ORDER_KEY_MAX || r->secret.n != 16)
        return "its buyer, key or secret is not as long as it must be";
    return NULL;
}

static void count_row(struct sale *s, const struct order *o)
{
    struct item *it = s->items[o->item];

    if (o->status == ORDER_PENDING)
        it->now.held += o->quantity;
    else if (o->status == ORDER_PAID)
        it->now.sold += o->quantity;
    it->shown = it->now;
    if (order_holds(o))
        buyer_at(&s->orders, o->buyer)->used += o->quantity;
}

const char *sale_load_order(struct sale *s, const struct order_row *r, uint64_t now_ns)
{
    const char *why = row_wrong(s, r);
    uint32_t id = (uint32_t)r->id;
    struct order *o;
    struct buyer *b;

    if (why != NULL)
        return why;
    uint32_t buyer = buyer_find(&s->orders, (uint32_t)r->event, r->buyer);
    if (buyer == 0)
        buyer = buyer_make(&s->orders, (uint32_t)r->event, r->buyer);
    if (buyer == 0 || !slab_reserve(&s->orders.slab, id) || !idempotency_reserve(&s->keys))
        return "out of memory";
    o = slab_at(&s->orders.slab, id);
    b = buyer_at(&s->orders, buyer);
    *o = (struct order){.created_ns = r->created_ns,
                        .expires_ns = r->expires_ns,
                        .item = (uint32_t)r->item,
                        .buyer = buyer,
                        .older = b->newest,
                        .first_unit = STOCK_NONE,
                        .status = (uint8_t)r->status,
                        .quantity = (uint8_t)r->quantity};
    memcpy(o->secret, r->secret.p, sizeof o->secret);
    b->newest = id;
    s->orders.last = id;
    count_row(s, o);
    if (o->created_ns + IDEMPOTENCY_KEEP_NS > now_ns) {
        o->digest = idempotency_digest(&s->keys, r->buyer, r->key);
        idempotency_add(&s->keys, o, id);
    }
    return NULL;
}

const char *sale_load_unit(struct sale *s, int64_t id, int64_t order)
{
    struct order *o = order < 0 ? NULL : order_get(&s->orders, (uint64_t)order);

    if (o == NULL)
        return "its order does not exist";
    if (id >> 32 != (int64_t)o->item)
        return "its order is for another item";
    if (!order_holds(o))
        return "its order is expired or canceled";
    if (!stock_load(&s->items[o->item]->stock, (uint32_t)id, o->first_unit))
        return "it is at or above the item's quota, or there twice";
    o->first_unit = (uint32_t)id;
    o->due_prev++; /* counts units until sale_load_end needs the link */
    return NULL;
}

const char *sale_load_end(struct sale *s, uint32_t *order)
{
    for (uint32_t i = 1; i <= s->items_n; i++)
        if (s->items[i] != NULL)
            stock_load_end(&s->items[i]->stock);
    for (uint32_t id = 1; id <= s->orders.last; id++) {
        struct order *o = order_get(&s->orders, id);
        if (o == NULL)
            continue;
        *order = id;
        if (o->due_prev != (order_holds(o) ? o->quantity : 0u))
            return "it does not hold as many units as its quantity says";
        o->due_prev = 0;
        if (o->status == ORDER_PENDING)
            expiry_add(&s->expiry, &s->orders, id);
    }
    return NULL;
}
