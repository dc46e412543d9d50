/* SPDX-License-Identifier: BSD-2-Clause */
/* The life of an order: created, confirmed, canceled, expired. */
#include "base/check.h"
#include "base/hash.h"
#include "boxoffice/core/sale_part.h"

static bool is_busy(const struct sale *s, const struct order *o)
{
    return o->batch > s->durable_seq;
}

static struct order *order_at(const struct sale *s, uint32_t id)
{
    return slab_at(&s->orders.slab, id);
}

enum order_status sale_status(const struct order *o, uint64_t now_ns)
{
    return o->status == ORDER_PENDING && o->expires_ns <= now_ns ? ORDER_EXPIRED : o->status;
}

static const unsigned char *next_secret(struct sale *s)
{
    if (s->secrets_left == 0) {
        random_bytes(s->secrets, sizeof s->secrets);
        s->secrets_left = SALE_SECRETS;
    }
    return s->secrets[--s->secrets_left];
}

/* Units for the order, noted in the open batch. */
static void take_units(struct sale *s, struct op *op, struct order *o, struct item *it)
{
    struct batch *b = s->open;

    op->fresh = (uint8_t)stock_take(&it->stock, o->quantity, b->units + b->units_n);
    o->first_unit = b->units[b->units_n];
    b->units_n += o->quantity;
}

static void note_units(struct batch *b, const struct order *o, const struct item *it)
{
    uint32_t unit = o->first_unit;

    for (uint32_t i = 0; i < o->quantity; i++) {
        b->units[b->units_n++] = unit;
        unit = stock_next(&it->stock, unit);
    }
}

/* An operation that changes an order. */
static struct op *order_op(struct sale *s, enum op_kind kind, uint32_t id, enum order_status status)
{
    struct order *o = order_at(s, id);
    struct op *op = sale_op(s, kind, s->items[o->item]);

    op->order = id;
    op->quantity = o->quantity;
    op->old_status = o->status;
    op->old_batch = o->batch;
    op->status = (uint8_t)status;
    o->status = (uint8_t)status;
    o->batch = s->open->seq;
    return op;
}

/* May this buyer have so many more? */
static bool within_limit(uint32_t used, uint32_t more, const struct sale_event *e,
                         struct decision *d)
{
    if (e->max_per_buyer == 0 || (uint64_t)used + more <= e->max_per_buyer)
        return true;
    d->limit = e->max_per_buyer;
    d->used = used;
    return false;
}

static enum reason is_on_sale(const struct sale_event *e, uint64_t now_ns)
{
    if (e->state == SALE_CLOSED)
        return REASON_CLOSED;
    if (e->presale_end_ns != 0 && now_ns >= e->presale_end_ns)
        return REASON_ENDED;
    if (now_ns < e->presale_start_ns)
        return REASON_NOT_STARTED;
    return e->state == SALE_PAUSED ? REASON_PAUSED : REASON_DONE;
}

/*
 * The item has too few units for `quantity` more. Where what took them is not durable yet, they may
 * still come back: nobody is turned away, and no gateway told to, for a sale that was none.
 */
static enum reason too_few(const struct item *it, uint32_t quantity, enum reason final)
{
    return item_free_shown(it) >= quantity ? REASON_AGAIN : final;
}

/* The key made an order before. */
static enum reason replay(struct sale *s, uint32_t id, const struct item *it, uint32_t quantity,
                          struct decision *d)
{
    const struct order *o = order_at(s, id);

    if (o->item != it->id || o->quantity != quantity)
        return REASON_KEY_REUSED;
    if (o->flags & ORDER_NEW)
        return REASON_IN_PROGRESS;
    if (is_busy(s, o))
        return REASON_AGAIN;
    d->order = id;
    return REASON_REPLAYED;
}

static bool reserve_order(struct sale *s)
{
    struct orders *os = &s->orders;

    return os->last < ORDER_ID_MAX && sale_may_add(s) && slab_reserve(&os->slab, os->last + 1) &&
           idempotency_reserve(&s->keys);
}

static void link_buyer(struct sale *s, struct order *o, uint32_t id, uint32_t buyer)
{
    struct buyer *b = buyer_at(&s->orders, buyer);

    o->buyer = buyer;
    o->older = b->newest;
    b->newest = id;
    b->used += o->quantity;
}

