/* SPDX-License-Identifier: BSD-2-Clause */
/* Events, batches and the audit; the life of an order is in sale_order.c, undoing in sale_undo.c.
 */
#include "boxoffice/core/sale.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/hash.h"
#include "boxoffice/core/sale_part.h"

struct sale *sale_new(void)
{
    struct sale *s = calloc(1, sizeof *s);

    if (s == NULL)
        return NULL;
    bool ok = table_init(&s->slugs);
    ok = orders_init(&s->orders) && ok;
    ok = idempotency_init(&s->keys) && ok;
    ok = expiry_init(&s->expiry) && ok;
    if (!ok)
        sale_free(&s);
    return s;
}

void sale_free(struct sale **sp)
{
    struct sale *s = *sp;

    *sp = NULL;
    if (s == NULL)
        return;
    for (uint32_t i = 1; i <= s->events_n; i++)
        sale_event_free(&s->events[i]);
    free(s->events);
    free(s->items);
    table_fini(&s->slugs);
    orders_fini(&s->orders);
    idempotency_fini(&s->keys);
    expiry_fini(&s->expiry);
    free(s);
}

struct slug_key {
    const struct sale *sale;
    struct slice slug;
};

static bool slug_eq(const void *key, uint32_t id)
{
    const struct slug_key *k = key;
    return slice_eq(k->sale->events[id]->slug, k->slug);
}

struct sale_event *sale_any_event(const struct sale *s, struct slice slug)
{
    struct slug_key k = {s, slug};
    uint32_t id = table_find(&s->slugs, hash64(slug, 0), slug_eq, &k);
    return id == 0 ? NULL : s->events[id];
}

struct sale_event *sale_event(const struct sale *s, struct slice slug)
{
    struct sale_event *e = sale_any_event(s, slug);
    return sale_event_durable(s, e) ? e : NULL;
}

/* An array of pointers by id, with room for `id`; new places are NULL. */
static bool room(void *array, uint32_t *cap, uint32_t id)
{
    void ***p = array;
    uint32_t n = *cap == 0 ? 64 : *cap;

    if (id < *cap)
        return true;
    while (n <= id)
        n *= 2;
    void **more = realloc(*p, n * sizeof *more);
    if (more == NULL)
        return false;
    memset(more + *cap, 0, (n - *cap) * sizeof *more);
    *p = more;
    *cap = n;
    return true;
}

bool sale_add_event(struct sale *s, struct sale_event *e, uint32_t id, const uint32_t *item_ids)
{
    uint32_t highest = s->items_n;

    for (uint32_t i = 0; i < e->items_n; i++)
        if (item_ids[i] > highest)
            highest = item_ids[i];
    if (!room(&s->events, &s->events_cap, id) || !room(&s->items, &s->items_cap, highest) ||
        !table_reserve(&s->slugs))
        return false;
    e->id = id;
    s->events[id] = e;
    for (uint32_t i = 0; i < e->items_n; i++) {
        e->items[i].id = item_ids[i];
        s->items[item_ids[i]] = &e->items[i];
    }
    if (id > s->events_n)
        s->events_n = id;
    s->items_n = highest;
    table_insert(&s->slugs, hash64(e->slug, 0), id);
    return true;
}

void sale_drop_event(struct sale *s, struct sale_event *e)
{
    CHECK(e->id == s->events_n && e->items[e->items_n - 1].id == s->items_n);
    CHECK(table_remove(&s->slugs, hash64(e->slug, 0), e->id));
    for (uint32_t i = 0; i < e->items_n; i++)
        s->items[e->items[i].id] = NULL;
    s->items_n = e->items[0].id - 1;
    s->events[e->id] = NULL;
    s->events_n--;
    sale_event_free(&e);
}

void sale_open(struct sale *s, struct batch *b)
{
    batch_clear(b, ++s->open_seq);
    s->open = b;
}

struct op *sale_op(struct sale *s, enum op_kind kind, struct item *it)
{
    struct batch *b = s->open;
    struct op *op = &b->ops[b->n++];

