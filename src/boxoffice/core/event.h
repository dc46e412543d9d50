/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An event and its items. What is described at creation never changes, so the commit thread may
 * read it while the loop thread works; state and counters belong to the loop thread.
 *
 * Working counters run ahead of the disk by up to two batches. What people are shown, and what is
 * called sold out, are the counters of the last durable batch.
 */
#ifndef BOXOFFICE_CORE_EVENT_H
#define BOXOFFICE_CORE_EVENT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"
#include "boxoffice/core/stock.h"

#define EVENT_ITEMS_MAX    64u
#define EVENT_SLUG_MAX     63u
#define EVENT_NAME_MAX     255u
#define EVENT_QUOTA_MAX    (1u << 24)
#define EVENT_PRICE_MAX    15u /* digits and point of a price */
#define EVENT_HOLD_S       600u
#define EVENT_HOLD_MAX_S   86400u
#define ORDER_QUANTITY_MAX 100u

/* As in the store and in SaleState of boxoffice.proto. */
enum sale_state { SALE_OPEN = 1, SALE_PAUSED = 2, SALE_CLOSED = 3 };

struct counts {
    uint32_t held, sold;
};

struct item {
    uint32_t id; /* over all events, from 1 */
    struct sale_event *event;
    struct slice slug, name, price, currency; /* owned; a NUL behind each */
    struct stock stock;                       /* holds the quota */
    struct counts now;                        /* working */
    struct counts shown;                      /* durable */
    uint64_t dirty_batch;                     /* the last batch that notes the item as changed */
};

struct sale_event {
    uint32_t id;                               /* from 1 */
    struct slice slug, name;                   /* owned; a NUL behind each */
    uint64_t presale_start_ns, presale_end_ns; /* since the epoch; 0: none */
    uint64_t hold_ns;
    uint32_t max_per_buyer; /* 0: no limit */
    uint32_t items_n;
    struct item *items; /* owned */
    enum sale_state state, shown_state;
    uint64_t created_batch; /* the event exists for buyers once this is durable */
    uint64_t state_batch;   /* the last batch that changes the state */
    uint64_t sold_total;    /* units confirmed since the process started */
};

/* What an event is made from; everything borrowed. */
struct item_spec {
    struct slice slug, name, price, currency;
    uint32_t quota;
};

struct event_spec {
    struct slice slug, name;
    uint64_t presale_start_ns, presale_end_ns, hold_ns;
    uint32_t max_per_buyer;
    uint32_t items_n;
    struct item_spec items[EVENT_ITEMS_MAX];
};

/* What is wrong with a spec. */
struct spec_error {
    char field[64];      /* "items[2].price" */
    const char *message; /* static */
};

/* True when the spec may become an event. */
bool event_spec_check(const struct event_spec *spec, struct spec_error *err)
    __attribute__((warn_unused_result));

/* Copies the spec; open, ids still 0. NULL when memory is out. */
struct sale_event *sale_event_new(const struct event_spec *spec);
void sale_event_free(struct sale_event **e);
struct item *event_item(const struct sale_event *e, struct slice slug);

/* quantity times the item's price, with the price's decimals, NUL behind it. */
#define EVENT_TOTAL_MAX 32u
void item_total(const struct item *it, uint32_t quantity, char out[EVENT_TOTAL_MAX]);

static inline uint32_t item_free_shown(const struct item *it)
{
    return it->stock.quota - it->shown.held - it->shown.sold;
}

#endif