static void create(struct sale *s, uint64_t now_ns, struct item *it, uint32_t quantity,
                   uint32_t buyer, struct digest digest, const struct order_request *r)
{
    uint32_t id = ++s->orders.last;
    struct order *o = order_at(s, id);
    struct op *op;

    *o = (struct order){.created_ns = now_ns,
                        .expires_ns = now_ns + it->event->hold_ns,
                        .digest = digest,
                        .item = it->id,
                        .quantity = (uint8_t)quantity,
                        .flags = ORDER_NEW};
    memcpy(o->secret, next_secret(s), sizeof o->secret);
    op = order_op(s, OP_CREATE, id, ORDER_PENDING);
    link_buyer(s, o, id, buyer);
    take_units(s, op, o, it);
    it->now.held += quantity;
    expiry_add(&s->expiry, &s->orders, id);
    idempotency_add(&s->keys, o, id);

    op->created_ns = o->created_ns;
    op->expires_ns = o->expires_ns;
    memcpy(op->secret, o->secret, sizeof op->secret);
    op->buyer = slice_of(buyer_at(&s->orders, buyer)->text, r->buyer.n);
    op->key = r->key;
    op->user = r->user;
}

enum reason sale_order(struct sale *s, uint64_t now_ns, const struct order_request *r,
                       struct decision *d)
{
    uint32_t quantity = (uint32_t)r->quantity, id, buyer;
    struct sale_event *e = sale_event(s, r->event);
    struct item *it = e == NULL ? NULL : event_item(e, r->item);
    struct digest digest;
    enum reason why;

    *d = (struct decision){.event = e, .item = it};
    if (it == NULL)
        return REASON_NOT_FOUND;
    if (r->quantity < 1 || quantity > ORDER_QUANTITY_MAX)
        return REASON_INVALID;
    digest = idempotency_digest(&s->keys, r->buyer, r->key);
    id = idempotency_find(&s->keys, &s->orders, digest, now_ns);
    if (id != 0)
        return replay(s, id, it, quantity, d);
    if ((why = is_on_sale(e, now_ns)) != REASON_DONE)
        return why;
    buyer = buyer_find(&s->orders, e->id, r->buyer);
    if (!within_limit(buyer == 0 ? 0 : buyer_at(&s->orders, buyer)->used, quantity, e, d))
        return REASON_LIMIT;
    if (stock_free(&it->stock) < quantity) {
        d->available = item_free_shown(it);
        return too_few(it, quantity, REASON_SOLD_OUT);
    }
    if (!reserve_order(s))
        return sale_no_room(s);
    if (buyer == 0 && (buyer = buyer_make(&s->orders, e->id, r->buyer)) == 0)
        return sale_no_room(s);
    create(s, now_ns, it, quantity, buyer, digest, r);
    return REASON_LATER;
}

/* Ends a pending order; its units are free for others at once. */
static void release(struct sale *s, uint32_t id, enum op_kind kind, enum order_status status,
                    void *user)
{
    struct order *o = order_at(s, id);
    struct item *it = s->items[o->item];
    struct op *op = order_op(s, kind, id, status);

    op->user = user;
    note_units(s->open, o, it);
    stock_give(&it->stock, o->first_unit, o->quantity);
    it->now.held -= o->quantity;
    buyer_at(&s->orders, o->buyer)->used -= o->quantity;
    expiry_remove(&s->expiry, &s->orders, id);
}

/* Equal without telling by its time where the difference is. */
static bool secret_eq(const unsigned char secret[16], struct slice hex)
{
    static const char digits[] = "0123456789abcdef";
    unsigned diff = 0;

    if (hex.n != 32)
        return false;
    for (unsigned i = 0; i < 16; i++) {
        diff |= (unsigned)(digits[secret[i] >> 4] ^ hex.p[2 * i]);
        diff |= (unsigned)(digits[secret[i] & 15] ^ hex.p[2 * i + 1]);
    }
    return diff == 0;
}

static bool may_see(const struct sale *s, const struct order *o, const struct order_ref *r)
{
    const struct buyer *b = buyer_at(&s->orders, o->buyer);

    return (r->buyer.n > 0 && slice_eq(slice_of(b->text, b->text_len), r->buyer)) ||
           secret_eq(o->secret, r->secret);
}

/* The order that is asked for, or NULL; whoever may not see it learns nothing. */
static struct order *resolve(struct sale *s, const struct order_ref *r, struct decision *d)
{
    uint64_t id;
    struct sale_event *e = sale_event(s, r->event);
    struct order *o;