    *op = (struct op){.kind = (uint8_t)kind, .units_at = b->units_n};
    if (it == NULL)
        return op;
    op->item = it->id;
    op->event = it->event;
    if (it->dirty_batch != b->seq) {
        it->dirty_batch = b->seq;
        b->marks[b->marks_n++].item = it;
    }
    return op;
}

void sale_seal(struct sale *s, struct batch *b)
{
    CHECK(s->open == b);
    for (uint32_t i = 0; i < b->marks_n; i++)
        b->marks[i].counts = b->marks[i].item->now;
    s->open = NULL;
}

void sale_durable(struct sale *s, struct batch *b)
{
    CHECK(b->seq > s->durable_seq);
    s->durable_seq = b->seq;
    for (uint32_t i = 0; i < b->marks_n; i++)
        b->marks[i].item->shown = b->marks[i].counts;
    for (uint32_t i = 0; i < b->n; i++) {
        const struct op *op = &b->ops[i];
        if (op->kind == OP_CREATE)
            ((struct order *)slab_at(&s->orders.slab, op->order))->flags &= (uint8_t)~ORDER_NEW;
        else if (op->kind == OP_CONFIRM || op->kind == OP_RETAKE)
            op->event->sold_total += op->quantity;
        else if (op->kind == OP_STATE)
            op->event->shown_state = op->state;
    }
}

enum reason sale_create_event(struct sale *s, const struct event_spec *spec, void *user,
                              struct decision *d)
{
    uint32_t ids[EVENT_ITEMS_MAX];
    struct sale_event *e = sale_any_event(s, spec->slug);
    struct op *op;

    *d = (struct decision){0};
    if (e != NULL)
        return sale_event_durable(s, e) ? REASON_EXISTS : REASON_AGAIN;
    if (!sale_may_add(s) || (e = sale_event_new(spec)) == NULL)
        return sale_no_room(s);
    for (uint32_t i = 0; i < e->items_n; i++)
        ids[i] = s->items_n + 1 + i;
    if (!sale_add_event(s, e, s->events_n + 1, ids)) {
        sale_event_free(&e);
        return REASON_OVERLOADED;
    }
    e->created_batch = s->open->seq;
    op = sale_op(s, OP_EVENT, NULL);
    op->event = e;
    op->user = user;
    d->event = e;
    return REASON_LATER;
}

enum reason sale_set_state(struct sale *s, struct slice slug, enum sale_state state, bool reopen,
                           void *user, struct decision *d)
{
    struct sale_event *e = sale_event(s, slug);
    struct op *op;

    *d = (struct decision){.event = e};
    if (e == NULL)
        return REASON_NOT_FOUND;
    if (e->state_batch > s->durable_seq)
        return REASON_AGAIN;
    if (e->state == state)
        return REASON_DONE;
    if (e->state == SALE_CLOSED && (state != SALE_OPEN || !reopen))
        return REASON_CLOSED;
    if (!sale_may_add(s))
        return sale_no_room(s);
    op = sale_op(s, OP_STATE, NULL);
    op->event = e;
    op->user = user;
    op->state = (uint8_t)state;
    op->old_state = (uint8_t)e->state;
    op->old_batch = e->state_batch;
    e->state = state;
    e->state_batch = s->open->seq;
    return REASON_LATER;
}

/* The counters of an item against its bits, cursor and stack. */
static bool item_adds_up(const struct item *it)
{
    const struct stock *st = &it->stock;
    uint32_t out = stock_count(st);

    return out == it->now.held + it->now.sold && out <= st->quota && st->cursor <= st->quota &&
           st->cursor - st->returned == out && stock_free(st) == st->quota - out;
}

bool sale_audit(struct sale *s, const struct item **it)
{
    for (uint32_t tries = 0; tries < 64 && s->items_n > 0; tries++) {
        s->audit_next = s->audit_next % s->items_n + 1;
        if (s->items[s->audit_next] == NULL)
            continue;
        *it = s->items[s->audit_next];
        return item_adds_up(*it);
    }
    return true;
}
