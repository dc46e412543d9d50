/* SPDX-License-Identifier: BSD-2-Clause */
#include "store_view.h"

#include <stdlib.h>
#include <string.h>

bool store_view_load(struct store_view *v, const char *path, const char *event);
bool store_view_load(struct store_view *v, const char *path, const char *event)
{
    (void)v;
    (void)path;
    (void)event;
    return false;
}

void store_view_free(struct store_view *v)
{
    for (size_t i = 0; i < v->items_n; i++)
        free(v->items[i].slug);
    for (size_t i = 0; i < v->orders_n; i++) {
        struct store_order *o = &v->orders[i];

        free(o->code);
        free(o->buyer);
        free(o->key);
        free(o->item);
        free(o->units);
    }
    free(v->items);
    free(v->orders);
    *v = (struct store_view){0};
}

static int by_code(const void *a, const void *b)
{
    return strcmp(((const struct store_order *)a)->code, ((const struct store_order *)b)->code);
}

struct store_order *store_view_find(const struct store_view *v, const char *code)
{
    struct store_order key = {.code = (char *)(uintptr_t)code};

    if (v->orders_n == 0)
        return NULL;
    return bsearch(&key, v->orders, v->orders_n, sizeof *v->orders, by_code);
}