    *d = (struct decision){.event = e};
    if (e == NULL || !code_read(&s->code, r->code, &id))
        return NULL;
    o = order_get(&s->orders, id);
    if (o == NULL || s->items[o->item]->event != e || !may_see(s, o, r))
        return NULL;
    d->item = s->items[o->item];
    d->order = (uint32_t)id;
    return o;
}

/* DONE with the order in *o when all that it is has become durable. */
static enum reason resolve_settled(struct sale *s, const struct order_ref *r, struct decision *d,
                                   struct order **o)
{
    *o = resolve(s, r, d);
    if (*o == NULL)
        return REASON_NOT_FOUND;
    return is_busy(s, *o) ? REASON_AGAIN : REASON_DONE;
}

enum reason sale_find(struct sale *s, uint64_t now_ns, const struct order_ref *r,
                      struct decision *d)
{
    struct order *o;
    enum reason why = resolve_settled(s, r, d, &o);

    if (why != REASON_DONE)
        return why;
    /* sale_status shows it as expired whether or not the release below becomes durable. */
    if (o->status == ORDER_PENDING && o->expires_ns <= now_ns && sale_may_add(s))
        release(s, d->order, OP_EXPIRE, ORDER_EXPIRED, NULL);
    return REASON_DONE;
}

static enum reason retake(struct sale *s, uint32_t id, void *user, struct decision *d)
{
    struct order *o = order_at(s, id);
    struct item *it = s->items[o->item];
    struct buyer *b = buyer_at(&s->orders, o->buyer);
    struct op *op;

    if (!within_limit(b->used, o->quantity, it->event, d))
        return REASON_ORDER_EXPIRED;
    if (stock_free(&it->stock) < o->quantity)
        return too_few(it, o->quantity, REASON_ORDER_EXPIRED);
    if (!sale_may_add(s))
        return sale_no_room(s);
    op = order_op(s, OP_RETAKE, id, ORDER_PAID);
    op->user = user;
    take_units(s, op, o, it);
    it->now.sold += o->quantity;
    b->used += o->quantity;
    return REASON_LATER;
}

/* An order that is overdue but not released yet still holds its units: it takes them again, so to
 * say. */
static enum reason pay(struct sale *s, uint32_t id, void *user)
{
    struct order *o = order_at(s, id);
    struct item *it = s->items[o->item];

    if (!sale_may_add(s))
        return sale_no_room(s);
    order_op(s, OP_CONFIRM, id, ORDER_PAID)->user = user;
    expiry_remove(&s->expiry, &s->orders, id);
    it->now.held -= o->quantity;
    it->now.sold += o->quantity;
    return REASON_LATER;
}

enum reason sale_confirm(struct sale *s, const struct order_ref *r, struct decision *d)
{
    struct order *o;
    enum reason why = resolve_settled(s, r, d, &o);

    if (why != REASON_DONE)
        return why;
    if (o->status == ORDER_PAID)
        return REASON_DONE;
    if (o->status == ORDER_CANCELED)
        return REASON_ORDER_CANCELED;
    return o->status == ORDER_PENDING ? pay(s, d->order, r->user) : retake(s, d->order, r->user, d);
}

enum reason sale_cancel(struct sale *s, const struct order_ref *r, struct decision *d)
{
    struct order *o;
    enum reason why = resolve_settled(s, r, d, &o);

    if (why != REASON_DONE)
        return why;
    if (o->status == ORDER_CANCELED)
        return REASON_DONE;
    if (o->status == ORDER_PAID)
        return REASON_ORDER_PAID;
    if (o->status == ORDER_EXPIRED)
        return REASON_ORDER_EXPIRED;
    if (!sale_may_add(s))
        return sale_no_room(s);
    release(s, d->order, OP_CANCEL, ORDER_CANCELED, r->user);
    return REASON_LATER;
}

struct sweep {
    struct sale *sale;
    unsigned left;
};

static bool sweep_one(void *arg, uint32_t id, bool *kept)
{
    struct sweep *w = arg;
    struct sale *s = w->sale;

    if (is_busy(s, order_at(s, id))) {
        *kept = true;
        return true;
    }
    if (w->left == 0 || !sale_may_add(s))
        return false;
    w->left--;
    release(s, id, OP_EXPIRE, ORDER_EXPIRED, NULL);
    s->overdue++;
    return true;
}

void sale_sweep(struct sale *s, uint64_t now_ns, unsigned max)
{
    struct sweep w = {s, max};

    expiry_sweep(&s->expiry, &s->orders, now_ns, sweep_one, &w);
    idempotency_sweep(&s->keys, &s->orders, now_ns, 4 * max);
}
