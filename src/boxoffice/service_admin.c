/* SPDX-License-Identifier: BSD-2-Clause */
/* What operators call over the local socket. */
#include <stdio.h>

#include "base/log.h"
#include "boxoffice/service_part.h"
#include "boxoffice.pb-c.h"

static const char *const state_names[] = {
    [SALE_OPEN] = "open", [SALE_PAUSED] = "paused", [SALE_CLOSED] = "closed"};

void on_set_sale_state(struct service *s, struct rpc_server_call *call, const void *request)
{
    const Rushgate__Boxoffice__V1__SetSaleStateRequest *m = request;
    struct decision d;
    enum reason why;

    if ((int)m->state < SALE_OPEN || (int)m->state > SALE_CLOSED) {
        answer_invalid(s, call, "state", "must be open, paused or closed");
        return;
    }
    why = sale_set_state(s->sale, slice_str(m->event), (enum sale_state)m->state, !m->resume, call,
                         &d);
    if (why == REASON_LATER)
        log_notice("sale of %s: %s%s%s", m->event, state_names[m->state], m->reason[0] ? ": " : "",
                   m->reason);
    if (why == REASON_DONE)
        answer_event(s, call, d.event, why);
    else if (why == REASON_NOT_FOUND)
        answer_not_found(s, call, "event");
    else
        answer_other(s, call, why, &d);
}

static Rushgate__Boxoffice__V1__EventStats *event_stats(struct service *s,
                                                        const struct sale_event *e)
{
    Rushgate__Boxoffice__V1__EventStats *m = arena_alloc(&s->arena, sizeof *m);

    if (m == NULL)
        return NULL;
    rushgate__boxoffice__v1__event_stats__init(m);
    m->event = (char *)(uintptr_t)e->slug.p;
    m->state = (Rushgate__Boxoffice__V1__SaleState)e->shown_state;
    m->sold_total = e->sold_total;
    for (uint32_t i = 0; i < e->items_n; i++) {
        const struct item *it = &e->items[i];
        uint32_t out = it->shown.held + it->shown.sold;
        m->quota += it->stock.quota;
        m->sold += it->shown.sold;
        m->held += it->shown.held;
        m->free += (int64_t)it->stock.quota - out;
        if (out > it->stock.quota)
            m->oversold += out - it->stock.quota;
    }
    return m;
}

static bool add_outcomes(struct service *s, Rushgate__Boxoffice__V1__StatsResponse *out)
{
    Rushgate__Boxoffice__V1__OutcomeCount *m = arena_alloc(&s->arena, REASON_COUNT * sizeof *m);

    out->purchases = arena_alloc(&s->arena, REASON_COUNT * sizeof *out->purchases);
    if (m == NULL || out->purchases == NULL)
        return false;
    for (unsigned i = 0; i < REASON_COUNT; i++) {
        rushgate__boxoffice__v1__outcome_count__init(&m[i]);
        m[i].outcome = (char *)(uintptr_t)service_reason_word((enum reason)i).p;
        m[i].count = s->stats.outcomes[i];
        /* those that an order can end with */
        if (i != REASON_DONE && i != REASON_EXISTS &&
            (i < REASON_ORDER_EXPIRED || i > REASON_ORDER_PAID))
            out->purchases[out->n_purchases++] = &m[i];
    }
    return true;
}

static bool add_events(struct service *s, Rushgate__Boxoffice__V1__StatsResponse *out)
{
    out->events = arena_alloc(&s->arena, (s->sale->events_n + 1) * sizeof *out->events);
    if (out->events == NULL)
        return false;
    for (uint32_t id = 1; id <= s->sale->events_n; id++) {
        if (!sale_event_durable(s->sale, s->sale->events[id]))
            continue;
        out->events[out->n_events] = event_stats(s, s->sale->events[id]);
        if (out->events[out->n_events++] == NULL)
            return false;
    }
    return true;
}

void on_stats(struct service *s, struct rpc_server_call *call, const void *request)
{
    Rushgate__Boxoffice__V1__StatsResponse out = RUSHGATE__BOXOFFICE__V1__STATS_RESPONSE__INIT;
    char epoch[24];

    (void)request;
    if (!add_events(s, &out) || !add_outcomes(s, &out)) {
        answer_refusal(s, call, REASON_OVERLOADED, NULL);
        return;
    }
    snprintf(epoch, sizeof epoch, "%llu", (unsigned long long)s->store->epoch);
    out.epoch = epoch;
    out.batches = s->stats.batches;
    out.batch_orders = s->stats.batch_orders;
    out.commit_ns = s->stats.commit_ns;
    out.commit_failures = s->stats.commit_failures;
    out.store_bytes = s->store->driver->bytes(s->store);
    out.store_available = s->open != NULL;
    out.audits = s->stats.audits;
    out.audit_failures = s->stats.audit_failures;
    answer_message(s, call, &out.base);
}
