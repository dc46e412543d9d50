/* SPDX-License-Identifier: BSD-2-Clause */
/* What is in memory as messages of boxoffice.proto, built in the arena of the call being handled;
 * orders are in message_order.c. */
#include "base/clock.h"
#include "boxoffice/service_part.h"
#include "boxoffice.pb-c.h"

static char *text(struct slice s)
{
    return (char *)(uintptr_t)s.p; /* protobuf-c only reads it */
}

static Google__Protobuf__Timestamp *message_time(struct service *s, uint64_t ns)
{
    Google__Protobuf__Timestamp *t = arena_alloc(&s->arena, sizeof *t);

    if (t == NULL)
        return NULL;
    google__protobuf__timestamp__init(t);
    t->seconds = (int64_t)(ns / NS_PER_S);
    t->nanos = (int32_t)(ns % NS_PER_S);
    return t;
}

static Google__Protobuf__Duration *message_duration(struct service *s, uint64_t ns)
{
    Google__Protobuf__Duration *d = arena_alloc(&s->arena, sizeof *d);

    if (d == NULL)
        return NULL;
    google__protobuf__duration__init(d);
    d->seconds = (int64_t)(ns / NS_PER_S);
    d->nanos = (int32_t)(ns % NS_PER_S);
    return d;
}

Rushgate__Boxoffice__V1__Availability *message_availability(struct service *s,
                                                            const struct item *it)
{
    Rushgate__Boxoffice__V1__Availability *a = arena_alloc(&s->arena, sizeof *a);

    if (a == NULL)
        return NULL;
    rushgate__boxoffice__v1__availability__init(a);
    a->available_number = (int32_t)item_free_shown(it);
    a->available = a->available_number > 0 && it->event->shown_state == SALE_OPEN;
    a->quota = (int32_t)it->stock.quota;
    a->held = (int32_t)it->shown.held;
    a->sold = (int32_t)it->shown.sold;
    a->as_of = message_time(s, clock_real_ns());
    return a->as_of == NULL ? NULL : a;
}

Rushgate__Boxoffice__V1__Item *message_item(struct service *s, const struct item *it)
{
    Rushgate__Boxoffice__V1__Item *m = arena_alloc(&s->arena, sizeof *m);

    if (m == NULL)
        return NULL;
    rushgate__boxoffice__v1__item__init(m);
    m->item = text(it->slug);
    m->name = text(it->name);
    m->price = text(it->price);
    m->currency = text(it->currency);
    m->quota = (int32_t)it->stock.quota;
    m->availability = message_availability(s, it);
    return m->availability == NULL ? NULL : m;
}

static bool add_items(struct service *s, const struct sale_event *e,
                      Rushgate__Boxoffice__V1__Event *m)
{
    m->items = arena_alloc(&s->arena, e->items_n * sizeof *m->items);
    if (m->items == NULL)
        return false;
    for (m->n_items = 0; m->n_items < e->items_n; m->n_items++)
        if ((m->items[m->n_items] = message_item(s, &e->items[m->n_items])) == NULL)
            return false;
    return true;
}

Rushgate__Boxoffice__V1__Event *message_event(struct service *s, const struct sale_event *e)
{
    Rushgate__Boxoffice__V1__Event *m = arena_alloc(&s->arena, sizeof *m);

    if (m == NULL)
        return NULL;
    rushgate__boxoffice__v1__event__init(m);
    m->slug = text(e->slug);
    m->name = text(e->name);
    m->state = (Rushgate__Boxoffice__V1__SaleState)e->shown_state;
    m->max_per_buyer = (int32_t)e->max_per_buyer;
    m->hold = message_duration(s, e->hold_ns);
    if (e->presale_start_ns != 0)
        m->presale_start = message_time(s, e->presale_start_ns);
    if (e->presale_end_ns != 0)
        m->presale_end = message_time(s, e->presale_end_ns);
    return m->hold != NULL && add_items(s, e, m) ? m : NULL;
}
