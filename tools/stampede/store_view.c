/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The schema is described at the top of src/boxoffice/store_sqlite.h. Order codes are not in the
 * store: they follow from an order's number and the key in the table meta.
 */
#include "store_view.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "boxoffice/core/code.h"

#define SCHEMA_VERSION 1

struct load {
    struct store_view *v;
    sqlite3 *db;
    const char *path;
    struct code_key key;
    sqlite3_int64 event;
    sqlite3_int64 *item_ids;  /* of v->items */
    sqlite3_int64 *order_ids; /* of v->orders, ascending until they are sorted by code */
    size_t orders_cap;
};

static bool fail(const struct load *l, const char *why)
{
    fprintf(stderr, "stampede: %s: %s\n", l->path, why != NULL ? why : sqlite3_errmsg(l->db));
    return false;
}

static sqlite3_stmt *query(const struct load *l, const char *sql)
{
    sqlite3_stmt *st = NULL;

    if (sqlite3_prepare_v2(l->db, sql, -1, &st, NULL) != SQLITE_OK)
        fail(l, NULL);
    return st;
}

static char *text(sqlite3_stmt *st, int column)
{
    const char *s = (const char *)sqlite3_column_text(st, column);

    return xstrdup(s != NULL ? s : "");
}

/* Ends a loop over rows. */
static bool finish(const struct load *l, sqlite3_stmt *st, int rc)
{
    bool ok = rc == SQLITE_DONE || fail(l, NULL);

    sqlite3_finalize(st);
    return ok;
}

/* One row is expected. It is left for reading; the caller finalizes. */
static bool one_row(const struct load *l, sqlite3_stmt *st, const char *what)
{
    return st != NULL && (sqlite3_step(st) == SQLITE_ROW || fail(l, what));
}

static bool load_version(struct load *l)
{
    sqlite3_stmt *st = query(l, "PRAGMA user_version");
    bool ok = one_row(l, st, "no version") && (sqlite3_column_int(st, 0) == SCHEMA_VERSION ||
                                               fail(l, "its schema is not the one I know"));

    sqlite3_finalize(st);
    return ok;
}

static bool load_key(struct load *l)
{
    sqlite3_stmt *st = query(l, "SELECT value FROM meta WHERE key = 'code_key'");
    bool ok = one_row(l, st, "no key of order codes") &&
              (sqlite3_column_bytes(st, 0) == 16 || fail(l, "bad key of order codes"));

    if (ok)
        code_key_init(&l->key, sqlite3_column_blob(st, 0));
    sqlite3_finalize(st);
    return ok;
}

static bool load_event(struct load *l, const char *event)
{
    sqlite3_stmt *st = query(l, "SELECT id, max_per_buyer FROM events WHERE slug = ?");
    bool ok;

    sqlite3_bind_text(st, 1, event, -1, SQLITE_STATIC);
    ok = one_row(l, st, "no such event");
    if (ok) {
        l->event = sqlite3_column_int64(st, 0);
        l->v->max_per_buyer = (uint32_t)sqlite3_column_int64(st, 1);
    }
    sqlite3_finalize(st);
    return ok;
}

static bool load_items(struct load *l)
{
    sqlite3_stmt *st = query(l, "SELECT id, slug, quota FROM items WHERE event = ? ORDER BY id");
    struct store_view *v = l->v;
    int rc;

    if (st == NULL)
        return false;
    sqlite3_bind_int64(st, 1, l->event);
    while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
        v->items = xrealloc(v->items, (v->items_n + 1) * sizeof *v->items);
        l->item_ids = xrealloc(l->item_ids, (v->items_n + 1) * sizeof *l->item_ids);
        l->item_ids[v->items_n] = sqlite3_column_int64(st, 0);
        v->items[v->items_n++] =
            (struct store_item){.slug = text(st, 1), .quota = sqlite3_column_int64(st, 2)};
    }
    return finish(l, st, rc);
}

