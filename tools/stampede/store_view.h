/* SPDX-License-Identifier: BSD-2-Clause */
/* What the box office's store says about one event, read from its SQLite file without its help. */
#ifndef STAMPEDE_STORE_VIEW_H
#define STAMPEDE_STORE_VIEW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum store_status { STORE_PENDING, STORE_PAID, STORE_EXPIRED, STORE_CANCELED };

struct store_order {
    char *code, *buyer, *key, *item; /* owned */
    uint32_t quantity;
    enum store_status status;
    uint32_t *units; /* live ones, ascending; owned */
    uint32_t units_n, units_cap;
};

struct store_item {
    char *slug; /* owned */
    int64_t quota;
};

struct store_view {
    struct store_item *items;
    size_t items_n;
    struct store_order *orders; /* sorted by code */
    size_t orders_n;
    uint64_t stray_units;   /* live units that belong to no order */
    uint32_t max_per_buyer; /* 0: no limit */
};

/* One consistent snapshot. False with a message on stderr: no such file, event, or no such schema.
 */
bool store_view_load(struct store_view *v, const char *path, const char *event);
void store_view_free(struct store_view *v);
struct store_order *store_view_find(const struct store_view *v, const char *code);

#endif
