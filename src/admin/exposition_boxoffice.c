/* SPDX-License-Identifier: BSD-2-Clause */
/* /metrics: what the box office says about itself and its events. */
#include "config.h"

#include "admin/parts.h"
#include "admin/prom.h"

/* Events with figures of their own; a scrape must stay a scrape. */
#define EVENTS_MAX 1000u

static void event_line(struct buf *out, const char *name,
                       const Rushgate__Boxoffice__V1__EventStats *e, const char *extra,
                       long long value)
{
    buf_str(out, name);
    prom_label(out, "{", "event", slice_str(e->event));
    buf_printf(out, "%s} %lld\n", extra, value);
}

static void write_events(const box_stats *b, struct buf *out)
{
    size_t n = b->n_events < EVENTS_MAX ? b->n_events : EVENTS_MAX;

    prom_head(out, "rushgate_event_units", "gauge", "Units of an event by state.");
    for (size_t i = 0; i < n; i++) {
        event_line(out, "rushgate_event_units", b->events[i], ",state=\"free\"",
                   b->events[i]->free);
        event_line(out, "rushgate_event_units", b->events[i], ",state=\"held\"",
                   b->events[i]->held);
        event_line(out, "rushgate_event_units", b->events[i], ",state=\"sold\"",
                   b->events[i]->sold);
    }
    prom_head(out, "rushgate_event_quota_units", "gauge", "Units there are to sell.");
    for (size_t i = 0; i < n; i++)
        event_line(out, "rushgate_event_quota_units", b->events[i], "", b->events[i]->quota);
    prom_head(out, "rushgate_event_oversold_units", "gauge",
              "Units held or sold beyond the quota. Must be 0.");
    for (size_t i = 0; i < n; i++)
        event_line(out, "rushgate_event_oversold_units", b->events[i], "",
                   (long long)b->events[i]->oversold);
    prom_head(out, "rushgate_event_open", "gauge", "1: the sale is open.");
    for (size_t i = 0; i < n; i++)
        event_line(out, "rushgate_event_open", b->events[i], "",
                   b->events[i]->state == RUSHGATE__BOXOFFICE__V1__SALE_STATE__open);
    prom_head(out, "rushgate_event_sold_total", "counter",
              "Units whose orders were confirmed since the box office started.");
    for (size_t i = 0; i < n; i++)
        event_line(out, "rushgate_event_sold_total", b->events[i], "",
                   (long long)b->events[i]->sold_total);
}

static void write_store(const box_stats *b, struct buf *out)
{
    prom_head(out, "rushgate_purchases_total", "counter",
              "Orders asked for since the box office started, by outcome.");
    for (size_t i = 0; i < b->n_purchases; i++) {
        buf_str(out, "rushgate_purchases_total");
        prom_label(out, "{", "outcome", slice_str(b->purchases[i]->outcome));
        buf_printf(out, "} %llu\n", (unsigned long long)b->purchases[i]->count);
    }
    prom_value(out, "rushgate_boxoffice_batches_total", "counter", "Group commits.", b->batches);
    prom_value(out, "rushgate_boxoffice_batch_orders_total", "counter", "Orders in group commits.",
               b->batch_orders);
    prom_head(out, "rushgate_boxoffice_commit_seconds_total", "counter",
              "Time spent in group commits.");
    buf_str(out, "rushgate_boxoffice_commit_seconds_total ");
    prom_seconds(out, b->commit_ns);
    buf_char(out, '\n');
    prom_value(out, "rushgate_boxoffice_commit_failures_total", "counter",
               "Group commits that failed.", b->commit_failures);
    prom_value(out, "rushgate_boxoffice_store_bytes", "gauge", "Size of the store.",
               b->store_bytes);
}

void exposition_boxoffice(const box_stats *b, struct buf *out)
{
    write_events(b, out);
    write_store(b, out);
}