static void add_order(struct load *l, sqlite3_stmt *st)
{
    static const enum store_status status[] = {STORE_PENDING, STORE_PAID, STORE_EXPIRED,
                                               STORE_CANCELED};
    struct store_view *v = l->v;
    int number = sqlite3_column_int(st, 5);
    char code[CODE_LEN + 1];

    if (v->orders_n == l->orders_cap) {
        l->orders_cap = l->orders_cap ? l->orders_cap * 2 : 1024;
        v->orders = xrealloc(v->orders, l->orders_cap * sizeof *v->orders);
        l->order_ids = xrealloc(l->order_ids, l->orders_cap * sizeof *l->order_ids);
    }
    code_write(&l->key, (uint64_t)sqlite3_column_int64(st, 0), code);
    l->order_ids[v->orders_n] = sqlite3_column_int64(st, 0);
    v->orders[v->orders_n++] = (struct store_order){
        .code = xstrdup(code),
        .buyer = text(st, 1),
        .key = text(st, 2),
        .item = text(st, 3),
        .quantity = (uint32_t)sqlite3_column_int64(st, 4),
        .status = status[number >= 1 && number <= 4 ? number - 1 : 3],
    };
}

static bool load_orders(struct load *l)
{
    sqlite3_stmt *st =
        query(l, "SELECT o.id, o.buyer, o.idempotency_key, i.slug, o.quantity, o.status"
                 " FROM orders o LEFT JOIN items i ON i.id = o.item"
                 " WHERE o.event = ? ORDER BY o.id");
    int rc;

    if (st == NULL)
        return false;
    sqlite3_bind_int64(st, 1, l->event);
    while ((rc = sqlite3_step(st)) == SQLITE_ROW)
        add_order(l, st);
    return finish(l, st, rc);
}

static struct store_order *order_by_id(const struct load *l, sqlite3_int64 id)
{
    size_t low = 0, high = l->v->orders_n;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (l->order_ids[middle] == id)
            return &l->v->orders[middle];
        if (l->order_ids[middle] < id)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

static void add_unit(struct load *l, const char *item, uint32_t unit, sqlite3_int64 order)
{
    struct store_order *o = order_by_id(l, order);

    if (o == NULL || strcmp(o->item, item) != 0) {
        l->v->stray_units++;
        return;
    }
    if (o->units_n == o->units_cap) {
        o->units_cap = o->units_cap ? o->units_cap * 2 : 4;
        o->units = xrealloc(o->units, o->units_cap * sizeof *o->units);
    }
    o->units[o->units_n++] = unit;
}

/* The number of a unit row is item << 32 | unit. */
static bool load_units(struct load *l, size_t item)
{
    sqlite3_stmt *st = query(l, "SELECT id & 0xffffffff, order_id FROM units"
                                " WHERE id >= ?1 << 32 AND id < (?1 + 1) << 32 ORDER BY id");
    int rc;

    if (st == NULL)
        return false;
    sqlite3_bind_int64(st, 1, l->item_ids[item]);
    while ((rc = sqlite3_step(st)) == SQLITE_ROW)
        add_unit(l, l->v->items[item].slug, (uint32_t)sqlite3_column_int64(st, 0),
                 sqlite3_column_int64(st, 1));
    return finish(l, st, rc);
}

static bool load_all(struct load *l, const char *event)
{
    bool ok =
        load_version(l) && load_key(l) && load_event(l, event) && load_items(l) && load_orders(l);

    for (size_t i = 0; ok && i < l->v->items_n; i++)
        ok = load_units(l, i);
    return ok;
}

static int by_code(const void *a, const void *b)
{
    return strcmp(((const struct store_order *)a)->code, ((const struct store_order *)b)->code);
}

bool store_view_load(struct store_view *v, const char *path, const char *event)
{
    struct load l = {.v = v, .path = path};
    bool ok;

    *v = (struct store_view){0};
    ok = (sqlite3_open_v2(path, &l.db, SQLITE_OPEN_READONLY, NULL) == SQLITE_OK &&
          sqlite3_busy_timeout(l.db, 5000) == SQLITE_OK &&
          sqlite3_exec(l.db, "BEGIN", NULL, NULL, NULL) == SQLITE_OK) ||
         fail(&l, NULL);
    ok = ok && load_all(&l, event);
    sqlite3_close(l.db);
    free(l.item_ids);
    free(l.order_ids);
    if (ok && v->orders_n > 0)
        qsort(v->orders, v->orders_n, sizeof *v->orders, by_code);
    if (!ok)
        store_view_free(v);
    return ok;
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

struct store_order *store_view_find(const struct store_view *v, const char *code)
{
    struct store_order key = {.code = (char *)(uintptr_t)code};

    if (v->orders_n == 0)
        return NULL;
    return bsearch(&key, v->orders, v->orders_n, sizeof *v->orders, by_code);
}
